"""A graph as the statements of one function: nodes in order, each a line, or part of the line of its only reader."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from engine.aval import Aval
from engine.errors import Unsupported
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node
from engine.op import registry
from engine.render.code.identifiers import Namespace
from engine.render.code.python.expr import Expr, nested, scalar, uniform, wrapped
from engine.render.code.python.module import Module
from engine.render.code.python.table import WRITERS

LONGEST = 44
"""Characters of an expression that is written into another one."""
DEEPEST = 3
"""Operations in such an expression."""
LONGEST_RESULT = 72
"""Characters of an expression in a return statement."""
SMALL = 8
"""Entries of a constant array that is written where it is used."""

AUTOMATIC = re.compile(r"t\d+\Z")
"""Names that a program's nodes have if nobody named them."""
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_WHOLE = frozenset({"held", "in_order", "between", "identity", "stop_gradient", "positive"})
"""Elementwise ops whose text is their operand's, which must have the shape of the result then."""


@dataclass(slots=True)
class Call:
    """One node while it is written: its operands as expressions, and where to put statements."""

    scope: Scope
    at: int
    node: Node
    operands: tuple[int, ...]
    args: list[Expr]

    @property
    def module(self) -> Module:
        """The module that is written."""
        return self.scope.module

    @property
    def params(self) -> dict[str, Any]:
        """The node's static parameters."""
        return dict(self.node.params)

    @property
    def aval(self) -> Aval:
        """The result, of an op that has one."""
        assert isinstance(self.node.aval, Aval)
        return self.node.aval

    @property
    def avals(self) -> list[Any]:
        """What the expressions in `args` yield."""
        return [self.scope.aval(j) for j in self.operands]

    def bound(self, k: int) -> Expr:
        """Operand k as something that may stand in several places: a name or a number."""
        self.args[k] = self.scope.bound(self.args[k])
        return self.args[k]

    def typed(self, k: int) -> Expr:
        """Operand k with a dtype of its own."""
        return self.args[k].typed

    def operand(self, k: int) -> Node:
        """The node that operand k is."""
        return self.scope.graph.nodes[self.operands[k]]

    def helper(self, name: str, part: str = "arrays") -> str:
        """A function of `helpers/`."""
        return self.module.helper(name, part)

    def results(self) -> list[str]:
        """Names for the results of an op that has several; `_` for those that nobody reads."""
        return self.scope.result_names(self.at)

    def refuse(self, why: str) -> Unsupported:
        """An error that names the user's node."""
        return self.scope.refuse(self.at, why)


