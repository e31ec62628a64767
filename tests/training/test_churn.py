"""The churn model: the same for the same seed, honest about the future, and close to the truth of a made-up world."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from features.errors import TooLittleHistory
from features.load import Arrival
from features.warehouse import Warehouse
from tests.features.worlds import arrow, line, tables_of, warehouse_of
from training.baselines import fit_mbg_nbd, probability_no_purchase
from training.calibration import PlattCalibration, apply, expit, fit_slope, logit
from training.churn import (
    PARAMETERS,
    fold_predictions,
    forward_predictions,
    train,
)
from training.components import churn_probability
from training.metrics import auc, log_loss
from training.panel import forward_folds
from training.preparation import FOLDS, MINIMUM_BUYERS, prepare

DAY = pd.Timedelta(days=1)
HORIZON = 90 * DAY


def with_outcomes(prepared, y):
    return replace(prepared, panel=replace(prepared.panel, y=y.astype(np.int8)))


def of_customers(prepared, keep):
    """The rows of some customers only."""
    rows = keep(prepared.panel.frame["customer_id"]).to_numpy()
    return of_rows(prepared, rows)


def of_rows(prepared, rows):
    panel = replace(prepared.panel, frame=prepared.panel.frame[rows], y=prepared.panel.y[rows])
    parts = {name: getattr(prepared, name)[rows] for name in ("x", "start", "ahead", "level")}
    return replace(prepared, panel=panel, **parts)


# ------------------------------------------------------------------------------------------------- repeatable


def test_the_same_seed_the_same_model(prepared):
    first, second = (
        train(prepared, "shop", PARAMETERS, PlattCalibration(0.0, 0.9), {"auc": 0.8}) for _ in range(2)
    )
    assert first.trees.model_to_string() == second.trees.model_to_string()
    assert replace(first.card, trained_at="") == replace(second.card, trained_at="")


def test_another_seed_another_model(prepared):
    seeds = [train(prepared, "shop", {**PARAMETERS, "seed": seed}, PlattCalibration(), {}) for seed in (1, 2)]
    assert seeds[0].trees.model_to_string() != seeds[1].trees.model_to_string()


def test_the_forward_predictions_are_repeatable(prepared, forward):
    again = forward_predictions(prepared, PARAMETERS)
    assert_array_equal(again.probability, forward.probability)
    assert again.calibration == forward.calibration


def test_the_card_says_what_it_was_trained_on(model, prepared, shop, end):
    card = model.card
    assert card.as_of == end.isoformat()
    assert card.warehouse_id == shop.settings().warehouse_id
    assert card.rows == len(prepared.panel.y)
    assert card.churn_share == prepared.panel.y.mean()
    assert card.cutoffs == tuple(cutoff.isoformat() for cutoff in prepared.panel.cutoffs)
    assert card.baseline_mean == prepared.present.ahead.mean()
    assert card.clock == prepared.clock == prepared.clocks[end]
    assert card.parameters == PARAMETERS
    assert model.trees.feature_name() == list(card.contract.names)


# ------------------------------------------------------------------------------------------------- the baseline


def histories(lines, when):
    """Days with an order after the first, weeks from the first order to the last and to the cutoff: from raw lines."""
    orders = lines.groupby(["customer_id", "order_id"])["paid_at"].min().reset_index()
    # an order is cut as a whole: it is placed at its first line
    orders = orders[orders["paid_at"] < when]
    by_customer = orders.groupby("customer_id")["paid_at"]
    days = orders["paid_at"].dt.floor("D").groupby(orders["customer_id"]).nunique()
    week = 7 * DAY
    frequency = days - 1.0
    age = (when - by_customer.min()) / week
    recency = ((by_customer.max() - by_customer.min()) / week).where(frequency > 0, 0.0)
    return frequency.to_numpy(float), recency.to_numpy(float), age.to_numpy(float), by_customer.min().index


def test_the_baseline_at_each_cutoff_knows_its_past_only(prepared, retailer, end):
    lines = retailer.tables["order_lines"].to_pandas()
    lines = lines[(lines["kind"] == "sale") & lines["customer_id"].notna()]
    lines["paid_at"] = lines["paid_at"].dt.tz_localize(None)
    panel = prepared.panel
    for cutoff in (panel.cutoffs[0], panel.cutoffs[7], panel.cutoffs[-1]):
        *history, customers = histories(lines, cutoff)
        slow = pd.Series(probability_no_purchase(fit_mbg_nbd(*history), *history, 90 / 7), index=customers)
        here = (panel.frame["cutoff"] == cutoff).to_numpy()
        expected = slow[panel.frame.loc[here, "customer_id"]].to_numpy()
        assert_allclose(expit(prepared.start[here]), expected, atol=2e-4)
    *history, _ = histories(lines, end)
    at_end = fit_mbg_nbd(*history)
    assert_allclose(
        [prepared.baseline.r, prepared.baseline.alpha, prepared.baseline.a, prepared.baseline.b],
        [at_end.r, at_end.alpha, at_end.a, at_end.b],
        rtol=0.01,
    )


# ------------------------------------------------------------------------------------------------- honest


def test_each_fold_is_predicted_by_a_model_of_its_past(prepared, forward):
    folds = list(forward_folds(prepared.panel, FOLDS))
    assert len(folds) == FOLDS == forward.fold.max() + 1
    for number, fold in enumerate(folds):
        assert (forward.fold == number).sum() == fold.validate.sum()
    rows = np.concatenate([np.flatnonzero(fold.validate) for fold in folds])
    assert_array_equal(forward.y, prepared.panel.y[rows])
    assert_array_equal(forward.start, prepared.start[rows])
    assert_array_equal(forward.baseline_probability, expit(prepared.start[rows]))
    assert forward.customer_id.tolist() == prepared.panel.frame["customer_id"].iloc[rows].tolist()


def test_a_folds_trees_are_those_of_a_training_on_its_past(prepared, forward):
    panel = prepared.panel
    *_, fold = forward_folds(panel, FOLDS)
    trees = train(of_rows(prepared, fold.train), "shop", PARAMETERS, PlattCalibration(), {}).trees
    grown = trees.predict(prepared.x[fold.validate], raw_score=True)
    expected = 0.4 * prepared.ahead[fold.validate] + 0.6 * grown
    assert_allclose(forward.logits[forward.fold == FOLDS - 1], expected, rtol=1e-12)


@pytest.fixture(scope="module")
def flipped(prepared):
    """Forward predictions after all that the last fold could not know yet has been turned into its opposite."""
    last = prepared.panel.cutoffs[-1]
    open_yet = (prepared.panel.frame["cutoff"] + HORIZON > last).to_numpy()
    y = np.where(open_yet, 1 - prepared.panel.y, prepared.panel.y)
    return forward_predictions(with_outcomes(prepared, y), PARAMETERS)


def test_outcomes_that_were_open_do_not_reach_the_trees(forward, flipped):
    last = forward.fold == FOLDS - 1
    assert_array_equal(flipped.logits[last], forward.logits[last])
    assert (flipped.y[last] != forward.y[last]).all()


def test_outcomes_that_were_open_do_not_reach_the_calibration(forward, flipped):
    last = forward.fold == FOLDS - 1
    assert_array_equal(flipped.probability[last], forward.probability[last])


def test_the_first_fold_has_nothing_to_be_calibrated_by(prepared, forward):
    first = forward.fold == 0
    odds = logit(forward.probability[first]) - forward.logits[first]
    assert np.ptp(odds) < 1e-9  # but the level, which is the clock's
    ahead = expit(forward_ahead(prepared, forward)[first])
    assert forward.probability[first].mean() == pytest.approx(ahead.mean(), abs=1e-9)


def forward_ahead(prepared, forward):
    return prepared.ahead[forward.row]


def test_each_fold_has_the_level_that_the_clock_forecast(prepared, forward):
    ahead = expit(forward_ahead(prepared, forward))
    for fold in range(FOLDS):
        here = forward.fold == fold
        assert forward.probability[here].mean() == pytest.approx(ahead[here].mean(), abs=1e-9)


def test_the_models_calibration_is_that_of_all_folds(forward, model):
    assert forward.calibration == fit_slope(forward.logits, forward.y, forward.fold)
    assert forward.calibration.slope == model.card.calibration.slope
    assert 0.5 < forward.calibration.slope < 1.5
    assert forward.calibration.intercept == 0.0


def test_shuffled_outcomes_cannot_be_predicted(prepared):
    rng = np.random.default_rng(0)
    shuffled = with_outcomes(prepared, rng.permutation(prepared.panel.y))
    # The baseline knows orders, which were not shuffled with the outcomes: it must not help either.
    forward = forward_predictions(shuffled, PARAMETERS)
    assert auc(forward.y, forward.probability) == pytest.approx(0.5, abs=0.03)
    assert auc(forward.y, forward.logits) == pytest.approx(0.5, abs=0.03)


def test_a_short_history_says_nothing_about_quality(prepared):
    short = prepared.panel.frame["cutoff"] < prepared.panel.cutoffs[0] + HORIZON
    assert forward_predictions(of_rows(prepared, short.to_numpy()), PARAMETERS) is None


def test_a_fold_without_both_outcomes_before_it_is_passed_over(prepared):
    some = of_customers(prepared, lambda ids: ids < "c000300")
    cutoff = some.panel.frame["cutoff"].to_numpy()
    train_ends = list(forward_folds(some.panel, FOLDS))[1].train
    y = np.where(train_ends, 1, some.panel.y)
    predicted = [rows for _, rows, _ in fold_predictions(with_outcomes(some, y), PARAMETERS)]
    assert [cutoff[rows][0] for rows in predicted] == [
        fold.cutoff for fold in list(forward_folds(some.panel, FOLDS))[2:]
    ]


# ------------------------------------------------------------------------------------------------- good


def test_beats_a_constant_and_the_baseline_forward(forward):
    share = np.full(len(forward.y), forward.y.mean())  # the best constant there is, with hindsight
    model = log_loss(forward.y, forward.probability)
    assert model < log_loss(forward.y, forward.baseline_probability) < log_loss(forward.y, share) - 0.08
    assert auc(forward.y, forward.probability) > auc(forward.y, forward.baseline_probability)


def test_recovers_the_truth_the_world_was_built_with(model, frame, retailer):
    truth = retailer.truth.to_pandas().set_index("customer_id")["p_order_90d"]
    p_order = pd.Series(1 - churn_probability(model, frame), index=frame["customer_id"])
    true = truth[p_order.index]
    assert len(p_order) > 1_000
    assert p_order.corr(true, method="spearman") > 0.6
    assert p_order.mean() == pytest.approx(true.mean(), abs=0.05)
    # ... and by more than the baseline alone does
    baseline = np.abs(1 - baseline_of(model, frame) - true.to_numpy())
    assert np.abs(p_order - true).mean() < baseline.mean() - 0.01


def baseline_of(model, frame, horizon_days=90.0):
    weeks = frame["days_since_first_order"] / 7, frame["days_since_last_order"] / 7
    x = frame["active_days_all"] - 1.0
    recency = (weeks[0] - weeks[1]).where(x > 0, 0.0)
    return probability_no_purchase(model.card.baseline, x, recency, weeks[0], horizon_days / 7)


def test_the_log_odds_by_hand(model, frame):
    some = frame.head(50)
    trees = model.trees.predict(some[list(model.card.contract.names)].to_numpy(float), raw_score=True)
    speed = np.exp(model.card.clock.shift(90.0))
    assert speed != 1.0
    by_hand = apply(model.card.calibration, 0.4 * logit(baseline_of(model, some) ** speed) + 0.6 * trees)
    assert_allclose(churn_probability(model, some), by_hand, rtol=1e-9)


def test_the_population_of_the_as_of_has_the_clocks_level(model, frame):
    speed = np.exp(model.card.clock.shift(90.0))
    expected = (baseline_of(model, frame) ** speed).mean()
    assert churn_probability(model, frame).mean() == pytest.approx(expected, abs=1e-9)


def test_longer_silence_never_lowers_churn(model, frame):
    some = frame.head(200)
    silences = [0.0, 1.0, 10.0, 45.0, 90.0, 200.0, 364.0]
    p = [
        churn_probability(
            model,
            some.assign(
                days_since_last_order=np.minimum(silence, some["days_since_first_order"]),
                active_days_all=some["active_days_all"],
            ),
        )
        for silence in silences
    ]
    assert (np.diff(p, axis=0) >= -1e-12).all()


# ------------------------------------------------------------------------------------------------- refusals


def regulars(count, *, until="2024-12-31"):
    """Customers who order every 45 days; every other one stops in July."""
    rows = []
    for customer in range(count):
        first = pd.Timestamp("2024-01-01") + customer % 40 * DAY
        stops = pd.Timestamp("2024-07-01" if customer % 2 else until)
        times = pd.date_range(first, stops, freq="45D")
        rows += [
            line(f"c{customer}", time.isoformat(), order_id=f"o{customer}-{n}")
            for n, time in enumerate(times)
        ]
    return rows


def test_too_few_customers_are_refused_with_what_is_needed(tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of(regulars(20)))
    with pytest.raises(
        TooLittleHistory,
        match="needs 30 customers with an order, and one who came again, at it and 90 days before",
    ):
        prepare(warehouse, pd.Timestamp("2024-12-31"))


def test_a_shop_that_has_long_been_empty_is_refused(tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of(regulars(60)))
    with pytest.raises(TooLittleHistory, match="somebody active in the 365d before"):
        prepare(warehouse, pd.Timestamp("2029-12-31"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A shop of 200 customers: MBG/NBD and the clock are its model."""
    warehouse = warehouse_of(tmp_path_factory.mktemp("small") / "w.duckdb", tables_of(regulars(200)))
    return prepare(warehouse, pd.Timestamp("2024-12-31"))


