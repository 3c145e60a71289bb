"""Losses of rankings, classes and distances with a margin, with PyTorch's names, argument order, defaults and reductions."""

from __future__ import annotations

from typing import Any

from engine.attrs import BOOL, INT, NUMBER
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.layers.loss import REDUCTION, class_axis, class_weight, reduced, strongly

_MARGIN_KINK = "Where the margin is just met the derivative is 0."


class MarginLoss(Op):
    """What these losses have in common."""

    family = "nn"
    composite = True
    floating = True
    convention = _MARGIN_KINK


class MarginRankingLoss(MarginLoss):
    """Ranking loss: max(0, margin − target·(input1 − input2)), where the target 1 wants input1 to be the larger one."""

    name = "margin_ranking_loss"
    parameters = (
        Operand("input1", ("x1",)),
        Operand("input2", ("x2",)),
        Operand("target", ("y",)),
        Attr("margin", NUMBER, 0.0),
        REDUCTION,
    )
    latex = "\\max(0, {margin} - {target} ({input1} - {input2}))"
    examples = (
        Example(([0.5, -1.5, 3.0], [1.0, 2.0, 0.25], [1.0, -1.0, -1.0])),
        Example(([0.5, -1.5], [1.0, 2.0], [1.0, -1.0]), {"margin": 0.75, "reduction": "none"}),
        Example(([1.0], [1.0], [1.0]), smooth=False, note="the kink"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By relu."""
        x1, x2, target = operands
        return reduced(call(b, "relu", attrs["margin"] - target * (x1 - x2)), attrs["reduction"])


class MultiMarginLoss(MarginLoss):
    """Hinge loss of classes: Σ over i ≠ label of max(0, margin − input[label] + input[i])^p / C, times weight[label].

    input: f[N, C] or f[C]; target: i[N] or i[]; weight: f[C]. p is 1 or 2. Raises `InvalidArray` for a label that names no
    class.
    """

    name = "multi_margin_loss"
    parameters = (
        Operand("input", ("x",)),
        Operand("target", ("labels",), integer=True),
        Attr("p", INT, 1),
        Attr("margin", NUMBER, 1.0),
        Operand("weight", optional=True),
        REDUCTION,
    )
    latex = "\\tfrac{{1}}{{C}} \\sum_i \\max(0, {margin} - {input}_{{{target}}} + {input}_i)^{{{p}}}"
    examples = (
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]], [2, 0])),
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]], [0, 1], [1.0, 2.0, 0.5]), {"p": 2, "margin": 0.75}),
        Example(([0.5, -1.5, 3.0], 1), {"reduction": "sum"}, note="one sample"),
        Example(([[1.0, 2.0]], [1]), smooth=False, note="the kink"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By a mask of classes."""
        (x, target, weight), p = operands, attrs["p"]
        if p not in (1, 2):
            raise InvalidAttribute(f"multi_margin_loss: p must be 1 or 2; it is {p}.")
        if x.rank not in (1, 2):
            raise ShapeMismatch(
                f"multi_margin_loss: input must have shape (N, C) or (C,); it has {list(x.shape)}."
            )
        axis = class_axis(self, x)
        classes = x.shape[axis]
        if target.shape != x.shape[:-1]:
            raise ShapeMismatch(
                f"multi_margin_loss: for an input of shape {list(x.shape)} the target must be labels of shape "
                f"{list(x.shape[:-1])}; its shape is {list(target.shape)}."
            )
        weight = class_weight(self, weight, classes, axis)
        chosen: Var = b.write("class_mask", target, axis=-1, classes=classes, ignore=-1 - classes)
        right = call(b, "where", chosen, x, 0.0).sum(-1, keepdims=True)
        hinge = call(b, "relu", attrs["margin"] - right + x)
        hinge = call(b, "where", chosen, 0.0, hinge if p == 1 else hinge * hinge)
        loss = hinge.sum(-1) / float(classes)
        if weight is not None:
            loss = loss * call(b, "where", chosen, weight, 0.0).sum(-1)
        return reduced(loss, attrs["reduction"])


class MultilabelSoftMarginLoss(MarginLoss):
    """Mean over classes of the binary cross-entropy of σ(input) against targets 0 and 1, times weight.

    input, target: f[*s, C], weight: f[C] or a shape that stretches  ->  f[*s], reduced.
    """

    name = "multilabel_soft_margin_loss"
    parameters = (
        Operand("input", ("x",)),
        Operand("target", ("y",)),
        Operand("weight", optional=True),
        REDUCTION,
    )
    latex = (
        "-\\tfrac{{1}}{{C}} \\sum {target} \\log \\sigma({input}) + (1 - {target}) \\log \\sigma(-{input})"
    )
    convention = "A target of exactly 0 or 1 leaves the other term out, even where it is infinite."
    examples = (
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.25]])),
        Example(([[0.5, -1.5]], [[1.0, 0.0]], [2.0, 0.5]), {"reduction": "none"}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By log_sigmoid."""
        x, target, weight = operands
        if x.rank == 0 or x.shape[-1] == 0:
            raise ShapeMismatch(
                f"{self.name}: input needs an axis of classes at its end; its shape is {list(x.shape)}."
            )
        if target.shape != x.shape:
            raise ShapeMismatch(
                f"{self.name}: input and target must have one shape; they have {list(x.shape)} and {list(target.shape)}."
            )
        loss = -(
            strongly(target, call(b, "log_sigmoid", x)) + strongly(1.0 - target, call(b, "log_sigmoid", -x))
        )
        loss = loss if weight is None else strongly(weight, loss)
        return reduced(loss.sum(-1) / float(x.shape[-1]), attrs["reduction"])


class TripletMarginLoss(MarginLoss):
    """Triplet loss: max(0, d(anchor, positive) − d(anchor, negative) + margin), with d the pairwise distance.

    With `swap` the negative's distance is the smaller one of those from anchor and from positive.
    """

    name = "triplet_margin_loss"
    parameters = (
        Operand("anchor"),
        Operand("positive"),
        Operand("negative"),
        Attr("margin", NUMBER, 1.0),
        Attr("p", NUMBER, 2.0),
        Attr("eps", NUMBER, 1e-6),
        Attr("swap", BOOL, False),
        REDUCTION,
    )
    latex = "\\max(0, d({anchor}, {positive}) - d({anchor}, {negative}) + {margin})"
    examples = (
        Example(([[0.5, -1.5], [1.0, 2.0]], [[1.0, 2.0], [0.0, 0.5]], [[0.0, 1.0], [3.0, 2.0]])),
        Example(
            ([[0.5, -1.5], [1.0, 2.0]], [[1.0, 2.0], [0.0, 0.5]], [[0.0, 1.0], [3.0, 2.5]]),
            {"margin": 2.5, "p": 1.0, "swap": True, "reduction": "none"},
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By pairwise_distance."""
        anchor, positive, negative = operands
        how = {"p": attrs["p"], "eps": attrs["eps"]}
        near = call(b, "pairwise_distance", anchor, positive, **how)
        far = call(b, "pairwise_distance", anchor, negative, **how)
        if attrs["swap"]:
            far = call(b, "minimum", far, call(b, "pairwise_distance", positive, negative, **how))
        return reduced(call(b, "relu", near - far + attrs["margin"]), attrs["reduction"])


class CosineEmbeddingLoss(MarginLoss):
    """1 − cos(input1, input2) where the target is 1, max(0, cos(input1, input2) − margin) where it is −1.

    input1, input2: f[N, D] or f[D], target: f[N] or f[]. As in PyTorch 10⁻¹² is added to the squared lengths.
    """

    name = "cosine_embedding_loss"
    parameters = (
        Operand("input1", ("x1",)),
        Operand("input2", ("x2",)),
        Operand("target", ("y",)),
        Attr("margin", NUMBER, 0.0),
        REDUCTION,
    )
    convention = (
        "Where cos is the margin the derivative is 0; in the target, of which only the sign counts, it is 0."
    )
    latex = "1 - \\cos({input1}, {input2})"
    examples = (
        Example(([[0.5, -1.5], [1.0, 2.0]], [[1.0, 2.0], [0.0, 0.5]], [1.0, -1.0])),
        Example(
            ([[0.5, -1.5], [1.0, 2.0]], [[1.0, 2.0], [0.0, 0.5]], [-1.0, -1.0]),
            {"margin": 0.5, "reduction": "none"},
            smooth=False,
        ),
        Example(([0.5, -1.5], [1.0, 2.0], 1.0), {"reduction": "sum"}, note="one sample"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By sums of products."""
        x1, x2, target = operands
        if x1.rank not in (1, 2) or x1.shape != x2.shape or target.shape != x1.shape[:-1]:
            raise ShapeMismatch(
                "cosine_embedding_loss: input1 and input2 must have one shape (N, D) or (D,), and target (N,) or (); they "
                f"have {list(x1.shape)}, {list(x2.shape)} and {list(target.shape)}."
            )
        lengths = ((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12)
        cosine = (x1 * x2).sum(-1) / call(b, "sqrt", lengths)
        away = call(b, "relu", cosine - attrs["margin"])
        return reduced(call(b, "where", target > 0.0, 1.0 - cosine, away), attrs["reduction"])


for _op in (
    MarginRankingLoss(), MultiMarginLoss(), MultilabelSoftMarginLoss(), TripletMarginLoss(), CosineEmbeddingLoss(),
):  # fmt: skip
    registry.add(_op)
