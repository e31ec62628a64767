"""Facts that rules ask for beside the features: messages by channel, complaints, favourites. No model is trained on them.

Written in the same vocabulary and computed by the same kernel, so that a rule sees the same online and offline.
"""

from features.vocabulary import Measure, only

__all__ = ["MEASURES"]


def _messages(channel: str, *windows: int) -> Measure:
    """Count the delivered marketing messages of one channel."""
    words = channel.replace("_", " ")
    return Measure(
        f"contacts_{channel}", "contacts", "count", "count", f"delivered marketing messages by {words}",
        where=only(channel=channel), windows=windows,
    )  # fmt: skip


_COMPLAINT = only(kind="complaint")

MEASURES = (
    Measure("open_complaints", "tickets", "open", "count", "complaints not closed yet", of="closed_at", where=_COMPLAINT),
    Measure("last_complaint_csat", "tickets", "last_rated", "score 1-5", "rating of the last complaint, 1-5; null while it has none",
            of="csat", by="rated_at", where=_COMPLAINT),
    *(_messages(channel, 1) for channel in ("sms", "email", "push", "app_popup", "mini_program", "wecom", "assistant")),
    _messages("official_account", 30),
    Measure("top_category", "lines", "top_word", "text", "category with the largest spend", of="net", by="category",
            windows=(365,)),
    Measure("top_brand", "lines", "top_word", "text", "brand with the largest spend", of="net", by="brand", windows=(365,)),
    Measure("last_channel", "orders", "last_word", "text", "sales channel of the last order", of="channel"),
)  # fmt: skip
