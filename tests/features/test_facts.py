"""Facts that rules ask for: every edge by hand, and an oracle that loops over the rows."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import FACTS, FEATURES, select
from features.kernel import compute
from features.streams import read
from tests.features.worlds import (
    MICROSECOND,
    at,
    contact,
    event,
    line,
    link,
    memory,
    microseconds,
    put,
    tables_of,
    ticket,
)

CUTOFF = at("2024-06-01")
DAY = timedelta(days=1)
NAMES = [fact.name for fact in FACTS]


@pytest.fixture(scope="module")
def database():
    connection = memory()
    yield connection
    connection.close()


def facts_of(connection, rows, cutoffs=(CUTOFF,), names=NAMES):
    """(customer, index of the cutoff) -> name -> value."""
    put(connection, tables_of([line("ann", "2020-01-01"), *rows]))
    times = microseconds(cutoffs)
    computed = compute(read(connection, times), times, select(names))
    return {
        (who, index): {name: float(values[row, index]) for name, values in computed.columns.items()}
        for row, who in enumerate(computed.customers.to_pylist())
        for index in range(len(cutoffs))
    }


def complaint(opened_at, **more):
    return ticket(
        "ann",
        opened_at,
        kind="complaint",
        **{name: at(value) if name.endswith("_at") else value for name, value in more.items()},
    )


BEFORE, YESTERDAY = CUTOFF - MICROSECOND, CUTOFF - DAY
CASES = [
    ("nothing happened", [], {name: np.nan if name in ("days_since_last_complaint", "last_complaint_csat") else 0 for name in NAMES}),
    ("opened a microsecond before", [complaint(BEFORE)], {"open_complaints": 1, "complaints_365d": 1}),
    ("opened at the cutoff is the future", [complaint(CUTOFF)], {"open_complaints": 0, "days_since_last_complaint": np.nan}),
    ("closed a microsecond before", [complaint(YESTERDAY, closed_at=BEFORE)], {"open_complaints": 0, "complaints_365d": 1}),
    ("closed at the cutoff is open still", [complaint(YESTERDAY, closed_at=CUTOFF)], {"open_complaints": 1}),
    ("closed before it was opened is closed", [complaint(YESTERDAY, closed_at="2024-01-01")], {"open_complaints": 0}),
    ("an enquiry is no complaint", [ticket("ann", YESTERDAY)], {"open_complaints": 0, "enquiries_30d": 1}),
    ("two open, one closed", [complaint("2023-01-01"), complaint(YESTERDAY), complaint("2024-05-01", closed_at="2024-05-02")],
     {"open_complaints": 2, "complaints_365d": 2, "days_since_last_complaint": 1}),
    ("known only later", [complaint(YESTERDAY, known_at="2024-07-01")], {"open_complaints": 0}),
    ("of the last complaint only if rated before", [complaint(YESTERDAY, csat=4, rated_at=CUTOFF)], {"last_complaint_csat": np.nan}),
    ("rated a microsecond before", [complaint(YESTERDAY, csat=4, rated_at=BEFORE)], {"last_complaint_csat": 4}),
    ("an older one's rating says nothing of the last", [complaint("2024-05-01", csat=5, rated_at="2024-05-02"), complaint(YESTERDAY)],
     {"last_complaint_csat": np.nan}),
    ("an older one rated later says nothing either",
     [complaint("2024-05-01", csat=5, rated_at=BEFORE), complaint("2024-05-02", csat=2, rated_at="2024-05-03")], {"last_complaint_csat": 2}),
    ("two at once: the worst", [complaint(YESTERDAY, csat=5, rated_at=BEFORE), complaint(YESTERDAY, csat=2, rated_at=BEFORE)],
     {"last_complaint_csat": 2}),
    ("two at once, one not rated", [complaint(YESTERDAY, csat=5, rated_at=BEFORE), complaint(YESTERDAY)], {"last_complaint_csat": np.nan}),
    ("two at once, one with the time of a rating and none", [complaint(YESTERDAY, csat=5, rated_at=BEFORE),
     complaint(YESTERDAY, rated_at=BEFORE)], {"last_complaint_csat": np.nan}),
    ("two at once, one rated at the cutoff", [complaint(YESTERDAY, csat=5, rated_at=BEFORE),
     complaint(YESTERDAY, csat=1, rated_at=CUTOFF)], {"last_complaint_csat": np.nan}),
    ("a neighbour's at the same instant is not hers", [complaint(YESTERDAY, csat=5, rated_at=BEFORE),
     *(ticket(who, YESTERDAY, kind="complaint", csat=1, rated_at=BEFORE) for who in ("anna", "an"))],
     {"last_complaint_csat": 5, "open_complaints": 1}),
    ("a closing and a rating known a microsecond later", [complaint(YESTERDAY, ticket_id="t", known_at=YESTERDAY),
     complaint(YESTERDAY, ticket_id="t", known_at=CUTOFF + MICROSECOND, closed_at=BEFORE, csat=2, rated_at=BEFORE)],
     {"open_complaints": 1, "last_complaint_csat": np.nan}),
    ("a closing and a rating known at the cutoff", [complaint(YESTERDAY, ticket_id="t", known_at=YESTERDAY),
     complaint(YESTERDAY, ticket_id="t", known_at=CUTOFF, closed_at=BEFORE, csat=2, rated_at=BEFORE)],
     {"open_complaints": 0, "last_complaint_csat": 2, "complaints_365d": 1}),
    ("taken back at the cutoff, and a microsecond later", [event("ann", YESTERDAY, "search", superseded_at=CUTOFF),
     event("ann", YESTERDAY, "visit", superseded_at=CUTOFF + MICROSECOND)], {"searches_30d": 0, "visits_30d": 1}),
    ("an enquiry's rating is not a complaint's", [complaint("2024-05-01", csat=2, rated_at="2024-05-02"),
     ticket("ann", YESTERDAY, csat=5, rated_at=BEFORE)], {"last_complaint_csat": 2}),
    ("exactly 365 days before counts", [complaint(CUTOFF - 365 * DAY)], {"complaints_365d": 1}),
    ("a microsecond more does not", [complaint(CUTOFF - 365 * DAY - MICROSECOND)], {"complaints_365d": 0, "open_complaints": 1}),
    ("events by kind", [event("ann", YESTERDAY, kind) for kind in ("favourite", "visit", "search", "search", "view")],
     {"favourites_30d": 1, "visits_30d": 1, "searches_30d": 2, "views_90d": 1}),
    ("exactly 30 days before counts", [event("ann", CUTOFF - 30 * DAY, "search")], {"searches_30d": 1}),
    ("a microsecond more does not count", [event("ann", CUTOFF - 30 * DAY - MICROSECOND, "search")], {"searches_30d": 0}),
    ("marketing by channel", [contact("ann", BEFORE, channel="sms"), contact("ann", BEFORE, channel="wecom")],
     {"contacts_7d": 2, "contacts_sms_1d": 1, "contacts_wecom_1d": 1, "contacts_email_1d": 0}),
    ("undelivered is none", [contact("ann", BEFORE, channel="sms", status="undelivered")], {"contacts_7d": 0, "contacts_sms_1d": 0}),
    ("a service message is none", [contact("ann", BEFORE, channel="sms", purpose="service")], {"contacts_7d": 0, "contacts_sms_1d": 0}),
    ("exactly a day before counts", [contact("ann", YESTERDAY, channel="sms")], {"contacts_sms_1d": 1}),
    ("a day and a microsecond does not", [contact("ann", YESTERDAY - MICROSECOND, channel="sms")], {"contacts_sms_1d": 0, "contacts_7d": 1}),
    ("official account in 30 days", [contact("ann", CUTOFF - 30 * DAY, channel="official_account")], {"contacts_official_account_30d": 1}),
    ("an order brought back in two lines is one", [line("ann", YESTERDAY, kind="return", order_id="r", line_id=n) for n in "12"]
     + [line("ann", YESTERDAY, kind="return", order_id="s")], {"return_orders_365d": 2}),
    ("brought back at the edges of the year", [line("ann", CUTOFF - 365 * DAY + shift, kind="return", order_id=str(shift))
     for shift in (-MICROSECOND, 0 * DAY, 365 * DAY - MICROSECOND, 365 * DAY)], {"return_orders_365d": 2}),
    ("one order brought back before the year and in it", [line("ann", when, kind="return", order_id="r", line_id=when.isoformat())
     for when in (CUTOFF - 366 * DAY, YESTERDAY)], {"return_orders_365d": 1}),
    ("one number in two sources is two orders", [line("ann", YESTERDAY, kind="return", order_id="r"),
     line("ann", YESTERDAY, kind="return", order_id="r", source="till"), link("ann", "ann", source="till")], {"return_orders_365d": 2}),
    *((f"{channel} in {days} days", [contact("ann", CUTOFF - days * DAY + shift, channel=channel)
       for shift in (-MICROSECOND, 0 * DAY, days * DAY - MICROSECOND, days * DAY)], {f"contacts_{channel}_{days}d": 2})
      for channel, days in (("sms", 1), ("email", 1), ("push", 1), ("app_popup", 1), ("mini_program", 1), ("wecom", 1),
                            ("assistant", 1), ("official_account", 30))),
    *((f"{kind} in {days} days", [event("ann", CUTOFF - days * DAY + shift, kind)
       for shift in (-MICROSECOND, 0 * DAY, days * DAY - MICROSECOND, days * DAY)], {name: 2})
      for name, kind, days in (("favourites_30d", "favourite", 30), ("visits_30d", "visit", 30), ("views_90d", "view", 90))),
    ("exchanges", [ticket("ann", YESTERDAY, kind="exchange")], {"exchanges_365d": 1, "enquiries_30d": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_by_hand(database, rows, expected):
    found = facts_of(database, rows)["ann", 0]
    for name, value in expected.items():
        np.testing.assert_equal(found[name], float(value), err_msg=name)


EDGES = [
    CUTOFF + sign * days * DAY + shift
    for days in (0, 1, 7, 30, 365)
    for sign in (-1, 1)
    for shift in (-MICROSECOND, 0 * DAY, MICROSECOND)
]
TIMES = st.one_of(st.sampled_from(EDGES), st.sampled_from(EDGES).map(lambda time: time + 3 * DAY))
LATER = st.one_of(st.none(), TIMES)


@st.composite
def traces(draw):
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        rated_at = draw(LATER)
        rows.append(
            ticket(draw(st.sampled_from("ab")), draw(TIMES), kind=draw(st.sampled_from(["complaint", "enquiry"])), closed_at=draw(LATER),
                   rated_at=rated_at, csat=None if rated_at is None else draw(st.integers(1, 5)))
        )  # fmt: skip
    channels, purposes = st.sampled_from(["sms", "wecom"]), st.sampled_from(["marketing", "service"])
    states = st.sampled_from(["delivered", "undelivered"])
    rows += [
        contact(
            draw(st.sampled_from("ab")),
            draw(TIMES),
            channel=draw(channels),
            purpose=draw(purposes),
            status=draw(states),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    return rows


def slow(rows, who, cutoff):
    """The facts of complaints and messages, straight off their definitions."""
    tickets = [
        row
        for name, row in rows
        if name == "tickets" and row["customer_id"] == who and row["opened_at"] < cutoff
    ]
    complaints = [row for row in tickets if row["kind"] == "complaint"]

    def is_before(time):
        return time is not None and time < cutoff

    sent = [
        row for name, row in rows
        if name == "contacts" and row["customer_id"] == who and row["sent_at"] < cutoff
        and (row["purpose"], row["status"]) == ("marketing", "delivered")
    ]  # fmt: skip
    last = max((row["opened_at"] for row in complaints), default=None)
    ratings = [
        row["csat"] if is_before(row["rated_at"]) else None for row in complaints if row["opened_at"] == last
    ]
    return {
        "open_complaints": sum(not is_before(row["closed_at"]) for row in complaints),
        "days_since_last_complaint": (cutoff - last) / DAY if complaints else np.nan,
        "last_complaint_csat": min(ratings) if ratings and None not in ratings else np.nan,
        "complaints_365d": sum(row["opened_at"] >= cutoff - 365 * DAY for row in complaints),
        "enquiries_30d": sum(
            row["kind"] == "enquiry" and row["opened_at"] >= cutoff - 30 * DAY for row in tickets
        ),
        "contacts_7d": sum(row["sent_at"] >= cutoff - 7 * DAY for row in sent),
        "contacts_sms_1d": sum(row["sent_at"] >= cutoff - DAY and row["channel"] == "sms" for row in sent),
        "contacts_wecom_1d": sum(
            row["sent_at"] >= cutoff - DAY and row["channel"] == "wecom" for row in sent
        ),
    }


@given(rows=traces())
def test_the_slow_way_agrees_at_several_cutoffs_at_once(database, rows):
    cutoffs = (CUTOFF, CUTOFF + MICROSECOND, CUTOFF + 7 * DAY)
    found = facts_of(database, rows, cutoffs)
    for (who, index), facts in found.items():
        for name, value in slow(rows, who, cutoffs[index]).items():
            np.testing.assert_allclose(
                facts[name], value, rtol=1e-12, err_msg=f"{who} {cutoffs[index]} {name}"
            )


@given(rows=traces())
def test_what_happens_from_the_cutoff_on_changes_no_bit(database, rows):
    # a row's own later times may lie after the cutoff: they are set to never
    time = {"tickets": "opened_at", "contacts": "sent_at"}
    past = []
    for name, row in rows:
        if row[time[name]] < CUTOFF:
            later = {
                key: None
                for key in ("closed_at", "rated_at")
                if row.get(key) is not None and row[key] >= CUTOFF
            }
            past.append((name, row | later | ({"csat": None} if "rated_at" in later else {})))
    everything, before = facts_of(database, rows), facts_of(database, past)
    for key, facts in before.items():
        np.testing.assert_array_equal(list(everything[key].values()), list(facts.values()))


def test_facts_are_no_features_and_have_names_of_their_own():
    assert not {fact.name for fact in FACTS} & {feature.name for feature in FEATURES}
    assert len(set(NAMES)) == len(NAMES)
    assert all(fact.description for fact in FACTS)


def test_cases_by_hand_name_every_fact():
    assert {name for title, _, expected in CASES if title != "nothing happened" for name in expected} == set(
        NAMES
    )
