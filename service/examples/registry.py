"""Bodies for `POST /v1/graphs`."""

from __future__ import annotations

from service.examples.basic import GRAPH
from service.examples.example import Example

REGISTER: tuple[Example, ...] = (
    Example(
        "product",
        "A program of two lines, under a name",
        {
            "expression": "p = x + y\np * z",
            "name": "product",
            "description": "The first example of every text on automatic differentiation",
        },
    ),
    Example(
        "least_squares",
        "With a signature, which values by this name must fit",
        {
            "expression": "r = A @ x - b\nsum(r**2), r",
            "name": "least-squares",
            "signature": {
                "A": {"shape": [3, 2]},
                "x": {"shape": [2]},
                "b": {"shape": [3], "dtype": "float64"},
            },
        },
    ),
    Example("graph", "A JSON graph with a default, by its id alone", {"graph": GRAPH["graph"]}),
)
"""Bodies for `POST /v1/graphs`."""
