r"""Taylor coefficients of a graph along a direction, in series arithmetic: a graph to a graph, of any order.

For x(t) = Σ xₖ tᵏ the coefficients of y = f(x(t)) follow from those of x. The rules that ops carry for forward mode say
how: ẏ(t) = (∂f/∂x)(x(t), y(t)) · ẋ(t) holds along the whole curve, and equating powers of t,

    k·yₖ = Σ_{j=1..k} j·xⱼ · p_{k−j},        p(t) = (∂f/∂x)(x(t), y(t)),

where p is itself a series, of which only k terms are needed. So one rule for each operand serves here too. Series that
are equal are one (`_Streams.node`): cos in the rule of sin, and sin in the rule of cos, close a circle, and the cost is
quadratic in the order instead of 2ᵏ as by nesting.

- elementwise ops: p by the op's own formula; products and quotients by convolution;
- ops that are linear, in each of their operands: term by term, and convolution;
- general ops: their JVP, written once on placeholders, with the series of x, y and ẋ put in;
- loops and choices: the op's own `taylor`, which takes the series of its body.

Coefficients are made when they are asked for, by generators on a stack of their own: a chain of 10⁵ nodes does not make
Python recurse.

A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, chapter 13, doi:10.1137/1.9780898717761.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import Any, TypeAlias

from engine.aval import Aval, Avals, DType
from engine.builder import GraphBuilder, Var
from engine.formula import Formula
from engine.graph import CONSTANT, INPUT, ITEM, Constant, Graph, Node, graph_bytes, single
from engine.kept import Kept
from engine.op import Linear, Op, Params, Partial, Rule, Subgraph, Zero, registry
from engine.transforms.pull import floating
from engine.transforms.push import push

Coefficient: TypeAlias = Any
"""A reference in the builder (a list of them for several results), or None for zero."""
Walk: TypeAlias = Generator[tuple[int, int], Coefficient, Coefficient]
"""Yields (series, order) that it needs, is sent that coefficient, returns its own."""


class _Slope(Op):
    """ẋ as a series: coefficient k is (k + 1)·xₖ₊₁. Stands in lists of series only."""

    name = "core.slope"
    family = "core"
    internal = True


_SLOPE = _Slope()


class _Streams:
    """All series of one graph: nodes as in a Wengert list, and the coefficients that have been made of each."""

    def __init__(self, b: GraphBuilder, order: int) -> None:
        self.b = b
        self.order = order
        self.nodes: list[Node] = []
        self.moving: list[bool] = []
        """Whether a series may have terms besides the first."""
        self.made: list[dict[int, Coefficient]] = []
        """The terms that are known, by order."""
        self._same: dict[tuple[Any, ...], int] = {}
        self._slopes: dict[int, Sequence[int]] = {}

    # -- series

    def leaf(self, aval: Aval, terms: Sequence[Coefficient]) -> int:
        """A series whose terms are given; all later ones are zero."""
        self.nodes.append(Node(INPUT, (), (), aval))
        self.moving.append(any(t is not None for t in terms[1:]))
        self.made.append(dict(enumerate(terms)) | dict.fromkeys(range(len(terms), self.order + 1)))
        return len(self.nodes) - 1

    def node(self, op: Op, inputs: Sequence[int], params: Params, aval: Avals) -> int:
        """The series of an op over series; one that is there already, where it is the same."""
        if op.name == "negative" and self.nodes[inputs[0]].op is op:
            return self.nodes[inputs[0]].inputs[0]
        key = (op, tuple(inputs), tuple((n, str(v) if type(v) is float else v) for n, v in params))
        found = self._same.get(key)
        if found is not None:
            return found
        self.nodes.append(Node(op, tuple(inputs), params, aval))
        if op is ITEM or op is _SLOPE:
            moving = self.moving[inputs[0]]
        else:
            moving = any(self.moving[j] and _matters(op.rule(k)) for k, j in enumerate(inputs))
        self.moving.append(moving and floating(aval))
        self.made.append({})
        self._same[key] = len(self.nodes) - 1
        return len(self.nodes) - 1

    def constant(self, value: Constant, aval: Aval) -> int:
        """The series of a constant."""
        key = (CONSTANT, value)
        found = self._same.get(key)
        if found is None:
            found = self._same[key] = self.leaf(aval, [self.b.constant(value.value)])
        return found

    # -- coefficients

    def coefficient(self, i: int, k: int) -> Coefficient:
        """Term k of series i, made now with all that it needs."""
        wanted = (i, k)
        stack: list[tuple[int, int, Walk]] = []
        value: Coefficient = None
        while True:
            j, m = wanted
            found = self.made[j]
            if m in found or (m > 0 and not self.moving[j]):
                value = found.get(m)
            else:
                stack.append((j, m, self._term(j, m)))
                value = None
            while stack:
                j, m, walk = stack[-1]
                try:
                    wanted = walk.send(value)
                    break
                except StopIteration as done:
                    stack.pop()
                    value = self.made[j][m] = done.value
            else:
                return value

    def _term(self, i: int, k: int) -> Walk:
        """Term k of series i."""
        op, inputs, params, _ = self.nodes[i]
        if op is _SLOPE:
            term = yield (inputs[0], k + 1)
            return self._scaled(term, float(k + 1))
        if op is ITEM:
            several = yield (inputs[0], k)
            if isinstance(several, int):  # the node itself, of which the results are still to be read
                return self._emitted(op, [several], params)
            return several[params[0][1]] if several is not None else None
        if k == 0:
            return self._emitted(op, (yield from self._firsts(inputs)), params)
        if op.name == "divide":
            return (yield from self._quotient(i, k))
        rules = {type(op.rule(n)) for n, j in enumerate(inputs) if self.moving[j]} - {Zero}
        if op.name == "multiply" or rules == {Linear}:
            return (yield from self._convolution(i, k))
        if rules == {Partial}:
            return (yield from self._by_formula(i, k))
        if Subgraph in rules:
            return (yield from self._loop(i, k))
        return (yield from self._by_jvp(i, k))

    def _firsts(self, inputs: Sequence[int]) -> Walk:
        """The values of some series."""
        found: list[Coefficient] = [None] * len(inputs)
        for n, j in enumerate(inputs):
            found[n] = yield (j, 0)
            if found[n] is None:  # a slope that is zero here
                found[n] = self.b.zeros(single(self.nodes[j].aval))
        return found

    def _emitted(self, op: Op, refs: Sequence[Any], params: Params) -> Coefficient:
        return self.b.emit(op, refs, params)

    def _plus(self, total: Coefficient, term: Coefficient) -> Coefficient:
        if total is None or term is None:
            return term if total is None else total
        return self.b.core("add", total, term)

    def _scaled(self, term: Coefficient, factor: float) -> Coefficient:
        if term is None or factor == 1.0:
            return term
        return self.b.core("multiply", term, self.b.literal(factor))

    def _times(self, tangent: Coefficient, factor: Coefficient) -> Coefficient:
        """A product that is 0 where the tangent is, as in both walks."""
        if tangent is None or factor is None:
            return None
        return self.b.core("multiply", tangent, factor, strong=(0,))

    # -- linear in each operand

    def _convolution(self, i: int, k: int) -> Walk:
        op, inputs, params, _ = self.nodes[i]
        linear = [n for n, j in enumerate(inputs) if self.moving[j]]
        if op.name == "multiply" and len(linear) == 2 and inputs[0] == inputs[1]:
            return (yield from self._square(i, k))
        joint = any(isinstance(rule := op.rule(n), Linear) and rule.joint for n in linear)
        total: Coefficient = None
        refs: list[Any] = [None] * len(inputs)
        for n, j in enumerate(inputs):
            if n not in linear:
                refs[n] = yield (j, 0)
        if joint or len(linear) == 1:
            some = False
            for n in linear:
                refs[n] = yield (inputs[n], k)
                some = some or refs[n] is not None
            if not some:
                return None
            for n, j in enumerate(inputs):
                rule = op.rule(n)
                if refs[n] is None or (joint and n not in linear and isinstance(rule, Linear) and rule.joint):
                    refs[n] = self.b.zeros(single(self.nodes[j].aval))
            strong = dict(params).get("strong", ())
            if op.name == "multiply" and linear[0] not in strong:
                params = (("strong", tuple(sorted((*strong, linear[0])))),)
            return self._emitted(op, refs, params)
        assert len(linear) == 2, f"{op.name} is linear in more than two operands"
        p, q = linear
        for m in range(k + 1):
            refs[p] = yield (inputs[p], m)
            refs[q] = yield (inputs[q], k - m)
            if refs[p] is not None and refs[q] is not None:
                total = self._plus(total, self._emitted(op, refs, params))
        return total

    def _square(self, i: int, k: int) -> Walk:
        """x·x: half of the products, twice."""
        j, params = self.nodes[i].inputs[0], self.nodes[i].params
        total: Coefficient = None
        for m in range((k + 1) // 2):
            x = yield (j, m)
            y = yield (j, k - m)
            if x is not None and y is not None:
                total = self._plus(total, self.b.emit(self.nodes[i].op, [x, y], params))
        total = self._scaled(total, 2.0)
        if k % 2 == 0:
            x = yield (j, k // 2)
            if x is not None:
                total = self._plus(total, self.b.emit(self.nodes[i].op, [x, x], params))
        return total

    def _quotient(self, i: int, k: int) -> Walk:
        """y = a / b: yₖ = (aₖ − Σ_{j=1..k} bⱼ y_{k−j}) / b₀."""
        a, d = self.nodes[i].inputs
        total = yield (a, k)
        for m in range(1, k + 1):
            b_m = yield (d, m)
            if b_m is None:
                continue
            y = yield (i, k - m)
            product = self._times(b_m, y)
            if product is not None:
                total = self._plus(total, self.b.core("negative", product))
        if total is None:
            return None
        first = yield (d, 0)
        return self._times(total, self.b.core("reciprocal", first))

    # -- by the partial derivatives

    def _by_formula(self, i: int, k: int) -> Walk:
        op, inputs, params, _ = self.nodes[i]
        operands = yield from self._firsts(inputs)
        y = yield (i, 0)
        total: Coefficient = None
        for n, j in enumerate(inputs):
            rule = op.rule(n)
            if not self.moving[j] or not isinstance(rule, Partial) or rule.formula.zero:
                continue
            strong = op.strong_partial(n, dict(params))
            last = yield (j, k)
            if last is not None:
                total = self._plus(total, self.b.product(rule.formula, last, operands, y, strong))
            slope = self._partial(rule.formula, i)
            if not self.moving[slope]:
                continue
            for m in range(1, k):
                x = yield (j, m)
                if x is None:
                    continue
                p = yield (slope, k - m)
                total = self._plus(total, self._scaled(self._times(x, p), m / k))
        return total

    def _partial(self, formula: Formula, i: int) -> int:
        """The series of a partial derivative of node i."""
        names = dict(zip(("a", "b", "c"), self.nodes[i].inputs, strict=False)) | {"y": i}
        found: int = formula.write(_Algebra(self), names)
        return found

    # -- by the JVP

    def _by_jvp(self, i: int, k: int) -> Walk:
        """k·yₖ is term k − 1 of the tangent, the JVP with ẋ(t) for ẋ."""
        if i not in self._slopes:
            self._slopes[i] = self._tangent(i)
        outs = self._slopes[i]
        terms = []
        for o in outs:
            term = None if o < 0 else (yield (o, k - 1))
            terms.append(self._scaled(term, 1.0 / k))
        return terms[0] if isinstance(self.nodes[i].aval, Aval) else terms

    def _tangent(self, i: int) -> list[int]:
        """Series of ẏ for each result of node i; −1 for those that are zero."""
        op, inputs, params, aval = self.nodes[i]
        avals = tuple(single(self.nodes[j].aval) for j in inputs)
        moving = tuple(k for k, j in enumerate(inputs) if self.moving[j] and avals[k].floating)
        graph, there = tangent_graph(op, params, avals, aval, moving, self.b.dtype)
        slopes = [self.node(_SLOPE, (inputs[k],), (), avals[k]) for k in moving]
        outs = iter(self.inline(graph, [*inputs, *slopes]))
        return [next(outs) if t else -1 for t in there]

    def inline(self, graph: Graph, series: Sequence[int]) -> list[int]:
        """A graph over series; the series of its outputs."""
        place = dict(zip(graph.inputs, series, strict=True))
        for n, node in enumerate(graph.nodes):
            if n in place:
                continue
            if node.op is CONSTANT:
                place[n] = self.constant(node.params[0][1], single(node.aval))
            else:
                place[n] = self.node(node.op, [place[j] for j in node.inputs], node.params, node.aval)
        return [place[o] for o in graph.outputs]

    # -- loops and choices

    def _loop(self, i: int, k: int) -> Walk:
        """All terms up to k at once, by the op's own rule; by its forward mode where it has none."""
        op, inputs, params, aval = self.nodes[i]
        series: list[list[Var | None]] = []
        for j in inputs:
            terms: list[Var | None] = []
            for m in range(k + 1):
                term = (yield (j, m)) if m == 0 or self.moving[j] else None
                terms.append(None if term is None else Var(self.b, term))
            series.append(terms)
        found = op.taylor(self.b, k, series, **dict(params))
        if found is None:
            return (yield from self._by_jvp(i, k))
        count = 1 if isinstance(aval, Aval) else len(aval)
        for m in range(k + 1):
            terms = [found[r][m] for r in range(count)]
            self.made[i].setdefault(m, [None if t is None else t.ref for t in terms])
        return self.made[i][k]


