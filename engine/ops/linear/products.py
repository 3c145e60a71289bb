"""Products with a name of their own: matvec, vecmat, multi_dot, addmm and its kin, ONNX's Gemm. All are composites."""

from __future__ import annotations

from typing import Any

from engine.attrs import BOOL, NUMBER
from engine.builder import Builder, Var, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.linear.factor import column, row, transposed
from engine.ops.products.matmul import X1, X2

_M = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


class MatVec(Op):
    """Matrix times vector, for stacks of both: x1 [*s, m, n], x2 [*t, n]  ->  [*broadcast(s, t), m]."""

    name = "matvec"
    family = "linalg"
    composite = True
    parameters = (X1, X2)
    latex = "{x1} \\, {x2}"
    derivative = {"x1": "\\dot{x_1}\\, x_2", "x2": "x_1 \\, \\dot{x_2}"}
    examples = (
        Example((_M, [1.0, -1.0, 0.5])),
        Example((_M, [[1.0, -1.0, 0.5], [2.0, 0.0, 1.0]]), note="a stack of vectors"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A matmul with columns."""
        x, y = operands
        if x.rank < 2 or y.rank < 1 or x.shape[-1] != y.shape[-1]:
            raise ShapeMismatch(
                f"matvec takes matrices [m, n] and vectors [n] in the last axes; the shapes are {list(x.shape)} and "
                f"{list(y.shape)}."
            )
        z: Var = call(b, "matmul", x, column(y))
        return z.reshape(z.shape[:-1])


class VecMat(Op):
    """Vector times matrix, for stacks of both: x1 [*s, m], x2 [*t, m, n]  ->  [*broadcast(s, t), n]."""

    name = "vecmat"
    family = "linalg"
    composite = True
    parameters = (X1, X2)
    latex = "{x1}^\\top {x2}"
    derivative = {"x1": "\\dot{x_1}^\\top x_2", "x2": "x_1^\\top \\dot{x_2}"}
    examples = (
        Example(([1.0, -1.0], _M)),
        Example(([[1.0, -1.0], [2.0, 0.0]], _M), note="a stack of vectors"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A matmul with rows."""
        x, y = operands
        if x.rank < 1 or y.rank < 2 or x.shape[-1] != y.shape[-2]:
            raise ShapeMismatch(
                f"vecmat takes vectors [m] and matrices [m, n] in the last axes; the shapes are {list(x.shape)} and "
                f"{list(y.shape)}."
            )
        z: Var = call(b, "matmul", row(x), y)
        return z.reshape([*z.shape[:-2], z.shape[-1]])


class MultiDot(Op):
    """The product of two or more matrices, in the order of multiplications that takes the fewest operations.

    The first and the last may be vectors: a row and a column.
    """

    name = "multi_dot"
    aliases = ("chain_matmul",)
    family = "linalg"
    composite = True
    parameters = (Operand("arrays", ("tensors", "matrices"), variadic=True, least=2),)
    latex = "\\prod {arrays}"
    examples = (
        Example((_M, [[1.0, 0.5], [2.0, -1.0], [0.0, 3.0]], [[1.0, 2.0], [0.5, 1.5]])),
        Example(([1.0, 2.0], _M, [[1.0], [2.0], [0.5]], [3.0])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """As planned."""
        parts: list[Var] = list(operands)
        for k, v in enumerate(parts):
            ends = k in (0, len(parts) - 1)
            if v.rank != 2 and not (ends and v.rank == 1):
                raise ShapeMismatch(
                    f"multi_dot takes matrices (the first and the last may be vectors); operand {k} has shape "
                    f"{list(v.shape)}."
                )
        first, last = parts[0].rank == 1, parts[-1].rank == 1
        if first:
            parts[0] = row(parts[0])
        if last:
            parts[-1] = column(parts[-1])
        for k in range(len(parts) - 1):
            if parts[k].shape[1] != parts[k + 1].shape[0]:
                raise ShapeMismatch(
                    f"multi_dot: operand {k} has {parts[k].shape[1]} columns, operand {k + 1} has "
                    f"{parts[k + 1].shape[0]} rows; they must be equally many."
                )
        y = _multiplied(b, parts)
        shape = [n for n, gone in zip(y.shape, (first, last), strict=True) if not gone]
        return y if len(shape) == 2 else y.reshape(shape)


MOST_PLANNED = 64
"""Most factors whose order is chosen (which takes cubic time); more are multiplied from the left."""


def _multiplied(b: Builder, parts: list[Var]) -> Var:
    """The product in the cheapest order (Cormen et al., "Introduction to Algorithms", 15.2)."""
    n = len(parts)
    if n > MOST_PLANNED:
        result = parts[0]
        for part in parts[1:]:
            result = b.write("matmul", result, part)
        return result
    sizes = [parts[0].shape[0], *[v.shape[1] for v in parts]]
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            ]
            cost[i][j], split[i][j] = min(options)
    done: dict[tuple[int, int], Var] = {(i, i): v for i, v in enumerate(parts)}
    wanted = [(0, n - 1)]
    while wanted:
        i, j = wanted[-1]
        halves = [(i, split[i][j]), (split[i][j] + 1, j)]
        missing = [h for h in halves if h not in done]
        if missing:
            wanted.extend(missing)
            continue
        wanted.pop()
        if (i, j) not in done:
            done[i, j] = b.write("matmul", done[halves[0]], done[halves[1]])
    return done[0, n - 1]


_SCALES = (
    Attr("beta", NUMBER, 1.0, keyword_only=True),
    Attr("alpha", NUMBER, 1.0, keyword_only=True),
)


class AddProduct(Op):
    """beta·input + alpha·(a product)."""

    family = "linalg"
    composite = True
    floating = True

    def __init__(
        self,
        name: str,
        names: tuple[str, str],
        ranks: tuple[int, int],
        doc: str,
        examples: tuple[Example, ...],
    ) -> None:
        self.name = name
        self.ranks = ranks
        self.__doc__ = doc
        self.parameters = (Operand("input", ("x",)), *(Operand(n) for n in names), *_SCALES)
        self.examples = examples
        first, second = names
        self.latex = f"\\beta {{input}} + \\alpha\\, {{{first}}}\\, {{{second}}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A product and a sum. With beta 0 the input is not looked at, as in PyTorch."""
        given, x, y = operands
        if (x.rank, y.rank) != self.ranks:
            raise ShapeMismatch(
                f"{self.name} multiplies arrays of {self.ranks[0]} and {self.ranks[1]} axes; the shapes are "
                f"{list(x.shape)} and {list(y.shape)}."
            )
        z: Var = call(b, "outer", x, y) if self.ranks == (1, 1) else call(b, "matmul", x, y)
        if self.name == "addbmm":
            z = z.sum(0)
        return _combined(b, self.name, given, attrs["beta"], z, attrs["alpha"])


def _combined(b: Builder, name: str, given: Var | None, beta: float, z: Var, alpha: float) -> Var:
    if alpha != 1:
        z = alpha * z
    if given is None:
        return z
    shape = z.shape
    if beta == 0:
        return z
    total: Var = (given if beta == 1 else beta * given) + z
    if total.shape != shape:
        raise ShapeMismatch(
            f"{name}: what is added (shape {list(given.shape)}) must fit the product, which has shape {list(shape)}."
        )
    return total


_A2, _B2 = [[1.0, 2.0], [3.0, 4.0]], [[0.5, -1.0], [2.0, 1.5]]
for _name, _names, _ranks, _what, _operands in (
    ("addmm", ("mat1", "mat2"), (2, 2), "the product of two matrices", ([1.0, 2.0], _A2, _B2)),
    ("addmv", ("mat", "vec"), (2, 1), "the product of a matrix and a vector", ([1.0, 2.0], _A2, [0.5, 3.0])),
    ("addr", ("vec1", "vec2"), (1, 1), "the outer product of two vectors", (_A2, [0.5, 3.0], [1.0, -2.0])),
    (
        "baddbmm",
        ("batch1", "batch2"),
        (3, 3),
        "the products of two stacks of matrices",
        (1.5, [_A2, _B2], [_B2, _A2]),
    ),
    (
        "addbmm",
        ("batch1", "batch2"),
        (3, 3),
        "the sum of products of two stacks",
        (_A2, [_A2, _B2], [_B2, _A2]),
    ),
):
    registry.add(
        AddProduct(
            _name, _names, _ranks, f"beta·input + alpha times {_what}, as PyTorch's; the input is broadcast.",
            (Example(_operands), Example(_operands, {"beta": 0.5, "alpha": -2.0}), Example(_operands, {"beta": 0})),
        )
    )  # fmt: skip


class Gemm(Op):
    """ONNX's Gemm: alpha·A′ B′ + beta·C with A′ and B′ the matrices or, if transA or transB, their transposes.

    C may be absent, and is broadcast to the product.
    """

    name = "gemm"
    aliases = ("Gemm",)
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        Operand("A", ("a",)), Operand("B", ("b",)), Operand("C", ("c",), optional=True), Attr("alpha", NUMBER, 1.0),
        Attr("beta", NUMBER, 1.0), Attr("transA", BOOL, False), Attr("transB", BOOL, False),
    )  # fmt: skip
    latex = "\\alpha {A} {B} + \\beta {C}"
    examples = (
        Example((_A2, _M)),
        Example((_M, _A2, [1.0, 2.0]), {"transA": True, "alpha": 0.5}),
        Example((_A2, [[1.0, 2.0], [0.5, 1.0], [3.0, -1.0]], [[1.0], [2.0]]), {"transB": True, "beta": 2.0}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A product and a sum."""
        x, y, given = (*operands, None)[:3]
        if x.rank != 2 or y.rank != 2:
            raise ShapeMismatch(
                f"gemm multiplies two matrices; the shapes are {list(x.shape)} and {list(y.shape)}."
            )
        x = transposed(x) if attrs["transA"] else x
        y = transposed(y) if attrs["transB"] else y
        return _combined(b, "gemm", given, attrs["beta"], call(b, "matmul", x, y), attrs["alpha"])


for _op in (MatVec(), VecMat(), MultiDot(), Gemm()):
    registry.add(_op)
