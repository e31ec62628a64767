"""MBG/NBD: when customers buy and when they stop, in four parameters. The baseline a churn model has to beat.

While alive a customer buys as a Poisson process with rate lambda ~ Gamma(r, rate alpha). After every
purchase, **the first one included**, the customer drops out for good with probability p ~ Beta(a, b). So who
has x repeat purchases, the last at t_x, and is seen until T, has survived x coins and then either survived
one more and bought nothing until T, or dropped out at t_x:

    L(lambda, p) = lambda^x (1-p)^x [ (1-p) exp(-lambda T) + p exp(-lambda t_x) ]

Integrated over lambda and p, with B the beta function:

    L = Gamma(r+x)/Gamma(r) alpha^r  B(a, b+x+1)/B(a, b)  (alpha+T)^-(r+x)  (1 + exp(u))
    u = log a - log(b+x) + (r+x) log((alpha+T)/(alpha+t_x))        (the log odds of having dropped out)

Sources: Batislam, Denizel and Filiztekin (2007), International Journal of Research in Marketing 24(3),
201-209; Hoppe and Wagner (2007), Marketing - Journal of Research and Management 3(2), 75-90.

A history is frequency x (days with a purchase after the first such day), recency t_x (weeks from the first
purchase to the last, 0 when x = 0) and age T (weeks from the first purchase to the cutoff).
"""

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass

import numpy as np
import scipy  # loads its parts on first use: a process that only predicts never loads scipy.optimize
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError, TooLittleHistory
from training.calibration import expit

__all__ = [
    "MBGNBD",
    "MINIMUM_CUSTOMERS",
    "Histories",
    "checked_history",
    "checked_horizon",
    "expected_purchases",
    "fit_mbg_nbd",
    "histories_of",
    "log_likelihood",
    "maximise",
    "probability_alive",
    "probability_no_purchase",
]

Floats = NDArray[np.float64]

MINIMUM_CUSTOMERS = 30

# Log parameters have a normal prior around the start with this standard deviation: a factor of 400 either way
# within two. It moves a fit of a thousand customers by a small part of its standard error, and holds a
# parameter that nothing else does.
_PRIOR_SD = 3.0
_LOG_RANGE = 9.0
_SEARCH = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}


@dataclass(frozen=True)
class MBGNBD:
    """The four parameters, all > 0, time in weeks. ``dataclasses.asdict`` and ``MBGNBD(**d)`` go to and fro.

    Purchase rates are gamma with shape r and rate alpha: r / alpha a week in the mean. Dropout probabilities
    are beta with a and b: a / (a + b) a purchase in the mean.
    """

    r: float
    alpha: float
    a: float
    b: float

    def __post_init__(self) -> None:
        if not all(np.isfinite(value) and value > 0 for value in astuple(self)):
            raise InputError(f"{self}: all four parameters must be finite and above 0. Fit the model again.")


@dataclass(frozen=True, eq=False)
class Histories:
    """Distinct histories, how many customers have each, and ``at_least[k]``: how many have x >= k."""

    frequency: Floats
    recency: Floats
    age: Floats
    weight: Floats
    at_least: Floats
    customers: float


Likelihood = Callable[[Floats, Histories], tuple[float, Floats]]


def fit_mbg_nbd(
    frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike, weights: ArrayLike | None = None
) -> MBGNBD:
    """Maximum likelihood, held by a weak prior on the logarithms of the parameters (see ``_PRIOR_SD``).

    Equal histories are counted once, so row order does not matter and day-grained data is cheap. L-BFGS-B on
    the log parameters with the analytic gradient; a second start if the first does not converge.

    Parameters
    ----------
    frequency, recency_weeks, age_weeks
        Shape (n,), one entry a customer: x, t_x and T of the module's docstring.
    weights
        Shape (n,), >= 0: how many customers each row stands for. Default 1.

    Raises
    ------
    TooLittleHistory
        Fewer than ``MINIMUM_CUSTOMERS`` customers, no repeat purchase, or neither start converges.
    InputError
        An impossible history, or arrays of different lengths.
    """
    histories = histories_of(frequency, recency_weeks, age_weeks, weights)
    return MBGNBD(*maximise(_log_likelihood_and_gradient, histories, "MBG/NBD"))


def maximise(likelihood: Likelihood, histories: Histories, name: str) -> list[float]:
    """Return the four parameters at the mode of a likelihood and the weak prior.

    Parameters
    ----------
    likelihood
        Log parameters and histories -> log-likelihood and its gradient in them.
    name
        Of the model, for messages.

    Raises
    ------
    TooLittleHistory
        As of ``fit_mbg_nbd``.
    """
    _check_evidence(histories, name)
    starts = _starts(histories)
    bounds = [(centre - _LOG_RANGE, centre + _LOG_RANGE) for centre in starts[0]]

    def penalised(log_parameters: Floats) -> tuple[float, Floats]:
        """Negative log posterior and its gradient, per customer: tolerances must not depend on their number."""
        value, gradient = likelihood(log_parameters, histories)
        away = (log_parameters - starts[0]) / _PRIOR_SD
        penalty = 0.5 * float(away @ away)
        return (penalty - value) / histories.customers, (away / _PRIOR_SD - gradient) / histories.customers

    for start in starts:
        found = scipy.optimize.minimize(
            penalised, start, method="L-BFGS-B", jac=True, bounds=bounds, options=_SEARCH
        )
        if found.success:
            return list(np.exp(found.x).tolist())
    raise TooLittleHistory(
        f"{name} did not converge on {histories.customers:g} customers from {len(starts)} starts "
        f"({found.message}). Check recency and age (both in weeks), or fit on a longer history."
    )


