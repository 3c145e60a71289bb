"""Axes added, removed, exchanged and turned round, and arrays repeated. All are written with the core of `shape`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.attrs import AXES, AXIS, INT, INTS, KNOWN_INTS, OPTIONAL_AXIS
from engine.aval import Aval, normalize_axes, normalize_axis
from engine.builder import Builder, GraphBuilder, Var, broadcast_to
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Parameter, Spelling, registry
from engine.ops.layout.shape import joined, slice_axis, take_slice

MATRIX = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


class Arrangement(Op):
    """What ops that only move elements have in common."""

    family = "shape"
    composite = True
    passes_integers = True
    parameters: tuple[Parameter, ...] = (Operand("x", ("a", "input", "m")),)


def permuted(x: Var, order: Sequence[int]) -> Var:
    """Axes (counted from 0) in another order. No node where that changes nothing."""
    if list(order) == list(range(x.rank)):
        return x
    result: Var = x.b.write("permute_dims", x, axes=tuple(a - x.rank for a in order))
    return result


def expanded(x: Var, axes: Sequence[int]) -> Var:
    """New axes of size 1, so that they are `axes` (from the end) of the result."""
    rank = x.rank + len(axes)
    rest = iter(x.shape)
    return x.reshape([1 if a - rank in axes else next(rest) for a in range(rank)])


def check_size(b: Builder, shape: Sequence[int], x: Var) -> None:
    """Raise `LimitExceeded` if an array of that shape is too large, before its parts are made."""
    if isinstance(b, GraphBuilder):
        b.check(Aval(tuple(shape), x.dtype))


# ------------------------------------------------------------------------------------------------- axes of size one


class ExpandDims(Arrangement):
    """New axes of size 1 at the places `axis` of the result."""

    name = "expand_dims"
    aliases = ("unsqueeze", "Unsqueeze")
    parameters = (*Arrangement.parameters, Attr("axis", AXES, aliases=("axes", "dim")))
    latex = "{x}"
    examples = (
        Example(([1.0, 2.0],), {"axis": 0}),
        Example((MATRIX,), {"axis": (0, -1)}),
        Example((3.0,), {"axis": 0}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A reshape."""
        (x,), axis = operands, attrs["axis"]
        if axis is None:
            raise InvalidAttribute("expand_dims: axis must say where the new axes go.")
        count = 1 if isinstance(axis, int) else len(axis)
        return expanded(x, normalize_axes(axis, x.rank + count))


