"""Arrays in answers: shapes, dtypes and forms, and that every number reads back to itself."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.errors import LimitExceeded
from engine.values import read_value
from service import arrays
from service.arrays import Encoding, Form, encode

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def strict(data: bytes) -> Any:
    """JSON as the standard has it: no bare NaN."""

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    return json.loads(data, parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(1.5), 1.5),
        (np.array(1.5), 1.5),
        (np.array(math.nan), "NaN"),
        (np.float64(-math.inf), "-Infinity"),
        (np.float32(0.1), 0.1),
        (np.array(0.1, np.float32), 0.1),
        (np.float32(math.inf), "Infinity"),
        (np.int64(2**62), 2**62),
        (np.array(3), 3),
        (np.bool_(True), True),
        (np.array(False), False),
        (np.array([[1.0, math.nan], [-math.inf, math.inf]]), [[1.0, "NaN"], ["-Infinity", "Infinity"]]),
        (np.array([0.1, math.nan], np.float32), [0.1, "NaN"]),
        (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
        (np.array([True, False]), [True, False]),
        (np.broadcast_to(np.float64(2), (2, 2)), [[2.0, 2.0], [2.0, 2.0]]),
        (np.ones(2, ">f8"), [1.0, 1.0]),
        (np.ones((1, 1, 1)), [[[1.0]]]),
        (math.nan, "NaN"),
        (2, 2),
        (None, None),
        ("NaN", "NaN"),
        ([math.inf, {"x": np.array([1.0])}], ["Infinity", {"x": [1.0]}]),
        ((), []),
    ],
    ids=repr,
)
@pytest.mark.parametrize("small", [False, True])
def test_values(value: Any, expected: Any, small: bool) -> None:
    found = strict(encode({"v": value}, small=small))["v"]
    assert found == expected
    assert type(found) is type(expected)


def test_numbers_are_the_shortest() -> None:
    assert encode(np.array([0.1, 1e22, 5e-324, -0.0, 1 / 3])) == b"[0.1,1e+22,5e-324,-0.0,0.3333333333333333]"
    assert encode(np.array([0.1, 16777216, 1 / 3], np.float32)) == b"[0.1,16777216.0,0.33333334]"
    assert encode(np.array([0.1, np.nan, 1 / 3], np.float32)) == b'[0.1,"NaN",0.33333334]'


def test_encoded_form() -> None:
    value = np.array([[1, 2], [3, 4]], np.int64)
    found = strict(encode({"a": value.T, "s": np.float64(2), "b": np.array([True])}, "base64"))
    assert found["s"] == 2.0
    assert found["a"]["shape"] == [2, 2]
    assert found["a"]["dtype"] == "int64"
    assert found["a"]["object_type"] == "array"
    assert found["b"]["dtype"] == "bool"
    raw = base64.b64decode(found["a"]["data"]["buffer"], validate=True)
    assert np.array_equal(np.frombuffer(raw, "<i8").reshape(2, 2), value.T)


@pytest.mark.parametrize("form", ["list", "base64"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 5)])
def test_arrays_without_elements_are_encoded(form: Form, shape: tuple[int, ...]) -> None:
    found = strict(encode({"a": np.zeros(shape)}, form))["a"]
    assert found["shape"] == list(shape)
    assert found["data"] == {"encoding": "base64", "buffer": ""}


def test_sparse_blocks() -> None:
    block = {
        "format": "coo",
        "shape": [2, 3],
        "row": np.array([0, 1]),
        "col": np.array([2, 0]),
        "data": np.array([1.0, math.nan]),
    }
    assert strict(encode({"x": block})) == {
        "x": {"format": "coo", "shape": [2, 3], "row": [0, 1], "col": [2, 0], "data": [1.0, "NaN"]}
    }
    empty = {**block, "row": np.zeros(0, int), "col": np.zeros(0, int), "data": np.zeros(0)}
    assert strict(encode(empty))["row"]["shape"] == [0]
    assert strict(encode(empty, "base64"))["row"]["shape"] == [0]
    assert strict(encode(block, "base64"))["data"]["dtype"] == "float64"


def test_no_recursion() -> None:
    deep: Any = 1.0
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(LimitExceeded):
        encode(deep)


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.sampled_from(["list", "base64"]),
)
def test_what_is_written_reads_back(value: Any, form: Form) -> None:
    found = strict(encode(value, form))
    back = read_value(found).value
    if value.dtype == np.int64 and np.abs(value.astype(float)).max(initial=0) > 2**53:
        return  # a list has no dtype, and doubles do not hold these
    if (form == "list" and value.size) or value.ndim == 0:
        back = back.astype(value.dtype)  # and the shortest float32 is another double
    assert back.dtype == value.dtype
    assert back.shape == value.shape
    assert np.array_equal(back, value, equal_nan=value.dtype.kind == "f")


def test_a_million_numbers_take_no_second() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 1000))
    holes = np.where(values > 2, np.nan, values)
    start = time.process_time()
    for value, form in ((values, "list"), (holes, "list"), (values, "base64")):
        encode({"a": value}, form)  # type: ignore[arg-type]
    assert time.process_time() - start < 1.5
    scalars = {f"t{i}": np.array(i / 3) for i in range(100_000)}
    start = time.process_time()
    assert orjson.loads(encode(scalars))["t3"] == 1.0
    assert time.process_time() - start < 1.0


# --------------------------------------------------------------------------------------------------------- in pieces


@pytest.fixture(params=[1, 5, 12], ids="pieces of {}".format)
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array is long, and pieces are a few elements."""
    monkeypatch.setattr(arrays, "LONG", 0)
    monkeypatch.setattr(arrays, "PIECE", request.param)


