"""Drawings: what stands in the DOT text, and that Graphviz itself shows any id as it is."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import ops  # noqa: F401  # fills the registry
from engine.aval import Aval
from engine.language import parse_text
from engine.op import registry
from engine.program import INPUT, NON_FINITE, Program, Step
from engine.render.dot import LONGEST_NAME, short_name, sign, to_dot
from engine.render.numbers import (
    long_array,
    short_array,
    short_attr,
    short_index,
    short_literal,
    short_number,
)
from engine.spec import read_graph

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None and os.environ.get("WENGERT_REQUIRE_TOOLS") != "1",
    reason="Graphviz is not installed",
)

ARTICLE = parse_text("(x + y) * z")
VALUES = {"x": -2.0, "y": 5.0, "z": -4.0, "t1": 3.0, "t2": -12.0}
GRADIENTS = {"x": -4.0, "y": -4.0, "z": 3.0, "t1": -4.0, "t2": 1.0}


def arrays(values: dict[str, float]) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in values.items()}


def edges(dot: str) -> list[tuple[str, str]]:
    return re.findall(r"^  (\w+) -> (\w+)\b", dot, re.MULTILINE)


def node(dot: str, name: str) -> str:
    """The statement of a node."""
    found = re.search(rf"^  {name} \[.*\];$", dot, re.MULTILINE)
    assert found is not None, dot
    return found[0]


def cells(dot: str, name: str) -> list[str]:
    """The texts in a value's box."""
    return [re.sub("<[^>]*>", "", cell) for cell in re.findall("<TD.*?</TD>", node(dot, name))]


def svg(dot: str) -> ElementTree.Element:
    drawn = subprocess.run(["dot", "-Tsvg"], input=dot.encode(), capture_output=True, check=True)
    assert not drawn.stderr, drawn.stderr.decode()
    return ElementTree.fromstring(drawn.stdout)


def shown(root: ElementTree.Element) -> list[str]:
    """All texts of an SVG, with spaces for the no-break spaces that Graphviz puts in their place."""
    return ["".join(t.itertext()).replace("\xa0", " ") for t in root.iter(f"{SVG}text")]


# ------------------------------------------------------------------------------------------------------ the drawing


def test_the_article_s_picture() -> None:
    dot = to_dot(ARTICLE, values=arrays(VALUES), gradients=arrays(GRADIENTS))
    assert [cells(dot, f"n{i}") for i in range(5)] == [
        ["x", "data -2.0000", "grad -4.0000"],
        ["y", "data 5.0000", "grad -4.0000"],
        ["z", "data -4.0000", "grad 3.0000"],
        ["t1", "data 3.0000", "grad -4.0000"],
        ["t2", "data -12.0000", "grad 1.0000"],
    ]
    ids = {step.id: f"n{i}" for i, step in enumerate(ARTICLE.steps)}
    t1, t2 = ids["t1"].replace("n", "o"), ids["t2"].replace("n", "o")
    assert edges(dot) == [
        (ids["x"], t1),
        (ids["y"], t1),
        (t1, ids["t1"]),
        (ids["t1"], t2),
        (ids["z"], t2),
        (t2, ids["t2"]),
    ]
    assert "label=<+>" in node(dot, t1)
    assert "label=<*>" in node(dot, t2)
    assert "rankdir=LR" in dot


def test_inputs_and_outputs_differ_from_the_others() -> None:
    dot = to_dot(parse_text("k = 2\ny = k * x\ny + x, y"))
    looks = {
        cells(dot, name)[0]: re.findall(
            'class="value ([a-z ]+)"|<TABLE BORDER="([12])"|BGCOLOR="(#.*?)"', node(dot, name)
        )
        for name in re.findall(r"^  (n\d+) \[", dot, re.MULTILINE)
    }
    assert {name: (look[0][0], look[1][1]) for name, look in looks.items()} == {
        "k": ("constant", "1"),
        "x": ("input", "1"),
        "y": ("node output", "2"),
        "t1": ("node output", "2"),
    }
    fills = {name: look[2][2] for name, look in looks.items()}
    assert fills["y"] == fills["t1"]
    assert len(set(fills.values())) == 3


def test_an_operand_twice_is_two_edges_and_so_are_literals() -> None:
    dot = to_dot(parse_text("x * x"))
    assert edges(dot) == [("n0", "o1"), ("n0", "o1"), ("o1", "n1")]
    program = read_graph({"nodes": [{"id": "s", "op": "add", "inputs": [2, 2]}]})
    dot = to_dot(program)
    assert edges(dot) == [("c0_0", "o0"), ("c0_1", "o0"), ("o0", "n0")]
    assert "label=<2>" in node(dot, "c0_1")


