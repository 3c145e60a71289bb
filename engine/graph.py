"""The typed Wengert list: nodes in evaluation order, each with an aval. Frozen data.

A node names earlier nodes only, so a graph is topologically sorted by construction and a cycle cannot be represented.
An op with several results is one node whose aval is a tuple; `item` nodes read its results.

R. E. Wengert, "A simple automatic derivative evaluation program", CACM 7(8), 1964, doi:10.1145/355586.364791.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from engine.aval import Array, Aval, Avals, aval_of
from engine.op import Op, Params, Zero, registry

Result: TypeAlias = "Array | tuple[Array, ...]"
"""Value of a node: an array, or one for each result."""


class Node(NamedTuple):
    """One entry of a Wengert list: `op` applied to earlier nodes, with static `params`, yields `aval`."""

    op: Op
    inputs: tuple[int, ...]
    params: Params
    aval: Avals


class Constant:
    """An array as a node parameter: read-only, hashable by content."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value: Array = np.asarray(value)
        self.value.setflags(write=False)
        self._hash = hash((self.value.shape, self.value.dtype.str, self.value.tobytes()))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Constant)
            and self._hash == other._hash
            and self.value.dtype == other.value.dtype
            and self.value.shape == other.value.shape
            and self.value.tobytes() == other.value.tobytes()
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Constant({self.value.tolist() if self.value.size < 9 else aval_of(self.value)})"


class _Leaf(Op):
    """A node without operands that the executor fills in."""

    family = "core"
    internal = True
    rules = (Zero(),)


class _GraphInput(_Leaf):
    """Argument `index` of the graph."""

    name = "core.input"


class _GraphConstant(_Leaf):
    """A constant array."""

    name = "core.constant"

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Aval of the array."""
        return aval_of(params["value"].value)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The array itself."""
        return params["value"].value[()]


class _GraphItem(Op):
    """Result `index` of a node that has several."""

    name = "core.item"
    family = "core"
    internal = True

    def infer(self, *avals: Any, **params: Any) -> Avals:
        """The aval in that place."""
        result: Aval = avals[0][params["index"]]
        return result

    def flops(self, operands: Sequence[Any], result: Avals, **params: Any) -> float:
        """None."""
        return 0.0

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The array in that place."""
        return arrays[0][params["index"]]


INPUT = registry.add(_GraphInput())
CONSTANT = registry.add(_GraphConstant())
ITEM = registry.add(_GraphItem())


@dataclass(frozen=True, eq=False)
class Graph:
    """A function of arrays: `inputs` and `outputs` are positions in `nodes`. Hashable by content.

    Input nodes carry their position among the inputs as param `index`.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        """Avals of the arguments."""
        return tuple(single(self.nodes[i].aval) for i in self.inputs)

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        """Avals of the results."""
        return tuple(single(self.nodes[i].aval) for i in self.outputs)

    def with_outputs(self, outputs: Sequence[int]) -> Graph:
        """The same nodes, other results."""
        return Graph(self.nodes, self.inputs, tuple(outputs))

    @cached_property
    def schedule(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """What to compute, in order: each node that an output needs, and the nodes whose last use that is."""
        last: dict[int, int] = {}
        live = [False] * len(self.nodes)
        for o in self.outputs:
            live[o] = True
        for i in range(len(self.nodes) - 1, -1, -1):
            if live[i]:
                for j in self.nodes[i].inputs:
                    live[j] = True
                    last.setdefault(j, i)
        keep = set(self.outputs) | set(self.inputs)
        dying: dict[int, list[int]] = {}
        for j, i in last.items():
            if j not in keep:
                dying.setdefault(i, []).append(j)
        return tuple(
            (i, tuple(dying.get(i, ())))
            for i, node in enumerate(self.nodes)
            if live[i] and node.op is not INPUT
        )

    @cached_property
    def _hash(self) -> int:
        return hash((self.nodes, self.inputs, self.outputs))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Graph)
            and self._hash == other._hash
            and (self.nodes, self.inputs, self.outputs) == (other.nodes, other.inputs, other.outputs)
        )

    def __repr__(self) -> str:
        return f"<graph of {len(self.nodes)} nodes, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"


def single(aval: Avals) -> Aval:
    """The aval of a node that has one result."""
    assert isinstance(aval, Aval), "a node with several results was used where an array belongs"
    return aval


def typecheck(graph: Graph) -> None:
    """Check what every transform must keep: nodes refer back only, and infer the aval they carry.

    Raises AssertionError naming the node: a graph that fails was made wrong by the engine, never by a user.
    """
    for i, node in enumerate(graph.nodes):
        assert all(0 <= j < i for j in node.inputs), (
            f"node {i} ({node.op.name}) refers forward: {node.inputs}"
        )
        if node.op is INPUT:
            assert graph.inputs[dict(node.params)["index"]] == i, f"input {i} is misnumbered"
            continue
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        inferred = node.op.infer(*operands, **dict(node.params))
        assert inferred == node.aval, f"node {i} ({node.op.name}) carries {node.aval}, infers {inferred}"
    assert all(graph.nodes[i].op is INPUT for i in graph.inputs)
    assert all(0 <= o < len(graph.nodes) for o in graph.outputs)


def graph_bytes(*parts: Graph | Params) -> int:
    """Roughly what graphs (and params) take in memory: nodes and what is compiled of them, constants and constant indices,
    and the graphs inside."""
    total = 0
    seen: set[int] = set()
    todo: list[Any] = list(parts)
    while todo:
        part = todo.pop()
        if isinstance(part, Graph):
            if id(part) in seen:
                continue
            seen.add(id(part))
            total += 500 * len(part.nodes)
            # Plans and tapes that were made of it hang on it, and tell what they hold.
            total += sum(
                n for made in vars(part).values() if isinstance(n := getattr(made, "nbytes", None), int)
            )
            for node in part.nodes:
                todo += [value for _, value in node.params]
        elif isinstance(part, tuple):
            total += 8 * len(part)
            todo += [p for p in part if not isinstance(p, int | str)]
        elif isinstance(array := getattr(part, "value", None), np.ndarray):
            total += 200 + array.nbytes
    return total
