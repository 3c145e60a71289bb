"""Attention: scaled dot products, and several heads of them with projections."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from engine.attrs import BOOL, INT, NUMBER, optional
from engine.aval import broadcast_shapes
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch, Unsupported
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.layers.spatial import check_axis, ramp
from engine.ops.layout.arrange import permuted
from engine.ops.layout.shape import slice_axis

INF = float("inf")

MASK = Operand("attn_mask", ("mask",), optional=True, masks=True)
"""Booleans stay booleans; anything else is a floating-point number that is added."""


def attended(op: str, q: Var, k: Var, v: Var, mask: Var | None, *, causal: bool, scale: float | None) -> Var:
    """softmax(q kᵀ·scale + mask) v over the last two axes."""
    b = q.b
    if scale is None:
        scale = 1 / sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    turned = permuted(k, [*range(k.rank - 2), k.rank - 1, k.rank - 2])
    scores = call(b, "matmul", q, turned) * scale
    if causal:
        # Query i sees keys 0 … i.
        rows, columns = scores.shape[-2:]
        check_axis(b, rows + columns)
        before = call(
            b,
            "greater_equal",
            b.var(np.arange(rows).reshape(-1, 1), "int64"),
            b.var(np.arange(columns), "int64"),
        )
        scores = call(b, "where", before, scores, -INF)
    if mask is not None:
        try:
            fits = broadcast_shapes([mask.shape, scores.shape]) == scores.shape
        except ShapeMismatch:
            fits = False
        if not fits:
            raise ShapeMismatch(
                f"{op}: attn_mask of shape {list(mask.shape)} cannot be broadcast to {list(scores.shape)}, the shape of the "
                "scores: [*lead, queries, keys]."
            )
        scores = call(b, "where", mask, scores, -INF) if mask.dtype == "bool" else scores + mask
    return call(b, "matmul", call(b, "softmax", scores, axis=-1), v)


class ScaledDotProductAttention(Op):
    """Attention, softmax(query·keyᵀ·scale + mask)·value, as PyTorch's.

    query: f[*lead, L, E], key: f[*lead, S, E], value: f[*lead, S, D], attn_mask: b or f, broadcast to [*lead, L, S]
    ->  f[*lead, L, D]

    A boolean mask says which keys a query sees, a floating one is added to the scores; with `is_causal` query i sees keys
    0 … i (as well as what the mask lets it see). `scale` is 1/√E unless given. With `enable_gqa` the heads of key and value,
    axis −3, are each shared by as many neighbouring heads of query as there are.

    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762.
    """

    name = "scaled_dot_product_attention"
    aliases = ("attention", "sdpa", "dot_product_attention")
    family = "nn"
    parameters = (
        Operand("query", ("q", "Q")),
        Operand("key", ("k", "K")),
        Operand("value", ("v", "V")),
        MASK,
        Attr("dropout_p", NUMBER, 0.0),
        Attr("is_causal", BOOL, False),
        Attr("scale", optional(NUMBER), None, keyword_only=True),
        Attr("enable_gqa", BOOL, False, keyword_only=True),
    )
    composite = True
    floating = True
    latex = "\\operatorname{{softmax}}\\left(\\frac{{{query} \\, {key}^\\top}}{{\\sqrt{{E}}}}\\right) {value}"
    convention = (
        "A masked key has weight 0 and derivative 0; a query that sees no key yields 0, with derivative 0."
    )
    examples = (
        Example((ramp(2, 3, 2), ramp(2, 4, 2), ramp(2, 4, 3))),
        Example(
            (
                ramp(3, 2),
                ramp(3, 2),
                ramp(3, 2),
                [[True, False, True], [False, True, False], [False, False, False]],
            ),
            smooth=False,
            note="a query that sees nothing",
        ),
        Example(
            (ramp(2, 2), ramp(3, 2), ramp(3, 1), [[0.5, -INF, -1.0], [0.0, 2.0, -INF]]),
            {"scale": 0.5},
            smooth=False,
            note="a mask that is added",
        ),
        Example(
            (ramp(2, 2), ramp(3, 2), ramp(3, 1), [[0.5, -1e7, -1.0], [0.25, 2.0, -1e7]]),
            note="a mask of large numbers in place of −∞",
        ),
        Example((ramp(3, 2), ramp(3, 2), ramp(3, 2)), {"is_causal": True}),
        Example(
            (ramp(4, 2, 3), ramp(2, 3, 3), ramp(2, 3, 2)), {"enable_gqa": True}, note="heads that share keys"
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Two matrix products and a softmax."""
        q, k, v, mask = operands
        if attrs["dropout_p"] != 0:
            raise Unsupported(
                f"{self.name}: dropout_p must be 0; a program is a pure function and draws no random numbers."
            )
        for name, one in (("query", q), ("key", k), ("value", v)):
            if one.rank < 2:
                raise ShapeMismatch(
                    f"{self.name}: {name} must have the shape [*lead, sequence, features]; its shape is {list(one.shape)}."
                )
        if q.shape[-1] != k.shape[-1]:
            raise ShapeMismatch(
                f"{self.name}: query has {q.shape[-1]} features (shape {list(q.shape)}), key {k.shape[-1]} "
                f"(shape {list(k.shape)}); they must be equal."
            )
        if k.shape[-2] != v.shape[-2]:
            raise ShapeMismatch(
                f"{self.name}: there are {k.shape[-2]} keys (shape {list(k.shape)}), but {v.shape[-2]} values (shape "
                f"{list(v.shape)})."
            )
        if attrs["enable_gqa"]:
            k, v = (self._shared(b, name, q, one) for name, one in (("key", k), ("value", v)))
        return attended(self.name, q, k, v, mask, causal=attrs["is_causal"], scale=attrs["scale"])

    def _shared(self, b: Builder, name: str, q: Var, one: Var) -> Var:
        if q.rank < 3 or one.rank < 3 or one.shape[-3] == 0 or q.shape[-3] % one.shape[-3]:
            raise ShapeMismatch(
                f"{self.name}: with enable_gqa the heads of query (axis -3 of {list(q.shape)}) must be a multiple of those "
                f"of {name} (axis -3 of {list(one.shape)})."
            )
        times = q.shape[-3] // one.shape[-3]
        return call(b, "repeat", one, repeats=times, axis=-3) if times != 1 else one


