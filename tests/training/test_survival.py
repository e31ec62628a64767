"""Hazards and the curves they make: two bins by hand, the agreement with churn at its extremes, quantiles, MBG/NBD."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from training.baselines import MBGNBD, probability_no_purchase
from training.survival import (
    BIN_ENDS,
    BIN_STARTS,
    HORIZONS_DAYS,
    anchored,
    baseline_hazards,
    baseline_log_survival,
    cumulative_hazard,
    days_until,
    hazard_logits,
    probability_within,
)

BINS = len(BIN_ENDS)
SHOP = MBGNBD(r=0.6, alpha=8.0, a=0.9, b=2.5)


def logits(*hazards, rest=0.0):
    """Log odds of these hazards in the first bins, and of next to nothing (or rest) in the others."""
    row = np.full(BINS, rest)
    row[: len(hazards)] = hazards
    with np.errstate(divide="ignore"):
        return (np.log(row) - np.log1p(-row))[None]


# ------------------------------------------------------------------------------------------------- bins


def test_the_bins():
    assert BIN_ENDS.tolist() == [7, 14, 21, 30, 45, 60, 75, 90, 120, 180, 270, 365]
    assert BIN_STARTS.tolist() == [0, 7, 14, 21, 30, 45, 60, 75, 90, 120, 180, 270]
    assert set(HORIZONS_DAYS) <= set(BIN_ENDS)
    with pytest.raises(ValueError, match="read-only"):
        BIN_ENDS[0] = 8


# ------------------------------------------------------------------------------------------------- by hand


def test_two_bins_by_hand():
    """A fifth orders in the first week, a half of the rest in the second: 1 - 0.8, then 1 - 0.8 x 0.5."""
    hazard = cumulative_hazard(logits(0.2, 0.5))
    assert_allclose(np.exp(-hazard[0, :2]), [0.8, 0.4], rtol=1e-12)
    assert_allclose(np.exp(-hazard[0, 2:]), 0.4, rtol=1e-5)
    # The churn model says 0.16 = 0.4 squared: every survival probability is squared.
    churn = np.array([0.16])
    p = probability_within(anchored(hazard, churn), churn)
    assert_allclose(p, [[1 - 0.64, 1 - 0.16, 1 - 0.16, 1 - 0.16, 1 - 0.16]], rtol=1e-5)
    # It says 0.8 = 0.4 ** g with g = log 0.8 / log 0.4.
    churn = np.array([0.8])
    p = probability_within(anchored(hazard, churn), churn)
    assert p[0, 0] == pytest.approx(1 - 0.8 ** (np.log(0.8) / np.log(0.4)), rel=1e-5)


def test_quantiles_by_hand():
    """The cumulative hazard is log 2 after 7 days and twice that after 14; in between it is linear."""
    hazard = np.concatenate([np.log(2) * np.array([1.0, 2.0]), np.full(BINS - 2, np.log(4) + 1e-9)])[None]
    assert days_until(hazard, 0.5)[0] == pytest.approx(7.0)  # half have ordered at the end of the first bin
    assert days_until(hazard, 0.75)[0] == pytest.approx(14.0)
    assert days_until(hazard, 1 - 2**-0.5)[0] == pytest.approx(3.5)
    assert days_until(hazard, 1 - 2**-1.5)[0] == pytest.approx(10.5)
    assert np.isnan(days_until(hazard, 0.76)[0])  # a quarter do not order within a year
    assert np.isnan(days_until(hazard, 0.99)[0])


def test_in_the_last_bin_and_beyond_it():
    hazard = np.concatenate([np.zeros(BINS - 1), [1.0]])[None]
    for share in (0.25, 0.75, 1.0):
        assert days_until(hazard, -np.expm1(-share))[0] == pytest.approx(270 + 95 * share)
    assert np.isnan(days_until(hazard, -np.expm1(-1.001))[0])


def test_nobody_has_no_curve():
    nothing = cumulative_hazard(np.empty((0, BINS)))
    assert anchored(nothing, np.empty(0)).shape == (0, BINS)
    assert probability_within(nothing, np.empty(0)).shape == (0, len(HORIZONS_DAYS))
    assert days_until(nothing, 0.5).shape == (0,)


# ------------------------------------------------------------------------------------------------- agreement with churn

EXTREMES = [0.0, 1e-12, 1e-9, 0.25, 0.5, np.nextafter(0.5, 0), 0.75, 1 - 1e-9, 1 - 1e-12, 1.0]
CHURN = st.one_of(st.sampled_from(EXTREMES), st.floats(0, 1))
HAZARD_LOGIT = st.one_of(
    st.floats(-40, 40), st.floats(allow_nan=False), st.sampled_from([-np.inf, np.inf, -15.0, 15.0, 0.0])
)


@given(arrays(np.float64, (3, BINS), elements=HAZARD_LOGIT), arrays(np.float64, 3, elements=CHURN))
def test_whatever_the_hazards_the_curve_agrees_with_churn(hazard_logits, churn):
    hazard = anchored(cumulative_hazard(hazard_logits), churn)
    p = probability_within(hazard, churn)
    assert_array_equal(p[:, -1], 1 - churn)
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p, axis=1) >= 0).all()
    assert np.isfinite(hazard).all()
    known = churn > 1e-300
    assert_array_equal(hazard[known, 7], -np.log(churn[known]))
    low, median, high = (days_until(hazard, share) for share in (0.1, 0.5, 0.9))
    for days in (low, median, high):
        assert ((days >= 0) & (days <= 365) | np.isnan(days)).all()
    assert not (median < low).any()
    assert not (high < median).any()
    assert not np.isnan(low[~np.isnan(median)]).any()
    assert not np.isnan(median[~np.isnan(high)]).any()


def test_rounding_takes_no_horizon_above_the_last():
    """Who orders at once or never, the hazard a few bits too high, as another machine's logarithm may make it."""
    churn = np.linspace(0.01, 0.99, 500)
    hazard = np.tile(-np.log(churn) * (1 + 1e-15), (BINS, 1)).T
    assert (-np.expm1(-hazard[:, 0]) > 1 - churn).any()
    assert_array_equal(probability_within(hazard, churn), np.tile(1 - churn, (len(HORIZONS_DAYS), 1)).T)


