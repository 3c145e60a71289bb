"""Long values, which are read from the body's bytes by pieces: the same arrays as the general reader's, the same errors."""

from __future__ import annotations

import base64
import random
import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest

from engine.errors import EngineError
from engine.values import Given, Numbers, Octets
from service import json_body, long_values, problems
from service.envelope import read_envelope
from service.json_body import read_object
from service.problems import Problem
from service.settings import Settings

SETTINGS = Settings(_env_file=None, elements=1000)  # type: ignore[call-arg]
MEMORY = 1 << 32


@pytest.fixture(params=[1, 7, 40], ids="pieces of {}".format)
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is long, and pieces are a few bytes."""
    monkeypatch.setattr(json_body, "LONG", 1)
    monkeypatch.setattr(long_values, "LONG", 2)
    monkeypatch.setattr(long_values, "PIECE", request.param)
    monkeypatch.setattr(long_values, "BASE64_PIECE", 4)


def outcome(data: bytes, verb: str = "evaluate") -> Any:
    """What the envelope reader makes of a body: the values, or the problem document."""

    def plain(given: Given) -> Any:
        value = given.value
        return value.tobytes(), value.shape, str(value.dtype), given.weak, given.integers

    try:
        request = read_envelope(verb, read_object(data, memory_bytes=MEMORY), SETTINGS).request
    except (Problem, EngineError) as error:
        return problems.encode(error, "/")
    maps = (request.inputs, request.tangents, request.cotangents, request.vector, request.direction)
    seed = None if request.seed is None else plain(request.seed)
    return [{k: plain(v) for k, v in m.items()} for m in maps], seed


def general(data: bytes, monkeypatch: pytest.MonkeyPatch, verb: str = "evaluate") -> Any:
    """The same, by the general reader."""
    with monkeypatch.context() as patch:
        patch.setattr(json_body, "LONG", 1 << 60)
        return outcome(data, verb)


def body(x: str | bytes, more: str = "") -> bytes:
    """A request with `x` as the JSON of an input."""
    text = x if isinstance(x, str) else x.decode()
    return f'{{"expression": "sum(x)", "inputs": {{"x": {text}}}{more}}}'.encode()


REGULAR = [
    "[1.5, 2.5]",
    "[1, 2, 3]",
    "[-0, 0, -0.0]",
    "[ 1 ,\n2\t,\r3 ]",
    "[[1.25, 2], [3, 4]]",
    "[ [ 1.25 , 2 ] , [ 3 , 4 ] ]",
    "[[[1,2],[3,4]],[[5,6],[7,8]],[[9,10],[11,12]]]",
    "[[[[1.0],[2]],[[3],[4]]]]",
    "[[[1]  ,  [2] ]\n, [[3],[4]]]",
    "[9007199254740991, -9007199254740991]",
    "[9007199254740992]",
    "[9007199254740993, 1]",
    "[18446744073709551615, 18446744073709551616, 123456789012345678901234567890]",
    "[1e5, 1E5, 1e-400, 4.9e-324, 2.4703282292062328e-324]",
    "[1.7976931348623157e308, 0.1, 1e22, 1e23]",
    "[0.500000000000000166533453693773481063544750213623046875, 3.2378839133029012895883524125015321748630e-319]",
    "[" * 32 + "1,2" + "]" * 32,
]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("text", REGULAR)
def test_regular_lists(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = body(text)
    read = long_values.read_long(data, memory_bytes=MEMORY)
    assert read is not None
    assert isinstance(read["inputs"]["x"], Numbers)
    assert outcome(data) == general(data, monkeypatch)
    assert outcome(bytearray(data)) == outcome(data)  # type: ignore[arg-type]


IRREGULAR = [
    "[]", "[[]]", "[[],[]]", "[[1],[]]", "[1,[2]]", "[[1],2]", "[[1,2],[3]]", "[[[1,2]],[[3,4],[5,6]]]", "[[[1],[2]],[[3,4]]]",
    "[null, 1]", "[1, 2, null]", "[true, false]", "[1, true]", "[1, {}]", '[1, "NaN", 2]', '["NaN", 1, 2]', '[1,2,"x"]',
    "[1e400, 1]", "[1, -1e999]", "[1" + "0" * 400 + "]", "[NaN]", "[1, Infinity]", "[1 2]", "[1,,2]", "[1,]", "[,1]", "[1,2",
    "[[1,2],[3,4]", "[1,2]]", "[01]", "[1.]", "[.5]", "[+1]", "[1e]", "[-]", "[0x1]", "[[1,2][3,4]]", "[[1,2],,[3,4]]", "[1]2",
    "[[1,2],[3,4],]", "[[[1]]" + "]", "[" * 33 + "1" + "]" * 33, "[1, tru]", "[\x001]", "[1,\u00a02]", "[[1,2],[[3],[4]]]",
    "[[1,[2]],[3,[4]]]", "[" + "1," * 1000 + "1]", "[[" + "1," * 30 + "1]" + (",[" + "1," * 30 + "1]") * 40 + "]",
]  # fmt: skip


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("text", IRREGULAR, ids=lambda t: t[:30])
def test_what_is_irregular_is_as_it_always_was(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = body(text)
    assert outcome(data) == general(data, monkeypatch)


@pytest.mark.usefixtures("short")
def test_changed_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of regular bodies changed at random: always what the general reader finds."""
    dice = random.Random(4)
    alphabet = '0123456789.-+eE,,,[[]]]{}" \n:tfun\\'
    lists = [t for t in REGULAR if len(t) < 80]
    for _ in range(3000):
        text = list(f'{dice.choice(lists)}, "y": {dice.choice(lists)}')
        for _ in range(dice.randint(0, 3)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 1)] = dice.choice(alphabet)
        data = body("".join(text), dice.choice(["", ', "wrt": [1, 2]', ', "dtype": "float32"'])).replace(
            b"sum(x)", b"x+y"
        )
        assert outcome(data) == general(data, monkeypatch), data


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("verb", "text"),
    [
        ("grad", '{"expression": "2*x", "inputs": {"x": [1, 2]}, "seed": [1.0, 2.0]}'),
        ("jvp", '{"expression": "2*x", "tangents": {"x": [1.0, 2.0]}, "inputs": {"x": [1, 2]}}'),
        ("vjp", '{"expression": "2*x", "cotangents": {"t1": [1.0, 2.0]}, "inputs": {"x": [1, 2]}}'),
        ("hvp", '{"expression": "sum(x*x)", "vector": {"x": [1.0, 2.0]}, "inputs": {"x": [1, 2]}}'),
        ("taylor", '{"expression": "2*x", "direction": {"x": [1.0, 2.0]}, "inputs": {"x": [1, 2]}}'),
        ("render", '{"expression": "2*x", "direction": "TB", "inputs": {"x": [1, 2]}}'),
        ("evaluate", '{"expression": "sum(x)", "inputs": {"x": [1, 2], "x": [3, 4]}}'),
        ("evaluate", '{"expression": "2*x", "inputs": {"x": [1, 2]}, "in_axes": [{"x": 0}]}'),
        ("evaluate", '{"expression": "2*x", "inputs": [1, 2, 3]}'),
        ("evaluate", '{"inputs": {"[1,2]": [1, 2], "a\\"b\\\\": [3, 4]}, "expression": "2*x"}'),
        ("evaluate", '{"inputs": {"x": [1, 2]}, "expression": "[1, 2, 3] + x"}'),
        ("evaluate", '{"graph": {"nodes": [{"id": "x", "op": "input", "value": [1, 2]}]}, "inputs": {"x": [3, 4]}}'),
        ("evaluate", '{"graph": {"nodes": [{"id": "y", "op": "add", "inputs": [[1, 2], [3, 4]]}]}, "inputs": {}}'),
        ("evaluate", '{"expression": "x", "inputs": {"x": {"shape": [2], "dtype": "int64", "data": {"encoding": "json", '
                     '"buffer": [9007199254740993, 2]}}}}'),
        ("evaluate", '[[1, 2], [3, 4]]'),
        ("evaluate", '{"expression": "x", "inputs": {"x": [1, 2]}} '),
        ("evaluate", '{"expression": "x", "inputs": {"x": [1, 2]}}}'),
        ("evaluate", '{"expression": "x", "inputs": {"x": [1, 2]}, "colour": [1, 2]}'),
    ],
)  # fmt: skip
def test_everywhere_in_a_body(verb: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(text.encode(), verb) == general(text.encode(), monkeypatch, verb)


@pytest.fixture
def not_shapes(monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    """But the lists of one size that shapes are."""
    monkeypatch.setattr(long_values, "LONG", 5)


def encoded(buffer: str, shape: list[int], dtype: str = "float64") -> str:
    """An array in encoded form around a buffer."""
    data = f'{{"encoding": "base64", "buffer" : "{buffer}"}}'
    return f'{{"shape": {shape}, "dtype": "{dtype}", "data": {data}}}'


@pytest.mark.usefixtures("not_shapes")
@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        ("float64", "<f8"),
        ("float32", "<f4"),
        ("float16", "<f2"),
        ("int64", "<i8"),
        ("uint8", "<u1"),
        ("bool", "|b1"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 17])
def test_base64(dtype: str, layout: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    value = (np.arange(size) % 2 if dtype == "bool" else np.arange(size) / 3).astype(layout)
    data = body(encoded(base64.b64encode(value.tobytes()).decode(), [size], dtype))
    read = long_values.read_long(data, memory_bytes=MEMORY)
    assert read is not None
    assert isinstance(read["inputs"]["x"]["data"]["buffer"], Octets)
    assert outcome(data) == general(data, monkeypatch)


@pytest.mark.usefixtures("not_shapes")
@pytest.mark.parametrize(
    ("buffer", "shape", "dtype"),
    [
        ("AAAA", [1], "float64"),
        ("AAAAAAAAAAA=", [2], "float64"),
        ("AAAAAAAAAAA", [1], "float64"),
        ("AAAAAAAAAA==AAAA", [1], "float64"),
        ("AAAA AAAAAA=", [1], "float64"),
        ("AAAA!AAAAAA=", [1], "float64"),
        ("AAAAAAAAAA-_", [9], "uint8"),
        ("AAAA\\u0041AAAAAA=", [1], "float64"),
        ("AAAAÄAAAAA=", [1], "float64"),
        ("AAAA\nAAAAA=", [1], "float64"),
        ("AgEA", [3], "bool"),
        ("AQEA", [3], "bool"),
        ("AQ==", [1], "uint8"),
        ("AQ==AQ==", [2], "uint8"),
        ("AR==", [1], "uint8"),
        ("====", [0], "uint8"),
        ("", [0], "uint8"),
        ("AQEA", [3], "float128"),
        ("AQEA", [-3], "uint8"),
        ("AQEA", [10**9, 10**9], "uint8"),
    ],
)
def test_base64_that_is_wrong(
    buffer: str, shape: list[int], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = body(encoded(buffer, shape, dtype))
    assert outcome(data) == general(data, monkeypatch)


@pytest.mark.parametrize(
    "shape", [(20_000,), (200, 100), (10_000, 2), (2, 10_000), (3, 4, 5, 500), (20_000, 1), (1, 20_000)]
)
@pytest.mark.parametrize("kind", ["float64", "float32", "int64"])
def test_at_its_true_size(shape: tuple[int, ...], kind: str) -> None:
    dice = np.random.default_rng(1)
    value = (dice.standard_normal(shape) * 1e6).astype(kind)
    data = orjson.dumps({"inputs": {"x": value}}, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2)
    found = read_object(data, memory_bytes=MEMORY)["inputs"]["x"]
    assert isinstance(found, Numbers)
    assert found.integers is (kind == "int64")
    assert found.array.shape == shape
    # What orjson prints of a float32 is the shortest of that type; as a double it is another number.
    assert np.array_equal(found.array.astype(kind), value)


def test_memory_is_that_of_the_array() -> None:
    value = np.random.default_rng(1).standard_normal(500_000)
    data = orjson.dumps({"inputs": {"x": value}}, option=orjson.OPT_SERIALIZE_NUMPY)
    text = body(encoded(base64.b64encode(value.tobytes()).decode(), [value.size]))
    outcome(body("[1, 2]"))  # loads the grammar
    for one in (data, text):
        tracemalloc.start()
        asked = {**read_object(one, memory_bytes=MEMORY), "expression": "sum(x)"}
        read_envelope("evaluate", asked, Settings(_env_file=None))  # type: ignore[call-arg]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.2 * value.nbytes + (3 << 20)  # the parser takes a dozen times its piece


def test_the_limit_of_memory_is_that_of_the_arrays() -> None:
    data = body("[" + "1.5," * 500_000 + "1.5]")
    assert isinstance(read_object(data, memory_bytes=10 << 20)["inputs"]["x"], Numbers)
    with pytest.raises(Problem):
        read_object(data, memory_bytes=3 << 20)
    with pytest.raises(Problem):  # a null, and so the general reader, which needs much more
        read_object(data.replace(b"1.5]", b"null]"), memory_bytes=10 << 20)


def test_programs_are_left_alone_quickly() -> None:
    """A body of very many strings is no case for this reader, and costs it next to nothing."""
    nodes = [{"id": f"n{k}", "op": "add", "inputs": ["x", f"n{k - 1}"]} for k in range(1, 50_000)]
    looked: list[int] = []

    class Counted(bytes):
        def find(self, *args: Any) -> int:
            looked.append(1)
            return super().find(*args)

    for data in (orjson.dumps({"graph": {"nodes": nodes}}), b"{" + (b'"' + b'\\"' * 900 + b'": 1,') * 800):
        looked.clear()
        assert long_values.read_long(Counted(data), memory_bytes=MEMORY) is None
        assert len(looked) < len(data) / 200
