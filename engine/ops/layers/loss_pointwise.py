"""Losses that compare input and target entry by entry, with PyTorch's names, argument order, defaults and reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.attrs import BOOL, NUMBER, one_of
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.layers.loss import REDUCTION, reduced, strongly

INF = np.inf
_INPUT, _TARGET = Operand("input", ("x", "prediction")), Operand("target", ("y",))


class PointwiseLoss(Op):
    """What these losses have in common."""

    family = "nn"
    parameters: tuple[Operand | Attr, ...] = (_INPUT, _TARGET, REDUCTION)
    composite = True
    floating = True


class L1Loss(PointwiseLoss):
    """Mean absolute error, |input − target|."""

    name = "l1_loss"
    aliases = ("mae", "mae_loss")
    latex = "\\tfrac{{1}}{{n}} \\sum |{input} - {target}|"
    derivative = {"input": "\\tfrac{1}{n} \\operatorname{sign}(x - t)"}
    convention = "Where input and target are equal the derivative is 0."
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25])),
        Example(([[0.5, -1.5], [3.0, 1.0]], [1.0, 2.0]), {"reduction": "none"}, note="broadcasting"),
        Example(([1.0, 2.0], [1.0, 0.0]), {"reduction": "sum"}, smooth=False, note="a kink"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By abs."""
        x, target = operands
        return reduced(call(b, "abs", x - target), attrs["reduction"])


