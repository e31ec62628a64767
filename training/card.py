"""The model card: everything about a model that is not in its trees. JSON for programs, Markdown for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from features.contract import Contract
from training.baselines import MBGNBD
from training.calibration import PlattCalibration

__all__ = ["ChurnCard"]


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
        Its mean log odds over the training rows: what a customer's own are held against in reasons.
    tree_weight
        Share of the trees' log odds that is added to the baseline's.
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
        contract = Contract(tuple(data.pop("contract")["names"]), json.loads(text)["contract"]["digest"])
        return cls(
            contract=contract,
            baseline=MBGNBD(**data.pop("baseline")),
            calibration=PlattCalibration(**data.pop("calibration")),
            cutoffs=tuple(data.pop("cutoffs")),
            **data,
        )

    def to_markdown(self) -> str:
        """Return the card as a page for people."""
        metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in self.metrics.items())
        baseline = ", ".join(f"{name} {value:.4g}" for name, value in asdict(self.baseline).items())
        return f"""# Model card: {self.target}

| | |
| --- | --- |
| predicts | probability that a customer {self.asks} |
| about | population `{self.population}`; nobody else |
| warehouse | {self.warehouse_id} |
| uses nothing at or after | {self.as_of} |
| trained | {self.trained_at}, {self.rows:,} rows (customer, cutoff) at {len(self.cutoffs)} cutoffs from {self.cutoffs[0]} to {self.cutoffs[-1]}, share of churn {self.churn_share:.3f} |
| features | {len(self.contract.names)}, definitions {self.contract.digest} |
| baseline | MBG/NBD by maximum likelihood ({baseline}; weeks), whose log odds the trees correct with weight {self.tree_weight:g} |
| calibration | slope {self.calibration.slope:.3f}, intercept {self.calibration.intercept:.3f} on forward out-of-fold log odds |
| parameters | {", ".join(f"{name} {value:g}" for name, value in self.parameters.items())} |

Forward out-of-fold figures (each cutoff predicted by a model that knew only labels which had ended by then):

| figure | value |
| --- | --- |
{metrics}

Not for: price or depth of discount by person; customers outside the population; dates before the as-of.
Known weakness: the base rate of churn moves with the season; the level of the probabilities can be off by some
points where the season turns, their order less so.
"""
