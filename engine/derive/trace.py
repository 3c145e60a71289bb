"""The evaluation trace: both walks, step by step, as one would write them down by hand.

Forward: each step's value, its local partial derivatives and, with tangents, the second half of its dual number. Reverse:
each step's adjoint, and what it hands to each operand, with the operand's running total. The adjoints are also the
multipliers λᵢ of the constraints tᵢ − fᵢ = 0 in the Lagrangian L = of − Σ λᵢ (tᵢ − fᵢ): ∂L/∂tᵢ = 0 is the backward pass.
(Y. LeCun, "A theoretical framework for back-propagation", 1988.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.builder import EagerBuilder
from engine.cost import Cost, check, check_answer, cost_of, cost_of_way_back
from engine.derive.inside import look
from engine.derive.job import Job
from engine.derive.request import Request, named_arrays, resolve_of, seed_for
from engine.derive.warn import Watch
from engine.errors import EngineError
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import CONSTANT as GRAPH_CONSTANT
from engine.graph import single
from engine.program import CONSTANT, INPUT, ITEM, Literal, Step
from engine.transforms.pull import floating, pull
from engine.transforms.push import push

SUMMARIZE_OVER = 1000
"""Arrays of more elements are summarised, unless the request says otherwise."""

FIRST = 6
"""Entries that a summary shows."""


class _Sparse(dict[int, Any]):
    """Positions to values, None where there is none."""

    def __missing__(self, key: int) -> None:
        return None


class Trace(Job):
    """The verb trace."""

    data = (*Job.data, "seed", "tangents")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_of(typed, request)
        self.most = SUMMARIZE_OVER if request.summarize_over is None else request.summarize_over
        base = cost_of(typed.graph, keep=True)
        back = cost_of_way_back(typed.graph, self.dtype, self.record_bytes)
        self.cost = Cost(
            base.nodes * 12 + back.nodes,
            base.flops * 6 + back.flops,
            base.bytes * 4 + back.bytes,
            base.largest_step,
        )
        check(self.cost, self.limits, "This trace")
        sizes = [min(typed.aval(i).size, self.most) for i in typed.reported]
        check_answer([Aval((4 * n,), "float64") for n in sizes], self.limits)
        self.ends = [*typed.starts[1:], len(typed.graph.nodes)]

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """The inputs, the seed and the tangents."""
        super().load(request, arrays, meter)
        typed = self.typed
        self.seed = seed_for(typed, request, resolve_of(typed, request))
        self.tangents = named_arrays(typed, request, "tangents", request.tangents, (), False)

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
            partials = {i: self._partials(b, refs, i) for i in range(len(typed.nodes))}
            steps = [self._forward_entry(refs, dots, partials[i], i) for i in typed.reported]
            adj: list[Any] = [None] * len(refs)
            reverse, adjoints = self._reverse(b, refs, partials, adj)
            watch.gradients(refs, adj)
            look(self, meter, watch, refs, adj=adj)
        answer = self.head(self.of)
        answer["outputs"] = self.outputs({i: refs[typed.node(i)] for i in self.program.outputs})
        answer["forward"] = steps
        answer["reverse"] = reverse
        if self.request.lagrangian:
            answer["lagrangian"] = self._lagrangian(adjoints)
        return answer | self.tail(watch)

    # -- forward

    def _forward_entry(
        self, refs: list[Any], dots: list[Any], partials: Mapping[int, Array] | None, i: int
    ) -> dict[str, Any]:
        step = self.program.steps[i]
        n = self.typed.node(i)
        entry: dict[str, Any] = {
            "node": step.id,
            "op": step.op.name,
            "inputs": self._operand_names(step),
            "value": self._show(refs[n]),
        }
        if self.tangents:
            aval = self.typed.aval(i)
            if aval.floating:
                entry["tangent"] = self._show(
                    dots[n] if dots[n] is not None else np.zeros(aval.shape, aval.dtype)
                )
            else:
                entry["tangent"] = None
        if step.op not in (INPUT, CONSTANT):
            entry["partials"] = (
                None if partials is None else {self.id(a): self._show(p) for a, p in partials.items()}
            )
        return entry

    def _operand_names(self, step: Step) -> list[Any]:
        names: list[Any] = []
        for a in step.operands:
            if isinstance(a, int):
                names.append(self.id(a))
            elif isinstance(a, Literal):
                names.append(a.to_json())
        return names

    def _partials(self, b: EagerBuilder, refs: list[Any], i: int) -> dict[int, Array] | None:
        """∂step/∂operand over all the places where the operand stands; None for a step that is not elementwise.

        An elementwise op's tangent for a tangent of ones is its partial, whatever nodes it was lowered to.
        """
        typed = self.typed
        step = self.program.steps[i]
        if not step.op.elementwise or not isinstance(typed.nodes[i], int) or not typed.aval(i).floating:
            return None
        found: dict[int, Array] = {}
        for a in dict.fromkeys(a for a in step.operands if isinstance(a, int)):
            if not isinstance(typed.nodes[a], int) or not typed.aval(a).floating:
                continue
            aval = typed.aval(a)
            dots = _Sparse({typed.node(a): np.ones(aval.shape, aval.dtype)[()]})
            push(b, typed.graph.nodes, refs, dots, range(typed.starts[i], self.ends[i]))
            own = typed.aval(i)
            partial = dots[typed.node(i)]
            found[a] = np.zeros(own.shape, own.dtype)[()] if partial is None else partial
        return found

    # -- reverse

    def _reverse(
        self,
        b: EagerBuilder,
        refs: list[Any],
        partials: Mapping[int, Mapping[int, Array] | None],
        kept: list[Any],
    ) -> tuple[list[dict[str, Any]], dict[int, Array]]:
        """The entries, and adjoints of the steps; those of all nodes are put into `kept`."""
        typed = self.typed
        nodes = typed.graph.nodes
        # A number that stands in several steps is one node; it belongs to none of them.
        active = [floating(n.aval) and n.op is not GRAPH_CONSTANT for n in nodes]
        owner = {typed.node(i): i for i in typed.reported}
        adj: dict[int, Any] = {typed.node(self.of): self.seed[()]}
        entries: list[dict[str, Any]] = []
        for i in range(len(typed.nodes) - 1, -1, -1):
            start, end = typed.starts[i], self.ends[i]
            local = _Sparse({n: adj[n] for n in range(start, end) if n in adj})
            if not local:
                continue
            step = self.program.steps[i]
            try:
                pull(b, nodes, refs, local, active, range(end - 1, start - 1, -1))
            except EngineError as error:
                raise self.blame(start, error) from None
            for m in range(start, end):
                kept[m] = local[m]
            contributions = []
            for j in sorted(k for k in local if k < start):
                amount = local[j]
                adj[j] = amount if j not in adj else adj[j] + amount
                if j not in owner:
                    continue
                entry: dict[str, Any] = {"to": self.id(owner[j])}
                known = partials[i]
                if known is not None and owner[j] in known:
                    entry["partial"] = self._show(known[owner[j]])
                contributions.append(entry | {"amount": self._show(amount), "total": self._show(adj[j])})
            if step.op in (INPUT, CONSTANT):
                continue
            order = {self.id(a): k for k, a in reversed(list(enumerate(step.operands))) if isinstance(a, int)}
            contributions.sort(key=lambda c: order.get(c["to"], len(order)))
            n = typed.nodes[i]
            adjoint = self._show(adj[n]) if isinstance(n, int) else None
            entries.append({"node": step.id, "adjoint": adjoint, "contributions": contributions})
        adjoints = {i: adj[typed.node(i)] for i in typed.reported if typed.node(i) in adj}
        return entries, adjoints

    # -- Lagrangian

    def _lagrangian(self, adjoints: Mapping[int, Array]) -> list[dict[str, Any]]:
        entries = []
        for i in self.typed.reported:
            step = self.program.steps[i]
            if step.op in (INPUT, CONSTANT) or not self.typed.aval(i).floating:
                continue
            aval = single(self.typed.graph.nodes[self.typed.node(i)].aval)
            multiplier = adjoints.get(i, np.zeros(aval.shape, aval.dtype)[()])
            entries.append(
                {
                    "node": step.id,
                    "constraint": f"{step.id} - ({self._written(step)}) = 0",
                    "multiplier": self._show(multiplier),
                }
            )
        return entries

    def _written(self, step: Step) -> str:
        """The step as one writes it: `x + y`, `tanh(t1)`."""
        names = [
            self.id(a) if isinstance(a, int) else "None" if a is None else str(a.to_json())
            for a in step.operands
        ]
        sign = next((s for s in step.op.aliases if not s[0].isalnum() and s[0] != "_"), None)
        if step.op is ITEM:
            return f"{names[0]}[{step.attrs.get('index', 0)}]"
        if sign is not None and len(names) == 2:
            return f"{names[0]} {sign} {names[1]}"
        if step.op.name == "negative":
            return f"-{names[0]}"
        attrs = [
            f"{k}={v!r}" for k, v in step.attrs.items() if isinstance(v, int | float | str | tuple | bool)
        ]
        return f"{step.op.name}({', '.join([*names, *attrs])})"

    def _show(self, value: Any) -> Any:
        """The value, or a summary where it is large."""
        array = np.asarray(value)
        if array.size <= self.most:
            return value
        flat = array.ravel()
        summary: dict[str, Any] = {
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "first": flat[:FIRST],
            "min": array.min(),
            "max": array.max(),
        }
        if array.dtype.kind == "f":
            summary["mean"] = array.mean()
            summary["norm"] = np.sqrt(np.sum(np.square(array)))
        return summary
