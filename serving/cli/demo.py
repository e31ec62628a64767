"""``patron demo``: a made-up retailer, from its tables to a model, the weekly list and two pictures."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features import Warehouse, ingest_tables
from features.sources.simulate import simulate
from features.sources.simulate import write as write_simulated
from serving.lists import WeeklyList, weekly, write
from training.registry import Registry
from training.workflow import Training, train_and_register

__all__ = ["run"]

DAYS = 730
END = np.datetime64("2026-09-07")  # a Monday
SEED = 7


def run(console: Console, customers: int, out: Path) -> None:
    """Run the whole road into a folder and say what came of it.

    Parameters
    ----------
    customers
        Customers of the made-up retailer.
    out
        What an earlier demo left there is replaced; other files are left alone.
    """
    world, warehouse = out / "retailer", Warehouse(out / "demo.duckdb")
    _clear(out)
    steps = (
        "making up a retailer",
        "loading its tables",
        "training the churn model",
        "writing the weekly list",
    )
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(steps[0], total=len(steps))
        write_simulated(simulate(customers, DAYS, END, SEED), world)
        progress.update(task, advance=1, description=steps[1])
        ingest_tables(warehouse, world / "tables")
        progress.update(task, advance=1, description=steps[2])
        as_of, registry = pd.Timestamp(END), Registry(out)
        training = train_and_register(warehouse, as_of, registry, pictures=out)
        progress.update(task, advance=1, description=steps[3])
        registered = training.registered
        made = weekly(
            warehouse, registered.model, as_of, model_name=registered.name, model_version=registered.version,
            run_id=registered.run_id,
        )  # fmt: skip
        write(made, out)
        progress.update(task, advance=1, description="done")
    _summary(console, training, made, out)


def _clear(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in ("retailer", "mlartifacts"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("demo.duckdb", "mlflow.db"):
        (out / name).unlink(missing_ok=True)


def _summary(console: Console, training: Training, made: WeeklyList, out: Path) -> None:
    """Tell a marketing manager what was found, in sentences."""
    manifest, rows = made.manifest, made.rows
    active = manifest.customers_known - manifest.left_out.get("no_orders", 0)
    active -= manifest.left_out.get("outside_population", 0)
    console.print(
        f"\nWeek {manifest.week}: of {active:,} customers who bought in the last year, {len(rows):,} are more likely than "
        f"not to place no order in the next {manifest.horizon_days} days. They spent {rows['spend_365d'].sum():,.0f} "
        f"{manifest.currency} in that year; {manifest.value_at_risk:,.0f} of it is at risk."
    )
    if training.comparison is not None:
        figures, share = training.comparison.model, training.comparison.churn_share
        console.print(
            f"How far to trust it: on past dates that the model had not seen, {figures.lift_10pct * share:.0%} of the "
            f"tenth it rated riskiest stayed away, against {share:.0%} of everybody (AUC {figures.auc.estimate:.2f})."
        )
    console.print("The first five to look after:")
    for row in rows.head(5).to_dict("records"):
        console.print(
            f"  {row['rank']}. {row['customer_id']} ({row['region_id']}): {row['churn_probability']:.0%} likely to stay "
            f"away, {row['value_at_risk']:,.0f} {manifest.currency} at risk - {row['reason_1']}; {row['reason_2']}"
        )
    console.print(
        f"The whole list: {out / manifest.files[0]} (opens in a spreadsheet). Pictures: {out / 'calibration.png'} (are the "
        f"probabilities true?), {out / 'lift.png'} (how many churners does a short list reach?). Runs and models: make serve"
    )
