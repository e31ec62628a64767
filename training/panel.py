"""(customer, cutoff) rows: features beside the target, and temporal folds that respect the horizon."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build, order_span
from features.errors import TooLittleHistory
from features.warehouse import Warehouse
from training.targets import Target, labels

__all__ = ["Fold", "Panel", "build_panel", "forward_folds"]

STEP_DAYS = 28
"""Between cutoffs: whole weeks, so that each cutoff falls on the same weekday."""

MIN_HISTORY_DAYS = 90
"""Before the first cutoff, so that features have something to look at."""

MAX_CUTOFFS = 26
"""Two years: older behaviour says less than it costs."""


@dataclass(frozen=True)
class Panel:
    """Rows of a target's population at many cutoffs.

    Attributes
    ----------
    frame
        ``customer_id``, ``cutoff`` and the features; n rows.
    y
        The target, int8, length n.
    target
        What is asked.
    as_of
        Nothing at or after it was used.
    """

    frame: pd.DataFrame
    y: NDArray[np.int8]
    target: Target
    as_of: pd.Timestamp

    @property
    def cutoffs(self) -> list[pd.Timestamp]:
        """Distinct cutoffs, ascending."""
        return sorted(self.frame["cutoff"].unique())


@dataclass(frozen=True)
class Fold:
    """Row masks of one forward step: train on rows whose labels had ended when the validation cutoff came."""

    cutoff: pd.Timestamp
    train: NDArray[np.bool_]
    validate: NDArray[np.bool_]


def build_panel(warehouse: Warehouse, target: Target, as_of: pd.Timestamp) -> Panel:
    """Build the rows that a training as of this instant may use: labels end at it minus the largest declared lag.

    Raises
    ------
    TooLittleHistory
        There is no cutoff with enough history before it and a whole horizon after it.
    """
    cutoffs = _mature_cutoffs(warehouse, target, as_of)
    frame = build(warehouse, cutoffs, population=target.population)
    return Panel(frame, labels(warehouse, frame, target, known_by=as_of), target, as_of)


def forward_folds(panel: Panel, most: int) -> Iterator[Fold]:
    """Yield forward folds, oldest first: the last ``most`` cutoffs that have mature rows before them."""
    horizon = pd.Timedelta(days=panel.target.horizon_days)
    cutoff = panel.frame["cutoff"]
    possible = [at for at in panel.cutoffs if panel.cutoffs[0] + horizon <= at]
    for at in possible[-most:]:
        yield Fold(at, (cutoff + horizon <= at).to_numpy(), (cutoff == at).to_numpy())


def _mature_cutoffs(warehouse: Warehouse, target: Target, as_of: pd.Timestamp) -> list[pd.Timestamp]:
    span = order_span(warehouse, known_by=as_of)
    if span is None:
        ever = order_span(warehouse)
        raise TooLittleHistory(
            f"training as of {as_of} needs orders before it; the first one in {warehouse.path} is "
            f"{'missing' if ever is None else f'at {ever[0]}'}: choose a later --as-of or ingest more history"
        )
    first, lag = span[0], warehouse.largest_lag(as_of)
    last = as_of - pd.Timedelta(days=target.horizon_days) - lag
    earliest = first + pd.Timedelta(days=MIN_HISTORY_DAYS)
    cutoffs = [last - pd.Timedelta(days=STEP_DAYS * step) for step in range(MAX_CUTOFFS)]
    mature = [cutoff for cutoff in cutoffs if cutoff >= earliest]
    if not mature:
        needed = MIN_HISTORY_DAYS + target.horizon_days + lag.days
        raise TooLittleHistory(
            f"training as of {as_of} has {(as_of - first).days} days of orders behind it and needs {needed} "
            f"({MIN_HISTORY_DAYS} to look back, {target.horizon_days} to look ahead{f', {lag.days} of lag' if lag else ''}): choose a later --as-of"
        )
    return mature[::-1]
