from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma, rankdata

from features.sources.simulate import SimulatedRetailer, simulate
from features.sources.simulate.blocks import generator
from features.sources.simulate.truth import HORIZONS_DAYS, order_probability
from features.sources.simulate.world import (
    RATE_PER_WEEK,
    RATE_SHAPE,
    Orders,
    People,
    draw_orders,
    draw_people,
    make_clock,
)

CUSTOMERS, DAYS, END, SEED = 10_000, 730, date(2024, 7, 1), 11
END_AT = datetime(2024, 7, 1, tzinfo=UTC)
CLOCK = make_clock(DAYS, np.datetime64(END, "us"))


@pytest.fixture(scope="module")
def retailer() -> SimulatedRetailer:
    return simulate(CUSTOMERS, DAYS, END, SEED)


@pytest.fixture(scope="module")
def latent():
    """What the retailer above was made of: the first two draws of its one block."""
    rng = generator(SEED, 1)
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


@pytest.mark.parametrize(("stages", "cv"), [(1, 1.0), (2, 0.7071), (3, 0.5774), (4, 0.5)])  # 1 / sqrt(stages)
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


def test_counts_are_negative_binomial_before_anybody_leaves():
    """Ehrenberg 1959: Poisson counts at Gamma rates have mean m and variance m + m^2 / shape."""
    n, window = 40_000, 100.0
    drawn = draw_people(np.random.default_rng(5), CLOCK, n)
    people = replace(
        drawn, first=np.full(n, -500.0), stages=np.ones(n, dtype=np.int64), lifetime=np.full(n, 10**9)
    )
    orders = draw_orders(np.random.default_rng(6), CLOCK, people)
    inside = (orders.number > 0) & (orders.at < window - 500.0)
    # An order that went wrong halves the rate from then on: left out are the 3 % whose first one did.
    right = ~orders.wrong[orders.number == 0]
    count = np.bincount(orders.customer[inside], minlength=n)[right]
    mean, variance = count.mean(), count.var()
    assert mean == pytest.approx(RATE_PER_WEEK / 7 * window, rel=0.04)
    assert mean**2 / (variance - mean) == pytest.approx(RATE_SHAPE, rel=0.1)
    assert drawn.rate.mean() ** 2 / drawn.rate.var() == pytest.approx(RATE_SHAPE, rel=0.05)


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
    assert 0.5 < spend.head(len(spend) // 5).sum() / spend.sum() < 0.8  # Pareto: the best fifth
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


def test_the_truth_is_the_survival_ratio_and_the_continuation(retailer, latent, sale_lines):
    people, orders = latent
    ahead = {days: float(CLOCK.operational(days)) for days in HORIZONS_DAYS}
    with_an_order = set(sale_lines.customer_id.dropna())
    truth = {row["customer_id"]: row for row in retailer.truth.to_pylist()}
    times, seen = orders.at, 0
    for customer in range(600):
        mine = times[orders.customer == customer]
        before, after = mine[mine < 0], mine[mine >= 0]
        row = truth.get(f"c{customer:06}")
        assert (row is not None) == (f"c{customer:06}" in with_an_order)
        if row is None:
            continue
        seen += 1
        assert row["next_order_at"] == CLOCK.stamp(after[:1], np.inf).to_pylist()[0] if after.size else True
        assert (row["next_order_at"] is None) == (after.size == 0) == (row["spend_365d"] == 0)
        wrongs = orders.wrongs[orders.customer == customer][before.size - 1]
        left = before.size == people.lifetime[customer]
        k, rate = people.stages[customer], people.rate[customer] * 0.5**wrongs
        gap = gamma(k, scale=1 / (k * rate))
        for days in HORIZONS_DAYS:
            expected = 0.0 if left else 1 - gap.sf(ahead[days] - before[-1]) / gap.sf(-before[-1])
            assert row[f"p_order_{days}d"] == pytest.approx(expected, abs=1e-9)
    assert seen > 400


def test_future_spend_is_that_of_the_orders_of_the_year_to_come(retailer, latent, sale_lines):
    _, orders = latent
    who = pc.utf8_slice_codeunits(retailer.truth["customer_id"], 1).to_numpy().astype(int)
    future = np.isin(orders.customer, who) & (orders.at >= 0) & (orders.at < CLOCK.operational(365.0))
    per_order = float(pc.sum(retailer.truth["spend_365d"]).as_py()) / np.count_nonzero(future)
    known = sale_lines[sale_lines.customer_id.notna()]
    assert per_order == pytest.approx(known.net_amount.sum() / known.order_id.nunique(), rel=0.03)


@pytest.mark.parametrize("days", HORIZONS_DAYS)
def test_the_truth_is_calibrated(retailer, days):
    truth = retailer.truth.to_pandas()
    p, y = (
        truth[f"p_order_{days}d"].to_numpy(),
        (truth.next_order_at < END_AT + timedelta(days=days)).to_numpy(),
    )
    assert not y[p == 0].any()
    assert 0.2 < (p == 0).mean() < 0.6
    alive = np.flatnonzero(p > 0)
    tenths = np.array_split(alive[np.argsort(p[alive], kind="stable")], 10)
    z = [
        (p[rows] - y[rows]).sum() / np.sqrt((p[rows] * (1 - p[rows])).sum())
        for rows in (np.arange(p.size), *tenths)
    ]
    assert abs(z[0]) < 3
    assert np.square(z[1:]).sum() < 29.6  # chi-squared with ten degrees of freedom: its 99.9 % point


def test_the_truth_ranks_well_but_not_perfectly(outcome, record_testsuite_property):
    """The ceiling of any model here: AUC 0.93 among all who ever ordered, 0.85 among those who have not left."""
    p, y = outcome.p_order_90d.to_numpy(), outcome.ordered.to_numpy()

    def auc(of):
        ranks, positives = rankdata(p[of]), y[of].sum()
        return (ranks[y[of]].sum() - positives * (positives + 1) / 2) / (positives * (of.sum() - positives))

    everybody, alive = auc(p >= 0), auc(p > 0)
    record_testsuite_property("auc", round(float(everybody), 3))
    record_testsuite_property("auc_of_those_still_there", round(float(alive), 3))
    assert 0.75 < alive < everybody < 0.95