SHAPES = [(1,), (7,), (3, 4), (1, 1, 1), (4, 1, 3), (2, 13), (13, 2), (2, 2, 2, 2, 2)]
KINDS = ["float64", "float32", "int64", "bool", ">f8"]


def some(shape: tuple[int, ...], kind: str, seed: int = 0) -> Any:
    """Numbers, a third of the floating ones not finite."""
    dice = np.random.default_rng(seed)
    value = (dice.standard_normal(shape) * 3).astype(kind)
    if value.dtype.kind == "f":
        value = np.where(
            dice.random(shape) < 0.3, dice.choice([np.nan, np.inf, -np.inf], shape), value
        ).astype(kind)
    return value


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["list", "base64"])
def test_in_pieces(shape: tuple[int, ...], kind: str, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    value, other = some(shape, kind), some(shape, kind, 1)
    coo = {
        "format": "coo",
        "shape": [9, 9],
        "row": np.arange(3),
        "col": np.arange(3),
        "data": np.array([1, np.nan, 2]),
    }
    # Containers are walked in another order than they are printed in.
    answer = {
        "a": {"x": value, "y": [other.T, {"z": value, "s": np.float64(2)}]},
        "b": [value[..., ::-1], coo],
        "c": other,
        "empty": np.zeros((0, 3)),
    }
    found = encode(answer, form)
    monkeypatch.setattr(arrays, "LONG", 10**9)
    assert found == encode(answer, form)
    assert strict(found)["c"] == strict(encode(other, form))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("form", ["list", "base64"])
def test_printing_stops_when_nobody_waits(form: Form) -> None:
    class Gone(Exception):
        pass

    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Gone

    long = {"a": np.zeros(10_000), "b": np.ones((100, 100))}
    with pytest.raises(Gone):
        Encoding(long, form).pieces(look)
    assert looks == 3


@pytest.mark.parametrize(
    "shape", [(100_000,), (100, 1000), (50_000, 2), (2, 50_000), (5, 20, 1000), (1, 1, 100_000)]
)
@pytest.mark.parametrize("form", ["list", "base64"])
def test_pieces_are_bounded(shape: tuple[int, ...], form: Form) -> None:
    value = np.random.default_rng(0).standard_normal(shape)
    pieces = Encoding({"values": {"x": value}, "outputs": {"x": value}}, form).pieces()
    assert max(map(len, pieces)) <= 27 * arrays.PIECE
    assert len(pieces) <= 2 * (value.size // arrays.PIECE * 2 + 12)
    assert len({id(p) for p in pieces if len(p) > 1000}) <= len(pieces) // 2 + 1  # printed once, named twice
    found = strict(b"".join(pieces))
    assert np.array_equal(read_value(found["values"]["x"]).value, value)
    assert np.array_equal(read_value(found["outputs"]["x"]).value, value)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [np.nan, -np.inf]])
@pytest.mark.parametrize("share", [0.001, 1.0])
def test_numbers_that_are_not_finite_cost_little(bad: list[float], share: float) -> None:
    dice = np.random.default_rng(0)
    value = dice.standard_normal(300_000)
    holes = np.where(dice.random(value.size) < share, dice.choice(bad, value.size), value)

    def seconds(array: Any) -> float:
        return min(_timed(lambda: Encoding(array, "list").pieces()) for _ in range(3))

    assert seconds(holes) < 8 * seconds(value)


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
