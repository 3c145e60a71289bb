"""Patterns against dense masks: every operation, with rows shared or not, and with hardly any room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sparsity import pattern
from engine.sparsity.pattern import (
    Pattern,
    anything,
    beside,
    combined,
    concatenated,
    grouped,
    table_of,
    union,
)
from engine.sparsity.structure import symmetric

COLUMNS = 7
ROOM = st.sampled_from([10**6, 10**6, 5])
"""How many nonzeros a table may have."""


@pytest.fixture(autouse=True, params=[0, 3, 32])
def heavy(request: Any) -> Iterator[None]:
    """Rows are heavy from this length on: at 0 all are, and are looked at."""
    old = pattern.HEAVY
    pattern.HEAVY = request.param
    yield
    pattern.HEAVY = old


@st.composite
def patterns(draw: Any, shape: tuple[int, ...] | None = None) -> Pattern:
    """A few rows, each entry with one of them."""
    shape = draw(st.sampled_from([(), (1,), (4,), (2, 3), (3, 2, 2)])) if shape is None else shape
    sets = st.sets(st.integers(0, COLUMNS - 1))
    rows = [sorted(s) for s in draw(st.lists(sets | st.just(set(range(COLUMNS))), min_size=1, max_size=5))]
    starts = np.cumsum([0, *map(len, rows)])
    table = table_of(np.array([j for row in rows for j in row], np.int32), starts, COLUMNS)
    ids = draw(
        st.lists(st.integers(0, len(rows)), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    )
    return Pattern(np.array(ids, np.int64).reshape(shape), table)


def mask(p: Pattern | None, shape: tuple[int, ...]) -> np.ndarray:
    """The pattern as a mask of shape (*shape, seeds), once it is found to be in order."""
    if p is None:
        return np.zeros((*shape, COLUMNS), bool)
    assert p.shape == shape
    for row in range(p.table.shape[0]):
        mine = p.table.indices[p.table.indptr[row] : p.table.indptr[row + 1]]
        assert (np.diff(mine) > 0).all()
    assert p.table.indptr[1] == 0
    dense = p.rows().toarray().reshape(*shape, COLUMNS)
    assert p.count == dense.sum()
    return np.asarray(dense)


def check(got: np.ndarray, expected: np.ndarray, room: int, *, empty: bool = True) -> None:
    """Equal; or, where there is no room, no less. `empty`: but rows that have nothing have nothing then, too."""
    if room < 100:
        assert (got | ~expected).all()
        assert not empty or not got[~expected.any(-1)].any()
    else:
        np.testing.assert_array_equal(got, expected)


@settings(max_examples=150, deadline=None)
@given(st.data(), ROOM)
def test_union(data: Any, room: int) -> None:
    p = data.draw(patterns())
    q = data.draw(patterns(p.shape))
    r = p.with_ids(np.flip(p.ids)) if data.draw(st.booleans()) else data.draw(patterns(p.shape))
    expected = mask(p, p.shape) | mask(q, p.shape) | mask(r, p.shape)
    check(mask(union([p, q, r], room), p.shape), expected, room)
    assert mask(union([p, p]), p.shape).sum() == p.count


@settings(max_examples=150, deadline=None)
@given(st.data(), ROOM)
def test_grouped_and_combined(data: Any, room: int) -> None:
    p = data.draw(patterns())
    size = data.draw(st.integers(1, 5))
    targets = np.array(
        data.draw(st.lists(st.integers(-1, size - 1), min_size=p.ids.size, max_size=p.ids.size))
    )
    flat = mask(p, p.shape).reshape(-1, COLUMNS)
    expected = np.zeros((size, COLUMNS), bool)
    for row, target in zip(flat, targets, strict=True):
        if target >= 0:
            expected[target] |= row
    check(mask(grouped(p, targets.reshape(p.shape), (size,), room), (size,)), expected, room)
    matrix = np.zeros((size, p.ids.size), bool)
    matrix[targets[targets >= 0], np.flatnonzero(targets >= 0)] = True
    matrix |= np.roll(matrix, 1, 1)
    expected = (matrix.astype(int) @ flat.astype(int)) > 0
    check(mask(combined(sp.csr_array(matrix), p, (size,), room), (size,)), expected, room, empty=False)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_moves(data: Any) -> None:
    p = data.draw(patterns((2, 3)))
    places = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=4, max_size=4)))
    flat = np.concatenate([np.zeros((1, COLUMNS), bool), mask(p, (2, 3)).reshape(6, COLUMNS)])
    np.testing.assert_array_equal(mask(p.take(places), (4,)), flat[places + 1])
    np.testing.assert_array_equal(mask(p.reshape((3, 2)), (3, 2)), mask(p, (2, 3)).reshape(3, 2, COLUMNS))
    np.testing.assert_array_equal(
        mask(p.spread((4, 2, 3)), (4, 2, 3)), np.broadcast_to(mask(p, (2, 3)), (4, 2, 3, COLUMNS))
    )
    everything = np.flatnonzero(mask(p, (2, 3)).any((0, 1)))
    np.testing.assert_array_equal(p.everything(), everything)
    whole = mask(anything([p, p.with_ids(p.ids[::-1])], (2,)), (2,))
    assert [np.flatnonzero(row).tolist() for row in whole] == [everything.tolist()] * 2


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_joined(data: Any) -> None:
    parts = [data.draw(st.none() | patterns((3,))) for _ in range(3)]
    parts.append(parts[0])
    expected = np.stack([mask(p, (3,)) for p in parts])
    np.testing.assert_array_equal(mask(concatenated(parts, (4, 3), 3), (4, 3)), expected)
    p, q = data.draw(patterns((4,))), data.draw(patterns((4,)))
    first = p.take(np.array([0, -1, 2, -1]))
    second = (q if data.draw(st.booleans()) else p).take(np.array([-1, 3, -1, 0]))
    got = beside([part for part in (first, second) if part is not None])
    np.testing.assert_array_equal(mask(got, (4,)), mask(first, (4,)) | mask(second, (4,)))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_symmetric(size: int, seed: int) -> None:
    dense = np.random.default_rng(seed).random((size, size)) < 0.3
    got = symmetric(sp.csr_array(dense))
    np.testing.assert_array_equal(got.toarray(), dense | dense.T)
    assert all(
        (np.diff(got.indices[a:b]) > 0).all() for a, b in zip(got.indptr, got.indptr[1:], strict=False)
    )


def test_what_has_no_room_becomes_one_row() -> None:
    size = 60
    rows = np.tril(np.ones((size, size), bool))
    first, last = (
        Pattern(np.arange(1, size + 1), table_of(np.nonzero(m)[1], np.cumsum([0, *m.sum(1)]), size))
        for m in (rows, np.roll(rows.T, 1, 1))
    )
    for got in (
        union([first, last], 2000),
        grouped(first, np.arange(size) // 2, (size,), 200),
        combined(sp.csr_array(np.ones((size, size), bool)), last, (size,), 200),
    ):
        assert got is not None
        assert len(got.used()) == 1
        assert got.table.nnz <= size or got.table is last.table
    assert union([first, last], 10**6).table.nnz > 2000
