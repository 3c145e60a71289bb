"""Triangular systems, and inverses of triangular matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import lapack

from engine.attrs import BOOL, optional
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, General, Kind, Linear, Op, registry
from engine.ops.linear.factor import identity, members, square, transposed, which
from engine.ops.linear.solve import SINGULAR, A, B, Systems, system, triangular

SMALL = 24
"""Up to this size a stack of systems goes to one call of LU, which for a triangular matrix does nothing."""


def triangle(x: Var, lower: bool, strictly: bool = False) -> Var:
    """The triangle of a stack of matrices, with its diagonal unless `strictly`."""
    return call(x.b, "tril", x, k=-strictly) if lower else call(x.b, "triu", x, k=+strictly)


class Triangular(Systems):
    """Systems with T, the lower (or upper) triangle of A, with ones on the diagonal if `unit`.

    JVP  Ẋ = T⁻¹ (Ḃ − Ṫ X)
    """

    strong = "strong_triangular_systems"

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules = (General(), Linear(_back) if name == self.strong else General())

    def read(self, a: Array, **params: Any) -> Array:
        """The triangle."""
        t = np.tril(a) if params["lower"] else np.triu(a)
        if params["unit"]:
            at = np.arange(t.shape[-1])
            t[..., at, at] = 1
        return t

    def bad(self, a: Array, **params: Any) -> Array:
        """Where there is a 0 on the diagonal."""
        return np.asarray((np.diagonal(a, 0, -2, -1) == 0).any(axis=-1))

    def says(self, a: Array, at: tuple[int, ...]) -> str:
        """Where the 0 is."""
        zero = int(np.argmax(np.diagonal(a[at]) == 0))
        return (
            f"{which(at).capitalize()} is triangular with a 0 on its diagonal (row {zero}), and so singular: a system "
            "with it has no solution, or many."
        )

    def solution(self, a: Array, b: Array, **params: Any) -> Array:
        """Substitution (LAPACK trtrs)."""
        if self.bad(a).any():
            raise np.linalg.LinAlgError
        return _substitute(a, b, params["lower"])

    def moved(self, a: Var, da: Var, x: Var, **params: Any) -> Var:
        """−T⁻¹ Ṫ X."""
        return super().moved(a, triangle(da, params["lower"], params["unit"]), x, **params)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """n²·k, and some microseconds for each member."""
        a, y = operands
        n, k = y.shape[-2:]
        return members(a) * (2.0 * n * n * k + 500.0 * n * n + 3e5)


def _back(ct: Var, k: int, operands: Sequence[Var], *, lower: bool, unit: bool) -> Var:
    result: Var = ct.b.write(Triangular.strong, transposed(operands[0]), ct, lower=not lower, unit=unit)
    return result


registry.add(Triangular("triangular_systems"))
registry.add(Triangular("strong_triangular_systems"))


def _substitute(t: Array, y: Array, lower: bool) -> Array:
    """Of nonsingular finite triangles."""
    n = t.shape[-1]
    count = int(np.prod(t.shape[:-2], dtype=int))
    if count > 4 and n <= SMALL:
        if not lower:
            return np.linalg.solve(t, y)
        # Read from the other end a lower triangle is an upper one, on which LU changes nothing.
        return np.linalg.solve(t[..., ::-1, ::-1], y[..., ::-1, :])[..., ::-1, :]
    trtrs = lapack.dtrtrs if t.dtype == np.float64 else lapack.strtrs
    x = np.empty(y.shape, y.dtype)
    for at in np.ndindex(*t.shape[:-2]):
        x[at] = trtrs(t[at], y[at], lower=int(lower))[0]
    return x


def _trans(value: Any) -> int:
    names = {"N": 0, "T": 1, "C": 2}
    if isinstance(value, str) and value in names:
        return names[value]
    if not isinstance(value, bool | str) and value in (0, 1, 2):
        return int(value)
    raise ValueError(f"{value!r} is not among them")


TRANS = Kind("one of 0, 1, 2, 'N', 'T', 'C'", _trans)


class SolveTriangular(Op):
    """The solution x of a x = b for a triangular matrix a; only its upper triangle is read, or its lower one if `lower`.

    a: [*s, n, n], b: [n] or [*t, n, k]  ->  [n] or [*broadcast(s, t), n, k]. With `trans` 1 or 'T' of aᵀ x = b, with
    `unit_diagonal` the diagonal counts as 1, as in SciPy; `upper`, `left` and `unitriangular` are PyTorch's arguments
    (left false: of x a = b).
    """

    name = "solve_triangular"
    aliases = ("triangular_solve",)
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        B,
        Attr("trans", TRANS, 0),
        Attr("lower", BOOL, False),
        Attr("unit_diagonal", BOOL, False, ("unitriangular",)),
        Attr("upper", optional(BOOL), None, keyword_only=True),
        Attr("left", BOOL, True, keyword_only=True),
    )
    latex = "{a}^{{-1}} {b}"
    derivative = {"a": "-a^{-1} \\dot{a}\\, y", "b": "a^{-1} \\dot{b}"}
    convention = "The triangle that is not read has derivative 0. " + SINGULAR
    examples = (
        Example(([[3.0, 1.0], [7.0, 2.0]], [9.0, 8.0])),
        Example(([[3.0, 1.0], [7.0, 2.0]], [[9.0, 1.0], [8.0, 0.5]]), {"lower": True}),
        Example(([[3.0, 1.0], [7.0, 2.0]], [9.0, 8.0]), {"trans": 1, "unit_diagonal": True}),
        Example(([[3.0, 1.0], [7.0, 2.0]], [[9.0, 8.0], [1.0, 0.5]]), {"upper": True, "left": False}),
        Example(([[[3.0, 1.0], [0.0, 2.0]], [[1.0, 5.0], [0.5, -1.0]]], [[9.0], [8.0]]), note="a stack"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One system; of the transpose, the other triangle."""
        a, y = operands
        low = attrs["lower"]
        if attrs["upper"] is not None:
            if low and attrs["upper"]:
                raise InvalidAttribute("solve_triangular: lower and upper cannot both be true.")
            low = not attrs["upper"]
        square("solve_triangular", a)
        flip = bool(attrs["trans"]) != (not attrs["left"])
        if flip:
            a, low = transposed(a), not low
        unit = attrs["unit_diagonal"]

        def write(t: Var, rhs: Var) -> Var:
            return triangular(t, rhs, lower=low, unit=unit)

        if attrs["left"]:
            return system("solve_triangular", a, y, True, write)
        if y.rank < 2:
            return system("solve_triangular", a, y, True, write)
        return transposed(system("solve_triangular", a, transposed(y), False, write))


class TriangularInverse(Op):
    """The inverse of a triangular matrix: of its lower triangle, or of its upper one if `lower` is false."""

    name = "tri_inv"
    aliases = ("trtri",)
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Attr("lower", BOOL, True), Attr("unit_diagonal", BOOL, False))
    latex = "{a}^{{-1}}"
    derivative = {"a": "-y\\, \\dot{a}\\, y"}
    convention = SINGULAR
    examples = (
        Example(([[3.0, 1.0], [7.0, 2.0]],)),
        Example(([[3.0, 1.0], [7.0, 2.0]],), {"lower": False, "unit_diagonal": True}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The system with the identity."""
        (a,) = operands
        eye = identity(b, square("tri_inv", a), a.shape[:-2])
        return call(b, "solve_triangular", a, eye, lower=attrs["lower"], unit_diagonal=attrs["unit_diagonal"])


registry.add(SolveTriangular())
registry.add(TriangularInverse())
