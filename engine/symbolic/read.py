"""A typed graph read as expressions: core ops back to public ones, and arithmetic to its normal form.

A node of the graph that holds the value of one of the user's nodes is read as what the user wrote where that says more
(`softmax(x)`, `mean(x)`), everything else by the rules of `RULES`, `tensors` and `spelling`.

The expression of a node may have fewer axes than the node: it broadcasts to its shape, as operands do in text. Where an op
looks at the shape itself, `Reader.whole` stretches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.aval import Array, Aval, Shape
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node, single
from engine.op import InputRef
from engine.program import INPUT as STEP_INPUT
from engine.program import ITEM as STEP_ITEM
from engine.program import Literal, Program
from engine.symbolic.choices import choice
from engine.symbolic.expressions import Algebra, Expr
from engine.symbolic.functions import elementwise, shape_of, stretched
from engine.symbolic.orders import Derived

Rule: TypeAlias = Callable[["Reader", Node], "Expr | None"]
"""Reads a node, its operands being read already; None if it does not apply."""

AS_WRITTEN = frozenset({"reduction", "linalg", "nn", "special", "indexing"})
"""Families of ops whose composites are better read as the user wrote them than as what they consist of."""


MOST_KNOWN = 4096
"""Elements of the largest array of integers that is computed."""
NO_TEXT = frozenset({"setitem", "cho_factor"})
"""Ops that text says in another way."""


class Unspelled(Exception):
    """A core op that no public ops say."""

    def __init__(self, op: str) -> None:
        super().__init__(op)
        self.op = op


class Reader:
    """Reads the nodes of a graph, in order."""

    def __init__(
        self,
        derived: Derived,
        program: Program,
        rules: Mapping[str, Sequence[Rule]],
        step: Callable[[], None] | None = None,
    ) -> None:
        self.step = step
        self.graph: Graph = derived.graph
        self.dtype = derived.dtype
        self.rules = rules
        self.alg = Algebra(derived.dtype)
        self.program = program
        self.ids = derived.steps
        self.inputs = derived.inputs
        self.place: dict[str, int] = {}
        """The node of each of the user's nodes that is there."""
        for i, name in derived.steps.items():
            self.place.setdefault(name, i)
        self.read: list[Expr | None] = [None] * len(self.graph.nodes)
        self.names: dict[Expr, str] = {}
        """Expressions that are values of the user's nodes."""
        self.node: int = 0
        """The node that is being read."""
        self.undefined = frozenset(
            n.inputs[0]
            for n in self.graph.nodes
            if n.op.name == "where" and _no_number(self.graph, n.inputs[1])
        )
        """Conditions where something is NaN by its definition."""

    def outputs(self) -> list[Expr]:
        """The expressions of the graph's outputs, of their whole shapes. Raises `Unspelled`."""
        nodes = self.graph.nodes
        uses = [0] * len(nodes)
        for i, _ in self.graph.schedule:
            for j in nodes[i].inputs:
                uses[j] += 1
        for k, i in enumerate(self.graph.inputs):
            aval = single(nodes[i].aval)
            self.read[i] = self.alg.input(self.inputs[k], aval.shape, aval.dtype)
        for i, _ in self.graph.schedule:
            self.node = i
            if self.step is not None:
                self.step()
            e = self._read(i, nodes[i])
            self.read[i] = e
            if e is None:
                continue
            if uses[i] > 1:
                self.alg.shared.add(e)
            name = self.ids.get(i)
            if name is not None and self.named(name) and e.kind != "input" and not e.is_number:
                self.names.setdefault(e, name)
        return [self.whole(o) for o in self.graph.outputs]

    def _read(self, i: int, node: Node) -> Expr | None:
        if node.op is INPUT:
            return self.read[i]
        if node.op is CONSTANT:
            return self.constant(node.params[0][1].value)
        written = self._as_written(i)
        if written is not None:
            return written
        known = self._known(node)
        if known is not None:
            return known
        for rule in self.rules.get(node.op.name, ()):
            found = rule(self, node)
            if found is not None:
                return found
        if not isinstance(node.aval, Aval):
            return None  # its items are read
        if node.op.elementwise and not node.op.internal and not (node.params and node.op.name != "multiply"):
            return self._elementwise(node)
        raise Unspelled(node.op.name)

    def _known(self, node: Node) -> Expr | None:
        """A node of constants alone, computed: of integers or booleans, or an elementwise one of arrays of floats."""
        aval = node.aval
        if not isinstance(aval, Aval) or aval.size > MOST_KNOWN or node.op.subgraphs or not node.inputs:
            return None
        if aval.floating and not (node.op.elementwise and aval.shape):
            return None
        arrays = []
        for j in node.inputs:
            e = self.read[j]
            if e is None or not _is_array(e):
                return None
            own = self.aval(j)
            known: Array = e.data if e.kind == "array" else np.asarray(e.number)
            arrays.append(np.broadcast_to(known.astype(own.dtype), own.shape))
        with np.errstate(all="ignore"):
            result = np.asarray(node.op.evaluate(*arrays, **dict(node.params)))
        return self.constant(result) if aval.floating else self.alg.array(result)

    def constant(self, value: Any) -> Expr:
        """A constant; an array of equal floats is a number, since that broadcasts; multiples of the identity are such."""
        array = np.asarray(value)
        if array.dtype.kind == "f" and array.ndim == 2 and array.shape[0] == array.shape[1] > 1:
            first = float(array[0, 0])
            if first and np.array_equal(array, first * np.eye(len(array))):
                eye = self.alg.call("eye", (), array.shape, None, (("n", len(array)),))
                return self.alg.scaled(first, eye)
        if array.dtype.kind == "f" and array.size and bool((array == array.flat[0]).all()):
            return self.alg.number(float(array.flat[0]) + 0.0)
        return self.alg.array(array)

    def _elementwise(self, node: Node) -> Expr:
        aval = single(node.aval)
        operands = [self.of(j) for j in node.inputs]
        if node.params and any(e.is_number and not math.isfinite(e.number) for e in operands):
            # A product with what is infinite or no number, and 0 where the other factor is.
            x, y = operands if not operands[0].is_number else operands[::-1]
            zero = self.alg.call("equal", (x, self.alg.zero), x.shape, "bool")
            return self.alg.call("where", (zero, self.alg.zero, self.alg.multiply(x, y)), x.shape)
        if node.op.name == "multiply" and node.params and aval.floating:
            for k in dict(node.params)["strong"]:
                chosen = self._inside_choice(operands[k], operands[1 - k])
                if chosen is not None:
                    return chosen
        if aval.floating and all(single(self.graph.nodes[j].aval).floating for j in node.inputs):
            return elementwise(self.alg, node.op.name, operands)
        return self.alg.call(node.op.name, operands, shape_of(operands), aval.dtype)

    def _inside_choice(self, x: Expr, y: Expr) -> Expr | None:
        """where(m, u, 0)·y as where(m, u·y, 0): y need not be a number where the mask does not hold."""
        alg = self.alg
        c, inner = alg.split(x)
        if inner.op != "where" or alg.zero not in inner.operands[1:] or y.is_number:
            return None
        mask, p, q = inner.operands
        assert mask is not None
        assert p is not None
        assert q is not None
        parts = [e if e is alg.zero else alg.multiply(e, y) for e in (p, q)]
        made = alg.call("where", (mask, *parts), shape_of((mask, *parts)))
        return alg.scaled(c, made)

    def _as_written(self, i: int) -> Expr | None:
        """The user's own node, if that is to be read as it was written and its operands are there."""
        name = self.ids.get(i)
        at = self.program.index.get(name) if name is not None else None
        if at is None:
            return None
        step = self.program.steps[at]
        index = None
        if step.op is STEP_ITEM:
            source = step.operands[0]
            if not isinstance(source, int):
                return None
            index = int(step.attrs.get("index", 0))
            step = self.program.steps[source]
        elif step.op.multiple:
            return None
        if (
            step.op.name in NO_TEXT
            or step.op.family not in AS_WRITTEN
            or not (step.op.composite or index is not None)
        ):
            return None
        if any(isinstance(v, Program | InputRef) for v in step.attrs.values()):
            return None
        operands: list[Expr | None] = []
        for a in step.operands:
            if a is None:
                operands.append(None)
            elif isinstance(a, Literal):
                operands.append(self.alg.array(a.value) if a.value.ndim or not a.weak else self.literal(a))
            else:
                there = self.place.get(self.program.steps[a].id)
                if self.program.steps[a].op is STEP_INPUT:
                    there = self.graph.inputs[self.inputs.index(self.program.steps[a].id)]
                if there is None or there >= i or self.read[there] is None:
                    return None
                operands.append(self.whole(there))
        try:
            attrs = tuple(sorted(step.attrs.items()))
            hash(attrs)
        except TypeError:
            return None
        aval = single(self.graph.nodes[i].aval)
        return self.alg.call(step.op.name, operands, aval.shape, aval.dtype, attrs, index)

    def literal(self, a: Literal) -> Expr:
        """A plain number among operands."""
        return self.alg.number(float(a.value)) if a.value.dtype.kind == "f" else self.alg.array(a.value)

    def named(self, name: str) -> bool:
        """Whether the user gave a node its id."""
        at = self.program.index.get(name)
        return at is not None and self.program.steps[at].named

    # -- what rules ask

    def of(self, i: int) -> Expr:
        """The expression of a node, which broadcasts to its shape."""
        e = self.read[i]
        if e is None:
            raise Unspelled(self.graph.nodes[i].op.name)
        return e

    def aval(self, i: int) -> Aval:
        """Shape and dtype of a node."""
        return single(self.graph.nodes[i].aval)

    def whole(self, i: int) -> Expr:
        """The expression of a node, of its whole shape."""
        return self.stretched(self.of(i), self.aval(i).shape)

    def stretched(self, e: Expr, shape: Shape) -> Expr:
        """An expression that broadcasts to `shape`, of that shape."""
        return stretched(self.alg, e, shape)


