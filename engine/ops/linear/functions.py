"""Functions of square matrices: expm, logm, sqrtm, sinm, cosm, and integer powers.

Each function and all its derivatives are one core op. D^k f(A)[E₁, …, E_k] stands in the corner of f of a block triangular
matrix; it is linear in each E and symmetric in them, and so are its transposes, so that the op's own derivatives are the
op again with one tangent more.

N. J. Higham, S. D. Relton, "Higher order Fréchet derivatives of matrix functions and the level-2 condition number",
SIAM J. Matrix Anal. Appl. 35(3), 2014, doi:10.1137/130945259.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from engine.attrs import INT
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, General, Linear, Op, registry
from engine.ops.linear.factor import (
    Factoring,
    finite,
    identity,
    matrices,
    members,
    refuse,
    square,
    transposed,
    which,
)
from engine.ops.linear.roots import logarithm, square_root
from engine.ops.linear.solve import SINGULAR, A

FUNCTIONS: dict[str, tuple[Callable[[Array], Any], str, tuple[float, float, float]]] = {
    "exp": (scipy.linalg.expm, "", (100.0, 1e4, 2e6)),
    "log": (logarithm, "logarithm", (3500.0, 1e5, 2e6)),
    "sqrt": (square_root, "square root", (1700.0, 5e4, 1e6)),
    "sin": (scipy.linalg.sinm, "", (800.0, 1e4, 1e7)),
    "cos": (scipy.linalg.cosm, "", (800.0, 1e4, 1e7)),
}
"""The function of one matrix, what it is called where it may not exist, and its cost (see `cubic`)."""


def _back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    """tr(Zᵀ D^k f(A)[…, E, …]) = tr(D^k f(A)[…, Zᵀ, …] E)."""
    others = [transposed(ct) if i == k else v for i, v in enumerate(operands)]
    return transposed(ct.b.write("matrix_function", *others, **params))


class MatrixFunction(Factoring):
    """D^k f(A)[E₁, …, E_k] for stacks of square matrices of equal shape; f(A) for k = 0."""

    name = "matrix_function"
    internal = True
    rules = (General(), Linear(_back))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The aval of A."""
        matrices(f"{params['function']}m", avals[0])
        square(f"{params['function']}m", avals[0])
        assert all(a == avals[0] for a in avals)
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """One matrix at a time. Raises `SingularMatrix` where f(A) does not exist among real matrices, if the node does."""
        a, *tangents = (np.asarray(v) for v in arrays)
        y = np.full(a.shape, np.nan, a.dtype)
        if not a.size:
            return y
        good = finite(a, *tangents)
        bad = np.zeros(good.shape, bool)
        f, word, _ = FUNCTIONS[params["function"]]
        for at in np.ndindex(*a.shape[:-2]):
            if any(not e[at].any() for e in tangents):
                y[at] = 0
            elif good[at]:
                found = _corner(f, a[at], [e[at] for e in tangents])
                bad[at] = found is None
                if found is not None:
                    y[at] = found
        if params["raises"] and not tangents and bad.any():
            refuse(
                bad,
                lambda at: (
                    f"{which(at).capitalize()} has no real {word}: an eigenvalue of it is negative, or 0 with too few "
                    "eigenvectors."
                ),
            )
        return y

    def singular(self, arrays: Sequence[Array], **params: Any) -> Array | None:
        """Which members have no such function."""
        if len(arrays) > 1:
            return None
        y = self.evaluate(*arrays, function=params["function"], raises=False)
        return np.asarray(finite(np.asarray(arrays[0])) & np.isnan(y).any(axis=(-2, -1)))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """One more tangent."""
        da = dxs[0]
        assert da is not None
        return da.b.write(self, *xs, da, **params)

    def workspace(self, operands: Sequence[Aval], result: Avals, **params: Any) -> int:
        """About a dozen matrices 2^k times as large, for one member at a time."""
        return 12 * 16 * (operands[0].shape[-1] << (len(operands) - 1)) ** 2

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """That of a matrix 2^k times as large."""
        a = operands[0]
        n = float(a.shape[-1]) * 2.0 ** (len(operands) - 1)
        each, square_, start = FUNCTIONS[params["function"]][2]
        return members(a) * (each * n**3 + square_ * n**2 + start)


registry.add(MatrixFunction())


