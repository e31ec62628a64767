"""The traffic lights of a monitoring: what is measured, and from where on it is amber or red."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.monitoring.drift import Divergence
from training.monitoring.expected import Expected
from training.monitoring.matured import Matured

__all__ = ["BOUNDS", "DRIFTED_PSI", "Bound", "Light", "lights_now", "lights_then"]

DRIFTED_PSI = 0.25
"""PSI above which a feature has drifted (Siddiqi 2006)."""


@dataclass(frozen=True)
class Bound:
    """From where on a measure is amber, and red."""

    name: str
    measures: str
    amber: float
    red: float


BOUNDS = {
    bound.name: bound
    for bound in (
        Bound(
            "feature drift", f"weight of features of a window whose PSI is above {DRIFTED_PSI}", 0.10, 0.30
        ),
        # a shop's history lengthens, and with it these: no alarm before nearly all have moved
        Bound(
            "history drift",
            f"weight of features of the whole history whose PSI is above {DRIFTED_PSI}",
            0.30,
            0.90,
        ),
        Bound("code drift", "largest Jensen-Shannon divergence of a column of words, bits", 0.05, 0.15),
        Bound("nulls", "largest change of the share of nulls of a feature of a window", 0.10, 0.30),
        Bound("score drift", "PSI of the churn probabilities against those as of the training", 0.10, 0.25),
        Bound("expected AUC lost", "forward AUC of the training minus the AUC expected now", 0.03, 0.06),
        Bound("AUC lost", "AUC promised minus AUC achieved", 0.03, 0.06),
        Bound("level", "mean probability minus share of churn, either way", 0.03, 0.06),
        Bound("calibration", "expected calibration error (ECE)", 0.05, 0.10),
        Bound("surprise", "logloss achieved minus logloss promised", 0.02, 0.05),
    )
}
"""What is judged. A value within its noise is green whatever the bound says."""


@dataclass(frozen=True)
class Light:
    """A measure beside its bounds.

    Attributes
    ----------
    at
        The past as-of that it is about; None: now.
    value
        None where nothing can be measured.
    noise
        What the value would stay below 95 times in 100 if nothing were wrong, as far as it is known; else 0.
    about
        What made the value: a column, the rows.
    """

    name: str
    at: pd.Timestamp | None
    value: float | None
    noise: float
    about: str

    @property
    def bound(self) -> Bound:
        """The declared bounds."""
        return BOUNDS[self.name]

    @property
    def colour(self) -> str:
        """``green``, ``amber``, ``red``, or ``grey`` where nothing can be measured."""
        if self.value is None:
            return "grey"
        if self.value > max(self.bound.red, self.noise):
            return "red"
        return "amber" if self.value > max(self.bound.amber, self.noise) else "green"


def lights_now(
    moved: pd.DataFrame, score_drift: Divergence, expected: Expected | None, metrics: Mapping[str, float]
) -> list[Light]:
    """Return the lights of the present.

    Parameters
    ----------
    moved
        ``Report.drift``.
    metrics
        The model card's forward figures.
    """
    numbers = moved[moved["kind"] == "number"]
    nulls = (numbers["null_share_now"] - numbers["null_share_reference"]).abs()
    codes = moved[moved["kind"] == "code"].nlargest(1, "jensen_shannon")
    distance, noise = (float(codes[name].iloc[0]) for name in ("jensen_shannon", "jensen_shannon_noise"))
    most_nulls = str(numbers["column"].iloc[int(nulls.to_numpy().argmax())]) if nulls.max() else "no column"
    return [
        _drift_light("feature drift", moved, "number"),
        _drift_light("history drift", moved, "history"),
        Light("code drift", None, distance, noise, str(codes["column"].iloc[0])),
        Light("nulls", None, float(nulls.max()), 0.0, most_nulls),
        Light("score drift", None, score_drift.value, score_drift.noise, "churn_probability"),
        _expected_light(expected, metrics),
    ]  # fmt: skip


def _drift_light(name: str, moved: pd.DataFrame, kind: str) -> Light:
    """Return the weight of a kind's columns that drifted, among all columns of that kind."""
    judged = moved[moved["kind"] == kind]
    drifted = judged[judged["psi"] > np.maximum(DRIFTED_PSI, judged["psi_noise"])]
    total = float(judged["weight"].sum())
    share = float(drifted["weight"].sum()) / total if total else None
    return Light(
        name,
        None,
        share,
        0.0,
        ", ".join(drifted[drifted["weight"] > 0].nlargest(3, "weight")["column"]) or "no feature",
    )


def _expected_light(expected: Expected | None, metrics: Mapping[str, float]) -> Light:
    if expected is None or "auc" not in metrics:
        why = "no forward prediction in training" if expected is not None else "too few to expect anything"
        return Light("expected AUC lost", None, None, 0.0, why)
    half = (expected.auc.high - expected.auc.low) / 2.0
    about = f"forward {metrics['auc']:.3f}, expected {expected.auc.estimate:.3f}"
    return Light("expected AUC lost", None, metrics["auc"] - expected.auc.estimate, half, about)


def lights_then(one: Matured) -> list[Light]:
    """Return the lights of past scores, each figure beside what was promised."""
    promised = one.expected

    def light(name: str, value: float, noise: float, about: str) -> Light:
        return Light(name, one.as_of, value, noise, about)

    return [
        light("AUC lost", promised.auc.estimate - one.auc.estimate, promised.auc.estimate - promised.auc.low,
              f"promised {promised.auc.estimate:.3f}, achieved {one.auc.estimate:.3f}"),
        light("level", abs(one.mean_predicted - one.churn_share),
              (promised.churn_share.high - promised.churn_share.low) / 2.0,
              f"said {one.mean_predicted:.3f}, happened {one.churn_share:.3f}"),
        light("calibration", one.ece, one.ece_floor, f"{one.rows:,} customers"),
        light("surprise", one.surprise.estimate, promised.log_loss.high - promised.log_loss.estimate,
              f"promised {promised.log_loss.estimate:.3f}, achieved {one.log_loss.estimate:.3f}"),
    ]  # fmt: skip
