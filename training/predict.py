"""Model files -> predictions. NumPy and LightGBM only; training and serving call the same functions.

Features come as columns: any mapping of feature name -> array of length n, a DataFrame included. A row's predictions are
the same bits alone as among others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.contract import Contract, current_contract
from features.errors import ModelError
from training.baselines import MBGNBD
from training.calibration import apply, logit
from training.card import ChurnCard, TimingCard, page
from training.clock import Clock
from training.survival import (
    BIN_ENDS,
    BIN_STARTS,
    HORIZONS_DAYS,
    anchored,
    baseline_hazards,
    baseline_log_survival,
    cumulative_hazard,
    days_until,
    hazard_logits,
    probability_within,
)

__all__ = [
    "BASELINE_ONLY",
    "HORIZONS_DAYS",
    "PERIOD_COLUMNS",
    "QUANTILES",
    "ChurnModel",
    "Columns",
    "Models",
    "Predictions",
    "TimingModel",
    "baseline_logit",
    "bin_speeds",
    "blended",
    "churn_probability",
    "curves",
    "hazard_correction",
    "history_weeks",
    "load_models",
    "matrix",
    "periods",
    "predict",
    "raw_scores",
    "save_models",
]

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.float64]] | pd.DataFrame

QUANTILES = (0.1, 0.5, 0.9)
"""Probabilities with which the next order has come by the days that are given."""

BASELINE_ONLY = "mbg_nbd"
"""What the version of a model without trees ends in."""

PERIOD_COLUMNS = ("bin_number", "bin_end_days", "days_since_last_order_then", "overdue_ratio_then")
"""What a person-period row knows beside the features; "then" is the middle of the bin, if nothing was ordered before."""

_BINS = len(BIN_ENDS)
_BIN_MIDDLES = (BIN_STARTS + BIN_ENDS) / 2.0
_PAGE = "MODEL_CARD.md"
# customers at a time: their rows, one a bin, stay within 60 MB
_BLOCK = 8_192


@dataclass(frozen=True)
class ChurnModel:
    """Trees and their card; no trees where there was too little to grow them on: MBG/NBD and the clock, then."""

    trees: lgb.Booster | None
    card: ChurnCard


@dataclass(frozen=True)
class TimingModel:
    """Trees on person-period rows, and their card; no trees where the churn model has none."""

    trees: lgb.Booster | None
    card: TimingCard


@dataclass(frozen=True)
class Models:
    """What one training made: models of the same features, as of the same instant."""

    churn: ChurnModel
    timing: TimingModel

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
    """

    churn_probability: Floats
    p_order: Floats
    days_p10: Floats
    days_median: Floats
    days_p90: Floats


def history_weeks(columns: Columns) -> tuple[Floats, Floats, Floats]:
    """Return frequency x (repeat purchase days), recency t_x and age T in weeks, each of length n.

    Orders of one day are one purchase, as in the literature.
    """
    frequency = np.maximum(_column(columns, "active_days_all") - 1.0, 0.0)
    age = _column(columns, "days_since_first_order") / 7.0
    since = _column(columns, "days_since_last_order") / 7.0
    return frequency, np.where(frequency > 0, age - since, 0.0), age


def baseline_logit(
    baseline: MBGNBD, columns: Columns, horizon_days: int, log_speed: Floats | float = 0.0
) -> Floats:
    """Return the MBG/NBD log odds of no purchase within the horizon, length n.

    Parameters
    ----------
    log_speed
        How fast the clock runs over the horizon (``training.clock``): one figure, or one a row.
    """
    return _baseline_logit(baseline, history_weeks(columns), horizon_days, log_speed)


def blended(baseline: Floats, trees: Floats, tree_weight: float) -> Floats:
    """Return the weighted mean of both models' log odds, length n."""
    return (1.0 - tree_weight) * baseline + tree_weight * trees


