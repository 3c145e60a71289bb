"""What special functions, parts of numbers, activations, normalisations and losses are called in JAX and in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import torch

F = torch.nn.functional
ts = torch.special

Pair = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of PyTorch: operands in order, attributes by name."""
    return lambda *operands, **attrs: function(*operands, **attrs)


def at_kink_free(x: Any, *operands: Any, **attrs: Any) -> Any:
    """PyTorch's binary cross-entropy takes its weight by name."""
    target, *weight = operands
    return F.binary_cross_entropy(x, target, *weight, **attrs)


def kl_div(x: Any, target: Any, **attrs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that mean may come to mean batchmean
        return F.kl_div(x, target, **attrs)


def cosine_similarity(x1: Any, x2: Any, dim: int, eps: float) -> Any:
    if eps > 1e-3:
        raise NotImplementedError("a vector shorter than eps: its derivative there is that without eps")
    return F.cosine_similarity(x1, x2, dim, eps)


def multilabel(x: Any, target: Any, weight: Any = None, **attrs: Any) -> Any:
    return F.multilabel_soft_margin_loss(x, target, weight=weight, **attrs)


def torch_rms_norm(x: Any, weight: Any = None, *, normalized_shape: Any, eps: Any) -> Any:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    return F.rms_norm(x, shape, weight, eps)


def torch_group_norm(x: Any, weight: Any = None, bias: Any = None, *, num_groups: int, eps: float) -> Any:
    return F.group_norm(x, num_groups, weight, bias, eps)


def torch_instance_norm(
    x: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None, **attrs: Any
) -> Any:
    return F.instance_norm(x, mean, var, weight, bias, **attrs)


def select(conditions: Any, choices: Any, default: Any = 0.0) -> Any:
    return jnp.select(list(conditions), list(choices), default)


def no_order(x: Any, n: int) -> Any:
    return torch.polygamma(n, x)


TABLE: dict[str, Pair] = {
    # Error functions.
    "erf": (jsp.erf, torch.erf),
    "erfc": (jsp.erfc, torch.erfc),
    "ndtr": (jsp.ndtr, ts.ndtr),
    "erfcx": (None, ts.erfcx),
    "erfinv": (jsp.erfinv, torch.erfinv),
    "ndtri": (jsp.ndtri, ts.ndtri),
    "log_ndtr": (jsp.log_ndtr, ts.log_ndtr),
    # Gamma and beta.
    "gamma": (jsp.gamma, None),
    "gammaln": (jsp.gammaln, torch.lgamma),
    "gammasgn": (jsp.gammasgn, None),
    "digamma": (jsp.digamma, torch.digamma),
    "trigamma": (lambda x: jsp.polygamma(1, x), lambda x: torch.polygamma(1, x)),
    "polygamma": (lambda x, n: jsp.polygamma(n, x), no_order),
    "factorial": (jsp.factorial, None),
    "multigammaln": (lambda a, d: jsp.multigammaln(a, d), lambda a, d: ts.multigammaln(a, d)),
    "beta": (jsp.beta, None),
    "betaln": (jsp.betaln, None),
    "poch": (jsp.poch, None),
    "zeta": (jsp.zeta, ts.zeta),
    # Bessel functions.
    "i0": (None, ts.i0),  # JAX has derivative 1 at 0, from the |x| inside
    "i1": (None, ts.i1),
    "i0e": (jsp.i0e, ts.i0e),
    "i1e": (jsp.i1e, ts.i1e),
    # Integrals, entropies.
    "expi": (jsp.expi, None),
    "logit": (jsp.logit, torch.logit),
    "xlog1py": (jsp.xlog1py, ts.xlog1py),
    "entr": (jsp.entr, ts.entr),
    "rel_entr": (jsp.rel_entr, None),
    "kl_terms": (jsp.kl_div, None),
    # Parts of numbers.
    "rsqrt": (jax.lax.rsqrt, torch.rsqrt),
    "fmax": (jnp.fmax, torch.fmax),
    "fmin": (jnp.fmin, torch.fmin),
    "logaddexp2": (jnp.logaddexp2, torch.logaddexp2),
    "signbit": (jnp.signbit, torch.signbit),
    "isposinf": (jnp.isposinf, torch.isposinf),
    "isneginf": (jnp.isneginf, torch.isneginf),
    "ldexp": (jnp.ldexp, None),  # PyTorch has derivative 0 for a negative exponent
    "modf": (jnp.modf, None),
    "frac": (None, torch.frac),
    "divmod": (jnp.divmod, None),
    "nan_to_num": (
        lambda x, copy, nan, posinf, neginf: jnp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf),
        lambda x, copy, nan, posinf, neginf: torch.nan_to_num(x, nan, posinf, neginf),
    ),
    "isclose": (jnp.isclose, torch.isclose),
    "allclose": (jnp.allclose, None),
    "lerp": (None, torch.lerp),
    "select_cases": (select, None),
    "Max": (lambda *xs: reduce(jnp.maximum, xs), lambda *xs: reduce(torch.maximum, xs)),
    "Min": (lambda *xs: reduce(jnp.minimum, xs), lambda *xs: reduce(torch.minimum, xs)),
    # Activations.
    "celu": (lambda x, alpha: jax.nn.celu(x, alpha), F.celu),
    "hardswish": (jax.nn.hard_swish, lambda x: x * F.relu6(x + 3) / 6),
    "hardtanh": (None, F.hardtanh),
    "softshrink": (None, F.softshrink),
    "hardshrink": (None, F.hardshrink),
    "tanhshrink": (None, F.tanhshrink),
    "sech_squared": (lambda x: 1 - jnp.tanh(x) ** 2, lambda x: 1 - torch.tanh(x) ** 2),
    "threshold": (None, F.threshold),
    "squareplus": (lambda x, beta: jax.nn.squareplus(x, beta), None),
    "prelu": (None, lambda x, weight: F.prelu(x, weight.reshape(-1))),
    "glu": (lambda x, axis: jax.nn.glu(x, axis), lambda x, axis: F.glu(x, axis)),
    "softmin": (None, lambda x, axis: F.softmin(x, axis)),
    # Normalisation and distances.
    "rms_norm": (None, torch_rms_norm),
    "group_norm": (None, torch_group_norm),
    "instance_norm": (None, torch_instance_norm),
    "local_response_norm": (None, plain(F.local_response_norm)),
    "normalize": (None, plain(F.normalize)),
    "cosine_similarity": (None, cosine_similarity),
    "pairwise_distance": (None, plain(F.pairwise_distance)),
    # Losses.
    "l1_loss": (None, lambda x, y, reduction: F.l1_loss(*torch.broadcast_tensors(x, y), reduction=reduction)),
    "smooth_l1_loss": (None, plain(F.smooth_l1_loss)),
    "kl_div": (None, kl_div),
    "binary_cross_entropy": (None, at_kink_free),
    "poisson_nll_loss": (None, plain(F.poisson_nll_loss)),
    "gaussian_nll_loss": (None, plain(F.gaussian_nll_loss)),
    "soft_margin_loss": (None, plain(F.soft_margin_loss)),
    "hinge_embedding_loss": (None, plain(F.hinge_embedding_loss)),
    "margin_ranking_loss": (None, plain(F.margin_ranking_loss)),
    "multilabel_soft_margin_loss": (None, multilabel),
    "triplet_margin_loss": (None, plain(F.triplet_margin_loss)),
    "cosine_embedding_loss": (None, plain(F.cosine_embedding_loss)),
}

