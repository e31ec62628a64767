"""The steps behind ``patron train`` and ``patron backtest``, end to end on a made-up retailer."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from features.build import build
from features.errors import InputError
from training.churn import PARAMETERS, forward_predictions
from training.components import churn_probability
from training.evaluate import SLICES
from training.metrics import auc, log_loss
from training.preparation import FOLDS
from training.registry import CHAMPION, PREVIOUS, Registry, model_name
from training.targets import CHURN_90D, labels
from training.workflow import backtest_origin, train_and_register

DAY = pd.Timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_redirection(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


# ------------------------------------------------------------------------------------------------- training


def test_a_training_is_judged_and_registered(trained, forward, shop, said):
    assert trained.registered.name == model_name(shop.settings().warehouse_id)
    assert trained.registered.version == "1"
    assert trained.comparison.rows == len(forward.y)
    assert trained.comparison.model.auc.estimate == auc(forward.y, forward.probability)
    assert trained.comparison.baseline.log_loss.estimate == log_loss(forward.y, forward.baseline_probability)
    assert [verdict.passed for verdict in trained.verdicts] == [True] * 7  # there was no champion before it
    assert trained.registered.models.churn.card.metrics == trained.comparison.flat()
    assert trained.registered.models.timing.card.metrics == trained.timing.flat()
    assert said == [
        "building features at the training cutoffs",
        "predicting forward, to judge and to calibrate",
        "fitting on all that is known",
        "predicting what will be spent",
        "registering the models",
    ]


@pytest.fixture(scope="module")
def early(shop, prepared, registry, tmp_path_factory):
    """A training when there was hardly enough history: no forward step, so no figures."""
    first = prepared.panel.cutoffs[0]
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        return train_and_register(
            shop, first + (28 + 90) * DAY, registry, pictures=tmp_path_factory.mktemp("early")
        )


def test_a_short_history_is_registered_without_figures(early, shop, trained, registry, end):
    assert early.comparison is early.timing is None
    assert early.verdicts == []
    card = early.registered.models.churn.card
    assert card.metrics == {}
    assert card.calibration.slope == 1.0
    assert card.calibration.intercept == pytest.approx(0.0, abs=1e-12)
    assert early.registered.name == trained.registered.name
    assert registry.get(trained.registered.name, "challenger", end).version == early.registered.version
    p = churn_probability(early.registered.models.churn, build(shop, [card.as_of]))
    assert ((p > 0) & (p < 1)).all()


def test_tuning_a_short_history_is_no_failure(shop, prepared, registry, tmp_path):
    as_of = prepared.panel.cutoffs[0] + (28 + 90) * DAY
    tuned = train_and_register(shop, as_of, registry, pictures=tmp_path, trials=1)
    assert tuned.registered.models.churn.card.parameters == PARAMETERS


def test_pictures_go_into_a_folder_that_is_made(shop, prepared, registry, tmp_path):
    as_of = prepared.panel.cutoffs[5] + 90 * DAY
    train_and_register(shop, as_of, registry, pictures=tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "calibration.png",
        "lift.png",
        "survival.png",
    ]


def test_a_second_training_is_held_against_the_champion_and_takes_its_place(shop, prepared, tmp_path):
    """Where the champion's as-of lies before the last folds, it is judged at them by outcomes that it has not seen."""
    registry = Registry(tmp_path)
    cutoffs = prepared.panel.cutoffs
    first = train_and_register(shop, cutoffs[-3], registry, pictures=tmp_path)
    name = first.registered.name
    second = train_and_register(
        shop, prepared.panel.as_of, registry, pictures=tmp_path, promote=True, trials=1
    )
    champion = next(one for one in second.verdicts if one.name.startswith("logloss over the champion's"))
    y, p, theirs = [], [], []
    for fold, cutoff in enumerate(cutoffs[-FOLDS:]):
        if cutoff < cutoffs[-3]:
            continue
        rows = (prepared.panel.frame["cutoff"] == cutoff).to_numpy()
        y.append(prepared.panel.y[rows])
        ahead = (cutoff - cutoffs[-3]) / DAY
        theirs.append(
            churn_probability(first.registered.models.churn, prepared.panel.frame[rows], ahead_days=ahead)
        )
        forward = forward_predictions(prepared, PARAMETERS)
        p.append(forward.probability[forward.fold == fold])
    y, p, theirs = (np.concatenate(parts) for parts in (y, p, theirs))
    assert champion.value == pytest.approx(log_loss(y, p) - log_loss(y, theirs), abs=1e-9)
    assert all(one.passed for one in second.verdicts)
    assert registry.get(name, CHAMPION, prepared.panel.as_of).version == "2"
    assert registry.promote(name, PREVIOUS) == "1"


# ------------------------------------------------------------------------------------------------- backtest


@pytest.fixture(scope="module")
def origin(end):
    return end - 100 * DAY


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def outcome(shop, origin, told):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SLICES, "nobody", "orders_all < 0")
        return backtest_origin(shop, origin, trials=1, say=told.append)


def test_an_origin_is_held_against_what_happened(outcome, shop, origin, told):
    population = build(shop, [origin])
    assert outcome.origin == origin
    assert_array_equal(outcome.y, labels(shop, population, CHURN_90D))
    assert outcome.model.shape == outcome.baseline.shape == outcome.y.shape
    assert outcome.comparison.rows == len(population) == outcome.comparison.customers
    assert outcome.comparison.model.auc.estimate == auc(outcome.y, outcome.model)
    assert outcome.comparison.baseline.log_loss.estimate == log_loss(outcome.y, outcome.baseline)
    # it is some good: the constant is the best there is, with hindsight
    constant = np.full(len(outcome.y), outcome.y.mean())
    assert log_loss(outcome.y, outcome.model) < log_loss(outcome.y, constant) - 0.05
    assert auc(outcome.y, outcome.model) > 0.7
    assert any(line.startswith("trial 1 of 1, logloss 0.") for line in told)


def test_slices_are_parts_of_the_population(outcome, shop, origin):
    population = build(shop, [origin])
    days, orders = population["days_since_last_order"], population["orders_all"]
    parts = {
        "bought in the last 90 days": days <= 90,
        "bought in the last 180 days": days <= 180,
        "one-time buyers": orders == 1,
        "repeat buyers": orders >= 2,
    }
    assert list(outcome.slices) == list(SLICES) == list(parts)  # "nobody" has no outcomes to compare
    for name, part in parts.items():
        rows = part.to_numpy()
        assert outcome.slices[name].rows == rows.sum()
        assert outcome.slices[name].churn_share == outcome.y[rows].mean()
        assert outcome.slices[name].model.auc.estimate == auc(outcome.y[rows], outcome.model[rows])
    assert outcome.slices["one-time buyers"].rows + outcome.slices["repeat buyers"].rows == len(outcome.y)


def test_the_model_of_an_origin_knows_nothing_after_it(outcome, shop, origin, registry, tmp_path):
    at_origin = train_and_register(shop, origin, registry, pictures=tmp_path).registered.models.churn
    p = churn_probability(at_origin, build(shop, [origin]))
    assert_allclose(outcome.model, p, rtol=1e-12)  # one trial is the defaults
    assert at_origin.card.as_of == origin.isoformat()


@pytest.mark.parametrize("days", [0, 30])
def test_an_origin_whose_horizon_is_not_over_is_refused(shop, end, days):
    """Who has not ordered yet has not churned yet: figures made of such outcomes would be wrong."""
    with pytest.raises(InputError, match=r"origin|horizon|90 days"):
        backtest_origin(shop, end - days * DAY)
