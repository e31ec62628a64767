"""UCI Online Retail and Online Retail II: the invoices of a British online gift shop, 2009-12 to 2011-12.

Source: Daqing Chen, UCI Machine Learning Repository,
https://archive.ics.uci.edu/ml/datasets/Online+Retail+II (CC BY 4.0). Read are the Parquet file of both years
or of one, daily CSV exports (a file or a folder), and the two-sheet Excel workbook. The same invoices give
the same order lines from each. How a raw row is understood:

1. Cells are trimmed, and identifiers written as ``17850.0`` are ``17850``. Times are UTC.
2. A *block* is a file, a sheet, or a part of one that begins where the time steps back by a day or more: the
   file of both years is two blocks, and both hold 2010-12-01 to 09. A row that repeats a row of an earlier
   block in all fields is an overlap: counted in ``Delivery.repeated``, not kept. A row that differs in any
   field is no repeat. In a file without any order of time a repeat may be named by rule 3 or 2; what is kept
   is the same.
3. A row that repeats a row of its own block in all fields is quarantined; the first one is kept.
4. An invoice ``C...`` is a cancellation: kind ``return``, at its own time, without the original order, which
   is not recorded. All other invoices are sales. Amounts are price x |quantity|, rounded half up.
5. What ``RULES`` names is quarantined under the first reason that applies. Product codes begin with five
   digits or are ``DCGS...`` or ``SP1002``, which have product descriptions; ``NOT_PRODUCTS`` lists what is
   none.
6. Case variants of a stock code (173) share descriptions: ``product_id`` is the upper-cased code.
7. ``line_id`` is the stock code as written and the rank of the line among those of the invoice with this
   code, by time, quantity, price, description, after rules 2 and 3: it depends on no file shape and no row
   order.
8. Lines without a customer are kept, anonymous. Wholesalers are kept: they are customers of this retailer.
9. A customer's region is the country, known from the first invoice with it (any kind, quarantined or not); a
   change of country is a further row with its own ``known_at``. "Unspecified" is kept as written.
10. A product's name is that of its first sale with a description (of its first return, if it was never
    sold).
"""

from pathlib import Path

import duckdb

from features.sources.delivery import Delivery
from features.sources.files import (
    SQL_ORIGIN,
    Reader,
    quarantined,
    raw_table,
    read_csv,
    read_excel,
    read_parquet,
    read_path,
    sql_id,
    sql_number,
    sql_text,
    sql_time,
)

__all__ = ["COLUMNS", "DUPLICATE", "NOT_PRODUCTS", "OVERLAP", "RULES", "read"]

READERS: dict[str, Reader] = {".csv": read_csv, ".parquet": read_parquet, ".xlsx": read_excel}

COLUMNS = {
    "invoice": ("Invoice", "InvoiceNo"),
    "stock_code": ("StockCode",),
    "description": ("Description",),
    "quantity": ("Quantity",),
    "time": ("InvoiceDate",),
    "price": ("Price", "UnitPrice"),
    "customer": ("Customer ID", "CustomerID"),
    "country": ("Country",),
}
"""Our name -> the names of the column in the two editions of the data."""

OVERLAP = "overlap of sheets or files"
DUPLICATE = "exact duplicate of another line of the same invoice"

NOT_PRODUCTS = (
    ("POST|DOT|C2|C3|23444|23574", "not a product: postage, carriage or packing"),
    ("BANK CHARGES|AMAZONFEE|CRUK", "not a product: bank charge, marketplace fee or commission"),
    ("D", "not a product: discount on a whole invoice"),
    ("M|ADJUST|ADJUST2|B", "not a product: manual entry or adjustment"),
    ("S", "not a product: samples"),
    (r"TEST\d+", "not a product: test entry"),
    # money paid ahead: it would count twice when the voucher is spent
    (r"GIFT|GIFT_\d+_\d+|22016", "not a product: gift voucher"),
    ("PADS", "not a product: cushion pads entered at a tenth of a penny"),
)
"""Pattern of the whole upper-cased stock code, and the reason; the first match decides."""

