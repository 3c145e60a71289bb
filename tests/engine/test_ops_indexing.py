"""x[…], take, gather, take_along_axis, scatter_add, one_hot: against NumPy, and what they refuse."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from engine.attrs import IndexArray, Slice
from engine.aval import Aval, Shape
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.errors import (
    Arity,
    DtypeMismatch,
    EngineError,
    InvalidAttribute,
    LimitExceeded,
    ShapeMismatch,
    Unsupported,
)
from engine.graph import typecheck
from engine.op import InputRef
from engine.transforms.vmap import vmap
from tests.engine.calls import answer, gradient, value
from tests.engine.helpers import ask, near

RNG = np.random.default_rng(31)
VECTOR = RNG.normal(size=5)
BLOCK = RNG.normal(size=(3, 4, 5))
MASK = RNG.random((3, 4)) < 0.5

# ----------------------------------------------------------------------------------------------------------- getitem


def parts(index: tuple[Any, ...], computed: bool) -> tuple[tuple[Any, ...], list[Any]]:
    """A NumPy index as the op's own; arrays of integers are further operands if `computed`, else constants."""
    own: list[Any] = []
    further: list[Any] = []
    for part in index:
        if isinstance(part, slice):
            own.append(Slice(part.start, part.stop, part.step))
        elif isinstance(part, np.ndarray) and computed and part.dtype != bool:
            further.append(part)
            own.append(InputRef(len(further)))
        else:
            own.append(IndexArray(part) if isinstance(part, np.ndarray) else part)
    return tuple(own), further


def getitem(x: Any, index: tuple[Any, ...], computed: bool, max_elements: float = 1e7) -> Any:
    """x[index] by a graph; also checks that the graph is well typed and the result as it says."""
    own, further = parts(index, computed)
    arrays = [np.asarray(x), *map(np.asarray, further)]
    b = GraphBuilder(max_elements=max_elements)
    operands = [Var(b, b.input(Aval(a.shape, str(a.dtype)))) for a in arrays]  # type: ignore[arg-type]
    graph = b.build([call(b, "getitem", *operands, index=own).ref])
    typecheck(graph)
    (y,) = EagerBuilder().inline(graph, [a[()] for a in arrays])
    assert (np.shape(y), str(np.asarray(y).dtype)) == graph.out_avals[0]
    return y


A, B = np.array([2, 0, -1]), np.array([[1], [3]])
INDICES: list[tuple[Any, ...]] = [
    (),
    (...,),
    (1,),
    (-1, 2, 3),
    (slice(None), slice(None, None, -1)),
    (slice(-2, None), slice(9, -9, -2), slice(3, 1)),
    (None, ..., None, 0, None),
    (A,),
    (slice(None), A),
    (..., A),
    (A, A),
    (A, B),
    (slice(None), A, A),
    (A, slice(None), A),  # separated: in front
    (slice(None), A, ..., A),  # an ellipsis for nothing separates as well
    (0, slice(None), A),  # an integer counts as an index array, so these two are separated
    (slice(None), 0, A),
    (A, None, A),
    (None, A, A, None),
    (slice(1, None), A, None, 2),
    (np.array([], int),),
    (np.array(1), slice(None), np.array(2)),
    (np.array([[0, 1], [1, 0]]), 1, slice(0, 0)),
    (MASK,),
    (MASK, A[:1]),
    (slice(None), MASK[0], 1),
    (np.zeros((3, 4), bool),),
    (..., np.array([True, False, True, False, False])),
]


@pytest.mark.parametrize("computed", [False, True], ids=["constant", "computed"])
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_getitem_is_numpys(index: tuple[Any, ...], computed: bool) -> None:
    np.testing.assert_array_equal(getitem(BLOCK, index, computed), BLOCK[index])
    for other in (BLOCK > 0, (9 * BLOCK).astype(np.int64)):
        np.testing.assert_array_equal(getitem(other, index, computed), other[index])


