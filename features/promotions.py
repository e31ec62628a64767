"""Promotions: how much of the list price was given away, and how often."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("discount_share", "lines", "share_of_total", "ratio", "discount / gross of sale lines",
            of="discount", by="gross", windows=(90, 365)),
    Measure("discount", "lines", "total", "currency", "sum of discount_amount of sale lines", of="discount", windows=(365,)),
    Measure("discounted_order_share", "orders", "share", "ratio", "share of orders with a discount on a line",
            of="discounted", windows=(365,)),
    Measure("coupon_order_share", "orders", "share", "ratio", "share of orders with a coupon on a line",
            of="coupon", windows=(365,)),
)  # fmt: skip
