"""Returns: what came back."""

from features.vocabulary import WINDOWS, Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure(
        "refunds",
        "returns",
        "total",
        "currency",
        "sum of net_amount of return lines",
        of="net",
        windows=WINDOWS,
    ),
)
