"""The warehouse: what a load keeps, corrects, repeats and sets aside, and what it never does silently."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import warehouse as engine
from features.build import build
from features.errors import InputError, NothingUsable, WarehouseBusy
from features.load import Arrival
from features.tables import TABLES
from features.warehouse import Warehouse

NOON = datetime(2024, 1, 1, 12)
RECEIVED = datetime(2025, 1, 1)
SECOND = timedelta(seconds=1)
CONFLICT = "the same key with other content in one load"
SALE = {
    "order_id": "o",
    "line_id": "1",
    "customer_id": "ann",
    "kind": "sale",
    "paid_at": NOON,
    "product_id": "p",
    "quantity": 1.0,
    "gross_amount": 12.0,
    "discount_amount": 2.0,
    "net_amount": 10.0,
    "currency": "EUR",
    "channel": "web",
}
CONTACT = {
    "contact_id": "m",
    "customer_id": "ann",
    "sent_at": NOON,
    "channel": "email",
    "purpose": "marketing",
    "status": "delivered",
}
TICKET = {"ticket_id": "t", "customer_id": "ann", "opened_at": NOON, "kind": "complaint", "csat": 5}


def sale(**changed):
    return SALE | changed


def sent(*rows):
    return {"order_lines": pa.Table.from_pylist(list(rows))}


def arrival(digest, received_at=RECEIVED, **more):
    return Arrival(label=f"delivery {digest}", digest=str(digest), received_at=received_at, **more)


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "w.duckdb")


def versions(warehouse, columns="net_amount, known_at, superseded_at", table="order_lines"):
    order = ", ".join(["known_at", "source", *TABLES[table].key])
    with warehouse.connect() as connection:
        return connection.sql(f"SELECT {columns} FROM {table} ORDER BY {order}").fetchall()


def only(report):
    (table,) = report.tables
    return table


def set_aside(warehouse):
    return sorted((row["table_name"], row["reason"]) for row in warehouse.quarantine().to_pylist())


# ------------------------------------------------------------------------------------------------- times of knowledge


def test_a_historical_row_is_known_when_it_happens(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    assert versions(warehouse) == [(Decimal("10.00"), NOON, None)]


def test_a_declared_lag_is_added_and_remembered(warehouse):
    warehouse.load(sent(sale()), arrival(1, lag_us=90_000_000))
    assert versions(warehouse, "known_at") == [(NOON + 90 * SECOND,)]
    assert warehouse.largest_lag() == 90 * SECOND


def test_a_lag_counts_from_when_a_line_of_its_load_was_known(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    warehouse.load(
        sent(sale(order_id="later", paid_at=NOON + timedelta(days=2))), arrival(2, lag_us=90_000_000)
    )
    known = NOON + timedelta(days=2) + 90 * SECOND
    assert warehouse.largest_lag(known) == 90 * SECOND
    assert warehouse.largest_lag(known - timedelta(microseconds=1)) == timedelta(0)


def test_a_live_row_is_known_when_it_is_received(warehouse):
    warehouse.load(sent(sale()), arrival(1, history=False))
    assert versions(warehouse, "known_at") == [(RECEIVED,)]
    assert warehouse.largest_lag() == timedelta(0)


def test_the_row_itself_says_when_it_was_known(warehouse):
    warehouse.load(sent(sale(known_at=NOON + SECOND)), arrival(1, history=False))
    assert versions(warehouse, "known_at") == [(NOON + SECOND,)]


def test_a_fact_without_business_time_was_always_known(warehouse):
    products = pa.Table.from_pylist([{"product_id": "p", "category_1": "care"}])
    warehouse.load({"products": products}, arrival(1), currency="EUR")
    assert versions(warehouse, "known_at", "products") == [(datetime(1900, 1, 1),)]


# ------------------------------------------------------------------------------------------------- loads and corrections


def test_the_same_file_twice_changes_nothing(warehouse):
    first = warehouse.load(sent(sale()), arrival(1))
    before = versions(warehouse)
    second = warehouse.load(sent(sale()), arrival(1, RECEIVED + SECOND))
    assert (first.seen_before, first.usable, only(first).new) == (False, 1, 1)
    assert (second.seen_before, second.load_id, second.tables) == (True, first.load_id, ())
    assert versions(warehouse) == before


def test_the_same_rows_in_another_file_change_nothing(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    table = only(warehouse.load(sent(sale(), sale(order_id="new")), arrival(2)))
    assert (table.read, table.new, table.unchanged, table.corrected) == (2, 1, 1, 0)
    assert len(versions(warehouse)) == 2


def test_the_same_key_in_another_source_is_another_row(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    table = only(warehouse.load(sent(sale(net_amount=11.0)), arrival(2, source="shop")))
    assert (table.new, table.corrected) == (1, 0)
    assert versions(warehouse, "source, superseded_at") == [("main", None), ("shop", None)]


def test_a_later_load_corrects_from_its_receipt_on(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    table = only(warehouse.load(sent(sale(net_amount=11.0)), arrival(2)))
    assert (table.new, table.corrected, table.unchanged) == (0, 1, 0)
    assert versions(warehouse) == [(10, NOON, RECEIVED), (11, RECEIVED, None)]


def test_a_correction_corrected_and_taken_back(warehouse):
    for number, amount in enumerate((10.0, 11.0, 12.0, 10.0)):
        warehouse.load(sent(sale(net_amount=amount)), arrival(number, RECEIVED + number * SECOND))
    ends = [NOON, *(RECEIVED + number * SECOND for number in (1, 2, 3)), None]
    assert versions(warehouse) == [
        (amount, *span) for amount, span in zip((10, 11, 12, 10), pairwise(ends), strict=True)
    ]


def test_the_old_file_again_after_the_correction_changes_nothing(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    warehouse.load(sent(sale(net_amount=11.0)), arrival(2))
    before = versions(warehouse)
    assert warehouse.load(sent(sale()), arrival(1, RECEIVED + SECOND)).seen_before
    assert versions(warehouse) == before


def test_a_correction_received_before_what_it_corrects_follows_it_all_the_same(warehouse):
    warehouse.load(sent(sale()), arrival(1, RECEIVED, history=False))
    warehouse.load(sent(sale(net_amount=11.0)), arrival(2, RECEIVED - SECOND, history=False))
    later = RECEIVED + timedelta(microseconds=1)
    assert versions(warehouse) == [(10, RECEIVED, later), (11, later, None)]


def test_features_as_of_last_month_stay_what_they_were(warehouse):
    warehouse.load(sent(sale()), arrival(1, datetime(2024, 1, 2)))
    before = build(warehouse, ["2024-02-01"])
    warehouse.load(sent(sale(net_amount=99.0)), arrival(2, datetime(2024, 3, 1)))
    assert build(warehouse, ["2024-02-01"]).equals(before)
    assert build(warehouse, ["2024-03-01"])["spend_all"].tolist() == [99.0]


def test_versions_in_one_file_form_a_timeline_in_any_order(warehouse):
    rows = [sale(net_amount=float(day), known_at=datetime(2024, 2, day)) for day in (3, 1, 2)]
    table = only(warehouse.load(sent(*rows), arrival(1)))
    assert (table.new, table.quarantined) == (3, {})
    days = [datetime(2024, 2, day) for day in (1, 2, 3)]
    assert versions(warehouse) == [(1, days[0], days[1]), (2, days[1], days[2]), (3, days[2], None)]


def test_a_version_that_was_known_earlier_comes_later(warehouse):
    warehouse.load(sent(sale(net_amount=2.0, known_at=datetime(2024, 2, 2))), arrival(1))
    warehouse.load(sent(sale(net_amount=1.0, known_at=datetime(2024, 2, 1))), arrival(2))
    assert versions(warehouse) == [
        (1, datetime(2024, 2, 1), datetime(2024, 2, 2)),
        (2, datetime(2024, 2, 2), None),
    ]


@pytest.mark.parametrize("corrected", [1, 2], ids=["the first of two versions", "the last"])
def test_a_correction_that_claims_a_known_instant_was_known_when_it_arrived(warehouse, corrected):
    instants = datetime(2024, 2, 1), datetime(2024, 2, 2)
    warehouse.load(
        sent(*(sale(net_amount=float(number), known_at=known) for number, known in enumerate(instants, 1))),
        arrival(1),
    )
    warehouse.load(sent(sale(net_amount=9.0, known_at=instants[corrected - 1])), arrival(2))
    assert versions(warehouse) == [(1, *instants), (2, instants[1], RECEIVED), (9, RECEIVED, None)]


def test_a_row_that_is_said_to_have_ended_ends(warehouse):
    made, ended = datetime(2024, 2, 1), datetime(2024, 3, 1)
    link = {"customer_id": "c7", "one_id": "ann", "rule": "phone", "known_at": made}
    warehouse.load({"links": pa.Table.from_pylist([link])}, arrival(1), currency="EUR")
    warehouse.load({"links": pa.Table.from_pylist([link | {"superseded_at": ended}])}, arrival(2))
    assert versions(warehouse, "one_id, known_at, superseded_at", "links") == [("ann", made, ended)]


# ------------------------------------------------------------------------------------------------- one load


def test_the_same_row_twice_is_one_and_is_counted(warehouse):
    table = only(warehouse.load(sent(sale(), sale(), sale()), arrival(1)))
    assert (table.read, table.new, table.repeated, table.quarantined) == (3, 1, 2, {})


def test_the_same_key_with_other_content_sets_both_aside(warehouse):
    rows = [sale(origin="f:1"), sale(net_amount=11.0, origin="f:2"), sale(order_id="good", origin="f:3")]
    table = only(warehouse.load(sent(*rows), arrival(1)))
    assert (table.new, table.quarantined) == (1, {CONFLICT: 2})
    assert versions(warehouse, "order_id") == [("good",)]
    assert sorted(row["origin"] for row in warehouse.quarantine().to_pylist()) == ["f:1", "f:2"]


def test_two_rows_known_at_one_instant_are_a_conflict_whether_or_not_they_say_so(warehouse):
    rows = [sale(known_at=None), sale(net_amount=11.0, known_at=NOON), sale(order_id="good", known_at=None)]
    assert only(warehouse.load(sent(*rows), arrival(1))).quarantined == {CONFLICT: 2}


@pytest.mark.parametrize("why", ["a broken rule", "a conflict"])
def test_the_quarantine_keeps_the_row_as_it_came(warehouse, why):
    odd = sale(order_id="odd", cashier="Kim")
    rows = [odd | {"quantity": -1.0}] if why == "a broken rule" else [odd, odd | {"net_amount": 9.0}]
    warehouse.load(sent(sale(cashier="Lee"), *rows), arrival(1))
    quarantined = warehouse.quarantine().to_pylist()
    assert len(quarantined) == len(rows)
    for row, given_ in zip(quarantined, rows, strict=True):
        assert json.loads(row["raw"]) == given_ | {"paid_at": "2024-01-01 12:00:00"}


BROKEN = {
    "quantity is not above 0": [sale(quantity=-1.0), sale(quantity=0.0), sale(quantity=0.0004)],
    "net_amount is below 0": [sale(net_amount=-0.01)],
    "gross_amount is below 0": [sale(gross_amount=-5.0)],
    "kind is none of sale, return": [sale(kind="gift")],
    "channel is none of store, web, app, mini_program, marketplace, phone": [sale(channel="fax")],
    "currency is not an ISO 4217 code": [sale(currency="EURO"), sale(currency="eur")],
    "currency is not the warehouse's EUR": [sale(currency="USD")],
    "currency is missing": [sale(currency=None), sale(currency="")],
    "order_id is missing": [sale(order_id=None), sale(order_id="")],
    "line_id is missing": [sale(line_id=None)],
    "product_id is missing": [sale(product_id="")],
    "paid_at is missing": [sale(paid_at=None)],
    "net_amount is missing": [sale(net_amount=None)],
    "net_amount cannot be read as an amount": [sale(net_amount=float("nan")), sale(net_amount=1e17)],
    "superseded_at is not after known_at": [sale(known_at=NOON, superseded_at=NOON)],
}


def test_each_broken_rule_sets_the_row_aside_with_its_sentence(warehouse):
    broken = [row for rows in BROKEN.values() for row in rows]
    rows = [
        row if row["order_id"] in (None, "") else row | {"order_id": f"o{number}"}
        for number, row in enumerate(broken)
    ]
    full = [{"known_at": None, "superseded_at": None} | row for row in [sale(order_id="good"), *rows]]
    table = only(warehouse.load(sent(*full), arrival(1), currency="EUR"))
    assert table.quarantined == {sentence: len(rows) for sentence, rows in BROKEN.items()}
    assert (table.read, table.new) == (1 + len(broken), 1)
    assert versions(warehouse, "order_id") == [("good",)]


def test_rows_of_other_tables_have_rules_too(warehouse):
    contacts = [
        CONTACT,
        CONTACT | {"contact_id": "n", "channel": "pigeon"},
        CONTACT | {"contact_id": "o", "status": ""},
    ]
    tickets = [TICKET, TICKET | {"ticket_id": "u", "csat": 6}, TICKET | {"ticket_id": "v", "csat": 0}]
    exposure = {"experiment_id": "e", "customer_id": "ann", "arm": "a", "propensity": 0.5, "at": NOON}
    exposures = [exposure, exposure | {"customer_id": "bob", "propensity": 1.5}]
    sent_tables = {"contacts": contacts, "tickets": tickets, "exposures": exposures}
    tables = {name: pa.Table.from_pylist(rows) for name, rows in sent_tables.items()}
    warehouse.load(tables, arrival(1), currency="EUR")
    channels = "sms, email, push, app_popup, official_account, mini_program, wecom, assistant, phone"
    assert set_aside(warehouse) == [
        ("contacts", f"channel is none of {channels}"),
        ("contacts", "status is missing"),
        ("exposures", "propensity is above 1"),
        ("tickets", "csat is above 5"),
        ("tickets", "csat is below 1"),
    ]


def test_a_zone_that_is_none_does_not_stop_the_features_of_everybody(warehouse):
    customers = pa.Table.from_pylist(
        [
            {"customer_id": "ann", "timezone": "Mars/Olympus"},
            {"customer_id": "bob", "timezone": "Asia/Shanghai"},
        ]
    )
    warehouse.load({**sent(sale()), "customers": customers}, arrival(1))
    assert len(build(warehouse, ["2024-02-01"])) == 1
    assert [table for table, _ in set_aside(warehouse)] == ["customers"]


@pytest.mark.parametrize(
    "typo",
    [{"quantity": 4006381333931.0}, {"net_amount": 4006381333931000.0}],
    ids=lambda typo: next(iter(typo)),
)
def test_a_barcode_typed_into_the_wrong_field_does_not_stop_the_features_of_everybody(warehouse, typo):
    warehouse.load(sent(sale(), sale(order_id="typo", customer_id="bob", **typo)), arrival(1))
    frame = build(warehouse, ["2024-02-01"]).set_index("customer_id")
    assert (frame.loc["ann", "units_all"], frame.loc["ann", "spend_all"]) == (1, 10)


def test_several_broken_rules_are_told_together(warehouse):
    warehouse.load(sent(sale(), sale(order_id="x", quantity=-1.0, kind="gift")), arrival(1))
    ((_, reason),) = set_aside(warehouse)
    assert reason == "kind is none of sale, return; quantity is not above 0"


@pytest.mark.parametrize(
    ("text", "time_"),
    [
        ("2024-01-01", datetime(2024, 1, 1)),
        ("2024-01-01 10:00:00", datetime(2024, 1, 1, 10)),
        ("2024-01-01T10:00:00Z", datetime(2024, 1, 1, 10)),
        ("2024-01-01T10:00:00.000001+08:00", datetime(2024, 1, 1, 2, 0, 0, 1)),
    ],
)
def test_times_written_as_text(warehouse, text, time_):
    warehouse.load(sent(sale(paid_at=text)), arrival(1))
    assert versions(warehouse, "paid_at, known_at") == [(time_, time_)]


def test_text_that_is_no_time_is_set_aside(warehouse):
    texts = ["01/02/2024", "2024-02-30", "yesterday", "now", "infinity", "-infinity"]
    rows = [sale(order_id=f"o{number}", paid_at=text) for number, text in enumerate(texts)]
    table = only(warehouse.load(sent(sale(paid_at="2024-01-01"), *rows), arrival(1)))
    assert table.quarantined == {"paid_at cannot be read as a timestamp": len(texts)}


SHANGHAI_NOON = NOON.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "time_"),
    [
        (pa.array([NOON], pa.timestamp("s")), NOON),
        (pa.array([NOON], pa.timestamp("ms")), NOON),
        (pa.array([NOON], pa.timestamp("us")), NOON),
        (pa.array([NOON], pa.timestamp("ns")), NOON),
        (pa.array([SHANGHAI_NOON], pa.timestamp("us", tz="Asia/Shanghai")), NOON),
        (pa.array([SHANGHAI_NOON], pa.timestamp("ns", tz="UTC")), NOON),
        (pa.array([NOON.date()], pa.date32()), datetime(2024, 1, 1)),
        (pa.array([NOON.date()], pa.date64()), datetime(2024, 1, 1)),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_times_of_any_type(warehouse, column, time_):
    warehouse.load(
        {"order_lines": sent(sale())["order_lines"].drop(["paid_at"]).append_column("paid_at", column)},
        arrival(1),
    )
    assert versions(warehouse, "paid_at") == [(time_,)]


@pytest.mark.parametrize(
    ("column", "amount"),
    [
        (pa.array([1.005]), "1.00"),  # in binary it is less than that
        (pa.array(["1.005"]), "1.01"),
        (pa.array([" 7 "]), "7.00"),
        (pa.array([7], pa.int64()), "7.00"),
        (pa.array([7], pa.uint8()), "7.00"),
        (pa.array([0.1], pa.float32()), "0.10"),
        (pa.array([Decimal("1.235")], pa.decimal128(10, 3)), "1.24"),
        (pa.array([Decimal("999999999.99")], pa.decimal128(18, 2)), "999999999.99"),
    ],
    ids=lambda value: f"{value.type} {value[0]}" if isinstance(value, pa.Array) else "",
)
def test_amounts_of_any_numeric_type(warehouse, column, amount):
    rows = sent(sale())["order_lines"].drop(["net_amount"]).append_column("net_amount", column)
    warehouse.load({"order_lines": rows}, arrival(1))
    assert versions(warehouse, "net_amount") == [(Decimal(amount),)]


def test_ids_that_a_missing_one_turned_into_floats(warehouse):
    rows = [sale(order_id=1.0, customer_id=17850.0), sale(order_id=2.0, customer_id=None)]
    warehouse.load(sent(*rows), arrival(1))
    assert versions(warehouse, "order_id, customer_id") == [("1", "17850"), ("2", None)]


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["customer_id", "registered_at", "timezone"])
def test_an_optional_column_may_be_missing(warehouse, name):
    rows = pa.Table.from_pylist([{"customer_id": "ann"}])
    if name == "customer_id":
        with pytest.raises(InputError, match="customers lacks customer_id"):
            warehouse.load({"customers": rows.rename_columns(["id"])}, arrival(1), currency="EUR")
    else:
        warehouse.load({"customers": rows}, arrival(1), currency="EUR")
        assert versions(warehouse, name, "customers") == [(None,)]


@pytest.mark.parametrize("name", sorted(SALE.keys() - {"customer_id"}))
def test_a_missing_column_is_named_and_no_file_is_left(warehouse, name):
    row = sale()
    del row[name]
    with pytest.raises(InputError, match=rf"order_lines lacks {name}: .*the file has ") as refused:
        warehouse.load(sent(row), arrival(1), currency="EUR")
    assert "\n" not in str(refused.value)
    assert list(warehouse.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("net_amount", True), ("paid_at", 20240101), ("order_id", True), ("quantity", date(2024, 1, 1))],
)
def test_a_column_of_an_impossible_type_is_named(warehouse, name, value):
    with pytest.raises(InputError, match=rf"order_lines\.{name} is stored as .*cannot be read as"):
        warehouse.load(sent(sale(**{name: value})), arrival(1))


@pytest.mark.parametrize("column", ["i", "row_number", "reason", "raw", "origin", "staged"])
def test_a_further_column_of_any_name_is_ignored(warehouse, column):
    table = only(warehouse.load(sent(sale(**{column: "x"})), arrival(1)))
    assert table.new == 1
    assert table.ignored_columns == (() if column == "origin" else (column,))


def test_a_source_may_hold_any_character(warehouse):
    warehouse.load(sent(sale()), arrival(1, source="o'neill"))
    assert versions(warehouse, "source") == [("o'neill",)]


def test_a_table_that_is_none_is_named(warehouse):
    with pytest.raises(InputError, match="no canonical table orders; these are: customers, "):
        warehouse.load({"orders": sent(sale())["order_lines"]}, arrival(1))


def test_nothing_usable_leaves_no_file(warehouse):
    with pytest.raises(NothingUsable, match=r"not one row can be used\. 2 x quantity is not above 0"):
        warehouse.load(sent(sale(quantity=0.0), sale(order_id="x", quantity=-1.0)), arrival(1))
    assert list(warehouse.path.parent.iterdir()) == []


def test_nothing_usable_leaves_the_warehouse_as_it_was(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    with pytest.raises(NothingUsable):
        warehouse.load(sent(sale(quantity=0.0)), arrival(2))
    assert warehouse.quarantine().num_rows == 0
    assert versions(warehouse) == [(10, NOON, None)]


def test_a_missing_column_in_one_table_keeps_out_the_others(warehouse):
    warehouse.load(sent(sale()), arrival(1))
    with pytest.raises(InputError, match="products lacks product_id"):
        warehouse.load({**sent(sale(order_id="x")), "products": pa.table({"name": ["p"]})}, arrival(2))
    assert versions(warehouse, "order_id") == [("o",)]


@pytest.mark.parametrize(
    ("currencies", "told"), [(("EUR", "USD"), "name 2: EUR, USD"), (("XXX",), "name 'XXX'")]
)
def test_a_new_warehouse_asks_for_its_one_currency(warehouse, currencies, told):
    rows = [sale(order_id=code, currency=code) for code in currencies]
    with pytest.raises(InputError, match=told):
        warehouse.load(sent(*rows), arrival(1))
    assert not warehouse.path.exists()


def test_what_is_fixed_when_it_is_made(warehouse):
    warehouse.load(sent(sale()), arrival(1), timezone="Asia/Shanghai")
    made = warehouse.settings()
    assert (made.currency, made.timezone) == ("EUR", "Asia/Shanghai")
    warehouse.load(sent(sale(order_id="x")), arrival(2), currency="EUR", timezone="Asia/Shanghai")
    assert warehouse.settings() == made
    with pytest.raises(InputError, match="keeps currency EUR, and USD was asked for"):
        warehouse.load(sent(sale(order_id="y")), arrival(3), currency="USD")
    with pytest.raises(InputError, match="keeps time zone Asia/Shanghai, and UTC was asked for"):
        warehouse.load(sent(sale(order_id="y")), arrival(3), timezone="UTC")


@pytest.mark.parametrize(
    "wrong", [{"currency": "EURO"}, {"timezone": "Mars/Olympus"}, {"timezone": "../etc"}]
)
def test_a_currency_or_zone_that_is_none_is_refused(warehouse, wrong):
    with pytest.raises(InputError, match=r"is not an (ISO 4217 currency code|IANA time zone)"):
        warehouse.load(sent(sale()), arrival(1), **wrong)
    assert not warehouse.path.exists()


def test_what_is_no_warehouse_is_said_to_be_none(tmp_path):
    with pytest.raises(InputError, match="no warehouse at"), Warehouse(tmp_path / "none.duckdb").connect():
        pass
    text = tmp_path / "text.duckdb"
    text.write_text("hello " * 1000)
    with pytest.raises(InputError, match="cannot be opened as a warehouse"), Warehouse(text).connect():
        pass
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    with (
        pytest.raises(InputError, match="is a DuckDB file but no Patron warehouse"),
        Warehouse(other).connect(),
    ):
        pass
    with pytest.raises(InputError, match="is a DuckDB file but no Patron warehouse"):
        Warehouse(other).load(sent(sale()), arrival(1))


def test_a_path_with_lock_in_its_name_is_not_taken_for_a_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_BUSY_WAIT_S", 0.1)
    path = tmp_path / "clocks.duckdb"
    path.write_text("hello " * 1000)
    with pytest.raises(InputError, match="cannot be opened as a warehouse"), Warehouse(path).connect():
        pass


# ------------------------------------------------------------------------------------------------- two processes

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read(); c.close()"


@pytest.fixture
def holder(warehouse):
    """Another process that holds the file until its input is closed."""
    warehouse.load(sent(sale()), arrival(1))
    command = [sys.executable, "-c", HOLD, str(warehouse.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def test_a_second_process_waits_for_the_first(warehouse, holder):
    started = time.monotonic()
    release = threading.Timer(0.5, holder.stdin.close)
    release.start()
    warehouse.load(sent(sale(order_id="x")), arrival(2))
    release.join()
    assert time.monotonic() - started >= 0.5
    assert versions(warehouse, "order_id") == [("o",), ("x",)]


@pytest.mark.parametrize("write", [True, False], ids=["to write", "to read"])
def test_a_second_process_says_so_when_it_has_waited_long_enough(warehouse, holder, monkeypatch, write):
    monkeypatch.setattr(engine, "_BUSY_WAIT_S", 0.3)
    with pytest.raises(WarehouseBusy, match="in use by another process"), warehouse.connect(write=write):
        pass
    assert holder.poll() is None


# ------------------------------------------------------------------------------------------------- nothing is lost

good = st.builds(
    lambda order_id, net_amount: sale(order_id=order_id, net_amount=net_amount),
    st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    st.sampled_from([1.0, 2.0]),
)
bad = st.sampled_from(
    [sale(quantity=-1.0), sale(kind="gift"), sale(net_amount=None), sale(currency="USD"), sale(order_id="")]
)
deliveries = st.lists(st.lists(good | good | bad, min_size=1, max_size=12), min_size=1, max_size=3)


def told_by_hand(rows, standing):
    """What ought to become of the rows: (new, corrected, unchanged, repeated, set aside), and what stands then."""
    sound = [(row["order_id"], row["net_amount"]) for row in rows if row in map(dict, GOOD)]
    contents = {key: {amount for other, amount in sound if other == key} for key, _ in sound}
    clear = {key: amounts.copy().pop() for key, amounts in contents.items() if len(amounts) == 1}
    conflicts = sum(len(amounts) for amounts in contents.values() if len(amounts) > 1)
    new = sum(key not in standing for key in clear)
    corrected = sum(standing.get(key, amount) != amount for key, amount in clear.items())
    repeated = len(sound) - len(set(sound))
    counts = (new, corrected, len(clear) - new - corrected, repeated, len(rows) - len(sound) + conflicts)
    return counts, standing | clear


GOOD = [sale(order_id=order_id, net_amount=amount) for order_id in "abcdef" for amount in (1.0, 2.0)]


@settings(max_examples=10)
@given(deliveries=deliveries)
def test_every_row_is_kept_or_repeated_or_set_aside(tmp_path_factory, deliveries):
    warehouse = Warehouse(tmp_path_factory.mktemp("w") / "w.duckdb")
    standing, aside = {}, 0
    for number, rows in enumerate(deliveries):
        expected, then = told_by_hand(rows, standing)
        try:
            table = only(
                warehouse.load(sent(*rows), arrival(number, RECEIVED + number * SECOND), currency="EUR")
            )
        except NothingUsable:
            assert sum(expected[:3]) == 0
            continue
        found = (table.new, table.corrected, table.unchanged, table.repeated, sum(table.quarantined.values()))
        assert found == expected
        assert sum(found) == table.read == len(rows)
        standing, aside = then, aside + expected[-1]
    if standing:
        assert dict(versions_standing(warehouse)) == standing
        assert warehouse.quarantine().num_rows == aside


def versions_standing(warehouse):
    with warehouse.connect() as connection:
        assert connection.sql("SELECT * FROM order_lines WHERE superseded_at <= known_at").fetchall() == []
        rows = connection.sql(
            "SELECT order_id, net_amount FROM order_lines WHERE superseded_at IS NULL"
        ).fetchall()
    return [(order_id, float(amount)) for order_id, amount in rows]
