"""Who may compute: deadlines, refusals, and clients that go."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from engine.errors import DeadlineExceeded, EngineError, InvalidArray
from service.admission import Admission, Ticket, unless_gone
from service.problems import Problem
from tests.service.conftest import PRODUCT, Client, check_problem, heavy


class Receive:
    """A client that waits, and goes when told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def __call__(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def admission() -> Iterator[Admission]:
    made = Admission(threads=2, queue=1)
    yield made
    made.close()


def work_until(stop: Callable[[], bool], ticket: Ticket) -> str:
    meter = ticket.meter()
    while not stop():
        meter.look()
        time.sleep(0.002)
    return "done"


def test_results_and_errors(admission: Admission) -> None:
    async def main() -> None:
        assert await admission.run(lambda: 42, Ticket(5), Receive()) == 42

        def fail() -> None:
            raise InvalidArray("no")

        with pytest.raises(InvalidArray):
            await admission.run(fail, Ticket(5), Receive())
        await asyncio.sleep(0.02)
        assert admission.admitted == 0

    asyncio.run(main())


def test_the_deadline_stops_the_work(admission: Admission) -> None:
    async def main() -> None:
        ticket = Ticket(0.1)
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="stopped"):
            await admission.run(lambda: work_until(lambda: False, ticket), ticket, Receive())
        assert time.monotonic() - start < 2
        await asyncio.sleep(0.1)
        assert admission.admitted == 0

    asyncio.run(main())


def test_work_that_does_not_look_at_the_clock_is_left_behind(admission: Admission) -> None:
    """The answer comes in time; the thread stays taken until the work ends."""

    async def main() -> None:
        release = threading.Event()
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await admission.run(lambda: release.wait(10), Ticket(0.1), Receive())
        assert time.monotonic() - start < 2
        assert admission.admitted == 1
        release.set()
        await asyncio.sleep(0.1)
        assert admission.admitted == 0

    asyncio.run(main())


def test_a_client_that_goes_stops_the_work(admission: Admission) -> None:
    async def main() -> None:
        receive, ticket, started, ended = Receive(), Ticket(30), threading.Event(), threading.Event()

        def job() -> str:
            started.set()
            try:
                return work_until(lambda: False, ticket)
            finally:
                ended.set()

        task = asyncio.create_task(admission.run(job, ticket, receive))
        assert await asyncio.to_thread(started.wait, 5)
        receive.gone.set()
        with pytest.raises(ClientDisconnect):
            await task
        assert await asyncio.to_thread(ended.wait, 1)

    asyncio.run(main())


def test_what_is_too_much_is_refused_at_once(admission: Admission) -> None:
    async def main() -> None:
        stop = threading.Event()
        tickets = [Ticket(30) for _ in range(3)]
        tasks = [
            asyncio.create_task(admission.run(lambda t=t: work_until(stop.is_set, t), t, Receive()))
            for t in tickets
        ]
        await asyncio.sleep(0.05)
        assert admission.admitted == 3
        start = time.monotonic()
        with pytest.raises(Problem) as refused:
            await admission.run(lambda: 1, Ticket(30), Receive())
        assert time.monotonic() - start < 0.05
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) >= 1
        stop.set()
        assert await asyncio.gather(*tasks) == ["done"] * 3
        await asyncio.sleep(0.05)
        assert admission.admitted == 0
        assert await admission.run(lambda: 1, Ticket(30), Receive()) == 1

    asyncio.run(main())


def test_who_goes_while_waiting_never_runs(admission: Admission) -> None:
    async def main() -> None:
        stop, ran, receive = threading.Event(), [], Receive()
        busy = [
            asyncio.create_task(
                admission.run(lambda: work_until(stop.is_set, Ticket(30)), Ticket(30), Receive())
            )
            for _ in range(2)
        ]
        waiting = asyncio.create_task(admission.run(lambda: ran.append(1), Ticket(30), receive))
        await asyncio.sleep(0.05)
        receive.gone.set()
        with pytest.raises(ClientDisconnect):
            await waiting
        stop.set()
        await asyncio.gather(*busy)
        await asyncio.sleep(0.05)
        assert not ran
        assert admission.admitted == 0

    asyncio.run(main())


def test_other_work_is_cancelled_when_the_client_goes() -> None:
    async def main() -> None:
        assert await unless_gone(asyncio.sleep(0, "x"), Receive()) == "x"
        receive, cancelled = Receive(), False

        async def slow() -> None:
            nonlocal cancelled
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled = True
                raise

        task = asyncio.create_task(unless_gone(slow(), receive))
        await asyncio.sleep(0.01)
        receive.gone.set()
        with pytest.raises(ClientDisconnect):
            await task
        assert cancelled

    asyncio.run(main())


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize(
    "body",
    [
        {"expression": "x + y", "inputs": {"x": [1, 2], "y": [1, 2, 3]}},
        {"expression": "x", "inputs": {"x": None}},
        {"expression": "$", "inputs": {"x": 1}},
        {"graph": {"nodes": [1]}},
    ],
)
def test_errors_keep_nothing_alive(client: Client, body: dict[str, Any], size: int) -> None:
    """What a refused request held is freed at once, not when the garbage collector comes by."""

    def errors() -> int:
        return sum(issubclass(type(o), Problem | EngineError) for o in gc.get_objects())

    data = json.dumps(body).ljust(size)
    gc.collect()
    gc.disable()
    try:
        before = errors()
        for _ in range(3):
            assert (
                client.post(
                    "/v1/grad", content=data, headers={"content-type": "application/json"}
                ).status_code
                == 422
            )
        end = time.monotonic() + 2  # the thread may still be at its last line
        while errors() > before and time.monotonic() < end:
            time.sleep(0.01)
        assert errors() <= before
    finally:
        gc.enable()


def test_time_is_limited_by_the_request(client: Client) -> None:
    start = time.monotonic()
    response = client.post("/v1/grad", json=heavy(60), headers={"x-request-timeout": "0.05"})
    found = check_problem(response, 504, "timeout")
    assert "0.05 s" in found["detail"]
    tiny = client.post("/v1/grad", json=PRODUCT, headers={"x-request-timeout": "5e-324"})
    check_problem(tiny, 504, "timeout")
    assert time.monotonic() - start < 5
