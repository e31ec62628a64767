"""When each customer will need each item again, by a replenishment model.

The due date is the median of the next purchase given the silence so far, of those purchases that come within
``DUE_WITHIN_DAYS``; so it is never before the cutoff. The band holds the middle 80 % of them, and ``confidence`` is the
probability that the next purchase falls in it: who never comes back, or later, counts against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ModelError
from features.warehouse import Warehouse
from training.replenishment.cycles import forecast
from training.replenishment.fit import LevelModel, ReplenishmentModel, covariates, observations
from training.replenishment.items import keys_of
from training.replenishment.purchases import ITEM_COLUMNS, Purchases, gaps, read_purchases
from training.replenishment.remaining import Forecast, days_left, probability_over

__all__ = [
    "BAND",
    "DUE_COLUMNS",
    "DUE_WITHIN_DAYS",
    "HORIZONS_DAYS",
    "STATUSES",
    "OpenGaps",
    "due",
    "gaps_at",
    "open_gaps",
]

Floats = NDArray[np.float64]

DUE_WITHIN_DAYS = 180
"""How far ahead a need is dated: what comes later is too far away to act on, and counts against the confidence."""

BAND = (0.1, 0.9)
HORIZONS_DAYS = (30, 60, 90)

STATUSES = ("ok", "pooled", "overdue", "no_cycle")
"""``ok``: the customer's own gaps speak; ``pooled``: there is none, the date rests on the item's other buyers;
``overdue``: silent for longer than the customer's usual days; ``no_cycle``: the item does not repeat, so there is no date."""

DUE_COLUMNS = (
    "customer_id", *ITEM_COLUMNS, "as_of", "status", "due_at", "due_from", "due_to", "confidence",
    *(f"p_due_{days}d" for days in HORIZONS_DAYS), "usual_days", "purchases", "own_gaps", "last_purchase_at", "last_units",
)  # fmt: skip

_DAY_US = 86_400_000_000


@dataclass(frozen=True, eq=False)
class OpenGaps:
    """The gaps that are open as of an instant, one row a customer and item; length n.

    Attributes
    ----------
    rows
        ``customer_id``, ``ITEM_COLUMNS``, ``last_purchase_at``, ``purchases``, ``own_gaps``, ``last_units``, ``repeats``.
    gap
        What was known of the gap when it opened.
    elapsed_days
        Since then.
    """

    rows: pd.DataFrame
    gap: Forecast
    elapsed_days: Floats


def open_gaps(
    model: ReplenishmentModel,
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    customers: Sequence[str] | None = None,
) -> OpenGaps:
    """Return the gaps that are open as of an instant, and what the model knows of each.

    Raises
    ------
    ModelError
        The model was fitted as of a later instant, or on another warehouse.
    """
    _refuse_other(model, warehouse, as_of)
    return gaps_at(model, warehouse, as_of, customers)


def gaps_at(
    model: ReplenishmentModel,
    warehouse: Warehouse,
    at: pd.Timestamp,
    customers: Sequence[str] | None = None,
) -> OpenGaps:
    """Return the gaps that were open at any instant; for one before the model's as-of no prediction, but hindsight."""
    parts = [
        _open_level(model, level, read_purchases(warehouse, at, level, customers=customers))
        for level in model.levels
    ]
    gap = Forecast(
        *(np.concatenate([getattr(part.gap, name) for part in parts]) for name in ("mean", "sd", "back"))
    )
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    return OpenGaps(rows, gap, np.concatenate([part.elapsed_days for part in parts]))


def _refuse_other(model: ReplenishmentModel, warehouse: Warehouse, as_of: pd.Timestamp) -> None:
    if pd.Timestamp(model.as_of) > as_of:
        raise ModelError(
            f"the replenishment model knows purchases up to {model.as_of} and may not be used as of {as_of}: fit one as of then"
        )
    owner = warehouse.settings().warehouse_id
    if owner != model.warehouse_id:
        raise ModelError(
            f"the replenishment model was fitted on warehouse {model.warehouse_id}, {warehouse.path} is {owner}: fit one on it"
        )


