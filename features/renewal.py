"""Renewal: how often, in the customer's own past, a silence as long as now's was broken, and how soon."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("gaps", "orders", "gaps", "count", "gaps between consecutive orders"),
    Measure("longer_gaps", "orders", "longer_gaps", "count", "own past gaps longer than the time since the last order"),
    Measure("longer_gaps_share", "orders", "longer_gaps_share", "ratio",
            "share of own past gaps longer than the time since the last order"),
    Measure("renewal_share", "orders", "renewal_share", "ratio",
            "of own past gaps longer than the time since the last order, the share that ended within {days} more days",
            windows=(7, 14, 30, 90)),
)  # fmt: skip
