"""Checks of second derivatives: the four ways to them, differences of the first, and many digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath
import numpy as np

from engine.aval import Array
from engine.graph import Graph, typecheck
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from tests.engine.conformance.computing import compute, flat, largest
from tests.engine.conformance.looker import Looker
from tests.engine.conformance.numeric import EPS, exact_partials, moved, ridders


class SecondOrderChecks(Looker):
    """Checks of second derivatives."""

    def check_second(self) -> None:
        """All four ways to the second derivative agree, and are the differences of the first ones."""
        m = len(self.arrays)
        reverse, forward = self.reverse(self.floats), self.forward(self.floats)
        nx, no = len(self.floats), len(self.outs)
        # Not so large that second-order terms overflow where first-order ones do not.
        v, u, du = ([t for t in self.seeds(self.floats, most=1e50) if t is not None] for _ in range(3))
        ct, dct = self.cotangents(), self.cotangents()
        ys = [k for k, a in enumerate(self.graph.out_avals) if a.floating]

        # Each first-order graph as a function of everything: x and cotangents, x and tangents.
        r_in = [reverse.inputs[k] for k in self.floats] + list(reverse.inputs[m:])
        r_out = list(reverse.outputs[self.n :])
        f_in = [forward.inputs[k] for k in self.floats] + list(forward.inputs[m:])
        f_out = [forward.outputs[self.n + k] for k in ys]
        graphs = {
            "forward over reverse": jvp_graph(reverse, r_in, "float64"),
            "reverse over reverse": vjp_graph(reverse, r_out, r_in, "float64"),
            "forward over forward": jvp_graph(forward, f_in, "float64"),
            "reverse over forward": vjp_graph(forward, f_out, f_in, "float64"),
        }
        for g in graphs.values():
            typecheck(g)

        def after(g: Graph, base: Graph, arguments: Sequence[Any]) -> list[Array]:
            return compute(g, arguments)[len(base.outputs) :]

        x = self.arrays
        still, at_rest = [np.zeros_like(c) for c in ct], [np.zeros_like(t) for t in v]
        ror = after(graphs["reverse over reverse"], reverse, [*x, *ct, *v])
        rof = after(graphs["reverse over forward"], forward, [*x, *v, *ct])
        for_all = after(graphs["forward over reverse"], reverse, [*x, *ct, *v, *dct])[self.n :]
        for_x = after(graphs["forward over reverse"], reverse, [*x, *ct, *v, *still])[self.n :]
        fof_all = self.only_floats(
            after(graphs["forward over forward"], forward, [*x, *v, *u, *du])[self.n :]
        )
        fof_x = self.only_floats(
            after(graphs["forward over forward"], forward, [*x, *v, *u, *at_rest])[self.n :]
        )
        first_v = self.tangents_of(forward, v)
        first_ct = compute(reverse, [*x, *ct])[self.n :]

        def compare(got: Sequence[Any], expected: Sequence[Any], what: str) -> None:
            for g, e in zip(got, expected, strict=True):
                atol = 10 * self.noise(flat(got), flat(expected)) + 1e-13 * np.abs(np.asarray(e)) + tiny
                where = "" if self.case.smooth else "both"
                self.report.equal("second order", g, e, self.named(what), rtol=1e-9, atol=atol, where=where)

        # Terms of one entry may cancel to nothing: rounding is measured by what the first derivatives weigh.
        tiny = 1e-13 * max(largest(flat(first_ct)), largest(flat(first_v)))
        compare(ror[:nx], for_x, "reverse over reverse = forward over reverse")
        compare(rof[:nx], for_x, "reverse over forward = forward over reverse")
        compare(ror[nx:], first_v, "reverse over reverse in the cotangent = forward mode")
        compare(rof[nx:], first_ct, "reverse over forward in the tangent = reverse mode")
        with np.errstate(all="ignore"):
            left, right = flat(for_x) * flat(u), flat(fof_x) * flat(ct)
            size = float(np.abs(left).sum() + np.abs(right).sum())
        if math.isfinite(size):
            self.report.equal(
                "second order", left.sum(), right.sum(), self.named("forward over forward = forward over reverse"),
                rtol=0, atol=1e-10 * size + tiny * 100,
            )  # fmt: skip
        zeros = [
            *after(graphs["forward over reverse"], reverse, [*x, *still, *v, *still])[self.n :],
            *after(graphs["reverse over forward"], forward, [*x, *at_rest, *ct])[:nx],
            *after(graphs["reverse over reverse"], reverse, [*x, *ct, *at_rest])[:nx],
        ]
        for s in zeros:
            self.report.equal("strong zero", s, np.zeros(np.shape(s)), self.named("second order"), rtol=0)
        assert len(ror) == nx + no
        if not self.case.smooth:
            return
        along_v, along_u = self._placed(v), self._placed(u)

        def reverse_at(t: float) -> Array:
            return flat(compute(reverse, [*moved(x, along_v, t), *moved(ct, dct, t)])[self.n :])

        def forward_at(t: float) -> Array:
            return flat(
                self.only_floats(compute(forward, [*moved(x, along_u, t), *moved(v, du, t)])[self.n :])
            )

        self._against_differences(for_all, reverse_at, "reverse mode")
        self._against_differences(fof_all, forward_at, "forward mode")

    def _placed(self, parts: Sequence[Array]) -> list[Array | None]:
        """Tangents of floating inputs, in the places of all inputs."""
        given = dict(zip(self.floats, parts, strict=True))
        return [given.get(k) for k in range(len(self.arrays))]

    def _against_differences(self, got: Sequence[Any], f: Callable[[float], Array], what: str) -> None:
        values = flat(got)
        slope = ridders(f, levels=9)
        size = slope.size if self.case.op.elementwise else np.full(values.shape, slope.size.max(initial=0.0))
        at = slope._replace(size=size).trusted
        self.report.counts["second not zero"] += int((np.abs(slope.value[at]) > 1e-6 * size[at]).sum())
        shown = self.named(f"differences of {what}")
        self.report.equal("second order", values[at], slope.value[at], shown, rtol=1e-5, atol=1e-8 * size[at])

    def check_exact(self) -> None:
        """First and second partial derivatives of an elementwise op against mpmath."""
        exact = self.reference.exact if self.reference is not None else None
        if exact is None or not self.case.smooth or self.case.literal:
            return
        if any(v is None for v in self.case.operands) or self.arrays[0].ndim > 1:
            return
        attrs = self.attrs
        shape = np.shape(self.values[0])
        points = [np.broadcast_to(a, shape).reshape(-1) for a in self.arrays]
        forward = {k: self.forward([k]) for k in self.floats}
        firsts = {
            k: self.tangents_of(forward[k], [np.ones_like(self.arrays[k])])[0].reshape(-1)
            for k in self.floats
        }
        seconds = {}
        for k, j in ((k, j) for k in self.floats for j in self.floats if k <= j):
            g = jvp_graph(forward[k], [forward[k].inputs[j]], "float64")
            typecheck(g)
            got = compute(g, [*self.arrays, np.ones_like(self.arrays[k]), np.ones_like(self.arrays[j])])
            seconds[k, j] = np.asarray(got[len(forward[k].outputs) + self.n]).reshape(-1)
        for p in range(points[0].size if points else 0):
            at = [mpmath.mpf(float(x[p])) if k in self.floats else bool(x[p]) for k, x in enumerate(points)]
            if not all(mpmath.isfinite(a) for a in at if not isinstance(a, bool)):
                continue
            for (k, j), second in seconds.items():
                slope, bend = exact_partials(exact, at, k, j, attrs)
                if not mpmath.isfinite(slope) or not mpmath.isfinite(bend):
                    continue  # not defined all around this point
                here = f"{[float(a) for a in at]}"
                still = 1e-40 if 0 in at else 1e-307  # a step from 0 has a size of its own
                if k == j:
                    slack = abs(float(bend * at[k])) * 4 * EPS
                    what = self.named(f"∂/∂{k} at {here}")
                    self.report.equal(
                        "exact", firsts[k][p], float(slope), what, rtol=1e-12, atol=slack + still
                    )
                slack = self._conditioning(exact, at, k, j, attrs, bend) * 8 * EPS
                what = self.named(f"∂²/∂{k}∂{j} at {here}")
                self.report.equal("exact", second[p], float(bend), what, rtol=1e-10, atol=slack + still)

    @staticmethod
    def _conditioning(
        exact: Any, at: Sequence[Any], k: int, j: int, attrs: Mapping[str, Any], bend: Any
    ) -> float:
        """How much a second derivative changes when the point does, relatively."""
        nudge, change = mpmath.mpf(2) ** -40, 0.0
        for i in {k, j}:
            near = [a * (1 + nudge) if m == i else a for m, a in enumerate(at)]
            there = exact_partials(exact, near, k, j, attrs)[1]
            change += abs(float((there - bend) / nudge)) if mpmath.isfinite(there) else 0.0
        return change
