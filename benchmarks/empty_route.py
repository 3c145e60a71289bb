"""What a request costs before anything is computed: FastAPI alone, with the models of `POST /v1/grad`.

One route, no middleware. The body is read and checked as a `GradRequest`, and one and the same `GradAnswer` is written as the
answer. The service is compared with it (`http_load.py`)."""

from __future__ import annotations

from fastapi import FastAPI

from service.schemas import GradAnswer, GradRequest

app = FastAPI()

ANSWER = GradAnswer.model_validate(
    {
        "value": 0.20141327798275246,
        "of": "t7",
        "output_ids": ["t7"],
        "outputs": {"t7": 0.20141327798275246},
        "values": {
            "y": 1.0,
            "w": 0.5,
            "x": 2.0,
            "b": 0.5,
            "t1": -1.0,
            "t2": 1.0,
            "t3": 1.5,
            "t4": -1.5,
            "t5": 0.22313016014842982,
            "t6": 1.2231301601484299,
            "t7": 0.20141327798275246,
        },
        "gradients": {
            "y": -0.27363828534849,
            "w": -0.36485104713132,
            "x": -0.09121276178283,
            "b": -0.18242552356566,
            "t1": 0.27363828534849,
            "t2": -0.18242552356566,
            "t3": -0.18242552356566,
            "t4": 0.18242552356566,
            "t5": 0.81757447643434,
            "t6": 0.81757447643434,
            "t7": 1.0,
        },
        "mode": "reverse",
        "graph_id": "sha256-" + "0" * 64,
        "warnings": [],
    }
)


@app.post("/v1/grad")
async def grad(request: GradRequest) -> GradAnswer:
    """Compute nothing."""
    return ANSWER
