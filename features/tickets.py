"""Service tickets, by the time they were opened; ratings, by the time they were given."""

from features.vocabulary import Measure, only

__all__ = ["MEASURES"]

_COMPLAINT = only(kind="complaint")

MEASURES = (
    Measure("tickets", "tickets", "count", "count", "service tickets opened", windows=(90, 365)),
    Measure("complaints", "tickets", "count", "count", "complaints opened", where=_COMPLAINT, windows=(90, 365)),
    Measure("enquiries", "tickets", "count", "count", "enquiries opened", where=only(kind="enquiry"), windows=(30,)),
    Measure("exchanges", "tickets", "count", "count", "exchanges asked for", where=only(kind="exchange"), windows=(365,)),
    Measure("open_tickets", "tickets", "open", "count", "service tickets not closed yet", of="closed_at"),
    Measure("first_response_days", "tickets", "followed_mean", "days", "mean time from opening to the first response",
            of="first_response_at", windows=(365,)),
    Measure("resolution_days", "tickets", "followed_mean", "days", "mean time from opening to closing",
            of="closed_at", windows=(365,)),
    Measure("days_since_last_ticket", "tickets", "since_last", "days", "days since the last service ticket was opened"),
    Measure("days_since_last_complaint", "tickets", "since_last", "days", "days since the last complaint was opened",
            where=_COMPLAINT),
    Measure("last_csat", "ratings", "latest", "score 1-5", "latest satisfaction rating of a ticket", of="csat"),
    Measure("csat_mean", "ratings", "mean", "score 1-5", "mean satisfaction rating of tickets", of="csat", windows=(365,)),
    Measure("csat_min", "ratings", "minimum", "score 1-5", "lowest satisfaction rating of tickets", of="csat", windows=(365,)),
)  # fmt: skip
