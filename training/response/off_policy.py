"""What another policy would have earned, from arms that were drawn with logged propensities (off-policy evaluation).

A policy gives each customer a probability of each arm, shape (n, arms); a rule table is one of zeros and ones
(``always``, ``chosen``). Row i of the log counts with the weight ``w_i = policy[i, arm_i] / propensity_i``:

    IPS     mean of w_i r_i                                             (Horvitz and Thompson 1952)
    SNIPS   sum of w_i r_i / sum of w_i                                 (Swaminathan and Joachims 2015)
    DR      mean of sum_a policy[i, a] q[i, a] + w_i (r_i - q[i, arm_i])    (Dudik, Langford and Li 2011)

q being expected rewards from elsewhere: fitted without the row's customer, or the interval claims too much. IPS is
without bias; SNIPS is not troubled by a constant that is added to rewards; DR is the least uncertain where q is any good.

Intervals are asymptotic, from the spread and the skewness of each row's influence; customers, not rows, are what is
independent. A few large weights on large rewards make a value skewed: Hall's transformation (1992, JRSS B 54, 221-228) moves both
ends of its interval accordingly. Differences have tails on both sides and are left symmetric. Student's t stands for the normal, with as many degrees of freedom as the log holds
customers' worth of the policy (the effective sample size, Kish 1965) less one. Propensities are taken as logged, never estimated; where they contradict the arms that
were given, the log is refused.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from features.errors import InputError, TooLittleHistory
from training.intervals import Difference
from training.response.arm_log import Log

__all__ = [
    "ArmDifference",
    "PolicyValue",
    "against_best_arm",
    "always",
    "chosen",
    "difference",
    "doubly_robust",
    "ips",
    "snips",
]

Floats = NDArray[np.float64]

MINIMUM_EFFECTIVE = 30
"""Effective sample size without which there is no interval to be trusted."""

_LEAST_SKEWNESS = (
    1e-6  # below it the transformation is that of the identity, and a quotient of rounding errors
)


@dataclass(frozen=True)
class PolicyValue:
    """What a policy earns a row, its interval, and how many rows' worth of it the log holds (Kish 1965).

    Attributes
    ----------
    effective_sample_size
        (sum of w)^2 / sum of w^2.
    rows
        Of the log; those of positive weight are what the estimate stands on.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    effective_sample_size: float
    rows: int
    influence: Floats = field(repr=False, compare=False)


@dataclass(frozen=True)
class ArmDifference(Difference):
    """A policy's value minus that of the best single arm: best by the same estimator on the same rows."""

    best_arm: str


def always(log: Log, arm: str) -> Floats:
    """Return the policy that gives everybody this arm, n x arms."""
    if arm not in log.arms:
        raise InputError(f"unknown arm {arm!r}: choose one of {list(log.arms)}.")
    return chosen(log, np.full(len(log.arm), log.arms.index(arm)))


def chosen(log: Log, place: ArrayLike) -> Floats:
    """Return the policy that gives each row the arm of this place in ``log.arms``, n x arms."""
    return np.asarray(np.asarray(place)[:, None] == np.arange(len(log.arms)), dtype=np.float64)


def ips(log: Log, policy: ArrayLike, *, level: float = 0.95) -> PolicyValue:
    """Inverse propensity score estimate of what the policy earns a row.

    Raises
    ------
    InputError
        Not probabilities of shape (n, arms), or probability on arms that a row could not have been given.
    TooLittleHistory
        The log holds less than ``MINIMUM_EFFECTIVE`` rows' worth of the policy.

    Examples
    --------
    >>> from training.response.arm_log import make_log
    >>> log = make_log(["a", "b"] * 100, [0.5] * 200, [1.0, 3.0] * 100)
    >>> ips(log, always(log, "b")).estimate
    3.0
    """
    weight = _weights(log, policy)
    return _value(log, weight, weight * log.reward, level)


def snips(log: Log, policy: ArrayLike, *, level: float = 0.95) -> PolicyValue:
    """Self-normalised estimate; errors as of ``ips``. Its interval is that of a ratio, linearised."""
    weight = _weights(log, policy)
    estimate = float(np.average(log.reward, weights=weight))
    return _value(log, weight, estimate + weight * (log.reward - estimate) / weight.mean(), level)


def doubly_robust(
    log: Log, policy: ArrayLike, expected_reward: ArrayLike, *, level: float = 0.95
) -> PolicyValue:
    """Doubly robust estimate; errors as of ``ips``.

    Parameters
    ----------
    expected_reward
        Shape (n, arms), fitted without the row's customer (``training.response.fit.expected_outcomes``).
    """
    weight = _weights(log, policy)
    q = np.asarray(expected_reward, dtype=np.float64)
    if q.shape != log.offered.shape or not np.isfinite(q[log.offered]).all():
        raise InputError(
            f"expected rewards must be finite, of shape {log.offered.shape}, got shape {q.shape} and "
            f"{(~np.isfinite(q)).sum()} that are not."
        )
    p = np.asarray(policy, dtype=np.float64)
    direct = np.where(p > 0, p * np.where(log.offered, q, 0.0), 0.0).sum(axis=1)
    residual = log.reward - q[np.arange(len(q)), log.arm]
    return _value(log, weight, direct + weight * residual, level)