def _matters(rule: Rule) -> bool:
    """Whether an operand of this rule can move the result."""
    return not (isinstance(rule, Zero) or (isinstance(rule, Partial) and rule.formula.zero))


class _Algebra:
    """What a formula is written with, on series."""

    def __init__(self, streams: _Streams) -> None:
        self.streams = streams

    def literal(self, value: float) -> int:
        """The series of a number."""
        b = self.streams.b
        array = b.nodes[b.literal(value)].params[0][1]
        return self.streams.constant(array, Aval((), b.dtype))

    def core(self, op: str, *refs: int, **params: Any) -> int:
        """The series of a core op."""
        streams = self.streams
        the_op = registry.core(op)
        avals: list[Any] = [streams.nodes[r].aval for r in refs]
        return streams.node(the_op, refs, tuple(sorted(params.items())), the_op.infer(*avals, **params))


Tangents: TypeAlias = tuple[Graph, tuple[bool, ...]]

TANGENTS: Kept[Hashable, Tangents] = Kept(16 << 20)
"""The forward rules that were made; their graphs may hold constant indices, so it is bytes that are bounded."""


def tangent_graph(
    op: Op,
    params: Params,
    avals: tuple[Aval, ...],
    result: Avals,
    moving: tuple[int, ...],
    dtype: DType,
) -> Tangents:
    """The forward rule of one op as a graph: operands, tangents of `moving` → tangents of the results.

    Also tells for each result whether it has a tangent; outputs are of those that have.
    """
    key = (op, params, avals, result, moving, dtype)
    found = TANGENTS.get(key)
    if found is None:
        found = _tangent_graph(*key)
        TANGENTS.put(key, found, 2000 + graph_bytes(found[0], params))
    return found


