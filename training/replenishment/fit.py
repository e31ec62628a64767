"""Replenishment: when each customer will need a category, or a product, again.

A pooled cycle model (``training.replenishment.cycles``) of the gaps between a customer's purchases of an item; a gap that is open as of
the cutoff counts as censored. Any purchase of the item, in any channel, ends the wait and begins the next one.

Only items that repeat are dated: those of which most sale lines are of products declared ``replenishable``, or, where nobody
declares it, those whose purchases are followed by others (``training.replenishment.items``).
``training.replenishment.due`` asks the model when.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ModelError, TooLittleHistory
from features.warehouse import Warehouse
from training.replenishment.cycle_fit import fit_cycles
from training.replenishment.cycles import Cycles, Observations
from training.replenishment.items import REPEAT_GAPS, Item, items_of
from training.replenishment.purchases import LEVELS, Gaps, Purchases, gaps, read_purchases

__all__ = [
    "MOST_GAPS",
    "LevelModel",
    "ReplenishmentModel",
    "covariates",
    "fit_replenishment",
    "load_replenishment",
    "observations",
    "save_replenishment",
]

Floats = NDArray[np.float64]

PACE_PRIOR_GAPS = 1.0
"""Gaps between orders that the base's mean counts for in a customer's pace."""

MOST_GAPS = 60_000
"""Gaps that are fitted to, about; three times as many changed no figure in its third place. Whole customers, by hash."""


@dataclass(frozen=True)
class LevelModel:
    """Cycles of one level.

    Attributes
    ----------
    items
        All of the level; those that repeat, in their order, are the items of ``cycles``.
    centre
        Covariate -> what is taken off it.
    """

    items: tuple[Item, ...]
    centre: Mapping[str, float]
    cycles: Cycles


@dataclass(frozen=True)
class ReplenishmentModel:
    """Parameters only.

    Attributes
    ----------
    as_of
        Nothing at or after this instant (ISO 8601, UTC) was used; due dates may be asked from then on.
    usual_order_gap_days
        The base's mean days between a customer's order days.
    levels
        Those of ``training.replenishment.purchases.LEVELS`` with an item that repeats.
    """

    warehouse_id: str
    as_of: str
    trained_at: str
    usual_order_gap_days: float
    levels: Mapping[str, LevelModel]


def fit_replenishment(warehouse: Warehouse, as_of: pd.Timestamp) -> ReplenishmentModel:
    """Fit the cycles to all purchases before an instant, as they were known at it.

    Raises
    ------
    TooLittleHistory
        No item repeats.
    """
    read = {level: read_purchases(warehouse, as_of, level) for level in LEVELS}
    every = read["product"]
    usual = max(float(every.tenure_days.sum() / max(every.orders.sum(), 1.0)), 1.0)
    levels = {}
    for level, purchases in read.items():
        seen = gaps(purchases)
        items = items_of(purchases, seen)
        if any(item.repeats and item.gaps for item in items):
            levels[level] = _fit_level(purchases, seen, items, usual)
    if not levels:
        raise TooLittleHistory(
            f"{warehouse.path}: before {as_of} nothing was bought again that repeats; that is a category or product declared "
            f"replenishable, or with {REPEAT_GAPS} gaps between purchases: choose a later --as-of or ingest more history"
        )
    trained_at = datetime.now(UTC).isoformat(timespec="seconds")
    return ReplenishmentModel(warehouse.settings().warehouse_id, as_of.isoformat(), trained_at, usual, levels)


def _fit_level(purchases: Purchases, seen: Gaps, items: tuple[Item, ...], usual_days: float) -> LevelModel:
    repeats = np.array([item.repeats for item in items])
    columns = covariates(purchases, seen, usual_days)
    wanted = repeats[purchases.item]
    share = MOST_GAPS / max(int(wanted.sum()), 1)
    drawn = pd.util.hash_array(purchases.customers.to_numpy(dtype=object)) / 2.0**64 < share
    rows = np.flatnonzero(wanted & drawn[purchases.customer])
    centre = {name: float(values[rows].mean()) for name, values in columns.items()}
    place = np.cumsum(repeats) - 1
    observed = observations(seen, columns, centre, place[purchases.item], rows)
    return LevelModel(items, centre, fit_cycles(observed, int(repeats.sum())))


def covariates(purchases: Purchases, seen: Gaps, usual_days: float) -> dict[str, Floats]:
    """Return what the cycles look at, as it was known when each gap opened; not centred."""
    pace = (purchases.tenure_days + PACE_PRIOR_GAPS * usual_days) / (purchases.orders + PACE_PRIOR_GAPS)
    return {"units": np.log(purchases.units), "pace": np.log(pace), "number": np.log1p(seen.number)}


def observations(
    seen: Gaps,
    columns: Mapping[str, Floats],
    centre: Mapping[str, float],
    place: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> Observations:
    """Return the gaps of some rows as the cycles see them; ``place`` is the item's number in them, of every row."""
    given = {name: values[rows] - centre[name] for name, values in columns.items()}
    return Observations(
        np.log(seen.days[rows]),
        seen.closed[rows],
        seen.number[rows] == 0,
        place[rows],
        {"one": np.ones(rows.size), **given},
    )


def save_replenishment(model: ReplenishmentModel, path: Path | str) -> None:
    """Write the model as one JSON file."""
    Path(path).write_text(json.dumps(asdict(model), indent=1) + "\n", encoding="utf-8")


def load_replenishment(path: Path | str) -> ReplenishmentModel:
    """Read what ``save_replenishment`` wrote.

    Raises
    ------
    ModelError
        There is no such file, or it holds something else.
    """
    try:
        data: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        levels = {name: _level_of(level) for name, level in data.pop("levels").items()}
        return ReplenishmentModel(levels=levels, **data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(
            f"{path} is no replenishment model ({problem}): fit one with `patron replenish`"
        ) from problem


def _level_of(data: dict[str, Any]) -> LevelModel:
    cycles = data["cycles"]
    return LevelModel(
        tuple(Item(**item) for item in data["items"]),
        data["centre"],
        Cycles(
            {name: tuple(values) for name, values in cycles["population"].items()},
            tuple(tuple(row) for row in cycles["items"]),
            cycles["log_pair_sd"],
            tuple(cycles["effect_sd"]),
            cycles["log_likelihood"],
        ),
    )
