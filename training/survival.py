"""Time to the next order in bins: hazards, the survival curves they make, and those of MBG/NBD. NumPy only.

Time is cut into the bins ``[0, 7), [7, 14), ... [270, 365)`` days from the cutoff. The hazard h_b of a bin is the
probability of the next order inside it, given none before it; what adds up is the cumulative hazard

    H(t_b) = -sum_{k <= b} log(1 - h_k),        S(t_b) = exp(-H(t_b)) = P(no order before t_b)

(Singer and Willett 1993, Journal of Educational Statistics 18(2), 155-195). Inside a bin H is linear in time.

The curve is bent until it agrees with the churn model at its horizon: every H is multiplied by the same number, which
raises S to a power (proportional hazards; Cox 1972, Journal of the Royal Statistical Society B 34(2), 187-220).
"""

import numpy as np
from numpy.typing import NDArray

from training.baselines import MBGNBD

__all__ = [
    "BIN_ENDS",
    "BIN_STARTS",
    "HORIZONS_DAYS",
    "anchored",
    "baseline_hazards",
    "baseline_log_survival",
    "cumulative_hazard",
    "days_until",
    "hazard_logits",
    "probability_within",
]

Floats = NDArray[np.float64]

BIN_ENDS: Floats = np.array([7, 14, 21, 30, 45, 60, 75, 90, 120, 180, 270, 365], dtype=np.float64)
"""Ends of the bins, days from the cutoff; an order exactly at an end belongs to the next bin."""
BIN_ENDS.setflags(write=False)

BIN_STARTS: Floats = np.concatenate([[0.0], BIN_ENDS[:-1]])
"""Starts of the bins, days from the cutoff; an order at a start belongs to the bin."""
BIN_STARTS.setflags(write=False)

HORIZONS_DAYS = (7, 14, 30, 60, 90)
"""Ends of bins for which probabilities are given; the last is the churn model's horizon."""

_HORIZON_BINS = np.searchsorted(BIN_ENDS, HORIZONS_DAYS)
_ANCHOR = int(_HORIZON_BINS[-1])

# Log odds of a hazard stay within this: from 1 order in 3 million bins to certainty but for as much.
_LOGIT_LIMIT = 15.0
# Smallest churn probability whose logarithm is taken.
_LEAST = 1e-300


def baseline_log_survival(
    baseline: MBGNBD, history: tuple[Floats, Floats, Floats], ends_days: Floats = BIN_ENDS
) -> Floats:
    """Return log P(no purchase before each end) by MBG/NBD, n x ends, finite however small the probability is.

    Parameters
    ----------
    history
        Frequency, recency and age in weeks, each of length n, as ``training.predict.history_weeks`` gives them.

    Notes
    -----
    ``training.baselines.probability_no_purchase`` on the log scale: with u the log odds of having dropped out,
    ``P(none) = (exp(u) + ((alpha+T)/(alpha+T+h))^(r+x)) / (1 + exp(u))``.
    """
    x, recency, age = history
    shape, elapsed = baseline.r + x, baseline.alpha + age
    dropped = (
        np.log(baseline.a) - np.log(baseline.b + x) + shape * np.log(elapsed / (baseline.alpha + recency))
    )
    silent = -shape[:, None] * np.log1p(ends_days / 7.0 / elapsed[:, None])
    return np.asarray(np.logaddexp(dropped[:, None], silent) - np.logaddexp(0.0, dropped)[:, None])


def baseline_hazards(baseline: MBGNBD, history: tuple[Floats, Floats, Floats]) -> Floats:
    """Return by how much MBG/NBD's cumulative hazard grows in each bin, n x bins, 0 or above."""
    return np.asarray(-np.diff(baseline_log_survival(baseline, history), axis=1, prepend=0.0))


def hazard_logits(growth: Floats) -> Floats:
    """Return the log odds of the hazards by which a cumulative hazard grows so much in each bin; any shape.

    ``1 - h = exp(-growth)``, so ``logit h = log(1 - exp(-growth)) + growth``.
    """
    hazard = np.maximum(-np.expm1(-growth), np.exp(-_LOGIT_LIMIT))
    return np.asarray(np.clip(np.log(hazard) + growth, -_LOGIT_LIMIT, _LOGIT_LIMIT))


def cumulative_hazard(hazard_logits: Floats) -> Floats:
    """Return H at the end of each bin, n x bins, from the log odds of the hazards; rising, above 0, finite."""
    limited = np.clip(hazard_logits, -_LOGIT_LIMIT, _LOGIT_LIMIT)
    return np.cumsum(np.logaddexp(0.0, limited), axis=1)


def anchored(cumulative: Floats, churn_probability: Floats) -> Floats:
    """Return H multiplied, row by row, so that S at the churn model's horizon is the churn probability.

    Parameters
    ----------
    cumulative
        n x bins, as ``cumulative_hazard`` gives it.
    churn_probability
        Within [0, 1], length n.
    """
    level = -np.log(np.maximum(churn_probability, _LEAST))
    return cumulative / cumulative[:, _ANCHOR : _ANCHOR + 1] * level[:, None]


def probability_within(anchored_hazard: Floats, churn_probability: Floats) -> Floats:
    """Return P(order within each of ``HORIZONS_DAYS``), n x horizons, never falling; the last is 1 - churn, bit for bit."""
    p = -np.expm1(-anchored_hazard[:, _HORIZON_BINS])
    last = (1.0 - churn_probability)[:, None]
    p[:, -1:] = last
    # rounding may take the last but one above the last by a bit
    return np.asarray(np.minimum(np.maximum.accumulate(p, axis=1), last))


def days_until(cumulative: Floats, probability: float) -> Floats:
    """Return the days until the next order has come with this probability, length n; NaN beyond the last bin.

    The quantile of F = 1 - S, with H linear inside a bin.
    """
    wanted = -np.log1p(-probability)
    place = (cumulative < wanted).sum(axis=1)
    inside = np.minimum(place, len(BIN_ENDS) - 1)
    rows = np.arange(len(cumulative))
    high = cumulative[rows, inside]
    low = np.where(inside > 0, cumulative[rows, inside - 1], 0.0)
    share = (wanted - low) / np.where(high > low, high - low, 1.0)
    days = BIN_STARTS[inside] + (BIN_ENDS - BIN_STARTS)[inside] * share
    return np.where(place < len(BIN_ENDS), days, np.nan)
