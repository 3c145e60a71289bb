"""Sparse answers: the structure of a job's derivative, and its nonzeros as blocks of coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.derive.job import Job
from engine.derive.warn import Watch
from engine.graph import Graph
from engine.sparsity.compression import Compression
from engine.sparsity.pattern import Table
from engine.sparsity.structure import structure

VERBS = frozenset({"jacobian", "hessian"})
"""Verbs with sparse answers."""


def structure_of(
    job: Job, graph: Graph, of: Sequence[int], wrt: Sequence[int], arguments: Sequence[Array]
) -> Table:
    """Structure of ∂of/∂wrt in a graph of the job. Raises `LimitExceeded` for an answer that would be too long."""
    limits = job.limits
    table, dependent = structure(
        graph,
        of,
        wrt,
        arguments,
        job.dtype,
        most=limits.response_elements,
        elements=limits.elements,
        memory=limits.memory_bytes,
        step=job.step,
    )
    job.reusable = job.reusable and not dependent
    return table


def blocks(
    job: Job, compression: Compression, data: Array, of: Sequence[int], wrt: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """{out: {in: block}}; a block between scalars is a number."""
    answer: dict[str, dict[str, Any]] = {}
    for o, n, rows, columns, values in _parts(job, compression, data, of, wrt):
        out, into = job.typed.aval(o), job.typed.aval(n)
        block: Any
        if out.shape == () == into.shape:
            block = values[0] if len(values) else np.zeros((), data.dtype)[()]
        else:
            shape = [out.size, into.size]
            block = {"format": "coo", "shape": shape, "row": rows, "col": columns, "data": values}
        answer.setdefault(job.id(o), {})[job.id(n)] = block
    return answer


def watch_blocks(
    job: Job, watch: Watch, compression: Compression, data: Array, of: Sequence[int], wrt: Sequence[int]
) -> None:
    """Note the first derivative of each node of `of` that is not finite."""
    if np.isfinite(data).all():
        return
    seen: set[int] = set()
    for o, n, rows, columns, values in _parts(job, compression, data, of, wrt):
        bad = np.flatnonzero(~np.isfinite(values))
        if o in seen or not len(bad):
            continue
        seen.add(o)
        first = bad[0]
        index = [
            *np.unravel_index(int(rows[first]), job.typed.aval(o).shape),
            *np.unravel_index(int(columns[first]), job.typed.aval(n).shape),
        ]
        watch.sparse_derivative(job.id(o), job.id(n), float(values[first]), [int(k) for k in index], len(bad))


def _parts(
    job: Job, compression: Compression, data: Array, of: Sequence[int], wrt: Sequence[int]
) -> Iterator[tuple[int, int, Array, Array, Array]]:
    """(out, in, rows, columns, values) of each block, the coordinates its own."""
    below = 0
    for o in of:
        above, below = below, below + job.typed.aval(o).size
        first, last = np.searchsorted(compression.rows, [above, below])
        rows, columns, values = (a[first:last] for a in (compression.rows, compression.columns, data))
        right = 0
        for n in wrt:
            left, right = right, right + job.typed.aval(n).size
            if len(wrt) == 1:
                yield o, n, rows - above if above else rows, columns, values
            else:
                mine = (columns >= left) & (columns < right)
                yield o, n, rows[mine] - above, columns[mine] - left, values[mine]
