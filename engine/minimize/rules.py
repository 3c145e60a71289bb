"""Update rules of first-order methods: the step from a gradient, with what each remembers.

Hyperparameters mean what they mean in `torch.optim`, and the updates are the same to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.aval import Array

Rule = Callable[[Array, Array, float], Array]
"""(x, gradient, learning rate) -> the next x."""


def gd(options: Mapping[str, Any], n: int) -> Rule:
    """x ← x − η g (Cauchy 1847)."""
    return lambda x, g, rate: x - rate * g


def momentum(options: Mapping[str, Any], n: int) -> Rule:
    """The heavy ball: b ← μ b + g, x ← x − η b (Polyak 1964)."""
    mu: float = options["momentum"]
    b = np.zeros(n)

    def rule(x: Array, g: Array, rate: float) -> Array:
        b[:] = mu * b + g
        return x - rate * b

    return rule


def nesterov(options: Mapping[str, Any], n: int) -> Rule:
    """b ← μ b + g, x ← x − η (g + μ b): Nesterov 1983, as Sutskever et al., ICML 2013, at the point looked ahead to."""
    mu: float = options["momentum"]
    b = np.zeros(n)

    def rule(x: Array, g: Array, rate: float) -> Array:
        b[:] = mu * b + g
        return x - rate * (g + mu * b)

    return rule


def rmsprop(options: Mapping[str, Any], n: int) -> Rule:
    """v ← α v + (1 − α) g², b ← μ b + g / (√v + ε), x ← x − η b (Tieleman & Hinton 2012)."""
    alpha: float = options["alpha"]
    epsilon: float = options["epsilon"]
    mu: float = options["momentum"]
    v, b = np.zeros(n), np.zeros(n)

    def rule(x: Array, g: Array, rate: float) -> Array:
        v[:] = alpha * v + (1.0 - alpha) * g * g
        step = g / (np.sqrt(v) + epsilon)
        if mu == 0.0:
            return x - rate * step
        b[:] = mu * b + step
        return x - rate * b

    return rule


def adam(options: Mapping[str, Any], n: int) -> Rule:
    """Means of g and g², without their bias, m̂ and v̂: x ← x − η m̂ / (√v̂ + ε) (Kingma & Ba, ICLR 2015).

    `weight_decay` adds λx to the gradient.
    """
    beta1: float = options["beta1"]
    beta2: float = options["beta2"]
    epsilon: float = options["epsilon"]
    decay: float = options["weight_decay"]
    m, v = np.zeros(n), np.zeros(n)
    t = 0

    def rule(x: Array, g: Array, rate: float) -> Array:
        nonlocal t
        t += 1
        if decay:
            g = g + decay * x
        m[:] = beta1 * m + (1.0 - beta1) * g
        v[:] = beta2 * v + (1.0 - beta2) * g * g
        root = np.sqrt(v) / float(1.0 - beta2**t) ** 0.5 + epsilon
        step: float = rate / (1.0 - beta1**t)
        y: Array = x - step * (m / root)
        return y

    return rule


def adamw(options: Mapping[str, Any], n: int) -> Rule:
    """Adam with the decay beside the gradient: x ← (1 − ηλ) x first (Loshchilov & Hutter, ICLR 2019)."""
    inner = adam({**options, "weight_decay": 0.0}, n)
    decay: float = options["weight_decay"]
    return lambda x, g, rate: inner(x * (1.0 - rate * decay), g, rate)


RULES: dict[str, Callable[[Mapping[str, Any], int], Rule]] = {
    "gd": gd,
    "numerical-gd": gd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}
