"""Monitoring on Online Retail II: a model trained once and watched for half a year, what it promised and what it achieved.

Usage: PATRON_DATA=<folder of data sets> python experiments/monitoring/run.py

Writes ``results.json``, ``RESULTS.md`` and ``monitor.png`` beside this file.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from features import Warehouse, ingest_source, instant
from training.monitoring.monitor import Report, monitor
from training.monitoring.page import plot_report, red_line, to_json
from training.workflow import fit_models

HERE = Path(__file__).parent
TRAINED, WATCHED = "2011-03-12", "2011-12-09"
FIGURES = {"auc": "AUC", "log_loss": "logloss"}


def main() -> None:
    if "PATRON_DATA" not in os.environ:
        sys.exit("PATRON_DATA is not set: it names the folder that holds online_retail_ii/")
    export = Path(os.environ["PATRON_DATA"]) / "online_retail_ii" / "online_retail_II.parquet"
    with tempfile.TemporaryDirectory() as scratch:
        warehouse = Warehouse(Path(scratch) / "retail.duckdb")
        ingest_source(warehouse, "online-retail", export)
        models = fit_models(warehouse, instant(TRAINED), say=print).models
        started = time.perf_counter()
        report = monitor(warehouse, models, instant(WATCHED), model_version="1")
        seconds = round(time.perf_counter() - started, 1)
    record = {"seconds": seconds, "report": json.loads(to_json(report))}
    record["report"]["drift"] = record["report"]["drift"][:30]
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(page(report, seconds), encoding="utf-8")
    plot_report(report, HERE / "monitor.png")
    print((HERE / "RESULTS.md").read_text(encoding="utf-8"))


def page(report: Report, seconds: float) -> str:
    return f"""# A model watched for half a year: Online Retail II

Written by `experiments/monitoring/run.py`; do not edit. Population: an order in the 365 days before the as-of. Label: no
order in the 90 days after it. The model was trained once, as of {TRAINED}, and asked again every 28 days; the monitoring is
as of {WATCHED}. Promised: what its probabilities alone led one to expect (CBPE), brackets: where 95 % of outcomes drawn from
them lie. Achieved: what happened, brackets: 95 % bootstrap interval over customers.

{table(report)}

{coverage(report)}

{red_line(report)}

| light now | value | noise | colour | about |
| --- | ---: | ---: | --- | --- |
{lights(report)}

The monitoring took {seconds} s, of {report.customers:,} customers now and {len(report.matured)} past as-ofs.
"""


def table(report: Report) -> str:
    lines = [
        "| as of | customers | churn said | happened | AUC promised | achieved | logloss promised | achieved | surprise | ECE (floor) |",
        "| --- |" + " ---: |" * 9,
    ]
    for one in report.matured:
        figures = " | ".join(
            f"{bracketed(getattr(side, name))}" for name in FIGURES for side in (one.expected, one)
        )
        lines.append(
            f"| {one.as_of.date()} | {one.rows:,} | {one.mean_predicted:.3f} | {one.churn_share:.3f} | {figures} "
            f"| {bracketed(one.surprise)} | {one.ece:.3f} ({one.ece_floor:.3f}) |"
        )
    return "\n".join(lines)


def bracketed(interval: object) -> str:
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def coverage(report: Report) -> str:
    lines = []
    for name, title in FIGURES.items():
        pairs = [(getattr(one.expected, name), getattr(one, name).estimate) for one in report.matured]
        inside = sum(said.low <= value <= said.high for said, value in pairs)
        error = sum(abs(said.estimate - value) for said, value in pairs) / len(pairs)
        lines.append(
            f"{title}: achieved within the promised interval at {inside} of {len(pairs)} as-ofs, mean absolute error of the "
            f"promise {error:.4f}."
        )
    surprise = sum(one.surprise.estimate for one in report.matured) / len(report.matured)
    lines.append(
        f"Surprise (logloss achieved minus promised): {surprise:+.4f} in the mean. Below 0 the probabilities were too timid, "
        "above 0 too bold: a promise is no better than the calibration that it takes for granted."
    )
    return "\n".join(lines)


def lights(report: Report) -> str:
    return "\n".join(
        f"| {light.name} | {'' if light.value is None else f'{light.value:.3f}'} | {light.noise:.3f} | {light.colour} "
        f"| {light.about} |"
        for light in report.lights
        if light.at is None
    )


if __name__ == "__main__":
    main()