class Squeeze(Arrangement):
    """Axes of size 1 removed: all of them, or those in `axis`."""

    name = "squeeze"
    aliases = ("Squeeze",)
    parameters = (*Arrangement.parameters, Attr("axis", AXES, None, ("axes", "dim")))
    latex = "{x}"
    examples = (Example(([[1.0], [2.0]],)), Example(([[[1.0], [2.0]]],), {"axis": 0}), Example(([[3.0]],)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A reshape."""
        x: Var = operands[0]
        axis = attrs["axis"]
        if axis is None:
            return x.reshape([n for n in x.shape if n != 1])
        axes = normalize_axes(axis, x.rank)
        for a in axes:
            if x.shape[a] != 1:
                raise ShapeMismatch(
                    f"squeeze: axis {a + x.rank} of an array of shape {list(x.shape)} has size {x.shape[a]}; "
                    "only axes of size 1 can be removed."
                )
        return x.reshape([n for a, n in enumerate(x.shape) if a - x.rank not in axes])


class AtLeast1d(Arrangement):
    """The array, a scalar as a vector of one."""

    name = "atleast_1d"
    latex = "{x}"
    examples = (Example((3.0,)), Example(([1.0, 2.0],)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A reshape."""
        return at_least(operands[0], 1)


class AtLeast2d(Arrangement):
    """The array, a scalar as a 1×1 matrix and a vector as a row."""

    name = "atleast_2d"
    latex = "{x}"
    examples = (Example((3.0,)), Example(([1.0, 2.0],)), Example((MATRIX,)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A reshape."""
        return at_least(operands[0], 2)


def at_least(x: Var, rank: int) -> Var:
    """The array with axes of size 1 in front, if it has fewer than `rank`."""
    return x if x.rank >= rank else x.reshape([1] * (rank - x.rank) + list(x.shape))


class Ravel(Arrangement):
    """All elements in one vector, in C order."""

    name = "ravel"
    latex = "\\operatorname{{vec}} {x}"
    examples = (Example((MATRIX,)), Example((3.0,)), Example(([],)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A reshape."""
        x: Var = operands[0]
        return x.reshape((x.size,))


# ------------------------------------------------------------------------------------------------------ axes moved


class MoveAxis(Arrangement):
    """Axes `source` moved to the places `destination`; the others keep their order."""

    name = "moveaxis"
    aliases = ("movedim",)
    parameters = (*Arrangement.parameters, Attr("source", INTS), Attr("destination", INTS))
    latex = "{x}"
    examples = (
        Example(([MATRIX],), {"source": 0, "destination": -1}),
        Example(([MATRIX],), {"source": (0, 1), "destination": (2, 0)}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        (x,), source, destination = operands, attrs["source"], attrs["destination"]
        if len(source) != len(destination):
            raise InvalidAttribute(
                f"moveaxis: source {list(source)} and destination {list(destination)} must be of one length."
            )
        normalize_axes(source, x.rank, what="source")
        normalize_axes(destination, x.rank, what="destination")
        places = {d % x.rank: s % x.rank for s, d in zip(source, destination, strict=True)}
        rest = iter([a for a in range(x.rank) if a not in places.values()])
        return permuted(x, [places[a] if a in places else next(rest) for a in range(x.rank)])


class SwapAxes(Arrangement):
    """Two axes exchanged."""

    name = "swapaxes"
    spellings = {"torch.transpose": Spelling()}
    aliases = ("swapdims",)
    parameters = (
        *Arrangement.parameters,
        Attr("axis1", AXIS, aliases=("dim0",)),
        Attr("axis2", AXIS, aliases=("dim1",)),
    )
    latex = "{x}"
    examples = (Example(([MATRIX],), {"axis1": 0, "axis2": -1}),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        (x,) = operands
        one, other = (normalize_axis(attrs[name], x.rank, what=name) + x.rank for name in ("axis1", "axis2"))
        return permuted(x, [other if a == one else one if a == other else a for a in range(x.rank)])


class MatrixTranspose(Arrangement):
    """Matrices transposed: the last two axes exchanged."""

    name = "matrix_transpose"
    aliases = ("mT",)
    latex = "{x}^\\top"
    examples = (Example((MATRIX,)), Example(([MATRIX],), note="a batch of one"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A permutation."""
        (x,) = operands
        if x.rank < 2:
            raise ShapeMismatch(f"matrix_transpose needs a matrix; here the shape is {list(x.shape)}.")
        return permuted(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


# ---------------------------------------------------------------------------------------------- turned and shifted


class Flip(Arrangement):
    """Entries in reverse order along axes, all by default."""

    name = "flip"
    parameters = (*Arrangement.parameters, Attr("axis", AXES, None, ("axes", "dim", "dims")))
    latex = "\\operatorname{{flip}} {x}"
    examples = (Example((MATRIX,)), Example((MATRIX,), {"axis": 1}), Example(([],)), Example((3.0,)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A slice with steps of −1."""
        (x,) = operands
        return flipped(x, normalize_axes(attrs["axis"], x.rank))


class FlipUpDown(Arrangement):
    """Rows in reverse order: the first axis flipped."""

    name = "flipud"
    latex = "\\operatorname{{flip}} {x}"
    examples = (Example((MATRIX,)),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A slice with a step of −1."""
        (x,) = operands
        return flipped(x, (normalize_axis(0, x.rank),))


class FlipLeftRight(Arrangement):
    """Columns in reverse order: the second axis flipped."""

    name = "fliplr"
    latex = "\\operatorname{{flip}} {x}"
    examples = (Example((MATRIX,)),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A slice with a step of −1."""
        (x,) = operands
        return flipped(x, (normalize_axis(1, x.rank),))


def flipped(x: Var, axes: Sequence[int]) -> Var:
    """Reversed along axes counted from the end."""
    return take_slice(
        x, [(n - 1, -1, -1) if a - x.rank in axes else (0, n, 1) for a, n in enumerate(x.shape)]
    )


class Rot90(Arrangement):
    """The plane of two axes turned by k quarter turns, from the first axis towards the second."""

    name = "rot90"
    parameters = (*Arrangement.parameters, Attr("k", INT, 1), Attr("axes", INTS, (0, 1), ("dims",)))
    latex = "\\operatorname{{rot90}} {x}"
    examples = (
        Example((MATRIX,)),
        Example((MATRIX,), {"k": 2}),
        Example((MATRIX,), {"k": -1}),
        Example((MATRIX,), {"k": 4}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Flips and a transposition."""
        (x,), k, axes = operands, attrs["k"] % 4, attrs["axes"]
        if len(axes) != 2:
            raise InvalidAttribute(f"rot90 turns a plane of two axes; {list(axes)} are {len(axes)}.")
        normalize_axes(axes, x.rank)
        one, other = (normalize_axis(a, x.rank) for a in axes)
        if k in (0, 2):
            return flipped(x, (one, other)) if k else x
        order = list(range(x.rank))
        order[one], order[other] = order[other], order[one]
        return permuted(flipped(x, (other,)), order) if k == 1 else flipped(permuted(x, order), (other,))


class Roll(Arrangement):
    """Entries shifted along axes, those that leave at the end coming in at the front; without axis, of all elements."""

    name = "roll"
    parameters = (
        *Arrangement.parameters,
        Attr("shift", KNOWN_INTS, aliases=("shifts",)),
        Attr("axis", AXES, None, ("dims",)),
    )
    latex = "\\operatorname{{roll}} {x}"
    examples = (
        Example((MATRIX,), {"shift": 1}),
        Example((MATRIX,), {"shift": -1, "axis": 1}),
        Example((MATRIX,), {"shift": (1, 5), "axis": (0, 1)}),
        Example(([],), {"shift": 2}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Two slices joined, for each axis."""
        (x,), axis = operands, attrs["axis"]
        shifts = [attrs["shift"]] if isinstance(attrs["shift"], int) else list(attrs["shift"])
        if axis is None:
            return _rolled(x.reshape((x.size,)), sum(shifts), -1).reshape(x.shape)
        axes = [axis] if isinstance(axis, int) else list(axis)
        if 1 not in (len(shifts), len(axes)) and len(shifts) != len(axes):
            raise InvalidAttribute(f"roll: there are {len(shifts)} shifts for {len(axes)} axes.")
        pairs = max(len(shifts), len(axes)) if shifts and axes else 0
        for k in range(pairs):
            at = normalize_axis(axes[k % len(axes)], x.rank)
            x = _rolled(x, shifts[k % len(shifts)], at)
        result: Var = x
        return result


def _rolled(x: Var, shift: int, axis: int) -> Var:
    n = x.shape[axis]
    k = shift % n if n else 0
    return joined([slice_axis(x, axis, n - k, n), slice_axis(x, axis, 0, n - k)], axis) if k else x


# ------------------------------------------------------------------------------------------------------- repeated


class Tile(Arrangement):
    """The array repeated as a whole, `reps` times along each axis (the last ones, if there are fewer)."""

    name = "tile"
    aliases = ("Tile",)
    parameters = (*Arrangement.parameters, Attr("reps", KNOWN_INTS, aliases=("repeats",)))
    latex = "\\operatorname{{tile}} {x}"
    examples = (
        Example(([1.0, 2.0],), {"reps": 2}),
        Example((MATRIX,), {"reps": (2, 1, 3)}),
        Example((5.0,), {"reps": (2, 0)}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Stretched over new axes, which are then merged with the old ones."""
        (x,), reps = operands, attrs["reps"]
        reps = (reps,) if isinstance(reps, int) else reps
        if any(r < 0 for r in reps):
            raise InvalidAttribute(f"tile: reps {list(reps)} must not be negative.")
        rank = max(len(reps), x.rank)
        return tiled(x.reshape([1] * (rank - x.rank) + list(x.shape)), [1] * (rank - len(reps)) + list(reps))


def tiled(x: Var, reps: Sequence[int]) -> Var:
    """The array repeated as a whole, `reps[i]` times along axis i."""
    shape = [n * r for n, r in zip(x.shape, reps, strict=True)]
    check_size(x.b, shape, x)
    apart: list[int] = []
    stretched: list[int] = []
    for n, r in zip(x.shape, reps, strict=True):
        apart += [n] if r == 1 else [1, n]
        stretched += [n] if r == 1 else [r, n]
    return broadcast_to(x.reshape(apart), tuple(stretched)).reshape(shape)


class Repeat(Arrangement):
    """Each entry along an axis repeated: `repeats` times, or as often as it says for each; without axis, flattened."""

    name = "repeat"
    aliases = ("repeat_interleave",)
    parameters = (
        *Arrangement.parameters,
        Attr("repeats", KNOWN_INTS),
        Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
    )
    latex = "\\operatorname{{repeat}} {x}"
    examples = (
        Example(([1.0, 2.0],), {"repeats": 2}),
        Example((MATRIX,), {"repeats": (2, 0, 3), "axis": 1}),
        Example((MATRIX,), {"repeats": 2, "axis": 0}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Entries with equal counts stretched over a new axis, and joined."""
        x, axis = operands[0], attrs["axis"]
        if axis is None:
            x, axis = x.reshape((x.size,)), -1
        axis = normalize_axis(axis, x.rank)
        counts = (attrs["repeats"],) if isinstance(attrs["repeats"], int) else attrs["repeats"]
        if any(c < 0 for c in counts):
            raise InvalidAttribute("repeat: repeats must not be negative.")
        if len(counts) == 1:
            return _repeated(x, axis, counts[0])
        if len(counts) != x.shape[axis]:
            raise ShapeMismatch(
                f"repeat: there are {len(counts)} counts for an axis of size {x.shape[axis]}."
            )
        shape = list(x.shape)
        shape[axis] = sum(counts)
        check_size(b, shape, x)
        parts = [_repeated(slice_axis(x, axis, i, j), axis, c) for i, j, c in _runs(counts)]
        return joined(parts, axis) if parts else slice_axis(x, axis, 0, 0)


def _repeated(x: Var, axis: int, count: int) -> Var:
    before, n, behind = x.shape[: x.rank + axis], x.shape[axis], x.shape[x.rank + axis + 1 :]
    stretched = broadcast_to(x.reshape((*before, n, 1, *behind)), (*before, n, count, *behind))
    return stretched.reshape((*before, n * count, *behind))


def _runs(counts: Sequence[int]) -> list[tuple[int, int, int]]:
    """(start, stop, count) of neighbours with equal counts, those of 0 left out."""
    runs: list[tuple[int, int, int]] = []
    for i, c in enumerate(counts):
        if runs and runs[-1][2] == c and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1, c)
        elif c:
            runs.append((i, i + 1, c))
    return runs


for _op in (
    ExpandDims, Squeeze, AtLeast1d, AtLeast2d, Ravel, MoveAxis, SwapAxes, MatrixTranspose, Flip, FlipUpDown,
    FlipLeftRight, Rot90, Roll, Tile, Repeat,
):  # fmt: skip
    registry.add(_op())
