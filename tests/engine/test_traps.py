"""Where automatic differentiation goes wrong elsewhere: kinks, zeros, overflows, masks, ties, names.

Every row is a program, its inputs, and what value, gradient and Hessian must be, worked out by hand from the conventions of
`docs/ops.md`. Both modes of first order and all three mixtures of second order must give them, and so must the products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from engine.errors import (
    DtypeMismatch,
    EmptyReduction,
    EngineError,
    InvalidAttribute,
    LimitExceeded,
    Mistakes,
    NotDifferentiable,
    ProgramError,
    SingularMatrix,
    Unsupported,
)
from tests.engine.helpers import ask, program_of

INF, NAN = math.inf, math.nan
PI, E = math.pi, math.e


@dataclass(frozen=True)
class Trap:
    """A scalar program of some inputs. Derivatives left out are not looked at."""

    program: str
    inputs: Mapping[str, Any]
    value: Any
    gradients: Mapping[str, Any]
    hessian: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def at(self) -> dict[str, Any]:
        """The inputs as JSON has them: as they stand, but for what is not finite."""
        return {k: v if np.isfinite(v).all() else np.array(v) for k, v in self.inputs.items()}


def at(program: str, x: Any, value: Any, first: Any, second: Any = None) -> Trap:
    """A function of x alone."""
    return Trap(program, {"x": x}, value, {"x": first}, {} if second is None else {"x": {"x": second}})


def zero(*programs: str, value: float = 0.0, x: Any = 0.0) -> list[Trap]:
    """Functions whose first and second derivative are 0 at x."""
    nothing = np.zeros(np.shape(x))
    return [at(p, x, value, nothing, np.zeros(np.shape(x) * 2)) for p in programs]


def eye(n: int) -> Any:
    return np.eye(n)


STRONG_ZEROS = [
    *zero(
        "where(x > 0, sqrt(x), 0)", "where(x > 0, log(x), 0)", "where(x > 0, 1 / x, 0)",
        "where(x > 0, x**0.5, 0)", "where(x > 0, x**-1.5, 0)", "where(x != 0, x / abs(x), 0)",
        "where(x > 0, x * log(x), 0)", "where(x > 0, atan2(x, x), 0)", "where(x > 0, norm([x, x]), 0)",
        "where(x > 0, cbrt(x), 0)", "where(x > 0, exp(1 / x), 0)", "sqrt(relu(x))", "relu(x)**0.5",
        "sqrt(clip(x, 0, 1))", "x if x > 0 else 0 * x", "where(x > 0, arccosh(x), 0)",
    ),
    *zero("where(x != 0, sin(x) / x, 1)", "where(x > 0, x**x, 1)", value=1.0),
    *zero("where(x < 1, 0, arccos(x))", "where(x < 1, 0, log(1 - x))", x=0.5),
    at("where(x < 1, arccos(x), 0)", 1.0, 0.0, 0.0, 0.0),
    at("where(x > 0, 1, sqrt(-x)) * x", 2.0, 2.0, 1.0, 0.0),
    at("sum(where(x > 0, log(x), 0))", [0.0, 2.0, -1.0], math.log(2), [0, 0.5, 0], np.diag([0, -0.25, 0])),
    at("sum(where(x > 0, sqrt(x), 0))", [0.0, 4.0], 2.0, [0, 0.25], np.diag([0, -1 / 32])),
    at("where(x > 0, det([[x, 1], [1, 1 / x]]), x)", 0.0, 0.0, 1.0, 0.0),
    at("log(relu(x))", 0.0, -INF, 0.0, 0.0),
]  # fmt: skip

KINKS = [
    *zero("relu(x)", "abs(x)", "clip(x, 0, 1)", "sign(x)", "floor(x)", "ceil(x)", "round(x)", "trunc(x)", "norm([x, x])"),
    *zero("norm([x, 0], 1)", "norm([x, 0], 3)", "norm([x, 0], inf)", "hypot(x, x)", "std([x, x])", "abs(abs(x))", "x // 1"),
    *zero("relu6(x)", "hard_sigmoid(x - 3)", "abs(x)**3", "sign(x) * x", "abs(x) + abs(-x)", "max([x, -x])"),
    *zero("clip(x, 0, 1)", value=1.0, x=1.0),
    at("leaky_relu(x)", 0.0, 0.0, 0.01, 0.0),
    at("maximum(x, 0)", 0.0, 0.0, 0.5, 0.0),
    at("minimum(0, x)", 0.0, 0.0, 0.5, 0.0),
    at("maximum(x, 0)**2", 0.0, 0.0, 0.0, 0.5),
    at("maximum(x, x)", 0.0, 0.0, 1.0, 0.0),
    at("maximum(x, -x)", 0.0, 0.0, 0.0, 0.0),
    at("max(x)", [1.0, 1.0, 0.0], 1.0, [0.5, 0.5, 0], np.zeros((3, 3))),
    at("min(x)", [1.0, 1.0, 1.0], 1.0, [1 / 3] * 3, np.zeros((3, 3))),
    at("norm(x, inf)", [2.0, -2.0], 2.0, [0.5, -0.5], np.zeros((2, 2))),
    at("norm(x)", [0.0, 0.0], 0.0, [0, 0], np.zeros((2, 2))),
    at("norm(x)", [3.0, 4.0], 5.0, [0.6, 0.8], np.array([[16, -12], [-12, 9]]) / 125),
    at("norm(x)", [0.0, 2.0], 2.0, [0, 1], np.diag([0.5, 0])),
    at("norm(x)", [[0.0, 0.0]], 0.0, [[0, 0]], np.zeros((1, 2, 1, 2))),
    at("norm(x)**2", [0.0, 0.0], 0.0, [0, 0]),
    at("sum(sort(x) * [1, 2, 3])", [1.0, 1.0, 0.0], 5.0, [2, 3, 1], np.zeros((3, 3))),
    at("median(x)", [1.0, 3.0], 2.0, [0.5, 0.5], np.zeros((2, 2))),
    at("std(x)", [1.0, 1.0, 1.0], 0.0, [0, 0, 0], np.zeros((3, 3))),
    at("var(x)", [1.0, 1.0, 1.0], 0.0, [0, 0, 0], (3 * eye(3) - 1) * 2 / 9),
    at("sqrt(x)", 0.0, 0.0, INF, -INF),
    at("log(x)", 0.0, -INF, INF, -INF),
    at("1 / x", 0.0, INF, -INF, INF),
    at("arccos(x)", 1.0, 0.0, -INF, -INF),
    at("sqrt(x)", -1.0, NAN, NAN, NAN),
    at("x / x", 0.0, NAN, NAN, NAN),
    at("x - x", 3.0, 0.0, 0.0, 0.0),
    at("0 * x", NAN, NAN, 0.0, 0.0),
    at("x % 1", 0.0, 0.0, 1.0, 0.0),
    at("heaviside(x, 0.5) * x", 0.0, 0.0, 0.5, 0.0),
    at("huber_loss(x, 0, delta=1.0)", 1.0, 0.5, 1.0),
    Trap("atan2(y, x)", {"y": 0, "x": 0}, 0.0, {"y": NAN, "x": NAN}, {a: {"y": NAN, "x": NAN} for a in "yx"}),
    Trap("hypot(y, x)", {"y": 0, "x": 0}, 0.0, {"y": 0, "x": 0}, {a: {"y": 0, "x": 0} for a in "yx"}),
    Trap("atan2(y, x)", {"y": 0, "x": 1}, 0.0, {"y": 1, "x": 0}, {"y": {"y": 0, "x": -1}, "x": {"y": -1, "x": 0}}),
]  # fmt: skip


def power(x: float, y: float, value: float, dx: float, dy: float, hessian: Any = None) -> Trap:
    """x**y by both."""
    second = (
        {}
        if hessian is None
        else {a: {b: hessian[i][j] for j, b in enumerate("xy")} for i, a in enumerate("xy")}
    )
    return Trap("x**y", {"x": x, "y": y}, value, {"x": dx, "y": dy}, second)


POWERS = [
    at("x**0", 0.0, 1.0, 0.0, 0.0),
    at("x**0.0", 0.0, 1.0, 0.0, 0.0),
    at("x**1", 0.0, 0.0, 1.0, 0.0),
    at("x**2", 0.0, 0.0, 0.0, 2.0),
    at("x**2.0", 0.0, 0.0, 0.0, 2.0),
    at("x**3", 0.0, 0.0, 0.0, 0.0),
    at("x**3.0", -2.0, -8.0, 12.0, -12.0),
    at("(-2)**3.0 * x", 1.0, -8.0, -8.0, 0.0),
    at("x**0.5", 0.0, 0.0, INF, -INF),
    at("x**1.5", 0.0, 0.0, 0.0, INF),
    at("x**-1", 0.0, INF, -INF, INF),
    at("x**-2", -2.0, 0.25, 0.25, 0.375),
    at("0**x", 2.0, 0.0, 0.0, 0.0),
    at("0**x", 0.5, 0.0, 0.0, 0.0),
    at("2**x", 0.0, 1.0, math.log(2), math.log(2) ** 2),
    at("x**[0, 1, 2, 3] @ [1, 1, 1, 1]", 0.0, 1.0, 1.0, 2.0),
    power(0, 2, 0, 0, 0, [[2, 0], [0, 0]]),
    power(0, 3, 0, 0, 0, [[0, 0], [0, 0]]),
    power(0, 1, 0, 1, 0, [[0, -INF], [-INF, 0]]),
    power(0, 0.5, 0, INF, 0, [[-INF, -INF], [-INF, 0]]),
    power(0, 0, 1, 0, -INF),
    power(1, 0, 1, 0, 0, [[0, 1], [1, 0]]),
    power(-2, 3, -8, 12, NAN, [[-12, NAN], [NAN, NAN]]),
    power(2, 3, 8, 12, 8 * math.log(2), [[12, 4 + 12 * math.log(2)], [4 + 12 * math.log(2), 8 * math.log(2) ** 2]]),
]  # fmt: skip


def outer(p: Any) -> Any:
    """The Hessian of logsumexp for probabilities p."""
    return np.diag(p) - np.outer(p, p)


HALF = np.array([0.5, 0.0, 0.5])
TAILS = [
    at("logsumexp(x)", [0.0, -INF, 0.0], math.log(2), HALF, outer(HALF)),
    at("logsumexp(x)", [-INF, -INF], -INF, [0, 0], np.zeros((2, 2))),
    at("logsumexp(x)", [1000.0, 1000.0], 1000 + math.log(2), [0.5, 0.5], outer([0.5, 0.5])),
    at("logsumexp(x)", [-1000.0, -1000.0], math.log(2) - 1000, [0.5, 0.5], outer([0.5, 0.5])),
    at("softmax(x)[0]", [0.0, -INF, 0.0], 0.5, [0.25, 0, -0.25], np.zeros((3, 3))),
    at("softmax(x)[1]", [0.0, -INF, 0.0], 0.0, [0, 0, 0], np.zeros((3, 3))),
    at("log_softmax(x)[0]", [0.0, -INF, 0.0], -math.log(2), [0.5, 0, -0.5], -outer(HALF)),
    at("cross_entropy(x, 0)", [0.0, -INF, 0.0], math.log(2), [-0.5, 0, 0.5], outer(HALF)),
    at("softmax(where([True, False, True], x, -inf)) @ [1, 2, 4]", [0.0, 9.0, 0.0], 2.5, [-0.75, 0, 0.75]),
    at("logaddexp(x, -inf)", 0.0, 0.0, 1.0, 0.0),
    at("logaddexp(x, 0)", 1000.0, 1000.0, 1.0, 0.0),
    at("softplus(x)", 1000.0, 1000.0, 1.0, 0.0),
    at("softplus(x)", -1000.0, 0.0, 0.0, 0.0),
    at("sigmoid(x)", 1000.0, 1.0, 0.0, 0.0),
    at("sigmoid(x)", -1000.0, 0.0, 0.0, 0.0),
    at("log_sigmoid(x)", -1000.0, -1000.0, 1.0, 0.0),
    at("tanh(x)", 1000.0, 1.0, 0.0, 0.0),
    at("log_cosh(x)", 1000.0, 1000 - math.log(2), 1.0, 0.0),
    at("erf(x)", 40.0, 1.0, 0.0, 0.0),
    at("log_ndtr(x)", 0.0, -math.log(2), math.sqrt(2 / PI), -2 / PI),
    at("hypot(x, x)", 1e200, math.sqrt(2) * 1e200, math.sqrt(2)),
    at("norm([x, x])", 1e200, math.sqrt(2) * 1e200, math.sqrt(2)),
    at("log1p(x)", 1e-20, 1e-20, 1.0, -1.0),
    at("expm1(x)", 1e-20, 1e-20, 1.0, 1.0),
    at("expm1(x)", 0.0, 0.0, 1.0, 1.0),
    at("sinc(x)", 0.0, 1.0, 0.0, -PI * PI / 3),
    at("j0(x)", 0.0, 1.0, 0.0, -0.5),
    at("exprel(x)", 0.0, 1.0, 0.5, 1 / 3),
    Trap("xlogy(x, y)", {"x": 0, "y": 0}, 0.0, {"y": 0}),
    Trap("xlogy(x, y)", {"x": 0, "y": 2}, 0.0, {"x": math.log(2), "y": 0}, {"x": {"y": 0.5}, "y": {"y": 0}}),
    Trap(
        "xlogy(x, y)",
        {"x": 0, "y": 2},
        0.0,
        {"y": 0, "x": math.log(2)},
        {"y": {"x": 0.5, "y": 0}, "x": {"x": 0}},
    ),
    Trap(
        "rel_entr(x, y)",
        {"x": 0, "y": 2},
        0.0,
        {"x": -INF, "y": 0},
        {"x": {"x": INF, "y": -0.5}, "y": {"x": -0.5}},
    ),
    Trap(
        "special.kl_div(x, y)",
        {"x": 0, "y": 2},
        2.0,
        {"x": -INF, "y": 1},
        {"x": {"y": -0.5}, "y": {"x": -0.5}},
    ),
    Trap(
        "xlog1py(x, y)", {"x": 0, "y": 1}, 0.0, {"x": math.log(2), "y": 0}, {"x": {"y": 0.5}, "y": {"x": 0.5}}
    ),
    at("logit(x)", 0.0, -INF, INF, -INF),
    at("logit(x)", 1.0, INF, INF, INF),
    at("arctanh(x)", 1.0, INF, INF, INF),
    at("arcsin(x)", 1.0, PI / 2, INF, INF),
    at("arcsin(x)", -1.0, -PI / 2, INF, -INF),
    at("arccosh(x)", 1.0, 0.0, INF, -INF),
    at("binary_cross_entropy_with_logits(x, 1)", -1000.0, 1000.0, -1.0, 0.0),
    at("silu(x)", -1000.0, 0.0, 0.0, 0.0),
    at("gelu(x)", -1000.0, 0.0, 0.0, 0.0),
    at("exp(-1 / x)", 1e-3, 0.0, 0.0, 0.0),
]

SINGULAR: Any = [[1.0, 2.0], [2.0, 4.0]]
ADJUGATE = np.array([[4.0, -2.0], [-2.0, 1.0]])
DET2 = np.zeros((2, 2, 2, 2))
DET2[0, 0, 1, 1] = DET2[1, 1, 0, 0] = 1
DET2[0, 1, 1, 0] = DET2[1, 0, 0, 1] = -1

ARRAYS = [
    at("prod(x)", [2.0, 0.0, 3.0], 0.0, [0, 6, 0], [[0, 3, 0], [3, 0, 2], [0, 2, 0]]),
    at("prod(x)", [0.0, 0.0, 3.0], 0.0, [0, 0, 0], [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
    at("prod(x)", [0.0, 0.0, 0.0], 0.0, [0, 0, 0], np.zeros((3, 3))),
    at("cumprod(x)[2]", [0.0, 0.0, 3.0], 0.0, [0, 0, 0], [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
    at("prod([x, x, 3])", 0.0, 0.0, 0.0, 6.0),
    at("det(x)", SINGULAR, 0.0, ADJUGATE, DET2),
    at("det(x)", [[0.0, 0.0], [0.0, 0.0]], 0.0, np.zeros((2, 2)), DET2),
    at("det([[x, 0], [0, x]])", 0.0, 0.0, 0.0, 2.0),
    at("sum(eigvalsh(x))", [[1.0, 0.0], [0.0, 1.0]], 2.0, eye(2)),
    at("sum(eigvalsh(x)**2)", [[1.0, 0.0], [0.0, 1.0]], 2.0, 2 * eye(2)),
    at("sum(svdvals(x))", [[1.0, 0.0], [0.0, 1.0]], 2.0, eye(2)),
    at("x[[0, 0, 1]] @ [1, 2, 4]", [5.0, 7.0], 43.0, [3, 4], np.zeros((2, 2))),
    at("sum(take(x, [0, 0, -1])**2)", [1.0, 2.0], 6.0, [4, 4], np.diag([4, 2])),
    at(
        "sum(scatter_add(zeros(2), [0, 0, 1], x)**2)",
        [1.0, 2.0, 3.0],
        18.0,
        [6, 6, 6],
        [[2, 2, 0], [2, 2, 0], [0, 0, 2]],
    ),
    Trap(
        "sum(scatter_set(x, [0, 0], y) * [1, 2])", {"x": [1, 2], "y": [3, 4]}, 8.0, {"x": [0, 2], "y": [0, 1]}
    ),
    at("sum(x.at[0].set(5.0))", [1.0, 2.0], 7.0, [0, 1], np.zeros((2, 2))),
    at("sum(x[::-1] * [1, 2, 3])", [1.0, 1.0, 1.0], 6.0, [3, 2, 1], np.zeros((3, 3))),
    at("sum(x + [[1], [2]])", [1.0, 2.0], 12.0, [2, 2], np.zeros((2, 2))),
    Trap(
        "sum(x * y)",
        {"x": 2.0, "y": [1, 2, 3]},
        12.0,
        {"x": 6, "y": [2, 2, 2]},
        {"x": {"x": 0, "y": [1, 1, 1]}},
    ),
    Trap("x * y", {"x": True, "y": 3}, 3.0, {"y": 1}, {"y": {"y": 0}}),
    Trap("x[k]", {"x": [1, 2, 3], "k": 1}, 2.0, {"x": [0, 1, 0]}, {"x": {"x": np.zeros((3, 3))}}),
    at("sum(where(x == max(x), x, 0))", [1.0, 1.0], 2.0, [1, 1], np.zeros((2, 2))),
    at("sum(x[tril_indices(2)]**2)", [[1, 2], [3, 4]], 26.0, [[2, 0], [6, 8]]),
    at("mean(x**2)", [1.0, NAN], NAN, [1, NAN], eye(2)),
]

NAMES = [
    Trap(
        "gamma * beta + e * pi",
        {"gamma": 2, "beta": 3, "e": 4, "pi": 5},
        26.0,
        {"gamma": 3, "beta": 2, "e": 5, "pi": 4},
    ),
    at("pi * x + e", 1.0, PI + E, PI, 0.0),
    at("lam = x * 2\nlam * lam", 3.0, 36.0, 24.0, 8.0),
    Trap("t1 * 2 + x * t1", {"t1": 2, "x": 3}, 10.0, {"t1": 5, "x": 2}, {"t1": {"t1": 0, "x": 1}}),
    at("x = x * 2\nx = x + 1\nx**2", 3.0, 49.0, 28.0, 8.0),
    at("gamma(x) + sum([x])", 1.0, 2.0, 1 - np.euler_gamma, np.euler_gamma**2 + PI * PI / 6),
    at("z = sqrt(x)\nx * 2", 0.0, 0.0, 2.0, 0.0),
    at("x", 3.0, 3.0, 1.0, 0.0),
    at("y = x\ny", 3.0, 3.0, 1.0, 0.0),
    at("5.0 + 0 * x", 1.0, 5.0, 0.0, 0.0),
    at("-x**2", 3.0, -9.0, -6.0, -2.0),
    at("2**-x", 1.0, 0.5, -0.5 * math.log(2), 0.5 * math.log(2) ** 2),
    at("-7 // 2 * x + -7 % 3 * x", 1.0, -2.0, -2.0, 0.0),
    at("x if x > 0 else -x", -2.0, 2.0, -1.0, 0.0),
    Trap("a, b = b, a\na - 2 * b", {"a": 1, "b": 5}, 3.0, {"a": -2, "b": 1}),
    at("def f(y):\n    return x * y\nx * grad(f)(1.0)", 3.0, 9.0, 6.0, 2.0),
    at(
        "def g(x):\n    def f(y):\n        return x + y\n    return x * grad(f)(x)\ngrad(g)(x)",
        3.0,
        1.0,
        0.0,
        0.0,
    ),
    at("def f(z):\n    return where(z > 0, sqrt(z), 0)\ngrad(f)(x)", 0.0, 0.0, 0.0, 0.0),
    at(
        "def f(z):\n    return where(z > 0, sqrt(z), 0)\ndef g(z):\n    return grad(f)(z)\ngrad(g)(x)",
        0.0,
        0.0,
        0.0,
        0.0,
    ),
    at("y = x\nfor i in range(3):\n    y = y * x\ny", 2.0, 16.0, 32.0, 48.0),
]

GROUPS = {
    "strong zero": STRONG_ZEROS, "kink": KINKS, "power": POWERS, "tail": TAILS, "array": ARRAYS, "name": NAMES
}  # fmt: skip
TRAPS = [
    pytest.param(trap, id=f"{group}: {trap.program!r} at {list(trap.inputs.values())}")
    for group, traps in GROUPS.items()
    for trap in traps
]


def same(got: Any, expected: Any) -> None:
    """Equal, non-finite entries included."""
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(expected, float), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("trap", TRAPS)
def test_first_order(trap: Trap, mode: str) -> None:
    found = ask("grad", trap.program, trap.at, mode=mode, wrt=list(trap.gradients))
    same(found["value"], trap.value)
    for name, expected in trap.gradients.items():
        same(found["gradients"][name], expected)


@pytest.mark.parametrize("trap", TRAPS)
def test_as_a_graph(trap: Trap) -> None:
    """Read from JSON, the program is the same."""
    document = program_of(trap.program, trap.inputs).to_json()
    found = ask("grad", document, trap.at, wrt=list(trap.gradients))
    same(found["value"], trap.value)
    for name, expected in trap.gradients.items():
        same(found["gradients"][name], expected)


@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
@pytest.mark.parametrize("trap", TRAPS)
def test_second_order(trap: Trap, mode: str) -> None:
    """Forward over reverse, reverse over reverse, forward over forward."""
    if not trap.hessian:
        return
    found = ask("hessian", trap.program, trap.at, mode=mode, wrt=list(trap.gradients))
    for row, columns in trap.hessian.items():
        for column, expected in columns.items():
            same(found["hessian"][row][column], expected)


@pytest.mark.parametrize("trap", [p for p in TRAPS if list(p.values[0].hessian) == ["x"]])  # type: ignore[attr-defined]
def test_products_and_maps(trap: Trap) -> None:
    """hvp along x̂ = 1 is the Hessian's sum over its columns; two points mapped are the point twice."""
    if "x" not in trap.hessian["x"] or "x" not in trap.gradients or len(trap.inputs) > 1:
        return
    x, expected = np.asarray(trap.inputs["x"], float), np.asarray(trap.hessian["x"]["x"], float)
    found = ask("hvp", trap.program, {"x": x}, wrt=["x"], vector={"x": np.ones_like(x)})
    if np.isfinite(expected).all():
        same(found["hvp"]["x"], expected.sum(tuple(range(x.ndim, 2 * x.ndim))))
    if " if " in trap.program:
        return
    mapped = ask("hessian", trap.program, {"x": np.stack([x, x])}, wrt=["x"], in_axes={"x": 0})
    same(mapped["hessian"]["x"]["x"], np.stack([expected, expected]))


