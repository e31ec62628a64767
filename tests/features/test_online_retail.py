import csv
import json
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from features.sources import online_retail
from features.sources.files import WRONG_FIELD_COUNT
from features.sources.online_retail import DUPLICATE, OVERLAP

YEAR_1 = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"]
YEAR_2 = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
]
MORNING = "2010-12-01 08:26:00"


FIRST = ("536365", "85123A", "HEART", "6", MORNING, "2.55", "17850.0", "United Kingdom")
NAMES = ("invoice", "code", "text", "quantity", "at", "price", "customer", "country")


def row(*first, **changes):
    """The cells of a row: those of ``FIRST``, the first ones and the named ones replaced."""
    return list((dict(zip(NAMES, (*first, *FIRST[len(first) :]), strict=True)) | changes).values())


def write_csv(path, rows, header=YEAR_2, encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_rows(folder, *rows):
    return online_retail.read(write_csv(folder / "day.csv", rows))


def lines(delivery, *columns):
    """Order lines as tuples of the named columns, of all but the origin if none is named."""
    table = delivery.tables["order_lines"]
    return [tuple(line.values()) for line in table.select(columns or table.column_names[:-1]).to_pylist()]


def reasons(delivery):
    return delivery.quarantined["reason"].to_pylist()


def accounted(delivery):
    kept = delivery.tables["order_lines"].num_rows
    return kept + delivery.quarantined.num_rows + sum(delivery.repeated.values())


def test_a_day_worked_by_hand(tmp_path):
    delivery = read_rows(
        tmp_path,
        row(),
        row(code="71053", text=" LANTERN ", quantity="3", price="2.675"),  # 8.025: half up
        row(code="85123a", quantity="1", price="2.55"),  # another spelling of the same product
        row("536366", "POST", "POSTAGE", "1", price="18"),
        row("C536379", "85123A", quantity="-2", at="2010-12-01 09:41:00"),
        row("536380", quantity="1", at="2010-12-01 09:42:00", customer=""),
    )
    at, later, last = (datetime(2010, 12, 1, *time) for time in ((8, 26), (9, 41), (9, 42)))
    bought = [
        ("536365", "71053-1", "17850", "sale", at, "71053", 3.0, "8.03"),
        ("536365", "85123A-1", "17850", "sale", at, "85123A", 6.0, "15.30"),
        ("536365", "85123a-1", "17850", "sale", at, "85123A", 1.0, "2.55"),
        ("536380", "85123A-1", None, "sale", last, "85123A", 1.0, "2.55"),
        ("C536379", "85123A-1", "17850", "return", later, "85123A", 2.0, "5.10"),
    ]
    # gross, discount, net, currency, channel, original order
    rest = [(Decimal(line[-1]), Decimal("0.00"), Decimal(line[-1]), "GBP", "web", None) for line in bought]
    assert lines(delivery) == [(*line[:-1], *more) for line, more in zip(bought, rest, strict=True)]
    assert delivery.tables["order_lines"].column_names == [
        *("order_id", "line_id", "customer_id", "kind", "paid_at", "product_id", "quantity", "gross_amount"),
        *("discount_amount", "net_amount", "currency", "channel", "original_order_id", "origin"),
    ]
    assert delivery.quarantined.to_pylist() == [
        {
            "table_name": "order_lines",
            "origin": "day.csv:5",
            "reason": "not a product: postage, carriage or packing",
            "raw": json.dumps(
                dict(zip(YEAR_2, row("536366", "POST", "POSTAGE", "1", price="18"), strict=True))
            ),
        }
    ]
    assert (delivery.rows_read, delivery.repeated) == (6, {OVERLAP: 0})


@pytest.mark.parametrize(
    ("price", "quantity", "amount"),
    [
        ("2.675", "1", "2.68"),  # as binary floats these three would end below the half
        ("1.005", "1", "1.01"),
        ("0.145", "1", "0.15"),
        ("0.001", "1", "0.00"),
        ("0.001", "5", "0.01"),  # 0.005
        ("0.001", "4", "0.00"),
        ("38970", "80995", "3156375150.00"),
    ],
)
def test_amounts_are_rounded_half_up_on_the_decimal_product(tmp_path, price, quantity, amount):
    expected = Decimal(amount)
    parquet = tmp_path / "floats.parquet"
    table = pa.table([[cell] for cell in row(price=float(price), quantity=int(quantity))], names=YEAR_2)
    pq.write_table(table, parquet)
    for delivery in (read_rows(tmp_path, row(price=price, quantity=quantity)), online_retail.read(parquet)):
        assert lines(delivery, "gross_amount", "net_amount") == [(expected, expected)]


CHARGE = "not a product: bank charge, marketplace fee or commission"
MANUAL = "not a product: manual entry or adjustment"
CARRIAGE = "not a product: postage, carriage or packing"
VOUCHER = "not a product: gift voucher"
UNKNOWN = "the stock code is not that of a product"
NO_TIME = "the invoice date is missing or not a time such as 2010-12-01 08:26"
NO_QUANTITY = "the quantity is missing or not a number"
NO_PRICE = "the price is missing or not a number"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        *((row(code=code), CARRIAGE) for code in ("POST", "DOT", "C2", "C3", "23444", "23574")),
        *((row(code=code), CHARGE) for code in ("BANK CHARGES", "AMAZONFEE", "CRUK")),
        *((row(code=code), MANUAL) for code in ("M", "m", "ADJUST", "ADJUST2", "B")),
        *((row(code=code), VOUCHER) for code in ("gift_0001_20", "GIFT", "22016")),
        *((row(code=code), "not a product: test entry") for code in ("TEST001", "TEST002")),
        (row(code="D"), "not a product: discount on a whole invoice"),
        (row(code="S"), "not a product: samples"),
        (row(code="PADS"), "not a product: cushion pads entered at a tenth of a penny"),
        *((row(code=code), UNKNOWN) for code in ("1234", "A12345", "SP1003", "PO")),
        (row(invoice=""), "the invoice number is missing"),
        (row(code=" "), "the stock code is missing"),
        *((row(at=at), NO_TIME) for at in ("", "12/1/2010 8:26", "2010-02-30 08:26", "infinity")),
        *((row(quantity=quantity), NO_QUANTITY) for quantity in ("", "six", "1,5", "nan", "inf")),
        *((row(price=price), NO_PRICE) for price in ("", "free", "2,55")),
        (row("A563185", "B", price="11062.06"), "bad debt adjustment (invoice A...)"),
        (row(quantity="0"), "the quantity is 0"),
        (row(quantity="-1"), "negative quantity without a cancellation: a stock adjustment"),
        (row(quantity="-1", price="0"), "negative quantity without a cancellation: a stock adjustment"),
        (row("C536365", quantity="1"), "positive quantity on a cancellation"),
        (row(price="0"), "the price is not above 0"),
        (row("C536365", quantity="-1", price="-1"), "the price is not above 0"),
        (row(quantity="9" * 12, price="9" * 12), "price x quantity has more than 16 digits before the point"),
    ],
)  # fmt: skip
def test_a_row_that_breaks_a_rule_is_put_aside_with_its_reason(tmp_path, bad, reason):
    delivery = read_rows(tmp_path, bad, row("536999"))
    assert reasons(delivery) == [reason]
    assert json.loads(delivery.quarantined["raw"][0].as_py()) == dict(zip(YEAR_2, bad, strict=True))
    assert lines(delivery, "order_id") == [("536999",)]


