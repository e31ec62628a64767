"""The churn model: LightGBM on many cutoffs, averaged with MBG/NBD on the logit scale, its level by the seasonal clock.

The log odds of churn are ``intercept + slope * ((1 - tree_weight) * baseline + tree_weight * trees)``.

- The baseline is MBG/NBD, four parameters fitted by maximum likelihood to the orders before the cutoff, its clock as fast as
  ``training.clock`` forecasts it.
- The trees start from each cutoff's own share of churn, so that they learn who stays away, and not when many do.
- The intercept gives the population of the as-of the mean that the baseline gives it: the level is the clock's.
- The slope is what forward predictions agree on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.contract import current_contract
from training.boosting import fit_boosted
from training.calibration import PlattCalibration, apply, expit, fit_slope, with_mean
from training.card import ChurnCard
from training.components import ChurnModel, blended, raw_scores
from training.panel import forward_folds
from training.preparation import FOLDS, Prepared

__all__ = [
    "MONOTONE",
    "PARAMETERS",
    "TREE_WEIGHT",
    "Forward",
    "fold_predictions",
    "forward_predictions",
    "levelled",
    "train",
]

Floats = NDArray[np.float64]

PARAMETERS: Mapping[str, float | int] = {
    "num_boost_round": 125,
    "learning_rate": 0.06,
    "num_leaves": 8,
    "max_bin": 63,
    "min_share_in_leaf": 0.01,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "seed": 1,
}
"""LightGBM's, but for ``min_share_in_leaf``: ``min_data_in_leaf`` as a share of the rows."""

TREE_WEIGHT = 0.6
"""The baseline has the rest: trees alone know the log's first seasons too well."""

MONOTONE: Mapping[str, int] = {"days_since_last_order": 1}
"""Longer silence never lowers churn, all else equal: it costs nothing on Online Retail II (experiments/churn)."""


@dataclass(frozen=True)
class Forward:
    """Forward out-of-fold predictions, oldest fold first; arrays of length m.

    Attributes
    ----------
    fold
        Number of each row's fold.
    row
        Its number in the panel.
    start
        Log odds of the baseline, by an even clock.
    logits
        Of baseline and trees together, before calibration.
    probability
        Calibrated by the folds before it only, so that its figures are honest.
    calibration
        The slope of all folds: what the model gets.
    """

    y: NDArray[np.int8]
    fold: NDArray[np.int64]
    row: NDArray[np.int64]
    customer_id: pd.Series
    start: Floats
    logits: Floats
    probability: Floats
    calibration: PlattCalibration

    @property
    def baseline_probability(self) -> Floats:
        """What MBG/NBD alone says."""
        return expit(self.start)


def fit_trees(
    x: Floats, y: NDArray[np.int8], level: Floats, parameters: Mapping[str, float | int]
) -> lgb.Booster:
    """Fit the trees on top of the log odds of each cutoff's share of churn."""
    return fit_boosted(x, y, level, parameters, current_contract().names, MONOTONE)


def fold_predictions(
    prepared: Prepared, parameters: Mapping[str, float | int]
) -> Iterator[tuple[pd.Timestamp, NDArray[np.int64], Floats]]:
    """Yield, oldest fold first, the validation cutoff, its rows and the log odds of baseline and trees that knew only its past."""
    panel = prepared.panel
    for fold in forward_folds(panel, FOLDS):
        here, before = np.flatnonzero(fold.validate), fold.train
        if prepared.baseline_only:
            yield fold.cutoff, here, prepared.ahead[here]
        elif len(np.unique(panel.y[before])) == 2:
            booster = fit_trees(prepared.x[before], panel.y[before], prepared.level[before], parameters)
            trees = np.asarray(booster.predict(prepared.x[here], raw_score=True), dtype=np.float64)
            yield fold.cutoff, here, blended(prepared.ahead[here], trees, TREE_WEIGHT)


def forward_predictions(prepared: Prepared, parameters: Mapping[str, float | int]) -> Forward | None:
    """Predict each of the last cutoffs by a model that knew only labels which had ended by then.

    Returns None where the history is too short for a single forward step: nothing can be said about quality then.

    Notes
    -----
    The calibration is the slope that the folds agree on, each with a level of its own. No level is carried forward: the
    last folds' level error has the sign of their season, and half a year later it was the wrong way round (Online
    Retail II: fitting it took the mean logloss of four origins from .545 to .590). The level is the clock's.
    """
    panel = prepared.panel
    folds = list(fold_predictions(prepared, parameters))
    if not folds:
        return None
    cutoffs, places, found = zip(*folds, strict=True)
    rows, logits = np.concatenate(places), np.concatenate(found)
    number = np.repeat(np.arange(len(places)), [len(place) for place in places])
    y = panel.y[rows]
    probability = np.empty(len(rows))
    horizon = pd.Timedelta(days=panel.target.horizon_days)
    for index, cutoff in enumerate(cutoffs):
        # only folds whose outcomes were known by then may calibrate
        past, now = (
            np.isin(number, [n for n, at in enumerate(cutoffs) if at + horizon <= cutoff]),
            number == index,
        )
        slope = fit_slope(logits[past], y[past], number[past])
        probability[now] = apply(levelled(slope, logits[now], prepared.ahead[rows[now]]), logits[now])
    return Forward(
        y=y,
        fold=number,
        row=rows,
        customer_id=panel.frame["customer_id"].iloc[rows].reset_index(drop=True),
        start=prepared.start[rows],
        logits=logits,
        probability=probability,
        calibration=fit_slope(logits, y, number),
    )


def levelled(calibration: PlattCalibration, logits: Floats, ahead: Floats) -> PlattCalibration:
    """Return the calibration with the intercept that gives these customers the mean probability of the baseline's log odds."""
    mean = float(expit(ahead).mean()) if len(ahead) else 0.5
    return with_mean(calibration, logits, mean)


def train(
    prepared: Prepared,
    warehouse_id: str,
    parameters: Mapping[str, float | int],
    calibration: PlattCalibration,
    metrics: Mapping[str, float],
) -> ChurnModel:
    """Fit on all mature rows, with the slope that the forward predictions gave and the level of the as-of's population."""
    panel, present = prepared.panel, prepared.present
    trees, weight, logits = None, 0.0, present.ahead
    if not prepared.baseline_only:
        trees, weight = fit_trees(prepared.x, panel.y, prepared.level, parameters), TREE_WEIGHT
        logits = blended(present.ahead, raw_scores(trees, present.x), weight)
    card = ChurnCard(
        target=panel.target.name,
        asks=panel.target.asks,
        horizon_days=panel.target.horizon_days,
        population=panel.target.population,
        warehouse_id=warehouse_id,
        as_of=panel.as_of.isoformat(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cutoffs=tuple(cutoff.isoformat() for cutoff in panel.cutoffs),
        rows=len(panel.y),
        churn_share=float(panel.y.mean()),
        contract=current_contract(),
        baseline=prepared.baseline,
        baseline_mean=float(present.ahead.mean()) if len(present.ahead) else 0.0,
        clock=prepared.clock,
        tree_weight=weight,
        calibration=levelled(calibration, logits, present.ahead),
        parameters=dict(parameters),
        metrics=dict(metrics),
    )
    return ChurnModel(trees, card)
