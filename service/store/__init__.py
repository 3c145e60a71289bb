"""Where registered programs are kept.

interface    what a store does; nothing else in the service depends on more than this
memory       for one process, until it ends
sqlite       a file, for several processes on one machine
connections  SQLite's connections: opened, kept, given up
schema       its tables, and how older ones become today's
clock        the time of a registration
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from service.settings import Settings
from service.store.interface import Store

logger = logging.getLogger("wengert.store")


def make_store(settings: Settings) -> Store:
    """The store that the settings name. Nothing is opened or made yet (`Store.open`).

    A place that was chosen is never silently another one. Of one that was not, and that cannot be written to, memory takes
    the place, unless there are several processes, which would not share it.
    """
    path = os.path.expanduser(settings.store.removeprefix("sqlite:"))
    memory = settings.store == "memory:"
    if (
        not memory
        and "store" not in settings.model_fields_set
        and settings.workers == 1
        and not _writable(path)
    ):
        logger.warning(
            "programs are kept in memory until the server stops: %s cannot be written to; WENGERT_STORE names "
            "another place",
            Path(path).absolute(),
        )
        memory = True
    if memory:
        from service.store.memory import MemoryStore

        return MemoryStore(programs=settings.store_programs, bytes=settings.store_bytes)
    from service.store.sqlite import SqliteStore

    return SqliteStore(path, programs=settings.store_programs, bytes=settings.store_bytes)


def _writable(path: str) -> bool:
    """Whether a file can be made here, or is one that can be written to."""
    place = Path(path).absolute()
    if place.exists() and not os.access(place, os.W_OK):
        return False
    folder = next(p for p in place.parents if p.exists())
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


__all__ = ["Store", "make_store"]
