"""The Cholesky factorisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, optional
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, General, Op, Spelling, registry
from engine.ops.linear.factor import (
    Factoring,
    blanked,
    cubic,
    factored,
    finite,
    matrices,
    put,
    refuse,
    square,
    symmetric,
    transposed,
    which,
)
from engine.ops.linear.solve import A
from engine.ops.linear.strong import product
from engine.transforms.strong import times


class CholeskyCore(Factoring):
    """L, lower triangular with a positive diagonal, of A = L Lᵀ for symmetric A.

    JVP  L̇ = L Φ(L⁻¹ Ȧ L⁻ᵀ), Φ the lower triangle with half the diagonal.

    I. Murray, "Differentiation of the Cholesky decomposition", 2016, arXiv:1602.07527.
    """

    name = "cholesky_factor"
    internal = True
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        matrices("cholesky", avals[0])
        square("cholesky", avals[0])
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK potrf. Raises `SingularMatrix` where the matrix is not positive definite."""
        a = np.asarray(arrays[0])
        good = finite(a)
        eye = np.eye(a.shape[-1], dtype=a.dtype)
        safe = put(good, a, eye)
        try:
            return blanked(good, (np.linalg.cholesky(safe),))[0]
        except np.linalg.LinAlgError:
            smallest = _smallest(safe)
        if params["raises"]:
            refuse(
                smallest <= np.min(smallest),
                lambda at: (
                    f"{which(at).capitalize()} is not positive definite, so it has no Cholesky factor: its smallest "
                    f"eigenvalue is {float(smallest[at]):.3g}."
                ),
            )
        good = good & (smallest > 0)
        results = factored(lambda x: (np.linalg.cholesky(x),), put(good, a, eye))
        return blanked(good, results)[0]

    def singular(self, arrays: Sequence[Array], **params: Any) -> Array | None:
        """Which members are not positive definite."""
        a = np.asarray(arrays[0])
        if not a.size:
            return None
        good = finite(a)
        return np.asarray(good & np.isnan(self.evaluate(a, raises=False)).any(axis=(-2, -1)))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """L Φ(L⁻¹ Ȧ L⁻ᵀ)."""
        (da,) = dxs
        assert da is not None
        half = _under(y, da)
        return product(y, _phi(_under(y, transposed(half))))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """1/3·n³."""
        return cubic(operands[0], 1.5, 500.0, 2e4)


registry.add(CholeskyCore())


def _under(factor: Var, x: Var) -> Var:
    result: Var = factor.b.write("strong_triangular_systems", factor, x, lower=True, unit=False)
    return result


def _phi(x: Var) -> Var:
    """The lower triangle with half the diagonal."""
    b = x.b
    return call(b, "tril", times(x, 1.0 - 0.5 * call(b, "eye", n=x.shape[-1])))


def _smallest(a: Array) -> Array:
    """Smallest eigenvalues, with those that are a matter of rounding counted as 0."""
    values = np.linalg.eigvalsh(a)
    scale = np.abs(values).max(axis=-1) * np.finfo(a.dtype).eps
    low = values[..., 0]
    return np.where(np.abs(low) <= scale, np.minimum(low, 0), low)


class Cholesky(Op):
    """The Cholesky factor L of a symmetric positive definite matrix a = L Lᵀ; with `upper` its transpose, a = Lᵀ L.

    Bare and as `np.linalg.cholesky` the factor is lower triangular, as `scipy.linalg.cholesky` it is upper triangular
    unless `lower` is given.
    """

    name = "cholesky"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        Attr("upper", BOOL, False, keyword_only=True),
        Attr("lower", optional(BOOL), None, keyword_only=True),
    )
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.cholesky": Spelling(
            {"lower": False},
            (
                A,
                Attr("lower", BOOL, False),
                Attr("overwrite_a", BOOL, False),
                Attr("check_finite", BOOL, True),
            ),
        )
    }
    latex = "\\operatorname{{chol}} {a}"
    derivative = {"a": "y\\, \\Phi(y^{-1} \\dot{a}\\, y^{-\\top})"}
    convention = (
        "Of a matrix that is not symmetric: that of (a + aᵀ)/2, so the gradient is symmetric. One that is not positive "
        "definite is an error (`singular-matrix`); as a member of a map it is NaN, with a warning."
    )
    examples = (
        Example(([[4.0, 2.0], [2.0, 3.0]],)),
        Example(([[4.0, 2.0, 0.5], [2.0, 3.0, 1.0], [0.5, 1.0, 2.0]],), {"upper": True}),
        Example(([[4.0, 2.0], [1.0, 3.0]],), note="not symmetric: the mean of the two triangles counts"),
        Example(([[[4.0, 2.0], [2.0, 3.0]], [[1.0, 0.5], [0.5, 9.0]]],), note="a stack"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Of the symmetric part."""
        (a,) = operands
        square("cholesky", a)
        if attrs["upper"] and attrs["lower"]:
            raise InvalidAttribute("cholesky: lower and upper cannot both be true.")
        up = attrs["upper"] if attrs["lower"] is None else not attrs["lower"]
        factor: Var = b.write("cholesky_factor", symmetric(a), raises=True)
        return transposed(factor) if up else factor


class CholeskyFactor(Op):
    """SciPy's `cho_factor`: the Cholesky factor of a, upper triangular (a = yᵀ y) unless `lower`, the other triangle 0.

    In program text it gives the pair (factor, lower), as SciPy's does, which `cho_solve` takes.
    """

    name = "cho_factor"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Attr("lower", BOOL, False))
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.cho_factor": Spelling(
            parameters=(*parameters, Attr("overwrite_a", BOOL, False), Attr("check_finite", BOOL, True))
        )
    }
    latex = "\\operatorname{{chol}} {a}"
    derivative = {"a": Cholesky.derivative["a"]}
    convention = Cholesky.convention
    examples = (
        Example(([[4.0, 2.0], [2.0, 3.0]],)),
        Example(([[4.0, 2.0, 0.5], [2.0, 3.0, 1.0], [0.5, 1.0, 2.0]],), {"lower": True}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """`cholesky`."""
        return call(b, "cholesky", operands[0], upper=not attrs["lower"])


registry.add(Cholesky())
registry.add(CholeskyFactor())
