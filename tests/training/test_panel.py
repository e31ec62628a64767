"""Panels: which cutoffs they have, what they may not know, and folds that respect the horizon."""

import re
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pandas.testing import assert_frame_equal

from features.errors import TooLittleHistory
from features.load import Arrival
from features.tables import TABLES
from features.warehouse import Warehouse
from tests.features.worlds import arrow, at, line, link, tables_of, warehouse_of
from training.panel import MAX_CUTOFFS, MIN_HISTORY_DAYS, Panel, build_panel, forward_folds
from training.targets import CHURN_90D

DAY, MICROSECOND = pd.Timedelta(days=1), pd.Timedelta(microseconds=1)
HORIZON = 90 * DAY


@pytest.fixture(scope="module")
def as_of(end):
    """In the middle of the facts: there is a future to look at."""
    return end - 150 * DAY


@pytest.fixture(scope="module")
def panel(shop, as_of):
    return build_panel(shop, CHURN_90D, as_of)


def same(found: Panel, expected: Panel):
    assert_frame_equal(found.frame, expected.frame, check_exact=True)
    np.testing.assert_array_equal(found.y, expected.y)


def loaded(path, tables, received_at=datetime(2030, 1, 1), **more):
    warehouse = Warehouse(path)
    warehouse.load(tables, Arrival("delivery", str(path), received_at, **more), timezone="UTC")
    return warehouse


def rows_before(tables, when):
    """The rows that had happened; rows without a business time stay."""
    limit = pa.scalar(when.to_pydatetime(), pa.timestamp("us"))
    return {
        name: table
        if (time := TABLES[name].time) is None
        else table.filter(pc.less(table[time].cast(pa.timestamp("us")), limit))
        for name, table in tables.items()
    }


def poison(retailer, when):
    """Orders of everybody at the as-of and later, a link of everybody to one, and all that was ordered corrected."""
    later = at((when + MICROSECOND).isoformat())
    customers = retailer.tables["customers"]["customer_id"].to_pylist()
    rows = [
        line(customer, time.isoformat(), 1e6, order_id=f"{customer}-{number}", currency="CNY")
        for customer in customers
        for number, time in enumerate((when, when + MICROSECOND, when + 40 * DAY))
    ] + [link(customer, "everybody", known_at=later) for customer in customers]
    corrected = [
        ("order_lines", row | {"kind": "return", "known_at": later})
        for row in rows_before(retailer.tables, when)["order_lines"].to_pylist()
    ]
    tables = tables_of(rows + corrected)
    return {name: arrow(name, filled) for name, filled in tables.items()}


# ------------------------------------------------------------------------------------------------- cutoffs


def test_no_label_ends_after_the_as_of_and_no_cutoff_lacks_history(panel, retailer, as_of):
    lines = retailer.tables["order_lines"].to_pandas()
    first = lines.loc[(lines.kind == "sale") & lines.customer_id.notna(), "paid_at"].min().tz_localize(None)
    cutoffs = panel.cutoffs
    assert cutoffs[-1] == as_of - HORIZON
    assert {after - before for before, after in pairwise(cutoffs)} == {28 * DAY}
    assert cutoffs[0] - 28 * DAY < first + MIN_HISTORY_DAYS * DAY <= cutoffs[0]
    assert len(panel.y) == len(panel.frame)
    assert panel.frame["orders_365d"].min() >= 1


def test_a_declared_lag_ends_labels_earlier(tmp_path):
    rows = [line("ann", f"2024-{month:02}-01") for month in range(1, 13)]
    tables = {"order_lines": arrow("order_lines", tables_of(rows)["order_lines"]).drop(["known_at"])}
    warehouse = loaded(tmp_path / "w.duckdb", tables, lag_us=5 * 86_400_000_000)
    assert build_panel(warehouse, CHURN_90D, pd.Timestamp("2024-12-31")).cutoffs[-1] == pd.Timestamp(
        "2024-09-27"  # 95 days before
    )


def test_two_years_of_cutoffs_at_most(tmp_path):
    rows = [line("ann", f"{year}-{month:02}-01") for year in range(2018, 2025) for month in range(1, 13)]
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of(rows))
    cutoffs = build_panel(warehouse, CHURN_90D, pd.Timestamp("2024-12-31")).cutoffs
    assert len(cutoffs) == MAX_CUTOFFS == 26
    assert cutoffs[-1] - cutoffs[0] == 25 * 28 * DAY


# ------------------------------------------------------------------------------------------------- the future


def test_the_future_need_not_have_been(panel, retailer, as_of, tmp_path):
    past = loaded(tmp_path / "past.duckdb", rows_before(retailer.tables, as_of))
    same(build_panel(past, CHURN_90D, as_of), panel)


def test_the_future_changes_nothing(panel, retailer, as_of, tmp_path):
    warehouse = loaded(tmp_path / "w.duckdb", retailer.tables)
    report = warehouse.load(poison(retailer, as_of), Arrival("poison", "poison", datetime(2031, 1, 1)))
    assert not report.reasons
    assert min(table.new + table.corrected for table in report.tables) > 1_000
    same(build_panel(warehouse, CHURN_90D, as_of), panel)
    # The poison is real: later on it shows.
    later = build_panel(warehouse, CHURN_90D, as_of + 200 * DAY)
    assert (later.frame["customer_id"] == "everybody").any()


