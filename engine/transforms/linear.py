"""Linear graphs: whether a graph is linear in some of its inputs, and its transpose.

A rule that a user gives (`custom_jvp`, `custom_vjp`) or a matrix that is given as a function (`linear_solve`) may be
turned round only if it is linear, and nothing but its form can tell for all values. So this looks at the form: what
cannot be seen to be linear is named.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from engine.aval import Aval, DType
from engine.builder import GraphBuilder
from engine.graph import CONSTANT, ITEM, Graph, Node
from engine.op import Linear
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify

_UNARY = frozenset({"negative", "positive", "identity", "cast"})
_STRETCHES = frozenset({"broadcast_to", "reshape", "permute_dims", "cast", "identity", "negative", "slice"})
_SCALAR_FACTORS = {"multiply": (0, 1), "divide": (0,)}
"""Products, and the operands in which they are linear while the others are fixed."""


def nonlinear(graph: Graph, marked: Collection[int]) -> str | None:
    """What keeps `graph` from being linear in its inputs at `marked` (the name of an op); None if it is linear.

    The answer may be wrong in one way only: an op that is linear here by accident (`t**1`, `abs(t)*sign(t)`) is named too.
    """
    found = _walk(graph, [k in marked for k in range(len(graph.inputs))])
    if found.reason is None and not all(m or z for m, z in zip(found.marked, found.zero, strict=True)):
        return "a result that does not depend on them"
    return found.reason


class _Found(NamedTuple):
    """Why something is not linear; else which outputs depend on what is marked, and which are zeros for certain."""

    reason: str | None
    marked: list[bool]
    zero: list[bool]


def _walk(graph: Graph, marked: Sequence[bool]) -> _Found:
    nodes = graph.nodes
    flags = [False] * len(nodes)
    zero = [False] * len(nodes)
    several: dict[int, list[bool]] = {}
    for i, mark in zip(graph.inputs, marked, strict=True):
        flags[i] = mark
    for i, _ in graph.schedule:
        node = nodes[i]
        op = node.op
        if op is CONSTANT:
            zero[i] = not node.params[0][1].value.any()
        elif op is ITEM and node.inputs[0] in several:
            flags[i] = several[node.inputs[0]][node.params[0][1]]
        elif not any(flags[j] for j in node.inputs):
            zero[i] = op.name in _STRETCHES and zero[node.inputs[0]]
        elif op.subgraphs:
            reason, several[i] = _inside(
                node, [flags[j] for j in node.inputs], [zero[j] for j in node.inputs]
            )
            if reason is not None:
                return _Found(reason, [], [])
            flags[i] = any(several[i])
        else:
            flags[i] = True
            if not _is_linear(node, [flags[j] for j in node.inputs], [zero[j] for j in node.inputs]):
                return _Found(op.name.removeprefix("core."), [], [])
    return _Found(None, [flags[o] for o in graph.outputs], [zero[o] for o in graph.outputs])


def _is_linear(node: Node, marked: Sequence[bool], zero: Sequence[bool]) -> bool:
    """Whether an op without subgraphs is linear in its marked operands together, the others fixed."""
    op, name = node.op, node.op.name
    if isinstance(node.aval, Aval) and not node.aval.floating:
        return False
    count = sum(marked)
    if name in _UNARY:
        return True
    if name in ("add", "subtract"):
        return all(m or z for m, z in zip(marked, zero, strict=True))
    if name == "where":
        return not marked[0] and all(m or z for m, z in zip(marked[1:], zero[1:], strict=True))
    if name in _SCALAR_FACTORS:
        return count == 1 and marked.index(True) in _SCALAR_FACTORS[name]
    rules = [op.rule(k) for k in range(len(marked))]
    if not all(isinstance(r, Linear) for r, m in zip(rules, marked, strict=True) if m):
        return False
    joint = [isinstance(r, Linear) and r.joint for r in rules]
    if any(j for j, m in zip(joint, marked, strict=True) if m):
        return all(m or z for m, z, j in zip(marked, zero, joint, strict=True) if j)
    return count == 1


def _inside(node: Node, marked: list[bool], zero: list[bool]) -> tuple[str | None, list[bool]]:
    """The same for an op that holds graphs: the reason, or which results depend on what is marked."""
    params = dict(node.params)
    name = node.op.name
    if name == "core.cond" and not marked[0]:
        p, q = _walk(params["then"], marked[1:]), _walk(params["otherwise"], marked[1:])
        if p.reason or q.reason:
            return p.reason or q.reason, []
        either = [a or b for a, b in zip(p.marked, q.marked, strict=True)]
        for found in (p, q):
            if any(e and not (m or z) for e, m, z in zip(either, found.marked, found.zero, strict=True)):
                return "a branch that does not depend on them", []
        return None, either
    if name == "core.scan":
        carries, flags = params["carries"], list(marked)
        while True:
            found = _walk(params["body"], flags)
            if found.reason is not None:
                return found.reason, []
            grown = [a or b for a, b in zip(flags[:carries], found.marked, strict=False)]
            if grown == flags[:carries]:
                break
            flags[:carries] = grown
        kept = zip(flags[:carries], marked, zero, found.marked, found.zero, strict=False)
        if any(f and not ((m or z) and (fm or fz)) for f, m, z, fm, fz in kept):
            return "a loop whose carry has an offset", []
        return None, found.marked
    if name == "core.checkpoint":
        found = _walk(params["body"], marked)
        return found.reason, found.marked
    if name == "core.counted" and not any(marked[: len(marked) - params["derivation"].linear]):
        return None, [True] * len(node.aval)
    if name == "core.linear_solve" and not any(marked[1:]):
        return None, [True]
    return name.removeprefix("core."), []


def at_zero(graph: Graph, positions: Collection[int], dtype: DType) -> Graph:
    """The graph without its inputs at `positions`, which are 0; simplified."""
    b = GraphBuilder(dtype)
    refs: list[Any] = []
    for k, aval in enumerate(graph.in_avals):
        refs.append(b.zeros(aval) if k in positions else b.input(aval))
    return simplify(b.build(b.inline(graph, refs)), dtype)


def transpose(graph: Graph, positions: Sequence[int], dtype: DType, **limits: Any) -> Graph:
    """Transpose of a graph that is linear in its inputs at `positions`.

    Inputs: the others, then a cotangent of each output; outputs: the cotangents of those at `positions`. A linear map has
    the same derivative everywhere, so it is taken at 0.
    """
    derived = vjp_graph(graph, graph.outputs, [graph.inputs[k] for k in positions], dtype, **limits)
    return at_zero(derived.with_outputs(derived.outputs[len(graph.outputs) :]), positions, dtype)


def strongly(graph: Graph, positions: Sequence[int], dtype: DType, **limits: Any) -> Graph:
    """The same linear map, with its inputs at `positions` as strong zeros: 0 times infinity is 0 there.

    It is the map's own derivative. Inputs: the others, then those at `positions`.
    """
    derived = jvp_graph(graph, [graph.inputs[k] for k in positions], dtype, **limits)
    return at_zero(derived.with_outputs(derived.outputs[len(graph.outputs) :]), positions, dtype)
