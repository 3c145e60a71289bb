"""The gradient of Rosenbrock's function over HTTP: a served expression beside a Tesseract and an UM-Bridge model."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clients import Call, calls, cycle, three_lines
from benchmarks.http_load import ROOT, SERVICE, Failure, Server, Target, ask, compare, post, serving
from benchmarks.measure import Settings
from benchmarks.row import Line, Row, agree

TEXT = "sum(100.0*(x[1:] - x[:-1]**2)**2 + (1.0 - x[:-1])**2)"
NOTHING = (
    *("-m", "uvicorn", "benchmarks.serving.nothing:app", "--port={port}", "--no-access-log"),
    *("--loop=uvloop", "--http=httptools", "--log-level=warning"),
)
BARE = "bare ASGI, nothing computed"
OWN_CLIENT = {"Tesseract": "tesseract-core", "UM-Bridge": "umbridge"}


def runtime() -> str:
    """The `tesseract-runtime` of the environment that `make bench` makes for it (it does not go with our FastAPI)."""
    default = Path(sys.prefix).parent / f"{Path(sys.prefix).name}-tesseract" / "bin" / "tesseract-runtime"
    found = Path(os.environ.get("TESSERACT_RUNTIME", default))
    if not found.exists():
        raise Failure(f"There is no {found}: `make bench` installs it, or TESSERACT_RUNTIME names another.")
    return str(found)


def run(settings: Settings) -> Iterator[Line | str]:
    """n = 2 and n = 1000."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = str(Path(folder) / "graphs.sqlite")
        ours = stack.enter_context(serving(SERVICE, WENGERT_DATABASE=database))
        bridge = stack.enter_context(serving(("-m", "benchmarks.serving.umbridge_server", "{port}")))
        bare = stack.enter_context(serving(NOTHING))
        tesseract = stack.enter_context(
            serving(
                (runtime(), "serve", "--port", "{port}"),
                python=str(Path(runtime()).parent / "python"),
                TESSERACT_API_PATH=str(ROOT / "benchmarks/serving/rosenbrock/tesseract_api.py"),
                TESSERACT_OUTPUT_PATH=folder,
            )
        )
        for n in (2, 1000):
            rng = np.random.default_rng(n)
            points = [rng.uniform(-1, 1, n).tolist() for _ in range(97)]
            yield from one(n, points, ours, tesseract, bridge, bare, settings)


def one(
    n: int,
    points: list[list[float]],
    ours: Server,
    tesseract: Server,
    bridge: Server,
    bare: Server,
    settings: Settings,
) -> Iterator[Line | str]:
    """One size: the servers under load, then clients one call after another."""
    asked: dict[str, tuple[Server, str, list[Any]]] = {
        "expression": (ours, "/v1/grad", [body(x, expression=TEXT) for x in points]),
        "Tesseract": (tesseract, "/vector_jacobian_product", [tesseract_body(x) for x in points]),
        "UM-Bridge": (bridge, "/Gradient", [bridge_body(x) for x in points]),
    }
    registered = ask(ours.port, post("/v1/graphs", {"expression": TEXT}))
    if registered.status in (200, 201):
        name = json.loads(registered.body)["id"]
        asked["id"] = (ours, f"/v1/graphs/{name}/grad", [body(x) for x in points])
    else:
        yield f"No programs by id here (status {registered.status})."
    agree({k: gradient(k, ask(s.port, post(path, b[0])).body) for k, (s, path, b) in asked.items()}, 1e-12)

    # What no server in Python can do better than: the same bytes to everybody.
    asked[BARE] = (bare, "/", asked["expression"][2])
    targets = {k: Target(s, [post(path, b) for b in bodies]) for k, (s, path, bodies) in asked.items()}
    compare(targets, rounds=settings.rounds, seconds=0.2 if settings.quick else 0.5)
    mine = [k for k in ("expression", "id") if k in asked]
    for peer in OWN_CLIENT:
        for k in mine:
            yield from three_lines(
                f"n = {n}, by {k}, 16 connections", peer, targets[k], targets[peer], 4.0, 1.0
            )
    work, last = f"n = {n}, by {mine[-1]}", mine[-1]
    yield from three_lines(f"{work}, 16 connections", BARE, targets[last], targets[BARE], None, None)

    import httpx

    with httpx.Client() as client:
        sides: dict[str, tuple[Server, Call]] = {}
        for k, (server, path, bodies) in asked.items():
            url = f"http://127.0.0.1:{server.port}{path}"
            sides[k] = server, cycle([lambda u=url, b=b: read(client.post(u, json=b)) for b in bodies])
        sides["own Tesseract"] = tesseract, cycle(own_tesseract(tesseract, points))
        sides["own UM-Bridge"] = bridge, cycle(own_bridge(bridge, points))
        found = calls(sides, settings)
    yield from three_lines(f"{work}, httpx", f"{BARE}, httpx", found[last], found[BARE], None, None)
    for peer, package in OWN_CLIENT.items():
        for k in mine:
            yield from three_lines(
                f"n = {n}, by {k}, httpx", f"{peer}, httpx", found[k], found[peer], 4.0, 1.0
            )
        theirs = found[f"own {peer}"]
        for k in mine:
            yield from three_lines(
                f"n = {n}, by {k}, httpx", f"{peer}, {package}", found[k], theirs, 4.0, 1.0
            )