def log_likelihood(
    model: MBGNBD, frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike
) -> float:
    """Log-likelihood of all histories together (natural, without the prior); shapes as in ``fit_mbg_nbd``."""
    histories = histories_of(frequency, recency_weeks, age_weeks, None)
    return _log_likelihood_and_gradient(np.log(astuple(model)), histories)[0]


def probability_alive(
    model: MBGNBD, frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike
) -> Floats:
    """Probability that the customer has not dropped out by T: 1 / (1 + exp(u)), u of the module's docstring.

    The arguments may have any shapes that broadcast; the result has the broadcast shape. Not the probability
    of a further purchase within some horizon: for that see ``probability_no_purchase``.
    """
    x, recency, age = checked_history(frequency, recency_weeks, age_weeks)
    log_ratio = np.log(model.alpha + age) - np.log(model.alpha + recency)
    return expit(np.log(model.b + x) - np.log(model.a) - (model.r + x) * log_ratio)


def probability_no_purchase(
    model: MBGNBD,
    frequency: ArrayLike,
    recency_weeks: ArrayLike,
    age_weeks: ArrayLike,
    horizon_weeks: ArrayLike,
) -> Floats:
    """Probability of no purchase in the ``horizon_weeks`` after T.

    Alive and with this history, lambda is Gamma(r+x, alpha+T): times its prior, the alive branch of the
    likelihood is proportional to lambda^(r+x-1) exp(-lambda (alpha+T)). The next coin falls only after the
    next purchase, so the wait for it is exponential, and P(none | alive) = E exp(-lambda h) =
    ((alpha+T)/(alpha+T+h))^(r+x). Who dropped out buys nothing:

        P(none) = 1 - P(alive) (1 - ((alpha+T)/(alpha+T+h))^(r+x))

    The arguments may have any shapes that broadcast (one horizon, or one each); the horizon is >= 0.
    """
    x, _, age = checked_history(frequency, recency_weeks, age_weeks)
    horizon = checked_horizon(horizon_weeks)
    any_if_alive = -np.expm1(-(model.r + x) * np.log1p(horizon / (model.alpha + age)))
    return np.asarray(1.0 - probability_alive(model, frequency, recency_weeks, age_weeks) * any_if_alive)


def expected_purchases(
    model: MBGNBD,
    frequency: ArrayLike,
    recency_weeks: ArrayLike,
    age_weeks: ArrayLike,
    horizon_weeks: ArrayLike,
) -> Floats:
    """Expected purchase days in the ``horizon_weeks`` after T. Shapes as in ``probability_no_purchase``.

    Alive, purchases come at the rate lambda exp(-lambda p t): (1 - exp(-lambda p h)) / p are expected. Over
    lambda ~ Gamma(r+x, alpha+T) and p ~ Beta(a, b+x+1), with z = h/(alpha+T+h) and after Euler's
    transformation, which keeps every factor moderate however large x is, that is

        P(alive) (a+b+x)/(a-1) [1 - (1-z)^(a-1) 2F1(a+b-r, a-1; a+b+x; z)]

    The pole at a = 1 is removable. Loads scipy.special on first use, unlike the probabilities.
    """
    x, _, age = checked_history(frequency, recency_weeks, age_weeks)
    horizon = checked_horizon(horizon_weeks)
    # Nearer to the pole, cancellation would cost more digits than moving away from it does.
    a = model.a if abs(model.a - 1.0) > 1e-6 else 1.0 + 1e-6
    total = a + model.b + x
    elapsed = model.alpha + age
    series = scipy.special.hyp2f1(a + model.b - model.r, a - 1.0, total, horizon / (elapsed + horizon))
    bracket = 1.0 - np.exp((1.0 - a) * np.log1p(horizon / elapsed)) * series
    alive = probability_alive(model, frequency, recency_weeks, age_weeks)
    return np.asarray(alive * total / (a - 1.0) * bracket)


