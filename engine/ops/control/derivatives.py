"""Derivatives inside programs: grad, value_and_grad, jacobian, hessian, jvp, vjp and vmap of a body.

All are composites: the body's graph is transformed, and what comes out is written where the op stands. So they are nested
to any depth and in any mixture, and each derivative has tangents of its own: perturbations cannot be confused (J. M.
Siskind, B. A. Pearlmutter, "Perturbation Confusion and Referential Transparency", IFL 2005).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.attrs import COUNT, INTS, integer
from engine.aval import Aval
from engine.builder import Builder, GraphBuilder, Var, call
from engine.errors import Arity, DtypeMismatch, InvalidAttribute, NotDifferentiable, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Kind, Op, Operand, registry
from engine.ops.control.derived import basis, mapped_over, operand_name, placed, tangents_of
from engine.program import BODY, Body
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

OPERANDS = Operand("operands", variadic=True)
WRT = Attr("wrt", INTS, (0,), ("argnums",))
ONE_WRT = Attr("wrt", Kind("an integer", integer), 0, ("argnums", "argnum"))


class _Derivative(Op):
    """What the ops of this module share."""

    family = "control"
    composite = True
    promotes = False
    convention = "Integers and booleans have no derivative; nor has what is computed from them alone."


class _Gradient(_Derivative):
    """grad and value_and_grad."""

    parameters = (OPERANDS, Attr("body", BODY), WRT)

    def derived(self, b: Builder, operands: Sequence[Var], attrs: Mapping[str, Any]) -> list[Any]:
        """The body's value and its gradients."""
        body, positions = attrs["body"], attrs["wrt"]
        check_wrt(self.name, body, operands, positions)
        graph = scalar_body(self.name, body, operands)
        back = gradient_graph(b, graph, positions)
        return b.inline(back, [v.ref for v in operands])


