"""Objectives that are loops: the LSTM (2 layers, 1,024 characters of 14 bits), and Runge and Kutta's method."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.ours import page
from benchmarks.rows.objectives import Objective


def lstm(quick: bool) -> Objective:
    """Loss of predicting the next character."""
    layers, bits, times = (2, 5, 20) if quick else (2, 14, 1_024)
    sets = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        sets.append(
            {
                "main_params": rng.random((2 * layers, 4 * bits)),
                "extra_params": rng.random((3, bits)),
                "state": rng.random((2 * layers, bits)),
                "sequence": rng.integers(0, 2, (times, bits)).astype(float),
            }
        )

    def step(n: Any, sigmoid: Any, gates: Any, extra: Any, hs: Any, cs: Any, x: Any) -> Any:
        y = x * extra[0]
        new_h, new_c = [], []
        for layer in range(layers):
            w, h, c = gates[layer], hs[layer], cs[layer]
            forget = sigmoid(y * w[0, 0] + w[1, 0])
            ingate = sigmoid(h * w[0, 1] + w[1, 1])
            outgate = sigmoid(y * w[0, 2] + w[1, 2])
            change = n.tanh(h * w[0, 3] + w[1, 3])
            c = c * forget + ingate * change
            y = outgate * n.tanh(c)
            new_h.append(y)
            new_c.append(c)
        predicted = y * extra[1] + extra[2]
        return new_h, new_c, predicted - n.log(2 + n.exp(predicted).sum())

    def looped(n: Any, sigmoid: Any, main: Any, extra: Any, state: Any, sequence: Any) -> Any:
        gates = main.reshape((layers, 2, 4, bits))
        start = state.reshape((layers, 2, bits))
        hs, cs = [start[i, 0] for i in range(layers)], [start[i, 1] for i in range(layers)]
        total = 0.0
        for t in range(times - 1):
            hs, cs, predicted = step(n, sigmoid, gates, extra, hs, cs, sequence[t])
            total = total + (sequence[t + 1] * predicted).sum()
        return -total / ((times - 1) * bits)

    j = peers.jax()
    jn = j.numpy

    def jax(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
        gates = main.reshape((layers, 2, 4, bits))
        start = state.reshape((layers, 2, bits))

        def body(carry: Any, given: Any) -> Any:
            hs, cs, total = carry
            x, following = given
            hs, cs, predicted = step(jn, j.nn.sigmoid, gates, extra, hs, cs, x)
            return (hs, cs, total + (following * predicted).sum()), None

        hs, cs = [start[i, 0] for i in range(layers)], [start[i, 1] for i in range(layers)]
        (_, _, total), _ = j.lax.scan(body, (hs, cs, 0.0), (sequence[:-1], sequence[1:]))
        return -total / ((times - 1) * bits)

    t = peers.torch()
    import autograd.numpy as anp

    return Objective(
        "LSTM",
        page()["LSTM"],
        sets,
        ("main_params", "extra_params"),
        ("main_params", "extra_params", "state", "sequence"),
        jax,
        lambda *a: looped(t, t.sigmoid, *a),
        lambda *a: looped(anp, lambda x: 0.5 * (anp.tanh(0.5 * x) + 1), *a),
    )


def ode(quick: bool) -> Objective:
    """n = 10,000 parameters, 10 steps; the last component depends on the last 40 of them."""
    n, steps = (12, 5) if quick else (10_000, 10)
    sets = [{"x": 1.0 + np.random.default_rng(s).random(n), "steps": steps} for s in (0, 1)]

    def looped(slope: Any, x: Any, y: Any) -> Any:
        for _ in range(steps):
            y = stepped(slope, x, y)
        return y[-1]

    def stepped(slope: Any, x: Any, y: Any) -> Any:
        h = 2 / steps
        k1 = slope(x, y)
        k2 = slope(x, y + h * k1 / 2)
        k3 = slope(x, y + h * k2 / 2)
        k4 = slope(x, y + h * k3)
        return y + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6

    j = peers.jax()
    jn = j.numpy

    def jax(x: Any) -> Any:
        def slope(x: Any, y: Any) -> Any:
            return jn.concatenate([x[:1], x[1:] * y[:-1]])

        y, _ = j.lax.scan(lambda y, _: (stepped(slope, x, y), None), jn.zeros_like(x), None, length=steps)
        return y[-1]

    t = peers.torch()
    import autograd.numpy as anp

    return Objective(
        "ODE",
        page()["Ordinary differential equation"],
        sets,
        ("x",),
        ("x",),
        jax,
        lambda x: looped(lambda x, y: t.cat([x[:1], x[1:] * y[:-1]]), x, t.zeros_like(x)),
        lambda x: looped(lambda x, y: anp.concatenate([x[:1], x[1:] * y[:-1]]), x, np.zeros(n)),
    )
