"""Trends: the last weeks against those before them."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

_CHANGE = "{what} in the last {{days}} days less those in the {{days}} days before"

MEASURES = (
    Measure("orders_change", "orders", "change", "orders", _CHANGE.format(what="orders"), over=("orders",),
            windows=(30, 90, 180)),
    Measure("spend_change", "lines", "change", "currency", _CHANGE.format(what="spend").replace("those", "that"),
            over=("spend",), windows=(30, 90, 180)),
    Measure("views_change", "events", "change", "views", _CHANGE.format(what="product views"), over=("views",),
            windows=(30,)),
    Measure("recent_orders_share", "orders", "ratio", "ratio", "orders of the last 90 days / of the last 365",
            over=("orders_90d", "orders_365d")),
    Measure("recent_spend_share", "lines", "ratio", "ratio", "spend of the last 90 days / of the last 365",
            over=("spend_90d", "spend_365d")),
    Measure("recent_aov_ratio", "lines", "ratio", "ratio", "spend per order of the last 90 days / of the last 365",
            over=("aov_90d", "aov_365d")),
    Measure("orders_slope", "orders", "slope", "orders/week per week", "least-squares slope over the weekly orders",
            windows=(84,)),
    Measure("spend_slope", "lines", "slope_of", "currency/week per week", "least-squares slope over the weekly spend",
            of="net", windows=(84,)),
    Measure("events_slope", "events", "slope", "events/week per week", "least-squares slope over the weekly events",
            windows=(84,)),
)  # fmt: skip
