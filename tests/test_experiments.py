"""The experiments run, on few rows; what they call equal is equal, and their ratios are the ratios of their times."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "experiments" / "feature_engine"
PEERS = {"group_by_per_cutoff", "range_join", "group_by_with_next", "asof", "polars", "pandas"}
CONTENDERS = PEERS | {
    "patron",
    "patron_75",
    "catalogue",
    "kernel",
    "read_and_sort",
    "read_and_sort_catalogue",
}


def run_engine(script, out, *arguments):
    """Run a command of the feature engine's benchmark."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ENGINE / script), "--out", str(out), *arguments],
        cwd=out, env=surroundings, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What `run.py --quick` wrote, and where."""
    out = tmp_path_factory.mktemp("bench")
    run_engine("run.py", out, "--quick")
    return json.loads((out / "results.json").read_text()), (out / "RESULTS.md").read_text(), out


def test_the_contenders_made_equal_rows(quick):
    record, page, _ = quick
    assert len(set(record["columns"])) == 26
    one, twelve = record["compared"]
    assert 0 < one["rows"] < twelve["rows"]
    assert set(one["contenders"]) == set(twelve["contenders"]) == PEERS | {"patron"}
    assert f"{twelve['rows']:,} rows at 0.02 M x 12" in page


def test_each_contender_ran_at_each_size(quick):
    record, page, _ = quick
    ran = [(timing["cutoffs"], timing["contender"]) for timing in record["timings"]]
    assert sorted(ran) == sorted((count, name) for count in (1, 12) for name in CONTENDERS)
    assert all(turn["seconds"] > 0 for timing in record["timings"] for turn in timing["turns"])
    assert record["left_out"] == []
    assert "Everybody was run at every size." in page


def test_the_pictures_are_written_and_on_the_page(quick):
    _, page, out = quick
    named = {line.split("(")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert named == {"facts.png", "cutoffs.png", "columns.png"} == {path.name for path in out.glob("*.png")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.glob("*.png"))


def test_the_one_customer_is_the_one_promised_and_has_the_whole_catalogue(quick, ours):
    record, page, _ = quick
    for online in record["online"]:
        assert (online["orders"], online["events"]) == (60, 300)
        assert online["features"] == max(ours("columns").WIDTHS)
        assert 0 < online["p50_ms"] <= online["p99_ms"]
    assert "60 orders and 300 events" in page


def test_a_large_retailer_goes_into_a_file_and_onto_the_page(quick):
    _, before, out = quick
    run_engine("large.py", out, "--facts", "20000")
    large = json.loads((out / "large.json").read_text())
    assert 0 < large["customers"] <= 20_000 // 30
    assert large["peak_mb"] > 0
    after = (out / "RESULTS.md").read_text()
    assert "Not measured yet" in before
    assert f"20,000 facts of {large['customers']:,} customers" in after
    section = "## Against the limit"
    assert before.split(section)[0] == after.split(section)[0]


@pytest.fixture
def ours(monkeypatch):
    """Import a module of the experiment by its name."""
    monkeypatch.syspath_prepend(ENGINE)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == ENGINE:
            del sys.modules[name]


BROKEN = {
    "a count": {"orders_30d": 3},
    "a cent": {"spend_30d": 12.31},
    "the last bit of an amount": {"spend_30d": math.nextafter(12.3, 13)},
    "a real number": {"gap_mean_days": 7.5 + 2e-8},
    "null for zero": {"refunds_365d": None},
    "a value for null": {"days_since_last_event": 0.0},
    "another customer": {"customer_id": "bob"},
    "another cutoff": {"cutoff": pd.Timestamp("2024-01-02")},
}


def result(ours, path, **changes):
    """Write a result of one row."""
    row = {"customer_id": "ann", "cutoff": pd.Timestamp("2024-01-01")}
    row |= dict.fromkeys(ours("columns").COLUMNS, 2.0)
    row |= {"spend_30d": 12.3, "refunds_365d": 0.0, "gap_mean_days": 7.5, "days_since_last_event": None}
    pd.DataFrame([row | changes]).astype({"days_since_last_event": float}).to_parquet(path)
    return str(path)


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_what_differs_is_found(ours, tmp_path, changes):
    equality = ours("equality")
    good, bad = result(ours, tmp_path / "good"), result(ours, tmp_path / "bad", **changes)
    with pytest.raises(equality.Unequal):
        equality.compare(good, bad)


def test_real_numbers_may_differ_by_rounding_and_rows_stand_in_any_order(ours, tmp_path):
    compare = ours("equality").compare
    rows = [pd.read_parquet(result(ours, tmp_path / name, customer_id=name)) for name in ("ann", "bob")]
    pd.concat(rows).to_parquet(tmp_path / "one")
    rows[0]["gap_mean_days"] += 1e-10
    pd.concat(rows[::-1]).to_parquet(tmp_path / "other")
    assert compare(str(tmp_path / "one"), str(tmp_path / "other")) == 2


def test_a_missing_row_is_found(ours, tmp_path):
    equality = ours("equality")
    good = result(ours, tmp_path / "good")
    pd.read_parquet(good).iloc[:0].to_parquet(tmp_path / "none")
    with pytest.raises(equality.Unequal, match="1 rows against 0"):
        equality.compare(good, str(tmp_path / "none"))


def test_a_row_too_many_is_found(ours, tmp_path):
    equality = ours("equality")
    good = result(ours, tmp_path / "good")
    pd.concat(
        [pd.read_parquet(good), pd.read_parquet(result(ours, tmp_path / "bob", customer_id="bob"))]
    ).to_parquet(tmp_path / "two")
    with pytest.raises(equality.Unequal, match="1 rows against 2"):
        equality.compare(good, str(tmp_path / "two"))


def timings_of(ours, times):
    """Return timings of a turn for each number of seconds; processor time is twice that."""
    timing, measured = ours("ratios").Timing, ours("contenders").Measured
    return [
        timing(300, cutoffs, name, tuple(measured(seconds, 2 * seconds, 1.0, 2.0) for seconds in turns))
        for (name, cutoffs), turns in times.items()
    ]


TIMES = {
    ("patron", 1): (1.0, 2.0, 4.0),
    ("patron", 12): (2.1, 4.2, 26.0),  # 11 more cutoffs: 10 %, 10 % and 50 % of the first
    ("kernel", 1): (1.0, 1.0, 1.0),
    ("kernel", 12): (1.0, 1.55, 3.2),  # 0, 5 and 20 %
    ("group_by_per_cutoff", 1): (3.0, 4.0, 20.0),  # 3, 2 and 5 times Patron
    ("group_by_per_cutoff", 12): (6.3, 42.0, 52.0),  # 3, 10 and 2 times
    ("range_join", 1): (9.0, 9.0, 9.0),
    ("range_join", 12): (99.0, 99.0, 99.0),
    ("polars", 12): (
        1.05,
        8.4,
        2.6,
    ),  # 0.5, 2 and 0.1 times; better than the best DuckDB form, and none of them
    ("read_and_sort", 12): (1.0, 1.4, 52.0),  # Patron takes 2.1, 3 and 0.5 times as long
    ("catalogue", 12): (7.0, 7.0, 7.0),
    ("read_and_sort_catalogue", 12): (1.0, 2.0, 1.0),  # 7, 3.5 and 7 times
}


def test_ratios_are_medians_of_ratios_within_a_turn(ours):
    ratios = ours("ratios")
    timings = timings_of(ours, TIMES)
    assert ratios.best_duckdb(timings) == {(300, 1): "group_by_per_cutoff", (300, 12): "group_by_per_cutoff"}
    found = {(one.name, one.cutoffs): one.value for one in ratios.ratios(timings)}
    expected = {
        ("best_duckdb_over_patron", 1): 3.0,
        ("best_duckdb_over_patron", 12): 3.0,
        ("best_duckdb_over_patron_cpu", 12): 3.0,
        ("group_by_per_cutoff_over_patron", 12): 3.0,
        ("range_join_over_patron", 1): 4.5,  # 9, 4.5 and 2.25
        ("polars_over_patron", 12): 0.5,
        ("patron_over_read_and_sort", 12): 2.1,
        ("catalogue_over_read_and_sort_catalogue", 12): 7.0,
        ("catalogue_over_patron", 12): 7 / 4.2,  # 7 / 2.1, 7 / 4.2, 7 / 26
        ("one_more_cutoff_patron", 12): 0.1,
        ("one_more_cutoff_kernel", 12): 0.05,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_what_was_not_run_has_no_ratio(ours):
    found = {(one.name, one.cutoffs) for one in ours("ratios").ratios(timings_of(ours, TIMES))}
    assert not {name for name, _ in found} & {
        "pandas_over_patron",
        "asof_over_patron",
        "one_more_cutoff_catalogue",
    }
    assert ("polars_over_patron", 1) not in found
    assert ("one_more_cutoff_patron", 1) not in found


SMALL = {
    (100, 1, "pandas"): (2.0, 300.0),
    (100, 12, "pandas"): (13.0, 520.0),
    (1_000, 1, "pandas"): (15.0, 900.0),
}
EXPECTED = {
    # a second and 20 MB a cutoff
    (100, 52): (13 + 40, 520 + 800),
    # ten times the facts: ten times the seconds, and ten times the MB beyond the 200 there were before the run
    (1_000, 12): (130, 200 + 3_200),
    # from the nearest size, not the smallest
    (10_000, 1): (150, 200 + 7_000),
}


@pytest.mark.parametrize(("facts", "cutoffs"), EXPECTED)
def test_time_and_memory_are_judged_by_the_sizes_before(ours, facts, cutoffs):
    measured = ours("contenders").Measured
    before = {size: measured(seconds, 0.0, 200.0, peak) for size, (seconds, peak) in SMALL.items()}
    found = ours("leaving_out").expected(before, (facts, cutoffs, "pandas"))
    assert found == pytest.approx(EXPECTED[facts, cutoffs])


def test_who_would_take_too_long_is_left_out_and_where_it_was_so_is_the_larger_size(ours):
    module, measured = ours("leaving_out"), ours("contenders").Measured
    before = {size: measured(seconds, 0.0, 200.0, peak) for size, (seconds, peak) in SMALL.items()}
    assert module.why_not(before, {}, (100, 52, "pandas")) is None
    assert module.why_not(before, {}, (1_000, 12, "pandas")) == "about 130 s"
    assert module.why_not(before, {}, (100, 1, "polars")) is None
    out = {(100, 52, "pandas"): module.LeftOut(100, 52, "pandas", "about 500 s")}
    only_one = {(1_000, 1, "pandas"): before[1_000, 1, "pandas"]}
    assert module.why_not(only_one, out, (1_000, 52, "pandas")) == "about 500 s at 100 facts"
    assert module.why_not(only_one, out, (1_000, 12, "pandas")) is None


def test_who_would_take_too_much_memory_is_left_out(ours):
    module, measured = ours("leaving_out"), ours("contenders").Measured
    before = {(100, 1, "polars"): measured(0.1, 0.1, 0.0, 1024.0 * 1024)}  # a terabyte
    assert module.why_not(before, {}, (200, 1, "polars")) == "about 2,048 GB"


def test_the_page_says_who_was_not_run(ours, quick):
    record, _, _ = quick
    without = [one for one in record["timings"] if (one["contender"], one["cutoffs"]) != ("pandas", 12)]
    left_out = [{"contender": "pandas", "facts": 20_000, "cutoffs": 12, "why": "about 500 s"}]
    ratios = [one for one in record["ratios"] if (one["name"], one["cutoffs"]) != ("pandas_over_patron", 12)]
    page = ours("page").page(record | {"timings": without, "left_out": left_out, "ratios": ratios}, None)
    assert "pandas at 0.02 M x 12, about 500 s." in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| pandas")]
    assert len(rows) == 4  # times Patron, seconds, processor seconds, memory
    assert all(row[1] != "-" and row[2].rstrip(" |") == "-" for row in rows)


def test_the_made_up_rows_depend_on_the_seed_alone_and_meet_the_edges_of_windows(ours):
    world = ours("world")
    one, same, other = (world.tables(3_000, seed) for seed in (7, 7, 8))
    assert one == same
    assert one != other
    facts = {name: table.num_rows for name, table in one.items() if name in world.SHARES}
    assert facts == {
        "order_lines": 1_500, "events": 1_050, "contacts": 240, "deliveries": 120, "tickets": 60, "feedback": 30,
    }  # fmt: skip
    paid_at = one["order_lines"]["paid_at"].to_pandas()
    for shift in ("-1us", "0us", "1us"):
        assert ((paid_at - pd.Timedelta(shift)).dt.normalize() == paid_at - pd.Timedelta(shift)).any()


def test_the_deliveries_of_a_large_retailer_share_nothing_but_products_and_stores(ours):
    first, second = (ours("world").tables(3_000, 7, number) for number in (0, 1))
    assert set(first) - set(second) == {"products", "stores"}
    for table in second:
        column = first[table].column_names[0]
        ids = [set(rows[table][column].to_pylist()) for rows in (first, second)]
        assert not ids[0] & ids[1], table
    assert second["order_lines"]["customer_id"].to_pylist()[0] not in set(
        first["customers"]["customer_id"].to_pylist()
    )


def test_a_retailer_larger_than_a_delivery_has_all_its_facts(ours, tmp_path, monkeypatch):
    world = ours("world")
    monkeypatch.setattr(world, "FACTS_A_LOAD", 1_000)
    world.load(str(tmp_path / "w.duckdb"), 2_500, 7)
    with ours("contenders").Warehouse(tmp_path / "w.duckdb").connect() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in world.SHARES
        ]
        (quarantined,) = connection.execute("SELECT count(*) FROM quarantine").fetchall()[0]
    assert (sum(counts), quarantined) == (2_500, 0)


def test_the_weeks_and_months_of_the_cutoffs(ours):
    cutoffs = ours("world").CUTOFFS
    assert {count: len(set(listed)) for count, listed in cutoffs.items()} == {1: 1, 12: 12, 52: 52}
    assert {pd.Timestamp(one).day_of_week for one in cutoffs[52]} == {0}
    assert {pd.Timestamp(one).year for listed in cutoffs.values() for one in listed} == {2024}


def test_the_wider_sets_hold_the_narrower_ones(ours):
    widths = ours("columns").WIDTHS
    sets = [set(widths[count]) for count in sorted(widths)]
    assert [len(one) for one in sets] == sorted(widths)
    assert sets[0] < sets[1] < sets[2]


def run_quickly(name, out, *arguments):
    """What an experiment wrote on little data, in a process of its own."""
    folder = ROOT / "experiments" / name
    surroundings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, str(folder / "run.py"), "--out", str(out), *arguments], cwd=out,
        env=surroundings | {"PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((out / "results.json").read_text()), (out / "RESULTS.md").read_text()


@pytest.mark.slow
def test_the_models_are_held_against_the_truth(tmp_path):
    record, page = run_quickly("simulated_retailer", tmp_path, "--customers", "1500", "--seeds", "1")
    (world,) = record["worlds"]
    areas = world["churn"]["auc"]
    assert 0.6 < areas["model"] < areas["truth"] < 1
    assert world["churn"]["ece"]["truth"] < 0.05  # the truth is calibrated
    for horizon in world["timing"]:
        assert horizon["brier_of_truth"] < horizon["brier"]
        assert abs(horizon["true"] - horizon["happened"]) < 0.05
    assert f"{areas['model']:.3f}" in page


@pytest.mark.slow
def test_churn_is_backtested_with_all_that_was_tried(tmp_path):
    record, page = run_quickly("churn", tmp_path, "--only", "simulated", "--quick")
    (origin,) = record["simulated"]["origins"]
    variants = origin["variants"]
    patron = variants["Patron"]
    assert patron["log_loss"] == pytest.approx(origin["everybody"]["model"]["log_loss"]["estimate"])
    assert patron["log_loss"] < variants["MBG/NBD"]["log_loss"] < variants["last-period rule"]["log_loss"]
    assert patron["auc"] > variants["RFM regression"]["auc"]
    for name, one in variants.items():
        assert f"| {name} | {one['log_loss']:.4f} ({one['auc']:.4f}) |" in page
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["calibration.png", "lift.png"]


@pytest.mark.slow
def test_the_service_is_measured_beside_its_peers(tmp_path):
    record, page = run_quickly("service", tmp_path, "--quick")
    assert set(record["turns"]) == {"Patron", "bare BentoML", "mlflow models serve"}
    assert record["failed"] == 0
    assert all(turn["requests"] > 0 for turns in record["turns"].values() for turn in turns)
    assert "| Patron |" in page
