"""Program text as other libraries write it: module prefixes, tuples of factors, arguments that only they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg

from engine.errors import Arity, EngineError
from engine.language import parse_text
from engine.spec import read_graph
from tests.engine.helpers import ask

A = np.array([[4.0, 1.0], [0.5, 3.0]])
S = np.array([[4.0, 1.0], [1.0, 3.0]])
X = np.array([0.3, -1.2, 2.0])
M = np.arange(6.0).reshape(2, 3)
B = np.array([1.0, 2.0])
GIVEN = {"A": A, "S": S, "x": X, "M": M, "b": B}


def value(text: str, **more: Any) -> Any:
    """The value of a text."""
    names = [step.id for step in parse_text(text, inputs=list(more)).steps]
    inputs = {name: v for name, v in (GIVEN | more).items() if name in names}
    return list(ask("evaluate", text, inputs)["outputs"].values())[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch.exp(x)", np.exp(X)),
        ("torch.nn.functional.relu(x)", np.maximum(X, 0)),
        ("F.relu(x) + torch.pi", np.maximum(X, 0) + np.pi),
        ("import torch\nimport torch.nn.functional as F\nF.relu(x)", np.maximum(X, 0)),
        ("from torch import exp\nexp(x)", np.exp(X)),
        ("torch.linalg.norm(x)", np.linalg.norm(X)),
        ("torch.var(x)", np.var(X, ddof=1)),
        ("torch.std(x)", np.std(X, ddof=1)),
        ("np.var(x)", np.var(X)),
        ("torch.max(x)", 2.0),
        ("torch.transpose(M, 0, 1)", M.T),
        ("torch.gather(M, 1, [[0, 2], [1, 1]])", [[0.0, 2.0], [4.0, 4.0]]),
        ("M.t()", M.T),
        ("x.clone().detach().real", X),
        ("np.sum(M, where=M > 2, initial=1.0)", 13.0),
        ("M.max(axis=1, where=M > 2, initial=0)", [0.0, 5.0]),
        ("scipy.linalg.cho_solve((np.linalg.cholesky(S), True), b)", np.linalg.solve(S, B)),
        ("c, low = scipy.linalg.cho_factor(S)\nscipy.linalg.cho_solve((c, low), b)", np.linalg.solve(S, B)),
        ("c = cho_factor(S, lower=True)\ncho_solve(c, b)", np.linalg.solve(S, B)),
        ("cho_solve(np.linalg.cholesky(S), b)", np.linalg.solve(S, B)),
        ("f = scipy.linalg.lu_factor(A)\nscipy.linalg.lu_solve(f, b, 1)", np.linalg.solve(A.T, B)),
        ("lu, piv = lu_factor(A)\nlu_solve((lu, piv), b) - lu_solve(lu, piv, b)", [0.0, 0.0]),
        ("lu_solve(lu_factor(A), b, check_finite=False)", None),
        ("i, j = np.unravel_index([5, 3], (2, 3))\ni * 10 + j", [12, 10]),
        ("np.ravel_multi_index(([1, 0], [2, 1]), (2, 3))", [5, 1]),
        ("huber_loss(x, 0 * x, 'sum', 2.0)", 0.5 * 0.09 + 0.5 * 1.44 + 2.0),
        ("np.linspace(0, b, 3, axis=1)", np.linspace(0, B, 3, axis=1)),
    ],
)
def test_value(text: str, expected: Any) -> None:
    if expected is None:
        with pytest.raises(EngineError, match="check_finite"):
            value(text)
        return
    np.testing.assert_allclose(value(text), expected, rtol=1e-12, atol=1e-14)


def test_cho_factor_is_scipys() -> None:
    np.testing.assert_allclose(value("c, low = cho_factor(S)\nc"), np.triu(scipy.linalg.cho_factor(S)[0]))


@pytest.mark.parametrize(
    "text", ["F * 2", "F.sum() + F.T", "F.relu() + F", "F.softmax(0) + 0*F", "torch * 2"]
)
def test_names_of_modules_are_names_of_inputs(text: str) -> None:
    assert parse_text(text).steps[0].id in ("F", "torch")


def test_a_value_makes_it_an_input() -> None:
    np.testing.assert_allclose(value("F.mse_loss(x)", F=X + 1), 1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("torch.max(M, 1)", "argmax"),
        ("torch.sort(x)", "argsort"),
        ("torch.median(x)", "lower of two"),
        ("F.pad(x, (1, 1))", "last axis"),
        ("torch.split(x, 2)", "size of the parts"),
        ("np.where(x > 0)", "depends on the values"),
        ("np.max(M, where=M > 2)", "initial"),
        ("np.sum(M, where=[True, False])", "broadcastable"),
        ("np.sum(M, initial=x)", "one number"),
        ("scipy.special.logsumexp(x, return_sign=True)", "return_sign"),
        ("np.average(x, returned=True)", "sum of the weights"),
    ],
)
def test_mistake(text: str, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        value(text)


def test_a_constant_start_stands_by_its_name_in_a_graph() -> None:
    """`sum(x, 0)` is a sum over axis 0 in every library: in its place a constant would start the sum instead."""
    program = parse_text("np.max(x, initial=0, where=x < 5) + np.sum(x, initial=2.5)")
    again = read_graph(program.to_json())
    assert again.digest == program.digest
    assert program.to_json()["nodes"][3]["attrs"] == {"initial": 2.5}
    with pytest.raises(Arity, match="by its name"):
        read_graph({"nodes": [{"id": "x", "op": "input"}, {"id": "y", "op": "sum", "inputs": ["x", 0]}]})
