"""The command: the road from tables to the weekly list, and every mistake of the user's in one line."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from features.build import build
from features.catalogue import FACTS, FEATURES, GROUPS, describe, names
from features.warehouse import Warehouse
from serving.cli import catalogue
from serving.lists import weekly
from training.predict import Models
from training.registry import model_name

ROOT = Path(__file__).parents[2]
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
EXPORT = """Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
489434,85048,A LAMP,12,2009-12-01 07:45,6.95,13085,United Kingdom
"""


def put(folder, *rows, table="order_lines"):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / f"{table}.parquet")
    return folder


def process(*arguments):
    """The command in a process of its own, as a person starts it."""
    code = "from serving.cli import main; main()"
    quiet = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=quiet | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def told(done):
    """The one line that a mistake is answered with."""
    assert done.code == 2, done
    (line,) = done.err.splitlines()
    assert line.startswith("patron: ")
    assert "None" not in line
    assert not done.out.strip()
    return line


def beside(shop, name, *rows, patron):
    """A warehouse with these rows in the shop's folder, and the name of its models."""
    folder = shop.warehouse.path.parent
    path = folder / f"{name}.duckdb"
    done = patron("ingest", "--tables", put(folder / name, *rows), "--warehouse", path)
    assert done.code == 0, done.err
    return path, model_name(Warehouse(path).settings().warehouse_id)


def register(shop, name, *as_ofs):
    """Register the shop's models under another name, as if they had been trained as of these dates."""
    models = shop.registered.models
    for as_of in as_ofs:
        dated = (
            dataclasses.replace(model, card=dataclasses.replace(model.card, as_of=f"{as_of}T00:00:00"))
            for model in (models.churn, models.timing)
        )
        shop.registry.log(name, Models(*dated), parameters={}, metrics={}, tags={}, pictures=[])


def row_of(done, name):
    """The figures of a table's row in what was printed."""
    (line,) = [line for line in done.out.splitlines() if line.split()[:1] == [name]]
    return [int(figure.replace(",", "")) for figure in line.split()[1:]]


# ------------------------------------------------------------------------------------------------- the road


def test_ingest_accounts_for_every_row(shop):
    for name in (
        "customers",
        "order_lines",
        "events",
        "tickets",
        "contacts",
        "consents",
        "products",
        "stores",
    ):
        rows = pq.read_metadata(shop.tables / f"{name}.parquet").num_rows
        assert row_of(shop.ingested, name) == [rows, rows, 0, 0, 0, 0]
    assert not shop.ingested.err


def test_the_same_files_again_are_said_to_be_so(patron, shop):
    again = patron("ingest", "--tables", shop.tables, "--warehouse", shop.warehouse.path)
    assert (again.code, again.err) == (0, "")
    assert again.out == (
        f"--tables {shop.tables}: these very files were loaded before (load 1); nothing to do\n"
    )


def test_train_tells_quality_gates_and_where_the_model_is(shop):
    out, card = shop.trained.out, shop.registered.models.churn.card
    assert (
        f"{card.rows:,} rows (customer, cutoff) of population active-365d at {len(card.cutoffs)} cutoffs"
        in out
    )
    assert "forward predictions" in out
    assert out.count("passed") + out.count("NOT PASSED") >= 4
    assert (
        f"registered {shop.registered.name} version 1 (run {shop.registered.run_id}): champion (0 of " in out
    )
    assert f"runs and models: sqlite:///{shop.warehouse.path.parent / 'mlflow.db'}" in out
    assert shop.registered.name == f"patron-{shop.warehouse.settings().warehouse_id}"
    assert card.as_of.startswith("2026-09-07")
    assert max(card.cutoffs) <= "2026-06-09T00:00:00"  # 90 days before the as-of


def test_features_file(patron, shop, tmp_path):
    out = tmp_path / "new" / "f.parquet"
    cutoffs = ["--cutoff", "2026-08-01", "--cutoff", "2026-09-01T12:00:00+08:00"]
    done = patron("features", "--warehouse", shop.warehouse.path, *cutoffs, "--out", out)
    assert (done.code, done.err) == (0, "")
    frame = pd.read_parquet(out)
    assert list(frame.columns) == ["customer_id", "cutoff", *names()]
    expected = build(shop.warehouse, ["2026-08-01", "2026-09-01T04:00:00"])
    pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    assert f"{len(frame):,} rows (customer, cutoff) x {len(names())} features -> {out}" in done.out
    assert [path.name for path in out.parent.iterdir()] == ["f.parquet"]


