"""The one command, ``patron``. Each subcommand reads its arguments, calls one function, and says what came of it.

Exit status: 0 done; 2 the user's mistake, told in one line; 1 our fault. Heavy libraries are imported by the commands
that need them, so that ``patron --help`` answers at once.
"""

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from features import Warehouse, build, ingest_source, ingest_tables, instant
from features.errors import InputError, PatronError
from features.sources import SOURCES
from serving import settings
from serving.cli import catalogue
from serving.cli.monitor import monitor
from serving.cli.recommend import recommend
from serving.cli.replenish import replenish
from serving.cli.terminal import WarehouseFile, console, progress_bar, whole_file, write_parquet

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Customer intelligence for retailers: features, churn, and the weekly at-risk list.",
)
app.add_typer(catalogue.app, name="features")
app.command()(replenish)
app.command()(recommend)
app.command()(monitor)

AsOf = Annotated[
    str, typer.Option("--as-of", help="Date (00:00 UTC) or instant; nothing at or after it is used.")
]
Model = Annotated[
    str, typer.Option("--model", help="champion, challenger, previous, latest, or a version number.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="URL of the store; by default PATRON_STORE, or else sqlite:///store.db."),
]
Trials = Annotated[
    int, typer.Option("--trials", min=0, help="Optuna trials; 0 takes the default parameters.")
]


@app.command()
def ingest(
    warehouse: WarehouseFile,
    tables: Annotated[Path | None, typer.Option(help="Folder of canonical Parquet files.")] = None,
    source: Annotated[str | None, typer.Option(help=f"Adapter: {', '.join(sorted(SOURCES))}.")] = None,
    path: Annotated[Path | None, typer.Option(help="File or folder of the source's export.")] = None,
    store: Annotated[str | None, typer.Option(help="URL of a store: what the service took in.")] = None,
    received_at: Annotated[str | None, typer.Option(help="Replay: when the delivery arrived.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217, of a new warehouse.")] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA zone, of a new warehouse (default UTC).")] = None,
) -> None:
    """Load canonical tables or an export; bad rows go to quarantine with a reason."""
    from serving.cli.reports import print_load

    if sum(given is not None for given in (tables, source, store)) != 1:
        raise InputError(
            "say what to load: either --tables DIR, or --source NAME with --path P, or --store URL"
        )
    if path is not None and source is None:
        raise InputError("--path belongs to --source; --tables and --store name what they load themselves")
    if store is not None:
        _flow_back(Warehouse(warehouse), store)
        return
    at = None if received_at is None else instant(received_at).to_pydatetime()
    if tables is not None:
        report = ingest_tables(
            Warehouse(warehouse), tables, received_at=at, currency=currency, timezone=timezone
        )
        print_load(console, report)
        return
    if path is None or source is None:
        raise InputError(f"--source {source} needs --path, a file or folder of its export")
    report, delivery = ingest_source(
        Warehouse(warehouse), source, path, received_at=at, currency=currency, timezone=timezone
    )
    print_load(console, report, delivery)


def _flow_back(warehouse: Warehouse, store: str) -> None:
    """Load what the service took in."""
    from serving.cli.reports import print_load
    from serving.inbox import flow_back
    from serving.store import Store

    reports = flow_back(warehouse, Store(store), datetime.now(UTC).replace(tzinfo=None))
    for report in reports:
        print_load(console, report)
    if not reports:
        console.print("the warehouse holds everything that the service took in")


@app.command()
def train(
    warehouse: WarehouseFile,
    as_of: AsOf,
    trials: Trials = 0,
    promote_if_passed: Annotated[
        bool, typer.Option("--promote", help="Make it the champion if it holds every gate.")
    ] = False,
) -> None:
    """Train the models on what was known before the as-of; judge them, register them."""
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
            promote=promote_if_passed,
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
    from serving.cli.reports import outcome_record, print_outcomes
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
    from serving.cli.reports import counts
    from serving.score import score as score_frame
    from training.registry import Registry, model_name

    store, at = Warehouse(warehouse), instant(as_of)
    name = model_name(store.settings().warehouse_id)
    chosen = Registry(warehouse.absolute().parent).get(name, model, at)
    scores = score_frame(build(store, [at], population="all"), chosen.models, chosen.version)
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
    store: Annotated[
        str | None, typer.Option(help="URL of the store whose committed decisions count under the caps.")
    ] = None,
) -> None:
    """Write the weekly at-risk list with the next best offers (CSV, Parquet) and its manifest."""
    from serving.cli.reports import print_weekly
    from serving.lists import weekly as make
    from serving.lists import write
    from serving.store import Store
    from training.registry import Registry, model_name

    shop, at = Warehouse(warehouse), instant(as_of)
    name = model_name(shop.settings().warehouse_id)
    chosen = Registry(warehouse.absolute().parent).get(name, model, at)
    made = make(
        shop, chosen.models, at, model_name=chosen.name, model_version=chosen.version, run_id=chosen.run_id,
        at_risk_from=at_risk_from, store=None if store is None else Store(store),
    )  # fmt: skip
    print_weekly(console, made, write(made, out))


