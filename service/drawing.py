"""Drawings by Graphviz: `dot` as a short-lived process that can do no harm.

A layout may take for ever (over 40 s for 200 densely connected nodes), so every run has a time limit, a limit of memory
and of what it may write, and only a few run at once. The process gets the text on its standard input and nothing else:
no environment of ours, no files to load, no terminal. It leads a process group of its own, which is killed as a whole
when time is up or nobody waits for the drawing any more, and it is always waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

Format: TypeAlias = Literal["svg", "png"]

PROGRAM: Final = "WENGERT_DOT"
"""Environment variable that names Graphviz' `dot`, by path or by name; empty, it turns drawing off."""

AT_ONCE: Final = max(1, min(4, os.cpu_count() or 1))
"""Drawings made at the same time in one process of the server; others wait for their turn."""

MEMORY_BYTES: Final = 1 << 30
"""Address space of one `dot`: 100 MiB for the program itself, the rest for graphs and bitmaps."""

LARGEST_INCHES: Final = 120
"""Longest side of a bitmap, at 96 dots an inch; a larger drawing is scaled down to it (an SVG is not)."""

_CHUNK: Final = 1 << 16
_MOST_STDERR: Final = 4096

_log = logging.getLogger("wengert.drawing")


class DrawingError(Exception):
    """A drawing could not be made. `detail` is for the client; what `dot` said of it is in the log."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class DrawingUnavailable(DrawingError):
    """Graphviz is not installed on this server, or is turned off."""


class DrawingTimeout(DrawingError):
    """The drawing took longer than it was given, waiting for its turn included."""


class DrawingFailed(DrawingError):
    """Graphviz gave up, or drew something too large."""


def find_dot() -> str | None:
    """Path of Graphviz' `dot`, None if there is none; looked up each time, since it may be installed meanwhile."""
    return shutil.which(os.environ.get(PROGRAM, "dot"))


async def draw(dot: str, format: Format, *, timeout_s: float = 5.0, max_bytes: int = 16_000_000) -> bytes:
    """The drawing of a DOT text, as bytes of an SVG document or a PNG image.

    Raises `DrawingUnavailable` without Graphviz, `DrawingTimeout` after `timeout_s` seconds (waiting for other drawings
    included), `DrawingFailed` for text that `dot` refuses and for a drawing of more than `max_bytes` or too much
    memory. If the awaiting task is cancelled the process is killed.
    """
    program = find_dot()
    if program is None:
        raise DrawingUnavailable(
            'Graphviz is not installed on this server; the format "dot" works without it.'
        )
    try:
        async with asyncio.timeout(timeout_s), _turns():
            return await _run(program, dot.encode("utf-8", "replace"), format, timeout_s, max_bytes)
    except TimeoutError:
        raise DrawingTimeout(
            f"The drawing took longer than {timeout_s:g} s. A program with fewer nodes or fewer edges is drawn faster; "
            'the format "dot" leaves the layout to you.'
        ) from None


_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _turns() -> asyncio.Semaphore:
    """The semaphore of the running event loop: one cannot be shared between loops."""
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


def _command(program: str, format: Format) -> list[str]:
    options = [f"-T{format}", "-Gimagepath="]
    if format == "png":
        options.append(f"-Gsize={LARGEST_INCHES},{LARGEST_INCHES}")
    return [program, *options]


def _environment() -> dict[str, str]:
    """All that `dot` gets to see. Graphviz loads no files where SERVER_NAME is set and GV_FILE_PATH is not."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "SERVER_NAME": "wengert", "GV_FILE_PATH": ""}


async def _run(program: str, text: bytes, format: Format, timeout_s: float, max_bytes: int) -> bytes:
    """One run of `dot`, killed on the way out whatever the reason."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(program, format),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(),
            cwd=os.sep,
            start_new_session=True,
        )
    except OSError as error:
        _log.warning("dot does not start: %s", error)
        raise DrawingUnavailable(
            'Graphviz does not start on this server; the format "dot" works without it.'
        ) from None
    feeding = asyncio.create_task(_feed(process, text))
    saying = asyncio.create_task(_start_of(process.stderr))
    try:
        _limit(process.pid, timeout_s)
        drawn = await _all_of(process.stdout, max_bytes)
        message = (await saying).decode("utf-8", "replace").strip()
        code = await process.wait()
    finally:
        await _end(process)
        feeding.cancel()
        saying.cancel()
        await asyncio.gather(feeding, saying, return_exceptions=True)
    # Some versions say on standard error that memory ran out, and succeed all the same with half a drawing or none.
    if code != 0 or not drawn or "out of memory" in message:
        _log.warning("dot failed with code %s: %s", code, message or "no message")
        raise DrawingFailed(
            "Graphviz could not make the drawing; it may be too large for this server. "
            'The format "dot" leaves the layout to you.'
        )
    return drawn


def _limit(pid: int, timeout_s: float) -> None:
    """Limits of memory, processor time and core files for a process that has just been started and waits for its input.

    From outside, since a function that runs between fork and exec may deadlock in a server with threads. Only Linux can
    do that; elsewhere the limits of time and output must do.
    """
    if sys.platform != "linux":
        return
    import resource

    seconds = math.ceil(timeout_s) + 1
    wanted = (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    )
    for which, most in wanted:
        # Gone already, or forbidden by the container: nothing that the other limits do not hold as well.
        with contextlib.suppress(OSError, ValueError):
            hard = resource.prlimit(pid, which)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, which, (most, most))


async def _feed(process: Process, text: bytes) -> None:
    """Write the text to the process, which may end before it has read all of it."""
    stdin = process.stdin
    assert stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(text)
        await stdin.drain()
    stdin.close()


async def _all_of(stream: asyncio.StreamReader | None, most: int) -> bytes:
    """Everything from a stream. Raises `DrawingFailed` as soon as it is more than `most` bytes."""
    assert stream is not None
    result = bytearray()
    while chunk := await stream.read(_CHUNK):
        result += chunk
        if len(result) > most:
            raise DrawingFailed(f"The drawing is larger than {most:,} bytes; draw fewer nodes.")
    return bytes(result)


async def _start_of(stream: asyncio.StreamReader | None) -> bytes:
    """The beginning of a stream; the rest is read and dropped, so that the process does not wait for a reader."""
    assert stream is not None
    result = b""
    while chunk := await stream.read(_CHUNK):
        result = (result + chunk)[:_MOST_STDERR]
    return result


async def _end(process: Process) -> None:
    """Kill what is left of a process and its group, and wait for it, even while being cancelled."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        waiting = asyncio.ensure_future(process.wait())
        while not waiting.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(waiting)
