"""What can be asked of a stream's rows, and what is said of a customer about whom there is nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["OPERATIONS", "TEXTS", "Operation"]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes
    ----------
    empty
        What is said where there is nothing: 0, or null and when.
    of
        Kind of column it looks at: ``numbers``, ``flags``, ``words``, ``times``; empty for none.
    by
        Likewise its second column.
    windows
        ``any``; ``none`` looks at the whole history; ``days`` wants whole days, not the whole history.
    stream
        The only one it is of; empty for any but ``cutoffs``.
    step_days, least_days
        Windows are a multiple of the one, and not below the other.
    operands
        How many other features it looks at.
    """

    empty: str
    of: str = ""
    by: str = ""
    windows: str = "any"
    stream: str = ""
    step_days: int = 1
    least_days: int = 1
    operands: int = 0

    @property
    def zero_when_empty(self) -> bool:
        """0 where nothing happened; otherwise null where undefined."""
        return self.empty == "0"


_NO_ROWS, _ONE = "null without rows", "null without two rows"

OPERATIONS: Mapping[str, Operation] = {
    # of the rows in the window
    "count": Operation("0"),
    "total": Operation("0", "numbers"),
    "mean": Operation(_NO_ROWS, "numbers"),
    "std": Operation(_ONE, "numbers"),
    "minimum": Operation(_NO_ROWS, "numbers"),
    "maximum": Operation(_NO_ROWS, "numbers"),
    "share": Operation(_NO_ROWS, "flags"),
    "share_of_total": Operation("null where the whole is 0", "numbers", "numbers"),
    "distinct": Operation("0", "words"),
    "periods": Operation("0", windows="days", step_days=30, least_days=30),
    "slope": Operation("0", windows="days", step_days=7, least_days=14),
    "slope_of": Operation("0", "numbers", windows="days", step_days=7, least_days=14),
    # how what they sum up to is shared out
    "top_share": Operation("null where nothing has a group, or the whole is 0", "numbers", "words"),
    "hhi": Operation("null where nothing has a group, or its whole is 0", "numbers", "words"),
    "entropy": Operation("null where nothing has a group, or its whole is 0", "numbers", "words"),
    "top_word": Operation("null where nothing has a group, or its whole is 0", "numbers", "words"),
    # of the first and the last row
    "first": Operation(_NO_ROWS, "numbers", windows="none"),
    "last": Operation(_NO_ROWS, "numbers", windows="none"),
    "last_flag": Operation(_NO_ROWS, "flags", windows="none"),
    "last_word": Operation(_NO_ROWS, "words", windows="none"),
    "since_first": Operation(_NO_ROWS, windows="none"),
    "since_last": Operation(_NO_ROWS, windows="none"),
    "span": Operation(_NO_ROWS, windows="none"),
    "latest": Operation("null without a rating", "numbers", windows="none", stream="ratings"),
    "last_rated": Operation("null while the last row has no rating", "numbers", "times", windows="none"),
    # of fields with a time of their own
    "followed": Operation("0", "times"),
    "open": Operation("0", "times"),
    "followed_share": Operation(_NO_ROWS, "times"),
    "followed_mean": Operation("null where nothing followed", "times"),
    "since_followed": Operation("null where nothing followed", "times", windows="none"),
    # of the gaps between consecutive rows
    "gaps": Operation("0", windows="none"),
    "gap_mean": Operation(_ONE, windows="none"),
    "gap_std": Operation("null without three rows", windows="none"),
    "gap_min": Operation(_ONE, windows="none"),
    "gap_max": Operation(_ONE, windows="none"),
    "gap_last": Operation(_ONE, windows="none"),
    "clumpiness": Operation(_ONE, windows="none"),
    "log_day_gaps": Operation("0", windows="none", stream="orders"),
    "longer_gaps": Operation("0", windows="none"),
    "longer_gaps_share": Operation("null without a gap", windows="none"),
    "renewal_share": Operation("null without a gap longer than the silence", windows="days"),
    # of the cutoff alone
    "season_sin": Operation("never null", windows="none", stream="cutoffs"),
    "season_cos": Operation("never null", windows="none", stream="cutoffs"),
    "given": Operation(
        "null where the base's history does not reach so far back", windows="none", stream="cutoffs"
    ),
    # of other features
    "ratio": Operation("null where undefined, or the whole is 0", operands=2),
    "difference": Operation("0, or null where one of the two is", operands=2),
    "change": Operation("0", windows="days", operands=1),
}


TEXTS = ("top_word", "last_word")
"""Operations whose result is a word."""
