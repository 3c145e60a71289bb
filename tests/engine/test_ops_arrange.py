"""Ops that move, repeat, join and cut: against NumPy over many arguments, and what they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from engine.aval import FLOAT64
from engine.builder import GraphBuilder, Var, call
from engine.cost import Limits
from engine.errors import Arity, EngineError, InvalidAttribute, LimitExceeded, ShapeMismatch
from engine.graph import typecheck
from engine.transforms.pull import vjp_graph
from tests.engine.calls import answer, gradient, value, values
from tests.engine.helpers import ask, near

RNG = np.random.default_rng(21)
VECTOR = RNG.normal(size=5)
MATRIX = RNG.normal(size=(3, 4))
BLOCK = RNG.normal(size=(2, 3, 4))
EMPTY = np.zeros((0, 3))


def same(name: str, expected: Any, *operands: Any, **attrs: Any) -> None:
    """The op gives exactly that."""
    got = value(name, *operands, **attrs)
    assert got.shape == np.shape(expected)
    np.testing.assert_array_equal(got, expected)


# ---------------------------------------------------------------------------------------------------- as in NumPy


@pytest.mark.parametrize("x", [VECTOR, MATRIX, BLOCK, EMPTY], ids=["vector", "matrix", "block", "empty"])
@pytest.mark.parametrize("shift", [0, 1, -2, 7, 10**15])
def test_roll(x: Any, shift: int) -> None:
    same("roll", np.roll(x, shift), x, shift=shift)
    same("roll", np.roll(x, shift, -1), x, shift=shift, axis=-1)
    same("roll", np.roll(x, (shift, 1), (0, 0)), x, shift=[shift, 1], axis=[0, 0])


@pytest.mark.parametrize("reps", [0, 1, 3, [2, 1], [2, 0, 1], [3, 1, 2], [1, 2, 1, 2]])
@pytest.mark.parametrize(
    "x", [np.array(2.0), VECTOR, BLOCK, EMPTY], ids=["scalar", "vector", "block", "empty"]
)
def test_tile(x: Any, reps: Any) -> None:
    same("tile", np.tile(x, reps), x, reps=reps)


@pytest.mark.parametrize("repeats", [0, 2, [3], [1, 1, 1], [0, 2, 2], [0, 0, 0], [4, 0, 1]])
def test_repeat(repeats: Any) -> None:
    same("repeat", np.repeat(BLOCK, repeats, 1), BLOCK, repeats=repeats, axis=1)
    same("repeat", np.repeat(BLOCK[0, :, 0], repeats), BLOCK[0, :, 0], repeats=repeats)


@pytest.mark.parametrize("k", range(-1, 5))
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (2, 0), (-1, 1)])
def test_rot90(k: int, axes: tuple[int, int]) -> None:
    same("rot90", np.rot90(BLOCK, k, axes), BLOCK, k=k, axes=list(axes))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (2, 0), ()])
def test_flip(axis: Any) -> None:
    same("flip", np.flip(BLOCK, axis), BLOCK, axis=axis)


@pytest.mark.parametrize(
    ("source", "destination"), [(0, 2), (-1, 0), ([0, 1], [1, 2]), ([2, 0], [0, 1]), ([], [])]
)
def test_moveaxis(source: Any, destination: Any) -> None:
    same("moveaxis", np.moveaxis(BLOCK, source, destination), BLOCK, source=source, destination=destination)


@pytest.mark.parametrize("axis", [0, 3, -1, (0, 2), (-1, -3), (0, 1, 4)])
def test_expand_dims_and_squeeze(axis: Any) -> None:
    wide = np.expand_dims(BLOCK, axis)
    same("expand_dims", wide, BLOCK, axis=axis)
    same("squeeze", BLOCK, wide, axis=axis)
    same("squeeze", BLOCK, wide)


PADS = ["constant", "edge", "reflect", "symmetric", "wrap"]


@pytest.mark.parametrize("mode", PADS)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_pad_of_a_vector(mode: str, n: int) -> None:
    x = np.arange(1.0, n + 1)
    for before, behind in itertools.product([0, 1, n - 1, n, n + 1, 3 * n + 2], repeat=2):
        attrs: dict[str, Any] = {"constant_values": [7, -1]} if mode == "constant" else {}
        expected = np.pad(x, (before, behind), mode, **attrs)
        same("pad", expected, x, pad_width=[before, behind], mode=mode, **attrs)


@pytest.mark.parametrize("mode", PADS)
@pytest.mark.parametrize("width", [0, 1, [2], [1, 3], [[1, 3]], [[1], [0], [2]], [[1, 0], [0, 0], [4, 5]]])
def test_pad_widths(mode: str, width: Any) -> None:
    same("pad", np.pad(BLOCK, width, mode), BLOCK, pad_width=width, mode=mode)


@pytest.mark.parametrize("constant", [2.5, [1, 2], [[1, 2]], [[1, 2], [3, 4]], [[1], [2]]])
def test_pad_constants(constant: Any) -> None:
    width = [[1, 2], [2, 1]]
    same(
        "pad",
        np.pad(MATRIX, width, constant_values=constant),
        MATRIX,
        pad_width=width,
        constant_values=constant,
    )


def test_pad_of_integers() -> None:
    x = np.array([1, 2])
    assert value("pad", x, pad_width=1, constant_values=3).dtype == np.int64
    same("pad", np.array([0.5, 1, 2, 0.5]), x, pad_width=1, constant_values=0.5)
    same("pad", np.array([False, True, True, False]), np.array([True, True]), pad_width=1)


@pytest.mark.parametrize("k", [-9, -3, -1, 0, 1, 2, 4, 9])
def test_diagonals_and_triangles(k: int) -> None:
    for x in (MATRIX, MATRIX.T, np.zeros((0, 3)), np.zeros((2, 0))):
        same("diag", np.diag(x, k), x, k=k)
        same("tril", np.tril(x, k), x, k=k)
        same("triu", np.triu(x, k), x, k=k)
        same("diagonal", np.diagonal(x, k), x, offset=k)
    for axes in itertools.permutations(range(3), 2):
        same("diagonal", np.diagonal(BLOCK, k, *axes), BLOCK, offset=k, axis1=axes[0], axis2=axes[1])
    same("tril", np.tril(BLOCK, k), BLOCK, k=k)
    for v in (VECTOR, np.zeros(0)):
        same("diag", np.diag(v, k), v, k=k)


def test_triangles_leave_nothing_of_the_other_side() -> None:
    x = np.full((2, 2), np.nan)
    x[1, 0] = 1.0
    near(value("tril", x, k=-1), [[0, 0], [1, 0]])
    near(gradient("tril", x, k=-1, seed=np.full((2, 2), 5.0)), [[0, 0], [5, 0]])


@pytest.mark.parametrize("name", ["concat", "stack", "hstack", "vstack", "dstack", "column_stack"])
@pytest.mark.parametrize("x", [VECTOR, MATRIX, BLOCK], ids=["vector", "matrix", "block"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_joins(name: str, x: Any, count: int) -> None:
    parts = [x + k for k in range(count)]
    same(name, getattr(np, name)(parts), *parts)
    if name in ("concat", "stack"):
        same(name, getattr(np, name)(parts, axis=-1), *parts, axis=-1)
    scaled = ask(
        "grad",
        {
            "nodes": [
                *[{"id": f"x{k}", "op": "input"} for k in range(count)],
                {"id": "y", "op": name, "inputs": [f"x{k}" for k in range(count)]},
            ],
        },
        {f"x{k}": p for k, p in enumerate(parts)},
        seed=getattr(np, name)(parts),
    )
    for k, p in enumerate(parts):
        np.testing.assert_array_equal(scaled["gradients"][f"x{k}"], p)


def test_scalars_side_by_side() -> None:
    for name in ("stack", "hstack", "array"):
        same(name, np.array([1.0, 2.0]), 1.0, 2.0)
    same("vstack", np.array([[1.0], [2.0]]), 1.0, 2.0)
    same("array", np.zeros(0))


def test_joined_parts_have_one_dtype() -> None:
    assert value("concat", np.array([1]), np.array([2])).dtype == np.int64
    same("concat", np.array([1.0, 2.5]), np.array([1]), np.array([2.5]))


@pytest.mark.parametrize("cuts", [1, 2, 4, [1], [0, 2], [2, 2, 3], [3, 1], [-1], [9], []])
@pytest.mark.parametrize("axis", [0, 1])
def test_split(cuts: Any, axis: int) -> None:
    x = RNG.normal(size=(4, 4))
    expected = np.split(x, cuts, axis)
    for got, e in zip(
        values("split", len(expected), x, indices_or_sections=cuts, axis=axis), expected, strict=True
    ):
        np.testing.assert_array_equal(got, e)


@pytest.mark.parametrize("cuts", [2, 3, 5, 7])
def test_array_split(cuts: int) -> None:
    for got, e in zip(
        values("array_split", cuts, VECTOR, indices_or_sections=cuts),
        np.array_split(VECTOR, cuts),
        strict=True,
    ):
        np.testing.assert_array_equal(got, e)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
def test_meshgrid(indexing: str) -> None:
    axes = [np.arange(2.0), np.array(5.0), np.arange(3.0), np.arange(4.0)]
    for count in (2, 3, 4):
        expected = np.meshgrid(*axes[:count], indexing=indexing)
        for got, e in zip(values("meshgrid", count, *axes[:count], indexing=indexing), expected, strict=True):
            np.testing.assert_array_equal(got, e)


def test_unstack_undoes_stack() -> None:
    for axis in range(3):
        parts = values("unstack", BLOCK.shape[axis], BLOCK, axis=axis)
        np.testing.assert_array_equal(np.stack(parts, axis), BLOCK)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "error", "words"),
    [
        ("concat", (1.0, VECTOR), {}, ShapeMismatch, "stack"),
        ("concat", (VECTOR, MATRIX), {}, ShapeMismatch, r"\[5\] and \[3, 4\]"),
        ("concat", (MATRIX, MATRIX.T), {"axis": 1}, ShapeMismatch, "axis 1"),
        ("concat", (MATRIX, MATRIX), {"axis": 2}, ShapeMismatch, "axis 2"),
        ("stack", (VECTOR, MATRIX), {}, ShapeMismatch, r"\[5\] and \[3, 4\]"),
        ("stack", (), {}, Arity, "at least 1"),
        ("hstack", (MATRIX, BLOCK), {}, ShapeMismatch, "hstack"),
        ("vstack", (VECTOR, MATRIX), {}, ShapeMismatch, r"\[1, 5\] and \[3, 4\]"),
        ("expand_dims", (VECTOR,), {"axis": 3}, ShapeMismatch, "axis 3"),
        ("expand_dims", (VECTOR,), {"axis": [0, 0]}, ShapeMismatch, "twice"),
        ("expand_dims", (VECTOR,), {"axis": None}, InvalidAttribute, "axis"),
        ("squeeze", (MATRIX,), {"axis": 0}, ShapeMismatch, "size 3"),
        ("moveaxis", (BLOCK,), {"source": [0, 1], "destination": 0}, InvalidAttribute, "one length"),
        ("moveaxis", (BLOCK,), {"source": [0, 0], "destination": [0, 1]}, ShapeMismatch, "source"),
        ("swapaxes", (BLOCK,), {"axis1": 0, "axis2": 3}, ShapeMismatch, "axis2 3"),
        ("matrix_transpose", (VECTOR,), {}, ShapeMismatch, r"\[5\]"),
        ("fliplr", (VECTOR,), {}, ShapeMismatch, "axis 1"),
        ("flipud", (1.0,), {}, ShapeMismatch, "axis 0"),
        ("rot90", (BLOCK,), {"axes": [0, 1, 2]}, InvalidAttribute, "two axes"),
        ("rot90", (BLOCK,), {"axes": [0, -3]}, ShapeMismatch, "twice"),
        ("roll", (BLOCK,), {"shift": [1, 2, 3], "axis": [0, 1]}, InvalidAttribute, "3 shifts"),
        ("roll", (BLOCK,), {"shift": 1, "axis": 5}, ShapeMismatch, "axis 5"),
        ("roll", (BLOCK,), {"shift": 1.5}, InvalidAttribute, "shift"),
        ("tile", (VECTOR,), {"reps": [2, -1]}, InvalidAttribute, "negative"),
        ("repeat", (VECTOR,), {"repeats": -1}, InvalidAttribute, "negative"),
        ("repeat", (VECTOR,), {"repeats": [1, 2]}, ShapeMismatch, "2 counts"),
        ("split", (VECTOR,), {"indices_or_sections": 2}, ShapeMismatch, "array_split"),
        ("split", (VECTOR,), {"indices_or_sections": 0}, InvalidAttribute, "0"),
        ("split", (EMPTY,), {"indices_or_sections": 10**9}, InvalidAttribute, "1000000000"),
        ("unstack", (EMPTY,), {}, ShapeMismatch, "empty"),
        ("meshgrid", (MATRIX,), {}, ShapeMismatch, r"\[3, 4\]"),
        ("meshgrid", (VECTOR,), {"indexing": "yx"}, InvalidAttribute, "xy"),
        ("broadcast_arrays", (MATRIX, VECTOR), {}, ShapeMismatch, r"\[3, 4\] and \[5\]"),
        ("pad", (VECTOR,), {"pad_width": -1}, InvalidAttribute, "negative"),
        ("pad", (VECTOR,), {"pad_width": [[1, 2], [3, 4]]}, InvalidAttribute, "pad_width"),
        ("pad", (VECTOR,), {"pad_width": [1, 2, 3]}, InvalidAttribute, "pad_width"),
        ("pad", (MATRIX,), {"pad_width": [[1, 2], [3]]}, InvalidAttribute, "pad_width"),
        ("pad", (EMPTY,), {"pad_width": 1, "mode": "edge"}, ShapeMismatch, "axis 0"),
        ("pad", (VECTOR,), {"pad_width": 1, "mode": "mean"}, InvalidAttribute, "reflect"),
        (
            "pad",
            (VECTOR,),
            {"pad_width": 1, "constant_values": [1, 2, 3]},
            InvalidAttribute,
            "constant_values",
        ),
        ("diag", (BLOCK,), {}, ShapeMismatch, r"\[2, 3, 4\]"),
        ("diagonal", (VECTOR,), {}, ShapeMismatch, "matrix"),
        ("diagonal", (BLOCK,), {"axis1": 1, "axis2": -2}, ShapeMismatch, "twice"),
        ("tril", (VECTOR,), {}, ShapeMismatch, r"\[5\]"),
    ],
)
def test_refuses(
    name: str, operands: tuple[Any, ...], attrs: dict[str, Any], error: type[EngineError], words: str
) -> None:
    several = name in ("split", "unstack", "meshgrid", "broadcast_arrays")
    with pytest.raises(error, match=words):
        answer("evaluate", name, operands, attrs, parts=int(several))


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("tile", {"reps": 10**12}),
        ("tile", {"reps": [10**9, 10**9]}),
        ("repeat", {"repeats": 10**12}),
        ("repeat", {"repeats": [10**12, 0, 0, 0, 1]}),
        ("pad", {"pad_width": 10**12}),
        ("pad", {"pad_width": [0, 10**12], "mode": "wrap"}),
        ("pad", {"pad_width": [10**12, 0], "mode": "edge"}),
        ("diag", {"k": 10**12}),
        ("diag", {"k": -(2**62)}),
    ],
)
def test_a_result_over_the_limit_is_refused_before_it_exists(name: str, attrs: dict[str, Any]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        value(name, VECTOR, **attrs)
    assert caught.value.limit == "elements"


def test_a_grid_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        answer("evaluate", "meshgrid", [np.zeros(5000), np.zeros(5000)], parts=2)
    with pytest.raises(LimitExceeded):
        answer("evaluate", "meshgrid", [np.zeros(50), np.zeros(50)], parts=2, limits=Limits(elements=2000))


def test_very_many_parts_are_joined_in_a_tree_and_taken_apart_again() -> None:
    n = 1500
    b = GraphBuilder()
    parts = [Var(b, b.input(FLOAT64)) for _ in range(n)]
    y = call(b, "stack", *parts, axis=0)
    graph = b.build([y.ref])
    back = vjp_graph(graph, [y.ref], list(graph.inputs), "float64")
    typecheck(back)
    assert max(len(node.inputs) for node in back.nodes) <= 32
    asked = ask(
        "grad",
        {
            "nodes": [
                *[{"id": f"x{k}", "op": "input"} for k in range(n)],
                {"id": "y", "op": "stack", "inputs": [f"x{k}" for k in range(n)]},
            ],
        },
        {f"x{k}": float(k) for k in range(n)},
        seed=np.arange(n) * 2.0,
    )
    near(asked["value"], np.arange(n))
    near([asked["gradients"][f"x{k}"] for k in range(n)], np.arange(n) * 2.0)
