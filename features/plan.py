"""Features grouped by what can be computed in one go: made once, used for every partition and every request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURES, with_operands
from features.operations import FILTERING, OPERATIONS
from features.vocabulary import Feature, Filter

__all__ = ["Plan", "Step"]

Ints = NDArray[np.int64]

# what the columns of a derived stream are made of; any other column is read as it is
_RAW = {
    "orders": ("lines", {
        "value": "net", "repeat_value": "net", "discounted": "discount", "online": "channel zone store line_id",
        "channel": "channel zone store line_id", "store": "channel zone store line_id", "lines": "", "single_line": "",
        "repeat_day": "", "day": "",
        **dict.fromkeys("weekend morning afternoon evening night month fourth_quarter".split(), "channel zone store line_id"),
    }),
    "lines": ("lines", {"lines": "", "repeat": "product"}),
    "returns": ("lines", {}),
    "events": ("events", {"day": ""}),
    "tickets": ("tickets", {}),
    "ratings": ("tickets", {"csat": "csat rated_at id"}),
    "contacts": ("contacts", {}),
    "deliveries": ("deliveries", {}),
    "feedback": ("feedback", {"rated_kind": "kind rating"}),
    "cutoffs": ("presence", {}),
}  # fmt: skip
# what makes a stream of the rows, whatever is asked of it
_ALWAYS = {"lines": "order_id kind", "contacts": "purpose status"}


@dataclass(frozen=True)
class Step:
    """Features of one operation on one stream.

    Attributes
    ----------
    where
        The filter of the stream, for operations that do not look after it themselves.
    rows
        Places of the features in the plan.
    """

    stream: str
    operation: str
    where: Filter
    features: tuple[Feature, ...]
    rows: slice


@dataclass(frozen=True)
class Plan:
    """What to compute.

    Attributes
    ----------
    wanted
        The features asked for, in this order.
    features
        These and what they are made of, operands first.
    steps
        What is computed from rows.
    over
        What is computed from other features: operation, the F features' rows, and those of their operands (operands x F);
        in the order of need.
    given
        What neither tells -> its row.
    days
        Stream -> windows, 0 among them, ascending; ``lines`` and ``orders`` share theirs.
    """

    wanted: tuple[Feature, ...]
    features: tuple[Feature, ...]
    steps: tuple[Step, ...]
    over: tuple[tuple[str, Ints, Ints], ...]
    given: Mapping[str, int]
    days: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, wanted: Iterable[Feature]) -> "Plan":
        """Plan the computation of some features."""
        wanted = tuple(wanted)
        features = _in_order(with_operands(wanted))
        given = {one.name: row for row, one in enumerate(features) if one.measure.operation == "given"}
        return cls(wanted, features, _steps(features), _over(features), given, _windows(features))

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Places of the features asked for among all."""
        place = {one.name: row for row, one in enumerate(self.features)}
        return tuple(place[one.name] for one in self.wanted)

    @property
    def columns(self) -> Mapping[str, frozenset[str]]:
        """Stream of ``features.streams`` -> the columns to read of it."""
        found: dict[str, set[str]] = {}
        for step in self.steps:
            stream, made_of = _RAW[step.stream]
            needed = found.setdefault(stream, set(_ALWAYS.get(stream, "").split()))
            for one in step.features:
                used = (one.measure.of, one.measure.by, *(column for column, _ in one.measure.where))
                needed.update(name for column in used for name in made_of.get(column, column).split())
        return {stream: frozenset(columns) for stream, columns in found.items()}


@cache
def whole_catalogue() -> Plan:
    """Return the plan of all features of the catalogue."""
    return Plan.of(FEATURES)


def _step_of(one: Feature) -> tuple[str, str, Filter]:
    """Return what features must have in common to be computed in one go."""
    return one.measure.stream, one.measure.operation, () if one.measure.operation in FILTERING else one.measure.where


def _in_order(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Return the features step by step, so that the results of a step stand side by side."""
    steps = {key: number for number, key in enumerate(dict.fromkeys(map(_step_of, features)))}
    return tuple(sorted(features, key=lambda one: (one.measure.operation not in OPERATIONS, steps[_step_of(one)])))


def _steps(features: tuple[Feature, ...]) -> tuple[Step, ...]:
    found: dict[tuple[str, str, Filter], list[int]] = {}
    for row, one in enumerate(features):
        if one.measure.operation in OPERATIONS:
            found.setdefault(_step_of(one), []).append(row)
    return tuple(
        Step(*key, features[rows[0] : rows[-1] + 1], slice(rows[0], rows[-1] + 1)) for key, rows in found.items()
    )


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
        (operation, np.array(rows), np.array([[place[name] for name in features[row].operands] for row in rows]).T)
        for (_, operation), rows in sorted(found.items())
    )


def _windows(features: tuple[Feature, ...]) -> Mapping[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {stream: {0} for stream in _RAW}
    for one in features:
        days = found[one.measure.stream]
        if one.measure.operation.startswith("slope"):
            days.update(range(7, (one.window_days or 0) + 1, 7))
        elif one.measure.operation == "periods":
            days.update(range(30, (one.window_days or 0) + 1, 30))
        elif one.measure.operation in OPERATIONS and one.measure.operation != "renewal_share" and one.window_days:
            days.add(one.window_days)
    found["orders"] = found["lines"] = found["orders"] | found["lines"]
    return {stream: tuple(sorted(days)) for stream, days in found.items()}
