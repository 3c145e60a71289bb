"""Functions of samples and coefficients: interp, polyval, convolve, correlate."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.attrs import NUMBER, one_of, optional
from engine.aval import Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, LimitExceeded, ShapeMismatch
from engine.op import Attr, Example, Linear, Op, Operand, registry
from engine.ops.index.gather import clamped, gather_axis
from engine.ops.index.search import search
from engine.ops.index.sorting import argsort
from engine.ops.layout.shape import joined, slice_axis
from engine.ops.reduce.reduction import counted
from engine.ops.written import written


def _interp(b: Builder, x: Var, xp: Var, fp: Var, left: Var | None, right: Var | None, **attrs: Any) -> Var:
    if xp.rank != 1 or fp.shape != xp.shape or not xp.size:
        raise ShapeMismatch(
            f"interp: xp and fp are the coordinates and values of the same data points, at least one; their shapes are "
            f"{list(xp.shape)} and {list(fp.shape)}."
        )
    if any(v is not None and v.rank for v in (left, right)):
        raise ShapeMismatch("interp: left and right must be numbers.")
    period = attrs["period"]
    if period is not None:
        if not abs(period) > 0 or period != period or abs(period) == float("inf"):
            raise InvalidAttribute("interp: the period must be a finite number other than 0.")
        x, xp = call(b, "remainder", x, abs(period)), call(b, "remainder", xp, abs(period))
        order = argsort(xp, -1)
        xp, fp = gather_axis(xp, order, -1), gather_axis(fp, order, -1)
        m = xp.shape[0]
        before, behind = slice_axis(xp, -1, m - 1, m) - abs(period), slice_axis(xp, -1, 0, 1) + abs(period)
        xp = joined([before, xp, behind], -1)
        fp = joined([slice_axis(fp, -1, m - 1, m), fp, slice_axis(fp, -1, 0, 1)], -1)
        left = right = None
    n = xp.shape[0]

    def end(v: Var, k: int) -> Var:
        return slice_axis(v, -1, k, k + 1).reshape(())

    low, high = (end(fp, 0) if left is None else left), (end(fp, n - 1) if right is None else right)
    inner = end(fp, n - 1)
    if n > 1:
        k = clamped(search(xp, x, True) - 1, 0, n - 2)
        x0, y0 = gather_axis(xp, k, -1), gather_axis(fp, k, -1)
        x1, y1 = gather_axis(xp, k + 1, -1), gather_axis(fp, k + 1, -1)
        inner = ((y1 - y0) / (x1 - x0)) * (x - x0) + y0
        inner = call(b, "where", x.equals(end(xp, n - 1)), end(fp, n - 1), inner)
    else:
        inner = call(b, "where", call(b, "isnan", x), x, inner)
    return call(b, "where", x < end(xp, 0), low, call(b, "where", x > end(xp, n - 1), high, inner))


written(
    "interp",
    _interp,
    Operand("x", ("a",)),
    Operand("xp"),
    Operand("fp"),
    Operand("left", optional=True),
    Operand("right", optional=True),
    Attr("period", optional(NUMBER), None),
    doc="""Piecewise linear function through data points (xp, fp) at x, as `numpy.interp`; xp must ascend.

    Left and right of the points it is fp[0] and fp[−1], or `left` and `right`; with `period` it repeats. Differentiable in
    x, xp and fp.""",
    latex="\\operatorname{{interp}}({x})",
    family="reduction",
    floating=True,
    derivative={"x": "\\frac{f_{k + 1} - f_k}{x_{k + 1} - x_k}", "fp": "1 - t,\\ t"},
    convention="At a data point in x: the slope to the right (at the last one 0).",
    examples=(
        Example(([0.5, 2.25, 3.5], [0.0, 2.0, 3.0, 4.0], [1.0, 3.0, -1.0, 0.5])),
        Example(([[-1.0, 0.25], [9.0, 2.5]], [0.0, 2.0, 3.0], [1.0, 3.0, -1.0]), note="outside"),
        Example(([-1.0, 0.25, 9.0], [0.0, 2.0, 3.0], [1.0, 3.0, -1.0], -5.0, 7.0)),
        Example(([-1.0, 0.25, 9.5], [5.25, 0.5, 2.0], [1.0, 3.0, -1.0]), {"period": 4.0}),
        Example((2.0, [0.0, 2.0, 3.0], [1.0, 3.0, -1.0]), smooth=False, note="at a data point"),
        Example(
            ([3.0, float("nan")], [0.0, 2.0, 3.0], [1.0, 3.0, -1.0]), smooth=False, note="at the last one"
        ),
        Example(([1.0, 3.0], [2.0], [5.0]), note="a single point"),
    ),
)


MOST_COEFFICIENTS = 10_000
"""Longest polynomial: Horner's rule takes some nodes for each coefficient."""


