"""Every op of the catalogue: its derivative, written out and posted back, is the Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import ops  # noqa: F401  # fills the registry
from engine.errors import EngineError
from engine.op import Example, Op, registry
from engine.program import Program
from engine.spec import read_graph
from tests.engine.helpers import ask
from tests.engine.test_symbolic import posted, written

MOST = 2
"""Examples of an op that are tried."""
NO_TEXT = frozenset(
    {
        "setitem",
        "custom_vjp",
        "custom_jvp",
        "root",
        "fixed_point",
        "linear_solve",
        "map",
        "vmap",
        "jvp",
        "vjp",
    }
)
"""Ops that have no form in text as they are."""
AT_THE_EDGE = {("pow", "zero and negative base")}
"""Examples where a formula for people says less than the engine's: a power of 0 by its exponent."""


def cases() -> list[Any]:
    found = []
    for op in registry:
        if op.family in ("structure", "control"):
            continue
        smooth = [e for e in op.examples if e.smooth and _moderate(e)]
        smooth = [e for e in smooth if (op.name, e.note) not in AT_THE_EDGE and jacobian(op, e)]
        found += [pytest.param(op, e, id=f"{op.name}-{k}") for k, e in enumerate(smooth[:MOST])]
    return found


def _moderate(example: Example) -> bool:
    """Whether an example's numbers are finite, neither huge nor tiny: formulas for people are for such."""
    for operand in example.operands:
        if operand is None or isinstance(operand, dict):
            continue
        array = np.asarray(operand)
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            return False
        if array.dtype.kind == "f" and np.any(
            (np.abs(array) > 1e6) | ((np.abs(array) < 1e-6) & (array != 0))
        ):
            return False
    return all(not isinstance(v, float) or np.isfinite(v) for v in example.attrs.values())


def program(op: Op, example: Example) -> tuple[Program, dict[str, Any]]:
    """The op alone, or its first result."""
    names = [None if v is None else f"x{k}" for k, v in enumerate(example.operands)]
    nodes: list[dict[str, Any]] = [{"id": n, "op": "input"} for n in names if n is not None]
    nodes.append({"id": "y", "op": op.name, "inputs": names, "attrs": dict(example.attrs)})
    if op.multiple:
        nodes.append({"id": "y0", "op": "item", "inputs": ["y"], "attrs": {"index": 0}})
    inputs = {
        f"x{k}": v if isinstance(v, dict) else np.asarray(v)
        for k, v in enumerate(example.operands)
        if v is not None
    }
    return read_graph({"nodes": nodes, "outputs": [nodes[-1]["id"]]}), inputs


def jacobian(op: Op, example: Example) -> dict[str, Any]:
    """By each input; nothing where there is nothing to differentiate, or by."""
    made, inputs = program(op, example)
    try:
        found: dict[str, Any] = ask("jacobian", made, inputs)["jacobian"][made.output_ids[0]]
    except EngineError:
        return {}
    return found


@pytest.mark.parametrize(("op", "example"), cases())
def test_the_written_derivative_is_the_jacobian(op: Op, example: Example) -> None:
    made, inputs = program(op, example)
    blocks = jacobian(op, example)
    answer = written(made, inputs, wrt=list(blocks))
    for name, one in answer["derivatives"].items():
        expected = blocks[name]
        finite = np.isfinite(expected)
        if op.name not in NO_TEXT:
            assert one["expression"] is not None, answer["warnings"]
        for form in (one["expression"], one["graph"]):
            if form is None:
                continue
            try:
                value = posted(form, inputs)
            except EngineError as error:
                if error.kind == "singular-matrix":  # a formula with the inverse of a matrix that has none
                    continue
                raise
            assert np.shape(value) == np.shape(expected), form
            np.testing.assert_allclose(value[finite], expected[finite], 1e-7, 1e-9, err_msg=str(form)[:500])
