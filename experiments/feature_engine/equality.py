"""Two results hold the same rows: counts and amounts to the last bit, real numbers to 1e-9."""

import duckdb
import numpy as np
import pandas as pd
from queries import COLUMNS

from features.catalogue import select

__all__ = ["Unequal", "compare"]

EXACT = ("count", "currency", "units")
"""Units of which there are smallest parts; a column in any other is a real number."""
TOLERANCE = 1e-9
KEYS = ["customer_id", "cutoff"]


class Unequal(Exception):
    """Two contenders disagree: no time of theirs means anything."""


def compare(ours: str, theirs: str) -> int:
    """Hold two Parquet files of ``KEYS`` and the 26 columns against each other; return how many rows they have.

    Raises
    ------
    Unequal
        Names the first column that differs, with both values.
    """
    left, right = _read(ours), _read(theirs)
    if not left[KEYS].equals(right[KEYS]):
        raise Unequal(f"{len(left):,} rows against {len(right):,}, or other customers or cutoffs")
    for feature in select(COLUMNS):
        a, b = left[feature.name], right[feature.name]
        tolerance = 0.0 if feature.measure.unit in EXACT else TOLERANCE
        differs = ~np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        if differs.any():
            first = int(np.flatnonzero(differs)[0])
            who = ", ".join(str(left[key][first]) for key in KEYS)
            raise Unequal(
                f"{feature.name} of {who}: {a[first]} against {b[first]}; {differs.sum():,} of {len(left):,}"
            )
    return len(left)


def _read(path: str) -> pd.DataFrame:
    columns = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in COLUMNS)
    with duckdb.connect() as connection:
        frame: pd.DataFrame = connection.sql(
            f"SELECT customer_id, CAST(cutoff AS TIMESTAMP) AS cutoff, {columns} FROM read_parquet('{path}') "
            "ORDER BY cutoff, customer_id"
        ).df()
    return frame
