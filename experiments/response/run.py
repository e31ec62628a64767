"""Uplift on Hillstrom's trial and on made-up retailers whose uplifts are known; off-policy intervals in quick worlds.

Usage: PATRON_DATA=<folder of data sets> python experiments/response/run.py [--customers N] [--out FOLDER]

Writes ``results.json`` and ``RESULTS.md``, beside this file unless told otherwise.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import hillstrom  # noqa: E402
import page  # noqa: E402
import worlds  # noqa: E402
from learners import LEARNERS, out_of_fold  # noqa: E402

from features import Warehouse, build, ingest_tables, instant  # noqa: E402
from features.sources.simulate import generate  # noqa: E402
from training.response.fit import arm_trial, train_response  # noqa: E402
from training.response.folds import FOLDS, cross_fit  # noqa: E402
from training.response.panel import build_response_panel  # noqa: E402
from training.response.predict import predict_response  # noqa: E402

END, DAYS, SEEDS = pd.Timestamp("2024-07-01"), 730, (1, 2)


def mails():
    """Hillstrom, by outcome."""
    frame, found = hillstrom.read(), {}
    names, x = hillstrom.features(frame)
    fold = np.random.default_rng(1).permutation(len(x)) % FOLDS
    for outcome in ("visit", "conversion"):
        log = hillstrom.trial_log(frame, outcome)
        fitted = cross_fit(x, log, names)
        others = {name: out_of_fold(learner, x, log, fold) for name, learner in LEARNERS.items()}
        arms = {}
        for k, place in enumerate(fitted.places):
            trial = arm_trial(log, place)[1]
            rest = {name: uplift[:, k] for name, uplift in others.items()}
            arms[log.arms[place]] = hillstrom.figures(log, place, trial, fitted.uplift[:, k], rest) | {
                "line": vars(fitted.lines[k])
            }
        found[outcome] = {
            "arms": arms,
            "policy": hillstrom.policy_figures(log, fitted.uplift, fitted.expected),
        }
    return found


def retailer(customers, seed):
    """A made-up retailer: what is predicted as of its end, against the truth from there on."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder, at = Path(scratch), instant(END)
        generate(folder, customers, DAYS, END.to_datetime64(), seed)
        warehouse = Warehouse(folder / "w.duckdb")
        ingest_tables(warehouse, folder / "tables")
        truth = pd.read_parquet(folder / "truth" / "offers.parquet")
        panel = build_response_panel(warehouse, at)
        now = build(warehouse, [at], population="all")
    truth = truth.pivot_table(index="customer_id", columns="offer_id", values="uplift_order_14d")
    now = now[now["customer_id"].isin(truth.index)].reset_index(drop=True)
    started = time.perf_counter()
    model, _ = train_response(panel, "experiment")
    trained = time.perf_counter()
    found = predict_response(model, now)
    true = truth.loc[now["customer_id"], list(found.arms)].to_numpy()
    x = now[list(model.card.contract.names)].to_numpy(float)
    guesses = {"Patron": found.uplift}
    guesses |= {name: learner(panel.x, panel.log)(x) for name, learner in LEARNERS.items()}
    return {
        "seed": seed,
        "exposures": len(panel.x),
        "left_out": dict(panel.left_out),
        "customers": len(now),
        "arms": {arm.arm: arm_figures(arm, found, true, k) for k, arm in enumerate(model.card.arms)},
        "learners": {name: against_truth(guess, true) for name, guess in guesses.items()},
        "best_possible": float(true.max(axis=1).mean()),
        "best_single": float(true.mean(axis=0).max()),
        "train_seconds": trained - started,
        "seconds": time.perf_counter() - begun,
    }


def arm_figures(arm, found, true, k):
    order = np.argsort(found.uplift[:, k], kind="stable")
    tenths = [
        {
            "predicted": found.uplift[part, k].mean(),
            "low": found.low[part, k].mean(),
            "high": found.high[part, k].mean(),
            "true": true[part, k].mean(),
        }
        for part in np.array_split(order, 10)
    ]
    return {
        "exposures": arm.exposures,
        "controls": arm.controls,
        "line": vars(arm.line),
        "qini": vars(arm.qini),
        "true_mean": true[:, k].mean(),
        "tenths": tenths,
        "tenths_covered": sum(part["low"] <= part["true"] <= part["high"] for part in tenths),
    }


def against_truth(guess, true):
    """Correlation and error by arm, and the true uplift of the policy that gives each customer the arm of the largest guess."""
    flat = np.ptp(guess, axis=0) == 0.0
    with np.errstate(invalid="ignore"):
        correlation = [
            0.0 if flat[k] else float(np.corrcoef(guess[:, k], true[:, k])[0, 1])
            for k in range(true.shape[1])
        ]
    best = np.where(guess.max(axis=1) > 0, guess.argmax(axis=1), -1)
    earned = np.column_stack([true, np.zeros(len(true))])[np.arange(len(true)), best]
    return {
        "correlation": correlation,
        "rmse": np.sqrt(np.mean((guess - true) ** 2, axis=0)),
        "policy": float(earned.mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    begun = time.perf_counter()
    record = {"hillstrom": mails()}
    record["coverage"] = worlds.coverage()
    record["retailers"] = [retailer(asked.customers, seed) for seed in SEEDS]
    record["asked_customers"] = asked.customers
    record["seconds"] = time.perf_counter() - begun
    asked.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, default=lambda value: np.asarray(value).tolist())
    (asked.out / "results.json").write_text(text + "\n", encoding="utf-8")
    peers = HERE / "peers.json"
    said = json.loads(peers.read_text(encoding="utf-8")) if peers.exists() else {}
    (asked.out / "RESULTS.md").write_text(page.page(json.loads(text), said), encoding="utf-8")
    print(page.page(json.loads(text), said))


if __name__ == "__main__":
    main()
