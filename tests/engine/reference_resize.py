"""References of resizing: one entry after the other, each a sum over all entries of the axis, by the kernel's formula."""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np

from tests.engine.conformance import Reference
from tests.engine.reference_pooling import TABLE as POOLS


def _kernel(mode: str, t: float, a: float) -> float:
    t = abs(t)
    if mode == "linear":
        return max(1 - t, 0.0)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def _place(how: str, i: int, n: int, m: int, scale: float, roi: Any) -> float:
    """Where entry i of the result stands."""
    if how == "align_corners":
        return 0.0 if m == 1 else i * (n - 1) / (m - 1)
    if how == "asymmetric":
        return i / scale
    if how == "tf_crop_and_resize":
        return roi[0] * (n - 1) + i * (roi[1] - roi[0]) * (n - 1) / (m - 1)
    return (i + 0.5) / scale - 0.5


def _along(
    x: Any,
    m: int,
    scale: float,
    how: str,
    mode: str,
    nearest: Any,
    a: float,
    antialias: bool,
    exclude: bool,
    roi: Any,
    beyond: Any,
) -> Any:
    """The last axis."""
    n = x.shape[-1]
    y = np.zeros((*x.shape[:-1], m), x.dtype)
    for i in range(m):
        at = _place(how, i, n, m, scale, roi)
        if how == "tf_crop_and_resize" and not 0 <= at <= n - 1:
            y[..., i] = beyond
            continue
        if mode == "nearest":
            y[..., i] = x[..., min(max(nearest(at), 0), n - 1)]
            continue
        shrink = min(scale, 1.0) if antialias else 1.0
        reach = range(-2 * n - 10, 3 * n + 10)
        weights = {j: _kernel(mode, (j - at) * shrink, a) for j in reach}
        if exclude:
            weights = {j: w for j, w in weights.items() if 0 <= j < n}
        total = sum(weights.values())
        for j, w in weights.items():
            if w:
                y[..., i] += w / total * x[..., min(max(j, 0), n - 1)]
    return y


ROUNDED = {
    "round_prefer_floor": lambda v: -floor(-(v - 0.5)),
    "round_prefer_ceil": lambda v: floor(v + 0.5),
    "floor": floor,
    "ceil": lambda v: -floor(-v),
}


def _resize(
    x: Any, *, roi: Any, scales: Any, sizes: Any, mode: str, axes: Any, coordinate_transformation_mode: str, nearest_mode: str,
    cubic_coeff_a: float, exclude_outside: bool, extrapolation_value: float, antialias: bool, keep_aspect_ratio_policy: str,
) -> Any:  # fmt: skip
    axes = range(x.ndim) if axes is None else (axes,) if isinstance(axes, int) else axes
    own = [x.shape[a] for a in axes]
    if sizes is not None:
        sizes = (sizes,) if isinstance(sizes, int) else sizes
        scales = [m / n for m, n in zip(sizes, own, strict=True)]
        if keep_aspect_ratio_policy == "not_larger":
            scales = [min(scales)] * len(own)
            sizes = [round(min(scales) * n) for n in own]
    else:
        sizes = [int(n * s) for n, s in zip(own, scales, strict=True)]
    for i, (a, m, s) in enumerate(zip(axes, sizes, scales, strict=True)):
        region = None if roi is None else (roi[i], roi[len(own) + i])
        y = _along(
            np.moveaxis(x, a, -1), m, s, coordinate_transformation_mode, mode, ROUNDED[nearest_mode], cubic_coeff_a,
            antialias, exclude_outside, region, extrapolation_value,
        )  # fmt: skip
        x = np.moveaxis(y, -1, a)
    return x


def _interpolate(
    x: Any,
    *,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: Any,
    recompute_scale_factor: Any,
    antialias: bool,
) -> Any:
    k = x.ndim - 2
    if scale_factor is not None:
        factors = [float(scale_factor)] * k
        sizes = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    else:
        sizes = [size] * k if isinstance(size, int) else list(size)
        factors = [m / n for m, n in zip(sizes, x.shape[2:], strict=True)]
    if mode == "area":
        return POOLS[f"adaptive_avg_pool{k}d"].value(x, output_size=tuple(sizes))
    kind = {"nearest": "nearest", "nearest-exact": "nearest", "bicubic": "cubic"}.get(mode, "linear")
    how = "align_corners" if align_corners else "asymmetric" if mode == "nearest" else "half_pixel"
    nearest = ROUNDED["floor" if mode == "nearest" else "round_prefer_ceil"]
    for a, (m, s) in enumerate(zip(sizes, factors, strict=True)):
        y = _along(
            np.moveaxis(x, a + 2, -1),
            m,
            s,
            how,
            kind,
            nearest,
            -0.5 if antialias else -0.75,
            antialias,
            antialias,
            None,
            0,
        )
        x = np.moveaxis(y, -1, a + 2)
    return x


TABLE: dict[str, Reference] = {"interpolate": Reference(_interpolate), "Resize": Reference(_resize)}
"""What each op is compared with, by name."""
