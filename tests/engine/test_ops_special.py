"""Special functions where they are hard: high orders, far tails, poles, what must not hang, and how they are spelled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.errors import EngineError
from engine.op import registry
from engine.transforms.push import jvp_graph
from tests.engine.calls import gradient, value
from tests.engine.conformance import Case, compute
from tests.engine.helpers import ask, near


def derivative(name: str, order: int, x: list[float], **attrs: Any) -> Any:
    """The n-th derivative of an elementwise op of one operand, by forward mode n times."""
    case = Case(registry.core(name), (np.array(x),), attrs)
    graph = case.graph()
    arrays, out = [np.array(x)], graph.outputs[0]
    for _ in range(order):
        before = graph
        graph = jvp_graph(before.with_outputs((out,)), [before.inputs[0]], "float64")
        out = graph.outputs[-1]
        arrays.append(np.ones(len(x)))
    return compute(graph.with_outputs((out,)), arrays)[0]


HIGH: list[tuple[str, dict[str, Any], list[float], Callable[[Any], Any]]] = [
    ("erfcx", {}, [0.5, 0.0, 20.0, -2.0], lambda x: mpmath.exp(x * x) * mpmath.erfc(x)),
    ("log_ndtr", {}, [0.5, -3.0, -40.0], lambda x: mpmath.log(mpmath.ncdf(x))),
    ("dawsn", {}, [0.0, 0.5, 3.0, 6.9, 9.0], lambda x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x)),
    ("gamma", {}, [0.5, 4.0, -0.5], mpmath.gamma),
    ("rgamma", {}, [0.75, 3.0, -1.0, -2.0, 0.25], mpmath.rgamma),
    ("digamma", {}, [0.5, 30.0, -0.75], mpmath.digamma),
    ("polygamma", {"n": 3}, [0.5, 30.0, -0.75], lambda x: mpmath.psi(3, x)),
    ("j0", {}, [0.0, 0.5, 30.0], lambda x: mpmath.besselj(0, x)),
    ("j1", {}, [0.0, 0.5, 30.0], lambda x: mpmath.besselj(1, x)),
    ("jv", {"v": 3.0}, [0.0, 0.5, 30.0], lambda x: mpmath.besselj(3, x)),
    ("yv", {"v": 1.5}, [0.5, 30.0], lambda x: mpmath.bessely(1.5, x)),
    ("i1", {}, [0.0, 0.5, 30.0], lambda x: mpmath.besseli(1, x)),
    ("kv", {"v": 1.5}, [0.5, 30.0], lambda x: mpmath.besselk(1.5, x)),
    ("i0e", {}, [0.5, 39.0, 41.0, 1e5], lambda x: mpmath.exp(-x) * mpmath.besseli(0, x)),
    ("kve", {"v": 20.5}, [3.0, 100.0], lambda x: mpmath.exp(x) * mpmath.besselk(20.5, x)),
    ("sinc", {}, [0.0, 0.25, 3.0], lambda x: mpmath.sinc(mpmath.pi * x)),
    ("exprel", {}, [0.0, 0.5, -15.0, -30.0, 30.0], lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1)),
    ("spence", {}, [1.0, 0.5, 1.25, 1.35], lambda x: mpmath.polylog(2, 1 - x)),
    ("ellipk", {}, [0.0, 0.4, 0.6, -3.0], mpmath.ellipk),
    ("ellipe", {}, [0.0, 0.4, 0.6, -3.0], mpmath.ellipe),
    ("expn", {"n": 2}, [0.5, 3.0], lambda x: mpmath.expint(2, x)),
    ("lambertw", {}, [0.0, 2.0, -0.3], lambda x: mpmath.re(mpmath.lambertw(x))),
    ("zeta", {}, [2.0, 0.5, -3.5], mpmath.zeta),
    ("tanhshrink", {}, [0.0, 1e-3, 2.0], lambda x: x - mpmath.tanh(x)),
]  # fmt: skip


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize(("name", "attrs", "x", "exact"), HIGH, ids=[h[0] for h in HIGH])
def test_high_orders(
    name: str, attrs: dict[str, Any], x: list[float], exact: Callable[[Any], Any], order: int
) -> None:
    got = derivative(name, order, x, **attrs)
    with mpmath.workdps(80):
        expected = [
            float(mpmath.re(mpmath.diff(exact, mpmath.mpf(v), order, h=mpmath.mpf(10) ** -15))) for v in x
        ]
        # How much the last digit of x matters, for the relative error that can be asked for.
        bends = [
            abs(float(mpmath.re(mpmath.diff(exact, mpmath.mpf(v), order + 1, h=mpmath.mpf(10) ** -13))) * v)
            for v in x
        ]
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-14 * (1.0 + max(bends)))


@pytest.mark.parametrize(("a", "x"), [(0.5, 0.25), (3.0, 2.0), (40.0, 60.0), (0.01, 1e-3), (900.0, 870.0)])
def test_third_derivative_of_gammainc_in_its_shape(a: float, x: float) -> None:
    case = Case(registry.core("gammainc"), (np.array(a), np.array(x)), {})
    graph = case.graph()
    arrays, out = [np.array(a), np.array(x)], graph.outputs[0]
    for _ in range(3):
        before = graph
        graph = jvp_graph(before.with_outputs((out,)), [before.inputs[0]], "float64")
        out = graph.outputs[-1]
        arrays.append(np.ones(()))
    got = compute(graph.with_outputs((out,)), arrays)[0]
    with mpmath.workdps(120):
        h = mpmath.mpf(a) * mpmath.mpf(10) ** -20
        p = [mpmath.gammainc(a + k * h, 0, x, regularized=True) for k in (-2, -1, 1, 2)]
        expected = float((p[3] - 2 * p[2] + 2 * p[1] - p[0]) / (2 * h**3))
    assert got == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "operands", "attrs"),
    [
        ("zeta", ([2.0, 2.0], [-1e15 - 0.5, 1e300]), {}), ("polygamma", ([-1e15 - 0.5, 1e300],), {"n": 3}),
        ("polygamma", ([0.3, 1e12],), {"n": 128}), ("jv", ([1e300, -1e12],), {"v": 999.5}),
        ("iv", ([1e300, 1e-300],), {"v": -999.5}), ("expn", ([1e-300, 1e300],), {"n": 1000}),
        ("gammainc", ([1e300, 1e-300, 1e15], [1e300, 1e-300, 1e15]), {}),
        ("betainc", ([1e15, 1e-300], [1e15, 1e15], [0.5, 1e-300]), {}),
        ("binom", ([1e300, 1e15], [1e15, 1e300]), {}), ("poch", ([1e15], [1e15]), {}),
        ("kve", ([1e-300, 1e300],), {"v": 1000.0}), ("multigammaln", ([1e300],), {"d": 256}),
    ],
)  # fmt: skip
def test_nothing_hangs(name: str, operands: Any, attrs: dict[str, Any]) -> None:
    start = time.perf_counter()
    gradient(name, *[np.array(o) for o in operands], seed=np.ones(len(operands[0])), **attrs)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "words"),
    [
        ("jv", ([1.0],), {"v": 5000.0}, "order v"), ("lambertw", ([1.0],), {"k": 1}, "branches"),
        ("polygamma", ([1.0],), {"n": 500}, "at most 128"), ("polygamma", ([1.0],), {"n": -1}, "n"),
        ("multigammaln", ([1.0],), {"d": 0}, "between"), ("expn", ([1.0],), {"n": 2000}, "at most"),
        ("softshrink", ([1.0],), {"lambd": -1.0}, "negative"), ("squareplus", ([1.0],), {"beta": 0.0}, "positive"),
        ("hardtanh", ([1.0],), {"min_val": 2.0}, "above"), ("celu", ([1.0],), {"alpha": 0.0}, "positive"),
        ("glu", ([1.0, 2.0, 3.0],), {}, "even"), ("group_norm", ([[1.0, 2.0, 3.0]],), {"num_groups": 2}, "divide"),
        ("local_response_norm", ([[[1.0]]],), {"size": 10**9}, "between"), ("Mod", (1.0, 2.0), {"fmod": 2}, "0 or 1"),
        ("multi_margin_loss", ([[1.0, 2.0]], [5]), {}, "names no class"),
        ("smooth_l1_loss", (1.0, 2.0), {"beta": -1.0}, "beta"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(name: str, operands: Any, attrs: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        value(name, *[np.array(o) for o in operands], **attrs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polygamma(1, x)", math.pi**2 / 6), ("scipy.special.polygamma(1, x)", math.pi**2 / 6),
        ("math.lgamma(x + 2)", math.log(2)),
        ("math.gamma(x + 3)", 6.0), ("scipy.special.iv(0, x)", 1.2660658777520082), ("special.j0(0 * x)", 1.0),
        ("scipy.special.kl_div(x, 2 * x)", 1 - math.log(2)), ("kl_div(-x, x, reduction='sum')", 1.0),
        ("np.select([x > 2, x > 0], [x, 5 * x], 7)", 5.0), ("scipy.special.zeta(2 * x)", math.pi**2 / 6),
        ("scipy.special.gammainc(x, x)", 1 - math.exp(-1)), ("math.factorial(4 * x)", 24.0), ("math.comb(5 * x, 2)", 10.0),
        ("np.logaddexp2(x, x)", 2.0), ("np.nan_to_num(x / 0, posinf=3)", 3.0),
        ("scipy.special.log_ndtr(-40 * x)", -804.6084420137538),
        ("Max(x, 2, 3 * x)", 3.0), ("jax.scipy.special.betaln(x, 2)", -math.log(2)), ("scipy.special.lambertw(x * e)", 1.0),
        ("quick_gelu(0 * x)", 0.0), ("hard_swish(3 * x)", 3.0), ("scipy.special.entr(x)", 0.0),
    ],
)  # fmt: skip
def test_spellings(text: str, expected: float) -> None:
    (result,) = ask("evaluate", text, {"x": 1.0})["outputs"].values()
    near(result, expected, rtol=1e-12)


def test_random_activations_say_why_not() -> None:
    with pytest.raises(EngineError, match="random"):
        ask("evaluate", "dropout(x)", {"x": 1.0})


def test_a_mask_stays_a_mask() -> None:
    """p·log p over probabilities of which some are exactly 0, as after a mask: no NaN comes back."""
    logits = np.array([0.5, -np.inf, 1.0])
    for text in (
        "sum(scipy.special.entr(softmax(x)))",
        "kl_div(log_softmax(x), softmax(x), reduction='sum')",
    ):
        slope = ask("grad", text, {"x": logits})["gradients"]["x"]
        assert np.isfinite(slope).all()
        assert slope[1] == 0


def test_the_largest_number_of_the_dtype_replaces_infinity() -> None:
    for dtype in ("float64", "float32"):
        got = value("nan_to_num", np.array([np.inf, -np.inf], dtype)) if dtype == "float64" else None
        if got is not None:
            near(got, [np.finfo(dtype).max, -np.finfo(dtype).max])
    graph = Case(registry.core("nan_to_num"), (np.array([np.inf]),), {}).graph("float32")
    near(compute(graph, [np.array([np.inf], np.float32)], "float32")[0], [np.finfo(np.float32).max])
