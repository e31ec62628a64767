"""Rhythm: when a customer orders, and how long it has been silent, measured by its own gaps."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("days_since_last_order", "orders", "since_last", "days", "days since the last order"),
    Measure("days_since_first_order", "orders", "since_first", "days", "days since the first order"),
    Measure("gap_mean_days", "orders", "gap_mean", "days", "mean gap between consecutive orders"),
    Measure(
        "gap_std_days",
        "orders",
        "gap_std",
        "days",
        "population standard deviation of the gaps, from 2 gaps on",
    ),
    Measure("gap_last_days", "orders", "gap_last", "days", "gap between the last two orders"),
    Measure(
        "overdue_ratio",
        "orders",
        "ratio",
        "ratio",
        "days since the last order in units of the mean gap",
        over=("days_since_last_order", "gap_mean_days"),
    ),
    Measure(
        "active_30d_periods", "orders", "periods", "count", "30-day periods with an order", windows=(180,)
    ),
)
