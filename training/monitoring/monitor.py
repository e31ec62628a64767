"""Is the model still right? What it is fed, what it may be expected to achieve, and what its past scores achieved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build
from features.catalogue import FACTS, FEATURES, names
from features.errors import ModelError
from features.warehouse import Warehouse
from training.components import ChurnModel, churn_probability
from training.monitoring.drift import Divergence, drift, population_stability
from training.monitoring.expected import Expected, expected_performance, is_enough
from training.monitoring.lights import Light, lights_now, lights_then
from training.monitoring.matured import Matured, PastScores, Unjudged, days_ahead, hold_against, rescored
from training.predict import Models

__all__ = ["Report", "monitor"]

Floats = NDArray[np.float64]

REFERENCE_CUTOFFS = 13
"""Cutoffs of the training panel that are held against now: the last year's, so that each season has its share."""

_BASELINE_FEATURES = ("active_days_all", "days_since_first_order", "days_since_last_order")


@dataclass(frozen=True, eq=False)
class Report:
    """What a monitoring found.

    Attributes
    ----------
    reference
        What the features of now are held against, in words.
    customers
        The population at ``as_of``: whom the model scores now.
    drift
        ``training.monitoring.drift.DRIFT_COLUMNS`` and ``weight``, the column's share in the model; heaviest movers first. A number
        that looks at the whole history is of kind ``history``: it lengthens as a shop grows old.
    score_drift
        PSI of the probabilities against those at the model's own as-of.
    expected
        None where too few churners or others are expected.
    matured, unjudged
        Past scores, judged or not yet, oldest first.
    """

    as_of: pd.Timestamp
    warehouse_id: str
    model_version: str
    trained_as_of: pd.Timestamp
    reference: str
    customers: int
    drift: pd.DataFrame
    score_drift: Divergence
    expected: Expected | None
    matured: tuple[Matured, ...]
    unjudged: tuple[Unjudged, ...]
    lights: tuple[Light, ...]

    @property
    def red(self) -> tuple[Light, ...]:
        """The lights that are red."""
        return tuple(light for light in self.lights if light.colour == "red")

    def metrics(self) -> dict[str, float]:
        """Return the figures under flat names, for tracking; those of past scores are the latest's."""
        latest = max((light.at for light in self.lights if light.at is not None), default=None)
        figures = {
            light.name.replace(" ", "_").lower(): light.value
            for light in self.lights
            if light.value is not None and light.at in (None, latest)
        }
        colours = [light.colour for light in self.lights]
        counts = {f"lights_{colour}": float(colours.count(colour)) for colour in ("green", "amber", "red")}
        return figures | counts | {"customers": float(self.customers)}


def monitor(
    warehouse: Warehouse,
    models: Models,
    as_of: pd.Timestamp,
    *,
    past_scores: Sequence[PastScores] | None = None,
    reference: pd.Timestamp | None = None,
    model_version: str = "",
    seed: int = 1,
) -> Report:
    """Hold the population of now against the training's, and past scores against what has happened since.

    Parameters
    ----------
    past_scores
        As they were given (``training.monitoring.matured.read_scores``); None: the model is asked again at the as-ofs from its own on.
    reference
        An earlier as-of to hold the features of now against; None: the last year of the training panel's cutoffs.
    model_version
        As the registry names it.

    Raises
    ------
    ModelError
        The model has seen data at or after ``as_of``.
    InputError
        Nobody is in the population.
    """
    model, trained = models.churn, pd.Timestamp(models.churn.card.as_of)
    _refuse_later(trained, as_of)
    now = _population(warehouse, model, [as_of])
    p = churn_probability(model, now, ahead_days=days_ahead(model, as_of))
    moved, said = _drift(warehouse, model, now, reference)
    score_drift = population_stability(_scores_then(warehouse, model), p)
    expected = expected_performance(p, np.random.default_rng(seed)) if is_enough(p) else None
    version = models.label(model_version)
    scores = rescored(warehouse, model, as_of, version) if past_scores is None else past_scores
    matured, unjudged = hold_against(warehouse, scores, as_of, seed=seed)
    lights = (
        *lights_now(moved, score_drift, expected, model.card.metrics),
        *(light for one in matured for light in lights_then(one)),
    )
    return Report(
        as_of, warehouse.settings().warehouse_id, version, trained, said, len(now), moved, score_drift, expected,
        tuple(matured), tuple(unjudged), lights,
    )  # fmt: skip


def _refuse_later(trained: pd.Timestamp, as_of: pd.Timestamp) -> None:
    if trained > as_of:
        raise ModelError(
            f"the model was trained as of {trained}, later than the as-of {as_of} of the monitoring: choose a later --as-of "
            "or an older --model"
        )


def _population(warehouse: Warehouse, model: ChurnModel, cutoffs: Sequence[pd.Timestamp]) -> pd.DataFrame:
    words = [fact.name for fact in FACTS if fact.is_text]
    return build(warehouse, cutoffs, population=model.card.population, columns=[*names(), *words])


def _drift(
    warehouse: Warehouse, model: ChurnModel, now: pd.DataFrame, reference: pd.Timestamp | None
) -> tuple[pd.DataFrame, str]:
    """Return the drift table with the columns' weights, heaviest movers first, and what now is held against."""
    cutoffs = [pd.Timestamp(at) for at in model.card.cutoffs[-REFERENCE_CUTOFFS:]]
    said = f"the training's {len(cutoffs)} cutoffs from {cutoffs[0].date()} to {cutoffs[-1].date()}"
    if reference is not None:
        cutoffs, said = [reference], f"the population as of {reference}"
    table = drift(_population(warehouse, model, cutoffs), now)
    whole = [feature.name for feature in FEATURES if feature.window_days is None]
    weight = table["column"].map(_weights(model)).fillna(0.0)
    ages = (table["kind"] == "number") & table["column"].isin(whole)
    order = (weight * table["psi"].fillna(0.0)).sort_values(ascending=False, kind="stable").index
    table = table.assign(kind=table["kind"].mask(ages, "history"), weight=weight)
    return table.loc[order].reset_index(drop=True), said


def _weights(model: ChurnModel) -> Mapping[str, float]:
    """Return each feature's share in the model: of the trees' gain, and of what MBG/NBD looks at, as they are blended."""
    card = model.card
    weights = dict.fromkeys(card.contract.names, 0.0)
    if model.trees is not None:
        gain = np.asarray(model.trees.feature_importance("gain"), dtype=np.float64)
        shares = card.tree_weight * gain / max(float(gain.sum()), np.finfo(np.float64).tiny)
        weights = dict(zip(card.contract.names, shares.tolist(), strict=True))
    for name in _BASELINE_FEATURES:
        weights[name] += (1.0 - card.tree_weight) / len(_BASELINE_FEATURES)
    return weights


def _scores_then(warehouse: Warehouse, model: ChurnModel) -> Floats:
    """Return the probabilities of the population at the model's own as-of: what it was made to say."""
    then = build(warehouse, [pd.Timestamp(model.card.as_of)], population=model.card.population)
    return churn_probability(model, then)
