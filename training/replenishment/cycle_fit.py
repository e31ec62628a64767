"""The fit of the pooled cycle model: penalised likelihood, and priors as wide as the items differ. NumPy and SciPy only."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from training.replenishment.cycles import (
    COVARIATES,
    EFFECTS,
    Cycles,
    Observations,
    log_likelihood,
    predictors,
    terms,
    unpacked,
)

__all__ = ["PAIR_LIMITS", "ROUNDS", "STEPS", "fit_cycles"]

Floats = NDArray[np.float64]

_WIDTH = sum(len(columns) for columns in COVARIATES.values())
ROUNDS, STEPS = 3, 150
PAIR_LIMITS = (np.log(0.1), np.log(3.0))
"""Of log t: no two customers are taken to be alike, so that the own gaps of a customer unlike all others are heard."""

_START_SD = (0.5, 0.2, 0.2, 0.5)


def fit_cycles(seen: Observations, items: int) -> Cycles:
    """Fit by penalised maximum likelihood (L-BFGS), the priors' variances by empirical Bayes.

    Parameters
    ----------
    seen
        At least one closed gap.
    items
        Number of items.
    """
    theta, sd = _start(seen, items), np.array(_START_SD)
    for _ in range(ROUNDS):
        theta = _climbed(theta, items, seen, sd)
        sd = _effect_sd(theta, items, seen, sd)
    population, effects, log_pair_sd = unpacked(theta, items)
    return Cycles(
        {name: tuple(values.tolist()) for name, values in population.items()},
        tuple(tuple(row) for row in effects.tolist()),
        log_pair_sd,
        tuple(sd.tolist()),
        log_likelihood(theta, items, seen)[0],
    )


def _climbed(theta: Floats, items: int, seen: Observations, sd: Floats) -> Floats:
    """Maximise likelihood times priors; effects in units of their priors' standard deviations, which L-BFGS likes."""
    scale = np.ones(theta.size)
    scale[_WIDTH:-1] = np.tile(sd, items)

    def lost(at: Floats) -> tuple[float, Floats]:
        value, gradient = log_likelihood(at * scale, items, seen)
        gradient = gradient * scale
        gradient[_WIDTH:-1] -= at[_WIDTH:-1]
        return (0.5 * float((at[_WIDTH:-1] ** 2).sum()) - value) / seen.item.size, -gradient / seen.item.size

    free = [(None, None)] * (theta.size - 1)
    found = minimize(
        lost, theta / scale, jac=True, method="L-BFGS-B", bounds=[*free, PAIR_LIMITS],
        options={"maxiter": STEPS, "ftol": 1e-8},
    )  # fmt: skip
    return np.asarray(found.x * scale)


def _start(seen: Observations, items: int) -> Floats:
    """The closed gaps' mean and spread, half of it between the pairs; nothing differs between items."""
    days = seen.log_days[seen.closed]
    share = seen.closed.mean()
    spread = max(float(days.std()), 0.1)
    first = {
        "eta": float(days.mean()),
        "spread": np.log(0.7 * spread),
        "back": np.log((share + 0.1) / (1.1 - share)),
    }
    parts = [np.append([first[name]], np.zeros(len(columns) - 1)) for name, columns in COVARIATES.items()]
    return np.concatenate([*parts, np.zeros(items * len(EFFECTS)), [np.log(max(0.5 * spread, 0.1))]])


def _effect_sd(theta: Floats, items: int, seen: Observations, sd: Floats) -> Floats:
    """EM step for the priors' standard deviations: mean square of each effect plus its posterior variance, about."""
    population, effects, log_pair_sd = unpacked(theta, items)
    at = terms(predictors(population, effects, seen), log_pair_sd, seen)
    back = 1.0 / (1.0 + np.exp(-at.back_logit))
    told = {"eta": seen.closed / at.sd**2, "spread": 2.0 * seen.closed, "back": back * (1.0 - back)}
    found = []
    for effect, (name, column) in enumerate(EFFECTS):
        information = np.bincount(seen.item, told[name] * seen.columns[column] ** 2, items)
        variance = np.mean(effects[:, effect] ** 2 + 1.0 / (1.0 / sd[effect] ** 2 + information))
        found.append(float(np.sqrt(variance)))
    return np.maximum(found, 0.02)