MATRIX = {"A": SINGULAR}
REFUSED: dict[str, tuple[str, dict[str, Any], type[EngineError], str | None]] = {
    "max of nothing": ("y = max(x)\ny * 2", {"x": []}, EmptyReduction, "y"),
    "min of nothing": ("y = min(x)\ny * 2", {"x": []}, EmptyReduction, "y"),
    "inv, singular": ("B = inv(A)\nB[0, 0]", MATRIX, SingularMatrix, "B"),
    "solve, singular": ("y = solve(A, [1.0, 2.0])\ny[0]", MATRIX, SingularMatrix, "y"),
    "cholesky, indefinite": ("L = cholesky(A)\nL[0, 0]", {"A": [[1, 2], [2, 1]]}, SingularMatrix, "L"),
    "a shape of data": ("y = x[x > 0]\nsum(y)", {"x": [1, 2]}, Unsupported, "y"),
    "float indices": ("y = x[k]\ny", {"x": [1, 2], "k": 1.5}, DtypeMismatch, "y"),
    "index out of range": ("y = x[k]\ny", {"x": [1, 2], "k": 2}, InvalidAttribute, "y"),
    "a comparison": ("y = x > 0\ny", {"x": 1.0}, NotDifferentiable, "y"),
    "argmax": ("y = argmax(x)\ny", {"x": [1.0, 2.0]}, NotDifferentiable, "y"),
    "a list grown": ("ys = []\nfor i in range(2):\n    ys.append(x[i])\nsum(ys)", {"x": [1, 2]}, ProgramError, None),
    "PyTorch's gather": ("gather(x, dim=1, index=[[0], [1]])", {"x": [[1, 2], [3, 4]]}, EngineError, None),
    "PyTorch's scatter_add": ("scatter_add(x, dim=0, index=[0], src=x)", {"x": [1]}, EngineError, None),
    "too large": ("y = ones(10**9)\nsum(y) * x", {"x": 1.0}, LimitExceeded, "y"),
    "too long": ("for i in range(10**9):\n    x = x * 1.0\nx", {"x": 1.0}, LimitExceeded, None),
}  # fmt: skip