@app.command()
def promote(
    warehouse: WarehouseFile,
    model: Annotated[
        str, typer.Option("--model", help="challenger, previous, latest, or a version number.")
    ] = "challenger",
) -> None:
    """Make a registered model the champion; `--model previous` rolls back."""
    from training.registry import Registry, model_name

    name = model_name(Warehouse(warehouse).settings().warehouse_id)
    version = Registry(warehouse.absolute().parent).promote(name, model)
    console.print(f"{name} version {version} is champion")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for tables/ and truth/; what stands there is replaced.")],
    end: Annotated[str, typer.Option(help="Date (00:00 UTC) at which the tables end and the truth begins.")],
    customers: Annotated[int, typer.Option(min=1, help="How many.")] = 5000,
    days: Annotated[int, typer.Option(min=1, help="Length of the history.")] = 730,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same retailer.")] = 7,
) -> None:
    """Make a retailer up whose truth is known: canonical tables before the end, what is true from it on."""
    from features.sources.simulate import generate

    with progress_bar(console, "simulating") as progress:
        rows = generate(out, customers, days, instant(end).to_datetime64(), seed, progress=progress)
    facts = sum(count for name, count in rows.items() if name.startswith("tables/"))
    console.print(
        f"{customers:,} customers, {facts:,} facts before {end} -> {out / 'tables'}; the truth -> {out / 'truth'}"
    )


@app.command()
def publish(warehouse: WarehouseFile, store: StoreUrl = None, model: Model = "champion") -> None:
    """Write the serving copy of every customer, and the model, into the store; the service works from it."""
    import pandas as pd

    from serving.publish import publish as write_copy
    from serving.store import Store
    from training.registry import Registry, model_name

    name, now = (
        model_name(Warehouse(warehouse).settings().warehouse_id),
        pd.Timestamp.now("UTC").tz_localize(None),
    )
    chosen = Registry(warehouse.absolute().parent).get(name, model, now)
    url = store or settings.store_url()
    with progress_bar(console, "publishing") as progress:
        done = write_copy(
            Warehouse(warehouse), Store(url, create=True), chosen.models, now.as_unit("us"), model=name,
            model_version=chosen.version, progress=progress,
        )  # fmt: skip
    console.print(
        f"{done.customers:,} customers and {name} version {chosen.version} -> the store; of the facts taken in by the service "
        f"{done.closed:,} are in the warehouse by now, {done.still_open:,} are not yet"
    )


@app.command()
def serve(
    store: StoreUrl = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="By default PATRON_PORT, or else 3000.")
    ] = None,
) -> None:
    """Serve scores, decisions and customer views over HTTP; keys come from PATRON_API_KEYS."""
    from serving.access import Access
    from serving.live import Live
    from serving.store import Store

    url, chosen = store or settings.store_url(), port or settings.port()
    Access.parse(
        os.environ.get("PATRON_API_KEYS")
    )  # what is wrong is said here, in one line, and not by a worker
    live = Live(Store(url))
    console.print(
        f"serving {live.publication.model} version {live.publication.model_version} on port {chosen}"
    )
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Patron", "--port", str(chosen)]
    os.execve(sys.executable, command, {**os.environ, "PATRON_STORE": url, "PATRON_PORT": str(chosen)})


@app.command()
def demo(
    customers: Annotated[int, typer.Option(min=500, help="Customers of the made-up retailer.")] = 5000,
    out: Annotated[
        Path, typer.Option(help="Folder to write into; an earlier demo there is replaced.")
    ] = Path("out"),
) -> None:
    """Make up a retailer, and go from its tables to fresh scores over HTTP, a decision and the weekly list."""
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
