from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.errors import InputError
from features.ingest import ingest_tables
from features.sources import simulate as door
from features.sources.simulate import SimulatedRetailer, generate, simulate, write
from features.sources.simulate.columns import decimals
from features.sources.simulate.world import make_clock
from features.tables import TABLES, Column
from features.warehouse import Warehouse

CUSTOMERS, DAYS, END, SEED = 10_000, 730, date(2024, 7, 1), 11
START_AT, END_AT = datetime(2022, 7, 2, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)
CLOCK = make_clock(DAYS, np.datetime64(END, "us"))
TYPES = {
    "id": pa.string(),
    "text": pa.string(),
    "zone": pa.string(),
    "time": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "amount": pa.decimal128(18, 2),
    "quantity": pa.decimal128(18, 3),
    "real": pa.float64(),
    "integer": pa.int64(),
    "flag": pa.bool_(),
    "json": pa.string(),
}


FILES = [
    *(
        f"tables/{name}.parquet"
        for name in "consents contacts customers deliveries events exposures feedback order_lines products staff stock "
        "stores tickets".split()
    ),
    *(f"truth/{name}.parquet" for name in "categories customers needs offers".split()),
]


@pytest.fixture(scope="module")
def retailer() -> SimulatedRetailer:
    return simulate(CUSTOMERS, DAYS, END, SEED)


@pytest.fixture(scope="module")
def sale_lines(retailer):
    lines = retailer.tables["order_lines"].to_pandas()
    for column in ("quantity", "gross_amount", "discount_amount", "net_amount", "cost_amount"):
        lines[column] = lines[column].astype(float)
    return lines[lines.kind == "sale"]


@pytest.fixture(scope="module")
def orders(sale_lines):
    """One row per order of a known customer, by customer and time; gap_days to the customer's next."""
    known = sale_lines[sale_lines.customer_id.notna()]
    orders = known.groupby(["customer_id", "order_id"], as_index=False).agg(
        at=("paid_at", "min"), net=("net_amount", "sum")
    )
    orders = orders.sort_values(["customer_id", "at"], ignore_index=True)
    orders["gap_days"] = orders.groupby("customer_id")["at"].diff().shift(-1) / pd.Timedelta(days=1)
    return orders


# --- the tables -------------------------------------------------------------------------------------------------------


