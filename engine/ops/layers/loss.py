"""Losses: what training minimises. Names, argument order and the mean over all entries are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import INT, NUMBER, one_of
from engine.aval import Array, Aval, Avals, without_axes
from engine.builder import Builder, Var, call, cast
from engine.errors import DtypeMismatch, EmptyReduction, InvalidArray, InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Spelling, Zero, registry

REDUCTION = Attr("reduction", one_of("mean", "sum", "none"), "mean", keyword_only=True)
IGNORE = Attr("ignore_index", INT, -100, keyword_only=True)


def reduced(loss: Var, reduction: str) -> Var:
    """The mean or the sum of all entries, or the entries themselves. The mean of nothing is NaN."""
    if reduction == "none":
        return loss
    total = loss.sum()
    return total if reduction == "sum" else total / float(loss.size)


class ClassMask(Op):
    """Whether an entry is that of the class which the label names: labels stretched over a new axis of classes.

    Params: `axis` of the classes, counted from the end; `classes`, how many; `ignore`, a label that names none.
    """

    name = "class_mask"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The labels' shape with the axis of classes put in."""
        shape, axis = avals[0].shape, params["axis"]
        at = len(shape) + 1 + axis
        return Aval((*shape[:at], params["classes"], *shape[at:]), "bool")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By comparison. Raises `InvalidArray` for a label that names no class."""
        labels, axis, classes = np.asarray(arrays[0]), params["axis"], params["classes"]
        ignore = params["ignore"]
        # As unsigned numbers the negative ones are larger than all classes.
        if labels.size and np.maximum.reduce(labels.view(np.uint64), axis=None) >= classes:
            _check_labels(labels, classes, ignore)
        # A label to ignore names no class even if it is one's number.
        names = np.arange(classes).reshape((classes, *[1] * (-axis - 1)))
        at = labels.ndim + 1 + axis
        spread = labels.reshape((*labels.shape[:at], 1, *labels.shape[at:]))
        named = spread == names
        return np.asarray(named & (spread != ignore) if 0 <= ignore < classes else named)


def _check_labels(labels: Array, classes: int, ignore: int) -> None:
    """Raises `InvalidArray` for a label that names no class."""
    wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InvalidArray(
            f"The label {int(labels[at])}{f' at {list(at)}' if at else ''} names no class: the classes are "
            f"0 … {classes - 1}, and ignore_index={ignore} marks labels to leave out."
        )


registry.add(ClassMask())


def class_axis(op: Op, x: Var) -> int:
    """The axis of classes, counted from the end: the second one, of a vector the only one."""
    if x.rank == 0:
        raise ShapeMismatch(f"{op.name}: input needs an axis of classes, (N, C) or (C,); it is a scalar.")
    axis = -1 if x.rank == 1 else 1 - x.rank
    if x.shape[axis] == 0:
        raise EmptyReduction(
            f"{op.name}: input of shape {list(x.shape)} has no classes; there must be at least one."
        )
    return axis


def class_weight(op: Op, weight: Var | None, classes: int, axis: int) -> Var | None:
    """The weights, shaped so that they stretch along the axis of classes."""
    if weight is None:
        return None
    if weight.shape != (classes,):
        raise ShapeMismatch(
            f"{op.name}: weight must have one number for each of the {classes} classes, shape [{classes}]; "
            f"its shape is {list(weight.shape)}."
        )
    return weight.reshape((classes, *[1] * (-axis - 1)))


def strongly(factor: Var, v: Var) -> Var:
    """factor·v, and 0 where the factor is 0, whatever v is."""
    b = v.b
    left, right = b.broadcast([factor, v])
    result: Var = b.write("multiply", left, right, strong=(0,))
    return result


def _label_loss(
    op: Op,
    logp: Var,
    labels: Var,
    weight: Var | None,
    axis: int,
    *,
    ignore: int,
    reduction: str,
    smoothing: float,
) -> Var:
    """−w[label]·logp[label], ignored labels left out; the mean is over the weights of the labels."""
    b, classes = logp.b, logp.shape[axis]
    expected = without_axes(logp.shape, (axis,))
    if labels.shape != expected:
        raise ShapeMismatch(
            f"{op.name}: for an input of shape {list(logp.shape)} ({classes} classes) the target must be labels of shape "
            f"{list(expected)}{f', or probabilities of shape {list(logp.shape)}' if op.name == 'cross_entropy' else ''}; "
            f"its shape is {list(labels.shape)}."
        )
    chosen: Var = b.write("class_mask", labels, axis=axis, classes=classes, ignore=ignore)
    weighted = logp if weight is None else strongly(weight, logp)
    loss = -call(b, "where", chosen, weighted, 0.0).sum(axis)
    if smoothing:
        counted = call(b, "greater", cast(b, chosen, "int64").sum(axis), 0)
        smooth = call(b, "where", counted, weighted.sum(axis), 0.0) * (-smoothing / classes)
        loss = loss * (1.0 - smoothing) + smooth
    if reduction != "mean":
        return reduced(loss, reduction)
    total = cast(b, chosen, b.dtype) if weight is None else call(b, "where", chosen, weight, 0.0)
    return loss.sum() / total.sum()


class CrossEntropy(Op):
    """Cross-entropy of softmax(input) against class labels, or against probabilities.

    input: f[N, C, *d] or f[C]; target: i[N, *d] or i[] (labels), or f of input's own shape (probabilities); weight: f[C].
    With labels the loss is −w[label]·log softmax(input)[label], 0 where the label is `ignore_index`, and `mean` divides by
    the sum of w[label]; with probabilities it is −Σ w·target·log softmax(input), and `mean` divides by the number of
    samples. `label_smoothing` mixes the target with the uniform distribution.

    Raises `InvalidArray` for a label that names no class.
    """

    name = "cross_entropy"
    aliases = ("SoftmaxCrossEntropyLoss",)
    family = "nn"
    parameters = (
        Operand("input", ("x", "logits")),
        Operand("target", ("labels",), integer=True, floats=True),
        Operand("weight", optional=True),
        IGNORE,
        REDUCTION,
        Attr("label_smoothing", NUMBER, 0.0, keyword_only=True),
    )
    composite = True
    floating = True
    latex = "-\\log \\operatorname{{softmax}}({input})_{{{target}}}"
    derivative = {"input": "\\operatorname{softmax}(x) - t"}
    convention = (
        "A class with logit −∞ has probability 0 and derivative 0; where its target is 0 it adds nothing."
    )
    examples = (
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]], [2, 0])),
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]], [[0.2, 0.3, 0.5], [0.1, 0.0, 0.9]])),
        Example(
            ([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25], [1.0, 0.0, 2.0]], [2, -100, 1], [1.0, 2.0, 0.5]),
            {"label_smoothing": 0.1},
            note="weights, smoothing, and a label to ignore",
        ),
        Example(
            ([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]], [[0.2, 0.3, 0.5], [0.1, 0.0, 0.9]], [1.0, 2.0, 0.5]),
            {"label_smoothing": 0.1, "reduction": "none"},
        ),
        Example(
            ([[[0.5, -1.5], [3.0, 1.0]], [[1.0, 2.0], [0.25, 0.75]]], [[1, 0], [0, 0]]),
            {"reduction": "sum"},
            note="one more axis",
        ),
        Example(([0.5, -1.5, 3.0], 1), note="one sample"),
        Example(([[1000.0, -1000.0, 0.5]], [0]), note="no overflow"),
        Example(([[0.5, -np.inf, 3.0]], [0]), smooth=False, note="a masked class"),
        Example(
            ([[0.5, -np.inf, 3.0]], [[0.25, 0.0, 0.75]]), smooth=False, note="a masked class of probability 0"
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By log_softmax."""
        x, target, weight = operands
        smoothing = attrs["label_smoothing"]
        if not 0.0 <= smoothing <= 1.0:
            raise InvalidAttribute(
                f"cross_entropy: label_smoothing must be between 0 and 1; it is {smoothing}."
            )
        axis = class_axis(self, x)
        classes = x.shape[axis]
        weight = class_weight(self, weight, classes, axis)
        logp: Var = call(b, "log_softmax", x, axis=axis)
        if target.shape != x.shape:
            if target.dtype != "int64":
                raise _not_labels(self, x, target, axis)
            return _label_loss(
                self, logp, target, weight, axis,
                ignore=attrs["ignore_index"], reduction=attrs["reduction"], smoothing=smoothing,
            )  # fmt: skip
        p = cast(b, target, b.dtype)
        if smoothing:
            p = p * (1.0 - smoothing) + smoothing / classes
        terms = strongly(p, logp)
        loss = -(terms if weight is None else strongly(weight, terms)).sum(axis)
        return reduced(loss, attrs["reduction"])


