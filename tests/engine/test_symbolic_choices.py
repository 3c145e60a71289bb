"""Derivatives of functions in pieces, and of powers and fractions, as a textbook prints them; against our numbers."""

from __future__ import annotations

import numpy as np
import pytest

from engine.language import parse_text
from tests.engine.helpers import ask, near
from tests.engine.test_symbolic import posted, texts, written

READ = {
    "softplus(x)": "where(x > 20, 1, sigmoid(x))",
    "leaky_relu(x)": "where(x > 0, 1, 0.01)",
    "elu(x)": "where(x > 0, 1, exp(x))",
    "where(x > 0, x**2, -x)": "where(x > 0, 2*x, -1)",
    "where(x > 0, x**3, 0)": "where(x > 0, 3*x**2, 0)",
    "where(x < 1, where(x < 1, x, x**2), where(y > 1, x**3, x**4))": "where(x < 1, 1, where(y > 1, 3*x**2, 4*x**3))",
    "where(x > 0, where(x < 0, 5*x, x**2), x)": "where(x > 0, 2*x, 1)",
    "where(x > 0, sin(x), x)*exp(x)": "exp(x)*where(x > 0, sin(x) + cos(x), x + 1)",
    "gelu(x)": "where(x >= 40, 1, where(x <= -40, 0, ndtr(x) + x*exp(-x**2/2)/sqrt(2*pi)))",
    "x**x": "(1 + log(x))*x**x",
    "x**2*x**y": "(y + 2)*x**(y + 1)",
    "arctan(y/x)": "-y/(x**2 + y**2)",
    "1/(1/x + 1/y)": "y**2/(x + y)**2",
    "erf(x/sqrt(2))": "2*exp(-x**2/2)/sqrt(2*pi)",
}


@pytest.mark.parametrize("text", READ)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_pieces_read_well_and_are_right(text: str, order: int) -> None:
    one = written(text, wrt=["x"], order=order)["derivatives"]["x"]
    if order == 1:
        assert one["expression"] == READ[text]
    low = 0.2 if "x**x" in text or "x**y" in text else -3.0
    for x in [*np.linspace(low, 30.0, 7), 0.5, 1.0, *([0.0, -1.0] if low < 0 and "/" not in text else [])]:
        at = {"x": float(x), "y": 0.7} if "y" in parse_text(text).input_ids else {"x": float(x)}
        coefficients = ask("taylor", text, at, direction={"x": 1.0}, order=order)["coefficients"]
        expected = float(np.asarray(coefficients[order])) * [1, 1, 2, 6][order]
        near(posted(one["expression"], at), expected, 1e-9, 1e-9)
        near(posted(one["graph"], at), expected, 1e-9, 1e-9)


def test_no_condition_is_written_twice() -> None:
    for text in ("softplus(x)", "maximum(x, 0)**3", "relu(x)**2", "huber_loss(x, y)", "selu(x)", "celu(x)"):
        for order in (1, 2, 3):
            found = texts(text, wrt=["x"], order=order)["x"]
            conditions = [part.split(",")[0] for part in found.split("where(")[1:]]
            assert len(set(conditions)) == len(conditions), (text, order, found)


def test_conditions_that_guard_what_is_no_number_are_not_written() -> None:
    a = np.array([[2.0, 1.0], [0.5, 3.0]])
    assert texts("logdet(A)", {"A": a})["A"] == "inv(A).T"
    x = np.array([1.0, 2.0, 4.0])
    assert texts("log_softmax(x)", {"x": x})["x"] == "eye(3) - softmax(x)"
    assert texts("-sum(y*log_softmax(x))", {"x": x, "y": x})["x"] == "softmax(x)*sum(y) - y"
    assert texts("norm(x)**2/2", {"x": x})["x"] == "x"


def test_the_value_of_a_choice_with_no_number_stays() -> None:
    found = texts("where(x < 0, nan, sqrt(x))", order=0)
    assert "nan" in next(iter(found.values()))
    assert texts("where(x < 0, nan, x**2)")["x"] == "2*x"


def test_choices_in_choices_are_one_list_of_cases() -> None:
    one = written("gelu(x)", formats=("latex", "mathml"))["derivatives"]["x"]
    assert one["latex"].count("begin{cases}") == 1
    assert one["latex"].count("else") == 1
    assert one["mathml"].count("<mtr>") == 3
