"""Churn and timing on Online Retail II: train as of each origin, predict 90 days, compare with MBG/NBD and with what happened.

Usage: PATRON_DATA=<folder of data sets> python experiments/online_retail_ii/run.py

Writes ``results.json``, ``RESULTS.md``, ``calibration.png`` and ``lift.png`` beside this file.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from features import Warehouse, ingest_source, instant
from serving.cli.reports import outcome_record
from training.plots import plot_calibration, plot_lift
from training.predict import HORIZONS_DAYS
from training.workflow import Outcome, backtest_origin

HERE = Path(__file__).parent
ORIGINS = ("2011-03-12", "2011-06-12", "2011-07-24", "2011-09-10")


def main() -> None:
    if "PATRON_DATA" not in os.environ:
        sys.exit("PATRON_DATA is not set: it names the folder that holds online_retail_ii/")
    export = Path(os.environ["PATRON_DATA"]) / "online_retail_ii" / "online_retail_II.parquet"
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        warehouse = Warehouse(Path(scratch) / "retail.duckdb")
        report, delivery = ingest_source(warehouse, "online-retail", export)
        outcomes = [backtest_origin(warehouse, instant(origin), say=print) for origin in ORIGINS]
    lines = next(table for table in report.tables if table.table == "order_lines")
    record = {
        "rows_read": delivery.rows_read,
        "kept": lines.new,
        "repeated": dict(delivery.repeated),
        "quarantined": dict(lines.quarantined),
        "origins": [outcome_record(outcome) for outcome in outcomes],
        "seconds": round(time.perf_counter() - started, 1),
    }
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(page(record, outcomes), encoding="utf-8")
    pictures(outcomes)
    print((HERE / "RESULTS.md").read_text(encoding="utf-8"))


def pictures(outcomes: list[Outcome]) -> None:
    y = np.concatenate([outcome.y for outcome in outcomes])
    curves = {
        "Patron": np.concatenate([outcome.model for outcome in outcomes]),
        "MBG/NBD": np.concatenate([outcome.baseline for outcome in outcomes]),
    }
    plot_calibration(y, curves, HERE / "calibration.png", "Online Retail II, four origins, 90 days")
    plot_lift(y, curves, HERE / "lift.png", "Online Retail II, four origins: churners reached, 90 days")


def page(record: dict[str, object], outcomes: list[Outcome]) -> str:
    return f"""# Churn on Online Retail II

Written by `experiments/online_retail_ii/run.py`; do not edit. Population: an order in the 365 days before the origin.
Label: no order in the 90 days after it. Model and baseline know nothing at or after the origin. Brackets: 95 %
bootstrap interval over customers. Difference: Patron - MBG/NBD on the same customers; within one standard error it is
a tie.

{table([(outcome.origin.date().isoformat(), outcome.comparison) for outcome in outcomes])}

Mean over the origins: logloss {mean(outcomes, "model"):.4f}, MBG/NBD {mean(outcomes, "baseline"):.4f}.

Slices at {outcomes[-1].origin.date()}:

{table(list(outcomes[-1].slices.items()))}

## Time of the next order

Integrated Brier score over 7 to 90 days (0 is perfect), and the mean predicted share with an order within so many days
minus the observed one. Kaplan-Meier gives everybody the curve of the training rows.

{timing_table(outcomes)}

Rows: {record["rows_read"]:,} read, {record["kept"]:,} kept; ingest and the whole backtest took {record["seconds"]} s on 2 cores.

| set aside or not counted again | rows |
| --- | ---: |
{accounts(record)}
"""


def mean(outcomes: list[Outcome], which: str) -> float:
    return float(np.mean([getattr(outcome.comparison, which).log_loss.estimate for outcome in outcomes]))


def table(rows: list[tuple[str, object]]) -> str:
    head = "| | n | churn | AUC | MBG/NBD | difference | logloss | MBG/NBD | difference | ECE | MBG/NBD | floor |"
    lines = [head, "| --- |" + " ---: |" * 11]
    for name, c in rows:
        auc, loss = c.model.auc, c.model.log_loss
        lines.append(
            f"| {name} | {c.rows:,} | {c.churn_share:.3f} | {auc.estimate:.4f} [{auc.low:.3f}, {auc.high:.3f}] "
            f"| {c.baseline.auc.estimate:.4f} | {difference(c.auc_difference)} "
            f"| {loss.estimate:.4f} [{loss.low:.3f}, {loss.high:.3f}] | {c.baseline.log_loss.estimate:.4f} "
            f"| {difference(c.log_loss_difference)} | {c.model.ece:.3f} | {c.baseline.ece:.3f} | {c.model.ece_floor:.3f} |"
        )
    return "\n".join(lines)


def timing_table(outcomes: list[Outcome]) -> str:
    errors = " | ".join(f"error at {days} d" for days in HORIZONS_DAYS)
    lines = [f"| | Patron | MBG/NBD | difference | Kaplan-Meier | {errors} |", "| --- |" + " ---: |" * 9]
    for outcome in outcomes:
        c = outcome.timing
        brier = c.model.integrated_brier
        off = " | ".join(f"{p - y:+.3f}" for p, y in zip(c.model.predicted, c.observed, strict=True))
        lines.append(
            f"| {outcome.origin.date()} | {brier.estimate:.4f} [{brier.low:.3f}, {brier.high:.3f}] "
            f"| {c.baseline.integrated_brier.estimate:.4f} | {difference(c.difference_from_baseline)} "
            f"| {c.kaplan_meier.integrated_brier.estimate:.4f} | {off} |"
        )
    return "\n".join(lines)


def difference(d: object) -> str:
    return f"{d.estimate:+.4f}{' (tie)' if d.is_tie else f' ± {d.standard_error:.4f}'}"


def accounts(record: dict[str, object]) -> str:
    kinds = {**record["repeated"], **record["quarantined"]}
    return "\n".join(f"| {reason} | {count:,} |" for reason, count in kinds.items())


if __name__ == "__main__":
    main()
