from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma, rankdata

from features.errors import InputError
from features.sources import simulate as door
from features.sources.simulate import SimulatedRetailer, simulate, write
from features.sources.simulate.columns import decimals
from features.sources.simulate.truth import order_probability
from features.sources.simulate.world import Orders, People, draw_orders, draw_people, make_clock
from features.tables import TABLES

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
}


@pytest.fixture(scope="module")
def retailer() -> SimulatedRetailer:
    return simulate(CUSTOMERS, DAYS, END, SEED)


@pytest.fixture(scope="module")
def latent():
    """What the retailer above was made of: the first two draws of the same seed."""
    rng = np.random.default_rng(SEED)
    people = draw_people(rng, CLOCK, CUSTOMERS)
    return people, draw_orders(rng, CLOCK, people)


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


@pytest.fixture(scope="module")
def outcome(retailer):
    """Truth with ``ordered``: whether the continuation of the world has an order within 90 days."""
    truth = retailer.truth.to_pandas()
    return truth.assign(ordered=(truth.next_order_at < END_AT + timedelta(days=90)).to_numpy(dtype=bool))


def people_of(n: int, **given_columns) -> People:
    zeros = dict.fromkeys(People.__dataclass_fields__, np.zeros(n, dtype=np.int64))
    return People(**{**zeros, **{name: np.asarray(value) for name, value in given_columns.items()}})


# --- the tables -------------------------------------------------------------------------------------------------------


