"""Which categories and products are bought again and again, and how often."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.replenishment.purchases import ITEM_COLUMNS, Gaps, Purchases

__all__ = [
    "DENSE_GAPS",
    "REPEAT_DAYS",
    "REPEAT_GAPS",
    "REPEAT_SHARE",
    "Item",
    "items_of",
    "keys_of",
    "repeat_shares",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPEAT_SHARE, REPEAT_GAPS, REPEAT_DAYS = 0.25, 30, 365
"""Where nobody declares whether it is replenishable, an item repeats if at least this share of its purchases is followed
by another of the same customer within so many days, and so many gaps were seen."""

DENSE_GAPS = 200
"""Gaps with which a product is an item of its own, beside its category."""


@dataclass(frozen=True)
class Item:
    """A category or a product.

    Attributes
    ----------
    gaps
        Seen from purchase to purchase; ``median_days`` of them (null: none).
    repeat_share
        Of its purchases, that were followed by another within a year.
    repeats
        Whether it is dated.
    """

    level: str
    category_1: str | None
    category_2: str | None
    product_id: str | None
    gaps: int
    median_days: float | None
    repeat_share: float
    repeats: bool

    @property
    def key(self) -> tuple[str | None, str | None, str | None]:
        """What names it within its level."""
        return (self.category_1, self.category_2, self.product_id)


def items_of(purchases: Purchases, seen: Gaps) -> tuple[Item, ...]:
    """Return the items of the purchases, in their order, with what the gaps say of each."""
    count = len(purchases.items)
    closed = np.bincount(purchases.item, seen.closed, count).astype(np.int64)
    shares = repeat_shares(purchases.item, seen, count)
    median = (
        pd.Series(seen.days[seen.closed]).groupby(purchases.item[seen.closed]).median().reindex(range(count))
    )
    declared = purchases.items["replenishable"].to_numpy(dtype=np.float64)
    told, evident = ~np.isnan(declared), (shares >= REPEAT_SHARE) & (closed >= REPEAT_GAPS)
    repeats = np.where(told, declared >= 0.5, evident)
    level = purchases.items["level"].to_numpy()
    if count and level[0] == "product":
        repeats &= closed >= DENSE_GAPS
    return tuple(
        Item(str(level[i]), *key, int(closed[i]), None if np.isnan(median[i]) else float(median[i]),
             float(shares[i]), bool(repeats[i]))
        for i, key in enumerate(keys_of(purchases.items))
    )  # fmt: skip


def keys_of(items: pd.DataFrame) -> list[tuple[str | None, str | None, str | None]]:
    """Return what names each item within its level: ``category_1, category_2, product_id``; None for null."""
    columns = [items[name].astype(object) for name in ITEM_COLUMNS[1:]]
    one, two, product = (column.where(column.notna(), None).tolist() for column in columns)
    return list(zip(one, two, product, strict=True))


def repeat_shares(item: Ints, seen: Gaps, items: int) -> Floats:
    """Return the share of each item's purchases that is followed by another within ``REPEAT_DAYS``, length ``items``.

    Parameters
    ----------
    item
        Of each gap.

    Notes
    -----
    ``1 - prod (1 - 1 / at risk)`` over the closed gaps up to the day, those still open being at risk while they last (Kaplan
    and Meier 1958, JASA 53, 457-481).
    """
    order = np.lexsort((~seen.closed, seen.days, item))
    of, days, closed = item[order], seen.days[order], seen.closed[order]
    size = np.bincount(of, minlength=items)
    at_risk = (np.cumsum(size)[of] - np.arange(of.size)).astype(np.float64)
    counts = closed & (days <= REPEAT_DAYS)
    with np.errstate(divide="ignore"):
        step = np.where(counts, np.log1p(-1.0 / at_risk), 0.0)
    return np.asarray(-np.expm1(np.bincount(of, step, items)))
