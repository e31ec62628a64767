"""Due dates, seasonal need and demand, held against what happened."""

import time

import numpy as np
import pandas as pd

from training import targets
from training.intervals import paired_bootstrap
from training.replenishment.demand import expected_demand
from training.replenishment.due import DUE_WITHIN_DAYS, HORIZONS_DAYS, due, open_gaps
from training.replenishment.fit import fit_replenishment
from training.replenishment.items import keys_of
from training.replenishment.purchases import ITEM_COLUMNS, gaps, read_purchases
from training.replenishment.remaining import days_left, probability_over
from training.replenishment.seasonal import LEAD_DAYS, SEASON_DAYS, seasonal_need

EVENT_DAYS = (90, DUE_WITHIN_DAYS)
RULES = ("category_median", "own_mean")


def origin_figures(warehouse, as_of, seen_days):
    """Fit as of an origin; figures of its due dates, events within ``EVENT_DAYS`` as far as they were seen."""
    model = fit_replenishment(warehouse, as_of)
    needs = due(model, warehouse, as_of)
    needs = needs[needs["due_at"].notna()].reset_index(drop=True)
    waited = targets.next_purchases(warehouse, needs.assign(cutoff=as_of), DUE_WITHIN_DAYS).days
    waited = np.where(waited < seen_days, waited, np.nan)
    said, curve = rules(warehouse, as_of, needs)
    said["patron"] = days(needs["due_at"], as_of)
    return {
        "origin": str(as_of.date()),
        "pairs": len(needs),
        "customers": int(needs["customer_id"].nunique()),
        "overdue": float((needs["status"] == "overdue").mean()),
        "errors": [error_figures(needs, said, waited, h) for h in EVENT_DAYS if h <= seen_days],
        "brier": [brier_figures(needs, said, curve, waited, h) for h in HORIZONS_DAYS if h <= seen_days],
        "confidence": confidence_figures(needs, as_of, waited) if seen_days >= DUE_WITHIN_DAYS else [],
    }


def days(moments, as_of):
    return ((moments - as_of) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64)


def rules(warehouse, as_of, needs):
    """Days to the date that each rule gives, which may have passed, and each item's curve P(gap <= days)."""
    said, curve = {name: np.full(len(needs), np.nan) for name in RULES}, {}
    keys = pd.MultiIndex.from_frame(needs[["customer_id", *ITEM_COLUMNS]].fillna(""))
    elapsed = -days(needs["last_purchase_at"], as_of)
    for level in needs["level"].unique():
        bought = read_purchases(warehouse, as_of, level)
        seen, names = gaps(bought), keys_of(bought.items)
        rows = pd.DataFrame(
            {"item": bought.item, "customer": bought.customer, "days": seen.days, "closed": seen.closed}
        )
        closed = rows[rows["closed"]]
        median = closed.groupby("item")["days"].median()
        own = closed.groupby(["customer", "item"])["days"].mean().reset_index()
        own.index = pd.MultiIndex.from_tuples(
            [(bought.customers[c], level, *(part or "" for part in names[i])) for c, i in zip(own["customer"], own["item"], strict=True)]
        )  # fmt: skip
        item_of = {names[i]: i for i in range(len(names))}
        here = (needs["level"] == level).to_numpy()
        place = np.array([item_of[key] for key in keys_of(needs[here])])
        usual = median.reindex(place).to_numpy()
        mine = own["days"].reindex(keys[here]).to_numpy()
        said["category_median"][here] = usual - elapsed[here]
        said["own_mean"][here] = np.where(np.isnan(mine), usual, mine) - elapsed[here]
        curve[level] = (place, {i: kaplan_meier(rows[rows["item"] == i]) for i in np.unique(place)})
    return said, (curve, elapsed)


