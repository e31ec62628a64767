"""Comparisons: figures by hand, the names they are tracked under, and who is drawn again."""

import json

import numpy as np
import pytest

from training.evaluate import compare, compare_timing
from training.metrics import ece_floor, expected_calibration_error, lift_at
from training.timing import Waiting


def world(n, seed=0):
    """Outcomes, the probabilities they were drawn from, and the same with a good deal of noise."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0.0, 1.5, n)
    p, noisy = (1 / (1 + np.exp(-score)) for score in (log_odds, 0.7 * (log_odds + rng.normal(0.0, 1.5, n))))
    return (rng.random(n) < p).astype(np.int8), p, noisy


@pytest.fixture(scope="module")
def comparison():
    y, p, noisy = world(1_200)
    return compare(y, p, noisy, np.arange(1_200) // 3)


def test_by_hand():
    # The model is right by 3 to 1 about everybody; the baseline says 1/2 to all: AUC 1 and 1/2, logloss log 4/3 and log 2.
    y = np.tile([0, 1], 50).astype(np.int8)
    found = compare(y, np.where(y == 1, 0.75, 0.25), np.full(100, 0.5), np.arange(100))
    assert (found.rows, found.customers, found.churn_share) == (100, 100, 0.5)
    assert (found.model.auc.estimate, found.baseline.auc.estimate) == (1.0, 0.5)
    assert found.auc_difference.estimate == 0.5
    assert found.auc_difference.standard_error == 0.0  # right and undecided in every draw
    assert found.model.log_loss.estimate == pytest.approx(np.log(4 / 3))
    assert found.log_loss_difference.estimate == pytest.approx(np.log(4 / 3) - np.log(2))
    assert found.model.ece == pytest.approx(0.25)
    assert found.baseline.ece == 0.0
    assert (found.model.lift_10pct, found.baseline.lift_10pct) == (2.0, 1.0)
    assert found.model.mean_predicted == 0.5


def test_the_figures_are_the_metrics(comparison):
    y, p, noisy = world(1_200)
    for figures, q in ((comparison.model, p), (comparison.baseline, noisy)):
        assert figures.ece == expected_calibration_error(y, q)
        assert figures.lift_10pct == lift_at(y, q, 0.1)
        assert figures.mean_predicted == q.mean()
        assert figures.ece_floor == pytest.approx(ece_floor(q, np.random.default_rng(5)), rel=0.2)
        assert figures.auc.low < figures.auc.estimate < figures.auc.high
    assert comparison.auc_difference.estimate == pytest.approx(
        comparison.model.auc.estimate - comparison.baseline.auc.estimate
    )
    assert comparison.model.ece < comparison.model.ece_floor  # it is the truth


def test_the_difference_is_surer_than_the_figures(comparison):
    # Paired: what both find hard cancels out.
    assert comparison.auc_difference.standard_error < np.hypot(
        comparison.model.auc.standard_error, comparison.baseline.auc.standard_error
    )
    assert comparison.log_loss_difference.high < 0 < comparison.auc_difference.low


def test_customers_are_what_is_drawn_again(comparison):
    # Each customer four times over is no more evidence than once: rows on their own would halve the standard error.
    y, p, noisy = (np.repeat(column, 4) for column in world(600, seed=1))
    by_customer = compare(y, p, noisy, np.repeat(np.arange(600), 4))
    by_row = compare(y, p, noisy, np.arange(2_400))
    assert (by_customer.rows, by_customer.customers) == (2_400, 600)
    assert comparison.customers == 400
    # 200 draws know a standard error within a twentieth or so
    assert by_customer.model.auc.standard_error == pytest.approx(2 * by_row.model.auc.standard_error, rel=0.3)


def test_names_that_figures_are_tracked_under(comparison):
    flat = comparison.flat()
    names = ["auc", "log_loss", "ece", "ece_floor", "lift_10pct"]
    assert list(flat) == ["rows", "churn_share", *names, *(f"mbg_nbd_{name}" for name in names)]
    assert all(type(value) is float for value in flat.values())
    assert flat["rows"] == 1_200.0
    assert flat["auc"] == comparison.model.auc.estimate
    assert flat["mbg_nbd_log_loss"] == comparison.baseline.log_loss.estimate
    assert flat["mbg_nbd_lift_10pct"] == comparison.baseline.lift_10pct


def test_plain_data_goes_into_a_file(comparison):
    data = json.loads(json.dumps(comparison.to_dict()))
    assert data["customers"] == 400
    assert data["model"]["auc"]["estimate"] == comparison.model.auc.estimate
    assert set(data["auc_difference"]) == {"estimate", "low", "high", "standard_error"}


def test_the_same_seed_the_same_intervals():
    y, p, noisy = world(300, seed=2)
    first, again, other = (compare(y, p, noisy, np.arange(300), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.model.auc.estimate == other.model.auc.estimate
    assert first.model.auc.standard_error != other.model.auc.standard_error


# ------------------------------------------------------------------------------------------------- time of the next order


@pytest.fixture
def timing():
    """Two customers, one row each: one orders on day 10, one never; F at the ends of the bins up to 90 days."""
    step = np.array([0, 1, 1, 1, 1, 1, 1, 1.0])  # sure of an order between days 7 and 14
    model, baseline = np.array([step, 0 * step]), np.array([step, step])
    return compare_timing(
        Waiting(np.array([10.0, np.nan]), model, baseline, np.full((2, 8), 0.5)), np.array(["a", "b"])
    )


def test_timing_by_hand(timing):
    """The model is right. The baseline is wrong about the second: 0 at day 7, 1 from day 14: 3.5 + 76 of 83 days."""
    assert (timing.rows, timing.customers) == (2, 2)
    assert timing.observed == (0, 0.5, 0.5, 0.5, 0.5)
    assert timing.model.predicted == (0, 0.5, 0.5, 0.5, 0.5)
    assert timing.baseline.predicted == (0, 1, 1, 1, 1)
    assert timing.calibration_error == 0
    assert timing.model.integrated_brier.estimate == 0
    assert timing.baseline.integrated_brier.estimate == pytest.approx(79.5 / 83 / 2)
    assert timing.kaplan_meier.integrated_brier.estimate == pytest.approx(0.25)
    assert timing.difference_from_baseline.estimate == pytest.approx(-79.5 / 83 / 2)
    assert timing.difference_from_kaplan_meier.estimate == pytest.approx(-0.25)


def test_timing_figures_have_names_of_their_own(timing, comparison):
    flat = timing.flat()
    assert not set(flat) & set(comparison.flat())
    assert flat["mbg_nbd_integrated_brier"] == timing.baseline.integrated_brier.estimate
    assert (flat["ordered_14d_predicted"], flat["ordered_7d_observed"]) == (0.5, 0)
    assert json.loads(json.dumps(timing.to_dict()))["kaplan_meier"]["integrated_brier"]["estimate"] == 0.25


def test_timing_is_judged_by_customers():
    rng = np.random.default_rng(0)
    days, p = rng.exponential(60, 300), np.sort(rng.random((300, 8)), axis=1)
    waiting = Waiting(days, p, p / 2, np.full((300, 8), 0.5))
    by_row = compare_timing(waiting, np.arange(300)).model.integrated_brier
    twice = Waiting(*(np.concatenate([part, part]) for part in (days, p, p / 2, waiting.kaplan_meier)))
    doubled = compare_timing(twice, np.tile(np.arange(300), 2)).model.integrated_brier
    assert doubled.estimate == pytest.approx(by_row.estimate)
    assert doubled.standard_error == pytest.approx(by_row.standard_error, rel=0.3)