def _no_number(graph: Graph, i: int) -> bool:
    node = graph.nodes[i]
    return node.op is CONSTANT and bool(np.isnan(np.asarray(node.params[0][1].value, float)).all())


def _is_array(e: Expr | None) -> bool:
    return e is not None and (e.kind == "array" or e.is_number)


def same(reader: Reader, node: Node) -> Expr:
    """Ops that leave the numbers as they are, and stretch them at most."""
    return reader.of(node.inputs[0])


def cast(reader: Reader, node: Node) -> Expr:
    """Another dtype: integers and booleans as numbers."""
    e, dtype = reader.of(node.inputs[0]), single(node.aval).dtype
    if e.dtype == dtype:
        return e
    if e.kind == "array" and dtype == reader.dtype:
        return reader.constant(e.data.astype(dtype))
    return reader.alg.call("astype", (e,), e.shape, dtype, (("dtype", dtype),))


def wrap_index(reader: Reader, node: Node) -> Expr:
    """An index that may be negative; ops that take indices know that themselves."""
    alg, i = reader.alg, reader.node
    e = reader.of(node.inputs[0])
    takes = ("gather", "scatter_add", "scatter_set", "scatter_max", "scatter_min")
    if all(n.op.name in takes for n in reader.graph.nodes if i in n.inputs) or e.kind == "array":
        return e
    n = alg.array(np.asarray(dict(node.params)["n"]))
    negative = alg.call("less", (e, alg.array(np.asarray(0))), e.shape, "bool")
    return alg.call("where", (negative, alg.call("add", (e, n), e.shape, "int64"), e), e.shape, "int64")


