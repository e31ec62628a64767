"""The rows the kernel sees: each stream one SQL query over the warehouse, with the OneID and what was known when.

Every row carries ``entity`` (the OneID), ``time`` (business time) and the span ``[usable_from, usable_to)`` of cutoffs
at which this version of it, seen under this OneID and with these attributes, was what the business knew. All three are
microseconds since 1970, UTC. A row whose link, category or zone changed later appears once for each span.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["FOREVER", "NEVER", "STREAMS", "Rows", "partitions", "read"]

NEVER = -(2**62)
FOREVER = 2**62
"""Ends of an open span of cutoffs, microseconds."""

Rows = dict[str, pa.Table]
"""Stream name -> rows."""


@dataclass(frozen=True)
class _Stream:
    """Where a stream's rows come from: a canonical table, its time, the columns it adds and the spans it is cut by.

    Attributes
    ----------
    names
        Columns that name the fact, wanted only where facts are told apart (see ``read``).
    """

    table: str
    time: str
    columns: str = ""
    spans: tuple[str, ...] = ()
    names: str = ""


_LINES = """
    f.source || '|' || f.order_id AS order_id, f.line_id, f.kind, f.source || '|' || f.product_id AS product,
    category_spans.value AS category, f.channel, coalesce(zone_spans.value, store_spans.value) AS zone,
    CAST(f.net_amount * 100 AS BIGINT) AS net, CAST(f.gross_amount * 100 AS BIGINT) AS gross,
    CAST(f.discount_amount * 100 AS BIGINT) AS discount, CAST(f.quantity * 1000 AS BIGINT) AS quantity
"""
_TICKETS = """
    f.source || '|' || f.ticket_id AS id, f.kind, epoch_us(f.closed_at) AS closed_at, epoch_us(f.rated_at) AS rated_at,
    f.csat
"""
_CONTACTS = """
    f.channel, f.purpose, f.status, epoch_us(f.opened_at) AS opened_at, epoch_us(f.clicked_at) AS clicked_at
"""

STREAMS: dict[str, tuple[_Stream, ...]] = {
    "lines": (_Stream("order_lines", "paid_at", _LINES, ("category", "zone", "store")),),
    "events": (_Stream("events", "at", "f.kind", names="f.source || '|' || f.event_id AS id"),),
    "tickets": (_Stream("tickets", "opened_at", _TICKETS),),
    "contacts": (_Stream("contacts", "sent_at", _CONTACTS, names="f.source || '|' || f.contact_id AS id"),),
    # whoever has any usable row is a known customer
    "presence": (
        _Stream("customers", "registered_at"),
        _Stream("identifiers", "first_seen_at"),
        _Stream("feedback", "at"),
        _Stream("exposures", "at"),
        _Stream("consents", "at"),
    ),
}

# name -> (table, key, value, since when a version counts): attributes that a row is seen with, as known at the cutoff
_ATTRIBUTES = {
    "link": ("links", "customer_id", "one_id", "epoch_us(known_at)"),
    "category": ("products", "product_id", "category_1", "epoch_us(known_at)"),
    # a business time, too, must lie before the cutoff
    "zone": (
        "customers",
        "customer_id",
        "timezone",
        "greatest(epoch_us(known_at), epoch_us(registered_at) + 1)",
    ),
    "store": ("stores", "store_id", "timezone", "epoch_us(known_at)"),
}


_ROWS_A_PART = 4_000_000


def partitions(connection: duckdb.DuckDBPyConnection) -> int:
    """Return in how many partitions the customers are read, so that one fits into memory with ease."""
    found = connection.execute("SELECT sum(estimated_size) FROM duckdb_tables()").fetchall()[0][0]
    return max(1, -(-int(found or 0) // _ROWS_A_PART))


def read(
    connection: duckdb.DuckDBPyConnection,
    cutoffs: NDArray[np.int64],
    *,
    part: int = 0,
    parts: int = 1,
    named: bool = False,
) -> Rows:
    """Read the rows that any of the cutoffs could use, of one partition of the customers.

    Parameters
    ----------
    cutoffs
        Microseconds since 1970, UTC.
    part, parts
        Which of how many partitions; a customer's rows are always in the same one.
    named
        Give events and contacts the column ``id``, as order lines and tickets always have one.
    """
    last = int(cutoffs.max())
    spans = ", ".join(f"{name}_spans AS ({_spans(name)})" for name in _ATTRIBUTES)
    rows = {}
    for name, sources in STREAMS.items():
        queries = " UNION ALL ".join(_query(source, last, part, parts, named=named) for source in sources)
        rows[name] = connection.sql(f"WITH {spans} {queries}").to_arrow_table()
    return rows


def _spans(name: str) -> str:
    """SQL for the value of an attribute over all time: its versions, null in the gaps, equal neighbours as one.

    A new version that changes something else (a product's name) must not split the rows that look at this value.
    """
    table, key, value, counts_from = _ATTRIBUTES[name]
    return f"""
        WITH versions AS (
            SELECT source, {key}, {value} AS value, {counts_from} AS since,
                   coalesce(epoch_us(superseded_at), {FOREVER}) AS until FROM {table} WHERE since < until),
        gaps AS (
            SELECT source, {key}, NULL AS value,
                   coalesce(lag(until) OVER (PARTITION BY source, {key} ORDER BY since), {NEVER}) AS since,
                   since AS until FROM versions
            UNION ALL SELECT source, {key}, NULL, max(until), {FOREVER} FROM versions GROUP BY source, {key}),
        spans AS (SELECT * FROM versions UNION ALL SELECT * FROM gaps WHERE since < until),
        changes AS (
            SELECT *, CASE WHEN value IS DISTINCT FROM lag(value) OVER before OR lag(until) OVER before IS NULL
                           THEN 1 ELSE 0 END AS changed
            FROM spans WINDOW before AS (PARTITION BY source, {key} ORDER BY since)),
        islands AS (
            SELECT *, sum(changed) OVER (PARTITION BY source, {key} ORDER BY since) AS island FROM changes)
        SELECT source, {key}, any_value(value) AS value, min(since) AS since, max(until) AS until
        FROM islands GROUP BY source, {key}, island
    """


def _query(stream: _Stream, last: int, part: int, parts: int, *, named: bool) -> str:
    spans = ("link", *stream.spans)
    since = ", ".join(f"coalesce({name}_spans.since, {NEVER})" for name in spans)
    until = ", ".join(f"coalesce({name}_spans.until, {FOREVER})" for name in spans)
    joins = " ".join(
        f"LEFT JOIN {name}_spans ON f.source = {name}_spans.source AND f.{_ATTRIBUTES[name][1]} = "
        f"{name}_spans.{_ATTRIBUTES[name][1]}"
        for name in spans
    )
    columns = [text for text in (stream.columns, stream.names if named else "") if text]
    own_id = "CASE WHEN f.source = 'main' THEN f.customer_id ELSE f.source || ':' || f.customer_id END"
    return f"""
        SELECT * FROM (
            SELECT coalesce(link_spans.value, {own_id}) AS entity,
                   coalesce(epoch_us(f."{stream.time}"), {NEVER}) AS time,
                   greatest(epoch_us(f.known_at), {since}) AS usable_from,
                   least(coalesce(epoch_us(f.superseded_at), {FOREVER}), {until}) AS usable_to
                   {"".join(f", {text}" for text in columns)}
            FROM {stream.table} f {joins}
            WHERE f.customer_id IS NOT NULL)
        WHERE time < {last} AND usable_from <= {last} AND usable_from < usable_to
          {f"AND hash(entity) % {parts} = {part}" if parts > 1 else ""}
    """