PRODUCTS = r"\d{5}.*|DCGS.*|SP1002"
UNKNOWN_CODE = "the stock code is not that of a product"

RULES = (
    ("invoice IS NULL", "the invoice number is missing"),
    ("is_copy", DUPLICATE),
    ("stock_code IS NULL", "the stock code is missing"),
    ("invoiced_at IS NULL", "the invoice date is missing or not a time such as 2010-12-01 08:26"),
    ("quantity IS NULL", "the quantity is missing or not a number"),
    ("price IS NULL", "the price is missing or not a number"),
    ("upper(invoice) LIKE 'A%'", "bad debt adjustment (invoice A...)"),
    ("not_product IS NOT NULL", None),  # the reason of NOT_PRODUCTS
    ("quantity = 0", "the quantity is 0"),
    ("quantity < 0 AND NOT cancelled", "negative quantity without a cancellation: a stock adjustment"),
    ("quantity > 0 AND cancelled", "positive quantity on a cancellation"),
    ("price <= 0", "the price is not above 0"),
    ("amount IS NULL", "price x quantity has more than 16 digits before the point"),
)
"""SQL condition, and the reason; the first that holds decides."""

PARSE = f"""
CREATE TEMP TABLE parsed AS
WITH typed AS (
    SELECT n, sheet, row, label, row_number,
        {sql_id("invoice")} AS invoice,
        {sql_id("stock_code")} AS stock_code,
        {sql_text("description")} AS description,
        {sql_number("quantity")} AS quantity, quantity AS written_quantity,
        {sql_time("time")} AS invoiced_at, "time" AS written_time,
        {sql_number("price")} AS price, price AS written_price,
        {sql_id("customer")} AS customer,
        {sql_text("country")} AS country
    FROM raw
)
SELECT * EXCLUDE (written_quantity, written_time, written_price),
    -- rows that differ in what cannot be read are not alike
    CASE WHEN quantity IS NULL OR invoiced_at IS NULL OR price IS NULL
        THEN concat_ws('|', written_quantity, written_time, written_price) END AS unreadable
FROM typed
"""

_FIELDS = "invoice stock_code description quantity invoiced_at price customer country unreadable".split()

# Null is like null here, so the rows are joined by IS NOT DISTINCT FROM.
FIND_REPEATS = f"""
CREATE TEMP TABLE repeats AS
WITH alike AS (
    SELECT {", ".join(_FIELDS)}, min(n) AS first_n FROM parsed GROUP BY ALL HAVING count(*) > 1
),
later AS (
    SELECT n, first_n FROM parsed JOIN alike
    ON n > first_n AND {" AND ".join(f"parsed.{name} IS NOT DISTINCT FROM alike.{name}" for name in _FIELDS)}
),
steps AS (
    SELECT n, sheet <> lag(sheet) OVER in_order
        OR invoiced_at <= lag(invoiced_at IGNORE NULLS) OVER in_order - INTERVAL 1 DAY AS begins_block
    FROM parsed WINDOW in_order AS (ORDER BY n)
),
begins AS (SELECT n AS begin_n FROM steps WHERE begins_block)
SELECT n, coalesce(begin_n > first_n, false) AS is_overlap FROM later ASOF LEFT JOIN begins ON n >= begin_n
"""

NUMBER_LINES = """
CREATE TEMP TABLE lines AS
WITH codes AS (
    SELECT code, CASE {codes} END AS not_product FROM (SELECT DISTINCT upper(stock_code) AS code FROM parsed)
),
numbered AS (
    SELECT parsed.*, is_overlap IS NOT NULL AS is_copy, not_product, upper(invoice) LIKE 'C%' AS cancelled,
        TRY_CAST(round(price * abs(quantity), 2) AS DECIMAL(18,2)) AS amount,
        row_number() OVER (
            PARTITION BY invoice, stock_code, is_overlap
            ORDER BY invoiced_at, quantity, price, description, customer, country, unreadable
        ) AS rank
    FROM parsed LEFT JOIN repeats USING (n) LEFT JOIN codes ON code = upper(stock_code)
    WHERE is_overlap IS DISTINCT FROM true
)
SELECT *, CASE {reasons} END AS reason FROM numbered
"""

