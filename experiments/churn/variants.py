"""The churn model, what it is made of, what was tried instead, and the baselines: probabilities of one origin's population."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.contract import current_contract
from training.boosting import fit_boosted
from training.calibration import PlattCalibration, apply, expit, logit
from training.churn import MONOTONE, PARAMETERS, TREE_WEIGHT, levelled
from training.clock import realised_speed
from training.components import (
    baseline_logit,
    bin_speeds,
    blended,
    hazard_correction,
    history_weeks,
    raw_scores,
)
from training.predict import Models, curves
from training.preparation import Prepared
from training.simple_baselines import BASELINES
from training.survival import BIN_ENDS, baseline_hazards, cumulative_hazard, hazard_logits

__all__ = ["VARIANTS", "Origin"]

Floats = NDArray[np.float64]
NAMES = current_contract().names
HORIZON = 90
HORIZON_BIN = int(np.searchsorted(BIN_ENDS, HORIZON))


@dataclass(frozen=True, eq=False)
class Origin:
    """What a variant may use: a training as of the origin, its models, and the population whose churn is asked for.

    Attributes
    ----------
    frame
        Features at the origin.
    slope
        Of the calibration that the forward predictions agree on.
    grown
        Trees by name, made when they are first asked for.
    """

    prepared: Prepared
    models: Models
    frame: pd.DataFrame
    slope: float
    grown: dict[str, Floats] = field(default_factory=dict)

    @property
    def x(self) -> Floats:
        return self.prepared.present.x

    @property
    def even(self) -> Floats:
        """MBG/NBD's log odds."""
        return baseline_logit(self.prepared.baseline, self.frame, HORIZON)

    @property
    def clocked(self) -> Floats:
        """The same with the clock as it is forecast."""
        return self.prepared.present.ahead

    def trees(
        self,
        name: str,
        start: Floats,
        parameters: Mapping[str, float | int] = PARAMETERS,
        monotone: bool = True,
    ) -> Floats:
        """Return the log odds of trees on top of a start, for the population."""
        if name not in self.grown:
            booster = fit_boosted(
                self.prepared.x,
                self.prepared.panel.y,
                start,
                parameters,
                NAMES,
                MONOTONE if monotone else None,
            )
            self.grown[name] = raw_scores(booster, self.x, threads=0)
        return self.grown[name]

    def at_level(self, logits: Floats, of: Floats, slope: float = 1.0) -> Floats:
        """Return the probabilities of log odds, moved to the mean of other log odds."""
        return apply(levelled(PlattCalibration(0.0, slope), logits, of), logits)

    @property
    def own(self) -> Floats:
        """The trees of the model: from each cutoff's share of churn."""
        return self.trees("own", self.prepared.level)

    @property
    def started(self) -> Floats:
        """Log odds of trees started from MBG/NBD at the speed with which the clock of each cutoff really ran."""
        return self.clocked + self.trees("started", self._realised())

    @property
    def hazard(self) -> Floats:
        """Log odds of the timing model at the horizon, before it is made to agree with the churn model."""
        timing = self.models.timing
        growth = baseline_hazards(timing.card.baseline, history_weeks(self.frame))
        growth = growth * np.exp(bin_speeds(self.prepared.clock))
        logits = hazard_logits(growth) + hazard_correction(timing.trees, self.x, NAMES, threads=0)
        return logit(np.exp(-cumulative_hazard(logits)[:, HORIZON_BIN]))

    def _realised(self) -> Floats:
        panel, start = self.prepared.panel, np.empty(len(self.prepared.start))
        for cutoff in panel.cutoffs:
            here = (panel.frame["cutoff"] == cutoff).to_numpy()
            hazard = -np.log(expit(self.prepared.start[here]))
            speed = realised_speed(hazard, 1 - panel.y[here])
            start[here] = logit(np.exp(-hazard * np.exp(speed)))
        return start


def _patron(origin: Origin) -> Floats:
    return curves(origin.models, origin.frame, threads=0)[0]


def _uncalibrated(origin: Origin) -> Floats:
    return origin.at_level(blended(origin.clocked, origin.own, TREE_WEIGHT), origin.clocked)


def _even_clock(origin: Origin) -> Floats:
    return origin.at_level(blended(origin.even, origin.own, TREE_WEIGHT), origin.even, origin.slope)


def _no_levels(origin: Origin) -> Floats:
    """Trees that have to learn the level themselves: from the mean of all rows."""
    share = np.full(len(origin.prepared.start), logit(float(origin.prepared.panel.y.mean())))
    trees = share[0] + origin.trees("no levels", share)
    return expit(origin.slope * blended(origin.clocked, trees, TREE_WEIGHT))


def _before(origin: Origin) -> Floats:
    """The model as it was: trees on top of MBG/NBD at half weight, no clock, no level of the cutoff."""
    old = {**PARAMETERS, "num_boost_round": 120, "learning_rate": 0.03, "max_bin": 255}
    return expit(
        origin.slope
        * (origin.even + 0.5 * origin.trees("before", origin.prepared.start, old, monotone=False))
    )


def _weight(weight: float) -> Callable[[Origin], Floats]:
    return lambda origin: origin.at_level(
        blended(origin.clocked, origin.own, weight), origin.clocked, origin.slope
    )


def _started(origin: Origin) -> Floats:
    return origin.at_level(origin.started, origin.clocked, origin.slope)


def _started_and_own(origin: Origin) -> Floats:
    return origin.at_level(origin.started + origin.own, origin.clocked, origin.slope / 2)


def _hazard(origin: Origin) -> Floats:
    return origin.at_level(origin.hazard, origin.clocked, origin.slope)


def _with_hazard(origin: Origin) -> Floats:
    both = blended(origin.clocked, origin.own, TREE_WEIGHT) + origin.hazard
    return origin.at_level(both, origin.clocked, origin.slope / 2)


def _unconstrained(origin: Origin) -> Floats:
    trees = origin.trees("unconstrained", origin.prepared.level, monotone=False)
    return origin.at_level(blended(origin.clocked, trees, TREE_WEIGHT), origin.clocked, origin.slope)


def _simple(name: str) -> Callable[[Origin], Floats]:
    return lambda origin: BASELINES[name](origin.prepared.panel.frame, origin.prepared.panel.y, origin.frame)


VARIANTS: Mapping[str, Callable[[Origin], Floats]] = {
    "Patron": _patron,
    "MBG/NBD": lambda origin: expit(origin.even),
    "MBG/NBD by the seasonal clock": lambda origin: expit(origin.clocked),
    **{name: _simple(name) for name in BASELINES},
    "Patron by an even clock": _even_clock,
    "Patron without calibration of the slope": _uncalibrated,
    "trees that learn the level themselves": _no_levels,
    "trees alone (weight 1)": _weight(1.0),
    "trees of weight .5": _weight(0.5),
    "trees started from MBG/NBD, alone": _started,
    "both kinds of trees": _started_and_own,
    "the timing model's hazard, alone": _hazard,
    "Patron and the hazard": _with_hazard,
    "silence unconstrained": _unconstrained,
    "the model before: started from MBG/NBD, half weight, no clock": _before,
}
"""Name -> probabilities of churn within 90 days, length n; those after the baselines differ from Patron in what they name."""
