"""A sorted stream, and where in it the window of each customer and cutoff begins and ends: counted once, shared by all.

A row at time ``t`` lies in the window ``[c - w, c)`` exactly when ``t < c <= t + w``. A stream is sorted by customer and
time, so that the rows of one customer in one window are a slice; a count is its length, a total the difference of two
running sums. Integer arithmetic, exact, whatever the order of the rows and whoever the neighbours.

Arrays of results are features x cutoffs x customers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.vocabulary import Filter

__all__ = ["DAY_US", "FAR", "Asked", "Bools", "Column", "Grid", "Ints", "Stream", "Words", "divided", "pieces", "running", "sorted_by", "stacked"]

DAY_US = 86_400_000_000
FAR = np.int64(2**62)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Column = Callable[[], Ints]
"""Makes a column when it is first asked for."""
Words = Callable[[], tuple[Ints, pa.Array]]
"""Makes the codes of a column of words, in the order of the alphabet where that matters, and what they stand for."""
Asked = tuple[str, Filter]
"""A column, and the rows of it that count."""

_AT_ONCE = 65_536
"""Numbers in one piece of work: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class Grid:
    """Cutoffs, and the instants at which the windows before them begin.

    Attributes
    ----------
    cutoffs
        Microseconds, ascending.
    instants
        Where windows begin and end, ascending and distinct.
    rows
        Days of a window (0: the cutoff itself; None: the whole history) -> its row of ``place``.
    place
        Windows x cutoffs: 1 + the number of the instant; 0 is the beginning of time.
    """

    cutoffs: Ints
    instants: Ints
    rows: Mapping[int | None, int]
    place: Ints

    @classmethod
    def of(cls, cutoffs: Ints, days: Sequence[int]) -> "Grid":
        """Lay the windows of so many days (0 among them, ascending) behind the cutoffs."""
        begins = cutoffs - np.array(days)[:, None] * DAY_US
        if len(cutoffs) == 1:  # nothing coincides
            instants, place = begins[::-1, 0].copy(), np.arange(len(days), 0, -1)[:, None]
        else:
            instants, inverse = np.unique(begins, return_inverse=True)
            place = inverse.reshape(begins.shape) + 1
        rows: dict[int | None, int] = {None: len(days), **{one: row for row, one in enumerate(days)}}
        return cls(cutoffs, instants, rows, np.concatenate((place, np.zeros_like(place[:1]))))

    @cached_property
    def first_cutoff(self) -> Ints:
        """Windows x (1 + instants): the first cutoff at which a row with so many instants at or before it has left the window.

        C is never: the whole history loses nothing.
        """
        left = self.place[:, :, None] - 1 < np.arange(len(self.instants) + 1)
        found: Ints = left.sum(axis=1)
        return found

    def windows(self, days: Sequence[int | None]) -> Ints:
        """Return the rows of ``place`` of these windows."""
        return np.array([self.rows[one] for one in days])

    def first_after(self, time: Ints) -> Ints:
        """Return the index of the first cutoff after each time: ``time < cutoff``; C is never."""
        return np.searchsorted(self.cutoffs, time, side="right")


def sorted_by(customer: Ints, time: Ints) -> Ints:
    """Return the order by customer and time; rows that agree in both stand in any order.

    Two sorts of plain integers, several times faster than ``np.lexsort``.
    """
    by_time = np.argsort(time)
    bits = len(time).bit_length()
    packed = (customer[by_time] << bits) | np.arange(len(time))
    packed.sort()
    order: Ints = by_time[packed & ((1 << bits) - 1)]
    return order


def divided(part: NDArray[np.generic], whole: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return part / whole, null where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.true_divide(part, whole), np.nan)


