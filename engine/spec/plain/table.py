"""The ops of plain graphs, as the scanner looks them up: every name by which the general reader knows an op."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from engine import ops  # noqa: F401  # fills the registry
from engine.op import Op, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.program import CONSTANT, INPUT
from engine.tape.build import POWERS
from engine.tape.table import CODES

Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int32]
Table: TypeAlias = npt.NDArray[np.int64]
State: TypeAlias = npt.NDArray[np.uint64]

MOST_OPERANDS = 3
ONE_NODE = frozenset({"pow", "clip"})
"""Ops with a `lower` of their own that is one node all the same, for floats and all operands given."""
POWER, POWER_BY = "pow", "pow_by"


class Spans(NamedTuple):
    """Texts laid end to end."""

    text: Bytes
    starts: Ints
    counts: Ints


class OpTable(NamedTuple):
    """Rows are ops: the input, the constant, and those that compute one float from floats. −1 is an op that is not plain.

    `arity` and `codes` are by row: operands, and the code on the tape. Of the row `power`, literal exponents have codes of
    their own: `powers` are some exponents and their codes, at the end that of all others. `names` are the pieces of canonical
    JSON that `writer.canonical_nodes` puts together.
    """

    spans: Spans
    rows: Ints
    exact: Table
    folded: Table
    state: State
    longest: int
    arity: Ints
    codes: Ints
    power: int
    powers: tuple[npt.NDArray[np.float64], Ints]
    ops: tuple[Op, ...]
    names: Spans

    @property
    def native(self) -> tuple[Any, ...]:
        """What the scanner takes."""
        return (self.spans.text, self.rows, self.exact, self.folded)


def spans(texts: Iterable[bytes]) -> Spans:
    """Texts laid end to end."""
    given = list(texts)
    counts = np.array([len(t) for t in given], np.int32)
    starts = np.zeros(len(given), np.int32)
    np.cumsum(counts[:-1], out=starts[1:])
    return Spans(np.frombuffer(bytearray(b"".join(given)), np.uint8), starts, counts)


def empty_table(names: int) -> Table:
    """Room for so many names, at most half full; an entry is two numbers."""
    return np.full(2 << max(3, (2 * names - 1).bit_length()), -1, np.int64)


def new_state(steps: int) -> State:
    """A seed that nobody knows, and so many steps for all look-ups together (`names.find`)."""
    return np.array([secrets.randbits(64), steps, 0, 0], np.uint64)


def plain_ops() -> list[Op]:
    """The ops that make one float of floats by one node, and have a code."""
    return [
        op
        for op in registry
        if isinstance(op, Elementwise)
        and op.name in CODES
        and (op.plain or op.name in ONE_NODE)
        and not op.boolean
        and 1 <= len(op.operands) <= MOST_OPERANDS
        and not any(p.named or p.variadic or p.integer for p in op.operands)
    ]


def make_table(native: Any) -> OpTable:
    """The table. `native` is the package `compiled`."""
    chosen = [INPUT, CONSTANT, *plain_ops()]
    row_of = {op: row for row, op in enumerate(chosen)}
    exact: dict[str, int] = {}
    folded: dict[str, int] = {}
    for op in registry:
        for name in (op.name, *op.aliases):
            exact[name] = row_of.get(op, -1)
            folded.setdefault(name.lower(), row_of.get(op, -1))
    texts = spans(name.encode() for name in (*exact, *folded))
    tables: list[Table] = []
    state = new_state(1 << 60)
    for first, count in ((0, len(exact)), (len(exact), len(folded))):
        tables.append(empty_table(count))
        if not native.fill(*texts, np.arange(first, first + count, dtype=np.int32), tables[-1], state):
            raise AssertionError("names of ops are told apart")
    code = np.array([0, 0, *[CODES[op.name] for op in chosen[2:]]], np.int32)
    power = next((row for row, op in enumerate(chosen) if op.name == POWER), -1)
    return OpTable(
        texts,
        np.array([*exact.values(), *folded.values()], np.int32),
        tables[0],
        tables[1],
        state,
        int(texts.counts.max()),
        np.array([0, 0, *[len(op.operands) for op in chosen[2:]]], np.int32),
        code,
        power,
        (
            np.array([*POWERS]),
            np.array([*(CODES[name] for name in POWERS.values()), CODES[POWER_BY]], np.int32),
        ),
        tuple(chosen),
        spans(
            [*[b',"op":"%b"' % op.name.encode() for op in chosen], b'{"id":', b',"inputs":[', b',"value":']
        ),
    )
