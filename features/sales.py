"""Sale lines grouped into orders, and what an order is: its time, its first line's channel, store and zone, its calendar."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrow import NO_WORDS
from features.raw import Raw
from features.streams import FOREVER
from features.windows import DAY_US, Bools, Coded, Ints, Stream, sorted_by

__all__ = ["Sold", "earliest_times", "local_time", "order_codes"]

_HOUR_US = DAY_US // 24
_AMOUNTS = ("net", "gross", "discount", "quantity")

# name -> hours of the day from, to (exclusive)
_DAYPARTS = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 22)}


@dataclass(frozen=True)
class Sold:
    """Sale lines and their orders.

    An order's time is its earliest line's, its channel, store and zone its first line's. Each line counts at its order's
    time.

    Attributes
    ----------
    raw
        The lines.
    group, earliest
        Number of each line's order; time of each order.
    order
        Orders' numbers in the order of the stream.
    row
        Place of each line's order in the stream.
    base
        Who and when, without columns.
    """

    raw: Raw
    group: Ints
    earliest: Ints
    order: Ints
    row: Ints
    base: Stream
    timezone: str

    @classmethod
    def of(cls, raw: Raw, customers: int, timezone: str) -> "Sold":
        """Group lines by customer and order."""
        paid_at = raw.ints("time")
        group = order_codes(raw.who, raw.codes("order_id")[0])
        earliest = earliest_times(group, paid_at)
        owner = np.zeros(len(earliest), dtype=np.int64)
        owner[group] = raw.who
        found = np.flatnonzero(earliest < FOREVER)
        found = found[sorted_by(owner[found], earliest[found])]
        place = np.zeros(len(earliest), dtype=np.int64)
        place[found] = np.arange(len(found))
        base = Stream(customers, owner[found], earliest[found])
        return cls(raw, group, earliest, found, place[group], base, timezone)

    @cached_property
    def orders(self) -> Stream:
        """One row an order."""
        numbers: dict[str, Callable[[], Ints]] = {
            "value": lambda: self._summed("net"),
            "quantity": lambda: self._summed("quantity"),
            "lines": lambda: np.bincount(self.row, minlength=len(self.order)),
            "single_line": lambda: _flag(self.orders.number("lines") == 1),
            "discounted": lambda: _flag(self._summed("discount") > 0),
            "coupon": lambda: _flag(self._summed("coupon") > 0),
            "online": self._online,
            "hour": lambda: self._local // _HOUR_US % 24,
            "weekend": lambda: _flag((self._local // DAY_US + 5) % 7 < 2),  # 1970-01-01 was a Thursday
            "night": lambda: _flag((self.orders.number("hour") < 6) | (self.orders.number("hour") >= 22)),
            "month": lambda: (
                self._local.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 + 1
            ),
            "fourth_quarter": lambda: _flag(self.orders.number("month") >= 10),
            "day": lambda: local_time(self.base.time, self.timezone) // DAY_US,
            "repeat_day": lambda: _flag(self._new_day & ~self._on_first_day),
            "repeat_value": lambda: np.where(self._on_first_day, 0, self.orders.number("value")),
        }
        numbers |= {part: self._within(*hours) for part, hours in _DAYPARTS.items()}
        words = {
            "channel": lambda: self._of_first("channel"),
            "store": lambda: self._of_first("store"),
            "day": lambda: (self.orders.number("day") - self.orders.number("day").min(initial=0), NO_WORDS),
        }
        return replace(self.base, numbers=numbers, words=words)

    @cached_property
    def lines(self) -> Stream:
        """One row a line, at its order's time."""
        numbers: dict[str, Callable[[], Ints]] = {name: self._column(name) for name in _AMOUNTS}
        numbers |= {"lines": lambda: np.ones_like(self.row), "repeat": self._repeat}
        words = {name: self._words(name) for name in ("product", "category", "brand", "channel")}
        row = self.row[self._by_order]
        return Stream(self.base.customers, self.base.customer[row], self.base.time[row], numbers, words)

    @cached_property
    def _by_order(self) -> Ints:
        return np.argsort(self.row)

    def times_of(self, deliveries: Raw) -> Ints:
        """Return the time of the order that each delivery brings, ``FOREVER`` where its customer has none of that number."""
        found = np.full(len(deliveries.who), FOREVER)
        if not len(found) or not len(self.row):
            return found
        codes, words = deliveries.codes("order_id")
        own, known = self.raw.codes("order_id")
        code = pc.fill_null(pc.index_in(words, value_set=known), -1).to_numpy().astype(np.int64)[codes]
        key = self.raw.who * len(known) + own
        by = np.argsort(key)
        wanted = deliveries.who * len(known) + code
        place = np.minimum(np.searchsorted(key[by], wanted), len(by) - 1)
        there = (key[by[place]] == wanted) & (code >= 0)
        found[there] = self.earliest[self.group[by[place[there]]]]
        return found

    def _column(self, name: str) -> Callable[[], Ints]:
        return lambda: self.raw.ints(name)[self._by_order]

    def _words(self, name: str) -> Callable[[], Coded]:
        def make() -> Coded:
            codes, words = self.raw.codes(name)
            return codes[self._by_order], words

        return make

    def _summed(self, name: str) -> Ints:
        total = np.zeros(len(self.order), dtype=np.int64)
        np.add.at(total, self.row, self.raw.ints(name))
        return total

    def _within(self, begin: int, end: int) -> Callable[[], Ints]:
        return lambda: _flag((self.orders.number("hour") >= begin) & (self.orders.number("hour") < end))

    def _of_first(self, name: str) -> Coded:
        found, words = self.raw.codes(name)
        return found[self._first], words

    def _online(self) -> Ints:
        channel, words = self.orders.codes("channel")
        return _flag(channel != list(words).index("store"))

    def _repeat(self) -> Ints:
        """Tell which lines are of a product that an earlier order of the customer had."""
        product, time, owner = self.lines.codes("product")[0], self.lines.time, self.lines.customer
        by = np.argsort((product << len(product).bit_length()) | np.arange(len(product)))
        new = np.ones(len(by), dtype=np.bool_)
        new[1:] = (product[by[1:]] != product[by[:-1]]) | (owner[by[1:]] != owner[by[:-1]])
        first = np.maximum.accumulate(np.where(new, np.arange(len(by)), 0))
        repeat = np.empty(len(by), dtype=np.int64)
        repeat[by] = time[by] > time[by[first]]
        return repeat

    @cached_property
    def _on_first_day(self) -> Bools:
        day = self.orders.number("day")
        first: Bools = day == day[self.base.start[self.base.customer]]
        return first

    @cached_property
    def _new_day(self) -> Bools:
        """Tell which orders are the first on their day; where clocks are put back over midnight a day may come twice."""
        day, size = self.orders.number("day"), len(self.order)
        packed = ((day - day.min(initial=0)) << size.bit_length()) | np.arange(size)
        packed.sort()
        row = packed & ((1 << size.bit_length()) - 1)
        new = np.ones(size, dtype=np.bool_)
        owner, on = self.base.customer[row], day[row]
        new[row[1:]] = (on[1:] != on[:-1]) | (owner[1:] != owner[:-1])
        return new

    @cached_property
    def _local(self) -> Ints:
        """Wall-clock time of each order: the customer's, else the store's, else the business's."""
        zone, names = self.raw.codes("zone")
        here, local = zone[self._first], self.base.time
        found = np.unique(here)
        if len(found) == 1:
            return local_time(local, _zone(names, found[0], self.timezone))
        local = local.copy()
        for one in found:
            local[here == one] = local_time(local[here == one], _zone(names, one, self.timezone))
        return local

    @cached_property
    def _first(self) -> Ints:
        """Each order's earliest line; of several that differ in channel, store or zone, the one with the smallest line id.

        As a rule all lines are at their order's time, and all alike.
        """
        earliest = np.flatnonzero(self.raw.ints("time") == self.earliest[self.group])
        group_of = self.group[earliest]
        first = np.zeros(len(self.earliest), dtype=np.int64)
        first[group_of] = earliest
        differs = np.zeros(len(earliest), dtype=np.bool_)
        for name in ("channel", "store", "zone"):
            value = self.raw.codes(name)[0]
            differs |= value[earliest] != value[first[group_of]]
        if differs.any():
            torn = np.zeros(len(first), dtype=np.bool_)
            torn[group_of[differs]] = True
            self._settle(first, earliest[torn[group_of]])
        return first[self.order]

    def _settle(self, first: Ints, torn: Ints) -> None:
        torn = torn[np.lexsort((self.raw.ranks("line_id", torn), self.group[torn]))]
        groups, smallest = np.unique(self.group[torn], return_index=True)
        first[groups] = torn[smallest]


def _flag(here: Bools) -> Ints:
    return here.astype(np.int64)


def _zone(names: pa.Array, code: int, timezone: str) -> str:
    return timezone if code < 0 else str(names[int(code)])


def order_codes(entity: Ints, order: Ints) -> Ints:
    """Return dense codes of the pairs (customer, order); an order seldom has two customers."""
    owner = np.zeros(order.max(initial=-1) + 1, dtype=np.int64)
    owner[order] = entity
    if np.array_equal(owner[order], entity):
        return order
    pairs: Ints = np.unique(entity * len(owner) + order, return_inverse=True)[1]
    return pairs


def earliest_times(group: Ints, time: Ints) -> Ints:
    """Return the earliest time of each group, ``FOREVER`` for a code without rows."""
    earliest = np.full(group.max(initial=-1) + 1, FOREVER)
    np.minimum.at(earliest, group, time)
    return earliest


def local_time(time: Ints, timezone: str) -> Ints:
    """Return wall-clock time in the zone, microseconds since 1970 on its own clock."""
    if timezone == "UTC":
        return time
    instants = pa.array(time, pa.timestamp("us", tz=timezone))
    return np.asarray(pc.local_timestamp(instants).cast(pa.int64()).to_numpy(), dtype=np.int64)
