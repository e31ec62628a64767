"""Seasonal need: windows by hand, smoothing by hand, and a shop in which half the customers buy each summer."""

import numpy as np
import pandas as pd
import pytest

from features.errors import TooLittleHistory
from features.sql import usable
from tests.features.worlds import at, line, product, tables_of, warehouse_of
from training.replenishment.counts import read_lines
from training.replenishment.seasonal import (
    LEAD_DAYS,
    PRIOR,
    SEASON_DAYS,
    SEASONAL_COLUMNS,
    seasonal_categories,
    seasonal_need,
)

AS_OF = pd.Timestamp("2024-05-02")
WINDOW = (pd.Timestamp("2024-06-01"), pd.Timestamp("2024-07-31"))  # 30 days on, 60 days long
SUN, RICE = product("sun", "skincare", category_2="sunscreen"), product("rice", "pantry", category_2="rice")


def order(who, day, what):
    return line(who, str(day), order_id=f"{who}-{what}-{day}", product_id=what)


def year_of(who, year, summer):
    """Rice each month of a year, and sunscreen in its summer."""
    rows = [order(who, f"{year}-{month:02}-03", "rice") for month in range(1, 13)]
    return rows + ([order(who, f"{year}-06-20", "sun")] if summer else [])


@pytest.fixture(scope="module")
def beach(tmp_path_factory):
    """100 customers since 2022: the first 40 buy sunscreen each summer, but 10 of them not in 2023; 10 others once, in 2023."""
    rows = [SUN, RICE]
    for number in range(100):
        who = f"c{number:03}"
        for year in (2022, 2023):
            loyal, once = number < 40 and not (year == 2023 and number < 10), year == 2023 and number >= 90
            rows += year_of(who, year, summer=loyal or once)
        rows += [order(who, f"2024-0{month}-03", "rice") for month in (1, 2, 3, 4)]
    rows += [order("new", "2024-04-20", "rice"), order("gone", "2022-04-20", "sun")]
    return warehouse_of(tmp_path_factory.mktemp("beach") / "w.duckdb", tables_of(rows))


@pytest.fixture(scope="module")
def need(beach):
    return seasonal_need(beach, AS_OF)


def test_the_window_and_who_is_asked_about(need):
    assert list(need.columns) == list(SEASONAL_COLUMNS)
    assert (LEAD_DAYS, SEASON_DAYS) == (30, 60)
    assert need["window_from"].unique().tolist() == [WINDOW[0]]
    assert need["window_to"].unique().tolist() == [WINDOW[1]]
    assert set(need["category_2"]) == {"sunscreen"}
    assert len(need) == 101  # who has ordered nothing for a year is not
    assert "gone" not in set(need["customer_id"])
    assert set(need["status"]) == {"ok"}


def test_seasons_bought_and_seen(need):
    by = need.set_index("customer_id")[["seasons_bought", "seasons_seen"]]
    assert by.loc["c000"].tolist() == [1, 2]
    assert by.loc["c020"].tolist() == [2, 2]
    assert by.loc["c050"].tolist() == [0, 2]
    assert by.loc["c095"].tolist() == [1, 2]
    assert by.loc["new"].tolist() == [0, 0]


def test_shares_by_hand(need):
    """Last year 30 of the 40 who had bought the year before did, and 10 of the 60 who had not; 100 in all, 40 bought.

    All had last ordered within 30 days. With 20 customers' weight: overall 40.5 / 101; by season (30 + 8.02) / 60 and
    (10 + 8.02) / 80, by recency (40 + 8.02) / 120; and the cell is drawn to their product over the overall share.
    """
    overall = 40.5 / 101
    bought, not_bought = (30 + PRIOR * overall) / 60, (10 + PRIOR * overall) / 80
    recent = (40 + PRIOR * overall) / 120
    p = need.set_index("customer_id")["probability"]
    assert p["c020"] == pytest.approx((30 + PRIOR * bought * recent / overall) / 60)
    assert p["c050"] == pytest.approx((10 + PRIOR * not_bought * recent / overall) / 80)
    assert p["c095"] == p["c020"]  # bought last summer
    assert p["c000"] == p["c050"]  # did not
    assert p["new"] == pytest.approx(
        recent
    )  # no new customer was there to learn from: drawn to the overall share


def test_a_category_bought_all_the_year_is_not_seasonal(beach):
    lines = read_lines(beach, AS_OF, usable(AS_OF))
    assert seasonal_categories(lines, AS_OF) == [("skincare", "sunscreen")]
    assert seasonal_categories(lines, AS_OF + pd.Timedelta(days=150)) == []  # its window is November
    few = lines[(lines["category_2"] != "sunscreen") | (lines["customer_id"] < "c020")]
    assert seasonal_categories(few, AS_OF) == []  # 10 purchases of last summer are not enough


def test_the_edges_of_the_window(tmp_path):
    """Last year's window: from 2 June 2023 (365 days before 1 June 2024) up to 1 August 2023, which is no longer in it."""
    rows = [SUN, RICE, *(row for n in range(20) for row in year_of(f"base{n}", 2023, summer=False))]
    rows += [order(f"in{n}", "2023-06-02", "sun") for n in range(15)] + [
        order(f"at{n}", "2023-07-31T23:59", "sun") for n in range(15)
    ]
    out = [order(f"out{n}", day, "sun") for n, day in enumerate(["2023-06-01T23:59", "2023-08-01"])]
    shop = warehouse_of(tmp_path / "w.duckdb", tables_of([*rows, *out, order("old", "2022-01-01", "rice")]))
    found = seasonal_need(shop, AS_OF).set_index("customer_id")["seasons_bought"]
    assert found.loc[["in0", "at0"]].tolist() == [0, 0]  # it was their first order: no season of theirs
    lines = read_lines(shop, AS_OF, usable(AS_OF))
    assert seasonal_categories(lines, AS_OF) == [("skincare", "sunscreen")]
    assert (
        seasonal_categories(lines[lines["customer_id"] != "in0"], AS_OF) == []
    )  # 29, with those outside not counted


def test_one_season_tells_nobody_from_anybody(beach, tmp_path):
    rows = [SUN, RICE]
    for number in range(60):
        rows += year_of(f"c{number:02}", 2023, summer=number < 40)
        rows += [order(f"c{number:02}", "2024-04-03", "rice")]
    rows += [order(f"c{number:02}", "2023-04-20", "rice") for number in range(60)]
    early = [row for row in rows if row[0] != "order_lines" or row[1]["paid_at"] >= at("2023-04-01")]
    found = seasonal_need(warehouse_of(tmp_path / "w.duckdb", tables_of(early)), AS_OF)
    assert set(found["status"]) == {"one_season"}
    assert found["probability"].min() == found["probability"].max()
    with pytest.raises(TooLittleHistory, match="looks a year back and the first purchase"):
        seasonal_need(beach, pd.Timestamp("2022-12-01"))


def test_the_future_changes_nothing(beach, need, tmp_path):
    with beach.connect() as connection:
        held = connection.sql("SELECT customer_id, paid_at, order_id, product_id FROM order_lines").fetchall()
    rows = [SUN, RICE, *(line(c, when, order_id=o, product_id=p) for c, when, o, p in held)]
    rows += [order("c050", "2024-05-02", "sun"), order("c051", "2024-06-20", "sun")]
    again = seasonal_need(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), AS_OF)
    pd.testing.assert_frame_equal(again, need, check_exact=True)
    assert np.isfinite(need["probability"]).all()
