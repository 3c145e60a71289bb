"""Which loops to use: Numba's machine code once it is loaded, plain Python until then and where Numba is missing.

Nothing waits for Numba: importing it takes about half a second and 100 MB, so a thread does so when enough has been
computed in plain Python for it to be worth that. If the machine code on disk is not of these sources, this Numba and this
processor, another process compiles it first: compiling holds the interpreter lock for seconds.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from engine.tape import cache, plain

if TYPE_CHECKING:
    from engine.tape.tape import Floats, Tape

log = logging.getLogger(__name__)

NEVER = "WENGERT_PLAIN_TAPE"
"""Environment variable: if it is set to anything, Numba is never loaded."""

WORTH = 20_000
"""Entries computed in plain Python after which Numba is loaded: about ten milliseconds of work."""

KEPT = 4096
"""Longest tape whose lists the plain machine keeps: they take about 300 bytes an entry."""

LANES = 8


class Machine(Protocol):
    """The loops over a tape; `plain` describes each. Results go into the arrays given."""

    def values(self, tape: Tape, v: Floats) -> bool:
        """Fill in v."""

    def linearize(self, tape: Tape, v: Floats, p: Floats) -> int:
        """Fill in v and p."""

    def reverse(self, tape: Tape, p: Floats, g: Floats) -> bool:
        """Fill in g."""

    def forward(self, tape: Tape, p: Floats, d: Floats) -> bool:
        """Fill in d."""

    def gradient(self, tape: Tape, v: Floats, p: Floats, g: Floats) -> int:
        """Fill in v, p and g."""

    def reverse_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """Fill in out."""

    def forward_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """Fill in out."""


class Native:
    """The loops as machine code."""

    def __init__(self, module: Any, runs: Any) -> None:
        self.steps = runs.steps
        self._values = module.values
        self._linearize = module.linearize
        self._reverse = module.reverse
        self._forward = module.forward
        self._gradient = module.gradient
        self._reverse_many = module.reverse_many
        self._forward_many = module.forward_many

    def values(self, tape: Tape, v: Floats) -> bool:
        """See `plain.values`."""
        finite: bool = self._values(tape.ops, tape.flat, v)
        return finite

    def linearize(self, tape: Tape, v: Floats, p: Floats) -> int:
        """See `plain.linearize`."""
        kinks: int = self._linearize(tape.ops, tape.flat, v, p)
        return kinks

    def reverse(self, tape: Tape, p: Floats, g: Floats) -> bool:
        """See `plain.reverse`."""
        finite: bool = self._reverse(tape.source, tape.target, p, g)
        return finite

    def forward(self, tape: Tape, p: Floats, d: Floats) -> bool:
        """See `plain.forward`."""
        finite: bool = self._forward(tape.source, tape.target, p, d)
        return finite

    def gradient(self, tape: Tape, v: Floats, p: Floats, g: Floats) -> int:
        """See `plain.gradient`."""
        kinks: int = self._gradient(tape.ops, tape.flat, v, tape.source, tape.target, p, g)
        return kinks

    def reverse_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """See `plain.reverse_many`."""
        room: Any = _room(len(tape))
        finite: bool = self._reverse_many(tape.source, tape.target, p, room, at, seeds, wanted, out)
        return finite

    def forward_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """See `plain.forward_many`."""
        room: Any = _room(len(tape))
        finite: bool = self._forward_many(tape.source, tape.target, p, room, at, seeds, wanted, out)
        return finite


def _room(n: int) -> Any:
    import numpy as np

    return np.empty(LANES * n)


class Plain:
    """The loops in Python. What raises there (a division by zero, the logarithm of 0) is as suspicious as an infinity."""

    def values(self, tape: Tape, v: Floats) -> bool:
        """See `plain.values`."""
        ops, flat, _, _ = self._lists(tape)
        numbers = v.tolist()
        try:
            finite = plain.values(ops, flat, numbers)
        except (ArithmeticError, ValueError):
            finite = False
        v[:] = numbers
        return finite

    def linearize(self, tape: Tape, v: Floats, p: Floats) -> int:
        """See `plain.linearize`."""
        ops, flat, _, _ = self._lists(tape)
        numbers, partials = v.tolist(), [0.0] * len(p)
        try:
            kinks = plain.linearize(ops, flat, numbers, partials)
        except (ArithmeticError, ValueError):
            kinks = -1
        v[:] = numbers
        p[:] = partials
        return kinks

    def reverse(self, tape: Tape, p: Floats, g: Floats) -> bool:
        """See `plain.reverse`."""
        _, _, source, target = self._lists(tape)
        numbers = g.tolist()
        finite = plain.reverse(source, target, p.tolist(), numbers)
        g[:] = numbers
        return finite

    def forward(self, tape: Tape, p: Floats, d: Floats) -> bool:
        """See `plain.forward`."""
        _, _, source, target = self._lists(tape)
        numbers = d.tolist()
        finite = plain.forward(source, target, p.tolist(), numbers)
        d[:] = numbers
        return finite

    def gradient(self, tape: Tape, v: Floats, p: Floats, g: Floats) -> int:
        """See `plain.gradient`."""
        ops, flat, source, target = self._lists(tape)
        numbers, partials, cotangents = v.tolist(), [0.0] * len(p), g.tolist()
        try:
            kinks = plain.gradient(ops, flat, numbers, source, target, partials, cotangents)
        except (ArithmeticError, ValueError):
            kinks = -1
        v[:] = numbers
        p[:] = partials
        g[:] = cotangents
        return kinks

    def reverse_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """See `plain.reverse_many`."""
        return self._many(plain.reverse_many, tape, p, at, seeds, wanted, out)

    def forward_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """See `plain.forward_many`."""
        return self._many(plain.forward_many, tape, p, at, seeds, wanted, out)

    def _many(
        self, sweep: Any, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats
    ) -> bool:
        _, _, source, target = self._lists(tape)
        found, room = [0.0] * len(out), [0.0] * (LANES * len(tape))
        finite: bool = sweep(
            source, target, p.tolist(), room, at.tolist(), seeds.tolist(), wanted.tolist(), found
        )
        out[:] = found
        return finite

    def _lists(self, tape: Tape) -> Any:
        lists = tape.lists
        if lists is None:
            lists = (tape.ops.tolist(), tape.flat.tolist(), tape.source.tolist(), tape.target.tolist())
            if len(tape) <= KEPT:
                tape.lists = lists
        return lists


class _State:
    """What this process has loaded. Readers take no lock: `native` is assigned once, when it is ready."""

    def __init__(self) -> None:
        self.native: Native | None = None
        self.begun = False
        self.failed = False
        self.work = 0
        self.lock = threading.Lock()


PLAIN = Plain()
_state = _State()


def machine(tape: Tape) -> Machine:
    """The loops to use now, for a tape as long as this one. Never waits."""
    native = _state.native
    if native is not None:
        return native
    if not _state.begun:
        # Counts from several threads may be lost, which only puts off what is not urgent.
        _state.work += len(tape)
        if _state.work >= WORTH:
            _load_behind()
    return PLAIN


def steps(work: int) -> Any:
    """`steps` of `native_runs`, or None while there is only the plain one; `work` is how many entries are to be computed."""
    native = _state.native
    if native is not None:
        return native.steps
    if not _state.begun:
        _state.work += work
        if _state.work >= WORTH:
            _load_behind()
    return None


def expected() -> bool:
    """Whether Numba serves, now or soon: whether it is installed, wanted, and not known to be of no use."""
    return _state.native is not None or (not _state.failed and not os.environ.get(NEVER) and _installed())


@lru_cache(1)
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def load() -> bool:
    """Load Numba's machine code now (compiling it here if need be), and say whether it is there. For tests and benchmarks."""
    with _state.lock:
        _state.begun = True
        if _state.native is None and not os.environ.get(NEVER):
            _state.native = _import()
    return _state.native is not None


def _load_behind() -> None:
    with _state.lock:
        if _state.begun:
            return
        _state.begun = True
    if os.environ.get(NEVER):
        return
    threading.Thread(target=_behind, name="tape-loader", daemon=True).start()


def _behind() -> None:
    if not _installed():
        return
    if not cache.fresh() and not _compile_apart():
        _state.failed = True
        return
    native = _import()
    with _state.lock:
        _state.native = native


def _compile_apart() -> bool:
    """Fill the cache on disk in another process, so that this one is not held up."""
    command = [sys.executable, "-m", "engine.tape.ahead"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _import() -> Native | None:
    try:
        return Native(cache.load(), cache.load_module("engine.tape.native_runs"))
    except Exception:  # whatever keeps Numba from loading, the plain machine serves
        _state.failed = True
        log.warning("the compiled tape machine could not be loaded; the plain one serves", exc_info=True)
        return None
