"""What has a meaning for every matrix: pinv, lstsq, matrix_rank, cond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from engine.attrs import BOOL, NUMBER, optional
from engine.aval import Aval, Avals
from engine.builder import Builder, Var, call, cast
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, General, Op, Operand, Spelling, registry
from engine.ops.layout.shape import slice_axis
from engine.ops.linear.factor import (
    Factoring,
    cubic,
    factored,
    identity,
    matrices,
    square,
    symmetric,
    transposed,
)
from engine.ops.linear.solve import A, B
from engine.ops.linear.strong import product
from engine.ops.reduce.norms import ORDER, matrix_norm

TOLERANCE = optional(NUMBER)


def rounding(a: Aval) -> float:
    """Singular values below this part of the largest one cannot be told from 0."""
    return max(1, *a.shape[-2:]) * float(np.finfo(a.dtype).eps)


class PseudoInverseCore(Factoring):
    """Y = A⁺ of Moore and Penrose; singular values up to `rcond` times the largest count as 0.

    JVP, for a rank that does not change:
    Ẏ = −Y Ȧ Y + Y Yᵀ Ȧᵀ (I − A Y) + (I − Y A) Ȧᵀ Yᵀ Y

    G. H. Golub, V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate", SIAM J. Numer. Anal. 10(2), 1973, doi:10.1137/0710036.
    """

    name = "pseudo_inverse"
    internal = True
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The last two axes exchanged."""
        (a,) = avals
        matrices("pinv", a)
        return Aval((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By singular values."""
        a = np.asarray(arrays[0])
        if not a.size:
            return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
        return factored(lambda x: (np.linalg.pinv(x, params["rcond"]),), a)[0]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """See above."""
        (a,), (da,) = xs, dxs
        assert da is not None
        back, yt = transposed(da), transposed(y)
        left = back - product(back, product(a, y))
        right = back - product(product(y, a), back)
        return product(product(y, yt), left) + product(right, product(yt, y)) - product(y, da, y)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A singular value decomposition."""
        return cubic(operands[0], 27.0, 5000.0, 5e5)


registry.add(PseudoInverseCore())


def pseudo_inverse(a: Var, rcond: float | None) -> Var:
    """A⁺; the default tolerance is NumPy's, or what rounding leaves where that is more."""
    cut = max(1e-15, rounding(a.aval)) if rcond is None else rcond
    result: Var = a.b.write("pseudo_inverse", a, rcond=float(cut))
    return result


class PseudoInverse(Op):
    """The pseudo-inverse of a matrix, or of each of a stack: [*s, m, n] -> [*s, n, m].

    Singular values up to `rcond` (`rtol`) times the largest one count as 0; by default 1e-15, as in NumPy, or
    max(m, n)·eps where that is more. With `hermitian` that of (a + aᵀ)/2.
    """

    name = "pinv"
    aliases = ("pinverse",)
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        Attr("rcond", TOLERANCE, None),
        Attr("hermitian", BOOL, False),
        Attr("rtol", TOLERANCE, None, keyword_only=True),
    )
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.pinv": Spelling({}, (A, Attr("rtol", TOLERANCE, None, keyword_only=True)))
    }
    latex = "{a}^{{+}}"
    derivative = {
        "a": "-y \\dot{a} y + y y^\\top \\dot{a}^\\top (I - a y) + (I - y a) \\dot{a}^\\top y^\\top y"
    }
    convention = "Where the rank changes there is no derivative: it is that of matrices of the same rank."
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), note="tall"),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],), note="wide"),
        Example(([[[1.0], [2.0]], [[0.5], [3.0]]],), note="a stack"),
        Example(([[2.0, 1.0], [1.0, 3.0]],), {"hermitian": True}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        (a,) = operands
        matrices("pinv", a.aval)
        if attrs["hermitian"]:
            square("pinv", a)
            a = symmetric(a)
        return pseudo_inverse(a, attrs["rcond"] if attrs["rtol"] is None else attrs["rtol"])


class LeastSquares(Op):
    """The x of least norm among those that minimise |a x − b|, with residuals, rank and singular values of a.

    a: [*s, m, n], b: [m] or [*t, m, k]  ->  x: [n] or [*, n, k], residuals: [k] (1 for a vector b; none unless m > n),
    rank, s. Residuals are the sums Σ (a x − b)²; NumPy leaves them out where the rank is below n, here they are always
    there. Singular values up to `rcond` times the largest one count as 0, by default max(m, n)·eps.
    """

    name = "lstsq"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, B, Attr("rcond", TOLERANCE, None, ("cond",)))
    results = ("x", "residuals", "rank", "s")
    latex = "\\operatorname{{argmin}}_x \\|{a} x - {b}\\|"
    derivative = {"b": "a^{+} \\dot{b}", "a": "\\dot{(a^{+})}\\, b"}
    convention = "Where the rank changes there is no derivative: it is that of matrices of the same rank."
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]], [1.0, 2.0, 3.0]), note="tall"),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]], [[1.0, 2.0], [3.0, -1.0]]), note="wide"),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]], [[1.0, 2.0], [2.0, 0.5], [3.0, 1.0]])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """By the pseudo-inverse."""
        a, y = operands
        matrices("lstsq", a.aval)
        m, n = a.shape[-2:]
        single = y.rank == 1
        if y.rank == 0 or y.shape[-1 if single else -2] != m:
            raise ShapeMismatch(
                f"lstsq: the matrix has {m} rows (shape {list(a.shape)}), so the right-hand side must be a vector of {m} "
                f"entries or a matrix of {m} rows; its shape is {list(y.shape)}."
            )
        cut = rounding(a.aval) if attrs["rcond"] is None else attrs["rcond"]
        x: Var = call(b, "matmul", pseudo_inverse(a, cut), y)
        axis = -1 if single and a.rank == 2 else -2
        if m > n:
            rest = call(b, "matmul", a, x if x.rank == 1 or not single else x.reshape((*x.shape, 1)))
            full = y if not single or a.rank == 2 else y.reshape((m, 1))
            residuals = call(b, "square", rest - full).sum(axis if rest.rank > 1 else 0)
            residuals = residuals.reshape((1,)) if residuals.rank == 0 else residuals
        else:
            residuals = call(b, "zeros", shape=(0,))
        s = call(b, "svdvals", a)
        return x, residuals, _above(s, attrs["rcond"], rounding(a.aval)), s


