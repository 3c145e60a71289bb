"""One op at a time, called as a client calls it: a JSON graph of inputs x0, x1, … and one node y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.engine.helpers import ask


def answer(
    verb: str, op: str, operands: Sequence[Any], attrs: Mapping[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """The answer of a verb; an op of several results is read by `item` nodes y0, y1, … (`parts` of them)."""
    parts = fields.pop("parts", 0)
    nodes: list[dict[str, Any]] = [{"id": f"x{k}", "op": "input"} for k in range(len(operands))]
    nodes.append({"id": "y", "op": op, "inputs": [n["id"] for n in nodes], "attrs": dict(attrs or {})})
    nodes += [{"id": f"y{k}", "op": "item", "inputs": ["y"], "attrs": {"index": k}} for k in range(parts)]
    outputs = [f"y{k}" for k in range(parts)] or ["y"]
    inputs = {f"x{k}": v if isinstance(v, dict) else np.asarray(v) for k, v in enumerate(operands)}
    return ask(verb, {"nodes": nodes, "outputs": outputs}, inputs, **fields)


def value(op: str, *operands: Any, **attrs: Any) -> Any:
    """The result."""
    return answer("evaluate", op, operands, attrs)["outputs"]["y"]


def values(op: str, parts: int, *operands: Any, **attrs: Any) -> list[Any]:
    """The results of an op with several."""
    return list(answer("evaluate", op, operands, attrs, parts=parts)["outputs"].values())


def gradient(op: str, *operands: Any, seed: Any = None, **attrs: Any) -> Any:
    """The gradient with respect to the first operand."""
    return answer("grad", op, operands, attrs, seed=seed)["gradients"]["x0"]


def hessian(op: str, *operands: Any, **attrs: Any) -> Any:
    """The second derivatives with respect to the first operand."""
    return answer("hessian", op, operands, attrs)["hessian"]["x0"]["x0"]
