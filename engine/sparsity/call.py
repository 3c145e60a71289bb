"""A node as the structure sees it: its op, its operands' patterns, and their values as far as they are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np

from engine.aval import Array, Aval, Avals, Shape
from engine.errors import EngineError
from engine.graph import Node, single
from engine.op import Op, Partial, Zero
from engine.sparsity.known import Values
from engine.sparsity.pattern import Pattern

Patterns: TypeAlias = "Pattern | tuple[Pattern | None, ...] | None"
"""Of a node: one, or one for each result."""


@dataclass
class Context:
    """What all nodes of one walk share."""

    columns: int
    most: int
    elements: int
    memory: int
    step: Callable[[], None]
    _numbers: dict[tuple[Shape, int], Array] = field(default_factory=dict)
    _random: dict[tuple[Shape, int], Array] = field(default_factory=dict)

    def numbers(self, shape: Shape, first: int) -> Array:
        """`first`, `first` + 1, … in a shape, as floats (exact up to 2⁵³)."""
        found = self._numbers.get((shape, first))
        if found is None:
            found = np.arange(first, first + prod(shape), dtype=np.float64).reshape(shape)
            if found.size > 64:
                self._keep(self._numbers, (shape, first), found)
        return found

    def random(self, shape: Shape, first: int) -> Array:
        """Numbers of which no two have a simple relation; always the same."""
        found = self._random.get((shape, first))
        if found is None:
            found = np.random.default_rng(first).uniform(1.0, 2.0, shape)
            if found.size > 64:
                self._keep(self._random, (shape, first), found)
        return found

    @staticmethod
    def _keep(cache: dict[tuple[Shape, int], Array], key: tuple[Shape, int], value: Array) -> None:
        if len(cache) >= 16:
            cache.pop(next(iter(cache)))
        value.setflags(write=False)
        cache[key] = value


@dataclass
class Call:
    """One node: the op, its operands' avals and patterns, and where their values come from."""

    node: Node
    avals: tuple[Aval, ...]
    patterns: list[Pattern | None]
    values: Values
    context: Context

    @property
    def op(self) -> Op:
        return self.node.op

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.node.params)

    @property
    def results(self) -> tuple[Aval, ...]:
        aval = self.node.aval
        return (aval,) if isinstance(aval, Aval) else aval

    def known(self, k: int) -> Any:
        """Value of operand `k`, None if it is not known."""
        return self.values.known(self.node.inputs[k])

    def live(self) -> list[int]:
        """Operands through which the result depends on a seed."""
        found = []
        for k, p in enumerate(self.patterns):
            if p is None:
                continue
            rule = self.op.rule(k)
            if not isinstance(rule, Zero) and not (isinstance(rule, Partial) and rule.formula.zero):
                found.append(k)
        return found


def call_of(nodes: Sequence[Node], i: int, patterns: Sequence[Any], values: Values, context: Context) -> Call:
    """Node `i` as a call."""
    node = nodes[i]
    avals = tuple(single(nodes[j].aval) for j in node.inputs)
    return Call(node, avals, [patterns[j] for j in node.inputs], values, context)


def named_axes(call: Call) -> tuple[int, ...] | None:
    """The axes that the params name, counted from the end; None if they name none."""
    for name in ("axes", "axis"):
        value = call.params.get(name)
        axes = (value,) if isinstance(value, int) else value
        if isinstance(axes, tuple) and axes and all(type(a) is int and a < 0 for a in axes):
            return axes
    return None


def leading(call: Call, aval: Aval) -> tuple[int, dict[str, Any]]:
    """Over how many leading axes the op is its own map, and its params without these."""
    op, params = call.op, call.params
    if type(op).vmap is not Op.vmap or op.subgraphs or not call.avals:
        return 0, params
    named = named_axes(call)
    most = min(len(a.shape) for a in (*call.avals, *call.results))
    if named is not None:
        most = min(len(a.shape) for a in call.avals) + min(named)
    avals, results, batch = call.avals, call.results, 0
    while batch < most:
        size = avals[0].shape[0]
        if any(a.shape[0] != size for a in (*avals, *results)):
            break
        inner = _unbatched(op, size, params)
        if inner is None:
            break
        avals, results = _inner(avals), _inner(results)
        try:
            inferred: Avals = op.infer(*avals, **inner)
        except (EngineError, IndexError, ValueError):
            break
        if (inferred if not isinstance(inferred, Aval) else (inferred,)) != results:
            break
        params = inner
        batch += 1
    return batch, params


def _inner(avals: Sequence[Aval]) -> tuple[Aval, ...]:
    return tuple(Aval(a.shape[1:], a.dtype) for a in avals)


def _unbatched(op: Op, size: int, params: dict[str, Any]) -> dict[str, Any] | None:
    """Params which `Op.batched` makes these of; None if there are none."""
    if dict(op.batched(size, params)) == params:
        return params
    inner = {k: v[1:] if isinstance(v, tuple) and v[:1] == (size,) else v for k, v in params.items()}
    return inner if dict(op.batched(size, inner)) == params else None