def test_the_door_shows_exactly_what_it_promises():
    assert door.__all__ == sorted(door.__all__) == ["SimulatedRetailer", "generate", "simulate", "write"]


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path):
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        write(simulate(300, 200, END, seed), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.parquet"))
    assert [path.as_posix() for path in files] == FILES
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    other = Path("tables/order_lines.parquet")
    assert (tmp_path / "one" / other).read_bytes() != (tmp_path / "other" / other).read_bytes()


def test_writing_keeps_every_value(tmp_path: Path):
    retailer = simulate(50, 100, np.datetime64("2024-03-01"), 1)
    write(retailer, tmp_path)
    write(retailer, tmp_path)  # over what stood there
    for name, table in retailer.tables.items():
        assert pq.read_table(tmp_path / "tables" / f"{name}.parquet").equals(table)
    truth = {"customers": retailer.truth, "offers": retailer.offers, "categories": retailer.categories}
    for name, table in truth.items():
        assert pq.read_table(tmp_path / "truth" / f"{name}.parquet").equals(table)


@pytest.mark.parametrize(("customers", "days"), [(1_500, 600), (2, 3)])
def test_a_warehouse_takes_every_row(tmp_path: Path, customers, days):
    rows = generate(tmp_path, customers, days, END, SEED)
    report = ingest_tables(Warehouse(tmp_path / "w.duckdb"), tmp_path / "tables", currency="CNY")
    loaded = {f"tables/{table.table}.parquet": table for table in report.tables}
    assert {file: table.new for file, table in loaded.items() if table.read} == {
        file: count for file, count in rows.items() if count and file.startswith("tables/")
    }
    assert not any(table.quarantined or table.ignored_columns for table in report.tables)


@pytest.mark.parametrize(("customers", "days"), [(CUSTOMERS, DAYS), (1, 1), (1, 400), (2, 3), (40, 1)])
def test_tables_keep_their_contract(retailer, customers, days):
    made = retailer if customers == CUSTOMERS else simulate(customers, days, END, SEED)
    for name, table in made.tables.items():
        contract = {column.name: column for column in TABLES[name].columns}
        if name == "deliveries":  # the one table of later facts without a business time
            contract["known_at"] = Column("known_at", "time")
        assert set(table.column_names) <= set(contract), name
        assert {n for n, column in contract.items() if column.required} <= set(table.column_names), name
        for column in table.column_names:
            rule, values = contract[column], table[column]
            assert values.type == TYPES[rule.type], (name, column)
            assert not (rule.required and values.null_count), (name, column)
            assert not rule.choices or set(pc.unique(values).to_pylist()) <= set(rule.choices), (name, column)
        assert table.group_by(list(TABLES[name].key)).aggregate([]).num_rows == table.num_rows, name
    assert made.tables["customers"].num_rows == customers
    assert made.truth["customer_id"].null_count == 0


def test_every_table_has_rows(retailer):
    assert all(table.num_rows > 0 for table in retailer.tables.values())


def test_no_fact_reaches_the_end_and_no_truth_stands_before_it(retailer):
    for name, table in retailer.tables.items():
        time = TABLES[name].time
        assert time is None or table[time].null_count == 0, name
        for field in table.schema:
            if pa.types.is_timestamp(field.type):
                assert pc.max(table[field.name]).as_py() < END_AT, (name, field.name)
    for name, time in (
        ("order_lines", "paid_at"),
        ("events", "at"),
        ("contacts", "sent_at"),
        ("tickets", "opened_at"),
        ("feedback", "at"),
        ("deliveries", "delivered_at"),
    ):
        assert START_AT <= pc.min(retailer.tables[name][time]).as_py() < START_AT + timedelta(days=10)
    latest = {"order_lines": "paid_at", "events": "at", "contacts": "sent_at", "customers": "registered_at"}
    for name, time in latest.items():  # and nothing is cut away that lies before the end
        assert pc.max(retailer.tables[name][time]).as_py() >= END_AT - timedelta(days=1)
    assert END_AT <= pc.min(retailer.truth["next_order_at"]).as_py() < END_AT + timedelta(days=1)


def test_a_time_at_the_end_is_unknown():
    at = CLOCK.operational(np.array([-730.0, -1.0, -1.5 / 86_400, 0.0, 3.0]))
    assert CLOCK.stamp(np.append(at, [np.nan])).to_pylist() == [
        START_AT,
        datetime(2024, 6, 30, tzinfo=UTC),
        datetime(2024, 6, 30, 23, 59, 58, tzinfo=UTC),  # 1.5 s before the end, in whole seconds from below
        None,
        None,
        None,
    ]


def test_amounts_fit_together(retailer):
    lines, products = (retailer.tables[name] for name in ("order_lines", "products"))
    price = dict(zip(products["product_id"].to_pylist(), products["list_price"].to_pylist(), strict=True))
    columns = ("product_id", "quantity", "gross_amount", "discount_amount", "net_amount", "cost_amount")
    head = lines.slice(0, 4000).select(columns).to_pylist()
    for row in head:
        assert abs(row["gross_amount"] - price[row["product_id"]] * row["quantity"]) <= Decimal("0.005")
    gross, discount, net, cost = (lines[f"{name}_amount"] for name in ("gross", "discount", "net", "cost"))
    assert pc.all(pc.equal(pc.subtract(gross, discount), net)).as_py()
    assert pc.all(pc.less_equal(discount, gross)).as_py()
    assert pc.all(pc.less(cost, gross)).as_py()
    assert pc.min(lines["quantity"]).as_py() >= Decimal("0.200")
    assert {row["quantity"] % 1 == 0 for row in head} == {True, False}
    assert set(pc.unique(lines["currency"]).to_pylist()) == {"CNY"}


def test_a_decimal_is_its_units_shifted():
    made = decimals(np.array([0, 5, -12_345, 10**17 - 1]), 2).to_pylist()
    assert made == [Decimal("0.00"), Decimal("0.05"), Decimal("-123.45"), Decimal("999999999999999.99")]


def test_a_return_is_a_line_sold_at_most_30_days_before(retailer):
    lines = retailer.tables["order_lines"].to_pandas()
    back = lines[lines.kind == "return"]
    assert 0.02 < len(back) / len(lines) < 0.08
    assert (back.order_id == "R-" + back.original_order_id).all()
    sold = lines[lines.kind == "sale"]
    assert sold.original_order_id.isna().all()
    both = back.merge(sold, left_on=["original_order_id", "line_id"], right_on=["order_id", "line_id"])
    assert len(both) == len(back)
    same = ("product_id", "quantity", "net_amount", "gross_amount", "channel")
    assert all((both[f"{name}_x"] == both[f"{name}_y"]).all() for name in same)
    days = (both.paid_at_x - both.paid_at_y) / pd.Timedelta(days=1)
    assert days.min() > 0
    assert 20 < days.max() <= 30


def test_stores_and_staff_stand_on_store_sales_only(retailer, sale_lines):
    in_store = sale_lines.channel == "store"
    assert (sale_lines.store_id.notna() == in_store).all()
    staff = retailer.tables["staff"].to_pandas().set_index("staff_id").store_id
    served = sale_lines[in_store]
    assert (served.staff_id.map(staff) == served.store_id).all()
    assert in_store[sale_lines.customer_id.isna()].all()
    assert 0.05 < sale_lines.customer_id.isna().mean() < 0.11
    assert sale_lines.groupby("order_id").size().agg(["min", "max"]).tolist() == [1, 6]
    assert set(sale_lines.channel) == {"store", "web", "app", "mini_program"}


def test_customers_register_before_they_order(retailer, orders):
    customers = retailer.tables["customers"].to_pandas().set_index("customer_id")
    first = orders.groupby("customer_id")["at"].min()
    assert (customers.registered_at.reindex(first.index) <= first).all()
    assert customers.display_name.isna().all()
    assert (customers.registered_at < START_AT).mean() == pytest.approx(0.3, abs=0.015)  # sd .0046


def test_messages_go_to_the_subscribed_only(retailer):
    consents = retailer.tables["consents"].to_pandas()
    contacts = retailer.tables["contacts"].to_pandas()
    key = ["customer_id", "channel"]
    since, until = (
        consents[consents.status == status].set_index(key)["at"].rename(status)
        for status in ("SUBSCRIBED", "UNSUBSCRIBED")
    )
    both = pd.concat([since, until], axis=1, join="inner")
    assert len(both) == len(until) > 0
    assert (both.UNSUBSCRIBED >= both.SUBSCRIBED).all()
    sent = contacts.join(since, on=key).join(until, on=key)
    assert (sent.sent_at >= sent.SUBSCRIBED).all()
    assert ((sent.sent_at <= sent.UNSUBSCRIBED) | sent.UNSUBSCRIBED.isna()).all()
    opened, clicked = sent[sent.opened_at.notna()], sent[sent.clicked_at.notna()]
    assert (opened.opened_at >= opened.sent_at).all()
    assert (opened.status == "delivered").all()
    assert (clicked.clicked_at >= clicked.opened_at).all()
    assert 0.9 < (sent.status == "delivered").mean() < 1


def test_tickets_run_in_order_and_complainants_are_less_content(retailer):
    tickets = retailer.tables["tickets"].to_pandas()
    assert (tickets.closed_at.dropna() >= tickets.opened_at[tickets.closed_at.notna()]).all()
    rated = tickets[tickets.rated_at.notna()]
    assert (rated.rated_at >= rated.closed_at).all()
    assert (tickets.csat.notna() == tickets.rated_at.notna()).all()
    csat = tickets.groupby("kind").csat.mean()
    assert csat["complaint"] < csat["enquiry"] - 0.5


@pytest.mark.parametrize(
    ("customers", "days", "end", "words"),
    [
        (0, 10, END, "at least 1 customer and 1 day, got 0 and 10"),
        (10, 0, END, "at least 1 customer and 1 day, got 10 and 0"),
        (10, 10, np.datetime64("2024-07-01T12"), "00:00 UTC of a day, got end=2024-07-01T12"),
        (10, 10, np.datetime64("NaT"), "00:00 UTC of a day, got end=NaT"),
    ],
)
def test_refuses_what_is_no_world(customers, days, end, words):
    with pytest.raises(InputError, match=words):
        simulate(customers, days, end, 1)
