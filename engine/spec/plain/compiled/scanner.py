"""The body of a request, scanned natively: where its parts are, and the nodes of its graph as numbers.

Nothing here says what is wrong. What is not a plain scalar graph ends the scan, and the general reader reads the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.spec.plain.compiled.jit import BYTES, bare, entry, helper, types
from engine.spec.plain.compiled.names import ABSENT, find, insert
from engine.spec.plain.compiled.numbers import HARD, OK, read_number
from engine.spec.plain.compiled.text import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    at,
    blank,
    name_end,
    same,
    skip,
    utf8,
)

KEYS = np.frombuffer(b"graphinputsnodesoutputsidopvalueattrs", np.uint8).copy()
GRAPH, INPUTS, NODES, OUTPUTS, ID, OP, VALUE, ATTRS = (
    (0, 5), (5, 6), (11, 5), (16, 7), (23, 2), (25, 2), (27, 5), (32, 5)
)  # fmt: skip
"""Keys, as spans of KEYS."""

NONE = -1
"""No operand in this place. A node is its position; literal k is −(2k + 2), a node further down whose id starts at byte p
is −(2p + 3)."""

INPUT, CONSTANT = 0, 1
"""The first two rows of the table of ops; rows from `FIRST` on compute."""
FIRST = 2
MOST_OPERANDS = 3

(N_NODES, N_LITERALS, N_HARD, N_GIVEN, GRAPH_AT, GRAPH_END, INPUTS_AT, INPUTS_END, OUTPUTS_AT, FORWARD) = (
    range(10)
)
FIELDS = 10
"""What `read` finds: counts, places of parts (−1: there is none), whether a node refers to one further down."""


@entry(types.UniTuple(types.int64, 3), BYTES)
def survey(s: Any) -> Any:
    """Upper bounds for what is to come: opening braces, opening brackets and commas (also those in strings)."""
    braces, brackets, commas = 0, 0, 0
    for c in s:
        braces += c == OPEN_OBJECT
        brackets += c == OPEN_LIST
        commas += c == COMMA
    return braces, brackets, commas


@entry(types.boolean, BYTES)
def is_utf8(s: Any) -> Any:
    """Whether the bytes are UTF-8."""
    return utf8(s)


@helper
def is_key(s: Any, a: Any, end: Any, key: Any) -> Any:
    """Whether s[a:end] is this key."""
    return end - a == key[1] and same(s, a, KEYS, key[0], key[1])


@helper
def after_key(s: Any, i: Any) -> Any:
    """Key of a member at s[i]: (end of its text, where its value starts); −1 if this is none."""
    end = name_end(s, i)
    if end < 0:
        return -1, -1
    i = blank(s, end + 1)
    if at(s, i) != COLON:
        return -1, -1
    return end, blank(s, i + 1)


@helper
def find_op(
    s: Any, a: Any, end: Any, text: Any, op_rows: Any, exact: Any, folded: Any,
    lower: Any, state: Any,
) -> Any:  # fmt: skip
    """The row of an op by name: exactly as written, else in lower case; −1 for what is not in the table."""
    j = find(s, a, end - a, text, exact, state)
    if j == ABSENT:
        if end - a > len(lower):
            return -1
        for k in range(end - a):
            c = s[a + k]
            lower[k] = c + 32 if 65 <= c <= 90 else c
        j = find(lower, 0, end - a, text, folded, state)
    return op_rows[j] if j >= 0 else -1


@helper
def read_literal(s: Any, i: Any, values: Any, hard: Any, info: Any) -> Any:
    """A number as the next literal; the position behind it, −1 if there is none."""
    end, value, verdict = read_number(s, i)
    k = info[N_LITERALS]
    if k >= len(values):
        return -1
    if verdict == HARD:
        if info[N_HARD] >= len(hard):
            return -1
        hard[info[N_HARD], 0], hard[info[N_HARD], 1], hard[info[N_HARD], 2] = k, i, end
        info[N_HARD] += 1
    elif verdict != OK:
        return -1
    values[k] = value
    info[N_LITERALS] = k + 1
    return end


@helper
def read_operands(
    s: Any, i: Any, n: Any, args: Any, table: Any, state: Any, values: Any, hard: Any, info: Any,
) -> Any:  # fmt: skip
    """The list of operands of node n at s[i]: (the position behind it, how many there are); −1 if there is more to it."""
    if at(s, i) != OPEN_LIST:
        return -1, 0
    i = blank(s, i + 1)
    if at(s, i) == CLOSE_LIST:
        return i + 1, 0
    count = 0
    while count < MOST_OPERANDS:
        if at(s, i) == QUOTE:
            end = name_end(s, i)
            if end < 0:
                return -1, 0
            j = find(s, i + 1, end - i - 1, s, table, state)
            if j == ABSENT:
                info[FORWARD] = 1
                j = -(2 * (i + 1) + 3)
            elif j < 0:
                return -1, 0
            args[n, count] = j
            i = end + 1
        else:
            args[n, count] = -(2 * info[N_LITERALS] + 2)
            i = read_literal(s, i, values, hard, info)
            if i < 0:
                return -1, 0
        count += 1
        i = blank(s, i)
        c = at(s, i)
        if c == CLOSE_LIST:
            return i + 1, count
        if c != COMMA:
            return -1, 0
        i = blank(s, i + 1)
    return -1, 0


@helper
def read_node(
    s: Any, i: Any, n: Any, text: Any, op_rows: Any, exact: Any, folded: Any,
    arity: Any, lower: Any, op_state: Any,
    starts: Any, counts: Any, rows: Any, args: Any, table: Any, state: Any, values: Any, hard: Any, info: Any,
) -> Any:  # fmt: skip
    """Node n, an object at s[i]; the position behind it, −1 if it is not plain."""
    if at(s, i) != OPEN_OBJECT:
        return -1
    i = blank(s, i + 1)
    seen, row, operands = 0, -1, 0
    for k in range(MOST_OPERANDS):
        args[n, k] = NONE
    name, name_stop = 0, 0
    while True:
        end, value = after_key(s, i)
        if end < 0:
            return -1
        key = i + 1
        i = value
        if is_key(s, key, end, ID):
            bit = 1
            name, name_stop = i + 1, name_end(s, i)
            if name_stop < 0:
                return -1
            i = name_stop + 1
        elif is_key(s, key, end, OP):
            bit = 2
            end = name_end(s, i)
            if end < 0:
                return -1
            row = find_op(s, i + 1, end, text, op_rows, exact, folded, lower, op_state)
            if row < 0:
                return -1
            i = end + 1
        elif is_key(s, key, end, INPUTS):
            bit = 4
            if seen & 8 and at(s, blank(s, i + 1)) != CLOSE_LIST:
                return -1  # the operand would take the place of the value
            i, operands = read_operands(s, i, n, args, table, state, values, hard, info)
            if i < 0:
                return -1
        elif is_key(s, key, end, VALUE):
            bit = 8
            if operands:
                return -1
            args[n, 0] = -(2 * info[N_LITERALS] + 2)
            i = read_literal(s, i, values, hard, info)
            if i < 0:
                return -1
        elif is_key(s, key, end, ATTRS):
            bit = 16
            if at(s, i) != OPEN_OBJECT:
                return -1
            i = blank(s, i + 1)
            if at(s, i) != CLOSE_OBJECT:
                return -1
            i += 1
        else:
            return -1
        if seen & bit:  # of two equal keys the last one counts: not here
            return -1
        seen |= bit
        i = blank(s, i)
        c = at(s, i)
        if c == CLOSE_OBJECT:
            break
        if c != COMMA:
            return -1
        i = blank(s, i + 1)
    if seen & 3 != 3 or operands != arity[row]:
        return -1
    if seen & 8:
        if row >= FIRST:
            return -1
    elif row == CONSTANT:
        return -1
    if row >= FIRST and args[n, 0] < NONE and args[n, 1] <= NONE and args[n, 2] <= NONE:
        some = False  # literals alone are folded, or become integers: not here. A node further down is odd, a literal even
        for k in range(operands):
            some = some or args[n, k] & 1 == 1
        if not some:
            return -1
    if find(s, name, name_stop - name, s, table, state) != ABSENT:
        return -1
    starts[n], counts[n], rows[n] = name, name_stop - name, row
    insert(n, name, name_stop - name, table, state)
    return i + 1


@helper
def read_given(s: Any, i: Any, starts: Any, counts: Any, values: Any, info: Any) -> Any:
    """Values of inputs, an object of numbers at s[i]; the position behind it, −1 if there are others in it."""
    if at(s, i) != OPEN_OBJECT:
        return -1
    i = blank(s, i + 1)
    if at(s, i) == CLOSE_OBJECT:
        return i + 1
    while True:
        end, value = after_key(s, i)
        k = info[N_GIVEN]
        if end < 0 or k >= len(starts):
            return -1
        starts[k], counts[k] = i + 1, end - i - 1
        stop, number, verdict = read_number(s, value)
        if verdict != OK:
            return -1
        values[k] = number
        info[N_GIVEN] = k + 1
        i = blank(s, stop)
        c = at(s, i)
        if c == CLOSE_OBJECT:
            return i + 1
        if c != COMMA:
            return -1
        i = blank(s, i + 1)


INT_SPANS = types.int32[::1]
OPS = types.Tuple((types.uint8[::1], types.int32[::1], types.int64[::1], types.int64[::1]))
STATE = types.uint64[::1]
IDS = types.UniTuple(INT_SPANS, 2)
LITERALS = types.Tuple((types.float64[::1], types.int32[:, ::1]))
GIVEN = types.Tuple((INT_SPANS, INT_SPANS, types.float64[::1]))


@helper
def read_nodes(
    s: Any, i: Any, text: Any, op_rows: Any, exact: Any, folded: Any,
    arity: Any, lower: Any, op_state: Any,
    starts: Any, counts: Any, rows: Any, args: Any, table: Any, state: Any, values: Any, hard: Any, info: Any,
) -> Any:  # fmt: skip
    """The list of nodes at s[i]; the position behind it, −1 if one of them is not plain."""
    if at(s, i) != OPEN_LIST:
        return -1
    i = blank(s, i + 1)
    n = 0
    while n < len(rows):
        i = read_node(
            s,
            i,
            n,
            text,
            op_rows,
            exact,
            folded,
            arity,
            lower,
            op_state,
            starts,
            counts,
            rows,
            args,
            table,
            state,
            values,
            hard,
            info,
        )
        if i < 0:
            return -1
        n += 1
        info[N_NODES] = n
        i = blank(s, i)
        c = at(s, i)
        if c == CLOSE_LIST:
            return i + 1
        if c != COMMA:
            return -1
        i = blank(s, i + 1)
    return -1


@helper
def read_graph(
    s: Any, i: Any, text: Any, op_rows: Any, exact: Any, folded: Any,
    arity: Any, lower: Any, op_state: Any,
    starts: Any, counts: Any, rows: Any, args: Any, table: Any, state: Any, values: Any, hard: Any, info: Any,
) -> Any:  # fmt: skip
    """The graph at s[i]; the position behind it, −1 if it is not plain."""
    if at(s, i) != OPEN_OBJECT:
        return -1
    i = blank(s, i + 1)
    while True:
        end, value = after_key(s, i)
        if end < 0:
            return -1
        key = i + 1
        i = value
        if is_key(s, key, end, NODES):
            if info[N_NODES]:
                return -1
            i = read_nodes(
                s,
                i,
                text,
                op_rows,
                exact,
                folded,
                arity,
                lower,
                op_state,
                starts,
                counts,
                rows,
                args,
                table,
                state,
                values,
                hard,
                info,
            )
        elif is_key(s, key, end, OUTPUTS):
            if info[OUTPUTS_AT] >= 0 or at(s, i) != OPEN_LIST:
                return -1
            info[OUTPUTS_AT] = i
            i = skip(s, i)
        else:
            return -1
        if i < 0:
            return -1
        i = blank(s, i)
        c = at(s, i)
        if c == CLOSE_OBJECT:
            return i + 1 if info[N_NODES] else -1
        if c != COMMA:
            return -1
        i = blank(s, i + 1)


@entry(
    types.boolean, BYTES, OPS, types.int32[::1], types.uint8[::1], STATE,
    IDS, types.int32[::1], types.int32[:, ::1], types.int64[::1], STATE, LITERALS, GIVEN, types.int64[::1],
)  # fmt: skip
def read(
    s: Any, ops: Any, arity: Any, lower: Any, op_state: Any,
    ids: Any, rows: Any, args: Any, table: Any, state: Any, literals: Any, given: Any, info: Any,
) -> Any:  # fmt: skip
    """A whole body: whether it is an object with a plain graph in it, and values of inputs that are numbers.

    `ops` is the table of names, `arity` how many operands each row takes. Filled are: spans of `ids`, `rows` of the table
    and `args` for each node, `table` with the ids, `literals` (numbers, and where those are that still have to be read),
    `given` (spans of keys, and numbers), and `info`.
    """
    text, op_rows, exact, folded = bare(ops[0]), bare(ops[1]), bare(ops[2]), bare(ops[3])
    starts, counts = bare(ids[0]), bare(ids[1])
    values, hard = bare(literals[0]), bare(literals[1])
    given_starts, given_counts, given_values = bare(given[0]), bare(given[1]), bare(given[2])
    s, arity, lower, op_state = bare(s), bare(arity), bare(lower), bare(op_state)
    rows, args, table, state, info = bare(rows), bare(args), bare(table), bare(state), bare(info)
    i = blank(s, 0)
    if at(s, i) != OPEN_OBJECT:
        return False
    i = blank(s, i + 1)
    while True:
        end, value = after_key(s, i)
        if end < 0:
            return False
        key = i + 1
        i = value
        if is_key(s, key, end, GRAPH):
            if info[GRAPH_AT] >= 0:
                return False
            info[GRAPH_AT] = i
            i = read_graph(
                s,
                i,
                text,
                op_rows,
                exact,
                folded,
                arity,
                lower,
                op_state,
                starts,
                counts,
                rows,
                args,
                table,
                state,
                values,
                hard,
                info,
            )
            info[GRAPH_END] = i
        elif is_key(s, key, end, INPUTS):
            if info[INPUTS_AT] >= 0:
                return False
            info[INPUTS_AT] = i
            i = read_given(s, i, given_starts, given_counts, given_values, info)
            info[INPUTS_END] = i
        else:
            i = skip(s, i)
        if i < 0:
            return False
        i = blank(s, i)
        c = at(s, i)
        if c == CLOSE_OBJECT:
            return blank(s, i + 1) == len(s) and info[GRAPH_AT] >= 0
        if c != COMMA:
            return False
        i = blank(s, i + 1)
