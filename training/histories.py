"""What MBG/NBD and the seasonal clock are fitted to: who had bought how often at a cutoff, and what came of it in four weeks."""

from collections.abc import Mapping, Sequence

import pandas as pd

from features.build import build, order_span
from features.errors import TooLittleHistory
from features.sql import usable
from features.warehouse import Warehouse
from training.baselines import MBGNBD, fit_mbg_nbd
from training.clock import EVEN, SPAN_DAYS, Clock, Spans, spans_before
from training.components import history_weeks
from training.targets import next_orders

__all__ = ["fit_baselines", "fit_clocks", "read_spans"]

_COLUMNS = ("active_days_all", "days_since_last_order", "days_since_first_order")


def fit_baselines(warehouse: Warehouse, cutoffs: Sequence[pd.Timestamp]) -> dict[pd.Timestamp, MBGNBD]:
    """Fit MBG/NBD at each cutoff to all customers who ever ordered before it; where they are too few there is none."""
    frame = build(warehouse, cutoffs, population="all", columns=("orders_all", *_COLUMNS))
    fitted = {}
    for cutoff, rows in frame[frame["orders_all"] > 0].groupby("cutoff"):
        try:
            fitted[pd.Timestamp(str(cutoff))] = fit_mbg_nbd(*history_weeks(rows))
        except TooLittleHistory:
            continue
    return fitted


def fit_clocks(
    warehouse: Warehouse, baselines: Mapping[pd.Timestamp, MBGNBD], known_by: pd.Timestamp
) -> dict[pd.Timestamp, Clock]:
    """Return the clock as it could be told at each cutoff of the baselines; an even one where the log is too short.

    Parameters
    ----------
    known_by
        Orders as they were known at this instant (a training's as-of).
    """
    lag = pd.Timedelta(warehouse.largest_lag(known_by))
    starts = sorted({start for at in baselines for start in spans_before(at, lag)})
    spans = read_spans(warehouse, starts, known_by)
    if spans is None:
        return dict.fromkeys(baselines, EVEN)
    return {at: spans.clock(at, baseline) for at, baseline in baselines.items()}


def read_spans(warehouse: Warehouse, starts: Sequence[pd.Timestamp], known_by: pd.Timestamp) -> Spans | None:
    """Read what happened in the spans that begin at these starts, those with a span of log before them; None without any."""
    ever, lag = order_span(warehouse, known_by=known_by), pd.Timedelta(warehouse.largest_lag(known_by))
    span = pd.Timedelta(days=SPAN_DAYS)
    if ever is None:
        return None
    known = [start for start in starts if ever[0] + span <= start <= known_by - lag - span]
    if not known:
        return None
    frame = build(warehouse, known, population="active-365d", columns=_COLUMNS)
    ordered = next_orders(warehouse, frame, SPAN_DAYS, known_by=known_by).days < SPAN_DAYS
    groups = frame.groupby("cutoff").indices
    return Spans(
        history={pd.Timestamp(str(at)): history_weeks(frame.iloc[rows]) for at, rows in groups.items()},
        ordered={pd.Timestamp(str(at)): int(ordered[rows].sum()) for at, rows in groups.items()},
        repeats=_repeat_orders(warehouse, known, known_by),
        log_from=ever[0],
        lag=lag,
    )


def _repeat_orders(
    warehouse: Warehouse, starts: Sequence[pd.Timestamp], known_by: pd.Timestamp
) -> dict[pd.Timestamp, int]:
    """Return how many orders that were not their customer's first fall into each span."""
    wanted = pd.DataFrame({"start": pd.Series(starts, dtype="datetime64[us]")})
    with warehouse.connect() as connection:
        connection.register("wanted", wanted)
        found = connection.sql(f"""
            WITH orders AS (
                SELECT source, customer_id, order_id, min(paid_at) AS ordered_at FROM order_lines
                WHERE kind = 'sale' AND customer_id IS NOT NULL AND {usable(known_by)} GROUP BY ALL),
            repeats AS (
                SELECT ordered_at FROM orders
                QUALIFY row_number() OVER (PARTITION BY source, customer_id ORDER BY ordered_at) > 1)
            SELECT w.start, count(r.ordered_at) AS orders
            FROM wanted w LEFT JOIN repeats r
                ON r.ordered_at >= w.start AND r.ordered_at < w.start + INTERVAL {SPAN_DAYS} DAYS
            GROUP BY ALL
        """).fetchall()
    return {pd.Timestamp(start): int(orders) for start, orders in found}
