"""Helpers, loops and conditions in program text: the same text run by Python, and derivatives by differences."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from engine.cost import Limits
from engine.describe import describe
from engine.errors import EngineError, LimitExceeded, Mistakes
from engine.language import TextLimits, hints, parse_text
from engine.program import INPUT, Program, Step
from engine.render.dot import to_dot
from engine.spec import read_graph
from tests.engine.helpers import ask, difference, prepared
from tests.engine.test_language import mistakes, nodes

NAMES: dict[str, Any] = {
    "np": np, "sin": np.sin, "cos": np.cos, "exp": np.exp, "sqrt": np.sqrt, "sum": np.sum, "abs": np.abs,
    "maximum": np.maximum, "where": np.where, "concat": np.concatenate, "log": np.log, "tanh": np.tanh,
}  # fmt: skip
INPUTS: dict[str, Any] = {
    "x": 1.3,
    "a": 0.7,
    "v": np.array([0.5, -1.25, 2.0]),
    "w": np.array([1.5, 0.25, -0.5]),
    "A": np.array([[1.0, 0.2, -0.3], [0.4, 1.5, 0.6], [0.1, -0.7, 2.0]]),
    "n": 3,
}


def by_python(text: str, values: dict[str, Any]) -> Any:
    """The value of a program's last line, by Python and NumPy."""
    lines = text.rstrip().split("\n")
    scope = NAMES | {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}
    exec("\n".join([*lines[:-1], f"result = {lines[-1]}"]), scope)
    return scope["result"]


