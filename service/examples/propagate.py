"""Bodies for `POST /v1/propagate`, with their answers where these are short."""

from __future__ import annotations

from service.examples.basic import PRODUCT
from service.examples.example import Example

EXAMPLES: tuple[Example, ...] = (
    Example(
        "impedance",
        "Resistance and reactance from voltage, current and phase, whose means are correlated (GUM, H.2)",
        {
            "expression": "R = V/I*cos(phi)\nX = V/I*sin(phi)\nR, X",
            "inputs": {"V": 4.999, "I": 0.019661, "phi": 1.04446},
            "std": {"V": 0.0032, "I": 9.5e-6, "phi": 0.00075},
            "covariance": {"V": {"I": -1.0944e-8, "phi": 2.064e-6}, "I": {"phi": -4.63125e-9}},
        },
    ),
    Example("product", "Independent errors", {**PRODUCT, "std": {"x": 0.1, "z": 0.2}}),
    Example(
        "batch",
        "Many measurements at once",
        {
            "expression": "v/t",
            "inputs": {"v": [1, 2, 3], "t": 2},
            "std": {"v": 0.1, "t": 0.01},
            "in_axes": {"v": 0},
        },
    ),
)
