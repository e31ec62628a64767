"""A sorted stream, and where in it the window of each customer and cutoff begins and ends: counted once, shared by all.

A row at time ``t`` lies in the window ``[c - w, c)`` exactly when ``t < c <= t + w``. A stream is sorted by customer and
time, so that the rows of one customer in one window are a slice; a count is its length, a total the difference of two
running sums. Integer arithmetic, exact, whatever the order of the rows and whoever the neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_US", "FAR", "MISSING", "Cut", "Items", "Spans", "Stream", "running", "sorted_by"]

DAY_US = 86_400_000_000
FAR = np.int64(2**62)

Ints = NDArray[np.int64]

MISSING = -1
"""Code of an item that is not there (a line without category)."""


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

    def cells(self, who: Ints, time: Ints) -> Ints:
        """Return for each row the number of the cell (customer, first cutoff after it); the last of a row is "never"."""
        return who * (len(self.cutoffs) + 1) + self.first_after(time)

    def cumulated(self, cells: Ints, *, rows: int | None = None) -> Ints:
        """Return how many rows lie in the cells up to each (customer or one of ``rows``, cutoff).

        Over a stream sorted by customer and time this is the position of the first row at or after the cutoff.
        """
        height, width = self.customers if rows is None else rows, len(self.cutoffs) + 1
        counts = np.bincount(cells, minlength=height * width)
        return np.ascontiguousarray(np.cumsum(counts).reshape(height, width)[:, :-1])


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


@dataclass(frozen=True)
class Items:
    """Things that belong to the rows of a stream, several to a row: the lines of an order.

    Attributes
    ----------
    row
        Position of each thing's row in the stream.
    columns
        Integer columns of the things.
    """

    row: Ints
    columns: Mapping[str, Ints]


_NONE = Items(np.zeros(0, dtype=np.int64), {})


@dataclass(frozen=True)
class Stream:
    """Rows of one kind, sorted by customer and time: who, when, integer columns, and the items that belong to them."""

    cut: Cut
    customer: Ints
    time: Ints
    columns: Mapping[str, Ints]
    items: Items = _NONE
    _edges: dict[int | None, Ints] = field(default_factory=dict, repr=False, compare=False)
    _cells: dict[int | None, Ints] = field(default_factory=dict, repr=False, compare=False)
    _spans: dict[str, "Spans"] = field(default_factory=dict, repr=False, compare=False)
    _sums: dict[str, Ints] = field(default_factory=dict, repr=False, compare=False)

    def where(self, mask: NDArray[np.bool_]) -> "Stream":
        """Return the rows that the mask selects."""
        columns = {name: values[mask] for name, values in self.columns.items()}
        return Stream(self.cut, self.customer[mask], self.time[mask], columns)

    def cells(self, days: int | None) -> Ints:
        """Return the cell in which each row ends that lasts so many days; None lasts for ever."""
        if days not in self._cells:
            end = np.full_like(self.time, FAR) if days is None else self.time + days * DAY_US
            self._cells[days] = self.cut.cells(self.customer, end)
        return self._cells[days]

    def edges(self, days: int | None) -> Ints:
        """Return the position of each customer's first row at or after ``cutoff - days``, customers x cutoffs."""
        if days not in self._edges:
            if days is None:
                self._edges[None] = np.repeat(self.start[:, None], len(self.cut.cutoffs), axis=1)
            else:
                self._edges[days] = self.cut.cumulated(self.cells(days))
        return self._edges[days]

    @cached_property
    def start(self) -> Ints:
        """Position of each customer's first row."""
        return np.searchsorted(self.customer, np.arange(self.cut.customers))

    @property
    def end(self) -> Ints:
        """Position after each customer's last row before each cutoff."""
        return self.edges(0)

    def count(self, days: int | None) -> Ints:
        """Return the number of rows in the window before each cutoff."""
        return self.end - self.edges(days)

    def sum(self, column: str, days: int | None) -> Ints:
        """Return the sum of a column over the rows in the window before each cutoff; exact in int64."""
        if column not in self._sums:
            self._sums[column] = running(self.columns[column])
        sums = self._sums[column]
        return sums[self.end] - sums[self.edges(days)]

    def spans(self, column: str) -> "Spans":
        """Return from when to when each item of the column is its customer's latest of its kind."""
        if column not in self._spans:
            self._spans[column] = Spans.of(self, column)
        return self._spans[column]


def running(values: Ints) -> Ints:
    """Return the sums of the first 0, 1, ... values."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


@dataclass(frozen=True)
class Spans:
    """Items that are there: the row of each, and the cell in which the same customer's next row of the same item begins."""

    row: Ints
    next_cell: Ints
    begun: Ints  # customers x cutoffs: how many items of the customers so far have begun before the cutoff

    @classmethod
    def of(cls, stream: Stream, column: str) -> "Spans":
        """Sort the items of a column by item, customer and time, packed into one integer each."""
        items = (
            stream.items
            if column in stream.items.columns
            else Items(np.arange(len(stream.time)), stream.columns)
        )
        rows, item = items.row, items.columns[column]
        present = item != MISSING
        height = max(len(stream.time), 1)
        packed = item[present] * height + rows[present]
        packed.sort()
        item, row = np.divmod(packed, height)
        cells = stream.cells(0)[row]
        next_cell = np.full(len(row), FAR)
        same = (item[1:] == item[:-1]) & (stream.customer[row[1:]] == stream.customer[row[:-1]])
        next_cell[:-1][same] = cells[1:][same]
        return cls(row, next_cell, stream.cut.cumulated(cells))
