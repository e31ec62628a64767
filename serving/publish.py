"""``patron publish``: the warehouse's serving copy and the champion's files, into the store."""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.compute as pc

from features.contract import current_contract
from features.packed import LAYOUT, pack
from features.profile import PROFILE_COLUMNS, consents, profiles
from features.seasons import SEASONS_AHEAD_DAYS, Base
from features.sql import usable_at
from features.streams import partitions, read
from features.warehouse import Warehouse
from features.windows import DAY_US
from serving.inbox import held
from serving.store import Publication, Store
from training.predict import Models, save_models

__all__ = ["Published", "publish"]

_ROWS_A_TRANSACTION = 2_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Published:
    """What was published: customers, and how many facts of the inbox the warehouse holds by now or lacks still."""

    customers: int
    closed: int
    still_open: int


def publish(
    warehouse: Warehouse,
    store: Store,
    models: Models,
    as_of: pd.Timestamp,
    *,
    model: str,
    model_version: str,
    progress: Progress | None = None,
) -> Published:
    """Write what the warehouse knows at ``as_of`` beside what the store serves, then let it take its place.

    Parameters
    ----------
    as_of
        Now, as a rule: what is known later is not published.
    progress
        Called with the number of partitions done and in all.

    Raises
    ------
    InputError
        The store holds a newer publication, or another warehouse's: nothing is replaced.
    StoreUnavailable
        The store does not answer.
    """
    settings = warehouse.settings()
    at = int(as_of.to_datetime64().astype("datetime64[us]").astype(np.int64))
    publication = Publication(
        settings.warehouse_id, settings.currency, settings.timezone, at, model, model_version, LAYOUT,
        current_contract().digest,
    )  # fmt: skip
    with store.writing("publish") as session:
        generation = session.begin_generation(publication)
    people = profiles(warehouse, as_of)
    written = 0
    with warehouse.connect() as connection:
        parts = partitions(connection)
        for part in range(parts):
            rows = read(connection, np.array([at]), part=part, parts=parts, named=True)
            usable = {name: table.filter(pc.greater(table["usable_to"], at)) for name, table in rows.items()}
            written += _write(store, generation, "customers", _customers(pack(usable), people))
            if progress is not None:
                progress(part + 1, parts)
        for table, found in (
            ("bundle", _files(models)),
            ("consents", _records(consents(warehouse, as_of))),
            ("links", _links(connection, as_of)),
            ("attributes", chain(_attributes(connection, as_of), _seasons(connection, at))),
        ):
            _write(store, generation, table, found)
        with store.writing("publish") as session:  # one at a time
            keys = session.open_keys()
            # what lies ahead of the as-of is in the warehouse at most, and not in the copy
            closed = held(connection, [key for key, happened in keys if happened < at], as_of)
            session.make_current(generation, publication, sorted(closed))
    deleting = True
    while deleting:
        with store.writing() as session:
            deleting = session.drop_older(generation, _ROWS_A_TRANSACTION) > 0
    return Published(written, len(closed), len(keys) - len(closed))


def _write(store: Store, generation: int, table: str, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows in transactions so short that the inbox need not wait."""
    chunk: list[dict[str, Any]] = []
    written = 0
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS_A_TRANSACTION:
            written += _add(store, generation, table, chunk)
            chunk = []
    return written + _add(store, generation, table, chunk)


def _add(store: Store, generation: int, table: str, rows: list[dict[str, Any]]) -> int:
    with store.writing() as session:
        session.add(table, generation, rows)
    return len(rows)


def _customers(histories: Iterable[tuple[str, bytes]], people: pd.DataFrame) -> Iterator[dict[str, Any]]:
    known = people.set_index("customer_id")
    where = {name: row for row, name in enumerate(known.index)}
    columns = {name: known[name].to_list() for name in PROFILE_COLUMNS}
    for name, history in histories:
        row = where.get(name)
        profile = {} if row is None else {key: _plain(values[row]) for key, values in columns.items()}
        yield {"customer_id": name, "history": history, "profile": json.dumps(profile, ensure_ascii=False)}


def _plain(value: Any) -> str | None:
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _files(models: Models) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        save_models(models, Path(scratch))
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file():
                yield {"name": path.relative_to(scratch).as_posix(), "content": path.read_bytes()}


def _records(words: pd.DataFrame) -> Iterator[dict[str, Any]]:
    words = words.assign(at=words["at"].astype("datetime64[us]").astype("int64"))
    yield from ({str(name): value for name, value in row.items()} for row in words.to_dict("records"))


def _links(connection: duckdb.DuckDBPyConnection, as_of: pd.Timestamp) -> Iterator[dict[str, Any]]:
    found = connection.sql(
        f"SELECT source, customer_id AS own_id, one_id AS customer_id FROM links WHERE {usable_at(as_of)}"
    )
    yield from found.to_arrow_table().to_pylist()


def _attributes(connection: duckdb.DuckDBPyConnection, as_of: pd.Timestamp) -> Iterator[dict[str, Any]]:
    found = connection.sql(f"""
        SELECT 'category' AS kind, source || '|' || product_id AS key, category_1 AS value FROM products
        WHERE category_1 IS NOT NULL AND {usable_at(as_of)}
        UNION ALL SELECT 'brand', source || '|' || product_id, brand FROM products
        WHERE brand IS NOT NULL AND {usable_at(as_of)}
        UNION ALL SELECT 'zone', source || '|' || store_id, timezone FROM stores
        WHERE timezone IS NOT NULL AND {usable_at(as_of)}
    """)
    yield from found.to_arrow_table().to_pylist()


def _seasons(connection: duckdb.DuckDBPyConnection, at: int) -> Iterator[dict[str, Any]]:
    """Yield what is known of the base's coming seasons: a year back, it is known for months ahead."""
    base, today = Base.of(connection), at // DAY_US
    for day in range(today, today + SEASONS_AHEAD_DAYS):
        found = {name: value for name, value in base.seasons(day, at).items() if not math.isnan(value)}
        yield {"kind": "season", "key": str(day), "value": json.dumps(found)}
