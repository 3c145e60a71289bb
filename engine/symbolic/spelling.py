"""Core ops in public words: parameters under their public names, and internal ops by public ones that compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.aval import Aval
from engine.graph import Node, single
from engine.op import registry
from engine.symbolic.expressions import Expr
from engine.symbolic.functions import elementwise, shape_of
from engine.symbolic.layout import aligned, column, reshaped
from engine.symbolic.read import Reader, Rule, Unspelled


def _axes(value: tuple[int, ...], rank: int) -> dict[str, Any]:
    if len(value) == rank:
        return {}
    return {"axis": value[0] if len(value) == 1 else tuple(value)}


def _call(reader: Reader, node: Node, name: str, attrs: Mapping[str, Any], *operands: Expr) -> Expr:
    aval = single(node.aval)
    given = tuple(sorted(attrs.items()))
    return reader.alg.call(
        name, operands or [reader.whole(j) for j in node.inputs], aval.shape, aval.dtype, given
    )


def over_axes(reader: Reader, node: Node) -> Expr:
    """A reduction: over all axes, or those named."""
    params = dict(node.params)
    attrs = _axes(params.pop("axes"), reader.aval(node.inputs[0]).rank)
    return _call(reader, node, node.op.name, attrs | params)


def along_axes(reader: Reader, node: Node) -> Expr:
    """softmax and its like: along one axis or several; the last one is the default."""
    axes = dict(node.params)["axes"]
    attrs: dict[str, Any] = {} if axes == (-1,) else {"axis": axes[0] if len(axes) == 1 else tuple(axes)}
    return _call(reader, node, node.op.name, attrs)


def as_named(reader: Reader, node: Node) -> Expr:
    """An op whose parameters have the same names outside; what is the default is left out."""
    defaults = {a.name: a.default for a in node.op.attrs}
    attrs = {k: v for k, v in node.params if not (k in defaults and defaults[k] == v)}
    return _call(reader, node, node.op.name, attrs)


def renamed(names: Mapping[str, str]) -> Rule:
    """The same for an op that has other names inside."""

    def rule(reader: Reader, node: Node) -> Expr:
        return _call(reader, node, node.op.name, {names.get(k, k): v for k, v in node.params})

    return rule


def called(name: str, *keep: str) -> Rule:
    """An internal op that is a public one of another name; of its params those in `keep`."""

    def rule(reader: Reader, node: Node) -> Expr:
        return _call(reader, node, name, {k: v for k, v in node.params if k in keep})

    return rule


def joined(reader: Reader, node: Node) -> Expr:
    """concat: of slices of one entry a list, if that is what it comes from."""
    alg, aval = reader.alg, single(node.aval)
    axis = dict(node.params)["axis"]
    parts = [reader.of(j) for j in node.inputs]
    if aval.rank == 1 and all(reader.aval(j).shape == (1,) for j in node.inputs):
        scalars = [e if e.shape == () else reshaped(reader, e, ()) for e in parts]
        return alg.call("stack", scalars, aval.shape, aval.dtype)
    attrs = {} if axis == -aval.rank else {"axis": axis}
    return _call(reader, node, "concat", attrs)


def systems(reader: Reader, node: Node) -> Expr:
    """A⁻¹B: of a column the solution for a vector."""
    i, j = node.inputs
    a = reader.whole(i)
    c, b = reader.alg.split(reader.of(j))
    if b.kind == "call" and b.op == "eye" and len(a.shape) == 2:
        turned = a.kind == "call" and a.op == "permute_dims" and not a.data and a.operands[0] is not None
        inner = a.operands[0] if turned else a
        assert inner is not None
        inverse = reader.alg.call("inv", (inner,), a.shape)
        found = reader.alg.call("permute_dims", (inverse,), a.shape) if turned else inverse
        return reader.alg.scaled(c, found)
    return _solved(reader, node, lambda b, shape: reader.alg.call("solve", (a, b), shape), j)


def triangular(reader: Reader, node: Node) -> Expr:
    """The same for a triangular matrix."""
    i, j = node.inputs
    a = reader.whole(i)
    params = dict(node.params)
    attrs: dict[str, Any] = {"lower": params["lower"]}
    if params["unit"]:
        attrs["unit_diagonal"] = True
    given = tuple(sorted(attrs.items()))
    return _solved(
        reader, node, lambda b, shape: reader.alg.call("solve_triangular", (a, b), shape, None, given), j
    )


def _solved(reader: Reader, node: Node, solve: Any, j: int) -> Expr:
    shape = single(node.aval).shape
    b = reader.of(j)
    if len(shape) == 2 and shape[1] == 1 and b.kind == "call" and b.op == "getitem":
        vector = reshaped(reader, b, shape[:1])
        return column(reader, solve(vector, shape[:1]))
    found: Expr = solve(aligned(reader, b, reader.aval(j).shape), shape)
    return found


def polygamma(base: int) -> Rule:
    """Derivatives of digamma, by their order."""

    def rule(reader: Reader, node: Node) -> Expr:
        params = dict(node.params)
        n = params["n"] if base < 0 and "n" in params else base
        order = (
            max(n, 0) + params.get("order", 0) if base >= 0 else params.get("n", 0) + params.get("order", 0)
        )
        x = reader.of(node.inputs[0])
        names = {0: "digamma", 1: "trigamma"}
        if order in names:
            return elementwise(reader.alg, names[order], [x])
        return reader.alg.call("polygamma", (x,), x.shape, None, (("n", order),))

    return rule


def polygamma_difference(reader: Reader, node: Node) -> Expr:
    """ψ(a + b) − ψ(a), differentiated as often as it says."""
    alg = reader.alg
    a, b = (reader.of(j) for j in node.inputs)
    order = dict(node.params).get("order", 0)

    def psi(x: Expr) -> Expr:
        if order < 2:
            return elementwise(alg, ("digamma", "trigamma")[order], [x])
        return alg.call("polygamma", (x,), x.shape, None, (("n", order),))

    return alg.subtract(psi(alg.add(a, b)), psi(a))


def gamma_density(reader: Reader, node: Node) -> Expr:
    """b^(a−1)·e^(−b) / Γ(a), by logarithms: each of the three may overflow."""
    alg = reader.alg
    a, b = (reader.of(j) for j in node.inputs)
    power = alg.multiply(alg.subtract(a, alg.one), elementwise(alg, "log", [b]))
    return alg.exp(alg.sum([(1.0, power), (-1.0, b), (-1.0, elementwise(alg, "gammaln", [a]))]))


def beta_density(reader: Reader, node: Node) -> Expr:
    """c^(a−1)·(1 − c)^(b−1) / B(a, b), in the same way."""
    alg = reader.alg
    a, b, c = (reader.of(j) for j in node.inputs)
    left = alg.multiply(alg.subtract(a, alg.one), elementwise(alg, "log", [c]))
    right = alg.multiply(alg.subtract(b, alg.one), elementwise(alg, "log1p", [alg.negative(c)]))
    whole = alg.call("betaln", (a, b), shape_of((a, b)))
    return alg.exp(alg.sum([(1.0, left), (1.0, right), (-1.0, whole)]))


def is_extreme(reader: Reader, node: Node) -> Expr:
    """Whether an entry is the largest (or smallest): equal to it, or not a number as it is."""
    alg = reader.alg
    x, y = (reader.of(j) for j in node.inputs)
    return alg.call("equal", (x, y), shape_of((x, y)), single(node.aval).dtype)


def abs_power(reader: Reader, node: Node) -> Expr:
    """|x|ᵖ, with the sign of x if it is signed."""
    alg = reader.alg
    params = dict(node.params)
    x = reader.of(node.inputs[0])
    p = params["exponent"]
    if params["signed"]:
        return alg.multiply(elementwise(alg, "sign", [x]), alg.power(alg.absolute(x), p))
    return alg.power(alg.absolute(x), p)


def exp_shares(reader: Reader, node: Node) -> Expr:
    """eˣ over the sum of all, for sums that logsumexp takes: softmax."""
    return along_axes(reader, node._replace(op=_SOFTMAX))


def iota(reader: Reader, node: Node) -> Expr:
    """0, 1, …, n − 1."""
    return reader.alg.array(np.arange(dict(node.params)["n"]))


def cofactor(reader: Reader, node: Node) -> Expr:
    """The matrix of cofactors, det(A)·A⁻ᵀ: of a regular matrix, which has one."""
    alg = reader.alg
    a = reader.whole(node.inputs[0])
    shape = a.shape
    if a.kind != "input" and node.inputs[0] not in reader.ids:
        raise Unspelled(node.op.name)  # of unit matrices, in second derivatives
    inverse = alg.call("inv", (a,), shape)
    axes = () if len(shape) == 2 else None
    turned = alg.call("permute_dims" if axes is not None else "matrix_transpose", (inverse,), shape)
    det = alg.call("det", (a,), shape[:-2])
    if len(shape) > 2:
        det = reshaped(reader, det, (*shape[:-2], 1, 1))
    return alg.multiply(det, turned)


def lambertw(branch: int) -> Rule:
    """A branch of Lambert's W."""

    def rule(reader: Reader, node: Node) -> Expr:
        attrs = {"k": branch} if branch else {}
        return _call(reader, node, "lambertw", attrs)

    return rule


