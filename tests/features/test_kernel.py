"""The kernel against the oracle in random worlds, and what may change no bit of a feature or fact.

Times are drawn from the window edges of the cutoffs, a microsecond to either side, and at random: random times alone
never meet an edge, and gaps never equal the silence that they are held against, so those are drawn too. Rows come late,
are corrected, withdrawn, linked and unlinked.
"""

from collections import defaultdict
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.build import build
from features.context import BASE_SEASONS
from features.ingest import ingest_tables
from features.kernel import compute, compute_one
from features.plan import Plan
from features.streams import read
from features.tables import TABLES
from features.warehouse import Warehouse
from tests.features.oracle import World, base_season, everybody, facts_of, features_of
from tests.features.worlds import (
    EVERYTHING,
    MICROSECOND,
    arrow,
    at,
    bits_of,
    columns_of,
    contact,
    customer,
    delivery,
    differing,
    event,
    feedback,
    fill,
    line,
    link,
    memory,
    microseconds,
    product,
    put,
    store,
    tables_of,
    ticket,
    values_of,
)

PLAN = Plan.of(EVERYTHING)

CUTOFFS = [at(day) for day in ("2024-03-01", "2024-05-13", "2024-06-12", "2024-06-12T00:00:00.000001")]
# of windows, of windows twice as long, of 30-day periods, of weeks, and of a year less 90 days
DAYS = sorted({0, 1, 7, 30, 60, 90, 180, 360, 365, *range(14, 85, 7), 120, 150, 270, 275})
SHIFTS = (-MICROSECOND, timedelta(0), MICROSECOND)
EDGES = sorted(
    {cutoff - timedelta(days=days) + shift for cutoff in CUTOFFS for days in DAYS for shift in SHIFTS}
)
ZONES = ("UTC", "Asia/Shanghai", "Europe/London")
OWN_ID = {
    "order_lines": "line_id",
    "events": "event_id",
    "tickets": "ticket_id",
    "contacts": "contact_id",
    "feedback": "feedback_id",
}
LATER_FIELDS = {
    "contacts": ("opened_at", "clicked_at", "rejected_at", "unsubscribed_at"),
    "tickets": ("first_response_at", "closed_at", "rated_at"),
    "deliveries": ("promised_at", "delivered_at"),
}
MESSAGES = "sms email push app_popup official_account mini_program wecom assistant"
HUGE = "99999999999999.99"

moments = st.sampled_from(EDGES) | st.integers(0, 900 * 24).map(
    lambda hours: at("2022-01-10") + timedelta(hours=hours, minutes=17)
)
maybe = st.none() | moments
owners = st.sampled_from([("main", "ann"), ("main", "bob"), ("shop", "ann"), ("shop", "c7")])
products = st.sampled_from(["p", "q", "r"])
numbers = st.sampled_from(["1", "2", "3", "4"])
amounts = st.sampled_from(["0", "0.01", "1", "2.55", "10"])


def times_of_knowledge(known_at, superseded_at):
    """What the row says of when it was known; left out, it is known when it happens."""
    given_ = {} if known_at is None else {"known_at": known_at}
    ends = superseded_at is not None and known_at is not None and superseded_at > known_at
    return given_ | ({"superseded_at": superseded_at} if ends else {})


def of_somebody(make, **more):
    """Rows of one kind, of any owner, known at any time."""

    def row(owner, known_at, superseded_at, values):
        source, customer_id = owner
        return make(customer_id, source=source, **times_of_knowledge(known_at, superseded_at), **values)

    return st.builds(row, owners, maybe, maybe, st.fixed_dictionaries(more))


def of_something(make, names, **more):
    """Facts about products and stores."""

    def row(source, name, known_at, superseded_at, values):
        return make(name, source=source, **times_of_knowledge(known_at, superseded_at), **values)

    sources = st.sampled_from(["main", "shop"])
    return st.builds(row, sources, names, maybe, maybe, st.fixed_dictionaries(more))


