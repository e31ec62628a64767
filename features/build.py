"""Warehouse partitions -> kernel -> frame, or file."""

import ctypes
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import FEATURES, digest, select
from features.context import BASE_SEASONS
from features.cutoffs import Moment, microseconds
from features.errors import InputError
from features.kernel import Computed, compute_blocks
from features.plan import Plan
from features.seasons import base_seasons
from features.sql import usable
from features.streams import partitions, read
from features.vocabulary import Feature
from features.warehouse import Warehouse

__all__ = ["POPULATIONS", "build", "build_file", "order_span"]

POPULATIONS = ("active-365d", "all")

Progress = Callable[[int, int], None]


def build(
    warehouse: Warehouse,
    cutoffs: Sequence[Moment] | Moment,
    *,
    population: str = "active-365d",
    columns: Sequence[str] | None = None,
    own: Sequence[Feature] = (),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Build the features of a population as they were known at each cutoff, on all cores.

    Parameters
    ----------
    cutoffs
        Each an instant; a date means 00:00 UTC. Events exactly at a cutoff are the future.
    population
        ``active-365d``: an order in the 365 days before the cutoff; ``all``: every customer with any usable row.
    columns
        Names of the features and facts wanted, in this order; all features by default.
    own
        Features beside the catalogue's, such as a playbook's; all of them by default, or those that ``columns`` names.
    progress
        Called with the number of partitions done and in all.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` (OneID), ``cutoff`` (UTC, naive), then the catalogue's columns; sorted by cutoff and customer.
        Counts are int64, words strings, everything else float64 with NaN where undefined.

    Raises
    ------
    InputError
        Unknown population or feature, no cutoff, or a cutoff before the first order of the warehouse.
    """
    job = _job(warehouse, cutoffs, population, columns, own)
    frames = []
    with warehouse.connect() as connection:
        parts = partitions(connection)
        seasons = job.seasons(connection)
        for part in range(parts):
            frames.append(job.frame(connection, part, parts, seasons))
            if progress is not None:
                progress(part + 1, parts)
    if len(frames) == 1:
        return frames[0]
    return pd.concat(frames).sort_values(["cutoff", "customer_id"], ignore_index=True)


def build_file(
    warehouse: Warehouse,
    cutoffs: Sequence[Moment] | Moment,
    path: str | Path,
    *,
    population: str = "active-365d",
    columns: Sequence[str] | None = None,
    own: Sequence[Feature] = (),
    progress: Progress | None = None,
) -> int:
    """Build features into a Parquet file, holding one partition of the customers in memory at a time.

    Partitions are kept beside the file until it is whole: the same call after an interruption goes on where it was. The
    arguments are those of ``build``; the rows are too, in the same order.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    InputError
        As ``build``; or the file cannot be written.
    """
    path, job = Path(path), _job(warehouse, cutoffs, population, columns, own)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name the file to write")
        return _written(warehouse, job, path, progress)
    except (OSError, duckdb.IOException) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "the disk or its rights"
        raise InputError(f"{path}: cannot be written ({why}); choose another file") from problem


def _written(warehouse: Warehouse, job: "_Job", path: Path, progress: Progress | None) -> int:
    with warehouse.connect() as connection:
        parts = partitions(connection)
        folder = path.with_name(f".{path.name}.{job.fingerprint(connection, parts)}")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _alone(folder, path) as merging:
                spilled = str(folder / "spilled").replace("'", "''")
                connection.execute(f"SET temp_directory = '{spilled}'; SET memory_limit = '{_SQL_MEMORY}'")
                _parts(connection, job, folder, parts, progress)
                rows = _merged(merging, folder, parts, path)
        finally:
            if not any(folder.glob("*.parquet")):  # done, or interrupted before anything could be kept
                shutil.rmtree(folder, ignore_errors=True)
    return rows


def _return_memory() -> None:
    """Give back what the allocators keep of a partition: torn pieces of it would add up from one to the next."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextmanager
def _alone(folder: Path, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Keep other processes out of the folder: the database's own lock ends with the process that holds it."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(folder / "spilled"),
        "memory_limit": _SQL_MEMORY,
    }
    try:
        connection = duckdb.connect(str(folder / "lock.duckdb"), config=config)
    except duckdb.IOException as problem:
        if "lock" not in str(problem).lower():
            raise
        raise InputError(
            f"{path}: another process is writing it; wait for it or choose another file"
        ) from problem
    with connection:
        connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
        yield connection


def _parts(
    connection: duckdb.DuckDBPyConnection, job: "_Job", folder: Path, parts: int, progress: Progress | None
) -> None:
    """Write the partitions that are not there yet."""
    seasons = job.seasons(connection)
    for part in range(parts):
        done = folder / f"{part}.parquet"
        if not _is_whole(done):
            whole = folder / f"{part}.new"
            job.frame(connection, part, parts, seasons).to_parquet(whole, index=False)
            whole.replace(done)
            _return_memory()
        if progress is not None:
            progress(part + 1, parts)


def _is_whole(file: Path) -> bool:
    """Tell whether a Parquet file is there and has its end: a machine that lost its power may leave one without."""
    try:
        pq.read_metadata(file)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def _merged(connection: duckdb.DuckDBPyConnection, folder: Path, parts: int, path: Path) -> int:
    """Write the partitions' rows into one file, sorted, outside of memory where they do not fit; they are used up."""
    new, files = folder / "whole.new", [folder / f"{part}.parquet" for part in range(parts)]
    connection.from_parquet([str(file) for file in files]).order("cutoff, customer_id").to_parquet(str(new))
    rows = int(pq.read_metadata(new).num_rows)
    new.replace(path)
    for file in files:
        file.unlink()
    return rows


_SQL_MEMORY = "1GB"


@dataclass(frozen=True)
class _Job:
    """What is to be built: cutoffs (ascending, microseconds), features, and of whom."""

    cutoffs: NDArray[np.int64]
    plan: Plan
    features: tuple[Feature, ...]
    population: str
    timezone: str

    def frame(
        self,
        connection: duckdb.DuckDBPyConnection,
        part: int,
        parts: int,
        seasons: Mapping[str, NDArray[np.float64]],
    ) -> pd.DataFrame:
        """Build the rows of one partition."""
        rows = read(connection, self.cutoffs, part=part, parts=parts, columns=self.plan.columns)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        blocks = compute_blocks(
            rows,
            self.cutoffs,
            self.plan,
            self.laid_out,
            timezone=self.timezone,
            given=seasons,
            threads=threads,
        )
        return _joined(blocks)

    def laid_out(self, computed: Computed) -> dict[str, pa.Array | NDArray[Any]]:
        """Lay columns out as rows (customer, cutoff), cutoff by cutoff, the population's only."""
        chosen = (computed.known if self.population == "all" else computed.columns["orders_365d"] > 0).T
        cutoff, customer = np.nonzero(chosen)
        data: dict[str, pa.Array | NDArray[Any]] = {
            "customer_id": computed.customers.take(pa.array(customer)),
            "cutoff": computed.cutoffs[cutoff],
        }
        for one in self.features:
            if one.is_text:
                data[one.name] = computed.texts[one.name].T[chosen]
            else:
                values = computed.columns[one.name].T[chosen]
                data[one.name] = values.astype(np.int64) if one.is_count else values
        return data

    def seasons(self, connection: duckdb.DuckDBPyConnection) -> Mapping[str, NDArray[np.float64]]:
        """Return what the kernel is given, if anything wants it."""
        wanted = BASE_SEASONS.keys() & self.plan.of_cutoffs.keys()
        return base_seasons(connection, self.cutoffs) if wanted else {}

    def fingerprint(self, connection: duckdb.DuckDBPyConnection, parts: int) -> str:
        """Return what partitions must have in common to belong to one file."""
        loads = connection.execute(
            "SELECT load_id, digest, received_at FROM loads ORDER BY load_id"
        ).fetchall()
        owner = connection.execute("SELECT warehouse_id FROM warehouse").fetchall()
        told = (owner, loads, parts, self.cutoffs.tolist(), self.population, digest(self.features))
        return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def _job(
    warehouse: Warehouse,
    cutoffs: Sequence[Moment] | Moment,
    population: str,
    columns: Sequence[str] | None,
    own: Sequence[Feature],
) -> _Job:
    if population not in POPULATIONS:
        raise InputError(f"unknown population {population!r}: choose one of {', '.join(POPULATIONS)}")
    if isinstance(columns, str):
        raise InputError(f"columns is one word, {columns!r}: write a list of names")
    wanted = (*FEATURES, *own) if columns is None else select(columns, own)
    for one in own:
        one.measure.require()
    at = microseconds(cutoffs)
    _refuse_before_first_order(warehouse, at)
    plan = Plan.of(dict.fromkeys((*wanted, *select(("orders_365d",)))))
    return _Job(at, plan, wanted, population, warehouse.settings().timezone)


def order_span(
    warehouse: Warehouse, known_by: pd.Timestamp | None = None
) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    """Return the times of the first and the last sale to a known customer, or None.

    Parameters
    ----------
    known_by
        As they were known at this instant; None: of any version that was ever known.
    """
    known = "true" if known_by is None else usable(known_by)
    with warehouse.connect() as connection:
        query = f"""SELECT min(paid_at), max(paid_at) FROM order_lines
                    WHERE kind = 'sale' AND customer_id IS NOT NULL AND {known}"""
        first, last = connection.execute(query).fetchall()[0]
    return None if first is None else (pd.Timestamp(first), pd.Timestamp(last))


def _refuse_before_first_order(warehouse: Warehouse, cutoffs: NDArray[np.int64]) -> None:
    span = order_span(warehouse)
    earliest = pd.Timestamp(int(cutoffs[0]), unit="us")
    if span is None:
        raise InputError(f"{warehouse.path} holds no order of a known customer: ingest order_lines first")
    if earliest <= span[0]:
        raise InputError(
            f"cutoff {earliest} lies before the first order in {warehouse.path} ({span[0]}): nothing is known then, "
            f"choose a later cutoff"
        )


def _joined(blocks: list[dict[str, pa.Array | NDArray[Any]]]) -> pd.DataFrame:
    """Return the rows of blocks of ascending customers as a frame, by cutoff and customer; the blocks are used up."""
    cutoff = np.concatenate([block["cutoff"] for block in blocks])
    order = np.argsort(cutoff, kind="stable")
    columns: dict[str, object] = {}
    for name in list(blocks[0]):
        parts = [block.pop(name) for block in blocks]
        if name == "customer_id":
            columns[name] = pd.array(pa.concat_arrays(parts).take(pa.array(order)), dtype="str")
        elif name == "cutoff":
            columns[name] = cutoff[order].astype("datetime64[us]")
        else:
            values = np.concatenate(parts)[order]
            columns[name] = pd.array(values, dtype="str") if values.dtype == np.object_ else values
    return pd.DataFrame(columns)
