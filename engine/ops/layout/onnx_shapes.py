"""ONNX's Pad, Slice, Split and Trilu, whose arguments are other ones than NumPy's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.attrs import AXIS, BOOL, COUNT, INT, INTS, NUMBER, Slice, one_of, optional
from engine.aval import normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.layout.arrange import MATRIX
from engine.ops.written import written

_X = Operand("x", ("data", "input"))
_AXES = Attr("axes", optional(INTS), None)


def _listed(name: str, x: Var, axes: Sequence[int] | None, *parts: Sequence[int]) -> list[int]:
    """The axes, from 0, of as many arguments. Raises `InvalidAttribute`."""
    found = list(range(len(parts[0]))) if axes is None else list(axes)
    own = [normalize_axis(a, x.rank) + x.rank for a in found]
    if len(set(own)) < len(own) or any(len(p) != len(own) for p in parts):
        raise InvalidAttribute(f"{name}: there must be one number for each axis, and each axis once.")
    return own


def _pad(b: Builder, x: Var, **attrs: Any) -> Var:
    pads, half = attrs["pads"], len(attrs["pads"]) // 2
    axes = _listed("Pad", x, attrs["axes"], pads[:half], pads[half:])
    widths = [(0, 0)] * x.rank
    for axis, before, after in zip(axes, pads[:half], pads[half:], strict=True):
        widths[axis] = (before, after)
    if min(pads, default=0) < 0:
        cut = tuple(Slice(max(-p, 0), n - max(-q, 0)) for n, (p, q) in zip(x.shape, widths, strict=True))
        x = call(b, "getitem", x, index=cut)
        widths = [(max(p, 0), max(q, 0)) for p, q in widths]
    return call(
        b, "pad", x, pad_width=tuple(widths), mode=attrs["mode"], constant_values=attrs["constant_value"]
    )


def _slice(b: Builder, x: Var, **attrs: Any) -> Var:
    starts, ends = attrs["starts"], attrs["ends"]
    steps = attrs["steps"] if attrs["steps"] is not None else (1,) * len(starts)
    axes = _listed("Slice", x, attrs["axes"], starts, ends, steps)
    index = [Slice()] * x.rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if not step:
            raise InvalidAttribute("Slice: a step must not be 0.")
        n = x.shape[axis]
        # Where a step goes back, an end before the first entry means: that one, too.
        stop = None if step < 0 and end < -n else max(min(end, n), -n - 1)
        index[axis] = Slice(max(min(start, n), -n - 1), stop, step)
    return call(b, "getitem", x, index=tuple(index))


def _trilu(b: Builder, x: Var, **attrs: Any) -> Var:
    return call(b, "triu" if attrs["upper"] else "tril", x, k=attrs["k"])


written(
    "Pad",
    _pad,
    _X,
    Attr("pads", INTS),
    Attr("constant_value", NUMBER, 0.0, ("value",)),
    _AXES,
    Attr("mode", one_of("constant", "reflect", "edge", "wrap"), "constant"),
    doc="""ONNX's Pad: entries put around an array; `pads` lists all beginnings, then all ends. Negative ones cut.

    NumPy's `pad` has pairs of both.""",
    latex="\\operatorname{{pad}} {x}",
    family="shape",
    derivative={"x": "1"},
    examples=(
        Example((MATRIX,), {"pads": (0, 1, 1, 2), "constant_value": 1.5}),
        Example((MATRIX,), {"pads": (1, -1), "axes": (-1,)}, note="one is cut off"),
        Example((MATRIX,), {"pads": (0, 2, 0, 1), "mode": "reflect"}),
    ),
)
written(
    "Slice",
    _slice,
    _X,
    Attr("starts", INTS),
    Attr("ends", INTS),
    _AXES,
    Attr("steps", optional(INTS), None),
    doc="""ONNX's Slice: entries from `starts` up to `ends` in `steps`, along `axes` (the first ones unless given).

    Positions beyond the ends mean the ends; negative ones count from the end.""",
    latex="{x}[\\cdot]",
    family="indexing",
    passes_integers=True,
    derivative={"x": "1"},
    examples=(
        Example((MATRIX,), {"starts": (0, 1), "ends": (1, 3)}),
        Example((MATRIX,), {"starts": (-1,), "ends": (-1000,), "axes": (1,), "steps": (-2,)}),
        Example((MATRIX,), {"starts": (1,), "ends": (1000,), "axes": (-1,)}),
    ),
)
written(
    "Trilu",
    _trilu,
    _X,
    Attr("k", INT, 0),
    Attr("upper", BOOL, True),
    doc="ONNX's Trilu: the upper triangle of matrices from diagonal k on, or the lower one up to it.",
    latex="\\operatorname{{tri}} {x}",
    family="shape",
    derivative={"x": "1"},
    examples=(Example((MATRIX,)), Example((MATRIX,), {"k": -1, "upper": False})),
)


class OnnxSplit(Op):
    """ONNX's Split: pieces along an axis, of the sizes `split`, or `num_outputs` of one size (the last one may be smaller)."""

    name = "Split"
    family = "shape"
    composite = True
    passes_integers = True
    parameters = (
        _X,
        Attr("split", optional(INTS), None),
        Attr("axis", AXIS, 0),
        Attr("num_outputs", optional(COUNT), None),
    )
    results = ("part", "…")
    latex = "\\operatorname{{split}} {x}"
    derivative = {"x": "1"}
    examples = (
        Example((MATRIX,), {"split": (1, 2), "axis": 1}),
        Example((MATRIX,), {"num_outputs": 2, "axis": -1}),
        Example((MATRIX,), {"num_outputs": 2}),
    )

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """As many as there are sizes."""
        split = attrs.get("split")
        return len(split) if split is not None else attrs.get("num_outputs")

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Any:
        """NumPy's split, at the sums of the sizes."""
        (x,), sizes, many = operands, attrs["split"], attrs["num_outputs"]
        n = x.shape[normalize_axis(attrs["axis"], x.rank)]
        if sizes is None:
            if not many:
                raise InvalidAttribute("Split needs `split`, the sizes of the parts, or `num_outputs`.")
            each = -(-n // many)
            sizes = (each,) * (many - 1) + (n - each * (many - 1),)
        if sum(sizes) != n or any(m < 0 for m in sizes):
            raise InvalidAttribute(f"Split: the sizes {list(sizes)} must add up to {n}, that of the axis.")
        ends = tuple(sum(sizes[: k + 1]) for k in range(len(sizes) - 1))
        return call(b, "split", x, indices_or_sections=ends, axis=attrs["axis"])


registry.add(OnnxSplit())
