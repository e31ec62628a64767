"""A monitoring report as files: Markdown for people, JSON for programs, a picture for the wall. Nothing is shown."""

import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from training.intervals import Interval
from training.monitoring.expected import ASSUMPTION, Expected
from training.monitoring.lights import BOUNDS, DRIFTED_PSI, Light
from training.monitoring.matured import Matured
from training.monitoring.monitor import Report

__all__ = ["FILES", "page", "plot_report", "red_line", "to_json", "write_report"]

FILES = ("monitor.md", "monitor.json", "monitor.png")

_MOST_COLUMNS = 20
_MOVING = ("number", "history")
_COLOURS = {"green": "#0b6e4f", "amber": "#d9902f", "red": "#b3261e", "grey": "#9a9a9a"}
_PANELS: Sequence[tuple[str, str]] = (
    ("auc", "AUC"),
    ("log_loss", "logloss"),
    ("churn_share", "share of churn"),
)


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``FILES`` into a folder, which is made if need be; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = [Path(scratch) / name for name in FILES]
        made[0].write_text(page(report), encoding="utf-8")
        made[1].write_text(to_json(report), encoding="utf-8")
        plot_report(report, made[2])
        return [path.replace(folder / path.name) for path in made]


def to_json(report: Report) -> str:
    """Return the report as strict JSON: what is undefined is null, what is infinite a word."""
    lights = [
        {**asdict(light), "colour": light.colour, "amber": light.bound.amber, "red": light.bound.red}
        for light in report.lights
    ]
    data = {
        "as_of": report.as_of,
        "warehouse_id": report.warehouse_id,
        "model_version": report.model_version,
        "trained_as_of": report.trained_as_of,
        "customers": report.customers,
        "lights": lights,
        "assumption": ASSUMPTION,
        "expected": None if report.expected is None else asdict(report.expected),
        "matured": [asdict(one) for one in report.matured],
        "unjudged": [asdict(one) for one in report.unjudged],
        "score_drift": asdict(report.score_drift),
        "reference": report.reference,
        "drift": report.drift.to_dict("records"),
    }
    return json.dumps(_plain(data), indent=1, ensure_ascii=False, allow_nan=False)


def page(report: Report) -> str:
    """Return the report as a page for people."""
    return f"""# Monitoring of model {report.model_version} as of {report.as_of}

Warehouse {report.warehouse_id}; {report.customers:,} customers in the population; the model was trained as of
{report.trained_as_of}. {red_line(report)}

## Lights

A value is amber or red above its bound; a value within its noise (what it would stay below 95 times in 100 if nothing were
wrong) is green whatever the bound says. Grey: nothing can be measured.

| | measure | past as-of | value | noise | amber above | red above | about |
| --- | --- | --- | ---: | ---: | ---: | ---: | --- |
{_lines(_light_row(light) for light in report.lights)}

{_lines(f"- **{bound.name}**: {bound.measures}" for bound in BOUNDS.values())}

## Expected performance now

Nothing that the scores of {report.as_of} say has happened yet; these figures follow from the probabilities alone
(confidence-based performance estimation), with what chance makes of them 95 times in 100.
Assumed: {ASSUMPTION}

{_expected_table(report.expected)}

## What became of past scores

{_matured_table(report.matured)}

{_lines(f"- {one.as_of} ({one.source}): not judged, {one.why}" for one in report.unjudged) or "No other past scores."}

## Drift of features

Now against {report.reference}. Sizes of effects: PSI, standardised difference of the means, Jensen-Shannon divergence of
words (bits), shares of nulls. Weight: the column's share in the model. Kind history: looks at the whole history, which
lengthens as a shop grows old. The {_MOST_COLUMNS} heaviest movers of
{len(report.drift)} columns; all stand in `monitor.json`. PSI of the churn probabilities: {report.score_drift.value:.3f}
(noise {report.score_drift.noise:.3f}).

| column | kind | weight | PSI | noise | std. difference | mean then | mean now | nulls then | nulls now | JS |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{_lines(_drift_row(row) for row in _shown(report.drift))}
"""


def plot_report(report: Report, path: Path) -> None:
    """Draw what past scores promised (band) and achieved (bars), and the columns that moved most."""
    figure = Figure(figsize=(14.0, 4.6), layout="constrained")
    *panels, last = figure.subplots(1, len(_PANELS) + 1)
    for axes, (name, title) in zip(panels, _PANELS, strict=True):
        _plot_past(axes, report, name)
        axes.set_title(title, fontsize=10)
    panels[0].legend(frameon=False, fontsize=8)
    _plot_drift(last, report.drift)
    for axes in (*panels, last):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Model {report.model_version} as of {report.as_of}. {red_line(report)}", fontsize=10)
    figure.savefig(path, dpi=120)


