"""Gates: a table of verdicts by hand, and a planted leak that trips the alarm."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from training.evaluate import Comparison, Figures, TimingComparison, TimingFigures
from training.gates import GATES, LEAK_AUC, Evidence, Verdict, judge
from training.intervals import Difference, Interval

LOGLOSS, CHAMPION, AUC, ECE, TIMING, SLICES, FOLDS, LEAK = range(8)


@pytest.fixture(scope="module")
def few(prepared):
    """A fifth of the customers."""
    rows = (prepared.panel.frame["customer_id"] < "c000300").to_numpy()
    panel = replace(prepared.panel, frame=prepared.panel.frame[rows], y=prepared.panel.y[rows])
    parts = {name: getattr(prepared, name)[rows] for name in ("x", "start", "ahead", "level")}
    return replace(prepared, panel=panel, **parts)


def sure(value):
    return Interval(value, value, value, 0.0)


def figures(log_loss, ece, floor=0.02):
    return Figures(sure(0.8), sure(log_loss), ece, floor, 1.5, 0.5)


def comparison(*, log_loss=0.50, baseline=0.55, ece=0.03, floor=0.02, auc=0.02, auc_error=0.01):
    return Comparison(
        rows=1_000,
        customers=500,
        churn_share=0.5,
        model=figures(log_loss, ece, floor),
        baseline=figures(baseline, 0.04),
        auc_difference=Difference(auc, auc - 0.02, auc + 0.02, auc_error),
        log_loss_difference=Difference(log_loss - baseline, -0.1, 0.1, 0.01),
    )


def timing(integrated_brier=0.15, baseline=0.16):
    of = [
        TimingFigures(sure(value), (0.1, 0.2, 0.3, 0.4, 0.5)) for value in (integrated_brier, baseline, 0.2)
    ]
    difference = Difference(integrated_brier - baseline, -0.1, 0.1, 0.01)
    return TimingComparison(1_000, 500, (0.1, 0.2, 0.3, 0.4, 0.5), *of, difference, difference)


def differs(estimate, error=0.01):
    return Difference(estimate, estimate - 0.02, estimate + 0.02, error)


BETTER = differs(-0.01)


def evidence(few, waiting=None, *, slices=None, folds=None, champion=BETTER, **achieved):
    given = {"one": BETTER} if slices is None else slices
    cutoffs = {pd.Timestamp("2024-01-01"): BETTER} if folds is None else folds
    return Evidence(comparison(**achieved), waiting or timing(), few, given, cutoffs, champion)


VERDICTS = [
    # what the training achieved, the gate, its value, its bound, passed
    ({}, LOGLOSS, 0.50, 0.55, True),
    ({"log_loss": 0.55}, LOGLOSS, 0.55, 0.55, True),
    ({"log_loss": 0.551}, LOGLOSS, 0.551, 0.55, False),
    ({}, AUC, -0.02, 0.01, True),
    ({"auc": -0.009}, AUC, 0.009, 0.01, True),  # worse, but a tie
    ({"auc": -0.01}, AUC, 0.01, 0.01, True),
    ({"auc": -0.011}, AUC, 0.011, 0.01, False),
    ({}, ECE, 0.03, 0.05, True),
    ({"ece": 0.05}, ECE, 0.05, 0.05, True),
    ({"ece": 0.051}, ECE, 0.051, 0.05, False),
    ({"ece": 0.07, "floor": 0.08}, ECE, 0.07, 0.08, True),  # a perfect model might do no better
]


@pytest.mark.parametrize(("achieved", "gate", "value", "bound", "passed"), VERDICTS)
def test_verdicts_by_hand(few, achieved, gate, value, bound, passed):
    verdict = judge(evidence(few, **achieved))[gate]
    assert (verdict.value, verdict.bound) == pytest.approx((value, bound))
    assert verdict.passed is passed


@pytest.mark.parametrize(("value", "passed"), [(0.159, True), (0.16, True), (0.161, False)])
def test_the_time_of_the_next_order_is_no_worse_than_mbg_nbds(few, value, passed):
    verdict = judge(evidence(few, timing(value)))[TIMING]
    assert (verdict.value, verdict.bound, verdict.passed) == (value, 0.16, passed)


def test_one_verdict_a_gate_in_order(few):
    verdicts = judge(evidence(few))
    assert [verdict.name for verdict in verdicts] == [gate.name for gate in GATES]
    assert all(verdict.passed for verdict in verdicts)


@pytest.mark.parametrize(("estimate", "passed"), [(-0.1, True), (0.0199, True), (0.0201, False)])
def test_the_champion_may_be_lost_to_by_a_tie_and_the_margin(few, estimate, passed):
    verdict = judge(evidence(few, champion=differs(estimate, 0.01)))[CHAMPION]
    assert (verdict.value, verdict.passed) == (estimate, passed)
    assert verdict.bound == pytest.approx(0.02)


def test_without_a_champion_nothing_is_said_of_it(few):
    names = [verdict.name for verdict in judge(evidence(few, champion=None))]
    assert names == [gate.name for n, gate in enumerate(GATES) if n != CHAMPION]


@pytest.mark.parametrize(("place", "part"), [(SLICES, "slices"), (FOLDS, "folds")])
def test_one_part_that_is_surely_worse_is_enough(few, place, part):
    parts = {"good": differs(-0.05, 0.01), "perhaps": differs(0.019, 0.01)}
    assert judge(evidence(few, **{part: parts}))[place].passed
    verdict = judge(evidence(few, **{part: parts | {"bad": differs(0.03, 0.01)}}))[place]
    assert verdict.value == pytest.approx(0.01)
    assert not verdict.passed


def test_not_a_number_does_not_pass():
    assert not Verdict("gate", float("nan"), 1.0).passed


def leaked(few, column):
    """The training with one more column."""
    return replace(few, x=np.column_stack([few.x, column]))


def plant(y, how):
    """A column that knows the outcome."""
    rng = np.random.default_rng(0)
    columns = {
        "the label": y.astype(float),
        "the label, the other way round": 1.0 - y,
        "null for those who stayed": np.where(y == 1, rng.random(len(y)), np.nan),
        "right 99 times in 100": np.where(rng.random(len(y)) < 0.99, y, 1 - y) + rng.normal(0, 1e-3, len(y)),
    }
    return columns[how]


@pytest.mark.parametrize(
    "how",
    [
        "the label",
        "the label, the other way round",
        "null for those who stayed",
        "right 99 times in 100",
    ],
)
def test_a_planted_leak_trips_the_alarm(few, how):
    verdict = judge(evidence(leaked(few, plant(few.panel.y, how))))[LEAK]
    assert not verdict.passed
    assert verdict.bound == LEAK_AUC < verdict.value <= 1.0


def test_our_features_trip_no_alarm(few):
    honest = judge(evidence(few))[LEAK]
    assert 0.6 < honest.value < 0.85
    # A column without a single difference and one of noise add nothing.
    noise = np.random.default_rng(1).random(len(few.panel.y))
    for column in (np.full(len(noise), 3.0), np.full(len(noise), np.nan), noise):
        assert judge(evidence(leaked(few, column)))[LEAK] == honest
