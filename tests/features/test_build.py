"""Frames and files of features: partitions, interruptions, dtypes; and an alarm for features that know the future."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features import build, build_file, ingest_tables
from features.catalogue import FEATURES, select
from features.errors import InputError
from features.sources.simulate import simulate, write
from features.vocabulary import Measure, only
from features.warehouse import Warehouse

END = np.datetime64("2025-09-01")
CUTOFFS = ["2025-03-01", "2025-09-01"]
HORIZON = np.timedelta64(90, "D")


@pytest.fixture(scope="module")
def retailer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retailer")
    write(simulate(400, 700, END, 11), folder)
    warehouse = Warehouse(folder / "w.duckdb")
    ingest_tables(warehouse, folder / "tables")
    return warehouse, pd.read_parquet(folder / "truth" / "customers.parquet")


@pytest.fixture
def small_partitions(monkeypatch):
    monkeypatch.setattr("features.streams._ROWS_A_PART", 2_000)


@pytest.mark.usefixtures("small_partitions")
def test_a_file_holds_what_the_frame_holds(retailer, tmp_path):
    warehouse, _ = retailer
    seen = []
    rows = build_file(
        warehouse, CUTOFFS, tmp_path / "f.parquet", population="all", progress=lambda *now: seen.append(now)
    )
    frame = build(warehouse, CUTOFFS, population="all")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "f.parquet"), frame, check_exact=True)
    assert rows == len(frame) > 400
    assert len(seen) > 3
    assert seen == [(number + 1, len(seen)) for number in range(len(seen))]
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]


@pytest.mark.usefixtures("small_partitions")
def test_partitions_change_nothing(retailer, monkeypatch):
    warehouse, _ = retailer
    many = build(warehouse, CUTOFFS)
    monkeypatch.setattr("features.streams._ROWS_A_PART", 10**9)
    pd.testing.assert_frame_equal(many, build(warehouse, CUTOFFS), check_exact=True)


KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    import features.streams
    from features import Warehouse, build_file

    features.streams._ROWS_A_PART = 2_000

    def progress(done, total):
        if done == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    build_file(Warehouse(sys.argv[1]), sys.argv[3:], Path(sys.argv[2]), population="all", progress=progress)
""")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.usefixtures("small_partitions")
def test_a_killed_run_goes_on_where_it_was(retailer, tmp_path):
    warehouse, _ = retailer
    out = tmp_path / "f.parquet"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(warehouse.path), str(out), *CUTOFFS],
        cwd=Path.cwd(),
        env=os.environ,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    (folder,) = tmp_path.iterdir()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert len(kept) == 2
    seen = {}

    def progress(*_):
        seen.update({path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")})

    build_file(warehouse, CUTOFFS, out, population="all", progress=progress)
    assert kept.items() <= seen.items()  # made once
    pd.testing.assert_frame_equal(
        pd.read_parquet(out), build(warehouse, CUTOFFS, population="all"), check_exact=True
    )
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]


@pytest.mark.usefixtures("small_partitions")
def test_parts_of_another_question_are_not_taken(retailer, tmp_path):
    warehouse, _ = retailer

    def stop(*_):
        raise KeyboardInterrupt

    for cutoffs in (CUTOFFS[:1], CUTOFFS):
        with pytest.raises(KeyboardInterrupt):
            build_file(warehouse, cutoffs, tmp_path / "f.parquet", progress=stop)
    assert len(list(tmp_path.iterdir())) == 2
    build_file(warehouse, CUTOFFS, tmp_path / "f.parquet")
    assert pd.read_parquet(tmp_path / "f.parquet")["cutoff"].nunique() == 2


def test_a_file_that_cannot_be_written(retailer, tmp_path):
    warehouse, _ = retailer
    with pytest.raises(InputError, match="is a folder; name the file to write"):
        build_file(warehouse, CUTOFFS, tmp_path)
    (tmp_path / "a file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        build_file(warehouse, CUTOFFS, tmp_path / "a file" / "f.parquet")


@pytest.mark.usefixtures("small_partitions")
def test_another_process_is_told_to_wait(retailer, tmp_path):
    warehouse, _ = retailer
    out, heard = tmp_path / "f.parquet", []

    def meanwhile(done, _):
        if done == 1:
            code = KILLED.replace("def progress", "def never")
            code = code.replace(", progress=progress", "")
            other = subprocess.run(
                [sys.executable, "-c", code, str(warehouse.path), str(out), *CUTOFFS],
                cwd=Path.cwd(), env=os.environ, capture_output=True, text=True,
            )  # fmt: skip
            heard.append(other.stderr)

    build_file(warehouse, CUTOFFS, out, population="all", progress=meanwhile)
    assert "another process is writing it; wait for it or choose another file" in heard[0]
    assert len(pd.read_parquet(out)) == len(build(warehouse, CUTOFFS, population="all"))


@pytest.mark.usefixtures("small_partitions")
def test_a_part_without_its_end_is_made_again(retailer, tmp_path):
    warehouse, _ = retailer

    def stop(done, _):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_file(warehouse, CUTOFFS, tmp_path / "f.parquet", progress=stop)
    (folder,) = tmp_path.iterdir()
    (folder / "0.parquet").write_bytes(b"")
    build_file(warehouse, CUTOFFS, tmp_path / "f.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "f.parquet"), build(warehouse, CUTOFFS), check_exact=True
    )


def test_one_cutoff_or_any_sequence_of_them(retailer):
    warehouse, _ = retailer
    one = build(warehouse, CUTOFFS[0], columns=["orders_all"])
    for cutoffs in (
        CUTOFFS[:1],
        pd.date_range(CUTOFFS[0], periods=1),
        np.array(CUTOFFS[:1], dtype="datetime64[D]"),
    ):
        pd.testing.assert_frame_equal(build(warehouse, cutoffs, columns=["orders_all"]), one)
    with pytest.raises(InputError, match="write a list of names"):
        build(warehouse, CUTOFFS, columns="orders_all")


def test_dtypes(retailer):
    frame = build(retailer[0], CUTOFFS, columns=["orders_30d", "spend_30d", "top_category_365d", "gap_cv"])
    assert frame.dtypes.astype(str).to_dict() == {
        "customer_id": "str", "cutoff": "datetime64[us]", "orders_30d": "int64", "spend_30d": "float64",
        "top_category_365d": "str", "gap_cv": "float64",
    }  # fmt: skip
    assert frame.equals(frame.sort_values(["cutoff", "customer_id"], ignore_index=True))


def test_a_measure_beside_the_catalogues(retailer):
    warehouse, _ = retailer
    category = build(warehouse, CUTOFFS, columns=["top_category_365d"])["top_category_365d"].mode()[0]
    own = Measure(
        "of_it",
        "lines",
        "total",
        "currency",
        "spend",
        of="net",
        where=only(category=category),
        windows=(365, None),
    )
    own.require()
    frame = build(
        warehouse,
        CUTOFFS,
        columns=["of_it_365d", "spend_365d", "top_category_365d"],
        own=tuple(own.features("own")),
    )
    assert (frame["of_it_365d"] <= frame["spend_365d"]).all()
    assert (frame.loc[frame["top_category_365d"] == category, "of_it_365d"] > 0).all()


def auc_of(values, ordered):
    found = roc_auc_score(ordered, values.fillna(values.min() - 1).fillna(0))
    return max(found, 1 - found)


def test_no_feature_alone_tells_the_future(retailer):
    """A feature that tells who orders in the next 90 days better than the truth's own probability knows too much."""
    warehouse, truth = retailer
    frame = build(warehouse, [str(END)]).merge(
        truth, on="customer_id", validate="one_to_one", suffixes=("", "_truth")
    )
    frame["next_order_at"] = frame["next_order_at"].dt.tz_localize(None)
    ordered = (frame["next_order_at"] < END + HORIZON).to_numpy()
    assert 0.2 < ordered.mean() < 0.8
    ceiling = auc_of(frame["p_order_90d"], ordered)
    found = {one.name: auc_of(frame[one.name].astype(float), ordered) for one in FEATURES}
    assert max(found.values()) < ceiling, max(found, key=found.get)
    assert max(found.values()) > 0.7  # and the alarm hears something
    leaked = (frame["next_order_at"] - END) / np.timedelta64(1, "D")
    assert auc_of(leaked.fillna(1e6), ordered) > ceiling


def test_columns_that_are_read_are_those_that_are_looked_at(retailer):
    """One feature at a time from the columns its plan asks for, against the catalogue from all of them."""
    warehouse, _ = retailer
    whole = build(warehouse, CUTOFFS)
    for one in FEATURES[::7]:
        alone = build(warehouse, CUTOFFS, columns=[one.name])
        pd.testing.assert_series_equal(alone[one.name], whole[one.name], check_exact=True)
    assert select(["spend_30d"])
