"""Runs and models in MLflow: the only file that knows it. A model is its folder of text files; nothing is pickled."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from features.errors import ModelError
from training.predict import Models, load_models, save_models

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Registered", "Registry", "model_name"]

CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS = "previous"
"""The champion before the last promotion: what promoting rolls back to."""


@dataclass(frozen=True)
class Registered:
    """The models of one training and where they came from."""

    models: Models
    name: str
    version: str
    run_id: str


def model_name(warehouse_id: str) -> str:
    """Return the name under which a warehouse's models are registered, all of a training as one version."""
    return f"patron-{warehouse_id}"


class Registry:
    """The MLflow store that ``MLFLOW_TRACKING_URI`` names, or else a SQLite file in the given folder.

    Parameters
    ----------
    folder
        Holds ``mlflow.db`` when the variable is not set, ``tuning.log`` where something was tuned, and ``mlartifacts/`` unless a server keeps the artifacts.
    """

    def __init__(self, folder: Path) -> None:
        for noisy in ("alembic", "mlflow"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self.folder = folder
        self._artifacts = (folder / "mlartifacts").absolute()
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        with _quiet():
            self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def log(
        self,
        name: str,
        models: Models,
        *,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        pictures: Sequence[Path],
        by_cutoff: Mapping[str, Sequence[float]] | None = None,
        trials: Sequence[tuple[Mapping[str, float | int], float]] = (),
    ) -> Registered:
        """Log a run, register its models as one, and make it champion if it is the first, challenger otherwise.

        Parameters
        ----------
        pictures
            Files logged beside the model.
        by_cutoff
            Metrics of each forward fold, oldest first: logged as steps.
        trials
            Parameters and logloss of each trial of a tuning: runs below this one.
        """
        with _quiet():
            run_id = self._client.create_run(self._experiment(name), tags=dict(tags)).info.run_id
            for key, value in parameters.items():
                self._client.log_param(run_id, key, value)
            for key, number in metrics.items():
                self._client.log_metric(run_id, key, number)
            with tempfile.TemporaryDirectory() as scratch:
                save_models(models, Path(scratch))
                self._client.log_artifacts(run_id, scratch, "model")
            for key, values in (by_cutoff or {}).items():
                for step, number in enumerate(values):
                    self._client.log_metric(run_id, key, number, step=step)
            for number, (tried, log_loss) in enumerate(trials):
                self._log_trial(name, run_id, number, tried, log_loss)
            for picture in pictures:
                self._client.log_artifact(run_id, str(picture), "pictures")
            self._client.set_terminated(run_id)
            version = self._register(name, run_id)
        return Registered(models, name, version, run_id)

    def get(self, name: str, which: str, as_of: pd.Timestamp) -> Registered:
        """Return a registered model that may score as of this instant.

        Parameters
        ----------
        which
            ``champion``, ``challenger``, ``previous``, ``latest`` or a version number.

        Raises
        ------
        ModelError
            No such model, or one that has seen data at or after ``as_of``.
        """
        with _quiet():
            version = self._version(name, which)
            run_id = str(version.run_id)
            with tempfile.TemporaryDirectory() as scratch:
                models = load_models(Path(self._client.download_artifacts(run_id, "model", scratch)))
        trained = pd.Timestamp(models.churn.card.as_of)
        if trained > as_of:
            raise ModelError(
                f"{name} version {version.version} was trained as of {trained}, later than the as-of {as_of}: it has seen "
                "what it would predict. Choose an older version with --model, or a later --as-of."
            )
        return Registered(models, name, str(version.version), run_id)

    def champion(self, name: str) -> str | None:
        """Return the champion's version; None without one."""
        with _quiet():
            found = self._client.get_registered_model(name).aliases.get(CHAMPION)
        return None if found is None else str(found)

    def promote(self, name: str, which: str) -> str:
        """Make a version the champion and return its number; the one before can be had back as ``previous``."""
        with _quiet():
            version = str(self._version(name, which).version)
            before = self._client.get_registered_model(name).aliases.get(CHAMPION)
            if before is not None and str(before) != version:
                self._client.set_registered_model_alias(name, PREVIOUS, str(before))
            self._client.set_registered_model_alias(name, CHAMPION, version)
        return version

    def log_report(
        self, name: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], files: Sequence[Path]
    ) -> str:
        """Log a monitoring report beside the trainings of a model, and return its run id; no model is registered.

        Parameters
        ----------
        tags
            Beside ``kind``, which is ``monitor``: what tells such a run from a training.
        files
            The report's, kept under ``report``.
        """
        with _quiet():
            run = self._client.create_run(self._experiment(name), tags={**tags, "kind": "monitor"})
            run_id = str(run.info.run_id)
            for key, number in metrics.items():
                self._client.log_metric(run_id, key, number)
            for path in files:
                self._client.log_artifact(run_id, str(path), "report")
            self._client.set_terminated(run_id)
        return run_id

    def _log_trial(
        self, name: str, parent: str, number: int, tried: Mapping[str, float | int], log_loss: float
    ) -> None:
        tags = {"mlflow.parentRunId": parent, "mlflow.runName": f"trial {number}"}
        run_id = self._client.create_run(self._experiment(name), tags=tags).info.run_id
        for key, value in tried.items():
            self._client.log_param(run_id, key, value)
        self._client.log_metric(run_id, "log_loss", log_loss)
        self._client.set_terminated(run_id)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # a tracking server decides itself where artifacts go; a bare database would take the working folder
        location = None if self.uri.startswith("http") else (self._artifacts / name).as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _register(self, name: str, run_id: str) -> str:
        try:
            self._client.create_registered_model(name)
        except MlflowException as problem:
            if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(run_id).info.artifact_uri}/model"
        version = str(self._client.create_model_version(name, source, run_id).version)
        # asked, not remembered: an earlier training may have died between the name and its first version
        alias = CHALLENGER if CHAMPION in self._client.get_registered_model(name).aliases else CHAMPION
        self._client.set_registered_model_alias(name, alias, version)
        return version

    def _version(self, name: str, which: str) -> ModelVersion:
        try:
            if which == "latest":
                versions = self._client.search_model_versions(f"name = '{name}'")
                return max(versions, key=lambda version: int(version.version))
            if which.isdecimal():
                return self._client.get_model_version(name, which)
            return self._client.get_model_version_by_alias(name, which)
        except (MlflowException, ValueError) as problem:
            raise ModelError(
                f"no model {name} {which!r} in {self.uri}: train one with `patron train`, or choose another of champion, challenger, "
                "previous (there is one after a promotion), latest and the version numbers with --model"
            ) from problem


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's own deprecations out of the user's sight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