@pytest.mark.parametrize("code", ["DCGS0003", "DCGSSBOY", "SP1002", "15056BL", "79323P", "84997a", "47503J "])
def test_these_codes_are_products(tmp_path, code):
    assert lines(read_rows(tmp_path, row(code=code)), "product_id") == [(code.strip().upper(),)]


def test_every_rule_has_a_sentence_of_its_own():
    named = [reason for _, reason in (*online_retail.RULES, *online_retail.NOT_PRODUCTS) if reason]
    assert len(set(named)) == len(named) == len(online_retail.RULES) - 1 + len(online_retail.NOT_PRODUCTS)


def test_times_are_utc(tmp_path):
    delivery = read_rows(
        tmp_path,
        row("1", at="2010-12-01"),
        row("2", at="2010-12-01T08:26:00Z"),
        row("3", at="2010-12-01 08:26:00+01:00"),
        row("4", at=" 2010-12-01 8:26"),
    )
    day = datetime(2010, 12, 1)
    expected = [
        day,
        day.replace(hour=8, minute=26),
        day.replace(hour=7, minute=26),
        day.replace(hour=8, minute=26),
    ]
    assert [at for (at,) in lines(delivery, "paid_at")] == expected
    assert delivery.tables["order_lines"].schema.field("paid_at").type == pa.timestamp("us")


