"""Jacobians and Hessians by the structure of unit seeds: that it is kept, and that it changes nothing.

Answers are compared with NumPy's own values by the complex step (exact to rounding), and with the sweep over all seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.derive import Job, at_once, diagnose, prepare
from engine.execute.meter import Meter
from engine.op import registry
from engine.structured import symmetric
from engine.structured.symmetric import Mirrored
from tests.engine.helpers import ask, difference, near, plain, request
from tests.engine.subgraphs import graph, sub

N = 24


def v(n: int = N, start: float = 0.2) -> np.ndarray:
    """Numbers of both signs, no two alike."""
    return np.sin(start + 1.3 * np.arange(n)) + 0.05 * np.arange(n) / n


def m(rows: int, columns: int, start: float = 0.7) -> np.ndarray:
    return v(rows * columns, start).reshape(rows, columns) / np.sqrt(columns)


A, B, C = m(N, N), m(N, N, 0.1), m(N + 9, N)


@pytest.fixture(autouse=True)
def _for_any_number_of_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "FEWEST_SEEDS", 1)


class F(NamedTuple):
    """A program in x, the same in NumPy, and whether the result is laid out without a whole array of seeds."""

    text: str
    f: Callable[[Any], Any]
    more: Mapping[str, Any] = {}
    x: np.ndarray = v()


def softmax(x: Any) -> Any:
    e = np.exp(x - x.real.max())
    return e / e.sum()


VECTORS = {
    "elementwise": F("sin(x)*x + exp(-x)/2.0", lambda x: np.sin(x) * x + np.exp(-x) / 2),
    "a band": F("(3.0 - 2.0*x[1:-1])*x[1:-1] - x[:-2] - 2.0*x[2:]", lambda x: (3 - 2 * x[1:-1]) * x[1:-1] - x[:-2] - 2 * x[2:]),
    "steps and turns": F("x[::-1]*x[::1] + flip(x)**2", lambda x: x[::-1] * x + x[::-1] ** 2),
    "halves between": F("concat([x, x/2, x + sum(x), 3*x/4])", lambda x: np.concatenate([x, x / 2, x + x.sum(), 3 * x / 4])),
    "every second": F("x[::2]*x[1::2]", lambda x: x[::2] * x[1::2]),
    "parts joined": F("concat([x[12:]**2, x[:12]*x[12:], x])", lambda x: np.concatenate([x[12:] ** 2, x[:12] * x[12:], x])),
    "stacked and summed": F("sum(stack([x, x**2, roll(x, 1)]), axis=0)", lambda x: x + x**2 + np.roll(x, 1)),
    "a matrix": F("tanh(A @ x)", lambda x: np.tanh(A @ x), {"A": A}),
    "a matrix from the right": F("sin(x @ A)*x", lambda x: np.sin(x @ A) * x, {"A": A}),
    "a matrix of functions": F("A @ tanh(x) - x", lambda x: A @ np.tanh(x) - x, {"A": A}),
    "part of a matrix": F("C[:, 2:20] @ x[4:22]", lambda x: C[:, 2:20] @ x[4:22], {"C": C}),
    "more rows": F("tanh(C @ x)", lambda x: np.tanh(C @ x), {"C": C}),
    "two layers": F("B @ tanh(A @ x)", lambda x: B @ np.tanh(A @ x), {"A": A, "B": B}),
    "two matrices": F("(A @ x)*(B @ x)", lambda x: (A @ x) * (B @ x), {"A": A, "B": B}),
    "softmax": F("softmax(A @ x)", lambda x: softmax(A @ x), {"A": A}),
    "a norm": F("x/sqrt(sum(x**2))", lambda x: x / np.sqrt(np.sum(x**2))),
    "a mean": F("x*mean(x) + var(x)", lambda x: x * x.mean() + np.mean((x - x.mean()) ** 2)),
    "an arrow": F("x*x[0] + concat([sum(x, keepdims=True), x[1:]*0.0])", lambda x: x * x[0] + np.r_[x.sum(), x[1:] * 0]),
    "cumulative sums": F("cumsum(x**2)", lambda x: np.cumsum(x**2)),
    "a choice": F("where(x > 0.1, x**2, sin(x))", lambda x: np.where(x.real > 0.1, x**2, np.sin(x))),
    "a stencil on a grid": F(
        "reshape(x, [4, 6])[1:-1, 1:-1]*4.0 - reshape(x, [4, 6])[:-2, 1:-1]",
        lambda x: x.reshape(4, 6)[1:-1, 1:-1] * 4 - x.reshape(4, 6)[:-2, 1:-1],
    ),
    "sums of rows": F("sum(reshape(x, [6, 4])**2, axis=1)", lambda x: (x.reshape(6, 4) ** 2).sum(1)),
    "sums of columns": F("sum(reshape(x, [6, 4])**2, axis=0)*x[:4]", lambda x: (x.reshape(6, 4) ** 2).sum(0) * x[:4]),
    "rows weighted": F("(x[:, None]*A).sum(0)*x", lambda x: (x[:, None] * A).sum(0) * x, {"A": A}),
    "a product of matrices": F(
        "reshape(x, [4, 6]) @ A[:6, :5]", lambda x: x.reshape(4, 6) @ A[:6, :5], {"A": A}
    ),
    "a product of matrices from the left": F(
        "A[:5, :4] @ reshape(x, [4, 6])", lambda x: A[:5, :4] @ x.reshape(4, 6), {"A": A}
    ),
    "gathered": F("take(x, [3, 3, 0, 7, 23])*2.0", lambda x: x[[3, 3, 0, 7, 23]] * 2),
    "gathered and multiplied": F("C[:, :5] @ take(x, [3, 3, 0, 7, 23])", lambda x: C[:, :5] @ x[[3, 3, 0, 7, 23]], {"C": C}),
    "a difference": F("diff(x)*diff(x**2)", lambda x: np.diff(x) * np.diff(x**2)),
    "convolved": F("convolve(x, x[:3])", lambda x: np.convolve(x, x[:3])),
    "one entry": F("concat([x[3:4]/2.0, x, x[:1]/2.0])", lambda x: np.concatenate([x[3:4] / 2, x, x[:1] / 2])),
    "a loop": F("y = x\nfor i in range(3):\n    y = y - 0.1*sin(y)*x\ny", lambda x: _relaxed(x)),
    "solved": F("solve(A + 3.0*eye(24), x**2)", lambda x: np.linalg.solve(A + 3 * np.eye(N), x**2), {"A": A}),
    "nothing of x": F("x.shape[0]*A[0]", lambda x: 0 * x, {"A": A}),
}  # fmt: skip

SCALARS = {
    "Rosenbrock": F(
        "sum(100.0*(x[1:] - x[:-1]**2)**2 + (1.0 - x[:-1])**2)",
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    ),
    "separable": F("sum(x**4 - 16.0*x**2 + 5.0*x)/2.0", lambda x: np.sum(x**4 - 16 * x**2 + 5 * x) / 2),
    "logsumexp": F("logsumexp(A @ x) + 0.5*sum(x**2)", lambda x: np.log(np.sum(np.exp(A @ x))) + 0.5 * np.sum(x**2), {"A": A}),
    "a quadratic form": F("x @ A @ x", lambda x: x @ A @ x, {"A": A}),
    "least squares": F("sum((C @ x - b)**2)", lambda x: np.sum((C @ x - v(N + 9)) ** 2), {"C": C, "b": v(N + 9)}),
    "logistic": F("sum(log(1.0 + exp(A @ x)))", lambda x: np.sum(np.log(1 + np.exp(A @ x))), {"A": A}),
    "an arrow": F("x[0]*sum(x**2) + sum(x)**2", lambda x: x[0] * np.sum(x**2) + np.sum(x) ** 2),
    "a radius": F("sqrt(1.0 + sum(x**2))**3", lambda x: np.sqrt(1 + np.sum(x**2)) ** 3),
    "layers": F("sum(tanh(A @ tanh(B @ x)))", lambda x: np.sum(np.tanh(A @ np.tanh(B @ x))), {"A": A, "B": B}),
    "second differences": F(
        "sum((x[2:] - 2.0*x[1:-1] + x[:-2])**2 + sin(x[1:-1]*x[2:]))",
        lambda x: np.sum((x[2:] - 2 * x[1:-1] + x[:-2]) ** 2 + np.sin(x[1:-1] * x[2:])),
    ),
    "a product": F("prod(2.0 + x)", lambda x: np.prod(2 + x)),
    "linear": F("sum(A @ x)", lambda x: np.sum(A @ x), {"A": A}),
}  # fmt: skip


def _relaxed(x: Any) -> Any:
    y = x
    for _ in range(3):
        y = y - 0.1 * np.sin(y) * x
    return y


def complex_step(f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Jacobian of f, to rounding."""
    columns = [np.imag(f(x + 1e-30j * e)) / 1e-30 for e in np.eye(len(x))]
    return np.stack(columns, axis=-1)


