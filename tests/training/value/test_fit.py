"""The value model: hand-worked parts, a made-up retailer whose truth is known, and what must not move it."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from features.contract import current_contract
from features.errors import ContractError, ModelError, TooLittleHistory
from tests.features.worlds import line, tables_of, warehouse_of
from training.baselines import MBGNBD
from training.gamma_gamma import GammaGamma
from training.preparation import prepare
from training.targets import future_value
from training.value.card import Band, ValueCard, value_page
from training.value.fit import VALUE_PARAMETERS, forward_value, train_value
from training.value.forward import METRICS, ForwardSpend, fit_band, forward_figures, horizon_card
from training.value.metrics import coverage, normalised_gini, spearman, total_bias
from training.value.panel import fit_spend_models, prepare_value
from training.value.predict import (
    expected_spend,
    load_value,
    log_mean_spend,
    predict_value,
    purchase_days,
    save_value,
)

QUICK = {**VALUE_PARAMETERS, "num_boost_round": 60, "learning_rate": 0.06}
SPEND = GammaGamma(2.0, 3.0, 10.0)


@pytest.fixture(scope="module")
def value(shop, prepared):
    return prepare_value(shop, prepared)


@pytest.fixture(scope="module")
def forward_spends(value):
    return forward_value(value, QUICK)


@pytest.fixture(scope="module")
def value_model(value, forward_spends):
    return train_value(value, forward_spends, QUICK, {"gini": 0.5})


@pytest.fixture(scope="module")
def predictions(value_model, frame):
    return predict_value(value_model, frame)


def history(days, silent, age, net_spend):
    columns = {
        "active_days_all": days, "days_since_last_order": silent, "days_since_first_order": age, "net_spend_all": net_spend,
    }  # fmt: skip
    return {name: np.atleast_1d(np.asarray(column, dtype=float)) for name, column in columns.items()}


# ------------------------------------------------------------------------------------------------- parts, by hand


def test_mean_spend_by_hand():
    # net of refunds a day 30, 300 cut to 100, -5 cut to 0: 2 (10 + 30) / 4, 2 (10 + 200) / 6, 2 * 10 / 4
    columns = history([1, 2, 1], 1, 9, [30, 600, -5])
    assert_allclose(np.exp(log_mean_spend(SPEND, 100.0, columns)), [20, 70, 5], rtol=1e-14)


def test_band_by_hand():
    band = Band((0.0, 2.0), (0.0, 0.4), (3.0, 2.0), "two groups")
    low, high = band.around(np.full(3, 10.0), np.exp([-5.0, 1.0, 9.0]))
    assert_allclose(low, [0, 2, 4])
    assert_allclose(high, [30, 25, 20])


def made(spent, predicted, purchases, fold=None):
    n = len(spent)
    return ForwardSpend(
        365, np.zeros(n, int) if fold is None else np.asarray(fold), np.arange(n), pd.Series(["c"] * n),
        np.asarray(spent, float), np.asarray(predicted, float), np.asarray(predicted, float), np.asarray(purchases, float),
    )  # fmt: skip


def test_fit_band_by_hand():
    # ten groups of 99 customers each with spent / predicted = 0, 1, ..., 98: the 90 % point of 99 + 1 is the 90th value, 89,
    # and of the 10 % point the 10th, 9; the level doubles predictions and purchases, which halves the points
    ratio = np.tile(np.arange(99.0), 10)
    expected = np.repeat(np.arange(1.0, 11.0), 99)
    band = fit_band(made(ratio * 5, np.full(990, 5.0), expected), 0.0, "by hand")
    assert_allclose(np.exp(band.log_purchases), np.arange(1.0, 11.0))
    assert set(band.low) == {9.0}
    assert set(band.high) == {89.0}
    doubled = fit_band(made(ratio * 5, np.full(990, 5.0), expected), np.log(2.0), "by hand")
    assert_allclose(doubled.high, np.array(band.high) / 2)
    assert_allclose(np.exp(doubled.log_purchases), 2 * np.arange(1.0, 11.0))


@pytest.mark.parametrize("silent", [1, 20, 90, 300])
@pytest.mark.parametrize("repeats", [1, 3, 12])
def test_who_bought_once_does_not_outrank_who_is_in_rhythm(silent, repeats):
    """Alike in silence and in spend a day. BG/NBD would: it takes who never came back for alive, however long ago it was."""
    model = MBGNBD(r=0.6, alpha=6.0, a=0.5, b=2.0)
    once = history(1, silent, silent, 50)
    rhythm = history(repeats + 1, silent, silent * (repeats + 1), 50 * (repeats + 1))
    for horizon in (90, 365):
        worth = [
            purchase_days(model, c, horizon) * np.exp(log_mean_spend(SPEND, 1e9, c)) for c in (once, rhythm)
        ]
        assert worth[0] < worth[1]


def shop_of(path, extra=()):
    """Forty customers who spend about 10 a day, on one day or two."""
    lines = [line(f"c{k}", f"2024-01-{1 + k % 28:02}", 8 + k % 5) for k in range(40)]
    lines += [line(f"c{k}", "2024-02-15", 9 + k % 3) for k in range(20)]
    return warehouse_of(path, tables_of([*lines, *extra]))


def test_one_wholesaler_does_not_wreck_the_total(tmp_path):
    cutoff = pd.Timestamp("2024-03-01")
    usual = fit_spend_models(shop_of(tmp_path / "a.duckdb"), [cutoff])[cutoff]
    one = [line("wholesaler", "2024-02-01", 1_000_000)]
    with_one = fit_spend_models(shop_of(tmp_path / "b.duckdb", one), [cutoff])[cutoff]
    assert usual.cap <= 12.0
    assert with_one.cap <= 12.0
    assert with_one.model.population_mean == pytest.approx(usual.model.population_mean, rel=0.02)
    worth = np.exp(log_mean_spend(with_one.model, with_one.cap, history(1, 28, 28, 1_000_000)))
    assert worth < 13.0


def test_spends_of_too_few_are_no_model(tmp_path):
    cutoff = pd.Timestamp("2024-01-05")
    assert fit_spend_models(shop_of(tmp_path / "w.duckdb"), [cutoff]) == {}


# ------------------------------------------------------------------------------------------------- a made-up retailer


def test_what_is_predicted_makes_sense(predictions, value_model, frame):
    p = predictions
    for name in (field.name for field in fields(p)):
        assert np.isfinite(getattr(p, name)).all()
        assert (getattr(p, name) >= 0).all()
    assert (p.predicted_clv >= p.predicted_clv_90d).all()
    assert p.predicted_clv.sum() > 2 * p.predicted_clv_90d.sum()
    assert (p.predicted_clv_low <= p.predicted_clv_high).all()
    assert len(p.predicted_clv) == len(frame)
    assert_allclose(expected_spend(value_model, frame, 90), p.predicted_clv_90d, rtol=1e-12)


def test_a_year_is_no_less_than_its_first_90_days(value_model, predictions, frame):
    near, year = value_model.card.horizons
    card = replace(value_model.card, horizons=(near, replace(year, log_level=-9.0)))
    assert_array_equal(
        predict_value(replace(value_model, card=card), frame).predicted_clv, predictions.predicted_clv_90d
    )


def test_a_later_cutoff_is_predicted_in_its_own_season(value_model, frame):
    """Half a year on, other weeks lie ahead; each customer may have a cutoff of its own."""
    season = value_model.card.season
    now, later = (predict_value(value_model, frame, ahead_days=days) for days in (0.0, 182.0))
    moved = np.exp(season.shift(90, 182.0) - season.shift(90))
    assert abs(moved - 1.0) > 0.02
    assert_allclose(later.predicted_clv_90d, now.predicted_clv_90d * moved, rtol=1e-9)
    both = predict_value(value_model, frame.head(2), ahead_days=np.array([0.0, 182.0]))
    assert_allclose(
        both.predicted_clv_90d, [now.predicted_clv_90d[0], later.predicted_clv_90d[1]], rtol=1e-12
    )


def test_the_band_holds_the_expectation(value_model, predictions, frame):
    """Though nine in ten may spend less than the mean: of few who spend much."""
    near, year = value_model.card.horizons
    low = replace(year, band=Band((0.0, 2.0), (0.0, 0.0), (0.5, 0.5), "nine in ten spend half the mean"))
    found = predict_value(replace(value_model, card=replace(value_model.card, horizons=(near, low))), frame)
    assert_array_equal(found.predicted_clv_high, found.predicted_clv)
    for one in (found, predictions):
        assert (one.predicted_clv_low <= one.predicted_clv).all()
        assert (one.predicted_clv <= one.predicted_clv_high).all()


def test_level_by_hand():
    # two years' folds: spent 20 of 10 predicted, 10 of 10; with one fold of no error beside them a third of log 2; 90 days: none
    year = made([20.0, 10.0], [10.0, 10.0], [1.0, 2.0], fold=[0, 1])
    near = replace(year, horizon_days=90)
    assert horizon_card((near, year), 1, 365).log_level == pytest.approx(np.log(2.0) / 3)
    assert horizon_card((near, year), 0, 90).log_level == 0.0
    # a fold that is off by a factor of seventy counts as one that is off by two
    wild = made([700.0, 10.0], [10.0, 10.0], [1.0, 2.0], fold=[0, 1])
    assert horizon_card((near, wild), 1, 365).log_level == pytest.approx(np.log(2.0) / 3)
    assert horizon_card((near, replace(wild, spent=wild.spent / 1e4)), 1, 365).log_level == pytest.approx(
        2 * np.log(0.5) / 3
    )
    alone = horizon_card((near, None), 1, 365)
    assert (alone.log_level, alone.band.measured) == (0.0, "2 forward predictions of 90 days")


def test_better_than_the_baseline_against_what_happened(retailer, value_model, predictions, frame):
    truth = retailer.truth.to_pandas().set_index("customer_id")["spend_365d"].astype(float)
    spent = truth.reindex(frame["customer_id"]).to_numpy()
    card = value_model.card
    baseline = purchase_days(card.baseline, frame, 365) * np.exp(
        log_mean_spend(card.spend, card.mean_spend_cap, frame)
    )
    assert normalised_gini(spent, predictions.predicted_clv) > normalised_gini(spent, baseline) + 0.02
    assert spearman(spent, predictions.predicted_clv) > spearman(spent, baseline) + 0.02
    assert abs(total_bias(spent, predictions.predicted_clv)) < 0.2
    shares = coverage(spent, predictions.predicted_clv_low, predictions.predicted_clv_high)
    assert 0.05 < shares.above < 0.2
    assert shares.below < 0.12


def test_who_bought_once_is_not_overrated(retailer, predictions, frame):
    """They take no larger part of the total than they went on to spend, by more than a fifth of it."""
    truth = retailer.truth.to_pandas().set_index("customer_id")["spend_365d"].astype(float)
    spent, once = truth.reindex(frame["customer_id"]).to_numpy(), (frame["orders_all"] == 1).to_numpy()
    said = predictions.predicted_clv
    assert said[once].sum() / said.sum() < 1.2 * spent[once].sum() / spent.sum()
    assert said[once].mean() < 0.7 * said[~once].mean()


def test_a_row_is_the_same_bits_alone(value_model, predictions, frame):
    for place in (0, 7, len(frame) - 1):
        alone = predict_value(
            value_model, {n: frame[n].to_numpy(dtype=float)[[place]] for n in current_contract().names}
        )
        for field in fields(alone):
            assert getattr(alone, field.name)[0] == getattr(predictions, field.name)[place]
    nobody = predict_value(value_model, frame.head(0))
    assert nobody.predicted_clv.shape == (0,)


def test_outcomes_that_were_open_are_not_looked_at(value, forward_spends):
    """Poison every outcome that was not known when the first fold's cutoff came: its predictions stay what they were."""
    near = forward_spends[0]
    rows = near.row[near.fold == 0]
    then = value.cutoff.iloc[rows[0]]
    open_then = (value.cutoff + pd.Timedelta(days=90) > then).to_numpy()
    known = value.outlooks[0]
    poisoned = replace(known, spent=np.where(open_then, known.spent * 0 + 1e6, known.spent), paced=np.where(open_then, known.paced + 2, known.paced))  # fmt: skip
    again = forward_value(replace(value, outlooks=(poisoned, value.outlooks[1])), QUICK)[0]
    assert 0 < open_then.sum() < len(open_then)
    assert_array_equal(again.predicted[again.fold == 0], near.predicted[near.fold == 0])


