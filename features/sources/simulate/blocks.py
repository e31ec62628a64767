"""The world block by block: each block of customers has its own random numbers, so that none needs the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from features.errors import InputError
from features.sources.simulate.campaigns import draw_trials, exposures
from features.sources.simulate.catalogue import Catalogue, categories, draw_products, draw_stock, places
from features.sources.simulate.columns import Names
from features.sources.simulate.messages import MAILED, draw_consents, draw_contacts, draw_sent
from features.sources.simulate.service import deliveries, draw_feedback, draw_parcels, draw_tickets
from features.sources.simulate.shop import draw_lines, draw_sales, order_lines
from features.sources.simulate.traces import draw_browsing, draw_profiles, draw_sessions, events
from features.sources.simulate.truth import what_is_true, what_runs_out
from features.sources.simulate.world import Clock, draw_orders, draw_people, make_clock

__all__ = ["CUSTOMERS_PER_BLOCK", "Block", "World", "generator", "make_blocks", "make_world"]

CUSTOMERS_PER_BLOCK = 25_000


@dataclass(frozen=True)
class World:
    """What all blocks share."""

    customers: int
    seed: int
    clock: Clock
    catalogue: Catalogue
    tables: Mapping[str, pa.Table]  # products, stores, staff, stock
    truth: Mapping[str, pa.Table]  # categories


@dataclass(frozen=True)
class Block:
    """Rows of some customers: tables, and what is true from ``end`` on."""

    size: int
    tables: Mapping[str, pa.Table]
    truth: Mapping[str, pa.Table]  # customers, offers, needs


def generator(seed: int, child: int) -> np.random.Generator:
    """Random numbers of a child of the seed: 0 for the shop, ``1 + b`` for block b."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(child,)))


def make_world(customers: int, days: int, end: date | np.datetime64, seed: int) -> World:
    """The clock and the shop.

    Raises
    ------
    InputError
        ``customers`` or ``days`` is below 1, or ``end`` is not a whole day.
    """
    if customers < 1 or days < 1:
        raise InputError(f"simulate needs at least 1 customer and 1 day, got {customers} and {days}")
    midnight: np.datetime64 = np.datetime64(end).astype("M8[us]")
    if not midnight == midnight.astype("M8[D]"):
        raise InputError(f"simulate ends at 00:00 UTC of a day, got end={end}: pass a date")
    rng, clock = generator(seed, 0), make_clock(days, midnight)
    catalogue, products = draw_products(rng)
    tables = {"products": products, **places(), "stock": draw_stock(rng, clock, days)}
    return World(customers, seed, clock, catalogue, tables, {"categories": categories()})


def make_blocks(world: World) -> Iterator[Block]:
    """The blocks, one at a time; each depends on its number and size, not on how many there are."""
    for number, first in enumerate(range(0, world.customers, CUSTOMERS_PER_BLOCK)):
        size = min(CUSTOMERS_PER_BLOCK, world.customers - first)
        yield _make_block(generator(world.seed, 1 + number), world, Names(number, first), size)


def _make_block(rng: np.random.Generator, world: World, names: Names, size: int) -> Block:
    clock = world.clock
    people = draw_people(rng, clock, size)
    orders = draw_orders(rng, clock, people)
    until, consents = draw_consents(rng, clock, people, names)
    trials = draw_trials(rng, clock, people, orders, until[:, :MAILED])
    sent = draw_sent(rng, clock, people, until, trials)
    sales = draw_sales(rng, clock, people, orders, trials, names)
    lines, needs = draw_lines(rng, clock, people, sales, world.catalogue)
    parcels = draw_parcels(rng, clock, sales)
    browsing = (draw_browsing(rng, clock, people, orders), draw_sessions(rng, sales, lines))
    tables = {
        "customers": draw_profiles(rng, clock, people, names),
        "order_lines": order_lines(clock, sales, lines, names),
        "events": events(clock, people, browsing, names),
        "tickets": draw_tickets(rng, clock, sales, parcels, names),
        "feedback": draw_feedback(rng, clock, people, sales, lines, names),
        "deliveries": deliveries(clock, sales, parcels, names),
        "contacts": draw_contacts(rng, clock, people, orders, sent, names),
        "exposures": exposures(clock, trials, names),
        "consents": consents,
    }
    truth, offers = what_is_true(clock, people, orders, sales, lines, names)
    shelves = what_runs_out(clock, people, sales, lines, needs, names)
    return Block(size, tables, {"customers": truth, "offers": offers, "needs": shelves})
