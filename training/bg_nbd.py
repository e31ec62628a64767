"""BG/NBD: the best known buy-till-you-die model, for comparison. Patron's own baseline is MBG/NBD (training/baselines.py).

While alive a customer buys as a Poisson process with rate lambda ~ Gamma(r, rate alpha). After every **repeat**
purchase, unlike MBG/NBD not after the first one, the customer drops out for good with probability p ~ Beta(a, b).
Who never came back is thus alive for certain, however long ago it was:

    L(lambda, p) = lambda^x (1-p)^x exp(-lambda T) + 1{x > 0} lambda^x p (1-p)^(x-1) exp(-lambda t_x)

Integrated over lambda and p, with B the beta function:

    L = Gamma(r+x)/Gamma(r) alpha^r  B(a, b+x)/B(a, b)  (alpha+T)^-(r+x)  (1 + 1{x > 0} exp(u))
    u = log a - log(b+x-1) + (r+x) log((alpha+T)/(alpha+t_x))      (the log odds of having dropped out)

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2), 275-284.
Frequency x, recency t_x and age T are those of training/baselines.py, in weeks.
"""

from dataclasses import astuple, dataclass

import numpy as np
import scipy  # loads its parts on first use: a process that only predicts never loads scipy.optimize
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError
from training.baselines import Histories, checked_history, checked_horizon, histories_of, maximise
from training.calibration import expit

__all__ = [
    "BGNBD",
    "expected_purchases",
    "fit_bg_nbd",
    "log_likelihood",
    "probability_alive",
    "probability_no_purchase",
]

Floats = NDArray[np.float64]

# Where a - 1 or a + b + x - 1 is nearer to zero than this, the formula's removable poles cost more digits than
# moving away from them does.
_POLE = 1e-6


@dataclass(frozen=True)
class BGNBD:
    """The four parameters, all > 0, time in weeks. ``dataclasses.asdict`` and ``BGNBD(**d)`` go to and fro.

    Purchase rates are gamma with shape r and rate alpha; dropout probabilities are beta with a and b, one coin
    after each repeat purchase.
    """

    r: float
    alpha: float
    a: float
    b: float

    def __post_init__(self) -> None:
        if not all(np.isfinite(value) and value > 0 for value in astuple(self)):
            raise InputError(f"{self}: all four parameters must be finite and above 0. Fit the model again.")


def fit_bg_nbd(
    frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike, weights: ArrayLike | None = None
) -> BGNBD:
    """Maximum likelihood with the weak prior, the search and the errors of ``training.baselines.fit_mbg_nbd``.

    Parameters
    ----------
    frequency, recency_weeks, age_weeks, weights
        As of ``fit_mbg_nbd``: shape (n,), one entry a customer.

    Raises
    ------
    TooLittleHistory
        Fewer than ``training.baselines.MINIMUM_CUSTOMERS`` customers, no repeat purchase, or no convergence.
    InputError
        An impossible history, or arrays of different lengths.
    """
    histories = histories_of(frequency, recency_weeks, age_weeks, weights)
    return BGNBD(*maximise(_log_likelihood_and_gradient, histories, "BG/NBD"))


def log_likelihood(
    model: BGNBD, frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike
) -> float:
    """Log-likelihood of all histories together (natural, without the prior); shapes as in ``fit_bg_nbd``."""
    histories = histories_of(frequency, recency_weeks, age_weeks, None)
    return _log_likelihood_and_gradient(np.log(astuple(model)), histories)[0]


def probability_alive(
    model: BGNBD, frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike
) -> Floats:
    """Probability that the customer has not dropped out by T: 1 / (1 + exp(u)); 1 for who never came back.

    The arguments may have any shapes that broadcast; the result has the broadcast shape.
    """
    x, recency, age = checked_history(frequency, recency_weeks, age_weeks)
    log_ratio = np.log(model.alpha + age) - np.log(model.alpha + recency)
    repeats = np.maximum(x, 1.0)
    alive = expit(np.log(model.b + repeats - 1.0) - np.log(model.a) - (model.r + x) * log_ratio)
    return np.where(x > 0, alive, 1.0)


