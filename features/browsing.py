"""Browsing and carts."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("views", "events", "count", "count", "product views", where=("kind", ("view",)), windows=(30,)),
    Measure("carts", "events", "count", "count", "products put into the cart", where=("kind", ("cart_add",)),
            windows=(30,)),
    Measure("days_since_last_event", "events", "since_last", "days", "days since the last event of any kind"),
)  # fmt: skip
