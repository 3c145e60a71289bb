"""A plain scalar graph in the body of a request, as arrays; its canonical digest; answers about it, woven from bytes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.spec.plain.table import Ints, OpTable, State, Table, empty_table, new_state, spans
from engine.tape import Tape

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_BYTES = 1 << 30
"""Positions in the body, twice, must fit 32 bits."""
HARD_LITERALS = 256
"""So many numbers of more than 19 digits that only exact arithmetic can round are read one by one."""
HARD_DIGITS = 1000
FIELDS = 10
(N_NODES, N_LITERALS, N_HARD, N_GIVEN, GRAPH_AT, GRAPH_END, INPUTS_AT, INPUTS_END, OUTPUTS_AT) = range(9)
"""As in `scanner`, which is only imported with Numba."""
UNORDERED, FAILED = 2, 0
NONE = -1
INPUT = 0
FREE_STEPS, STEPS = 1024, 16
NON_FINITE = (b"NaN", b"Infinity", b"-Infinity")
PIECE = 1 << 18
"""Canonical text is hashed in pieces of so many bytes."""
WIDEST = 26


class PlainGraph:
    """What a body says: nodes in evaluation order, values of inputs, outputs; and the rest of the body as JSON.

    `starts` and `counts` are the spans of ids; `rows` says for each node which op of `table.ops` it is; `args[i]` are its
    operands: positions of nodes, −1 for none, −(2k + 2) for literal k. `given` has positions of inputs and their values.
    """

    def __init__(
        self, native: Any, table: OpTable, data: bytes | bytearray, ids: tuple[Ints, Ints], rows: Ints,
        args: npt.NDArray[np.int32], literals: Floats, index: tuple[Table, State],
    ) -> None:  # fmt: skip
        self.native = native
        self.table = table
        self.bytes = np.frombuffer(data, np.uint8)
        self.posted = self.ids = ids
        self.rows = rows
        self.args = args
        self.literals = literals
        self.index = index
        self.rank: Ints | None = None
        self.outputs: Ints = np.zeros(0, np.int32)
        self.given: tuple[Ints, Floats] = (self.outputs, np.zeros(0))
        self.rest = b""
        self.counts = (0, 0, 0)
        """Opening braces, opening brackets and commas in the whole body."""

    def __len__(self) -> int:
        return len(self.rows)

    # -- from the scan to the program

    def order(self) -> bool:
        """Put nodes that refer to others further down into evaluation order; False for a cycle."""
        order = np.empty(len(self.rows), np.int32)
        if not self.native.evaluation_order(self.args, order):
            return False
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order), dtype=np.int32)
        self.args = np.where(self.args >= 0, rank[np.maximum(self.args, 0)], self.args)[order]
        self.rows = self.rows[order]
        self.ids = (self.posted[0][order], self.posted[1][order])
        self.rank = rank
        return True

    def ranked(self, posted: Ints) -> Ints:
        """Positions in evaluation order of those in the posted list."""
        return posted if self.rank is None else self.rank[posted]

    def find_outputs(self, at: int) -> bool:
        """Read the ids at a place in the body, or find what nothing reads (at −1); False if there are none that fit."""
        found = np.empty(len(self.rows), np.int32)
        if at >= 0:
            n = self.native.outputs(self.bytes, at, *self.index, found)
            self.outputs = self.ranked(found[:n].copy())
        else:
            # In the order posted, which is that of evaluation or stands in `rank`.
            n = self.native.unread(self.rows, self.args, found)
            self.outputs = found[:n].copy()
            if self.rank is not None and n:
                posted = np.argsort(self.rank)
                self.outputs = self.outputs[np.argsort(posted[self.outputs])]
        return bool(n)

    def find_given(self, starts: Ints, counts: Ints, values: Floats) -> bool:
        """Positions of the inputs that values are given for; False unless every input has one, and once."""
        found = np.empty(len(values), np.int32)
        if not self.native.given_positions(self.bytes, starts, counts, *self.index, found):
            return False
        found = self.ranked(found)
        inputs = self.rows == INPUT
        if not inputs[found].all():
            return False
        known = self.args[:, 0] != NONE
        known[found] = True
        if not known[inputs].all() or len(found) != np.count_nonzero(np.bincount(found, minlength=1)):
            return False
        self.given = (found, values)
        return True

    # -- what is asked about it

    def find(self, names: Sequence[str]) -> Ints | None:
        """Positions of nodes by id; None if one is not there."""
        try:
            texts = spans(name.encode() for name in names)
        except UnicodeEncodeError:
            return None
        found = np.empty(len(names), np.int32)
        if not self.native.positions(*texts, self.bytes, *self.index, found):
            return None
        return self.ranked(found)

    @cached_property
    def inputs(self) -> Ints:
        """Positions of the inputs."""
        return np.flatnonzero(self.rows == INPUT).astype(np.int32)

    def tape(self) -> Tape:
        """The graph as a tape, entry i being node i, with the values of inputs in their places."""
        n = len(self.rows) + len(self.literals)
        ops, args, leaves = np.empty(n, np.uint8), np.empty((n, 3), np.int32), np.empty(n)
        table = self.table
        self.native.assemble(
            self.rows, self.args, self.literals, table.codes, table.power, table.powers, ops, args, leaves
        )
        leaves[self.given[0]] = self.given[1]
        return Tape(ops, args, leaves, (), np.zeros(n, bool), len(self.rows))

    def digest(self, step: Callable[[], None] | None = None) -> str:
        """`Program.digest` of the graph: SHA-256 of its canonical JSON (RFC 8785). `step` is called now and then."""
        sha = hashlib.sha256()
        out = np.empty(PIECE, np.uint8)
        piece = out.data
        n, i = len(self.rows), 0
        while i < n:
            first = i == 0
            i, count = self.native.canonical_nodes(
                self.bytes, self.ids, self.rows, self.args, self.literals, *self.table.names, i, out
            )
            if first:
                sha.update(b'{"nodes":[')
            sha.update(piece[1 if first else 0 : count])
            if step is not None:
                step()
        names = np.empty(self._length(self.outputs, 3) + 2, np.uint8)
        count = self.native.weave_names(self.bytes, self.ids, self.outputs, names, 0)
        sha.update(b'],"outputs":')
        sha.update(names.data[:count])
        sha.update(b"}")
        return f"sha256-{sha.hexdigest()}"

    def _length(self, nodes: Ints, each: int) -> int:
        return int(self.ids[1][nodes].sum(dtype=np.int64)) + each * len(nodes)


class Weaver:
    """JSON put together from ids, as they were sent, and numbers. `room` is known before, so that nothing grows."""

    def __init__(self, graph: PlainGraph, maps: Sequence[Ints], lists: Sequence[Ints], more: int) -> None:
        """Room for maps and lists of these nodes, and `more` bytes."""
        self.graph = graph
        room = more + sum(graph._length(m, WIDEST + 4) + 2 for m in maps)
        room += sum(graph._length(m, 3) + 2 for m in lists)
        self.out = np.empty(room, np.uint8)
        self.at = 0

    def text(self, text: bytes) -> None:
        """Text as it is."""
        self.out[self.at : self.at + len(text)] = np.frombuffer(text, np.uint8)
        self.at += len(text)

    def map(self, nodes: Ints, values: Floats) -> None:
        """{id: value} for nodes; there is a value for every node of the graph, and they are finite."""
        graph = self.graph
        self.at = graph.native.weave(graph.bytes, graph.ids, nodes, values, self.out, self.at)

    def names(self, nodes: Ints) -> None:
        """The ids of nodes, as a list."""
        graph = self.graph
        self.at = graph.native.weave_names(graph.bytes, graph.ids, nodes, self.out, self.at)

    def name(self, node: int) -> None:
        """The id of one node."""
        graph = self.graph
        start, count = int(graph.ids[0][node]), int(graph.ids[1][node])
        self.text(b'"%b"' % graph.bytes[start : start + count].tobytes())

    def number(self, x: float) -> None:
        """One number."""
        self.at = self.graph.native.weave_number(x, self.out, self.at)

    def finish(self) -> bytes:
        """What was put together."""
        return self.out[: self.at].tobytes()


def read_plain(data: bytes | bytearray, native: Any, table: OpTable, most_nodes: int) -> PlainGraph | None:
    """The plain scalar graph in the body of a request; None if it is anything else, right or wrong.

    Every node is `{"id", "op", "inputs"}` over ids and numbers, an input, or a constant number; `inputs` of the body is an
    object of numbers; the rest of the body may be anything and is not looked at. Linear in the length of the body.
    """
    if len(data) >= MOST_BYTES:
        return None
    s = np.frombuffer(data, np.uint8)
    if not data.isascii() and not native.is_utf8(s):
        return None
    braces, brackets, commas = native.survey(s)
    room = min(braces, most_nodes)
    if room == 0:
        return None
    starts, counts, rows = (np.empty(room, np.int32) for _ in range(3))
    args = np.empty((room, 3), np.int32)
    literals = np.empty(braces + brackets + commas)
    hard = np.empty((HARD_LITERALS, 3), np.int32)
    given = (np.empty(commas + 1, np.int32), np.empty(commas + 1, np.int32), np.empty(commas + 1))
    index, state = empty_table(room), new_state(FREE_STEPS + STEPS * room)
    info = np.array([0, 0, 0, 0, -1, -1, -1, -1, -1, 0], np.int64)
    op_state = table.state.copy()
    op_state[1] = FREE_STEPS + 2 * STEPS * room
    lower = np.empty(table.longest, np.uint8)
    if not native.read(
        s, table.native, table.arity, lower, op_state, (starts, counts), rows, args, index, state,
        (literals, hard), given, info,
    ):  # fmt: skip
        return None
    n = int(info[N_NODES])
    numbers = literals[: info[N_LITERALS]].copy()
    for k, first, end in hard[: info[N_HARD]].tolist():
        value = float(data[first:end]) if end - first <= HARD_DIGITS else math.inf
        if not math.isfinite(value):
            return None
        numbers[k] = value
    state[1] = FREE_STEPS + STEPS * (commas + brackets + braces)
    ids = (starts[:n].copy(), counts[:n].copy())
    graph = PlainGraph(native, table, data, ids, rows[:n].copy(), args[:n].copy(), numbers, (index, state))
    linked = native.link(s, graph.args, index, state)
    if linked == FAILED or (linked == UNORDERED and not graph.order()):
        return None
    if not graph.find_outputs(int(info[OUTPUTS_AT])):
        return None
    m = int(info[N_GIVEN])
    if not graph.find_given(given[0][:m].copy(), given[1][:m].copy(), given[2][:m].copy()):
        return None
    texts = spans(NON_FINITE)
    for k in range(len(NON_FINITE)):
        one = np.empty(1, np.int32)
        if native.positions(
            texts.text, texts.starts[k : k + 1], texts.counts[k : k + 1], s, index, state, one
        ):
            return None
    cuts = sorted(
        (int(info[at]), int(info[end]), instead)
        for at, end, instead in ((GRAPH_AT, GRAPH_END, b"null"), (INPUTS_AT, INPUTS_END, b"{}"))
        if info[at] >= 0
    )
    pieces, last = [], 0
    for first, end, instead in cuts:
        pieces += [data[last:first], instead]
        last = end
    graph.counts = (braces, brackets, commas)
    graph.rest = b"".join([*pieces, data[last:]])
    state[1] = np.iinfo(np.uint64).max  # who asks from now on is not a stranger
    return graph
