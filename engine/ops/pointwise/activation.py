"""Activations of neural networks, entry by entry: sigmoid, relu and their kin. Names and defaults are PyTorch's.

Each is right in its tails: no intermediate overflows, limits at ±infinity are taken, and so it is with the derivatives.
Those with a kink of their own are core ops, which can say when it was met; the other ones with parameters are composites.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attrs import NUMBER, one_of
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, General, Into, Op, Operand, Parameter, Spelling, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.transforms.strong import times

INF = float("inf")


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    more.setdefault("family", "nn")
    return registry.add(Elementwise(name, fn, partials, **more))


# --------------------------------------------------------------------------------------------------------------- rows


def _sigmoid(x: Any) -> Any:
    """SciPy's `expit` is the same formula with a slower exponential. Where that is infinite, 0 is the limit."""
    return 1 / (1 + np.exp(-x))


def _sigmoid_into(x: Any, out: Array) -> None:
    np.exp(np.negative(x, out), out)
    np.add(out, 1, out)
    np.divide(1, out, out)


def _log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _log_sigmoid_into(x: Any, out: Array) -> None:
    np.exp(np.negative(np.abs(x, out), out), out)
    np.subtract(np.minimum(x, 0), np.log1p(out, out), out)


sigmoid = _row(
    "sigmoid",
    _sigmoid,
    # Not y·(1 − y): 1 − y has no digits left where x is large.
    "sigmoid(-a) * y",
    scalar="sigmoid(a)",
    into=Into(_sigmoid_into, (0,), stretches=True),
    doc="Logistic function, σ(x) = 1 / (1 + e⁻ˣ).",
    latex="\\sigma({x})",
    aliases=("logistic", "expit", "Sigmoid"),
    derivative={"x": "\\sigma(x)\\,\\sigma(-x)"},
    floating=True,
    weight=15,
    examples=(
        Example(([0.5, -1.5, 3.0],)),
        Example(([40.0, -40.0, -700.0],), note="far tails: the derivative keeps all its digits"),
        Example(([1000.0, -1000.0, INF, -INF],), smooth=False, note="no overflow"),
    ),
)
log_sigmoid = _row(
    "log_sigmoid",
    _log_sigmoid,
    "sigmoid(-a)",
    scalar="-softplus(-a)",
    into=Into(_log_sigmoid_into, stretches=True),
    doc="Logarithm of the logistic function, −log(1 + e⁻ˣ), without overflow.",
    latex="\\log \\sigma({x})",
    aliases=("logsigmoid", "LogSigmoid", "log_expit"),
    derivative={"x": "\\sigma(-x)"},
    floating=True,
    weight=25,
    examples=(
        Example(([0.5, -1.5, 3.0],)),
        Example(([40.0, -40.0, -1000.0],), note="no overflow"),
        Example(([INF, -INF],), smooth=False),
    ),
)
relu = _row(
    "relu",
    lambda x: np.maximum(x, 0),
    "where(a > 0, 1, 0)",
    scalar="where(a > 0, a, 0)",
    doc="Rectifier: x where it is positive, else 0. NaN stays NaN.",
    latex="\\operatorname{{relu}}({x})",
    aliases=("Relu", "ReLU"),
    derivative={"x": "[x > 0]"},
    domain=((0.1, 2.0),),
    bools=False,
    into=Into(lambda x, out: np.maximum(x, 0, out=out), (0,), stretches=True),
    kink="a == 0",
    convention="At 0 the subgradient of least norm, 0.",
    examples=(
        Example(([1.5, -2.0],)),
        Example(([0.0, -0.0],), smooth=False, note="at the kink"),
        Example(([float("nan"), INF, -INF],), smooth=False),
    ),
)


def _softsign(x: Any) -> Any:
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))[()]


