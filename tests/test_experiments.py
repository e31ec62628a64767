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
CONTENDERS = {"patron", "group_by_per_cutoff", "range_join", "group_by_with_next", "kernel", "read_and_sort",
              "catalogue"}  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What `run.py --quick` wrote."""
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, str(ENGINE / "run.py"), "--quick", "--out", str(out)]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=out, env=surroundings, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "results.json").read_text()), (out / "RESULTS.md").read_text()


def test_the_contenders_made_equal_rows(quick):
    record, page = quick
    assert len(set(record["columns"])) == 26
    one, twelve = record["rows_compared"].values()
    assert 0 < one < twelve
    assert f"{twelve:,} customers x cutoffs" in page


def test_each_contender_ran_at_each_size(quick):
    record, page = quick
    ran = [(timing["cutoffs"], timing["contender"]) for timing in record["timings"]]
    assert sorted(ran) == sorted((count, name) for count in (1, 12) for name in CONTENDERS)
    assert all(turn["seconds"] > 0 for timing in record["timings"] for turn in timing["turns"])
    assert page.count("| 20,000 | 12 |") == len(CONTENDERS)


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
    row |= dict.fromkeys(ours("queries").COLUMNS, 2.0)
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


def test_ratios_are_medians_of_ratios_within_a_turn(ours):
    ratios, measured = ours("ratios"), ours("contenders").Measured
    times = {
        ("patron", 1): (1.0, 2.0, 4.0),
        ("patron", 12): (2.1, 4.2, 26.0),  # 11 more cutoffs: 10 %, 10 % and 50 % of the first
        ("kernel", 1): (1.0, 1.0, 1.0),
        ("kernel", 12): (1.0, 1.55, 3.2),  # 0, 5 and 20 %
        ("group_by_per_cutoff", 1): (3.0, 4.0, 20.0),
        ("group_by_per_cutoff", 12): (6.3, 42.0, 52.0),  # 3, 10 and 2 times Patron
        ("range_join", 1): (9.0, 9.0, 9.0),
        ("range_join", 12): (99.0, 99.0, 99.0),
        ("group_by_with_next", 1): (9.0, 9.0, 9.0),
        ("group_by_with_next", 12): (98.0, 98.0, 98.0),
        ("read_and_sort", 1): (1.0, 1.0, 1.0),
        ("read_and_sort", 12): (1.0, 1.4, 52.0),  # Patron takes 2.1, 3 and 0.5 times as long
    }
    timings = [
        ratios.Timing(300, count, name, tuple(measured(seconds, 2 * seconds, 1.0, 2.0) for seconds in turns))
        for (name, count), turns in times.items()
    ]
    (found,) = ratios.ratios(timings)
    assert (found.rows, found.cutoffs, found.best_peer) == (300, 12, "group_by_per_cutoff")
    assert found.best_peer_over_patron == pytest.approx(3.0)
    assert found.best_peer_over_patron_cpu == pytest.approx(42.0 / 4.2)
    assert found.best_peer_over_patron_one_cutoff == pytest.approx(3.0)  # 3, 2 and 5
    assert found.patron_over_read_and_sort == pytest.approx(2.1)
    assert found.one_more_cutoff_patron == pytest.approx(0.1)
    assert found.one_more_cutoff_kernel == pytest.approx(0.05)


def test_the_made_up_rows_depend_on_the_seed_alone_and_meet_the_edges_of_windows(ours):
    world = ours("world")
    one, same, other = (world.tables(3_000, seed) for seed in (7, 7, 8))
    assert one == same
    assert one != other
    assert {name: table.num_rows for name, table in one.items()} == {"order_lines": 1_800, "events": 1_200}
    paid_at = one["order_lines"]["paid_at"].to_pandas()
    for shift in ("-1us", "0us", "1us"):
        assert ((paid_at - pd.Timedelta(shift)).dt.normalize() == paid_at - pd.Timedelta(shift)).any()


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
def test_the_service_is_measured_beside_its_peers(tmp_path):
    record, page = run_quickly("service", tmp_path, "--quick")
    assert set(record["turns"]) == {"Patron", "bare BentoML", "mlflow models serve"}
    assert record["failed"] == 0
    assert all(turn["requests"] > 0 for turns in record["turns"].values() for turn in turns)
    assert "| Patron |" in page
