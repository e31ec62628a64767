"""The endpoints, asked over HTTP in this process: shapes, rights, and every mistake a caller can make."""

import json
import uuid

import pytest
from starlette.testclient import TestClient

from features.build import build
from serving.access import RIGHTS, Access
from serving.api import FACTS, MOST_CUSTOMERS, MOST_FACTS
from serving.live import now_us
from serving.middleware import MOST_BYTES, Limit
from serving.routes import create_app, start
from serving.score import SCORE_COLUMNS
from tests.serving.shops import an_event, an_order, fresh_store, iso

KEYS = {role: f"{role}-secret-1" for role in RIGHTS}
MINUTE_US = 60_000_000


def client_of(live):
    app = create_app()
    start(app, live, Access.parse(",".join(f"{role}:{secret}" for role, secret in KEYS.items())))
    return TestClient(
        Limit(app), headers={"Authorization": f"Bearer {KEYS['crm']}"}, raise_server_exceptions=False
    )


@pytest.fixture(scope="module")
def crm(published):
    """A client that changes nothing: its store is shared."""
    return client_of(published.live)


@pytest.fixture
def fresh(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    yield client_of(live)
    store.close()


@pytest.fixture(scope="module")
def regular(shop):
    """A customer who bought often and lately enough to be scored."""
    frame = build(shop.warehouse, [shop.as_of], population="active-365d")
    return frame[frame["days_since_last_order"] < 100].sort_values("orders_all")["customer_id"].iloc[-1]


def problem_of(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


def test_a_score_row_has_the_fixed_columns(crm, regular):
    (row,) = crm.post("/score", json={"customer_ids": [regular]}).json()["scores"]
    assert list(row) == ["customer_id", *SCORE_COLUMNS]
    assert row["status"] == "ok"
    assert row["p_order_90d"] == 1 - row["churn_probability"]
    assert row["p_order_7d"] <= row["p_order_30d"] <= row["p_order_90d"]


def test_nobody_asked_nobody_scored(crm):
    assert crm.post("/score", json={"customer_ids": []}).json() == {"scores": []}


def test_scores_from_facts_given_inline_are_those_of_the_same_facts_reported(fresh):
    at = now_us() - 90 * 24 * 60 * MINUTE_US
    orders = [an_order("inline", at + n * 24 * 60 * 13 * MINUTE_US, order_id=f"i{n}") for n in range(6)]
    events = [an_event("inline", at + n, event_id=f"i{n}") for n in range(3)]
    bare = [{name: value for name, value in order.items() if name != "customer_id"} for order in orders]
    asked = {"customers": [{"customer_id": "inline", "orders": bare, "events": events}]}
    (inline,) = fresh.post("/score", json=asked).json()["scores"]
    assert inline["status"] == "ok"
    assert (
        fresh.post("/score", json={"customer_ids": ["inline"]}).json()["scores"][0]["status"]
        == "unknown_customer"
    )
    fresh.post("/orders", json={"orders": orders})
    fresh.post("/events", json={"events": events})
    (reported,) = fresh.post("/score", json={"customer_ids": ["inline"]}).json()["scores"]
    assert reported["historic_clv"] == inline["historic_clv"] == 540.0
    assert reported["churn_probability"] == pytest.approx(
        inline["churn_probability"], abs=1e-4
    )  # a moment later


@pytest.mark.parametrize("kind", FACTS)
def test_each_kind_of_fact_is_taken_once(fresh, kind):
    at = iso(now_us() - MINUTE_US)
    fact = {
        "orders": an_order("new", now_us() - MINUTE_US),
        "events": an_event("new", now_us() - MINUTE_US),
        "tickets": {"ticket_id": "t1", "customer_id": "new", "opened_at": at, "kind": "complaint"},
        "contacts": {"contact_id": "m1", "customer_id": "new", "sent_at": at, "channel": "sms", "purpose": "marketing",
                     "status": "delivered"},
        "consents": {"customer_id": "new", "channel": "sms", "purpose": "marketing", "at": at, "status": "SUBSCRIBED"},
        "feedback": {"feedback_id": "f1", "customer_id": "new", "at": at, "kind": "nps", "rating": 9},
    }[kind]  # fmt: skip
    other = fact | ({"channel": "email"} if kind != "tickets" and "channel" in fact else {})
    first, again = (fresh.post(f"/{kind}", json={kind: [fact]}).json() for _ in range(2))
    assert (first, again) == (
        {"accepted": 1, "duplicates": 0, "rejected": []}, {"accepted": 0, "duplicates": 1, "rejected": []},
    )  # fmt: skip
    assert fresh.post("/score", json={"customer_ids": ["new"]}).json()["scores"][0]["status"] in (
        "ok",
        "no_orders",
    )
    if kind in ("events", "contacts"):
        found = problem_of(
            fresh.post(
                f"/{kind}",
                json={kind: [other | ({"channel": "push"} if kind == "contacts" else {"channel": "app"})]},
            ),
            409,
        )
        assert "other content" in found["detail"]


def test_a_bad_fact_does_not_spoil_the_others(fresh):
    good, bad = an_event("new", now_us()), an_event("new", now_us() - 1) | {"kind": "dance"}
    answer = fresh.post("/events", json={"events": [bad, good, 7]})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["accepted"], [r["index"] for r in found["rejected"]]) == (1, [0, 2])
    assert "dance" in found["rejected"][0]["detail"]


MISTAKES = {
    "a time without a zone": ({"paid_at": "2026-01-01T10:00:00"}, "paid_at"),
    "no time at all": ({"paid_at": "yesterday"}, "paid_at"),
    "an unknown channel": ({"channel": "pigeon"}, "channel"),
    "another currency": ({"currency": "USD"}, "USD"),
    "no lines": ({"lines": []}, "lines"),
    "an unknown field": ({"colour": "red"}, "colour"),
}


@pytest.mark.parametrize(("change", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_only_fact_is_told(fresh, change, named):
    found = problem_of(fresh.post("/orders", json={"orders": [an_order("x", now_us()) | change]}), 422)
    assert named in found["detail"]
    assert found["accepted"] == 0


def test_five_minutes_ahead_and_no_more(fresh):
    ahead = fresh.post("/events", json={"events": [an_event("x", now_us() + 4 * MINUTE_US)]})
    assert ahead.json()["accepted"] == 1
    found = problem_of(fresh.post("/events", json={"events": [an_event("x", now_us() + 6 * MINUTE_US)]}), 422)
    assert "5 minutes" in found["detail"]


BODIES = {
    "no JSON": (b"{nonsense", 400),
    "nothing": (b"", 400),
    "not UTF-8": (b'{"customer_ids": ["\xff"]}', 400),
    "half a surrogate": (b'{"customer_ids": ["\\ud800"]}', 400),
    "NaN": (b'{"customer_ids": NaN}', 400),
    "deep": (b"[" * 100_000, 400),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "a word for a list": (b'{"customer_ids": "c1"}', 422),
    "null among ids": (b'{"customer_ids": [null]}', 422),
    "an empty id": (b'{"customer_ids": [""]}', 422),
    "an endless id": (b'{"customer_ids": ["' + b"x" * 300 + b'"]}', 422),
    "a null byte": (b'{"customer_ids": ["a\\u0000b"]}', 422),
    "neither": (b"{}", 422),
    "both": (b'{"customer_ids": [], "customers": []}', 422),
    "an unknown field": (b'{"customer_ids": [], "as_of": "2020-01-01"}', 422),
    "too many": (json.dumps({"customer_ids": [str(n) for n in range(MOST_CUSTOMERS + 1)]}).encode(), 422),
    "ten megabytes": (b'{"customer_ids": ["' + b"x" * 10_000_000 + b'"]}', 413),
    "just too long": (b" " * (MOST_BYTES + 1), 413),
}


@pytest.mark.parametrize("path", ["/score", "/decide", "/orders", "/events"])
@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_bodies_that_make_no_sense(crm, path, body, status):
    found = problem_of(crm.post(path, content=body), status if path == "/score" or status != 422 else 422)
    assert "Traceback" not in json.dumps(found)


def test_too_many_facts(crm):
    problem_of(crm.post("/events", json={"events": [{}] * (MOST_FACTS + 1)}), 413)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong-secret", "Basic Y3JtOng=", f"bearer  {KEYS['crm']} x", "Bearer é"],
)
def test_a_wrong_key_is_refused(crm, header):
    headers = {"Authorization": header.encode("utf-8") if header is not None else b""}
    for method, path in (
        ("POST", "/score"),
        ("POST", "/orders"),
        ("GET", "/customers/c1"),
        ("POST", "/decide"),
    ):
        answer = crm.request(method, path, headers=headers, content=b"{}")
        problem_of(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


RIGHT_OF = {"/score": "score", "/decide": "decide", "/orders": "report", "/consents": "report"}


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_may_what_its_rights_say(crm, role):
    headers = {"Authorization": f"Bearer {KEYS[role]}"}
    for path, right in RIGHT_OF.items():
        refused = crm.post(path, headers=headers, content=b"x").status_code == 403
        assert refused is (right not in RIGHTS[role]), (role, path)


def test_unknown_paths_and_methods_are_problems_too(crm):
    problem_of(crm.get("/nothing/here"), 404)
    problem_of(crm.get("/score"), 405)
    problem_of(crm.delete("/orders"), 405)


def test_an_unknown_customer_is_not_found(crm):
    assert "nobody" in problem_of(crm.get("/customers/nobody"), 404)["detail"]
    assert "nobody" in problem_of(crm.post("/decide", json={"customer_id": "nobody"}), 404)["detail"]


def test_the_view_shows_who_it_is(crm, regular):
    found = crm.get(f"/customers/{regular}").json()
    assert {"customer_id", "profile", "tags", "segments", "scores", "reasons"} <= set(found)
    assert found["customer_id"] == regular
    assert set(found["segments"]) >= {"lifecycle5", "rfm15", "dynamic8"}
    assert len(found["reasons"]) == 3
    assert found["scores"]["status"] == "ok"


def test_a_decision_has_the_fixed_shape(crm, regular):
    found = crm.post("/decide", json={"customer_id": regular}).json()
    fixed = {
        "decision_id",
        "customer_id",
        "as_of",
        "action",
        "offer_id",
        "channel",
        "send_after",
        "why",
        "trace",
    }
    assert fixed <= set(found)
    assert uuid.UUID(found["decision_id"])
    assert found["action"] in ("offer", "none")
    assert (found["action"] == "offer") is (found["offer_id"] is not None)
    assert found["why"]
    assert found["trace"]


def consented(client, who, *channels):
    words = [
        {"customer_id": who, "channel": channel, "purpose": "marketing", "at": iso(now_us() - MINUTE_US), "status": "SUBSCRIBED"}
        for channel in channels
    ]  # fmt: skip
    assert client.post("/consents", json={"consents": words}).json()["accepted"] == len(words)


def test_a_complaint_ends_marketing_at_once_and_a_consent_allows_it(fresh):
    fresh.post("/orders", json={"orders": [an_order("shopper", now_us() - 60 * MINUTE_US)]})
    assert (
        fresh.post("/decide", json={"customer_id": "shopper"}).json()["action"] == "none"
    )  # no consent, no marketing
    consented(
        fresh, "shopper", "sms", "email", "push", "mini_program", "app_popup", "wecom", "official_account"
    )
    before = fresh.post("/decide", json={"customer_id": "shopper"}).json()
    ticket = {
        "ticket_id": "t1",
        "customer_id": "shopper",
        "opened_at": iso(now_us() - MINUTE_US),
        "kind": "complaint",
    }
    fresh.post("/tickets", json={"tickets": [ticket]})
    after = fresh.post("/decide", json={"customer_id": "shopper"}).json()
    assert before["action"] == "offer" or before["withheld_offer_id"]
    assert after["offer_id"] in (None, "complaint_followup")


def test_committed_decisions_fill_the_caps_and_no_more(fresh):
    fresh.post("/orders", json={"orders": [an_order("shopper", now_us() - 60 * MINUTE_US)]})
    consented(
        fresh, "shopper", "sms", "email", "push", "mini_program", "app_popup", "wecom", "official_account"
    )
    chosen = [fresh.post("/decide", json={"customer_id": "shopper", "commit": True}).json() for _ in range(6)]
    offers = [one for one in chosen if one["action"] == "offer"]
    if not chosen[0]["withheld_offer_id"]:
        assert 1 <= len(offers) <= 2  # two marketing contacts a week at most
    assert all(one["action"] == "none" for one in chosen[len(offers) :])


def test_openapi_names_every_path_and_type(crm):
    described = crm.get("/openapi.json", headers={"Authorization": ""}).json()
    assert {"/score", "/decide", "/customers/{customer_id}", *(f"/{kind}" for kind in FACTS)} <= set(
        described["paths"]
    )
    text = json.dumps(described)
    for name in {piece.split('"')[0] for piece in text.split('"#/components/schemas/')[1:]}:
        assert name in described["components"]["schemas"], name


def test_the_store_is_lost_and_found(shop, tmp_path):
    store, live = fresh_store(shop, tmp_path)
    client = client_of(live)
    path = tmp_path / "store.db"
    store.close()
    hidden = path.rename(tmp_path / "hidden.db")
    assert not live.is_ready()
    for answer in (
        client.post("/score", json={"customer_ids": ["c1"]}),
        client.post("/events", json={"events": [an_event("x", now_us())]}),
    ):
        assert problem_of(answer, 503)
        assert answer.headers["retry-after"]
    store.close()
    hidden.rename(path)
    assert live.is_ready()
    assert client.post("/score", json={"customer_ids": ["c1"]}).status_code == 200
    store.close()
