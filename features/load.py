"""One delivery into the warehouse's tables: new rows, corrections, repeats, and what is set aside.

The same key with other content: inside one load both rows are set aside, since nobody can say which is right; in a
later load it is a correction, a new version that ends the old one. Versions of one key form a timeline: each ends
when the next becomes known.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from features.check import ROW_NUMBER, stage
from features.tables import Table

__all__ = ["BEGINNING", "Arrival", "LoadReport", "TableReport", "load_quarantined", "load_table"]

BEGINNING = "TIMESTAMP '1900-01-01'"
"""Known since always: facts of a historical source that have no business time."""

CONFLICT = "the same key with other content in one load"


@dataclass(frozen=True)
class Arrival:
    """How a delivery arrived.

    Attributes
    ----------
    label
        What the load is called in the log and in messages.
    digest
        Fingerprint of its files; the same files a second time change nothing.
    received_at
        When it arrived, naive UTC. From then on a correction is known, and so is a live row.
    history
        True: a new row without ``known_at`` was known at its business time plus ``lag_us``, or always where its table
        has no business time. False: it is known from ``received_at``.
    lag_us
        Declared lag of a historical source, microseconds.
    source
        Given to rows that do not name theirs.
    """

    label: str
    digest: str
    received_at: datetime
    history: bool = True
    lag_us: int = 0
    source: str = "main"

    def known_at(self, table: Table) -> str:
        """SQL for when a new row without ``known_at`` of its own was known."""
        if not self.history:
            return f"TIMESTAMP '{self.received_at}'"
        if table.time is None:
            return BEGINNING
        return f'coalesce("{table.time}" + INTERVAL {self.lag_us} MICROSECONDS, {BEGINNING})'


@dataclass(frozen=True)
class TableReport:
    """What became of the rows of one table."""

    table: str
    read: int = 0
    new: int = 0
    corrected: int = 0
    unchanged: int = 0
    repeated: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    ignored_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """What became of a delivery; ``seen_before`` when the same files were loaded already and nothing was done."""

    label: str
    load_id: int
    seen_before: bool
    tables: tuple[TableReport, ...]

    @property
    def usable(self) -> int:
        """Rows that are in the warehouse now, because of this load or before it."""
        return sum(table.new + table.corrected + table.unchanged for table in self.tables)

    @property
    def reasons(self) -> Counter[str]:
        """Sentence -> rows set aside."""
        total: Counter[str] = Counter()
        for table in self.tables:
            total.update(table.quarantined)
        return total

    def reasons_line(self) -> str:
        """Say in one line why rows were set aside."""
        if not self.reasons:
            return "There are no rows."
        return "; ".join(f"{count:,} x {reason}" for reason, count in self.reasons.most_common(5))

    def json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self))


def load_table(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: pa.Table,
    arrival: Arrival,
    *,
    currency: str,
    load_id: int,
) -> TableReport:
    """Check the rows of one table, set aside what cannot be used, and merge the rest into its timelines."""
    numbered = rows.append_column(ROW_NUMBER, pa.array(np.arange(1, rows.num_rows + 1)))
    connection.register("incoming", numbered)
    stage(connection, table, "incoming", currency=currency, source=arrival.source)
    key = ["source", *table.key]
    content = [name for name in table.names if name not in table.key]
    repeated = _drop_repeats(connection, key, content, arrival.known_at(table))
    _mark_conflicts(connection, key, arrival.known_at(table))
    _quarantine_staged(connection, table, rows.column_names, load_id)
    connection.unregister("incoming")
    ended = _end_versions(connection, table, key, content)
    unchanged = _drop_unchanged(connection, table, key, content)
    new, corrected = _insert(connection, table, key, arrival, load_id)
    reasons = connection.execute(
        "SELECT reason, count(*) FROM quarantine WHERE load_id = ? AND table_name = ? GROUP BY reason ORDER BY 2 DESC",
        [load_id, table.name],
    ).fetchall()
    quarantined = {str(reason): int(count) for reason, count in reasons}
    known = {*table.names, "source", "known_at", "superseded_at", "origin"}
    return TableReport(
        table=table.name,
        read=rows.num_rows,
        new=new,
        corrected=corrected + ended,
        unchanged=unchanged - ended,
        repeated=repeated,
        quarantined=quarantined,
        ignored_columns=tuple(name for name in rows.column_names if name not in known),
    )


def load_quarantined(
    connection: duckdb.DuckDBPyConnection,
    rows: pa.Table,
    arrival: Arrival,
    load_id: int,
    reports: list[TableReport],
) -> list[TableReport]:
    """Keep the rows that the source set aside itself, and count them in the reports of their tables."""
    connection.register("aside", rows)
    connection.execute(
        "INSERT INTO quarantine SELECT ?, table_name, ?, origin, row_number() OVER (), reason, raw FROM aside",
        [load_id, arrival.source],
    )
    counts = connection.execute(
        "SELECT table_name, reason, count(*) FROM aside GROUP BY ALL ORDER BY 3 DESC, 2"
    ).fetchall()
    connection.unregister("aside")
    by_name = {report.table: report for report in reports}
    for name, reason, count in counts:
        report = by_name.get(name, TableReport(name))
        merged = {**report.quarantined, reason: report.quarantined.get(reason, 0) + count}
        by_name[name] = replace(report, read=report.read + count, quarantined=merged)
    return list(by_name.values())


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    # fetchall, not fetchone: DuckDB wants a result read to its end before the next statement
    return int(connection.execute(query).fetchall()[0][0])


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _same(left: str, right: str, columns: list[str]) -> str:
    """SQL: the two rows agree in these columns, null equal to null."""
    return (
        " AND ".join(f'{left}."{name}" IS NOT DISTINCT FROM {right}."{name}"' for name in columns) or "true"
    )


def _drop_repeats(
    connection: duckdb.DuckDBPyConnection, key: list[str], content: list[str], known_at: str
) -> int:
    """Keep the first of rows that agree in everything; return how many went."""
    columns = f"{_listed([*key, *content, 'superseded_at'])}, coalesce(known_at, {known_at})"
    before = _count(connection, "SELECT count(*) FROM staged")
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE staged AS SELECT * FROM staged
        QUALIFY broken IS NOT NULL OR row_number() OVER (PARTITION BY {columns} ORDER BY row_number) = 1
    """)
    return before - _count(connection, "SELECT count(*) FROM staged")


