"""POST /v1/trace: its tables, which ids cannot break out of, and its drawing."""

from __future__ import annotations

import itertools
import re
import shutil
from typing import Any

import pytest

from tests.service.conftest import PRODUCT, Client

NEURON = {
    "expression": "t1 = w * x\nt2 = t1 + b\nt3 = -1 * t2\nt4 = exp(t3)\nt5 = t4 + 1\nt6 = t5**(-1)\nt7 = t6 - target\n"
    "t8 = t7**2",
    "inputs": {"w": 2, "x": 1, "b": 0, "target": 10},
}
PRINTED = ["-18.238405844044234", "14.149418952798422", "1.9149156216104704", "-1.9149156216104704"]
"""Gradients as the article prints them, on the way from the loss to the weight."""

HOSTILE = [
    "a|b`c\\", "<b>|</b>", "$\\end{tabular}^^5cinput{x}%", "\u202ex\u2028y", "é_\U0001f600 #&~{}", "` `` |", "a\\|b",
    "| --- |", " lead", "t_1", "[x](javascript:0)", "!", "$$", "\\\\ \\hline", "#1", "&amp;", "*_*",
]  # fmt: skip

MARKDOWN = "text/markdown"
LATEX = ["application/x-latex", "application/x-tex", "text/x-tex", "text/x-latex"]


def tables(client: Client, body: Any, accept: str) -> str:
    response = client.post("/v1/trace", json=body, headers={"accept": accept})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == accept
    assert response.headers["vary"] == "Accept"
    return response.text


def rows(table: str) -> list[list[str]]:
    """Cells of the rows of all Markdown tables, as a reader splits them that knows no escapes at all."""
    lines = [line for line in table.split("\n") if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def hostile() -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"id": HOSTILE[0], "op": "input"}]
    nodes += [{"id": b, "op": "sin", "inputs": [a]} for a, b in itertools.pairwise(HOSTILE)]
    return {
        "graph": {"nodes": nodes},
        "inputs": {HOSTILE[0]: 0.5},
        "lagrangian": True,
        "tangents": {HOSTILE[0]: 1},
    }


def test_as_markdown(client: Client) -> None:
    text = tables(client, {**PRODUCT, "tangents": {"x": 1}, "lagrangian": True}, MARKDOWN)
    assert "| 5 | `t2` | multiply | `t1`, `z` | -12 - 4ε | ∂/∂`t1` = -4, ∂/∂`z` = 3 |" in text
    assert "| 1 | `t2` | 1 | `t1` | -4 | -4 | -4 |\n|  |  |  | `z` | 3 | 3 | 3 |" in text
    assert "| `t1` | `t1 - (x + y) = 0` | -4 |" in text
    assert {len(row) for row in rows(text)} == {6, 7, 3}


@pytest.mark.parametrize("accept", LATEX)
def test_as_latex(client: Client, accept: str) -> None:
    text = tables(client, {**PRODUCT, "tangents": {"x": 1}, "lagrangian": True}, accept)
    assert (
        "5 & $t_{2} = t_{1}\\,z$ & $-12 - 4\\,\\varepsilon$ & $\\partial t_{2} / \\partial t_{1} = -4$, "
        in text
    )
    assert (
        "1 & $t_{2}$ & $1$ & $t_{1}$ & $-4$ & $-4$ & $-4$ \\\\\n &  &  & $z$ & $3$ & $3$ & $3$ \\\\" in text
    )
    assert "$t_{1} - \\left(x + y\\right) = 0$ & $-4$ \\\\" in text
    balanced(text)


@pytest.mark.parametrize("accept", [MARKDOWN, LATEX[0]])
def test_the_figures_of_the_article(client: Client, accept: str) -> None:
    text = tables(client, NEURON, accept)
    reverse = text[max(text.find("### Reverse"), text.find("{Reverse}")) :]
    places = [reverse.index(figure) for figure in PRINTED]
    assert places == sorted(places)