def kaplan_meier(of):
    of = of.sort_values(["days", "closed"], ascending=[True, False])
    at_risk = np.arange(len(of), 0, -1)
    left = np.cumprod(np.where(of["closed"], 1.0 - 1.0 / at_risk, 1.0))
    return of["days"].to_numpy(), np.append([1.0], left)


def error_figures(needs, said, waited, horizon):
    """Median absolute error, days, on the purchases within the horizon; differences bootstrapped over customers."""
    came = waited < horizon
    groups = needs.loc[came, "customer_id"].to_numpy()
    found = {"days": horizon, "events": int(came.sum())}
    said = {name: np.maximum(at, 0.0) for name, at in said.items()}
    found |= {name: float(np.median(np.abs(at[came] - waited[came]))) for name, at in said.items()}
    for name in RULES:
        gap = paired_bootstrap(
            lambda y, p: float(np.median(np.abs(y - p))), waited[came], said["patron"][came], said[name][came],
            np.random.default_rng(1), draws=100, groups=groups,
        )  # fmt: skip
        found[f"against_{name}"] = {
            "difference": gap.estimate,
            "low": gap.low,
            "high": gap.high,
            "tie": gap.is_tie,
        }
    return found


def brier_figures(needs, said, curve, waited, horizon):
    """Brier score of a purchase within the horizon, over all pairs: the rules say 0 or 1, the curve is the item's own."""
    came = waited < horizon
    p = needs[f"p_due_{horizon}d"].to_numpy()
    scores = {"days": horizon, "happened": float(came.mean()), "predicted": float(p.mean())}
    scores["patron"] = float(np.mean((p - came) ** 2))
    within = {name: (said[name] >= 0) & (said[name] < horizon) for name in RULES}
    scores |= {name: float(np.mean((says - came.astype(float)) ** 2)) for name, says in within.items()}
    by_level, elapsed = curve
    q = np.zeros(len(needs))
    for level, (place, curves) in by_level.items():
        rows = np.flatnonzero(needs["level"] == level)
        for item in np.unique(place):
            of = rows[place == item]
            at, left = curves[item]
            now, then = (left[np.searchsorted(at, elapsed[of] + h, side="right")] for h in (0.0, horizon))
            q[of] = np.where(now > 0, 1.0 - then / np.maximum(now, 1e-12), 0.0)
    scores["category_curve"] = float(np.mean((q - came) ** 2))
    return scores


def confidence_figures(needs, as_of, waited):
    """By fifths of the confidence: the mean of it, and the share whose next purchase fell in the band."""
    inside = (waited >= days(needs["due_from"], as_of)) & (waited < days(needs["due_to"], as_of))
    fifths = np.array_split(np.argsort(needs["confidence"].to_numpy(), kind="stable"), 5)
    return [
        {"confidence": float(needs["confidence"].iloc[f].mean()), "inside": float(inside[f].mean())}
        for f in fifths
    ]


def truth_figures(warehouse, as_of, truth):
    """At the end of the tables: due dates against when the shelf really runs out, and the next purchase of the year to come."""
    model = fit_replenishment(warehouse, as_of)
    needs = due(model, warehouse, as_of)
    needs = needs[(needs["level"] == "category") & needs["due_at"].notna()].reset_index(drop=True)
    both = needs.merge(truth, on=["customer_id", "category_1", "category_2"], suffixes=("", "_true"))
    said, _ = rules(warehouse, as_of, both[list(needs.columns)])
    said = {name: np.maximum(at, 0.0) for name, at in said.items()}
    said["patron"], said["patron_due_from"] = days(both["due_at"], as_of), days(both["due_from"], as_of)
    empties = days(both["empties_at"].dt.tz_localize(None), as_of)
    bought = days(both["next_purchase_at"].dt.tz_localize(None), as_of)
    full, came = (
        (empties >= 0) & (empties < DUE_WITHIN_DAYS) & (bought < DUE_WITHIN_DAYS),
        bought < DUE_WITHIN_DAYS,
    )
    return {
        "shelves": len(both),
        "runs_out": {
            "n": int(full.sum()),
            **{k: float(np.median(np.abs(at - empties)[full])) for k, at in said.items()},
        },
        "bought": {
            "n": int(came.sum()),
            **{k: float(np.median(np.abs(at - bought)[came])) for k, at in said.items()},
        },
        "correlation_usual_days": float(
            np.corrcoef(np.log(both["usual_days"]), np.log(both["cycle_days"]))[0, 1]
        ),
    }


