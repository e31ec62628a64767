"""The same 26 columns in DuckDB's SQL from running sums, without an aggregate for each cutoff.

Orders: running sums of each customer, of which a window is the difference at its two edges; an ASOF join finds an
edge. A day counts once: those orders are taken off again whose day has a later order before the cutoff. At the far
edge that is every order with a next one of its day, since no window is shorter than a day.

Lines and events: what comes into the window adds, what leaves it takes off (a product's line leaves when the product
is bought again, at the latest after 365 days), so that one ASOF join gives the sum. No running sum gives the largest
order of a window: that column comes from a range join.
"""

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
from columns import WINDOWS
from queries import LINES_WITH_NEXT, ORDERS_WITH_NEXT, SELECTED, list_cutoffs, make

__all__ = ["asof"]

_DAYS = {name: days for name, days in WINDOWS.items() if days is not None}

RUNNING_ORDERS = """
    SELECT customer_id, ordered_at, count(*) OVER running AS orders, sum(spend) OVER running AS spend,
           sum(units) OVER running AS units, count(next_of_day) OVER running AS again,
           min(ordered_at) OVER running AS first_at, max(spend) OVER running AS largest
    FROM orders WINDOW running AS (PARTITION BY customer_id ORDER BY ordered_at)
"""
RUNNING_AGAIN = """
    SELECT customer_id, next_of_day, count(*) OVER running AS again FROM orders WHERE next_of_day IS NOT NULL
    WINDOW running AS (PARTITION BY customer_id ORDER BY next_of_day)
"""
# Column -> what a row adds when it comes and takes off when it leaves.
RUNNING_LINES = """
    SELECT customer_id, moved_at, sum(product) OVER running AS distinct_products_365d,
           sum(refund) OVER running AS refunds_365d
    FROM (SELECT customer_id, paid_at AS moved_at, CAST(kind = 'sale' AS INTEGER) AS product,
                 CASE WHEN kind = 'return' THEN net_amount END AS refund FROM lines
          UNION ALL
          SELECT customer_id, least(next_of_product, paid_at + INTERVAL 365 DAY), -1, NULL FROM lines WHERE kind = 'sale'
          UNION ALL
          SELECT customer_id, paid_at + INTERVAL 365 DAY, 0, -net_amount FROM lines WHERE kind = 'return')
    WHERE moved_at < $last
    WINDOW running AS (PARTITION BY customer_id ORDER BY moved_at)
"""
RUNNING_EVENTS = """
    SELECT customer_id, moved_at, sum(view) OVER running AS views_30d, sum(cart) OVER running AS carts_30d,
           max(happened_at) OVER running AS event_at
    FROM (SELECT customer_id, "at" AS moved_at, CAST(kind = 'view' AS INTEGER) AS view,
                 CAST(kind = 'cart_add' AS INTEGER) AS cart, "at" AS happened_at FROM events
          UNION ALL
          SELECT customer_id, "at" + INTERVAL 30 DAY, -CAST(kind = 'view' AS INTEGER),
                 -CAST(kind = 'cart_add' AS INTEGER), NULL FROM events WHERE kind IN ('view', 'cart_add'))
    WHERE moved_at < $last
    WINDOW running AS (PARTITION BY customer_id ORDER BY moved_at)
"""
# Customers with an order in the last 365 days, and what they had bought by the cutoff.
BOUGHT = """
    SELECT grid.customer_id, c, running.* EXCLUDE (customer_id)
    FROM (SELECT DISTINCT customer_id, c FROM orders, cutoffs) grid
    ASOF JOIN running_orders running ON grid.customer_id = running.customer_id AND c > ordered_at
    WHERE ordered_at >= c - INTERVAL 365 DAY
"""
LARGEST = """
    SELECT customer_id, c, max(spend) AS largest_365d FROM orders, cutoffs
    WHERE ordered_at < c AND ordered_at >= c - INTERVAL 365 DAY GROUP BY customer_id, c
"""
TABLES: Mapping[str, str] = {
    "orders": ORDERS_WITH_NEXT,
    "lines": LINES_WITH_NEXT,
    "running_orders": RUNNING_ORDERS,
    "running_again": RUNNING_AGAIN,
    "running_lines": RUNNING_LINES,
    "running_events": RUNNING_EVENTS,
    "bought": BOUGHT,
    "largest": LARGEST,
}
"""Temporary tables, in the order they are made."""


def _difference(name: str, window: str) -> str:
    """SQL of what a running sum grew by inside a window."""
    return f"bought.{name}" if window not in _DAYS else f"bought.{name} - coalesce(before_{window}.{name}, 0)"


def _days(window: str) -> str:
    return f"{_difference('orders', window)} - (coalesce(now.again, 0){_again_before(window)})"


def _again_before(window: str) -> str:
    return f" - coalesce(before_{window}.again, 0)" if window in _DAYS else ""


_SUMS = ", ".join(
    f"{_difference(name, window)} AS {name}_{window}"
    for name in ("orders", "spend", "units")
    for window in WINDOWS
)
_ACTIVE_DAYS = ", ".join(f"{_days(window)} AS active_days_{window}" for window in WINDOWS)
_EDGES = "\n".join(
    f"ASOF LEFT JOIN running_orders before_{window} ON bought.customer_id = before_{window}.customer_id "
    f"AND bought.c - INTERVAL {days} DAY > before_{window}.ordered_at"
    for window, days in _DAYS.items()
)
FEATURES = f"""
    WITH joined AS (
        SELECT bought.customer_id, bought.c AS cutoff, {_SUMS}, {_ACTIVE_DAYS}, bought.ordered_at AS last_at,
               bought.first_at, bought.largest AS max_order_value_all, largest_365d AS max_order_value_365d,
               distinct_products_365d, refunds_365d, views_30d, carts_30d, event_at
        FROM bought {_EDGES}
        ASOF LEFT JOIN running_again now ON bought.customer_id = now.customer_id AND bought.c > now.next_of_day
        ASOF LEFT JOIN running_lines items ON bought.customer_id = items.customer_id AND bought.c > items.moved_at
        ASOF LEFT JOIN running_events seen ON bought.customer_id = seen.customer_id AND bought.c > seen.moved_at
        LEFT JOIN largest ON bought.customer_id = largest.customer_id AND bought.c = largest.c)
    SELECT customer_id, cutoff, {SELECTED} FROM joined
"""


def asof(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Look up running sums at the edges of the windows."""
    list_cutoffs(connection, cutoffs)
    for name, query in TABLES.items():
        make(connection, name, query, cutoffs)
    return connection.sql(FEATURES).to_arrow_table()
