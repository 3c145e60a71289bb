"""Resizing by interpolation along each axis: PyTorch's `interpolate`, ONNX's `Resize`.

Every mode is, along one axis, Σ over a few neighbours of weight·x[index], with indices and weights that are known before
anything runs: a gather, a product and a sum. The modes of several axes are those of one axis after the other. A weight of 0 is
a strong zero: a neighbour that does not count may be infinite.

R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any

import numpy as np

from engine.attrs import BOOL, INTS, NUMBER, number, one_of, optional
from engine.aval import Array, normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Kind, Op, Operand, registry
from engine.ops.index.gather import gather_axis
from engine.ops.layers.spatial import LENGTHS, check_axis, per_axis, ramp
from engine.transforms.strong import times

FAR = 2.0**40

# --------------------------------------------------------------------------------------------------------- along one axis


@dataclass(frozen=True, slots=True)
class Method:
    """How entries between those of an axis are made up."""

    mode: str = "linear"
    """nearest, linear or cubic."""
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    antialias: bool = False
    exclude_outside: bool = False


def _linear(t: Array) -> Array:
    result: Array = np.maximum(1 - np.abs(t), 0)
    return result


def _cubic(t: Array, a: float) -> Array:
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    result: Array = np.where(t <= 1, near, np.where(t < 2, far, 0))
    return result


def footprint(method: Method, scale: float) -> int:
    """How many neighbours count for an entry."""
    if method.mode == "nearest":
        return 1
    shrink = min(scale, 1.0) if method.antialias else 1.0
    return 2 * ceil((1 if method.mode == "linear" else 2) / shrink)


def neighbours(places: Array, n: int, scale: float, method: Method) -> tuple[Array, Array]:
    """Indices and weights, both [m, footprint], for m places on an axis of n entries. Beyond its ends it goes on as it ends."""
    places = np.clip(places, -FAR, FAR)  # beyond the ends nothing changes any more
    if method.mode == "nearest":
        rounded = {
            "round_prefer_floor": np.ceil(places - 0.5),
            "round_prefer_ceil": np.floor(places + 0.5),
            "floor": np.floor(places),
            "ceil": np.ceil(places),
        }[method.nearest]
        return np.clip(rounded, 0, n - 1).astype(np.int64)[:, None], np.ones((len(places), 1))
    shrink = min(scale, 1.0) if method.antialias else 1.0
    half = footprint(method, scale) // 2
    index = np.floor(places)[:, None] + np.arange(1 - half, half + 1)
    distance = (index - places[:, None]) * shrink
    weight = _linear(distance) if method.mode == "linear" else _cubic(distance, method.cubic)
    if method.exclude_outside:
        weight = np.where((index < 0) | (index >= n), 0.0, weight)
    if method.exclude_outside or method.antialias:
        total = weight.sum(1, keepdims=True)
        weight = weight / np.where(total == 0, 1.0, total)
    return np.clip(index, 0, n - 1).astype(np.int64), weight


def interpolated(x: Var, axis: int, places: Array, scale: float, method: Method) -> Var:
    """x at places along an axis (counted from the end)."""
    b = x.b
    index, weight = neighbours(places, x.shape[axis], scale, method)
    if index.shape[1] == 1:
        return gather_axis(x, b.var(index[:, 0], "int64"), axis)
    around = gather_axis(x, b.var(index, "int64"), axis)
    weights = b.var(weight.reshape((*weight.shape, *[1] * (-axis - 1))))
    spread = call(b, "broadcast_to", weights, shape=around.shape)
    return times(spread, around).sum(axis)


def check_places(b: Builder, m: int, method: Method, scale: float) -> None:
    """Raise `LimitExceeded` for more places than an array may have."""
    if m > 2**31 or not scale > 0 or footprint(method, scale) > 2**31:
        check_axis(b, 2**62)
    check_axis(b, m * footprint(method, scale))


# ----------------------------------------------------------------------------------------------------------- interpolate


def _factors(value: Any) -> Any:
    def factor(v: Any) -> float:
        f = number(v)
        if not 2**-31 <= f <= 2**31:
            raise ValueError(f"{v} is no factor between 2⁻³¹ and 2³¹")
        return f

    if not isinstance(value, list | tuple):
        return factor(value)
    if len(value) > 64:
        raise ValueError(f"it has {len(value)} entries")
    return tuple(map(factor, value))


FACTORS = Kind("a positive number, or one for each axis", _factors)

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
AXES_OF = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


class Interpolate(Op):
    """Resizing of the axes behind the first two, as PyTorch's `interpolate`: to a `size`, or by a `scale_factor`.

    input: f[N, C, *s]  ->  f[N, C, *size]

    Modes: nearest (entry ⌊i·s/size⌋), nearest-exact (the nearest centre), linear, bilinear, trilinear (one, two, three axes),
    bicubic (two axes), area (means, as `adaptive_avg_pool`). With `align_corners` the first and the last entry stay where they
    are; else entries are cells of equal width. `antialias` widens the linear and cubic kernels where the result is smaller.
    """

    name = "interpolate"
    aliases = ("upsample",)
    family = "nn"
    parameters = (
        Operand("input", ("x",)),
        Attr("size", optional(LENGTHS), None),
        Attr("scale_factor", optional(FACTORS), None),
        Attr("mode", one_of(*MODES), "nearest"),
        Attr("align_corners", optional(BOOL), None),
        Attr("recompute_scale_factor", optional(BOOL), None),
        Attr("antialias", BOOL, False),
    )
    composite = True
    floating = True
    latex = "\\operatorname{{interpolate}}({input})"
    derivative = {"input": "\\dot{x}"}
    examples = (
        Example((ramp(1, 2, 3),), {"size": 5}),
        Example((ramp(2, 1, 5),), {"scale_factor": 1.5, "mode": "linear"}),
        Example((ramp(1, 1, 3, 4),), {"size": (5, 3), "mode": "bilinear"}),
        Example((ramp(1, 1, 3, 4),), {"size": (5, 2), "mode": "bilinear", "align_corners": True}),
        Example((ramp(1, 1, 4, 4),), {"size": (6, 3), "mode": "bicubic"}),
        Example((ramp(1, 1, 4, 5),), {"size": (2, 3), "mode": "bilinear", "antialias": True}),
        Example((ramp(1, 1, 2, 2, 3),), {"scale_factor": 2, "mode": "trilinear"}),
        Example((ramp(1, 1, 5),), {"size": 3, "mode": "area"}),
        Example((ramp(1, 1, 5),), {"size": 3, "mode": "nearest-exact"}),
        Example(
            ([[[1.0, 2.0, np.inf]]],),
            {"size": 5, "mode": "linear", "align_corners": True},
            smooth=False,
            note="infinity",
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One axis after the other."""
        (x,), mode = operands, attrs["mode"]
        k = x.rank - 2
        if k < 1 or not all(x.shape[2:]):
            raise ShapeMismatch(
                "interpolate needs an input of shape [batch, channels, …] with spatial axes that are not empty; its shape is "
                f"{list(x.shape)}."
            )
        if AXES_OF.get(mode, k) != k:
            raise InvalidAttribute(
                f"interpolate: mode '{mode}' is for {AXES_OF[mode]} axes behind the first two; the input's shape is "
                f"{list(x.shape)}."
            )
        align = bool(attrs["align_corners"])
        if attrs["align_corners"] is not None and mode not in AXES_OF:
            raise InvalidAttribute(f"interpolate: align_corners has no meaning in mode '{mode}'.")
        if attrs["antialias"] and mode not in ("bilinear", "bicubic"):
            raise InvalidAttribute("interpolate: antialias is for the modes bilinear and bicubic.")
        sizes, scales = self._sizes(x, attrs, k)
        if mode == "area":
            if not 1 <= k <= 3:
                raise InvalidAttribute("interpolate: mode 'area' is for one to three axes.")
            return call(b, f"adaptive_avg_pool{k}d", x, output_size=sizes)
        smooth = attrs["antialias"]
        method = Method(
            "cubic" if mode == "bicubic" else "linear" if mode in AXES_OF else "nearest",
            "floor" if mode == "nearest" else "round_prefer_ceil",
            -0.5 if smooth else -0.75, smooth, smooth,
        )  # fmt: skip
        how = "align_corners" if align else "asymmetric" if mode == "nearest" else "half_pixel"
        for a, (m, scale) in enumerate(zip(sizes, scales, strict=True)):
            n = x.shape[a + 2]
            check_places(b, m, method, scale)
            x = interpolated(x, a - k, places(how, n, m, scale, None), scale, method)
        result: Var = x
        return result

    def _sizes(self, x: Var, attrs: dict[str, Any], k: int) -> tuple[tuple[int, ...], list[float]]:
        size, factor = attrs["size"], attrs["scale_factor"]
        if (size is None) == (factor is None):
            raise InvalidAttribute("interpolate: give either size or scale_factor.")
        if size is not None:
            sizes = per_axis(self.name, "size", size, k)
            return sizes, [m / n for m, n in zip(sizes, x.shape[2:], strict=True)]
        factors = (factor,) * k if isinstance(factor, float) else factor
        if len(factors) != k:
            raise InvalidAttribute(
                f"interpolate: scale_factor {list(factors)} must have {k} entries, or be one number."
            )
        sizes = tuple(floor(n * f) for n, f in zip(x.shape[2:], factors, strict=True))
        if not all(sizes):
            raise InvalidAttribute(
                f"interpolate: scale_factor {list(factors)} leaves nothing of {list(x.shape[2:])}."
            )
        if attrs["recompute_scale_factor"]:
            return sizes, [m / n for m, n in zip(sizes, x.shape[2:], strict=True)]
        return sizes, list(factors)