def random_index(r: random.Random, shape: Shape) -> tuple[Any, ...]:
    index: list[Any] = []
    axis = 0
    common = r.choice([(2,), (3,), (2, 1), (1, 3), (1,)])
    while axis < len(shape) and len(index) < 6:
        n = shape[axis]
        kind = r.choice(["int", "slice", "new", "array", "array", "mask", "stop"])
        if kind == "stop":
            break
        if kind == "new":
            index.append(None)
            continue
        axis += 1
        if kind == "int":
            index.append(r.randrange(-n, n))
        elif kind == "slice":
            index.append(
                slice(*(r.choice([None, r.randint(-6, 6)]) for _ in range(2)), r.choice([None, 1, 2, -1, -3]))
            )
        elif kind == "array":
            places = [r.randrange(-n, n) for _ in range(np.prod(common, dtype=int))]
            index.append(np.array(places).reshape(common) if r.random() < 0.8 else np.array(places[0]))
        else:
            index.append(np.array([r.random() < 0.5 for _ in range(n)]))
    if r.random() < 0.3:
        index.insert(r.randint(0, len(index)), ...)
    return tuple(index)


@pytest.mark.parametrize("seed", range(40))
def test_getitem_is_numpys_for_random_indices(seed: int) -> None:
    r = random.Random(seed)
    for _ in range(10):
        x = RNG.normal(size=[r.randint(1, 4) for _ in range(r.randint(1, 4))])
        index = random_index(r, x.shape)
        try:
            expected = x[index]
        except IndexError:
            with pytest.raises(EngineError):
                getitem(x, index, computed=False)
            continue
        for computed in (False, True):
            np.testing.assert_array_equal(getitem(x, index, computed), expected, err_msg=repr(index))


def test_gradient_of_getitem_adds_up_where_an_entry_is_read_twice() -> None:
    seed = np.array([1.0, 10.0, 100.0])
    got = answer("grad", "getitem", [VECTOR], {"index": [[1, 1, -5]]}, seed=seed)["gradients"]["x0"]
    near(got, [100.0, 11.0, 0.0, 0.0, 0.0])
    mixed = ask("grad", "sum(x[i, :, j] ** 2)", {"x": BLOCK, "i": np.array([0, 0]), "j": np.array([2, 2])})
    expected = np.zeros_like(BLOCK)
    expected[0, :, 2] = 4 * BLOCK[0, :, 2]
    near(mixed["gradients"]["x"], expected)


def test_a_computed_index_may_be_mapped() -> None:
    indices = np.array([[0, 2], [-1, -1], [1, 0]])
    got = ask("evaluate", "x[i] * 2", {"x": VECTOR, "i": indices}, in_axes={"i": 0})
    near(got["outputs"]["t2"], 2 * VECTOR[indices])
    asked = ask("grad", "sum(x[i] ** 2)", {"x": VECTOR, "i": indices}, in_axes={"i": 0})
    expected = np.zeros((3, 5))
    for k, row in enumerate(indices):
        np.add.at(expected[k], row, 2 * VECTOR[row])
    near(asked["gradients"]["x"], expected)


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        ((0, 1, 2, 3), InvalidAttribute, "3 axes (shape [3, 4, 5]), and the index names 4"),
        ((0, -5), InvalidAttribute, "index -5 is out of range for axis 1 of size 4 (allowed are -4 to 3)"),
        ((..., np.array([0, 7])), InvalidAttribute, "index 7 is out of range for axis 2 of size 5"),
        ((np.array([0, 1]), np.array([0, 1, 2])), ShapeMismatch, "shapes [2] and [3] cannot be broadcast"),
        ((..., ...), InvalidAttribute, "only one ellipsis"),
        ((slice(0, 2, 0),), InvalidAttribute, "step of a slice cannot be 0"),
    ],
)
def test_what_getitem_refuses(index: tuple[Any, ...], error: type[EngineError], words: str) -> None:
    for computed in (False, True):
        with pytest.raises(error) as caught:
            getitem(BLOCK, index, computed)
        assert words in caught.value.detail


def test_a_mask_must_fit() -> None:
    with pytest.raises(ShapeMismatch, match=r"mask of shape \[2\] does not fit the axes from 1 on"):
        getitem(BLOCK, (slice(None), np.array([True, False])), computed=False)


def test_a_shape_that_depends_on_data_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="where"):
        ask("evaluate", "sum(x[x > 0])", {"x": VECTOR})
    b = GraphBuilder()
    x, n = Var(b, b.input(Aval((5,), "float64"))), Var(b, b.input(Aval((), "int64")))
    with pytest.raises(Unsupported, match="start of a slice decides the shape"):
        call(b, "getitem", x, n, index=(Slice(InputRef(1), None),))
    with pytest.raises(Arity, match="refers to input 2"):
        call(b, "getitem", x, n, index=(InputRef(2),))


