"""The careful executor: a graph node by node, every value kept, errors traced to the step that caused them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.builder import EagerBuilder
from engine.errors import EngineError
from engine.execute.meter import Meter
from engine.graph import CONSTANT, INPUT, Graph
from engine.ops.pointwise.elementwise import Elementwise


def forward(
    graph: Graph,
    arguments: Sequence[Any],
    builder: EagerBuilder,
    meter: Meter,
    blame: Callable[[int, EngineError], EngineError],
) -> list[Any]:
    """Values of all nodes. `blame(i, error)` adds to an error what is known of node `i`."""
    values: list[Any] = [None] * len(graph.nodes)
    for i, value in zip(graph.inputs, arguments, strict=True):
        values[i] = value
    i = 0
    try:
        for i, (op, inputs, params, _) in enumerate(graph.nodes):
            if op is INPUT:
                continue
            meter.check()
            if params:
                if op is CONSTANT:
                    values[i] = params[0][1].value[()]
                else:
                    values[i] = builder.emit(op, [values[j] for j in inputs], params)
            elif isinstance(op, Elementwise):
                values[i] = op.fn(*[values[j] for j in inputs])
            else:
                values[i] = builder.emit(op, [values[j] for j in inputs], params)
    except EngineError as error:
        raise blame(i, error) from None
    return values
