"""Whole graphs of small arrays on the tape: an entry for each number, so that a call costs microseconds, not one for each op.

What CasADi calls expanding MX to SX. The derivatives are those of the entries: of a sum of products, not of a matrix
product. Where a graph's op has a derivative of its own convention, its entries have a kink or are not finite (`Op.expand`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.entries import WHOLE, Entries, Positions, TooManyError
from engine.graph import Graph
from engine.tape import machine
from engine.tape.flat import flat
from engine.tape.price import arrays
from engine.tape.tape import Floats, Linearized, Tape
from engine.tape.walk import UnexpandableError, argument, expandable, write

MOST = 4000
"""Computed entries of a graph that is expanded as a whole."""

NATIVE, PLAIN = 2.0, 60.0
"""Nanoseconds for the value of an entry: in machine code, and in plain Python where there is no other. Its partials and a
sweep take about as much again; arrays take thrice as long for a gradient as for a value."""


class Expanded:
    """A graph as a tape. Arguments and results are arrays: input k has the entries `inputs[k]`, result k `outputs[k]`.

    Cotangents are those of the graph's inputs: entries that are equal are one entry, whatever nodes they belong to.
    """

    __slots__ = ("_integers", "_outputs", "avals", "inputs", "outputs", "results", "size", "tape")

    def __init__(
        self, tape: Tape, graph: Graph, inputs: Sequence[Positions], outputs: Sequence[Positions]
    ) -> None:
        self.tape = tape
        self.avals = graph.in_avals
        self.results = graph.out_avals
        self.inputs = _slices(self.avals)
        """Where each argument is among all of them; they are the first entries."""
        self.size = sum(a.size for a in self.avals)
        self.outputs = tuple(outputs)
        self._outputs = [_reader(p, a) for p, a in zip(outputs, self.results, strict=True)]
        self._integers = [
            s for s, a in zip(self.inputs, self.avals, strict=True) if a.dtype == "int64" and a.size
        ]

    def __len__(self) -> int:
        return len(self.tape)

    def values(self, arguments: Sequence[Any]) -> tuple[list[Any], bool]:
        """The results, and whether they are suspicious (see `Sweep`): then there are none."""
        x, exact = self.laid(arguments)
        found = self.tape.values(x)
        if found.suspicious or not exact:
            return [], True
        return self.read(found.v), False

    def linearize(self, arguments: Sequence[Any]) -> Point:
        """The graph at a point: results, and all that is linear there."""
        x, exact = self.laid(arguments)
        at = self.tape.linearize(x)
        at.suspicious = at.suspicious or not exact
        return Point(self, at)

    def gradient(self, arguments: Sequence[Any], cotangents: Mapping[int, Any]) -> PointGradient:
        """Results, and the cotangents of the inputs from those of some results, in one call of the machine."""
        x, exact = self.laid(arguments)
        found = self.tape.gradient(x, self.seeds(self.outputs, cotangents))
        if found.suspicious or not exact:
            return PointGradient([], [], found.kinked, True)
        return PointGradient(self.read(found.v), self.cut(found.g), found.kinked, False)

    # -- arrays in and out

    def laid(self, arrays_: Sequence[Any]) -> tuple[Floats, bool]:
        """Arrays of the inputs one behind the other, and whether their integers are exact."""
        if len(arrays_) == 1 and isinstance(arrays_[0], np.ndarray) and not self._integers:
            return arrays_[0].reshape(-1), True
        x = np.empty(self.size)
        for own, array in zip(self.inputs, arrays_, strict=True):
            x[own] = array if type(array) is float else np.asarray(array).reshape(-1)
        for own in self._integers:
            if np.abs(x[own]).max() > WHOLE:
                return x, False
        return x, True

    def read(self, v: Floats) -> list[Any]:
        """The results among the values of the entries."""
        return [read(v) for read in self._outputs]

    def cut(self, g: Floats) -> list[Any]:
        """For each input its part of an array of all entries."""
        return [g[s].reshape(a.shape)[()] for s, a in zip(self.inputs, self.avals, strict=True)]

    def seeds(self, places: Sequence[Any], given: Mapping[int, Any]) -> tuple[Positions, Floats]:
        """Entries and their numbers, from arrays by position among `places`."""
        if len(given) == 1:
            ((k, array),) = given.items()
            return places[k].reshape(-1), np.asarray(array, np.float64).reshape(-1)
        at = [places[k].reshape(-1) for k in given]
        numbers = [np.asarray(a, np.float64).reshape(-1) for a in given.values()]
        if not at:
            return np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate(at), np.concatenate(numbers)


class PointGradient:
    """Results and the cotangents of all inputs; none if they are suspicious. The marks are those of `Gradient`."""

    __slots__ = ("gradients", "kinked", "results", "suspicious")

    def __init__(self, results: list[Any], gradients: list[Any], kinked: bool, suspicious: bool) -> None:
        self.results = results
        self.gradients = gradients
        self.kinked = kinked
        self.suspicious = suspicious


class Point:
    """A graph of arrays at a point: `results` (none if they are suspicious), and derivatives; marks as of `Linearized`."""

    __slots__ = ("_at", "_of", "results")

    def __init__(self, of: Expanded, at: Linearized) -> None:
        self._of = of
        self._at = at
        self.results = [] if at.suspicious else of.read(at.v)

    @property
    def kinked(self) -> bool:
        """Whether a convention was met in place of a derivative."""
        return self._at.kinked

    @property
    def suspicious(self) -> bool:
        """Whether something, of the sweeps so far as well, is not finite."""
        return self._at.suspicious

    def vjp(self, cotangents: Mapping[int, Any]) -> list[Any]:
        """Cotangents of the inputs, from those of the results that are given by position."""
        of = self._of
        return of.cut(self._at.reverse(of.seeds(of.outputs, cotangents)))

    def jvp(self, tangents: Mapping[int, Any]) -> list[Any]:
        """Tangents of the results, from those of the inputs that are given by position."""
        of = self._of
        places = [np.arange(s.start, s.stop) for s in of.inputs]
        d = self._at.forward(of.seeds(places, tangents))
        return [d[p] for p in of.outputs]

    def jacobian(self, result: int, inputs: Sequence[int]) -> list[Array]:
        """∂ result / ∂ input for some inputs, float64[*result, *input], by as many sweeps as the smaller side has."""
        of = self._of
        rows = of.outputs[result].reshape(-1)
        columns = np.concatenate(
            [np.arange(of.inputs[k].start, of.inputs[k].stop) for k in inputs] or [_NONE]
        )
        if len(columns) < len(rows):
            matrix = self._at.forward_many(columns, np.eye(len(columns)), rows).T
        else:
            matrix = self._at.reverse_many(rows, np.eye(len(rows)), columns)
        found, at = [], 0
        for k in inputs:
            n = of.avals[k].size
            part = matrix[:, at : at + n]
            found.append(part.reshape(of.results[result].shape + of.avals[k].shape))
            at += n
        return found


_NONE = np.zeros(0, np.int64)


def expand(graph: Graph, most: int = MOST) -> Expanded | None:
    """The graph entry by entry; None for one that has what a tape has not, or more than `most` computed entries."""
    if not expandable([*graph.in_avals, *graph.out_avals]) or sum(a.size for a in graph.in_avals) > 4 * most:
        return None
    e = Entries(most)
    try:
        given = [argument(e, a) for a in graph.in_avals]
        results = write(e, graph, given)
    except (UnexpandableError, TooManyError):
        return None
    found = flat(e, results)
    if found is None:
        return None
    # The arguments to the front: constants may stand anywhere.
    n = found.first - found.begin
    shift = np.arange(len(found))
    shift[found.begin : found.first] -= found.begin
    shift[: found.begin] += n
    order = np.argsort(shift)
    place = np.append(shift, -1)[found.place]
    args = np.where(_operands(found.ops), shift[found.args], 0)[order]
    tape = Tape(found.ops[order], args, found.leaves[order], range(n), None)
    return Expanded(tape, graph, [place[g] for g in given], [place[r] for r in results])


def expanded_of(graph: Graph) -> Expanded | None:
    """The graph entry by entry where that is faster than by arrays. Made once for as long as the graph lives."""
    kept = vars(graph)
    if "_expanded" not in kept:
        found = expand(graph)
        if found is not None:
            each = NATIVE if machine.expected() else PLAIN
            if each * (len(found) - found.size) > arrays(graph):
                found = None
        kept["_expanded"] = found
    result: Expanded | None = kept["_expanded"]
    return result


def _operands(ops: Any) -> Any:
    return (ops != 0)[:, None]


def _slices(avals: Sequence[Aval]) -> tuple[slice, ...]:
    found, at = [], 0
    for aval in avals:
        found.append(slice(at, at + aval.size))
        at += aval.size
    return tuple(found)


def _reader(positions: Positions, aval: Aval) -> Any:
    """What takes a result out of the values of the entries."""
    dtype = np.dtype(aval.dtype)
    if not aval.shape:
        at = int(positions)
        if aval.dtype == "float64":
            return lambda v: v[at]
        return lambda v: v[at].astype(dtype)
    flat_positions = positions.reshape(-1)
    if aval.dtype != "float64":
        return lambda v: v[positions].astype(dtype)
    if len(flat_positions) and (np.diff(flat_positions) == 1).all():
        own = slice(int(flat_positions[0]), int(flat_positions[-1]) + 1)
        shape = aval.shape
        return lambda v: v[own].reshape(shape)
    return lambda v: v[positions]
