"""What the oracle looks at: all row versions of a small world, and of them what is known of one customer at a cutoff."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from features.tables import TABLES
from tests.features.oracle_sums import DAY, inside, total, within

__all__ = [
    "OF_CUSTOMERS",
    "Delivery",
    "Order",
    "Past",
    "World",
    "name_without_link",
    "one_id_of",
    "past_of",
    "usable",
]

Row = dict[str, Any]
Owner = tuple[str, str]
"""Source and that source's customer_id."""

OF_CUSTOMERS = [name for name, table in TABLES.items() if "customer_id" in table.names]


@dataclass
class World:
    """All row versions, found by owner, by product, by store, by order; ``zone`` is the warehouse's."""

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
        keys = {
            "products": "product_id",
            "stores": "store_id",
            "deliveries": "order_id",
        }
        for name, key in keys.items():
            for row in self.tables.get(name, []):
                self.facts[name, row["source"], row[key]].append(row)


@dataclass
class Order:
    """The usable sale lines of one (source, order_id), and the zone of whose clock it was placed by."""

    lines: list[Row]
    zone: str = "UTC"

    @cached_property
    def time(self):
        return min(line["paid_at"] for line in self.lines)

    @cached_property
    def first(self):
        return min(self.lines, key=lambda line: (line["paid_at"], line["line_id"]))

    @cached_property
    def value(self):
        return sum(line["net_amount"] for line in self.lines)

    @cached_property
    def quantity(self):
        return sum(line["quantity"] for line in self.lines)

    @cached_property
    def local(self):
        return self.time.astimezone(ZoneInfo(self.zone))

    @property
    def channel(self):
        return self.first["channel"]


@dataclass
class Delivery:
    """A usable delivery of a known order, at the order's time."""

    time: datetime
    delivered_at: datetime | None
    late_at: datetime | None


@dataclass
class Past:
    """Everything known about one customer at the cutoff; ``products`` holds the products' rows as known then."""

    cutoff: datetime
    zone: ZoneInfo
    orders: list[Order]
    returns: list[Row]
    events: list[Row]
    tickets: list[Row]
    contacts: list[Row]
    feedback: list[Row]
    deliveries: list[Delivery]
    products: dict[tuple[str, str], Row]

    def orders_in(self, days, begins=0):
        """Orders in [cutoff - days, cutoff - begins)."""
        length = None if days is None else days - begins
        return [order for order in self.orders if inside(order.time, self.cutoff - begins * DAY, length)]

    def lines_in(self, days, begins=0):
        return [line for order in self.orders_in(days, begins) for line in order.lines]

    def spend(self, days, begins=0):
        return total(line["net_amount"] for line in self.lines_in(days, begins))

    def refunds(self, days):
        return total(line["net_amount"] for line in within(self.returns, "paid_at", self.cutoff, days))

    @property
    def first_orders(self):
        """The first order, or all that were placed at that instant."""
        return [order for order in self.orders if order.time == self.orders[0].time]

    @property
    def last_orders(self):
        return [order for order in self.orders if order.time == self.orders[-1].time]

    def attribute(self, row, column):
        """Value of the column that the row's product had at the cutoff."""
        return self.products.get((row["source"], row["product_id"]), {}).get(column)


# ------------------------------------------------------------------------------------------------- what is known when


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


def rows_of(world, table, owners, cutoff):
    """Usable rows of everybody who is this customer at the cutoff."""
    return [row for owner in owners for row in world.of[table].get(owner, []) if usable(table, row, cutoff)]


def fact(world, table, source, key, cutoff):
    """A product's or a store's row as known at the cutoff."""
    rows = [row for row in world.facts.get((table, source, key), []) if known(row, cutoff)]
    return rows[0] if rows else {}


def zone_of(world, order, cutoff):
    """The zone of the customer whom the order's source names, else its store's, else the warehouse's."""
    first = order.first
    versions = world.of["customers"][first["source"], first["customer_id"]]
    customer = [row.get("timezone") for row in versions if usable("customers", row, cutoff)]
    store = fact(world, "stores", first["source"], first.get("store_id"), cutoff).get("timezone")
    return next((zone for zone in (*customer, store) if zone), world.zone)


def orders_of(world, sales, cutoff):
    lines = defaultdict(list)
    for line in sales:
        lines[line["source"], line["order_id"]].append(line)
    orders = [Order(found) for found in lines.values()]
    for order in orders:
        order.zone = zone_of(world, order, cutoff)
    return sorted(orders, key=lambda order: order.time)


def deliveries_of(world, orders, cutoff):
    """Usable deliveries of the orders known at the cutoff."""
    return [
        Delivery(order.time, row["delivered_at"], late_at(row))
        for order in orders
        for row in world.facts.get(("deliveries", order.first["source"], order.first["order_id"]), [])
        if known(row, cutoff)
    ]


def late_at(delivery):
    """The promised time, if nothing had been delivered by then."""
    promised, delivered = delivery["promised_at"], delivery["delivered_at"]
    return promised if promised and (delivered is None or delivered > promised) else None


def past_of(world, one_id, cutoff):
    """Everything known about one customer at the cutoff."""
    owners = [owner for owner in sorted(world.named[one_id]) if one_id_of(world, owner, cutoff) == one_id]
    lines = rows_of(world, "order_lines", owners, cutoff)
    sales = [line for line in lines if line["kind"] == "sale"]
    orders, events = orders_of(world, sales, cutoff), rows_of(world, "events", owners, cutoff)
    products = {(row["source"], row["product_id"]) for row in (*lines, *events)}
    return Past(
        cutoff=cutoff,
        zone=ZoneInfo(world.zone),
        orders=orders,
        returns=[line for line in lines if line["kind"] == "return"],
        events=events,
        tickets=rows_of(world, "tickets", owners, cutoff),
        contacts=[
            contact
            for contact in rows_of(world, "contacts", owners, cutoff)
            if contact["purpose"] == "marketing" and contact["status"] == "delivered"
        ],
        feedback=rows_of(world, "feedback", owners, cutoff),
        deliveries=deliveries_of(world, orders, cutoff),
        products={(source, name): fact(world, "products", source, name, cutoff) for source, name in products},
    )
