"""The contract of a store (`service/store/interface.py`), held against each implementation."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.language import parse_text
from service.records import new_program
from service.store.interface import (
    MAX_NAMES,
    Found,
    Name,
    NameTaken,
    Naming,
    NewProgram,
    Record,
    Store,
    StoreFull,
    is_digest,
)
from service.store.memory import LOOKED_AT, MemoryStore
from service.store.sqlite import SqliteStore

Make = Callable[..., Store]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes stores; a second call makes another one."""
    made: list[Store] = []
    numbers = itertools.count()

    def one(*, programs: int = 1000, bytes: int = 1 << 20) -> Store:
        store: Store
        if request.param == "memory":
            store = MemoryStore(programs=programs, bytes=bytes)
        else:
            store = SqliteStore(str(tmp_path / f"{next(numbers)}.db"), programs=programs, bytes=bytes)
        made.append(store)
        return store

    yield one
    for store in made:
        store.close()


@pytest.fixture
def store(make: Make) -> Store:
    return make()


def program(k: int = 0) -> NewProgram:
    """One of many programs."""
    text = f"x * {k}.5 + y"
    return new_program(parse_text(text), text)


def naming(name: str, description: str | None = None, signature: str | None = None, **more: object) -> Naming:
    return Naming(Name(name, description, signature), **more)  # type: ignore[arg-type]


def ids(store: Store, **options: object) -> list[str]:
    page = store.page(**{"limit": 1000, "most_bytes": 1 << 30, **options})  # type: ignore[arg-type]
    return [record.id for record in page.records]


def accept(record: Record) -> None:
    """Removes whatever is there."""


# ------------------------------------------------------------------------------------------------------------- adding


def test_what_was_added_is_there(store: Store) -> None:
    p = program()
    before = datetime.now(UTC)
    record, created = store.add(p, None)
    assert created
    assert store.record(p.id) == record
    assert (record.id, record.names, record.nodes, record.source) == (p.id, (), p.nodes, p.content.source)
    assert (record.inputs, record.outputs) == (p.inputs, p.outputs)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.created)
    assert abs(datetime.fromisoformat(record.created) - before) < timedelta(seconds=60)
    assert store.content(record.key) == p.content
    assert store.find(p.id) == Found(record.key, p.id, None)


def test_the_first_source_stays(store: Store) -> None:
    first, second = program(), program()
    second = NewProgram(second.id, type(second.content)(second.content.graph, "# other\n" + str(second.content.source)),
                        second.inputs, second.outputs, second.nodes)  # fmt: skip
    one = store.add(first, None)
    two = store.add(second, None)
    assert (one.created, two.created) == (True, False)
    assert two.record == one.record
    content = store.content(two.record.key)
    assert content is not None
    assert content.source == first.content.source


def test_what_is_not_there(store: Store) -> None:
    for ref in ("name", program().id, "", "%", "'", "\0", "ß" * 100):
        assert store.find(ref) is None
        assert store.record(ref) is None
        assert store.remove(ref, accept) is None
    assert store.content(7) is None
    assert store.bind(7, naming("a")) is None
    assert store.find("a") is None


# -------------------------------------------------------------------------------------------------------------- names


def test_a_name_leads_to_its_program(store: Store) -> None:
    p = program()
    record, _ = store.add(p, naming("loss", "what it is", '{"x":{"shape":[],"dtype":"float64"}}'))
    assert record.names == (Name("loss", "what it is", '{"x":{"shape":[],"dtype":"float64"}}'),)
    assert store.find("loss") == Found(record.key, p.id, record.names[0].signature)
    assert store.record("loss") == record


def test_names_are_in_order_and_cases_differ(store: Store) -> None:
    p = program()
    for name in ("b", "B", "a.2", "a-1", "a_3"):
        record, _ = store.add(p, naming(name))
    assert [n.name for n in record.names] == ["B", "a-1", "a.2", "a_3", "b"]
    assert store.find("A-1") is None


def test_a_name_of_another_program_is_taken(store: Store) -> None:
    one, two = program(1), program(2)
    store.add(one, naming("n", "first"))
    with pytest.raises(NameTaken) as taken:
        store.add(two, naming("n", "second"))
    assert (taken.value.name, taken.value.id) == ("n", one.id)
    assert store.record(two.id) is None, "nothing of a refused registration is kept"
    assert store.record("n").names == (Name("n", "first"),)  # type: ignore[union-attr]
    record, created = store.add(two, naming("n", replace=True))
    assert created
    assert record.names == (Name("n"),), "what belonged to the old binding is gone with it"
    assert store.record(one.id).names == ()  # type: ignore[union-attr]