@pytest.mark.parametrize("verb", ["grad", "hessian", "jacobian"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str, verb: str) -> None:
    program, inputs, error, node = REFUSED[case]
    with pytest.raises(EngineError) as caught:
        ask(verb, program, inputs)
    found = caught.value.errors[0] if isinstance(caught.value, Mistakes) else caught.value
    assert isinstance(found, error)
    if node is not None:
        assert found.node == node


@pytest.mark.parametrize("verb", ["evaluate", "grad", "hessian"])
def test_results_of_ops_with_several_are_watched(verb: str) -> None:
    found = ask(verb, "log_det = slogdet(A)[1]", MATRIX)
    kinds = [w["kind"] for w in found["warnings"]]
    assert kinds[0] == "non-finite-value"
    if verb != "evaluate":
        assert "non-finite-gradient" in kinds


def test_a_long_chain() -> None:
    """10⁵ nodes, each x → 1.00001 x."""
    n = 100_000
    nodes: list[dict[str, Any]] = [{"id": "n0", "op": "input"}]
    nodes += [{"id": f"n{k + 1}", "op": "multiply", "inputs": [f"n{k}", 1.00001]} for k in range(n)]
    found = ask("grad", {"nodes": nodes[::-1], "outputs": [f"n{n}"]}, {"n0": 2.0}, wrt=["n0"], nodes="none")
    np.testing.assert_allclose(found["gradients"]["n0"], 1.00001**n, rtol=1e-9)


def test_with_respect_to_an_intermediate_nothing_is_cut() -> None:
    """y = x², f = y·x: ∂f/∂y = x, ∂f/∂x = 3x²; ∂²f/∂y∂x = 1, ∂²f/∂x² = 6x."""
    found = ask("hessian", "y = x**2\ny * x", {"x": 3.0}, wrt=["x", "y"])
    assert found["gradients"] == {"x": 27.0, "y": 3.0}
    assert found["hessian"] == {"x": {"x": 18.0, "y": 1.0}, "y": {"x": 1.0, "y": 0.0}}


def test_seeds_with_zeros_cut_what_they_do_not_ask_for() -> None:
    found = ask("grad", "sqrt(x)", {"x": [0.0, 4.0]}, seed=[0.0, 1.0])
    same(found["gradients"]["x"], [0.0, 0.25])


def test_overflow_of_float32_is_infinity() -> None:
    found = ask("grad", "exp(x)", {"x": 89.0}, dtype="float32")
    assert (found["value"], found["gradients"]["x"]) == (INF, INF)
