"""What the ops that hold graphs have in common: calling, retyping, weighing and guarding a body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.aval import BOOL, Aval, DType
from engine.builder import Builder, GraphBuilder, Var, broadcast_to, cast
from engine.errors import Arity, ShapeMismatch, TypeProblem, Where
from engine.graph import Graph
from engine.program import GraphSource, Program
from engine.transforms.pull import depends_on
from engine.transforms.simplify import simplify


def wrap(
    dtype: DType, avals: Sequence[Aval], graph: Graph, arguments: Sequence[int], results: Sequence[int]
) -> Graph:
    """A graph of `avals` that calls `graph` with its own inputs `arguments` and returns `graph`'s outputs `results`."""
    b = GraphBuilder(dtype)
    inputs = [b.input(a) for a in avals]
    outs = b.inline(graph, [inputs[k] for k in arguments])
    return simplify(b.build([outs[k] for k in results]), dtype)


def with_dtypes(graph: Graph, avals: Sequence[Aval], dtype: DType) -> Graph:
    """The graph with its outputs cast to `avals`' dtypes. Raises `ShapeMismatch` where shapes differ."""
    b = GraphBuilder.on(graph, dtype)
    outs = [cast(b, Var(b, o), a.dtype) for o, a in zip(graph.outputs, avals, strict=True)]
    return b.build([v.ref for v in outs])


_WIDTH = {"bool": 0, "int64": 1, "float32": 2, "float64": 2}


def wider(a: Aval, b: Aval) -> Aval:
    """`a` with the wider dtype of the two (bool, integers, floats)."""
    return a if _WIDTH[a.dtype] >= _WIDTH[b.dtype] else Aval(a.shape, b.dtype)


def graph_flops(graph: Graph) -> float:
    """Floating-point operations of all nodes."""
    known: float | None = vars(graph).get("_flops")
    if known is not None:
        return known
    total = 0.0
    for node in graph.nodes:
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        total += node.op.flops(operands, node.aval, **dict(node.params))
    vars(graph)["_flops"] = total
    return total


# ---------------------------------------------------------------------------------------------------------------- carries


def settled(
    b: Builder,
    typed: Callable[[Sequence[Aval]], Graph],
    carries: Sequence[Var],
    body: Program,
    first: int = 0,
    integers: Sequence[int] = (),
) -> tuple[list[Var], Graph]:
    """Initial carries and a body that agree: what goes into a step has the shapes and dtypes of what comes out of it.

    `typed` gives the body for carries of these avals; initial carries are promoted and stretched if that helps. The
    carries are the outputs of `body` in front, and its inputs from `first` on, which have the names that errors say.
    Those in `integers` were written as integers: they are int64 as long as the body keeps them so, else what they are.

    Raises `Arity` for a body that returns too little, `ShapeMismatch` for a carry that cannot keep its shape.
    """
    carries = list(carries)
    floats = {k: carries[k] for k in integers if k < len(carries) and carries[k].aval.floating}
    for k in floats:
        carries[k] = cast(b, carries[k], "int64")
    stretched: dict[int, tuple[Aval, Aval]] = {}
    # Each step may change what goes into the next one: of a carry the dtype twice, and its shape by what others are.
    for _ in range(min(3 + 2 * len(carries), 40)):
        avals = [v.aval for v in carries]
        try:
            graph = typed(avals)
        except TypeProblem:
            if not floats and stretched:  # it was right for what entered first
                raise _unsteady(body, first, *next(iter(stretched.items()))) from None
            if not floats:
                raise
            for k in list(floats):  # what is wrong of integers may be right of floats: y ** 0.5
                carries[k] = floats.pop(k)
            continue
        outs = graph.out_avals
        if len(outs) < len(carries):
            returned = f"it returns {len(outs)} value{'s' * (len(outs) != 1)}"
            raise Arity(
                f"The body must return its {len(carries)} carries first; {returned}.", where=place(body)
            )
        for k in [k for k in floats if outs[k].floating]:
            carries[k] = floats.pop(k)
        for k, (a, o) in enumerate(zip(avals, outs, strict=False)):
            if a.shape == o.shape:
                continue
            try:
                if stretched.setdefault(k, (a, o))[1].shape != o.shape and len(o.shape) > len(a.shape):
                    raise ShapeMismatch("It gains an axis with every step.")
                carries[k] = broadcast_to(carries[k], o.shape)
            except ShapeMismatch:
                raise _unsteady(body, first, k, stretched[k]) from None
        wanted = [wider(v.aval, o) for v, o in zip(carries, outs, strict=False)]
        carries = [cast(b, v, a.dtype) for v, a in zip(carries, wanted, strict=True)]
        if [v.aval for v in carries] == avals:
            return carries, with_dtypes(graph, [*avals, *outs[len(carries) :]], b.dtype)
    raise ShapeMismatch(
        "The carries of this loop hand shapes or dtypes on to one another at every step; let them enter it with those that "
        "they end with.",
        where=place(body),
    )


