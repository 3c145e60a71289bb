"""Landscapes with gradients against JAX: a map over each axis of value_and_grad."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.peers
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402  # after importorskip

from engine.derive import Request, prepare_with  # noqa: E402
from engine.execute.meter import Meter  # noqa: E402
from engine.landscape import Asked, Axis, Landscape  # noqa: E402
from engine.language import parse_text  # noqa: E402
from engine.values import Given  # noqa: E402

jax.config.update("jax_enable_x64", True)

RNG = np.random.default_rng(2)
W, V, X = RNG.normal(size=(12, 12)), RNG.normal(size=12), RNG.normal(size=(5, 12))


def network(w: Any, v: Any, x: Any) -> Any:
    return jnp.mean((jnp.tanh(x @ w) @ v - 1) ** 2) + 0.01 * jnp.sum(w**2)


def logits(w: Any, v: Any, x: Any) -> Any:
    return -jnp.mean(jax.nn.log_softmax(x @ w * v)[:, 3])


def system(w: Any, v: Any, x: Any) -> Any:
    return jnp.sum(jnp.linalg.solve(w @ w.T + 20 * jnp.eye(12), v) * x[0])


def recurrent(w: Any, v: Any, x: Any) -> Any:
    h = v
    for _ in range(4):
        h = jnp.tanh(w @ h + x[1])
    return jnp.sum(h * v)


CASES: dict[str, tuple[str, Callable[..., Any]]] = {
    "network": ("mean((tanh(x @ w) @ v - 1)**2) + 0.01*sum(w**2)", network),
    "logits": ("-mean(log_softmax(x @ w * v)[:, 3])", logits),
    "system": ("sum(solve(w @ w.T + 20*eye(12), v) * x[0])", system),
    "recurrent": ("h = v\nfor i in range(4):\n    h = tanh(w @ h + x[1])\nsum(h * v)", recurrent),
}


@pytest.mark.parametrize("second", [("w", (5, 4)), ("v", (3,)), ("x", (1, 2))])
@pytest.mark.parametrize("name", CASES)
def test_a_grid_of_values_and_gradients(name: str, second: tuple[str, tuple[int, ...]]) -> None:
    text, function = CASES[name]
    axes = (Axis("w", -1.0, 2.0, 7, (2, 3)), Axis(second[0], -2.0, 1.0, 5, second[1]))
    arrays = {"w": W, "v": V, "x": X}
    inputs = {k: Given(a, True, False) for k, a in arrays.items()}
    request = Request(program=parse_text(text), inputs=inputs)
    answer = prepare_with(partial(Landscape, Asked(axes, True)), request).run(Meter())

    def f(a: Any, b: Any) -> Any:
        moved: dict[str, Any] = {k: jnp.asarray(v) for k, v in arrays.items()}
        for axis, value in zip(axes, (a, b), strict=True):
            moved[axis.input] = moved[axis.input].at[axis.index].set(value)
        return function(moved["w"], moved["v"], moved["x"])

    both = jax.value_and_grad(f, (0, 1))
    grid = jax.vmap(jax.vmap(both, (None, 0)), (0, None))
    values, gradients = grid(*(jnp.linspace(a.start, a.stop, a.num) for a in axes))
    np.testing.assert_allclose(answer["surface"], values, rtol=1e-12)
    for own, theirs in zip(answer["gradients"], gradients, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-10, atol=1e-13)
