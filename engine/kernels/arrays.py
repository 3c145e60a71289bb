"""The kernels for arrays of any layout. Machine code serves once it is loaded, which nobody waits for."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.aval import Array
from engine.jit import apart, cache, memory
from engine.kernels import plain

log = logging.getLogger(__name__)

MANY = 2048
"""Arrays of so many elements are worth a kernel of ours, also while it runs in NumPy."""

WORTH = 1 << 20
"""Elements computed in NumPy after which the machine code is loaded: about ten milliseconds of work."""

NATIVE = "engine.kernels.native"
STRIPS = "engine.kernels.strips"


class State:
    """What this process has loaded. Readers take no lock: `native` is assigned once, when it is ready."""

    def __init__(self) -> None:
        self.native: Any = None
        self.strips: Any = None
        self.begun = False
        self.loading = False
        self.work = 0
        self.lock = threading.Lock()


STATE = State()


def sin(x: Array, out: Array | None = None) -> Array:
    """Sine of an array of float64, to 0.8 ulp; into `out` if that is given.

    `out` may be x itself, and of a shape that x broadcasts to.
    """
    return _apply("sin", plain.sin, x, out)


def cos(x: Array, out: Array | None = None) -> Array:
    """Cosine, as `sin`."""
    return _apply("cos", plain.cos, x, out)


def _apply(name: str, passes: Callable[[Array, Array], None], x: Array, out: Array | None) -> Array:
    if out is None:
        out = np.empty_like(x, subok=False)
    elif out.shape != x.shape:
        np.copyto(out, _apply(name, passes, x, None))
        return out
    elif out is not x and np.may_share_memory(x, out):
        x = x.copy()
    here, there = x.flags, out.flags
    if here.aligned and there.aligned:
        if here.c_contiguous and there.c_contiguous:
            _compute(name, passes, x.reshape(-1), out.reshape(-1))
            return out
        if here.f_contiguous and there.f_contiguous:
            _compute(name, passes, x.T.reshape(-1), out.T.reshape(-1))
            return out
    y = np.empty(x.shape)
    np.copyto(y, x)
    _compute(name, passes, y.reshape(-1), y.reshape(-1))
    np.copyto(out, y)
    return out


def _compute(name: str, passes: Callable[[Array, Array], None], x: Array, out: Array) -> None:
    native = STATE.native
    if native is None:
        _count(len(x))
        passes(x, out)
        return
    kernel, block, n = getattr(native, name), native.BLOCK, len(x)
    at = kernel(x, out, 0)
    while at < n:
        passes(x[at : at + block], out[at : at + block])
        at = kernel(x, out, at + block)


def strips(work: int) -> Any:
    """The compiled strip machine, or None while it is not loaded; `work` is what is to be done, in elements."""
    if STATE.native is None:
        _count(work)
    return STATE.strips


def _count(elements: int) -> None:
    state = STATE
    if not state.begun:
        # Counts of threads that add at the same time may be lost, which only puts off what is not urgent.
        state.work += elements
        if state.work >= WORTH:
            _load_behind(state)


def load() -> bool:
    """Load the machine code now (compiling it here if need be), and say whether it is there. For tests and benchmarks."""
    state = STATE
    with state.lock:
        if state.native is None and not os.environ.get(apart.NEVER):
            state.native, state.strips = _import()
        state.begun = True
    return state.native is not None


def _load_behind(state: State) -> None:
    with state.lock:
        if state.begun:
            return
        state.loading = apart.wanted()
        state.begun = True
    if state.loading:
        threading.Thread(target=_behind, args=(state,), name="kernel-loader", daemon=True).start()


def _behind(state: State) -> None:
    try:
        if apart.compile_apart():
            native, strips = _import()
            with state.lock:
                state.native, state.strips = native, strips
            memory.give_back()
    finally:
        state.loading = False


def _import() -> tuple[Any, Any]:
    """The compiled modules; None for what cannot be had."""
    try:
        native, machine = cache.load_module(NATIVE), cache.load_module(STRIPS)
    except Exception:  # whatever keeps Numba from loading, NumPy serves
        log.warning("The compiled kernels could not be loaded; NumPy serves.", exc_info=True)
        return None, None
    probe = np.empty(1)
    lies = ctypes.c_void_p.from_address(id(probe) + machine.DATA_OFFSET).value == probe.ctypes.data
    return native, machine if lies else None