# What is repeated, and what is a duplicate


def test_a_repeat_of_an_earlier_file_is_an_overlap_and_within_a_file_a_duplicate(tmp_path):
    write_csv(tmp_path / "a.csv", [row(), row(), row(code="71053")], header=YEAR_1)
    write_csv(tmp_path / "b.csv", [row(), row(code="71053", quantity="7"), row("536400"), row("536400")])
    delivery = online_retail.read(tmp_path)
    assert lines(delivery, "order_id", "line_id", "quantity", "origin") == [
        ("536365", "71053-1", 6.0, "a.csv:4"),
        ("536365", "71053-2", 7.0, "b.csv:3"),  # another quantity: no repeat
        ("536365", "85123A-1", 6.0, "a.csv:2"),
        ("536400", "85123A-1", 6.0, "b.csv:4"),
    ]
    assert list(zip(delivery.quarantined["origin"].to_pylist(), reasons(delivery), strict=True)) == [
        ("a.csv:3", DUPLICATE),
        ("b.csv:5", DUPLICATE),
    ]
    assert (delivery.rows_read, delivery.repeated) == (7, {OVERLAP: 1})


@pytest.mark.parametrize(
    ("back", "overlap"),
    [
        (timedelta(days=1), 1),  # a new block
        (timedelta(hours=23, minutes=59), 0),  # the same block, so a duplicate
    ],
)
def test_a_block_begins_where_the_time_steps_back_by_a_day(tmp_path, back, overlap):
    first = datetime(2010, 12, 1, 8)
    delivery = read_rows(
        tmp_path,
        row("1", at=str(first)),
        row("2", at=str(first + back)),
        row("1", at=str(first)),
        row("3", at=""),
    )
    assert delivery.repeated == {OVERLAP: overlap}
    assert reasons(delivery).count(DUPLICATE) == 1 - overlap
    assert lines(delivery, "order_id") == [("1",), ("2",)]


def test_an_unreadable_time_does_not_hide_a_step_back(tmp_path):
    delivery = read_rows(
        tmp_path,
        row("1", at="2010-12-01"),
        row("2", at="2010-12-09"),
        row("3", at="?"),
        row("1", at="2010-12-01"),
    )
    assert delivery.repeated == {OVERLAP: 1}


def test_the_very_first_row_counts(tmp_path):
    delivery = read_rows(tmp_path, row(), row())
    assert (len(lines(delivery)), reasons(delivery), accounted(delivery)) == (1, [DUPLICATE], 2)


def test_rows_that_differ_only_in_what_cannot_be_read_are_no_duplicates(tmp_path):
    assert reasons(read_rows(tmp_path, row(price="a"), row(price="b"), row(price="b"))) == [
        NO_PRICE,
        NO_PRICE,
        DUPLICATE,
    ]


# The lines of an invoice are numbered whatever the order and the shape of the files

SMALL = st.builds(
    row,
    invoice=st.sampled_from(["536365", "536366", "C536367", ""]),
    code=st.sampled_from(["85123A", "85123a", "22423", "POST"]),
    text=st.sampled_from(["HEART", "LAMP", ""]),
    quantity=st.sampled_from(["6", "-1", "0", "x"]),
    at=st.sampled_from([MORNING, "2010-12-01 08:27:00", "2010-12-03 10:00:00", ""]),
    price=st.sampled_from(["2.55", "0", "1.005"]),
    customer=st.sampled_from(["17850.0", ""]),
)


