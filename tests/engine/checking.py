"""Programs to be checked: what the tests of check have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from engine.cost import Limits
from engine.derive import Request, prepare_with
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.numeric.checker import Check, CheckOptions
from engine.program import Program
from engine.values import Given


def given(value: Any) -> Given:
    return Given(np.asarray(value, np.float64), True, False)


def job_of(
    program: str | Program,
    inputs: Mapping[str, Any],
    *,
    expected: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    **more: Any,
) -> Check:
    own = {k: more.pop(k) for k in ("steps", "rtol", "atol", "max_entries") if k in more}
    if "seed" in more:
        more["seed"] = given(more["seed"])
    options = CheckOptions(expected={k: given(v) for k, v in (expected or {}).items()}, **own)
    request = Request(
        program=parse_text(program) if isinstance(program, str) else program,
        inputs={k: v if isinstance(v, Given) else given(v) for k, v in inputs.items()},
        **more,
    )
    return prepare_with(partial(Check, options), request, limits)


def checked(program: str | Program, inputs: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return job_of(program, inputs, **more).run(Meter())


def wrong_rule(body: str, rule: str, use: str = "f(x)") -> str:
    """A program whose f(x) has the derivative that `rule` says, in x and the cotangent ct."""
    return f"def value(x):\n    return {body}\ndef back(x, ct):\n    return {rule}\nf = custom_vjp(value, back)\n{use}"
