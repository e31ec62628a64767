"""CDNOW: the purchases of those who first bought at this online music shop in 1997 Q1, to the end of 1998-06.

Source: Peter Fader and Bruce Hardie, https://www.brucehardie.com/datasets/ (published for research). Read
are the text file ``CDNOW_master.txt``, the same as Parquet, and the Parquet file of the one-in-ten sample. A
row is one purchase:

1. A purchase is an order of one line. It has no number of its own: ``order_id`` is customer, day and the
   rank among the customer's purchases of that day by CDs and dollars, so it does not depend on the order of
   the rows.
2. The 255 rows that repeat another one are kept: they are further purchases, and the published total of
   $2,500,315.63 counts them. So are the 80 purchases of 0 dollars.
3. What ``RULES`` names is quarantined under the first reason that applies.
4. A purchase is known to the day; its time is the start of that day, UTC. The one product is "CD".
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from features.errors import InputError
from features.sources.delivery import Delivery
from features.sources.files import (
    SQL_ORIGIN,
    Reader,
    Sheet,
    quarantined,
    raw_table,
    read_parquet,
    read_path,
    sql_id,
    sql_number,
    sql_time,
)

__all__ = ["COLUMNS", "RULES", "read"]


def _read_words(file: Path) -> list[Sheet]:
    """Rows of a text file whose fields are parted by blanks, as text; blank rows are no rows."""
    lines = file.read_text(encoding="utf-8-sig").splitlines() or [""]
    header = lines[0].split()
    rows = [(number, line, line.split()) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    good = [(number, fields) for number, _, fields in rows if len(fields) == len(header)]
    broken = tuple((number, line) for number, line, fields in rows if len(fields) != len(header))
    columns = [pa.array([fields[i] for _, fields in good], pa.string()) for i in range(len(header))]
    numbers = np.array([number for number, _ in good], dtype=np.int64)
    return [Sheet(file.name, pa.table(columns, names=header), numbers, broken)]


READERS: dict[str, Reader] = {".parquet": read_parquet, ".txt": _read_words}

COLUMNS = {
    "customer": ("customer_id",),
    "day": ("date",),
    "cds": ("number_of_cds",),
    "dollars": ("dollar_value",),
}
"""Our name -> the name of the column in the data."""

RULES = (
    ("customer IS NULL", "the customer is missing"),
    ("day IS NULL", "the date is missing or not a day such as 19970101"),
    ("cds IS NULL", "the number of CDs is missing or not a number"),
    ("dollars IS NULL", "the dollar value is missing or not a number"),
    ("cds <= 0", "the number of CDs is not above 0"),
    ("dollars < 0", "the dollar value is negative"),
)
"""SQL condition, and the reason; the first that holds decides."""

PURCHASES = f"""
CREATE TEMP TABLE purchases AS
WITH parsed AS (
    SELECT n, sheet, row, {SQL_ORIGIN} AS origin, {sql_id("customer")} AS customer,
        coalesce({sql_time("day")}, TRY_STRPTIME(trim(day), '%Y%m%d')) AS day,
        {sql_number("cds")} AS cds, {sql_number("dollars")} AS dollars
    FROM raw
)
SELECT *, CASE {" ".join(f"WHEN {holds} THEN '{reason}'" for holds, reason in RULES)} END AS reason,
    row_number() OVER (PARTITION BY customer, day::DATE ORDER BY cds, dollars, day, n) AS rank
FROM parsed
"""

TABLES = {
    "order_lines": """
        SELECT customer || '-' || strftime(day, '%Y%m%d') || '-' || rank AS order_id, '1' AS line_id,
            customer AS customer_id, 'sale' AS kind, day AS paid_at,
            'CD' AS product_id, cds::DOUBLE AS quantity,
            round(dollars, 2)::DECIMAL(18,2) AS gross_amount, 0::DECIMAL(18,2) AS discount_amount,
            round(dollars, 2)::DECIMAL(18,2) AS net_amount, 'USD' AS currency, 'web' AS channel, origin
        FROM purchases WHERE reason IS NULL ORDER BY customer, day, rank
    """,
    "customers": """
        SELECT customer AS customer_id, day AS known_at, origin FROM purchases WHERE reason IS NULL
        QUALIFY row_number() OVER (PARTITION BY customer ORDER BY day, rank) = 1 ORDER BY customer
    """,
    "products": """
        SELECT 'CD' AS product_id, 'CD' AS name, day AS known_at, origin FROM purchases
        WHERE reason IS NULL ORDER BY day, n LIMIT 1
    """,
}


def read(path: Path) -> Delivery:
    """Read purchases from one file: ``.txt`` (fields parted by blanks, a header) or ``.parquet``.

    Returns
    -------
    Delivery
        ``order_lines`` sorted by customer and day, ``customers`` and the one row of ``products``, each with
        ``origin``. Amounts in USD.

    Raises
    ------
    InputError
        The path is a folder or cannot be read, a file is not what its name says, or a column is missing.
    """
    if path.is_dir():
        # the files of the data set hold the same purchases, and repeated rows are purchases of their own
        raise InputError(f"{path} is a folder, expected one file of CDNOW purchases: give the file to read.")
    sheets = read_path(path, READERS)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("raw", raw_table(sheets, COLUMNS))
        connection.execute(PURCHASES)
        put_aside = connection.sql(
            "SELECT sheet, row, reason FROM purchases WHERE reason IS NOT NULL ORDER BY n"
        )
        return Delivery(
            tables={name: connection.sql(sql).to_arrow_table() for name, sql in TABLES.items()},
            quarantined=quarantined("order_lines", sheets, put_aside.to_arrow_table()),
            rows_read=sum(sheet.rows_read for sheet in sheets),
        )
