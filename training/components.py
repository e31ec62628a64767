"""What predictions are made of: columns to rows, baseline, trees. NumPy and LightGBM only; training and serving call the same.

Features come as columns: any mapping of feature name -> array of length n, a DataFrame included. A row's predictions are
the same bits alone as among others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.contract import Contract
from training.baselines import MBGNBD
from training.calibration import apply, logit
from training.card import ChurnCard, TimingCard
from training.clock import Clock
from training.survival import BIN_ENDS, BIN_STARTS, baseline_log_survival

__all__ = [
    "PERIOD_COLUMNS",
    "ChurnModel",
    "Columns",
    "TimingModel",
    "baseline_logit",
    "bin_speeds",
    "blended",
    "churn_of",
    "churn_probability",
    "hazard_correction",
    "history_weeks",
    "matrix",
    "periods",
    "raw_scores",
    "require",
]

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.float64]] | pd.DataFrame

PERIOD_COLUMNS = ("bin_number", "bin_end_days", "days_since_last_order_then", "overdue_ratio_then")
"""What a person-period row knows beside the features; "then" is the middle of the bin, if nothing was ordered before."""

_BINS = len(BIN_ENDS)
_BIN_MIDDLES = (BIN_STARTS + BIN_ENDS) / 2.0
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
    require(model.card.contract, columns)
    x = matrix(columns, model.card.contract.names)
    return churn_of(model, x, history_weeks(columns), ahead_days, threads)


def churn_of(
    model: ChurnModel,
    x: Floats,
    history: tuple[Floats, Floats, Floats],
    ahead_days: Floats | float,
    threads: int,
) -> Floats:
    """Return the churn probability of rows whose matrix and history are at hand; arguments as of ``churn_probability``."""
    card = model.card
    speed = card.clock.shift(card.horizon_days, ahead_days)
    start = _baseline_logit(card.baseline, history, card.horizon_days, speed)
    return apply(card.calibration, blended(start, raw_scores(model.trees, x, threads), card.tree_weight))


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


def raw_scores(trees: lgb.Booster | None, x: Floats, threads: int = 1) -> Floats:
    """Return the trees' log odds, one number a row; 0 where there are none."""
    if trees is None or not len(x):
        return np.zeros(len(x))
    return np.asarray(trees.predict(x, raw_score=True, num_threads=threads), dtype=np.float64)


def require(contract: Contract, columns: Columns) -> None:
    """Refuse columns among which a feature of the contract is lacking.

    Raises
    ------
    ContractError
        It prints what is missing.
    """
    if any(name not in columns for name in contract.names):
        contract.require([str(name) for name in columns])


def _column(columns: Columns, name: str) -> Floats:
    return np.asarray(columns[name], dtype=np.float64)


def _baseline_logit(
    baseline: MBGNBD,
    history: tuple[Floats, Floats, Floats],
    horizon_days: int,
    log_speed: Floats | float,
) -> Floats:
    log_survival = baseline_log_survival(baseline, history, np.array([float(horizon_days)]))[:, 0]
    return logit(np.exp(log_survival * np.exp(log_speed)))
