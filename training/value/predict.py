"""Value model files -> predictions. NumPy and LightGBM only (scipy.special on the first prediction); serving may import it.

The spend net of refunds within a horizon is expected to be

    MBG/NBD's purchase days * Gamma-Gamma's spend of one * exp(season + level + total + weight * trees)

A row's predictions are the same bits alone as among others.
"""

from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.contract import current_contract
from features.errors import ModelError
from training.baselines import MBGNBD, expected_purchases
from training.components import Columns, history_weeks, matrix, raw_scores
from training.gamma_gamma import GammaGamma, expected_mean_spend
from training.value.card import ValueCard, value_page

__all__ = [
    "VALUE_CARD",
    "VALUE_HORIZONS_DAYS",
    "ValueModel",
    "ValuePredictions",
    "expected_spend",
    "load_value",
    "log_mean_spend",
    "predict_value",
    "purchase_days",
    "save_value",
]

Floats = NDArray[np.float64]

VALUE_HORIZONS_DAYS = (90, 365)
"""Horizons that have a card; the trees are fitted to the first."""

VALUE_CARD = "value_card.json"
"""The file that a folder with a value model has."""

_TREES, _PAGE = "value_trees.txt", "VALUE_CARD.md"
# Least purchase days expected of anybody: finite logarithms, and nothing of a total.
_LEAST = 1e-12


@dataclass(frozen=True)
class ValueModel:
    """Trees and their card; no trees where there was too little to grow them on: MBG/NBD, Gamma-Gamma and season, then."""

    trees: lgb.Booster | None
    card: ValueCard


@dataclass(frozen=True, eq=False)
class ValuePredictions:
    """What is predicted of n customers; money in the card's currency, each of length n.

    Attributes
    ----------
    predicted_clv_90d, predicted_clv
        Spend net of refunds in the next 90 and 365 days; the latter never below the former.
    predicted_clv_low, predicted_clv_high
        10-90 % band of the 365 days; the upper end is never below the expectation.
    predicted_number_of_orders
        In the next 365 days.
    """

    predicted_clv_90d: Floats
    predicted_clv: Floats
    predicted_clv_low: Floats
    predicted_clv_high: Floats
    predicted_number_of_orders: Floats


def purchase_days(baseline: MBGNBD, columns: Columns, horizon_days: float) -> Floats:
    """Return MBG/NBD's expected purchase days within the horizon, length n, above 0."""
    return np.maximum(expected_purchases(baseline, *history_weeks(columns), horizon_days / 7.0), _LEAST)


def log_mean_spend(spend: GammaGamma, cap: float, columns: Columns) -> Floats:
    """Return the log of Gamma-Gamma's spend net of refunds on a purchase day; means count up to the cap."""
    days, net = (np.asarray(columns[name], dtype=np.float64) for name in ("active_days_all", "net_spend_all"))
    mean = np.clip(net / np.maximum(days, 1.0), 0.0, cap)
    return np.asarray(np.log(expected_mean_spend(spend, days, mean)))


def predict_value(
    model: ValueModel, columns: Columns, threads: int = 1, *, ahead_days: Floats | float = 0.0
) -> ValuePredictions:
    """Predict spends, their band and orders.

    Parameters
    ----------
    columns
        Features of customers with an order, as ``features.build`` gives them.
    threads
        LightGBM's; one is fastest for few rows and the only civil choice inside a server.
    ahead_days
        From the model's as-of to the cutoff of the features: one figure, or one a row. The season is told from there.

    Raises
    ------
    ContractError
        Columns the model was trained on are lacking.
    """
    card = model.card
    rate, added = _rate(model, columns, threads)
    spends, orders = [], []
    for horizon in card.horizons:
        expected = purchase_days(card.baseline, columns, horizon.horizon_days)
        orders.append(
            expected * np.exp(card.season.shift(horizon.horizon_days, ahead_days) + horizon.log_level)
        )
        spends.append(orders[-1] * np.exp(rate + added))
    year = np.maximum(*spends)
    low, high = card.horizons[1].band.around(year, orders[1])
    # of few customers who are likely to spend nothing, the mean lies above nine in ten
    return ValuePredictions(spends[0], year, low, np.maximum(high, year), orders[1])


def expected_spend(model: ValueModel, columns: Columns, horizon_days: float, threads: int = 1) -> Floats:
    """Return the expected spend net of refunds within any horizon, length n: trees and season, without a level of its own.

    The other arguments and the errors are those of ``predict_value``.
    """
    rate, added = _rate(model, columns, threads)
    expected = purchase_days(model.card.baseline, columns, horizon_days)
    return np.asarray(expected * np.exp(model.card.season.shift(horizon_days) + rate + added))


def _rate(model: ValueModel, columns: Columns, threads: int) -> tuple[Floats, Floats]:
    """Return the logs of the spend of a purchase day, and of what the trees make of it."""
    card = model.card
    if any(name not in columns for name in card.contract.names):
        card.contract.require([str(name) for name in columns])
    x = matrix(columns, card.contract.names)
    mean = log_mean_spend(card.spend, card.mean_spend_cap, columns)
    return mean, card.log_total + card.tree_weight * raw_scores(model.trees, x, threads)


def save_value(model: ValueModel, folder: Path) -> None:
    """Write trees (LightGBM's text format), the card, and ``VALUE_CARD.md`` for people."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _TREES).unlink(missing_ok=True)
    if model.trees is not None:
        model.trees.save_model(folder / _TREES)
    (folder / VALUE_CARD).write_text(model.card.to_json(), encoding="utf-8")
    (folder / _PAGE).write_text(value_page(model.card), encoding="utf-8")


def load_value(folder: Path) -> ValueModel:
    """Read what ``save_value`` wrote, and hold its features against today's catalogue.

    Raises
    ------
    ModelError
        A file is missing or damaged.
    ContractError
        The features have changed since.
    """
    try:
        card = ValueCard.from_json((folder / VALUE_CARD).read_text(encoding="utf-8"))
        trees = None
        if card.tree_weight:
            trees = lgb.Booster(model_str=(folder / _TREES).read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise ModelError(f"{folder} holds no value model: {problem.filename} is missing") from problem
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as problem:
        raise ModelError(f"{folder} holds a damaged value model ({problem}): train again") from problem
    card.contract.require_same(current_contract())
    return ValueModel(trees, card)
