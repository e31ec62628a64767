"""Facts that rules ask for, and features that they ask for most: every edge by hand, and a loop over the rows."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import FACTS, FEATURES, select
from tests.features.oracle import World, facts_of, features_of
from tests.features.worlds import (
    MICROSECOND,
    at,
    columns_of,
    contact,
    differing,
    event,
    line,
    link,
    memory,
    product,
    put,
    tables_of,
    ticket,
    values_of,
)

CUTOFF = at("2024-06-01")
DAY = timedelta(days=1)
ASKED_FOR = (
    "favourites_30d visits_30d searches_30d views_90d days_since_last_complaint complaints_365d enquiries_30d exchanges_365d "
    "return_orders_365d contacts_7d"
).split()
NAMES = [*(fact.name for fact in FACTS), *ASKED_FOR]
UNDEFINED = ("days_since_last_complaint", "last_complaint_csat", "top_category_365d", "top_brand_365d")


@pytest.fixture(scope="module")
def database():
    connection = memory()
    yield connection
    connection.close()


def found_in(connection, rows, cutoffs=(CUTOFF,), names=NAMES):
    """(customer, index of the cutoff) -> name -> value."""
    put(connection, tables_of([line("ann", "2020-01-01"), *rows]))
    return values_of(columns_of(connection, cutoffs, features=select(names)))


def complaint(opened_at, **more):
    return ticket(
        "ann",
        opened_at,
        kind="complaint",
        **{name: at(value) if name.endswith("_at") else value for name, value in more.items()},
    )


def bought(category, brand, net, *, name="p", when=None):
    yield product(name, category, brand=brand)
    yield line("ann", YESTERDAY if when is None else when, net, product_id=name)


BEFORE, YESTERDAY = CUTOFF - MICROSECOND, CUTOFF - DAY
CASES = [
    ("nothing happened", [], dict.fromkeys(NAMES, 0) | dict.fromkeys(UNDEFINED) | {"last_channel": "web"}),
    ("opened a microsecond before", [complaint(BEFORE)], {"open_complaints": 1, "complaints_365d": 1}),
    ("opened at the cutoff is the future", [complaint(CUTOFF)], {"open_complaints": 0, "days_since_last_complaint": None}),
    ("closed a microsecond before", [complaint(YESTERDAY, closed_at=BEFORE)], {"open_complaints": 0, "complaints_365d": 1}),
    ("closed at the cutoff is open still", [complaint(YESTERDAY, closed_at=CUTOFF)], {"open_complaints": 1}),
    ("closed before it was opened is closed", [complaint(YESTERDAY, closed_at="2024-01-01")], {"open_complaints": 0}),
    ("an enquiry is no complaint", [ticket("ann", YESTERDAY)], {"open_complaints": 0, "enquiries_30d": 1}),
    ("two open, one closed", [complaint("2023-01-01"), complaint(YESTERDAY), complaint("2024-05-01", closed_at="2024-05-02")],
     {"open_complaints": 2, "complaints_365d": 2, "days_since_last_complaint": 1}),
    ("known only later", [complaint(YESTERDAY, known_at="2024-07-01")], {"open_complaints": 0}),
    ("of the last complaint only if rated before", [complaint(YESTERDAY, csat=4, rated_at=CUTOFF)], {"last_complaint_csat": None}),
    ("rated a microsecond before", [complaint(YESTERDAY, csat=4, rated_at=BEFORE)], {"last_complaint_csat": 4}),
    ("an older one's rating says nothing of the last", [complaint("2024-05-01", csat=5, rated_at="2024-05-02"), complaint(YESTERDAY)],
     {"last_complaint_csat": None}),
    ("an older one rated later says nothing either",
     [complaint("2024-05-01", csat=5, rated_at=BEFORE), complaint("2024-05-02", csat=2, rated_at="2024-05-03")], {"last_complaint_csat": 2}),
    ("two at once: the worst", [complaint(YESTERDAY, csat=5, rated_at=BEFORE), complaint(YESTERDAY, csat=2, rated_at=BEFORE)],
     {"last_complaint_csat": 2}),
    ("two at once, one not rated", [complaint(YESTERDAY, csat=5, rated_at=BEFORE), complaint(YESTERDAY)], {"last_complaint_csat": None}),
    ("two at once, one with the time of a rating and none", [complaint(YESTERDAY, csat=5, rated_at=BEFORE),
     complaint(YESTERDAY, rated_at=BEFORE)], {"last_complaint_csat": None}),
    ("two at once, one rated at the cutoff", [complaint(YESTERDAY, csat=5, rated_at=BEFORE),
     complaint(YESTERDAY, csat=1, rated_at=CUTOFF)], {"last_complaint_csat": None}),
    ("a neighbour's at the same instant is not hers", [complaint(YESTERDAY, csat=5, rated_at=BEFORE),
     *(ticket(who, YESTERDAY, kind="complaint", csat=1, rated_at=BEFORE) for who in ("anna", "an"))],
     {"last_complaint_csat": 5, "open_complaints": 1}),
    ("a closing and a rating known a microsecond later", [complaint(YESTERDAY, ticket_id="t", known_at=YESTERDAY),
     complaint(YESTERDAY, ticket_id="t", known_at=CUTOFF + MICROSECOND, closed_at=BEFORE, csat=2, rated_at=BEFORE)],
     {"open_complaints": 1, "last_complaint_csat": None}),
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
    ("the category and the brand that most was spent on", [*bought("x", "b", 10), *bought("y", "c", 6, name="q"), *bought("y", "d", 5, name="r")],
     {"top_category_365d": "y", "top_brand_365d": "b"}),
    ("of equals the first of the alphabet", [*bought("y", "C", 5), *bought("x", "b", 5, name="q")],
     {"top_category_365d": "x", "top_brand_365d": "C"}),
    ("words that no alphabet has", [*bought("Öl", "香", 5), *bought("Zimt", "😀", 5, name="q")],
     {"top_category_365d": "Zimt", "top_brand_365d": "香"}),
    ("what has no category is no group, however much it cost", [*bought(None, None, 90), *bought("x", "b", 1, name="q")],
     {"top_category_365d": "x", "top_brand_365d": "b"}),
    ("given away", [*bought("x", "b", 0), *bought(None, None, 90, name="q")], {"top_category_365d": None, "top_brand_365d": None}),
    ("at the edges of the year", [*bought("x", "b", 1, when=CUTOFF - 365 * DAY), *bought("y", "c", 9, name="q", when=CUTOFF - 365 * DAY - MICROSECOND),
     *bought("z", "d", 9, name="r", when=CUTOFF)], {"top_category_365d": "x", "top_brand_365d": "b"}),
    ("a category learned of at the cutoff, and a brand a microsecond later",
     [product("p", "x", known_at=CUTOFF), product("p", "x", brand="b", known_at=CUTOFF + MICROSECOND), line("ann", YESTERDAY)],
     {"top_category_365d": "x", "top_brand_365d": None}),
    ("the channel of the last order", [line("ann", YESTERDAY, channel="app"), line("ann", CUTOFF, channel="store")], {"last_channel": "app"}),
    ("of two at once the first of the alphabet", [line("ann", YESTERDAY, channel="web"), line("ann", YESTERDAY, channel="phone")],
     {"last_channel": "phone"}),
    ("of an order that of its first line", [line("ann", YESTERDAY, channel="store", order_id="o", line_id="2"),
     line("ann", BEFORE, channel="app", order_id="o", line_id="1")], {"last_channel": "store"}),
    ("what came back has no channel", [line("ann", YESTERDAY, channel="store", kind="return")], {"last_channel": "web"}),
    ("exchanges", [ticket("ann", YESTERDAY, kind="exchange")], {"exchanges_365d": 1, "enquiries_30d": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_by_hand(database, rows, expected):
    assert differing(found_in(database, rows)["ann", 0], expected) == {}


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_oracle_knows_the_same(rows, expected):
    world = World(tables_of([line("ann", "2020-01-01"), *rows]))
    known = features_of(world, "ann", CUTOFF) | facts_of(world, "ann", CUTOFF)
    assert differing(known, expected) == {}


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
        "days_since_last_complaint": (cutoff - last) / DAY if complaints else None,
        "last_complaint_csat": min(ratings) if ratings and None not in ratings else None,
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
    found = found_in(database, rows, cutoffs)
    for (who, index), facts in found.items():
        assert differing(facts, slow(rows, who, cutoffs[index])) == {}


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
    everything, before = found_in(database, rows), found_in(database, past)
    assert {key: everything[key] for key in before} == before


def test_facts_are_no_features_and_have_names_of_their_own():
    assert not {fact.name for fact in FACTS} & {feature.name for feature in FEATURES}
    assert len(set(NAMES)) == len(NAMES)
    assert all(fact.description for fact in FACTS)


def test_cases_by_hand_name_every_fact():
    named = {name for title, _, expected in CASES if title != "nothing happened" for name in expected}
    assert named == set(NAMES)
