"""Bodies for `POST /v1/compare`, with their answers where these are short."""

from __future__ import annotations

from service.examples.example import Example

EXAMPLES: tuple[Example, ...] = (
    Example(
        "product",
        "A product of six factors: six forward passes or twelve evaluations, or one reverse pass",
        {
            "expression": "a*b*c*d*e1*f",
            "inputs": {"a": 1, "b": 2, "c": 3, "d": 4, "e1": 5, "f": 6},
        },
    ),
    Example(
        "logistic",
        "A loop that doubles the size of its formula with each step, and amplifies errors",
        {"expression": "y = x\nfor i in range(20):\n    y = 4*y*(1 - y)\ny", "inputs": {"x": 0.3}},
    ),
    Example(
        "network",
        "The loss of a small network, by its weights",
        {
            "expression": "h = tanh(W @ x)\nsum((V @ h - y)**2)",
            "inputs": {
                "W": [[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]],
                "V": [[0.7, -0.8, 0.9]],
                "x": [1, 2],
                "y": [0.5],
            },
            "wrt": ["W", "V"],
        },
    ),
)