def probability_no_purchase(
    model: BGNBD,
    frequency: ArrayLike,
    recency_weeks: ArrayLike,
    age_weeks: ArrayLike,
    horizon_weeks: ArrayLike,
) -> Floats:
    """Probability of no purchase in the ``horizon_weeks`` after T, as of ``training.baselines``.

    Alive and with this history, lambda is Gamma(r+x, alpha+T) and the wait for the next purchase exponential:
    1 - P(alive) (1 - ((alpha+T)/(alpha+T+h))^(r+x)). The arguments may have any shapes that broadcast.
    """
    x, _, age = checked_history(frequency, recency_weeks, age_weeks)
    horizon = checked_horizon(horizon_weeks)
    any_if_alive = -np.expm1(-(model.r + x) * np.log1p(horizon / (model.alpha + age)))
    return np.asarray(1.0 - probability_alive(model, frequency, recency_weeks, age_weeks) * any_if_alive)


def expected_purchases(
    model: BGNBD,
    frequency: ArrayLike,
    recency_weeks: ArrayLike,
    age_weeks: ArrayLike,
    horizon_weeks: ArrayLike,
) -> Floats:
    """Expected purchase days in the ``horizon_weeks`` after T (Fader, Hardie and Lee 2005, equation 10).

    With z = h/(alpha+T+h), and after Euler's transformation, which keeps every factor moderate:

        P(alive) (a+b+x-1)/(a-1) [1 - (1-z)^(a-1) 2F1(a+b-r-1, a-1; a+b+x-1; z)]

    The arguments may have any shapes that broadcast; the horizon is >= 0. Loads scipy.special on first use.
    """
    x, _, age = checked_history(frequency, recency_weeks, age_weeks)
    horizon = checked_horizon(horizon_weeks)
    a = model.a if abs(model.a - 1.0) > _POLE else 1.0 + _POLE
    total = a + model.b + x - 1.0
    total = np.where(np.abs(total) > _POLE, total, _POLE)
    elapsed = model.alpha + age
    series = scipy.special.hyp2f1(total - x - model.r, a - 1.0, total, horizon / (elapsed + horizon))
    bracket = 1.0 - np.exp((1.0 - a) * np.log1p(horizon / elapsed)) * series
    alive = probability_alive(model, frequency, recency_weeks, age_weeks)
    return np.asarray(alive * total / (a - 1.0) * bracket)


def _log_likelihood_and_gradient(log_parameters: Floats, histories: Histories) -> tuple[float, Floats]:
    """Log-likelihood and its gradient in the log parameters; gamma and beta functions as sums over k < x."""
    r, alpha, a, b = np.exp(log_parameters)
    bought = histories.at_least[1:]
    k = np.arange(len(bought))
    x, back = histories.frequency, histories.frequency > 0
    shape, flips = r + x, b + np.maximum(x, 1.0) - 1.0
    log_age, log_recency = np.log(alpha + histories.age), np.log(alpha + histories.recency)
    log_odds = np.log(a) - np.log(flips) + shape * (log_age - log_recency)
    log_gone = np.where(back, np.logaddexp(0.0, log_odds), 0.0)
    gone = histories.weight * -np.expm1(-log_gone)

    value = bought @ (np.log(r + k) + np.log(b + k) - np.log(a + b + k))
    value += histories.customers * r * np.log(alpha) + histories.weight @ (log_gone - shape * log_age)

    by_age, by_recency = shape / (alpha + histories.age), shape / (alpha + histories.recency)
    d_r = bought @ (1 / (r + k)) + histories.customers * np.log(alpha)
    d_r += gone @ (log_age - log_recency) - histories.weight @ log_age
    d_alpha = histories.customers * r / alpha - histories.weight @ by_age + gone @ (by_age - by_recency)
    d_a = gone.sum() / a - bought @ (1 / (a + b + k))
    d_b = bought @ (1 / (b + k) - 1 / (a + b + k)) - gone @ (1 / flips)
    return float(value), np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])
