"""Rows held against ``features.tables``: what can be typed is kept, what breaks the contract gets a reason.

One SQL statement a table does the work, written from the contract: each column is cast to its canonical type, and
each rule that a value can break adds its sentence to the row's ``broken``. The sentences are constant, so that a
quarantine can be counted by reason; the value stands in the raw row beside it.
"""

from collections.abc import Callable, Iterable

import duckdb

from features.errors import InputError
from features.tables import CURRENCIES, ZONES, Column, Table

__all__ = ["ROW_NUMBER", "SQL_TYPES", "stage"]

SQL_TYPES = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "zone": "VARCHAR",
    "time": "TIMESTAMP",
    "date": "DATE",
    "amount": "DECIMAL(18,2)",
    "quantity": "DECIMAL(18,3)",
    "real": "DOUBLE",
    "integer": "BIGINT",
    "flag": "BOOLEAN",
    "json": "VARCHAR",
}

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
_REALS = (*_NUMBERS, "FLOAT", "DOUBLE", "DECIMAL")
# Canonical type -> families of incoming types from which it may be read. "VARCHAR" is tried value by value.
_READABLE = {
    "id": (*_NUMBERS, "VARCHAR", "UUID", "ENUM"),
    "text": (*_NUMBERS, "VARCHAR", "UUID", "ENUM", "BOOLEAN"),
    "zone": ("VARCHAR", "ENUM"),
    "time": ("TIMESTAMP", "DATE", "VARCHAR"),
    "date": ("TIMESTAMP", "DATE", "VARCHAR"),
    "amount": (*_REALS, "VARCHAR"),
    "quantity": (*_REALS, "VARCHAR"),
    "real": (*_REALS, "VARCHAR"),
    "integer": (*_REALS, "VARCHAR"),
    "flag": ("BOOLEAN", *_NUMBERS, "VARCHAR"),
    "json": ("VARCHAR", "JSON", "STRUCT", "MAP"),
}
_WORDS = {
    "time": "a timestamp",
    "date": "a date",
    "amount": "an amount",
    "quantity": "a number",
    "real": "a number",
    "integer": "a whole number",
    "flag": "true or false",
    "json": "JSON",
    "id": "text",
    "text": "text",
    "zone": "an IANA time zone",
}
ROW_NUMBER = "patron_row_number"
"""Column that numbers the rows as they came, from 1."""

_ROW = "incoming_row"
"""What a row as it came is called in SQL: a name that no export's column has."""

SYSTEM_COLUMNS = (Column("known_at", "time", required=False), Column("superseded_at", "time", required=False))


