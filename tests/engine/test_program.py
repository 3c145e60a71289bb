"""A program's canonical JSON and its digest: against an RFC 8785 implementation that is not ours."""

from __future__ import annotations

import hashlib
import math
import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidId
from engine.program import canonical_json, canonical_number, check_id
from engine.spec import read_graph

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite)
def test_numbers_are_printed_as_ecmascript_prints_them(x: float) -> None:
    assert canonical_number(x) == rfc8785.dumps(x).decode()


@given(st.integers(0, 2**64 - 1))
def test_numbers_of_any_bits(bits: int) -> None:
    (x,) = struct.unpack("<d", struct.pack("<Q", bits))
    if math.isfinite(x):
        assert canonical_number(x) == rfc8785.dumps(x).decode()


text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | finite | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_any_document(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value).decode()  # type: ignore[arg-type]


DOCUMENT = {
    "nodes": [
        {"id": 'é"\\', "op": "input", "value": [1, 2.5e-7]},
        {"id": "b", "op": "mul", "inputs": ['é"\\', 2]},
        {"id": "g", "op": "getitem", "inputs": ["b"], "attrs": {"index": ["...", {"start": 1}]}},
        {"id": "s", "op": "sum", "inputs": ["g"], "attrs": {"axis": 0, "keepdims": False}},
    ],
    "outputs": ["s"],
}


def test_the_pieces_make_the_canonical_document() -> None:
    """The digest is fed piece by piece; together the pieces are RFC 8785's text of what `parse` shows."""
    program = read_graph(DOCUMENT)
    whole = rfc8785.dumps(program.to_json())
    assert "".join(program.canonical()).encode() == whole
    assert program.digest == "sha256-" + hashlib.sha256(whole).hexdigest()


def test_equal_programs_have_equal_digests() -> None:
    """Aliases, defaults and `3` for `3.0` make no difference; an id does."""
    program = read_graph(DOCUMENT)
    nodes = [dict(n) for n in DOCUMENT["nodes"]]  # type: ignore[call-overload]
    nodes[1] |= {"op": "multiply", "inputs": ['é"\\', 2.0]}
    nodes[3] |= {"attrs": {"axis": 0}}
    assert read_graph({"nodes": nodes, "outputs": ["s"]}).digest == program.digest
    assert read_graph(program.to_json()).digest == program.digest
    nodes[3] |= {"id": "t"}
    assert read_graph({"nodes": nodes, "outputs": ["t"]}).digest != program.digest


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "a\x00", "\x7f", "NaN", "-Infinity"])
def test_ids_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidId):
        check_id(name)


@pytest.mark.parametrize("name", ["x", "x" * 256, "a b", '"', "\\", "λ₁", "𝒙", "‮", "<b>", "nan"])
def test_ids_that_can_be(name: str) -> None:
    check_id(name)