def test_what_is_not_given_again_stays(store: Store) -> None:
    p = program()
    store.add(p, naming("n", "text", "{}"))
    record, _ = store.add(p, naming("n", given=frozenset()))
    assert record.names == (Name("n", "text", "{}"),)
    record, _ = store.add(p, naming("n", "new", given=frozenset({"description"})))
    assert record.names == (Name("n", "new", "{}"),)
    record, _ = store.add(p, naming("n", given=frozenset({"signature"})))
    assert record.names == (Name("n", "new", None),)


def test_a_program_that_is_there_gets_a_name(store: Store) -> None:
    record, _ = store.add(program(1), None)
    store.add(program(2), naming("taken"))
    named = store.bind(record.key, naming("n"))
    assert named is not None
    assert [n.name for n in named.names] == ["n"]
    with pytest.raises(NameTaken):
        store.bind(record.key, naming("taken"))
    assert store.bind(record.key, naming("taken", replace=True)) == store.record("taken")


# ----------------------------------------------------------------------------------------------------------- removing


def test_a_name_is_unbound(store: Store) -> None:
    p = program()
    store.add(p, naming("a"))
    store.add(p, naming("b"))
    removed = store.remove("a", accept)
    assert removed is not None
    assert [n.name for n in removed.names] == ["a", "b"]
    assert store.find("a") is None
    assert [n.name for n in store.record(p.id).names] == ["b"]  # type: ignore[union-attr]


def test_a_program_goes_with_its_names(store: Store) -> None:
    p, other = program(1), program(2)
    key = store.add(p, naming("a")).record.key
    store.add(p, naming("b"))
    store.add(other, naming("c"))
    assert store.remove(p.id, accept) is not None
    assert [store.find(ref) for ref in (p.id, "a", "b")] == [None] * 3
    assert store.content(key) is None
    assert store.find("c") is not None
    again = store.add(p, naming("a"))
    assert again.created
    assert again.record.key > key + 1, "keys are not used again"


def test_a_refusal_removes_nothing(store: Store) -> None:
    p = program()
    record = store.add(p, naming("a")).record
    seen: list[Record] = []

    def refuse(found: Record) -> None:
        seen.append(found)
        raise KeyError("no")

    for ref in ("a", p.id):
        with pytest.raises(KeyError):
            store.remove(ref, refuse)
    assert seen == [record, record]
    assert store.record("a") == record


# ------------------------------------------------------------------------------------------------------------ listing


def test_pages(store: Store) -> None:
    wanted = [store.add(program(k), None).record.id for k in range(7)]
    first = store.page(limit=3, most_bytes=1 << 20)
    assert [r.id for r in first.records] == wanted[:3]
    assert first.more
    rest = store.page(after=first.records[-1].key, limit=4, most_bytes=1 << 20)
    assert [r.id for r in rest.records] == wanted[3:]
    assert not rest.more
    assert store.page(after=rest.records[-1].key, limit=4, most_bytes=1 << 20).records == ()


def test_pages_end_early_but_are_never_empty(store: Store) -> None:
    for k in range(5):
        store.add(program(k), None)
    page = store.page(limit=5, most_bytes=1)
    assert len(page.records) == 1
    assert page.more
    assert not store.page(after=page.records[0].key + 3, limit=5, most_bytes=1).more


def test_prefixes(store: Store) -> None:
    for k, name in enumerate(["ab", "abc", "b", "a%", "AB", "a_b", "az", "a~"]):
        store.add(program(k), naming(name))
    store.add(program(0), naming("abz"))
    store.add(program(99), None)
    found = {
        p: len(ids(store, prefix=p)) for p in ("", "a", "ab", "abz", "A", "a_", "a%", "c", "é", "a~", "z")
    }
    assert found == {
        "": 9,
        "a": 6,
        "ab": 2,
        "abz": 1,
        "A": 1,
        "a_": 1,
        "a%": 1,
        "c": 0,
        "é": 0,
        "a~": 1,
        "z": 0,
    }
    page = store.page(limit=2, most_bytes=1 << 20, prefix="a")
    assert page.more
    assert len(ids(store, prefix="a", after=page.records[-1].key)) == 4


# ------------------------------------------------------------------------------------------------------------- bounds


