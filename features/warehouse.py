"""The embedded DuckDB warehouse: one file that holds the canonical tables, every version of every row, and the quarantine.

A row version is true from ``known_at`` until ``superseded_at``. Nothing is overwritten: a correction ends the version
it corrects, so that a feature as of last month stays what it was.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.check import SQL_TYPES
from features.errors import InputError, NothingUsable, PatronError, WarehouseBusy
from features.load import Arrival, LoadReport, load_quarantined, load_table
from features.tables import CURRENCIES, TABLES, ZONES

__all__ = ["Settings", "Warehouse"]

_BUSY_WAIT_S = 30.0
_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """What is fixed when a warehouse is made.

    Attributes
    ----------
    warehouse_id
        Part of the names of the models trained on it.
    currency
        ISO 4217; every amount is in it.
    timezone
        IANA zone of the business: days are counted in it.
    """

    warehouse_id: str
    currency: str
    timezone: str


class Warehouse:
    """A warehouse file. Opens for each call and closes again, so that an open notebook never blocks the night's load.

    Parameters
    ----------
    path
        The DuckDB file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextmanager
    def connect(self, *, write: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, in UTC; one process writes or many read.

        Raises
        ------
        InputError
            There is no such file, or it is no warehouse.
        WarehouseBusy
            Another process held it for more than half a minute.
        """
        if not write and not self.path.exists():
            raise InputError(
                f"no warehouse at {self.path}: make one with `patron ingest --warehouse {self.path}`"
            )
        connection = _open(self.path, write=write)
        try:
            connection.execute(
                "SET TimeZone='UTC'; SET enable_progress_bar=false; SET preserve_insertion_order=false"
            )
            if not write:
                _require_version(connection, self.path)
            yield connection
        finally:
            connection.close()

    def settings(self) -> Settings:
        """Return what was fixed when the warehouse was made."""
        with self.connect() as connection:
            return _settings(connection)

    def load(
        self,
        tables: Mapping[str, pa.Table],
        arrival: Arrival,
        *,
        currency: str | None = None,
        timezone: str | None = None,
        quarantined: pa.Table | None = None,
    ) -> LoadReport:
        """Load a delivery in one transaction: all of it or nothing.

        Parameters
        ----------
        tables
            Canonical table name -> rows as they came.
        arrival
            When and how the delivery arrived.
        currency, timezone
            Of a new warehouse; for an old one they must agree. A currency may be left out where the rows tell it.
        quarantined
            Rows the source set aside itself.

        Raises
        ------
        InputError, NothingUsable, WarehouseBusy
        """
        unknown = sorted(set(tables) - set(TABLES))
        if unknown:
            raise InputError(
                f"{arrival.label}: no canonical table {', '.join(unknown)}; these are: {', '.join(TABLES)}"
            )
        is_new = False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.connect(write=True) as connection:
                connection.execute("BEGIN")
                is_new = not _tables(connection)
                settings = _prepare(connection, self.path, tables, currency=currency, timezone=timezone)
                report = _load(connection, settings, tables, quarantined, arrival)
                connection.execute("COMMIT")
        except (PatronError, duckdb.Error):
            if is_new:
                self.path.unlink(missing_ok=True)
            raise
        return report

    def largest_lag(self, known_by: datetime | None = None) -> timedelta:
        """Return the largest lag that a historical source declared: so long may an order stay unknown.

        Parameters
        ----------
        known_by
            Only loads count of which an order line was known then (UTC, naive); None: all loads.
        """
        with self.connect() as connection:
            if known_by is None:
                found = connection.execute("SELECT coalesce(max(lag_us), 0) FROM loads")
            else:
                found = connection.execute(
                    "SELECT coalesce(max(lag_us), 0) FROM loads WHERE load_id IN "
                    "(SELECT DISTINCT load_id FROM order_lines WHERE known_at <= ?)",
                    [known_by],
                )
            return timedelta(microseconds=int(found.fetchall()[0][0]))

    def quarantine(self) -> pa.Table:
        """Return all rows set aside: load, table, origin, reason, raw row."""
        with self.connect() as connection:
            return connection.sql(
                "SELECT * FROM quarantine ORDER BY load_id, table_name, row_number"
            ).to_arrow_table()


def _open(path: Path, *, write: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + _BUSY_WAIT_S
    while True:
        try:
            return duckdb.connect(str(path), read_only=not write)
        except (duckdb.IOException, duckdb.ConnectionException) as problem:
            text = str(problem)
            if "Could not set lock" not in text and "different configuration" not in text:
                raise InputError(
                    f"{path} cannot be opened as a warehouse: {text.splitlines()[0]}"
                ) from problem
            if time.monotonic() > deadline:
                raise WarehouseBusy(
                    f"{path} has been in use by another process for {_BUSY_WAIT_S:.0f} s: try again when it is done"
                ) from problem
            time.sleep(0.2)


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}


def _require_version(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    if "warehouse" not in _tables(connection):
        raise InputError(f"{path} is a DuckDB file but no Patron warehouse: it has no table `warehouse`")
    found = connection.execute("SELECT schema_version FROM warehouse").fetchall()
    if found != [(_VERSION,)]:
        raise InputError(
            f"{path} has warehouse layout {found}, this Patron reads {_VERSION}: ingest into a new file"
        )


def _settings(connection: duckdb.DuckDBPyConnection) -> Settings:
    return Settings(
        *connection.execute("SELECT warehouse_id, currency, timezone FROM warehouse").fetchall()[0]
    )


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    tables: Mapping[str, pa.Table],
    *,
    currency: str | None,
    timezone: str | None,
) -> Settings:
    """Make the tables of a new warehouse, or hold the arguments against an old one."""
    if not _tables(connection):
        _create(connection, path, currency or _currency_of(tables), timezone or "UTC")
    else:
        _require_version(connection, path)
    settings = _settings(connection)
    for what, asked, kept in (
        ("currency", currency, settings.currency),
        ("time zone", timezone, settings.timezone),
    ):
        if asked is not None and asked != kept:
            raise InputError(
                f"{path} keeps {what} {kept}, and {asked} was asked for: use a warehouse of its own"
            )
    return settings


def _create(connection: duckdb.DuckDBPyConnection, path: Path, currency: str, timezone: str) -> None:
    if currency not in CURRENCIES:
        raise InputError(f"{currency!r} is not an ISO 4217 currency code such as EUR")
    if timezone not in ZONES:
        raise InputError(f"{timezone!r} is not an IANA time zone such as Europe/London")
    warehouse_id = f"{''.join(c if c.isalnum() else '-' for c in path.stem.lower())}-{secrets.token_hex(3)}"
    connection.execute(
        "CREATE TABLE warehouse (schema_version INTEGER, warehouse_id VARCHAR, currency VARCHAR, timezone VARCHAR)"
    )
    connection.execute(
        "INSERT INTO warehouse VALUES (?, ?, ?, ?)", [_VERSION, warehouse_id, currency, timezone]
    )
    for table in TABLES.values():
        columns = ", ".join(f'"{column.name}" {SQL_TYPES[column.type]}' for column in table.columns)
        connection.execute(
            f"CREATE TABLE {table.name} "
            f"(source VARCHAR, {columns}, known_at TIMESTAMP, superseded_at TIMESTAMP, load_id INTEGER)"
        )
    connection.execute(
        "CREATE TABLE loads (load_id INTEGER, label VARCHAR, digest VARCHAR, received_at TIMESTAMP, lag_us BIGINT, "
        "report JSON)"
    )
    connection.execute(
        "CREATE TABLE quarantine (load_id INTEGER, table_name VARCHAR, source VARCHAR, origin VARCHAR, "
        "row_number BIGINT, reason VARCHAR, raw VARCHAR)"
    )


def _currency_of(tables: Mapping[str, pa.Table]) -> str:
    """Return the one currency that the order lines are in."""
    lines = tables.get("order_lines")
    found = (
        set()
        if lines is None or "currency" not in lines.column_names
        else set(pc.unique(lines["currency"]).to_pylist())
    )
    known = sorted(str(code) for code in found if code in CURRENCIES)
    if len(known) == 1:
        return known[0]
    if not known:
        raise InputError(
            f"a new warehouse keeps one currency, and the order lines name {_some(found)}: pass --currency, e.g. EUR"
        )
    raise InputError(
        f"a new warehouse keeps one currency, and the order lines name {len(known)}: {', '.join(known)}; choose one "
        "with --currency, rows in the others are set aside"
    )


def _some(found: set[object]) -> str:
    return ", ".join(sorted(repr(code) for code in found)[:5]) or "none"


def _load(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    tables: Mapping[str, pa.Table],
    quarantined: pa.Table | None,
    arrival: Arrival,
) -> LoadReport:
    seen = connection.execute("SELECT load_id FROM loads WHERE digest = ?", [arrival.digest]).fetchall()
    if seen:
        return LoadReport(label=arrival.label, load_id=int(seen[0][0]), seen_before=True, tables=())
    load_id = int(connection.execute("SELECT coalesce(max(load_id), 0) + 1 FROM loads").fetchall()[0][0])
    reports = [
        load_table(connection, table, tables[name], arrival, currency=settings.currency, load_id=load_id)
        for name, table in TABLES.items()
        if name in tables
    ]
    if quarantined is not None:
        reports = load_quarantined(connection, quarantined, arrival, load_id, reports)
    report = LoadReport(label=arrival.label, load_id=load_id, seen_before=False, tables=tuple(reports))
    if not report.usable:
        raise NothingUsable(f"{arrival.label}: not one row can be used. {report.reasons_line()}")
    connection.execute(
        "INSERT INTO loads VALUES (?, ?, ?, ?, ?, ?)",
        [load_id, arrival.label, arrival.digest, arrival.received_at, arrival.lag_us, report.json()],
    )
    return report
