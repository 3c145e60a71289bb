"""check beside `torch.autograd.gradcheck`: both pass what is right, and both find a rule that is wrong by one percent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.engine.checking import checked, wrong_rule

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peers

RNG = np.random.default_rng(8)

RIGHT: dict[str, tuple[str, Callable[..., Any], list[Any]]] = {
    "sine": (
        "sum(sin(x)*y)",
        lambda x, y: (torch.sin(x) * y).sum(),
        [RNG.normal(size=4), RNG.normal(size=4)],
    ),
    "softmax": (
        "logsumexp(x)*softmax(x)[0]",
        lambda x: torch.logsumexp(x, 0) * torch.softmax(x, 0)[0],
        [RNG.normal(size=5)],
    ),
    "solve": (
        "sum(solve(x @ x.T + eye(3), y)**2)",
        lambda x, y: (torch.linalg.solve(x @ x.T + torch.eye(3, dtype=x.dtype), y) ** 2).sum(),
        [RNG.normal(size=(3, 3)), RNG.normal(size=3)],
    ),
    "logdet": (
        "logdet(x @ x.T + eye(3))",
        lambda x: torch.logdet(x @ x.T + torch.eye(3, dtype=x.dtype)),
        [RNG.normal(size=(3, 3))],
    ),
    "network": (
        "mean((tanh(x @ y))**2)",
        lambda x, y: (torch.tanh(x @ y) ** 2).mean(),
        [RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))],
    ),
}

WRONG: dict[str, tuple[str, Callable[..., Any], str, Callable[..., Any]]] = {
    "sine": ("sin(x)", torch.sin, "1.01*cos(x)*ct", lambda x, ct: 1.01 * torch.cos(x) * ct),
    "square": ("x*x", lambda x: x * x, "-2*x*ct", lambda x, ct: -2 * x * ct),
    "exp": ("exp(x)", torch.exp, "exp(x)*x*ct", lambda x, ct: torch.exp(x) * x * ct),
    "tanh": ("tanh(x)", torch.tanh, "(1 - tanh(x))*ct", lambda x, ct: (1 - torch.tanh(x)) * ct),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right(name: str) -> None:
    text, function, values = RIGHT[name]
    tensors = [torch.tensor(v, requires_grad=True) for v in values]
    assert torch.autograd.gradcheck(function, tensors)
    assert checked(text, dict(zip("xy", values, strict=False)))["ok"]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name: str) -> None:
    text, function, rule, backward = WRONG[name]

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            return backward(*ctx.saved_tensors, ct)

    at = torch.tensor([0.4, 1.3, -0.7], dtype=torch.float64, requires_grad=True)
    assert not torch.autograd.gradcheck(lambda x: Wrong.apply(x).sum(), [at], raise_exception=False)
    answer = checked(wrong_rule(text, rule, "sum(f(x))"), {"x": at.detach().numpy()})
    assert answer["disagrees"] == ["x"]
