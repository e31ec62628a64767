"""The same 26 columns in pandas: a groupby for each cutoff.

Customers, orders and products are integer codes from the start, distinct days and products are counted by the
customer's next one, which was quicker here than ``nunique``, and what is inside a window is masked before it is summed
up, so that every aggregation is a plain one.
"""

from collections.abc import Sequence

import duckdb
import numpy as np
import pandas as pd
from columns import COLUMNS, WINDOWS
from sources import EVENTS, LINES, read

__all__ = ["group_by"]

DAY = pd.Timedelta(days=1)
DAY_S = 86_400
SCALES = {"spend": 100, "units": 1000}


def group_by(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[str]) -> pd.DataFrame:
    """Group once for each cutoff."""
    lines, events = (read(connection, query, cutoffs).to_pandas() for query in (LINES, EVENTS))
    names = pd.Index(pd.unique(pd.concat([lines["customer_id"], events["customer_id"]])))
    for frame in (lines, events):
        frame["customer_id"] = names.get_indexer(frame["customer_id"])
    lines["order_id"], _ = pd.factorize(lines["order_id"])
    lines["product_id"], _ = pd.factorize(lines["product_id"])
    orders, items = _orders(lines), _items(lines)
    events = events.assign(view=events["kind"] == "view", cart=events["kind"] == "cart_add")
    frames = [_at(pd.Timestamp(cutoff), orders, items, events) for cutoff in cutoffs]
    found = pd.concat(frames, ignore_index=True)
    return found.assign(customer_id=names.to_numpy()[found["customer_id"]])


def _orders(lines: pd.DataFrame) -> pd.DataFrame:
    sales = lines[lines["kind"] == "sale"]
    orders = (
        sales.groupby(["customer_id", "order_id"], sort=False)
        .agg(ordered_at=("paid_at", "min"), spend=("net", "sum"), units=("quantity", "sum"))
        .reset_index()
        .sort_values(["customer_id", "ordered_at"], ignore_index=True)
    )
    orders["day"] = orders["ordered_at"].dt.normalize()
    return _with_next(orders, ["customer_id", "day"], "ordered_at")


def _items(lines: pd.DataFrame) -> pd.DataFrame:
    items = lines.assign(sale=lines["kind"] == "sale").sort_values(
        ["customer_id", "sale", "product_id", "paid_at"], ignore_index=True
    )
    items["refund"] = items["net"].where(~items["sale"], 0)
    return _with_next(items, ["customer_id", "sale", "product_id"], "paid_at")


def _with_next(frame: pd.DataFrame, keys: list[str], time: str) -> pd.DataFrame:
    """Add the time of the next row of the same keys, in a frame sorted by keys and time."""
    same = (frame[keys] == frame[keys].shift(-1)).all(axis="columns")
    return frame.assign(next=frame[time].shift(-1).where(same))


def _at(
    cutoff: pd.Timestamp, orders: pd.DataFrame, items: pd.DataFrame, events: pd.DataFrame
) -> pd.DataFrame:
    """Compute the columns at one cutoff."""
    bought = _bought(cutoff, orders)
    found = bought.join(_items_at(cutoff, items)).join(_events_at(cutoff, events))
    counts = ["distinct_products_365d", "refunds_365d", "views_30d", "carts_30d"]
    found[counts] = found[counts].fillna(0)
    found["refunds_365d"] /= 100
    found["days_since_last_order"] = (cutoff - found["last_at"]).dt.total_seconds() / DAY_S
    found["days_since_first_order"] = (cutoff - found["first_at"]).dt.total_seconds() / DAY_S
    gaps = found["orders_all"] - 1
    span = (found["last_at"] - found["first_at"]).dt.total_seconds()
    found["gap_mean_days"] = span / DAY_S / gaps.where(gaps > 0)
    found["days_since_last_event"] = (cutoff - found["event_at"]).dt.total_seconds() / DAY_S
    return found.reset_index().assign(cutoff=cutoff)[["customer_id", "cutoff", *COLUMNS]]


def _bought(cutoff: pd.Timestamp, orders: pd.DataFrame) -> pd.DataFrame:
    past = orders[orders["ordered_at"] < cutoff]
    latest = ~(past["next"] < cutoff)
    masked = {"customer_id": past["customer_id"]}
    for window, days in WINDOWS.items():
        inside = past["ordered_at"] >= (pd.Timestamp.min if days is None else cutoff - days * DAY)
        masked[f"orders_{window}"], masked[f"active_days_{window}"] = inside, inside & latest
        for name in SCALES:
            masked[f"{name}_{window}"] = past[name].where(inside, 0)
    sums = pd.DataFrame(masked).groupby("customer_id", sort=False).sum()
    scales = {f"{name}_{window}": scale for name, scale in SCALES.items() for window in WINDOWS}
    sums[list(scales)] /= np.array(list(scales.values()))
    by_customer = past.groupby("customer_id", sort=False)
    recent = past[past["ordered_at"] >= cutoff - 365 * DAY].groupby("customer_id", sort=False)
    sums["last_at"], sums["first_at"] = by_customer["ordered_at"].max(), by_customer["ordered_at"].min()
    sums["max_order_value_all"] = by_customer["spend"].max() / 100
    sums["max_order_value_365d"] = recent["spend"].max() / 100
    return sums[sums["orders_365d"] > 0]


def _items_at(cutoff: pd.Timestamp, items: pd.DataFrame) -> pd.DataFrame:
    past = items[(items["paid_at"] < cutoff) & (items["paid_at"] >= cutoff - 365 * DAY)]
    masked = {
        "customer_id": past["customer_id"],
        "distinct_products_365d": past["sale"] & ~(past["next"] < cutoff),
        "refunds_365d": past["refund"],
    }
    return pd.DataFrame(masked).groupby("customer_id", sort=False).sum()


def _events_at(cutoff: pd.Timestamp, events: pd.DataFrame) -> pd.DataFrame:
    past = events[events["at"] < cutoff]
    recent = past[past["at"] >= cutoff - 30 * DAY].groupby("customer_id", sort=False)
    found = past.groupby("customer_id", sort=False).agg(event_at=("at", "max"))
    return found.assign(views_30d=recent["view"].sum(), carts_30d=recent["cart"].sum())
