"""Forward predictions of spend, and what they tell: figures, levels, and how far spends lie from their expectation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.value.card import Band, HorizonCard
from training.value.metrics import normalised_gini, spearman, total_bias

__all__ = ["METRICS", "ForwardSpend", "fit_band", "forward_figures", "horizon_card"]

Floats = NDArray[np.float64]

METRICS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "gini": normalised_gini,
    "spearman": spearman,
    "total_bias": total_bias,
}
"""Name -> what it is of spent and predicted."""

_BAND_BINS = 10
_YEAR_DAYS = 365
_LEVEL_FOLDS = 1.0
"""Folds without an error that are laid beside the real ones when a level is learnt from them."""


@dataclass(frozen=True, eq=False)
class ForwardSpend:
    """Forward out-of-fold predictions of one horizon, oldest fold first; arrays of length m.

    Attributes
    ----------
    row
        Number in the panel.
    spent, predicted, baseline
        What was spent, what the model said, and what MBG/NBD and Gamma-Gamma said alone, without season.
    purchases
        Purchase days expected, the season included: what bands go by.
    """

    horizon_days: int
    fold: NDArray[np.int64]
    row: NDArray[np.int64]
    customer_id: pd.Series
    spent: Floats
    predicted: Floats
    baseline: Floats
    purchases: Floats


def forward_figures(forward: tuple[ForwardSpend, ForwardSpend | None]) -> dict[str, float]:
    """Return figures of the forward predictions under flat names, beside those of MBG/NBD with Gamma-Gamma, for cards.

    What cannot be told (nobody spent anything) is left out.
    """
    figures: dict[str, float] = {}
    for one in (made for made in forward if made is not None and made.spent.sum() > 0):
        for who, said in (("", one.predicted), ("mbg_nbd_", one.baseline)):
            for name, metric in METRICS.items():
                figures[f"{who}value_{one.horizon_days}d_{name}"] = metric(one.spent, said)
    return figures


def horizon_card(
    forward: tuple[ForwardSpend, ForwardSpend | None], place: int, horizon_days: int
) -> HorizonCard:
    """Measure level and band on the forward predictions of the horizon; where it has none, on those of the shortest."""
    own, near = forward[place], forward[0]
    if own is not None:
        level = _level(own)
        return HorizonCard(horizon_days, level, fit_band(own, level, f"{len(own.row):,} forward predictions"))
    told = f"{len(near.row):,} forward predictions of {near.horizon_days} days"
    return HorizonCard(horizon_days, 0.0, fit_band(near, 0.0, told))


def fit_band(forward: ForwardSpend, log_level: float, measured: str) -> Band:
    """Measure the 10 and 90 % points of spent / predicted in tenths of the purchases expected.

    Parameters
    ----------
    log_level
        What is to be added to the log of predictions and purchases.
    measured
        On what, in words.

    Notes
    -----
    Split conformal prediction by groups (Vovk, Gammerman and Shafer 2005): the points are those of the order statistics that
    make one more customer of the group fall below, or above, with 10 % at most.
    """
    purchases, predicted = forward.purchases * np.exp(log_level), forward.predicted * np.exp(log_level)
    order = np.argsort(purchases, kind="stable")
    parts = [part for part in np.array_split(order, _BAND_BINS) if len(part)]
    ratio = np.maximum(forward.spent, 0.0) / predicted
    at = [float(np.log(np.median(purchases[part]))) for part in parts]
    low = [_order_statistic(ratio[part], int(np.floor(0.1 * (len(part) + 1)))) for part in parts]
    high = [_order_statistic(ratio[part], int(np.ceil(0.9 * (len(part) + 1)))) for part in parts]
    return Band(tuple(at), tuple(low), tuple(high), measured)


def _order_statistic(values: Floats, place: int) -> float:
    """Return the so manyth smallest value, from 1 on; 0, the least there is, before it, and the largest beyond the last."""
    return float(np.sort(values)[min(place, len(values)) - 1]) if place > 0 else 0.0


def _level(forward: ForwardSpend) -> float:
    """Return the log by which more was spent than predicted, in the mean of the folds, shrunk.

    Of whole years only: the error of a part of a year has the sign of its season, and carried on to another season it is the
    wrong way round. No fold counts for more than a factor of two either way: what is further off is no matter of level.
    """
    if forward.horizon_days < _YEAR_DAYS:
        return 0.0
    errors = [
        np.log(np.clip(forward.spent[here].sum() / forward.predicted[here].sum(), 0.5, 2.0))
        for here in (forward.fold == number for number in np.unique(forward.fold))
    ]
    return float(np.sum(errors) / (len(errors) + _LEVEL_FOLDS))
