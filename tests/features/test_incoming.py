"""Facts as they are reported make, bit for bit, the rows that a warehouse gives that was sent the same facts."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import FACTS, FEATURES, select
from features.incoming import Attributes, Fact, instant_of, merged, microseconds, stream_rows
from features.ingest import ingest_tables
from features.kernel import compute
from features.packed import SCHEMAS, empty, pack, unpack
from features.plan import Plan
from features.streams import CHOICES, FOREVER, NEVER, read
from features.tables import TABLES
from features.warehouse import Warehouse
from tests.features.worlds import MICROSECOND, at, bits_of
from tests.features.worlds import microseconds as cutoffs_of

RECEIVED = at("2024-06-01T12:00:00.000001")
CUTOFF = at("2024-06-01T12:00:01")
HOUR = timedelta(hours=1)
CATEGORIES = {"p1": "garden", "p2": "kitchen", "p3": None}
BRANDS = {"p1": "acme", "p2": None, "p3": "best"}
STORES = {"s1": "Asia/Shanghai", "s2": None}
ZONES = {"c1": "America/New_York", "c2": None}  # of c3 and the others there is no customers row
SOURCES = ("main", "till")


def one_id(source, customer_id):
    return customer_id if source == "main" else f"{source}:{customer_id}"


ATTRIBUTES = Attributes(
    category={f"{source}|{name}": word for source in SOURCES for name, word in CATEGORIES.items() if word},
    brand={f"{source}|{name}": word for source in SOURCES for name, word in BRANDS.items() if word},
    store_zone={f"{source}|{name}": zone for source in SOURCES for name, zone in STORES.items() if zone},
    zone={one_id(source, name): zone for source in SOURCES for name, zone in ZONES.items() if zone},
)


def report(table, content, source="main", received_at=RECEIVED):
    """A fact as the service accepts it: times and amounts as text."""
    worded = {name: word(value) for name, value in content.items()}
    return Fact(
        table, one_id(source, content["customer_id"]), source, int(cutoffs_of([received_at])[0]), worded
    )


def word(value):
    if isinstance(value, list):
        return [{name: word(part) for name, part in line.items()} for line in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def canonical(facts):
    """Table name -> rows to ingest; an order has one for each of its lines."""
    tables = {}
    for fact in facts:
        shared = {name: value for name, value in fact.content.items() if name != "lines"} | {
            "source": fact.source
        }
        for line in fact.content.get("lines", [{}]):
            tables.setdefault(fact.table, []).append(shared | line)
    for source in SOURCES:
        tables.setdefault("products", []).extend(
            {"source": source, "product_id": name, "category_1": category, "brand": BRANDS[name]}
            for name, category in CATEGORIES.items()
        )
        tables.setdefault("stores", []).extend(
            {"source": source, "store_id": name, "region_id": "r", "timezone": zone}
            for name, zone in STORES.items()
        )
    return tables


def customers_of(facts):
    """Rows of the customers who have a zone, of those the facts speak of: a row alone would make one known."""
    found = {(fact.source, fact.content["customer_id"]) for fact in facts}
    return [
        {"source": source, "customer_id": name, "timezone": ZONES[name]}
        for source, name in sorted(found)
        if name in ZONES
    ]


def ingested(folder, facts):
    """The warehouse's rows of the same facts, delivered when they were reported."""
    (folder / "tables").mkdir(parents=True)
    for name, rows in (canonical(facts) | {"customers": customers_of(facts)}).items():
        if rows:
            columns = dict.fromkeys(key for row in rows for key in row)
            columns |= dict.fromkeys(column.name for column in TABLES[name].columns if column.required)
            filled = pa.table({key: [row.get(key) for row in rows] for key in columns})
            pq.write_table(filled, folder / "tables" / f"{name}.parquet")
    warehouse = Warehouse(folder / "w.duckdb")
    outcome = ingest_tables(
        warehouse,
        folder / "tables",
        received_at=RECEIVED.replace(tzinfo=None),
        currency="EUR",
        timezone="UTC",
    )
    assert not outcome.reasons, outcome.reasons_line()
    with warehouse.connect() as connection:
        return read(connection, cutoffs_of([CUTOFF]), named=True)