class Scope:
    """The function that a graph is.

    `wishes` are names for nodes, `label` is the user's node in whose body this is.
    """

    def __init__(
        self,
        module: Module,
        graph: Graph,
        arguments: Sequence[str],
        space: Namespace,
        wishes: Mapping[int, str],
        *,
        labels: Mapping[int, str] | None = None,
        label: str = "",
        indent: int = 4,
    ) -> None:
        self.module = module
        self.graph = graph
        self.space = space
        self.wishes = wishes
        self.labels = labels or {}
        self.label = label
        self.indent = indent
        self.lines: list[str] = []
        self.exprs: dict[int, Expr] = {}
        self.bound_at: set[int] = set()
        self._counter = 0
        self._wished = frozenset(wishes.values())
        self._ends = frozenset(graph.outputs)
        self._items: dict[int, dict[int, int]] = {}
        self._results: dict[int, list[str]] = {}
        for i, name in zip(graph.inputs, arguments, strict=True):
            self.exprs[i] = Expr(name)
            self.bound_at.add(i)
        self._operands = {i: self._effective(i) for i, _ in graph.schedule}
        self._count()

    # -- what is read

    def _effective(self, i: int) -> tuple[int, ...]:
        """Operands, of elementwise ops those that NumPy stretches by itself before they are stretched."""
        node = self.graph.nodes[i]
        if not node.op.elementwise or len(node.inputs) < 2 or node.op.name in _WHOLE:
            return node.inputs
        sources = [self._unstretched(j) for j in node.inputs]
        if tuple(sources) == node.inputs:
            return node.inputs
        assert isinstance(node.aval, Aval)
        for keep in (None, *range(len(sources))):
            chosen = [node.inputs[k] if k == keep else j for k, j in enumerate(sources)]
            shapes = [tuple(map(int, self.aval(j).shape)) for j in chosen]
            if np.broadcast_shapes(*shapes) == node.aval.shape:
                return tuple(chosen)
        return node.inputs

    def _unstretched(self, j: int) -> int:
        """What a node is stretched from; ~j for a constant j of which all entries are one number."""
        node = self.graph.nodes[j]
        if node.op.name == "broadcast_to":
            return node.inputs[0]
        if node.op is CONSTANT and uniform(dict(node.params)["value"].value) is not None:
            return ~j
        return j

    def aval(self, j: int) -> Any:
        """The aval of an operand: of a node, or (~j) of the number that all entries of a constant are."""
        return self.graph.nodes[j].aval if j >= 0 else Aval((), self.graph.nodes[~j].aval.dtype)  # type: ignore[union-attr]  # a constant is an array

    def _expr(self, j: int) -> Expr:
        if j >= 0:
            return self.exprs.get(j, Expr(""))
        value = dict(self.graph.nodes[~j].params)["value"].value
        return scalar(value.flat[0], str(value.dtype))

    def _count(self) -> None:
        """How often each node is read, by nodes that are needed and by results."""
        self.reads = [0] * len(self.graph.nodes)
        for o in self.graph.outputs:
            self.reads[o] += 1
        for i, _ in reversed(self.graph.schedule):
            if not self.reads[i]:
                continue
            for j in self._operands[i]:
                if j >= 0:
                    self.reads[j] += 1
            node = self.graph.nodes[i]
            if node.op is ITEM:
                self._items.setdefault(node.inputs[0], {})[dict(node.params)["index"]] = i

    # -- statements

    def line(self, text: str) -> None:
        """A statement."""
        self.lines += wrapped(text, self.indent)

    def name(self, wish: str = "") -> str:
        """A free name."""
        if wish:
            return self.space.take(wish)
        while True:
            self._counter += 1
            name = f"t{self._counter}"
            if name not in self.space and name not in self._wished:
                return self.space.take(name)

    def assign(self, expr: Expr, wish: str = "") -> Expr:
        """The value under a name."""
        name = self.name(wish)
        self.line(f"{name} = {expr.text}")
        return Expr(name)

    def bound(self, expr: Expr) -> Expr:
        """A name for the value, unless it is one or a number."""
        if expr.weak or _NAME.match(expr.text):
            return expr
        return self.assign(expr)

    def settle(self, i: int, expr: Expr) -> Expr:
        """The value of node i under its name, for a writer that goes on with it in further statements."""
        self.bound_at.add(i)
        return self.assign(expr, self.wishes.get(i, ""))

    def result_names(self, i: int) -> list[str]:
        """Names for the results of a node that has several."""
        found = self._results.get(i)
        if found is None:
            aval = self.graph.nodes[i].aval
            items = self._items.get(i, {})
            found = ["_"] * (1 if isinstance(aval, Aval) else len(aval))
            for k, item in sorted(items.items()):
                if self.reads[item]:
                    found[k] = self.name(self.wishes.get(item, ""))
            self._results[i] = found
        return found

    # -- nodes

    def refuse(self, i: int, why: str) -> Unsupported:
        """An error that names the user's node, where it is known."""
        label = self.labels.get(i) or self.label
        return Unsupported(why, node=label or None)

    def constant(self, node: Node, *, alone: bool) -> Expr:
        """A constant: a number, a small list, or the name of an array of the module."""
        value = dict(node.params)["value"].value
        if value.ndim == 0:
            return scalar(value[()], str(value.dtype))
        if alone and 0 < value.size <= SMALL and value.ndim == 1 and str(value.dtype) != "float32":
            return Expr(f"np.array({nested(value, str(value.dtype))})", depth=1)
        return Expr(self.module.constant(value))

    def write(self, first: Sequence[int] = ()) -> None:
        """All nodes that are needed; `first` those that the value needs, and a remark before what comes after them."""
        for i in first:
            self._node(i)
        start = len(self.lines)
        done = set(first)
        for i, _ in self.graph.schedule:
            if self.reads[i] and i not in done:
                self._node(i)
        if first and start < len(self.lines):
            self.lines.insert(start, " " * self.indent + "# Derivatives.")

    @cached_property
    def counter(self) -> str:
        """The name that loops here count with."""
        return self.name("k")

    def _node(self, i: int) -> None:
        self.module.step()
        node = self.graph.nodes[i]
        if node.op is CONSTANT:
            self.exprs[i] = self.constant(node, alone=self.reads[i] == 1)
            return
        if node.op is ITEM:
            self.exprs[i] = Expr(self.result_names(node.inputs[0])[dict(node.params)["index"]])
            self.bound_at.add(i)
            return
        operands = self._operands[i]
        call = Call(self, i, node, operands, [self._expr(j) for j in operands])
        writer = WRITERS.get(node.op.name)
        expr = writer(call) if writer is not None else WRITERS[""](call)
        if expr is None:  # an op with several results has put them under their names
            return
        wish = self.wishes.get(i, "")
        named = bool(wish) and not AUTOMATIC.match(wish)
        if i in self.bound_at or expr.weak or (_NAME.match(expr.text) and not named):
            self.exprs[i] = expr
        elif self.reads[i] > 1 or named or not self._fits(i, expr):
            self.exprs[i] = self.assign(expr, wish)
            self.bound_at.add(i)
        else:
            self.exprs[i] = expr

    def _fits(self, i: int, expr: Expr) -> bool:
        """Whether an expression may stand in a line with others."""
        if i in self._ends:
            return len(expr.text) <= LONGEST_RESULT
        return len(expr.text) <= LONGEST and expr.depth <= DEEPEST

    def outputs(self) -> list[Expr]:
        """The graph's results."""
        return [self.exprs[o].typed for o in self.graph.outputs]


def inputs_of(graph: Graph) -> list[bool]:
    """For each input whether it is read."""
    read = {j for i, _ in graph.schedule for j in graph.nodes[i].inputs} | set(graph.outputs)
    return [i in read for i in graph.inputs]


assert INPUT is registry.core("core.input")
