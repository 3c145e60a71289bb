"""Everything that can be set about a running server, with its default: `WENGERT_…` in the environment or in `.env`."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine.cost import Limits
from engine.derive.plans import MOST_BYTES

_ENGINE = Limits()


class Settings(BaseSettings):
    """Settings of one server. The description of each field is also the help of its command line option."""

    model_config = SettingsConfigDict(env_prefix="WENGERT_", env_file=".env", extra="ignore", frozen=True)

    # -- where to listen
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=1024, description="number of processes")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="names that requests may give as Host besides the loopback names, separated by commas; "
        "*.example.org stands for all names below it, * for any",
    )
    root_path: str = Field("", description="path prefix that a proxy in front takes away")

    # -- time
    timeout_s: float = Field(
        30.0, gt=0, le=86_400, description="longest time in seconds that one request is worked on"
    )
    receive_timeout_s: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="time in seconds for a request to arrive; a large body that flows gets more",
    )
    drawing_timeout_s: float = Field(
        10.0, gt=0, le=3600, description="longest time in seconds that Graphviz may take"
    )
    shutdown_delay_s: float = Field(
        0.5,
        ge=0,
        le=3600,
        description="seconds between SIGTERM, when /readyz turns 503, and the end of accepting",
    )

    # -- how much at once
    threads: int = Field(
        default_factory=lambda: max(2, min(32, os.cpu_count() or 2)),
        ge=1,
        le=1024,
        description="threads that compute; small requests need none",
    )
    queue: int = Field(
        64, ge=0, le=100_000, description="requests that may wait for a thread before others get 503"
    )

    # -- how large
    body_bytes: int = Field(128 << 20, ge=1, description="largest request body in bytes")
    expression_chars: int = Field(1 << 18, ge=1, description="longest program text in characters")
    derivative_order: int = Field(
        _ENGINE.derivative_order, ge=0, description="highest order of a derivative that is written out"
    )
    derivative_nodes: int = Field(
        _ENGINE.derivative_nodes,
        ge=1,
        description="most nodes of a derivative that is written as a formula or program",
    )
    taylor_order: int = Field(_ENGINE.taylor_order, ge=0, description="highest order of Taylor coefficients")
    landscape_points: int = Field(
        _ENGINE.landscape_points, ge=1, description="most points of a landscape, those of its path included"
    )
    minimize_iterations: int = Field(
        _ENGINE.minimize_iterations,
        ge=1,
        description="most iterations of a minimisation, or points of a search",
    )
    nodes: int = Field(_ENGINE.nodes, ge=1, description="most nodes of a program")
    elements: int = Field(_ENGINE.elements, ge=1, description="most elements of one array")
    response_elements: int = Field(_ENGINE.response_elements, ge=1, description="most elements of one answer")
    memory_bytes: int = Field(
        _ENGINE.memory_bytes, ge=1 << 20, description="most memory that one request may take"
    )
    plans_bytes: int = Field(
        MOST_BYTES, ge=0, description="memory for programs that are kept ready for the requests to come"
    )
    flops: int = Field(_ENGINE.flops, ge=1, description="most floating-point operations of one request")
    render_nodes: int = Field(500, ge=1, le=10_000, description="most nodes of a drawing")

    # -- programs by id
    store: str = Field(
        "sqlite:.wengert/programs.sqlite3",
        description="where registered programs are kept: sqlite:PATH (from the folder that the server is started in), or "
        "memory: until it stops",
    )
    store_programs: int = Field(100_000, ge=1, description="most registered programs")
    store_bytes: int = Field(1 << 30, ge=1, description="most bytes of registered programs and their names")
    store_cache_bytes: int = Field(
        512 << 20,
        ge=0,
        description="most memory in which registered programs are kept ready, in each process; one may take a quarter",
    )

    # -- what is told
    log_level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "info", description="what is logged"
    )
    access_log: bool = Field(True, description="log one line for each request")

    @field_validator("store")
    @classmethod
    def _known_store(cls, value: str, info: ValidationInfo) -> str:
        if value == "memory:" and info.data.get("workers", 1) > 1:
            raise ValueError("several workers do not share memory: sqlite:PATH is needed")
        if value == "memory:" or (
            value.startswith("sqlite:") and len(value) > len("sqlite:") and "\0" not in value
        ):
            return value
        raise ValueError(f"must be sqlite:PATH or memory:, not {value[:80]!r}")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value