registry.add(ScaledDotProductAttention())


class MultiHeadAttention(Op):
    """Attention of several heads: projections of query, key and value, a head for each slice of them, and one projection back.

    query: f[*lead, L, E], key, value: f[*lead, S, E], in_proj_weight: f[3·E, E], out_proj_weight: f[E, E], in_proj_bias:
    f[3·E], out_proj_bias: f[E]  ->  f[*lead, L, E]

    The weights are those of PyTorch's `MultiheadAttention` (batch first, no dropout). The mask is that of
    `scaled_dot_product_attention`, [*lead, L, S] or for each head [*lead, heads, L, S]: true means that a query sees a key.
    """

    name = "multi_head_attention"
    family = "nn"
    parameters = (
        Operand("query", ("q",)),
        Operand("key", ("k",)),
        Operand("value", ("v",)),
        Operand("in_proj_weight"),
        Operand("out_proj_weight"),
        Operand("in_proj_bias", optional=True),
        Operand("out_proj_bias", optional=True),
        MASK,
        Attr("num_heads", INT),
        Attr("is_causal", BOOL, False),
    )
    composite = True
    floating = True
    latex = "\\operatorname{{MHA}}({query}, {key}, {value})"
    convention = ScaledDotProductAttention.convention
    examples = (
        Example(
            (ramp(2, 3, 4), ramp(2, 2, 4), ramp(2, 2, 4), ramp(12, 4), ramp(4, 4), ramp(12), ramp(4)),
            {"num_heads": 2},
        ),
        Example(
            (ramp(3, 2), ramp(3, 2), ramp(3, 2), ramp(6, 2), ramp(2, 2)), {"num_heads": 1, "is_causal": True}
        ),
        Example(
            (
                ramp(2, 2),
                ramp(2, 2),
                ramp(2, 2),
                ramp(6, 2),
                ramp(2, 2),
                None,
                None,
                [[True, False], [False, False]],
            ),
            {"num_heads": 2},
            smooth=False,
            note="a query that sees nothing",
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By linear layers and attention."""
        q, k, v, w_in, w_out, b_in, b_out, mask = operands
        heads = attrs["num_heads"]
        width = q.shape[-1] if q.rank > 1 else 0
        if heads < 1 or not width or width % heads:
            raise InvalidAttribute(
                f"{self.name}: num_heads must divide the features of query, the last axis of {list(q.shape)}; it is {heads}."
            )
        for name, one, shape in (
            ("in_proj_weight", w_in, (3 * width, width)), ("out_proj_weight", w_out, (width, width)),
            ("in_proj_bias", b_in, (3 * width,)), ("out_proj_bias", b_out, (width,)),
        ):  # fmt: skip
            if one is not None and one.shape != shape:
                raise ShapeMismatch(
                    f"{self.name}: for a query of shape {list(q.shape)} {name} must have shape {list(shape)}; it has "
                    f"{list(one.shape)}."
                )
        if k.rank < 2 or k.shape != v.shape or k.shape[-1] != width:
            raise ShapeMismatch(
                f"{self.name}: key and value must have the shape [*lead, keys, {width}]; they have {list(k.shape)} and "
                f"{list(v.shape)}."
            )
        parts = []
        for i, one in enumerate((q, k, v)):
            weight = slice_axis(w_in, -2, i * width, (i + 1) * width)
            bias = None if b_in is None else slice_axis(b_in, -1, i * width, (i + 1) * width)
            y = call(b, "linear", one, weight, bias)
            split = y.reshape((*y.shape[:-1], heads, width // heads))
            parts.append(permuted(split, [*range(y.rank - 2), y.rank - 1, y.rank - 2, y.rank]))
        if mask is not None and mask.rank == q.rank and mask.rank > 2:
            mask = mask.reshape((*mask.shape[:-2], 1, *mask.shape[-2:]))
        y = attended(self.name, parts[0], parts[1], parts[2], mask, causal=attrs["is_causal"], scale=None)
        n = y.rank - 3
        joined = permuted(y, [*range(n), n + 1, n, n + 2])
        return call(b, "linear", joined.reshape((*joined.shape[:-2], width)), w_out, b_out)


registry.add(MultiHeadAttention())