def test_a_mask_that_is_a_constant_is_an_index() -> None:
    b = GraphBuilder()
    x, mask = Var(b, b.input(Aval((2,), "float64"))), b.var(np.array([False, True]))
    assert call(b, "getitem", x, mask, index=(InputRef(1),)).shape == (1,)


def test_index_arrays_that_are_small_but_whose_product_is_not() -> None:
    rows = np.zeros((100_000, 1), np.int64)
    with pytest.raises(LimitExceeded):
        getitem(BLOCK, (rows, rows.T), computed=False)
    small = getitem(BLOCK, (rows[:400], rows[:400].T), computed=False)
    assert small.shape == (400, 400, 5)
    np.testing.assert_array_equal(small[7, 9], BLOCK[0, 0])


# --------------------------------------------------------------------------------------------- take, gather and others


@pytest.mark.parametrize("mode", ["raise", "wrap", "clip"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [[], 1, [0, -1], [[2, 0], [1, 2]], [-9, 70]], ids=str)
def test_take(indices: Any, axis: int | None, mode: str) -> None:
    index = np.array(indices, np.int64)
    try:
        expected = np.take(BLOCK, index, axis, mode=mode)  # type: ignore[call-overload]
    except IndexError:
        with pytest.raises(InvalidAttribute, match=r"take: index (-9|70) is out of range"):
            value("take", BLOCK, index, axis=axis, mode=mode)
        return
    near(value("take", BLOCK, index, axis=axis, mode=mode), expected)
    given = (
        answer("evaluate", "take", [BLOCK], {"indices": indices, "axis": axis, "mode": mode})
        if indices != []
        else None
    )
    if given is not None:
        near(given["outputs"]["y"], expected)


def test_examples_of_numpys_reference() -> None:
    a = np.array([4.0, 3, 5, 7, 6, 8])
    near(value("take", a, np.array([0, 1, 4])), [4, 3, 6])
    near(value("take", a, np.array([[0, 1], [2, 3]])), [[4, 3], [5, 7]])
    a = np.array([[10.0, 30, 20], [60, 40, 50]])
    order = np.argsort(a, axis=1)
    near(value("take_along_axis", a, order, axis=1), [[10, 20, 30], [40, 50, 60]])
    near(value("take_along_axis", a, np.argmax(a, axis=1, keepdims=True), axis=1), [[30], [60]])
    near(value("scatter_add", np.array([1.0, 2, 3, 4]), np.array([0, 1, 2, 2]), 1.0), [2, 3, 5, 4])
    x, y = np.arange(35.0).reshape(5, 7), np.array([0, 2, 4])
    near(ask("evaluate", "y[i, j]", {"y": x, "i": y, "j": np.array([0, 1, 2])})["outputs"]["t1"], [0, 15, 30])
    near(ask("evaluate", "y[i, 1:3]", {"y": x, "i": y})["outputs"]["t1"], [[1, 2], [15, 16], [29, 30]])


@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 2)), ((3, 4), (1, 2)), ((1, 4), (3, 2)), ((3, 4), (3, 0)), ((1, 1), (1, 3))]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_take_along_axis_broadcasts(shapes: tuple[Shape, Shape], axis: int) -> None:
    x = RNG.normal(size=shapes[0])
    index = RNG.integers(-x.shape[1], x.shape[1], size=shapes[1])
    x, index = (x, index) if axis == 1 else (x.T, index.T)
    near(value("take_along_axis", x, index, axis=axis), np.take_along_axis(x, index, axis))


def test_gather_with_shared_axes_is_a_loop() -> None:
    x, index = RNG.normal(size=(2, 3, 4, 5)), RNG.integers(-4, 4, size=(2, 6))
    expected = np.stack([np.take(row, i, axis=1) for row, i in zip(x, index, strict=True)])
    near(value("gather", x, index, axis=2, batch_dims=1), expected)
    with pytest.raises(ShapeMismatch, match="with batch_dims = 1"):
        value("gather", x, index[:1], axis=2, batch_dims=1)
    with pytest.raises(ShapeMismatch, match="with batch_dims = 2"):
        value("gather", x, index, axis=1, batch_dims=2)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 3)], ids=str)
