"""The steps behind ``patron train`` and ``patron backtest``: prepare, tune, judge, fit, register."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.build import build, order_span
from features.errors import InputError
from features.warehouse import Warehouse
from training.calibration import PlattCalibration, expit
from training.churn import PARAMETERS, Forward, Prepared, forward_predictions, prepare, train
from training.evaluate import Comparison, compare
from training.gates import Verdict, judge
from training.plots import plot_calibration, plot_lift
from training.predict import ChurnModel, baseline_logit, churn_probability
from training.registry import Registered, Registry, churn_name
from training.targets import CHURN_90D, labels
from training.tuning import tune

__all__ = ["Outcome", "Training", "backtest_origin", "train_and_register"]

_MIN_OF_EACH = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """What came out of a training; ``forward`` figures are None where the history is too short for any."""

    registered: Registered
    comparison: Comparison | None
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Outcome:
    """A model at an origin, held against what happened in the horizon after it.

    Attributes
    ----------
    y, model, baseline
        Outcomes and the probabilities of both, n.
    slices
        Slice name -> comparison on those customers only.
    """

    origin: pd.Timestamp
    y: np.ndarray[tuple[int], np.dtype[np.int8]]
    model: np.ndarray[tuple[int], np.dtype[np.float64]]
    baseline: np.ndarray[tuple[int], np.dtype[np.float64]]
    comparison: Comparison
    slices: Mapping[str, Comparison]


SLICES: Mapping[str, str] = {
    "bought in the last 90 days": "days_since_last_order <= 90",
    "bought in the last 180 days": "days_since_last_order <= 180",
    "one-time buyers": "orders_all == 1",
    "repeat buyers": "orders_all > 1",
}


def train_and_register(
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    registry: Registry,
    *,
    pictures: Path,
    trials: int = 0,
    say: Say = lambda _: None,
) -> Training:
    """Train on what was known before ``as_of``, judge by forward predictions, register.

    Parameters
    ----------
    pictures
        Folder for ``calibration.png`` and ``lift.png`` of the forward predictions, which are logged too.
    trials
        Optuna trials; 0 takes the default parameters.
    say
        Told in words what is being done.
    """
    warehouse_id = warehouse.settings().warehouse_id
    say("building features at the training cutoffs")
    prepared = prepare(warehouse, as_of)
    model, forward, comparison = _fit(prepared, warehouse_id, trials, say)
    verdicts = judge(comparison, prepared) if comparison is not None else []
    say("registering the model")
    drawn = [pictures / "calibration.png", pictures / "lift.png"] if forward is not None else []
    if forward is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        curves = {"Patron": forward.probability, "MBG/NBD": forward.baseline_probability}
        plot_calibration(forward.y, curves, drawn[0], "Calibration of forward predictions")
        plot_lift(forward.y, curves, drawn[1], "Churners reached by forward predictions")
    registered = registry.log(
        churn_name(warehouse_id),
        model,
        parameters={**model.card.parameters, **_logged(model), "trials": trials},
        metrics=model.card.metrics,
        tags={
            "gates": "passed" if verdicts and all(verdict.passed for verdict in verdicts) else "not passed"
        },
        pictures=drawn,
    )
    return Training(registered, comparison, verdicts)


def backtest_origin(
    warehouse: Warehouse, origin: pd.Timestamp, *, trials: int = 0, say: Say = lambda _: None
) -> Outcome:
    """Train as of an origin, score its population, and look at what happened in the horizon after it.

    Raises
    ------
    InputError
        The warehouse's orders end before the horizon does: who has not ordered yet has not churned yet.
    """
    _refuse_open_horizon(warehouse, origin)
    prepared = prepare(warehouse, origin)
    model, _, _ = _fit(prepared, warehouse.settings().warehouse_id, trials, say)
    frame = build(warehouse, [origin], population=CHURN_90D.population)
    y = labels(warehouse, frame, CHURN_90D)
    p = churn_probability(model, frame, threads=0)
    baseline = expit(baseline_logit(model.card.baseline, frame, CHURN_90D.horizon_days))
    customers = frame["customer_id"].to_numpy()
    slices = {}
    for name, condition in SLICES.items():
        rows = np.asarray(frame.eval(condition), dtype=np.bool_)
        if (
            min(y[rows].sum(), (1 - y[rows]).sum()) >= _MIN_OF_EACH
        ):  # below it a bootstrap finds one class only
            slices[name] = compare(y[rows], p[rows], baseline[rows], customers[rows])
    return Outcome(origin, y, p, baseline, compare(y, p, baseline, customers), slices)


def _refuse_open_horizon(warehouse: Warehouse, origin: pd.Timestamp) -> None:
    span, over = order_span(warehouse), origin + pd.Timedelta(days=CHURN_90D.horizon_days)
    if span is not None and span[1] < over:
        raise InputError(
            f"origin {origin} cannot be judged: its {CHURN_90D.horizon_days} days end at {over}, and the orders in "
            f"{warehouse.path} end at {span[1]}; choose an earlier --origin"
        )


def _fit(
    prepared: Prepared, warehouse_id: str, trials: int, say: Say
) -> tuple[ChurnModel, Forward | None, Comparison | None]:
    """Tune if asked, predict forward, fit on all mature rows."""
    parameters = PARAMETERS
    if trials:
        parameters = tune(
            prepared, trials, lambda done, of, best: say(f"trial {done} of {of}, logloss {best:.4f}")
        )
    say("predicting forward, to judge and to calibrate")
    forward = forward_predictions(prepared, parameters)
    comparison = None
    if forward is not None:
        comparison = compare(
            forward.y, forward.probability, forward.baseline_probability, forward.customer_id
        )
    metrics = comparison.flat() if comparison is not None else {}
    calibration = forward.calibration if forward is not None else PlattCalibration()
    say("fitting on all mature rows")
    return train(prepared, warehouse_id, parameters, calibration, metrics), forward, comparison


def _logged(model: ChurnModel) -> dict[str, object]:
    """Return what a run is found by."""
    card = model.card
    return {
        "as_of": card.as_of,
        "target": card.target,
        "population": card.population,
        "rows": card.rows,
        "cutoffs": len(card.cutoffs),
        "features": len(card.contract.names),
        "contract": card.contract.digest,
    }