def matrix(columns: Columns, names: tuple[str, ...]) -> Floats:
    """Return the features in the model's order, n x features, NaN where undefined."""
    if isinstance(columns, pd.DataFrame):
        return columns[list(names)].to_numpy(dtype=np.float64)
    return np.array([columns[name] for name in names], dtype=np.float64).T.copy()


def churn_probability(
    model: ChurnModel, columns: Columns, *, ahead_days: Floats | float = 0.0, threads: int = 1
) -> Floats:
    """Return the calibrated probability of no order within the horizon, length n.

    Parameters
    ----------
    columns
        Features of customers with an order, as ``features.build`` gives them.
    ahead_days
        From the model's as-of to the cutoff of the features: one figure, or one a row. The clock is told from there.
    threads
        LightGBM's; one is fastest for few rows and the only civil choice inside a server.

    Raises
    ------
    ContractError
        Columns the model was trained on are lacking.
    """
    _require(model.card.contract, columns)
    x = matrix(columns, model.card.contract.names)
    return _churn(model, x, history_weeks(columns), ahead_days, threads)


def predict(
    models: Models, columns: Columns, *, ahead_days: Floats | float = 0.0, threads: int = 1
) -> Predictions:
    """Return all that the models say of n customers; parameters and errors as of ``churn_probability``."""
    churn, hazard = curves(models, columns, ahead_days=ahead_days, threads=threads)
    days = (days_until(hazard, probability) for probability in QUANTILES)
    return Predictions(churn, probability_within(hazard, churn), *days)


def curves(
    models: Models, columns: Columns, *, ahead_days: Floats | float = 0.0, threads: int = 1
) -> tuple[Floats, Floats]:
    """Return the churn probability, length n, and the cumulative hazard that agrees with it, n x bins.

    Parameters and errors as of ``churn_probability``.
    """
    contract, card = models.churn.card.contract, models.timing.card
    _require(contract, columns)
    x, history = matrix(columns, contract.names), history_weeks(columns)
    churn = _churn(models.churn, x, history, ahead_days, threads)
    trees = hazard_correction(models.timing.trees, x, contract.names, threads)
    growth = baseline_hazards(card.baseline, history) * np.exp(
        bin_speeds(models.churn.card.clock, ahead_days)
    )
    logits = hazard_logits(growth) + card.tree_weight * trees
    return churn, anchored(cumulative_hazard(logits), churn)


def bin_speeds(clock: Clock, ahead_days: Floats | float = 0.0) -> Floats:
    """Return the clock's log speed in the middle of each bin, 1 x bins, or n x bins for n rows' ``ahead_days``."""
    return clock.log_speed(np.floor(np.atleast_1d(ahead_days))[:, None] + _BIN_MIDDLES)


def hazard_correction(
    trees: lgb.Booster | None, x: Floats, names: tuple[str, ...], threads: int = 1
) -> Floats:
    """Return what the timing trees add to the log odds of each bin's hazard, n x bins; x and names as of ``periods``."""
    added = np.zeros((len(x), _BINS))
    if trees is None:
        return added
    for first in range(0, len(x), _BLOCK):
        block = x[first : first + _BLOCK]
        customer, bin_number = np.divmod(np.arange(len(block) * _BINS), _BINS)
        rows = periods(block, names, customer, bin_number)
        added[first : first + _BLOCK] = raw_scores(trees, rows, threads).reshape(-1, _BINS)
    return added


def periods(
    x: Floats, names: tuple[str, ...], row: NDArray[np.int64], bin_number: NDArray[np.int64]
) -> Floats:
    """Return person-period rows: the features of these rows of x, then ``PERIOD_COLUMNS``.

    Parameters
    ----------
    x, names
        Features, n x features, and their names.
    row, bin_number
        Which row and which bin each person-period row is about.
    """
    k = len(names)
    laid_out = np.empty((len(row), k + len(PERIOD_COLUMNS)))
    laid_out[:, :k] = x[row]
    silent = laid_out[:, names.index("days_since_last_order")] + _BIN_MIDDLES[bin_number]
    gap = laid_out[:, names.index("gap_mean_days")]
    laid_out[:, k] = bin_number
    laid_out[:, k + 1] = BIN_ENDS[bin_number]
    laid_out[:, k + 2] = silent
    laid_out[:, k + 3] = silent / np.where(gap > 0, gap, np.nan)
    return laid_out


