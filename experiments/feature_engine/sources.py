"""What is read from the warehouse: the rows that the 26 columns need, and those that the whole catalogue looks at.

To read these rows and to bring each customer's together and in time is what no engine can do without: the limit.
"""

from collections.abc import Mapping, Sequence
from string import Template

import duckdb
import pyarrow as pa
from queries import instant

__all__ = [
    "EVENTS",
    "LINES",
    "read",
    "read_and_sort",
    "read_and_sort_catalogue",
    "sort_catalogue_without_holding",
]

# Amounts as integers: data frames add them up without rounding.
LINES = """
    SELECT customer_id, order_id, kind, paid_at, product_id, CAST(net_amount * 100 AS BIGINT) AS net,
           CAST(quantity * 1000 AS BIGINT) AS quantity
    FROM order_lines WHERE paid_at < $last AND customer_id IS NOT NULL
"""
EVENTS = """SELECT customer_id, "at", kind FROM events WHERE "at" < $last"""

# Each customer's rows together and in time.
SORTED = (
    """SELECT customer_id, paid_at, order_id, kind, product_id, net_amount, quantity FROM order_lines
       WHERE paid_at < $last ORDER BY customer_id, paid_at""",
    'SELECT customer_id, "at", kind FROM events WHERE "at" < $last ORDER BY customer_id, "at"',
)
# Table -> time and the other columns that the catalogue looks at.
LOOKED_AT: Mapping[str, tuple[str, str]] = {
    "order_lines": (
        "paid_at",
        "order_id, line_id, kind, product_id, quantity, gross_amount, discount_amount, net_amount, channel, store_id, "
        "coupon_id",
    ),
    "events": ("at", "kind, product_id, channel, session_id, duration_s"),
    "contacts": ("sent_at", "channel, purpose, status, opened_at, clicked_at, rejected_at, unsubscribed_at"),
    "tickets": ("opened_at", "ticket_id, kind, first_response_at, closed_at, rated_at, csat"),
    "feedback": ("at", "kind, rating"),
}
DELIVERIES = """
    SELECT lines.customer_id, paid_at, deliveries.order_id, promised_at, delivered_at FROM deliveries
    JOIN (SELECT DISTINCT ON (order_id) order_id, customer_id, paid_at FROM order_lines WHERE kind = 'sale') lines
    USING (order_id) WHERE paid_at < $last ORDER BY customer_id, paid_at
"""
SORTED_CATALOGUE = (
    *(
        f'SELECT customer_id, "{time}", {others} FROM {table} WHERE "{time}" < $last ORDER BY customer_id, "{time}"'
        for table, (time, others) in LOOKED_AT.items()
    ),
    DELIVERIES,
)


def read(connection: duckdb.DuckDBPyConnection, query: str, cutoffs: Sequence[str]) -> pa.Table:
    """Run a query; ``$last`` in it is the last cutoff."""
    return connection.sql(_filled(query, cutoffs)).to_arrow_table()


def read_and_sort(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> None:
    """Do what no engine can do without, for the 26 columns."""
    for query in SORTED:
        read(connection, query, cutoffs)


def read_and_sort_catalogue(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> None:
    """Likewise for the whole catalogue."""
    for query in SORTED_CATALOGUE:
        read(connection, query, cutoffs)


def sort_catalogue_without_holding(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> None:
    """Likewise, letting go of the rows as they come."""
    for query in SORTED_CATALOGUE:
        for _ in connection.sql(_filled(query, cutoffs)).to_arrow_reader():
            pass


def _filled(query: str, cutoffs: Sequence[str]) -> str:
    return Template(query).substitute(last=instant(max(cutoffs)))
