"""Sine and cosine of long arrays: right to the last place, and the same bits whoever computes them."""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from engine import kernels
from engine.aval import Aval
from engine.builder import EagerBuilder, call
from engine.execute.plan import Plan
from engine.kernels import arrays, circular
from engine.op import registry
from tests.engine.execute.test_plan_memory import graph_of

FUNCTIONS = {"sin": (kernels.sin, np.sin, mpmath.sin), "cos": (kernels.cos, np.cos, mpmath.cos)}


def needs_numba() -> None:
    """Skip where Numba is not installed; in CI it must be."""
    if importlib.util.find_spec("numba") is None and not os.environ.get("WENGERT_REQUIRE_TOOLS"):
        pytest.skip("Numba is not installed")


@pytest.fixture(params=["plain", "native"])
def on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """NumPy passes, then machine code."""
    name: str = request.param
    state = arrays.State()
    monkeypatch.setattr(arrays, "STATE", state)
    monkeypatch.delenv(arrays.apart.NEVER, raising=False)
    if name == "native":
        needs_numba()
        assert arrays.load()
    state.begun = True
    return name


@pytest.fixture(params=["sin", "cos"])
def name(request: pytest.FixtureRequest) -> str:
    """Each function."""
    found: str = request.param
    return found


def near_multiples(rng: np.random.Generator, n: int) -> np.ndarray:
    """Float64 next to multiples of π/4 (at those of π/2 one function is near 0, at the others the quadrant changes)."""
    k = rng.integers(-83442, 83442, n)
    with mpmath.workprec(120):
        exact = np.array([float(int(i) * mpmath.pi / 4) for i in k])
    return exact + rng.integers(-2, 3, n) * np.spacing(exact)


def nasty() -> np.ndarray:
    """Zeros, subnormals, the ends of what is reduced, the hardest number there, infinities, NaN."""
    limit = circular.LIMIT
    ends = [
        limit,
        math.nextafter(limit, 0),
        math.nextafter(limit, math.inf),
        1e5,
        1e22,
        1.7976931348623157e308,
    ]
    small = [0.0, 5e-324, 1e-310, 2.2250738585072014e-308, 1e-200, 1e-17, 1e-8, 0.7853981633974483]
    both = np.array([*ends, *small, 45.553093477052, math.inf])
    return np.concatenate([both, -both, [math.nan]])


def sample(rng: np.random.Generator) -> np.ndarray:
    """A few thousand numbers of all kinds that are reduced here."""
    wide = rng.uniform(-circular.LIMIT, circular.LIMIT, 1500)
    tiny = rng.choice([-1, 1], 500) * 10.0 ** rng.uniform(-300, 0, 500)
    return np.concatenate(
        [rng.uniform(-7, 7, 1500), wide, tiny, near_multiples(rng, 2500), [45.553093477052]]
    )


def ulps(x: np.ndarray, y: np.ndarray, exact: Callable[[Any], Any]) -> float:
    """Largest error of y = f(x), in units of the last place of the right value."""
    worst = 0.0
    with mpmath.workprec(1200):  # enough to reduce 1e-300 to 1e308
        for a, b in zip(x.tolist(), y.tolist(), strict=True):
            right = exact(mpmath.mpf(a))
            place = math.ulp(float(right))
            worst = max(worst, float(abs(mpmath.mpf(b) - right) / mpmath.mpf(place)))
    return worst


def test_the_error_is_below_one_place(on: str, name: str) -> None:
    ours, _, exact = FUNCTIONS[name]
    x = sample(np.random.default_rng(7))
    assert ulps(x, ours(x), exact) < 0.8


def test_special_numbers(on: str, name: str) -> None:
    ours, numpys, exact = FUNCTIONS[name]
    x = nasty()
    with np.errstate(invalid="ignore"):
        y, theirs = ours(x), numpys(x)
    assert np.array_equal(np.isnan(y), ~np.isfinite(x))
    beyond = ~(np.abs(x) <= circular.LIMIT)
    assert y[beyond].tobytes() == theirs[beyond].tobytes(), "what is out of reach is NumPy's"
    assert ulps(x[~beyond], y[~beyond], exact) < 0.8
    if name == "sin":
        tiny = np.abs(x) < 1e-10
        assert y[tiny].tobytes() == x[tiny].tobytes(), "sin x = x, the sign of zero included"


def test_infinity_warns_as_numpy_does(on: str, name: str) -> None:
    with pytest.warns(RuntimeWarning, match="invalid value"):
        FUNCTIONS[name][0](np.array([1.0, np.inf]))


