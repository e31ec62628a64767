"""What must not get lost or look lost: a publication that was overtaken, a file that has gone, an id that cannot be."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import InputError, StoreUnavailable
from serving.store import Incoming, Publication, Store

PUBLICATION = Publication("w1", "CNY", "Asia/Shanghai", 1_000, "churn", "1", "layout", "digest")


def begin(session, *ids):
    number = session.begin_generation(PUBLICATION)
    session.add(
        "customers", number, [{"customer_id": name, "history": b"h", "profile": "{}"} for name in ids]
    )
    return number


def drop_all_older(store, number):
    left = 1
    while left:
        with store.writing() as session:
            left = session.drop_older(number, 10)


@pytest.mark.parametrize("as_of", [1_000, 9_000], ids=["of the same instant", "of a later instant"])
def test_a_publication_that_was_overtaken_does_not_empty_the_store(store, as_of):
    with store.writing() as session:
        slow = begin(session, "ann", "bob")
    with store.writing() as session:
        quick = begin(session, "ann")
        session.make_current(quick, PUBLICATION, [])
    drop_all_older(store, quick)
    with (
        pytest.raises(InputError, match=f"generation {quick}.*this one .{slow}.*nothing was replaced"),
        store.writing() as session,
    ):
        session.make_current(slow, replace(PUBLICATION, as_of=as_of), [])
    with store.reading() as session:
        assert (session.generation(), session.publication()) == (quick, PUBLICATION)
        assert session.customer_ids() == ["ann"]


def test_an_id_that_no_database_keeps_is_nobody(store):
    with store.writing() as session:
        session.make_current(begin(session, "ann"), PUBLICATION, [])
    with store.reading() as session:
        assert session.customers(["a\x00", "ann", "\x00"]).keys() == {"ann"}
        assert (
            session.open_facts(["a\x00"]),
            session.consents(["a\x00"]),
            session.reserved(["a\x00"], 0),
        ) == ([], [], [])
        assert session.linked([("main", "a\x00")]) == {}


def accept(store, key):
    with store.writing() as session:
        session.accept([Incoming("events", "main", key, "ann", 5, {"kind": "view"})], 10)


def keys_of(store):
    with store.reading() as session:
        return [fact.key for fact in session.open_facts(["ann"])]


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "store.db"
    Store(f"sqlite:///{made}", create=True).close()
    return made


def move(path: Path, to: Path):
    for suffix in ("", "-wal", "-shm"):
        if (part := path.with_name(path.name + suffix)).exists():
            shutil.move(part, to.with_name(to.name + suffix))


def test_nothing_is_taken_in_for_a_file_that_has_gone(path, tmp_path):
    store = Store(f"sqlite:///{path}")
    accept(store, "e1")
    move(path, tmp_path / "away.db")
    for attempt in (lambda: accept(store, "e2"), lambda: keys_of(store)):
        with pytest.raises(StoreUnavailable, match=r"store\.db does not answer"):
            attempt()
    assert not path.exists()
    move(tmp_path / "away.db", path)
    assert keys_of(store) == ["e1"]  # there again, and nothing was lost
    store.close()


def test_another_file_in_its_place_is_the_store_from_then_on(path, tmp_path):
    store = Store(f"sqlite:///{path}")
    accept(store, "e1")
    restored = Store(f"sqlite:///{tmp_path}/backup.db", create=True)
    accept(restored, "e0")
    restored.close()
    move(path, tmp_path / "away.db")
    move(tmp_path / "backup.db", path)
    accept(store, "e2")
    assert keys_of(store) == ["e0", "e2"]
    store.close()
