"""Purchases: how many, how much, how large."""

from features.vocabulary import WINDOWS, Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("orders", "orders", "count", "count", "orders", windows=WINDOWS),
    Measure(
        "spend", "lines", "total", "currency", "sum of net_amount of sale lines", of="net", windows=WINDOWS
    ),
    Measure(
        "units", "lines", "total", "units", "sum of quantity of sale lines", of="quantity", windows=WINDOWS
    ),
    Measure(
        "active_days", "orders", "distinct", "count", "distinct days with an order", of="day", windows=WINDOWS
    ),
    Measure(
        "aov", "orders", "ratio", "currency", "spend per order", over=("spend", "orders"), windows=WINDOWS
    ),
    Measure(
        "max_order_value", "orders", "maximum", "currency", "largest order value", of="value", windows=WINDOWS
    ),
)