def test_outcomes_of_the_panel(shop, value, end):
    near, year = value.outlooks
    lag = pd.Timedelta(shop.largest_lag())
    for outlook in (near, year):
        over = (value.cutoff + pd.Timedelta(days=outlook.horizon_days) + lag <= end).to_numpy()
        assert_array_equal(np.isfinite(outlook.spent), over)
        assert_array_equal(np.isfinite(outlook.paced), over)
    rows = value.prepared.panel.frame[["customer_id", "cutoff"]]
    assert_array_equal(near.spent, future_value(shop, rows, 90, known_by=end).net_spend)
    for cutoff in (value.cutoff.iloc[0], value.cutoff.iloc[-1]):
        here = (value.cutoff == cutoff).to_numpy()
        orders = future_value(shop, rows[here], 90, known_by=end).orders.sum()
        assert near.paced[here][0] == pytest.approx(np.log((orders + 10) / (near.purchases[here].sum() + 10)))


def test_forward_figures_are_those_of_the_forward_predictions(forward_spends):
    near, figures = forward_spends[0], forward_figures(forward_spends)
    assert figures["value_90d_gini"] == normalised_gini(near.spent, near.predicted)
    assert figures["mbg_nbd_value_90d_spearman"] == spearman(near.spent, near.baseline)
    assert figures["value_90d_gini"] > figures["mbg_nbd_value_90d_gini"]
    days = {90} if forward_spends[1] is None else {90, 365}
    assert set(figures) == {f"{w}value_{d}d_{m}" for w in ("", "mbg_nbd_") for d in days for m in METRICS}
    assert forward_figures((made([0.0, 0.0], [1.0, 1.0], [1.0, 1.0]), None)) == {}


