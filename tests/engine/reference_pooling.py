"""References of poolings: each window is collected entry by entry, with a note of which entries are padding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from tests.engine.conformance import Reference
from tests.engine.reference_convolution import paddings
from tests.engine.reference_spatial import each


def _axis(n: int, w: int, s: int, d: int, p: int, q: int, ceil: bool) -> list[list[int]]:
    """For each window along an axis the positions of its entries, those outside of 0 … n − 1 being padding."""
    windows = []
    first = -p
    while first + d * (w - 1) < n + q or (ceil and first < n and windows and windows[-1][-1] < n + q - 1):
        windows.append([first + d * j for j in range(w)])
        first += s
    return windows


def _pool(
    x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, auto: str, axes: int | None,
    reduce: Callable[[list[Any], int, int], Any],
) -> Any:  # fmt: skip
    """`reduce(entries, all, inside)`: entries of x, how many with padding, how many of them inside the padded array."""
    k = axes or (x.ndim - 2 if isinstance(kernel, int) else len(kernel))
    shape = x.shape[x.ndim - k :]
    kernel, dilation = each(kernel, k), each(dilation, k)
    stride = kernel if stride is None else each(stride, k)
    before, behind = paddings(padding, auto, shape, kernel, stride, dilation)
    rows = [_axis(*p, ceil) for p in zip(shape, kernel, stride, dilation, before, behind, strict=True)]
    lead = x.shape[: x.ndim - k]
    flat = x.reshape(int(np.prod(lead)), *shape)
    y = np.zeros((len(flat), *map(len, rows)), x.dtype)
    for n in range(len(flat)):
        for o in product(*(range(len(r)) for r in rows)):
            places = list(product(*(r[i] for r, i in zip(rows, o, strict=True))))
            real = [at for at in places if all(0 <= i < m for i, m in zip(at, shape, strict=True))]
            inside = [
                at for at in places if all(i < m + q for i, m, q in zip(at, shape, behind, strict=True))
            ]
            y[(n, *o)] = reduce([flat[(n, *at)] for at in real], len(places), len(inside))
    return y.reshape(*lead, *y.shape[1:])


def _max_pool(axes: int | None) -> Any:
    def value(
        x: Any,
        *,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool,
        auto_pad: str = "notset",
    ) -> Any:
        return _pool(
            x, kernel_size, stride, padding, dilation, ceil_mode, auto_pad, axes,
            lambda entries, *_: max(entries, key=np.real),
        )  # fmt: skip

    return value


def _avg_pool(axes: int | None) -> Any:
    def value(
        x: Any, *, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
        divisor_override: Any, dilation: Any = 1, auto_pad: str = "notset",
    ) -> Any:  # fmt: skip
        def mean(entries: list[Any], total: int, inside: int) -> Any:
            return sum(entries) / (divisor_override or (inside if count_include_pad else len(entries)))

        return _pool(x, kernel_size, stride, padding, dilation, ceil_mode, auto_pad, axes, mean)

    return value


def _lp_pool(axes: int | None) -> Any:
    def value(
        x: Any, *, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool, padding: Any = 0, dilation: Any = 1,
        auto_pad: str = "notset",
    ) -> Any:  # fmt: skip
        def norm(entries: list[Any], *_: int) -> Any:
            return sum((e * np.sign(np.real(e))) ** norm_type for e in entries) ** (1 / norm_type)

        return _pool(x, kernel_size, stride, padding, dilation, ceil_mode, auto_pad, axes, norm)

    return value


def _adaptive(axes: int, reduce: Callable[[list[Any]], Any]) -> Any:
    def value(x: Any, *, output_size: Any) -> Any:
        shape = x.shape[x.ndim - axes :]
        given = output_size if isinstance(output_size, tuple) else (output_size,) * axes
        sizes = [n if m is None else m for m, n in zip(given, shape, strict=True)]
        y = np.zeros((*x.shape[: x.ndim - axes], *sizes), x.dtype)
        for lead in np.ndindex(*x.shape[: x.ndim - axes]):
            for o in np.ndindex(*sizes):
                ranges = [
                    range(i * n // m, int(np.ceil((i + 1) * n / m)))
                    for i, n, m in zip(o, shape, sizes, strict=True)
                ]
                y[(*lead, *o)] = reduce([x[(*lead, *at)] for at in product(*ranges)])
        return y

    return value


def _mean(entries: list[Any]) -> Any:
    return sum(entries) / len(entries)


def _largest(entries: list[Any]) -> Any:
    return max(entries, key=np.real)


def _spatial(x: Any) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


AXES = (("1d", 1), ("2d", 2), ("3d", 3))

TABLE: dict[str, Reference] = {
    **{f"max_pool{n}": Reference(_max_pool(k)) for n, k in (*AXES, ("", None))},
    **{f"avg_pool{n}": Reference(_avg_pool(k)) for n, k in (*AXES, ("", None))},
    **{f"lp_pool{n}": Reference(_lp_pool(k)) for n, k in (*AXES, ("", None))},
    **{f"adaptive_avg_pool{n}": Reference(_adaptive(k, _mean)) for n, k in AXES},
    **{f"adaptive_max_pool{n}": Reference(_adaptive(k, _largest)) for n, k in AXES},
    "global_avg_pool": Reference(lambda x: x.mean(_spatial(x), keepdims=True) if x.ndim > 2 else x),
    "global_max_pool": Reference(lambda x: np.max(x, _spatial(x), keepdims=True)),
    "global_lp_pool": Reference(
        lambda x, p: (((x * np.sign(np.real(x))) ** p).sum(_spatial(x), keepdims=True)) ** (1 / p)
    ),
}
"""What each op is compared with, by name."""
