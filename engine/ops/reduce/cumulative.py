"""Running reductions beside `cumsum`: products, logarithms of sums of exponentials, largest and smallest so far."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import AXIS, BOOL, OPTIONAL_AXIS
from engine.aval import Array, Aval, Avals, normalize_axis
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, General, Op, Operand, Zero, registry
from engine.ops.index.sorting import along, flattened
from engine.ops.layout.shape import take_slice
from engine.ops.reduce.recurrence import recurrence, shifted
from engine.ops.reduce.reduction import counted
from engine.transforms.strong import times

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

RUNNING = (
    Operand("x", ("a", "input")),
    Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
    Attr("exclusive", BOOL, False, keyword_only=True),
    Attr("reverse", BOOL, False, keyword_only=True),
)


def running(x: Var, attrs: dict[str, Any], op: str, neutral: float) -> Var:
    """A running reduction: flattened without axis, from the end if `reverse`, of what stands before if `exclusive`."""
    x, axis = flattened(x, attrs["axis"])
    y: Var = x.b.write(op, x, axis=axis, reverse=attrs["reverse"])
    return shifted(y, axis, attrs["reverse"], neutral) if attrs["exclusive"] else y


def accumulated(fn: Any, x: Array, axis: int, reverse: bool) -> Array:
    """A NumPy function along an axis, from the end if `reverse`."""
    result: Array = np.flip(fn(np.flip(x, axis), axis), axis) if reverse else fn(x, axis)
    return result


class CumProd(Op):
    """Running product along an axis: entry i is the product of the first i + 1. Without axis, of the flattened array.

    `reverse` runs from the end, `exclusive` leaves the entry itself out. JVP  ẏᵢ = xᵢ·ẏᵢ₋₁ + yᵢ₋₁·ẋᵢ: no division, so
    derivatives of every order are right where entries are 0.
    """

    name = "cumprod"
    aliases = ("cumulative_prod", "CumProd")
    family = "reduction"
    parameters = RUNNING
    rules = (General(),)
    latex = "\\operatorname{{cumprod}} {x}"
    derivative = {"x": "\\frac{\\partial y_i}{\\partial x_j} = [j \\le i] \\prod_{k \\le i,\\, k \\ne j} x_k"}
    examples = (
        Example(([1.5, -2.0, 3.5],)),
        Example(([[1.0, 2.0], [3.0, 4.0]],), note="flattened"),
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"axis": 0}),
        Example(([2.0, 0.0, 3.0, 5.0],), {"axis": -1}, note="one zero"),
        Example(([2.0, 0.0, 3.0, 0.0, -1.5],), {"axis": 0}, note="two zeros"),
        Example(([2.0, 0.5, 3.0],), {"axis": 0, "reverse": True}),
        Example(([2.0, 0.5, 3.0],), {"axis": 0, "exclusive": True}),
        Example(([[2.0, 0.5, 3.0], [0.0, -1.0, 2.0]],), {"axis": 1, "exclusive": True, "reverse": True}),
        Example(([],)),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        return running(counted(b, operands[0]), attrs, self.name, 1.0)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's."""
        return accumulated(np.cumprod, arrays[0], params["axis"], params["reverse"])

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """A chain of products."""
        return e.running("multiply", positions[0], params["axis"], params["reverse"])

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The recurrence of the product rule."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        before = shifted(y, params["axis"], params["reverse"], 1.0)
        return recurrence(x, times(dx, before), params["axis"], params["reverse"])


registry.add(CumProd())