def test_most_programs(make: Make) -> None:
    store = make(programs=2)
    store.add(program(1), None)
    store.add(program(2), None)
    with pytest.raises(StoreFull) as full:
        store.add(program(3), None)
    assert (full.value.limit, full.value.maximum, full.value.actual) == ("store_programs", 2, 3)
    assert not store.add(program(1), naming("n")).created, "what is there needs no room"
    store.remove(program(1).id, accept)
    store.add(program(3), None)


def test_most_bytes(make: Make) -> None:
    p, q = program(1), program(2)
    name = Name("n", "d" * 100)
    store = make(bytes=p.size + name.size)
    store.add(p, Naming(name))
    with pytest.raises(StoreFull) as full:
        store.add(q, None)
    assert full.value.limit == "store_bytes"
    with pytest.raises(StoreFull):
        store.add(p, naming("m"))
    with pytest.raises(StoreFull):
        store.add(p, naming("n", "d" * 101))
    assert store.record("n").names == (name,)  # type: ignore[union-attr]
    store.add(p, naming("n", "d" * 50))
    store.add(p, Naming(name))
    store.remove("n", accept)
    store.add(p, Naming(name))
    store.remove(p.id, accept)
    store.add(q, Naming(name))


def test_most_names(make: Make) -> None:
    store = make()
    p = program()
    for k in range(MAX_NAMES):
        store.add(p, naming(f"n{k}"))
    with pytest.raises(StoreFull) as full:
        store.add(p, naming("one-more"))
    assert full.value.limit == "names"
    store.add(p, naming("n5", "still fine"))


# -------------------------------------------------------------------------------------------------------- many at once


def test_one_of_many_wins_a_name(store: Store) -> None:
    def attempt(k: int) -> bool:
        try:
            store.add(program(k), naming("n"))
        except NameTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(40))) == 1
    assert len(ids(store)) == 1


def test_listing_while_others_write(store: Store) -> None:
    """Who goes through all pages sees what was there all the time once, and in order."""
    lasting = [store.add(program(k), None).record.id for k in range(0, 60, 2)]
    passing = [program(k) for k in range(1, 60, 2)]
    for p in passing:
        store.add(p, None)
    stop = threading.Event()

    def churn() -> None:
        for p in itertools.cycle(passing):
            store.remove(p.id, accept)
            store.add(p, None)
            if stop.is_set():
                return

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(churn)
        try:
            for limit in (1, 3, 7):
                seen: list[Record] = []
                page = store.page(limit=limit, most_bytes=1 << 20)
                while page.more and len(seen) < 1000:
                    seen += page.records
                    page = store.page(after=seen[-1].key, limit=limit, most_bytes=1 << 20)
                seen += page.records
                assert [r.key for r in seen] == sorted({r.key for r in seen})
                assert [r.id for r in seen if r.id in set(lasting)] == lasting
                if len(seen) >= 1000:
                    break  # the other one registers faster than this one lists
        finally:
            stop.set()
            running.result()


def test_the_secret_stays(store: Store) -> None:
    assert len(store.secret()) >= 16
    assert store.secret() == store.secret()


def test_what_an_id_is() -> None:
    good = "sha256-" + "0123456789abcdef" * 4
    assert is_digest(good)
    for wrong in (
        good.upper(),
        good.replace("a", "A"),
        good[:-1],
        good + "0",
        "md5256-" + good[7:],
        good[:-1] + "g",
    ):
        assert not is_digest(wrong)


# -------------------------------------------------------------------------------------------------------------- names


def test_names_that_begin_alike(store: Store) -> None:
    for k, name in enumerate(["loan", "lot", "Loan", "m", "l"]):
        store.add(program(k), naming(name))
    assert sorted(store.names("l", 10)) == ["l", "loan", "lot"]
    assert store.names("Lo", 10) == ["Loan"]
    assert sorted(store.names("", 10)) == ["Loan", "l", "loan", "lot", "m"]
    assert len(store.names("l", 2)) == 2
    assert store.names("x", 10) == []


def test_names_of_very_many() -> None:
    """Only so many are looked at where no index finds them, so that nobody has to wait."""
    store = MemoryStore(programs=3000, bytes=1 << 30)
    for k in range(LOOKED_AT + 5):
        store.add(program(k), naming(f"{'ab'[k >= LOOKED_AT]}{k}"))
    assert len(store.names("a", 100)) == 100
    assert store.names("b", 100) == []