def test_operands_keep_their_order() -> None:
    assert "ordering=in" in node(to_dot(parse_text("x - y")), "o2")


def test_static_arguments() -> None:
    dot = to_dot(parse_text("sum(x, axis=0, keepdims=True)"))
    assert ">axis=0, keepdims=True<" in node(dot, "o1")
    dot = to_dot(parse_text("x[0, 1:, ..., None]"))
    assert ">[0, 1:, ..., None]<" in node(dot, "o1")
    program = read_graph(
        {
            "nodes": [
                {"id": "x", "op": "input"},
                {"id": "<i>", "op": "input"},
                {"id": "y", "op": "getitem", "inputs": ["x", "<i>"], "attrs": {"index": [{"input": 1}]}},
            ]
        }
    )
    assert ">[<i>]<" in html.unescape(node(to_dot(program), "o2"))


def test_several_results() -> None:
    program = parse_text("a, b = np.split(x, 2)\na * b")
    dot = to_dot(program)
    place = {step.id: i for i, step in enumerate(program.steps)}
    source = next(i for i, step in enumerate(program.steps) if step.op.name == "split")
    assert f"n{source} [" not in dot
    assert edges(dot)[:3] == [
        (f"n{place['x']}", f"o{source}"),
        (f"o{source}", f"n{place['a']}"),
        (f"o{source}", f"n{place['b']}"),
    ]
    assert '[label="[1]"]' in dot
    unread = Program((Step("x", INPUT), Step("d", registry.core("split"), (0,), {})), (0,))
    assert "n1 [" not in to_dot(unread)


def test_a_loop_is_one_op() -> None:
    body = {
        "inputs": ["i", "inside"],
        "outputs": ["h"],
        "nodes": [{"id": "h", "op": "multiply", "inputs": [0.5, "inside"]}],
    }
    program = read_graph(
        {
            "nodes": [
                {"id": "a", "op": "input"},
                {
                    "id": "l",
                    "op": "fori_loop",
                    "inputs": ["a"],
                    "attrs": {"stop": 20, "carry": 1, "body": body},
                },
                {"id": "r", "op": "item", "inputs": ["l"], "attrs": {"index": 0}},
            ]
        }
    )
    dot = to_dot(program)
    assert "body=1 node" in node(dot, "o1")
    assert "inside" not in dot
    assert edges(dot) == [("n0", "o1"), ("o1", "n2")]


def test_what_is_shown() -> None:
    shapes = {"x": Aval((2, 3), "float64"), "t1": Aval((), "int64")}
    program = parse_text("sum(x)")
    values = {"x": np.arange(6.0).reshape(2, 3) / 10, "t1": np.asarray(2)}
    gradients = {"x": np.ones((2, 3))}
    dot = to_dot(program, values=values, gradients=gradients, shapes=shapes)
    assert cells(dot, "n0") == ["x", "data [2, 3] 0.0, 0.1, 0.2, …", "grad [2, 3] 1.0, 1.0, 1.0, …"]
    assert cells(dot, "n1") == ["t1", "data 2"]
    dot = to_dot(
        program, values=values, gradients=gradients, shapes=shapes, show=["shapes", "values"], direction="TB"
    )
    assert cells(dot, "n0") == ["x", "[2, 3]", "data 0.0, 0.1, 0.2, …"]
    assert cells(dot, "n1") == ["t1", "int64 []", "data 2"]
    assert "rankdir=TB" in dot
    dot = to_dot(program, values=values, gradients=gradients, show=[])
    assert cells(dot, "n0") == ["x"]
    with pytest.raises(ValueError, match="direction"):
        to_dot(program, direction="BT")
    with pytest.raises(ValueError, match="tangents"):
        to_dot(program, show=["tangents"])


def test_constants_show_their_value() -> None:
    program = parse_text("k = 0.1\nk * x")
    assert cells(to_dot(program), f"n{program.index['k']}") == ["k", "data 0.1000"]


def test_the_same_every_time_and_long_programs() -> None:
    steps = [Step("x", INPUT)]
    steps += [Step(f"t{i}", registry.core("sin"), (i - 1,)) for i in range(1, 20_000)]
    program = Program(tuple(steps), (len(steps) - 1,))
    assert to_dot(program) == to_dot(program)


# --------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3.0000"),
        (-12.0, "-12.0000"),
        (0.0, "0.0000"),
        (14.149418952798422, "14.1494"),
        (0.001, "0.0010"),
        (99999.0, "99999.0000"),
        (1e-7, "1.0000e-07"),
        (-1.23456e22, "-1.2346e+22"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (-float("inf"), "-Infinity"),
        (np.float32(0.5), "0.5000"),
        (np.int64(3), "3"),
        (np.bool_(True), "true"),
        (False, "false"),
    ],
)
def test_scalars(value: object, text: str) -> None:
    assert short_number(value) == text
    assert short_array(np.asarray(value)) == text