NEITHER = {
    "erfcinv", "ndtri_exp", "dawsn", "rgamma", "binom", "comb", "betaincc", "exprel", "lambertw", "ellipk", "ellipe", "cosm1",
    "exp10", "jv", "yv", "iv", "kv", "ive", "kve", "k0e", "k1e", "sinpi", "cospi", "sindg", "cosdg", "tandg", "cotdg", "sec",
    "csc", "cot", "log_cosh", "log_cosh_loss", "quick_gelu",
    "j0", "j1", "y0", "y1", "k0", "k1",  # PyTorch has them, with derivative 0
    "gammainc", "gammaincc", "betainc", "exp1", "expn", "sici",  # JAX has no second derivative of them
    "spence",  # JAX has derivative 0 at 1, where it is -1
    "multi_margin_loss",  # PyTorch has no second derivative
    "frexp",  # PyTorch has no derivative
    "shrink", "thresholded_relu", "HardSigmoid", "Mod", "Sum", "Mean", "LRN",  # ONNX's
}  # fmt: skip

CONSTANT = {
    "soft_margin_loss": (1,), "multilabel_soft_margin_loss": (2,), "binary_cross_entropy": (2,), "zeta": (0,),
}  # fmt: skip
"""Operands in which PyTorch has no derivative."""
