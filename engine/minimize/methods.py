"""The table of methods: what runs each, what it can be told and the defaults, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.minimize import first_order, least_squares, projected, scipy_methods, search, trust_region
from engine.minimize.outcome import Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem

Run = Callable[[Problem, Mapping[str, Any], Path], Outcome]


@dataclass(frozen=True, slots=True)
class Method:
    """`run` it, or `in_box` where there are bounds. `defaults` has every option it takes."""

    run: Run
    defaults: Mapping[str, Any]
    in_box: Run
    residual: bool = False
    """Whether it needs the residual itself."""
    batches: bool = False
    """Whether it can look at a part of the data at a time."""
    dense: bool = False
    """Whether it holds a matrix of n × n."""
    gradients: bool = True
    hessian: bool = False
    doc: str = ""


def _method(
    run: Run, doc: str, options: Mapping[str, Any], in_box: Run | None = None, **more: bool
) -> Method:
    return Method(run, {**COMMON, **options}, in_box or run, doc=doc, **more)


COMMON: dict[str, Any] = {"max_iterations": 10_000, "max_evaluations": None, "target": None}
_DESCENT: dict[str, Any] = {
    "gtol": 1e-6,
    "ftol": 0.0,
    "learning_rate": None,
    "schedule": {"kind": "constant"},
}
_BATCHES: dict[str, Any] = {"batch_size": None, "batch_inputs": None, "rng_seed": 0}
_ADAM: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
_NO_ITERATIONS = {"max_evaluations": None, "target": None}

METHODS: dict[str, Method] = {
    "random-search": Method(
        search.random_search,
        {**COMMON, "max_iterations": 1000, "samples": None, "scale": 1.0, "rng_seed": 0},
        search.random_search,
        gradients=False,
        doc="Points at random between the bounds, or around the start.",
    ),
    "grid-search": Method(
        search.grid_search,
        {**_NO_ITERATIONS, "points": 10},
        search.grid_search,
        gradients=False,
        doc="All points of a grid between the bounds.",
    ),
    "numerical-gd": _method(
        first_order.follow,
        "Gradient descent by central differences: 2n evaluations more for each step.",
        {**_DESCENT, "h": None},
        gradients=False,
    ),
    "gd": _method(
        first_order.follow,
        "Gradient descent; without a learning_rate the step is searched for (Armijo).",
        {**_DESCENT, **_BATCHES},
        batches=True,
    ),
    "momentum": _method(
        first_order.follow,
        "Polyak's heavy ball.",
        {**_DESCENT, **_BATCHES, "learning_rate": 1e-3, "momentum": 0.9},
        batches=True,
    ),
    "nesterov": _method(
        first_order.follow,
        "Nesterov's accelerated gradient.",
        {**_DESCENT, **_BATCHES, "learning_rate": 1e-3, "momentum": 0.9},
        batches=True,
    ),
    "rmsprop": _method(
        first_order.follow,
        "RMSProp.",
        {**_DESCENT, **_BATCHES, "learning_rate": 1e-3, "alpha": 0.99, "epsilon": 1e-8, "momentum": 0.0},
        batches=True,
    ),
    "adam": _method(
        first_order.follow,
        "Adam.",
        {**_DESCENT, **_BATCHES, "learning_rate": 1e-2, **_ADAM, "weight_decay": 0.0},
        batches=True,
    ),
    "adamw": _method(
        first_order.follow,
        "Adam with decoupled weight decay.",
        {**_DESCENT, **_BATCHES, "learning_rate": 1e-2, **_ADAM, "weight_decay": 1e-2},
        batches=True,
    ),
    "l-bfgs-b": _method(
        scipy_methods.lbfgsb,
        "L-BFGS-B: quasi-Newton with limited memory.",
        {"gtol": 1e-5, "ftol": 2.220446049250313e-09, "memory": 10},
    ),
    "bfgs": _method(
        scipy_methods.bfgs,
        "BFGS: quasi-Newton with a dense matrix.",
        {"gtol": 1e-6, "xtol": 0.0},
        projected.bfgs_in_box,
        dense=True,
    ),
    "newton-cg": _method(
        projected.newton_cg,
        "Truncated Newton, by Hessian-vector products.",
        {"gtol": 1e-8, "xtol": 0.0},
        hessian=True,
    ),
    "trust-region": _method(
        trust_region.trust_region,
        "Newton in a trust region, by Hessian-vector products.",
        {"gtol": 1e-8, "radius": 1.0},
        hessian=True,
    ),
    "gauss-newton": _method(
        least_squares.gauss_newton,
        "Gauss-Newton with a line search, for residuals.",
        {"gtol": 1e-14, "xtol": 1e-11},
        residual=True,
    ),
    "lm": _method(
        least_squares.levenberg_marquardt,
        "Levenberg-Marquardt, for residuals.",
        {"gtol": 1e-14, "ftol": 1e-15, "xtol": 1e-11, "factor": 1.0},
        residual=True,
    ),
}

BY_DEFAULT = {True: "lm", False: "l-bfgs-b"}
"""The method where none is named: of a residual, and of a scalar."""
