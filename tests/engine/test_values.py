"""JSON values as arrays: what is read, what is refused and where, and how long that may take."""

from __future__ import annotations

import base64
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.errors import EngineError, InvalidArray, LimitExceeded
from engine.values import Given, read_value, to_literal

INF, NAN = math.inf, math.nan


def encoded(array: np.ndarray, **changes: Any) -> dict[str, Any]:
    """The encoded form of an array, with changes."""
    data = {"encoding": "base64", "buffer": base64.b64encode(array.tobytes()).decode()}
    return {"shape": list(array.shape), "dtype": str(array.dtype), "data": data, **changes}


def in_json(shape: Any, dtype: str, buffer: Any) -> dict[str, Any]:
    """An array in encoded form whose buffer is JSON."""
    return {"shape": shape, "dtype": dtype, "data": {"encoding": "json", "buffer": buffer}}


def refused(value: Any, **options: Any) -> EngineError:
    """The error for a value that is none."""
    with pytest.raises(EngineError) as raised:
        read_value(value, **options)
    return raised.value


# ------------------------------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize(
    ("value", "expected", "dtype", "weak", "integers"),
    [
        (1.5, 1.5, "float64", True, False),
        (3, 3.0, "float64", True, True),
        (3.0, 3.0, "float64", True, False),
        (-0.0, -0.0, "float64", True, False),
        (True, True, "bool", False, False),
        ("NaN", NAN, "float64", True, False),
        ("-Infinity", -INF, "float64", True, False),
        (10**30, 1e30, "float64", True, False),
        (2**53 - 1, 2.0**53 - 1, "float64", True, True),
        (2**53, 2.0**53, "float64", True, False),
        (-(2**63), -(2.0**63), "float64", True, False),
        ([1, 2], [1.0, 2.0], "float64", True, True),
        ([1, 2.0], [1.0, 2.0], "float64", True, False),
        ([1, 2**53], [1.0, 2.0**53], "float64", True, False),
        ([1, "NaN"], [1.0, NAN], "float64", True, False),
        (["Infinity", "-Infinity", 0], [INF, -INF, 0.0], "float64", True, False),
        ([True, False], [True, False], "bool", False, False),
        ([[1.0], [2.0]], [[1.0], [2.0]], "float64", True, False),
        ([[[1, 2], [3, 4]]], [[[1.0, 2.0], [3.0, 4.0]]], "float64", True, True),
        ([], np.zeros(0), "float64", True, True),
        ([[], []], np.zeros((2, 0)), "float64", True, True),
        ([[[]], [[]], [[]]], np.zeros((3, 1, 0)), "float64", True, True),
        ([[10**30]], [[1e30]], "float64", True, False),
    ],
)
def test_plain_values(value: Any, expected: Any, dtype: str, weak: bool, integers: bool) -> None:
    got = read_value(value)
    assert (got.weak, got.integers, str(got.value.dtype)) == (weak, integers, dtype)
    assert got.value.shape == np.shape(expected)
    np.testing.assert_array_equal(got.value, expected)
    assert (
        np.signbit(got.value).tolist() == np.signbit(np.asarray(expected, got.value.dtype)).tolist()
        if weak
        else True
    )


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("float64", "float64"),
        ("float32", "float32"),
        ("float16", "float32"),
        *((f"int{n}", "int64") for n in (8, 16, 32, 64)),
        *((f"uint{n}", "int64") for n in (8, 16, 32)),
        ("bool", "bool"),
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (2, 0)])
def test_encoded_arrays(dtype: str, result: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(math.prod(shape)) % 2).astype(dtype).reshape(shape)
    for form in (
        encoded(array),
        encoded(array, object_type="array"),
        in_json(list(shape), dtype, array.tolist()),
    ):
        got = read_value(form)
        assert got.value.shape == shape
        assert str(got.value.dtype) == result
        assert (got.weak, got.integers) == (False, result == "int64")
        np.testing.assert_array_equal(got.value, array)
    if shape:
        flat = read_value(in_json(list(shape), dtype, array.ravel().tolist()))
        np.testing.assert_array_equal(flat.value, array)


