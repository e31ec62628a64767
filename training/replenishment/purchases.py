"""Who bought what when, as it was known at an instant: the purchases of an item by a customer, and the gaps between them.

An item is a category (``category_1``, ``category_2`` as known then; a product without ``category_1`` has none) or a product. All
that a customer bought of an item within one day of the warehouse's zone is one purchase, whatever the channel: a need is
filled once. Its units are quantity times ``pack_size`` (1 where it is not told), less what was brought back of the same
order and product by then; a purchase brought back whole is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.sql import one_id, product_key, usable
from features.warehouse import Warehouse

__all__ = [
    "ITEM_COLUMNS",
    "LEVELS",
    "Gaps",
    "Purchases",
    "gaps",
    "purchase_query",
    "read_purchases",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEVELS = ("category", "product")
ITEM_COLUMNS = ("level", "category_1", "category_2", "product_id")
"""What names an item; ``product_id`` (``source|id`` beyond the source ``main``) is null for a category."""

LEAST_GAP_DAYS = 0.25
"""A gap is no shorter on the log scale: purchases of neighbouring days may lie minutes apart."""

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Purchases:
    """Purchases in the order of pair and time; a pair is a customer and an item.

    Attributes
    ----------
    customers
        OneIDs as known at ``as_of``, ascending.
    items
        ``ITEM_COLUMNS``, and ``replenishable``: the share of its lines whose product is declared so (NaN: none tells).
        By category and product.
    customer, item
        Rows of the two, length n.
    bought_at
        datetime64[us], length n; the time of the day's first order.
    units
        Above 0, length n.
    tenure_days, orders
        Since the customer's first order, and order days since it, both up to the purchase, of whatever was ordered;
        length n.
    as_of
        Nothing at or after it, or known later, was used.
    """

    customers: pd.Series
    items: pd.DataFrame
    customer: Ints
    item: Ints
    bought_at: NDArray[np.datetime64]
    units: Floats
    tenure_days: Floats
    orders: Floats
    as_of: pd.Timestamp


@dataclass(frozen=True, eq=False)
class Gaps:
    """The gap that each purchase opened, one row a purchase, in their order.

    Attributes
    ----------
    days
        To the pair's next purchase, or to the as-of where none was seen; at least ``LEAST_GAP_DAYS``.
    closed
        Whether the next purchase was seen; the last gap of a pair is open.
    number
        Of the pair's purchases before, from 0.
    """

    days: Floats
    closed: Bools
    number: Ints


def purchase_query(lines: str, at: str, *, anonymous: bool = False) -> str:
    """SQL for sale lines beside OneID and item, less what came back; a row per order and product.

    Parameters
    ----------
    lines
        SQL condition on a version of an order line.
    at
        SQL of the instant as of which products and links are seen.
    anonymous
        Whether lines without customer are wanted, too.
    """
    who = "true" if anonymous else "customer_id IS NOT NULL"
    then = f"known_at <= {at} AND (superseded_at IS NULL OR superseded_at > {at})"
    return f"""
        WITH sold AS (
            SELECT source, order_id, customer_id, product_id, min(paid_at) AS paid_at, max(store_id) AS store_id,
                   sum(quantity) AS quantity
            FROM order_lines WHERE kind = 'sale' AND {who} AND {lines} GROUP BY ALL),
        timed AS (
            SELECT * REPLACE (min(paid_at) OVER (PARTITION BY source, customer_id, order_id) AS paid_at) FROM sold),
        back AS (
            SELECT source, original_order_id AS order_id, product_id, sum(quantity) AS quantity FROM order_lines
            WHERE kind = 'return' AND original_order_id IS NOT NULL AND {lines} GROUP BY ALL)
        SELECT {one_id("s")} AS customer_id,
               s.paid_at AS bought_at, s.store_id, s.source, s.order_id, p.category_1, p.category_2, p.replenishable,
               {product_key("s")} AS product_id,
               CAST(s.quantity - coalesce(b.quantity, 0) AS DOUBLE) * coalesce(p.pack_size, 1) AS units
        FROM timed s
        LEFT JOIN back b USING (source, order_id, product_id)
        LEFT JOIN (SELECT * FROM products WHERE {then}) p ON p.source = s.source AND p.product_id = s.product_id
        LEFT JOIN (SELECT * FROM links WHERE {then}) l ON l.source = s.source AND l.customer_id = s.customer_id
    """


def read_purchases(
    warehouse: Warehouse, as_of: pd.Timestamp, level: str, *, customers: Sequence[str] | None = None
) -> Purchases:
    """Read all purchases before an instant, as they were known at it.

    Parameters
    ----------
    level
        Of ``LEVELS``: what counts as an item.
    customers
        The only OneIDs wanted; everybody by default.
    """
    zone = warehouse.settings().timezone
    with warehouse.connect() as connection:
        sold = purchase_query(usable(as_of), f"TIMESTAMP '{as_of}'")
        query = f"SELECT * FROM ({sold})"
        if customers is not None:
            connection.register("wanted", pd.DataFrame({"customer_id": pd.Series(customers, dtype="str")}))
            query += " SEMI JOIN wanted USING (customer_id)"
        day = f"CAST(timezone('{zone}', timezone('UTC', bought_at)) AS DATE)"
        connection.execute(f"CREATE TEMP TABLE bought AS SELECT *, {day} AS day FROM ({query})")
        return _coded(connection, level, as_of)


_ITEM_OF = {
    "category": "category_1, category_2, CAST(NULL AS VARCHAR) AS product_id",
    "product": "category_1, category_2, product_id",
}
_HAS_ITEM = {"category": "category_1 IS NOT NULL", "product": "true"}
_SAME_ITEM = " AND ".join(f"i.{name} IS NOT DISTINCT FROM b.{name}" for name in ITEM_COLUMNS[1:])


def _coded(connection: duckdb.DuckDBPyConnection, level: str, as_of: pd.Timestamp) -> Purchases:
    """Number customers and items, and fetch the purchases by pair and time."""
    connection.execute(f"""
        CREATE TEMP TABLE owners AS SELECT customer_id, row_number() OVER (ORDER BY customer_id) - 1 AS customer
        FROM (SELECT DISTINCT customer_id FROM bought);
        CREATE TEMP TABLE counted AS SELECT * EXCLUDE (category_1, category_2, product_id), {_ITEM_OF[level]}
        FROM bought WHERE units > 0 AND {_HAS_ITEM[level]};
        CREATE TEMP TABLE items AS SELECT *, row_number() OVER (ORDER BY category_1, category_2, product_id) - 1 AS item
        FROM (SELECT category_1, category_2, product_id, avg(CAST(replenishable AS DOUBLE)) AS replenishable
              FROM counted GROUP BY category_1, category_2, product_id)
    """)
    rows = connection.sql(f"""
        SELECT customer, item, min(bought_at) AS bought_at, sum(units) AS units
        FROM counted b JOIN owners USING (customer_id) JOIN items i ON {_SAME_ITEM}
        GROUP BY customer, item, day ORDER BY customer, item, bought_at
    """).fetchnumpy()
    days = connection.sql("""
        SELECT customer, min(bought_at) AS bought_at FROM bought JOIN owners USING (customer_id)
        GROUP BY customer, day ORDER BY customer, bought_at
    """).fetchnumpy()
    items = connection.sql(f"SELECT '{level}' AS level, * EXCLUDE (item) FROM items ORDER BY item").df()
    customers = connection.sql("SELECT customer_id FROM owners ORDER BY customer").df()["customer_id"]
    customer, item = (np.asarray(rows[name]).astype(np.int64) for name in ("customer", "item"))
    at, day_at = (np.asarray(of["bought_at"]).astype("datetime64[us]") for of in (rows, days))
    tenure, orders = _tenure(np.asarray(days["customer"]).astype(np.int64), day_at, customer, at)
    units = np.asarray(rows["units"]).astype(np.float64)
    return Purchases(customers, items, customer, item, at, units, tenure, orders, as_of)


def _tenure(
    owner: Ints, day_at: NDArray[np.datetime64], customer: Ints, at: NDArray[np.datetime64]
) -> tuple[Floats, Floats]:
    """Days since the customer's first order day, and further order days, up to each instant; all sorted by customer and time."""
    if not owner.size:
        return np.zeros(0), np.zeros(0)
    origin = day_at.min()
    span = int((day_at.max() - origin) / np.timedelta64(1, "us")) + 2
    key = owner * span + (day_at - origin).astype(np.int64)
    place = np.searchsorted(key, customer * span + (at - origin).astype(np.int64), side="right")
    first = np.searchsorted(owner, customer)
    return (at - day_at[first]) / _DAY, (place - first - 1).astype(np.float64)


def gaps(purchases: Purchases) -> Gaps:
    """Return the gap that each purchase opened."""
    n = purchases.bought_at.size
    same = np.zeros(n, dtype=bool)
    same[:-1] = (purchases.customer[1:] == purchases.customer[:-1]) & (
        purchases.item[1:] == purchases.item[:-1]
    )
    following = np.append(purchases.bought_at[1:], purchases.bought_at[:1])
    until = np.where(same, following, purchases.as_of.to_datetime64())
    days = np.maximum((until - purchases.bought_at) / _DAY, LEAST_GAP_DAYS)
    first = np.append([True], ~same[:-1])[:n]
    number = np.arange(n) - np.maximum.accumulate(np.where(first, np.arange(n), 0))
    return Gaps(days, same, number)
