"""Runs and models in a real MLflow store: who is champion, what is refused, and what a run holds."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from numpy.testing import assert_array_equal

from features.contract import Contract, current_contract
from features.errors import ModelError
from training.predict import Models, curves
from training.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, model_name

DAY = pd.Timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_redirection(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def as_of(models, when):
    """The models, as if they had been trained then."""
    return Models(
        *(
            replace(model, card=replace(model.card, as_of=when.isoformat()))
            for model in (models.churn, models.timing)
        )
    )


def cards(models):
    return models.churn.card, models.timing.card


@pytest.fixture
def log(registry, models, request):
    """Log models under a name of this test's own."""

    def logged(when, **tags):
        return registry.log(
            request.node.name,
            as_of(models, when),
            parameters={"as_of": when.isoformat()},
            metrics={"auc": 0.8},
            tags=tags,
            pictures=[],
        )

    return logged


def files(client, run_id, folder=None):
    """Paths of all artifacts of a run."""
    for found in client.list_artifacts(run_id, folder):
        if found.is_dir:
            yield from files(client, run_id, found.path)
        else:
            yield found.path


# ------------------------------------------------------------------------------------------------- names and aliases


def test_the_first_is_champion_the_second_challenger(registry, log, end):
    first, second, third = (log(end - days * DAY) for days in (60, 30, 0))
    assert [one.version for one in (first, second, third)] == ["1", "2", "3"]
    for which, expected in ((CHAMPION, first), (CHALLENGER, third), ("latest", third), ("2", second)):
        found = registry.get(first.name, which, end)
        assert (found.version, found.run_id) == (expected.version, expected.run_id)
        assert cards(found.models) == cards(expected.models)


def test_promote_and_roll_back(registry, log, end):
    first, second = log(end - DAY), log(end)
    assert registry.promote(first.name, CHALLENGER) == second.version
    assert registry.get(first.name, CHAMPION, end).version == second.version
    assert registry.promote(first.name, "1") == first.version
    assert registry.get(first.name, CHAMPION, end).version == first.version
    assert registry.promote(first.name, "latest") == second.version
    assert cards(registry.get(first.name, "1", end).models) == cards(first.models)


def test_one_command_rolls_back(registry, log, end):
    first, second = log(end - DAY), log(end)
    with pytest.raises(ModelError, match="previous"):
        registry.promote(first.name, PREVIOUS)
    registry.promote(first.name, CHALLENGER)
    registry.promote(first.name, CHALLENGER)  # again changes nothing
    assert registry.promote(first.name, PREVIOUS) == first.version
    assert registry.get(first.name, CHAMPION, end).version == first.version
    # ... and forward again
    assert registry.promote(first.name, PREVIOUS) == second.version


def test_the_tenth_version_is_later_than_the_ninth(registry, log, end):
    last = [log(end) for _ in range(10)][-1]
    assert registry.get(last.name, "latest", end).version == "10"


def test_names_hold_the_warehouse():
    assert model_name("shop-0a1b2c") == "patron-shop-0a1b2c"


def test_what_comes_back_predicts_the_same(registry, trained, models, frame, end):
    found = registry.get(trained.registered.name, CHAMPION, end)
    assert cards(found.models) == cards(models)
    for before, after in zip(curves(models, frame), curves(found.models, frame), strict=True):
        assert_array_equal(after, before)


def test_another_process_finds_the_same_store(trained, store, end):
    assert Registry(store).get(trained.registered.name, CHAMPION, end).run_id == trained.registered.run_id