def read(response: Any) -> Any:
    """A JSON answer, or a failure."""
    response.raise_for_status()
    return response.json()


def body(x: list[float], **program: str) -> dict[str, Any]:
    """Our request: value and gradient."""
    return {**program, "inputs": {"x": x}, "wrt": ["x"], "nodes": "none"}


def tesseract_body(x: list[float]) -> dict[str, Any]:
    """The Tesseract's request: the gradient."""
    return {
        "inputs": {"x": x},
        "vjp_inputs": ["x"],
        "vjp_outputs": ["y"],
        "cotangent_vector": {"y": 1.0},
    }


def bridge_body(x: list[float]) -> dict[str, Any]:
    """UM-Bridge's request: the gradient."""
    return {
        "name": "rosenbrock", "outWrt": 0, "inWrt": 0, "input": [x], "sens": [1.0], "config": {"n": len(x)},
    }  # fmt: skip


def gradient(who: str, answer: bytes) -> list[float]:
    """The gradient in an answer."""
    found = json.loads(answer)
    match who:
        case "Tesseract":
            return list(found["x"]["data"]["buffer"])
        case "UM-Bridge":
            return list(found["output"])
    return list(found["gradients"]["x"])


def own_tesseract(server: Server, points: list[list[float]]) -> list[Call]:
    """Calls by the client that tesseract-core brings."""
    from tesseract_core import Tesseract

    client = Tesseract.from_url(f"http://127.0.0.1:{server.port}")
    arrays = [np.array(x) for x in points]
    return [lambda x=x: client.vector_jacobian_product({"x": x}, ["x"], ["y"], {"y": 1.0}) for x in arrays]


def own_bridge(server: Server, points: list[list[float]]) -> list[Call]:
    """Calls by the client that umbridge brings."""
    import umbridge

    model = umbridge.HTTPModel(f"http://127.0.0.1:{server.port}", "rosenbrock")
    config = {"n": len(points[0])}
    return [lambda x=x: model.gradient(0, 0, [x], [1.0], config) for x in points]


ROW = Row(
    "rosenbrock",
    "Gradient of Rosenbrock n = 2 and n = 1000 over HTTP",
    "a real Tesseract (JAX inside), a real UM-Bridge server, each with its own client and with httpx",
    "≥ 4 × throughput, lower p50 and p99",
    "Ours answers value and gradient for a posted expression, and for the id of a registered program; the Tesseract "
    "(`vector_jacobian_product`, jitted JAX, `tesseract-runtime serve`, one worker) and the UM-Bridge model (NumPy, "
    "gradient by hand) answer the gradient. Arrays as JSON lists; Tesseract's own client sends base64. 16 connections: "
    "plain sockets, one request under way each. httpx and the peers' own clients: one call after another, from Python "
    "data to Python data; their own clients are compared with ours through httpx. “Bare ASGI” answers the same few bytes "
    "to everybody, under uvicorn as we are: what a server in Python and the client cost by themselves.",
    run,
)