def test_features_of_everybody(patron, shop, tmp_path):
    out = tmp_path / "f.parquet"
    arguments = ["--cutoff", "2026-09-07", "--population", "all", "--out", out]
    assert patron("features", "--warehouse", shop.warehouse.path, *arguments).code == 0
    assert len(pd.read_parquet(out)) == 1500


def test_features_are_listed_by_group_and_facts_as_such(patron):
    done = patron("features", "list")
    assert (done.code, done.err) == (0, "")
    headings = re.findall(r"^(\w+) \((\d+) (features|facts, no features)\)$", done.out, re.MULTILINE)
    counts = Counter(feature.group for feature in (*FEATURES, *FACTS))
    assert headings == [
        *((group, str(counts[group]), "features") for group in GROUPS),
        ("facts", str(len(FACTS)), "facts, no features"),
    ]
    assert re.findall(r"^([a-z]\w+) .* (?:int64|float64|string) ", done.out, re.MULTILINE) == [
        feature.name for feature in (*FEATURES, *FACTS)
    ]
    assert done.out.endswith(f"{len(FEATURES)} features in {len(GROUPS)} groups, {len(FACTS)} facts\n")


@pytest.mark.parametrize("group", ["renewal", "facts"])
def test_features_of_one_group_are_listed(patron, group):
    done = patron("features", "list", "--group", group)
    assert (done.code, done.err) == (0, "")
    named = [word for word in done.out.split() if word in {feature.name for feature in (*FEATURES, *FACTS)}]
    assert {one.group for one in (*FEATURES, *FACTS) if one.name in named} == {group}
    assert len(set(named)) == sum(one.group == group for one in (*FEATURES, *FACTS))


def test_a_listed_feature_says_what_it_is(patron):
    lines = patron("features", "list", "--group", "returns").out.splitlines()
    assert lines[1] == "Returns: what came back."
    assert lines[2].split() == ["name", "unit", "type", "window", "empty", "description"]
    shown = [re.split(r"  +", line.strip()) for line in lines[3:]]
    assert [
        "refunds_30d",
        "currency",
        "float64",
        "30d",
        "0",
        "sum of net_amount of return lines, last 30 days",
    ] in shown
    assert ["return_orders_90d", "count", "int64", "90d", "0", "orders brought back, last 90 days"] in shown
    assert [
        "refunds_all",
        "currency",
        "float64",
        "all",
        "0",
        "sum of net_amount of return lines, whole history",
    ] in shown
    assert [
        "days_since_last_return",
        "days",
        "float64",
        "-",
        "null without rows",
        "days since goods last came back",
    ] in shown


def test_the_list_is_readable_in_100_columns(monkeypatch, capsys):
    narrow = Console(highlight=False, markup=False, soft_wrap=True, width=100)
    monkeypatch.setattr(catalogue, "console", narrow)
    catalogue.list_()
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 100
    first = [line.split()[0] for line in lines if line[:1].strip()]
    assert [one.name for one in (*FEATURES, *FACTS) if one.name not in first] == []


@pytest.mark.parametrize("name", ["orders_30d", "orders_ahead_last_year", "last_channel"])
def test_a_feature_or_fact_is_described(patron, name):
    done = patron("features", "describe", name)
    assert (done.code, done.err, done.out) == (0, "", describe(name) + "\n")


def test_unknown_features_and_groups_are_told_with_those_close_to_them(patron):
    line = told(patron("features", "describe", "spend_31d"))
    assert "no feature is called 'spend_31d' (close: spend_30d" in line
    assert told(patron("features", "list", "--group", "rhythms")).endswith("'rhythms': choose of rhythm")
    assert "choose of purchases, rhythm, renewal" in told(patron("features", "list", "--group", "xyzzy"))


@pytest.mark.parametrize(
    ("left_out", "rest"),
    [
        ("--warehouse", ["--cutoff", "2024-01-01", "--out", "f"]),
        ("--cutoff", ["--warehouse", "w.duckdb", "--out", "f"]),
        ("--out", ["--warehouse", "w.duckdb", "--cutoff", "2024-01-01"]),
    ],
)
def test_building_features_needs_its_options_still(patron, left_out, rest):
    done = patron("features", *rest)
    assert (done.code, done.out) == (2, "")
    assert f"Missing option '{left_out}'" in done.err


def test_a_misspelt_command_of_features_is_told_as_such(patron):
    done = patron("features", "lst")
    assert (done.code, done.out) == (2, "")
    assert "No such command 'lst'" in done.err


def test_options_of_building_are_not_overlooked_before_another_command(patron, tmp_path):
    options = ["--warehouse", tmp_path / "w.duckdb", "--cutoff", "2024-01-01", "--out", tmp_path / "f"]
    assert "leave them out before list" in told(patron("features", *options, "list"))


