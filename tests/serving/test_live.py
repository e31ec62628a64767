"""Scores on read: the same as offline to the last bit, and fresh."""

import numpy as np
import pandas as pd
import pytest

from features.build import build
from features.catalogue import FACTS, FEATURES, names
from features.errors import ContractError, StoreUnavailable
from features.ingest import ingest_tables
from features.plan import Plan
from features.warehouse import Warehouse
from serving.api import FACTS as KINDS
from serving.live import Live, now_us
from serving.publish import publish
from serving.score import SCORE_COLUMNS, score
from serving.store import Store
from tests.serving.shops import an_event, an_order, fresh_store, iso

DAY_US = 86_400_000_000


def us(at):
    return int(pd.Timestamp(at).value // 1_000)


def test_a_thousand_customers_online_and_offline_to_the_last_bit(shop, published):
    at = now_us()
    as_of = pd.Timestamp(at, unit="us").as_unit("us")
    frame = build(shop.warehouse, [as_of], population="all")
    offline = score(frame, shop.registered.models, shop.registered.version).head(1000)
    online = published.live.score(offline["customer_id"].to_list(), at)
    assert len(online) == 1000
    for row, expected in zip(online, offline.to_dict("records"), strict=True):
        for name in ("customer_id", *SCORE_COLUMNS):
            if name == "scored_at":
                continue
            value, wanted = row[name], expected[name]
            if isinstance(wanted, pd.Timestamp):
                assert pd.Timestamp(value).tz_localize(None) == wanted, name
            elif pd.isna(wanted):
                assert value is None, name
            else:
                assert value == wanted, name  # floats too: no tolerance


def test_features_and_facts_too(shop, published):
    at = now_us()
    frame = build(
        shop.warehouse,
        [pd.Timestamp(at, unit="us")],
        population="all",
        columns=[*names(), *(f.name for f in FACTS)],
    ).set_index("customer_id")
    with published.store.reading() as session:
        (moment,) = published.live.moments(session, session.customer_ids(), at, Plan.of((*FEATURES, *FACTS)))
    assert moment.customer_ids == list(frame.index)
    for name, values in moment.columns.items():
        np.testing.assert_array_equal(values, frame[name].to_numpy(dtype=np.float64), err_msg=name)


def test_one_at_a_time_or_all_at_once(published):
    with published.store.reading() as session:
        ids = session.customer_ids()[:40]
    at = now_us()
    together = published.live.score(ids, at)
    alone = [published.live.score([name], at)[0] for name in ids]
    for row in (*together, *alone):
        del row["scored_at"]
    assert together == alone


def test_answers_come_in_the_order_of_the_question_and_repeat_with_it(published):
    with published.store.reading() as session:
        first, second = session.customer_ids()[:2]
    rows = published.live.score([second, "nobody", first, second])
    assert [row["customer_id"] for row in rows] == [second, "nobody", first, second]
    assert rows[1]["status"] == "unknown_customer"
    assert rows[1]["churn_probability"] is None
    assert set(rows[1]) == set(rows[0])


def test_what_was_posted_counts_in_the_next_score(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    frame = build(shop.warehouse, [shop.as_of], population="active-365d")
    who = frame[frame["days_since_last_order"].between(100, 200)]["customer_id"].iloc[0]
    before = live.score([who])[0]
    reported, _ = live.report(KINDS["orders"], [an_order(who, now_us() - 60_000_000)])
    assert (reported.accepted, reported.rejected) == (1, [])
    after = live.score([who])[0]
    assert after["churn_probability"] < before["churn_probability"]
    assert after["as_of"] > before["as_of"]
    assert after["historic_clv"] == pytest.approx(before["historic_clv"] + 90.0)
    store.close()


def test_a_fact_of_a_clock_that_runs_ahead_counts_at_once(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    at = now_us() + 200_000_000
    live.report(KINDS["orders"], [an_order("newcomer", at)])
    live.report(KINDS["events"], [an_event("other", now_us())])
    ahead, other = live.score(["newcomer", "other"])
    assert us(ahead["as_of"].removesuffix("Z")) == at + 1
    assert (ahead["status"], other["status"]) == ("ok", "no_orders")
    assert us(other["as_of"].removesuffix("Z")) < at
    store.close()


def test_an_order_in_the_inbox_and_in_the_warehouse_counts_once(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    with shop.warehouse.connect() as connection:
        order_id, who, paid_at = connection.execute(
            "SELECT order_id, customer_id, min(paid_at) FROM order_lines WHERE kind = 'sale' AND customer_id IS NOT NULL "
            "GROUP BY ALL ORDER BY 3 DESC LIMIT 1"
        ).fetchall()[0]
    before = live.score([who])[0]
    posted = an_order(who, us(paid_at)) | {"order_id": order_id}
    assert live.report(KINDS["orders"], [posted])[0].accepted == 1
    after = live.score([who])[0]
    assert after["historic_clv"] == before["historic_clv"]
    assert after["average_order_value"] == before["average_order_value"]
    store.close()


def test_publishing_again_takes_over_what_the_night_file_holds_and_keeps_the_rest(shop, tmp_path):
    path = tmp_path / "own.duckdb"
    ingest_tables(Warehouse(path), shop.tables)
    own = Warehouse(path)
    store = Store(f"sqlite:///{tmp_path}/s.db", create=True)
    put(own, shop, store)
    live = Live(store)
    at = now_us() - 3_600_000_000
    live.report(KINDS["orders"], [an_order("newcomer", at), an_order("second", at + 1)])
    assert [row["status"] for row in live.score(["newcomer", "second"])] == ["ok", "ok"]
    night = pd.DataFrame(
        [
            {"order_id": f"o{at}", "line_id": "1", "customer_id": "newcomer", "kind": "sale", "paid_at": iso(at),
             "product_id": "p1", "quantity": 1.0, "gross_amount": 70.0, "discount_amount": 0.0, "net_amount": 70.0,
             "currency": "CNY", "channel": "web"}
        ]
    )  # fmt: skip
    (tmp_path / "night").mkdir()
    night.to_parquet(tmp_path / "night" / "order_lines.parquet")
    ingest_tables(own, tmp_path / "night")
    done = put(own, shop, store)
    assert (done.closed, done.still_open) == (1, 1)
    rows = live.score(["newcomer", "second"])
    assert [row["historic_clv"] for row in rows] == [70.0, 90.0]  # the night's amount; the open one as posted
    store.close()


def put(warehouse, shop, store):
    registered = shop.registered
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    return publish(
        warehouse, store, registered.models, now, model=registered.name, model_version=registered.version
    )


def test_an_older_publication_replaces_nothing(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    registered = shop.registered
    with pytest.raises(ValueError, match="newer than this one"):
        publish(
            shop.warehouse, store, registered.models, shop.as_of, model=registered.name, model_version="0"
        )
    with store.reading() as session:
        assert session.publication() == live.publication
    store.close()


def test_an_empty_store_is_refused_with_what_to_do(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/s.db", create=True)
    with pytest.raises(StoreUnavailable, match="patron publish"):
        Live(store)
    store.close()


def test_a_store_of_other_features_is_refused_with_both_sides(shop, tmp_path, monkeypatch):
    store, live = fresh_store(shop, tmp_path)
    monkeypatch.setitem(Live.__init__.__globals__, "LAYOUT", "another")
    with pytest.raises(ContractError, match=rf"{live.publication.layout}.*another"):
        Live(store)
    store.close()
