"""What the models are trained on: the panel, and beside it what MBG/NBD and the clock said at each cutoff."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build
from features.contract import current_contract
from features.errors import TooLittleHistory
from features.warehouse import Warehouse
from training.baselines import MBGNBD, MINIMUM_CUSTOMERS
from training.calibration import logit
from training.clock import Clock
from training.components import baseline_logit, matrix
from training.histories import fit_baselines, fit_clocks
from training.panel import Panel, build_panel, forward_folds
from training.targets import CHURN_90D, Target

__all__ = ["FOLDS", "MINIMUM_BUYERS", "Prepared", "Present", "prepare", "too_little_for_trees"]

Floats = NDArray[np.float64]

FOLDS = 6
"""Cutoffs that are predicted forward: half a year of them."""

MINIMUM_BUYERS = 500
"""Customers in the panel from which on trees are grown; a smaller shop gets MBG/NBD, whose four parameters it can carry."""

_MIN_ROWS, _MIN_OF_EACH = 500, 50
_PSEUDO = 10.0


@dataclass(frozen=True)
class Present:
    """The population at the as-of: whom the model is about to score.

    Attributes
    ----------
    frame
        Features at the as-of, n rows.
    ahead
        The baseline's log odds with the clock as it is forecast; length n.
    """

    frame: pd.DataFrame
    ahead: Floats

    @property
    def x(self) -> Floats:
        """Features in the model's order, n x features."""
        return matrix(self.frame, current_contract().names)


@dataclass(frozen=True)
class Prepared:
    """A panel with the baseline of each of its cutoffs.

    Attributes
    ----------
    start
        MBG/NBD log odds of each row, by parameters fitted to the orders before its cutoff; length n.
    ahead
        The same with the clock as it was forecast at the cutoff, where one was told: at those of forward folds.
    level
        Log odds of the share of churn at each row's cutoff, which the trees start from; length n.
    baselines
        Cutoff -> parameters fitted to the orders before it; among them the as-of's, for scoring from then on.
    clocks
        Cutoff of a forward fold, and the as-of -> clock as it could be told then.
    baseline_only
        Whether there is too little to grow trees on: the model is MBG/NBD and the clock then.
    """

    panel: Panel
    x: Floats
    start: Floats
    ahead: Floats
    level: Floats
    baselines: Mapping[pd.Timestamp, MBGNBD]
    clocks: Mapping[pd.Timestamp, Clock]
    present: Present
    baseline_only: bool

    @property
    def baseline(self) -> MBGNBD:
        """Parameters fitted to the orders before the as-of."""
        return self.baselines[self.panel.as_of]

    @property
    def clock(self) -> Clock:
        """The clock from the as-of on."""
        return self.clocks[self.panel.as_of]


def prepare(warehouse: Warehouse, as_of: pd.Timestamp, target: Target = CHURN_90D) -> Prepared:
    """Build the panel, and fit baseline and clock at its cutoffs.

    Cutoffs at which too few had ever ordered for a baseline are left out.

    Raises
    ------
    TooLittleHistory
        No horizon is over yet, or too few ever ordered for a baseline.
    """
    panel = build_panel(warehouse, target, as_of)
    baselines = fit_baselines(warehouse, [*panel.cutoffs, as_of])
    fitted = panel.frame["cutoff"].isin(list(baselines)).to_numpy()
    panel = replace(panel, frame=panel.frame[fitted].reset_index(drop=True), y=panel.y[fitted])
    if as_of not in baselines or not len(panel.y):
        raise TooLittleHistory(
            f"training as of {as_of} needs {MINIMUM_CUSTOMERS} customers with an order, and one who came again, at it and "
            f"{target.horizon_days} days before, and somebody active in the {target.population.removeprefix('active-')} before: choose "
            "another --as-of or ingest more history"
        )
    told = {as_of, *(fold.cutoff for fold in forward_folds(panel, FOLDS))}
    clocks = fit_clocks(warehouse, {at: baselines[at] for at in told}, as_of)
    start, ahead, level = (np.empty(len(panel.y)) for _ in range(3))
    for cutoff in panel.cutoffs:
        here = (panel.frame["cutoff"] == cutoff).to_numpy()
        rows, y = panel.frame[here], panel.y[here]
        start[here] = baseline_logit(baselines[cutoff], rows, target.horizon_days)
        ahead[here] = (
            baseline_logit(
                baselines[cutoff], rows, target.horizon_days, clocks[cutoff].shift(target.horizon_days)
            )
            if cutoff in clocks
            else start[here]
        )
        # a cutoff with few customers keeps near to all of them
        level[here] = logit((y.sum() + _PSEUDO * panel.y.mean()) / (len(y) + _PSEUDO))
    frame = build(warehouse, [as_of], population=target.population)
    shift = clocks[as_of].shift(target.horizon_days)
    present = Present(frame, baseline_logit(baselines[as_of], frame, target.horizon_days, shift))
    x = matrix(panel.frame, current_contract().names)
    return Prepared(panel, x, start, ahead, level, baselines, clocks, present, too_little_for_trees(panel))


def too_little_for_trees(panel: Panel) -> bool:
    """Return whether a panel holds fewer than ``MINIMUM_BUYERS`` customers, few rows, or hardly any of one kind."""
    churned = int(panel.y.sum())
    return (
        panel.frame["customer_id"].nunique() < MINIMUM_BUYERS
        or len(panel.y) < _MIN_ROWS
        or min(churned, len(panel.y) - churned) < _MIN_OF_EACH
    )
