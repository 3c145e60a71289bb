"""The benchmark's own parts: what it compares is the same, a disagreement is found, and the page says what was measured."""

from __future__ import annotations

import dataclasses
import re
import xml.dom.minidom
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import Settings, Time, interleaved, ratio
from benchmarks.ours import Prepared, page
from benchmarks.plot import DARK, INK, LIGHT, themed
from benchmarks.random_graphs import MICROGRAD, PYTHON, SMOOTH, random_graph
from benchmarks.report import NOTES, anchor, heading, markdown, terminal
from benchmarks.row import OURS, Case, Curve, Disagreement, Found, Line, agree
from benchmarks.rows.points import TEXT, function
from benchmarks.rows.scaling import steepest
from benchmarks.table import ROWS

TRYING = Settings(rounds=3, turn_s=0.001, most_s=1.0, quick=True)


@pytest.mark.parametrize("ops", [SMOOTH, MICROGRAD])
@pytest.mark.parametrize("size", [10, 100, 3000])
def test_random_graphs(size: int, ops: tuple[str, ...]) -> None:
    """They have the size that was asked for, our values are Python's, and every node is reached from the output."""
    graph = random_graph(size, ops)
    assert abs(graph.size - size) <= max(4, size // 20)
    points = graph.points(2)
    answer = Prepared("grad", graph.document(), [{f"x{k}": x for k, x in enumerate(p)} for p in points]).run(
        1
    )
    expected = graph.walk([float(x) for x in points[1]], PYTHON)
    np.testing.assert_allclose(list(answer["values"].values()), expected, rtol=1e-9, atol=1e-9)
    assert len(answer["gradients"]) == graph.size
    used = {graph.size - 1}
    for k in range(graph.size - 1, graph.inputs - 1, -1):
        assert k in used
        used.update(graph.steps[k - graph.inputs][1])
    assert random_graph(size, ops) == graph


def test_the_function_of_ten_variables_has_thirty_operations() -> None:
    x = np.random.default_rng(0).normal(size=(10, 5))
    ours = Prepared("evaluate", TEXT, [{"x": x}, {"x": x + 1}], in_axes=({"x": 1},)).run(1)
    (value,) = ours["outputs"].values()
    np.testing.assert_allclose(value, function(x + 1, np), rtol=1e-12)
    program = Prepared("evaluate", TEXT, [{"x": x[:, 0]}]).program
    counted = [s for s in program.steps if s.op.name not in ("input", "constant", "getitem", "identity")]
    assert len(counted) == 30


def test_the_gallery_is_read() -> None:
    assert {"Gaussian mixture", "LSTM", "Bundle adjustment"} <= set(page())


def test_disagreement_is_found() -> None:
    agree({"a": [1.0, np.ones(3)], "b": (1.0, np.ones(3) + 1e-12)}, 1e-10)
    for wrong in ([1.0, np.ones(3) + 1e-8], [1.0, np.ones(4)], [1.0], [1.0, np.array([1, np.nan, 1])]):
        with pytest.raises(Disagreement):
            agree({"a": [1.0, np.ones(3)], "b": wrong}, 1e-10)
    with pytest.raises(Disagreement):
        list(Case("w", {OURS: lambda k: k, "other": lambda k: 0 * k}, 0.0).lines(TRYING))


def test_sides_take_turns() -> None:
    order: list[str] = []
    found = interleaved({name: lambda _, name=name: order.append(name) for name in "ab"}, TRYING)
    shown = re.sub(r"(.)\1+", r"\1", "".join(order[4:]))
    assert shown == "abab"[: len(shown)] or shown == "aba", shown
    assert all(len(t.rounds) == 3 and t.low <= t.median <= t.high for t in found.values())
    slow, fast = Time(2, 2, 2, (2.0, 2.0, 4.0)), Time(1, 1, 1, (1.0, 1.0, 1.0))
    assert ratio(fast, slow) == 2


def test_steepest_decade() -> None:
    assert steepest([1, 10, 100], [1.0, 1.0, 10.0]) == pytest.approx(1)
    assert steepest([1, 10, 100], [1.0, 100.0, 200.0]) == pytest.approx(2)


def test_rows_are_told_apart_and_described() -> None:
    assert len({r.key for r in ROWS}) == len(ROWS)
    assert all(r.title and r.against and r.target and len(r.method) > 50 for r in ROWS)
    assert {p.stem for p in NOTES.glob("*.md")} <= {r.key for r in ROWS}, "a note without a row"


def example() -> dict[str, Found]:
    """Something found in every row: met, not met, without a target."""
    lines = [
        Line("work", "JAX", 1e-3, 3e-3, "s", 3.0, 2.0),
        Line("work", "CasADi", 1e-3, 1e-3, "s", 1.0, 2.0),
        Line("work", f"{OURS}, with preparing", 2e-3, None, "s", None, None),
        Line("work", "server", 9000.0, 4500.0, "req/s", 2.0, 4.0),
    ]
    found = Found(lines, [Curve(OURS, "nodes", [1.0, 10.0], [1.0, 10.0])], ["A remark."])
    return {row.key: found for row in ROWS}


MACHINE = {
    "day": "2026-01-01",
    "cpu": "a processor",
    "cores": 2,
    "memory": "8 GB",
    "versions": {"Python": "3.11"},
}


def test_the_page() -> None:
    text = markdown(ROWS, example(), MACHINE)
    for row in ROWS:
        assert f"(#{anchor(heading(row))})" in text
        assert f"\n## {heading(row)}\n" in text
        note = NOTES / f"{row.key}.md"
        assert not note.exists() or note.read_text("utf-8").strip() in text
    assert "| work | JAX | 1 ms | 3 ms | 3.00 × | ≥ 2 | met |" in text
    assert "| work | CasADi | 1 ms | 1 ms | 1.00 × | ≥ 2 | **not met** |" in text
    assert "| work | server | 9,000 req/s | 4,500 req/s | 2.00 × | ≥ 4 | **not met** |" in text
    assert "**1 of 3** | 0.5 |" in text
    assert "not met" in terminal(ROWS, example())
    assert dataclasses.asdict(example()[ROWS[0].key])["remarks"] == ["A remark."]


def test_tables_have_as_many_columns_as_their_heads() -> None:
    columns = 0
    for line in (NOTES.parent.parent / "docs" / "performance.md").read_text("utf-8").splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        found = len(re.findall(r"(?<!\\)\|", line)) - 1
        columns = columns or found
        assert found == columns, line


def test_the_plot_follows_the_colour_scheme() -> None:
    drawn = f'<svg width="1"><path stroke="{INK}"/><text style="fill: {INK}">x</text></svg>'
    svg = themed(drawn)
    xml.dom.minidom.parseString(svg)
    assert INK not in svg
    assert LIGHT[INK] in svg
    assert DARK[INK] in svg.split("prefers-color-scheme: dark")[1]
    assert svg.count("var(--c0)") == 2
    assert 'stroke="var' not in svg


def test_what_is_measured_beside_is_installed_by_make() -> None:
    root = Path(__file__).parent.parent
    listed = (root / "requirements" / "bench.in").read_text("utf-8")
    for peer in ("autograd", "casadi", "jax", "micrograd", "tesseract-core", "torch", "umbridge"):
        assert re.search(rf"^{peer}[>=]", listed, re.M), peer
