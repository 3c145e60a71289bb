"""Writes the loops over runs, `plain_runs.py` and `native_runs.py`, from the table of ops: `python -m engine.tape.generate_runs`.

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


def _case(row: Row) -> Iterator[str]:
    text = number(row.value)
    operands = [(k, name) for k, name in enumerate("abc") if name in used(text)]
    for k, name in operands:
        yield f"{name}0 = table[at + {2 + 2 * k}]"
        yield f"{name}1 = table[at + {3 + 2 * k}]"
    yield "for k in range(n):"
    for _, name in operands:
        yield f"    {name} = v[{name}0 + k * {name}1]"
    yield f"    v[i + k] = {text}"


def _computed() -> Iterator[str]:
    yield f'''
@helper
def computed(codes: Ints, table: Ints, v: Floats, first: int, last: int) -> None:
    """Compute the entries of some runs. A row of the table: where it begins, how long it is, operands, their distances."""
    for r in range(first, last):
        o = codes[r]
        at = {WIDTH} * r
        i = table[at]
        n = table[at + 1]'''
    word = "if"
    for code, row in enumerate(ROWS, 1):
        yield f"        {word} o == {code}:  # {row.name}"
        word = "elif"
        for line in _case(row):
            yield f"            {line}"
    yield f"""        elif o == {LOAD}:  # load
            a0 = table[at + 2]
            a1 = table[at + 3]
            b0 = table[at + 4]
            b1 = table[at + 5]
            c0 = table[at + 6]
            for k in range(n):
                b = v[b0 + k * b1]
                v[i + k] = v[a0 + k * a1 + place(b)] if b >= 0.0 and b < c0 else INF
        else:
            v[i] = INF"""


STEPS = '''

@helper
def finite(v: Floats, first: int, last: int) -> bool:
    """Whether entries `first` … `last` − 1 are finite."""
    a = b = c = d = 0.0
    i = first
    while i + 4 <= last:
        a += v[i] - v[i]
        b += v[i + 1] - v[i + 1]
        c += v[i + 2] - v[i + 2]
        d += v[i + 3] - v[i + 3]
        i += 4
    while i < last:
        a += v[i] - v[i]
        i += 1
    return a + b + c + d == 0.0


@kernel(STEPS)
def steps(
    codes: Ints, table: Ints, split: int, v: Floats, begin: int, middle: int,
    x: Floats, width: int, after: Ints, kept: Ints, out: Floats, test: int, count: int,
) -> int:
    """Up to `count` steps of a loop. How many were taken: r·4 after r steps; + 1 if the condition ended it; + 2 if an entry
    of the next step is not finite.

    v holds from `begin` on the carries, then `width` entries for the slices, of which x has a row for each step, then what
    is computed: the condition in entry `test` by the first `split` runs, up to entry `middle`, the rest by the others.
    `after` are the entries that become the carries, `kept` those that go into a row of `out`. Without condition `test` is −1.
    """
    n = len(after)
    slot = begin + n
    size = len(v)
    room = [0.0] * n
    for t in range(count):
        for j in range(width):
            v[slot + j] = x[t * width + j]
        if test >= 0:
            computed(codes, table, v, 0, split)
            if not finite(v, begin, middle):
                return 4 * t + 2
            if v[test] == 0.0:
                return 4 * t + 1
        computed(codes, table, v, split, len(codes))
        if not finite(v, begin, size):
            return 4 * t + 2
        at = t * len(kept)
        for j in range(len(kept)):
            out[at + j] = v[kept[j]]
        for j in range(n):
            room[j] = v[after[j]]
        for j in range(n):
            v[begin + j] = room[j]
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


def kernel(signature: str) -> Callable[[F], F]:
    """As it is; the native machine compiles here."""
    return helper


def place(b: float) -> int:
    """A number as a distance between entries."""
    return int(b)


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


def kernel(signature: str) -> Callable[[Any], Any]:
    """Compiled for this signature alone, or read from the cache on disk."""
    compiled: Callable[[Any], Any] = njit(signature, error_model="numpy", nogil=True, cache=True)
    return compiled


@helper
def place(b: float) -> int:
    """A number as a distance between entries."""
    return uint64(b)


STEPS = (
    "int64(uint8[::1], uint64[::1], int64, float64[::1], int64, int64,"
    " float64[::1], int64, uint32[::1], uint32[::1], float64[::1], int64, int64)"
)
''',
}


def source(machine: str) -> str:
    """Text of `plain_runs.py` or `native_runs.py`."""
    prelude = (HERE / "prelude.py").read_text(encoding="utf-8")
    helpers = re.sub(r"^def ", "@helper\ndef ", prelude[prelude.index("\nINF = ") :], flags=re.MULTILINE)
    body = helpers + "\n" + "\n".join(_computed()) + STEPS
    head = _HEAD[machine].format(names=", ".join(math_names(body)))
    return head + re.sub(r"\n{4,}", "\n\n\n", body).rstrip() + "\n"


def main() -> int:
    """Write both files."""
    for machine in _HEAD:
        (HERE / f"{machine}_runs.py").write_text(source(machine), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
