"""ONNX's recurrent networks, unrolled over their steps: a cell of ours where it has the same formula, else the formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.peers.onnx_adapter import Call, NotOffered, translation

Step = Callable[[str, list[str]], list[str]]
"""From a row of the input and the states to the new states, the first of which is shown."""


def _linear(c: Call, x: str, w: str, b: Any) -> str:
    return c.add("linear", x, w, b)


def _block(c: Call, v: str, k: int, size: int) -> str:
    return c.add("getitem", v, index=[..., {"start": k * size, "stop": (k + 1) * size, "step": None}])


def _ordered(c: Call, v: Any, order: Sequence[int], size: int) -> Any:
    """Blocks of rows in another order."""
    if v is None:
        return None
    rows = np.concatenate([np.arange(k * size, (k + 1) * size) for k in order])
    return c.add("take", v, rows, axis=0)


def _halves(c: Call, v: Any, rows: int) -> tuple[Any, Any]:
    """The two biases, which ONNX has one behind the other."""
    return (None, None) if v is None else (_block(c, v, 0, rows), _block(c, v, 1, rows))


def _rnn(c: Call, size: int, w: str, r: str, b: Any, peepholes: Any) -> Step:
    first, second = _halves(c, b, size)
    return lambda x, state: [c.add("rnn_cell", x, state[0], w, r, first, second)]


def _gru(c: Call, size: int, w: str, r: str, b: Any, peepholes: Any) -> Step:
    first, second = _halves(c, b, 3 * size)
    if c.attr("linear_before_reset", 0):
        w, r, first, second = (_ordered(c, v, (1, 0, 2), size) for v in (w, r, first, second))
        return lambda x, state: [c.add("gru_cell", x, state[0], w, r, first, second)]

    def step(x: str, state: list[str]) -> list[str]:
        """The gate r before the matrix, where PyTorch has it behind."""
        (h,) = state
        one = _linear(c, x, w, first)
        other = _linear(c, h, r, second)
        z, reset = (
            c.add("sigmoid", c.add("add", _block(c, one, k, size), _block(c, other, k, size))) for k in (0, 1)
        )
        rows = c.add("getitem", r, index=[{"start": 2 * size, "stop": None, "step": None}])
        bias = None if second is None else _block(c, second, 2, size)
        inner = _linear(c, c.add("multiply", reset, h), rows, bias)
        n = c.add("tanh", c.add("add", _block(c, one, 2, size), inner))
        return [c.add("add", n, c.add("multiply", z, c.add("subtract", h, n)))]

    return step


def _lstm(c: Call, size: int, w: str, r: str, b: Any, peepholes: Any) -> Step:
    first, second = _halves(c, b, 4 * size)
    if peepholes is None:
        w, r, first, second = (_ordered(c, v, (0, 2, 3, 1), size) for v in (w, r, first, second))
        return lambda x, state: c.g.items(c.add("lstm_cell", x, *state, w, r, first, second), 2)

    def step(x: str, state: list[str]) -> list[str]:
        """Gates that see the cell state."""
        h, cell = state
        z = c.add("add", _linear(c, x, w, first), _linear(c, h, r, second))
        i, o, f, g = (_block(c, z, k, size) for k in range(4))
        p, q, s = (_block(c, peepholes, k, size) for k in range(3))
        i = c.add("sigmoid", c.add("add", i, c.add("multiply", p, cell)))
        f = c.add("sigmoid", c.add("add", f, c.add("multiply", s, cell)))
        new = c.add("add", c.add("multiply", f, cell), c.add("multiply", i, c.add("tanh", g)))
        o = c.add("sigmoid", c.add("add", o, c.add("multiply", q, new)))
        return [c.add("multiply", o, c.add("tanh", new)), new]

    return step


MAKERS = {"RNN": (_rnn, 1), "GRU": (_gru, 1), "LSTM": (_lstm, 2)}


@translation("RNN", "GRU", "LSTM")
def _recurrent(c: Call) -> Any:
    """All steps, all directions."""
    if {"activations", "clip", "input_forget"} & set(c.attrs):
        raise NotOffered("other activations than usual")
    make, states = MAKERS[c.op]
    batch_first = bool(c.attr("layout", 0))
    x = c.add("swapaxes", c.x, axis1=0, axis2=1) if batch_first else c.x
    length, batch, _ = c.shape(x)
    if c[4] is not None and not (c.static(4) == length).all():
        raise NotOffered("sequences of different lengths")
    size = c.attr("hidden_size")
    direction = c.attr("direction", "forward")
    ways = ["forward", "reverse"] if direction == "bidirectional" else [direction]
    shown, last = [], []
    for d, way in enumerate(ways):
        w, r, b, p = (
            None if c[k] is None else c.add("take", c[k], np.int64(d), axis=0) for k in (1, 2, 3, 7)
        )
        assert w is not None
        assert r is not None
        step = make(c, size, w, r, b, p)
        state = []
        for k in range(states):
            given = c[5 + k]
            if given is None:
                state.append(c.g.constant(np.zeros((batch, size))))
            else:
                state.append(c.add("take", given, np.int64(d), axis=1 if batch_first else 0))
        rows: list[Any] = [None] * length
        for t in range(length) if way == "forward" else reversed(range(length)):
            state = step(c.add("take", x, np.int64(t), axis=0), state)
            rows[t] = state[0]
        shown.append(c.add("stack", *rows, axis=0))
        last.append(state)
    y = c.add("stack", *shown, axis=2 if batch_first else 1)
    if batch_first:
        y = c.add("permute_dims", y, axes=[1, 0, 2, 3])
    ends = [c.add("stack", *[s[k] for s in last], axis=1 if batch_first else 0) for k in range(states)]
    return [y, *ends]
