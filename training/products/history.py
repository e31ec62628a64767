"""What is known of customers and products at an instant: who bought and viewed what, what is sold, what is in stock.

A product is its ``product_id``, ``source|id`` beyond the source ``main``; a category is ``category_1`` with ``category_2``. All
lines of a product in one order are one purchase, at the order's time. Sales without a customer say what is bought
together and what is popular; nothing else is known of them.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.tables import TABLES
from features.warehouse import Warehouse

__all__ = ["BROWSED_DAYS", "EVENT_WEIGHTS", "Goods", "History", "Lines", "Views", "read_history"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Words = NDArray[np.object_]

BROWSED_DAYS = 90
"""How long ago a product may have been looked at."""

EVENT_WEIGHTS = {"view": 1.0, "favourite": 2.0, "cart_add": 3.0}
"""Events that tell of interest in a product, and how much they count."""

_NEW_AFTER_DAYS = 90


@dataclass(frozen=True, eq=False)
class Goods:
    """Products that were sold, looked at or listed, by ``product_id``; length p.

    Attributes
    ----------
    name
        As stated, else the ``product_id``.
    category, brand
        From 0; -1 where none is stated.
    price
        List price, else the mean price of a unit in the last 365 days, else ever; NaN where neither is known.
    launched
        Days since the launch: since ``launched_at``, else since the first sale where that was not at the history's beginning;
        NaN where neither is known.
    sellable
        Launched, and in stock somewhere by each store's last count; a product that was never counted counts as in stock.
    words
        Of its name, category and brand, lower case, apart by spaces.
    brand_names
        Of each brand, by number.
    attributes
        JSON as it stands, or None.
    """

    product_id: NDArray[np.str_]
    name: Words
    category: Ints
    brand: Ints
    price: Floats
    launched: Floats
    sellable: Bools
    words: Words
    attributes: Words
    brand_names: Words


@dataclass(frozen=True, eq=False)
class Lines:
    """One row per order and product, by customer (-1: not known), time, order and product.

    Attributes
    ----------
    order
        From 0, in this order; ``days`` before the instant.
    """

    customer: Ints
    order: Ints
    product: Ints
    days: Floats
    units: Floats


@dataclass(frozen=True, eq=False)
class Views:
    """Events of ``EVENT_WEIGHTS`` in the last ``BROWSED_DAYS`` days."""

    customer: Ints
    product: Ints
    days: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class History:
    """All that was known at ``as_of``.

    Attributes
    ----------
    customers
        OneIDs of everybody with a usable row, ascending.
    attributes
        Of each of them: JSON as it stands, or None.
    returns
        Customer, product and units brought back, three rows of m.
    span_days
        Since the first sale.
    """

    customers: NDArray[np.str_]
    attributes: Words
    goods: Goods
    lines: Lines
    views: Views
    returns: Floats
    span_days: float
    as_of: pd.Timestamp


def read_history(warehouse: Warehouse, as_of: pd.Timestamp) -> History:
    """Read what was known at an instant; nothing at or after it, or known later, is used."""
    with warehouse.connect() as connection:
        connection.execute(_macros(as_of))
        connection.execute(_PEOPLE.format(known=" UNION ".join(_known())))
        connection.execute(_SOLD)
        connection.execute(_GOODS)
        people = connection.sql(_PROFILES).df()
        goods = connection.sql(_LISTED).df()
        lines, returns, views = (_columns(connection, query) for query in (_LINES, _RETURNS, _VIEWS))
    weight = np.array(list(EVENT_WEIGHTS.values()))
    span = float(lines["days"].max(initial=0.0))
    return History(
        customers=people["customer_id"].to_numpy(dtype=np.str_),
        attributes=_texts(people["attributes"]),
        goods=_goods(goods, span),
        lines=_lines(lines),
        views=Views(
            _whole(views, "customer"), _whole(views, "product"), views["days"], weight[_whole(views, "kind")]
        ),
        returns=np.array([returns["customer"], returns["product"], returns["units"]], dtype=np.float64),
        span_days=span,
        as_of=as_of,
    )


def _macros(as_of: pd.Timestamp) -> str:
    """SQL shorthands for one instant: what is usable then, how long before it something was, and whose id an id is."""
    return f"""
        CREATE TEMP MACRO stands(known_at, superseded_at) AS known_at <= TIMESTAMP '{as_of}'
            AND (superseded_at IS NULL OR superseded_at > TIMESTAMP '{as_of}');
        CREATE TEMP MACRO past(moment) AS moment < TIMESTAMP '{as_of}';
        CREATE TEMP MACRO days_since(moment) AS date_diff('microsecond', moment, TIMESTAMP '{as_of}') / 86400e6;
        CREATE TEMP MACRO within(source, id, mark) AS CASE WHEN source = 'main' THEN id ELSE source || mark || id END;
    """


def _known() -> list[str]:
    """Queries for the ids in each table that knows customers."""
    return [
        f"SELECT source, customer_id FROM {table.name} WHERE customer_id IS NOT NULL AND stands(known_at, superseded_at)"
        + (
            f" AND ({table.name}.{table.time} IS NULL OR past({table.name}.{table.time}))"
            if table.time
            else ""
        )
        for table in TABLES.values()
        if "customer_id" in table.names and table.name not in ("links", "identifiers")
    ]


_PEOPLE = """
    CREATE TEMP TABLE people AS
    WITH named AS (
        SELECT i.source, i.customer_id, coalesce(l.one_id, within(i.source, i.customer_id, ':')) AS own_id
        FROM ({known}) i
        LEFT JOIN (SELECT * FROM links WHERE stands(known_at, superseded_at)) l
            ON l.source = i.source AND l.customer_id = i.customer_id)
    SELECT *, CAST(dense_rank() OVER (ORDER BY own_id) - 1 AS INTEGER) AS customer FROM named