def ranked(rows):
    """Slow and obvious: usable distinct lines, each with its rank among those of its invoice and code."""

    def key(r):
        return r[4] or "~", 1e9 if r[3] == "x" else float(r[3]), float(r[5]), r[2] or "~", r[6] or "~"

    groups = {}
    for line in sorted({tuple(r) for r in rows}, key=key):
        groups.setdefault((line[0], line[1]), []).append(line)
    usable = set()
    for (invoice, code), members in groups.items():
        for rank, (*_, quantity, at, price, customer, _country) in enumerate(members, start=1):
            number = 0 if quantity == "x" else int(quantity)
            right_sign = number < 0 if invoice.startswith("C") else number > 0
            if invoice and code != "POST" and at and right_sign and float(price) > 0:
                amount = (Decimal(price) * abs(number)).quantize(Decimal("0.01"), "ROUND_HALF_UP")
                usable.add(
                    (invoice, f"{code}-{rank}", customer[:5] or None, datetime.fromisoformat(at), amount)
                )
    return usable


@given(rows=st.lists(SMALL, min_size=1, max_size=25), cut=st.integers(0, 25), random=st.randoms())
def test_lines_do_not_depend_on_the_order_of_rows_or_the_number_of_files(rows, cut, random):
    columns = ("order_id", "line_id", "customer_id", "paid_at", "net_amount")
    shuffled = random.sample(rows, len(rows))
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, part in (("a.csv", shuffled[:cut]), ("b.csv", shuffled[cut:])):
            write_csv(folder / file, part)
        parts = online_retail.read(folder)
        whole = read_rows(folder, *rows)
    assert set(lines(whole, *columns)) == ranked(rows)
    assert lines(parts) == lines(whole)
    assert accounted(whole) == accounted(parts) == whole.rows_read == parts.rows_read == len(rows)
    assert parts.tables["customers"].drop("origin") == whole.tables["customers"].drop("origin")
    assert parts.tables["products"].drop("origin") == whole.tables["products"].drop("origin")


