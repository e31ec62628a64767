"""The value model: spend net of refunds in the next 90 and 365 days, and orders in the next 365.

Two models of four and three parameters say how often a customer will buy (MBG/NBD) and for how much (Gamma-Gamma); the season
says how fast the whole base will (training/value/season.py). LightGBM corrects their product where the other features know
better: Tweedie loss with a log link (Jorgensen 1987, Journal of the Royal Statistical Society B 49(2), 127-162; spends are 0 or
skewed), started from the log of the product in the season that really came. The trees are added at half weight, which
averages both models on the log scale, and the total is left as it was: they move money between customers.

Heavy tails: spends of training rows are cut at a quantile before trees are fitted, and a customer's mean spend counts for
Gamma-Gamma up to a quantile of all customers' (both on the card).
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
from training.components import raw_scores
from training.value.card import ValueCard
from training.value.forward import ForwardSpend, forward_figures, horizon_card
from training.value.panel import MIN_BUYERS, MIN_ROWS, PreparedValue
from training.value.predict import ValueModel

__all__ = ["VALUE_PARAMETERS", "ForwardSpend", "forward_figures", "forward_value", "train_value"]

Floats = NDArray[np.float64]

VALUE_PARAMETERS: Mapping[str, float | int] = {
    "num_boost_round": 120,
    "learning_rate": 0.03,
    "num_leaves": 8,
    "max_bin": 63,
    "min_share_in_leaf": 0.01,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "tweedie_variance_power": 1.5,
    "seed": 1,
}
"""LightGBM's, but for ``min_share_in_leaf``: ``min_data_in_leaf`` as a share of the rows."""

TREE_WEIGHT = 0.5
FOLDS = (6, 3)
"""Cutoffs that are predicted forward, one number a horizon."""

_SPEND_QUANTILE = 0.995


@dataclass(frozen=True, eq=False)
class _Correction:
    """Trees, if there was enough to grow them on, their weight, and what they were fitted to."""

    trees: lgb.Booster | None
    weight: float
    rows: NDArray[np.int64]
    spend_cap: float
    log_total: float

    def added(self, x: Floats) -> Floats:
        """Return what is added to the log of the expected spend, one number a row."""
        return self.log_total + self.weight * raw_scores(self.trees, x)


