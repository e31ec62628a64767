"""The steps behind ``patron train`` and ``patron backtest``: prepare, tune, judge, fit, register."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.build import order_span
from features.errors import ContractError, InputError, ModelError, TooLittleHistory
from features.warehouse import Warehouse
from training.calibration import PlattCalibration, expit
from training.churn import PARAMETERS, Forward, forward_predictions, train
from training.components import ChurnModel, baseline_logit, history_weeks
from training.evaluate import SLICES, Comparison, TimingComparison, compare, compare_timing
from training.evidence import gather
from training.gates import Verdict, judge
from training.metrics import expected_calibration_error, log_loss
from training.plots import plot_calibration, plot_lift, plot_survival
from training.predict import Models, curves
from training.preparation import Prepared, prepare
from training.registry import CHAMPION, Registered, Registry, model_name
from training.survival import baseline_log_survival
from training.targets import CHURN_90D, labels, next_orders
from training.timing import (
    TIMING_PARAMETERS,
    TimingPanel,
    Waiting,
    at_risk,
    forward_timing,
    kaplan_meier,
    prepare_timing,
    train_timing,
)
from training.tuning import Tuned, tune
from training.value.fit import VALUE_PARAMETERS, forward_value, train_value
from training.value.forward import forward_figures
from training.value.panel import prepare_value
from training.value.predict import ValueModel

__all__ = [
    "Fitted",
    "Outcome",
    "Training",
    "backtest_origin",
    "fit_models",
    "outcome",
    "refuse_open_horizon",
    "train_and_register",
]

_MIN_OF_EACH = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """What came out of a training; the figures are None where the history is too short for any.

    ``champion`` tells whether the models are the champion now: the first ones are, whatever the gates say.
    """

    registered: Registered
    comparison: Comparison | None
    timing: TimingComparison | None
    verdicts: list[Verdict]
    champion: bool


@dataclass(frozen=True)
class Outcome:
    """Models at an origin, held against what happened in the horizon after it.

    Attributes
    ----------
    y, model, baseline
        Outcomes and the probabilities of churn of both, n.
    slices
        Slice name -> comparison on those customers only.
    timing
        The time of the next order, beside MBG/NBD's and Kaplan and Meier's.
    """

    origin: pd.Timestamp
    y: np.ndarray[tuple[int], np.dtype[np.int8]]
    model: np.ndarray[tuple[int], np.dtype[np.float64]]
    baseline: np.ndarray[tuple[int], np.dtype[np.float64]]
    comparison: Comparison
    slices: Mapping[str, Comparison]
    timing: TimingComparison


KINDS: Mapping[str, str] = {
    "regular, bought lately": "orders_all >= 6 and overdue_ratio < 0.5",
    "regular, overdue": "orders_all >= 6 and 2 < overdue_ratio < 5",
    "one order, not long ago": "orders_all == 1 and days_since_last_order < 60",
    "silent for months": "days_since_last_order > 240",
}
"""Customers whose survival curves are drawn: the first of each kind."""


@dataclass(frozen=True)
class Fitted:
    """Models, what they were trained on, and what their forward predictions say of them."""

    prepared: Prepared
    panel: TimingPanel
    models: Models
    forward: Forward | None
    waiting: Waiting | None
    comparison: Comparison | None
    timing: TimingComparison | None
    trials: tuple[tuple[Mapping[str, float | int], float], ...] = ()


def train_and_register(
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    registry: Registry,
    *,
    pictures: Path,
    trials: int = 0,
    promote: bool = False,
    say: Say = lambda _: None,
) -> Training:
    """Train on what was known before ``as_of``, judge by forward predictions, register.

    Parameters
    ----------
    pictures
        Folder for ``calibration.png``, ``lift.png`` and ``survival.png`` of the forward predictions, which are logged too.
    trials
        Optuna trials; 0 takes the default parameters. An interrupted search goes on where it was.
    promote
        Make the models champion if they hold every gate.
    say
        Told in words what is being done.
    """
    name = model_name(warehouse.settings().warehouse_id)
    fitted = fit_models(warehouse, as_of, trials=trials, journal=registry.folder / "tuning.log", say=say)
    verdicts = []
    if fitted.forward is not None and fitted.comparison is not None and fitted.timing is not None:
        champion = _champion(registry, name, as_of)
        verdicts = judge(gather(fitted.prepared, fitted.forward, fitted.comparison, fitted.timing, champion))
    say("registering the models")
    passed = bool(verdicts) and all(verdict.passed for verdict in verdicts)
    registered = registry.log(
        name,
        fitted.models,
        parameters={**fitted.models.churn.card.parameters, **_logged(fitted.models), "trials": trials},
        metrics={
            name: value
            for model in (fitted.models.churn, fitted.models.timing, fitted.models.value)
            if model is not None
            for name, value in model.card.metrics.items()
        },
        tags={"gates": "passed" if passed else "not passed"},
        pictures=_draw(fitted, pictures),
        by_cutoff=_by_cutoff(fitted),
        trials=fitted.trials,
    )
    if promote and passed:
        registry.promote(name, registered.version)
    standing = registry.champion(name) == registered.version
    return Training(registered, fitted.comparison, fitted.timing, verdicts, standing)


def _champion(registry: Registry, name: str, as_of: pd.Timestamp) -> ChurnModel | None:
    """Return the champion's churn model; None if there is none, or none that today's features fit."""
    try:
        return registry.get(name, CHAMPION, as_of).models.churn
    except (ModelError, ContractError):
        return None


def _by_cutoff(fitted: Fitted) -> dict[str, list[float]]:
    """Return the figures of each forward fold, oldest first."""
    forward = fitted.forward
    if forward is None:
        return {}
    found: dict[str, list[float]] = {}
    for fold in np.unique(forward.fold):
        y, p = (part[forward.fold == fold] for part in (forward.y, forward.probability))
        figures = {"log_loss": log_loss(y, p), "ece": expected_calibration_error(y, p)}
        for name, value in figures.items():
            found.setdefault(f"fold_{name}", []).append(value)
    return found


def _draw(fitted: Fitted, folder: Path) -> list[Path]:
    """Draw the forward predictions, if there are any, and return the files."""
    forward, waiting = fitted.forward, fitted.waiting
    if forward is None or waiting is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [folder / "calibration.png", folder / "lift.png", folder / "survival.png"]
    churn = {"Patron": forward.probability, "MBG/NBD": forward.baseline_probability}
    plot_calibration(forward.y, churn, drawn[0], "Calibration of forward predictions")
    plot_lift(forward.y, churn, drawn[1], "Churners reached by forward predictions")
    hazards = {}
    panel = fitted.prepared.panel
    latest = panel.frame[panel.frame["cutoff"] == panel.cutoffs[-1]]
    for kind, condition in KINDS.items():
        found = latest.query(condition).head(1)
        if len(found):
            hazards[kind] = curves(fitted.models, found)[1][0]
    means = {"Patron": waiting.model, "MBG/NBD": waiting.baseline}
    plot_survival(hazards, waiting.days, means, drawn[2])
    return drawn


def backtest_origin(
    warehouse: Warehouse, origin: pd.Timestamp, *, trials: int = 0, say: Say = lambda _: None
) -> Outcome:
    """Train as of an origin, score its population, and look at what happened in the horizon after it.

    Raises
    ------
    InputError
        The warehouse's orders end before the horizon does: who has not ordered yet has not churned yet.
    """
    refuse_open_horizon(warehouse, origin)
    return outcome(warehouse, fit_models(warehouse, origin, trials=trials, say=say))


def outcome(warehouse: Warehouse, fitted: Fitted) -> Outcome:
    """Score the population of the instant that models were trained as of, and look at what happened in the horizon after it."""
    models, frame = fitted.models, fitted.prepared.present.frame
    y = labels(warehouse, frame, CHURN_90D)
    p, hazard = curves(models, frame, threads=0)
    baseline = expit(baseline_logit(models.churn.card.baseline, frame, CHURN_90D.horizon_days))
    customers = frame["customer_id"].to_numpy()
    waiting = Waiting.of(
        next_orders(warehouse, frame, CHURN_90D.horizon_days).days,
        model=hazard,
        baseline=-baseline_log_survival(models.timing.card.baseline, history_weeks(frame)),
        everybody=kaplan_meier(*at_risk(fitted.panel.orders)),
    )
    return Outcome(
        fitted.prepared.panel.as_of,
        y,
        model=p,
        baseline=baseline,
        comparison=compare(y, p, baseline, customers),
        slices=_slices(frame, y, p, baseline),
        timing=compare_timing(waiting, customers),
    )


def _slices(
    frame: pd.DataFrame,
    y: np.ndarray[tuple[int], np.dtype[np.int8]],
    p: np.ndarray[tuple[int], np.dtype[np.float64]],
    baseline: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> dict[str, Comparison]:
    customers, slices = frame["customer_id"].to_numpy(), {}
    for name, condition in SLICES.items():
        rows = np.asarray(frame.eval(condition), dtype=np.bool_)
        # below it a bootstrap finds one class only
        if min(y[rows].sum(), (1 - y[rows]).sum()) >= _MIN_OF_EACH:
            slices[name] = compare(y[rows], p[rows], baseline[rows], customers[rows])
    return slices


def refuse_open_horizon(warehouse: Warehouse, origin: pd.Timestamp) -> None:
    """Refuse an origin whose horizon is not over: who has not ordered yet has not churned yet."""
    span, over = order_span(warehouse), origin + pd.Timedelta(days=CHURN_90D.horizon_days)
    if span is not None and span[1] < over:
        raise InputError(
            f"origin {origin} cannot be judged: its {CHURN_90D.horizon_days} days end at {over}, and the orders in "
            f"{warehouse.path} end at {span[1]}; choose an earlier --origin"
        )


def fit_models(
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    *,
    trials: int = 0,
    journal: Path | None = None,
    say: Say = lambda _: None,
) -> Fitted:
    """Tune if asked, predict forward, fit on all that is known; arguments as of ``train_and_register`` and ``tune``."""
    warehouse_id = warehouse.settings().warehouse_id
    say("building features at the training cutoffs")
    prepared = prepare(warehouse, as_of)
    panel = prepare_timing(warehouse, prepared)
    tuned = Tuned(PARAMETERS)
    if trials and not prepared.baseline_only:
        tuned = tune(
            prepared,
            trials,
            lambda done, of, best: say(f"trial {done} of {of}, logloss {best:.4f}"),
            journal=journal,
        )
    parameters = tuned.parameters
    say("predicting forward, to judge and to calibrate")
    forward = forward_predictions(prepared, parameters)
    waiting = comparison = timing = None
    if forward is not None:
        waiting = forward_timing(panel, forward, TIMING_PARAMETERS)
        comparison = compare(
            forward.y, forward.probability, forward.baseline_probability, forward.customer_id
        )
        timing = compare_timing(waiting, forward.customer_id)
    say("fitting on all that is known")
    calibration = forward.calibration if forward is not None else PlattCalibration()
    models = Models(
        train(prepared, warehouse_id, parameters, calibration, comparison.flat() if comparison else {}),
        train_timing(panel, prepared, warehouse_id, TIMING_PARAMETERS, timing.flat() if timing else {}),
        _fit_value(warehouse, prepared, say),
    )
    return Fitted(prepared, panel, models, forward, waiting, comparison, timing, tuned.trials)


def _fit_value(warehouse: Warehouse, prepared: Prepared, say: Say) -> ValueModel | None:
    """Fit the value model; None, which is said, where hardly anybody ever spent anything."""
    say("predicting what will be spent")
    try:
        value = prepare_value(warehouse, prepared)
    except TooLittleHistory as problem:
        say(f"no value model: {problem}")
        return None
    forward = forward_value(value, VALUE_PARAMETERS)
    return train_value(value, forward, VALUE_PARAMETERS, forward_figures(forward))


def _logged(models: Models) -> dict[str, object]:
    """Return what a run is found by."""
    card = models.churn.card
    return {
        "as_of": card.as_of,
        "target": card.target,
        "population": card.population,
        "rows": card.rows,
        "cutoffs": len(card.cutoffs),
        "features": len(card.contract.names),
        "contract": card.contract.digest,
        "timing_periods": models.timing.card.periods,
    }
