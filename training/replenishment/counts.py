"""Purchases counted by category, store and week: what demand is."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.sql import one_id, usable_at
from features.warehouse import Warehouse
from training.replenishment.purchases import ITEM_COLUMNS, purchase_query

__all__ = [
    "CELL",
    "first_purchases",
    "home_stores",
    "next_of_known",
    "read_lines",
    "stores_of",
    "weekly",
]

CELL = ("category_1", "category_2", "store_id", "week")
"""What demand is counted by; ``store_id`` is null for customers of no store, weeks count from 1."""


def read_lines(warehouse: Warehouse, at: pd.Timestamp, usable: str) -> pd.DataFrame:
    """Return purchases of categories: ``customer_id`` (null: anonymous), ``category_1``, ``category_2``, ``store_id``, ``bought_at``.

    Parameters
    ----------
    at
        Customers and categories are seen as of it.
    usable
        SQL condition on a version of an order line.

    Notes
    -----
    What a customer bought of a category within a day of the warehouse's zone is one purchase, and so is what an anonymous
    order holds of it. Sorted by time.
    """
    zone = warehouse.settings().timezone
    day = f"CAST(timezone('{zone}', timezone('UTC', bought_at)) AS DATE)"
    sold = purchase_query(usable, f"TIMESTAMP '{at}'", anonymous=True)
    with warehouse.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"""
            SELECT customer_id, category_1, category_2, arg_min(store_id, bought_at) AS store_id,
                   min(bought_at) AS bought_at
            FROM ({sold})
            WHERE units > 0 AND category_1 IS NOT NULL
            GROUP BY customer_id, category_1, category_2, {day},
                     CASE WHEN customer_id IS NULL THEN source || '|' || order_id END
            ORDER BY bought_at, customer_id, category_1, category_2
        """).df()
    return frame.astype({"bought_at": "datetime64[us]"})


def home_stores(warehouse: Warehouse, at: pd.Timestamp) -> pd.Series:
    """Return the home store of each customer (OneID) as known at an instant."""
    then = usable_at(at)
    with warehouse.connect() as connection:
        found: pd.DataFrame = connection.sql(f"""
            SELECT {one_id("c")} AS customer_id,
                   min(c.home_store_id) AS store_id
            FROM (SELECT * FROM customers WHERE {then} AND home_store_id IS NOT NULL) c
            LEFT JOIN (SELECT * FROM links WHERE {then}) l ON l.source = c.source AND l.customer_id = c.customer_id
            GROUP BY ALL
        """).df()
    return pd.Series(found["store_id"].to_numpy(dtype=object), found["customer_id"].to_numpy(dtype=object))


def stores_of(lines: pd.DataFrame, at: pd.Timestamp, homes: pd.Series) -> pd.Series:
    """Return each customer's store at an instant: that of the last purchase in one, else the home store."""
    before = lines[(lines["bought_at"] < at) & lines["store_id"].notna() & lines["customer_id"].notna()]
    last = before.groupby("customer_id")["store_id"].last()
    return last.combine_first(homes)


def weekly(lines: pd.DataFrame, at: pd.Timestamp, weeks: int, homes: pd.Series) -> pd.DataFrame:
    """Count the purchases in the weeks after an instant; columns ``CELL`` and ``purchases``.

    Parameters
    ----------
    lines, homes
        As `read_lines` and `home_stores` give them.

    Notes
    -----
    A purchase counts for the customer's store at the instant, wherever it is made; of who has none then, or is anonymous,
    for the store that it is made in.
    """
    coming = lines[(lines["bought_at"] >= at) & (lines["bought_at"] < at + pd.Timedelta(days=7 * weeks))]
    stores = stores_of(lines, at, homes).reindex(coming["customer_id"]).to_numpy(dtype=object)
    stores = np.where(pd.isna(stores), coming["store_id"].to_numpy(dtype=object), stores)
    week = (coming["bought_at"] - at) // pd.Timedelta(days=7) + 1
    cells = coming[["category_1", "category_2"]].assign(store_id=stores, week=week)
    return cells.groupby(list(CELL), dropna=False).size().rename("purchases").reset_index()


def _pair_keys(frame: pd.DataFrame) -> pd.MultiIndex:
    """Return what names a customer and a category in each row; null as the empty word."""
    columns = [frame[name].astype(object) for name in ("customer_id", "category_1", "category_2")]
    return pd.MultiIndex.from_arrays([column.where(column.notna(), "") for column in columns])


def next_of_known(lines: pd.DataFrame, at: pd.Timestamp) -> NDArray[np.bool_]:
    """Tell which purchases from an instant on are the next one of a customer who had bought the category before."""
    before = (lines["bought_at"] < at).to_numpy()
    known = _pair_keys(lines[before]).unique()
    after = lines[~before]
    keys = _pair_keys(after)
    told = np.zeros(len(lines), dtype=bool)
    told[~before] = ~keys.duplicated() & after["customer_id"].notna().to_numpy() & keys.isin(known)
    return told


def first_purchases(
    warehouse: Warehouse,
    at: pd.Timestamp,
    span: tuple[pd.Timestamp, pd.Timestamp],
    usable: str,
    rows: pd.DataFrame,
) -> NDArray[np.datetime64]:
    """Return when the customer of each row buys its item first within ``[span[0], span[1])``; NaT without.

    Parameters
    ----------
    at, usable
        As of `read_lines`.
    rows
        ``customer_id`` and ``ITEM_COLUMNS``.
    """
    sold = purchase_query(usable, f"TIMESTAMP '{at}'")
    with warehouse.connect() as connection:
        bought: pd.DataFrame = connection.sql(f"""
            SELECT customer_id, category_1, category_2, product_id, min(bought_at) AS bought_at FROM ({sold})
            WHERE bought_at >= TIMESTAMP '{span[0]}' AND bought_at < TIMESTAMP '{span[1]}' GROUP BY ALL
        """).df()
    every = pd.concat([bought.assign(product_id=None, level="category"), bought.assign(level="product")])
    names = ["customer_id", *ITEM_COLUMNS]
    keys = _keys(every, names)
    first = pd.Series(every["bought_at"].to_numpy(dtype="datetime64[us]")).groupby(keys).min()
    place = pd.Index(first.index).get_indexer(_keys(rows, names))
    return np.asarray(np.append(first.to_numpy(dtype="datetime64[us]"), np.datetime64("NaT", "us"))[place])


def _keys(frame: pd.DataFrame, names: list[str]) -> pd.Index:
    """One word a row; null is a word of its own."""
    columns = [frame[name].astype(object) for name in names]
    return pd.Index(
        ["\x1f".join(row) for row in zip(*(c.where(c.notna(), "\x00") for c in columns), strict=True)]
    )
