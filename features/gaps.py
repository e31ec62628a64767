"""Gaps between a customer's consecutive rows: how long, how regular, and how a silence as long as now's ended before."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import Feature
from features.windows import DAY_US, FAR, Ints, Stream, divided

__all__ = [
    "clumpiness", "latest", "log_days", "longer", "longer_share", "longest", "mean", "number", "renewal_share", "shortest",
    "std", "variance",
]  # fmt: skip

Floats = NDArray[np.float64]
Several = Sequence[Feature]


def _times(stream: Stream) -> Ints:
    return stream.made("times", lambda: np.append(stream.time, 0))


def _gaps(stream: Stream) -> Ints:
    """Return the time from each row's predecessor to it; of a customer's first row it means nothing."""
    return stream.made("gaps", lambda: np.diff(stream.time, prepend=0))


def _alike(values: NDArray[np.generic], features: Several) -> Floats:
    return np.broadcast_to(values, (len(features), *values.shape)).astype(np.float64)


def _count(stream: Stream) -> Ints:
    """Return the number of gaps, C x K."""
    return stream.made("gap count", lambda: np.maximum(stream.end - stream.start - 1, 0))


def number(stream: Stream, features: Several) -> Floats:
    """Return how many gaps there are."""
    return _alike(_count(stream), features)


def mean(stream: Stream, features: Several) -> Floats:
    """Return the mean gap, days."""
    time, n = _times(stream), _count(stream)
    span = time[stream.end - 1] - time[stream.start]
    return _alike(np.where(n >= 1, span / np.maximum(n, 1) / DAY_US, np.nan), features)


def latest(stream: Stream, features: Several) -> Floats:
    """Return the last gap, days."""
    gap = np.append(_gaps(stream), 0)[stream.end - 1]
    return _alike(np.where(_count(stream) >= 1, gap / DAY_US, np.nan), features)


def std(stream: Stream, features: Several) -> Floats:
    """Return the population standard deviation of the gaps, days; null with fewer than two."""
    gap, second = _gaps(stream), np.minimum(stream.start + 1, max(len(stream.time) - 1, 0))
    deviation = gap - gap[second][stream.customer] if len(gap) else gap
    found = variance(deviation, np.minimum(stream.start + 1, stream.end), stream.end)
    return _alike(np.where(_count(stream) >= 2, np.sqrt(found) / DAY_US, np.nan), features)


def variance(deviation: Ints, low: Ints, high: Ints) -> Floats:
    """Return the population variance over the rows from ``low`` to ``high``, from deviations from a value of the customer's.

    Deviations from a value of the customer's own past keep regular customers free of cancellation, and nothing after the
    cutoff can change a bit. Squares of microseconds overflow int64, so a deviation is split into ``high * 2**23 + low``
    and three products are cumulated as integers: exact up to 131,072 gaps of two years.
    """
    upper, lower = deviation >> 23, deviation & (2**23 - 1)
    stack = np.zeros((4, len(deviation) + 1), dtype=np.int64)
    # wraps around harmlessly: only differences within a customer are used
    np.cumsum((deviation, upper * upper, upper * lower, lower * lower), axis=1, out=stack[:, 1:])
    total, upper_2, mixed, lower_2 = stack[:, high] - stack[:, low]
    count, total = np.maximum(high - low, 1), total.astype(np.float64)
    squares = upper_2 * 2.0**46 + mixed * 2.0**24 + lower_2
    return np.maximum(squares - total * total / count, 0.0) / count


def _over_gaps(stream: Stream, values: NDArray[np.generic], reduce: "np.ufunc") -> NDArray[np.generic]:
    """Reduce the values of a customer's gaps, C x K; something else where there is none."""
    low = np.minimum(stream.start + 1, len(values))
    slices = np.stack((np.broadcast_to(low, stream.shape), np.maximum(stream.end, low)), axis=-1).ravel()
    found: NDArray[np.generic] = reduce.reduceat(np.append(values, values.dtype.type(0)), slices)[::2].reshape(stream.shape)
    return found


