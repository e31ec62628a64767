"""Arrow columns as NumPy integers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.streams import FOREVER

__all__ = ["MISSING", "NO_WORDS", "codes", "ints", "whole"]

Ints = NDArray[np.int64]

MISSING = -1
"""Code of a word that is not there (a line without category)."""


NO_WORDS = pa.array([], pa.string())

_INT64, _STRING = pa.int64(), pa.string()


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one piece."""
    if isinstance(column, pa.Array):
        return column
    # as one piece: chunk by chunk, each would carry the dictionary so far
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([pa.array([], column.type), *column.chunks])


def ints(table: pa.Table | pa.RecordBatch, name: str, which: Ints | None = None) -> Ints:
    """Return a column, or its values at some positions, as int64; nulls become ``FOREVER`` (a time that never came)."""
    column = whole(table.column(name))
    if column.null_count == len(column):
        return np.full(len(column) if which is None else len(which), FOREVER)
    if column.null_count:
        column = pc.fill_null(column if column.type == _INT64 else column.cast(_INT64), FOREVER)
    values = column.to_numpy(zero_copy_only=False)
    return (values if which is None else values[which]).astype(np.int64, copy=False)


def codes(column: pa.Array | pa.ChunkedArray, *, ranked: bool = False) -> tuple[Ints, pa.Array]:
    """Return strings as dense codes, ``MISSING`` for null, and what the codes stand for.

    Parameters
    ----------
    ranked
        In the order of the alphabet; otherwise in no particular order.
    """
    column = whole(column)
    if column.null_count == len(column):
        return np.full(len(column), MISSING), NO_WORDS
    encoded = (column if column.type == _STRING else column.cast(_STRING)).dictionary_encode()
    indices = encoded.indices if encoded.null_count == 0 else pc.fill_null(encoded.indices, MISSING)
    found, words = indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary
    if ranked and len(words) > 1:
        order = pc.array_sort_indices(words)
        rank = np.empty(len(words) + 1, dtype=np.int64)
        rank[order.to_numpy()] = np.arange(len(words))
        rank[MISSING] = MISSING
        found, words = rank[found], words.take(order)
    return found, words