PROGRAMS: dict[str, str] = {
    # helpers
    "helper": "def f(x, k=2.0):\n    y = x*k\n    return y*y\nf(x) + f(a, k=3) + f(k=a, x=x)",
    "one line": "def f(x): return x**3\nf(f(x))",
    "docstring": "def f(x):\n    'Twice.'\n    return 2*x\nf(x)*a",
    "long docstring": 'def f(x):\n    """Twice.\n\n    As one says."""\n    return 2*x\nf(x)*a',
    "helpers calling helpers": "def f(x): return sin(x)*x\ndef g(x): return f(x) + f(2*x)\ng(x)*g(a)",
    "closure": "k = a*2\ndef f(x): return x*k\nf(x)",
    "late binding": "k = 1.0\ndef f(x): return x*k\nk = a*2\nf(x)",
    "nested helpers": "def f(x):\n    def g(y): return y*x\n    return g(a) + g(x)\nf(x)",
    "a helper that makes one": "def times(k):\n    def g(x): return k*x*x\n    return g\nd = times(a)\n"
    "d(x) + times(2)(x)",
    "functions as arguments": "def twice(f, x): return f(f(x))\ndef g(x): return x*x + a\n"
    "twice(g, x) + twice(sin, x)",
    "several results": "def f(x, y): return x*y, x + y\np, q = f(x, a)\np*q + f(a, x)[1]",
    "a tuple in a tuple": "def f(x): return x, (x*2, x*3)\np, (q, r) = f(x)\np*q*r",
    "names of its own": "y = 5.0\ndef f(x):\n    y = x*x\n    return y\nf(x)*y",
    "named like an op": "def exp(x): return x*x*x\nexp(x)",
    "a static argument": "def total(A, axis): return sum(A*A, axis=axis)\ntotal(A, 0)[1] + total(A, axis=1)[2]",
    "defaults": "k = a*3\ndef f(x, y=k, z=2): return x*y**z\nf(x) + f(x, 2.0)",
    # early returns
    "early return": "def f(x):\n    if x > 0:\n        return x*x\n    return -x*a\nf(x) + f(-x)",
    "returns": "def f(x):\n    if x > 2: return x\n    elif x > 1:\n        y = x*x\n        return y*a\n    else:\n"
    "        return sin(x)\n"
    "f(x) + f(x+1) + f(x-1)",
    "return in nested ifs": "def f(x):\n    if x > 0:\n        y = x\n        if x > 1:\n            return y*3\n"
    "        y = y*2\n"
    "    else:\n        y = a\n    return y*y\nf(x) + f(x - 1) + f(-x)",
    "several early": "def f(x):\n    if x > 0: return x*x, x\n    return -x, a\np, q = f(-x)\np*q + f(x)[0]",
    # if
    "if": "y = x\nif x > a:\n    y = x*x\ny*a",
    "if else": "if x > 5:\n    y = x\nelse:\n    y = x*a\ny**2",
    "elif": "if x < 0:\n    y = x\nelif x < 1:\n    y = x*a\nelif x < 2:\n    y = x*x*a\nelse:\n    y = a\ny",
    "if in if": "y = 1.0\nif x > 0:\n    z = x*2\n    if z > a:\n        y = z*x\n    y = y + z\ny",
    "both swap": "p, q = x, a\nif p > q:\n    p, q = q, p*2\np*p + q",
    "if of vectors": "y = v\nif v[0] > 0:\n    y = v*w\nelse:\n    y = v/w\nsum(y*y)",
    "known condition": "k = 3\nif k > 2:\n    y = x*k\nelse:\n    y = A @ x @ undefined\ny*a",
    "and or not": "if x > 0 and not a > 1 or a < -1:\n    y = x\nelse:\n    y = a\ny*x",
    "static in if": "if A.ndim == 2:\n    y = A @ v\nelse:\n    y = A * v\nsum(y*y)",
    "one branch names more": "if x > 0:\n    t = x*2\n    y = t*a\nelse:\n    y = x\ny*y",
    # for over ranges
    "newton": "def newton_sqrt(a):\n    y = a\n    for i in range(20):\n        y = 0.5 * (y + a / y)\n    return y\n"
    "newton_sqrt(x)",
    "for": "y = x\nfor i in range(4):\n    y = sin(y)*a + i\ny",
    "counter": "s = 0\nfor i in range(2, 7):\n    s = s + i*x**2\ns*i",
    "steps": "s = 0.0\nfor i in range(1, 12, 3):\n    s += i*x\ns*s*i",
    "steps down": "s = 1.0\nfor i in range(10, 0, -4):\n    s = s*x + i\ns*i",
    "computed bounds": "s = 0.0\nfor i in range(n, 2*n + 1):\n    s = s + x*i*a\ns",
    "computed steps": "s = 0.0\nfor i in range(2*n, 0, -2):\n    s = s*x + i*a\ns + i",
    "len": "s = 0.0\nfor i in range(len(v)):\n    s = s + v[i]**2*w[-i]\ns",
    "shape": "s = 0.0\nfor i in range(A.shape[0]):\n    for j in range(A.shape[1]):\n"
    "        s = s + A[i, j]**2*v[j]*i\ns",
    "neighbours": "s = 0.0\nfor i in range(1, len(v)):\n    s = s + (v[i] - v[i-1])**2\ns",
    "windows": "s = 0.0\nfor i in range(1, 2):\n    s = s + sum(v[i-1:i+2]*w[i-1:i+2])*i\ns",
    "rows by number": "y = v\nfor i in range(3):\n    y = y + A[i]*a\n    y = tanh(y)\nsum(y*A[:, 1])",
    "tuple state": "p, q = 0.0, 1.0\nfor i in range(6):\n    p, q = q, p + q*x\nq*a",
    "integer state": "p = 0; q = 1\nfor i in range(10):\n    p, q = q, p + q\nq*x*x",
    "integers index": "k = 0\ns = 0.0\nfor i in range(5):\n    s = s + v[k]*x\n    if k > 1:\n        k = 0\n"
    "    else:\n        k = k + 1\ns",
    "integers for a while": "y = 1\nfor i in range(3):\n    y = y*2 + x\ny*y",
    "a root of an integer": "y = 4\nfor i in range(2):\n    y = y**0.5 + x\ny",
    "a local": "for i in range(3):\n    t = x*i\n    y = t*t\ny + t",
    "a local of a helper": "def f(x):\n    s = 0.0\n    for i in range(3):\n        t = x + i\n        s = s + t*t\n"
    "    return s*t\nf(x)",
    "a scalar becomes a vector": "y = 0.0\nfor i in range(3):\n    y = y + v*x\nsum(y*y)",
    "chained shapes": "p = 0.0\nq = 1.0\nr = 2.0\nfor i in range(4):\n    r = q*1.5\n    q = p + q\n"
    "    p = v*x\nsum(r*q)",
    "loops in loops": "s = 0.0\nfor i in range(3):\n    t = 1.0\n    for j in range(2):\n        t = t*x + i\n"
    "    s = s + t*a\ns",
    "if in for": "y = x\nfor i in range(5):\n    if y > 1:\n        y = y*a\n    else:\n        y = y*2 + i\ny",
    "helper in for": "def f(y, i): return y*a + i\ny = x\nfor i in range(3):\n    y = f(y, i) + f(x, 1)\ny",
    "for in helper in for": "def power(x, n):\n    y = 1.0\n    for j in range(n):\n        y = y*x\n    return y\n"
    "s = 0.0\nfor i in range(3):\n    s = s + power(x + i, 3)\ns",
    "no step": "y = x\nfor i in range(0):\n    y = y*2\ny*a",
    "no step, computed": "y = x\nfor i in range(n - 3):\n    y = y*2\ny*a",
    "one line for": "y = x\nfor i in range(3): y = y*y; z = y + 1\ny*z*a",
    "augmented": "y = x\nfor i in range(3):\n    y *= a\n    y += i\n    y **= 2\ny",
    "reversed": "s = 0.0\nfor i in reversed(range(4)):\n    s = s*x + i\ns + i",
    # for over arrays
    "rows": "s = 0.0\nfor row in A:\n    s = s*a + sum(row*v)\ns",
    "entries": "s = 0\nfor e in v:\n    s = s + e**3\ns*x",
    "enumerate": "s = 0\nfor i, r in enumerate(A):\n    s = s + i*sum(r*v)*w[i]\ns*i",
    "enumerate from": "s = 0.0\nfor i, e in enumerate(v, 1):\n    s = s + e**i*i\ns",
    "zip": "s = 1.0\nfor p, q in zip(v, w):\n    s = s*x + p*q\ns",
    "enumerate zip": "s = 0.0\nfor i, (p, q) in enumerate(zip(v, w)):\n    s = s + i*p*q*x\ns",
    "pairs": "s = 0.0\nfor p, q, r in A:\n    s = s + p*q*r\ns",
    "reversed rows": "s = 0.0\nfor e in reversed(v):\n    s = s*x + e\ns",
    "a list": "s = 0.0\nfor k in [2, 0, 1]:\n    s = s*x + v[k]\ns",
    "a list of values": "s = 0.0\nfor y in [x, a, x*a]:\n    s = s*2 + y*y\ns",
    "a tuple": "s = 0.0\nfor k in (3, 1, 2):\n    s = s*a + x**k\ns",
    "functions in a row": "y = x\nfor f in (sin, cos, exp):\n    y = f(y)*a\ny",
    # while
    "while": "y = x\nwhile y < 10:\n    y = y*y + 1\ny*a",
    "while, counted": "y = x*20\nk = 0\nwhile y > 1 and k < 40:\n    y = y/2\n    k = k + 1\ny*k*v[k - 3]",
    "while in helper": "def root(x):\n    y = x\n    while abs(y*y - x) > 1e-12:\n        y = (y + x/y)/2\n"
    "    return y\nroot(x)*root(a)",
    "while of numbers": "p, q = 48, 18\nwhile q > 0:\n    p, q = q, p % q\np*x",
    "while of a number": "y = x\nk = 3\nwhile k:\n    y = y*x\n    k = k - 1\nif n:\n    y = y*a\ny*y",
    # names of one branch
    "a branch's own in a while": "y = x\nwhile y < 10:\n    if y > 3:\n        k = y\n        y = y + k\n    else:\n"
    "        y = y*2\ny",
    "branches' own in a for": "y = x\nfor i in range(5):\n    if y > 3:\n        k = y\n        y = y - k*a\n    elif y > 2:\n"
    "        m = y*3\n        y = m\n    else:\n        y = y*2\ny",
    "a branch's own in nested loops": "y = x\nfor i in range(3):\n    for j in range(2):\n        if y > 3:\n"
    "            k = y*a\n            y = k\n        else:\n            if y > 2:\n                q = y\n"
    "                y = y + q*0.1\n"
    "            else:\n                y = y*1.5\n    if y > 2:\n        r = y\n        y = r - x\ny",
    "a branch's own, bound again": "def f(x):\n    y = x\n    for i in range(4):\n        if y > 3:\n            k = y\n"
    "            y = y + k\n        y = y*2\n    k = 3\n    return y + k\nf(x)",
    "an input that a branch changes": "y = x\nfor i in range(4):\n    if y > 3:\n        x = y\n    y = y*2 + x*a\ny + x",
    "triangle": "s = 0.0\nfor i in range(4):\n    for j in range(i):\n        s = s + x**j*i\ns",
    "as often as computed": "y = a\nfor i in range(int(x*2)):\n    y = y*x\ny",
}
MIXTURES: list[str] = [
    "y = x\ndef g(): return y*a\nfor i in range(3):\n    y = g() + i\ny",
    "y = x\nfor i in range(3):\n    for j in range(2):\n        y = y*a + j\n        z = y + i\n    y = y + z\ny*z",
    "s = 0.0\nfor i in range(3):\n    t = x\n    for j in range(2):\n        t = t*a\n    s = s + t\ns*t",
    "s = 0.0\nfor i in range(4):\n    if i > 1:\n        s = s + x*i\ns",
    "i = 10\nfor i in range(3): x = x*a\nx*i",
    "i = 10\nfor j in range(n - 3):\n    i = j\nx*i",
    "def f(x):\n    for i in range(3):\n        if x > 1:\n            y = x*2\n        else:\n            y = a\n"
    "        x = y*a\n    return x + y + i\nf(x)",
    "y = x\nk = 0\nwhile y > 0.01:\n    for j in range(k):\n        y = y*0.9\n    y = y/2\n    k = k + 1\ny + k",
    "s = 0.0\nfor r in A:\n    for e in r:\n        s = s*a + e\ns",
    "s = 0.0\nfor i, r in enumerate(A):\n    for j, e in enumerate(r):\n        if i == j:\n"
    "            s = s + e*x\n        elif i < j:\n            s = s - e*a\ns",
    "def f(x):\n    def g(y):\n        return y*x\n    s = 0.0\n    for i in range(3):\n        x = x*a\n"
    "        s = s + g(i)\n    return s\nf(x)",
    "m = v\nfor i in range(3):\n    m = where(m > a, m*a, m + i)\nsum(m*w)",
    "c = 0\nfor e in v:\n    if e > 0:\n        c = c + 1\nx*c",
    "c = 0\nfor e in v:\n    c = c + (1 if e > 0 else 0)\nx*c",
    "t = 1.0\nfor i in range(1, 6):\n    t = t*x/i\nt",
    "s = 0.0\nfor i in range(5):\n    s = s + (-1)**i*x**(2*i+1)/(2*i+1)\ns",
    "s = 0.0\nfor i in range(3):\n    for j in range(i, 3):\n        s = s + A[i, j]*v[j - i]\ns",
    "p = [1.0, x, a]\ns = 0.0\nfor i in range(3):\n    s = s*x + p[i]\ns",
    "h = 0.0\nu = v\nfor k in range(4):\n    u = u + 0.1*concat([u[1:], u[:1]])\nsum(u*w)",
    "def rk(f, y, h):\n    k1 = f(y)\n    k2 = f(y + h*k1/2)\n    return y + h*k2\n"
    "def lv(y): return np.array([y[0]*(a - y[1]), y[1]*(y[0] - x)])\ny = np.array([x, a])\nfor i in range(5):\n"
    "    y = rk(lv, y, 0.1)\ny[0]*y[1]",
    "y = 0\nif x > 1:\n    y = y + 1\n    y = y*x\ny",
    "a, x = x, a\nif a > x:\n    a, x = x, a\na - 2*x",
    "k = 2\nwhile k < 50:\n    k = k*k\nx*k",
    "s = x\nfor i in range(2):\n    s += 1\n    if s > 2:\n        s -= a\n    s *= 2\ns",
    "n2 = n*2\ns = 0.0\nfor i in range(n2):\n    if i % 2 == 0:\n        s = s + i*x\n    else:\n        s = s - i\ns",
    "x0, x1 = 0.0, x\nfor i in range(6):\n    x0, x1 = x1, x1 - (x1*x1 - 2)*(0.3)\nx1",
    "b = True\ns = x\nfor i in range(4):\n    if b:\n        s = s*a\n    b = not b\ns",
    "done = False\ny = x\nk = 0\nwhile not done:\n    y = y*0.5\n    k += 1\n    done = y < 0.1 or k > 20\ny*k",
    "best = v[0]\nfor e in v:\n    best = e if e > best else best\nbest*x",
    "def f(x):\n    total = 0\n    for i in range(3):\n        for j in range(3):\n            if A[i, j] > 0:\n"
    "                total = total + A[i, j]*x\n    return total\nf(x)*f(a)",
]
"""Programs in which names are assigned here and there: in loops in loops, in branches, by what helpers see."""