def _polyval(b: Builder, p: Var, x: Var, **attrs: Any) -> Var:
    if p.rank == 0:
        raise ShapeMismatch("polyval: the coefficients are a vector, the highest power first.")
    if p.shape[0] == 0:
        return x * 0
    if p.shape[0] > MOST_COEFFICIENTS:
        raise LimitExceeded("coefficients", MOST_COEFFICIENTS, p.shape[0])

    def coefficient(k: int) -> Var:
        return slice_axis(p, -p.rank, k, k + 1).reshape(p.shape[1:])

    y = coefficient(0) + x * 0 if p.shape[0] == 1 else coefficient(0)
    for k in range(1, p.shape[0]):
        y = y * x + coefficient(k)
    return y


written(
    "polyval",
    _polyval,
    Operand("p", ("coefficients",)),
    Operand("x"),
    doc="""The polynomial with coefficients p, the highest power first, at x, by Horner's rule, as `numpy.polyval`.

    Differentiable in both.""",
    latex="\\sum_k {p}_k \\, {x}^{{n - k}}",
    family="reduction",
    derivative={"x": "p'(x)", "p": "x^{n - k}"},
    examples=(
        Example(([2.0, -1.0, 0.5], [[0.5, 2.0], [0.0, -1.0]])),
        Example(([3.0], [1.0, 2.0]), note="a constant"),
        Example(([], 2.0), note="no coefficients: 0"),
    ),
)


# -------------------------------------------------------------------------------------------------------- convolution


def _rows(function: Any, a: Any, v: Any, length: int) -> Any:
    """A function of two vectors, row by row, with results of one length."""
    rows = prod(a.shape[:-1])
    pairs = zip(a.reshape(rows, a.shape[-1]), v.reshape(rows, v.shape[-1]), strict=True)
    return np.array([function(x, y) for x, y in pairs], a.dtype).reshape((*a.shape[:-1], length))


def _convolution_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    result: Var = ct.b.write("valid_correlation", ct, operands[1 - k])
    return result