def test_both_give_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_numba()
    rng = np.random.default_rng(11)
    parts = [
        sample(rng),
        nasty(),
        rng.normal(size=100_000),
        rng.normal(size=5000) * 1e5,
        rng.integers(-9, 9, 99),
    ]
    patterns = rng.integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64)
    x = np.concatenate([*parts, patterns[~np.isnan(patterns)]])
    rng.shuffle(x[:50_000])
    found = []
    for native in (False, True):
        monkeypatch.setattr(arrays, "STATE", arrays.State())
        arrays.STATE.begun = True
        assert not native or arrays.load()
        with np.errstate(invalid="ignore"):
            found.append(FUNCTIONS[name][0](x))
    assert found[0].tobytes() == found[1].tobytes()


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "matrix": lambda x: x.reshape(50, 60),
    "transposed": lambda x: x.reshape(50, 60).T,
    "strided": lambda x: x[::3],
    "reversed": lambda x: x[::-1],
    "columns": lambda x: x.reshape(50, 60)[:, 3:31],
    "turned": lambda x: x.reshape(10, 5, 60).transpose(1, 2, 0),
    "stretched": lambda x: np.broadcast_to(x[:40], (30, 40)),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.float64, offset=1),
    "constant": lambda x: np.frombuffer(x.tobytes()),
    "empty": lambda x: x[:0].reshape(0, 3),
    "one": lambda x: x[5:6],
    "number": lambda x: x[5:6].reshape(()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(on: str, name: str, layout: str) -> None:
    ours = FUNCTIONS[name][0]
    x = LAYOUTS[layout](np.random.default_rng(3).normal(size=3000) * 9)
    right = np.array([ours(np.array([v]))[0] for v in x.ravel()]).reshape(x.shape)
    y = ours(x)
    assert y.shape == x.shape
    assert y.tobytes() == right.tobytes()
    for out in (np.empty(x.shape), np.empty(x.shape[::-1]).T, np.empty((*x.shape, 2))[..., 1]):
        assert ours(x, out) is out
        assert out.tobytes() == right.tobytes()
    if x.flags.writeable:
        ours(x, x)
        assert x.tobytes() == right.tobytes()


def test_out_may_overlap_and_stretch(on: str, name: str) -> None:
    ours = FUNCTIONS[name][0]
    x = np.random.default_rng(4).normal(size=20_000)
    right = ours(x)
    room = np.concatenate([x, np.zeros(10)])
    ours(room[:-10], room[10:])
    assert room[10:].tobytes() == right.tobytes()
    rows = np.empty((3, len(x)))
    ours(x, rows)
    assert all(row.tobytes() == right.tobytes() for row in rows)


@pytest.mark.parametrize("size", [1, arrays.MANY - 1, arrays.MANY, 300_001])
def test_a_plan_gives_the_bits_of_the_op(on: str, name: str, size: int) -> None:
    """Whether an array is long is asked of the whole one, of which tiles are computed; 300,001 leave a short one over."""
    x = np.random.default_rng(5).normal(size=size) * 20
    op: Any = registry.core(name)
    short = size < arrays.MANY
    right = FUNCTIONS[name][1](x) if short else FUNCTIONS[name][0](x)
    assert op.evaluate(x).tobytes() == right.tobytes()
    single = x.astype(np.float32)
    assert op.evaluate(single).tobytes() == FUNCTIONS[name][1](single).tobytes()
    assert isinstance(op.evaluate(x[0]), np.float64)
    graph = graph_of(lambda v: [call(v.b, name, v), call(v.b, name, 2.0 * v).sum()], Aval((size,), "float64"))
    for tile in (1000, 4096):
        y, total = Plan(graph, tile=tile, least=0).run(EagerBuilder("float64"), [x]).results
        assert y.tobytes() == right.tobytes()
        assert np.isclose(total, op.evaluate(2.0 * x).sum(), rtol=1e-12, atol=1e-9)


def test_in_place_is_as_fast(name: str) -> None:
    """A loop that LLVM takes for one that may overlap itself runs element by element, three times as long."""
    needs_numba()
    assert arrays.load()
    x = np.random.default_rng(6).normal(size=50_000)
    apart, same = np.empty_like(x), x.copy()

    def best(out: np.ndarray, of: np.ndarray) -> float:
        times = []
        for _ in range(30):
            begin = time.thread_time()
            FUNCTIONS[name][0](of, out)
            times.append(time.thread_time() - begin)
        return min(times)

    assert best(same, same) < 2 * best(apart, x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logaddexp_of_long_arrays_is_numpys(dtype: str) -> None:
    rng = np.random.default_rng(8)
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e30, -1e30, 1e-30, 700.0, -700.0])
    x, y = (np.concatenate([a.ravel(), rng.normal(size=3000) * 9]) for a in np.meshgrid(special, special))
    x, y = x.astype(dtype), y.astype(dtype)
    op: Any = registry.core("logaddexp")
    with np.errstate(invalid="ignore"):
        right = np.logaddexp(x.astype(np.longdouble), y.astype(np.longdouble))
        beside = np.logaddexp(x, x[-1])
    close: dict[str, float] = {"rtol": 8 * np.finfo(dtype).eps, "atol": 2 * np.finfo(dtype).eps}
    found = op.evaluate(x, y)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, right, **close)
    np.testing.assert_allclose(op.evaluate(x, x[-1]), beside, **close)
    write = op.into([Aval(x.shape, dtype), Aval(x.shape, dtype)], ()).write
    for k in (0, 1):
        operands = [x.copy(), y.copy()]
        write(*operands, operands[k])
        assert operands[k].tobytes() == found.tobytes()
