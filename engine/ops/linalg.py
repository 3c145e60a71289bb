"""Products of matrices and vectors: matmul, dot, inner, outer, tensordot, kron, cross, trace, …

The core holds `matmul` of equally many stacked matrices. All else is written with it by way of `contract`, which sums a
product of two arrays over the axes that they share, and with multiplications where there is nothing to sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from engine.attrs import AXES_PAIR, AXIS, INT, OPTIONAL_AXIS
from engine.aval import Aval, Avals, broadcast_shapes, normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import DtypeMismatch, InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Linear, Op, Operand, Spelling, registry
from engine.ops.gather import gather_axis, permuted, reshaped
from engine.ops.shape import take_slice

# --------------------------------------------------------------------------------------------------------- contractions


def contract(x: Var, xs: Sequence[Hashable], y: Var, ys: Sequence[Hashable], out: Sequence[Hashable]) -> Var:
    """Σ x·y over the labels that stand in both `xs` and `ys` and not in `out`, as one matmul.

    `xs`, `ys` and `out` label the axes of x, y and the result. A label of `out` that both have is a batch; one that only
    one of them has must stand in `out`. Sizes of equal labels are equal.
    """
    batch = [n for n in xs if n in ys and n in out]
    summed = [n for n in xs if n in ys and n not in out]
    left, right = [n for n in xs if n not in ys], [n for n in ys if n not in xs]
    result = [*batch, *left, *right]
    size = dict(zip([*xs, *ys], [*x.shape, *y.shape], strict=True))
    if not summed:
        product: Var = call(x.b, "multiply", _aligned(x, xs, out), _aligned(y, ys, out))
        return product
    if list(out) == [*batch, *right, *left] != result:
        return contract(y, ys, x, xs, out)
    lead = [size[n] for n in batch]
    m, k, n = (prod(size[n] for n in names) for names in (left, summed, right))
    a = reshaped(permuted(x, [list(xs).index(n) for n in (*batch, *left, *summed)]), (*lead, m, k))
    b = reshaped(permuted(y, [list(ys).index(n) for n in (*batch, *summed, *right)]), (*lead, k, n))
    c: Var = x.b.write("matmul", a, b)
    c = reshaped(c, [size[n] for n in result])
    return permuted(c, [result.index(n) for n in out])


def _aligned(x: Var, xs: Sequence[Hashable], out: Sequence[Hashable]) -> Var:
    """Axes in the order of `out`, with 1 for those that x does not have."""
    size = dict(zip(xs, x.shape, strict=True))
    own = permuted(x, [list(xs).index(n) for n in out if n in size])
    first = next((i for i, n in enumerate(out) if n in size), len(out))
    return reshaped(own, [size.get(n, 1) for n in out[first:]])


# --------------------------------------------------------------------------------------------------------------- matmul


def _matmul_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    other = operands[1 - k]
    turned: Var = ct.b.write("permute_dims", other, axes=(-1, -2))
    back: Var = ct.b.write("matmul", *((ct, turned) if k == 0 else (turned, ct)))
    return back


_X1 = Operand("x1", ("a", "A", "x", "input", "mat1"))
_X2 = Operand("x2", ("b", "B", "y", "other", "mat2"))
_PRODUCT = {"x1": "\\dot{x_1}\\, x_2", "x2": "x_1 \\, \\dot{x_2}"}


class Matmul(Op):
    """Matrix product, x1 @ x2; stacks of matrices in the last two axes, vectors as NumPy takes them.

    x1: [*s, m, k], x2: [*t, k, n]  ->  [*broadcast(s, t), m, n]. A vector x1 is a row, a vector x2 a column, and that axis
    is not in the result. Scalars are refused.

    Both derivatives are matrix products: x̄1 = ȳ x2ᵀ, x̄2 = x1ᵀ ȳ. Infinities and NaN follow IEEE arithmetic.
    """

    name = "matmul"
    aliases = ("@", "mm", "bmm", "mv", "MatMul")
    family = "linalg"
    parameters = (_X1, _X2)
    latex = "{x1} \\, {x2}"
    derivative = _PRODUCT
    rules = (Linear(_matmul_back),)
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, -1.0], [0.5, 2.0], [3.0, 0.0]])),
        Example(([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0]), note="a matrix and a vector"),
        Example(([1.0, 2.0], [5.0, 6.0]), note="two vectors: a scalar"),
        Example(([[[1.0, 2.0]], [[3.0, 4.0]]], [[[1.0], [2.0]], [[0.5], [-1.0]]]), note="a stack"),
        Example(([[[1.0, 2.0]], [[3.0, 4.0]]], [[1.0], [2.0]]), note="a stack by one matrix"),
        Example(([[], []], []), note="no columns: zeros"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A contraction over the last axis of x1; axes that only one of the two has are no batch but rows or columns."""
        x, y = operands
        _check_matmul("matmul", x, y)
        row, column = x.rank == 1, y.rank == 1
        s, t = x.shape[: x.rank - 2] if not row else (), y.shape[: y.rank - 2] if not column else ()
        try:
            lead = broadcast_shapes([s, t])
        except ShapeMismatch as wrong:
            raise ShapeMismatch(
                f"matmul: shapes {list(x.shape)} and {list(y.shape)} do not go together: the axes before the last two "
                f"must be equal, or 1. {wrong.detail}"
            ) from None
        xs, x = _labelled(x, s, lead, ["k"] if row else ["m", "k"])
        ys, y = _labelled(y, t, lead, ["k"] if column else ["k", "n"])
        out = [*range(-len(lead), 0), *([] if row else ["m"]), *([] if column else ["n"])]
        ones = [n for n in out if n not in xs and n not in ys]
        if not ones:
            return contract(x, xs, y, ys, out)
        z = contract(x, xs, y, ys, [n for n in out if n not in ones])
        return reshaped(z, (*lead, *z.shape[z.rank - (2 - row - column) :]))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Stacks of equal shape; the inner sizes must be equal."""
        (s, dtype), (t, other) = avals
        if len(s) < 2 or s[:-2] != t[:-2] or s[-1] != t[-2]:
            raise ShapeMismatch(f"matmul: shapes {list(s)} and {list(t)} do not go together.")
        if dtype != other:
            raise DtypeMismatch(f"matmul: dtypes {dtype} and {other} are not equal.")
        return Aval((*s[:-1], t[-1]), dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's matmul: BLAS for floating-point numbers."""
        return np.matmul(arrays[0], arrays[1])

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """A batch of matrices by one matrix is one larger product."""
        x, y = operands
        if all(mapped) or any(v.rank - m != 2 for v, m in zip(operands, mapped, strict=True)):
            return super().vmap(b, size, operands, mapped, **params)
        lead = ["batch"]
        return contract(
            x, [*lead * mapped[0], "m", "k"], y, [*lead * mapped[1], "k", "n"], [*lead, "m", "n"]
        ).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """2·m·n·k for each matrix. Integers have no BLAS: they cost about twelve times as much (500², two cores)."""
        assert isinstance(result, Aval)
        return 2.0 * result.size * operands[0].shape[-1] * (12.0 if result.dtype == "int64" else 1.0)