def _not_labels(op: Op, x: Var, target: Var, axis: int) -> ShapeMismatch | DtypeMismatch:
    """Floating-point numbers that are neither labels nor probabilities."""
    expected = without_axes(x.shape, (axis,))
    if target.shape == expected:
        return DtypeMismatch(
            f"{op.name}: a target of shape {list(expected)} is class labels, which must be integers; here they are "
            f"floating-point numbers. An input written only in integers (2, not 2.0) is an integer there."
        )
    return ShapeMismatch(
        f"{op.name}: for an input of shape {list(x.shape)} the target must be probabilities of that shape, or integer "
        f"labels of shape {list(expected)}; its shape is {list(target.shape)}."
    )


class NllLoss(Op):
    """Negative log likelihood: −weight[label]·input[label], where input holds logarithms of probabilities.

    input: f[N, C, *d] or f[C]; target: i[N, *d] or i[]; weight: f[C]. `mean` divides by the sum of weight[label], labels
    equal to `ignore_index` left out. Raises `InvalidArray` for a label that names no class.
    """

    name = "nll_loss"
    aliases = ("NegativeLogLikelihoodLoss",)
    family = "nn"
    parameters = (
        Operand("input", ("x",)),
        Operand("target", ("labels",), integer=True),
        Operand("weight", optional=True),
        IGNORE,
        REDUCTION,
    )
    composite = True
    floating = True
    latex = "-{input}_{{{target}}}"
    derivative = {"input": "-t"}
    examples = (
        Example(([[-0.5, -1.5, -3.0], [-1.0, -2.0, -0.25]], [2, 0])),
        Example(
            ([[-0.5, -1.5, -3.0], [-1.0, -2.0, -0.25], [-1.0, -0.1, -2.0]], [2, -100, 1], [1.0, 2.0, 0.5]),
            note="weights and a label to ignore",
        ),
        Example(([-0.5, -1.5, -3.0], 1), {"reduction": "sum"}),
        Example(([[-0.5, -np.inf]], [0]), smooth=False, note="a class of probability 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By a mask of classes."""
        x, target, weight = operands
        axis = class_axis(self, x)
        weight = class_weight(self, weight, x.shape[axis], axis)
        return _label_loss(
            self,
            x,
            target,
            weight,
            axis,
            ignore=attrs["ignore_index"],
            reduction=attrs["reduction"],
            smoothing=0.0,
        )


class MseLoss(Op):
    """Mean squared error, (input − target)²."""

    name = "mse_loss"
    aliases = ("mse",)
    family = "nn"
    parameters = (Operand("input", ("x", "prediction")), Operand("target", ("y",)), REDUCTION)
    composite = True
    floating = True
    latex = "\\tfrac{{1}}{{n}} \\sum ({input} - {target})^2"
    derivative = {"input": "\\tfrac{2}{n} (x - t)", "target": "\\tfrac{2}{n} (t - x)"}
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25])),
        Example(([[0.5, -1.5], [3.0, 1.0]], [1.0, 2.0]), {"reduction": "none"}, note="broadcasting"),
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25]), {"reduction": "sum"}),
        Example(([], []), {"reduction": "sum"}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The reduced square of the difference."""
        x, target = operands
        return reduced(call(b, "square", x - target), attrs["reduction"])


class HuberLoss(Op):
    """Huber loss of the residual r = input − target: ½r² for |r| ≤ delta, else delta·(|r| − ½delta).

    P. J. Huber, Ann. Math. Statist. 35(1), 1964, doi:10.1214/aoms/1177703732. SciPy's `huber(delta, r)` is the same,
    entry by entry.
    """

    name = "huber_loss"
    aliases = ("huber",)
    family = "nn"
    parameters = (
        Operand("input", ("x", "prediction")),
        Operand("target", ("y",)),
        Attr("reduction", REDUCTION.kind, "mean"),
        Attr("delta", NUMBER, 1.0),
    )
    spellings = {
        "scipy.special.huber": Spelling(
            {"reduction": "none", "target": 0.0}, (Attr("delta", NUMBER), Operand("input", ("r",)))
        )
    }
    composite = True
    floating = True
    latex = "\\operatorname{{huber}}({input} - {target})"
    derivative = {"input": "\\operatorname{clip}(r, -\\delta, \\delta)"}
    convention = "At |r| = delta the second derivative is 1, that of the square."
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25])),
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25]), {"delta": 2.0, "reduction": "none"}),
        Example(
            ([1e200, 0.0], [1.0, 0.0]),
            {"reduction": "none"},
            note="the square of the residual would overflow",
        ),
        Example(([1.0], [0.0]), smooth=False, note="where the two meet"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice between the square and the line; neither sees a residual that it is not chosen for."""
        (x, target), delta = operands, attrs["delta"]
        if not delta > 0:
            raise InvalidAttribute(f"huber_loss: delta must be positive; it is {delta}.")
        r = x - target
        near = call(b, "logical_and", r <= delta, r >= -delta)
        square = call(b, "square", call(b, "where", near, r, 0.0)) * 0.5
        line = (call(b, "abs", call(b, "where", near, delta, r)) - 0.5 * delta) * delta
        return reduced(call(b, "where", near, square, line), attrs["reduction"])


class BinaryCrossEntropyWithLogits(Op):
    """Binary cross-entropy of σ(input) against target probabilities, without overflow.

    −pos_weight·target·log σ(input) − (1 − target)·log σ(−input), times weight.
    """

    name = "binary_cross_entropy_with_logits"
    aliases = ("bce_with_logits",)
    family = "nn"
    parameters = (
        Operand("input", ("x", "logits")),
        Operand("target", ("y",)),
        Operand("weight", optional=True),
        REDUCTION,
        Operand("pos_weight", optional=True),
    )
    composite = True
    floating = True
    latex = "-{target} \\log \\sigma({input}) - (1 - {target}) \\log \\sigma(-{input})"
    derivative = {"input": "\\sigma(x) - t"}
    convention = "A target of exactly 0 or 1 leaves the other term out, even where it is infinite."
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 0.25, 0.0])),
        Example(
            ([0.5, -1.5, 3.0], [1.0, 0.25, 0.5], [1.0, 2.0, 0.5], [3.0, 1.0, 2.0]), {"reduction": "none"}
        ),
        Example(([1000.0, -1000.0], [0.0, 1.0]), {"reduction": "sum"}, note="no overflow"),
        Example(([-np.inf, np.inf], [0.0, 1.0]), smooth=False, note="certain and right: loss 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By log_sigmoid; target and 1 − target are strong zeros."""
        x, target, weight, pos_weight = operands
        if target.shape != x.shape:
            raise ShapeMismatch(
                f"{self.name}: input and target must have one shape; they have {list(x.shape)} and {list(target.shape)}."
            )
        true = call(b, "log_sigmoid", x)
        if pos_weight is not None:
            true = strongly(pos_weight, true)
        loss = -(strongly(target, true) + strongly(1.0 - target, call(b, "log_sigmoid", -x)))
        return reduced(loss if weight is None else strongly(weight, loss), attrs["reduction"])


for _op in (
    CrossEntropy(), NllLoss(), MseLoss(), HuberLoss(), BinaryCrossEntropyWithLogits(),
):  # fmt: skip
    registry.add(_op)
