"""``patron recommend``: for each customer, the products that are likely to be bought next, and why."""

from pathlib import Path
from typing import Annotated

import typer

from features import Warehouse, instant
from serving.cli.terminal import WarehouseFile, console, write_parquet

__all__ = ["recommend"]


def recommend(
    warehouse: WarehouseFile,
    as_of: Annotated[
        str, typer.Option("--as-of", help="Date (00:00 UTC) or instant; nothing at or after it is used.")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    most: Annotated[int, typer.Option(min=1, help="Products of a customer's list.")] = 10,
) -> None:
    """Rank the products that each known customer may buy next, by a model trained on what was known before the as-of."""
    # as in commands.py: heavy libraries are imported when they are needed, so that `patron --help` stays quick
    from training.products.fit import train_next_products  # noqa: PLC0415
    from training.products.predict import next_products  # noqa: PLC0415

    store, at = Warehouse(warehouse), instant(as_of)
    with console.status("training") as status:
        model = train_next_products(store, at)
        status.update("ranking")
        lists = next_products(model, store, at, most=most)
    write_parquet(lists, out)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in lists["reason"].value_counts().items())
    without = lists.loc[lists["status"] == "no_orders", "customer_id"].nunique()
    console.print(
        f"{lists['customer_id'].nunique():,} customers, {without:,} of them without an order, have {len(lists):,} products "
        f"({reasons}) -> {out}"
    )
    for name, value in model.card.metrics.items():
        console.print(f"{name} {value:.4g}")