def test_without_tangents_there_are_no_dual_numbers(client: Client) -> None:
    for accept in (MARKDOWN, LATEX[0]):
        text = tables(client, PRODUCT, accept)
        assert "ε" not in text
        assert "varepsilon" not in text
        assert "agrangian" not in text


def test_forward_mode_is_one_table(client: Client) -> None:
    body = {"expression": "x**2 * exp(x) + 3*x", "inputs": {"x": 1}, "tangents": {"x": 1}, "mode": "forward"}
    text = tables(client, body, MARKDOWN)
    assert text.count("###") == 1
    assert "5.718281828459045 + 11.154845485377136ε" in text
    assert "5.718281828459045 + 11.154845485377136\\,\\varepsilon" in tables(client, body, LATEX[0])


def test_what_stands_in_cells(client: Client) -> None:
    body = {
        "expression": "a, b = np.split(x, 2)\nm = x > y\nu = where(m, x, y) * [1, 2, 3, inf]\nsum(u[:2]) + sum(a) + log(s) + i",
        "inputs": {"x": [1, 2, 3, 4], "y": 1e-7, "s": 0, "i": 2}, "summarize_over": 3, "lagrangian": True,
    }  # fmt: skip
    text = tables(client, body, MARKDOWN)
    for part in ("not elementwise", "Infinity", "array of shape [4]", "1e-07", "u[:2]"):
        assert part in text
    assert {len(row) for row in rows(text)} == {6, 7, 3}
    text = tables(client, body, LATEX[0])
    for part in ("\\infty", "\\text{array of shape } (4)", "10^{-7}"):
        assert part in text
    balanced(text)
    matrix = tables(client, {"expression": "sum(A)", "inputs": {"A": [[1, 0.5], [2, 3]]}}, LATEX[0])
    assert "$\\begin{bmatrix} 1 & 0.5 \\\\ 2 & 3 \\end{bmatrix}$" in matrix
    balanced(matrix)


def test_hostile_ids_break_no_markdown(client: Client) -> None:
    text = tables(client, hostile(), MARKDOWN)
    count = len(HOSTILE) - 1
    assert [len(row) for row in rows(text)] == [6] * (count + 3) + [7] * (count + 2) + [3] * (count + 2)
    for row in rows(text):
        for cell in row:
            bare = re.sub(r"`[^`]*`", "", re.sub(r"&#\d+;", "", cell))
            assert not set("<>[]!\\`$") & set(bare), cell
    assert not {"\u2028", "\u202e"} & set(text)


def test_hostile_ids_break_no_latex(client: Client) -> None:
    text = tables(client, hostile(), LATEX[0])
    balanced(text)
    assert text.count("\\end{tabular}") == 3
    assert not {"\u2028", "\u202e"} & set(text)
    assert "^^" not in text


def balanced(text: str) -> None:
    """What has to hold for the tables to compile: groups, mathematics and environments closed; as many cells in each row as
    columns; no special character on its own."""
    text = text.removeprefix("% In the preamble: \\usepackage{amsmath,booktabs,longtable}\n")
    assert "%" not in text.replace("\\%", "")
    columns = 0
    for line in text.split("\n"):
        begin = re.fullmatch(r"\\begin\{(tabular|longtable)\}\{([lr]+)\}", line)
        if begin:
            columns = len(begin[2])
        elif line.endswith("\\\\"):
            plain = re.sub(r"\\begin\{(\w+)\}.*?\\end\{\1\}", "", line)
            plain = re.sub(r"\\[^A-Za-z]", "", plain)
            assert plain.count("&") == columns - 1, line
            assert plain.count("$") % 2 == 0, line
            assert "#" not in plain, line
            assert "~" not in plain, line
            depth = 0
            for c in plain:
                depth += {"{": 1, "}": -1}.get(c, 0)
                assert depth >= 0, line
            assert depth == 0, line
            outside = "".join(plain.split("$")[::2])
            assert not set("_^{}") & set(outside), line
    begins, ends = (re.findall(rf"\\{word}\{{(\w+)\}}", text) for word in ("begin", "end"))
    assert sorted(begins) == sorted(ends)


