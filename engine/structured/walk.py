"""The walk: a linear graph written once for all unit seeds, node by node by the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType, Shape
from engine.builder import GraphBuilder, Var
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node, single
from engine.sparsity.call import Call, Context, call_of
from engine.sparsity.known import Values
from engine.structured.place import PLACE, place_params
from engine.structured.value import (
    MOST_OUTERS,
    MOST_TERMS,
    Dense,
    Outer,
    Term,
    Terms,
    Value,
    compatible,
    united,
)
from engine.transforms.vmap import Shared, lead, mapped_node

Rule = Callable[["Walk", int], Value]
"""Writes node i, some operands of which depend on a seed; None if it does not apply."""


class Unstructured(Exception):
    """Something else than terms came about."""


class Walk:
    """What is written so far, and what each node of the linear graph holds.

    `count` seeds: the entries of the linear graph's last inputs. `last` says where the axis of seeds is wanted.
    """

    def __init__(self, linear: Graph, fixed: int, last: bool, dtype: DType, **limits: Any) -> None:
        self.graph = linear
        self.nodes = linear.nodes
        self.last = last
        self.b = GraphBuilder(dtype, **limits)
        self.count = sum(a.size for a in linear.in_avals[fixed:])
        self.value: list[Value] = [None] * len(self.nodes)
        self.place: list[Any] = [None] * len(self.nodes)
        """Nodes without seed: where they are. Of those with several results, some of which may have seeds: theirs."""
        self._shared: dict[tuple[int, int], int] = {}
        self._filled: dict[int, int] = {}
        """Arrays that are one constant stretched, and that constant: seeds are, and stay it for a while."""
        self._patterns: list[None] = [None] * len(self.nodes)
        self._known = Values(linear, [None] * len(linear.inputs), dtype)
        step = limits.get("step")
        self._context = Context(self.count, 0, 0, 0, step if step is not None else lambda: None)
        offset = 0
        for k, (i, aval) in enumerate(zip(linear.inputs, linear.in_avals, strict=True)):
            if k < fixed:
                self.place[i] = self.b.input(aval)
                continue
            seeds = np.arange(offset, offset + aval.size).reshape(aval.shape)
            self.value[i] = Terms((Term(self.filled(1.0, aval), seeds),))
            offset += aval.size

    def write(self, rules: Sequence[Rule], *, sparse: bool = False) -> None:
        """Write all nodes that an output needs; where no rule applies, the op is mapped over the seeds.

        Raises `Unstructured` if `sparse` where it is, or where a value is anything but terms.
        """
        for i, _ in self.graph.schedule:
            node = self.nodes[i]
            if node.op is INPUT:
                continue
            if node.op is CONSTANT:
                self.place[i] = self.b.constant(node.params[0][1].value)
            elif node.op is ITEM:
                self._item(i, node)
            elif not any(self.moving(j) for j in node.inputs):
                self.place[i] = self.b.emit(node.op, [self.place[j] for j in node.inputs], node.params)
                if node.op.name == "broadcast_to" and self._constant(self.place[node.inputs[0]]):
                    self._filled[self.place[i]] = self.place[node.inputs[0]]
            else:
                for rule in rules:
                    found = rule(self, i)
                    if found is not None:
                        self.value[i] = found = self.scalar(found, self.aval(i))
                        if sparse and (isinstance(found, Dense) or found.outers):
                            raise Unstructured
                        break
                else:
                    if sparse:
                        raise Unstructured
                    self._map(i, node)

    # -- what rules ask

    def moving(self, j: int) -> bool:
        """Whether node j (or one of its results) depends on a seed."""
        return self.value[j] is not None or isinstance(self.place[j], tuple)

    def live(self, i: int) -> list[int]:
        """Operands of node i that depend on a seed."""
        return [k for k, j in enumerate(self.nodes[i].inputs) if self.value[j] is not None]

    def aval(self, i: int) -> Aval:
        """Aval of node i for one seed."""
        return single(self.nodes[i].aval)

    def call(self, i: int) -> Call:
        """Node i as the structure sees it."""
        return call_of(self.nodes, i, self._patterns, self._known, self._context)

    def zero(self, j: int) -> bool:
        """Whether node j is certainly 0."""
        node = self.nodes[j]
        while node.op.name in ("broadcast_to", "reshape"):
            node = self.nodes[node.inputs[0]]
        return node.op is CONSTANT and not node.params[0][1].value.any()

    # -- what rules write

    def core(self, op: str, *refs: int, **params: Any) -> int:
        """A node of the result."""
        ref: int = self.b.core(op, *refs, **params)
        return ref

    def shape(self, ref: int) -> Shape:
        """Shape of a node of the result."""
        return single(self.b.nodes[ref].aval).shape

    def reshape(self, ref: int, shape: Shape) -> int:
        """The same in another shape."""
        return ref if self.shape(ref) == shape else self.core("reshape", ref, shape=shape)

    def stretched(self, ref: int, shape: Shape) -> int:
        """Broadcast to a shape."""
        return ref if self.shape(ref) == shape else self.core("broadcast_to", ref, shape=shape)

    def full(self, aval: Aval, last: bool) -> Shape:
        """Shape of the array of all seeds."""
        return (*aval.shape, self.count) if last else (self.count, *aval.shape)

    def turned(self, value: Dense, last: bool) -> Dense:
        """With the axis of seeds where it is wanted."""
        if value.last == last:
            return value
        rank = len(self.shape(value.ref))
        axes = (*range(1, rank), 0) if last else (rank - 1, *range(rank - 1))
        return Dense(self.core("permute_dims", value.ref, axes=tuple(a - rank for a in axes)), last)

    def over_seeds(self, ref: int, last: bool, aval: Aval) -> int:
        """A value without seed as an operand beside the array of all seeds of `aval`; a literal stays one."""
        node = self.b.nodes[ref]
        shape = self.shape(ref)
        if shape == () and node.op is CONSTANT and aval.shape:
            return ref
        if last:
            ref = self.reshape(ref, (*shape, 1))
        return self.stretched(ref, self.full(aval, last))

    def scalar(self, value: Terms | Dense, aval: Aval) -> Terms | Dense:
        """An array of all seeds that is one number for each of them as an outer product: whatever uses it is, too."""
        if not isinstance(value, Dense) or aval.size != 1:
            return value
        over = self.reshape(value.ref, (self.count,))
        return Terms((), (Outer(self.filled(1.0, aval), over, np.ones(aval.shape, bool)),))

    def merged(self, parts: Sequence[Term], aval: Aval, outers: Sequence[Outer] = ()) -> Terms | Dense:
        """The sum of terms and outer products: those that go together as one, all written out if there are too many."""
        kept: list[Term] = []
        for term in parts:
            if not (term.seeds >= 0).any():
                continue
            for k, other in enumerate(kept):
                if compatible(other.seeds, term.seeds):
                    kept[k] = Term(self.b.add(other.ref, term.ref), united(other.seeds, term.seeds))
                    break
            else:
                kept.append(term)
        by: dict[int, Outer] = {}
        for outer in outers:
            same = by.get(outer.over)
            if same is not None:
                outer = Outer(self.b.add(same.ref, outer.ref), outer.over, same.there | outer.there)
            by[outer.over] = outer
        found = Terms(tuple(kept), tuple(by.values()))
        few = len(kept) <= MOST_TERMS and len(by) <= MOST_OUTERS
        return found if few else self.dense(found, aval, self.last)

    def targets(self, term: Term, last: bool) -> Array:
        """Where the entries of a term are in the array of all seeds."""
        size = term.seeds.size
        entries = np.arange(size).reshape(term.seeds.shape)
        found = entries * self.count + term.seeds if last else term.seeds * size + entries
        return np.where(term.seeds >= 0, found, -1)

    def dense(self, value: Value, aval: Aval, last: bool) -> Dense:
        """The array of all seeds of a node with this aval for one."""
        if isinstance(value, Dense):
            return self.turned(value, last)
        if value is None or not any(value):
            return Dense(self.b.zeros(Aval(self.full(aval, last), aval.dtype)), last)
        return Dense(self.added(None, value, aval, last), last)

    def added(self, base: int | None, value: Terms, aval: Aval, last: bool) -> int:
        """Terms and outer products written out, and added to an array of all seeds if there is one."""
        shape = self.full(aval, last)
        ones = (1,) * aval.rank
        for outer in value.outers:
            over = self.reshape(outer.over, (*ones, self.count) if last else (self.count, *ones))
            part = self.core("multiply", self.over_seeds(outer.ref, last, aval), self.stretched(over, shape))
            base = part if base is None else self.b.add(base, part)
        if value.terms:
            targets = [self.targets(t, last) for t in value.terms]
            base = self.placed(shape, value.terms, targets, base)
        assert base is not None
        return base

    def placed(
        self, shape: Shape, terms: Sequence[Term], targets: Sequence[Array], base: int | None = None
    ) -> int:
        """Entries of terms at flat targets, laid into zeros or added to `base`."""
        first = targets[0].reshape(-1)
        if (
            base is None
            and len(terms) == 1
            and len(first) == prod(shape)
            and np.array_equal(first, np.arange(len(first)))
        ):
            return self.reshape(terms[0].ref, shape)
        refs = [t.ref for t in terms] if base is None else [base, *(t.ref for t in terms)]
        return self.b.emit(PLACE, refs, place_params(shape, targets, base is not None))

    def filled(self, value: Any, aval: Aval) -> int:
        """An array of one constant."""
        constant = self.b.constant(np.asarray(value, aval.dtype))
        ref = self.stretched(constant, aval.shape)
        if aval.shape:
            self._filled[ref] = constant
        return ref

    def constant_of(self, ref: int) -> Any:
        """The constant that an array is filled with; None for others."""
        found = self._filled.get(ref)
        return None if found is None else self.b.nodes[found].params[0][1].value

    def _constant(self, ref: int) -> bool:
        return self.b.nodes[ref].op is CONSTANT and self.shape(ref) == ()

    def emit(self, i: int, refs: Mapping[int, int]) -> int:
        """Node i for one seed, with `refs` in place of some operands. Numbers that fill arrays are computed with at once."""
        op, inputs, params, aval = self.nodes[i]
        operands = [refs[k] if k in refs else self.place[j] for k, j in enumerate(inputs)]
        if op.elementwise and isinstance(aval, Aval) and aval.shape:
            numbers = [self._filled.get(r, r) for r in operands]
            if all(map(self._constant, numbers)):
                values = [self.b.nodes[r].params[0][1].value[()] for r in numbers]
                with np.errstate(all="ignore"):
                    return self.filled(op.evaluate(*values, **dict(params)), aval)
            if any(self.shape(r) == aval.shape for r in numbers):
                operands = numbers
        return self.b.emit(op, operands, params)

    # -- by the map

    def _map(self, i: int, node: Node) -> None:
        operands, mapped = [], []
        for j in node.inputs:
            if self.value[j] is not None:
                operands.append(Var(self.b, self.dense(self.value[j], self.aval(j), False).ref))
            else:
                operands.append(Var(self.b, self.place[j]))
            mapped.append(self.value[j] is not None)
        own = mapped_node(node.op, self.b, self.count, operands, mapped, dict(node.params))
        if isinstance(node.aval, Aval):
            self.value[i] = self.scalar(Dense(own, False), node.aval)
            return
        if isinstance(own, tuple):
            self._shared |= {(i, k): ref.ref for k, ref in enumerate(own) if isinstance(ref, Shared)}
            self.place[i] = own
        else:
            self.place[i] = (own,)

    def _item(self, i: int, node: Node) -> None:
        (owner,) = node.inputs
        k = node.params[0][1]
        results = self.place[owner]
        if not isinstance(results, tuple):
            self.place[i] = self.b.emit(ITEM, [results], node.params)
        elif (owner, k) in self._shared:
            self.place[i] = self._shared[owner, k]
        elif len(results) == 1 and not isinstance(self.nodes[owner].aval, Aval) and self._whole(owner):
            whole = self.b.emit(ITEM, [results[0]], node.params)
            self.value[i] = self.scalar(Dense(whole, False), self.aval(i))
        else:
            self.value[i] = self.scalar(Dense(results[k], False), self.aval(i))

    def _whole(self, owner: int) -> bool:
        """Whether the place of a mapped node of several results is one node, not one for each result."""
        return not isinstance(self.b.nodes[self.place[owner][0]].aval, Aval)

    def led(self, ref: int) -> int:
        """A value without seed, repeated for all of them."""
        found: int = lead(self.b, Var(self.b, ref), self.count, False).ref
        return found
