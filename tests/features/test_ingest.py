"""Files into the warehouse: which are taken, which are refused, and when their rows were known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.build import build, order_span
from features.cutoffs import instant
from features.errors import InputError, NothingUsable
from features.ingest import ingest_source, ingest_tables, read_tables
from features.streams import partitions
from features.warehouse import Warehouse

NOON = datetime(2024, 1, 1, 12)
DAY = timedelta(days=1)
SALE = {
    "order_id": "o",
    "line_id": "1",
    "customer_id": "ann",
    "kind": "sale",
    "paid_at": NOON,
    "product_id": "p",
    "quantity": 1.0,
    "gross_amount": 12.0,
    "discount_amount": 2.0,
    "net_amount": 10.0,
    "currency": "EUR",
    "channel": "web",
}
INVOICES = """Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
489434,85048,A LAMP,12,2009-12-01 07:45,6.95,13085,United Kingdom
489434,79323P,A CUP,2,2009-12-01 07:45,6.75,13085,United Kingdom
489435,22350,A BOWL,-3,2009-12-02 07:46,2.55,13086,France
"""


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "w.duckdb")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tables"
    made.mkdir()
    return made


def put(folder, *rows, table="order_lines"):
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / f"{table}.parquet")
    return folder


def versions(warehouse, columns="net_amount, known_at, superseded_at"):
    with warehouse.connect() as connection:
        return connection.sql(f"SELECT {columns} FROM order_lines ORDER BY order_id, known_at").fetchall()


def now():
    return datetime.now(UTC).replace(tzinfo=None)


# ------------------------------------------------------------------------------------------------- canonical tables


def test_every_canonical_file_is_loaded_and_accounted_for(warehouse, folder):
    put(folder, SALE, SALE | {"order_id": "o2", "quantity": -1.0})
    put(folder, {"customer_id": "ann", "region_id": "north"}, table="customers")
    (folder / "notes.txt").write_text("no table, and nobody's business")
    report = ingest_tables(warehouse, folder)
    assert report.label == f"--tables {folder}"
    assert {of.table: (of.read, of.new, sum(of.quarantined.values())) for of in report.tables} == {
        "customers": (1, 1, 0),
        "order_lines": (2, 1, 1),
    }
    assert not report.seen_before


def test_read_tables_reads_what_is_there(folder):
    put(folder, SALE)
    put(folder, {"customer_id": "ann"}, table="customers")
    tables = read_tables(folder)
    assert sorted(tables) == ["customers", "order_lines"]
    assert tables["order_lines"].to_pylist() == [SALE]


def test_a_file_of_no_canonical_name_is_refused_with_all_others(warehouse, folder):
    put(put(put(folder, SALE), SALE, table="orders"), SALE, table="lines")
    with pytest.raises(
        InputError, match=r"holds lines.parquet, orders.parquet, no canonical table; these are: "
    ):
        ingest_tables(warehouse, folder)
    assert not warehouse.path.exists()


def test_a_folder_that_is_missing_or_a_file(warehouse, tmp_path):
    for path in (tmp_path / "missing", put(tmp_path, SALE) / "order_lines.parquet"):
        with pytest.raises(InputError, match=rf"{path.name} is no folder"):
            ingest_tables(warehouse, path)


def test_a_folder_without_tables_says_what_it_holds(warehouse, folder):
    with pytest.raises(InputError, match=r"holds no canonical Parquet file \(it holds nothing\)"):
        ingest_tables(warehouse, folder)
    (folder / "order_lines.csv").write_text("order_id\n")
    with pytest.raises(InputError, match=r"\(it holds order_lines.csv\): expected e.g. order_lines.parquet"):
        ingest_tables(warehouse, folder)


@pytest.mark.parametrize("content", [b"", b"order_id,line_id\no,1\n", b"PAR1 and no more", b"PK\x03\x04"])
def test_what_is_no_parquet_is_refused_in_one_line(warehouse, folder, content):
    (folder / "order_lines.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"order_lines.parquet is no readable Parquet file \(") as refused:
        ingest_tables(warehouse, folder)
    assert "\n" not in str(refused.value)
    assert not warehouse.path.exists()


def test_a_cut_off_file_is_refused(warehouse, folder):
    path = put(folder, SALE) / "order_lines.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="is no readable Parquet file"):
        ingest_tables(warehouse, folder)


def test_one_bad_file_and_none_is_loaded(warehouse, folder):
    put(folder, SALE)
    ingest_tables(warehouse, folder)
    put(folder, SALE | {"order_id": "o2"})
    put(folder, {"region_id": "north"}, table="customers")  # without the customer
    with pytest.raises(InputError, match="customers lacks customer_id"):
        ingest_tables(warehouse, folder)
    assert versions(warehouse, "order_id") == [("o",)]


def test_nothing_usable_leaves_no_warehouse(warehouse, folder):
    put(folder, SALE | {"quantity": 0.0})
    with pytest.raises(NothingUsable, match=r"not one row can be used\. 1 x quantity is not above 0"):
        ingest_tables(warehouse, folder)
    assert not warehouse.path.exists()


# ------------------------------------------------------------------------------------------------- the same files again


def test_the_same_files_again_change_nothing_wherever_they_lie(warehouse, folder, tmp_path):
    first = ingest_tables(warehouse, put(folder, SALE))
    moved = folder.rename(tmp_path / "elsewhere")
    second = ingest_tables(warehouse, moved)
    assert (second.seen_before, second.load_id, second.label) == (True, first.load_id, f"--tables {moved}")
    assert len(versions(warehouse)) == 1


def test_the_fingerprint_covers_every_file_its_name_and_its_content(warehouse, folder):
    def digest_now():
        ingest_tables(warehouse, folder)
        with warehouse.connect() as connection:
            return connection.execute("SELECT digest FROM loads ORDER BY load_id DESC").fetchall()[0][0]

    put(folder, SALE)
    digests = [digest_now()]
    row = {"staff_id": "s", "store_id": "s", "region_id": "r"}
    put(folder, row, table="stores")
    digests.append(digest_now())
    put(folder, row | {"region_id": "r2"}, table="stores")
    digests.append(digest_now())
    (folder / "stores.parquet").rename(folder / "staff.parquet")  # the same bytes, another table
    digests.append(digest_now())
    assert len(set(digests)) == 4
    assert {len(digest) for digest in digests} == {64}


def test_a_correction_is_known_from_now_on(warehouse, folder):
    ingest_tables(warehouse, put(folder, SALE))
    before = now()
    ingest_tables(warehouse, put(folder, SALE | {"net_amount": 9.0}))
    (old, new) = versions(warehouse)
    assert (old[0], old[1], new[0], new[2]) == (10, NOON, 9, None)
    assert before <= old[2] == new[1] <= now()


# ------------------------------------------------------------------------------------------------- when it was known


def test_history_was_known_when_it_happened(warehouse, folder):
    ingest_tables(warehouse, put(folder, SALE))
    assert versions(warehouse) == [(10, NOON, None)]


def test_a_replay_is_known_from_its_receipt(warehouse, folder):
    ingest_tables(warehouse, put(folder, SALE), received_at=NOON + 2 * DAY)
    ingest_tables(warehouse, put(folder, SALE | {"net_amount": 9.0}), received_at=NOON + 5 * DAY)
    assert versions(warehouse) == [(10, NOON + 2 * DAY, NOON + 5 * DAY), (9, NOON + 5 * DAY, None)]
    with warehouse.connect() as connection:
        received = connection.execute("SELECT received_at FROM loads ORDER BY load_id").fetchall()
    assert received == [(NOON + 2 * DAY,), (NOON + 5 * DAY,)]


def test_features_of_a_replay_see_only_what_had_arrived(warehouse, folder):
    early = SALE | {
        "order_id": "early",
        "customer_id": "bob",
        "known_at": NOON - 9 * DAY,
        "paid_at": NOON - 9 * DAY,
    }
    ingest_tables(warehouse, put(folder, SALE, early), received_at=NOON + 2 * DAY)
    ingest_tables(warehouse, put(folder, SALE | {"net_amount": 9.0}), received_at=NOON + 5 * DAY)
    cutoffs = [NOON + 1 * DAY, NOON + 2 * DAY, NOON + 6 * DAY]
    frame = build(warehouse, cutoffs, columns=["spend_all"])
    ann = frame[frame["customer_id"] == "ann"]
    assert ann.set_index("cutoff")["spend_all"].to_dict() == {
        pd.Timestamp(NOON + 2 * DAY): 10.0,
        pd.Timestamp(NOON + 6 * DAY): 9.0,
    }


def test_the_row_itself_may_say_when_it_was_known(warehouse, folder):
    ingest_tables(warehouse, put(folder, SALE | {"known_at": NOON + DAY}), received_at=NOON + 5 * DAY)
    assert versions(warehouse, "known_at") == [(NOON + DAY,)]


def test_currency_and_zone_of_a_new_warehouse(warehouse, folder):
    ingest_tables(warehouse, put(folder, SALE), timezone="Europe/London")
    settings = warehouse.settings()
    assert (settings.currency, settings.timezone) == ("EUR", "Europe/London")
    with pytest.raises(InputError, match="keeps currency EUR, and GBP was asked for"):
        ingest_tables(warehouse, put(folder, SALE | {"order_id": "o2"}), currency="GBP")


# ------------------------------------------------------------------------------------------------- other sources


def test_an_export_goes_through_its_adapter(warehouse, tmp_path):
    path = tmp_path / "invoices.csv"
    path.write_text(INVOICES)
    report, delivery = ingest_source(warehouse, "online-retail", path)
    assert (delivery.rows_read, report.usable, sum(report.reasons.values())) == (3, 6, 1)
    assert sorted(versions(warehouse, "net_amount, known_at")) == [
        (Decimal("13.50"), datetime(2009, 12, 1, 7, 45)),  # 2 x 6.75
        (Decimal("83.40"), datetime(2009, 12, 1, 7, 45)),  # 12 x 6.95
    ]
    (aside,) = warehouse.quarantine().to_pylist()
    assert (aside["table_name"], aside["origin"]) == ("order_lines", "invoices.csv:4")
    assert warehouse.settings().currency == "GBP"


def test_a_folder_of_exports_twice(warehouse, tmp_path):
    folder = tmp_path / "days"
    (folder / "inside").mkdir(parents=True)
    (folder / "1.csv").write_text(INVOICES)
    first, _ = ingest_source(warehouse, "online-retail", folder)
    again, _ = ingest_source(warehouse, "online-retail", folder)
    assert (again.seen_before, again.load_id) == (True, first.load_id)
    (folder / "2.csv").write_text(INVOICES.replace("4894", "5894").replace("2009-12-0", "2009-12-1"))
    more, delivery = ingest_source(warehouse, "online-retail", folder)
    assert (more.seen_before, delivery.rows_read) == (False, 6)
    lines = next(of for of in more.tables if of.table == "order_lines")
    assert (lines.new, lines.unchanged) == (2, 2)


def test_a_replayed_export_is_known_from_its_receipt(warehouse, tmp_path):
    path = tmp_path / "invoices.csv"
    path.write_text(INVOICES)
    ingest_source(
        warehouse, "online-retail", path, received_at=datetime(2010, 1, 1), timezone="Europe/London"
    )
    assert set(versions(warehouse, "known_at")) == {(datetime(2010, 1, 1),)}
    assert warehouse.settings().timezone == "Europe/London"


def test_an_unknown_source_or_a_missing_path(warehouse, tmp_path):
    with pytest.raises(InputError, match="unknown source 'shopify': choose one of cdnow, online-retail"):
        ingest_source(warehouse, "shopify", tmp_path)
    with pytest.raises(
        InputError, match=r"missing\.csv does not exist: --path names a file or a folder of an export of"
    ):
        ingest_source(warehouse, "online-retail", tmp_path / "missing.csv")


# ------------------------------------------------------------------------------------------------- asking for features


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2011-06-12", datetime(2011, 6, 12)),
        ("2011-06-12T06:00:00Z", datetime(2011, 6, 12, 6)),
        ("2011-06-12T06:00:00+08:00", datetime(2011, 6, 11, 22)),
        ("2011-06-12 06:00:00.000001", datetime(2011, 6, 12, 6, 0, 0, 1)),
        (datetime(2011, 6, 12, 6), datetime(2011, 6, 12, 6)),
        (datetime(2011, 6, 12, 6, tzinfo=UTC), datetime(2011, 6, 12, 6)),
        (pd.Timestamp("2011-06-12", tz="Asia/Shanghai"), datetime(2011, 6, 11, 16)),
    ],
)
def test_a_cutoff_is_naive_utc_to_the_microsecond(when, expected):
    found = instant(when)
    assert (found, found.tz, found.unit) == (pd.Timestamp(expected), None, "us")


@pytest.mark.parametrize(
    "when", ["", "nan", "NaT", "soon", "2011-13-01", "2011-02-29", "2026-W37", "12", "300000-01-01"]
)
def test_what_is_no_date_is_refused(when):
    with pytest.raises(InputError, match=r"is no date: write it as 2011-09-10 or 2011-09-10T06:00:00Z"):
        instant(when)


@pytest.mark.parametrize("when", [pd.NaT, np.datetime64("NaT"), None])
def test_no_time_at_all_is_refused(when):
    with pytest.raises(InputError, match="is no date"):
        instant(when)


@pytest.mark.parametrize("when", ["now", "today", "10:00"])
def test_a_cutoff_never_comes_from_the_clock(when):
    # DESIGN, section 3: the cutoff is always an argument, never the clock
    with pytest.raises(InputError, match="is no date"):
        instant(when)


@pytest.mark.parametrize("when", ["Sep", "03/04/2011", "11-09-10"])
def test_a_date_is_not_guessed(when):
    # the year 1; the 3rd of April or the 4th of March; the 10th of September 2011 or the 9th of November 2010
    with pytest.raises(InputError, match="is no date"):
        instant(when)


@pytest.fixture
def loaded(warehouse, folder):
    put(
        folder,
        SALE,
        SALE | {"order_id": "o2", "customer_id": "bob", "paid_at": NOON + DAY, "net_amount": 5.0},
    )
    ingest_tables(warehouse, folder)
    return warehouse


def test_the_columns_asked_for_in_their_order(loaded):
    frame = build(loaded, ["2024-02-01"], columns=["spend_30d", "aov_all"])
    assert list(frame.columns) == ["customer_id", "cutoff", "spend_30d", "aov_all"]
    assert frame["spend_30d"].tolist() == [0.0, 5.0]  # ann's order lies 30.5 days back ...
    frame = build(loaded, ["2024-01-31T12:00:00"], columns=["spend_30d"])
    assert frame["spend_30d"].tolist() == [10.0, 5.0]  # ... and exactly 30
    with pytest.raises(InputError, match="no feature is called 'spend_31d'"):
        build(loaded, ["2024-02-01"], columns=["spend_31d"])


def test_sorted_by_cutoff_and_customer_each_cutoff_once(loaded):
    frame = build(loaded, ["2024-03-01", "2024-01-02", "2024-03-01", "2024-02-01"])
    assert list(zip(frame["cutoff"].dt.date.astype(str), frame["customer_id"], strict=True)) == [
        ("2024-01-02", "ann"),
        ("2024-02-01", "ann"),
        ("2024-02-01", "bob"),
        ("2024-03-01", "ann"),
        ("2024-03-01", "bob"),
    ]


def test_the_population_is_who_bought_within_the_year_or_everybody_known(loaded, folder):
    put(folder, {"customer_id": "cat", "registered_at": NOON}, table="customers")
    ingest_tables(loaded, folder)
    year = NOON + 365 * DAY  # ann's order lies exactly 365 days back

    def who(cutoff, **population):
        return build(loaded, [cutoff], columns=["orders_all"], **population)["customer_id"].tolist()

    assert who(year) == ["ann", "bob"]
    assert who(year + timedelta(microseconds=1)) == ["bob"]
    assert who(year + timedelta(microseconds=1), population="all") == ["ann", "bob", "cat"]


def test_parts_change_nothing_and_are_reported(loaded, monkeypatch):
    whole = build(loaded, ["2024-03-01"], population="all")
    done = []
    monkeypatch.setitem(partitions.__globals__, "_ROWS_A_PART", 1)
    parted = build(loaded, ["2024-03-01"], population="all", progress=lambda *of: done.append(of))
    pd.testing.assert_frame_equal(whole, parted, check_exact=True)
    assert len(done) > 1
    assert done == [(part, len(done)) for part in range(1, len(done) + 1)]


def test_what_cannot_be_built(loaded, tmp_path):
    with pytest.raises(InputError, match="unknown population 'some': choose one of active-365d, all"):
        build(loaded, ["2024-03-01"], population="some")
    with pytest.raises(InputError, match="no cutoff given"):
        build(loaded, [])
    for early in ("2023-01-01", NOON):  # the instant of the first order is too early too
        with pytest.raises(InputError, match=r"lies before the first order in .* \(2024-01-01 12:00:00\)"):
            build(loaded, [early, "2024-03-01"])
    with pytest.raises(InputError, match="no warehouse at"):
        build(Warehouse(tmp_path / "missing.duckdb"), ["2024-03-01"])


def test_a_warehouse_without_an_order_of_a_known_customer(warehouse, folder):
    anonymous = pa.Table.from_pylist([SALE]).set_column(2, "customer_id", pa.array([None], pa.string()))
    pq.write_table(anonymous, folder / "order_lines.parquet")
    ingest_tables(warehouse, folder)
    assert order_span(warehouse) is None
    with pytest.raises(InputError, match="holds no order of a known customer: ingest order_lines first"):
        build(warehouse, ["2024-03-01"])


def test_the_door_takes_paths_as_text_or_path(tmp_path, folder):
    put(folder, SALE)
    text = Warehouse(str(tmp_path / "text.duckdb"))
    ingest_tables(text, Path(folder))
    assert order_span(text) == (pd.Timestamp(NOON), pd.Timestamp(NOON))
