"""Derivatives inside programs and implicit functions in JAX, over bodies that are run with its own functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from engine.program import INPUT, Literal, Program

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "divide": jnp.divide,
    "negative": jnp.negative,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "exp": jnp.exp,
    "tanh": jnp.tanh,
    "log": jnp.log,
    "sum": jnp.sum,
    "matmul": jnp.matmul,
}


def several(body: Program) -> Callable[..., tuple[Any, ...]]:
    """A body as a function of its operands."""

    def run(*arguments: Any) -> tuple[Any, ...]:
        values: list[Any] = []
        given = iter(arguments)
        for step in body.steps:
            if step.op is INPUT:
                values.append(next(given))
                continue
            operands = [a.value if isinstance(a, Literal) else values[a] for a in step.operands]  # type: ignore[index]
            values.append(FUNCTIONS[step.op.name](*operands))
        return tuple(values[o] for o in body.outputs)

    return run


def one(body: Program) -> Callable[..., Any]:
    """A body of one result."""
    return lambda *xs: several(body)(*xs)[0]


def _jvp(*operands: Any, body: Program, constants: int) -> Any:
    n = (len(operands) + constants) // 2
    moving, fixed = operands[: n - constants], operands[n - constants : n]
    ys, dys = jax.jvp(lambda *xs: several(body)(*xs, *fixed), moving, operands[n:])
    return (*ys, *dys)


def _vjp(*operands: Any, body: Program) -> Any:
    n = len(body.inputs)
    ys, back = jax.vjp(several(body), *operands[:n])
    return (*ys, *back(tuple(operands[n:])))


def _custom_vjp(*operands: Any, body: Program, vjp: Program) -> Any:
    f = jax.custom_vjp(several(body))
    f.defvjp(lambda *xs: (several(body)(*xs), xs), lambda xs, cts: several(vjp)(*xs, *cts))
    return f(*operands)


def _custom_jvp(*operands: Any, body: Program, jvp: Program) -> Any:
    f = jax.custom_jvp(several(body))
    f.defjvp(lambda xs, dxs: (several(body)(*xs), several(jvp)(*xs, *dxs)))
    return f(*operands)


def _flat(parts: Sequence[Any]) -> Any:
    return jnp.concatenate([jnp.ravel(p) for p in parts])


def _cut(vector: Any, like: Sequence[Any]) -> list[Any]:
    parts, at = [], 0
    for x in like:
        parts.append(vector[at : at + jnp.size(x)].reshape(jnp.shape(x)))
        at += jnp.size(x)
    return parts


def _dense(g: Callable[[Any], Any], y: Any) -> Any:
    return jnp.linalg.solve(jax.jacobian(g)(jnp.zeros_like(y)), y)


def _newton(f: Callable[[Any], Any], x: Any) -> Any:
    for _ in range(30):
        x = x - jnp.linalg.solve(jax.jacobian(f)(x), f(x))
    return x


def _root(*operands: Any, body: Program, carry: int, change: bool = False, **options: Any) -> Any:
    start, constants = operands[:carry], operands[carry:]

    def f(x: Any) -> Any:
        found = _flat(several(body)(*_cut(x, start), *constants))
        return found - x if change else found

    return tuple(_cut(jax.lax.custom_root(f, _flat(start), _newton, _dense), start))


def _linear_solve(*operands: Any, body: Program, carry: int, **options: Any) -> Any:
    right, constants = operands[:carry], operands[carry:]

    def matvec(x: Any) -> Any:
        return _flat(several(body)(*_cut(x, right), *constants))

    found = jax.lax.custom_linear_solve(matvec, _flat(right), _dense, transpose_solve=_dense)
    return tuple(_cut(found, right))


JAX: dict[str, Callable[..., Any]] = {
    "grad": lambda *xs, body, wrt: jax.grad(one(body), tuple(wrt))(*xs),
    "value_and_grad": lambda *xs, body, wrt: _flattened(jax.value_and_grad(one(body), tuple(wrt))(*xs)),
    "jacobian": lambda *xs, body, wrt: jax.jacobian(one(body), wrt)(*xs),
    "hessian": lambda *xs, body, wrt: jax.hessian(one(body), wrt)(*xs),
    "jvp": _jvp,
    "vjp": _vjp,
    "vmap": lambda *xs, body, in_axes: jax.vmap(several(body), in_axes)(*xs),
    "custom_vjp": _custom_vjp,
    "custom_jvp": _custom_jvp,
    "root": _root,
    "fixed_point": lambda *xs, **attrs: _root(*xs, **attrs, change=True),
    "linear_solve": _linear_solve,
}


def _flattened(result: Any) -> tuple[Any, ...]:
    value, gradients = result
    return (value, *gradients)
