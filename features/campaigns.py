"""Campaigns: delivered marketing contacts and what became of them."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("contacts", "contacts", "count", "count", "delivered marketing contacts", windows=(30,)),
    Measure("open_rate", "contacts", "followed_share", "ratio", "share of delivered marketing contacts opened",
            of="opened_at", windows=(90,)),
    Measure("click_rate", "contacts", "followed_share", "ratio", "share of delivered marketing contacts clicked",
            of="clicked_at", windows=(90,)),
)  # fmt: skip
