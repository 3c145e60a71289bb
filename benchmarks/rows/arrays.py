"""A million doubles in and a million out."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from benchmarks.http_load import SERVICE, Server, ask, post, serving
from benchmarks.measure import Settings, Side, interleaved
from benchmarks.row import OURS, Line, Row, agree, lines_of

ECHO = (
    "-m",
    "uvicorn",
    "benchmarks.serving.echo:app",
    "--port={port}",
    "--no-access-log",
    "--log-level=warning",
)


def run(settings: Settings) -> Iterator[Line]:
    """As JSON lists, and as base64."""
    n = 20_000 if settings.quick else 1_000_000
    arrays = [np.random.default_rng(s).normal(size=n) for s in range(2)]
    with serving(SERVICE, WENGERT_BODY_BYTES=str(1 << 28)) as server, serving(ECHO) as echo:
        for form, encode, alone in (("JSON", as_list, list_alone), ("base64", as_base64, base64_alone)):
            bodies = [orjson.dumps(encode(a)) for a in arrays]
            sides: dict[str, Side] = {
                OURS: over_http(server, "/v1/evaluate", bodies),
                "orjson/base64 alone, in-process": lambda k, bodies=bodies, alone=alone: alone(bodies[k % 2]),
                "the same behind a bare server": over_http(echo, f"/{form}", bodies),
            }
            agree({name: decoded(side(0)) for name, side in sides.items()}, 0.0)
            times = interleaved(sides, settings)
            yield from lines_of(f"{n:,} doubles as {form}", times, {"orjson/base64 alone, in-process": 0.5})


def as_list(a: np.ndarray) -> dict[str, Any]:
    """2 x of a list."""
    return {"expression": "2.0*x", "inputs": {"x": a.tolist()}, "nodes": "none"}


def as_base64(a: np.ndarray) -> dict[str, Any]:
    """2 x of an encoded array, the answer encoded, too."""
    return {"expression": "2.0*x", "inputs": {"x": encoded(a)}, "arrays": "base64", "nodes": "none"}


def encoded(a: np.ndarray) -> dict[str, Any]:
    """The encoded form of an array."""
    data = {"encoding": "base64", "buffer": base64.b64encode(a.tobytes()).decode()}
    return {"object_type": "array", "shape": list(a.shape), "dtype": "float64", "data": data}


def list_alone(body: bytes) -> bytes:
    """orjson to a list, NumPy, orjson from an array."""
    x = np.array(orjson.loads(body)["inputs"]["x"])
    return orjson.dumps({"outputs": {"t1": 2.0 * x}}, option=orjson.OPT_SERIALIZE_NUMPY)


def base64_alone(body: bytes) -> bytes:
    """orjson to a string, base64 to bytes, NumPy, and back."""
    x = np.frombuffer(base64.b64decode(orjson.loads(body)["inputs"]["x"]["data"]["buffer"]))
    return orjson.dumps({"outputs": {"t1": encoded(2.0 * x)}})


def over_http(server: Server, path: str, bodies: list[bytes]) -> Side:
    """A request on a connection of its own, to the answer's last byte."""
    requests = [post(path, body) for body in bodies]

    def side(k: int) -> bytes:
        answer = ask(server.port, requests[k % len(requests)])
        if answer.status != 200:
            raise RuntimeError(f"Status {answer.status}: {answer.body[:500]!r}")
        return answer.body

    return side


def decoded(body: bytes) -> Any:
    """The one output."""
    (value,) = orjson.loads(body)["outputs"].values()
    if isinstance(value, dict):
        return np.frombuffer(base64.b64decode(value["data"]["buffer"]))
    return value


ROW = Row(
    "arrays",
    "10⁶ doubles in, 10⁶ out, base64 and JSON",
    "orjson/base64 alone on the same bytes",
    "≤ 2 ×",
    "`evaluate` of `2.0*x`. Ours: from sending the request over loopback to the last byte of the answer. Alone: the same "
    "bytes read with orjson into a NumPy array, doubled, and written with orjson, in-process, no network; base64 by "
    "Python's own module. “Behind a bare server”: that very function in a bare ASGI application under uvicorn, which "
    "shows what the way over the network costs by itself. A ratio of 0.5 is twice the time.",
    run,
)
