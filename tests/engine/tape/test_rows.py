"""Every row of the tape's table, on both machines, against the op's own NumPy function, rules and kink."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import mpmath
import numpy as np
import pytest

from engine.aval import BOOL, FLOAT64
from engine.builder import EagerBuilder, GraphBuilder
from engine.op import registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.tape import CODES, ROWS, Row, Tape, tape_of
from engine.tape.machine import PLAIN, Native
from tests.engine.tape.graphs import careful

PARAMS: dict[str, tuple[dict[str, Any], ...]] = {
    "pow_by": tuple({"exponent": n} for n in (2.0, 3.0, 0.0, 1.0, -1.0, 0.5, -2.5)),
    "leaky_relu": ({"slope": 0.1}, {"slope": 1.0}),
    "elu": ({"alpha": 0.5}, {"alpha": 1.0}),
}
ULP = {"log_cosh": 4, "tanhshrink": 4, "xlog1py": 3, "gammaln": 50_000, "erfc": 5000, "ndtr": 5000}
"""Where NumPy and the tape may differ by more than 2 ulp: differences of rounded functions, and functions of which SciPy's own
lose digits (log Γ near 1 and 2, erfc in its tail). That ours do not is seen by the test with many digits."""

MPMATH = {
    "exp": mpmath.exp, "log": mpmath.log, "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "sqrt": mpmath.sqrt, "cbrt": mpmath.cbrt, "erf": mpmath.erf,
    "erfc": mpmath.erfc, "expm1": mpmath.expm1, "log1p": mpmath.log1p, "gammaln": mpmath.loggamma, "hypot": mpmath.hypot,
    "atan2": mpmath.atan2, "asinh": mpmath.asinh, "log_cosh": lambda x: mpmath.log(mpmath.cosh(x)),
    "tanhshrink": lambda x: x - mpmath.tanh(x), "cosm1": lambda x: mpmath.cos(x) - 1, "sinpi": mpmath.sinpi,
    "cospi": mpmath.cospi, "logaddexp": lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)), "pow": mpmath.power,
    "ndtr": mpmath.ncdf, "rel_entr": lambda x, y: x * mpmath.log(x / y), "exp2": lambda x: mpmath.mpf(2) ** x,
}  # fmt: skip
NAMED = [row for row in ROWS if row.name not in ("cast", "truth")]
FUNCTIONS = [row for row in NAMED if row.name not in PARAMS]


def ulps(x: float, y: float) -> float:
    """How many spacings of doubles lie between two numbers."""
    if x == y or (math.isnan(x) and math.isnan(y)):
        return 0.0
    return abs(x - y) / math.ulp(max(abs(x), abs(y)))


def points(row: Row, count: int = 200) -> list[list[float]]:
    """Points in the op's domain, far out on both sides, and special ones."""
    rng = random.Random(row.name)
    op: Any = registry.get(row.name) or registry.core(row.name)
    arity = row.arity - len(row.params)
    domain = getattr(op, "domain", ((-2.0, 2.0),))
    inside = [[rng.uniform(*domain[min(k, len(domain) - 1)]) for k in range(arity)] for _ in range(count)]
    outside = [[rng.choice((-1, 1)) * 10 ** rng.uniform(-9, 4) for _ in range(arity)] for _ in range(count)]
    special = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, 1e-300, 1e300, -1e300, 745.0, -1000.0)
    return (
        inside
        + outside
        + [list(p) for p in itertools.product(special[: 13 if arity < 3 else 8], repeat=arity)]
    )


def lone(row: Row, params: dict[str, Any]) -> tuple[Any, Tape]:
    """The graph of one op over inputs, and its tape."""
    b = GraphBuilder("float64")
    op: Any = registry.get(row.name) or registry.core(row.name)
    masks = getattr(op, "masks", ())
    refs = []
    for k in range(row.arity - len(row.params)):
        x = b.input(FLOAT64)
        refs.append(b.core("not_equal", x, b.literal(0.0)) if k in masks else x)
    graph = b.build([b.core(row.name, *refs, **params)])
    tape = tape_of(graph)
    assert tape is not None
    return graph, tape


CASES = [(row, params) for row in NAMED for params in PARAMS.get(row.name, ({},))]
CASE_IDS = [f"{row.name}{'-' if p else ''}{'-'.join(str(v) for v in p.values())}" for row, p in CASES]