@given(arrays(np.float64, (3, BINS), elements=HAZARD_LOGIT), arrays(np.float64, 3, elements=CHURN))
def test_more_likely_than_not_within_the_horizon_means_expected_within_it(hazard_logits, churn):
    churn = np.where(np.abs(churn - 0.5) < 1e-12, 0.25, churn)  # on the edge rounding decides
    median = days_until(anchored(cumulative_hazard(hazard_logits), churn), 0.5)
    assert_array_equal(median <= 90, churn < 0.5)


@given(arrays(np.float64, (4, BINS), elements=st.floats(-20, 20)), arrays(np.float64, 4, elements=CHURN))
def test_a_row_alone_is_the_row_among_others(hazard_logits, churn):
    hazard = anchored(cumulative_hazard(hazard_logits), churn)
    for row in range(4):
        own = slice(row, row + 1)
        alone = anchored(cumulative_hazard(hazard_logits[own]), churn[own])
        assert_array_equal(alone, hazard[own])
        assert_array_equal(probability_within(alone, churn[own]), probability_within(hazard, churn)[own])
        assert_array_equal(days_until(alone, 0.5), days_until(hazard, 0.5)[own])


def test_what_agrees_already_is_left_as_it_is():
    hazard = cumulative_hazard(logits(*[0.1] * BINS))
    assert_allclose(anchored(hazard, np.exp(-hazard[:, 7])), hazard, rtol=1e-12)


# ------------------------------------------------------------------------------------------------- MBG/NBD

HISTORIES = (
    np.array([0.0, 0.0, 1.0, 12.0, 300.0, 5.0]),
    np.array([0.0, 0.0, 3.0, 50.0, 100.0, 10.0]),
    np.array([0.5, 52.0, 9.0, 51.0, 101.0, 100.0]),
)


def test_the_baseline_is_mbg_nbd():
    expected = probability_no_purchase(SHOP, *(part[:, None] for part in HISTORIES), BIN_ENDS / 7)
    assert_allclose(np.exp(baseline_log_survival(SHOP, HISTORIES)), expected, rtol=1e-9, atol=1e-15)


def test_the_baselines_hazards_make_its_curve():
    hazard = cumulative_hazard(hazard_logits(baseline_hazards(SHOP, HISTORIES)))
    assert_allclose(np.exp(-hazard), np.exp(baseline_log_survival(SHOP, HISTORIES)), rtol=1e-5, atol=1e-15)


def test_a_hazard_of_the_baseline_by_definition():
    """The second bin: P(purchase in days 7 to 14) / P(none before day 7)."""
    none = probability_no_purchase(SHOP, *(part[:, None] for part in HISTORIES), np.array([1.0, 2.0]))
    hazard = 1 - none[:, 1] / none[:, 0]
    assert_allclose(
        1 / (1 + np.exp(-hazard_logits(baseline_hazards(SHOP, HISTORIES))[:, 1])), hazard, rtol=1e-6
    )


def test_what_cannot_be_told_from_0_or_1_stays_finite():
    """Who surely comes daily, and who has surely left."""
    sure = (np.array([2000.0, 2000.0]), np.array([300.0, 10.0]), np.array([300.0, 300.0]))
    start = hazard_logits(baseline_hazards(SHOP, sure))
    assert np.isfinite(start).all()
    assert (start[0, 0], start[1, 0]) == (pytest.approx(6.4, abs=1.5), -15.0)
    assert np.isfinite(cumulative_hazard(start)).all()