class Grad(_Gradient):
    """Gradients of a scalar function, the body, with respect to its operands at `wrt`.

    body: operands → one floating scalar. One result for each position in `wrt`, of that operand's shape. The body is
    evaluated at the operands; as `jax.grad` with `argnums`.
    """

    name = "grad"
    results = ("gradient", "…")
    latex = "\\nabla"

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """One for each position in `wrt`."""
        return len(attrs.get("wrt", (0,)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """The body's graph and its reverse sweep."""
        return tuple(Var(b, r) for r in self.derived(b, operands, attrs)[1:])


class ValueAndGrad(_Gradient):
    """Value of a scalar function, the body, then its gradients with respect to its operands at `wrt`.

    As `grad`, with the value as first result.
    """

    name = "value_and_grad"
    results = ("value", "gradient", "…")
    latex = "(\\mathrm{{id}}, \\nabla)"

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """The value, and one for each position in `wrt`."""
        return 1 + len(attrs.get("wrt", (0,)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """The body's graph and its reverse sweep."""
        return tuple(Var(b, r) for r in self.derived(b, operands, attrs))


class Jacobian(_Derivative):
    """Jacobian of the body with respect to one of its operands: [*y] by [*x]  ->  [*y, *x].

    body: operands → one floating array. Computed in reverse mode where the result is no larger than the operand, else in
    forward mode, for all rows or columns at once.
    """

    name = "jacobian"
    aliases = ("jacrev", "jacfwd")
    parameters = (OPERANDS, Attr("body", BODY), ONE_WRT)
    results = ("jacobian",)
    latex = "\\mathrm{{J}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One sweep, mapped over the basis."""
        body, k = attrs["body"], attrs["wrt"]
        check_wrt(self.name, body, operands, [k])
        graph = body.graph([v.aval for v in operands])
        check_outputs(self.name, graph, 1)
        (out,) = graph.out_avals
        if not out.floating:
            raise NotDifferentiable(f"jacobian needs a body that returns floats; this one returns {out}.")
        x = operands[k].aval
        if out.size <= x.size:
            derived = vjp_graph(graph, graph.outputs, [graph.inputs[k]], b.dtype, **b.limits)
            return _rows(b, derived, operands, out, x)
        derived = tangents_of(graph, [k], b)
        return _columns(b, derived, operands, x, out)


def _rows(b: Builder, derived: Graph, operands: Sequence[Var], out: Aval, x: Aval) -> Var:
    """A vjp graph for every cotangent of the basis: [*out, *x]."""
    g = simplify(derived.with_outputs(derived.outputs[1:]), b.dtype)
    (rows,) = mapped_over(b, g, [v.ref for v in operands], [basis(b, out)], out.size)
    return placed(rows, (*out.shape, *x.shape))


def _columns(b: Builder, derived: Graph, operands: Sequence[Var], x: Aval, out: Aval) -> Var:
    """A jvp graph for every tangent of the basis: [*out, *x]."""
    (columns,) = mapped_over(b, derived, [v.ref for v in operands], [basis(b, x)], x.size)
    flat = columns.reshape((x.size, out.size))
    turned: Var = b.write("permute_dims", flat, axes=(-1, -2))
    return placed(turned, (*out.shape, *x.shape))


class Hessian(_Derivative):
    """Second derivatives of a scalar function, the body, with respect to one of its operands: [*x]  ->  [*x, *x].

    body: operands → one floating scalar. Forward mode over reverse mode, for all columns at once.
    """

    name = "hessian"
    parameters = (OPERANDS, Attr("body", BODY), ONE_WRT)
    results = ("hessian",)
    latex = "\\nabla^2"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The gradient's sweep forward, mapped over the basis."""
        body, k = attrs["body"], attrs["wrt"]
        check_wrt(self.name, body, operands, [k])
        graph = scalar_body(self.name, body, operands)
        back = gradient_graph(b, graph, [k])
        x = operands[k].aval
        return _columns(b, tangents_of(back.with_outputs(back.outputs[1:]), [k], b), operands, x, x)


class Jvp(_Derivative):
    """Values of the body, and the derivative along a direction: the Jacobian times the tangents.

    Operands: those of the body, then a tangent for each floating one, of its shape; the last `constants` of the body's have
    none. Results: the body's, then the tangent of each of them (zeros where it is no float). As `jax.jvp`.
    """

    name = "jvp"
    parameters = (OPERANDS, Attr("body", BODY), Attr("constants", COUNT, 0))
    results = ("y", "tangent", "…")
    leading = True
    latex = "\\operatorname{{jvp}}"

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """A value and a tangent for each output of the body."""
        return 2 * len(attrs["body"].outputs)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """The body's graph and its forward sweep."""
        body = attrs["body"]
        primals, rest = split_operands(self.name, body, operands)
        graph = body.graph([v.aval for v in primals])
        changing = primals[: max(0, len(primals) - attrs["constants"])]
        moving = [k for k, v in enumerate(changing) if v.aval.floating]
        names = [f"the tangent of {operand_name(body, k)}" for k in moving]
        rest = fitted(
            self.name,
            b,
            rest,
            [primals[k].aval for k in moving],
            names,
            "a tangent for each floating operand",
        )
        g = jvp_graph(graph, [graph.inputs[k] for k in moving], b.dtype, **b.limits)
        outs = b.inline(simplify(g, b.dtype, b.limits.get("step")), [v.ref for v in (*primals, *rest)])
        return tuple(Var(b, r) for r in outs)


class Vjp(_Derivative):
    """Values of the body, and cotangents pulled back through it: the transposed Jacobian times the cotangents.

    Operands: those of the body, then a cotangent for each floating output, of its shape. Results: the body's, then the
    cotangent of each floating operand. As `jax.vjp`.
    """

    name = "vjp"
    parameters = (OPERANDS, Attr("body", BODY))
    results = ("y", "cotangent", "…")
    leading = True
    latex = "\\operatorname{{vjp}}"

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """How many operands are floating shows with the types."""
        return None

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """The body's graph and its reverse sweep."""
        body = attrs["body"]
        primals, rest = split_operands(self.name, body, operands)
        graph = body.graph([v.aval for v in primals])
        wanted = [k for k, v in enumerate(primals) if v.aval.floating]
        if not wanted:
            raise NotDifferentiable(
                "vjp: none of its operands is floating, so there is nothing to pull back to."
            )
        outs = [k for k, a in enumerate(graph.out_avals) if a.floating]
        names = [f"the cotangent of result {k}" for k in outs]
        rest = fitted(
            self.name,
            b,
            rest,
            [graph.out_avals[k] for k in outs],
            names,
            "a cotangent for each floating result",
        )
        g = vjp_graph(
            graph, [graph.outputs[k] for k in outs], [graph.inputs[k] for k in wanted], b.dtype, **b.limits
        )
        got = b.inline(simplify(g, b.dtype, b.limits.get("step")), [v.ref for v in (*primals, *rest)])
        return tuple(Var(b, r) for r in got)


def _in_axes(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        return integer(value)
    if len(value) > 1000:
        raise ValueError(f"it has {len(value)} entries")
    return tuple(None if v is None else integer(v) for v in value)


IN_AXES = Kind("an axis, or a list that has an axis or null for each operand", _in_axes)


class Vmap(_Derivative):
    """The body for every member of a batch: operands lose the axis at `in_axes`, results gain a leading one.

    `in_axes` has an axis for each operand, or null for one that all members share; one axis means it for all. As
    `jax.vmap`; nothing is looped over.
    """

    name = "vmap"
    parameters = (OPERANDS, Attr("body", BODY), Attr("in_axes", IN_AXES, 0))
    results = ("y", "…")
    latex = "\\operatorname{{vmap}}"
    convention = ""

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """The body's graph over one more axis."""
        body, given = attrs["body"], attrs["in_axes"]
        axes = list(given) if isinstance(given, tuple) else [given] * len(operands)
        if len(axes) != len(operands):
            raise InvalidAttribute(
                f"vmap: in_axes has {len(axes)} entries, but there are {len(operands)} operands; each needs its own."
            )
        cores: list[Aval] = []
        sizes: dict[int, int] = {}
        for k, (v, axis) in enumerate(zip(operands, axes, strict=True)):
            if axis is None:
                cores.append(v.aval)
                continue
            if not -v.rank <= axis < v.rank:
                raise ShapeMismatch(
                    f"vmap: {operand_name(body, k)} has shape {list(v.shape)}, and so no axis {axis} to map over. "
                    "in_axes has null for what all members share."
                )
            at = axes[k] = axis % v.rank
            sizes.setdefault(v.shape[at], k)
            cores.append(Aval((*v.shape[:at], *v.shape[at + 1 :]), v.dtype))
        if not sizes:
            raise InvalidAttribute(
                "vmap needs at least one operand that is mapped; in_axes has null for all."
            )
        if len(sizes) > 1:
            (n, k), (m, j) = list(sizes.items())[:2]
            raise ShapeMismatch(
                f"vmap: the mapped axes must be of one size; that of {operand_name(body, k)} has {n}, "
                f"that of {operand_name(body, j)} {m}."
            )
        graph = body.graph(cores)
        mapped = map_graph(graph, next(iter(sizes)), axes, b.dtype, **b.limits)
        outs = b.inline(simplify(mapped, b.dtype, b.limits.get("step")), [v.ref for v in operands])
        return tuple(Var(b, r) for r in outs)


# ------------------------------------------------------------------------------------------------------------ details


def check_outputs(name: str, graph: Graph, count: int) -> None:
    """Raise `Arity` for a body that returns another number of values."""
    if len(graph.outputs) != count:
        raise Arity(f"{name} needs a body that returns one value; this one returns {len(graph.outputs)}.")


def scalar_body(name: str, body: Body, operands: Sequence[Var]) -> Graph:
    """The body's graph. Raises `Arity`, `ShapeMismatch` or `NotDifferentiable` unless it returns one floating scalar."""
    graph = body.graph([v.aval for v in operands])
    check_outputs(name, graph, 1)
    (out,) = graph.out_avals
    if out.shape:
        raise ShapeMismatch(
            f"{name} needs a body that returns a scalar; this one returns an array of shape {list(out.shape)}. "
            "Sum it, or use jacobian or vjp."
        )
    if not out.floating:
        raise NotDifferentiable(f"{name} needs a body that returns a float; this one returns {out.dtype}.")
    return graph


def check_wrt(name: str, body: Body, operands: Sequence[Var], wrt: Sequence[int]) -> None:
    """Raise `InvalidAttribute` for a position that is none, `NotDifferentiable` for one of integers or booleans."""
    if not wrt:
        raise InvalidAttribute(f"{name}: wrt must name at least one operand.")
    for k in wrt:
        if not 0 <= k < len(operands):
            raise InvalidAttribute(
                f"{name}: wrt {k} is no operand; there {'is one' if len(operands) == 1 else f'are {len(operands)}'}, "
                "counted from 0."
            )
        if not operands[k].aval.floating:
            raise NotDifferentiable(
                f"{name}: {operand_name(body, k)} holds {_KINDS[operands[k].dtype]}, which have no derivative; "
                "take it out of wrt, or convert it to floats."
            )


_KINDS = {"int64": "integers", "bool": "booleans"}


def gradient_graph(b: Builder, graph: Graph, wrt: Sequence[int]) -> Graph:
    """A scalar graph with its gradients as further outputs."""
    derived = vjp_graph(graph, graph.outputs, [graph.inputs[k] for k in wrt], b.dtype, **b.limits)
    inner = GraphBuilder(b.dtype)
    inputs = [inner.input(a) for a in graph.in_avals]
    seed = inner.ones(graph.out_avals[0])
    return simplify(inner.build(inner.inline(derived, [*inputs, seed])), b.dtype, b.limits.get("step"))


def split_operands(name: str, body: Body, operands: Sequence[Var]) -> tuple[list[Var], list[Var]]:
    """The body's own operands, and what follows them. Raises `Arity`."""
    count = len(body.program.inputs)
    if len(operands) < count:
        raise Arity(
            f"{name}: the body takes {count} inputs, and the operands begin with theirs; there are {len(operands)} "
            "operands."
        )
    return list(operands[:count]), list(operands[count:])


def fitted(
    name: str, b: Builder, given: Sequence[Var], avals: Sequence[Aval], names: Sequence[str], what: str
) -> list[Var]:
    """Tangents or cotangents as floats. Raises `Arity` and `ShapeMismatch`."""
    if len(given) != len(avals):
        raise Arity(f"{name}: behind the body's operands stands {what}: {len(avals)}; here are {len(given)}.")
    result = []
    for v, aval, shown in zip(given, avals, names, strict=True):
        if v.shape != aval.shape:
            raise ShapeMismatch(
                f"{name}: {shown} must have the shape {list(aval.shape)}; it has {list(v.shape)}."
            )
        if v.dtype == "bool":
            raise DtypeMismatch(f"{name}: {shown} holds booleans; it must hold numbers.")
        result.append(call(b, "astype", v, dtype="float") if not v.aval.floating else v)
    return result


for _op in (Grad(), ValueAndGrad(), Jacobian(), Hessian(), Jvp(), Vjp(), Vmap()):
    registry.add(_op)
