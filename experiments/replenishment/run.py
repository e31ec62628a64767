"""Due dates, seasonal need and expected demand, against what happened, against the truth, and against two rules.

Usage: PATRON_DATA=<folder of data sets> python experiments/replenishment/run.py [--customers N] [--out FOLDER]

Writes ``results.json`` and ``RESULTS.md``, beside this file unless told otherwise.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import judged  # noqa: E402
import page  # noqa: E402

from features import Warehouse, ingest_source, ingest_tables, instant  # noqa: E402
from features.sources.simulate import generate  # noqa: E402
from training.replenishment.due import due  # noqa: E402
from training.replenishment.fit import fit_replenishment  # noqa: E402

END, DAYS, SEEDS = pd.Timestamp("2024-10-01"), 1000, (1, 2)
BEFORE_END_DAYS = (365, 270, 180)
RETAIL = (("2011-03-12", 180), ("2011-06-12", 180), ("2011-07-24", 90), ("2011-09-10", 90))
SEASONS, DEMAND, WEEKS = ("2024-05-01", "2024-06-01"), ("2024-01-01", "2024-04-01", "2024-07-01"), 8


def world(customers, seed):
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generate(folder, customers, DAYS, END.to_datetime64(), seed)
        warehouse = Warehouse(folder / "w.duckdb")
        ingest_tables(warehouse, folder / "tables")
        truth = pd.read_parquet(folder / "truth" / "needs.parquet")
        return {
            "seed": seed,
            "due": [judged.origin_figures(warehouse, instant(END - pd.Timedelta(days=d)), d) for d in BEFORE_END_DAYS],
            "truth": judged.truth_figures(warehouse, instant(END), truth),
            "seasonal": [judged.seasonal_figures(warehouse, instant(at)) for at in SEASONS],
            "demand": [judged.demand_figures(warehouse, instant(at), WEEKS) for at in DEMAND],
            "seconds": round(time.perf_counter() - begun, 1),
        }  # fmt: skip


def retail():
    export = Path(os.environ["PATRON_DATA"]) / "online_retail_ii" / "online_retail_II.parquet"
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        warehouse = Warehouse(Path(scratch) / "retail.duckdb")
        ingest_source(warehouse, "online-retail", export)
        found = [judged.origin_figures(warehouse, instant(at), seen) for at, seen in RETAIL]
    return {"due": found, "seconds": round(time.perf_counter() - begun, 1)}


def speed(customers):
    """Wall time of the fit and of the due dates of a larger retailer, and of the model's part for a million pairs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generate(folder, customers, 730, END.to_datetime64(), 3)
        for file in (folder / "tables").iterdir():
            if file.stem not in ("order_lines", "products", "customers"):
                file.unlink()
        warehouse, at = Warehouse(folder / "w.duckdb"), instant(END)
        ingest_tables(warehouse, folder / "tables")
        begun = time.perf_counter()
        model = fit_replenishment(warehouse, at)
        fitted = time.perf_counter()
        needs = due(model, warehouse, at)
        dated = time.perf_counter()
        million = judged.seconds_of_dates(model, warehouse, at, 1_000_000)
    return {"customers": customers, "pairs": len(needs), "fit_s": fitted - begun, "due_s": dated - fitted, "million_dates_s": million}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=4_000)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    if "PATRON_DATA" not in os.environ:
        sys.exit("PATRON_DATA is not set: it names the folder that holds online_retail_ii/")
    record = {"customers": asked.customers, "worlds": [world(asked.customers, seed) for seed in SEEDS]}
    record["online_retail_ii"] = retail()
    record["speed"] = speed(5 * asked.customers)
    asked.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, default=lambda value: np.asarray(value).tolist())
    (asked.out / "results.json").write_text(text + "\n", encoding="utf-8")
    (asked.out / "RESULTS.md").write_text(page.page(record), encoding="utf-8")
    print(page.page(record))


if __name__ == "__main__":
    main()