def several(name: str, count: int, **fixed: Any) -> Rule:
    """A result of an op that has several, by the public op of the same results."""

    def rule(reader: Reader, node: Node) -> Expr | None:
        owner = reader.graph.nodes[node.inputs[0]]
        index = dict(node.params)["index"]
        avals = owner.aval
        if isinstance(avals, Aval) or len(avals) != count:
            return None
        operands = [reader.whole(j) for j in owner.inputs]
        aval = single(node.aval)
        return reader.alg.call(name, operands, aval.shape, aval.dtype, tuple(sorted(fixed.items())), index)

    return rule


def power_table(reader: Reader, node: Node) -> Expr:
    """Powers of a vector: Vandermonde's matrix."""
    params = dict(node.params)
    return _call(reader, node, "vander", {"n": params["n"], "increasing": not params["reverse"]})


_SOFTMAX = registry.core("softmax")

AS_NAMED = (
    *("cumsum", "cumprod", "cumulative_logsumexp", "argsort", "argmax", "argmin", "searchsorted"),
    *("windows", "overlap_add", "gather", "scatter_add", "scatter_set", "scatter_max", "scatter_min"),
    *("det", "svdvals", "eigvalsh", "ldexp", "elu", "round", "polygamma", "expn"),
)
"""Core ops whose parameters are called the same outside."""

