"""What customers leave behind beside orders: profiles, consents, events, tickets, answers to messages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.sources.simulate.columns import Bools, Floats, Ints, numbered, take
from features.sources.simulate.shop import Lines, Sales, draw_liked
from features.sources.simulate.world import (
    CHANNELS,
    COMPLAINT_SPEED,
    RATE_PER_WEEK,
    REGIONS,
    Clock,
    Orders,
    People,
    standing,
)

__all__ = [
    "Browsing",
    "draw_browsing",
    "draw_consents",
    "draw_contacts",
    "draw_profiles",
    "draw_sessions",
    "draw_tickets",
    "events",
]

EVENTS, EVENT_SHARES = ("view", "favourite", "cart_add", "visit"), (0.7, 0.08, 0.1, 0.12)
REASONS = ("quality", "damaged", "late", "usage", "stock", "delivery")  # of complaints, then of enquiries
MESSAGES, MESSAGES_PER_WEEK = ("email", "sms"), 0.2


@dataclass(frozen=True)
class Browsing:
    """Events, in any order."""

    customer: Ints
    at: Floats
    kind: Ints
    product: Ints
    channel: Ints


@dataclass(frozen=True)
class _Tickets:
    """Tickets up to 365 days after ``end``, complaints first."""

    sale: Ints  # row of Sales
    complaint: Bools
    opened: Floats
    closed: Floats
    rated: Floats  # nan: never
    csat: Ints  # 1-5, of unrated tickets too
    reason: Ints


def draw_browsing(rng: np.random.Generator, clock: Clock, people: People, orders: Orders) -> Browsing:
    """Browsing between orders: interest grows with the time since the last, fades once they have left."""
    since = np.maximum(people.joined, clock.start)
    who = np.repeat(np.arange(since.size), rng.poisson(-since * people.browsing))
    at = since[who] * (1 - rng.random(who.size))
    last, alive = standing(people, orders, who, at)
    gap = np.where(last >= 0, at - np.append(orders.at, [0.0])[last], 0.0)
    pace = people.rate[who] * COMPLAINT_SPEED ** np.append(orders.wrongs, [0])[last]
    interest = np.where(alive, 0.2 + 0.8 * np.minimum(1.0, gap * pace), 0.2 * np.exp(-gap / 45))
    kept = rng.random(who.size) < interest
    who, at = who[kept], at[kept]
    kind = rng.choice(len(EVENTS), who.size, p=EVENT_SHARES)
    online = np.where(people.channel[who] > 0, people.channel[who], CHANNELS.index("mini_program"))
    channel = np.where(kind == EVENTS.index("visit"), 0, online)
    return Browsing(who, at, kind, draw_liked(rng, people, who), channel)


def draw_sessions(rng: np.random.Generator, sales: Sales, lines: Lines) -> Browsing:
    """Views and carts of the lines of each online order, in the hours before it is paid."""
    viewed = np.flatnonzero((sales.channel > 0)[lines.sale])
    carted = viewed[rng.random(viewed.size) < 0.7]
    ahead = np.append(rng.uniform(0.02, 0.1, viewed.size), rng.uniform(0.0, 0.02, carted.size))
    line = np.append(viewed, carted)
    sale = lines.sale[line]
    kind = np.where(np.arange(line.size) < viewed.size, EVENTS.index("view"), EVENTS.index("cart_add"))
    return Browsing(
        sales.customer[sale], sales.at[sale] - ahead, kind, lines.product[line], sales.channel[sale]
    )


def events(clock: Clock, people: People, parts: Sequence[Browsing], ids: pa.Array) -> pa.Table:
    """Events before ``end`` of customers who have joined, by time; ``ids`` are the customers'."""
    columns = zip(*((p.customer, p.at, p.kind, p.product, p.channel) for p in parts), strict=True)
    customer, at, kind, product, channel = (np.concatenate(column) for column in columns)
    row = np.flatnonzero((at >= np.maximum(people.joined[customer], clock.start)) & (at < 0))
    row = row[np.lexsort((customer[row], at[row]))]
    return pa.table(
        {
            "event_id": numbered("e", np.arange(row.size), 8),
            "customer_id": ids.take(pa.array(customer[row])),
            "at": clock.stamp(at[row]),
            "kind": take(EVENTS, kind[row]),
            "product_id": numbered("p", product[row], 4, kind[row] != EVENTS.index("visit")),
            "channel": take(CHANNELS, channel[row]),
        }
    )


def draw_tickets(rng: np.random.Generator, clock: Clock, sales: Sales, ids: pa.Array) -> pa.Table:
    """Tickets opened before ``end``, by time: a complaint for each order gone wrong, and enquiries."""
    every = _draw_all_tickets(rng, sales)
    row = np.flatnonzero(every.opened < 0)
    row = row[np.lexsort((every.sale[row], every.opened[row]))]
    sale, rated = every.sale[row], every.rated[row]
    return pa.table(
        {
            "ticket_id": numbered("t", np.arange(row.size), 6),
            "customer_id": ids.take(pa.array(sales.customer[sale])),
            "opened_at": clock.stamp(every.opened[row]),
            "closed_at": clock.stamp(every.closed[row]),
            "rated_at": clock.stamp(rated),
            "csat": pa.array(every.csat[row], mask=~(rated < 0)),
            "kind": take(("enquiry", "complaint"), every.complaint[row].astype(np.int64)),
            "reason": take(REASONS, every.reason[row]),
            "order_id": sales.id.take(pa.array(sale)),
        }
    )