def train_value(
    value: PreparedValue,
    forward: tuple[ForwardSpend, ForwardSpend | None],
    parameters: Mapping[str, float | int],
    metrics: Mapping[str, float],
) -> ValueModel:
    """Fit on all mature rows, with levels and bands measured on the forward predictions (``forward_value``).

    Parameters
    ----------
    metrics
        Forward figures for the card: name -> value.
    """
    panel, as_of = value.prepared.panel, value.prepared.panel.as_of
    made, spend = _correct(value, as_of, parameters), value.spends[as_of]
    cutoffs = sorted(value.cutoff.iloc[made.rows].unique())
    card = ValueCard(
        population=panel.target.population,
        warehouse_id=value.warehouse_id,
        currency=value.currency,
        as_of=as_of.isoformat(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        contract=current_contract(),
        baseline=value.prepared.baseline,
        spend=spend.model,
        mean_spend_cap=spend.cap,
        frequency_spend_correlation=spend.correlation,
        season=value.seasons[as_of],
        trees_horizon_days=value.outlooks[0].horizon_days,
        cutoffs=tuple(pd.Timestamp(at).isoformat() for at in cutoffs),
        rows=len(made.rows),
        spend_cap=made.spend_cap,
        tree_weight=made.weight,
        log_total=made.log_total,
        horizons=tuple(
            horizon_card(forward, place, outlook.horizon_days) for place, outlook in enumerate(value.outlooks)
        ),
        parameters=dict(parameters),
        metrics=dict(metrics),
    )
    return ValueModel(made.trees, card)


def forward_value(
    value: PreparedValue, parameters: Mapping[str, float | int]
) -> tuple[ForwardSpend, ForwardSpend | None]:
    """Predict the last mature cutoffs of each horizon by models that knew only labels which had ended by then.

    Where those were too few for trees, by MBG/NBD, Gamma-Gamma and season alone. The second is None where no outcome of the
    longer horizon is known.
    """
    near, far = (list(_folds(value, place, parameters)) for place in range(len(value.outlooks)))
    return _joined(value, 0, near), _joined(value, 1, far) if far else None


def _correct(
    value: PreparedValue, known_by: pd.Timestamp, parameters: Mapping[str, float | int]
) -> _Correction:
    """Fit the trees to the outcomes of the shortest horizon that were known at an instant; none where those are too few."""
    outlook, rows = value.outlooks[0], _known(value, known_by)
    spent, start = np.maximum(outlook.spent[rows], 0.0), outlook.log_start[rows] + outlook.paced[rows]
    if value.prepared.baseline_only or len(rows) < MIN_ROWS or (spent > 0).sum() < MIN_BUYERS:
        return _Correction(None, 0.0, rows, 0.0, 0.0)
    cap = float(np.quantile(spent[spent > 0], _SPEND_QUANTILE, method="lower"))
    x = value.prepared.x[rows]
    trees = _grow(x, np.minimum(spent, cap), start, parameters)
    moved = start + TREE_WEIGHT * raw_scores(trees, x)
    total = float(np.log(np.exp(start).sum() / np.exp(moved).sum()))
    return _Correction(trees, TREE_WEIGHT, rows, cap, total)


def _known(value: PreparedValue, known_by: pd.Timestamp) -> NDArray[np.int64]:
    """Return the rows whose outcome of the shortest horizon was known at an instant."""
    near = value.outlooks[0]
    over = (value.cutoff + pd.Timedelta(days=near.horizon_days) <= known_by).to_numpy()
    return np.flatnonzero(over & np.isfinite(near.spent))


def _grow(x: Floats, spent: Floats, start: Floats, parameters: Mapping[str, float | int]) -> lgb.Booster:
    """Fit trees on top of given log spends."""
    unit = max(float(spent.mean()), 1e-9)  # LightGBM's least sums of hessians are made for numbers about 1
    names = current_contract().names
    return fit_boosted(x, spent / unit, start - np.log(unit), parameters, names, objective="tweedie")


def _folds(
    value: PreparedValue, place: int, parameters: Mapping[str, float | int]
) -> Iterator[tuple[NDArray[np.int64], Floats, Floats]]:
    """Yield, oldest fold first, rows, predicted spends and expected purchases."""
    outlook = value.outlooks[place]
    mature = np.isfinite(outlook.spent)
    for at in sorted(value.cutoff[mature].unique())[-FOLDS[place] :]:
        rows = np.flatnonzero(mature & (value.cutoff == at).to_numpy())
        made = _correct(value, at, parameters)
        shift = value.seasons[pd.Timestamp(at)].shift(outlook.horizon_days)
        predicted = np.exp(outlook.log_start[rows] + shift + made.added(value.prepared.x[rows]))
        yield rows, predicted, outlook.purchases[rows] * np.exp(shift)


def _joined(
    value: PreparedValue, place: int, folds: list[tuple[NDArray[np.int64], Floats, Floats]]
) -> ForwardSpend:
    """Lay folds (rows, predicted spends, expected purchases) end to end."""
    outlook = value.outlooks[place]
    rows, predicted, purchases = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    return ForwardSpend(
        horizon_days=outlook.horizon_days,
        fold=np.repeat(np.arange(len(folds)), [len(fold[0]) for fold in folds]),
        row=rows,
        customer_id=value.prepared.panel.frame["customer_id"].iloc[rows].reset_index(drop=True),
        spent=outlook.spent[rows],
        predicted=predicted,
        baseline=np.exp(outlook.log_start[rows]),
        purchases=purchases,
    )
