"""The timing model: when the next order comes, as a discrete-time hazard in LightGBM.

Each row (customer, cutoff) becomes one person-period row a bin of ``training.survival.BIN_ENDS``, up to the bin of the
next order or the last bin that was over when the training looked (administrative censoring at the end of the data;
Singer and Willett 1993). Outcomes of a week suffice, so the cutoffs come much nearer to the as-of than the churn
model's. The log odds of each bin's hazard start from MBG/NBD's; the trees, which see the features and the bin, correct
them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build
from features.contract import current_contract
from features.warehouse import Warehouse
from training.baselines import MBGNBD
from training.boosting import fit_boosted
from training.card import TimingCard
from training.churn import Forward
from training.clock import Clock, realised_speed
from training.components import (
    PERIOD_COLUMNS,
    TimingModel,
    bin_speeds,
    hazard_correction,
    history_weeks,
    matrix,
    periods,
)
from training.histories import fit_baselines
from training.preparation import Prepared
from training.survival import (
    BIN_ENDS,
    BIN_STARTS,
    HORIZONS_DAYS,
    anchored,
    baseline_hazards,
    cumulative_hazard,
    hazard_logits,
)
from training.targets import NextOrders, next_orders

__all__ = [
    "TIMING_PARAMETERS",
    "TREE_WEIGHT",
    "TimingPanel",
    "Waiting",
    "at_risk",
    "forward_timing",
    "kaplan_meier",
    "prepare_timing",
    "train_timing",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TIMING_PARAMETERS: Mapping[str, float | int] = {
    "num_boost_round": 60,
    "learning_rate": 0.1,
    "num_leaves": 12,
    "min_share_in_leaf": 0.01,
    "lambda_l2": 5.0,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "seed": 1,
}
"""As ``training.churn.PARAMETERS``."""

TREE_WEIGHT = 1.0
"""Not halved as the churn model's is: the level of the curve is the churn model's, and the shape bears it."""

FRESH_DAYS = (62, 34, 7)
"""Cutoffs beside the churn panel's, days before the as-of: too young for its label, not for the first bins."""

MOST_PERIODS, MOST_PERIODS_OF_A_FOLD = 150_000, 50_000
"""Person-period rows, about: twice as many cost twice the time and changed no figure in its third place."""


@dataclass(frozen=True, eq=False)
class TimingPanel:
    """Rows (customer, cutoff) whose next order is known or waited for; first the churn panel's, in its order.

    Attributes
    ----------
    cutoff
        datetime64[us], length n.
    x, growth
        Features, n x features; growth of MBG/NBD's cumulative hazard, n x bins, by parameters fitted before the cutoff.
    orders
        When the next order came, as known at the as-of.
    draw
        A number in [0, 1) made of customer and cutoff alone: rows below a share are that share of the rows.
    lag
        Largest declared lag: what is younger may be incomplete.
    clocks
        The churn model's: cutoff of a forward fold -> clock as it could be told then.
    baseline_only
        As of the churn model's panel.
    """

    cutoff: NDArray[np.datetime64]
    x: Floats
    growth: Floats
    orders: NextOrders
    draw: Floats
    lag: pd.Timedelta
    clocks: Mapping[pd.Timestamp, Clock]
    baseline_only: bool


@dataclass(frozen=True, eq=False)
class Waiting:
    """Distributions of the time to the next order beside what happened; arrays of m rows.

    Attributes
    ----------
    days
        To the next order; NaN where none came within the churn model's horizon or longer.
    model, baseline, kaplan_meier
        P(order before the end of each bin up to the churn model's horizon), m x bins: Patron's, which agree with the
        churn probability, MBG/NBD's, and everybody's alike.
    """

    days: Floats
    model: Floats
    baseline: Floats
    kaplan_meier: Floats

    @classmethod
    def of(cls, days: Floats, *, model: Floats, baseline: Floats, everybody: Floats) -> "Waiting":
        """Make it from cumulative hazards, m x all bins, and everybody's curve, length bins."""
        bins = int(np.searchsorted(BIN_ENDS, HORIZONS_DAYS[-1])) + 1
        level = np.tile(everybody[:bins], (len(days), 1))
        return cls(days, -np.expm1(-model[:, :bins]), -np.expm1(-baseline[:, :bins]), level)


def prepare_timing(warehouse: Warehouse, prepared: Prepared) -> TimingPanel:
    """Lay the churn panel's rows and those of fresher cutoffs beside the time of the next order."""
    as_of, lag = prepared.panel.as_of, warehouse.largest_lag(prepared.panel.as_of)
    cutoffs = [as_of - lag - pd.Timedelta(days=days) for days in FRESH_DAYS]
    fresh = build(warehouse, cutoffs, population=prepared.panel.target.population)
    baselines = {**fit_baselines(warehouse, cutoffs), **prepared.baselines}
    frames = [prepared.panel.frame, fresh[fresh["cutoff"].isin(list(baselines))]]
    rows = pd.concat([frame[["customer_id", "cutoff"]] for frame in frames], ignore_index=True)
    names = current_contract().names
    return TimingPanel(
        cutoff=rows["cutoff"].to_numpy(),
        x=np.concatenate([prepared.x, matrix(frames[1], names)]),
        growth=np.concatenate([_growth(frame, baselines) for frame in frames]),
        orders=next_orders(warehouse, rows, int(BIN_ENDS[-1]), known_by=as_of),
        draw=pd.util.hash_pandas_object(rows, index=False).to_numpy() / 2.0**64,
        lag=pd.Timedelta(lag),
        clocks=prepared.clocks,
        baseline_only=prepared.baseline_only,
    )