def _unsteady(body: Program, first: int, k: int, change: tuple[Aval, Aval]) -> ShapeMismatch:
    """The error for carry `k`, which is something else after a step than before."""
    name = body.steps[body.inputs[first + k]].id
    before, after = change
    return ShapeMismatch(
        f"Carry {k} ('{name}') enters the loop as {before} and leaves its body as {after}; a carry must keep its shape.",
        node=body.steps[body.outputs[k]].id,
        where=place(body, k),
    )


def place(body: Program, output: int | None = None) -> Where | None:
    """Where an output of a body, or all of them, stands in the request."""
    if isinstance(body.source, GraphSource):
        return Where(
            pointer=f"{body.source.root}/outputs" + ("" if output is None else f"/{output}"),
        )
    return None if output is None else body.where(body.outputs[output])


def moving_carries(body: Graph, carries: int, leaves: Sequence[int]) -> list[int]:
    """Inputs of a loop's body that depend on its inputs `leaves`, through any number of steps; `leaves` among them."""
    moving = {k for k in leaves if body.in_avals[k].floating}
    while True:
        active = depends_on(body.nodes, [body.inputs[k] for k in moving])
        more = {k for k in range(carries) if active[body.outputs[k]]} - moving
        if not more:
            return sorted(moving)
        moving |= more


def paired(groups: Sequence[Sequence[int]], moving: Sequence[int]) -> list[tuple[int, bool]]:
    """Inputs of the body of a loop over values and tangents: in each group first the values, then the tangents.

    Each is an input of the body that is differentiated, and whether it is its tangent.
    """
    found = [[*((k, False) for k in g), *((k, True) for k in g if k in moving)] for g in groups]
    return [pair for group in found for pair in group]


def placed(pairs: Sequence[tuple[int, bool]], inputs: int, moving: Sequence[int]) -> list[int]:
    """Where among `pairs` the inputs of a `jvp_graph` are: values, then the tangents of those that move."""
    where = {pair: slot for slot, pair in enumerate(pairs)}
    return [*(where[k, False] for k in range(inputs)), *(where[k, True] for k in moving)]


# ------------------------------------------------------------------------------------------------------------------- maps


def reached(graph: Graph, mapped: Sequence[bool]) -> list[bool]:
    """For each output whether it depends on an input in `mapped`, and so may lead with the batch axis under `vmap`."""
    marks = dict(zip(graph.inputs, mapped, strict=True))
    found: list[bool] = []
    for i, node in enumerate(graph.nodes):
        found.append(marks[i] if i in marks else any(found[j] for j in node.inputs))
    return [found[o] for o in graph.outputs]


def mapped_carries(body: Graph, carries: int, mapped: Sequence[bool]) -> list[bool]:
    """`mapped` for the inputs of a loop's body, with the carries that come to depend on a mapped one."""
    flags = list(mapped)
    while True:
        outs = reached(body, flags)
        after = [f or o for f, o in zip(flags, outs[:carries], strict=False)] + flags[carries:]
        if after == flags:
            return flags
        flags = after


# ----------------------------------------------------------------------------------------------------------------- guards


def unbounded(graph: Graph) -> bool:
    """Whether there is a loop inside that may go on for ever."""
    return any(
        node.op.unbounded or any(isinstance(p, Graph) and unbounded(p) for _, p in node.params)
        for node in graph.nodes
        if node.op.subgraphs
    )


def guarded(graph: Graph, dtype: DType) -> Graph:
    """The graph with a boolean scalar as one more input: while it is false, no unbounded loop inside takes a step.

    Members of a batch for which a branch or a step is computed though it is not theirs have values that the loop inside
    was not written for, and might never end with.
    """
    b = GraphBuilder(dtype)
    inputs = [b.input(a) for a in graph.in_avals]
    guard = b.input(BOOL)
    spot = dict(zip(graph.inputs, inputs, strict=True))
    for i, node in enumerate(graph.nodes):
        if i in spot:
            continue
        refs = [spot[j] for j in node.inputs]
        holds = node.op.subgraphs and unbounded(Graph((node,), (), ()))
        params = node.op.guard(dict(node.params), dtype) if holds else None
        if params is None:
            spot[i] = b.emit(node.op, refs, node.params)
        else:
            spot[i] = b.emit(node.op, [*refs, guard], tuple(sorted(params.items())))
    return b.build([spot[o] for o in graph.outputs])
