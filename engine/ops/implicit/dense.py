"""Linear systems whose matrix is given as a function: the matrix written out, and solved; or Krylov's methods.

Arrays here are [batch, n], matrices [batch, n, n], right sides [batch, n, k].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres, minres

from engine.aval import Array, Aval, DType
from engine.builder import EagerBuilder
from engine.graph import Graph, single
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

LARGEST = 1024
"""Matrices of more rows are not written out."""
MATRIX_ELEMENTS = 1 << 27
"""Nor are more elements than that, over the whole batch."""
MEMBERS = 100_000
"""Members of a batch that are solved between two looks at the deadline, at most."""
BLOCK_ELEMENTS = 1 << 21
"""Size of the largest array while columns are made: so many columns at a time."""
STEP_FLOPS = 2e9
"""Operations between two looks at the deadline."""
RESTART = 60
MOST_PRODUCTS = 3000
"""Matrix-vector products that an iteration may take."""
NEWTON_PRODUCTS = 600
"""And those for one of Newton's steps, which need not be exact."""


def is_diagonal(graph: Graph) -> bool:
    """Whether each entry of the result depends on the same entry of the first input alone: its derivative is diagonal."""
    first = graph.inputs[0]
    size = graph.in_avals[0].size
    reached = {first}
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if reached.isdisjoint(node.inputs):
            continue
        keeps = node.op.elementwise or node.op.name in ("reshape", "broadcast_to")
        if not keeps or not isinstance(node.aval, Aval) or node.aval.size != size:
            return False
        reached.add(i)
    return True


def form_of(matvec: Graph, dtype: DType, **limits: Any) -> dict[str, Any]:
    """How a system is solved, as params: `diagonal`, or by the matrix that `columns` makes, or (None) by iteration."""
    if is_diagonal(matvec):
        return {"diagonal": True, "columns": None}
    return {"diagonal": False, "columns": columns_of(matvec, dtype, **limits)}


def diagonal(b: EagerBuilder, matvec: Graph, constants: Sequence[Any]) -> Array:
    """The diagonal, [batch, n], of a diagonal matrix."""
    aval = matvec.in_avals[0]
    (out,) = b.inline(matvec, [np.ones(aval.shape, aval.dtype), *constants])
    return np.asarray(out, np.float64).reshape(prod(aval.shape[:-1]), aval.shape[-1])


def columns_of(matvec: Graph, dtype: DType, **limits: Any) -> Graph | None:
    """`matvec` for many vectors at once, to make the matrix of: the first input and the output lead with a further axis.

    Its inputs are the vector, [*batch, n], then constants. None where the matrix is not to be written out.
    """
    aval = matvec.in_avals[0]
    n = aval.shape[-1]
    if n > LARGEST or aval.size * n > MATRIX_ELEMENTS:
        return None
    largest = max((single(node.aval).size for node in matvec.nodes if isinstance(node.aval, Aval)), default=1)
    block = max(1, min(n, BLOCK_ELEMENTS // max(1, largest)))
    axes = [0, *[None] * (len(matvec.inputs) - 1)]
    return simplify(map_graph(matvec, block, axes, dtype, **limits), dtype, limits.get("step"))


def matrix(b: EagerBuilder, columns: Graph, constants: Sequence[Any]) -> Array:
    """The matrix, [batch, n, n], that `columns_of` is of."""
    block, *batch, n = columns.in_avals[0].shape
    count = prod(batch)
    unit = np.eye(n, dtype=columns.in_avals[0].dtype)
    result = np.empty((count, n, n), np.float64)
    for start in range(0, n, block):
        stop = min(n, start + block)
        seeds = np.zeros((block, *batch, n), unit.dtype)
        seeds[: stop - start] = unit[start:stop].reshape(stop - start, *[1] * len(batch), n)
        (out,) = b.inline(columns, [seeds, *constants])
        result[:, :, start:stop] = out.reshape(block, count, n)[: stop - start].transpose(1, 2, 0)
    return result


def solve(a: Array, r: Array, step: Callable[[], None]) -> tuple[Array, Array]:
    """A⁻¹r for each member, NaN where A is singular; and where that is."""
    count, n, k = r.shape
    x = np.full(r.shape, np.nan)
    singular = np.zeros(count, bool)
    several = max(1, min(MEMBERS, int(STEP_FLOPS // max(1.0, n**3 + 2.0 * n * n * k))))
    for start in range(0, count, several):
        part = slice(start, start + several)
        step()
        try:
            x[part] = np.linalg.solve(a[part], r[part])
        except np.linalg.LinAlgError:
            for m in range(start, min(start + several, count)):
                try:
                    x[m] = np.linalg.solve(a[m], r[m])
                except np.linalg.LinAlgError:
                    singular[m] = True
    return x, singular


def krylov(
    product: Callable[[Array], Array], r: Array, tol: float, symmetric: bool, most: int = MOST_PRODUCTS
) -> Array:
    """A⁻¹r for one vector, by GMRES (MINRES for a symmetric A), with refinement; NaN if it does not come near `tol`.

    At most about `most` products are computed.

    Y. Saad, M. H. Schultz, SIAM J. Sci. Stat. Comput. 7(3), 1986, doi:10.1137/0907058; C. C. Paige, M. A. Saunders,
    SIAM J. Numer. Anal. 12(4), 1975, doi:10.1137/0712047.
    """
    n = r.size
    size = float(np.linalg.norm(r))
    if size == 0:
        return np.zeros(n)
    if not np.isfinite(size):
        return np.full(n, np.nan)
    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    x, left = np.zeros(n), r
    for attempt in range(4):
        if symmetric and attempt < 2:
            more, _ = minres(operator, left, rtol=tol, maxiter=most // 4)
        else:
            cycles = max(1, most // 4 // RESTART)
            more, _ = gmres(operator, left, rtol=tol, atol=0.0, restart=min(RESTART, n), maxiter=cycles)
        if not np.isfinite(more).all():
            break
        x = x + more
        left = r - product(x)
        if float(np.linalg.norm(left)) <= tol * size:
            return x
    if float(np.linalg.norm(left)) <= 1e3 * max(tol, 1e-15) * size:
        return x
    return np.full(n, np.nan)