def _open_level(model: ReplenishmentModel, level: str, purchases: Purchases) -> OpenGaps:
    of, seen = model.levels[level], gaps(purchases)
    place, repeats = _places(of, purchases)
    columns = covariates(purchases, seen, model.usual_order_gap_days)
    kept = np.arange(purchases.bought_at.size)
    if level == "product":  # the others are in their categories
        kept = np.flatnonzero(repeats[purchases.item])
    observed = observations(seen, columns, of.centre, place[purchases.item], kept)
    last = kept[~seen.closed[kept]]
    rows = purchases.items[list(ITEM_COLUMNS)].iloc[purchases.item[last]].reset_index(drop=True)
    rows.insert(0, "customer_id", purchases.customers.iloc[purchases.customer[last]].to_numpy())
    rows["last_purchase_at"] = purchases.bought_at[last]
    rows["purchases"] = seen.number[last] + 1
    rows["own_gaps"] = seen.number[last]
    rows["last_units"] = purchases.units[last]
    rows["repeats"] = repeats[purchases.item[last]]
    return OpenGaps(rows, forecast(of.cycles, observed), seen.days[last])


def _places(of: LevelModel, purchases: Purchases) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place of each item of the purchases among the model's, and whether it is dated.

    A category that is new since the fit, and declared replenishable, is like the population (-1).
    """
    dated = [item.key for item in of.items if item.repeats]
    place = {key: number for number, key in enumerate(dated)}
    known = {item.key for item in of.items}
    keys = keys_of(purchases.items)
    declared = purchases.items["replenishable"].to_numpy(dtype=np.float64) >= 0.5
    is_new = (
        np.array([key not in known for key in keys], dtype=bool)
        & (purchases.items["level"] == "category").to_numpy()
    )
    places = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
    return places, (places >= 0) | (is_new & declared)


def due(
    model: ReplenishmentModel,
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    customers: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return when each customer will need each item again that was ever bought; columns ``DUE_COLUMNS``.

    Parameters
    ----------
    as_of
        Purchases before it count, as they were known at it.
    customers
        OneIDs; everybody by default. A customer's rows are the same alone as among others.

    Returns
    -------
    pandas.DataFrame
        Sorted by customer and item. ``usual_days``: median days that this customer goes with what was bought last;
        ``p_due_30d``: P(next purchase within 30 days). Dates and probabilities are null where the status is ``no_cycle``.

    Raises
    ------
    ModelError
        As `open_gaps`.
    """
    found = open_gaps(model, warehouse, as_of, customers)
    gap, elapsed, rows = found.gap, found.elapsed_days, found.rows
    usual = np.exp(gap.mean)
    rows["as_of"] = np.datetime64(as_of, "us")
    rows["status"] = _statuses(rows, elapsed > usual)
    for name, share in (("due_from", BAND[0]), ("due_at", 0.5), ("due_to", BAND[1])):
        rows[name] = _dates(as_of, days_left(gap, elapsed, share, DUE_WITHIN_DAYS))
    rows["confidence"] = (BAND[1] - BAND[0]) * probability_over(gap, elapsed, DUE_WITHIN_DAYS)
    for days in HORIZONS_DAYS:
        rows[f"p_due_{days}d"] = probability_over(gap, elapsed, days)
    rows["usual_days"] = usual
    undated = [
        "due_at",
        "due_from",
        "due_to",
        "confidence",
        "usual_days",
        *(f"p_due_{d}d" for d in HORIZONS_DAYS),
    ]
    rows.loc[~rows["repeats"], undated] = None
    return rows.sort_values(["customer_id", *ITEM_COLUMNS], ignore_index=True)[list(DUE_COLUMNS)]


def _dates(as_of: pd.Timestamp, days: Floats) -> NDArray[np.datetime64]:
    return np.datetime64(as_of, "us") + np.round(days * _DAY_US).astype("m8[us]")


def _statuses(rows: pd.DataFrame, overdue: NDArray[np.bool_]) -> NDArray[np.object_]:
    pooled = (rows["own_gaps"] == 0).to_numpy()
    conditions = [~rows["repeats"].to_numpy(), overdue, pooled]
    return np.select(conditions, ["no_cycle", "overdue", "pooled"], "ok")
