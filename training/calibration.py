"""Platt calibration on the logit scale, and the safe logit and expit that go with it. NumPy only.

Platt (1999), Probabilistic outputs for support vector machines; with the model's logit as the score, the
identity is intercept 0 and slope 1, so "leave the model as it is" is a point of the family and the natural
centre of a prior.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError
from training.metrics import checked_outcomes

__all__ = [
    "PROBABILITY_LIMIT",
    "PlattCalibration",
    "apply",
    "expit",
    "fit_platt",
    "fit_slope",
    "logit",
    "with_mean",
]

Floats = NDArray[np.float64]

PROBABILITY_LIMIT = 1e-12

# Prior: intercept ~ Normal(0, 1), slope ~ Normal(1, 0.5), independent. Some hundred outcomes outweigh it.
_PRIOR_MEAN = np.array([0.0, 1.0])
_PRIOR_PRECISION = np.array([1.0, 4.0])
_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class PlattCalibration:
    """Calibrated logit = intercept + slope * logit. Keeps the order of customers as long as slope > 0."""

    intercept: float = 0.0
    slope: float = 1.0


def logit(probability: ArrayLike) -> Floats:
    """Log odds of probabilities (any shape), clipped to [1e-12, 1 - 1e-12], so always finite: within +-27.7.

    Raises
    ------
    InputError
        A probability outside [0, 1], or NaN.
    """
    p = np.asarray(probability, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise InputError("logit needs probabilities within [0, 1], without NaN.")
    p = np.clip(p, PROBABILITY_LIMIT, 1.0 - PROBABILITY_LIMIT)
    return np.asarray(np.log(p) - np.log1p(-p))


def expit(log_odds: ArrayLike) -> Floats:
    """1 / (1 + exp(-log_odds)), without overflow at either end; any shape."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(log_odds, dtype=np.float64))))


def apply(calibration: PlattCalibration, logits: ArrayLike) -> Floats:
    """Calibrated probabilities of logits (any shape)."""
    return expit(calibration.intercept + calibration.slope * np.asarray(logits, dtype=np.float64))


def fit_platt(logits: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> PlattCalibration:
    """Posterior mode of the logistic regression of y on the logit, by Newton's method with step halving.

    The prior is intercept ~ Normal(0, sd 1) and slope ~ Normal(1, sd 0.5), independent: without rows the
    answer is the identity, with a single class it stays finite, and with thousands of rows it is the maximum
    likelihood estimate. The log posterior is strictly concave, so there is one mode and Newton finds it.

    Parameters
    ----------
    logits
        Shape (n,), finite: the model's uncalibrated log odds of rows it was not trained on.
    y
        Shape (n,), 0 or 1.
    weights
        Shape (n,), >= 0, default 1.

    Raises
    ------
    InputError
        Other lengths or values.
    """
    score = np.asarray(logits, dtype=np.float64)
    weight = np.ones(score.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if not np.all(np.isfinite(score)):
        raise InputError(
            "calibration needs finite logits; make them with training.calibration.logit, which clips."
        )
    if weight.shape != score.shape or not np.all((weight >= 0) & np.isfinite(weight)):
        raise InputError(
            f"weights must be finite, >= 0 and of shape {score.shape}, got shape {weight.shape}."
        )
    outcome = checked_outcomes(y, score) if score.size or np.size(y) else score
    design = np.column_stack([np.ones(score.size), score])
    intercept, slope = _newton(design, outcome, weight, _PRIOR_MEAN, _PRIOR_PRECISION)
    return PlattCalibration(float(intercept), float(slope))


def fit_slope(logits: ArrayLike, y: ArrayLike, groups: ArrayLike) -> PlattCalibration:
    """Fit the one slope that groups of rows agree on, each with a level of its own; the intercept is left at 0.

    The groups are the cutoffs of forward folds, whose levels differ by season. The prior is that of ``fit_platt`` for
    the slope and for each level.

    Parameters
    ----------
    logits, y, groups
        Shape (n,): log odds, outcomes 0 or 1, group labels.
    """
    score = np.asarray(logits, dtype=np.float64)
    outcome = checked_outcomes(y, score) if score.size else score
    labels, member = np.unique(np.asarray(groups), return_inverse=True)
    design = np.column_stack([score, np.eye(len(labels))[member]]) if score.size else np.empty((0, 1))
    mean = np.append(_PRIOR_MEAN[1], np.full(design.shape[1] - 1, _PRIOR_MEAN[0]))
    precision = np.append(_PRIOR_PRECISION[1], np.full(design.shape[1] - 1, _PRIOR_PRECISION[0]))
    return PlattCalibration(0.0, float(_newton(design, outcome, np.ones(score.size), mean, precision)[0]))


def with_mean(calibration: PlattCalibration, logits: ArrayLike, mean: float) -> PlattCalibration:
    """Return the calibration with the intercept at which the mean probability of these logits is ``mean``.

    The mean rises with the intercept: bisection within +-30, beyond which nothing is left to tell apart. Without logits the
    calibration stays as it is.
    """
    score = calibration.slope * np.asarray(logits, dtype=np.float64)
    if not score.size:
        return calibration
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if float(expit(score + middle).mean()) < mean:
            low = middle
        else:
            high = middle
    return replace(calibration, intercept=(low + high) / 2.0)


def _newton(design: Floats, y: Floats, weight: Floats, mean: Floats, precision: Floats) -> Floats:
    """Posterior mode under independent normal priors, by Newton's method with step halving."""

    def loss(beta: Floats) -> float:
        score, away = design @ beta, beta - mean
        return float(weight @ (np.logaddexp(0.0, score) - y * score) + 0.5 * away @ (precision * away))

    beta = mean
    for _ in range(_STEPS):
        p = expit(design @ beta)
        gradient = design.T @ (weight * (p - y)) + precision * (beta - mean)
        curvature = (design.T * (weight * p * (1.0 - p))) @ design + np.diag(precision)
        step: Floats = np.linalg.solve(curvature, gradient).astype(np.float64)
        if float(gradient @ step) <= _TOLERANCE**2 * (1.0 + float(weight.sum())):
            break
        beta = _halved(beta, step, loss)
    return beta


def _halved(beta: Floats, step: Floats, loss: Callable[[Floats], float]) -> Floats:
    """``beta - step``, the step halved until the loss does not grow; ``beta`` if rounding leaves no gain."""
    now = loss(beta)
    for _ in range(50):
        if loss(beta - step) <= now:
            return beta - step
        step = step / 2.0
    return beta
