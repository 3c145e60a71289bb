"""Which loops to use: Numba's machine code once it is loaded, plain Python until then and where Numba is missing.

Nothing waits for Numba: importing it takes about half a second and 100 MB, so a thread does so when enough has been
computed in plain Python for it to be worth that. If the machine code on disk is not of these sources, this Numba and this
processor, another process compiles it first: compiling holds the interpreter lock for seconds.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from engine.jit import apart, cache, memory
from engine.tape import plain
from engine.tape.table import LANES

if TYPE_CHECKING:
    from engine.tape.tape import Floats, Tape

log = logging.getLogger(__name__)

WORTH = 20_000
"""Entries computed in plain Python after which Numba is loaded: about ten milliseconds of work."""

KEPT = 4096
"""Longest tape whose lists the plain machine keeps: they take about 300 bytes an entry."""


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
        self._schedule = module.schedule
        self._reverse_many = module.reverse_many
        self._forward_many = module.forward_many

    def values(self, tape: Tape, v: Floats) -> bool:
        """See `plain.values`."""
        if tape.countdown:
            tape.reorder(self._schedule)
        ops, args, place, _ = tape.order
        finite: bool = self._values(ops, args, place, v)
        return finite

    def linearize(self, tape: Tape, v: Floats, p: Floats) -> int:
        """See `plain.linearize`."""
        if tape.countdown:
            tape.reorder(self._schedule)
        ops, args, place, start = tape.order
        kinks: int = self._linearize(ops, args, place, start, v, p)
        return kinks

    def reverse(self, tape: Tape, p: Floats, g: Floats) -> bool:
        """See `plain.reverse`."""
        source, target = tape.edges
        finite: bool = self._reverse(source, target, p, g)
        return finite

    def forward(self, tape: Tape, p: Floats, d: Floats) -> bool:
        """See `plain.forward`."""
        source, target = tape.edges
        finite: bool = self._forward(source, target, p, d)
        return finite

    def gradient(self, tape: Tape, v: Floats, p: Floats, g: Floats) -> int:
        """See `plain.gradient`."""
        if tape.countdown:
            tape.reorder(self._schedule)
        ops, args, place, start = tape.order
        source, target = tape.edges
        kinks: int = self._gradient(ops, args, place, start, v, source, target, p, g)
        return kinks

    def reverse_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """See `plain.reverse_many`."""
        source, target = tape.edges
        room = np.empty(LANES * len(tape))
        finite: bool = self._reverse_many(source, target, p, room, at, seeds, wanted, out)
        return finite

    def forward_many(self, tape: Tape, p: Floats, at: Any, seeds: Floats, wanted: Any, out: Floats) -> bool:
        """See `plain.forward_many`."""
        source, target = tape.edges
        room = np.empty(LANES * len(tape))
        finite: bool = self._forward_many(source, target, p, room, at, seeds, wanted, out)
        return finite


class Plain:
    """The loops in Python. What raises there (a division by zero, the logarithm of 0) is as suspicious as an infinity."""

    def values(self, tape: Tape, v: Floats) -> bool:
        """See `plain.values`."""
        (ops, args, place, _), _ = self._lists(tape)
        numbers = v.tolist()
        try:
            finite = plain.values(ops, args, place, numbers)
        except (ArithmeticError, ValueError):
            finite = False
        v[:] = numbers
        return finite

    def linearize(self, tape: Tape, v: Floats, p: Floats) -> int:
        """See `plain.linearize`."""
        (ops, args, place, start), _ = self._lists(tape)
        numbers, partials = v.tolist(), [0.0] * len(p)
        try:
            kinks = plain.linearize(ops, args, place, start, numbers, partials)
        except (ArithmeticError, ValueError):
            kinks = -1
        v[:] = numbers
        p[:] = partials
        return kinks

    def reverse(self, tape: Tape, p: Floats, g: Floats) -> bool:
        """See `plain.reverse`."""
        _, (source, target) = self._lists(tape)
        numbers = g.tolist()
        finite = plain.reverse(source, target, p.tolist(), numbers)
        g[:] = numbers
        return finite

    def forward(self, tape: Tape, p: Floats, d: Floats) -> bool:
        """See `plain.forward`."""
        _, (source, target) = self._lists(tape)
        numbers = d.tolist()
        finite = plain.forward(source, target, p.tolist(), numbers)
        d[:] = numbers
        return finite

    def gradient(self, tape: Tape, v: Floats, p: Floats, g: Floats) -> int:
        """See `plain.gradient`."""
        (ops, args, place, start), (source, target) = self._lists(tape)
        numbers, partials, cotangents = v.tolist(), [0.0] * len(p), g.tolist()
        try:
            kinks = plain.gradient(ops, args, place, start, numbers, source, target, partials, cotangents)
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
        _, (source, target) = self._lists(tape)
        found, room = [0.0] * len(out), [0.0] * (LANES * len(tape))
        finite: bool = sweep(
            source, target, p.tolist(), room, at.tolist(), seeds.tolist(), wanted.tolist(), found
        )
        out[:] = found
        return finite

    def _lists(self, tape: Tape) -> Any:
        lists = tape.lists
        if lists is None:
            lists = [[x.tolist() for x in tape.order], [x.tolist() for x in tape.edges]]
            if len(tape) <= KEPT:
                tape.lists = lists
        return lists


class State:
    """What this process has loaded. Readers take no lock: `native` is assigned once, when it is ready."""

    def __init__(self) -> None:
        self.native: Native | None = None
        self.begun = False
        self.loading = False
        self.work = 0
        self.lock = threading.Lock()


PLAIN = Plain()
STATE = State()


def machine(tape: Tape) -> Machine:
    """The loops to use now, for a tape as long as this one. Never waits."""
    state = STATE
    native = state.native
    if native is not None:
        return native
    if not state.begun:
        # Counts of threads that add at the same time may be lost, which only puts off what is not urgent.
        state.work += len(tape)
        if state.work >= WORTH:
            _load_behind(state)
    return PLAIN


def steps(work: int) -> Any:
    """`steps` of `native_runs`, or None while there is only the plain one; `work` is how many entries are to be computed."""
    state = STATE
    if state.native is not None:
        return state.native.steps
    if not state.begun:
        state.work += work
        if state.work >= WORTH:
            _load_behind(state)
    return None


def expected() -> bool:
    """Whether Numba serves, now or soon: whether it is installed, wanted, and not known to be of no use."""
    state = STATE
    if state.begun:
        return state.native is not None or state.loading
    return apart.wanted()


def load() -> bool:
    """Load the machine code now (compiling it here if need be), and say whether it is there. For tests and benchmarks."""
    state = STATE
    with state.lock:
        if state.native is None and not os.environ.get(apart.NEVER):
            state.native = _import()
        state.begun = True
    return state.native is not None


def _load_behind(state: State) -> None:
    with state.lock:
        if state.begun:
            return
        state.loading = apart.wanted()
        state.begun = True
    if state.loading:
        threading.Thread(target=_behind, args=(state,), name="tape-loader", daemon=True).start()


def _behind(state: State) -> None:
    try:
        if apart.compile_apart():
            native = _import()
            with state.lock:
                state.native = native
            memory.give_back()
    finally:
        state.loading = False


def _import() -> Native | None:
    try:
        return Native(cache.load(), cache.load_module("engine.tape.native_runs"))
    except Exception:  # whatever keeps Numba from loading, the plain machine serves
        log.warning("The compiled tape machine could not be loaded; the plain one serves.", exc_info=True)
        return None
