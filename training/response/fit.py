"""The response model: by how much each arm of randomised experiments raises the probability of an order.

Outcomes and raw uplifts are trees (training/response/trees.py). How far they may be believed is measured out of fold
(training/response/folds.py); the trees that are kept are fitted to everybody.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from features.contract import current_contract
from training.components import raw_scores
from training.intervals import bootstrap_interval
from training.response.arm_log import Log
from training.response.card import ArmCard, EffectLine, ResponseCard
from training.response.folds import CrossFitted, cross_fit_binned, learnable
from training.response.metrics import qini_coefficient, trial_of
from training.response.panel import ResponsePanel
from training.response.predict import ResponseModel
from training.response.trees import RESPONSE_PARAMETERS, Outcomes, binned, fit_effect, fit_outcomes

__all__ = ["arm_trial", "train_response"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_QINI_DRAWS = 200


def arm_trial(log: Log, place: int) -> tuple[Ints, Floats]:
    """Return the rows of an arm and of its control in the same experiments, and what the uplift metrics take of them."""
    rows = np.flatnonzero((log.arm == place) | ((log.arm == 0) & log.offered[:, place]))
    return rows, trial_of(log.reward[rows], log.arm[rows] == place, log.propensity[rows])


def train_response(
    panel: ResponsePanel,
    warehouse_id: str,
    parameters: Mapping[str, float | int] = RESPONSE_PARAMETERS,
) -> tuple[ResponseModel, CrossFitted]:
    """Fit the response model, and return beside it the out-of-fold predictions that it and any policy are judged by.

    Raises
    ------
    TooLittleHistory
        No arm has exposures enough; with the numbers.
    """
    contract, log = current_contract(), panel.log
    places = learnable(panel.x, log)
    made = binned(panel.x, contract.names)
    fitted = cross_fit_binned(made, log, places, parameters)
    everybody = np.arange(len(log.arm))
    outcomes = fit_outcomes(made, log, everybody, parameters)
    trees = tuple(fit_effect(made, log, everybody, place, outcomes, parameters) for place in places)
    lines = []
    for k, place in enumerate(places):
        x = panel.x[log.offered[:, place]]
        away = fitted.lines[k].away(outcomes.odds_uplift(x, place), raw_scores(trees[k], x))
        lines.append(replace(fitted.lines[k], center=float(away.mean())))
    cards = tuple(
        _arm_card(panel, fitted, k, outcomes.arms[place].shift, lines[k]) for k, place in enumerate(places)
    )
    return ResponseModel(
        outcomes.trees, trees, _card(panel, warehouse_id, parameters, outcomes, cards)
    ), fitted


def _card(
    panel: ResponsePanel,
    warehouse_id: str,
    parameters: Mapping[str, float | int],
    outcomes: Outcomes,
    arms: tuple[ArmCard, ...],
) -> ResponseCard:
    log, learnt = panel.log, {one.arm for one in arms}
    short = {
        f"arm {name}, of which too few were exposed, or ordered": int((log.arm == place).sum())
        for place, name in enumerate(log.arms)
        if place and name not in learnt
    }
    return ResponseCard(
        target=panel.target.name,
        asks=panel.target.asks,
        horizon_days=panel.target.horizon_days,
        population=panel.target.population,
        warehouse_id=warehouse_id,
        as_of=panel.as_of.isoformat(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=len(log.arm),
        customers=len(np.unique(log.customer)),
        contract=current_contract(),
        outcome_level=outcomes.level,
        control_shift=outcomes.arms[0].shift,
        arms=arms,
        left_out={**panel.left_out, **short},
        parameters=dict(parameters),
    )


def _arm_card(panel: ResponsePanel, fitted: CrossFitted, k: int, shift: float, line: EffectLine) -> ArmCard:
    log, place = panel.log, fitted.places[k]
    rows, trial = arm_trial(log, place)
    treated = trial[:, 1] == 1.0
    ordered, of_control = (
        float(np.average(trial[arm, 0], weights=1.0 / trial[arm, 2])) for arm in (treated, ~treated)
    )
    experiments = panel.frame.loc[log.arm == place, "experiment_id"].unique()
    qini = bootstrap_interval(
        qini_coefficient,
        (trial, fitted.uplift[rows, k]),
        np.random.default_rng(1),
        draws=_QINI_DRAWS,
        groups=log.customer[rows],
    )
    return ArmCard(
        arm=log.arms[place],
        experiments=tuple(sorted(str(name) for name in experiments)),
        exposures=int(treated.sum()),
        controls=int((~treated).sum()),
        share_ordered=ordered,
        control_share_ordered=of_control,
        shift=shift,
        line=line,
        qini=qini,
    )
