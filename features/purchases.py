"""Purchases: how many, how much, how large."""

from features.vocabulary import WINDOWS, Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("orders", "orders", "count", "count", "orders", windows=WINDOWS),
    Measure("spend", "lines", "total", "currency", "sum of net_amount of sale lines", of="net", windows=WINDOWS),
    Measure("units", "lines", "total", "units", "sum of quantity of sale lines", of="quantity", windows=WINDOWS),
    Measure("active_days", "orders", "distinct", "count", "distinct days with an order, in the warehouse's zone", of="day", windows=WINDOWS),
    Measure("aov", "orders", "ratio", "currency", "spend per order", over=("spend", "orders"), windows=WINDOWS),
    Measure("max_order_value", "orders", "maximum", "currency", "largest order value", of="value", windows=WINDOWS),
    Measure("min_order_value", "orders", "minimum", "currency", "smallest order value", of="value", windows=(365,)),
    Measure("order_value_std", "orders", "std", "currency", "population standard deviation of order values",
            of="value", windows=(365,)),
    Measure("order_value_cv", "orders", "ratio", "ratio", "standard deviation of order values in units of their mean",
            over=("order_value_std", "aov"), windows=(365,)),
    Measure("net_spend", "lines", "difference", "currency", "spend less refunds", over=("spend", "refunds"),
            windows=(90, 365, None)),
    Measure("first_order_value", "orders", "first", "currency", "value of the first order", of="value"),
    Measure("last_order_value", "orders", "last", "currency", "value of the last order", of="value"),
    Measure("last_order_value_ratio", "orders", "ratio", "ratio", "value of the last order in units of the mean",
            over=("last_order_value", "aov_all")),
)  # fmt: skip
