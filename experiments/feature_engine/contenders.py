"""Who computes the columns from the warehouse, and how much time and memory each takes."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from queries import COLUMNS, group_by_per_cutoff, group_by_with_next, range_join, read_and_sort

from features import Warehouse, build, instant
from features.catalogue import select, with_operands
from features.kernel import compute
from features.streams import read

__all__ = ["CONTENDERS", "PEERS", "Measured", "measure"]

Cutoffs = Sequence[str]
Rows: TypeAlias = pa.Table | pd.DataFrame | None
"""Customer, cutoff and the columns; None of those who make no rows."""
Run = tuple[float, float, Rows]
"""Seconds by the clock and of processor time, and the rows."""


@dataclass(frozen=True)
class Measured:
    """One run in a process of its own; memory is the process's peak, before the run and in all."""

    seconds: float
    cpu_seconds: float
    peak_before_mb: float
    peak_mb: float


def measure(contender: str, path: str, cutoffs: Cutoffs, warm_up: str, out: str) -> Measured:
    """Run a contender on a small warehouse, then against the clock on the one at ``path``; write its rows to ``out``."""
    run = CONTENDERS[contender]
    run(Warehouse(warm_up), cutoffs[-1:])
    before = _peak_mb()
    seconds, cpu_seconds, rows = run(Warehouse(path), cutoffs)
    peak = _peak_mb()
    if rows is not None:
        pq.write_table(pa.Table.from_pandas(rows) if isinstance(rows, pd.DataFrame) else rows, Path(out))
    return Measured(seconds, cpu_seconds, before, peak)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _timed(work: Callable[[], Rows]) -> Run:
    started, started_cpu = time.perf_counter(), time.process_time()
    rows = work()
    return time.perf_counter() - started, time.process_time() - started_cpu, rows


def _patron(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
    return _timed(lambda: build(warehouse, cutoffs, columns=COLUMNS))


def _catalogue(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
    return _timed(lambda: build(warehouse, cutoffs))


def _kernel(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
    at = np.array([instant(cutoff).value // 1_000 for cutoff in cutoffs], dtype=np.int64)
    with warehouse.connect() as connection:
        rows = read(connection, at)

    def work() -> None:
        compute(rows, at, with_operands(select(COLUMNS)))

    return _timed(work)


def _in_sql(query: Callable[..., pa.Table | None]) -> Callable[[Warehouse, Cutoffs], Run]:
    def run(warehouse: Warehouse, cutoffs: Cutoffs) -> Run:
        def work() -> Rows:
            with warehouse.connect() as connection:
                return query(connection, cutoffs)

        return _timed(work)

    return run


CONTENDERS: dict[str, Callable[[Warehouse, Cutoffs], Run]] = {
    "patron": _patron,
    "group_by_per_cutoff": _in_sql(group_by_per_cutoff),
    "range_join": _in_sql(range_join),
    "group_by_with_next": _in_sql(group_by_with_next),
    "kernel": _kernel,
    "read_and_sort": _in_sql(read_and_sort),
    "catalogue": _catalogue,
}

PEERS = ("group_by_per_cutoff", "range_join", "group_by_with_next")
"""Whose rows must be Patron's."""
