"""The streams that measures look at: orders, returns and ratings are derived from the rows; all are sorted."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.arrow import codes, equals, ints, ranks
from features.streams import FOREVER, Rows
from features.windows import DAY_US, Cut, Items, Stream, sorted_by

__all__ = ["earliest_times", "order_codes", "streams_of"]

Ints = NDArray[np.int64]

AMOUNTS = ("net", "gross", "discount", "quantity")


def streams_of(rows: Rows, cut: Cut, timezone: str) -> dict[str, Stream]:
    """Return the streams that measures look at; orders, returns and ratings are derived."""
    lines, tickets, contacts = rows["lines"], rows["tickets"], rows["contacts"]
    sale = equals(lines, "kind", "sale")
    sales, orders = _sales_and_orders(lines.filter(pa.array(sale)), cut, timezone)
    delivered = equals(contacts, "purpose", "marketing") & equals(contacts, "status", "delivered")
    return {
        "lines": sales,
        "orders": orders,
        "returns": _stream(lines, cut, "net", "order_id", only=~sale),
        "events": _stream(rows["events"], cut),
        "tickets": _stream(tickets, cut, "closed_at", "rated_at", "csat"),
        "ratings": _ratings(tickets, cut),
        "contacts": _stream(contacts, cut, "opened_at", "clicked_at", only=delivered),
    }


def _stream(table: pa.Table, cut: Cut, *names: str, only: NDArray[np.bool_] | None = None) -> Stream:
    """Sort a table's rows, or some of them; the column ``origin`` tells where in the table each was."""
    customer, time = ints(table, "entity"), ints(table, "time")
    if only is None:
        order = sorted_by(customer, time)
    else:
        kept = np.flatnonzero(only)
        order = kept[sorted_by(customer[kept], time[kept])]
    columns = {name: ints(table, name)[order] for name in names}
    return Stream(cut, customer[order], time[order], {**columns, "origin": order})


def _ratings(tickets: pa.Table, cut: Cut) -> Stream:
    """Return the ratings with their rank by time and, of those given at one instant, by ticket."""
    rated = tickets.filter(pc.and_(pc.is_valid(tickets["rated_at"]), pc.is_valid(tickets["csat"])))
    customer, rated_at = ints(rated, "entity"), ints(rated, "rated_at")
    time = np.maximum(rated_at, ints(rated, "time"))  # rated before it was opened: usable from its opening
    rank = np.empty(len(time), dtype=np.int64)
    rank[np.lexsort((ranks(rated["id"]), rated_at))] = np.arange(len(time))
    order = sorted_by(customer, time)
    columns = {"csat": ints(rated, "csat")[order], "rank": rank[order]}
    return Stream(cut, customer[order], time[order], columns)


def _sales_and_orders(sold: pa.Table, cut: Cut, timezone: str) -> tuple[Stream, Stream]:
    """Group sale lines into orders: an order's time is its earliest line's, its channel and zone its first line's.

    The stream of lines has a row for each order too, since each line counts at its order's time: amounts are summed up
    over the order, and the lines are its items. So the two share where windows begin and end.
    """
    entity, paid_at = ints(sold, "entity"), ints(sold, "time")
    group = order_codes(entity, ints(sold, "order_id"))
    earliest = earliest_times(group, paid_at)
    channel, channels = codes(sold["channel"])
    first = _first_lines(sold, group, np.flatnonzero(paid_at == earliest[group]), channel)
    found = np.flatnonzero(earliest < FOREVER)
    found = found[sorted_by(entity[first[found]], earliest[found])]
    row = np.empty(len(earliest), dtype=np.int64)
    row[found] = np.arange(len(found))
    row, first, at = row[group], first[found], earliest[found]
    items = Items(row, {name: ints(sold, name) for name in ("product", "category", "net")})
    amounts = {name: _summed(ints(sold, name), row, len(at)) for name in AMOUNTS}
    columns = {
        "value": amounts["net"],
        "channel": channel[first],
        "online": np.append(pc.not_equal(channels, "store"), True)[channel[first]].astype(np.int64),
        "day": _local(at, timezone) // DAY_US,
        "weekend": _weekend(at, pc.fill_null(sold["zone"].take(pa.array(first)), timezone)),
    }
    sales = Stream(cut, entity[first], at, amounts, items)
    return sales, replace(sales, columns=columns, items=Items(row, {}))


def _summed(values: Ints, row: Ints, size: int) -> Ints:
    total = np.zeros(size, dtype=np.int64)
    np.add.at(total, row, values)
    return total


def _first_lines(sold: pa.Table, group: Ints, earliest: Ints, channel: Ints) -> Ints:
    """Return each order's earliest line; of several that differ in channel or zone, the one with the smallest line id.

    Parameters
    ----------
    earliest
        Positions of the lines at their order's time; as a rule all, and all alike.
    """
    group_of = group[earliest]
    first = np.zeros(group.max(initial=-1) + 1, dtype=np.int64)
    first[group_of] = earliest
    zone, other = codes(sold["zone"])[0], first[group_of]
    differs = (channel[earliest] != channel[other]) | (zone[earliest] != zone[other])
    torn = np.zeros(len(first), dtype=np.bool_)
    torn[group_of[differs]] = True
    torn_lines = earliest[torn[group_of]]
    rank = ranks(sold["line_id"].take(pa.array(torn_lines)))
    torn_lines = torn_lines[np.lexsort((rank, group[torn_lines]))]
    groups, place = np.unique(group[torn_lines], return_index=True)
    first[groups] = torn_lines[place]
    return first


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


def _local(time: Ints, timezone: str) -> Ints:
    """Return wall-clock time in the zone, microseconds since 1970 on its own clock."""
    if timezone == "UTC":
        return time
    instants = pa.array(time, pa.timestamp("us", tz=timezone))
    return np.asarray(pc.local_timestamp(instants).cast(pa.int64()).to_numpy(), dtype=np.int64)


def _weekend(time: Ints, zones: pa.ChunkedArray) -> Ints:
    weekend = np.zeros(len(time), dtype=np.int64)
    for zone in pc.unique(zones).to_pylist():
        here = pc.equal(zones, zone).to_numpy()
        # 1970-01-01 was a Thursday: day 2 of the era a Saturday
        weekend[here] = (_local(time[here], zone) // DAY_US + 5) % 7 < 2
    return weekend
