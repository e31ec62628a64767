"""The way back: facts that the service took in flow into the warehouse, by the command, each once."""

import pandas as pd
import pytest

from features.build import build
from features.ingest import ingest_tables
from features.warehouse import Warehouse
from serving.api import FACTS
from serving.live import Live, now_us
from serving.store import Store
from tests.serving.shops import an_event, an_order, iso

HOUR_US = 3_600_000_000


@pytest.fixture
def own(shop, patron, tmp_path):
    """A warehouse of its own in the shop's folder (it shares the registry), published to a store by the command."""
    path = shop.warehouse.path.parent / f"{tmp_path.name}.duckdb"
    ingest_tables(Warehouse(path), shop.tables)
    url = f"sqlite:///{tmp_path}/store.db"
    name = f"patron-{Warehouse(path).settings().warehouse_id}"
    shop.registry.log(name, shop.registered.models, parameters={}, metrics={}, tags={}, pictures=[])
    done = patron("publish", "--warehouse", path, "--store", url)
    assert done.code == 0, done.err
    store = Store(url)
    yield Warehouse(path), url, Live(store)
    store.close()


def held(warehouse, table, key):
    with warehouse.connect() as connection:
        return connection.execute(f"SELECT {key} FROM {table} WHERE {key} LIKE 'new-%' ORDER BY 1").fetchall()


def report_all(live):
    at = now_us() - HOUR_US
    facts = {
        "orders": [an_order("ann", at, order_id="new-1"), an_order("bob", at, order_id="new-2", kind="return", original_order_id="o0"),
                   an_order(None, at, order_id="new-3")],
        "events": [an_event("ann", at, event_id="new-1", duration_s=12.5, product_id="p0001")],
        "tickets": [{"ticket_id": "new-1", "customer_id": "ann", "opened_at": iso(at), "kind": "complaint", "csat": 2,
                     "rated_at": iso(at + 1)}],
        "contacts": [{"contact_id": "new-1", "customer_id": "ann", "sent_at": iso(at), "channel": "sms",
                      "purpose": "marketing", "status": "delivered", "cost": 0.05}],
        "consents": [{"customer_id": "new-1", "channel": "sms", "purpose": "marketing", "at": iso(at), "status": "SUBSCRIBED"}],
        "feedback": [{"feedback_id": "new-1", "customer_id": "ann", "at": iso(at), "kind": "nps", "rating": 9}],
    }  # fmt: skip
    for kind, items in facts.items():
        reported, _ = live.report(FACTS[kind], items)
        assert (reported.accepted, reported.rejected) == (len(items), [])


def test_every_kind_of_fact_comes_back_once(own, patron):
    warehouse, url, live = own
    report_all(live)
    done = patron("ingest", "--store", url, "--warehouse", warehouse.path)
    assert done.code == 0, done.err
    assert held(warehouse, "order_lines", "order_id") == [("new-1",), ("new-2",), ("new-3",)]
    for table, key in (("events", "event_id"), ("tickets", "ticket_id"), ("contacts", "contact_id"),
                       ("consents", "customer_id"), ("feedback", "feedback_id")):  # fmt: skip
        assert held(warehouse, table, key) == [("new-1",)]
    assert warehouse.quarantine().num_rows == 0
    again = patron("ingest", "--store", url, "--warehouse", warehouse.path)
    assert (again.code, again.out.strip()) == (0, "the warehouse holds everything that the service took in")
    published = patron("publish", "--warehouse", warehouse.path, "--store", url)
    assert "8 are in the warehouse by now, 0 are not yet" in published.out


def test_before_and_after_the_way_back_the_features_are_the_same(own, patron):
    warehouse, url, live = own
    report_all(live)
    before = live.score(["ann", "bob"])
    assert patron("ingest", "--store", url, "--warehouse", warehouse.path).code == 0
    assert patron("publish", "--warehouse", warehouse.path, "--store", url).code == 0
    at = now_us()
    after = live.score(["ann", "bob"], at)
    for old, new in zip(before, after, strict=True):
        assert (new["historic_clv"], new["status"]) == (old["historic_clv"], old["status"])
    frame = build(warehouse, [pd.Timestamp(at, unit="us")], population="all").set_index("customer_id")
    assert frame.loc["ann", "orders_30d"] == 1
    assert frame.loc["bob", "refunds_30d"] == 90.0


def test_a_fact_is_known_from_when_it_was_received(own, patron):
    warehouse, url, live = own
    report_all(live)
    assert patron("ingest", "--store", url, "--warehouse", warehouse.path).code == 0
    frame = build(warehouse, [pd.Timestamp(now_us() - HOUR_US // 2, unit="us")], population="all")
    assert "ann" not in set(frame["customer_id"])  # it had happened, and nobody knew


def test_the_sources_own_delivery_stands_whatever_was_posted(own, patron, tmp_path):
    warehouse, url, live = own
    at = now_us() - HOUR_US
    live.report(FACTS["orders"], [an_order("ann", at, order_id="new-1")])
    night = [
        {"order_id": "new-1", "line_id": "1", "customer_id": "ann", "kind": "sale", "paid_at": iso(at), "product_id": "p1",
         "quantity": 1.0, "gross_amount": 70.0, "discount_amount": 0.0, "net_amount": 70.0, "currency": "CNY", "channel": "web"}
    ]  # fmt: skip
    (tmp_path / "night").mkdir()
    pd.DataFrame(night).to_parquet(tmp_path / "night" / "order_lines.parquet")
    assert patron("ingest", "--tables", tmp_path / "night", "--warehouse", warehouse.path).code == 0
    done = patron("ingest", "--store", url, "--warehouse", warehouse.path)
    assert "holds everything" in done.out
    with warehouse.connect() as connection:
        amounts = connection.execute(
            "SELECT net_amount, superseded_at FROM order_lines WHERE order_id = 'new-1'"
        ).fetchall()
    assert [(float(amount), until) for amount, until in amounts] == [(70.0, None)]


def test_mistakes_in_one_line(patron, shop, tmp_path):
    for arguments in (
        ["--store", "sqlite:///nowhere.db"],
        ["--store", "nonsense"],
        ["--store", "x", "--tables", tmp_path],
    ):
        done = patron("ingest", "--warehouse", shop.warehouse.path, *arguments)
        assert done.code == 2
        assert len(done.err.splitlines()) == 1


def test_simulate_writes_tables_and_truth(patron, tmp_path):
    done = patron(
        "simulate",
        "--customers",
        "50",
        "--days",
        "100",
        "--end",
        "2026-09-07",
        "--seed",
        "3",
        "--out",
        tmp_path,
    )
    assert done.code == 0, done.err
    orders = pd.read_parquet(tmp_path / "tables" / "order_lines.parquet")
    truth = pd.read_parquet(tmp_path / "truth" / "customers.parquet")
    assert orders["paid_at"].max() < pd.Timestamp("2026-09-07", tz="UTC")
    assert {"customer_id", "p_order_90d", "next_order_at", "spend_365d"} <= set(truth.columns)
    assert "facts before 2026-09-07" in done.out