softsign = _row(
    "softsign",
    _softsign,
    "1 / (1 + abs(a)) / (1 + abs(a))",
    scalar="a / (1 + abs(a))",
    doc="x / (1 + |x|), a sigmoid between −1 and 1 with long tails.",
    latex="\\frac{{{x}}}{{1 + |{x}|}}",
    aliases=("Softsign",),
    derivative={"x": "\\frac{1}{(1 + |x|)^2}"},
    domain=((0.1, 2.0),),
    floating=True,
    weight=4,
    convention="At 0 the derivative is 1 and, by |x|'(0) = 0, the second derivative 0.",
    examples=(
        Example(([0.5, -1.5, 1e200],)),
        Example(([INF, -INF],), smooth=False, note="the limits"),
    ),
)


# ---------------------------------------------------------------------------------------------------- with parameters


class Activation(Op):
    """What the classes of activations have in common; `domain` is as in `Elementwise`."""

    family = "nn"
    parameters: tuple[Parameter, ...] = (Operand("x", ("input",)),)
    composite = True
    elementwise = True
    floating = True
    domain: tuple[tuple[float, float], ...] = ((-2.0, 2.0),)


def _attr(name: str, default: float, *aliases: str) -> Attr:
    return Attr(name, NUMBER, default, aliases)