def test_the_trees_leave_the_total(value, value_model):
    """Over the training rows, in the season that was, the total is that of MBG/NBD and Gamma-Gamma."""
    near, card = value.outlooks[0], value_model.card
    added = card.log_total + card.tree_weight * value_model.trees.predict(value.prepared.x, raw_score=True)
    start = near.log_start + near.paced
    assert np.exp(start + added).sum() == pytest.approx(np.exp(start).sum(), rel=1e-9)
    assert added.std() > 0.05


def test_a_small_shop_gets_no_trees(value, frame, tmp_path):
    small = replace(value, prepared=replace(value.prepared, baseline_only=True))
    model = train_value(small, forward_value(small, QUICK), QUICK, {})
    card = model.card
    assert model.trees is None
    assert card.tree_weight == 0.0
    expected = purchase_days(card.baseline, frame, 90) * np.exp(
        log_mean_spend(card.spend, card.mean_spend_cap, frame)
    )
    assert_allclose(
        predict_value(model, frame).predicted_clv_90d, expected * np.exp(card.season.shift(90)), rtol=1e-12
    )
    save_value(model, tmp_path)
    assert load_value(tmp_path).trees is None
    assert "too few to grow them on" in (tmp_path / "VALUE_CARD.md").read_text()


def test_too_little_history(tmp_path):
    lines = [line(f"c{k}", f"2024-0{1 + k % 6}-{1 + k % 28:02}", 10) for k in range(40)]
    lines += [line(f"c{k}", "2024-08-15", 10) for k in range(20)]  # everybody spends the same
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of(lines))
    with pytest.raises(TooLittleHistory, match="needs 30 customers"):
        prepare_value(warehouse, prepare(warehouse, pd.Timestamp("2024-10-01")))


