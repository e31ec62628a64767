"""The seasonal clock: by hand, honest about what it was told, and right where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from features.build import build
from features.load import Arrival
from features.warehouse import Warehouse
from training.baselines import MBGNBD, probability_no_purchase
from training.clock import EVEN, SPAN_DAYS, Clock, Spans, realised_speed, spans_before
from training.components import history_weeks
from training.histories import fit_baselines, fit_clocks, read_spans
from training.targets import next_orders

SHOP = MBGNBD(r=0.5, alpha=10.0, a=1.0, b=2.5)
AT = pd.Timestamp("2024-06-03")
NO_LAG = pd.Timedelta(0)
LONG_AGO = AT - pd.Timedelta(days=600)
HISTORY = (np.array([0.0, 2.0, 7.0]), np.array([0.0, 9.0, 30.0]), np.array([5.0, 12.0, 33.0]))


# ------------------------------------------------------------------------------------------------- by hand


def test_an_even_clock_says_nothing():
    assert_array_equal(EVEN.log_speed([0.0, 45.0, 400.0]), 0.0)
    assert_array_equal(EVEN.shift(90.0, np.array([0.0, 30.0])), 0.0)


def test_a_level_fades_and_is_halved_where_no_last_year_tells_it_from_the_season():
    assert_allclose(Clock(level=-0.4).log_speed([0.0, 84.0]), [-0.2, -0.2 / np.e])
    assert_allclose(Clock(-0.4, (0.0,) * 13, evidence=1.0).log_speed([0.0, 84.0]), [-0.4, -0.4 / np.e])


def test_a_season_comes_back_by_three_quarters_span_by_span_and_year_by_year():
    clock = Clock(0.0, tuple(np.arange(13) / 10), evidence=1.0)
    days = [0.0, 27.99, 28.0, 363.99, 364.0]
    assert_allclose(clock.log_speed(days), np.multiply(0.75, [0.0, 0.0, 0.1, 1.2, 0.0]))
    assert_allclose(Clock(0.0, (1.0,) * 13, evidence=0.5).log_speed([3.0]), [0.375])


def test_a_horizons_shift_is_the_log_of_its_mean_speed():
    clock = Clock(0.0, (np.log(2.0) / 0.75, np.log(4.0) / 0.75) + (0.0,) * 11, evidence=1.0)
    assert clock.shift(56.0) == pytest.approx(np.log(3.0))
    assert clock.shift(28.0, 28.0) == pytest.approx(np.log(4.0))
    # told from whole days ahead, each row by itself
    several = clock.shift(28.0, np.array([28.9, 0.0, 28.0]))
    assert_allclose(several, [np.log(4.0), np.log(2.0), np.log(4.0)])
    assert_array_equal(several[2], clock.shift(28.0, np.array([28.0]))[0])


def test_the_spans_that_a_clock_looks_at():
    starts = spans_before(AT, pd.Timedelta(days=2))
    assert len(starts) == 15
    assert starts[0] == AT - pd.Timedelta(days=30)
    assert starts[12] == AT - pd.Timedelta(days=2 + 364)  # the one that begins a year ago


def spans(ordered, repeats, *, log_from=LONG_AGO, known=15):
    """Spans in which three customers are active; ordered and repeats by how many spans ago."""
    starts = spans_before(AT, NO_LAG)
    return Spans(
        history=dict.fromkeys(starts[:known], HISTORY),
        ordered={start: ordered(k) for k, start in enumerate(starts, start=1)},
        repeats={start: repeats(k) for k, start in enumerate(starts, start=1)},
        log_from=log_from,
        lag=NO_LAG,
    )


def test_the_level_by_hand():
    expected = 2 * (1 - probability_no_purchase(SHOP, *HISTORY, 4.0)).sum()
    clock = spans(lambda k: {1: 3, 2: 1}.get(k, 0), lambda _: 0, known=14).clock(AT, SHOP)
    assert clock.level == pytest.approx(np.log((4 + 10) / (expected + 10)))
    assert (clock.season, clock.evidence) == ((), 0.0)


def test_the_season_by_hand():
    """A year ago 1 of the active ordered in each span but the first one ahead, in which all 3 did; repeats went from 90 to 190."""
    clock = spans(lambda k: 3 if k == 13 else 1, lambda k: 190 if k == 13 else 90).clock(AT, SHOP)
    expected = (1 - probability_no_purchase(SHOP, *HISTORY, 4.0)).sum()
    then = np.log((1 + 1 + 10) / (2 * expected + 10))
    first = np.log((3 + 10) / (expected + 10))
    other = np.log((1 + 10) / (expected + 10))
    assert clock.season[0] == pytest.approx(((first - then) + np.log(200 / 100)) / 2)
    assert_allclose(clock.season[1:], (other - then) / 2)
    assert len(clock.season) == 13


@pytest.mark.parametrize(("days", "evidence"), [(0, 0.0), (45, 0.5), (90, 1.0), (400, 1.0)])
def test_a_season_is_believed_as_far_as_there_is_a_log_before_it(days, evidence):
    first = spans_before(AT, NO_LAG)[-1] - pd.Timedelta(days=days)
    assert spans(lambda _: 1, lambda _: 9, log_from=first).clock(AT, SHOP).evidence == evidence


def test_without_the_last_two_spans_the_clock_is_even():
    assert spans(lambda _: 1, lambda _: 1, known=1).clock(AT, SHOP) == EVEN


# ------------------------------------------------------------------------------------------------- realised


def test_the_realised_speed_meets_the_mean():
    hazard = np.linspace(0.05, 2.0, 400)
    happened = np.random.default_rng(0).random(400) < 1 - np.exp(-hazard * 1.7)
    speed = realised_speed(hazard, happened)
    with_pseudo = (happened.sum() + 10 * (1 - np.exp(-hazard)).mean()) / 410
    assert (1 - np.exp(-hazard * np.exp(speed))).mean() == pytest.approx(with_pseudo, abs=1e-9)
    assert speed == pytest.approx(np.log(1.7), abs=0.25)


@given(st.lists(st.tuples(st.floats(1e-6, 5.0), st.booleans()), min_size=1, max_size=30))
def test_few_customers_move_the_speed_little_and_in_the_right_direction(rows):
    hazard, happened = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    speed = realised_speed(hazard, happened)
    assert -3.0 <= speed <= 3.0
    more = happened.sum() - (1 - np.exp(-hazard)).sum()
    assert speed * more >= -1e-6


# ------------------------------------------------------------------------------------------------- from a warehouse


@pytest.fixture(scope="module")
def read(shop, end):
    starts = spans_before(end, NO_LAG)
    return read_spans(shop, starts, end), starts


def test_spans_hold_what_happened_in_them(read, retailer):
    found, starts = read
    lines = retailer.tables["order_lines"].to_pandas()
    lines = lines[(lines["kind"] == "sale") & lines["customer_id"].notna()]
    lines["paid_at"] = lines["paid_at"].dt.tz_localize(None)
    orders = lines.groupby(["customer_id", "order_id"])["paid_at"].min().reset_index().sort_values("paid_at")
    again = orders[orders.groupby("customer_id").cumcount() > 0]["paid_at"]
    assert found.log_from == orders["paid_at"].min()
    for start in (starts[0], starts[5], starts[-1]):
        over = start + pd.Timedelta(days=SPAN_DAYS)
        assert found.repeats[start] == ((again >= start) & (again < over)).sum()
        year = orders[(orders["paid_at"] >= start - pd.Timedelta(days=365)) & (orders["paid_at"] < start)]
        inside = orders[(orders["paid_at"] >= start) & (orders["paid_at"] < over)]
        active = set(year["customer_id"])
        assert len(found.history[start][0]) == len(active)
        assert found.ordered[start] == len(active & set(inside["customer_id"]))


def test_nothing_at_or_after_the_cutoff_moves_a_clock(shop, retailer, end, tmp_path):
    """A clock of a past cutoff is the same in a warehouse that ends there."""
    cutoff = end - pd.Timedelta(days=112)
    baselines = fit_baselines(shop, [cutoff])
    lines = retailer.tables["order_lines"]
    kept = lines.filter(np.asarray(lines["paid_at"]) < np.datetime64(cutoff))
    warehouse = Warehouse(tmp_path / "w.duckdb")
    received = pd.Timestamp("2030-01-01").to_pydatetime()
    warehouse.load({"order_lines": kept}, Arrival("all", "all", received), timezone="UTC")
    whole = fit_clocks(shop, baselines, end)[cutoff]
    assert fit_clocks(warehouse, baselines, cutoff)[cutoff] == whole
    assert whole.level != 0.0


def test_a_log_of_weeks_has_an_even_clock(shop, end):
    first = end - pd.Timedelta(days=600)
    early = first + pd.Timedelta(days=40)
    assert fit_clocks(shop, {early: SHOP}, early) == {early: EVEN}
    assert read_spans(shop, [early], pd.Timestamp("2019-01-01")) is None


def test_the_made_up_retailers_season_is_seen(shop, end):
    """It peaks about 1 December: of the spans of the year to come one around that day is the fastest."""
    starts = spans_before(end, NO_LAG)
    found = read_spans(shop, starts, end)
    baseline = fit_baselines(shop, [end])[end]
    ahead = found.clock(end, baseline).season
    month = [(start + pd.Timedelta(days=14)).month for start in starts[:13][::-1]]
    assert month[int(np.argmax(ahead))] in (11, 12)


def test_histories_are_those_of_the_features(shop, end):
    start = spans_before(end, NO_LAG)[2]
    found = read_spans(shop, [start], end)
    frame = build(shop, [start])
    for ours, theirs in zip(found.history[start], history_weeks(frame), strict=True):
        assert_array_equal(ours, theirs)
    assert found.ordered[start] == (next_orders(shop, frame, SPAN_DAYS).days < SPAN_DAYS).sum()
