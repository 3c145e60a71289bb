"""The loops of known length that users write: scan and fori_loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, COUNT, INTS, SIZE, optional
from engine.aval import Aval
from engine.builder import Builder, GraphBuilder, Var, broadcast_to, call
from engine.errors import Arity, DtypeMismatch, LimitExceeded, ShapeMismatch, Unsupported
from engine.graph import Graph
from engine.op import Attr, Op, Operand, registry
from engine.ops.control.scan import scan_core
from engine.ops.control.subgraph import place, settled
from engine.program import BODY, Program

INTEGERS = Attr("integers", INTS, ())
"""Carries that were written as integers: they are int64 as long as the body keeps them so, and floats otherwise."""
LOCALS = Attr("locals", COUNT, 0)
"""How many values the body returns behind its carries of which the last one is a result, as it is behind a loop in Python."""


class Never(Var):
    """The last value of what a loop computes that runs no time: zeros, which nothing may use."""

    __slots__ = ()


def write_scan(
    b: Builder,
    typed: Callable[[Sequence[Aval]], Graph],
    body: Program,
    carries: Sequence[Var],
    scanned: Sequence[Var],
    consts: Sequence[Var],
    length: int,
    *,
    reverse: bool = False,
    first: int = 0,
    integers: Sequence[int] = (),
    last: int = 0,
) -> tuple[Var, ...]:
    """A core scan of a body that is `typed` once the avals of its inputs are known (carries, slices, constants).

    Of its results behind the carries, `last` are not stacked: only their last value is kept.

    Raises what `settled` raises.
    """
    rest = [*[Aval(v.shape[1:], v.dtype) for v in scanned], *[v.aval for v in consts]]
    carries, graph = settled(b, lambda avals: typed([*avals, *rest]), carries, body, first, integers)
    nk = len(carries)
    if last:
        kept = graph.out_avals[nk : nk + last]
        graph = _ignoring(graph, nk, kept, b)
        carries = [*carries, *(Var(b, b.zeros(a)) for a in kept)]
    got = b.write(
        scan_core, *carries, *scanned, *consts,
        body=graph, carries=len(carries), scanned=len(scanned), length=length, reverse=reverse,
    )  # fmt: skip
    if not length:
        return tuple(Never(b, v.ref) if nk <= k < nk + last else v for k, v in enumerate(got))
    return tuple(got)


def _ignoring(graph: Graph, carries: int, more: Sequence[Aval], b: Builder) -> Graph:
    """The body with further carries, whose values it does not look at."""
    inner = GraphBuilder(b.dtype)
    front = [inner.input(a) for a in graph.in_avals[:carries]]
    for aval in more:
        inner.input(aval)
    back = [inner.input(a) for a in graph.in_avals[carries:]]
    return inner.build(inner.inline(graph, [*front, *back]))


class Scan(Op):
    """Loop over the leading axis of the scanned arrays, with carries passed from step to step.

    body: carries, one slice of each scanned array, constants → carries, `locals` values, ys. Results: the last carries, the
    last of each local value, then each y stacked along a new leading axis. As `jax.lax.scan`, with several carries and
    several scanned arrays. Carries in `integers` are integers as long as the body keeps them so.
    """

    name = "scan"
    family = "control"
    composite = True
    promotes = False
    results = ("carry", "…")
    parameters = (
        Operand("operands", variadic=True, least=0),
        Attr("carry", COUNT),
        Attr("scanned", COUNT, 1),
        Attr("body", BODY),
        Attr("length", optional(SIZE), None),
        Attr("reverse", BOOL, False),
        LOCALS,
        INTEGERS,
    )
    latex = "\\operatorname{{scan}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core scan."""
        nk, nx, nl = attrs["carry"], attrs["scanned"], attrs["locals"]
        if len(operands) < nk + nx:
            raise Arity(f"scan needs {nk} carries and {nx} scanned arrays; it has {len(operands)} operands.")
        scanned = list(operands[nk : nk + nx])
        for v in scanned:
            if v.rank == 0:
                raise ShapeMismatch("scan needs scanned arrays with a leading axis; one of them is a scalar.")
        lengths = {v.shape[0] for v in scanned} | (
            {attrs["length"]} if attrs["length"] is not None else set()
        )
        if len(lengths) != 1:
            raise ShapeMismatch(
                f"scan needs scanned arrays of one length; theirs are {sorted(lengths)}."
                if lengths
                else "scan over no array needs a length."
            )
        body = attrs["body"]
        check_returned(body.program, nk, nl, True)
        return write_scan(
            b, body.graph, body.program, operands[:nk], scanned, operands[nk + nx :], lengths.pop(),
            reverse=attrs["reverse"], integers=attrs["integers"], last=nl,
        )  # fmt: skip


registry.add(Scan())


