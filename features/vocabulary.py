"""What a feature is, as data: a stream of rows, a filter, an operation, a window. The kernel computes it, nothing else does.

A ``Measure`` is one line in a feature group and stands for one feature per window; names are built, never typed twice:
``Measure("spend", "lines", "total", "currency", "sum of net_amount of sale lines", of="net", windows=(7, 30, None))`` is
``spend_7d``, ``spend_30d``, ``spend_all``. ``STREAMS`` says what rows and columns there are, ``OPERATIONS`` what can be
asked of them and what is said of a customer about whom there is nothing.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from features.errors import InputError
from features.operations import OPERATIONS, TEXTS, Operation

__all__ = ["STREAMS", "WINDOWS", "Columns", "Feature", "Filter", "Measure", "only", "window_name"]

WINDOWS = (7, 30, 90, 180, 365, None)
"""Days; None is the whole history before the cutoff and is named ``_all``."""

MOST_DAYS = 36_600
"""The longest window: a century."""

Filter = tuple[tuple[str, tuple[str, ...]], ...]
"""Columns and the values that count; all of them must hold."""


@dataclass(frozen=True)
class Columns:
    """What a stream offers.

    Attributes
    ----------
    rows
        What one row is.
    numbers
        Column -> how many of its integer units make one of the feature's.
    flags
        Columns of 0 and 1.
    words
        Columns of text: what is counted distinctly, shared out, filtered by.
    times
        Fields with a time of their own, later than the row's.
    """

    rows: str
    numbers: Mapping[str, float]
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    times: tuple[str, ...] = ()


_AMOUNTS = {"net": 100.0, "gross": 100.0, "discount": 100.0, "quantity": 1000.0}
_DAYPARTS = ("morning", "afternoon", "evening", "night")

STREAMS: Mapping[str, Columns] = {
    "orders": Columns(
        "an order, at the time of its earliest line",
        {
            "value": 100.0,
            "quantity": 1000.0,
            "lines": 1.0,
            "repeat_day": 1.0,
            "repeat_value": 100.0,
            "month": 1.0,
        },
        ("online", "weekend", *_DAYPARTS, "fourth_quarter", "discounted", "coupon", "single_line"),
        ("channel", "store", "day"),
    ),
    "lines": Columns(
        "a sale line, at the time of its order",
        {**_AMOUNTS, "lines": 1.0},
        ("repeat",),
        ("product", "category", "brand", "channel"),
    ),
    "returns": Columns(
        "a return line, at the time it came back", _AMOUNTS, (), ("order_id", "product", "category")
    ),
    "events": Columns(
        "an event", {"duration": 1000.0}, (), ("kind", "product", "category", "channel", "session", "day")
    ),
    "tickets": Columns(
        "a service ticket, at the time it was opened",
        {"csat": 1.0},
        (),
        ("kind",),
        ("first_response_at", "closed_at", "rated_at"),
    ),
    "ratings": Columns("a rating of a ticket, at the time it was given", {"csat": 1.0}),
    "contacts": Columns(
        "a delivered marketing message, at the time it was sent",
        {},
        (),
        ("channel",),
        ("opened_at", "clicked_at", "rejected_at", "unsubscribed_at"),
    ),
    "deliveries": Columns("a delivery, at the time of its order", {}, (), (), ("delivered_at", "late_at")),
    "feedback": Columns("a piece of feedback", {"rating": 1000.0}, (), ("kind", "rated_kind")),
    "cutoffs": Columns("a cutoff, the same for every customer", {}),
}


@dataclass(frozen=True)
class Measure:
    """A family of features that differ by their window only.

    Attributes
    ----------
    name
        Stem of the feature names.
    stream
        The rows it looks at, one of ``STREAMS``.
    operation
        One of ``OPERATIONS``.
    of
        Column that is summed, counted distinctly, looked up; the time that follows.
    by
        Column of the groups of a share, the whole of ``share_of_total``, the time of ``last_rated``.
    where
        The rows that count.
    windows
        Days, None for the whole history; empty for a feature that has no window in its name (whole history).
    over
        Names (stems) of the features that an operation on features looks at; they share the window.
    most
        How many of the largest groups ``top_share`` adds up.
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
    where: Filter = ()
    windows: tuple[int | None, ...] = ()
    over: tuple[str, ...] = ()
    most: int = 1

    def features(self, group: str) -> Iterator["Feature"]:
        """Yield the features of the family, one a window."""
        if not self.windows:
            yield Feature(self.name, group, self, None)
        for days in self.windows:
            yield self.feature(group, days)

    def feature(self, group: str, days: int | None) -> "Feature":
        """Return the feature of one window, of the family's own or another."""
        return Feature(f"{self.name}_{window_name(days)}", group, self, days)

    def require(self) -> None:
        """Refuse a measure that the vocabulary has no place for.

        Raises
        ------
        InputError
            Unknown stream, operation or column, or a window that the operation has no use for.
        """
        _known(self.name, "stream", self.stream, STREAMS)
        _known(self.name, "operation", self.operation, OPERATIONS)
        own = OPERATIONS[self.operation].stream
        if self.stream != own if own else self.stream == "cutoffs":
            raise self._wrong(f"{self.operation} is of stream {own or 'any other'}, not {self.stream}")
        self._require_columns(STREAMS[self.stream], OPERATIONS[self.operation])
        self._require_rows(STREAMS[self.stream], OPERATIONS[self.operation])
        self._require_windows(OPERATIONS[self.operation])

    def _require_columns(self, columns: Columns, operation: Operation) -> None:
        for word, kind, column in (("of", operation.of, self.of), ("by", operation.by, self.by)):
            if kind:
                _known(self.name, word, column, getattr(columns, kind))
            elif column:
                raise self._wrong(f"{self.operation} looks at no column, {word} is {column!r}")
        if "day" in (self.of, self.by) and self.operation != "distinct":
            raise self._wrong(f"days are counted distinctly, not used by {self.operation}")
        if self.of in _GUARDED and not _GUARDED[self.of](self):
            raise self._wrong(
                f"{self.of} of {self.stream} is not there for every row: {_GUARDED_WHY[self.of]}"
            )

    def _require_rows(self, columns: Columns, operation: Operation) -> None:
        if len(self.over) != operation.operands or self.most < 1:
            raise self._wrong(
                f"{self.operation} is over {operation.operands} features, and most is 1 or more"
            )
        for column, values in self.where:
            _known(self.name, "where", column, tuple(word for word in columns.words if word != "day"))
            if not values:
                raise self._wrong(f"where {column} lists no value: nothing would count")

    def _require_windows(self, operation: Operation) -> None:
        if operation.windows == "none" and self.windows:
            raise self._wrong(f"{self.operation} looks at the whole history: leave out windows")
        if operation.windows == "days" and (not self.windows or None in self.windows):
            raise self._wrong(f"{self.operation} needs windows in days")
        least, step = operation.least_days, operation.step_days
        days = [one for one in self.windows if one is not None]
        if not all(type(one) is int and least <= one <= MOST_DAYS and one % step == 0 for one in days):
            of = f", multiples of {step}" if step > 1 else ""
            raise self._wrong(
                f"windows are whole days from {least} to {MOST_DAYS:,}{of}, not {list(self.windows)}"
            )

    def _wrong(self, what: str) -> InputError:
        return InputError(f"measure {self.name}: {what}")


