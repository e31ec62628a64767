"""A made-up retailer of any size: facts of every kind drawn as whole columns, from a seed."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from draw import Draw, Ints, ids, pick, times

from features import Arrival, Warehouse

__all__ = ["CUTOFFS", "load", "load_one_customer", "tables"]

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
_WEEKS = np.datetime64("2024-01-01") + 7 * np.arange(52)
CUTOFFS: dict[int, tuple[str, ...]] = {
    1: ("2024-12-01",),
    12: tuple(f"2024-{month:02d}-01" for month in range(1, 13)),
    52: tuple(str(day) for day in _WEEKS),
}
"""How many -> the cutoffs: the last month, each month of 2024, each week of 2024."""
_AT = np.array([*CUTOFFS[12], *CUTOFFS[52]], dtype="datetime64[us]").astype(np.int64)
EDGES = (_AT[:, None] - np.array([0, 30, 90, 365]) * DAY_US).ravel()
BEGIN = np.datetime64("2022-01-01", "us").astype(np.int64)
END = np.datetime64("2025-01-01", "us").astype(np.int64)

FACTS_A_CUSTOMER = 30
LINES_AN_ORDER = 2.5
PRODUCTS, CATEGORIES, BRANDS, STORES = 5_000, 24, 200, 50
SHARES = {
    "order_lines": 0.5,
    "events": 0.35,
    "contacts": 0.08,
    "deliveries": 0.04,
    "tickets": 0.02,
    "feedback": 0.01,
}
"""Of the facts; the rows about customers, products and stores come on top."""
ONE_CUSTOMER = {
    "order_lines": 150,
    "events": 300,
    "contacts": 80,
    "deliveries": 40,
    "tickets": 5,
    "feedback": 5,
}
"""60 orders."""

FACTS_A_LOAD = 2_000_000
"""A large retailer arrives in several deliveries, each with customers of its own."""
NUMBERS_A_LOAD = 10_000_000


def load(path: str, facts: int, seed: int) -> None:
    """Make a warehouse of so many facts, by the ordinary road."""
    for number, part in enumerate(_parts(facts)):
        _deliver(
            path, f"made-up retailer, {facts} facts, seed {seed}, part {number}", tables(part, seed, number)
        )


def load_one_customer(path: str, seed: int) -> None:
    """Make a warehouse of one customer with 60 orders and 300 events."""
    rng = np.random.default_rng(seed)
    one = Draw(rng, np.ones(1), np.array([BEGIN]), np.array([END]), EDGES, 0)
    _deliver(path, f"one customer, seed {seed}", {**_facts(ONE_CUSTOMER, one), **_master()})


def tables(facts: int, seed: int, number: int = 0) -> dict[str, pa.Table]:
    """Return the canonical tables of one delivery; the first one brings the products and the stores."""
    rng = np.random.default_rng((seed, number))
    customers = max(1, facts // FACTS_A_CUSTOMER)
    weight = np.cumsum(rng.gamma(1.5, size=customers))
    first = rng.integers(BEGIN, END - 60 * DAY_US, customers)
    last = np.minimum(END, first + rng.exponential(600 * DAY_US, customers).astype(np.int64) + DAY_US)
    draw = Draw(rng, weight / weight[-1], first, last, EDGES, number * NUMBERS_A_LOAD)
    sizes = {name: round(facts * share) for name, share in SHARES.items()}
    return {**_facts(sizes, draw), **(_master() if number == 0 else {})}


def _parts(facts: int) -> Iterator[int]:
    for begin in range(0, facts, FACTS_A_LOAD):
        yield min(FACTS_A_LOAD, facts - begin)


def _deliver(path: str, label: str, rows: Mapping[str, pa.Table]) -> None:
    arrival = Arrival(label=label, digest=label, received_at=datetime.now(UTC).replace(tzinfo=None))
    Warehouse(Path(path)).load(rows, arrival, currency="EUR")


def _facts(sizes: Mapping[str, int], draw: Draw) -> dict[str, pa.Table]:
    """Draw the facts; a delivery of the warehouse is in no order."""
    lines, orders = _lines(sizes["order_lines"], draw)
    found = {"order_lines": lines, "deliveries": _deliveries(sizes["deliveries"], orders, draw)}
    found |= {name: make(sizes[name], draw) for name, make in _OTHERS.items()}
    shuffled = {name: rows.take(draw.rng.permutation(rows.num_rows)) for name, rows in found.items()}
    return {**shuffled, "customers": _customers(draw)}


def _lines(size: int, draw: Draw) -> tuple[pa.Table, Ints]:
    """Return order lines and the times of the orders."""
    rng = draw.rng
    orders = max(1, round(size / LINES_AN_ORDER))
    buyer, paid_at = draw.who_and_when(orders)
    order = np.sort(np.append(np.arange(orders), rng.integers(0, orders, size - orders)))
    returned = rng.random(size) < 0.05
    quantity = rng.integers(1, 5, size)
    gross = quantity * rng.integers(199, 9_999, size)
    discount = np.where(rng.random(size) < 0.3, gross // 5, 0)
    channel = rng.choice(3, orders, p=(0.5, 0.3, 0.2))[order]
    store = ids("s", rng.integers(0, STORES, orders))
    rows = {
        "order_id": draw.ids("o", order),
        "line_id": draw.ids("l", np.arange(size)),
        "customer_id": draw.ids("c", buyer[order]),
        "kind": pick(("sale", "return"), returned.astype(np.int64)),
        "paid_at": times(paid_at[order] + np.where(returned, rng.integers(0, 30 * DAY_US, size), 0)),
        "product_id": _products(size, rng),
        "quantity": quantity,
        "gross_amount": gross / 100,
        "discount_amount": discount / 100,
        "net_amount": (gross - discount) / 100,
        "currency": pick(("EUR",), np.zeros(size, dtype=np.int64)),
        "channel": pick(("store", "web", "app"), channel),
        "store_id": pc.if_else(
            pa.array(channel == 0), store.take(pa.array(order)), pa.scalar(None, pa.string())
        ),
        "coupon_id": draw.some(0.05, draw.choice(("spring", "welcome", "birthday"), size)),
    }
    return pa.table(rows), paid_at


def _deliveries(size: int, ordered_at: Ints, draw: Draw) -> pa.Table:
    order = draw.rng.permutation(len(ordered_at))[:size]
    at = ordered_at[order]
    return pa.table(
        {
            "delivery_id": draw.ids("d", np.arange(len(order))),
            "order_id": draw.ids("o", order),
            "promised_at": times(at + 3 * DAY_US),
            "delivered_at": draw.later(at, 5 * DAY_US, 0.98),
        }
    )


def _events(size: int, draw: Draw) -> pa.Table:
    kinds = ("view", "cart_add", "search", "cart_remove", "checkout", "favourite", "visit")
    who, at = draw.who_and_when(size)
    return pa.table(
        {
            "event_id": draw.ids("e", np.arange(size)),
            "customer_id": draw.ids("c", who),
            "at": times(at),
            "kind": draw.choice(kinds, size, (0.58, 0.18, 0.12, 0.03, 0.04, 0.03, 0.02)),
            "product_id": draw.some(0.85, _products(size, draw.rng)),
            "channel": draw.choice(("web", "app"), size),
            "session_id": draw.ids("n", draw.rng.integers(0, max(1, size // 4), size)),
            "duration_s": draw.some(0.7, pa.array(draw.rng.integers(0, 600_000, size) / 1000)),
        }
    )


def _contacts(size: int, draw: Draw) -> pa.Table:
    who, at = draw.who_and_when(size)
    return pa.table(
        {
            "contact_id": draw.ids("m", np.arange(size)),
            "customer_id": draw.ids("c", who),
            "sent_at": times(at),
            "channel": draw.choice(("email", "sms", "push", "wecom"), size),
            "purpose": draw.choice(("marketing", "service"), size, (0.9, 0.1)),
            "status": draw.choice(("delivered", "undelivered"), size, (0.97, 0.03)),
            "opened_at": draw.later(at, 3 * DAY_US, 0.3),
            "clicked_at": draw.later(at, 3 * DAY_US, 0.1),
            "rejected_at": draw.later(at, DAY_US, 0.02),
            "unsubscribed_at": draw.later(at, DAY_US, 0.01),
        }
    )


def _tickets(size: int, draw: Draw) -> pa.Table:
    who, at = draw.who_and_when(size)
    rated = draw.rng.random(size) < 0.4
    csat = pa.array(draw.rng.integers(1, 6, size))
    return pa.table(
        {
            "ticket_id": draw.ids("t", np.arange(size)),
            "customer_id": draw.ids("c", who),
            "opened_at": times(at),
            "first_response_at": draw.later(at, 4 * HOUR_US, 0.95),
            "closed_at": draw.later(at + 4 * HOUR_US, 9 * DAY_US, 0.9),
            "rated_at": times(at + 10 * DAY_US, rated),
            "csat": pc.if_else(pa.array(rated), csat, pa.scalar(None, csat.type)),
            "kind": draw.choice(("complaint", "return", "exchange", "enquiry"), size),
        }
    )


def _feedback(size: int, draw: Draw) -> pa.Table:
    who, at = draw.who_and_when(size)
    return pa.table(
        {
            "feedback_id": draw.ids("f", np.arange(size)),
            "customer_id": draw.ids("c", who),
            "at": times(at),
            "kind": draw.choice(("review", "nps", "chat"), size, (0.6, 0.2, 0.2)),
            "rating": draw.some(0.8, pa.array(draw.rng.integers(1, 6, size).astype(np.float64))),
        }
    )


_OTHERS: Mapping[str, Callable[[int, Draw], pa.Table]] = {
    "events": _events,
    "contacts": _contacts,
    "tickets": _tickets,
    "feedback": _feedback,
}


def _customers(draw: Draw) -> pa.Table:
    return pa.table(
        {"customer_id": draw.ids("c", np.arange(len(draw.first))), "registered_at": times(draw.first)}
    )


def _master() -> dict[str, pa.Table]:
    """Products and stores, the same for every seed."""
    product, store = np.arange(PRODUCTS), np.arange(STORES)
    categories, brands = (
        ids(letter, product * 7 % count) for letter, count in (("g", CATEGORIES), ("b", BRANDS))
    )
    return {
        "products": pa.table({"product_id": ids("p", product), "category_1": categories, "brand": brands}),
        "stores": pa.table(
            {
                "store_id": ids("s", store),
                "region_id": ids("r", store % 5),
                "timezone": pick(("Europe/Berlin", "Europe/London"), store % 2),
            }
        ),
    }


def _products(size: int, rng: np.random.Generator) -> pa.Array:
    """Few products sell much."""
    return ids("p", (PRODUCTS * rng.random(size) ** 2).astype(np.int64))
