"""The operations of the vocabulary on one stream, for all customers and cutoffs at once.

Counts, totals and extremes look at the slice of the stream that a window is. A distinct count is the number of items
begun before the cutoff less those that ended: an item ends with the window or with the customer's next row of the same
item, whichever comes first.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import Feature
from features.windows import DAY_US, FAR, MISSING, Stream, running

__all__ = ["OPERATIONS", "SCALES"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCALES = {"net": 100.0, "gross": 100.0, "discount": 100.0, "value": 100.0, "quantity": 1000.0}
"""Column -> how many of its integer units make one of the feature's."""


def _count(stream: Stream, feature: Feature) -> Floats:
    return stream.count(feature.window_days).astype(np.float64)


def _total(stream: Stream, feature: Feature) -> Floats:
    return stream.sum(feature.measure.of, feature.window_days) / SCALES[feature.measure.of]


def _distinct(stream: Stream, feature: Feature) -> Floats:
    spans = stream.spans(feature.measure.of)
    ended = np.minimum(spans.next_cell, stream.cells(feature.window_days)[spans.row])
    return (spans.begun - stream.cut.cumulated(ended)).astype(np.float64)


def _largest(stream: Stream, column: str, days: int | None) -> Ints:
    """Return the largest value of a column over the rows in the window before each cutoff; ``-FAR`` without rows."""
    low, high = stream.edges(days), stream.end
    # one more value, since a slice may begin at the very end
    slices = np.stack((low, high), axis=-1).ravel()
    largest = np.maximum.reduceat(np.append(stream.columns[column], -FAR), slices)[::2].reshape(low.shape)
    return np.where(high > low, largest, -FAR)


def _maximum(stream: Stream, feature: Feature) -> Floats:
    largest = _largest(stream, feature.measure.of, feature.window_days)
    return np.where(largest > -FAR, largest / SCALES[feature.measure.of], np.nan)


def _last(stream: Stream) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the position of the last row before each cutoff, and where there is one."""
    there = stream.end > stream.start[:, None]
    return np.where(there, stream.end - 1, 0), there


def _since_last(stream: Stream, _: Feature) -> Floats:
    last, there = _last(stream)
    return np.where(there, (stream.cut.cutoffs - np.append(stream.time, 0)[last]) / DAY_US, np.nan)


def _since_first(stream: Stream, _: Feature) -> Floats:
    there = _last(stream)[1]
    first = np.append(stream.time, 0)[stream.start][:, None]
    return np.where(there, (stream.cut.cutoffs - first) / DAY_US, np.nan)


def _latest(stream: Stream, feature: Feature) -> Floats:
    """Return the value of the row with the largest rank."""
    rank = stream.columns["rank"]
    value = np.zeros(len(rank) + 1)
    value[rank] = stream.columns[feature.measure.of]
    largest = _largest(stream, "rank", None)
    return np.where(largest >= 0, value[np.maximum(largest, -1)], np.nan)


def _gap_mean(stream: Stream, _: Feature) -> Floats:
    time, n = np.append(stream.time, 0), stream.count(None)
    span = time[_last(stream)[0]] - time[stream.start][:, None]
    return np.where(n >= 2, span / np.maximum(n - 1, 1) / DAY_US, np.nan)


def _gap_last(stream: Stream, _: Feature) -> Floats:
    time, (last, _there) = np.append(stream.time, 0), _last(stream)
    gap = time[last] - time[np.maximum(last - 1, 0)]
    return np.where(stream.count(None) >= 2, gap / DAY_US, np.nan)


def _gap_std(stream: Stream, _: Feature) -> Floats:
    """Population standard deviation of the gaps, from sums of their deviations from the customer's first gap.

    Deviations from a gap of the customer's own past keep regular customers free of cancellation, and nothing after the
    cutoff can change a bit. Squares of microseconds overflow int64, so a deviation is split into ``high * 2**23 + low``
    and three products are cumulated as integers: exact up to 131,072 gaps of two years.
    """
    size, (last, _there), n = len(stream.time), _last(stream), stream.count(None)
    gap = np.diff(stream.time, prepend=0)
    second = np.minimum(stream.start + 1, max(size - 1, 0))
    deviation = np.append(gap - gap[second][stream.customer], 0) if size else np.zeros(1, dtype=np.int64)
    high, low = deviation >> 23, deviation & (2**23 - 1)
    first = np.minimum(stream.start, size)[:, None]

    def cumulated(values: Ints) -> Ints:
        total = np.cumsum(values)  # wraps around harmlessly: only differences within a customer are used
        return total[last] - total[first]

    count = np.maximum(n - 1, 1)
    total = cumulated(deviation).astype(np.float64)
    squares = cumulated(high * high) * 2.0**46 + cumulated(high * low) * 2.0**24 + cumulated(low * low)
    variance = np.maximum(squares - total * total / count, 0.0) / count
    return np.where(n >= 3, np.sqrt(variance) / DAY_US, np.nan)


def _divided(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Floats:
    """Return part / whole, null where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.true_divide(part, whole), np.nan)


