"""The season of value: how much more or less the whole base buys than its buy-till-you-die model says, and will.

MBG/NBD knows no season. Held against what happened, span by span of four weeks, its expectation is off by a factor: the
**pace** of a span is the log of the orders that its active customers placed in it over the purchase days expected of them (so
several orders on one day quicken it). From an instant on, d days ahead, the log pace is taken to be

    after(d) + exp(-d / 84) (now - then)

``after``: the pace of the same weeks a year ago; ``now`` and ``then``: that of the eight weeks before the instant and before the
same day a year ago. So a base that keeps its season is told by last year alone, and what has changed since fades (half of it is
gone after two months). Where last year is not known, half of ``now`` is kept, since nobody can tell level from season.

The arithmetic is in ``training.value.card.Season``, which travels with the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build
from features.warehouse import Warehouse
from training.baselines import MBGNBD, expected_purchases
from training.components import history_weeks
from training.targets import future_value
from training.value.card import SPAN_DAYS, Season

__all__ = ["Pace", "log_pace", "read_pace", "span_starts"]

Floats = NDArray[np.float64]

YEAR_SPANS = 13
LEVEL_SPANS = 2

_PSEUDO = 10.0
"""Orders added to both sides of a pace: what little data moves it by little."""
_MOST_CUSTOMERS = 10_000
"""A span's pace is told by so many customers, drawn by hash: its standard error is then a percent or two."""
_HISTORY = ("active_days_all", "days_since_last_order", "days_since_first_order")


@dataclass(frozen=True, eq=False)
class Pace:
    """Past spans by their first instant.

    Attributes
    ----------
    history
        Start -> frequency, recency and age in weeks of the customers active then, or of a sample.
    orders
        Start -> their orders within the span.
    """

    history: Mapping[pd.Timestamp, tuple[Floats, Floats, Floats]]
    orders: Mapping[pd.Timestamp, int]

    def season(self, at: pd.Timestamp, baseline: MBGNBD, lag: pd.Timedelta) -> Season:
        """Return what the spans that were over tell at an instant, by parameters fitted then."""
        told = [self._log_pace(start, baseline) for start in span_starts(at, lag)]
        now, after, then = told[:LEVEL_SPANS], told[:YEAR_SPANS][::-1], told[YEAR_SPANS:]
        if np.isnan(now).any():
            return Season()
        if np.isnan(told).any():
            return Season(float(np.mean(now)))
        return Season(float(np.mean(now)), float(np.mean(then)), tuple(after))

    def _log_pace(self, start: pd.Timestamp, baseline: MBGNBD) -> float:
        if start not in self.history:
            return float("nan")
        expected = expected_purchases(baseline, *self.history[start], SPAN_DAYS / 7.0)
        return log_pace(self.orders[start], float(expected.sum()))


def log_pace(orders: float, expected: float) -> float:
    """Return the log of orders over the purchase days expected, held by ten of each."""
    return float(np.log((orders + _PSEUDO) / (expected + _PSEUDO)))


def span_starts(at: pd.Timestamp, lag: pd.Timedelta) -> list[pd.Timestamp]:
    """Return the starts of the spans that tell the season at an instant, the last first."""
    return [at - lag - pd.Timedelta(days=SPAN_DAYS * k) for k in range(1, YEAR_SPANS + LEVEL_SPANS + 1)]


def read_pace(
    warehouse: Warehouse, instants: Sequence[pd.Timestamp], first: pd.Timestamp, known_by: pd.Timestamp
) -> Pace:
    """Read the spans that tell the season at these instants.

    Parameters
    ----------
    first
        The first order; spans need one span of history before them.
    known_by
        Purchases as they were known at this instant.
    """
    lag = pd.Timedelta(warehouse.largest_lag(known_by))
    wanted = {start for at in instants for start in span_starts(at, lag)}
    starts = sorted(start for start in wanted if start >= first + pd.Timedelta(days=SPAN_DAYS))
    if not starts:
        return Pace({}, {})
    rows = build(warehouse, starts, columns=_HISTORY)
    draw = pd.util.hash_pandas_object(rows["customer_id"], index=False).to_numpy() / 2.0**64
    size = rows.groupby("cutoff")["customer_id"].transform("size").to_numpy()
    rows = rows[draw * size < _MOST_CUSTOMERS].reset_index(drop=True)
    rows["orders"] = future_value(warehouse, rows, SPAN_DAYS, known_by=known_by).orders
    spans = {pd.Timestamp(str(start)): span for start, span in rows.groupby("cutoff")}
    return Pace(
        {start: history_weeks(span) for start, span in spans.items()},
        {start: int(span["orders"].sum()) for start, span in spans.items()},
    )
