"""How good predictions should prove to be, before what they are about has happened: from the probabilities alone.

Confidence-based performance estimation (CBPE; NannyML, "How it works: performance estimation"; Bialek, Kuberski, Perrakis and Bifet 2024, "Estimating Model Performance
Under Covariate Shift Without Labels", arXiv:2401.08348): where p is calibrated, what will happen is a draw
from p, and so is every figure that is made of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from features.errors import InputError
from training.intervals import Interval
from training.metrics import expected_calibration_error

__all__ = [
    "ASSUMPTION",
    "LEAST_OF_EACH",
    "Expected",
    "expected_auc",
    "expected_log_loss",
    "expected_performance",
    "is_enough",
]

Floats = NDArray[np.float64]

ASSUMPTION = (
    "No concept drift: the probabilities are calibrated now as they were in training, and customers decide independently "
    "of each other. If customers like these have begun to behave otherwise, only what happens shows it."
)
"""What has to hold for an expected figure to mean anything."""

LEAST_OF_EACH = 10.0
"""Churners, and others, to be expected before figures are: with fewer an AUC is a matter of luck."""

_DRAWS = 400
_LEVEL = 0.95
# outcomes drawn at a time: 32 MB of float64
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Expected:
    """Figures that n customers' probabilities promise; intervals hold 95 % of what chance makes of them.

    Attributes
    ----------
    churn_share
        Share that will have churned.
    ece
        Calibration error by chance alone: what is assumed is that there is no other.
    """

    rows: int
    churn_share: Interval
    auc: Interval
    log_loss: Interval
    ece: Interval


def expected_auc(p: ArrayLike) -> float:
    """Return the AUC to be expected of calibrated probabilities: of all pairs, the share ranked as they will turn out.

    Sum over pairs i != j of p_i (1 - p_j) [1{p_i > p_j} + 1{p_i = p_j} / 2], divided by the sum of p_i (1 - p_j); n log n.

    Raises
    ------
    InputError
        Values that are no probabilities, or all churn or all stay for certain.

    Examples
    --------
    >>> expected_auc([0.5, 0.5])
    0.5
    >>> round(expected_auc([0.2, 0.8]), 4)  # 0.64 of 0.68
    0.9412
    """
    probability = np.sort(_probabilities(p))
    stays = 1.0 - probability
    _, group = np.unique(probability, return_inverse=True)
    in_group = np.bincount(group, weights=stays)
    below = np.cumsum(in_group) - in_group
    itself = probability @ stays
    pairs = probability.sum() * stays.sum() - itself
    if not pairs > 0.0:
        raise InputError(f"AUC is undefined: of {len(probability)} customers all churn for certain, or none")
    right = probability @ (below + in_group / 2.0)[group] - itself / 2.0
    return float(right / pairs)


def expected_log_loss(p: ArrayLike) -> float:
    """Return the logloss to be expected of calibrated probabilities: their mean entropy, natural logarithm.

    Examples
    --------
    >>> round(expected_log_loss([0.5, 1.0]), 4)
    0.3466
    """
    probability = _probabilities(p)
    return float(-np.mean(_entropy_part(probability) + _entropy_part(1.0 - probability)))


def expected_performance(p: ArrayLike, rng: np.random.Generator) -> Expected:
    """Return the figures that probabilities promise, under ``ASSUMPTION``.

    Estimates of share, AUC and logloss are exact; their intervals, and the ECE, come from outcomes drawn from p.

    Raises
    ------
    InputError
        Values that are no probabilities, or fewer than ``LEAST_OF_EACH`` churners or others to be expected.
    """
    probability = np.sort(_probabilities(p))
    churners, n = float(probability.sum()), len(probability)
    if not is_enough(probability):
        raise InputError(
            f"of {n} customers {churners:.1f} are expected to churn and {n - churners:.1f} not; expected figures need "
            f"{LEAST_OF_EACH:g} of each. Take more customers."
        )
    drawn = np.array(list(_drawn(probability, rng)))
    estimates = (
        float(probability.mean()), expected_auc(probability), expected_log_loss(probability), float(drawn[:, 3].mean()),
    )  # fmt: skip
    return Expected(n, *(_interval(*pair) for pair in zip(estimates, drawn.T, strict=True)))


def is_enough(churned: ArrayLike) -> bool:
    """Return whether ``LEAST_OF_EACH`` churners and others or more are among outcomes, or expected of probabilities."""
    values = np.asarray(churned, dtype=np.float64)
    return min(float(values.sum()), float((1.0 - values).sum())) >= LEAST_OF_EACH


def _drawn(p: Floats, rng: np.random.Generator) -> Iterator[tuple[float, float, float, float]]:
    """Yield share, AUC, logloss and ECE of outcomes drawn from ascending p."""
    n, rank = len(p), rankdata(p)
    tiny = float(np.finfo(np.float64).eps)
    log_p, log_stay = np.log(np.clip(p, tiny, 1.0)), np.log(np.clip(1.0 - p, tiny, 1.0))
    size = max(1, _BLOCK // n)
    for first in range(0, _DRAWS, size):
        for y in rng.random((min(size, _DRAWS - first), n)) < p:
            churners = float(y.sum())
            pairs = churners * (n - churners)
            above = float(rank @ y) - churners * (churners + 1.0) / 2.0
            # with ten of each expected, a draw of one class comes once in twenty thousand
            auc = above / pairs if pairs else 0.5
            yield (
                churners / n,
                auc,
                -float(np.where(y, log_p, log_stay).mean()),
                expected_calibration_error(y, p),
            )


def _interval(estimate: float, values: Floats) -> Interval:
    low, high = np.quantile(values, [(1.0 - _LEVEL) / 2.0, (1.0 + _LEVEL) / 2.0])
    return Interval(estimate, float(low), float(high), float(np.std(values, ddof=1)))


def _entropy_part(p: Floats) -> Floats:
    return np.where(p > 0.0, p * np.log(np.where(p > 0.0, p, 1.0)), 0.0)


def _probabilities(p: ArrayLike) -> Floats:
    found = np.asarray(p, dtype=np.float64)
    if found.ndim != 1 or not found.size or not np.all((found >= 0.0) & (found <= 1.0)):
        raise InputError(
            f"expected figures need probabilities within [0, 1], in one dimension, one or more; got shape {found.shape}, "
            f"{int(np.sum(~((found >= 0.0) & (found <= 1.0))))} of them outside."
        )
    return found
