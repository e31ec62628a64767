"""The operations of the vocabulary on one stream, for all customers and cutoffs at once, several features in one go.

Counts, totals and extremes look at the slice of the stream that a window is. What has an end of its own (an item ends with
the customer's next row of the same item, an answer begins when it came) is counted by what has begun before the cutoff
less what has ended. Each operation returns features x cutoffs x customers, NaN where undefined.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features import distinct, followed, gaps, groups
from features.vocabulary import STREAMS, Feature
from features.windows import DAY_US, FAR, Asked, Ints, Stream, divided

__all__ = ["FILTERING", "OPERATIONS"]

Floats = NDArray[np.float64]
Several = Sequence[Feature]


def _scale(stream: str, column: str) -> float:
    return STREAMS[stream].numbers.get(column, 1.0)


def _scales(features: Several, *, by: bool = False) -> Floats:
    """Return how many integer units make one of each feature's, F x 1 x 1."""
    found = [_scale(one.measure.stream, one.measure.by if by else one.measure.of) for one in features]
    return np.array(found)[:, None, None]


def _asked(features: Several) -> list[Asked]:
    return [(one.measure.of, one.measure.where) for one in features]


def _days(features: Several) -> list[int | None]:
    return [one.window_days for one in features]


def _counts(stream: Stream, features: Several) -> Ints:
    return stream.sums([("", one.measure.where) for one in features], _days(features))


def _count(stream: Stream, features: Several) -> Floats:
    return _counts(stream, features).astype(np.float64)


def _total(stream: Stream, features: Several) -> Floats:
    return stream.sums(_asked(features), _days(features)) / _scales(features)


def _mean(stream: Stream, features: Several) -> Floats:
    return divided(stream.sums(_asked(features), _days(features)), _counts(stream, features)) / _scales(features)


def _share_of_total(stream: Stream, features: Several) -> Floats:
    whole = stream.sums([(one.measure.by, one.measure.where) for one in features], _days(features))
    return divided(stream.sums(_asked(features), _days(features)), whole) / (
        _scales(features) / _scales(features, by=True)
    )


def _std(stream: Stream, features: Several) -> Floats:
    """Population standard deviation, from exact sums of the deviations from the customer's first value."""
    out = []
    for one in features:
        values, high = stream.by_row((one.measure.of, ())), stream.end
        low = stream.edge(one.window_days)
        first = np.append(values, 0)[stream.start]
        variance = gaps.variance(values - first[stream.customer], low, high)
        out.append(np.where(high - low >= 2, np.sqrt(variance), np.nan))
    return np.array(out) / _scales(features)


def _extreme(stream: Stream, features: Several, extreme: "np.ufunc", nothing: int) -> Floats:
    """Return the extreme of a column over the rows in each window."""
    out = np.empty((len(features), *stream.shape))
    for number, one in enumerate(features):
        low, high = stream.edge(one.window_days), stream.end
        # one more value, since a slice may begin at the very end
        values = np.append(stream.by_row((one.measure.of, ())), nothing)
        found = extreme.reduceat(values, np.stack((low, high), axis=-1).ravel())[::2].reshape(low.shape)
        out[number] = np.where(high > low, found, np.nan)
    return out / _scales(features)


def _minimum(stream: Stream, features: Several) -> Floats:
    return _extreme(stream, features, np.minimum, int(FAR))


def _maximum(stream: Stream, features: Several) -> Floats:
    return _extreme(stream, features, np.maximum, -int(FAR))


def _first(stream: Stream, features: Several) -> Floats:
    """Return the value of the first row; of several at one instant the largest."""
    there, at = stream.end > stream.start, np.minimum(stream.start, len(stream.time) - 1)
    return np.array([np.where(there, _settled(stream, one)[at], np.nan) for one in features]) / _scales(features)


def _last(stream: Stream, features: Several) -> Floats:
    """Return the value of the last row; of several at one instant the largest."""
    there, at = stream.end > stream.start, stream.end - 1
    return np.array([np.where(there, _settled(stream, one)[at], np.nan) for one in features]) / _scales(features)


def _settled(stream: Stream, feature: Feature) -> Ints:
    """Return a column whose rows at one instant all have the largest value among them."""
    values = stream.by_row((feature.measure.of, ()))
    if not len(values):
        return np.zeros(1, dtype=np.int64)
    starts = np.flatnonzero(stream.new_instant)
    if len(starts) == len(values):
        return values
    largest: Ints = np.repeat(np.maximum.reduceat(values, starts), np.diff(starts, append=len(values)))
    return largest


def _last_word(stream: Stream, features: Several) -> Floats:
    """Return the code of the last row's word; of several at one instant the first of the alphabet."""
    out = []
    for one in features:
        codes = stream.codes(one.measure.of)[0]
        if not len(codes):
            out.append(np.full(stream.shape, np.nan))
            continue
        starts = np.flatnonzero(stream.new_instant)
        first = np.repeat(np.minimum.reduceat(codes, starts), np.diff(starts, append=len(codes)))[stream.end - 1]
        out.append(np.where((stream.end > stream.start) & (first >= 0), first, np.nan))
    return np.array(out)


def _since_last(stream: Stream, features: Several) -> Floats:
    return _since(stream, [stream.last(one.measure.where) for one in features])


def _since_first(stream: Stream, features: Several) -> Floats:
    first = np.where(stream.end > stream.start, stream.start, -1)
    return _since(stream, [first] * len(features))


