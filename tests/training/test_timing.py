"""The timing model: who stands for which bin, nothing of the future, and the truth of a made-up retailer recovered."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from features.build import build
from features.contract import current_contract
from features.ingest import ingest_tables
from features.load import Arrival
from features.sources.simulate import simulate, write
from features.warehouse import Warehouse
from tests.features.worlds import MICROSECOND, arrow, at, line, tables_of, warehouse_of
from training.components import hazard_correction, history_weeks
from training.histories import fit_baselines
from training.metrics import integrated_brier
from training.predict import curves, predict
from training.preparation import prepare
from training.survival import BIN_ENDS, HORIZONS_DAYS, baseline_hazards, baseline_log_survival
from training.targets import NextOrders, next_orders
from training.timing import (
    FRESH_DAYS,
    TIMING_PARAMETERS,
    at_risk,
    forward_timing,
    kaplan_meier,
    prepare_timing,
    train_timing,
)

DAY = timedelta(days=1)
QUICK = {**TIMING_PARAMETERS, "num_boost_round": 15}
GRID = BIN_ENDS[:8]


# ------------------------------------------------------------------------------------------------- who stands for what

CUTOFF = at("2024-03-01")
LONG = CUTOFF + 400 * DAY


@dataclass(frozen=True)
class Case:
    """Orders after the cutoff, when the training looks, the bins that are learned from, and the one of the order."""

    title: str
    orders: list
    as_of: object
    stands: int
    ordered: int | None


CASES = [
    Case("no order, and everything is over", [], LONG, 12, None),
    Case("at the cutoff: the first instant of the first bin", [CUTOFF], LONG, 1, 0),
    Case("a microsecond before the cutoff is no next order", [CUTOFF - MICROSECOND], LONG, 12, None),
    Case("a microsecond before the first bin ends", [CUTOFF + 7 * DAY - MICROSECOND], LONG, 1, 0),
    Case("as the first bin ends: in the second", [CUTOFF + 7 * DAY], LONG, 2, 1),
    Case("the first of two", [CUTOFF + 100 * DAY, CUTOFF + 50 * DAY], LONG, 6, 5),
    Case("a microsecond before the last bin ends", [CUTOFF + 365 * DAY - MICROSECOND], LONG, 12, 11),
    Case("after the last bin", [CUTOFF + 365 * DAY], LONG, 12, None),
    Case("as-of as the fourth bin ends: it is over", [], CUTOFF + 30 * DAY, 4, None),
    Case("a microsecond earlier it is not", [], CUTOFF + 30 * DAY - MICROSECOND, 3, None),
    Case("an order at the as-of is not known", [CUTOFF + 14 * DAY], CUTOFF + 14 * DAY, 2, None),
    Case("an order just before it is", [CUTOFF + 14 * DAY - MICROSECOND], CUTOFF + 14 * DAY, 2, 1),
    Case("an order in a bin that is not over is left out", [CUTOFF + 16 * DAY], CUTOFF + 20 * DAY, 2, None),
    Case("less than a week: nothing to learn", [CUTOFF + DAY], CUTOFF + 6 * DAY, 0, None),
    Case("looking from before the cutoff", [CUTOFF + DAY], CUTOFF - DAY, 0, None),
]


def naive(when):
    return pd.Timestamp(when).tz_localize(None)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Each case is a customer, who ordered long ago too."""
    rows = []
    for number, case in enumerate(CASES):
        rows.append(line(f"c{number}", "2023-11-11", order_id=f"{number}"))
        rows += [line(f"c{number}", when, order_id=f"{number}-{n}") for n, when in enumerate(case.orders)]
    return warehouse_of(tmp_path_factory.mktemp("w") / "w.duckdb", tables_of(rows))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].title)
def test_censoring_by_hand(world, number):
    case = CASES[number]
    rows = pd.DataFrame({"customer_id": [f"c{number}"], "cutoff": [naive(CUTOFF)]})
    stands, ordered = at_risk(next_orders(world, rows, 365, known_by=naive(case.as_of)))
    assert stands[0].tolist() == [bin_number < case.stands for bin_number in range(12)]
    assert np.flatnonzero(ordered[0]).tolist() == ([] if case.ordered is None else [case.ordered])