def _above(s: Var, relative: float | None, default: float) -> Var:
    """How many singular values are larger than some part of the largest."""
    if not s.shape[-1]:
        return call(s.b, "count_nonzero", s, axis=-1)
    top = slice_axis(s, -1, 0, 1)
    return call(s.b, "count_nonzero", s > top * (default if relative is None else relative), axis=-1)


class MatrixRank(Op):
    """The rank of a matrix, an integer: how many singular values are above `tol`.

    By default tol is `rtol` (max(m, n)·eps) times the largest one. Of a vector: 1 unless it is 0.
    """

    name = "matrix_rank"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        Operand("A", ("a", "x", "M", "input")),
        Attr("tol", TOLERANCE, None, ("atol",)),
        Attr("hermitian", BOOL, False),
        Attr("rtol", TOLERANCE, None, keyword_only=True),
    )
    latex = "\\operatorname{{rank}} {A}"
    convention = "A rank is an integer and has no derivative."
    examples = (
        Example(([[1.0, 2.0], [2.0, 4.0]],), smooth=False),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],), {"tol": 2.0}),
        Example(([[[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [2.0, 3.0]]],), {"rtol": 1e-9}, smooth=False),
        Example(([[2.0, 1.0], [1.0, -3.0]],), {"hermitian": True}),
        Example(([0.0, 0.0],)),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A count of singular values."""
        (a,) = operands
        if a.rank < 2:
            return cast(b, call(b, "any", call(b, "not_equal", a, 0.0)), "int64")
        if attrs["hermitian"]:
            square("matrix_rank", a)
            a = symmetric(a)
        s = call(b, "svdvals", a)
        if attrs["tol"] is not None:
            return call(b, "count_nonzero", s > attrs["tol"], axis=-1)
        return _above(s, attrs["rtol"], rounding(a.aval))


class ConditionNumber(Op):
    """The condition number of a matrix, |x|·|x⁻¹|: how much a system with it amplifies errors, `np.linalg.cond`.

    `p` is the norm: 2 by default (the quotient of the largest and the smallest singular value, also for matrices that
    are not square), −2, 1, −1, infinity, −infinity, 'fro' or 'nuc'. Of a singular matrix infinity. (A bare `cond` is the
    control-flow op.)
    """

    name = "condition_number"
    family = "linalg"
    composite = True
    floating = True
    parameters = (Operand("x", ("a", "A", "input")), Attr("p", ORDER, None))
    spellings: Mapping[str, Spelling] = {
        "numpy.linalg.cond": Spelling(),
        "torch.linalg.cond": Spelling(),
    }
    latex = "\\kappa({x})"
    derivative = {"x": "\\dot{\\|x\\|}\\,\\|x^{-1}\\| - \\|x\\|\\,\\dot{\\|x^{-1}\\|}"}
    convention = "Of a singular matrix it is infinite and has no derivative."
    examples = (
        Example(([[1.0, 2.0], [3.0, 5.0]],)),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), {"p": -2}),
        Example(([[1.0, 2.0], [3.0, 5.0]],), {"p": 1}),
        Example(([[1.0, 2.0], [3.0, 5.0]],), {"p": "fro"}),
        Example(([[1.0, 2.0], [3.0, 5.0]],), {"p": "nuc"}),
        Example(([[1.0, 2.0], [2.0, 4.0]],), {"p": inf}, smooth=False, note="singular"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A quotient of singular values, or a product of norms."""
        (a,), order = operands, attrs["p"]
        matrices("cond", a.aval)
        if not a.shape[-1] or not a.shape[-2]:
            raise ShapeMismatch(
                f"cond: a matrix without entries has no condition number (shape {list(a.shape)})."
            )
        if order in (None, 2, -2):
            s = call(b, "svdvals", a)
            k = s.shape[-1]
            large, small = slice_axis(s, -1, 0, 1), slice_axis(s, -1, k - 1, k)
            y = small / large if order == -2 else large / small
            return y.reshape(s.shape[:-1])
        n = square("cond", a)
        inverse = b.write("linear_systems", a, identity(b, n, a.shape[:-2]), raises=False)
        y = matrix_norm(a, -2, -1, order) * matrix_norm(inverse, -2, -1, order)
        nothing = call(b, "isnan", a).sum((-2, -1)) > 0
        singular = call(b, "logical_and", call(b, "isnan", y), call(b, "logical_not", nothing))
        return call(b, "where", singular, inf, y)


for _op in (PseudoInverse(), LeastSquares(), MatrixRank(), ConditionNumber()):
    registry.add(_op)