def test_encoded_extremes() -> None:
    for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"):
        bounds = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        assert read_value(encoded(bounds)).value.tolist() == bounds.tolist()
        assert read_value(in_json([2], dtype, bounds.tolist())).value.tolist() == bounds.tolist()
    special = np.array([NAN, INF, -INF, -0.0])
    np.testing.assert_array_equal(read_value(encoded(special)).value, special)
    np.testing.assert_array_equal(
        read_value(in_json([4], "float32", ["NaN", "Infinity", "-Infinity", -0.0])).value,
        special.astype("f4"),
    )
    assert read_value(in_json([1], "int64", [3.0])).value.tolist() == [3]
    assert read_value(in_json([], "float64", [2.5])).value.shape == ()


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)))
def test_what_a_program_writes_is_read_again(array: np.ndarray) -> None:
    literal = to_literal(Given(array.copy(), True, False))
    again = to_literal(read_value(literal.to_json()))
    np.testing.assert_array_equal(again.value, array)
    assert again.to_json() == literal.to_json()
    assert again.weak == literal.weak


@given(hnp.arrays(st.sampled_from(["f4", "i8", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_encoded_literals_are_read_again(array: np.ndarray) -> None:
    literal = to_literal(Given(array.copy(), False, False))
    again = read_value(literal.to_json())
    assert again.value.dtype == array.dtype or array.size == 0
    np.testing.assert_array_equal(again.value, array)


def test_literals_cannot_be_written_to() -> None:
    literal = to_literal(read_value([1.0, 2.0]))
    with pytest.raises(ValueError, match="read-only"):
        literal.value[0] = 3.0


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("value", "place", "words"),
    [
        (None, "", "null"),
        ("1.0", "", "the string '1.0'"),
        ("nan", "", "the only strings"),
        ({}, "", "no encoded array"),
        ({"shape": [1]}, "", "no encoded array"),
        ({"data": "AAAA"}, "", "no encoded array"),
        (INF, "", "beyond double range"),
        (NAN, "", "beyond double range"),
        (10**400, "", "beyond double range"),
        ([1.0, INF], "/1", "beyond double range"),
        ([1.0, 10**400], "/1", "beyond double range"),
        (["NaN", INF], "/1", "beyond double range"),
        ([1, None], "/1", "null"),
        ([1, "x"], "/1", "the string 'x'"),
        ([1, {}], "/1", "an object"),
        ([1, True], "/1", "cannot hold both"),
        ([True, 1], "/1", "cannot hold both"),
        ([True, "NaN"], "/1", "cannot hold both"),
        ([1, [2]], "/1", "a list of 1"),
        ([[1, 2], 3], "/1", "a number, but entry [0] is a list of 2"),
        ([[1, 2], [3]], "/1", "a list of 1, but entry [0] is a list of 2"),
        ([[], [1]], "/1", "rectangular"),
        ([[1], []], "/1", "rectangular"),
        ([[[1], [2]], [[3], 4]], "/1/1", "a number"),
        ([[1, 2, 3], [4, "five", 6]], "/1/1", "'five'"),
        ([[[1, 2], [3, 4]], [[5, 6], [7, None]]], "/1/1/1", "null"),
    ],
)
def test_bad_lists(value: Any, place: str, words: str) -> None:
    error = refused(value, pointer="/inputs/x", what="input 'x'")
    assert isinstance(error, InvalidArray)
    assert error.where is not None
    assert error.where.pointer == f"/inputs/x{place}"
    assert words in error.detail
    assert "nput 'x'" in error.detail


TWO = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("value", "place", "words"),
    [
        (encoded(TWO, extra=1), "", "no field 'extra'"),
        (encoded(TWO, object_type="tensor"), "/object_type", '"array"'),
        (encoded(TWO, shape="2"), "/shape", "list"),
        (encoded(TWO, shape=None), "/shape", "list"),
        (encoded(TWO, shape=[2.0]), "/shape/0", "non-negative integer"),
        (encoded(TWO, shape=[True, 2]), "/shape/0", "non-negative integer"),
        (encoded(TWO, shape=[2, -1]), "/shape/1", "non-negative integer"),
        (encoded(TWO, shape=[3]), "/data/buffer", "takes 24 bytes"),
        (encoded(TWO, shape=[]), "/data/buffer", "holds 16"),
        (encoded(TWO, shape=[0]), "/data/buffer", "holds 16"),
        (encoded(TWO, dtype="float32"), "/data/buffer", "takes 8 bytes"),
        (encoded(TWO, dtype="complex128"), "/dtype", "'complex128'"),
        (encoded(TWO, dtype="<f8"), "/dtype", "float64"),
        (encoded(TWO, dtype="object"), "/dtype", "float64"),
        (encoded(TWO, dtype="uint64"), "/dtype", "uint32"),
        (encoded(TWO, dtype=["float64"]), "/dtype", "a list"),
        (encoded(TWO, data={"encoding": "binref", "buffer": "a.bin:0"}), "/data/encoding", "'binref'"),
        (encoded(TWO, data={"encoding": "file", "buffer": "/etc/passwd"}), "/data/encoding", "'file'"),
        (encoded(TWO, data={"encoding": ["base64"], "buffer": ""}), "/data/encoding", "a list"),
        (encoded(TWO, data={"buffer": ""}), "/data/encoding", "missing"),
        (encoded(TWO, data={"encoding": "base64"}), "/data/buffer", "missing"),
        (encoded(TWO, data={"encoding": "base64", "buffer": "", "gpu": 1}), "/data", "no field 'gpu'"),
        (encoded(TWO, data={"encoding": "base64", "buffer": [1]}), "/data/buffer", "base64 string"),
        (encoded(TWO, data={"encoding": "base64", "buffer": "AAA"}), "/data/buffer", "RFC 4648"),
        (encoded(TWO, shape=[0], data={"encoding": "base64", "buffer": "===="}), "/data/buffer", "RFC 4648"),
        (
            encoded(TWO, data={"encoding": "base64", "buffer": "AAAAAAAA8D8AAAAAAAAAQÄ=="}),
            "/data/buffer",
            "RFC 4648",
        ),
        (
            encoded(TWO, data={"encoding": "base64", "buffer": "AAAAAAAA8D8AAAAA\nAAAQA=="}),
            "/data/buffer",
            "RFC 4648",
        ),
        (
            encoded(TWO, data={"encoding": "base64", "buffer": "AAAAAAAA-D8AAAAAAA_AQA=="}),
            "/data/buffer",
            "RFC 4648",
        ),
        (encoded(np.array([2], "u1"), dtype="bool"), "/data/buffer", "0 and 1"),
        (in_json([2], "float64", [1.0]), "/data/buffer", "[1]"),
        (in_json([2, 2], "float64", [[1.0, 2.0], [3.0]]), "/data/buffer/1", "rectangular"),
        (in_json([2], "float64", [1.0, None]), "/data/buffer/1", "null"),
        (in_json([2], "float64", [1.0, True]), "/data/buffer/1", "true"),
        (in_json([2], "float64", "AAAA"), "/data/buffer", "[]"),
        (in_json([], "float64", {"a": 1}), "/data/buffer", "an object"),
        (in_json([2], "bool", [True, 1]), "/data/buffer/1", "true and false"),
        (in_json([2], "int8", [1, 128]), "/data/buffer/1", "int8"),
        (in_json([2], "uint8", [1, -1]), "/data/buffer/1", "uint8"),
        (in_json([2], "int64", [1, 2**63]), "/data/buffer/1", "int64"),
        (in_json([2], "int64", [1, 10**400]), "/data/buffer/1", "int64"),
        (in_json([2], "int64", [1, 1.5]), "/data/buffer/1", "no integer"),
        (in_json([2], "int64", [1, "NaN"]), "/data/buffer/1", "no integer"),
        (in_json([2], "int64", [1, INF]), "/data/buffer/1", ""),
        (in_json([2], "float32", [1.0, 1e300]), "/data/buffer/1", "float32"),
        (in_json([2], "float16", [1.0, 1e6]), "/data/buffer/1", "float16"),
        (in_json([2], "float64", [1.0, INF]), "/data/buffer/1", "double range"),
    ],
)
def test_bad_encoded_arrays(value: Any, place: str, words: str) -> None:
    error = refused(value, pointer="/inputs/x", what="input 'x'")
    assert isinstance(error, InvalidArray)
    assert error.where is not None
    assert error.where.pointer == f"/inputs/x{place}"
    assert words in error.detail
    assert len(error.detail) < 400


# ------------------------------------------------------------------------------------------------------------- limits


def nested(depth: int) -> Any:
    """A number in `depth` lists."""
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "limit", "actual"),
    [
        ([0.0] * 101, "elements", 101),
        ([[0.0] * 51] * 2, "elements", 102),
        ([[0.0] * 1000] + [[1]] * 50, None, 0),
        (in_json([101], "float64", [0.0] * 101), "elements", 101),
        (in_json([1], "float64", [0.0] * 101), "elements", 101),
        (encoded(np.zeros(101)), "elements", 101),
        (encoded(np.zeros(1), shape=[10**9, 10**9]), "elements", 10**18),
        (encoded(np.zeros(1), shape=[10**300] * 32), "elements", 10**30),
        (encoded(np.zeros(0), shape=[0, 2**62]), "elements", 2**62),
        (encoded(np.zeros(0), shape=[0, 2**40, 2**40]), "elements", 2**80),
        (encoded(np.zeros(1), shape=[1] * 33), "rank", 33),
        (nested(33), "rank", 33),
        (nested(100_000), "rank", 100_000),
    ],
)
def test_limits(value: Any, limit: str | None, actual: int) -> None:
    start = time.process_time()
    error = refused(value, most_elements=100, pointer="/inputs/x")
    assert time.process_time() - start < 0.2
    if limit is None:
        assert isinstance(error, InvalidArray)
        return
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.actual) == (limit, actual)
    assert error.where is not None
    assert str(error.where.pointer).startswith("/inputs/x")