lines = of_somebody(
    line,
    paid_at=moments,
    order_id=numbers,
    line_id=st.sampled_from(["1", "2"]),
    kind=st.sampled_from(["sale", "sale", "sale", "return"]),
    net=amounts,
    gross_amount=amounts,
    discount_amount=amounts,
    quantity=st.sampled_from(["0.125", "1", "3"]),
    product_id=products,
    channel=st.sampled_from(["store", "web", "app"]),
    store_id=st.sampled_from([None, "s", "t"]),
    coupon_id=st.sampled_from([None, None, "k"]),
)
others = st.one_of(
    of_somebody(
        event,
        when=moments,
        event_id=numbers,
        kind=st.sampled_from("view view cart_add cart_remove checkout favourite search visit".split()),
        product_id=st.none() | products,
        session_id=st.sampled_from([None, "u", "v"]),
        duration_s=st.sampled_from([None, 0, 0.001, 12.5, 61.337]),
    ),
    of_somebody(
        ticket,
        opened_at=moments,
        ticket_id=numbers,
        kind=st.sampled_from(["complaint", "complaint", "enquiry", "exchange"]),
        first_response_at=maybe,
        closed_at=maybe,
        rated_at=maybe,
        csat=st.sampled_from([None, 1, 3, 5]),
    ),
    of_somebody(
        contact,
        sent_at=moments,
        contact_id=numbers,
        channel=st.sampled_from(MESSAGES.split()),
        purpose=st.sampled_from(["marketing", "marketing", "service"]),
        status=st.sampled_from(["delivered", "delivered", "undelivered"]),
        opened_at=maybe,
        clicked_at=maybe,
        rejected_at=maybe,
        unsubscribed_at=maybe,
    ),
    of_somebody(
        feedback,
        when=moments,
        feedback_id=numbers,
        kind=st.sampled_from(["review", "review", "nps", "chat", "survey"]),
        rating=st.sampled_from([None, 1, 3.5, 4.125, 10]),
    ),
    of_something(delivery, numbers, delivery_id=numbers, promised_at=maybe, delivered_at=maybe),
    of_somebody(customer, registered_at=maybe, timezone=st.sampled_from([None, *ZONES])),
    of_somebody(link, one_id=st.sampled_from(["ann", "bob", "x1"])),
    of_something(
        product,
        products,
        category_1=st.sampled_from([None, "x", "y"]),
        brand=st.sampled_from([None, "b", "d"]),
    ),
    of_something(store, st.sampled_from(["s", "t"]), timezone=st.sampled_from([None, *ZONES])),
)


@st.composite
def rhythms(draw):
    """Orders of one customer whose gaps are the silence before a cutoff, to the microsecond or nearly, or days longer."""
    silence = timedelta(days=draw(st.integers(0, 40)), hours=draw(st.integers(1, 23)))
    times = [draw(st.sampled_from(CUTOFFS)) - silence]
    for _ in range(draw(st.integers(1, 6))):
        longer = timedelta(days=draw(st.sampled_from([0, 0, 7, 14, 30, 90])))
        times.append(times[-1] - silence - longer + draw(st.sampled_from(SHIFTS)))
    return [line("eve", time, draw(amounts), order_id=f"eve-{n}") for n, time in enumerate(times)]


def key_of(name, row):
    return (name, *(row[key] for key in ("source", *TABLES[name].key)))


def distinct(rows):
    """The rows in full; of two versions of one key known at one instant the first."""
    found = {}
    for number, (name, values) in enumerate(rows):
        row = fill(name, values, number)
        found.setdefault((key_of(name, row), row["known_at"]), (name, row))
    return list(found.values())


@st.composite
def parcels(draw):
    """An order of a few lines, each bought and known at any time, and its deliveries."""
    order = {"order_id": draw(numbers), "source": "main"}
    bought = draw(
        st.lists(st.tuples(st.sampled_from(["ann", "ann", "bob"]), moments, maybe), min_size=1, max_size=3)
    )
    brought = draw(st.lists(st.tuples(maybe, maybe, maybe), min_size=1, max_size=2))
    return [
        *(
            line(who, paid_at, line_id=f"{number}", **order, **times_of_knowledge(known_at, None))
            for number, (who, paid_at, known_at) in enumerate(bought)
        ),
        *(
            delivery(
                **order, promised_at=promised, delivered_at=delivered, **times_of_knowledge(known_at, None)
            )
            for promised, delivered, known_at in brought
        ),
    ]


