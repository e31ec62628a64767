"""Expected demand: purchases of each category, by the customers of each store, in each of the next weeks.

Two parts add up. The **due** part is the sum, over all customers, of the probabilities that their next purchase of a category
falls in the week (``training.replenishment.due``); it knows who is due. The **other** part is what nobody's due date tells: customers who
buy the category for the first time, second purchases within the weeks, anonymous tills. It is the mean number of such
purchases in as many weeks after earlier origins, by category; the profile over the weeks is pooled over the categories, the
split over the stores is that of all of them, drawn to each other by ``STORE_PRIOR``.

Both follow the season where the history tells it: the weeks' share of all purchases a year ago, over the mean of the year
around them, drawn to 1 with the weight of ``SEASON_PRIOR`` purchases a week. The cycles know no season.

The interval holds 80 %: quantiles of a negative binomial whose mean is the expectation and whose variance is the factor
times it by which the earlier origins' cells spread (quasi-Poisson; McCullagh and Nelder 1989, Generalized Linear Models,
section 6.2), each cell by itself: intervals do not add up over cells. The factor is never below 1.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import nbinom, poisson

from features.errors import InputError
from features.sql import usable
from features.warehouse import Warehouse
from training.replenishment.counts import CELL, home_stores, next_of_known, read_lines, stores_of, weekly
from training.replenishment.due import OpenGaps, gaps_at, open_gaps
from training.replenishment.fit import ReplenishmentModel
from training.replenishment.remaining import probability_over

__all__ = ["DEMAND_COLUMNS", "ORIGINS", "STORE_PRIOR", "expected_demand", "season_of"]

Floats = NDArray[np.float64]

DEMAND_COLUMNS = (
    *CELL, "week_starts_at", "expected_purchases", "low", "high", "due_purchases", "other_purchases", "other_share",
)  # fmt: skip

ORIGINS, STEP_DAYS = 4, 28
"""Earlier origins that the other part and the spread are told by, and how far apart they lie."""

STORE_PRIOR = 20.0
"""Purchases that the split over all categories counts for in a category's."""

SEASON_PRIOR = 50.0
"""Purchases a week that the year's mean counts for in the season of a week."""

LEVEL = 0.8
"""Coverage of the interval."""

_ITEM = ["category_1", "category_2"]


@dataclass(frozen=True, eq=False)
class _Past:
    """What came after earlier origins: purchases by cell, told by due dates or not."""

    other: pd.DataFrame  # CELL and purchases, of all origins
    weeks: float  # how many average weeks the origins' weeks together are worth, by their season
    spread: float


def expected_demand(
    model: ReplenishmentModel, warehouse: Warehouse, as_of: pd.Timestamp, weeks: int = 8
) -> pd.DataFrame:
    """Return the expected purchases of each category that repeats, by store and week; columns ``DEMAND_COLUMNS``.

    Parameters
    ----------
    weeks
        How many, from the as-of on; 1 to 26.

    Returns
    -------
    pandas.DataFrame
        One row a category, store (null: customers of no store) and week. ``other_share``: of the expectation, what comes
        from new customers of the category, second purchases and anonymous tills. NaN where nothing is expected.

    Raises
    ------
    InputError
        ``weeks`` is not within 1 to 26, or no category repeats.
    ModelError
        As ``training.replenishment.due.open_gaps``.
    """
    if not 1 <= weeks <= 26:
        raise InputError(
            f"demand is expected for 1 to 26 weeks, got {weeks}: further ahead there are no due dates"
        )
    if "category" not in model.levels:
        raise InputError(
            f"{warehouse.path}: no category repeats, so none has a demand: products need category_1"
        )
    homes = home_stores(warehouse, as_of)
    every = read_lines(warehouse, as_of, usable(as_of))
    lines = _of_repeating(model, every)
    season = season_of(every, as_of, weeks)
    due_part = _due_cells(open_gaps(model, warehouse, as_of), stores_of(every, as_of, homes), season)
    past = _past(model, warehouse, as_of, every, lines, weeks)
    return _laid_out(due_part, _other_cells(past, season), past.spread, as_of)


def season_of(every: pd.DataFrame, at: pd.Timestamp, weeks: int) -> Floats:
    """Return how busy each of the weeks after an instant is, 1 for an average one; all 1 without a year and a half of history.

    Parameters
    ----------
    every
        As ``training.replenishment.counts.read_lines`` gives them: all categories.
    """
    year_ago, half = at - pd.Timedelta(weeks=52), pd.Timedelta(weeks=26)
    if not every["bought_at"].min() < year_ago - half:
        return np.ones(weeks)
    bought_at = every["bought_at"].to_numpy()
    around = (bought_at >= (year_ago - half).to_datetime64()) & (
        bought_at < (year_ago + half).to_datetime64()
    )
    mean = around.sum() / 52.0
    edges = year_ago.to_datetime64() + np.arange(-1, weeks + 2) * np.timedelta64(7, "D")
    count = np.diff(np.searchsorted(bought_at, edges))
    smooth = (count[:-2] + count[1:-1] + count[2:]) / 3.0
    return np.asarray((smooth + SEASON_PRIOR) / (mean + SEASON_PRIOR))


def _of_repeating(model: ReplenishmentModel, lines: pd.DataFrame) -> pd.DataFrame:
    dated = {item.key[:2] for item in model.levels["category"].items if item.repeats}
    names = lines[_ITEM].astype(object)
    names = names.where(names.notna(), None)
    return lines[[key in dated for key in names.itertuples(index=False, name=None)]]


