"""Churn and timing on a made-up retailer, against the truth it was made with.

Usage: python experiments/simulated_retailer/run.py [--customers N] [--seeds N] [--out FOLDER]

Writes ``results.json`` and ``RESULTS.md``, beside this file unless told otherwise.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd

from features import Warehouse, build, ingest_tables
from features.sources.simulate import generate
from serving.score import score
from training.calibration import expit
from training.components import baseline_logit
from training.metrics import auc, expected_calibration_error, log_loss
from training.registry import Registry
from training.workflow import train_and_register

HERE = Path(__file__).parent
END = np.datetime64("2026-09-07")
HORIZONS = (7, 14, 30, 60, 90)


def world(customers, seed):
    """Train on one made-up retailer and return its figures."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generate(folder, customers, 730, END, seed)
        warehouse, as_of = Warehouse(folder / "w.duckdb"), pd.Timestamp(END).as_unit("us")
        ingest_tables(warehouse, folder / "tables")
        registered = train_and_register(warehouse, as_of, Registry(folder), pictures=folder).registered
        frame = build(warehouse, [as_of], population="active-365d")
        scores = score(frame, registered.models, registered.version)
        truth = pd.read_parquet(folder / "truth" / "customers.parquet").set_index("customer_id")
    truth = truth.reindex(frame["customer_id"])
    churn = registered.models.churn
    mbg_nbd = expit(baseline_logit(churn.card.baseline, frame, churn.card.horizon_days))
    days = pd.to_datetime(truth["next_order_at"]).dt.tz_localize(None) - as_of
    waited = (days / pd.Timedelta(days=1)).to_numpy(dtype=np.float64)
    return {
        "seed": seed,
        "customers": len(frame),
        "churn": churn_figures(scores["churn_probability"].to_numpy(), mbg_nbd, 1 - truth["p_order_90d"].to_numpy(), waited),
        "timing": [horizon_figures(scores, truth, waited, h) for h in HORIZONS],
        "median_days_error": median_error(scores, as_of, waited),
        "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip


def churn_figures(model, mbg_nbd, true, waited):
    y = ~(waited < 90)
    said = {"model": model, "mbg_nbd": mbg_nbd, "truth": true}
    areas = {name: auc(y, p) for name, p in said.items()}
    return {
        "auc": areas,
        "share_of_ceiling": {
            name: (areas[name] - 0.5) / (areas["truth"] - 0.5) for name in ("model", "mbg_nbd")
        },
        "log_loss": {name: log_loss(y, np.clip(p, 1e-9, 1 - 1e-9)) for name, p in said.items()},
        "ece": {name: expected_calibration_error(y, p) for name, p in said.items()},
        **against(model, true),
        "mbg_nbd_pearson": against(mbg_nbd, true)["pearson"],
    }


def horizon_figures(scores, truth, waited, days):
    predicted, true = scores[f"p_order_{days}d"].to_numpy(), truth[f"p_order_{days}d"].to_numpy()
    happened = waited < days
    return {
        "days": days, **against(predicted, true), "predicted": predicted.mean(), "true": true.mean(),
        "happened": happened.mean(), "brier": ((predicted - happened) ** 2).mean(),
        "brier_of_truth": ((true - happened) ** 2).mean(),
    }  # fmt: skip


def against(predicted, true):
    """Correlations, and how far the means of the tenths (by prediction) are from the true ones."""
    tenths = np.array_split(np.argsort(predicted, kind="stable"), 10)
    ranks = pd.Series(predicted).rank(), pd.Series(true).rank()
    return {
        "pearson": np.corrcoef(predicted, true)[0, 1],
        "spearman": ranks[0].corr(ranks[1]),
        "tenths_error": mean(abs(predicted[rows].mean() - true[rows].mean()) for rows in tenths),
    }


def median_error(scores, as_of, waited):
    """Of those who ordered within a year: how far the expected date was from the real one, days."""
    expected = (scores["expected_date_of_next_order"] - as_of) / pd.Timedelta(days=1)
    error = np.abs(expected.to_numpy(dtype=np.float64) - waited)
    return {"median_absolute_days": float(np.nanmedian(error)), "dated_share": float(expected.notna().mean())}


def page(record):
    worlds = record["worlds"]
    over = lambda *path: mean(follow(w, path) for w in worlds)  # noqa: E731
    low = lambda *path: min(follow(w, path) for w in worlds)  # noqa: E731
    high = lambda *path: max(follow(w, path) for w in worlds)  # noqa: E731
    shown = lambda *path: f"{over(*path):.3f} ({low(*path):.3f}-{high(*path):.3f})"  # noqa: E731
    lines = [
        "# Against the truth of a made-up retailer", "",
        f"Written by `python experiments/simulated_retailer/run.py`: {len(worlds)} retailers of {record['customers']:,} customers, "
        f"two years of history; population active-365d at {END} ({worlds[0]['customers']:,} in the first); mean over the retailers, "
        "lowest and highest in brackets.", "",
        "## Churn, 90 days", "",
        "| | model | MBG/NBD | the true probability |", "| --- | --- | --- | --- |",
        f"| AUC | {shown('churn', 'auc', 'model')} | {shown('churn', 'auc', 'mbg_nbd')} | {shown('churn', 'auc', 'truth')} |",
        f"| share of the ceiling, (AUC - .5) / (AUC of the truth - .5) | {shown('churn', 'share_of_ceiling', 'model')} | "
        f"{shown('churn', 'share_of_ceiling', 'mbg_nbd')} | 1 |",
        f"| log loss | {shown('churn', 'log_loss', 'model')} | {shown('churn', 'log_loss', 'mbg_nbd')} | {shown('churn', 'log_loss', 'truth')} |",
        f"| ECE | {shown('churn', 'ece', 'model')} | {shown('churn', 'ece', 'mbg_nbd')} | {shown('churn', 'ece', 'truth')} |",
        f"| correlation with the true probability | {shown('churn', 'pearson')} | {shown('churn', 'mbg_nbd_pearson')} | 1 |",
        f"| rank correlation | {shown('churn', 'spearman')} | | 1 |",
        f"| mean distance of the tenths' means from the true ones | {shown('churn', 'tenths_error')} | | 0 |", "",
        "## Timing", "",
        "| order within | predicted | true | happened | correlation with the truth | distance of the tenths | Brier | Brier of the truth |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for place, days in enumerate(HORIZONS):
        cells = [f"{over('timing', place, name):.3f}" for name in
                 ("predicted", "true", "happened", "pearson", "tenths_error", "brier", "brier_of_truth")]  # fmt: skip
        lines.append(f"| {days} days | {' | '.join(cells)} |")
    lines += ["", f"Expected date of the next order (given to {over('median_days_error', 'dated_share'):.0%}): of those who did "
              f"order within a year, half were within {over('median_days_error', 'median_absolute_days'):.1f} days of it."]  # fmt: skip
    return "\n".join(lines) + "\n"


def follow(record, path):
    for step in path:
        record = record[step]
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    worlds = []
    for seed in range(1, asked.seeds + 1):
        worlds.append(world(asked.customers, seed))
        print(worlds[-1], flush=True)
    record = {"customers": asked.customers, "worlds": worlds}
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "results.json").write_text(
        json.dumps(record, indent=1, default=float) + "\n", encoding="utf-8"
    )
    (asked.out / "RESULTS.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
