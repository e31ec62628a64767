"""Distinct items: those begun before the cutoff, less those that ended.

An item ends with the window or with the customer's next row of the same item, whichever comes first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.arrow import MISSING
from features.vocabulary import Feature
from features.windows import Ints, Stream, pieces

__all__ = ["count"]


def count(stream: Stream, features: Sequence[Feature]) -> NDArray[np.float64]:
    """Return the number of distinct items in each window, features x cutoffs x customers."""
    asked = list(dict.fromkeys((one.measure.of, one.measure.where) for one in features))
    row, begins, next_begins = _spans(stream, np.array([_codes(stream, *one) for one in asked]))
    owner, begun = stream.customer[row], _cumulated(stream, stream.customer[row], begins)
    column = np.array([asked.index((one.measure.of, one.measure.where)) for one in features])
    leaves = stream.grid.first_cutoff[stream.grid.windows([one.window_days for one in features])]
    out = np.empty((len(features), *stream.shape))
    for part in pieces(len(features), row.shape[1]):
        which = column[part]
        left = np.take_along_axis(leaves[part], stream.rank[row[which]], axis=1)
        ended = np.maximum(np.minimum(next_begins[which], left), begins[which])
        out[part] = begun[which] - _cumulated(stream, owner[which], ended)
    return out


def _codes(stream: Stream, column: str, where: tuple[tuple[str, tuple[str, ...]], ...]) -> Ints:
    codes, mask = stream.codes(column)[0], stream.mask(where)
    return codes if mask is None else np.where(mask, codes, MISSING)


def _spans(stream: Stream, codes: Ints) -> tuple[Ints, Ints, Ints]:
    """Return of each item its row, the first cutoff after it, and the first after the customer's next row of the same.

    Parameters
    ----------
    codes
        Columns x items; an item that is missing never begins.
    """
    size, never = len(stream.time), len(stream.grid.cutoffs)
    bits = size.bit_length()
    packed = (codes << bits) | (np.arange(size) if stream.items is None else stream.items)
    packed.sort(axis=1)
    item, row = packed >> bits, packed & ((1 << bits) - 1)
    begins = np.where(item != MISSING, stream.grid.first_cutoff[stream.grid.rows[0]][stream.rank[row]], never)
    owner = stream.customer[row]
    same = (item[:, 1:] == item[:, :-1]) & (owner[:, 1:] == owner[:, :-1])
    next_begins = np.full_like(begins, never)
    next_begins[:, :-1] = np.where(same, begins[:, 1:], never)
    return row, begins, next_begins


def _cumulated(stream: Stream, owner: Ints, cutoff: Ints) -> Ints:
    """Return how many items of each customer lie before each cutoff, columns x cutoffs x customers."""
    many, width = len(owner), len(stream.grid.cutoffs) + 1
    cells = (np.arange(many)[:, None] * width + cutoff) * stream.customers + owner
    counts = np.bincount(cells.ravel(), minlength=many * width * stream.customers)
    found: Ints = np.cumsum(counts.reshape(many, width, stream.customers)[:, :-1], axis=1)
    return found
