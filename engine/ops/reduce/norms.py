"""Norms of vectors and matrices, as in `numpy.linalg`. In the core there is one, the p-norm over axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import AXES, number
from engine.aval import Array, Aval, Avals, axis_before, normalize_axes, normalize_axis, without_axes
from engine.builder import Builder, Var, call, cast
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, General, Kind, Op, Operand, registry
from engine.ops.layout.arrange import permuted
from engine.ops.reduce.reduction import AXIS_ATTRS, keep, reduced_size, spread
from engine.transforms.strong import times

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

_WORDS = {"inf": inf, "-inf": -inf}


def _order(value: Any) -> float | str | None:
    if value is None or value in ("fro", "nuc"):
        return value  # type: ignore[no-any-return]  # one of three literals
    order = _WORDS[value] if isinstance(value, str) and value in _WORDS else number(value)
    if isnan(order):
        raise ValueError("NaN is no order")
    return order


ORDER = Kind("a number, infinity, 'fro' or 'nuc'", _order)


class SignedPower(Op):
    """|x|^q, with the sign of x if `signed`: each is the other's derivative, q·|x|^(q − 1), at 0 as well.

    At 0 the signed one is 0 for every q, which is the subgradient of least norm of |x|^(q + 1).
    """

    name = "abs_power"
    family = "core"
    internal = True
    elementwise = True
    convention = "At 0 the subgradient of least norm, 0."
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's power of |x|."""
        x = np.asarray(arrays[0])
        power = np.power(np.abs(x), x.dtype.type(params["exponent"]))
        if params["signed"]:
            power = np.where(x == 0, x, np.copysign(power, x))
        return power[()]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """q·|x|^(q − 1)·ẋ."""
        (x,), (dx,) = xs, dxs
        q = params["exponent"]
        if q == 0 or dx is None:
            return None
        slope: Var = x.b.write("abs_power", x, exponent=q - 1.0, signed=not params["signed"])
        return times(dx, slope if q == 1 else q * slope)

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """At 0, unless it is smooth enough there."""
        return np.asarray(arrays[0] == 0) if params["exponent"] <= 1 and not params["signed"] else None

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A power for each element."""
        return 20.0 * operands[0].size


registry.add(SignedPower())


_CONVENTION = (
    "At 0 the subgradient of least norm, 0; entries of 0 contribute 0; with ord infinity, ties share."
)


class VectorNorm(Op):
    """Length of a vector: (Σ |x|^ord)^(1/ord) over axes, all by default; ord 2 unless given.

    ord may be any number: infinity (the largest |x|), −infinity (the smallest), 0 (how many are not 0). In the core ord
    is neither of these nor 1. There is no overflow or underflow on the way.

    JVP  ẏ = Σ sign(x)·(|x| / y)^(ord − 1)·ẋ
    """

    name = "vector_norm"
    family = "reduction"
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS, Attr("ord", ORDER, 2.0, ("p",)))
    floating = True
    latex = "\\left\\| {x} \\right\\|"
    derivative = {"x": "\\operatorname{sign} x_i \\left(\\frac{|x_i|}{y}\\right)^{p - 1}"}
    convention = _CONVENTION
    rules = (General(),)
    examples = (
        Example(([3.0, -4.0],)),
        Example(([[3.0, -4.0, 1.0], [1.0, 2.0, -0.5]],), {"axis": 1, "ord": 3.0}),
        Example(([3.0, -4.0, 1.0],), {"ord": 1.5, "keepdims": True}),
        Example(([0.0, 0.0],), smooth=False, note="derivative 0 at 0"),
        Example(([3e200, -4e200],), note="no overflow"),
        Example(([3e-200, -4e-200],), smooth=False, note="no underflow"),
        Example(([],), note="the length of nothing is 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The norm of that order, and a reshape for `keepdims`."""
        (x,) = operands
        axes = normalize_axes(attrs["axis"], x.rank)
        return keep(vector_norm(x, axes, attrs["ord"]), x, axes, attrs["keepdims"])

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the axes."""
        return Aval(without_axes(avals[0].shape, params["axes"]), avals[0].dtype)

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Directly, and once more after scaling where the direct way may have overflowed or underflowed."""
        x, axes, p = np.asarray(arrays[0]), params["axes"], params.get("ord", 2.0)
        if p != 2:
            return _scaled(x, axes, p)
        direct = np.sqrt(np.sum(x * x, axis=axes))
        info = np.finfo(x.dtype)
        safe = (direct >= np.sqrt(info.tiny) / info.eps) & np.isfinite(direct)
        return direct if safe.all() else np.where(safe, direct, _scaled(x, axes, p))[()]

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """The Euclidean one, scaled by the largest |x|, on which it does not depend."""
        (x,), axes = positions, params["axes"]
        if params.get("ord", 2.0) != 2 or not x.size:
            return None
        sizes = e.op("where", e.op("less", x, e.constant(0.0)), e.op("negative", x), x)
        unit = e.largest(sizes, axes)
        ratio = e.op("divide", x, np.expand_dims(unit, axes))
        return e.op("multiply", unit, e.op("sqrt", e.sum(e.op("square", ratio), axes)))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Σ sign(x)·(|x| / y)^(p − 1)·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        b, axes, p = x.b, params["axes"], params.get("ord", 2.0)
        whole = spread(y, x.shape, axes)
        ratio = call(b, "where", whole.equals(0.0), 0.0, x / whole)
        slope = ratio if p == 2 else b.write("abs_power", ratio, exponent=p - 1.0, signed=True)
        return times(dx, slope).sum(axes)

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where the vector is 0; for an ord below 1 where one entry is."""
        zero = np.asarray(arrays[0] == 0)
        axes = params["axes"]
        if not reduced_size(zero.shape, axes):
            return None
        mask: Array = zero.all(axis=axes) if params.get("ord", 2.0) >= 1 else zero.any(axis=axes)
        return np.asarray(mask)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Squares, or powers."""
        return operands[0].size * (2.0 if params.get("ord", 2.0) == 2 else 22.0)