def _due_cells(found: OpenGaps, stores: pd.Series, season: Floats) -> pd.DataFrame:
    """Sum of the due probabilities by cell, times the season of the week: columns ``CELL`` and ``purchases``."""
    weeks = season.size
    kept = (found.rows["repeats"] & (found.rows["level"] == "category")).to_numpy()
    within = probability_over(found.gap, found.elapsed_days, np.arange(7.0, 7.0 * weeks + 1.0, 7.0))[kept]
    by_week = np.diff(within, axis=1, prepend=0.0) * season
    rows = found.rows.loc[kept, _ITEM].copy()
    rows["store_id"] = stores.reindex(found.rows.loc[kept, "customer_id"]).to_numpy(dtype=object)
    names = [*_ITEM, "store_id"]
    table = pd.concat(
        [rows.reset_index(drop=True), pd.DataFrame(by_week, columns=range(1, weeks + 1))], axis=1
    )
    summed = table.groupby(names, dropna=False).sum().reset_index()
    return summed.melt(names, var_name="week", value_name="purchases").astype({"week": np.int64})


def _past(
    model: ReplenishmentModel,
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    every: pd.DataFrame,
    lines: pd.DataFrame,
    weeks: int,
) -> _Past:
    """Look at what came after earlier origins whose weeks are over."""
    last, first = as_of - pd.Timedelta(days=7 * weeks), lines["bought_at"].min()
    origins = [last - pd.Timedelta(days=STEP_DAYS * step) for step in range(ORIGINS)]
    origins = [at for at in origins if at - pd.Timedelta(days=90) >= first]
    if not origins:
        raise InputError(
            f"demand as of {as_of} for {weeks} weeks needs purchases from {7 * weeks + 90} days before on; the first is at "
            f"{first}: choose a later --as-of or fewer weeks"
        )
    others, errors, busy = [], [], 0.0
    for at in origins:
        homes, season = home_stores(warehouse, at), season_of(every, at, weeks)
        due_part = _due_cells(gaps_at(model, warehouse, at), stores_of(every, at, homes), season)
        told = next_of_known(lines, at)
        others.append(weekly(lines[~told], at, weeks, homes))
        errors.append((due_part, weekly(lines[told], at, weeks, homes)))
        busy += float(season.sum())
    return _Past(pd.concat(others, ignore_index=True), busy, _spread(errors))


def _spread(errors: list[tuple[pd.DataFrame, pd.DataFrame]]) -> float:
    """Pearson's statistic over the cells' number: how many times wider than Poisson they spread about what was due."""
    square, cells = 0.0, 0
    for expected, happened in errors:
        both = expected.merge(happened, on=list(CELL), how="outer", suffixes=("", "_seen")).fillna(
            {"purchases": 0.0, "purchases_seen": 0.0}
        )
        mean = np.maximum(both["purchases"].to_numpy(), 0.05)
        square += float(((both["purchases_seen"] - mean) ** 2 / mean).sum())
        cells += len(both)
    return max(square / max(cells, 1), 1.0)


def _other_cells(past: _Past, season: Floats) -> pd.DataFrame:
    """Expected other purchases by cell: category's rate x season x the weeks' profile x the stores' shares."""
    seen, week = past.other, np.arange(1, season.size + 1)
    by_week = seen.groupby("week")["purchases"].sum().reindex(week, fill_value=0).to_numpy() + 1.0
    profile = by_week / by_week.mean() * season
    everywhere = seen.groupby("store_id", dropna=False)["purchases"].sum()
    everywhere = everywhere / max(everywhere.sum(), 1)
    parts = []
    for key, of in seen.groupby(_ITEM, dropna=False):
        total = float(of["purchases"].sum())
        stores = (
            of.groupby("store_id", dropna=False)["purchases"].sum().reindex(everywhere.index, fill_value=0)
        )
        share = (stores + STORE_PRIOR * everywhere) / (total + STORE_PRIOR)
        rate = total / past.weeks * np.outer(share, profile)
        names = pd.MultiIndex.from_product([[key[0]], [key[1]], everywhere.index, week], names=list(CELL))
        parts.append(pd.Series(rate.ravel(), names, name="purchases"))
    return pd.concat(parts).reset_index() if parts else seen.astype({"purchases": np.float64})


def _laid_out(
    due_part: pd.DataFrame, other_part: pd.DataFrame, spread: float, as_of: pd.Timestamp
) -> pd.DataFrame:
    frame = due_part.merge(other_part, on=list(CELL), how="outer", suffixes=("_due", "_other"))
    due, other = (frame[f"purchases_{part}"].fillna(0.0).to_numpy() for part in ("due", "other"))
    mean = due + other
    low, high = _interval(mean, spread)
    with np.errstate(invalid="ignore"):
        share = other / mean
    week = frame["week"].astype(np.int64)
    made = frame[[*_ITEM, "store_id"]].assign(
        week=week,
        week_starts_at=np.datetime64(as_of, "us") + (week - 1).to_numpy() * np.timedelta64(7, "D"),
        expected_purchases=mean,
        low=low,
        high=high,
        due_purchases=due,
        other_purchases=other,
        other_share=share,
    )
    return made.sort_values(list(CELL), ignore_index=True)[list(DEMAND_COLUMNS)]


def _interval(mean: Floats, spread: float) -> tuple[Floats, Floats]:
    ends = ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0)
    if spread <= 1.0:
        low, high = (poisson.ppf(end, mean) for end in ends)
    else:  # mean m and variance f m: size m / (f - 1), success 1 / f
        low, high = (nbinom.ppf(end, np.maximum(mean, 1e-9) / (spread - 1.0), 1.0 / spread) for end in ends)
    return np.asarray(low), np.asarray(high)
