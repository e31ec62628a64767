"""Monitoring: past scores against what happened, lights by hand, planted faults found, and the command end to end."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import typer
from mlflow.tracking import MlflowClient
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from features.build import build
from features.errors import InputError, ModelError
from serving.cli.monitor import monitor as command
from serving.score import score
from training.components import ChurnModel, churn_probability
from training.metrics import auc, log_loss
from training.monitoring.lights import BOUNDS, Light
from training.monitoring.matured import PastScores, hold_against, read_scores, rescored
from training.monitoring.monitor import monitor
from training.monitoring.page import FILES, page, red_line, to_json, write_report
from training.predict import Models

DAY = pd.Timedelta(days=1)
NOW = Light("level", None, 0.0, 0.0, "")


@pytest.fixture(scope="module")
def earlier(models, end):
    """The models, as if they had been trained 150 days before the end."""
    at = (end - 150 * DAY).isoformat()
    parts = (replace(model, card=replace(model.card, as_of=at)) for model in (models.churn, models.timing))
    return Models(*parts)


@pytest.fixture(scope="module")
def report(shop, earlier, end):
    return monitor(shop, earlier, end, model_version="3")


@pytest.fixture(scope="module")
def past(shop, earlier, end):
    return rescored(shop, earlier.churn, end, "3")


@pytest.fixture(scope="module")
def placed(retailer):
    """Customer and instant of every order, straight from the made-up tables."""
    lines = retailer.tables["order_lines"].to_pandas()
    sales = lines[(lines["kind"] == "sale") & lines["customer_id"].notna()]
    orders = sales.groupby(["customer_id", "order_id"], as_index=False)["paid_at"].min()
    return orders.assign(paid_at=orders["paid_at"].dt.tz_localize(None))


# ------------------------------------------------------------------------------------------------- past scores


def test_the_model_is_asked_again_from_its_own_as_of_on_where_outcomes_are_known(shop, earlier, past, end):
    assert [one.as_of for one in past] == [end - days * DAY for days in (150, 122, 94)]
    second = past[1]
    frame = build(shop, [second.as_of])
    assert_array_equal(second.customer_id, frame["customer_id"])
    assert_array_equal(second.churn_probability, churn_probability(earlier.churn, frame, ahead_days=28.0))
    assert (second.horizon_days, second.model_version, second.source) == (90, "3", "recomputed")


def test_past_scores_meet_what_happened(shop, past, placed, end):
    matured, unjudged = hold_against(shop, past, end)
    assert unjudged == []
    for scores, found in zip(past, matured, strict=True):
        later = placed[(placed["paid_at"] >= scores.as_of) & (placed["paid_at"] < scores.as_of + 90 * DAY)]
        churned = ~np.isin(scores.customer_id, later["customer_id"].to_numpy())
        p = scores.churn_probability
        assert found.rows == len(p) > 800
        assert found.churn_share == churned.mean()
        assert found.mean_predicted == p.mean()
        assert found.auc.estimate == auc(churned, p)
        assert found.log_loss.estimate == pytest.approx(log_loss(churned, p))
        assert found.auc.low < found.auc.estimate < found.auc.high
        entropy = -np.mean(p * np.log(p) + (1 - p) * np.log1p(-p))
        assert found.surprise.estimate == pytest.approx(log_loss(churned, p) - entropy)
        assert found.expected.log_loss.estimate == pytest.approx(entropy)


def test_a_horizon_that_is_not_over_is_not_judged(shop, past, end):
    just, not_yet = (hold_against(shop, past[-1:], past[-1].as_of + days * DAY) for days in (90, 89.99))
    assert [len(side) for side in just] == [1, 0]
    assert [len(side) for side in not_yet] == [0, 1]
    assert str(past[-1].as_of + 90 * DAY) in not_yet[1][0].why
    # what was known when the horizon ended is what is known at the end, in a world without corrections
    assert just[0][0].churn_share == hold_against(shop, past[-1:], end)[0][0].churn_share


def test_a_horizon_after_the_last_order_is_not_judged(shop, past, end):
    """Later on nothing was loaded any more: who has no order then may well have placed one."""
    late = replace(past[0], as_of=end - 30 * DAY)
    matured, (one,) = hold_against(shop, [late], end + 200 * DAY)
    assert matured == []
    assert one.why.startswith("orders end at ")
    assert str(end + 60 * DAY) in one.why


def test_too_few_are_not_judged(shop, past, end):
    few = replace(
        past[0], customer_id=past[0].customer_id[:15], churn_probability=past[0].churn_probability[:15]
    )
    matured, (one,) = hold_against(shop, [few], end)
    assert matured == []
    assert one.why.startswith("of 15 customers")


def test_the_files_horizon_is_the_one_that_is_judged(shop, past, end):
    short = hold_against(shop, [replace(past[0], horizon_days=7)], end)[0][0]
    long = hold_against(shop, past[:1], end)[0][0]
    assert short.horizon_days == 7
    assert short.churn_share > long.churn_share + 0.2


# ------------------------------------------------------------------------------------------------- score files


@pytest.fixture(scope="module")
def files(shop, earlier, end, tmp_path_factory):
    """A folder of what ``patron score`` writes: one as-of that is over, and one that is not."""
    folder = tmp_path_factory.mktemp("scores")
    for days in (120, 30):
        frame = build(shop, [end - days * DAY], population="all")
        score(frame, earlier, "3").to_parquet(folder / f"scores_{days}.parquet", index=False)
    return folder


def test_score_files_are_read_as_they_were_written(files, shop, earlier, end):
    old, young = read_scores(files)
    assert (old.as_of, young.as_of) == (end - 120 * DAY, end - 30 * DAY)
    assert (old.source, old.horizon_days, old.model_version) == ("scores_120.parquet", 90, "3")
    frame = build(shop, [old.as_of])
    told = pd.Series(old.churn_probability, old.customer_id)
    assert len(told) == len(frame)
    given = churn_probability(earlier.churn, frame, ahead_days=30.0)
    assert_allclose(told.loc[frame["customer_id"]], given, rtol=1e-12)


def _spoilt(files, folder, change):
    frame = pd.read_parquet(files / "scores_120.parquet")
    change(frame).to_parquet(folder / "bad.parquet", index=False)
    return folder


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda frame: frame.drop(columns=["status", "as_of"]), "columns as_of, status are missing"),
        (lambda frame: pd.concat([frame, frame]), "has two scores as of"),
        (lambda frame: frame.assign(churn_probability=1.5), r"not within \[0, 1\]"),
        (
            lambda frame: frame.assign(churn_probability="high"),
            "churn_probability must be there once and hold a number",
        ),
        (
            lambda frame: frame.assign(as_of="yesterday"),
            "as_of must be there once and hold a time without zone",
        ),
        (lambda frame: frame.assign(as_of=20240601), "as_of must be there once and hold a time"),
        (
            lambda frame: frame.assign(horizon_days=90.9),
            "horizon_days must be there once and hold whole days",
        ),
        (lambda frame: frame.assign(horizon_days=0), "horizon_days must be above 0, got 0"),
        (lambda frame: frame.assign(as_of=frame["as_of"].where(frame.index % 2 == 0)), "as_of is null in "),
    ],
)
def test_other_files_are_refused(files, tmp_path, change, why):
    with pytest.raises(InputError, match=why) as refusal:
        read_scores(_spoilt(files, tmp_path, change))
    assert "bad.parquet" in str(refusal.value)


def test_no_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="has no Parquet file in it"):
        read_scores(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_scores(tmp_path / "nowhere")
    (tmp_path / "text.parquet").write_text("no such thing")
    with pytest.raises(InputError, match=r"text\.parquet: is no Parquet file"):
        read_scores(tmp_path)


# ------------------------------------------------------------------------------------------------- lights


@pytest.mark.parametrize(
    ("value", "noise", "colour"),
    [
        (None, 0.0, "grey"),
        (0.03, 0.0, "green"),  # at the bound
        (0.031, 0.0, "amber"),
        (0.06, 0.0, "amber"),
        (0.061, 0.0, "red"),
        (0.061, 0.061, "green"),  # within the noise
        (0.07, 0.065, "red"),
        (-0.5, 0.0, "green"),
        (math.inf, 0.0, "red"),
    ],
)
def test_colours_by_hand(value, noise, colour):
    assert replace(NOW, value=value, noise=noise).colour == colour


def test_amber_comes_before_red():
    assert all(0.0 < bound.amber < bound.red for bound in BOUNDS.values())
    assert [bound.name for bound in BOUNDS.values()] == list(BOUNDS)


def test_nothing_is_red_where_nothing_is_wrong(report):
    assert report.red == ()
    assert red_line(report) == "Nothing is red."
    names = {light.name for light in report.lights}
    assert names == set(BOUNDS)
    assert len(report.lights) == 6 + 4 * 3
    assert {light.colour for light in report.lights} <= {"green", "amber"}


def test_scores_the_wrong_way_round_are_red(shop, earlier, past, end):
    turned = [replace(past[0], churn_probability=1.0 - past[0].churn_probability)]
    found = monitor(shop, earlier, end, past_scores=turned)
    assert {light.name for light in found.red} >= {"AUC lost", "calibration", "surprise"}
    assert all(light.at == past[0].as_of for light in found.red)
    assert f"AUC lost of {past[0].as_of.date()} (" in red_line(found)


def test_scores_that_are_too_high_are_red_by_level_not_by_rank(shop, earlier, past, end):
    odds = past[0].churn_probability / (1.0 - past[0].churn_probability) * 4.0
    high = [replace(past[0], churn_probability=odds / (1.0 + odds))]
    found = {light.name: light.colour for light in monitor(shop, earlier, end, past_scores=high).lights}
    assert found["level"] == found["calibration"] == "red"
    assert found["AUC lost"] == "green"


# ------------------------------------------------------------------------------------------------- the report


def test_a_report_says_of_whom_and_what(report, frame, earlier, end):
    assert (report.as_of, report.model_version, report.customers) == (end, "3", len(frame))
    assert report.trained_as_of == end - 150 * DAY
    assert report.drift["weight"].sum() == pytest.approx(1.0)
    assert report.expected.churn_share.estimate == pytest.approx(
        churn_probability(earlier.churn, frame, ahead_days=150.0).mean()
    )
    kinds = report.drift.set_index("column")["kind"]
    assert kinds[["orders_90d", "gap_mean_days", "season_sin", "last_channel"]].tolist() == [
        "number", "history", "calendar", "code",
    ]  # fmt: skip
    assert len(report.matured) == 3


def test_scores_have_not_drifted_at_the_models_own_as_of(shop, models, end):
    found = monitor(shop, models, end)
    assert found.score_drift.value == 0.0
    assert found.matured == found.unjudged == ()


def test_an_earlier_as_of_may_be_the_reference(shop, models, end):
    found = monitor(shop, models, end, reference=end)
    assert (found.drift["psi"].dropna() == 0.0).all()
    assert (found.drift["jensen_shannon"].dropna() == 0.0).all()
    assert found.reference == f"the population as of {end}"


def test_a_shop_without_trees_is_watched_too(shop, earlier, end):
    bare = ChurnModel(None, replace(earlier.churn.card, tree_weight=0.0))
    found = monitor(shop, Models(bare, earlier.timing), end, model_version="3")
    assert found.model_version == "3-mbg_nbd"
    heavy = found.drift[found.drift["weight"] > 0].set_index("column")["weight"]
    assert heavy.to_dict() == pytest.approx(
        dict.fromkeys(["active_days_all", "days_since_first_order", "days_since_last_order"], 1 / 3)
    )
    assert {light.name: light.colour for light in found.lights}["feature drift"] == "grey"


def test_a_model_that_has_seen_the_present_is_refused(shop, models, end):
    with pytest.raises(ModelError, match="later than the as-of"):
        monitor(shop, models, end - DAY)


def test_files_hold_the_report(report, tmp_path):
    written = write_report(report, tmp_path / "new" / "folder")
    assert [path.name for path in written] == list(FILES)
    assert sorted(path.name for path in written[0].parent.iterdir()) == sorted(FILES)
    data = json.loads(written[1].read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert len(data["drift"]) == len(report.drift)
    assert [light["colour"] for light in data["lights"]] == [light.colour for light in report.lights]
    assert data["matured"][0]["auc"]["estimate"] == report.matured[0].auc.estimate
    text = written[0].read_text(encoding="utf-8")
    assert text == page(report)
    assert "No concept drift" in text
    for one in report.matured:
        assert f"| {one.as_of.date()} | 3 | recomputed | {one.rows:,} |" in text
    assert written[2].read_bytes().startswith(b"\x89PNG")
    assert written[2].stat().st_size > 20_000


def test_what_is_undefined_is_null_and_what_is_infinite_a_word(report):
    strange = report.drift.assign(standardised_difference=np.inf, psi=np.nan)
    data = json.loads(to_json(replace(report, drift=strange, expected=None)))
    assert data["drift"][0]["standardised_difference"] == "inf"
    assert data["drift"][0]["psi"] is None
    assert data["expected"] is None


def test_a_report_without_past_scores_says_so(report):
    text = page(replace(report, matured=(), expected=None))
    assert "No outcome of any past score is known yet." in text
    assert "Too few churners" in text


# ------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(shop, registry, trained, monkeypatch):
    """``patron monitor`` on the made-up warehouse, in the registry that the training logged to."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    app = typer.Typer()
    app.command()(command)

    def ran(*arguments):
        given = ["--warehouse", shop.path, "--model", trained.registered.version, *arguments]
        return CliRunner().invoke(app, [str(one) for one in given])

    return ran