def computed(rows, zone="Europe/Berlin"):
    return compute(rows, cutoffs_of([CUTOFF]), Plan.of((*FEATURES, *FACTS)), timezone=zone)


def plain(rows):
    """Stream -> its rows, in an order that does not depend on how they came."""
    return {
        name: sorted(map(str, table.select(SCHEMAS[name].names).to_pylist())) for name, table in rows.items()
    }


# ------------------------------------------------------------------------------------------------- by hand

LINE = {"line_id": "1", "product_id": "p1", "quantity": Decimal("1.5"), "net_amount": Decimal("19.99")}
LINE |= {"gross_amount": Decimal("20"), "discount_amount": Decimal("0.01")}
ORDER = {"order_id": "o1", "customer_id": "c1", "paid_at": at("2024-05-01"), "kind": "sale", "channel": "web"}
ORDER |= {"currency": "EUR", "store_id": "s1"}


def row_of(table, content, attributes=ATTRIBUTES, source="main"):
    """Stream and the one row that a fact becomes."""
    found = [
        (name, row)
        for name, stream in stream_rows([report(table, content, source)], attributes).items()
        for row in stream.to_pylist()
    ]
    assert len(found) == 1
    return found[0]


def test_an_order_by_hand():
    assert row_of("order_lines", ORDER | {"lines": [LINE]}) == (
        "lines",
        {
            "entity": "c1",
            "time": 1_714_521_600_000_000,
            "usable_from": 1_717_243_200_000_001,
            "usable_to": FOREVER,
            "order_id": "main|o1",
            "line_id": "1",
            "kind": CHOICES["lines"]["kind"].index("sale"),
            "product": "main|p1",
            "category": "garden",
            "brand": "acme",
            "channel": CHOICES["lines"]["channel"].index("web"),
            "store": "main|s1",
            "coupon": 0,
            "zone": "America/New_York",
            "net": 1999,
            "gross": 2000,
            "discount": 1,
            "quantity": 1500,
        },
    )


@pytest.mark.parametrize(
    ("customer_id", "store_id", "source", "zone"),
    [
        ("c1", "s1", "main", "America/New_York"),
        ("c2", "s1", "main", "Asia/Shanghai"),
        ("c3", "s1", "till", "Asia/Shanghai"),
        ("c3", "s2", "main", None),
        ("c3", None, "main", None),
    ],
    ids=["the customer's", "a customer without: the store's", "of another source", "neither's", "no store"],
)
def test_the_zone_of_an_order(customer_id, store_id, source, zone):
    order = ORDER | {"customer_id": customer_id, "store_id": store_id, "lines": [LINE]}
    assert row_of("order_lines", order, source=source)[1]["zone"] == zone


@pytest.mark.parametrize(
    ("text", "hundredths"),
    [
        ("0.005", 1),
        ("0.004", 0),
        ("19.999", 2000),
        ("2.675", 268),
        ("1e2", 10_000),
        ("0", 0),
        ("999999999.99", 99_999_999_999),
    ],
)
def test_amounts_are_rounded_as_the_warehouse_rounds(text, hundredths):
    row = row_of("order_lines", ORDER | {"lines": [LINE | {"net_amount": Decimal(text)}]})[1]
    assert row["net"] == hundredths


@pytest.mark.parametrize(("text", "thousandths"), [("0.0005", 1), ("1.0004", 1000), ("0.333", 333)])
def test_quantities_have_three_decimals(text, thousandths):
    row = row_of("order_lines", ORDER | {"lines": [LINE | {"quantity": Decimal(text)}]})[1]
    assert row["quantity"] == thousandths


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001+00:00", 1),
        ("1969-12-31T23:59:59.999999+00:00", -1),
        ("1970-01-02T00:00:00+08:00", 57_600_000_000),
        ("1970-01-01T00:00:00-00:30", 1_800_000_000),
        (None, None),
    ],
)
def test_times(text, instant):
    assert microseconds(text) == instant
    if instant is not None:
        assert instant_of(instant) == datetime(1970, 1, 1, tzinfo=UTC) + instant * MICROSECOND


