"""The sufficient statistics of buy-till-you-die models: repeat purchase days x, recency t_x, age T, litt and monetary value.

Orders of one day, in the warehouse's zone, are one purchase, as in the literature (Fader and Hardie; litt: Platzer and
Reutterer 2016).
"""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("btyd_frequency", "orders", "total", "count", "days with an order after the first, in the warehouse's zone", of="repeat_day"),
    Measure("btyd_recency_days", "orders", "span", "days", "time from the first order to the last"),
    Measure("btyd_age_days", "orders", "since_first", "days", "time since the first order"),
    Measure("btyd_litt", "orders", "log_day_gaps", "ln days", "sum of the natural logarithms of the days between purchase days"),
    Measure("btyd_monetary", "orders", "share_of_total", "currency", "mean spend of a purchase day after the first",
            of="repeat_value", by="repeat_day"),
)  # fmt: skip
