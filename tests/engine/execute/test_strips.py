"""Runs of elementwise work strip by strip: the compiled machine and NumPy give the same bits, and the runs are really made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from engine.aval import Array, Aval, DType
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.execute.plan import Plan
from engine.execute.plan import strips as machine
from engine.execute.plan.fuse import Run
from engine.execute.plan.record import Call, NotRecorded, Recorder
from engine.execute.plan.strips import NOT_FINITE, Given, Strips
from engine.execute.pool import pool
from engine.kernels import arrays, loops
from engine.op import registry
from engine.ops.pointwise.elementwise import Elementwise
from tests.engine.execute.test_plan_memory import graph_of
from tests.engine.test_kernels import nasty, needs_numba

B = EagerBuilder("float64")
EDGES = (1, 2, 3, 7, 8, 9, 31, 511, 512, 513, 1023, 1025, 5000)
"""Lengths around those of vectors and strips."""


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    needs_numba()
    assert arrays.load()
    assert arrays.STATE.strips is not None


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Switches between NumPy and the compiled machine."""
    native = arrays.STATE.strips

    def switch(on: bool) -> None:
        monkeypatch.setattr(arrays.STATE, "strips", None if on else native)

    return switch


def recorded(op: Any, dtype: DType) -> Recorder | None:
    """The op's calls over values 0, 1, …; None if it has none."""
    masks = getattr(op, "masks", ())
    avals = [Aval((5000,), "bool" if k in masks else dtype) for k in range(len(op.rules))]
    recorder = Recorder()
    try:
        result = op.infer(*avals)
        into = op.into(avals, ())
        operands = [recorder.value(a.dtype) for a in avals]
        recorder.write(into.write, operands, np.dtype(result.dtype))
    except Exception:  # no op for these, or none that is recorded
        return None
    return recorder


OPS = [
    (op, dtype)
    for op in registry.everything()
    if isinstance(op, Elementwise) and not op.view
    for dtype in ("float64", "float32", "bool")
    if recorded(op, dtype) is not None
]


def drawn(rng: np.random.Generator, dtype: Any, n: int) -> Array:
    """Numbers of all kinds: ordinary ones, those at which something happens, infinities and NaN."""
    if dtype == np.bool_:
        return rng.random(n) < 0.5
    special = np.concatenate([nasty(), [1.0, -1.0, 0.5, 2.0, 710.0, -745.5, 88.5, -103.5]])
    x = np.where(rng.random(n) < 0.2, rng.choice(special, n), rng.normal(size=n) * 3)
    with np.errstate(all="ignore"):
        found: Array = x.astype(dtype)
    return found


def same_bits(x: Array, y: Array, what: str) -> None:
    """Bit by bit; NaN are all alike."""
    assert x.dtype == y.dtype
    integer = {1: np.uint8, 4: np.uint32, 8: np.uint64}[x.dtype.itemsize]
    if x.dtype.kind == "f":
        both = np.isnan(x) & np.isnan(y)
        x, y = np.where(both, 0, x), np.where(both, 0, y)
    np.testing.assert_array_equal(x.view(integer), y.view(integer), err_msg=what)


def given(x: Array) -> Given:
    """An array as it is."""
    return Given(x.shape, tuple(range(x.ndim)), x.dtype)


def run(
    calls: Sequence[Call], recorder: Recorder, operands: Sequence[Array], results: Sequence[int], n: int
) -> tuple[Any, ...]:
    """Results of a run, and what it tells; the results' memory had something else in it."""
    outs = [np.full(n, 7).astype(recorder.dtypes[r]) for r in results]
    shape = (n,)
    strips = Strips(
        calls,
        recorder.dtypes,
        n,
        [(k, Given(shape, (0,), x.dtype)) for k, x in enumerate(operands)],
        [(r, given(o)) for r, o in zip(results, outs, strict=True)],
        [r for r in results if recorder.dtypes[r].kind == "f"],
    )
    with np.errstate(all="ignore"):
        told = strips.run([*operands, *outs])
    return outs, told, strips


