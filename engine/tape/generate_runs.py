"""Writes the loops over runs from the table of ops: `python -m engine.tape.generate_runs` makes `plain_runs`, `native_runs`.

As `generate` does for the tape. One case of the switch is a loop over the entries of a run, so that finding the case costs
nothing where there are many, and a compiler can compute several at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from engine.tape.flat import LOAD
from engine.tape.generate import math_names, number, used
from engine.tape.runs import WIDTH
from engine.tape.table import ROWS, Row

HERE = Path(__file__).parent

VECTORS = frozenset({"add", "subtract", "multiply", "divide", "negative", "square", "identity", "sqrt"})
"""Ops whose runs over neighbours have a loop of their own, in which a compiler takes several entries at once."""

_ALIKE: dict[int, tuple[tuple[int, ...], ...]] = {1: ((1,),), 2: ((1, 1), (0, 1), (1, 0))}


def _case(row: Row) -> Iterator[str]:
    text = number(row.value)
    operands = [(k, name) for k, name in enumerate("abc") if name in used(text)]
    plain: list[str] = ["for k in range(n):"]
    for _, name in operands:
        plain.append(f"    {name} = v[{name}0 + k * {name}1]")
    plain.append(f"    v[i + k] = {text}")
    word = "if"
    for distances in _ALIKE[len(operands)] if row.name in VECTORS else ():
        yield (
            word
            + " "
            + " and ".join(f"{n}1 == {d}" for (_, n), d in zip(operands, distances, strict=True))
            + ":"
        )
        word = "elif"
        for (_, name), distance in zip(operands, distances, strict=True):
            if not distance:
                yield f"    {name} = v[{name}0]"
        yield "    for k in range(n):"
        for (_, name), distance in zip(operands, distances, strict=True):
            if distance:
                yield f"        {name} = v[{name}0 + k]"
        yield f"        v[i + k] = {text}"
    if word == "if":
        yield from plain
    else:
        yield "else:"
        for line in plain:
            yield f"    {line}"


def _computed() -> Iterator[str]:
    yield f'''
@inlined
def computed(codes: Ints, table: Ints, v: Floats, first: int, last: int) -> None:
    """Compute the entries of some runs. A row of the table: where it begins, how long it is, operands, their distances."""
    for r in range(first, last):
        o = codes[r]
        at = {WIDTH} * r
        i = table[at]
        n = table[at + 1]
        a0 = table[at + 2]
        a1 = table[at + 3]
        b0 = table[at + 4]
        b1 = table[at + 5]
        c0 = table[at + 6]
        c1 = table[at + 7]'''
    word = "if"
    for code, row in enumerate(ROWS, 1):
        yield f"        {word} o == {code}:  # {row.name}"
        word = "elif"
        for line in _case(row):
            yield f"            {line}"
    yield f"""        elif o == {LOAD}:  # load
            for k in range(n):
                b = v[b0 + k * b1]
                v[i + k] = v[a0 + k * a1 + place(b)] if b >= 0.0 and b < c0 else INF
        else:
            v[i] = INF"""


STEPS = '''

@kernel(STEPS)
def steps(
    codes: Ints, table: Ints, split: int, v: Floats, begin: int, middle: int, x: Floats, slot: int, width: int,
    moves: Ints, swaps: Ints, kept: Ints, room: Floats, out: Floats, wide: int, test: int, count: int,
) -> int:
    """Up to `count` steps of a loop. How many were taken: r·4 after r steps; + 1 if the condition ended it; + 2 if an entry
    of the next step is not finite.

    What varies lies in v from `begin` on. Of the `width` slices, which begin at `slot`, x has a row for each step. The
    condition is entry `test`, computed by the first `split` runs up to entry `middle`, the rest by the others; without one
    `test` is −1. Copies are rows of from, to, how many: `moves` make results carries, `swaps` carries carries, by way of
    `room`; `kept` fill a row, `wide` numbers, of `out`.
    """
    bits = bits_of(v)
    for t in range(count):
        copied(x, v, t * width, slot, width)
        first = 0
        last = split
        behind = middle
        for part in range(1 if test < 0 else 0, 2):
            if part == 1:
                first = split
                last = len(codes)
                behind = len(v)
            computed(codes, table, v, first, last)
            if not finite(bits, begin, behind):
                return 4 * t + 2
            if part == 0 and v[test] == 0.0:
                return 4 * t + 1
        for r in range(0, len(kept), 3):
            copied(v, out, kept[r], t * wide + kept[r + 1], kept[r + 2])
        at = 0
        for r in range(0, len(swaps), 3):
            copied(v, room, swaps[r], at, swaps[r + 2])
            at += swaps[r + 2]
        for r in range(0, len(moves), 3):
            copied(v, v, moves[r], moves[r + 1], moves[r + 2])
        at = 0
        for r in range(0, len(swaps), 3):
            copied(room, v, at, swaps[r + 1], swaps[r + 2])
            at += swaps[r + 2]
    return 4 * count
'''

_HEAD = {
    "plain": '''"""Loops over runs in plain Python, over lists of numbers. What raises in `math` is for the caller to catch."""

# Written by `python -m engine.tape.generate_runs`; not to be edited.

from __future__ import annotations

from collections.abc import Callable
from math import {names}
from typing import TypeAlias, TypeVar

Ints: TypeAlias = list[int]
Floats: TypeAlias = list[float]
F = TypeVar("F", bound=Callable[..., object])


def helper(fn: F) -> F:
    """As it is; the native machine compiles here."""
    return fn


inlined = helper


def kernel(signature: str) -> Callable[[F], F]:
    """As it is; the native machine compiles here."""
    return helper


def place(b: float) -> int:
    """A number as a distance between entries."""
    return int(b)


def copied(source: Floats, target: Floats, frm: int, to: int, n: int) -> None:
    """Copy n numbers."""
    target[to : to + n] = source[frm : frm + n]


def bits_of(v: Floats) -> Floats:
    """The numbers themselves."""
    return v


def finite(v: Floats, first: int, last: int) -> bool:
    """Whether entries `first` … `last` − 1 are finite."""
    return all(map(isfinite, v[first:last]))


STEPS = ""
''',
    "native": '''"""Loops over runs compiled by Numba, over flat arrays. To be imported by `cache.load_module` alone."""

# Written by `python -m engine.tape.generate_runs`; not to be edited.
# mypy: ignore-errors
# The text is that of `plain_runs.py`, whose types are checked; Numba has its own.

from __future__ import annotations

from collections.abc import Callable
from math import {names}
from typing import Any, TypeAlias

from numba import njit, uint64

Ints: TypeAlias = Any
Floats: TypeAlias = Any

helper = njit(error_model="numpy", nogil=True)
inlined = njit(error_model="numpy", nogil=True, inline="always")


def kernel(signature: str) -> Callable[[Any], Any]:
    """Compiled for this signature alone, or read from the cache on disk."""
    compiled: Callable[[Any], Any] = njit(signature, error_model="numpy", nogil=True, cache=True)
    return compiled


@helper
def place(b: float) -> int:
    """A number as a distance between entries."""
    return uint64(b)


@inlined
def copied(source: Floats, target: Floats, frm: int, to: int, n: int) -> None:
    """Copy n numbers."""
    for k in range(uint64(n)):
        target[uint64(to) + k] = source[uint64(frm) + k]


@helper
def bits_of(v: Floats) -> Any:
    """The numbers as they are stored."""
    return v.view(uint64)


@inlined
def finite(bits: Any, first: int, last: int) -> bool:
    """Whether entries `first` … `last` − 1 are finite: whether no exponent is all ones, so that 1 more would overflow."""
    bad = uint64(0)
    for k in range(uint64(first), uint64(last)):
        bad |= (bits[k] & uint64(0x7FF0000000000000)) + uint64(0x0010000000000000)
    return bad < uint64(0x8000000000000000)


STEPS = (
    "int64(uint8[::1], uint64[::1], int64, float64[::1], int64, int64, float64[::1], int64, int64,"
    " int64[::1], int64[::1], int64[::1], float64[::1], float64[::1], int64, int64, int64)"
)
''',
}


def source(machine: str) -> str:
    """Text of `plain_runs.py` or `native_runs.py`."""
    prelude = (HERE / "prelude.py").read_text(encoding="utf-8")
    helpers = re.sub(r"^def ", "@helper\ndef ", prelude[prelude.index("\nINF = ") :], flags=re.MULTILINE)
    body = helpers + "\n" + "\n".join(_computed()) + STEPS
    names = math_names(body) + (["isfinite"] if machine == "plain" else [])
    head = _HEAD[machine].format(names=", ".join(sorted(set(names))))
    return head + re.sub(r"\n{4,}", "\n\n\n", body).rstrip() + "\n"


def main() -> int:
    """Write both files."""
    for machine in _HEAD:
        (HERE / f"{machine}_runs.py").write_text(source(machine), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
