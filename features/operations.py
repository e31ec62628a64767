"""The operations of the vocabulary on one stream, for all customers and cutoffs at once.

Everything rests on one fact: a row at time ``t`` lies in the window ``[c - w, c)`` exactly when ``t < c <= t + w``. So a
row is alive for the cutoffs in ``(start, end]``, and a feature is a sum over the rows alive at ``c``: a count and a
total with ``end = t + w``; a distinct count with ``end = min(next time of the same item, t + w)``; an opened message
with ``start = opened_at``. Starts and ends are counted into the cutoffs they fall before and cumulated: integer
arithmetic, exact, whatever the order of the rows and whoever the neighbours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import Feature

__all__ = ["DAY_US", "OPERATIONS", "SCALES", "Cut", "Stream"]

DAY_US = 86_400_000_000
FAR = np.int64(2**62)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCALES = {"net": 100.0, "gross": 100.0, "discount": 100.0, "value": 100.0, "quantity": 1000.0}
"""Column -> how many of its integer units make one of the feature's."""

MISSING = -1
"""Code of an item that is not there (a line without category)."""


@dataclass(frozen=True)
class Stream:
    """Rows of one kind: who, when, and integer columns. Sorted by nothing."""

    customer: Ints
    time: Ints
    columns: Mapping[str, Ints]

    def where(self, mask: NDArray[np.bool_]) -> "Stream":
        """Return the rows that the mask selects."""
        columns = {name: values[mask] for name, values in self.columns.items()}
        return Stream(self.customer[mask], self.time[mask], columns)


@dataclass(frozen=True)
class Cut:
    """How many customers, and the cutoffs (ascending, microseconds) at which their features are wanted."""

    customers: int
    cutoffs: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """Customers x cutoffs."""
        return self.customers, len(self.cutoffs)

    def first_after(self, time: Ints) -> Ints:
        """Return the index of the first cutoff after each time. Time is cut here and nowhere else: ``time < cutoff``."""
        return np.searchsorted(self.cutoffs, time, side="right")

    def before(self, who: Ints, time: Ints, weight: Ints | None = None, *, rows: int | None = None) -> Ints:
        """Return the sum of weights of the rows before each cutoff, int64 (customers or ``rows``) x cutoffs.

        The sums go through float64, which holds whole numbers exactly up to 2**53 (9e13 major currency units).
        """
        height, width = self.customers if rows is None else rows, len(self.cutoffs) + 1
        cells = np.bincount(who * width + self.first_after(time), weights=weight, minlength=height * width)
        return np.cumsum(cells.reshape(height, width)[:, :-1].astype(np.int64), axis=1)

    def alive(
        self, who: Ints, start: Ints, end: Ints, weight: Ints | None = None, *, rows: int | None = None
    ) -> Ints:
        """Return the sum of weights of the rows with ``start < cutoff <= end``."""
        end = np.maximum(start, end)
        return self.before(who, start, weight, rows=rows) - self.before(who, end, weight, rows=rows)

    def latest(self, who: Ints, value: Ints, time: Ints) -> Ints:
        """Return the largest value among the rows before each cutoff; ``-FAR`` where there is none."""
        width = len(self.cutoffs) + 1
        cells = np.full(self.customers * width, -FAR)
        np.maximum.at(cells, who * width + self.first_after(time), value)
        return np.maximum.accumulate(cells.reshape(self.customers, width)[:, :-1], axis=1)


def _end(stream: Stream, feature: Feature) -> Ints:
    days = feature.window_days
    return np.full_like(stream.time, FAR) if days is None else stream.time + days * DAY_US


