"""Rosenbrock's function as a Tesseract with JAX inside, as its documentation writes one, for `tesseract-runtime serve`."""

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import BaseModel
from tesseract_core.runtime import Array, Differentiable, Float64

jax.config.update("jax_enable_x64", True)


class InputSchema(BaseModel):
    """The point."""

    x: Differentiable[Array[(None,), Float64]]


class OutputSchema(BaseModel):
    """The value."""

    y: Differentiable[Float64]


def rosenbrock(x):
    """sum 100 (x[i+1] - x[i]²)² + (1 - x[i])²."""
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


value = jax.jit(rosenbrock)
pullback = jax.jit(lambda x, y_bar: jax.vjp(rosenbrock, x)[1](y_bar)[0])


def apply(inputs: InputSchema) -> OutputSchema:
    """The value."""
    return OutputSchema(y=np.asarray(value(inputs.x)))


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector
):
    """The gradient, where the cotangent is 1."""
    assert vjp_inputs == {"x"}
    assert vjp_outputs == {"y"}
    return {"x": np.asarray(pullback(inputs.x, jnp.asarray(cotangent_vector["y"], jnp.float64)))}
