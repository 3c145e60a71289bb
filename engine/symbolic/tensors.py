"""Which rules read the ops that lay arrays out, and products."""

from __future__ import annotations

from engine.graph import Node, single
from engine.symbolic.deltas import place
from engine.symbolic.expressions import Expr
from engine.symbolic.layout import aligned, bare_shape, cut, embed, like_shape, permute, reshaped
from engine.symbolic.products import matmul, total
from engine.symbolic.read import Reader, Rule


def reshape(reader: Reader, node: Node) -> Expr:
    """A reshape; axes of one entry in front need none, since they broadcast."""
    j = node.inputs[0]
    laid = reader.graph.nodes[j]
    if laid.op.name == "core.place" and not dict(laid.params)["base"]:
        params = dict(laid.params) | {"shape": single(node.aval).shape}
        if tuple(dict(laid.params)["shape"]) == single(laid.aval).shape:
            return place(reader, Node(laid.op, laid.inputs, tuple(sorted(params.items())), node.aval))
    e, old, new = reader.of(j), reader.aval(j).shape, single(node.aval).shape
    if e.shape == ():
        return e
    if [n for n in old if n != 1] == [n for n in new if n != 1]:
        return reshaped(reader, e, bare_shape(like_shape(e.shape, old, new)))
    whole = aligned(reader, e, old)
    return reshaped(reader, whole, new)


TENSORS: dict[str, tuple[Rule, ...]] = {
    "reshape": (reshape,),
    "permute_dims": (permute,),
    "matmul": (matmul,),
    "strong_matmul": (matmul,),
    "sum": (total,),
    "slice": (cut,),
    "embed": (embed,),
    "core.place": (place,),
}
"""Rules of ops that lay arrays out, and of products."""
