"""Matrices that cannot be factored: members of a map get NaN and a warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.derive.job import Job
from engine.derive.warn import Watch
from engine.graph import single
from engine.op import Op


def watch_singular(job: Job, watch: Watch, refs: Sequence[Any]) -> None:
    """Warnings of kind `singular-matrix` for a mapped request, from the values of all nodes, which lead with the maps."""
    nodes = job.typed.graph.nodes
    for i, node in enumerate(nodes):
        if type(node.op).singular is Op.singular:
            continue
        with np.errstate(all="ignore"):
            operands = [
                np.broadcast_to(refs[j], (*job.sizes, *single(nodes[j].aval).shape)) for j in node.inputs
            ]
            mask = node.op.singular(operands, **{**dict(node.params), "raises": False})
        if mask is not None and np.any(mask):
            watch.singular(i, np.asarray(mask))