def test_the_command_writes_says_and_logs(run, files, registry, trained, tmp_path):
    done = run("--as-of", "2024-07-01", "--scores", files, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    said = done.output.strip().splitlines()
    assert "1 past as-ofs judged, 1 not yet" in said[0]
    assert said[-1] == "Nothing is red."
    client = MlflowClient(registry.uri, registry.uri)
    run_id = said[0].split("(run ")[1].split(")")[0]
    logged = client.get_run(run_id)
    assert logged.info.status == "FINISHED"
    tags = {"kind": "monitor", "as_of": "2024-07-01T00:00:00", "model_version": trained.registered.version}
    assert tags.items() <= logged.data.tags.items()
    assert logged.data.tags["model_run_id"] == trained.registered.run_id
    assert logged.data.metrics["lights_red"] == 0.0
    assert {"auc_lost", "score_drift", "surprise"} <= set(logged.data.metrics)
    assert sorted(one.path for one in client.list_artifacts(run_id, "report")) == sorted(
        f"report/{name}" for name in FILES
    )
    # a report is no model
    assert (
        registry.get(trained.registered.name, "latest", pd.Timestamp("2024-07-01")).version
        == trained.registered.version
    )


def test_the_command_names_what_is_red_and_exits_0(run, files, tmp_path):
    turned = pd.read_parquet(files / "scores_120.parquet")
    turned["churn_probability"] = 1.0 - turned["churn_probability"]
    (tmp_path / "scores").mkdir()
    turned.to_parquet(tmp_path / "scores" / "turned.parquet", index=False)
    done = run("--as-of", "2024-07-01", "--scores", tmp_path / "scores", "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert done.output.strip().splitlines()[-1].startswith("Red: AUC lost of 2024-03-03 (")


def test_the_command_refuses_what_the_function_refuses(run, tmp_path):
    done = run("--as-of", "2024-07-01", "--scores", tmp_path, "--out", tmp_path / "out")
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "out").exists()


def test_scores_are_frozen(past):
    assert isinstance(past[0], PastScores)
    with pytest.raises(AttributeError):
        past[0].horizon_days = 30
