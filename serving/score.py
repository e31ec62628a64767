"""Scores: one row per known customer, with a status where nothing can be predicted.

Predictions (what will be) are null unless the status is ``ok``; facts (what has been) are given for every customer with
an order. One function serves the warehouse's frames and the service's columns: the same values, the same bits.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.predict import (
    HORIZONS_DAYS,
    Columns,
    Models,
    Predictions,
    predict,
)

__all__ = ["SCORE_COLUMNS", "STATUSES", "VALUES", "score", "score_columns"]

STATUSES = ("ok", "no_orders", "outside_population", "too_little_history")

_DATES = ("expected_date_of_next_order", "earliest_date_of_next_order", "latest_date_of_next_order")

VALUES = (
    "predicted_clv_90d",
    "predicted_clv",
    "predicted_clv_low",
    "predicted_clv_high",
    "predicted_number_of_orders",
    "total_clv",
)
"""What is predicted of spend net of refunds, in the warehouse's currency, and of orders: of 365 days where no days are named."""

SCORE_COLUMNS = (
    "as_of",
    "scored_at",
    "horizon_days",
    "churn_probability",
    *(f"p_order_{days}d" for days in HORIZONS_DAYS),
    *_DATES,
    "average_days_between_orders",
    "average_order_value",
    "historic_clv",
    *VALUES,
    "status",
    "model_version",
)
"""A score row's columns after ``customer_id``, in order."""

_DAY_US = 86_400_000_000

Values = NDArray[Any]


def score(frame: pd.DataFrame, models: Models, model_version: str) -> pd.DataFrame:
    """Score every customer of a feature frame at one cutoff.

    Parameters
    ----------
    frame
        Features of population ``all`` at one cutoff, as ``features.build`` gives them.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` and ``SCORE_COLUMNS``. Rows and index as in the frame.
    """
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
    columns = {str(name): frame[name].to_numpy() for name in frame.columns}
    scored = score_columns(columns, models, model_version, as_of=columns["cutoff"], scored_at=now, threads=0)
    return pd.DataFrame({"customer_id": frame["customer_id"].array, **scored}, index=frame.index).astype(
        {"status": "str", "model_version": "str"}
    )


def score_columns(
    columns: Columns,
    models: Models,
    model_version: str,
    *,
    as_of: np.datetime64 | Values,
    scored_at: np.datetime64,
    threads: int = 1,
) -> dict[str, Values]:
    """Score n customers given as columns.

    Parameters
    ----------
    columns
        Feature name -> values, n each, of customers of any status.
    as_of
        The cutoff of the features, microseconds: one, or one a customer.
    threads
        LightGBM's.

    Returns
    -------
    dict
        ``SCORE_COLUMNS`` -> arrays of length n: dates NaT, other numbers NaN where there is none.

    Raises
    ------
    ContractError
        Columns the models were trained on are lacking.
    """
    orders = np.asarray(columns["orders_all"])
    status = np.where(orders == 0, "no_orders", "outside_population")
    status[np.asarray(columns["orders_365d"]) > 0] = "ok"
    names = models.churn.card.contract.names
    ok = status == "ok"
    n, cutoff = len(orders), np.asarray(as_of, dtype="datetime64[us]")
    ahead = (cutoff - np.datetime64(models.churn.card.as_of, "us")) / np.timedelta64(1, "D")
    found = predict(
        models,
        {name: np.asarray(columns[name])[ok] for name in names if name in columns},
        ahead_days=ahead if ahead.ndim == 0 else ahead[ok],
        threads=threads,
    )
    given = {
        "as_of": np.broadcast_to(cutoff, n),
        "scored_at": np.full(n, scored_at),
        "horizon_days": np.full(n, models.churn.card.horizon_days),
        **{name: _spread(values, ok) for name, values in _predicted(found).items()},
        **_facts(columns, orders > 0),
        "status": status,
        "model_version": np.full(n, models.label(model_version)),
    }
    given["total_clv"] = given["historic_clv"] + given["predicted_clv"]
    given |= {name: cutoff + _microseconds(given[name]) for name in _DATES}
    return {name: given[name] for name in SCORE_COLUMNS}


def _predicted(found: Predictions) -> dict[str, Values]:
    within = {f"p_order_{days}d": found.p_order[:, place] for place, days in enumerate(HORIZONS_DAYS)}
    waits = dict(zip(_DATES, (found.days_median, found.days_p10, found.days_p90), strict=True))
    return {"churn_probability": found.churn_probability, **within, **waits, **_values(found)}


def _values(found: Predictions) -> dict[str, Values]:
    """Return what is predicted of spend; NaN where nothing can be."""
    if found.value is None:
        return dict.fromkeys(VALUES[:-1], np.full(len(found.churn_probability), np.nan))
    return {name: getattr(found.value, name) for name in VALUES[:-1]}


def _facts(columns: Columns, ordered: Values) -> dict[str, Values]:
    facts = {
        "average_days_between_orders": columns["gap_mean_days"],
        "average_order_value": columns["aov_all"],
        "historic_clv": np.asarray(columns["spend_all"]) - np.asarray(columns["refunds_all"]),
    }
    return {name: np.where(ordered, np.asarray(values), np.nan) for name, values in facts.items()}


def _spread(values: Values, ok: Values) -> Values:
    """Return the values in the places that are ok, NaN elsewhere."""
    spread = np.full(len(ok), np.nan)
    spread[ok] = values
    return spread


def _microseconds(days: Values) -> Values:
    """Return days as spans of time, cut to the microsecond; NaT for NaN."""
    known = ~np.isnan(days)
    spans = np.full(len(days), np.timedelta64("NaT"), dtype="timedelta64[us]")
    spans[known] = np.floor(days[known] * _DAY_US).astype("timedelta64[us]")
    return spans