rows_of_all_kinds = lines | others | others
many_rows = st.lists(rows_of_all_kinds, max_size=9) | st.lists(rows_of_all_kinds, min_size=10, max_size=25)
worlds = st.builds(
    lambda rows, more: distinct([*rows, *more]), many_rows, st.just([]) | rhythms() | parcels()
)
some_cutoffs = st.sets(st.sampled_from(CUTOFFS), min_size=1).map(sorted)


@pytest.fixture(scope="module")
def database():
    with memory() as connection:
        yield connection


def bits_at(connection, cutoffs, **more):
    return bits_of(columns_of(connection, cutoffs, **more))


def expected_of(world, one_id, cutoff):
    """Every feature and fact, as the oracle has it."""
    return features_of(world, one_id, cutoff) | facts_of(world, one_id, cutoff)


def rows_read(connection, rows, cutoffs):
    put(connection, tables_of(rows))
    times = microseconds(cutoffs)
    return read(connection, times), times


# ------------------------------------------------------------------------------------------------- the oracle


@given(rows=worlds, cutoffs=some_cutoffs, zone=st.sampled_from(ZONES))
def test_agrees_with_the_oracle_at_every_cutoff(database, rows, cutoffs, zone):
    """The base's seasons come from outside, and are everybody's."""
    tables = tables_of(rows)
    put(database, tables)
    seasons = {name: np.arange(len(cutoffs)) + days / 100 for name, days in BASE_SEASONS.items()}
    found, world = (
        values_of(columns_of(database, cutoffs, zone=zone, given=seasons)),
        World(tables, zone=zone),
    )
    known = {(one_id, index) for index, cutoff in enumerate(cutoffs) for one_id in everybody(world, cutoff)}
    assert found.keys() == known
    for one_id, index in known:
        expected = expected_of(world, one_id, cutoffs[index])
        assert (
            differing(found[one_id, index], expected | {name: one[index] for name, one in seasons.items()})
            == {}
        )


def test_the_oracle_has_every_feature_and_fact():
    oracle = expected_of(World({}), "nobody", CUTOFFS[0]).keys()
    assert oracle | BASE_SEASONS.keys() == {feature.name for feature in EVERYTHING}
    assert oracle.isdisjoint(BASE_SEASONS)


@given(rows=worlds, cutoffs=some_cutoffs, chosen=st.sets(st.sampled_from(EVERYTHING), min_size=1, max_size=6))
def test_some_features_have_the_bits_they_have_among_all(database, rows, cutoffs, chosen):
    tables, times = rows_read(database, rows, cutoffs)
    whole, some = compute(tables, times, PLAN), compute(tables, times, Plan.of(sorted(chosen, key=name_of)))
    assert some.columns.keys() | some.texts.keys() == {feature.name for feature in chosen}
    np.testing.assert_array_equal(some.known, whole.known)
    for name, column in ({**some.columns, **some.texts}).items():
        np.testing.assert_array_equal(column, {**whole.columns, **whole.texts}[name], err_msg=name)


def name_of(feature):
    return feature.name


def test_without_the_base_s_seasons_they_are_null(database):
    put(database, tables_of([line("ann", "2024-01-01")]))
    (found,) = values_of(columns_of(database, CUTOFFS[:1])).values()
    assert [found[name] for name in BASE_SEASONS] == [None, None]


several_cutoffs = st.sets(st.sampled_from(CUTOFFS), min_size=2).map(sorted)


@given(rows=worlds, cutoffs=several_cutoffs, zone=st.sampled_from(ZONES))
def test_many_cutoffs_in_one_call_are_one_call_each(database, rows, cutoffs, zone):
    put(database, tables_of(rows))
    alone = {}
    for cutoff in cutoffs:
        alone |= bits_at(database, [cutoff], zone=zone)
    assert bits_at(database, cutoffs, zone=zone) == alone


# ------------------------------------------------------------------------------------------------- the future


