"""What is predicted, about whom, how far ahead. The only file that looks after the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.sql import link, one_id, product_key, usable
from features.warehouse import Warehouse
from training.replenishment.counts import first_purchases, home_stores, read_lines, weekly

__all__ = [
    "CHURN_90D",
    "RESPONSE_14D",
    "VALUE_90D",
    "VALUE_365D",
    "FutureValue",
    "NextOrders",
    "Responses",
    "Target",
    "bought_between",
    "demand",
    "future_value",
    "labels",
    "next_orders",
    "next_purchases",
    "products_bought",
    "responses",
]


@dataclass(frozen=True)
class Target:
    """A prediction task: a few facts and one sentence."""

    name: str
    population: str
    asks: str
    horizon_days: int


CHURN_90D = Target(
    name="churn_90d",
    population="active-365d",
    asks="places no order in [cutoff, cutoff + 90 days)",
    horizon_days=90,
)


@dataclass(frozen=True)
class NextOrders:
    """When each row's customer orders next, as far as can be known; both of length n.

    Attributes
    ----------
    days
        From the cutoff to the first order at or after it; NaN where none was seen.
    exposure_days
        From the cutoff to the last instant of which everything is known: no order before it is missing.
    """

    days: NDArray[np.float64]
    exposure_days: NDArray[np.float64]


def labels(
    warehouse: Warehouse,
    rows: pd.DataFrame,
    target: Target,
    *,
    known_by: pd.Timestamp | None = None,
) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Return 1 for each row (customer, cutoff) whose customer places no order within the horizon, else 0.

    Parameters
    ----------
    rows
        Frame with ``customer_id`` (OneID as known at the cutoff) and ``cutoff``.
    known_by
        Orders as they were known at this instant (a training's as-of); None: as they are known today.

    Notes
    -----
    An order is placed at the earliest line of it: one that began before the cutoff is not a new order after it.
    """
    return np.isnan(_days_to_order(warehouse, rows, target.horizon_days, known_by)).astype(np.int8)


def next_orders(
    warehouse: Warehouse, rows: pd.DataFrame, within_days: int, *, known_by: pd.Timestamp | None = None
) -> NextOrders:
    """Return when the customer of each row (customer, cutoff) orders next.

    Parameters
    ----------
    rows, known_by
        As of ``labels``. The exposure ends at ``known_by`` minus the largest declared lag; without it, after
        ``within_days``.
    within_days
        How far ahead to look: an order later than that is as good as none.
    """
    days = _days_to_order(warehouse, rows, within_days, known_by)
    return NextOrders(days, _exposure_days(warehouse, rows, within_days, known_by))


def _exposure_days(
    warehouse: Warehouse, rows: pd.DataFrame, within_days: int, known_by: pd.Timestamp | None
) -> NDArray[np.float64]:
    """Return days from each row's cutoff to the last instant of which everything is known, ``within_days`` at most."""
    exposure = np.full(len(rows), float(within_days))
    if known_by is None:
        return exposure
    known = pd.Timestamp(known_by) - warehouse.largest_lag(known_by) - rows["cutoff"]
    return np.asarray(np.minimum(exposure, known.to_numpy() / np.timedelta64(1, "D")))


def _days_to_order(
    warehouse: Warehouse, rows: pd.DataFrame, within_days: int, known_by: pd.Timestamp | None
) -> NDArray[np.float64]:
    """Return days from each row's cutoff to the first order in ``[cutoff, cutoff + within_days)``, NaN without one."""
    first = _first_orders(warehouse, list(rows["cutoff"].drop_duplicates()), within_days, known_by)
    key = pd.MultiIndex.from_frame(rows[["customer_id", "cutoff"]])
    found = pd.MultiIndex.from_frame(first[["customer_id", "cutoff"]]).get_indexer(key)
    days = (first["ordered_at"] - first["cutoff"]).to_numpy() / np.timedelta64(1, "D")
    return np.append(days, np.nan)[found]


def _first_orders(
    warehouse: Warehouse, cutoffs: Sequence[pd.Timestamp], within_days: int, known_by: pd.Timestamp | None
) -> pd.DataFrame:
    """Return who (OneID as known at the cutoff) orders within these days of which cutoff, and when first."""
    wanted = pd.DataFrame({"cutoff": pd.Series(cutoffs, dtype="datetime64[us]")})
    with warehouse.connect() as connection:
        connection.register("wanted", wanted)
        frame: pd.DataFrame = connection.sql(f"""
            WITH orders AS (
                SELECT source, customer_id, order_id, min(paid_at) AS ordered_at FROM order_lines
                WHERE kind = 'sale' AND customer_id IS NOT NULL AND {usable(known_by)} GROUP BY ALL)
            SELECT {one_id("o")} AS customer_id,
                   w.cutoff, min(o.ordered_at) AS ordered_at
            FROM orders o
            JOIN wanted w ON o.ordered_at >= w.cutoff AND o.ordered_at < w.cutoff + INTERVAL {within_days} DAYS
            {link("o", "w.cutoff")}
            GROUP BY ALL
        """).df()
    return frame.astype({"cutoff": "datetime64[us]", "ordered_at": "datetime64[us]"})


