"""Deliveries of the customer's orders: how long they took, and how often later than promised."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("deliveries", "deliveries", "count", "count", "deliveries of orders", windows=(365,)),
    Measure("delivery_days", "deliveries", "followed_mean", "days", "mean time from an order to its delivery",
            of="delivered_at", windows=(365,)),
    Measure("late_delivery_share", "deliveries", "followed_share", "ratio",
            "share of deliveries not there by the promised time", of="late_at", windows=(365,)),
    Measure("undelivered", "deliveries", "open", "count", "deliveries not there yet", of="delivered_at", windows=(90,)),
    Measure("days_since_last_late_delivery", "deliveries", "since_followed", "days",
            "days since a delivery was last not there by the promised time", of="late_at"),
)  # fmt: skip