def job_of(verb: str, case: F, **fields: Any) -> Any:
    return prepare(verb, request(case.text, {**case.more, "x": case.x}, wrt=["x"], nodes="none", **fields))


def only(blocks: Mapping[str, Any]) -> np.ndarray:
    ((row,),) = ([*blocks.values()],)
    ((block,),) = ([*row.values()],)
    return np.asarray(block)


def swept(job: Any, verb: str) -> np.ndarray:
    """The answer of the sweep over all seeds."""
    job.at_once = None
    return only(job.run(Meter())[verb])


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("name", VECTORS)
def test_jacobians(name: str, mode: str) -> None:
    case = VECTORS[name]
    job = job_of("jacobian", case, mode=mode)
    found = only(job.run(Meter())["jacobian"])
    expected = complex_step(case.f, case.x)
    near(found, expected, rtol=1e-11, atol=1e-11)
    near(found, swept(job, "jacobian"), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("name", SCALARS)
def test_hessians(name: str, mode: str) -> None:
    case = SCALARS[name]
    job = job_of("hessian", case, mode=mode)
    found = only(job.run(Meter())["hessian"])
    expected = difference(lambda x: complex_step(case.f, x), case.x)
    near(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max() + 1e-9)
    near(found, swept(job, "hessian"), rtol=1e-12, atol=1e-12 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", SCALARS)
def test_halves_of_hessians(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products at the end, of which one half is computed."""
    monkeypatch.setattr(symmetric, "WORTH", 1.0)
    case = SCALARS[name]
    job = job_of("hessian", case, mode=mode)
    halved = any(isinstance(part, Mirrored) for part in job.at_once.structured.parts)
    assert halved or mode == "forward" or name not in ("logsumexp", "least squares", "logistic", "layers")
    found = only(job.run(Meter())["hessian"])
    near(found, swept(job, "hessian"), rtol=1e-12, atol=1e-12 * max(1.0, np.abs(found).max()))


def test_what_need_not_be_symmetric_is_computed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a given rule that is no function's derivative: q(p) = p, said to have the Jacobian diag(p) L, L of ones below."""
    monkeypatch.setattr(symmetric, "WORTH", 1.0)
    rule = sub("x c", "d", s=("cumsum", "c", {"axis": 0}), d=("multiply", "x", "s"))
    given = {"body": sub("x", "y", y=("identity", "x")), "jvp": rule}
    program = graph("x A", "r", p=("matmul", "A", "x"), y=("custom_jvp", "p", given), r=("sum", "y"))
    found = ask("hessian", program, {"x": v(), "A": A}, wrt=["x"], nodes="none")["hessian"]["x"]["x"]
    near(found, A.T @ np.tril(np.ones((N, N))).T @ A, rtol=1e-12, atol=1e-12)
    assert np.abs(found - found.T).max() > 0.1


KEPT = {
    ("jacobian", "elementwise"): (N, 0),
    ("jacobian", "a band"): (N, 0),
    ("jacobian", "parts joined"): (3 * N, 0),
    ("jacobian", "an arrow"): (N, 0),
    ("jacobian", "a norm"): (N, 0),
    ("jacobian", "a matrix"): (N * N, 2 * N * N),
    ("jacobian", "softmax"): (N * N, 8 * N * N),
    ("hessian", "Rosenbrock"): (N, 0),
    ("hessian", "separable"): (N, 0),
    ("hessian", "an arrow"): (N, 0),
    ("hessian", "a radius"): (N, 0),
    ("hessian", "a quadratic form"): (N * N, 3 * N * N),
}
"""Programs, the largest array on the way, and floating-point operations of products of matrices, at most."""


@pytest.mark.parametrize(("verb", "name"), KEPT)
def test_structure_is_kept(verb: str, name: str) -> None:
    """No array of all seeds where there need not be one, and no product of matrices by a diagonal."""
    job: Any = job_of(verb, (VECTORS if verb == "jacobian" else SCALARS)[name])
    largest, products = KEPT[verb, name]
    graph = job.at_once.graph
    sizes = [graph.nodes[i].aval.size for i, _ in graph.schedule]
    assert max(sizes) <= largest
    matmul = registry.core("matmul")
    for node in (graph.nodes[i] for i, _ in graph.schedule):
        if node.op is matmul:
            operands = [graph.nodes[j].aval for j in node.inputs]
            products -= node.op.flops(operands, node.aval)
    assert products >= 0


def test_it_is_taken_instead_of_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb, case in (("jacobian", VECTORS["a matrix"]), ("hessian", SCALARS["Rosenbrock"])):
        job: Any = job_of(verb, case)

        def never(meter: Meter) -> Any:
            raise AssertionError("a sweep over all seeds")

        monkeypatch.setattr(job, "_sweep_all", never, raising=False)
        job.run(Meter())


def test_few_seeds_are_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert job_of("jacobian", F("sin(x)*x[0]", np.sin, x=v(4))).at_once is None


def test_several_outputs_and_inputs() -> None:
    text = "p = tanh(A @ x) * y\nq = x * y[0] + sum(y)\nr = concat([x[:3], y])\np\nq\nr"
    inputs = {"A": A, "x": v(), "y": v(N, 0.9)}
    fields = {"wrt": ["x", "y"], "of": ["p", "q", "r"], "nodes": "none"}
    for mode in ("forward", "reverse"):
        job: Any = prepare("jacobian", request(text, inputs, mode=mode, **fields))
        assert job.at_once is not None
        found = plain(job.run(Meter()))["jacobian"]
        job.at_once = None
        near(found, plain(job.run(Meter()))["jacobian"], rtol=1e-13, atol=1e-13)
        x, y = inputs["x"], inputs["y"]
        near(found["p"]["y"], np.diag(np.tanh(A @ x)), atol=1e-15)
        near(found["q"]["y"], np.outer(x, np.eye(N)[0]) + 1.0)
        near(found["r"]["x"], np.vstack([np.eye(N)[:3], np.zeros((N, N))]))
        near(found["q"]["x"], y[0] * np.eye(N))


def test_hessians_by_blocks() -> None:
    text = "sum(x**2*y) + sum(A @ x)*sum(y)"
    inputs = {"A": A, "x": v(), "y": v(N, 0.9)}
    job: Any = prepare("hessian", request(text, inputs, wrt=["x", "y"], nodes="none"))
    assert job.at_once is not None
    found = plain(job.run(Meter()))["hessian"]
    cross = 2 * np.diag(inputs["x"]) + np.outer(A.sum(0), np.ones(N))
    near(found["x"], {"x": 2 * np.diag(inputs["y"]), "y": cross}, rtol=1e-13, atol=1e-13)
    near(found["y"], {"x": cross.T, "y": np.zeros((N, N))}, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", ["a matrix", "a band", "softmax", "an arrow", "a norm"])
def test_maps_over_members(name: str, mode: str) -> None:
    case = VECTORS[name]
    xs = np.stack([case.x, case.x**2, 1.0 + case.x])
    fields = {"wrt": ["x"], "in_axes": {"x": 0}, "nodes": "none", "mode": mode}
    job: Any = prepare("jacobian", request(case.text, {**case.more, "x": xs}, **fields))
    assert job.at_once is not None
    found = only(job.run(Meter())["jacobian"])
    near(found, np.stack([complex_step(case.f, x) for x in xs]), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precisions(dtype: str) -> None:
    case = VECTORS["softmax"]
    job = job_of("jacobian", case, dtype=dtype)
    found = only(job.run(Meter())["jacobian"])
    assert found.dtype == dtype
    near(found.astype(np.float64), complex_step(case.f, case.x), 1e-4 if dtype == "float32" else 1e-12, 1e-6)


# ---------------------------------------------------------------------------------------- infinities, NaN, kinks


AT = {
    "the slope of a root": ("sqrt(x)*x[0]", {"x": np.r_[1.0, 0.0, v(N) ** 2]}),
    "a logarithm of 0": ("where(x > 0.0, log(x), x)", {"x": np.r_[0.0, 2.0, v(N)]}),
    "an infinite factor": ("concat([x[:2]*c, sin(x[2:])])", {"c": np.array([np.inf, 1.0]), "x": v()}),
    "NaN in a matrix": ("tanh(A @ x)", {"A": np.where(A[1, 2] == A, np.nan, A), "x": v()}),
    "overflow": ("x*sum(x)*1e200", {"x": 1e200 * v()}),
    "a kink": ("abs(x) + maximum(x, 0.0)", {"x": np.r_[0.0, v()]}),
    "relu of a product": ("relu(A @ x)*2.0", {"A": np.where(np.arange(N)[:, None] == 3, 0.0, A), "x": v()}),
}


@pytest.mark.parametrize("name", AT)
def test_what_is_not_finite_is_as_by_the_sweep(name: str) -> None:
    """Strong zeros, warnings and all."""
    text, inputs = AT[name]
    job: Any = prepare("jacobian", request(text, inputs, wrt=["x"], nodes="none"))
    assert job.at_once is not None
    found = plain(job.run(Meter()))
    job = prepare("jacobian", request(text, inputs, wrt=["x"], nodes="none"))
    job.at_once = job.seen = None
    expected = plain(job.run(Meter()))
    np.testing.assert_array_equal(only(found["jacobian"]), only(expected["jacobian"]))
    assert found["warnings"] == expected["warnings"] != []


def test_structural_zeros_stay_zero() -> None:
    found = only(ask("jacobian", "sqrt(x)", {"x": np.r_[0.0, 1.0 + v(N) ** 2]})["jacobian"])
    assert np.isinf(found[0, 0])
    assert not found[0, 1:].any()
    assert not found[1:, 0].any()
    assert np.isfinite(found[1:]).all()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("verb", "name"), [("jacobian", "a band"), ("jacobian", "elementwise"), ("hessian", "Rosenbrock")]
)
def test_values_on_the_way_are_looked_at_in_passing(
    verb: str, name: str, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is computed again to see whether all was finite."""

    def again(self: Any) -> Any:
        raise AssertionError("the program was run again")

    case = (VECTORS if verb == "jacobian" else SCALARS)[name]._replace(x=v(1000))
    job: Any = job_of(verb, case, sparse=sparse)
    assert job.seen is not None
    monkeypatch.setattr(diagnose._Again, "values", again)
    assert job.run(Meter())["warnings"] == []


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("verb", ["jacobian", "hessian"])
def test_values_on_the_way_are_told(verb: str, sparse: bool) -> None:
    """Something infinite that leaves no trace in the answer."""
    text = (
        "c = minimum(exp(a), 3.0)\nsum(c*y**2)" if verb == "hessian" else "c = minimum(exp(a), 3.0)\nc*y**2"
    )
    inputs = {"a": np.full(N, 1e3), "y": v()}
    answer = ask(verb, text, inputs, wrt=["y"], nodes="none", sparse=sparse)
    assert [w["kind"] for w in answer["warnings"]] == ["non-finite-value"]
    inputs = {"a": np.full(N, 1.0), "y": v()}
    assert not ask(verb, text, inputs, wrt=["y"], nodes="none", sparse=sparse)["warnings"]


# ------------------------------------------------------------------------------------------------------------ sparse


SPARSE = ("elementwise", "a band", "steps and turns", "every second", "parts joined", "a choice", "gathered",
          "a difference", "sums of rows", "a stencil on a grid")  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("name", SPARSE)
def test_nonzeros_are_terms(name: str, mode: str) -> None:
    case = VECTORS[name]
    job = job_of("jacobian", case, sparse=True, mode=mode)
    assert job.at_once is not None
    answer = plain(job.run(Meter()))["jacobian"]
    ((row,),) = ([*answer.values()],)
    block = row["x"]
    full = np.zeros(block["shape"])
    full[block["row"], block["col"]] = block["data"]
    near(full, complex_step(case.f, case.x).reshape(full.shape), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["Rosenbrock", "separable", "second differences"])
def test_nonzeros_of_hessians_are_terms(name: str) -> None:
    case = SCALARS[name]
    job = job_of("hessian", case, sparse=True)
    assert job.at_once is not None
    block = plain(job.run(Meter()))["hessian"]["x"]["x"]
    full = np.zeros((N, N))
    full[block["row"], block["col"]] = block["data"]
    near(full, only(job_of("hessian", case).run(Meter())["hessian"]), rtol=1e-14, atol=1e-14)


def test_what_is_kept_counts_what_it_holds() -> None:
    """Positions of nonzeros that are not evenly spaced take memory."""
    order = [(7 * k) % 211 for k in range(211)]
    text = f"take(x, {order})*x"
    job: Job = prepare("jacobian", request(text, {"x": v(211)}, nodes="none"))
    less = prepare("jacobian", request("x*x", {"x": v(211)}, nodes="none"))
    assert job.nbytes > less.nbytes + 2 * 8 * 211