SPELLINGS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        ("max", "min", "any", "all", "nanmax", "nanmin", "vector_norm", "logsumexp"), (over_axes,)
    ),
    **dict.fromkeys(("softmax", "log_softmax"), (along_axes,)),
    **dict.fromkeys(AS_NAMED, (as_named,)),
    "leaky_relu": (renamed({"slope": "negative_slope"}),),
    "concat": (joined,),
    "linear_systems": (systems,),
    "strong_systems": (systems,),
    "triangular_systems": (triangular,),
    "strong_triangular_systems": (triangular,),
    "cholesky_factor": (called("cholesky"),),
    "cofactor": (cofactor,),
    "pseudo_inverse": (called("pinv", "rcond"),),
    "sylvester": (called("solve_sylvester"),),
    "strong_sylvester": (called("solve_sylvester"),),
    "digamma": (polygamma(0),),
    "trigamma": (polygamma(1),),
    "polygamma": (polygamma(-1),),
    "polygamma_difference": (polygamma_difference,),
    "gamma_density": (gamma_density,),
    "beta_density": (beta_density,),
    "is_extreme": (is_extreme,),
    "abs_power": (abs_power,),
    "exp_shares": (exp_shares,),
    "iota": (iota,),
    "lambertw_principal": (lambertw(0),),
    "lambertw_lower": (lambertw(-1),),
    "slogdet item": (several("slogdet", 2),),
    "power_table": (power_table,),
}
"""For each core op how it is read."""
