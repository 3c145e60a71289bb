"""What happens inside the bodies of loops and choices, lifted out: as results of a graph.

A node in a body has a value and a cotangent for every step, which nobody keeps. `lift` writes the graph once more so that
the nodes of interest, its *sites*, hand out their operands and results (a loop stacks them), and have an offset δ = −0
added, which changes no value: the cotangent of δ is that of the site. So derivatives and maps of the lifted graph, which
are those of any graph, tell what would otherwise need an interpreter of their own.

A loop of unknown length becomes a scan of as many steps as it takes; how many, a first run tells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from engine.aval import Array, Aval, DType
from engine.builder import GraphBuilder, item
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node, single
from engine.op import Op, Params
from engine.ops.control.counted import Steps
from engine.ops.control.subgraph import moving_carries, wrap
from engine.transforms.pull import floating
from engine.transforms.simplify import needed

Path: TypeAlias = tuple[int, ...]
"""Where a loop stands: positions of nodes, outermost first."""

BODIES = frozenset({"core.scan", "core.cond", "core.while", "core.checkpoint", "core.counted"})
"""Ops whose derivative is that of their bodies. (A custom rule is its own; a root's is that of an equation.)"""


def kinks(op: Op) -> bool:
    """Whether an op of one result may have no derivative somewhere, and can say where."""
    return (
        bool(op.convention)
        and type(op).kink is not Op.kink
        and type(op).kink_met is Op.kink_met
        and getattr(op, "kink_formula", op) is not None
    )


def factors(op: Op) -> bool:
    """Whether an op has a matrix that may be singular."""
    return type(op).singular is not Op.singular


def holds(graph: Graph, wanted: Callable[[Op], bool]) -> bool:
    """Whether a node with an op as `wanted` stands in the graph or in a body inside; found out once for each graph."""
    known: dict[Any, bool] = vars(graph).setdefault("_holds", {})
    if wanted not in known:
        known[wanted] = any(wanted(n.op) or holds_inside(n, wanted) for n in graph.nodes)
    return known[wanted]


def holds_inside(node: Node, wanted: Callable[[Op], bool]) -> bool:
    """The same for the bodies of a node."""
    return node.op.name in BODIES and any(holds(g, wanted) for g, _ in node.op.inside(**dict(node.params)))


@dataclass(frozen=True, slots=True)
class Site:
    """A node in a body. `lead` are the axes over steps that its values lead with; `operands` are references to what it
    is computed from, or constants; `delta` is the input that was added to its result."""

    op: Op
    params: Params
    lead: tuple[int, ...]
    operands: tuple[int | Array, ...]
    result: int
    delta: int

    @property
    def refs(self) -> list[int]:
        """What it hands out."""
        return [*(o for o in self.operands if isinstance(o, int)), self.result]

    def moved(self, refs: Sequence[int], delta: int, lead: tuple[int, ...]) -> Site:
        """The same site, seen from outside."""
        it = iter(refs)
        operands = tuple(next(it) if isinstance(o, int) else o for o in self.operands)
        return replace(self, lead=lead, operands=operands, result=next(it), delta=delta)


class Lift:
    """A graph being written with its sites; `lengths` are the numbers of steps that are known of loops."""

    def __init__(
        self,
        dtype: DType,
        wanted: Callable[[Op], bool],
        lengths: Mapping[Path, int],
        moving: Collection[int] | None,
    ) -> None:
        self.moving = moving
        """Inputs that are differentiated: sites are only what depends on them, and what a result depends on, through
        floats. None for whatever is wanted."""
        self.active: set[int] = set()
        self.b = GraphBuilder(dtype)
        self.dtype = dtype
        self.wanted = wanted
        self.lengths = lengths
        self.sites: list[Site] = []
        self.unknown: list[tuple[Path, int]] = []
        """Loops whose length is not known, and a reference to it."""

    def whole(self, graph: Graph, path: Path = (), top: bool = True) -> list[int]:
        """The graph with inputs of its own; references to its outputs. Nodes outside of bodies are sites if `top`."""
        refs = [self.b.input(a) for a in graph.in_avals]
        self.active |= {refs[k] for k in self.moving or () if graph.in_avals[k].floating}
        return self.walk(graph, refs, path, top)

    def walk(self, graph: Graph, refs: Sequence[int], path: Path, top: bool = True) -> list[int]:
        """The graph's nodes over `refs`; references to its outputs."""
        b = self.b
        place: dict[int, Any] = dict(zip(graph.inputs, refs, strict=True))
        live, counts = needed(graph), _counts(graph)
        for i, node in enumerate(graph.nodes):
            if i in place or not live[i]:
                continue
            if node.op is CONSTANT:
                place[i] = b.constant(node.params[0][1].value)
            elif node.op is ITEM and isinstance(place[node.inputs[0]], tuple):
                place[i] = place[node.inputs[0]][node.params[0][1]]
            elif holds_inside(node, self.wanted):
                place[i] = self._inner(node, [place[j] for j in node.inputs], (*path, i))
            else:
                place[i] = self._plain(
                    node, [place[j] for j in node.inputs], top and (counts[i] or self.moving is None)
                )
        return [place[o] for o in graph.outputs]

    def _plain(self, node: Node, refs: Sequence[int], site: bool) -> int:
        b = self.b
        b.nodes.append(Node(node.op, tuple(refs), node.params, node.aval))
        y = len(b.nodes) - 1
        moves = any(r in self.active for r in refs) and floating(node.aval)
        if moves:
            self.active.add(y)
        if not (site and (moves or self.moving is None) and self.wanted(node.op)):
            return y
        if not (isinstance(node.aval, Aval) and node.aval.floating):
            return y
        operands = tuple(b.nodes[r].params[0][1].value[()] if b.nodes[r].op is CONSTANT else r for r in refs)
        delta = b.input(node.aval)
        self.sites.append(Site(node.op, node.params, (), operands, y, delta))
        shifted: int = b.core("add", y, delta)
        if moves:
            self.active.add(shifted)
        return shifted

    def _inner(self, node: Node, refs: list[int], path: Path) -> Any:
        """A node that has sites inside: a reference to the new one, or a tuple of its results."""
        params = dict(node.params)
        name = node.op.name
        if name == "core.scan" and params["length"]:
            return self._scan(node.op, refs, params, path)
        if name == "core.cond":
            return self._cond(node.op, refs, params, path)
        if name == "core.checkpoint":
            return tuple(self.walk(params["body"], refs, path))
        ref = self._plain(node, refs, False)
        if name == "core.while":
            count = item(self.b, ref, params["carries"])
            n = self._length(path, count)
            if n:
                batch = params["batch"]
                steps = Steps(params["body"], params["carries"], batch, params["guarded"], bool(batch))
                return (*self.walk(steps.graph(n, self.dtype), [count, *refs], path), count)
        if name == "core.counted":
            n = self._length(path, refs[0])
            if n:
                return tuple(self.walk(params["derivation"].graph(n), refs, path))
        return ref

    def _length(self, path: Path, ref: int) -> int:
        if path not in self.lengths:
            self.unknown.append((path, ref))
        return self.lengths.get(path, 0)

    def _body(self, graph: Graph, path: Path, moving: Collection[int]) -> tuple[Lift, Graph, list[Aval], int]:
        """A body lifted: the graph, from its inputs and offsets to its outputs, and values of its sites and lengths."""
        inner = Lift(self.dtype, self.wanted, self.lengths, None if self.moving is None else moving)
        outs = inner.whole(graph, path)
        more = [r for s in inner.sites for r in s.refs] + [r for _, r in inner.unknown]
        offsets = [single(inner.b.nodes[s.delta].aval) for s in inner.sites]
        return inner, inner.b.build([*outs, *more]), offsets, len(outs)

    def _take(self, inner: Lift, results: list[int], deltas: Sequence[int], lead: tuple[int, ...]) -> None:
        """The sites of a body, their values among the results of the node that holds it."""
        it = iter(results)
        for site, delta in zip(inner.sites, deltas, strict=True):
            self.sites.append(site.moved([next(it) for _ in site.refs], delta, (*lead, *site.lead)))
        self.unknown += [(path, next(it)) for path, _ in inner.unknown]

    def _scan(self, op: Op, refs: list[int], params: dict[str, Any], path: Path) -> int:
        b = self.b
        body: Graph = params["body"]
        front, n = params["carries"] + params["scanned"], params["length"]
        entering = [k for k, r in enumerate(refs) if r in self.active]
        moving = moving_carries(body, params["carries"], entering)
        inner, lifted, offsets, outs = self._body(body, path, moving)
        deltas = [b.input(Aval((n, *a.shape), a.dtype)) for a in offsets]
        ins = list(body.in_avals)
        k = len(deltas)
        order = [*range(front), *range(front + k, len(ins) + k), *range(front, front + k)]
        step = wrap(
            self.dtype, [*ins[:front], *offsets, *ins[front:]], lifted, order, range(len(lifted.outputs))
        )
        given = {**params, "body": step, "scanned": params["scanned"] + k}
        ref: int = b.emit(op, [*refs[:front], *deltas, *refs[front:]], tuple(sorted(given.items())))
        if moving:
            self.active.add(ref)
        self._take(inner, [item(b, ref, m) for m in range(outs, len(step.outputs))], deltas, (n,))
        return ref

    def _cond(self, op: Op, refs: list[int], params: dict[str, Any], path: Path) -> int:
        b = self.b
        names = ("then", "otherwise")
        moving = [k for k, r in enumerate(refs[1:]) if r in self.active]
        found = [self._body(params[name], (*path, k), moving) for k, name in enumerate(names)]
        deltas = [[b.input(a) for a in offsets] for _, _, offsets, _ in found]
        avals = list(params["then"].in_avals)
        start = (len(avals), len(avals) + len(deltas[0]))
        branches = {}
        for k, name in enumerate(names):
            # The sites of the branch that is not taken are NaN, which is no kink.
            g = GraphBuilder(self.dtype)
            inputs = [g.input(a) for a in [*avals, *found[0][2], *found[1][2]]]
            _, lifted, offsets, outs = found[k]
            own = g.inline(lifted, [*inputs[: len(avals)], *inputs[start[k] : start[k] + len(offsets)]])
            other = [_nothing(g, a) for a in found[1 - k][1].out_avals[found[1 - k][3] :]]
            parts = [own[outs:], other] if k == 0 else [other, own[outs:]]
            branches[name] = g.build([*own[:outs], *parts[0], *parts[1]])
        ref: int = b.emit(op, [*refs, *deltas[0], *deltas[1]], tuple(sorted(branches.items())))
        if moving:
            self.active.add(ref)
        at = found[0][3]
        for (inner, lifted, _, outs), own in zip(found, deltas, strict=True):
            count = len(lifted.outputs) - outs
            self._take(inner, [item(b, ref, m) for m in range(at, at + count)], own, ())
            at += count
        return ref


def _counts(graph: Graph) -> list[bool]:
    """For each node whether an output depends on it through floats."""
    counts = [False] * len(graph.nodes)
    for o in graph.outputs:
        counts[o] = True
    for i in range(len(graph.nodes) - 1, -1, -1):
        counts[i] = counts[i] and floating(graph.nodes[i].aval)
        if counts[i]:
            for j in graph.nodes[i].inputs:
                counts[j] = True
    return counts


def _nothing(b: GraphBuilder, aval: Aval) -> int:
    """NaN in every place; zeros of what is no float."""
    if not aval.floating:
        return b.zeros(aval)  # type: ignore[no-any-return]  # a position
    nan = b.constant(np.asarray(np.nan, aval.dtype))
    return nan if aval.shape == () else b.core("broadcast_to", nan, shape=aval.shape)


def alone(node: Node, avals: Sequence[Any]) -> Graph:
    """A node as a graph of its own, with all its results."""
    nodes = [Node(INPUT, (), (("index", k),), a) for k, a in enumerate(avals)]
    n = len(nodes)
    nodes.append(node._replace(inputs=tuple(range(n))))
    results: Sequence[Aval] = () if isinstance(node.aval, Aval) else node.aval
    nodes += [Node(ITEM, (n,), (("index", k),), a) for k, a in enumerate(results)]
    return Graph(tuple(nodes), tuple(range(n)), tuple(range(n + 1, len(nodes))))
