"""Values, gradients and Hessian-vector products of the ops against JAX and PyTorch, in double precision.

The table says what each op is called there. Points are the op's own smooth examples and random points of its domain; an
op that neither has is named in `NEITHER`, so that none is forgotten.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

pytestmark = pytest.mark.peers
jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

import jax.numpy as jnp  # noqa: E402  # after importorskip
import jax.scipy as jsp  # noqa: E402

import engine.ops  # noqa: E402, F401  # fills the registry
from engine.graph import typecheck  # noqa: E402
from engine.op import Op, registry  # noqa: E402
from engine.transforms.pull import vjp_graph  # noqa: E402
from engine.transforms.push import jvp_graph  # noqa: E402
from tests.engine.conformance import Case, cases, compute, domain_cases, structural  # noqa: E402
from tests.engine.references import REFERENCES  # noqa: E402
from tests.peers import arrays_table, layers_table, names_table, nested_table, special_table  # noqa: E402
from tests.peers.linear_table import LINEAR, LINEAR_NEITHER  # noqa: E402

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)

F = torch.nn.functional


class Peer(NamedTuple):
    """The op in JAX and in PyTorch: functions of the operands (None where absent) and the attributes by name."""

    jax: Callable[..., Any] | None
    torch: Callable[..., Any] | None


def same(name: str, torch_name: str = "") -> Peer:
    """The op under these names, with positional operands and no attributes."""
    other = torch_name or name
    return Peer(
        getattr(jnp, name), getattr(torch, other) if hasattr(torch, other) else getattr(torch.special, other)
    )


def dims(axis: Any, x: Any) -> tuple[int, ...]:
    """Axes as a tuple."""
    return tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)


def over_dims(function: Callable[..., Any]) -> Callable[..., Any]:
    """A PyTorch reduction that takes several dims."""
    return lambda x, axis, keepdims: function(x, dim=dims(axis, x), keepdim=keepdims)


def jax_reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """A JAX reduction with a value to start from and a mask."""

    def run(x: Any, initial: Any = None, where: Any = None, **attrs: Any) -> Any:
        return function(x, initial=initial, where=where, **attrs)

    return run


def jax_masked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A JAX reduction with a mask."""
    return lambda x, where=None, **attrs: function(x, where=where, **attrs)


def one_dim(function: Callable[..., Any]) -> Callable[..., Any]:
    """A PyTorch function of one dim, of the flattened array without one."""
    return lambda x, axis, **rest: function(x.reshape(-1), 0) if axis is None else function(x, axis)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A running reduction from the front that includes the entry itself; others are not offered."""

    def run(x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
        if exclusive or reverse:
            raise NotImplementedError
        return function(x, axis)

    return run


def chosen(mask: Any, x: Any, y: Any) -> Any:
    """PyTorch's `where`, which takes booleans only."""
    return torch.where(mask.bool(), x, y)


def torch_pad(x: Any, pad_width: Any, mode: str, constant_values: Any) -> Any:
    """Only a constant, the same on all sides, is there."""
    if mode != "constant" or not isinstance(constant_values, int | float):
        raise NotImplementedError
    pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    return F.pad(x, [int(n) for pair in reversed(pairs) for n in pair], value=constant_values)


def optional(value: Any) -> dict[str, Any]:
    """A weight, if there is one."""
    return {} if value is None else {"weight": value}


def class_axis_last(x: Any) -> Any:
    """JAX has no losses: its softmax takes classes along the last axis."""
    return x if x.ndim == 1 else jnp.moveaxis(x, 1, -1)


