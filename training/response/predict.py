"""Response model files -> uplifts. NumPy and LightGBM only; serving may import it.

The uplift of an arm is ``average + slope * (z - center)`` (``EffectLine``), z being a mixture of two raw uplifts: that of one
factor on everybody's odds, sigmoid(l + shift) - sigmoid(l + the control's shift) with l the log odds that the outcome trees
give, and that of the arm's own trees.

A row's predictions are the same bits alone as among others.
"""

from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.contract import current_contract
from features.errors import ModelError
from training.components import Columns, matrix, raw_scores, require
from training.response.card import ResponseCard, response_page

__all__ = [
    "ResponseModel",
    "Uplifts",
    "load_response",
    "odds_uplift",
    "predict_response",
    "save_response",
    "sigmoid",
]

Floats = NDArray[np.float64]

_TREES, _OUTCOMES = "response_trees_{}.txt", "response_outcomes.txt"
_CARD, _PAGE = "response_card.json", "RESPONSE_CARD.md"


@dataclass(frozen=True)
class ResponseModel:
    """Trees of who orders, those of each arm's raw uplift, in the order of the card's arms, and their card."""

    outcomes: lgb.Booster
    trees: tuple[lgb.Booster, ...]
    card: ResponseCard


@dataclass(frozen=True, eq=False)
class Uplifts:
    """What offers do to n customers: by how much they raise the probability of an order within the card's horizon.

    Attributes
    ----------
    arms
        Names of the columns, each against the control.
    uplift
        n x arms; below 0 where the offer drives away.
    low, high
        95 % interval for the mean uplift of all customers of whom the same is predicted, n x arms. It says how well that mean
        is known, not how much single customers differ from it.
    """

    arms: tuple[str, ...]
    uplift: Floats
    low: Floats
    high: Floats


def sigmoid(logits: Floats) -> Floats:
    """Return probabilities of log odds, of any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def odds_uplift(shared: Floats, shift: float, control_shift: float) -> Floats:
    """Return by how much an arm raises a probability whose log odds it shifts, against the control's shift of them."""
    return sigmoid(shared + shift) - sigmoid(shared + control_shift)


def predict_response(model: ResponseModel, columns: Columns, threads: int = 1) -> Uplifts:
    """Predict the uplift of each arm.

    Parameters
    ----------
    columns
        Features as ``features.build`` gives them.
    threads
        LightGBM's; one is fastest for few rows and the only civil choice inside a server.

    Raises
    ------
    ContractError
        Columns the model was trained on are lacking.
    """
    require(model.card.contract, columns)
    x = matrix(columns, model.card.contract.names)
    shared = model.card.outcome_level + raw_scores(model.outcomes, x, threads)
    shape = (len(x), len(model.trees))
    uplift, low, high = np.empty(shape), np.empty(shape), np.empty(shape)
    for place, (arm, trees) in enumerate(zip(model.card.arms, model.trees, strict=True)):
        odds = odds_uplift(shared, arm.shift, model.card.control_shift)
        away = arm.line.away(odds, raw_scores(trees, x, threads))
        uplift[:, place] = arm.line.uplift(away)
        low[:, place], high[:, place] = arm.line.interval(away)
    return Uplifts(tuple(arm.arm for arm in model.card.arms), uplift, low, high)


def save_response(model: ResponseModel, folder: Path) -> None:
    """Write the trees of each arm (LightGBM's text format), the card, and ``RESPONSE_CARD.md`` for people."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(_TREES.format("*")):
        old.unlink()
    model.outcomes.save_model(folder / _OUTCOMES)
    for place, trees in enumerate(model.trees):
        trees.save_model(folder / _TREES.format(place))
    (folder / _CARD).write_text(model.card.to_json(), encoding="utf-8")
    (folder / _PAGE).write_text(response_page(model.card), encoding="utf-8")


def load_response(folder: Path) -> ResponseModel:
    """Read what ``save_response`` wrote, and hold its features against today's catalogue.

    Raises
    ------
    ModelError
        A file is missing or damaged.
    ContractError
        The features have changed since.
    """
    try:
        card = ResponseCard.from_json(_file(folder, _CARD))
        names = (_OUTCOMES, *(_TREES.format(place) for place in range(len(card.arms))))
        outcomes, *trees = (lgb.Booster(model_str=_file(folder, name)) for name in names)
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as problem:
        if isinstance(problem, ModelError):
            raise
        raise ModelError(f"{folder} holds a damaged response model ({problem}): train again") from problem
    card.contract.require_same(current_contract())
    return ResponseModel(outcomes, tuple(trees), card)


def _file(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise ModelError(f"{folder} holds no response model: {name} is missing") from problem