def _log_likelihood_and_gradient(log_parameters: Floats, histories: Histories) -> tuple[float, Floats]:
    """Log-likelihood and its gradient in the log parameters.

    Gamma and beta functions differ by whole steps only: log Gamma(r+x)/Gamma(r) is the sum of log(r+k) over
    k < x. Summed over customers, log(r+k) counts once for each customer with x > k: O(max x).
    """
    r, alpha, a, b = np.exp(log_parameters)
    k = np.arange(len(histories.at_least))
    bought, flipped = histories.at_least[1:], histories.at_least
    shape = r + histories.frequency
    log_age, log_recency = np.log(alpha + histories.age), np.log(alpha + histories.recency)
    log_odds = np.log(a) - np.log(b + histories.frequency) + shape * (log_age - log_recency)
    log_gone = np.logaddexp(0.0, log_odds)
    gone = histories.weight * -np.expm1(-log_gone)

    value = bought @ np.log(r + k[:-1]) + flipped @ (np.log(b + k) - np.log(a + b + k))
    value += histories.customers * r * np.log(alpha) + histories.weight @ (log_gone - shape * log_age)

    by_age, by_recency = shape / (alpha + histories.age), shape / (alpha + histories.recency)
    d_r = bought @ (1 / (r + k[:-1])) + histories.customers * np.log(alpha)
    d_r += gone @ (log_age - log_recency) - histories.weight @ log_age
    d_alpha = histories.customers * r / alpha - histories.weight @ by_age + gone @ (by_age - by_recency)
    d_a = gone.sum() / a - flipped @ (1 / (a + b + k))
    d_b = flipped @ (1 / (b + k) - 1 / (a + b + k)) - gone @ (1 / (b + histories.frequency))
    return float(value), np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])


def _starts(histories: Histories) -> tuple[Floats, Floats]:
    """Log parameters to start from: the observed purchase rate, a third or a tenth dropping out each time."""
    age_of_one = float(histories.weight @ histories.age) / float(histories.weight @ histories.frequency)
    return np.log([0.5, 0.5 * age_of_one, 1.0, 2.0]), np.log([2.0, 2.0 * age_of_one, 0.2, 1.8])


def histories_of(
    frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike, weights: ArrayLike | None
) -> Histories:
    """Return distinct histories; parameters and errors as of ``fit_mbg_nbd``."""
    columns = [np.atleast_1d(column) for column in checked_history(frequency, recency_weeks, age_weeks)]
    weight = np.ones(len(columns[0])) if weights is None else np.asarray(weights, dtype=np.float64)
    lengths = [column.shape for column in (*columns, weight)]
    if len(set(lengths)) != 1 or len(lengths[0]) != 1 or not np.all((weight >= 0) & np.isfinite(weight)):
        raise InputError(
            f"frequency, recency, age and weights need one entry a customer, got shapes {lengths}; "
            f"weights must be finite and >= 0, got {weight.min(initial=0):g} to {weight.max(initial=0):g}."
        )
    present = weight > 0
    x, recency, age, weight = _collapsed(*(column[present] for column in (*columns, weight)))
    counts = np.bincount(x.astype(np.int64), weights=weight, minlength=1).astype(np.float64)
    at_least = np.cumsum(counts[::-1])[::-1]
    return Histories(x, recency, age, weight, at_least, customers=float(at_least[0]))


def _collapsed(x: Floats, recency: Floats, age: Floats, weight: Floats) -> Iterator[Floats]:
    """Each distinct (x, t_x, T) once, in sorted order, with the weights of its rows added up."""
    order = np.lexsort((age, recency, x))
    rows = (x[order], recency[order], age[order])
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in rows])
    sums = np.add.reduceat(weight[order], np.flatnonzero(first)) if len(order) else weight
    return iter((*(column[first] for column in rows), sums))


def _check_evidence(histories: Histories, name: str) -> None:
    repeaters = float(histories.at_least[1:2].sum())
    if histories.customers < MINIMUM_CUSTOMERS or not repeaters:
        raise TooLittleHistory(
            f"{name} needs {MINIMUM_CUSTOMERS} customers and a repeat purchase, got {histories.customers:g} "
            f"customers, {repeaters:g} of them with one. Fit on a longer history."
        )


def checked_history(
    frequency: ArrayLike, recency_weeks: ArrayLike, age_weeks: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Return histories as float64, in any shapes that broadcast; an impossible one is an InputError."""
    x, recency, age = (np.asarray(given, dtype=np.float64) for given in (frequency, recency_weeks, age_weeks))
    try:
        np.broadcast_shapes(x.shape, recency.shape, age.shape)
    except ValueError as error:
        raise InputError(
            f"frequency, recency and age do not fit: shapes {x.shape}, {recency.shape} and {age.shape}."
        ) from error
    possible = (x >= 0) & (x == np.floor(x)) & (recency >= 0) & (recency <= age) & ((x > 0) == (recency > 0))
    possible &= np.isfinite(x) & np.isfinite(age)
    if not possible.all():
        at = int(np.flatnonzero(~possible)[0])
        wrong = [float(np.broadcast_to(column, possible.shape).flat[at]) for column in (x, recency, age)]
        raise InputError(
            f"history {at} is impossible: frequency, recency and age are {wrong}; frequency must be whole, "
            "0 <= recency <= age, and recency > 0 exactly when frequency > 0. Merge purchases by day."
        )
    return x, recency, age


def checked_horizon(horizon_weeks: ArrayLike) -> Floats:
    """Return horizons as float64, finite and 0 or above; others are an InputError."""
    horizon = np.asarray(horizon_weeks, dtype=np.float64)
    if not np.all((horizon >= 0) & np.isfinite(horizon)):
        raise InputError("horizon_weeks must be finite and >= 0.")
    return horizon
