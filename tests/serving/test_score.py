"""Scores: one row per known customer, and a status where no score can be given."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.build import build
from features.errors import ContractError
from serving.score import SCORE_COLUMNS, STATUSES, score, score_columns
from tests.features.worlds import at, customer, event, line, tables_of, warehouse_of
from training.components import churn_probability
from training.predict import predict

AS_OF = at("2024-06-01")
YEAR, MICROSECOND = timedelta(days=365), timedelta(microseconds=1)

# Who did what, and the status that follows. Orders in [as_of - 365 d, as_of) make the population.
CASES = {
    "bought lately": ([line("_", "2024-05-01", 30)], "ok"),
    "bought the instant before": ([line("_", AS_OF - MICROSECOND, 30)], "ok"),
    "bought a year ago to the microsecond": ([line("_", AS_OF - YEAR, 30)], "ok"),
    "a microsecond longer ago": ([line("_", AS_OF - YEAR - MICROSECOND, 30)], "outside_population"),
    "bought for nothing": ([line("_", "2024-05-01", 0)], "ok"),
    "registered only": ([customer("_", registered_at=at("2024-01-01"))], "no_orders"),
    "looks only": ([event("_", "2024-05-30")], "no_orders"),
    "returns only": ([line("_", "2024-05-01", 30, kind="return")], "no_orders"),
    "will buy": ([customer("_"), line("_", AS_OF, 30)], "no_orders"),
}


def world():
    rows = []
    for name, (own, _) in CASES.items():
        rows += [(table, values | {"customer_id": name}) for table, values in own]
    return rows


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    path = tmp_path_factory.mktemp("world") / "w.duckdb"
    return build(warehouse_of(path, tables_of(world())), ["2024-06-01"], population="all")


def scores_of(frame, shop):
    return score(frame, shop.registered.models, "7")


def test_the_status_says_why_there_is_no_score(frame, shop):
    found = scores_of(frame, shop).set_index("customer_id")["status"].to_dict()
    assert found == {name: status for name, (_, status) in CASES.items()}


def test_a_customer_not_yet_known_has_no_row(frame, shop):
    frame_of_later = frame[frame["customer_id"] != "looks only"]
    assert "looks only" not in set(scores_of(frame_of_later, shop)["customer_id"])


def test_the_probability_is_null_unless_the_status_is_ok(frame, shop):
    scores = scores_of(frame, shop)
    ok = scores["status"] == "ok"
    assert scores["churn_probability"].notna().tolist() == ok.tolist()
    assert scores.loc[ok, "churn_probability"].between(0, 1).all()
    assert set(scores["status"]) <= set(STATUSES)


def test_the_probability_is_the_models_for_that_customer_alone(frame, shop):
    scores = scores_of(frame, shop).set_index("customer_id")["churn_probability"]
    for name in ("bought lately", "bought a year ago to the microsecond"):
        model, one = shop.registered.models.churn, frame[frame["customer_id"] == name]
        ahead = (one["cutoff"].iloc[0] - pd.Timestamp(model.card.as_of)) / pd.Timedelta(days=1)
        alone = churn_probability(model, one, ahead_days=ahead)
        assert scores[name] == pytest.approx(alone[0], rel=1e-12)


def test_longer_silence_is_more_risk_in_this_retailer(frame, shop):
    scores = scores_of(frame, shop).set_index("customer_id")["churn_probability"]
    assert scores["bought a year ago to the microsecond"] > scores["bought lately"]


PREDICTIONS = [name for name in SCORE_COLUMNS if name.startswith(("churn", "p_order", "predicted", "total"))]
DATES = ["earliest_date_of_next_order", "expected_date_of_next_order", "latest_date_of_next_order"]
FACTS = ["average_days_between_orders", "average_order_value", "historic_clv"]


def test_columns_and_types(frame, shop):
    before = pd.Timestamp(datetime.now(UTC)).tz_localize(None)
    scores = scores_of(frame, shop)
    after = pd.Timestamp(datetime.now(UTC)).tz_localize(None)
    assert list(scores.columns) == ["customer_id", *SCORE_COLUMNS]
    types = dict.fromkeys([*PREDICTIONS, *FACTS], "float64")
    types |= dict.fromkeys(["as_of", "scored_at", *DATES], "datetime64[us]")
    types |= dict.fromkeys(["customer_id", "status", "model_version"], "str") | {"horizon_days": "int64"}
    for of in (scores, scores_of(frame.iloc[:0], shop), scores_of(frame[frame["orders_all"] == 0], shop)):
        assert {name: str(dtype) for name, dtype in of.dtypes.items()} == types
    assert set(scores["as_of"]) == {pd.Timestamp("2024-06-01")}
    assert set(scores["horizon_days"]) == {90}
    assert set(scores["model_version"]) == {"7"}
    assert len(set(scores["scored_at"])) == 1
    assert before.floor("us") <= scores["scored_at"].iloc[0] <= after


def test_predictions_are_null_unless_the_status_is_ok(frame, shop):
    scores = scores_of(frame, shop)
    ok = (scores["status"] == "ok").tolist()
    for name in PREDICTIONS:
        assert scores[name].notna().tolist() == ok
    for name in DATES:
        assert scores.loc[scores["status"] != "ok", name].isna().all()


def test_facts_are_given_for_whoever_has_an_order(tmp_path, shop):
    """Three orders of 10, 40 and 70 within 30 days, 15 of it given back; one order of 8 years ago; none."""
    rows = [
        *(line("ann", when, net, order_id=when) for when, net in [("2024-04-01", 10), ("2024-04-21", 40)]),
        line("ann", "2024-05-01", 70, order_id="third"),
        line("ann", "2024-05-03", 15, kind="return", order_id="third", line_id="back"),
        line("bob", "2016-05-01", 8),
        customer("eve", registered_at=at("2024-01-01")),
        line("eve", "2024-05-03", 5, kind="return"),
    ]
    frame = build(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), ["2024-06-01"], population="all")
    scores = scores_of(frame, shop).set_index("customer_id")
    assert scores["status"].to_dict() == {"ann": "ok", "bob": "outside_population", "eve": "no_orders"}
    assert scores.loc["ann", FACTS].tolist() == [15.0, 40.0, 105.0]
    assert scores.loc["bob", FACTS[1:]].tolist() == [8.0, 8.0]
    assert np.isnan(scores.loc["bob", FACTS[0]])  # one order has no gap
    assert scores.loc["eve", FACTS].isna().all()


@pytest.fixture(scope="module")
def retail(shop):
    """Everybody of the retailer: features and scores."""
    frame = build(shop.warehouse, [shop.as_of], population="all")
    return frame, scores_of(frame, shop)


def test_the_probabilities_of_a_customer_agree(retail):
    _, scores = retail
    ok = scores[scores["status"] == "ok"]
    assert (ok["p_order_90d"] == 1 - ok["churn_probability"]).all()
    assert (
        ok[[name for name in PREDICTIONS if name.startswith("p_order")]].diff(axis=1).iloc[:, 1:] >= 0
    ).all(axis=None)
    assert ok[PREDICTIONS].drop(columns="total_clv").min().min() >= 0
    assert (ok["predicted_clv_low"] <= ok["predicted_clv_high"]).all()
    assert (ok["predicted_clv"] >= ok["predicted_clv_90d"]).all()
    assert (ok["total_clv"] == ok["historic_clv"] + ok["predicted_clv"]).all()


def test_dates_are_those_of_the_predicted_days(retail, shop):
    frame, scores = retail
    ok = (scores["status"] == "ok").to_numpy()
    found = predict(shop.registered.models, frame[ok])
    for name, days in zip(DATES, (found.days_p10, found.days_median, found.days_p90), strict=True):
        waits = (scores.loc[ok, name] - shop.as_of) / pd.Timedelta(days=1)
        np.testing.assert_allclose(waits, days, atol=1e-9)
        assert waits.min() >= 0
        assert waits.max() <= 365
        assert 0 < waits.isna().mean() < 1
    early, expected, late = (scores.loc[ok, name] for name in DATES)
    assert not ((expected < early) | (late < expected)).any()
    within = (expected < shop.as_of + pd.Timedelta(days=90)).to_numpy()
    assert (within == (scores.loc[ok, "churn_probability"] < 0.5)).all()


@pytest.mark.parametrize("rows", [1, 5, 1500])
def test_columns_of_some_are_scored_like_the_frame(retail, shop, rows):
    """Online and offline: the same bits."""
    frame, scores = retail
    for first in range(0, len(frame), max(rows, 113)):
        some = frame.iloc[first : first + rows]
        columns = {name: some[name].to_numpy(dtype=np.float64) for name in some.columns[2:]}
        at_once, now = np.datetime64(shop.as_of, "us"), np.datetime64("2026-09-08", "us")
        found = score_columns(columns, shop.registered.models, "7", as_of=at_once, scored_at=now)
        assert tuple(found) == SCORE_COLUMNS
        for name in SCORE_COLUMNS:
            expected = scores[name].iloc[first : first + rows].to_numpy()
            if name != "scored_at":
                np.testing.assert_array_equal(found[name], expected, err_msg=name)
        assert (found["scored_at"] == now).all()


def test_lacking_columns_are_named(frame, shop):
    with pytest.raises(ContractError, match="missing last_csat"):
        scores_of(frame.drop(columns="last_csat"), shop)


def test_rows_and_index_are_the_frames(frame, shop):
    turned = frame.iloc[::-1].set_index(pd.Index(np.arange(len(frame)) + 100))
    scores = scores_of(turned, shop)
    assert scores.index.equals(turned.index)
    assert scores["customer_id"].tolist() == turned["customer_id"].tolist()
    assert scores["customer_id"].is_unique


def test_nobody_has_a_score_where_nobody_bought(frame, shop):
    scores = scores_of(frame[frame["orders_all"] == 0], shop)
    assert len(scores) == 4
    assert set(scores["status"]) == {"no_orders"}
    assert scores["churn_probability"].isna().all()
    assert scores_of(frame.iloc[:0], shop).empty


def test_every_customer_of_the_retailer_has_one_row(shop):
    frame = build(shop.warehouse, [shop.as_of], population="all")
    scores = scores_of(frame, shop)
    assert len(scores) == scores["customer_id"].nunique() == 1500
    assert scores["status"].value_counts().to_dict() == {
        "ok": int((frame["orders_365d"] > 0).sum()),
        "no_orders": int((frame["orders_all"] == 0).sum()),
        "outside_population": int(((frame["orders_all"] > 0) & (frame["orders_365d"] == 0)).sum()),
    }