def stage(
    connection: duckdb.DuckDBPyConnection, table: Table, incoming: str, *, currency: str, source: str
) -> None:
    """Write temporary table ``staged``: canonical columns, ``source``, ``row_number``, ``origin``, ``broken``.

    Parameters
    ----------
    incoming
        A view of the rows as they came, numbered by ``ROW_NUMBER``. Optional columns may be missing; ``source``, ``known_at``, ``superseded_at``
        and ``origin`` are taken where present.
    currency
        The warehouse's one currency; rows in another are given a reason.

    Raises
    ------
    InputError
        A required column is missing, or a column's type can never be read as the canonical one.
    """
    found = {row[0]: str(row[1]) for row in connection.execute(f'DESCRIBE "{incoming}"').fetchall()}
    _require_columns(table, found)
    columns = [*table.columns, *SYSTEM_COLUMNS]
    casts = ",\n".join(f'{_cast(table, column, found)} AS "{column.name}"' for column in columns)
    origin = f"CAST({_ROW}.origin AS VARCHAR)" if "origin" in found else "CAST(NULL AS VARCHAR)"
    default = f"'{_quoted(source)}'"
    own_source = f"coalesce(CAST({_ROW}.source AS VARCHAR), {default})" if "source" in found else default
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE staged AS
        WITH came AS (SELECT {_ROW} FROM "{incoming}" {_ROW}),
        typed AS (SELECT {_ROW}.{ROW_NUMBER} AS row_number, {_ROW}, {own_source} AS source, {origin} AS origin,
                  {casts} FROM came),
        judged AS (SELECT *, nullif(concat_ws('; ', {_rules(columns, found, currency)}), '') AS broken FROM typed)
        SELECT * EXCLUDE ({_ROW}) FROM judged
    """)


def _require_columns(table: Table, found: dict[str, str]) -> None:
    missing = [column.name for column in table.columns if column.required and column.name not in found]
    if missing:
        raise InputError(
            f"{table.name} lacks {_listed(missing)}: a row needs "
            f"{_listed(column.name for column in table.columns if column.required)}, and the file has "
            f"{_listed(found) or 'no column'}. Add the missing columns under these names."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _cast(table: Table, column: Column, found: dict[str, str]) -> str:
    """SQL that turns the incoming value into the canonical type; null where it cannot."""
    target = SQL_TYPES[column.type]
    if column.name not in found or found[column.name] == '"NULL"':
        return f"CAST(NULL AS {target})"
    family = _family(found[column.name])
    if column.type == "id" and family in ("FLOAT", "DOUBLE"):
        family = "WHOLE"  # pandas turns whole-number ids into floats as soon as one is missing
    elif family not in _READABLE[column.type]:
        raise InputError(
            f"{table.name}.{column.name} is stored as {found[column.name]}, which cannot be read as "
            f"{_WORDS[column.type]}: write it as {target}."
        )
    return _READERS[column.type](f'{_ROW}."{column.name}"', family)


def _family(sql_type: str) -> str:
    """Return the kind of an incoming type: timestamps of any unit are one, with a zone or without."""
    if sql_type.startswith("TIMESTAMP"):
        return "TIMESTAMP"
    return sql_type.split("(")[0].strip()


def _id(value: str, family: str) -> str:
    if family == "WHOLE":
        return f"CASE WHEN {value} = floor({value}) THEN CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR) END"
    return _text(value, family)


def _text(value: str, _: str) -> str:
    return f"nullif(CAST({value} AS VARCHAR), '')"


def _time(value: str, family: str) -> str:
    # the connection's zone is UTC, so text without an offset is UTC, and a zone is turned into UTC
    moment = f"CAST(TRY_CAST({_year_first(value, family)} AS TIMESTAMPTZ) AS TIMESTAMP)"
    # beyond these years no calendar of Python's goes: something else was written as a time
    return f"CASE WHEN {moment} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31' THEN {moment} END"


def _date(value: str, family: str) -> str:
    day = f"TRY_CAST({_year_first(value, family)} AS DATE)"
    return f"CASE WHEN isfinite({day}) THEN {day} END"


def _year_first(value: str, family: str) -> str:
    # "01/02/2024" is January here and February there: not guessed. Nor is "now" a time.
    if family != "VARCHAR":
        return value
    return f"CASE WHEN regexp_matches({value}, '^[0-9]{{4}}-[0-9]') THEN {value} END"


def _decimals(digits: int) -> Callable[[str, str], str]:
    def read(value: str, family: str) -> str:
        # decimal text must not pass through binary floats: 1.005 would become 1.00
        wide = "DOUBLE" if family in ("FLOAT", "DOUBLE") else "DECIMAL(38,9)"
        return f"TRY_CAST(round(TRY_CAST({value} AS {wide}), {digits}) AS DECIMAL(18,{digits}))"

    return read


def _integer(value: str, family: str) -> str:
    if family in _NUMBERS:
        return f"TRY_CAST({value} AS BIGINT)"
    number = f"TRY_CAST({value} AS DOUBLE)"
    return f"CASE WHEN {number} = floor({number}) THEN TRY_CAST({number} AS BIGINT) END"


def _json(value: str, family: str) -> str:
    text = f"CAST({value if family == 'VARCHAR' else f'to_json({value})'} AS VARCHAR)"
    return f"CASE WHEN json_valid({text}) THEN {text} END"


# Canonical type -> SQL that reads a value of an incoming family, null where it cannot
_READERS: dict[str, Callable[[str, str], str]] = {
    "id": _id,
    "text": _text,
    "zone": _text,
    "time": _time,
    "date": _date,
    "amount": _decimals(2),
    "quantity": _decimals(3),
    "real": lambda value, _: f"TRY_CAST({value} AS DOUBLE)",
    "integer": _integer,
    "flag": lambda value, _: f"TRY_CAST({value} AS BOOLEAN)",
    "json": _json,
}


def _rules(columns: list[Column], found: dict[str, str], currency: str) -> str:
    """SQL list of CASE expressions, each the sentence of a broken rule or null."""
    rules: list[tuple[str, str]] = []
    for column in columns:
        name = column.name
        if name in found:
            given = f'{_ROW}."{name}"'
            empty = f"CAST({given} AS VARCHAR) = ''" if found[name] == "VARCHAR" else "false"
            unread = f'"{name}" IS NULL AND {given} IS NOT NULL AND NOT {empty}'
            rules.append((f"{name} cannot be read as {_WORDS[column.type]}", unread))
            if column.required:
                rules.append((f"{name} is missing", f"{given} IS NULL OR {empty}"))
        rules += _value_rules(column)
        if name == "currency":
            codes = ", ".join(f"'{code}'" for code in sorted(CURRENCIES))
            rules.append(("currency is not an ISO 4217 code", f"currency NOT IN ({codes})"))
            other = f"currency IN ({codes}) AND currency <> '{currency}'"
            rules.append((f"currency is not the warehouse's {currency}", other))
    rules.append(("superseded_at is not after known_at", "superseded_at <= known_at"))
    return ",\n".join(f"CASE WHEN {broken} THEN '{_quoted(sentence)}' END" for sentence, broken in rules)


def _value_rules(column: Column) -> list[tuple[str, str]]:
    name, rules = column.name, []
    value = f'"{name}"'
    if column.minimum is not None:
        rules.append((f"{name} is below {column.minimum:g}", f"{value} < {column.minimum}"))
    if column.maximum is not None:
        rules.append((f"{name} is above {column.maximum:g}", f"{value} > {column.maximum}"))
    if column.above is not None:
        rules.append((f"{name} is not above {column.above:g}", f"{value} <= {column.above}"))
    if column.type == "real":
        rules.append((f"{name} is not a finite number", f"NOT isfinite({value})"))
    if column.type == "zone":
        zones = ", ".join(f"'{zone}'" for zone in sorted(ZONES))
        rules.append((f"{name} is no IANA time zone", f"{value} NOT IN ({zones})"))
    if column.choices:
        listed = ", ".join(f"'{choice}'" for choice in column.choices)
        rules.append((f"{name} is none of {', '.join(column.choices)}", f"{value} NOT IN ({listed})"))
    return rules


def _quoted(text: str) -> str:
    return text.replace("'", "''")
