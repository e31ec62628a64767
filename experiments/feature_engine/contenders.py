"""Who computes the columns from the warehouse, and how much time and memory each takes."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sql import COLUMNS, group_by_per_cutoff, range_join, read_and_sort

from features import Warehouse, build, instant
from features.catalogue import select, with_operands
from features.kernel import compute
from features.streams import read

__all__ = ["CONTENDERS", "Measured", "measure"]

Cutoffs = Sequence[str]
Run = tuple[float, pa.Table | pd.DataFrame | None]
"""Seconds, and the rows (customer_id, cutoff, columns) of those who make them."""


@dataclass(frozen=True)
class Measured:
    """One run in a process of its own."""

    seconds: float
    peak_mb: float


def measure(contender: str, path: str, cutoffs: Cutoffs, *, warm_up: str, out: str | None) -> Measured:
    """Run a contender on a small warehouse, then against the clock on the one at ``path``; write its rows to ``out``."""
    run = CONTENDERS[contender]
    run(Warehouse(warm_up), cutoffs[-1:])
    seconds, rows = run(Warehouse(path), cutoffs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if out is not None and rows is not None:
        pq.write_table(pa.Table.from_pandas(rows) if isinstance(rows, pd.DataFrame) else rows, Path(out))
    return Measured(seconds, peak / (2**20 if sys.platform == "darwin" else 2**10))


def _patron(warehouse: Warehouse, cutoffs: Cutoffs, columns: Sequence[str] | None = COLUMNS) -> Run:
    started = time.perf_counter()
    frame = build(warehouse, cutoffs, columns=columns)
    return time.perf_counter() - started, frame


def _catalogue(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
    return _patron(warehouse, cutoffs, None)


def _kernel(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
    at = np.array([instant(cutoff).value // 1_000 for cutoff in cutoffs], dtype=np.int64)
    with warehouse.connect() as connection:
        rows = read(connection, at)
    started = time.perf_counter()
    compute(rows, at, with_operands(select(COLUMNS)))
    return time.perf_counter() - started, None


def _in_sql(query: Callable[..., pa.Table | None]) -> Callable[[Warehouse, Cutoffs], Run]:
    def run(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
        started = time.perf_counter()
        with warehouse.connect() as connection:
            rows = query(connection, cutoffs)
        return time.perf_counter() - started, rows

    return run


CONTENDERS: dict[str, Callable[[Warehouse, Cutoffs], Run]] = {
    "patron": _patron,
    "group_by_per_cutoff": _in_sql(group_by_per_cutoff),
    "range_join": _in_sql(range_join),
    "kernel": _kernel,
    "read_and_sort": _in_sql(read_and_sort),
    "catalogue": _catalogue,
}
