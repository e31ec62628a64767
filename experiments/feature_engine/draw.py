"""Whole columns drawn at random: who, when, which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Draw", "Ints", "ids", "pick", "times"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """What the tables of one delivery are drawn from.

    Attributes
    ----------
    weight
        Cumulative share of the facts, ends at 1: few buy much and many buy little.
    first, last
        Span of each customer's life, microseconds since 1970.
    edges
        Where windows begin and end, microseconds.
    offset
        Where this delivery's numbers begin.
    """

    rng: np.random.Generator
    weight: Floats
    first: Ints
    last: Ints
    edges: Ints
    offset: int

    def who_and_when(self, size: int) -> tuple[Ints, Ints]:
        """Draw customers and times; one time in fifty lies on the edge of a window, or a microsecond beside it."""
        rng = self.rng
        who = np.searchsorted(self.weight, rng.random(size), side="right").astype(np.int64)
        time = self.first[who] + (rng.random(size) * (self.last - self.first)[who]).astype(np.int64)
        edge = self.edges[rng.integers(0, len(self.edges), size)] + rng.integers(-1, 2, size)
        return who, np.where(rng.random(size) < 0.02, edge, time)

    def ids(self, letter: str, numbers: Ints) -> pa.Array:
        """Return names of numbers of this delivery."""
        return ids(letter, numbers + self.offset)

    def choice(self, values: Sequence[str], size: int, shares: Sequence[float] | None = None) -> pa.Array:
        """Draw one of the values for each row."""
        return pick(values, self.rng.choice(len(values), size, p=shares))

    def some(self, share: float, values: pa.Array) -> pa.Array:
        """Keep a share of the values, the others become null."""
        return pc.if_else(
            pa.array(self.rng.random(len(values)) < share), values, pa.scalar(None, values.type)
        )

    def later(self, time: Ints, most: int, share: float) -> pa.Array:
        """Return times up to ``most`` microseconds later, of a share of the rows."""
        return self.some(share, times(time + self.rng.integers(1, most, len(time))))


def times(time: Ints, known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return times, null where they are not known."""
    return pa.array(time, pa.timestamp("us"), mask=None if known is None else ~known)


def ids(letter: str, numbers: Ints) -> pa.Array:
    """Return names of numbers."""
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), 9, "0")
    return pc.binary_join_element_wise(letter, digits, "")


def pick(values: Sequence[str], index: Ints) -> pa.Array:
    """Return the value of each index."""
    return pa.array(values, pa.string()).take(pa.array(index))
