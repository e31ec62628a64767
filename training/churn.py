"""The churn model: LightGBM on many cutoffs, started from the MBG/NBD log odds, calibrated on forward predictions.

The log odds of churn are ``slope * (baseline + tree_weight * trees)``. The baseline, four parameters fitted by maximum
likelihood, carries frequency and recency; the trees correct it where the other features know better. Adding the trees
at half weight averages the two models on the logit scale.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build
from features.contract import current_contract
from features.errors import TooLittleHistory
from features.warehouse import Warehouse
from training.baselines import MBGNBD, fit_mbg_nbd
from training.calibration import PlattCalibration, apply, expit, fit_slope
from training.card import ChurnCard
from training.panel import Panel, build_panel, forward_folds
from training.predict import ChurnModel, baseline_logit, history_weeks, matrix
from training.targets import CHURN_90D, Target

__all__ = [
    "PARAMETERS",
    "TREE_WEIGHT",
    "Forward",
    "Prepared",
    "fit_baselines",
    "fit_boosted",
    "fold_predictions",
    "forward_predictions",
    "prepare",
    "train",
]

Floats = NDArray[np.float64]

PARAMETERS: Mapping[str, float | int] = {
    "num_boost_round": 120,
    "learning_rate": 0.03,
    "num_leaves": 8,
    "min_share_in_leaf": 0.01,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "seed": 1,
}
"""LightGBM's, but for ``min_share_in_leaf``: ``min_data_in_leaf`` as a share of the rows."""

TREE_WEIGHT = 0.5
FOLDS = 6
_MIN_ROWS, _MIN_OF_EACH = 500, 50
_MANY_VALUES = 20_000_000


@dataclass(frozen=True)
class Prepared:
    """A panel with the baseline of each of its cutoffs.

    Attributes
    ----------
    start
        MBG/NBD log odds of each row, by parameters fitted to the orders before its cutoff; length n.
    baselines
        Cutoff -> parameters fitted to the orders before it; among them the as-of's, for scoring from then on.
    """

    panel: Panel
    x: Floats
    start: Floats
    baselines: Mapping[pd.Timestamp, MBGNBD]

    @property
    def baseline(self) -> MBGNBD:
        """Parameters fitted to the orders before the as-of."""
        return self.baselines[self.panel.as_of]


@dataclass(frozen=True)
class Forward:
    """Forward out-of-fold predictions, oldest fold first; arrays of length m.

    Attributes
    ----------
    fold
        Number of each row's fold.
    row
        Its number in the panel.
    start, trees
        Log odds of the baseline, and what the trees add.
    probability
        Calibrated by the folds before it only, so that its figures are honest.
    calibration
        Fitted on all folds: what the model gets.
    """

    y: NDArray[np.int8]
    fold: NDArray[np.int64]
    row: NDArray[np.int64]
    customer_id: pd.Series
    start: Floats
    trees: Floats
    probability: Floats
    calibration: PlattCalibration

    @property
    def baseline_probability(self) -> Floats:
        """What MBG/NBD alone says."""
        return expit(self.start)


def prepare(warehouse: Warehouse, as_of: pd.Timestamp, target: Target = CHURN_90D) -> Prepared:
    """Build the panel and fit the baseline at each of its cutoffs.

    Cutoffs at which too few had ever ordered for a baseline are left out.

    Raises
    ------
    TooLittleHistory
        Too few rows, or hardly any customer of one kind.
    """
    panel = build_panel(warehouse, target, as_of)
    baselines = fit_baselines(warehouse, [*panel.cutoffs, as_of])
    fitted = panel.frame["cutoff"].isin(list(baselines)).to_numpy()
    panel = replace(panel, frame=panel.frame[fitted].reset_index(drop=True), y=panel.y[fitted])
    churned = int(panel.y.sum())
    if (
        as_of not in baselines
        or len(panel.y) < _MIN_ROWS
        or min(churned, len(panel.y) - churned) < _MIN_OF_EACH
    ):
        raise TooLittleHistory(
            f"training as of {as_of} has {len(panel.y)} rows (customer, cutoff), {churned} of which churned; it needs "
            f"{_MIN_ROWS}, and {_MIN_OF_EACH} of each kind: choose a later --as-of or ingest more history"
        )
    start = np.empty(len(panel.y))
    for cutoff in panel.cutoffs:
        here = (panel.frame["cutoff"] == cutoff).to_numpy()
        start[here] = baseline_logit(baselines[cutoff], panel.frame[here], target.horizon_days)
    return Prepared(panel, matrix(panel.frame, current_contract().names), start, baselines)


