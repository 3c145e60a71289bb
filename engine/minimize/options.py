"""What methods can be told: `options` read and checked, with messages that say what would be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError, InvalidField, MistakeCollector, UnknownField, Where, nearest, quoted
from engine.minimize import schedules
from engine.minimize.methods import METHODS
from engine.specialize import pointer_part

NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

LARGEST = 2**53
"""Integers up to here are exact in JSON, whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: what it must be, in words, and whether it is."""

    must: str
    right: Callable[[Any], bool]
    doc: str = ""
    integer: bool = False


def _integer(least: int, must: str, doc: str = "") -> Option:
    return Option(must, lambda v: least <= v <= LARGEST, doc, integer=True)


OPTIONS: dict[str, Option] = {
    "max_iterations": _integer(0, "an integer that is not negative", "Iterations after which it stops."),
    "max_evaluations": _integer(
        1,
        "a positive integer",
        "Evaluations after which it stops: a value with or without its gradient is one, as is a Hessian-vector product or a "
        "Jacobian.",
    ),
    "target": Option("a finite number", lambda v: True, "A value that is low enough to stop."),
    "gtol": Option(
        "a number that is not negative",
        lambda v: v >= 0,
        "Largest entry of the gradient at which it stops (lm, gauss-newton: largest cosine between residuals and a column of "
        "the Jacobian).",
    ),
    "ftol": Option(
        "a number that is not negative",
        lambda v: v >= 0,
        "Change of the objective in one iteration, relative to it, at which it stops; 0: never. (By default l-bfgs-b asks for "
        "a small gradient, of 10 gtol, besides.)",
    ),
    "xtol": Option(
        "a number that is not negative",
        lambda v: v >= 0,
        "Length of a step, relative to the point, at which it stops.",
    ),
    "learning_rate": Option(
        "a positive number",
        lambda v: v > 0,
        "Step length. gd and numerical-gd search for one where it is missing.",
    ),
    "momentum": Option("a number from 0 up to but not including 1", lambda v: 0 <= v < 1, "Factor μ."),
    "alpha": Option(
        "a number from 0 up to but not including 1", lambda v: 0 <= v < 1, "Decay of the mean of g²."
    ),
    "beta1": Option(
        "a number from 0 up to but not including 1", lambda v: 0 <= v < 1, "Decay of the mean of g."
    ),
    "beta2": Option(
        "a number from 0 up to but not including 1", lambda v: 0 <= v < 1, "Decay of the mean of g²."
    ),
    "epsilon": Option("a positive number", lambda v: v > 0, "What is added to √v."),
    "weight_decay": Option("a number that is not negative", lambda v: v >= 0, "λ."),
    "memory": _integer(1, "a positive integer", "Pairs of steps and gradients that are remembered."),
    "radius": Option("a positive number", lambda v: v > 0, "First radius of the trust region."),
    "factor": Option(
        "a positive number", lambda v: v > 0, "First radius of the trust region, in lengths of the start."
    ),
    "h": Option("a positive number", lambda v: v > 0, "Step of the differences."),
    "rng_seed": _integer(0, "an integer that is not negative", "Seed of NumPy's PCG64."),
    "samples": _integer(
        1, "a positive integer", "Points that are drawn; by default as many as `max_iterations`."
    ),
    "scale": Option("a positive number", lambda v: v > 0, "Standard deviation of points without bounds."),
    "batch_size": _integer(1, "a positive integer", "Rows of the data that one update looks at."),
}
"""Those that are numbers."""

SPECIAL = {
    "schedule": "What learning_rate is multiplied with: a kind (constant, exponential, step, inverse-time, linear, cosine) or "
    "an object with `kind`, its numbers and `warmup`.",
    "points": "Values on each axis of the grid: an integer, or {input: integer}.",
    "batch_inputs": "Inputs whose leading axis is that of the data.",
}
"""Those that are not."""


def read_options(method: str, given: Mapping[str, Any], *, most_iterations: int) -> dict[str, Any]:
    """The options of a method, with its defaults. Raises `UnknownField`, `InvalidField` (or several, as `Mistakes`)."""
    defaults = METHODS[method].defaults
    found: dict[str, Any] = {"method": method, "given": frozenset(given), **defaults}
    mistakes = MistakeCollector()
    for name, value in given.items():
        pointer = f"/options/{pointer_part(name)}"
        try:
            if name not in defaults:
                raise _unknown(method, name, pointer)
            found[name] = _read(name, value, pointer)
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    if "max_iterations" in defaults and "max_iterations" not in given:
        found["max_iterations"] = min(defaults["max_iterations"], most_iterations)
    return found


def _unknown(method: str, name: str, pointer: str) -> EngineError:
    own = METHODS[method].defaults
    others = [m for m, other in METHODS.items() if name in other.defaults]
    near = () if others else nearest(name, own)
    if others:
        hint = f" It is an option of {', '.join(others)}."
    elif near:
        hint = f" Did you mean {' or '.join(near)}?"
    else:
        hint = f" There are {', '.join(own)}."
    return UnknownField(
        f"{method} has no option {quoted(name)}.{hint}", where=Where(pointer=pointer), suggestions=near
    )


def _read(name: str, value: Any, pointer: str) -> Any:
    if name == "schedule":
        return _schedule(value, pointer)
    if name == "points":
        if isinstance(value, dict):
            return {k: _number("points", POINTS, v, f"{pointer}/{pointer_part(k)}") for k, v in value.items()}
        return _number("points", POINTS, value, pointer)
    if name == "batch_inputs":
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value) or not value:
            raise InvalidField(
                "`batch_inputs` must be a list of input ids, at least one.", where=Where(pointer=pointer)
            )
        return value
    return _number(name, OPTIONS[name], value, pointer)


POINTS = _integer(1, "a positive integer, or an object of them by variable")


def _number(name: str, option: Option, value: Any, pointer: str) -> Any:
    number = value
    if isinstance(value, float) and option.integer and value.is_integer():
        number = int(value)
    right = (
        isinstance(number, int if option.integer else int | float)
        and not isinstance(number, bool)
        and (option.integer or abs(number) <= 1e308)
    )
    if not right or not option.right(number):
        raise InvalidField(
            f"`{name}` must be {option.must}; it is {_shown(value)}.", where=Where(pointer=pointer)
        )
    return number if option.integer else float(number)


def _schedule(value: Any, pointer: str) -> dict[str, Any]:
    given = {"kind": value} if isinstance(value, str) else value
    kinds = ", ".join(schedules.KINDS)
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise InvalidField(
            f"`schedule` must be one of {kinds}, or an object with such a `kind`; it is {_shown(value)}.",
            where=Where(pointer=pointer),
        )
    kind = given["kind"]
    if kind not in schedules.KINDS:
        near = nearest(kind, schedules.KINDS)
        raise InvalidField(
            f"There is no schedule {quoted(kind)}; there are {kinds}.",
            where=Where(pointer=pointer if isinstance(value, str) else f"{pointer}/kind"),
            suggestions=near,
        )
    mistakes = MistakeCollector()
    found: dict[str, Any] = {"kind": kind}
    own = [*schedules.KINDS[kind], "warmup"]
    for name, number in given.items():
        if name == "kind":
            continue
        place = f"{pointer}/{pointer_part(name)}"
        if name not in own:
            near = nearest(name, own)
            mistakes.add(
                UnknownField(
                    f"The schedule {kind} has no {quoted(name)}; it has {', '.join(own)}.",
                    where=Where(pointer=place),
                    suggestions=near,
                )
            )
            continue
        must, right = schedules.RANGES[name]
        try:
            found[name] = _number(name, Option(must, right), number, place)
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    return found


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of many digits"
    return f"the number {value!r}"