class ForiLoop(Op):
    """The body run for i = start, …, stop − 1: i, carries, constants → carries, `locals` values. As `jax.lax.fori_loop`.

    The body is compiled once, however many iterations there are; the counter is an integer. Results: the last carries, and
    the last of each local value. Carries in `integers` are integers as long as the body keeps them so. A bound that is only
    known when the program runs makes it a while_loop.
    """

    name = "fori_loop"
    family = "control"
    composite = True
    promotes = False
    results = ("carry", "…")
    parameters = (
        Operand("operands", variadic=True, least=0),
        Attr("start", SIZE, 0),
        Attr("stop", SIZE),
        Attr("carry", COUNT, 1),
        Attr("body", BODY),
        LOCALS,
        INTEGERS,
    )
    computed = ("start", "stop")
    latex = "\\operatorname{{fori}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """A scan over the counter."""
        start, stop, nk, nl = attrs["start"], attrs["stop"], attrs["carry"], attrs["locals"]
        if len(operands) < nk:
            raise Arity(f"fori_loop needs {nk} carries; it has {len(operands)} operands.")
        body, consts = attrs["body"], operands[nk:]
        check_returned(body.program, nk, nl, False)
        if isinstance(start, Var) or isinstance(stop, Var):
            return _counting(b, body, operands[:nk], consts, start, stop, attrs)
        n = max(0, stop - start)
        most = b.max_elements if isinstance(b, GraphBuilder) else n
        if n > most:
            raise LimitExceeded(
                "elements", int(most), n, f"This loop would run {n:,} times; the limit is {int(most):,}."
            )
        counter: Var = b.write("iota", n=n)
        if start:
            counter = b.write("add", counter, broadcast_to(b.var(np.asarray(start), "int64"), (n,)))

        def typed(avals: Sequence[Aval]) -> Graph:
            """The body (i, carries, constants) as that of a scan (carries, i, constants)."""
            own: Graph = body.graph([avals[nk], *avals[:nk], *avals[nk + 1 :]])
            return _renumbered(own, [*own.inputs[1 : nk + 1], own.inputs[0], *own.inputs[nk + 1 :]])

        return write_scan(
            b, typed, body.program, operands[:nk], [counter], consts, n,
            first=1, integers=attrs["integers"], last=nl,
        )  # fmt: skip


def check_returned(body: Program, carries: int, last: int, more: bool) -> None:
    """Raise `Arity` for a body that returns too few values, or too many where there is nothing behind the carries."""
    n, needed = len(body.outputs), carries + last
    if n == needed or (more and n > needed):
        return
    what = (
        f"its {carries} carries" + (f" and {last} more values" if last else "") + (" first" if more else "")
    )
    raise Arity(f"The body must return {what}; it returns {n} value{'s' * (n != 1)}.", where=place(body))


def _renumbered(graph: Graph, inputs: Sequence[int]) -> Graph:
    """The graph with its inputs in another order."""
    index = {i: k for k, i in enumerate(inputs)}
    nodes = tuple(
        n._replace(params=(("index", index[i]),)) if i in index else n for i, n in enumerate(graph.nodes)
    )
    return Graph(nodes, tuple(inputs), graph.outputs)


registry.add(ForiLoop())


# ------------------------------------------------------------------------------------- bounds that are computed


class _Written:
    """A body that is written here: avals of its inputs in, graph out."""

    def __init__(self, program: Program, graph: Callable[[Sequence[Aval]], Graph]) -> None:
        self.program = program
        self.graph = graph


def _counting(
    b: Builder,
    body: Any,
    carries: Sequence[Var],
    consts: Sequence[Var],
    start: int | Var,
    stop: int | Var,
    attrs: Any,
) -> tuple[Var, ...]:
    """A while_loop whose first carry counts: i, carries, then stop and the constants."""
    bounds = [v if isinstance(v, Var) else b.var(np.asarray(v), "int64") for v in (start, stop)]
    for v in bounds:
        if v.dtype != "int64" or v.rank:
            raise DtypeMismatch(
                f"The bounds of a loop are integers; here one is {v.aval}. An input written only in integers (2, not 2.0) is "
                "an integer there; int(x) makes one."
            )
    op = registry.get("while_loop")
    if op is None:
        raise Unsupported("How often a loop runs must be known before anything is computed.")
    nk = len(carries)
    integer = bounds[0].aval
    rest = [v.aval for v in consts]

    def stepped(avals: Sequence[Aval]) -> Graph:
        """i, carries, stop, constants → i + 1, carries, local values."""
        own = body.graph([integer, *avals[1 : nk + 1], *avals[nk + 2 :]])
        inner = GraphBuilder(b.dtype)
        inputs = [inner.input(a) for a in avals]
        outs = inner.inline(own, [*inputs[: nk + 1], *inputs[nk + 2 :]])
        following = call(inner, "add", Var(inner, inputs[0]), inner.var(np.asarray(1), "int64"))
        return inner.build([following.ref, *outs])

    def tested(avals: Sequence[Aval]) -> Graph:
        """i < stop."""
        inner = GraphBuilder(b.dtype)
        inputs = [inner.input(a) for a in avals]
        below = call(inner, "less", Var(inner, inputs[0]), Var(inner, inputs[nk + 1]))
        return inner.build([below.ref])

    settled_carries, _ = settled(
        b, lambda avals: body.graph([integer, *avals, *rest]), carries, body.program, 1, attrs["integers"]
    )
    given = {a.name: a.default for a in op.attrs}
    given |= {
        "carry": nk + 1,
        "cond": _Written(body.program, tested),
        "body": _Written(body.program, stepped),
    }
    if "locals" in given:
        given["locals"] = attrs["locals"]
    elif attrs["locals"]:
        raise Unsupported("What such a loop assigns needs a value before it.")
    got = op.lower(b, bounds[0], *settled_carries, bounds[1], *consts, **given)
    assert isinstance(got, tuple)
    return got[1:]
