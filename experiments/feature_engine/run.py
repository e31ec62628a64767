"""Patron's feature engine beside DuckDB, Polars, pandas and Featuretools: the same 26 columns, one warehouse.

Usage: python experiments/feature_engine/run.py [--quick] [--featuretools] [--facts N ...] [--turns N] [--out FOLDER]

The contenders take turns, each run in a process of its own that has warmed up on a small warehouse. No time is
reported unless all results are equal. Writes ``results.json``, ``RESULTS.md`` and the pictures, beside this file
unless told otherwise.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import environment
import numpy as np
import pandas as pd
import polars as pl
from columns import COLUMNS
from contenders import CONTENDERS, FEATURETOOLS, PEERS, Measured, Task, measure
from equality import Unequal, compare
from leaving_out import LeftOut, Size, why_not
from online import Online, measure_online
from page import page
from plots import draw
from processes import Call, in_fresh_processes, in_one_process
from ratios import Timing, best_duckdb, ratios
from world import CUTOFFS, load, load_one_customer

HERE = Path(__file__).parent
WARM_UP_FACTS = 3_000
SEED = 7
LARGE = "large.json"
TOO_LARGE = (BrokenExecutor, MemoryError, duckdb.OutOfMemoryException)
"""What a run dies of that wants more memory than there is."""


@dataclass(frozen=True)
class Sizes:
    """How many facts and cutoffs, how many turns each contender has, and how often the one customer is computed."""

    facts: tuple[int, ...]
    cutoffs: tuple[int, ...]
    turns: int
    online_calls: int
    processes: Callable[[], AbstractContextManager[Call]]
    words: str
    """How the processes are described."""


FRESH = "each run in a process of its own that has warmed up on few rows"
SHARED = "all runs in one process, so that its memory means nothing"
FULL = Sizes((100_000, 1_000_000, 10_000_000), (1, 12, 52), 3, 3_000, in_fresh_processes, FRESH)
QUICK = Sizes((20_000,), (1, 12), 1, 50, in_one_process, SHARED)


@dataclass
class Bench:
    """A benchmark while it runs.

    Attributes
    ----------
    folder
        Warehouses, and the rows of each contender's last run.
    python
        Of the environment with Featuretools; None to do without.
    """

    sizes: Sizes
    folder: Path
    call: Call
    python: str | None
    measured: dict[Size, list[Measured]] = field(default_factory=dict)
    left_out: dict[Size, LeftOut] = field(default_factory=dict)
    compared: list[dict[str, object]] = field(default_factory=list)

    def run(self) -> None:
        """Let the contenders take turns at each size.

        Raises
        ------
        Unequal
            Two contenders made different rows.
        """
        for facts in (WARM_UP_FACTS, *self.sizes.facts):
            self.call(load, self._warehouse(facts), facts, SEED)
        names = [name for name in CONTENDERS if name != FEATURETOOLS or self.python]
        for turn in range(self.sizes.turns):
            for facts, cutoffs in product(self.sizes.facts, self.sizes.cutoffs):
                ran = [name for name in names if self._measure((facts, cutoffs, name), turn)]
                if turn == 0:
                    self._compare(facts, cutoffs, ran)

    def _measure(self, size: Size, turn: int) -> bool:
        """Let a contender run once, or leave it out; tell whether it ran."""
        why = self._why_not(size, turn)
        if why is None:
            why = self._measure_once(size, keep=turn == 0)
        if why is not None:
            self.left_out.setdefault(size, LeftOut(*size, why))
            self.measured.pop(size, None)  # a later turn that failed leaves no half of the turns
        return why is None

    def _why_not(self, size: Size, turn: int) -> str | None:
        if size in self.left_out:
            return self.left_out[size].why
        first = {key: turns[0] for key, turns in self.measured.items()}
        return why_not(first, self.left_out, size) if turn == 0 else None

    def _measure_once(self, size: Size, *, keep: bool) -> str | None:
        facts, cutoffs, contender = size
        path, warm_up = (self._warehouse(count) for count in (facts, WARM_UP_FACTS))
        task = Task(contender, path, CUTOFFS[cutoffs], warm_up, self._rows(contender), keep, self.python)
        try:
            one: Measured = self.call(measure, task)
        except TOO_LARGE as problem:
            return f"it failed for want of memory ({type(problem).__name__})"
        self.measured.setdefault(size, []).append(one)
        print(f"{facts:>10,} facts {cutoffs:>2} cutoffs {contender:<24}{one.seconds:9.2f} s", flush=True)
        return None

    def _compare(self, facts: int, cutoffs: int, ran: Sequence[str]) -> None:
        """Hold each peer's rows against Patron's."""
        peers = [name for name in PEERS if name in ran]
        rows: list[int] = []
        for peer in peers:
            try:
                rows.append(self.call(compare, self._rows("patron"), self._rows(peer)))
            except Unequal as problem:
                raise Unequal(f"Patron and {CONTENDERS[peer].title}, {facts:,} facts: {problem}") from problem
        self.compared.append(
            {"facts": facts, "cutoffs": cutoffs, "rows": min(rows), "contenders": ["patron", *peers]}
        )

    def online(self) -> list[Online]:
        """Measure the one customer."""
        path = str(self.folder / "one_customer.duckdb")
        self.call(load_one_customer, path, SEED)
        found: list[Online] = self.call(measure_online, path, self.sizes.online_calls)
        return found

    def _warehouse(self, facts: int) -> str:
        return str(self.folder / f"{facts}.duckdb")

    def _rows(self, contender: str) -> str:
        return str(self.folder / f"{contender}.parquet")


def main() -> None:
    arguments = _arguments()
    python = environment.made() if arguments.featuretools else None
    sizes = QUICK if arguments.quick else FULL
    sizes = replace(sizes, facts=tuple(arguments.facts or sizes.facts), turns=arguments.turns or sizes.turns)
    try:
        record, timings = benchmark(sizes, python)
    except Unequal as problem:
        sys.exit(f"the results are not equal, so no time is reported: {problem}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.json"
    if arguments.keep and results.exists():
        record = beside(record, json.loads(results.read_text(encoding="utf-8")))
        timings = [
            Timing(**(one | {"turns": tuple(Measured(**turn) for turn in one["turns"])}))
            for one in record["timings"]
        ]
    draw(timings, arguments.out)
    results.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    large = arguments.out / LARGE
    written = page(record, json.loads(large.read_text(encoding="utf-8")) if large.exists() else None)
    (arguments.out / "RESULTS.md").write_text(written, encoding="utf-8")
    print(written)


def benchmark(sizes: Sizes, python: str | None) -> tuple[dict[str, Any], list[Timing]]:
    """Make the warehouses, let everybody run, and return all there is to report."""
    with tempfile.TemporaryDirectory() as folder, sizes.processes() as call:
        bench = Bench(sizes, Path(folder), call, python)
        bench.run()
        online = bench.online()
    timings = [Timing(*size, tuple(turns)) for size, turns in bench.measured.items()]
    best = [
        {"facts": size[0], "cutoffs": size[1], "contender": name}
        for size, name in best_duckdb(timings).items()
    ]
    record = {
        "cores": os.cpu_count(),
        "versions": _versions(python),
        "processes": sizes.words,
        "columns": COLUMNS,
        "compared": bench.compared,
        "best_duckdb": best,
        "ratios": [asdict(one) for one in ratios(timings)],
        "left_out": [asdict(one) for one in bench.left_out.values()],
        "online": [asdict(one) for one in online],
        "timings": [asdict(timing) for timing in timings],
    }
    return record, timings


def beside(record: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """Return a record with what an earlier run measured at other numbers of facts, smallest numbers first."""
    run = {one["facts"] for one in record["timings"]}
    joined = {
        name: sorted(
            [one for one in earlier[name] if one["facts"] not in run] + record[name],
            key=lambda one: (one["facts"], one["cutoffs"]),
        )
        for name in ("compared", "best_duckdb", "ratios", "left_out", "timings")
    }
    return record | joined | {"versions": earlier["versions"] | record["versions"]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few facts, one turn: does it run, and is it equal"
    )
    parser.add_argument(
        "--featuretools", action="store_true", help="run it too; makes an environment for it the first time"
    )
    parser.add_argument("--facts", type=int, nargs="+", help=f"how many facts; {FULL.facts} by default")
    parser.add_argument(
        "--turns", type=int, help=f"how many turns each contender has; {FULL.turns} by default"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of what is written")
    parser.add_argument(
        "--keep", action="store_true", help="keep what results.json holds of other numbers of facts"
    )
    return parser.parse_args()


def _versions(python: str | None) -> dict[str, str]:
    named = {"Python": platform.python_version(), "DuckDB": duckdb.__version__, "Polars": pl.__version__}
    named |= {"pandas": pd.__version__, "NumPy": np.__version__}
    return named | (environment.versions(python) if python else {})


if __name__ == "__main__":
    main()
