"""The same 26 columns in DuckDB's SQL, in three forms that aggregate; ``prefix`` holds a fourth.

A GROUP BY for each cutoff; a range join of cutoffs and rows; and again a GROUP BY for each cutoff, but with distinct
counts as Patron counts them: a row counts if the customer's next one of the same day or product is not before the
cutoff.

What the warehouse can hold and the made-up one does not (links, corrections, rows known late) is left out, and orders
are grouped once for all cutoffs: SQL gets the shortest form that is right on these rows.
"""

from collections.abc import Sequence
from string import Template

import duckdb
import pyarrow as pa
from columns import COLUMNS, WINDOWS

__all__ = [
    "LINES_WITH_NEXT",
    "ORDERS_WITH_NEXT",
    "SELECTED",
    "group_by_per_cutoff",
    "group_by_with_next",
    "instant",
    "list_cutoffs",
    "make",
    "range_join",
]

# Column -> SQL over the grouped rows; the columns of the families stand before these.
OTHERS = {
    "refunds_365d": "coalesce(refunds_365d, 0)",
    "max_order_value_365d": "max_order_value_365d",
    "max_order_value_all": "max_order_value_all",
    "days_since_last_order": "(epoch_us(cutoff) - epoch_us(last_at)) / 864e8",
    "days_since_first_order": "(epoch_us(cutoff) - epoch_us(first_at)) / 864e8",
    "gap_mean_days": "(epoch_us(last_at) - epoch_us(first_at)) / nullif(orders_all - 1, 0) / 864e8",
    "distinct_products_365d": "coalesce(distinct_products_365d, 0)",
    "views_30d": "coalesce(views_30d, 0)",
    "carts_30d": "coalesce(carts_30d, 0)",
    "days_since_last_event": "(epoch_us(cutoff) - epoch_us(event_at)) / 864e8",
}
_SQL = {name: f"coalesce({name}, 0)" for name in COLUMNS} | OTHERS
SELECTED = ", ".join(f"{_SQL[name]} AS {name}" for name in COLUMNS)
"""The columns, from what each form has grouped under the same names."""

ORDERS = """
    SELECT customer_id, min(paid_at) AS ordered_at, CAST(min(paid_at) AS DATE) AS day,
           CAST(sum(net_amount) AS DECIMAL(18, 2)) AS spend, CAST(sum(quantity) AS DECIMAL(18, 3)) AS units
    FROM order_lines WHERE kind = 'sale' AND paid_at < $last AND customer_id IS NOT NULL
    GROUP BY customer_id, order_id
"""
ORDERS_WITH_NEXT = f"""
    SELECT *, lead(ordered_at) OVER (PARTITION BY customer_id, day ORDER BY ordered_at) AS next_of_day FROM ({ORDERS})
"""
LINES_WITH_NEXT = """
    SELECT customer_id, kind, paid_at, net_amount,
           lead(paid_at) OVER (PARTITION BY customer_id, kind, product_id ORDER BY paid_at) AS next_of_product
    FROM order_lines WHERE paid_at < $last
"""


def _in_window(aggregate: str, name: str) -> str:
    """SQL of an aggregate in the four windows; ``$inside`` stands for the window."""
    inside = {
        window: "true" if window == "all" else f"ordered_at >= $c - INTERVAL {window[:-1]} DAY"
        for window in WINDOWS
    }
    return ", ".join(f"{aggregate.replace('$inside', inside[w])} AS {name}_{w}" for w in WINDOWS)


def _features(lines: str, active_days: str, distinct_products: str) -> Template:
    return Template(f"""
    WITH bought AS (
        SELECT customer_id, $c AS cutoff, {_in_window("count(*) FILTER ($inside)", "orders")},
               {_in_window("sum(spend) FILTER ($inside)", "spend")},
               {_in_window("sum(units) FILTER ($inside)", "units")}, {_in_window(active_days, "active_days")},
               max(spend) FILTER (ordered_at >= $c - INTERVAL 365 DAY) AS max_order_value_365d,
               max(spend) AS max_order_value_all, max(ordered_at) AS last_at, min(ordered_at) AS first_at
        FROM orders $joined WHERE ordered_at < $c GROUP BY customer_id, cutoff HAVING orders_365d > 0),
    items AS (
        SELECT customer_id, $c AS cutoff, {distinct_products} AS distinct_products_365d,
               sum(net_amount) FILTER (kind = 'return') AS refunds_365d
        FROM {lines} $joined WHERE paid_at < $c AND paid_at >= $c - INTERVAL 365 DAY GROUP BY customer_id, cutoff),
    seen AS (
        SELECT customer_id, $c AS cutoff, max("at") AS event_at,
               count(*) FILTER (kind = 'view' AND "at" >= $c - INTERVAL 30 DAY) AS views_30d,
               count(*) FILTER (kind = 'cart_add' AND "at" >= $c - INTERVAL 30 DAY) AS carts_30d
        FROM events $joined WHERE "at" < $c GROUP BY customer_id, cutoff)
    SELECT customer_id, cutoff, {SELECTED}
    FROM bought LEFT JOIN items USING (customer_id, cutoff) LEFT JOIN seen USING (customer_id, cutoff)
    """)


FEATURES = _features(
    "order_lines",
    "count(DISTINCT day) FILTER ($inside)",
    "count(DISTINCT product_id) FILTER (kind = 'sale')",
)
FEATURES_WITH_NEXT = _features(
    "lines",
    "count(*) FILTER ($inside AND coalesce(next_of_day >= $c, true))",
    "count(*) FILTER (kind = 'sale' AND coalesce(next_of_product >= $c, true))",
)


def group_by_per_cutoff(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Group once for each cutoff."""
    make(connection, "orders", ORDERS, cutoffs)
    return _each(connection, FEATURES, cutoffs)


def group_by_with_next(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Group once for each cutoff, without a single DISTINCT."""
    make(connection, "orders", ORDERS_WITH_NEXT, cutoffs)
    make(connection, "lines", LINES_WITH_NEXT, cutoffs)
    return _each(connection, FEATURES_WITH_NEXT, cutoffs)


def range_join(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Join every row with the cutoffs that come after it, and group all at once."""
    make(connection, "orders", ORDERS, cutoffs)
    list_cutoffs(connection, cutoffs)
    return connection.sql(FEATURES.substitute(c="c", joined=", cutoffs")).to_arrow_table()


def list_cutoffs(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> None:
    """Make the table ``cutoffs`` with the one column ``c``."""
    listed = ", ".join(f"({instant(cutoff)})" for cutoff in cutoffs)
    make(connection, "cutoffs", f"SELECT * FROM (VALUES {listed}) AS listed (c)", cutoffs)


def make(connection: duckdb.DuckDBPyConnection, name: str, query: str, cutoffs: Sequence[str]) -> None:
    """Make a temporary table; ``$last`` in the query is the last cutoff."""
    last = instant(max(cutoffs))
    connection.execute(f"CREATE TEMP TABLE {name} AS {Template(query).substitute(last=last)}")


def _each(connection: duckdb.DuckDBPyConnection, features: Template, cutoffs: Sequence[str]) -> pa.Table:
    queries = (features.substitute(c=instant(cutoff), joined="") for cutoff in cutoffs)
    return pa.concat_tables([connection.sql(query).to_arrow_table() for query in queries])


def instant(cutoff: str) -> str:
    """SQL of a cutoff."""
    return f"TIMESTAMP '{cutoff}'"
