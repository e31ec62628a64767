"""What is predicted, about whom, how far ahead. The only file that looks after the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.warehouse import Warehouse

__all__ = ["CHURN_90D", "NextOrders", "Target", "labels", "next_orders"]


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
    exposure = np.full(len(rows), float(within_days))
    if known_by is not None:
        known = pd.Timestamp(known_by) - warehouse.largest_lag() - rows["cutoff"]
        exposure = np.minimum(exposure, known.to_numpy() / np.timedelta64(1, "D"))
    return NextOrders(days, exposure)


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
    usable = "superseded_at IS NULL"
    if known_by is not None:
        at = f"TIMESTAMP '{known_by}'"
        usable = f"paid_at < {at} AND known_at <= {at} AND (superseded_at IS NULL OR superseded_at > {at})"
    wanted = pd.DataFrame({"cutoff": pd.Series(cutoffs, dtype="datetime64[us]")})
    with warehouse.connect() as connection:
        connection.register("wanted", wanted)
        frame: pd.DataFrame = connection.sql(f"""
            WITH orders AS (
                SELECT source, customer_id, order_id, min(paid_at) AS ordered_at FROM order_lines
                WHERE kind = 'sale' AND customer_id IS NOT NULL AND {usable} GROUP BY ALL)
            SELECT coalesce(l.one_id, CASE WHEN o.source = 'main' THEN o.customer_id
                                      ELSE o.source || ':' || o.customer_id END) AS customer_id,
                   w.cutoff, min(o.ordered_at) AS ordered_at
            FROM orders o
            JOIN wanted w ON o.ordered_at >= w.cutoff AND o.ordered_at < w.cutoff + INTERVAL {within_days} DAYS
            LEFT JOIN links l ON l.source = o.source AND l.customer_id = o.customer_id AND l.known_at <= w.cutoff
                             AND (l.superseded_at IS NULL OR l.superseded_at > w.cutoff)
            GROUP BY ALL
        """).df()
    return frame.astype({"cutoff": "datetime64[us]", "ordered_at": "datetime64[us]"})