# columns without a value in some rows -> when a measure may look at them all the same
_GUARDED: Mapping[str, Callable[["Measure"], bool]] = {
    "csat": lambda one: one.stream == "ratings" or one.operation == "last_rated",
    "rating": lambda one: any(column == "rated_kind" for column, _ in one.where),
}
_GUARDED_WHY = {"csat": "take the stream ratings", "rating": "filter by rated_kind"}


def _known(name: str, what: str, given: str, known: Mapping[str, object] | tuple[str, ...]) -> None:
    if given not in known:
        close = ", ".join(difflib.get_close_matches(given, list(known), n=3) or known) or "none"
        raise InputError(f"measure {name}: {what} {given!r} is not known, choose of: {close}")


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
    def is_text(self) -> bool:
        """Words, not numbers."""
        return self.measure.operation in TEXTS

    @property
    def zero_when_empty(self) -> bool:
        """0 where nothing happened; otherwise null where undefined."""
        return OPERATIONS[self.measure.operation].zero_when_empty

    @property
    def empty(self) -> str:
        """What is said of a customer about whom there is nothing."""
        return OPERATIONS[self.measure.operation].empty

    @property
    def type(self) -> str:
        """Type of the column: int64, float64 or string."""
        return "string" if self.is_text else "int64" if self.is_count else "float64"

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the features that an operation on features looks at, in the same window."""
        if not self.measure.windows:
            return self.measure.over
        return tuple(
            f"{stem}_{window_name(days)}" for stem in self.measure.over for days in self._operand_windows
        )

    @property
    def _operand_windows(self) -> tuple[int | None, ...]:
        if self.measure.operation == "change" and self.window_days is not None:
            return self.window_days, 2 * self.window_days
        return (self.window_days,)

    @property
    def description(self) -> str:
        """One sentence with the window."""
        if not self.measure.windows or self.measure.operation in ("renewal_share", "change"):
            return self.measure.meaning.format(days=self.window_days)
        days = self.window_days
        return f"{self.measure.meaning}, {'whole history' if days is None else 'last day' if days == 1 else f'last {days} days'}"


def only(**columns: str | tuple[str, ...]) -> Filter:
    """Return the filter that these columns have these values."""
    return tuple((name, (values,) if isinstance(values, str) else values) for name, values in columns.items())


def window_name(days: int | None) -> str:
    """Return how a window is written in a feature's name."""
    return "all" if days is None else f"{days}d"
