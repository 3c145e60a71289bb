"""What a program reads of its inputs: where everything else is computed from selected entries, it is differentiated by those.

If x is read as x[camera] only, ∂f/∂x = ∂f/∂x[camera] · S with a selection S of zeros and ones. The first factor has the entries
of x as often as they are read, so rows have fewer columns in common, and it takes fewer sweeps: a function of each x[iₖ] has
one column for each k, though all rows may share an entry of x. The product with S only says in which column an entry stands;
where a row reads an entry twice, the two are added.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array
from engine.graph import Graph, single
from engine.sparsity.known import Values

MOVES = frozenset({"reshape", "permute_dims", "slice", "gather"})
"""Ops that read entries of their first operand, none of them often by itself (as `broadcast_to` does)."""
WIDEST = 8
"""Times as many entries as inputs and outputs have together, that may be differentiated by."""


class Selected(NamedTuple):
    """Nodes to differentiate by, and for all their entries, one node behind the other, the column of the answer."""

    nodes: list[int]
    columns: Array


def read_once(graph: Graph, kept: Collection[int]) -> Graph:
    """The graph in which entries that are read again in the same way are those that were read before. Nodes keep their
    numbers; `kept` are to be left as they are."""
    first: dict[Any, int] = {}
    place = list(range(len(graph.nodes)))
    nodes = []
    for i, node in enumerate(graph.nodes):
        inputs = tuple(place[j] for j in node.inputs)
        node = node if inputs == node.inputs else node._replace(inputs=inputs)
        nodes.append(node)
        if node.op.name in MOVES and i not in kept:
            place[i] = first.setdefault((node.op.name, inputs, node.params), i)
    return graph if place == list(range(len(place))) else Graph(tuple(nodes), graph.inputs, graph.outputs)


def selections(graph: Graph, of: Sequence[int], wrt: Sequence[int], values: Values) -> Selected | None:
    """The selections that all of `of` reads `wrt` through; None if there is none.

    Columns are the entries of `wrt`, one node behind the other. Indices must be known from the arguments.
    """
    nodes = graph.nodes
    kept = {*of, *wrt}
    needed = [False] * len(nodes)
    for o in of:
        needed[o] = True
    readers: dict[int, list[tuple[int, int]]] = {}
    for i in range(len(nodes) - 1, -1, -1):
        if needed[i]:
            for k, j in enumerate(nodes[i].inputs):
                needed[j] = True
                readers.setdefault(j, []).append((i, k))

    def moving(reader: tuple[int, int]) -> bool:
        i, k = reader
        op, inputs, _, _ = nodes[i]
        return (
            op.name in MOVES
            and k == 0
            and i not in kept
            and all(values.known(j) is not None for j in inputs[1:])
        )

    first, offset = [], 0
    for i in wrt:
        aval = single(nodes[i].aval)
        first.append((i, np.arange(offset, offset + aval.size).reshape(aval.shape)))
        offset += aval.size
    most = WIDEST * (offset + sum(single(nodes[o].aval).size for o in of))
    found: list[tuple[int, Array]] = []
    total = 0
    for start in first:
        todo = [start]
        while todo:
            i, columns = todo.pop()
            mine = readers.get(i, [])
            if i in of or not mine or not all(map(moving, mine)):
                found.append((i, columns))
                total += columns.size
                if total > most:
                    return None
                continue
            for r in sorted({r for r, _ in mine}, reverse=True):
                op, inputs, params, _ = nodes[r]
                others = [values.known(j) for j in inputs[1:]]
                todo.append((r, np.asarray(op.evaluate(columns, *others, **dict(params)))))
    if [i for i, _ in found] == list(wrt):
        return None
    # In the order of the answer's columns, in which nonzeros then often lie as they are wanted.
    found.sort(key=lambda one: int(one[1].flat[0]) if one[1].size else 0)
    return Selected([i for i, _ in found], np.concatenate([c.reshape(-1) for _, c in found]))
