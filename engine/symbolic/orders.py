r"""Derivatives of any order as one graph: the value of a node, and beside it ∂ᵏof/∂xᵏ for each x, or one mixed derivative.

The derivative of order k by x is an array of of.shape followed by x.shape k times: the Jacobian's convention, repeated. What is
computed once for the value, or for another derivative, is in the graph once, so at order 1 its size is a small multiple of
the program's, however deeply that is nested: there is no expression swell.

A node of one entry is differentiated by one backward walk for all x; by an x of one entry a forward walk with the tangent 1
goes on from there, once for each further order. Arrays by arrays take every unit seed; what their structure makes simple
stays simple (`engine.structured`: a diagonal is written as a vector laid into zeros).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.aval import Aval, DType, Shape
from engine.builder import GraphBuilder
from engine.cost import Limits
from engine.derive.second_order import Perturbed
from engine.errors import InvalidField, LimitExceeded, Where
from engine.graph import CONSTANT, Graph, Node, single
from engine.specialize import Typed
from engine.structured.place import PLACE
from engine.structured.result import RULES
from engine.structured.walk import Walk
from engine.transforms.pull import depends_on, pull
from engine.transforms.push import push
from engine.transforms.simplify import needed, simplify

STRUCTURE = frozenset({PLACE.name})
"""What lays derivatives out is not computed, so that it can be read: a diagonal is not a matrix of numbers."""


@dataclass(frozen=True, eq=False)
class Derived:
    """Derivatives of node `of`: the graph takes the program's `inputs`, in order, and yields the value of `of`, then one
    array for each of `keys`.

    `wrt[k]` are the ids that derivative k is taken by, one for each order: ("x",), ("x", "x", "x"), ("x", "y"). Its shape is
    that of `of` followed by those of `wrt[k]`. `steps` tells which nodes of the graph hold values of the user's nodes.
    """

    graph: Graph
    of: str
    keys: tuple[str, ...]
    wrt: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    dtype: DType = "float64"
    steps: Mapping[int, str] = field(default_factory=dict)


def derive(
    typed: Typed,
    of: int,
    wrt: Sequence[int],
    order: int = 1,
    *,
    mixed: bool = False,
    limits: Limits | None = None,
    step: Callable[[], None] | None = None,
    builder: type[GraphBuilder] = GraphBuilder,
) -> Derived:
    """The derivatives of step `of` by steps `wrt` (inputs, or intermediates n := op(…) + δ), each `order` times; if `mixed`
    one derivative, by all of `wrt` in their order, which may repeat. Order 0 is the value.

    Raises `LimitExceeded` for an order, an array or a graph over the limits, before it is written; `step`, if given, is called
    before each node and may raise. `builder` writes the derivatives: one that has its own formulas of partials, if need be.
    """
    limits = limits or Limits()
    orders = len(wrt) if mixed else order
    check_order(orders, limits)
    work = _Orders(typed, of, wrt, limits, step, builder)
    steps = typed.program.steps
    if mixed:
        found = [work.repeated([work.seeds[i] for i in wrt])]
        keys = [tuple(steps[i].id for i in wrt)]
        names = [",".join(keys[0])]
    else:
        found = work.all_by(list(wrt), order)
        keys = [(steps[i].id,) * order for i in wrt]
        names = [steps[i].id for i in wrt]
    graph, known = work.joined(found)
    return Derived(
        graph, steps[of].id, tuple(names), tuple(keys), tuple(typed.program.input_ids), typed.dtype, known
    )


def check_order(order: int, limits: Limits) -> None:
    """Raise `InvalidField` or `LimitExceeded` for an order that is not taken."""
    if order < 0:
        raise InvalidField("`order` must be 0 or more.", where=Where(pointer="/order"))
    if order > limits.derivative_order:
        raise LimitExceeded(
            "derivative_order",
            limits.derivative_order,
            order,
            f"Derivatives are written out up to order {limits.derivative_order}; this is one of order {order}. "
            "For Taylor coefficients of a higher order there is `taylor`.",
        )


class _Orders:
    """The graph of one node and its derivatives so far; every graph here takes the same inputs: the program's, then δs."""

    def __init__(
        self,
        typed: Typed,
        of: int,
        wrt: Sequence[int],
        limits: Limits,
        step: Callable[[], None] | None,
        builder: type[GraphBuilder],
    ) -> None:
        self.builder = builder
        self.typed = typed
        self.dtype = typed.dtype
        self.limits: dict[str, Any] = {
            "max_elements": limits.elements,
            "max_nodes": limits.nodes,
            "step": step,
        }
        self.step = step
        perturbed = Perturbed(typed, list(dict.fromkeys(wrt)), typed.dtype)
        self.seeds = {i: perturbed.graph.inputs.index(perturbed.seed[i]) for i in dict.fromkeys(wrt)}
        """For each step of `wrt` the number of the input that it is differentiated by."""
        self.value = perturbed.graph.with_outputs([perturbed.value[typed.node(of)]])
        """The value, as a graph of one output, where every node of the program has its place (`perturbed.value`)."""
        self.place = perturbed.value
        self.shape: Shape = typed.aval(of).shape

    def all_by(self, wrt: list[int], order: int) -> list[Graph]:
        """For each of `wrt` the derivative of this order, as a graph of one output."""
        if order == 0:
            return [self.value for _ in wrt]
        if self.shape == ():
            firsts = self._gradient([self.seeds[i] for i in wrt])
            if order > 1:
                firsts = self._tidy(firsts)
            found = [firsts.with_outputs([o]) for o in firsts.outputs]
        else:
            found = [self._by(self.value, self.seeds[i], first=True) for i in wrt]
        for _ in range(order - 1):
            found = [self._by(self._tidy(g), self.seeds[i]) for g, i in zip(found, wrt, strict=True)]
        return found

    def repeated(self, seeds: Sequence[int]) -> Graph:
        """The value differentiated by inputs `seeds`, one after the other."""
        if not seeds:
            return self.value
        if self.shape == ():
            found = self._gradient(seeds[:1])
        else:
            found = self._by(self.value, seeds[0], first=True)
        for k in seeds[1:]:
            found = self._by(self._tidy(found), k)
        return found

    def _tidy(self, graph: Graph) -> Graph:
        return simplify(graph, self.dtype, self.step, STRUCTURE)

    def _gradient(self, seeds: Sequence[int]) -> Graph:
        """The scalar value by inputs `seeds`, by one walk back."""
        graph = self.value
        (of,) = graph.outputs
        b = self.builder.on(graph, self.dtype, **self.limits)
        return b.build(self._back(b, graph, of, [graph.inputs[k] for k in seeds], b.ones(_aval(graph, of))))

    def _back(self, b: GraphBuilder, graph: Graph, of: int, at: Sequence[int], ct: int) -> list[int]:
        """Cotangents of the nodes `at`, from one of node `of`."""
        n = len(graph.nodes)
        adj: list[Any] = [None] * n
        adj[of] = ct
        pull(b, graph.nodes, range(n), adj, depends_on(graph.nodes, at), range(of, -1, -1))
        return [b.zeros(_aval(graph, i)) if adj[i] is None else adj[i] for i in at]

    def _forth(self, b: GraphBuilder, graph: Graph, of: int, at: int, tangent: int) -> int:
        """The tangent of node `of`, from one of node `at`."""
        n = len(graph.nodes)
        dots: list[Any] = [None] * n
        dots[at] = tangent
        push(b, graph.nodes, range(n), dots)
        found: int = b.zeros(_aval(graph, of)) if dots[of] is None else dots[of]
        return found

    def _by(self, graph: Graph, seed: int, first: bool = False) -> Graph:
        """The one output of `graph` by input `seed`: an array of its shape and that of the input."""
        (of,) = graph.outputs
        target, x = _aval(graph, of), _aval(graph, graph.inputs[seed])
        shape = target.shape + x.shape
        GraphBuilder(self.dtype, **self.limits).check(Aval(shape, self.dtype))
        at = graph.inputs[seed]
        b = self.builder.on(graph, self.dtype, **self.limits)
        if x.shape == ():
            return b.build([self._forth(b, graph, of, at, b.ones(x))])
        reverse = first and target.size < x.size
        if reverse:
            linear = b.build(self._back(b, graph, of, [at], b.input(target)))
        else:
            linear = b.build([self._forth(b, graph, of, at, b.input(x))])
        walk = Walk(linear, len(graph.inputs), not reverse, self.dtype, **self.limits)
        walk.write(RULES)
        (o,) = linear.outputs
        value = walk.value[o]
        if value is None and not walk.zero(o):
            raise AssertionError("a linear graph has an offset")
        ref = walk.dense(value, walk.aval(o), not reverse).ref
        node = walk.b.nodes[ref]
        if node.op is PLACE:  # flat places are the same in any shape
            params = dict(node.params) | {"shape": shape}
            refs = list(node.inputs)
            if params["base"]:
                refs[0] = walk.reshape(refs[0], shape)
            return walk.b.build([walk.b.emit(PLACE, refs, tuple(sorted(params.items())))])
        return walk.b.build([walk.reshape(ref, shape)])

    def joined(self, found: Sequence[Graph]) -> tuple[Graph, dict[int, str]]:
        """One graph over the program's inputs of the value and what was found, δs gone; and which of its nodes hold values
        of the program's steps."""
        b = GraphBuilder(self.dtype, **self.limits)
        refs = [b.input(a) for a in self.typed.graph.in_avals]
        wanted = {
            self.place[p]: self.typed.program.steps[i].id
            for i, p in enumerate(self.typed.nodes)
            if isinstance(p, int) and p in self.place
        }
        (of,) = self.value.outputs
        parts: dict[int, tuple[Graph, list[int]]] = {}
        for g in found:
            parts.setdefault(id(g.nodes), (g, []))[1].extend(g.outputs)
        known: dict[int, dict[int, int]] = {}
        base: dict[int, int] = {}
        count = len(self.value.nodes)
        for key, (g, outputs) in parts.items():
            extends = len(g.nodes) >= count and g.nodes[:count] == self.value.nodes
            outs = [*outputs, of, *wanted] if extends and not base else outputs
            known[key] = dict(zip(outs, self._settled(b, g, refs, outs), strict=True))
            if extends and not base:
                base = known[key]
        if not base:
            outs = [of, *wanted]
            base = dict(zip(outs, self._settled(b, self.value, refs, outs), strict=True))
        results = [base[of], *(known[id(g.nodes)][g.outputs[0]] for g in found)]
        whole = simplify(b.build([*results, *(base[p] for p in wanted)]), self.dtype, self.step, STRUCTURE)
        ids = dict(zip(whole.outputs[len(results) :], wanted.values(), strict=True))
        return _pruned(whole.with_outputs(whole.outputs[: len(results)]), ids)

    def _settled(
        self, b: GraphBuilder, graph: Graph, refs: Sequence[int], outputs: Sequence[int]
    ) -> list[int]:
        """The nodes that `outputs` need over `refs`, with δ = −0 gone: n + δ is n, and δ − n is −n."""
        live = needed(graph.with_outputs(outputs))
        place: dict[int, int] = dict(zip(graph.inputs, refs, strict=False))
        gone = set(graph.inputs[len(refs) :])
        for i, node in enumerate(graph.nodes):
            if i in place or not live[i]:
                continue
            if i in gone:
                zero = b.constant(np.asarray(-0.0, single(node.aval).dtype))
                shape = single(node.aval).shape
                place[i] = zero if shape == () else b.core("broadcast_to", zero, shape=shape)
                continue
            if node.op is CONSTANT:
                place[i] = b.constant(node.params[0][1].value)
                continue
            if len(node.inputs) == 2 and not gone.isdisjoint(node.inputs):
                x, y = node.inputs
                if node.op.name == "add":
                    place[i] = place[x if y in gone else y]
                    continue
                if node.op.name == "subtract":
                    place[i] = place[x] if y in gone else b.core("negative", place[y])
                    continue
            if self.step is not None:
                self.step()
            b.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
            place[i] = len(b.nodes) - 1
        return [place[o] for o in outputs]


def _aval(graph: Graph, i: int) -> Aval:
    return single(graph.nodes[i].aval)


def _pruned(graph: Graph, ids: Mapping[int, str]) -> tuple[Graph, dict[int, str]]:
    """The graph without what no output needs, and where the named nodes have gone."""
    live = needed(graph)
    place: dict[int, int] = {}
    nodes: list[Node] = []
    for i, node in enumerate(graph.nodes):
        if live[i]:
            place[i] = len(nodes)
            nodes.append(node._replace(inputs=tuple(place[j] for j in node.inputs)))
    pruned = Graph(
        tuple(nodes), tuple(place[i] for i in graph.inputs), tuple(place[o] for o in graph.outputs)
    )
    return pruned, {place[i]: name for i, name in ids.items() if i in place}
