"""The rows the kernel sees: each stream one SQL query over the warehouse, with the OneID and what was known when.

Every row carries ``entity`` (the OneID), ``time`` (business time) and the span ``[usable_from, usable_to)`` of cutoffs
at which this version of it, seen under this OneID and with these attributes, was what the business knew. All three are
microseconds since 1970, UTC. A row whose link, category or zone changed later appears once for each span. Words of which
there is a fixed choice (kinds, channels) are numbers: their place in ``CHOICES``.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.tables import TABLES

__all__ = ["CHOICES", "FOREVER", "NEVER", "STREAMS", "Rows", "partitions", "read"]

NEVER = -(2**62)
FOREVER = 2**62
"""Ends of an open span of cutoffs, microseconds."""

Rows = Mapping[str, pa.Table | pa.RecordBatch]
"""Stream name -> rows."""


def _choices(table: str, *columns: str) -> dict[str, tuple[str, ...]]:
    found = {column.name: column.choices for column in TABLES[table].columns}
    return {name: tuple(sorted(found[name])) for name in columns}


CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "lines": _choices("order_lines", "kind", "channel"),
    "events": _choices("events", "kind"),
    "tickets": _choices("tickets", "kind"),
    "contacts": _choices("contacts", "channel", "purpose", "status"),
    "feedback": _choices("feedback", "kind"),
}
"""Stream -> column -> its words, in the order of the alphabet."""


@dataclass(frozen=True)
class _Stream:
    """Where a stream's rows come from: a canonical table, its time, the columns it adds and the spans it is cut by.

    Attributes
    ----------
    columns
        Name -> SQL.
    spans
        Column -> the attribute it needs.
    names
        Name -> SQL of columns that name the fact, wanted only where facts are told apart (see ``read``).
    """

    table: str
    time: str
    columns: Mapping[str, str]
    spans: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str]


def _stream(
    table: str,
    time: str,
    columns: Mapping[str, str] | None = None,
    spans: Mapping[str, tuple[str, ...]] | None = None,
    names: Mapping[str, str] | None = None,
) -> _Stream:
    return _Stream(table, time, columns or {}, spans or {}, names or {})


def _code(stream: str, column: str) -> dict[str, str]:
    words = ", ".join(f"'{word}'" for word in CHOICES[stream][column])
    return {column: f"CAST(enum_code(CAST(f.{column} AS ENUM ({words}))) AS TINYINT)"}


def _times(*columns: str) -> dict[str, str]:
    return {column: f"epoch_us(f.{column})" for column in columns}


def _id(column: str, name: str = "id") -> dict[str, str]:
    return {name: f"f.source || '|' || f.{column}"}


def _whole(name: str, column: str, scale: int) -> dict[str, str]:
    return {name: f"CAST(f.{column} * {scale} AS BIGINT)"}


_PRODUCT = {**_id("product_id", "product"), "category": "category_spans.value"}

# a delivery is of whoever the order it brings is of; the kernel looks up when that was placed, by the lines known then
_DELIVERIES = """(
    SELECT d.source, d.delivery_id, d.order_id, l.customer_id, l.paid_at, d.promised_at, d.delivered_at, d.known_at, d.superseded_at
    FROM deliveries d JOIN (
        SELECT source, order_id, customer_id, min(paid_at) AS paid_at FROM order_lines
        WHERE kind = 'sale' AND (source, order_id) IN (SELECT (source, order_id) FROM deliveries) GROUP BY ALL) l
    ON d.source = l.source AND d.order_id = l.order_id)"""

STREAMS: Mapping[str, tuple[_Stream, ...]] = {
    "lines": (
        _stream(
            "order_lines",
            "paid_at",
            {
                **_id("order_id", "order_id"), "line_id": "f.line_id", **_code("lines", "kind"), **_PRODUCT,
                "brand": "brand_spans.value", **_code("lines", "channel"), **_id("store_id", "store"),
                "zone": "coalesce(zone_spans.value, store_spans.value)",
                "coupon": "CAST(f.coupon_id IS NOT NULL AS TINYINT)", **_whole("net", "net_amount", 100),
                **_whole("gross", "gross_amount", 100), **_whole("discount", "discount_amount", 100),
                **_whole("quantity", "quantity", 1000),
            },
            {"category": ("category",), "brand": ("brand",), "zone": ("zone", "store")},
        ),
    ),
    "events": (
        _stream(
            "events",
            "at",
            {
                **_code("events", "kind"), **_PRODUCT, "channel": "f.channel", **_id("session_id", "session"),
                "duration": "CAST(round(coalesce(f.duration_s, 0) * 1000) AS BIGINT)",
            },
            {"category": ("category",)},
            _id("event_id"),
        ),
    ),
    "tickets": (
        _stream(
            "tickets",
            "opened_at",
            {
                **_id("ticket_id"), **_code("tickets", "kind"), **_times("first_response_at", "closed_at", "rated_at"),
                "csat": "f.csat",
            },
        ),
    ),
    "contacts": (
        _stream(
            "contacts",
            "sent_at",
            {
                **_code("contacts", "channel"), **_code("contacts", "purpose"), **_code("contacts", "status"),
                **_times("opened_at", "clicked_at", "rejected_at", "unsubscribed_at"),
            },
            names=_id("contact_id"),
        ),
    ),
    "deliveries": (
        _stream(
            _DELIVERIES,
            "paid_at",
            {
                **_id("delivery_id"), **_id("order_id", "order_id"), **_times("delivered_at"),
                "late_at": "CASE WHEN f.delivered_at IS NULL OR f.delivered_at > f.promised_at "
                "THEN epoch_us(f.promised_at) END",
            },
        ),
    ),
    "feedback": (
        _stream(
            "feedback",
            "at",
            {**_code("feedback", "kind"), "rating": "CAST(round(f.rating * 1000) AS BIGINT)"},
            names=_id("feedback_id"),
        ),
    ),
    # whoever has any usable row is a known customer
    "presence": (
        _stream("customers", "registered_at"),
        _stream("identifiers", "first_seen_at"),
        _stream("exposures", "at"),
        _stream("consents", "at"),
    ),
}  # fmt: skip

# name -> (table, key, value, since when a version counts): attributes that a row is seen with, as known at the cutoff
_ATTRIBUTES = {
    "link": ("links", "customer_id", "one_id", "epoch_us(known_at)"),
    "category": ("products", "product_id", "category_1", "epoch_us(known_at)"),
    "brand": ("products", "product_id", "brand", "epoch_us(known_at)"),
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
_ONE_PIECE = 2**40


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
    columns: Mapping[str, Collection[str]] | None = None,
    customer: str | None = None,
) -> dict[str, pa.Table]:
    """Read the rows that any of the cutoffs could use, of one partition of the customers.

    Parameters
    ----------
    cutoffs
        Microseconds since 1970, UTC.
    part, parts
        Which of how many partitions; a customer's rows are always in the same one.
    named
        Give events, contacts and feedback the column ``id``, as order lines and tickets always have one.
    columns
        Stream -> columns wanted of it (see ``Plan.columns``); all by default.
    customer
        The only OneID wanted; everybody by default.
    """
    last = int(cutoffs.max())
    rows = {}
    for name, sources in STREAMS.items():
        wanted = None if columns is None else columns.get(name, ())
        query = _union(sources, last, named=named, wanted=wanted)
        values: dict[str, object] = {}
        if customer is not None:
            query, values = f"SELECT * FROM ({query}) WHERE entity = $customer", {"customer": customer}
        elif parts > 1:
            query = _part_of(connection, query, part, parts)
        rows[name] = connection.sql(query, params=values).to_arrow_table(batch_size=_ONE_PIECE)
    return rows


def _part_of(connection: duckdb.DuckDBPyConnection, query: str, part: int, parts: int) -> str:
    """Return the query for a partition of another's rows, which is run once: joins are not made again for each partition."""
    kept = f"kept_{hashlib.sha256(f'{parts} {query}'.encode()).hexdigest()[:16]}"
    connection.execute(f"""
        CREATE TEMP TABLE IF NOT EXISTS {kept} AS
        SELECT *, CAST(hash(entity) % {parts} AS USMALLINT) AS part FROM ({query})
    """)
    return f"SELECT * EXCLUDE (part) FROM {kept} WHERE part = {part}"


