"""Small worlds: canonical rows written in one line each, and where the engine and the oracle find them.

    rows = [line("ann", "2024-05-31", 10), contact("ann", "2024-05-30", opened_at=at("2024-06-02"))]
    tables = tables_of(rows)

A row says only what matters; ids, ``known_at`` (the business time) and ``superseded_at`` (when the next version of the
key becomes known) are filled in. Times are UTC.
"""

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa

from features.catalogue import FACTS, FEATURES
from features.check import SQL_TYPES
from features.kernel import compute
from features.load import Arrival
from features.plan import Plan
from features.streams import read
from features.tables import TABLES
from features.warehouse import Warehouse

__all__ = [
    "EVERYTHING",
    "MICROSECOND",
    "arrow",
    "at",
    "bits_of",
    "columns_of",
    "contact",
    "customer",
    "delivery",
    "differing",
    "event",
    "feedback",
    "fill",
    "line",
    "link",
    "memory",
    "microseconds",
    "product",
    "put",
    "store",
    "tables_of",
    "ticket",
    "values_of",
    "versions_in",
    "warehouse_of",
]

EVERYTHING = (*FEATURES, *FACTS)
MICROSECOND = timedelta(microseconds=1)
ALWAYS = datetime(1900, 1, 1, tzinfo=UTC)
SYSTEM = ("known_at", "superseded_at")
ARROW_TYPES = {
    "id": pa.string(),
    "text": pa.string(),
    "zone": pa.string(),
    "json": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "amount": pa.decimal128(18, 2),
    "quantity": pa.decimal128(18, 3),
    "real": pa.float64(),
    "integer": pa.int64(),
    "flag": pa.bool_(),
}


