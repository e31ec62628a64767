"""What a feature is, as data: a stream of rows, a filter, an operation, a window. The kernel computes it, nothing else does.

A ``Measure`` is one line in a feature group and stands for one feature per window; names are built, never typed twice:
``Measure("spend", LINES, "total", of="net")`` with windows (7, 30, None) is ``spend_7d``, ``spend_30d``, ``spend_all``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["WINDOWS", "Feature", "Measure"]

WINDOWS = (7, 30, 90, 180, 365, None)
"""Days; None is the whole history before the cutoff and is named ``_all``."""

_ZERO_WHEN_EMPTY = ("count", "total", "distinct", "open", "periods")


@dataclass(frozen=True)
class Measure:
    """A family of features that differ by their window only.

    Attributes
    ----------
    name
        Stem of the feature names.
    stream
        The rows it looks at: ``orders``, ``lines``, ``returns``, ``events``, ``tickets``, ``ratings``, ``contacts``.
    operation
        One of ``features.operations.OPERATIONS``, or ``ratio``.
    of
        Column that is summed, counted distinctly, maximised, looked up; of ``open`` the time at which a row ends.
    by
        Column of the groups of ``top_share``; of ``last_rated`` the time of the rating.
    where
        Column and the values that count.
    windows
        Days, None for the whole history; empty for a feature that has no window in its name (whole history).
    over
        For ``ratio``: names (stems) of numerator and denominator; they share the window.
    unit, meaning
        For the catalogue.
    """

    name: str
    stream: str
    operation: str
    unit: str
    meaning: str
    of: str = ""
    by: str = ""
    where: tuple[str, tuple[str, ...]] | None = None
    windows: tuple[int | None, ...] = ()
    over: tuple[str, str] | None = None

    def features(self, group: str) -> Iterator["Feature"]:
        """Yield the features of the family, one a window."""
        if not self.windows:
            yield Feature(self.name, group, self, None)
        for days in self.windows:
            yield Feature(f"{self.name}_{window_name(days)}", group, self, days)


@dataclass(frozen=True)
class Feature:
    """One column: a measure in one window."""

    name: str
    group: str
    measure: Measure
    window_days: int | None

    @property
    def is_count(self) -> bool:
        """Whole numbers, never null."""
        return self.measure.unit == "count" and self.zero_when_empty

    @property
    def zero_when_empty(self) -> bool:
        """0 where nothing happened; otherwise null where undefined."""
        return self.measure.operation in _ZERO_WHEN_EMPTY

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the features that a ratio divides, in the same window."""
        suffix = f"_{window_name(self.window_days)}" if self.measure.windows else ""
        return tuple(f"{name}{suffix}" for name in self.measure.over or ())

    @property
    def description(self) -> str:
        """One sentence with the window."""
        if not self.measure.windows:
            return self.measure.meaning
        days = self.window_days
        return f"{self.measure.meaning}, {'whole history' if days is None else f'last {days} days'}"


def window_name(days: int | None) -> str:
    """Return how a window is written in a feature's name."""
    return "all" if days is None else f"{days}d"
