"""The tables of the SQLite store, and how a file of an older version becomes one of today's."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from sqlite3 import Connection

from service.store.interface import StoreUnavailable

APPLICATION = 0x57_4E_47_54
"""SQLite's application id, "WNGT": tells our files from those of other programs, which are left alone."""

# `key` is AUTOINCREMENT, so never used again. What is large stands last: SQLite reads a row up to what is asked for.
# `usage` is one row, kept by triggers, so that bounds cost no scan. Names are ASCII and compared as bytes.
_FIRST = (
    """CREATE TABLE programs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        nodes INTEGER NOT NULL,
        created TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        outputs BLOB NOT NULL,
        inputs BLOB NOT NULL,
        source TEXT,
        graph BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE names (
        name TEXT PRIMARY KEY,
        program INTEGER NOT NULL REFERENCES programs (key) ON DELETE CASCADE,
        signature TEXT,
        description TEXT,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX names_of_program ON names (program)",
    "CREATE TABLE usage (programs INTEGER NOT NULL, bytes INTEGER NOT NULL, secret BLOB NOT NULL) STRICT",
    """CREATE TRIGGER program_added AFTER INSERT ON programs BEGIN
        UPDATE usage SET programs = programs + 1, bytes = bytes + NEW.bytes; END""",
    """CREATE TRIGGER program_removed AFTER DELETE ON programs BEGIN
        UPDATE usage SET programs = programs - 1, bytes = bytes - OLD.bytes; END""",
    "CREATE TRIGGER name_added AFTER INSERT ON names BEGIN UPDATE usage SET bytes = bytes + NEW.bytes; END",
    "CREATE TRIGGER name_removed AFTER DELETE ON names BEGIN UPDATE usage SET bytes = bytes - OLD.bytes; END",
    """CREATE TRIGGER name_changed AFTER UPDATE ON names BEGIN
        UPDATE usage SET bytes = bytes + NEW.bytes - OLD.bytes; END""",
)

MIGRATIONS: Sequence[Sequence[str]] = (_FIRST,)
"""MIGRATIONS[n] makes version n + 1 of version n. What was released is never changed, only followed by another."""


def version(connection: Connection) -> int:
    """The version of the file, 0 for an empty one. Raises `StoreUnavailable` for files that are not ours or too new.

    All that is asked is asked of one moment: another process may be making the file just now.
    """
    if not connection.in_transaction:
        connection.execute("BEGIN")
        try:
            return version(connection)
        finally:
            connection.execute("ROLLBACK")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application or found or tables:
            raise StoreUnavailable("The database is another program's.", retry_after=60)
    if found > len(MIGRATIONS):
        raise StoreUnavailable("The database was written by a newer version of this server.", retry_after=60)
    return int(found)


def migrate(connection: Connection) -> None:
    """Bring the file to today's version, all of it or nothing; several processes may try at once."""
    if version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version(connection), len(MIGRATIONS)):  # another process may have been here first
            for statement in MIGRATIONS[step]:
                connection.execute(statement)
            if step == 0:
                connection.execute("INSERT INTO usage VALUES (0, 0, ?)", (secrets.token_bytes(32),))
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {step + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
