"""Jacobians and Hessians: dense, and sparse where the structure is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.measure import Settings, interleaved
from benchmarks.ours import Prepared
from benchmarks.row import OURS, Case, Line, Row, agree

ROSENBROCK = "sum(100.0*(x[1:] - x[:-1]**2)**2 + (1.0 - x[:-1])**2)"
BANDED = "(3.0 - 2.0*x[1:-1])*x[1:-1] - x[:-2] - 2.0*x[2:] + 1.0"
"""Broyden's tridiagonal function, inner rows."""


def run(settings: Settings) -> Iterator[Line]:
    """Dense Jacobian, two Hessians, banded Jacobian, and what sparsity gains."""
    n = 200 if settings.quick else 1000
    yield from jacobian(n).lines(settings)
    yield from hessian_rosenbrock(n).lines(settings)
    yield from hessian_dense(n).lines(settings)
    yield from banded(5_000 if settings.quick else 100_000).lines(settings)
    yield gain(500 if settings.quick else 4_000, settings)


def only(block: Any) -> np.ndarray:
    """The one block of an answer."""
    ((row,),) = ([*block.values()],)
    ((entry,),) = ([*row.values()],)
    return entry


def jacobian(n: int) -> Case:
    """tanh(A x) by x."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(n, n)) / np.sqrt(n)
    xs = [rng.normal(size=n) for _ in range(2)]
    ours = Prepared("jacobian", "tanh(A @ x)", [{"A": A, "x": x} for x in xs], wrt=("x",), nodes="none")
    j = peers.jax()
    JA = j.numpy.asarray(A)

    import casadi as ca

    x = ca.MX.sym("x", n)
    J = ca.jacobian(ca.tanh(ca.mtimes(ca.MX(ca.DM(A)), x)), x)

    def read(answer: Any) -> Any:
        return only(answer["jacobian"])

    return Case(
        f"Jacobian of tanh(A x), {n} × {n}",
        {
            OURS: ours.run,
            "JAX jacrev": peers.jax_side(j.jacrev(lambda x: j.numpy.tanh(JA @ x)), [[x] for x in xs]),
            "JAX jacfwd": peers.jax_side(j.jacfwd(lambda x: j.numpy.tanh(JA @ x)), [[x] for x in xs]),
            "CasADi MX": peers.casadi_side(ca.Function("f", [x], [ca.densify(J)]), [[x] for x in xs]),
        },
        1e-10,
        dict.fromkeys(("JAX jacrev", "JAX jacfwd", "CasADi MX"), 1.0),
        {OURS: read, f"{OURS}, with preparing": read, "CasADi MX": lambda a: a[0].reshape(n, n).T},
        {f"{OURS}, with preparing": ours.again},
    )


def hessian_rosenbrock(n: int) -> Case:
    """All n² entries, though few are not zero; CasADi knows which, so it is given the sparse form to answer."""
    rng = np.random.default_rng(2)
    xs = [rng.uniform(-1, 1, n) for _ in range(2)]
    dense = Prepared("hessian", ROSENBROCK, [{"x": x} for x in xs], nodes="none")
    sparse = Prepared("hessian", ROSENBROCK, [{"x": x} for x in xs], nodes="none", sparse=True)
    j = peers.jax()

    def f(x: Any) -> Any:
        return j.numpy.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    import casadi as ca

    x = ca.SX.sym("x", n)
    H, _ = ca.hessian(ca.sum1(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2), x)
    function = ca.Function("f", [x], [H])
    pattern = function.sparsity_out(0)
    at = np.array(pattern.row()), np.repeat(np.arange(n), np.diff(pattern.colind()))

    def read(answer: Any) -> Any:
        return only(answer["hessian"])

    def spread(block: Any) -> np.ndarray:
        full = np.zeros((n, n))
        full[block["row"], block["col"]] = block["data"]
        return full

    def of_casadi(answer: Any) -> np.ndarray:
        full = np.zeros((n, n))
        full[at] = answer[0]
        return full

    return Case(
        f"Hessian of Rosenbrock's function, n = {n}",
        {
            OURS: dense.run,
            "JAX": peers.jax_side(j.hessian(f), [[x] for x in xs]),
            "CasADi SX (sparse)": peers.casadi_side(function, [[x] for x in xs]),
        },
        1e-10,
        {"JAX": 1.0},
        {
            OURS: read,
            f"{OURS}, with preparing": read,
            f"{OURS}, sparse": lambda a: spread(only(a["hessian"])),
            "CasADi SX (sparse)": of_casadi,
        },
        {f"{OURS}, with preparing": dense.again, f"{OURS}, sparse": sparse.run},
    )


def hessian_dense(n: int) -> Case:
    """logsumexp(A x) + ½|x|², every entry of whose Hessian is there."""
    rng = np.random.default_rng(3)
    A = rng.normal(size=(n, n)) / np.sqrt(n)
    xs = [rng.normal(size=n) for _ in range(2)]
    data = [{"A": A, "x": x} for x in xs]
    ours = Prepared("hessian", "logsumexp(A @ x) + 0.5*sum(x**2)", data, wrt=("x",), nodes="none")
    j = peers.jax()
    JA = j.numpy.asarray(A)

    def f(x: Any) -> Any:
        return j.scipy.special.logsumexp(JA @ x) + 0.5 * j.numpy.sum(x**2)

    import casadi as ca

    x = ca.MX.sym("x", n)
    y = ca.mtimes(ca.MX(ca.DM(A)), x)
    top = ca.mmax(y)
    H, _ = ca.hessian(top + ca.log(ca.sum1(ca.exp(y - top))) + 0.5 * ca.sumsqr(x), x)

    def read(answer: Any) -> Any:
        return only(answer["hessian"])

    return Case(
        f"Hessian of logsumexp(A x) + ½|x|², n = {n}",
        {
            OURS: ours.run,
            "JAX": peers.jax_side(j.hessian(f), [[x] for x in xs]),
            "CasADi MX": peers.casadi_side(ca.Function("f", [x], [ca.densify(H)]), [[x] for x in xs]),
        },
        1e-10,
        {"JAX": 1.0, "CasADi MX": 1.0},
        {OURS: read, f"{OURS}, with preparing": read, "CasADi MX": lambda a: a[0].reshape(n, n)},
        {f"{OURS}, with preparing": ours.again},
    )


def banded(n: int) -> Case:
    """A tridiagonal Jacobian as its structural nonzeros, row by row."""
    rng = np.random.default_rng(4)
    xs = [rng.normal(size=n + 2) for _ in range(2)]
    ours = Prepared("jacobian", BANDED, [{"x": x} for x in xs], nodes="none", sparse=True)

    import casadi as ca

    x = ca.SX.sym("x", n + 2)
    f = (3.0 - 2.0 * x[1:-1]) * x[1:-1] - x[:-2] - 2.0 * x[2:] + 1.0
    function = ca.Function("f", [x], [f, ca.jacobian(f, x)])
    pattern = function.sparsity_out(1)
    order = np.argsort(np.array(pattern.row()), kind="stable")

    j = peers.jax()
    seeds = np.zeros((3, n + 2))
    for k in range(3):
        seeds[k, k::3] = 1.0
    column = (np.arange(n)[:, None] + np.arange(3)) % 3

    def compressed(x: Any) -> Any:
        def f(x: Any) -> Any:
            return (3.0 - 2.0 * x[1:-1]) * x[1:-1] - x[:-2] - 2.0 * x[2:] + 1.0

        _, push = j.linearize(f, x)
        return j.numpy.take_along_axis(j.vmap(push)(seeds).T, column, 1)

    def read(answer: Any) -> Any:
        return only(answer["jacobian"])["data"]

    return Case(
        f"banded Jacobian, {n:,} rows, 3 nonzeros each",
        {
            OURS: ours.run,
            "CasADi SX": peers.casadi_side(function, [[x] for x in xs]),
            "JAX, coloured by hand": peers.jax_side(compressed, [[x] for x in xs]),
        },
        1e-10,
        {"CasADi SX": 1.0},
        {
            OURS: read,
            f"{OURS}, with preparing": read,
            "CasADi SX": lambda a: a[1][order],
            "JAX, coloured by hand": lambda a: np.asarray(a).ravel(),
        },
        {f"{OURS}, with preparing": ours.again},
    )


def gain(n: int, settings: Settings) -> Line:
    """Our own sparse form against our own dense one, at a size where there is a dense one."""
    rng = np.random.default_rng(5)
    xs = [rng.normal(size=n + 2) for _ in range(2)]
    dense = Prepared("jacobian", BANDED, [{"x": x} for x in xs], nodes="none")
    sparse = Prepared("jacobian", BANDED, [{"x": x} for x in xs], nodes="none", sparse=True)
    block = only(sparse.run(0)["jacobian"])
    full = np.zeros((n, n + 2))
    full[block["row"], block["col"]] = block["data"]
    agree({"dense": only(dense.run(0)["jacobian"]), "sparse": full}, 1e-12)
    times = interleaved({"sparse": sparse.run, "dense": dense.run}, settings)
    a, b = times["sparse"].median, times["dense"].median
    return Line(f"banded Jacobian, {n:,} rows: sparse", "Wengert, dense", a, b, "s", b / a, 10.0)


ROW = Row(
    "matrices",
    "Dense Jacobian 1000 × 1000, Hessian n = 1000, sparse banded Jacobian 10⁵",
    "JAX, CasADi",
    "no slower; sparse ≥ 10 × dense",
    "JAX: `jit(jacrev(f))`, `jit(jacfwd(f))`, `jit(hessian(f))`. CasADi: MX with dense results for the matrix "
    "expressions, SX for Rosenbrock's function and the banded one, where it computes structural nonzeros alone (so it is "
    "shown beside the dense Hessian for orientation, without a target). JAX has no sparse Jacobians; shown is three JVPs "
    "with seeds and columns worked out by hand. Sparse and dense are compared at 4,000 rows, where the dense one "
    "takes 128 MB; at 100,000 it would have 10¹⁰ entries.",
    run,
)
