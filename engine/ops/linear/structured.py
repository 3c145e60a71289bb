"""Matrices with a pattern: toeplitz, hankel, circulant, companion, block_diag, tri. All are composites."""

from __future__ import annotations

from typing import Any

from engine.attrs import INT, SIZE, optional
from engine.builder import Builder, Var, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.index.gather import gather_axis
from engine.ops.layout.arrange import Arrangement, check_size
from engine.ops.layout.creation import Creation
from engine.ops.layout.shape import joined, slice_axis
from engine.ops.linear.factor import column

_C = Operand("c", ("x",))
_R = Operand("r", optional=True)


def _vector(name: str, x: Var) -> int:
    """The length of a vector, or of each of a stack. Raises `ShapeMismatch`."""
    if not x.rank or not x.shape[-1]:
        raise ShapeMismatch(f"{name} is made of vectors of at least one entry; the shape is {list(x.shape)}.")
    return x.shape[-1]


def _pair(name: str, operands: Any) -> tuple[Var, Var | None]:
    c, r = (*operands, None)[:2]
    _vector(name, c)
    if r is not None:
        _vector(name, r)
        if r.rank != 1 or c.rank != 1:
            raise ShapeMismatch(
                f"{name}: the first column and the row must be vectors; the shapes are {list(c.shape)} and "
                f"{list(r.shape)}."
            )
    return c, r


def _read(b: Builder, values: Var, index: Var) -> Var:
    """Entries of vectors at a matrix of places."""
    m, n = index.shape
    check_size(b, (*values.shape[:-1], m, n), values)
    return gather_axis(values, index, -1)


def _rows_and_columns(b: Builder, m: int, n: int) -> tuple[Var, Var]:
    return column(b.write("iota", n=m)), b.write("iota", n=n)


class Toeplitz(Arrangement):
    """The matrix with constant diagonals that has first column c and first row r (its first entry is not looked at).

    Without r it is symmetric.
    """

    name = "toeplitz"
    family = "linalg"
    parameters = (_C, _R)
    latex = "\\operatorname{{toeplitz}}({c})"
    derivative = {"c": "1", "r": "1"}
    examples = (
        Example(([1.0, 2.0, 3.0],)),
        Example(([1.0, 2.0, 3.0], [9.0, 4.0])),
        Example(([[1.0, 2.0], [3.0, 4.0]],), note="a stack"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Reads r backwards, then c."""
        c, given = _pair(self.name, operands)
        r = c if given is None else given
        m, n = c.shape[-1], r.shape[-1]
        values = joined([call(b, "flip", slice_axis(r, -1, 1, n), axis=-1), c], -1)
        i, j = _rows_and_columns(b, m, n)
        return _read(b, values, i - j + (n - 1))


class Hankel(Arrangement):
    """The matrix with constant antidiagonals that has first column c and last row r (its first entry is not looked at).

    Without r the rest is 0.
    """

    name = "hankel"
    family = "linalg"
    parameters = (_C, _R)
    latex = "\\operatorname{{hankel}}({c})"
    derivative = {"c": "1", "r": "1"}
    examples = (Example(([1.0, 2.0, 3.0],)), Example(([1.0, 2.0, 3.0], [9.0, 4.0])))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Reads c, then r."""
        c, given = _pair(self.name, operands)
        r = call(b, "zeros_like", c) if given is None else given
        m, n = c.shape[-1], r.shape[-1]
        i, j = _rows_and_columns(b, m, n)
        return _read(b, joined([c, slice_axis(r, -1, 1, n)], -1), i + j)


class Circulant(Arrangement):
    """The matrix whose columns are c, and c turned by one place after the other."""

    name = "circulant"
    family = "linalg"
    parameters = (_C,)
    latex = "\\operatorname{{circulant}}({c})"
    derivative = {"c": "1"}
    examples = (Example(([1.0, 2.0, 3.0],)), Example(([[1.0, 2.0], [3.0, 4.0]],), note="a stack"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Entry (i − j) mod n."""
        (c,) = operands
        n = _vector(self.name, c)
        i, j = _rows_and_columns(b, n, n)
        return _read(b, c, call(b, "remainder", i - j, n))


class Companion(Op):
    """The companion matrix of a polynomial with coefficients a, highest first: its eigenvalues are the roots."""

    name = "companion"
    family = "linalg"
    composite = True
    floating = True
    parameters = (Operand("a", ("p", "x")),)
    latex = "\\operatorname{{companion}}({a})"
    convention = "A first coefficient of 0 gives infinities or NaN."
    examples = (Example(([2.0, -10.0, 31.0, -30.0],)), Example(([4.0, 2.0],)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """−a₁/a₀, … above an identity."""
        (a,) = operands
        if a.rank != 1 or a.shape[0] < 2:
            raise ShapeMismatch(
                f"companion takes a vector of at least two coefficients; the shape is {list(a.shape)}."
            )
        n = a.shape[0]
        first = -slice_axis(a, -1, 1, n) / slice_axis(a, -1, 0, 1)
        return joined([first.reshape((1, n - 1)), call(b, "eye", n=n - 2, m=n - 1)], -2)


class BlockDiag(Arrangement):
    """Matrices put one behind the other along the diagonal, with zeros elsewhere; a vector is a row."""

    name = "block_diag"
    family = "linalg"
    parameters = (Operand("arrays", ("arrs", "tensors"), variadic=True),)
    latex = "\\operatorname{{diag}}({arrays})"
    derivative = {"arrays": "1"}
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]], [[5.0]], [6.0, 7.0])),
        Example((2.0, [[1.0, 3.0]])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Each laid into its rows of zeros."""
        parts = [v.reshape((1, v.size)) if v.rank < 2 else v for v in operands]
        for v in parts:
            if v.rank != 2:
                raise ShapeMismatch(f"block_diag takes matrices; one operand has shape {list(v.shape)}.")
        rows, columns = sum(v.shape[0] for v in parts), sum(v.shape[1] for v in parts)
        check_size(b, (rows, columns), parts[0])
        strips, at = [], 0
        for v in parts:
            m, n = v.shape
            index = ((0, m, 1), (at, at + n, 1))
            strips.append(b.write("embed", v, index=index, shape=(m, columns)))
            at += n
        return joined(strips, -2)


class Tri(Creation):
    """Ones at and below diagonal k, zeros above: N rows, M columns (N by default)."""

    name = "tri"
    family = "creation"
    parameters = (Attr("N", SIZE, aliases=("n",)), Attr("M", optional(SIZE), None, ("m",)), Attr("k", INT, 0))
    latex = "\\operatorname{{tri}}"
    examples = (Example((), {"N": 3}), Example((), {"N": 3, "M": 4, "k": 1}), Example((), {"N": 2, "k": -1}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The lower triangle of ones."""
        n = attrs["N"]
        ones = call(b, "ones", shape=(n, n if attrs["M"] is None else attrs["M"]))
        return call(b, "tril", ones, k=attrs["k"])


for _op in (Toeplitz(), Hankel(), Circulant(), Companion(), BlockDiag(), Tri()):
    registry.add(_op)
