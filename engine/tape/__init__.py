"""The tape machine: graphs of scalars in two compiled loops.

A graph of float64 and boolean scalars becomes arrays of op codes and operand positions (`tape_of`, or `Tape` from arrays
that someone else made). One loop with one big switch computes every value and the partial derivative along every edge
(`Tape.linearize`); all sweeps over them, backward or forward, one or many at a time, are loops without a case in them.

    tape = tape_of(graph)                       # None: not a graph for the tape
    at = tape.linearize([1.0, 2.0])
    g = at.reverse({output: 1.0})               # cotangents of all entries
    if at.suspicious or at.kinked: ...          # the careful executor has the answer, and its warnings

The loops exist twice, generated from the table of ops (`generate`): in plain Python, and compiled by Numba where that is
installed. Both give the same numbers to the last bit, as far as they call the same C library, so which of them runs does
not matter (`machine`). The rows know nothing of infinities, NaN and strong zeros: whatever is not finite is reported.

The tape and its linearization: R. E. Wengert, CACM 7(8), 1964; A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd
ed., SIAM 2008, chapters 3 and 6.
"""

from engine.tape.build import tape_of
from engine.tape.expand import Expanded, expand, expanded_of
from engine.tape.loop import loop_of
from engine.tape.table import CODES, LEAF, ROWS, Row
from engine.tape.tape import Gradient, Linearized, Sweep, Tape

__all__ = [
    "CODES",
    "LEAF",
    "ROWS",
    "Expanded",
    "Gradient",
    "Linearized",
    "Row",
    "Sweep",
    "Tape",
    "expand",
    "expanded_of",
    "loop_of",
    "tape_of",
]
