"""The QR factorisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, one_of
from engine.aval import Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import Unsupported
from engine.op import Attr, Example, General, Op, Spelling, registry
from engine.ops.layout.shape import slice_axis
from engine.ops.linear.factor import Factoring, cubic, factored, matrices, transposed
from engine.ops.linear.solve import A
from engine.ops.linear.strong import product
from engine.ops.linear.triangular import triangle


class QRCore(Factoring):
    """Q and R of A = Q R for a stack of matrices that are not wide: Q [m, n] ([m, m] if `full`), R [n, n] upper triangular.

    JVP, with X = Ȧ R⁻¹ and Ω = L − Lᵀ, L the part of Qᵀ X below the diagonal:
    Ṙ = (Qᵀ X − Ω) R,  Q̇ = Q Ω + (I − Q Qᵀ) X

    S. Walter, L. Lehmann, "Algorithmic differentiation of linear algebra functions", 2010, arXiv:1001.1654.
    """

    name = "qr_factors"
    internal = True
    results = ("q", "r")
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Two matrices."""
        (a,) = avals
        matrices("qr", a)
        lead, (m, n) = a.shape[:-2], a.shape[-2:]
        return Aval((*lead, m, m if params["full"] else n), a.dtype), Aval((*lead, n, n), a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK geqrf."""
        if params["full"]:
            q, r = factored(lambda x: tuple(np.linalg.qr(x, "complete")), np.asarray(arrays[0]))
        else:
            q, r = factored(lambda x: tuple(np.linalg.qr(x)), np.asarray(arrays[0]))
        return q, r[..., : r.shape[-1], :]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """See above."""
        (whole, r), (da,) = y, dxs
        assert da is not None
        n = r.shape[-1]
        q = slice_axis(whole, -1, 0, n)
        x = transposed(
            da.b.write("strong_triangular_systems", transposed(r), transposed(da), lower=True, unit=False)
        )
        inner = product(transposed(q), x)
        low = triangle(inner, True, strictly=True)
        turn = low - transposed(low)
        dr = product(inner - turn, r)
        if not params["full"]:
            return product(q, turn) + (x - product(q, inner)), dr
        rest = slice_axis(whole, -1, n, whole.shape[-1])
        out = product(transposed(rest), x)
        parts = (product(q, turn) + product(rest, out), -product(q, transposed(out)))
        return da.b.write("concat", *parts, axis=-1), dr

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """About six matrix products; 0.4 µs for the smallest."""
        return cubic(operands[0], 8.0 * (2.0 if params["full"] else 1.0), 2000.0, 5e4)


registry.add(QRCore())

MODES = ("reduced", "complete", "r", "raw", "full", "economic")


class QR(Op):
    """QR factorisation a = q r: q has orthonormal columns, r is upper triangular; signs are LAPACK's.

    a: [*s, m, n]  ->  q: [*s, m, k], r: [*s, k, n], k = min(m, n). `mode` 'complete' (SciPy: 'full', its default) makes q
    [*s, m, m] and r [*s, m, n], 'r' gives r alone; SciPy's 'economic' is 'reduced'.
    """

    name = "qr"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        Attr("mode", one_of(*MODES), "reduced"),
        Attr("pivoting", BOOL, False, keyword_only=True),
    )
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.qr": Spelling(
            {"mode": "full"},
            (
                A, Attr("overwrite_a", BOOL, False), Attr("lwork", BOOL, False), Attr("mode", one_of(*MODES), "full"),
                Attr("pivoting", BOOL, False), Attr("check_finite", BOOL, True),
            ),
        )
    }  # fmt: skip
    results = ("q", "r")
    latex = "\\operatorname{{qr}} {a}"
    derivative = {"a": "q\\,\\Omega + (I - q q^\\top)\\, \\dot{a}\\, r^{-1}"}
    convention = (
        "The first min(m, n) columns of a must be independent, else the derivative is NaN. The further columns of a "
        "complete q move as little as they can."
    )
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), note="tall"),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],), note="wide"),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), {"mode": "complete"}),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), {"mode": "r"}),
        Example(([[[1.0], [2.0]], [[0.5], [3.0]]],), note="a stack"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Any:
        """Of the first columns; r of the others is qᵀ a."""
        (a,), mode = operands, attrs["mode"]
        matrices("qr", a.aval)
        if mode == "raw" or attrs["pivoting"]:
            what = "mode 'raw'" if mode == "raw" else "pivoting"
            raise Unsupported(f"qr: {what} is not offered; the modes are 'reduced', 'complete' and 'r'.")
        m, n = a.shape[-2:]
        k = min(m, n)
        full = mode in ("complete", "full")
        q, r = b.write("qr_factors", slice_axis(a, -1, 0, k), full=full and m > n)
        if n > k:
            r = b.write("concat", r, b.write("matmul", transposed(q), slice_axis(a, -1, k, n)), axis=-1)
        if mode == "r":
            return r
        if full and m > n:
            below = call(b, "zeros", shape=(*r.shape[:-2], m - n, n))
            r = b.write("concat", r, below, axis=-2)
        return q, r

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """Of r alone, one result."""
        return 1 if attrs.get("mode") == "r" else super().count(attrs)


registry.add(QR())
