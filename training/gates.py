"""What a model must hold before it may become champion, as a table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.churn import Prepared
from training.evaluate import Comparison
from training.metrics import auc

__all__ = ["GATES", "Gate", "Verdict", "judge"]

LEAK_AUC = 0.98


@dataclass(frozen=True)
class Gate:
    """One requirement: what is measured, and the bound it must not exceed."""

    name: str
    value: Callable[[Comparison, Prepared], float]
    bound: Callable[[Comparison], float]


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


def _best_single_feature(_: Comparison, prepared: Prepared) -> float:
    """Return the AUC of the best single feature, either way round: above the bound, something knows the future."""
    y = prepared.panel.y
    best = 0.5
    for column in prepared.x.T:
        filled = np.where(np.isnan(column), -1.0, column)
        if np.ptp(filled) > 0:
            single = auc(y, filled)
            best = max(best, single, 1 - single)
    return best


GATES = (
    Gate(
        "logloss against MBG/NBD's",
        lambda c, _: c.model.log_loss.estimate,
        lambda c: c.baseline.log_loss.estimate,
    ),
    Gate(
        "AUC lost to MBG/NBD, within a tie",
        lambda c, _: -c.auc_difference.estimate,
        lambda c: c.auc_difference.standard_error,
    ),
    Gate("calibration error (ECE)", lambda c, _: c.model.ece, lambda c: max(0.05, c.model.ece_floor)),
    Gate("AUC of the best single feature (leak alarm)", _best_single_feature, lambda _: LEAK_AUC),
)


def judge(comparison: Comparison, prepared: Prepared) -> list[Verdict]:
    """Hold a training against the gates, on its forward out-of-fold predictions."""
    return [Verdict(gate.name, gate.value(comparison, prepared), gate.bound(comparison)) for gate in GATES]
