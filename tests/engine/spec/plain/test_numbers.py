"""Decimal text to doubles and back, against Python's own conversions, orjson, and RFC 8785 as `engine.program` has it."""

from __future__ import annotations

import math
import random
import struct
from decimal import Decimal, localcontext

import numpy as np
import orjson
import pytest

from engine.program import canonical_number
from engine.spec.plain import PlainGraph, Weaver
from tests.engine.spec.plain.graphs import NASTY, bits, read


def constants(texts: list[str]) -> PlainGraph | None:
    """A graph with these numbers as constants."""
    nodes = [f'{{"id":"{k}","op":"constant","value":{text}}}' for k, text in enumerate(texts)]
    return read(f'{{"graph":{{"nodes":[{",".join(nodes)}],"outputs":["0"]}}}}'.encode())


def meant(text: str) -> float:
    """What the general reader takes a number for: an integer is one, and has no negative zero."""
    return float(int(text)) if text.lstrip("-").isdigit() else float(text)


def written(r: random.Random) -> str:
    """A number as JSON may have it, of up to thirty digits before the point, of any size within the range."""
    digits = "".join(r.choice("0123456789") for _ in range(r.randint(1, 30))).lstrip("0") or "0"
    text = r.choice(["", "-"]) + digits
    if r.random() < 0.6:
        text += "." + "".join(r.choice("0123456789") for _ in range(r.randint(1, 25)))
    if r.random() < 0.5:
        text += f"{r.choice('eE')}{r.choice(['', '+', '-'])}{r.randint(0, 250)}"
    return text


def halfway(r: random.Random) -> list[str]:
    """Texts at and around the middle between two neighbouring doubles, some of which only exact arithmetic can round."""
    x = abs(struct.unpack("<d", r.randbytes(8))[0])
    y = math.nextafter(x, math.inf)
    if not 0 < x < y < math.inf:
        return []
    with localcontext(prec=900):
        middle = (Decimal(x) + Decimal(y)) / 2
    return [f"{middle:.16e}", f"{middle:.18e}"]


def test_numbers_are_read_as_python_reads_them() -> None:
    r = random.Random(3)
    texts = [*NASTY, *(written(r) for _ in range(40_000)), *(t for _ in range(20_000) for t in halfway(r))]
    texts = [t for t in texts if np.isfinite(meant(t))]
    graph = constants(texts)
    assert graph is not None
    wrong = [t for t, x in zip(texts, graph.literals.tolist(), strict=True) if bits(x) != bits(meant(t))]
    assert not wrong


@pytest.mark.parametrize("exact", [True, False])
def test_numbers_of_very_many_digits_are_read_exactly(exact: bool) -> None:
    # 2^53 + 1 lies between two doubles; what follows decides, however far away.
    text = "9007199254740993." + "0" * 300 + ("0" if exact else "1")
    graph = constants([text])
    assert graph is not None
    assert graph.literals[0] == (9007199254740992.0 if exact else 9007199254740994.0)


@pytest.mark.parametrize(
    "text", ["1e309", "-1e309", "1.7976931348623159e308", "1" + "0" * 309, "1e99999999999999999999"]
)
def test_what_no_double_can_hold_is_left_to_the_general_reader(text: str) -> None:
    assert constants([text]) is None


@pytest.mark.parametrize("text", ["1e-400", "-1e-99999999999999999999", "0e99999999999999999999", "2e-324"])
def test_what_is_too_small_is_zero(text: str) -> None:
    graph = constants([text])
    assert graph is not None
    assert bits(float(graph.literals[0])) == bits(float(text))


@pytest.mark.parametrize(
    "text", ["01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x1", "1_0", "--1", "Infinity", "1 2", "00"]
)
def test_what_is_no_json_number_is_left_to_the_general_reader(text: str) -> None:
    assert constants([text]) is None


def doubles(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Finite doubles of every size, subnormal ones, integers, powers of two and of ten with their neighbours."""
    g = np.random.default_rng(1)
    powers = np.concatenate((2.0 ** np.arange(-1074, 1024), 10.0 ** np.arange(-323, 309)))
    parts = [
        np.frombuffer(g.bytes(8 * count)), g.uniform(0, 1, count), g.normal(size=count) * 10.0 ** g.integers(-25, 25, count),
        np.round(g.uniform(-5, 5, count), 3), g.integers(-(10**6), 10**6, count).astype(float), np.arange(1, 3000) * 5e-324,
        powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf), np.array([0.0, -0.0, 123456789012345680.0]),
    ]  # fmt: skip
    found = np.concatenate(parts)
    return found[np.isfinite(found)]


def test_numbers_are_printed_as_answers_have_them() -> None:
    graph = constants(["1"])
    assert graph is not None
    x = doubles(20_000)
    weaver = Weaver(graph, (), (), 32 * len(x))
    for value in x.tolist():
        weaver.number(value)
        weaver.text(b",")
    assert weaver.finish()[:-1] == orjson.dumps(x, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def test_canonical_numbers_are_those_of_ecmascript() -> None:
    x = doubles(3_000)
    graph = constants([repr(v) for v in x.tolist()])
    assert graph is not None
    out = np.empty(1 << 24, np.uint8)
    count, length = graph.native.canonical_nodes(
        graph.bytes, graph.ids, graph.rows, graph.args, graph.literals, *graph.table.names, 0, out
    )
    assert count == len(x)
    found = [part.split(b"}")[0].decode() for part in out[:length].tobytes().split(b'"value":')[1:]]
    assert found == [canonical_number(v) for v in x.tolist()]