def write_excel(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for cells in rows:
            sheet.append(cells)
    book.save(path)
    return path


def typed(cells):
    """Cells as Excel holds them: what looks like a number as a number, times as times."""
    invoice, code, text, quantity, at, price, customer, country = cells

    def number(cell):
        return float(cell) if cell.replace(".", "").isdigit() else cell or None

    ids = number(invoice), number(code), number(text), float(quantity)
    return [*ids, datetime.fromisoformat(at), float(price), number(customer), country]


def test_csv_parquet_and_excel_give_the_same_lines(tmp_path):
    rows = [
        row(),
        row(code="22423", quantity="2", price="1.005", at="2010-12-01 08:27:00"),
        row("536366", "22424", "20713", customer="", quantity="1", price="0.42"),
        row("C536367", "85123A", quantity="-6", at="2010-12-03 10:00:00"),
    ]
    cells = [typed(r) for r in rows]
    excel = write_excel(
        tmp_path / "book.xlsx",
        **{"Year 1": [YEAR_1, *cells[:2], [None] * 8], "Year 2": [YEAR_2, *cells[2:]], "Sheet3": []},
    )
    frame = pd.DataFrame(cells, columns=YEAR_1)
    for position in (0, 1, 2):
        frame[YEAR_1[position]] = [r[position] for r in rows]
    frame.to_parquet(tmp_path / "union.parquet")
    expected = read_rows(tmp_path, *rows)
    from_excel, from_parquet = online_retail.read(excel), online_retail.read(tmp_path / "union.parquet")
    assert lines(expected) == lines(from_excel) == lines(from_parquet)
    names = [read.tables["products"]["name"].to_pylist() for read in (expected, from_excel, from_parquet)]
    assert names == [["HEART", "20713", "HEART"]] * 3
    assert lines(expected, "order_id", "line_id", "net_amount") == [
        ("536365", "22423-1", Decimal("2.01")),
        ("536365", "85123A-1", Decimal("15.30")),
        ("536366", "22424-1", Decimal("0.42")),
        ("C536367", "85123A-1", Decimal("15.30")),
    ]
    assert [origin for (origin,) in lines(from_excel, "origin")] == [
        "book.xlsx sheet 'Year 1':3",
        "book.xlsx sheet 'Year 1':2",
        "book.xlsx sheet 'Year 2':2",
        "book.xlsx sheet 'Year 2':3",
    ]
    assert lines(from_parquet, "origin")[0] == ("union.parquet:2",)
    assert expected.rows_read == from_excel.rows_read == from_parquet.rows_read == 4


def test_rows_are_numbered_as_a_person_sees_them(tmp_path):
    text = ",".join(YEAR_2) + "\n" + "\n".join(
        [
            ",".join(row("1", text='"two\nlines"')),
            "",  # row 3 is blank
            ",".join(row("2")) + ",extra",  # row 4
            "3,short",  # row 5
            "  ",  # row 6 is blank
            ",".join(row("4")),  # row 7
        ]
    )  # fmt: skip
    (tmp_path / "day.csv").write_text(text + "\n", encoding="utf-8")
    delivery = online_retail.read(tmp_path / "day.csv")
    assert lines(delivery, "order_id", "origin") == [("1", "day.csv:2"), ("4", "day.csv:7")]
    put_aside = delivery.quarantined.to_pylist()
    assert [(entry["origin"], entry["reason"]) for entry in put_aside] == [
        ("day.csv:4", WRONG_FIELD_COUNT),
        ("day.csv:5", WRONG_FIELD_COUNT),
    ]
    assert json.loads(put_aside[1]["raw"]) == {"line": "3,short"}
    assert delivery.rows_read == accounted(delivery) == 4


def test_a_byte_order_mark_and_a_pound_sign_are_read(tmp_path):
    path = write_csv(tmp_path / "day.csv", [row(text="VOUCHER £5")], encoding="utf-8-sig")
    assert online_retail.read(path).tables["products"]["name"].to_pylist() == ["VOUCHER £5"]


def test_a_raw_row_of_parquet_without_a_number_is_valid_json(tmp_path):
    frame = pd.DataFrame([typed(row(price="0", customer=""))], columns=YEAR_1).astype({"Customer ID": float})
    table = pa.Table.from_pandas(frame, preserve_index=False).set_column(
        6, "Customer ID", pa.array([float("nan")])
    )
    pq.write_table(table, tmp_path / "x.parquet")
    raw = json.loads(
        online_retail.read(tmp_path / "x.parquet").quarantined["raw"][0].as_py(), parse_constant=pytest.fail
    )
    assert (raw["Customer ID"], raw["InvoiceDate"], raw["Price"]) == (None, MORNING, 0.0)


# Customers and products


def test_a_customer_has_a_row_for_each_change_of_country(tmp_path):
    days = [f"2010-12-0{day} 10:00:00" for day in range(1, 8)]
    delivery = read_rows(
        tmp_path,
        row("3", at=days[3], country="Cyprus"),
        row("1", "POST", at=days[0], country="Austria"),  # put aside, yet it says where the customer lives
        row("2", at=days[1], country="Austria"),
        row("4", at=days[4], country=""),  # says nothing
        row("5", at=days[5], country="Cyprus"),
        row("6", at=days[6], country="Austria"),
        row("7", at=days[2], country="Malta", customer=""),
        row("8", at=days[2], country="", customer="9"),
    )
    found = [tuple(version.values()) for version in delivery.tables["customers"].to_pylist()]
    assert found == [
        ("17850", "Austria", datetime(2010, 12, 1, 10), "day.csv:3"),
        ("17850", "Cyprus", datetime(2010, 12, 4, 10), "day.csv:2"),
        ("17850", "Austria", datetime(2010, 12, 7, 10), "day.csv:7"),
        ("9", None, datetime(2010, 12, 3, 10), "day.csv:9"),
    ]
    assert delivery.tables["customers"].column_names == ["customer_id", "region_id", "known_at", "origin"]


def test_a_product_is_named_by_its_first_sale_with_a_description(tmp_path):
    days = [f"2010-12-0{day} 10:00:00" for day in range(1, 6)]
    delivery = read_rows(
        tmp_path,
        row("4", at=days[3], text="LATER NAME"),
        row("3", code="85123a", at=days[2], text="HEART"),
        row("2", at=days[1], text=""),  # nameless
        row("1", at=days[0], text="damaged", quantity="-5", price="0"),  # put aside
        row("C5", at=days[0], text="RETURNED", quantity="-1"),
        row("C6", "22423", at=days[4], text="ONLY RETURNED", quantity="-1"),
        row("7", "22424", at=days[4], text=""),
    )
    assert [tuple(product.values()) for product in delivery.tables["products"].to_pylist()] == [
        ("22423", "ONLY RETURNED", datetime(2010, 12, 5, 10), "day.csv:7"),
        ("22424", None, datetime(2010, 12, 5, 10), "day.csv:8"),
        ("85123A", "HEART", datetime(2010, 12, 3, 10), "day.csv:3"),
    ]
    assert delivery.tables["products"].column_names == ["product_id", "name", "known_at", "origin"]


# Bad input

HEADER_ONLY = (",".join(YEAR_2) + "\n").encode()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.parquet", b"no parquet", "is no Parquet file"),
        ("x.parquet", b"PAR1 and nothing more", "cannot be read as .parquet"),
        ("x.xlsx", b"no workbook", "is no Excel workbook"),
        ("x.xlsx", b"PK\x03\x04 and nothing more", "cannot be read as .xlsx"),
        ("x.csv", b"\x00\x01\x02", "is binary"),
        ("x.csv", HEADER_ONLY + ",".join(row(text="£")).encode("latin-1") + b"\n", "is not UTF-8"),
        ("x.csv", "é,Invoice\n1,2\n".encode("latin-1"), "is not UTF-8"),
        ("x.csv", b"", "is empty"),
        ("x.parquet", b"", "is empty"),
        ("x.csv", HEADER_ONLY, "has no rows"),
        ("x.csv", b"\xef\xbb\xbf", "cannot be read as .csv"),
        ("x.txt", b"text", "known are .csv, .parquet, .xlsx"),
        ("x.CSV", b"Invoice,StockCode\n1,2\n", "Price or UnitPrice"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as raised:
        online_retail.read(tmp_path / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_column_is_named_beside_those_that_were_found(tmp_path):
    path = write_csv(tmp_path / "x.csv", [row()[:7]], header=[*YEAR_2[:5], "Unit cost", "CustomerID"])
    with pytest.raises(
        InputError, match=r"Price or UnitPrice, Country; its columns are InvoiceNo, .*Unit cost"
    ):
        online_retail.read(path)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = write_csv(tmp_path / "x.csv", [[*row(), "1.00"]], header=[*YEAR_2, "Price"])
    with pytest.raises(InputError, match="exactly one column for each of: Price or UnitPrice;"):
        online_retail.read(path)


def test_a_column_of_lists_is_refused(tmp_path):
    table = pa.table([[cell] for cell in row()], names=YEAR_2).set_column(5, "UnitPrice", pa.array([[2.55]]))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InputError, match="column UnitPrice is stored as list"):
        online_retail.read(tmp_path / "x.parquet")


def test_paths_without_data_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        online_retail.read(tmp_path / "missing.csv")
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / ".hidden.csv").write_text("no data")
    (tmp_path / "~$open.xlsx").write_text("no data")
    with pytest.raises(InputError, match=r"holds no file to read: looked for \.csv, \.parquet, \.xlsx"):
        online_retail.read(tmp_path)
    with pytest.raises(InputError, match="has no rows"):
        online_retail.read(write_excel(tmp_path / "x.xlsx", empty=[]))


def test_a_day_without_sales_is_no_fault_beside_others(tmp_path):
    write_csv(tmp_path / "1.csv", [])
    write_csv(tmp_path / "2.csv", [row()])
    assert len(lines(online_retail.read(tmp_path))) == 1


# The real data


@pytest.fixture(scope="module")
def folder(data_dir):
    return data_dir / "online_retail_ii"


@pytest.fixture(scope="module")
def union(folder):
    return online_retail.read(folder / "online_retail_II.parquet")


def test_every_row_of_the_union_is_accounted_for(union):
    assert union.rows_read == accounted(union) == 1_067_370
    assert union.repeated == {OVERLAP: 22_523}
    found = Counter(reasons(union))
    # 34,335 exact duplicates over both years, of which the overlap is a part
    assert found[DUPLICATE] == 34_335 - 22_523
    assert found["bad debt adjustment (invoice A...)"] == 6
    assert set(found) <= {reason for _, reason in (*online_retail.RULES, *online_retail.NOT_PRODUCTS)}


def test_the_union_agrees_with_a_reading_in_pandas(folder, union):
    raw = pd.read_parquet(folder / "online_retail_II.parquet").drop_duplicates()
    cancelled = raw["Invoice"].str.startswith("C")
    product = raw["StockCode"].str.match(r"\d{5}|DCGS|SP1002") & ~raw["StockCode"].isin(
        ["23444", "23574", "22016"]
    )
    good = product & (raw["Price"] > 0) & (cancelled == (raw["Quantity"] < 0))
    pence = (raw["Price"] * 1000).round().astype("int64") * raw["Quantity"].abs()
    cents = ((pence + 5) // 10)[good].groupby(cancelled[good]).sum()
    kept = union.tables["order_lines"].to_pandas()
    assert len(kept) == good.sum()
    sums = kept.groupby("kind")["net_amount"].sum()
    assert (int(sums["sale"] * 100), int(sums["return"] * 100)) == (cents[False], cents[True])
    assert not kept.duplicated(["order_id", "line_id"]).any()
    assert kept["customer_id"].nunique() == raw.loc[good, "Customer ID"].nunique()


def test_the_union_knows_the_published_number_of_customers(union):
    customers = union.tables["customers"].to_pandas()
    assert customers["customer_id"].nunique() == 5_942
    # 12370 moved from Austria to Cyprus and back twice
    assert (
        customers.loc[customers["customer_id"] == "12370", "region_id"].tolist() == ["Austria", "Cyprus"] * 2
    )
    assert union.tables["products"]["name"].null_count == 0


def without_origin(delivery):
    return delivery.tables["order_lines"].to_pandas().drop(columns="origin")


def test_daily_files_give_the_lines_of_the_union(folder, union):
    days, whole = online_retail.read(folder / "by-day"), without_origin(union)
    ours = whole["paid_at"].between("2010-12-01", "2010-12-09 23:59")
    pd.testing.assert_frame_equal(without_origin(days), whole[ours].reset_index(drop=True))
    assert days.rows_read == accounted(days) == 22_523


# The workbook holds these countries, without three invoices and without nine lines of its first one.
COUNTRIES = "Belgium Canada France Italy Lebanon Netherlands Portugal Spain Switzerland Unspecified".split()
ABSENT_INVOICES = ["489447", "522200", "C527897"]
ABSENT_490397 = [f"{code}-1" for code in (20685, 21212, 21527, 21672, 21673, 22212, 22348, 79000, 82600)]


def test_the_workbook_gives_the_lines_of_the_union(folder, union):
    book, whole = online_retail.read(folder / "online_retail_II_partial.xlsx"), without_origin(union)
    raw = pd.read_parquet(folder / "online_retail_II.parquet", columns=["Invoice", "Country"])
    invoices = raw.loc[
        raw["Country"].isin(COUNTRIES) & ~raw["Invoice"].isin(ABSENT_INVOICES), "Invoice"
    ].unique()
    absent = (whole["order_id"] == "490397") & whole["line_id"].isin(ABSENT_490397)
    assert absent.sum() == 9
    ours = whole["order_id"].isin(invoices) & ~absent
    pd.testing.assert_frame_equal(without_origin(book), whole[ours].reset_index(drop=True))
    assert book.rows_read == accounted(book) == 14_269 + 20_497
    assert book.repeated == {OVERLAP: 441}
