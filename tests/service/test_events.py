"""Answers as streams of events, from a verb made for the purpose, over real connections."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from engine.cost import Cost
from engine.errors import DeadlineExceeded, InvalidField, Where
from engine.execute.meter import Meter
from service import events
from service.app import create_app
from service.media import EVENTS, JSON
from service.protocol import Protocol
from service.routes.verbs import Verb
from service.settings import Settings
from service.work import Report, Work
from tests.service.conftest import PRODUCT, Json, check_problem

ACCEPT = {"accept": EVENTS}


class Counting:
    """A job that does what the test says, and notes how it ended."""

    cached = False
    seconds = 0.0
    peak_bytes = 0
    cost = Cost(0, 0.0, 0)

    def __init__(self, act: Callable[[Meter, Report], Json]) -> None:
        self.act = act
        self.ended = threading.Event()
        self.how: str = ""
        self.reported = 0

    def run(self, meter: Meter, report: Report | None = None) -> Json:
        def told(fields: Mapping[str, Any]) -> None:
            self.reported += 1
            if report is not None:
                report(fields)

        try:
            found = self.act(meter, told)
            self.how = "done"
        except BaseException as error:
            self.how = type(error).__name__
            raise
        finally:
            self.ended.set()
        return found


class Served:
    """The application on a port, in a thread of this process, with the verb `count`."""

    def __init__(self, **settings: Any) -> None:
        self.app = create_app(
            Settings(
                **{"access_log": False, "_env_file": None, "store": "memory:", "timeout_s": 10, **settings}
            )
        )
        self.job = Counting(lambda meter, report: {})
        self.planned: Exception | None = None
        served = self

        class CountWork(Work):
            def make_plan(self) -> None:
                if served.planned is not None:
                    raise served.planned
                self.job = served.job  # type: ignore[assignment]

            def learn(self) -> None:
                """It is no verb that skeletons are made for."""

        verb = Verb("evaluate", (JSON, EVENTS), self.app.state.services)
        verb.kind = CountWork
        self.app.state.shortcuts["/v1/count"] = verb
        config = uvicorn.Config(
            self.app,
            port=0,
            http=Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)

    def does(self, act: Callable[[Meter, Report], Json]) -> Counting:
        self.planned = None
        self.job = Counting(act)
        return self.job

    def events(self, **headers: str) -> list[Json]:
        response = self.http.post("/v1/count", json=PRODUCT, headers={**ACCEPT, **headers})
        assert response.status_code == 200, response.text
        return parsed(response.text)

    @contextmanager
    def stream(self, path: str = "/v1/count") -> Iterator[httpx.Response]:
        with self.http.stream("POST", path, json=PRODUCT, headers=ACCEPT) as response:
            yield response

    def stop(self) -> None:
        self.http.close()
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.stop()


def parsed(text: str) -> list[Json]:
    """Events as the specification has them read: blocks of lines, comments aside."""
    assert text.endswith("\n\n")
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = [line.partition(": ")[::2] for line in block.split("\n")]
        fields = {name: value for name, value in lines if name}
        if fields:
            assert fields.keys() <= {"event", "data", "id"}
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def iterations(n: int, wait: float = 0.0) -> Callable[[Meter, Report], Json]:
    def act(meter: Meter, report: Report) -> Json:
        for k in range(n):
            meter.look()
            report({"iteration": k, "value": 1 / (k + 1)})
            time.sleep(wait)
        return {"status": "converged", "iterations": n}

    return act


def wait_for(job: Counting, seconds: float = 5.0) -> str:
    assert job.ended.wait(seconds), "the job is still at it"
    time.sleep(0.01)
    return job.how


def test_each_iteration_then_the_result(served: Served) -> None:
    served.does(iterations(5))
    found = served.events()
    assert [e["event"] for e in found] == ["iteration"] * 5 + ["result"]
    assert [e["id"] for e in found[:5]] == ["0", "1", "2", "3", "4"]
    assert found[1]["data"] == {"iteration": 1, "value": 0.5}
    assert found[-1]["data"] == {"status": "converged", "iterations": 5}


def test_events_come_as_they_happen(served: Served) -> None:
    go = threading.Event()

    def act(meter: Meter, report: Report) -> Json:
        report({"iteration": 0})
        assert go.wait(5)
        report({"iteration": 1})
        return {}

    job = served.does(act)
    with served.stream() as response:
        lines = response.iter_lines()
        assert next(lines) == "event: iteration"
        assert not job.ended.is_set()
        go.set()
        assert "event: result" in list(lines)


def test_headers(served: Served) -> None:
    served.does(iterations(1))
    response = served.http.post("/v1/count", json=PRODUCT, headers={**ACCEPT, "x-request-id": "mine"})
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["vary"] == "Accept"
    assert response.headers["x-request-id"] == "mine"
    assert "wengert-version" in response.headers
    assert "content-length" not in response.headers


def test_without_events_it_is_one_answer(served: Served) -> None:
    job = served.does(iterations(3))
    response = served.http.post("/v1/count", json=PRODUCT)
    assert response.json() == {"status": "converged", "iterations": 3}
    assert response.headers["vary"] == "Accept"
    assert job.reported == 3
    assert served.http.post("/v1/grad", json=PRODUCT, headers=ACCEPT).status_code == 406


def test_by_id_and_by_a_strange_path(served: Served) -> None:
    made = served.http.post("/v1/graphs", json={"expression": PRODUCT["expression"], "name": "p"})
    assert made.status_code == 201
    served.does(iterations(2))
    response = served.http.post("/v1/graphs/p/count", json={"inputs": PRODUCT["inputs"]}, headers=ACCEPT)
    assert [e["event"] for e in parsed(response.text)] == ["iteration", "iteration", "result"]


def test_numbers_that_are_not_finite(served: Served) -> None:
    def act(meter: Meter, report: Report) -> Json:
        point = np.array([1.0, np.nan])
        report({"value": np.float64("inf"), "point": {"x": point, "s": np.float32(0.1)}})
        point[:] = 7.0  # what was reported stays as it was
        return {"value": -np.inf, "values": np.full(3, np.nan)}

    served.does(act)
    first, result = served.events()
    assert first["id"] == "0"
    assert first["data"] == {"value": "Infinity", "point": {"x": [1.0, "NaN"], "s": 0.1}}
    assert result["data"] == {"value": "-Infinity", "values": ["NaN", "NaN", "NaN"]}


def test_long_results(served: Served) -> None:
    x = np.linspace(0, 1, 300_000)
    served.does(lambda meter, report: {"x": x, "y": {"x": x[:3]}})
    (result,) = served.events()
    assert result["event"] == "result"
    assert result["data"] == {"x": x.tolist(), "y": {"x": x[:3].tolist()}}


# ------------------------------------------------------------------------------------------------------------ problems


def failing(after: int, error: Exception) -> Callable[[Meter, Report], Json]:
    def act(meter: Meter, report: Report) -> Json:
        for k in range(after):
            report({"iteration": k})
        raise error

    return act


WRONG = InvalidField("That will not do.", where=Where(pointer="/options"))


def test_what_is_wrong_before_is_an_ordinary_problem(served: Served) -> None:
    served.does(iterations(1))
    served.planned = WRONG
    found = check_problem(served.http.post("/v1/count", json=PRODUCT, headers=ACCEPT), 422, "invalid-field")
    assert found["pointer"] == "/options"
    served.does(failing(0, WRONG))
    check_problem(served.http.post("/v1/count", json=PRODUCT, headers=ACCEPT), 422, "invalid-field")
    response = served.http.post("/v1/count", json={"expression": "x"}, headers=ACCEPT)
    assert response.status_code == 422
    response = served.http.post("/v1/count", content=b"{", headers={**ACCEPT, "content-type": JSON})
    check_problem(response, 400, "invalid-json")
    response = served.http.post("/v1/count", content=b"{}", headers={**ACCEPT, "content-type": "text/plain"})
    check_problem(response, 415, "unsupported-media-type")


def test_what_goes_wrong_later_is_an_event(served: Served) -> None:
    served.does(failing(2, WRONG))
    *told, last = served.events()
    assert [e["event"] for e in told] == ["iteration"] * 2
    assert last["event"] == "problem"
    assert last["data"]["type"] == "/problems/invalid-field"
    assert last["data"]["status"] == 422
    assert last["data"]["instance"] == "/v1/count"
    assert last["data"]["errors"][0]["pointer"] == "/options"


def test_a_bug_is_an_event_and_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.does(failing(1, RuntimeError("bug\n\nevent: result\ndata: {}")))
    last = served.events(**{"x-request-id": "broken"})[-1]
    assert last["event"] == "problem"
    assert last["data"]["status"] == 500
    assert "broken" in last["data"]["detail"]
    assert "bug" in caplog.text


def test_the_deadline(served: Served) -> None:
    job = served.does(iterations(10_000, 0.01))
    *told, last = served.events(**{"x-request-timeout": "0.3"})
    assert told
    assert last["event"] == "problem"
    assert last["data"]["status"] == 504
    assert wait_for(job) in ("DeadlineExceeded", "Cancelled")


def test_a_job_may_end_by_itself(served: Served) -> None:
    """A little before the deadline, with what it has: there is no problem then."""

    def act(meter: Meter, report: Report) -> Json:
        assert meter.deadline is not None
        with suppress(DeadlineExceeded):
            iterations(10_000, 0.01)(Meter(meter.deadline - 0.2, meter.cancelled), report)
        return {"status": "deadline"}

    served.does(act)
    found = served.events(**{"x-request-timeout": "0.6"})
    assert len(found) > 2
    assert found[-1] == {"event": "result", "data": {"status": "deadline"}}


# ------------------------------------------------------------------------------------------------------- slow and gone


def test_the_work_stops_when_the_client_goes(served: Served) -> None:
    job = served.does(iterations(100_000, 0.005))
    with served.stream() as response:
        next(response.iter_lines())
    start = time.monotonic()
    assert wait_for(job) == "Cancelled"
    assert time.monotonic() - start < 1.0
    served.does(iterations(1))
    assert len(served.events()) == 2


def test_the_work_stops_when_a_silent_client_goes(served: Served) -> None:
    """Before anything was sent, and while more waits than it takes."""
    for act in (
        lambda meter, report: until_cancelled(meter),
        lambda meter, report: [report({"iteration": 0, "x": "x" * 10_000_000}), until_cancelled(meter)][1],
    ):
        job = served.does(act)
        connection = asked(served)
        time.sleep(0.2)
        assert not job.ended.is_set()
        connection.close()
        assert wait_for(job, 1.0) == "Cancelled"


def until_cancelled(meter: Meter) -> Json:
    while True:
        meter.look()
        time.sleep(0.002)


def asked(served: Served) -> socket.socket:
    """A connection on which a request was sent, and nothing is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", served.port))
    body = json.dumps(PRODUCT).encode()
    head = f"POST /v1/count HTTP/1.1\r\nHost: localhost\r\nAccept: {EVENTS}\r\nContent-Type: {JSON}\r\n"
    connection.sendall(head.encode() + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    return connection


def test_a_slow_client_holds_nobody_up(served: Served) -> None:
    """The computation goes on, what waits is bounded, and the last iteration and the result arrive all the same."""
    count = 20_000
    padding = "x" * 400

    def act(meter: Meter, report: Report) -> Json:
        for k in range(count):
            report({"iteration": k, "padding": padding})
        return {"iterations": count}

    job = served.does(act)
    connection = asked(served)
    assert wait_for(job, 10.0) == "done"
    time.sleep(0.2)
    received = b""
    connection.settimeout(10)
    while data := connection.recv(1 << 16):
        received += data
    connection.close()
    text = unchunked(received.partition(b"\r\n\r\n")[2]).decode()
    found = parsed(text)
    ids = [int(e["id"]) for e in found[:-1]]
    assert ids == sorted(set(ids))
    assert ids[0] == 0
    assert ids[-1] == count - 1
    assert len(ids) < count
    assert len(text) < 8_000_000 < count * len(padding) * 1.01
    assert found[-1] == {"event": "result", "data": {"iterations": count}}


def unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        found, data = found + data[:n], data[n + 2 :]
    return found


def test_what_waits_is_bounded() -> None:
    async def main() -> None:
        waiting = events.Waiting(lambda fields: json.dumps(fields).encode())
        for k in range(5000):
            waiting.report({"iteration": k})
        ids = [int(e["id"]) for e in parsed(waiting.take().decode())]
        assert ids == [*range(events.MOST_EVENTS - 1), 4999]
        for k in range(50):
            waiting.report({"iteration": k, "data": "x" * 100_000})
        taken = waiting.take()
        assert len(taken) < events.MOST_BYTES + 200_000
        assert parsed(taken.decode())[-1]["id"] == "49"
        waiting.report({"data": "x" * 2 * events.MOST_BYTES})  # one event may be longer
        waiting.report({"iteration": 1})
        assert [e["id"] for e in parsed(waiting.take().decode())] in (["5050", "1"], ["1"])
        assert waiting.take() == b""

    asyncio.run(main())


def test_reports_from_a_thread_wake_the_loop() -> None:
    async def main() -> None:
        waiting = events.Waiting(lambda fields: json.dumps(fields).encode())
        thread = threading.Thread(target=lambda: [waiting.report({"k": k}) for k in range(2000)])
        thread.start()
        seen: list[int] = []
        while not seen or seen[-1] < 1999:
            await asyncio.wait_for(waiting.there.wait(), 5)
            taken = waiting.take()
            seen += [int(e["id"]) for e in parsed(taken.decode())] if taken else []
        thread.join()
        assert seen == sorted(set(seen))

    asyncio.run(main())


def test_silence_is_filled(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.05)

    def act(meter: Meter, report: Report) -> Json:
        time.sleep(0.3)
        return {}

    served.does(act)
    text = served.http.post("/v1/count", json=PRODUCT, headers=ACCEPT).text
    assert text.startswith(": ")
    assert text.count(": still computing\n\n") >= 2
    assert parsed(text) == [{"event": "result", "data": {}}]
    served.does(failing(0, WRONG))

    def late(meter: Meter, report: Report) -> Json:
        time.sleep(0.2)
        raise WRONG

    served.does(late)
    assert [e["event"] for e in served.events()] == ["problem"]


def test_overload_is_refused_with_its_status() -> None:
    served = Served(threads=1, queue=0)
    try:
        job = served.does(lambda meter, report: until_cancelled(meter))
        connection = asked(served)
        time.sleep(0.2)
        response = served.http.post("/v1/count", json=PRODUCT, headers=ACCEPT)
        check_problem(response, 503, "overloaded")
        assert response.headers["retry-after"]
        connection.close()
        assert wait_for(job, 1.0) == "Cancelled"
    finally:
        served.stop()


def test_a_stream_is_finished_at_shutdown() -> None:
    served = Served()
    served.does(iterations(40, 0.02))
    with served.stream() as response:
        lines = response.iter_lines()
        next(lines)
        served.server.should_exit = True
        rest = list(lines)
    assert "event: result" in rest
    served.stop()


# ---------------------------------------------------------------------------------------------------------- minimize

BANANA = {"expression": "(1 - x)**2 + 100*(y - x**2)**2", "start": {"x": -1.2, "y": 1}, "record": True}


def test_minimize_shows_each_iteration(served: Served) -> None:
    response = served.http.post("/v1/minimize", json=BANANA, headers=ACCEPT)
    assert response.status_code == 200, response.text
    *told, last = parsed(response.text)
    plain = served.http.post("/v1/minimize", json=BANANA).json()
    assert last == {"event": "result", "data": plain}
    assert [e["data"] for e in told] == plain["history"]
    assert [e["id"] for e in told] == [str(entry["iteration"]) for entry in plain["history"]]
    assert plain["status"] == "converged"


def test_parts_that_are_added_come_with_the_result(served: Served) -> None:
    body = {**BANANA, "record": False, "include": ["dot", "timing"]}
    *_, last = parsed(served.http.post("/v1/minimize", json=body, headers=ACCEPT).text)
    assert last["data"]["dot"].startswith("digraph")
    assert last["data"]["timing"]["run_ms"] > 0


def test_the_documentation_says_what_is_streamed(served: Served) -> None:
    document = served.http.get("/openapi.json").json()
    content = document["paths"]["/v1/minimize"]["post"]["responses"]["200"]["content"]
    assert "iteration" in content[EVENTS]["schema"]["description"]
    assert EVENTS not in document["paths"]["/v1/grad"]["post"]["responses"]["200"]["content"]


def test_json_is_preferred_where_both_will_do(served: Served) -> None:
    response = served.http.post("/v1/minimize", json=BANANA, headers={"accept": f"{JSON}, {EVENTS}"})
    assert response.headers["content-type"] == JSON


def test_minimize_has_problems_of_its_own(served: Served) -> None:
    body = {**BANANA, "method": "gd", "options": {"learning_rat": 1}}
    check_problem(served.http.post("/v1/minimize", json=body, headers=ACCEPT), 422, "unknown-field")


def test_minimize_ends_at_its_deadline(served: Served) -> None:
    body = {
        **BANANA,
        "method": "gd",
        "options": {"learning_rate": 1e-9, "max_iterations": 1_000_000},
        "record": False,
    }
    found = served.http.post("/v1/minimize", json=body, headers={**ACCEPT, "x-request-timeout": "1"})
    last = parsed(found.text)[-1]
    assert last["event"] == "result"
    assert last["data"]["status"] == "deadline"


def test_minimize_stops_when_the_client_goes(served: Served) -> None:
    body = {**BANANA, "method": "gd", "options": {"learning_rate": 1e-9, "max_iterations": 1_000_000}}
    admission = served.app.state.services.admission
    with served.http.stream("POST", "/v1/minimize", json=body, headers=ACCEPT) as response:
        next(response.iter_lines())
        assert admission.admitted == 1
    end = time.monotonic() + 1.0
    while admission.admitted and time.monotonic() < end:
        time.sleep(0.01)
    assert admission.admitted == 0
