"""Asking the engine from tests: a verb, a program as JSON graph or text, inputs as numbers, lists or arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine import ops  # noqa: F401  # fills the registry
from engine.cost import Limits
from engine.derive import Request, prepare
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.program import Program
from engine.spec import read_graph
from engine.values import Given, read_value

GIVEN = ("inputs", "tangents", "cotangents", "vector", "direction")
"""Fields of a request that are values by node."""


def program_of(source: Any, inputs: Mapping[str, Any] | None = None) -> Program:
    """A program: as it is, from text, or from a JSON graph."""
    if isinstance(source, Program):
        return source
    return parse_text(source, inputs=list(inputs or ())) if isinstance(source, str) else read_graph(source)


def given(value: Any) -> Given:
    """A value as a client gives it; arrays of floats as nested lists of floats, other arrays as encoded."""
    if isinstance(value, Given):
        return value
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        floating = array.dtype.kind == "f"
        return Given(array.astype(np.float64) if floating else array, floating, array.dtype.kind == "i")
    return read_value(value)


def request(source: Any, inputs: Mapping[str, Any] | None = None, **fields: Any) -> Request:
    """A request with the fields of the contract, `wrt` and `in_axes` as JSON has them."""
    inputs = inputs or {}
    for name in GIVEN[1:]:
        if name in fields:
            fields[name] = {k: given(v) for k, v in fields[name].items()}
    if fields.get("seed") is not None:
        fields["seed"] = given(fields["seed"])
    for name in ("of", "wrt"):
        if isinstance(fields.get(name), list):
            fields[name] = tuple(fields[name])
    if "in_axes" in fields:
        axes = fields["in_axes"]
        fields["in_axes"] = (axes,) if isinstance(axes, Mapping) else tuple(axes)
    return Request(program_of(source, inputs), {k: given(v) for k, v in inputs.items()}, **fields)


def ask(
    verb: str,
    source: Any,
    inputs: Mapping[str, Any] | None = None,
    *,
    limits: Limits | None = None,
    meter: Meter | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The answer of a verb, its leaves plain NumPy arrays."""
    return plain(prepare(verb, request(source, inputs, **fields), limits).run(meter or Meter()))


def prepared(
    verb: str, source: Any, at: Mapping[str, Any], **fields: Any
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A verb prepared once, as a function of the inputs that change; they keep their shapes."""
    job = prepare(verb, request(source, at, **fields))
    names = [job.program.steps[i].id for i in job.program.inputs]

    def answer(changes: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in changes.items():
            job.arguments[names.index(name)] = np.asarray(value, np.float64)
        vars(job).pop("numbers", None)
        return plain(job.run(Meter()))

    return answer


def plain(value: Any) -> Any:
    """Arrays in an answer as arrays, also those that NumPy made scalars of."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic | float | bool) else value


def near(got: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-12) -> None:
    """Assert that two arrays, or two mappings of arrays, have one shape and nearly the same entries."""
    if isinstance(expected, Mapping):
        assert list(got) == list(expected) or set(got) == set(expected)
        for name in expected:
            near(got[name], expected[name], rtol, atol)
        return
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol, atol)


def shifted(document: Mapping[str, Any], node: str, delta: str = "δ") -> dict[str, Any]:
    """The JSON graph in which `node` became op(…) + δ for all that consume it, δ being a new input.

    That is what a derivative with respect to an intermediate means, written out as a program.
    """

    def renamed(ref: Any) -> Any:
        return f"{node}+{delta}" if ref == node else ref

    nodes: list[dict[str, Any]] = [{"id": delta, "op": "input"}]
    for entry in document["nodes"]:
        if "inputs" in entry:
            entry = entry | {"inputs": [renamed(ref) for ref in entry["inputs"]]}
        nodes.append(entry)
        if entry["id"] == node:
            nodes.append({"id": f"{node}+{delta}", "op": "add", "inputs": [node, delta]})
    return {"nodes": nodes, "outputs": [renamed(ref) for ref in document["outputs"]]}


def difference(f: Callable[[np.ndarray], Any], x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """Jacobian of `f` at `x` by the central difference of fourth order, of shape f(x).shape + x.shape."""
    x = np.asarray(x, np.float64)
    columns = []
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = h
        step = step.reshape(x.shape)
        near_by, far = f(x + step) - f(x - step), f(x + 2 * step) - f(x - 2 * step)
        columns.append((8 * near_by - far) / (12 * h))
    if not columns:
        return np.zeros((*np.shape(f(x)), *x.shape))
    return np.stack(columns, -1).reshape((*np.shape(columns[0]), *x.shape))
