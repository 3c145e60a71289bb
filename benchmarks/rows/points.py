"""One function at a million points: value and gradient at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.measure import Settings, Side
from benchmarks.ours import Prepared, compiled
from benchmarks.row import OURS, Case, Line, Row

TEXT = """
a = x[0]*x[1] + exp(-x[2]*x[2])
b = sin(x[3])*x[4] - x[5]/(1.0 + x[6]*x[6])
c = tanh(a*b + x[7])
d = sqrt(1.0 + x[8]*x[8])*log(2.0 + x[9]*x[9])
(c + cos(d))*a - x[0]*x[9]/d + b*b - c
"""
"""30 elementary operations of 10 variables, counting each + − × / and function once."""


def run(settings: Settings) -> Iterator[Line]:
    """Points as columns, [10, points], and as rows, [points, 10]."""
    compiled()
    for axis, name in ((1, "columns"), (0, "rows")):
        yield from case(20_000 if settings.quick else 1_000_000, axis, name).lines(settings)


def function(x: Any, n: Any) -> Any:
    """The same with the functions of a module; x[k] is the k-th variable."""
    a = x[0] * x[1] + n.exp(-x[2] * x[2])
    b = n.sin(x[3]) * x[4] - x[5] / (1.0 + x[6] * x[6])
    c = n.tanh(a * b + x[7])
    d = n.sqrt(1.0 + x[8] * x[8]) * n.log(2.0 + x[9] * x[9])
    return (c + n.cos(d)) * a - x[0] * x[9] / d + b * b - c


def case(points: int, axis: int, name: str) -> Case:
    """One layout. Gradients may come in either layout, whichever a system likes; they are compared entry by entry."""
    rng = np.random.default_rng(3)
    shape = (10, points) if axis == 1 else (points, 10)
    sets = [rng.normal(size=shape) for _ in range(2)]
    ours = Prepared("grad", TEXT, [{"x": x} for x in sets], wrt=("x",), nodes="none", in_axes=({"x": axis},))

    def rows(answer: Any) -> Any:
        value, gradient = peers.numpy_of(answer)
        return [value, gradient.T if gradient.shape[0] == 10 else gradient]

    read: dict[str, Callable[[Any], Any]] = dict.fromkeys(("JAX", "PyTorch", "autograd"), rows)
    read[OURS] = lambda a: rows([a["value"], a["gradients"]["x"]])
    also = {f"{OURS}, with preparing": ours.again}
    read |= dict.fromkeys(also, read[OURS])
    return Case(
        f"{points:,} points as {name}",
        {
            OURS: ours.run,
            "JAX": jax(sets, axis),
            "PyTorch": torch(sets, axis),
            "autograd": autograd(sets, axis),
        },
        1e-10,
        {"JAX": 3.0, "PyTorch": 8.0, "autograd": 8.0},
        read,
        also,
    )


def jax(sets: list[np.ndarray], axis: int) -> Side:
    """jit(vmap(value_and_grad)), gradients in the layout of the points."""
    j = peers.jax()
    mapped = j.vmap(j.value_and_grad(lambda x: function(x, j.numpy)), in_axes=axis, out_axes=(0, axis))
    return peers.jax_side(mapped, [[x] for x in sets])


def torch(sets: list[np.ndarray], axis: int) -> Side:
    """Eager, all points at once; the points are independent, so the gradient of the sum has theirs."""
    t = peers.torch()
    tensors = [t.from_numpy(x).requires_grad_(True) for x in sets]

    def side(k: int) -> Any:
        x = tensors[k % len(tensors)]
        y = function(x.unbind(1 - axis), t)
        return [y, t.autograd.grad(y.sum(), x)[0]]

    return side


def autograd(sets: list[np.ndarray], axis: int) -> Side:
    """Eager, all points at once, with the variables taken apart before; value from the same forward pass."""
    import autograd.numpy as anp
    from autograd import make_vjp

    parts = [tuple(np.ascontiguousarray(x[k] if axis == 1 else x[:, k]) for k in range(10)) for x in sets]
    ones = np.ones(sets[0].shape[axis])

    def side(k: int) -> Any:
        pull, y = make_vjp(lambda x: function(x, anp))(parts[k % len(parts)])
        return [y, np.stack(pull(ones), 1 - axis)]

    return side


ROW = Row(
    "points",
    "30-op function of 10 variables at 10⁶ points, value and gradient, inside the engine",
    "JAX jit + vmap, PyTorch, autograd",
    "≥ 3 × JAX, ≥ 8 × the others",
    "Ours: `grad` under `in_axes`, reporting value and gradient alone. JAX: `jit(vmap(value_and_grad(f)))`. PyTorch and "
    "autograd eager, on all points at once, differentiating the sum. Columns: one array [10, points]; rows: [points, 10]. "
    "autograd gets its variables taken apart and contiguous in both, which is not counted.",
    run,
)
