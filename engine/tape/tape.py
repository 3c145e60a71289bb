"""A scalar graph as arrays: an op code and up to three operand positions for each entry; how it is computed with.

The reverse and the forward sweep go over *edges*, not entries. An edge is an operand by which an entry has a derivative,
with its partial: there is no case to tell apart, and no operand without a derivative is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.tape.machine import machine
from engine.tape.table import ROWS

Floats: TypeAlias = npt.NDArray[np.float64]
Positions: TypeAlias = "Sequence[int] | npt.NDArray[np.integer[Any]]"
Seeds: TypeAlias = "Mapping[int, float] | tuple[Positions, Any]"
"""What a sweep begins with: numbers by entry, or entries and their numbers (an entry that is named twice has the sum)."""

LONG, OFTEN = 256, 5
"""A tape of so many entries is put into a faster order when machine code runs it for the fifth time: a processor learns a
shorter one by heart, and finding an order takes as long as twenty runs or so."""

_HAS_EDGE = np.zeros((len(ROWS) + 1, 3), bool)
_BOOLEAN = np.zeros(len(ROWS) + 1, bool)
for _code, _row in enumerate(ROWS, 1):
    _BOOLEAN[_code] = _row.boolean
    for _k, _partial in enumerate(_row.partials):
        _HAS_EDGE[_code, _k] = _partial != "0"
_EDGES = np.count_nonzero(_HAS_EDGE, axis=1).astype(np.uint32)


class Order(NamedTuple):
    """Entries in an order of evaluation. In the k-th place stands entry `place[k]`, with code `ops[k]`, operands
    `args[3k … 3k+2]` and edges from `start[k]` on. All but `ops` (uint8) are uint32: machine code looks at every signed
    index whether it counts from the end."""

    ops: npt.NDArray[np.uint8]
    args: npt.NDArray[np.uint32]
    place: npt.NDArray[np.uint32]
    start: npt.NDArray[np.uint32]


class Edges(NamedTuple):
    """For each edge the entry at which it begins (ascending) and the operand at which it ends."""

    source: npt.NDArray[np.uint32]
    target: npt.NDArray[np.uint32]


class Tape:
    """n entries in evaluation order: leaves (inputs and constants), and ops over earlier entries. Not to be changed.

    `ops`: uint8[n], codes of `CODES`, 0 for a leaf. `args`: int32[n, 3], positions of the operands; those that an op does
    not have are 0. `leaves`: float64[n], the constants in their places, elsewhere 0. `inputs`: the entries that arguments go
    to, in order. `boolean`: bool[n], which entries are truth values (1.0 and 0.0); by default those of a boolean op.
    `size`: how many entries are nodes of the graph; those behind them are constants of the tape's own, params of ops.

    Only lengths are checked: operands must be earlier entries or leaves, as those who make tapes see to.
    """

    __slots__ = (
        "_edges", "args", "boolean", "countdown", "edge_count", "inputs", "leaves", "lists", "ops", "order", "size",
    )  # fmt: skip

    def __init__(
        self,
        ops: npt.NDArray[Any],
        args: npt.NDArray[Any],
        leaves: npt.NDArray[Any],
        inputs: Positions,
        boolean: npt.NDArray[np.bool_] | None = None,
        size: int | None = None,
    ) -> None:
        self.ops: npt.NDArray[np.uint8] = np.ascontiguousarray(ops, np.uint8)
        self.args: npt.NDArray[np.int32] = np.ascontiguousarray(args, np.int32)
        self.leaves: Floats = np.ascontiguousarray(leaves, np.float64)
        n = len(self.ops)
        if self.args.shape != (n, 3) or self.leaves.shape != (n,):
            raise ValueError(
                f"a tape's ops ({n}), args {self.args.shape} and leaves {self.leaves.shape} must agree"
            )
        positions = np.asarray(inputs, np.intp)
        first = int(positions[0]) if positions.size else 0
        run = np.array_equal(positions, np.arange(first, first + positions.size))
        self.inputs: slice | npt.NDArray[np.intp] = slice(first, first + positions.size) if run else positions
        self.boolean: npt.NDArray[np.bool_] = _BOOLEAN[self.ops] if boolean is None else boolean
        self.size = n if size is None else size
        counts = _EDGES[self.ops]
        start = np.zeros(n + 1, np.uint32)
        np.cumsum(counts, out=start[1:])
        place = np.arange(n, dtype=np.uint32)
        self.order = Order(self.ops, self.args.reshape(-1).view(np.uint32), place, start[:-1])
        self.edge_count = int(start[-1])
        self.countdown = OFTEN if n >= LONG else 0
        self.lists: Any = None
        self._edges: Edges | None = None

    @property
    def edges(self) -> Edges:
        """The operands by which entries have derivatives."""
        found = self._edges
        if found is None:
            has = _HAS_EDGE[self.ops]
            source = np.repeat(np.arange(len(self), dtype=np.uint32), _EDGES[self.ops])
            found = self._edges = Edges(source, self.args[has].view(np.uint32))
        return found

    def reorder(self, schedule: Callable[..., int]) -> None:
        """Count one run more; when it is time, find an order with fewer changes of op. No result depends on the order."""
        self.countdown -= 1
        if self.countdown > 0:
            return
        n, codes, old = len(self), len(ROWS) + 1, self.order
        room = [np.zeros(k, np.int32) for k in (n, n + 2, 3 * n)]
        place = np.zeros(n, np.uint32)
        flat = self.args.reshape(-1).view(np.uint32)
        reached = schedule(self.ops, flat, codes, *room, place, np.zeros(n + 3 * codes, np.int32))
        if reached == n and old.place[-1] == n - 1:
            args = self.args[place].reshape(-1).view(np.uint32)
            self.order = Order(self.ops[place], args, place, old.start[place])

    def __len__(self) -> int:
        return len(self.ops)

    def start(self, arguments: Sequence[Any] | npt.NDArray[Any]) -> Floats:
        """Values of the leaves, at the head of a computation: float64[n]."""
        v = self.leaves.copy()
        v[self.inputs] = arguments
        return v

    def values(self, arguments: Sequence[Any] | npt.NDArray[Any]) -> Sweep:
        """The value of every entry. `arguments`: a number for each input, as a list or an array of them."""
        v = self.start(arguments)
        return Sweep(v, not machine(self).values(self, v))

    def linearize(self, arguments: Sequence[Any] | npt.NDArray[Any]) -> Linearized:
        """Values, and the partial derivatives at them."""
        v = self.start(arguments)
        p = np.empty(self.edge_count)
        return Linearized(self, v, p, machine(self).linearize(self, v, p))

    def gradient(self, arguments: Sequence[Any] | npt.NDArray[Any], seeds: Seeds) -> Gradient:
        """Values, and the cotangents of all entries from those of some: `linearize` and one reverse sweep in one call."""
        v = self.leaves.copy()
        v[self.inputs] = arguments
        p = np.empty(self.edge_count)
        g = _begin(v.size, seeds)
        kinks = machine(self).gradient(self, v, p, g)
        return Gradient(v, g, kinks > 0, kinks < 0)


class Sweep:
    """Values of all entries: `v` is float64[n]. `suspicious`: some value is not finite, or (in plain Python) does not exist.

    The careful executor is then to be asked: the rows know nothing of what holds at infinities and strong zeros.
    """

    __slots__ = ("suspicious", "v")

    def __init__(self, v: Floats, suspicious: bool) -> None:
        self.v = v
        self.suspicious = suspicious


class Gradient(Sweep):
    """Values `v` and cotangents `g`, both float64[n]. `kinked`: a convention was met in place of a derivative."""

    __slots__ = ("g", "kinked")

    def __init__(self, v: Floats, g: Floats, kinked: bool, suspicious: bool) -> None:
        self.v = v
        self.suspicious = suspicious
        self.g = g
        self.kinked = kinked


class Linearized(Sweep):
    """A tape at one point: values `v`, and a partial for every edge. Sweeps from here cost no op again.

    `kinked`: a convention was met in place of a derivative, in whatever part of the graph. `suspicious` holds for the
    values and for every sweep made so far: it becomes true with the first result that is not finite.
    """

    __slots__ = ("kinked", "partials", "tape")

    def __init__(self, tape: Tape, v: Floats, partials: Floats, kinks: int) -> None:
        super().__init__(v, kinks < 0)
        self.tape = tape
        self.partials = partials
        self.kinked = kinks > 0

    @property
    def p(self) -> Floats:
        """Partials by entry and operand: float64[n, 3], 0 where there is none."""
        p = np.zeros((len(self.tape), 3))
        p[_HAS_EDGE[self.tape.ops]] = self.partials
        return p

    def reverse(self, seeds: Seeds) -> Floats:
        """Cotangents of all entries, float64[n], from those of some: ḡ(operand) += ḡ(entry)·∂entry/∂operand."""
        g = _begin(len(self.v), seeds)
        if not machine(self.tape).reverse(self.tape, self.partials, g):
            self.suspicious = True
        return g

    def forward(self, seeds: Seeds) -> Floats:
        """Tangents of all entries, float64[n], from those of some, which are added to what comes through operands."""
        d = _begin(len(self.v), seeds)
        if not machine(self.tape).forward(self.tape, self.partials, d):
            self.suspicious = True
        return d

    def reverse_many(self, at: Positions, seeds: Any, wanted: Positions | None = None) -> Floats:
        """Reverse sweeps with the rows of `seeds`, float64[s, k], at the k entries `at` -> float64[s, len(wanted)].

        Row r holds the cotangents of the entries `wanted` (all of them by default) in sweep r: with the rows of an identity
        the Jacobian of the entries `at`.
        """
        return self._many("reverse_many", at, seeds, wanted)

    def forward_many(self, at: Positions, seeds: Any, wanted: Positions | None = None) -> Floats:
        """As `reverse_many` with tangents: with the rows of an identity the transposed Jacobian by the entries `at`."""
        return self._many("forward_many", at, seeds, wanted)

    def _many(self, direction: str, at: Positions, seeds: Any, wanted: Positions | None) -> Floats:
        rows = np.ascontiguousarray(seeds, np.float64)
        entries = np.arange(len(self.v)) if wanted is None else wanted
        out = np.zeros((len(rows), len(entries)))
        begin, end = (np.ascontiguousarray(x, np.uint32) for x in (at, entries))
        if rows.size and not getattr(machine(self.tape), direction)(
            self.tape, self.partials, begin, rows.reshape(-1), end, out.reshape(-1)
        ):
            self.suspicious = True
        return out


def _begin(n: int, seeds: Seeds) -> Floats:
    g = np.zeros(n)
    if isinstance(seeds, tuple):
        np.add.at(g, seeds[0], seeds[1])
    else:
        for i, seed in seeds.items():
            g[i] = seed
    return g
