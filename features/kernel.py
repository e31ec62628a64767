"""Rows and cutoffs in, feature columns out. Pure NumPy and Arrow, no I/O; the one place where features are computed.

Training at many cutoffs, the weekly batch and one customer online call ``compute`` alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.arrow import codes, equals, ints, with_column
from features.derived import earliest_times, order_codes, streams_of
from features.operations import OPERATIONS
from features.streams import FOREVER, Rows
from features.vocabulary import Feature
from features.windows import Cut, Stream

__all__ = ["Computed", "compute"]

Ints = NDArray[np.int64]
Where = tuple[str, tuple[str, ...]] | None


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
    """Replace OneIDs by their rank among all OneIDs in the rows, and order numbers and items by codes."""
    found = {name: codes(table["entity"]) for name, table in rows.items()}
    every = pc.unique(pa.concat_arrays([words for _, words in found.values()]))
    entities = every.take(pc.array_sort_indices(every))
    encoded = {}
    for name, table in rows.items():
        code, words = found[name]
        rank = pc.index_in(words, value_set=entities).to_numpy().astype(np.int64)
        encoded[name] = with_column(table, "entity", rank[code])
    for column in ("order_id", "product", "category"):
        encoded["lines"] = with_column(encoded["lines"], column, codes(rows["lines"][column])[0])
    return entities, encoded


def _usable(rows: Rows, cut: Cut) -> tuple[Rows, NDArray[np.bool_]]:
    """Drop rows that no cutoff may use; tell which customers have a row that some later cutoff may not use."""
    irregular = np.zeros(cut.customers, dtype=np.bool_)
    kept: Rows = {}
    last = cut.cutoffs[-1]
    for name, table in rows.items():
        time, since, until = (ints(table, column) for column in ("time", "usable_from", "usable_to"))
        if name == "presence":  # no window looks at its time: it counts from when it is known
            time = np.maximum(time, since - 1)
            table = with_column(table, "time", time)
        counts_from = _order_time(table, time) if name == "lines" else time
        some = time < last
        # all others, nearly all, were known when they happened and still are at the last cutoff
        odd = np.flatnonzero(some & ((since > counts_from) | (until <= last) | (counts_from < time)))
        first = np.maximum(cut.first_after(time[odd]), np.searchsorted(cut.cutoffs, since[odd], side="left"))
        behind = np.searchsorted(cut.cutoffs, until[odd], side="left")
        some[odd] = behind > first
        kept[name] = table if some.all() else table.filter(pa.array(some))
        whole = (first == cut.first_after(counts_from[odd])) & (behind == len(cut.cutoffs))
        irregular[ints(table, "entity")[odd][some[odd] & ~whole]] = True
    return kept, irregular


def _order_time(lines: pa.Table, time: Ints) -> Ints:
    """Return the earliest time of each line's order, over all lines and versions: from then on the line may count."""
    group = order_codes(ints(lines, "entity"), ints(lines, "order_id"))
    return np.where(equals(lines, "kind", "sale"), earliest_times(group, time)[group], time)


def _of(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    """Return the rows of the chosen customers, who are numbered anew."""
    number = np.cumsum(chosen) - 1
    of = {}
    for name, table in rows.items():
        own = table.filter(pa.array(chosen[ints(table, "entity")]))
        of[name] = with_column(own, "entity", number[ints(own, "entity")])
    return of


def _usable_at(table: pa.Table, cutoff: int) -> pa.Table:
    mask = (ints(table, "time") < cutoff) & (ints(table, "usable_from") <= cutoff)
    return table.filter(pa.array(mask & (cutoff < ints(table, "usable_to"))))


def _columns(
    rows: Rows, cut: Cut, features: Sequence[Feature], timezone: str
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Compute the features; ratios of features come last, from the columns they divide."""
    streams: dict[tuple[str, Where], Stream] = {
        (name, None): stream for name, stream in streams_of(rows, cut, timezone).items()
    }
    columns: dict[str, NDArray[np.float64]] = {}
    for feature in features:
        measure = feature.measure
        if measure.over is None:
            key = measure.stream, measure.where
            if key not in streams:
                streams[key] = _filtered(streams[measure.stream, None], rows[measure.stream], measure.where)
            columns[feature.name] = OPERATIONS[measure.operation](streams[key], feature)
    for feature in features:
        if feature.measure.over is not None:
            part, whole = (columns[name] for name in feature.operands)
            with np.errstate(divide="ignore", invalid="ignore"):
                columns[feature.name] = np.where(whole != 0, part / whole, np.nan)
    return _known(rows, cut), {feature.name: columns[feature.name] for feature in features}


def _known(rows: Rows, cut: Cut) -> NDArray[np.bool_]:
    first = np.full(cut.customers, FOREVER)
    for table in rows.values():
        np.minimum.at(first, ints(table, "entity"), ints(table, "time"))
    return first[:, None] < cut.cutoffs


def _filtered(stream: Stream, table: pa.Table, where: Where) -> Stream:
    if where is None:
        return stream
    column, values = where
    mask = pc.is_in(table[column], value_set=pa.array(values)).to_numpy()
    return stream.where(mask[stream.columns["origin"]])