# ------------------------------------------------------------------------------------------------- files


def test_files_and_back(value_model, predictions, frame, tmp_path):
    save_value(value_model, tmp_path)
    again = load_value(tmp_path)
    assert again.card == value_model.card
    for field in fields(predictions):
        assert_array_equal(getattr(predict_value(again, frame), field.name), getattr(predictions, field.name))
    page = (tmp_path / "VALUE_CARD.md").read_text()
    assert page == value_page(value_model.card)
    assert "| gini | 0.5 |" in page
    assert ValueCard.from_json(value_model.card.to_json()) == value_model.card


def test_files_that_cannot_be_used(value_model, tmp_path):
    with pytest.raises(ModelError, match=r"value_card.json is missing"):
        load_value(tmp_path)
    save_value(value_model, tmp_path)
    (tmp_path / "value_trees.txt").unlink()
    with pytest.raises(ModelError, match=r"value_trees.txt is missing"):
        load_value(tmp_path)
    save_value(replace(value_model, card=replace(value_model.card, contract=replace(current_contract(), digest="other", names=("x",)))), tmp_path)  # fmt: skip
    with pytest.raises(ContractError):
        load_value(tmp_path)
    (tmp_path / "value_card.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged"):
        load_value(tmp_path)


def test_columns_that_are_missing(value_model, frame):
    with pytest.raises(ContractError, match="gap_mean_days"):
        predict_value(value_model, frame.drop(columns="gap_mean_days"))