"""

# the attributes of several ids of one customer: those of the id that was known last
_PROFILES = """
    SELECT p.own_id AS customer_id, arg_max(CAST(c.attributes AS VARCHAR), (c.known_at, c.source, c.customer_id)) AS attributes
    FROM people p LEFT JOIN (SELECT * FROM customers WHERE stands(known_at, superseded_at) AND attributes IS NOT NULL) c
        ON c.source = p.source AND c.customer_id = p.customer_id
    GROUP BY p.own_id ORDER BY p.own_id
"""

_SOLD = """
    CREATE TEMP TABLE sold AS
    WITH bought AS (
        SELECT source, order_id, customer_id, product_id, CAST(sum(quantity) AS DOUBLE) AS units,
               CAST(sum(net_amount) AS DOUBLE) AS net, min(paid_at) AS paid_at
        FROM order_lines WHERE kind = 'sale' AND past(paid_at) AND stands(known_at, superseded_at) GROUP BY ALL)
    SELECT * EXCLUDE (paid_at), min(paid_at) OVER (PARTITION BY source, order_id) AS ordered_at FROM bought
"""

_GOODS = f"""
    CREATE TEMP TABLE goods AS
    WITH named AS (
        SELECT source, product_id FROM sold UNION
        SELECT source, product_id FROM products WHERE stands(known_at, superseded_at) UNION
        SELECT source, product_id FROM events WHERE product_id IS NOT NULL AND past("at") AND stands(known_at, superseded_at)
            AND kind IN {tuple(EVENT_WEIGHTS)})
    SELECT source, product_id, within(source, product_id, '|') AS id,
           CAST(row_number() OVER (ORDER BY within(source, product_id, '|')) - 1 AS INTEGER) AS product FROM named
