"""Fields with a time of their own: an answer counts from when it came, and only if that is before the cutoff."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import Feature
from features.windows import DAY_US, FAR, Ints, Stream, divided

__all__ = ["count", "mean_days", "share", "since", "still_open"]

Floats = NDArray[np.float64]
Several = Sequence[Feature]


def count(stream: Stream, features: Several) -> Floats:
    """Return how many rows in each window were followed before the cutoff."""
    return np.array([_summed(stream, one, np.ones_like(stream.time)) for one in features], dtype=np.float64)


def still_open(stream: Stream, features: Several) -> Floats:
    """Return how many rows in each window were not followed before the cutoff."""
    return _rows(stream, features) - count(stream, features)


def share(stream: Stream, features: Several) -> Floats:
    """Return the share of the rows in each window that were followed before the cutoff."""
    return divided(count(stream, features), _rows(stream, features))


def mean_days(stream: Stream, features: Several) -> Floats:
    """Return the mean time from a row in the window to what followed it, days."""
    took = [_followed_at(stream, one) - stream.time for one in features]
    total = np.array([_summed(stream, one, passed) for one, passed in zip(features, took, strict=True)])
    return divided(total, count(stream, features)) / DAY_US


def since(stream: Stream, features: Several) -> Floats:
    """Return the time since something last followed, days."""
    out = []
    for one in features:
        at = _followed_at(stream, one)
        latest = np.full((len(stream.grid.cutoffs) + 1, stream.customers), -FAR)
        np.maximum.at(latest, (stream.grid.first_after(at), stream.customer), at)
        latest = np.maximum.accumulate(latest, axis=0)[:-1]
        out.append(np.where(latest > -FAR, (stream.grid.cutoffs[:, None] - latest) / DAY_US, np.nan))
    return np.array(out)


def _rows(stream: Stream, features: Several) -> Ints:
    return stream.sums([("", ())] * len(features), [one.window_days for one in features])


def _followed_at(stream: Stream, feature: Feature) -> Ints:
    """Return when each row was followed: not before it happened."""
    return np.maximum(stream.time, stream.number(feature.measure.of))


def _summed(stream: Stream, feature: Feature, weight: Ints) -> Ints:
    """Return the sum of the weights of the rows in the window that were followed before the cutoff, exact in int64."""
    begins = stream.grid.first_after(_followed_at(stream, feature))
    leaves = stream.grid.first_cutoff[stream.grid.rows[feature.window_days]][stream.rank]
    change = np.zeros((len(stream.grid.cutoffs) + 1, stream.customers), dtype=np.int64)
    np.add.at(change, (begins, stream.customer), weight)
    np.subtract.at(change, (np.maximum(begins, leaves), stream.customer), weight)
    found: Ints = np.cumsum(change, axis=0)[:-1]
    return found
