"""Hessians that end in a product of matrices: one half is computed, the other is its mirror image.

H = Σ Pₖ Mₖ + … is symmetric as a whole, though the products need not be. So rows are computed from the diagonal on, in
blocks, and written a second time as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from engine.aval import Array, Shape
from engine.execute.pool import pool
from engine.graph import INPUT, single
from engine.structured.place import PLACE, Way, lay, way_of
from engine.structured.walk import Walk

WORTH = 4e7
"""Operations of the products from which on it is done: mirroring costs a way through memory, too."""
BLOCKS = 8
"""Blocks of rows: of n² products of rows and columns, n²·(1 + 1/8)/2 are computed."""


class Factor(NamedTuple):
    """A factor of a product: argument number `argument` of the graph (None: an array of its own), transposed if `turned`."""

    argument: int | None
    turned: bool


class Mirrored(NamedTuple):
    """How a result is made: an array for each factor that is no argument, two factors for each product; one for each further
    summand; then those of terms."""

    shape: Shape
    factors: tuple[Factor, ...]
    summands: int
    ways: tuple[Way | None, ...]
    ranks: tuple[int, ...]

    @property
    def parts(self) -> int:
        """How many arrays it is made of."""
        return self._own + self.summands + len(self.ways)

    @property
    def _own(self) -> int:
        return sum(f.argument is None for f in self.factors)

    @property
    def nbytes(self) -> int:
        """Memory of the positions."""
        found = [p for way in self.ways if way is not None for p in (way.read, way.write)]
        return sum(p.nbytes for p in found if isinstance(p, np.ndarray))

    def write(self, arrays: Sequence[Array], arguments: Sequence[Array]) -> Array | None:
        """The result; None where it is not finite."""
        n = self.shape[-1]
        own = iter(arrays)
        given = [next(own) if f.argument is None else arguments[f.argument] for f in self.factors]
        factors = [a.T if f.turned else a for a, f in zip(given, self.factors, strict=True)]
        pairs = list(zip(factors[::2], factors[1::2], strict=True))
        out: Array = np.empty((n, n), factors[0].dtype)
        summands = [next(own).reshape(n, n) for _ in range(self.summands)]

        def work(k: int) -> None:
            start, stop = k * n // BLOCKS, (k + 1) * n // BLOCKS
            block = out[start:stop, start:]
            with np.errstate(all="ignore"):
                for m, (left, right) in enumerate(pairs):
                    if m:
                        block += np.matmul(left[start:stop], right[:, start:])
                    else:
                        np.matmul(left[start:stop], right[:, start:], block)
                for summand in summands:
                    block += summand[start:stop, start:]
            out[stop:, start:stop] = block[:, stop - start :].T

        pool.share(work, BLOCKS)
        lay(self.ways, False, list(own), self.ranks, out.reshape(-1))
        with np.errstate(all="ignore"):
            finite = np.isfinite(np.add.reduce(out, axis=None)) or np.isfinite(out).all()
        return out.reshape(self.shape) if finite else None


def mirrored(walk: Walk, ref: int) -> tuple[list[int], Mirrored] | None:
    """The nodes that the array of all seeds `ref` is made of, and how, if it is a sum with products worth halving."""
    nodes = walk.b.nodes
    n, shape = walk.count, walk.shape(ref)
    if n < 2 or prod(shape) != n * n or not walk.last:
        return None
    uses: dict[int, int] = {}
    for node in nodes:
        for j in node.inputs:
            uses[j] = uses.get(j, 0) + 1
    terms: list[int] = []
    targets: list[Array] = []
    factors: list[Factor] = []
    arrays: list[int] = []
    summands: list[int] = []
    flops = 0.0
    todo = [ref]
    while todo:
        i = todo.pop()
        node = nodes[i]
        params = dict(node.params)
        own = uses.get(i, 0) == (0 if i == ref else 1)
        if own and node.op is PLACE and params["base"]:
            terms += node.inputs[1:]
            targets += [c.value for c in params["targets"]]
            todo.append(node.inputs[0])
        elif own and node.op.name == "add":
            todo += node.inputs
        elif own and node.op.name == "reshape":
            todo.append(node.inputs[0])
        elif own and node.op.name == "matmul" and single(node.aval).shape == (n, n):
            for j in node.inputs:
                turned = nodes[j].op.name == "permute_dims" and dict(nodes[j].params)["axes"] == (-1, -2)
                source = nodes[j].inputs[0] if turned else j
                argument = dict(nodes[source].params)["index"] if nodes[source].op is INPUT else None
                factors.append(Factor(argument, turned))
                if argument is None:
                    arrays.append(source)
            flops += node.op.flops([single(nodes[j].aval) for j in node.inputs], node.aval)
        else:
            summands.append(i)
    if flops < WORTH:
        return None
    ways, ranks = tuple(map(way_of, targets)), tuple(t.ndim for t in targets)
    made = Mirrored(shape, tuple(factors), len(summands), ways, ranks)
    return [*arrays, *summands, *terms], made