def test_the_door_shows_exactly_what_it_promises():
    assert door.__all__ == sorted(door.__all__) == ["SimulatedRetailer", "simulate", "write"]


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path):
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        write(simulate(300, 200, END, seed), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.parquet"))
    names = "consents contacts customers events order_lines products staff stores tickets".split()
    assert [path.as_posix() for path in files] == [
        *(f"tables/{name}.parquet" for name in names),
        "truth/customers.parquet",
    ]
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
    assert pq.read_table(tmp_path / "truth" / "customers.parquet").equals(retailer.truth)


@pytest.mark.parametrize(("customers", "days"), [(CUSTOMERS, DAYS), (1, 1), (1, 400), (2, 3), (40, 1)])
def test_tables_keep_their_contract(retailer, customers, days):
    made = retailer if customers == CUSTOMERS else simulate(customers, days, END, SEED)
    for name, table in made.tables.items():
        contract = {column.name: column for column in TABLES[name].columns}
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
        for field in table.schema:
            if pa.types.is_timestamp(field.type):
                assert pc.max(table[field.name]).as_py() < END_AT, (name, field.name)
    for name, time in (
        ("order_lines", "paid_at"),
        ("events", "at"),
        ("contacts", "sent_at"),
        ("tickets", "opened_at"),
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


# --- the world --------------------------------------------------------------------------------------------------------


def test_a_year_on_the_clock_is_a_year():
    assert CLOCK.operational(0.0) == 0
    assert CLOCK.operational(365.0) == pytest.approx(365, abs=0.5)
    assert CLOCK.operational(-365.0) == pytest.approx(-365, abs=0.5)
    dip, peak = (float(CLOCK.operational(day + 14.0) - CLOCK.operational(day)) for day in (16.0, 147.0))
    assert dip < 0.8 * 14  # 17 to 31 July
    assert peak > 1.5 * 14  # 25 November to 9 December


@given(st.floats(-DAYS - 365, 365))
def test_the_clock_turns_back(day):
    assert CLOCK.calendar(CLOCK.operational(day)) == pytest.approx(day, abs=1e-6)


def test_sales_follow_the_season(sale_lines):
    per_month = sale_lines[sale_lines.paid_at < END_AT - timedelta(days=365)].paid_at.dt.month.value_counts()
    assert per_month[[11, 12]].min() > 1.3 * per_month[[9, 10]].max()
    assert per_month[[7, 8]].sum() < 0.8 * per_month[[5, 6]].sum()


@pytest.mark.parametrize(("stages", "cv"), [(1, 1.0), (4, 0.5)])
def test_gaps_have_the_mean_and_regularity_they_were_built_with(stages, cv):
    n = 300  # 0.2 orders a day for about 1,460 days: 290 gaps each, 87,000 in all
    people = people_of(
        n,
        first=np.full(n, CLOCK.turned[0]),
        rate=np.full(n, 0.2),
        stages=np.full(n, stages),
        lifetime=np.full(n, 10**9),
    )
    orders = draw_orders(np.random.default_rng(3), CLOCK, people)
    inner = np.flatnonzero(orders.customer[1:] == orders.customer[:-1])
    gap, wrongs = np.diff(orders.at)[inner], orders.wrongs[inner]
    assert gap[wrongs == 0].mean() == pytest.approx(5.0, rel=0.06)
    assert gap[wrongs == 0].std() / gap[wrongs == 0].mean() == pytest.approx(cv, rel=0.06)
    assert gap[wrongs == 1].mean() == pytest.approx(10.0, rel=0.06)  # half the rate after one that went wrong
    assert orders.wrong.mean() == pytest.approx(0.03, abs=0.005)
    assert (np.diff(orders.number)[inner] == 1).all()
    assert orders.at.max() > CLOCK.turned[-1] - 1


def test_customers_leave_after_their_last_order():
    people = people_of(
        3, first=[-300.0, -300.0, -300.0], rate=[5.0, 5.0, 5.0], stages=[1, 2, 3], lifetime=[0, 1, 11]
    )
    orders = draw_orders(np.random.default_rng(3), CLOCK, people)
    assert orders.customer.tolist() == [1] + [2] * 11
    assert orders.number.tolist() == [0, *range(11)]


def test_heterogeneity_is_that_of_a_retailer(retailer, orders):
    per_customer = orders.groupby("customer_id").agg(orders=("order_id", "size"), net=("net", "sum"))
    spend = per_customer.net.sort_values(ascending=False)
    assert 0.80 < len(per_customer) / CUSTOMERS < 0.92
    assert 0.2 < (per_customer.orders == 1).mean() < 0.4
    assert 0.5 < spend.head(len(spend) // 5).sum() / spend.sum() < 0.7
    assert retailer.truth.num_rows == len(per_customer)


def test_regular_customers_have_even_gaps(orders, latent):
    people, _ = latent
    gaps = orders.dropna(subset=["gap_days"]).groupby("customer_id").gap_days.agg(["size", "mean", "std"])
    gaps = gaps[gaps["size"] >= 8]
    stages = people.stages[gaps.index.str[1:].astype(int)]
    cv = (gaps["std"] / gaps["mean"]).groupby(stages).median()
    assert cv.is_monotonic_decreasing
    assert cv[4] < 0.75 * cv[1]


def test_a_complaint_lowers_the_rate(retailer, orders):
    tickets = retailer.tables["tickets"].to_pandas()
    complaint = (
        tickets[tickets.kind == "complaint"].drop_duplicates("customer_id").set_index("customer_id").order_id
    )
    mine = orders[orders.customer_id.isin(complaint.index)].dropna(subset=["gap_days"])
    after = mine.order_id.to_numpy() >= complaint.loc[mine.customer_id].to_numpy()  # ids run in time
    later, earlier = (mine[rows].groupby("customer_id").gap_days.mean() for rows in (after, ~after))
    ratio = (later / earlier).dropna()
    assert len(ratio) > 200
    assert ratio.median() > 1.4  # 2 but for the slow gaps that the end cuts off


def test_interest_rises_before_an_order_and_fades_with_the_customer(retailer, orders):
    events = retailer.tables["events"].to_pandas()
    far = orders[(orders.gap_days > 30) & (orders.gap_days < 200)]
    pairs = far.merge(events[["customer_id", "at"]], on="customer_id", suffixes=("", "_event"))
    since = (pairs.at_event - pairs["at"]) / pd.Timedelta(days=1)
    week_after, week_before = since.between(0, 7).sum(), (pairs.gap_days - since).between(0, 7).sum()
    assert week_before > 2 * week_after
    browsing = (
        since.between(0, 7).sum(),
        (pairs.gap_days - since).between(1, 8).sum(),
    )  # without the order's session
    assert browsing[1] > 1.5 * browsing[0]
    truth = retailer.truth.to_pandas()
    lost = set(truth.customer_id[truth.p_order_90d == 0])
    recent = events[events["at"] >= END_AT - timedelta(days=90)]
    per_lost = recent.customer_id.isin(lost).sum() / len(lost)
    per_alive = recent.customer_id.isin(set(truth.customer_id) - lost).sum() / (len(truth) - len(lost))
    assert per_alive > 3 * per_lost


# --- the truth --------------------------------------------------------------------------------------------------------


def test_the_probability_by_hand():
    people = people_of(5, rate=np.full(5, 0.1), stages=[1, 2, 2, 2, 1], lifetime=[2, 2, 2, 1, 9])
    orders = Orders(
        customer=np.arange(5),
        at=np.array([-7.0, -5.0, -5.0, -5.0, -1e6]),
        number=np.zeros(5, dtype=np.int64),
        wrong=np.zeros(5, dtype=bool),
        wrongs=np.array([0, 0, 1, 0, 0]),
    )
    expected = [
        1 - np.exp(-1),  # one stage: the wait of 7 days does not matter, 10 days at .1
        1 - 4 * np.exp(-3) / (2 * np.exp(-1)),  # two stages at .2: S(x) = e^-x (1 + x) at x = 3 and x = 1
        1 - 2.5 * np.exp(-1.5) / (1.5 * np.exp(-0.5)),  # at half the pace
        0.0,  # the first order was the last
        1 - np.exp(-1),  # where both survival functions are 0 in float64
    ]
    assert order_probability(people, orders, np.arange(5), ahead=10.0) == pytest.approx(expected)


def test_the_truth_is_the_survival_ratio_and_the_continuation(retailer, latent):
    people, orders = latent
    start, ahead = float(CLOCK.operational(-DAYS)), float(CLOCK.operational(90.0))
    truth = {row["customer_id"]: row for row in retailer.truth.to_pylist()}
    times, seen = orders.at, 0
    for customer in range(600):
        mine = times[orders.customer == customer]
        before, after = mine[mine < 0], mine[mine >= 0]
        row = truth.get(f"c{customer:06}")
        assert (row is not None) == bool(before.size and before[-1] >= start)
        if row is None:
            continue
        seen += 1
        assert row["next_order_at"] == CLOCK.stamp(after[:1], np.inf).to_pylist()[0] if after.size else True
        assert (row["next_order_at"] is None) == (after.size == 0) == (row["spend_365d"] == 0)
        wrongs = orders.wrongs[orders.customer == customer][before.size - 1]
        left = before.size == people.lifetime[customer]
        k, rate = people.stages[customer], people.rate[customer] * 0.5**wrongs
        gap = gamma(k, scale=1 / (k * rate))
        expected = 0.0 if left else 1 - gap.sf(ahead - before[-1]) / gap.sf(-before[-1])
        assert row["p_order_90d"] == pytest.approx(expected, abs=1e-9)
    assert seen > 400


def test_future_spend_is_that_of_the_orders_of_the_year_to_come(retailer, latent, sale_lines):
    _, orders = latent
    who = pc.utf8_slice_codeunits(retailer.truth["customer_id"], 1).to_numpy().astype(int)
    future = np.isin(orders.customer, who) & (orders.at >= 0) & (orders.at < CLOCK.operational(365.0))
    per_order = float(pc.sum(retailer.truth["spend_365d"]).as_py()) / np.count_nonzero(future)
    known = sale_lines[sale_lines.customer_id.notna()]
    assert per_order == pytest.approx(known.net_amount.sum() / known.order_id.nunique(), rel=0.03)


def test_the_truth_is_calibrated(outcome):
    p, y = outcome.p_order_90d.to_numpy(), outcome.ordered.to_numpy()
    assert not y[p == 0].any()
    assert 0.2 < (p == 0).mean() < 0.6
    alive = np.flatnonzero(p > 0)
    fifths = np.array_split(alive[np.argsort(p[alive], kind="stable")], 5)
    for rows in (np.arange(p.size), *fifths):
        error = np.sqrt((p[rows] * (1 - p[rows])).sum()) / rows.size
        assert abs(p[rows].mean() - y[rows].mean()) < 3 * error


def test_the_truth_ranks_well_but_not_perfectly(outcome, record_testsuite_property):
    p, y = outcome.p_order_90d.to_numpy(), outcome.ordered.to_numpy()

    def auc(of):
        ranks, positives = rankdata(p[of]), y[of].sum()
        return (ranks[y[of]].sum() - positives * (positives + 1) / 2) / (positives * (of.sum() - positives))

    everybody, alive = auc(p >= 0), auc(p > 0)
    record_testsuite_property("auc", round(float(everybody), 3))
    record_testsuite_property("auc_of_those_still_there", round(float(alive), 3))
    assert 0.75 < alive < everybody < 0.95
