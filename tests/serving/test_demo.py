"""``patron demo``: fresh scores, sentences for a marketing manager, a list, and pictures, twice into one folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

ROOT = Path(__file__).parents[2]
CUSTOMERS = 800
PICTURES = ("calibration.png", "lift.png", "survival.png", "segments.png")


@pytest.fixture(scope="module")
def twice(patron, tmp_path_factory):
    """The folder, what both runs said, and the list of the first; the second is a process of its own, as in life."""
    out = tmp_path_factory.mktemp("demo")
    (out / "notes.txt").write_text("mine")
    arguments = ["demo", "--customers", str(CUSTOMERS), "--out", str(out)]
    first = patron(*arguments)
    (list_of_first,) = out.glob("at_risk_*.csv")
    before = list_of_first.read_bytes()
    quiet = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    second = subprocess.run(
        [sys.executable, "-c", "from serving.cli import main; main()", *arguments],
        env=quiet | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return out, first, second, before


@pytest.mark.slow
def test_both_runs_succeed_and_say_nothing_in_error(twice):
    _, first, second, _ = twice
    assert (first.code, first.err) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")


@pytest.mark.slow
def test_the_second_run_replaces_the_first_and_leaves_other_files_alone(twice):
    out, _, _, before = twice
    (found,) = out.glob("at_risk_*.csv")
    assert found.read_bytes() == before
    assert (out / "notes.txt").read_text() == "mine"
    assert len(list((out / "mlartifacts").iterdir())) == 1


@pytest.mark.slow
def test_the_summary_agrees_with_the_files(twice):
    out, _, said, _ = twice
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    rows = pd.read_parquet(out / manifest["files"][1])
    left = manifest["left_out"]
    active = manifest["customers_known"] - left["no_orders"] - left["outside_population"]
    assert manifest["customers_known"] == CUSTOMERS
    assert (
        f"Week {manifest['week']}: of {active:,} customers who bought in the last year, {len(rows):,} are on the list: more "
        f"likely than not to place no order in the next 90 days, and not held out for measurement. They spent {rows['spend_365d'].sum():,.0f} CNY in that "
        f"year; {manifest['value_at_risk']:,.0f} of it is at risk."
    ) in said.stdout
    assert "The first five to look after:" in said.stdout
    five = re.findall(
        r"^  (\d)\. (\S+) \(([^)]+)\): (\d+)% likely to stay away", said.stdout, flags=re.MULTILINE
    )
    head = rows.head(5)
    assert [(int(rank), who, owner) for rank, who, owner, _ in five] == list(
        zip(head["rank"], head["customer_id"], head["owner"], strict=True)
    )
    for offer, count in manifest["offers"].items():
        assert f"{offer} {count:,}" in said.stdout
    assert str(out / manifest["files"][0]) in said.stdout


@pytest.mark.slow
def test_the_order_that_was_posted_counted_in_the_next_score(twice):
    out, _, said, _ = twice
    story = json.loads((out / "story.json").read_text(encoding="utf-8"))
    before, after = story["before"], story["after"]
    assert story["reported"] == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert after["historic_clv"] == pytest.approx(before["historic_clv"] + 129.0)
    assert after["status"] == "ok"
    assert story["customer"]["features"]["orders_7d"] >= 1
    assert f"{after['churn_probability']:.1%}" in said.stdout
    assert story["decision"]["trace"]


@pytest.mark.slow
def test_the_lines_to_try_next_are_complete(twice):
    _, _, said, _ = twice
    lines = re.findall(r"^  curl .*$", said.stdout, flags=re.MULTILINE)
    assert len(lines) == 4
    for line in lines[:3]:
        json.loads(re.search(r"-d '(.*)'$", line).group(1))


@pytest.mark.slow
def test_how_far_to_trust_it(twice):
    _, _, said, _ = twice
    (found,) = re.findall(
        r"(\d+)% of the tenth it rated riskiest stayed away, against (\d+)% of everybody", said.stdout
    )
    riskiest, everybody = map(int, found)
    assert everybody < riskiest <= 100
    (auc,) = re.findall(r"\(AUC (0\.\d\d)\)", said.stdout)
    assert 0.6 < float(auc) < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_show_something(twice, name):
    pixels = image.imread(twice[0] / name)[..., :3]
    height, width, _ = pixels.shape
    assert min(height, width) >= 300
    background = pixels[0, 0]
    drawn = np.abs(pixels - background).max(axis=2) > 0.2
    assert 0.01 < drawn.mean() < 0.7
    # curves and text, not a frame alone: something in each quarter, in more than one colour
    quarters = [half for rows in np.array_split(drawn, 2) for half in np.array_split(rows, 2, axis=1)]
    assert all(quarter.any() for quarter in quarters)
    saturated = np.ptp(pixels[drawn], axis=1) > 0.3
    assert saturated.mean() > 0.01


@pytest.mark.slow
def test_the_pictures_differ(twice):
    assert len({(twice[0] / name).read_bytes() for name in PICTURES}) == len(PICTURES)


def test_a_place_that_cannot_be_written(patron, tmp_path):
    place = tmp_path / "a file"
    place.write_text("mine")
    done = patron("demo", "--customers", CUSTOMERS, "--out", place)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith("patron: ")
    assert str(place) in line
    assert place.read_text() == "mine"