@pytest.mark.parametrize(("row", "params"), CASES, ids=CASE_IDS)
def test_a_row_is_its_op(on: str, row: Row, params: dict[str, Any]) -> None:
    graph, tape = lone(row, params)
    out = graph.outputs[0]
    assert tape.boolean[out] == row.boolean
    compared = 0
    for at in points(row):
        run = tape.linearize(at)
        reference = careful(graph, at)
        expected = float(reference.refs[out])
        if not run.suspicious:
            near = ulps(run.v[out], expected) <= ULP.get(row.name, 2) or abs(run.v[out] - expected) < 1e-300
            assert near, (at, run.v[out], expected)
        op: Any = graph.nodes[out].op
        operands = [reference.refs[j] for j in graph.nodes[out].inputs]
        kink = op.kink(operands, np.float64(expected), **params)
        if not run.suspicious:
            assert run.kinked == bool(kink is not None and np.any(kink)), at
        back = run.reverse({out: 1.0})
        if run.suspicious:
            continue
        compared += 1
        wanted = reference.reverse({out: 1.0})[: len(at)]
        np.testing.assert_allclose(back[: len(at)], wanted, rtol=1e-13, atol=1e-300, err_msg=str(at))
    assert compared >= 150, "too few points at which the tape trusts itself"


@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row.name)
def test_suspicion_is_not_raised_without_need(on: str, row: Row) -> None:
    op = registry.core(row.name)
    assert isinstance(op, Elementwise)
    graph, tape = lone(row, {})
    for at in points(row)[:200]:
        reference = careful(graph, at)
        if (
            np.isfinite(reference.values()).all()
            and np.isfinite(reference.reverse({graph.outputs[0]: 1.0})).all()
        ):
            run = tape.linearize(at)
            run.reverse({graph.outputs[0]: 1.0})
            assert not run.suspicious, at


@pytest.mark.parametrize(("row", "params"), CASES, ids=CASE_IDS)
def test_both_machines_agree_to_the_last_bit(native: Native, row: Row, params: dict[str, Any]) -> None:
    _, tape = lone(row, params)
    for at in points(row, 400):
        v, w = tape.start(at), tape.start(at)
        p, q = np.zeros(tape.edge_count), np.zeros(tape.edge_count)
        kinks, found = native.linearize(tape, v, p), PLAIN.linearize(tape, w, q)
        if found < 0:
            # What raises in Python gives no finite value, or no finite partial, in machine code.
            assert kinks < 0 or not np.isfinite(p).all(), at
        else:
            assert kinks == found, at
            assert v.tobytes() == w.tobytes(), (at, v, w)
            assert p.tobytes() == q.tobytes() or not np.isfinite(q).all(), (at, p, q)


@pytest.mark.parametrize("name", sorted(MPMATH))
def test_values_by_many_digits(name: str) -> None:
    row = next(r for r in ROWS if r.name == name)
    graph, tape = lone(row, {})
    with mpmath.workdps(40):
        for at in points(row)[:200]:
            expected = MPMATH[name](*[mpmath.mpf(x) for x in at])
            got = float(tape.values(at).v[graph.outputs[0]])
            size = float(expected) if name != "logaddexp" else max(abs(float(expected)), 1.0)  # log 1 is near
            assert abs(mpmath.mpf(got) - expected) <= 6 * math.ulp(size), at


def test_the_gradient_of_the_digits() -> None:
    with mpmath.workdps(30):
        row = next(r for r in ROWS if r.name == "gammaln")
        _, tape = lone(row, {})
        for x in (0.1, 0.5, 1.0, 1.46, 1.4616321449683623, 1.5, 2.0, 3.3, 9.9, 10.0, 50.0, 1e6):
            (slope,) = tape.linearize([x]).partials
            expected = mpmath.digamma(x)
            assert abs(mpmath.mpf(float(slope)) - expected) < 4e-16 * max(1, abs(expected)), x


def test_what_is_in_the_table() -> None:
    missing = {op.name for op in registry if isinstance(op, Elementwise) and op.name not in CODES}
    special = {op.name for op in registry if op.family == "special"}
    assert missing - special == {"sindg", "cosdg", "tandg", "cotdg", "exp10", "logaddexp2"}
    assert len(ROWS) < 256
    assert sorted(CODES.values()) == list(range(1, len(ROWS) + 1))
    assert all(1 <= row.arity <= 3 for row in ROWS)


def test_casts() -> None:
    b = GraphBuilder("float64")
    x = b.input(FLOAT64)
    mask = b.core("cast", x, dtype="bool")
    back = b.core("cast", mask, dtype="float64")
    graph = b.build([b.core("multiply", back, x)])
    assert graph.nodes[mask].aval == BOOL
    tape = tape_of(graph)
    assert tape is not None
    for at, value, slope in ((3.0, 3.0, 1.0), (0.0, 0.0, 0.0)):
        run = tape.linearize([at])
        assert run.v[-1] == value
        assert run.reverse({graph.outputs[0]: 1.0})[x] == slope
    assert list(tape.boolean) == [False, True, False, False]
    assert float(EagerBuilder("float64").core("cast", np.True_, dtype="float64")) == 1.0