def test_of_any_other_fact_only_that_it_was_there():
    said = {"customer_id": "c1", "at": at("1970-01-01T00:00:01")}
    stream, row = row_of("consents", said)
    assert (stream, row["entity"], row["time"]) == ("presence", "c1", 1_000_000)


def test_feedback_by_hand():
    said = {
        "customer_id": "c1",
        "at": at("1970-01-01T00:00:01"),
        "feedback_id": "f",
        "kind": "review",
        "rating": 4.5,
    }
    stream, row = row_of("feedback", said)
    assert (stream, row["id"], row["rating"]) == ("feedback", "main|f", 4500)
    assert row["kind"] == CHOICES["feedback"]["kind"].index("review")
    assert row_of("feedback", said | {"rating": None})[1]["rating"] is None


def test_no_facts_are_no_rows():
    assert {
        name: (table.num_rows, table.schema) for name, table in stream_rows([], Attributes()).items()
    } == {name: (0, schema) for name, schema in SCHEMAS.items()}


# ------------------------------------------------------------------------------------------------- the warehouse

WINDOW_EDGES = [
    CUTOFF - timedelta(days=days) + step
    for days in (1, 7, 30, 90, 180, 365)
    for step in (-MICROSECOND, 0 * HOUR, MICROSECOND)
]
TIMES = st.one_of(
    st.sampled_from(WINDOW_EDGES),
    st.datetimes(datetime(2023, 1, 1), datetime(2024, 6, 1), timezones=st.just(UTC)),
).map(lambda time: min(time, RECEIVED))  # fmt: skip
LATER = st.one_of(st.none(), TIMES, st.just(CUTOFF), st.just(CUTOFF + HOUR))
AMOUNTS = st.one_of(
    st.sampled_from([Decimal(text) for text in ("0", "0.005", "19.999", "0.01", "2.675", "1e8")]),
    st.decimals(0, 10_000, places=3),
)
QUANTITIES = st.one_of(
    st.sampled_from([Decimal("1"), Decimal("0.0005"), Decimal("2.0005")]),
    st.decimals(Decimal("0.001"), 99, places=3),
)


def words(table, column):
    return st.sampled_from({each.name: each.choices for each in TABLES[table].columns}[column])


@st.composite
def an_instant(draw, times=TIMES):
    """An instant as some clock shows it: the text differs, the instant does not; or None."""
    time = draw(times)
    return time and time.astimezone(timezone(timedelta(minutes=draw(st.sampled_from([0, 480, -330])))))


@st.composite
def a_line(draw, number):
    return {
        "line_id": str(number),
        "product_id": draw(st.sampled_from(["p1", "p2", "p3", "p4"])),
        "quantity": draw(QUANTITIES),
        **{name: draw(AMOUNTS) for name in ("gross_amount", "discount_amount", "net_amount")},
    }


@st.composite
def an_order(draw):
    return {
        "paid_at": draw(an_instant()),
        "kind": draw(st.sampled_from(["sale", "sale", "return"])),
        "channel": draw(words("order_lines", "channel")),
        "store_id": draw(st.sampled_from([None, "s1", "s2", "s3"])),
        "currency": "EUR",
        "lines": [draw(a_line(number)) for number in range(draw(st.integers(1, 3)))],
    }


