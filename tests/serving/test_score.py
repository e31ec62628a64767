"""Scores: one row per known customer, and a status where no score can be given."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.build import build
from serving.score import STATUSES, score
from tests.features.worlds import at, customer, event, line, tables_of, warehouse_of
from training.predict import churn_probability

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
    return score(frame, shop.registered.model, "7")


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
        alone = churn_probability(shop.registered.model, frame[frame["customer_id"] == name])
        assert scores[name] == pytest.approx(alone[0], rel=1e-12)


def test_longer_silence_is_more_risk_in_this_retailer(frame, shop):
    scores = scores_of(frame, shop).set_index("customer_id")["churn_probability"]
    assert scores["bought a year ago to the microsecond"] > scores["bought lately"]


def test_columns_and_types(frame, shop):
    before = pd.Timestamp(datetime.now(UTC)).tz_localize(None)
    scores = scores_of(frame, shop)
    after = pd.Timestamp(datetime.now(UTC)).tz_localize(None)
    assert {name: str(dtype) for name, dtype in scores.dtypes.items()} == {
        "customer_id": "str",
        "as_of": "datetime64[us]",
        "scored_at": "datetime64[us]",
        "horizon_days": "int64",
        "churn_probability": "float64",
        "status": "str",
        "model_version": "str",
    }
    assert set(scores["as_of"]) == {pd.Timestamp("2024-06-01")}
    assert set(scores["horizon_days"]) == {90}
    assert set(scores["model_version"]) == {"7"}
    assert len(set(scores["scored_at"])) == 1
    assert before.floor("us") <= scores["scored_at"].iloc[0] <= after


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
