"""Facts that rules ask for beside the features: complaints, messages by channel, interest. No model is trained on them.

Written in the same vocabulary and computed by the same kernel, so that a rule sees the same online and offline.
"""

from features.vocabulary import Measure

__all__ = ["MEASURES"]


def _messages(channel: str, *windows: int) -> Measure:
    """Count the delivered marketing messages of one channel."""
    words = channel.replace("_", " ")
    return Measure(
        f"contacts_{channel}", "contacts", "count", "count", f"delivered marketing messages by {words}",
        where=("channel", (channel,)), windows=windows,
    )  # fmt: skip


_COMPLAINT = ("kind", ("complaint",))

MEASURES = (
    Measure("favourites", "events", "count", "count", "products marked as favourite", where=("kind", ("favourite",)), windows=(30,)),
    Measure("visits", "events", "count", "count", "visits to a store", where=("kind", ("visit",)), windows=(30,)),
    Measure("searches", "events", "count", "count", "searches", where=("kind", ("search",)), windows=(30,)),
    Measure("views", "events", "count", "count", "product views", where=("kind", ("view",)), windows=(90,)),
    Measure("open_complaints", "tickets", "open", "count", "complaints not closed yet", of="closed_at", where=_COMPLAINT),
    Measure("days_since_last_complaint", "tickets", "since_last", "days", "time since the last complaint was opened", where=_COMPLAINT),
    Measure("last_complaint_csat", "tickets", "last_rated", "points", "rating of the last complaint, 1-5; null while it has none",
            of="csat", by="rated_at", where=_COMPLAINT),
    Measure("complaints", "tickets", "count", "count", "complaints opened", where=_COMPLAINT, windows=(365,)),
    Measure("enquiries", "tickets", "count", "count", "enquiries opened", where=("kind", ("enquiry",)), windows=(30,)),
    Measure("exchanges", "tickets", "count", "count", "exchanges asked for", where=("kind", ("exchange",)), windows=(365,)),
    Measure("return_orders", "returns", "distinct", "count", "orders brought back", of="order_id", windows=(365,)),
    Measure("contacts", "contacts", "count", "count", "delivered marketing messages", windows=(7,)),
    *(_messages(channel, 1) for channel in ("sms", "email", "push", "app_popup", "mini_program", "wecom", "assistant")),
    _messages("official_account", 30),
)  # fmt: skip