LATER_TIMES = an_instant(LATER)
CONTENTS = {
    "order_lines": an_order(),
    "events": st.fixed_dictionaries(
        {"at": an_instant(), "kind": words("events", "kind"), "channel": st.just("web")},
        optional={
            "product_id": st.sampled_from([None, "p1", "p2", "p3", "p4"]),
            "session_id": st.sampled_from([None, "a", "b"]),
            "duration_s": st.none() | st.sampled_from([0.0, 0.0005, 1.25, 3600.0]),
        },
    ),
    "tickets": st.fixed_dictionaries(
        {"opened_at": an_instant(), "kind": words("tickets", "kind")},
        optional={
            "first_response_at": LATER_TIMES,
            "closed_at": LATER_TIMES,
            "rated_at": LATER_TIMES,
            "csat": st.sampled_from([None, 1, 3, 5]),
        },
    ),
    "contacts": st.fixed_dictionaries(
        {
            "sent_at": an_instant(),
            "channel": words("contacts", "channel"),
            "purpose": words("contacts", "purpose"),
            "status": words("contacts", "status"),
        },
        optional=dict.fromkeys(("opened_at", "clicked_at", "rejected_at", "unsubscribed_at"), LATER_TIMES),
    ),
    "consents": st.fixed_dictionaries(
        {
            "at": an_instant(),
            "channel": words("consents", "channel"),
            "purpose": words("consents", "purpose"),
            "status": words("consents", "status"),
        }
    ),
    "feedback": st.fixed_dictionaries(
        {"at": an_instant(), "kind": words("feedback", "kind")},
        optional={"rating": st.none() | st.sampled_from([0.0, 1.0, 4.5, 10.0])},
    ),
}
IDS = {
    "order_lines": "order_id",
    "events": "event_id",
    "tickets": "ticket_id",
    "contacts": "contact_id",
    "feedback": "feedback_id",
}


@st.composite
def reports(draw, most=40):
    """Facts of a few customers in two sources; each has an id of its own, a consent its key."""
    facts, told = [], set()
    for number in range(draw(st.integers(1, most))):
        table = draw(st.sampled_from(sorted(CONTENTS)))
        source, customer_id = draw(st.sampled_from(SOURCES)), draw(st.sampled_from(["c1", "c2", "c3"]))
        content = {"customer_id": customer_id} | draw(CONTENTS[table])
        if table in IDS:
            content[IDS[table]] = f"{number % 7}-{number}"
        else:
            key = (source, customer_id, content["channel"], content["purpose"], content["at"])
            if key in told:
                continue
            told.add(key)
        facts.append(report(table, content, source))
    return facts


def with_zones_known(rows, facts):
    """The rows, and the presence of those customers whom the warehouse has a row of."""
    named = [
        {
            "entity": one_id(row["source"], row["customer_id"]),
            "time": NEVER,
            "usable_from": 0,
            "usable_to": FOREVER,
        }
        for row in customers_of(facts)
    ]
    return rows | {
        "presence": pa.concat_batches(
            [rows["presence"], pa.RecordBatch.from_pylist(named, SCHEMAS["presence"])]
        )
    }


@settings(max_examples=5)
@given(facts=reports())
def test_reported_facts_make_what_the_warehouse_makes_of_them(facts, tmp_path_factory):
    expected = computed(ingested(tmp_path_factory.mktemp("world"), facts))
    found = computed(with_zones_known(stream_rows(facts, ATTRIBUTES), facts))
    assert bits_of(found) == bits_of(expected)


@settings(max_examples=3)
@given(facts=reports(), share=st.integers(0, 40))
def test_a_fact_in_the_history_counts_once(facts, share, tmp_path_factory):
    """The night's load took in the first of the facts; the store still holds all of them."""
    history = ingested(tmp_path_factory.mktemp("night"), facts)
    everything = bits_of(computed(history))
    assert (
        bits_of(computed(merged(unpack(list(pack(history))), stream_rows(facts, ATTRIBUTES)))) == everything
    )
    some = with_zones_known(stream_rows(facts[:share], ATTRIBUTES), facts)
    assert bits_of(computed(merged(some, stream_rows(facts, ATTRIBUTES)))) == everything


# ------------------------------------------------------------------------------------------------- both at once