def test_days_and_exposure_by_hand(world):
    ids = [f"c{number}" for number in range(len(CASES))]
    rows = pd.DataFrame({"customer_id": ids, "cutoff": naive(CUTOFF)})
    found = next_orders(world, rows.iloc[::-1], 365, known_by=naive(CUTOFF + 30.5 * DAY))
    assert found.exposure_days.tolist() == [30.5] * len(ids)
    known = dict(zip([case.title for case in CASES[::-1]], found.days, strict=True))
    assert known["at the cutoff: the first instant of the first bin"] == 0.0
    assert known["as the first bin ends: in the second"] == 7.0
    assert known["a microsecond before the first bin ends"] == pytest.approx(7 - 1e-6 / 86_400, abs=1e-13)
    assert np.isnan(known["the first of two"])  # it is not known yet
    today = next_orders(world, rows, 60)
    assert today.exposure_days.tolist() == [60.0] * len(ids)
    assert today.days[5] == 50.0
    assert np.isnan(today.days[6])


def test_a_declared_lag_shortens_what_is_known(tmp_path):
    warehouse = Warehouse(tmp_path / "w.duckdb")
    lines = arrow("order_lines", tables_of([line("ann", "2023-11-11")])["order_lines"])
    arrival = Arrival("late", "late", pd.Timestamp("2030-01-01").to_pydatetime(), lag_us=5 * 86_400_000_000)
    warehouse.load({"order_lines": lines}, arrival, currency="EUR", timezone="UTC")
    rows = pd.DataFrame({"customer_id": ["ann"], "cutoff": [naive(CUTOFF)]})
    assert next_orders(warehouse, rows, 365, known_by=naive(CUTOFF + 30 * DAY)).exposure_days.tolist() == [
        25.0
    ]


def test_kaplan_meier_by_hand():
    """Of four in the first week one orders; of two seen in the second one does, a third was not seen any more."""
    stands = np.zeros((4, 12), dtype=bool)
    ordered = np.zeros((4, 12), dtype=bool)
    stands[:, 0] = stands[1:3, 1] = True
    ordered[0, 0] = ordered[1, 1] = True
    assert_allclose(kaplan_meier(stands, ordered), [1 / 4] + [1 - 3 / 4 * 1 / 2] * 11)


# ------------------------------------------------------------------------------------------------- the panel


@pytest.fixture(scope="module")
def panel(shop, prepared):
    return prepare_timing(shop, prepared)


def test_the_panel_begins_with_the_churn_panel_and_goes_on_nearly_to_the_as_of(panel, prepared, shop, end):
    n = len(prepared.x)
    assert_array_equal(panel.x[:n], prepared.x)
    fresh = [end - pd.Timedelta(days=days) for days in FRESH_DAYS]
    assert sorted(pd.DatetimeIndex(panel.cutoff[n:]).unique()) == sorted(fresh)
    expected = build(shop, fresh)
    assert len(panel.x) == n + len(expected)
    assert_array_equal(panel.x[n:, 0], expected[expected.columns[2]].to_numpy(float))
    # nobody who churned ordered in 90 days, everybody else did
    assert_array_equal(panel.orders.days[:n] < 90, prepared.panel.y == 0)


def test_each_row_has_the_hazards_of_its_cutoffs_baseline(panel, prepared, shop, end):
    cutoffs = [prepared.panel.cutoffs[3], end - pd.Timedelta(days=7)]
    fitted = fit_baselines(shop, cutoffs)
    frame = build(shop, cutoffs)
    for cutoff in cutoffs:
        here = frame[frame["cutoff"] == cutoff]
        expected = baseline_hazards(fitted[cutoff], history_weeks(here))
        assert_array_equal(panel.growth[panel.cutoff == cutoff.to_numpy()], expected)


def test_rows_are_left_out_by_hash_until_they_fit(panel, prepared, monkeypatch):
    whole = train_timing(panel, prepared, "shop", QUICK, {}).card
    assert whole.periods == at_risk(panel.orders)[0].sum()
    monkeypatch.setattr("training.timing.MOST_PERIODS", 20_000)
    first, again = (train_timing(panel, prepared, "shop", QUICK, {}) for _ in range(2))
    assert first.card.periods == pytest.approx(20_000, rel=0.05)
    assert first.card.cutoffs == whole.cutoffs
    assert first.trees.model_to_string() == again.trees.model_to_string()
    # who is left out does not depend on the others
    half = panel.draw < 0.5
    assert 0.45 < half.mean() < 0.55
    rows = pd.DataFrame({"customer_id": ["ann", "bob"], "cutoff": [naive(CUTOFF)] * 2})
    one, two = pd.util.hash_pandas_object(rows, index=False)
    assert pd.util.hash_pandas_object(rows.iloc[1:], index=False).tolist() == [two] != [one]


