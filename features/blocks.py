"""Whose the rows are, in which order of customers they are computed, and which of them may be used at a cutoff."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrow import NO_WORDS, Table, codes
from features.raw import Raw
from features.sales import earliest_times, order_codes
from features.streams import Rows
from features.windows import Bools, Ints

__all__ = ["Block", "Part", "blocks_of", "encode", "of_some", "usable", "usable_at"]

Part = Mapping[str, Raw]
"""Stream name -> rows of some customers."""


@dataclass(frozen=True)
class Block:
    """Some customers, from number ``begin`` to ``end``, and their rows; these number them from 0."""

    begin: int
    end: int
    rows: Part


def encode(rows: Rows) -> tuple[pa.Array, Part]:
    """Number the customers in the order of their OneIDs."""
    tables = {name: Table(table) for name, table in rows.items()}
    found = {name: [codes(piece) for piece in table.pieces("entity")] for name, table in tables.items()}
    words = [words for pieces in found.values() for _, words in pieces]
    every = pc.unique(pa.concat_arrays([NO_WORDS, *words]))
    customers = every.take(pc.array_sort_indices(every))
    raw = {}
    for name, pieces in found.items():
        ranks = [
            pc.index_in(words, value_set=customers).to_numpy().astype(np.int64)[code]
            for code, words in pieces
        ]
        who = ranks[0] if len(ranks) == 1 else np.concatenate([np.zeros(0, np.int64), *ranks])
        raw[name] = Raw(name, tables[name], who)
    return customers, raw


def blocks_of(whole: Part, customers: int, rows: int, most: int) -> Iterator[Block]:
    """Cut the customers into blocks of about so many rows, and at most so many customers."""
    if sum(len(raw.table) for raw in whole.values()) <= rows and customers <= most:
        yield Block(0, customers, whole)
        return
    counts = sum(np.bincount(raw.who, minlength=customers) for raw in whole.values())
    # a customer weighs its rows, and at least what fills a block when there are too many of them
    weight = np.cumsum(counts / rows + 1.0 / most)
    ends = np.append(np.searchsorted(weight, np.arange(1, int(weight[-1]) + 1)), customers)
    ends = np.unique(ends)
    order = {name: np.argsort(raw.who) for name, raw in whole.items()}
    edges = {name: np.searchsorted(raw.who[order[name]], ends) for name, raw in whole.items()}
    begins = np.append(0, ends[:-1])
    for number, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        part = {}
        for name, raw in whole.items():
            low = edges[name][number - 1] if number else 0
            chosen = order[name][low : edges[name][number]]
            part[name] = Raw(name, raw.table, raw.who[chosen] - begin, chosen)
        yield Block(begin, end, part)


def usable(rows: Part, customers: int, cutoffs: Ints) -> tuple[Part, Bools]:
    """Drop rows that no cutoff may use; tell which customers have a row that some later cutoff may not use."""
    irregular = np.zeros(customers, dtype=np.bool_)
    if len(cutoffs) == 1:  # what may be used there is all there is
        return {name: of_some(raw, usable_at(raw, int(cutoffs[0]))) for name, raw in rows.items()}, irregular
    kept: dict[str, Raw] = {}
    last = cutoffs[-1]
    for name, raw in rows.items():
        time, since, until = (raw.ints(column) for column in ("time", "usable_from", "usable_to"))
        if name == "presence":  # no window looks at its time: it counts from when it is known
            time = np.maximum(time, since - 1)
        counts_from = _order_time(raw, time) if name == "lines" else time
        some = time < last
        # all others, nearly all, were known when they happened and still are at the last cutoff
        odd = np.flatnonzero(some & ((since > counts_from) | (until <= last) | (counts_from < time)))
        first = np.maximum(
            np.searchsorted(cutoffs, time[odd], side="right"), np.searchsorted(cutoffs, since[odd])
        )
        behind = np.searchsorted(cutoffs, until[odd])
        some[odd] = behind > first
        kept[name] = of_some(raw, some)
        whole = (first == np.searchsorted(cutoffs, counts_from[odd], side="right")) & (behind == len(cutoffs))
        irregular[raw.who[odd][some[odd] & ~whole]] = True
    return kept, irregular


def _order_time(lines: Raw, time: Ints) -> Ints:
    """Return the earliest time of each line's order, over all lines and versions: from then on the line may count."""
    group = order_codes(lines.who, lines.codes("order_id")[0])
    return np.where(lines.has("kind", "sale"), earliest_times(group, time)[group], time)


def of_some(raw: Raw, chosen: Bools, number: Ints | None = None) -> Raw:
    """Return the chosen rows, of customers numbered anew."""
    if number is None and chosen.all():
        return raw
    which = np.flatnonzero(chosen)
    return raw.only(which, None if number is None else number[raw.who[which]])


def usable_at(raw: Raw, cutoff: int) -> Bools:
    """Tell which rows were what the business knew at a cutoff, and had happened before it."""
    known: Bools = (raw.ints("usable_from") <= cutoff) & (cutoff < raw.ints("usable_to"))
    return (raw.ints("time") < cutoff) & known
