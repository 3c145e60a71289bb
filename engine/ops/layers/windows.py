r"""Sliding windows and their transpose, the overlap-add: one linear pair, of which convolution and pooling are composites.

    windows:      x[…, s]     ->  y[…, o, w] = x[…, o·stride + w·dilation]
    overlap_add:  y[…, o, w]  ->  x[…, s] = Σ y[…, o, w]  over o·stride + w·dilation = s

for any number of trailing spatial axes at once. Each is the derivative rule of the other, in every order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from engine.attrs import optional
from engine.aval import Array, Aval, Avals, Shape
from engine.builder import Builder, Var
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Linear, Op, Operand, registry
from engine.ops.layers.spatial import LENGTHS, frame, per_axis, ramp, span
from engine.ops.reduce.reduction import counted

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

# -------------------------------------------------------------------------------------------------------------- the pair


def _positions(shape: Shape, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Shape:
    """How many windows there are along each axis; at most 0 where not even one fits."""
    parts = zip(shape, sizes, strides, dilations, strict=True)
    return tuple((n - span(w, d)) // s + 1 for n, w, s, d in parts)


def _windows_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    axes = len(params["sizes"])
    result: Var = ct.b.write(
        "overlap_add",
        ct,
        shape=operands[0].shape[operands[0].rank - axes :],
        strides=params["strides"],
        dilations=params["dilations"],
    )
    return result


class Windows(Op):
    """Sliding windows over the last axes: y[…, o, w] = x[…, o·stride + w·dilation].

    x: [*lead, *s]  ->  [*lead, *positions, *sizes], as many axes s as there are sizes; there are
    ⌊(s − dilation·(size − 1) − 1) / stride⌋ + 1 positions along each. Nothing is copied: the windows share x's memory.
    Its transpose is `overlap_add`.
    """

    name = "windows"
    moves = True
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Attr("sizes", LENGTHS, aliases=("kernel_size", "window_shape")),
        Attr("strides", LENGTHS, 1, ("stride",)),
        Attr("dilations", LENGTHS, 1, ("dilation",)),
    )
    passes_integers = True
    latex = "\\operatorname{{windows}}({x})"
    derivative = {"x": "1"}
    rules = (Linear(_windows_back),)
    examples = (
        Example(([1.0, 2.0, 4.0, 7.0, 11.0],), {"sizes": 3}),
        Example(([[1.0, 2.0, 4.0, 7.0], [5.0, 3.0, 1.0, 0.0]],), {"sizes": 2, "strides": 2}),
        Example(
            ([[1.0, 2.0, 4.0, 7.0], [5.0, 3.0, 1.0, 0.0], [8.0, 6.0, 9.0, 2.0]],),
            {"sizes": (2, 2), "strides": (1, 2), "dilations": (2, 1)},
        ),
        Example(([1.0, 2.0, 4.0, 7.0, 11.0],), {"sizes": 2, "strides": 3}, note="an entry in no window"),
        Example((np.zeros((0, 3)),), {"sizes": 2}, note="an empty batch"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        (x,) = operands
        sizes = _each(attrs["sizes"])
        k = len(sizes)
        check_rank(self.name, x, k)
        return frame(self.name, x, sizes, stride=attrs["strides"], dilation=attrs["dilations"]).windows(x)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Positions and window in place of the trailing axes."""
        shape, sizes = avals[0].shape, params["sizes"]
        lead = len(shape) - len(sizes)
        positions = _positions(shape[lead:], sizes, params["strides"], params["dilations"])
        if lead < 0 or any(o < 1 for o in positions):
            raise ShapeMismatch(f"windows of {list(sizes)} do not fit an array of shape {list(shape)}.")
        return Aval((*shape[:lead], *positions, *sizes), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view that cannot be written to."""
        x = np.asarray(arrays[0])
        sizes, strides, dilations = params["sizes"], params["strides"], params["dilations"]
        lead = x.ndim - len(sizes)
        positions = _positions(x.shape[lead:], sizes, strides, dilations)
        steps = x.strides[lead:]
        return as_strided(
            x,
            (*x.shape[:lead], *positions, *sizes),
            (
                *x.strides[:lead],
                *(n * s for n, s in zip(steps, strides, strict=True)),
                *(n * d for n, d in zip(steps, dilations, strict=True)),
            ),
            writeable=False,
        )


def _overlap_add_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    axes = len(params["shape"])
    result: Var = ct.b.write(
        "windows",
        ct,
        sizes=operands[0].shape[operands[0].rank - axes :],
        strides=params["strides"],
        dilations=params["dilations"],
    )
    return result


class OverlapAdd(Op):
    """Windows laid over one another and added: y[…, s] = Σ x[…, o, w] over all o·stride + w·dilation = s.

    x: [*lead, *positions, *sizes]  ->  [*lead, *shape]. Of the last axes half are positions and half windows, as many as
    the longest list among the arguments has entries (one of each, if there is none); `shape` is what they cover unless
    given. The transpose of `windows`.
    """

    name = "overlap_add"
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Attr("shape", optional(LENGTHS), None, ("output_size",)),
        Attr("strides", LENGTHS, 1, ("stride",)),
        Attr("dilations", LENGTHS, 1, ("dilation",)),
    )
    latex = "\\operatorname{{overlapadd}}({x})"
    derivative = {"x": "1"}
    rules = (Linear(_overlap_add_back),)
    examples = (
        Example(([[1.0, 2.0, 4.0], [7.0, 11.0, 3.0], [0.5, -1.0, 2.0]],)),
        Example(([[1.0, 2.0, 4.0], [7.0, 11.0, 3.0]],), {"shape": 8, "strides": 2, "dilations": 2}),
        Example(
            (ramp(2, 3, 2, 2),),
            {"shape": (4, 4), "strides": (2, 1), "dilations": (1, 1)},
            note="two axes",
        ),
        Example((ramp(3, 1, 1, 8),), {"shape": (3, 8)}, note="more window than positions"),
        Example((np.zeros((0, 2, 2)),), {"strides": 2}, note="an empty batch"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and zeros behind it where `shape` is larger than what is covered."""
        x = counted(b, operands[0])
        given = [attrs[n] for n in ("shape", "strides", "dilations") if attrs[n] is not None]
        k = max([len(v) for v in given if isinstance(v, tuple)], default=1)
        check_rank(self.name, x, 2 * k)
        positions, sizes = x.shape[x.rank - 2 * k : x.rank - k], x.shape[x.rank - k :]
        if not all(positions + sizes):
            raise ShapeMismatch(
                f"overlap_add: of an array of shape {list(x.shape)} the last {2 * k} axes are {k} of positions and {k} of "
                "windows; none of them may be empty."
            )
        strides = per_axis(self.name, "strides", attrs["strides"], k)
        dilations = per_axis(self.name, "dilations", attrs["dilations"], k)
        covered = tuple(
            (o - 1) * s + span(w, d) for o, w, s, d in zip(positions, sizes, strides, dilations, strict=True)
        )
        shape = covered if attrs["shape"] is None else per_axis(self.name, "shape", attrs["shape"], k)
        if any(n < m for n, m in zip(shape, covered, strict=True)):
            raise ShapeMismatch(
                f"overlap_add: {list(positions)} windows of {list(sizes)} with strides {list(strides)} and dilations "
                f"{list(dilations)} cover {list(covered)}; shape {list(shape)} is smaller."
            )
        return overlap_added(x, shape, strides, dilations)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """`shape` in place of positions and windows, which must be those that `windows` makes of it."""
        own, shape = avals[0].shape, params["shape"]
        k = len(shape)
        lead = len(own) - 2 * k
        positions = (
            _positions(shape, own[lead + k :], params["strides"], params["dilations"]) if lead >= 0 else ()
        )
        if lead < 0 or positions != own[lead : lead + k] or not all(n > 0 for n in own[lead:]):
            raise ShapeMismatch(f"overlap_add: {list(own)} are not the windows of {list(shape)}.")
        return Aval((*own[:lead], *shape), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Strided additions: along each axis one for each entry of a window, or for each position if they are fewer."""
        x = np.asarray(arrays[0])
        shape = params["shape"]
        lead = x.ndim - 2 * len(shape)
        result: Any = np.zeros((*x.shape[:lead], *shape), x.dtype)
        for target, part in self._parts(x, params):
            result[target] += part
        return result

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """As `evaluate`, into places of a zero."""
        (x,), shape = positions, params["shape"]
        result = np.broadcast_to(e.constant(0.0), (*x.shape[: x.ndim - 2 * len(shape)], *shape)).copy()
        for target, part in self._parts(x, params):
            result[target] = e.op("add", result[target], part)
        return result

    def _parts(self, x: Array, params: Mapping[str, Any]) -> Iterator[tuple[Any, Array]]:
        """Where in the result what is added."""
        shape = params["shape"]
        k = len(shape)
        lead = x.ndim - 2 * k
        if not x.size:
            return
        steps: list[list[tuple[tuple[Any, Any], slice]]] = []
        for a in range(k):
            o, w = x.shape[lead + a], x.shape[lead + k + a]
            s, d = params["strides"][a], params["dilations"][a]
            if w <= o:
                steps.append([((slice(None), j), slice(j * d, j * d + (o - 1) * s + 1, s)) for j in range(w)])
            else:
                steps.append([((i, slice(None)), slice(i * s, i * s + (w - 1) * d + 1, d)) for i in range(o)])
        # Position and window axis of each spatial axis side by side, so that what is left is in order.
        order = [*range(lead), *(lead + a + half for a in range(k) for half in (0, k))]
        pairs = np.transpose(x, order)
        for chosen in product(*steps):
            source = (..., *(i for pair, _ in chosen for i in pair))
            yield (..., *(target for _, target in chosen)), pairs[source]

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Two for each element: memory is read and written with strides."""
        return 2.0 * operands[0].size


registry.add(Windows())
registry.add(OverlapAdd())


def check_rank(op: str, x: Var, k: int) -> None:
    """Raise `ShapeMismatch` for an array of fewer than k axes."""
    if x.rank < k:
        raise ShapeMismatch(
            f"{op} needs an array of at least {k} ax{'is' if k == 1 else 'es'}; here the shape is {list(x.shape)}."
        )


def _each(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def overlap_added(x: Var, shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Var:
    """`overlap_add` into a shape that may be larger than what the windows cover."""
    b, k = x.b, len(shape)
    positions, sizes = x.shape[x.rank - 2 * k : x.rank - k], x.shape[x.rank - k :]
    covered = tuple(
        (o - 1) * s + span(w, d) for o, w, s, d in zip(positions, sizes, strides, dilations, strict=True)
    )
    result: Var = b.write("overlap_add", x, shape=covered, strides=tuple(strides), dilations=tuple(dilations))
    if covered == tuple(shape):
        return result
    index = tuple((0, n, 1) for n in covered)
    larger: Var = b.write("embed", result, index=index, shape=tuple(shape))
    return larger
