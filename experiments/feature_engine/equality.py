"""Two results hold the same rows: counts and amounts to the last bit, real numbers to 1e-9."""

from pathlib import Path

import duckdb
from columns import COLUMNS, EXACT

__all__ = ["Unequal", "compare"]

TOLERANCE = 1e-9


class Unequal(Exception):
    """Two contenders disagree: no time of theirs means anything."""


def compare(ours: str, theirs: str) -> int:
    """Hold the customer, cutoff and 26 columns of two Parquet files against each other; return the number of rows.

    Raises
    ------
    Unequal
        Names the first column that differs, with both values.
    """
    folder = str(Path(ours).parent)
    with duckdb.connect(config={"temp_directory": folder, "preserve_insertion_order": False}) as connection:
        connection.execute("SET enable_progress_bar=false")
        for name, path in (("ours", ours), ("theirs", theirs)):
            connection.execute(f"CREATE VIEW {name} AS {_values(path)}")
        left, right = (_one(connection, f"SELECT count(*) FROM {name}")[0] for name in ("ours", "theirs"))
        both = ", ".join(f"count(*) FILTER ({_differs(name)})" for name in COLUMNS)
        shared, *differing = _one(
            connection, f"SELECT count(*), {both} FROM ours a JOIN theirs b USING (customer, moment)"
        )
        if not left == right == shared:
            raise Unequal(
                f"{left:,} rows against {right:,}, of which {shared:,} are of the same customers and cutoffs"
            )
        for name, count in zip(COLUMNS, differing, strict=True):
            if count:
                raise Unequal(f"{_first(connection, name)}; {count:,} of {left:,} differ")
    return left


def _values(path: str) -> str:
    columns = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in COLUMNS)
    without_nan = ", ".join(
        f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END AS {name}" for name in COLUMNS
    )
    return f"""SELECT customer, moment, {without_nan} FROM (
        SELECT customer_id AS customer, CAST(cutoff AS TIMESTAMP) AS moment, {columns} FROM read_parquet('{path}'))"""


def _differs(name: str) -> str:
    """SQL: the two values are not the same."""
    if name in EXACT:
        return f"a.{name} IS DISTINCT FROM b.{name}"
    return (
        f"(a.{name} IS NULL) <> (b.{name} IS NULL) "
        f"OR abs(a.{name} - b.{name}) > {TOLERANCE} + {TOLERANCE} * abs(b.{name})"
    )


def _first(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    customer, moment, ours, theirs = _one(
        connection,
        f"SELECT customer, moment, a.{name}, b.{name} FROM ours a JOIN theirs b USING (customer, moment) "
        f"WHERE {_differs(name)} ORDER BY moment, customer LIMIT 1",
    )
    return f"{name} of {customer}, {moment}: {ours} against {theirs}"


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] = connection.execute(query).fetchall()[0]
    return row
