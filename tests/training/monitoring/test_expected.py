"""Expected figures: held against every possible outcome, against draws, and against what happens at a known retailer."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from training.components import churn_probability
from training.metrics import auc, expected_calibration_error, log_loss
from training.monitoring.expected import (
    ASSUMPTION,
    expected_auc,
    expected_log_loss,
    expected_performance,
    is_enough,
)

PROBABILITIES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.8, 1.0]), min_size=2, max_size=7)


def outcomes(p):
    """Every outcome that may come of p, and its probability."""
    for y in product((0, 1), repeat=len(p)):
        yield (
            np.array(y),
            float(np.prod([one if happened else 1 - one for one, happened in zip(p, y, strict=True)])),
        )


@given(PROBABILITIES)
def test_expected_auc_is_the_mean_over_all_outcomes_of_the_pairs_ranked_rightly(p):
    right = pairs = 0.0
    for y, weight in outcomes(p):
        here = y.sum() * (len(y) - y.sum())
        pairs += weight * here
        right += weight * here * auc(y, p) if here else 0.0
    if pairs > 1e-12:
        assert expected_auc(p) == pytest.approx(right / pairs)
    else:
        with pytest.raises(InputError, match="all churn for certain"):
            expected_auc(p)


@given(PROBABILITIES)
def test_expected_log_loss_is_the_mean_over_all_outcomes(p):
    mean = sum(weight * log_loss(y, p) for y, weight in outcomes(p) if weight)
    assert expected_log_loss(p) == pytest.approx(mean, abs=1e-12)


def test_by_hand():
    # of the two, the likelier one churns alone with 0.64, the other alone with 0.04
    assert expected_auc([0.2, 0.8]) == pytest.approx(0.64 / 0.68)
    assert expected_auc([0.3, 0.3, 0.3]) == pytest.approx(0.5)
    assert expected_log_loss([0.0, 1.0]) == 0.0
    assert expected_log_loss([0.5]) == pytest.approx(np.log(2))


def test_intervals_hold_what_calibrated_probabilities_bring():
    rng = np.random.default_rng(11)
    p = rng.beta(1.5, 1.0, 800)
    said = expected_performance(p, rng)
    assert said.rows == 800
    figures = {"churn_share": [], "auc": [], "log_loss": [], "ece": []}
    for _ in range(300):
        y = rng.random(800) < p
        figures["churn_share"].append(y.mean())
        figures["auc"].append(auc(y, p))
        figures["log_loss"].append(log_loss(y, p))
        figures["ece"].append(expected_calibration_error(y, p))
    for name, values in figures.items():
        interval = getattr(said, name)
        held = np.mean((interval.low <= np.array(values)) & (np.array(values) <= interval.high))
        assert held == pytest.approx(0.95, abs=0.04), name
        assert interval.estimate == pytest.approx(np.mean(values), abs=4 * np.std(values) / np.sqrt(300)), (
            name
        )


def test_overconfidence_is_not_seen_before_it_matures():
    """The declared weakness: a promise is made of the probabilities alone."""
    rng = np.random.default_rng(4)
    truth = rng.beta(2.0, 2.0, 4_000)
    boastful = truth**3 / (truth**3 + (1 - truth) ** 3)
    y = rng.random(4_000) < truth
    said = expected_performance(boastful, rng)
    assert log_loss(y, boastful) > said.log_loss.high
    assert auc(y, boastful) < said.auc.low
    assert "calibrated" in ASSUMPTION


# ------------------------------------------------------------------------------------------------- a known retailer


@pytest.fixture(scope="module")
def told(retailer, frame, end):
    """The population, its true probability of churn, and whether each stayed away."""
    truth = retailer.truth.to_pandas().set_index("customer_id").loc[frame["customer_id"]]
    back = truth["next_order_at"].dt.tz_localize(None) < end + pd.Timedelta(days=90)
    return 1.0 - truth["p_order_90d"].to_numpy(), (~back).to_numpy()


def test_true_probabilities_promise_what_happens(told):
    p, churned = told
    said = expected_performance(p, np.random.default_rng(1))
    happened = {"churn_share": churned.mean(), "auc": auc(churned, p), "log_loss": log_loss(churned, p)}
    for name, value in happened.items():
        interval = getattr(said, name)
        # one world, three figures: 95 % would fail one world in eight
        assert abs(value - interval.estimate) < 3.0 * interval.standard_error, name
    assert said.auc.standard_error < 0.01


def test_a_models_promise_is_near_what_the_truth_makes_of_it(told, model, frame):
    truth, _ = told
    p = churn_probability(model, frame)
    said = expected_performance(p, np.random.default_rng(1))
    # what the model's ranking is worth, free of the luck of one draw of outcomes
    drawn = [auc(np.random.default_rng(seed).random(len(p)) < truth, p) for seed in range(100)]
    assert said.auc.estimate == pytest.approx(np.mean(drawn), abs=0.03)
    loss = -np.mean(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    assert said.log_loss.estimate == pytest.approx(loss, abs=0.04)


# ------------------------------------------------------------------------------------------------- refusals


def test_ten_of_each_are_needed():
    assert is_enough([1] * 10 + [0] * 10)
    assert not is_enough([1] * 9 + [0] * 10)
    assert not is_enough([0.5] * 19)
    with pytest.raises(InputError, match=r"of 19 customers 9.5 are expected to churn and 9.5 not"):
        expected_performance([0.5] * 19, np.random.default_rng(1))


@pytest.mark.parametrize("p", [[], [0.5, float("nan")], [1.5], [[0.5]]])
def test_what_is_no_probability_is_refused(p):
    for figure in (expected_auc, expected_log_loss):
        with pytest.raises(InputError, match=r"within \[0, 1\]"):
            figure(p)
