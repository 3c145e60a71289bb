"""Bodies for `POST /v1/check`, with their answers where these are short."""

from __future__ import annotations

from service.examples.basic import PRODUCT
from service.examples.example import Example

EXAMPLES: tuple[Example, ...] = (
    Example("cube", "The error curve of differences", {"expression": "x**3", "inputs": {"x": 1}}),
    Example(
        "expected",
        "A gradient from elsewhere: dy is wrong",
        {
            "expression": "sum((A @ x - y)**2)",
            "inputs": {"A": [[1, 2], [3, 4]], "x": [0.5, -1], "y": [1, 0]},
            "wrt": ["x", "y"],
            "expected": {"x": [-20, -30], "y": [5, -5]},
            "steps": [0.01, 0.0001, 0.000001],
        },
    ),
    Example("product", "The first example", PRODUCT),
)