def jax_cross_entropy(
    x: Any, target: Any, weight: Any = None, *, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    logp = jax.nn.log_softmax(class_axis_last(x))
    classes = logp.shape[-1]
    w = jnp.ones(classes) if weight is None else weight
    if target.ndim < x.ndim:
        kept = target != ignore_index
        hot = jax.nn.one_hot(target, classes) * kept[..., None]
        count = (hot * w).sum()
        hot = hot * (1 - label_smoothing) + kept[..., None] * label_smoothing / classes
    else:
        hot = class_axis_last(target) * (1 - label_smoothing) + label_smoothing / classes
        count = hot.size / classes
    loss = -(hot * w * logp).sum(-1)
    return loss if reduction == "none" else loss.sum() / (count if reduction == "mean" else 1)


def jax_reduced(loss: Any, reduction: str) -> Any:
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


def torch_layer_norm(
    x: Any, weight: Any = None, bias: Any = None, *, normalized_shape: Any, eps: float
) -> Any:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    return F.layer_norm(x, shape, weight, bias, eps)


def jax_layer_norm(x: Any, weight: Any = None, bias: Any = None, *, normalized_shape: Any, eps: float) -> Any:
    n = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    axes = tuple(range(-n, 0))
    y = (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


UNARY = (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "square", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "negative", "abs", "sign", "reciprocal", "floor", "ceil", "trunc",
    "deg2rad", "rad2deg", "sinc", "isnan", "isfinite", "isinf", "positive", "logical_not",
)  # fmt: skip
BINARY = (
    "add", "subtract", "divide", "remainder", "fmod", "maximum", "minimum", "logaddexp", "hypot", "copysign",
    "atan2", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
    "logical_and", "logical_or", "logical_xor", "matmul", "inner", "outer", "kron",
)  # fmt: skip
TORCH_NAMES = {"equal": "eq"}

PEERS: dict[str, Peer] = {
    **{n: same(n) for n in UNARY},
    **{n: same(n, TORCH_NAMES.get(n, n)) for n in BINARY},
    "stop_gradient": Peer(jax.lax.stop_gradient, lambda x: x.detach()),
    "multiply": Peer(lambda x, y, strong: x * y, lambda x, y, strong: x * y),
    "pow": Peer(jnp.power, torch.pow),
    "round": Peer(
        lambda x, decimals: jnp.round(x, decimals), lambda x, decimals: torch.round(x, decimals=decimals)
    ),
    "cbrt": Peer(jnp.cbrt, None),
    "heaviside": Peer(jnp.heaviside, None),
    "floor_divide": Peer(jnp.floor_divide, None),
    "clip": Peer(
        lambda x, low=None, high=None: jnp.clip(x, low, high),
        lambda x, low=None, high=None: torch.clamp(x, low, high),
    ),
    "where": Peer(jnp.where, chosen),
    "xlogy": Peer(jsp.special.xlogy, torch.xlogy),
    "identity": Peer(jnp.asarray, torch.clone),
    # Neural networks.
    "sigmoid": Peer(jax.nn.sigmoid, torch.sigmoid),
    "log_sigmoid": Peer(jax.nn.log_sigmoid, F.logsigmoid),
    "relu": Peer(jax.nn.relu, F.relu),
    "relu6": Peer(jax.nn.relu6, F.relu6),
    "leaky_relu": Peer(lambda x, negative_slope: jax.nn.leaky_relu(x, negative_slope), F.leaky_relu),
    "elu": Peer(lambda x, alpha: jax.nn.elu(x, alpha), F.elu),
    "selu": Peer(jax.nn.selu, F.selu),
    "gelu": Peer(
        lambda x, approximate: jax.nn.gelu(x, approximate == "tanh"),
        lambda x, approximate: F.gelu(x, approximate=approximate),
    ),
    "silu": Peer(jax.nn.silu, F.silu),
    "mish": Peer(jax.nn.mish, F.mish),
    "softplus": Peer(None, F.softplus),
    "softsign": Peer(jax.nn.soft_sign, F.softsign),
    "hard_sigmoid": Peer(jax.nn.hard_sigmoid, lambda x: F.relu6(x + 3) / 6),
    "softmax": Peer(
        jax.nn.softmax,
        lambda x, axis: F.softmax(x.reshape(-1), 0).reshape(x.shape) if axis is None else F.softmax(x, axis),
    ),
    "log_softmax": Peer(
        jax.nn.log_softmax,
        lambda x, axis: (
            F.log_softmax(x.reshape(-1), 0).reshape(x.shape) if axis is None else F.log_softmax(x, axis)
        ),
    ),
    "linear": Peer(lambda x, w, b=None: x @ w.T + (0 if b is None else b), F.linear),
    "layer_norm": Peer(jax_layer_norm, torch_layer_norm),
    "cross_entropy": Peer(
        jax_cross_entropy, lambda x, target, weight=None, **attrs: F.cross_entropy(x, target, weight, **attrs)
    ),
    "nll_loss": Peer(None, lambda x, target, weight=None, **attrs: F.nll_loss(x, target, weight, **attrs)),
    "mse_loss": Peer(
        lambda x, y, reduction: jax_reduced((x - y) ** 2, reduction),
        lambda x, y, reduction: F.mse_loss(*torch.broadcast_tensors(x, y), reduction=reduction),
    ),
    "huber_loss": Peer(None, F.huber_loss),
    "binary_cross_entropy_with_logits": Peer(
        None,
        lambda x, y, weight=None, pos_weight=None, *, reduction: F.binary_cross_entropy_with_logits(
            x, y, weight, reduction=reduction, pos_weight=pos_weight
        ),
    ),
    # Shapes.
    "broadcast_to": Peer(
        lambda x, shape: jnp.broadcast_to(x, shape), lambda x, shape: torch.broadcast_to(x, shape)
    ),
    "reshape": Peer(lambda x, shape: jnp.reshape(x, shape), lambda x, shape: torch.reshape(x, shape)),
    "permute_dims": Peer(
        lambda x, axes: jnp.transpose(x, axes),
        lambda x, axes: torch.permute(x, axes or tuple(range(x.ndim))[::-1]),
    ),
    "concat": Peer(
        lambda *arrays, axis: jnp.concatenate(
            [a.reshape(-1) for a in arrays] if axis is None else arrays, axis or 0
        ),
        lambda *arrays, axis: torch.cat(
            [a.reshape(-1) for a in arrays] if axis is None else arrays, axis or 0
        ),
    ),
    "expand_dims": Peer(jnp.expand_dims, None),
    "squeeze": Peer(
        jnp.squeeze, lambda x, axis: torch.squeeze(x) if axis is None else torch.squeeze(x, axis)
    ),
    "atleast_1d": same("atleast_1d"),
    "atleast_2d": same("atleast_2d"),
    "ravel": same("ravel"),
    "moveaxis": Peer(jnp.moveaxis, lambda x, source, destination: torch.moveaxis(x, source, destination)),
    "swapaxes": Peer(jnp.swapaxes, lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2)),
    "matrix_transpose": Peer(jnp.matrix_transpose, lambda x: x.mT),
    "flip": Peer(jnp.flip, lambda x, axis: torch.flip(x, dims(axis, x))),
    "flipud": same("flipud"),
    "fliplr": same("fliplr"),
    "rot90": Peer(jnp.rot90, lambda x, k, axes: torch.rot90(x, k, axes)),
    "roll": Peer(jnp.roll, lambda x, shift, axis: torch.roll(x, shift, axis)),
    "tile": Peer(
        lambda x, reps: jnp.tile(x, reps),
        lambda x, reps: torch.tile(x, reps if isinstance(reps, tuple) else (reps,)),
    ),
    "repeat": Peer(
        lambda x, repeats, axis: jnp.repeat(x, np.array(repeats), axis),
        lambda x, repeats, axis: torch.repeat_interleave(x, torch.tensor(repeats), axis),
    ),
    "stack": Peer(
        lambda *arrays, axis: jnp.stack(arrays, axis), lambda *arrays, axis: torch.stack(arrays, axis)
    ),
    "array": Peer(lambda *arrays: jnp.array(arrays), lambda *arrays: torch.stack(arrays)),
    "hstack": Peer(lambda *arrays: jnp.hstack(arrays), lambda *arrays: torch.hstack(arrays)),
    "vstack": Peer(lambda *arrays: jnp.vstack(arrays), lambda *arrays: torch.vstack(arrays)),
    "dstack": Peer(lambda *arrays: jnp.dstack(arrays), lambda *arrays: torch.dstack(arrays)),
    "column_stack": Peer(
        lambda *arrays: jnp.column_stack(arrays), lambda *arrays: torch.column_stack(arrays)
    ),
    "split": Peer(
        lambda x, indices_or_sections, axis: jnp.split(x, indices_or_sections, axis),
        lambda x, indices_or_sections, axis: torch.tensor_split(x, indices_or_sections, axis),
    ),
    "array_split": Peer(
        lambda x, indices_or_sections, axis: jnp.array_split(x, indices_or_sections, axis),
        lambda x, indices_or_sections, axis: torch.tensor_split(x, indices_or_sections, axis),
    ),
    "unstack": Peer(lambda x, axis: jnp.unstack(x, axis=axis), lambda x, axis: torch.unbind(x, axis)),
    "meshgrid": Peer(jnp.meshgrid, torch.meshgrid),
    "broadcast_arrays": Peer(jnp.broadcast_arrays, torch.broadcast_tensors),
    "pad": Peer(
        lambda x, pad_width, mode, constant_values: jnp.pad(
            x, pad_width, mode, **({"constant_values": constant_values} if mode == "constant" else {})
        ),
        torch_pad,
    ),
    "diagonal": Peer(jnp.diagonal, lambda x, offset, axis1, axis2: torch.diagonal(x, offset, axis1, axis2)),
    "diag": Peer(jnp.diag, lambda x, k: torch.diag(x, k)),
    "tril": Peer(jnp.tril, lambda x, k: torch.tril(x, k)),
    "triu": Peer(jnp.triu, lambda x, k: torch.triu(x, k)),
    # Creation.
    "zeros": Peer(jnp.zeros, lambda shape: torch.zeros(shape)),
    "ones": Peer(jnp.ones, lambda shape: torch.ones(shape)),
    "full": Peer(lambda value, shape: jnp.full(shape, value), None),
    "zeros_like": same("zeros_like"),
    "ones_like": same("ones_like"),
    "full_like": Peer(jnp.full_like, None),
    "eye": Peer(lambda n, m, k: jnp.eye(n, m, k), None),
    "arange": Peer(lambda start, stop, step: jnp.arange(start, stop, step), None),
    "linspace": Peer(
        lambda start, stop, num, endpoint, axis: jnp.linspace(start, stop, int(num), endpoint, axis=axis),
        None,
    ),
    # Indexing.
    "take": Peer(
        lambda a, indices, axis, mode: jnp.take(a, indices, axis, mode="wrap"),
        lambda a, indices, axis, mode: (
            torch.take(a, indices) if axis is None else torch.index_select(a, axis, indices)
        ),
    ),
    "take_along_axis": Peer(
        jnp.take_along_axis,
        lambda arr, indices, axis: torch.take_along_dim(
            arr, indices % (arr.numel() if axis is None else arr.shape[axis]), axis
        ),
    ),
    "one_hot": Peer(
        lambda indices, num_classes, axis: jax.nn.one_hot(indices, num_classes, axis=axis),
        lambda indices, num_classes, axis: F.one_hot(indices, num_classes).to(torch.float64),
    ),
    # Reductions.
    "sum": Peer(jax_reduction(jnp.sum), over_dims(torch.sum)),
    "prod": Peer(
        jax_reduction(jnp.prod),
        lambda x, axis, keepdims: torch.prod(x) if axis is None else torch.prod(x, axis, keepdims),
    ),
    "max": Peer(jax_reduction(jnp.max), over_dims(torch.amax)),
    "min": Peer(jax_reduction(jnp.min), over_dims(torch.amin)),
    "any": Peer(jax_masked(jnp.any), over_dims(torch.any)),
    "all": Peer(jax_masked(jnp.all), over_dims(torch.all)),
    "mean": Peer(jax_masked(jnp.mean), over_dims(torch.mean)),
    "ptp": Peer(
        jnp.ptp,
        lambda x, axis, keepdims: (
            over_dims(torch.amax)(x, axis, keepdims) - over_dims(torch.amin)(x, axis, keepdims)
        ),
    ),
    "count_nonzero": Peer(jnp.count_nonzero, lambda x, axis, keepdims: torch.count_nonzero(x, axis)),
    "logsumexp": Peer(
        lambda x, b=None, *, axis, keepdims, return_sign: jax.nn.logsumexp(x, axis, b, keepdims),
        lambda x, axis, keepdims, return_sign: torch.logsumexp(x, dims(axis, x), keepdims),
    ),
    "cumsum": Peer(plain(jnp.cumsum), plain(one_dim(torch.cumsum))),
    "vector_norm": Peer(
        jnp.linalg.vector_norm,
        lambda x, axis, keepdims, ord: torch.linalg.vector_norm(x, ord, axis, keepdims),
    ),
    "matrix_norm": Peer(
        jnp.linalg.matrix_norm, lambda x, keepdims, ord: torch.linalg.matrix_norm(x, ord, keepdim=keepdims)
    ),
    "norm": Peer(
        lambda x, ord, axis, keepdims: jnp.linalg.norm(x, ord, axis, keepdims),
        lambda x, ord, axis, keepdims: torch.linalg.norm(x, ord, axis, keepdims),
    ),
    "average": Peer(
        lambda x, w=None, *, axis, keepdims, returned: jnp.average(x, axis, w, keepdims=keepdims), None
    ),
    "var": Peer(
        jax_masked(jnp.var),
        lambda x, axis, ddof, keepdims: torch.var(x, dims(axis, x), correction=ddof, keepdim=keepdims),
    ),
    "std": Peer(
        jax_masked(jnp.std),
        lambda x, axis, ddof, keepdims: torch.std(x, dims(axis, x), correction=ddof, keepdim=keepdims),
    ),
    # Products.
    "dot": Peer(jnp.dot, None),
    "vdot": Peer(jnp.vdot, lambda a, b: torch.vdot(a.reshape(-1), b.reshape(-1))),
    "vecdot": Peer(
        lambda x, y, axis: jnp.vecdot(*jnp.broadcast_arrays(x, y), axis=axis),
        lambda x, y, axis: torch.linalg.vecdot(x, y, dim=axis),
    ),
    "tensordot": Peer(
        lambda a, b, axes: jnp.tensordot(a, b, axes), lambda a, b, axes: torch.tensordot(a, b, axes)
    ),
    "cross": Peer(lambda a, b, axisa, axisb, axisc, axis: jnp.cross(a, b, axisa, axisb, axisc, axis), None),
    "trace": Peer(lambda a, offset, axis1, axis2: jnp.trace(a, offset, axis1, axis2), None),
    "einsum": Peer(
        lambda *operands, subscripts: jnp.einsum(subscripts, *operands),
        lambda *operands, subscripts: torch.einsum(subscripts, *operands),
    ),
    **{name: Peer(*pair) for name, pair in LINEAR.items()},
}
PEERS |= {name: Peer(f, None) for name, f in nested_table.JAX.items()}
for _table in (arrays_table.PAIRS, names_table.PAIRS, layers_table.LAYERS, special_table.TABLE):
    PEERS |= {name: Peer(*pair) for name, pair in _table.items()}

NEITHER = {
    *LINEAR_NEITHER,
    "astype", "shape", "ndim", "size",  # of a value, not on one
    "getitem", "gather", "scatter_add",  # under this name another thing there; compared with NumPy
    "cond", "scan", "fori_loop", "while_loop", "map", "checkpoint",  # bodies are programs
    *arrays_table.NEITHER,
    *layers_table.NEITHER,
    *names_table.NEITHER,
    *special_table.NEITHER,
}  # fmt: skip
"""Ops that neither has, or that the conformance test compares with NumPy more simply."""

CONSTANT = {
    "cross_entropy": (2,),
    "nll_loss": (2,),
    "binary_cross_entropy_with_logits": (2, 3),
    **layers_table.CONSTANT,
    **special_table.CONSTANT,
}
"""Operands in which PyTorch has no derivative."""

OPS = [op for op in registry if not structural(op)]


def points(op: Op) -> list[Case]:
    """Smooth examples of the op, and random points."""
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    found = [c for c in cases(op, REFERENCES.get(op.name)) if c.smooth and not c.literal]
    return [
        *found,
        *(c for c in domain_cases(op, REFERENCES.get(op.name), rng) if c.label == "random points"),
    ]


def floats(arrays: Sequence[Any]) -> list[int]:
    """Positions of floating arrays."""
    return [k for k, a in enumerate(arrays) if np.asarray(a).dtype.kind == "f"]


class Answer(NamedTuple):
    """Floating results, gradients of their weighted sum, and the Hessian of that times a vector."""

    values: list[Any]
    gradients: list[Any]
    products: list[Any]


def ours(case: Case, cts: Sequence[Any], vs: Sequence[Any]) -> Answer:
    """By this engine."""
    graph = case.graph()
    n, m = len(graph.outputs), len(graph.inputs)
    chosen_inputs = floats(case.arrays)
    outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
    values = compute(graph, case.arrays)
    if not chosen_inputs or not outs:
        return Answer(values, [], [])
    reverse = vjp_graph(graph, outs, [graph.inputs[k] for k in chosen_inputs], "float64")
    both = jvp_graph(reverse, [reverse.inputs[k] for k in chosen_inputs], "float64")
    typecheck(both)
    got = compute(both, [*case.arrays, *cts, *vs])
    assert len(reverse.inputs) == m + len(cts)
    k = len(chosen_inputs)
    return Answer(values, got[n : n + k], got[2 * n + k :][:k])


def weighted(
    results: Any, cts: Sequence[Any], dot: Callable[[Any, Any], Any], is_float: Callable[[Any], bool]
) -> Any:
    """Σ ȳ·y over the floating results."""
    listed = list(results) if isinstance(results, tuple | list) else [results]
    return sum(dot(ct, y) for ct, y in zip(cts, [y for y in listed if is_float(y)], strict=True))


def by_jax(
    f: Callable[..., Any], case: Case, attrs: Mapping[str, Any], cts: Sequence[Any], vs: Sequence[Any]
) -> Answer:
    """By JAX."""
    where = [case.variable[k] for k in floats(case.arrays)]
    fixed = [None if v is None else jnp.asarray(v) for v in case.operands]

    def call(*xs: Any) -> Any:
        given = dict(zip(where, xs, strict=True))
        return f(*[given.get(k, v) for k, v in enumerate(fixed)], **attrs)

    xs = [jnp.asarray(case.operands[k]) for k in where]
    result = call(*xs)
    values = list(result) if isinstance(result, tuple | list) else [result]
    if not where or not cts:
        return Answer(values, [], [])

    def scalar(*xs: Any) -> Any:
        return weighted(
            call(*xs), cts, lambda a, b: (a * b).sum(), lambda y: jnp.issubdtype(y.dtype, jnp.floating)
        )

    gradient = jax.grad(scalar, argnums=tuple(range(len(xs))))
    grads, products = jax.jvp(gradient, tuple(xs), tuple(jnp.asarray(v) for v in vs))
    return Answer(values, list(grads), list(products))


def by_torch(
    f: Callable[..., Any], case: Case, attrs: Mapping[str, Any], cts: Sequence[Any], vs: Sequence[Any]
) -> Answer:
    """By PyTorch."""
    where = [case.variable[k] for k in floats(case.arrays)]
    operands = [
        None if v is None else torch.tensor(v, requires_grad=k in where) for k, v in enumerate(case.operands)
    ]
    result = f(*operands, **attrs)
    values = list(result) if isinstance(result, tuple | list) else [result]
    shown = [v.detach().numpy(force=True) for v in values]
    if not where or not cts:
        return Answer(shown, [], [])
    xs = [operands[k] for k in where]
    total = weighted(
        values, [torch.tensor(c) for c in cts], lambda a, b: (a * b).sum(), lambda y: y.is_floating_point()
    )
    if not total.requires_grad:
        return Answer(shown, [np.zeros(x.shape) for x in xs], [np.zeros(x.shape) for x in xs])
    grads = torch.autograd.grad(total, xs, create_graph=True, allow_unused=True)
    grads = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, xs, strict=True)]
    inner = sum((g * torch.tensor(v)).sum() for g, v in zip(grads, vs, strict=True))
    if not inner.requires_grad:
        products = [torch.zeros_like(x) for x in xs]
    else:
        products = torch.autograd.grad(inner, xs, allow_unused=True)
    return Answer(
        shown,
        [g.detach().numpy(force=True) for g in grads],
        [
            np.zeros(x.shape) if p is None else p.detach().numpy(force=True)
            for p, x in zip(products, xs, strict=True)
        ],
    )