def _corner(f: Callable[[Array], Any], a: Array, tangents: Sequence[Array]) -> Array | None:
    """D^k f(A)[E₁, …, E_k] of finite matrices, none of the tangents 0; None where f does not exist."""
    n = a.shape[-1]
    block = a.astype(np.float64)
    # Tangents are brought to the size of A (or 1), since the error is relative to the whole block.
    size = float(np.abs(block).max()) or 1.0
    factor = 1.0
    for e in tangents:
        own = float(np.abs(e).max())
        factor *= own / size
        scaled = np.kron(np.eye(block.shape[-1] // n), e.astype(np.float64) / own * size)
        block = np.block([[block, scaled], [np.zeros_like(block), block]])
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(f(block))
    except (np.linalg.LinAlgError, ValueError, OverflowError):
        return None
    corner = found[:n, -n:]
    if np.iscomplexobj(corner):
        if np.abs(corner.imag).max() > 1e-10 * max(np.abs(corner).max(), 1e-300):
            return None
        corner = corner.real
    if f in (square_root, logarithm) and not np.isfinite(corner).all():
        return None
    with np.errstate(all="ignore"):
        result: Array = (corner * factor).astype(a.dtype)
    return result


class OfMatrix(Op):
    """A function of a square matrix, or of each of a stack."""

    family = "linalg"
    composite = True
    floating = True
    parameters = (A,)

    def __init__(
        self,
        name: str,
        function: str,
        doc: str,
        latex: str,
        convention: str,
        examples: tuple[Example, ...],
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.function = function
        self.__doc__ = doc
        self.latex = latex
        self.convention = convention
        self.examples = examples
        self.derivative = {"a": "\\left.\\tfrac{d}{dt}\\right|_0 f(a + t \\dot{a})"}

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        square(self.name, operands[0])
        result: Var = b.write("matrix_function", operands[0], function=self.function, raises=True)
        return result


_SMALL = [[1.0, 2.0], [-0.5, 0.3]]
_POSITIVE = [[4.0, 1.0], [0.5, 3.0]]
_NONE = "A matrix without a real {} is an error (`singular-matrix`); as a member of a map it is NaN, with a warning."

registry.add(
    OfMatrix(
        "expm", "exp",
        "The exponential of a square matrix, Σ aᵏ/k!, or of each of a stack. Of each entry alone it is `exp`.\n\n"
        "By scaling and squaring: A. H. Al-Mohy, N. J. Higham, SIAM J. Matrix Anal. Appl. 31(3), 2009.",
        "e^{{{a}}}", "",
        (
            Example((_SMALL,)),
            Example(([_SMALL, _POSITIVE],), note="a stack"),
            Example(([[0.0, 1.0, 2.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]],), note="nilpotent"),
            Example(([[0.0, 0.0], [0.0, 0.0]],), note="zero"),
            Example(([[60.0, 80.0], [-80.0, 60.0]],), smooth=False, note="a norm of 100"),
        ),
        ("matrix_exp",),
    )
)  # fmt: skip
registry.add(
    OfMatrix(
        "logm", "log", "The principal logarithm of a square matrix, the inverse of expm.", "\\log {a}",
        _NONE.format("logarithm"), (Example((_POSITIVE,)), Example(([[1.0, 0.0], [0.0, 1.0]],), note="the identity")),
    )
)  # fmt: skip
registry.add(
    OfMatrix(
        "sqrtm", "sqrt", "The principal square root of a square matrix: y y = a.", "{a}^{{1/2}}",
        _NONE.format("square root"), (Example((_POSITIVE,)), Example(([[1.0, 0.0], [0.0, 1.0]],), note="the identity")),
    )
)  # fmt: skip
for _name, _word in (("sin", "sine"), ("cos", "cosine")):
    registry.add(
        OfMatrix(
            f"{_name}m", _name, f"The {_word} of a square matrix, by its power series.", f"\\{_name} {{a}}", "",
            (Example((_SMALL,)),),
        )
    )  # fmt: skip


class MatrixPower(Op):
    """An integer power of a square matrix, or of each of a stack; negative ones are powers of the inverse, 0 the identity."""

    name = "matrix_power"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Attr("n", INT))
    latex = "{a}^{{{n}}}"
    derivative = {"a": "\\sum_k a^k \\dot{a}\\, a^{n - 1 - k}"}
    convention = "For negative powers: " + SINGULAR
    examples = (
        Example((_SMALL,), {"n": 3}),
        Example((_SMALL,), {"n": -2}),
        Example((_SMALL,), {"n": 0}),
        Example(([_SMALL, _POSITIVE],), {"n": 5}, note="a stack"),
        Example(([[0.0, 1.0], [0.0, 0.0]],), {"n": 2}, note="nilpotent"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Squares, and products of them."""
        (a,), n = operands, attrs["n"]
        size = square("matrix_power", a)
        if n == 0:
            return identity(b, size, a.shape[:-2])
        if n < 0:
            a, n = call(b, "inv", a), -n
        result: Var | None = None
        while n:
            if n & 1:
                result = a if result is None else b.write("matmul", result, a)
            n >>= 1
            if n:
                a = b.write("matmul", a, a)
        assert result is not None
        return result


registry.add(MatrixPower())
