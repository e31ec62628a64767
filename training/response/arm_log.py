"""A log of arms that were drawn at random with known probabilities: what uplift and off-policy evaluation stand on.

Propensities are taken as logged, never estimated; where they contradict how often arms were given, the log is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError

__all__ = ["Log", "make_log"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LOG_ODDS = 12.5


@dataclass(frozen=True, eq=False)
class Log:
    """Arms as they were drawn; ``make_log`` checks them.

    Attributes
    ----------
    arms
        Their names.
    arm
        Of each row, a place in ``arms``; length n.
    propensity
        With which the row was given its arm, in (0, 1]; length n.
    reward
        What came of it; length n.
    offered
        Whether the row could have been given the arm, n x arms.
    customer
        A number for each row's customer; length n.
    """

    arms: tuple[str, ...]
    arm: Ints
    propensity: Floats
    reward: Floats
    offered: Bools
    customer: Ints


def make_log(
    arm: Sequence[str] | NDArray[np.object_],
    propensity: ArrayLike,
    reward: ArrayLike,
    *,
    arms: tuple[str, ...] | None = None,
    offered: ArrayLike | None = None,
    customer: ArrayLike | None = None,
) -> Log:
    """Check a log.

    Parameters
    ----------
    arm, propensity, reward
        Of each row: the arm's name, the probability with which it was drawn, and what came of it.
    arms
        All arms, in the order of the policies' columns; by default those that occur, in the order of the alphabet.
    offered
        Shape (n, arms): the arms that each row could have been given, where that differs; default: every arm that occurs.
    customer
        Of each row, by default each its own: rows of one customer are one piece of evidence.

    Raises
    ------
    InputError
        No rows, unequal lengths, an arm that is not among ``arms`` or was not on offer, propensities outside (0, 1], a
        reward that is not finite, or propensities that contradict how often the arms were given.

    Notes
    -----
    Over the rows that could have been given an arm, the mean of 1{given} / propensity is 1 in expectation. Where it is further
    off than chance allows once in e^12.5 = 270,000 logs (empirical Bernstein bound: Maurer and Pontil 2009, COLT), the propensities
    are not those by which the arms were drawn (a sample ratio mismatch).
    """
    names, of_row = np.unique(np.asarray(arm, dtype=str), return_inverse=True)
    known = tuple(names.tolist()) if arms is None else arms
    if strange := sorted(set(names.tolist()) - set(known)):
        raise InputError(f"the log holds arms {strange} that are not among {list(known)}: name every arm.")
    place = np.array([known.index(name) for name in names.tolist()], dtype=np.int64)[of_row]
    drawn, earned = np.asarray(propensity, dtype=np.float64), np.asarray(reward, dtype=np.float64)
    if not len(place) or drawn.shape != place.shape or earned.shape != place.shape:
        raise InputError(
            f"arm, propensity and reward must be equally long, one row or more, got shapes {place.shape}, {drawn.shape} "
            f"and {earned.shape}."
        )
    occurs = np.isin(np.arange(len(known)), place)
    could = np.tile(occurs, (len(place), 1)) if offered is None else np.asarray(offered, dtype=bool)
    who = (
        np.arange(len(place)) if customer is None else np.unique(np.asarray(customer), return_inverse=True)[1]
    )
    log = Log(known, place, drawn, earned, could, who)
    _check(log)
    return log


def _check(log: Log) -> None:
    if log.offered.shape != (len(log.arm), len(log.arms)) or log.customer.shape != log.arm.shape:
        raise InputError(
            f"offered and customer need shapes {(len(log.arm), len(log.arms))} and {log.arm.shape}, got {log.offered.shape} "
            f"and {log.customer.shape}."
        )
    strange = ~((log.propensity > 0.0) & (log.propensity <= 1.0))
    if strange.any() or not np.isfinite(log.reward).all():
        raise InputError(
            f"propensities must be above 0 and at most 1 and rewards finite: {strange.sum()} and "
            f"{(~np.isfinite(log.reward)).sum()} of {len(log.arm)} rows are not."
        )
    outside = ~log.offered[np.arange(len(log.arm)), log.arm]
    if outside.any():
        raise InputError(
            f"{outside.sum()} rows were given an arm that was not on offer to them: correct `offered`."
        )
    for place, name in enumerate(log.arms):
        _refuse_mismatch(log, place, name)


def _refuse_mismatch(log: Log, place: int, name: str) -> None:
    rows = log.offered[:, place]
    given = rows & (log.arm == place)
    if not given.any():
        return
    # 1{given} / propensity has mean 1 and variance 1 / propensity - 1 over all rows offered; estimated from those given
    inverse = 1.0 / log.propensity[given]
    mean, count = inverse.sum() / rows.sum(), int(rows.sum())
    variance = max(float(np.average(inverse, weights=inverse)) - 1.0, 0.0)
    chance = np.sqrt(2.0 * _LOG_ODDS * variance / count) + 7.0 * inverse.max() * _LOG_ODDS / (
        3.0 * max(count - 1, 1)
    )
    if abs(mean - 1.0) > chance:
        raise InputError(
            f"arm {name!r} was given to {given.sum()} of the {count} rows that could have been, but by the logged propensities "
            f"{given.sum() / mean:.0f} were to be expected: they are not those by which arms were drawn. Log the true ones, or say "
            f"by `offered` who could be given the arm."
        )
