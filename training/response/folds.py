"""Uplifts out of fold: what is said of customers by trees that saw none of them, and what may be believed of it.

Two raw uplifts of each customer (training/response/trees.py) are cross-fitted: customers are dealt into folds, and each fold is
predicted by trees that saw none of it. On those predictions it is measured how the two are best mixed, and a straight line
that shrinks the mixture towards the mean as far as the evidence asks for (``EffectLine``). The trees that are kept are
fitted to everybody. Raw uplifts are held against the mean of their fold: the level of what is fitted without a fold is
the lower the higher the fold's own, so that a ranking across folds would be judged too low.

The doubly robust score of a row for an arm, whose mean over customers is the arm's average uplift without bias, is

    q_arm - q_control + 1{arm} (y - q_arm) / propensity - 1{control} (y - q_control) / propensity

(Robins, Rotnitzky and Zhao 1994), with q from trees that did not see the customer, and the propensity as it was logged. It is
taken over the rows that could have been given the arm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError, TooLittleHistory
from training.components import raw_scores
from training.response.arm_log import Log
from training.response.card import EffectLine
from training.response.trees import (
    RESPONSE_PARAMETERS,
    Binned,
    binned,
    fit_effect,
    fit_outcomes,
    outcome_variance,
)

__all__ = [
    "FOLDS",
    "CrossFitted",
    "average_effects",
    "cross_fit",
    "cross_fit_binned",
    "effect_line",
    "learnable",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FOLDS = 5

MINIMUM_EXPOSURES, MINIMUM_OF_EACH = 500, 25
"""Rows of an arm, and of its control, without which it is not learnt from; and those of each that must have ordered, and not."""

_ODDS_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What trees that had not seen a row's customer say of it.

    Attributes
    ----------
    expected
        Probability of an order under each arm of the log, n x arms of the log.
    places
        Arms that had rows enough, as places in the log's arms; the first of those, the control, is not among them.
    odds, trees
        The two raw uplifts of each of ``places``, less their mean in the fold, n x places.
    uplift
        By lines that were measured on the other folds' rows, n x places; the average alone is everybody's.
    lines
        Measured on all rows; their center is 0. One a place.
    """

    expected: Floats
    places: tuple[int, ...]
    odds: Floats
    trees: Floats
    uplift: Floats
    lines: tuple[EffectLine, ...]


def cross_fit(
    x: Floats,
    log: Log,
    names: tuple[str, ...],
    parameters: Mapping[str, float | int] = RESPONSE_PARAMETERS,
) -> CrossFitted:
    """Predict outcomes and uplifts of each fold of customers by trees fitted to the others.

    Parameters
    ----------
    x, names
        Features known before the exposure, n x features, and their names.
    log
        Its first arm is the control, on offer to every row; rewards are 0 or 1.

    Raises
    ------
    InputError
        Other shapes, rewards other than 0 and 1, or rows that could not have been the control.
    TooLittleHistory
        No arm has exposures enough; with the numbers.
    """
    return cross_fit_binned(binned(x, names), log, learnable(x, log), parameters)


def average_effects(log: Log, expected: Floats, place: int) -> tuple[Ints, Floats]:
    """Return the rows that could have been given an arm, and their doubly robust scores of its uplift.

    Parameters
    ----------
    expected
        As ``CrossFitted.expected``.
    place
        Of the arm in the log's arms.
    """
    rows = np.flatnonzero(log.offered[:, place])
    q, arm, y = expected[rows], log.arm[rows], log.reward[rows]
    weight = 1.0 / log.propensity[rows]
    scores = q[:, place] - q[:, 0]
    scores += (arm == place) * weight * (y - q[:, place]) - (arm == 0) * weight * (y - q[:, 0])
    return rows, scores


def effect_line(log: Log, expected: Floats, odds: Floats, trees: Floats, place: int) -> EffectLine:
    """Measure how the uplift of an arm goes with the raw ones, length n each; other arguments as of ``average_effects``.

    Rows weigh, but for the average, the inverse of the variance that their outcomes are expected to have.
    """
    rows, scores = average_effects(log, expected, place)
    weight = 1.0 / outcome_variance(expected[rows], place)
    weight /= weight.sum()
    odds_weight = _mixed(weight, scores, odds[rows], trees[rows])
    z = odds_weight * odds[rows] + (1.0 - odds_weight) * trees[rows]
    center, average = float(z.mean()), float(scores.mean())
    slope, away, spread = _slope(weight, scores, z)
    left = scores - weight @ scores - slope * away
    on_slope = weight * away * left / spread if spread > 0.0 else np.zeros(len(rows))
    of_customer = np.array(
        [np.bincount(log.customer[rows], one) for one in ((scores - average) / len(rows), on_slope)]
    )
    (average_variance, covariance), (_, slope_variance) = (of_customer @ of_customer.T).tolist()
    kept = min(max(slope - slope_variance / slope, 0.0), 1.0) if slope > 0.0 else 0.0
    return EffectLine(average, kept, slope, odds_weight, center, average_variance, slope_variance, covariance)