registry.add(VectorNorm())


def _scaled(x: Array, axes: tuple[int, ...], p: float) -> Array:
    """The p-norm with |x| divided by its largest entry (its smallest for p < 0), so that no power leaves the range."""
    size = np.abs(x)
    if p > 0:
        unit = np.max(size, axis=axes, keepdims=True, initial=0)
    else:
        unit = np.min(size, axis=axes, keepdims=True, initial=inf)
    unit = np.where(np.isfinite(unit) & (unit > 0), unit, x.dtype.type(1))
    total = np.sum(np.power(size / unit, x.dtype.type(p)), axis=axes)
    root = np.sqrt(total) if p == 2 else np.power(total, x.dtype.type(1 / p))
    result: Array = (root * (np.squeeze(unit, axis=axes) if axes else unit))[()]
    return result


def vector_norm(x: Var, axes: tuple[int, ...], order: float | str | None) -> Var:
    """Norm of the vectors along axes (counted from the end)."""
    b = x.b
    result: Var
    if order in (None, 2, "fro"):
        result = b.write("vector_norm", x, axes=axes)
    elif order == 1:
        result = call(b, "abs", x).sum(axes)
    elif order == inf:
        result = _extreme("max", call(b, "abs", x), axes)
    elif order == -inf:
        result = _extreme("min", call(b, "abs", x), axes)
    elif order == 0:
        result = cast(b, call(b, "not_equal", x, 0.0), x.dtype).sum(axes)
    elif isinstance(order, str):
        raise InvalidAttribute(f"norm: ord '{order}' is for matrices; a vector has a number or infinity.")
    else:
        assert order is not None
        result = b.write("vector_norm", x, axes=axes, ord=float(order))
    return result


def _extreme(op: str, x: Var, axes: tuple[int, ...]) -> Var:
    """max or min over axes; the largest |x| of nothing is 0, as NumPy has it."""
    if op == "max" and reduced_size(x.shape, axes) == 0:
        return x.sum(axes)
    result: Var = x.b.write(op, x, axes=axes)
    return result


def matrix_norm(x: Var, row: int, column: int, order: float | str | None) -> Var:
    """Norm of the matrices whose rows run along axis `column` and columns along axis `row` (both from the end)."""
    if order in (None, "fro"):
        return vector_norm(x, normalize_axes((row, column), x.rank), 2)
    if order in (2, -2, "nuc"):
        return _spectral(x, row, column, order)
    if order not in (1, -1, inf, -inf):
        raise InvalidAttribute(
            f"norm: a matrix has no norm of ord {order!r}; it may be 'fro', 'nuc', 1, -1, 2, -2, infinity or -infinity."
        )
    inner, outer = (row, column) if order in (1, -1) else (column, row)
    sums = call(x.b, "abs", x).sum(inner)
    axis = outer + 1 if outer < inner else outer
    return _extreme("max" if order in (1, inf) else "min", sums, (axis,))


