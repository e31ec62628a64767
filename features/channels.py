"""Channels and calendar: where and when orders are placed."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("channels", "orders", "distinct", "count", "sales channels used", of="channel", windows=(365,)),
    Measure("online_share", "orders", "share", "ratio", "share of orders not placed in a store",
            of="online", windows=(365,)),
    Measure("weekend_share", "orders", "share", "ratio", "share of orders on Saturday or Sunday, local time",
            of="weekend", windows=(365,)),
)  # fmt: skip
