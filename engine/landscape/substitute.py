"""Scalars in the places of entries of arrays, without a copy of the array for each value that they take.

A weight matrix of 10⁵ entries of which one varies is not 10⁵ numbers at each of 40,000 points. It is written as what it is:
an array with scalars at some places (`Patched`), of which entries of functions are functions of entries; and for what is
linear, as W = W₀ + Σ sₖ Eₖ with the places of W₀ empty and Eₖ 1 at one of them (`Spread`), so that x W is x W₀ + Σ sₖ x Eₖ,
of which only the scalars vary. (Nothing is subtracted, so nothing cancels.) What is neither takes the whole array.

Infinities and NaN are spread by 0·∞, so that where a result is not finite the whole arrays have to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval
from engine.builder import GraphBuilder, Var
from engine.cost import Limits
from engine.execute.meter import Meter
from engine.graph import CONSTANT, Graph, Node, single
from engine.landscape.axes import Placed
from engine.op import Linear, Zero
from engine.ops.index.assign import scattered
from engine.ops.index.gather import reshaped
from engine.ops.layout.shape import joined
from engine.specialize import Typed

SMALL = 64
"""Arrays of up to so many entries are as well taken whole."""


class Patched(NamedTuple):
    """The array `base`, but at `places` (of the flattened array) the `scalars`. What `base` has there does not matter."""

    base: int
    places: tuple[int, ...]
    scalars: tuple[int, ...]


class Spread(NamedTuple):
    """The array base + Σ scalar·part, over the terms (scalar, part)."""

    base: int
    terms: tuple[tuple[int, int], ...]


def substituted(
    typed: Typed, of: int, axes: Sequence[Placed], limits: Limits, meter: Meter, *, whole: bool
) -> tuple[Graph, list[int]]:
    """The program's graph with new scalar inputs behind its own, which stand in the places of the axes; with `whole`, in whole
    arrays. The nodes of the new inputs as well."""
    b = GraphBuilder(typed.dtype, max_elements=limits.elements, step=meter.check)
    refs: list[Any] = [b.input(aval) for aval in typed.graph.in_avals]
    variables = [b.input(Aval((), typed.dtype)) for _ in axes]
    for position in dict.fromkeys(p.position for p in axes):
        own = [(v, p.flat) for v, p in zip(variables, axes, strict=True) if p.position == position]
        if single(b.aval(refs[position])).shape:
            refs[position] = Patched(refs[position], tuple(k for _, k in own), tuple(v for v, _ in own))
        else:
            refs[position] = own[0][0]
    walk = _Walk(b, whole)
    graph = typed.graph.with_outputs([typed.node(of)])
    place = dict(zip(graph.inputs, refs, strict=True))
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if node.op is CONSTANT:
            place[i] = b.constant(node.params[0][1].value)
        elif i not in place:
            place[i] = walk.applied(node, [place[j] for j in node.inputs])
    return b.build([walk.array(place[graph.outputs[0]])]), variables


def worth_it(typed: Typed, axes: Sequence[Placed]) -> bool:
    """Whether an axis is an entry of an array that is better not copied."""
    return any(typed.aval(p.step).size > SMALL for p in axes)


class _Walk:
    """Ops on references, of which some stand for more than one node."""

    def __init__(self, b: GraphBuilder, whole: bool) -> None:
        self.b = b
        self.whole = whole

    def applied(self, node: Node, operands: list[Any]) -> Any:
        """The op on operands."""
        special = [k for k, o in enumerate(operands) if not isinstance(o, int)]
        found = None
        if special and not self.whole and isinstance(node.aval, Aval) and not node.op.subgraphs:
            found = self._entries(node, operands, special) or self._linear(node, operands, special)
        return found if found is not None else self._emit(node, [self.array(o) for o in operands])

    def array(self, ref: Any) -> int:
        """The whole array that a reference stands for."""
        b = self.b
        if isinstance(ref, int):
            return ref
        if isinstance(ref, Patched):
            new = joined([reshaped(Var(b, s), (1,)) for s in ref.scalars], -1)
            return self._written(ref.base, ref.places, new)
        total: int = ref.base
        for scalar, part in ref.terms:
            shape = single(b.aval(part)).shape
            factor = b.core("broadcast_to", scalar, shape=shape) if shape else scalar
            total = b.core("add", total, b.core("multiply", factor, part))
        return total

    def _emit(self, node: Node, refs: Sequence[int]) -> int:
        """The op on whole arrays, with the aval it had."""
        self.b.nodes.append(Node(node.op, tuple(refs), node.params, node.aval))
        return len(self.b.nodes) - 1

    def _entries(self, node: Node, operands: list[Any], special: list[int]) -> Patched | None:
        """An elementwise op of arrays whose scalars are all at the same places."""
        first = operands[special[0]]
        if not node.op.elementwise or not isinstance(first, Patched):
            return None
        shape = single(self.b.aval(first.base)).shape
        for o in operands:
            if isinstance(o, Spread) or (isinstance(o, Patched) and o.places != first.places):
                return None
            if single(self.b.aval(o.base if isinstance(o, Patched) else o)).shape not in (shape, ()):
                return None
        base = self._emit(node, [o.base if isinstance(o, Patched) else o for o in operands])
        scalars = [
            self.b.emit(node.op, [self._entry(o, k, at) for o in operands], node.params)
            for k, at in enumerate(first.places)
        ]
        return Patched(base, first.places, tuple(scalars))

    def _entry(self, ref: Any, k: int, at: int) -> int:
        """What stands at place `at`, the k-th of those with a scalar."""
        if isinstance(ref, Patched):
            return ref.scalars[k]
        array = Var(self.b, ref)
        if not array.shape:
            return int(ref)
        index = self.b.var(np.array(at, np.int64), "int64")
        entry: Var = self.b.write("gather", reshaped(array, (array.size,)), index, axis=-1, batch_dims=0)
        return int(entry.ref)

    def _linear(self, node: Node, operands: list[Any], special: list[int]) -> Spread | None:
        """An op that is linear in the one operand that varies, or in several together."""
        rules = [node.op.rule(k) for k in range(len(operands))]
        linear = [rules[k] for k in special]
        if not all(isinstance(r, Linear) for r in linear) or not single(node.aval).floating:
            return None
        joint = len(rules) > 1 and all(
            isinstance(r, Linear | Zero) and getattr(r, "joint", True) for r in rules
        )
        if not joint and len(special) > 1:
            return None
        spread = {k: self._spread(operands[k]) for k in special}
        base = self._emit(node, [spread[k].base if k in spread else o for k, o in enumerate(operands)])
        terms = []
        for k, one in spread.items():
            for scalar, part in one.terms:
                others = [
                    part if m == k else self._zeros(o) if joint and isinstance(rules[m], Linear) else o
                    for m, o in enumerate(operands)
                ]
                terms.append((scalar, self._emit(node, others)))
        return Spread(base, tuple(terms))

    def _zeros(self, ref: Any) -> int:
        aval = single(self.b.aval(ref if isinstance(ref, int) else ref.base))
        return int(self.b.zeros(aval))

    def _spread(self, ref: Patched | Spread) -> Spread:
        if isinstance(ref, Spread):
            return ref
        b = self.b
        aval = single(b.aval(ref.base))
        nothing = Var(b, b.zeros(Aval((len(ref.places),), aval.dtype)))
        one = Var(b, b.ones(Aval((1,), aval.dtype)))
        base = self._written(ref.base, ref.places, nothing)
        units = [self._written(b.zeros(aval), (k,), one) for k in ref.places]
        return Spread(base, tuple(zip(ref.scalars, units, strict=True)))

    def _written(self, array: int, places: Sequence[int], new: Var) -> int:
        at = self.b.var(np.array(places, np.int64), "int64")
        return int(scattered(Var(self.b, array), at, new, "set").ref)


def finite(arrays: Sequence[Array]) -> bool:
    """Whether all floats in them are finite."""
    return all(np.isfinite(a).all() for a in arrays if np.asarray(a).dtype.kind == "f")
