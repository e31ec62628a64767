"""The one command, ``patron``. Each subcommand reads its arguments, calls one function, and says what came of it.

Exit status: 0 done; 2 the user's mistake, told in one line; 1 our fault. Heavy libraries are imported by the commands
that need them, so that ``patron --help`` answers at once.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from features import Warehouse, build, ingest_source, ingest_tables, instant
from features.build import POPULATIONS
from features.errors import InputError, PatronError
from features.sources import SOURCES

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Customer intelligence for retailers: features, churn, and the weekly at-risk list.",
)
# into a file or a pipe, tables are not squeezed into a terminal's width
console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)

WarehouseFile = Annotated[Path, typer.Option("--warehouse", help="The warehouse file (DuckDB).")]
AsOf = Annotated[
    str, typer.Option("--as-of", help="Date (00:00 UTC) or instant; nothing at or after it is used.")
]
Model = Annotated[str, typer.Option("--model", help="champion, challenger, latest, or a version number.")]
Trials = Annotated[
    int, typer.Option("--trials", min=0, help="Optuna trials; 0 takes the default parameters.")
]


@app.command()
def ingest(
    warehouse: WarehouseFile,
    tables: Annotated[Path | None, typer.Option(help="Folder of canonical Parquet files.")] = None,
    source: Annotated[str | None, typer.Option(help=f"Adapter: {', '.join(sorted(SOURCES))}.")] = None,
    path: Annotated[Path | None, typer.Option(help="File or folder of the source's export.")] = None,
    received_at: Annotated[str | None, typer.Option(help="Replay: when the delivery arrived.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217, of a new warehouse.")] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA zone, of a new warehouse (default UTC).")] = None,
) -> None:
    """Load canonical tables or an export; bad rows go to quarantine with a reason."""
    from serving.cli.reports import print_load

    at = None if received_at is None else instant(received_at).to_pydatetime()
    store = Warehouse(warehouse)
    if (tables is None) == (source is None):
        raise InputError("say what to load: either --tables DIR, or --source NAME with --path P")
    if tables is not None:
        if path is not None:
            raise InputError("--path belongs to --source; --tables names its folder itself")
        report = ingest_tables(store, tables, received_at=at, currency=currency, timezone=timezone)
        print_load(console, report)
        return
    if path is None or source is None:
        raise InputError(f"--source {source} needs --path, a file or folder of its export")
    report, delivery = ingest_source(
        store, source, path, received_at=at, currency=currency, timezone=timezone
    )
    print_load(console, report, delivery)


@app.command()
def features(
    warehouse: WarehouseFile,
    cutoff: Annotated[list[str], typer.Option(help="Date (00:00 UTC) or instant; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    population: Annotated[str, typer.Option(help=" or ".join(POPULATIONS))] = "active-365d",
) -> None:
    """Build the features of a population as they were known at each cutoff."""
    from serving.cli.reports import progress_bar, write_parquet

    with progress_bar(console, "features") as progress:
        frame = build(Warehouse(warehouse), cutoff, population=population, progress=progress)
    write_parquet(frame, out)
    console.print(f"{len(frame):,} rows (customer, cutoff) x {frame.shape[1] - 2} features -> {out}")


@app.command()
def train(warehouse: WarehouseFile, as_of: AsOf, trials: Trials = 0) -> None:
    """Train the churn model on what was known before the as-of; judge it, register it."""
    from serving.cli.reports import print_training
    from training.registry import Registry
    from training.workflow import train_and_register

    store = Warehouse(warehouse)
    store.settings()  # before anything is made beside a warehouse that is not there
    registry = Registry(warehouse.absolute().parent)
    with tempfile.TemporaryDirectory() as scratch, console.status("training") as status:
        training = train_and_register(
            Warehouse(warehouse),
            instant(as_of),
            registry,
            pictures=Path(scratch),
            trials=trials,
            say=status.update,
        )
    print_training(console, training)
    console.print(f"runs and models: {registry.uri}")


@app.command()
def backtest(
    warehouse: WarehouseFile,
    origin: Annotated[list[str], typer.Option(help="Cutoff to predict at; may be repeated.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    trials: Trials = 0,
) -> None:
    """Train as of each origin, predict, and hold the predictions against what happened."""
    from serving.cli.reports import outcome_record, print_outcomes, whole_file
    from training.workflow import backtest_origin

    store = Warehouse(warehouse)
    with console.status("backtest") as status:
        outcomes = [backtest_origin(store, instant(at), trials=trials, say=status.update) for at in origin]
    with whole_file(out) as file:
        file.write(json.dumps([outcome_record(outcome) for outcome in outcomes], indent=1).encode())
    print_outcomes(console, outcomes)


@app.command()
def score(
    warehouse: WarehouseFile,
    as_of: AsOf,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    model: Model = "champion",
) -> None:
    """Score every known customer; where no score can be given the status says why."""
    from serving.cli.reports import counts, write_parquet
    from serving.score import score as score_frame
    from training.registry import Registry, churn_name

    store, at = Warehouse(warehouse), instant(as_of)
    name = churn_name(store.settings().warehouse_id)
    chosen = Registry(warehouse.absolute().parent).get(name, model, at)
    scores = score_frame(build(store, [at], population="all"), chosen.model, chosen.version)
    write_parquet(scores, out)
    console.print(
        f"{len(scores):,} customers scored by {name} version {chosen.version}: {counts(scores['status'])} -> {out}"
    )


@app.command()
def weekly(
    warehouse: WarehouseFile,
    as_of: AsOf,
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    model: Model = "champion",
    at_risk_from: Annotated[
        float, typer.Option(min=0, max=1, help="Churn probability from which to list.")
    ] = 0.5,
) -> None:
    """Write the weekly at-risk list (CSV, Parquet) and its manifest."""
    from serving.cli.reports import print_weekly
    from serving.lists import weekly as make
    from serving.lists import write
    from training.registry import Registry, churn_name

    store, at = Warehouse(warehouse), instant(as_of)
    name = churn_name(store.settings().warehouse_id)
    chosen = Registry(warehouse.absolute().parent).get(name, model, at)
    made = make(
        store, chosen.model, at, model_name=chosen.name, model_version=chosen.version, run_id=chosen.run_id,
        at_risk_from=at_risk_from,
    )  # fmt: skip
    print_weekly(console, made, write(made, out))


@app.command()
def promote(
    warehouse: WarehouseFile,
    model: Annotated[
        str, typer.Option("--model", help="challenger, latest, or a version number.")
    ] = "challenger",
) -> None:
    """Make a registered model the champion; an older version rolls back."""
    from training.registry import Registry, churn_name

    name = churn_name(Warehouse(warehouse).settings().warehouse_id)
    version = Registry(warehouse.absolute().parent).promote(name, model)
    console.print(f"{name} version {version} is champion")


@app.command()
def demo(
    customers: Annotated[int, typer.Option(min=500, help="Customers of the made-up retailer.")] = 5000,
    out: Annotated[
        Path, typer.Option(help="Folder to write into; an earlier demo there is replaced.")
    ] = Path("out"),
) -> None:
    """Make up a retailer, and go from its tables to a model and the weekly list."""
    from serving.cli.demo import run

    run(console, customers, out)


def main() -> None:
    """Run the command; a mistake of the user's is one line and exit status 2."""
    # local use: nothing is reported to anybody
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")
    try:
        app()
    except PatronError as mistake:
        print(f"patron: {mistake}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except OSError as mistake:
        print(f"patron: {mistake.filename or 'a file'}: {mistake.strerror or mistake}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
