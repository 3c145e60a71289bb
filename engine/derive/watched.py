"""Looking at the values of a program while a derived graph is computed: whether all of them are finite.

A result can be finite though a value on the way was not, and the user is to be told. Running the program once more to see
costs as much as a structured Jacobian does. So nodes that do nothing stand behind the program's own, and tell as ops with a
kink do that the answer has to be looked into.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.execute.finite import finite
from engine.formula import Formula
from engine.graph import CONSTANT, INPUT, Graph, Node
from engine.op import Op, Partial


class Watched(Op):
    """The operand. Its kink is not being finite."""

    name = "core.watched"
    family = "core"
    internal = True
    elementwise = True
    view = True
    moves = True
    convention = "Not finite."
    rules = (Partial(Formula("1")),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The operand."""
        return arrays[0]

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Everywhere, if some entry is not finite."""
        return None if finite(y) else np.ones((), bool)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A look at each entry."""
        return float(operands[0].size)


WATCHED = Watched()


def watched(graph: Graph, nodes: Collection[int]) -> Graph | None:
    """The graph in which what uses `nodes` uses them through a look at them. None if one of them is not computed at all.

    Those that show entries of others are not looked at again; arguments are looked at before anything is computed.
    """
    wanted = {i for i in nodes if _looked_at(graph.nodes[i])}
    if not wanted <= {i for i, _ in graph.schedule}:
        return None
    used = {j for i, _ in graph.schedule for j in graph.nodes[i].inputs} | set(graph.outputs)
    if not wanted <= used:
        return None
    place: list[int] = []
    own: list[int] = []
    found: list[Node] = []
    for i, node in enumerate(graph.nodes):
        found.append(node._replace(inputs=tuple(place[j] for j in node.inputs)))
        own.append(len(found) - 1)
        if i in wanted:
            found.append(Node(WATCHED, (len(found) - 1,), (), node.aval))
        place.append(len(found) - 1)
    return Graph(tuple(found), tuple(own[i] for i in graph.inputs), tuple(place[o] for o in graph.outputs))


def _looked_at(node: Node) -> bool:
    given = node.op is CONSTANT or node.op is INPUT
    return isinstance(node.aval, Aval) and node.aval.floating and not given and not node.op.view
