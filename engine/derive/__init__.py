"""The verbs: what can be asked about a program and its inputs.

`prepare` types the program for the request's inputs, checks what it will cost, and returns a job; `job.run(meter)`
computes the answer: field names of `api.md`, with NumPy arrays as leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from engine.aval import Array, aval_of
from engine.cost import Limits
from engine.derive.batch import Batch, read_batch
from engine.derive.first_order import FirstOrder
from engine.derive.jacobian import ForwardGrad, Jacobian
from engine.derive.job import Job
from engine.derive.plans import Plans, key_of
from engine.derive.request import Request
from engine.derive.second_order import SecondOrder
from engine.derive.sparse import VERBS as SPARSE
from engine.derive.taylor import Taylor
from engine.derive.trace import Trace
from engine.errors import Unsupported, Where
from engine.execute.meter import Meter
from engine.specialize import Typed, input_arrays, specialize

J = TypeVar("J", bound=Job)

VERBS = ("evaluate", "grad", "jvp", "vjp", "jacobian", "hessian", "hvp", "taylor", "trace")
MAPPED = frozenset({"evaluate", "grad", "jvp", "vjp", "jacobian", "hessian", "hvp", "taylor", "propagate"})
"""Verbs that take `in_axes`."""


def prepare(
    verb: str,
    request: Request,
    limits: Limits | None = None,
    meter: Meter | None = None,
    plans: Plans | None = None,
) -> Job:
    """Everything about a request that is known before it is computed.

    With `plans`, a job that was prepared for the same program, verb, fields and shapes is taken from there, with the new
    numbers; `job.cached` tells. Raises `EngineError` (or several, as `Mistakes`) for a program, inputs or fields that do
    not make sense, and `LimitExceeded` before anything large is allocated. `meter` stops the preparation itself, which
    takes a while where derivatives of a long program have to be written out; the job does not keep to it.
    """
    limits = limits or _LIMITS
    meter = meter or Meter()
    arrays, integers = input_arrays(request.program, request.inputs, request.dtype, limits.errors)
    statics = {n: arrays[n] for n in integers if arrays[n].size <= 64} if integers else {}
    if plans is None:
        return _prepare(verb, request, limits, meter, arrays, statics)
    key = key_of(verb, request, arrays, statics, limits)
    known = plans.get(key, arrays)
    if known is not None:
        job = known.bound(request, arrays, meter)
        job.cached = True
        return job
    job = _prepare(verb, request, limits, meter, arrays, statics)
    if job.reusable:
        plans.put(key, job, arrays)
    return job


def prepare_with(
    kind: Callable[..., J],
    request: Request,
    limits: Limits | None = None,
    meter: Meter | None = None,
    *,
    mapped: bool = False,
) -> J:
    """A job of another package: `kind(typed, request, arrays, batch, limits, meter)`, which is what a `Job` is made with.

    Types the program for the request's inputs. Unless `mapped`, `in_axes` is refused. Raises what `prepare` raises. Such jobs
    are not kept; the compiled plans of the graphs they run are made once for each job.
    """
    limits = limits or _LIMITS
    meter = meter or Meter()
    arrays, integers = input_arrays(request.program, request.inputs, request.dtype, limits.errors)
    statics = {n: arrays[n] for n in integers if arrays[n].size <= 64}
    if request.in_axes and not mapped:
        raise Unsupported(
            "This verb does not take in_axes.",
            where=Where(pointer="/in_axes"),
        )
    with np.errstate(all="ignore"):
        return kind(*_typed(request, limits, meter, arrays, statics))


def _typed(
    request: Request,
    limits: Limits,
    meter: Meter,
    arrays: dict[str, Array],
    statics: dict[str, Array],
) -> tuple[Typed, Request, dict[str, Array], Batch | None, Limits, Meter]:
    """What a job is made of."""
    batch = None
    avals = {name: aval_of(a) for name, a in arrays.items()}
    if request.in_axes:
        batch = read_batch(request.program, arrays, request.in_axes)
        avals = dict(batch.cores)
        statics = {n: a for n, a in statics.items() if n not in batch.axes}
    typed = specialize(
        request.program, avals, dtype=request.dtype, limits=limits, statics=statics, step=meter.check
    )
    return typed, request, arrays, batch, limits, meter


def _prepare(
    verb: str,
    request: Request,
    limits: Limits,
    meter: Meter,
    arrays: dict[str, Array],
    statics: dict[str, Array],
) -> Job:
    if request.in_axes and verb not in MAPPED:
        raise Unsupported(f"{verb} does not take in_axes.", where=Where(pointer="/in_axes"))
    if request.sparse and verb not in SPARSE:
        raise Unsupported(
            f"{verb} has no sparse answer; jacobian and hessian have.", where=Where(pointer="/sparse")
        )
    if request.sparse and request.in_axes:
        raise Unsupported(
            "Sparse blocks have no batch axis, so `sparse` and `in_axes` do not go together. Ask for dense blocks, or for "
            "the sparse ones of the whole batch as one program.",
            where=Where(pointer="/sparse"),
        )
    with np.errstate(all="ignore"):
        parts = _typed(request, limits, meter, arrays, statics)
        match verb:
            case "evaluate" | "jvp" | "vjp":
                return FirstOrder(verb, *parts)
            case "grad":
                return ForwardGrad(*parts) if request.mode == "forward" else FirstOrder("grad", *parts)
            case "jacobian":
                return Jacobian(*parts)
            case "hessian" | "hvp":
                return SecondOrder(verb, *parts)
            case "taylor":
                return Taylor(*parts)
            case "trace":
                return Trace(*parts)
    raise Unsupported(f"There is no verb {verb}.")


_LIMITS = Limits()


__all__ = ["MAPPED", "VERBS", "Job", "Plans", "Request", "prepare", "prepare_with"]
