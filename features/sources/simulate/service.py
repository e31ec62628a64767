"""What follows an order: its delivery, the service it needs, what the customer says of it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.sources.simulate.columns import Bools, Floats, Ints, Names, numbered, take
from features.sources.simulate.shop import Lines, Sales
from features.sources.simulate.world import STAFF_PER_STORE, STORES, Clock, People

__all__ = ["Parcels", "deliveries", "draw_feedback", "draw_parcels", "draw_tickets"]

PROMISED_DAYS, SHARES_PROMISED = (1.0, 2.0, 4.0), (0.3, 0.5, 0.2)
SHARE_LATE, SHARE_LATE_OF_WRONG = 0.06, 0.6  # of online orders
REASONS = ("quality", "damaged", "late", "usage", "stock", "delivery")  # of complaints, then of enquiries
SHARE_REVIEWED, SHARE_ASKED, WRONG_RATING, WRONGS_RATING = 0.1, 0.03, 1.6, 0.3
TOPICS = ("product", "service", "price", "delivery")


@dataclass(frozen=True)
class Parcels:
    """Of each sale; times are operational, nan: it was handed over in a store."""

    promised: Floats
    delivered: Floats
    late: Bools


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


def draw_parcels(rng: np.random.Generator, clock: Clock, sales: Sales) -> Parcels:
    """When online orders arrive. Going wrong makes them late, not the other way round: the truth knows ``wrong``."""
    n, online = sales.at.size, sales.channel > 0
    late = online & (rng.random(n) < np.where(sales.wrong, SHARE_LATE_OF_WRONG, SHARE_LATE))
    days = rng.choice(PROMISED_DAYS, n, p=SHARES_PROMISED)
    taken = np.where(late, days + 0.2 + rng.exponential(2.0, n), days * rng.uniform(0.4, 1.0, n))
    promised, delivered = (np.where(online, clock.later(sales.at, d), np.nan) for d in (days, taken))
    return Parcels(promised, delivered, late)


def deliveries(clock: Clock, sales: Sales, parcels: Parcels, names: Names) -> pa.Table:
    """The table deliveries, of orders before ``end``, each known from its order on."""
    row = np.flatnonzero((sales.at < 0) & ~np.isnan(parcels.promised))
    return pa.table(
        {
            "delivery_id": names.numbered("d", row.size),
            "order_id": sales.id.take(pa.array(row)),
            "promised_at": clock.stamp(parcels.promised[row]),
            "delivered_at": clock.stamp(parcels.delivered[row]),
            "known_at": clock.stamp(sales.at[row]),
        }
    )


def draw_feedback(
    rng: np.random.Generator, clock: Clock, people: People, sales: Sales, lines: Lines, names: Names
) -> pa.Table:
    """Reviews (1-5) and answers to "would you recommend us" (nps, 0-10), in the days after an order, by time."""
    asked = rng.random(sales.at.size)
    sale = np.flatnonzero(sales.known & (asked < SHARE_REVIEWED + SHARE_ASKED))
    at = sales.at[sale] + rng.uniform(1.0, 12.0, sale.size)
    row = np.flatnonzero(at < 0)
    row = row[np.lexsort((sale[row], at[row]))]
    sale, at, nps = sale[row], at[row], asked[sale[row]] >= SHARE_REVIEWED
    mood = people.satisfaction[sales.customer[sale]] + rng.normal(0.0, 0.6, sale.size)
    mood -= WRONG_RATING * sales.wrong[sale] + WRONGS_RATING * sales.wrongs[sale]
    rating = np.where(nps, np.clip(np.rint(2.5 * mood - 2.5), 0, 10), np.clip(np.rint(mood), 1, 5))
    in_store = sales.channel[sale] == 0
    return pa.table(
        {
            "feedback_id": names.numbered("f", at.size),
            "customer_id": names.customers(sales.customer[sale]),
            "at": clock.stamp(at),
            "kind": take(("review", "nps"), nps.astype(np.int64)),
            "rating": rating,
            "topic": take(TOPICS, rng.integers(np.where(in_store, 3, 4)), ~nps),
            "product_id": numbered("p", lines.product[np.searchsorted(lines.sale, sale)], 4, ~nps),
            "staff_id": take(
                numbered("a", np.arange(STORES * STAFF_PER_STORE), 3), sales.staff[sale], in_store
            ),
        }
    )


def draw_tickets(
    rng: np.random.Generator, clock: Clock, sales: Sales, parcels: Parcels, names: Names
) -> pa.Table:
    """Tickets opened before ``end``, by time: a complaint for each order gone wrong, and enquiries."""
    every = _draw_all_tickets(rng, sales, parcels)
    row = np.flatnonzero(every.opened < 0)
    row = row[np.lexsort((every.sale[row], every.opened[row]))]
    sale, rated = every.sale[row], every.rated[row]
    return pa.table(
        {
            "ticket_id": names.numbered("t", row.size),
            "customer_id": names.customers(sales.customer[sale]),
            "opened_at": clock.stamp(every.opened[row]),
            "closed_at": clock.stamp(every.closed[row]),
            "rated_at": clock.stamp(rated),
            "csat": pa.array(every.csat[row], mask=~(rated < 0)),
            "kind": take(("enquiry", "complaint"), every.complaint[row].astype(np.int64)),
            "reason": take(REASONS, every.reason[row]),
            "order_id": sales.id.take(pa.array(sale)),
        }
    )


def _draw_all_tickets(rng: np.random.Generator, sales: Sales, parcels: Parcels) -> _Tickets:
    asks = sales.known & (rng.random(sales.at.size) < 0.04)
    sale = np.append(np.flatnonzero(sales.wrong), np.flatnonzero(asks))
    complaint = np.arange(sale.size) < np.count_nonzero(sales.wrong)
    late = complaint & parcels.late[sale]  # nobody complains of a delay before the day that was promised
    opened = np.where(late, parcels.promised[sale], sales.at[sale]) + rng.exponential(1.0, sale.size)
    handling = rng.exponential(np.where(complaint, 3.0, 1.0))
    closed = opened + handling
    rated = np.where(rng.random(sale.size) < 0.5, closed + rng.exponential(1.0, sale.size), np.nan)
    mood = np.where(complaint, 3.2, 4.6) - 0.2 * handling + rng.normal(0.0, 0.9, sale.size)
    csat = np.clip(np.rint(mood), 1, 5).astype(np.int64)
    reason = np.where(complaint, rng.integers(2, size=sale.size), rng.integers(3, 6, size=sale.size))
    reason = np.where(late, REASONS.index("late"), reason)
    return _Tickets(sale, complaint, opened, closed, rated, csat, reason)
