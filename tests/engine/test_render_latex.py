"""Formulas: what they look like, that they mean what the program means, and that no id can become a command."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from engine import ops  # noqa: F401  # fills the registry
from engine.language import parse_text
from engine.op import check_attrs, registry
from engine.program import CONSTANT, INPUT, ITEM, NON_FINITE, Literal, Program, Step
from engine.render.boxes import GREEK, latex_of, mathml_of
from engine.render.expression import number
from engine.render.latex import MAX_STEPS, TEMPLATES, op_latex, program_latex, program_mathml
from engine.render.names import LONGEST_NAME, Names, name_box
from engine.render.template import pattern_of
from engine.spec import read_graph

MATHML = "{http://www.w3.org/1998/Math/MathML}"


def latex(text: str) -> str:
    found = program_latex(parse_text(text))
    assert found is not None
    return found


# -------------------------------------------------------------------------------------------------- how it looks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(x + y) * z", r"\left(x + y\right)\,z"),
        ("z * (x + y)", r"z \cdot \left(x + y\right)"),
        ("x", "x"),
        ("f = x", "f = x"),
        ("p = x + y\nf = p * z", r"\begin{aligned} p &= x + y \\ f &= p\,z \end{aligned}"),
        ("sum(r**2), r", r"\begin{aligned} r \\ t_{2} &= \sum r^{2} \end{aligned}"),
        ("unused = x * 2\nx + 1", "x + 1"),
        ("k = 2.5\nk * x", r"\begin{aligned} k &= 2.5 \\ t_{1} &= k\,x \end{aligned}"),
        # precedence
        ("x - (y - z)", r"x - \left(y - z\right)"),
        ("x - y - z", "x - y - z"),
        ("x + (y + z)", "x + y + z"),
        ("x - (y + z)", r"x - \left(y + z\right)"),
        ("x * (y * z)", r"x\,y\,z"),
        ("-x + -y", r"-x + \left(-y\right)"),
        ("-(x + y)", r"-\left(x + y\right)"),
        ("-x * y", r"-x\,y"),
        ("x * -y", r"x \cdot \left(-y\right)"),
        ("x - -2", r"x - \left(-2\right)"),
        ("-x**2", "-x^{2}"),
        ("(-x)**2", r"\left(-x\right)^{2}"),
        ("(x**2)**3", r"\left(x^{2}\right)^{3}"),
        ("x**y**z", "x^{y^{z}}"),
        ("(x / y)**2", r"\left(\frac{x}{y}\right)^{2}"),
        ("(x + 1) / (y - 1)", r"\frac{x + 1}{y - 1}"),
        ("abs(x)**2", r"\left|x\right|^{2}"),
        ("(x < y) & ~(y < z) | b", r"x < y \land \lnot\left(y < z\right) \lor b"),
        ("(x % y) + z", r"\left(x \bmod y\right) + z"),
        # products
        ("2 * x", r"2\,x"),
        ("x * 2", r"x \cdot 2"),
        ("3 * (x / 2)", r"3 \cdot \frac{x}{2}"),
        ("A @ x * y", r"\left(A\,x\right)\,y"),
        ("np.cross(a, np.cross(b, c))", r"a \times \left(b \times c\right)"),
        # functions
        ("sin(x)", r"\sin x"),
        ("sin(x + y)", r"\sin\left(x + y\right)"),
        ("sin(2 * x)", r"\sin\left(2\,x\right)"),
        ("sin(x / 2)", r"\sin \frac{x}{2}"),
        ("sin(sin(x))", r"\sin\left(\sin x\right)"),
        ("sin(x) * y", r"\sin\left(x\right)\,y"),
        ("y * sin(x)", r"y \sin x"),
        ("sin(x) + y", r"\sin x + y"),
        ("sin(x)**2", r"\left(\sin x\right)^{2}"),
        ("sin(-x)", r"\sin\left(-x\right)"),
        ("exp(x)**2", r"\left(e^{x}\right)^{2}"),
        ("sum(x) * y", r"\left(\sum x\right)\,y"),
        ("sum(x * y) + z", r"\sum x\,y + z"),
        ("sum(x + y)", r"\sum\left(x + y\right)"),
        ("sum(x, axis=0, keepdims=True)", r"\sum_{\mathrm{axis} = 0} x"),
        ("softmax(x, axis=0)", r"\operatorname{softmax}_{\mathrm{axis} = 0}\left(x\right)"),
        ("logsumexp(x, axis=0)", r"\operatorname{logsumexp}\left(x, \mathrm{axis} = 0\right)"),
        ("np.linalg.norm(x, 1)", r"\left\|x\right\|_{\mathrm{ord} = 1}"),
        ("np.clip(x, None, 1)", r"\operatorname{clip}\left(x, \mathrm{max} = 1\right)"),
        ("np.transpose(x)", r"x^{\top}"),
        (
            "np.transpose(x, (1, 0, 2))",
            r"\operatorname{permute\_dims}\left(x, \mathrm{axes} = \left(1, 0, 2\right)\right)",
        ),
        ("x.reshape(2, 3)", "x"),
        ("[x, 2 * y]", r"\left[x, 2\,y\right]"),
        ("where(x > 0, x, -x)", r"\begin{cases} x & x > 0 \\ -x & \text{else} \end{cases}"),
        (
            "where(x > 0, x, 0) + 1",
            r"\left(\begin{cases} x & x > 0 \\ 0 & \text{else} \end{cases}\right) + 1",
        ),
        # indices
        ("x[0]", "x_{0}"),
        ("x[0]**2", "x_{0}^{2}"),
        ("x1[0]", r"x_{1}\left[0\right]"),
        ("(x + y)[0]", r"\left(x + y\right)_{0}"),
        ("x[1:, ::-2, ..., None, [2, 0]]", r"x_{1:, ::-2, \ldots, \mathrm{new}, \left[2, 0\right]}"),
        ("x[0] * x[0]", r"x_{0}\,x_{0}"),
        # numbers
        ("1e-7 * x", r"10^{-7}\,x"),
        ("x * 1.5e-7", r"x \cdot 1.5 \cdot 10^{-7}"),
        ("2 * pi * x", r"2\,\pi\,x"),
        ("x / inf", r"\frac{x}{\infty}"),
        ("A @ np.array([[1, 2], [3, 4]])", r"A\,\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    found = latex(text)
    assert found.replace("} x", "}x") == expected.replace("} x", "}x")


def test_shared_nodes_are_definitions_and_single_ones_are_not() -> None:
    assert latex("(x + y) * (x + y)") == r"\left(x + y\right)\,\left(x + y\right)"
    graph = {
        "nodes": [
            {"id": "x", "op": "input"},
            {"id": "t1", "op": "sin", "inputs": ["x"]},
            {"id": "t2", "op": "cos", "inputs": ["t1"]},
            {"id": "t3", "op": "multiply", "inputs": ["t2", "t2"]},
            {"id": "s", "op": "sum", "inputs": ["t3"]},
        ]
    }
    # Ids like t1 say nothing, so in a graph, too, such nodes are written where they are used.
    assert program_latex(read_graph(graph)) == (
        r"\begin{aligned} t_{2} &= \cos\left(\sin x\right) \\ s &= \sum t_{2}\,t_{2} \end{aligned}"
    )


def test_several_results() -> None:
    assert latex("a, b = np.split(x, 2)\na * b") == (
        r"\begin{aligned} \left(a, b, \ldots\right) &= "
        r"\operatorname{split}_{\mathrm{indices\_or\_sections} = 2} x \\ t_{2} &= a\,b \end{aligned}"
    ).replace("t_{2}", f"t_{{{parse_text('a, b = np.split(x, 2)' + chr(10) + 'a * b').output_ids[0][1:]}}}")
    assert latex("np.split(x, 2)[1] * 3") == (
        r"{\operatorname{split}_{\mathrm{indices\_or\_sections} = 2}\left(x\right)}_{1} \cdot 3"
    )


def body(*nodes: dict[str, Any], inputs: list[str], output: str) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": [output], "nodes": list(nodes)}


def test_loops_and_choices() -> None:
    half = {"id": "h", "op": "multiply", "inputs": [0.5, "u"]}
    step = body(
        {"id": "q", "op": "divide", "inputs": ["a", "y"]},
        {"id": "u", "op": "add", "inputs": ["y", "q"]},
        half,
        inputs=["i", "y", "a"],
        output="h",
    )
    loop = [
        {"id": "a", "op": "input"},
        {"id": "l", "op": "fori_loop", "inputs": ["a", "a"], "attrs": {"stop": 20, "carry": 1, "body": step}},
        {"id": "r", "op": "item", "inputs": ["l"]},
    ]
    loop[2]["attrs"] = {"index": 0}
    assert program_latex(read_graph({"nodes": loop})) == (
        r"r = \operatorname{fori\_loop}\left(a, a, \mathrm{stop} = 20, \mathrm{body} = \left(i, y, a\right) \mapsto "
        r"0.5\,\left(y + \frac{a}{y}\right)\right)"
    )
    long = body(
        *({"id": f"t{k}", "op": "sin", "inputs": [f"t{k - 1}"]} for k in range(1, 100)),
        inputs=["t0"],
        output="t99",
    )
    loop[1] = {"id": "l", "op": "fori_loop", "inputs": ["a"], "attrs": {"stop": 20, "carry": 1, "body": long}}
    assert r"\left(t_{0}\right) \mapsto \ldots" not in (
        found := program_latex(read_graph({"nodes": loop})) or ""
    )
    assert r"t_{0} \mapsto \ldots" in found
    choice = [
        {"id": "x", "op": "input"},
        {"id": "t1", "op": "greater", "inputs": ["x", 0]},
        {
            "id": "t2",
            "op": "cond",
            "inputs": ["t1", "x"],
            "attrs": {
                "then": body({"id": "h", "op": "sqrt", "inputs": ["v"]}, inputs=["v"], output="h"),
                "else": body({"id": "h", "op": "negative", "inputs": ["v"]}, inputs=["v"], output="h"),
            },
        },
        {"id": "t3", "op": "item", "inputs": ["t2"], "attrs": {"index": 0}},
    ]
    assert program_latex(read_graph({"nodes": choice})) == (
        r"\begin{cases} \sqrt{x} & x > 0 \\ -x & \text{else} \end{cases}"
    )


# -------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3.0, "3"),
        (-3, "-3"),
        (0.1, "0.1"),
        (1e-7, "10^{-7}"),
        (-2.5e-8, r"-2.5 \cdot 10^{-8}"),
        (1e22, "10^{22}"),
        (6.02214076e23, r"6.02214076 \cdot 10^{23}"),
        (123456789.0, "123456789"),
        (float("inf"), r"\infty"),
        (-float("inf"), r"-\infty"),
        (float("nan"), r"\mathrm{NaN}"),
        (True, r"\mathrm{true}"),
        (5e-324, r"5 \cdot 10^{-324}"),
    ],
)
def test_numbers(value: float, expected: str) -> None:
    assert latex_of(number(value).box) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back(x: float) -> None:
    text = (
        latex_of(number(x).box)
        .replace(r" \cdot 10^", "e")
        .replace("10^", "1e")
        .translate({123: None, 125: None})
    )
    assert float(text) == x


# ---------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", "x"),
        ("W", "W"),
        ("w_1", "w_{1}"),
        ("x12", "x_{12}"),
        ("loss", r"\mathrm{loss}"),
        ("loss2", r"\mathrm{loss}_{2}"),
        ("W_out", r"W_{\mathrm{out}}"),
        ("W_h_1", "W_{h, 1}"),
        ("theta", r"\theta"),
        ("θ", r"\theta"),
        ("lambda_", r"\lambda"),
        ("lam", r"\lambda"),
        ("sigma_x", r"\sigma_{x}"),
        ("x_theta", r"x_{\theta}"),
        ("Omega3", r"\Omega_{3}"),
        ("conv2d", r"\mathrm{conv2d}"),
        ("x_", "x"),
        ("_", r"\text{\_}"),
        ("a b", r"\text{a\ b}"),
        ("é", r"\text{é}"),
        ("我", r"\text{我}"),
        ("😀", r"\text{U+1F600}"),
        ("x'", r"\text{x'{}}"),
        (r"\input{x}", r"\text{\textbackslash{}input\{x\}}"),
        ("$#%&~^_{}", r"\text{\$\#\%\&\textasciitilde{}\textasciicircum{}\_\{\}}"),
        ("a--b", r"\text{a-{}-{}b}"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert latex_of(name_box(name)) == expected


def test_no_two_names_look_alike() -> None:
    names = Names()
    ids = [
        "x_1",
        "x1",
        "x1_",
        "lam",
        "lambda",
        "λ",
        "y" * 100,
        "y" * 90 + "z" + "y" * 9,
        "y" * 89 + "z" + "y" * 10,
    ]
    shown = [latex_of(names.symbol(name).box) for name in ids]
    assert len(set(shown)) == len(ids)
    assert shown[0] == "x_{1}"
    assert shown == [latex_of(names.symbol(name).box) for name in ids]
    # In a program in which eˣ occurs, a node called e is no e.
    assert program_latex(parse_text("e + exp(x)", inputs=["e", "x"])) == r"\text{e} + e^{x}"
    assert program_latex(parse_text("2 * pi", inputs=["pi"])) == r"2\,\pi"


_RAW = '[!"()*+,./0-9:;=?@A-Z\\[\\]a-zÀ-ÖØ-öø-ɏЀ-ӿऀ-ჿ\u3000-ヿ一-龯가-힣]'
_NAMED = r"\\text(?:backslash|asciicircum|asciitilde|less|greater|bar)\{\}|\\dots\{\}|\$\\[A-Za-z]+\$"
_TEXT = rf"(?:{_RAW}|[-'`]\{{\}}|\\[{{}}$&#_%]|\\ |{_NAMED})*"
_LETTER = r"(?:[A-Za-z]|\\[A-Za-z]+)"
_WORD = r"\\mathrm\{[A-Za-z0-9]+\}"
_INDEX = rf"(?:\d+|{_LETTER}|{_WORD})"
SAFE = re.compile(
    rf"\\text\{{{_TEXT}\}}(?:_\{{\\left\(\d+\\right\)\}})?"
    rf"|(?:{_LETTER}|{_WORD})(?:_\{{{_INDEX}(?:, {_INDEX})*\}})?"
)
"""All that a name in a formula may consist of: letters with indices, or text in which nothing means anything."""

IDS = st.lists(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(
        lambda s: s not in NON_FINITE
    )
    | st.text(st.sampled_from(list("\\{}$&#^_~%<>|`'\"-+=[]() abwxθλ12")), min_size=1, max_size=12)
    | st.sampled_from(
        ["\\end{aligned}", "}", "$", "x}}\\input{y}", "</mi><script>", "]]>", "&amp;", "<!--", "x" * 256]
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


@settings(deadline=None)
@given(IDS)
@example(["x_1", "x1", "U+1F600", "😀"])
@example(["\ufffe", "\u2028", "\u202e", "\u0301"])
def test_ids_are_data(names: list[str]) -> None:
    steps = [Step(name, INPUT) for name in names]
    steps.append(Step("t1", registry.core("stack"), tuple(range(len(names))), named=False))
    program = Program(tuple(steps), (len(names),))
    shown = [latex_of(e.box) for e in map(Names().symbol, names)]
    assert program_latex(program) == rf"\left[{', '.join(shown)}\right]"
    assert len(set(shown)) == len(names)
    for name in shown:
        assert SAFE.fullmatch(name), name
        assert set(re.findall(r"\$\\([A-Za-z]+)\$", name)) <= {*GREEK, "ell"}
    document = program_mathml(program)
    assert document is not None
    seen = {"".join(e.itertext()).replace("\xa0", " ") for e in ElementTree.fromstring(document).iter()}
    for name, formula in zip(names, shown, strict=True):
        if formula.startswith(r"\text{") and len(name) <= LONGEST_NAME:
            assert re.sub("[\ufffe\uffff]", "\ufffd", name).replace("\xa0", " ") in seen


# ------------------------------------------------------------------------------------------------- all of the ops


def op_programs() -> Iterator[tuple[str, Program]]:
    """Each op applied to inputs a, b, c, … with the static arguments of each of its examples."""
    for op in registry:
        if (
            op in (INPUT, CONSTANT, ITEM)
            or op.subgraphs
            or any(a.kind.name.startswith("a subgraph") for a in op.attrs)
        ):
            continue
        for n, shown in enumerate(op.examples):
            given = [(chr(97 + k), operand) for k, operand in enumerate(shown.operands)]
            steps = [Step(name, INPUT) for name, operand in given if operand is not None]
            index = {s.id: i for i, s in enumerate(steps)}
            operands = tuple(index.get(name) for name, _ in given)
            steps.append(Step("t1", op, operands, check_attrs(op, shown.attrs), named=False))
            if op.multiple:
                steps.append(Step("t2", ITEM, (len(steps) - 1,), {"index": 0}, named=False))
            yield f"{op.name}-{n}", Program(tuple(steps), (len(steps) - 1,))


@pytest.mark.parametrize("op", [op for op in registry if op.latex], ids=lambda op: op.name)
def test_every_template_can_be_read(op: Any) -> None:
    pattern = pattern_of(TEMPLATES.get(op.name, op.latex))
    assert set(pattern.slots) <= {p.name for p in op.parameters}


@pytest.mark.parametrize(
    ("name", "program"), list(op_programs()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_every_op_has_a_formula(name: str, program: Program) -> None:
    found, document = program_latex(program), program_mathml(program)
    assert found is not None
    assert document is not None
    assert found.count(r"\left") == len(re.findall(r"\\right(?![a-z])", found))
    assert found.count("{") - found.count(r"\{") == found.count("}") - found.count(r"\}")
    root = ElementTree.fromstring(document)
    assert root.tag == f"{MATHML}math"
    arity = {
        "mfrac": 2,
        "msup": 2,
        "msub": 2,
        "msubsup": 3,
        "munder": 2,
        "munderover": 3,
        "mroot": 2,
        "mover": 2,
    }
    for element in root.iter():
        children = arity.get(element.tag.removeprefix(MATHML))
        assert children is None or len(element) == children


def test_ops_by_themselves() -> None:
    shown = {name: op_latex(registry.core(name)) for name in ("divide", "where", "concat", "atan2", "input")}
    assert shown == {
        "divide": r"\frac{x}{y}",
        "where": r"\begin{cases} x & \mathrm{condition} \\ y & \text{else} \end{cases}",
        "concat": r"\operatorname{concat}\left(\mathrm{arrays}_{1}, \mathrm{arrays}_{2}, \ldots\right)",
        "atan2": r"\operatorname{atan2}\left(x_{1}, x_{2}\right)",
        "input": "",
    }
    assert all(op_latex(op) for op in registry if op.latex)


def test_bad_templates_are_refused() -> None:
    for template in (
        r"\foo {x}",
        "{x",
        r"\frac{{1}}",
        r"\left( {x}",
        r"\begin{{array}} {x} \end{{array}}",
        "}}",
        "@",
    ):
        with pytest.raises(ValueError):
            pattern_of(template)


# -------------------------------------------------------------------------------------------------------- meaning

FUNCTIONS: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda a: -a,
    "square": lambda a: a * a,
    "pow": lambda a, b: float(a**b),
    "sin": math.sin,
    "cos": math.cos,
    "exp": math.exp,
    "abs": abs,
    "sqrt": math.sqrt,
    "log1p": math.log1p,
    "expm1": lambda a: math.exp(a) - 1,
    "reciprocal": lambda a: 1 / a,
    "maximum": max,
    "deg2rad": math.radians,
}

INPUTS = {"x": 0.7, "y": -1.3, "z": 2.1, "u": 0.4}

TOKEN = re.compile(r"\\[A-Za-z]+|\\,|\d+(?:\.\d+)?|[A-Za-z]|[-+(){}^_|,=&]|\\\\")


class Reader:
    """Reads LaTeX of the scalar ops above as a person does, and computes it; it shares no code with what wrote it."""

    def __init__(self, text: str, names: dict[str, float]) -> None:
        self.tokens = [t for t in TOKEN.findall(text) if t != r"\,"] + [""]
        self.at = 0
        self.names = names
        self.open = False
        """Whether the last thing read was a function without parentheses, which a person might take to go on."""

    def next(self) -> str:
        return self.tokens[self.at]

    def take(self, *wanted: str) -> str:
        token = self.tokens[self.at]
        assert not wanted or token in wanted, (token, wanted, self.tokens)
        self.at += 1
        return token

    def sum(self) -> float:
        total = 0.0
        sign = self.take() if self.next() == "-" else "+"
        while True:
            total += self.product() if sign == "+" else -self.product()
            if self.next() not in ("+", "-"):
                return total
            sign = self.take()

    def product(self) -> float:
        total = self.factor()
        while True:
            if self.next() == r"\cdot":
                self.take()
            elif self.next() in ("", "+", "-", "}", ")", r"\right", ",", "|"):
                return total
            assert not self.open, f"does the function go on? {self.tokens}"
            total *= self.factor()

    def factor(self) -> float:
        base = self.atom()
        if self.next() == "^":
            assert not self.open, f"what has the exponent? {self.tokens}"
            self.take()
            base = float(base ** self.group())
            self.open = False
        return base

    def group(self) -> float:
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def fence(self) -> list[float]:
        self.take(r"\left")
        left = self.take("(", "|")
        values = [self.sum()]
        while self.next() == ",":
            self.take()
            values.append(self.sum())
        self.take(r"\right")
        self.take(")" if left == "(" else "|")
        return [abs(values[0])] if left == "|" else values

    def atom(self) -> float:
        token = self.next()
        function = {r"\sin": math.sin, r"\cos": math.cos, r"\log": math.log}.get(token)
        value = self.fence()[0] if token == r"\left" else self.other(self.take())
        self.open = False
        if function is not None:
            self.open = self.next() != r"\left"
            opened = self.open
            value = function(self.atom())
            self.open = opened
        return value

    def other(self, token: str) -> float:
        """An atom that begins with this token (of a function only its name)."""
        if token == r"\frac":
            return self.group() / self.group()
        if token == r"\sqrt":
            return math.sqrt(self.group())
        if token == r"\max":
            return max(self.fence())
        if token in (r"\sin", r"\cos", r"\log"):
            return math.nan
        if token[0].isdigit():
            return float(token)
        if self.next() == "_":
            self.take()
            self.take("{")
            token += self.take()
            self.take("}")
        return {r"\pi": math.pi, "e": math.e, **self.names}[token]


def meaning(text: str) -> float:
    """The value of a formula, definitions included."""
    lines = text.removeprefix(r"\begin{aligned} ").removesuffix(r" \end{aligned}").split(r" \\ ")
    names = dict(INPUTS)
    value = 0.0
    for line in lines:
        name, _, right = line.rpartition("=")
        reader = Reader(right, names)
        value = reader.sum()
        assert not reader.next(), (line, reader.tokens[reader.at :])
        names[re.sub("[^a-z0-9]", "", name)] = value
    return value


@st.composite
def scalar_programs(draw: st.DrawFn) -> tuple[Program, float]:
    """A program of scalar ops, and its value."""
    steps = [Step(name, INPUT) for name in INPUTS]
    values = list(INPUTS.values())
    for k in range(draw(st.integers(1, 12))):
        op = registry.core(draw(st.sampled_from(sorted(FUNCTIONS))))
        operands: list[int | Literal] = []
        arguments = []
        # One operand is mostly the step before, which is then written inside this one.
        inner = draw(st.integers(0, len(op.operands)))
        for n in range(len(op.operands)):
            if n == inner and k and not (op.name == "pow" and n == 1):
                operands.append(len(steps) - 1)
                arguments.append(values[-1])
            elif draw(st.integers(0, 4)) == 0 or (op.name == "pow" and n == 1):
                literal = draw(
                    st.sampled_from([2.0, 3.0, -1.0, 0.5, -2.5] if op.name != "pow" else [2.0, 3.0, -1.0])
                )
                operands.append(Literal(literal))
                arguments.append(literal)
            else:
                operands.append(draw(st.integers(max(0, len(steps) - 4), len(steps) - 1)))
                arguments.append(values[operands[-1]])
        try:
            value = FUNCTIONS[op.name](*arguments)
        except (ValueError, OverflowError, ZeroDivisionError):
            assume(False)
        assume(1e-3 < abs(value) < 1e3)
        values.append(value)
        steps.append(Step(f"t{k + 1}", op, tuple(operands), named=draw(st.integers(0, 5)) == 0))
    return Program(tuple(steps), (len(steps) - 1,)), values[-1]


@settings(deadline=None, max_examples=300)
@given(scalar_programs())
def test_a_formula_means_what_the_program_means(case: tuple[Program, float]) -> None:
    program, value = case
    found = program_latex(program)
    assert found is not None
    assert meaning(found) == pytest.approx(value, rel=1e-6), found


# ----------------------------------------------------------------------------------------------------------- size


def chain(op: str, n: int, operands: int = 1) -> Program:
    steps = [Step("x", INPUT)]
    steps += [Step(f"t{k}", registry.core(op), (k - 1,) * operands, named=False) for k in range(1, n)]
    return Program(tuple(steps), (n - 1,))


@pytest.mark.parametrize(
    ("op", "operands"), [("sin", 1), ("silu", 1), ("multiply", 2), ("divide", 2), ("square", 1)]
)
def test_formulas_are_linear_in_the_program(op: str, operands: int) -> None:
    small, large = (program_latex(chain(op, n, operands)) or "" for n in (200, 2000))
    assert 0 < len(large) < 12 * len(small) < 200_000
    document = program_mathml(chain(op, 2000, operands)) or ""
    assert max_depth(ElementTree.fromstring(document)) < 100


def max_depth(root: ElementTree.Element) -> int:
    deepest, stack = 0, [(root, 1)]
    while stack:
        element, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in element]
    return deepest


def test_long_programs_have_no_formula() -> None:
    assert program_latex(chain("sin", MAX_STEPS)) is not None
    assert program_latex(chain("sin", MAX_STEPS + 1)) is None
    assert program_mathml(chain("sin", 100_000)) is None
    # Only what the outputs depend on counts.
    long = chain("sin", 100_000)
    assert program_latex(Program(long.steps, (1,))) == r"\sin x"


def test_wide_sums_are_cut() -> None:
    found = latex("+".join(f"x{k}" for k in range(300)))
    assert found.count(r" \\ ") == 300 // 50 - 1 + (300 % 50 > 0)


# --------------------------------------------------------------------------------------------------------- MathML


def test_mathml() -> None:
    document = program_mathml(parse_text("p = x + y\nf = -p / sin(2 * p)"))
    assert document == (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">'
        '<mtable displaystyle="true" columnalign="right left">'
        '<mtr><mtd class="right"><mi>p</mi></mtd>'
        '<mtd class="left"><mo>=</mo><mrow><mi>x</mi><mo>+</mo><mi>y</mi></mrow></mtd></mtr>'
        '<mtr><mtd class="right"><mi>f</mi></mtd>'
        '<mtd class="left"><mo>=</mo><mfrac><mrow><mo form="prefix">−</mo><mi>p</mi></mrow>'
        "<mrow><mi>sin</mi><mo>\u2061</mo>"
        '<mrow><mo form="prefix" stretchy="true">(</mo>'
        '<mrow><mn>2</mn><mo>\u2062</mo><mspace width="0.1667em"/><mi>p</mi></mrow>'
        '<mo form="postfix" stretchy="true">)</mo></mrow></mrow></mfrac></mtd></mtr></mtable></math>'
    )
    assert "<mi>loss</mi>" in mathml_of(name_box("loss"))
    assert "<mtext>a\u00a0&lt;b&gt;</mtext>" in mathml_of(name_box("a <b>"))
