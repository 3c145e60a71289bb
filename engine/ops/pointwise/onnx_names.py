"""ONNX's operators whose names mean something else here: Mod, Max, Min, Sum and Mean of any number of arrays, HardSigmoid."""

from __future__ import annotations

from typing import Any

from engine.attrs import INT, NUMBER
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, Op, Operand, registry


class OnnxMod(Op):
    """ONNX's Mod: the remainder with the divisor's sign, with `fmod=1` with the dividend's."""

    name = "Mod"
    family = "elementwise"
    parameters = (Operand("x", ("A",)), Operand("y", ("B",)), Attr("fmod", INT, 0))
    composite = True
    elementwise = True
    passes_integers = True
    latex = "{x} \\bmod {y}"
    derivative = {"x": "1"}
    domain = ((0.1, 0.9), (1.1, 2.0))
    convention = "At a jump as `remainder` and `fmod`."
    examples = (Example(([7.3, -7.3], [2.0, 2.0])), Example(([7.3, -7.3], [2.0, 2.0]), {"fmod": 1}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By remainder or fmod."""
        if attrs["fmod"] not in (0, 1):
            raise InvalidAttribute(f"Mod: fmod must be 0 or 1; it is {attrs['fmod']}.")
        return call(b, "fmod" if attrs["fmod"] else "remainder", *operands)


class Variadic(Op):
    """Several arrays, entry by entry."""

    family = "elementwise"
    parameters = (Operand("arrays", variadic=True),)
    composite = True
    over = ""
    examples: tuple[Example, ...] = (
        Example(([1.0, 5.0], [2.0, 3.0], [0.5, 7.0])),
        Example(([[1.0], [5.0]], [2.0, 3.0]), note="broadcasting"),
        Example(([1.0, 5.0],), note="a single one"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By a reduction over one more axis, so that all share alike."""
        stretched: Any = call(b, "broadcast_arrays", *operands)
        return call(b, self.over, call(b, "stack", *stretched), axis=0)


_TIES = "Equal largest (smallest) entries share the derivative equally."
_TIE = Example(([1.0, 0.0], [1.0, 3.0], [1.0, 3.0]), smooth=False, note="ties")


class OnnxMax(Variadic):
    """ONNX's Max: the largest of some arrays, entry by entry."""

    name = "Max"
    over = "max"
    latex = "\\max({arrays})"
    convention = _TIES
    examples = (*Variadic.examples, _TIE)


class OnnxMin(Variadic):
    """ONNX's Min: the smallest of some arrays, entry by entry."""

    name = "Min"
    over = "min"
    latex = "\\min({arrays})"
    convention = _TIES
    examples = (*Variadic.examples, _TIE)


class OnnxSum(Variadic):
    """ONNX's Sum: of some arrays, entry by entry. The sum over axes is `sum`."""

    name = "Sum"
    over = "sum"
    latex = "\\sum({arrays})"


class OnnxMean(Variadic):
    """ONNX's Mean: of some arrays, entry by entry. The mean over axes is `mean`."""

    name = "Mean"
    over = "mean"
    floating = True
    latex = "\\operatorname{{mean}}({arrays})"


class OnnxHardSigmoid(Op):
    """ONNX's HardSigmoid: αx + β held between 0 and 1. PyTorch's is `hard_sigmoid`."""

    name = "HardSigmoid"
    family = "nn"
    parameters = (Operand("x", ("X",)), Attr("alpha", NUMBER, 0.2), Attr("beta", NUMBER, 0.5))
    composite = True
    elementwise = True
    floating = True
    latex = "\\operatorname{{clip}}({alpha} {x} + {beta}, 0, 1)"
    derivative = {"x": "\\alpha\\,[0 < \\alpha x + \\beta < 1]"}
    domain = ((-2.0, 2.0),)
    convention = "At the bounds the derivative is 0."
    examples = (
        Example(([0.5, -1.5, 4.0, -4.0],)),
        Example(([0.5, -0.75],), {"alpha": 0.5, "beta": 0.25}),
        Example(([-2.5, 2.5],), smooth=False, note="at the kinks"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By clip."""
        return call(b, "clip", operands[0] * attrs["alpha"] + attrs["beta"], 0.0, 1.0)


for _op in (OnnxMod(), OnnxMax(), OnnxMin(), OnnxSum(), OnnxMean(), OnnxHardSigmoid()):
    registry.add(_op)
