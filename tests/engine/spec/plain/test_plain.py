"""The short road against the general reader: on random bodies it says the same, of spoilt bytes never more."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import numpy as np
import pytest

from engine.op import registry
from engine.spec.plain import program
from engine.spec.plain.table import new_state
from tests.engine.spec.plain.graphs import dumps, general, native, random_body, read, told


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40, 300, 5000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_both_readers_say_the_same(size: int, shuffle: bool) -> None:
    r = random.Random(size * 2 + shuffle)
    for k in range(max(3, 300 // size)):
        body = random_body(r, size, shuffle=shuffle, nasty=k % 2 == 1)
        body["of"] = ["é", {"deep": [1, "]}", '\\"']}]
        data = dumps(body, r).encode()
        graph = read(data)
        assert graph is not None, data
        assert told(graph) == general(data), data


def plain(**more: Any) -> dict[str, Any]:
    """A small body, with parts replaced."""
    nodes = [
        {"id": "x", "op": "input"},
        {"id": "y", "op": "input", "value": 2},
        {"id": "p", "op": "mul", "inputs": ["x", "y"]},
        {"id": "f", "op": "add", "inputs": ["p", 1]},
    ]
    return {"graph": {"nodes": nodes, "outputs": ["f"]}, "inputs": {"x": 1}, **more}


def with_node(**node: Any) -> bytes:
    """The small body with one more node."""
    body = plain()
    body["graph"]["nodes"].append(node)
    return json.dumps(body).encode()


DEEP = "[" * 5000 + "]" * 5000
BODY = json.dumps(plain())
OTHER = {
    "an escape in an id": BODY.replace('"p"', '"\\u0070"'),
    "an escape in a key": BODY.replace('"nodes"', '"n\\u006fdes"'),
    "a control character": BODY.replace('"p"', '"p\u0001"'),
    "DEL": BODY.replace('"p"', '"p\u007f"'),
    "C1": BODY.replace('"p"', '"p\u0085"'),
    "an empty id": BODY.replace('"p"', '""'),
    "a long id": BODY.replace('"p"', f'"{"p" * 257}"'),
    "NaN as an id": BODY.replace('"p"', '"NaN"'),
    "-Infinity as an id": BODY.replace('"p"', '"-Infinity"'),
    "NaN as a value": BODY.replace('["p", 1]', '["p", "NaN"]'),
    "an unknown id": BODY.replace('["p", 1]', '["q", 1]'),
    "an id twice": BODY.replace('"y"', '"x"'),
    "an output twice": BODY.replace('["f"]', '["f", "f"]'),
    "no outputs": BODY.replace('["f"]', "[]"),
    "an unknown output": BODY.replace('["f"]', '["g"]'),
    "outputs that are no list": BODY.replace('["f"]', '"f"'),
    "a cycle": BODY.replace('["x", "y"]', '["x", "f"]'),
    "a node that needs itself": BODY.replace('["x", "y"]', '["x", "p"]'),
    "too few operands": BODY.replace('["x", "y"]', '["x"]'),
    "too many operands": BODY.replace('["x", "y"]', '["x", "y", "x"]'),
    "four operands": BODY.replace('["x", "y"]', '["x", "y", "x", "x"]'),
    "null as an operand": BODY.replace('["x", "y"]', '["x", null]'),
    "a list as an operand": BODY.replace('["p", 1]', '["p", [1]]'),
    "true as an operand": BODY.replace('["p", 1]', '["p", true]'),
    "literals alone": BODY.replace('["p", 1]', "[2, 1]"),
    "a number beyond range": BODY.replace('["p", 1]', '["p", 1e400]'),
    "a long number beyond range": BODY.replace('["p", 1]', f'["p", 1{"0" * 400}]'),
    "no number": BODY.replace('["p", 1]', '["p", 01]'),
    "no number either": BODY.replace('["p", 1]', '["p", 1.]'),
    "nor this": BODY.replace('["p", 1]', '["p", +1]'),
    "bare NaN": BODY.replace('["p", 1]', '["p", NaN]'),
    "a comma too many": BODY.replace('["p", 1]', '["p", 1,]'),
    "a comma after the last node": BODY.replace("}],", "},],"),
    "an unknown op": BODY.replace('"mul"', '"mull"'),
    "an op on arrays": BODY.replace('"mul"', '"matmul"'),
    "a mask": BODY.replace('"mul"', '"less"'),
    "a composite": BODY.replace('"mul", "inputs": ["x", "y"]', '"softplus", "inputs": ["x"]'),
    "attributes": BODY.replace('"mul"', '"mul", "attrs": {"strong": [0]}'),
    "an unknown field": BODY.replace('"mul"', '"mul", "shape": []'),
    "a field twice": BODY.replace('"mul"', '"mul", "op": "mul"'),
    "no op": BODY.replace('"op": "mul", ', ""),
    "a value where none may be": BODY.replace('"mul"', '"mul", "value": 1'),
    "a constant without value": BODY.replace('"input", "value": 2', '"constant"'),
    "a constant that is a list": BODY.replace('"value": 2', '"value": [2]'),
    "operands of an input": BODY.replace('"value": 2', '"inputs": ["x"]'),
    "a default and operands": BODY.replace('"value": 2', '"value": 2, "inputs": [1]'),
    "an unknown field of the graph": BODY.replace('"outputs"', '"inputs": [], "outputs"'),
    "the graph twice": BODY.replace('"inputs": {', '"graph": {}, "inputs": {'),
    "inputs twice": BODY[:-1] + ', "inputs": {"x": 1}}',
    "an array for an input": BODY.replace('{"x": 1}', '{"x": [1]}'),
    "NaN for an input": BODY.replace('{"x": 1}', '{"x": "NaN"}'),
    "inputs that are no object": BODY.replace('{"x": 1}', "null"),
    "no value for an input": BODY.replace('{"x": 1}', "{}"),
    "two values for an input": BODY.replace('{"x": 1}', '{"x": 1, "x": 2}'),
    "a value for no input": BODY.replace('{"x": 1}', '{"x": 1, "p": 2}'),
    "a value for nothing": BODY.replace('{"x": 1}', '{"x": 1, "z": 2}'),
    "no graph": '{"inputs": {}}',
    "no nodes": '{"graph": {"nodes": []}, "inputs": {}}',
    "nodes alone": '{"graph": {}, "inputs": {}}',
    "a list": "[1]",
    "nothing": "",
    "something behind": BODY + "x",
    "half of it": BODY[: len(BODY) // 2],
    "a deep value": BODY.replace('"value": 2', f'"value": {DEEP}'),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHER)
def test_what_is_not_plain_is_left_to_the_general_reader(what: str) -> None:
    assert read(BODY.encode()) is not None
    assert OTHER[what] != BODY, "the replacement finds nothing to replace"
    assert read(OTHER[what].encode()) is None


def test_invalid_utf8_is_left_to_the_general_reader() -> None:
    for wrong in (
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xf8\x88\x80\x80\x80",
    ):
        assert read(BODY.replace('"p"', '"p?"').encode().replace(b"?", wrong)) is None
        assert read((BODY[:-1] + ', "of": "?"}').encode().replace(b"?", wrong)) is None
    good = (BODY[:-1] + ', "of": "é€𝔵\ud7ff\ue000\U0010ffff"}').encode()
    graph = read(good)
    assert graph is not None
    assert told(graph) == general(good)


def test_more_nodes_than_allowed_are_left_to_the_general_reader() -> None:
    assert read(BODY.encode(), 4) is not None
    assert read(BODY.encode(), 3) is None


def test_every_name_of_an_op_is_known_as_the_registry_knows_it() -> None:
    table = native().table
    rows = {op: row for row, op in enumerate(table.ops)}
    for op in registry:
        for name in (op.name, *op.aliases):
            for text in {name, name.upper(), name.lower(), name.title()}:
                found = registry.get(text)
                row = -1 if found is None else rows.get(found, -1)
                arity = int(table.arity[row]) if row >= 0 else 2
                refs = ["x", "y", "p"][:arity]
                more = {"value": 1.0} if row in (0, 1) else {"inputs": refs}
                graph = read(with_node(id="q", op=text, **more))
                assert (graph is not None) == (row >= 0), text
                if graph is not None:
                    assert int(graph.rows[-1]) == row, text


def mutated(data: bytes, r: random.Random) -> bytes:
    """The bytes with something changed, left out, doubled or put in."""
    spoilt = bytearray(data)
    for _ in range(r.choice([1, 1, 1, 2, 5])):
        a = r.randrange(len(spoilt) + 1)
        b = min(len(spoilt), a + r.choice([0, 1, 1, 2, 8, 40]))
        piece = bytes(spoilt[a:b])
        match r.randrange(6):
            case 0:
                spoilt[a:b] = b""
            case 1:
                spoilt[a:a] = piece
            case 2:
                spoilt[a:b] = r.randbytes(b - a)
            case 3:
                spoilt[a : a + 1] = r.choice(b'{}[]",:\\0-.eE+x \x00\xff').to_bytes(1, "little")
            case 4:
                at = r.randrange(len(spoilt) + 1)
                spoilt[at:at] = piece
            case 5:
                del spoilt[r.randrange(len(spoilt) + 1) :]
        if not spoilt:
            break
    return bytes(spoilt)


def test_of_spoilt_bytes_the_short_road_never_says_more() -> None:
    r = random.Random(5)
    taken = 0
    for k in range(6000):
        if k % 50 == 0:
            data = dumps(
                random_body(r, r.randint(2, 12), shuffle=k % 100 == 0, nasty=k % 150 == 0), r
            ).encode()
        spoilt = mutated(data, r)
        graph = read(spoilt)
        if graph is not None and _rest_is_json(graph):
            taken += 1
            assert told(graph) == general(spoilt), spoilt
    assert taken > 200, "the mutations leave nothing to compare"


def _rest_is_json(graph: Any) -> bool:
    try:
        found = json.loads(graph.rest.decode())
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("graph", 0) is None


@pytest.mark.parametrize("cut", range(0, len(BODY), 7))
def test_a_body_that_ends_early_is_not_plain(cut: int) -> None:
    # The memory behind the bytes goes on with what would complete them.
    whole = np.frombuffer(BODY.encode() * 2, np.uint8)
    assert read(whole[:cut].tobytes()) is None
    assert native().module.survey(whole[:cut])[0] == BODY[:cut].count("{")


def test_look_ups_end_whatever_the_names_are(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dumps(random_body(random.Random(1), 400), random.Random(1)).encode()
    assert read(data) is not None
    monkeypatch.setattr(program, "new_state", lambda steps: new_state(50))
    assert read(data) is None


def chain(n: int, reverse: bool) -> bytes:
    """n sines of one another."""
    nodes: list[dict[str, Any]] = [{"id": "n0", "op": "input"}]
    nodes += ({"id": f"n{k}", "op": "sin", "inputs": [f"n{k - 1}"]} for k in range(1, n))
    return json.dumps({"graph": {"nodes": nodes[::-1] if reverse else nodes}, "inputs": {"n0": 1}}).encode()


@pytest.mark.parametrize("reverse", [False, True])
def test_time_grows_with_the_length(reverse: bool) -> None:
    def seconds(data: bytes) -> float:
        begin = time.thread_time()
        graph = read(data)
        assert graph is not None
        graph.digest()
        return time.thread_time() - begin

    short, long = chain(20_000, reverse), chain(80_000, reverse)
    assert min(seconds(long) for _ in range(5)) < 10 * min(seconds(short) for _ in range(5))


def test_ids_that_share_all_but_their_ends_take_linear_time() -> None:
    def body(n: int) -> bytes:
        ids = [f"{'a' * 200}{k}" for k in range(n)]
        nodes = [{"id": i, "op": "input", "value": 1} for i in ids]
        return json.dumps({"graph": {"nodes": nodes, "outputs": ids}}).encode()

    def seconds(data: bytes) -> float:
        begin = time.thread_time()
        assert read(data) is not None
        return time.thread_time() - begin

    short, long = body(2000), body(8000)
    assert min(seconds(long) for _ in range(5)) < 10 * min(seconds(short) for _ in range(5))


def test_ids_are_found_after_the_scan() -> None:
    r = random.Random(9)
    graph = read(dumps(random_body(r, 200, shuffle=True), r).encode())
    assert graph is not None
    ids = [n[0] for n in told(graph).nodes]
    found = graph.find(ids)
    assert found is not None
    assert found.tolist() == list(range(len(graph)))
    assert graph.find(["no such id"]) is None
    assert graph.find(["\ud800"]) is None
    assert graph.find([]) is not None
