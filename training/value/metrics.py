"""How good predicted spends are. Small pure functions that refuse rather than guess. NumPy only.

``y`` is what was spent net of refunds, shape (n,), n >= 1, finite (below 0 where more came back than was bought); ``p`` is
what was predicted, ``score`` any number that ranks, both of shape (n,) and finite. Everything else is an InputError. The row
order never matters. Mean absolute error is not here on purpose: predicting 0 beats a good model on it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError

__all__ = [
    "CoveredShare",
    "SpendTable",
    "coverage",
    "decile_error",
    "normalised_gini",
    "spearman",
    "spend_table",
    "total_bias",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpendTable:
    """One entry a tenth, from low to high predictions: mean predicted, mean spent, rows."""

    mean_predicted: Floats
    mean_spent: Floats
    n: NDArray[np.int64]


@dataclass(frozen=True)
class CoveredShare:
    """Shares of rows below, within and above a band; both edges are within."""

    below: float
    within: float
    above: float


def normalised_gini(y: ArrayLike, score: ArrayLike) -> float:
    """Area between the share of spend that the best-scored reach and the diagonal, over that of a perfect ranking.

    1 is perfect, 0 is chance. Rows that tie share their places. (The Gini coefficient of a concentration curve over its
    maximum, as in insurance pricing: Frees, Meyers and Cummings 2011, Journal of the American Statistical Association
    106, 1085-1098.)

    Raises
    ------
    InputError
        The spends do not add up to more than 0, or all are alike.

    Examples
    --------
    >>> normalised_gini([0, 0, 10], [1, 2, 3])
    1.0
    >>> normalised_gini([0, 10, 0], [1, 2, 3])
    0.0
    """
    spent, scores = _checked(y, score)
    if spent.sum() <= 0.0 or np.ptp(spent) == 0.0:
        raise InputError(
            f"the Gini of {spent.size} customers is undefined: their spends must differ and add up to more than 0, "
            f"got {spent.sum():g}."
        )
    return _concentration(spent, scores) / _concentration(spent, spent)


def spearman(y: ArrayLike, score: ArrayLike) -> float:
    """Rank correlation, ties with their mean rank (Spearman 1904).

    Raises
    ------
    InputError
        All rows are alike in one of both.

    Examples
    --------
    >>> round(spearman([0, 5, 5, 9], [1, 2, 3, 4]), 4)
    0.9487
    """
    spent, scores = _checked(y, score)
    if np.ptp(spent) == 0.0 or np.ptp(scores) == 0.0:
        raise InputError("a rank correlation is undefined where all rows are alike.")
    return float(np.corrcoef(_ranks(spent), _ranks(scores))[0, 1])


def spend_table(y: ArrayLike, p: ArrayLike, bins: int = 10) -> SpendTable:
    """Predicted against spent in ``bins`` bins of equal size, by prediction; equal predictions share their mean spend.

    Raises
    ------
    InputError
        Fewer rows than bins.
    """
    spent, predicted = _checked(y, p)
    if not 1 <= bins <= spent.size:
        raise InputError(f"{spent.size} rows cannot fill {bins} bins.")
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, bins)
    shared = _tied_means(spent, predicted)
    return SpendTable(
        np.array([predicted[part].mean() for part in parts]),
        np.array([shared[part].mean() for part in parts]),
        np.array([len(part) for part in parts], dtype=np.int64),
    )


def decile_error(y: ArrayLike, p: ArrayLike) -> float:
    """Mean distance of predicted and spent over the tenths of ``spend_table``, in units of the mean spend.

    Examples
    --------
    >>> decile_error([0] * 5 + [10] * 5, [1] * 5 + [9] * 5)
    0.2
    """
    table = spend_table(y, p)
    total = float(table.mean_spent @ table.n)
    if total <= 0.0:
        raise InputError(f"the spends must add up to more than 0, got {total:g}.")
    return float(np.abs(table.mean_predicted - table.mean_spent) @ table.n) / total


def total_bias(y: ArrayLike, p: ArrayLike) -> float:
    """Predicted total over the spent one, less 1.

    Its standard error comes from ``training.intervals.bootstrap_interval`` over customers.

    Examples
    --------
    >>> round(total_bias([10, 0], [6, 5]), 12)
    0.1
    """
    spent, predicted = _checked(y, p)
    if spent.sum() <= 0.0:
        raise InputError(f"the spends must add up to more than 0, got {spent.sum():g}.")
    return float(predicted.sum() / spent.sum() - 1.0)


def coverage(y: ArrayLike, low: ArrayLike, high: ArrayLike) -> CoveredShare:
    """Shares of rows below, within and above their bands.

    Who spends nothing lies within every band that begins at 0: of those the lower edge of a 10-90 % band says nothing,
    and 90 % are to be within. So the share above, to be 10 %, is the figure to look at.

    Examples
    --------
    >>> coverage([0.0, 5.0, 9.0, 20.0], [0, 6, 1, 1], [1, 9, 9, 10])
    CoveredShare(below=0.25, within=0.5, above=0.25)
    """
    spent, lowest = _checked(y, low)
    _, highest = _checked(y, high)
    if (lowest > highest).any():
        raise InputError(f"{int((lowest > highest).sum())} bands end below where they begin.")
    below, above = float((spent < lowest).mean()), float((spent > highest).mean())
    return CoveredShare(below, float(((spent >= lowest) & (spent <= highest)).mean()), above)


def _concentration(spent: Floats, score: Floats) -> float:
    """Area between the concentration curve, trapezoids from (0, 0), and the diagonal."""
    order = np.argsort(-score, kind="stable")
    reached = np.cumsum(_tied_means(spent, score)[order]) / spent.sum()
    return float((reached.sum() - 0.5) / spent.size - 0.5)


def _tied_means(spent: Floats, score: Floats) -> Floats:
    _, group, count = np.unique(score, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(group, spent) / count)[group])


def _ranks(values: Floats) -> Floats:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2.0)[group])


def _checked(y: ArrayLike, beside: ArrayLike) -> tuple[Floats, Floats]:
    spent, other = np.asarray(y, dtype=np.float64), np.asarray(beside, dtype=np.float64)
    if spent.ndim != 1 or spent.shape != other.shape or not spent.size:
        raise InputError(
            f"spends and predictions must be equally long, one row or more, got shapes {spent.shape} and {other.shape}."
        )
    strange = int((~np.isfinite(spent)).sum()) + int((~np.isfinite(other)).sum())
    if strange:
        raise InputError(f"spends and predictions must be finite, got {strange} that are not.")
    return spent, other