def _mark_conflicts(connection: duckdb.DuckDBPyConnection, key: list[str], known_at: str) -> None:
    # rows of one key that say when they were known are versions; at one instant there can be only one
    columns = f"{_listed(key)}, coalesce(known_at, {known_at})"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE staged AS
        SELECT * REPLACE (CASE WHEN broken IS NOT NULL THEN broken
                               WHEN count(*) FILTER (broken IS NULL) OVER (PARTITION BY {columns}) > 1
                               THEN '{CONFLICT}' END AS broken)
        FROM staged
    """)


def _quarantine_staged(
    connection: duckdb.DuckDBPyConnection, table: Table, columns: list[str], load_id: int
) -> None:
    """Move rows with a broken rule to the quarantine, as they came."""
    fields = ", ".join(f"""'{name.replace("'", "''")}': i."{name}\"""" for name in columns)
    connection.execute(
        "INSERT INTO quarantine SELECT ?, ?, s.source, s.origin, s.row_number, s.broken, "
        f"CAST(to_json({{{fields}}}) AS VARCHAR) FROM staged s JOIN incoming i ON i.{ROW_NUMBER} = s.row_number "
        "WHERE s.broken IS NOT NULL",
        [load_id, table.name],
    )
    connection.execute("DELETE FROM staged WHERE broken IS NOT NULL")


def _end_versions(
    connection: duckdb.DuckDBPyConnection, table: Table, key: list[str], content: list[str]
) -> int:
    """End standing versions that the delivery repeats with an end (a link undone); return how many."""
    same = f"{_same('staged', 'held', [*key, *content, 'known_at'])} AND staged.superseded_at IS NOT NULL"
    ended = connection.execute(f"""
        UPDATE {table.name} AS held SET superseded_at = staged.superseded_at FROM staged
        WHERE {same} AND held.superseded_at IS NULL
    """).fetchall()
    return int(ended[0][0])


def _drop_unchanged(
    connection: duckdb.DuckDBPyConnection, table: Table, key: list[str], content: list[str]
) -> int:
    """Drop staged rows that say what the warehouse holds already: the standing version, or that same version."""
    before = _count(connection, "SELECT count(*) FROM staged")
    connection.execute(f"""
        DELETE FROM staged USING {table.name} held
        WHERE {_same("staged", "held", key)} AND {_same("staged", "held", content)}
          AND (held.known_at = staged.known_at
               AND (staged.superseded_at IS NULL OR held.superseded_at = staged.superseded_at)
               OR held.superseded_at IS NULL AND staged.superseded_at IS NULL)
    """)
    return before - _count(connection, "SELECT count(*) FROM staged")


def _insert(
    connection: duckdb.DuckDBPyConnection, table: Table, key: list[str], arrival: Arrival, load_id: int
) -> tuple[int, int]:
    """Insert what is staged; return how many rows are of a new key and how many correct one held before."""
    keys = _listed(key)
    received = f"TIMESTAMP '{arrival.received_at}'"
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE arrived AS
        SELECT s.*, held.last_known_at, held.instants FROM staged s
        LEFT JOIN (SELECT {keys}, max(known_at) AS last_known_at, list(known_at) AS instants
                   FROM {table.name} GROUP BY {keys}) held
        USING ({keys})
    """)
    columns = _listed(["source", *table.names])
    corrections = _count(connection, "SELECT count(*) FROM arrived WHERE last_known_at IS NOT NULL")
    # a correction that claims an instant at which another content is known already was known when it arrived
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE versions AS
        SELECT {columns}, CASE WHEN last_known_at IS NULL THEN coalesce(known_at, {arrival.known_at(table)})
                               WHEN known_at IS NULL OR list_contains(instants, known_at)
                               THEN greatest({received}, last_known_at + INTERVAL 1 MICROSECOND)
                               ELSE known_at END AS known_at,
               superseded_at, {load_id} AS load_id
        FROM arrived
    """)
    new = _count(connection, "SELECT count(*) FROM arrived WHERE last_known_at IS NULL")
    connection.execute(f"""
        INSERT INTO versions SELECT {columns}, known_at, superseded_at, load_id FROM {table.name}
        SEMI JOIN (SELECT {keys} FROM arrived WHERE last_known_at IS NOT NULL) USING ({keys})
    """)
    if corrections:
        connection.execute(f"DELETE FROM {table.name} USING versions v WHERE {_same(table.name, 'v', key)}")
    connection.execute(f"""
        INSERT INTO {table.name} ({columns}, known_at, superseded_at, load_id)
        SELECT {columns}, known_at,
               least(superseded_at, lead(known_at) OVER (PARTITION BY {keys} ORDER BY known_at)), load_id
        FROM versions
    """)
    return new, corrections
