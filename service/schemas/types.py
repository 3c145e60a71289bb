"""The small types that requests and answers are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema
from pydantic import FailFast as _FailFast

from service.components import nullable, published, published_map, ref


def _integral(value: Any) -> Any:
    """In JSON, 2 and 2.0 are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class FailFast(_FailFast):
    """Stops at the first wrong entry of a list: a million errors would be described otherwise. Hashable, for unions."""

    __hash__ = object.__hash__


Integer: TypeAlias = Annotated[int, BeforeValidator(_integral)]
NodeId: TypeAlias = str
NodeIds: TypeAlias = Annotated[list[NodeId], FailFast()]
Axes: TypeAlias = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": {"type": "integer"}})
]
Value: TypeAlias = Annotated[Any, published("Value")]
Seed: TypeAlias = Annotated[Any, nullable(ref("Value"))]
Values: TypeAlias = Annotated[dict[str, Any], published_map("Value")]
Blocks: TypeAlias = Annotated[Any, published("Blocks")]
Include: TypeAlias = Literal["dot", "svg", "timing", "derivative_graph"]
Show: TypeAlias = Literal["values", "gradients", "shapes"]
