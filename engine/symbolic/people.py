"""Partial derivatives as textbooks have them, instead of the formulas that are also right at the edges.

The engine's formulas say what holds at a kink, at the end of a domain, where intermediate results overflow. Written out, that
hides what a reader looks for. These say the same wherever the derivative exists and is finite; what else they assume is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine import ops  # noqa: F401  # fills the registry
from engine.builder import GraphBuilder
from engine.formula import Formula
from engine.op import Partial, registry

_TEXTS: dict[str, tuple[str, ...]] = {
    "abs": ("sign(a)",),
    "pow": ("b * pow(a, b - 1)", "y * log(a)"),
    "hypot": ("a / y", "b / y"),
    "asin": ("1 / sqrt(1 - a * a)",),
    "acos": ("-1 / sqrt(1 - a * a)",),
    "atan2": ("b / (a * a + b * b)", "-a / (a * a + b * b)"),
    "asinh": ("1 / sqrt(1 + a * a)",),
    "acosh": ("1 / sqrt(a * a - 1)",),
    "atanh": ("1 / (1 - a * a)",),
    "logaddexp": ("sigmoid(a - b)", "sigmoid(b - a)"),
    "logaddexp2": (
        "sigmoid(0.6931471805599453 * (a - b))",
        "sigmoid(0.6931471805599453 * (b - a))",
    ),
    "xlogy": ("log(b)", "a / b"),
    "xlog1py": ("log1p(b)", "a / (1 + b)"),
    "rel_entr": ("log(a / b) + 1", "-a / b"),
    "kl_terms": ("log(a / b)", "1 - a / b"),
    "logit": ("1 / (a * (1 - a))",),
    "log1p": ("1 / (1 + a)",),
    "cosm1": ("-sin(a)",),
}
"""By op: a formula for each operand. Powers with a variable exponent have a positive base here."""


def _formulas() -> dict[str, Formula]:
    found: dict[str, Formula] = {}
    for name, texts in _TEXTS.items():
        op = registry.core(name)
        for k, text in enumerate(texts):
            rule = op.rule(k)
            assert isinstance(rule, Partial)
            known = found.setdefault(rule.formula.text, Formula(text))
            assert known.text == text, f"{name} shares a formula with an op that reads otherwise"
    return found


FORMULAS = _formulas()
"""The textbook's formula for each of the engine's."""


class Textbook(GraphBuilder):
    """A builder of derivatives that are to be read."""

    def product(
        self, formula: Formula, ct: Any, operands: Sequence[Any], y: Any, strong_partial: bool
    ) -> Any:
        """With the textbook's formula, where there is one."""
        return super().product(FORMULAS.get(formula.text, formula), ct, operands, y, strong_partial)