def running(values: Ints) -> Ints:
    """Return the sums of the first 0, 1, ... values."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


@dataclass(frozen=True)
class Stream:
    """Rows of one kind, sorted by customer and time; what is known of them is made when it is first asked for.

    Attributes
    ----------
    customers
        K; ``customer`` numbers them.
    numbers, words
        Column -> how it is made, a value a row or, of ``items``, a value an item.
    items
        The row of each of the things that belong to the rows, several to a row (the lines of an order); None: a row is one.
    """

    grid: Grid
    customers: int
    customer: Ints
    time: Ints
    numbers: Mapping[str, Column] = field(default_factory=dict)
    words: Mapping[str, Words] = field(default_factory=dict)
    items: Ints | None = None
    grouped: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)
    _made: dict[object, Ints] = field(default_factory=dict, repr=False, compare=False)
    _codes: dict[str, tuple[Ints, pa.Array]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Cutoffs x customers."""
        return len(self.grid.cutoffs), self.customers

    @cached_property
    def rank(self) -> Ints:
        """How many instants lie at or before each row."""
        return np.searchsorted(self.grid.instants, self.time, side="right")

    @cached_property
    def edges(self) -> Ints:
        """(1 + instants) x customers: the position of each customer's first row, and of the first at or after each instant."""
        width = len(self.grid.instants) + 1
        counts = np.bincount(self.customer * width + self.rank, minlength=self.customers * width)
        return running(counts)[:-1].reshape(self.customers, width).T.copy()

    @property
    def start(self) -> Ints:
        """Position of each customer's first row."""
        first: Ints = self.edges[0]
        return first

    @cached_property
    def end(self) -> Ints:
        """Position after each customer's last row before each cutoff, C x K."""
        return self.edge(0)

    def edge(self, days: int | None) -> Ints:
        """Return the position of the first row of a window, C x K."""
        found: Ints = self.edges[self.grid.place[self.grid.rows[days]]]
        return found

    def made(self, key: object, make: Column) -> Ints:
        """Return what was made before under this key, or make it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def number(self, name: str) -> Ints:
        """Return a column, a value a row or an item."""
        return self.made(name, self.numbers[name])

    def codes(self, name: str) -> tuple[Ints, pa.Array]:
        """Return a column of words as codes, and what they stand for."""
        if name not in self._codes:
            self._codes[name] = self.words[name]()
        return self._codes[name]

    def mask(self, where: Filter) -> Bools | None:
        """Tell which rows or items the filter selects; None: all."""
        found: Bools | None = None
        for column, values in where:
            codes, words = self.codes(column)
            wanted = pc.index_in(pa.array(values, pa.string()), value_set=words).drop_null().to_numpy()
            one = codes == wanted[0] if len(wanted) == 1 else np.isin(codes, wanted)
            found = one if found is None else found & one
        return found

    @cached_property
    def new_instant(self) -> Bools:
        """Tell which rows are the first of their customer at their time."""
        new = np.ones(len(self.time), dtype=np.bool_)
        new[1:] = (self.time[1:] != self.time[:-1]) | (self.customer[1:] != self.customer[:-1])
        return new

    def last(self, where: Filter) -> Ints:
        """Return the position of the last row before each cutoff that the filter selects, C x K; -1: there is none."""
        last = self.end - 1
        if where:
            last = self.made(("last", where), lambda: self._latest(where))[last]
        return np.where(last >= self.start, last, -1)

    def _latest(self, where: Filter) -> Ints:
        """Return for each row the latest selected row up to it, and -1 for the row before all."""
        selected = self.by_row(("", where)) > 0
        latest = np.full(len(self.time) + 1, -1)
        np.maximum.accumulate(np.where(selected, np.arange(len(selected)), -1), out=latest[:-1])
        return latest

    def where(self, where: Filter) -> "Stream":
        """Return the rows that the filter selects, and of their items those that it selects."""
        mask = self.mask(where)
        if mask is None:
            return self
        items, kept = self.items, mask
        if items is not None:
            kept = np.zeros(len(self.time), dtype=np.bool_)
            kept[items[mask]] = True
            items = (np.cumsum(kept) - 1)[items[mask]]

        def number(make: Column) -> Column:
            return lambda: make()[mask]

        def word(make: Words) -> Words:
            return lambda: (make()[0][mask], make()[1])

        return Stream(
            self.grid, self.customers, self.customer[kept], self.time[kept],
            {name: number(make) for name, make in self.numbers.items()},
            {name: word(make) for name, make in self.words.items()}, items,
        )  # fmt: skip

    def by_row(self, asked: Asked) -> Ints:
        """Return a value a row: the column, or the sum over the row's items that count; of the column "" their number."""
        return self.made(("row", asked), lambda: self._by_row(*asked))

    def _by_row(self, column: str, where: Filter) -> Ints:
        mask = self.mask(where)
        if self.items is None:
            values = np.ones_like(self.time) if not column else self.number(column)
            return values if mask is None else np.where(mask, values, 0)
        items, values = self.items, np.ones_like(self.items) if not column else self.number(column)
        if mask is not None:
            items, values = items[mask], values[mask]
        total = np.zeros_like(self.time)
        np.add.at(total, items, values)
        return total

    def prefix(self, asked: Asked) -> Ints:
        """Return the sums of a column's first 0, 1, ... rows."""
        if asked == ("", ()) and self.items is None:
            return self.made("positions", lambda: np.arange(len(self.time) + 1))
        return self.made(("prefix", asked), lambda: running(self.by_row(asked)))

    def sums(self, asked: Sequence[Asked], days: Sequence[int | None]) -> Ints:
        """Return the sums of columns over the rows in their windows, F x C x K; exact in int64."""
        return self.differences([self.prefix(one) for one in asked], days)

    def differences(self, prefixes: Sequence[Ints], days: Sequence[int | None]) -> Ints:
        """Return the differences of running sums between the ends of windows, F x C x K."""
        out = np.empty((len(days), *self.shape), dtype=np.int64)
        windows = self.grid.windows(days)
        for part in pieces(len(days), out[0].size):
            stack, offset = stacked(prefixes[part])
            low = self.edges[self.grid.place[windows[part]]]
            if offset is None:
                np.subtract(stack[self.end], stack[low], out=out[part])
            else:
                np.subtract(stack[self.end + offset], stack[low + offset], out=out[part])
        return out


def stacked(arrays: Sequence[Ints]) -> tuple[Ints, Ints | None]:
    """Return arrays of one length behind each other, each once, and where each begins (F x 1 x 1); None: all are one."""
    each = {id(array): array for array in arrays}
    if len(each) == 1:
        return arrays[0], None
    number = {one: index for index, one in enumerate(each)}
    offset = np.array([number[id(array)] for array in arrays]) * len(arrays[0])
    return np.concatenate(list(each.values())), offset[:, None, None]


def pieces(count: int, size: int) -> Iterator[slice]:
    """Cut a number of things of one size into pieces that stay in the processor's cache: one customer's in one go."""
    step = max(1, _AT_ONCE // max(size, 1))
    for begin in range(0, count, step):
        yield slice(begin, begin + step)