@pytest.mark.parametrize(("op", "dtype"), OPS, ids=[f"{op.name}-{dtype}" for op, dtype in OPS])
def test_every_op_to_the_bit(op: Any, dtype: str, plain: Callable[[bool], None]) -> None:
    recorder = recorded(op, dtype)
    assert recorder is not None
    rng = np.random.default_rng(len(op.name))
    arity = len(op.rules)
    for n in EDGES:
        operands = [drawn(rng, recorder.dtypes[k], n) for k in range(arity)]
        for scalar in (None, *range(arity)):
            xs = [x[:1].reshape(()) if k == scalar and arity > 1 else x for k, x in enumerate(operands)]
            found = []
            for on in (False, True):
                plain(on)
                results = [recorder.calls[-1].result]
                outs, told, strips = run(recorder.calls, recorder, xs, results, n)
                assert strips._code is not None, "the compiled machine can do it"
                found.append((outs[0], told))
            same_bits(found[0][0], found[1][0], f"{op.name} at {n}, scalar {scalar}")
            assert found[0][1] == found[1][1]
            if found[0][0].dtype.kind == "f":
                assert (found[0][1] == NOT_FINITE) == (not np.isfinite(found[0][0]).all())


@pytest.mark.parametrize(("op", "dtype"), OPS, ids=[f"{op.name}-{dtype}" for op, dtype in OPS])
def test_what_is_recorded_is_what_the_op_writes(op: Any, dtype: str, plain: Callable[[bool], None]) -> None:
    recorder = recorded(op, dtype)
    assert recorder is not None
    n = 5000
    operands = [drawn(np.random.default_rng(1), recorder.dtypes[k], n) for k in range(len(op.rules))]
    expected = np.empty(n, recorder.dtypes[recorder.calls[-1].result])
    with np.errstate(all="ignore"):
        op.into([Aval((n,), str(x.dtype)) for x in operands], ()).write(*operands, expected)
    outs, _, _ = run(recorder.calls, recorder, operands, [recorder.calls[-1].result], n)
    same_bits(outs[0], expected, op.name)


@pytest.mark.parametrize("exponent", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 17.0])
def test_powers_by_a_number(exponent: float, plain: Callable[[bool], None]) -> None:
    op = registry.core("pow_by")
    recorder = Recorder()
    one = recorder.value(np.float64)
    write = op.into([Aval((5000,), "float64")], (("exponent", exponent),)).write
    result = recorder.write(write, [one], np.float64)
    x = drawn(np.random.default_rng(2), np.float64, 5000)
    expected = np.empty(5000)
    with np.errstate(all="ignore"):
        write(x, expected)
    for on in (False, True):
        plain(on)
        outs, _, _ = run(recorder.calls, recorder, [x], [result], 5000)
        same_bits(outs[0], expected, f"to the power {exponent}")


def test_the_ops_that_matter_are_recorded() -> None:
    names = {op.name for op, dtype in OPS if dtype == "float64"}
    assert names >= {
        "add", "subtract", "multiply", "divide", "negative", "abs", "sign", "square", "reciprocal", "pow", "maximum",
        "minimum", "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "tanh", "sech_squared", "sigmoid",
        "log_sigmoid", "relu", "logaddexp", "where", "less", "equal", "isfinite", "clip", "atan", "atan2", "hypot",
    }  # fmt: skip


