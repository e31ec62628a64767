"""Rows of a table as NumPy columns, each made when it is first asked for."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.arrow import NO_WORDS, Table, codes, ranks
from features.streams import CHOICES
from features.windows import Coded, Ints

__all__ = ["Raw"]


@dataclass(frozen=True)
class Raw:
    """Some rows of a table, and whose they are.

    Attributes
    ----------
    name
        The stream they were read as.
    who
        Number of the customer of each row.
    block
        Positions in the table of the rows that columns are made of; None: all.
    chosen
        Which of those the rows are; None: all.
    """

    name: str
    table: Table
    who: Ints
    block: Ints | None = None
    chosen: Ints | None = None
    _made: dict[str, Coded] = field(default_factory=dict, repr=False, compare=False)

    def only(self, which: Ints, who: Ints | None = None) -> "Raw":
        """Return the rows at these positions, perhaps numbered otherwise."""
        chosen = which if self.chosen is None else self.chosen[which]
        return Raw(
            self.name, self.table, self.who[which] if who is None else who, self.block, chosen, self._made
        )

    def ints(self, column: str) -> Ints:
        """Return a column of whole numbers; null is ``FOREVER``."""
        if column not in self._made:
            self._made[column] = self.table.ints(column, self.block), NO_WORDS
        return self._of(self._made[column][0])

    def codes(self, column: str) -> Coded:
        """Return a column of words as codes, and what they stand for."""
        choices = CHOICES.get(self.name, {}).get(column)
        if choices is not None:
            return self.ints(column), choices
        if column not in self._made:
            self._made[column] = codes(self.table.words(column, self.block))
        found, words = self._made[column]
        return self._of(found), words

    def ranks(self, column: str, which: Ints) -> Ints:
        """Return the places in the alphabet of the words at these positions among each other."""
        if self.chosen is not None:
            which = self.chosen[which]
        return ranks(self.table.words(column, which if self.block is None else self.block[which]))

    def has(self, column: str, word: str) -> NDArray[np.bool_]:
        """Tell which rows have a word of a fixed choice."""
        here: NDArray[np.bool_] = self.ints(column) == CHOICES[self.name][column].index(word)
        return here

    def _of(self, values: Ints) -> Ints:
        return values if self.chosen is None else values[self.chosen]
