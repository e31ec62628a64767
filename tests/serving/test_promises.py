"""What a customer was promised holds whatever clocks, races and publications do: consent, caps, and nothing lost."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from features.errors import ContractError
from features.ingest import ingest_tables
from features.warehouse import Warehouse
from serving.api import FACTS, DecideRequest
from serving.deciding import Deciding
from serving.inbox import flow_back
from serving.live import now_us
from serving.publish import publish
from serving.store import Store
from tests.serving.shops import an_order, fresh_store, iso
from tests.serving.test_routes import client_of

MINUTE_US = 60_000_000
CHANNELS = ("sms", "email", "push", "mini_program", "app_popup", "wecom", "official_account")


@pytest.fixture
def fresh(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    yield live, Deciding(live)
    store.close()


def said(live, kind, *facts):
    reported, _ = live.report(FACTS[kind], list(facts))
    assert reported.accepted == len(facts), reported
    return reported


def word(who, channel, status, at):
    return {"customer_id": who, "channel": channel, "purpose": "marketing", "at": iso(at), "status": status}


def newcomer(live, number=0):
    """Somebody new who may be written to, and is not held out for measurement."""
    names = [f"new-{number}-{n}" for n in range(30)]
    for who in names:
        said(live, "orders", an_order(who, now_us() - 60 * MINUTE_US, order_id=f"o-{who}"))
        said(
            live,
            "consents",
            *(word(who, channel, "SUBSCRIBED", now_us() - MINUTE_US) for channel in CHANNELS),
        )
        decided = Deciding(live).decide(DecideRequest(customer_id=who))
        if decided["action"] == "offer":
            return who
    pytest.fail("nobody of thirty gets an offer")


def wishes(deciding, who, **more):
    return deciding.decide(DecideRequest(customer_id=who, **more))


@pytest.mark.parametrize("ahead", [-MINUTE_US, 0, 4 * MINUTE_US])
def test_a_refusal_counts_at_once_and_after_the_way_back_too(shop, fresh, tmp_path, ahead):
    live, deciding = fresh
    who = newcomer(live)
    said(live, "consents", *(word(who, channel, "UNSUBSCRIBED", now_us() + ahead) for channel in CHANNELS))
    assert wishes(deciding, who)["action"] == "none"
    own = Warehouse(tmp_path / "own.duckdb")
    ingest_tables(own, shop.tables)
    with own.connect(write=True) as connection:
        connection.execute("UPDATE warehouse SET warehouse_id = ?", [live.publication.warehouse_id])
    flow_back(own, live.store, pd.Timestamp.now("UTC").tz_localize(None).to_pydatetime())
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    publish(own, live.store, shop.registered.models, now, model="m", model_version="2")
    assert wishes(deciding, who)["action"] == "none"
    assert live.score([who])[0]["historic_clv"] == 90.0


def test_an_order_of_a_clock_ahead_counts_before_and_after_the_way_back(shop, fresh, tmp_path):
    live, _ = fresh
    said(live, "orders", an_order("ahead", now_us() + 4 * MINUTE_US))
    own = Warehouse(tmp_path / "own.duckdb")
    ingest_tables(own, shop.tables)
    with own.connect(write=True) as connection:
        connection.execute("UPDATE warehouse SET warehouse_id = ?", [live.publication.warehouse_id])
    flow_back(own, live.store, pd.Timestamp.now("UTC").tz_localize(None).to_pydatetime())
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    publish(own, live.store, shop.registered.models, now, model="m", model_version="2")
    assert live.score(["ahead"])[0]["historic_clv"] == 90.0


def test_a_refusal_at_the_instant_of_a_consent_wins(fresh):
    live, deciding = fresh
    who, at = newcomer(live), now_us()
    said(live, "consents", *(word(who, channel, "SUBSCRIBED", at) for channel in CHANNELS))
    said(live, "consents", *(word(who, channel, "UNSUBSCRIBED", at) for channel in CHANNELS))
    assert wishes(deciding, who)["action"] == "none"


def test_a_consent_of_a_clock_ahead_does_not_overtake_a_later_refusal(fresh):
    live, deciding = fresh
    who = newcomer(live)
    said(
        live,
        "consents",
        *(word(who, channel, "SUBSCRIBED", now_us() + 4 * MINUTE_US) for channel in CHANNELS),
    )
    said(live, "consents", *(word(who, channel, "UNSUBSCRIBED", now_us()) for channel in CHANNELS))
    assert wishes(deciding, who)["action"] == "none"


def test_who_unsubscribes_by_a_message_refuses_its_channel(fresh):
    live, deciding = fresh
    who = newcomer(live)
    chosen = wishes(deciding, who)["channel"]
    at = now_us() - 48 * 60 * MINUTE_US
    said(live, "contacts", {"contact_id": "m1", "customer_id": who, "sent_at": iso(at), "channel": chosen, "purpose": "marketing",
                            "status": "delivered", "unsubscribed_at": iso(now_us())})  # fmt: skip
    assert wishes(deciding, who)["channel"] != chosen


def contact(who, number, at, **more):
    return {"contact_id": f"m{number}", "customer_id": who, "sent_at": iso(at), "channel": "sms", "purpose": "marketing",
            "status": "delivered", **more}  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [{"sent": -100 * 24 * 60 * MINUTE_US}, {"sent": 0, "status": "undelivered"}],
    ids=["old", "undelivered"],
)
def test_a_contact_that_does_not_count_frees_no_place(fresh, more):
    live, deciding = fresh
    who, sent = newcomer(live), more.pop("sent")
    offers = 0
    for number in range(5):
        offers += wishes(deciding, who, channels=["sms"], commit=True)["action"] == "offer"
        said(live, "contacts", contact(who, number, now_us() + sent, **more))
    assert offers <= 1  # one text message a day


def test_decisions_and_contacts_at_once_never_pass_the_caps(fresh):
    live, deciding = fresh
    for number in range(3):
        who = newcomer(live, number)
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(wishes, deciding, who, channels=["sms"], commit=True) for _ in range(8)]
            asked.insert(4, pool.submit(said, live, "contacts", contact(who, f"{who}-x", now_us())))
            done = [one.result() for one in asked]
        assert sum(isinstance(one, dict) and one["action"] == "offer" for one in done) <= 1


def test_a_decision_can_be_looked_up_and_decided_again(fresh):
    live, deciding = fresh
    who = newcomer(live)
    made = wishes(deciding, who, commit=True, placement="app_home", context={"weather": "rain"})
    with live.store.reading() as session:
        kept = session.decision(made["decision_id"])
    assert (kept.action, kept.offer_id, kept.trace) == ("offer", made["offer_id"], made["trace"])
    assert kept.facts["request"] == {
        "channels": None,
        "placement": "app_home",
        "context": {"weather": "rain"},
    }
    assert set(deciding.playbook.inputs) <= set(kept.facts)


def test_another_models_version_is_named_only_once_it_is_loaded(shop, fresh):
    live, _ = fresh
    before = live.score(["x"])[0]["model_version"]
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    publish(shop.warehouse, live.store, shop.registered.models, now, model="m", model_version="99")
    assert live.score(["x"])[0]["model_version"] == before
    assert live.publication.model_version == "99"


def test_a_publication_that_does_not_fit_is_503_and_not_ready(shop, fresh, monkeypatch):
    live, _ = fresh
    monkeypatch.setitem(publish.__globals__, "LAYOUT", "another")
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    publish(shop.warehouse, live.store, shop.registered.models, now, model="m", model_version="2")
    answer = client_of(live).post("/score", json={"customer_ids": ["x"]})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert not live.is_ready()
    with pytest.raises(ContractError):
        live.score(["x"])


def test_the_biggest_whole_number_stops_nobody(fresh, shop, tmp_path):
    live, _ = fresh
    ticket = {
        "ticket_id": "t1",
        "customer_id": "x",
        "opened_at": iso(now_us()),
        "kind": "complaint",
        "contacts_count": 2**53,
    }
    said(live, "tickets", ticket)
    reported, _ = live.report(FACTS["tickets"], [ticket | {"ticket_id": "t2", "contacts_count": 2**63}])
    assert reported.accepted == 0
    own = Warehouse(tmp_path / "own.duckdb")
    ingest_tables(own, shop.tables)
    flow_back(own, live.store, pd.Timestamp.now("UTC").tz_localize(None).to_pydatetime())
    with own.connect() as connection:
        assert connection.execute("SELECT contacts_count FROM tickets WHERE ticket_id = 't1'").fetchall() == [
            (2**53,)
        ]
    assert own.quarantine().num_rows == 0


def test_a_store_elsewhere(shop, tmp_path):
    store = Store(f"sqlite:///{tmp_path}/deep/er/store.db", create=True)
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    done = publish(shop.warehouse, store, shop.registered.models, now, model="m", model_version="1")
    assert done.customers > 1000
    store.close()
