"""Loops through HTTP: the example of the contract, loops without end, memory that checkpoints save, mistakes in bodies."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.engine.bodies import body, graph
from tests.service.conftest import Client, check_problem

BABYLON: dict[str, Any] = {
    "nodes": [
        {"id": "a", "op": "input"},
        {"id": "r", "op": "fori_loop", "inputs": ["a", "a"], "attrs": {"start": 0, "stop": 20, "carry": 1,
          "body": {"inputs": ["i", "y", "a"], "outputs": ["h"], "nodes": [{"id": "q", "op": "divide", "inputs": ["a", "y"]},
            {"id": "u", "op": "add", "inputs": ["y", "q"]}, {"id": "h", "op": "multiply", "inputs": [0.5, "u"]}]}}},
    ]
}  # fmt: skip
"""The example of the contract, section 7."""

UNTIL_CLOSE = {
    "carry": 1,
    "cond": body(["y", "a"], [("s", "square", ["y"]), ("d", "subtract", ["s", "a"]), ("e", "abs", ["d"]),
                              ("g", "greater", ["e", 1e-14])], ["g"]),
    "body": body(["y", "a"], [("q", "divide", ["a", "y"]), ("u", "add", ["y", "q"]), ("h", "multiply", [0.5, "u"])], ["h"]),
}  # fmt: skip
NEWTON = graph("a", [("r", "while_loop", ["a", "a"], UNTIL_CLOSE)], "r")


@pytest.mark.parametrize("source", [BABYLON, NEWTON], ids=["fori_loop", "while_loop"])
def test_the_square_root_by_a_loop(client: Client, source: dict[str, Any]) -> None:
    root = 7**0.5
    answer = client.ask("grad", {"graph": source, "inputs": {"a": 7}})
    assert answer["value"] == pytest.approx(root, rel=1e-14)
    assert answer["gradients"] == {"a": pytest.approx(0.5 / root, rel=1e-12), "r": 1}
    assert set(answer["values"]) == {"a", "r"}  # nothing inside the body
    for mode in ("reverse", "forward", "auto"):
        answer = client.ask("hessian", {"graph": source, "inputs": {"a": 7}, "mode": mode})
        assert answer["hessian"]["a"]["a"] == pytest.approx(-0.25 * 7**-1.5, rel=1e-10)
    answer = client.ask(
        "grad", {"graph": source, "inputs": {"a": [7, 100, 1e-2]}, "in_axes": {"a": 0}, "nodes": "none"}
    )
    assert answer["gradients"]["a"] == pytest.approx([0.5 / root, 0.05, 5], rel=1e-6)


@pytest.mark.parametrize("verb", ["evaluate", "grad", "hessian", "trace"])
def test_a_loop_that_does_not_end(client: Client, verb: str) -> None:
    more = body(["y"], [("n", "add", ["y", 1])], ["n"])
    forever = graph(
        "x",
        [
            (
                "r",
                "while_loop",
                ["x"],
                {"cond": body(["y"], [("m", "greater", ["y", 0])], ["m"]), "body": more},
            )
        ],
        "r",
    )
    start = time.monotonic()
    response = client.post(
        f"/v1/{verb}", json={"graph": forever, "inputs": {"x": 1}}, headers={"X-Request-Timeout": "0.2"}
    )
    check_problem(response, 504, "timeout")
    assert time.monotonic() - start < 2


def test_memory_that_a_checkpoint_saves(client: Client) -> None:
    def chain(kept: bool) -> dict[str, Any]:
        nodes: list[tuple[Any, ...]] = []
        last = "x"
        for k in range(10):
            inner = [(f"n{j}", "sin", [f"n{j - 1}" if j else "v"]) for j in range(10)]
            if kept:
                for j in range(10):
                    nodes.append((f"c{k}_{j}", "sin", [last]))
                    last = f"c{k}_{j}"
            else:
                nodes.append((f"c{k}", "checkpoint", [last], {"body": body(["v"], inner, ["n9"])}))
                last = f"c{k}"
        return graph("x", [*nodes, ("f", "sum", [last])], "f")

    peaks, gradients = [], []
    for kept in (True, False):
        answer = client.ask(
            "grad",
            {"graph": chain(kept), "inputs": {"x": [0.5] * 1000}, "nodes": "none", "include": ["timing"]},
        )
        peaks.append(answer["timing"]["peak_bytes"])
        gradients.append(answer["gradients"]["x"][0])
    assert peaks[1] < peaks[0] / 3
    assert gradients[0] == gradients[1]


def test_memory_of_a_loop_shows_when_its_length_does(client: Client) -> None:
    step = body(["k", "y"], [("l", "add", ["k", 1]), ("n", "sin", ["y"])], ["l", "n"])
    peaks = []
    for n in (100, 1000):
        attrs = {"carry": 2, "cond": body(["k", "y"], [("m", "less", ["k", n])], ["m"]), "body": step}
        source = graph(
            "x",
            [("r", "while_loop", [0, "x"], attrs), ("y", "item", ["r"], {"index": 1}), ("f", "sum", ["y"])],
            "f",
        )
        body_ = {"graph": source, "inputs": {"x": [0.5] * 1000}, "nodes": "none", "include": ["timing"]}
        peaks.append(client.ask("grad", body_)["timing"]["peak_bytes"])
    assert 100 * 8000 < peaks[0] < 200 * 8000
    assert 1000 * 8000 < peaks[1] < 1100 * 8000


def test_mistakes_in_a_condition_point_into_it(client: Client) -> None:
    wrong = UNTIL_CLOSE | {"cond": body(["y", "a"], [("s", "stack", ["y", "a"])], ["s"])}
    source = graph("a", [("r", "while_loop", ["a", "a"], wrong)], "r")
    found = client.problem("evaluate", {"graph": source, "inputs": {"a": 1}}, 422, "shape-mismatch")
    assert (found["pointer"], found["node"]) == ("/graph/nodes/1/attrs/cond/outputs/0", "s")
    wrong = UNTIL_CLOSE | {"cond": body(["y", "a"], [("s", "sqare", ["y"])], ["s"])}
    source = graph("a", [("r", "while_loop", ["a", "a"], wrong)], "r")
    found = client.problem("evaluate", {"graph": source, "inputs": {"a": 1}}, 422, "unknown-op")
    assert found["pointer"] == "/graph/nodes/1/attrs/cond/nodes/0/op"
    source = graph("a", [("r", "while_loop", ["a", "a"], {"carry": 1, "body": UNTIL_CLOSE["body"]})], "r")
    found = client.problem("evaluate", {"graph": source, "inputs": {"a": 1}}, 422, "arity")
    assert "cond" in found["detail"]
    source = graph("a", [("r", "while_loop", ["a", "a"], UNTIL_CLOSE | {"cond": 3})], "r")
    client.problem("evaluate", {"graph": source, "inputs": {"a": 1}}, 422, "invalid-attribute")


def test_parse_shows_loops(client: Client) -> None:
    for source in (NEWTON, BABYLON):
        answer = client.ask("parse", {"graph": source, "signature": {"a": {"shape": [], "dtype": "float64"}}})
        assert answer["shapes"] == {"a": [], "r": []}
        again = client.ask("parse", {"graph": answer["graph"]})
        assert again["graph_id"] == answer["graph_id"]
        assert again["graph"] == answer["graph"]
        assert answer["graph"]["nodes"][1]["attrs"]["body"]["inputs"][-1] == "a"
