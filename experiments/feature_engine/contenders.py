"""Who computes the columns from the warehouse, and how much time and memory each takes."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import prefix
import pyarrow as pa
import pyarrow.parquet as pq
import queries
import sources
import with_pandas
import with_polars
from columns import COLUMNS, WIDTHS

from features import Warehouse, build, instant
from features.catalogue import select
from features.kernel import compute
from features.plan import Plan
from features.streams import read

__all__ = ["CONTENDERS", "DUCKDB_FORMS", "FEATURETOOLS", "PEERS", "Contender", "Measured", "Task", "measure"]

Cutoffs: TypeAlias = Sequence[str]
Rows: TypeAlias = pa.Table | pd.DataFrame | None
"""Customer, cutoff and the columns; None of those whose rows nobody compares."""
Work: TypeAlias = Callable[[], Rows]

FEATURETOOLS = "featuretools"
SCRIPT = Path(__file__).with_name("with_featuretools.py")


@dataclass(frozen=True)
class Contender:
    """One way to compute columns.

    Attributes
    ----------
    short
        What it is called in plots and narrow tables.
    prepare
        What is done before the clock starts; returns what is timed.
    """

    title: str
    short: str
    prepare: Callable[[Warehouse, Cutoffs], Work]


@dataclass(frozen=True)
class Measured:
    """One run in a process of its own; memory is the process's peak, before the run and in all."""

    seconds: float
    cpu_seconds: float
    peak_before_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes
    ----------
    path, warm_up
        Warehouses: the one measured, and a small one that it runs on before.
    out
        Where its rows are written as Parquet, if they are kept.
    python
        Of the environment of a contender that needs one of its own.
    """

    contender: str
    path: str
    cutoffs: Cutoffs
    warm_up: str
    out: str
    keep: bool = True
    python: str | None = None


def measure(task: Task) -> Measured:
    """Run a contender on the small warehouse, then against the clock on the other one; write its rows."""
    return _MEASURES.get(task.contender, _measure_here)(task)


def _measure_here(task: Task) -> Measured:
    prepare = CONTENDERS[task.contender].prepare
    prepare(Warehouse(task.warm_up), task.cutoffs[-1:])()
    work = prepare(Warehouse(task.path), task.cutoffs)
    before = _peak_mb()
    started, started_cpu = time.perf_counter(), time.process_time()
    rows = work()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    peak = _peak_mb()
    if task.keep and rows is not None:
        pq.write_table(pa.Table.from_pandas(rows) if isinstance(rows, pd.DataFrame) else rows, Path(task.out))
    return Measured(seconds, cpu_seconds, before, peak)


def _measure_featuretools(task: Task) -> Measured:
    """Hand it the rows it needs as Parquet, which costs it nothing."""
    out = Path(task.out)
    folders = {name: out.with_name(f"{out.stem}_{name}") for name in ("warm_up", "folder")}
    for folder, path in zip(folders.values(), (task.warm_up, task.path), strict=True):
        folder.mkdir(exist_ok=True)
        with Warehouse(path).connect() as connection:
            for name, query in (("lines", sources.LINES), ("events", sources.EVENTS)):
                pq.write_table(sources.read(connection, query, task.cutoffs), folder / f"{name}.parquet")
    asked = {name: str(folder) for name, folder in folders.items()} | {
        "cutoffs": task.cutoffs,
        "out": task.out,
    }
    named = out.with_suffix(".json")
    named.write_text(json.dumps(asked), encoding="utf-8")
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(task.python), str(SCRIPT), str(named)], check=True, stdout=subprocess.PIPE, text=True, env=alone
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Measured(**found)


_MEASURES: Mapping[str, Callable[[Task], Measured]] = {FEATURETOOLS: _measure_featuretools}


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _patron(warehouse: Warehouse, cutoffs: Cutoffs) -> Work:
    return lambda: build(warehouse, cutoffs, columns=COLUMNS)


def _wider(width: int) -> Callable[[Warehouse, Cutoffs], Work]:
    def prepare(warehouse: Warehouse, cutoffs: Cutoffs) -> Work:
        def work() -> None:
            build(warehouse, cutoffs, columns=WIDTHS[width])

        return work

    return prepare


def _kernel(warehouse: Warehouse, cutoffs: Cutoffs) -> Work:
    at = np.array([instant(cutoff).value // 1_000 for cutoff in cutoffs], dtype=np.int64)
    plan = Plan.of(select(COLUMNS))
    timezone = warehouse.settings().timezone
    with warehouse.connect() as connection:
        rows = read(connection, at, columns=plan.columns)

    def work() -> None:
        compute(rows, at, plan, timezone=timezone, threads=os.cpu_count() or 1)

    return work


def _connected(query: Callable[..., Rows]) -> Callable[[Warehouse, Cutoffs], Work]:
    def prepare(warehouse: Warehouse, cutoffs: Cutoffs) -> Work:
        def work() -> Rows:
            with warehouse.connect() as connection:
                return query(connection, cutoffs)

        return work

    return prepare


def _elsewhere(warehouse: Warehouse, cutoffs: Cutoffs) -> Work:
    raise NotImplementedError(
        f"{FEATURETOOLS} runs in a Python of its own, not on {warehouse.path}, {cutoffs}"
    )


MIDDLE, ALL = sorted(WIDTHS)[1:]
CONTENDERS: Mapping[str, Contender] = {
    "patron": Contender("Patron, end to end", "Patron", _patron),
    "group_by_per_cutoff": Contender(
        "DuckDB, a GROUP BY for each cutoff", "DuckDB GROUP BY", _connected(queries.group_by_per_cutoff)
    ),
    "range_join": Contender(
        "DuckDB, range join with FILTER", "DuckDB range join", _connected(queries.range_join)
    ),
    "group_by_with_next": Contender(
        "DuckDB, a GROUP BY for each cutoff, distinct by next",
        "DuckDB by next",
        _connected(queries.group_by_with_next),
    ),
    "asof": Contender("DuckDB, running sums and ASOF joins", "DuckDB ASOF", _connected(prefix.asof)),
    "polars": Contender("Polars, a group_by for each cutoff", "Polars", _connected(with_polars.group_by)),
    "pandas": Contender("pandas, a groupby for each cutoff", "pandas", _connected(with_pandas.group_by)),
    FEATURETOOLS: Contender("Featuretools with cutoff times", "Featuretools", _elsewhere),
    "kernel": Contender("Patron's kernel alone, rows read before", "Patron's kernel", _kernel),
    "read_and_sort": Contender(
        "limit: read and sort in DuckDB", "limit: read and sort", _connected(sources.read_and_sort)
    ),
    "patron_75": Contender(f"Patron, end to end, {MIDDLE} columns", f"Patron, {MIDDLE}", _wider(MIDDLE)),
    "catalogue": Contender(f"Patron, end to end, whole catalogue ({ALL})", f"Patron, {ALL}", _wider(ALL)),
    "read_and_sort_catalogue": Contender(
        "limit: read and sort what the catalogue looks at",
        "limit: catalogue",
        _connected(sources.read_and_sort_catalogue),
    ),
}

DUCKDB_FORMS = ("group_by_per_cutoff", "range_join", "group_by_with_next", "asof")
PEERS = (*DUCKDB_FORMS, "polars", "pandas", FEATURETOOLS)
"""Whose rows must be Patron's."""
