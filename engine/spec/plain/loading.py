"""When the compiled reader is loaded: in a thread, once so much was read without it that it is worth the time and memory."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from typing import Any, NamedTuple

from engine.jit import cache, memory
from engine.jit.apart import NEVER, compile_apart
from engine.spec.plain.table import OpTable, make_table

log = logging.getLogger(__name__)

NATIVE = "engine.spec.plain.compiled"
WORTH = 1 << 16
"""Bytes of graphs read by the general reader after which the compiled one is loaded: about ten milliseconds of work."""


class Native(NamedTuple):
    """The module with the compiled functions, and the table of ops that they look names up in."""

    module: Any
    table: OpTable


class _State:
    """What this process has loaded. Readers take no lock: `native` is assigned once, when it is ready."""

    def __init__(self) -> None:
        self.native: Native | None = None
        self.begun = False
        self.work = 0
        self.lock = threading.Lock()


WAITED = 1 << 20
"""Bodies of so many bytes wait for the reader to be loaded: a third of a second, where the general one takes longer."""

_state = _State()


def native(length: int) -> Native | None:
    """The compiled reader, if it is there, for a body of so many bytes.

    It is loaded behind the requests; a body that the general reader would take longer for than loading does waits for it,
    where its machine code is on disk. To be called from a thread that may wait.
    """
    found = _state.native
    if found is None and length >= WAITED and not os.environ.get(NEVER) and cache.fresh():
        return load() if importlib.util.find_spec("numba") is not None else None
    if found is None and not _state.begun:
        # Counts from several threads may be lost, which only puts off what is not urgent.
        _state.work += length
        if _state.work >= WORTH:
            _load_behind()
    return found


def load() -> Native | None:
    """Load the compiled reader now, compiling it if need be; None where that cannot be. For tests and benchmarks."""
    with _state.lock:
        _state.begun = True
        if _state.native is None and not os.environ.get(NEVER):
            _state.native = _import()
        return _state.native


def _load_behind() -> None:
    with _state.lock:
        if _state.begun:
            return
        _state.begun = True
    if not os.environ.get(NEVER):
        threading.Thread(target=_behind, name="reader-loader", daemon=True).start()


def _behind() -> None:
    if importlib.util.find_spec("numba") is None or not compile_apart():
        return
    found = _import()
    with _state.lock:
        _state.native = found
    memory.give_back()


def _import() -> Native | None:
    try:
        module = cache.load_module(NATIVE)
        return Native(module, make_table(module))
    except Exception:  # whatever keeps Numba from loading, the general reader serves
        log.warning("the compiled reader could not be loaded; the general one serves", exc_info=True)
        return None