class FullConvolution(Op):
    """c[k] = Σ a[i]·v[k − i] along the last axis, of length n + m − 1; neither operand is empty. Bilinear."""

    name = "full_convolution"
    family = "core"
    internal = True
    rules = (Linear(_convolution_back), Linear(_convolution_back))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Leading axes in common, the lengths together."""
        a, v = avals
        if a.shape[:-1] != v.shape[:-1] or a.dtype != v.dtype:
            raise ShapeMismatch(f"full_convolution: {a} and {v} do not go together.")
        return Aval((*a.shape[:-1], a.shape[-1] + v.shape[-1] - 1), a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's, row by row."""
        a, v = (np.asarray(x) for x in arrays)
        return _rows(np.convolve, a, v, a.shape[-1] + v.shape[-1] - 1)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A product and a sum for each pair."""
        return 2.0 * operands[0].size * operands[1].shape[-1]


def _correlation_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    op, left, right = ("valid_correlation", operands[0], ct) if k else ("full_convolution", ct, operands[1])
    result: Var = ct.b.write(op, left, right)
    return result


class ValidCorrelation(Op):
    """c[k] = Σ a[k + i]·v[i] along the last axis, where v overlaps a wholly (it is not longer). Bilinear.

    With `full_convolution` it is closed under transposition: each takes n·m products, whichever operand it is for.
    """

    name = "valid_correlation"
    family = "core"
    internal = True
    rules = (Linear(_correlation_back), Linear(_correlation_back))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Leading axes in common, the length that is left."""
        a, v = avals
        if a.shape[:-1] != v.shape[:-1] or a.dtype != v.dtype or a.shape[-1] < v.shape[-1]:
            raise ShapeMismatch(f"valid_correlation: {a} and {v} do not go together.")
        return Aval((*a.shape[:-1], a.shape[-1] - v.shape[-1] + 1), a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's, row by row."""
        a, v = (np.asarray(x) for x in arrays)
        return _rows(lambda x, y: np.correlate(x, y, "valid"), a, v, a.shape[-1] - v.shape[-1] + 1)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A product and a sum for each pair."""
        assert isinstance(result, Aval)
        return 2.0 * result.size * operands[1].shape[-1]


registry.add(FullConvolution())
registry.add(ValidCorrelation())


def _vectors(name: str, a: Var, v: Var) -> tuple[Var, Var]:
    if a.rank != 1 or v.rank != 1 or not a.size or not v.size:
        raise ShapeMismatch(
            f"{name} takes two vectors that are not empty; their shapes are {list(a.shape)} and {list(v.shape)}."
        )
    return counted(a.b, a), counted(v.b, v)


def _cut(full: Var, longer: int, shorter: int, mode: str, late: bool = False) -> Var:
    """All of a full convolution or its middle part; `late` rounds the middle towards the end."""
    if mode == "full":
        return full
    start = shorter // 2 if late else (shorter - 1) // 2
    return slice_axis(full, -1, start, start + longer)


def _turned(v: Var) -> Var:
    return slice_axis(v, -1, v.size - 1, -1, -1)


def _convolve(b: Builder, a: Var, v: Var, **attrs: Any) -> Var:
    a, v = _vectors("convolve", a, v)
    a, v = (a, v) if a.size >= v.size else (v, a)
    result: Var
    if attrs["mode"] == "valid":
        result = b.write("valid_correlation", a, _turned(v))
        return result
    result = b.write("full_convolution", a, v)
    return _cut(result, a.size, v.size, attrs["mode"])


def _correlate(b: Builder, a: Var, v: Var, **attrs: Any) -> Var:
    a, v = _vectors("correlate", a, v)
    result: Var
    if attrs["mode"] == "valid":
        if a.size >= v.size:
            result = b.write("valid_correlation", a, v)
            return result
        return _turned(b.write("valid_correlation", v, a))
    result = b.write("full_convolution", a, _turned(v))
    return _cut(result, max(a.size, v.size), min(a.size, v.size), attrs["mode"], late=v.size > a.size)


_SIGNALS = (Operand("a", ("x", "in1")), Operand("v", ("y", "in2")))
_MODES = one_of("full", "same", "valid")
_EXAMPLES = (
    Example(([1.0, 2.0, 3.0, -1.0], [0.5, 1.5, -2.0])),
    Example(([1.0, 2.0, 3.0, -1.0], [0.5, 1.5]), {"mode": "same"}),
    Example(([0.5, 1.5], [1.0, 2.0, 3.0, -1.0, 2.5]), {"mode": "same"}, note="the second is longer"),
    Example(([1.0, 2.0, 3.0, -1.0], [0.5, 1.5, -2.0]), {"mode": "valid"}),
    Example(([0.5, 1.5], [1.0, 2.0, 3.0]), {"mode": "full"}),
    Example(([0.5, 1.5], [1.0, 2.0, 3.0]), {"mode": "valid"}),
    Example(([2.0], [3.0]), note="single entries"),
)
written(
    "convolve",
    _convolve,
    *_SIGNALS,
    Attr("mode", _MODES, "full"),
    doc="""Convolution of two vectors, c[k] = Σ a[i]·v[k − i], as `numpy.convolve`.

    `mode` full: all n + m − 1 entries; same: the middle max(n, m) of them; valid: those where the vectors overlap wholly.""",
    latex="{a} \\ast {v}",
    family="linalg",
    derivative={"a": "v_{k - i}", "v": "a_{k - i}"},
    examples=_EXAMPLES,
)
written(
    "correlate",
    _correlate,
    *_SIGNALS,
    Attr("mode", _MODES, "valid"),
    doc="""Cross-correlation of two vectors, c[k] = Σ a[i + k]·v[i], as `numpy.correlate`; `mode` as for `convolve`.

    It is the convolution with v turned round.""",
    latex="{a} \\star {v}",
    family="linalg",
    derivative={"a": "v_{i - k}", "v": "a_{i + k}"},
    examples=_EXAMPLES,
)
