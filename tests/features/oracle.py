"""The features of one customer, worked out the slow and obvious way: loops over rows, read straight off the definitions.

It shares no code with the engine. Rows are dictionaries of the canonical columns plus ``source``, ``known_at`` and
``superseded_at``; times are aware datetimes, amounts and quantities Decimals.

Where the definitions leave a choice, this is what they are taken to mean:

- An order belongs to (customer, source, order_id). Its channel, store and zone are those of its first line, by time
  and line_id; the zone is that of the customer the source itself names, so of two merged customers each keeps its own.
- A category is its name, whatever the source; a product is (source, product_id).
- The largest share of a category is null where no line in the window has a category, or where nothing was paid.
- Of two ratings given at one instant, that of the larger (source, ticket_id) is the last.
- A row of ``customers`` without registration happened before everything.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from features.tables import TABLES

__all__ = ["World", "active_at", "everybody", "features_of"]

Row = dict[str, Any]
Owner = tuple[str, str]
"""Source and that source's customer_id."""

WINDOWS = {"7d": 7, "30d": 30, "90d": 90, "180d": 180, "365d": 365, "all": None}
OF_CUSTOMERS = [name for name, table in TABLES.items() if "customer_id" in table.names]
MICROSECOND = timedelta(microseconds=1)


@dataclass
class World:
    """All row versions, found by owner, by product, by store; ``zone`` is the warehouse's."""

    tables: dict[str, list[Row]]
    zone: str = "UTC"
    of: dict[str, dict[Owner, list[Row]]] = field(default_factory=dict)
    named: dict[str, set[Owner]] = field(default_factory=lambda: defaultdict(set))
    facts: dict[tuple[str, str, str], list[Row]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self):
        for name in OF_CUSTOMERS:
            rows = self.of[name] = defaultdict(list)
            for row in self.tables.get(name, []):
                if (owner := (row["source"], row["customer_id"]))[1] is not None:
                    rows[owner].append(row)
                    self.named[name_without_link(*owner)].add(owner)
        for link in self.tables.get("links", []):
            self.named[link["one_id"]].add((link["source"], link["customer_id"]))
        for name, key in (("products", "product_id"), ("stores", "store_id")):
            for row in self.tables.get(name, []):
                self.facts[name, row["source"], row[key]].append(row)


@dataclass
class Order:
    """The usable sale lines of one (source, order_id), earliest first."""

    lines: list[Row]

    @property
    def time(self):
        return min(line["paid_at"] for line in self.lines)

    @property
    def value(self):
        return sum(line["net_amount"] for line in self.lines)

    @property
    def first(self):
        return min(self.lines, key=lambda line: (line["paid_at"], line["line_id"]))


@dataclass
class Past:
    """Everything known about one customer at the cutoff."""

    cutoff: datetime
    orders: list[Order]
    returns: list[Row]
    events: list[Row]
    tickets: list[Row]
    contacts: list[Row]
    category: dict[tuple[str, str], str | None]
    weekend: list[bool]
    zone: ZoneInfo


def name_without_link(source, customer_id):
    return customer_id if source == "main" else f"{source}:{customer_id}"


def known(row, cutoff):
    return row["known_at"] <= cutoff and (row["superseded_at"] is None or cutoff < row["superseded_at"])


def usable(table, row, cutoff):
    time = TABLES[table].time
    happened = time is None or row.get(time) is None or row[time] < cutoff
    return happened and known(row, cutoff)


def one_id_of(world, owner, cutoff):
    links = [link for link in world.of["links"][owner] if known(link, cutoff)]
    return links[0]["one_id"] if links else name_without_link(*owner)


def rows_of(world, table, one_id, cutoff):
    """Usable rows of everybody who is this customer at the cutoff."""
    return [
        row
        for owner in sorted(world.named[one_id])
        if one_id_of(world, owner, cutoff) == one_id
        for row in world.of[table].get(owner, [])
        if usable(table, row, cutoff)
    ]


def fact(world, table, source, key, column, cutoff):
    """Value of a product's or a store's column as known at the cutoff."""
    rows = [row for row in world.facts.get((table, source, key), []) if known(row, cutoff)]
    return rows[0].get(column) if rows else None


def orders_of(lines):
    orders = defaultdict(list)
    for line in lines:
        if line["kind"] == "sale":
            orders[line["source"], line["order_id"]].append(line)
    return sorted((Order(found) for found in orders.values()), key=lambda order: order.time)


def is_weekend(world, order, cutoff):
    """Whether the order was placed on a Saturday or Sunday by the customer's clock, the store's, or the warehouse's."""
    first = order.first
    versions = world.of["customers"][first["source"], first["customer_id"]]
    customer = [row.get("timezone") for row in versions if usable("customers", row, cutoff)]
    store = fact(world, "stores", first["source"], first.get("store_id"), "timezone", cutoff)
    zone = next((zone for zone in (*customer, store) if zone), world.zone)
    return order.time.astimezone(ZoneInfo(zone)).weekday() >= 5


def past_of(world, one_id, cutoff):
    lines = rows_of(world, "order_lines", one_id, cutoff)
    orders = orders_of(lines)
    products = {(line["source"], line["product_id"]) for line in lines}
    return Past(
        cutoff=cutoff,
        orders=orders,
        returns=[line for line in lines if line["kind"] == "return"],
        events=rows_of(world, "events", one_id, cutoff),
        tickets=rows_of(world, "tickets", one_id, cutoff),
        contacts=[
            contact
            for contact in rows_of(world, "contacts", one_id, cutoff)
            if contact["purpose"] == "marketing" and contact["status"] == "delivered"
        ],
        category={
            (source, product): fact(world, "products", source, product, "category_1", cutoff)
            for source, product in products
        },
        weekend=[is_weekend(world, order, cutoff) for order in orders],
        zone=ZoneInfo(world.zone),
    )


