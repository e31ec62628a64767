"""Figures of a model beside the baseline's, on the same rows, with intervals."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.intervals import Difference, Interval, bootstrap_interval, paired_bootstrap
from training.metrics import auc, ece_floor, expected_calibration_error, lift_at, log_loss

__all__ = ["Comparison", "Figures", "compare"]

Floats = NDArray[np.float64]
METRICS = {"auc": auc, "log_loss": log_loss}


@dataclass(frozen=True)
class Figures:
    """One model on one set of rows.

    Attributes
    ----------
    ece, ece_floor
        Expected calibration error, and the error a perfect model would stay below 95 times in 100.
    lift_10pct
        How many times richer in churners the riskiest tenth is than everybody.
    """

    auc: Interval
    log_loss: Interval
    ece: float
    ece_floor: float
    lift_10pct: float
    mean_predicted: float


@dataclass(frozen=True)
class Comparison:
    """A model and the baseline, and the paired differences model - baseline."""

    rows: int
    customers: int
    churn_share: float
    model: Figures
    baseline: Figures
    auc_difference: Difference
    log_loss_difference: Difference

    def flat(self) -> dict[str, float]:
        """Return the figures under flat names, for tracking."""
        figures = {"rows": float(self.rows), "churn_share": self.churn_share}
        for prefix, model in (("", self.model), ("mbg_nbd_", self.baseline)):
            figures |= {f"{prefix}{name}": getattr(model, name).estimate for name in METRICS}
            figures |= {
                f"{prefix}{name}": getattr(model, name) for name in ("ece", "ece_floor", "lift_10pct")
            }
        return figures

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain data."""
        return asdict(self)


def compare(
    y: NDArray[np.int8], model: Floats, baseline: Floats, customers: ArrayLike, *, seed: int = 1
) -> Comparison:
    """Judge a model's probabilities beside the baseline's.

    Parameters
    ----------
    y
        Outcomes, n.
    model, baseline
        Probabilities, n.
    customers
        Whose row it is: customers are what the bootstrap draws again.
    """
    rng = np.random.default_rng(seed)
    groups = np.asarray(customers)
    differences = {
        name: paired_bootstrap(metric, y, model, baseline, rng, groups=groups, draws=200)
        for name, metric in METRICS.items()
    }
    return Comparison(
        rows=len(y),
        customers=len(np.unique(groups)),
        churn_share=float(y.mean()),
        model=_figures(y, model, groups, rng),
        baseline=_figures(y, baseline, groups, rng),
        auc_difference=differences["auc"],
        log_loss_difference=differences["log_loss"],
    )


def _figures(
    y: NDArray[np.int8], p: Floats, groups: NDArray[np.generic], rng: np.random.Generator
) -> Figures:
    intervals = {
        name: bootstrap_interval(metric, (y, p), rng, groups=groups, draws=200)
        for name, metric in METRICS.items()
    }
    return Figures(
        auc=intervals["auc"],
        log_loss=intervals["log_loss"],
        ece=expected_calibration_error(y, p),
        ece_floor=ece_floor(p, rng),
        lift_10pct=lift_at(y, p, 0.1),
        mean_predicted=float(p.mean()),
    )
