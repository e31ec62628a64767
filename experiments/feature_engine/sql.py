"""The same 26 columns in DuckDB's SQL, in two forms: a GROUP BY for each cutoff, and a range join of cutoffs and rows.

What the warehouse can hold and the made-up one does not (links, corrections, rows known late) is left out, and orders
are grouped once for all cutoffs: SQL gets the shortest form that is right on these rows.
"""

from collections.abc import Sequence
from string import Template

import duckdb
import pyarrow as pa

__all__ = ["COLUMNS", "group_by_per_cutoff", "range_join", "read_and_sort"]

WINDOWS = ("30d", "90d", "365d", "all")
FAMILIES = {
    "orders": "count(*)",
    "spend": "sum(spend)",
    "units": "sum(units)",
    "active_days": "count(DISTINCT day)",
}
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
IN_WINDOWS = {f"{name}_{window}": f"coalesce({name}_{window}, 0)" for name in FAMILIES for window in WINDOWS}
COLUMNS = (*IN_WINDOWS, *OTHERS)
"""The 26 columns, of the customers with an order in the 365 days before the cutoff."""

ORDERS = Template("""
    CREATE TEMP TABLE orders AS
    SELECT customer_id, min(paid_at) AS at, CAST(min(paid_at) AS DATE) AS day,
           CAST(sum(net_amount) AS DECIMAL(18, 2)) AS spend, CAST(sum(quantity) AS DECIMAL(18, 3)) AS units
    FROM order_lines WHERE kind = 'sale' AND paid_at < $last AND customer_id IS NOT NULL
    GROUP BY customer_id, order_id
""")


def _aggregate(name: str, window: str) -> str:
    inside = "true" if window == "all" else f"at >= $c - INTERVAL {window[:-1]} DAY"
    return f"{FAMILIES[name]} FILTER ({inside}) AS {name}_{window}"


FEATURES = Template(f"""
    WITH bought AS (
        SELECT customer_id, $c AS cutoff, {", ".join(_aggregate(name, w) for name in FAMILIES for w in WINDOWS)},
               max(spend) FILTER (at >= $c - INTERVAL 365 DAY) AS max_order_value_365d,
               max(spend) AS max_order_value_all, max(at) AS last_at, min(at) AS first_at
        FROM orders $joined WHERE at < $c GROUP BY customer_id, cutoff HAVING orders_365d > 0),
    lines AS (
        SELECT customer_id, $c AS cutoff, count(DISTINCT product_id) FILTER (kind = 'sale') AS distinct_products_365d,
               sum(net_amount) FILTER (kind = 'return') AS refunds_365d
        FROM order_lines $joined WHERE paid_at < $c AND paid_at >= $c - INTERVAL 365 DAY GROUP BY customer_id, cutoff),
    seen AS (
        SELECT customer_id, $c AS cutoff, max(at) AS event_at,
               count(*) FILTER (kind = 'view' AND at >= $c - INTERVAL 30 DAY) AS views_30d,
               count(*) FILTER (kind = 'cart_add' AND at >= $c - INTERVAL 30 DAY) AS carts_30d
        FROM events $joined WHERE at < $c GROUP BY customer_id, cutoff)
    SELECT customer_id, cutoff, {", ".join(f"{sql} AS {name}" for name, sql in (IN_WINDOWS | OTHERS).items())}
    FROM bought LEFT JOIN lines USING (customer_id, cutoff) LEFT JOIN seen USING (customer_id, cutoff)
""")

# Each customer's rows together and in time, with the columns that the 26 need.
SORTED = (
    Template("""SELECT customer_id, paid_at, order_id, kind, product_id, net_amount, quantity FROM order_lines
                WHERE paid_at < $last ORDER BY customer_id, paid_at"""),
    Template("SELECT customer_id, at, kind FROM events WHERE at < $last ORDER BY customer_id, at"),
)


def _instant(cutoff: str) -> str:
    return f"TIMESTAMP '{cutoff}'"


def group_by_per_cutoff(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Group once for each cutoff."""
    connection.execute(ORDERS.substitute(last=_instant(max(cutoffs))))
    queries = (FEATURES.substitute(c=_instant(cutoff), joined="") for cutoff in cutoffs)
    return pa.concat_tables([connection.sql(query).to_arrow_table() for query in queries])


def range_join(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Join every row with the cutoffs that come after it, and group all at once."""
    connection.execute(ORDERS.substitute(last=_instant(max(cutoffs))))
    listed = ", ".join(f"({_instant(cutoff)})" for cutoff in cutoffs)
    connection.execute(f"CREATE TEMP TABLE cutoffs AS SELECT * FROM (VALUES {listed}) AS listed (c)")
    return connection.sql(FEATURES.substitute(c="c", joined=", cutoffs")).to_arrow_table()


def read_and_sort(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> None:
    """Do what no engine can do without: read the rows, and bring each customer's together and in time."""
    for query in SORTED:
        connection.sql(query.substitute(last=_instant(max(cutoffs)))).to_arrow_table()
