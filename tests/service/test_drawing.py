"""Graphviz as a child process: what it may do, and that nothing of it is left behind.

Most tests put a shell script in the place of `dot`, which shows what is done with a process better than `dot` itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine import ops  # noqa: F401  # fills the registry
from engine.language import parse_text
from engine.render.dot import to_dot
from service import drawing
from service.drawing import (
    DrawingError,
    DrawingFailed,
    DrawingTimeout,
    DrawingUnavailable,
    draw,
    find_dot,
)

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None and os.environ.get("WENGERT_REQUIRE_TOOLS") != "1",
    reason="Graphviz is not installed",
)
pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and shell scripts are POSIX")

Fake = Callable[[str], None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a shell script in the place of `dot`."""

    def make(script: str) -> None:
        path = tmp_path / "dot"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv(drawing.PROGRAM, str(path))

    return make


def run(dot: str = "digraph {}", form: str = "svg", **options: float) -> bytes:
    return asyncio.run(draw(dot, form, **options))  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not waited for by whoever adopted it does not."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (ProcessLookupError, FileNotFoundError):
        return False


def soon(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# ------------------------------------------------------------------------------------------------------ with Graphviz


@needs_dot
def test_drawings() -> None:
    dot = to_dot(parse_text("(x + y) * z"))
    root = ElementTree.fromstring(run(dot))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {"x", "y", "z", "t1", "t2", "+", "*"} <= set(root.itertext())
    assert run(dot, "png").startswith(b"\x89PNG\r\n\x1a\n")


@needs_dot
def test_a_layout_that_takes_too_long() -> None:
    edges = ";".join(f"a{i}->a{j}" for i in range(200) for j in range(i) if i * j % 7)
    start = time.monotonic()
    with pytest.raises(DrawingTimeout, match=r"0\.5 s"):
        run(f"digraph {{{edges}}}", timeout_s=0.5)
    assert time.monotonic() - start < 5


@needs_dot
def test_no_file_is_loaded(tmp_path: Path) -> None:
    image = tmp_path / "image.svg"
    image.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', encoding="utf-8")
    drawn = run(f'digraph {{ a [image="{image}"] }}')
    assert b"<image" not in drawn
    assert str(tmp_path).encode() not in drawn


@needs_dot
def test_bitmaps_have_a_size() -> None:
    names = " -> ".join(f"n{k}" for k in range(300))
    png = run(f"digraph {{ rankdir=LR; {names} }}", "png", timeout_s=60)
    width, height = (int.from_bytes(png[k : k + 4], "big") for k in (16, 20))
    assert 1000 < width <= 96 * drawing.LARGEST_INCHES + 1
    assert height < 200


@needs_dot
def test_text_that_is_no_graph() -> None:
    with pytest.raises(DrawingFailed):
        run("digraph {")


# --------------------------------------------------------------------------------------------------------- without


@pytest.mark.parametrize("name", ["", "no-such-program"])
def test_without_graphviz(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(drawing.PROGRAM, name)
    assert find_dot() is None
    with pytest.raises(DrawingUnavailable, match="not installed"):
        run()


def test_a_program_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dot"
    path.write_bytes(b"\x7fELF but not really")
    path.chmod(0o755)
    monkeypatch.setenv(drawing.PROGRAM, str(path))
    with pytest.raises(DrawingUnavailable, match="does not start"):
        run()


# --------------------------------------------------------------------------------------------- what the process gets


def test_input_output_and_arguments(fake: Fake) -> None:
    fake('echo "$@"; cat')
    assert run("digraph { ä }") == b"-Tsvg -Gimagepath=\ndigraph { \xc3\xa4 }"
    assert run("", "png").startswith(b"-Tpng ")


def test_environment(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WENGERT_SECRET", "hush")
    fake("cat > /dev/null; pwd; env")
    shown = run().decode().splitlines()
    assert shown[0] == os.sep
    names = {line.partition("=")[0] for line in shown[1:]}
    assert names <= {"PATH", "LANG", "SERVER_NAME", "GV_FILE_PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    assert {"SERVER_NAME=wengert", "GV_FILE_PATH="} <= set(shown)


@pytest.mark.skipif(sys.platform != "linux", reason="limits can be set from outside on Linux only")
def test_limits_of_memory_and_processor_time(fake: Fake) -> None:
    fake("cat > /dev/null; ulimit -v; ulimit -t; ulimit -c")
    memory, seconds, core = run(timeout_s=20).split()
    assert int(memory) <= drawing.MEMORY_BYTES // 1024
    assert int(seconds) <= 21
    assert core == b"0"


# ------------------------------------------------------------------------------------------------- what can go wrong


def test_failures_are_logged_and_not_told(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake("cat > /dev/null; echo half; echo the reason >&2; exit 3")
    with caplog.at_level(logging.WARNING), pytest.raises(DrawingFailed) as caught:
        run()
    assert "code 3: the reason" in caplog.text
    assert "reason" not in caught.value.detail
    assert isinstance(caught.value, DrawingError)


@pytest.mark.parametrize("script", ["cat > /dev/null", "cat; echo 'dot: failure: out of memory' >&2"])
def test_success_without_a_drawing_is_a_failure(fake: Fake, script: str) -> None:
    fake(script)
    with pytest.raises(DrawingFailed):
        run()


def test_output_is_bounded(fake: Fake) -> None:
    fake("cat > /dev/null; while :; do echo 0123456789012345678901234567890123456789; done")
    with pytest.raises(DrawingFailed, match="100,000 bytes"):
        run(max_bytes=100_000, timeout_s=60)


def test_messages_are_bounded_and_never_block(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake(
        "cat > /dev/null; i=0; while [ $i -lt 20000 ]; do echo 012345678901234567890 >&2; i=$((i+1)); done; exit 1"
    )
    with caplog.at_level(logging.WARNING), pytest.raises(DrawingFailed):
        run(timeout_s=60)
    assert len(caplog.text) < 8000


def test_input_that_is_not_read(fake: Fake) -> None:
    fake("exec < /dev/null; echo done")
    assert run("x" * 3_000_000, timeout_s=60) == b"done\n"


# ------------------------------------------------------------------------------------------------- nothing is left

SLOW = "sleep 100 & echo $$ $! > {path}.tmp; mv {path}.tmp {path}; sleep 100"


def pids(path: Path) -> list[int]:
    assert soon(path.exists)
    return [int(pid) for pid in path.read_text(encoding="utf-8").split()]


def test_at_the_time_limit_the_whole_group_is_killed(fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    fake(SLOW.format(path=path))
    start = time.monotonic()
    with pytest.raises(DrawingTimeout):
        run(timeout_s=1.5)
    assert time.monotonic() - start < 10
    assert soon(lambda: not any(map(alive, pids(path))))


def test_a_cancelled_task_kills_it_and_waits(fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    fake(SLOW.format(path=path))

    async def cancel() -> None:
        task = asyncio.create_task(draw("", "svg", timeout_s=100))
        leader, child = await asyncio.to_thread(pids, path)
        assert os.getpgid(leader) == os.getpgid(child) == leader
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    with pytest.raises(ChildProcessError):
        os.waitpid(pids(path)[0], os.WNOHANG)  # waited for already: no zombie
    assert soon(lambda: not any(map(alive, pids(path))))


def test_too_much_output_kills_it(fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    fake("echo 0123456789; " + SLOW.format(path=path))
    with pytest.raises(DrawingFailed):
        run(max_bytes=5, timeout_s=60)
    assert not path.exists() or soon(lambda: not any(map(alive, pids(path))))


# ------------------------------------------------------------------------------------------------------- a few at once


def test_only_so_many_at_once(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setattr(drawing, "AT_ONCE", 2)
    fake(f"cat; echo start >> {log}; sleep 0.3; echo end >> {log}")

    async def several() -> list[bytes]:
        return await asyncio.gather(*(draw(str(k), "svg", timeout_s=60) for k in range(5)))

    assert asyncio.run(several()) == [b"0", b"1", b"2", b"3", b"4"]
    running, most = 0, 0
    for line in log.read_text(encoding="utf-8").split():
        running += 1 if line == "start" else -1
        most = max(most, running)
    assert most == 2
    # Each event loop has its own turns.
    assert asyncio.run(several()) == [b"0", b"1", b"2", b"3", b"4"]


def test_waiting_counts(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "AT_ONCE", 1)
    fake("cat; sleep 2")

    async def two() -> list[bytes | BaseException]:
        first = asyncio.create_task(draw("first", "svg", timeout_s=60))
        await asyncio.sleep(0.2)
        second = draw("second", "svg", timeout_s=0.3)
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(two())
    assert first == b"first"
    assert isinstance(second, DrawingTimeout)
