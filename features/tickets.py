"""Service tickets, by the time they were opened; ratings, by the time they were given."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("tickets", "tickets", "count", "count", "service tickets opened", windows=(90,)),
    Measure("complaints", "tickets", "count", "count", "complaints opened", where=("kind", ("complaint",)),
            windows=(90,)),
    Measure("last_csat", "ratings", "latest", "score 1-5", "latest satisfaction rating of a ticket", of="csat"),
)  # fmt: skip
