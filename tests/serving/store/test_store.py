"""The store: each fact once, all or nothing, one generation at a time, on each database."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import pytest
import sqlalchemy as sa

from features.errors import InputError, StoreUnavailable
from serving.store import Consent, Decision, Incoming, Known, Publication, Store

PUBLICATION = Publication("w1", "CNY", "Asia/Shanghai", 1_000, "churn", "1", "layout", "digest")
DECISION = Decision(
    "d1",
    "ann",
    90,
    100,
    "offer",
    "marketing",
    "o1",
    "sms",
    False,
    "playbook",
    {"spend": 1.5},
    [{"step": "é"}],
)


def event(key="e1", own_id="ann", source="main", at=5, **content):
    return Incoming("events", source, key, own_id, at, {"kind": "view", **content})


def contact(key="k1", own_id="ann", channel="sms", purpose="marketing", **content):
    sent = {"channel": channel, "purpose": purpose, "status": "delivered", **content}
    return Incoming("contacts", "main", key, own_id, 120, sent)


def accept(store, *facts, received_at=10):
    with store.writing() as session:
        return [verdict.outcome for verdict in session.accept(facts, received_at)]


def open_of(store, *ids):
    with store.reading() as session:
        return session.open_facts(ids)


def publish(store, publication=PUBLICATION, closed=(), **copies):
    """Publish a generation of these rows by table."""
    with store.writing() as session:
        number = session.begin_generation(publication)
        for name, rows in copies.items():
            session.add(name, number, rows)
        session.make_current(number, publication, closed)
    return number


def people(*ids, history=b"h"):
    return [{"customer_id": name, "history": history, "profile": "{}"} for name in ids]


# facts


def test_a_fact_comes_back_as_it_was_given(store):
    fact = Incoming("events", "pos", "e1", "7", 5, {"kind": "view", "value": 1.5, "text": "你好 \u2028"})
    assert accept(store, fact) == ["accepted"]
    (found,) = open_of(store, "pos:7")
    assert (found.table, found.source, found.key, found.own_id, found.customer_id, found.at, found.received_at) == (
        "events", "pos", "e1", "7", "pos:7", 5, 10,
    )  # fmt: skip
    assert found.content == fact.content


def test_a_fact_is_itself_by_table_source_and_key(store):
    first = event()
    others = [replace(first, table="tickets"), replace(first, source="pos"), replace(first, key="e2")]
    assert accept(store, first, *others) == ["accepted"] * 4
    assert accept(store, first, *others, received_at=99) == ["duplicate"] * 4
    assert {fact.received_at for fact in open_of(store, "ann", "pos:ann")} == {10}


@pytest.mark.parametrize("other", [event(value=2), event(own_id="bob")], ids=["content", "customer"])
def test_the_same_id_with_other_content_is_a_conflict_and_changes_nothing(store, other):
    accept(store, event())
    before = open_of(store, "ann", "bob")
    with store.writing() as session:
        (verdict,) = session.accept([other], 20)
    assert verdict.outcome == "conflict"
    assert all(word in verdict.detail for word in ("events", "'e1'", "'main'"))
    assert open_of(store, "ann", "bob") == before


def test_within_one_request_the_first_stands(store):
    given = [event(value=1), event(value=2), event(value=1), event("e2")]
    assert accept(store, *given) == ["accepted", "conflict", "duplicate", "accepted"]
    assert [fact.content.get("value") for fact in open_of(store, "ann")] == [1, None]


def test_a_conflict_beside_the_duplicate_that_the_store_holds(store):
    accept(store, event(value=1))
    assert accept(store, event(value=2), event(value=1)) == ["conflict", "duplicate"]


def test_key_order_in_the_content_does_not_matter(store):
    accept(store, Incoming("events", "main", "e", "ann", 5, {"a": 1, "b": 2}))
    assert accept(store, Incoming("events", "main", "e", "ann", 5, {"b": 2, "a": 1})) == ["duplicate"]


def test_an_anonymous_sale_is_kept_and_belongs_to_nobody(store):
    assert accept(store, event(own_id=None)) == ["accepted"]
    with store.reading() as session:
        (fact,) = session.open_after(0, 10)
    assert (fact.own_id, fact.customer_id) == (None, None)


def test_more_facts_and_customers_than_fit_in_one_statement(store):
    facts = [event(f"e{number:04}", f"c{number:04}") for number in range(1_203)]
    assert accept(store, *facts) == ["accepted"] * 1_203
    assert accept(store, *facts) == ["duplicate"] * 1_203
    found = open_of(store, *(fact.own_id for fact in facts))
    assert [fact.key for fact in found] == [fact.key for fact in facts]
    with store.reading() as session:
        assert len(session.open_keys()) == 1_203
        assert [fact.key for fact in session.open_after(found[9].seq, 2)] == ["e0010", "e0011"]


def test_nothing_asked_nothing_answered(store):
    assert accept(store) == []
    assert open_of(store) == []


def test_a_failure_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError), store.writing() as session:  # noqa: PT012  the block is what fails  # noqa: PT012  it must fail after it wrote
        session.accept([event()], 10)
        session.commit(DECISION)
        raise ZeroDivisionError
    assert open_of(store, "ann") == []
    with store.reading() as session:
        assert session.decision("d1") is None


@pytest.mark.parametrize("turn", [1, -1], ids=["same order", "opposite order"])
def test_two_at_once_take_each_fact_once(store, turn):
    facts = [event(f"e{number:04}") for number in range(800)]
    together = Barrier(2)

    def post(mine):
        together.wait(5)
        return accept(store, *mine)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(post, (facts, facts[::turn]))
    assert sorted([*one, *other]) == ["accepted"] * 800 + ["duplicate"] * 800
    assert len(open_of(store, "ann")) == 800


# generations


def test_before_the_first_publication(store):
    with store.reading() as session:
        assert (session.publication(), session.generation(), session.customer_ids()) == (None, None, [])
        assert (session.bundle(), session.attributes("zone"), session.customers(["ann"])) == ({}, {}, {})


def test_what_was_published_is_given_back(store):
    publish(
        store,
        customers=people("bob", "ann"),
        bundle=[{"name": "card.json", "content": b"\x00\xff"}],
        consents=[{"customer_id": "ann", "channel": "sms", "purpose": "marketing", "status": "SUBSCRIBED", "at": 3}],
        links=[{"source": "pos", "own_id": "7", "customer_id": "ann"}],
        attributes=[{"kind": "zone", "key": "main|s1", "value": "Asia/Tokyo"}, {"kind": "category", "key": "p", "value": "x"}],
    )  # fmt: skip
    with store.reading() as session:
        assert session.publication() == PUBLICATION
        assert session.customer_ids() == ["ann", "bob"]
        assert session.customers(["ann", "eve"]) == {"ann": Known("ann", b"h", "{}")}
        assert session.bundle() == {"card.json": b"\x00\xff"}
        assert session.consents(["ann", "bob"]) == [Consent("ann", "sms", "marketing", "SUBSCRIBED", 3)]
        assert session.linked([("pos", "7"), ("main", "7"), ("pos", "8")]) == {("pos", "7"): "ann"}
        assert session.attributes("zone") == {"main|s1": "Asia/Tokyo"}


def test_readers_see_the_old_generation_until_the_new_one_is_current(store):
    publish(store, customers=people("ann", history=b"old"))
    newer = replace(PUBLICATION, as_of=2_000)
    with store.writing() as session:
        number = session.begin_generation(newer)
        session.add("customers", number, people("ann", "bob", history=b"new"))
    with store.reading() as before:
        assert before.publication() == PUBLICATION
        assert before.customers(["ann", "bob"]) == {"ann": Known("ann", b"old", "{}")}
        with store.writing() as session:
            session.make_current(number, newer, [])
        assert before.customers(["ann", "bob"]) == {"ann": Known("ann", b"old", "{}")}  # one state throughout
    with store.reading() as after:
        assert (after.generation(), after.publication()) == (number, newer)
        assert {known.history for known in after.customers(["ann", "bob"]).values()} == {b"new"}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"as_of": 999}, ("1000", "999")), ({"warehouse_id": "w2", "as_of": 5_000}, ("w1", "w2"))],
    ids=["older", "another warehouse"],
)
def test_a_publication_that_may_not_replace_the_current_one(store, change, words):
    number = publish(store, customers=people("ann"))
    with pytest.raises(InputError) as refused:
        publish(store, replace(PUBLICATION, **change), customers=people("eve"))
    assert all(word in str(refused.value) for word in words)
    with store.reading() as session:
        assert (session.generation(), session.customer_ids()) == (number, ["ann"])


def test_the_same_instant_may_be_published_again(store):
    first = publish(store)
    assert publish(store) > first


def test_older_generations_go_bit_by_bit_and_the_current_one_stays(store, place):
    links = [{"source": "pos", "own_id": "7", "customer_id": "ann"}]
    publish(store, customers=people(*(f"c{number}" for number in range(5))), links=links)
    last = publish(store, customers=people("ann", "bob"), links=links)
    dropped = []
    while not dropped or dropped[-1]:
        with store.writing() as session:
            dropped.append(session.drop_older(last, 2))
    assert dropped == [2, 2, 1, 0]
    with store.reading() as session:
        assert (session.generation(), session.publication()) == (last, PUBLICATION)
        assert session.customer_ids() == ["ann", "bob"]
        assert session.linked([("pos", "7")]) == {("pos", "7"): "ann"}
    engine = sa.create_engine(place.url)
    with engine.connect() as connection:
        for table in ("customers", "links", "generations"):
            assert connection.scalar(sa.text(f"SELECT min(generation) FROM {table}")) == last
    engine.dispose()


def test_closed_facts_are_no_longer_open_and_still_known(store):
    accept(store, event("e1"), event("e2"))
    first, _ = open_of(store, "ann")
    publish(store, closed=[first.seq])
    assert [fact.key for fact in open_of(store, "ann")] == ["e2"]
    assert accept(store, event("e1"), event("e1", value=2)) == ["duplicate", "conflict"]


def test_open_facts_get_the_names_of_the_links(store):
    accept(store, event("e1", "7", "pos"), event("e2", "7", "main"), event("e3", None, "pos"))
    link = {"source": "pos", "own_id": "7", "customer_id": "ann"}
    publish(store, links=[link])
    assert [fact.key for fact in open_of(store, "ann")] == ["e1"]
    assert [fact.key for fact in open_of(store, "7", "pos:7")] == ["e2"]
    accept(store, event("e4", "7", "pos"))
    assert [fact.key for fact in open_of(store, "ann")] == ["e1", "e4"]
    publish(store)  # the link was taken back
    assert [fact.key for fact in open_of(store, "pos:7")] == ["e1", "e4"]


# decisions


def reserved(store, since=0):
    with store.reading() as session:
        return session.reserved(["ann"], since)


def commit(store, *decisions):
    with store.writing() as session:
        for decision in decisions:
            session.commit(decision)


def test_a_decision_comes_back_as_it_was_committed(store):
    commit(store, DECISION)
    with store.reading() as session:
        assert session.decision("d1") == DECISION
        assert session.decision("d2") is None


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True), ({"decided_at": 99}, False), ({"decided_at": 98}, False), ({"action": "none"}, False),
        ({"purpose": "service"}, False), ({"customer_id": "bob"}, False),
    ],
)  # fmt: skip
def test_which_decisions_hold_a_place(store, change, holds):
    commit(store, replace(DECISION, **change))
    assert reserved(store, since=99) == ([("ann", "sms", 100)] if holds else [])


@pytest.mark.parametrize(
    ("told", "settles"),
    [
        (contact(), True), (contact(offer_id="o1"), True), (contact(offer_id=None), True),
        (contact(offer_id="o2"), False), (contact(channel="email"), False), (contact(purpose="service"), False),
        (contact(status="undelivered"), False), (contact(own_id="bob"), False), (event(channel="sms", purpose="marketing"), False),
    ],
)  # fmt: skip
def test_which_contacts_settle_a_place(store, told, settles):
    commit(store, DECISION)
    accept(store, told)
    assert reserved(store) == ([] if settles else [("ann", "sms", 100)])


def test_a_contact_settles_the_oldest_place_and_a_repeated_one_no_more(store):
    commit(store, replace(DECISION, decision_id="d2", decided_at=200), DECISION)
    assert accept(store, contact(), contact()) == ["accepted", "duplicate"]
    assert accept(store, contact()) == ["duplicate"]
    assert reserved(store) == [("ann", "sms", 200)]


def test_a_service_offer_does_not_take_a_marketing_contact(store):
    commit(store, replace(DECISION, decision_id="d0", purpose="service", decided_at=50), DECISION)
    accept(store, contact())
    assert reserved(store) == []


def test_contacts_at_once_settle_a_place_each(store):
    commit(store, *(replace(DECISION, decision_id=f"d{n}", decided_at=100 + n) for n in range(8)))
    together = Barrier(8)

    def post(number):
        together.wait(5)
        return accept(store, contact(f"k{number}"))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(post, range(8))) == [["accepted"]] * 8
    assert reserved(store) == []


def test_commits_for_one_customer_wait_for_each_other(store):
    """Each holds a place only if none is held: without waiting both would see none."""
    together = Barrier(2)

    def decide(name):
        together.wait(5)
        with store.writing("ann") as session:
            if not session.reserved(["ann"], 0):
                Event().wait(0.2)  # the other has every chance to look now
                session.commit(replace(DECISION, decision_id=name))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(decide, ("d1", "d2")))
    assert len(reserved(store)) == 1


# a store that is not there


def test_a_lost_file_is_said_to_be_lost(tmp_path):
    with pytest.raises(StoreUnavailable, match=r"no store at .*none\.db: make one with `patron publish"):
        Store(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "text.db"
    path.write_text("no database at all, and long enough to be looked at" * 50)
    for create in (False, True):
        with pytest.raises(StoreUnavailable, match=r"text.db .*not a database"):
            Store(f"sqlite:///{path}", create=create)
    assert path.read_text().startswith("no database")


def test_a_database_without_the_tables(tmp_path):
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE own (id INTEGER)")
    other.close()
    with pytest.raises(
        StoreUnavailable, match=r"other\.db is no store of Patron: it lacks .*inbox.*patron publish"
    ):
        Store(f"sqlite:///{tmp_path}/other.db")


def test_a_table_that_has_gone(store, place):
    engine = sa.create_engine(place.url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE inbox"))
    engine.dispose()
    with pytest.raises(StoreUnavailable, match="inbox"):
        open_of(store, "ann")
    with pytest.raises(StoreUnavailable, match=r"lacks inbox"):
        Store(place.url)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"no store can be made at .*file/store.db"):
        Store(f"sqlite:///{tmp_path}/file/store.db", create=True)


def test_a_name_with_signs_of_a_url_in_it(tmp_path):
    made = Store(f"sqlite:///{tmp_path}/a #1?%20.db".replace("?", "%3F"), create=True)
    accept(made, event())
    made.close()
    assert (tmp_path / "a #1? .db").is_file()


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg//u:s3cret@h/d", "postgresql+psycopg://u:s3cret@h:port/d",
     "mysql://u:s3cret@h/d", "postgresql://u:s3cret@h/d", "sqlite://", "sqlite:///:memory:", "", "store.db"],
)  # fmt: skip
def test_what_is_no_url_of_a_store_is_refused_without_repeating_it(url):
    with pytest.raises(InputError, match=r"write sqlite:///store.db or postgresql") as refused:
        Store(url)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://u:s3cret@127.0.0.1:1/d", "postgresql+psycopg://u@127.0.0.1:1/d?password=s3cret"],
)
def test_a_server_that_does_not_answer_and_no_password_in_the_message(url):
    with pytest.raises(StoreUnavailable, match=r"127.0.0.1:1/d does not answer .*running") as lost:
        Store(url)
    assert "s3cret" not in str(lost.value)
    assert "\n" not in str(lost.value)
