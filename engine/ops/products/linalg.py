"""Products of vectors, matrices and arrays: dot, inner, outer, tensordot, kron, cross, trace, …

All are composites: sums of products by `contract`, which makes them one `matmul`, and multiplications where there is
nothing to sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import AXES_PAIR, AXIS, INT, OPTIONAL_AXIS
from engine.aval import normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Spelling, registry
from engine.ops.index.gather import gather_axis, reshaped
from engine.ops.layout.arrange import permuted
from engine.ops.products.matmul import X1, X2, check_inner, contract

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
        check_inner("dot", x, y)
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
    parameters = (X1, X2, Attr("axis", AXIS, -1, ("dim",)))
    composite = True
    latex = "\\langle {x1}, {x2} \\rangle"
    derivative = {"x1": "\\langle \\dot{x_1}, x_2 \\rangle", "x2": "\\langle x_1, \\dot{x_2} \\rangle"}
    examples = (Example(([[0.0, 5.0, 0.0], [0.0, 0.0, 10.0], [0.0, 6.0, 8.0]], [0.0, 0.6, 0.8])),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A matmul of rows by columns."""
        x, y = (_last(v, attrs["axis"], "vecdot") for v in operands)
        if x.shape[-1] != y.shape[-1]:
            raise ShapeMismatch(
                f"vecdot: along axis {attrs['axis']} the vectors have {x.shape[-1]} and {y.shape[-1]} components "
                f"(shapes {list(operands[0].shape)} and {list(operands[1].shape)}); they must have equally many."
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
                    f"tensordot: axis {i} of the first operand (shape {list(x.shape)}) has size {x.shape[i]}, axis {j} "
                    f"of the second (shape {list(y.shape)}) has size {y.shape[j]}; axes summed together must be equal."
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
        name: Spelling({"axis": -1}, (_A, _B, Attr("axis", AXIS, -1, ("dim",))))
        for name in ("numpy.linalg.cross", "torch.linalg.cross", "torch.cross")
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
                f"cross: vectors must have 3 components; along axes {axes[0]} and {axes[1]} shapes "
                f"{list(operands[0].shape)} and {list(operands[1].shape)} have {x.shape[-1]} and {y.shape[-1]}. In the "
                f"plane it is the number a[0]*b[1] - a[1]*b[0]."
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
        result: Var = call(b, "sum", call(b, "diagonal", a, **attrs), axis=-1)
        return result


for _op in (Dot(), Vdot(), Vecdot(), Inner(), Outer(), Tensordot(), Kron(), Cross(), Trace()):
    registry.add(_op)
