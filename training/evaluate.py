"""Figures of a model beside the baseline's, on the same rows, with intervals."""

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.intervals import Difference, Interval, bootstrap_interval, paired_bootstrap
from training.metrics import (
    auc,
    ece_floor,
    expected_calibration_error,
    integrated_brier,
    lift_at,
    log_loss,
)
from training.survival import BIN_ENDS, HORIZONS_DAYS
from training.timing import Waiting

__all__ = [
    "METRICS",
    "SLICES",
    "Comparison",
    "Figures",
    "TimingComparison",
    "TimingFigures",
    "compare",
    "compare_timing",
]

Floats = NDArray[np.float64]
METRICS = {"auc": auc, "log_loss": log_loss}

SLICES: Mapping[str, str] = {
    "bought in the last 90 days": "days_since_last_order <= 90",
    "bought in the last 180 days": "days_since_last_order <= 180",
    "one-time buyers": "orders_all == 1",
    "repeat buyers": "orders_all > 1",
}
"""Name -> condition on the features of a row."""


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


@dataclass(frozen=True)
class TimingFigures:
    """One distribution of the time to the next order, on one set of rows.

    Attributes
    ----------
    integrated_brier
        Squared error averaged over 7 to 90 days.
    predicted
        Mean P(order within each of ``training.survival.HORIZONS_DAYS``).
    """

    integrated_brier: Interval
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class TimingComparison:
    """A timing model, MBG/NBD, and the Kaplan-Meier curve of everybody; differences model - other.

    Attributes
    ----------
    observed
        Share that had ordered within each of ``training.survival.HORIZONS_DAYS``.
    """

    rows: int
    customers: int
    observed: tuple[float, ...]
    model: TimingFigures
    baseline: TimingFigures
    kaplan_meier: TimingFigures
    difference_from_baseline: Difference
    difference_from_kaplan_meier: Difference

    @property
    def calibration_error(self) -> float:
        """Largest distance between mean prediction and share, over the horizons."""
        return float(np.abs(np.subtract(self.model.predicted, self.observed)).max())

    def flat(self) -> dict[str, float]:
        """Return the figures under flat names, for tracking."""
        figures = {
            "timing_rows": float(self.rows),
            "integrated_brier": self.model.integrated_brier.estimate,
            "mbg_nbd_integrated_brier": self.baseline.integrated_brier.estimate,
            "kaplan_meier_integrated_brier": self.kaplan_meier.integrated_brier.estimate,
        }
        for days, predicted, observed in zip(HORIZONS_DAYS, self.model.predicted, self.observed, strict=True):
            figures |= {f"ordered_{days}d_predicted": predicted, f"ordered_{days}d_observed": observed}
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


def compare_timing(waiting: Waiting, customers: ArrayLike, *, seed: int = 1) -> TimingComparison:
    """Judge distributions of the time to the next order; customers as of ``compare``."""
    rng = np.random.default_rng(seed)
    groups = np.asarray(customers)
    ends = BIN_ENDS[: waiting.model.shape[1]]
    at = np.searchsorted(ends, HORIZONS_DAYS)
    curves = (waiting.model, waiting.baseline, waiting.kaplan_meier)
    errors = [integrated_brier(waiting.days, p, ends) for p in curves]
    model, baseline, kaplan_meier = (
        TimingFigures(_mean(error, groups, rng), tuple(p[:, at].mean(axis=0).tolist()))
        for p, error in zip(curves, errors, strict=True)
    )
    return TimingComparison(
        rows=len(waiting.days),
        customers=len(np.unique(groups)),
        observed=tuple((waiting.days[:, None] < ends[at]).mean(axis=0).tolist()),
        model=model,
        baseline=baseline,
        kaplan_meier=kaplan_meier,
        difference_from_baseline=Difference(*astuple(_mean(errors[0] - errors[1], groups, rng))),
        difference_from_kaplan_meier=Difference(*astuple(_mean(errors[0] - errors[2], groups, rng))),
    )


def _mean(values: Floats, groups: NDArray[np.generic], rng: np.random.Generator) -> Interval:
    return bootstrap_interval(np.mean, (values,), rng, groups=groups, draws=200)


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
