"""The pooled cycle model: how long until a customer buys an item again. NumPy and SciPy only.

Gap j of pair p (customer x item c) is, given that the customer comes back for the item at all,

    log gap_pj = eta_pj + u_p + s_pj e,     u_p ~ N(0, t^2),  e ~ N(0, 1)

and the customer comes back with probability ``pi_pj``: an accelerated failure time model (Kalbfleisch and Prentice 2002, The
Statistical Analysis of Failure Time Data, section 2.3) with a random effect of the pair and a cured share (Boag 1949, Journal
of the Royal Statistical Society B 11, 15-53; Farewell 1982, Biometrics 38, 1041-1046). ``eta``, ``log s`` and ``logit pi`` are
linear in what was known when the gap opened; each item has an intercept of its own, and an own exponent of the units, drawn
to the population's by normal priors whose variances are estimated (empirical Bayes, one EM step for variance components a
round; Dempster, Rubin and Tsutakawa 1981, JASA 76, 341-353).

A pair's gaps so far give u_p a normal posterior, so each gap's likelihood given those before it is closed, and that of
the open gap, which has lasted ``a`` days, is ``1 - pi + pi S(a)`` exactly: nothing is imputed, and censored gaps count for what
they say. With precision w = 1 / s^2 and residuals r,

    v = 1 / (1 / t^2 + sum w),     m = v sum w r,     log gap ~ N(eta + m, s^2 + v).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from training.replenishment.remaining import Forecast

__all__ = [
    "COVARIATES",
    "EFFECTS",
    "Cycles",
    "Observations",
    "Terms",
    "forecast",
    "log_likelihood",
    "predictors",
    "terms",
    "unpacked",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COVARIATES: Mapping[str, tuple[str, ...]] = {
    "eta": ("one", "units", "pace"),
    "spread": ("one", "pace"),
    "back": ("one", "pace", "number"),
}
"""Linear predictor -> its columns: 1, log units bought, log of the customer's days between orders, log(1 + purchases before)."""

EFFECTS = (("eta", "one"), ("eta", "units"), ("spread", "one"), ("back", "one"))
"""What differs between items: predictor and column."""

_LOG_LIMIT = 6.0


@dataclass(frozen=True, eq=False)
class Observations:
    """Gaps in the order of pair and time; length n.

    Attributes
    ----------
    log_days
        Natural logarithm of the gap, or of how long it has lasted.
    closed, first
        Whether it is over; whether it is the first of its pair.
    item
        From 0.
    columns
        Name of a covariate -> values, centred by ``Cycles.centre``.
    """

    log_days: Floats
    closed: Bools
    first: Bools
    item: Ints
    columns: Mapping[str, Floats]


@dataclass(frozen=True)
class Cycles:
    """Parameters.

    Attributes
    ----------
    population
        Predictor -> coefficients of ``COVARIATES``.
    items
        Deviations of each item, items x ``EFFECTS``.
    log_pair_sd
        log t.
    effect_sd
        Of the priors of ``EFFECTS``.
    log_likelihood
        Of what it was fitted to, without the priors.
    """

    population: Mapping[str, tuple[float, ...]]
    items: tuple[tuple[float, ...], ...]
    log_pair_sd: float
    effect_sd: tuple[float, ...]
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class Terms:
    """The model at one point; names as at the head of the file."""

    residual: Floats
    spread: Floats  # s^2
    post: Floats  # v
    sums: Floats  # sum w r
    sd: Floats
    z: Floats
    back_logit: Floats


def unpacked(theta: Floats, items: int) -> tuple[dict[str, Floats], Floats, float]:
    """Return coefficients by predictor, effects of the items (items x ``EFFECTS``), and log t."""
    place, population = 0, {}
    for name, columns in COVARIATES.items():
        population[name] = theta[place : place + len(columns)]
        place += len(columns)
    return population, theta[place:-1].reshape(items, len(EFFECTS)), float(theta[-1])


def predictors(population: Mapping[str, Floats], effects: Floats, seen: Observations) -> dict[str, Floats]:
    """Return the linear predictors of each gap."""
    found = {
        name: sum(
            (b * seen.columns[column] for b, column in zip(population[name], columns, strict=True)),
            np.zeros(seen.item.size),
        )
        for name, columns in COVARIATES.items()
    }
    for effect, (name, column) in enumerate(EFFECTS):
        found[name] = found[name] + effects[seen.item, effect] * seen.columns[column]
    found["spread"] = np.clip(found["spread"], -_LOG_LIMIT, _LOG_LIMIT)
    return found


def _before(values: Floats, first: Bools) -> Floats:
    """Sum of the earlier rows of the same pair."""
    total = np.cumsum(values) - values
    start = np.maximum.accumulate(np.where(first, np.arange(values.size), 0))
    return total - total[start]


def _after(values: Floats, first: Bools) -> Floats:
    """Sum of the later rows of the same pair."""
    last = np.append(first[1:], [True])
    return _before(values[::-1], last[::-1])[::-1]


