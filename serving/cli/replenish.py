"""``patron replenish``: when each customer will need each category, or product, again."""

from pathlib import Path
from typing import Annotated

import typer

from features import Warehouse, instant
from serving.cli.terminal import WarehouseFile, console, write_parquet

__all__ = ["replenish"]


def replenish(
    warehouse: WarehouseFile,
    as_of: Annotated[
        str, typer.Option("--as-of", help="Date (00:00 UTC) or instant; nothing at or after it is used.")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
) -> None:
    """Date each customer's next need of each category and dense product; the status says where none can be given."""
    # as in commands.py: the fit's libraries are imported when they are needed, so that `patron --help` stays quick
    from serving.cli.reports import counts  # noqa: PLC0415
    from training.replenishment.due import due  # noqa: PLC0415
    from training.replenishment.fit import fit_replenishment  # noqa: PLC0415

    shop, at = Warehouse(warehouse), instant(as_of)
    with console.status("fitting the cycles"):
        model = fit_replenishment(shop, at)
    needs = due(model, shop, at)
    write_parquet(needs.astype({"product_id": "str"}), out)  # a file has one type for it, all null or not
    items = [item for level in model.levels.values() for item in level.items if item.repeats]
    levels = {level: sum(item.level == level for item in items) for level in model.levels}
    told = ", ".join(f"{count:,} of level {level}" for level, count in levels.items())
    console.print(
        f"{len(needs):,} needs of {needs['customer_id'].nunique():,} customers, items that repeat: {told}; "
        f"{counts(needs['status'])} -> {out}"
    )
