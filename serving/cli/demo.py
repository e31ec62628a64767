"""``patron demo``: a made-up retailer, from its tables to fresh scores over HTTP, a decision, the weekly list and pictures."""

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features import Warehouse, ingest_tables
from features.sources.simulate import generate
from serving.cli.pictures import plot_segments
from serving.cli.server import Server, served
from serving.lists import WeeklyList, weekly, write
from serving.publish import publish
from serving.settings import port
from serving.store import Store
from training.registry import Registry
from training.workflow import Training, train_and_register

__all__ = ["run"]

DAYS = 730
SEED = 7
STEPS = 7


@dataclass(frozen=True)
class _Found:
    """What the road led to."""

    training: Training
    weekly_list: WeeklyList
    story: dict[str, Any]


def run(console: Console, customers: int, out: Path) -> None:
    """Run the whole road into a folder and say what came of it.

    Parameters
    ----------
    customers
        Customers of the made-up retailer, whose tables end today at 00:00 UTC.
    out
        What an earlier demo left there is replaced; other files are left alone.
    """
    _clear(out)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=STEPS + 1)
        found = _road(customers, out, lambda what: progress.update(task, advance=1, description=what))
        progress.update(task, advance=1, description="done")
    _summary(console, found, out)


def _road(customers: int, out: Path, step: Callable[[str], None]) -> _Found:
    """From nothing to the weekly list; each step is told before it begins."""
    world, warehouse, registry = out / "retailer", Warehouse(out / "demo.duckdb"), Registry(out)
    url = f"sqlite:///{(out / 'store.db').absolute()}"
    today = pd.Timestamp(datetime.now(UTC)).tz_localize(None).normalize().as_unit("us")
    step("making up a retailer")
    generate(world, customers, DAYS, today.to_datetime64(), SEED)
    step("loading its tables")
    ingest_tables(warehouse, world / "tables")
    step("training churn and timing")
    training = train_and_register(warehouse, today, registry, pictures=out)
    step("publishing to the store")
    chosen, store = training.registered, Store(url, create=True)
    now = pd.Timestamp(datetime.now(UTC)).tz_localize(None).as_unit("us")
    publish(warehouse, store, chosen.models, now, model=chosen.name, model_version=chosen.version)
    step("starting the service")
    with served(url, secrets.token_hex(8), out / "service.log") as server:
        step("asking the service")
        story = _ask(server, warehouse)
    step("writing the weekly list")
    made = weekly(
        warehouse, chosen.models, today, model_name=chosen.name, model_version=chosen.version, run_id=chosen.run_id,
        store=store,
    )  # fmt: skip
    store.close()
    write(made, out)
    plot_segments(made.manifest.segments, out / "segments.png", f"Customers by segment, {made.manifest.week}")
    (out / "story.json").write_text(json.dumps(story, indent=1, ensure_ascii=False), encoding="utf-8")
    return _Found(training, made, story)


