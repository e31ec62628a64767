"""Model files -> predictions: what one training made, saved, loaded and asked. NumPy and LightGBM only.

Features come as columns: any mapping of feature name -> array of length n, a DataFrame included. A row's predictions are
the same bits alone as among others.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.contract import current_contract
from features.errors import ModelError
from training.card import ChurnCard, TimingCard, page
from training.components import (
    ChurnModel,
    Columns,
    TimingModel,
    bin_speeds,
    churn_of,
    churn_probability,
    hazard_correction,
    history_weeks,
    matrix,
    require,
)
from training.survival import (
    BIN_ENDS,
    HORIZONS_DAYS,
    anchored,
    baseline_hazards,
    cumulative_hazard,
    days_until,
    hazard_logits,
    probability_within,
)
from training.value.predict import (
    VALUE_CARD,
    ValueModel,
    ValuePredictions,
    load_value,
    predict_value,
    save_value,
)

__all__ = [
    "BASELINE_ONLY",
    "HORIZONS_DAYS",
    "QUANTILES",
    "ChurnModel",
    "Columns",
    "Models",
    "Predictions",
    "TimingModel",
    "churn_probability",
    "curves",
    "load_models",
    "predict",
    "save_models",
    "seal",
]

Floats = NDArray[np.float64]

QUANTILES = (0.1, 0.5, 0.9)
"""Probabilities with which the next order has come by the days that are given."""

BASELINE_ONLY = "mbg_nbd"
"""What the version of a model without trees ends in."""

_PAGE, _SEAL = "MODEL_CARD.md", "files.json"


@dataclass(frozen=True)
class Models:
    """What one training made: models of the same features, as of the same instant.

    Attributes
    ----------
    value
        None where hardly anybody had ever spent anything.
    """

    churn: ChurnModel
    timing: TimingModel
    value: ValueModel | None = None

    def label(self, version: str) -> str:
        """Return the version as scores name it: one without trees says what it is."""
        return version if self.churn.trees is not None else f"{version}-{BASELINE_ONLY}"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What is predicted of n customers.

    Attributes
    ----------
    churn_probability
        P(no order within the churn model's horizon), length n.
    p_order
        P(order within each of ``training.survival.HORIZONS_DAYS``), n x horizons, never falling; the last is
        1 - churn_probability, bit for bit.
    days_p10, days_median, days_p90
        Days after the cutoff by which the next order has come with 10, 50 and 90 %, length n; NaN beyond a year.
    value
        Spend and orders to come; None without a value model.
    """

    churn_probability: Floats
    p_order: Floats
    days_p10: Floats
    days_median: Floats
    days_p90: Floats
    value: ValuePredictions | None


def predict(
    models: Models, columns: Columns, *, ahead_days: Floats | float = 0.0, threads: int = 1
) -> Predictions:
    """Return all that the models say of n customers; parameters and errors as of ``churn_probability``."""
    churn, hazard = curves(models, columns, ahead_days=ahead_days, threads=threads)
    p10, median, p90 = (days_until(hazard, probability) for probability in QUANTILES)
    value = (
        None
        if models.value is None
        else _coherent(predict_value(models.value, columns, threads, ahead_days=ahead_days), churn)
    )
    return Predictions(churn, probability_within(hazard, churn), p10, median, p90, value)


def _coherent(value: ValuePredictions, churn: Floats) -> ValuePredictions:
    """Let nobody be expected to place fewer orders in a year than one with the probability of one in the horizon."""
    return replace(
        value, predicted_number_of_orders=np.maximum(value.predicted_number_of_orders, 1.0 - churn)
    )


def curves(
    models: Models, columns: Columns, *, ahead_days: Floats | float = 0.0, threads: int = 1
) -> tuple[Floats, Floats]:
    """Return the churn probability, length n, and the cumulative hazard that agrees with it, n x bins.

    Parameters and errors as of ``churn_probability``.
    """
    contract, card = models.churn.card.contract, models.timing.card
    require(contract, columns)
    x, history = matrix(columns, contract.names), history_weeks(columns)
    churn = churn_of(models.churn, x, history, ahead_days, threads)
    trees = hazard_correction(models.timing.trees, x, contract.names, threads)
    growth = baseline_hazards(card.baseline, history) * np.exp(
        bin_speeds(models.churn.card.clock, ahead_days)
    )
    logits = hazard_logits(growth) + card.tree_weight * trees
    return churn, anchored(cumulative_hazard(logits), churn)


def save_models(models: Models, folder: Path) -> None:
    """Write trees (LightGBM's text format) and card of each model, and ``MODEL_CARD.md`` for people."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in (("churn", models.churn), ("timing", models.timing)):
        if model.trees is not None:
            model.trees.save_model(folder / f"{name}_trees.txt")
        (folder / f"{name}_card.json").write_text(model.card.to_json(), encoding="utf-8")
    if models.value is not None:
        save_value(models.value, folder)
    seal(folder)
    (folder / _PAGE).write_text(page(models.churn.card, models.timing.card), encoding="utf-8")


def seal(folder: Path) -> None:
    """Write down which files the models in a folder are made of, and their digests (SHA-256)."""
    parts = sorted(path for path in folder.iterdir() if path.suffix != ".md" and path.name != _SEAL)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}
    (folder / _SEAL).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def load_models(folder: Path) -> Models:
    """Read what ``save_models`` wrote, and hold its features against today's catalogue.

    Raises
    ------
    ModelError
        A file is missing or damaged, or the files are those of different trainings.
    ContractError
        The features have changed since.
    """
    sealed = _sealed(folder)
    try:
        churn_card = ChurnCard.from_json(_file(folder, "churn_card.json"))
        timing_card = TimingCard.from_json(_file(folder, "timing_card.json"))
        churn = ChurnModel(_trees(folder, "churn", churn_card.tree_weight), churn_card)
        timing = TimingModel(_trees(folder, "timing", timing_card.tree_weight), timing_card)
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as problem:
        raise ModelError(f"{folder} holds a damaged model ({problem}): train again") from problem
    _refuse_mixture(Models(churn, timing), folder)
    churn.card.contract.require_same(current_contract())
    models = Models(churn, timing, load_value(folder) if VALUE_CARD in sealed else None)
    _refuse_mixture(models, folder)
    return models


def _sealed(folder: Path) -> set[str]:
    """Return the names of the files, each the one that was saved: LightGBM ends the process on half a model."""
    try:
        sealed: dict[str, str] = json.loads(_file(folder, _SEAL))
    except ValueError as problem:
        raise ModelError(f"{folder} holds a damaged model ({_SEAL}: {problem}): train again") from problem
    for name, digest in sealed.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{folder} holds no model: {name} is missing")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ModelError(f"{folder} holds a damaged model ({name} is not what was saved): train again")
    return set(sealed)


def _refuse_mixture(models: Models, folder: Path) -> None:
    cards = [model.card for model in (models.churn, models.timing, models.value) if model is not None]
    made = {(card.warehouse_id, card.as_of, card.contract.digest) for card in cards}
    ends = tuple(BIN_ENDS.tolist())
    if len(made) > 1 or models.timing.card.bin_ends != ends:
        found = "; ".join(str(one) for one in sorted(made))
        raise ModelError(
            f"{folder} mixes trainings or bins: {found}, bins {models.timing.card.bin_ends}, expected {ends}. Train again."
        )


def _trees(folder: Path, name: str, weight: float) -> lgb.Booster | None:
    return lgb.Booster(model_str=_file(folder, f"{name}_trees.txt")) if weight else None


def _file(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise ModelError(f"{folder} holds no model: {name} is missing") from problem
