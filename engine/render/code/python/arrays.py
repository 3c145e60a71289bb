"""Text of the ops that shape, move, gather and reduce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.aval import Aval
from engine.graph import CONSTANT
from engine.render.code.python.expr import (
    ATOM,
    PRODUCT,
    Expr,
    binary,
    call,
    dimensions,
    filled,
    scalar,
    shape,
    type_of,
    uniform,
)
from engine.render.code.python.scope import Call
from engine.render.code.python.table import writes
from engine.structured.place import way_of


def method(x: Expr, name: str, *given: str) -> Expr:
    """`x.name(…)`."""
    return Expr(f"{x.typed.at(ATOM)}.{name}({', '.join(given)})", depth=x.depth + 1)


def item(c: Call, found: Expr) -> Expr:
    """What an array without axes holds, if the result is a scalar."""
    return found if c.aval.shape else Expr(f"{found.at(ATOM)}[()]", depth=found.depth)


def along(c: Call, axes: Sequence[int], rank: int) -> str:
    """`, axis=…` for axes that count from the end; nothing where they are all there are."""
    at = [int(a) + rank for a in axes]
    if sorted(at) == list(range(rank)):
        return ""
    return f", axis={at[0] if len(at) == 1 else shape(at)}"


# ------------------------------------------------------------------------------------------------------------- shape


@writes("broadcast_to")
def _broadcast_to(c: Call) -> Expr:
    x, dims, dtype = c.args[0], c.params["shape"], c.aval.dtype
    if x.weak:
        return Expr(filled(dimensions(dims), x, dtype), depth=1)
    return call("np.broadcast_to", x, shape(dims))


@writes("reshape")
def _reshape(c: Call) -> Expr:
    picked = _picked(c)
    if picked is not None:
        return picked
    x, dims = c.args[0], c.params["shape"]
    if not dims:
        rank = c.avals[0].rank
        return Expr(f"{x.typed.at(ATOM)}[{', '.join(['0'] * rank)}]", depth=x.depth + 1) if rank else x
    return method(x, "reshape", *[str(n) for n in dims])


def _picked(c: Call) -> Expr | None:
    """A slice of one entry along some axes that are dropped then, as an index: `x[0]`."""
    node, at = c.operand(0), c.operands[0]
    scope = c.scope
    if (
        node.op.name != "slice"
        or at in scope.bound_at
        or scope.reads[at] != 1
        or not isinstance(node.aval, Aval)
    ):
        return None
    source = scope.graph.nodes[node.inputs[0]].aval
    assert isinstance(source, Aval)
    index = _index(source, dict(node.params)["index"])
    ones = [n == 1 for n in node.aval.shape]
    sliced = [i.endswith(":") or ":" in i for i in index]
    starts = dict(enumerate(_starts(source, dict(node.params)["index"])))
    rest = list(c.aval.shape)
    parts = []
    for k, (one, text) in enumerate(zip(ones, index, strict=True)):
        if one and sliced[k] and (not rest or rest[0] != 1):
            parts.append(str(starts[k]))
        elif rest and rest[0] == node.aval.shape[k]:
            parts.append(text)
            rest.pop(0)
        else:
            return None
    if rest:
        return None
    while parts and parts[-1] == ":":
        parts.pop()
    x = scope.exprs[node.inputs[0]]
    return Expr(f"{x.typed.at(ATOM)}[{', '.join(parts)}]", depth=x.depth + 1)


def _starts(source: Aval, index: Sequence[Any]) -> list[Any]:
    return [0] * (source.rank - len(index)) + [a for a, _, _ in index]


def _index(source: Aval, index: Sequence[Any]) -> list[str]:
    """(start, stop, step) of the last axes as text, one for each axis."""
    tail = source.shape[source.rank - len(index) :]
    return [":"] * (source.rank - len(index)) + [
        _slice(a, e, s, n) for (a, e, s), n in zip(index, tail, strict=True)
    ]


def _slice(start: Any, stop: Any, step: int, n: Any) -> str:
    if not len(range(int(start), int(stop), int(step))):
        return "0:0"
    if step < 0:
        first = "" if start == n - 1 else str(start)
        return f"{first}:{'' if stop < 0 else stop}:{step}"
    first, last = "" if start == 0 else str(start), "" if stop >= n else str(stop)
    return f"{first}:{last}" + (f":{step}" if step != 1 else "")


def _subscript(parts: Sequence[str]) -> str:
    parts = list(parts)
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return ", ".join(parts)


@writes("slice")
def _slice_op(c: Call) -> Expr:
    x = c.args[0]
    if not c.params["index"]:
        return x
    return Expr(f"{x.typed.at(ATOM)}[{_subscript(_index(c.avals[0], c.params['index']))}]", depth=x.depth + 1)


@writes("embed")
def _embed(c: Call) -> Expr:
    x, dtype = c.args[0], c.aval.dtype
    kind = "" if dtype == "float64" else f", {type_of(dtype)}"
    dims = c.aval.shape
    size = dimensions(dims)
    result = c.scope.settle(c.at, Expr(f"np.zeros({size}{kind})"))
    index = _index(c.aval, c.params["index"])
    inner = c.operand(0)
    if inner.op.name in ("reshape", "broadcast_to") and c.operands[0] not in c.scope.bound_at:
        source = c.scope.graph.nodes[inner.inputs[0]].aval
        if isinstance(source, Aval) and not source.shape:  # one number in one place
            x = c.scope.exprs[inner.inputs[0]]
            if c.avals[0].size == 1:
                starts = _starts(c.aval, c.params["index"])
                index = [
                    str(a) if n == 1 else t for a, t, n in zip(starts, index, c.avals[0].shape, strict=True)
                ]
    c.scope.line(f"{result.text}[{', '.join(index)}] = {x.text}")
    return result


@writes("core.place")
def _place(c: Call) -> Expr:
    """Operands laid into zeros, or added to a base, at flat places that are known."""
    p, dims = c.params, c.aval.shape
    args = list(c.args)
    if p["base"]:
        start = Expr(f"np.array({args.pop(0).text}, order='C')")
    else:
        kind = "" if c.aval.dtype == "float64" else f", {type_of(c.aval.dtype)}"
        start = Expr(f"np.zeros({dimensions(dims)}{kind})")
    result = c.scope.settle(c.at, start)
    lead = [str(n) for n in dims[: len(dims) - len(p["shape"])]]
    more = "..., " if lead else ""
    flat = f"{result.text}.reshape({', '.join([*lead, '-1'])})" if lead or len(dims) != 1 else result.text
    for k, (x, target) in enumerate(zip(args, p["targets"], strict=True), start=len(c.args) - len(args)):
        way = way_of(target.value)
        if way is None:
            continue
        part = x.typed
        one = _one_number(c, k)
        if one is not None and not way.repeated:
            part = one
        elif lead or target.value.ndim != 1:
            part = method(part, "reshape", *lead, "-1")
        read, write = _range(c, way.read, target.value.size), _range(c, way.write, c.aval.size)
        if read != ":" and part is not one:
            part = Expr(f"{part.at(ATOM)}[{more}{read}]")
        if way.repeated:
            index = f"(..., {write})" if lead else write
            c.scope.line(f"np.add.at({flat}, {index}, {part.text})")
            continue
        sign = "=" if len(args) == 1 and not p["base"] else "+="
        c.scope.line(f"{flat}[{more}{write}] {sign} {part.text}")
    return result


def _one_number(c: Call, k: int) -> Expr | None:
    """The number that all entries of a constant operand are."""
    node = c.operand(k)
    if node.op is not CONSTANT:
        return None
    value = dict(node.params)["value"].value
    found = uniform(value)
    return None if found is None else scalar(found, str(value.dtype))


def _range(c: Call, positions: Any, n: int) -> str:
    """Flat positions as an index."""
    if isinstance(positions, slice):
        return _slice(positions.start, positions.stop, positions.step or 1, n)
    return c.module.constant(positions)


@writes("permute_dims")
def _permute_dims(c: Call) -> Expr:
    x, axes, rank = c.args[0], c.params["axes"], c.aval.rank
    order = [*range(rank - len(axes)), *(a + rank for a in axes)]
    if order == list(range(rank)):
        return x
    if order == list(range(rank))[::-1]:
        return Expr(f"{x.at(ATOM)}.T", depth=x.depth + 1)
    moved = [k for k, a in enumerate(order) if a != k]
    if len(moved) == 2:
        return call("np.swapaxes", x, moved[0] - rank, moved[1] - rank)
    return call("np.transpose", x, shape(order))


@writes("concat")
def _concat(c: Call) -> Expr:
    axis = c.params["axis"] + c.aval.rank
    listed = shape([a.text for a in c.args])
    depth = max(a.depth for a in c.args) + 1
    return Expr(f"np.concatenate({listed}{f', axis={axis}' if axis else ''})", depth=depth)


@writes("iota")
def _iota(c: Call) -> Expr:
    return call("np.arange", str(c.params["n"]))


# ---------------------------------------------------------------------------------------------------------- indexing


@writes("wrap_index")
def _wrap_index(c: Call) -> Expr:
    n, low = c.params["n"], c.params["low"]
    return call(c.helper("in_range"), c.typed(0), str(n), str(-n if low is None else low))


def _index_constant(c: Call, k: int) -> int | None:
    node = c.operand(k)
    if node.op is not CONSTANT:
        return None
    value = dict(node.params)["value"].value
    return int(value[()]) if value.ndim == 0 else None


@writes("gather")
def _gather(c: Call) -> Expr:
    x, indices = c.args
    batch = c.params["batch_dims"]
    at = c.avals[0].rank + c.params["axis"]
    if batch:
        return call(c.helper("take_rows"), x, indices.typed, str(at), str(batch))
    one = _index_constant(c, 1)
    if one is not None or c.avals[0].rank == 1 or (at == 0 and not c.avals[1].shape):
        text = indices.text if one is None else str(one)
        parts = [*[":"] * at, text]
        return Expr(f"{x.at(ATOM)}[{', '.join(parts)}]", depth=max(x.depth, indices.depth) + 1)
    return call("np.take", x, indices, f"axis={at}")


@writes("scatter_add", "scatter_set", "scatter_max", "scatter_min")
def _scatter(c: Call) -> Expr:
    x, indices, updates = (a.typed for a in c.args)
    name = {"add": "np.add.at", "set": "np.put", "max": "np.maximum.at", "min": "np.minimum.at"}[
        c.node.op.name[-3:]
    ]
    at, batch = c.avals[0].rank + c.params["axis"], c.params["batch_dims"]
    return call(c.helper("put_rows"), name, x, indices, updates, str(at), *([str(batch)] if batch else []))


@writes("last_occurrence")
def _last_occurrence(c: Call) -> Expr:
    return call(c.helper("last_of_each"), c.typed(0), str(c.params["batch_dims"]))


@writes("searchsorted")
def _searchsorted(c: Call) -> Expr:
    a, v, side = c.args[0], c.typed(1), repr(c.params["side"])
    if c.avals[0].rank == 1:
        return call("np.searchsorted", a, v, side)
    return call(c.helper("search"), a, v, side)


@writes("class_mask")
def _class_mask(c: Call) -> Expr:
    p = c.params
    return call(c.helper("class_mask"), c.typed(0), str(p["axis"]), str(p["classes"]), str(p["ignore"]))


# ----------------------------------------------------------------------------------------------------------- reducing


@writes("sum", "any", "all", "max", "min")
def _reduction(c: Call) -> Expr:
    x, axes = c.args[0].typed, c.params["axes"]
    if not axes:
        return x
    rank = c.avals[0].rank
    return call(f"np.{c.node.op.name}", Expr(x.text + along(c, axes, rank), depth=x.depth))


@writes("nanmax", "nanmin")
def _nan_reduction(c: Call) -> Expr:
    ufunc = {"nanmax": "np.fmax", "nanmin": "np.fmin"}[c.node.op.name]
    return call(
        f"{ufunc}.reduce", c.args[0], f"axis={shape([a + c.avals[0].rank for a in c.params['axes']])}"
    )


@writes("max_where")
def _max_where(c: Call) -> Expr:
    return call(c.helper("max_where"), c.args[0], c.args[1], shape(c.params["axes"]))


def _running(c: Call, function: str) -> Expr:
    x, axis = c.args[0], c.params["axis"] + c.avals[0].rank
    if c.params["reverse"]:
        return call(c.helper("reversed_along"), function, x, str(axis))
    return call(function, x, str(axis))


@writes("cumsum")
def _cumsum(c: Call) -> Expr:
    return _running(c, "np.cumsum")


@writes("cumprod")
def _cumprod(c: Call) -> Expr:
    return _running(c, "np.cumprod")


@writes("cumulative_logsumexp")
def _cumulative_logsumexp(c: Call) -> Expr:
    return _running(c, "np.logaddexp.accumulate")


@writes("cum_argextreme")
def _cum_argextreme(c: Call) -> Expr:
    return call(c.helper("running_place"), c.args[0], str(c.params["axis"]), str(bool(c.params["largest"])))


@writes("linear_recurrence")
def _linear_recurrence(c: Call) -> Expr:
    return call(c.helper("recurrence"), *c.args, str(c.params["axis"]), str(bool(c.params["reverse"])))


@writes("argsort")
def _argsort(c: Call) -> Expr:
    x, axis = c.args[0], c.params["axis"]
    if c.params["descending"]:
        return call(c.helper("descending"), x, str(axis))
    return call("np.argsort", x, f"axis={axis}", 'kind="stable"')


@writes("argmax", "argmin")
def _arg_extreme(c: Call) -> Expr:
    x, axis, name = c.args[0], c.params["axis"], f"np.{c.node.op.name}"
    return (
        call(c.helper("last_place"), name, x, str(axis))
        if c.params["last"]
        else call(name, x, f"axis={axis}")
    )


@writes("vector_norm")
def _vector_norm(c: Call) -> Expr:
    p, axes = float(c.params.get("ord", 2.0)), shape(c.params["axes"])
    if p == 2:
        return call(c.helper("length"), c.args[0].typed, axes)
    return call(c.helper("p_norm"), c.args[0].typed, axes, repr(p))


@writes("power_table")
def _power_table(c: Call) -> Expr:
    return call(c.helper("powers"), c.args[0], str(c.params["n"]), str(bool(c.params["reverse"])))


@writes("softmax", "log_softmax", "exp_shares", "logsumexp")
def _softmax(c: Call) -> Expr:
    name = {"exp_shares": "shares"}.get(c.node.op.name, c.node.op.name)
    found = call(c.helper(name), c.args[0].typed, shape(c.params["axes"]))
    return item(c, found) if name in ("softmax", "log_softmax") else found


@writes("top_level")
def _top_level(c: Call) -> Expr:
    return call(c.helper("top_level"), c.typed(0), c.typed(1), shape(c.params["axes"]))


# ------------------------------------------------------------------------------------------------------------ products


@writes("matmul")
def _matmul(c: Call) -> Expr:
    return binary("@", PRODUCT, *c.args)


@writes("windows")
def _windows(c: Call) -> Expr:
    p = c.params
    return call(c.helper("windows"), c.args[0], *[shape(p[n]) for n in ("sizes", "strides", "dilations")])


@writes("overlap_add")
def _overlap_add(c: Call) -> Expr:
    p = c.params
    return call(c.helper("overlap_add"), c.args[0], *[shape(p[n]) for n in ("shape", "strides", "dilations")])


@writes("full_convolution")
def _full_convolution(c: Call) -> Expr:
    a, v = c.args
    if c.avals[0].rank == c.avals[1].rank == 1:
        return call("np.convolve", a, v)
    return call(c.helper("by_rows"), "np.convolve", c.bound(0), c.bound(1), str(c.aval.shape[-1]))


@writes("valid_correlation")
def _valid_correlation(c: Call) -> Expr:
    a, v = c.args
    if c.avals[0].rank == c.avals[1].rank == 1:
        return call("np.correlate", a, v, '"valid"')
    return call(c.helper("by_rows"), c.helper("correlate_valid"), a, v, str(c.aval.shape[-1]))
