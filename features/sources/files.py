"""Files as they came: CSV, Parquet and Excel into sheets of raw rows, each with the row number a person sees.

CSV and Excel cells come as text, Parquet columns in their own types; the SQL snippets below read the text.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import python_calamine as calamine

from features.errors import InputError
from features.sources.delivery import QUARANTINE_SCHEMA

__all__ = [
    "SQL_ORIGIN",
    "WRONG_FIELD_COUNT",
    "Reader",
    "Sheet",
    "quarantined",
    "raw_table",
    "read_csv",
    "read_excel",
    "read_parquet",
    "read_path",
    "sql_id",
    "sql_number",
    "sql_text",
    "sql_time",
]

WRONG_FIELD_COUNT = "the row has more or fewer fields than the header"
SQL_ORIGIN = "label || ':' || row_number"


@dataclass(frozen=True)
class Sheet:
    """The rows of one file, or of one sheet of a workbook.

    Attributes
    ----------
    label
        "<file name>", for Excel followed by " sheet '<sheet name>'".
    table
        The rows, under the column names of the file.
    row_numbers
        For each row of ``table`` its number as a person sees it: in CSV and Excel the header is row 1; the
        rows of Parquet count from 1.
    broken
        Row number and text of the rows that do not have as many fields as the header.
    """

    label: str
    table: pa.Table
    row_numbers: npt.NDArray[np.int64]
    broken: tuple[tuple[int, str], ...] = ()

    @property
    def rows_read(self) -> int:
        """Rows of any kind."""
        return len(self.row_numbers) + len(self.broken)


Reader = Callable[[Path], list[Sheet]]


def read_path(path: Path, readers: Mapping[str, Reader]) -> list[Sheet]:
    """Sheets of one file, or of all files of a folder that have a known extension, in name order.

    Parameters
    ----------
    readers
        Extension in small letters, with its dot -> reader.

    Raises
    ------
    InputError
        The path does not exist, the extension is unknown, a folder holds no known file, a file is empty or is
        not what its extension says, or there is not a single row.
    """
    known = ", ".join(sorted(readers))
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if _wanted(file, readers)]
        if not files:
            raise InputError(f"{path} holds no file to read: looked for {known}. Give the folder with them.")
    elif not path.exists():
        raise InputError(f"{path} does not exist: give a file ({known}) or a folder of such files.")
    elif path.suffix.lower() not in readers:
        raise InputError(
            f"{path} has extension '{path.suffix}', known are {known}: export it as one of them."
        )
    else:
        files = [path]
    sheets = [sheet for file in files for sheet in _read_file(file, readers[file.suffix.lower()])]
    if not sum(sheet.rows_read for sheet in sheets):
        raise InputError(f"{path} has no rows, only a header: export it again.")
    return sheets


def _wanted(file: Path, readers: Mapping[str, Reader]) -> bool:
    # hidden files and the lock files of an open workbook are nobody's data
    return file.is_file() and file.suffix.lower() in readers and not file.name.startswith((".", "~$"))


def _read_file(file: Path, reader: Reader) -> list[Sheet]:
    try:
        if not file.stat().st_size:
            raise InputError(f"{file} is empty (0 bytes), expected a header and rows: export it again.")
        return reader(file)
    except (UnicodeDecodeError, pa.ArrowException, calamine.CalamineError, OSError, csv.Error) as error:
        if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
            raise InputError(f"{file} is not UTF-8 text: save it as UTF-8 (in Excel: CSV UTF-8).") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file} cannot be read as {file.suffix}: {reason}. Export it again.") from error


def _beginning(file: Path, size: int) -> bytes:
    with file.open("rb") as stream:
        return stream.read(size)


def read_parquet(file: Path) -> list[Sheet]:
    """Rows of a Parquet file, in their own types."""
    if _beginning(file, 4) != b"PAR1":
        raise InputError(f"{file} is named .parquet and is no Parquet file: export it again or rename it.")
    table = pq.read_table(file)
    return [Sheet(file.name, table, np.arange(1, table.num_rows + 1))]


def read_csv(file: Path) -> list[Sheet]:
    """Rows of a comma-separated UTF-8 file (byte order mark or not) as text; blank rows are no rows."""
    if b"\0" in _beginning(file, 1 << 16):
        raise InputError(f"{file} is named .csv and is binary, no text: save it as CSV UTF-8 or rename it.")
    with file.open(encoding="utf-8-sig", newline="") as text:
        header = next(csv.reader(text), [])
    broken: list[tuple[int, str]] = []

    def put_aside(row: pacsv.InvalidRow) -> str:
        broken.append((row.number, row.text))
        return "skip"

    table = pacsv.read_csv(
        file,
        read_options=pacsv.ReadOptions(use_threads=False),  # bad rows are numbered in one thread only
        parse_options=pacsv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=put_aside
        ),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    rows = np.arange(2, table.num_rows + len(broken) + 2)
    numbers = np.setdiff1d(rows, [number for number, _ in broken])
    # an empty line comes as empty cells, one of blanks as a single field
    bad = tuple((number, line) for number, line in broken if line.strip())
    return [_without_blank_rows(file.name, table, numbers, bad)]


def _without_blank_rows(
    label: str, table: pa.Table, numbers: npt.NDArray[np.int64], broken: tuple[tuple[int, str], ...] = ()
) -> Sheet:
    filled = np.zeros(table.num_rows, dtype=bool)
    for column in table.columns:
        filled |= pc.not_equal(column, "").to_numpy()
    if filled.all():
        return Sheet(label, table, numbers, broken)
    return Sheet(label, table.filter(pa.array(filled)), numbers[filled], broken)


def read_excel(file: Path) -> list[Sheet]:
    """Rows of all sheets of a workbook, as text; blank rows and sheets are left out."""
    if _beginning(file, 2) != b"PK":
        raise InputError(f"{file} is named .xlsx and is no Excel workbook: save it as .xlsx or rename it.")
    with calamine.CalamineWorkbook.from_path(file) as book:
        names = book.sheet_names
        grids = ((name, book.get_sheet_by_name(name).to_python(skip_empty_area=False)) for name in names)
        return [_excel_sheet(f"{file.name} sheet '{name}'", grid) for name, grid in grids if grid]


def _excel_sheet(label: str, grid: Sequence[Sequence[Any]]) -> Sheet:
    header, *rows = grid
    cells = zip(*rows, strict=True) if rows else ([] for _ in header)
    columns = [pa.chunked_array([pa.array(map(_cell_text, column), pa.string())]) for column in cells]
    table = pa.table(columns, names=[_cell_text(name) for name in header])
    return _without_blank_rows(label, table, np.arange(2, table.num_rows + 2))


def _cell_text(cell: Any) -> str:
    # Excel holds 490397, be it an invoice or a description, as 490397.0
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def raw_table(sheets: Sequence[Sheet], aliases: Mapping[str, Sequence[str]]) -> pa.Table:
    """The wanted columns of all sheets below one another, as text, under our names.

    Parameters
    ----------
    aliases
        Our name -> the names under which the column may come; exactly one must be there.

    Returns
    -------
    pa.Table
        Those columns, ``n`` (position over all sheets), ``sheet`` and ``row`` (positions from 0), and, for
        ``SQL_ORIGIN``, ``label`` and ``row_number``.

    Raises
    ------
    InputError
        A column is missing, is there twice, or holds neither text, numbers nor times.
    """
    table = pa.concat_tables(_raw_of(position, sheet, aliases) for position, sheet in enumerate(sheets))
    return table.append_column("n", pa.array(np.arange(table.num_rows)))


def _raw_of(position: int, sheet: Sheet, aliases: Mapping[str, Sequence[str]]) -> pa.Table:
    names = [name.strip() for name in sheet.table.column_names]
    found = {ours: [name for name in names if name in theirs] for ours, theirs in aliases.items()}
    if wrong := [" or ".join(aliases[ours]) for ours, hits in found.items() if len(hits) != 1]:
        raise InputError(
            f"{sheet.label} needs exactly one column for each of: {', '.join(wrong)}; its columns are "
            f"{', '.join(names) or 'none'}. Give each column one of these names, in the first row."
        )
    columns = {
        ours: _as_text(sheet.table.column(names.index(name)), sheet.label, name)
        for ours, (name,) in found.items()
    }
    size = sheet.table.num_rows
    place = {"sheet": np.full(size, position), "row": np.arange(size), "row_number": sheet.row_numbers}
    return pa.table({**columns, **place, "label": pa.repeat(sheet.label, size)})


def _as_text(column: pa.ChunkedArray, label: str, name: str) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):  # pandas writes a missing number as NaN
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(
            f"{label}: column {name} is stored as {column.type}, expected text, numbers or times: convert it."
        ) from error


def quarantined(table_name: str, sheets: Sequence[Sheet], put_aside: pa.Table) -> pa.Table:
    """Rows put aside, as they came, and those without as many fields as the header, in ``QUARANTINE_SCHEMA``.

    Parameters
    ----------
    put_aside
        ``sheet`` and ``row`` (positions from 0) and ``reason``.
    """
    sheet_of = put_aside["sheet"].to_numpy()
    entries: list[tuple[str, str, Mapping[str, Any]]] = []
    for position, sheet in enumerate(sheets):
        mine = put_aside.filter(pa.array(sheet_of == position))
        raw = sheet.table.take(mine["row"]).to_pylist()
        origins = [f"{sheet.label}:{number}" for number in sheet.row_numbers[mine["row"].to_numpy()]]
        entries += zip(origins, mine["reason"].to_pylist(), raw, strict=True)
        bad = [(f"{sheet.label}:{number}", {"line": line}) for number, line in sheet.broken]
        entries += [(origin, WRONG_FIELD_COUNT, line) for origin, line in bad]
    rows = [
        {"table_name": table_name, "origin": origin, "reason": reason, "raw": _json(fields)}
        for origin, reason, fields in entries
    ]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def _json(fields: Mapping[str, Any]) -> str:
    plain = {name: None if value != value else value for name, value in fields.items()}  # JSON knows no NaN
    return json.dumps(plain, ensure_ascii=False, default=str)


def sql_text(column: str) -> str:
    """SQL: trimmed text; null if nothing is left."""
    return f"nullif(trim({column}), '')"


def sql_id(column: str) -> str:
    """SQL: an identifier, without the ".0" that spreadsheets and data frames append to whole numbers."""
    return rf"regexp_replace({sql_text(column)}, '^(\d+)\.0+$', '\1')"


def sql_number(column: str) -> str:
    """SQL: a decimal number of up to 13 digits before and 6 after the point, or null."""
    return f"TRY_CAST({column} AS DECIMAL(19,6))"


def sql_time(column: str) -> str:
    """SQL: a time written year-month-day (UTC without an offset), or null; the session's zone must be UTC."""
    # the year comes first: the database also knows words such as 'infinity' and 'epoch'
    time = f"TRY_CAST({column} AS TIMESTAMPTZ)::TIMESTAMP"
    return rf"CASE WHEN regexp_matches({column}, '^\s*\d{{4}}-') THEN {time} END"
