"""The season of value by hand, and found again in the made-up retailer."""

import numpy as np
import pandas as pd
import pytest

from training.baselines import MBGNBD, expected_purchases
from training.targets import future_value
from training.value.card import Season
from training.value.season import Pace, log_pace, read_pace, span_starts

AT = pd.Timestamp("2024-07-01")
NONE = pd.Timedelta(0)
MODEL = MBGNBD(r=1.0, alpha=4.0, a=0.5, b=3.0)
HISTORY = (np.array([3.0]), np.array([20.0]), np.array([22.0]))


def test_shift_by_hand():
    assert Season().shift(90) == 0.0
    # one day: the middle of it fades by exp(-.5 / 84), half of the level is kept
    assert Season(now=0.4).shift(1) == pytest.approx(0.2 * np.exp(-0.5 / 84))
    after = (0.1,) * 12 + (0.5,)
    assert Season(0.3, 0.3, after).shift(28) == pytest.approx(0.1)  # as last year: its level is no news
    assert Season(0.3, 0.1, after).shift(1) == pytest.approx(0.1 + 0.2 * np.exp(-0.5 / 84))
    # 13 spans are 364 days: the last holds for the 365th
    year = np.log((336 * np.exp(0.1) + 29 * np.exp(0.5)) / 365)
    assert Season(0.0, 0.0, after).shift(365) == pytest.approx(year)


def test_a_later_horizon_is_told_from_where_it_begins():
    assert Season(now=0.4).shift(1, 84) == pytest.approx(0.2 * np.exp(-84.5 / 84))
    after = tuple(np.arange(13) / 10)
    season = Season(0.3, 0.3, after)
    assert season.shift(28, 28) == pytest.approx(0.1)
    assert season.shift(28, 365) == pytest.approx(0.0)  # the same weeks again
    several = season.shift(28, np.array([28.9, 0.0]))
    assert several.tolist() == pytest.approx([0.1, 0.0])


def test_pace_by_hand():
    assert log_pace(30, 10.0) == pytest.approx(np.log(2.0))  # ten of each: 40 / 20
    assert log_pace(0, 0.0) == 0.0


def spans(orders):
    starts = span_starts(AT, NONE)
    return Pace(dict.fromkeys(starts[: len(orders)], HISTORY), dict(zip(starts, orders, strict=False)))


def test_season_by_hand():
    expected = float(expected_purchases(MODEL, *HISTORY, 4.0)[0])
    told = [log_pace(k, expected) for k in range(15)]
    season = spans(range(15)).season(AT, MODEL, NONE)
    assert season.now == pytest.approx((told[0] + told[1]) / 2)  # the spans 28 and 56 days back
    assert season.then == pytest.approx((told[13] + told[14]) / 2)  # 392 and 420 days back
    assert season.after == pytest.approx(told[12::-1])  # from 364 days back on, in the order of time
    assert spans(range(14)).season(AT, MODEL, NONE) == Season(season.now)
    assert spans(range(1)).season(AT, MODEL, NONE) == Season()
    assert span_starts(AT, pd.Timedelta(days=3))[0] == AT - pd.Timedelta(days=31)


def test_reads_what_happened(shop, prepared, end):
    lag = pd.Timedelta(shop.largest_lag())
    starts = span_starts(end, lag)
    pace = read_pace(shop, [end], starts[1] - pd.Timedelta(days=28), end)
    assert sorted(pace.history) == sorted(starts[:2])  # the others lack a span of history before them
    start = starts[1]
    rows = prepared.panel.frame[["customer_id"]].drop_duplicates().assign(cutoff=start)
    orders = future_value(shop, rows, 28, known_by=end).orders.sum()
    assert 0.8 * orders < pace.orders[start] <= 1.2 * orders
    assert len(pace.history[start][0]) < 10_000
    assert read_pace(shop, [end], end, end).season(end, prepared.baseline, lag) == Season()