def fit_baselines(warehouse: Warehouse, cutoffs: list[pd.Timestamp]) -> dict[pd.Timestamp, MBGNBD]:
    """Fit MBG/NBD at each cutoff to all customers who ever ordered before it; where they are too few there is none."""
    columns = ("orders_all", "active_days_all", "days_since_last_order", "days_since_first_order")
    frame = build(warehouse, cutoffs, population="all", columns=columns)
    fitted = {}
    for cutoff, rows in frame[frame["orders_all"] > 0].groupby("cutoff"):
        try:
            fitted[pd.Timestamp(str(cutoff))] = fit_mbg_nbd(*history_weeks(rows))
        except TooLittleHistory:
            continue
    return fitted


def fit_boosted(
    x: Floats,
    y: NDArray[np.generic],
    start: Floats,
    parameters: Mapping[str, float | int],
    names: Sequence[str],
) -> lgb.Booster:
    """Fit trees on top of given log odds; parameters as ``PARAMETERS``, names of the columns of x."""
    own = {
        name: value
        for name, value in parameters.items()
        if name not in ("num_boost_round", "min_share_in_leaf")
    }
    rows = max(20, round(float(parameters["min_share_in_leaf"]) * len(y)))
    settings = {
        "objective": "binary",
        "min_data_in_leaf": rows,
        "bagging_freq": 1,
        "deterministic": True,
        "force_row_wise": True,
        # threads that wait for each other cost more than they bring on little data or a busy machine
        "num_threads": 1 if x.size < _MANY_VALUES else 0,
        "verbose": -1,
        **own,
    }
    data = lgb.Dataset(x, y, init_score=start, feature_name=list(names))
    return lgb.train(settings, data, num_boost_round=int(parameters["num_boost_round"]))


def fit_trees(
    x: Floats, y: NDArray[np.int8], start: Floats, parameters: Mapping[str, float | int]
) -> lgb.Booster:
    """Fit the trees on top of the baseline's log odds."""
    return fit_boosted(x, y, start, parameters, current_contract().names)


def fold_predictions(
    prepared: Prepared, parameters: Mapping[str, float | int]
) -> Iterator[tuple[pd.Timestamp, NDArray[np.int64], Floats]]:
    """Yield, oldest fold first, the validation cutoff, its rows and what trees that knew only its past add to them."""
    panel = prepared.panel
    for fold in forward_folds(panel, FOLDS):
        if len(np.unique(panel.y[fold.train])) == 2:
            booster = fit_trees(
                prepared.x[fold.train], panel.y[fold.train], prepared.start[fold.train], parameters
            )
            added = booster.predict(prepared.x[fold.validate], raw_score=True)
            yield fold.cutoff, np.flatnonzero(fold.validate), np.asarray(added, dtype=np.float64)


def forward_predictions(prepared: Prepared, parameters: Mapping[str, float | int]) -> Forward | None:
    """Predict each of the last cutoffs by a model that knew only labels which had ended by then.

    Returns None where the history is too short for a single forward step: nothing can be said about quality then.

    Notes
    -----
    The calibration is the slope that the folds agree on, each with a level of its own. No level is carried forward: the
    last folds' level error has the sign of their season, and half a year later it was the wrong way round (Online
    Retail II: fitting it took the mean logloss of four origins from .545 to .590).
    """
    panel = prepared.panel
    folds = list(fold_predictions(prepared, parameters))
    if not folds:
        return None
    cutoffs, masks, trees = zip(*folds, strict=True)
    rows = np.concatenate(masks)
    number = np.repeat(np.arange(len(masks)), [len(mask) for mask in masks])
    y, start, added = panel.y[rows], prepared.start[rows], np.concatenate(trees)
    raw = start + TREE_WEIGHT * added
    probability = np.empty(len(rows))
    horizon = pd.Timedelta(days=panel.target.horizon_days)
    for index, cutoff in enumerate(cutoffs):
        # only folds whose outcomes were known by then may calibrate
        past, now = (
            np.isin(number, [n for n, at in enumerate(cutoffs) if at + horizon <= cutoff]),
            number == index,
        )
        probability[now] = apply(fit_slope(raw[past], y[past], number[past]), raw[now])
    return Forward(
        y=y,
        fold=number,
        row=rows,
        customer_id=panel.frame["customer_id"].iloc[rows].reset_index(drop=True),
        start=start,
        trees=added,
        probability=probability,
        calibration=fit_slope(raw, y, number),
    )


def train(
    prepared: Prepared,
    warehouse_id: str,
    parameters: Mapping[str, float | int],
    calibration: PlattCalibration,
    metrics: Mapping[str, float],
) -> ChurnModel:
    """Fit on all mature rows, with the calibration that the forward predictions gave."""
    panel = prepared.panel
    trees = fit_trees(prepared.x, panel.y, prepared.start, parameters)
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
        baseline_mean=float(prepared.start.mean()),
        tree_weight=TREE_WEIGHT,
        calibration=calibration,
        parameters=dict(parameters),
        metrics=dict(metrics),
    )
    return ChurnModel(trees, card)
