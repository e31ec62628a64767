"""Metrics by hand, against scikit-learn, and against slow obvious loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from features.errors import InputError
from training.metrics import (
    auc,
    brier,
    calibration_table,
    ece_floor,
    expected_calibration_error,
    integrated_brier,
    lift_at,
    log_loss,
)

# A few values only, so that ties are the rule.
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])), min_size=1, max_size=40
)


def slow_auc(y, score):
    pairs = [
        (s > t) + 0.5 * (s == t)
        for a, s in zip(y, score, strict=True)
        if a
        for b, t in zip(y, score, strict=True)
        if not b
    ]
    return sum(pairs) / len(pairs)


@given(ROWS)
def test_auc_counts_pairs(rows):
    y, score = np.array(rows).T
    if 0 < y.sum() < len(y):
        assert auc(y, score) == pytest.approx(slow_auc(y, score), abs=1e-12)
        assert auc(y, score) == pytest.approx(1 - auc(y, -score), abs=1e-12)
    else:
        with pytest.raises(InputError, match="AUC needs both classes"):
            auc(y, score)


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(3)
    p = rng.beta(2, 1, 4_000).round(3)
    y = rng.random(4_000) < p
    assert auc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert log_loss(y, p) == pytest.approx(sklearn_log_loss(y, p), rel=1e-9)
    assert brier(y, p) == pytest.approx(brier_score_loss(y, p), rel=1e-12)


def test_a_certain_error_costs_36_and_certain_truth_nothing():
    assert log_loss([1], [0.0]) == pytest.approx(-np.log(2.0**-52))
    assert log_loss([0], [1.0]) == pytest.approx(-np.log(2.0**-52))
    assert log_loss([1, 0], [1.0, 0.0]) == pytest.approx(0.0, abs=1e-15)


def test_brier_by_hand():
    # (0.2^2 + 0.7^2 + 0.5^2) / 3 = (0.04 + 0.49 + 0.25) / 3
    assert brier([1, 0, 1], [0.8, 0.7, 0.5]) == pytest.approx(0.26)


@pytest.mark.parametrize(
    ("share", "lift"),
    [
        (0.1, 2.5),  # one place, to the positive at 0.9: 1 in 1 against 4 in 10
        (0.2, 1.875),  # the second place is shared by four at 0.8, two of them positive: (1 + 0.5) / 2 / 0.4
        (0.5, 1.5),  # all four have a place: 3 / 5 / 0.4
        (0.15, 25 / 12),  # a place and a half: (1 + 0.5 * 0.5) / 1.5 / 0.4
        (1.0, 1.0),
    ],
)
def test_lift_by_hand(share, lift):
    y = [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    score = [0.9, 0.8, 0.8, 0.8, 0.8, 0.3, 0.2, 0.2, 0.1, 0.1]
    assert lift_at(y, score, share) == pytest.approx(lift)
    assert lift_at(y[::-1], score[::-1], share) == pytest.approx(lift)


def test_calibration_table_by_hand():
    y = [0, 0, 1, 0, 1, 1]
    p = [0.1, 0.3, 0.3, 0.3, 0.6, 0.8]
    # Two bins of three places. The ties at 0.3 fill the space from 1 to 4; the middle, 2.5, lies in bin 0.
    table = calibration_table(y, p, bins=2)
    assert_array_equal(table.n, [4, 2])
    assert_allclose(table.mean_predicted, [0.25, 0.7])
    assert_allclose(table.observed, [0.25, 1.0])
    assert expected_calibration_error(y, p, bins=2) == pytest.approx(4 / 6 * 0.0 + 2 / 6 * 0.3)


@pytest.mark.parametrize(
    ("p", "bins", "n"),
    [
        (np.arange(20) / 20, 10, [2] * 10),
        ([0.5] * 7, 10, [7]),  # everybody alike: one bin
        (np.arange(23) / 23, 10, [2, 3, 2, 2, 2, 3, 2, 2, 3, 2]),  # middles i + 0.5: floor(10 (2i + 1) / 46)
        ([0.2, 0.4, 0.6], 10, [1, 1, 1]),  # more bins than rows
        ([0.1, 0.5, 0.5, 0.9], 2, [1, 3]),  # the middle 2 of the tie is the edge itself: the upper bin
        ([0.3, 0.9], 1, [2]),
    ],
)
def test_bins_have_equal_mass_and_never_part_ties(p, bins, n):
    assert_array_equal(calibration_table(np.arange(len(p)) % 2, p, bins).n, n)


def slow_ece(y, p, bins):
    n, in_bin = len(p), {}
    for outcome, value in zip(y, p, strict=True):
        smaller, equal = sum(q < value for q in p), sum(q == value for q in p)
        in_bin.setdefault(bins * (2 * smaller + equal) // (2 * n), []).append(outcome - value)
    return sum(abs(sum(gaps)) for gaps in in_bin.values()) / n


@given(ROWS, st.integers(1, 12), st.randoms(use_true_random=False))
def test_ece_agrees_with_a_loop_in_any_order(rows, bins, random):
    y, p = np.array(rows).T
    expected = slow_ece(y, p, bins)
    assert expected_calibration_error(y, p, bins) == pytest.approx(expected, abs=1e-12)
    random.shuffle(rows)
    assert expected_calibration_error(*np.array(rows).T, bins) == pytest.approx(expected, abs=1e-12)


def test_the_floor_is_what_a_perfect_model_reaches():
    rng = np.random.default_rng(8)
    p = rng.beta(3, 2, 1_500)
    floor = ece_floor(p, np.random.default_rng(0), draws=400)
    slow = [expected_calibration_error(rng.random(1_500) < p, p) for _ in range(400)]
    assert floor == pytest.approx(np.quantile(slow, 0.95), rel=0.05)
    below = np.mean([expected_calibration_error(rng.random(1_500) < p, p) <= floor for _ in range(400)])
    assert below == pytest.approx(0.95, abs=0.035)  # three standard errors
    assert ece_floor(np.array([0.0, 1.0]), rng) == 0.0


def test_the_floor_depends_on_neither_blocks_nor_row_order():
    n = 50_001  # 200 draws of so many rows take three blocks
    p = np.random.default_rng(1).random(n).round(2)
    floor = ece_floor(p[::-1], np.random.default_rng(2))
    draws = np.random.default_rng(2).random((200, n)) < np.sort(p)
    slow = [expected_calibration_error(y, np.sort(p)) for y in draws]
    assert floor == pytest.approx(np.quantile(slow, 0.95), rel=1e-9)
    assert floor == ece_floor(p, np.random.default_rng(2))


@pytest.mark.parametrize("metric", [auc, log_loss, brier, expected_calibration_error, calibration_table])
@pytest.mark.parametrize(
    ("y", "p", "says"),
    [
        ([0, 1], [0.1, 0.2, 0.3], r"shapes \(2,\) and \(3,\)"),
        ([0, 2], [0.1, 0.2], "must be 0 or 1, got 2 in 1 of 2 rows"),
        ([0, np.nan], [0.1, 0.2], "must be 0 or 1, got nan"),
        ([0, 1], [0.1, np.nan], "in 1 "),
        ([], [], "no rows|one or more"),
        ([[0, 1]], [[0.1, 0.2]], "equally long|one dimension"),
    ],
)
def test_unusable_input_is_refused(metric, y, p, says):
    with pytest.raises(InputError, match=says):
        metric(y, p)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(p):
    for metric in (log_loss, brier, expected_calibration_error):
        with pytest.raises(InputError, match=f"got {p:g} in 1 rows"):
            metric([0, 1], [0.5, p])
    with pytest.raises(InputError, match="within"):
        ece_floor([p], np.random.default_rng(0))


def test_the_integrated_brier_is_the_area_under_the_brier_scores():
    """Against a slow integral over a fine grid of what is linear between the ends."""
    rng = np.random.default_rng(0)
    ends = np.array([7.0, 14.0, 30.0, 90.0])
    p = np.sort(rng.random((20, 4)), axis=1)
    days = np.where(rng.random(20) < 0.3, np.nan, rng.choice([1.0, 7.0, 13.9, 14.0, 50.0, 90.0, 200.0], 20))
    fine = np.linspace(7, 90, 83_001)
    for row, found in enumerate(integrated_brier(days, p, ends)):
        at_ends = [brier([int(days[row] < end)], [p[row, k]]) for k, end in enumerate(ends)]
        assert found == pytest.approx(np.interp(fine, ends, at_ends).mean(), abs=1e-5)


def test_an_event_at_an_end_comes_after_it():
    assert integrated_brier([14.0], [[0.0, 0.0, 1.0]], [7, 14, 21]).tolist() == [0.0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: lift_at([0, 1], [0.1, 0.2], 0.0), "share must be above 0"),
        (lambda: lift_at([0, 1], [0.1, 0.2], 1.1), "share must be above 0"),
        (lambda: lift_at([0, 0], [0.1, 0.2], 0.5), "none of the 2 customers is a positive"),
        (lambda: calibration_table([0, 1], [0.1, 0.2], 0), "bins must be at least 1"),
        (lambda: ece_floor([0.5], np.random.default_rng(0), draws=0), "draws must be at least 1"),
        (lambda: ece_floor([0.5], np.random.default_rng(0), quantile=1.5), "quantile within"),
        (lambda: integrated_brier([1.0], [[0.1, 0.2]], [7, 7]), "ends rising"),
        (lambda: integrated_brier([1.0], [[0.1]], [7]), "ends rising and two or more"),
        (lambda: integrated_brier([1.0, 2.0], [[0.1, 0.2]], [7, 14]), r"got \(2,\), \(1, 2\) and \(2,\)"),
        (lambda: integrated_brier([1.0], [[0.1, np.nan]], [7, 14]), "without NaN"),
    ],
)
def test_unusable_settings_are_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