def _share(stream: Stream, feature: Feature) -> Floats:
    days = feature.window_days
    return _divided(stream.sum(feature.measure.of, days), stream.count(days))


def _share_of_total(stream: Stream, feature: Feature) -> Floats:
    days = feature.window_days
    return _divided(stream.sum(feature.measure.of, days), stream.sum(feature.measure.by, days))


def _followed_share(stream: Stream, feature: Feature) -> Floats:
    """Return the share of rows in the window whose later field (opened_at) lies before the cutoff too."""
    begin = stream.cut.cells(stream.customer, np.maximum(stream.time, stream.columns[feature.measure.of]))
    end = np.maximum(begin, stream.cells(feature.window_days))
    followed = stream.cut.cumulated(begin) - stream.cut.cumulated(end)
    return _divided(followed, stream.count(feature.window_days))


def _open(stream: Stream, feature: Feature) -> Floats:
    """Return how many rows in the window lack their later field (closed_at) before the cutoff."""
    begin = stream.cut.cells(stream.customer, np.maximum(stream.time, stream.columns[feature.measure.of]))
    ended = stream.cut.cumulated(np.minimum(begin, stream.cells(feature.window_days)))
    return (stream.cut.cumulated(stream.cells(0)) - ended).astype(np.float64)


def _last_rated(stream: Stream, feature: Feature) -> Floats:
    """Return the rating of the last row, null while it has none; of several at one instant the worst, unrated first."""
    time, customer, size = stream.time, stream.customer, len(stream.time)
    new = np.ones(size + 1, dtype=np.bool_)
    new[1:size] = (time[1:] != time[:-1]) | (customer[1:] != customer[:-1])
    run = np.maximum.accumulate(np.where(new, np.arange(size + 1), 0))
    last, there = _last(stream)
    rated = stream.columns[feature.measure.of]
    # without a rating it is unrated, whatever its time
    rated_at = np.where(rated < FAR, stream.columns[feature.measure.by], FAR)
    rating = np.full(stream.cut.shape, np.nan)
    for index, cutoff in enumerate(stream.cut.cutoffs):
        known = np.where(rated_at < cutoff, rated, 0)
        slices = np.stack((run[last[:, index]], last[:, index] + 1), axis=-1).ravel()
        worst = np.minimum.reduceat(np.append(known, (0, 0)), slices)[::2]
        rating[:, index] = np.where(there[:, index] & (worst > 0), worst, np.nan)
    return rating


def _top_share(stream: Stream, feature: Feature) -> Floats:
    """Return the largest group's share of the total; rows without a group count in the total only."""
    days, largest = feature.window_days, np.full(stream.cut.shape, MISSING, dtype=np.int64)
    row, by = stream.items.row, stream.items.columns[feature.measure.by]
    order = np.argsort(by * max(len(stream.time), 1) + row)  # by group, customer and time
    order = order[by[order] != MISSING]
    row, by, owner = row[order], by[order], stream.customer[row[order]]
    new = np.ones(len(row), dtype=np.bool_)
    new[1:] = (by[1:] != by[:-1]) | (owner[1:] != owner[:-1])
    shift = (np.cumsum(new) - 1 - owner) * (len(stream.cut.cutoffs) + 1)
    groups = int(np.count_nonzero(new))
    high, low = (stream.cut.cumulated(stream.cells(n)[row] + shift, rows=groups) for n in (0, days))
    summed = running(stream.items.columns[feature.measure.of][order])
    sums = np.where(high > low, summed[high] - summed[low], MISSING)
    by_owner = np.argsort(owner[new], kind="stable")
    owners, starts = np.unique(owner[new][by_owner], return_index=True)
    if groups:
        largest[owners] = np.maximum.reduceat(sums[by_owner], starts, axis=0)
    return np.where(largest >= 0, _divided(largest, stream.sum(feature.measure.of, days)), np.nan)


def _periods(stream: Stream, feature: Feature) -> Floats:
    """Return in how many of the window's 30-day periods, counted back from the cutoff, there is a row."""
    found = np.zeros(stream.cut.shape)
    for days in range(0, feature.window_days or 0, 30):
        found += stream.edges(days) > stream.edges(days + 30)
    return found


Operation = Callable[[Stream, Feature], Floats]

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
    "open": _open,
    "last_rated": _last_rated,
    "top_share": _top_share,
    "periods": _periods,
}
