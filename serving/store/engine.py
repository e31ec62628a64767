"""Opening a store: which database, which transaction, and what to say when it does not answer."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.errors import InputError, StoreUnavailable
from serving.store.schema import metadata
from serving.store.session import Session

__all__ = ["Store"]

_BUSY_WAIT_S = 10
_OPERATORS = ("42P01", "42501")
"""PostgreSQL's states for a table that is not there or not allowed: SQLAlchemy takes them for mistakes of the program."""


class Store:
    """A store by its URL: ``sqlite:///file.db`` or ``postgresql+psycopg://...``.

    Parameters
    ----------
    url
        SQLAlchemy's.
    create
        Make file and tables where they are missing; otherwise a store that is not there is refused.

    Raises
    ------
    InputError
        No URL of a database that Patron knows.
    StoreUnavailable
        It is not there, or holds something else.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.name, self._engine = _engine(url, create=create)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        try:
            self._require_tables(create=create)
        except StoreUnavailable:
            self.close()
            raise

    def _require_tables(self, *, create: bool) -> None:
        with _available(self.name):
            if create:
                metadata.create_all(self._engine)
            missing = set(metadata.tables) - set(sa.inspect(self._engine).get_table_names())
        if missing:
            raise StoreUnavailable(
                f"{self.name} is no store of Patron: it lacks {', '.join(sorted(missing))}. Make one with `patron publish`."
            )

    @contextmanager
    def reading(self) -> Iterator["Session"]:
        """Open a transaction that sees one state of the store throughout."""
        # PostgreSQL: one snapshot; SQLite always gives one
        with self._transaction(
            {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        ) as connection:
            yield Session(connection)

    @contextmanager
    def writing(self, customer_id: str | None = None) -> Iterator["Session"]:
        """Open a transaction that is done wholly or not at all.

        Parameters
        ----------
        customer_id
            Two transactions that name the same customer wait for each other.
        """
        with self._transaction({"patron_writes": True}) as connection:
            if customer_id is not None and not self._is_sqlite:
                number = int.from_bytes(hashlib.sha256(customer_id.encode()).digest()[:8], "big", signed=True)
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
            yield Session(connection)

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[sa.Connection]:
        with (
            self._reopened(),
            _available(self.name),
            self._engine.connect() as connection,
            connection.execution_options(**options).begin(),
        ):
            yield connection

    @contextmanager
    def _reopened(self) -> Iterator[None]:
        """Give connections up after a failure: one that was opened while the file was read-only would stay so."""
        try:
            yield
        except StoreUnavailable:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


@contextmanager
def _available(name: str) -> Iterator[None]:
    try:
        yield
    except sa.exc.TimeoutError as problem:
        raise StoreUnavailable(f"the store {name} is too busy: all connections are in use") from problem
    except sa.exc.DBAPIError as problem:
        is_ours = isinstance(problem, sa.exc.IntegrityError | sa.exc.ProgrammingError | sa.exc.DataError)
        if is_ours and getattr(problem.orig, "sqlstate", None) not in _OPERATORS:
            raise
        first = str(problem.orig).splitlines()[0] if problem.orig else str(problem)
        raise StoreUnavailable(
            f"the store {name} does not answer ({first}): see that it is there and running"
        ) from problem


def _engine(url: str, *, create: bool) -> tuple[str, sa.Engine]:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # neither is repeated: they may hold a password
        raise InputError(
            "the store's URL cannot be read: write sqlite:///store.db or postgresql+psycopg://..."
        ) from None
    if parsed.drivername == "postgresql+psycopg":
        return parsed.set(query={}).render_as_string(hide_password=True), sa.create_engine(
            parsed,
            pool_pre_ping=True,
            connect_args={"connect_timeout": _BUSY_WAIT_S, "client_encoding": "utf8"},
        )
    if (
        parsed.drivername not in ("sqlite", "sqlite+pysqlite")
        or not parsed.database
        or parsed.database == ":memory:"
    ):
        raise InputError(
            f"{parsed.drivername!r} is no store: write sqlite:///store.db or postgresql+psycopg://..."
        )
    return url, _sqlite(Path(parsed.database).absolute(), create=create)


def _sqlite(path: Path, *, create: bool) -> sa.Engine:
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as problem:
            raise StoreUnavailable(
                f"no store can be made at {path}: {problem.strerror} ({problem.filename})"
            ) from problem
    elif not path.is_file():
        raise StoreUnavailable(
            f"there is no store at {path}: make one with `patron publish --store sqlite:///{path}`"
        )
    uri = f"{path.as_uri()}?mode=rw"  # a file that goes away is not made again

    def connect() -> sqlite3.Connection:
        # SQLAlchemy begins and ends transactions itself
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_WAIT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        return connection

    engine = sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.QueuePool,
        pool_size=20,
        max_overflow=20,
        pool_timeout=_BUSY_WAIT_S,
    )

    _watch(engine, path)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # who writes takes the lock first: a reader that turns writer could only be refused
        writes = connection.get_execution_options().get("patron_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _watch(engine: sa.Engine, path: Path) -> None:
    """Open connections anew once the file is another: one that was deleted or replaced would take facts in and lose them."""

    @sa.event.listens_for(engine, "connect")
    def opened(_: sqlite3.Connection, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info["file"] = path.stat().st_ino

    @sa.event.listens_for(engine, "checkout")
    def checked(_: sqlite3.Connection, record: sa.pool.ConnectionPoolEntry, __: object) -> None:
        if not path.is_file() or path.stat().st_ino != record.info["file"]:
            raise sa.exc.DisconnectionError