def _since(stream: Stream, rows: Sequence[Ints]) -> Floats:
    """Return the days from a row to the cutoff; -1: there is none."""
    row, time = np.array(rows), np.append(stream.time, 0)
    return np.where(row >= 0, (stream.grid.cutoffs[:, None] - time[row]) / DAY_US, np.nan)


def _span(stream: Stream, features: Several) -> Floats:
    time = np.append(stream.time, 0)
    span = (time[stream.end - 1] - time[stream.start]) / DAY_US
    return np.array([np.where(stream.end > stream.start, span, np.nan)] * len(features))


def _latest(stream: Stream, features: Several) -> Floats:
    """Return the value of the row with the largest rank."""
    rank = stream.number("rank")
    slices = np.stack((np.broadcast_to(stream.start, stream.shape), stream.end), axis=-1).ravel()
    largest = np.maximum.reduceat(np.append(rank, -1), slices)[::2].reshape(stream.shape)
    there, out = stream.end > stream.start, []
    for one in features:
        value = np.zeros(len(rank) + 1)
        value[rank] = stream.number(one.measure.of)
        out.append(np.where(there, value[largest], np.nan))
    return np.array(out)


def _last_rated(stream: Stream, features: Several) -> Floats:
    """Return the rating of the last row, null while it has none; of several at one instant the worst, unrated first."""
    out = np.full((len(features), *stream.shape), np.nan)
    if not len(stream.time):
        return out
    run = np.maximum.accumulate(np.where(stream.new_instant, np.arange(len(stream.time)), 0))
    for number, one in enumerate(features):
        rated = stream.number(one.measure.of)
        # without a rating it is unrated, whatever its time
        rated_at = np.where(rated < FAR, stream.number(one.measure.by), FAR)
        for index, cutoff in enumerate(stream.grid.cutoffs):
            there, last = stream.end[index] > stream.start, stream.end[index] - 1
            known = np.append(np.where(rated_at < cutoff, rated, 0), 0)
            slices = np.stack((run[last], np.where(there, last, run[last]) + 1), axis=-1).ravel()
            worst = np.minimum.reduceat(known, slices)[::2]
            out[number, index] = np.where(there & (worst > 0), worst, np.nan)
    return out


def _periods(stream: Stream, features: Several) -> Floats:
    """Return in how many of the window's 30-day periods, counted back from the cutoff, there is a row."""
    out = np.zeros((len(features), *stream.shape))
    for number, one in enumerate(features):
        for days in range(0, one.window_days or 0, 30):
            out[number] += stream.edge(days) > stream.edge(days + 30)
    return out


def _slope(stream: Stream, features: Several) -> Floats:
    """Return the least-squares slope over the weekly sums in the window, per week, from whole numbers."""
    out = np.empty((len(features), *stream.shape))
    for number, one in enumerate(features):
        weeks = (one.window_days or 0) // 7
        rows = stream.grid.windows([7 * week for week in range(weeks + 1)])
        sums = -np.diff(stream.prefix((one.measure.of, ()))[stream.edges[stream.grid.place[rows]]], axis=0)
        # twice the distance from the middle week, the latest week first
        distance = np.arange(weeks - 1, -weeks, -2)
        rise = np.tensordot(distance, sums, axes=1)
        out[number] = rise * 2.0 / float(distance @ distance)
    return out / _scales(features)


def _season(turn: Callable[[Floats], Floats]) -> "Operation":
    def of(stream: Stream, features: Several) -> Floats:
        cutoff = stream.grid.cutoffs.astype("datetime64[us]")
        year = cutoff.astype("datetime64[Y]")
        begin, end = year.astype("datetime64[us]"), (year + 1).astype("datetime64[us]")
        angle = 2.0 * np.pi * ((cutoff - begin) / (end - begin))
        return np.broadcast_to(turn(angle)[:, None], (len(features), *stream.shape))

    return of


Operation = Callable[[Stream, Several], Floats]

OPERATIONS: Mapping[str, Operation] = {
    "count": _count,
    "total": _total,
    "mean": _mean,
    "share": _mean,
    "share_of_total": _share_of_total,
    "std": _std,
    "minimum": _minimum,
    "maximum": _maximum,
    "distinct": distinct.count,
    "periods": _periods,
    "slope": _slope,
    "slope_of": _slope,
    "top_share": groups.top_share,
    "hhi": groups.hhi,
    "entropy": groups.entropy,
    "top_word": groups.top_word,
    "first": _first,
    "last": _last,
    "last_flag": _last,
    "last_word": _last_word,
    "since_first": _since_first,
    "since_last": _since_last,
    "span": _span,
    "latest": _latest,
    "last_rated": _last_rated,
    "followed": followed.count,
    "open": followed.still_open,
    "followed_share": followed.share,
    "followed_mean": followed.mean_days,
    "since_followed": followed.since,
    "gaps": gaps.number,
    "gap_mean": gaps.mean,
    "gap_std": gaps.std,
    "gap_min": gaps.shortest,
    "gap_max": gaps.longest,
    "gap_last": gaps.latest,
    "clumpiness": gaps.clumpiness,
    "log_day_gaps": gaps.log_days,
    "longer_gaps": gaps.longer,
    "longer_gaps_share": gaps.longer_share,
    "renewal_share": gaps.renewal_share,
    "season_sin": _season(np.sin),
    "season_cos": _season(np.cos),
}
"""What is computed from rows; ``features.kernel`` computes what looks at other features."""

FILTERING = frozenset({"count", "total", "mean", "share", "share_of_total", "distinct", "since_last"})
"""Operations that look after the filter themselves; others see the filtered stream."""