SECOND = {
    "while",
    "while in helper",
    "triangle",
    "newton",
    "if in for",
    "rows",
    "windows",
    "loops in loops",
    "returns",
}
"""Programs whose second derivatives are compared, too (each takes a while)."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_python(name: str) -> None:
    used = check_as_python(PROGRAMS[name])
    if name in SECOND:
        check_second(PROGRAMS[name], used)


@pytest.mark.parametrize("text", MIXTURES)
def test_mixtures(text: str) -> None:
    check_as_python(text)


def check_as_python(text: str) -> dict[str, Any]:
    """Value as Python's, gradient as differences of Python's; the inputs that were used."""
    program = parse_text(text)
    used = {s.id: INPUTS[s.id] for s in program.steps if s.op is INPUT}
    expected = by_python(text, used)
    answer = ask("grad", text, used, of=program.output_ids[0])
    assert answer["value"] == pytest.approx(expected, rel=1e-12)
    for key, value in used.items():
        if key == "n":
            continue

        def f(z: np.ndarray, key: str = key) -> Any:
            return by_python(text, used | {key: z if z.ndim else float(z)})

        slope = difference(f, np.asarray(value))
        np.testing.assert_allclose(answer["gradients"][key], slope, rtol=1e-7, atol=1e-7)
    return used


def check_second(text: str, used: dict[str, Any]) -> None:
    """The Hessian is the difference of gradients."""
    floats = {k: v for k, v in used.items() if k != "n"}
    hessian = ask("hessian", text, used)["hessian"]
    gradient = prepared("grad", text, used, nodes="none")
    for a in floats:
        for b, value in floats.items():
            columns = difference(lambda z, a=a, b=b: gradient({b: z})["gradients"][a], np.asarray(value))
            gradient(floats)
            np.testing.assert_allclose(hessian[a][b], columns, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------------------------- functions of functions

CONTROL: dict[str, tuple[str, str]] = {
    # what is written here, and what Python would compute for it
    "fori_loop": (
        "def f(i, y): return y*a + i\nfori_loop(0, 3, f, x)",
        "y = x\nfor i in range(3):\n    y = y*a + i\ny",
    ),
    "lax": (
        "from jax import lax\ndef f(i, s):\n    p, q = s\n    return q, p + q*x\n"
        "p, q = lax.fori_loop(1, n, f, (0.0, 1.0))\nq*p",
        "p, q = 0.0, 1.0\nfor i in range(1, n):\n    p, q = q, p + q*x\nq*p",
    ),
    "scan": (
        "def f(c, e): return c*x + e, c\nc, ys = scan(f, 0.0, v)\nc + sum(ys*w)",
        "c = 0.0\nt = 0.0\nfor e, k in zip(v, w):\n    t = t + c*k\n    c = c*x + e\nc + t",
    ),
    "scan of a length": (
        "def f(c, _): return c*x, c\nc, ys = jax.lax.scan(f, a, None, length=3)\nc*sum(ys)",
        "a*x**3*(a + a*x + a*x*x)",
    ),
    "scan backwards": (
        "def f(c, e):\n    p, q = e\n    return c*x + p*q, c\nc, ys = scan(f, 0.0, (v, w), reverse=True)\nc*sum(ys)",
        "c, t = 0.0, 0.0\nfor p, q in reversed(list(zip(v, w))):\n    t = t + c\n    c = c*x + p*q\nc*t",
    ),
    "cond": (
        "def f(x): return x*x\ndef g(x): return x*a\ncond(x > a, f, g, x) + cond(x < a, f, sin, x)",
        "x*x + sin(x)",
    ),
    "cond without operands": ("def f(): return x*a\ndef g(): return x\ncond(x > a, f, g)", "x*a"),
    "while_loop": (
        "def c(s): return s[0] < 9\ndef b(s):\n    y, k = s\n    return y*y + 1, k + 1\n"
        "y, k = while_loop(c, b, (x, 0))\ny*k",
        "y, k = x, 0\nwhile y < 9:\n    y, k = y*y + 1, k + 1\ny*k",
    ),
    "map": ("def f(r): return sum(r*v)*x\nsum(map(f, A)*w)", "sum(A @ v*x*w)"),
    "grad": ("def f(x, k): return k*sin(x)*x\ngrad(f)(x, a)", "a*(sin(x) + x*cos(x))"),
    "grad of grad": (
        "def f(x): return a*x**4\ngrad(grad(f))(x) + jax.grad(grad(grad(f)))(x)",
        "12*a*x**2 + 24*a*x",
    ),
    "argnums": (
        "def f(x, y): return x*x*y\nd = grad(f, argnums=(0, 1))\np, q = d(x, a)\np*2 + q + grad(f, 1)(x, a)",
        "2*(2*x*a) + x*x + x*x",
    ),
    "value_and_grad": ("def f(x): return x**3*a\ny, d = value_and_grad(f)(x)\ny*d", "x**3*a*3*x**2*a"),
    "grad of a loop": (
        "def f(x):\n    y = x\n    for i in range(3):\n        y = y*y\n    return y\ngrad(f)(x)*a",
        "8*x**7*a",
    ),
    "grad in a loop": (
        "def f(y): return (y - a)**2*x\ny = 0.0\nfor i in range(4):\n    y = y - 0.1*grad(f)(y)\ny",
        "y = 0.0\nfor i in range(4):\n    y = y - 0.1*2*(y - a)*x\ny",
    ),
    "grad of an op": ("grad(sin)(x)*a", "cos(x)*a"),
    "jacobian": (
        "def f(v): return v**3*x\nsum(jacobian(f)(v) @ w) + sum(jacrev(f)(v))",
        "sum(3*v**2*x*w) + sum(3*v**2*x)",
    ),
    "hessian": ("def f(v): return sum(v**3)*x\nsum(hessian(f)(v) @ w)", "sum(6*v*x*w)"),
    "vmap": ("def f(r, k): return sum(r*v)*k\nsum(vmap(f, in_axes=(0, None))(A, x)*w)", "sum(A @ v*x*w)"),
    "vmap of grad": ("def f(r): return sum(r**3)*a\nsum(vmap(grad(f))(A) @ v)", "sum(3*a*A**2 @ v)"),
    "jvp": ("def f(x): return sin(x)*x\ny, t = jvp(f, x, a)\ny*t", "sin(x)*x*(sin(x) + x*cos(x))*a"),
    "jvp of what is used": (
        "k = a*2\ndef f(x, y): return sin(x)*k*y, y*k\n(p, q), (s, t) = jvp(f, (x, a), (1.0, 2.0))\ns*t + p*q",
        "(cos(x)*2*a*a + 2*sin(x)*2*a)*(2*2*a) + sin(x)*2*a*a*a*2*a",
    ),
    "vjp": ("def f(x, y): return x*y, x + y\n(p, q), (s, t) = vjp(f, (x, a), (2.0, 3.0))\np*q + s*t", None),
    "vjp as JAX": ("def f(x): return sin(x)\ny, back = jax.vjp(f, x)\nd, = back(a)\ny*d", "sin(x)*cos(x)*a"),
    "checkpoint": ("def f(x): return sin(x)*a\ncheckpoint(f)(x)*remat(f)(a)", "sin(x)*a*sin(a)*a"),
    "decorator": ("@jit\n@checkpoint\ndef f(x): return sin(x)*a\nf(x)", "sin(x)*a"),
    "custom_vjp": (
        "def f(x): return x*x\ndef back(x, ct): return 2*x*ct\ng = custom_vjp(f, back)\ng(x)*a",
        "x*x*a",
    ),
    "custom_jvp": ("def f(x): return x*x\ndef t(x, dx): return 2*x*dx\ncustom_jvp(f, t)(x)*a", "x*x*a"),
    "root": ("def f(y): return y**3 - x\nroot(f, 1.0)*a", "x**(1/3)*a"),
    "fixed_point": ("def f(y): return (y + x/y)/2\nfixed_point(f, 1.0)*a", "sqrt(x)*a"),
    "linear_solve": ("def f(u): return A @ u\nsum(linear_solve(f, v)*w)", "sum(np.linalg.solve(A, v)*w)"),
    "stop_gradient": ("stop_gradient(x)*1.0 + a*a", None),
}


@pytest.mark.parametrize("name", CONTROL)
def test_functions_of_functions(name: str) -> None:
    text, meant = CONTROL[name]
    used = {s.id: INPUTS[s.id] for s in parse_text(text).steps if s.op is INPUT}
    answer = ask("grad", text, used)
    if name == "vjp":
        x, a = used["x"], used["a"]
        assert answer["value"] == pytest.approx(x * a * (x + a) + (2 * a + 3) * (2 * x + 3), rel=1e-12)
    elif name == "stop_gradient":
        assert answer["gradients"]["x"] == 0
    if meant is None:
        return
    assert answer["value"] == pytest.approx(by_python(meant, used), rel=1e-10)
    for key, value in used.items():
        if key == "n":
            continue

        def f(z: np.ndarray, key: str = key) -> Any:
            return by_python(meant, used | {key: z if z.ndim else float(z)})

        np.testing.assert_allclose(
            answer["gradients"][key], difference(f, np.asarray(value)), rtol=1e-7, atol=1e-7
        )
    ask("hessian", text, used)


# --------------------------------------------------------------------------------------------- the program that it is


def body(step: Step, name: str = "body") -> Program:
    """A body of a step."""
    value = step.attrs[name]
    assert isinstance(value, Program)
    return value


def test_a_loop_is_the_graph_that_one_would_post() -> None:
    text = "y = a + 0\nfor i in range(20):\n    y = 0.5 * (y + a / y)\ny"
    posted = {
        "nodes": [
            {"id": "a", "op": "input"},
            {"id": "t1", "op": "add", "inputs": ["a", 0]},
            {
                "id": "y", "op": "fori_loop", "inputs": ["t1", "a"],
                "attrs": {
                    "start": 0, "stop": 20, "carry": 1,
                    "body": {
                        "inputs": ["i", "y", "a"], "outputs": ["t3"],
                        "nodes": [
                            {"id": "i", "op": "input"}, {"id": "y", "op": "input"}, {"id": "a", "op": "input"},
                            {"id": "t1", "op": "divide", "inputs": ["a", "y"]},
                            {"id": "t2", "op": "add", "inputs": ["y", "t1"]},
                            {"id": "t3", "op": "multiply", "inputs": [0.5, "t2"]},
                        ],
                    },
                },
            },
            {"id": "i", "op": "constant", "value": {"shape": [], "dtype": "int64", "data": {"encoding": "json", "buffer": 19}}},
        ],
        "outputs": ["y"],
    }  # fmt: skip
    assert parse_text(text).digest == read_graph(posted).digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(a):\n    y = a*2\n    return y + k\nz = f(x)\nz*f(z)",
         "x k t1=multiply(x,2) z=add(t1,k) t2=multiply(z,2) t3=add(t2,k) t4=multiply(z,t3) -> t4"),
        ("def f(a): return a\ny = f(x)\nf(y)", "x y=identity(x) -> y"),
        ("def f(a): return a\nf(x), f(x)", "x t1=identity(x) -> x t1"),
        ("def f(a): return 2*pi*a\nf(3)", "t1=constant(18.84955592153876) -> t1"),
        ("def f():\n    return x\nf() + f()", "x t1=add(x,x) -> t1"),
        ("if x > 0: y = x*2\nelse: y = 3\ny + 1", "x t1=greater(x,0) y=cond(t1,x) t2=add(y,1) -> t2"),
        ("if True: y = x*2\nelse: y = foo\ny", "x y=multiply(x,2) -> y"),
        ("for i in range(3):\n    x = x*i\nx", "x t1=fori_loop(x) i=constant(2) -> t1"),
        ("y = 1.0\nfor r in X:\n    y = y*r\ny", "X t1=constant(1) t2=scan(t1,X) y=item(t2) r=item(t2) -> y"),
        ("y = 1.0\nfor i in range(n):\n    y = y*x\n"
        "y", "n x t1=constant(1) t2=fori_loop(t1,x,n) y=item(t2) i=item(t2) -> y"),
        ("p = (x, y)\np[0]*p[1]", "x y t1=multiply(x,y) -> t1"),
        ("p = (x, y)\nsum(p)", "x y p=stack(x,y) t1=sum(p) -> t1"),
        ("p = (1, 2)\nx[p]", "x p=constant([1.0,2.0]) t1=getitem(x) -> t1"),
        ("t1 = x\ndef t2(a): return a + 1\nt2(x)", "x t1=identity(x) t3=add(x,1) -> t3"),
    ],
)  # fmt: skip
def test_nodes(text: str, expected: str) -> None:
    assert nodes(text) == expected


def test_only_final_values_of_a_loop_are_reported() -> None:
    answer = ask("evaluate", "s = 0.0\nfor i in range(3):\n    t = x*i\n    s = s + t\ns", {"x": 2.0})
    assert set(answer["values"]) >= {"x", "s", "t", "i"}
    assert answer["values"]["t"] == 4
    assert answer["values"]["i"] == 2
    assert answer["values"]["i"].dtype == np.int64


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("y = x\nfor i in range(3):\n    t = y*2\n    y = t\n", ["y"]),
        ("for i in range(3):\n    t = x*i", ["t"]),
        ("if x > 0:\n    y = x\nelse:\n    y = -x", ["y"]),
        ("y = x*2\ndef f(a): return a", ["y"]),
    ],
)
def test_results_of_a_block_at_the_end(text: str, outputs: list[str]) -> None:
    assert parse_text(text).output_ids == outputs


def test_what_a_body_uses_is_no_copy() -> None:
    program = parse_text("k = x*2\ny = 1.0\nfor i in range(3):\n    y = y*k + a*3\ny")
    loop = next(s for s in program.steps if s.op.name == "fori_loop")
    assert [program.steps[o].id for o in loop.operands if isinstance(o, int)] == ["t1", "k", "a"]
    assert [s.id for s in body(loop).steps if s.op is INPUT] == ["i", "y", "k", "a"]


def test_no_value_of_the_body_s_own_goes_round() -> None:
    """What only comes out is neither an operand nor recorded step by step."""
    program = parse_text(
        "def f(x):\n    y = 0.0\n    for i in range(9):\n        t = x*i\n        y = y + t\n    return y\nf(x)"
    )
    loop = next(s for s in program.steps if s.op.name == "fori_loop")
    assert len(body(loop).outputs) == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_round_trip(name: str) -> None:
    """The graph that `parse` prints, posted, is the same program and gives the same answer; it can be drawn."""
    text = PROGRAMS[name]
    program = parse_text(text)
    again = read_graph(json.loads(json.dumps(program.to_json())))
    assert again.digest == program.digest
    used = {s.id: INPUTS[s.id] for s in program.steps if s.op is INPUT}
    of = program.output_ids[0]
    assert (
        ask("grad", again, used, of=of)["gradients"].keys()
        == ask("grad", text, used, of=of)["gradients"].keys()
    )
    assert ask("evaluate", again, used)["outputs"] == ask("evaluate", text, used)["outputs"]
    described = describe(program, None, Limits())
    assert described["latex"]
    assert described["mathml"]
    assert to_dot(program).startswith("digraph")
    assert ask("trace", text, used)["forward"]


def test_a_choice_is_printed_as_cases() -> None:
    latex = describe(parse_text("if x > 0: y = x*x\nelse: y = -x\ny"), None, Limits())["latex"]
    assert latex == "y = \\begin{cases} x\\,x & x > 0 \\\\ -x & \\text{else} \\end{cases}"


# ------------------------------------------------------------------------------------------------------------ mistakes

HEAD = "def f(a, b=1):\n    return a*b\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "kind", "says"),
    [
        # blocks
        ("for i in range(3)\n    y = x", 1, 18, "syntax", "colon"),
        ("while x > 1\n    x = x/2", 1, 12, "syntax", "colon"),
        ("if x > 1\n    y = x", 1, 9, "syntax", "colon"),
        ("def f(x)\n    return x", 1, 9, "syntax", "colon"),
        ("if x > 1: y = 1\nelse\n    y = 2", 2, 5, "syntax", "colon"),
        ("for i in range(3):\ny = x", 2, 1, "syntax", "indented"),
        ("def f(x):\nreturn x", 2, 1, "syntax", "indented"),
        ("if x > 1:\n    # nothing\ny = x", 3, 1, "syntax", "`if`"),
        ("while x > 1:", 1, 13, "syntax", "`while`"),
        ("for i in range(3):\n        y = x\n    z = x\ny", 3, 5, "syntax", "indentation"),
        ("y = x\n    z = x", 2, 5, "syntax", "indented differently"),
        ("else:\n    y = x", 1, 1, "syntax", "none before it"),
        ("elif x > 1:\n    y = x", 1, 1, "syntax", "none before it"),
        ("for i in range(3):\n    y = x\nelse:\n    y = 1", 3, 1, "syntax", "Loops have no else"),
        ("if x > 1:\n    y = 1\nelse if x > 0:\n    y = 2", 3, 6, "syntax", "elif"),
        ("for i range(3):\n    y = x", 1, 7, "syntax", "`in`"),
        ("for i = range(3):\n    y = x", 1, 7, "syntax", "`in`"),
        ("for 3 in x:\n    y = x", 1, 5, "syntax", "names"),
        ("for x[0] in v:\n    y = x", 1, 6, "syntax", "names"),
        ("while x = 1:\n    y = x", 1, 9, "syntax", "=="),
        ("x = 1; for i in v: y = i", 1, 8, "syntax", "line of its own"),
        ("if x > 1: for i in v: y = i", 1, 11, "syntax", "line of its own"),
        ("for = 3", 1, 1, "syntax", "for_"),
        ("def = x", 1, 1, "syntax", "def_"),
        ("return x", 1, 1, "syntax", "last statement is the result"),
        ("if x > 0:\n    return x", 2, 5, "syntax", "helper"),
        (
            "def f(x):\n    for i in range(3):\n        if x > 0:\n            return x\n    return x\nf(x)",
            4,
            13,
            "syntax",
            "while",
        ),
        # jumps
        ("break", 1, 1, "syntax", "stand in a loop"),
        ("if x > 0:\n    continue", 2, 5, "syntax", "stand in a loop"),
        ("for i in range(3):\n    def f(x):\n        break\n    y = x", 3, 9, "syntax", "stand in a loop"),
        ("y = x\nfor i in range(3):\n    y = break\ny", 3, 9, "syntax", "statement of its own"),
        ("break = 3", 1, 1, "syntax", "break_"),
        ("for i in range(3) break", 1, 19, "syntax", "colon"),
        ("y = x\nwhile True:\n    y = y*2\ny", 2, 7, "syntax", "no `break`"),
        ("for i in range(n):\n    y = x\n    if y > 1: break\ny", 4, 1, "syntax", "does not run at all"),
        (
            "y = x\nfor i in range(9):\n    if y > 1:\n        k = y\n        break\n    y = y*2\ny*k",
            7,
            3,
            "syntax",
            "one branch of the `if` in line 3 only",
        ),
        ("def f(x):\n    global y\n    return x", 2, 5, "syntax", "returns"),
        ("f = lambda t: t", 1, 5, "syntax", "def f(x)"),
        ("@ x\ny", 1, 1, "syntax", "decorator"),
        # helpers
        ("def f:\n    return 1", 1, 6, "syntax", "brackets"),
        ("def f(x: float):\n    return x", 1, 8, "syntax", "annotations"),
        ("def f(x) -> float:\n    return x", 1, 10, "syntax", "types"),
        ("def f(*xs):\n    return xs", 1, 7, "syntax", "*args"),
        ("def f(a=1, b):\n    return a", 1, 12, "syntax", "default"),
        ("def f(a, a):\n    return a", 1, 10, "syntax", "two parameters"),
        (HEAD + "f()", 3, 1, "arity", "f takes 2 arguments (a, b=…); a is missing"),
        (HEAD + "f(x, x, x)", 3, 1, "arity", "3 were given"),
        (HEAD + "f(x, c=2)", 3, 1, "arity", "no parameter 'c'"),
        (HEAD + "f(x, a=2)", 3, 1, "arity", "two values"),
        (HEAD + "f + 1", 3, 1, "syntax", "is a function"),
        (HEAD + "f", 3, 1, "syntax", "is a function"),
        ("def scale(x): return x\nscal(x)", 2, 1, "unknown-op", "Did you mean scale"),
        ("y = f(x)\n" + HEAD + "y", 1, 5, "unknown-op", "further down"),
        ("def f(x): return f(x)\nf(x)", 1, 18, "syntax", "f calls itself"),
        ("def f(x): return g(x)\ndef g(x): return f(x)\nf(x)", 2, 18, "syntax", "f calls itself"),
        ("def f(x):\n    y = x\nf(x)", 3, 1, "syntax", "returns nothing"),
        ("def f(x):\n    if x > 0: return x\nf(x)", 2, 5, "syntax", "every way"),
        (
            "def f(x):\n    if x > 0: return x, x\n    return x\nf(x)",
            2,
            5,
            "syntax",
            "another number of values",
        ),
        ("def f(x):\n    y = z + x\n    z = 1\n    return y\nf(x)", 2, 9, "syntax", "f's own"),
        (
            "def f(x):\n    for i in range(3):\n        s = s + x\n    return s\nf(x)",
            3,
            13,
            "syntax",
            "before the loop",
        ),
        ("def f(x): return foo(x)\nf(x) + f(x)", 1, 18, "unknown-op", "foo"),
        ("def f(x): return x\n", 1, 1, "syntax", "f(x)"),
        ("def f(x): return x\nf(x)[0](x)", 2, 8, "syntax", "product"),
        # names that may have no value
        (
            "if x > 0:\n    y = x\ny",
            3,
            1,
            "syntax",
            "'y' has a value in one branch of the `if` in line 1 only",
        ),
        ("def f(x):\n    if x > 0: y = 1\n    else: z = 2\n    return y\nf(x)", 4, 12, "syntax", "in line 2"),
        ("for i in range(0):\n    y = x\ny", 3, 1, "syntax", "runs no time"),
        ("for i in range(3):\n    def g(x): return x\ng(x)", 3, 1, "unknown-op", "function"),
        # loops
        ("for i in 5:\n    y = x", 1, 10, "syntax", "range(5)"),
        ("for i in range(2.5):\n    y = x", 1, 16, "syntax", "integers"),
        ("for i in range(0, 5, 0):\n    y = x", 1, 10, "syntax", "cannot be 0"),
        ("for i in range():\n    y = x", 1, 10, "syntax", "one to three"),
        ("for a, b in (1, 2):\n    y = a", 1, 5, "syntax", "unpacked"),
        ("for i in foo(x):\n    y = i", 1, 10, "unknown-op", "foo"),
        ("if 'a':\n    y = 1\ny", 1, 4, "syntax", "string"),
        ("if [1, 2]:\n    y = 1\ny", 1, 4, "syntax", "one boolean"),
        (
            "y = x\nfor i in range(3):\n    if y > 1:\n        k = y\n    y = y*2\ny + k",
            6,
            5,
            "syntax",
            "one branch of the `if` in line 3 only",
        ),
        # lists that are to grow
        ("ys = []\nfor i in range(3):\n    ys = ys + [v[i]]\nsum(ys)", 3, 13, "syntax", "concat"),
        ("ys = []\nfor e in v:\n    ys += e\nsum(ys)", 3, 8, "syntax", "zeros(n)"),
        ("def f(v):\n    ys, k = [], 0\n    ys = ys + [k]\n    return ys\nf(v)", 3, 13, "syntax", "concat"),
        ("def f(ys): return ys + [x]\nf([])", 1, 22, "syntax", "does not join"),
        ("[x] + [x]", 1, 5, "syntax", "does not join"),
        ("[0.0]*5", 1, 6, "syntax", "full(n, v)"),
        ("ys = []\nfor e in v:\n    ys.append(e)\nsum(ys)", 3, 8, "unknown-op", "in place"),
        ("def f(v):\n    ys = []\n    ys.append(v)\n    return v\nf(v)", 3, 8, "unknown-op", "in place"),
        ("ys = [x]\nys.extend([x])\nys", 2, 4, "unknown-op", "in place"),
        ("def f(v):\n    v.insert(0, 1)\n    return v\nf(v)", 2, 7, "unknown-op", "in place"),
        ("for i in range(3):\n    v.sort()\nv", 2, 7, "unknown-op", "sort(x)"),
        ("v.fill(0)\nv", 1, 3, "unknown-op", "full_like"),
        ("for i in range(3):\n    del v\nv", 2, 5, "syntax", "not needed"),
        # functions of functions
        ("fori_loop(0, 3, x)", 1, 1, "arity", "init is missing"),
        ("fori_loop(0, 3, x, 1.0)", 1, 17, "unknown-op", "no function 'x'"),
        (HEAD + "scan(f, 0.0, x)", 3, 1, "syntax", "two values"),
        (HEAD + "fori_loop(0, 3, f, (x, x))", 3, 1, "syntax", "like the one it gets"),
        ("cond(x > 0, sin, coss, x)", 1, 18, "unknown-op", "cos"),
        ("scan(x + 1, 0.0, x)", 1, 8, "syntax", "A function must stand here"),
        (HEAD + "scan(f, 0.0, x, size=3)", 3, 1, "arity", "no argument 'size'"),
        (HEAD + "checkpoint(f, x)", 3, 1, "arity", "checkpoint(f)(x)"),
        (HEAD + "custom_vjp(f, f, f)(x)", 3, 1, "arity", "custom_vjp(f, back)(x)"),
        (HEAD + "custom_jvp(f, f, f)(x)", 3, 1, "arity", "custom_jvp(f, rule)(x)"),
        (
            "def f(x): return x\ndef r(x, t): return t, t\ncustom_jvp(f, r)(x)",
            3,
            17,
            "syntax",
            "1 tangent, one",
        ),
        (
            "def f(x): return x\ndef r(x, t): return t, t\ncustom_vjp(f, r)(x)",
            3,
            17,
            "syntax",
            "1 cotangent, one",
        ),
        ("unstack(A)", 1, 1, "syntax", "that many names"),
        ("y = x\nfor i in range(max(0, n - 1)):\n    y = y*2\ny", 2, 16, "syntax", "maximum(x, y)"),
        ("s = 0.0\nfor i in range(3):\n    s = s + v[max(0, i - 1)]\ns", 3, 15, "syntax", "maximum(x, y)"),
        ("s = 0.0\nfor i in range(min(3, n)):\n    s = s + 1\ns", 2, 16, "syntax", "minimum(x, y)"),
        (HEAD + "grad(f, 'a')(x)", 3, 9, "syntax", "argnums"),
    ],
)
def test_mistakes(text: str, line: int, column: int, kind: str, says: str) -> None:
    error = mistakes(text)[0]
    assert error.where is not None
    assert (error.where.line, error.where.column, error.kind) == (line, column, kind), error.detail
    assert says in error.detail


@pytest.mark.parametrize(
    ("text", "inputs", "says"),
    [
        ("for i in range(n):\n    y = x\ny", {"n": 0, "x": 1.0}, "'y' has no value"),
        ("y = x\nfor i in range(10**12):\n    y = y*2\ny", {"x": 1.0}, "1,000,000,000,000 times"),
        ("y = x\nfor i in range(n):\n    y = y*2\ny", {"x": 1.0, "n": 2.5}, "integers"),
        ("y = x\nfor i in range(3):\n    y = concat([y, y])\ny", {"x": [1.0]}, "'y'"),
        ("if x > 0:\n    y = x\nelse:\n    y = [x, x]\ny", {"x": 1.0}, "shape"),
        ("if x > 0:\n    y = x\nelse:\n    y = x*2\ny", {"x": [1.0, 2.0]}, "scalar"),
        ("for e in x:\n    y = e\n    if e > 0: break\ny", {"x": np.zeros(0)}, "0"),
        ("y = 1\nfor e in x:\n    y = y*e\n    if e > 0: break\ny", {"x": 1.0}, "axis 0"),
        ("while x:\n    x = x*0\nx", {"x": [1.0, 2.0]}, "scalar"),
        ("if x:\n    y = x\nelse:\n    y = x*2\ny", {"x": [1.0, 2.0]}, "scalar"),
        ("for a, b in zip(x, y):\n    z = a*b\nz", {"x": [1.0, 2.0], "y": [1.0]}, "one length"),
        ("for r in x:\n    y = r\ny", {"x": 1.0}, "leading axis"),
    ],
)
def test_mistakes_that_show_with_the_shapes(text: str, inputs: dict[str, Any], says: str) -> None:
    with pytest.raises(EngineError) as caught:
        ask("evaluate", text, inputs)
    assert says in caught.value.detail
    assert caught.value.where is not None


def test_a_mistake_in_a_helper_is_one_however_often_it_is_called() -> None:
    found = mistakes("def f(x): return foo(x)\nf(x) + f(x)\nfor i in range(3):\n    y = f(i)\ny")
    assert len(found) == 1


def test_what_is_a_name_may_be_a_function() -> None:
    """`tanh` is an input unless it is called, also as an argument of a helper."""
    assert "tanh" in nodes("def f(g, x): return g*x\nf(tanh, x)").split()
    assert "tanh(x)" in nodes("def f(g, x): return g(x)\nf(tanh, x)")
    program = parse_text("def f(g, x): return g*x\nf(tanh, x)", inputs=["tanh"])
    assert [s.id for s in program.steps if s.op is INPUT] == ["tanh", "x"]


def test_hints_of_keywords_are_sentences() -> None:
    for word in ("break", "continue", "global", "nonlocal", "yield"):
        assert hints.KEYWORDS[word].endswith(".")


# --------------------------------------------------------------------------------------------------- what cannot hurt


def chain(n: int, text: str) -> str:
    """Helpers f0, f1, … of which each is `text` of the one before."""
    lines = ["def f0(x): return x + 1", *(f"def f{i}(x): " + text.format(f=f"f{i - 1}") for i in range(1, n))]
    return "\n".join([*lines, f"f{n - 1}(x)"])


def nested(head: str, n: int, inner: str = "y = x") -> str:
    """Blocks inside one another."""
    return "\n".join([*(" " * i + head for i in range(n)), " " * n + inner])


HOSTILE: dict[str, tuple[str, str | None, float]] = {
    # text, the limit that it is over, and seconds
    "doubling": (chain(60, "return {f}(x) + {f}(x)"), "nodes", 0.5),
    "doubling in branches": (chain(60, "return {f}(x) if {f}(-x) > 0 else x"), "nodes", 0.5),
    "doubling by another": (
        "def twice(g, x): return g(g(x))\n" + chain(60, "return twice({f}, x)"), "statements", 4.0,
    ),
    "a chain": (chain(1000, "return {f}(x)"), None, 2.0),
    "many helpers": ("\n".join(f"def f{i}(x): return x" for i in range(9000)) + "\nf5(x)", None, 5.0),
    "deep blocks": (nested("if x > 0:", 300), "depth", 0.5),
    "deep conditions": (nested("if x > 0:", 150), "nesting", 0.5),
    "deep loops": (nested("for i in range(3):", 150), "nesting", 0.5),
    "deep blocks of no choice": (nested("if True:", 199) + "\ny", None, 0.5),
    "ifs of 256 KiB": ("y = 0.0\n" + "if x > 3: y = y + 1.0\n" * 10_000 + "y", None, 9.0),
    "fors of 256 KiB": ("y = 0.0\n" + "for i in range(3): y = y + x\n" * 8_000 + "y", None, 9.0),
    "elifs": ("if x > 0: y = 1\n" + "elif x > 1: y = 2\n" * 9000 + "else: y = 3\ny", "nesting", 5.0),
    "paths": (
        "def f(x):\n" + "".join(f"  if x > {i}:\n    if x < 9:\n      return {i}\n"
        "" for i in range(60)) + "  return x\nf(x)",
        "nesting", 4.0,
    ),
    "tuples": ("s = (x, x)\n" + "s = (s, s)\n" * 60 + "s[0]", "nodes", 0.5),
    "written out": (
        "\n".join(" " * i + f"for a{i} in (1, 2, 3, 4, 5, 6, 7, 8, 9):" for i in range(9)) + "\n"
        "" + " " * 9 + "x = x + 1\nx",
        "statements", 4.0,
    ),
    "helpers that make helpers": (
        "def f(g):\n  def h(x): return g(x)\n  return f(h)\ndef k(x): return x\nf(k)", "statements", 4.0,
    ),
    "jumps": ("y = x\nfor i in range(3):\n" + "  if y > 1: continue\n" * 9000 + "  y = y*2\ny", "nesting", 5.0),
    "jumps that are known": ("y = x\nfor i in range(3):\n" + "  if False: continue\n" * 3000 + "  y = y*2\ny", None, 5.0),
    "elifs that jump": (
        "y = x\nwhile True:\n  if x > 0: y = 1\n" + "  elif x > 1: break\n" * 9000 + "  y = y + 1\ny", "nesting", 5.0,
    ),
    "jumps in deep blocks": ("for i in x:\n" + nested(" if x > 0:", 190, "      break"), "nesting", 0.5),
    "captures": (
        "".join(f"a{i} = x\n"
        "" for i in range(3000)) + nested("for i in range(3):", 30, "y = " + "+".join(f"a{i}" for i in range(3000))),
        None, 5.0,
    ),
    "unterminated": ("for i in range(3):\n  if x > 0:\n    def f(x):", "", 0.5),
}  # fmt: skip


@pytest.mark.xdist_group("time")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name: str) -> None:
    """A limit or an answer, soon, and without recursion: Python's limit is low here."""
    text, limit, seconds = HOSTILE[name]
    before = sys.getrecursionlimit()
    start = time.process_time()
    sys.setrecursionlimit(300)
    error: EngineError | None = None
    try:
        parse_text(text)
    except EngineError as caught:
        error = caught
    finally:
        sys.setrecursionlimit(before)
    assert time.process_time() - start < seconds
    if limit:
        assert isinstance(error, LimitExceeded), error
        assert error.limit == limit
        assert error.actual > error.maximum
        assert error.where is not None
    else:
        assert (error is None) == (limit is None)


