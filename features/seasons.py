"""What a year ago was the future of the whole base: how much more it bought in the weeks after than in the weeks before.

Told by the sale lines of everybody, so it is no matter of one customer's rows: the kernel is given it. It looks at whole UTC
days a year back and is known for months ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from features.context import BASE_SEASONS
from features.streams import FOREVER, NEVER
from features.windows import DAY_US

__all__ = ["SEASONS_AHEAD_DAYS", "Base", "base_seasons"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_YEAR_DAYS = 365
SEASONS_AHEAD_DAYS = _YEAR_DAYS - max(BASE_SEASONS.values()) + 1
"""For so many days from today on, today's included, all that a season looks at has happened."""


@dataclass(frozen=True)
class Base:
    """Sale lines of the whole base, counted by day and by when they were known.

    Attributes
    ----------
    day
        Days since 1970, UTC.
    usable_from, usable_to
        The span of instants at which so many lines were what the business knew, microseconds; a line known when it
        happened is usable from ever.
    lines
        How many.
    """

    day: Ints
    usable_from: Ints
    usable_to: Ints
    lines: Ints

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection) -> "Base":
        """Count the sale lines of a warehouse."""
        found = connection.sql(f"""
            SELECT CAST(floor(epoch_us(paid_at) / {DAY_US}.0) AS BIGINT) AS day,
                   CASE WHEN known_at > paid_at THEN epoch_us(known_at) ELSE {NEVER} END AS usable_from,
                   coalesce(epoch_us(superseded_at), {FOREVER}) AS usable_to, count(*) AS lines
            FROM order_lines WHERE kind = 'sale' GROUP BY ALL
        """).fetchnumpy()
        return cls(
            *(
                np.asarray(found[name]).astype(np.int64)
                for name in ("day", "usable_from", "usable_to", "lines")
            )
        )

    def seasons(self, day: int, as_of: int) -> dict[str, float]:
        """Return the features of one day, by what was known at an instant; NaN where the base's history does not reach so far.

        Parameters
        ----------
        day
            Days since 1970.
        as_of
            Microseconds since 1970.
        """
        known = (self.usable_from <= as_of) & (as_of < self.usable_to)
        ago = self.day[known] - (day - _YEAR_DAYS)
        lines, first = self.lines[known], self.day[known].min(initial=day)
        found = {}
        for name, days in BASE_SEASONS.items():
            after, before = (int(lines[(low <= ago) & (ago < low + days)].sum()) for low in (0, -days))
            whole = (
                first <= day - _YEAR_DAYS - days
            )  # of a base that began in between, half a window would be told
            found[name] = after / before if before and whole else float("nan")
        return found


def base_seasons(connection: duckdb.DuckDBPyConnection, cutoffs: Ints) -> dict[str, Floats]:
    """Return the features of ``features.context.BASE_SEASONS``, each of length C.

    Parameters
    ----------
    cutoffs
        Microseconds since 1970, UTC, length C.
    """
    base = Base.of(connection)
    found: Sequence[dict[str, float]] = [base.seasons(int(at // DAY_US), int(at)) for at in cutoffs]
    return {name: np.array([one[name] for one in found]) for name in BASE_SEASONS}
