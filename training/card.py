"""The model cards: everything about a model that is not in its trees. JSON for programs, Markdown for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from features.contract import Contract
from training.baselines import MBGNBD
from training.calibration import PlattCalibration
from training.clock import Clock

__all__ = ["ChurnCard", "TimingCard", "page"]


@dataclass(frozen=True)
class ChurnCard:
    """What is needed to use a churn model, and what should be known before doing so.

    Attributes
    ----------
    as_of
        Nothing at or after this instant (ISO 8601, UTC) was used; the model may score from then on.
    baseline
        MBG/NBD fitted to the orders before ``as_of``; time in weeks.
    baseline_mean
        Its mean log odds over the population of the as-of: what a customer's own are held against in reasons.
    clock
        How fast the base's clock runs from the as-of on.
    tree_weight
        Share of the trees in the log odds; the baseline has the rest.
    metrics
        Forward out-of-fold figures: name -> value.
    """

    target: str
    asks: str
    horizon_days: int
    population: str
    warehouse_id: str
    as_of: str
    trained_at: str
    cutoffs: tuple[str, ...]
    rows: int
    churn_share: float
    contract: Contract
    baseline: MBGNBD
    baseline_mean: float
    clock: Clock
    tree_weight: float
    calibration: PlattCalibration
    parameters: Mapping[str, float | int]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ChurnCard":
        """Read what ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            contract=Contract.of(data.pop("contract")),
            baseline=MBGNBD(**data.pop("baseline")),
            calibration=PlattCalibration(**data.pop("calibration")),
            clock=_clock(data.pop("clock")),
            cutoffs=tuple(data.pop("cutoffs")),
            **data,
        )


@dataclass(frozen=True)
class TimingCard:
    """What is needed to use a timing model; what it shares with the churn card is described there.

    Attributes
    ----------
    bin_ends
        Ends of the bins that hazards are predicted for, days from the cutoff.
    cutoffs
        Up to the last one, whose outcomes are known for a bin or more.
    rows, periods
        Rows (customer, cutoff), and person-period rows (customer, cutoff, bin) made of them.
    orders
        Person-period rows in which the next order came.
    """

    population: str
    warehouse_id: str
    as_of: str
    trained_at: str
    bin_ends: tuple[float, ...]
    cutoffs: tuple[str, ...]
    rows: int
    periods: int
    orders: int
    contract: Contract
    baseline: MBGNBD
    tree_weight: float
    parameters: Mapping[str, float | int]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TimingCard":
        """Read what ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            contract=Contract.of(data.pop("contract")),
            baseline=MBGNBD(**data.pop("baseline")),
            bin_ends=tuple(data.pop("bin_ends")),
            cutoffs=tuple(data.pop("cutoffs")),
            **data,
        )


def page(churn: ChurnCard, timing: TimingCard) -> str:
    """Return the cards of one training as a page for people."""
    baseline = ", ".join(f"{name} {value:.4g}" for name, value in asdict(churn.baseline).items())
    return f"""# Model card: {churn.target} and the time of the next order

| | |
| --- | --- |
| about | population `{churn.population}`; nobody else |
| warehouse | {churn.warehouse_id} |
| uses nothing at or after | {churn.as_of} |
| trained | {churn.trained_at} |
| features | {len(churn.contract.names)}, definitions {churn.contract.digest} |
| baseline | MBG/NBD by maximum likelihood ({baseline}; weeks) |
| seasonal clock | level {churn.clock.level:+.3f} (log speed of the last 8 weeks), {_season(churn.clock)} |

## Churn

| | |
| --- | --- |
| predicts | probability that a customer {churn.asks} |
| rows | {churn.rows:,} (customer, cutoff) at {len(churn.cutoffs)} cutoffs from {churn.cutoffs[0]} to {churn.cutoffs[-1]}, share of churn {churn.churn_share:.3f} |
| weight of the trees | {churn.tree_weight:g} of the log odds, MBG/NBD by the clock has the rest{"" if churn.tree_weight else ": too few customers to grow trees on"} |
| calibration | slope {churn.calibration.slope:.3f}, intercept {churn.calibration.intercept:.3f} on forward out-of-fold log odds; the intercept gives the as-of's population the mean of MBG/NBD by the clock |
| parameters | {_listed(churn.parameters)} |

Forward out-of-fold figures (each cutoff predicted by a model that knew only labels which had ended by then):

{_figures(churn.metrics)}

## Time of the next order

| | |
| --- | --- |
| predicts | hazard of the next order in bins ending {", ".join(f"{end:g}" for end in timing.bin_ends)} days after the cutoff |
| rows | {timing.periods:,} (customer, cutoff, bin), {timing.orders:,} of them with the order, made of {timing.rows:,} (customer, cutoff) at {len(timing.cutoffs)} cutoffs from {timing.cutoffs[0]} to {timing.cutoffs[-1]}; a bin that was not over is left out |
| weight of the trees | {timing.tree_weight:g} |
| parameters | {_listed(timing.parameters)} |

The survival curve is raised to the power with which it meets the churn probability at {churn.horizon_days} days, so the two
never contradict each other. Expected, earliest and latest date: when the next order has come with 50, 10 and 90 %.

Forward out-of-fold figures (each cutoff predicted by a model that knew only orders before it):

{_figures(timing.metrics)}

Not for: price or depth of discount by person; customers outside the population; dates before the as-of.
Known weakness: the level of the probabilities is a forecast of the season. Where last year is not known, or was unlike this
one, it can be off by some points; their order is less so.
"""


def _season(clock: Clock) -> str:
    if not clock.season:
        return "season not known: there is no whole year before it"
    return f"next four weeks {clock.season[0]:+.3f} against them a year ago, believed by {clock.evidence:.0%}"


def _clock(data: Mapping[str, Any]) -> Clock:
    return Clock(data["level"], tuple(data["season"]), data["evidence"])


def _listed(parameters: Mapping[str, float | int]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in parameters.items())


def _figures(metrics: Mapping[str, float]) -> str:
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    return f"| figure | value |\n| --- | --- |\n{rows}"