def test_the_limit_of_nodes_counts_what_is_written_out() -> None:
    text = "def f(x): return x*x + 1\n" + "+".join(["f(x)"] * 30)
    assert len(parse_text(text, limits=TextLimits(nodes=90)).steps) == 90
    with pytest.raises(LimitExceeded) as caught:
        parse_text(text, limits=TextLimits(nodes=89))
    assert caught.value.limit == "nodes"
    # Bodies count, too.
    looped = "def f(x):\n  y = x\n  for i in range(3): y = y*y + 1\n  return y\n" + "+".join(["f(x)"] * 10)
    with pytest.raises(LimitExceeded):
        parse_text(looped, limits=TextLimits(nodes=30))


PIECES = [
    "for i in range(3):", "while x > 1:", "if x:", "elif y:", "else:", "def f(a):", "return a", "pass", "x = f(x)", "y = i",
    "grad(f)(x)", "\n", "\n", "\n ", "\n  ", "\n"
    "    ", " ", ":", "in", "f", "(", ")", "=", ",", "x", "1", "fori_loop(0, 3, f, x)",
    "scan(f, x, y)", "@jit", '"""doc"""', "i", "y[i]", "x, y = y, x", "break",
    "continue", "while True:", "if x: break",
]  # fmt: skip


def test_any_text_is_a_program_or_a_mistake_with_a_place() -> None:
    rng = np.random.default_rng(7)
    for _ in range(4000):
        text = "".join(rng.choice(PIECES, rng.integers(1, 14)))
        try:
            program = parse_text(text)
        except EngineError as error:
            for one in error.errors if isinstance(error, Mistakes) else (error,):
                assert one.where is not None, text
                assert one.where.line is not None
                assert len(one.detail) < 500
        else:
            check_program(program)