def _tangent_graph(
    op: Op,
    params: Params,
    avals: tuple[Aval, ...],
    result: Avals,
    moving: tuple[int, ...],
    dtype: DType,
) -> Tangents:
    b = GraphBuilder(dtype)
    xs = [b.input(a) for a in avals]
    tangents = {xs[k]: b.input(avals[k]) for k in moving}
    # The node itself stands here, too; among the series it is the one whose tangent this is.
    at = b.emit(op, xs, params)
    nodes = list(b.nodes)
    dots: list[Any] = [tangents.get(i) for i in range(len(nodes))]
    push(b, nodes, range(len(nodes)), dots, [at])
    found = dots[at]
    outs = [found] if isinstance(result, Aval) else (found or [None] * len(result))
    return b.build([o for o in outs if o is not None]), tuple(o is not None for o in outs)


def taylor_graph(graph: Graph, moving: Sequence[int], order: int, dtype: DType, **limits: Any) -> Graph:
    """Series arithmetic, graph to graph, along a line x + t·d.

    `moving` are positions among the graph's inputs. Inputs of the result: those of `graph`, then for each moving one its
    direction d. Outputs: for each output of `graph` its coefficients 0 … order (zeros where they are, of the floating
    dtype; an integer or boolean output has zeros from order 1 on). `limits` are the builder's.
    """
    b = GraphBuilder(dtype, **limits)
    first = [b.input(a) for a in graph.in_avals]
    direction = {m: b.input(graph.in_avals[m]) for m in moving}
    inputs = [[x, *([direction[m]] if m in direction and order else [])] for m, x in enumerate(first)]
    outs = []
    for aval, series in zip(graph.out_avals, series_of(b, graph, inputs, order), strict=True):
        zero = aval if aval.floating else Aval(aval.shape, dtype)
        outs += [t if t is not None else b.zeros(zero if k else aval) for k, t in enumerate(series)]
    return b.build(outs)


def series_of(
    b: GraphBuilder, graph: Graph, inputs: Sequence[Sequence[Coefficient]], order: int
) -> list[list[Coefficient]]:
    """Coefficients 0 … order of each output of a graph, written with `b`, from those of its inputs (None for zero)."""
    streams = _Streams(b, order)
    leaves = [streams.leaf(a, terms) for a, terms in zip(graph.in_avals, inputs, strict=True)]
    outs = streams.inline(graph, leaves)
    # Highest order first, so that a loop is written once for all of them; nodes in order, so that stacks stay short.
    for i in range(len(streams.nodes)):
        if streams.nodes[i].op is not INPUT and (i in outs or streams.moving[i]):
            streams.coefficient(i, order if streams.moving[i] else 0)
    return [[streams.coefficient(o, k) for k in range(order + 1)] for o in outs]
