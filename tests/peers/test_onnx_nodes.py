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
from engine.op import registry  # noqa: E402
from tests.peers import onnx_ops, onnx_recurrent  # noqa: E402, F401  # register translations
from tests.peers.onnx_adapter import Missing, NotOffered, prepare  # noqa: E402

FLOOR = 1390
"""At least so many cases pass."""

SHAPE_OF_DATA = "the shape of the result depends on data"
QUANTISED = "numbers of 8 bits and fewer with a scale"
GRAPHS = "graphs as attributes; cond, while_loop and scan are tested with programs"
COMPLEX = "complex numbers"
LEARNING = "classical machine learning: trees, labels, bags of words"
OUT_OF_SCOPE = {
    **dict.fromkeys(("Compress", "NonZero", "NonMaxSuppression", "Unique"), SHAPE_OF_DATA),
    **dict.fromkeys(
        (
            "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
            "MatMulInteger",
        ),
        QUANTISED,
    ),
    **dict.fromkeys(("If", "Loop"), GRAPHS),
    **dict.fromkeys(("DFT", "STFT"), COMPLEX),
    **dict.fromkeys(("ArrayFeatureExtractor", "Binarizer", "TreeEnsemble", "TfIdfVectorizer"), LEARNING),
    **dict.fromkeys(("Adagrad", "Adam", "Momentum"), "steps of optimisers, not functions to differentiate"),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift", "BitCast"), "bits of integers"),
    **dict.fromkeys(("OptionalGetElement", "OptionalHasElement"), "values that may be absent"),
    "RandomUniformLike": "random numbers: a program is a pure function",
    "Bernoulli": "random numbers: a program is a pure function",
    "ImageDecoder": "bytes of images",
    "MelWeightMatrix": "tables of audio processing",
    "MaxUnpool": "undoes a pooling by its indices, which we do not give",
    "TensorScatter": "a cache that is written to",
    "RoiAlign": "detection of objects",
    "DeformConv": "positions of a kernel that are data",
    "GridSample": "positions to read from that are data",
}  # fmt: skip
"""Kinds of nodes that have no place here, and why. What is neither here nor written is reported as missing."""

ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}
"""Cases whose expected values ONNX gives with few digits: relative tolerances."""

PARTLY = {"MaxPool": "its second result, the indices of the largest entries, is not offered"}
"""Ops of which not every result is compared, and why."""

NOT_MET = {"global_lp_pool": "ONNX has no case of GlobalLpPool"}
"""Ops of ours that have the name of an ONNX op, but are met by no case; why."""


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
    op = "expanded" if "_expanded" in case.name else _op(case)
    if op in OUT_OF_SCOPE:
        return Outcome(op, case.name, "skipped", OUT_OF_SCOPE[op], frozenset())
    try:
        (inputs, expected), *_ = case.data_sets
        document, outputs, kinds = prepare(case.model, inputs)
        kept = [k for k, o in enumerate(outputs) if o is not None]
        if len(kept) < len(outputs) and op not in PARTLY:
            return Outcome(op, case.name, "failed", "a result is not given", frozenset())
        got = document.run([outputs[k] for k in kept])
    except NotOffered as reason:
        return Outcome(op, case.name, "skipped", str(reason), frozenset())
    except Missing as error:
        name = str(error)
        if name in OUT_OF_SCOPE:
            return Outcome(op, case.name, "skipped", OUT_OF_SCOPE[name], frozenset())
        return Outcome(op, case.name, "missing", name, frozenset())
    except EngineError as error:
        return Outcome(op, case.name, "failed", f"{type(error).__name__}: {error.detail}", frozenset())
    except Exception as error:
        return Outcome(op, case.name, "failed", f"{type(error).__name__}: {error}", frozenset())
    for k, value in zip(kept, got, strict=True):
        wrong = difference(value, np.asarray(expected[k]), kinds[k], ROUNDED.get(case.name, 1e-5))
        if wrong:
            return Outcome(op, case.name, "failed", wrong, frozenset())
    return Outcome(op, case.name, "passed", "", frozenset(document.used))


def difference(got: Any, expected: Any, kind: str, rtol: float) -> str:
    """How a result differs from what is expected; empty if it does not."""
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    if {"f": "float", "i": "int", "b": "bool"}[got.dtype.kind] != kind:
        return f"dtype {got.dtype}, expected {expected.dtype}"
    if kind != "float":
        return "" if np.array_equal(got, expected) else f"{got.ravel()[:5]}, expected {expected.ravel()[:5]}"
    a, e = got.astype(float), expected.astype(float)
    size = np.abs(e[np.isfinite(e)]).max(initial=0.0)
    if np.allclose(a, e, rtol=rtol, atol=1e-6 * size + 1e-12, equal_nan=True):
        return ""
    at = tuple(np.argwhere(~np.isclose(a, e, rtol=rtol, atol=1e-6 * size + 1e-12, equal_nan=True))[0])
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
    assert not [o for o in outcomes() if o.state == "failed"]
    assert states["passed"] >= FLOOR


def test_every_op_with_an_onnx_name_is_met() -> None:
    names = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    met = set().union(*(o.used for o in outcomes() if o.state == "passed"))
    named = {op.name for op in registry if names & {op.name, *op.aliases}}
    assert not named - met - set(NOT_MET), "no case of ONNX's meets these, and no reason is given"
    assert not set(NOT_MET) & met, "these are met after all"
