"""Which of several consumers made a cotangent non-finite: each one's own way back is computed by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import DType, aval_of
from engine.builder import EagerBuilder, GraphBuilder
from engine.errors import EngineError
from engine.graph import Node
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph


def guilty(
    nodes: Sequence[Node], refs: Sequence[Any], cotangent: Any, i: int, j: int, dtype: DType, order: int
) -> bool:
    """Whether what node `i` alone hands back to node `j` for a finite cotangent is not finite.

    Of `order` 2 its derivative along a general direction of the node's operands.
    """
    operands = [refs[k] for k in nodes[i].inputs]
    if isinstance(cotangent, list) or any(isinstance(x, tuple) for x in operands):
        return True  # of several results: not looked into
    try:
        b = GraphBuilder(dtype)
        places = [b.input(aval_of(x)) for x in operands]
        y = b.emit(nodes[i].op, places, nodes[i].params)
        to = [p for p, k in zip(places, nodes[i].inputs, strict=True) if k == j]
        graph = vjp_graph(b.build(()), [y], to, dtype)
        arguments = [*operands, cotangent]
        if order == 2:
            moving = [p for p, x in zip(places, operands, strict=True) if aval_of(x).floating]
            graph = jvp_graph(graph, moving, dtype)
            graph = graph.with_outputs(graph.outputs[len(to) :])
            arguments += [np.ones(np.shape(x), dtype)[()] for x in operands if aval_of(x).floating]
        with np.errstate(all="ignore"):
            found = EagerBuilder(dtype).inline(graph, arguments)
    except EngineError:
        return True
    return any(not np.isfinite(x).all() for x in found)
