"""Metrics of spend by hand, against slow oracles, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from features.errors import InputError
from training.value.metrics import (
    coverage,
    decile_error,
    normalised_gini,
    spearman,
    spend_table,
    total_bias,
)


# Shares reached, best score first, trapezoids from (0, 0), less the diagonal's 1/2.
#   y = 6, 3, 1 in the order of the scores: reached .6, .9, 1: area (.3 + .75 + .95) / 3 - .5 = 1/6: perfect
#   scores the other way: .1, .4, 1: (.05 + .25 + .7) / 3 - .5 = -1/6
#   all tie: 0; first two tie: each 4.5: .45, .9, 1: (.225 + .675 + .95) / 3 - .5 = 7/60, over 1/6 = .7
@pytest.mark.parametrize(
    ("score", "gini"), [([3, 2, 1], 1.0), ([1, 2, 3], -1.0), ([5, 5, 5], 0.0), ([2, 2, 1], 0.7)]
)
def test_gini_by_hand(score, gini):
    assert normalised_gini([6, 3, 1], score) == pytest.approx(gini)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=3, max_size=12))
def test_gini_agrees_with_a_slow_mean_over_pairs(rows):
    """Gini = sum over pairs of (spent of the better scored - spent of the other) / (n^2 mean), ties counting nothing."""
    y, score = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if y.sum() == 0 or np.ptp(y) == 0:
        with pytest.raises(InputError):
            normalised_gini(y, score)
        return

    def slow(by):
        return sum(y[i] - y[j] for i in range(len(y)) for j in range(len(y)) if by[i] > by[j])

    assert normalised_gini(y, score) == pytest.approx(slow(score) / slow(y), abs=1e-12)


@given(st.lists(st.tuples(st.integers(-2, 5), st.integers(-3, 3)), min_size=3, max_size=30))
def test_spearman_agrees_with_scipy(rows):
    y, score = zip(*rows, strict=True)
    if len(set(y)) > 1 and len(set(score)) > 1:
        assert spearman(y, score) == pytest.approx(stats.spearmanr(y, score).statistic, abs=1e-12)


def test_table_by_hand():
    table = spend_table([0, 2, 4, 10], [1, 1, 5, 7], bins=2)
    assert table.mean_predicted.tolist() == [1.0, 6.0]
    assert table.mean_spent.tolist() == [1.0, 7.0]
    assert table.n.tolist() == [2, 2]


def test_decile_error_by_hand():
    # tenths of one row each: off by 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, in the mean 1.2, over a mean spend of 5
    assert decile_error([0] * 5 + [10] * 5, [2, 1, 1, 1, 1, 9, 9, 9, 9, 12]) == pytest.approx(0.24)


def test_bias_and_coverage_by_hand():
    assert total_bias([10.0, -2.0], [3.0, 3.0]) == pytest.approx(-0.25)
    shares = coverage([0.0, 5.0, 5.0, 9.0], [0.0, 5.0, 6.0, 1.0], [0.0, 8.0, 7.0, 8.0])
    assert (shares.below, shares.within, shares.above) == (0.25, 0.5, 0.25)


def test_row_order_does_not_matter():
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 4, 50).astype(float), rng.integers(1, 5, 50).astype(float)
    mixed = rng.permutation(50)
    for metric in (normalised_gini, spearman, decile_error, total_bias):
        assert metric(y[mixed], p[mixed]) == pytest.approx(metric(y, p), abs=1e-12)


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda: normalised_gini([0, 0], [1, 2]), "add up to more than 0"),
        (lambda: normalised_gini([1, 2], [1]), r"shapes \(2,\) and \(1,\)"),
        (lambda: spearman([1, 2], [1, np.nan]), "1 that are not"),
        (lambda: spearman([1, 1], [1, 2]), "all rows are alike"),
        (lambda: spend_table([1, 2], [1, 2]), "cannot fill 10 bins"),
        (lambda: total_bias([0, 0], [1, 2]), "add up to more than 0"),
        (lambda: decile_error([0] * 10, [1] * 10), "add up to more than 0"),
        (lambda: coverage([1], [2], [1]), "end below where they begin"),
        (lambda: total_bias([], []), "one row or more"),
    ],
)
def test_what_they_refuse(use, says):
    with pytest.raises(InputError, match=says):
        use()