def _check_matmul(name: str, x: Var, y: Var) -> None:
    for which, v in (("first", x), ("second", y)):
        if v.rank == 0:
            raise ShapeMismatch(
                f"{name} needs arrays of at least one axis, and the {which} operand is a scalar (shapes {list(x.shape)} "
                f"and {list(y.shape)}). Use * to multiply by a number."
            )
    inner = -1 if y.rank == 1 else -2
    if x.shape[-1] != y.shape[inner]:
        at = "last" if inner == -1 else "last but one"
        raise ShapeMismatch(
            f"{name}: shapes {list(x.shape)} and {list(y.shape)} do not go together: the last axis of the first has size "
            f"{x.shape[-1]}, the {at} axis of the second has size {y.shape[inner]}; they must be equal."
        )


def _labelled(
    x: Var, own: Sequence[int], lead: Sequence[int], last: Sequence[Hashable]
) -> tuple[list[Hashable], Var]:
    """Labels of a stack, and the stack without those axes of size 1 that are stretched or stand for nothing."""
    kept = [i - len(own) for i, n in enumerate(own) if n != 1]
    core = x.shape[len(own) :]
    return [*kept, *last], reshaped(x, [*[lead[i] for i in kept], *core])


registry.add(Matmul())

# ----------------------------------------------------------------------------------------------------- products of two

_A = Operand("a", ("x1", "x", "input"))
_B = Operand("b", ("x2", "y", "other", "tensor", "vec2"))
_AB = {"a": "\\dot{a} \\cdot b", "b": "a \\cdot \\dot{b}"}


