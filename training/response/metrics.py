"""How good a ranking by uplift is, judged on a randomised trial of one arm against a control. NumPy only.

Nobody's own uplift is ever seen: a customer is treated or not. What can be seen is how the treated and the control
among the first customers of a ranking differ. Rows are weighted by 1 / propensity, so that arms of unlike or changing
shares are compared as if everybody had been given both.

``trial`` has shape (n, 3): outcome, treated (1 the arm, 0 the control) and the propensity in (0, 1] with which the row
was given the one it was given (``trial_of``). ``score`` is any number that ranks, shape (n,): the higher, the earlier.
Rows of equal scores share their places, so that their order does not matter. Everything else is an InputError.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError

__all__ = [
    "QiniCurve",
    "Tenth",
    "calibration_of_tenths",
    "qini_coefficient",
    "qini_curve",
    "trial_of",
    "uplift_at",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class QiniCurve:
    """What treating the first customers of a ranking brings; from nobody to everybody, one point a distinct score.

    Attributes
    ----------
    share
        Of the customers who are treated, from 0 to 1.
    gain
        Outcome gained per customer of the whole base, treated or not: share * uplift among the treated.
    """

    share: Floats
    gain: Floats


@dataclass(frozen=True)
class Tenth:
    """Customers of whom a like uplift is predicted: the mean prediction, and the difference that was observed."""

    predicted: float
    observed: float
    standard_error: float
    rows: int


def trial_of(outcome: ArrayLike, treated: ArrayLike, propensity: ArrayLike) -> Floats:
    """Return the three columns as one array of shape (n, 3), which can be drawn from row by row.

    Raises
    ------
    InputError
        Unequal lengths, NaN, treated other than 0 and 1, a propensity outside (0, 1], or only one of the two arms.
    """
    columns = [np.asarray(column, dtype=np.float64) for column in (outcome, treated, propensity)]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise InputError(
            "outcome, treated and propensity must be equally long, got shapes "
            f"{', '.join(str(column.shape) for column in columns)}."
        )
    trial = np.column_stack(columns)
    _check(trial)
    return trial


def qini_curve(trial: ArrayLike, score: ArrayLike) -> QiniCurve:
    """What treating the first customers of a ranking brings (Radcliffe 2007).

    The gain at share s is s * (mean outcome of the treated - mean outcome of the control) among the first s, means
    being weighted by 1 / propensity. With equal propensities this is Radcliffe's Q = R_t - R_c N_t / N_c per
    customer treated, where treated and control lie evenly among the first. While the first hold only one of the arms the
    gain is 0: nothing is known.

    References
    ----------
    N. J. Radcliffe (2007), Using control groups to target on predicted lift, Direct Marketing Analytics Journal, 14-21.

    Examples
    --------
    >>> trial = trial_of([1, 0, 0, 0], [1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5])
    >>> curve = qini_curve(trial, [4, 3, 2, 1])
    >>> curve.share.tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    >>> curve.gain.tolist()  # 1 - 0 among the first two, 1/2 - 0 among all
    [0.0, 0.0, 0.5, 0.375, 0.5]
    """
    rows, scores = _checked(trial, score)
    outcome, treated, propensity = rows.T
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    weight = (1.0 / propensity)[order]
    sums = [
        np.cumsum(one)[ends]
        for arm in (treated[order], 1.0 - treated[order])
        for one in (arm * weight * outcome[order], arm * weight)
    ]
    share = (ends + 1) / len(order)
    known = (sums[1] > 0) & (sums[3] > 0)
    difference = np.divide(sums[0], sums[1], out=np.zeros_like(share), where=known)
    difference -= np.divide(sums[2], sums[3], out=np.zeros_like(share), where=known)
    return QiniCurve(np.append(0.0, share), np.append(0.0, share * difference))


def qini_coefficient(trial: ArrayLike, score: ArrayLike) -> float:
    """Area between the Qini curve and the straight line of a random ranking (Radcliffe 2007), outcome per customer.

    Above 0: the ranking finds those whom the offer moves. It is not divided by the area of a perfect ranking, which for
    outcomes of 0 and 1 nobody can reach; figures of one trial may be compared, figures of several may not.

    Examples
    --------
    >>> trial = trial_of([1, 0, 0, 0], [1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5])
    >>> qini_coefficient(trial, [4, 3, 2, 1])  # (0 + .25 + .4375 + .4375) / 4 - .25, by trapezia
    0.03125
    >>> qini_coefficient(trial, [1, 1, 1, 1])
    0.0
    """
    curve = qini_curve(trial, score)
    area = np.sum(np.diff(curve.share) * (curve.gain[1:] + curve.gain[:-1]) / 2.0)
    return float(area - curve.gain[-1] / 2.0)


def uplift_at(trial: ArrayLike, score: ArrayLike, share: float) -> float:
    """Mean outcome of the treated minus that of the control among the top ``share`` of scores.

    The top holds exactly ``share * n`` places, a fraction of a place included; who ties on its edge shares the places
    that are left.

    Raises
    ------
    InputError
        ``share`` outside (0, 1], or only one of the arms in the top.

    Examples
    --------
    >>> trial = trial_of([1, 0, 0, 0], [1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5])
    >>> uplift_at(trial, [4, 3, 2, 1], share=0.5)
    1.0
    """
    rows, scores = _checked(trial, score)
    if not 0.0 < share <= 1.0:
        raise InputError(f"share must be above 0 and at most 1, got {share}.")
    _, group, count = np.unique(-scores, return_inverse=True, return_counts=True)
    before = np.cumsum(count) - count
    held = np.clip((share * len(scores) - before) / count, 0.0, 1.0)[group]
    return _difference(rows, held, f"the top {share:g}")[0]


def calibration_of_tenths(trial: ArrayLike, predicted: ArrayLike, parts: int = 10) -> list[Tenth]:
    """Predicted uplift against the observed difference in ``parts`` parts of equal size, from low to high.

    Sorted group average treatment effects (Chernozhukov, Demirer, Duflo and Fernandez-Val 2018, NBER working paper
    24678). The standard error is that of a difference of two weighted means of independent customers.
    """
    rows, scores = _checked(trial, predicted)
    if not 1 <= parts <= len(scores):
        raise InputError(f"parts must be from 1 to the number of rows, got {parts} and {len(scores)} rows.")
    found = []
    for number, part in enumerate(np.array_split(np.argsort(scores, kind="stable"), parts)):
        observed, error = _difference(rows[part], np.ones(len(part)), f"part {number + 1} of {parts}")
        found.append(Tenth(float(scores[part].mean()), observed, error, len(part)))
    return found


def _difference(rows: Floats, held: Floats, where: str) -> tuple[float, float]:
    """Difference of the arms' weighted means and its standard error, rows counting as much as they are held."""
    outcome, treated, propensity = rows.T
    means, variances = [], []
    for arm in (treated, 1.0 - treated):
        weight = arm * held / propensity
        if not weight.any():
            raise InputError(
                f"{where} of {len(rows)} rows holds only one of the two arms: take more customers."
            )
        means.append(float(np.average(outcome, weights=weight)))
        variances.append(float(np.sum((weight * (outcome - means[-1])) ** 2) / weight.sum() ** 2))
    return means[0] - means[1], float(np.sqrt(sum(variances)))


def _checked(trial: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    rows, scores = np.asarray(trial, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 3 or scores.shape != rows.shape[:1]:
        raise InputError(f"trial and score need shapes (n, 3) and (n,), got {rows.shape} and {scores.shape}.")
    _check(rows)
    if np.isnan(scores).any():
        raise InputError(
            f"scores must be numbers, got NaN in {np.isnan(scores).sum()} of {scores.size} rows."
        )
    return rows, scores


def _check(trial: Floats) -> None:
    outcome, treated, propensity = trial.T
    if not np.isfinite(outcome).all():
        raise InputError(f"outcomes must be finite, got {(~np.isfinite(outcome)).sum()} that are not.")
    if not np.isin(treated, (0.0, 1.0)).all():
        raise InputError("treated must be 1 (the arm) or 0 (the control), without NaN.")
    if not ((propensity > 0.0) & (propensity <= 1.0)).all():
        raise InputError("propensities must be above 0 and at most 1, without NaN.")
    if treated.all() or not treated.any():
        raise InputError(f"both arms are needed, got {int(treated.sum())} treated of {len(treated)} rows.")