def test_the_trees_correct_the_baseline(panel, prepared):
    """They start from it, at the speed with which its cutoffs went: what moves everybody alike moves no tree."""
    own = train_timing(panel, prepared, "shop", QUICK, {}).trees
    x, names = panel.x[:200], current_contract().names
    faster = train_timing(replace(panel, growth=panel.growth * 1.2), prepared, "shop", QUICK, {}).trees
    moved = hazard_correction(faster, x, names) - hazard_correction(own, x, names)
    assert np.abs(moved).mean() < 0.05
    # ... and what moves half of them, by a factor of e, is taken back
    half = panel.draw < 0.5
    some = panel.growth * np.where(half, np.e, 1.0)[:, None]
    told = np.column_stack([np.where(half, 1.0, 0.0), panel.x[:, 1:]])
    taken = train_timing(replace(panel, growth=some, x=told), prepared, "shop", TIMING_PARAMETERS, {}).trees
    correction = hazard_correction(taken, told, names)[:, :3].mean(axis=1)
    assert correction[half].mean() - correction[~half].mean() == pytest.approx(-1.0, abs=0.35)


def test_the_card_says_what_it_was_trained_on(panel, prepared, models, end):
    stands, ordered = at_risk(panel.orders)
    card = models.timing.card
    assert (card.rows, card.periods, card.orders) == (stands.any(1).sum(), stands.sum(), ordered.sum())
    assert card.cutoffs[-1] == (end - pd.Timedelta(days=7)).isoformat()
    assert card.cutoffs[: -len(FRESH_DAYS)] == models.churn.card.cutoffs
    assert card.baseline == models.churn.card.baseline == prepared.baseline
    assert card.bin_ends == tuple(BIN_ENDS)
    assert card.as_of == models.churn.card.as_of


# ------------------------------------------------------------------------------------------------- honest


def test_nothing_at_or_after_the_as_of_is_used(tmp_path):
    """Everybody orders at the as-of and a day later, and some orders of before it become known only then."""
    as_of = pd.Timestamp("2024-05-01")
    retailer = simulate(1_000, 400, as_of.date() + 60 * DAY, seed=3)
    write(retailer, tmp_path)
    trainings = []
    for name in ("clean", "poisoned"):
        warehouse = Warehouse(tmp_path / f"{name}.duckdb")
        ingest_tables(warehouse, tmp_path / "tables")
        if name == "poisoned":
            poison(warehouse, [f"c{number:06d}" for number in range(1_000)], as_of)
        prepared = prepare(warehouse, as_of)
        panel = prepare_timing(warehouse, prepared)
        trainings.append((panel, train_timing(panel, prepared, "shop", QUICK, {})))
    (clean, model), (poisoned, poisoned_model) = trainings
    for one, other in ((clean.x, poisoned.x), (clean.growth, poisoned.growth), (clean.draw, poisoned.draw)):
        assert_array_equal(one, other)
    assert_array_equal(clean.orders.days, poisoned.orders.days)
    assert model.trees.model_to_string() == poisoned_model.trees.model_to_string()


def poison(warehouse, customers, as_of):
    later = as_of + pd.Timedelta(microseconds=1)
    rows = []
    for name in customers:
        for n, (paid_at, known_at) in enumerate(
            [(as_of, as_of), (as_of + DAY, as_of + DAY), (as_of - 20 * DAY, later)]
        ):
            paid, known = (at(when.to_pydatetime()) for when in (paid_at, known_at))
            rows.append(line(name, paid, order_id=f"poison {name} {n}", known_at=known, currency="CNY"))
    lines = arrow("order_lines", tables_of(rows)["order_lines"])
    warehouse.load(
        {"order_lines": lines}, Arrival("poison", "poison", pd.Timestamp("2030-01-01").to_pydatetime())
    )


