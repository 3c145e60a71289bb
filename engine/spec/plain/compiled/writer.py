"""Text of a plain graph and of answers about it, natively."""

from __future__ import annotations

from typing import Any

from engine.spec.plain.compiled.jit import BYTES, bare, entry, helper, types
from engine.spec.plain.compiled.numbers import WIDEST, write_number
from engine.spec.plain.compiled.scanner import FIRST, IDS, INT_SPANS, NONE
from engine.spec.plain.compiled.text import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    MAX_NAME,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
)

LONGEST = 5 * (MAX_NAME + WIDEST) + 64
"""No node takes more bytes in canonical JSON."""


@helper
def put(t: Any, start: Any, count: Any, out: Any, o: Any) -> Any:
    """Copy a span; the position behind it."""
    for k in range(count):
        out[o + k] = t[start + k]
    return o + count


@helper
def put_name(s: Any, start: Any, count: Any, out: Any, o: Any) -> Any:
    """An id in quotation marks, as it was sent; the position behind it."""
    out[o] = QUOTE
    o = put(s, start, count, out, o + 1)
    out[o] = QUOTE
    return o + 1


@entry(
    types.UniTuple(types.int64, 2), BYTES, IDS, types.int32[::1], types.int32[:, ::1], types.float64[::1],
    types.uint8[::1], INT_SPANS, INT_SPANS, types.int64, types.uint8[::1],
)  # fmt: skip
def canonical_nodes(
    s: Any,
    ids: Any,
    rows: Any,
    args: Any,
    literals: Any,
    names: Any,
    name_at: Any,
    name_length: Any,
    first: Any,
    out: Any,
) -> Any:
    """Canonical JSON of nodes from `first` on, each with a comma in front: the node that comes next, and bytes written.

    `names` has three kinds of spans: `{"id":`; for each row `,"op":"…"` with what stands behind it; `,"inputs":[`;
    `,"value":`.
    """
    starts, counts = ids
    s, starts, counts, rows, args, literals = (
        bare(s),
        bare(starts),
        bare(counts),
        bare(rows),
        bare(args),
        bare(literals),
    )
    names, name_at, name_length, out = bare(names), bare(name_at), bare(name_length), bare(out)
    n = len(rows)
    kinds = len(name_at) - 3
    o = 0
    i = first
    while i < n and o + LONGEST <= len(out):
        out[o] = COMMA
        o = put(names, name_at[kinds], name_length[kinds], out, o + 1)
        o = put_name(s, starts[i], counts[i], out, o)
        row = rows[i]
        if row >= FIRST:
            o = put(names, name_at[kinds + 1], name_length[kinds + 1], out, o)
            for k in range(3):
                a = args[i, k]
                if a == NONE:
                    break
                if a >= 0:
                    o = put_name(s, starts[a], counts[a], out, o)
                else:
                    o = write_number(literals[-(a + 2) >> 1], out, o, True)
                out[o] = COMMA
                o += 1
            out[o - 1] = CLOSE_LIST
        o = put(names, name_at[row], name_length[row], out, o)
        if row < FIRST and args[i, 0] != NONE:
            o = put(names, name_at[kinds + 2], name_length[kinds + 2], out, o)
            o = write_number(literals[-(args[i, 0] + 2) >> 1], out, o, True)
        out[o] = CLOSE_OBJECT
        o += 1
        i += 1
    return i, o


@entry(types.int64, BYTES, IDS, INT_SPANS, types.uint8[::1], types.int64)
def weave_names(s: Any, ids: Any, nodes: Any, out: Any, o: Any) -> Any:
    """The ids of nodes as a JSON list from out[o] on; the position behind it. Room for every id and 3 bytes more is there."""
    s, starts, counts, out = bare(s), bare(ids[0]), bare(ids[1]), bare(out)
    out[o] = OPEN_LIST
    o += 1
    for i in nodes:
        o = put_name(s, starts[i], counts[i], out, o)
        out[o] = COMMA
        o += 1
    if len(nodes):
        o -= 1
    out[o] = CLOSE_LIST
    return o + 1


@entry(types.int64, BYTES, IDS, INT_SPANS, types.float64[::1], types.uint8[::1], types.int64)
def weave(s: Any, ids: Any, nodes: Any, values: Any, out: Any, o: Any) -> Any:
    """Ids of nodes and their values as a JSON object from out[o] on; the position behind it.

    Room for every id and 4 + WIDEST bytes more is there. `values` is one for each node of the graph.
    """
    s, starts, counts, out = bare(s), bare(ids[0]), bare(ids[1]), bare(out)
    out[o] = OPEN_OBJECT
    o += 1
    for i in nodes:
        o = put_name(s, starts[i], counts[i], out, o)
        out[o] = COLON
        o = write_number(values[i], out, o + 1, False)
        out[o] = COMMA
        o += 1
    if len(nodes):
        o -= 1
    out[o] = CLOSE_OBJECT
    return o + 1


@entry(types.int64, types.float64, types.uint8[::1], types.int64)
def weave_number(x: Any, out: Any, o: Any) -> Any:
    """One number as answers have it; the position behind it."""
    return write_number(x, out, o, False)