def _count(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    return cut.alive(stream.customer, stream.time, _end(stream, feature)).astype(np.float64)


def _sum(stream: Stream, column: str, feature: Feature, cut: Cut) -> Ints:
    return cut.alive(stream.customer, stream.time, _end(stream, feature), stream.columns[column])


def _total(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    return _sum(stream, feature.measure.of, feature, cut) / SCALES[feature.measure.of]


def _distinct(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    present = stream.where(stream.columns[feature.measure.of] != MISSING)
    end = np.minimum(_next_time(present, feature.measure.of), _end(present, feature))
    return cut.alive(present.customer, present.time, end).astype(np.float64)


def _next_time(stream: Stream, column: str) -> Ints:
    """Return when the customer's next row of the same item comes; ``FAR`` for the last."""
    item = stream.columns[column]
    order = np.lexsort((stream.time, item, stream.customer))
    customer, item, time = stream.customer[order], item[order], stream.time[order]
    following = np.full(len(order), FAR)
    same = (customer[1:] == customer[:-1]) & (item[1:] == item[:-1])
    following[:-1][same] = time[1:][same]
    result = np.empty_like(following)
    result[order] = following
    return result


def _maximum(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    value, end = stream.columns[feature.measure.of], _end(stream, feature)
    if feature.window_days is None:
        largest = cut.latest(stream.customer, value, stream.time)
    else:
        largest = np.full(cut.shape, -FAR)
        for index, cutoff in enumerate(cut.cutoffs):
            alive = (stream.time < cutoff) & (cutoff <= end)
            column = np.full(cut.customers, -FAR)
            np.maximum.at(column, stream.customer[alive], value[alive])
            largest[:, index] = column
    return np.where(largest > -FAR, largest / SCALES[feature.measure.of], np.nan)


def _since_last(stream: Stream, _: Feature, cut: Cut) -> Floats:
    last = cut.latest(stream.customer, stream.time, stream.time)
    return np.where(last > -FAR, (cut.cutoffs - last) / DAY_US, np.nan)


def _since_first(stream: Stream, _: Feature, cut: Cut) -> Floats:
    first = -cut.latest(stream.customer, -stream.time, stream.time)
    return np.where(first < FAR, (cut.cutoffs - first) / DAY_US, np.nan)


def _latest(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    """Return the value of the row with the latest ``at``; of rows at one instant, the one with the largest id."""
    rank = np.empty(len(stream.time), dtype=np.int64)
    order = np.lexsort((stream.columns["id"], stream.columns["at"]))
    rank[order] = np.arange(len(order))
    last = cut.latest(stream.customer, rank, stream.time)
    value = np.append(stream.columns[feature.measure.of][order], 0).astype(np.float64)
    return np.where(last >= 0, value[np.maximum(last, -1)], np.nan)


@dataclass(frozen=True)
class _Gaps:
    """Orders sorted by customer and time, and how many of each customer lie before each cutoff."""

    time: Ints
    start: Ints  # position of each customer's first order
    n: Ints  # customers x cutoffs: orders before the cutoff
    last: Ints  # customers x cutoffs: position of the last one

    @classmethod
    def of(cls, stream: Stream, cut: Cut) -> "_Gaps":
        order = np.lexsort((stream.time, stream.customer))
        n = cut.before(stream.customer, stream.time)
        start = np.searchsorted(stream.customer[order], np.arange(cut.customers))
        # position 0 stands in where there is no order; every use masks it by n
        last = np.maximum(start[:, None] + n - 1, 0)
        return cls(np.append(stream.time[order], 0), start, n, last)


def _gap_mean(stream: Stream, _: Feature, cut: Cut) -> Floats:
    gaps = _Gaps.of(stream, cut)
    span = gaps.time[gaps.last] - gaps.time[gaps.start][:, None]
    return np.where(gaps.n >= 2, span / np.maximum(gaps.n - 1, 1) / DAY_US, np.nan)


def _gap_last(stream: Stream, _: Feature, cut: Cut) -> Floats:
    gaps = _Gaps.of(stream, cut)
    gap = gaps.time[gaps.last] - gaps.time[np.maximum(gaps.last - 1, 0)]
    return np.where(gaps.n >= 2, gap / DAY_US, np.nan)


def _gap_std(stream: Stream, _: Feature, cut: Cut) -> Floats:
    """Population standard deviation of the gaps, from sums of their deviations from the customer's first gap.

    Deviations from a gap of the customer's own past keep regular customers free of cancellation, and nothing after the
    cutoff can change a bit. Squares of microseconds overflow int64, so a deviation is split into ``high * 2**23 + low``
    and three products are cumulated as integers: exact up to 131,072 gaps of two years.
    """
    gaps = _Gaps.of(stream, cut)
    size = len(gaps.time)
    gap = np.diff(gaps.time, prepend=0)
    customer = np.repeat(np.arange(cut.customers), np.diff(np.append(gaps.start, size - 1)))
    second = np.minimum(gaps.start + 1, size - 1)
    deviation = np.append(gap[:-1] - gap[second][customer], 0)
    high, low = deviation >> 23, deviation & (2**23 - 1)
    first = np.minimum(gaps.start, size - 1)[:, None]

    def cumulated(values: Ints) -> Ints:
        running = np.cumsum(values)  # wraps around harmlessly: only differences within a customer are used
        return running[gaps.last] - running[first]

    count = np.maximum(gaps.n - 1, 1)
    total = cumulated(deviation).astype(np.float64)
    squares = cumulated(high * high) * 2.0**46 + cumulated(high * low) * 2.0**24 + cumulated(low * low)
    variance = np.maximum(squares - total * total / count, 0.0) / count
    return np.where(gaps.n >= 3, np.sqrt(variance) / DAY_US, np.nan)


def _divided(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Floats:
    """Return part / whole, null where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.true_divide(part, whole), np.nan)


def _share(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    return _divided(_sum(stream, feature.measure.of, feature, cut), _count(stream, feature, cut))


def _share_of_total(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    return _divided(
        _sum(stream, feature.measure.of, feature, cut), _sum(stream, feature.measure.by, feature, cut)
    )


def _followed_share(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    """Return the share of rows in the window whose later field (opened_at) lies before the cutoff too."""
    start = np.maximum(stream.time, stream.columns[feature.measure.of])
    followed = cut.alive(stream.customer, start, _end(stream, feature))
    return _divided(followed, _count(stream, feature, cut))


def _top_share(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    """Return the largest group's share of the total; rows without a group count in the total only."""
    whole = _sum(stream, feature.measure.of, feature, cut)
    grouped = stream.where(stream.columns[feature.measure.by] != MISSING)
    width = int(grouped.columns[feature.measure.by].max(initial=0)) + 1
    pairs, group = np.unique(
        grouped.customer * width + grouped.columns[feature.measure.by], return_inverse=True
    )
    end, owner = _end(grouped, feature), pairs // width
    sums = cut.alive(group, grouped.time, end, grouped.columns[feature.measure.of], rows=len(pairs))
    present = cut.alive(group, grouped.time, end, rows=len(pairs)) > 0
    largest = np.full(cut.shape, MISSING, dtype=np.int64)
    np.maximum.at(largest, owner, np.where(present, sums, MISSING))
    return np.where(largest >= 0, _divided(largest, whole), np.nan)


def _periods(stream: Stream, feature: Feature, cut: Cut) -> Floats:
    """Return in how many of the window's 30-day periods, counted back from the cutoff, there is a row."""
    starts = range(0, feature.window_days or 0, 30)
    found = np.zeros(cut.shape)
    for start in starts:
        first, last = stream.time + start * DAY_US, stream.time + (start + 30) * DAY_US
        found += cut.alive(stream.customer, first, last) > 0
    return found


Operation = Callable[[Stream, Feature, Cut], Floats]

OPERATIONS: dict[str, Operation] = {
    "count": _count,
    "total": _total,
    "distinct": _distinct,
    "maximum": _maximum,
    "since_last": _since_last,
    "since_first": _since_first,
    "latest": _latest,
    "gap_mean": _gap_mean,
    "gap_std": _gap_std,
    "gap_last": _gap_last,
    "share": _share,
    "share_of_total": _share_of_total,
    "followed_share": _followed_share,
    "top_share": _top_share,
    "periods": _periods,
}
