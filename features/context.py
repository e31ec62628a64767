"""Context: the season, the customer's cohort, and the same season a year ago: the customer's own and the whole base's."""

from features.vocabulary import Measure

__all__ = ["BASE_SEASONS", "MEASURES"]

BASE_SEASONS = {f"base_season_{days}d": days for days in (30, 90)}
"""Feature -> days ahead: what a year ago was the future of the whole base."""

MEASURES = (
    Measure("season_sin", "cutoffs", "season_sin", "ratio", "sine of the day of the year as an angle, UTC"),
    Measure("season_cos", "cutoffs", "season_cos", "ratio", "cosine of the day of the year as an angle, UTC"),
    Measure("first_order_month", "orders", "first", "month 1-12", "month of the first order, local time", of="month"),
    Measure("orders_ahead_last_year", "orders", "difference", "orders", "orders in the 90 days after this date a year ago; 0, too, of who was no customer then",
            over=("orders_365d", "orders_275d")),
    Measure("spend_ahead_last_year", "lines", "difference", "currency", "spend in the 90 days after this date a year ago; 0, too, of who was no customer then",
            over=("spend_365d", "spend_275d")),
    *(
        Measure(name, "cutoffs", "given", "ratio",
                f"sale lines of the whole base in the {days} days after this day a year ago / in the {days} days before it")
        for name, days in BASE_SEASONS.items()
    ),
)  # fmt: skip
