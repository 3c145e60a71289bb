"""Every op's examples through check: none is doubted, complex steps have all digits, and a wrong rule of any op is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.errors import EngineError, InvalidAttribute
from engine.numeric.complex_rules import PASSING, RULES
from engine.op import Linear, Op, registry
from engine.program import ITEM, Program, Step
from engine.values import Given
from tests.engine.checking import checked
from tests.engine.conformance import Case, cases, structural
from tests.engine.references import REFERENCES

SLOW = {"logm", "expm", "while_loop"}
"""A matrix function takes milliseconds; a loop that may not end elsewhere is waited for."""

OPS = [op for op in registry if not structural(op) and op.name not in SLOW]

ON_PURPOSE = {"stop_gradient", "embedding"}
"""Ops whose derivative is 0 where their value changes."""

NO_DERIVATIVE = {("poch", "poles"), ("binom", "poles")}
"""Examples in which the op's convention is NaN though there is a derivative."""


def programs(case: Case) -> Iterator[tuple[Program, str]]:
    """The call, and each of its floating results."""
    outs = case.graph().out_avals
    steps = case.program(0).steps
    at = len(steps) - 1
    if case.op.multiple or len(outs) > 1:
        items = [Step(f"y{m}", ITEM, (at,), {"index": m}) for m in range(len(outs))]
        program = Program((*steps, *items), tuple(range(at + 1, at + 1 + len(outs))))
        yield from ((program, f"y{m}") for m, a in enumerate(outs) if a.floating)
    elif outs[0].floating:
        yield Program(steps, (at,)), "y"


def inputs_of(case: Case) -> dict[str, Given]:
    return {
        f"x{k}": Given(v, v.dtype.kind == "f", False)
        for k in case.variable
        if (v := case.operands[k]) is not None
    }


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_examples(op: Op) -> None:
    for case in cases(op, REFERENCES.get(op.name)):
        if any(op.name == name and note in case.label for name, note in NO_DERIVATIVE):
            continue
        try:
            found = list(programs(case))
        except EngineError:
            continue  # an example of an error
        for program, of in found:
            try:
                answer = checked(program, inputs_of(case), of=of, max_entries=2)
            except InvalidAttribute:
                continue  # a point beside it is outside of what the op takes
            if op.name in ON_PURPOSE:
                continue
            assert answer["ok"], (case.label, answer["inputs"])
            for own in answer["inputs"].values():
                error, gradient = own["complex_step_error"], np.abs(np.asarray(own["autodiff"]))
                if error is not None and case.smooth and np.isfinite(error):
                    assert error <= 1e-9 * gradient.max(initial=0.0) + 1e-13, (case.label, own)


def test_purposes_are_told() -> None:
    for name in ON_PURPOSE:
        op = registry.core(name)
        (case, *_) = (
            c for c in cases(op, REFERENCES.get(name)) if name == "stop_gradient" or "padding_idx" in c.attrs
        )
        (found,) = programs(case)
        answer = checked(found[0], inputs_of(case))
        assert not answer["ok"]
        assert any("on purpose" in w["detail"] for w in answer["warnings"])


def test_complex_rules_are_of_core_ops() -> None:
    names = {op.name for op in registry.everything() if not op.composite}
    assert set(RULES) | PASSING <= names
    linear = {n for n in RULES if all(isinstance(registry.core(n).rule(k), Linear) for k in range(3))}
    assert not linear, "what is linear needs no rule"


@pytest.mark.parametrize("text", ["eigvalsh(A)[0]", "svd(A)[1][0]", "qr(A)[1][0, 0]", "root_of"])
def test_where_complex_steps_are_not_available(text: str) -> None:
    if text == "root_of":
        found = checked("def f(x):\n    return x*x - a\nroot(f, 1.5)", {"a": 2.0})["inputs"]["a"]
    else:
        found = checked(text, {"A": [[4.0, 1.0], [1.0, 3.0]]})["inputs"]["A"]
    assert found["ok"]
    assert found["complex_step_error"] is None


WRONG_BY_A_THOUSANDTH: dict[str, tuple[str, Any]] = {
    "elementwise": ("sin(x) * x", [0.4, -1.3]),
    "special": ("gammaln(x)", [0.4, 2.3]),
    "no complex step": ("erfinv(0.3*x)", [0.4, 2.3]),
    "reduction": ("logsumexp(x)", [0.4, 2.3]),
    "order": ("sort(x)**2", [2.4, -1.3, 0.4]),
    "linear algebra": ("solve(reshape(x, (2, 2)), array([1.0, 2.0]))", [3.0, 1.0, 1.0, 2.0]),
    "factorisation": ("eigvalsh(reshape(x, (2, 2)) @ reshape(x, (2, 2)).T)", [3.0, 1.0, 1.0, 2.0]),
    "layers": ("layer_norm(x, 4)**3", [3.0, 1.0, -1.0, 2.0]),
    "convolution": ("convolve(x, x)", [3.0, 1.0, -1.0, 2.0]),
    "indexing": ("x[array([2, 0, 0])]**2", [3.0, 1.0, -1.0]),
    "loop": ("cumprod(x)", [3.0, 1.0, -1.0]),
}


@pytest.mark.parametrize("family", WRONG_BY_A_THOUSANDTH)
def test_a_thousandth_is_found_behind_every_family(family: str) -> None:
    """The family's own rule, and a scale of 1.001 on the way back: right without it, wrong with it."""
    text, x = WRONG_BY_A_THOUSANDTH[family]
    assert checked(text, {"x": x})["ok"]
    rule = "def v(x):\n    return x\ndef b(x, ct):\n    return 1.001*ct\nx = custom_vjp(v, b)(u)\n"
    answer = checked(rule + text, {"u": x})
    assert answer["disagrees"] == ["u"]
    found = answer["inputs"]["u"]
    assert found["max_rel_error"] == pytest.approx(0.001, rel=0.01)
