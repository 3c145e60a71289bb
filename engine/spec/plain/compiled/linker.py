"""References, outputs and order of a scanned graph, natively."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.spec.plain.compiled.jit import BYTES, bare, entry, types
from engine.spec.plain.compiled.names import ABSENT, find, insert
from engine.spec.plain.compiled.scanner import FIRST, INT_SPANS, NONE, STATE
from engine.spec.plain.compiled.text import CLOSE_LIST, COMMA, at, blank, name_end

FAILED, ORDERED, UNORDERED = 0, 1, 2


@entry(types.int64, BYTES, types.int32[:, ::1], types.int64[::1], STATE)
def link(s: Any, args: Any, table: Any, state: Any) -> Any:
    """Put positions in place of references to nodes further down: ORDERED if there were none, FAILED if one is unknown."""
    s, table, state = bare(s), bare(table), bare(state)
    found = ORDERED
    for i in range(len(args)):
        for k in range(3):
            a = args[i, k]
            if a < NONE and a & 1:
                start = -(a + 3) >> 1
                end = name_end(s, start - 1)
                if end < 0:
                    return FAILED
                j = find(s, start, end - start, s, table, state)
                if j < 0:
                    return FAILED
                args[i, k] = j
                found = UNORDERED
    return found


@entry(types.boolean, types.int32[:, ::1], types.int32[::1])
def evaluation_order(args: Any, order: Any) -> Any:
    """Fill `order` with positions in evaluation order, as `engine.spec.order` finds it; False if there is a cycle.

    Depth first: nodes as they were posted, each preceded by what it needs and has not come yet, operands left to right.
    """
    n = len(args)
    done = 4
    state = np.zeros(n, np.uint8)  # 0: new; 1 … 3: open, that many operands were looked at, plus one; done
    path = np.empty(n, np.int32)
    count = 0
    for root in range(n):
        if state[root]:
            continue
        state[root] = 1
        path[0] = root
        depth = 1
        while depth:
            i = path[depth - 1]
            k = np.int64(state[i]) - 1
            if k == 3:
                state[i] = done + 1
                order[count] = i
                count += 1
                depth -= 1
                continue
            state[i] = k + 2
            j = args[i, k]
            if j < 0 or state[j] > done:
                continue
            if state[j]:
                return False
            state[j] = 1
            path[depth] = j
            depth += 1
    return True


@entry(types.int64, BYTES, types.int64, types.int64[::1], STATE, types.int32[::1])
def outputs(s: Any, i: Any, table: Any, state: Any, found: Any) -> Any:
    """Positions of the ids in the list at s[i], each once: how many, 0 if it is not such a list."""
    s, table, state = bare(s), bare(table), bare(state)
    seen = np.zeros(len(found), np.bool_)
    i = blank(s, i + 1)
    n = 0
    while n < len(found):
        end = name_end(s, i)
        if end < 0:
            return 0
        j = find(s, i + 1, end - i - 1, s, table, state)
        if j < 0 or seen[j]:
            return 0
        seen[j] = True
        found[n] = j
        n += 1
        i = blank(s, end + 1)
        c = at(s, i)
        if c == CLOSE_LIST:
            return n
        if c != COMMA:
            return 0
        i = blank(s, i + 1)
    return 0


@entry(types.int64, types.int32[::1], types.int32[:, ::1], types.int32[::1])
def unread(rows: Any, args: Any, found: Any) -> Any:
    """Positions of the computed nodes that no other one reads; how many."""
    n = len(rows)
    read = np.zeros(n, np.bool_)
    for i in range(n):
        for k in range(3):
            if args[i, k] >= 0:
                read[args[i, k]] = True
    count = 0
    for i in range(n):
        if not read[i] and rows[i] >= FIRST:
            found[count] = i
            count += 1
    return count


@entry(
    types.boolean,
    types.uint8[::1],
    INT_SPANS,
    INT_SPANS,
    BYTES,
    types.int64[::1],
    STATE,
    types.int32[::1],
)
def positions(t: Any, at: Any, length: Any, s: Any, table: Any, state: Any, found: Any) -> Any:
    """Positions of the nodes whose ids are spans of t; whether there is one for each."""
    t, at, length, found = bare(t), bare(at), bare(length), bare(found)
    s, table, state = bare(s), bare(table), bare(state)
    for k in range(len(found)):
        j = find(t, at[k], length[k], s, table, state)
        if j < 0:
            return False
        found[k] = j
    return True


@entry(types.boolean, BYTES, INT_SPANS, INT_SPANS, types.int64[::1], STATE, types.int32[::1])
def given_positions(s: Any, at: Any, length: Any, table: Any, state: Any, found: Any) -> Any:
    """As `positions`, of spans of the body itself."""
    at, length, found = bare(at), bare(length), bare(found)
    s, table, state = bare(s), bare(table), bare(state)
    for k in range(len(found)):
        j = find(s, at[k], length[k], s, table, state)
        if j < 0:
            return False
        found[k] = j
    return True


@entry(types.boolean, types.uint8[::1], INT_SPANS, INT_SPANS, INT_SPANS, types.int64[::1], STATE)
def fill(t: Any, starts: Any, counts: Any, chosen: Any, table: Any, state: Any) -> Any:
    """Enter the chosen names of t into a table; False if two are the same."""
    t, starts, counts, table, state = bare(t), bare(starts), bare(counts), bare(table), bare(state)
    for j in chosen:
        if find(t, starts[j], counts[j], t, table, state) != ABSENT:
            return False
        insert(j, starts[j], counts[j], table, state)
    return True


@entry(
    types.void, types.int32[::1], types.int32[:, ::1], types.float64[::1], types.int32[::1], types.int64,
    types.Tuple((types.float64[::1], types.int32[::1])), types.uint8[::1], types.int32[:, ::1], types.float64[::1],
)  # fmt: skip
def assemble(
    rows: Any,
    args: Any,
    literals: Any,
    codes: Any,
    power: Any,
    powers: Any,
    ops: Any,
    operands: Any,
    leaves: Any,
) -> None:
    """Nodes, then literals, as entries of a tape: op codes, positions of operands (0 where there is none), values of leaves.

    The row `power` has other codes where the exponent is a literal: those of `powers` for some exponents, its last otherwise.
    """
    n = len(rows)
    for k in range(len(literals)):
        ops[n + k] = 0
        operands[n + k, 0], operands[n + k, 1], operands[n + k, 2] = 0, 0, 0
        leaves[n + k] = literals[k]
    exponents, power_codes = powers
    for i in range(n):
        row = rows[i]
        leaves[i] = 0.0
        if row < FIRST:
            ops[i] = 0
            operands[i, 0], operands[i, 1], operands[i, 2] = 0, 0, 0
            if args[i, 0] != NONE:
                leaves[i] = literals[-(args[i, 0] + 2) >> 1]
            continue
        for k in range(3):
            a = args[i, k]
            operands[i, k] = a if a >= 0 else 0 if a == NONE else n + (-(a + 2) >> 1)
        ops[i] = codes[row]
        if row == power and args[i, 1] < NONE:
            x = literals[-(args[i, 1] + 2) >> 1]
            code = power_codes[len(exponents)]
            for k in range(len(exponents)):
                if exponents[k] == x:
                    code = power_codes[k]
                    operands[i, 1] = 0
            ops[i] = code
