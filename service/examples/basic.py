"""Bodies for the verbs for values and derivatives, for trace, parse and render."""

from __future__ import annotations

from typing import Any

from service.examples.example import Example

_PRODUCT_ID = "sha256-34635505412c64eec18f322ede7b7697cf50f141d40bd26ff4bb7f11b7642fdd"

PRODUCT: dict[str, Any] = {"expression": "(x + y) * z", "inputs": {"x": -2, "y": 5, "z": -4}}

GRAPH: dict[str, Any] = {
    "graph": {
        "nodes": [
            {"id": "w", "op": "input"},
            {"id": "x", "op": "input", "value": 1.0},
            {"id": "t1", "op": "multiply", "inputs": ["w", "x"]},
            {"id": "f", "op": "tanh", "inputs": ["t1"]},
        ],
        "outputs": ["f"],
    },
    "inputs": {"w": 0.5},
}

_LEAST_SQUARES: dict[str, Any] = {
    "expression": "r = A @ x - b\nsum(r**2), r",
    "inputs": {"A": [[1, 2], [3, 4], [5, 6]], "x": [0.5, -1], "b": [1, 0, -1]},
}

_ROSENBROCK: dict[str, Any] = {
    "expression": "(1 - x)**2 + 100*(y - x**2)**2",
    "inputs": {"x": 1, "y": 1},
}

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "evaluate": (
        Example(
            "product",
            "An expression",
            PRODUCT,
            {
                "output_ids": ["t2"],
                "outputs": {"t2": -12.0},
                "values": {"x": -2.0, "y": 5.0, "z": -4.0, "t1": 3.0, "t2": -12.0},
                "graph_id": _PRODUCT_ID,
                "warnings": [],
            },
        ),
        Example("graph", "A JSON graph with a default", GRAPH),
        Example(
            "batch",
            "Many points at once",
            {
                "expression": "sin(x) * y",
                "inputs": {"x": [0, 0.5, 1], "y": 2},
                "in_axes": {"x": 0},
                "nodes": "none",
            },
        ),
    ),
    "grad": (
        Example(
            "product",
            "The gradient of (x + y)·z",
            PRODUCT,
            {
                "value": -12.0,
                "of": "t2",
                "output_ids": ["t2"],
                "outputs": {"t2": -12.0},
                "values": {"x": -2.0, "y": 5.0, "z": -4.0, "t1": 3.0, "t2": -12.0},
                "gradients": {"x": -4.0, "y": -4.0, "z": 3.0, "t1": -4.0, "t2": 1.0},
                "mode": "reverse",
                "graph_id": _PRODUCT_ID,
                "warnings": [],
            },
        ),
        Example("graph", "A JSON graph with a default", GRAPH),
        Example(
            "least_squares",
            "Arrays, and the residuals as a second output",
            {**_LEAST_SQUARES, "wrt": ["x", "r"]},
        ),
        Example(
            "seed",
            "A seed for an output that is an array",
            {"expression": "x * x", "inputs": {"x": [1, 2, 3]}, "seed": [1, 0, -1]},
        ),
    ),
    "jvp": (
        Example(
            "product",
            "One direction",
            {**PRODUCT, "tangents": {"x": 1}},
            {
                "output_ids": ["t2"],
                "outputs": {"t2": -12.0},
                "values": {"x": -2.0, "y": 5.0, "z": -4.0, "t1": 3.0, "t2": -12.0},
                "output_tangents": {"t2": -4.0},
                "node_tangents": {"x": 1.0, "y": 0.0, "z": 0.0, "t1": 1.0, "t2": -4.0},
                "mode": "forward",
                "graph_id": _PRODUCT_ID,
                "warnings": [],
            },
        ),
    ),
    "vjp": (
        Example(
            "least_squares",
            "Cotangents of one output of two",
            {**_LEAST_SQUARES, "cotangents": {"r": [1, 0, 0]}},
        ),
    ),
    "jacobian": (
        Example(
            "polar",
            "From polar coordinates",
            {"expression": "x = r*cos(a)\ny = r*sin(a)\nx, y", "inputs": {"r": 2, "a": 0}},
        ),
        Example(
            "least_squares", "Of a node that is no output", {**_LEAST_SQUARES, "of": ["r"], "wrt": ["x"]}
        ),
        Example(
            "sparse",
            "The structural nonzeros alone, in far fewer passes than rows or columns",
            {"expression": "x[1:]**2 - x[:-1]", "inputs": {"x": [1, 2, 3, 4]}, "sparse": True},
            {
                "output_ids": ["t4"],
                "of": ["t4"],
                "outputs": {"t4": [3.0, 7.0, 13.0]},
                "jacobian": {
                    "t4": {
                        "x": {
                            "format": "coo",
                            "shape": [3, 4],
                            "row": [0, 0, 1, 1, 2, 2],
                            "col": [0, 1, 1, 2, 2, 3],
                            "data": [-1.0, 4.0, -1.0, 6.0, -1.0, 8.0],
                        }
                    }
                },
                "mode": "reverse",
                "passes": 1,
                "graph_id": "sha256-8e1709f77d1714a39384a630716a6b95363a77d5f559bfdff079bfebdae68e06",
                "warnings": [],
            },
        ),
    ),
    "hessian": (
        Example("rosenbrock", "At the minimum of Rosenbrock's function", _ROSENBROCK),
        Example(
            "sparse",
            "A chain: three diagonals, whatever its length",
            {
                "expression": "sum(100*(x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)",
                "inputs": {"x": [1, 2, 3, 4, 5]},
                "sparse": True,
            },
        ),
    ),
    "taylor": (
        Example(
            "exponential",
            "exp(x) at 0, along x",
            {"expression": "exp(x)", "inputs": {"x": 0}, "direction": {"x": 1}, "order": 3},
        ),
    ),
    "hvp": (Example("rosenbrock", "One column of the Hessian", {**_ROSENBROCK, "vector": {"x": 1}}),),
    "trace": (
        Example("product", "Forward and backward, by hand", PRODUCT),
        Example(
            "dual",
            "With dual numbers and multipliers",
            {**PRODUCT, "tangents": {"x": 1}, "lagrangian": True},
        ),
        Example(
            "seed",
            "An array, backward from a seed",
            {
                "expression": "tanh(W @ x)",
                "inputs": {"W": [[1, 2], [3, 4]], "x": [0.5, -0.25]},
                "seed": [1, 0],
            },
        ),
    ),
    "parse": (
        Example("product", "What the ids are", {"expression": "(x + y) * z"}),
        Example(
            "signature",
            "Shapes, from the inputs' shapes",
            {
                "expression": "softmax(x @ W)",
                "signature": {"x": {"shape": [8]}, "W": {"shape": [8, 3], "dtype": "float64"}},
            },
        ),
    ),
    "render": (
        Example("structure", "The structure, for Graphviz", {"expression": "(x + y) * z", "format": "dot"}),
        Example("gradients", "Values and gradients", {**PRODUCT, "format": "dot", "direction": "TB"}),
    ),
}
