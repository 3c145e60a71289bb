"""propagate: standard deviations and covariances of outputs from those of inputs, to first order.

y(x + δ) ≈ y(x) + J δ, so Σ_y = J Σ_x Jᵀ. That is exact for programs that are linear in what is uncertain, and good where
they are nearly so over a few standard deviations: the next term of the variance, ½ Σᵢⱼ (∂²y/∂xᵢ∂xⱼ sᵢsⱼ)² for normal errors,
must be small beside it (at a stationary point of y it is all there is, and the answer here is 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array
from engine.cost import Cost, Limits, check
from engine.derive import Plans, prepare
from engine.derive.named import as_dicts
from engine.derive.request import Request, resolve_many_of, resolve_wrt
from engine.errors import LimitExceeded
from engine.execute.meter import Meter
from engine.propagate.spread import Spread, elasticities
from engine.propagate.uncertain import Blocks, members_first, read_uncertain
from engine.values import Given


class Propagation:
    """A request for propagate, ready to run. `cost` is known, and within the limits.

    Its Jacobian, and the values where they are no inputs or outputs, are jobs of their own, which `plans` keeps.

    Uncertain are the nodes in `std` and `covariance`: inputs, or intermediates n := op(…) + δ with δ uncertain. Shares and
    elasticities are by `wrt` where that is given, else by every floating input and whatever else is uncertain. `full` asks
    for covariances of the outputs. Raises `EngineError`.
    """

    def __init__(
        self,
        request: Request,
        std: Mapping[str, Given],
        covariance: Blocks,
        full: bool,
        limits: Limits,
        meter: Meter,
        plans: Plans | None = None,
    ) -> None:
        self.request = request
        self.full = full
        plain = replace(request, of=None, wrt=None, nodes="none", include=frozenset(), mode="auto")
        values = prepare("evaluate", plain, limits, meter, plans)
        typed = self.typed = values.typed
        self.sizes = values.sizes
        self.members = prod(self.sizes)
        self.limits = limits
        self.of = resolve_many_of(typed, request)
        self.uncertain = read_uncertain(values, std, covariance, limits, meter)
        default = resolve_wrt(typed, request)
        given = [i for i in self.uncertain.std if i not in default]
        self.reported = default if request.wrt is not None else [*default, *given]
        self.columns = [*default, *given]
        self.inputs = values
        self._check_answer()
        needed = {*self.of, *self.reported}
        self.values = None
        if not needed <= {*typed.program.inputs, *typed.program.outputs}:
            names = tuple(self._id(i) for i in sorted(needed))
            self.values = prepare("evaluate", replace(plain, wrt=names), limits, meter, plans)
        asked = replace(
            request,
            of=tuple(self._id(i) for i in self.of),
            wrt=tuple(self._id(i) for i in self.columns) or None,
            include=frozenset(),
        )
        self.jacobian = prepare("jacobian", asked, limits, meter, plans)
        self.cached = self.jacobian.cached
        self.cost = self._cost()
        check(self.cost, limits, "This propagate")

    def _id(self, i: int) -> str:
        return self.typed.program.steps[i].id

    def _size(self, steps: Sequence[int]) -> int:
        return sum(self.typed.aval(i).size for i in steps)

    def _check_answer(self) -> None:
        """Raise `LimitExceeded` for an answer that would be too long."""
        m, k = self._size(self.of), self._size(self.reported)
        covariance = m * m if self.full else 0
        total = self.members * (m * (2 + len(self.reported)) + m * k + covariance)
        if total <= self.limits.response_elements:
            return
        hint = (
            'Leave out the covariance of the outputs ("output_covariance": false)'
            if covariance > total // (2 * max(1, self.members))
            else "Ask for the elasticities by fewer nodes (`wrt`)"
        )
        raise LimitExceeded(
            "response_elements",
            self.limits.response_elements,
            total,
            f"The answer would have {total:,} elements, for {m:,} entries of outputs and {k:,} of inputs; the limit is "
            f"{self.limits.response_elements:,}. {hint}, or ask for fewer outputs (`of`).",
        )

    def _cost(self) -> Cost:
        """That of the Jacobian, and of products with it."""
        m, k = self._size(self.of), self._size(self.columns)
        group = self._size(self.uncertain.group)
        covariance = m * m if self.full else 0
        flops = (
            8.0 * m * k + 2.0 * m * group * group + 2.0 * covariance * self._size(list(self.uncertain.std))
        )
        nbytes = 8 * self.members * (4 * m * k + 3 * covariance + 3 * m * group) + 16 * group * group
        base = self.jacobian.cost
        return Cost(
            base.nodes + len(self.typed.graph.nodes),
            base.flops + self.members * flops,
            base.bytes + nbytes,
            base.largest_step,
        )

    @property
    def seconds(self) -> float:
        """Predicted time of `run`."""
        return max(self.jacobian.seconds, self.cost.seconds)

    @property
    def peak_bytes(self) -> int:
        """Predicted memory; after `run` with that of the loops whose length was not known before."""
        return max(self.cost.bytes, self.jacobian.peak_bytes)

    def run(self, meter: Meter) -> dict[str, Any]:
        """The answer's fields. Raises what `Job.run` raises."""
        with np.errstate(all="ignore"):
            return self._run(meter)

    def _run(self, meter: Meter) -> dict[str, Any]:
        first = as_dicts(self.jacobian.run(meter))
        values = first["outputs"]
        if self.values is not None:
            values = {**values, **as_dicts(self.values.run(meter))["values"]}
        jacobian = first.pop("jacobian")
        spreads: dict[int, Spread] = {}
        relative: dict[str, dict[str, Array]] = {}
        for o in self.of:
            row = {i: self._block(jacobian[self._id(o)].pop(self._id(i)), o, i) for i in self.columns}
            y = self._value(values, o)
            relative[self._id(o)] = {
                self._id(i): self._shaped(elasticities(row[i], self._value(values, i), y), o, i)
                for i in self.reported
            }
            meter.look()
            uncertain = {i: row[i] for i in [*self.uncertain.std] if i in row}
            rows = (self.members, self.typed.aval(o).size)
            spreads[o] = Spread(uncertain, self.uncertain, rows, meter)
        std: dict[str, Array] = {}
        shares: dict[str, dict[str, Array]] = {}
        for o, spread in spreads.items():
            deviation, parts = spread.deviations()
            std[self._id(o)] = self._shaped(deviation, o)
            nothing = np.zeros_like(deviation)
            shares[self._id(o)] = {self._id(i): self._shaped(parts.get(i, nothing), o) for i in self.reported}
            meter.look()
        answer: dict[str, Any] = {"of": first["of"], "output_ids": first["output_ids"]}
        answer["outputs"] = first["outputs"]
        answer["std"] = std
        if self.full:
            answer["covariance"] = self._covariances(spreads)
        answer["shares"] = shares
        answer["elasticities"] = relative
        answer["mode"], answer["passes"] = first["mode"], first["passes"]
        answer["graph_id"] = first["graph_id"]
        answer["warnings"] = self._warnings(first["warnings"], std, values)
        return answer

    def _covariances(self, spreads: Mapping[int, Spread]) -> dict[str, dict[str, Array]]:
        """Each pair once; the other half is its transpose."""
        found: dict[tuple[int, int], Array] = {}
        for k, a in enumerate(self.of):
            for b in self.of[k:]:
                block = spreads[a].covariance(spreads[b])
                found[a, b] = self._shaped(block, a, b)
                if a != b:
                    found[b, a] = self._shaped(block.transpose(0, 2, 1), b, a)
        return {self._id(a): {self._id(b): found[a, b] for b in self.of} for a in self.of}

    def _block(self, block: Any, o: int, i: int) -> Array:
        """∂o/∂i float64[B, m, k]."""
        array = np.asarray(block, np.float64)
        return array.reshape(self.members, self.typed.aval(o).size, self.typed.aval(i).size)

    def _value(self, values: Mapping[str, Any], i: int) -> Array:
        """Values of a node float64[B, size]."""
        name = self._id(i)
        found = values.get(name)
        if found is not None:
            return np.asarray(found, np.float64).reshape(self.members, self.typed.aval(i).size)
        argument = self.inputs.arguments[self.typed.program.inputs.index(i)]
        if self.inputs.batch is not None:
            return members_first(self.inputs, name, argument)
        return np.asarray(argument, np.float64).reshape(1, -1)

    def _shaped(self, array: Array, *nodes: int) -> Array:
        """An array that leads with the batch, in the shapes of nodes and the program's dtype."""
        shape = [*self.sizes, *(n for i in nodes for n in self.typed.aval(i).shape)]
        shaped: Array = array.reshape(shape).astype(self.request.dtype, copy=False)[()]
        return shaped

    def _warnings(
        self, known: Sequence[Mapping[str, Any]], std: Mapping[str, Array], values: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        """Those of the Jacobian; where it is finite, of what is not finite all the same."""
        warnings = list(known)
        for o in self.of:
            name = self._id(o)
            for kind, mask, detail in (
                (
                    "non-finite-gradient",
                    np.asarray(values[name]) == 0 if name in values and self.reported else np.zeros((), bool),
                    f"{name} is 0 here, so what changes it by a part of its own (its elasticities) is not finite",
                ),
                (
                    "non-finite-value",
                    ~np.isfinite(std[name]) if not known else np.zeros((), bool),
                    f"the standard deviation of {name} is not finite",
                ),
            ):
                if mask.any() and len(warnings) < self.limits.warnings:
                    index = [int(k) for k in np.argwhere(mask)[0]]
                    warnings.append(
                        {
                            "kind": kind,
                            "node": name,
                            "index": index,
                            "count": int(mask.sum()),
                            "detail": detail,
                        }
                    )
        return warnings