def inside(time, cutoff, days):
    """Whether the time lies in [cutoff - days, cutoff)."""
    return time < cutoff and (days is None or time >= cutoff - timedelta(days=days))


def within(rows, time, cutoff, days):
    return [row for row in rows if inside(row[time], cutoff, days)]


def ratio(part, whole):
    """Null where the whole is nothing, or not known."""
    return None if part is None or not whole else float(part) / float(whole)


def in_days(duration):
    return duration / timedelta(days=1)


def purchases(past, days):
    orders = [order for order in past.orders if inside(order.time, past.cutoff, days)]
    lines = [line for order in orders for line in order.lines]
    products = {(line["source"], line["product_id"]) for line in lines}
    spend = sum((line["net_amount"] for line in lines), Decimal(0))
    refunds = within(past.returns, "paid_at", past.cutoff, days)
    return {
        "orders": len(orders),
        "spend": spend,
        "units": sum((line["quantity"] for line in lines), Decimal(0)),
        "refunds": sum((line["net_amount"] for line in refunds), Decimal(0)),
        "active_days": len({order.time.astimezone(past.zone).date() for order in orders}),
        "aov": ratio(spend, len(orders)),
        "distinct_products": len(products),
        "distinct_categories": len({past.category[product] for product in products} - {None}),
        "max_order_value": max((order.value for order in orders), default=None),
    }


def rhythm(past):
    times = [order.time for order in past.orders]
    gaps = [Fraction((after - before) // MICROSECOND) for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps) if gaps else None
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps) if len(gaps) >= 2 else None
    day = timedelta(days=1) // MICROSECOND
    since_last = in_days(past.cutoff - times[-1]) if times else None
    month = timedelta(days=30)
    periods = [(past.cutoff - (k + 1) * month, past.cutoff - k * month) for k in range(6)]
    return {
        "days_since_last_order": since_last,
        "days_since_first_order": in_days(past.cutoff - times[0]) if times else None,
        "gap_mean_days": mean / day if gaps else None,
        "gap_std_days": None if variance is None else math.sqrt(variance) / day,
        "gap_last_days": gaps[-1] / day if gaps else None,
        "overdue_ratio": ratio(since_last, mean / day if gaps else None),
        "active_30d_periods_180d": sum(any(low <= time < high for time in times) for low, high in periods),
    }


def last_year(past):
    chosen = [
        (order, weekend)
        for order, weekend in zip(past.orders, past.weekend, strict=True)
        if inside(order.time, past.cutoff, 365)
    ]
    lines = [line for order, _ in chosen for line in order.lines]
    channels = [order.first["channel"] for order, _ in chosen]
    of_category = defaultdict(Decimal)
    for line in lines:
        of_category[past.category[line["source"], line["product_id"]]] += line["net_amount"]
    spend = sum(of_category.values())
    of_category.pop(None, None)
    return {
        "discount_share_365d": ratio(
            sum(line["discount_amount"] for line in lines), sum(line["gross_amount"] for line in lines)
        ),
        "top_category_share_365d": ratio(max(of_category.values(), default=None), spend),
        "channels_365d": len(set(channels)),
        "online_share_365d": ratio(sum(channel != "store" for channel in channels), len(chosen)),
        "weekend_share_365d": ratio(sum(weekend for _, weekend in chosen), len(chosen)),
    }


def traces(past):
    cutoff = past.cutoff
    month = within(past.events, "at", cutoff, 30)
    tickets = within(past.tickets, "opened_at", cutoff, 90)
    sent = within(past.contacts, "sent_at", cutoff, 90)
    rated = [row for row in past.tickets if row.get("rated_at") and row["rated_at"] < cutoff and row["csat"]]
    latest = max(rated, key=lambda row: (row["rated_at"], row["source"], row["ticket_id"]), default=None)
    return {
        "views_30d": sum(row["kind"] == "view" for row in month),
        "carts_30d": sum(row["kind"] == "cart_add" for row in month),
        "days_since_last_event": min((in_days(cutoff - row["at"]) for row in past.events), default=None),
        "tickets_90d": len(tickets),
        "complaints_90d": sum(row["kind"] == "complaint" for row in tickets),
        "last_csat": latest["csat"] if latest else None,
        "contacts_30d": len(within(past.contacts, "sent_at", cutoff, 30)),
        "open_rate_90d": ratio(happened(sent, "opened_at", cutoff), len(sent)),
        "click_rate_90d": ratio(happened(sent, "clicked_at", cutoff), len(sent)),
    }


def happened(rows, time, cutoff):
    return sum(row.get(time) is not None and row[time] < cutoff for row in rows)


def features_of(world, one_id, cutoff):
    """Return every feature of one customer at the cutoff: name -> float, or None where undefined."""
    past = past_of(world, one_id, cutoff)
    values = rhythm(past) | last_year(past) | traces(past)
    for window, days in WINDOWS.items():
        values |= {f"{name}_{window}": value for name, value in purchases(past, days).items()}
    return {name: None if value is None else float(value) for name, value in values.items()}


def everybody(world, cutoff):
    """Return the OneIDs with any usable row at the cutoff, sorted."""
    owners = {
        owner
        for table in OF_CUSTOMERS
        if table != "links"
        for owner, rows in world.of[table].items()
        if any(usable(table, row, cutoff) for row in rows)
    }
    return sorted({one_id_of(world, owner, cutoff) for owner in owners})


def active_at(world, cutoff):
    """Return the OneIDs with an order in [cutoff - 365 d, cutoff), sorted."""
    return [
        one_id for one_id in everybody(world, cutoff) if features_of(world, one_id, cutoff)["orders_365d"]
    ]