def _growth(frame: pd.DataFrame, baselines: Mapping[pd.Timestamp, MBGNBD]) -> Floats:
    growth = np.empty((len(frame), len(BIN_ENDS)))
    for cutoff in frame["cutoff"].unique():
        here = (frame["cutoff"] == cutoff).to_numpy()
        growth[here] = baseline_hazards(baselines[cutoff], history_weeks(frame[here]))
    return growth


def at_risk(orders: NextOrders) -> tuple[Bools, Bools]:
    """Return which bins each row stands for, and in which of them the order came; both n x bins.

    A row stands for a bin if no order came before it and it was over when the training looked: a bin that was not is left
    out even where its order was seen, since an absence in it was not.
    """
    open_at_start = ~(orders.days[:, None] < BIN_STARTS)
    stands = open_at_start & (orders.exposure_days[:, None] >= BIN_ENDS)
    return stands, stands & (orders.days[:, None] < BIN_ENDS)


def kaplan_meier(stands: Bools, ordered: Bools) -> Floats:
    """Return P(order before the end of each bin), the same for everybody, from ``at_risk``; length bins."""
    hazard = ordered.sum(axis=0) / np.maximum(stands.sum(axis=0), 1)
    return np.asarray(1.0 - np.cumprod(1.0 - hazard))


def train_timing(
    panel: TimingPanel,
    prepared: Prepared,
    warehouse_id: str,
    parameters: Mapping[str, float | int],
    metrics: Mapping[str, float],
) -> TimingModel:
    """Fit on all that was known at the as-of."""
    stands, ordered = _thinned(panel, panel.orders, MOST_PERIODS)
    rows = stands.any(axis=1)
    grown = not panel.baseline_only
    return TimingModel(
        _fit(panel, stands, ordered, parameters) if grown else None,
        TimingCard(
            population=prepared.panel.target.population,
            warehouse_id=warehouse_id,
            as_of=prepared.panel.as_of.isoformat(),
            trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
            bin_ends=tuple(BIN_ENDS.tolist()),
            cutoffs=tuple(pd.Timestamp(at).isoformat() for at in np.unique(panel.cutoff[rows])),
            rows=int(rows.sum()),
            periods=int(stands.sum()),
            orders=int(ordered.sum()),
            contract=current_contract(),
            baseline=prepared.baseline,
            tree_weight=TREE_WEIGHT if grown else 0.0,
            parameters=dict(parameters),
            metrics=dict(metrics),
        ),
    )


def forward_timing(panel: TimingPanel, forward: Forward, parameters: Mapping[str, float | int]) -> Waiting:
    """Predict each forward fold of the churn model by trees that knew only orders before the fold's cutoff.

    The curves agree with the forward churn probabilities.
    """
    parts = list(_folds(panel, forward, parameters))
    return Waiting(
        *(np.concatenate([getattr(part, name.name) for part in parts]) for name in fields(Waiting))
    )


def _folds(panel: TimingPanel, forward: Forward, parameters: Mapping[str, float | int]) -> Iterator[Waiting]:
    for number in np.unique(forward.fold):
        here = forward.fold == number
        rows = forward.row[here]
        cutoff = pd.Timestamp(panel.cutoff[rows[0]])
        stands, ordered = _thinned(
            panel, _known_before(panel, cutoff.to_datetime64()), MOST_PERIODS_OF_A_FOLD
        )
        booster = None if panel.baseline_only else _fit(panel, stands, ordered, parameters)
        speed = bin_speeds(panel.clocks[cutoff])
        logits = hazard_logits(panel.growth[rows] * np.exp(speed)) + TREE_WEIGHT * hazard_correction(
            booster, panel.x[rows], current_contract().names
        )
        yield Waiting.of(
            panel.orders.days[rows],
            model=anchored(cumulative_hazard(logits), forward.probability[here]),
            baseline=np.cumsum(panel.growth[rows], axis=1),
            everybody=kaplan_meier(stands, ordered),
        )


def _known_before(panel: TimingPanel, cutoff: np.datetime64) -> NextOrders:
    """Return the next orders as somebody waits for them who stands at this cutoff."""
    known = (cutoff - panel.cutoff) / np.timedelta64(1, "D") - panel.lag / pd.Timedelta(days=1)
    return NextOrders(panel.orders.days, np.minimum(panel.orders.exposure_days, known))


def _thinned(panel: TimingPanel, orders: NextOrders, most: int) -> tuple[Bools, Bools]:
    """Return ``at_risk`` with rows left out, by hash, until the person-period rows are about ``most``."""
    stands, ordered = at_risk(orders)
    kept = panel.draw[:, None] < most / max(int(stands.sum()), 1)
    return stands & kept, ordered & kept


def _fit(
    panel: TimingPanel, stands: Bools, ordered: Bools, parameters: Mapping[str, float | int]
) -> lgb.Booster:
    row, bin_number = np.nonzero(stands)
    names = current_contract().names
    x = periods(panel.x, names, row, bin_number)
    y, start = ordered[row, bin_number], _started(panel, stands, ordered)[row, bin_number]
    return fit_boosted(x, y, start, parameters, (*names, *PERIOD_COLUMNS))


def _started(panel: TimingPanel, stands: Bools, ordered: Bools) -> Floats:
    """Return the log odds that the trees start from: MBG/NBD's, at the speed with which each bin of a cutoff really went.

    So the trees learn who orders when, and not in which month of the year everybody did.
    """
    growth = panel.growth.copy()
    for cutoff in np.unique(panel.cutoff):
        here = panel.cutoff == cutoff
        for place in range(growth.shape[1]):
            rows = np.flatnonzero(here & stands[:, place])
            if len(rows):
                growth[rows, place] *= np.exp(realised_speed(growth[rows, place], ordered[rows, place]))
    return hazard_logits(growth)
