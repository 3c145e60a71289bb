r"""What an equation defines: y with f(y, θ) = 0, found by an iteration that is never differentiated.

By the implicit function theorem ẏ = −(∂f/∂y)⁻¹ (∂f/∂θ) θ̇, and on the way back θ̄ = −(∂f/∂θ)ᵀ (∂f/∂y)⁻ᵀ ȳ. Both are written
with the result y as an ordinary value, so they can be differentiated again. Where the search started has no influence.

M. Blondel et al., "Efficient and Modular Implicit Differentiation", NeurIPS 2022, arXiv:2105.15183.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals, DType
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var
from engine.errors import SingularMatrix
from engine.graph import Graph
from engine.op import Op, Subgraph, Zero, registry
from engine.ops.control.subgraph import graph_flops
from engine.ops.implicit import dense
from engine.ops.implicit.linear_solve import first_last, over_batch, solve_with
from engine.ops.implicit.newton import Found, iterate, newton
from engine.transforms.linear import transpose
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import lead


class ImplicitCore(Op):
    """Operands: where to start, constants. Results: y, the residual there, iterations.

    `residual`: y [*batch, n], constants → f [*batch, n]; `jacobian`: v, y, constants → (∂f/∂y) v; `columns` and
    `diagonal` say how systems of it are solved (`dense.form_of`). `method`: newton, or iterate (y ← y + f). y is NaN for a
    member whose root was not found; where the Jacobian is diagonal, each entry is an equation of its own.
    """

    name = "core.implicit"
    family = "core"
    internal = True
    subgraphs = True
    results = ("y", "residual", "iterations")
    rules = (Zero(), Subgraph())

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """As the start; a residual and a count for each member."""
        first = avals[0]
        return (first, Aval(first.shape[:-1], first.dtype), Aval(first.shape[:-1], "int64"))

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """The search, all members at once."""
        residual: Graph = params["residual"]
        *batch, n = shape = residual.in_avals[0].shape
        x0 = np.asarray(arrays[0])
        constants = arrays[1:]

        def f(x: Array) -> Array:
            (out,) = b.inline(residual, [x.reshape(shape), *constants])
            return np.asarray(out).reshape(x.shape)

        tol = max(params["tol"], 4 * float(np.finfo(x0.dtype).eps))
        start = x0.reshape(-1, 1) if params["diagonal"] else x0.reshape(prod(batch), n)
        if params["method"] == "newton":

            def correction(x: Array, fx: Array) -> Array:
                return self._correction(b, params, x, fx, shape, constants)

            found = newton(f, correction, start, tol, params["most"])
        else:
            found = iterate(f, start, tol, params["most"])
        hopeless = found.singular & (found.iterations == 1)
        if not batch and hopeless.any():
            at = ", ".join(f"{v:.6g}" for v in x0[:4]) + (", …" if n > 4 else "")
            raise SingularMatrix(
                f"root: the Jacobian of the body is singular at the starting point [{at}], where the residual is "
                f"{found.residual[hopeless][0]:.3g}, so Newton's method has no step to take. Start from another point.",
                node=params["label"] or None,
            )
        return _results(found, shape, x0.dtype)

    @staticmethod
    def _correction(
        b: EagerBuilder, params: Any, x: Array, fx: Array, shape: tuple[int, ...], constants: Sequence[Any]
    ) -> Array:
        here = [x.reshape(shape), *constants]
        if params["diagonal"]:
            d = dense.diagonal(b, params["jacobian"], here).reshape(x.shape)
            return np.asarray(np.where(d == 0, np.nan, -fx / np.where(d == 0, 1.0, d)))
        if params["columns"] is not None:
            a = dense.matrix(b, params["columns"], here)
            steps, _ = dense.solve(a, -fx.astype(np.float64)[:, :, None], b.tick)
            return np.asarray(steps[:, :, 0])

        def product(v: Array) -> Array:
            (out,) = b.inline(params["jacobian"], [v.reshape(shape).astype(x.dtype), *here])
            return np.asarray(out, np.float64).reshape(-1)

        step = dense.krylov(product, -fx.reshape(-1).astype(np.float64), 1e-10, False, dense.NEWTON_PRODUCTS)
        return step.reshape(x.shape)

    def trouble(self, results: Sequence[Array], **params: Any) -> str | None:
        """How the search ended."""
        y, residual, iterations = (np.asarray(r) for r in results)
        if not y.size or not np.isnan(y).any():
            return None
        worst = float(residual.max())
        name = "root" if params["method"] == "newton" else "fixed_point"
        return f"{name} did not converge: residual {worst:.3g} after {int(iterations.max())} iterations"

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Those of as many iterations as there may be."""
        residual: Graph = params["residual"]
        once, aval = graph_flops(residual), residual.in_avals[0]
        n = max(1, aval.shape[-1])
        if params["method"] != "newton":
            return float(params["most"] * (2 * once + 100.0 * aval.size))
        columns: Graph | None = params["columns"]
        if params["diagonal"]:
            step = graph_flops(params["jacobian"])
        elif columns is None:
            step = dense.NEWTON_PRODUCTS * (graph_flops(params["jacobian"]) + 120.0 * aval.size)
        else:
            blocks = -(-n // columns.in_avals[0].shape[0])
            step = blocks * graph_flops(columns) + 0.67 * aval.size * n * n
        return float(params["most"] * (step + 2 * once))

    def inside(self, **params: Any) -> list[tuple[Any, int]]:
        """Residuals, and columns or products of the Jacobian."""
        most = params["most"]
        graphs = [(params["residual"], 2 * most)]
        if params["method"] == "newton":
            columns: Graph | None = params["columns"]
            if columns is None:
                graphs.append(
                    (params["jacobian"], most * (1 if params["diagonal"] else dense.NEWTON_PRODUCTS))
                )
            else:
                blocks = -(-max(1, columns.in_avals[0].shape[-1]) // columns.in_avals[0].shape[0])
                graphs.append((columns, most * blocks))
        return graphs

    def workspace(self, operands: Sequence[Aval], result: Avals, **params: Any) -> int:
        """The Jacobian and a copy for its factors, or a basis."""
        aval = params["residual"].in_avals[0]
        written = params["method"] == "newton" and params["columns"] is not None
        return (
            int(aval.size)
            * 8
            * (16 if params["diagonal"] else 2 * int(aval.shape[-1]) + 8 if written else dense.RESTART + 8)
        )

    def push_from(
        self, b: Builder, xs: Sequence[Var], ys: Any, dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """A linear system of the Jacobian at the root."""
        residual: Graph = params["residual"]
        moving = [k for k in range(1, len(xs)) if dxs[k] is not None]
        if not moving:
            return [None, None, None]
        g = jvp_graph(residual, [residual.inputs[k] for k in moving], b.dtype, **b.limits)
        g = simplify(g.with_outputs(g.outputs[1:]), b.dtype)
        y = Var(b, b.core("core.item", ys, index=0))
        arguments = [y, *xs[1:], *[d for d in dxs[1:] if d is not None]]
        (right,) = b.inline(g, [v.ref for v in arguments])
        found = solve_with(
            b, params["jacobian"], -Var(b, right), [y, *xs[1:]], params["tol"], params["label"]
        )
        return [found, None, None]

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """A linear system of the transposed Jacobian, and the way back through the residual."""
        ct = cts[0]
        if ct is None:
            return [None] * len(wanted)
        residual: Graph = params["residual"]
        y = Var(b, b.core("core.item", ys, index=0))
        turned = first_last(transpose(params["jacobian"], [0], b.dtype, **b.limits))
        w = solve_with(b, turned, ct, [y, *xs[1:]], params["tol"], params["label"])
        g = vjp_graph(residual, residual.outputs, [residual.inputs[k] for k in wanted], b.dtype, **b.limits)
        g = simplify(g.with_outputs(g.outputs[1:]), b.dtype)
        return [Var(b, r) for r in b.inline(g, [v.ref for v in (y, *xs[1:], -w)])]

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """A batch of equations, each with its own root."""
        g = over_batch(params["residual"], size, [True, *mapped[1:]], b.dtype)
        first = lead(b, operands[0], size, mapped[0])
        found = b.write(self, first, *operands[1:], **{**params, **graphs_of(g, params["method"], b.dtype)})
        return tuple(v.ref for v in found)


implicit_core = registry.add(ImplicitCore())


def graphs_of(residual: Graph, method: str, dtype: DType, **limits: Any) -> dict[str, Any]:
    """A residual, its Jacobian as a function, and what makes the matrix of it, if that is needed for the search."""
    g = jvp_graph(residual, [residual.inputs[0]], dtype, **limits)
    jacobian = first_last(simplify(g.with_outputs(g.outputs[1:]), dtype, limits.get("step")))
    if method == "newton":
        form = dense.form_of(jacobian, dtype, **limits)
    else:
        form = {"diagonal": dense.is_diagonal(jacobian), "columns": None}
    return {"residual": residual, "jacobian": jacobian, **form}


def _results(found: Found, shape: tuple[int, ...], dtype: Any) -> tuple[Array, ...]:
    batch = shape[:-1]
    worst = found.residual.reshape(prod(batch), -1).max(axis=1, initial=0.0)
    most = found.iterations.reshape(prod(batch), -1).max(axis=1, initial=0)
    y = np.where(found.done[:, None], found.x, np.nan).astype(dtype)
    return (
        y.reshape(shape),
        worst.astype(dtype).reshape(batch)[()],
        most.reshape(batch)[()],
    )
