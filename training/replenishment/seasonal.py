"""Seasonal need: who will want a category of a season again, a month before it begins.

The window asked about is ``[as_of + LEAD_DAYS, as_of + LEAD_DAYS + SEASON_DAYS)``. A category is seasonal in it if, over the
year before the as-of, the window's days of last year held at least ``SEASON_LIFT`` times the share of its purchases that they
held of all purchases, and ``SEASON_PURCHASES`` or more of its own.

What is learned is last year's experience: of the customers who had ordered in the year before (as-of - 365 d), how many of each
kind bought the category in last year's window. A kind is what the same window the year before showed (bought, not bought,
not a customer yet) x how long ago the last order was. Counts are smoothed twice (Jelinek and Mercer 1980): the share of a
kind is drawn to the product of its two parts, each of which is drawn to the category's, with the weight of ``PRIOR`` customers:

    p = (bought + PRIOR x p_above) / (customers + PRIOR)

So who bought in last years' summers is told from who did not by as much as it told last year; where the history holds one
season only, nothing is known of it, everybody gets the category's share by recency, and the status says ``one_season``.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import TooLittleHistory
from features.sql import usable
from features.warehouse import Warehouse
from training.replenishment.counts import read_lines

__all__ = [
    "LEAD_DAYS",
    "PRIOR",
    "RECENCY_DAYS",
    "SEASONAL_COLUMNS",
    "SEASON_DAYS",
    "SEASON_LIFT",
    "SEASON_PURCHASES",
    "seasonal_categories",
    "seasonal_need",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAD_DAYS, SEASON_DAYS, YEAR_DAYS = 30, 60, 365
SEASON_LIFT, SEASON_PURCHASES = 1.5, 30
PRIOR = 20.0
RECENCY_DAYS = (30, 90, 180, 365)
"""Ends of the classes of days since the last order; who has been silent for longer is not asked about."""

SEASONAL_COLUMNS = (
    "customer_id", "category_1", "category_2", "as_of", "window_from", "window_to", "status", "probability",
    "seasons_bought", "seasons_seen",
)  # fmt: skip

NEW, NOT_BOUGHT, BOUGHT = 0, 1, 2
_ITEM = ["category_1", "category_2"]


@dataclass(frozen=True, eq=False)
class _Kinds:
    """Customers of one category at an instant, as they stood then; length n.

    Attributes
    ----------
    last_season
        ``NEW``, ``NOT_BOUGHT`` or ``BOUGHT``.
    recency
        Class of ``RECENCY_DAYS``.
    """

    last_season: Ints
    recency: Ints


def seasonal_need(warehouse: Warehouse, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return how probably each customer buys each category that is seasonal in the window a month ahead.

    Returns
    -------
    pandas.DataFrame
        Columns ``SEASONAL_COLUMNS``, a row for each customer with an order in the year before the as-of and each seasonal
        category; empty where none is. ``seasons_bought`` of ``seasons_seen`` earlier windows, up to three, since the
        customer's first order. ``status``: ``ok``, or ``one_season`` (see the head of the file).

    Raises
    ------
    TooLittleHistory
        The purchases do not reach back over last year's window.
    """
    lines = read_lines(warehouse, as_of, usable(as_of))
    first = lines["bought_at"].min()
    if not first < as_of - pd.Timedelta(days=YEAR_DAYS):
        raise TooLittleHistory(
            f"seasonal need as of {as_of} looks a year back and the first purchase in {warehouse.path} is at {first}: "
            "choose a later --as-of or ingest more history"
        )
    found = [_of_category(lines, key, as_of) for key in seasonal_categories(lines, as_of)]
    if not found:
        return pd.DataFrame(columns=list(SEASONAL_COLUMNS))
    frame = pd.concat(found, ignore_index=True).sort_values(["customer_id", *_ITEM], ignore_index=True)
    return frame[list(SEASONAL_COLUMNS)]


def seasonal_categories(lines: pd.DataFrame, as_of: pd.Timestamp) -> list[tuple[str, str | None]]:
    """Return the categories that are seasonal in the window, by the year before the as-of.

    Parameters
    ----------
    lines
        As ``training.replenishment.counts.read_lines`` gives them, anonymous purchases included.
    """
    year = lines[lines["bought_at"] >= as_of - pd.Timedelta(days=YEAR_DAYS)]
    inside = year.assign(inside=_in_window(year["bought_at"], as_of, 1))
    every = float(inside["inside"].mean())
    by = inside.groupby(_ITEM, dropna=False)["inside"].agg(["sum", "mean"])
    chosen = by[(by["sum"] >= SEASON_PURCHASES) & (by["mean"] >= SEASON_LIFT * every)]
    return [(str(one), None if pd.isna(two) else str(two)) for one, two in chosen.index]