STRIDED: dict[str, Callable[[Array], Array]] = {
    "columns": lambda x: x.reshape(3, -1).T[:, 1],
    "every other": lambda x: x[1::2],
    "backwards": lambda x: x[::-1],
    "of a transpose": lambda x: x.reshape(-1, 3).T,
    "a row for all": lambda x: np.broadcast_to(x[:7], (5, 7)),
    "a column for all": lambda x: np.broadcast_to(x[:7, None], (7, 700)),
    "three axes": lambda x: x.reshape(10, 5, -1)[::2, ::-1, ::3],
    "one number": lambda x: np.broadcast_to(x[3], (6, 100)),
    "off its alignment": lambda x: np.frombuffer(b"1" + x.tobytes(), np.uint8)[1:].view(x.dtype),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", STRIDED)
def test_arrays_of_any_layout(name: str, dtype: str, plain: Callable[[bool], None]) -> None:
    x = np.random.default_rng(0).normal(size=3 * 5 * 700).astype(dtype)
    a = STRIDED[name](x)
    b = np.ascontiguousarray(a) + 1
    recorder = Recorder()
    one, two = recorder.value(a.dtype), recorder.value(a.dtype)
    e = recorder.write(np.exp, [one], a.dtype)
    s = recorder.write(np.add, [e, two], a.dtype)
    p = recorder.write(np.multiply, [s, one], a.dtype)
    for target in (np.empty_like, lambda y: np.empty(y.shape[::-1], y.dtype).T):
        found = []
        for on in (False, True):
            plain(on)
            outs = [target(b), target(b)]
            strips = Strips(
                recorder.calls,
                recorder.dtypes,
                a.size,
                [(one, given(a)), (two, given(b))],
                [(p, given(outs[0])), (p, given(outs[1]))],
            )
            strips.run([a, b, *outs])
            found.append(outs)
        expected = np.multiply(np.exp(np.ascontiguousarray(a)) + b, a)
        for outs in found:
            for out in outs:
                same_bits(np.ascontiguousarray(out), expected, name)


def test_sine_and_cosine_of_one_value(plain: Callable[[bool], None]) -> None:
    """Together, also beyond what is reduced, as each by itself."""
    x = drawn(np.random.default_rng(0), np.float64, 5000)
    x[700] = 1e300
    recorder = Recorder()
    one = recorder.value(np.float64)
    s = recorder.write(registry.core("sin").into([Aval((5000,), "float64")], ()).write, [one], np.float64)
    c = recorder.write(registry.core("cos").into([Aval((5000,), "float64")], ()).write, [one], np.float64)
    for on in (False, True):
        plain(on)
        outs, _, strips = run(recorder.calls, recorder, [x], [s, c], 5000)
        assert [step.kind for step in strips._steps].count(machine.SINCOS) == 1
        with np.errstate(all="ignore"):
            same_bits(outs[0], arrays.sin(x), "sin")
            same_bits(outs[1], arrays.cos(x), "cos")


# ------------------------------------------------------------------------------------------------------------ in plans


def runs_of(plan: Plan) -> list[Run]:
    """The runs of a plan's own block and of its loops'."""
    blocks = [plan._block, *(b for loop in plan.loops for b in loop._blocks.values())]
    return [cell for block in blocks for cell in block.runs]


def elementwise(x: Var, y: Var) -> list[Var]:
    a = call(x.b, "relu", x * y) + call(x.b, "sin", x)
    b = call(x.b, "where", a > y, a * call(x.b, "cos", x), call(x.b, "abs", y))
    return [b / (1.0 + y * y), a.reshape((2, -1)), b.sum()]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [6, 1000, 4096, 200_000])
def test_plans_use_them(n: int, dtype: DType, plain: Callable[[bool], None]) -> None:
    b = EagerBuilder(dtype)
    builder = GraphBuilder(dtype)
    outs = elementwise(*[Var(builder, builder.input(Aval((n,), dtype))) for _ in range(2)])
    graph = builder.build([o.ref for o in outs])
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=n).astype(dtype) for _ in range(2))
    plan = Plan(graph)
    assert bool(plan.loops) == (n > 100_000)
    assert any(r.calls > 8 for r in runs_of(plan))
    found = []
    for on in (False, True):
        plain(on)
        found.append(plan.run(b, [x, y]))
    for f, g, e in zip(found[0].results, found[1].results, b.inline(graph, [x, y]), strict=True):
        same_bits(np.asarray(f), np.asarray(g), f"{n}")
        np.testing.assert_allclose(f, e, rtol=1e-12 if dtype == "float64" else 2e-5)
    assert found[0].finite
    assert not found[0].kinked


