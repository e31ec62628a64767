"""Channels and calendar: where and when orders are placed, by the customer's own clock."""

from features.vocabulary import Measure, only

__all__ = ["MEASURES"]

_ONLINE = only(channel=("web", "app", "mini_program", "marketplace", "phone"))


def _share(name: str, of: str, words: str) -> Measure:
    return Measure(
        f"{name}_share", "orders", "share", "ratio", f"share of orders {words}", of=of, windows=(365,)
    )


MEASURES = (
    Measure("channels", "orders", "distinct", "count", "sales channels used", of="channel", windows=(365,)),
    Measure("stores", "orders", "distinct", "count", "stores bought in", of="store", windows=(365,)),
    Measure("channel_hhi", "orders", "hhi", "ratio", "Herfindahl-Hirschman index of order value by sales channel",
            of="value", by="channel", windows=(365,)),
    _share("online", "online", "not placed in a store"),
    _share("weekend", "weekend", "on Saturday or Sunday, local time"),
    _share("morning", "morning", "from 6 to 12, local time"),
    _share("afternoon", "afternoon", "from 12 to 18, local time"),
    _share("evening", "evening", "from 18 to 22, local time"),
    _share("night", "night", "from 22 to 6, local time"),
    Measure("fourth_quarter_share", "orders", "share", "ratio", "share of orders from October to December, local time",
            of="fourth_quarter", windows=(None,)),
    Measure("last_order_online", "orders", "last_flag", "flag", "1 if the last order was not placed in a store", of="online"),
    Measure("days_since_last_store_order", "orders", "since_last", "days", "days since the last order in a store",
            where=only(channel="store")),
    Measure("days_since_last_online_order", "orders", "since_last", "days", "days since the last order not in a store",
            where=_ONLINE),
)  # fmt: skip
