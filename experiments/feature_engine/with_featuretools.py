"""The same 26 columns in Featuretools with cutoff times, run by the Python of an environment of its own.

Usage: python with_featuretools.py TASK.json, which names the Parquet files, the cutoffs, and where to write the rows.
Prints what the run took as one line of JSON, last.

It is spared what it is slow at: pandas makes orders of the lines beforehand and says which customers are in the
population. A training window holds for all features of a call, so there is one call for each window.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import featuretools as ft
import pandas as pd
from featuretools.primitives import AvgTimeBetween, Count, Max, NumUnique, Sum, TimeSinceFirst, TimeSinceLast

CENTS, THOUSANDTHS = 100, 1000
# Stem of the column, frame, its column, primitive, kind of row that counts, divisor.
Asked = tuple[str, str, str, object, str | None, int]
FAMILIES: tuple[Asked, ...] = (
    ("orders", "orders", "order_id", Count, None, 1),
    ("spend", "orders", "spend", Sum, None, CENTS),
    ("units", "orders", "units", Sum, None, THOUSANDTHS),
    ("active_days", "orders", "day", NumUnique, None, 1),
)
LARGEST = ("max_order_value", "orders", "spend", Max, None, CENTS)
ASKED: dict[str, tuple[Asked, ...]] = {
    "30d": (
        *FAMILIES,
        ("views", "events", "event_id", Count, "view", 1),
        ("carts", "events", "event_id", Count, "cart_add", 1),
    ),
    "90d": FAMILIES,
    "365d": (
        *FAMILIES,
        LARGEST,
        ("refunds", "lines", "net", Sum, "return", CENTS),
        ("distinct_products", "lines", "product_id", NumUnique, "sale", 1),
    ),
    "all": (
        *FAMILIES,
        LARGEST,
        ("days_since_last_order", "orders", "ordered_at", TimeSinceLast(unit="days"), None, 1),
        ("days_since_first_order", "orders", "ordered_at", TimeSinceFirst(unit="days"), None, 1),
        ("gap_mean_days", "orders", "ordered_at", AvgTimeBetween(unit="days"), None, 1),
        ("days_since_last_event", "events", "at", TimeSinceLast(unit="days"), None, 1),
    ),
}
"""Window -> what is asked of it."""
WITHOUT_WINDOW = ("days_since", "gap_mean")


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    warnings.simplefilter("ignore")  # of its own use of pandas
    features_of(task["warm_up"], task["cutoffs"][-1:])
    before = peak_mb()
    started, started_cpu = time.perf_counter(), time.process_time()
    rows = features_of(task["folder"], task["cutoffs"])
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    measured = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_before_mb": before,
        "peak_mb": peak_mb(),
    }
    rows.to_parquet(task["out"])
    print(json.dumps(measured))


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def features_of(folder: str, cutoffs: list[str]) -> pd.DataFrame:
    """Compute the columns of the customers with an order in the 365 days before each cutoff."""
    lines, events = (pd.read_parquet(f"{folder}/{name}.parquet") for name in ("lines", "events"))
    orders = _orders(lines)
    entities = _entities(orders, lines, events)
    asked_at = _population(orders, [pd.Timestamp(cutoff) for cutoff in cutoffs])
    found = [_in_window(entities, asked_at, window, asked) for window, asked in ASKED.items()]
    return pd.concat(found, axis="columns").reset_index().rename(columns={"time": "cutoff"})


def _orders(lines: pd.DataFrame) -> pd.DataFrame:
    orders = (
        lines[lines["kind"] == "sale"]
        .groupby(["customer_id", "order_id"], sort=False)
        .agg(ordered_at=("paid_at", "min"), spend=("net", "sum"), units=("quantity", "sum"))
        .reset_index()
    )
    return orders.assign(day=orders["ordered_at"].dt.normalize().astype(str))


def _entities(orders: pd.DataFrame, lines: pd.DataFrame, events: pd.DataFrame) -> ft.EntitySet:
    """Each frame hangs on the customers; times in nanoseconds, as ``AvgTimeBetween`` takes them to be."""
    entities = ft.EntitySet("retailer")
    customers = pd.concat([frame["customer_id"] for frame in (orders, lines, events)]).drop_duplicates()
    entities.add_dataframe(dataframe_name="customers", dataframe=customers.to_frame(), index="customer_id")
    frames = {"orders": (orders, "ordered_at"), "lines": (lines, "paid_at"), "events": (events, "at")}
    words = {"kind": "Categorical", "product_id": "Categorical", "day": "Categorical"}
    for name, (frame, at) in frames.items():
        entities.add_dataframe(
            dataframe_name=name,
            dataframe=frame.assign(**{at: frame[at].astype("datetime64[ns]")}),
            index="order_id" if name == "orders" else f"{name[:-1]}_id",
            make_index=name != "orders",
            time_index=at,
            logical_types={column: kind for column, kind in words.items() if column in frame},
        )
        entities.add_relationship("customers", "customer_id", name, "customer_id")
    entities.add_last_time_indexes()
    return entities


def _population(orders: pd.DataFrame, cutoffs: list[pd.Timestamp]) -> pd.DataFrame:
    year = pd.Timedelta(days=365)
    found = []
    for cutoff in cutoffs:
        inside = (orders["ordered_at"] < cutoff) & (orders["ordered_at"] >= cutoff - year)
        found.append(
            pd.DataFrame({"customer_id": orders.loc[inside, "customer_id"].unique(), "time": cutoff})
        )
    return pd.concat(found, ignore_index=True)


def _in_window(
    entities: ft.EntitySet, asked_at: pd.DataFrame, window: str, asked: tuple[Asked, ...]
) -> pd.DataFrame:
    features, divisors = [], {}
    for stem, frame, column, primitive, kind, divisor in asked:
        name = stem if stem.startswith(WITHOUT_WINDOW) else f"{stem}_{window}"
        where = None if kind is None else ft.Feature(entities[frame].ww["kind"]) == kind
        base = ft.Feature(entities[frame].ww[column])
        features.append(
            ft.Feature(base, parent_dataframe_name="customers", primitive=primitive, where=where).rename(name)
        )
        divisors[name] = divisor
    matrix = ft.calculate_feature_matrix(
        features,
        entities,
        cutoff_time=asked_at,
        cutoff_time_in_index=True,
        training_window=None if window == "all" else f"{window[:-1]} days",
        include_cutoff_time=False,
    )
    found = pd.DataFrame(matrix)[list(divisors)].astype("float64")
    counts = [feature.get_name() for feature in features if isinstance(feature.primitive, NumUnique)]
    found[counts] = found[counts].fillna(0)  # it says null of no rows
    return found / pd.Series(divisors)


if __name__ == "__main__":
    main()
