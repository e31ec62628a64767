"""What customers leave behind beside orders: profiles, consents, events, browsing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.sources.simulate.catalogue import draw_liked, pick
from features.sources.simulate.columns import Floats, Ints, Names, numbered, take
from features.sources.simulate.shop import Lines, Sales
from features.sources.simulate.world import (
    CHANNELS,
    COMPLAINT_SPEED,
    RATE_PER_WEEK,
    REGIONS,
    STAFF_PER_STORE,
    Clock,
    Orders,
    People,
    standing,
)

__all__ = [
    "Browsing",
    "draw_browsing",
    "draw_profiles",
    "draw_sessions",
    "events",
]

EVENTS, EVENT_SHARES = ("view", "favourite", "cart_add", "visit"), (0.7, 0.08, 0.1, 0.12)
SHARE_VIEWED, SHARE_CARTED = 0.3, 0.3  # of the lines of an online order, and of those viewed
SHARE_OWNED, SHARE_SKIN_KNOWN = 0.6, 0.4
SKIN_TYPES = ("dry", "oily", "combination", "sensitive")


@dataclass(frozen=True)
class Browsing:
    """Events, in any order."""

    customer: Ints
    at: Floats
    kind: Ints
    product: Ints
    channel: Ints


def draw_browsing(rng: np.random.Generator, clock: Clock, people: People, orders: Orders) -> Browsing:
    """Browsing between orders: interest grows with the time since the last, fades once they have left."""
    since = np.maximum(people.joined, clock.start)
    who = np.repeat(np.arange(since.size), rng.poisson(-since * people.browsing))
    at = since[who] * (1 - rng.random(who.size))
    last, alive = standing(people, orders, who, at)
    gap = np.where(last >= 0, at - np.append(orders.at, [0.0])[last], 0.0)
    pace = people.rate[who] * COMPLAINT_SPEED ** np.append(orders.wrongs, [0])[last]
    interest = np.where(alive, 0.3 + 0.7 * np.minimum(1.0, gap * pace), 0.05 * np.exp(-gap / 30))
    kept = rng.random(who.size) < interest
    who, at = who[kept], at[kept]
    kind = rng.choice(len(EVENTS), who.size, p=EVENT_SHARES)
    online = np.where(people.channel[who] > 0, people.channel[who], CHANNELS.index("mini_program"))
    channel = np.where(kind == EVENTS.index("visit"), 0, online)
    return Browsing(who, at, kind, pick(rng, people, who, draw_liked(rng, people, who)), channel)


def draw_sessions(rng: np.random.Generator, sales: Sales, lines: Lines) -> Browsing:
    """Views and carts of the lines of each online order, in the hours before it is paid."""
    viewed = np.flatnonzero((sales.channel > 0)[lines.sale])
    viewed = viewed[rng.random(viewed.size) < SHARE_VIEWED]
    carted = viewed[rng.random(viewed.size) < SHARE_CARTED]
    ahead = np.append(rng.uniform(0.02, 0.1, viewed.size), rng.uniform(0.0, 0.02, carted.size))
    line = np.append(viewed, carted)
    sale = lines.sale[line]
    kind = np.where(np.arange(line.size) < viewed.size, EVENTS.index("view"), EVENTS.index("cart_add"))
    return Browsing(
        sales.customer[sale], sales.at[sale] - ahead, kind, lines.product[line], sales.channel[sale]
    )


def events(clock: Clock, people: People, parts: Sequence[Browsing], names: Names) -> pa.Table:
    """Events before ``end`` of customers who have joined, by time."""
    columns = zip(*((p.customer, p.at, p.kind, p.product, p.channel) for p in parts), strict=True)
    customer, at, kind, product, channel = (np.concatenate(column) for column in columns)
    row = np.flatnonzero((at >= np.maximum(people.joined[customer], clock.start)) & (at < 0))
    row = row[np.lexsort((customer[row], at[row]))]
    return pa.table(
        {
            "event_id": names.numbered("e", row.size),
            "customer_id": names.customers(customer[row]),
            "at": clock.stamp(at[row]),
            "kind": take(EVENTS, kind[row]),
            "product_id": numbered("p", product[row], 4, kind[row] != EVENTS.index("visit")),
            "channel": take(CHANNELS, channel[row]),
        }
    )


def draw_profiles(rng: np.random.Generator, clock: Clock, people: People, names: Names) -> pa.Table:
    """The table customers, one row per person."""
    n = people.rate.size
    region = people.store % len(REGIONS)
    born = clock.end.astype("M8[D]") - rng.integers(20 * 365, 70 * 365, size=n).astype("m8[D]")
    # From the rate, not from orders to come.
    warmth = np.log(people.rate * 7 / RATE_PER_WEEK) + rng.normal(0.0, 0.7, n)
    skins = [f'{{"skin_type": "{skin}"}}' for skin in SKIN_TYPES]
    owner = people.store * STAFF_PER_STORE + rng.integers(STAFF_PER_STORE, size=n)
    return pa.table(
        {
            "customer_id": names.customers(np.arange(n)),
            "registered_at": clock.stamp(people.joined),
            "registration_channel": take(CHANNELS, people.channel),
            "display_name": pa.nulls(n, pa.string()),
            "birth_date": pa.array(born, pa.date32(), mask=rng.random(n) < 0.12),
            "gender": take(("female", "male"), (rng.random(n) < 0.35).astype(np.int64), rng.random(n) < 0.95),
            "region_id": take([name for name, _ in REGIONS], region),
            "home_store_id": numbered("s", people.store, 2),
            "owner_id": numbered("a", owner, 3, rng.random(n) < SHARE_OWNED),
            "member_level": take(("basic", "silver", "gold"), np.searchsorted([0.3, 1.2], warmth)),
            "points": np.rint(200 * np.exp(0.8 * warmth)),
            "timezone": take([zone for _, zone in REGIONS], region),
            "attributes": take(skins, rng.integers(len(skins), size=n), rng.random(n) < SHARE_SKIN_KNOWN),
        }
    )
