"""The seasonal clock: how much faster or slower than MBG/NBD says the whole base orders, and will.

MBG/NBD knows no season: its clock runs evenly. Held against what happened, span by span of four weeks, it shows how fast
the base's clock really ran: the log speed of a span is the log of the customers who ordered in it over the number that
MBG/NBD expected of the same customers. Two things say how fast it will run:

- the **level**: the log speed of the last two spans, which fades;
- the **season**: by how much last year's clock went faster after this day than in the two spans before it. Two measures
  of that err in opposite directions, and their mean is taken: the customers' log speed, which a log that began shortly
  before makes look faster then (it takes old customers for new ones), and the number of repeat orders, which the growth
  of the base makes look slower then.

Differences between one year's spans are used, never their height, since the height carries what was wrong with the fit
then; and they count in so far as there is a log before them (left truncation looks like season). No label is needed that is
as old as the horizon. Speeds multiply the cumulative hazard of the next order (proportional hazards; Cox 1972).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from training.baselines import MBGNBD
from training.survival import baseline_log_survival

__all__ = ["EVEN", "SPAN_DAYS", "Clock", "Spans", "realised_speed", "spans_before"]

Floats = NDArray[np.float64]

SPAN_DAYS = 28
YEAR_SPANS, LEVEL_SPANS = 13, 2

# Chosen by hand, on weekly as-ofs of Online Retail II and of a made-up retailer; experiments/churn has what the clock brings.
_FADES_DAYS = 84.0  # the level is divided by e in so many days: over 90 days .6 of it is left
_UNSEASONED = 0.5  # what is kept of a level that no last year tells from the season
_SEASON_KEPT = 0.75  # a season does not come back whole
_EVIDENCE_DAYS = 90.0  # of log before last year's spans from which on they count whole

_PSEUDO = 10.0
"""Customers added to both sides of a speed, so that few say little."""


@dataclass(frozen=True)
class Clock:
    """How fast the base's clock will run from an instant on, as the log of its speed; 0 is as MBG/NBD says.

    Attributes
    ----------
    level
        Log speed of the last two spans.
    season
        For each of the spans to come, a year of them, how much faster than in the last two; empty where last year is not
        known.
    evidence
        0 to 1: how far the season is believed.
    """

    level: float = 0.0
    season: tuple[float, ...] = ()
    evidence: float = 0.0

    def log_speed(self, days: ArrayLike) -> Floats:
        """Return the log speed at so many days from the instant, of the shape of ``days``."""
        after = np.asarray(days, dtype=np.float64)
        kept = _UNSEASONED + (1.0 - _UNSEASONED) * self.evidence
        speed = kept * self.level * np.exp(-after / _FADES_DAYS)
        if self.season:
            span = (after // SPAN_DAYS).astype(np.int64) % len(self.season)
            speed = speed + _SEASON_KEPT * self.evidence * np.array(self.season)[span]
        return np.asarray(speed)

    def shift(self, horizon_days: float, ahead_days: ArrayLike = 0.0) -> Floats:
        """Return the log of the mean speed over horizons that begin so many days, cut to whole ones, after the instant."""
        begin, place = np.unique(np.floor(np.asarray(ahead_days, dtype=np.float64)), return_inverse=True)
        days = begin[:, None] + np.arange(0.5, horizon_days)
        return np.asarray(np.log(np.exp(self.log_speed(days)).mean(axis=1))[place])


EVEN = Clock()
"""As MBG/NBD says."""


@dataclass(frozen=True, eq=False)
class Spans:
    """What happened in past spans of four weeks, by their first instant.

    Attributes
    ----------
    history
        Start -> frequency, recency and age in weeks of the customers active then.
    ordered
        Start -> how many of them ordered within the span.
    repeats
        Start -> orders of everybody within the span, but for the first one of each customer.
    log_from
        The first order that is known.
    lag
        Largest declared lag: what is younger may be incomplete.
    """

    history: Mapping[pd.Timestamp, tuple[Floats, Floats, Floats]]
    ordered: Mapping[pd.Timestamp, int]
    repeats: Mapping[pd.Timestamp, int]
    log_from: pd.Timestamp
    lag: pd.Timedelta

    def clock(self, at: pd.Timestamp, baseline: MBGNBD) -> Clock:
        """Return the clock from ``at`` on, by the spans that were over then and parameters fitted then."""
        starts = spans_before(at, self.lag)
        recent, then, after = starts[:LEVEL_SPANS], starts[YEAR_SPANS:], starts[:YEAR_SPANS][::-1]
        if any(start not in self.history for start in recent):
            return EVEN
        level = self._log_speed(recent, baseline)
        if any(start not in self.history for start in starts):
            return Clock(level)
        speed, repeats = self._log_speed(then, baseline), self._repeats(then)
        season = tuple(
            ((self._log_speed([start], baseline) - speed) + (self._repeats([start]) - repeats)) / 2.0
            for start in after
        )
        before = (then[-1] - self.log_from) / pd.Timedelta(days=1)
        return Clock(level, season, float(np.clip(before / _EVIDENCE_DAYS, 0.0, 1.0)))

    def _repeats(self, starts: Sequence[pd.Timestamp]) -> float:
        """Return the log of the mean number of repeat orders in these spans."""
        return float(np.log(np.mean([self.repeats[start] for start in starts]) + _PSEUDO))

    def _log_speed(self, starts: Sequence[pd.Timestamp], baseline: MBGNBD) -> float:
        end = np.array([float(SPAN_DAYS)])
        expected = sum(
            float(-np.expm1(baseline_log_survival(baseline, self.history[start], end)).sum())
            for start in starts
        )
        ordered = sum(self.ordered[start] for start in starts)
        return float(np.log((ordered + _PSEUDO) / (expected + _PSEUDO)))


def spans_before(at: pd.Timestamp, lag: pd.Timedelta) -> list[pd.Timestamp]:
    """Return the starts of the spans that a clock at this instant looks at, the last one first."""
    return [at - lag - pd.Timedelta(days=SPAN_DAYS * k) for k in range(1, YEAR_SPANS + LEVEL_SPANS + 1)]


def realised_speed(expected_hazard: Floats, happened: NDArray[np.generic]) -> float:
    """Return the log speed at which so many cumulative hazards, one a customer, agree with what happened in the mean.

    Parameters
    ----------
    expected_hazard
        Cumulative hazards of an order, n.
    happened
        1 where it came, n.

    Notes
    -----
    ``sum(1 - exp(-H_i exp(speed))) = sum(happened)``, by bisection within +-3, after ``_PSEUDO`` customers who did as
    expected were added: few customers move it little.
    """
    mean = float(-np.expm1(-expected_hazard).mean())
    share = (float(happened.sum()) + _PSEUDO * mean) / (len(happened) + _PSEUDO)
    low, high = -3.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2.0
        if float(-np.expm1(-expected_hazard * np.exp(middle)).mean()) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
