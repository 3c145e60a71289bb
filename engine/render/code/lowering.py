"""From a graph to statements: values, loops over arrays, and the walk over the nodes.

A scalar node is one statement. An array node is either *settled*, in an array of its own (or a view of one: a slice, a
transposition, a broadcast), or *pending*: an elementwise result that one later node reads once, so that it is computed in
that node's loop and never stored. What is pending is computed where it is read; nothing that is stored ever changes, but
the state of a loop, which is read within the loop's body only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from engine.graph import CONSTANT, ITEM, Graph, Node, single
from engine.render.code.statements import (
    Array,
    Assign,
    Binary,
    Elem,
    Expr,
    For,
    If,
    Let,
    Local,
    Num,
    Stmt,
    Table,
    Type,
    Var,
    add,
    converted,
    integer,
)
from engine.render.code.values import (
    DEPTH,
    HANDLERS,
    READS_ONCE,
    Index,
    Names,
    Tensor,
    Value,
    filled,
    literal,
    ravel,
    scalar,
    stored,
    type_of,
)


class Lowering:
    """Writes statements; the handlers of ops get it."""

    def __init__(self, names: Names, step: Callable[[], None] | None = None) -> None:
        self.names = names
        self.step = step
        self.top: list[Stmt] = []
        self.block = self.top
        self.memos: list[dict[Any, Expr]] = [{}]
        self.tables: dict[Any, Tensor] = {}
        self.constants: set[str] = set()
        self.prefix = ""
        self.limited = False
        """Whether a loop is in it that can be walked back for a limited number of steps only."""
        self.checked = False
        """Whether an index is in it that may be out of range."""
        self.refusing = False
        """Whether something is in it that the service may refuse when it meets the numbers."""
        self.target: Array | None = None
        """Where the node that is being written is to lie, if it is stored."""

    # -- statements

    def put(self, statement: Stmt) -> None:
        """Append a statement."""
        self.block.append(statement)

    def let(self, value: Expr, base: str = "t", *, mutable: bool = False) -> Var:
        """A new local."""
        var = Var(self.names.fresh(base, number=base in ("t", "s")), value.type)
        self.put(Let(var, value, mutable))
        return var

    def named(self, value: Expr, base: str = "t") -> Expr:
        """The value as something that can be read again and again: itself, or a local."""
        return value if isinstance(value, Var | Num) else self.let(value, base)

    def room(self, kind: Type, size: int, base: str = "a") -> Array:
        """A new array, of which all calls have one of their own. It stands outside all loops."""
        array = Array(self.names.fresh(base, number=base == "a"), kind, size)
        self.top.append(Local(array))
        return array

    def own(self, kind: Type, size: int, base: str = "a") -> Array:
        """The array where the node that is being written belongs, else a new one."""
        target, self.target = self.target, None
        if target is not None and target.type == kind and target.size == size:
            return target
        return self.room(kind, size, base)

    def table(self, values: Sequence[float], kind: Type) -> Array:
        """A constant array."""
        key = (kind, tuple(repr(v) for v in values))
        found = self.tables.get(key)
        if found is None:
            array = Array(self.names.fresh(f"{self.prefix}table", number=True), kind, len(values))
            self.top.append(Table(array, tuple(values)))
            self.constants.add(array.name)
            found = self.tables[key] = stored(array, (len(values),))
        assert found.buffer is not None
        return found.buffer

    @contextmanager
    def inside(self, body: list[Stmt]) -> Iterator[None]:
        """Statements go to `body`."""
        outer, self.block = self.block, body
        self.memos.append({})
        try:
            yield
        finally:
            self.block = outer
            self.memos.pop()

    @contextmanager
    def loop(
        self, start: Expr | int, stop: Expr | int, base: str = "i", *, down: bool = False
    ) -> Iterator[Expr]:
        """A loop; one of a single step is none."""
        first = integer(start) if isinstance(start, int) else start
        last = integer(stop) if isinstance(stop, int) else stop
        if isinstance(first, Num) and isinstance(last, Num) and last.value - first.value == 1:
            yield first
            return
        if isinstance(first, Num) and isinstance(last, Num) and last.value <= first.value:
            with self.inside([]):  # no step at all
                yield first
            return
        var = Var(self.names.fresh(base, number=True), "int")
        body: list[Stmt] = []
        with self.inside(body):
            yield var
        self.put(For(var, first, last, body, down))

    @contextmanager
    def loops(self, shape: Sequence[int]) -> Iterator[Index]:
        """Nested loops over all indices of a shape."""
        if not shape:
            yield ()
            return
        with self.loop(0, shape[0]) as i, self.loops(shape[1:]) as rest:
            yield (i, *rest)

    @contextmanager
    def when(self, condition: Expr) -> Iterator[None]:
        """A block that is done if the condition holds."""
        body: list[Stmt] = []
        with self.inside(body):
            yield
        self.put(If(condition, body, []))

    def store(self, array: Array, index: Expr, value: Expr) -> None:
        """array[index] = value."""
        self.put(Assign(Elem(array, index), converted(value, array.type)))

    def accumulate(self, array: Array, index: Expr, value: Expr) -> None:
        """array[index] += value."""
        place = Elem(array, index)
        self.put(Assign(place, Binary("+", place, value, array.type)))

    def known(self, key: Any, compute: Callable[[], Expr]) -> Expr:
        """What was computed in a block that is still open, or is computed now."""
        for memo in reversed(self.memos):
            if key in memo:
                found: Expr = memo[key]
                return found
        value = compute()
        self.memos[-1][key] = value
        return value

    # -- arrays

    def fill(self, array: Array, x: Tensor, offset: Expr | int = 0) -> None:
        """Write the entries of x in C order, from `offset` on."""
        start = integer(offset) if isinstance(offset, int) else offset
        if x.size == 0:
            return
        if x.flat is not None:
            with self.loop(0, x.size) as i:
                value = x.flat(i)
                self.store(array, add(start, i), value)
            return
        with self.loops(x.shape) as index:
            value = x.at(index)
            self.store(array, add(start, ravel(x.shape, index)), value)

    def laid(self, x: Tensor, base: str = "a", target: Array | None = None) -> Tensor:
        """x in an array of its own (`target` if it fits), in C order."""
        if x.buffer is not None:
            return x
        if x.shape == ():
            return scalar(self.named(x.expr))
        array = target if target is not None and target.type == x.type else self.room(x.type, x.size, base)
        self.fill(array, x)
        return stored(array, x.shape)

    def settle(self, x: Tensor, base: str = "a") -> Tensor:
        """x in a form that may be read again and again."""
        return x if x.settled else self.laid(x, base)

    def result(self, shape: Sequence[int], kind: Type, base: str = "a") -> tuple[Array, Tensor]:
        """A new array, and the value that will lie in it."""
        array = self.own(kind, prod(shape), base)
        return array, stored(array, shape)

    def reduced(
        self,
        x: Tensor,
        axes: Sequence[int],
        start: Callable[[Index], Expr],
        step: Callable[[Var, Expr, Index], None],
        finish: Callable[[Expr], Expr] = lambda e: e,
        kind: Type | None = None,
        *,
        own: bool = True,
    ) -> Tensor:
        """A reduction over axes (counted from the end): for each of the others an accumulator, and a step for each entry.

        `start` gets the index of the first entry, `step` the accumulator, an entry and its index (or its position, of a
        value that has a flat form). Without `own` the result is a step on the way to the node that is being written.
        """
        gone = {a + x.rank for a in axes}
        kept = [k for k in range(x.rank) if k not in gone]
        shape = tuple(x.shape[k] for k in kept)

        def accumulate(outer: Index) -> Var:
            place: dict[int, Expr] = dict(zip(kept, outer, strict=True))
            first = tuple(place.get(k, integer(0)) for k in range(x.rank))
            total = self.let(start(first), "s", mutable=True)
            if x.size == 0:
                return total
            if not kept and x.flat is not None and len(x.shape) > 0:
                with self.loop(0, x.size) as i:
                    step(total, x.flat(i), (i,))
                return total
            with self.loops([x.shape[k] for k in sorted(gone)]) as inner:
                place |= zip(sorted(gone), inner, strict=True)
                index = tuple(place[k] for k in range(x.rank))
                step(total, x.at(index), index)
            return total

        if not kept:
            return scalar(finish(accumulate(())))
        if own:
            array, value = self.result(shape, kind or x.type)
        else:
            array = self.room(kind or x.type, prod(shape))
            value = stored(array, shape)
        if value.size:
            with self.loops(shape) as outer:
                self.store(array, ravel(shape, outer), finish(accumulate(outer)))
        return value

    # -- graphs

    def graph(
        self,
        graph: Graph,
        arguments: Sequence[Tensor],
        bases: Mapping[int, str] | None = None,
        targets: Mapping[int, Array] | None = None,
        *,
        settle: bool = False,
    ) -> list[Tensor]:
        """Write a graph over arguments; the values of its outputs, some of which may be pending unless `settle`.

        `bases` are names for nodes; `targets` are arrays for nodes to lie in.
        """
        bases, targets = bases or {}, targets or {}
        values: dict[int, Value] = dict(zip(graph.inputs, arguments, strict=True))
        uses = _uses(graph)
        for i, _ in graph.schedule:
            if self.step is not None:
                self.step()
            node = graph.nodes[i]
            if node.op is CONSTANT:
                values[i] = self.constant(node)
                continue
            if node.op is ITEM:
                values[i] = values[node.inputs[0]][dict(node.params)["index"]]  # type: ignore[index]  # of several
                continue
            self.target = targets.get(i)
            got = HANDLERS[node.op.name](self, node, [values[j] for j in node.inputs], dict(node.params))
            if isinstance(got, Tensor):
                got = self.kept(graph, node, got, uses[i], bases.get(i, ""), targets.get(i))
            self.target = None
            values[i] = got
        found: list[Tensor] = [values[o] for o in graph.outputs]  # type: ignore[misc]  # outputs are single
        return [self.settle(x) for x in found] if settle else found

    def kept(
        self, graph: Graph, node: Node, x: Tensor, users: set[int], base: str, target: Array | None
    ) -> Tensor:
        """The value as later nodes get it: a local, an array, or pending."""
        if x.shape == ():
            e = x.expr
            return scalar(
                e if isinstance(e, Num) else self.let(e, base or "t") if not isinstance(e, Var) else e
            )
        if x.settled:
            return x
        one = len(users) == 1 and all(u >= 0 and graph.nodes[u].op.name in READS_ONCE for u in users)
        if one and x.depth < DEPTH:
            return x
        return self.laid(x, base or "a", target)

    def constant(self, node: Node) -> Tensor:
        """A literal, or a table."""
        value = dict(node.params)["value"].value
        kind = type_of(single(node.aval).dtype)
        if value.size and (value.size == 1 or len({repr(v) for v in value.ravel().tolist()}) == 1):
            return filled(value.shape, literal(value.flat[0], kind))
        if not value.size:
            return filled(value.shape, literal(0, kind))
        flat = [float(v) if kind == "float" else int(v) for v in value.ravel().tolist()]
        return stored(self.table(flat, kind), value.shape)


def _uses(graph: Graph) -> dict[int, set[int]]:
    """For each node the nodes that read it; −1 for an output."""
    users: dict[int, set[int]] = {i: set() for i in range(len(graph.nodes))}
    for i, _ in graph.schedule:
        for j in graph.nodes[i].inputs:
            users[j].add(i)
    for o in graph.outputs:
        users[o].add(-1)
    return users
