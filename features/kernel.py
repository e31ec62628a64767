"""Rows and cutoffs in, feature columns out. Pure NumPy and Arrow, no I/O; the one place where features are computed.

Training at many cutoffs, the weekly batch and one customer online call ``compute`` alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.operations import DAY_US, MISSING, OPERATIONS, Cut, Stream
from features.streams import FOREVER, Rows
from features.vocabulary import Feature

__all__ = ["Computed", "compute"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Computed:
    """Features of all customers at all cutoffs.

    Attributes
    ----------
    customers
        OneIDs, length K, ascending.
    cutoffs
        Microseconds since 1970, length C, ascending.
    known
        K x C: has the customer any usable row before the cutoff.
    columns
        Feature name -> K x C, float64, NaN where undefined.
    """

    customers: pa.Array
    cutoffs: Ints
    known: NDArray[np.bool_]
    columns: Mapping[str, NDArray[np.float64]]


def compute(rows: Rows, cutoffs: Ints, features: Sequence[Feature], *, timezone: str = "UTC") -> Computed:
    """Compute features of every customer in the rows at every cutoff.

    Parameters
    ----------
    rows
        Streams as ``features.streams.read`` gives them, in any order.
    cutoffs
        Microseconds since 1970, UTC, ascending and distinct.
    timezone
        Where neither customer nor store has a zone; days with an order are counted in it.

    Notes
    -----
    A row is *regular* when every cutoff after it may use it. Customers with regular rows only, nearly all, go through
    all cutoffs in one pass. A customer with a row that came late, was corrected, or moved to another OneID between two
    cutoffs is computed again at each cutoff from the rows usable there: the same code, one cutoff at a time.
    """
    entities, rows = _encode(rows)
    cut = Cut(len(entities), cutoffs)
    usable, irregular = _usable(rows, cut)
    known, columns = _columns(usable, cut, features, timezone)
    late = np.flatnonzero(irregular)
    theirs = _of(usable, irregular) if len(late) else {}
    for index, cutoff in enumerate(cutoffs if len(late) else ()):
        at = {name: _usable_at(table, int(cutoff)) for name, table in theirs.items()}
        one = Cut(len(late), cutoffs[index : index + 1])
        known_at, columns_at = _columns(at, one, features, timezone)
        known[late, index] = known_at[:, 0]
        for name, column in columns.items():
            column[late, index] = columns_at[name][:, 0]
    return Computed(entities, cutoffs, known, columns)


def _encode(rows: Rows) -> tuple[pa.Array, Rows]:
    """Replace OneIDs by their rank among all OneIDs in the rows."""
    uniques = [pc.unique(table["entity"]) for table in rows.values()]
    every = pc.unique(pa.concat_arrays([pc.cast(unique, pa.string()) for unique in uniques]))
    entities = every.take(pc.array_sort_indices(every))
    encoded = {}
    for name, table in rows.items():
        code = pc.index_in(table["entity"], value_set=entities).cast(pa.int64())
        encoded[name] = table.set_column(table.schema.get_field_index("entity"), "entity", code)
    return entities, encoded


def _ints(table: pa.Table, name: str) -> Ints:
    """Return a column as int64; nulls become ``FOREVER`` (a time that never came)."""
    column = table[name]
    if column.null_count:
        column = pc.fill_null(column, FOREVER)
    return np.asarray(column.combine_chunks().to_numpy(zero_copy_only=False), dtype=np.int64)


def _codes(*columns: pa.ChunkedArray) -> list[Ints]:
    """Return string columns as dense codes in one dictionary, ``MISSING`` for null; codes follow the alphabet."""
    every = pc.unique(
        pa.concat_arrays([pc.unique(column).cast(pa.string()) for column in columns]).drop_null()
    )
    ordered = every.take(pc.array_sort_indices(every))
    found = (pc.index_in(column, value_set=ordered, skip_nulls=True) for column in columns)
    return [pc.fill_null(code, MISSING).to_numpy().astype(np.int64) for code in found]


def _usable(rows: Rows, cut: Cut) -> tuple[Rows, NDArray[np.bool_]]:
    """Drop rows that no cutoff may use; tell which customers have a row that some later cutoff may not use."""
    irregular = np.zeros(cut.customers, dtype=np.bool_)
    kept: Rows = {}
    for name, table in rows.items():
        time = _ints(table, "time")
        if name == "presence":  # no window looks at its time: it counts from when it is known
            time = np.maximum(time, _ints(table, "usable_from") - 1)
            table = _with(table, "time", time)
        first = np.maximum(
            cut.first_after(time), np.searchsorted(cut.cutoffs, _ints(table, "usable_from"), side="left")
        )
        behind = np.searchsorted(cut.cutoffs, _ints(table, "usable_to"), side="left")
        some = behind > first
        kept[name] = table if some.all() else table.filter(pa.array(some))
        counts_from = _order_time(table, time) if name == "lines" else time
        whole = (first == cut.first_after(counts_from)) & (behind == len(cut.cutoffs))
        irregular[_ints(table, "entity")[some & ~whole]] = True
    return kept, irregular


def _order_time(lines: pa.Table, time: Ints) -> Ints:
    """Return the earliest time of each line's order, over all lines and versions: from then on the line may count."""
    entity, (order,) = _ints(lines, "entity"), _codes(lines["order_id"])
    _, group = np.unique(entity * (order.max(initial=0) + 1) + order, return_inverse=True)
    earliest = np.full(group.max(initial=-1) + 1, FOREVER)
    np.minimum.at(earliest, group, time)
    return np.where(_is(lines, "kind", "sale"), earliest[group], time)


