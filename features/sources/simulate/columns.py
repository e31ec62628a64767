"""NumPy arrays in, Arrow columns of the canonical types out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "Ints", "Names", "decimals", "numbered", "take"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def numbered(prefix: str, number: Ints, width: int, known: Bools | None = None) -> pa.Array:
    """``prefix`` and the number, zero-padded to ``width``; null where not ``known``."""
    digits = pc.utf8_lpad(
        pa.array(number, mask=None if known is None else ~known).cast(pa.string()), width, "0"
    )
    return pc.binary_join_element_wise(prefix, digits, "")


def take(values: Sequence[object] | pa.Array, index: Ints, known: Bools | None = None) -> pa.Array:
    """``values[index]``; null where not ``known``."""
    return pa.array(values).take(pa.array(index, mask=None if known is None else ~known))


def decimals(units: Ints, scale: int) -> pa.Array:
    """Whole units of ``10 ** -scale`` as DECIMAL(18, scale), without a detour over float."""
    words = np.stack([units, units >> 63], axis=1)  # a decimal is one 128-bit integer: low word, sign
    return pa.Array.from_buffers(pa.decimal128(18, scale), units.size, [None, pa.py_buffer(words)])


@dataclass(frozen=True)
class Names:
    """Ids of one block of the world: unlike those of any other, whatever comes after."""

    block: int
    first: int  # number of the block's first customer

    def numbered(self, prefix: str, n: int) -> pa.Array:
        """``n`` ids of the block's own."""
        return numbered(f"{prefix}{self.block:04}", np.arange(n), 6)

    def customers(self, customer: Ints, known: Bools | None = None) -> pa.Array:
        """Ids of customers of the block; null where not ``known``."""
        return numbered("c", self.first + customer, 6, known)
