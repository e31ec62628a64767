"""How good predicted probabilities are. Small pure functions that refuse rather than guess. NumPy only.

``y`` is 0 or 1 (or bool), shape (n,), n >= 1; ``p`` is the probability of y = 1 and ``score`` any number that
ranks, both of shape (n,) and without NaN. Everything else is an InputError. The row order never matters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError

__all__ = [
    "CalibrationTable",
    "auc",
    "brier",
    "calibration_table",
    "checked_outcomes",
    "ece_floor",
    "expected_calibration_error",
    "integrated_brier",
    "lift_at",
    "log_loss",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Outcomes drawn at a time by ece_floor: 32 MB of float64.
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class CalibrationTable:
    """One entry a bin that holds anybody, from low to high predictions.

    Parameters
    ----------
    mean_predicted, observed
        Mean of p, and share of y = 1, in the bin.
    n
        Rows in the bin.
    """

    mean_predicted: Floats
    observed: Floats
    n: Ints


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Probability that a positive scores above a negative, ties counted half (Mann-Whitney U / (n1 n0)).

    Raises
    ------
    InputError
        Only one class among the outcomes.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    scores = _checked_score(score)
    outcome = checked_outcomes(y, scores)
    positives = float(outcome.sum())
    negatives = len(outcome) - positives
    if not positives or not negatives:
        raise InputError(f"AUC needs both classes, got {positives:g} positives and {negatives:g} negatives.")
    before, count, group = _tie_groups(scores)
    rank = (before + (count + 1) / 2)[group]
    return float((rank @ outcome - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(y: ArrayLike, p: ArrayLike) -> float:
    """Mean of -log(probability given to what happened), natural logarithm.

    Probabilities are clipped to [e, 1 - e], e = 2.2e-16, so one certain error costs 36 and not infinity.

    Examples
    --------
    >>> round(log_loss([1, 0], [0.5, 0.5]), 4)
    0.6931
    """
    probability = _checked_probability(p)
    outcome = checked_outcomes(y, probability)
    tiny = float(np.finfo(np.float64).eps)
    probability = np.clip(probability, tiny, 1.0 - tiny)
    return -float(np.mean(np.where(outcome == 1.0, np.log(probability), np.log1p(-probability))))


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Mean squared difference between outcome and probability (Brier 1950, the one-sided form, 0 to 1).

    Examples
    --------
    >>> brier([1, 0], [0.5, 0.0])
    0.125
    """
    probability = _checked_probability(p)
    return float(np.mean((checked_outcomes(y, probability) - probability) ** 2))


def integrated_brier(days: ArrayLike, p: ArrayLike, ends_days: ArrayLike) -> Floats:
    """Squared error of a distribution of waiting times, averaged over time from the first end to the last; one a row.

    At each end t the error is (1{days < t} - p_t)^2; between two ends it is linear (Graf, Schmoor, Sauerbrei and
    Schumacher 1999, Statistics in Medicine 18, 2529-2545, where nobody is censored before the last end).

    Parameters
    ----------
    days
        Shape (n,): time to the event; NaN where none came before the last end.
    p
        Shape (n, k): P(event before each end).
    ends_days
        Shape (k,), rising, two or more.

    Examples
    --------
    >>> integrated_brier([10.0], [[0.0, 1.0, 1.0]], [7, 14, 21])
    array([0.])
    >>> integrated_brier([np.nan], [[0.0, 1.0, 1.0]], [7, 14, 21])
    array([0.75])
    """
    waited, probability = np.asarray(days, dtype=np.float64), np.asarray(p, dtype=np.float64)
    ends = np.asarray(ends_days, dtype=np.float64)
    if probability.shape != (waited.size, ends.size) or ends.size < 2 or not (np.diff(ends) > 0).all():
        raise InputError(
            f"days, p and ends need shapes (n,), (n, k) and (k,), ends rising and two or more; got {waited.shape}, "
            f"{probability.shape} and {ends.shape}."
        )
    if not ((probability >= 0.0) & (probability <= 1.0)).all():
        raise InputError("probabilities must be within [0, 1], without NaN.")
    error = ((waited[:, None] < ends) - probability) ** 2
    area = (error[:, 1:] + error[:, :-1]) / 2.0 * np.diff(ends)
    return np.asarray(area.sum(axis=1) / (ends[-1] - ends[0]))


def lift_at(y: ArrayLike, score: ArrayLike, share: float) -> float:
    """How many times richer in positives the top ``share`` of scores is than everybody.

    The top holds exactly ``share * n`` places, a fraction of a place included. Those who tie on its edge
    share the places that are left, so the order of equal scores does not matter.

    Raises
    ------
    InputError
        ``share`` outside (0, 1], or no positive.

    Examples
    --------
    >>> lift_at([1, 0, 0, 0], [0.9, 0.5, 0.5, 0.1], share=0.25)
    4.0
    """
    scores = _checked_score(score)
    outcome = checked_outcomes(y, scores)
    if not 0.0 < share <= 1.0:
        raise InputError(f"share must be above 0 and at most 1, got {share}.")
    if not outcome.any():
        raise InputError(f"lift is undefined: none of the {len(outcome)} customers is a positive.")
    before, count, group = _tie_groups(-scores)
    places = share * len(outcome)
    held = np.clip((places - before) / count, 0.0, 1.0)[group]
    return float(held @ outcome / places / outcome.mean())


