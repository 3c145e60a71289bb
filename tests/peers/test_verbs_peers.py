"""Whole programs against JAX and PyTorch in double precision: values, gradients, Jacobians, Hessians, products, maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings

pytestmark = pytest.mark.peers
jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

import jax.numpy as jnp  # noqa: E402  # after importorskip

from tests.engine.helpers import ask, near  # noqa: E402
from tests.engine.test_random_graphs import Case, cases, evaluate, evaluator  # noqa: E402

jax.config.update("jax_enable_x64", True)

Values = Mapping[str, Any]


class Peers(NamedTuple):
    """A program with its inputs, and the same function in JAX and in PyTorch. The first output is a scalar."""

    program: Any
    at: dict[str, np.ndarray]
    jax: Callable[[Values], Any]
    torch: Callable[[Values], Any] | None


def numbers(*shape: int, start: float = 0.3) -> np.ndarray:
    """Numbers without a pattern, of size about 1."""
    return np.asarray(np.sin(start + 1.7 * np.arange(np.prod(shape, dtype=int))).reshape(shape))


def node(name: str, op: str, *inputs: Any, **attrs: Any) -> dict[str, Any]:
    """A node of a JSON graph."""
    return {"id": name, "op": op, "inputs": list(inputs)} | ({"attrs": attrs} if attrs else {})


def inputs(*names: str) -> list[dict[str, Any]]:
    """Input nodes."""
    return [{"id": name, "op": "input"} for name in names]


# ----------------------------------------------------------------------------------------------------------- programs

MLP = """
h1 = tanh(X @ W1 + b1)
h2 = relu(h1 @ W2 + b2)
r = h2 @ W3 + b3 - y
mean(r**2) + 0.01 * sum(W1**2)
"""


def mlp_jax(p: Values) -> Any:
    h = jnp.tanh(p["X"] @ p["W1"] + p["b1"])
    h = jax.nn.relu(h @ p["W2"] + p["b2"])
    r = h @ p["W3"] + p["b3"] - p["y"]
    return jnp.mean(r**2) + 0.01 * jnp.sum(p["W1"] ** 2)


def mlp_torch(p: Values) -> Any:
    h = torch.tanh(p["X"] @ p["W1"] + p["b1"])
    h = torch.relu(h @ p["W2"] + p["b2"])
    r = h @ p["W3"] + p["b3"] - p["y"]
    return torch.mean(r**2) + 0.01 * torch.sum(p["W1"] ** 2)


MLP_AT = {
    "X": numbers(4, 3), "W1": numbers(3, 3, start=1), "b1": numbers(3, start=2), "W2": numbers(3, 2, start=3),
    "b2": numbers(2, start=0.7), "W3": numbers(2, 1, start=5), "b3": numbers(1, start=6), "y": numbers(4, 1, start=7),
}  # fmt: skip

LOGISTIC = """
z = X @ w + b
mean(logaddexp(0, z) - t * z) + lam / 2 * sum(w**2)
"""
LOGISTIC_AT = {
    "X": numbers(6, 3), "w": numbers(3, start=1), "b": numbers(start=2), "t": np.array([1.0, 0, 1, 1, 0, 0]),
    "lam": np.asarray(0.1),
}  # fmt: skip


def logistic_jax(p: Values) -> Any:
    z = p["X"] @ p["w"] + p["b"]
    return jnp.mean(jnp.logaddexp(0.0, z) - p["t"] * z) + p["lam"] / 2 * jnp.sum(p["w"] ** 2)


def logistic_torch(p: Values) -> Any:
    z = p["X"] @ p["w"] + p["b"]
    return torch.mean(torch.logaddexp(torch.zeros_like(z), z) - p["t"] * z) + p["lam"] / 2 * torch.sum(
        p["w"] ** 2
    )


GMM = """
scaled = (x[:, None, :] - mu) / exp(s)
each = alpha - sum(s, axis=-1) - 0.5 * sum(scaled**2, axis=-1)
sum(logsumexp(each, axis=1)) - x.shape[0] * logsumexp(alpha)
"""
GMM_AT = {
    "x": numbers(5, 2),
    "mu": numbers(3, 2, start=1),
    "s": numbers(3, 2, start=2) / 2,
    "alpha": numbers(3, start=3),
}


def gmm_jax(p: Values) -> Any:
    scaled = (p["x"][:, None, :] - p["mu"]) / jnp.exp(p["s"])
    each = p["alpha"] - jnp.sum(p["s"], axis=-1) - 0.5 * jnp.sum(scaled**2, axis=-1)
    return jnp.sum(jax.nn.logsumexp(each, axis=1)) - p["x"].shape[0] * jax.nn.logsumexp(p["alpha"])


def gmm_torch(p: Values) -> Any:
    scaled = (p["x"][:, None, :] - p["mu"]) / torch.exp(p["s"])
    each = p["alpha"] - torch.sum(p["s"], -1) - 0.5 * torch.sum(scaled**2, -1)
    return torch.sum(torch.logsumexp(each, 1)) - p["x"].shape[0] * torch.logsumexp(p["alpha"], 0)


RNN_STEP = {
    "inputs": ["h", "x", "W", "U", "b"],
    "nodes": [
        node("r", "matmul", "W", "h"), node("i", "matmul", "U", "x"), node("s", "add", "r", "i"),
        node("z", "add", "s", "b"), node("n", "tanh", "z"),
    ],
    "outputs": ["n", "n"],
}  # fmt: skip
RNN = {
    "nodes": [
        *inputs("h", "xs", "W", "U", "b", "target"),
        node("scan", "scan", "h", "xs", "W", "U", "b", carry=1, body=RNN_STEP),
        node("last", "item", "scan", index=0),
        node("hs", "item", "scan", index=1),
        node("d", "subtract", "hs", "target"),
        node("q", "square", "d"),
        node("m", "mean", "q"),
        node("l", "sum", "last"),
        node("f", "multiply", "m", "l"),
    ],
    "outputs": ["f"],
}
RNN_AT = {
    "h": numbers(3), "xs": numbers(5, 2, start=1), "W": numbers(3, 3, start=2), "U": numbers(3, 2, start=3),
    "b": numbers(3, start=4), "target": numbers(5, 3, start=5),
}  # fmt: skip


def rnn_jax(p: Values) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(p["W"] @ h + p["U"] @ x + p["b"])
        return h, h

    last, hs = jax.lax.scan(step, p["h"], p["xs"])
    return jnp.mean((hs - p["target"]) ** 2) * jnp.sum(last)


def rnn_torch(p: Values) -> Any:
    h, hs = p["h"], []
    for x in p["xs"]:
        h = torch.tanh(p["W"] @ h + p["U"] @ x + p["b"])
        hs.append(h)
    return torch.mean((torch.stack(hs) - p["target"]) ** 2) * torch.sum(h)


POWER_STEP = {
    "inputs": ["i", "v", "A"],
    "nodes": [
        node("w", "matmul", "A", "v"), node("s", "multiply", "w", "w"), node("t", "sum", "s"), node("n", "sqrt", "t"),
        node("u", "divide", "w", "n"),
    ],
    "outputs": ["u"],
}  # fmt: skip
POWER = {
    "nodes": [
        *inputs("A", "v"),
        node("u", "fori_loop", "v", "A", stop=6, carry=1, body=POWER_STEP),
        node("w", "matmul", "A", "u"),
        node("f", "dot", "u", "w"),
    ],
    "outputs": ["f"],
}


def power_jax(p: Values) -> Any:
    def step(i: Any, v: Any) -> Any:
        w = p["A"] @ v
        return w / jnp.sqrt(jnp.sum(w * w))

    u = jax.lax.fori_loop(0, 6, step, p["v"])
    return u @ (p["A"] @ u)


def power_torch(p: Values) -> Any:
    v = p["v"]
    for _ in range(6):
        w = p["A"] @ v
        v = w / torch.sqrt(torch.sum(w * w))
    return v @ (p["A"] @ v)


THEN = {
    "inputs": ["x", "y"],
    "nodes": [node("e", "exp", "x"), node("r", "multiply", "e", "y")],
    "outputs": ["r"],
}
OTHERWISE = {
    "inputs": ["x", "y"],
    "nodes": [node("q", "square", "x"), node("r", "sin", "q")],
    "outputs": ["r"],
}
CHOICE = {
    "nodes": [
        *inputs("x", "y"),
        node("s", "sum", "x"),
        node("m", "greater", "s", 0),
        node("c", "cond", "m", "x", "y", **{"then": THEN, "else": OTHERWISE}),
        node("f", "sum", "c"),
    ],
    "outputs": ["f"],
}


def choice_jax(p: Values) -> Any:
    branches = (lambda x, y: jnp.exp(x) * y, lambda x, y: jnp.sin(x**2))
    return jnp.sum(jax.lax.cond(jnp.sum(p["x"]) > 0, *branches, p["x"], p["y"]))


def choice_torch(p: Values) -> Any:
    return torch.sum(torch.exp(p["x"]) * p["y"] if p["x"].sum() > 0 else torch.sin(p["x"] ** 2))


ATTENTION = """
q = x @ Wq
k = x @ Wk
v = x @ Wv
scores = q @ k.T / sqrt(2)
masked = where(mask > 0, scores, -inf)
a = softmax(masked, axis=-1) @ v + x
m = mean(a, axis=-1, keepdims=True)
n = (a - m) / sqrt(var(a, axis=-1, keepdims=True) + 1e-5)
sum((n * g + b) * tanh(n))
"""
ATTENTION_AT = {
    "x": numbers(3, 2), "Wq": numbers(2, 2, start=1), "Wk": numbers(2, 2, start=2), "Wv": numbers(2, 2, start=3),
    "g": numbers(2, start=4), "b": numbers(2, start=5), "mask": np.tril(np.ones((3, 3))),
}  # fmt: skip


def attention_jax(p: Values) -> Any:
    q, k, v = p["x"] @ p["Wq"], p["x"] @ p["Wk"], p["x"] @ p["Wv"]
    scores = jnp.where(p["mask"] > 0, q @ k.T / np.sqrt(2), -jnp.inf)
    a = jax.nn.softmax(scores, axis=-1) @ v + p["x"]
    n = (a - jnp.mean(a, -1, keepdims=True)) / jnp.sqrt(jnp.var(a, -1, keepdims=True) + 1e-5)
    return jnp.sum((n * p["g"] + p["b"]) * jnp.tanh(n))


def attention_torch(p: Values) -> Any:
    q, k, v = p["x"] @ p["Wq"], p["x"] @ p["Wk"], p["x"] @ p["Wv"]
    scores = torch.where(p["mask"] > 0, q @ k.T / np.sqrt(2), -torch.inf)
    a = torch.softmax(scores, -1) @ v + p["x"]
    n = torch.nn.functional.layer_norm(a, (2,))
    return torch.sum((n * p["g"] + p["b"]) * torch.tanh(n))


ROSENBROCK = "sum(100 * (x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)"


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


LAYER_NORM = "y = layer_norm(x, (4,), w, b)\nsum(y**3 * tanh(x))"


def layer_norm_jax(p: Values) -> Any:
    x = p["x"]
    n = (x - jnp.mean(x, -1, keepdims=True)) / jnp.sqrt(jnp.var(x, -1, keepdims=True) + 1e-5)
    return jnp.sum((n * p["w"] + p["b"]) ** 3 * jnp.tanh(x))


def layer_norm_torch(p: Values) -> Any:
    y = torch.nn.functional.layer_norm(p["x"], (4,), p["w"], p["b"])
    return torch.sum(y**3 * torch.tanh(p["x"]))


PROGRAMS = {
    "perceptron": Peers(MLP, MLP_AT, mlp_jax, mlp_torch),
    "logistic regression": Peers(LOGISTIC, LOGISTIC_AT, logistic_jax, logistic_torch),
    "mixture of Gaussians": Peers(GMM, GMM_AT, gmm_jax, gmm_torch),
    "recurrent network": Peers(RNN, RNN_AT, rnn_jax, rnn_torch),
    "power iteration": Peers(POWER, {"A": numbers(3, 3) + 2 * np.eye(3), "v": numbers(3, start=1)}, power_jax, power_torch),
    "choice, then": Peers(CHOICE, {"x": numbers(3) + 0.5, "y": numbers(3, start=1)}, choice_jax, choice_torch),
    "choice, else": Peers(CHOICE, {"x": numbers(3) - 1.5, "y": numbers(3, start=1)}, choice_jax, choice_torch),
    "attention": Peers(ATTENTION, ATTENTION_AT, attention_jax, attention_torch),
    "Rosenbrock": Peers(
        ROSENBROCK, {"x": numbers(50)}, lambda p: rosenbrock(p["x"]), lambda p: rosenbrock(p["x"])
    ),
    "layer norm": Peers(
        LAYER_NORM, {"x": numbers(3, 4), "w": numbers(4, start=1), "b": numbers(4, start=2)}, layer_norm_jax, layer_norm_torch
    ),
}  # fmt: skip


def scale_of(expected: Any) -> float:
    """Tolerance relative to the largest entry: sums of large terms may cancel in small ones."""
    leaves = [np.abs(np.asarray(v)).max(initial=0) for v in jax.tree.leaves(expected)]
    return 1e-9 * max([1.0, *leaves])


def close(got: Any, expected: Any) -> None:
    """Assert that all arrays agree to 1e-9."""
    near(got, jax.tree.map(np.asarray, expected), 1e-9, scale_of(expected))


def product_in_jax(f: Callable[[Values], Any]) -> Callable[[Values, Values], Any]:
    """Hessian times a vector."""
    return lambda p, vector: jax.jvp(jax.grad(f), (p,), (vector,))[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name: str) -> None:
    program, at, in_jax, in_torch = PROGRAMS[name]
    names = list(at)
    expected = jax.jit(jax.value_and_grad(in_jax))(at)
    for mode in ("reverse", "forward"):
        answer = ask("grad", program, at, wrt=names, mode=mode)
        close(answer["value"], expected[0])
        close(answer["gradients"], expected[1])
        assert answer["warnings"] == [] or name == "attention"
    if in_torch is not None:
        tensors = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in at.items()}
        value = in_torch(tensors)
        value.backward()
        close(answer["value"], value.detach().numpy())
        close(
            answer["gradients"],
            {n: np.zeros_like(at[n]) if t.grad is None else t.grad.numpy() for n, t in tensors.items()},
        )


@pytest.mark.parametrize("name", PROGRAMS)
def test_hessians_and_products(name: str) -> None:
    program, at, in_jax, _ = PROGRAMS[name]
    expected = jax.jit(jax.hessian(in_jax))(at)
    for mode in ("auto", "reverse", "forward") if name != "Rosenbrock" else ("auto", "reverse"):
        got = ask("hessian", program, at, wrt=list(at), mode=mode)["hessian"]
        close(got, expected)
    vector = {n: np.asarray(numbers(*v.shape, start=9)) for n, v in at.items()}
    along = jax.jit(product_in_jax(in_jax))(at, vector)
    close(ask("hvp", program, at, wrt=list(at), vector=vector)["hvp"], along)


@pytest.mark.parametrize("name", PROGRAMS)
def test_sparse_hessians(name: str) -> None:
    """Nonzeros where they belong, and nothing elsewhere."""
    program, at, in_jax, _ = PROGRAMS[name]
    expected = jax.jit(jax.hessian(in_jax))(at)
    got = ask("hessian", program, at, wrt=list(at), sparse=True)["hessian"]
    for a, row in expected.items():
        for b, block in row.items():
            coo = got[a][b]
            if not isinstance(coo, dict):
                close(coo, block)
                continue
            dense = np.zeros(coo["shape"])
            dense[coo["row"], coo["col"]] = coo["data"]
            np.testing.assert_allclose(dense, np.reshape(block, dense.shape), 1e-9, scale_of(expected))


@pytest.mark.parametrize("name", PROGRAMS)
def test_maps(name: str) -> None:
    program, at, in_jax, _ = PROGRAMS[name]
    mapped = list(at)[:2]
    batch = {n: np.stack([v, v * 0.9, v * 1.2], -1) if n in mapped else v for n, v in at.items()}
    axes = {n: -1 if n in mapped else None for n in at}
    gradients = jax.jit(jax.vmap(jax.grad(in_jax), in_axes=(axes,)))(batch)
    close(
        ask("grad", program, batch, wrt=list(at), in_axes=dict.fromkeys(mapped, -1))["gradients"], gradients
    )
    if name != "Rosenbrock":
        product = jax.jit(jax.vmap(product_in_jax(in_jax), in_axes=(axes, axes)))(batch, batch)
        got = ask("hvp", program, batch, wrt=list(at), vector=batch, in_axes=dict.fromkeys(mapped, -1))
        close(got["hvp"], product)


JACOBIANS: dict[str, tuple[str, dict[str, np.ndarray], Callable[[Values], Any]]] = {
    "network": (
        "tanh(W @ x + b)",
        {"W": numbers(3, 2), "x": numbers(2, start=1), "b": numbers(3, start=2)},
        lambda p: jnp.tanh(p["W"] @ p["x"] + p["b"]),
    ),
    "softmax": ("softmax(x, axis=0)", {"x": numbers(3, 2)}, lambda p: jax.nn.softmax(p["x"], axis=0)),
    "outer": (
        "outer(x, y) / sum(x)",
        {"x": numbers(3) + 2, "y": numbers(2, start=1)},
        lambda p: jnp.outer(p["x"], p["y"]) / jnp.sum(p["x"]),
    ),
    "scalar": ("sum(x * y)", {"x": numbers(3), "y": numbers(3, start=1)}, lambda p: jnp.sum(p["x"] * p["y"])),
    "tall": ("x**[1, 2, 3]", {"x": np.asarray(1.3)}, lambda p: p["x"] ** jnp.array([1.0, 2, 3])),
}


@pytest.mark.parametrize("name", JACOBIANS)
@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
def test_jacobians(name: str, mode: str) -> None:
    text, at, in_jax = JACOBIANS[name]
    (blocks,) = ask("jacobian", text, at, mode=mode)["jacobian"].values()
    close(blocks, jax.jacrev(in_jax)(at))
    tangents = {n: np.asarray(numbers(*v.shape, start=3)) for n, v in at.items()}
    (moved,) = ask("jvp", text, at, tangents=tangents)["output_tangents"].values()
    value, expected = jax.jvp(in_jax, (at,), (tangents,))
    close(moved, expected)
    (out,) = ask("evaluate", text, at)["output_ids"]
    cotangent = np.asarray(numbers(*value.shape, start=5))
    got = ask("vjp", text, at, wrt=list(at), cotangents={out: cotangent})["gradients"]
    close(got, jax.vjp(in_jax, at)[1](jnp.asarray(cotangent))[0])


IN_JAX = evaluator(jnp)


@settings(max_examples=25)
@given(cases(steps=6))
def test_random_graphs(case: Case) -> None:
    def f(inputs: Values) -> Any:
        return evaluate(case.document, inputs, ops=IN_JAX)[case.of]

    def everything(inputs: Values, vector: Values) -> Any:
        return jax.value_and_grad(f)(inputs), product_in_jax(f)(inputs, vector), jax.hessian(f)(inputs)

    names = list(case.inputs)
    vector = {n: np.asarray(numbers(*x.shape, start=2)) for n, x in case.inputs.items()}
    (value, gradients), along, hessian = jax.jit(everything)(case.inputs, vector)
    answer = ask("hessian", case.document, case.inputs, wrt=names)
    close(answer["value"], value)
    close(answer["gradients"], gradients)
    close(answer["hessian"], hessian)
    close(ask("grad", case.document, case.inputs, wrt=names)["gradients"], gradients)
    close(ask("hvp", case.document, case.inputs, wrt=names, vector=vector)["hvp"], along)
