"""Churn and timing at all origins: Patron, the baselines, and what each idea brought.

Usage: PATRON_DATA=<folder of data sets> python experiments/churn/run.py [--only NAME ...] [--quick] [--out FOLDER]

Writes ``results.json``, ``RESULTS.md``, ``calibration.png`` and ``lift.png``, beside this file unless told otherwise.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from page import page
from variants import VARIANTS, Origin

from features import Warehouse, ingest_source, ingest_tables, instant
from features.sources.simulate import generate
from training.evaluate import METRICS
from training.intervals import paired_bootstrap
from training.metrics import ece_floor, expected_calibration_error
from training.plots import plot_calibration, plot_lift
from training.workflow import fit_models, outcome

HERE = Path(__file__).parent


@dataclass(frozen=True)
class DataSet:
    """Where orders come from, and the origins at which they are predicted."""

    title: str
    origins: tuple[str, ...]
    load: Callable[[Warehouse, Path], object]


def source(name: str, path: str) -> Callable[[Warehouse, Path], object]:
    """Return what loads a data set of PATRON_DATA."""
    return lambda warehouse, _: ingest_source(warehouse, name, Path(os.environ["PATRON_DATA"]) / path)


def simulated(warehouse: Warehouse, folder: Path) -> object:
    """Make a retailer up and load it."""
    generate(folder / "made", 6_000, 820, np.datetime64("2026-09-07"), 11)
    return ingest_tables(warehouse, folder / "made" / "tables")


DATA_SETS: Mapping[str, DataSet] = {
    "online_retail_ii": DataSet(
        "Online Retail II",
        ("2011-03-12", "2011-06-12", "2011-07-24", "2011-09-10"),
        source("online-retail", "online_retail_ii/online_retail_II.parquet"),
    ),
    "cdnow": DataSet("CDNOW", ("1998-04-01",), source("cdnow", "cdnow/cdnow_master.parquet")),
    "simulated": DataSet(
        "A made-up retailer of 6,000 customers", ("2025-12-01", "2026-03-09", "2026-06-01"), simulated
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(DATA_SETS), default=list(DATA_SETS))
    parser.add_argument("--quick", action="store_true", help="does it run: the last origin of each alone")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    if "PATRON_DATA" not in os.environ and set(asked.only) != {"simulated"}:
        sys.exit("PATRON_DATA is not set: it names the folder that holds online_retail_ii/ and cdnow/")
    asked.out.mkdir(parents=True, exist_ok=True)
    record, drawn = {}, {}
    for name in asked.only:
        with tempfile.TemporaryDirectory() as scratch:
            of = DATA_SETS[name]
            chosen = replace(of, origins=of.origins[-1:]) if asked.quick else of
            record[name], drawn[name] = backtest(chosen, Path(scratch))
    pictures(drawn, asked.out)
    (asked.out / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (asked.out / "RESULTS.md").write_text(page(record), encoding="utf-8")
    print(page(record))


def backtest(
    of: DataSet, folder: Path
) -> tuple[dict[str, object], list[tuple[object, Mapping[str, object]]]]:
    """Load a data set and judge every variant at each of its origins."""
    begun = time.perf_counter()
    warehouse = Warehouse(folder / "w.duckdb")
    of.load(warehouse, folder)
    loaded = time.perf_counter() - begun
    origins, drawn = [], []
    for at in of.origins:
        one, curves = judged(warehouse, instant(at))
        origins.append(one)
        drawn.append(curves)
        print(f"{of.title} {at}: {one['seconds']} s", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "title": of.title,
        "origins": origins,
        "load_seconds": round(loaded, 1),
        "seconds": round(time.perf_counter() - begun, 1),
        "peak_mb": round(peak),
    }, drawn


def judged(
    warehouse: Warehouse, origin: pd.Timestamp
) -> tuple[dict[str, object], tuple[object, Mapping[str, object]]]:
    """Train as of an origin and hold every variant against what happened."""
    begun = time.perf_counter()
    fitted = fit_models(warehouse, origin)
    found = outcome(warehouse, fitted)
    trained = time.perf_counter() - begun
    frame = fitted.prepared.present.frame
    slope = fitted.forward.calibration.slope if fitted.forward is not None else 1.0
    at = Origin(fitted.prepared, fitted.models, frame, slope)
    p = {name: variant(at) for name, variant in VARIANTS.items()}
    clock = fitted.prepared.clock
    return {
        "origin": origin.date().isoformat(),
        "everybody": found.comparison.to_dict(),
        "slices": {name: one.to_dict() for name, one in found.slices.items()},
        "timing": found.timing.to_dict(),
        "clock": {"shift": float(clock.shift(90.0)), **asdict(clock)},
        "variants": {
            name: figures(found.y, one, p["Patron"], frame["customer_id"].to_numpy())
            for name, one in p.items()
        },
        "train_seconds": round(trained, 1),
        "seconds": round(time.perf_counter() - begun, 1),
    }, (found.y, {name: p[name] for name in ("Patron", "MBG/NBD")})


def figures(y, p, patron, customers) -> dict[str, float]:
    """Return a variant's figures, and by how much it differs from Patron on the same customers."""
    rng = np.random.default_rng(1)
    found = {name: metric(y, p) for name, metric in METRICS.items()}
    found |= {"ece": expected_calibration_error(y, p), "floor": ece_floor(p, rng), "mean": float(p.mean())}
    if p is not patron:
        for name, metric in METRICS.items():
            other = paired_bootstrap(metric, y, p, patron, rng, groups=customers, draws=200)
            found |= {f"{name}_difference": other.estimate, f"{name}_standard_error": other.standard_error}
    return found


def pictures(drawn, out: Path) -> None:
    """Draw calibration and lift of all origins of the first data set together."""
    title, origins = next(iter(drawn.items()))
    y = np.concatenate([one[0] for one in origins])
    curves = {name: np.concatenate([one[1][name] for one in origins]) for name in ("Patron", "MBG/NBD")}
    named = f"{DATA_SETS[title].title}, {len(origins)} origins"
    plot_calibration(y, curves, out / "calibration.png", f"{named}, 90 days")
    plot_lift(y, curves, out / "lift.png", f"{named}: churners reached, 90 days")


if __name__ == "__main__":
    main()
