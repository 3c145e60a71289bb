"""What code is written from: one function of the program's inputs that gives a value and its derivatives.

A `Unit` is language-neutral. Its graph is everything that has to be computed, shared intermediates once, so that code which
gives each node a line of its own is linear in the program. `names` maps ids, which are a client's text, to identifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from engine.aval import Aval, DType
from engine.graph import Graph
from engine.render.code.identifiers import Identifiers, identifiers


@dataclass(frozen=True)
class Derivative:
    """One of the derivatives: `key` is its name in the answer, `wrt` the ids it is taken by, one for each order.

    ∂of/∂x has `wrt` ("x",), ∂²of/∂x∂y has ("x", "y"), ∂³of/∂x³ has three times "x". Its shape is that of `of` followed by
    those of `wrt`, in that order.
    """

    key: str
    wrt: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Unit:
    """A graph with the names of what goes in and comes out.

    `inputs` are ids of the graph's inputs, in order; the graph's outputs are the value of `of`, then each of `derivatives`.
    `steps` says which nodes of the graph hold values of the user's nodes (graph node → id; where known), for readable names
    of intermediates and for errors. `name` is what the function is to be called, if it can be.
    """

    graph: Graph
    of: str
    inputs: tuple[str, ...]
    derivatives: tuple[Derivative, ...]
    dtype: DType = "float64"
    steps: Mapping[int, str] = field(default_factory=dict)
    name: str = "f"

    def __post_init__(self) -> None:
        """Raises ValueError for names that do not fit the graph."""
        if len(self.inputs) != len(self.graph.inputs):
            raise ValueError(f"{len(self.inputs)} ids for {len(self.graph.inputs)} inputs of the graph")
        if 1 + len(self.derivatives) != len(self.graph.outputs):
            raise ValueError(
                f"{len(self.derivatives)} derivatives for {len(self.graph.outputs)} outputs of the graph"
            )

    @cached_property
    def names(self) -> Identifiers:
        """Identifiers of inputs, of what derivatives are taken by, of the derivatives' keys, and of the function."""
        return identifiers(self.inputs, [(d.key, d.wrt) for d in self.derivatives], self.of, self.name)

    @property
    def order(self) -> int:
        """How often the value is differentiated, at most."""
        return max((len(d.wrt) for d in self.derivatives), default=0)

    @property
    def value(self) -> tuple[int, Aval]:
        """Node and aval of the value."""
        return self.graph.outputs[0], self.graph.out_avals[0]

    @cached_property
    def uses(self) -> list[int]:
        """How often each node is read by a node that is computed, and by the results."""
        count = [0] * len(self.graph.nodes)
        for i, _ in self.graph.schedule:
            for j in self.graph.nodes[i].inputs:
                count[j] += 1
        for o in self.graph.outputs:
            count[o] += 1
        return count
