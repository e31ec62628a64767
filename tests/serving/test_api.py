"""Facts held against their contracts: what is refused, what is taken, and that the warehouse takes it too."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.incoming import microseconds
from features.tables import TABLES
from serving.api import AHEAD, FACTS, read_facts
from serving.inbox import flow_back
from serving.store import Store
from tests.features.worlds import line, tables_of, warehouse_of

NOW = datetime(2026, 11, 25, 10, 0, 0, 7, tzinfo=UTC)
THEN = "2026-11-25T17:00:00.25+08:00"
LINE = {
    "line_id": "1",
    "product_id": "p",
    "quantity": 1,
    "gross_amount": 10,
    "discount_amount": 1,
    "net_amount": 9,
}
BASE = {
    "orders": {"order_id": "o1", "customer_id": "ann", "paid_at": THEN, "channel": "web", "lines": [LINE]},
    "events": {"event_id": "e1", "customer_id": "ann", "at": THEN, "kind": "view", "channel": "web"},
    "tickets": {"ticket_id": "t1", "customer_id": "ann", "opened_at": THEN, "kind": "complaint"},
    "feedback": {"feedback_id": "f1", "customer_id": "ann", "at": THEN, "kind": "nps"},
    "contacts": {
        "contact_id": "k1", "customer_id": "ann", "sent_at": THEN, "channel": "sms", "purpose": "marketing", "status": "delivered",
    },
    "consents": {"customer_id": "ann", "channel": "sms", "purpose": "marketing", "at": THEN, "status": "SUBSCRIBED"},
}  # fmt: skip
# a value of each canonical type as JSON has it
VALUES = {
    "id": "x1",
    "text": "wörd 你好",
    "time": THEN,
    "amount": 12.5,
    "quantity": 2.5,
    "real": 1.5,
    "integer": 3,
}


def read(name, *items, currency="CNY"):
    return read_facts(FACTS[name], items, NOW, currency)


def taken(name, **change):
    """The content of the one fact that is taken."""
    ((_, fact),), rejected = read(name, BASE[name] | change)
    assert rejected == []
    return fact.content


def refusal(name, item):
    good, (rejected,) = read(name, item)
    assert (good, rejected.index) == ([], 0)
    assert "\n" not in rejected.detail
    return rejected.detail


LATE = (NOW + AHEAD + timedelta(microseconds=1)).isoformat()

REFUSED = [
    # times
    ("events", {"at": "2026-11-25T10:00:00"}, "at: .*timezone"), ("events", {"at": 1_700_000_000}, "at: a time is text"),
    ("events", {"at": "1700000000"}, "at: a time is text"), ("events", {"at": "-1700000000.5"}, "at: a time is text"),
    ("events", {"at": None}, "at: a time is text"), ("events", {"at": "2026-11-25"}, "at: "), ("events", {"at": "2026-02-30T10:00:00Z"}, "at: "),
    ("events", {"at": ""}, "at: "), ("events", {"at": "now"}, "at: "), ("events", {"at": LATE}, "at .* more than 5 minutes ahead"),
    ("events", {"at": "9999-12-31T23:59:59-14:00"}, "years 1 to 9999"), ("events", {"at": "0001-01-01T00:00:00+14:00"}, "years 1 to 9999"),
    ("tickets", {"closed_at": LATE}, "closed_at .* ahead"), ("tickets", {"rated_at": LATE}, "rated_at"), ("contacts", {"opened_at": LATE}, "opened_at"),
    # fields and words
    ("events", {"colour": "red"}, "colour: .*extra"), ("orders", {"line_id": "1"}, "line_id: .*extra"), ("events", {"known_at": THEN}, "known_at"),
    ("events", {"kind": "looked"}, "kind: .*'view'"), ("events", {"kind": None}, "kind: "), ("orders", {"kind": "gift"}, "kind: "),
    ("orders", {"channel": "sms"}, "channel: "), ("consents", {"status": "subscribed"}, "status: "), ("contacts", {"purpose": "fun"}, "purpose: "),
    # ids and text
    ("events", {"customer_id": None}, "customer_id: "), ("events", {"customer_id": ""}, "customer_id: "), ("events", {"event_id": ["a"]}, "event_id: "),
    ("events", {"customer_id": True}, "customer_id: "), ("events", {"customer_id": "x" * 201}, "customer_id: .*200"),
    ("events", {"customer_id": float("nan")}, "customer_id: .*finite"), ("events", {"event_id": 1e400}, "event_id: .*finite"),
    ("events", {"customer_id": "a\x00"}, "customer_id: .*pattern"), ("events", {"customer_id": "a\n\x00b"}, "customer_id: "), ("events", {"source": ""}, "source: "),
    ("events", {"source": None}, "source: "), ("events", {"customer_id": "\ud800"}, "customer_id: .*unicode"), ("feedback", {"text": "x" * 2_001}, "text: .*2000"),
    ("feedback", {"text": "\x00"}, "text: "), ("feedback", {"topic": float("inf")}, "topic: .*finite"),
    # numbers
    ("events", {"value": float("nan")}, "value: .*finite"), ("events", {"value": float("-inf")}, "value: "), ("events", {"value": "1e400"}, "value: "),
    ("events", {"value": "much"}, "value: "), ("events", {"value": True}, "value: is no number"), ("events", {"duration_s": -1e-9}, "duration_s: "),
    ("tickets", {"csat": 0}, "csat: "), ("tickets", {"csat": 6}, "csat: "), ("tickets", {"csat": 4.5}, "csat: "), ("tickets", {"csat": True}, "csat: is no number"),
    ("tickets", {"contacts_count": -1}, "contacts_count: "), ("tickets", {"contacts_count": 10**30}, "contacts_count: "),
    ("contacts", {"cost": -0.01}, "cost: "), ("contacts", {"cost": 1_000_000_000.01}, "cost: "), ("contacts", {"cost": "NaN"}, "cost: .*number"),
    # orders
    ("orders", {"lines": []}, "lines: .*1 item"), ("orders", {"lines": None}, "lines: "), ("orders", {"lines": {}}, "lines: "),
    ("orders", {"lines": [None]}, "lines.0: "), ("orders", {"lines": [LINE] * 1_001}, "lines: .*1000"),
    ("orders", {"lines": [LINE, LINE]}, "lines: a line_id is given twice"), ("orders", {"lines": [LINE, LINE | {"line_id": 1}]}, "given twice"),
    ("orders", {"currency": "EUR"}, "currency EUR is not the warehouse's CNY"), ("orders", {"currency": ""}, "currency: "),
]  # fmt: skip

REFUSED_LINES = [
    ({"net_amount": None}, "net_amount"), ({"net_amount": -0.001}, "net_amount"), ({"net_amount": "1e400"}, "net_amount"), ({"net_amount": 1e400}, "net_amount"),
    ({"net_amount": "Infinity"}, "net_amount"), ({"net_amount": float("nan")}, "net_amount"), ({"net_amount": True}, "net_amount"),
    ({"gross_amount": 1_000_000_001}, "gross_amount"), ({"gross_amount": ""}, "gross_amount"), ({"discount_amount": "-1"}, "discount_amount"),
    ({"quantity": 0}, "quantity"), ({"quantity": 0.0004}, "quantity"), ({"quantity": -1}, "quantity"), ({"quantity": 1e10}, "quantity"),
    ({"product_id": None}, "product_id"), ({"product_id": ""}, "product_id"), ({"line_id": []}, "line_id"), ({"paid_at": THEN}, "paid_at"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "words"), REFUSED, ids=[f"{name} {str(change)[:40]!a}" for name, change, _ in REFUSED]
)
def test_a_bad_field_is_refused_by_name(name, change, words):

    assert re.search(words, refusal(name, BASE[name] | change))


@pytest.mark.parametrize(("change", "field"), REFUSED_LINES, ids=[f"{change}" for change, _ in REFUSED_LINES])
def test_a_bad_field_of_a_line_is_refused_by_place_and_name(change, field):
    second = LINE | {"line_id": "2"} | change
    assert refusal("orders", BASE["orders"] | {"lines": [LINE, second]}).startswith(f"lines.1.{field}: ")


@pytest.mark.parametrize("name", FACTS)
def test_what_is_required_is_required(name):
    table = FACTS[name].table
    for column in TABLES[table].columns:
        if column.required and column.name in BASE[name]:
            without = {key: value for key, value in BASE[name].items() if key != column.name}
            assert refusal(name, without) == f"{column.name}: field required"


@pytest.mark.parametrize("item", [None, 5, "x", [], [1], True])
def test_what_is_no_fact_at_all(item):
    assert refusal("events", item).startswith("the fact: ")


def test_a_bad_fact_keeps_its_place_and_spoils_no_other():
    good, rejected = read("events", BASE["events"], 5, BASE["events"] | {"event_id": "e2"}, {})
    assert [(index, fact.key) for index, fact in good] == [(0, "e1"), (2, "e2")]
    assert [one.index for one in rejected] == [1, 3]
    assert "(and 4 more)" in rejected[1].detail


def test_five_minutes_ahead_and_no_more():
    edge = NOW + AHEAD
    assert microseconds(taken("events", at=edge.isoformat())["at"]) == microseconds(edge.isoformat())
    assert microseconds(taken("tickets", closed_at=edge.isoformat())["closed_at"]) == microseconds(
        edge.isoformat()
    )
    assert "ahead" in refusal("events", BASE["events"] | {"at": LATE})


def test_times_are_kept_to_the_microsecond_in_utc():
    ((_, fact),), _ = read("events", BASE["events"] | {"at": "2026-11-25T17:00:00.000001+08:00"})
    assert fact.at == 1_795_597_200_000_001
    assert microseconds(fact.content["at"]) == fact.at
    assert datetime.fromisoformat(fact.content["at"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0.005, "0.01"), ("1.005", "1.01"), (19.999, "20.00"), ("0.004", "0.00"), (0, "0.00"), (1e9, "1000000000.00"), ("1e-400", "0.00"), (7, "7.00")],
)  # fmt: skip
def test_amounts_are_rounded_half_up(given, kept):
    (kept_line,) = taken("orders", lines=[LINE | {"net_amount": given}])["lines"]
    assert kept_line["net_amount"] == kept


@pytest.mark.parametrize(
    ("given", "kept"), [(0.0005, "0.001"), ("1.2345", "1.235"), (2, "2.000"), (1e9, "1000000000.000")]
)
def test_quantities_are_rounded_half_up(given, kept):
    (kept_line,) = taken("orders", lines=[LINE | {"quantity": given}])["lines"]
    assert kept_line["quantity"] == kept


@pytest.mark.parametrize("name", FACTS)
def test_every_canonical_column_is_taken_under_its_name(name):
    columns = TABLES[FACTS[name].table].columns
    values = {column.name: column.choices[0] if column.choices else VALUES[column.type] for column in columns}
    if name == "orders":
        values |= {"currency": "CNY"}
        of_line = {column: values.pop(column) for column in [*LINE, "cost_amount"]}
        content = dict(taken(name, **values, lines=[of_line]))
        content |= content.pop("lines")[0]
        values |= of_line
    else:
        content = taken(name, **values)
    assert set(content) == set(values)
    for column in columns:
        if column.type in ("id", "text", "integer", "real"):
            assert content[column.name] == values[column.name]


def test_defaults():
    ((_, fact),), _ = read("orders", BASE["orders"])
    assert (fact.source, fact.content["kind"], fact.content["currency"]) == ("main", "sale", "CNY")
    assert "source" not in fact.content


def test_an_order_may_be_nobodys():
    ((_, fact),), _ = read("orders", BASE["orders"] | {"customer_id": None})
    assert fact.own_id is None


def test_numbers_as_ids_are_text():
    assert taken("events", customer_id=10**30, product_id=5)["customer_id"] == "1" + "0" * 30


@pytest.mark.parametrize(
    ("name", "key"),
    [("orders", "o1"), ("events", "e1"), ("tickets", "t1"), ("contacts", "k1"), ("feedback", "f1"),
     ("consents", "ann|sms|marketing|1795597200250000|SUBSCRIBED")],
)  # fmt: skip
def test_keys(name, key):
    ((_, fact),), _ = read(name, BASE[name] | {"source": "pos"})
    assert (fact.table, fact.source, fact.key, fact.own_id) == (FACTS[name].table, "pos", key, "ann")


def test_the_same_instant_in_another_zone_is_the_same_fact():
    ((_, one),), _ = read("consents", BASE["consents"])
    ((_, other),), _ = read("consents", BASE["consents"] | {"at": "2026-11-25T09:00:00.250000Z"})
    assert one == other


# what is taken, the warehouse takes too

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)
TIMES = st.datetimes(datetime(1, 1, 2), datetime(2026, 11, 25, 10), timezones=st.just(UTC)).map(
    datetime.isoformat
)
AMOUNTS = st.one_of(
    st.floats(0, 1e9), st.decimals(0, 10**9, places=3).map(str), st.sampled_from([0.005, 19.999, 1e9])
)
BY_TYPE = {
    "id": TEXT | st.integers(0, 10**30),
    "text": TEXT,
    "time": TIMES,
    "amount": AMOUNTS,
    "quantity": st.one_of(st.floats(0.0005, 1e9), st.sampled_from([0.0005, 1, "2.5", 1e9])),
    "real": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70),
    "integer": st.integers(0, 2**60),
}


def values_of(column):
    kind = st.sampled_from(column.choices) if column.choices else BY_TYPE[column.type]
    if column.name == "csat":
        kind = st.integers(1, 5)
    if column.type == "real" and column.minimum is not None:
        kind = st.floats(column.minimum, allow_infinity=False)
    return kind


def facts_of(name):
    columns = [column for column in TABLES[FACTS[name].table].columns if column.name != "currency"]
    whole = {column.name: values_of(column) for column in columns if column.required}
    maybe = {column.name: values_of(column) for column in columns if not column.required}
    if name != "orders":
        return st.fixed_dictionaries(whole, optional=maybe)
    of_line = {*LINE, "cost_amount"}
    one = st.fixed_dictionaries(
        {key: value for key, value in whole.items() if key in of_line},
        optional={key: value for key, value in maybe.items() if key in of_line},
    )
    lines = st.lists(one, min_size=1, max_size=3, unique_by=lambda given: str(given["line_id"]))
    return st.fixed_dictionaries(
        {key: value for key, value in whole.items() if key not in of_line} | {"lines": lines},
        optional={key: value for key, value in maybe.items() if key not in of_line},
    )


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A warehouse with one sale in EUR, and a store."""
    folder = tmp_path_factory.mktemp("taken")
    warehouse = warehouse_of(folder / "w.duckdb", tables_of([line("ann", "2020-01-01")]))
    store = Store(f"sqlite:///{folder}/store.db", create=True)
    yield warehouse, store
    store.close()


NUMBERS = count()


@pytest.mark.parametrize("name", FACTS)
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_what_is_taken_the_warehouse_takes_too(name, data, rooms):
    good, _ = read(name, *data.draw(st.lists(facts_of(name), min_size=1, max_size=20)), currency="EUR")
    # each of a source of its own: what is meant here is the contract of a row, not of two with one id
    facts = [replace(fact, source=f"s{next(NUMBERS)}") for _, fact in good]
    warehouse, store = rooms
    with store.writing() as session:
        session.accept(facts, microseconds(NOW.isoformat()))
    flow_back(warehouse, store, NOW)
    assert warehouse.quarantine().to_pylist() == []
    sources = [fact.source for fact in facts]
    with warehouse.connect() as connection:
        query = f"SELECT count(*) FROM {FACTS[name].table} WHERE list_contains($sources, source)"
        rows = connection.execute(query, {"sources": sources}).fetchone()
    assert rows == (sum(len(fact.content.get("lines", [0])) for fact in facts),)
