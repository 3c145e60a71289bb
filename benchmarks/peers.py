"""The other systems, set up in the form that is fastest for them. Imported by rows that need them, since that takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def jax() -> Any:
    """JAX with doubles, on the processor."""
    import jax

    # A random graph of 2,000 scalar nodes takes it two minutes to compile; the second run of the benchmark need not wait.
    jax.config.update("jax_compilation_cache_dir", str(Path(sys.prefix) / "jax-cache"))
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    return jax


def jax_side(function: Callable[..., Any], data: Sequence[Sequence[Any]]) -> Callable[[int], Any]:
    """A jitted function, compiled now, called with arrays that are already JAX's, and waited for."""
    j = jax()
    sets = [[j.device_put(np.asarray(a)) for a in arguments] for arguments in data]
    compiled = j.jit(function).lower(*sets[0]).compile()
    return lambda k: j.block_until_ready(compiled(*sets[k % len(sets)]))


def torch() -> Any:
    """PyTorch with as many threads as it takes by itself."""
    import torch

    return torch


def torch_gradients(
    function: Callable[..., Any],
    data: Sequence[Sequence[Any]],
    wrt: Sequence[int],
) -> Callable[[int], Any]:
    """Value and gradients by `torch.autograd.grad`: [value, gradient by each of wrt]."""
    t = torch()
    sets = []
    for arguments in data:
        tensors = [t.from_numpy(np.array(a)) if isinstance(a, np.ndarray) else a for a in arguments]
        for i in wrt:
            tensors[i].requires_grad_(True)
        sets.append(tensors)

    def side(k: int) -> Any:
        arguments = sets[k % len(sets)]
        value = function(*arguments)
        return [value, *t.autograd.grad(value, [arguments[i] for i in wrt])]

    return side


def torch_values(function: Callable[..., Any], data: Sequence[Sequence[Any]]) -> Callable[[int], Any]:
    """The function alone, nothing recorded."""
    t = torch()
    sets = [[t.from_numpy(np.array(a)) if isinstance(a, np.ndarray) else a for a in d] for d in data]

    def side(k: int) -> Any:
        with t.inference_mode():
            return function(*sets[k % len(sets)])

    return side


def numpy_of(answer: Any) -> Any:
    """Tensors and arrays in an answer as NumPy's."""
    if isinstance(answer, list | tuple):
        return [numpy_of(part) for part in answer]
    return answer.detach().numpy() if hasattr(answer, "detach") else np.asarray(answer)


def casadi_side(function: Any, data: Sequence[Sequence[np.ndarray]]) -> Callable[[int], Any]:
    """A CasADi function through its buffers, its way of being called without converting anything."""
    sets = [[np.asfortranarray(a, np.float64) for a in arguments] for arguments in data]
    results = [np.zeros(function.nnz_out(i)) for i in range(function.n_out())]
    buffer, call = function.buffer()
    for i, r in enumerate(results):
        buffer.set_res(i, memoryview(r))

    def side(k: int) -> Any:
        for i, a in enumerate(sets[k % len(sets)]):
            buffer.set_arg(i, memoryview(a))
        call()
        return results

    side.keep = (function, sets)  # type: ignore[attr-defined]  # the buffer points into these
    return side
