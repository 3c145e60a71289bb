"""hessian and hvp: one walk over the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval, DType
from engine.builder import GraphBuilder, Var, broadcast_to
from engine.cost import Cost, check, check_answer
from engine.derive.again import naming
from engine.derive.batch import make_ready
from engine.derive.diagnose import explain
from engine.derive.job import check_mapped
from engine.derive.on_tape import cost_on_tape, trusted
from engine.derive.request import Request, named_arrays, resolve_of, resolve_wrt, seed_for
from engine.derive.sparse import blocks, structure_of, watch_blocks
from engine.derive.sweep import Cells, Swept, basis
from engine.derive.warn import Watch
from engine.execute.finite import all_finite
from engine.execute.meter import Meter
from engine.graph import CONSTANT, Graph, Node, single
from engine.sparsity.compression import Compression, of_symmetric
from engine.sparsity.known import Values
from engine.sparsity.structure import symmetric
from engine.specialize import Typed
from engine.tape import Tape, tape_of
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.vmap import map_graph

MODES = {"auto": "forward-over-reverse", "reverse": "reverse-over-reverse", "forward": "forward-over-forward"}
"""What `mode` means for a Hessian."""


class Perturbed:
    """A graph in which some nodes n became n + δ, δ being new inputs, so that it can be differentiated twice by n.

    A rule of n's own op may use its result; what is meant by a derivative with respect to an intermediate is that only
    its consumers see δ. For orders above one that takes a node of its own. δ is −0.0, which changes no value.
    """

    def __init__(self, typed: Typed, steps: Sequence[int], dtype: DType) -> None:
        graph = typed.graph
        inputs = set(graph.inputs)
        wanted = {typed.node(i) for i in steps if typed.node(i) not in inputs}
        b = GraphBuilder(dtype)
        place: dict[int, int] = {}
        self.deltas: list[Array] = []
        extra: list[tuple[int, int]] = []
        for i in graph.inputs:
            place[i] = b.input(single(graph.nodes[i].aval))
        for i in sorted(wanted):
            aval = single(graph.nodes[i].aval)
            extra.append((i, b.input(aval)))
            self.deltas.append(np.full(aval.shape, -0.0, aval.dtype))
        delta = dict(extra)
        for i, node in enumerate(graph.nodes):
            if i in place:
                continue
            if node.op is CONSTANT:
                place[i] = b.constant(node.params[0][1].value)
            else:
                b.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
                place[i] = len(b.nodes) - 1
            if i in delta:
                place[i] = b.core("add", place[i], delta[i])
        self.graph = b.build([])
        self.seed = {i: delta.get(typed.node(i), place[typed.node(i)]) for i in steps}
        """For each step the input to differentiate by."""
        self.value = place
        """For each old node its (perturbed) new one."""


class Written(NamedTuple):
    """A gradient written out: of node `of` of the perturbed graph by the inputs `rows`, to be differentiated by `columns`."""

    perturbed: Perturbed
    gradient: Graph
    of: int
    rows: list[int]
    columns: list[int]
    axes: list[tuple[int | None, ...]]


class SecondOrder(Swept):
    """hessian and hvp: forward over reverse by default, or the mode asked for twice."""

    data = (*Swept.data, "seed", "vector")

    def __init__(self, verb: str, *args: Any) -> None:
        self.verb = verb
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_of(typed, request)
        self.wrt = resolve_wrt(typed, request)
        if verb == "hvp" and self.batch is not None:
            check_mapped(self, "vector", self.vector)
        ins = [typed.aval(i) for i in self.wrt]
        if verb == "hessian" and not request.sparse:
            check_answer(
                [Aval((*self.sizes, *p.shape, *q.shape), "float64") for p in ins for q in ins], self.limits
            )
        written = self._write()
        self.first, cost = self.runner.prepare(written.gradient, written.axes, f"This {verb}", plan=False)
        self.mode = "forward-over-reverse" if verb == "hvp" else MODES[request.mode]
        self.tape: Tape | None = None
        if self.batch is None and not request.sparse and self.mode == "forward-over-reverse":
            self.tape = tape_of(self.first) if self.dtype == "float64" else None
        if self.tape is None:
            nodes = [written.perturbed.value[i] for i in range(len(typed.graph.nodes))]
            if not self.watching(written.gradient, nodes, self.first):
                make_ready(self.first, guarded=self.runner.guarded, step=self.step)
            self._derive(written, cost)
            return
        # Entries of the tape are nodes of the graph, and inputs keep their order in it.
        places = {c: k for k, c in enumerate(written.gradient.inputs)}
        self.columns = [self.first.inputs[places[c]] for c in written.columns]
        self.passes = 1 if verb == "hvp" else len(self.columns)
        more = cost_on_tape(self.tape, self.passes)
        self.cost = Cost(cost.nodes, cost.flops + more.flops, max(cost.bytes, more.bytes), 1.0)
        check(self.cost, self.limits, f"This {verb}")

    def _write(self) -> Written:
        """The gradient as a graph that can be differentiated again."""
        typed = self.typed
        columns = list(self.vector) if self.verb == "hvp" else self.wrt
        perturbed = Perturbed(typed, list(dict.fromkeys([*self.wrt, *columns])), self.dtype)
        of = perturbed.value[typed.node(self.of)]
        rows = [perturbed.seed[i] for i in self.wrt]
        self.deltas = perturbed.deltas
        axes = [
            *self.axes,
            *[self.none] * len(perturbed.deltas),
            self.extra_axes(None, self.seed, typed.aval(self.of)),
        ]
        gradient = vjp_graph(
            perturbed.graph.with_outputs([of]),
            [of],
            rows,
            self.dtype,
            record_bytes=self.record_bytes,
            step=self.step,
        )
        return Written(perturbed, gradient, of, rows, [perturbed.seed[i] for i in columns], axes)

    def _derive(self, written: Written, cost: Cost) -> None:
        """Write out the second derivative, and plan it."""
        typed, request, verb = self.typed, self.request, self.verb
        perturbed, gradient, of, rows, cols, axes = written
        columns = list(self.vector) if verb == "hvp" else self.wrt
        ins = [typed.aval(i) for i in self.wrt]
        backs = gradient.outputs[1:]
        if verb == "hvp":
            second = jvp_graph(gradient.with_outputs(backs), cols, self.dtype, step=self.step)
            linear = second.with_outputs(second.outputs[len(backs) :])
            vaxes = [self.extra_axes(self.id(i), self.vector[i], typed.aval(i)) for i in columns]
            self.product, more = self.runner.prepare(linear, [*axes, *vaxes], "This hvp")
            self.cost = Cost(cost.nodes + more.nodes, cost.flops + more.flops, max(cost.bytes, more.bytes))
        else:
            if self.mode == "reverse-over-reverse":
                # Rows of the Hessian are gradients of the gradient's entries; it is symmetric, so rows are columns.
                linear = vjp_graph(
                    gradient.with_outputs(()),
                    list(backs),
                    cols,
                    self.dtype,
                    record_bytes=self.record_bytes,
                    step=self.step,
                )
            elif self.mode == "forward-over-forward":
                linear = self._forward_twice(perturbed, of, rows, cols)
            else:
                second = jvp_graph(gradient.with_outputs(backs), cols, self.dtype, step=self.step)
                linear = second.with_outputs(second.outputs[len(backs) :])
            compression: Compression | None = None
            sizes = [a.size for a in ins]
            if request.sparse:
                values = Values(gradient, self.fixed, self.dtype, self.step)
                table = structure_of(self, gradient, backs, cols, values)
                compression = of_symmetric(symmetric(table), [a.shape for a in ins], self.step)
            # Rules that a body or a user gives need not be derivatives of anything, and then a Hessian need not be symmetric.
            mirrors = not any(node.op.subgraphs for node in typed.graph.nodes)
            self.prepare_sweep(
                linear, axes, ins, compression, Cells(sizes, sizes), last=True, symmetric=mirrors
            )
            self.cost = Cost(
                self.cost.nodes + cost.nodes,
                self.cost.flops + cost.flops,
                max(self.cost.bytes, cost.bytes),
                self.cost.largest_step,
            )

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """The inputs, the seed and the vector."""
        super().load(request, arrays, meter)
        typed = self.typed
        self.seed = seed_for(typed, request, resolve_of(typed, request), self.sizes)
        self.vector: dict[int, Array] = {}
        if self.verb == "hvp":
            self.vector = named_arrays(
                typed, request, "vector", request.vector, self.sizes, self.batch is not None
            )

    @property
    def fixed(self) -> Sequence[Array]:
        """The inputs, what the perturbed nodes are shifted by (nothing), and the seed."""
        return [*self.arguments, *self.deltas, self.seed]

    def _forward_twice(
        self, perturbed: Perturbed, of: int, rows: Sequence[int], cols: Sequence[int]
    ) -> Graph:
        """For one direction of `cols`: the tangents of all ∂of/∂rows, by a forward sweep over rows inside."""
        graph = perturbed.graph
        first = jvp_graph(graph.with_outputs([of]), rows, self.dtype, step=self.step)
        avals = [single(graph.nodes[r].aval) for r in rows]
        total = sum(a.size for a in avals)
        inner = map_graph(
            first.with_outputs(first.outputs[1:]),
            max(total, 1),
            [None] * len(graph.inputs) + [0] * len(rows),
            self.dtype,
            step=self.step,
        )
        b = GraphBuilder(self.dtype)
        args = [b.input(a) for a in graph.in_avals]
        seed = b.input(single(graph.nodes[of].aval))
        rows_of_identity = [b.constant(s) for s in basis(avals, 0, max(total, 1), self.dtype)]
        (tangents,) = b.inline(inner, [*args, *rows_of_identity])
        t, s = Var(b, tangents), Var(b, seed)
        weighted = b.write("multiply", t, broadcast_to(s, t.shape), strong=(1,))
        flat = weighted.reshape((max(total, 1), -1)).sum(axis=1)
        outs, offset = [], 0
        for a in avals:
            piece = b.write("slice", flat, index=((offset, offset + a.size, 1),))
            outs.append(piece.reshape(a.shape).ref)
            offset += a.size
        gradient = b.build(outs)
        moved = [gradient.inputs[graph.inputs.index(c)] for c in cols]
        second = jvp_graph(gradient, moved, self.dtype, step=self.step)
        return second.with_outputs(second.outputs[len(rows) :])

    def _run_on_tape(self, tape: Tape) -> dict[str, Any] | None:
        """The answer of a program of scalars; None where the tape cannot be trusted."""
        at = tape.linearize(self.fixed)
        if not trusted(at):
            return None
        value, *backs = self.first.outputs
        names = [self.id(i) for i in self.wrt]
        answer: dict[str, Any] = {"value": float(at.v[value])} | self.head(self.of)
        answer["gradients"] = dict(zip(names, at.v[backs].tolist(), strict=True))
        if self.verb == "hvp":
            entries = [float(v) for v in self.vector.values()]
            product = at.forward((np.asarray(self.columns, np.intp), np.asarray(entries)))[backs]
            answer["hvp"] = dict(zip(names, product.tolist(), strict=True))
        else:
            rows = at.forward_many(self.columns, np.eye(len(self.columns)), backs).T.tolist()
            answer["hessian"] = {
                n: dict(zip(names, row, strict=True)) for n, row in zip(names, rows, strict=True)
            }
        if not trusted(at):
            return None
        return answer | self.tail(None, self.mode, self.passes)

    def run(self, meter: Meter) -> dict[str, Any]:
        """The gradient, then the sweep or the one product."""
        if self.tape is not None:
            quick = self._run_on_tape(self.tape)
            if quick is not None:
                return quick
            self.step = meter.check
            self._derive(self._write(), self.cost)
        with naming(self, meter):
            (value, *backs), clean = self.run_seen(self.first, self.fixed, meter)
        answer: dict[str, Any] = {"value": value} | self.head(self.of)
        answer["gradients"] = {self.id(i): g for i, g in zip(self.wrt, backs, strict=True)}
        if self.verb == "hvp":
            with naming(self, meter):
                found = self.runner.run(self.product, [*self.fixed, *self.vector.values()], meter)
            answer["hvp"] = {self.id(i): a for i, a in zip(self.wrt, found, strict=True)}
            return answer | self.tail(self._watch(answer, [answer["hvp"]], meter, clean), self.mode, 1)
        if self.readout is not None:
            data, finite = self.sweep_compressed(meter)
            parts = (self.readout, data, self.wrt, self.wrt)
            answer["hessian"] = blocks(self, *parts)
            watch = self._watch(
                answer, [] if finite or all_finite(data) else [{"": np.concatenate(data)}], meter, clean
            )
            if not finite and not watch.warnings:
                watch_blocks(self, watch, *parts)
            return answer | self.tail(watch, self.mode, self.passes)
        swept, finite = self.sweep(meter)
        answer["hessian"] = self._blocks(swept)
        watch = self._watch(answer, [] if finite else list(answer["hessian"].values()), meter, clean)
        return answer | self.tail(watch, self.mode, self.passes)

    def _watch(
        self, answer: Mapping[str, Any], rows: Sequence[Mapping[str, Array]], meter: Meter, clean: bool
    ) -> Watch:
        """The warnings; `clean` if all values and the gradients are known to be finite, so that only `rows` may not be."""
        value, gradients = answer["value"], answer["gradients"]
        wrt = list(dict.fromkeys([*self.wrt, *self.vector]))
        watch = explain(
            self,
            meter,
            found=rows if clean else [value, gradients, rows],
            of={self.of: self.seed},
            wrt=wrt,
            order=2,
            clean=clean,
        )
        if not watch.warnings:
            if not clean:
                watch.reported_values({self.of: value})
            for row in rows if clean else (gradients, *rows):
                watch.reported_derivatives(self.id(self.of), row)
        return watch

    def _blocks(self, swept: Sequence[Array]) -> dict[str, dict[str, Array]]:
        """H[a][b] of a.shape + b.shape, from tangents of gradient a for every basis direction of b."""
        return {
            self.id(a): {
                self.id(c): self.columns_last(block, self.typed.aval(c).rank)[()]
                for c, block in self.cut(part, self.wrt).items()
            }
            for a, part in zip(self.wrt, swept, strict=True)
        }
