"""The SQLite store where things go wrong: files that are not ours, locks, full disks, damage, other processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.store import connections, schema
from service.store.interface import StoreUnavailable, WouldBlock
from service.store.sqlite import SqliteStore
from tests.service.conftest import ROOT
from tests.service.test_store import accept, naming, program


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "programs.sqlite3"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(path), programs=1000, bytes=1 << 30)
    try:
        yield store
    finally:
        store.close()


def bare(path: Path) -> sqlite3.Connection:
    """Another program's connection."""
    return sqlite3.connect(path, isolation_level=None, timeout=5)


def test_what_is_kept_is_there_after_a_restart(path: Path) -> None:
    with opened(path) as store:
        record = store.add(program(), naming("n", "text", "{}")).record
        secret = store.secret()
    with opened(path) as store:
        assert store.record("n") == record
        assert store.content(record.key) == program().content
        assert store.secret() == secret


def test_each_commit_is_on_the_disk_and_nobody_elses(path: Path) -> None:
    with opened(path) as store:
        store.open()
        store.add(program(), None)
        assert {p.name: p.stat().st_mode & 0o077 for p in path.parent.iterdir()} == dict.fromkeys(
            [path.name, f"{path.name}-wal", f"{path.name}-shm"], 0
        )
        with store.connections.writing() as c:
            assert c.execute("PRAGMA synchronous").fetchone() == (2,)
            assert c.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert c.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_the_counts_are_right(path: Path) -> None:
    """What triggers count is what is there, whatever was done."""
    with opened(path) as store:
        for k in range(5):
            store.add(program(k), naming(f"n{k}", "x" * k))
            store.add(program(k), naming("moves", replace=True))
        store.add(program(3), naming("n3", "longer than before"))
        store.remove("n2", accept)
        store.remove(program(4).id, accept)
        with bare(path) as c:
            counted = c.execute("SELECT programs, bytes FROM usage").fetchone()
            there = c.execute(
                "SELECT (SELECT count(*) FROM programs), (SELECT sum(bytes) FROM programs) + (SELECT sum(bytes) FROM names)"
            ).fetchone()
            assert counted == there
            assert c.execute("SELECT count(*) FROM names").fetchone() == (3,)
        c.close()


# -------------------------------------------------------------------------------------------------- versions and files


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with opened(path) as store:
        store.add(program(), None)
    with bare(path) as c:
        c.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    c.close()
    with opened(path) as store, pytest.raises(StoreUnavailable, match="newer"):
        store.find("n")
    with bare(path) as c:
        c.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
    c.close()
    with opened(path) as store:
        assert store.record(program().id)


