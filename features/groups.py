"""How a total is shared out among groups: the largest's share, concentration, entropy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.arrow import MISSING
from features.vocabulary import Feature
from features.windows import Ints, Stream, divided

__all__ = ["entropy", "hhi", "top_share", "top_word"]

Floats = NDArray[np.float64]
Several = Sequence[Feature]


@dataclass(frozen=True)
class Groups:
    """The sums of each customer's groups in a window, in the order of customers and groups.

    Attributes
    ----------
    customer, code
        Of each of G groups.
    sums
        G x C.
    there
        G x C: the group has a row in the window.
    starts, owners
        Where the groups of each customer who has any begin, and who that is.
    """

    customers: int
    customer: Ints
    code: Ints
    sums: Ints
    there: NDArray[np.bool_]
    starts: Ints
    owners: Ints

    @classmethod
    def of(cls, stream: Stream, of: str, by: str, days: int | None) -> "Groups":
        """Sum up a column over the rows or items of each group."""
        codes, values = stream.codes(by)[0], stream.number(of)
        row = np.arange(len(stream.time)) if stream.items is None else stream.items
        kept = codes != MISSING
        codes, values, row = codes[kept], values[kept], row[kept]
        owner = stream.customer[row]
        words = int(codes.max(initial=-1)) + 1
        key, place = np.unique(owner * max(words, 1) + codes, return_inverse=True)
        customer, code = np.divmod(key, max(words, 1))
        change = np.zeros((len(stream.grid.cutoffs) + 1, len(key), 2), dtype=np.int64)
        weight = np.stack((values, np.ones_like(values)), axis=-1)
        entered = stream.grid.first_cutoff[stream.grid.rows[0]][stream.rank[row]]
        np.add.at(change, (entered, place), weight)
        np.subtract.at(change, (stream.grid.first_cutoff[stream.grid.rows[days]][stream.rank[row]], place), weight)
        sums = np.cumsum(change, axis=0)[:-1]
        owners, starts = np.unique(customer, return_index=True)
        return cls(stream.customers, customer, code, sums[:, :, 0].T, sums[:, :, 1].T > 0, starts, owners)

    def largest(self, sums: Ints) -> Ints:
        """Return the largest sum of each customer, K x C; -1 for who has none."""
        found = np.full((self.customers, sums.shape[1]), -1, dtype=np.int64)
        if len(sums):
            found[self.owners] = np.maximum.reduceat(sums, self.starts, axis=0)
        return found

    @cached_property
    def counted(self) -> Ints:
        """The sums, -1 where the group has no row in the window."""
        return np.where(self.there, self.sums, -1)

    def first_of(self, sums: Ints, largest: Ints) -> NDArray[np.bool_]:
        """Tell which groups are the first of their customer with the largest sum, G x C."""
        equal = sums == largest[self.customer]
        before = np.zeros((len(sums) + 1, sums.shape[1]), dtype=np.int64)
        np.cumsum(equal, axis=0, out=before[1:])
        begin = np.zeros(self.customers, dtype=np.int64)
        begin[self.owners] = self.starts
        return equal & (before[:-1] == before[begin[self.customer]])

    def added(self, values: NDArray[np.generic]) -> Floats:
        """Add up the values of each customer's groups, one after the other: what is 0 changes no bit; K x C."""
        width = values.shape[1]
        cells = self.customer[:, None] * width + np.arange(width)
        found = np.bincount(cells.ravel(), weights=values.ravel(), minlength=self.customers * width)
        return found.reshape(self.customers, width)

    @cached_property
    def whole(self) -> Ints:
        """What all groups of each customer sum up to, K x C."""
        sums = np.zeros((len(self.sums) + 1, self.sums.shape[1]), dtype=np.int64)
        np.cumsum(self.sums, axis=0, out=sums[1:])
        found = np.zeros((self.customers, self.sums.shape[1]), dtype=np.int64)
        found[self.owners] = sums[np.append(self.starts, len(self.sums))[1:]] - sums[self.starts]
        return found

    @cached_property
    def shares(self) -> Floats:
        """Each group's share of its customer's whole; null where that is 0."""
        return divided(self.sums, self.whole[self.customer])


def _groups(stream: Stream, feature: Feature) -> Groups:
    measure = feature.measure
    key = measure.of, measure.by, feature.window_days
    if key not in stream.grouped:
        stream.grouped[key] = Groups.of(stream, *key)
    found: Groups = stream.grouped[key]
    return found


def top_share(stream: Stream, features: Several) -> Floats:
    """Return the largest groups' share of the total; rows without a group count in the total only."""
    whole = stream.sums([(one.measure.of, ()) for one in features], [one.window_days for one in features])
    out = np.empty((len(features), *stream.shape))
    for number, one in enumerate(features):
        groups = _groups(stream, one)
        sums = groups.counted
        largest = groups.largest(sums)
        total = largest.copy()
        for _ in range(1, one.measure.most):
            sums = np.where(groups.first_of(sums, largest), -1, sums)
            largest = groups.largest(sums)
            total += np.maximum(largest, 0)
        out[number] = np.where(total >= 0, divided(total, whole[number].T), np.nan).T
    return out


def hhi(stream: Stream, features: Several) -> Floats:
    """Return the sum of the squared shares of the groups."""
    return np.array([_over_shares(_groups(stream, one), np.square) for one in features])


def entropy(stream: Stream, features: Several) -> Floats:
    """Return Shannon's entropy of the shares of the groups, nats."""
    return np.array([_over_shares(_groups(stream, one), _surprise) for one in features])


def _surprise(share: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(share == 0, 0.0, -share * np.log(share))


def _over_shares(groups: Groups, of: Callable[[Floats], Floats]) -> Floats:
    found = groups.added(of(np.where(groups.whole[groups.customer] != 0, groups.shares, 0.0)))
    return np.where(groups.whole != 0, found, np.nan).T


def top_word(stream: Stream, features: Several) -> Floats:
    """Return the code of the group with the largest sum, of several the first of the alphabet; null where all is 0."""
    out = []
    for one in features:
        groups = _groups(stream, one)
        first = groups.first_of(groups.counted, groups.largest(groups.counted))
        code = groups.added(np.where(first, groups.code[:, None], 0))
        out.append(np.where(groups.whole != 0, code, np.nan).T)
    return np.array(out)
