"""What runs out at home: a cycle decides what an order contains, never when there is one."""

from dataclasses import dataclass

import numpy as np

from features.sources.simulate.catalogue import Catalogue, pick
from features.sources.simulate.columns import Bools, Floats, Ints
from features.sources.simulate.kinds import CYCLE_DAYS
from features.sources.simulate.world import Clock, People

__all__ = ["Needs", "draw_needs"]

SHARE_REMEMBERED, SHARE_LEFT = 0.85, 0.1  # bought once less than this share of a cycle is left
PACKS, SPREAD = (0.75, 0.2, 0.05), 0.1  # one to three packs; spread of how long they last


@dataclass(frozen=True)
class Needs:
    """Lines that fill a shelf at home, by sale, and how the shelves stand at ``end``."""

    sale: Ints  # row of the sales
    place: Ints  # of the line within its sale, from 0
    product: Ints
    packs: Ints
    empties_at: Floats  # customers x shelves, days from `end` on the calendar; -inf: never filled


def draw_needs(
    rng: np.random.Generator,
    clock: Clock,
    people: People,
    catalogue: Catalogue,
    sales: tuple[Ints, Floats, Bools],
    size: Ints,
) -> Needs:
    """What each sale replenishes.

    Parameters
    ----------
    sales
        Customer, operational time and whether the customer is known, by time.
    size
        Lines of each sale; no more than these are filled.

    Notes
    -----
    A pack bought at t while the last lasts until T makes the stock last until
    ``max(t, T) + packs * pack size * cycle * pace``, with the customer's own pace and a lognormal factor of mean 1.
    Every customer begins with empty shelves.
    """
    customer, at, known = sales
    kind = people.uses[customer]
    cycle = CYCLE_DAYS[kind]
    owner = np.broadcast_to(customer[:, None], kind.shape)
    product = pick(rng, people, owner.ravel(), kind.ravel()).reshape(kind.shape)
    packs = 1 + rng.choice(len(PACKS), kind.shape, p=PACKS)
    factor = rng.lognormal(-(SPREAD**2) / 2, SPREAD, kind.shape) * people.pace[owner]
    lasts = packs * catalogue.pack[product] * cycle * factor
    likely = (rng.random(kind.shape) < SHARE_REMEMBERED) & (kind >= 0) & known[:, None]
    empties_at = np.full(people.uses.shape, -np.inf)
    bought = _in_turn(customer, clock.calendar(at), likely, SHARE_LEFT * cycle, lasts, size, empties_at)
    sale, slot = np.nonzero(bought)
    place = np.cumsum(bought, axis=1)[sale, slot] - 1
    return Needs(sale, place, product[sale, slot], packs[sale, slot], empties_at)


def _in_turn(
    customer: Ints, day: Floats, likely: Bools, early: Floats, lasts: Floats, size: Ints, at_end: Floats
) -> Bools:
    """Which shelf each sale fills, all customers' first sales first, then their second ones, and so on.

    ``at_end`` is given what the sales before ``end`` made last until when.
    """
    bought, empty_at = np.zeros_like(likely), np.full(at_end.shape, -np.inf)
    by_customer = np.argsort(customer, kind="stable")
    owner = customer[by_customer]
    first = np.flatnonzero(np.append([True], owner[1:] != owner[:-1])) if owner.size else owner
    counts = np.diff(np.append(first, owner.size))
    turn = np.arange(owner.size) - np.repeat(first, counts)
    in_turn = by_customer[np.argsort(turn, kind="stable")]
    for row in np.split(in_turn, np.cumsum(np.bincount(turn))[:-1]):
        until, now = empty_at[customer[row]], day[row, None]
        fills = likely[row] & (until <= now + early[row])
        fills &= np.cumsum(fills, axis=1) <= size[row, None]
        empty_at[customer[row]] = np.where(fills, np.maximum(until, now) + lasts[row], until)
        known = row[day[row] < 0]
        at_end[customer[known]] = empty_at[customer[known]]
        bought[row] = fills
    return bought
