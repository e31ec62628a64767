"""The value model's card: everything about it that is not in its trees. JSON for programs, Markdown for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.contract import Contract
from training.baselines import MBGNBD
from training.gamma_gamma import GammaGamma

__all__ = ["SPAN_DAYS", "Band", "HorizonCard", "Season", "ValueCard", "value_page"]

Floats = NDArray[np.float64]

SPAN_DAYS = 28
"""Of the spans that seasons are told by."""

# Chosen on a plateau of Online Retail II and two made-up retailers; see experiments/value.
_FADES_DAYS = 84.0
_UNSEASONED = 0.5
_YEAR_DAYS = 365


@dataclass(frozen=True)
class Season:
    """What is known of the pace at an instant, in logarithms; without any knowledge the pace is 0, as MBG/NBD says.

    Attributes
    ----------
    now
        Of the last eight weeks.
    then
        Of the eight weeks before the same day a year ago.
    after
        Of each of the 13 spans after that day; empty where last year is not known.
    """

    now: float = 0.0
    then: float = 0.0
    after: tuple[float, ...] = ()

    def shift(self, horizon_days: float, ahead_days: ArrayLike = 0.0) -> Floats:
        """Return the log of the mean factor over horizons that begin so many days, cut to whole ones, after the instant."""
        begin, place = np.unique(np.floor(np.asarray(ahead_days, dtype=np.float64)), return_inverse=True)
        days = begin[:, None] + np.arange(0.5, horizon_days)
        fade = np.exp(-days / _FADES_DAYS)
        if not self.after:
            return np.asarray(np.log(np.exp(_UNSEASONED * self.now * fade).mean(axis=1))[place])
        # a year on, the same weeks come again; the odd day of a year goes to its last span
        span = np.minimum(days % _YEAR_DAYS // SPAN_DAYS, len(self.after) - 1).astype(np.int64)
        log_pace = np.array(self.after)[span] + fade * (self.now - self.then)
        return np.asarray(np.log(np.exp(log_pace).mean(axis=1))[place])


@dataclass(frozen=True)
class Band:
    """How far spends lie from their expectation: 10 and 90 % points of spent / predicted, by the purchases expected.

    Attributes
    ----------
    log_purchases
        Natural logarithm of the expected purchase days, rising: where the points were measured. In between they are
        interpolated, beyond the nearest holds.
    low, high
        The points, >= 0.
    measured
        What they were measured on, in words.
    """

    log_purchases: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    measured: str

    def around(self, predicted: Floats, purchases: Floats) -> tuple[Floats, Floats]:
        """Return the 10-90 % band around predicted spends, given the purchase days expected; length n each."""
        at = np.log(np.maximum(purchases, 1e-12))
        low, high = (np.interp(at, self.log_purchases, points) for points in (self.low, self.high))
        return predicted * low, predicted * high


@dataclass(frozen=True)
class HorizonCard:
    """One horizon of the value model: spend in [as-of, as-of + horizon).

    Attributes
    ----------
    log_level
        Added to the log of the prediction: how much more than predicted forward was spent, in so far as that is no matter of
        the season; 0 where it is, or where no forward step was possible.
    band
        How far spends lie from their expectation.
    """

    horizon_days: int
    log_level: float
    band: Band


@dataclass(frozen=True)
class ValueCard:
    """What is needed to use a value model, and what should be known before doing so.

    Attributes
    ----------
    as_of
        Nothing at or after this instant (ISO 8601, UTC) was used; the model may score from then on.
    currency
        ISO 4217, of every amount.
    baseline, spend
        MBG/NBD and Gamma-Gamma fitted to the orders before ``as_of``.
    mean_spend_cap
        Means of spend a purchase day above it count as it, for Gamma-Gamma: one wholesaler must not wreck the total.
    frequency_spend_correlation
        What Gamma-Gamma assumes to be 0.
    season
        How fast the base buys, and will.
    trees_horizon_days
        Outcomes of so many days the trees were fitted to; on the buy-till-you-die expectation of any horizon they serve as
        well, and better than trees fitted to the fewer outcomes of a year (experiments/value).
    cutoffs, rows
        Where they are from, and how many.
    spend_cap
        Spends of training rows above it were cut to it before the trees were fitted.
    log_total
        Added to the log of every prediction so that the trees move money between customers, and not the total.
    metrics
        Forward out-of-fold figures: name -> value.
    """

    population: str
    warehouse_id: str
    currency: str
    as_of: str
    trained_at: str
    contract: Contract
    baseline: MBGNBD
    spend: GammaGamma
    mean_spend_cap: float
    frequency_spend_correlation: float
    season: Season
    trees_horizon_days: int
    cutoffs: tuple[str, ...]
    rows: int
    spend_cap: float
    tree_weight: float
    log_total: float
    horizons: tuple[HorizonCard, ...]
    parameters: Mapping[str, float | int]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ValueCard":
        """Read what ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        season = data.pop("season")
        return cls(
            contract=Contract.of(data.pop("contract")),
            baseline=MBGNBD(**data.pop("baseline")),
            spend=GammaGamma(**data.pop("spend")),
            season=Season(season["now"], season["then"], tuple(season["after"])),
            cutoffs=tuple(data.pop("cutoffs")),
            horizons=tuple(_horizon(one) for one in data.pop("horizons")),
            **data,
        )


