"""What a model must hold before it may become champion, as a table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.evaluate import Comparison, TimingComparison
from training.metrics import auc
from training.preparation import Prepared

__all__ = ["GATES", "Evidence", "Gate", "Verdict", "judge"]

LEAK_AUC = 0.98


@dataclass(frozen=True)
class Evidence:
    """What a training is judged by: its forward out-of-fold figures, and what it was trained on."""

    churn: Comparison
    timing: TimingComparison
    prepared: Prepared


@dataclass(frozen=True)
class Gate:
    """One requirement: what is measured, and the bound it must not exceed."""

    name: str
    value: Callable[[Evidence], float]
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


GATES = (
    Gate(
        "logloss against MBG/NBD's",
        lambda e: e.churn.model.log_loss.estimate,
        lambda e: e.churn.baseline.log_loss.estimate,
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
    Gate("AUC of the best single feature (leak alarm)", _best_single_feature, lambda _: LEAK_AUC),
)


def judge(evidence: Evidence) -> list[Verdict]:
    """Hold a training against the gates."""
    return [Verdict(gate.name, gate.value(evidence), gate.bound(evidence)) for gate in GATES]