class SmoothL1Loss(PointwiseLoss):
    """Smooth absolute error of r = input − target: ½r²/beta for |r| < beta, else |r| − ½beta. With beta 0 it is |r|."""

    name = "smooth_l1_loss"
    parameters = (_INPUT, _TARGET, REDUCTION, Attr("beta", NUMBER, 1.0, keyword_only=True))
    latex = "\\operatorname{{smooth\\_l1}}({input} - {target})"
    derivative = {"input": "\\operatorname{clip}(r/\\beta, -1, 1)"}
    convention = "At |r| = beta the second derivative is that of the square, 1/beta."
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25])),
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25]), {"beta": 3.0, "reduction": "none"}),
        Example(([0.5, -1.5], [1.0, 2.0]), {"beta": 0.0, "reduction": "sum"}),
        Example(([1.0], [0.0]), smooth=False, note="where the two meet"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By l1_loss or huber_loss."""
        beta, reduction = attrs["beta"], attrs["reduction"]
        if not 0 <= beta < INF:
            raise InvalidAttribute(f"smooth_l1_loss: beta must not be negative; it is {beta}.")
        if beta == 0:
            return call(b, "l1_loss", *operands, reduction=reduction)
        loss: Var = call(b, "huber_loss", *operands, reduction=reduction, delta=beta) / beta
        return loss


class KlDiv(PointwiseLoss):
    """Kullback–Leibler divergence: target·(log target − input), where input holds logarithms of probabilities.

    With `log_target` the target holds logarithms too. `reduction='batchmean'` divides the sum by the size of axis 0, which
    is the divergence of samples; `mean`, the default, divides it by the number of entries. SciPy's kl_div is another
    function, `scipy.special.kl_div`.
    """

    name = "kl_div"
    aliases = ("kl_div_loss",)
    parameters = (
        _INPUT,
        _TARGET,
        Attr("reduction", one_of("mean", "batchmean", "sum", "none"), "mean", keyword_only=True),
        Attr("log_target", BOOL, False, keyword_only=True),
    )
    latex = "{target} \\left(\\log {target} - {input}\\right)"
    derivative = {"input": "-t", "target": "\\log t + 1 - x"}
    convention = (
        "A target of probability 0 adds nothing, whatever the input is; the derivative in it is −infinity."
    )
    examples = (
        Example(([[-0.5, -1.5], [-3.0, -0.25]], [[0.6, 0.4], [0.3, 0.7]])),
        Example(([[-0.5, -1.5], [-3.0, -0.25]], [[0.6, 0.4], [0.3, 0.7]]), {"reduction": "batchmean"}),
        Example(([[-0.5, -1.5]], [[-0.1, -2.5]]), {"log_target": True, "reduction": "none"}),
        Example(
            ([[-0.5, -INF, -1.0]], [[0.0, 0.0, 1.0]]),
            {"reduction": "sum"},
            smooth=False,
            note="masked entries",
        ),
        Example(([[-INF, -1.0]], [[-INF, -0.5]]), {"log_target": True}, smooth=False, note="masked entries"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By xlogy; the probabilities are strong zeros."""
        x, target = operands
        if attrs["log_target"]:
            loss = strongly(call(b, "exp", target), target - x)
        else:
            loss = call(b, "xlogy", target, target) - strongly(target, x)
        if attrs["reduction"] != "batchmean":
            return reduced(loss, attrs["reduction"])
        if x.rank == 0:
            raise ShapeMismatch("kl_div: batchmean needs an axis of samples; input is a scalar.")
        mean: Var = loss.sum() / float(x.shape[0])
        return mean


class BinaryCrossEntropy(PointwiseLoss):
    """Binary cross-entropy of probabilities: −target·log input − (1 − target)·log(1 − input), times weight.

    As in PyTorch, no logarithm is taken to be below −100.
    """

    name = "binary_cross_entropy"
    aliases = ("bce", "bce_loss")
    parameters = (_INPUT, _TARGET, Operand("weight", optional=True), REDUCTION)
    latex = "-{target} \\log {input} - (1 - {target}) \\log(1 - {input})"
    derivative = {"input": "\\frac{x - t}{x (1 - x)}"}
    convention = (
        "Where a logarithm is cut off at −100 its derivative is 0. A target of exactly 0 or 1 leaves the other term "
        "out."
    )
    examples = (
        Example(([0.5, 0.25, 0.9], [1.0, 0.25, 0.0])),
        Example(([0.5, 0.25, 0.9], [1.0, 0.25, 0.5], [1.0, 2.0, 0.5]), {"reduction": "none"}),
        Example(
            ([0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]), {"reduction": "none"}, smooth=False, note="certain"
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By log and log1p; target and 1 − target are strong zeros."""
        x, target, weight = operands
        if target.shape != x.shape:
            raise ShapeMismatch(
                f"{self.name}: input and target must have one shape; they have {list(x.shape)} and {list(target.shape)}."
            )

        def cut(log: Var) -> Var:
            return call(b, "where", log < -100.0, -100.0, log)

        loss = -(strongly(target, cut(call(b, "log", x))) + strongly(1.0 - target, cut(call(b, "log1p", -x))))
        return reduced(loss if weight is None else strongly(weight, loss), attrs["reduction"])


class PoissonNllLoss(PointwiseLoss):
    """Negative log likelihood of Poisson counts: e^input − target·input, or input − target·log(input + eps).

    input is the logarithm of the rate, with `log_input=False` the rate itself. `full` adds Stirling's approximation
    t·log t − t + ½ log(2πt) of log t! for targets above 1.
    """

    name = "poisson_nll_loss"
    parameters = (
        _INPUT,
        _TARGET,
        Attr("log_input", BOOL, True),
        Attr("full", BOOL, False),
        Attr("eps", NUMBER, 1e-8, keyword_only=True),
        REDUCTION,
    )
    latex = "e^{{{input}}} - {target}\\,{input}"
    derivative = {"input": "e^x - t"}
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25])),
        Example(([0.5, 1.5, 3.0], [1.5, 2.0, 0.25]), {"log_input": False, "full": True, "reduction": "none"}),
        Example(([0.5, 1.5], [0.0, 7.0]), {"full": True, "reduction": "sum"}, note="a count of 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By exp or xlogy."""
        x, target = operands
        if attrs["log_input"]:
            loss = call(b, "exp", x) - strongly(target, x)
        else:
            loss = x - call(b, "xlogy", target, x + attrs["eps"])
        if attrs["full"]:
            counted = target > 1.0
            t = call(b, "where", counted, target, 1.0)
            stirling = t * call(b, "log", t) - t + call(b, "log", t * (2 * math.pi)) * 0.5
            loss = loss + call(b, "where", counted, stirling, 0.0)
        return reduced(loss, attrs["reduction"])


class GaussianNllLoss(PointwiseLoss):
    """Negative log likelihood of a normal distribution: ½(log v + (input − target)²/v) with v = max(var, eps).

    var has input's shape, or lacks its last axis, or has size 1 there. `full` adds ½ log 2π.
    """

    name = "gaussian_nll_loss"
    parameters = (
        _INPUT,
        _TARGET,
        Operand("var", ("variance",)),
        Attr("full", BOOL, False),
        Attr("eps", NUMBER, 1e-6),
        Attr("reduction", REDUCTION.kind, "mean"),
    )
    latex = "\\tfrac12 \\left(\\log {var} + \\frac{{({input} - {target})^2}}{{{var}}}\\right)"
    derivative = {"input": "\\frac{x - t}{v}", "var": "\\frac{1}{2v} - \\frac{(x - t)^2}{2 v^2}"}
    convention = "Where var is below eps the derivative in it is 0."
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25], [0.5, 1.0, 2.0])),
        Example(
            ([[0.5, -1.5], [3.0, 1.0]], [[1.0, 2.0], [0.0, 0.5]], [0.5, 2.0]),
            {"full": True, "reduction": "none"},
        ),
        Example(([0.5], [1.0], [0.0]), smooth=False, note="a variance of 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By log."""
        x, target, var = operands
        if not attrs["eps"] > 0:
            raise InvalidAttribute(f"gaussian_nll_loss: eps must be positive; it is {attrs['eps']}.")
        if var.shape != x.shape and var.shape == x.shape[:-1]:
            var = var.reshape((*var.shape, 1))
        elif var.rank != x.rank or any(v not in (1, n) for v, n in zip(var.shape, x.shape, strict=True)):
            raise ShapeMismatch(
                f"gaussian_nll_loss: var must have input's shape {list(x.shape)}, or that without its last axis; it has "
                f"{list(var.shape)}."
            )
        v = call(b, "clip", var, attrs["eps"], None)
        loss = (call(b, "log", v) + call(b, "square", x - target) / v) * 0.5
        if attrs["full"]:
            loss = loss + 0.5 * math.log(2 * math.pi)
        return reduced(loss, attrs["reduction"])


class LogCoshLoss(PointwiseLoss):
    """Mean of log cosh(input − target), a smooth absolute error."""

    name = "log_cosh_loss"
    latex = "\\tfrac{{1}}{{n}} \\sum \\log \\cosh({input} - {target})"
    derivative = {"input": "\\tfrac{1}{n} \\tanh(x - t)"}
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25])),
        Example(([500.0, -1.5], [1.0, 2.0]), {"reduction": "none"}, note="no overflow"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By log_cosh."""
        x, target = operands
        return reduced(call(b, "log_cosh", x - target), attrs["reduction"])


class SoftMarginLoss(PointwiseLoss):
    """Logistic loss of targets ±1: log(1 + exp(−target·input)), without overflow."""

    name = "soft_margin_loss"
    latex = "\\log\\left(1 + e^{{-{target}\\,{input}}}\\right)"
    derivative = {"input": "-t\\,\\sigma(-t x)"}
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, -1.0, -1.0])),
        Example(([1000.0, -1000.0], [1.0, 1.0]), {"reduction": "none"}, note="no overflow"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By logaddexp."""
        x, target = operands
        return reduced(call(b, "logaddexp", -(target * x), 0.0), attrs["reduction"])


class HingeEmbeddingLoss(PointwiseLoss):
    """Hinge loss of distances: input where the target is 1, max(0, margin − input) where it is −1."""

    name = "hinge_embedding_loss"
    parameters = (_INPUT, _TARGET, Attr("margin", NUMBER, 1.0), REDUCTION)
    latex = "\\operatorname{{hinge}}({input}, {target})"
    convention = "At input = margin the derivative is 0; in the target, of which only the sign counts, it is 0 everywhere."
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, -1.0, -1.0])),
        Example(([0.5, 0.25], [-1.0, 1.0]), {"margin": 2.0, "reduction": "none"}),
        Example(([1.0], [-1.0]), smooth=False, note="the kink"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice."""
        x, target = operands
        away = call(b, "relu", attrs["margin"] - x)
        return reduced(call(b, "where", target > 0.0, x, away), attrs["reduction"])


for _op in (
    L1Loss(), SmoothL1Loss(), KlDiv(), BinaryCrossEntropy(), PoissonNllLoss(), GaussianNllLoss(), LogCoshLoss(),
    SoftMarginLoss(), HingeEmbeddingLoss(),
):  # fmt: skip
    registry.add(_op)
