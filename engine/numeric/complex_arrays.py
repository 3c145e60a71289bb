"""Reductions and linear algebra of complex arrays whose imaginary parts are steps (`complex_pointwise.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.linalg

from engine.numeric.complex_pointwise import Complex, imaginary, joined, power, size

# -------------------------------------------------------------------------------------------------------------- reductions


def extreme(fn: Callable[..., Any]) -> Callable[..., Complex]:
    """The entry that the real parts choose; of several the mean."""

    def rule(params: Mapping[str, Any], z: Complex, mask: Any = None) -> Complex:
        x, axes = np.real(z), params["axes"]
        if mask is not None:
            x = np.where(mask, x, np.nan)
        best = fn(x, axis=axes, keepdims=True)
        there = x == best
        count = np.maximum(there.sum(axis=axes), 1)
        return joined(0.0, np.where(there, imaginary(z), 0).sum(axis=axes) / count)

    return rule


def exponentials(z: Complex, axes: tuple[int, ...]) -> tuple[Complex, Complex]:
    """exp(z − the largest), and that; of −∞ throughout zeros."""
    top = np.max(np.real(z), axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    return np.where(np.isneginf(np.real(z)), 0, np.exp(z - top)), top


def softmax(params: Mapping[str, Any], z: Complex) -> Complex:
    e, _ = exponentials(z, params["axes"])
    return e / e.sum(axis=params["axes"], keepdims=True)


def log_softmax(params: Mapping[str, Any], z: Complex) -> Complex:
    e, top = exponentials(z, params["axes"])
    return (z - top) - np.log(e.sum(axis=params["axes"], keepdims=True))


def logsumexp(params: Mapping[str, Any], z: Complex) -> Complex:
    e, _ = exponentials(z, params["axes"])
    return np.log(e.sum(axis=params["axes"]) + 0j)


def vector_norm(params: Mapping[str, Any], z: Complex) -> Complex:
    """(Σ |x|^p)^(1/p), of numbers that are at most 1."""
    axes, p = params["axes"], params.get("ord", 2.0)
    unit = np.max(np.abs(np.real(z)), axis=axes, keepdims=True, initial=0.0)
    unit = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
    total = power(size(z / unit), p).sum(axis=axes) if p != 2 else ((z / unit) ** 2).sum(axis=axes)
    return np.where(np.real(total) == 0, 0, unit.reshape(np.shape(total)) * power(total, 1 / p))


def signed_power(params: Mapping[str, Any], z: Complex) -> Complex:
    found = power(size(z), params["exponent"])
    found = np.where(np.real(z) == 0, 0, found)
    return np.sign(np.real(z)) * found if params["signed"] else found


def running_product(params: Mapping[str, Any], z: Complex) -> Complex:
    axis = params["axis"]
    if params["reverse"]:
        return np.flip(np.cumprod(np.flip(z, axis), axis), axis)
    return np.cumprod(z, axis)


def linear_recurrence(params: Mapping[str, Any], a: Complex, b: Complex) -> Complex:
    axis = params["axis"]
    a, b = (np.moveaxis(np.asarray(v), axis, 0) for v in (a, b))
    order = range(len(b) - 1, -1, -1) if params["reverse"] else range(len(b))
    result = np.empty(b.shape, np.complex128)
    state = np.zeros(b.shape[1:], np.complex128)
    for i in order:
        state = a[i] * state + b[i]
        result[i] = state
    return np.moveaxis(result, 0, axis)


def power_table(params: Mapping[str, Any], z: Complex) -> Complex:
    z, n = np.asarray(z), params["n"]
    found = np.concatenate([np.ones(z.shape), np.repeat(z, max(n - 1, 0), axis=-1)], axis=-1)[..., :n]
    found = np.cumprod(found, axis=-1)
    return np.flip(found, -1) if params["reverse"] else found


# ---------------------------------------------------------------------------------------------------------- linear algebra


def systems(params: Mapping[str, Any], a: Complex, b: Complex) -> Complex:
    found: Complex = np.linalg.solve(a, b)
    return found


def triangular(params: Mapping[str, Any], a: Complex, b: Complex) -> Complex:
    a = np.asarray(a)
    t = np.tril(a) if params["lower"] else np.triu(a)
    if params["unit"]:
        at = np.arange(t.shape[-1])
        t[..., at, at] = 1
    return systems(params, t, b)


def slogdet(params: Mapping[str, Any], a: Complex) -> tuple[Complex, Complex]:
    """The sign is a number on the unit circle; its angle is the imaginary part of the logarithm."""
    sign, size = np.linalg.slogdet(a)
    return np.real(sign) + 0j, joined(size, np.imag(sign) * np.sign(np.real(sign)))


def cholesky(params: Mapping[str, Any], a: Complex) -> Complex:
    """L of A = L Lᵀ (not Lᴴ), column by column. As the op, it reads the lower triangle."""
    a = np.asarray(a, np.complex128)
    lower = np.zeros_like(a)
    for j in range(a.shape[-1]):
        rest = a[..., j:, j] - np.einsum("...ik,...k->...i", lower[..., j:, :j], lower[..., j, :j])
        lower[..., j:, j] = rest / np.sqrt(rest[..., :1])
    return lower


def matrix_function(params: Mapping[str, Any], a: Complex) -> Complex:
    """eᴬ; of other functions SciPy takes real parts. (With tangents it is a derivative.)"""
    if params["function"] != "exp":
        raise NotImplementedError
    return scipy.linalg.expm(a)
