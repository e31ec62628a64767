"""Expected demand: counts and stores by hand, the parts that add up, and the made-up retailer's weeks."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from features.errors import InputError
from features.load import Arrival
from features.sql import usable
from features.warehouse import Warehouse
from tests.features.worlds import at, customer, line, link, product, tables_of, warehouse_of
from training import targets
from training.replenishment.counts import home_stores, next_of_known, read_lines, stores_of, weekly
from training.replenishment.demand import DEMAND_COLUMNS, expected_demand, season_of
from training.replenishment.due import open_gaps
from training.replenishment.fit import fit_replenishment
from training.replenishment.remaining import probability_over

AS_OF = pd.Timestamp("2024-07-01")
TEA = product("tea", "pantry", category_2="tea")
ROWS = [
    TEA,
    customer("ann", registered_at=at("2024-01-01"), home_store_id="s1"),
    customer("bob", registered_at=at("2024-01-01"), home_store_id="s2", known_at=at("2024-07-02")),
    customer("cat", registered_at=at("2024-01-01"), home_store_id="s3"),
    line("ann", "2024-05-01", product_id="tea", channel="store", store_id="s8"),
    line("ann", "2024-06-01", product_id="tea", channel="store", store_id="s9"),  # her last store
    line("ann", "2024-06-05", product_id="tea"),
    line("ann", "2024-07-03", product_id="tea", channel="store", store_id="s4"),  # counts for s9
    line("ann", "2024-07-03T20:00", product_id="tea"),  # the same day: one purchase
    line("bob", "2024-07-08", product_id="tea"),  # exactly a week: the second; no store known then
    line("cat", "2024-07-07T23:59", product_id="tea"),
    line(None, "2024-07-02", order_id="till", line_id="1", product_id="tea", channel="store", store_id="s1"),
    line(None, "2024-07-02", order_id="till", line_id="2", product_id="tea", channel="store", store_id="s1"),
    line(None, "2024-07-02", product_id="tea", channel="store", store_id="s1"),
    line("cat", "2024-07-15", product_id="tea"),  # beyond two weeks
    line("cat", "2024-07-04", product_id="unlisted"),
]


def test_demand_by_hand(tmp_path):
    shop = warehouse_of(tmp_path / "w.duckdb", tables_of(ROWS))
    found = targets.demand(shop, AS_OF, 2)
    cells = {
        (store if isinstance(store, str) else None, week): n
        for _, _, store, week, n in found.itertuples(index=False)
    }
    assert cells == {("s9", 1): 1, ("s3", 1): 1, ("s1", 1): 2, (None, 2): 1}


def test_a_store_is_the_last_one_bought_in_and_else_the_home_store_as_known_then(tmp_path):
    joined = link("cat", "one", known_at=at("2024-06-30"))
    shop = warehouse_of(tmp_path / "w.duckdb", tables_of([*ROWS, joined]))
    lines = read_lines(shop, AS_OF, usable(AS_OF))
    assert stores_of(lines, AS_OF, home_stores(shop, AS_OF)).to_dict() == {"ann": "s9", "one": "s3"}
    assert weekly(lines, AS_OF, 2, home_stores(shop, AS_OF)).empty  # nothing at or after the as-of is read


def test_due_dates_tell_of_the_next_purchase_of_who_had_bought_before(tmp_path):
    shop = warehouse_of(
        tmp_path / "w.duckdb", tables_of([*ROWS, line("ann", "2024-07-09", product_id="tea")])
    )
    lines = read_lines(shop, AS_OF, "superseded_at IS NULL")
    told = lines[next_of_known(lines, AS_OF)]
    assert told[["customer_id", "bought_at"]].to_numpy().tolist() == [["ann", pd.Timestamp("2024-07-03")]]


def test_the_due_part_follows_the_season_where_the_history_tells_it(shop, end):
    found = expected_demand(model := fit_replenishment(shop, end), shop, end, 4)
    season = season_of(read_lines(shop, end, usable(end)), end, 4)
    assert (np.abs(season - 1.0) > 0.05).any()
    gap = open_gaps(model, shop, end)
    within = probability_over(gap.gap, gap.elapsed_days, np.arange(7.0, 29.0, 7.0))[gap.rows["repeats"]].sum(
        axis=0
    )
    assert found.groupby("week")["due_purchases"].sum().to_numpy() == pytest.approx(
        np.diff(within, prepend=0.0) * season
    )


def lines_every(days, since, until):
    moments = pd.date_range(since, until, freq=f"{days}D", inclusive="left")
    return pd.DataFrame({"bought_at": moments.repeat(50).astype("datetime64[us]")})


def test_the_season_is_a_year_ago_s_share_of_the_year_around_it():
    """50 purchases a day, 100 in last year's four weeks: 52 weeks make 350 x 48 + 700 x 4 in all, 376.9 a week."""
    even = lines_every(1, "2022-06-01", "2024-07-01")
    year_ago = AS_OF - pd.Timedelta(weeks=52)
    more = lines_every(1, year_ago, year_ago + pd.Timedelta(weeks=4))
    busy = pd.concat([even, more]).sort_values("bought_at", ignore_index=True)
    assert season_of(even, AS_OF, 3) == pytest.approx([1.0] * 3)
    mean = (350 * 48 + 700 * 4) / 52
    expected = [
        (w + 50) / (mean + 50)
        for w in ((350 + 2 * 700) / 3, 700, 700, (2 * 700 + 350) / 3, (700 + 2 * 350) / 3)
    ]
    assert season_of(busy, AS_OF, 5) == pytest.approx(expected)
    assert (
        season_of(busy[busy["bought_at"] >= year_ago - pd.Timedelta(weeks=26)], AS_OF, 5).tolist()
        == [1.0] * 5
    )


