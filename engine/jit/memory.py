"""Memory of the compiler, once everything is compiled: its code goes back to the system's cache of files."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DONTNEED = 4
"""Linux: the pages are not needed now. What has been read from a file and never changed is read again when it is."""

_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(.*)$")


def give_back(library: str = "libllvmlite") -> int:
    """Let go of the code of a shared library that will hardly be run again; returns the bytes of its mappings.

    A compiler reads tens of megabytes of itself to load what was compiled before, and then never runs again. Only mappings
    are let go that cannot be written and of which no page is the process's own (relocated tables are). Elsewhere than on
    Linux nothing happens. man 2 madvise, man 5 proc (smaps).
    """
    if not sys.platform.startswith("linux"):
        return 0
    try:
        text = Path("/proc/self/smaps").read_text()
        libc = ctypes.CDLL(None)
    except OSError:
        return 0
    total = 0
    for start, size in _clean(text, library):
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), DONTNEED) == 0:
            total += size
    return total


def _clean(smaps: str, library: str) -> Iterator[tuple[int, int]]:
    """(address, bytes) of the library's mappings that are read-only and wholly the file's."""
    mine: tuple[int, int] | None = None
    own: dict[str, int] = {}
    for line in [*smaps.splitlines(), "0-0 ---p 0 0 0 "]:
        head = _HEAD.match(line)
        if head is None:
            key, _, value = line.partition(":")
            if key in ("Private_Dirty", "Shared_Dirty", "Anonymous"):
                own[key] = int(value.split()[0])
            continue
        if mine is not None and len(own) == 3 and not any(own.values()):
            yield mine
        start, end, flags, path = int(head[1], 16), int(head[2], 16), head[3], head[4]
        wanted = library in path and flags[0] == "r" and flags[1] == "-"
        mine, own = ((start, end - start) if wanted else None), {}
