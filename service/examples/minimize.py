"""Bodies for `POST /v1/minimize`, with their answers where these are short."""

from __future__ import annotations

from typing import Any

from service.examples.basic import PRODUCT
from service.examples.example import Example

ROSENBROCK = "(1 - x)**2 + 100*(y - x**2)**2"

NETWORK: dict[str, Any] = {
    "expression": "h1 = relu(x*w1_1)\nh2 = relu(x*w1_2)\ny = h1*w2_1 + h2*w2_2\nmean((y - 1.9)**2)",
    "inputs": {"x": 0.8},
    "start": {"w1_1": 1.4, "w1_2": 1.2, "w2_1": -0.5, "w2_2": 0.8},
}
"""The two layers of the article, and a loss that is low enough to stop."""

FIT: dict[str, Any] = {
    "expression": "y - b1*(1 - exp(-b2*x))",
    "inputs": {
        "x": [77.6, 114.9, 141.1, 190.8, 239.9, 289, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760],
        "y": [
            10.07,
            14.73,
            17.94,
            23.93,
            29.61,
            35.18,
            40.02,
            44.82,
            50.76,
            55.05,
            61.01,
            66.4,
            75.47,
            81.78,
        ],
    },
}

EXAMPLES: tuple[Example, ...] = (
    Example(
        "rosenbrock",
        "A curved valley, by L-BFGS-B",
        {"expression": ROSENBROCK, "start": {"x": -1.2, "y": 1}, "record": 5},
    ),
    Example(
        "fit", "A fit: the residuals, and Levenberg-Marquardt", {**FIT, "start": {"b1": 500, "b2": 1e-4}}
    ),
    Example(
        "network",
        "A small network, trained by Adam",
        {
            **NETWORK,
            "method": "adam",
            "options": {"learning_rate": 0.05, "schedule": {"kind": "cosine", "steps": 200}, "target": 1e-6},
        },
    ),
    Example(
        "random",
        "The same network by chance: see `evaluations`",
        {
            **NETWORK,
            "method": "random-search",
            "bounds": {w: [-3.5, 3.5] for w in NETWORK["start"]},
            "options": {"samples": 100_000, "target": 1e-6},
        },
    ),
    Example(
        "bounds",
        "In a box",
        {
            "expression": ROSENBROCK,
            "start": {"x": -1.2, "y": 1},
            "bounds": {"x": [-2, 0.5], "y": ["-Infinity", 2]},
            "method": "trust-region",
        },
    ),
    Example(
        "batches",
        "A regression by mini-batches",
        {
            "expression": "mean((X @ w + b - y)**2)",
            "inputs": {
                "X": [[0, 1], [1, 0], [1, 1], [2, 1], [1, 2], [3, 0]],
                "y": [2, 3, 4, 6, 5.5, 8],
            },
            "start": {"w": [0, 0], "b": 0},
            "method": "momentum",
            "options": {"batch_size": 2, "learning_rate": 0.02, "max_iterations": 600, "rng_seed": 1},
        },
    ),
    Example("product", "A product has no minimum", PRODUCT),
)