def test_scatter_add_is_add_at(axis: int, shape: Shape) -> None:
    at = axis % 3
    index = RNG.integers(-3, 3, size=shape)
    full = BLOCK.shape[:at] + shape + BLOCK.shape[at + 1 :]
    for updates in (RNG.normal(size=full), RNG.normal(size=full[1:]), np.array(2.5)):
        expected = BLOCK.copy()
        np.add.at(expected, (*[slice(None)] * at, index), np.broadcast_to(updates, full).copy())
        near(value("scatter_add", BLOCK, index, updates, axis=axis), expected)


def test_scatter_add_does_not_broadcast_inside_numpy() -> None:
    # np.add.at(x, [[0, 0], [1, 1]], [1, 2]) reads behind the end of the updates (NumPy 2.4).
    near(value("scatter_add", np.zeros(2), np.array([[0, 0], [1, 1]]), np.array([1.0, 2.0])), [3.0, 3.0])


def test_what_scatter_add_leaves_alone_stays_as_it_is() -> None:
    got = value("scatter_add", np.array([-0.0, np.inf, np.nan, 1.0]), np.array([3]), 1.0)
    assert np.signbit(got[0])
    np.testing.assert_array_equal(got, [0.0, np.inf, np.nan, 2.0])


@pytest.mark.parametrize("marks", range(1, 8))
def test_mapped_scatter_add_is_a_loop(marks: int) -> None:
    operands = [RNG.normal(size=(4, 2, 3)), RNG.integers(-2, 2, size=(4, 3)), RNG.normal(size=(4, 2, 3, 3))]
    mapped = [bool(marks >> k & 1) for k in range(3)]
    given = [a if m else a[0] for a, m in zip(operands, mapped, strict=True)]
    b = GraphBuilder()
    shapes: list[Any] = [Aval(a.shape[1:], str(a.dtype)) for a in operands]  # type: ignore[arg-type]
    x, index, updates = (Var(b, b.input(a)) for a in shapes)
    # The axis is the first of two; the updates are those of index entries along it.
    y = call(b, "scatter_add", x, index, call(b, "getitem", updates, index=(0,)), axis=0)
    graph, _ = vmap(b.build([y.ref]), 4, mapped, "float64")
    typecheck(graph)
    (got,) = EagerBuilder().inline(graph, given)
    for k in range(4):
        base, places, added = (a[k] if m else a for a, m in zip(given, mapped, strict=True))
        expected = base.copy()
        np.add.at(expected, places, added[0])
        near(got[k], expected)


def test_one_hot() -> None:
    near(value("one_hot", np.array([2, 0]), num_classes=3), [[0, 0, 1], [1, 0, 0]])
    near(value("one_hot", np.array([2, 0]), num_classes=3, axis=0), [[0, 1], [0, 0], [1, 0]])
    assert value("one_hot", np.array([], np.int64), num_classes=3).shape == (0, 3)
    for wrong in (-1, 3):
        with pytest.raises(InvalidAttribute, match=f"one_hot: index {wrong} is out of range .* of size 3"):
            value("one_hot", np.array([wrong]), num_classes=3)
    b = GraphBuilder(max_elements=1e7)
    label = Var(b, b.input(Aval((), "int64")))
    with pytest.raises(LimitExceeded):
        call(b, "one_hot", label, num_classes=10**12)


def test_an_index_out_of_range_is_found_while_reading_if_it_is_a_constant() -> None:
    b = GraphBuilder()
    x = Var(b, b.input(Aval((3, 2), "float64")))
    for name in ("take", "gather"):
        with pytest.raises(InvalidAttribute, match="index 3 is out of range for axis 0 of size 3"):
            call(b, name, x, b.var(np.array([0, 3])), axis=0)
    with pytest.raises(InvalidAttribute, match=r"axis 0 of size 0 \(there is nothing to index\)"):
        call(b, "gather", Var(b, b.input(Aval((0, 2), "float64"))), b.var(np.array(0)))


def test_indices_must_be_integers() -> None:
    with pytest.raises(DtypeMismatch, match="take: indices must be integers"):
        value("take", VECTOR, np.array([0.5]))
    near(gradient("take", VECTOR, np.array(1)), [0, 1, 0, 0, 0])