def _draw_all_tickets(rng: np.random.Generator, sales: Sales) -> _Tickets:
    asks = sales.known & (rng.random(sales.at.size) < 0.04)
    sale = np.append(np.flatnonzero(sales.wrong), np.flatnonzero(asks))
    complaint = np.arange(sale.size) < np.count_nonzero(sales.wrong)
    opened = sales.at[sale] + rng.exponential(1.0, sale.size)
    handling = rng.exponential(np.where(complaint, 3.0, 1.0))
    closed = opened + handling
    rated = np.where(rng.random(sale.size) < 0.5, closed + rng.exponential(1.0, sale.size), np.nan)
    mood = np.where(complaint, 3.2, 4.6) - 0.2 * handling + rng.normal(0.0, 0.9, sale.size)
    csat = np.clip(np.rint(mood), 1, 5).astype(np.int64)
    reason = rng.integers(3, size=sale.size) + np.where(complaint, 0, 3)
    return _Tickets(sale, complaint, opened, closed, rated, csat, reason)


def draw_consents(
    rng: np.random.Generator, clock: Clock, people: People, ids: pa.Array
) -> tuple[Floats, pa.Table]:
    """Until when each (customer, message channel) is subscribed, flat; nan: never. And the consents to it."""
    joined = np.repeat(people.joined, len(MESSAGES))
    subscribed = rng.random(joined.size) < 0.7
    leaves = np.flatnonzero(subscribed & (rng.random(joined.size) < 0.12))
    until = np.where(subscribed, 0.0, np.nan)
    until[leaves] = joined[leaves] * (1 - rng.random(leaves.size))
    customer, channel = np.divmod(np.append(np.arange(joined.size), leaves), len(MESSAGES))
    status = np.append(np.where(subscribed, 0, 2), np.full(leaves.size, 1))
    return until, pa.table(
        {
            "customer_id": ids.take(pa.array(customer)),
            "channel": take(MESSAGES, channel),
            "purpose": take(("marketing",), np.zeros_like(channel)),
            "at": clock.stamp(np.append(joined, until[leaves])),
            "status": take(("SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"), status),
        }
    )


def draw_contacts(
    rng: np.random.Generator, clock: Clock, people: People, orders: Orders, until: Floats, ids: pa.Array
) -> pa.Table:
    """Marketing messages to the subscribed, by time; who has left opens fewer. See `draw_consents`."""
    customer, channel, at = _draw_sent(rng, clock, people, until)
    delivered = rng.random(at.size) < 0.97
    attention = people.attention[customer] * np.where(standing(people, orders, customer, at)[1], 1.0, 0.4)
    read = delivered & (rng.random(at.size) < attention)
    opened = np.where(read, at + rng.exponential(0.4, at.size), np.nan)
    clicked = np.where(rng.random(at.size) < 0.25, opened + rng.exponential(0.02, at.size), np.nan)
    return pa.table(
        {
            "contact_id": numbered("m", np.arange(at.size), 8),
            "customer_id": ids.take(pa.array(customer)),
            "sent_at": clock.stamp(at),
            "channel": take(MESSAGES, channel),
            "purpose": take(("marketing",), np.zeros_like(channel)),
            "campaign_id": numbered("week_", ((at - clock.start) // 7).astype(np.int64), 3),
            "status": take(("undelivered", "delivered"), delivered.astype(np.int64)),
            "opened_at": clock.stamp(opened),
            "clicked_at": clock.stamp(clicked),
        }
    )


def _draw_sent(
    rng: np.random.Generator, clock: Clock, people: People, until: Floats
) -> tuple[Ints, Ints, Floats]:
    """Customer, channel and time of each message, by time."""
    since = np.repeat(np.maximum(people.joined, clock.start), len(MESSAGES))
    open_days = np.fmax(until - since, 0.0)
    sent = np.repeat(np.arange(since.size), rng.poisson(open_days * MESSAGES_PER_WEEK / 7))
    at = until[sent] - open_days[sent] * (1 - rng.random(sent.size))
    order = np.lexsort((sent, at))
    customer, channel = np.divmod(sent[order], len(MESSAGES))
    return customer, channel, at[order]


def draw_profiles(rng: np.random.Generator, clock: Clock, people: People, ids: pa.Array) -> pa.Table:
    """The table customers, one row per person."""
    n = people.rate.size
    region = people.store % len(REGIONS)
    born = clock.end.astype("M8[D]") - rng.integers(20 * 365, 70 * 365, size=n).astype("m8[D]")
    # From the rate, not from orders to come.
    warmth = np.log(people.rate * 7 / RATE_PER_WEEK) + rng.normal(0.0, 1.0, n)
    return pa.table(
        {
            "customer_id": ids,
            "registered_at": clock.stamp(people.joined),
            "registration_channel": take(CHANNELS, people.channel),
            "display_name": pa.nulls(n, pa.string()),
            "birth_date": pa.array(born, pa.date32(), mask=rng.random(n) < 0.12),
            "gender": take(("female", "male"), (rng.random(n) < 0.35).astype(np.int64), rng.random(n) < 0.95),
            "region_id": take([name for name, _ in REGIONS], region),
            "home_store_id": numbered("s", people.store, 2),
            "member_level": take(("basic", "silver", "gold"), np.searchsorted([0.3, 1.2], warmth)),
            "timezone": take([zone for _, zone in REGIONS], region),
        }
    )
