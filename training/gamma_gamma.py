"""Gamma-Gamma: what a customer spends on a purchase day, in three parameters.

A customer's purchase days are gamma with shape p and a rate of the customer's own, itself gamma with shape q and
rate gamma. Of who was seen on x days with the mean m:

    L = Gamma(p x + q) / (Gamma(p x) Gamma(q))  gamma^q  m^(p x - 1) x^(p x) / (gamma + x m)^(p x + q)

and the expected mean is a weighted one of the customer's own and everybody's,

    E(mean | x, m) = p (gamma + x m) / (p x + q - 1)        (p gamma / (q - 1) of who was never seen).

It is assumed that **how much does not depend on how often**; where both go together the model is biased, so look at
``frequency_spend_correlation`` first.

Source: Fader and Hardie (2013), The Gamma-Gamma Model of Monetary Value, brucehardie.com/notes/025; Fader, Hardie
and Lee (2005), RFM and CLV, Journal of Marketing Research 42, 415-430.
"""

from dataclasses import astuple, dataclass

import numpy as np
import scipy  # loads its parts on first use
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError, TooLittleHistory

__all__ = [
    "MINIMUM_SPENDERS",
    "GammaGamma",
    "expected_mean_spend",
    "fit_gamma_gamma",
    "frequency_spend_correlation",
    "log_likelihood",
]

Floats = NDArray[np.float64]

MINIMUM_SPENDERS = 30

# Normal prior on log p, log (q - 1) and log (gamma / mean), around the start: holds what nothing else does.
_PRIOR_SD = 3.0
_LOG_RANGE = 9.0
_SEARCH = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}
_STARTS = np.log([[2.0, 2.0, 1.0], [8.0, 1.0, 0.2]])


@dataclass(frozen=True)
class GammaGamma:
    """The three parameters: p > 0, q > 1 (without which there is no mean), gamma > 0 in units of money."""

    p: float
    q: float
    gamma: float

    def __post_init__(self) -> None:
        if not (all(np.isfinite(value) and value > 0 for value in astuple(self)) and self.q > 1.0):
            raise InputError(
                f"{self}: all must be finite, p and gamma above 0, q above 1. Fit the model again."
            )

    @property
    def population_mean(self) -> float:
        """Mean over customers of the mean spend of a purchase day."""
        return self.p * self.gamma / (self.q - 1.0)


def fit_gamma_gamma(purchase_days: ArrayLike, mean_spend: ArrayLike) -> GammaGamma:
    """Maximum likelihood over q > 1, held by a weak prior on the logarithms (see ``_PRIOR_SD``).

    L-BFGS-B with the analytic gradient; amounts are scaled by their mean, so the currency does not matter.

    Parameters
    ----------
    purchase_days
        Shape (n,), >= 1: days that the mean was taken over. The literature takes repeat purchases only.
    mean_spend
        Shape (n,), > 0: a mean of 0 is not of this model (gifts, samples): leave such customers out.

    Raises
    ------
    TooLittleHistory
        Fewer than ``MINIMUM_SPENDERS`` customers, all means alike, or no convergence.
    InputError
        Other values, or lengths that differ.
    """
    x, mean = _checked(purchase_days, mean_spend)
    if (x < 1).any() or (mean <= 0).any():
        raise InputError(
            f"Gamma-Gamma is fitted to customers with a purchase day or more and a mean above 0, got "
            f"{int(((x < 1) | (mean <= 0)).sum())} others of {x.size}: leave them out."
        )
    if x.size < MINIMUM_SPENDERS or np.ptp(mean) == 0.0:
        raise TooLittleHistory(
            f"Gamma-Gamma needs {MINIMUM_SPENDERS} customers whose mean spend differs, got {x.size}"
            f"{' that are all alike' if x.size else ''}. Fit on a longer history."
        )
    unit = float(mean.mean())
    for start in _STARTS:
        found = scipy.optimize.minimize(
            _penalised, start, (x, mean / unit), "L-BFGS-B", jac=True,
            bounds=[(at - _LOG_RANGE, at + _LOG_RANGE) for at in start], options=_SEARCH,
        )  # fmt: skip
        if found.success:
            p, above_one, gamma = np.exp(found.x).tolist()
            return GammaGamma(p, 1.0 + above_one, gamma * unit)
    raise TooLittleHistory(
        f"Gamma-Gamma did not converge on {x.size} customers ({found.message}). Look at the mean spends."
    )


