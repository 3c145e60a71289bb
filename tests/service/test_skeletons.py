"""Requests that are known by their bytes: taken where they should be, answered as on the long road, learned within bounds."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service import work
from service.at_once import AtOnce
from service.gaps import ends_of
from service.skeletons import BESIDE, OFTEN, Skeletons
from tests.service.conftest import Client
from tests.service.test_roads import PLAIN, same_on_both, scope_of

ROSENBROCK = "sum(100.0*(x[1:] - x[:-1]**2)**2 + (1.0 - x[:-1])**2)"


def coded(value: Any, dtype: str = "<f8", **more: Any) -> dict[str, Any]:
    """An encoded array."""
    array = np.asarray(value, dtype)
    data = {"encoding": "base64", "buffer": base64.b64encode(array.tobytes()).decode()}
    return {
        "object_type": "array",
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "data": data,
        **more,
    }


@pytest.fixture(scope="module")
def at_once(client: Client) -> AtOnce:
    assert client.app.at_once is not None
    return client.app.at_once


def skeletons(client: Client) -> Skeletons:
    found: Skeletons = client.app.state.services.skeletons
    return found


# ---------------------------------------------------------------------------------------------------- the road is taken

NODES = [
    {"id": "x", "op": "input"},
    {"id": "w", "op": "input", "value": [[1.0, 2.0]]},
    {"id": "y", "op": "matmul", "inputs": ["w", "x"]},
    {"id": "f", "op": "sum", "inputs": ["y"]},
]
rng = np.random.default_rng(5)


def points(*shape: int) -> list[Any]:
    """Five arrays."""
    return [rng.normal(size=shape).tolist() for _ in range(5)]


KINDS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "a vector": ({"expression": ROSENBROCK}, [{"x": x} for x in points(2)]),
    "a long vector": ({"expression": ROSENBROCK, "wrt": ["x"], "nodes": "none"}, [{"x": x} for x in points(700)]),
    "a matrix": ({"expression": "sum(a @ a.T)"}, [{"a": a} for a in points(3, 4)]),
    "a large matrix": ({"expression": "sum(tanh(a))", "nodes": "none"}, [{"a": a} for a in points(20, 30)]),
    "numbers and vectors": (
        {"expression": "dot(u, v) * s + t"},
        [{"s": k, "u": u, "t": 0.5 - k, "v": v} for k, (u, v) in enumerate(zip(points(3), points(3), strict=True))],
    ),
    "numbers": ({"expression": "log(1 + exp(-y*(w*x + b)))"}, [dict(zip("ywxb", p, strict=True)) for p in points(4)]),
    "base64": ({"expression": ROSENBROCK}, [{"x": coded(x)} for x in points(5)]),
    "base64, both": ({"expression": ROSENBROCK, "arrays": "base64"}, [{"x": coded(x)} for x in points(300)]),
    "base64 twice": (
        {"expression": "dot(u, v) * s"},
        [{"u": coded(u), "v": coded(u), "s": 2.5 * k} for k, u in enumerate(points(3))],
    ),
    "base64 out": ({"expression": ROSENBROCK, "arrays": "base64"}, [{"x": x} for x in points(5)]),
    "base64 of float32": ({"expression": ROSENBROCK}, [{"x": coded(x, "<f4")} for x in points(5)]),
    "float32": ({"expression": ROSENBROCK, "dtype": "float32"}, [{"x": x} for x in points(5)]),
    "float32, numbers": ({"expression": "sin(x) * y", "dtype": "float32"}, [{"x": x, "y": 2} for x in points()]),
    "an index that stays": (
        {"expression": "x[k] * sum(x)"},
        [{"k": 1, "x": x} for x in points(3)],
    ),
    "a truth value that stays": ({"expression": "where(c, x, 2*x)[0]"}, [{"x": x, "c": True} for x in points(3)]),
    "many truth values out": ({"expression": "t = x > 0\nsum(x * x), t"}, [{"x": x} for x in points(400)]),
    "integers out": ({"expression": "sum(x), argmax(x)"}, [{"x": x} for x in points(5)]),
    "nothing out": ({"expression": "sum(x), x[:0]"}, [{"x": x} for x in points(5)]),
    "much nothing out": ({"expression": "sum(x), x[:0]"}, [{"x": x} for x in points(500)]),
    "truth values out": ({"expression": "t = x > 0\nsum(x * x), t"}, [{"x": x} for x in points(3)]),
    "a graph and a default": ({"graph": {"nodes": NODES}}, [{"x": x} for x in points(2, 3)]),
    "of a name with quotes": ({"expression": "sum(x)", "of": "t1"}, [{"x": x} for x in points(3)]),
    "percent signs": ({"graph": {"nodes": [*NODES[:3], {"id": "%b", "op": "sum", "inputs": ["y"]}]}},
                      [{"x": x} for x in points(2, 3)]),
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {"json.dumps": {}, "compact": {"separators": (",", ":")}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", [True, False], ids=["program first", "inputs first"])
@pytest.mark.parametrize("verb", ["grad", "evaluate"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_numbers_are_read_in_the_end(
    client: Client,
    at_once: AtOnce,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    verb: str,
    first: bool,
    way: str,
) -> None:
    """From the third request of a kind on, nothing is prepared or parsed, and the bytes are those of the long road."""
    rest, inputs = KINDS[kind]
    skeletons(client).kept.clear()
    client.app.state.services.readings.kept.clear()
    bodies = [{**rest, "inputs": x} if first else {"inputs": x, **rest} for x in inputs]
    data = [json.dumps(b, **WAYS[way]).encode() for b in bodies]
    for d in data[:2]:
        assert client.post(f"/v1/{verb}", content=d, headers=PLAIN).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(work, "prepare", None)
        patch.setattr(work, "read_object", None)
        found = [at_once(scope_of(client, f"/v1/{verb}", PLAIN, d), d) for d in data]
    for d, answer in zip(data, found, strict=True):
        assert answer is not None
        assert answer[2] == client.post(f"/v1/{verb}", content=d, headers=PLAIN).content
        assert same_on_both(client, at_once, f"/v1/{verb}", d)


@pytest.mark.parametrize(
    "inputs", [points(2), [coded(x) for x in points(40)], points(300)], ids=["2", "base64", "300"]
)
def test_registered_programs_are_known_too(
    client: Client, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch, inputs: list[Any]
) -> None:
    """By id and by name, in the path and in the body. A signature must fit all the same."""
    shape = (
        [2]
        if inputs[0] == inputs[0] and len(inputs[0]) == 2
        else [300]
        if isinstance(inputs[0], list)
        else [40]
    )
    signature = {"x": {"shape": shape}}
    registered = client.post(
        "/v1/graphs",
        json={"expression": ROSENBROCK, "name": "valley", "signature": signature, "replace": True},
    )
    for ref in (registered.json()["id"], "valley"):
        for path, more in ((f"/v1/graphs/{ref}/grad", {}), ("/v1/grad", {"graph_id": ref})):
            data = [json.dumps({**more, "inputs": {"x": x}, "wrt": ["x"]}).encode() for x in inputs]
            for d in data[:2]:
                assert client.post(path, content=d, headers=PLAIN).status_code == 200
            with monkeypatch.context() as patch:
                patch.setattr(work, "prepare", None)
                patch.setattr(work, "read_object", None)
                found = [at_once(scope_of(client, path, PLAIN, d), d) for d in data]
            for d, answer in zip(data, found, strict=True):
                assert answer is not None
                assert answer[2] == client.post(path, content=d, headers=PLAIN).content
    other = json.dumps({"inputs": {"x": [1.0, 2.0, 3.0]}, "wrt": ["x"]}).encode()
    assert at_once(scope_of(client, "/v1/graphs/valley/grad", PLAIN, other), other) is None
    client.request("DELETE", "/v1/graphs/valley")
    gone = json.dumps({"inputs": {"x": inputs[0]}, "wrt": ["x"]}).encode()
    assert at_once(scope_of(client, "/v1/graphs/valley/grad", PLAIN, gone), gone) is None
    client.request("DELETE", f"/v1/graphs/{registered.json()['id']}")


# ------------------------------------------------------------------------------------------------- the same on both roads

PROGRAMS = [
    "sum(x * y) + s",
    "sum(sqrt(x)) * s",
    "sum(abs(x)) + sum(maximum(y, x)) * s",
    "log(sum(exp(x))) - s * y[0]",
    "x * s, x + y",
    "sum(where(x > y, x / s, y))",
    "prod(x) + sum(y**s)",
    "norm(x) * s + y[-1]",
    "sum(x[1:] * y[:-1]) / s",
    "concatenate([x, y]) @ concatenate([y, x]) * s",
    "sum(100.0*(x[1:] - x[:-1]**2)**2) + sum(y) * s",
]
numbers = st.one_of(
    st.floats(-3, 3),
    st.integers(-3, 3),
    st.sampled_from([0, -0.0, 1e308, 1e-320, 2**53 + 1, 2**63, 10**30, 1e22]),
)
odd: Any = st.one_of(
    st.sampled_from(
        [10**400, "NaN", "Infinity", True, None, [], [[]], [1, [2]], ["1"], [[1.0], [2.0]], {}, "1", [None], [True, 1.0],
         [1, "NaN"], [[1, 2], [3]], "]", "x", 1]
    ),
    st.lists(numbers, max_size=4),
    st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=3),
    st.lists(numbers, max_size=3).map(coded),
    st.lists(st.floats(-3, 3), max_size=3).map(lambda v: coded(v, "<f4")),
    st.lists(st.integers(-3, 3), max_size=3).map(lambda v: coded(v, "<i8")),
    st.sampled_from(
        [coded([1.0, 2.0], shape=[3]), coded([np.nan, 1.0]), coded([1.0, 2.0], dtype="int64"), coded(np.zeros((0, 3)))]
    ),
)  # fmt: skip


@given(
    st.sampled_from(["evaluate", "grad", "grad", "jvp", "vjp", "hessian"]),
    st.sampled_from(PROGRAMS),
    st.integers(1, 4),
    st.sampled_from(["list", "base64", "matrix"]),
    st.dictionaries(
        st.sampled_from(["dtype", "nodes", "arrays", "of", "seed", "mode", "wrt", "include"]),
        st.sampled_from(["float32", "none", "base64", "x", "reverse", ["x"], ["timing"], 2.5]),
        max_size=2,
    ),
    st.data(),
)
def test_arrays_at_once(
    client: Client,
    at_once: AtOnce,
    verb: str,
    text: str,
    n: int,
    form: str,
    more: dict[str, Any],
    data: st.DataObject,
) -> None:
    """The same request with other numbers, again and again, then odd ones, and the first again."""
    many = st.lists(numbers, min_size=n, max_size=n)

    def value(x: list[float]) -> Any:
        return {"list": x, "base64": coded([float(v) for v in x]), "matrix": [x]}[form]

    rows = [
        {"x": value(data.draw(many)), "s": data.draw(numbers), "y": value(data.draw(many))} for _ in range(4)
    ]
    names = data.draw(st.permutations(["x", "s", "y"]))
    rows = [{k: row[k] for k in names} for row in rows]
    for _ in range(2):
        rows.append({**rows[0], data.draw(st.sampled_from(names)): data.draw(odd)})
    rows += [rows[1], {**rows[0], "z": 1.0}, {k: v for k, v in rows[0].items() if k != "x"}]
    way = data.draw(st.sampled_from(list(WAYS.values())))
    for inputs in rows:
        body = json.dumps({"expression": text, "inputs": inputs, **more}, **way).encode()
        same_on_both(client, at_once, f"/v1/{verb}", body)


HEAD, TAIL = b'{"expression": "sum(x * y) + s", "inputs": {"x": ', b"}}"
MALFORMED = [
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0, "s": 2.0',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": ',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0,',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0, 2.0',
    b'[1.0, 2.0], [3.0, "y": 4.0], "s": 1.0',
    b'[1.0, 2.0]], "y": [[3.0, 4.0], "s": 1.0',
    b'[[1.0, 2.0], "y": [3.0, 4.0]], "s": 1.0',
    b'[1.0 2.0], "y": [3.0, 4.0], "s": 1.0',
    b'[1.0, 2.0,], "y": [3.0, 4.0], "s": 1.0',
    b'[01.0, 2.0], "y": [3.0, 4.0], "s": 1.0',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": +1.0',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": .5',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 5.',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": NaN',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1e999',
    b'[1.0, 1e999], "y": [3.0, 4.0], "s": 1.0',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0}, "inputs": {"x": [5.0, 6.0], "y": [7.0, 8.0], "s": 9.0',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0}, "wrt": {"x": 1',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0 /* no */',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0\xff',
    b' [1.0, 2.0] , "y":\t[3.0,4.0], "s":\n1.0 ',
    b'[1.0, 2.0], "y": [3.0, 4.0], "s": "1.0"',
    b'[1.0, 2.0], "\\u0079": [3.0, 4.0], "s": 1.0',
    b'[1.0, 2.0], "y": [3.0, 4.0], "y": [5.0, 6.0], "s": 1.0',
    b"[1.0, 2.0]" * 200,
]


@pytest.mark.parametrize("middle", MALFORMED)
def test_what_only_looks_like_it(client: Client, at_once: AtOnce, middle: bytes) -> None:
    """Texts between the same ends that are no JSON, or say something else."""
    good = HEAD + b'[1.0, 2.0], "y": [3.0, 4.0], "s": 1.0' + TAIL
    assert [same_on_both(client, at_once, "/v1/grad", good) for _ in range(3)] == [True] * 3
    for _ in range(3):
        same_on_both(client, at_once, "/v1/grad", HEAD + middle + TAIL)
    assert same_on_both(client, at_once, "/v1/grad", good)


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("sum(sqrt(x))", [1.0, 2.0], [1.0, -2.0]),
        ("sum(sqrt(x))", [1.0, 2.0], [1.0, 0.0]),
        ("sum(abs(x))", [1.0, 2.0], [1.0, 0.0]),
        ("sum(1 / x)", [1.0, 2.0], [1.0, 1e-310]),
        ("max(x)", [1.0, 2.0], [2.0, 2.0]),
        ("sum(exp(x))", [1.0] * 500, [800.0] * 500),
        ("sum(abs(x))", [1.0] * 500, [0.0] * 500),
        ("sum(sort(x)[:2])", [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]),
    ],
)
def test_warnings_come_from_the_long_road(
    client: Client, at_once: AtOnce, text: str, good: list[float], bad: list[float]
) -> None:
    """What is not finite, and points without derivative, also in the midst of ordinary requests."""
    for x in (good, good, good, bad, good, bad):
        data = json.dumps({"expression": text, "inputs": {"x": x}}).encode()
        same_on_both(client, at_once, "/v1/grad", data)
        body = client.post("/v1/grad", content=data, headers=PLAIN).content
        assert bool(orjson.loads(body)["warnings"]) is (x is bad)
        found = skeletons(client).answer("grad", None, data)
        assert found in (None, body)
        assert (found is None) is (x is bad) or x is good


@given(st.binary(max_size=60))
@example(b'{"inputs": {"x": 1}}')
@example(b'{"inputs":{"x":{"data":{}}}}')
@example(b'"inputs":{}')
@example(b'"inputs":{:{')
def test_any_bytes_have_ends_or_none(data: bytes) -> None:
    """What is looked up is made of the data, and is the same for other numbers."""
    for text in (data, b'{"inputs":{' + data):
        ends = ends_of(text)
        assert ends is None or (text.startswith(ends[0]) and text.endswith(ends[1]))


# ------------------------------------------------------------------------------------------------------------ in bounds


def test_what_is_kept_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    found = skeletons(client)
    found.kept.clear()
    monkeypatch.setattr(found.kept, "most_bytes", 100_000)
    for k in range(60):
        for x in (0.5, 1.5):
            client.post("/v1/grad", json={"expression": f"sum(sin(x)) * {k}.25", "inputs": {"x": [x, k]}})
    assert 1 < len(found.kept) < 30
    assert found.kept.nbytes <= 100_000


def test_shapes_beside_one_another(client: Client, at_once: AtOnce) -> None:
    """Several are known at once; more of them are forgotten again, and each is answered rightly."""
    found = skeletons(client)
    found.kept.clear()

    def data(n: int) -> bytes:
        return json.dumps({"expression": "sum(x * x) * 3.375", "inputs": {"x": [0.5] * n}}).encode()

    for n in range(1, BESIDE + 1):
        for _ in range(3):
            assert same_on_both(client, at_once, "/v1/grad", data(n))
    assert all(found.answer("grad", None, data(n)) for n in range(1, BESIDE + 1))
    for n in range(1, 40):
        assert same_on_both(client, at_once, "/v1/grad", data(n))
    assert [len(beside) for beside, _ in found.kept._values.values()] == [BESIDE]


def test_who_writes_each_request_anew_is_not_learned_from_each_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[bytes] = []
    monkeypatch.setattr("service.skeletons.gaps_of", lambda data, job: learned.append(data))
    for k in range(10 * OFTEN):
        data = b'{"expression": "sum(x * x) * 4.375", "inputs": {"x": %b[1.0]}}' % (b" " * k)
        client.post("/v1/grad", content=data, headers=PLAIN)
    assert OFTEN <= len(learned) <= 2 * OFTEN + 2


def test_long_bodies_are_not_looked_at(client: Client) -> None:
    found = skeletons(client)
    found.kept.clear()
    for _ in range(3):
        client.post(
            "/v1/grad", json={"expression": ROSENBROCK, "inputs": {"x": [0.1234567] * 8000}, "nodes": "none"}
        )
    assert not len(found.kept)


def test_what_takes_long_is_not_computed_in_between(client: Client) -> None:
    """A short request for long work is left to the threads."""
    found = skeletons(client)
    found.kept.clear()
    body = {
        "expression": "sum((ones((300, 300)) * x[0]) @ ones((300, 300)))",
        "inputs": {"x": [1.5]},
        "nodes": "none",
    }
    for _ in range(3):
        assert client.post("/v1/grad", json=body).status_code == 200
    assert not len(found.kept)
