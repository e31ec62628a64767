"""The response model's card: everything about it that is not in its trees. JSON for programs, Markdown for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.contract import Contract
from training.intervals import Interval

__all__ = ["ArmCard", "EffectLine", "ResponseCard", "response_page"]

Floats = NDArray[np.float64]

_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class EffectLine:
    """From two raw uplifts (training/response/trees.py) to one that may be believed: a straight line, measured out of fold.

    With z the mixture of the raw uplifts, the mean uplift of customers alike is taken to be ``average + slope * (z - center)``.
    Average and slope are those of the doubly robust scores of the trials' customers, regressed on the z of trees that had
    not seen them (best linear predictor of effects: Chernozhukov, Demirer, Duflo and Fernandez-Val 2018, NBER working paper
    24678).

    Attributes
    ----------
    average
        Uplift, mean of all who could have been given the arm.
    slope
        Shrunk by its own uncertainty, ``found * (1 - variance / found^2)``, and kept within [0, 1] (the positive-part estimator of
        James and Stein 1961, here for one slope): where nothing shows differences between customers, none are predicted. They
        are never widened either, since a line that is right in the middle is not at its ends.
    slope_found
        As it was found.
    odds_weight
        Of the odds in the mixture, the trees having the rest.
    center
        Mean z.
    average_variance, slope_variance, covariance
        Of the estimates of average and slope, customers being what is independent.
    """

    average: float
    slope: float
    slope_found: float
    odds_weight: float
    center: float
    average_variance: float
    slope_variance: float
    covariance: float

    def away(self, odds: Floats, trees: Floats) -> Floats:
        """Return how far the mixture of raw uplifts lies from its mean."""
        return self.odds_weight * odds + (1.0 - self.odds_weight) * trees - self.center

    def uplift(self, away: Floats) -> Floats:
        """Return the uplift, of any shape."""
        return self.average + self.slope * away

    def interval(self, away: Floats) -> tuple[Floats, Floats]:
        """Return the 95 % interval for the mean uplift of all customers who lie as far away."""
        variance = self.average_variance + 2.0 * away * self.covariance + away**2 * self.slope_variance
        half = _NORMAL_975 * np.sqrt(np.maximum(variance, 0.0))
        return self.uplift(away) - half, self.uplift(away) + half


@dataclass(frozen=True)
class ArmCard:
    """What is known of one arm.

    Attributes
    ----------
    arm
        Its name in the data.
    experiments
        That gave it.
    exposures, controls
        Rows of it, and of the control in the same experiments.
    share_ordered, control_share_ordered
        Within the horizon, weighted by 1 / propensity.
    shift
        Of the log odds of an order, against those that all arms share.
    line
        Of its uplift.
    qini
        Qini coefficient of the ranking by out-of-fold uplift, with its 95 % bootstrap interval over customers; orders per customer.
    """

    arm: str
    experiments: tuple[str, ...]
    exposures: int
    controls: int
    share_ordered: float
    control_share_ordered: float
    shift: float
    line: EffectLine
    qini: Interval


@dataclass(frozen=True)
class ResponseCard:
    """What is needed to use a response model, and what should be known before doing so.

    Attributes
    ----------
    as_of
        Nothing at or after this instant (ISO 8601, UTC) was used; the model may score from then on.
    outcome_level, control_shift
        Log odds that the shared outcome trees start from, and what the control adds to them.
    arms
        In the order of predictions' columns; each against the control.
    left_out
        Reason -> exposures that could not be used; and arms, with why.
    """

    target: str
    asks: str
    horizon_days: int
    population: str
    warehouse_id: str
    as_of: str
    trained_at: str
    rows: int
    customers: int
    contract: Contract
    outcome_level: float
    control_shift: float
    arms: tuple[ArmCard, ...]
    left_out: Mapping[str, int]
    parameters: Mapping[str, float | int]

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ResponseCard":
        """Read what ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            contract=Contract.of(data.pop("contract")),
            arms=tuple(_arm(one) for one in data.pop("arms")),
            **data,
        )


def response_page(card: ResponseCard) -> str:
    """Return the card as a page for people."""
    return f"""# Model card: response

| | |
| --- | --- |
| predicts | by how much an offer raises the probability of what follows, against offering nothing |
| target | {card.target}: {card.asks} |
| about | customers like those who were in the experiments: {card.population} |
| warehouse | {card.warehouse_id} |
| uses nothing at or after | {card.as_of} |
| trained | {card.trained_at} on {card.rows:,} exposures of {card.customers:,} customers |
| features | {len(card.contract.names)}, definitions {card.contract.digest} |
| parameters | {", ".join(f"{name} {value:.4g}" for name, value in card.parameters.items())} |

Propensities are those that were logged. Out of fold, 95 % intervals:

| arm | experiments | exposed | control | ordered | of the control | mean uplift | slope (1: differences as predicted, 0: none shown) | Qini coefficient |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(_arm_line(one) for one in card.arms)}

Left out: {", ".join(f"{reason} {count:,}" for reason, count in card.left_out.items() if count) or "nothing"}.

Nobody's own uplift is ever seen. An interval is that of the mean uplift of all customers of whom the same is predicted; single
customers differ from it by more, and nothing measures how much. Where a slope is not clearly above 0, nothing shows
that the offer works better on one customer than on another.

Not for: offers that were in no experiment; customers unlike those who were; dates before the as-of.
"""


def _arm_line(one: ArmCard) -> str:
    line, error, slope_error = one.line, one.line.average_variance**0.5, one.line.slope_variance**0.5
    return (
        f"| {one.arm} | {', '.join(one.experiments)} | {one.exposures:,} | {one.controls:,} | {one.share_ordered:.3f} "
        f"| {one.control_share_ordered:.3f} | {line.average:+.4f} ± {_NORMAL_975 * error:.4f} "
        f"| {line.slope_found:.2f} ± {_NORMAL_975 * slope_error:.2f} "
        f"| {one.qini.estimate:.4f} [{one.qini.low:.4f}, {one.qini.high:.4f}] |"
    )


def _arm(data: Mapping[str, Any]) -> ArmCard:
    return ArmCard(
        **{
            **data,
            "experiments": tuple(data["experiments"]),
            "line": EffectLine(**data["line"]),
            "qini": Interval(**data["qini"]),
        }
    )
