"""A small request over HTTP beside a FastAPI route that computes nothing."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator

from benchmarks.clients import three_lines
from benchmarks.http_load import EMPTY_ROUTE, LOGISTIC, SERVICE, Target, ask, compare, post, serving
from benchmarks.measure import Settings
from benchmarks.row import Line, Row, agree


def run(settings: Settings) -> Iterator[Line]:
    """The logistic loss, the same numbers every time and other numbers every time."""
    rng = random.Random(1)
    fresh = [
        {**LOGISTIC, "inputs": {name: rng.uniform(-2, 2) for name in LOGISTIC["inputs"]}} for _ in range(997)
    ]
    with serving(EMPTY_ROUTE) as empty, serving(SERVICE) as service:
        answer = json.loads(ask(service.port, post("/v1/grad", LOGISTIC)).body)
        w, x, b, y = LOGISTIC["inputs"].values()
        margin = y * (w * x + b)
        by_hand = [math.log(1 + math.exp(-margin)), -x * y / (1 + math.exp(margin))]
        agree({"by hand": by_hand, "service": [answer["value"], answer["gradients"]["w"]]}, 1e-12)
        for name, bodies in (("other numbers every time", fresh), ("the same every time", [LOGISTIC])):
            requests = [post("/v1/grad", body) for body in bodies]
            ours, theirs = Target(service, requests), Target(empty, requests)
            compare(
                {"ours": ours, "theirs": theirs},
                rounds=settings.rounds,
                seconds=0.2 if settings.quick else 0.7,
            )
            yield from three_lines(f"logistic loss, {name}", "empty FastAPI route", ours, theirs, 1.0, None)
            if ours.busy_us is not None and theirs.busy_us is not None:
                yield Line(
                    f"logistic loss, {name}: server's own time", "empty FastAPI route",
                    ours.busy_us / 1e6, theirs.busy_us / 1e6, "s", theirs.busy_us / ours.busy_us, None,
                )  # fmt: skip


ROW = Row(
    "requests",
    "`POST /v1/grad`, small expression (logistic loss), one worker, 16 connections",
    "a FastAPI route with the same pydantic models that computes nothing",
    "≥ 1.0 × its throughput",
    "`log(1 + exp(-y*(w*x + b)))`, every node's value and gradient in the answer. Both served by uvicorn with uvloop and "
    "httptools, one worker each; the load comes from plain sockets on the other core, 16 connections with one request "
    "under way each. The other route reads the body as our `GradRequest` model and answers one and the same `GradAnswer`.",
    run,
)
