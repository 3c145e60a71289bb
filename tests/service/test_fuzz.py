"""Nothing a client sends gets a 500, and every answer is what it says it is."""

from __future__ import annotations

import json
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.envelope import REQUESTS
from service.examples import EXAMPLES
from service.routes.verbs import OPERATIONS
from tests.service.conftest import Client, check_problem
from tests.service.test_arrays import strict

VERBS = sorted(REQUESTS)
FIELDS = sorted({f for m in REQUESTS.values() for f in m.model_fields})
WORDS = [
    "x",
    "y",
    "t1",
    "f",
    "add",
    "sum",
    "getitem",
    "input",
    "constant",
    "item",
    "NaN",
    "Infinity",
    "auto",
    "all",
    "base64",
]
WORDS += [
    "coo",
    "lm",
    "gd",
    "adamw",
    "grid-search",
    "c",
    "latex",
    "dot",
    "timing",
    "values",
    "...",
    "start",
    "shape",
    "dtype",
    "data",
    "float64",
    "x * y",
    "x[0]",
    "learning_rate",
    "max_iterations",
    "num",
    "stop",
    "",
    "é",
    "\u0000",
]

numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, 2**63, 2**64, 10**400]),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(WORDS), st.text(max_size=5))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([*WORDS, *FIELDS]), inner, max_size=4)
    ),
    max_leaves=12,
)
BODIES = [(verb, example.body) for verb, examples in EXAMPLES.items() for example in examples]


def check(response: httpx.Response) -> None:
    """An answer, or a problem that is the client's."""
    if response.status_code == 200:
        if response.headers["content-type"] == "application/json":
            strict(response.content)
        return
    assert response.status_code in (400, 404, 413, 415, 422, 501, 504), response.text
    found = orjson.loads(response.content)
    check_problem(response, response.status_code, found["type"].removeprefix("/problems/"))


def send(client: Client, verb: str, body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(f"/v1/{verb}", content=data, headers={"content-type": "application/json"})
    check(response)
    model = OPERATIONS[verb].answer if verb in OPERATIONS else None
    if response.status_code == 200 and model is not None:
        model.model_validate(orjson.loads(response.content))


@given(st.sampled_from(VERBS), st.binary(max_size=60))
def test_bytes(client: Client, verb: str, data: bytes) -> None:
    send(client, verb, data)


@given(st.sampled_from(VERBS), st.text(max_size=40))
def test_text_as_a_program(client: Client, verb: str, text: str) -> None:
    send(client, verb, {"expression": text.encode("utf-8", "replace").decode(), "inputs": {"x": 1}})


@given(st.sampled_from(VERBS), st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
def test_bodies(client: Client, verb: str, body: dict[str, Any]) -> None:
    send(client, verb, body)


@given(
    st.sampled_from(VERBS),
    st.lists(values, max_size=4),
    st.dictionaries(st.sampled_from(WORDS), values, max_size=3),
)
def test_graphs(client: Client, verb: str, nodes: list[Any], inputs: dict[str, Any]) -> None:
    send(client, verb, {"graph": {"nodes": nodes}, "inputs": inputs})


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """A good body in which a few parts are exchanged, removed or doubled, for its own verb or another."""
    verb, example = draw(st.sampled_from(BODIES))
    body = json.loads(json.dumps(example))
    if draw(st.integers(0, 3)) == 0:
        verb = draw(st.sampled_from(VERBS))
    for _ in range(draw(st.integers(1, 3))):
        place = body
        while True:
            keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            match draw(st.sampled_from(["exchange", "remove", "wrap", "add"])):
                case "exchange":
                    place[key] = draw(values)
                case "remove":
                    del place[key]
                case "wrap":
                    place[key] = [place[key]]
                case _ if isinstance(place, dict):
                    place[draw(st.sampled_from([*WORDS, *FIELDS]))] = draw(values)
                case _:
                    place.append(draw(values))
            break
    return verb, body


@settings(max_examples=500)
@given(mutated())
def test_mutated_bodies(client: Client, asked: tuple[str, Any]) -> None:
    send(client, *asked)


OPERANDS = {"a": 2, "b": [1.5, -2], "c": [[1, 2], [3, 4]], "d": True, "e": [], "f": ["NaN", "-Infinity"]}
attrs = st.dictionaries(
    st.sampled_from(
        [
            "axis",
            "keepdims",
            "shape",
            "axes",
            "ord",
            "index",
            "subscripts",
            "dtype",
            "min",
            "indices",
            "n",
            "k",
        ]
    ),
    st.one_of(
        values, st.sampled_from([0, -1, [0], [1, 0], "i->i", "ij,jk->ik", [{"start": 0}], ["..."], [None]])
    ),
    max_size=2,
)


@settings(max_examples=300)
@given(st.data())
def test_ops_with_any_operands(client: Client, data: st.DataObject) -> None:
    from engine.op import registry

    op = data.draw(st.sampled_from(sorted(op.name for op in registry)))
    operands = data.draw(st.lists(st.sampled_from([*OPERANDS, 2, 0.5, [1, 2]]), max_size=3))
    node = {"id": "y", "op": op, "inputs": operands, "attrs": data.draw(attrs)}
    nodes = [*({"id": k, "op": "input", "value": v} for k, v in OPERANDS.items()), node]
    verb = data.draw(st.sampled_from(["evaluate", "grad", "jacobian", "trace"]))
    send(client, verb, {"graph": {"nodes": nodes, "outputs": ["y"]}})


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("of", [None, [], ["t2"], ["t2", "t1"], [""], "", "x"])
def test_of(client: Client, verb: str, of: Any) -> None:
    send(client, verb, {"expression": "(x + y) * z", "inputs": {"x": 1, "y": 2, "z": 3}, "of": of})
