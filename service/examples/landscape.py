"""Bodies for `POST /v1/landscape`, with their answers where these are short."""

from __future__ import annotations

from service.examples.example import Example

EXAMPLES: tuple[Example, ...] = (
    Example(
        "parabola",
        "A curve, with its derivative",
        {
            "expression": "(x - 1)**2",
            "axes": [{"input": "x", "start": 0, "stop": 2, "num": 5}],
            "gradients": True,
        },
        {
            "of": "t2",
            "output_ids": ["t2"],
            "axes": [
                {
                    "input": "x",
                    "label": "x",
                    "start": 0.0,
                    "stop": 2.0,
                    "num": 5,
                    "values": [0.0, 0.5, 1.0, 1.5, 2.0],
                }
            ],
            "surface": [1.0, 0.25, 0.0, 0.25, 1.0],
            "gradients": [[-2.0, -1.0, 0.0, 1.0, 2.0]],
            "minimum": {"value": 0.0, "at": {"x": 1.0}, "index": [2]},
            "graph_id": "sha256-ee21506d6d8dbc2181a737f905bec7c2ec538b8336ba76ae01649280d5758594",
            "warnings": [],
        },
    ),
    Example(
        "rosenbrock",
        "Rosenbrock's valley, with the first steps of a descent",
        {
            "expression": "(1 - x)**2 + 100*(y - x**2)**2",
            "axes": [
                {"input": "x", "start": -2, "stop": 2, "num": 41},
                {"input": "y", "start": -1, "stop": 3, "num": 41},
            ],
            "path": [[-1.2, 1], {"x": -1.0, "y": 1.07}, {"x": -0.95, "y": 0.9}],
        },
    ),
    Example(
        "network",
        "A loss over two weights of two layers",
        {
            "expression": "h = relu(x @ w1)\nloss = mean((h @ w2 - target)**2)",
            "inputs": {"x": [0.8], "target": [1.9], "w1": [[1, 1.2]], "w2": [[1], [0.8]]},
            "axes": [
                {"input": "w1", "index": [0, 0], "start": 0, "stop": 3.5, "num": 36},
                {"input": "w2", "index": [0, 0], "start": -3.5, "stop": 3.5, "num": 36},
            ],
            "gradients": True,
        },
    ),
)
