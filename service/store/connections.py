"""Connections to a SQLite file: opened when first needed, kept for the next, given up when something is wrong.

The file is in WAL mode, so that readers and a writer do not wait for one another, and a commit is on the disk when it
returns (`synchronous=FULL`): a process that is killed, or a machine that loses power, leaves the last commit whole and
nothing of what came after it (https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.store.interface import StoreUnavailable, WouldBlock
from service.store.schema import migrate

logger = logging.getLogger("wengert.store")

BUSY_S = 5.0
"""Seconds for which a lock of another process, or another thread's writing, is waited for."""

PAUSE_S = 1.0
"""Seconds between two attempts to open a file that cannot be opened."""

JOURNAL = "WAL"
"""Mode of the file; where its file system cannot do it, SQLite takes another one, in which readers may have to wait."""

CACHE_KIB = 512
"""Pages that each connection keeps."""

_MEANINGS = {
    sqlite3.SQLITE_BUSY: ("The registry is busy.", 1),
    sqlite3.SQLITE_LOCKED: ("The registry is busy.", 1),
    sqlite3.SQLITE_FULL: ("The disk of the registry is full.", 30),
    sqlite3.SQLITE_READONLY: ("The registry can only be read.", 30),
    sqlite3.SQLITE_PERM: ("The registry may not be opened.", 30),
    sqlite3.SQLITE_CANTOPEN: ("The registry cannot be opened.", 5),
    sqlite3.SQLITE_IOERR: ("The disk of the registry does not work.", 5),
    sqlite3.SQLITE_CORRUPT: ("The registry is damaged.", 60),
    sqlite3.SQLITE_NOTADB: ("The registry is damaged.", 60),
}
"""What SQLite's result codes mean for clients, and after how many seconds it may be over."""

_HARMLESS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL}
"""Codes after which a connection is as good as before."""


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


class Connections:
    """The connections of one process."""

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self.available = True
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._opened = False
        self._file: tuple[int, int] | None = None
        self._failed: tuple[float, StoreUnavailable] | None = None
        self._generation = 0
        self._writer: sqlite3.Connection | None = None
        self._patient: deque[sqlite3.Connection] = deque()
        self._instant: deque[sqlite3.Connection] = deque()

    # -- opening and closing

    def open(self) -> None:
        """Make the file ready, if it is not. Raises `StoreUnavailable`."""
        # What is written to a file that was removed or exchanged would be lost with this process.
        if self._opened and self._identity() != self._file:
            logger.warning("the store %s is another file than before, and is opened anew", self.path)
            self.close()
        if not self._opened:
            with self._lock:
                self._open_once()

    def _open_once(self) -> None:
        if not self._opened:
            if self._failed is not None and time.monotonic() < self._failed[0] + PAUSE_S:
                known = self._failed[1]
                raise StoreUnavailable(known.detail, retry_after=known.retry_after)
            try:
                self._open()
            except (sqlite3.Error, OSError, StoreUnavailable) as error:
                unavailable = self._unavailable(error)
                self._failed = (time.monotonic(), unavailable)
                raise unavailable from error

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Nobody else's to read, nor are the files that SQLite makes beside it: they get the permissions of this one.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        end = time.monotonic() + BUSY_S
        while True:
            connection = self._connect(BUSY_S)
            try:
                # Not all locks on the way to WAL mode wait: two processes that make the file may meet here.
                connection.execute(f"PRAGMA journal_mode = {JOURNAL}")
                migrate(connection)
                break
            except sqlite3.OperationalError as error:
                connection.close()
                if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.02)
            except BaseException:
                connection.close()
                raise
        self._writer = connection
        self._file = self._identity()
        self._failed = None
        self._opened = self.available = True

    def _identity(self) -> tuple[int, int] | None:
        """Which file is there."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connect(self, busy_s: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=busy_s, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            # A WAL that grew while somebody was reading is cut again.
            connection.execute("PRAGMA journal_size_limit = 67108864")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close all connections that are not in use; the others when they come back."""
        with self._lock:
            self._opened = False
            self._generation += 1
            kept = [*self._patient, *self._instant]
            if self._writer is not None and self._writing.acquire(blocking=False):
                kept.append(self._writer)  # nobody writes just now
                self._writing.release()
            self._patient, self._instant, self._writer = deque(), deque(), None
        for connection in kept:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        """What an error means for clients; the log has the error itself, once for each time that it begins."""
        if isinstance(error, StoreUnavailable):
            found = error
        elif isinstance(error, sqlite3.Error):
            detail, seconds = _MEANINGS.get(code_of(error), ("The registry cannot be used.", 5))
            found = StoreUnavailable(detail, retry_after=seconds)
        else:
            found = StoreUnavailable("The registry cannot be opened.")
        (logger.warning if self.available else logger.debug)("the store %s: %s", self.path, error)
        self.available = False
        return found

    def _failure(self, error: sqlite3.Error) -> StoreUnavailable:
        """The same for an error of a connection that was open; all of them are given up unless it was harmless."""
        if code_of(error) in _HARMLESS:
            detail, seconds = _MEANINGS[code_of(error)]
            logger.warning("the store %s: %s", self.path, error)
            return StoreUnavailable(detail, retry_after=seconds)
        found = self._unavailable(error)
        self.close()
        return found

    def _refused(self, error: sqlite3.Error, wait: bool) -> StoreUnavailable | WouldBlock:
        """The same for reading, where without `wait` a lock is no failure."""
        if not wait and code_of(error) == sqlite3.SQLITE_BUSY:
            return WouldBlock()
        return self._failure(error)

    # -- using

    @contextlib.contextmanager
    def reading(self, *, wait: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Raises `StoreUnavailable`; without `wait`, `WouldBlock` instead of waiting."""
        if wait:
            self.open()
        elif not self._opened:
            raise WouldBlock
        generation = self._generation
        pool = self._patient if wait else self._instant
        try:
            connection = pool.pop()
        except IndexError:
            try:
                connection = self._connect(BUSY_S if wait else 0.0)
            except sqlite3.Error as error:
                raise self._refused(error, wait) from error
        try:
            yield connection
        except sqlite3.Error as error:
            raise self._refused(error, wait) from error
        finally:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if generation == self._generation:
                pool.append(connection)
            else:
                connection.close()

    def instantly(self, statement: str, value: str) -> Any:
        """The one row of a query, as by `reading(wait=False)`, which costs as much as the query itself."""
        generation = self._generation
        pool = self._instant
        try:
            connection = pool.pop()
        except IndexError:
            with self.reading(wait=False) as other:
                return other.execute(statement, (value,)).fetchone()
        try:
            row = connection.execute(statement, (value,)).fetchone()
        except sqlite3.Error as error:
            connection.close()
            raise self._refused(error, wait=False) from error
        if generation == self._generation:
            pool.append(connection)
        else:
            connection.close()
        return row

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes; committed, and on the disk, where the block ends without an error."""
        if not self._writing.acquire(timeout=BUSY_S):
            raise StoreUnavailable("The registry is busy.", retry_after=1)
        try:
            self.open()
            generation, connection = self._generation, self._writer
            if connection is None:
                raise StoreUnavailable("The registry is closed.")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
                self.available = True
            except BaseException as error:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._failure(error) from error
                raise
            finally:
                if generation != self._generation:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
        finally:
            self._writing.release()
