"""Bootstrap intervals over customers (Efron and Tibshirani 1993, chapters 6, 8 and 13). NumPy only.

The customer is what is drawn again: a customer's rows at several cutoffs are one piece of evidence and stay
together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError

__all__ = ["Difference", "Interval", "bootstrap_interval", "paired_bootstrap"]

# Draws on which a statistic may be undefined (a single class) before its interval would mislead.
_UNDEFINED_SHARE = 0.05


@dataclass(frozen=True)
class Interval:
    """A figure on all rows, the percentile interval around it, and its bootstrap standard error."""

    estimate: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Difference(Interval):
    """The figure of a minus that of b, on the same customers."""

    @property
    def is_tie(self) -> bool:
        """Whether the difference is no larger than one standard error: the project's rule for a tie."""
        return abs(self.estimate) <= self.standard_error


def bootstrap_interval(
    statistic: Callable[..., float],
    arrays: Sequence[ArrayLike],
    rng: np.random.Generator,
    *,
    draws: int = 500,
    level: float = 0.95,
    groups: ArrayLike | None = None,
) -> Interval:
    """Percentile interval and standard error of ``statistic(*arrays)``.

    Parameters
    ----------
    statistic
        Takes the arrays, in order, with the rows of the drawn customers, and returns a number. It may refuse
        a draw by an InputError (AUC of a single class); such draws are left out, up to one in twenty.
    arrays
        One or more, each of n rows.
    draws, level
        Bootstrap samples, at least 2, and the interval's coverage, in (0, 1).
    groups
        Shape (n,): the customer of each row. Default: each row is a customer.

    Raises
    ------
    InputError
        No rows, other lengths, other values of draws or level, a statistic that is undefined on all rows, on
        more than one draw in twenty, or NaN on any.
    """
    columns = [np.asarray(column) for column in arrays]
    _check(columns, groups, draws, level)
    estimate = float(statistic(*columns))
    values, refusal = [], ""
    for rows in _resamples(len(columns[0]), groups, rng, draws):
        try:
            values.append(float(statistic(*(column[rows] for column in columns))))
        except InputError as error:
            refusal = str(error)
    if len(values) < (1.0 - _UNDEFINED_SHARE) * draws or np.isnan([estimate, *values]).any():
        raise InputError(
            f"the statistic is undefined on {draws - len(values)} of {draws} draws of {len(columns[0])} rows "
            f"({refusal or 'it is NaN'}). Take more customers."
        )
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(estimate, float(low), float(high), float(np.std(values, ddof=1)))


def paired_bootstrap(
    statistic: Callable[..., float],
    y: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    rng: np.random.Generator,
    *,
    draws: int = 500,
    level: float = 0.95,
    groups: ArrayLike | None = None,
) -> Difference:
    """``statistic(y, p_a) - statistic(y, p_b)`` with its interval, both on the same customers in every draw.

    What both models find hard cancels out, so a difference can be certain where the two intervals overlap
    widely. The other arguments, and the errors, are those of ``bootstrap_interval``.
    """

    def difference(
        outcome: NDArray[np.generic], first: NDArray[np.generic], second: NDArray[np.generic]
    ) -> float:
        return statistic(outcome, first) - statistic(outcome, second)

    interval = bootstrap_interval(difference, (y, p_a, p_b), rng, draws=draws, level=level, groups=groups)
    return Difference(*astuple(interval))


def _resamples(
    n: int, groups: ArrayLike | None, rng: np.random.Generator, draws: int
) -> Iterator[NDArray[np.int64]]:
    """Row numbers of ``draws`` samples of the customers, with replacement."""
    if groups is None:
        for _ in range(draws):
            yield rng.integers(n, size=n)
        return
    _, customer, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    by_customer = np.argsort(customer, kind="stable")
    start = np.cumsum(size) - size
    for _ in range(draws):
        drawn = rng.integers(len(size), size=len(size))
        end = np.cumsum(size[drawn])
        # Runs start[d], start[d] + 1, ... laid end to end: a running number, shifted once a customer.
        yield by_customer[np.arange(end[-1]) + np.repeat(start[drawn] - (end - size[drawn]), size[drawn])]


def _check(columns: list[NDArray[np.generic]], groups: ArrayLike | None, draws: int, level: float) -> None:
    lengths = [column.shape[:1] for column in columns] + ([] if groups is None else [np.shape(groups)])
    if len(set(lengths)) != 1 or lengths[0] in ((), (0,)):
        raise InputError(f"arrays and groups must be equally long, one row or more, got shapes {lengths}.")
    if draws < 2 or not 0.0 < level < 1.0:
        raise InputError(f"draws must be at least 2 and level in (0, 1), got {draws} and {level}.")