def _of(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    """Return the rows of the chosen customers, who are numbered anew."""
    number = np.cumsum(chosen) - 1
    of = {}
    for name, table in rows.items():
        own = table.filter(pa.array(chosen[_ints(table, "entity")]))
        of[name] = _with(own, "entity", number[_ints(own, "entity")])
    return of


def _with(table: pa.Table, name: str, values: Ints) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values))


def _usable_at(table: pa.Table, cutoff: int) -> pa.Table:
    mask = (_ints(table, "time") < cutoff) & (_ints(table, "usable_from") <= cutoff)
    return table.filter(pa.array(mask & (cutoff < _ints(table, "usable_to"))))


def _is(table: pa.Table, column: str, value: str) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.equal(table[column], value), False).to_numpy(), dtype=np.bool_)


def _columns(
    rows: Rows, cut: Cut, features: Sequence[Feature], timezone: str
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Compute the features; ratios of features come last, from the columns they divide."""
    streams = _streams(rows, timezone)
    seen = (cut.before(_ints(table, "entity"), _ints(table, "time")) > 0 for table in rows.values())
    known = np.any(list(seen), axis=0)
    columns: dict[str, NDArray[np.float64]] = {}
    for feature in features:
        measure = feature.measure
        if measure.over is None:
            stream = _filtered(streams[measure.stream], rows, measure.stream, measure.where)
            columns[feature.name] = OPERATIONS[measure.operation](stream, feature, cut)
    for feature in features:
        if feature.measure.over is not None:
            part, whole = (columns[name] for name in feature.operands)
            with np.errstate(divide="ignore", invalid="ignore"):
                columns[feature.name] = np.where(whole != 0, part / whole, np.nan)
    return known, {feature.name: columns[feature.name] for feature in features}


def _filtered(stream: Stream, rows: Rows, name: str, where: tuple[str, tuple[str, ...]] | None) -> Stream:
    if where is None:
        return stream
    column, values = where
    mask = pc.is_in(rows[name][column], value_set=pa.array(values)).to_numpy()
    return stream.where(mask)


def _streams(rows: Rows, timezone: str) -> dict[str, Stream]:
    """Return the streams that measures look at; orders, returns and ratings are derived."""
    lines = rows["lines"]
    sale = _is(lines, "kind", "sale")
    sales, orders = _sales_and_orders(lines.filter(pa.array(sale)), timezone)
    tickets, contacts = rows["tickets"], rows["contacts"]
    returned = lines.filter(pa.array(~sale))
    rated = tickets.filter(pc.and_(pc.is_valid(tickets["rated_at"]), pc.is_valid(tickets["csat"])))
    (rated_id,) = _codes(rated["id"])
    rated_at = _ints(rated, "rated_at")
    delivered = contacts.filter(
        pc.and_(pc.equal(contacts["purpose"], "marketing"), pc.equal(contacts["status"], "delivered"))
    )
    clicks = {name: _ints(delivered, name) for name in ("opened_at", "clicked_at")}
    return {
        "lines": sales,
        "orders": orders,
        "returns": _stream(returned, {"net": _ints(returned, "net")}),
        "events": _stream(rows["events"], {}),
        "tickets": _stream(tickets, {}),
        "ratings": Stream(
            _ints(rated, "entity"),
            np.maximum(rated_at, _ints(rated, "time")),  # rated before it was opened: usable from its opening
            {"csat": _ints(rated, "csat"), "id": rated_id, "at": rated_at},
        ),
        "contacts": _stream(delivered, clicks),
    }


def _stream(table: pa.Table, columns: Mapping[str, Ints]) -> Stream:
    return Stream(_ints(table, "entity"), _ints(table, "time"), columns)


def _sales_and_orders(lines: pa.Table, timezone: str) -> tuple[Stream, Stream]:
    """Group sale lines into orders: an order's time is its earliest line's, its channel and zone its first line's."""
    entity, paid_at = _ints(lines, "entity"), _ints(lines, "time")
    (order,), (line,) = _codes(lines["order_id"]), _codes(lines["line_id"])
    by_line = np.lexsort((line, paid_at, order, entity))
    new = np.ones(len(by_line), dtype=np.bool_)
    new[1:] = (np.diff(entity[by_line]) != 0) | (np.diff(order[by_line]) != 0)
    first = by_line[new]
    group = np.empty(len(by_line), dtype=np.int64)
    group[by_line] = np.cumsum(new) - 1
    amounts = {name: _ints(lines, name) for name in ("net", "gross", "discount", "quantity")}
    (product,), (category,), (channel,) = (_codes(lines[name]) for name in ("product", "category", "channel"))
    sales = Stream(entity, paid_at[first][group], {**amounts, "product": product, "category": category})
    value = np.zeros(len(first), dtype=np.int64)
    np.add.at(value, group, amounts["net"])
    at = paid_at[first]
    zones = pc.fill_null(lines["zone"].take(pa.array(first)), timezone)
    columns = {
        "value": value,
        "channel": channel[first],
        "online": (~_is(lines, "channel", "store")[first]).astype(np.int64),
        "day": _local(at, timezone) // DAY_US,
        "weekend": _weekend(at, zones),
    }
    return sales, Stream(entity[first], at, columns)


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