def log_likelihood(model: GammaGamma, purchase_days: ArrayLike, mean_spend: ArrayLike) -> float:
    """Log-likelihood of all means together (natural, without the prior); shapes as in ``fit_gamma_gamma``."""
    x, mean = _checked(purchase_days, mean_spend)
    return _log_likelihood_and_gradient(np.array(astuple(model)), x, mean)[0]


def expected_mean_spend(model: GammaGamma, purchase_days: ArrayLike, mean_spend: ArrayLike) -> Floats:
    """Return the expected spend of a further purchase day.

    Parameters
    ----------
    purchase_days
        Days that the mean was taken over, >= 0; any shape.
    mean_spend
        >= 0; not looked at, and may be NaN, where there are no days.
    """
    days = np.asarray(purchase_days, dtype=np.float64)
    x, mean = _checked(days, np.where(days == 0, 0.0, np.asarray(mean_spend, dtype=np.float64)))
    return np.asarray(model.p * (model.gamma + x * mean) / (model.p * x + model.q - 1.0))


def frequency_spend_correlation(purchase_days: ArrayLike, mean_spend: ArrayLike) -> float:
    """Pearson's correlation of how often with how much: 0 under the model, whatever its parameters (CDNOW: .11).

    Of the values themselves: the logarithm of a mean rises with what it is taken over, so logarithms would correlate.

    Raises
    ------
    InputError
        Values as of ``fit_gamma_gamma``, or all customers alike in one of both.
    """
    x, mean = _checked(purchase_days, mean_spend)
    if (x < 1).any() or (mean <= 0).any() or x.size < 2 or np.ptp(x) == 0.0 or np.ptp(mean) == 0.0:
        raise InputError(
            f"the correlation needs two customers or more with purchase days and means above 0 that differ, got {x.size}."
        )
    return float(np.corrcoef(x, mean)[0, 1])


def _penalised(logs: Floats, x: Floats, mean: Floats) -> tuple[float, Floats]:
    """Negative log posterior and its gradient, per customer, in log p, log (q - 1) and log gamma."""
    p, above_one, gamma = np.exp(logs)
    value, gradient = _log_likelihood_and_gradient(np.array([p, 1.0 + above_one, gamma]), x, mean)
    away = (logs - _STARTS[0]) / _PRIOR_SD
    slope = gradient * np.array([p, above_one, gamma])
    return (0.5 * float(away @ away) - value) / x.size, (away / _PRIOR_SD - slope) / x.size


def _log_likelihood_and_gradient(parameters: Floats, x: Floats, mean: Floats) -> tuple[float, Floats]:
    """Log-likelihood and its gradient in p, q and gamma."""
    p, q, gamma = parameters
    gammaln, digamma = scipy.special.gammaln, scipy.special.digamma
    shape, log_sum = p * x, np.log(gamma + x * mean)
    value = (gammaln(shape + q) - gammaln(shape)).sum() + x.size * (q * np.log(gamma) - gammaln(q))
    value += (shape * np.log(x * mean) - np.log(mean) - (shape + q) * log_sum).sum()
    after = digamma(shape + q)
    d_p = float((x * (after - digamma(shape) + np.log(x * mean) - log_sum)).sum())
    d_q = float((after - log_sum).sum()) + x.size * float(np.log(gamma) - digamma(q))
    d_gamma = x.size * q / gamma - float(((shape + q) / (gamma + x * mean)).sum())
    return float(value), np.array([d_p, d_q, d_gamma])


def _checked(purchase_days: ArrayLike, mean_spend: ArrayLike) -> tuple[Floats, Floats]:
    x, mean = np.asarray(purchase_days, dtype=np.float64), np.asarray(mean_spend, dtype=np.float64)
    if x.shape != mean.shape:
        raise InputError(
            f"purchase days and mean spend need one entry a customer, got {x.shape} and {mean.shape}."
        )
    possible = (x >= 0) & (x == np.floor(x)) & np.isfinite(x) & (mean >= 0) & np.isfinite(mean)
    if not possible.all():
        at = int(np.flatnonzero(~possible)[0])
        raise InputError(
            f"customer {at} is impossible: {x.flat[at]:g} purchase days with a mean spend of {mean.flat[at]:g}; "
            "days must be whole, both finite and >= 0."
        )
    return x, mean
