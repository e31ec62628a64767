"""``patron monitor``: whether the model is still right."""

from pathlib import Path
from typing import Annotated

import typer

from features import Warehouse, instant
from serving.cli.terminal import WarehouseFile, console

__all__ = ["monitor"]


def monitor(
    warehouse: WarehouseFile,
    as_of: Annotated[
        str, typer.Option("--as-of", help="Date (00:00 UTC) or instant; nothing at or after it is used.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    model: Annotated[
        str, typer.Option("--model", help="champion, challenger, previous, latest, or a version number.")
    ] = "champion",
    scores: Annotated[
        Path | None,
        typer.Option(help="Folder of files that `patron score` wrote; by default the model is asked again."),
    ] = None,
) -> None:
    """Report drift, the performance to be expected, and what became of past scores; the lights say what to look at."""
    # as in commands.py: heavy libraries are imported when they are needed, so that `patron --help` stays quick
    from training.monitoring.matured import read_scores  # noqa: PLC0415
    from training.monitoring.monitor import monitor as watch  # noqa: PLC0415
    from training.monitoring.page import red_line, write_report  # noqa: PLC0415
    from training.registry import Registry, model_name  # noqa: PLC0415

    shop, at = Warehouse(warehouse), instant(as_of)
    name = model_name(shop.settings().warehouse_id)
    past = None if scores is None else read_scores(scores)
    registry = Registry(warehouse.absolute().parent)
    chosen = registry.get(name, model, at)
    with console.status("monitoring"):
        report = watch(shop, chosen.models, at, past_scores=past, model_version=chosen.version)
    paths = write_report(report, out)
    tags = {"as_of": at.isoformat(), "model_version": chosen.version, "model_run_id": chosen.run_id}
    run_id = registry.log_report(name, metrics=report.metrics(), tags=tags, files=paths)
    colours = [light.colour for light in report.lights]
    counted = ", ".join(f"{colours.count(colour)} {colour}" for colour in ("red", "amber", "green", "grey"))
    console.print(
        f"{name} version {report.model_version} as of {at}: {report.customers:,} customers, {len(report.matured)} past "
        f"as-ofs judged, {len(report.unjudged)} not yet; lights: {counted} (run {run_id}) -> {out}"
    )
    console.print(red_line(report))
