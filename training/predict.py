"""Model files -> predictions. NumPy and LightGBM only; training and serving call the same functions."""

from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.contract import current_contract
from features.errors import ModelError
from training.baselines import MBGNBD, probability_no_purchase
from training.calibration import apply, logit
from training.card import ChurnCard

__all__ = [
    "ChurnModel",
    "baseline_logit",
    "churn_probability",
    "history_weeks",
    "load_model",
    "matrix",
    "save_model",
]

Floats = NDArray[np.float64]

_TREES, _CARD, _PAGE = "trees.txt", "card.json", "MODEL_CARD.md"


@dataclass(frozen=True)
class ChurnModel:
    """Trees and their card."""

    trees: lgb.Booster
    card: ChurnCard


def history_weeks(frame: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Return frequency x (repeat purchase days), recency t_x and age T in weeks, each of length n.

    Orders of one day are one purchase, as in the literature.
    """
    frequency = np.maximum(frame["active_days_all"].to_numpy(dtype=np.float64) - 1.0, 0.0)
    age = frame["days_since_first_order"].to_numpy(dtype=np.float64) / 7.0
    since = frame["days_since_last_order"].to_numpy(dtype=np.float64) / 7.0
    return frequency, np.where(frequency > 0, age - since, 0.0), age


def baseline_logit(baseline: MBGNBD, frame: pd.DataFrame, horizon_days: int) -> Floats:
    """Return the MBG/NBD log odds of no purchase within the horizon, length n."""
    return logit(probability_no_purchase(baseline, *history_weeks(frame), horizon_days / 7.0))


def matrix(frame: pd.DataFrame, names: tuple[str, ...]) -> Floats:
    """Return the features in the model's order, n x features, NaN where undefined."""
    return frame[list(names)].to_numpy(dtype=np.float64)


def churn_probability(model: ChurnModel, frame: pd.DataFrame, *, threads: int = 1) -> Floats:
    """Return the calibrated probability of no order within the horizon, length n.

    Parameters
    ----------
    frame
        Features of customers with an order, as ``features.build`` gives them.
    threads
        LightGBM's; one is fastest for few rows and the only civil choice inside a server.

    Raises
    ------
    ContractError
        The frame lacks columns the model was trained on.
    """
    card = model.card
    card.contract.require(list(frame.columns))
    if frame.empty:
        return np.empty(0)
    trees = model.trees.predict(matrix(frame, card.contract.names), raw_score=True, num_threads=threads)
    start = baseline_logit(card.baseline, frame, card.horizon_days)
    return apply(card.calibration, start + card.tree_weight * np.asarray(trees, dtype=np.float64))


def save_model(model: ChurnModel, folder: Path) -> None:
    """Write ``trees.txt`` (LightGBM's text format), ``card.json`` and ``MODEL_CARD.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    model.trees.save_model(folder / _TREES)
    (folder / _CARD).write_text(model.card.to_json(), encoding="utf-8")
    (folder / _PAGE).write_text(model.card.to_markdown(), encoding="utf-8")


def load_model(folder: Path) -> ChurnModel:
    """Read what ``save_model`` wrote, and hold its features against today's catalogue.

    Raises
    ------
    ModelError
        A file is missing or damaged.
    ContractError
        The features have changed since.
    """
    for name in (_TREES, _CARD):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} holds no model: {name} is missing")
    try:
        card = ChurnCard.from_json((folder / _CARD).read_text(encoding="utf-8"))
        trees = lgb.Booster(model_file=folder / _TREES)
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as problem:
        raise ModelError(f"{folder} holds a damaged model ({problem}): train again") from problem
    card.contract.require_same(current_contract())
    return ChurnModel(trees, card)
