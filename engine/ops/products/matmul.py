"""The matrix product, and `contract`, by which all other products of arrays are written with it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Aval, Avals, broadcast_shapes
from engine.builder import Builder, Var, call
from engine.errors import DtypeMismatch, ShapeMismatch
from engine.op import Example, Into, Linear, Op, Operand, Params, registry
from engine.ops.index.gather import reshaped
from engine.ops.layout.arrange import permuted

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

# --------------------------------------------------------------------------------------------------------- contractions


def contract(x: Var, xs: Sequence[Hashable], y: Var, ys: Sequence[Hashable], out: Sequence[Hashable]) -> Var:
    """Σ x·y over the labels that stand in both `xs` and `ys` and not in `out`, as one matmul.

    `xs`, `ys` and `out` label the axes of x, y and the result. A label of `out` that both have is a batch; one that
    only one of them has must stand in `out`. Sizes of equal labels are equal.
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


X1 = Operand("x1", ("a", "A", "x", "input", "mat1"))
X2 = Operand("x2", ("b", "B", "y", "other", "mat2"))
PRODUCT = {"x1": "\\dot{x_1}\\, x_2", "x2": "x_1 \\, \\dot{x_2}"}


class Matmul(Op):
    """Matrix product, x1 @ x2; stacks of matrices in the last two axes, vectors as NumPy takes them.

    x1: [*s, m, k], x2: [*t, k, n]  ->  [*broadcast(s, t), m, n]. A vector x1 is a row, a vector x2 a column, and that
    axis is not in the result. Scalars are refused.

    Both derivatives are matrix products: x̄1 = ȳ x2ᵀ, x̄2 = x1ᵀ ȳ. Infinities and NaN follow IEEE arithmetic.
    """

    name = "matmul"
    aliases = ("@", "mm", "bmm", "mv", "MatMul")
    family = "linalg"
    compact = True
    parameters = (X1, X2)
    latex = "{x1} \\, {x2}"
    derivative = PRODUCT
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
        """A contraction over the last axis of x1; axes that only one of the two has are rows or columns, no batch."""
        x, y = operands
        check_inner("matmul", x, y)
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

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """The same, with `out`."""
        return Into(np.matmul)

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """A member of the stack, rows of the first, or columns of the second."""
        rows = result.rank - 2
        return (axis, axis) if axis < rows else (rows, None) if axis == rows else (None, rows + 1)

    def summed(
        self, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> Sequence[tuple[int | None, ...]]:
        """Along the inner axis."""
        return [(result.rank - 1, result.rank - 2)]

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """Sums of products."""
        return e.product(*positions)

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


def check_inner(name: str, x: Var, y: Var) -> None:
    for which, v in (("first", x), ("second", y)):
        if v.rank == 0:
            raise ShapeMismatch(
                f"{name} needs arrays of at least one axis, and the {which} operand is a scalar (shapes "
                f"{list(x.shape)} and {list(y.shape)}). Use * to multiply by a number."
            )
    inner = -1 if y.rank == 1 else -2
    if x.shape[-1] != y.shape[inner]:
        at = "last" if inner == -1 else "last but one"
        raise ShapeMismatch(
            f"{name}: shapes {list(x.shape)} and {list(y.shape)} do not go together: the last axis of the first has "
            f"size {x.shape[-1]}, the {at} axis of the second has size {y.shape[inner]}; they must be equal."
        )


def _labelled(
    x: Var, own: Sequence[int], lead: Sequence[int], last: Sequence[Hashable]
) -> tuple[list[Hashable], Var]:
    """Labels of a stack, and the stack without those axes of size 1 that are stretched or stand for nothing."""
    kept = [i - len(own) for i, n in enumerate(own) if n != 1]
    core = x.shape[len(own) :]
    return [*kept, *last], reshaped(x, [*[lead[i] for i in kept], *core])


registry.add(Matmul())