def at(when):
    """A time in UTC, from text (without zone: UTC) or as it is."""
    time = datetime.fromisoformat(when) if isinstance(when, str) else when
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def microseconds(times):
    """Cutoffs as the kernel takes them."""
    return np.array(
        [(time - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND for time in times], dtype=np.int64
    )


# ------------------------------------------------------------------------------------------------- rows


def line(customer_id, paid_at, net="1", **more):
    """An order line; without order_id an order of its own."""
    values = {"kind": "sale", "product_id": "p", "quantity": 1, "discount_amount": 0, "currency": "EUR"}
    values |= {"channel": "web", "gross_amount": net, "net_amount": net, "paid_at": at(paid_at)}
    return "order_lines", {"customer_id": customer_id, "line_id": "1"} | values | more


def event(customer_id, when, kind="view", **more):
    return "events", {"customer_id": customer_id, "at": at(when), "kind": kind, "channel": "web"} | more


def ticket(customer_id, opened_at, kind="enquiry", **more):
    return "tickets", {"customer_id": customer_id, "opened_at": at(opened_at), "kind": kind} | more


def contact(customer_id, sent_at, **more):
    values = {"sent_at": at(sent_at), "channel": "email", "purpose": "marketing", "status": "delivered"}
    return "contacts", {"customer_id": customer_id} | values | more


def feedback(customer_id, when, kind="review", **more):
    return "feedback", {"customer_id": customer_id, "at": at(when), "kind": kind} | more


def delivery(order_id, **more):
    return "deliveries", {"order_id": order_id} | more


def customer(customer_id, **more):
    return "customers", {"customer_id": customer_id} | more


def product(product_id, category_1, **more):
    return "products", {"product_id": product_id, "category_1": category_1} | more


def store(store_id, timezone, **more):
    return "stores", {"store_id": store_id, "region_id": "r", "timezone": timezone} | more


def link(customer_id, one_id, **more):
    return "links", {"customer_id": customer_id, "one_id": one_id, "rule": "phone"} | more


def fill(name, values, number):
    """The row with every canonical column, an id where it has none, and times of knowledge."""
    table = TABLES[name]
    ids = {key: f"{name}-{number}" for key in table.key if key not in values and key.endswith("_id")}
    row = dict.fromkeys(table.names) | {"source": "main", "superseded_at": None} | ids | values
    happened = row[table.time] if table.time else None
    row.setdefault("known_at", happened or ALWAYS)
    for column in table.columns:
        if column.type in ("amount", "quantity") and row[column.name] is not None:
            row[column.name] = Decimal(str(row[column.name])).quantize(
                Decimal(1).scaleb(-ARROW_TYPES[column.type].scale)
            )
    return row


def tables_of(rows):
    """Table name -> filled rows; a version ends when the next one of its key becomes known."""
    tables = defaultdict(list)
    for number, (name, values) in enumerate(rows):
        tables[name].append(fill(name, values, number))
    for name, filled in tables.items():
        versions = defaultdict(list)
        for row in filled:
            versions[tuple(row[key] for key in ("source", *TABLES[name].key))].append(row)
        for timeline in versions.values():
            timeline.sort(key=lambda row: row["known_at"])
            for before, after in pairwise(timeline):
                ends = [end for end in (before["superseded_at"], after["known_at"]) if end]
                before["superseded_at"] = min(ends)
    return dict(tables)


# ------------------------------------------------------------------------------------------------- the engine's side


def arrow(name, rows):
    """The rows as an Arrow table with every canonical column."""
    columns = {column.name: ARROW_TYPES[column.type] for column in TABLES[name].columns}
    schema = {"source": pa.string()} | columns | dict.fromkeys(SYSTEM, ARROW_TYPES["time"])
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


def warehouse_of(path, tables, *, zone="UTC"):
    """A warehouse file with the rows, loaded as one delivery."""
    warehouse = Warehouse(path)
    arrival = Arrival("a small world", str(path), datetime(2030, 1, 1))
    arrows = {name: arrow(name, rows) for name, rows in tables.items()}
    warehouse.load(arrows, arrival, currency="EUR", timezone=zone)
    return warehouse


def memory():
    """A database with the canonical tables, empty: quicker than a warehouse file, and read by the same code."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'; SET threads=1")
    for table in TABLES.values():
        columns = ", ".join(f'"{column.name}" {SQL_TYPES[column.type]}' for column in table.columns)
        connection.execute(
            f"CREATE TABLE {table.name} (source VARCHAR, {columns}, known_at TIMESTAMP, superseded_at TIMESTAMP)"
        )
    return connection


def put(connection, tables):
    """Replace what the database holds by these rows."""
    for name in TABLES:
        connection.execute(f"DELETE FROM {name}")
        if rows := tables.get(name):
            connection.register("rows", arrow(name, rows))
            connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM rows")
            connection.unregister("rows")


def columns_of(connection, cutoffs, *, features=EVERYTHING, zone="UTC", part=0, parts=1, **more):
    """What the kernel makes of the rows in the database; ``more`` is for the kernel."""
    times, plan = microseconds(cutoffs), Plan.of(features)
    return compute(read(connection, times, part=part, parts=parts), times, plan, timezone=zone, **more)


def bits_of(computed):
    """(customer, cutoff) -> the bytes of all numbers, and the texts, of customers known then."""
    block = np.stack([computed.columns[name] for name in sorted(computed.columns)], axis=-1)
    return {
        (one_id, int(computed.cutoffs[index])): (block[row, index].tobytes(), *texts_at(computed, row, index))
        for row, one_id in enumerate(computed.customers.to_pylist())
        for index in np.flatnonzero(computed.known[row])
    }


def texts_at(computed, row, index):
    return tuple(computed.texts[name][row, index] for name in sorted(computed.texts))


def values_of(computed):
    """(customer, index of the cutoff) -> name -> number or text, None for NaN; of customers known then."""
    block = np.stack(list(computed.columns.values()), axis=-1)
    return {
        (one_id, int(index)): {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(computed.columns, block[row, index], strict=True)
        }
        | dict(zip(sorted(computed.texts), texts_at(computed, row, index), strict=True))
        for row, one_id in enumerate(computed.customers.to_pylist())
        for index in np.flatnonzero(computed.known[row])
    }


def versions_in(warehouse, name, where="true"):
    """Row versions that a warehouse holds, as the oracle takes them."""
    with warehouse.connect() as connection:
        found = connection.sql(f"SELECT * FROM {name} WHERE {where}").to_arrow_table()
    return [
        {key: at(value) if isinstance(value, datetime) else value for key, value in row.items()}
        for row in found.to_pylist()
    ]


# what is left of a sum that cancels out, but for the last bits
AROUND_ZERO = dict.fromkeys(("gap_clumpiness", "season_sin", "season_cos"), 1e-12)


def differing(found, expected):
    """Name -> (found, expected) where the two disagree; None is null, and 0 is 0 exactly."""
    return {
        name: (found[name], value)
        for name, value in expected.items()
        if not alike(found[name], value, AROUND_ZERO.get(name, 0))
    }


def alike(found, expected, tolerance):
    if found is None or expected is None or isinstance(expected, str):
        return found == expected
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=tolerance)
