"""Ops with bodies, with mpmath's numbers: choices, loops, roots, linear systems; `fn(evaluator, op, params, *operands)`.

A loop goes on as long as its own values say; a custom derivative rule is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from engine.builder import EagerBuilder
from engine.compare.precise.linear import eliminated
from engine.compare.precise.numbers import Unavailable
from engine.graph import Graph
from engine.op import Op

if TYPE_CHECKING:
    from engine.compare.precise.evaluator import Evaluator

Handler = Callable[..., Any]
Params = Mapping[str, Any]

CHORDS = 30
"""Steps of Newton's method with one Jacobian; each gains the digits that a double has."""


def _body(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    return tuple(ev.run(params["body"], operands))


def _custom(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    return tuple(ev.run(params["value"], operands))


def _cond(ev: Evaluator, op: Op, params: Params, condition: Any, *operands: Any) -> Any:
    return tuple(ev.run(params["then"] if bool(condition) else params["otherwise"], operands))


def _scan(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    body: Graph = params["body"]
    nk, nx, n = params["carries"], params["scanned"], params["length"]
    carries, xs, constants = list(operands[:nk]), operands[nk : nk + nx], operands[nk + nx :]
    rows: list[list[Any]] = [[None] * n for _ in body.out_avals[nk:]]
    for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
        ev.ar.charge(1.0)
        out = ev.run(body, [*carries, *[np.asarray(x[t]) for x in xs], *constants])
        carries = out[:nk]
        for row, value in zip(rows, out[nk:], strict=True):
            row[t] = value
    stacked = [
        np.stack([np.asarray(v) for v in row])
        if row
        else np.zeros((0, *a.shape), object if a.floating else a.dtype)
        for row, a in zip(rows, body.out_avals[nk:], strict=True)
    ]
    return (*carries, *stacked)


def _while(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    nk, batch = params["carries"], params["batch"]
    if batch:
        raise Unavailable("a while loop that is mapped over a batch has no high-precision counterpart")
    carries, constants = list(operands[:nk]), operands[nk:]
    steps = 0
    while bool(ev.run(params["cond"], [*carries, *constants])[0]):
        ev.ar.charge(1.0)
        carries = ev.run(params["body"], [*carries, *constants])
        steps += 1
    return (*carries, np.asarray(steps, np.int64))


def _counted(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    steps = int(np.max(np.asarray(operands[0]), initial=0))
    return tuple(ev.run(params["derivation"].graph(steps, EagerBuilder().record_bytes), operands))


def _columns(ev: Evaluator, graph: Graph, at: Sequence[Any], linear: bool, diagonal: bool) -> Array:
    """∂f/∂y of a function y [*batch, n], constants → [*batch, n], member by member: [batch, n, n]; one column [batch, n, 1]
    if it is diagonal. By a unit vector where it is linear in y, else by a tiny difference."""
    ar = ev.ar
    y = np.asarray(at[0])
    *batch, n = y.shape
    flat = (prod(batch), n)
    h = ar.one if linear else ar.c.ldexp(1, -ar.c.prec // 2)
    base = None if linear else np.asarray(ev.run(graph, at)[0]).reshape(flat)
    out = np.empty((*flat, 1 if diagonal else n), object)
    start = ar.exact(np.zeros(y.shape)) if linear else y
    for j in range(1 if diagonal else n):
        step = np.full(n, h, object) if diagonal else np.where(np.arange(n) == j, h, ar.zero)
        value = np.asarray(ev.run(graph, [start + step, *at[1:]])[0]).reshape(flat)
        out[:, :, j] = value if base is None else (value - base) / h
    return out


def _solved(ev: Evaluator, a: Array, right: Array) -> Array:
    """Solutions [batch, n, sides] of systems that `_columns` gave."""
    if a.shape[2] == 1 and a.shape[1] != 1:
        return right / a
    return np.stack([eliminated(ev.ar, m, r)[0] for m, r in zip(a, right, strict=True)]) if len(a) else right


def _linear_solve(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    matvec: Graph = params["matvec"]
    *batch, n = shape = matvec.in_avals[0].shape
    right = np.asarray(operands[0])
    members, sides = prod(batch), prod(right.shape[: right.ndim - len(shape)])
    r = right.reshape(sides, members, n).transpose(1, 2, 0)
    start = ev.ar.exact(np.zeros(shape))
    a = _columns(ev, matvec, [start, *operands[1:]], True, bool(params["diagonal"]))
    x = _solved(ev, a, r)
    return (x.transpose(2, 0, 1).reshape(right.shape),)


def _implicit(ev: Evaluator, op: Op, params: Params, *operands: Any) -> Any:
    """The root that is found with doubles, and from there Newton's method with the Jacobian at that point."""
    ar, residual = ev.ar, params["residual"]
    doubles = [ar.rounded(v) if np.asarray(v).dtype == object else v for v in operands]
    with np.errstate(all="ignore"):
        found = op.evaluate_in(EagerBuilder(step=ar.meter.check), *doubles, **params)
    y = ar.exact(found[0])
    rest = (ar.exact(found[1]), np.asarray(found[2]))
    if not np.isfinite(np.asarray(found[0])).all():
        return (y, *rest)
    a = _columns(ev, residual, [y, *operands[1:]], False, bool(params["diagonal"]))
    least = ar.c.ldexp(1, -ar.c.prec + 16)
    for _ in range(CHORDS):
        f = np.asarray(ev.run(residual, [y, *operands[1:]])[0])
        step = _solved(ev, a, f.reshape(*a.shape[:2], 1)).reshape(y.shape)
        y = y - step
        if all(abs(s) <= abs(v) * least for s, v in zip(step.reshape(-1), y.reshape(-1), strict=True)):
            return (y, *rest)
    raise Unavailable("the root could not be found with so many digits")


NESTED: dict[str, Handler] = {
    "core.checkpoint": _body,
    "core.custom": _custom,
    "core.cond": _cond,
    "core.scan": _scan,
    "core.while": _while,
    "core.counted": _counted,
    "core.linear_solve": _linear_solve,
    "core.implicit": _implicit,
}