def test_what_is_just_within_the_limits() -> None:
    assert read_value(nested(32)).value.shape == (1,) * 32
    assert read_value([0.0] * 100, most_elements=100).value.shape == (100,)
    assert read_value(encoded(np.zeros((0, 1000, 1000))), most_elements=100).value.shape == (0, 1000, 1000)


def test_a_limit_is_decided_before_decoding() -> None:
    """A buffer that is not base64 at all: the shape alone is enough."""
    error = refused(encoded(TWO, shape=[10**6, 10**6], data={"encoding": "base64", "buffer": "%" * 10**6}))
    assert isinstance(error, LimitExceeded)


@pytest.mark.parametrize(
    "value",
    [
        [0.1] * 10**6,
        [[0.1] * 1000] * 1000,
        list(range(10**6)),
        encoded(np.zeros(10**6)),
    ],
    ids=["flat", "matrix", "integers", "base64"],
)
def test_a_million_numbers_are_read_fast(value: Any) -> None:
    """At most twice what a plain loop over them in Python takes (0.1 s and less on its own)."""
    start = time.process_time()
    sum(k + 1 for k in range(2 * 10**6))
    middle = time.process_time()
    assert read_value(value).value.size == 10**6
    assert time.process_time() - middle < 0.05 + 2 * (middle - start)


# ------------------------------------------------------------------------------------------------ anything at all

LEAVES = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["NaN", 10**400])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["shape", "dtype", "data", "object_type", "encoding", "buffer", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
ENCODED = st.fixed_dictionaries(
    {
        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
        "dtype": st.sampled_from(["float64", "int8", "bool", "float16", "uint32"]) | JSON,
        "data": st.fixed_dictionaries(
            {"encoding": st.sampled_from(["base64", "json"]), "buffer": JSON | st.text("AQ=", max_size=12)}
        ),
    }
)


@settings(max_examples=200)
@given(JSON | ENCODED)
def test_anything_is_an_array_or_an_error_with_a_place(value: Any) -> None:
    try:
        got = read_value(value, pointer="/p")
    except EngineError as error:
        wrong = error
    else:
        assert str(got.value.dtype) in ("float64", "float32", "int64", "bool")
        assert got.weak <= (got.value.dtype == np.float64)
        return
    assert wrong.where is not None
    assert str(wrong.where.pointer).startswith("/p")
    assert wrong.detail.endswith(".")
    assert len(wrong.detail) < 500
