"""Mini-batches: the objective of some rows of the data, which lead in some of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, aval_of
from engine.errors import EngineError, InvalidField, Where, quoted
from engine.minimize.first_order import NOT_FINITE, settled
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem
from engine.minimize.rules import RULES
from engine.minimize.schedules import schedule
from engine.numeric.function import Function

Make = Callable[[Mapping[str, Aval], Mapping[str, Array]], Function]
"""The objective for inputs of these types and values."""


class Batches:
    """The rows of the data, and the objective for so many of them at a time: at most two sizes, the last of an epoch being
    shorter. The program is typed anew for each, so that a mean over rows is the mean over those of the batch."""

    def __init__(self, arrays: Mapping[str, Array], names: Sequence[str], size: int, make: Make) -> None:
        self.arrays = dict(arrays)
        self.names = list(names)
        self.rows = self.arrays[self.names[0]].shape[0]
        self.size = min(size, self.rows)
        self.functions: dict[int, Function] = {}
        for rows in {self.size, self.rows % self.size or self.size}:
            some = {**self.arrays, **{n: self.arrays[n][:rows] for n in self.names}}
            try:
                self.functions[rows] = make({n: aval_of(a) for n, a in some.items()}, some)
            except EngineError as error:
                raise InvalidField(
                    f"With {rows} rows of {', '.join(map(quoted, self.names))} in a batch: {error.detail}",
                    node=error.node,
                    where=Where(pointer="/options/batch_size"),
                ) from None

    def gradient(self, problem: Problem, x: Array, rows: Array) -> tuple[float, Array]:
        """The objective of some rows, and its gradient; counted like any other."""
        problem.spend(1)
        problem.counts["value"] += 1
        problem.counts["gradient"] += 1
        f = self.functions[len(rows)]
        f.rebind({n: self.arrays[n][rows] for n in self.names})
        value, gradient = f.gradient(x)
        return float(value), gradient


def data_inputs(
    arrays: Mapping[str, Array], variables: Sequence[str], named: Sequence[str] | None
) -> list[str]:
    """The inputs that lead with the rows of the data: those that are named, else all that are no variables and no scalars.

    Raises `InvalidField` where they are none, or of different lengths.
    """
    at = Where(pointer="/options/batch_inputs")
    if named is None:
        names = [n for n, a in arrays.items() if n not in variables and a.ndim]
        if not names:
            raise InvalidField(
                "There is no data to make batches of: every input with axes is a variable. `wrt` or `start` says which "
                "inputs are varied.",
                where=Where(pointer="/options/batch_size"),
            )
    else:
        names = list(dict.fromkeys(named))
        for k, name in enumerate(names):
            place = Where(pointer=f"/options/batch_inputs/{k}")
            if name not in arrays:
                raise InvalidField(
                    f"The program has no input {quoted(name)}; its inputs are {', '.join(map(quoted, list(arrays)[:8]))}.",
                    node=name,
                    where=place,
                )
            if name in variables:
                raise InvalidField(f"{quoted(name)} is varied, so it cannot be data.", node=name, where=place)
            if not arrays[name].ndim:
                raise InvalidField(
                    f"{quoted(name)} is a number and has no leading axis.", node=name, where=place
                )
    sizes = {n: arrays[n].shape[0] for n in names}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{quoted(n)}: {k}" for n, k in list(sizes.items())[:8])
        raise InvalidField(
            f"The leading axes of the data are not of one length ({shown}). Say which inputs have the rows: "
            '"batch_inputs": ["x", "y"].',
            where=at,
        )
    if not sizes[names[0]]:
        raise InvalidField("The data have no rows.", where=Where(pointer="/options/batch_size"))
    return names


def follow_batches(problem: Problem, batches: Batches, options: Mapping[str, Any], path: Path) -> Outcome:
    """Epochs: the rows in random order (PCG64, `rng_seed`), an update for each batch. Iterations are updates; after each
    epoch the objective of all data is computed, which is what the history, the best point and the stopping rules see."""
    rule = RULES[options["method"]](options, problem.size)
    rate, factor = options["learning_rate"], schedule(options["schedule"], path.max_iterations)
    rng = np.random.default_rng(options["rng_seed"])
    x = problem.start
    value, g = problem.gradient(x)
    if not (np.isfinite(value) and np.isfinite(g).all()):
        path.add(x, value, g, test=False)
        raise Finished("diverged", NOT_FINITE)
    path.add(x, value, g)
    t, before = 0, value
    while True:
        order = rng.permutation(batches.rows)
        done = t
        for begin in range(0, batches.rows, batches.size):
            if t >= path.max_iterations:
                break
            _, part = batches.gradient(problem, x, order[begin : begin + batches.size])
            x = problem.project(rule(x, part, rate * factor(t)))
            t += 1
        value, g = problem.gradient(x)
        if not (np.isfinite(value) and np.isfinite(g).all()):
            path.add(x, value, g, by=t - done, test=False)
            raise Finished(
                "diverged",
                f"After {t:,} updates the objective or its gradient is not finite. A smaller learning_rate than {rate:g} may "
                "help.",
            )
        path.add(x, value, g, by=t - done)
        settled(value, before, options["ftol"])
        before = value
