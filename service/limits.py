"""The limits of this server: what `GET /v1/limits` says, and what the engine is told."""

from __future__ import annotations

from engine.aval import MAX_RANK
from engine.cost import Limits
from engine.language.walker import MAX_EFFORT
from engine.program import MAX_NESTING
from service import __version__
from service.settings import Settings
from service.store.interface import MAX_NAMES

DEPTH = 200
"""Deepest nesting of JSON: what the parser itself stops at, so it is no setting."""

ERRORS = 20
"""Most mistakes that one problem document lists."""

WARNINGS = 20
"""Most warnings that one answer lists."""


def engine_limits(settings: Settings) -> Limits:
    """The settings as the engine wants them."""
    return Limits(
        nodes=settings.nodes,
        elements=settings.elements,
        rank=MAX_RANK,
        memory_bytes=settings.memory_bytes,
        flops=settings.flops,
        response_elements=settings.response_elements,
        taylor_order=settings.taylor_order,
        derivative_order=settings.derivative_order,
        derivative_nodes=settings.derivative_nodes,
        landscape_points=settings.landscape_points,
        minimize_iterations=settings.minimize_iterations,
        errors=ERRORS,
        warnings=WARNINGS,
    )


def published(settings: Settings) -> dict[str, object]:
    """The content of `GET /v1/limits`."""
    return {
        "version": __version__,
        "limits": {
            "body_bytes": settings.body_bytes,
            "nodes": settings.nodes,
            "depth": DEPTH,
            "nesting": MAX_NESTING,
            "statements": MAX_EFFORT,
            "elements": settings.elements,
            "rank": MAX_RANK,
            "response_elements": settings.response_elements,
            "memory_bytes": settings.memory_bytes,
            "flops": settings.flops,
            "step_flops": engine_limits(settings).step_flops,
            "timeout_s": settings.timeout_s,
            "expression_chars": settings.expression_chars,
            "derivative_order": settings.derivative_order,
            "derivative_nodes": settings.derivative_nodes,
            "taylor_order": settings.taylor_order,
            "landscape_points": settings.landscape_points,
            "minimize_iterations": settings.minimize_iterations,
            "render_nodes": settings.render_nodes,
            "store_programs": settings.store_programs,
            "store_bytes": settings.store_bytes,
            "names": MAX_NAMES,
            "errors": ERRORS,
            "warnings": WARNINGS,
        },
    }