class Dot(Op):
    """NumPy's dot: inner product of vectors, matrix product of matrices, product with a scalar.

    In general a sum over the last axis of a and the last but one of b (of a vector b: its only one):
    a: [*s, k], b: [*t, k, n]  ->  [*s, *t, n].
    """

    name = "dot"
    family = "linalg"
    parameters = (_A, _B)
    composite = True
    latex = "{a} \\cdot {b}"
    derivative = _AB
    examples = (
        Example(([1.0, 2.0, 3.0], [4.0, -5.0, 6.0])),
        Example(([[1.0, 0.0], [0.0, 1.0]], [[4.0, 1.0], [2.0, 2.0]])),
        Example((3.0, [[4.0, 1.0], [2.0, 2.0]]), note="a scalar"),
        Example(([], []), note="of nothing: 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A contraction."""
        x, y = operands
        if not x.rank or not y.rank:
            scaled: Var = call(b, "multiply", x, y)
            return scaled
        _check_matmul("dot", x, y)
        xs = [*(("x", i) for i in range(x.rank - 1)), "k"]
        ys: list[Hashable] = [*(("y", i) for i in range(y.rank - 2)), "k", *["n"] * (y.rank > 1)]
        return contract(x, xs, y, ys, [*xs[:-1], *[n for n in ys if n != "k"]])


class Vdot(Op):
    """Inner product of two arrays of equally many elements, both flattened: Σ aᵢ bᵢ."""

    name = "vdot"
    family = "linalg"
    parameters = (_A, _B)
    composite = True
    latex = "\\langle {a}, {b} \\rangle"
    derivative = _AB
    examples = (Example(([[1.0, 4.0], [5.0, 6.0]], [[4.0, 1.0], [2.0, 2.0]])),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A contraction of vectors."""
        x, y = operands
        if x.size != y.size:
            raise ShapeMismatch(
                f"vdot: shapes {list(x.shape)} and {list(y.shape)} have {x.size} and {y.size} elements; both are "
                f"flattened, so they must have equally many."
            )
        return contract(reshaped(x, (x.size,)), ["k"], reshaped(y, (y.size,)), ["k"], [])


class Vecdot(Op):
    """Inner products of vectors that lie along one axis, by default the last; the other axes are broadcast."""

    name = "vecdot"
    family = "linalg"
    parameters = (_X1, _X2, Attr("axis", AXIS, -1, ("dim",)))
    composite = True
    latex = "\\langle {x1}, {x2} \\rangle"
    derivative = {"x1": "\\langle \\dot{x_1}, x_2 \\rangle", "x2": "\\langle x_1, \\dot{x_2} \\rangle"}
    examples = (Example(([[0.0, 5.0, 0.0], [0.0, 0.0, 10.0], [0.0, 6.0, 8.0]], [0.0, 0.6, 0.8])),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A matmul of rows by columns."""
        x, y = (_last(v, attrs["axis"], "vecdot") for v in operands)
        if x.shape[-1] != y.shape[-1]:
            raise ShapeMismatch(
                f"vecdot: along axis {attrs['axis']} the vectors have {x.shape[-1]} and {y.shape[-1]} components (shapes "
                f"{list(operands[0].shape)} and {list(operands[1].shape)}); they must have equally many."
            )
        z: Var = call(b, "matmul", x.reshape((*x.shape[:-1], 1, x.shape[-1])), y.reshape((*y.shape, 1)))
        return reshaped(z, z.shape[:-2])


def _last(x: Var, axis: int, name: str, what: str = "axis") -> Var:
    """The array with an axis moved to the end."""
    if not x.rank:
        raise ShapeMismatch(
            f"{name} needs vectors, that is arrays of at least one axis; an operand is a scalar."
        )
    at = normalize_axis(axis, x.rank, what=what) + x.rank
    return permuted(x, [*[k for k in range(x.rank) if k != at], at])


class Inner(Op):
    """Sum over the last axes of both: a: [*s, k], b: [*t, k]  ->  [*s, *t]. A scalar multiplies."""

    name = "inner"
    family = "linalg"
    parameters = (_A, _B)
    composite = True
    latex = "\\langle {a}, {b} \\rangle"
    derivative = _AB
    examples = (
        Example(([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])),
        Example(([[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 1.0]])),
        Example(([[1.0, 2.0], [3.0, 4.0]], 7.0), note="a scalar"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A contraction."""
        x, y = operands
        if not x.rank or not y.rank:
            scaled: Var = call(b, "multiply", x, y)
            return scaled
        if x.shape[-1] != y.shape[-1]:
            raise ShapeMismatch(
                f"inner: shapes {list(x.shape)} and {list(y.shape)} do not go together: the last axes have sizes "
                f"{x.shape[-1]} and {y.shape[-1]}; they must be equal."
            )
        return _tensordot(x, [x.rank - 1], y, [y.rank - 1])


class Outer(Op):
    """Outer product of two arrays, both flattened: aᵢ bⱼ."""

    name = "outer"
    aliases = ("ger",)
    family = "linalg"
    parameters = (_A, _B)
    composite = True
    latex = "{a} \\otimes {b}"
    derivative = {"a": "\\dot{a} \\otimes b", "b": "a \\otimes \\dot{b}"}
    examples = (Example(([1.0, 2.0, 3.0], [4.0, 5.0])), Example(([[1.0, 2.0]], 3.0), note="flattened"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A column times a row."""
        x, y = operands
        return _tensordot(reshaped(x, (x.size,)), [], reshaped(y, (y.size,)), [])


class Tensordot(Op):
    """Sum of products over several axes: the last n of a with the first n of b, or the pairs of axes that are named.

    `axes`: an integer n, or two lists (axes of a, axes of b). The result has the other axes of a, then those of b.
    """

    name = "tensordot"
    family = "linalg"
    parameters = (_A, _B, Attr("axes", AXES_PAIR, 2, ("dims",)))
    composite = True
    latex = "{a} \\cdot {b}"
    derivative = _AB
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 0.5], [2.0, -1.0], [0.0, 3.0]]), {"axes": 1}),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 0.5], [2.0, -1.0], [0.0, 3.0]]),
            {"axes": ((0, 1), (1, 0))},
        ),
        Example(([1.0, 2.0], [3.0, 4.0, 5.0]), {"axes": 0}, note="outer product"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A contraction."""
        x, y = operands
        left, right = _pairs(attrs["axes"], x, y)
        xs = [normalize_axis(a, x.rank, what="tensordot: the first operand's axis") + x.rank for a in left]
        ys = [normalize_axis(a, y.rank, what="tensordot: the second operand's axis") + y.rank for a in right]
        for named in (xs, ys):
            if len(set(named)) != len(named):
                raise InvalidAttribute(f"tensordot: axes {[list(left), list(right)]} name an axis twice.")
        for i, j in zip(xs, ys, strict=True):
            if x.shape[i] != y.shape[j]:
                raise ShapeMismatch(
                    f"tensordot: axis {i} of the first operand (shape {list(x.shape)}) has size {x.shape[i]}, axis {j} of "
                    f"the second (shape {list(y.shape)}) has size {y.shape[j]}; axes summed together must be equal."
                )
        return _tensordot(x, xs, y, ys)


def _pairs(axes: Any, x: Var, y: Var) -> tuple[Sequence[int], Sequence[int]]:
    if isinstance(axes, int):
        if not 0 <= axes <= min(x.rank, y.rank):
            raise InvalidAttribute(
                f"tensordot: axes = {axes} would sum over that many axes of operands that have {x.rank} and {y.rank} "
                f"(shapes {list(x.shape)} and {list(y.shape)})."
            )
        return range(x.rank - axes, x.rank), range(axes)
    if len(axes) != 2:
        raise InvalidAttribute(
            "tensordot: axes must be an integer, or two lists: the axes of a and those of b."
        )
    left, right = ((a,) if isinstance(a, int) else a for a in axes)
    if len(left) != len(right):
        raise InvalidAttribute(
            f"tensordot: {len(left)} axes of a cannot be summed with {len(right)} axes of b."
        )
    return left, right


def _tensordot(x: Var, left: Sequence[int], y: Var, right: Sequence[int]) -> Var:
    """Sum over axes of x together with axes of y (both counted from the front)."""
    xs: list[Hashable] = [("x", i) for i in range(x.rank)]
    ys: list[Hashable] = [("y", i) for i in range(y.rank)]
    for i, j in zip(left, right, strict=True):
        xs[i] = ys[j] = ("summed", i)
    return contract(x, xs, y, ys, [n for n in (*xs, *ys) if n not in xs or n not in ys])


class Kron(Op):
    """Kronecker product: every entry of a times the whole of b. The operand of lower rank gets axes of 1 in front."""

    name = "kron"
    family = "linalg"
    parameters = (_A, _B)
    composite = True
    latex = "{a} \\otimes {b}"
    derivative = {"a": "\\dot{a} \\otimes b", "b": "a \\otimes \\dot{b}"}
    examples = (
        Example(([1.0, 10.0, 100.0], [5.0, 6.0, 7.0])),
        Example(([[1.0, 2.0], [0.0, 3.0]], [[1.0, -1.0]])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Axes of a beside axes of b, then joined."""
        x, y = operands
        rank = max(x.rank, y.rank)
        s, t = ((1,) * (rank - v.rank) + v.shape for v in (x, y))
        wide = reshaped(x, [n for size in s for n in (size, 1)])
        high = reshaped(y, [n for size in t for n in (1, size)])
        product: Var = call(b, "multiply", wide, high)
        return reshaped(product, [m * n for m, n in zip(s, t, strict=True)])


class Cross(Op):
    """Vector product in three dimensions, of vectors along the last axis or along those named.

    `axisa`, `axisb`, `axisc` name the axis of a, b and the result; `axis` names all three.
    """

    name = "cross"
    family = "linalg"
    parameters = (
        _A,
        _B,
        Attr("axisa", AXIS, -1),
        Attr("axisb", AXIS, -1),
        Attr("axisc", AXIS, -1),
        Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
    )
    spellings: Mapping[str, Spelling] = {
        "numpy.linalg.cross": Spelling({"axis": -1}, (_A, _B, Attr("axis", AXIS, -1)))
    }
    composite = True
    latex = "{a} \\times {b}"
    derivative = {"a": "\\dot{a} \\times b", "b": "a \\times \\dot{b}"}
    examples = (
        Example(([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [4.0, 5.0, -6.0])),
        Example(([[1.0], [2.0], [3.0]], [[4.0], [5.0], [7.0]]), {"axis": 0}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """a₁b₂ − a₂b₁, cyclically."""
        x, y = operands
        axis = attrs["axis"]
        axes = [attrs[n] if axis is None else axis for n in ("axisa", "axisb", "axisc")]
        x, y = _last(x, axes[0], "cross", "axisa"), _last(y, axes[1], "cross", "axisb")
        if x.shape[-1] != 3 or y.shape[-1] != 3:
            raise ShapeMismatch(
                f"cross: vectors must have 3 components; along axes {axes[0]} and {axes[1]} shapes {list(operands[0].shape)} "
                f"and {list(operands[1].shape)} have {x.shape[-1]} and {y.shape[-1]}. In the plane it is the number "
                f"a[0]*b[1] - a[1]*b[0]."
            )
        next1, next2 = (b.var(np.array(order), "int64") for order in ([1, 2, 0], [2, 0, 1]))
        z: Var = gather_axis(x, next1, -1) * gather_axis(y, next2, -1)
        z = z - gather_axis(x, next2, -1) * gather_axis(y, next1, -1)
        at = normalize_axis(axes[2], z.rank, what="axisc") + z.rank
        order = list(range(z.rank - 1))
        order.insert(at, z.rank - 1)
        return permuted(z, order)


class Trace(Op):
    """Sum over a diagonal of a matrix, or of the matrices that two axes of an array make.

    `offset` says how far right of the main diagonal (left if negative); a diagonal that does not exist sums to 0.
    """

    name = "trace"
    family = "linalg"
    parameters = (
        Operand("a", ("x", "input")),
        Attr("offset", INT, 0),
        Attr("axis1", AXIS, 0),
        Attr("axis2", AXIS, 1),
    )
    spellings: Mapping[str, Spelling] = {
        "numpy.linalg.trace": Spelling(
            {"axis1": -2, "axis2": -1}, (Operand("a", ("x",)), Attr("offset", INT, 0, keyword_only=True))
        )
    }
    composite = True
    latex = "\\operatorname{{tr}} {a}"
    derivative = {"a": "I"}
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]],)),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), {"offset": 1}),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), {"offset": -5}, note="no such diagonal"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A sum over a diagonal."""
        (a,) = operands
        if a.rank < 2:
            raise ShapeMismatch(
                f"trace needs a matrix, an array of at least two axes; the shape is {list(a.shape)}."
            )
        i = normalize_axis(attrs["axis1"], a.rank, what="axis1") + a.rank
        j = normalize_axis(attrs["axis2"], a.rank, what="axis2") + a.rank
        if i == j:
            raise InvalidAttribute(f"trace: axis1 and axis2 both name axis {i}; they must differ.")
        result: Var = call(b, "sum", diagonal(a, i, j, attrs["offset"]), axis=-1)
        return result


def diagonal(a: Var, i: int, j: int, offset: int = 0) -> Var:
    """The diagonal of axes i and j (counted from the front), as the last axis, behind the other axes."""
    n, m = a.shape[i], a.shape[j]
    others = [k for k in range(a.rank) if k not in (i, j)]
    flat = reshaped(permuted(a, [*others, i, j]), (*[a.shape[k] for k in others], n * m))
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    start = offset if offset >= 0 else -offset * m
    cut = (start, start + (length - 1) * (m + 1) + 1, m + 1) if length else (0, 0, 1)
    return take_slice(flat, [cut])


for _op in (Dot(), Vdot(), Vecdot(), Inner(), Outer(), Tensordot(), Kron(), Cross(), Trace()):
    registry.add(_op)