def test_score_file(patron, shop, tmp_path):
    out = tmp_path / "s.parquet"
    done = patron("score", "--warehouse", shop.warehouse.path, "--as-of", "2026-09-07", "--out", out)
    assert (done.code, done.err) == (0, "")
    scores = pd.read_parquet(out)
    assert list(scores.columns) == [
        "customer_id", "as_of", "scored_at", "horizon_days", "churn_probability", "p_order_7d", "p_order_14d",
        "p_order_30d", "p_order_60d", "p_order_90d", "expected_date_of_next_order", "earliest_date_of_next_order",
        "latest_date_of_next_order", "average_days_between_orders", "average_order_value", "historic_clv",
        "predicted_clv_90d", "predicted_clv", "predicted_clv_low", "predicted_clv_high", "predicted_number_of_orders",
        "total_clv", "status", "model_version",
    ]  # fmt: skip
    assert scores["customer_id"].is_unique
    assert len(scores) == 1500
    assert (scores["status"] == "ok").tolist() == scores["churn_probability"].notna().tolist()
    assert set(scores["model_version"]) == {"1"}
    ok = (scores["status"] == "ok").sum()
    assert f"1,500 customers scored by {shop.registered.name} version 1: {ok:,} ok, " in done.out


def test_scores_know_the_truth_they_have_not_seen(patron, shop, tmp_path):
    out = tmp_path / "s.parquet"
    patron("score", "--warehouse", shop.warehouse.path, "--as-of", "2026-09-07", "--out", out)
    truth = pd.read_parquet(shop.tables.parent / "truth" / "customers.parquet")
    both = (
        pd.read_parquet(out)
        .dropna(subset="churn_probability")
        .merge(truth, on="customer_id", suffixes=("", "_true"))
    )
    # a coin says 0.0, and the truth about itself 1.0
    for days in (7, 14, 30, 60, 90):
        assert both[f"p_order_{days}d"].corr(both[f"p_order_{days}d_true"], method="spearman") > 0.6


def test_weekly_folder(patron, shop, tmp_path):
    out = tmp_path / "new" / "list"
    arguments = ["--warehouse", shop.warehouse.path, "--as-of", "2026-09-07", "--out", out]
    done = patron("weekly", *arguments, "--at-risk-from", "0.8")
    assert (done.code, done.err) == (0, "")
    files = ["at_risk_2026-W37.csv", "at_risk_2026-W37.parquet", "manifest.json"]
    assert sorted(path.name for path in out.iterdir()) == files
    rows = pd.read_parquet(out / files[1])
    manifest = json.loads((out / files[2]).read_text(encoding="utf-8"))
    assert (manifest["customers_listed"], manifest["at_risk_from"]) == (len(rows), 0.8)
    assert (manifest["model"], manifest["model_version"]) == (shop.registered.name, "1")
    assert manifest["run_id"] == shop.registered.run_id
    assert f"2026-W37: {len(rows):,} of 1,500 customers at risk" in done.out
    assert f"left out: churn_probability below {0.8}" in done.out
    head = [line.split()[1] for line in done.out.splitlines()[1:11]]
    assert head == rows["customer_id"].head(10).tolist()
    for name in files:
        assert str(out / name) in done.out


@pytest.mark.slow
def test_backtest_file(patron, shop, tmp_path):
    out = tmp_path / "new" / "b.json"
    done = patron("backtest", "--warehouse", shop.warehouse.path, "--origin", "2026-05-04", "--out", out)
    assert (done.code, done.err) == (0, "")
    (record,) = json.loads(out.read_text(encoding="utf-8"))
    assert record["origin"] == "2026-05-04T00:00:00"
    everybody = len(build(shop.warehouse, ["2026-05-04"], columns=["orders_all"]))
    assert record["everybody"]["rows"] == everybody
    slices = record["slices"]
    assert slices["one-time buyers"]["rows"] + slices["repeat buyers"]["rows"] == everybody
    assert "origin 2026-05-04, population active-365d, 90 days" in done.out


def test_promote_and_roll_back(patron, shop, tmp_path):
    path, name = beside(shop, "promote", SALE, patron=patron)
    register(shop, name, "2024-08-10", "2024-09-07")

    def scored(as_of, *which):
        return patron("score", "--warehouse", path, "--as-of", as_of, "--out", tmp_path / "s.parquet", *which)

    assert "version 1: 1 ok" in scored("2024-09-07").out  # the first became champion
    for which in ("challenger", "latest", "2"):
        assert "version 2: 1 ok" in scored("2024-09-07", "--model", which).out
    assert "later than the as-of 2024-08-12 00:00:00" in told(scored("2024-08-12", "--model", "challenger"))
    assert patron("promote", "--warehouse", path).out == f"{name} version 2 is champion\n"
    assert "version 2: 1 ok" in scored("2024-09-07").out
    assert patron("promote", "--warehouse", path, "--model", "1").out == f"{name} version 1 is champion\n"
    assert "version 1: 1 ok" in scored("2024-08-12").out


