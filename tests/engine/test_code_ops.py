"""Every op of the registry as C and JavaScript: its examples with gradients, and elementwise ops at awkward numbers."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

from engine.aval import Aval
from engine.builder import GraphBuilder
from engine.errors import EngineError, Unsupported
from engine.graph import Graph
from engine.op import Op, registry
from engine.render.code import Derivative, Unit
from engine.render.code.function import refuse
from engine.render.code.helpers import bessel, distributions, errors, gammas, integrals, missing
from engine.render.code.translate import MODULES, helper
from engine.transforms.pull import vjp_graph
from engine.transforms.simplify import simplify
from tests.engine.compiled import TOOLS, Job, disagreements, need, run
from tests.engine.conformance.cases import Case, cases
from tests.engine.units import computed

both = pytest.mark.parametrize("language", list(TOOLS))

REFUSED = {
    "condition_number", "cosm", "eigh", "eigvalsh", "expm", "logm", "lstsq", "matrix_norm", "matrix_rank", "norm", "pinv",
    "sinm", "solve_continuous_lyapunov", "solve_sylvester", "sqrtm", "svd", "svdvals",  # singular values, eigenvalues
    "betainc", "betaincc", "gammainc", "gammaincc",  # their derivatives in the shapes
    "iv", "ive", "jv", "yv",  # orders that are no integers
    "polygamma", "zeta",  # orders beyond 5; the derivative in s
    "linear_solve", "root", "fixed_point", "implicit",  # searches
}  # fmt: skip
"""Ops of which some example has no form in C and JavaScript."""


def _weighted(graph: Graph, out: int, aval: Aval) -> tuple[Graph, list[int]]:
    """A result and its pullback for some cotangent, as one graph; the numbers of the inputs that have a derivative."""
    base = graph.with_outputs([out])
    b = GraphBuilder("float64")
    inputs = [b.input(a) for a in graph.in_avals]
    if not aval.floating:
        (found,) = b.inline(base, inputs)
        return simplify(b.build([b.core("cast", found, dtype="float64")]), "float64"), []
    wrt = [k for k, a in enumerate(graph.in_avals) if a.floating]
    back = vjp_graph(base, [out], [graph.inputs[k] for k in wrt], "float64")
    seed = np.cos(np.arange(aval.size)).reshape(aval.shape) + 1.5
    return simplify(b.build(b.inline(back, [*inputs, b.constant(np.asarray(seed))])), "float64"), wrt


def _units(op: Op, case: Case) -> Iterator[tuple[Unit, dict[str, Any]]]:
    graph = case.graph()
    arrays = {f"x{k}": case.operands[k] for k in case.variable}
    ids = tuple(arrays)
    for k, (out, aval) in enumerate(zip(graph.outputs, graph.out_avals, strict=True)):
        weighted, wrt = _weighted(graph, out, aval)
        derivatives = tuple(Derivative(ids[j], (ids[j],)) for j in wrt)
        yield Unit(weighted, "y", ids, derivatives, name=f"{op.name.replace('.', '_')}_{k}"), arrays


@functools.cache
def examples() -> tuple[list[Job], frozenset[str]]:
    """All examples of all ops that can be written, and the names of ops of which some cannot."""
    jobs: list[Job] = []
    refused: set[str] = set()
    for op in registry:
        for case in cases(op, None):
            if case.literal:
                continue
            try:
                for unit, arrays in _units(op, case):
                    computed(unit, arrays)
                    refuse(unit, "C")
                    name = f"{unit.name}_{len(jobs)}"
                    named = Unit(unit.graph, unit.of, unit.inputs, unit.derivatives, name=name)
                    jobs.append(Job(named, [arrays]))
            except Unsupported:
                refused.add(op.name)
            except EngineError:
                continue  # an example of an error
    return jobs, frozenset(refused)


@both
def test_every_example_of_every_op(language: str, tmp_path: Path) -> None:
    need(language)
    jobs, refused = examples()
    assert len(jobs) > 1000
    assert refused <= REFUSED
    wrong = disagreements(jobs, run(language, jobs, tmp_path, ("-O0",)))
    assert wrong == []


AWKWARD = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.5,
    -2.5,
    3.5,
    math.inf,
    -math.inf,
    math.nan,
    1e308,
    -1e-308,
    5e-324,
    1e16,
    700.0,
)


UNRULY = {"beta", "betaln", "binom", "poch", "gammainc", "gammaincc", "spence", "erfcinv"}
"""Where SciPy has at poles, infinities and the least numbers what no limit explains, or less than can be had."""


def _elementwise() -> Iterator[Op]:
    """Ops of one or two numbers without params."""
    for op in registry.everything():
        kind = type(op).__name__
        if (
            kind in ("Elementwise", "Kernelled", "Multiply", "Round")
            and len(op.rules) <= 2
            and op.name not in UNRULY
        ):
            yield op


def _awkward() -> list[Job]:
    """Each elementwise op of one or two operands on all awkward numbers, or pairs of them."""
    jobs = []
    for op in _elementwise():
        b = GraphBuilder("float64")
        count = len(op.rules)
        points = np.array(list(itertools.product(AWKWARD, repeat=count))).T
        masks = getattr(op, "masks", ())
        inputs = [b.input(Aval((len(points[0]),), "bool" if k in masks else "float64")) for k in range(count)]
        try:
            out = b.core(op.name, *inputs)
        except EngineError:
            continue
        if b.nodes[out].aval.dtype != "float64":  # type: ignore[union-attr]  # a single one
            out = b.core("cast", out, dtype="float64")
        ids = tuple(f"x{k}" for k in range(count))
        unit = Unit(b.build([out]), "y", ids, (), name=f"{op.name}_{len(jobs)}")
        arrays = {
            i: p.astype(bool) if k in masks else p for k, (i, p) in enumerate(zip(ids, points, strict=True))
        }
        jobs.append(Job(unit, [arrays]))
    return jobs


@both
def test_elementwise_ops_at_awkward_numbers(language: str, tmp_path: Path) -> None:
    """Infinities, NaN, signed zeros, numbers that overflow: entry by entry as NumPy has them."""
    need(language)
    jobs = _awkward()
    assert len(jobs) > 70
    wrong = []
    for job, ((found,),) in zip(jobs, run(language, jobs, tmp_path, ("-O0",)), strict=True):
        (right,) = (np.asarray(r) for r in computed(job.unit, job.inputs[0]))
        with np.errstate(all="ignore"):
            same = (found == right) | (np.isnan(found) & np.isnan(right))
            same |= np.abs(found - right) <= 1e-12 * np.abs(right) + 1e-300
        for k in np.flatnonzero(~same):
            at = [float(a[k]) for a in job.inputs[0].values()]
            wrong.append(f"{job.unit.name}{at}: {found[k]}, not {right[k]}")
    assert wrong == []


SIGNED = (
    "negative", "multiply", "divide", "floor", "ceil", "trunc", "round", "remainder", "fmod", "floor_divide", "sqrt",
    "copysign", "sin", "tan", "sinh", "asinh", "atan", "cbrt", "expm1", "log1p", "tanh", "reciprocal", "abs", "atan2",
)  # fmt: skip


@both
def test_zeros_keep_their_sign(language: str, tmp_path: Path) -> None:
    need(language)
    jobs = [job for job in _awkward() if job.unit.name.rsplit("_", 1)[0] in SIGNED]
    assert len(jobs) == len(SIGNED)
    for job, ((found,),) in zip(jobs, run(language, jobs, tmp_path, ("-O0",)), strict=True):
        (right,) = (np.asarray(r) for r in computed(job.unit, job.inputs[0]))
        zero = (right == 0) & (found == 0)
        bad = np.flatnonzero(zero & (np.signbit(right) != np.signbit(found)))
        assert [[float(a[k]) for a in job.inputs[0].values()] for k in bad] == [], job.unit.name


# ------------------------------------------------------------------------------------------------------------- helpers


def test_every_helper_can_be_written() -> None:
    """What no test happens to call is translated, too."""
    names = [
        name
        for module in MODULES[1:]
        for name, fn in vars(module).items()
        if inspect.isfunction(fn) and fn.__module__ == module.__name__ and name != "trunc_divide"
    ]
    assert len(names) > 100
    for name in names:
        assert helper(name).body


REAL = [float(x) for x in np.random.default_rng(3).uniform(-6, 6, 200)]
RIGHT = [float(x) for x in 10 ** np.random.default_rng(4).uniform(-6, 2.2, 200)]
UNIT_INTERVAL = [float(x) for x in np.random.default_rng(5).uniform(0, 1, 200)] + [1e-10, 1e-300, 1 - 1e-10]
PAIRS = [(float(a), float(b)) for a, b in 10 ** np.random.default_rng(6).uniform(-2, 2.5, (200, 2))]


@pytest.mark.parametrize(
    ("ours", "scipys", "points"),
    [
        (missing.erf, scipy.special.erf, REAL),
        (missing.erfc, scipy.special.erfc, [*REAL, 10.0, 20.0, 26.0]),
        (lambda x: errors.erfcx(0, x), scipy.special.erfcx, REAL + RIGHT),
        (errors.erfinv, scipy.special.erfinv, UNIT_INTERVAL),
        (errors.erfcinv, scipy.special.erfcinv, UNIT_INTERVAL),
        (errors.ndtri_exp, scipy.special.ndtri_exp, [-x for x in RIGHT]),
        (lambda x: errors.dawsn(0, x), scipy.special.dawsn, REAL + RIGHT),
        (gammas.tgamma, scipy.special.gamma, REAL + RIGHT),
        (missing.lgamma, scipy.special.gammaln, RIGHT),
        (gammas.rgamma, scipy.special.rgamma, REAL),
        (lambda x: gammas.polygamma(1, x), lambda x: scipy.special.polygamma(1, x), RIGHT),
        (lambda x: bessel.bessel_j(0, x), scipy.special.j0, REAL + RIGHT),
        (lambda x: bessel.bessel_j(3, x), lambda x: scipy.special.jv(3, x), REAL),
        (lambda x: bessel.bessel_y(1, x), scipy.special.y1, RIGHT),
        (lambda x: bessel.bessel_i(1.0, x, True), scipy.special.i1e, RIGHT),
        (lambda x: bessel.bessel_k(2.5, x, True), lambda x: scipy.special.kve(2.5, x), RIGHT),
        (integrals.exp1, scipy.special.exp1, RIGHT),
        (integrals.expi, scipy.special.expi, RIGHT + [-x for x in RIGHT]),
        (lambda x: integrals.expn(4, x), lambda x: scipy.special.expn(4, x), RIGHT),
        (integrals.spence, scipy.special.spence, RIGHT),
        (integrals.lambertw, lambda x: scipy.special.lambertw(x).real, RIGHT),
        (integrals.ellipk, scipy.special.ellipk, [x for x in REAL if x < 1]),
        (integrals.ellipe, scipy.special.ellipe, [x for x in REAL if x < 1]),
    ],
)
def test_special_functions_against_scipy(
    ours: Callable[[float], float], scipys: Callable[[float], Any], points: list[float]
) -> None:
    """Near a zero of the function, where no digits can be had, relative to 1."""
    for x in points:
        right = float(scipys(x))
        scale = max(abs(right), 0.01 if abs(right) < 0.01 and abs(x) > 0.1 and abs(right) > 1e-4 else 0.0)
        assert ours(x) == pytest.approx(right, rel=5e-13, abs=5e-13 * scale), x


@pytest.mark.parametrize(
    ("ours", "scipys"),
    [
        (gammas.beta, scipy.special.beta),
        (distributions.gammainc, scipy.special.gammainc),
        (distributions.gammaincc, scipy.special.gammaincc),
        (lambda a, b: distributions.betainc(a, b, 0.3), lambda a, b: scipy.special.betainc(a, b, 0.3)),
        (lambda s, q: gammas.zeta_of(1.0 + s, q), lambda s, q: scipy.special.zeta(1.0 + s, q)),
    ],
)
def test_functions_of_two_numbers_against_scipy(ours: Any, scipys: Any) -> None:
    for a, b in PAIRS:
        right = float(scipys(a, b))
        if 1e-290 < abs(right) < 1e290:
            assert ours(a, b) == pytest.approx(right, rel=2e-12), (a, b)
