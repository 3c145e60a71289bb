"""What all checks of one case start from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.graph import Graph, typecheck
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from tests.engine.conformance.cases import Case
from tests.engine.conformance.computing import compute, largest, listed
from tests.engine.conformance.numeric import direction
from tests.engine.conformance.report import Reference, Report


class Looker:
    """One case, its graph and its values; `report` collects what is found."""

    def __init__(
        self, report: Report, case: Case, reference: Reference | None, rng: np.random.Generator
    ) -> None:
        self.report = report
        self.case = case
        self.reference = reference
        self.rng = rng
        self.graph = case.graph()
        self.arrays = [np.asarray(a) for a in case.arrays]
        self.floats = [k for k, a in enumerate(self.arrays) if a.dtype.kind == "f"]
        self.values = listed(compute(self.graph, self.arrays))
        self.outs = [o for o, a in zip(self.graph.outputs, self.graph.out_avals, strict=True) if a.floating]
        self.float_values = [v for v in self.values if np.asarray(v).dtype.kind == "f"]
        self.differentiable = bool(self.floats and self.outs)
        self.n = len(self.graph.outputs)

    def named(self, what: str) -> str:
        """What was looked at, with the case."""
        return f"{self.case.label}: {what}"

    @property
    def attrs(self) -> dict[str, Any]:
        """All attributes, with defaults."""
        return {**{a.name: a.default for a in self.case.op.attrs}, **self.case.attrs}

    def expected(self, operands: Sequence[Any]) -> list[Any]:
        """The reference's results."""
        assert self.reference is not None
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return listed(self.reference.value(*operands, **self.attrs))

    def expected_nearby(self, operands: Sequence[Any]) -> list[Any]:
        """What the results are differentiated as."""
        assert self.reference is not None
        if self.reference.derived is None:
            return self.expected(operands)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return listed(self.reference.derived(self.case.operands, *operands, **self.attrs))

    def seeds(
        self, positions: Sequence[int], scaled: bool = True, most: float = math.inf
    ) -> list[Array | None]:
        """Random tangents for some inputs, fitting their size or not."""
        return [
            None if k not in positions
            else direction(a, self.rng, most) if scaled else np.asarray(self.rng.uniform(0.5, 1.5, a.shape))
            for k, a in enumerate(self.arrays)
        ]  # fmt: skip

    def cotangents(self) -> list[Array]:
        """Random cotangents of the floating results."""
        return [
            np.asarray(self.rng.uniform(0.5, 1.5, np.shape(v)) * self.rng.choice([-1.0, 1.0], np.shape(v)))
            for v in self.float_values
        ]

    def forward(self, positions: Sequence[int]) -> Graph:
        """Forward mode with tangents for the inputs at `positions`."""
        g = jvp_graph(self.graph, [self.graph.inputs[k] for k in positions], "float64")
        typecheck(g)
        return g

    def reverse(self, positions: Sequence[int]) -> Graph:
        """Reverse mode from all floating results to the inputs at `positions`."""
        g = vjp_graph(self.graph, self.outs, [self.graph.inputs[k] for k in positions], "float64")
        typecheck(g)
        return g

    def tangents_of(self, graph: Graph, seeds: Sequence[Array]) -> list[Array]:
        """Tangents of the floating results."""
        got = compute(graph, [*self.arrays, *seeds])
        return self.only_floats(got[self.n :])

    def only_floats(self, results: Sequence[Any]) -> list[Any]:
        """Of something for each result what belongs to floating ones."""
        return [r for r, a in zip(results, self.graph.out_avals, strict=True) if a.floating]

    def noise(self, *parts: Any) -> float:
        """What rounding may make of an entry beside much larger ones: nothing where entries do not mix."""
        if self.case.op.elementwise:
            return 0.0
        return 1e-13 * max((largest(p) for p in parts), default=0.0)

    def subsets(self) -> list[list[int]]:
        """Each floating input alone, and all of them."""
        alone = [[k] for k in self.floats]
        return alone if len(alone) == 1 else [*alone, list(self.floats)]
