"""The 26 columns that everybody computes, and the wider sets that show what a column costs."""

from collections.abc import Mapping

import numpy as np

from features.catalogue import names

__all__ = ["COLUMNS", "EXACT", "FAMILIES", "WIDTHS", "WINDOWS"]

WINDOWS: Mapping[str, int | None] = {"30d": 30, "90d": 90, "365d": 365, "all": None}
"""Name -> days, None for the whole history."""
FAMILIES = ("orders", "spend", "units", "active_days")
OTHERS = (
    "refunds_365d",
    "max_order_value_365d",
    "max_order_value_all",
    "days_since_last_order",
    "days_since_first_order",
    "gap_mean_days",
    "distinct_products_365d",
    "views_30d",
    "carts_30d",
    "days_since_last_event",
)
COLUMNS = (*(f"{family}_{window}" for family in FAMILIES for window in WINDOWS), *OTHERS)
"""The 26 columns, of the customers with an order in the 365 days before the cutoff."""
EXACT = tuple(name for name in COLUMNS if not name.startswith(("days_since", "gap_")))
"""Counts, amounts and quantities: there are smallest parts, so they must agree to the last bit."""


def _wider(width: int) -> tuple[str, ...]:
    """The 26 and others, taken evenly from the catalogue."""
    others = [name for name in names() if name not in COLUMNS]
    chosen = np.linspace(0, len(others) - 1, width - len(COLUMNS)).round().astype(int)
    return (*COLUMNS, *(others[index] for index in chosen))


WIDTHS: Mapping[int, tuple[str, ...]] = {
    len(COLUMNS): COLUMNS,
    75: _wider(75),
    len(names()): names(),
}
"""How many -> the columns: the 26, 75 with others taken evenly from the catalogue, the whole catalogue."""