registry.add(Interpolate())


def places(how: str, n: int, m: int, scale: float, roi: tuple[float, float] | None) -> Array:
    """Where the m entries of a result stand on an axis of n entries, by ONNX's coordinate transformation `how`."""
    i = np.arange(m, dtype=np.float64)
    length = scale * n
    if how == "align_corners":
        return np.zeros(m) if length == 1 else i * (n - 1) / (length - 1)
    if how == "asymmetric":
        return i / scale
    if how == "tf_crop_and_resize":
        assert roi is not None
        start, stop = roi
        width = (stop - start) * (n - 1)
        return start * (n - 1) + (np.full(m, width / 2) if length == 1 else i * width / (length - 1))
    if how == "pytorch_half_pixel" and length == 1:
        return np.full(m, -0.5)
    offset = n / 2 * (1 - m / length) if how == "half_pixel_symmetric" else 0.0
    result: Array = offset + (i + 0.5) / scale - 0.5
    return result


# ---------------------------------------------------------------------------------------------------------------- Resize

COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
)  # fmt: skip


def _roi(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) > 128:
        raise ValueError("it is no list of starts and then ends")
    listed = tuple(map(number, value))
    if not all(map(isfinite, listed)):
        raise ValueError("it is not finite")
    return listed


class Resize(Op):
    """Resizing along axes by interpolation, as ONNX's Resize: to `sizes`, or by `scales`.

    x: f[*s]  ->  f[*sizes] (⌊s·scale⌋). `axes` are those that `sizes`, `scales` and `roi` are about, all by default.
    Modes are nearest (`nearest_mode`), linear and cubic (`cubic_coeff_a`); `coordinate_transformation_mode` says where the
    result's entries stand. For tf_crop_and_resize, `roi` holds the starts and then the ends of a region, as fractions, and what
    is beyond the array is `extrapolation_value`.
    """

    name = "Resize"
    family = "nn"
    parameters = (
        Operand("x", ("X", "input")),
        Attr("roi", optional(Kind("a list of numbers", _roi)), None),
        Attr("scales", optional(FACTORS), None),
        Attr("sizes", optional(LENGTHS), None),
        Attr("mode", one_of("nearest", "linear", "cubic"), "nearest", keyword_only=True),
        Attr("axes", optional(INTS), None, keyword_only=True),
        Attr("coordinate_transformation_mode", one_of(*COORDINATES), "half_pixel", keyword_only=True),
        Attr(
            "nearest_mode", one_of("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"), "round_prefer_floor",
            keyword_only=True,
        ),
        Attr("cubic_coeff_a", NUMBER, -0.75, keyword_only=True),
        Attr("exclude_outside", BOOL, False, keyword_only=True),
        Attr("extrapolation_value", NUMBER, 0.0, keyword_only=True),
        Attr("antialias", BOOL, False, keyword_only=True),
        Attr(
            "keep_aspect_ratio_policy", one_of("stretch", "not_larger", "not_smaller"), "stretch", keyword_only=True
        ),
    )  # fmt: skip
    composite = True
    floating = True
    latex = "\\operatorname{{resize}}({x})"
    derivative = {"x": "\\dot{x}"}
    examples = (
        Example((ramp(1, 1, 3, 4),), {"scales": (1, 1, 2, 0.5)}),
        Example((ramp(3, 4),), {"sizes": (5, 3), "mode": "linear"}),
        Example((ramp(1, 4, 4),), {"scales": (1.5, 0.8), "axes": (1, 2), "mode": "cubic", "exclude_outside": True}),
        Example((ramp(5, 2),), {"sizes": 3, "axes": 0, "mode": "linear", "antialias": True}),
        Example((ramp(6),), {"sizes": 3, "mode": "cubic", "antialias": True, "cubic_coeff_a": -0.5}),
        Example(
            (ramp(4, 4),),
            {
                "sizes": (3, 3), "mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize",
                "roi": (0.25, -0.5, 0.75, 1.25), "extrapolation_value": 2.0,
            },
            note="beyond the array",
        ),
        Example((ramp(4, 3),), {"sizes": (8, 5), "keep_aspect_ratio_policy": "not_larger"}),
    )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One axis after the other."""
        (x,), how = operands, attrs["coordinate_transformation_mode"]
        axes = tuple(range(x.rank)) if attrs["axes"] is None else attrs["axes"]
        at = [normalize_axis(a, x.rank) for a in axes]
        if len(set(at)) != len(at):
            raise InvalidAttribute(f"Resize: axes {list(axes)} name an axis twice.")
        sizes, scales = self._sizes(x, at, attrs)
        roi = attrs["roi"]
        cut = how == "tf_crop_and_resize"
        if cut and (roi is None or len(roi) != 2 * len(at)):
            raise InvalidAttribute(
                f"Resize: tf_crop_and_resize needs a roi of {2 * len(at)} numbers, starts and then ends of {len(at)} axes."
            )
        method = Method(
            attrs["mode"],
            attrs["nearest_mode"],
            attrs["cubic_coeff_a"],
            attrs["antialias"],
            attrs["exclude_outside"],
        )
        for i, (axis, m, scale) in enumerate(zip(at, sizes, scales, strict=True)):
            n = x.shape[axis]
            region = (roi[i], roi[len(at) + i]) if cut else None
            if scale == 1 and m == n and region in (None, (0.0, 1.0)):
                continue
            if n == 0:
                raise ShapeMismatch(
                    f"Resize: axis {axis + x.rank} of {list(x.shape)} is empty: there is nothing to resize."
                )
            check_places(b, m, method, scale)
            where = places(how, n, m, scale, region)
            x = interpolated(x, axis, where, scale, method)
            outside = (where < 0) | (where > n - 1)
            if cut and outside.any():
                mask = b.var(outside.reshape((-1, *[1] * (-axis - 1))))
                x = call(b, "where", mask, attrs["extrapolation_value"], x)
        return call(b, "identity", x) if x is operands[0] else x

    def _sizes(self, x: Var, at: Sequence[int], attrs: dict[str, Any]) -> tuple[list[int], list[float]]:
        sizes, scales, policy = attrs["sizes"], attrs["scales"], attrs["keep_aspect_ratio_policy"]
        if (sizes is None) == (scales is None):
            raise InvalidAttribute("Resize: give either sizes or scales.")
        own = [x.shape[a] for a in at]
        if scales is not None:
            factors = [scales] * len(at) if isinstance(scales, float) else list(scales)
            if len(factors) != len(at):
                raise InvalidAttribute(
                    f"Resize: scales {factors} must have {len(at)} entries, one for each axis."
                )
            return [max(floor(n * f), 0) for n, f in zip(own, factors, strict=True)], factors
        listed = list(per_axis(self.name, "sizes", sizes, len(at)))
        if not all(own):
            raise ShapeMismatch(
                f"Resize: an array of shape {list(x.shape)} has an empty axis: there is nothing to resize."
            )
        factors = [m / n for m, n in zip(listed, own, strict=True)]
        if policy != "stretch" and factors:
            one = min(factors) if policy == "not_larger" else max(factors)
            return [floor(one * n + 0.5) for n in own], [one] * len(own)
        return listed, factors


registry.add(Resize())