def _spectral(x: Var, row: int, column: int, order: float | str | None) -> Var:
    """Norms of the singular values: their sum, the largest, the smallest."""
    rest = [a for a in range(-x.rank, 0) if a not in (row, column)]
    tall = x.shape[row] >= x.shape[column]
    moved = permuted(x, [a + x.rank for a in (*rest, *((row, column) if tall else (column, row)))])
    if order == "nuc":
        result: Var = x.b.write("nuclear_norm", moved)
        return result
    return _extreme("max" if order == 2 else "min", call(x.b, "svdvals", moved), (-1,))


class MatrixNorm(Op):
    """Norm of matrices (the last two axes): 'fro', 1 (largest column sum of |x|), infinity (row sum), 2, 'nuc', …

    'nuc' is the sum of the singular values, 2 the largest and −2 the smallest; −1 and −infinity are smallest sums.
    """

    name = "matrix_norm"
    family = "reduction"
    composite = True
    floating = True
    parameters = (Operand("x"), AXIS_ATTRS[1], Attr("ord", ORDER, "fro"))
    latex = "\\left\\| {x} \\right\\|"
    convention = (
        "Of a zero matrix, and for singular values of 0, the subgradient of least norm, 0; sums and singular values that "
        "tie share the derivative."
    )
    examples = (
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],)),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": 1}),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": "inf", "keepdims": True}),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": 2}),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": -2, "keepdims": True}),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": "nuc"}),
        Example(([[2.0, 0.0], [0.0, 2.0]],), {"ord": "nuc"}, note="repeated singular values"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Over the last two axes."""
        (x,) = operands
        if x.rank < 2:
            raise ShapeMismatch(f"matrix_norm needs a matrix; here the shape is {list(x.shape)}.")
        return keep(matrix_norm(x, -2, -1, attrs["ord"]), x, (-2, -1), attrs["keepdims"])


registry.add(MatrixNorm())


class Norm(Op):
    """Norm of a vector or a matrix, as numpy.linalg.norm: by default the root of the sum of all squares.

    With `ord`, a vector's p-norm or a matrix's operator norm: the operand's axes, or `axis`, decide which (one is a
    vector, two are a matrix).
    """

    name = "norm"
    family = "reduction"
    composite = True
    floating = True
    parameters = (
        Operand("x", ("a", "input")),
        Attr("ord", ORDER, None, ("p",)),
        Attr("axis", AXES, None, ("axes", "dim")),
        AXIS_ATTRS[1],
    )
    latex = "\\left\\| {x} \\right\\|"
    derivative = {"x": "\\frac{x}{\\left\\| x \\right\\|}"}
    convention = _CONVENTION
    examples = (
        Example(([3.0, -4.0],)),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), note="Frobenius"),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"axis": 1}),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": 1}, note="largest column sum"),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": "-inf", "axis": (1, 0)}),
        Example(([[1.0, -2.0, 0.5], [3.0, 4.0, -1.5]],), {"ord": "nuc"}),
        Example(([[[1.0, -2.0], [3.0, 4.0]], [[0.5, 1.0], [2.0, 0.3]]],), {"ord": 2, "axis": (0, 2)}),
        Example(([1.0, -2.0, 0.5],), {"ord": "inf"}),
        Example(([1.0, -2.0, 0.5],), {"ord": 1}),
        Example(([1.0, -2.0, 0.5],), {"ord": 3}),
        Example(([1.0, -2.0, 2.0],), {"ord": "inf"}, smooth=False, note="a tie"),
        Example(([0.0, 0.0],), smooth=False, note="derivative 0 at 0"),
        Example(([1e200, 1e200],), note="no overflow"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A vector's or a matrix's norm."""
        (x,) = operands
        order, axis = attrs["ord"], attrs["axis"]
        if axis is None:
            if order is None or order == "fro":
                axes = tuple(range(-x.rank, 0))
                return keep(vector_norm(x, axes, 2), x, axes, attrs["keepdims"])
            axis = tuple(range(x.rank))
        listed = (axis,) if isinstance(axis, int) else tuple(axis)
        if not 1 <= len(listed) <= 2:
            raise ShapeMismatch(
                f"norm works along one axis (vectors) or two (matrices), not {len(listed)}; the operand has shape "
                f"{list(x.shape)}. Say which by axis, or use vector_norm, which takes any axes."
            )
        own = tuple(normalize_axis(a, x.rank) for a in listed)
        axes = normalize_axes(listed, x.rank)
        y = vector_norm(x, axes, order) if len(own) == 1 else matrix_norm(x, own[0], own[1], order)
        return keep(y, x, axes, attrs["keepdims"])


registry.add(Norm())
