"""Features as a program for ``features.loops``: made once, used for every partition and every request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURES, with_operands
from features.loops import CODES, GROUPED, NO_MASK
from features.vocabulary import STREAMS, Feature, Filter
from features.windows import DAY_US, Ints

__all__ = ["Plan", "Program", "whole_catalogue"]

Floats = NDArray[np.float64]

T = TypeVar("T")

_FIRST_LINE = "channel zone store line_id"
# what the columns of a derived stream are made of; any other column is read as it is
_RAW = {
    "orders": ("lines", {
        "value": "net", "repeat_value": "net", "discounted": "discount", "online": _FIRST_LINE, "channel": _FIRST_LINE,
        "store": _FIRST_LINE, "lines": "", "single_line": "", "repeat_day": "", "day": "",
        **dict.fromkeys("weekend morning afternoon evening night month fourth_quarter".split(), _FIRST_LINE),
    }),
    "lines": ("lines", {"lines": "", "repeat": "product"}),
    "returns": ("lines", {}),
    "events": ("events", {"day": ""}),
    "tickets": ("tickets", {}),
    "ratings": ("tickets", {"csat": "csat rated_at id", "": "csat rated_at id", "rank": ""}),
    "contacts": ("contacts", {}),
    "deliveries": ("deliveries", {}),
    "feedback": ("feedback", {"rated_kind": "kind rating"}),
}  # fmt: skip
# what makes a stream of the rows, whatever is asked of it
_ALWAYS = {"lines": "order_id kind", "contacts": "purpose status", "deliveries": "id order_id"}
# columns that an operation looks at without being told
_IMPLIED = {"latest": ("", "rank"), "log_day_gaps": ("day", ""), "slope": ("one", "")}


@dataclass(frozen=True)
class Program:
    """The features of one stream.

    Attributes
    ----------
    rows
        Places of the F features in the plan, side by side.
    numbers
        Columns that the steps look at, in this order; after them come those of ``distinct``.
    distinct
        Columns of words, and the filter, whose last rows of the same word are looked at.
    words
        Columns of words that totals are shared out by.
    masks
        Filters.
    steps, scales
        See ``features.loops.run``.
    windows
        Microseconds, the last one the whole history.
    """

    stream: str
    rows: slice
    numbers: tuple[str, ...]
    distinct: tuple[tuple[str, Filter], ...]
    words: tuple[str, ...]
    masks: tuple[Filter, ...]
    steps: Ints
    scales: Floats
    windows: Ints

    @classmethod
    def of(cls, features: tuple[Feature, ...], first: int) -> "Program":
        """Make the program of some features of one stream, of which the first has this place in the plan."""
        stream = features[0].measure.stream
        columns = [_columns(one) for one in features]
        distinct = _each(
            (one.measure.of, one.measure.where) for one in features if one.measure.operation == "distinct"
        )
        numbers = _each(name for of, by, _ in columns for name in (of, by) if name)
        words = _each(name for _, _, name in columns if name)
        masks = _each(one.measure.where for one in features if one.measure.where)
        windows = _each(one.window_days for one in features if one.window_days)
        steps = np.zeros((len(features), 6), dtype=np.int64)
        for row, (one, (of, by, word)) in enumerate(zip(features, columns, strict=True)):
            measure = one.measure
            column = numbers.index(of) if of else -1
            if measure.operation == "distinct":
                column = len(numbers) + distinct.index((measure.of, measure.where))
            own = {"slope": (one.window_days or 0) // 7, "renewal_share": one.window_days or 0}
            steps[row] = (
                CODES[measure.operation], column, words.index(word) if word else numbers.index(by) if by else -1,
                masks.index(measure.where) if measure.where else NO_MASK,
                windows.index(one.window_days) if one.window_days else len(windows),
                own.get(measure.operation.removesuffix("_of"), measure.most),
            )  # fmt: skip
        return cls(
            stream, slice(first, first + len(features)), numbers, distinct, words, masks, steps,
            np.array([_scale(one) for one in features]), np.array([*(days * DAY_US for days in windows), 0], dtype=np.int64),
        )  # fmt: skip


def _columns(one: Feature) -> tuple[str, str, str]:
    """Return the columns of numbers that a feature looks at, and its column of words."""
    measure = one.measure
    if measure.operation == "distinct":
        return "", "", ""
    of, by = _IMPLIED.get(measure.operation, (measure.of, measure.by))
    of = of or measure.of
    return (of, "", by) if measure.operation in GROUPED else (of, by, "")


def _scale(one: Feature) -> float:
    """Return how many of the units of a feature's columns make one of the feature's."""
    numbers, measure = STREAMS[one.measure.stream].numbers, one.measure
    if measure.operation in GROUPED:
        return 1.0
    return numbers.get(measure.of, 1.0) / (
        numbers.get(measure.by, 1.0) if measure.operation == "share_of_total" else 1.0
    )


def _each(things: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(things))


@dataclass(frozen=True)
class Plan:
    """What to compute.

    Attributes
    ----------
    wanted
        The features asked for, in this order.
    features
        These and what they are made of: first what is computed from rows, stream by stream, then what the cutoff alone
        tells, then what is made of other features.
    programs
        What is computed from rows.
    over
        What is made of other features: operation, the F features' rows, and those of their operands (operands x F); in the
        order of need.
    """

    wanted: tuple[Feature, ...]
    features: tuple[Feature, ...]
    programs: tuple[Program, ...]
    over: tuple[tuple[str, Ints, Ints], ...]

    @classmethod
    def of(cls, wanted: Iterable[Feature]) -> "Plan":
        """Plan the computation of some features."""
        wanted = tuple(wanted)
        every = with_operands(wanted)
        from_rows = {
            name: tuple(one for one in every if one.measure.operation in CODES and one.measure.stream == name)
            for name in _RAW
        }
        features = (
            *(one for found in from_rows.values() for one in found),
            *(one for one in every if one.measure.operation not in CODES),
        )
        programs, first = [], 0
        for found in from_rows.values():
            if found:
                programs.append(Program.of(found, first))
                first += len(found)
        return cls(wanted, features, tuple(programs), _over(features))

    @cached_property
    def rows(self) -> Ints:
        """Places of the features asked for among all."""
        place = {one.name: row for row, one in enumerate(self.features)}
        return np.array([place[one.name] for one in self.wanted], dtype=np.int64)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features asked for."""
        return tuple(one.name for one in self.wanted)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Those of them that are words."""
        return tuple(one.name for one in self.wanted if one.is_text)

    @cached_property
    def of_cutoffs(self) -> Mapping[str, int]:
        """What the cutoff alone tells -> its row."""
        return {one.name: row for row, one in enumerate(self.features) if one.measure.stream == "cutoffs"}

    @cached_property
    def columns(self) -> Mapping[str, frozenset[str]]:
        """Stream of ``features.streams`` -> the columns to read of it."""
        found: dict[str, set[str]] = {}
        for program in self.programs:
            stream, made_of = _RAW[program.stream]
            needed = found.setdefault(stream, set(_ALWAYS.get(stream, "").split()))
            filters = (*program.masks, *(where for _, where in program.distinct))
            used = [*program.numbers, *program.words, *(column for column, _ in program.distinct), ""]
            used += [column for where in filters for column, _ in where]
            needed.update(name for column in used for name in made_of.get(column, column).split())
        if "deliveries" in found:  # they are at the time of their order
            found.setdefault("lines", set()).update(_ALWAYS["lines"].split())
        return {stream: frozenset(columns) for stream, columns in found.items()}


@cache
def whole_catalogue() -> Plan:
    """Return the plan of all features of the catalogue."""
    return Plan.of(FEATURES)


def _over(features: tuple[Feature, ...]) -> tuple[tuple[str, Ints, Ints], ...]:
    """Group what looks at other features by operation and by how many steps it is away from the rows."""
    place = {one.name: row for row, one in enumerate(features)}

    def level(one: Feature) -> int:
        return 1 + max(level(features[place[name]]) for name in one.operands) if one.operands else 0

    found: dict[tuple[int, str], list[int]] = {}
    for row, one in enumerate(features):
        if one.operands:
            found.setdefault((level(one), one.measure.operation), []).append(row)
    return tuple(
        (
            operation,
            np.array(rows),
            np.array([[place[name] for name in features[row].operands] for row in rows]).T,
        )
        for (_, operation), rows in sorted(found.items())
    )
