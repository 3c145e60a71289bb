"""x·log x and its kin: entr, rel_entr, Kullback–Leibler terms, xlog1py, logit; SciPy's names."""

from __future__ import annotations

from typing import Any

import scipy.special

from engine.op import Example, Op, Spelling, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.tower import in_double

INF = float("inf")


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    more.setdefault("family", "special")
    return registry.add(Elementwise(name, in_double(fn), partials, floating=True, weight=25, **more))


logit = _row(
    "logit",
    scipy.special.logit,
    # At the ends the one factor that is 0 stands alone: beside the other, an infinite cotangent would meet a zero.
    "where(a == 0, 1 / a, where(a == 1, 1 / (1 - a), 1 / (a * (1 - a))))",
    doc="Log odds, log(x / (1 − x)), the inverse of sigmoid.",
    latex="\\operatorname{{logit}} {x}",
    domain=((0.1, 0.9),),
    derivative={"x": "\\frac{1}{x (1 - x)}"},
    convention="At 0 and 1 value and derivative are infinite; beyond, where there is no value, it is that of the formula.",
    examples=(Example(([0.5, 0.1, 1e-50, 0.999],)), Example(([0.0, 1.0, 2.0],), smooth=False)),
)
xlog1py = _row(
    "xlog1py",
    scipy.special.xlog1py,
    "log1p(b)",
    "where(logical_and(a == 0, b == -1), sqrt(a), a / (1 + b))",
    scalar="where(a == 0, 0, a * log1p(b))",
    doc="x·log(1 + y), exact for small y, and 0 for x = 0.",
    latex="{x} \\log(1 + {y})",
    domain=((0.2, 2.0), (-0.5, 2.0)),
    derivative={"x": "\\log(1 + y)", "y": "\\frac{x}{1 + y}"},
    convention="xlog1py(0, y) = 0 with derivative 0 in y, at y = −1 too.",
    examples=(Example(([1.0, 0.5], [1e-12, 0.25])), Example((0.0, -1.0), smooth=False)),
)
entr = _row(
    "entr",
    scipy.special.entr,
    "-log(a) - 1",
    scalar="where(a == 0, 0, -a * log(a))",
    doc="Entropy term −x·log x, 0 for x = 0, −infinity for x < 0.",
    latex="-{x} \\log {x}",
    domain=((0.1, 2.0),),
    derivative={"x": "-\\log x - 1"},
    convention="At 0 the derivative is the limit from the right, +infinity; left of it NaN.",
    examples=(Example(([0.5, 2.0, 1e-200],)), Example(([0.0, -1.0],), smooth=False)),
)
_KL = "At x = 0 the value is that of the limit, with derivative −infinity in x; at x = y = 0 there is none: NaN."
rel_entr = _row(
    "rel_entr",
    scipy.special.rel_entr,
    "where(a == 0, log(a) - log(b), log(a / b)) + 1",
    "where(logical_and(a == 0, b == 0), 0 - sqrt(a), -a / b)",
    scalar="rel_entr(a, b)",
    doc="Relative entropy term x·log(x / y), 0 for x = 0 and y ≥ 0, +infinity where x or y is negative.",
    latex="{x} \\log \\frac{{{x}}}{{{y}}}",
    domain=((0.2, 2.0), (0.2, 2.0)),
    derivative={"x": "\\log \\tfrac{x}{y} + 1", "y": "-\\tfrac{x}{y}"},
    convention=_KL,
    examples=(
        Example(([1.0, 0.5, 0.3], [2.0, 0.25, 0.3])),
        Example(([0.0, 0.0, 1.0, -1.0], [1.0, 0.0, 0.0, 1.0]), smooth=False, note="masked entries"),
    ),
)
elementwise_kl = _row(
    "kl_terms",
    scipy.special.kl_div,
    "where(a == 0, log(a) - log(b), log(a / b))",
    "where(logical_and(a == 0, b == 0), 1 - sqrt(a), (b - a) / b)",
    doc="Term x·log(x / y) − x + y of the Kullback–Leibler divergence, SciPy's kl_div; y for x = 0 and y ≥ 0.",
    latex="{x} \\log \\frac{{{x}}}{{{y}}} - {x} + {y}",
    domain=((0.2, 2.0), (0.2, 2.0)),
    derivative={"x": "\\log \\tfrac{x}{y}", "y": "1 - \\tfrac{x}{y}"},
    convention=_KL,
    spellings={"scipy.special.kl_div": Spelling()},
    examples=(
        Example(([1.0, 0.5, 0.3], [2.0, 0.25, 0.3])),
        Example(([0.0, 0.0, 1.0, -1.0], [1.0, 0.0, 0.0, 1.0]), smooth=False, note="masked entries"),
    ),
)
cosm1 = _row(
    "cosm1",
    scipy.special.cosm1,
    "-sin(a)",
    scalar="cosm1(a)",
    doc="cos x − 1, exact for small x.",
    latex="\\cos {x} - 1",
    derivative={"x": "-\\sin x"},
    family="elementwise",
    examples=(Example(([1e-9, 2.0, -0.5],)), Example((0.0,))),
)
exp10 = _row(
    "exp10",
    scipy.special.exp10,
    "2.302585092994046 * y",
    doc="Power of ten, 10ˣ.",
    latex="10^{{{x}}}",
    derivative={"x": "10^x \\log 10"},
    family="elementwise",
    examples=(Example(([0.5, -3.0],)),),
)