def test_warnings_stand_below(client: Client) -> None:
    nodes = [{"id": "a|b_$", "op": "input"}, {"id": "y`", "op": "log", "inputs": ["a|b_$"]}]
    body = {"graph": {"nodes": nodes}, "inputs": {"a|b_$": 0}}
    text = tables(client, body, MARKDOWN)
    assert text.count("\n- ") == 2
    assert "log&#40;a&#124;b&#95;&#36;&#41;" in text
    latex = tables(client, body, LATEX[0])
    balanced(latex)
    assert "\\item log(a\\textbar{}b\\_\\$)" in latex
    assert "arning" not in tables(client, PRODUCT, MARKDOWN) + tables(client, PRODUCT, LATEX[0])


def test_long_tables_may_break(client: Client) -> None:
    text = "y = x\n" + "y = sin(y)\n" * 60
    latex = tables(client, {"expression": text, "inputs": {"x": 1}}, LATEX[0])
    balanced(latex)
    assert latex.count("\\begin{longtable}") == 2
    assert latex.count("\\endhead") == 2


def test_a_range_gets_what_it_asks_for(client: Client) -> None:
    for accept, kind in (
        ("text/*", "text/markdown"),
        ("application/*", "application/json"),
        ("text/x-tex, text/markdown;q=0.5", "text/x-tex"),
        ("*/*", "application/json"),
    ):
        response = client.post("/v1/trace", json=PRODUCT, headers={"accept": accept})
        assert response.headers["content-type"].partition(";")[0] == kind
    assert client.post("/v1/grad", json=PRODUCT, headers={"accept": LATEX[0]}).status_code == 406


def test_the_drawing_has_values_and_adjoints(client: Client) -> None:
    answer = client.ask("trace", {**PRODUCT, "include": ["dot"]})
    assert answer["dot"] == client.ask("grad", {**PRODUCT, "include": ["dot"]})["dot"]
    large = {"expression": "sum(x)", "inputs": {"x": [1.0] * 9}, "summarize_over": 4, "include": ["dot"]}
    assert "digraph" in client.ask("trace", large)["dot"]
    if shutil.which("dot"):
        assert "<svg" in client.ask("trace", {**PRODUCT, "include": ["svg"]})["svg"]


def test_a_seed_makes_an_array_fine(client: Client) -> None:
    body = {"expression": "sin(x)", "inputs": {"x": [1, 2]}}
    problem = client.problem("trace", body, 422, "non-scalar-output")
    assert problem["pointer"] == "/seed"
    assert client.ask("trace", {**body, "seed": [1, "Infinity"]})["reverse"][0]["adjoint"] == [
        1.0,
        "Infinity",
    ]
    assert client.problem("trace", {**body, "seed": [1]}, 422, "shape-mismatch")["pointer"] == "/seed"
    assert client.ask("trace", {**body, "mode": "forward"})["reverse"] == []


def test_a_trace_by_id(client: Client) -> None:
    made = client.post("/v1/graphs", json={"expression": "(x + y) * z", "name": "traced"}).json()
    response = client.post("/v1/graphs/traced/trace", json={"inputs": PRODUCT["inputs"]})
    assert response.json() == client.ask("trace", PRODUCT)
    text = client.post(
        "/v1/graphs/traced/trace", json={"inputs": PRODUCT["inputs"]}, headers={"accept": LATEX[0]}
    ).text
    assert text == tables(client, PRODUCT, LATEX[0])
    client.request("DELETE", f"/v1/graphs/{made['id']}")


def test_a_long_trace(client: Client) -> None:
    body = {"expression": "y = x\n" + "y = sin(y)*x\n" * 5000, "inputs": {"x": 1}, "nodes": "none"}
    answer = client.ask("trace", body)
    assert len(answer["forward"]) == len(answer["reverse"]) == 1
    whole = client.ask("trace", {**body, "nodes": "all"})
    assert len(whole["reverse"]) == 10001
    text = tables(client, body, LATEX[0])
    balanced(text)
    assert text.count("\n") < 30