"""

_LISTED = """
    WITH prices AS (
        SELECT source, product_id, sum(net) / sum(units) AS ever, max(days_since(ordered_at)) AS first_sold,
               sum(net) FILTER (days_since(ordered_at) <= 365) / sum(units) FILTER (days_since(ordered_at) <= 365) AS lately
        FROM sold GROUP BY ALL),
    counts AS (
        SELECT source, product_id, store_id, arg_max(quantity, "at") AS quantity FROM stock
        WHERE past("at") AND stands(known_at, superseded_at) GROUP BY ALL),
    shelves AS (SELECT source, product_id, sum(quantity) > 0 AS in_stock FROM counts GROUP BY ALL)
    SELECT g.id, p.category_1, p.category_2, p.brand, p.name, CAST(p.attributes AS VARCHAR) AS attributes,
           lower(concat_ws(' ', p.name, p.category_1, p.category_2, p.brand)) AS words,
           coalesce(CAST(p.list_price AS DOUBLE), s.lately, s.ever) AS price, s.first_sold,
           days_since(p.launched_at) AS launched, coalesce(h.in_stock, true) AS in_stock
    FROM goods g
    LEFT JOIN (SELECT * FROM products WHERE stands(known_at, superseded_at)) p USING (source, product_id)
    LEFT JOIN prices s USING (source, product_id) LEFT JOIN shelves h USING (source, product_id)
    ORDER BY g.product
"""

_LINES = """
    SELECT coalesce(p.customer, -1) AS customer, CAST(dense_rank() OVER (ORDER BY s.source, s.order_id) AS INTEGER) AS orders,
           g.product, days_since(s.ordered_at) AS days, s.units
    FROM sold s JOIN goods g USING (source, product_id)
    LEFT JOIN people p ON p.source = s.source AND p.customer_id = s.customer_id
"""

_RETURNS = """
    SELECT p.customer, g.product, CAST(sum(quantity) AS DOUBLE) AS units
    FROM order_lines r JOIN goods g USING (source, product_id) JOIN people p ON p.source = r.source AND p.customer_id = r.customer_id
    WHERE kind = 'return' AND past(paid_at) AND stands(known_at, superseded_at) GROUP BY ALL
"""

_VIEWS = f"""
    SELECT p.customer, g.product, days_since("at") AS days, list_position({list(EVENT_WEIGHTS)}, kind) - 1 AS kind
    FROM events e JOIN goods g USING (source, product_id) JOIN people p ON p.source = e.source AND p.customer_id = e.customer_id
    WHERE past("at") AND stands(known_at, superseded_at) AND days_since("at") <= {BROWSED_DAYS} AND kind IN {tuple(EVENT_WEIGHTS)}
    ORDER BY ALL
"""


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, Floats]:
    return {name: np.asarray(column) for name, column in connection.sql(query).fetchnumpy().items()}


def _whole(columns: dict[str, Floats], name: str) -> Ints:
    return columns[name].astype(np.int64)


def _lines(columns: dict[str, Floats]) -> Lines:
    customer, number, product = (_whole(columns, name) for name in ("customer", "orders", "product"))
    by = np.lexsort((product, number, -columns["days"], customer))
    begins = np.append([True], np.diff(number[by]) != 0)[: by.size]
    return Lines(customer[by], np.cumsum(begins) - 1, product[by], columns["days"][by], columns["units"][by])


def _goods(listed: pd.DataFrame, span_days: float) -> Goods:
    """Number categories and brands; what sold in the first weeks of the history may be as old as the shop."""
    number = [
        listed[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for name in ("price", "first_sold", "launched")
    ]
    price, first_sold, launched = number
    launched = np.where(
        np.isnan(launched) & (first_sold <= span_days - _NEW_AFTER_DAYS), first_sold, launched
    )
    category = listed["category_1"].astype(object) + "\n" + listed["category_2"].astype(object).fillna("")
    brand, brand_names = pd.factorize(listed["brand"], sort=True)
    return Goods(
        product_id=listed["id"].to_numpy(dtype=np.str_),
        name=listed["name"].fillna(listed["id"]).to_numpy(dtype=object),
        category=pd.factorize(category, sort=True)[0].astype(np.int64),
        brand=brand.astype(np.int64),
        price=np.where(price > 0, price, np.nan),
        launched=launched,
        sellable=listed["in_stock"].to_numpy(dtype=bool) & ~(launched <= 0),
        words=listed["words"].to_numpy(dtype=object),
        attributes=_texts(listed["attributes"]),
        brand_names=np.asarray(brand_names, dtype=object),
    )


def _texts(column: pd.Series) -> Words:
    return column.astype(object).where(column.notna(), None).to_numpy(dtype=object)