def test_an_old_order_that_became_known_after_the_as_of_changes_nothing(panel, retailer, as_of, tmp_path):
    warehouse = loaded(tmp_path / "w.duckdb", retailer.tables)
    old = line("c000001", "2021-01-01", known_at=at(as_of.isoformat()) + pd.Timedelta("1us"), currency="CNY")
    rows = arrow("order_lines", tables_of([old])["order_lines"])
    warehouse.load({"order_lines": rows}, Arrival("late", "late", datetime(2031, 1, 1)))
    same(build_panel(warehouse, CHURN_90D, as_of), panel)


# ------------------------------------------------------------------------------------------------- too little history


@pytest.fixture(scope="module")
def young(tmp_path_factory):
    """Two orders, the first on New Year's Day of 2024."""
    path = tmp_path_factory.mktemp("young") / "w.duckdb"
    return warehouse_of(path, tables_of([line("ann", "2024-01-01"), line("bob", "2024-02-01")]))


def test_too_little_history_says_what_is_there_and_what_is_needed(young):
    says = (
        r"training as of 2024-06-28 00:00:00 has 179 days of orders behind it and needs 180 "
        r"\(90 to look back, 90 to look ahead\): choose a later --as-of"
    )
    with pytest.raises(TooLittleHistory, match=says):
        build_panel(young, CHURN_90D, pd.Timestamp("2024-06-28"))


def test_just_enough_history_is_one_cutoff(young):
    panel = build_panel(young, CHURN_90D, pd.Timestamp("2024-06-29"))
    assert panel.cutoffs == [pd.Timestamp("2024-03-31")]
    assert panel.frame["customer_id"].tolist() == ["ann", "bob"]
    assert panel.y.tolist() == [1, 1]


def test_too_little_history_counts_the_declared_lag(tmp_path):
    rows = arrow("order_lines", tables_of([line("ann", "2024-01-01")])["order_lines"]).drop(["known_at"])
    warehouse = loaded(tmp_path / "w.duckdb", {"order_lines": rows}, lag_us=10 * 86_400_000_000)
    with pytest.raises(TooLittleHistory) as refused:
        build_panel(warehouse, CHURN_90D, pd.Timestamp("2024-07-04"))
    there, needed = map(int, re.search(r"has (\d+) days .* needs (\d+)", str(refused.value)).groups())
    assert (there, needed) == (185, 190)


def test_an_as_of_at_the_first_order_is_refused(young):
    says = r"needs orders before it; the first one in .* is at 2024-01-01 00:00:00: choose a later --as-of"
    with pytest.raises(TooLittleHistory, match=says):
        build_panel(young, CHURN_90D, pd.Timestamp("2024-01-01"))


def test_no_order_at_all_is_refused(tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([line(None, "2024-01-01")]))
    with pytest.raises(TooLittleHistory, match=r"the first one in .* is missing"):
        build_panel(warehouse, CHURN_90D, pd.Timestamp("2024-12-31"))


# ------------------------------------------------------------------------------------------------- folds


def test_folds_are_purged_by_the_horizon(panel):
    folds = list(forward_folds(panel, 99))
    cutoff = panel.frame["cutoff"]
    assert [fold.cutoff for fold in folds] == [at for at in panel.cutoffs if at - panel.cutoffs[0] >= HORIZON]
    for fold in folds:
        assert (cutoff[fold.train] + HORIZON).max() <= fold.cutoff
        # ... and by no more than that
        assert (cutoff[~fold.train] + HORIZON).min() > fold.cutoff
        assert set(cutoff[fold.validate]) == {fold.cutoff}
        assert fold.validate.sum() == (cutoff == fold.cutoff).sum()


def test_folds_by_hand():
    # Cutoffs 28 days apart, from day 0: 112 is the first with a label (of day 0) that had ended; at 196, day 84's had.
    days = [0, 28, 56, 84, 112, 140, 168, 196]
    cutoffs = [pd.Timestamp("2024-01-01") + day * DAY for day in days]
    panel = Panel(
        pd.DataFrame({"cutoff": cutoffs}), np.zeros(8, np.int8), CHURN_90D, pd.Timestamp("2025-01-01")
    )
    folds = [
        (days[int(np.flatnonzero(fold.validate)[0])], fold.train.sum()) for fold in forward_folds(panel, 99)
    ]
    assert folds == [(112, 1), (140, 2), (168, 3), (196, 4)]
    assert [fold.cutoff for fold in forward_folds(panel, 2)] == cutoffs[-2:]
    at_once = replace(panel, target=replace(CHURN_90D, horizon_days=28))
    assert [fold.train.sum() for fold in forward_folds(at_once, 99)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_short_panel_has_no_folds():
    cutoffs = [pd.Timestamp("2024-01-01") + day * DAY for day in (0, 28, 56, 84)]
    panel = Panel(
        pd.DataFrame({"cutoff": cutoffs}), np.zeros(4, np.int8), CHURN_90D, pd.Timestamp("2025-01-01")
    )
    assert list(forward_folds(panel, 6)) == []