def value_page(card: ValueCard) -> str:
    """Return the card as a page for people."""
    season = f"{card.season.now:+.3f} over the last eight weeks"
    if card.season.after:
        season += (
            f", {card.season.then:+.3f} a year before, {sum(card.season.after) / len(card.season.after):+.3f} in the "
            "mean of the year between"
        )
    return f"""# Model card: value

| | |
| --- | --- |
| predicts | spend net of refunds, {card.currency}; orders |
| about | population `{card.population}`; nobody else |
| warehouse | {card.warehouse_id} |
| uses nothing at or after | {card.as_of} |
| trained | {card.trained_at} |
| features | {len(card.contract.names)}, definitions {card.contract.digest} |
| when they buy | MBG/NBD, time in weeks: {_listed(asdict(card.baseline))} |
| how much | Gamma-Gamma on the net spend of a purchase day: {_listed(asdict(card.spend))}; a customer's mean counts up to {card.mean_spend_cap:,.2f} |
| assumed | how much does not depend on how often; both correlate by {card.frequency_spend_correlation:+.2f} |
| season | log pace against MBG/NBD {season} |
| trees | {_trees(card)} |
| parameters | {_listed(card.parameters)} |

| horizon | level | band measured on |
| --- | --- | --- |
{chr(10).join(f"| {one.horizon_days} days | {one.log_level:+.3f} | {one.band.measured} |" for one in card.horizons)}

The trees move money between customers; the total is that of the two models and the season. Bands are points of
spent / predicted of customers of whom as many purchases were expected. Of who is unlikely to buy at all a band begins at 0.

Forward out-of-fold figures (each cutoff predicted by a model that knew only labels which had ended by then):

| figure | value |
| --- | --- |
{chr(10).join(f"| {name} | {value:.4g} |" for name, value in card.metrics.items())}

Not for: single large buyers (look at their orders); customers outside the population; margins; dates before the as-of.
"""


def _trees(card: ValueCard) -> str:
    if not card.tree_weight:
        return f"none: {card.rows:,} rows (customer, cutoff) were too few to grow them on"
    return (
        f"fitted to {card.rows:,} rows (customer, cutoff) at {len(card.cutoffs)} cutoffs from {card.cutoffs[0]} to "
        f"{card.cutoffs[-1]}, {card.trees_horizon_days} days; spends cut at {card.spend_cap:,.2f}; weight {card.tree_weight:g}"
    )


def _horizon(data: Mapping[str, Any]) -> HorizonCard:
    band = data["band"]
    points = {name: tuple(band[name]) for name in ("log_purchases", "low", "high")}
    return HorizonCard(**{**data, "band": Band(**{**band, **points})})


def _listed(parameters: Mapping[str, float | int]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())
