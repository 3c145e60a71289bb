"""ONNX's own node tests: each case is translated to a JSON graph, computed, and compared with what ONNX expects.

python -m pytest -m peers tests/peers/test_onnx_nodes.py -s        prints the table, by op
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

pytestmark = pytest.mark.peers
onnx = pytest.importorskip("onnx")

from onnx.backend.test.case.node import collect_testcases  # noqa: E402  # after importorskip

from engine.errors import EngineError  # noqa: E402
from tests.peers import onnx_ops  # noqa: E402, F401  # registers the translations
from tests.peers.onnx_adapter import Missing, NotOffered, prepare  # noqa: E402

FLOOR = 100
"""At least so many cases pass."""

OUT_OF_SCOPE = {
    "ai.onnx.ml": "classical machine learning: trees, labels",
    "ai.onnx.preview.training": "steps of optimisers",
    "quantised": "numbers of 8 bits and fewer with a scale",
}


class Outcome(NamedTuple):
    """What became of a case: passed, failed, missing or skipped, with what is to be said about it."""

    op: str
    name: str
    state: str
    detail: str
    used: frozenset[str]


def _op(case: Any) -> str:
    nodes = case.model.graph.node
    names = list(dict.fromkeys(n.op_type for n in nodes))
    return names[-1] if len(names) == 1 else "several nodes"


def run(case: Any) -> Outcome:
    """One case."""
    expanded = "_expanded" in case.name
    op = "expanded" if expanded else _op(case)
    try:
        (inputs, expected), *_ = case.data_sets
        document, outputs, kinds = prepare(case.model, inputs)
        kept = [k for k, o in enumerate(outputs) if o is not None]
        if not kept:
            raise NotOffered("none of its results")
        got = document.run([outputs[k] for k in kept])
    except NotOffered as reason:
        return Outcome(op, case.name, "skipped", str(reason), frozenset())
    except Missing as name:
        return Outcome(op, case.name, "missing", str(name), frozenset())
    except EngineError as error:
        return Outcome(op, case.name, "failed", f"{type(error).__name__}: {error.detail}", frozenset())
    except Exception as error:
        return Outcome(op, case.name, "failed", f"{type(error).__name__}: {error}", frozenset())
    for k, value in zip(kept, got, strict=True):
        wrong = difference(value, np.asarray(expected[k]), kinds[k])
        if wrong:
            return Outcome(op, case.name, "failed", wrong, frozenset())
    return Outcome(op, case.name, "passed", "", frozenset(document.used))


def difference(got: Any, expected: Any, kind: str) -> str:
    """How a result differs from what is expected; empty if it does not."""
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    if {"f": "float", "i": "int", "b": "bool"}[got.dtype.kind] != kind:
        return f"dtype {got.dtype}, expected {expected.dtype}"
    if kind != "float":
        return "" if np.array_equal(got, expected) else f"{got.ravel()[:5]}, expected {expected.ravel()[:5]}"
    a, e = got.astype(float), expected.astype(float)
    size = np.abs(e[np.isfinite(e)]).max(initial=0.0)
    if np.allclose(a, e, rtol=1e-5, atol=1e-6 * size + 1e-12, equal_nan=True):
        return ""
    at = tuple(np.argwhere(~np.isclose(a, e, rtol=1e-5, atol=1e-6 * size + 1e-12, equal_nan=True))[0])
    return f"at {[int(i) for i in at]} {a[at]!r}, expected {e[at]!r}"


@cache
def outcomes() -> list[Outcome]:
    """All cases."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # ONNX's own, while it makes the cases
        return [run(case) for case in collect_testcases()]


def test_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for o in outcomes():
        table[o.op][o.state] += 1
    with capsys.disabled():
        print()
        for op in sorted(table):
            row = table[op]
            line = f"{op:28} {row['passed']:4} of {sum(row.values()):4}"
            for state in ("failed", "missing", "skipped"):
                found = Counter(o.detail for o in outcomes() if o.op == op and o.state == state)
                if found:
                    line += f"  {state} {row[state]}: " + "; ".join(
                        f"{d[:110]} ({n})" for d, n in found.most_common(4)
                    )
            print(line)
        states = Counter(o.state for o in outcomes())
        print(dict(states), "of", len(outcomes()))
    assert Counter(o.state for o in outcomes())["passed"] >= FLOOR