def save_models(models: Models, folder: Path) -> None:
    """Write trees (LightGBM's text format) and card of each model, and ``MODEL_CARD.md`` for people."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in (("churn", models.churn), ("timing", models.timing)):
        if model.trees is not None:
            model.trees.save_model(folder / f"{name}_trees.txt")
        (folder / f"{name}_card.json").write_text(model.card.to_json(), encoding="utf-8")
    (folder / _PAGE).write_text(page(models.churn.card, models.timing.card), encoding="utf-8")


def load_models(folder: Path) -> Models:
    """Read what ``save_models`` wrote, and hold its features against today's catalogue.

    Raises
    ------
    ModelError
        A file is missing or damaged, or the files are those of different trainings.
    ContractError
        The features have changed since.
    """
    try:
        churn_card = ChurnCard.from_json(_file(folder, "churn_card.json"))
        timing_card = TimingCard.from_json(_file(folder, "timing_card.json"))
        churn = ChurnModel(_trees(folder, "churn", churn_card.tree_weight), churn_card)
        timing = TimingModel(_trees(folder, "timing", timing_card.tree_weight), timing_card)
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as problem:
        raise ModelError(f"{folder} holds a damaged model ({problem}): train again") from problem
    _refuse_mixture(churn.card, timing.card, folder)
    churn.card.contract.require_same(current_contract())
    return Models(churn, timing)


def _refuse_mixture(churn: ChurnCard, timing: TimingCard, folder: Path) -> None:
    ours = (churn.warehouse_id, churn.as_of, churn.contract.digest, tuple(BIN_ENDS.tolist()))
    theirs = (timing.warehouse_id, timing.as_of, timing.contract.digest, timing.bin_ends)
    if ours != theirs:
        raise ModelError(f"{folder} mixes two trainings: churn {ours}, timing {theirs}. Train again.")


def _trees(folder: Path, name: str, weight: float) -> lgb.Booster | None:
    return lgb.Booster(model_str=_file(folder, f"{name}_trees.txt")) if weight else None


def _file(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise ModelError(f"{folder} holds no model: {name} is missing") from problem


def _require(contract: Contract, columns: Columns) -> None:
    if any(name not in columns for name in contract.names):
        contract.require([str(name) for name in columns])


def _column(columns: Columns, name: str) -> Floats:
    return np.asarray(columns[name], dtype=np.float64)


def _churn(
    model: ChurnModel,
    x: Floats,
    history: tuple[Floats, Floats, Floats],
    ahead_days: Floats | float,
    threads: int,
) -> Floats:
    card = model.card
    speed = card.clock.shift(card.horizon_days, ahead_days)
    start = _baseline_logit(card.baseline, history, card.horizon_days, speed)
    return apply(card.calibration, blended(start, raw_scores(model.trees, x, threads), card.tree_weight))


def _baseline_logit(
    baseline: MBGNBD,
    history: tuple[Floats, Floats, Floats],
    horizon_days: int,
    log_speed: Floats | float,
) -> Floats:
    log_survival = baseline_log_survival(baseline, history, np.array([float(horizon_days)]))[:, 0]
    return logit(np.exp(log_survival * np.exp(log_speed)))


def raw_scores(trees: lgb.Booster | None, x: Floats, threads: int = 1) -> Floats:
    """Return the trees' log odds, one number a row; 0 where there are none."""
    if trees is None or not len(x):
        return np.zeros(len(x))
    return np.asarray(trees.predict(x, raw_score=True, num_threads=threads), dtype=np.float64)
