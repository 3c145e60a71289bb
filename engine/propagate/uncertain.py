"""What is known of the inputs' errors: Σ_x, read from standard deviations and covariances, and checked.

Σ_x is kept as standard deviations s and correlations R, Σ_x = diag(s) R diag(s): checks and tolerances then do not depend on
units. Nodes without covariances are independent of all others, and R is not written out for them. All arrays lead with a
batch axis, of size 1 where the members of a map share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.linalg.lapack import dpotrf

from engine.aval import Array, Aval
from engine.cost import Limits
from engine.derive.again import batch_first
from engine.derive.job import Job
from engine.derive.request import find_floating
from engine.errors import (
    DtypeMismatch,
    EngineError,
    InvalidField,
    LimitExceeded,
    MistakeCollector,
    ShapeMismatch,
    Where,
    quoted,
)
from engine.execute.meter import Meter
from engine.specialize import pointer_part
from engine.values import Given

TOLERANCE = 1e-8
"""How much correlations may contradict one another and still count as rounded: the smallest eigenvalue of R is at least −1e-8
(NumPy's `multivariate_normal` has the same), and R is symmetric to within that."""

Blocks = Mapping[str, Mapping[str, Given]]


@dataclass(frozen=True)
class Uncertain:
    """Σ_x. `std` has s float64[B, size] of every uncertain node, by step; `group` lists the nodes that have covariances, in
    the order in which their entries stand in `correlation`, float64[B, n, n]."""

    std: Mapping[int, Array]
    group: Sequence[int]
    correlation: Array | None


def read_uncertain(
    job: Job, std: Mapping[str, Given], covariance: Blocks, limits: Limits, meter: Meter
) -> Uncertain:
    """Σ_x of a typed program. Raises `EngineError`, several as `Mistakes`: names that are no floating nodes, shapes that do not
    fit, negative or contradicting figures."""
    mistakes = MistakeCollector(limits.errors)
    found: dict[int, Array] = {}
    for name, given in std.items():
        at = Where(pointer=f"/std/{pointer_part(name)}")
        try:
            i = find_floating(job.typed, name, at.pointer or "", "what `std` names")
            found[i] = _std_of(job, i, given, at)
        except EngineError as error:
            mistakes.add(error)
    blocks: dict[tuple[int, int], Array] = {}
    for a, row in covariance.items():
        for b, given in row.items():
            at = Where(pointer=f"/covariance/{pointer_part(a)}/{pointer_part(b)}")
            try:
                i = find_floating(job.typed, a, f"/covariance/{pointer_part(a)}", "what `covariance` names")
                j = find_floating(job.typed, b, at.pointer or "", "what `covariance` names")
                blocks[i, j] = _block_of(job, i, j, given, at)
            except EngineError as error:
                mistakes.add(error)
    mistakes.raise_if_any()
    if not blocks:
        return Uncertain(found, (), None)
    return _Correlated(job, found, blocks, limits, meter).read()


def _std_of(job: Job, i: int, given: Given, at: Where) -> Array:
    """Standard deviations of a node, float64[B or 1, size]."""
    name = job.id(i)
    value = _numbers(given, name, at)
    core = job.typed.aval(i).shape
    if (value < 0).any():
        index = [int(k) for k in np.argwhere(value < 0)[0]]
        entry = f"entry {index} is" if index else "it is"
        raise InvalidField(
            f"A standard deviation is not negative; that of {quoted(name)} must be at least 0, but {entry} "
            f"{float(value[tuple(index)]):g}.",
            node=name,
            where=at,
        )
    if value.shape == () or value.shape == core:
        return np.broadcast_to(value, core).reshape(1, -1)
    batch = job.batch
    whole = core
    if batch is not None:
        mapped = name in batch.axes
        whole = job.arguments[job.program.inputs.index(i)].shape if mapped else (*job.sizes, *core)
        if value.shape == whole:
            return members_first(job, name, value) if mapped else value.reshape(prod(job.sizes), -1)
    also = "" if whole == core else f", or {list(whole)} with one for each member,"
    raise ShapeMismatch(
        f"The standard deviation of {quoted(name)} must have its shape {list(core)}{also} or be one number for all "
        f"entries; it has shape {list(value.shape)}.",
        node=name,
        where=at,
    )


def members_first(job: Job, name: str, value: Array) -> Array:
    """Values of an input as they stand in the request, float64[B, size]: the maps' axes to the front, those of maps that the
    input is not in repeated."""
    axes = job.batch.of(name) if job.batch is not None else ()
    core = job.typed.aval(job.program.index[name]).shape
    value = batch_first(np.asarray(value, np.float64), axes)
    lead = [n if a is not None else 1 for n, a in zip(job.sizes, axes, strict=True)]
    full = np.broadcast_to(value.reshape(*lead, *core), (*job.sizes, *core))
    return full.reshape(prod(job.sizes), prod(core))


def _block_of(job: Job, i: int, j: int, given: Given, at: Where) -> Array:
    """Covariances of two nodes, float64[B or 1, size, size]."""
    a, b = job.id(i), job.id(j)
    value = _numbers(given, a, at)
    first, second = job.typed.aval(i), job.typed.aval(j)
    core = (*first.shape, *second.shape)
    if value.shape != core and not (job.sizes and value.shape == (*job.sizes, *core)):
        whole = f" (or {[*job.sizes, *core]}, one for each member)" if job.sizes else ""
        raise ShapeMismatch(
            f"The covariance of {quoted(a)} and {quoted(b)} has the shape of the one followed by that of the other, "
            f"{list(core)}{whole}; it has shape {list(value.shape)}.",
            node=a,
            where=at,
        )
    if not np.isfinite(value).all():
        raise InvalidField(f"The covariance of {quoted(a)} and {quoted(b)} must be finite.", node=a, where=at)
    return (
        value.reshape(-1, first.size, second.size) if value.size else np.zeros((1, first.size, second.size))
    )


def _numbers(given: Given, name: str, at: Where) -> Array:
    if given.value.dtype.kind == "b":
        raise DtypeMismatch(f"{quoted(name)} needs numbers here, not booleans.", node=name, where=at)
    return np.asarray(given.value, np.float64)


class _Correlated:
    """Nodes with covariances: their R, checked."""

    def __init__(
        self,
        job: Job,
        std: Mapping[int, Array],
        blocks: Mapping[tuple[int, int], Array],
        limits: Limits,
        meter: Meter,
    ) -> None:
        self.job = job
        self.std = std
        self.blocks = blocks
        self.meter = meter
        self.group = list(dict.fromkeys(i for pair in blocks for i in pair))
        self.avals: list[Aval] = [job.typed.aval(i) for i in self.group]
        ends = np.cumsum([a.size for a in self.avals]).tolist()
        self.slices = {
            i: slice(end - a.size, end) for i, a, end in zip(self.group, self.avals, ends, strict=True)
        }
        self.size: int = ends[-1]
        self.members = max(
            [1, *(len(b) for b in blocks.values()), *(len(std[i]) for i in self.group if i in std)]
        )
        elements = self.members * self.size**2
        if elements > limits.elements:
            raise LimitExceeded(
                "elements",
                limits.elements,
                elements,
                f"The covariances of {self._names(self.group)} make a matrix of {self.size:,} rows"
                f"{'' if self.members == 1 else f' for each of {self.members:,} members'}, {elements:,} elements; the "
                f"limit is {limits.elements:,}.",
                where=Where(pointer="/covariance"),
            )

    def read(self) -> Uncertain:
        """All that there is, with R. Raises `InvalidField`."""
        scale = self._scale()
        self._check_zero_variances(scale)
        r = np.zeros((self.members, self.size, self.size))
        for i in self.group:
            if (i, i) not in self.blocks:
                r[:, self.slices[i], self.slices[i]] = np.eye(self.slices[i].stop - self.slices[i].start)
        safe = np.where(scale > 0, scale, 1.0)
        written: set[tuple[int, int]] = set()
        for (i, j), block in self.blocks.items():
            self.meter.look()
            rows, columns = self.slices[i], self.slices[j]
            scaled = block / safe[:, rows, None] / safe[:, None, columns]
            self._check_bounds(i, j, block, scaled)
            if i == j:
                self._check_agree(i, i, block, scaled, scaled.transpose(0, 2, 1))
                r[:, rows, columns] = (scaled + scaled.transpose(0, 2, 1)) / 2
                continue
            if (j, i) in written:
                self._check_agree(i, j, block, scaled, r[:, rows, columns])
                continue
            r[:, rows, columns] = scaled
            r[:, columns, rows] = scaled.transpose(0, 2, 1)
            written.add((i, j))
        np.einsum("bii->bi", r)[:] = 1.0
        self._check_semidefinite(r)
        std = dict(self.std)
        for i in self.group:
            std[i] = scale[:, self.slices[i]]
        return Uncertain(std, self.group, r)

    def _scale(self) -> Array:
        """s float64[B, n], from `std` or from the diagonal of a node's covariance with itself."""
        scale = np.zeros((self.members, self.size))
        for i in self.group:
            name, part = self.job.id(i), self.slices[i]
            at = Where(pointer=f"/covariance/{pointer_part(name)}/{pointer_part(name)}")
            own = self.blocks.get((i, i))
            if own is not None and i in self.std:
                raise InvalidField(
                    f"There are both a standard deviation and a covariance of {quoted(name)} with itself, whose diagonal "
                    "is the variance; give one of them.",
                    node=name,
                    where=Where(pointer=f"/std/{pointer_part(name)}"),
                )
            if own is None:
                scale[:, part] = self.std.get(i, 0.0)
                if not np.isfinite(scale[:, part]).all():
                    raise InvalidField(
                        f"{quoted(name)} has a covariance with another node, so its standard deviation must be finite.",
                        node=name,
                        where=Where(pointer=f"/std/{pointer_part(name)}"),
                    )
                continue
            diagonal = np.einsum("bii->bi", own)
            if (diagonal < 0).any():
                raise InvalidField(
                    f"The diagonal of the covariance of {quoted(name)} with itself holds variances, which are not "
                    f"negative; there is {float(diagonal.min()):g}.",
                    node=name,
                    where=at,
                )
            scale[:, part] = np.sqrt(diagonal)
        return scale

    def _check_zero_variances(self, scale: Array) -> None:
        """What does not vary has no covariance."""
        for (i, j), block in self.blocks.items():
            still = [scale[:, self.slices[i], None] == 0, scale[:, None, self.slices[j]] == 0]
            for k, never in zip((i, j), still, strict=True):
                if ((block != 0) & never).any():
                    name = self.job.id(k)
                    missing = k not in self.std and (k, k) not in self.blocks
                    hint = (
                        f": give it in `std`, or as the covariance of {quoted(name)} with itself"
                        if missing
                        else ""
                    )
                    raise InvalidField(
                        f"{self._pair(i, j)} is not 0, but {quoted(name)} has no variance{hint}.",
                        node=name,
                        where=self._at(i, j),
                    )

    def _check_bounds(self, i: int, j: int, block: Array, scaled: Array) -> None:
        """|cov(x, y)| ≤ std(x)·std(y)."""
        over = np.abs(scaled) > 1 + TOLERANCE
        if over.any():
            index = tuple(int(k) for k in np.argwhere(over)[0])
            entry = float(block[index if len(block) > 1 else (0, *index[1:])])
            where = "" if block.shape[1:] == (1, 1) else f" (entry {list(index[1:])}, of flattened arrays)"
            raise InvalidField(
                f"{self._pair(i, j)} is {entry:g}{where}, which would be a correlation of {float(scaled[index]):.6g}; none is "
                "beyond ±1.",
                node=self.job.id(i),
                where=self._at(i, j),
            )

    def _check_agree(self, i: int, j: int, block: Array, one: Array, other: Array) -> None:
        """A covariance is symmetric; what is given twice is given alike."""
        if not (np.abs(one - other) > TOLERANCE).any():
            return
        a, b = quoted(self.job.id(i)), quoted(self.job.id(j))
        if i == j:
            detail = f"The covariance of {a} with itself is not symmetric."
        else:
            detail = f"The covariance of {a} with {b} is not the transpose of that of {b} with {a}; one of them is enough."
        raise InvalidField(detail, node=self.job.id(i), where=self._at(i, j))

    def _check_semidefinite(self, r: Array) -> None:
        """R + 1e-8 has a Cholesky factor. Its failure says up to where the entries go together."""
        for member in r:
            self.meter.look()
            if not member.size:
                return
            _, info = dpotrf(member + TOLERANCE * np.eye(self.size), lower=1, overwrite_a=1)
            if info > 0:
                last = next(i for i in self.group if self.slices[i].stop >= info)
                involved = [
                    i
                    for i in self.group
                    if self.slices[i].start < info
                    and (i == last or np.any(member[info - 1, self.slices[i]] != 0))
                ]
                raise InvalidField(
                    f"The covariances of {self._names(involved)} contradict one another: the matrix is not positive "
                    "semidefinite, so some combination of them would have a negative variance. (Its correlations may "
                    f"have eigenvalues down to -{TOLERANCE:g}, for rounding.)",
                    node=self.job.id(last),
                    where=Where(pointer="/covariance"),
                )

    def _pair(self, i: int, j: int) -> str:
        a, b = quoted(self.job.id(i)), quoted(self.job.id(j))
        return f"The covariance of {a} with {'itself' if i == j else b}"

    def _names(self, steps: Sequence[int]) -> str:
        names = [quoted(self.job.id(i)) for i in steps]
        shown = names[:6] + (["…"] if len(names) > 6 else [])
        return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"

    def _at(self, i: int, j: int) -> Where:
        return Where(pointer=f"/covariance/{pointer_part(self.job.id(i))}/{pointer_part(self.job.id(j))}")
