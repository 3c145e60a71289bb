"""Graphs with mpmath's numbers, node by node: once at a point, then again at others that differ in one input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.compare.precise.arrays import ARRAYS
from engine.compare.precise.changes import DELTAS, Before, any_changed
from engine.compare.precise.functions import ARITHMETIC, ELEMENTARY
from engine.compare.precise.linear import LINEAR
from engine.compare.precise.nested import NESTED
from engine.compare.precise.numbers import Arithmetic, Unavailable
from engine.compare.precise.special import SLOW, SPECIAL
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node
from engine.op import Op

COSTS = {
    **dict.fromkeys(ARITHMETIC, 3.0),
    **dict.fromkeys(ELEMENTARY, 15.0),
    **dict.fromkeys(SPECIAL, 150.0),
    **dict.fromkeys(SLOW, 10_000.0),
}
"""Microseconds an entry, roughly."""

FUNCTIONS = {**ARITHMETIC, **ELEMENTARY, **SPECIAL}
HANDLERS: Mapping[str, Callable[..., Any]] = {**ARRAYS, **LINEAR}

HELD = frozenset({"stop_gradient", "held"})
"""Ops whose result does not move when it is differentiated: at other points it is what it was at the first one."""


class Evaluator:
    """One graph in one arithmetic. `name` tells what a node of it is called, for reasons why there is no value.

    Entries of floating nodes are mpmath's numbers in arrays of objects; all other nodes are NumPy arrays.
    """

    def __init__(self, graph: Graph, arithmetic: Arithmetic, name: Callable[[int], str] = str) -> None:
        self.graph = graph
        self.ar = arithmetic
        self.name = name
        self._base: list[Any] = []
        self._constants: dict[int, Array] = {}
        self._readers: list[list[int]] = []
        """For each node those that are computed from it."""
        self._held: dict[tuple[int, int], Any] = {}
        self._at = (0, 0)
        self._first = True

    def first(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs at a point: arrays of doubles, integers and booleans. Raises `Unavailable` naming the node."""
        self._first = True
        base: list[Any] = [None] * len(self.graph.nodes)
        for i, value in zip(self.graph.inputs, arguments, strict=True):
            base[i] = self._argument(value)
        for i, _ in self.graph.schedule:
            base[i] = self._top(i, [base[j] for j in self.graph.nodes[i].inputs], None)
        self._base = base
        return [base[o] for o in self.graph.outputs]

    def again(self, changes: Mapping[int, Array]) -> list[Any]:
        """The outputs with other values (of this arithmetic) of some inputs, by position among them."""
        self._first = False
        base, nodes = self._base, self.graph.nodes
        values: dict[int, Any] = {self.graph.inputs[k]: v for k, v in changes.items()}
        for i in self._dependents(values):
            inputs = nodes[i].inputs
            operands = [values[j] if j in values else base[j] for j in inputs]
            values[i] = self._top(i, operands, Before([base[j] for j in inputs], base[i]))
        return [values[o] if o in values else base[o] for o in self.graph.outputs]

    def _dependents(self, inputs: Iterable[int]) -> list[int]:
        """What is computed from some inputs, in order."""
        if not self._readers:
            self._readers = [[] for _ in self.graph.nodes]
            for i, _ in self.graph.schedule:
                for j in set(self.graph.nodes[i].inputs):
                    self._readers[j].append(i)
        found: set[int] = set()
        todo = list(inputs)
        while todo:
            for i in self._readers[todo.pop()]:
                if i not in found:
                    found.add(i)
                    todo.append(i)
        self.ar.charge(2.0 * len(found))
        return sorted(found)

    def _top(self, i: int, operands: list[Any], before: Before | None) -> Any:
        """The value of a node of the graph itself."""
        node = self.graph.nodes[i]
        self._at = (i, 0)
        try:
            return self.node(node, operands, before)
        except Unavailable as error:
            if " of the node " not in error.reason:
                name = node.op.name.removeprefix("core.")
                error.reason = f"{error.reason} ({name} of the node {self.name(i)!r})"
            raise

    def argument(self, k: int) -> Array:
        """Input number k at the first point; its entries are known by identity when they come again."""
        return np.asarray(self._base[self.graph.inputs[k]])

    def _argument(self, array: Any) -> Any:
        given = np.asarray(array)
        if given.dtype.kind != "f":
            return given
        self.ar.charge(0.7 * given.size)
        return self.ar.exact(given)

    def run(self, graph: Graph, arguments: Sequence[Any]) -> list[Any]:
        """The outputs of a body."""
        values: list[Any] = [None] * len(graph.nodes)
        for i, value in zip(graph.inputs, arguments, strict=True):
            values[i] = value
        for i, dying in graph.schedule:
            node = graph.nodes[i]
            values[i] = self.node(node, [values[j] for j in node.inputs])
            for j in dying:
                values[j] = None
        return [values[o] for o in graph.outputs]

    def node(self, node: Node, operands: list[Any], before: Before | None = None) -> Any:
        """The value of a node (a tuple for several results); `before` it had another at the first point."""
        op, params = node.op, dict(node.params)
        if op is CONSTANT:
            return self._constant(params["value"])
        assert op is not INPUT
        if op is ITEM:
            return operands[0][params["index"]]
        self.ar.charge(0.3)
        nested = NESTED.get(op.name)
        if nested is not None:
            return nested(self, op, params, *operands)
        if op.name == "cast":
            return self._cast(operands[0], params["dtype"])
        if all(not _numbers(v) for v in operands) and not _floating(node):
            found = op.evaluate(*operands, **params)
            return found if isinstance(found, tuple) else np.asarray(found)
        if op.name in HELD:
            return self._holding(op, operands)
        if before is not None and op.name in DELTAS and self._calm(before):
            found = DELTAS[op.name](self.ar, params, before, *map(np.asarray, operands))
            if found is not None:
                return found
        handler = HANDLERS.get(op.name)
        if handler is not None:
            found = handler(self.ar, op, params, *map(np.asarray, operands))
            return found if isinstance(found, tuple) else np.asarray(found)
        return self._elementwise(op, params, operands, node, before)

    def _calm(self, before: Before) -> bool:
        """Whether a sum was finite: then it can be brought up to date."""
        return all(self.ar.c.isfinite(v) for v in np.asarray(before.result).reshape(-1).tolist())

    def _elementwise(
        self, op: Op, params: Mapping[str, Any], operands: list[Any], node: Node, before: Before | None
    ) -> Any:
        fn = FUNCTIONS.get(op.name)
        if fn is None:
            raise Unavailable("the op has no high-precision counterpart")
        assert isinstance(node.aval, Aval)
        shape = node.aval.shape
        if not shape:
            self.ar.charge(COSTS[op.name] + 2.0)
            entries = tuple(v.item() if isinstance(v, np.ndarray) else v for v in operands)
            out = np.empty((), bool if node.aval.dtype == "bool" else object)
            out[()] = self.ar.one_value(fn, op, params, entries)
            return out
        if before is not None:
            mask = any_changed(operands, before, shape)
            self.ar.charge(COSTS[op.name] * mask.sum() + 0.1 * mask.size)
            result = np.array(before.result)
            if mask.any():
                parts = [np.broadcast_to(np.asarray(v), shape)[mask] for v in operands]
                result[mask] = self.ar.apply(fn, op, params, *parts)
            return result
        self.ar.charge(COSTS[op.name] * node.aval.size)
        found = self.ar.apply(fn, op, params, *operands)
        if not found.size:
            return np.zeros(node.aval.shape, bool if node.aval.dtype == "bool" else object)
        return np.broadcast_to(found, node.aval.shape)

    def _constant(self, constant: Any) -> Any:
        value = constant.value
        if value.dtype.kind != "f":
            return value
        found = self._constants.get(id(constant))
        if found is None:
            found = self._constants[id(constant)] = self.ar.exact(value)
        return found

    def _cast(self, x: Any, dtype: str) -> Any:
        given = np.asarray(x)
        if dtype.startswith("float"):
            return given if _numbers(given) else self.ar.exact(given.astype(np.int64))
        if not _numbers(given):
            return given.astype(dtype)
        if dtype == "bool":
            return np.array([v != 0 for v in given.reshape(-1)], bool).reshape(given.shape)
        with np.errstate(all="ignore"):
            return self.ar.rounded(given).astype(np.int64)

    def _holding(self, op: Op, operands: list[Any]) -> Any:
        """The operand at the first point, held there; `held` holds it where its mask is."""
        x = operands[0]
        at = self._at
        self._at = (at[0], at[1] + 1)
        if self._first:
            self._held[at] = x
            return x
        before = self._held.get(at, x)
        return before if len(operands) == 1 else np.where(np.asarray(operands[1]), before, x)


def _numbers(value: Any) -> bool:
    """Whether a value is made of mpmath's numbers."""
    if isinstance(value, tuple):
        return any(_numbers(v) for v in value)
    return bool(np.asarray(value).dtype == object)


def _floating(node: Node) -> bool:
    avals = (node.aval,) if isinstance(node.aval, Aval) else node.aval
    return any(a.floating for a in avals)