TABLES = {
    "order_lines": f"""
        SELECT invoice AS order_id, stock_code || '-' || rank AS line_id, customer AS customer_id,
            CASE WHEN cancelled THEN 'return' ELSE 'sale' END AS kind, invoiced_at AS paid_at,
            upper(stock_code) AS product_id, abs(quantity)::DOUBLE AS quantity,
            amount AS gross_amount, 0::DECIMAL(18,2) AS discount_amount, amount AS net_amount,
            'GBP' AS currency, 'web' AS channel, NULL::VARCHAR AS original_order_id, {SQL_ORIGIN} AS origin
        FROM lines WHERE reason IS NULL ORDER BY order_id, line_id
    """,
    "customers": f"""
        WITH moments AS (
            SELECT customer, invoiced_at,
                max(struct_pack(invoice := invoice, country := country, origin := {SQL_ORIGIN})) AS last
            FROM lines WHERE customer IS NOT NULL AND invoiced_at IS NOT NULL AND NOT is_copy
            GROUP BY customer, invoiced_at
        ),
        known AS (
            SELECT customer, invoiced_at, last.country AS country, last.origin AS origin FROM moments
            QUALIFY last.country IS NOT NULL OR count(last.country) OVER (PARTITION BY customer) = 0
        )
        SELECT customer AS customer_id, country AS region_id, invoiced_at AS known_at, origin FROM known
        WINDOW own AS (PARTITION BY customer ORDER BY invoiced_at)
        QUALIFY row_number() OVER own = 1 OR country IS DISTINCT FROM lag(country) OVER own
        ORDER BY customer_id, known_at
    """,
    "products": f"""
        SELECT upper(stock_code) AS product_id, description AS name, invoiced_at AS known_at,
            {SQL_ORIGIN} AS origin
        FROM lines WHERE reason IS NULL
        QUALIFY row_number() OVER (
            PARTITION BY upper(stock_code)
            ORDER BY cancelled, description IS NULL, invoiced_at, description, n
        ) = 1 ORDER BY product_id
    """,
}


def read(path: Path) -> Delivery:
    """Read invoices from a file (.parquet, .csv, .xlsx) or a folder of such files.

    Parameters
    ----------
    path
        A file, or a folder whose files are read in name order.

    Returns
    -------
    Delivery
        ``order_lines`` sorted by order and line, ``customers`` (one row per change of country), ``products``,
        each with ``origin``. Amounts in GBP. Rows read = order lines + quarantined + repeated.

    Raises
    ------
    InputError
        The path cannot be read, a file is not what its name says, or a column is missing.
    """
    sheets = read_path(path, READERS)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("raw", raw_table(sheets, COLUMNS))
        _judge(connection)
        tables = {name: connection.sql(sql).to_arrow_table() for name, sql in TABLES.items()}
        put_aside = connection.sql("SELECT sheet, row, reason FROM lines WHERE reason IS NOT NULL ORDER BY n")
        overlap = connection.sql("SELECT count(*) FROM repeats WHERE is_overlap").fetchall()[0][0]
        return Delivery(
            tables=tables,
            quarantined=quarantined("order_lines", sheets, put_aside.to_arrow_table()),
            rows_read=sum(sheet.rows_read for sheet in sheets),
            repeated={OVERLAP: overlap},
        )


def _judge(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``repeats`` (rows like an earlier one) and ``lines`` (without overlap; with rank, reason)."""
    connection.execute(PARSE)
    connection.execute(FIND_REPEATS)
    reasons = " ".join(f"WHEN {holds} THEN {_literal(reason)}" for holds, reason in RULES)
    codes = " ".join(
        f"WHEN regexp_full_match(code, '{pattern}') THEN '{reason}'" for pattern, reason in NOT_PRODUCTS
    )
    codes += f" WHEN NOT regexp_full_match(code, '{PRODUCTS}') THEN '{UNKNOWN_CODE}'"
    connection.execute(NUMBER_LINES.format(codes=codes, reasons=reasons))


def _literal(reason: str | None) -> str:
    return "not_product" if reason is None else f"'{reason}'"
