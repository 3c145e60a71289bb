"""Linear systems whose matrix is given as a function of a vector, differentiated as what they are: x = A⁻¹b.

ẋ = A⁻¹(ḃ − Ȧx); on the way back w = A⁻ᵀx̄, b̄ = w, Ā = −w xᵀ. The solver itself is never differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.attrs import BOOL, COUNT
from engine.aval import Array, Aval, Avals, DType
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var
from engine.errors import InvalidAttribute, SingularMatrix
from engine.graph import Graph
from engine.op import Attr, Op, Operand, Subgraph, registry
from engine.ops.control.derived import placed
from engine.ops.control.subgraph import graph_flops
from engine.ops.implicit import dense
from engine.ops.implicit.packing import TOLERANCE, pack, packed_body, unpack
from engine.program import BODY
from engine.transforms.linear import nonlinear, transpose
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import lead, map_graph, vmap


class LinearSolveCore(Op):
    """Operands: b, constants. Result: the x for which `matvec`(x, constants) = b.

    x: [*batch, n], and `matvec` acts on each member by itself. b leads with `sides` further axes, for all of which the
    matrix is the same. `columns` and `diagonal` say how it is solved (`dense.form_of`). With `strong`, b is a tangent or a
    cotangent: where it is 0, so is x, whatever the matrix is.
    """

    name = "core.linear_solve"
    family = "core"
    internal = True
    subgraphs = True
    results = ("x", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """As b."""
        return (avals[0],)

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """LU of the matrix where it is written out, else an iteration for each right side."""
        matvec: Graph = params["matvec"]
        *batch, n = shape = matvec.in_avals[0].shape
        right = np.asarray(arrays[0])
        count, sides = prod(batch), prod(right.shape[: right.ndim - len(shape)])
        r = right.reshape(sides, count, n).transpose(1, 2, 0).astype(np.float64)
        # Of a diagonal matrix each entry is a system of its own.
        each = (r == 0) if params["diagonal"] else ~r.any(axis=1, keepdims=True)
        nothing = np.asarray(each) if params["strong"] else np.zeros_like(each)
        if nothing.all():
            return (np.zeros(right.shape, right.dtype)[()],)
        if params["diagonal"] or params["columns"] is not None:
            if params["diagonal"]:
                d = dense.diagonal(b, matvec, arrays[1:])[:, :, None]
                lost = (d == 0) & ~nothing
                x, singular = np.where(lost, np.nan, r / np.where(d == 0, 1.0, d)), lost.any(axis=(1, 2))
            else:
                a = dense.matrix(b, params["columns"], arrays[1:])
                x, singular = dense.solve(a, r, b.tick)
            if not batch and singular.any():
                raise SingularMatrix(
                    "The Jacobian is singular here, so what is defined by it has no derivative."
                    if params["strong"]
                    else "The matrix of this linear system is singular.",
                    node=params["label"] or None,
                )
        else:
            x = self._iterated(b, r, arrays[1:], params)
        x = np.where(nothing, 0.0, x)
        return (x.transpose(2, 0, 1).reshape(right.shape).astype(right.dtype)[()],)

    @staticmethod
    def _iterated(b: EagerBuilder, r: Array, constants: Sequence[Any], params: Any) -> Array:
        matvec: Graph = params["matvec"]
        aval = matvec.in_avals[0]

        def product(v: Array) -> Array:
            (out,) = b.inline(matvec, [v.reshape(aval.shape).astype(aval.dtype), *constants])
            return np.asarray(out, np.float64).reshape(-1)

        tol = max(params["tol"], 4 * float(np.finfo(aval.dtype).eps))
        each = [
            dense.krylov(product, r[:, :, k].reshape(-1), tol, params["symmetric"]) for k in range(r.shape[2])
        ]
        return np.stack(each, axis=-1).reshape(r.shape)

    def trouble(self, results: Sequence[Array], **params: Any) -> str | None:
        """An iteration that did not come to an end."""
        if params["columns"] is None and not params["diagonal"] and np.isnan(results[0]).any():
            return f"linear_solve did not converge to a relative residual of {params['tol']:g}"
        return None

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Those of the matrix and its factors, or of as many products as an iteration may take."""
        matvec: Graph = params["matvec"]
        aval = matvec.in_avals[0]
        n = max(1, aval.shape[-1])
        sides = max(1, operands[0].size // max(1, aval.size))
        if params["diagonal"]:
            return graph_flops(matvec) + operands[0].size
        if params["columns"] is None:
            return float(sides * dense.MOST_PRODUCTS) * (graph_flops(matvec) + 120.0 * aval.size)
        blocks = -(-n // params["columns"].in_avals[0].shape[0])
        return float(blocks * graph_flops(params["columns"]) + aval.size * (0.67 * n * n + 2.0 * n * sides))

    def inside(self, **params: Any) -> list[tuple[Any, int]]:
        """The columns, a block at a time; or products."""
        columns: Graph | None = params["columns"]
        if columns is None:
            return [(params["matvec"], 1 if params["diagonal"] else dense.MOST_PRODUCTS)]
        return [(columns, -(-max(1, columns.in_avals[0].shape[-1]) // columns.in_avals[0].shape[0]))]

    def workspace(self, operands: Sequence[Aval], result: Avals, **params: Any) -> int:
        """The matrix and a copy for its factors, or a Krylov basis."""
        aval = params["matvec"].in_avals[0]
        return (
            int(aval.size)
            * 8
            * (
                4
                if params["diagonal"]
                else dense.RESTART
                if params["columns"] is None
                else 2 * int(aval.shape[-1])
            )
        )

    def push_from(
        self, b: Builder, xs: Sequence[Var], ys: Any, dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """A solve with the same matrix."""
        matvec: Graph = params["matvec"]
        total = dxs[0]
        moving = [k for k in range(1, len(xs)) if dxs[k] is not None]
        if moving:
            x = Var(b, b.core("core.item", ys, index=0))
            g = jvp_graph(matvec, [matvec.inputs[k] for k in moving], b.dtype, **b.limits)
            g = simplify(g.with_outputs(g.outputs[1:]), b.dtype)
            tangents = [d for d in dxs[1:] if d is not None]
            varying = [True] + [False] * (len(g.inputs) - 1)
            (term,) = _over_sides(b, g, matvec.in_avals[0], [x, *xs[1:], *tangents], varying)
            term = placed(term, xs[0].shape)
            total = -term if total is None else total - term
        assert total is not None
        return list(b.write(self, total, *xs[1:], **{**params, "strong": True}))

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """A solve with the transposed matrix, and the way back through the matrix's own function."""
        matvec: Graph = params["matvec"]
        (ct,) = cts
        assert ct is not None
        # Also of a symmetric matrix: what it is made of may be perturbed to one that is not.
        turned = first_last(transpose(matvec, [0], b.dtype, **b.limits))
        form = dense.form_of(turned, b.dtype, **b.limits)
        (w,) = b.write(self, ct, *xs[1:], **{**params, **form, "matvec": turned, "strong": True})
        found: dict[int, Var] = {0: w}
        behind = [k for k in wanted if k]
        if behind:
            x = Var(b, b.core("core.item", ys, index=0))
            g = vjp_graph(matvec, matvec.outputs, [matvec.inputs[k] for k in behind], b.dtype, **b.limits)
            g = simplify(g.with_outputs(g.outputs[1:]), b.dtype)
            varying = [True, *[False] * (len(xs) - 1), True]
            backs = _over_sides(b, g, matvec.in_avals[0], [x, *xs[1:], -w], varying)
            for k, v in zip(behind, backs, strict=True):
                found[k] = v if v.rank == xs[k].rank else v.sum(axis=0)
        return [found[k] for k in wanted]

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """One more axis of right sides where the matrix is the same, else of the batch."""
        if not any(mapped[1:]):
            return tuple(v.ref for v in b.write(self, *operands, **params))
        matvec: Graph = params["matvec"]
        at = operands[0].rank - mapped[0] - matvec.in_avals[0].rank
        g = over_batch(matvec, size, [True, *mapped[1:]], b.dtype)
        first = _moved(lead(b, operands[0], size, mapped[0]), 0, at)
        form = dense.form_of(g, b.dtype)
        (x,) = b.write(self, first, *operands[1:], **{**params, **form, "matvec": g})
        return (_moved(x, at, 0).ref,)


linear_solve_core = registry.add(LinearSolveCore())


def first_last(graph: Graph) -> Graph:
    """The graph with its last input first."""
    order = [graph.inputs[-1], *graph.inputs[:-1]]
    b = GraphBuilder("float64")
    b.nodes = list(graph.nodes)
    for k, i in enumerate(order):
        b.nodes[i] = b.nodes[i]._replace(params=(("index", k),))
    return Graph(tuple(b.nodes), tuple(order), graph.outputs)


def over_batch(graph: Graph, size: int, mapped: Sequence[bool], dtype: DType) -> Graph:
    """The graph mapped, its outputs leading with the batch axis."""
    g, leads = vmap(graph, size, mapped, dtype)
    b = GraphBuilder.on(g, dtype)
    return b.build([lead(b, Var(b, o), size, led).ref for o, led in zip(g.outputs, leads, strict=True)])


def _over_sides(
    b: Builder, graph: Graph, aval: Aval, arguments: Sequence[Var], varying: Sequence[bool]
) -> list[Var]:
    """The graph for each right side: arguments that vary have further leading axes, and so have the results (as one)."""
    extra = arguments[0].rank - aval.rank
    if not extra:
        return [Var(b, r) for r in b.inline(graph, [v.ref for v in arguments])]
    count = prod(arguments[0].shape[:extra])
    mapped = map_graph(graph, count, [0 if v else None for v in varying], b.dtype, **b.limits)
    flat = [
        placed(v, (count, *v.shape[extra:])) if vary else v
        for v, vary in zip(arguments, varying, strict=True)
    ]
    return [Var(b, r) for r in b.inline(simplify(mapped, b.dtype), [v.ref for v in flat])]


def _moved(v: Var, source: int, target: int) -> Var:
    if source == target:
        return v
    order = [k for k in range(v.rank) if k != source]
    order.insert(target, source)
    result: Var = v.b.write("permute_dims", v, axes=tuple(k - v.rank for k in order))
    return result


class LinearSolve(Op):
    """Solution x of A x = b, for a matrix that is given as a function, the body.

    body: x, constants → A x, linear in x and of b's shape. Of up to 1,024 unknowns the matrix is written out and
    factored; larger systems are solved by GMRES (MINRES if `symmetric`) to a relative residual of `tol`. With `carry`
    of 2 or more, x and b are several arrays. As `jax.lax.custom_linear_solve`.
    """

    name = "linear_solve"
    family = "control"
    composite = True
    promotes = False
    results = ("x", "…")
    parameters = (
        Operand("operands", variadic=True),
        Attr("body", BODY),
        Attr("carry", COUNT, 1),
        Attr("symmetric", BOOL, False),
        Attr("tol", TOLERANCE, 1e-12),
    )
    latex = "\\operatorname{{solve}}"
    derivative = {"operands": "\\dot{x} = A^{-1}\\left(\\dot{b} - \\dot{A}\\,x\\right)"}
    convention = "A singular matrix is an error; of a member of a batch, the solution is NaN."

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core solve, of all unknowns as one vector."""
        right, constants, shapes, matvec = packed_body(
            self.name, b, attrs["body"], operands, attrs["carry"], "b"
        )
        hindrance = nonlinear(matvec, [0])
        if hindrance is not None:
            raise InvalidAttribute(
                f"linear_solve: the body must be linear in x, as A x is; it is not, because of {hindrance}."
            )
        (x,) = b.write(
            linear_solve_core,
            pack(b, right),
            *constants,
            matvec=matvec,
            **dense.form_of(matvec, b.dtype, **b.limits),
            symmetric=attrs["symmetric"],
            tol=attrs["tol"],
            strong=False,
            label=b.label,
        )
        return tuple(unpack(b, x, shapes))


registry.add(LinearSolve())


def solve_with(
    b: Builder, matvec: Graph, right: Var, constants: Sequence[Var], tol: float, label: str
) -> Var:
    """A⁻¹·right for a tangent or cotangent `right`, for rules."""
    (x,) = b.write(
        linear_solve_core,
        right,
        *constants,
        matvec=matvec,
        **dense.form_of(matvec, b.dtype, **b.limits),
        symmetric=False,
        tol=tol,
        strong=True,
        label=label,
    )
    result: Var = x
    return result
