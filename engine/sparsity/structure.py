"""The walk: patterns of a graph's nodes from those of its arguments, and the structure of a whole Jacobian.

Forward, node by node, as tangents go; a node that is differentiated by keeps what flows into it and gains its own seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from engine.aval import Array
from engine.errors import LimitExceeded
from engine.graph import CONSTANT, ITEM, Graph, single
from engine.sparsity.call import Context, Patterns, call_of
from engine.sparsity.known import Values
from engine.sparsity.local import flow
from engine.sparsity.loops import LOOPS
from engine.sparsity.pattern import Pattern, Table, union

LARGE = 1 << 16
"""Nonzeros of a pattern from which memory is counted."""


def propagate(
    graph: Graph,
    given: Sequence[Pattern | None],
    values: Values,
    context: Context,
    seeded: Mapping[int, Pattern] | None = None,
) -> list[Pattern | None]:
    """Patterns of the graph's outputs. `given` belongs to its inputs, `seeded` to nodes that have seeds of their own."""
    nodes = graph.nodes
    seeded = seeded or {}
    found: list[Any] = [None] * len(nodes)
    for i, argument in zip(graph.inputs, given, strict=True):
        own = seeded.get(i)
        found[i] = (
            argument if own is None else own if argument is None else union([argument, own], context.most)
        )
    for i, dying in graph.schedule:
        context.step()
        node = nodes[i]
        p: Patterns = None
        if node.op is ITEM:
            several = found[node.inputs[0]]
            p = None if several is None else several[node.params[0][1]]
        elif node.op is not CONSTANT and any(found[j] is not None for j in node.inputs):
            call = call_of(nodes, i, found, values, context)
            loop = LOOPS.get(node.op.name)
            p = flow(call) if loop is None else loop(call, propagate)
        own = seeded.get(i)
        if own is not None:
            assert not isinstance(p, tuple)
            p = own if p is None else union([p, own], context.most)
        found[i] = p
        for j in dying:
            found[j] = None
        if isinstance(p, Pattern) and len(p.table.indices) > LARGE:
            _check_memory(found, context)
    return [found[o] for o in graph.outputs]


def _check_memory(found: Sequence[Any], context: Context) -> None:
    tables = {id(p.table): p.nbytes for p in found if isinstance(p, Pattern)}
    total = sum(tables.values())
    if total > context.memory:
        raise LimitExceeded("memory_bytes", context.memory, total)


def structure(
    graph: Graph,
    of: Sequence[int],
    wrt: Sequence[int],
    values: Values,
    *,
    most: int,
    elements: int,
    memory: int,
    step: Callable[[], None],
) -> Table:
    """The structure of ∂of/∂wrt: a boolean CSR matrix, its rows the entries of `of` one node behind the other (C order),
    its columns those of `wrt`. `values` tells afterwards whether it depends on the arguments (through indices).

    Raises `LimitExceeded`, before it is written out, for one of more than `most` nonzeros, and the errors of computing
    indices.
    """
    sizes = [single(graph.nodes[i].aval).size for i in wrt]
    columns = sum(sizes)
    seeded: dict[int, Pattern] = {}
    offset = 0
    for i, size in zip(wrt, sizes, strict=True):
        if size:
            seeded[i] = Pattern.seeds(single(graph.nodes[i].aval).shape, offset, columns)
        offset += size
    context = Context(columns, most, elements, memory, step)
    base = graph.with_outputs(of)
    found = propagate(base, [None] * len(graph.inputs), values, context, seeded)
    total = sum(p.count for p in found if p is not None)
    if total > most:
        raise LimitExceeded(
            "response_elements",
            most,
            total,
            f"The sparse answer would have about {total:,} structural nonzeros; the limit is {most:,}. Ask for products "
            "with vectors (jvp, vjp, hvp), or for derivatives of, or with respect to, fewer nodes.",
        )
    parts = []
    for i, mine in zip(of, found, strict=True):
        size = single(graph.nodes[i].aval).size
        parts.append(sp.csr_array((size, columns), dtype=bool) if mine is None else mine.rows())
        assert parts[-1].shape == (size, columns)
    whole = parts[0] if len(parts) == 1 else sp.csr_array(sp.vstack(parts, format="csr"))
    whole.has_sorted_indices = whole.has_canonical_format = True
    return whole


def symmetric(table: Table) -> Table:
    """The structure with its mirror image: a Hessian has both, however it was derived."""
    both = sp.csr_array(table + table.T.tocsr())
    both.sort_indices()
    both.has_canonical_format = True
    return both


def entries(table: Table) -> tuple[Array, Array]:
    """Row and column of each nonzero, row-major."""
    rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
    return rows, table.indices.astype(np.int64)
