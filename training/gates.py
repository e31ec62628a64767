"""What a model must hold before it may become champion, as a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.evaluate import Comparison, TimingComparison
from training.intervals import Difference
from training.metrics import auc
from training.preparation import Prepared

__all__ = ["GATES", "Evidence", "Gate", "Verdict", "judge"]

LEAK_AUC = 0.98

CHAMPION_MARGIN = 0.01
"""Logloss that a forward prediction may lose to the champion beside a tie: its labels are up to four weeks older."""


@dataclass(frozen=True)
class Evidence:
    """What a training is judged by: its forward out-of-fold figures, and what it was trained on.

    Attributes
    ----------
    slices, folds
        By how much the logloss differs from MBG/NBD's in each slice, and at each cutoff of a forward fold.
    champion
        By how much it differs from the champion's where that could not have seen the outcomes; None without such rows.
    """

    churn: Comparison
    timing: TimingComparison
    prepared: Prepared
    slices: Mapping[str, Difference]
    folds: Mapping[pd.Timestamp, Difference]
    champion: Difference | None


@dataclass(frozen=True)
class Gate:
    """One requirement: what is measured, None where nothing can be, and the bound it must not exceed."""

    name: str
    value: Callable[[Evidence], float | None]
    bound: Callable[[Evidence], float]


@dataclass(frozen=True)
class Verdict:
    """A gate's outcome."""

    name: str
    value: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.bound


def _best_single_feature(evidence: Evidence) -> float:
    """Return the AUC of the best single feature, either way round: above the bound, something knows the future."""
    y = evidence.prepared.panel.y
    best = 0.5
    for column in evidence.prepared.x.T:
        filled = np.where(np.isnan(column), -1.0, column)
        if np.ptp(filled) > 0:
            single = auc(y, filled)
            best = max(best, single, 1 - single)
    return best


def _surely_worse(differences: Mapping[Any, Difference]) -> float | None:
    """Return the worst of the differences, each less two standard errors: above 0, it is no accident."""
    return max((one.estimate - 2.0 * one.standard_error for one in differences.values()), default=None)


GATES = (
    Gate(
        "logloss against MBG/NBD's",
        lambda e: e.churn.model.log_loss.estimate,
        lambda e: e.churn.baseline.log_loss.estimate,
    ),
    Gate(
        "logloss over the champion's, where that had not seen the outcomes",
        lambda e: None if e.champion is None else e.champion.estimate,
        lambda e: 0.0 if e.champion is None else e.champion.standard_error + CHAMPION_MARGIN,
    ),
    Gate(
        "AUC lost to MBG/NBD, within a tie",
        lambda e: -e.churn.auc_difference.estimate,
        lambda e: e.churn.auc_difference.standard_error,
    ),
    Gate(
        "calibration error (ECE)",
        lambda e: e.churn.model.ece,
        lambda e: max(0.05, e.churn.model.ece_floor),
    ),
    Gate(
        "integrated Brier of the next order's time, 7-90 days, against MBG/NBD's",
        lambda e: e.timing.model.integrated_brier.estimate,
        lambda e: e.timing.baseline.integrated_brier.estimate,
    ),
    Gate(
        "logloss over MBG/NBD's in the worst slice, less 2 standard errors",
        lambda e: _surely_worse(e.slices),
        lambda _: 0.0,
    ),
    Gate("the same at the worst cutoff (stability)", lambda e: _surely_worse(e.folds), lambda _: 0.0),
    Gate("AUC of the best single feature (leak alarm)", _best_single_feature, lambda _: LEAK_AUC),
)


def judge(evidence: Evidence) -> list[Verdict]:
    """Hold a training against the gates that can be judged."""
    measured = ((gate, gate.value(evidence)) for gate in GATES)
    return [Verdict(gate.name, value, gate.bound(evidence)) for gate, value in measured if value is not None]
