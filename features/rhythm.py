"""Rhythm: when a customer orders, and how long it has been silent, measured by its own gaps."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("days_since_last_order", "orders", "since_last", "days", "days since the last order"),
    Measure("days_since_first_order", "orders", "since_first", "days", "days since the first order"),
    Measure("gap_mean_days", "orders", "gap_mean", "days", "mean gap between consecutive orders"),
    Measure("gap_std_days", "orders", "gap_std", "days", "population standard deviation of the gaps, from 2 gaps on"),
    Measure("gap_min_days", "orders", "gap_min", "days", "shortest gap between consecutive orders"),
    Measure("gap_max_days", "orders", "gap_max", "days", "longest gap between consecutive orders"),
    Measure("gap_last_days", "orders", "gap_last", "days", "gap between the last two orders"),
    Measure("gap_cv", "orders", "ratio", "ratio", "standard deviation of the gaps in units of their mean",
            over=("gap_std_days", "gap_mean_days")),
    Measure("gap_last_ratio", "orders", "ratio", "ratio", "last gap in units of the mean gap",
            over=("gap_last_days", "gap_mean_days")),
    Measure("overdue_ratio", "orders", "ratio", "ratio", "days since the last order in units of the mean gap",
            over=("days_since_last_order", "gap_mean_days")),
    Measure("silence_ratio", "orders", "ratio", "ratio", "days since the last order in units of the longest gap",
            over=("days_since_last_order", "gap_max_days")),
    Measure("gap_clumpiness", "orders", "clumpiness", "ratio",
            "1 + sum of x ln x / ln n over the n gaps, the one still open included, as shares x of the time since the "
            "first order: 0 for a regular customer, 1 for one whose orders came all at once (Zhang, Bradlow and Small 2015)"),
    Measure("active_30d_periods", "orders", "periods", "count", "30-day periods with an order", windows=(180,)),
)  # fmt: skip