# ------------------------------------------------------------------------------------------------- value

VALUE_90D = Target(
    name="value_90d",
    population="active-365d",
    asks="spend net of refunds in [cutoff, cutoff + 90 days)",
    horizon_days=90,
)
VALUE_365D = Target(
    name="value_365d",
    population="active-365d",
    asks="spend net of refunds in [cutoff, cutoff + 365 days)",
    horizon_days=365,
)


@dataclass(frozen=True, eq=False)
class FutureValue:
    """What each row's customer does within the horizon; all of length n, amounts in major units.

    Attributes
    ----------
    orders
        Orders placed, int64.
    spend
        Sum of ``net_amount`` of their sale lines.
    refunds
        Sum of ``net_amount`` of the return lines that come back within the horizon, of whichever order.
    """

    orders: NDArray[np.int64]
    spend: NDArray[np.float64]
    refunds: NDArray[np.float64]

    @property
    def net_spend(self) -> NDArray[np.float64]:
        """Spend less refunds; below 0 where more came back than was bought."""
        return self.spend - self.refunds


def future_value(
    warehouse: Warehouse, rows: pd.DataFrame, horizon_days: int, *, known_by: pd.Timestamp | None = None
) -> FutureValue:
    """Return what the customer of each row (customer, cutoff) buys and brings back in ``[cutoff, cutoff + horizon)``.

    Parameters
    ----------
    rows, known_by
        As of ``labels``.

    Notes
    -----
    A sale line counts at its order's time, so an order that goes on after the horizon counts whole and one that began
    before the cutoff not at all; a return line counts when it came back.
    """
    found = _spent(warehouse, list(rows["cutoff"].drop_duplicates()), horizon_days, known_by)
    key = pd.MultiIndex.from_frame(rows[["customer_id", "cutoff"]])
    place = pd.MultiIndex.from_frame(found[["customer_id", "cutoff"]]).get_indexer(key)
    orders, spend, refunds = (
        np.append(found[name].to_numpy(dtype=np.float64), 0.0)[place]
        for name in ("orders", "spend", "refunds")
    )
    return FutureValue(orders.astype(np.int64), spend, refunds)


def _spent(
    warehouse: Warehouse, cutoffs: Sequence[pd.Timestamp], within_days: int, known_by: pd.Timestamp | None
) -> pd.DataFrame:
    """Return orders, spend and refunds of who (OneID as known at the cutoff) had any within these days of which cutoff."""
    wanted = pd.DataFrame({"cutoff": pd.Series(cutoffs, dtype="datetime64[us]")})
    with warehouse.connect() as connection:
        connection.register("wanted", wanted)
        frame: pd.DataFrame = connection.sql(f"""
            WITH usable AS (SELECT * FROM order_lines WHERE customer_id IS NOT NULL AND {usable(known_by)}),
            facts AS (
                SELECT source, customer_id, min(paid_at) AS at, 1 AS orders, sum(net_amount) AS spend, 0 AS refunds
                FROM usable WHERE kind = 'sale' GROUP BY source, customer_id, order_id
                UNION ALL
                SELECT source, customer_id, paid_at, 0, 0, net_amount FROM usable WHERE kind = 'return')
            SELECT {one_id("f")} AS customer_id,
                   w.cutoff, sum(f.orders) AS orders, CAST(sum(f.spend) AS DOUBLE) AS spend,
                   CAST(sum(f.refunds) AS DOUBLE) AS refunds
            FROM facts f
            JOIN wanted w ON f.at >= w.cutoff AND f.at < w.cutoff + INTERVAL {within_days} DAYS
            {link("f", "w.cutoff")}
            GROUP BY ALL
        """).df()
    return frame.astype({"cutoff": "datetime64[us]"})


def next_purchases(
    warehouse: Warehouse, rows: pd.DataFrame, within_days: int, *, known_by: pd.Timestamp | None = None
) -> NextOrders:
    """Return when the customer of each row buys the row's category or product next, in any channel.

    Parameters
    ----------
    rows
        Frame with ``customer_id`` (OneID as known at the cutoff), ``training.replenishment.purchases.ITEM_COLUMNS`` (the category as known
        at the cutoff, too) and ``cutoff``.
    within_days, known_by
        As of ``next_orders``.

    Notes
    -----
    A line counts at the time of its order. What is bought and brought back later was bought.
    """
    days = _days_to_purchase(warehouse, rows, (0, within_days), known_by)
    return NextOrders(days, _exposure_days(warehouse, rows, within_days, known_by))


def bought_between(warehouse: Warehouse, rows: pd.DataFrame, days: tuple[int, int]) -> NDArray[np.bool_]:
    """Return whether the customer of each row buys the row's item in ``[cutoff + days[0], cutoff + days[1])``.

    Parameters
    ----------
    rows
        As of ``next_purchases``.
    """
    return ~np.isnan(_days_to_purchase(warehouse, rows, days, None))


