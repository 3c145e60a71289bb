"""Rewriting that claims to change nothing, on zeros of both signs, infinities and NaN: bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.aval import Aval
from engine.builder import EagerBuilder, Var, call
from engine.execute.plan import Plan
from engine.execute.plan.assemble import ASSEMBLE, assembled
from engine.graph import typecheck
from engine.transforms.simplify import simplify
from tests.engine.execute.test_plan_memory import graph_of

B = EagerBuilder("float64")
HARD = [0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 5e-324]
PAIRS = [np.array(v) for v in zip(*[(x, y) for x in HARD for y in HARD], strict=True)]
VECTOR = Aval((len(PAIRS[0]),), "float64")


def bits(x: np.ndarray) -> np.ndarray:
    """Bit patterns, all NaN alike."""
    return np.where(np.isnan(x), np.nan, x).view(np.int64)


def one(x: Var) -> Var:
    return Var(x.b, x.b.ones(x.aval))


REWRITTEN: dict[str, Callable[[Var, Var], Var]] = {
    "x + (-y)": lambda x, y: x + -y,
    "(-x) + y": lambda x, y: -x + y,
    "(-x) + (-y)": lambda x, y: -x + -y,
    "x - (-y)": lambda x, y: x - -y,
    "x * 1": lambda x, y: x * one(y),
    "1 * x": lambda x, y: one(y) * x,
    "transposed twice": lambda x, y: turned(turned((x * y).reshape((8, 8)))).reshape((64,)),
    "stretched twice": lambda x, y: stretched(stretched(x.sum(), (2,)), (3, 2)).sum() + y,
}


def turned(x: Var) -> Var:
    return call(x.b, "permute_dims", x)


def stretched(x: Var, shape: tuple[int, ...]) -> Var:
    return Var(x.b, x.b.core("broadcast_to", x.ref, shape=shape))


@pytest.mark.parametrize("name", REWRITTEN)
def test_simplification_keeps_every_bit(name: str) -> None:
    graph = graph_of(lambda x, y: [REWRITTEN[name](x, y)], VECTOR, VECTOR)
    simple = simplify(graph, "float64")
    typecheck(simple)
    assert len(simple.nodes) < len(graph.nodes)
    with np.errstate(all="ignore"):
        (before,), (after,) = B.inline(graph, PAIRS), B.inline(simple, PAIRS)
    np.testing.assert_array_equal(bits(before), bits(after))
    np.testing.assert_array_equal(bits(before), bits(Plan(simple).run(B, PAIRS).results[0]))


def embedded(x: Var, start: int, stop: int, width: int = 7) -> Var:
    """A column, or some, laid into zeros."""
    return Var(x.b, x.b.core("embed", x.ref, index=((start, stop, 1),), shape=(width,)))


def column(x: Var, k: int) -> Var:
    return x.reshape((x.size, 1)) * float(k)


SUMS: dict[str, Callable[[Var, Var], list[Var]]] = {
    "one for each column": lambda x, y: [
        sum((embedded(column(x if k % 2 else y, k), k, k + 1) for k in range(1, 7)), embedded(column(x, 9), 0, 1))
    ],
    "with gaps": lambda x, y: [embedded(column(x, 1), 2, 3) + embedded(column(y, 2), 5, 6)],
    "twice the same": lambda x, y: [
        (embedded(column(x, 1), 2, 3) + embedded(column(y, 1), 4, 5))
        + (embedded(column(y, 2), 2, 3) + embedded(column(x, 2), 0, 1))
    ],
    "in one place only": lambda x, y: [embedded(column(x, 1), 2, 3) + embedded(column(y, 2), 2, 3)],
    "one used elsewhere": lambda x, y: both(embedded(column(x, 1), 2, 3), embedded(column(y, 1), 4, 5)),
    "one added twice": lambda x, y: [twice(embedded(column(y, 1), 4, 5), embedded(column(x, 1), 2, 3))],
    "one added to itself": lambda x, y: [doubled(embedded(column(x, 1), 2, 3)) + embedded(column(y, 1), 4, 5)],
    "a result that is one": lambda x, y: both(embedded(column(x, 1), 2, 3), embedded(column(y, 1), 4, 5), of=1.0),
    "overlapping": lambda x, y: [
        embedded(call(x.b, "concat", column(x, 1), column(y, 1), axis=1), 1, 3) + embedded(column(y, 1), 2, 3)
    ],
    "onto what is full": lambda x, y: [
        (embedded(column(x, 1), 2, 3) + embedded(column(y, 1), 4, 5)) + stretched(column(x, 1), (x.size, 7))
    ],
}  # fmt: skip


def both(x: Var, y: Var, of: float = 2.0) -> list[Var]:
    return [x + y, x * of if of != 1.0 else x]


def twice(x: Var, y: Var) -> Var:
    return (x + y) + y


def doubled(x: Var) -> Var:
    return x + x


@pytest.mark.parametrize("tile", [5, 4096])
@pytest.mark.parametrize("name", SUMS)
def test_sums_of_slices_keep_every_bit(name: str, tile: int) -> None:
    graph = graph_of(SUMS[name], VECTOR, VECTOR)
    written = assembled(graph)
    typecheck(written)
    there = any(node.op is ASSEMBLE for node in written.nodes)
    assert there == (name not in ("overlapping", "in one place only"))
    with np.errstate(all="ignore"):
        expected = B.inline(graph, PAIRS)
    for least in (0, 1e9):
        for f, e in zip(Plan(graph, tile=tile, least=least).run(B, PAIRS).results, expected, strict=True):
            np.testing.assert_array_equal(bits(f), bits(e))