def reported(net="10", **more):
    return report("order_lines", ORDER | {"lines": [LINE | {"net_amount": Decimal(net)}]} | more)


def rows_of(*facts):
    return stream_rows(facts, ATTRIBUTES)


def spend(rows):
    """Customer -> orders and spend; the spend tells whose version stands."""
    found = compute(rows, cutoffs_of([CUTOFF]), Plan.of(select(["orders_all", "spend_all"])))
    values = zip(*(found.columns[name][:, 0].tolist() for name in ("orders_all", "spend_all")), strict=True)
    return dict(zip(found.customers.to_pylist(), values, strict=True))


def test_the_version_of_the_history_stands():
    assert spend(merged(rows_of(reported("10")), rows_of(reported("11")))) == {"c1": (1, 10)}


def test_an_order_stands_with_its_lines_and_gains_none():
    two = ORDER | {"lines": [LINE, LINE | {"line_id": "2"}]}
    assert spend(merged(rows_of(reported("10")), rows_of(report("order_lines", two)))) == {"c1": (1, 10)}


def test_another_order_and_the_same_number_of_another_source_count():
    newer = rows_of(reported("5", order_id="o2"), report("order_lines", ORDER | {"lines": [LINE]}, "till"))
    assert spend(merged(rows_of(reported("10")), newer)) == {"c1": (2, 15), "till:c1": (1, 19.99)}


def test_a_ticket_of_the_number_of_an_event_is_no_event():
    said = {"customer_id": "c1", "kind": "view", "at": at("2024-05-01"), "event_id": "1", "channel": "web"}
    asked = {"customer_id": "c1", "kind": "enquiry", "opened_at": at("2024-05-01"), "ticket_id": "1"}
    rows = merged(rows_of(report("events", said)), rows_of(report("tickets", asked)))
    assert (rows["events"].num_rows, rows["tickets"].num_rows) == (1, 1)


@pytest.mark.parametrize("table", ["events", "tickets", "contacts", "feedback"])
def test_each_kind_of_fact_is_told_by_its_id(table):
    time = {"events": "at", "tickets": "opened_at", "contacts": "sent_at", "feedback": "at"}[table]
    content = {
        "customer_id": "c1",
        time: at("2024-05-01"),
        "kind": "view",
        "channel": "sms",
        "purpose": "marketing",
    }
    kinds = {"tickets": ("enquiry", "complaint"), "feedback": ("review", "chat")}.get(
        table, ("view", "search")
    )
    content |= {"kind": kinds[0]}
    one, two = (report(table, content | {"status": "delivered", IDS[table]: name}) for name in "ab")
    again = report(table, content | {"status": "undelivered", "kind": kinds[1], IDS[table]: "a"})
    rows = merged(rows_of(one), rows_of(again, two))[table]
    kind = "status" if table == "contacts" else "kind"
    stands = CHOICES[table][kind].index(one.content[kind])
    assert sorted(zip(rows["id"].to_pylist(), rows[kind].to_pylist(), strict=True)) == [
        ("main|a", stands),
        ("main|b", stands),
    ]


def test_nothing_on_either_side():
    rows = rows_of(reported("10"))
    for both in (merged(rows, empty()), merged(empty(), rows)):
        assert plain(both) == plain(rows)
    assert plain(merged(empty(), empty())) == plain(empty())


def test_neither_side_is_changed():
    history, newer = rows_of(reported("10")), rows_of(reported("11"), reported("5", order_id="o2"))
    before = plain(history), plain(newer)
    merged(history, newer)
    assert (plain(history), plain(newer)) == before


def test_a_fact_counts_from_when_it_was_received():
    rows = rows_of(reported("10"))
    received = int(cutoffs_of([RECEIVED])[0])
    known = compute(
        rows, cutoffs_of([RECEIVED - MICROSECOND, RECEIVED]), Plan.of(select(["orders_all"]))
    ).known
    assert rows["lines"]["usable_from"].to_pylist() == [received]
    assert known.tolist() == [[False, True]]
