"""Structures of every op in the catalogue: no derivative lies outside, and none is claimed where an op only moves entries.

As in the conformance test an op is tested by being registered; none is exempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.aval import Aval
from engine.builder import GraphBuilder
from engine.graph import CONSTANT, INPUT, Graph
from engine.op import Linear, Op, Partial, Zero, registry
from engine.sparsity.known import Values
from engine.sparsity.structure import structure
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.vmap import vmap
from tests.engine.conformance import structural
from tests.engine.conformance.cases import Case, cases, domain_cases
from tests.engine.conformance.computing import compute
from tests.engine.references import REFERENCES

OPS = [op for op in registry if not structural(op)]
SMALL = 4000
"""Entries of a Jacobian that is made as a whole."""


def pattern(graph: Graph, arrays: Sequence[Any], of: Sequence[int], wrt: Sequence[int]) -> np.ndarray:
    """The structure as a dense mask."""
    values = Values(graph, arrays, "float64")
    found = structure(graph, of, wrt, values, most=10**6, elements=10**6, memory=10**9, step=lambda: None)
    assert found.has_canonical_format
    assert (np.diff(found.indptr) >= 0).all()
    dense = found.toarray()
    assert dense.sum() == found.nnz, "an entry twice"
    return np.asarray(dense)


def jacobian(graph: Graph, arrays: Sequence[Any], of: Sequence[int], wrt: Sequence[int]) -> np.ndarray:
    """All derivatives, one tangent after another."""
    pushed = jvp_graph(graph.with_outputs(of), wrt, "float64")
    avals = [graph.nodes[i].aval for i in wrt]
    columns = []
    for k, aval in enumerate(avals):
        for i in range(aval.size):
            seeds = [np.zeros(a.shape) for a in avals]
            seeds[k].reshape(-1)[i] = 1.0
            got = compute(pushed, [*arrays, *seeds])[len(of) :]
            columns.append(np.concatenate([np.asarray(g).reshape(-1) for g in got]))
    return np.stack(columns, 1) if columns else np.zeros((0, 0))


def outside(graph: Graph, arrays: Sequence[Any], of: Sequence[int], wrt: Sequence[int]) -> np.ndarray | None:
    """Where derivatives are not 0 (NaN is not) outside the structure; None where the matrix is too large to be made."""
    size = sum(graph.nodes[i].aval.size for i in of) * sum(graph.nodes[i].aval.size for i in wrt)
    if not 0 < size <= SMALL:
        return None
    return np.argwhere((jacobian(graph, arrays, of, wrt) != 0) & ~pattern(graph, arrays, of, wrt))


def differentiable(case: Case) -> tuple[Graph, list[int], list[int]] | None:
    """The case's graph, its floating results and inputs."""
    graph = case.graph()
    of = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
    wrt = [i for i, a in zip(graph.inputs, graph.in_avals, strict=True) if a.floating]
    return (graph, of, wrt) if of and wrt else None


def all_cases(op: Op) -> list[Case]:
    reference = REFERENCES.get(op.name)
    return [*cases(op, reference), *domain_cases(op, reference, np.random.default_rng(1))]


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_no_derivative_lies_outside(op: Op) -> None:
    """First derivatives, those of the op mapped over a leading axis, and second derivatives (the gradient's)."""
    for case in all_cases(op):
        found = differentiable(case)
        if found is None:
            continue
        graph, of, wrt = found
        arrays = case.arrays
        wrong = outside(graph, arrays, of, wrt)
        assert wrong is None or not len(wrong), f"{case.label}: {wrong[:5]}"

        mapped, leads = vmap(graph, 2, [True] * len(arrays), "float64")
        if all(leads):
            twice = [np.stack([a, a[..., ::-1] if a.ndim and a.dtype.kind == "f" else a]) for a in arrays]
            ys = [o for o, a in zip(mapped.outputs, mapped.out_avals, strict=True) if a.floating]
            xs = [i for i, a in zip(mapped.inputs, mapped.in_avals, strict=True) if a.floating]
            wrong = outside(mapped, twice, ys, xs)
            assert wrong is None or not len(wrong), f"{case.label}, mapped: {wrong[:5]}"

        back = vjp_graph(graph.with_outputs(()), of, wrt, "float64")
        cts = [np.cos(1.0 + np.arange(a.size)).reshape(a.shape) for a in (graph.nodes[o].aval for o in of)]
        wrong = outside(back, [*arrays, *cts], back.outputs, wrt)
        assert wrong is None or not len(wrong), f"{case.label}, second order: {wrong[:5]}"


