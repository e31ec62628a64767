"""The churn panel's rows beside what their customers went on to spend, and what was to be expected of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build, order_span
from features.errors import TooLittleHistory
from features.warehouse import Warehouse
from training.baselines import MBGNBD
from training.gamma_gamma import (
    MINIMUM_SPENDERS,
    GammaGamma,
    fit_gamma_gamma,
    frequency_spend_correlation,
)
from training.preparation import Prepared
from training.targets import future_value
from training.value.card import Season
from training.value.predict import VALUE_HORIZONS_DAYS, log_mean_spend, purchase_days
from training.value.season import log_pace, read_pace

__all__ = [
    "MIN_BUYERS",
    "MIN_ROWS",
    "Outlook",
    "PreparedValue",
    "SpendModel",
    "fit_spend_models",
    "prepare_value",
]

Floats = NDArray[np.float64]

MIN_ROWS, MIN_BUYERS = 500, 50
"""Rows, and rows that spent anything, without which no trees are grown."""

_MEAN_QUANTILE = 0.999


@dataclass(frozen=True)
class SpendModel:
    """Gamma-Gamma fitted at a cutoff to all who had ordered, the cap of means, and what it assumes to be 0."""

    model: GammaGamma
    cap: float
    correlation: float


@dataclass(frozen=True, eq=False)
class Outlook:
    """One horizon of the panel's rows; arrays of length n.

    Attributes
    ----------
    purchases, log_start
        Expected purchase days, and the log of the spend they and Gamma-Gamma expect, by parameters fitted before the cutoff.
    spent
        Net of refunds, in the horizon; NaN where it was not over at the as-of.
    paced
        Log pace of the row's cutoff: what the season really was; NaN likewise.
    """

    horizon_days: int
    purchases: Floats
    log_start: Floats
    spent: Floats
    paced: Floats


@dataclass(frozen=True, eq=False)
class PreparedValue:
    """The churn panel's rows with what its customers went on to spend.

    Attributes
    ----------
    outlooks
        One a horizon of ``VALUE_HORIZONS_DAYS``.
    seasons, spends
        By cutoff, the as-of included: what was known then of the pace and of spends.
    """

    prepared: Prepared
    outlooks: tuple[Outlook, ...]
    seasons: Mapping[pd.Timestamp, Season]
    spends: Mapping[pd.Timestamp, SpendModel]
    warehouse_id: str
    currency: str

    @property
    def cutoff(self) -> pd.Series:
        """Of each row."""
        return self.prepared.panel.frame["cutoff"]


def prepare_value(warehouse: Warehouse, prepared: Prepared) -> PreparedValue:
    """Lay what was spent, and what was to be expected, beside the rows of the churn panel.

    Raises
    ------
    TooLittleHistory
        Hardly anybody ever spent anything.
    """
    panel = prepared.panel
    cutoffs = panel.cutoffs
    spends = fit_spend_models(warehouse, [*cutoffs, panel.as_of])
    if panel.as_of not in spends or not any(cutoff in spends for cutoff in cutoffs):
        raise TooLittleHistory(
            f"value as of {panel.as_of} needs {MINIMUM_SPENDERS} customers who had spent different amounts, at it and "
            f"{VALUE_HORIZONS_DAYS[0]} days before: choose a later --as-of or ingest more history"
        )
    span = order_span(warehouse, known_by=panel.as_of)
    first = panel.as_of if span is None else span[0]
    pace = read_pace(warehouse, [*cutoffs, panel.as_of], first, panel.as_of)
    lag = pd.Timedelta(warehouse.largest_lag(panel.as_of))
    outlooks = tuple(_outlook(warehouse, prepared, spends, days, lag) for days in VALUE_HORIZONS_DAYS)
    settings = warehouse.settings()
    return PreparedValue(
        prepared=prepared,
        outlooks=outlooks,
        seasons={at: pace.season(at, prepared.baselines[at], lag) for at in [*cutoffs, panel.as_of]},
        spends=spends,
        warehouse_id=settings.warehouse_id,
        currency=settings.currency,
    )


def fit_spend_models(warehouse: Warehouse, cutoffs: list[pd.Timestamp]) -> dict[pd.Timestamp, SpendModel]:
    """Fit Gamma-Gamma at each cutoff to all who had ordered before it; where they are too few there is none."""
    frame = build(warehouse, cutoffs, population="all", columns=("active_days_all", "net_spend_all"))
    fitted = {}
    for cutoff, rows in frame[(frame["active_days_all"] > 0) & (frame["net_spend_all"] > 0)].groupby(
        "cutoff"
    ):
        days = rows["active_days_all"].to_numpy(dtype=np.float64)
        mean = rows["net_spend_all"].to_numpy(dtype=np.float64) / days
        cap = float(np.quantile(mean, _MEAN_QUANTILE, method="lower"))
        mean = np.minimum(mean, cap)
        try:
            model = fit_gamma_gamma(days, mean)
        except TooLittleHistory:
            continue
        alike = np.ptp(days) == 0.0
        fitted[pd.Timestamp(str(cutoff))] = SpendModel(
            model, cap, 0.0 if alike else frequency_spend_correlation(days, mean)
        )
    return fitted


def _outlook(
    warehouse: Warehouse,
    prepared: Prepared,
    spends: Mapping[pd.Timestamp, SpendModel],
    horizon_days: int,
    lag: pd.Timedelta,
) -> Outlook:
    panel = prepared.panel
    n = len(panel.frame)
    purchases, log_start, paced = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    outcome = future_value(warehouse, panel.frame, horizon_days, known_by=panel.as_of)
    spent = outcome.net_spend
    for cutoff in panel.cutoffs:
        here = (panel.frame["cutoff"] == cutoff).to_numpy()
        if cutoff in spends:
            purchases[here], log_start[here] = _expected(
                prepared.baselines[cutoff], spends[cutoff], panel.frame[here], horizon_days
            )
        if cutoff in spends and cutoff + pd.Timedelta(days=horizon_days) + lag <= panel.as_of:
            paced[here] = log_pace(float(outcome.orders[here].sum()), float(purchases[here].sum()))
        else:
            spent[here] = np.nan
    return Outlook(horizon_days, purchases, log_start, spent, paced)


def _expected(
    baseline: MBGNBD, spend: SpendModel, frame: pd.DataFrame, horizon_days: int
) -> tuple[Floats, Floats]:
    purchases = purchase_days(baseline, frame, horizon_days)
    return purchases, np.log(purchases) + log_mean_spend(spend.model, spend.cap, frame)
