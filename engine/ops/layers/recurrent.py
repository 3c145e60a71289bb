"""One step of recurrent networks, with PyTorch's layouts: rnn_cell, lstm_cell, gru_cell. A `scan` over them is the network."""

from __future__ import annotations

from typing import Any

from engine.attrs import one_of
from engine.builder import Builder, Var, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.layers.spatial import ramp
from engine.ops.layout.shape import slice_axis

INPUT, HIDDEN = Operand("input", ("x",)), Operand("hx", ("h",))
WEIGHTS = (
    Operand("w_ih", ("weight_ih",)),
    Operand("w_hh", ("weight_hh",)),
    Operand("b_ih", ("bias_ih",), optional=True),
    Operand("b_hh", ("bias_hh",), optional=True),
)


class _Cell(Op):
    """What the cells share: shapes, and the two linear layers of all gates at once."""

    family = "nn"
    composite = True
    floating = True
    gates = 1

    def check(self, x: Var, h: Var, w_ih: Var, w_hh: Var, b_ih: Var | None, b_hh: Var | None) -> int:
        """The size of the hidden state. Raises `ShapeMismatch`."""
        if x.rank < 1 or h.rank < 1 or x.shape[:-1] != h.shape[:-1]:
            raise ShapeMismatch(
                f"{self.name}: input and hx must have the shapes [*batch, in] and [*batch, hidden]; they have "
                f"{list(x.shape)} and {list(h.shape)}."
            )
        n, size = x.shape[-1], h.shape[-1]
        rows = self.gates * size
        for name, v, shape in (
            ("w_ih", w_ih, (rows, n)), ("w_hh", w_hh, (rows, size)), ("b_ih", b_ih, (rows,)), ("b_hh", b_hh, (rows,)),
        ):  # fmt: skip
            if v is not None and v.shape != shape:
                raise ShapeMismatch(
                    f"{self.name}: for an input of shape {list(x.shape)} and a state of shape {list(h.shape)} {name} must "
                    f"have shape {list(shape)}; it has {list(v.shape)}."
                )
        return size

    def layers(self, x: Var, h: Var, weights: Any) -> tuple[Var, Var]:
        """Both linear layers."""
        w_ih, w_hh, b_ih, b_hh = weights
        return call(x.b, "linear", x, w_ih, b_ih), call(x.b, "linear", h, w_hh, b_hh)


def _gate(v: Var, k: int, size: int) -> Var:
    return slice_axis(v, -1, k * size, (k + 1) * size)


class RnnCell(_Cell):
    """One step of a simple recurrent network: tanh(w_ih·x + b_ih + w_hh·h + b_hh), or relu of it.

    input: f[*batch, in], hx: f[*batch, hidden], w_ih: f[hidden, in], w_hh: f[hidden, hidden], b_ih, b_hh: f[hidden]
    ->  f[*batch, hidden]
    """

    name = "rnn_cell"
    aliases = ("rnn_tanh_cell", "RNNCell")
    parameters = (INPUT, HIDDEN, *WEIGHTS, Attr("nonlinearity", one_of("tanh", "relu"), "tanh"))
    latex = "\\tanh(w_{{ih}} {input} + w_{{hh}} {hx})"
    examples = (
        Example((ramp(2, 3), ramp(2, 2), ramp(2, 3), ramp(2, 2), [0.5, -0.25], [1.0, 0.5])),
        Example(
            (ramp(3), ramp(2), ramp(2, 3), ramp(2, 2)), {"nonlinearity": "relu"}, note="no batch, no bias"
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Two linear layers."""
        x, h, *weights = operands
        self.check(x, h, *weights)
        one, other = self.layers(x, h, weights)
        return call(b, attrs["nonlinearity"], one + other)


class LstmCell(_Cell):
    """One step of a long short-term memory: the new hidden state h′ = o·tanh(c′) and cell state c′ = f·c + i·g.

    input: f[*batch, in], hx, cx: f[*batch, hidden], w_ih: f[4·hidden, in], w_hh: f[4·hidden, hidden], b_ih, b_hh: f[4·hidden]
    ->  h′, c′: f[*batch, hidden]. The rows of the weights are those of i, f, g, o in this order: i, f, o = σ(…), g = tanh(…).

    S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997, doi:10.1162/neco.1997.9.8.1735.
    """

    name = "lstm_cell"
    aliases = ("LSTMCell",)
    gates = 4
    parameters = (INPUT, HIDDEN, Operand("cx", ("c",)), *WEIGHTS)
    results = ("h", "c")
    latex = "\\operatorname{{LSTM}}({input}, {hx}, {cx})"
    examples = (
        Example((ramp(2, 3), ramp(2, 2), ramp(2, 2), ramp(8, 3), ramp(8, 2), ramp(8), ramp(8))),
        Example((ramp(1), ramp(2), ramp(2), ramp(8, 1), ramp(8, 2)), note="no batch, no bias"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """Two linear layers, four gates."""
        x, h, c, *weights = operands
        size = self.check(x, h, *weights)
        if c.shape != h.shape:
            raise ShapeMismatch(
                f"lstm_cell: hx and cx must have one shape; they have {list(h.shape)} and {list(c.shape)}."
            )
        one, other = self.layers(x, h, weights)
        z = one + other
        i, f, o = (call(b, "sigmoid", _gate(z, k, size)) for k in (0, 1, 3))
        new = f * c + i * call(b, "tanh", _gate(z, 2, size))
        return o * call(b, "tanh", new), new


class GruCell(_Cell):
    """One step of a gated recurrent unit: h′ = (1 − z)·n + z·h.

    input: f[*batch, in], hx: f[*batch, hidden], w_ih: f[3·hidden, in], w_hh: f[3·hidden, hidden], b_ih, b_hh: f[3·hidden]
    ->  f[*batch, hidden]. The rows of the weights are those of r, z, n in this order: r, z = σ(…), and
    n = tanh(w_in·x + b_in + r·(w_hn·h + b_hn)).

    K. Cho et al., EMNLP 2014, arXiv:1406.1078.
    """

    name = "gru_cell"
    aliases = ("GRUCell",)
    gates = 3
    parameters = (INPUT, HIDDEN, *WEIGHTS)
    latex = "\\operatorname{{GRU}}({input}, {hx})"
    examples = (
        Example((ramp(2, 3), ramp(2, 2), ramp(6, 3), ramp(6, 2), ramp(6), ramp(6))),
        Example((ramp(1), ramp(2), ramp(6, 1), ramp(6, 2)), note="no batch, no bias"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Two linear layers, three gates."""
        x, h, *weights = operands
        size = self.check(x, h, *weights)
        one, other = self.layers(x, h, weights)
        r, z = (call(b, "sigmoid", _gate(one, k, size) + _gate(other, k, size)) for k in (0, 1))
        n = call(b, "tanh", _gate(one, 2, size) + r * _gate(other, 2, size))
        result: Var = n + z * (h - n)
        return result


for _op in (RnnCell(), LstmCell(), GruCell()):
    registry.add(_op)
