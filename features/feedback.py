"""Feedback: what the customer said, in reviews, chats and surveys."""

from features.vocabulary import Measure, only

__all__ = ["MEASURES"]

_REVIEW, _NPS = only(rated_kind="review"), only(rated_kind="nps")

MEASURES = (
    Measure("feedback", "feedback", "count", "count", "pieces of feedback", windows=(365,)),
    Measure("reviews", "feedback", "count", "count", "reviews written", where=only(kind="review"), windows=(365,)),
    Measure("chats", "feedback", "count", "count", "chats", where=only(kind="chat"), windows=(90,)),
    Measure("review_rating_mean", "feedback", "mean", "points", "mean rating of reviews", of="rating", where=_REVIEW,
            windows=(365,)),
    Measure("review_rating_min", "feedback", "minimum", "points", "lowest rating of reviews", of="rating", where=_REVIEW,
            windows=(365,)),
    Measure("last_review_rating", "feedback", "last", "points", "rating of the last rated review", of="rating", where=_REVIEW),
    Measure("last_nps", "feedback", "last", "points", "last answer to whether one would recommend us, 0-10", of="rating",
            where=_NPS),
    Measure("days_since_last_feedback", "feedback", "since_last", "days", "days since the last piece of feedback"),
)  # fmt: skip