def pow_by(reader: Reader, node: Node) -> Expr:
    """A power by a fixed exponent."""
    return reader.alg.power(reader.of(node.inputs[0]), dict(node.params)["exponent"])


def where(reader: Reader, node: Node) -> Expr | None:
    """A choice between equals is none; the number in front of it comes out. Conditions that something is infinite, or that the
    original is no number there, are taken not to hold."""
    mask, p, q = (reader.of(j) for j in node.inputs)
    if p is q:
        return p
    if not single(node.aval).floating:
        return None
    if _infinite(mask) or (node.inputs[0] in reader.undefined and not _nan(p)):
        return q
    return choice(reader.alg, mask, p, q)


def _infinite(mask: Expr) -> bool:
    """Whether a condition says that something is infinite."""
    return (
        mask.kind == "call"
        and mask.op == "equal"
        and any(e is not None and e.is_number and math.isinf(e.number) for e in mask.operands)
    )


def _nan(e: Expr) -> bool:
    return e.is_number and math.isnan(e.number)


def items(reader: Reader, node: Node) -> Expr | None:
    """A result of an op that has several, by the rule of that op."""
    owner = reader.graph.nodes[node.inputs[0]]
    for rule in reader.rules.get(f"{owner.op.name} item", ()):
        found = rule(reader, node)
        if found is not None:
            return found
    raise Unspelled(owner.op.name)


BASIC: dict[str, tuple[Rule, ...]] = {
    "broadcast_to": (same,),
    "identity": (same,),
    "held": (same,),
    "in_order": (same,),
    "between": (same,),
    "wrap_index": (wrap_index,),
    "stop_gradient": (same,),
    "cast": (cast,),
    "pow_by": (pow_by,),
    "where": (where,),
    ITEM.name: (items,),
}
"""Rules of ops that are no arrays' business."""
