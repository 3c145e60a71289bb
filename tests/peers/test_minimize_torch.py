"""First-order methods step for step as `torch.optim` makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.test_minimize import run

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers

A = np.random.default_rng(2).normal(size=(6, 4))
B = np.random.default_rng(3).normal(size=6)
TEXT = "r = A @ x - b\nsum(r**2) + sum(cos(3*x))"

CASES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "sgd": ("gd", {"learning_rate": 0.01}, lambda p: torch.optim.SGD(p, lr=0.01)),
    "momentum": (
        "momentum",
        {"learning_rate": 0.01, "momentum": 0.8},
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8),
    ),
    "nesterov": (
        "nesterov",
        {"learning_rate": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (
        "rmsprop",
        {"learning_rate": 0.02, "alpha": 0.95, "epsilon": 1e-6},
        lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=1e-6),
    ),
    "rmsprop-momentum": (
        "rmsprop",
        {"learning_rate": 0.01, "momentum": 0.7},
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.7),
    ),
    "adam": ("adam", {"learning_rate": 0.05}, lambda p: torch.optim.Adam(p, lr=0.05)),
    "adam-decay": (
        "adam",
        {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-5, "weight_decay": 0.1},
        lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.1),
    ),
    "adamw": ("adamw", {"learning_rate": 0.05}, lambda p: torch.optim.AdamW(p, lr=0.05)),
    "adamw-decay": (
        "adamw",
        {"learning_rate": 0.02, "weight_decay": 0.3},
        lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps(name: str) -> None:
    method, options, make = CASES[name]
    start = np.array([0.5, -1.0, 2.0, 0.0])
    found = run(
        TEXT,
        {"x": start},
        method,
        inputs={"A": A, "b": B},
        max_iterations=100,
        gtol=0.0,
        record=True,
        **options,
    )
    x = torch.tensor(start, requires_grad=True)
    optimizer = make([x])
    points = []
    for _ in range(101):
        points.append(x.detach().numpy().copy())
        optimizer.zero_grad()
        r = torch.tensor(A) @ x - torch.tensor(B)
        loss = (r**2).sum() + torch.cos(3 * x).sum()
        loss.backward()
        optimizer.step()
    assert len(found["history"]) == 101
    np.testing.assert_allclose([e["point"]["x"] for e in found["history"]], points, rtol=1e-12, atol=1e-12)
