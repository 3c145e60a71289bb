"""Derivatives written out: against SymPy, against the engine's own numbers, and by what a reader expects."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from engine.cost import Limits
from engine.derive import Request
from engine.errors import EngineError, InvalidField, LimitExceeded, UnknownInput, Unsupported
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.spec import read_graph
from engine.symbolic.answer import Options, derivative
from engine.symbolic.orders import derive
from engine.symbolic.size import graph_size
from tests.engine.expressions import expression
from tests.engine.helpers import ask, given, near, program_of

RNG = np.random.default_rng(5)


def written(
    source: Any, inputs: Mapping[str, Any] | None = None, limits: Limits | None = None, **fields: Any
) -> dict[str, Any]:
    """The answer of `derivative`."""
    common = {k: fields.pop(k) for k in ("of", "wrt", "dtype") if k in fields}
    if "wrt" in common:
        common["wrt"] = tuple(common["wrt"])
    given_inputs = {k: given(v) for k, v in (inputs or {}).items()}
    request = Request(program_of(source, inputs), given_inputs, **common)
    return derivative(request, Options(**fields), limits or Limits(), Meter())


def texts(source: Any, inputs: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, str]:
    """The texts by key."""
    answer = written(source, inputs, formats=("expression",), **fields)
    return {k: d["expression"] for k, d in answer["derivatives"].items()}


def posted(program: Any, inputs: Mapping[str, Any]) -> Any:
    """The value of a text or a graph that was answered."""
    read = parse_text(program, inputs=list(inputs)) if isinstance(program, str) else read_graph(program)
    answer = ask("evaluate", read, {n: inputs[n] for n in read.input_ids})
    return answer["outputs"][answer["output_ids"][0]]


# ------------------------------------------------------------------------------------------------------- against SymPy


def symbolic(text: str, names: list[str]) -> tuple[sympy.Expr, list[sympy.Symbol]]:
    """A text of ours as SymPy reads it."""
    symbols = [sympy.Symbol(n, real=True) for n in names]
    known: dict[str, Any] = dict(zip(names, symbols, strict=True))
    known["sigmoid"] = lambda u: 1 / (1 + sympy.exp(-u))
    *before, last = text.split("\n")
    for statement in before:
        name, value = statement.split(" = ", 1)
        known[name] = sympy.sympify(value, locals=known)
    return sympy.sympify(last, locals=known), symbols


def same(ours: sympy.Expr, theirs: sympy.Expr, symbols: list[sympy.Symbol], seed: int) -> bool:
    """Whether two expressions agree at random points, to 12 of 40 digits."""
    rng = random.Random(seed)
    with mpmath.workdps(40):
        f, g = (sympy.lambdify(symbols, e, "mpmath") for e in (ours, theirs))
        for _ in range(4):
            point = [mpmath.mpf(rng.uniform(-2, 2)) for _ in symbols]
            a, b = f(*point), g(*point)
            if abs(a - b) > mpmath.mpf("1e-12") * max(abs(b), mpmath.mpf("1e-6")):
                return False
    return True


@pytest.mark.parametrize("seed", range(100))
def test_sympy_agrees(seed: int) -> None:
    text = expression(seed)
    names = parse_text(text).input_ids
    f, symbols = symbolic(text, list(names))
    for order in (1, 2, 3) if seed % 5 == 0 else (1,):
        for name, found in texts(text, order=order).items():
            ours, _ = symbolic(found, list(names))
            x = symbols[names.index(name)]
            assert same(ours, sympy.diff(f, x, order), symbols, seed), (text, name, order, found)
    if seed % 3 == 1 and len(names) > 1:
        by = [names[0], names[1], names[0]]
        ((_, found),) = texts(text, wrt=by, mixed=True).items()
        ours, _ = symbolic(found, list(names))
        theirs = sympy.diff(f, *[symbols[names.index(n)] for n in by])
        assert same(ours, theirs, symbols, seed), (text, by, found)


def test_derivatives_are_about_as_short_as_those_of_sympy() -> None:
    ratios = []
    for seed in range(100):
        text = expression(seed)
        names = list(parse_text(text).input_ids)
        f, symbols = symbolic(text, names)
        for name, found in texts(text).items():
            ours, _ = symbolic(found, names)
            theirs = sympy.diff(f, symbols[names.index(name)])
            ratios.append((1 + sympy.count_ops(ours)) / (1 + sympy.count_ops(theirs)))
    assert np.mean(ratios) < 1.02
    assert max(ratios) < 1.6


@pytest.mark.parametrize("seed", range(0, 100, 10))
def test_what_is_written_can_be_posted_back(seed: int) -> None:
    text = expression(seed)
    names = list(parse_text(text).input_ids)
    rng = np.random.default_rng(seed)
    at = {n: float(rng.uniform(0.2, 1.5)) for n in names}
    first, second = ask("grad", text, at)["gradients"], ask("hessian", text, at)["hessian"]
    for name, one in written(text)["derivatives"].items():
        near(posted(one["expression"], at), first[name], 1e-10, 1e-12)
        near(posted(one["graph"], at), first[name], 1e-10, 1e-12)
    for name, one in written(text, order=2)["derivatives"].items():
        near(posted(one["expression"], at), second[name][name], 1e-9, 1e-11)
    a, b = names[0], names[-1]
    ((key, one),) = written(text, wrt=[a, b], mixed=True)["derivatives"].items()
    assert key == f"{a},{b}"
    near(posted(one["graph"], at), second[a][b], 1e-9, 1e-11)


# ------------------------------------------------------------------------------------------------------ what one expects

READABLE = {
    "x**2*y": {"x": "2*x*y", "y": "x**2"},
    "x**3 + 2*x + 1": {"x": "3*x**2 + 2"},
    "x**n": {"x": "n*x**(n - 1)", "n": "x**n*log(x)"},
    "x*sin(x)": {"x": "sin(x) + x*cos(x)"},
    "sin(x)/x": {"x": "cos(x)/x - sin(x)/x**2"},
    "(x - y)/(x + y)": {"x": "2*y/(x + y)**2", "y": "-2*x/(x + y)**2"},
    "exp(-x**2/2)": {"x": "-x*exp(-x**2/2)"},
    "sin(x**2)": {"x": "2*x*cos(x**2)"},
    "log(x)/x": {"x": "(1 - log(x))/x**2"},
    "sqrt(x)": {"x": "1/(2*sqrt(x))"},
    "1/(1 + exp(-x))": {"x": "exp(-x)/(1 + exp(-x))**2"},
    "sigmoid(x)": {"x": "sigmoid(x)*sigmoid(-x)"},
    "tanh(x)": {"x": "1/cosh(x)**2"},
    "log(1 + exp(x))": {"x": "exp(x)/(1 + exp(x))"},
    "sqrt(x**2 + y**2)": {"x": "x/sqrt(x**2 + y**2)", "y": "y/sqrt(x**2 + y**2)"},
    "erf(x)": {"x": "2*exp(-x**2)/sqrt(pi)"},
    "2**x": {"x": "2**x*log(2)"},
    "abs(x)": {"x": "sign(x)"},
    "relu(x)": {"x": "where(x > 0, 1, 0)"},
    "-(y*log(p) + (1 - y)*log(1 - p))": {"p": "(1 - y)/(1 - p) - y/p"},
    "(1 - x)**2 + 100*(y - x**2)**2": {"y": "200*(y - x**2)"},
    "(1/(1 + exp(-w*x)) - y)**2": {
        "w": "2*x*(1/(1 + exp(-w*x)) - y)*exp(-w*x)/(1 + exp(-w*x))**2",
    },
    "x - x": {"x": "0"},
}


@pytest.mark.parametrize("text", READABLE)
def test_textbook_cases_read_as_in_textbooks(text: str) -> None:
    found = texts(text, wrt=list(READABLE[text]))
    assert found == READABLE[text]


def test_latex_of_the_contract() -> None:
    answer = written("x**2*y", formats=("expression", "latex", "mathml"))
    assert answer["of"] == "t2"
    assert answer["derivatives"]["x"]["expression"] == "2*x*y"
    assert answer["derivatives"]["x"]["latex"] == "2\\,x\\,y"
    assert answer["derivatives"]["x"]["mathml"].startswith("<math")
    assert answer["identifiers"] == {"x": "x", "y": "y"}


SHAPES: dict[str, tuple[int, ...]] = {
    "x": (3,),
    "y": (3,),
    "A": (4, 3),
    "b": (4,),
    "M": (3, 3),
    "X": (4, 3),
    "a": (),
}
ARRAYS = {
    "sum((A @ x - b)**2)": {"x": "2*A.T @ (A @ x - b)", "b": "2*(b - A @ x)", "A": "2*outer(A @ x - b, x)"},
    "mean((x - y)**2)": {"x": "2*(x - y)/3"},
    "x @ M @ x": {"x": "x @ M + x @ M.T", "M": "outer(x, x)"},
    "sum(x*y)": {"x": "y"},
    "logsumexp(x)": {"x": "softmax(x)"},
    "softmax(x)": {"x": "diag(softmax(x)) - softmax(x)*softmax(x)[:, None]"},
    "sqrt(sum(x**2))": {"x": "x/sqrt(sum(x**2))"},
    "x**2 + 1": {"x": "2*diag(x)"},
    "var(x)": {"x": "2*(x - mean(x))/3"},
    "A @ x": {"x": "A"},
    "a*x": {"a": "x", "x": "a*eye(3)"},
    "trace(M @ M)": {"M": "2*M.T"},
    "x - mean(x)": {"x": "eye(3) - 1/3"},
}


@pytest.mark.parametrize("text", ARRAYS)
def test_array_derivatives_read_well_and_are_right(text: str) -> None:
    inputs = {n: RNG.normal(size=SHAPES[n]) for n in parse_text(text).input_ids}
    answer = written(text, inputs, wrt=list(ARRAYS[text]))
    assert {k: d["expression"] for k, d in answer["derivatives"].items()} == ARRAYS[text]
    of = answer["of"]
    expected = ask("jacobian", text, inputs, wrt=list(ARRAYS[text]))["jacobian"][of]
    for name, one in answer["derivatives"].items():
        near(posted(one["expression"], inputs), expected[name], 1e-10, 1e-12)
        near(posted(one["graph"], inputs), expected[name], 1e-10, 1e-12)


SECOND = [
    "sum((A @ x - b)**2)",
    "x @ M @ x",
    "logsumexp(x)",
    "sum(x**4)",
    "prod(x)",
    "sum(tanh(A @ x))",
    "x[0]*sum(exp(x))",
]


@pytest.mark.parametrize("text", SECOND)
def test_hessians_of_arrays(text: str) -> None:
    inputs = {n: RNG.normal(size=SHAPES[n]) for n in parse_text(text).input_ids}
    expected = ask("hessian", text, inputs, wrt=["x"])["hessian"]["x"]["x"]
    one = written(text, inputs, wrt=["x"], order=2)["derivatives"]["x"]
    near(posted(one["expression"], inputs), expected, 1e-9, 1e-11)
    near(posted(one["graph"], inputs), expected, 1e-9, 1e-11)


def test_mixed_derivatives_of_arrays_are_jacobians_of_jacobians() -> None:
    text = "sum(sin(A @ x)*b)"
    inputs = {n: RNG.normal(size=SHAPES[n]) for n in "Axb"}
    expected = ask("hessian", text, inputs, wrt=["A", "x"])["hessian"]["A"]["x"]
    one = written(text, inputs, wrt=["A", "x"], mixed=True)["derivatives"]["A,x"]
    near(posted(one["expression"], inputs), expected, 1e-9, 1e-11)
    assert np.shape(posted(one["graph"], inputs)) == (4, 3, 3)


def test_third_derivatives_of_arrays() -> None:
    x = np.array([0.5, -1.0, 2.0])
    one = written("sum(x**4)", {"x": x}, order=3)["derivatives"]["x"]
    expected = np.zeros((3, 3, 3))
    expected[np.arange(3), np.arange(3), np.arange(3)] = 24 * x
    near(posted(one["expression"], {"x": x}), expected)
    near(posted(one["graph"], {"x": x}), expected)


def test_by_an_intermediate_nothing_is_cut() -> None:
    at = {"x": 0.7, "y": 1.3}
    text = "u = x*y\nv = sin(u)\nu*v"
    first = ask("grad", text, at, wrt=["u", "x"])["gradients"]
    second = ask("hessian", text, at, wrt=["u", "x"])["hessian"]
    for name, found in texts(text, wrt=["u", "x"]).items():
        near(posted(found, at), first[name])
    for name, found in texts(text, wrt=["u", "x"], order=2).items():
        near(posted(found, at), second[name][name])
    ((_, found),) = texts(text, wrt=["u", "x"], mixed=True).items()
    near(posted(found, at), second["u"]["x"])


# --------------------------------------------------------------------------------------------------------------- swell


def chain(n: int) -> str:
    """A program of n steps whose derivative, written out, has 2ⁿ terms."""
    return "\n".join(["v0 = x", *(f"v{k + 1} = sin(v{k})*v{k} + 0.5" for k in range(n))])


def test_no_swell() -> None:
    lengths = [len(texts(chain(n))["x"]) for n in (40, 80, 160)]
    assert lengths[2] - lengths[1] < 2.3 * (lengths[1] - lengths[0])
    nodes = [
        len(written(chain(n), formats=("graph",))["derivatives"]["x"]["graph"]["nodes"]) for n in (100, 200)
    ]
    assert nodes[1] < 2.1 * nodes[0]


def test_a_long_chain_is_written_and_right() -> None:
    text = chain(5000)
    answer = written(text, formats=("expression", "graph"), expression_chars=10**7)["derivatives"]["x"]
    expected = ask("grad", text, {"x": 0.3}, nodes="none", wrt=["x"])["gradients"]["x"]
    near(posted(answer["graph"], {"x": 0.3}), expected, 1e-6)
    assert len(answer["expression"]) < 100 * 5000
    short = written(text, formats=("expression",))
    assert short["derivatives"]["x"]["expression"] is None
    assert short["warnings"][0]["kind"] == "no-expression"


def test_sizes_with_and_without_sharing() -> None:
    from engine.aval import Aval
    from engine.specialize import specialize

    for n in (1, 2, 3, 10, 3000):
        program = parse_text(chain(n))
        typed = specialize(program, {"x": Aval((), "float64")})
        derived = derive(typed, program.outputs[0], [program.index["x"]])
        size = graph_size(derived.graph, derived.graph.outputs[1:])
        assert size.shared < 10 * n
        assert size.log10_expanded >= 0.29 * n
        if n < 4:
            counts: dict[int, int] = {}
            for i, node in enumerate(derived.graph.nodes):
                own = node.op.name not in ("core.input", "core.constant")
                counts[i] = own + sum(counts[j] for j in node.inputs)
            assert size.expanded == counts[derived.graph.outputs[1]]


# --------------------------------------------------------------------------------------------------- loops and the rest

CONTROL: dict[str, dict[str, Any]] = {
    "y = 1.0\nfor i in range(5):\n    y = 0.5*(y + a/y)\ny": {"a": 2.0},
    "y = 1.0\nwhile abs(y*y - a) > 1e-6:\n    y = 0.5*(y + a/y)\ny*c": {"a": 2.0, "c": 3.0},
    "if a > 1:\n    y = a**2\nelse:\n    y = sin(a)\ny*c": {"a": 2.0, "c": 3.0},
    "def f(c, x):\n    return c*x + a, c\nc, ys = scan(f, 1.0, xs)\nc*sum(ys)": {
        "xs": np.array([1.0, 2.0, 3.0]),
        "a": 0.5,
    },
    "def f(i, s):\n    p, q = s\n    return p*q, q + i\nr = fori_loop(0, 3, f, (a, c))\nr[0]*r[1]": {
        "a": 1.5,
        "c": 2.0,
    },
    "def g(x):\n    return x**3\ngrad(g)(a)*a": {"a": 2.0},
    "gammainc(a, c)*a": {"a": 2.0, "c": 1.5},
    "sum(expm(B))": {"B": np.array([[0.1, 0.2], [0.3, 0.4]])},
    "prod(cumprod(xs))": {"xs": np.array([1.0, 2.0, 3.0])},
}


@pytest.mark.parametrize("text", CONTROL)
def test_what_has_no_formula_is_said_by_ops_that_differentiate(text: str) -> None:
    inputs = CONTROL[text]
    expected = ask("grad", text, inputs, wrt=list(inputs))["gradients"]
    for name, one in written(text, inputs, wrt=list(inputs))["derivatives"].items():
        near(posted(one["expression"], inputs), expected[name], 1e-9, 1e-11)
        near(posted(one["graph"], inputs), expected[name], 1e-9, 1e-11)
    first = next(iter(inputs))
    second = ask("hessian", text, inputs, wrt=[first])["hessian"][first][first]
    one = written(text, inputs, wrt=[first], order=2)["derivatives"][first]
    near(posted(one["expression"], inputs), second, 1e-8, 1e-9)
    near(posted(one["graph"], inputs), second, 1e-8, 1e-9)


def test_order_0_is_the_value() -> None:
    assert texts("x**2*y", order=0, wrt=["x"]) == {"x": "x**2*y"}


def test_zero_derivatives_and_constant_programs() -> None:
    assert texts("x + 0*y")["y"] == "0"
    assert texts("x**2", order=3) == {"x": "0"}
    assert texts("y = 2.0\ny", wrt=["y"], of="y") == {"y": "1"}
    assert texts("x", wrt=["x"]) == {"x": "1"}
    near(posted(texts("x", {"x": np.ones(2)})["x"], {}), np.eye(2))
    near(posted(texts("0*x", {"x": np.ones(2)})["x"], {}), np.zeros((2, 2)))
    assert written("3*2")["derivatives"] == {}


def test_integer_inputs_have_no_derivative_and_stay() -> None:
    text = "x[k]**2"
    one = written(text, {"x": np.array([1.0, 2.0, 3.0]), "k": 1})["derivatives"]
    assert list(one) == ["x"]
    near(posted(one["x"]["graph"], {"x": np.array([1.0, 2.0, 3.0]), "k": 1}), np.array([0.0, 4.0, 0.0]))


def test_float32_programs_have_numbers_of_single_precision() -> None:
    assert texts("0.1*x", dtype="float32") == {"x": "0.1"}


def test_ids_that_are_no_names_are_mapped() -> None:
    graph = {
        "nodes": [
            {"id": "my id", "op": "input"},
            {"id": "lambda", "op": "input"},
            {"id": "f", "op": "multiply", "inputs": ["my id", "lambda"]},
            {"id": "g", "op": "multiply", "inputs": ["f", "my id"]},
        ]
    }
    answer = written(graph)
    ids = answer["identifiers"]
    assert answer["derivatives"]["my id"]["expression"] == f"2*{ids['lambda']}*{ids['my id']}"
    near(posted(answer["derivatives"]["my id"]["graph"], {"my id": 2.0, "lambda": 3.0}), 12.0)


def test_inputs_that_are_called_as_constants() -> None:
    graph = {"nodes": [{"id": "e", "op": "input"}, {"id": "y", "op": "exp", "inputs": ["e"]}]}
    answer = written(graph)["derivatives"]["e"]
    assert answer["expression"] == "exp(e)"
    near(posted(answer["expression"], {"e": 2.0}), np.exp(2.0))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"order": 11}, LimitExceeded),
        ({"mixed": True}, InvalidField),
        ({"mixed": True, "wrt": ["x", "x"], "order": 3}, InvalidField),
        ({"wrt": ["x", "x"]}, InvalidField),
        ({"wrt": ["q"]}, EngineError),
        ({"formats": ("onnx",)}, Unsupported),
        ({"limits": Limits(derivative_nodes=3)}, LimitExceeded),
        ({"limits": Limits(response_elements=3)}, LimitExceeded),
    ],
)
def test_what_is_refused(fields: dict[str, Any], error: type[EngineError]) -> None:
    with pytest.raises(error):
        written("x**2*y", **fields)


def test_inputs_that_are_none_are_refused() -> None:
    with pytest.raises(EngineError) as caught:
        written(parse_text("x**2"), {"z": 1.0})
    assert isinstance(getattr(caught.value, "errors", [caught.value])[0], UnknownInput)


def test_jacobians_over_the_limit_are_refused_before_they_are_written() -> None:
    with pytest.raises(LimitExceeded):
        written("x**2", {"x": np.zeros(5000)}, limits=Limits(elements=10**6))


def test_a_branch_that_is_not_taken_needs_no_derivative() -> None:
    for text in ("where(x > 0, sqrt(x), 0)", "where(x > 0, log(x)*y, x)", "sin(where(x > 0, sqrt(x), 0))"):
        at = {n: -2.0 if n == "x" else 3.0 for n in parse_text(text).input_ids}
        expected = ask("grad", text, at)["gradients"]
        for name, found in texts(text).items():
            near(posted(found, at), expected[name])


@pytest.mark.parametrize(
    "text", ["logsumexp(logsumexp(v, axis=-1))", "sum(tanh(logsumexp(v, axis=-1) - v[..., 0]))"]
)
@pytest.mark.parametrize("shape", [(2, 1, 2), (2, 2), (1, 3), (3, 1)])
def test_what_cancels_keeps_its_shape(text: str, shape: tuple[int, ...]) -> None:
    inputs = {"v": np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)}
    hessian = ask("hessian", text, inputs)["hessian"]["v"]["v"]
    one = written(text, inputs, wrt=["v"], order=2)["derivatives"]["v"]
    near(posted(one["expression"], inputs), hessian, 1e-10, 1e-12)
    near(posted(one["graph"], inputs), hessian, 1e-10, 1e-12)


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 1), (2, 1, 2), (3, 1, 1), (1, 1)])
@pytest.mark.parametrize(
    "text", ["sum(tanh(x + v))**2", "sum(x*v)**2", "tanh(sum(v) + sum(tanh(x*v), axis=0)[..., 0])"]
)
def test_sums_over_axes_of_one_entry(text: str, shape: tuple[int, ...]) -> None:
    inputs = {"x": 0.5, "v": np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)}
    if len(shape) == 1:
        text = text.replace("[..., 0]", "")
    text = f"sum({text})"
    hessian = ask("hessian", text, inputs)["hessian"]
    for name, one in written(text, inputs, wrt=["x"], order=2)["derivatives"].items():
        near(posted(one["expression"], inputs), hessian[name][name], 1e-10, 1e-12)
