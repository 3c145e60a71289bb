"""The verbs to learn with (`api.md`, section 5), a module for each: what is asked of the engine, and how it is answered.

Their models are in `service/schemas/`, their examples in `service/examples/`, each in a module of the same name.
"""

from __future__ import annotations

from service.learn import check, compare, derivative, landscape, minimize, propagate, trace
from service.openapi import Operation
from service.work import Work

OPERATIONS: dict[str, Operation] = {
    "trace": trace.OPERATION,
    "check": check.OPERATION,
    "derivative": derivative.OPERATION,
    "landscape": landscape.OPERATION,
    "minimize": minimize.OPERATION,
    "compare": compare.OPERATION,
    "propagate": propagate.OPERATION,
}

WORK: dict[str, type[Work]] = {
    "trace": trace.TraceWork,
    "check": check.CheckWork,
    "derivative": derivative.DerivativeWork,
    "landscape": landscape.LandscapeWork,
    "minimize": minimize.MinimizeWork,
    "compare": compare.CompareWork,
    "propagate": propagate.PropagateWork,
}
"""What answers each."""

__all__ = ["OPERATIONS", "WORK"]