def cross_fit_binned(
    made: Binned, log: Log, places: tuple[int, ...], parameters: Mapping[str, float | int]
) -> CrossFitted:
    """Do what ``cross_fit`` does, for these arms, with features that are binned already."""
    fold = _folds(log, int(parameters["seed"]))
    expected = np.empty((len(fold), len(log.arms)))
    odds, trees = np.empty((len(fold), len(places))), np.empty((len(fold), len(places)))
    for number in range(FOLDS):
        rows, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        outcomes, x = fit_outcomes(made, log, rows, parameters), made.x[held]
        expected[held] = outcomes.expected(x)
        for k, place in enumerate(places):
            offered = log.offered[held, place]
            odds[held, k] = _centred(outcomes.odds_uplift(x, place), offered)
            own = fit_effect(made, log, rows, place, outcomes, parameters)
            trees[held, k] = _centred(raw_scores(own, x), offered)
    lines, uplift = [], np.empty_like(odds)
    for k, place in enumerate(places):
        columns = (expected, odds[:, k], trees[:, k])
        lines.append(replace(effect_line(log, *columns, place), center=0.0))
        uplift[:, k] = lines[k].average + _away_by_others(log, fold, columns, place)
    return CrossFitted(expected, places, odds, trees, uplift, tuple(lines))


def _centred(raw: Floats, offered: Bools) -> Floats:
    return raw - (raw[offered].mean() if offered.any() else 0.0)


def _away_by_others(log: Log, fold: Ints, columns: tuple[Floats, Floats, Floats], place: int) -> Floats:
    """Return how far each row's uplift lies from the average, by lines measured without the row's fold."""
    found, (expected, odds, trees) = np.empty(len(fold)), columns
    for number in range(FOLDS):
        others, held = fold != number, fold == number
        line = effect_line(_part(log, others), expected[others], odds[others], trees[others], place)
        found[held] = line.slope * replace(line, center=0.0).away(odds[held], trees[held])
    return found


def _part(log: Log, rows: Bools) -> Log:
    return Log(
        log.arms, log.arm[rows], log.propensity[rows], log.reward[rows], log.offered[rows], log.customer[rows]
    )


def _mixed(weight: Floats, scores: Floats, odds: Floats, trees: Floats) -> float:
    """Return the weight of the odds with which the mixture's line leaves the least weighted squares."""

    def explained(odds_weight: float) -> float:
        slope, _, spread = _slope(weight, scores, odds_weight * odds + (1.0 - odds_weight) * trees)
        kept = min(max(slope, 0.0), 1.0)
        return spread * (2.0 * kept * slope - kept**2)

    return max(_ODDS_WEIGHTS, key=explained)


def _slope(weight: Floats, scores: Floats, z: Floats) -> tuple[float, Floats, float]:
    """Return the slope of the scores' regression on z, how far z lies from its mean, and its mean square."""
    away = z - weight @ z
    spread = float(weight @ away**2)
    return (float(weight @ (away * scores)) / spread if spread > 0.0 else 0.0), away, spread


def _folds(log: Log, seed: int) -> Ints:
    """Deal customers, all rows of one together, into folds of equal size."""
    people = int(log.customer.max()) + 1
    return (np.random.default_rng(seed).permutation(people) % FOLDS)[log.customer]


def learnable(x: Floats, log: Log) -> tuple[int, ...]:
    """Return the arms that have exposures enough, and so has their control; errors as of ``cross_fit``."""
    if x.ndim != 2 or len(x) != len(log.arm):
        raise InputError(f"features must be of shape ({len(log.arm)}, features), got {x.shape}.")
    if not np.isin(log.reward, (0.0, 1.0)).all():
        raise InputError(
            "a response is learnt from rewards of 0 and 1: an order within the horizon, or none."
        )
    if not log.offered[:, 0].all():
        raise InputError(
            f"{(~log.offered[:, 0]).sum()} of {len(x)} rows could not have been the control {log.arms[0]!r}, which is the first "
            f"arm: leave out experiments without one."
        )
    counts = {place: _counts(log, place) for place in range(1, len(log.arms))}
    enough = tuple(
        place
        for place, found in counts.items()
        if all(sum(two) >= MINIMUM_EXPOSURES and min(two) >= MINIMUM_OF_EACH for two in found)
    )
    if not enough:
        told = "; ".join(
            f"{log.arms[place]}: {sum(arm)} of which {arm[0]} ordered, control {sum(control)} of which {control[0]}"
            for place, (arm, control) in counts.items()
        )
        raise TooLittleHistory(
            f"an uplift needs {MINIMUM_EXPOSURES} exposures of an arm and as many of its control, {MINIMUM_OF_EACH} of each with and "
            f"without an order; known are {told or 'only controls'}. Expose more customers, or wait until their horizon is over"
        )
    return enough


def _counts(log: Log, place: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return of an arm and of its control how many ordered, and how many did not."""
    found = []
    for rows in (log.arm == place, (log.arm == 0) & log.offered[:, place]):
        ordered = int(log.reward[rows].sum())
        found.append((ordered, int(rows.sum()) - ordered))
    return found[0], found[1]
