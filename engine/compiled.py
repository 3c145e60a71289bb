"""A graph made ready to be computed many times: the body of a loop, the branch of a choice.

What `EagerBuilder.inline` finds out at every node of every call (which nodes are needed, what their params are, when a
value is used for the last time) is found out once here: a node becomes a function and the slots of its operands. Nothing
is computed differently: the functions are the ops' own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from engine.aval import Aval
from engine.graph import CONSTANT, ITEM, Graph
from engine.op import Op, Params

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

WATCHED_FLOPS = 20_000
"""A graph of more operations than this asks the meter before each of its steps, a smaller one before the first only."""

KEPT_BYTES = 1 << 16
"""As long as all values of a graph together take no more than this, they are kept until its end."""

UNARY, BINARY, OTHER, INNER = 1, 2, 3, 4


class _Step(NamedTuple):
    """One node: what to call, with the values in which slots, and the slots to empty after that."""

    kind: int
    out: int
    fn: Callable[..., Any]
    first: int
    second: int
    operands: tuple[int, ...]
    dying: tuple[int, ...]


class Compiled:
    """A graph as functions over numbered slots; its arguments are in the first ones."""

    __slots__ = ("_outputs", "_steps", "_tail", "_watched")

    def __init__(self, graph: Graph) -> None:
        nodes = graph.nodes
        slot = {i: k for k, i in enumerate(graph.inputs)}
        tail: list[Any] = []
        steps: list[_Step] = []
        flops, nbytes = 0.0, 0
        for i, _ in graph.schedule:
            slot[i] = len(slot)
            tail.append(nodes[i].params[0][1].value[()] if nodes[i].op is CONSTANT else None)
        for i, dying in graph.schedule:
            node = nodes[i]
            if node.op is CONSTANT:
                continue
            avals: list[Any] = [nodes[j].aval for j in node.inputs]
            operands = tuple(slot[j] for j in node.inputs)
            kind, fn = _function(node.op, node.params, avals)
            if kind != INNER:
                flops += node.op.flops(avals, node.aval, **dict(node.params))
            nbytes += node.aval.nbytes if isinstance(node.aval, Aval) else sum(a.nbytes for a in node.aval)
            gone = tuple(slot[j] for j in dying if nodes[j].op is not CONSTANT)
            first, second = (*operands, 0, 0)[:2]
            steps.append(_Step(kind, slot[i], fn, first, second, operands, gone))
        if nbytes <= KEPT_BYTES:
            steps = [s._replace(dying=()) for s in steps]
        self._watched = flops > WATCHED_FLOPS
        self._tail = tail
        self._steps = tuple(steps)
        self._outputs = tuple(slot[o] for o in graph.outputs)

    def run(self, b: EagerBuilder, arguments: Sequence[Any]) -> list[Any]:
        """The graph's results; `b` is what the bodies inside are computed with."""
        step = b.step
        if step is not None:
            step()
        if not self._watched:
            step = None
        values = [*arguments, *self._tail]
        for kind, out, fn, first, second, operands, dying in self._steps:
            if step is not None:
                step()
            if kind == BINARY:
                values[out] = fn(values[first], values[second])
            elif kind == UNARY:
                values[out] = fn(values[first])
            elif kind == OTHER:
                values[out] = fn(*[values[j] for j in operands])
            else:
                values[out] = fn(b, *[values[j] for j in operands])
            for j in dying:
                values[j] = None
        return [values[o] for o in self._outputs]


class Loop(Protocol):
    """A loop whose steps are computed together."""

    def run(
        self,
        b: EagerBuilder,
        carries: Sequence[Any],
        scanned: Sequence[Any],
        consts: Sequence[Any],
        length: int | None = None,
        reverse: bool = False,
    ) -> tuple[list[Any], list[Any], int]:
        """The last carries, the other results of the body stacked, the number of steps; asks the meter now and then.

        A loop with a condition goes on as long as that holds, or for `length` steps.
        """  # fmt: skip


Body: TypeAlias = "Callable[[EagerBuilder, Sequence[Any]], list[Any]]"
"""A graph as a function of a builder and its arguments."""


class Loops:
    """How loops are run, if not step by step: `maker` is set once, where that is written (`engine.tape`), and so is
    `planner`, for the steps (`engine.execute.plan`)."""

    def __init__(self) -> None:
        self.maker: Callable[[Graph, int, int, Graph | None], Loop | None] | None = None
        self.planner: Callable[[Graph], Body | None] | None = None

    def body(self, b: EagerBuilder, graph: Graph) -> Body:
        """How one step is computed: by a plan, where guards are not needed and the arrays are worth it."""
        planned = self.planner(graph) if b.lean and self.planner is not None else None
        return compiled(graph).run if planned is None else planned

    def of(self, body: Graph, carries: int, scanned: int, test: Graph | None = None) -> Loop | None:
        """The loop of a body with so many carries and scanned arrays, its condition `test`; None: step by step."""
        return None if self.maker is None else self.maker(body, carries, scanned, test)


LOOPS = Loops()


def compiled(graph: Graph) -> Compiled:
    """The graph made ready, once for as long as it lives."""
    found: Compiled | None = vars(graph).get("_compiled")
    if found is None:
        found = vars(graph)["_compiled"] = Compiled(graph)
    return found


def _function(op: Op, params: Params, avals: Sequence[Any]) -> tuple[int, Callable[..., Any]]:
    """What a node is called as, and what is called."""
    if op is ITEM:
        return UNARY, itemgetter(params[0][1])
    if op.subgraphs:
        given = dict(params)
        return INNER, lambda b, *arrays: op.evaluate_in(b, *arrays, **given)
    return {1: UNARY, 2: BINARY}.get(len(avals), OTHER), op.calculation(avals, params)