def only_moves(graph: Graph, of: Sequence[int]) -> bool:
    """Whether every floating result is made of moves and sums: linear ops without floating parameters."""
    active = set(graph.inputs)
    for i, node in enumerate(graph.nodes):
        if node.op in (INPUT, CONSTANT) or not active.intersection(node.inputs):
            continue
        if not isinstance(node.aval, Aval):
            return False
        if not node.aval.floating:
            continue
        active.add(i)
        floats = [k for k, j in enumerate(node.inputs) if graph.nodes[j].aval.floating]
        if not all(isinstance(node.op.rule(k), Linear) for k in floats):
            return False
        if len(floats) > 1 and not all(node.op.rule(k).joint for k in floats):
            return False
    return True


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_structures_are_exact_where_entries_are_moved_or_added(op: Op) -> None:
    checked = 0
    for case in all_cases(op):
        found = differentiable(case)
        if found is None:
            continue
        graph, of, wrt = found
        got = pattern(graph, case.arrays, of, wrt)
        if not got.size:
            continue
        expected = incidence(graph, of, wrt)
        if expected is None and only_moves(graph, of):
            expected = jacobian(graph, case.arrays, of, wrt) != 0
        if expected is None:
            continue
        checked += 1
        assert np.array_equal(got, expected), case.label
    if op.family == "shape" or (op.elementwise and op.rules and not isinstance(op.rules[0], Zero)):
        assert checked, "nothing was compared"


def incidence(graph: Graph, of: Sequence[int], wrt: Sequence[int]) -> np.ndarray | None:
    """Entry by entry on dense masks of shape (*shape, seeds); None for a graph of anything but elementwise ops."""
    total = sum(graph.nodes[i].aval.size for i in wrt)
    masks: dict[int, np.ndarray] = {}
    start = 0
    for i in wrt:
        aval = graph.nodes[i].aval
        masks[i] = np.eye(total, dtype=bool)[start : start + aval.size].reshape(*aval.shape, total)
        start += aval.size
    for i, node in enumerate(graph.nodes):
        if i in masks or not isinstance(node.aval, Aval):
            continue
        shape = (*node.aval.shape, total)
        masks[i] = np.zeros(shape, bool)
        for k, j in enumerate(node.inputs):
            if node.op.name == "core.item" or node.op.subgraphs:
                return None
            rule = node.op.rule(k)
            if node.op.name == "reshape":
                masks[i] = masks[j].reshape(shape)
            elif node.op.name == "broadcast_to":
                lead = (1,) * (len(shape) - masks[j].ndim)
                masks[i] = np.broadcast_to(masks[j].reshape(lead + masks[j].shape), shape)
            elif not node.op.elementwise:
                return None
            elif isinstance(rule, Zero) or (isinstance(rule, Partial) and rule.formula.zero):
                continue
            elif node.aval.floating:
                masks[i] = masks[i] | masks[j]
    return np.concatenate([masks[o].reshape(-1, total) for o in of])


# --------------------------------------------------------------------------------------- ops that nothing is known of


class _Secret(Op):
    """An op with a general rule that says nothing of its structure: each matrix times its own trace."""

    name = "secret"
    family = "linalg"

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        shape = avals[0].shape
        if len(shape) < 2:
            raise IndexError("needs a matrix")
        return avals[0]


class _Weighted(_Secret):
    """The same, told its axes."""

    name = "weighted"

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        return avals[0]


def made(op: Op, shape: tuple[int, ...], **params: Any) -> np.ndarray:
    """The structure of one node of the op."""
    from engine.op import General

    op.rules = (General(),)
    b = GraphBuilder("float64")
    x = b.input(Aval(shape, "float64"))
    y = b.emit(op, [x], tuple(sorted(params.items())))
    return pattern(b.build([y]), [np.zeros(shape)], [y], [x])


def test_unknown_ops_keep_leading_axes_and_named_axes_apart() -> None:
    found = made(_Secret(), (3, 2, 2))
    assert np.array_equal(found, np.kron(np.eye(3), np.ones((4, 4))) == 1)
    assert made(_Secret(), (2, 2)).all()
    found = made(_Weighted(), (2, 3, 2), axis=-2)
    expected = np.einsum("ac,bd,ef->abecdf", np.eye(2), np.ones((3, 3)), np.eye(2)).reshape(12, 12)
    assert np.array_equal(found, expected == 1)
    assert made(_Weighted(), (2, 3), axis=-2).sum() == 12