def seasonal_figures(warehouse, as_of):
    need = seasonal_need(warehouse, as_of)
    rows = need.assign(level="category", product_id=None, cutoff=as_of)
    bought = targets.bought_between(warehouse, rows, (LEAD_DAYS, LEAD_DAYS + SEASON_DAYS))
    p, base = need["probability"].to_numpy(), bought.mean()
    top = np.argsort(-p, kind="stable")[: len(p) // 10]
    before = need["seasons_bought"].to_numpy() > 0
    return {
        "origin": str(as_of.date()), "categories": sorted(need["category_2"].unique()), "rows": len(need),
        "status": need["status"].iloc[0], "happened": float(base), "predicted": float(p.mean()),
        "brier": float(np.mean((p - bought) ** 2)), "brier_of_the_mean": float(base * (1 - base)),
        "brier_of_last_season": float(np.mean((np.where(before, bought[before].mean(), bought[~before].mean()) - bought) ** 2)),
        "lift_of_the_best_tenth": float(bought[top].mean() / base),
        "bought_before": float(bought[before].mean()), "predicted_before": float(p[before].mean()),
    }  # fmt: skip


def demand_figures(warehouse, as_of, weeks):
    model = fit_replenishment(warehouse, as_of)
    said = expected_demand(model, warehouse, as_of, weeks)
    cells = ["category_1", "category_2", "store_id", "week"]
    both = said.merge(targets.demand(warehouse, as_of, weeks), on=cells, how="left").fillna({"purchases": 0})
    earlier = targets.demand(warehouse, as_of - pd.Timedelta(days=7 * weeks), weeks)
    last = said[cells].merge(earlier, on=cells, how="left")["purchases"].fillna(0).to_numpy()
    y, mean = both["purchases"].to_numpy(), both["expected_purchases"].to_numpy()
    return {
        "origin": str(as_of.date()), "cells": len(both), "expected": float(mean.sum()), "happened": float(y.sum()),
        "other_share": float(both["other_purchases"].sum() / mean.sum()),
        "inside": float(((y >= both["low"]) & (y <= both["high"])).mean()),
        "rmse": float(np.sqrt(np.mean((y - mean) ** 2))), "rmse_of_the_weeks_before": float(np.sqrt(np.mean((y - last) ** 2))),
        "rmse_by_category_and_week": by_category(both, mean, y), "rmse_before_by_category_and_week": by_category(both, last, y),
    }  # fmt: skip


def by_category(both, said, y):
    sums = both.assign(said=said, y=y).groupby(["category_1", "category_2", "week"])[["said", "y"]].sum()
    return float(np.sqrt(np.mean((sums["said"] - sums["y"]) ** 2)))


def seconds_of_dates(model, warehouse, as_of, pairs):
    """The gaps of a warehouse, repeated until there are so many: what dating them takes, with band and probabilities."""
    found = open_gaps(model, warehouse, as_of)
    row = np.resize(np.arange(len(found.rows)), pairs)
    gap = type(found.gap)(found.gap.mean[row], found.gap.sd[row], found.gap.back[row])
    elapsed, begun = found.elapsed_days[row], time.perf_counter()
    for share in (0.1, 0.5, 0.9):
        days_left(gap, elapsed, share, DUE_WITHIN_DAYS)
    for horizon in HORIZONS_DAYS:
        probability_over(gap, elapsed, horizon)
    return time.perf_counter() - begun