def agree(got: Sequence[Any], expected: Sequence[Any], what: str, scale: float) -> int:
    """Assert that finite entries agree; how many there were."""
    assert len(got) == len(expected), what
    count = 0
    for g, e in zip(got, expected, strict=True):
        a, b = np.asarray(g), np.asarray(e)
        assert a.shape == b.shape, (what, a.shape, b.shape)
        finite = np.isfinite(a.astype(float)) & np.isfinite(b.astype(float))
        size = max(float(np.abs(b[finite].astype(float)).max(initial=0.0)), scale)
        np.testing.assert_allclose(a[finite], b[finite], rtol=1e-9, atol=1e-12 * size, err_msg=what)
        count += int(finite.sum())
    return count


@pytest.mark.parametrize("peer", ["jax", "torch"])
@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_op(op: Op, peer: str) -> None:
    if op.name in NEITHER:
        assert op.name not in PEERS
        return
    f = getattr(PEERS[op.name], peer)
    if f is None:
        assert any(PEERS[op.name]), "then it belongs to NEITHER"
        return
    rng = np.random.default_rng(1)
    compared = 0
    for point in points(op):
        constant = CONSTANT.get(op.name, ()) if peer == "torch" else ()
        case = replace(
            point,
            literal=frozenset(k for k, v in enumerate(point.operands) if k in constant and v is not None),
        )
        largest = max(
            (float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in case.arrays if a.dtype.kind == "f"),
            default=0.0,
        )
        smallest = min(
            (float(np.abs(a[a != 0]).min(initial=1.0)) for a in case.arrays if a.dtype.kind == "f"),
            default=1.0,
        )
        if largest > (20 if op.elementwise else 100) or smallest < 1e-6:
            continue  # there the peers overflow or lose digits
        values = compute(case.graph(), case.arrays)
        cts = [rng.uniform(0.5, 1.5, np.shape(v)) for v in values if np.asarray(v).dtype.kind == "f"]
        vs = [rng.uniform(0.5, 1.5, a.shape) for a in case.arrays if a.dtype.kind == "f"]
        attrs = {**{a.name: a.default for a in op.attrs}, **case.attrs}
        mine = ours(case, cts, vs)
        try:
            theirs = (by_jax if peer == "jax" else by_torch)(f, case, attrs, cts, vs)
        except (NotImplementedError, TypeError, ValueError, RuntimeError, AttributeError, IndexError):
            continue  # not offered there, or not for these operands; some point must be left
        what = f"{op.name}, {case.label}, {peer}"
        compared += agree(mine.values, theirs.values, f"{what}: value", largest)
        largest_gradient = max(
            (float(np.abs(g[np.isfinite(g)]).max(initial=0.0)) for g in map(np.asarray, mine.gradients)),
            default=0.0,
        )
        agree(mine.gradients, theirs.gradients, f"{what}: gradient", 0.0)
        agree(mine.products, theirs.products, f"{what}: Hessian times vector", largest_gradient)
    assert compared, "no point was compared"


def test_table_is_of_ops() -> None:
    names = {op.name for op in OPS}
    assert set(PEERS) | NEITHER == names
    assert not set(PEERS) & NEITHER


@pytest.mark.parametrize(
    ("name", "x"),
    [("relu", [0.0, 1.0, -1.0]), ("sign", [0.0]), ("max", [3.0, 1.0, 3.0]), ("min", [1.0, 2.0, 1.0])],
)
def test_kinks_where_all_agree(name: str, x: list[float]) -> None:
    op = registry.core(name)
    case = Case(op, (np.array(x),), {})
    cts = [np.ones(np.shape(v)) for v in compute(case.graph(), case.arrays)]
    attrs = {a.name: a.default for a in op.attrs}
    mine = ours(case, cts, [np.ones(len(x))])
    for f, run in ((PEERS[name].jax, by_jax), (PEERS[name].torch, by_torch)):
        assert f is not None
        agree(mine.gradients, run(f, case, attrs, cts, [np.ones(len(x))]).gradients, name, 0.0)
