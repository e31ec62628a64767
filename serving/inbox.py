"""The way back: what the service took in flows into the warehouse, where the night's delivery has the last word."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from features.incoming import instant_of
from features.load import Arrival, LoadReport
from features.sql import usable_at
from features.warehouse import Warehouse
from serving.store import OpenFact, Store

__all__ = ["flow_back", "held"]

_MOST = 50_000

# canonical table -> SQL for the key under which the inbox knows its rows
_KEYS = {
    "order_lines": "order_id",
    "events": "event_id",
    "tickets": "ticket_id",
    "contacts": "contact_id",
    "feedback": "feedback_id",
    "consents": "customer_id || '|' || channel || '|' || purpose || '|' || epoch_us(\"at\") || '|' || status",
}


def held(
    connection: duckdb.DuckDBPyConnection, keys: Sequence[tuple[int, str, str, str]], as_of: pd.Timestamp
) -> set[int]:
    """Return the sequence numbers of the facts that the warehouse holds too, as it is known at ``as_of``.

    Parameters
    ----------
    keys
        Sequence number, table, source and key of facts of the inbox.
    """
    columns = zip(*keys, strict=True) if keys else ([], [], [], [])
    types = {"seq": pa.int64(), "table_name": pa.string(), "source": pa.string(), "key": pa.string()}
    inbox = [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
    connection.register("inbox", pa.table(inbox, names=list(types)))
    queries = " UNION ALL ".join(
        f"""SELECT DISTINCT i.seq FROM inbox i
            JOIN (SELECT source, {key} AS key FROM {table}
                  WHERE {usable_at(as_of)}) f
            ON i.source = f.source AND i.key = f.key WHERE i.table_name = '{table}'"""
        for table, key in _KEYS.items()
    )
    return {int(row[0]) for row in connection.execute(queries).fetchall()}


def flow_back(warehouse: Warehouse, store: Store, now: datetime) -> list[LoadReport]:
    """Load the open facts that the warehouse does not hold yet, in the order in which they came.

    Each is known from when it was received. A fact whose key the warehouse holds is left alone, whatever its content:
    the source's own delivery supersedes what was posted.

    Returns
    -------
    list of LoadReport
        One a load; none where there was nothing to load.
    """
    reports = []
    for facts in _batches(store):
        keys = [(fact.seq, fact.table, fact.source, fact.key) for fact in facts]
        with warehouse.connect() as connection:
            there = held(connection, keys, pd.Timestamp.max.floor("us"))
        new = [fact for fact in facts if fact.seq not in there]
        if new:
            first, last = new[0].seq, new[-1].seq
            digest = hashlib.sha256(repr([(fact.seq, fact.content) for fact in new]).encode()).hexdigest()
            arrival = Arrival(f"inbox {first} to {last}", digest, now, history=False)
            reports.append(warehouse.load(_tables(new), arrival))
    return reports


def _batches(store: Store) -> Iterator[list[OpenFact]]:
    seq = 0
    while True:
        with store.reading() as session:
            facts = session.open_after(seq, _MOST)
        if not facts:
            return
        yield facts
        seq = facts[-1].seq


def _tables(facts: Sequence[OpenFact]) -> dict[str, pa.Table]:
    rows: dict[str, list[dict[str, Any]]] = {}
    refusals = {
        _refused(fact.content)
        for fact in facts
        if fact.table == "consents" and fact.content["status"] != "SUBSCRIBED"
    }
    for fact in facts:
        known_at = instant_of(fact.received_at).isoformat()
        common = {"source": fact.source, "known_at": known_at, "origin": f"inbox {fact.seq}"}
        content = dict(fact.content)
        if fact.table == "consents" and content["status"] == "SUBSCRIBED" and _refused(content) in refusals:
            continue  # of two words at one instant the refusal
        lines = content.pop("lines", [{}])
        rows.setdefault(fact.table, []).extend({**content, **line, **common} for line in lines)
    return {name: pa.Table.from_pylist(found, schema=_schema(found)) for name, found in rows.items()}


def _refused(word: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(word[name]) for name in ("customer_id", "channel", "purpose", "at"))


def _schema(rows: Sequence[dict[str, Any]]) -> pa.Schema:
    """Return every column that any row has; values are read by the contract, as those of any delivery."""
    names = dict.fromkeys(name for row in rows for name in row)
    numbers = {name for row in rows for name, value in row.items() if isinstance(value, int | float)}
    return pa.schema([(name, pa.float64() if name in numbers else pa.string()) for name in names])