def test_a_history_too_short_to_judge_is_said_to_be_so(patron, shop):
    # labels of the first mature cutoffs have not ended before the last one: no forward prediction
    path = shop.warehouse.path.parent / "short.duckdb"
    assert patron("ingest", "--tables", shop.tables, "--warehouse", path).code == 0
    done = patron("train", "--warehouse", path, "--as-of", "2025-10-06")
    assert (done.code, done.err) == (0, "")
    assert "the history is too short for a forward prediction: quality unknown, no gate judged" in done.out
    assert "passed" not in done.out
    assert "version 1 (run " in done.out


@pytest.mark.slow
def test_the_road_as_a_person_walks_it(shop, tmp_path):
    # in processes of their own: what one command leaves behind is all that the next one has
    path, day = tmp_path / "w.duckdb", "2026-09-07"
    walked = [
        process("ingest", "--tables", shop.tables, "--warehouse", path),
        process("train", "--warehouse", path, "--as-of", day),
        process("weekly", "--warehouse", path, "--as-of", day, "--out", tmp_path / "list"),
    ]
    assert [(done.returncode, done.stderr) for done in walked] == [(0, "")] * 3
    found = pd.read_parquet(tmp_path / "list" / "at_risk_2026-W37.parquet")
    made = weekly(
        shop.warehouse, shop.registered.models, shop.as_of, model_name="", model_version="1", run_id=""
    ).rows
    # another training on another warehouse of the same tables: the same customers, and the same numbers
    assert found["customer_id"].tolist() == made["customer_id"].tolist()
    np.testing.assert_allclose(found["churn_probability"], made["churn_probability"], rtol=1e-6)


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    done = process("features", "--warehouse", tmp_path / "w.duckdb", "--cutoff", "2024-01-01", "--out", "f")
    assert done.returncode == 2
    assert done.stderr == (
        f"patron: no warehouse at {tmp_path}/w.duckdb: make one with `patron ingest --warehouse {tmp_path}/w.duckdb`\n"
    )


def test_help_lists_the_commands(patron):
    done = patron("--help")
    assert done.code == 0
    for name in ("ingest", "features", "train", "backtest", "score", "weekly", "promote", "demo"):
        assert f" {name} " in done.out