def shortest(stream: Stream, features: Several) -> Floats:
    """Return the shortest gap, days."""
    found = _over_gaps(stream, _gaps(stream), np.minimum)
    return _alike(np.where(_count(stream) >= 1, found / DAY_US, np.nan), features)


def _longest(stream: Stream) -> Ints:
    return stream.made("longest", lambda: _over_gaps(stream, _gaps(stream), np.maximum))


def longest(stream: Stream, features: Several) -> Floats:
    """Return the longest gap, days."""
    return _alike(np.where(_count(stream) >= 1, _longest(stream) / DAY_US, np.nan), features)


def clumpiness(stream: Stream, features: Several) -> Floats:
    """Return 1 + sum(x ln x) / ln(n) over n gaps, the open one included, as shares of the time since the first row.

    Zhang, Bradlow and Small (2015), "Predicting customer value using clumpiness", measure 2.3, without the gap before the
    first event, which starts the clock here.
    """
    days = _gaps(stream) / DAY_US
    days[days <= 0] = 1.0  # x ln x of no time at all is 0; and a first row's means nothing
    closed = np.where(_count(stream) >= 1, _over_gaps(stream, days * np.log(days), np.add), 0.0)
    time, n = _times(stream), stream.end - stream.start
    with np.errstate(divide="ignore", invalid="ignore"):
        age = (stream.grid.cutoffs[:, None] - time[stream.start]) / DAY_US
        silence = (stream.grid.cutoffs[:, None] - time[stream.end - 1]) / DAY_US
        found = 1.0 + ((closed + silence * np.log(silence)) / age - np.log(age)) / np.log(n)
    return _alike(np.where(n >= 2, found, np.nan), features)


def log_days(stream: Stream, features: Several) -> Floats:
    """Return the sum of the natural logarithms of the days between the days with a row."""
    day, row = stream.number("day"), np.flatnonzero(stream.number("repeat_day") | _first_rows(stream))
    passed = np.maximum(np.diff(day[row], prepend=0), 1)
    logs = np.zeros(len(day))
    logs[row] = np.log(passed)
    return _alike(np.where(_count(stream) >= 1, _over_gaps(stream, logs, np.add), 0.0), features)


def _first_rows(stream: Stream) -> Ints:
    first = np.zeros(len(stream.time), dtype=np.int64)
    first[stream.start[stream.customer]] = 1
    return first


def _renewals(stream: Stream, days: Sequence[int]) -> Ints:
    """Return how many past gaps are longer than the silence, and of them how many ended within so many days more."""
    count = _count(stream).ravel()
    cell = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count
    row = np.broadcast_to(stream.start + 1, stream.shape).ravel() - first
    silence = (stream.grid.cutoffs[:, None] - _times(stream)[stream.end - 1]).ravel()
    beyond = _gaps(stream)[row[cell] + np.arange(len(cell))] - silence[cell]
    cell, beyond = cell[beyond > 0], beyond[beyond > 0]
    ended = [cell, *(cell[beyond <= one * DAY_US] for one in days)]
    return np.array([np.bincount(one, minlength=len(count)).reshape(stream.shape) for one in ended])


def _longer(stream: Stream) -> Ints:
    return stream.made("longer", lambda: _renewals(stream, ())[0])


def longer(stream: Stream, features: Several) -> Floats:
    """Return how many of the gaps are longer than the time since the last row."""
    return _alike(_longer(stream), features)


def longer_share(stream: Stream, features: Several) -> Floats:
    """Return the share of the gaps that are longer than the time since the last row."""
    return _alike(divided(_longer(stream), _count(stream)), features)


def renewal_share(stream: Stream, features: Several) -> Floats:
    """Return of the gaps longer than the time since the last row the share that ended within so many days more."""
    found = _renewals(stream, [one.window_days or 0 for one in features])
    return divided(found[1:], found[0])
