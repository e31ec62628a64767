"""What the commands print: tables and sentences for a person at a terminal."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from features.load import LoadReport
from features.sources.delivery import Delivery
from serving.lists import WeeklyList
from training.evaluate import Comparison, TimingComparison
from training.predict import HORIZONS_DAYS
from training.workflow import Outcome, Training

__all__ = [
    "counts",
    "outcome_record",
    "print_load",
    "print_outcomes",
    "print_training",
    "print_weekly",
]


def counts(values: pd.Series) -> str:
    """Return how often each value occurs, in words."""
    return ", ".join(f"{count:,} {name}" for name, count in values.value_counts().items())


def print_load(console: Console, report: LoadReport, delivery: Delivery | None = None) -> None:
    """Say what became of a delivery, row by row accounted for."""
    if report.seen_before:
        console.print(
            f"{report.label}: these very files were loaded before (load {report.load_id}); nothing to do"
        )
        return
    table = _table("table", "read", "new", "corrected", "unchanged", "repeated", "quarantined")
    for of in report.tables:
        figures = (of.read, of.new, of.corrected, of.unchanged, of.repeated, sum(of.quarantined.values()))
        table.add_row(of.table, *(f"{figure:,}" for figure in figures))
    console.print(table)
    if delivery is not None:
        console.print(f"raw rows read: {delivery.rows_read:,}")
        for reason, count in delivery.repeated.items():
            if count:
                console.print(f"{count:>9,}  not counted again: {reason}")
    for reason, count in report.reasons.most_common():
        console.print(f"{count:>9,}  in quarantine: {reason}")
    ignored = [(of.table, of.ignored_columns) for of in report.tables if of.ignored_columns]
    for name, columns in ignored:
        console.print(f"{name}: columns not used: {', '.join(columns)}")


def print_training(console: Console, training: Training) -> None:
    """Say how good the model is, by figures it could not have fitted, and whether it holds the gates."""
    card, registered = training.registered.models.churn.card, training.registered
    console.print(
        f"{card.rows:,} rows (customer, cutoff) of population {card.population} at {len(card.cutoffs)} cutoffs, "
        f"{card.churn_share:.1%} of which placed no order in {card.horizon_days} days"
    )
    if training.comparison is None:
        console.print("the history is too short for a forward prediction: quality unknown, no gate judged")
    else:
        console.print(_comparison_table("forward predictions", [("", training.comparison)]))
        if training.timing is not None:
            console.print(_timing_table(training.timing))
        table = _table("gate", "value", "bound", "")
        for verdict in training.verdicts:
            mark = "passed" if verdict.passed else "NOT PASSED"
            table.add_row(verdict.name, f"{verdict.value:.4f}", f"{verdict.bound:.4f}", mark)
        console.print(table)
    missed = sum(not verdict.passed for verdict in training.verdicts)
    gates = (
        f"{missed} of {len(training.verdicts)} gates not passed" if training.verdicts else "no gate judged"
    )
    standing = "champion" if training.champion else "challenger; `patron promote` makes it champion"
    console.print(
        f"registered {registered.name} version {registered.version} (run {registered.run_id}): {standing} ({gates})"
    )
    if training.registered.models.churn.trees is None:
        console.print(
            f"too few customers to grow trees on: MBG/NBD by the seasonal clock; scores name the version "
            f"{registered.models.label(registered.version)}"
        )


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print model and baseline at each origin, everybody and slices."""
    for outcome in outcomes:
        rows = [("everybody", outcome.comparison), *outcome.slices.items()]
        console.print(
            _comparison_table(f"origin {outcome.origin.date()}, population active-365d, 90 days", rows)
        )
        console.print(_timing_table(outcome.timing))


def outcome_record(outcome: Outcome) -> dict[str, object]:
    """Return a backtest's figures as plain data."""
    return {
        "origin": outcome.origin.isoformat(),
        "everybody": outcome.comparison.to_dict(),
        "slices": {name: comparison.to_dict() for name, comparison in outcome.slices.items()},
        "timing": outcome.timing.to_dict(),
    }


def print_weekly(console: Console, made: WeeklyList, paths: Sequence[Path]) -> None:
    """Print the head of the list and what is not in it."""
    manifest = made.manifest
    table = _table("rank", "customer", "owner", "value at risk", "churn", "first reason", "offer", "channel")
    for row in made.rows.head(10).to_dict("records"):
        shown = {
            name: "" if pd.isna(row[name]) else str(row[name]) for name in ("owner", "offer_id", "channel")
        }
        table.add_row(
            str(row["rank"]), str(row["customer_id"]), shown["owner"], f"{row['value_at_risk']:,.2f}",
            f"{row['churn_probability']:.0%}", str(row["reason_1"]), shown["offer_id"], shown["channel"],
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{manifest.week}: {manifest.customers_listed:,} of {manifest.customers_known:,} customers at risk, "
        f"{manifest.value_at_risk:,.2f} {manifest.currency} of yearly spend at risk"
    )
    for offer, count in manifest.offers.items():
        console.print(f"{count:>9,}  {'nobody to contact now' if offer == 'none' else offer}")
    for reason, count in manifest.left_out.items():
        console.print(f"{count:>9,}  left out: {reason}")
    console.print("written: " + ", ".join(str(path) for path in paths))


def _comparison_table(title: str, rows: Sequence[tuple[str, Comparison]]) -> Table:
    table = _table(title, "rows", "churn", "AUC", "MBG/NBD", "logloss", "MBG/NBD", "ECE", "MBG/NBD", "floor")
    for name, of in rows:
        model, baseline = of.model, of.baseline
        figures = (
            of.churn_share, model.auc.estimate, baseline.auc.estimate, model.log_loss.estimate,
            baseline.log_loss.estimate, model.ece, baseline.ece, model.ece_floor,
        )  # fmt: skip
        table.add_row(name, f"{of.rows:,}", *(f"{figure:.4f}" for figure in figures))
    return table


def _timing_table(of: TimingComparison) -> Table:
    within = (f"within {days} d" for days in HORIZONS_DAYS)
    table = _table("time of the next order", "integrated Brier 7-90 d", *within)
    rows = (("Patron", of.model), ("MBG/NBD", of.baseline), ("Kaplan-Meier", of.kaplan_meier))
    for name, figures in rows:
        shares = (f"{share:.3f}" for share in figures.predicted)
        table.add_row(name, f"{figures.integrated_brier.estimate:.4f}", *shares)
    table.add_row("ordered in fact", "", *(f"{share:.3f}" for share in of.observed))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    return table