def check_program(program: Program) -> None:
    """Ids are unique, operands come first, bodies are such programs too, and the graph can be posted back."""
    stack = [program]
    while stack:
        part = stack.pop()
        ids = [s.id for s in part.steps]
        assert len(set(ids)) == len(ids)
        for i, step in enumerate(part.steps):
            assert all(a < i for a in step.operands if isinstance(a, int))
            stack += [v for v in step.attrs.values() if isinstance(v, Program)]
    assert read_graph(json.loads(json.dumps(program.to_json()))).digest == program.digest


REPEATED: dict[str, Callable[[int], str]] = {
    "helpers": lambda n: "\n".join(f"def f{i}(x): return x + {i}" for i in range(n)) + "\nf1(x)",
    "calls": lambda n: "def f(x): return x*x\n" + "\n".join(f"y{i} = f(x)" for i in range(n)) + "\ny1",
    "ifs": lambda n: "y = x\n" + "if x > 0: y = y + 1.0\n" * n + "y",
    "fors": lambda n: "y = x\n" + "for i in range(3): y = y*x\n" * n + "y",
    "jumps": lambda n: "y = x\nfor i in range(3):\n" + "  y = y*x\n" * n + "  if y > 1: break\n" + "  y = y + 1\n" * n + "y",
    "jumps that are known": lambda n: "y = x\nfor i in range(3):\n" + "  if False: break\n  y = y + x\n" * n + "y",
    "carries": lambda n: "".join(f"a{i} = x\n" for i in range(n)) + "for i in range(3):\n"
    "" + "".join(f"  a{i} = a{i} + 1\n" for i in range(n)),
    "windows": lambda n: "for i in range(3):\n" + "".join(f"  y{j} = x[i:i+2]\n" for j in range(n)),
    "statements": lambda n: "def f(x):\n" + "  x = x + 1\n" * n + "  return x\nf(x)",
    "parameters": lambda n: "def f(" + ",".join(f"a{i}" for i in range(n)) + "): return a1\n"
    "f(" + ",".join(["x"] * n) + ")",
    "decorators": lambda n: "@jit\n" * n + "def f(x): return x\nf(x)",
    "docstrings": lambda n: "def f(x):\n" + "  'word'\n" * n + "  return x\nf(x)",
    "mistakes": lambda n: "def f(x): return x\n" + "\n".join(f"y{i} = f(x, x)" for i in range(n)),
    "unterminated text": lambda n: '"""' + "a\\" * (4 * n),
}  # fmt: skip


@pytest.mark.xdist_group("time")
@pytest.mark.parametrize("name", REPEATED)
def test_reading_takes_linear_time(name: str) -> None:
    times = []
    for n in (500, 2000):
        text = REPEATED[name](n)
        best = 9.0
        for _ in range(2):
            start = time.process_time()
            with suppress(EngineError):
                parse_text(text)
            best = min(best, time.process_time() - start)
        times.append(best)
    assert times[1] < 12 * times[0] + 0.1  # four times the text; squares would take 16 times as long
