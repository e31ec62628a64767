"""Hyperparameters by Optuna: logloss of the forward predictions, seeded, bad trials pruned, resumed where it was cut off."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from features.errors import InputError
from training.calibration import PlattCalibration, apply
from training.churn import PARAMETERS, fold_predictions, levelled
from training.metrics import log_loss
from training.preparation import Prepared

__all__ = ["Tuned", "tune"]

Progress = Callable[[int, int, float], None]

_FIXED = ("seed", "max_bin")


@dataclass(frozen=True)
class Tuned:
    """The best parameters, as ``training.churn.PARAMETERS``, and every trial that ran to its end, with its logloss."""

    parameters: Mapping[str, float | int]
    trials: tuple[tuple[Mapping[str, float | int], float], ...] = ()


def tune(
    prepared: Prepared, trials: int, progress: Progress | None = None, *, journal: Path | None = None
) -> Tuned:
    """Search around the default parameters, which are the first trial.

    Parameters
    ----------
    progress
        Called with the trials done, the trials in all and the best logloss so far.
    journal
        File that keeps the trials: a search of the same rows that was interrupted goes on where it was. None keeps nothing.
    """
    if next(fold_predictions(prepared, PARAMETERS), None) is None:
        return Tuned(dict(PARAMETERS))  # the history is too short for a forward step: nothing to tune by
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(prepared, journal)
    done = _ended(study)
    # seeded alike, a search that goes on would try the same parameters again
    study.sampler = optuna.samplers.TPESampler(seed=int(PARAMETERS["seed"]) + done)
    if not done:
        study.enqueue_trial({name: value for name, value in PARAMETERS.items() if name not in _FIXED})

    def objective(trial: optuna.Trial) -> float:
        return _objective(trial, prepared)

    def report(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if progress is not None:
            progress(_ended(study), trials, study.best_value)

    study.optimize(objective, n_trials=max(trials - done, 0), callbacks=[report])
    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return Tuned(
        {**PARAMETERS, **study.best_params},
        tuple((one.params, float(one.value)) for one in finished if one.value is not None),
    )


def _ended(study: optuna.Study) -> int:
    """Return how many trials ended, be it by pruning; of one that was cut off nothing is kept."""
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(states=states))


def _study(prepared: Prepared, journal: Path | None) -> optuna.Study:
    """Open the search of these very rows."""
    digest = hashlib.sha256(prepared.x.tobytes()).hexdigest()[:16]
    storage = None
    if journal is not None:
        try:
            storage = JournalStorage(JournalFileBackend(str(journal)))
        except ValueError as problem:
            raise InputError(
                f"{journal} cannot be read ({problem}): delete it, and the search begins anew"
            ) from problem
    return optuna.create_study(
        study_name=f"churn {prepared.panel.as_of.isoformat()} {digest}",
        direction="minimize",
        storage=storage,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    )


def _objective(trial: optuna.Trial, prepared: Prepared) -> float:
    parameters = _suggest(trial)
    losses = []
    for step, (_, rows, logits) in enumerate(fold_predictions(prepared, parameters)):
        probability = apply(levelled(PlattCalibration(), logits, prepared.ahead[rows]), logits)
        losses.append(log_loss(prepared.panel.y[rows], probability))
        trial.report(float(np.mean(losses)), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(losses))


def _suggest(trial: optuna.Trial) -> Mapping[str, float | int]:
    return {
        **PARAMETERS,
        "num_boost_round": trial.suggest_int("num_boost_round", 40, 400, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 31, log=True),
        "min_share_in_leaf": trial.suggest_float("min_share_in_leaf", 0.002, 0.05, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
    }
