import json
from datetime import datetime
from decimal import Decimal

import pandas as pd
import pytest

from features.errors import InputError
from features.sources import cdnow
from features.sources.files import WRONG_FIELD_COUNT

HEADER = " customer_id  date number_of_cds  dollar_value"


def read_lines(folder, *rows):
    path = folder / "purchases.txt"
    path.write_bytes("\r\n".join([HEADER, *rows, ""]).encode())
    return cdnow.read(path)


def lines(delivery, *columns):
    return [tuple(line.values()) for line in delivery.tables["order_lines"].select(columns).to_pylist()]


ROWS = [
    " 00002 19970112  5   77.00",
    " 00001 19970101  1   11.77",
    " 00002 19970112  1   12.00",
    " 00002 19970112  1   11.50",
    " 00002 19970112  1   12.00",  # a purchase of its own, not a repeat
    "",
    " 00001 19970301  2    0.00",  # free, and kept
]


def test_purchases_worked_by_hand(tmp_path):
    delivery = read_lines(tmp_path, *ROWS)
    columns = ("order_id", "customer_id", "paid_at", "quantity", "gross_amount", "net_amount", "origin")
    first, second, third = datetime(1997, 1, 1), datetime(1997, 1, 12), datetime(1997, 3, 1)
    name = "purchases.txt"
    assert lines(delivery, *columns) == [
        ("00001-19970101-1", "00001", first, 1.0, Decimal("11.77"), Decimal("11.77"), f"{name}:3"),
        ("00001-19970301-1", "00001", third, 2.0, Decimal("0.00"), Decimal("0.00"), f"{name}:8"),
        ("00002-19970112-1", "00002", second, 1.0, Decimal("11.50"), Decimal("11.50"), f"{name}:5"),
        ("00002-19970112-2", "00002", second, 1.0, Decimal("12.00"), Decimal("12.00"), f"{name}:4"),
        ("00002-19970112-3", "00002", second, 1.0, Decimal("12.00"), Decimal("12.00"), f"{name}:6"),
        ("00002-19970112-4", "00002", second, 5.0, Decimal("77.00"), Decimal("77.00"), f"{name}:2"),
    ]
    constants = ("line_id", "kind", "product_id", "discount_amount", "currency", "channel")
    assert set(lines(delivery, *constants)) == {("1", "sale", "CD", Decimal("0.00"), "USD", "web")}
    assert delivery.tables["customers"].to_pylist() == [
        {"customer_id": "00001", "known_at": first, "origin": f"{name}:3"},
        {"customer_id": "00002", "known_at": second, "origin": f"{name}:5"},
    ]
    assert delivery.tables["products"].to_pylist() == [
        {"product_id": "CD", "name": "CD", "known_at": first, "origin": f"{name}:3"}
    ]
    assert (delivery.rows_read, delivery.quarantined.num_rows) == (6, 0)


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    columns = ("order_id", "quantity", "net_amount")
    assert lines(read_lines(tmp_path, *ROWS), *columns) == lines(read_lines(tmp_path, *ROWS[::-1]), *columns)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("00002 19970230 1 12.00", "the date is missing or not a day such as 19970101"),
        ("00002 970112 1 12.00", "the date is missing or not a day such as 19970101"),
        ("00002 19970112 one 12.00", "the number of CDs is missing or not a number"),
        ("00002 19970112 1 free", "the dollar value is missing or not a number"),
        ("00002 19970112 0 12.00", "the number of CDs is not above 0"),
        ("00002 19970112 -1 12.00", "the number of CDs is not above 0"),
        ("00002 19970112 1 -0.01", "the dollar value is negative"),
    ],
)
def test_a_row_that_breaks_a_rule_is_put_aside_with_its_reason(tmp_path, row, reason):
    delivery = read_lines(tmp_path, ROWS[1], row)
    put_aside = delivery.quarantined.to_pylist()
    assert [(entry["origin"], entry["reason"]) for entry in put_aside] == [("purchases.txt:3", reason)]
    assert list(json.loads(put_aside[0]["raw"]).values()) == row.split()
    assert lines(delivery, "order_id") == [("00001-19970101-1",)]


def test_a_row_with_another_number_of_fields_is_put_aside(tmp_path):
    delivery = read_lines(tmp_path, "00002 19970112 1", ROWS[1])
    assert delivery.quarantined["reason"].to_pylist() == [WRONG_FIELD_COUNT]
    assert json.loads(delivery.quarantined["raw"][0].as_py()) == {"line": "00002 19970112 1"}
    assert (delivery.rows_read, lines(delivery, "origin")) == (2, [("purchases.txt:3",)])


def test_a_missing_customer_is_put_aside(tmp_path):
    frame = pd.DataFrame(
        {
            "customer_id": [None, "7"],
            "date": [19970101] * 2,
            "number_of_cds": [1, 1],
            "dollar_value": [9.5, 2.675],
        }
    )
    frame.to_parquet(tmp_path / "x.parquet")
    delivery = cdnow.read(tmp_path / "x.parquet")
    assert delivery.quarantined["reason"].to_pylist() == ["the customer is missing"]
    assert lines(delivery, "order_id", "net_amount") == [("7-19970101-1", Decimal("2.68"))]


def test_what_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder, expected one file"):
        cdnow.read(tmp_path)
    (tmp_path / "x.csv").write_text("a")
    with pytest.raises(InputError, match=r"has extension '\.csv', known are \.parquet, \.txt"):
        cdnow.read(tmp_path / "x.csv")
    with pytest.raises(InputError, match="has no rows"):
        read_lines(tmp_path)
    (tmp_path / "x.txt").write_text("00001 19970101 1 11.77\n00002 19970112 1 12.00\n")
    with pytest.raises(
        InputError, match=r"customer_id, date, .*; its columns are 00001, 19970101, 1, 11\.77"
    ):
        cdnow.read(tmp_path / "x.txt")
    (tmp_path / "y.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8"):
        cdnow.read(tmp_path / "y.txt")


# The real data


@pytest.fixture(scope="module")
def folder(data_dir):
    return data_dir / "cdnow"


@pytest.fixture(scope="module")
def master(folder):
    return cdnow.read(folder / "CDNOW_master.txt")


def test_the_published_totals(master):
    purchases = master.tables["order_lines"].to_pandas()
    assert (len(purchases), purchases["customer_id"].nunique()) == (69_659, 23_570)
    assert purchases["net_amount"].sum() == Decimal("2500315.63")
    assert purchases["order_id"].is_unique
    assert (purchases["net_amount"] == 0).sum() == 80
    repeated = purchases.duplicated(["customer_id", "paid_at", "quantity", "net_amount"])
    assert repeated.sum() == 255
    assert (master.rows_read, master.quarantined.num_rows, dict(master.repeated)) == (69_659, 0, {})
    assert master.tables["customers"].num_rows == 23_570


def test_text_and_parquet_are_the_same(folder, master):
    parquet = cdnow.read(folder / "cdnow_master.parquet")
    for name, table in master.tables.items():
        assert table.drop("origin") == parquet.tables[name].drop("origin")


def test_the_sample_is_a_part_of_the_whole(folder, master):
    sample = (
        cdnow.read(folder / "cdnow_sample.parquet").tables["order_lines"].to_pandas().drop(columns="origin")
    )
    assert (len(sample), sample["customer_id"].nunique()) == (6_919, 2_357)
    whole = master.tables["order_lines"].to_pandas().drop(columns="origin")
    ours = whole[whole["customer_id"].isin(set(sample["customer_id"]))].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, sample)
