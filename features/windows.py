"""A stream: rows of one kind, sorted by customer and time, whose columns are made when they are first asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.vocabulary import Filter

__all__ = ["DAY_US", "MISSING", "Bools", "Coded", "Column", "Ints", "Stream", "Words", "places", "sorted_by"]

DAY_US = 86_400_000_000

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Column = Callable[[], Ints]
"""Makes a column, a value a row."""
Coded = tuple[Ints, pa.Array | tuple[str, ...]]
"""Codes of words, ``MISSING`` for none, and what they stand for: in no order, or, of a fixed choice, a tuple in the alphabet's."""

MISSING = -1
"""Code of a word that is not there (a line without category)."""

Words = Callable[[], Coded]
"""Makes a column of words."""


def places(order: pa.Array) -> Ints:
    """Return the place in an order of each of the things ordered, and ``MISSING`` for the one before the first."""
    place = np.full(len(order) + 1, MISSING)
    place[order.to_numpy()] = np.arange(len(order))
    return place


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
class Stream:
    """Rows of N.

    Attributes
    ----------
    customers
        K; ``customer`` numbers them.
    customer, time
        Sorted by both.
    numbers, words
        Column -> how it is made.
    """

    customers: int
    customer: Ints
    time: Ints
    numbers: Mapping[str, Column] = field(default_factory=dict)
    words: Mapping[str, Words] = field(default_factory=dict)
    _numbers: dict[str, Ints] = field(default_factory=dict, repr=False, compare=False)
    _words: dict[str, Coded] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def start(self) -> Ints:
        """Where each customer's rows begin, and where the last one's end: length K + 1."""
        return np.searchsorted(self.customer, np.arange(self.customers + 1))

    def number(self, name: str) -> Ints:
        """Return a column; of words their ranks, of ``one`` nothing but 1."""
        if name == "one":
            return np.ones_like(self.time)
        if name not in self.numbers:
            return self.ranked(name)[0]
        if name not in self._numbers:
            self._numbers[name] = self.numbers[name]()
        return self._numbers[name]

    def codes(self, name: str) -> Coded:
        """Return a column of words as codes, and what they stand for."""
        if name not in self._words:
            self._words[name] = self.words[name]()
        return self._words[name]

    def ranked(self, name: str) -> Coded:
        """Return a column of words as their places in the alphabet, and the words in its order."""
        found, words = self.codes(name)
        if isinstance(words, tuple) or len(words) < 2:
            return found, words
        order = pc.array_sort_indices(words)
        return places(order)[found], words.take(order)

    def mask(self, where: Filter) -> Bools:
        """Tell which rows the filter selects."""
        (mask, *others) = (self._mask(*one) for one in where)
        for other in others:
            mask &= other
        return mask

    def _mask(self, column: str, values: tuple[str, ...]) -> Bools:
        codes, words = self.codes(column)
        if isinstance(words, tuple):
            wanted = [words.index(value) for value in values if value in words]
        else:
            wanted = pc.index_in(pa.array(values, pa.string()), value_set=words).drop_null().to_pylist()
        return codes == wanted[0] if len(wanted) == 1 else np.isin(codes, wanted)
