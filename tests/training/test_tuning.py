"""Tuning: repeatable, never worse than the defaults on what it minimises, and its progress told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from training.calibration import PlattCalibration, apply
from training.churn import PARAMETERS, fold_predictions, levelled
from training.metrics import log_loss
from training.tuning import tune


def part(prepared, rows):
    panel = replace(prepared.panel, frame=prepared.panel.frame[rows], y=prepared.panel.y[rows])
    parts = {name: getattr(prepared, name)[rows] for name in ("x", "start", "ahead", "level")}
    return replace(prepared, panel=panel, **parts)


@pytest.fixture(scope="module")
def fewer(prepared):
    """A fifth of the customers."""
    return part(prepared, (prepared.panel.frame["customer_id"] < "c000300").to_numpy())


def objective(prepared, parameters):
    """Mean logloss over the forward folds, each at its clock's level, its slope as it is."""
    losses = []
    for _, rows, logits in fold_predictions(prepared, parameters):
        calibration = levelled(PlattCalibration(), logits, prepared.ahead[rows])
        losses.append(log_loss(prepared.panel.y[rows], apply(calibration, logits)))
    return np.mean(losses)


def test_repeatable_and_never_worse_than_the_defaults(fewer):
    told = []
    search = tune(fewer, 3, lambda *progress: told.append(progress))
    assert tune(fewer, 3) == search
    first = search.parameters
    assert first.keys() == PARAMETERS.keys()
    default = objective(fewer, PARAMETERS)
    assert [(done, of) for done, of, _ in told] == [(1, 3), (2, 3), (3, 3)]
    best = [value for _, _, value in told]
    assert best[0] == pytest.approx(default, abs=1e-12)  # the defaults are tried first
    assert best == sorted(best, reverse=True)
    assert objective(fewer, first) == pytest.approx(best[-1], abs=1e-12)
    assert min(value for _, value in search.trials) == best[-1]


def test_a_search_that_was_cut_off_goes_on_where_it_was(fewer, tmp_path):
    told = []
    tune(fewer, 2, journal=tmp_path / "tuning.log")
    again = tune(fewer, 3, lambda *progress: told.append(progress[0]), journal=tmp_path / "tuning.log")
    assert told == [3]
    assert len(again.trials) == 3
    # seeded alike it would try again what it has tried
    assert len({tuple(tried.items()) for tried, _ in again.trials}) == 3
    # ... and other rows are another search
    other = replace(fewer, x=fewer.x + 1.0)
    assert len(tune(other, 1, journal=tmp_path / "tuning.log").trials) == 1


def test_repeatable_where_the_defaults_do_not_win(fewer):
    """Outcomes that nothing predicts: the less the trees do, the better."""
    y = np.random.default_rng(0).permutation(fewer.panel.y)
    noise = replace(fewer, panel=replace(fewer.panel, y=y))
    first = tune(noise, 3)
    assert first.parameters != PARAMETERS
    assert tune(noise, 3) == first


def test_one_trial_is_the_defaults(fewer):
    assert tune(fewer, 1).parameters == PARAMETERS


def test_a_longer_search_stays_inside_its_bounds_and_gains(fewer):
    best = tune(fewer, 8).parameters  # long enough for the pruner to wake up
    assert objective(fewer, best) <= objective(fewer, PARAMETERS)
    assert best["seed"] == PARAMETERS["seed"]
    bounds = {
        "num_boost_round": (40, 400),
        "learning_rate": (0.01, 0.1),
        "num_leaves": (4, 31),
        "min_share_in_leaf": (0.002, 0.05),
        "lambda_l2": (0.1, 100.0),
        "feature_fraction": (0.2, 1.0),
        "bagging_fraction": (0.4, 1.0),
    }
    assert all(low <= best[name] <= high for name, (low, high) in bounds.items())
    assert all(type(best[name]) is int for name in ("num_boost_round", "num_leaves"))


def test_without_a_forward_fold_the_defaults_stand(prepared):
    """A history too short for a forward step can be trained on, so it must not fail when tuning is asked for."""
    first = prepared.panel.cutoffs[0]
    short = part(prepared, (prepared.panel.frame["cutoff"] < first + pd.Timedelta(days=90)).to_numpy())
    assert tune(short, 2).parameters == PARAMETERS
