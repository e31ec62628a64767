"""The same 26 columns in Polars: a lazy group_by for each cutoff, all of them optimised and collected as one query.

Distinct days and products are counted by the customer's next one, which was quicker here than ``n_unique``; what is
inside a window is masked before it is summed up, so that every aggregation is a plain one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import duckdb
import polars as pl
import pyarrow as pa
from columns import COLUMNS, WINDOWS
from sources import EVENTS, LINES, read

__all__ = ["group_by"]

DAY_US = 86_400_000_000
DECIMALS = {"spend": 2, "units": 3}
"""Of amounts in cents and quantities in thousandths."""


def group_by(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pa.Table:
    """Group once for each cutoff."""
    lines, events = (
        pl.LazyFrame(read(connection, query, cutoffs)).cast({pl.String: pl.Categorical})
        for query in (LINES, EVENTS)
    )
    orders, items = _orders(lines).collect(), _items(lines).collect()
    frames = [_at(datetime.fromisoformat(cutoff), orders.lazy(), items.lazy(), events) for cutoff in cutoffs]
    return pl.concat(frames).collect().to_arrow()


def _orders(lines: pl.LazyFrame) -> pl.LazyFrame:
    at, day = pl.col("ordered_at"), pl.col("ordered_at").dt.date()
    orders = (
        lines.filter(pl.col("kind") == "sale")
        .group_by("customer_id", "order_id")
        .agg(
            pl.col("paid_at").min().alias("ordered_at"),
            spend=pl.col("net").sum(),
            units=pl.col("quantity").sum(),
        )
        .sort("customer_id", "ordered_at")
    )
    again = (pl.col("customer_id") == pl.col("customer_id").shift(-1)) & (day == day.shift(-1))
    return orders.with_columns(next_of_day=pl.when(again).then(at.shift(-1)))


def _items(lines: pl.LazyFrame) -> pl.LazyFrame:
    keys = ("customer_id", "kind", "product_id")
    again = pl.all_horizontal(pl.col(key) == pl.col(key).shift(-1) for key in keys)
    return (
        lines.sort(*keys, "paid_at")
        .with_columns(next_of_product=pl.when(again).then(pl.col("paid_at").shift(-1)))
        .select(
            "customer_id",
            "paid_at",
            "next_of_product",
            sale=pl.col("kind") == "sale",
            refund=pl.when(pl.col("kind") == "return").then("net"),
        )
    )


def _at(cutoff: datetime, orders: pl.LazyFrame, items: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """Compute the columns at one cutoff."""
    bought = _bought(cutoff, orders)
    joined = bought.join(_items_at(cutoff, items), on="customer_id", how="left").join(
        _events_at(cutoff, events), on="customer_id", how="left"
    )
    return joined.select(
        pl.col("customer_id").cast(pl.String),
        pl.lit(cutoff).cast(pl.Datetime("us")).alias("cutoff"),
        *(_final(cutoff).get(name, pl.col(name).fill_null(0)).alias(name) for name in COLUMNS),
    )


def _bought(cutoff: datetime, orders: pl.LazyFrame) -> pl.LazyFrame:
    at, latest = pl.col("ordered_at"), pl.col("next_of_day").is_null() | (pl.col("next_of_day") >= cutoff)
    masked, sums = [], []
    for window, days in WINDOWS.items():
        inside = pl.lit(value=True) if days is None else at >= cutoff - timedelta(days=days)
        parts = {"orders": inside.cast(pl.Int64), "active_days": (inside & latest).cast(pl.Int64)}
        parts |= {name: pl.when(inside).then(name) for name in DECIMALS}
        masked += [part.alias(f"{name}_{window}") for name, part in parts.items()]
        sums += [pl.col(f"{name}_{window}").sum() for name in parts]
    return (
        orders.filter(at < cutoff)
        .with_columns(masked)
        .group_by("customer_id")
        .agg(
            *sums,
            pl.col("ordered_at").max().alias("last_at"),
            pl.col("ordered_at").min().alias("first_at"),
            pl.col("spend").max().alias("largest"),
            pl.col("spend_365d").max().alias("largest_365d"),
        )
        .filter(pl.col("orders_365d") > 0)
    )


def _items_at(cutoff: datetime, items: pl.LazyFrame) -> pl.LazyFrame:
    at, latest = (
        pl.col("paid_at"),
        pl.col("next_of_product").is_null() | (pl.col("next_of_product") >= cutoff),
    )
    return (
        items.filter((at < cutoff) & (at >= cutoff - timedelta(days=365)))
        .with_columns(counted=pl.col("sale") & latest)
        .group_by("customer_id")
        .agg(
            distinct_products_365d=pl.col("counted").sum().cast(pl.Int64),
            refunds_365d=pl.col("refund").sum(),
        )
    )


def _events_at(cutoff: datetime, events: pl.LazyFrame) -> pl.LazyFrame:
    recent = pl.col("at") >= cutoff - timedelta(days=30)
    return (
        events.filter(pl.col("at") < cutoff)
        .with_columns(view=recent & (pl.col("kind") == "view"), cart=recent & (pl.col("kind") == "cart_add"))
        .group_by("customer_id")
        .agg(
            views_30d=pl.col("view").sum().cast(pl.Int64),
            carts_30d=pl.col("cart").sum().cast(pl.Int64),
            event_at=pl.col("at").max(),
        )
    )


def _final(cutoff: datetime) -> Mapping[str, pl.Expr]:
    """The columns that are more than what was summed up."""
    scaled = {
        f"{name}_{window}": _major(f"{name}_{window}", decimals)
        for name, decimals in DECIMALS.items()
        for window in WINDOWS
    }
    span = (pl.col("last_at") - pl.col("first_at")).dt.total_microseconds() / DAY_US
    return scaled | {
        "refunds_365d": _major("refunds_365d").fill_null(0),
        "max_order_value_365d": _major("largest_365d"),
        "max_order_value_all": _major("largest"),
        "days_since_last_order": _days(cutoff, "last_at"),
        "days_since_first_order": _days(cutoff, "first_at"),
        "gap_mean_days": pl.when(pl.col("orders_all") > 1).then(span / (pl.col("orders_all") - 1)),
        "days_since_last_event": _days(cutoff, "event_at"),
    }


def _days(cutoff: datetime, since: str) -> pl.Expr:
    return (pl.lit(cutoff) - pl.col(since)).dt.total_microseconds() / DAY_US


def _major(name: str, decimals: int = 2) -> pl.Expr:
    """Return a column in major units, by way of decimals: Polars divides floats by a constant inexactly."""
    unit = pl.lit(10**decimals).cast(pl.Decimal(18, decimals))
    return (pl.col(name).cast(pl.Decimal(18, decimals)) / unit).cast(pl.Float64)