class CumLogSumExp(Op):
    """Running log Σ exp(x) along an axis, without overflow. Without axis, of the flattened array.

    JVP  ẏᵢ = σ(yᵢ₋₁ − xᵢ)·ẏᵢ₋₁ + σ(xᵢ − yᵢ₋₁)·ẋᵢ  with the logistic function σ.
    """

    name = "cumulative_logsumexp"
    aliases = ("logcumsumexp", "cumlogsumexp")
    family = "reduction"
    floating = True
    parameters = RUNNING
    rules = (General(),)
    latex = "\\log \\operatorname{{cumsum}} e^{{{x}}}"
    derivative = {"x": "\\frac{\\partial y_i}{\\partial x_j} = [j \\le i]\\, e^{x_j - y_i}"}
    convention = "An entry of −∞ (a mask) has the derivative 0."
    examples = (
        Example(([0.3, -1.2, 2.0],)),
        Example(([[0.3, -1.2], [2.0, 0.5]],), {"axis": 0, "reverse": True}),
        Example(([[0.3, -1.2], [2.0, 0.5]],), {"axis": 1, "exclusive": True}, smooth=False),
        Example(([1000.0, 0.0, 999.0],), {"axis": 0}, note="no overflow"),
        Example(([float("-inf"), 0.5, float("-inf"), 1.0],), smooth=False, note="masked entries"),
        Example(([0.5, float("inf"), 1.0, float("inf")],), smooth=False),
        Example(([],)),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        return running(operands[0], attrs, self.name, -inf)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """logaddexp of what came before and the entry."""
        return accumulated(np.logaddexp.accumulate, np.asarray(arrays[0]), params["axis"], params["reverse"])

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """A chain of logaddexp."""
        return e.running("logaddexp", positions[0], params["axis"], params["reverse"])

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """A recurrence whose factors are shares."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        b, axis, reverse = x.b, params["axis"], params["reverse"]
        before = shifted(y, axis, reverse, -inf)
        both = call(b, "logical_and", before.equals(x), call(b, "isinf", x))
        ahead = call(b, "where", both, 0.0, before - x)
        old = call(b, "where", before.equals(-inf), 0.0, call(b, "sigmoid", ahead))
        new = call(b, "where", x.equals(-inf), 0.0, call(b, "sigmoid", -ahead))
        return recurrence(old, times(dx, new), axis, reverse)

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where the result is infinite."""
        return np.asarray(np.isinf(y))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """An exponential and a logarithm for each element."""
        return 40.0 * operands[0].size


registry.add(CumLogSumExp())


class CumArgExtreme(Op):
    """Index of the largest (smallest) entry so far along an axis; of equal ones the last. NaN counts as that."""

    name = "cum_argextreme"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Integers of the operand's shape."""
        return Aval(avals[0].shape, "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The running maximum of the places that equal the running extreme."""
        x, axis = np.asarray(arrays[0]), params["axis"]
        extreme = (np.maximum if params["largest"] else np.minimum).accumulate(x, axis)
        record = (x == extreme) | np.isnan(x) if x.dtype.kind == "f" else x == extreme
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        places = np.where(record, np.arange(x.shape[axis], dtype=np.int64).reshape(shape), 0)
        return np.maximum.accumulate(places, axis)


registry.add(CumArgExtreme())


class CumExtreme(Op):
    """Largest or smallest entry so far along an axis, and its index, as PyTorch's."""

    family = "reduction"
    composite = True
    results = ("values", "indices")
    parameters = (
        Operand("x", ("a", "input")),
        Attr("axis", AXIS, 0, ("dim",)),
        Attr("reverse", BOOL, False, keyword_only=True),
    )
    derivative = {"x": "\\dot{x}_{\\text{indices}}"}
    convention = "Of entries that tie the last one so far has the index and the derivative."

    def __init__(self, name: str, largest: bool, word: str) -> None:
        self.name = name
        self.largest = largest
        self.__doc__ = (
            f"{word.capitalize()} entry so far along an axis, and its index (of equal ones the last), as `torch.{name}`.\n\n"
            "`reverse` (JAX) runs from the end. From the first NaN on, the result is NaN."
        )
        self.latex = f"\\operatorname{{{{{name}}}}} {{x}}"
        self.examples = (
            Example(([1.0, 3.0, 2.0, 5.0, 4.0],)),
            Example(([[1.0, 3.0], [2.0, -1.0]],), {"axis": -1, "reverse": True}),
            Example(([1.0, 2.0, 2.0, 1.0, 1.0],), smooth=False, note="ties"),
            Example(([1.0, float("nan"), 2.0],), smooth=False, note="NaN stays"),
            Example(([],)),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """A gather at the running index."""
        x: Var = operands[0]
        axis = normalize_axis(attrs["axis"], x.rank)
        n = x.shape[axis]
        turned = [(n - 1, -1, -1), *[(0, m, 1) for m in x.shape[x.rank + axis + 1 :]]]
        source = take_slice(x, turned) if attrs["reverse"] and n else x
        index: Var = b.write("cum_argextreme", source, axis=axis, largest=self.largest)
        if attrs["reverse"] and n:
            index = (n - 1) - take_slice(index, turned)
        return along(x, index, axis), index


registry.add(CumExtreme("cummax", True, "largest"))
registry.add(CumExtreme("cummin", False, "smallest"))