@pytest.fixture(scope="module")
def origin(end):
    return end - pd.Timedelta(weeks=8)


@pytest.fixture(scope="module")
def model(shop, origin):
    return fit_replenishment(shop, origin)


@pytest.fixture(scope="module")
def expected(shop, origin, model):
    return expected_demand(model, shop, origin, 6)


def test_the_parts_add_up_and_the_due_part_is_the_sum_of_the_probabilities(shop, origin, model, expected):
    assert list(expected.columns) == list(DEMAND_COLUMNS)
    assert expected["expected_purchases"].to_numpy() == pytest.approx(
        (expected["due_purchases"] + expected["other_purchases"]).to_numpy()
    )
    found = open_gaps(model, shop, origin)
    tea = (found.rows["category_2"] == "tea").to_numpy()
    by_week = np.diff(
        probability_over(found.gap, found.elapsed_days, np.arange(7.0, 43.0, 7.0))[tea].sum(axis=0),
        prepend=0.0,
    )
    ours = expected[expected["category_2"] == "tea"].groupby("week")["due_purchases"].sum()
    assert ours.to_numpy() == pytest.approx(by_week)  # 19 months of history tell no season
    assert expected["week_starts_at"].min() == origin
    assert set(expected["category_2"]) == {
        "cleanser",
        "serum",
        "mask",
        "shampoo",
        "treatment",
        "tea",
        "rice",
        "nappies",
        "milk",
    }
    assert not expected.duplicated(["category_1", "category_2", "store_id", "week"]).any()


def test_what_happened_lies_near_what_was_expected(shop, origin, expected):
    cells = ["category_1", "category_2", "store_id", "week"]
    both = expected.merge(targets.demand(shop, origin, 6), on=cells, how="left").fillna({"purchases": 0})
    assert both["purchases"].sum() == pytest.approx(both["expected_purchases"].sum(), rel=0.3)
    inside = (both["purchases"] >= both["low"]) & (both["purchases"] <= both["high"])
    assert inside.mean() > 0.85
    by = both.groupby("category_2")[["expected_purchases", "purchases"]].sum()
    assert by.corr().iloc[0, 1] > 0.6


def test_the_interval_is_at_least_as_wide_as_poisson(expected):
    busiest = expected.loc[expected["expected_purchases"].idxmax()]
    assert busiest["high"] >= poisson.ppf(0.9, busiest["expected_purchases"])
    assert busiest["low"] <= poisson.ppf(0.1, busiest["expected_purchases"])


def test_the_future_changes_nothing(expected, origin, retailer, tmp_path):
    cut = {
        name: table
        for name, table in retailer.tables.items()
        if name in ("order_lines", "products", "customers")
    }
    paid = cut["order_lines"]["paid_at"].to_pandas().dt.tz_localize(None)
    cut["order_lines"] = cut["order_lines"].filter((paid < origin).to_numpy())
    past = warehouse_with(tmp_path / "past.duckdb", cut)
    again = expected_demand(fit_replenishment(past, origin), past, origin, 6)
    pd.testing.assert_frame_equal(again, expected, rtol=1e-9)


def warehouse_with(path, tables):
    warehouse = Warehouse(path)
    warehouse.load(tables, Arrival("a part", str(path), datetime(2030, 1, 1)), currency="CNY")
    return warehouse


@pytest.mark.parametrize("weeks", [0, 27])
def test_weeks_out_of_reach_are_refused(shop, origin, model, weeks):
    with pytest.raises(InputError, match=f"1 to 26 weeks, got {weeks}"):
        expected_demand(model, shop, origin, weeks)


def test_too_little_history_is_said(shop, end):
    early = end - pd.Timedelta(days=480)  # 120 days after the first
    with pytest.raises(InputError, match="for 8 weeks needs purchases from 146 days before on"):
        expected_demand(fit_replenishment(shop, early), shop, early)
