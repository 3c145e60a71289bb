"""Checks of first derivatives: both modes, against differences, against one another, over graphs and over arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.builder import EagerBuilder
from engine.graph import Graph, typecheck
from engine.transforms.pull import depends_on, pull
from engine.transforms.push import push
from engine.transforms.simplify import simplify
from tests.engine.conformance.computing import WrongAval, carefully, compute, executed, flat, largest, units
from tests.engine.conformance.looker import Looker
from tests.engine.conformance.numeric import complex_step, moved, ridders


class FirstOrderChecks(Looker):
    """Checks of first derivatives."""

    def check_jvp(self) -> None:
        """Forward mode against differences of the reference, for each operand alone and for all."""
        if not self.case.smooth or self.reference is None:
            return

        def along(tangents: Sequence[Array | None], t: float | complex) -> Array:
            results = self.only_floats(
                self.expected_nearby(self.case.with_arrays(moved(self.arrays, tangents, t)))
            )
            return np.concatenate([np.asarray(r).reshape(-1) for r in results])

        for chosen in self.subsets():
            graph = self.forward(chosen)
            tangents = self.seeds(chosen)
            got = flat(self.tangents_of(graph, [t for t in tangents if t is not None]))
            slope = ridders(lambda t, d=tangents: along(d, t))  # type: ignore[misc]
            size = slope.size if self.case.op.elementwise else np.full(got.shape, slope.size.max(initial=0.0))
            slope = slope._replace(size=size)
            exact = complex_step(lambda t, d=tangents: along(d, t), slope)  # type: ignore[misc]
            what, at = self.named(f"operands {chosen}"), slope.trusted
            if exact is not None:
                tight = 1e-13 if self.case.op.elementwise else 1e-12
                steep = f"{what}, complex step"
                self.report.equal("jvp", got, exact, steep, rtol=1e-9, atol=tight * size, where="expected")
            elif not at.all() and np.isfinite([*flat(self.float_values), *slope.value]).all():
                self.report.trouble("jvp", f"{what}: differences do not settle; the example is not smooth")
            self.report.equal(
                "jvp", got[at], slope.value[at], f"{what}, differences", rtol=1e-6, atol=1e-9 * size[at]
            )  # fmt: skip
            self.report.counts["jvp not zero"] += int((np.abs(slope.value[at]) > 1e-6 * size[at]).sum())
            for k in chosen:
                self.report.counts[f"operand {self.case.variable[k]}"] += int(at.sum())

    def check_adjoint(self) -> None:
        """⟨ȳ, J ẋ⟩ = ⟨Jᵀȳ, ẋ⟩ for random vectors, and the same matrix from both modes where it is small."""
        for chosen in self.subsets():
            forward, reverse = self.forward(chosen), self.reverse(chosen)
            for scaled in (True, False):
                tangents = [t for t in self.seeds(chosen, scaled) if t is not None]
                cts = self.cotangents()
                out = self.tangents_of(forward, tangents)
                back = compute(reverse, [*self.arrays, *cts])[self.n :]
                for b, t in zip(back, tangents, strict=True):
                    if np.shape(b) != np.shape(t):
                        shapes = f"a cotangent has shape {np.shape(b)}, its operand {np.shape(t)}"
                        self.report.trouble("adjoint", self.named(shapes))
                        return
                with np.errstate(all="ignore"):
                    left, right = flat(out) * flat(cts), flat(back) * flat(tangents)
                    size = float(np.abs(left).sum() + np.abs(right).sum())
                what = self.named(f"operands {chosen}")
                if math.isfinite(size):
                    self.report.equal("adjoint", left.sum(), right.sum(), what, rtol=0, atol=1e-11 * size)
            self._check_matrix(chosen, forward, reverse)

    def _check_matrix(self, chosen: Sequence[int], forward: Graph, reverse: Graph) -> None:
        rows = sum(np.size(v) for v in self.float_values)
        columns = sum(self.arrays[k].size for k in chosen)
        if not 0 < rows <= 12 or not 0 < columns <= 12:
            return
        by_column = np.stack([
            flat(self.tangents_of(forward, unit)) for unit in units([self.arrays[k] for k in chosen])
        ], axis=1)  # fmt: skip
        by_row = np.stack([
            flat(compute(reverse, [*self.arrays, *unit])[self.n :]) for unit in units(self.float_values)
        ])  # fmt: skip
        what = self.named(f"∂y/∂{chosen} in reverse and in forward mode")
        where = "" if self.case.smooth else "both"
        self.report.equal("matrix", by_row, by_column, what, rtol=1e-11, atol=self.noise(by_row), where=where)

    def check_strong_zero(self) -> None:
        """A zero tangent goes forward, and a zero cotangent back, as exactly zero, whatever the partials are."""
        forward, reverse = self.forward(self.floats), self.reverse(self.floats)
        nothing = [np.zeros_like(self.arrays[k]) for k in self.floats]
        for t in self.tangents_of(forward, nothing):
            self.report.equal("strong zero", t, np.zeros(np.shape(t)), self.named("forward"), rtol=0)
        none_back = [np.zeros(np.shape(v)) for v in self.float_values]
        for b in compute(reverse, [*self.arrays, *none_back])[self.n :]:
            self.report.equal("strong zero", b, np.zeros(np.shape(b)), self.named("back"), rtol=0)

    def check_eager_walks(self) -> None:
        """Both walks over arrays give what their graphs give, simplified or not."""
        forward, reverse = self.forward(self.floats), self.reverse(self.floats)
        tangents = [t for t in self.seeds(self.floats) if t is not None]
        cts = self.cotangents()
        for graph, extra, what in ((forward, tangents, "forward"), (reverse, cts, "reverse")):
            arguments = [*self.arrays, *extra]
            values = compute(graph, arguments)
            same = simplify(graph, "float64")
            typecheck(same)
            for v, e in zip(compute(same, arguments), values, strict=True):
                self.report.equal("eager", v, e, self.named(f"{what} simplified"), rtol=0)
            for v, e in zip(executed(same, arguments), values, strict=True):
                self.report.equal("eager", v, e, self.named(f"{what} executed"), rtol=0)
            try:
                carefully(graph, arguments, "float64")
            except (WrongAval, ValueError) as wrong:
                self.report.trouble("aval", self.named(f"{what}: {wrong}"))
        b = EagerBuilder()
        with np.errstate(all="ignore"):
            refs = carefully(self.graph, self.arrays, "float64")
            nodes = self.graph.nodes
            dots: list[Any] = [None] * len(nodes)
            for k, t in zip(self.floats, tangents, strict=True):
                dots[self.graph.inputs[k]] = t[()]
            push(b, nodes, refs, dots)
            adj: list[Any] = [None] * len(nodes)
            for o, ct in zip(self.outs, cts, strict=True):
                adj[o] = ct[()] if adj[o] is None else b.core("add", adj[o], ct[()])
            wrt = [self.graph.inputs[k] for k in self.floats]
            pull(b, nodes, refs, adj, depends_on(nodes, wrt), range(len(nodes) - 1, -1, -1))
        for o, e in zip(self.outs, self.tangents_of(forward, tangents), strict=True):
            v = dots[o] if dots[o] is not None else np.zeros(np.shape(e))
            # The same steps; but BLAS rounds by where an array happens to lie in memory.
            tiny = 8 * np.finfo(np.float64).eps * largest(e)
            self.report.equal("eager", v, e, self.named("forward walk over arrays"), rtol=0, atol=tiny)
        for i, e in zip(wrt, compute(reverse, [*self.arrays, *cts])[self.n :], strict=True):
            v = adj[i] if adj[i] is not None else np.zeros(np.shape(e))
            tiny = 8 * np.finfo(np.float64).eps * largest(e)
            self.report.equal("eager", v, e, self.named("backward walk over arrays"), rtol=0, atol=tiny)