@pytest.mark.parametrize("on", [True, False], ids=["plain", "compiled"])
@pytest.mark.parametrize("n", [100, 200_000])
def test_what_is_met_is_told(n: int, on: bool, plain: Callable[[bool], None]) -> None:
    plain(on)
    plan = Plan(graph_of(elementwise, Aval((n,), "float64"), Aval((n,), "float64")))
    x, y = np.linspace(1, 2, n), np.full(n, 3.0)
    fine = plan.run(B, [x, y])
    assert (fine.kinked, fine.finite) == (False, True)
    for at in (0, n // 2, n - 1):
        kinked = x.copy()
        kinked[at] = 0.0
        met = plan.run(B, [kinked, y])
        assert (met.kinked, met.finite) == (True, True)
        broken = y.copy()
        broken[at] = np.nan
        assert not plan.run(B, [x, broken]).finite
    assert plan.run(B, [x, y]).finite


def test_threads_do_not_disturb_one_another() -> None:
    n = 300_000
    plan = Plan(graph_of(elementwise, Aval((n,), "float64"), Aval((n,), "float64")))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=n), rng.normal(size=n)
    size = pool.size
    try:
        pool.resize(1)
        first = plan.run(B, [x, y]).results
        pool.resize(4)
        for _ in range(20):
            for f, again in zip(first, plan.run(B, [x, y]).results, strict=True):
                np.testing.assert_array_equal(f, again)
    finally:
        pool.resize(size)


# ------------------------------------------------------------------------------------------------------------ NumPy's


def test_a_loop_that_is_no_loop_of_numbers_is_not_called() -> None:
    double, whole = np.dtype(np.float64), np.dtype(np.int64)
    assert loops.loop_of(np.add, (double, double, double)) is not None
    assert loops.loop_of(np.add, (whole, whole, whole)) is None
    assert loops.loop_of(np.modf, (double, double, double)) is None
    foreign = np.frompyfunc(lambda x: x, 1, 1)
    assert loops.loop_of(foreign, (np.dtype(object), np.dtype(object))) is None


def test_without_addresses_numpy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NumPy's structures are not what they are taken for, answers stay the same."""
    monkeypatch.setattr(machine, "loop_of", lambda ufunc, dtypes: None)
    plan = Plan(graph_of(elementwise, Aval((500,), "float64"), Aval((500,), "float64")))
    assert all(r.strips._code is None for r in runs_of(plan))
    x, y = np.linspace(1, 2, 500), np.linspace(2, 3, 500)
    expected = B.inline(graph_of(elementwise, Aval((500,), "float64"), Aval((500,), "float64")), [x, y])
    for f, e in zip(plan.run(B, [x, y]).results, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-12)


def test_what_cannot_be_recorded_says_so() -> None:
    recorder = Recorder()
    x = recorder.value(np.float64)
    for fn in (
        lambda a, out: out.fill(0),
        lambda a, out: np.cumsum(a, out=out),
        lambda a, out: np.add.reduce(a, out=out),
        lambda a, out: np.add(a, np.ones(3), out),
        lambda a, out: np.add(a, 1),
        lambda a, out: np.modf(a, out, out),
        lambda a, out: np.copyto(out, a),
    ):
        with pytest.raises(NotRecorded):
            recorder.write(fn, [x], np.dtype(np.float64))
    assert recorder.calls == []
    assert len(recorder.dtypes) == 1


@pytest.mark.parametrize(
    ("size", "calls", "runs"), [(1000, 3, 0), (1000, 24, 1), (100_000, 3, 1), (100_000, 1, 0)]
)
def test_runs_that_save_less_than_they_cost_are_not_made(size: int, calls: int, runs: int) -> None:
    def chain(x: Var) -> list[Var]:
        y = x
        for _ in range(calls):
            y = call(x.b, "sqrt", y)
        return [y]

    plan = Plan(graph_of(chain, Aval((size,), "float64")), kinks=False)
    assert len(plan._block.runs) == runs
    x = np.linspace(0.1, 2.0, size)
    y = x
    for _ in range(calls):
        y = np.sqrt(y)
    np.testing.assert_array_equal(plan.run(EagerBuilder("float64"), [x]).results[0], y)