def _in_window(at: pd.Series, as_of: pd.Timestamp, years_back: int) -> NDArray[np.bool_]:
    low = as_of + pd.Timedelta(days=LEAD_DAYS - YEAR_DAYS * years_back)
    return ((at >= low) & (at < low + pd.Timedelta(days=SEASON_DAYS))).to_numpy()


def _of_category(lines: pd.DataFrame, key: tuple[str, str | None], as_of: pd.Timestamp) -> pd.DataFrame:
    known = lines[lines["customer_id"].notna()]
    same = (known["category_1"] == key[0]) & (
        known["category_2"].isna() if key[1] is None else known["category_2"] == key[1]
    )
    category, then = known[same], as_of - pd.Timedelta(days=YEAR_DAYS)
    who_then, who = _customers(known, then), _customers(known, as_of)
    outcome = who_then.isin(_buyers(category, as_of, 1))
    kinds_then = _kinds(known, category, who_then, then)
    shares = _shares(kinds_then, outcome)
    kinds = _kinds(known, category, who, as_of)
    learned = bool((kinds_then.last_season != NEW).any())
    p = shares[kinds.last_season if learned else np.zeros_like(kinds.last_season), kinds.recency]
    bought, seen = _seasons(known, category, who, as_of)
    window = as_of + pd.Timedelta(days=LEAD_DAYS)
    return pd.DataFrame(
        {
            "customer_id": who, "category_1": key[0], "category_2": key[1], "as_of": np.datetime64(as_of, "us"),
            "window_from": np.datetime64(window, "us"),
            "window_to": np.datetime64(window + pd.Timedelta(days=SEASON_DAYS), "us"),
            "status": "ok" if learned else "one_season", "probability": p, "seasons_bought": bought, "seasons_seen": seen,
        }
    )  # fmt: skip


def _customers(known: pd.DataFrame, at: pd.Timestamp) -> pd.Index:
    """Who ordered in the year before an instant."""
    recent = (known["bought_at"] < at) & (known["bought_at"] >= at - pd.Timedelta(days=YEAR_DAYS))
    found: pd.Index = pd.Index(np.unique(known.loc[recent, "customer_id"].to_numpy(dtype=object)))
    return found


def _buyers(category: pd.DataFrame, as_of: pd.Timestamp, years_back: int) -> pd.Index:
    bought = _in_window(category["bought_at"], as_of, years_back)
    found: pd.Index = pd.Index(np.unique(category.loc[bought, "customer_id"].to_numpy(dtype=object)))
    return found


def _kinds(known: pd.DataFrame, category: pd.DataFrame, who: pd.Index, at: pd.Timestamp) -> _Kinds:
    """How customers stood at an instant, by the purchases before it."""
    before = known[known["bought_at"] < at].groupby("customer_id")["bought_at"]
    first, last = (getattr(before, name)().reindex(who) for name in ("min", "max"))
    window = at + pd.Timedelta(days=LEAD_DAYS - YEAR_DAYS)
    season = np.where(first < window, np.where(who.isin(_buyers(category, at, 1)), BOUGHT, NOT_BOUGHT), NEW)
    silent = ((at - last) / pd.Timedelta(days=1)).to_numpy()
    recency = np.minimum(np.searchsorted(RECENCY_DAYS, silent), len(RECENCY_DAYS) - 1)
    return _Kinds(season.astype(np.int64), recency.astype(np.int64))


def _shares(kinds: _Kinds, outcome: NDArray[np.bool_]) -> Floats:
    """Smoothed share of buyers, kinds of last season x classes of recency."""
    size = (3, len(RECENCY_DAYS))
    flat = kinds.last_season * size[1] + kinds.recency
    customers = np.bincount(flat, minlength=size[0] * size[1]).reshape(size).astype(np.float64)
    bought = np.bincount(flat, outcome, size[0] * size[1]).reshape(size)
    overall = (bought.sum() + 0.5) / (customers.sum() + 1.0)
    by_season = (bought.sum(axis=1) + PRIOR * overall) / (customers.sum(axis=1) + PRIOR)
    by_recency = (bought.sum(axis=0) + PRIOR * overall) / (customers.sum(axis=0) + PRIOR)
    above = np.clip(by_season[:, None] * by_recency[None, :] / overall, 0.0, 1.0)
    return np.asarray((bought + PRIOR * above) / (customers + PRIOR))


def _seasons(
    known: pd.DataFrame, category: pd.DataFrame, who: pd.Index, as_of: pd.Timestamp
) -> tuple[Ints, Ints]:
    """Count in how many of the last three windows each customer bought, and how many began after the first order."""
    first = known.groupby("customer_id")["bought_at"].min().reindex(who)
    bought, seen = np.zeros(len(who), dtype=np.int64), np.zeros(len(who), dtype=np.int64)
    for years in (1, 2, 3):
        there = (first < as_of + pd.Timedelta(days=LEAD_DAYS - YEAR_DAYS * years)).to_numpy()
        seen += there
        bought += there & who.isin(_buyers(category, as_of, years))
    return bought, seen
