"""Bodies for `POST /v1/derivative`, with their answers where these are short."""

from __future__ import annotations

from service.examples.basic import PRODUCT
from service.examples.example import Example

EXAMPLES: tuple[Example, ...] = (
    Example("product", "The first example", PRODUCT),
    Example(
        "powers",
        "As text and as a formula",
        {"expression": "x**2*y", "format": ["expression", "latex"]},
        {
            "of": "t2",
            "output_ids": ["t2"],
            "derivatives": {
                "x": {"expression": "2*x*y", "latex": "2\\,x\\,y"},
                "y": {"expression": "x**2", "latex": "x^{2}"},
            },
            "identifiers": {"x": "x", "y": "y"},
            "graph_id": "sha256-588b5be030849290cdc1dfa8674d89b9d59c5ab44f10b62ab66b797666a1aa9b",
            "warnings": [],
        },
    ),
    Example(
        "second",
        "The second derivative",
        {"expression": "exp(-x**2/2)", "order": 2, "format": ["expression", "graph", "mathml"]},
    ),
    Example(
        "mixed",
        "Mixed, by x twice and by y",
        {"expression": "sin(x*y)", "wrt": ["x", "x", "y"], "mixed": True, "format": ["expression"]},
    ),
    Example(
        "least-squares",
        "Of arrays, whose shapes are told",
        {
            "expression": "r = A @ x - b\nsum(r**2)",
            "wrt": ["x"],
            "signature": {"A": {"shape": [4, 3]}, "x": {"shape": [3]}, "b": {"shape": [4]}},
        },
    ),
    Example(
        "code",
        "A function that returns the value and all gradients",
        {"expression": "w*exp(-x**2)", "format": ["python"]},
    ),
)