def test_help_needs_no_model_library():
    code = (
        "import sys; from serving.cli import app; "
        "print([name for name in ('mlflow', 'lightgbm', 'optuna', 'matplotlib', 'bentoml') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------------------------------- rows set aside


BAD_ROWS = {
    "unreadable date": ({"paid_at": "the day before"}, "paid_at cannot be read as a timestamp"),
    "impossible date": ({"paid_at": "2024-02-30"}, "paid_at cannot be read as a timestamp"),
    "negative quantity": ({"quantity": -1.0}, "quantity is not above 0"),
    "negative amount": ({"net_amount": -10.0}, "net_amount is below 0"),
    "another currency": ({"currency": "USD"}, "currency"),
    "unknown kind": ({"kind": "gift"}, "kind is none of sale, return"),
    "unknown channel": ({"channel": "fax"}, "channel is none of"),
    "no product": ({"product_id": None}, "product_id"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_set_aside_beside_good_ones(patron, tmp_path, case):
    changed, reason = BAD_ROWS[case]
    good = SALE | {"paid_at": "2024-01-01 12:00:00"}
    folder = put(tmp_path / "t", good, good | {"order_id": "o2"} | changed)
    path = tmp_path / "w.duckdb"
    done = patron("ingest", "--tables", folder, "--warehouse", path, "--currency", "EUR")
    assert (done.code, done.err) == (0, "")
    assert row_of(done, "order_lines") == [2, 1, 0, 0, 0, 1]
    assert f"1  in quarantine: {reason}" in done.out
    (aside,) = Warehouse(path).quarantine().to_pylist()
    assert aside["reason"].startswith(reason)
    assert json.loads(aside["raw"])["order_id"] == "o2"


def test_the_same_key_with_other_content_is_set_aside(patron, tmp_path):
    folder = put(
        tmp_path / "t", SALE, SALE | {"net_amount": 9.0}, SALE | {"order_id": "o2"}, SALE | {"order_id": "o2"}
    )
    done = patron("ingest", "--tables", folder, "--warehouse", tmp_path / "w.duckdb")
    assert done.code == 0
    assert row_of(done, "order_lines") == [4, 1, 0, 0, 1, 2]
    assert "2  in quarantine: the same key with other content in one load" in done.out


def test_a_correction_in_a_later_load(patron, tmp_path):
    first, second = (
        put(tmp_path / "1", SALE),
        put(tmp_path / "2", SALE | {"net_amount": 9.0}, SALE | {"order_id": "p"}),
    )
    path = tmp_path / "w.duckdb"
    patron("ingest", "--tables", first, "--warehouse", path, "--received-at", "2024-01-02")
    done = patron("ingest", "--tables", second, "--warehouse", path, "--received-at", "2024-01-09T06:00:00Z")
    assert row_of(done, "order_lines") == [2, 1, 1, 0, 0, 0]
    frame = build(Warehouse(path), ["2024-01-09", "2024-01-10"], columns=["spend_all"])
    assert frame["spend_all"].tolist() == [10.0, 19.0]


def test_columns_that_are_not_used_are_named(patron, tmp_path):
    folder = put(tmp_path / "t", SALE | {"colour": "red", "[size]": "XL"})
    done = patron("ingest", "--tables", folder, "--warehouse", tmp_path / "w.duckdb")
    assert "order_lines: columns not used: colour, [size]" in done.out


def test_an_export_reports_its_raw_rows(patron, tmp_path):
    for day in ("1", "2"):
        (tmp_path / f"{day}.csv").write_text(
            EXPORT + "489435,22350,A BOWL,-3,2009-12-02 07:46,2.55,13086,France\n"
        )
    path = tmp_path / "w" / "w.duckdb"
    done = patron("ingest", "--source", "online-retail", "--path", tmp_path, "--warehouse", path)
    assert done.code == 0
    assert "raw rows read: 4" in done.out
    assert "2  not counted again: overlap of sheets or files" in done.out
    assert "1  in quarantine: negative quantity without a cancellation" in done.out


# ------------------------------------------------------------------------------------------------- mistakes: ingest


def without(name):
    return {key: value for key, value in SALE.items() if key != name}


def file(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def tables(folder, *rows, **more):
    return ["--tables", put(folder / "t", *rows, **more)]


def raw_tables(folder, content):
    return ["--tables", file(folder / "t" / "order_lines.parquet", content).parent]


def no_rows(folder):
    arguments = tables(folder, SALE)
    pq.write_table(pa.Table.from_pylist([SALE]).slice(0, 0), folder / "t" / "order_lines.parquet")
    return [*arguments, "--currency", "EUR"]


def no_files(folder):
    (folder / "t").mkdir()
    return ["--tables", folder / "t"]


def export(folder, name, content):
    return ["--source", "online-retail", "--path", file(folder / name, content)]


# What is handed in, and words that the line must hold: what, where, both sides, what to do.
INGEST = {
    "missing column": (
        lambda folder: tables(folder, without("net_amount")),
        ("order_lines lacks net_amount", "a row needs order_id", "the file has", "Add the missing columns"),
    ),
    "nothing usable": (
        lambda folder: tables(folder, SALE | {"quantity": -1.0}),
        ("not one row can be used", "1 x quantity is not above 0"),
    ),
    "unknown currency in the rows": (
        lambda folder: tables(folder, SALE | {"currency": "ZZZ"}),
        ("order lines name 'ZZZ'", "pass --currency"),
    ),
    "two currencies in the rows": (
        lambda folder: tables(folder, SALE, SALE | {"order_id": "o2", "currency": "USD"}),
        ("name 2: EUR, USD", "--currency"),
    ),
    "unknown currency in the arguments": (
        lambda folder: [*tables(folder, SALE), "--currency", "EURO"],
        ("'EURO' is not an ISO 4217 currency code",),
    ),
    "unknown time zone": (
        lambda folder: [*tables(folder, SALE), "--timezone", "Mars/Olympus"],
        ("'Mars/Olympus' is not an IANA time zone",),
    ),
    "unreadable time of receipt": (
        lambda folder: [*tables(folder, SALE), "--received-at", "yesterday"],
        ("'yesterday' is no date", "2011-09-10"),
    ),
    "a type that is never a time": (
        lambda folder: tables(folder, SALE | {"paid_at": True}),
        ("order_lines.paid_at", "BOOLEAN", "a timestamp"),
    ),
    "no canonical name": (
        lambda folder: tables(folder, SALE, table="orders"),
        ("holds orders.parquet", "order_lines", "Rename"),
    ),
    "empty file": (
        lambda folder: raw_tables(folder, b""),
        ("order_lines.parquet", "no readable Parquet file"),
    ),
    "not what its name says": (
        lambda folder: raw_tables(folder, b"order_id,line_id\no,1\n"),
        ("order_lines.parquet", "no readable Parquet file", "export it again"),
    ),
    "a folder of a file's name": (
        lambda folder: ["--tables", put(folder / "t" / "order_lines.parquet", SALE).parent],
        ("order_lines.parquet",),
    ),
    "no rows": (no_rows, ("not one row can be used", "There are no rows")),
    "no files": (no_files, ("holds no canonical Parquet file", "nothing")),
    "missing folder": (lambda folder: ["--tables", folder / "t"], ("is no folder", "order_lines.parquet")),
    "nothing to load": (lambda _: [], ("--tables DIR", "--source NAME")),
    "both to load": (
        lambda folder: [*tables(folder, SALE), *export(folder, "a.csv", EXPORT.encode())],
        ("either --tables DIR, or --source NAME",),
    ),
    "tables with a path": (
        lambda folder: [*tables(folder, SALE), "--path", folder],
        ("--path",),
    ),
    "source without path": (lambda _: ["--source", "cdnow"], ("--source cdnow needs --path",)),
    "unknown source": (
        lambda folder: ["--source", "shopify", "--path", folder],
        ("unknown source 'shopify'", "cdnow, online-retail"),
    ),
    "missing export": (
        lambda folder: ["--source", "cdnow", "--path", folder / "x.txt"],
        ("x.txt does not exist",),
    ),
    "a currency that the source does not have": (
        lambda folder: [*export(folder, "a.csv", EXPORT.encode()), "--currency", "EUR"],
        ("EUR", "GBP"),
    ),
    "empty export": (
        lambda folder: export(folder, "a.csv", b""),
        ("a.csv is empty (0 bytes)", "export it again"),
    ),
    "export of a header": (
        lambda folder: export(folder, "a.csv", EXPORT.splitlines(keepends=True)[0].encode()),
        ("a.csv has no rows",),
    ),
    "export without a column": (
        lambda folder: export(folder, "a.csv", EXPORT.replace("Price", "Preis").encode()),
        ("a.csv needs exactly one column for each of: Price or UnitPrice", "Preis"),
    ),
    "export that is no workbook": (
        lambda folder: export(folder, "a.xlsx", EXPORT.encode()),
        ("a.xlsx is named .xlsx and is no Excel workbook",),
    ),
    "export in another encoding": (
        lambda folder: export(folder, "a.csv", EXPORT.replace("LAMP", "L\xc4MP").encode("latin-1")),
        ("a.csv is not UTF-8 text",),
    ),
    "export of an unknown kind": (lambda folder: export(folder, "a.pdf", b"%PDF"), ("'.pdf'", ".csv")),
}


@pytest.mark.parametrize("case", INGEST)
def test_a_mistake_of_ingest_is_one_line_and_leaves_nothing(patron, tmp_path, case):
    arguments, words = INGEST[case]
    path = tmp_path / "w.duckdb"
    line = told(patron("ingest", *arguments(tmp_path), "--warehouse", path))
    assert [word for word in words if word not in line] == [], line
    assert not path.exists()


def test_a_bad_delivery_changes_nothing_in_a_warehouse(patron, tmp_path):
    path = tmp_path / "w.duckdb"
    assert patron("ingest", "--tables", put(tmp_path / "t", SALE), "--warehouse", path).code == 0
    put(tmp_path / "t", SALE | {"order_id": "o2"})
    put(tmp_path / "t", {"region_id": "north"}, table="customers")
    assert "customers lacks customer_id" in told(
        patron("ingest", "--tables", tmp_path / "t", "--warehouse", path)
    )
    assert "keeps currency EUR, and USD was asked for" in told(
        patron("ingest", "--tables", put(tmp_path / "2", SALE), "--warehouse", path, "--currency", "USD")
    )
    with Warehouse(path).connect() as connection:
        assert connection.execute("SELECT order_id FROM order_lines").fetchall() == [("o",)]


def test_a_warehouse_in_a_place_that_cannot_be(patron, tmp_path):
    folder = put(tmp_path / "t", SALE)
    place = file(tmp_path / "a file", b"x")
    assert "a file" in told(patron("ingest", "--tables", folder, "--warehouse", place / "w.duckdb"))
    assert "cannot be opened as a warehouse" in told(
        patron("ingest", "--tables", folder, "--warehouse", place)
    )
    assert place.read_bytes() == b"x"
    assert "cannot be opened as a warehouse" in told(
        patron("ingest", "--tables", folder, "--warehouse", tmp_path)
    )


# ------------------------------------------------------------------------------------------------- mistakes: the rest


def asks(path, folder):
    """Each command that reads a warehouse, complete but for its first word."""
    return {
        "features": ["--warehouse", path, "--cutoff", "2026-09-07", "--out", folder / "out"],
        "train": ["--warehouse", path, "--as-of", "2026-09-07"],
        "backtest": ["--warehouse", path, "--origin", "2026-05-04", "--out", folder / "out"],
        "score": ["--warehouse", path, "--as-of", "2026-09-07", "--out", folder / "out"],
        "weekly": ["--warehouse", path, "--as-of", "2026-09-07", "--out", folder / "out"],
        "promote": ["--warehouse", path],
    }


COMMANDS = ("features", "train", "backtest", "score", "weekly", "promote")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_warehouse_that_does_not_exist(patron, tmp_path, command):
    path = tmp_path / "w.duckdb"
    line = told(patron(command, *asks(path, tmp_path)[command]))
    assert line == f"patron: no warehouse at {path}: make one with `patron ingest --warehouse {path}`"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_no_warehouse(patron, tmp_path, command):
    path = file(tmp_path / "w.duckdb", b"a shopping list\n")
    assert f"{path} cannot be opened as a warehouse" in told(patron(command, *asks(path, tmp_path)[command]))


def test_a_database_that_is_no_warehouse(patron, tmp_path):
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
    assert "no table `warehouse`" in told(patron("score", *asks(path, tmp_path)["score"]))
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE warehouse AS SELECT 99 AS schema_version")
    line = told(patron("score", *asks(path, tmp_path)["score"]))
    assert "warehouse layout" in line
    assert "99" in line


def test_a_name_with_lock_in_it_is_not_a_lock(patron, tmp_path, monkeypatch):
    monkeypatch.setattr("features.warehouse._BUSY_WAIT_S", 0.0)
    path = file(tmp_path / "clocks.duckdb", b"a shopping list\n")
    assert "cannot be opened as a warehouse" in told(patron("score", *asks(path, tmp_path)["score"]))


@pytest.fixture
def held(tmp_path):
    """A warehouse that another process holds open for writing."""
    path = tmp_path / "held.duckdb"
    code = f"import duckdb; c = duckdb.connect({str(path)!r}); print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    yield path
    holder.communicate("\n")


def test_a_busy_warehouse(patron, tmp_path, held, monkeypatch):
    monkeypatch.setattr("features.warehouse._BUSY_WAIT_S", 0.3)
    for done in (
        patron("score", *asks(held, tmp_path)["score"]),
        patron("ingest", "--tables", put(tmp_path / "t", SALE), "--warehouse", held),
    ):
        assert f"{held} has been in use by another process for 0 s: try again" in told(done)


BAD_TIMES = ("garbage", "2026-13-45", "2026-02-30", "", "NaT")


@pytest.mark.parametrize("when", BAD_TIMES)
def test_a_garbage_date(patron, shop, tmp_path, when):
    path, out = shop.warehouse.path, ["--out", tmp_path / "out"]
    for arguments in (
        ["features", "--warehouse", path, "--cutoff", "2026-09-07", "--cutoff", when, *out],
        ["score", "--warehouse", path, "--as-of", when, *out],
        ["weekly", "--warehouse", path, "--as-of", when, *out],
        ["train", "--warehouse", path, "--as-of", when],
        ["backtest", "--warehouse", path, "--origin", when, *out],
    ):
        assert told(patron(*arguments)) == (
            f"patron: {when!r} is no date: write it as 2011-09-10 or 2011-09-10T06:00:00Z"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_cutoff_before_the_first_order(patron, shop, tmp_path):
    line = told(
        patron(
            "features", "--warehouse", shop.warehouse.path, "--cutoff", "2026-09-07", "--cutoff", "2020-01-01",
            "--out", tmp_path / "out",
        )
    )  # fmt: skip
    assert f"cutoff 2020-01-01 00:00:00 lies before the first order in {shop.warehouse.path}" in line
    assert "choose a later cutoff" in line


def test_an_unknown_population(patron, shop, tmp_path):
    arguments = ["--cutoff", "2026-09-07", "--population", "vip", "--out", tmp_path / "out"]
    line = told(patron("features", "--warehouse", shop.warehouse.path, *arguments))
    assert line == "patron: unknown population 'vip': choose one of active-365d, all"


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2020-01-01", ("2020-01-01", "the first one in", "choose a later --as-of")),
        ("2025-06-01", ("days of orders behind it and needs 180", "choose a later --as-of")),
    ],
)
def test_too_little_history_to_train(patron, shop, as_of, words):
    line = told(patron("train", "--warehouse", shop.warehouse.path, "--as-of", as_of))
    assert [word for word in words if word not in line] == [], line


@pytest.mark.parametrize("origin", ["2026-09-07", "2026-08-01"])
def test_a_backtest_whose_horizon_is_not_over(patron, shop, tmp_path, origin):
    # the data end on 2026-09-07: who orders later in the 90 days would pass for lost
    arguments = ["--origin", origin, "--out", tmp_path / "b.json"]
    line = told(patron("backtest", "--warehouse", shop.warehouse.path, *arguments))
    assert origin in line
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("command", ["score", "weekly"])
def test_a_model_that_has_seen_what_it_would_predict(patron, shop, tmp_path, command):
    arguments = ["--warehouse", shop.warehouse.path, "--as-of", "2026-09-06", "--out", tmp_path / "out"]
    line = told(patron(command, *arguments))
    assert f"{shop.registered.name} version 1 was trained as of 2026-09-07 00:00:00" in line
    assert "later than the as-of 2026-09-06 00:00:00" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", ["2", "0", "challenger", "best", ""])
@pytest.mark.parametrize("command", ["score", "promote"])
def test_an_unknown_model_version(patron, shop, tmp_path, command, which):
    arguments = asks(shop.warehouse.path, tmp_path)[command]
    line = told(patron(command, *arguments, "--model", which))
    assert f"no model {shop.registered.name} {which!r} in sqlite:///" in line
    assert "choose another of champion, challenger, previous" in line


def test_no_model_yet(patron, shop, tmp_path):
    path, name = beside(shop, "untrained", SALE, patron=patron)
    for command in ("score", "weekly", "promote"):
        for which in ("champion", "latest", "1"):
            line = told(patron(command, *asks(path, tmp_path)[command], "--model", which))
            assert f"no model {name} {which!r}" in line
            assert "train one with `patron train`" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["features", "score", "weekly"])
def test_an_out_that_cannot_be_written(patron, shop, tmp_path, command):
    place = file(tmp_path / "a file", b"x")
    arguments = asks(shop.warehouse.path, place)[command]
    line = told(patron(command, *arguments))
    assert str(place) in line
    assert ".part" not in line  # a name that the user has never seen
    assert place.read_bytes() == b"x"


@pytest.mark.parametrize("command", ["features", "score"])
def test_an_out_that_is_a_folder(patron, shop, tmp_path, command):
    (tmp_path / "out").mkdir()
    line = told(patron(command, *asks(shop.warehouse.path, tmp_path)[command]))
    assert f"{tmp_path / 'out'}: " in line
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing half-written stays


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no file system here that refuses even root")
@pytest.mark.parametrize("command", ["features", "score", "weekly"])
def test_an_out_where_nobody_may_write(patron, shop, command):
    line = told(patron(command, *asks(shop.warehouse.path, Path("/sys/kernel"))[command]))
    assert "/sys/kernel" in line


# ------------------------------------------------------------------------------------------------- what is printed


def test_names_with_brackets_are_printed_as_they_are(patron, shop, tmp_path):
    # a terminal library may take [north] for its own markup, and [/c1] for a fault of it
    odd = SALE | {"customer_id": "[/c1]", "order_id": "o2"}
    path, name = beside(shop, "brackets", odd, SALE, patron=patron)
    register(shop, name, "2024-01-02")
    put(tmp_path / "t", {"customer_id": "[/c1]", "region_id": "[north]"}, table="customers")
    assert patron("ingest", "--tables", tmp_path / "t", "--warehouse", path).code == 0
    out = tmp_path / "[/lists] [old]"
    arguments = ["--warehouse", path, "--as-of", "2024-01-08", "--out", out, "--at-risk-from", "0"]
    done = patron("weekly", *arguments)
    assert (done.code, done.err) == (0, "")
    assert "[/c1]" in done.out
    assert "[north]" in done.out
    assert str(out / "manifest.json") in done.out


def test_nobody_at_risk(patron, shop, tmp_path):
    arguments = ["--warehouse", shop.warehouse.path, "--as-of", "2026-09-07", "--out", tmp_path]
    done = patron("weekly", *arguments, "--at-risk-from", "1")
    assert (done.code, done.err) == (0, "")
    assert "2026-W37: 0 of 1,500 customers at risk, 0.00 CNY" in done.out
    assert len(pd.read_parquet(tmp_path / "at_risk_2026-W37.parquet")) == 0
