"""Sums of zeros with something laid into them: how gradients of slices add up, written into one array instead.

The gradient of a program that reads x[:, 0], x[:, 1], … is a sum of arrays that are zero but for one column each (`embed`).
Where such arrays do not overlap, or lie in the same places, their sum is the sum of what lies in each place. Nothing else
changes, not even the sign of a zero: where there are several places, an entry is v + 0 in the end, as it was when the other
arrays' zeros were added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.graph import INPUT, Graph, Node, single
from engine.op import Into, Op, Params, registry
from engine.ops.layout.shape import python_slices

Index = tuple[tuple[int, int, int], ...]


class Assemble(Op):
    """Zeros of a trailing `shape` into which operand k, plus 0, is laid at places `indices[k]`; these do not overlap."""

    name = "core.assemble"
    family = "core"
    internal = True

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Leading axes of the operands, then `shape`."""
        own, shape = avals[0].shape, params["shape"]
        return Aval(own[: len(own) - len(shape)] + tuple(shape), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A new array."""
        x = np.asarray(arrays[0])
        shape = params["shape"]
        result: Array = np.empty(x.shape[: x.ndim - len(shape)] + tuple(shape), x.dtype)
        lay(*self._how(x.shape, params), *arrays, result)
        return result

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """Piece by piece; zeros first, if the pieces leave something out."""
        return Into(partial(lay, *self._how(avals[0].shape, dict(params))))

    def _how(self, own: Sequence[int], params: Mapping[str, Any]) -> tuple[bool, list[tuple[Any, ...]]]:
        places = [(..., *python_slices(index)) for index in params["indices"]]
        count = sum(_size(index) for index in params["indices"])
        return count < int(np.prod(params["shape"])), places

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """An axis that all pieces take whole."""
        at = axis - (result.rank - len(params["shape"]))
        whole = at < 0 or all(index[at] == (0, result.shape[axis], 1) for index in params["indices"])
        return (axis,) * len(operands) if whole else None

    def piece(self, axis: int, n: int, result: Aval, /, **params: Any) -> Mapping[str, Any]:
        """All n."""
        shape = list(params["shape"])
        at = axis - (result.rank - len(shape))
        if at < 0:
            return params
        shape[at] = n
        indices = tuple((*index[:at], (0, n, 1), *index[at + 1 :]) for index in params["indices"])
        return {"indices": indices, "shape": tuple(shape)}


def lay(gaps: bool, places: Sequence[tuple[Any, ...]], *arrays: Any) -> None:
    """Write operands, plus 0, to their places in the last array."""
    *parts, out = arrays
    if gaps:
        out.fill(0)
    for place, part in zip(places, parts, strict=True):
        np.add(part, 0, out[place])


def _size(index: Index) -> int:
    count = 1
    for s in index:
        count *= len(range(*s))
    return count


ASSEMBLE = Assemble()
EMBED = registry.core("embed")


class _Sum(NamedTuple):
    """An array that is zero but in some places: for each the node that lies there (a position in the new graph)."""

    parts: dict[Index, int]
    shape: tuple[int, ...]


def assembled(graph: Graph) -> Graph:
    """The graph with sums of embedded arrays written as one node each."""
    uses: dict[int, int] = {}
    for used in (*(node.inputs for node in graph.nodes), graph.outputs):
        for j in used:
            uses[j] = uses.get(j, 0) + 1
    if not any(node.op.name == "embed" for node in graph.nodes):
        return graph
    nodes: list[Node] = []
    place: dict[int, int] = {}
    waiting: dict[int, _Sum] = {}

    def emit(node: Node) -> int:
        nodes.append(node)
        return len(nodes) - 1

    def add(x: int, y: int, op: Op) -> int:
        return emit(Node(op, (x, y), (), nodes[x].aval))

    def written(j: int) -> int:
        """The position of node `j`, which is written now if it waited."""
        found = waiting.pop(j, None)
        if found is not None:
            indices, parts = tuple(found.parts), tuple(found.parts.values())
            op, name, value = (
                (ASSEMBLE, "indices", indices) if len(parts) > 1 else (EMBED, "index", indices[0])
            )
            params = ((name, value), ("shape", found.shape))
            place[j] = emit(Node(op, parts, params, graph.nodes[j].aval))
        return place[j]

    for i, node in enumerate(graph.nodes):
        op, inputs, params, aval = node
        if op.name == "embed" and single(aval).floating:
            # Of several sums, too: x·x gives the gradient of x the same part twice.
            given = dict(params)
            waiting[i] = _Sum({given["index"]: written(inputs[0])}, given["shape"])
            continue
        if op.name == "add" and inputs[0] in waiting and inputs[1] in waiting:
            x, y = waiting[inputs[0]], waiting[inputs[1]]
            if x.shape == y.shape and _apart(x.parts, y.parts):
                for j in inputs:
                    if uses[j] == 1:
                        del waiting[j]
                parts = dict(x.parts)
                for index, part in y.parts.items():
                    parts[index] = add(parts[index], part, op) if index in parts else part
                waiting[i] = _Sum(parts, x.shape)
                if uses.get(i) != 1:
                    written(i)
                continue
        local = tuple(written(j) for j in inputs)
        place[i] = emit(Node(op, local, params, aval))
    outputs = tuple(written(o) for o in graph.outputs)
    done = Graph(tuple(nodes), tuple(place[i] for i in graph.inputs), outputs)
    assert all(done.nodes[i].op is INPUT for i in done.inputs)
    return done


def _apart(x: Mapping[Index, int], y: Mapping[Index, int]) -> bool:
    """Whether each two places are the same or have nothing in common."""
    return all(p == q or any(_disjoint(a, b) for a, b in zip(p, q, strict=True)) for p in x for q in y)


def _disjoint(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether two ranges have no number in common; for those with steps beside one, only if one ends before the other."""
    p, q = range(*a), range(*b)
    return not p or not q or max(p) < min(q) or max(q) < min(p)
