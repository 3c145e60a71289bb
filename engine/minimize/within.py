"""What a minimisation may take: iterations, points of a grid, memory, entries of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Aval
from engine.cost import Limits, check_answer
from engine.errors import InvalidField, LimitExceeded, MistakeCollector, UnknownNode, Where, nearest, quoted
from engine.minimize.methods import METHODS
from engine.minimize.path import MOST
from engine.minimize.problem import Problem
from engine.specialize import pointer_part


def check_iterations(options: Mapping[str, Any], limits: Limits) -> None:
    """Raise `LimitExceeded` for more iterations, or points of a search, than a server makes."""
    most = limits.minimize_iterations
    for name in ("max_iterations", "samples"):
        value = options.get(name)
        if value is not None and value > most:
            raise LimitExceeded(
                "minimize_iterations",
                most,
                value,
                f"`{name}` is {value:,}; this server makes at most {most:,} iterations.",
                where=Where(pointer=f"/options/{name}"),
            )


def grid_of(problem: Problem, given: Any, limits: Limits) -> list[int]:
    """The points on each axis of a grid. Raises `InvalidField` for missing bounds, `LimitExceeded` for too many points."""
    f = problem.objective
    mistakes = MistakeCollector()
    counts: list[int] = []
    if isinstance(given, dict):
        for name in given:
            if name not in f.names:
                mistakes.add(
                    UnknownNode(
                        f"`points` names {quoted(name)}, which is none of the variables.",
                        node=name,
                        where=Where(pointer=f"/options/points/{pointer_part(name)}"),
                        suggestions=nearest(name, f.names),
                    )
                )
    for name, aval in zip(f.names, f.avals, strict=True):
        counts += [given.get(name, 10) if isinstance(given, dict) else given] * aval.size
    for k, name in enumerate(f.names):
        own = f.part(k)
        if not (np.isfinite(problem.low[own]).all() and np.isfinite(problem.high[own]).all()):
            mistakes.add(
                InvalidField(
                    f"grid-search needs finite bounds of every variable; those of {quoted(name)} are missing.",
                    node=name,
                    where=Where(pointer=f"/bounds/{pointer_part(name)}"),
                )
            )
    mistakes.raise_if_any()
    total, most = 1, limits.minimize_iterations
    for k in counts:
        total *= k
        if total > 10**30:
            break
    if total > most:
        shown = (
            f"{counts[0]}^{len(counts)} = {total:,}"
            if len(set(counts)) == 1 and total < 10**15
            else "That many"
        )
        raise LimitExceeded(
            "minimize_iterations",
            most,
            total,
            f"A grid has as many points as the product of those on each axis: {shown} points for {len(counts)} variables; "
            f"this server looks at {most:,} at most. That is what is wrong with grids: one variable more multiplies the "
            "work. Take fewer `points`, or a method that follows the gradient, such as gd or l-bfgs-b.",
            where=Where(pointer="/options/points"),
        )
    return counts


def entries_within(
    name: str,
    options: Mapping[str, Any],
    avals: Sequence[Aval],
    residuals: int,
    *,
    points: bool,
    limits: Limits,
) -> int:
    """How many entries the history may have. Raises `LimitExceeded` for an answer, vectors or a matrix beyond the limits."""
    size = sum(a.size for a in avals)
    method = METHODS[name]
    # The optimum, and at least two points of the history.
    per = size + 3 if points else 3
    check_answer([*avals, Aval((2 * per,), "float64")], limits)
    vectors = 2 * options.get("memory", 0) + 30
    needed = 8 * size * vectors
    if needed > limits.memory_bytes // 2:
        raise LimitExceeded(
            "memory_bytes",
            limits.memory_bytes // 2,
            needed,
            f"{name} keeps about {vectors} vectors of these {size:,} variables, {needed:,} bytes; at most "
            f"{limits.memory_bytes // 2:,} are allowed.",
            where=Where(pointer="/options/memory" if "memory" in options else "/method"),
        )
    matrix = size * size if method.dense else residuals * size if method.residual else 0
    if matrix > limits.elements:
        raise LimitExceeded(
            "elements",
            limits.elements,
            matrix,
            f"{name} holds a matrix of {matrix:,} elements for these {size:,} variables; at most "
            f"{limits.elements:,} are allowed. l-bfgs-b does without one.",
            where=Where(pointer="/method"),
        )
    return int(max(2, min(MOST, (limits.response_elements - size) // per)))
