"""Campaigns: delivered marketing contacts and what became of them."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("contacts", "contacts", "count", "count", "delivered marketing contacts", windows=(7, 30, 90)),
    Measure("open_rate", "contacts", "followed_share", "ratio", "share of delivered marketing contacts opened",
            of="opened_at", windows=(90, 365)),
    Measure("click_rate", "contacts", "followed_share", "ratio", "share of delivered marketing contacts clicked",
            of="clicked_at", windows=(90, 365)),
    Measure("rejections", "contacts", "followed", "count", "delivered marketing contacts rejected", of="rejected_at",
            windows=(365,)),
    Measure("unsubscribes", "contacts", "followed", "count", "delivered marketing contacts answered by unsubscribing",
            of="unsubscribed_at", windows=(365,)),
    Measure("contact_channels", "contacts", "distinct", "count", "channels of delivered marketing contacts", of="channel",
            windows=(90,)),
    Measure("days_since_last_contact", "contacts", "since_last", "days", "days since the last delivered marketing contact"),
    Measure("days_since_last_open", "contacts", "since_followed", "days", "days since a marketing contact was last opened",
            of="opened_at"),
    Measure("days_since_last_click", "contacts", "since_followed", "days", "days since a marketing contact was last clicked",
            of="clicked_at"),
)  # fmt: skip
