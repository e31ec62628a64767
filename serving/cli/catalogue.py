"""``patron features``: build the features of a population; beside it, what features there are and what one of them means."""

import difflib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from features import Warehouse, build_file
from features.build import POPULATIONS
from features.catalogue import FACTS, FEATURES, GROUPS
from features.catalogue import describe as described
from features.errors import InputError
from features.page import sentence, window
from features.vocabulary import Feature
from serving.cli.terminal import WarehouseFile, console, progress_bar

__all__ = ["app"]

_FACTS = "facts"


class _BuildsUnlessAsked(TyperGroup):
    """A group whose own options are required only where no command of its own is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.resilient_parsing = bool(args) and not args[0].startswith("-")
        rest = super().parse_args(ctx, args)
        ctx.resilient_parsing = False
        return rest


app = typer.Typer(cls=_BuildsUnlessAsked, invoke_without_command=True)


@app.callback()
def features(
    ctx: typer.Context,
    warehouse: WarehouseFile,
    cutoff: Annotated[list[str], typer.Option(help="Date (00:00 UTC) or instant; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    population: Annotated[str, typer.Option(help=" or ".join(POPULATIONS))] = "active-365d",
) -> None:
    """Build the features of a population as they were known at each cutoff; or list or describe them."""
    if ctx.invoked_subcommand is not None:
        if ctx.params["warehouse"] is not None:
            raise InputError(
                f"--warehouse, --cutoff and --out build features: leave them out before {ctx.invoked_subcommand}"
            )
        return
    try:
        with progress_bar(console, "features") as progress:
            rows = build_file(Warehouse(warehouse), cutoff, out, population=population, progress=progress)
    except (KeyboardInterrupt, RuntimeError) as problem:
        if isinstance(problem, RuntimeError) and "interrupted" not in str(problem):
            raise
        print("patron: interrupted; the same command goes on where it was", file=sys.stderr)  # noqa: T201
        raise typer.Exit(130) from problem
    console.print(f"{rows:,} rows (customer, cutoff) x {len(FEATURES)} features -> {out}")


@app.command("list")
def list_(
    group: Annotated[str | None, typer.Option(help=f"One of {', '.join(GROUPS)}; {_FACTS}.")] = None,
) -> None:
    """List the features by group, and the facts that only rules look at."""
    by_group = {name: [one for one in FEATURES if one.group == name] for name in GROUPS}
    by_group[_FACTS] = list(FACTS)
    if group is not None and group not in by_group:
        close = ", ".join(difflib.get_close_matches(group, by_group, n=3) or by_group)
        raise InputError(f"no group of features is called {group!r}: choose of {close}")
    for name in by_group if group is None else [group]:
        kind = "facts, no features" if name == _FACTS else "features"
        console.print(f"{name} ({len(by_group[name])} {kind})", style="bold")
        console.print(sentence(name), soft_wrap=False)
        console.print(_table(by_group[name]))
        console.print()
    if group is None:
        console.print(f"{len(FEATURES)} features in {len(GROUPS)} groups, {len(FACTS)} facts")


@app.command()
def describe(name: Annotated[str, typer.Argument(help="Name of a feature or fact.")]) -> None:
    """Say what a feature or fact means: its rows, operation, window, unit, and what it is where there is nothing."""
    console.print(described(name))


def _table(features: list[Feature]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("unit", max_width=12)
    table.add_column("type", no_wrap=True)
    table.add_column("window", no_wrap=True)
    table.add_column("empty", max_width=22)
    table.add_column("description")
    for one in features:
        table.add_row(one.name, one.measure.unit, one.type, window(one), one.empty, one.description)
    return table
