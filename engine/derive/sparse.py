"""Sparse answers: the structure of a job's derivative, and its nonzeros as blocks of coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array
from engine.derive.job import Job
from engine.derive.warn import Watch
from engine.errors import LimitExceeded
from engine.execute.finite import all_finite
from engine.graph import Graph, single
from engine.sparsity.compression import Compression, Direction, compressed
from engine.sparsity.known import Values
from engine.sparsity.pattern import Table
from engine.sparsity.readout import Block, Readout
from engine.sparsity.selections import selections
from engine.sparsity.structure import structure

VERBS = frozenset({"jacobian", "hessian"})
"""Verbs with sparse answers."""
MORE = 2
"""Times as many nonzeros as the answer has, that are computed where this takes fewer sweeps."""


class Sparse(NamedTuple):
    """A sparse derivative of a job: what it is swept by, and the nodes that seeds or tangents belong to."""

    mode: Direction
    compression: Compression
    by: list[int]
    columns: Array | None
    """Where `by` are selections of what is asked for: the column of each of their entries."""


def structure_of(
    job: Job, graph: Graph, of: Sequence[int], wrt: Sequence[int], values: Values, most: int | None = None
) -> Table:
    """Structure of ∂of/∂wrt in a graph of the job. Raises `LimitExceeded` for an answer that would be too long."""
    limits = job.limits
    table = structure(
        graph,
        of,
        wrt,
        values,
        most=limits.response_elements if most is None else most,
        elements=limits.elements,
        memory=limits.memory_bytes,
        step=job.step,
    )
    depend(job, values)
    return table


def depend(job: Job, values: Values) -> None:
    """Note on which inputs' values the job depends: it serves others with the same ones, if these are integers."""
    decisive = values.decisive()
    if any(k >= len(job.arguments) or job.arguments[k].dtype.kind == "f" for k in decisive):
        job.reusable = False
        return
    names = {job.id(i) for k, i in enumerate(job.program.inputs) if k in decisive}
    job.decisive = tuple(sorted({*job.decisive, *names}))


def sparse_jacobian(
    job: Job, graph: Graph, of: Sequence[int], wrt: Sequence[int], preferred: Direction, only: bool
) -> Sparse:
    """How ∂of/∂wrt is swept: by what is read of `wrt`, where all that `of` reads is selected entries, else by `wrt`."""
    values = Values(graph, job.arguments, job.dtype, job.step)
    outs = [single(graph.nodes[i].aval).shape for i in of]
    whole = sum(single(graph.nodes[i].aval).size for i in wrt)

    def swept(by: Sequence[int], table: Table) -> tuple[Direction, Compression]:
        ins = [single(graph.nodes[i].aval).shape for i in by]
        return compressed(table, outs, ins, preferred, only, job.step)

    # Columns of one row are swept apart whichever of its entries they are.
    found = None if only and preferred == "forward" else selections(graph, of, wrt, values)
    if found is not None:
        try:
            table = structure_of(job, graph, of, found.nodes, values)
        except LimitExceeded:
            found = None
        else:
            if table.nnz <= MORE * merged(table, found.columns, whole):
                return Sparse(*swept(found.nodes, table), found.nodes, found.columns)
    return Sparse(*swept(wrt, structure_of(job, graph, of, wrt, values)), list(wrt), None)


def merged(table: Table, columns: Array, width: int) -> int:
    """How many nonzeros are left when columns that are one are put together."""
    rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
    return len(np.unique(rows * width + columns[table.indices]))


def blocks(
    job: Job, readout: Readout, data: Sequence[Array], of: Sequence[int], wrt: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """{out: {in: block}}; a block between scalars is a number."""
    answer: dict[str, dict[str, Any]] = {}
    for o, n, part, values in _parts(readout, data, of, wrt):
        out, into = job.typed.aval(o), job.typed.aval(n)
        block: Any
        if out.shape == () == into.shape:
            block = values[0] if len(values) else np.zeros((), values.dtype)[()]
        else:
            shape = [out.size, into.size]
            block = {"format": "coo", "shape": shape, "row": part.rows, "col": part.columns, "data": values}
        answer.setdefault(job.id(o), {})[job.id(n)] = block
    return answer


def watch_blocks(
    job: Job,
    watch: Watch,
    readout: Readout,
    data: Sequence[Array],
    of: Sequence[int],
    wrt: Sequence[int],
) -> None:
    """Note the first derivative of each node of `of` that is not finite."""
    if all_finite(data):
        return
    seen: set[int] = set()
    for o, n, part, values in _parts(readout, data, of, wrt):
        bad = np.flatnonzero(~np.isfinite(values))
        if o in seen or not len(bad):
            continue
        seen.add(o)
        first = bad[0]
        index = [
            *np.unravel_index(int(part.rows[first]), job.typed.aval(o).shape),
            *np.unravel_index(int(part.columns[first]), job.typed.aval(n).shape),
        ]
        watch.sparse_derivative(job.id(o), job.id(n), float(values[first]), [int(k) for k in index], len(bad))


def _parts(
    readout: Readout, data: Sequence[Array], of: Sequence[int], wrt: Sequence[int]
) -> Iterator[tuple[int, int, Block, Array]]:
    """(out, in, coordinates, values) of each block."""
    cells = [(o, n) for o in of for n in wrt]
    for (o, n), part, values in zip(cells, readout.blocks, data, strict=True):
        yield o, n, part, values