def test_older_files_are_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as store:
        store.add(program(), naming("n"))
    more = ("ALTER TABLE names ADD COLUMN since TEXT", "UPDATE names SET since = 'always'")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, more))
    with opened(path) as store:
        assert store.find("n")
        with store.connections.reading() as c:
            assert c.execute("PRAGMA user_version").fetchone() == (2,)
            assert c.execute("SELECT since FROM names").fetchone() == ("always",)


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as store:
        store.add(program(), naming("n"))
    broken = (*schema.MIGRATIONS, ("ALTER TABLE names ADD COLUMN since TEXT", "UPDATE nothing SET x = 1"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        with opened(path) as store, pytest.raises(StoreUnavailable):
            store.open()
    with opened(path) as store:
        assert store.find("n")
        store.add(program(2), naming("m"))


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with bare(path) as c:
        c.execute("CREATE TABLE programs (key INTEGER)")
    c.close()
    with opened(path) as store, pytest.raises(StoreUnavailable, match="another program"):
        store.add(program(), None)
    with bare(path) as c:
        assert c.execute("SELECT name FROM sqlite_schema").fetchall() == [("programs",)]
    c.close()


def test_what_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"This is no database, but long enough to look like one. " * 100)
    with opened(path) as store, pytest.raises(StoreUnavailable, match="damaged") as error:
        store.open()
    assert error.value.retry_after > 0
    assert str(path) not in error.value.detail


@pytest.mark.parametrize("kind", ["a folder", "below a file"])
def test_a_place_where_no_file_can_be(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path if kind == "a folder" else tmp_path / "file" / "below" / "programs.sqlite3"
    with opened(path) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.find("n")
            assert not store.available
        with pytest.raises(WouldBlock):
            store.find("n", wait=False)


def test_it_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that could not be opened works as soon as it can be."""
    monkeypatch.setattr(connections, "PAUSE_S", 0.05)
    path.parent.write_text("in the way")
    with opened(path) as store:
        with pytest.raises(StoreUnavailable):
            store.find("n")
        path.parent.unlink()
        with pytest.raises(StoreUnavailable):
            store.find("n")  # not at once
        time.sleep(0.1)
        assert store.find("n") is None
        assert store.available


# ------------------------------------------------------------------------------------------------ full, locked, damaged


def test_a_full_disk(path: Path) -> None:
    with opened(path) as store:
        kept = store.add(program(0), naming("n")).record
        with store.connections.writing() as c:
            (pages,) = c.execute("PRAGMA page_count").fetchone()
            c.execute(f"PRAGMA max_page_count = {pages + 1}")

        def fill() -> None:
            for k in range(1, 1000):
                store.add(program(k), naming(f"n{k}"))

        with pytest.raises(StoreUnavailable, match="full"):
            fill()
        found = store.page(limit=1000, most_bytes=1 << 30).records
        assert found[0] == kept
        assert all([n.name for n in r.names] == [f"n{k}" if k else "n"] for k, r in enumerate(found))
        with store.connections.writing() as c:
            c.execute("PRAGMA max_page_count = 100000")
        assert store.add(program(2000), None).created
        assert store.available


def test_a_lock_that_somebody_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_S", 0.1)
    with opened(path) as store:
        store.add(program(), naming("n"))
        other = bare(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="busy"):
            store.add(program(2), None)
        assert store.find("n", wait=False), "who reads does not wait for who writes"
        other.execute("ROLLBACK")
        other.close()
        assert store.add(program(2), None).created


def test_reading_does_not_wait_on_the_event_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_S", 0.1)
    monkeypatch.setattr(connections, "JOURNAL", "DELETE")  # where readers do wait for writers
    with opened(path) as store:
        with pytest.raises(WouldBlock):
            store.find("n", wait=False)
        store.add(program(), naming("n"))
        other = bare(path)
        for _ in range(2):  # a connection that has to be made, and one that is there
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(WouldBlock):
                store.find("n", wait=False)
            with pytest.raises(StoreUnavailable, match="busy"):
                store.find("n")
            other.execute("COMMIT")
            assert store.find("n", wait=False)
        other.close()


def test_a_writer_that_hangs_in_this_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_S", 0.1)
    with opened(path) as store:
        store.add(program(), naming("n"))
        inside, done = threading.Event(), threading.Event()

        def check(record: object) -> None:
            inside.set()
            done.wait(10)
            raise KeyError

        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(store.remove, "n", check)
            assert inside.wait(10)
            with pytest.raises(StoreUnavailable, match="busy"):
                store.add(program(2), None)
            assert store.find("n")
            done.set()
            with pytest.raises(KeyError):
                hanging.result(10)
        assert store.find("n")


def test_damage_is_found_and_healed_by_a_whole_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PAUSE_S", 0.0)
    with opened(path) as store:
        for k in range(50):
            store.add(program(k), naming(f"n{k}"))
    whole = path.read_bytes()
    page = 4096
    path.write_bytes(whole[:page] + b"\xff" * (len(whole) - page))
    with opened(path) as store:
        with pytest.raises(StoreUnavailable, match="damaged"):
            store.page(limit=50, most_bytes=1 << 30)
        with pytest.raises(StoreUnavailable):
            store.add(program(51), None)
        store.close()
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        path.write_bytes(whole)
        assert len(store.page(limit=100, most_bytes=1 << 30).records) == 50


def test_a_file_that_was_taken_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged that would be written into a file without a name."""
    monkeypatch.setattr(connections, "PAUSE_S", 0.0)
    with opened(path) as store:
        store.add(program(), naming("n"))
        for name in list(path.parent.iterdir()):
            name.unlink()
        with contextlib.suppress(StoreUnavailable):
            store.add(program(2), naming("m"))
        store.add(program(3), naming("o"))
        with opened(path) as other:
            assert other.find("o")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="needs to become a user whom permissions bind"
)
@pytest.mark.parametrize("folder", [0o755, 0o777], ids=["closed folder", "open folder"])
def test_a_file_that_can_only_be_read(folder: int) -> None:
    """Clean errors, and reading where SQLite can (a WAL needs files beside it)."""
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        Path(place).chmod(folder)
        path = Path(place) / "programs.sqlite3"
        with opened(path) as store:
            store.add(program(), naming("n"))
        path.chmod(0o444)
        os.seteuid(65534)
        try:
            with opened(path) as store:
                with contextlib.suppress(StoreUnavailable):
                    assert store.find("n")
                with pytest.raises(StoreUnavailable):
                    store.add(program(2), None)
                with contextlib.suppress(StoreUnavailable):
                    assert store.find("n")
        finally:
            os.seteuid(0)
        with opened(path) as store:
            assert len(store.page(limit=9, most_bytes=1 << 20).records) == 1


# ----------------------------------------------------------------------------------------------------- other processes

WRITER = """
import sys
from service.store.interface import NameTaken
from service.store.sqlite import SqliteStore
from tests.service.test_store import naming, program
path, start = sys.argv[1], int(sys.argv[2])
store = SqliteStore(path, programs=1000, bytes=1 << 30)
won = 0
for k in range(20):
    try:
        store.add(program(start + k), naming(f"n{k}"))
        won += 1
    except NameTaken:
        pass
store.close()
print(won)
"""


def test_processes_that_make_the_file_and_race_for_names(path: Path) -> None:
    """Each name is won by one of them, and by one alone; also while the file is being made."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(100 * k)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(3)
    ]
    won = [int(p.communicate(timeout=60)[0]) for p in running]
    assert all(p.returncode == 0 for p in running)
    assert sum(won) == 20
    with opened(path) as store:
        found = store.page(limit=1000, most_bytes=1 << 30).records
        assert sorted(n.name for r in found for n in r.names) == sorted(f"n{k}" for k in range(20))
        assert len(found) == 20, "nothing is kept of those that lost"


def test_changes_of_others_are_seen_at_once(path: Path) -> None:
    with opened(path) as one, opened(path) as two:
        a = one.add(program(1), naming("n")).record
        assert two.find("n", wait=True) == (a.key, a.id, None)
        b = two.add(program(2), naming("n", replace=True)).record
        assert one.find("n", wait=False) == (b.key, b.id, None)
        two.remove("n", accept)
        assert one.find("n", wait=False) is None
        two.remove(program(1).id, accept)
        assert one.find(program(1).id, wait=False) is None
        assert one.content(a.key) is None
