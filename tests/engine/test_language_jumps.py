"""`break` and `continue` in program text: the same text run by Python, and what derivatives of every kind make of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.language import parse_text
from engine.program import INPUT
from engine.spec import read_graph
from tests.engine.helpers import ask, near
from tests.engine.test_language_control import INPUTS, check_as_python, check_second
from tests.engine.test_sparse import compare

JUMPS: dict[str, str] = {
    "until it is near": "y = x\nfor i in range(100):\n    d = (y*y - x)/(2*y)\n    y = y - d\n    if abs(d) < 1e-10:\n"
    "        break\ny*a + d",
    "the counter": "y = x\nfor i in range(2, 50):\n    y = y*1.5\n    if y > 10: break\ny*i",
    "steps": "y = x\nfor i in range(1, 50, 3):\n    if y > 10: break\n    y = y*1.5 + i\ny*i",
    "steps down": "y = x\nfor i in range(50, 1, -3):\n    if y > 10: break\n    y = y*1.5 + i*a\ny*i",
    "never left": "y = x\nfor i in range(3):\n    y = y*a\n    if y > 100: break\ny*i",
    "computed bounds": "s = 0.0\nfor i in range(n, 5*n):\n    s = s + x*i\n    if s > 12: break\ns",
    "while True": "y = x\nwhile True:\n    new = (y + x/y)/2\n    if abs(new - y) < 1e-12:\n        break\n    y = new\nnew*a",
    "while": "y = x\nk = 0\nwhile k < 20:\n    k = k + 1\n    if y > 5:\n        y = y - a\n        break\n    y = y*1.3\ny*k",
    "while of a number": "y = x\nk = 9\nwhile k:\n    k = k - 1\n    if y > 5: break\n    y = y*1.3 + a\ny*k",
    "continue": "s = 0.0\nfor i in range(6):\n    if i % 2 == 0:\n        continue\n    s = s + x**i\ns*a",
    "two continues": "s = 0.0\nfor i in range(6):\n    if i == 1:\n        continue\n    t = x*i\n"
    "    if t > 4:\n        s = s - a\n"
    "        continue\n    s = s + t\ns*a",
    "continue in while": "s = x\nk = 0\nwhile k < 6:\n    k += 1\n    if k % 2: continue\n    s = s*a + k\ns",
    "in an if in an if": "s = x\nfor i in range(9):\n    if i > 1:\n        s = s*1.2\n        if s > 3:\n"
    "            s = s - a\n"
    "            break\n        s = s + 0.1\n    s = s + 0.2*a\ns*i",
    "both": "s = x\nk = 0\nwhile True:\n    k += 1\n    if k % 3 == 0:\n        continue\n    s = s*1.1 + a\n    if k > 10:\n"
    "        break\ns*k",
    "elif": "s = x\nfor i in range(9):\n    if s > 4:\n        break\n    elif s > 2:\n        s = s + a\n        continue\n"
    "    else:\n        s = s*1.5\n    s = s + 0.1\ns",
    "branches that may go on": "s = x\nfor i in range(9):\n    if s > 2:\n        if s > 4:\n            break\n"
    "        s = s + a\n"
    "    else:\n        if i > 5: continue\n        s = s*1.5\n    s = s + 0.1\ns",
    "all branches jump": "s = x\nfor i in range(9):\n    if s > 4:\n        break\n    else:\n"
    "        s = s*1.5 + a\n        continue\n"
    "    s = s*100\ns",
    "rows": "s = 0.0\nfor r in A:\n    s = s + sum(r*v)*a\n    if s < 0: break\ns*x",
    "enumerate": "s = 0.0\nfor i, e in enumerate(v):\n    if e < 0:\n        break\n    s = s + e*x*(i+1)\ns + i",
    "enumerate from": "s = 0.0\nfor i, e in enumerate(v, 2):\n    s = s + e*x*i\n    if i == 3: break\ns*e",
    "zip": "s = 0.0\nfor p, q in zip(v, w):\n    s = s + p*q*x\n    if p*q < 0: break\ns",
    "zip ends with the shortest": "s = 0.0\nfor p, q in zip(v, w[:2]):\n    s = s + p*q*x\n    if s > 99: break\ns",
    "reversed": "s = 0.0\nfor e in reversed(v):\n    if e < 0: break\n    s = s*x + e\ns + e",
    "reversed range": "s = 0.0\nfor i in reversed(range(9)):\n    s = s*a + i*x\n    if i == 4: break\ns*i",
    "a list": "s = 0.0\nfor k in [2, 0, 1]:\n    s = s*x + v[k]\n    if k == 0: break\ns",
    "a tuple": "s = 0.0\nfor k in (3, 1, 2):\n    s = s*a + x**k\n    if s > 2.3: break\ns*k",
    "functions": "y = x\nfor f in (sin, cos, exp):\n    y = f(y)*a\n    if y > 0.5: break\ny",
    "the first that": "k = 0\nfor i in range(3):\n    if v[i] < 0:\n        k = i\n        break\nx*k + v[k]*w[k]",
    "in loops in loops": "s = 0.0\nfor i in range(4):\n    for j in range(5):\n        if j > i: break\n"
    "        s = s + x**j*a\n"
    "    if s > 5: break\ns*i",
    "in a loop in one with continue": "s = 0.0\nfor i in range(4):\n    t = x\n    while True:\n        t = t*1.5\n"
    "        if t > 4: break\n    if i == 2: continue\n    s = s + t*a\ns",
    "in helpers": "def root(c):\n    y = c\n    for i in range(50):\n        new = (y + c/y)/2\n"
    "        if abs(new - y) < 1e-12:\n"
    "            break\n        y = new\n    return new\nroot(x)*root(a)",
    "in a branch": "y = x\nif x > 1:\n    for i in range(20):\n        if y > 4: break\n        y = y*1.4\n"
    "else:\n    y = a\ny*a",
    "of a vector": "y = v\nfor i in range(30):\n    if sum(y*y) < 0.5: break\n    y = y*a*0.9\nsum(y*w)",
    "at once": "y = x\nfor i in range(9):\n    y = y*a\n    break\ny",
    "that is known": "y = x\nfor i in range(9):\n    y = y*a\n    if True: break\ny*i",
    "that is known not to": "y = x\nfor i in range(3):\n    y = y*a\n    if False: break\ny*i",
}  # fmt: skip


@pytest.mark.parametrize("name", JUMPS)
def test_as_python(name: str) -> None:
    check_as_python(JUMPS[name])


@pytest.mark.parametrize(
    "name",
    ["steps", "while", "both", "branches that may go on", "enumerate", "in loops in loops", "of a vector"],
)
def test_second_derivatives(name: str) -> None:
    text = JUMPS[name]
    check_second(text, {s.id: INPUTS[s.id] for s in parse_text(text).steps if s.op is INPUT})


@pytest.mark.parametrize("name", JUMPS)
def test_round_trip(name: str) -> None:
    program = parse_text(JUMPS[name])
    again = read_graph(json.loads(json.dumps(program.to_json())))
    assert again.digest == program.digest
    used = {s.id: INPUTS[s.id] for s in program.steps if s.op is INPUT}
    assert ask("evaluate", again, used)["outputs"] == ask("evaluate", program, used)["outputs"]


GROWING = [
    "steps",
    "never left",
    "while",
    "while True",
    "two continues",
    "both",
    "branches that may go on",
    "a tuple",
]
"""Programs of x and a alone, which are left at another step for another x."""


@pytest.mark.parametrize("name", GROWING)
def test_every_member_of_a_batch_is_left_where_it_is_left_alone(name: str) -> None:
    text = JUMPS[name]
    xs = np.array([0.4, 1.3, 2.6, 5.5, 30.0])
    fixed = {s.id: INPUTS[s.id] for s in parse_text(text).steps if s.op is INPUT and s.id != "x"}
    for verb, key in (("grad", "gradients"), ("hessian", "hessian")):
        got = ask(verb, text, {"x": xs, **fixed}, in_axes={"x": 0}, wrt=["x"])[key]["x"]
        alone = [ask(verb, text, {"x": x, **fixed}, wrt=["x"])[key]["x"] for x in xs]
        if verb == "hessian":
            got, alone = got["x"], [one["x"] for one in alone]
        near(got, np.array(alone), 1e-10)


@pytest.mark.parametrize("name", GROWING)
def test_taylor_coefficients(name: str) -> None:
    """The first are the value, the derivative along the direction, and half the second derivative."""
    text = JUMPS[name]
    used: dict[str, Any] = {s.id: INPUTS[s.id] for s in parse_text(text).steps if s.op is INPUT}
    along = {k: 0.5 + 0.25 * i for i, k in enumerate(used)}
    got = ask("taylor", text, used, direction=along, order=3)["coefficients"]
    first = ask("grad", text, used, nodes="none")
    second = ask("hessian", text, used)["hessian"]
    slope = sum(first["gradients"][k] * along[k] for k in used)
    bend = sum(second[p][q] * along[p] * along[q] for p in used for q in used)
    near(np.array(got[:3]), np.array([first["value"], slope, bend / 2]), 1e-9, 1e-10)
    h = 1e-4
    ends = [
        ask("taylor", text, {k: used[k] + s * h * along[k] for k in used}, direction=along, order=2)[
            "coefficients"
        ][2]
        for s in (1, -1)
    ]
    near(got[3], (ends[0] - ends[1]) / (6 * h), 1e-5, 1e-6)


def test_sparse_blocks() -> None:
    text = "y = x\nfor i in range(40):\n    if sum(y*y) > 30:\n        break\n    y = y*1.2 + y**2*0.01\n"
    x = np.array([0.5, -0.25, 1.5, 2.0])
    for verb, source in (("jacobian", text + "y*2"), ("hessian", text + "sum(y**3)")):
        compare(verb, source, {"x": x}, exactly=False)


def test_a_loop_that_is_left_is_a_while_loop() -> None:
    program = parse_text("y = x\nfor i in range(9):\n    if y > 3:\n        break\n    y = y*2\ny")
    loop = next(s for s in program.steps if s.op.name == "while_loop")
    assert [s.id for s in loop.attrs["body"].steps if s.op is INPUT][:3] == ["step", "break", "y"]
    kept = parse_text("y = x\nfor i in range(9):\n    if y > 3:\n        continue\n    y = y*2\ny")
    assert any(s.op.name == "fori_loop" for s in kept.steps)
    reported = ask("evaluate", program, {"x": 1.0})["values"]
    assert reported.keys() >= {"y", "i"}
    assert not {"break", "step"} & reported.keys()