def test_a_small_shop_gets_the_baseline_as_its_model(small):
    assert small.baseline_only
    assert small.panel.frame["customer_id"].nunique() < MINIMUM_BUYERS
    forward = forward_predictions(small, PARAMETERS)
    assert_array_equal(forward.logits, small.ahead[forward.row])
    model = train(small, "shop", PARAMETERS, forward.calibration, {})
    assert model.trees is None
    assert model.card.tree_weight == 0.0
    slope = model.card.calibration.slope
    frame = small.panel.frame[small.panel.frame["cutoff"] == small.panel.cutoffs[-1]]
    p = baseline_of(model, frame) ** np.exp(model.card.clock.shift(90.0))
    by_hand = expit(model.card.calibration.intercept + slope * logit(p))
    assert_allclose(churn_probability(model, frame), by_hand, rtol=1e-9)
    # every other one had stopped in July
    stopped = frame["customer_id"].str[1:].astype(int) % 2 == 1
    assert auc(stopped.astype(int), churn_probability(model, frame)) > 0.95


def test_a_shop_where_nobody_churns_gets_the_baseline(tmp_path):
    rows = [row for row in regulars(1_100) if int(row[1]["customer_id"][1:]) % 2 == 0]
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of(rows))
    assert prepare(warehouse, pd.Timestamp("2024-12-31")).baseline_only


def test_a_stray_order_before_the_business_began_forbids_nothing(prepared, retailer, end, tmp_path):
    """A till's test order, long before: cutoffs at which hardly anybody was a customer are no reason to refuse."""
    warehouse = Warehouse(tmp_path / "w.duckdb")
    stray = line("c000001", "2021-11-01", currency="CNY", order_id="till test")
    lines = arrow("order_lines", tables_of([stray])["order_lines"])
    received = pd.Timestamp("2030-01-01").to_pydatetime()
    warehouse.load(retailer.tables, Arrival("all", "all", received), timezone="UTC")
    warehouse.load({"order_lines": lines}, Arrival("stray", "stray", received))
    assert len(prepare(warehouse, end).panel.y) >= len(prepared.panel.y)
