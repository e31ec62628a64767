"""How long a gap that has lasted some days will go on: survival of a log-normal with a cured share. NumPy and SciPy only.

With S the survival function of the gap of whoever comes back, a share ``back`` of all, and ``a`` days gone by,

    P(comes back | a) = back S(a) / (1 - back + back S(a)),
    P(gap over by a + h | comes back, a) = 1 - S(a + h) / S(a).

Everything is done on the log scale: a silence of years leaves no zero to divide by.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

__all__ = ["Forecast", "days_left", "ends_within", "probability_back", "probability_over"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is known of gaps when they open: log days ~ N(mean, sd^2) with probability ``back``; length n."""

    mean: Floats
    sd: Floats
    back: Floats

    def log_survival(self, days: Floats) -> Floats:
        """Return log P(gap > days | comes back); ``days`` above 0, n or n x k."""
        shape = (-1,) + (1,) * (np.ndim(days) - 1)
        mean, sd = self.mean.reshape(shape), self.sd.reshape(shape)
        return np.asarray(log_ndtr((mean - np.log(days)) / sd))


def probability_back(gap: Forecast, elapsed_days: Floats) -> Floats:
    """Return P(comes back | silent for so long), length n.

    >>> gap = Forecast(np.log([30.0]), np.array([0.5]), np.array([0.5]))
    >>> probability_back(gap, np.array([30.0]))  # .5 x .5 / (.5 + .5 x .5)
    array([0.33333333])
    """
    with np.errstate(divide="ignore"):
        gone = np.log1p(-gap.back) - np.log(gap.back)
    return np.asarray(1.0 / (1.0 + np.exp(np.minimum(gone - gap.log_survival(elapsed_days), 700.0))))


def ends_within(gap: Forecast, elapsed_days: Floats, days: Floats | float) -> Floats:
    """Return P(over within ``days`` more | comes back, silent for so long); n, or n x k where ``days`` has length k."""
    so_far, more = gap.log_survival(elapsed_days), np.asarray(days, dtype=np.float64)
    if more.ndim == 0:
        return np.asarray(-np.expm1(gap.log_survival(elapsed_days + more) - so_far))
    later = gap.log_survival(elapsed_days[:, None] + more[None, :])
    return np.asarray(-np.expm1(later - so_far[:, None]))


def probability_over(gap: Forecast, elapsed_days: Floats, days: Floats | float) -> Floats:
    """Return P(over within ``days`` more | silent for so long), whoever stays away counted; shape as `ends_within`."""
    over, back = ends_within(gap, elapsed_days, days), probability_back(gap, elapsed_days)
    return over * (back if over.ndim == 1 else back[:, None])


def days_left(gap: Forecast, elapsed_days: Floats, share: float, within_days: float) -> Floats:
    """Return the days after which a share of the gaps is over, of those that are over within ``within_days``; length n.

    Parameters
    ----------
    share
        0.5 for the median.

    Notes
    -----
    The quantile of the remaining time truncated at ``within_days``:
    ``S(a + x) = S(a) (1 - share (1 - S(a + within) / S(a)))``.
    """
    over = share * ends_within(gap, elapsed_days, within_days)
    wanted = gap.log_survival(elapsed_days) + np.log1p(-over)
    days = np.exp(gap.mean - gap.sd * ndtri_exp(wanted)) - elapsed_days
    return np.asarray(np.clip(days, 0.0, within_days))
