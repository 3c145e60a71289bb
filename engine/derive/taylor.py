"""taylor: the coefficients of one node along a direction, of any order, in one forward sweep of series arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.aval import Array, Aval
from engine.cost import Cost, check_answer
from engine.derive.again import naming
from engine.derive.diagnose import explain
from engine.derive.job import Job, check_mapped
from engine.derive.request import Request, named_arrays, resolve_of
from engine.errors import InvalidField, LimitExceeded, NotDifferentiable, Where
from engine.execute.meter import Meter
from engine.specialize import pointer_part
from engine.transforms.taylor import taylor_graph


class Taylor(Job):
    r"""c_k = f⁽ᵏ⁾/k! for k = 0 … order, f(t) = of(inputs + t·direction): of(…) = Σ c_k tᵏ."""

    data = (*Job.data, "direction")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_of(typed, request)
        self.order = self._order()
        direction = self.direction
        for i in direction:
            if i not in self.program.inputs:
                raise NotDifferentiable(
                    f"A direction belongs to inputs; '{self.id(i)}' is none.",
                    node=self.id(i),
                    where=Where(pointer=f"/direction/{pointer_part(self.id(i))}"),
                )
        if self.batch is not None:
            check_mapped(self, "direction", direction)
        aval = typed.aval(self.of)
        check_answer([Aval((*self.sizes, *aval.shape), "float64")] * (self.order + 1), self.limits)
        places = {s: k for k, s in enumerate(self.program.inputs)}
        outputs = list(dict.fromkeys(self.program.outputs))
        series = taylor_graph(
            typed.graph.with_outputs([typed.node(self.of)]),
            [places[i] for i in direction],
            self.order,
            self.dtype,
            step=self.step,
            max_nodes=4 * self.limits.nodes + 1000,
            max_elements=self.limits.elements,
        )
        axes = [*self.axes, *(self.extra_axes(self.id(i), d, typed.aval(i)) for i, d in direction.items())]
        self.series, self.cost = self.runner.prepare(series, axes, "This taylor")
        self.outs = outputs
        self.primal, more = self.runner.prepare(
            typed.graph.with_outputs([typed.node(i) for i in outputs]), self.axes, "This taylor"
        )
        self.cost = Cost(
            self.cost.nodes + more.nodes, self.cost.flops + more.flops, max(self.cost.bytes, more.bytes)
        )

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """The inputs and the direction."""
        super().load(request, arrays, meter)
        self.direction = named_arrays(
            self.typed, request, "direction", request.direction, self.sizes, self.batch is not None
        )

    def _order(self) -> int:
        """The order asked for. Raises `InvalidField`, `LimitExceeded`."""
        order, most = self.request.order, self.limits.taylor_order
        where = Where(pointer="/order")
        if order < 0:
            raise InvalidField(f"`order` must not be negative; it is {order}.", where=where)
        if order > most:
            raise LimitExceeded(
                "taylor_order",
                most,
                order,
                f"Coefficients up to order {order:,} are asked for; the limit is {most:,}.",
                where=where,
            )
        return order

    def run(self, meter: Meter) -> dict[str, Any]:
        """The coefficients."""
        with naming(self, meter):
            outs = self.runner.run(self.primal, self.arguments, meter)
            found = self.runner.run(self.series, [*self.arguments, *self.direction.values()], meter)
        values: dict[int, Array] = dict(zip(self.outs, outs, strict=True))
        watch = explain(self, meter, found=[values, found], along=self.direction, order=min(self.order, 1))
        if not watch.warnings:
            watch.reported_values({self.of: found[0]})
            terms = {f"t at order {k}": c for k, c in enumerate(found) if k}
            watch.reported_derivatives(self.id(self.of), terms)
        answer = self.head(self.of)
        answer["outputs"] = self.outputs(values)
        answer["coefficients"] = found
        return answer | self.tail(watch)
