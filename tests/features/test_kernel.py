"""The kernel against the oracle in random worlds, and what may change no bit of a feature.

Times are drawn from the window edges of the cutoffs, a microsecond to either side, and at random: random times alone
never meet an edge. Rows come late, are corrected, withdrawn, linked and unlinked.
"""

from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import FEATURES
from features.kernel import compute
from features.streams import read
from features.tables import TABLES
from tests.features.oracle import World, everybody, features_of
from tests.features.worlds import (
    MICROSECOND,
    at,
    bits_of,
    columns_of,
    contact,
    customer,
    differing,
    event,
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

CUTOFFS = [at(day) for day in ("2024-03-01", "2024-05-13", "2024-06-12", "2024-06-12T00:00:00.000001")]
EDGES = sorted(
    {
        cutoff - timedelta(days=days) + shift * MICROSECOND
        for cutoff in CUTOFFS
        for days in (0, 7, 30, 60, 90, 180, 365)
        for shift in (-1, 0, 1)
    }
)
ZONES = ("UTC", "Asia/Shanghai", "Europe/London")
OWN_ID = {"order_lines": "line_id", "events": "event_id", "tickets": "ticket_id", "contacts": "contact_id"}
LATER_FIELDS = {"contacts": ("opened_at", "clicked_at"), "tickets": ("rated_at",)}
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
)
others = st.one_of(
    of_somebody(
        event,
        when=moments,
        event_id=numbers,
        kind=st.sampled_from(["view", "view", "cart_add", "cart_remove"]),
    ),
    of_somebody(
        ticket,
        opened_at=moments,
        ticket_id=numbers,
        kind=st.sampled_from(["complaint", "enquiry"]),
        rated_at=maybe,
        csat=st.sampled_from([None, 1, 3, 5]),
    ),
    of_somebody(
        contact,
        sent_at=moments,
        contact_id=numbers,
        purpose=st.sampled_from(["marketing", "marketing", "service"]),
        status=st.sampled_from(["delivered", "delivered", "undelivered"]),
        opened_at=maybe,
        clicked_at=maybe,
    ),
    of_somebody(customer, registered_at=maybe, timezone=st.sampled_from([None, *ZONES])),
    of_somebody(link, one_id=st.sampled_from(["ann", "bob", "x1"])),
    of_something(product, products, category_1=st.sampled_from([None, "x", "y"])),
    of_something(store, st.sampled_from(["s", "t"]), timezone=st.sampled_from([None, *ZONES])),
)


def key_of(name, row):
    return (name, *(row[key] for key in ("source", *TABLES[name].key)))


def distinct(rows):
    """The rows in full; of two versions of one key known at one instant the first."""
    found = {}
    for number, (name, values) in enumerate(rows):
        row = fill(name, values, number)
        found.setdefault((key_of(name, row), row["known_at"]), (name, row))
    return list(found.values())


worlds = st.lists(lines | lines | others, max_size=30).map(distinct)
some_cutoffs = st.sets(st.sampled_from(CUTOFFS), min_size=1).map(sorted)


@pytest.fixture(scope="module")
def database():
    with memory() as connection:
        yield connection


def bits_at(connection, cutoffs, **more):
    return bits_of(columns_of(connection, cutoffs, **more))


def rows_read(connection, rows, cutoffs):
    put(connection, tables_of(rows))
    times = microseconds(cutoffs)
    return read(connection, times), times


# ------------------------------------------------------------------------------------------------- the oracle


@given(rows=worlds, cutoffs=some_cutoffs, zone=st.sampled_from(ZONES))
def test_agrees_with_the_oracle_at_every_cutoff(database, rows, cutoffs, zone):
    tables = tables_of(rows)
    put(database, tables)
    found, world = values_of(columns_of(database, cutoffs, zone=zone)), World(tables, zone=zone)
    known = {(one_id, index) for index, cutoff in enumerate(cutoffs) for one_id in everybody(world, cutoff)}
    assert found.keys() == known
    for one_id, index in known:
        assert differing(found[one_id, index], features_of(world, one_id, cutoffs[index])) == {}


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


poisons = st.lists(
    st.tuples(
        lines | others,
        st.sampled_from([timedelta(0), MICROSECOND, timedelta(days=30)]),
        st.booleans(),
        st.sampled_from([{}, {"net_amount": HUGE, "gross_amount": HUGE}]),
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
    return distinct([*rows, *added])


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


# ------------------------------------------------------------------------------------------------- the surroundings


@given(rows=worlds, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_no_bit(database, rows, seed):
    tables, times = rows_read(database, rows, CUTOFFS)
    shuffle = np.random.default_rng(seed).permutation
    shuffled = {name: table.take(shuffle(table.num_rows)) for name, table in tables.items()}
    assert bits_of(compute(shuffled, times, FEATURES)) == bits_of(compute(tables, times, FEATURES))


@given(rows=worlds)
def test_the_neighbours_change_no_bit(database, rows):
    tables, times = rows_read(database, rows, CUTOFFS)
    alone = {}
    for one_id in ("ann", "bob", "x1", "shop:ann", "shop:c7"):
        own = {name: table.filter(pc.equal(table["entity"], one_id)) for name, table in tables.items()}
        alone |= bits_of(compute(own, times, FEATURES))
    assert alone == bits_of(compute(tables, times, FEATURES))


class Crowd:
    """A larger world: everything above, for many customers, a tenth of them linked at some time."""

    def __init__(self, seed):
        self.draw = np.random.default_rng(seed)

    def moment(self):
        if self.draw.random() < 0.3:
            return EDGES[self.draw.integers(len(EDGES))]
        return at("2022-01-10") + timedelta(hours=int(self.draw.integers(900 * 24)))

    def after(self, time, days):
        return time + timedelta(days=int(self.draw.integers(days)))

    def late(self):
        return {"known_at": self.moment()} if self.draw.random() < 0.1 else {}

    def order(self, who, source):
        """One line, or a second one up to two days later, in the store."""
        paid_at, amount = self.moment(), self.draw.integers(1, 10_000) / 100
        own = {
            "source": source,
            "order_id": f"{who}-{self.draw.integers(10**9)}",
            "kind": "sale" if self.draw.random() < 0.9 else "return",
            "product_id": f"p{self.draw.integers(20)}",
        }
        yield line(who, paid_at, amount, **own, **self.late())
        if self.draw.random() < 0.3:
            yield line(
                who, self.after(paid_at, 3), amount, line_id="0", channel="store", **own, **self.late()
            )

    def rows(self, customers=150, orders=12):
        for number in range(customers):
            who, source = f"c{number}", "shop" if number % 3 == 0 else "main"
            for _ in range(orders):
                yield from self.order(who, source)
                yield event(who, self.moment(), source=source, **self.late())
            for _ in range(4):
                sent_at = self.moment()
                yield contact(who, sent_at, opened_at=self.after(sent_at, 30), source=source)
            opened_at = self.moment()
            rated_at = self.after(opened_at, 30)
            yield ticket(who, opened_at, rated_at=rated_at, csat=1 + number % 5, source=source)
            yield customer(who, timezone=ZONES[number % 3], source=source, **self.late())
            if number % 10 == 0:
                yield link(who, f"c{number + 1}", source=source, known_at=self.moment())
        for number in range(15):
            yield product(f"p{number}", f"category {number % 4}", **self.late())


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
        assert differing(found[one_id, index], features_of(world, one_id, CUTOFFS[index])) == {}
