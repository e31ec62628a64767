"""Promotions: how much of the list price was given away."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("discount_share", "lines", "share_of_total", "ratio", "discount / gross of sale lines",
            of="discount", by="gross", windows=(365,)),
)  # fmt: skip