def calibration_table(y: ArrayLike, p: ArrayLike, bins: int = 10) -> CalibrationTable:
    """Predicted against observed in ``bins`` bins of equal mass.

    Equal predictions are never parted: they all go to the bin of the middle of the places they take, bin
    ``floor(bins * middle / n)``. With ties bins may thus differ in size, and empty ones are left out.
    """
    probability = _checked_probability(p)
    outcome = checked_outcomes(y, probability)
    order = np.argsort(probability)
    starts = _bin_starts(probability[order], bins)
    n = np.diff(np.append(starts, len(outcome)))
    predicted = np.add.reduceat(probability[order], starts) / n
    return CalibrationTable(predicted, np.add.reduceat(outcome[order], starts) / n, n)


def expected_calibration_error(y: ArrayLike, p: ArrayLike, bins: int = 10) -> float:
    """Mean over rows of abs(mean predicted - observed) of the row's bin in ``calibration_table``.

    Naeini, Cooper and Hauskrecht (2015), with bins of equal mass. A perfect model has one too: ``ece_floor``.
    """
    table = calibration_table(y, p, bins)
    return float(np.average(np.abs(table.mean_predicted - table.observed), weights=table.n))


def ece_floor(
    p: ArrayLike, rng: np.random.Generator, draws: int = 200, quantile: float = 0.95, bins: int = 10
) -> float:
    """``quantile`` of the calibration error that p would have if it were exactly right.

    Outcomes are drawn ``draws`` times from p itself, independent across rows. A measured error below this
    floor is no evidence of miscalibration. Memory is bounded; the result does not depend on how the draws are
    blocked.
    """
    probability = np.sort(_checked_probability(p))
    if draws < 1 or not 0.0 <= quantile <= 1.0:
        raise InputError(f"draws must be at least 1 and quantile within [0, 1], got {draws} and {quantile}.")
    n = len(probability)
    starts = _bin_starts(probability, bins)
    rows = max(1, _BLOCK // n)
    errors = [
        np.abs(np.add.reduceat(probability - (rng.random((size, n)) < probability), starts, axis=1)).sum(
            axis=1
        )
        / n
        for size in (min(rows, draws - done) for done in range(0, draws, rows))
    ]
    return float(np.quantile(np.concatenate(errors), quantile))


def checked_outcomes(y: ArrayLike, beside: Floats) -> Floats:
    """Outcomes as float64 0.0 and 1.0, held against the predictions ``beside`` them.

    Raises
    ------
    InputError
        No rows, another shape than ``beside``, or a value other than 0 and 1 (NaN included).
    """
    outcome = np.asarray(y, dtype=np.float64)
    if outcome.ndim != 1 or outcome.shape != beside.shape:
        raise InputError(
            f"outcomes and predictions must be equally long, got shapes {outcome.shape} and {beside.shape}."
        )
    if not outcome.size:
        raise InputError("no rows: a metric needs one outcome or more.")
    strange = outcome[(outcome != 0.0) & (outcome != 1.0)]
    if strange.size:
        raise InputError(
            f"outcomes must be 0 or 1, got {strange[0]:g} in {strange.size} of {outcome.size} rows."
        )
    return outcome


def _checked_score(score: ArrayLike) -> Floats:
    scores = np.asarray(score, dtype=np.float64)
    if np.isnan(scores).any():
        raise InputError(
            f"scores must be numbers, got NaN in {np.isnan(scores).sum()} of {scores.size} rows."
        )
    return scores


def _checked_probability(p: ArrayLike) -> Floats:
    probability = np.asarray(p, dtype=np.float64)
    strange = probability[~((probability >= 0.0) & (probability <= 1.0))]
    if strange.size or probability.ndim != 1 or not probability.size:
        example = f", got {strange[0]:g} in {strange.size} rows" if strange.size else ""
        raise InputError(f"probabilities must be one or more, in one dimension, within [0, 1]{example}.")
    return probability


def _tie_groups(values: Floats) -> tuple[Ints, Ints, Ints]:
    """Of each distinct value, ascending: how many are smaller, how many equal; and the group of each row."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.cumsum(count) - count, count, group


def _bin_starts(ascending: Floats, bins: int) -> Ints:
    """First row of each non-empty bin. Whole numbers throughout, so an edge is never a matter of rounding."""
    if bins < 1:
        raise InputError(f"bins must be at least 1, got {bins}.")
    before, count, _ = _tie_groups(ascending)
    of_group = bins * (2 * before + count) // (2 * len(ascending))
    return before[np.flatnonzero(np.diff(of_group, prepend=-1))]
