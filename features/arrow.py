"""Arrow columns as NumPy integers."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.streams import FOREVER
from features.windows import MISSING, Ints, places

__all__ = ["NO_WORDS", "Table", "codes", "ranks"]

NO_WORDS = pa.array([], pa.string())

_INT64, _STRING = pa.int64(), pa.string()


@dataclass(frozen=True)
class Table:
    """A table in pieces, as many threads hand it over: its columns are put together only where they are looked at."""

    arrow: pa.Table | pa.RecordBatch
    _numbers: dict[str, NDArray[np.integer]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def pieces(self, name: str) -> list[pa.Array]:
        """Return a column in pieces."""
        column = self.arrow.column(name)
        return [column] if isinstance(column, pa.Array) else column.chunks

    def ints(self, name: str, which: Ints | None = None) -> Ints:
        """Return a column, or its values at some positions, as int64; nulls become ``FOREVER`` (a time that never came)."""
        if name not in self._numbers:
            pieces = [_plain(piece) for piece in self.pieces(name)]
            self._numbers[name] = (
                pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, np.int8), *pieces])
            )
        values = self._numbers[name]
        return (values if which is None else values[which]).astype(np.int64, copy=False)

    def words(self, name: str, which: Ints | None = None) -> pa.Array:
        """Return a column of strings, or its values at some positions."""
        pieces = [piece if piece.type == _STRING else piece.cast(_STRING) for piece in self.pieces(name)]
        if which is None or len(pieces) < 2:
            whole = pieces[0] if len(pieces) == 1 else pa.concat_arrays([NO_WORDS, *pieces])
            return whole if which is None else whole.take(pa.array(which))
        begins = np.cumsum([0, *(len(piece) for piece in pieces)])
        number = np.searchsorted(begins, which, side="right") - 1
        order = np.argsort(number, kind="stable")
        cuts = np.searchsorted(number[order], np.arange(len(pieces) + 1))
        taken = [
            piece.take(pa.array(which[order[low:high]] - begin))
            for piece, begin, low, high in zip(pieces, begins[:-1], cuts[:-1], cuts[1:], strict=True)
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(taken).take(pa.array(back))


def _plain(piece: pa.Array) -> NDArray[np.integer]:
    if piece.null_count == len(piece):
        return np.full(len(piece), FOREVER)
    if piece.null_count:
        piece = pc.fill_null(piece if piece.type == _INT64 else piece.cast(_INT64), FOREVER)
    values: NDArray[np.integer] = piece.to_numpy(zero_copy_only=False)
    return values


def codes(column: pa.Array) -> tuple[Ints, pa.Array]:
    """Return strings as dense codes, ``MISSING`` for null, and what the codes stand for, in no particular order."""
    if column.null_count == len(column):
        return np.full(len(column), MISSING), NO_WORDS
    encoded = (column if column.type == _STRING else column.cast(_STRING)).dictionary_encode()
    indices = encoded.indices if encoded.null_count == 0 else pc.fill_null(encoded.indices, MISSING)
    return indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def ranks(column: pa.Array) -> Ints:
    """Return strings as their places in the alphabet."""
    found, words = codes(column)
    return places(pc.array_sort_indices(words))[found]
