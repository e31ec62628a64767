"""Plain T-, X- and DR-learners on LightGBM, for comparison: one fit of all rows given, uplift of each arm over the first."""

from collections.abc import Callable, Mapping

import lightgbm as lgb
import numpy as np

__all__ = ["LEARNERS", "out_of_fold"]

ROUNDS, SETTINGS = 60, {
    "num_leaves": 8,
    "learning_rate": 0.05,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbose": -1,
}  # fmt: skip


def grown(x, target, objective):
    """Trees with leaves of 3 % of the rows, as a function of features."""
    settings = SETTINGS | {"objective": objective, "min_data_in_leaf": max(20, round(0.03 * len(x)))}
    booster = lgb.train(settings, lgb.Dataset(x, target), ROUNDS)
    return lambda rows: booster.predict(rows, num_threads=1)


def t_learner(x, log):
    """A model of each arm, and their differences."""
    models = [grown(x[log.arm == a], log.reward[log.arm == a], "binary") for a in range(len(log.arms))]
    return lambda rows: np.column_stack([model(rows) - models[0](rows) for model in models[1:]])


def x_learner(x, log):
    """Künzel et al. 2019: models of what each arm's customers did less what the other model expects; their mean."""
    models = [grown(x[log.arm == a], log.reward[log.arm == a], "binary") for a in range(len(log.arms))]
    pairs = []
    for a in range(1, len(log.arms)):
        one, zero = log.arm == a, (log.arm == 0) & log.offered[:, a]
        treated = grown(x[one], log.reward[one] - models[0](x[one]), "l2")
        control = grown(x[zero], models[a](x[zero]) - log.reward[zero], "l2")
        pairs.append((treated, control))
    return lambda rows: np.column_stack([(one(rows) + two(rows)) / 2 for one, two in pairs])


def dr_learner(x, log, folds=3):
    """Kennedy 2023: trees fitted to cross-fitted doubly robust scores, propensities as logged."""
    fold = np.random.default_rng(2).permutation(int(log.customer.max()) + 1)[log.customer] % folds
    expected = np.empty((len(x), len(log.arms)))
    for number in range(folds):
        for a in range(len(log.arms)):
            rows = (fold != number) & (log.arm == a)
            expected[fold == number, a] = grown(x[rows], log.reward[rows], "binary")(x[fold == number])
    final = []
    for a in range(1, len(log.arms)):
        rows, q = log.offered[:, a], expected
        scores = q[:, a] - q[:, 0]
        scores = scores + (log.arm == a) * (log.reward - q[:, a]) / log.propensity
        scores = scores - (log.arm == 0) * (log.reward - q[:, 0]) / log.propensity
        final.append(grown(x[rows], scores[rows], "l2"))
    return lambda new: np.column_stack([model(new) for model in final])


LEARNERS: Mapping[str, Callable] = {"T-learner": t_learner, "X-learner": x_learner, "DR-learner": dr_learner}


def out_of_fold(learner, x, log, fold):
    """Uplifts of each fold by a learner that saw the others, less their mean in the fold."""
    uplift = np.empty((len(x), len(log.arms) - 1))
    for number in np.unique(fold):
        found = learner(x[fold != number], part(log, fold != number))(x[fold == number])
        uplift[fold == number] = found - found.mean(axis=0)
    return uplift


def part(log, rows):
    names = ("arm", "propensity", "reward", "offered", "customer")
    return type(log)(log.arms, *(getattr(log, name)[rows] for name in names))
