"""A small graph as a function of some of its arguments, number by number on the tape machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.derive.on_tape import trusted
from engine.graph import Graph
from engine.tape import Expanded, Tape, tape_of


class Quick:
    """A function on the tape machine, one entry for each number: everything but the variables is laid out once.

    Methods give None where the tape cannot be trusted: something is not finite, or a kink was met.
    """

    def __init__(self, expanded: Expanded | None, fixed: Sequence[Array], variables: Sequence[int]) -> None:
        self.tape: Tape | None = None
        if expanded is None:
            return
        x, exact = expanded.laid(fixed)
        if not exact:
            return
        self.tape = expanded.tape
        self.x = np.array(x, np.float64)
        self.at = np.concatenate(
            [np.arange(expanded.inputs[k].start, expanded.inputs[k].stop) for k in variables]
        )
        self.of = expanded.outputs[0].reshape(-1)

    @classmethod
    def of_scalars(cls, graph: Graph, fixed: Sequence[Array], variables: Sequence[int]) -> Quick:
        """Of a graph of scalars, however long it is."""
        quick = cls(None, fixed, variables)
        if len(graph.outputs) == 1 and graph.inputs == tuple(range(len(graph.inputs))):
            quick.tape = tape_of(graph)
        if quick.tape is not None:
            quick.x = np.array([float(a) for a in fixed])
            quick.at = np.asarray(variables, np.intp)
            quick.of = np.asarray(graph.outputs, np.intp)
        return quick

    def _laid(self, point: Array) -> Array:
        x = self.x.copy()
        x[self.at] = point
        return x

    def value(self, point: Array) -> Array | None:
        """f, flat."""
        assert self.tape is not None
        found = self.tape.values(self._laid(point))
        return None if found.suspicious else found.v[self.of]

    def gradient(self, point: Array, cotangent: Array) -> tuple[Array, Array] | None:
        """f, flat, and the gradient of Σ cotangent·f."""
        assert self.tape is not None
        if len(self.of) == 1:
            seeds: Any = {int(self.of[0]): float(cotangent.reshape(-1)[0])}
        else:
            seeds = (self.of, cotangent.reshape(-1))
        found = self.tape.gradient(self._laid(point), seeds)
        return None if found.suspicious or found.kinked else (found.v[self.of], found.g[self.at])

    def jacobian(self, point: Array) -> tuple[Array, Array] | None:
        """f, flat, and its Jacobian."""
        assert self.tape is not None
        at = self.tape.linearize(self._laid(point))
        if not trusted(at):
            return None
        n, m = len(self.at), len(self.of)
        if n <= m:
            matrix = np.ascontiguousarray(at.forward_many(self.at, np.eye(n), self.of).T)
        else:
            matrix = at.reverse_many(self.of, np.eye(m), self.at)
        return (at.v[self.of], matrix) if trusted(at) else None