class LeakyRelu(Activation):
    """Leaky rectifier: x where it is positive, else x times a small slope."""

    name = "leaky_relu"
    aliases = ("LeakyRelu", "leakyrelu")
    parameters = (Operand("x", ("input",)), _attr("negative_slope", 0.01, "alpha"))
    composite = False
    latex = "\\operatorname{{leaky\\_relu}}({x})"
    derivative = {"x": "[x > 0] + s\\,[x \\le 0]"}
    domain = ((0.1, 2.0),)
    convention = "At 0 the derivative is the negative slope."
    rules = (General(),)
    scalar = "where(a > 0, a, a * b)"
    scalar_partials = ("where(a > 0, 1, b)",)
    scalar_params = ("slope",)
    scalar_kink = "logical_and(a == 0, b != 1)"
    examples = (
        Example(([1.5, -2.0],)),
        Example(([1.5, -2.0],), {"negative_slope": 0.3}),
        Example(([0.0],), smooth=False, note="at the kink"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        result: Var = b.write(self, operands[0], slope=attrs["negative_slope"])
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A choice between x and s·x."""
        (x,) = arrays
        return np.where(x > 0, x, x * x.dtype.type(params["slope"]))[()]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The same choice between ẋ and s·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        return call(x.b, "where", x > 0.0, dx, times(dx, params["slope"]))

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where x is 0, unless the slopes are equal."""
        return None if params["slope"] == 1.0 else np.asarray(arrays[0] == 0)


class Elu(Activation):
    """Exponential linear unit: x where it is positive, else α(eˣ − 1).

    D.-A. Clevert, T. Unterthiner, S. Hochreiter, ICLR 2016, arXiv:1511.07289.
    """

    name = "elu"
    aliases = ("Elu",)
    parameters = (Operand("x", ("input",)), _attr("alpha", 1.0))
    composite = False
    latex = "\\operatorname{{elu}}({x})"
    derivative = {"x": "[x > 0] + \\alpha e^x\\,[x \\le 0]"}
    domain = ((0.1, 2.0),)
    convention = "At 0 the derivatives are those from the left: α, and α again."
    rules = (General(),)
    scalar = "where(a > 0, a, expm1(minimum(a, 0)) * b)"
    scalar_partials = ("where(a > 0, 1, exp(minimum(a, 0)) * b)",)
    scalar_params = ("alpha",)
    scalar_kink = "logical_and(a == 0, b != 1)"
    examples = (
        Example(([1.5, -2.0, 1000.0, -40.0],)),
        Example(([1.5, -2.0],), {"alpha": 0.5}),
        Example(([0.0, INF, -INF],), {"alpha": 0.5}, smooth=False, note="at the kink, and the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        result: Var = b.write(self, operands[0], alpha=attrs["alpha"])
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By expm1, which sees no positive x, so it cannot overflow."""
        (x,) = arrays
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * x.dtype.type(params["alpha"]))[()]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """ẋ or α·eˣ·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        b = x.b
        positive = x > 0.0
        slope = call(b, "exp", call(b, "where", positive, 0.0, x)) * params["alpha"]
        return call(b, "where", positive, dx, times(dx, slope))

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where x is 0, unless the slopes are equal."""
        return None if params["alpha"] == 1.0 else np.asarray(arrays[0] == 0)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """An exponential for each element."""
        return 12.0 * operands[0].size


class Selu(Activation):
    """Self-normalising exponential linear unit: λ·elu(x, α) with the constants that keep mean 0 and variance 1.

    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, NeurIPS 2017, arXiv:1706.02515.
    """

    name = "selu"
    aliases = ("Selu",)
    latex = "\\operatorname{{selu}}({x})"
    derivative = {"x": "\\lambda [x > 0] + \\lambda \\alpha e^x\\,[x \\le 0]"}
    domain = ((0.1, 2.0),)
    convention = "At 0 the derivative is that from the left, λα."
    examples = (Example(([1.5, -2.0, 1000.0, -40.0],)), Example(([0.0],), smooth=False))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By elu."""
        unit: Var = call(b, "elu", operands[0], alpha=1.6732632423543772)
        return unit * 1.0507009873554805


def gated(x: Var, low: float, high: float, gate: Any) -> Var:
    """x·gate(x) for a gate that is exactly 0 below `low` and exactly 1 above `high`, infinities included.

    The product, and with it its derivative, sees only x between the two, since −∞·0 is NaN.
    """
    b = x.b
    above = x >= high
    inside = call(b, "where", call(b, "logical_or", above, x <= low), low, x)
    result: Var = call(b, "where", above, x, inside * gate(inside))
    return result


class Gelu(Activation):
    """Gaussian error linear unit: x·Φ(x), with Φ the normal distribution function, or an approximation by tanh.

    With `approximate='tanh'`: x·σ(2u), u = √(2/π)·(x + 0.044715·x³), which is ½x(1 + tanh u) without its cancellation.
    D. Hendrycks, K. Gimpel, arXiv:1606.08415.
    """

    name = "gelu"
    aliases = ("Gelu", "GELU")
    parameters = (Operand("x", ("input",)), Attr("approximate", one_of("none", "tanh"), "none"))
    latex = "\\operatorname{{gelu}}({x})"
    derivative = {"x": "\\Phi(x) + x\\,\\varphi(x)"}
    examples = (
        Example(([0.5, -1.5, 3.0],)),
        Example(([0.5, -1.5, 3.0],), {"approximate": "tanh"}),
        Example(([-8.0, -30.0, 30.0],), note="far tails keep their digits"),
        Example(([-1e200, 1e200, INF, -INF, 0.0],), smooth=False, note="the limits"),
        Example(([-1e200, 1e200, INF, -INF, 0.0],), {"approximate": "tanh"}, smooth=False, note="the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """x times the distribution function, 0 or 1 to the last digit beyond ±40."""
        if attrs["approximate"] == "none":
            return gated(operands[0], -40.0, 40.0, lambda v: call(b, "ndtr", v))
        slope = 2.0 * math.sqrt(2.0 / math.pi)
        return gated(
            operands[0], -40.0, 40.0, lambda v: call(b, "sigmoid", v * slope * (v * v * 0.044715 + 1.0))
        )


class Silu(Activation):
    """Sigmoid linear unit, also known as swish: x·σ(x)."""

    name = "silu"
    aliases = ("swish", "SiLU", "Swish")
    latex = "{x}\\,\\sigma({x})"
    derivative = {"x": "\\sigma(x)\\,(1 + x\\,\\sigma(-x))"}
    examples = (
        Example(([0.5, -1.5, 3.0],)),
        Example(([-40.0, 40.0, -700.0],), note="far tails keep their digits"),
        Example(([-1e200, 1e200, INF, -INF, 0.0],), smooth=False, note="the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """x times sigmoid, which underflows to 0 below −800."""
        return gated(operands[0], -800.0, 800.0, lambda v: call(b, "sigmoid", v))


class Mish(Activation):
    """x·tanh(softplus(x)), a smooth relative of silu.

    D. Misra, BMVC 2020, arXiv:1908.08681.
    """

    name = "mish"
    aliases = ("Mish",)
    latex = "{x}\\,\\tanh(\\operatorname{{softplus}}({x}))"
    examples = (
        Example(([0.5, -1.5, 3.0],)),
        Example(([-40.0, 30.0, -700.0],), note="far tails keep their digits"),
        Example(([-1e200, 1e200, INF, -INF, 0.0],), smooth=False, note="the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By logaddexp."""
        return gated(operands[0], -800.0, 300.0, lambda v: call(b, "tanh", call(b, "logaddexp", v, 0.0)))


class Softplus(Activation):
    """Smooth rectifier, log(1 + exp(βx)) / β, without overflow.

    Above the threshold, where βx > threshold, it is x itself, as in PyTorch; SciPy's has no threshold.
    """

    name = "softplus"
    aliases = ("Softplus",)
    parameters = (Operand("x", ("input",)), _attr("beta", 1.0), _attr("threshold", 20.0))
    spellings = {"scipy.special.softplus": Spelling({"threshold": INF})}
    latex = "\\operatorname{{softplus}}({x})"
    derivative = {"x": "\\sigma(\\beta x)"}
    convention = "Above the threshold the derivative is 1 (short of it, it is 1 to eight digits already)."
    examples = (
        Example(([0.5, -1.5, 3.0],)),
        Example(([0.5, -1.5, 3.0],), {"beta": 2.0, "threshold": 5.0}),
        Example(([1000.0, -40.0, -700.0],), note="no overflow"),
        Example(([30.0, 1000.0],), {"threshold": INF}, note="no threshold"),
        Example(([INF, -INF],), smooth=False, note="the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By logaddexp(βx, 0)."""
        (x,), beta, threshold = operands, attrs["beta"], attrs["threshold"]
        if beta == 0:
            raise InvalidAttribute(
                "softplus: beta is 0, but log(1 + exp(beta*x)) is divided by it; choose another, such as 1."
            )
        scaled = x if beta == 1 else x * beta
        smooth: Var = call(b, "logaddexp", scaled, 0.0)
        smooth = smooth if beta == 1 else smooth / beta
        if threshold == INF:
            return smooth
        result: Var = call(b, "where", scaled > threshold, x, smooth)
        return result


class Relu6(Activation):
    """Rectifier that saturates: x held between 0 and 6."""

    name = "relu6"
    aliases = ("ReLU6",)
    floating = False
    latex = "\\operatorname{{relu6}}({x})"
    derivative = {"x": "[0 < x < 6]"}
    domain = ((0.1, 2.0),)
    convention = "At 0 and at 6 the derivative is 0."
    examples = (Example(([1.5, -2.0, 7.0],)), Example(([0.0, 6.0],), smooth=False, note="at the kinks"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By clip."""
        result: Var = call(b, "clip", operands[0], 0.0, 6.0)
        return result


class HardSigmoid(Activation):
    """Piecewise linear sigmoid: (x + 3)/6 held between 0 and 1."""

    name = "hard_sigmoid"
    aliases = ("hardsigmoid",)
    latex = "\\operatorname{{hard\\_sigmoid}}({x})"
    derivative = {"x": "\\tfrac{1}{6} [-3 < x < 3]"}
    convention = "At −3 and at 3 the derivative is 0."
    examples = (
        Example(([0.5, -1.5, 4.0, -4.0],)),
        Example(([-3.0, 3.0],), smooth=False, note="at the kinks"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By clip, as PyTorch: relu6(x + 3) / 6."""
        result: Var = call(b, "clip", operands[0] + 3.0, 0.0, 6.0) / 6.0
        return result


for _op in (
    LeakyRelu(), Elu(), Selu(), Gelu(), Silu(), Mish(), Softplus(), Relu6(), HardSigmoid(),
):  # fmt: skip
    registry.add(_op)
