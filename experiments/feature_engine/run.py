"""Patron's feature engine against DuckDB: the same 26 columns from the same warehouse, on made-up rows.

Usage: python experiments/feature_engine/run.py [--quick] [--out FOLDER]

The contenders take turns, each run in a process of its own that has warmed up on a small warehouse. No time is
reported unless all results are equal. Writes ``results.json`` and ``RESULTS.md``, beside this file unless told otherwise.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
from contenders import CONTENDERS, PEERS, Measured, measure
from equality import Unequal, compare
from page import page
from queries import COLUMNS
from ratios import Timing, ratios
from world import CUTOFFS, load

HERE = Path(__file__).parent
WARM_UP_ROWS = 3_000
SEED = 7

Call = Callable[..., Any]
"""Calls a function with arguments in another process and returns what it returns."""


@dataclass(frozen=True)
class Plan:
    """How many rows and cutoffs, and how many turns each contender has."""

    rows: tuple[int, ...]
    cutoffs: tuple[int, ...]
    turns: int
    call: Callable[[], AbstractContextManager[Call]]


@contextmanager
def in_fresh_processes() -> Iterator[Call]:
    """Each call in a process of its own: its memory is its own, and it inherits no caches."""

    def call(function: Callable[..., Any], *arguments: object) -> Any:
        with in_one_process() as call_once:
            return call_once(function, *arguments)

    yield call


@contextmanager
def in_one_process() -> Iterator[Call]:
    """All calls in one process: quick, with no meaning to its memory."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


FULL = Plan(rows=(300_000, 3_000_000), cutoffs=(1, 12), turns=3, call=in_fresh_processes)
QUICK = Plan(rows=(20_000,), cutoffs=(1, 12), turns=1, call=in_one_process)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few rows, one turn: does it run, and is it equal"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results.json and RESULTS.md")
    arguments = parser.parse_args()
    try:
        record = benchmark(QUICK if arguments.quick else FULL)
    except Unequal as problem:
        sys.exit(f"the results are not equal, so no time is reported: {problem}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "RESULTS.md").write_text(page(record), encoding="utf-8")
    print(page(record))


def benchmark(plan: Plan) -> dict[str, Any]:
    """Make the warehouses, let the contenders take turns, and return all there is to report.

    Raises
    ------
    Unequal
        Two contenders made different rows.
    """
    with tempfile.TemporaryDirectory() as folder, plan.call() as call:
        for rows in (WARM_UP_ROWS, *plan.rows):
            call(load, f"{folder}/{rows}.duckdb", rows, SEED)
        measured: dict[tuple[int, int, str], list[Measured]] = {}
        compared: dict[str, int] = {}
        for number in range(plan.turns):
            for rows, count in product(plan.rows, plan.cutoffs):
                for contender in CONTENDERS:
                    one = run(call, folder, contender, rows, count)
                    measured.setdefault((rows, count, contender), []).append(one)
                if number == 0:
                    compared[f"{rows:,} rows, {count} cutoffs"] = equal(call, folder)
    timings = [Timing(*size, tuple(turns)) for size, turns in measured.items()]
    return {
        "machine": machine(),
        "columns": COLUMNS,
        "rows_compared": compared,
        "ratios": [asdict(one) for one in ratios(timings)],
        "timings": [asdict(timing) for timing in timings],
    }


def run(call: Call, folder: str, contender: str, rows: int, count: int) -> Measured:
    """Let a contender run once; its rows are left in a Parquet file of its name."""
    warm_up, path = (f"{folder}/{size}.duckdb" for size in (WARM_UP_ROWS, rows))
    one: Measured = call(measure, contender, path, CUTOFFS[-count:], warm_up, f"{folder}/{contender}.parquet")
    print(f"{rows:>9,} rows {count:>2} cutoffs {contender:<20}{one.seconds:8.2f} s", flush=True)
    return one


def equal(call: Call, folder: str) -> int:
    """Hold each peer's rows against Patron's; return how many there are."""
    rows: list[int] = [
        call(compare, f"{folder}/patron.parquet", f"{folder}/{peer}.parquet") for peer in PEERS
    ]
    return min(rows)


def machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "duckdb": duckdb.__version__}


if __name__ == "__main__":
    main()
