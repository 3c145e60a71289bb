"""Checks of maps: over each operand and all, along other axes, of derivatives, and twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.aval import Array
from engine.errors import EngineError
from engine.graph import Graph, typecheck
from engine.transforms.pull import vjp_graph
from engine.transforms.vmap import map_graph, vmap
from tests.engine.conformance.computing import WrongAval, carefully, compute
from tests.engine.conformance.looker import Looker


class MapChecks(Looker):
    """Checks of maps."""

    def check_vmap(self) -> None:
        """A map over each operand alone and over all is a loop, along other axes too; of derivatives and of maps as well."""
        if not self.arrays:
            return
        graphs = [(self.graph, [], "value")]
        if self.differentiable:
            graphs.append((self.reverse(self.floats), self.cotangents(), "reverse mode"))
            tangents = [t for t in self.seeds(self.floats) if t is not None]
            graphs.append((self.forward(self.floats), tangents, "forward mode"))
        for graph, extra, what in graphs:
            arrays = [*self.arrays, *extra]
            everything = list(range(len(arrays)))
            alone = [[k] for k in everything] if what == "value" and len(arrays) > 1 else []
            for chosen in [*alone, everything]:
                self._check_map(graph, arrays, chosen, what)
        self._check_nested_map()
        if self.differentiable:
            self._check_derivative_of_map()

    def members(self, array: Array, size: int) -> list[Array]:
        """Other values like these: the first are these themselves."""
        result = [array]
        for m in range(1, size):
            if array.dtype.kind == "f":
                result.append(np.asarray(array * self.rng.uniform(0.98, 1.02, array.shape)))
            elif array.dtype.kind == "b":
                result.append(np.asarray(~array if m % 2 else array))
            else:
                result.append(np.roll(array.reshape(-1), m).reshape(array.shape))
        return result

    def _check_map(self, graph: Graph, arrays: Sequence[Array], chosen: Sequence[int], what: str) -> None:
        size = 3
        batches = {k: self.members(np.asarray(arrays[k]), size) for k in chosen}
        for turn in (0, -1):
            axes = [None if k not in batches else np.ndim(a) * -turn for k, a in enumerate(arrays)]
            if turn and not any(axes):
                continue
            try:
                mapped = map_graph(graph, size, axes, "float64")
                typecheck(mapped)
                stacked = [
                    np.stack(batches[k], axis=a) if a is not None else x
                    for k, (x, a) in enumerate(zip(arrays, axes, strict=True))
                ]
                got = [carefully(mapped, stacked, "float64")[o] for o in mapped.outputs]
            except (WrongAval, AssertionError, ValueError, EngineError, IndexError) as wrong:
                shown = f"{what}, operands {list(chosen)}: {type(wrong).__name__} {wrong}"
                self.report.trouble("vmap", self.named(shown))
                return
            try:
                loop = [
                    compute(graph, [batches[k][m] if k in batches else x for k, x in enumerate(arrays)])
                    for m in range(size)
                ]
            except EngineError:
                return
            for r, g in enumerate(got):
                e = np.stack([np.asarray(one[r]) for one in loop])
                self._same(g, e, f"{what}, operands {list(chosen)}, axis {turn}")

    def _same(self, got: Array, expected: Array, what: str) -> None:
        self.report.equal("vmap", got, expected, self.named(what), rtol=1e-11, atol=self.noise(expected))

    def _check_derivative_of_map(self) -> None:
        """A mapped graph can be differentiated: the gradient of a sum over members is each member's own."""
        size, count = 3, len(self.arrays)
        mapped = map_graph(self.graph, size, [0] * count, "float64")
        outs = [mapped.outputs[k] for k, a in enumerate(self.graph.out_avals) if a.floating]
        reverse = vjp_graph(mapped, outs, [mapped.inputs[k] for k in self.floats], "float64")
        typecheck(reverse)
        batches = [self.members(a, size) for a in self.arrays]
        cts = [self.cotangents() for _ in range(size)]
        stacked = [np.stack(b) for b in batches] + [np.stack([c[k] for c in cts]) for k in range(len(outs))]
        got = compute(reverse, stacked)[self.n :]
        one = self.reverse(self.floats)
        try:
            loop = [compute(one, [*[b[m] for b in batches], *cts[m]])[self.n :] for m in range(size)]
        except EngineError:
            return
        for k, g in enumerate(got):
            e = np.stack([np.asarray(member[k]) for member in loop])
            self._same(g, e, "reverse mode of a map")

    def _check_nested_map(self) -> None:
        try:
            inner, _ = vmap(self.graph, 2, [True] * len(self.arrays), "float64")
            outer, leads = vmap(inner, 3, [True] * len(self.arrays), "float64")
            typecheck(outer)
        except (AssertionError, ValueError, EngineError, IndexError) as wrong:
            self.report.trouble("vmap", self.named(f"a map of a map: {type(wrong).__name__} {wrong}"))
            return
        got = compute(outer, [np.broadcast_to(a, (3, 2, *np.shape(a))) for a in self.arrays])
        for g, e, led in zip(got, self.values, leads, strict=True):
            e = np.asarray(e)
            self._same(g, np.broadcast_to(e, (3, 2, *e.shape) if led else e.shape), "a map of a map")
