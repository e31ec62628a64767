"""Arrow columns as NumPy integers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.streams import FOREVER
from features.windows import MISSING

__all__ = ["codes", "equals", "ints", "ranks", "with_column"]

Ints = NDArray[np.int64]


def ints(table: pa.Table, name: str) -> Ints:
    """Return a column as int64; nulls become ``FOREVER`` (a time that never came)."""
    column = table[name]
    if column.null_count:
        column = pc.fill_null(column, FOREVER)
    return np.asarray(column.combine_chunks().to_numpy(zero_copy_only=False), dtype=np.int64)


def codes(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Return strings as dense codes in no particular order, ``MISSING`` for null, and what the codes stand for."""
    # as one piece: chunk by chunk, each would carry the dictionary so far
    encoded = pa.concat_arrays(
        [pa.array([], pa.string()), *column.cast(pa.string()).chunks]
    ).dictionary_encode()
    codes = encoded.indices if encoded.null_count == 0 else pc.fill_null(encoded.indices, MISSING)
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def ranks(column: pa.ChunkedArray) -> Ints:
    """Return strings as their ranks in the alphabet."""
    code, words = codes(column)
    rank = np.empty(len(words), dtype=np.int64)
    rank[pc.array_sort_indices(words).to_numpy()] = np.arange(len(words))
    return rank[code]


def equals(table: pa.Table, column: str, value: str) -> NDArray[np.bool_]:
    """Tell where a column of strings has the value."""
    return np.asarray(pc.fill_null(pc.equal(table[column], value), False).to_numpy(), dtype=np.bool_)


def with_column(table: pa.Table, name: str, values: Ints) -> pa.Table:
    """Return the table with a column replaced."""
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values))
