"""The trees of the response model: outcomes of every arm, and the uplift of one, on LightGBM.

Two sources of uplift are made, and mixed later as far as the evidence asks for (training/response/fit.py):

- odds: the arm multiplies everybody's odds of an order by the same factor. Who orders is found by trees that all arms share;
- trees: what an X-learner finds (Künzel, Sekhon, Bickel and Yu 2019, PNAS 116(10), 4156-4165). What a treated customer did, less
  what an untreated one like it is expected to do, and the reverse, are both noisy measurements of the uplift; trees are
  fitted to them.

Effects are small, so the noise is kept down: outcomes of all arms share their trees, an arm adds a shift of the log odds and a
few trees of its own; measurements weigh 1 / propensity, as logged, over the variance that their customers' outcomes are
expected to have; and the trees that are fitted to them are shallow.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.calibration import logit
from training.components import raw_scores
from training.response.arm_log import Log
from training.response.predict import odds_uplift, sigmoid

__all__ = [
    "RESPONSE_PARAMETERS",
    "ArmTrees",
    "Binned",
    "Outcomes",
    "binned",
    "fit_effect",
    "fit_outcomes",
    "outcome_variance",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESPONSE_PARAMETERS: Mapping[str, float | int] = {
    "outcome_rounds": 60,
    "arm_rounds": 20,
    "uplift_rounds": 40,
    "outcome_leaves": 8,
    "uplift_leaves": 4,
    "learning_rate": 0.05,
    "min_share_in_leaf": 0.03,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "seed": 1,
}
"""Rounds and leaves of the three kinds of trees; the others are LightGBM's, but for ``min_share_in_leaf``: ``min_data_in_leaf`` as
a share of the rows."""

_DATA = {"max_bin": 63, "feature_pre_filter": False, "verbose": -1, "num_threads": 1}
_OWN = ("learning_rate", "lambda_l2", "feature_fraction", "bagging_fraction", "seed")
_STEPS, _PRIOR = 50, 1.0
_LEAST_VARIANCE = 0.01


@dataclass(frozen=True, eq=False)
class Binned:
    """Features and LightGBM's bins of them, made once for many fits; the bins know no outcome."""

    x: Floats
    data: lgb.Dataset


@dataclass(frozen=True, eq=False)
class ArmTrees:
    """What an arm adds to the log odds: a shift and, where it has rows enough, trees."""

    shift: float
    trees: lgb.Booster | None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The probability of an order under each arm; ``level`` is the log odds that the shared trees start from."""

    level: float
    trees: lgb.Booster
    arms: tuple[ArmTrees, ...]

    def expected(self, x: Floats) -> Floats:
        """Return the probabilities, n x arms."""
        shared = self.level + raw_scores(self.trees, x)
        own = [raw_scores(arm.trees, x) if arm.trees is not None else 0.0 for arm in self.arms]
        logits = [shared + arm.shift + added for arm, added in zip(self.arms, own, strict=True)]
        return sigmoid(np.column_stack(logits))

    def odds_uplift(self, x: Floats, place: int) -> Floats:
        """Return the uplift of an arm over the first by its factor of the odds alone, length n."""
        return odds_uplift(self.level + raw_scores(self.trees, x), self.arms[place].shift, self.arms[0].shift)


def binned(x: Floats, names: tuple[str, ...]) -> Binned:
    """Sort features into LightGBM's bins."""
    data = lgb.Dataset(x, feature_name=list(names), label=np.zeros(len(x)), params=_DATA, free_raw_data=False)
    return Binned(x, data.construct())


def fit_outcomes(made: Binned, log: Log, rows: Ints, parameters: Mapping[str, float | int]) -> Outcomes:
    """Fit the probability of reward 1 under each arm to these rows of the log."""
    y, arm = log.reward[rows], log.arm[rows]
    level = float(logit((y.sum() + 0.5) / (len(y) + 1.0)))
    rounds, leaves = int(parameters["outcome_rounds"]), int(parameters["outcome_leaves"])
    trees = _grow(made, rows, y, np.full(len(rows), level), "binary", rounds, leaves, parameters)
    shared, arms = level + raw_scores(trees, made.x[rows]), []
    for place in range(len(log.arms)):
        here = arm == place
        shift, own = _shift(y[here], shared[here]), None
        if min(y[here].sum(), (1.0 - y[here]).sum()) >= 1.0:
            start, few = shared[here] + shift, int(parameters["arm_rounds"])
            own = _grow(made, rows[here], y[here], start, "binary", few, leaves, parameters)
        arms.append(ArmTrees(shift, own))
    return Outcomes(level, trees, tuple(arms))


def fit_effect(
    made: Binned, log: Log, rows: Ints, place: int, outcomes: Outcomes, parameters: Mapping[str, float | int]
) -> lgb.Booster:
    """Fit trees to the uplift of the arm at this place over the first, the control, on these rows; its mean is left out of them."""
    arm = log.arm[rows]
    used = rows[(arm == place) | ((arm == 0) & log.offered[rows, place])]
    p = outcomes.expected(made.x[used])
    treated = log.arm[used] == place
    measured = np.where(treated, log.reward[used] - p[:, 0], p[:, place] - log.reward[used])
    balance = 1.0 / log.propensity[used]
    balance /= np.where(treated, balance[treated].sum(), balance[~treated].sum())
    weight = balance / outcome_variance(p, place)
    weight *= len(weight) / weight.sum()
    level = float(np.average(measured, weights=weight))
    start = np.full(len(used), level)
    rounds, leaves = int(parameters["uplift_rounds"]), int(parameters["uplift_leaves"])
    return _grow(made, used, measured, start, "l2", rounds, leaves, parameters, weight)


def outcome_variance(expected: Floats, place: int) -> Floats:
    """Return the variance of an outcome under the control plus that under the arm at this place, length n."""
    both = expected[:, [0, place]]
    return np.asarray(np.maximum((both * (1.0 - both)).sum(axis=1), _LEAST_VARIANCE))


def _shift(y: Floats, logits: Floats) -> float:
    """Return the shift of the log odds that fits best, drawn to 0 by as much as one customer's outcome says of it."""
    shift = 0.0
    for _ in range(_STEPS):
        p = sigmoid(logits + shift)
        step = ((y - p).sum() - _PRIOR * shift) / ((p * (1.0 - p)).sum() + _PRIOR)
        shift += float(np.clip(step, -1.0, 1.0))
    return shift


def _grow(
    made: Binned,
    rows: Ints,
    target: Floats,
    start: Floats,
    objective: str,
    rounds: int,
    leaves: int,
    parameters: Mapping[str, float | int],
    weight: Floats | None = None,
) -> lgb.Booster:
    """Fit trees to a target on top of given values; rows ascending."""
    settings = {
        **_DATA,
        **{name: parameters[name] for name in _OWN},
        "objective": objective,
        "num_leaves": leaves,
        "min_data_in_leaf": max(20, round(float(parameters["min_share_in_leaf"]) * len(rows))),
        "bagging_freq": 1,
        "deterministic": True,
        "force_row_wise": True,
        "boost_from_average": False,
    }
    data = made.data.subset(rows.tolist()).construct()
    data.set_label(target)
    data.set_init_score(start)
    if weight is not None:
        data.set_weight(weight)
    return lgb.train(settings, data, num_boost_round=rounds)
