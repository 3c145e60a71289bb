"""Prepared jobs, kept for the requests to come: compile once, run often.

A job depends on the program, the verb and its fields, and on the shapes and dtypes of all arrays, but not on their numbers
(those of integers that may decide shapes aside). So it is kept under just that, and a request that asks for the same with
other numbers skips typing, differentiation, simplification, costing and planning. Where a sparse structure was found by the
values of indices, however many, the job is kept under a digest of these as well.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from engine.aval import Array
from engine.cost import Limits
from engine.derive.request import Request
from engine.values import Given

if TYPE_CHECKING:
    from engine.derive.job import Job

MOST_BYTES = 128 << 20
"""What the jobs that are kept may take together, roughly."""
NAMES_BYTES = 1024
"""What a list of names and its key take, roughly."""
LARGEST = 8
"""One job may take the n-th part of that."""


class Plans:
    """Jobs by what they depend on, the longest unused dropped when together they would take more than `most_bytes`.

    Safe under threads. Two threads that miss at the same time both prepare, and one of the jobs is kept: they are equal.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.nbytes = 0
        self._jobs: OrderedDict[Hashable, tuple[Job | tuple[str, ...], int]] = OrderedDict()
        """Jobs with their bytes; names of inputs instead of a job that depends on their values."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, key: Hashable, arrays: Mapping[str, Array]) -> Job | None:
        """The job kept under `key`, without numbers, for inputs `arrays`."""
        found = self._get(key)
        if isinstance(found, tuple):
            found = self._get((key, _digest(found, arrays)))
        assert not isinstance(found, tuple)
        return found

    def _get(self, key: Hashable) -> Job | tuple[str, ...] | None:
        with self._lock:
            found = self._jobs.get(key)
            if found is None:
                return None
            self._jobs.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, job: Job, arrays: Mapping[str, Array]) -> None:
        """Keep a job, unless it is too large."""
        nbytes = job.nbytes
        if nbytes > self.most_bytes // LARGEST:
            return
        if job.decisive:
            self._put(key, job.decisive, NAMES_BYTES)
            key = (key, _digest(job.decisive, arrays))
        self._put(key, job.blank(), nbytes)

    def _put(self, key: Hashable, kept: Job | tuple[str, ...], nbytes: int) -> None:
        with self._lock:
            known = self._jobs.pop(key, None)
            if known is not None:
                self.nbytes -= known[1]
            self._jobs[key] = (kept, nbytes)
            self.nbytes += nbytes
            while self.nbytes > self.most_bytes:
                _, (_, freed) = self._jobs.popitem(last=False)
                self.nbytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._jobs.clear()
            self.nbytes = 0


def _digest(names: Sequence[str], arrays: Mapping[str, Array]) -> bytes:
    """Of the values of these inputs, whose shapes and dtypes are part of the key."""
    digest = blake2b(digest_size=32)
    for name in names:
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.digest()


def key_of(
    verb: str, request: Request, arrays: Mapping[str, Array], statics: Mapping[str, Array], limits: Limits
) -> Hashable:
    """Everything that a job depends on."""
    return (
        request.program.identity,
        verb,
        request.of,
        request.wrt,
        request.mode,
        request.nodes,
        request.dtype,
        tuple([(a.shape, a.dtype.char) for a in arrays.values()]),
        tuple([(n, v.tobytes()) for n, v in statics.items()]) if statics else (),
        tuple([tuple(m.items()) for m in request.in_axes]) if request.in_axes else (),
        None if request.seed is None else _kind(request.seed),
        _kinds(request.tangents) if request.tangents else (),
        _kinds(request.cotangents) if request.cotangents else (),
        _kinds(request.vector) if request.vector else (),
        _kinds(request.direction) if request.direction else (),
        (request.order, request.sparse, request.lagrangian, request.summarize_over),
        "derivative_graph" in request.include,
        limits,
    )


def _kinds(values: Mapping[str, Given]) -> Hashable:
    return tuple([(name, *_kind(v)) for name, v in values.items()])


def _kind(given: Given) -> tuple[Hashable, ...]:
    return given.value.shape, given.value.dtype.char
