"""The evaluation trace: both walks, step by step, as one would write them down by hand.

Forward: each step's value, its local partial derivatives and, with tangents, the second half of its dual number. Reverse:
each step's adjoint, and what it hands to each operand, with the operand's running total. The adjoints are also the
multipliers λᵢ of the constraints tᵢ − fᵢ = 0 in the Lagrangian L = of − Σ λᵢ (tᵢ − fᵢ): ∂L/∂tᵢ = 0 is the backward pass.
(Y. LeCun, "A theoretical framework for back-propagation", 1988.)

Who starts with the seed at `of` and adds every `amount` to its `to`, in the order of the list, has the gradient in the end,
and each `total` on the way. Of an elementwise step, `amount` is adjoint × `partial`, summed over the axes along which the
operand was broadcast; a zero adjoint is a strong zero (0 × Infinity = 0). An op with several results is not listed itself: what
it hands on to its operands stands with the first of its results that `of` depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from engine.aval import Array
from engine.builder import EagerBuilder
from engine.cost import Cost, check, cost_of, cost_of_way_back
from engine.derive.inside import look
from engine.derive.job import Job
from engine.derive.request import Request, named_arrays, resolve_of, resolve_wrt, seed_for, selected
from engine.derive.summary import shown, shown_size
from engine.derive.warn import Watch
from engine.derive.wording import operand_json, wording
from engine.errors import EngineError, LimitExceeded
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import CONSTANT as GRAPH_CONSTANT
from engine.program import CONSTANT, INPUT, ITEM
from engine.transforms.pull import floating, pull
from engine.transforms.push import push

SUMMARIZE_OVER = 1000
"""Arrays of more elements are summarised, unless the request says otherwise."""


class _Sparse(dict[int, Any]):
    """Positions to values, None where there is none."""

    def __missing__(self, key: int) -> None:
        return None


class Trace(Job):
    """The verb trace.

    `mode: "forward"` leaves out the backward walk (and needs no seed then), unless multipliers are asked for, which it finds.
    `nodes` says for which steps there are entries; contributions name all the steps that they go to.
    """

    data = (*Job.data, "seed", "tangents")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_of(typed, request)
        wrt = [] if request.wrt is None else resolve_wrt(typed, request)
        self.most = SUMMARIZE_OVER if request.summarize_over is None else request.summarize_over
        self.listed = selected(typed, request, [self.of, *wrt])
        self.backward = request.mode != "forward"
        self.lagrangian = request.lagrangian
        base = cost_of(typed.graph, keep=True)
        back = cost_of_way_back(typed.graph, self.dtype, self.record_bytes)
        elements = sum(self._elements())
        self.cost = Cost(
            base.nodes * 12 + back.nodes,
            base.flops * 6 + back.flops,
            base.bytes * 4 + back.bytes + 8 * elements,
            base.largest_step,
        )
        check(self.cost, self.limits, "This trace")
        if elements > self.limits.response_elements:
            raise LimitExceeded(
                "response_elements",
                self.limits.response_elements,
                elements,
                f"The trace would have {elements:,} elements; the limit is {self.limits.response_elements:,}. Have smaller "
                'arrays summarised (`summarize_over`), or ask for fewer nodes ("nodes": "none").',
            )
        self.ends = [*typed.starts[1:], len(typed.graph.nodes)]
        self.listed_set = frozenset(self.listed)

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """The inputs, the seed and the tangents."""
        super().load(request, arrays, meter)
        typed = self.typed
        self.seed: Array | None = None
        if request.seed is not None or request.mode != "forward" or request.lagrangian:
            self.seed = seed_for(typed, request, resolve_of(typed, request))
        self.tangents = named_arrays(typed, request, "tangents", request.tangents, (), False)

    def _elements(self) -> Iterable[int]:
        """How many numbers each listed step's entries will have."""
        typed = self.typed
        dual = 2 if self.request.tangents else 1
        both = 2 if self.backward else 1
        several = [i for i, n in enumerate(typed.nodes) if not isinstance(n, int)]
        for i in [*self.listed, *several]:
            self.step()
            step = typed.program.steps[i]
            own = shown_size(typed.aval(i).size, self.most) if isinstance(typed.nodes[i], int) else 0
            total = own * (dual + both - 1 + self.lagrangian)
            for a in self._moving(i):
                total += own * both if step.op.elementwise else 0
                total += 2 * shown_size(typed.aval(a).size, self.most) if self.backward else 0
            yield total

    def _moving(self, i: int) -> Iterable[int]:
        """Steps that are floating operands of step `i` (of one result), in order, each once."""
        typed = self.typed
        for a in dict.fromkeys(a for a in typed.program.steps[i].operands if isinstance(a, int)):
            if isinstance(typed.nodes[a], int) and typed.aval(a).floating:
                yield a

    def run(self, meter: Meter) -> dict[str, Any]:
        """Both walks over arrays, recorded."""
        typed = self.typed
        b = self.eager(meter)
        watch = Watch(typed, self.limits.warnings)
        with np.errstate(all="ignore"):
            refs = forward(typed.graph, self.arguments, b, meter, self.blame)
            watch.values(refs)
            dots: Any = [None] * len(refs)
            if self.tangents:
                for i, tangent in self.tangents.items():
                    dots[typed.node(i)] = tangent[()]
                push(b, typed.graph.nodes, refs, dots)
            partials = {}
            steps = []
            for i in self.listed:
                meter.check()
                partials[i] = self._partials(b, refs, i)
                steps.append(self._forward_entry(refs, dots, partials[i], i))
            adj: list[Any] | None = None
            reverse: list[dict[str, Any]] = []
            adjoints: dict[int, Any] = {}
            if self.backward or self.lagrangian:
                adj = [None] * len(refs)
                reverse, adjoints = self._reverse(b, refs, partials, adj, meter)
                watch.gradients(refs, adj)
            if self.tangents:
                watch.tangents(refs, dots)
            look(self, meter, watch, refs, adj=adj, dots=dots if self.tangents else None)
        _once(watch)
        answer = self.head(self.of)
        answer["outputs"] = self.outputs({i: refs[typed.node(i)] for i in self.program.outputs})
        answer["forward"] = steps
        answer["reverse"] = reverse if self.backward else []
        if self.lagrangian:
            answer["lagrangian"] = self._lagrangian(adjoints)
        return answer | self.tail(watch)

    # -- forward

    def _forward_entry(
        self, refs: list[Any], dots: list[Any], partials: Mapping[str, Any] | None, i: int
    ) -> dict[str, Any]:
        step = self.program.steps[i]
        n = self.typed.node(i)
        entry: dict[str, Any] = {
            "node": step.id,
            "op": step.op.name,
            "inputs": [operand_json(self.program, a, self.most) for a in step.operands if a is not None],
            "value": self._show(refs[n]),
        }
        if self.tangents:
            aval = self.typed.aval(i)
            tangent = dots[n]
            if aval.floating and tangent is None:
                tangent = np.zeros(aval.shape, aval.dtype)[()]
            entry["tangent"] = self._show(tangent) if aval.floating else None
        if step.op not in (INPUT, CONSTANT):
            entry["partials"] = partials
        return entry

    def _partials(self, b: EagerBuilder, refs: list[Any], i: int) -> dict[str, Any] | None:
        """∂step/∂operand by id, over all the places where the operand stands; None for a step that is not elementwise.

        An elementwise op's tangent for a tangent of ones is its partial, whatever nodes it was lowered to. It has the shape
        of the step, also where the operand was broadcast to it. Integers and booleans have none.
        """
        typed = self.typed
        step = self.program.steps[i]
        if not step.op.elementwise or not isinstance(typed.nodes[i], int):
            return None
        found: dict[str, Any] = {}
        own = typed.aval(i)
        if not own.floating:
            return found
        for a in self._moving(i):
            aval = typed.aval(a)
            dots = _Sparse({typed.node(a): np.ones(aval.shape, aval.dtype)[()]})
            push(b, typed.graph.nodes, refs, dots, range(typed.starts[i], self.ends[i]))
            partial = dots[typed.node(i)]
            found[self.id(a)] = self._show(np.zeros(own.shape, own.dtype)[()] if partial is None else partial)
        return found

    # -- reverse

    def _reverse(
        self,
        b: EagerBuilder,
        refs: list[Any],
        partials: Mapping[int, Mapping[str, Any] | None],
        kept: list[Any],
        meter: Meter,
    ) -> tuple[list[dict[str, Any]], dict[int, Any]]:
        """The entries, and adjoints of the steps; those of all nodes are put into `kept`."""
        typed = self.typed
        nodes = typed.graph.nodes
        # A number that stands in several steps is one node; it belongs to none of them.
        active = [floating(n.aval) and n.op is not GRAPH_CONSTANT for n in nodes]
        owner = {typed.node(i): i for i in typed.reported}
        assert self.seed is not None
        adj: dict[int, Any] = {typed.node(self.of): self.seed[()]}
        entries: list[dict[str, Any]] = []
        results: dict[int, list[dict[str, Any]]] = {}
        """Entries of results, until the walk comes to the op that they are of."""
        for i in range(self.of, -1, -1):
            start, end = typed.starts[i], self.ends[i]
            local = _Sparse({n: adj[n] for n in range(start, end) if n in adj})
            if not local:
                continue
            meter.check()
            step = self.program.steps[i]
            try:
                pull(b, nodes, refs, local, active, range(end - 1, start - 1, -1))
            except EngineError as error:
                raise self.blame(start, error) from None
            for m in range(start, end):
                kept[m] = local[m]
            several = not isinstance(typed.nodes[i], int)
            wanted = self.backward and (several or i in self.listed_set)
            contributions = []
            known = partials.get(i) or {}
            for j in sorted(k for k in local if k < start):
                amount = local[j]
                adj[j] = amount if j not in adj else adj[j] + amount
                if wanted and j in owner:
                    name = self.id(owner[j])
                    partial = {"partial": known[name]} if name in known else {}
                    told = {"amount": self._show(amount), "total": self._show(adj[j])}
                    contributions.append({"to": name, **partial, **told})
            if not wanted or step.op in (INPUT, CONSTANT):
                continue
            for name in known.keys() - {c["to"] for c in contributions}:  # it gets nothing, whatever comes
                a = self.program.index[name]
                zero = np.zeros(typed.aval(a).shape, typed.aval(a).dtype)[()]
                told = {"amount": self._show(zero), "total": self._show(adj.get(typed.node(a), zero))}
                contributions.append({"to": name, "partial": known[name], **told})
            order = {self.id(a): k for k, a in reversed(list(enumerate(step.operands))) if isinstance(a, int)}
            contributions.sort(key=lambda c: order.get(c["to"], len(order)))
            if several:
                # The results alone are reported. They hand on what they got together, with the first of them.
                found = results.pop(i, [])
                if found:
                    found[-1]["contributions"] = contributions
                entries += found
                continue
            entry = {
                "node": step.id,
                "adjoint": self._show(adj[typed.node(i)]),
                "contributions": contributions,
            }
            if step.op is ITEM and isinstance(step.operands[0], int):
                results.setdefault(step.operands[0], []).append(entry)
            else:
                entries.append(entry)
        adjoints = {i: adj[typed.node(i)] for i in typed.reported if typed.node(i) in adj}
        return entries, adjoints

    # -- Lagrangian

    def _lagrangian(self, adjoints: Mapping[int, Array]) -> list[dict[str, Any]]:
        entries = []
        for i in self.listed:
            step = self.program.steps[i]
            aval = self.typed.aval(i)
            if step.op in (INPUT, CONSTANT) or not aval.floating:
                continue
            multiplier = adjoints.get(i, np.zeros(aval.shape, aval.dtype)[()])
            entries.append(
                {
                    "node": step.id,
                    "constraint": f"{step.id} - ({wording(self.program, step)}) = 0",
                    "multiplier": self._show(multiplier),
                }
            )
        return entries

    def _show(self, value: Any) -> Any:
        """The value, or a summary where it is large."""
        return shown(value, self.most)


def _once(watch: Watch) -> None:
    """Leave out what was said before: both walks meet the same kink."""
    found = {(w["kind"], w["node"], w["detail"]): w for w in reversed(watch.warnings)}
    watch.warnings = list(reversed(found.values()))