def test_arrays() -> None:
    assert short_array(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])) == "[2, 3] 0.1, 0.2, 0.3, …"
    assert short_array(np.array([np.nan, -np.inf])) == "[2] NaN, -Infinity"
    assert short_array(np.array([True, False])) == "[2] true, false"
    assert short_array(np.zeros((0, 3))) == "[0, 3]"
    assert short_array(np.zeros((0, 3)), shape=False) == "[0, 3]"
    assert short_array(np.array([1, 2]), shape=False) == "1, 2"
    assert long_array(np.array([0.1, 1 / 3])) == "[2] 0.1, 0.3333333333333333"
    assert long_array(np.float32(0.1)) == "0.1"
    assert short_literal(np.asarray(2.0)) == "2"
    assert short_literal(np.asarray(2 * np.pi)) == "6.283"
    assert short_literal(np.array([1.0, 2.5])) == "[1, 2.5]"
    assert short_literal(np.ones((2, 2))) == "[2, 2] 1.0, 1.0, 1.0, …"


def test_attributes() -> None:
    assert short_attr((1,)) == "(1,)"
    assert short_attr(((0, 1), None, "ij", 0.5)) == "((0, 1), None, ij, 0.5)"
    assert short_attr(tuple(range(20))) == "(0, 1, 2, 3, 4, 5, 6, 7, …)"
    index = parse_text("x[0, ::-2, ..., None, [2, 0]]").steps[1].attrs["index"]
    assert short_index(index) == "[0, ::-2, ..., None, [2, 0]]"


def test_signs_come_from_the_catalogue() -> None:
    expected = {
        "add": "+",
        "multiply": "*",
        "pow": "**",
        "divide": "/",
        "less_equal": "<=",
        "sin": "",
        "negative": "",
    }
    assert {name: sign(registry.core(name).aliases) for name in expected} == expected


# ------------------------------------------------------------------------------------------------------------- ids

IDS = st.lists(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(
        lambda s: s not in NON_FINITE
    )
    | st.text(
        st.sampled_from(list("\\\"'<>&{}|;:[](),%#@$ \u200f\u202eNGETHLlrn/-=")), min_size=1, max_size=20
    )
    | st.sampled_from(["&lt;", "&amp;amp;", "&#65;", "<B>b</B>", "\\N", "\\\\", "]", "<]]", "]]>"])
    | st.sampled_from(["<!--", "node", "graph", "😀" * 200])
    | st.integers(29, 256).map(lambda n: "long " * (n // 5)),
    min_size=1,
    max_size=12,
    unique=True,
)


def verbatim(name: str) -> str:
    """What is to be seen of an id: no XML document holds U+FFFE and U+FFFF."""
    return re.sub("[\ufffe\uffff]", "\ufffd", name)


@needs_dot
@settings(max_examples=40, deadline=None)
@given(IDS)
@example([" ", "  ", "\xa0", "a  b", " x "])
@example(["\u2028", "\u2029", "\ufeff", "\u200b", "\ufffe", "\uffff", "\U0001fffe"])
def test_any_id_is_shown_as_it_is(names: list[str]) -> None:
    steps = [Step(name, INPUT) for name in names]
    steps.append(Step("sum of all", registry.core("stack"), tuple(range(len(names)))))
    program = Program(tuple(steps), (len(names),))
    root = svg(to_dot(program, values={name: np.asarray(1.5) for name in names}))
    texts = shown(root)
    for name in names:
        label = verbatim(short_name(name)).replace("\xa0", " ")
        assert label in texts or not label.strip(" "), name
    titles = [a.get(f"{XLINK}title") for a in root.iter(f"{SVG}a")]
    tips = {(title or "").split("\n")[0].replace("\xa0", " ") for title in titles}
    assert {verbatim(name).replace("\xa0", " ") for name in names} <= tips
    assert texts.count("data 1.5000") == len(names)


def test_long_ids_are_shortened() -> None:
    assert short_name("x" * LONGEST_NAME) == "x" * LONGEST_NAME
    assert short_name("start" + "x" * 200 + "end.") == "startxxxxxxxxxxxxxx…xxxxend."
    assert len(short_name("ab " * 80)) <= LONGEST_NAME


@needs_dot
def test_every_op_is_drawn() -> None:
    steps = [Step("x", INPUT)]
    drawn = [op for op in registry if op.operands and not op.multiple]
    steps += [Step(op.name, op, (0,) * len(op.operands)) for op in drawn]
    root = svg(to_dot(Program(tuple(steps), (len(steps) - 1,))))
    assert {step.id for step in steps} <= set(shown(root))