def _plot_past(axes: mpl.axes.Axes, report: Report, name: str) -> None:
    """Draw one figure at each past as-of, and what is expected of now."""
    promised = [(one.as_of, getattr(one.expected, name)) for one in report.matured]
    if report.expected is not None:
        promised.append((report.as_of, getattr(report.expected, name)))
    for place, (_, interval) in enumerate(promised):
        axes.vlines(place, interval.low, interval.high, color="#cfe3da", linewidth=9,
                    label="expected, 95 %" if place == 0 else "_")  # fmt: skip
    for place, one in enumerate(report.matured):
        value = one.churn_share if name == "churn_share" else getattr(one, name).estimate
        if name != "churn_share":
            bar = getattr(one, name)
            axes.vlines(place, bar.low, bar.high, color="#222222", linewidth=1)
        axes.plot(
            place, value, "o", markersize=5, color=_COLOURS["green"], label="achieved" if place == 0 else "_"
        )
    axes.set_xticks(range(len(promised)), [f"{at.date()}" for at, _ in promised], rotation=60, fontsize=7)


def _plot_drift(axes: mpl.axes.Axes, table: pd.DataFrame) -> None:
    moved = table[table["kind"].isin(_MOVING)].nlargest(12, "psi")[::-1]
    bars = axes.barh(moved["column"], moved["psi"], color="#9a9a9a")
    for bar, weight in zip(bars, moved["weight"], strict=True):
        # darker where the model looks
        bar.set_color(_COLOURS["green"] if weight >= 0.01 else "#c9c9c9")
    axes.axvline(DRIFTED_PSI, color=_COLOURS["red"], linewidth=1)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_title("PSI; green: 1 % of the model or more", fontsize=10)


def red_line(report: Report) -> str:
    """Return what is red, in one line."""
    if not report.red:
        return "Nothing is red."
    said = (f"{light.name}{_at(light)} ({light.value:.3f} > {light.bound.red:g})" for light in report.red)
    return f"Red: {', '.join(said)}."


def _at(light: Light) -> str:
    return "" if light.at is None else f" of {light.at.date()}"


def _light_row(light: Light) -> str:
    value = "" if light.value is None else f"{light.value:.4f}"
    at = "" if light.at is None else str(light.at.date())
    return (
        f"| {light.colour} | {light.name} | {at} | {value} | {light.noise:.4f} | {light.bound.amber:g} "
        f"| {light.bound.red:g} | {light.about} |"
    )


def _expected_table(expected: Expected | None) -> str:
    if expected is None:
        return "Too few churners, or others, are expected for any figure."
    figures = {"share of churn": expected.churn_share, "AUC": expected.auc, "logloss": expected.log_loss,
               "ECE by chance alone": expected.ece}  # fmt: skip
    rows = _lines(f"| {name} | {_with_interval(interval)} |" for name, interval in figures.items())
    return f"| of {expected.rows:,} customers | expected |\n| --- | ---: |\n{rows}"


def _matured_table(matured: Sequence[Matured]) -> str:
    if not matured:
        return "No outcome of any past score is known yet."
    head = "| as of | model | scores | customers | said | happened | AUC | promised | logloss | promised | surprise | ECE | floor |"
    rows = (
        f"| {one.as_of.date()} | {one.model_version} | {one.source} | {one.rows:,} | {one.mean_predicted:.3f} "
        f"| {one.churn_share:.3f} | {_with_interval(one.auc)} | {_with_interval(one.expected.auc)} "
        f"| {_with_interval(one.log_loss)} | {_with_interval(one.expected.log_loss)} "
        f"| {_with_interval(one.surprise)} | {one.ece:.3f} | {one.ece_floor:.3f} |"
        for one in matured
    )
    return f"{head}\n| --- | --- | --- |{' ---: |' * 10}\n{_lines(rows)}"


def _with_interval(interval: Interval) -> str:
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _shown(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the heaviest movers, and every column of words."""
    found = pd.concat(
        [table[table["kind"].isin(_MOVING)].head(_MOST_COLUMNS), table[table["kind"] == "code"]]
    )
    return [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]


def _drift_row(row: Mapping[str, Any]) -> str:
    figures = (row["weight"], row["psi"], row["psi_noise"], row["standardised_difference"], row["mean_reference"],
               row["mean_now"], row["null_share_reference"], row["null_share_now"], row["jensen_shannon"])  # fmt: skip
    cells = " | ".join("" if pd.isna(figure) else f"{figure:.3f}" for figure in figures)
    return f"| `{row['column']}` | {row['kind']} | {cells} |"


def _lines(rows: Iterable[str]) -> str:
    return "\n".join(rows)


def _plain(value: Any) -> Any:
    """Return nested data as what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