def terms(predicted: Mapping[str, Floats], log_pair_sd: float, seen: Observations) -> Terms:
    """Return the model of each gap given the earlier ones of its pair."""
    spread = np.exp(2.0 * predicted["spread"])
    residual = seen.log_days - predicted["eta"]
    weight = np.where(seen.closed, 1.0 / spread, 0.0)
    post = 1.0 / (np.exp(-2.0 * log_pair_sd) + np.maximum(_before(weight, seen.first), 0.0))
    sums = _before(weight * residual, seen.first)
    sd = np.sqrt(spread + post)
    return Terms(residual, spread, post, sums, sd, (residual - post * sums) / sd, predicted["back"])


def log_likelihood(theta: Floats, items: int, seen: Observations) -> tuple[float, Floats]:
    """Return the log likelihood of all gaps, and its gradient in ``theta``.

    Parameters
    ----------
    theta
        Coefficients of ``COVARIATES`` in their order, effects of the items row by row, log t.
    items
        Number of items.
    """
    population, effects, log_pair_sd = unpacked(theta, items)
    at = terms(predictors(population, effects, seen), log_pair_sd, seen)
    back = 1.0 / (1.0 + np.exp(-at.back_logit))
    log_back, log_gone = -np.logaddexp(0.0, -at.back_logit), -np.logaddexp(0.0, at.back_logit)
    lasting = np.logaddexp(log_gone, log_back + log_ndtr(-at.z))
    closed = log_back - 0.5 * at.z**2 - np.log(at.sd) - 0.5 * np.log(2.0 * np.pi)
    value = float(np.where(seen.closed, closed, lasting).sum())
    # of an open gap: pi phi / (1 - pi + pi S)
    push = np.exp(log_back - 0.5 * at.z**2 - 0.5 * np.log(2.0 * np.pi) - lasting)
    by_mean = np.where(seen.closed, at.z, push) / at.sd
    by_variance = np.where(seen.closed, 0.5 * (at.z**2 - 1.0), 0.5 * at.z * push) / at.sd**2
    by_logit = np.where(seen.closed, 1.0 - back, back * (np.exp(log_ndtr(-at.z) - lasting) - 1.0))
    by_eta, by_spread, by_pair = _through(at, by_mean, by_variance, log_pair_sd, seen)
    return value, _gradient({"eta": by_eta, "spread": by_spread, "back": by_logit}, by_pair, items, seen)


def _through(
    at: Terms, by_mean: Floats, by_variance: Floats, log_pair_sd: float, seen: Observations
) -> tuple[Floats, Floats, float]:
    """Carry the derivatives in mean and variance back to eta, log s and log t, through the later gaps of the pair."""
    by_post = by_mean * at.sums + by_variance
    later_sums = _after(by_mean * at.post, seen.first)
    later_weight = _after(-by_post * at.post**2, seen.first)
    weight = np.where(seen.closed, 1.0 / at.spread, 0.0)
    by_eta = by_mean - later_sums * weight
    by_spread = 2.0 * by_variance * at.spread - 2.0 * weight * (later_sums * at.residual + later_weight)
    by_pair = float((by_post * 2.0 * at.post**2).sum() * np.exp(-2.0 * log_pair_sd))
    return by_eta, by_spread, by_pair


def _gradient(by: Mapping[str, Floats], by_pair: float, items: int, seen: Observations) -> Floats:
    parts = [
        np.array([by[name] @ seen.columns[column] for column in columns])
        for name, columns in COVARIATES.items()
    ]
    effects = np.column_stack(
        [np.bincount(seen.item, by[name] * seen.columns[column], items) for name, column in EFFECTS]
    )
    return np.concatenate([*parts, effects.ravel(), [by_pair]])


def forecast(cycles: Cycles, seen: Observations) -> Forecast:
    """Return what is known of the last gap of each pair, given the closed ones before it.

    Parameters
    ----------
    seen
        All gaps of each pair, the last of them, and it alone, open; an item of -1 is unknown to the model and like the population.

    Notes
    -----
    A pair's figures are made of its own rows alone, so they are the same bits whoever else is asked about.
    """
    population = {name: np.array(values) for name, values in cycles.population.items()}
    effects = np.array([*cycles.items, (0.0,) * len(EFFECTS)])
    predicted = predictors(population, effects, seen)
    spread = np.exp(2.0 * predicted["spread"])
    weight = np.where(seen.closed, 1.0 / spread, 0.0)
    starts, last = np.flatnonzero(seen.first), ~seen.closed
    precision = np.exp(-2.0 * cycles.log_pair_sd) + _by_pair(weight, starts)
    pull = _by_pair(weight * (seen.log_days - predicted["eta"]), starts) / precision
    return Forecast(
        predicted["eta"][last] + pull,
        np.sqrt(spread[last] + 1.0 / precision),
        1.0 / (1.0 + np.exp(-predicted["back"][last])),
    )


def _by_pair(values: Floats, starts: Ints) -> Floats:
    return np.asarray(np.add.reduceat(values, starts)) if starts.size else np.zeros(0)
