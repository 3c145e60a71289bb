"""The op catalogue, the limits, the state of the server."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class OpDocument(BaseModel):
    """One op of the catalogue."""

    model_config = ConfigDict(extra="forbid")

    name: str
    aliases: list[str]
    family: str
    summary: str
    description: str
    operands: list[dict[str, Any]]
    results: list[str]
    attrs: list[dict[str, Any]]
    signature: str = Field(description="The parameters as one reads them in Python.")
    shapes: str | None = Field(description="How the shape of the result follows.")
    latex: str
    derivative: dict[str, str] = Field(description="LaTeX of the derivative, by operand.")
    convention: str = Field(description="What is answered where there is no derivative, and why.")
    example: dict[str, Any] | None = Field(description="A body for POST /v1/evaluate.")


class OpsDocument(BaseModel):
    """The catalogue."""

    model_config = ConfigDict(extra="forbid")

    ops: list[OpDocument]


class LimitsDocument(BaseModel):
    """The limits of this server."""

    model_config = ConfigDict(extra="forbid")

    version: str
    limits: dict[str, float]


class StatusDocument(BaseModel):
    """Whether the server works."""

    model_config = ConfigDict(extra="forbid")

    status: str
