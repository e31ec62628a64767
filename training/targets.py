"""What is predicted, about whom, how far ahead. The only file that looks after the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.warehouse import Warehouse

__all__ = ["CHURN_90D", "Target", "labels"]


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
    cutoffs = rows["cutoff"].drop_duplicates()
    ordered = _ordered(warehouse, list(cutoffs), target.horizon_days, known_by)
    key = pd.MultiIndex.from_frame(rows[["customer_id", "cutoff"]])
    return (~key.isin(pd.MultiIndex.from_frame(ordered))).astype(np.int8)


def _ordered(
    warehouse: Warehouse, cutoffs: Sequence[pd.Timestamp], horizon_days: int, known_by: pd.Timestamp | None
) -> pd.DataFrame:
    """Return who (OneID as known at the cutoff) orders within the horizon of which cutoff."""
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
            SELECT DISTINCT coalesce(l.one_id, CASE WHEN o.source = 'main' THEN o.customer_id
                                               ELSE o.source || ':' || o.customer_id END) AS customer_id, w.cutoff
            FROM orders o
            JOIN wanted w ON o.ordered_at >= w.cutoff AND o.ordered_at < w.cutoff + INTERVAL {horizon_days} DAYS
            LEFT JOIN links l ON l.source = o.source AND l.customer_id = o.customer_id AND l.known_at <= w.cutoff
                             AND (l.superseded_at IS NULL OR l.superseded_at > w.cutoff)
        """).df()
    return frame.astype({"cutoff": "datetime64[us]"})
