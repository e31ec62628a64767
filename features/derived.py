"""The streams that measures look at: orders, returns and ratings are derived from the rows; all are sorted.

Nothing is made before a measure asks for it: a column that no feature looks at costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from features.arrow import NO_WORDS
from features.raw import Raw
from features.sales import Sold, local_time
from features.streams import FOREVER
from features.windows import DAY_US, MISSING, Coded, Ints, Stream, sorted_by

__all__ = ["Streams"]


@dataclass(frozen=True)
class Streams:
    """The streams over some customers' rows, each made when it is first asked for.

    Attributes
    ----------
    rows
        Stream name -> rows as they were read.
    timezone
        Where neither customer nor store has a zone; days are counted in it.
    """

    rows: Mapping[str, Raw]
    customers: int
    timezone: str
    _made: dict[str, Stream] = field(default_factory=dict, repr=False, compare=False)

    def make(self, name: str) -> Stream:
        """Return a stream."""
        if name not in self._made:
            self._made[name] = _MAKERS[name](self)
        return self._made[name]

    def forget(self) -> None:
        """Let go of everything: orders and the streams made of them hold each other, and would wait for the collector."""
        if "sold" in vars(self):
            vars(self.sold).clear()
        self._made.clear()

    @cached_property
    def sold(self) -> Sold:
        """Sale lines grouped into orders."""
        lines = self.rows["lines"]
        sale = lines.has("kind", "sale")
        sold = lines if sale.all() else lines.only(np.flatnonzero(sale))
        return Sold.of(sold, self.customers, self.timezone)

    def sorted(
        self, raw: Raw, numbers: tuple[str, ...], words: tuple[str, ...] = (), time: Ints | None = None
    ) -> Stream:
        """Return rows sorted by customer and time, with columns as they were read."""
        time = raw.ints("time") if time is None else time
        order = sorted_by(raw.who, time)
        return Stream(
            self.customers, raw.who[order], time[order],
            {column: _number(raw, column, order) for column in numbers},
            {column: _word(raw, column, order) for column in words},
        )  # fmt: skip


def _number(raw: Raw, column: str, order: Ints) -> Callable[[], Ints]:
    return lambda: raw.ints(column)[order]


def _word(raw: Raw, column: str, order: Ints) -> Callable[[], Coded]:
    def make() -> Coded:
        found, words = raw.codes(column)
        return found[order], words

    return make


def _returns(streams: Streams) -> Stream:
    lines = streams.rows["lines"]
    back = lines.only(np.flatnonzero(lines.has("kind", "return")))
    amounts, words = ("net", "gross", "discount", "quantity"), ("order_id", "product", "category")
    return streams.sorted(back, amounts, words)


def _events(streams: Streams) -> Stream:
    words = ("kind", "product", "category", "channel", "session")
    stream = streams.sorted(streams.rows["events"], ("duration",), words)

    def day() -> Coded:
        days = local_time(stream.time, streams.timezone) // DAY_US
        return days - days.min(initial=0), NO_WORDS

    return replace(stream, words={**stream.words, "day": day})


def _tickets(streams: Streams) -> Stream:
    times = ("first_response_at", "closed_at", "rated_at")
    return streams.sorted(streams.rows["tickets"], ("csat", *times), ("kind",))


def _ratings(streams: Streams) -> Stream:
    """Return the ratings with their rank by time and, of those given at one instant, by ticket."""
    tickets = streams.rows["tickets"]
    rated = tickets.only(
        np.flatnonzero((tickets.ints("rated_at") < FOREVER) & (tickets.ints("csat") < FOREVER))
    )
    rated_at = rated.ints("rated_at")
    rank = np.empty(len(rated_at), dtype=np.int64)
    alphabet = rated.ranks("id", np.arange(len(rank)))
    rank[np.lexsort((alphabet, rated_at))] = np.arange(len(rank))
    # rated before it was opened: usable from its opening
    time = np.maximum(rated_at, rated.ints("time"))
    order = sorted_by(rated.who, time)
    numbers = {"csat": _number(rated, "csat", order), "rank": lambda: rank[order]}
    return Stream(streams.customers, rated.who[order], time[order], numbers)


def _contacts(streams: Streams) -> Stream:
    contacts = streams.rows["contacts"]
    chosen = np.flatnonzero(contacts.has("purpose", "marketing") & contacts.has("status", "delivered"))
    times = ("opened_at", "clicked_at", "rejected_at", "unsubscribed_at")
    return streams.sorted(contacts.only(chosen), times, ("channel",))


def _deliveries(streams: Streams) -> Stream:
    """Return the deliveries of orders known now, each at the time of its order."""
    raw = streams.rows["deliveries"]
    times = streams.sold.times_of(raw)
    known = np.flatnonzero(times < FOREVER)
    # an order of two customers who turned out to be one is delivered once
    code = raw.codes("id")[0][known]
    known = known[np.unique(raw.who[known] * (code.max(initial=0) + 1) + code, return_index=True)[1]]
    return streams.sorted(raw.only(known), ("delivered_at", "late_at"), time=times[known])


def _feedback(streams: Streams) -> Stream:
    stream = streams.sorted(streams.rows["feedback"], ("rating",), ("kind",))

    def rated_kind() -> Coded:
        found, words = stream.codes("kind")
        return np.where(stream.number("rating") < FOREVER, found, MISSING), words

    return replace(stream, words={**stream.words, "rated_kind": rated_kind})


_MAKERS: Mapping[str, Callable[[Streams], Stream]] = {
    "orders": lambda streams: streams.sold.orders,
    "lines": lambda streams: streams.sold.lines,
    "returns": _returns,
    "events": _events,
    "tickets": _tickets,
    "ratings": _ratings,
    "contacts": _contacts,
    "deliveries": _deliveries,
    "feedback": _feedback,
}
