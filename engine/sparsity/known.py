"""Values of a graph's nodes while its structure is found: indices that are known from the request, zeros of constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, DType
from engine.builder import EagerBuilder
from engine.graph import CONSTANT, INPUT, Graph

Step = Callable[[], None]


class Values:
    """Values of the nodes of a graph, computed when they are asked for; None for those that depend on unknown arguments."""

    def __init__(
        self, graph: Graph, arguments: Sequence[Array | None], dtype: DType, step: Step | None = None
    ) -> None:
        self.graph = graph
        self.dtype = dtype
        self.step = step
        self._found: dict[int, Any] = {
            i: np.asarray(a)[()] for i, a in zip(graph.inputs, arguments, strict=True) if a is not None
        }
        self._dependent: set[int] = set(self._found)
        self._asked: set[int] = set()
        """Nodes whose values were asked for, and that depend on the arguments."""
        self._unknown: set[int] = {i for i, a in zip(graph.inputs, arguments, strict=True) if a is None}

    def decisive(self) -> set[int]:
        """Positions among the graph's arguments of those on whose values something depended that was asked for."""
        seen: set[int] = set()
        todo = list(self._asked)
        while todo:
            j = todo.pop()
            if j not in seen:
                seen.add(j)
                todo.extend(self.graph.nodes[j].inputs)
        return {k for k, i in enumerate(self.graph.inputs) if i in seen}

    def constant(self, i: int) -> Any:
        """The node's value if it depends on no argument at all, else None."""
        seen: set[int] = set()
        todo = [i]
        while todo:
            j = todo.pop()
            if self.graph.nodes[j].op is INPUT:
                return None
            if j not in seen:
                seen.add(j)
                todo.extend(self.graph.nodes[j].inputs)
        return self.known(i)

    def known(self, i: int) -> Any:
        """The node's value, None if it is not known. Raises the `EngineError`s of computing it."""
        if i in self._found:
            if i in self._dependent:
                self._asked.add(i)
            return self._found[i]
        nodes = self.graph.nodes
        needed: set[int] = set()
        dependent = False
        todo = [i]
        while todo:
            j = todo.pop()
            dependent = dependent or j in self._dependent
            if j in needed or j in self._found:
                continue
            if j in self._unknown:
                self._unknown.add(i)
                return None
            needed.add(j)
            todo.extend(nodes[j].inputs)
        if dependent:
            self._asked.add(i)
            self._dependent |= needed
        builder = EagerBuilder(self.dtype, self.step)
        with np.errstate(all="ignore"):
            for j in sorted(needed):
                op, inputs, params, _ = nodes[j]
                if op is CONSTANT:
                    self._found[j] = params[0][1].value[()]
                else:
                    self._found[j] = builder.emit(op, [self._found[k] for k in inputs], params)
        return self._found[i]
