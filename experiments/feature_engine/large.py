"""A large retailer, one cutoff, the whole catalogue into Parquet: seconds and peak memory.

Usage: python experiments/feature_engine/large.py [--facts N] [--warehouse PATH] [--out FOLDER]

Writes ``large.json`` and, where ``run.py`` has left its results, ``RESULTS.md`` again. The warehouse takes minutes
to make; a path named is used where there is a file, and kept.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import sources
from page import page
from processes import in_fresh_processes
from run import HERE, LARGE, SEED
from world import CUTOFFS, load

from features import Warehouse, build_file
from features.catalogue import names

FACTS = 30_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--facts", type=int, default=FACTS, help=f"how many; {FACTS:,} by default")
    parser.add_argument("--warehouse", type=Path, help="where it is, or is made and kept")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of what is written")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        record = measured(arguments.warehouse or Path(folder) / "large.duckdb", arguments.facts, Path(folder))
    (arguments.out / LARGE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    results = arguments.out / "results.json"
    if results.exists():
        written = page(json.loads(results.read_text(encoding="utf-8")), record)
        (arguments.out / "RESULTS.md").write_text(written, encoding="utf-8")
    print(json.dumps(record, indent=1))


def measured(warehouse: Path, facts: int, folder: Path) -> dict[str, object]:
    """Make the warehouse where there is none, and let the limit and Patron run on it."""
    out = folder / "features.parquet"
    with in_fresh_processes() as call:
        if not warehouse.exists():
            print(f"making a retailer of {facts:,} facts", flush=True)
            call(load, str(warehouse), facts, SEED)
        limit_seconds, limit_peak_mb = call(sort, str(warehouse))
        seconds, peak_mb = call(into_file, str(warehouse), out)
    return {
        "facts": facts,
        "customers": pq.read_metadata(out).num_rows,
        "features": len(names()),
        "cores": os.cpu_count(),
        "seconds": seconds,
        "peak_mb": peak_mb,
        "limit_seconds": limit_seconds,
        "limit_peak_mb": limit_peak_mb,
        "file_mb": out.stat().st_size / 2**20,
    }


def sort(warehouse: str) -> tuple[float, float]:
    """Read and sort, holding nothing."""

    def work() -> None:
        with Warehouse(warehouse).connect() as connection:
            sources.sort_catalogue_without_holding(connection, CUTOFFS[1])

    return timed(work)


def into_file(warehouse: str, path: Path) -> tuple[float, float]:
    """Write the features of every customer."""
    return timed(
        lambda: build_file(Warehouse(warehouse), CUTOFFS[1], path, population="all", progress=show_progress)
    )


def show_progress(done: int, parts: int) -> None:
    print(f"\r{done} of {parts} parts", end="" if done < parts else "\n", flush=True)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return seconds and the peak MB of this process."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