def _union(sources: tuple[_Stream, ...], last: int, *, named: bool, wanted: Collection[str] | None) -> str:
    chosen = {
        name: text
        for name, text in {**sources[0].columns, **(sources[0].names if named else {})}.items()
        if wanted is None or name in wanted
    }
    spans = ("link", *dict.fromkeys(span for name in chosen for span in sources[0].spans.get(name, ())))
    tables = ", ".join(f"{name}_spans AS ({_spans(name)})" for name in spans)
    queries = (_query(source, chosen, spans, last) for source in sources)
    return f"WITH {tables} {' UNION ALL '.join(queries)}"


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


def _query(stream: _Stream, columns: Mapping[str, str], spans: tuple[str, ...], last: int) -> str:
    since = ", ".join(f"coalesce({name}_spans.since, {NEVER})" for name in spans)
    until = ", ".join(f"coalesce({name}_spans.until, {FOREVER})" for name in spans)
    joins = " ".join(
        f"LEFT JOIN {name}_spans ON f.source = {name}_spans.source AND f.{_ATTRIBUTES[name][1]} = "
        f"{name}_spans.{_ATTRIBUTES[name][1]}"
        for name in spans
    )
    own_id = "CASE WHEN f.source = 'main' THEN f.customer_id ELSE f.source || ':' || f.customer_id END"
    return f"""
        SELECT * FROM (
            SELECT coalesce(link_spans.value, {own_id}) AS entity,
                   coalesce(epoch_us(f."{stream.time}"), {NEVER}) AS time,
                   greatest(epoch_us(f.known_at), {since}) AS usable_from,
                   least(coalesce(epoch_us(f.superseded_at), {FOREVER}), {until}) AS usable_to
                   {"".join(f", {text} AS {name}" for name, text in columns.items())}
            FROM {stream.table} f {joins}
            WHERE f.customer_id IS NOT NULL)
        WHERE time < {last} AND usable_from <= {last} AND usable_from < usable_to
    """
