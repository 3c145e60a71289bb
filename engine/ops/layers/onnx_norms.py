"""ONNX's normalisations, with its names, order of operands and defaults. Written with those of `normalization`."""

from __future__ import annotations

from typing import Any

from engine.attrs import AXES, AXIS, INT, NUMBER
from engine.aval import normalize_axis
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, Operand
from engine.ops.written import written

_X = Operand("x", ("X", "input"))
_SCALE, _BIAS = Operand("scale", ("Scale",)), Operand("bias", ("B",))
_EPS = Attr("epsilon", NUMBER, 1e-5, ("eps",))
_AXIS = Attr("axis", AXIS, -1)
_LATEX = "\\frac{{{x} - \\mu}}{{\\sqrt{{\\sigma^2 + \\varepsilon}}}}"
_IMAGE = [[[1.0, 2.0], [4.0, 0.5], [-1.0, 0.25], [2.0, 3.0]]]
_FOUR = ([0.5, 1.5, -2.0, 1.0], [1.0, 2.0, 3.0, 4.0])
_ROWS = [[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]]


def _trailing(x: Var, axis: int) -> tuple[int, ...]:
    return x.shape[normalize_axis(axis, x.rank) :]


def _layer(b: Builder, x: Var, scale: Var | None, bias: Var | None, **attrs: Any) -> Var:
    shape = _trailing(x, attrs["axis"])
    wide = [None if v is None else broadcast_to(v, shape) for v in (scale, bias)]
    return call(b, "layer_norm", x, *wide, normalized_shape=shape, eps=attrs["epsilon"])


def _rms(b: Builder, x: Var, scale: Var, **attrs: Any) -> Var:
    shape = _trailing(x, attrs["axis"])
    return call(b, "rms_norm", x, broadcast_to(scale, shape), normalized_shape=shape, eps=attrs["epsilon"])


def _group(b: Builder, x: Var, scale: Var, bias: Var, **attrs: Any) -> Var:
    return call(b, "group_norm", x, scale, bias, num_groups=attrs["num_groups"], eps=attrs["epsilon"])


def _instance(b: Builder, x: Var, scale: Var, bias: Var, **attrs: Any) -> Var:
    return call(b, "instance_norm", x, None, None, scale, bias, eps=attrs["epsilon"])


def _lp(b: Builder, x: Var, **attrs: Any) -> Var:
    if attrs["p"] not in (1, 2):
        raise InvalidAttribute(f"LpNormalization: p must be 1 or 2; it is {attrs['p']}.")
    size = call(b, "vector_norm", x, axis=attrs["axis"], keepdims=True, ord=float(attrs["p"]))
    zero = size.equals(0.0)
    return call(b, "where", zero, 0.0, x / call(b, "where", zero, 1.0, size))


def _mean_variance(b: Builder, x: Var, **attrs: Any) -> Var:
    how = {"axis": attrs["axes"], "keepdims": True}
    return (x - call(b, "mean", x, **how)) / (call(b, "std", x, **how) + 1e-9)


written(
    "LayerNormalization",
    _layer,
    _X,
    Operand("scale", ("Scale",), optional=True),
    Operand("bias", ("B",), optional=True),
    _AXIS,
    _EPS,
    doc="ONNX's LayerNormalization: standardised over the axes from `axis` on, then scaled. The first result alone.",
    latex=_LATEX,
    family="nn",
    floating=True,
    examples=(
        Example((_ROWS, [0.5, 1.5, -2.0], [1.0, 2.0, 3.0])),
        Example((_ROWS, 0.5), {"axis": 0, "epsilon": 0.1}, note="broadcasting"),
    ),
)
written(
    "RMSNormalization",
    _rms,
    _X,
    _SCALE,
    _AXIS,
    _EPS,
    doc="ONNX's RMSNormalization: divided by the root mean square over the axes from `axis` on, then scaled.",
    latex="\\frac{{{x}}}{{\\sqrt{{\\overline{{{x}^2}} + \\varepsilon}}}}\\,{scale}",
    family="nn",
    floating=True,
    examples=(Example((_ROWS, [0.5, 1.5, -2.0])), Example((_ROWS, 2.0), {"axis": 0, "epsilon": 0.1})),
)
written(
    "GroupNormalization",
    _group,
    _X,
    _SCALE,
    _BIAS,
    Attr("num_groups", INT),
    _EPS,
    doc="ONNX's GroupNormalization: the channels in groups, each standardised, then scaled channel by channel (opset 21).",
    latex=_LATEX,
    family="nn",
    floating=True,
    examples=(
        Example((_IMAGE, *_FOUR), {"num_groups": 2}),
        Example((_IMAGE, *_FOUR), {"num_groups": 1, "epsilon": 0.1}),
    ),
)
written(
    "InstanceNormalization",
    _instance,
    _X,
    _SCALE,
    _BIAS,
    _EPS,
    doc="ONNX's InstanceNormalization: each channel of each sample standardised, then scaled.",
    latex=_LATEX,
    family="nn",
    floating=True,
    examples=(
        Example(([[[1.0, 2.0, 4.5], [4.0, 0.5, 1.0]]], [0.5, -1.5], [1.0, 2.0])),
        Example((_IMAGE, *_FOUR), {"epsilon": 0.5}),
    ),
)
written(
    "LpNormalization",
    _lp,
    _X,
    _AXIS,
    Attr("p", INT, 2),
    doc="ONNX's LpNormalization: divided by the p-norm along an axis, p 1 or 2; where that is 0, 0.",
    latex="\\frac{{{x}}}{{\\lVert {x} \\rVert_{{{p}}}}}",
    family="nn",
    floating=True,
    convention="Where the norm is 0 the derivative is 0.",
    examples=(
        Example((_ROWS,)),
        Example((_ROWS,), {"axis": 0, "p": 1}),
        Example(([[0.0, 0.0], [1.0, 2.0]],), smooth=False, note="a norm of 0"),
    ),
)
written(
    "MeanVarianceNormalization",
    _mean_variance,
    _X,
    Attr("axes", AXES, (0, 2, 3), ("axis",)),
    doc="ONNX's MeanVarianceNormalization: the distance from the mean over axes, divided by 1e-9 plus the deviation.",
    latex="\\frac{{{x} - \\mu}}{{\\sigma}}",
    family="nn",
    floating=True,
    convention="Of a constant the derivative of the deviation is 0.",
    examples=(
        Example(([[[[1.0, 2.0], [4.0, 0.5]], [[3.0, -1.0], [0.25, 2.0]]]],)),
        Example((_ROWS,), {"axes": (1,)}),
    ),
)