def _days_to_purchase(
    warehouse: Warehouse, rows: pd.DataFrame, span_days: tuple[int, int], by: pd.Timestamp | None
) -> NDArray[np.float64]:
    """Return days from each row's cutoff to the first purchase of its item in the span, NaN without one."""
    days = np.full(len(rows), np.nan)
    for cutoff in rows["cutoff"].drop_duplicates():
        here = np.flatnonzero(rows["cutoff"] == cutoff)
        low, high = (cutoff + pd.Timedelta(days=edge) for edge in span_days)
        first = first_purchases(warehouse, cutoff, (low, high), usable(by), rows.iloc[here])
        days[here] = (first - cutoff.to_datetime64()) / np.timedelta64(1, "D")
    return days


def demand(warehouse: Warehouse, cutoff: pd.Timestamp, weeks: int) -> pd.DataFrame:
    """Return the purchases of each category by the customers of each store in each of the weeks after the cutoff.

    Customers, categories and stores are as known at the cutoff, purchases as known today; counted as
    ``training.replenishment.counts.weekly`` counts.
    """
    return weekly(read_lines(warehouse, cutoff, usable(None)), cutoff, weeks, home_stores(warehouse, cutoff))


# ------------------------------------------------------------------------------------------------- next product


def products_bought(
    warehouse: Warehouse, cutoff: pd.Timestamp, within_days: int, *, known_by: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Return who buys what in ``[cutoff, cutoff + within_days)``: ``customer_id`` and ``product_id``, each pair once, sorted.

    Parameters
    ----------
    known_by
        As of ``labels``.

    Notes
    -----
    Customers are OneIDs as known at the cutoff, products ``source|id`` beyond the source ``main``. A line counts at the time
    of its order; what is brought back later was bought.
    """
    with warehouse.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"""
            WITH bought AS (
                SELECT source, customer_id, product_id,
                       min(paid_at) OVER (PARTITION BY source, customer_id, order_id) AS ordered_at
                FROM order_lines WHERE kind = 'sale' AND customer_id IS NOT NULL AND {usable(known_by)})
            SELECT DISTINCT
                {one_id("b")} AS customer_id,
                {product_key("b")} AS product_id
            FROM bought b
            {link("b", f"TIMESTAMP '{cutoff}'")}
            WHERE ordered_at >= TIMESTAMP '{cutoff}'
              AND ordered_at < TIMESTAMP '{cutoff + pd.Timedelta(days=within_days)}'
            ORDER BY ALL
        """).df()
    return frame


# ------------------------------------------------------------------------------------------------- response

RESPONSE_14D = Target(
    name="response_14d",
    population="given an arm of a randomised experiment, known by any row at the day's start",
    asks="places an order in [exposure, exposure + 14 days)",
    horizon_days=14,
)


@dataclass(frozen=True, eq=False)
class Responses:
    """What each exposed customer orders within the horizon; both of length n.

    Attributes
    ----------
    orders
        Orders placed, int64.
    spend
        Sum of ``net_amount`` of their sale lines, major units.
    """

    orders: NDArray[np.int64]
    spend: NDArray[np.float64]


def responses(
    warehouse: Warehouse, rows: pd.DataFrame, horizon_days: int, *, known_by: pd.Timestamp | None = None
) -> Responses:
    """Return what the customer of each row orders in ``[at, at + horizon)``, with or without regard to the offer.

    Parameters
    ----------
    rows
        Frame with ``customer_id`` (OneID as known at the cutoff), ``cutoff`` and ``at``, the instant of the exposure, at
        most a day after the cutoff.
    known_by
        As of ``labels``.

    Notes
    -----
    An order counts whole, at the earliest line of it: one that began before the exposure is no answer to it.
    """
    wanted = rows[["customer_id", "cutoff", "at"]].astype({"customer_id": "str"})
    wanted = wanted.assign(row=np.arange(len(rows)), until=rows["at"] + pd.Timedelta(days=horizon_days))
    with warehouse.connect() as connection:
        connection.register("wanted", wanted)
        found = connection.sql(f"""
            WITH orders AS (
                SELECT source, customer_id, min(paid_at) AS ordered_at, sum(net_amount) AS spend FROM order_lines
                WHERE kind = 'sale' AND customer_id IS NOT NULL AND {usable(known_by)} GROUP BY source, customer_id, order_id),
            near AS (
                SELECT o.*, c.cutoff FROM orders o
                JOIN (SELECT DISTINCT cutoff FROM wanted) c
                  ON o.ordered_at >= c.cutoff AND o.ordered_at < c.cutoff + INTERVAL {horizon_days + 1} DAYS),
            named AS (
                SELECT {one_id("n")} AS customer_id,
                       n.cutoff, n.ordered_at, n.spend
                FROM near n {link("n", "n.cutoff")})
            SELECT w.row, count(*) AS orders, CAST(sum(n.spend) AS DOUBLE) AS spend
            FROM wanted w JOIN named n ON n.customer_id = w.customer_id AND n.cutoff = w.cutoff
                AND n.ordered_at >= w."at" AND n.ordered_at < w.until
            GROUP BY ALL
        """).fetchnumpy()
    orders, spend = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows))
    place = np.asarray(found["row"], dtype=np.int64)
    orders[place], spend[place] = found["orders"], found["spend"]
    return Responses(orders, spend)
