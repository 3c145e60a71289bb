"""Two-layer networks: loss and gradients of all weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.measure import Settings
from benchmarks.ours import Prepared
from benchmarks.row import OURS, Case, Line, Row

TEXT = """
h = relu(x @ W1 + b1)
cross_entropy(h @ W2 + b2, labels)
"""
WEIGHTS = ("W1", "b1", "W2", "b2")


def run(settings: Settings) -> Iterator[Line]:
    """784-128-10 with batches of 64, 784-512-10 with batches of 512, in both precisions."""
    for hidden, batch in ((128, 64),) if settings.quick else ((128, 64), (512, 512)):
        for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-11)):
            yield from case(hidden, batch, dtype, tolerance).lines(settings)


def case(hidden: int, batch: int, dtype: str, tolerance: float) -> Case:
    """One size in one precision."""
    sets = [data(hidden, batch, dtype, seed) for seed in (0, 1)]
    ours = Prepared("grad", TEXT, sets, wrt=WEIGHTS, nodes="none", dtype=dtype)
    in_order = [[d[name] for name in (*WEIGHTS, "x", "labels")] for d in sets]
    j = peers.jax()

    def jax_loss(weights: Any, x: Any, labels: Any) -> Any:
        W1, b1, W2, b2 = weights
        z = j.nn.relu(x @ W1 + b1) @ W2 + b2
        return -j.numpy.mean(j.numpy.take_along_axis(j.nn.log_softmax(z), labels[:, None], 1))

    t = peers.torch()

    def torch_loss(W1: Any, b1: Any, W2: Any, b2: Any, x: Any, labels: Any) -> Any:
        h = t.relu(t.addmm(b1, x, W1))
        return t.nn.functional.cross_entropy(t.addmm(b2, h, W2), labels)

    def read(answer: Any) -> Any:
        return [answer["value"], *(answer["gradients"][name] for name in WEIGHTS)]

    return Case(
        f"784-{hidden}-10, batch {batch}, {dtype}",
        {
            OURS: ours.run,
            "JAX": peers.jax_side(lambda *a: j.value_and_grad(jax_loss)(a[:4], *a[4:]), in_order),
            "PyTorch": peers.torch_gradients(torch_loss, in_order, (0, 1, 2, 3)),
        },
        tolerance,
        {"JAX": 1 / 1.1, "PyTorch": 1 / 1.1},
        {
            OURS: read,
            f"{OURS}, with preparing": read,
            "JAX": lambda a: [a[0], *a[1]],
            "PyTorch": peers.numpy_of,
        },
        {f"{OURS}, with preparing": ours.again},
    )


def data(hidden: int, batch: int, dtype: str, seed: int) -> dict[str, np.ndarray]:
    """Weights as one draws them, pictures and labels at random. Indices are int64, as PyTorch wants them."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(dtype)

    return {
        "x": rng.uniform(size=(batch, 784)).astype(dtype),
        "labels": np.random.default_rng(9).integers(0, 10, batch),
        "W1": normal(784, hidden), "b1": normal(hidden), "W2": normal(hidden, 10), "b2": normal(10),
    }  # fmt: skip


ROW = Row(
    "networks",
    "Two-layer networks 784-128-10 (batch 64) and 784-512-10 (batch 512), loss and gradients",
    "JAX jit, PyTorch",
    "≤ 1.1 × the better one's time",
    "relu and cross entropy with class labels; gradients of both weight matrices and biases. JAX: `jit(value_and_grad)`. "
    "PyTorch eager with `addmm` and `F.cross_entropy`. All take the threads they take by themselves. A ratio of 0.91 is "
    "1.1 times the time.",
    run,
)
