"""Running graphs: quickly, or with everything looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType
from engine.builder import EagerBuilder
from engine.errors import DeadlineExceeded
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import INPUT, Graph


def flat(values: Sequence[Any]) -> Array:
    """All floating entries of some results, one after another."""
    parts = [np.asarray(v).reshape(-1) for v in values if np.asarray(v).dtype.kind == "f"]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def largest(values: Any) -> float:
    """The largest finite magnitude."""
    array = np.abs(np.asarray(values, np.float64))
    return float(array[np.isfinite(array)].max(initial=0.0))


def listed(result: Any) -> list[Any]:
    """Results of a reference as a list."""
    return list(result) if isinstance(result, tuple | list) else [result]


def patience(steps: int = 100_000) -> Callable[[], None]:
    """What builders ask before each step, or each block of them: a loop that does not end is an error of its user's."""
    left = iter(range(steps))
    end = time.monotonic() + 10

    def ask() -> None:
        if next(left, None) is None or time.monotonic() > end:
            raise DeadlineExceeded(f"The loop does not end within {steps:,} steps.")

    return ask


def compute(graph: Graph, arrays: Sequence[Any], dtype: DType = "float64") -> list[Any]:
    """The graph's results by the eager builder."""
    with np.errstate(all="ignore"):
        return EagerBuilder(dtype, patience()).inline(graph, [np.asarray(a)[()] for a in arrays])


def executed(graph: Graph, arrays: Sequence[Any], dtype: DType = "float64") -> list[Any]:
    """The graph's results by the executor that serves requests."""
    with np.errstate(all="ignore"):
        arguments = [np.asarray(a)[()] for a in arrays]
        values = forward(graph, arguments, EagerBuilder(dtype), Meter(), lambda _, error: error)
    return [values[o] for o in graph.outputs]


class WrongAval(Exception):
    """A node's value is not of the aval it was inferred to have."""


def carefully(graph: Graph, arrays: Sequence[Any], dtype: DType) -> list[Any]:
    """All nodes' values, each checked against its aval; operands are write-protected.

    Raises `WrongAval`; and ValueError if an op writes into its operands.
    """
    eager = EagerBuilder(dtype, patience())
    values: list[Any] = [None] * len(graph.nodes)
    for i, a in zip(graph.inputs, arrays, strict=True):
        values[i] = protected(np.array(a)[()])
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            if node.op is not INPUT:
                values[i] = eager.emit(node.op, [values[j] for j in node.inputs], node.params)
            several = values[i] if isinstance(values[i], tuple) else (values[i],)
            avals = (
                node.aval
                if isinstance(node.aval, tuple) and not isinstance(node.aval, Aval)
                else (node.aval,)
            )
            if len(several) != len(avals):
                raise WrongAval(f"{node.op.name} yields {len(several)} results, inferred {len(avals)}")
            for value, aval in zip(several, avals, strict=True):
                if not isinstance(value, np.ndarray | np.generic):
                    raise WrongAval(f"{node.op.name} yields a {type(value).__name__}")
                actual = (value.shape, str(value.dtype))
                if actual != (aval.shape, aval.dtype):
                    raise WrongAval(
                        f"{node.op.name} yields {value.dtype}{list(value.shape)}, inferred {aval}"
                    )
                protected(value)
    return values


def protected(value: Any) -> Any:
    """The array, read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    return value


def units(arrays: Sequence[Any]) -> Iterator[list[Array]]:
    """All unit vectors in the space of these arrays together."""
    for k, a in enumerate(arrays):
        for i in range(np.size(a)):
            unit = [np.zeros(np.shape(other)) for other in arrays]
            unit[k].reshape(-1)[i] = 1.0
            yield unit