def test_getting_a_model_leaves_nothing_behind(registry, trained, end, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    registry.get(trained.registered.name, CHAMPION, end)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("which", ["2", "0", "staging", CHALLENGER, "latest model", "", "-1", "1.0", "²"])
def test_a_version_that_does_not_exist_is_refused(registry, log, end, which):
    name = log(end).name
    for ask in (lambda: registry.get(name, which, end), lambda: registry.promote(name, which)):
        with pytest.raises(ModelError, match="train one with `patron train`, or choose another of champion"):
            ask()


@pytest.mark.parametrize("which", [CHAMPION, CHALLENGER, "latest", "1"])
@pytest.mark.parametrize("name", ["patron-nowhere", "it's", ""])
def test_a_model_that_does_not_exist_is_refused(registry, end, name, which):
    with pytest.raises(ModelError, match=f"no model {name} '{which}' in sqlite:///"):
        registry.get(name, which, end)


def test_a_model_trained_later_than_the_as_of_is_refused(registry, log, end):
    old, new = log(end - 30 * DAY), log(end)
    says = rf"version 2 was trained as of {end}, later than the as-of 2024-06-30 23:59:59.999999: it has seen what"
    with pytest.raises(ModelError, match=says):
        registry.get(new.name, "latest", end - pd.Timedelta(microseconds=1))
    assert registry.get(new.name, "latest", end).version == new.version
    assert registry.get(new.name, CHAMPION, end - 30 * DAY).version == old.version


# ------------------------------------------------------------------------------------------------- where it is kept


def test_without_the_variable_everything_is_in_the_folder(models, end, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = Registry(Path("kept"))
    found = kept.log("m", models, parameters={}, metrics={}, tags={}, pictures=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["mlartifacts", "mlflow.db"]
    assert cards(kept.get("m", found.version, end).models) == cards(models)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch, registry):
    """A store that the variable names, and a working folder that is neither it nor the registry's."""
    for folder in ("elsewhere", "here"):
        (tmp_path / folder).mkdir()
    # quicker than to make a store
    shutil.copy(registry.uri.removeprefix("sqlite:///"), tmp_path / "elsewhere" / "runs.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere' / 'runs.db'}")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_the_variable_names_the_store(models, end, elsewhere):
    kept = Registry(elsewhere / "folder")
    found = kept.log("m", models, parameters={}, metrics={}, tags={}, pictures=[])
    assert kept.uri == f"sqlite:///{elsewhere / 'elsewhere' / 'runs.db'}"
    assert not (elsewhere / "folder" / "mlflow.db").exists()
    assert Registry(elsewhere / "another").get("m", CHAMPION, end).run_id == found.run_id


def test_a_local_store_keeps_its_files_where_another_working_folder_finds_them(
    models, end, elsewhere, monkeypatch
):
    """A SQLite file is no server that decides where artifacts go: left to itself MLflow takes the working folder."""
    Registry(elsewhere / "folder").log("m", models, parameters={}, metrics={}, tags={}, pictures=[])
    assert list((elsewhere / "here").iterdir()) == []
    monkeypatch.chdir(elsewhere)
    assert cards(Registry(elsewhere / "folder").get("m", CHAMPION, end).models) == cards(models)


# ------------------------------------------------------------------------------------------------- what a run holds


@pytest.fixture(scope="module")
def client(registry):
    return MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)


@pytest.fixture(scope="module")
def run(client, trained):
    return client.get_run(trained.registered.run_id)


def test_the_run_holds_parameters_metrics_and_the_verdict(run, trained, models):
    card = models.churn.card
    expected = {**card.parameters, "as_of": card.as_of, "target": "churn_90d", "population": "active-365d"}
    expected |= {"rows": card.rows, "cutoffs": len(card.cutoffs), "features": len(card.contract.names)}
    expected |= {
        "contract": current_contract().digest,
        "timing_periods": models.timing.card.periods,
        "trials": 0,
    }
    assert run.data.params == {name: str(value) for name, value in expected.items()}
    folds = {name: value for name, value in run.data.metrics.items() if name.startswith("fold_")}
    assert set(folds) == {"fold_log_loss", "fold_ece"}
    value = models.value.card.metrics
    assert run.data.metrics == trained.comparison.flat() | trained.timing.flat() | folds | value
    assert run.data.tags["gates"] == "passed"
    assert run.info.status == "FINISHED"


def test_the_run_holds_the_model_and_the_pictures_as_files_anybody_can_read(client, run, tmp_path):
    expected = ["model/MODEL_CARD.md", "model/VALUE_CARD.md", "model/files.json"]
    models = ("churn", "timing", "value")
    expected += [f"model/{name}_{part}" for name in models for part in ("card.json", "trees.txt")]
    expected += [f"pictures/{name}.png" for name in ("calibration", "lift", "survival")]
    assert sorted(files(client, run.info.run_id)) == sorted(expected)
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    for path in expected:
        content = (folder / path).read_bytes()
        if path.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert content.decode("utf-8").isprintable() or "\n" in content.decode("utf-8")
            assert b"\x00" not in content
    for name in ("churn", "timing"):
        contract = json.loads((folder / f"model/{name}_card.json").read_text())["contract"]
        assert (
            Contract(
                **{key: tuple(part) if isinstance(part, list) else part for key, part in contract.items()}
            )
            == current_contract()
        )


def test_the_registered_version_points_at_the_runs_model(client, trained):
    registered = trained.registered
    version = client.get_model_version(registered.name, registered.version)
    assert version.run_id == registered.run_id
    assert version.source.endswith(f"{registered.run_id}/artifacts/model")
    assert client.get_experiment_by_name(registered.name) is not None


def test_tags_are_kept(client, log, end):
    assert client.get_run(log(end, gates="not passed").run_id).data.tags["gates"] == "not passed"