def _clear(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in ("retailer", "mlartifacts", "bentoml"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("demo.duckdb", "mlflow.db", "store.db", "store.db-wal", "store.db-shm"):
        (out / name).unlink(missing_ok=True)


def _ask(server: Server, warehouse: Warehouse) -> dict[str, Any]:
    """Score a good customer long silent, report an order of theirs, score again, decide."""
    with warehouse.connect() as connection:
        found = connection.execute("""
            WITH buyers AS (
                SELECT customer_id, any_value(product_id) AS product, count(DISTINCT order_id) AS orders,
                       (SELECT max(paid_at) FROM order_lines) - max(paid_at) AS silent
                FROM order_lines WHERE kind = 'sale' AND customer_id IS NOT NULL GROUP BY customer_id),
            told AS (
                SELECT customer_id FROM consents WHERE purpose = 'marketing' AND channel = 'sms' GROUP BY customer_id
                HAVING arg_max(status, "at") = 'SUBSCRIBED')
            SELECT customer_id, product FROM buyers
            ORDER BY customer_id IN (FROM told) DESC, silent BETWEEN INTERVAL 190 DAYS AND INTERVAL 300 DAYS DESC,
                     orders DESC, customer_id
            LIMIT 1
        """).fetchall()
    who, product = found[0]
    paid_at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="seconds")
    order = {
        "order_id": "demo-1", "customer_id": who, "paid_at": paid_at, "channel": "app",
        "lines": [{"line_id": "1", "product_id": product, "quantity": 1, "gross_amount": 129.0, "discount_amount": 0,
                   "net_amount": 129.0}],
    }  # fmt: skip
    return {
        "customer_id": who,
        "before": server.ask("/v1/score", {"customer_ids": [who]})["scores"][0],
        "decision_before": server.ask("/v1/decide", {"customer_id": who}),
        "order": order,
        "reported": server.ask("/v1/orders", {"orders": [order]}),
        "after": server.ask("/v1/score", {"customer_ids": [who]})["scores"][0],
        "decision": server.ask("/v1/decide", {"customer_id": who}),
        "customer": server.ask(f"/v1/customers/{who}"),
    }


def _summary(console: Console, found: _Found, out: Path) -> None:
    """Tell a marketing manager what was found, in sentences."""
    manifest, rows, training = found.weekly_list.manifest, found.weekly_list.rows, found.training
    active = manifest.customers_known - manifest.left_out.get("no_orders", 0)
    active -= manifest.left_out.get("outside_population", 0)
    console.print(
        f"\nWeek {manifest.week}: of {active:,} customers who bought in the last year, {len(rows):,} are on the list: more "
        f"likely than not to place no order in the next {manifest.horizon_days} days, and not held out for measurement. They spent "
        f"{rows['spend_365d'].sum():,.0f} {manifest.currency} in that year; {manifest.value_at_risk:,.0f} of it is at risk."
    )
    if training.comparison is not None:
        figures, share = training.comparison.model, training.comparison.churn_share
        console.print(
            f"How far to trust it: on past dates that the model had not seen, {figures.lift_10pct * share:.0%} of the "
            f"tenth it rated riskiest stayed away, against {share:.0%} of everybody (AUC {figures.auc.estimate:.2f})."
        )
    offers = ", ".join(f"{name} {count:,}" for name, count in manifest.offers.items())
    console.print(f"What to do, by the rules (consent, quiet periods and caps kept): {offers}.")
    console.print("The first five to look after:")
    for row in rows.head(5).to_dict("records"):
        offer = (
            f"{row['offer']} by {row['channel']}"
            if isinstance(row["offer"], str)
            else f"nothing: {row['no_offer_because']}"
        )
        console.print(
            f"  {row['rank']}. {row['customer_id']} ({row['owner']}): {row['churn_probability']:.0%} likely to stay away, "
            f"{row['value_at_risk']:,.0f} {manifest.currency} at risk - {row['reason_1']} -> {offer}"
        )
    _tell(console, found.story)
    console.print(
        f"The whole list: {out / manifest.files[0]} (opens in a spreadsheet). Pictures in {out}: calibration.png (are the "
        "probabilities true?), lift.png (how many churners does a short list reach?), survival.png (when will they come "
        "back?), segments.png."
    )
    _try_next(console, found)


def _tell(console: Console, story: dict[str, Any]) -> None:
    before, after, decision = story["before"], story["after"], story["decision_before"]
    chosen = (
        f"{decision['offer_id']} by {decision['channel']}" if decision["offer_id"] else "to contact nobody"
    )
    console.print(
        f"Fresh scores over HTTP: customer {story['customer_id']} was {before['churn_probability']:.1%} likely to stay away, "
        f"and the rules chose {chosen} ({decision['why'][0]}). Then an order was reported, and the next answer said "
        f"{after['churn_probability']:.1%}, next order about {str(after['expected_date_of_next_order'])[:10]}; the rules now "
        f"choose {story['decision']['offer_id'] or 'to contact nobody'}."
    )


def _try_next(console: Console, found: _Found) -> None:
    """Print lines that work once `make serve` runs, about somebody on the list with an offer, if there is one."""
    rows = found.weekly_list.rows
    offered = rows.loc[rows["offer_id"].notna(), "customer_id"]
    who = str(offered.iloc[0]) if len(offered) else found.story["customer_id"]
    order = {**found.story["order"], "order_id": "demo-2", "customer_id": who}
    send = f"curl -s -H 'Authorization: Bearer demo-secret' localhost:{port()}/v1"
    console.print("Try next: `make serve` in one terminal, and in another:")
    console.print(f"  {send}/score -d '{json.dumps({'customer_ids': [who]})}'")
    console.print(f"  {send}/decide -d '{json.dumps({'customer_id': who})}'")
    console.print(f"  {send}/orders -d '{json.dumps({'orders': [order]})}'")
    console.print(f"  {send}/customers/{who}")