def difference(log: Log, a: PolicyValue, b: PolicyValue, *, level: float = 0.95) -> Difference:
    """Return the value of a minus that of b, two estimates on the same log: what both find hard cancels out."""
    if len(a.influence) != len(log.arm) or len(b.influence) != len(log.arm):
        raise InputError("both values must be estimated on this log.")
    estimate, size = a.estimate - b.estimate, min(a.effective_sample_size, b.effective_sample_size)
    ends = _interval(log, estimate, a.influence - b.influence, _quantiles(size, level))
    return Difference(estimate, *ends)


def against_best_arm(log: Log, value: PolicyValue, expected_reward: ArrayLike | None = None) -> ArmDifference:
    """Return a policy's value minus that of the best single arm, which is estimated as SNIPS, or DR given q.

    The best arm is the one that did best on these rows, so it is flattered, the policy is not.

    Raises
    ------
    InputError
        No arm was on offer to every row.
    """
    everywhere = [name for place, name in enumerate(log.arms) if log.offered[:, place].all()]
    if not everywhere:
        raise InputError(
            f"none of the arms {list(log.arms)} was on offer to every row: compare one experiment at a time."
        )
    values = [
        snips(log, always(log, name))
        if expected_reward is None
        else doubly_robust(log, always(log, name), expected_reward)
        for name in everywhere
    ]
    best = int(np.argmax([one.estimate for one in values]))
    found = difference(log, value, values[best])
    return ArmDifference(found.estimate, found.low, found.high, found.standard_error, everywhere[best])


def _weights(log: Log, policy: ArrayLike) -> Floats:
    p = np.asarray(policy, dtype=np.float64)
    if p.shape != log.offered.shape:
        raise InputError(f"the policy must be of shape {log.offered.shape} (rows, arms), got {p.shape}.")
    if not ((p >= 0.0) & (p <= 1.0)).all() or not np.allclose(p.sum(axis=1), 1.0, rtol=0.0, atol=1e-9):
        raise InputError("the policy must give each row probabilities of the arms that sum to 1.")
    beyond = (p > 0.0) & ~log.offered
    if beyond.any():
        of_arm = ", ".join(
            f"{name} {p[:, place][beyond[:, place]].sum() / len(p):.1%}"
            for place, name in enumerate(log.arms)
            if beyond[:, place].any()
        )
        raise InputError(
            f"the policy asks for arms where the log could not have given them, in {beyond.any(axis=1).sum()} of {len(p)} rows "
            f"(share of its choices: {of_arm}): nothing is known of them. Evaluate it on the rows where they were on offer."
        )
    weight = p[np.arange(len(p)), log.arm] / log.propensity
    size = _effective(log, weight)
    if size < MINIMUM_EFFECTIVE:
        raise TooLittleHistory(
            f"the log of {len(p)} rows holds {size:.1f} rows' worth of this policy and {MINIMUM_EFFECTIVE} are needed: log more, "
            f"or evaluate a policy nearer to the one that was logged."
        )
    return np.asarray(weight)


def _value(log: Log, weight: Floats, terms: Floats, level: float) -> PolicyValue:
    """Return the mean of the terms, one a row, with its interval."""
    if not 0.0 < level < 1.0:
        raise InputError(f"level must be in (0, 1), got {level}.")
    estimate = float(terms.mean())
    influence = terms - estimate
    size = _effective(log, weight)
    ends = _interval(log, estimate, influence, _skewed(log, influence, _quantiles(size, level)))
    return PolicyValue(estimate, *ends, size, len(terms), influence)


def _interval(log: Log, estimate: float, influence: Floats, t: Floats) -> tuple[float, float, float]:
    """Return low, high and standard error of the mean of a row's influences, given the quantiles of its error."""
    error = float(np.sqrt(np.sum(_of_customers(log, influence) ** 2)) / len(influence))
    people = int(log.customer.max()) + 1
    error *= float(np.sqrt(people / max(people - 1, 1)))
    low, high = estimate - error * t
    return float(low), float(high), error


def _quantiles(size: float, level: float) -> Floats:
    """Return the upper and the lower quantile of Student's distribution."""
    return np.asarray(stdtrit(size - 1.0, (1.0 + level) / 2.0) * np.array([1.0, -1.0]))


def _skewed(log: Log, influence: Floats, t: Floats) -> Floats:
    """Return what quantiles of a symmetric distribution are where influences are skewed (Hall 1992, equation 2.4).

    With g the skewness of n customers: ``3 sqrt(n) / g * (cbrt(1 + g * (t / sqrt(n) - g / (6 n))) - 1)``.
    """
    total = _of_customers(log, influence)
    n, square = len(total), float(np.mean(total**2))
    skewness = float(np.mean(total**3)) / square**1.5 if square > 0.0 else 0.0
    if abs(skewness) < _LEAST_SKEWNESS:
        return t
    inner = 1.0 + skewness * (t / np.sqrt(n) - skewness / (6.0 * n))
    return np.asarray(np.sqrt(n) * 3.0 / skewness * (np.cbrt(inner) - 1.0))


def _of_customers(log: Log, rows: Floats) -> Floats:
    return np.asarray(np.bincount(log.customer, rows), dtype=np.float64)


def _effective(log: Log, weight: Floats) -> float:
    total = _of_customers(log, weight)
    return float(total.sum() ** 2 / np.sum(total**2)) if total.any() else 0.0
