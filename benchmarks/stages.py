"""Where a request of the row `rosenbrock` goes: stages in microseconds, in this process, without a network.

    python -m benchmarks.stages

Each stage is timed by itself on requests that are known (warm, best of several runs), so their sum is a little more or less
than the whole. "Bare ASGI" is uvicorn's own protocol with an application that computes and reads nothing."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from benchmarks.http_load import post
from benchmarks.rows.rosenbrock import TEXT, body
from benchmarks.serving import nothing

DATE = (b"date", b"Tue, 01 Jan 2030 00:00:00 GMT")


class Sink(asyncio.Transport):
    """What a protocol writes to."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 9)})
        self.last = b""

    def write(self, data: Any) -> None:
        """Keep the last piece."""
        self.last = data

    def is_closing(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Nothing."""

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""


def best(call: Callable[[], Any], number: int = 500) -> float:
    """Microseconds of a call."""
    call()
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


async def bare(n: int) -> float:
    """Microseconds of a request in uvicorn's own protocol and its task. (asyncio's own loop; its idle turns are taken off.)"""
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    config = Config(nothing.app, access_log=False, log_config=None, ws="none")
    config.load()
    protocol = HttpToolsProtocol(config, ServerState(), {})
    protocol.connection_made(Sink())
    request = post("/", body(np.linspace(-1.0, 1.0, n).tolist(), expression=TEXT))

    async def many(count: int) -> float:
        start = asyncio.get_running_loop().time()
        for k in range(count):
            protocol.data_received(request)
            await asyncio.sleep(0)
            if k == 0 and not protocol.cycle.response_complete:
                raise AssertionError("one turn of the loop is not enough")
        return (asyncio.get_running_loop().time() - start) / count * 1e6

    async def turns(count: int) -> float:
        start = asyncio.get_running_loop().time()
        for _ in range(count):
            await asyncio.sleep(0)
        return (asyncio.get_running_loop().time() - start) / count * 1e6

    return min([await many(500) for _ in range(7)]) - min([await turns(500) for _ in range(7)])


async def ours(n: int, *, by_id: bool) -> dict[str, float]:
    """Stages of a request that is known."""
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from engine.tape import machine
    from service.app import create_app
    from service.gaps import ends_of
    from service.protocol import Protocol
    from service.settings import Settings

    machine.load()
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(store=f"sqlite:{folder}/g.sqlite", access_log=False))
        async with app.router.lifespan_context(app):
            config = Config(app, access_log=False, log_config=None, ws="none")
            config.load()
            state = ServerState()
            state.default_headers = [DATE]
            Protocol.at_once = app.at_once
            protocol, sink = Protocol(config, state, {}), Sink()
            protocol.connection_made(sink)
            point = np.random.default_rng(n).uniform(-1, 1, n).tolist()

            async def ask(request: bytes) -> None:
                protocol.data_received(request)
                for _ in range(1000):
                    if protocol.cycle.response_complete:
                        return
                    await asyncio.sleep(0.001)
                raise AssertionError("no answer")

            request = post("/v1/grad", body(point, expression=TEXT))
            path = "/v1/grad"
            if by_id:
                await ask(post("/v1/graphs", {"expression": TEXT}))
                await asyncio.sleep(0.1)
                name = json.loads(sink.last[sink.last.index(b"{") :])["id"]
                path = f"/v1/graphs/{name}/grad"
                request = post(path, body(point))
            for _ in range(6):
                await ask(request)
            head, end = protocol.heads[0], request.index(b"\r\n\r\n") + 4
            data = request[end:]
            services = app.state.services
            key = ("grad", path.split("/")[3] if by_id else None, *(ends_of(data) or ()))
            ((skeleton,), _) = services.skeletons.kept._values[key]
            texts = skeleton._texts(data)
            values = skeleton._values(texts)
            results = skeleton._job.run(values)
            text = skeleton._template(results)
            found = {
                "head: compared with the one before": best(lambda: head.split(request)),
                "body: skeleton looked up and compared": best(
                    lambda: (
                        services.skeletons.kept.get(("grad", key[1], *ends_of(data))),
                        skeleton._texts(data),
                    )
                ),
                "numbers: read": best(lambda: skeleton._values(texts)),
                "engine: run": best(lambda: skeleton._job.run(values)),
                "answer: numbers printed, text put together": best(lambda: skeleton._template(results)),
                "answer: head": best(lambda: b"%b%d\r\n\r\n%b" % (head.begin([DATE]), len(text), text)),
            }
            if by_id:
                found["registry: one look, shared by the turn of the loop"] = best(
                    lambda: services.programs.store.find(key[1], wait=False)
                )
            found["all, from data_received to write"] = best(lambda: protocol.data_received(request))
            if len(sink.last) < len(text):
                raise AssertionError("the last request was not answered")
            protocol.connection_lost(None)
            return found


def floors(n: int) -> dict[str, float]:
    """orjson alone on the same numbers."""
    x = np.random.default_rng(n).uniform(-1, 1, n)
    text = orjson.dumps(x.tolist())
    return {
        "orjson alone: the numbers in, as a list": best(lambda: orjson.loads(text)),
        "orjson alone: as many out, from an array": best(
            lambda: orjson.dumps(x, option=orjson.OPT_SERIALIZE_NUMPY)
        ),
    }


def main() -> None:
    """All stages."""
    os.environ.setdefault("WENGERT_ACCESS_LOG", "false")
    for n in (2, 1000):
        print(f"n = {n}")
        for what, by_id in (("by expression", False), ("by id", True)):
            for stage, us in asyncio.run(ours(n, by_id=by_id)).items():
                print(f"  {what:15} {stage:55} {us:8.2f} µs")
        for stage, us in floors(n).items():
            print(f"  {'':15} {stage:55} {us:8.2f} µs")
        print(f"  {'bare ASGI':15} {'all, from data_received to write':55} {asyncio.run(bare(n)):8.2f} µs")


if __name__ == "__main__":
    main()
