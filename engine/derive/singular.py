"""Members of a map that cannot be factored: NaN in the answer, with a warning that names the node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from engine.aval import Array
from engine.builder import EagerBuilder
from engine.derive.job import Job
from engine.derive.warn import Watch
from engine.errors import EngineError
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import single
from engine.op import Op


def watch_singular(job: Job, watch: Watch, found: Sequence[Any], meter: Meter) -> None:
    """Warnings of kind `singular-matrix` for a mapped request of which a result is not finite.

    The operands of all ops that may be NaN for a singular member are computed once more, which costs a mapped forward
    pass; it is made only if something is not finite and there are such ops.
    """
    if job.batch is None or all(np.isfinite(np.asarray(v)).all() for v in found):
        return
    nodes = job.typed.graph.nodes
    candidates = [i for i, node in enumerate(nodes) if type(node.op).singular is not Op.singular]
    wanted = sorted({j for i in candidates for j in nodes[i].inputs})
    if not wanted:
        return
    graph, _ = job.runner.prepare(job.typed.graph.with_outputs(wanted), job.axes, "This")
    values: Mapping[int, Array] = dict(zip(wanted, job.runner.run(graph, job.arguments, meter), strict=True))
    kept = watch.warnings
    watch.warnings = []
    for i in candidates:
        node = nodes[i]
        with np.errstate(all="ignore"):
            operands = [_led(values[j], len(single(nodes[j].aval).shape), job.sizes) for j in node.inputs]
            mask = node.op.singular(operands, **{**dict(node.params), "raises": False})
        if mask is not None and np.any(mask):
            watch.singular(i, np.asarray(mask))
    watch.warnings = [*watch.warnings, *kept][: watch.most]


def _led(value: Any, rank: int, sizes: tuple[int, ...]) -> Array:
    """The value with all batch axes in front."""
    array = np.asarray(value)
    core = array.shape[array.ndim - rank :]
    return np.broadcast_to(array, (*sizes, *core))


@contextmanager
def naming(job: Job, meter: Meter) -> Iterator[None]:
    """Errors of a derived graph, which knows no steps, with the step that causes them in the program itself."""
    try:
        yield
    except EngineError as error:
        if error.node is None and error.kind == "singular-matrix" and job.batch is None:
            builder = EagerBuilder(job.dtype, meter.check)
            with np.errstate(all="ignore"):
                forward(job.typed.graph, job.arguments, builder, meter, job.blame)
        raise