def as_of(rows, cutoff):
    """The rows as the business had them at the cutoff: nothing that happened or became known later."""
    kept = []
    for name, row in ((name, row) for name, found in tables_of(rows).items() for row in found):
        time = row[TABLES[name].time] if TABLES[name].time else None
        if row["known_at"] > cutoff or (time is not None and time >= cutoff):
            continue
        later = {
            field for field in LATER_FIELDS.get(name, ()) if row[field] is not None and row[field] >= cutoff
        }
        if row["superseded_at"] is not None and row["superseded_at"] > cutoff:
            later.add("superseded_at")
        kept.append((name, row | dict.fromkeys(later)))
    return kept


def moved_after(cutoff, name, row, later, own_id):
    """The row, happened at the cutoff or after, whenever it was known; or, without an id, become known after it."""
    time = TABLES[name].time
    if own_id is None or time is None:
        return row | {"known_at": cutoff + later + MICROSECOND, "superseded_at": None}
    return row | {time: cutoff + later} | ({OWN_ID[name]: own_id} if name in OWN_ID else {})


def with_other_later_fields(cutoff, name, row, later):
    """The row with what it says of the time from the cutoff on said differently: it happens, later, or worse."""
    fields = {field for field in LATER_FIELDS.get(name, ()) if row[field] is None or row[field] >= cutoff}
    return row | dict.fromkeys(fields, cutoff + later) | ({"csat": 1} if "rated_at" in fields else {})


poisons = st.lists(
    st.tuples(
        lines | others,
        st.sampled_from([timedelta(0), MICROSECOND, timedelta(days=30)]),
        st.booleans(),
        st.sampled_from([{}, {"net_amount": HUGE, "gross_amount": HUGE, "discount_amount": HUGE}]),
    ),
    max_size=15,
)


def poisoned(rows, cutoff, poison):
    """The rows and the poison beside them; what happens later under a key that is taken would be a correction."""
    taken = {key_of(name, row) for name, row in rows}
    added = []
    for number, ((name, values), later, is_news, amounts_) in enumerate(poison):
        row = fill(name, values | (amounts_ if name == "order_lines" else {}), number)
        row = moved_after(cutoff, name, row, later, None if is_news else f"poison-{number}")
        if row["known_at"] > cutoff or key_of(name, row) not in taken:
            added.append((name, row))
    later = poison[0][1] if poison else timedelta(0)
    return distinct(
        [*((name, with_other_later_fields(cutoff, name, row, later)) for name, row in rows), *added]
    )


@given(rows=worlds, cutoff=st.sampled_from(CUTOFFS), poison=poisons, asked=st.just(CUTOFFS) | some_cutoffs)
def test_the_future_changes_no_bit(database, rows, cutoff, poison, asked):
    """Whether the cutoff is asked for alone, or together with later ones, which do see what happened after it."""
    past, (instant,) = as_of(rows, cutoff), microseconds([cutoff])
    found = []
    for told in (rows, past, poisoned(past, cutoff, poison)):
        put(database, tables_of(told))
        bits = bits_at(database, sorted({cutoff, *asked}))
        found.append({key: value for key, value in bits.items() if key[1] == instant})
    whole, truncated, after_poison = found
    assert truncated == whole
    assert after_poison == truncated


def test_whoever_becomes_known_between_two_cutoffs_is_not_known_at_the_first(database):
    put(database, tables_of([customer("ann", known_at=at("2024-04-01"))]))
    assert values_of(columns_of(database, CUTOFFS[:2])).keys() == {("ann", 1)}
    assert values_of(columns_of(database, CUTOFFS[:1])) == {}


LINES_OF_THE_FUTURE = [
    line("ann", "2024-01-01", order_id="o", line_id="1", known_at=at("2024-04-01")),
    line("ann", "2024-04-01", order_id="o", line_id="1"),
    line(None, "2024-01-01", order_id="o", line_id="1", known_at=at("2024-04-01")),
]