@pytest.fixture(scope="module")
def latest(forward):
    """The last two folds of the churn model's forward predictions."""
    rows = forward.fold >= forward.fold.max() - 1
    columns = ("y", "fold", "row", "customer_id", "start", "logits", "probability")
    return replace(forward, **{name: getattr(forward, name)[rows] for name in columns})


@pytest.fixture(scope="module")
def waiting(panel, latest):
    return forward_timing(panel, latest, QUICK)


def test_orders_after_a_folds_cutoff_do_not_reach_its_curves(panel, latest, waiting):
    """What was ordered at or after the last fold's cutoff is turned into an order at it, or into none."""
    here = latest.fold == latest.fold.max()
    last = panel.cutoff[latest.row[here][0]]
    until = (last - panel.cutoff) / np.timedelta64(1, "D")
    open_yet = ~(panel.orders.days < until)
    assert open_yet.mean() > 0.3
    for others in (np.maximum(until, 0.0), np.nan):
        days = np.where(open_yet, others, panel.orders.days)
        changed = replace(panel, orders=NextOrders(days, panel.orders.exposure_days))
        again = forward_timing(changed, latest, QUICK)
        assert_array_equal(again.model[here], waiting.model[here])
        assert_array_equal(again.kaplan_meier[here], waiting.kaplan_meier[here])


def test_forward_curves_are_those_of_the_churn_folds(waiting, panel, latest):
    assert_array_equal(waiting.days, panel.orders.days[latest.row])
    assert_array_equal(waiting.days < 90, latest.y == 0)
    assert waiting.model.shape == waiting.baseline.shape == waiting.kaplan_meier.shape == (len(latest.y), 8)
    assert_allclose(waiting.model[:, -1], 1 - latest.probability, rtol=1e-9)
    assert_allclose(waiting.baseline[:, -1], 1 - latest.baseline_probability, rtol=1e-4, atol=1e-5)
    for fold in np.unique(latest.fold):
        assert len(np.unique(waiting.kaplan_meier[latest.fold == fold], axis=0)) == 1


def test_a_declared_lag_reaches_the_folds(panel, latest, waiting):
    slow = forward_timing(replace(panel, lag=pd.Timedelta(days=200)), latest, QUICK)
    assert (slow.kaplan_meier != waiting.kaplan_meier).any(axis=1).all()


# ------------------------------------------------------------------------------------------------- good


def test_better_forward_than_the_baseline_and_everybody_alike(trained):
    found = trained.timing
    assert found.model.integrated_brier.estimate < found.baseline.integrated_brier.estimate
    assert found.model.integrated_brier.estimate < found.kaplan_meier.integrated_brier.estimate - 0.02
    assert found.calibration_error < 0.05


@pytest.fixture(scope="module")
def truth(retailer, frame):
    return retailer.truth.to_pandas().set_index("customer_id").loc[frame["customer_id"]]


@pytest.mark.parametrize(("place", "days"), list(enumerate(HORIZONS_DAYS)))
def test_recovers_the_probabilities_the_world_was_built_with(models, frame, truth, place, days):
    p = predict(models, frame).p_order[:, place]
    true = truth[f"p_order_{days}d"].to_numpy()
    assert pd.Series(p).corr(pd.Series(true), method="spearman") > 0.6
    assert p.mean() == pytest.approx(true.mean(), abs=0.05)


def test_recovers_when_the_next_orders_come(models, frame, truth, end, panel):
    """Held against what happens after the as-of, which the tables do not know."""
    came = truth["next_order_at"].dt.tz_localize(None).to_numpy()
    days = (came - end.to_numpy()) / np.timedelta64(1, "D")
    _, hazard = curves(models, frame)
    none = np.exp(baseline_log_survival(models.timing.card.baseline, history_weeks(frame), GRID))
    everybody = np.tile(kaplan_meier(*at_risk(panel.orders))[:8], (len(days), 1))
    ours, baseline, constant = (
        integrated_brier(days, p, GRID).mean() for p in (-np.expm1(-hazard[:, :8]), 1 - none, everybody)
    )
    assert ours < baseline < constant
    found = predict(models, frame)
    for quantile, share in ((found.days_p10, 0.1), (found.days_median, 0.5)):
        sure = ~np.isnan(quantile) & (quantile < 300)
        assert (days[sure] < quantile[sure]).mean() == pytest.approx(share, abs=0.08)