@pytest.mark.parametrize(
    "later", LINES_OF_THE_FUTURE, ids=["known later", "bought later", "nobody's, known later"]
)
def test_a_line_of_the_future_takes_no_delivery_away(database, later):
    ordered = line("ann", "2024-01-01", order_id="o", line_id="2")
    rows = [ordered, delivery("o", promised_at=at("2024-01-02"), delivered_at=at("2024-01-03"))]
    put(database, tables_of(rows))
    before = bits_at(database, CUTOFFS[:1])
    put(database, tables_of([*rows, later]))
    assert bits_at(database, CUTOFFS[:1]) == before


# ------------------------------------------------------------------------------------------------- the surroundings


@given(rows=worlds, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_no_bit(database, rows, seed):
    tables, times = rows_read(database, rows, CUTOFFS)
    shuffle = np.random.default_rng(seed).permutation
    shuffled = {name: table.take(shuffle(table.num_rows)) for name, table in tables.items()}
    assert bits_of(compute(shuffled, times, PLAN)) == bits_of(compute(tables, times, PLAN))


@given(rows=worlds)
def test_the_neighbours_change_no_bit(database, rows):
    tables, times = rows_read(database, rows, CUTOFFS)
    alone = {}
    for one_id in ("ann", "bob", "eve", "x1", "shop:ann", "shop:c7"):
        own = {name: table.filter(pc.equal(table["entity"], one_id)) for name, table in tables.items()}
        alone |= bits_of(compute(own, times, PLAN))
    assert alone == bits_of(compute(tables, times, PLAN))


@given(rows=worlds, block_rows=st.sampled_from([1, 7]), threads=st.sampled_from([1, 2]))
def test_threads_and_blocks_change_no_bit(database, rows, block_rows, threads):
    tables, times = rows_read(database, rows, CUTOFFS)
    whole = bits_of(compute(tables, times, PLAN))
    assert bits_of(compute(tables, times, PLAN, threads=threads, block_rows=block_rows)) == whole


class Crowd:
    """A larger world: everything above, for many customers, some of them linked at some time, and some unlinked again."""

    def __init__(self, seed):
        self.draw = np.random.default_rng(seed)

    def moment(self):
        if self.draw.random() < 0.3:
            return EDGES[self.draw.integers(len(EDGES))]
        return at("2022-01-10") + timedelta(hours=int(self.draw.integers(900 * 24)))

    def after(self, time, days):
        return time + timedelta(days=int(self.draw.integers(days)))

    def perhaps(self, time, days):
        return self.after(time, days) if self.draw.random() < 0.7 else None

    def late(self):
        return {"known_at": self.moment()} if self.draw.random() < 0.1 else {}

    def one_of(self, words):
        return words.split()[self.draw.integers(len(words.split()))]

    def order(self, who, source):
        """One line, or a second one up to two days later, in the store; a third of the orders are delivered."""
        paid_at, amount = self.moment(), self.draw.integers(1, 10_000) / 100
        own = {
            "source": source,
            "order_id": f"{who}-{self.draw.integers(10**9)}",
            "kind": "sale" if self.draw.random() < 0.9 else "return",
            "product_id": f"p{self.draw.integers(20)}",
            "discount_amount": self.one_of("0 0 2.5"),
            "channel": self.one_of("web app store"),
        }
        yield line(who, paid_at, amount, **own, **self.late())
        if self.draw.random() < 0.3:
            second = own | {
                "line_id": "2",
                "channel": "store",
                "coupon_id": "k",
                "store_id": self.one_of("s t u"),
            }
            yield line(who, self.after(paid_at, 3), amount, **second, **self.late())
        if self.draw.random() < 0.3:
            times = {"promised_at": self.perhaps(paid_at, 9), "delivered_at": self.perhaps(paid_at, 9)}
            yield delivery(own["order_id"], source=source, known_at=paid_at, **times)
        if self.draw.random() < 0.1:
            yield line(who, paid_at, amount + 1, **own, known_at=self.after(paid_at, 300) + MICROSECOND)

    def traces(self, who, source):
        moments = [*(self.moment() for _ in range(4)), CUTOFFS[self.draw.integers(3)] - timedelta(hours=7)]
        for sent_at in moments:
            times = {name: self.perhaps(sent_at, 30) for name in LATER_FIELDS["contacts"]}
            channel = self.one_of(MESSAGES)
            yield contact(who, sent_at, channel=channel, source=source, **times)
        for _ in range(2):
            opened_at = self.moment()
            times = {name: self.perhaps(opened_at, 30) for name in LATER_FIELDS["tickets"]}
            kind, csat = self.one_of("complaint enquiry exchange"), int(self.draw.integers(1, 6))
            yield ticket(who, opened_at, kind, csat=csat, source=source, **times)
            rating = [None, 2.5, 9][self.draw.integers(3)]
            yield feedback(who, self.moment(), self.one_of("review nps chat"), rating=rating, source=source)

    def event(self, who, source):
        duration = self.draw.integers(100_000) / 1000
        own = {
            "product_id": f"p{self.draw.integers(20)}",
            "session_id": self.one_of("u v w"),
            "duration_s": duration,
        }
        kind = self.one_of("view view cart_add cart_remove search visit checkout favourite")
        return event(who, self.moment(), kind, source=source, **own, **self.late())

    def rows(self, customers=150, orders=12):
        for number in range(customers):
            who, source = f"c{number}", "shop" if number % 3 == 0 else "main"
            for _ in range(orders):
                yield from self.order(who, source)
                yield self.event(who, source)
            yield from self.traces(who, source)
            yield customer(who, timezone=ZONES[number % 3], source=source, **self.late())
            if number % 10 == 0:
                linked = self.moment()
                ends = {"superseded_at": self.after(linked, 400) + MICROSECOND} if number % 20 == 0 else {}
                yield link(who, f"c{number + 1}", source=source, known_at=linked, **ends)
        for number in range(15):
            yield product(f"p{number}", f"category {number % 4}", brand=f"brand {number % 5}", **self.late())


@pytest.fixture(scope="module")
def crowded():
    return distinct(Crowd(seed=20240612).rows())


@pytest.fixture(scope="module")
def together(database, crowded):
    put(database, tables_of(crowded))
    return bits_at(database, CUTOFFS)


def test_partitions_change_no_bit(database, crowded, together):
    put(database, tables_of(crowded))
    parts = [bits_at(database, CUTOFFS, part=part, parts=16) for part in range(16)]
    assert all(parts)
    assert sum(len(part) for part in parts) == len(together)
    assert {key: bits for part in parts for key, bits in part.items()} == together


@pytest.mark.parametrize("block_rows", [10, 500])
def test_two_threads_and_small_blocks_change_no_bit_of_a_crowd(database, crowded, together, block_rows):
    put(database, tables_of(crowded))
    assert bits_at(database, CUTOFFS, threads=2, block_rows=block_rows) == together


def test_a_customer_alone_in_the_database_keeps_every_bit(database, crowded, together):
    for who in ("c2", "c4", "c148"):  # never linked, of source main
        put(database, tables_of([(name, row) for name, row in crowded if row.get("customer_id", who) == who]))
        alone = bits_at(database, CUTOFFS)
        assert alone
        assert alone == {key: bits for key, bits in together.items() if key[0] == who}


def test_a_crowd_agrees_with_the_oracle(database, crowded):
    tables = tables_of(crowded)
    put(database, tables)
    found, world = values_of(columns_of(database, CUTOFFS)), World(tables)
    assert len(found) > 400
    for one_id, index in sorted(found)[::3]:
        assert differing(found[one_id, index], expected_of(world, one_id, CUTOFFS[index])) == {}


def test_one_customer_alone_has_the_values_it_has_in_a_crowd(database, crowded):
    """Asked for one by one, as the service does, by rows that a read for all cutoffs gives."""
    tables, times = rows_read(database, crowded, CUTOFFS)
    whole = values_of(compute(tables, times, PLAN))
    for one_id, index in sorted(whole)[::9]:
        own = {name: table.filter(pc.equal(table["entity"], one_id)) for name, table in tables.items()}
        one = compute_one(own, int(times[index]), PLAN)
        assert {name: None if value != value else value for name, value in one.items()} == whole[
            one_id, index
        ]


def test_a_crowd_says_something_of_every_feature(database, crowded):
    """Or the comparisons above would be of nulls: each feature is there, and differs between customers or cutoffs."""
    put(database, tables_of(crowded))
    found = list(values_of(columns_of(database, CUTOFFS)).values())
    named = {feature.name for feature in EVERYTHING} - BASE_SEASONS.keys()
    assert {name for name in named if len({row[name] for row in found} - {None}) < 2} == set()


# ------------------------------------------------------------------------------------------------- one load after another


RECEIVED = [at(day) for day in ("2024-02-01", "2024-03-01", "2024-05-13", "2024-05-20", "2024-06-12")]
CORRECTED = {
    "order_lines": "net_amount",
    "products": "category_1",
    "links": "one_id",
    "deliveries": "delivered_at",
}


def loads_of(rows, seed):
    """Five loads: the rows in any of them, and a third of them once more, or twice, corrected by a later one."""
    draw = np.random.default_rng(seed)
    loads, values = defaultdict(list), defaultdict(list)
    first = {key_of(name, row): (name, row) for name, row in rows}
    for name, row in first.values():
        values[name].append(row.get(CORRECTED.get(name)))
    for name, row in first.values():
        said = row | {"known_at": None, "superseded_at": None}
        number = int(draw.integers(len(RECEIVED)))
        loads[number].append((name, said))
        while name in CORRECTED and number + 1 < len(RECEIVED) and draw.random() < 1 / 3:
            number = int(draw.integers(number + 1, len(RECEIVED)))
            loads[number].append(
                (name, said | {CORRECTED[name]: values[name][draw.integers(len(values[name]))]})
            )
    return [loads[number] for number in range(len(RECEIVED))]


def ingest(warehouse, folder, tables, received_at=None):
    """Load the rows through files, as a retailer does; none of them is set aside."""
    folder.mkdir()
    for name, rows in tables.items():
        pq.write_table(arrow(name, rows), folder / f"{name}.parquet")
    received = received_at and received_at.replace(tzinfo=None)
    assert ingest_tables(warehouse, folder, received_at=received, currency="EUR").reasons == {}


def by_table(rows):
    tables = defaultdict(list)
    for name, row in rows:
        tables[name].append(row)
    return tables


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """A warehouse loaded one delivery after another, what was built after each, and the warehouse loaded in one go."""
    folder = tmp_path_factory.mktemp("replayed")
    loads = loads_of(distinct(Crowd(seed=1).rows(customers=40, orders=8)), seed=1)
    grown, frames = Warehouse(folder / "grown.duckdb"), {}
    for number, (rows, received_at) in enumerate(zip(loads, RECEIVED, strict=True)):
        ingest(grown, folder / str(number), by_table(rows), received_at)
        frames[received_at] = build(grown, [received_at], population="all")
    told = [
        (name, row | {"known_at": received_at})
        for rows, received_at in zip(loads, RECEIVED, strict=True)
        for name, row in rows
    ]
    at_once = Warehouse(folder / "at once.duckdb")
    ingest(at_once, folder / "all", tables_of(told))
    return grown, frames, at_once, tables_of(told)


def test_one_load_after_another_is_all_in_one_go(replayed):
    grown, _, at_once, _ = replayed
    pd.testing.assert_frame_equal(
        build(grown, RECEIVED, population="all"), build(at_once, RECEIVED, population="all"), check_exact=True
    )


def test_later_loads_change_no_bit_of_what_was_built(replayed):
    grown, frames, _, _ = replayed
    for received_at, frame in frames.items():
        now = build(grown, [received_at], population="all")
        pd.testing.assert_frame_equal(now, frame, check_exact=True)


def test_what_was_built_after_each_load_agrees_with_the_oracle(replayed):
    _, frames, _, tables = replayed
    world = World(tables)
    for cutoff, frame in frames.items():
        assert frame["customer_id"].tolist() == everybody(world, cutoff)
        seasons = {name: base_season(world, cutoff, days) for name, days in BASE_SEASONS.items()}
        values = frame.astype(object).where(frame.notna(), None)
        for row in values.iloc[::5].to_dict("records"):
            expected = features_of(world, row["customer_id"], cutoff) | seasons
            assert differing(row, expected) == {}
