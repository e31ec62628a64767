"""Value: spend predicted as of an origin against what was spent, beside BG/NBD with Gamma-Gamma.

Usage: PATRON_DATA=<folder of data sets> python experiments/value/run.py [retail] [cdnow] [simulated] [page]

Without arguments all three parts run; a part that does not run keeps its figures, and ``page`` alone writes the page anew.
Writes ``results.json`` and ``RESULTS.md`` (with ``NOTES.md`` at its end) beside this file.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from features import Warehouse, build, ingest_source, ingest_tables, instant
from features.sources.simulate import generate
from training.bg_nbd import expected_purchases, fit_bg_nbd
from training.components import history_weeks
from training.gamma_gamma import expected_mean_spend, fit_gamma_gamma
from training.intervals import bootstrap_interval, paired_bootstrap
from training.preparation import prepare
from training.targets import future_value
from training.value.fit import VALUE_PARAMETERS, forward_value, train_value
from training.value.forward import METRICS, forward_figures
from training.value.metrics import coverage, decile_error, spearman, total_bias
from training.value.panel import prepare_value
from training.value.predict import expected_spend, log_mean_spend, predict_value, purchase_days

HERE = Path(__file__).parent
ORIGINS = ("2011-03-12", "2011-06-12", "2011-07-24", "2011-09-10")
HISTORY = (
    "orders_all",
    "active_days_all",
    "days_since_last_order",
    "days_since_first_order",
    "btyd_frequency",
    "btyd_monetary",
)
DRAWS = 200


def judged(warehouse, origin, horizons):
    """Train as of an origin; figures of each horizon (days)."""
    begun = time.perf_counter()
    as_of = instant(origin)
    value = prepare_value(warehouse, prepare(warehouse, as_of))
    forward = forward_value(value, VALUE_PARAMETERS)
    model = train_value(value, forward, VALUE_PARAMETERS, forward_figures(forward))
    frame = build(warehouse, [as_of])
    predictions = predict_value(model, frame)
    seconds = round(time.perf_counter() - begun, 1)
    return [
        figures(warehouse, as_of, model, frame, predictions, days) | {"origin": origin, "seconds": seconds}
        for days in horizons
    ]


def figures(warehouse, as_of, model, frame, predictions, days):
    outcome = future_value(warehouse, frame, days)
    card, spent = model.card, outcome.net_spend
    said = {
        "patron": {90: predictions.predicted_clv_90d, 365: predictions.predicted_clv}.get(
            days, expected_spend(model, frame, days)
        ),
        "bg_nbd": literature(warehouse, as_of, frame, days),
        "mbg_nbd": purchase_days(card.baseline, frame, days)
        * np.exp(log_mean_spend(card.spend, card.mean_spend_cap, frame)),
    }
    rng = np.random.default_rng(1)
    record = {
        "days": days,
        "customers": len(frame),
        "spent": float(spent.sum()),
        "season": card.season.shift(days),
        "figures": {name: figure_of(spent, p, rng) for name, p in said.items()},
        "difference": {
            f"{metric}_{other}": asdict(paired_bootstrap(METRICS[metric], spent, said["patron"], said[other], rng, draws=DRAWS))
            for metric in ("gini", "spearman") for other in ("bg_nbd", "mbg_nbd")
        },
    }  # fmt: skip
    bands = {90: card.horizons[0].band, 365: card.horizons[1].band}
    if days in bands:
        level = (
            card.season.shift(days) + {90: card.horizons[0].log_level, 365: card.horizons[1].log_level}[days]
        )
        expected = purchase_days(card.baseline, frame, days) * np.exp(level)
        record["band"] = asdict(coverage(spent, *bands[days].around(said["patron"], expected)))
        record["orders"] = {
            "bias": total_bias(outcome.orders, expected),
            "spearman": spearman(outcome.orders, expected),
        }
    return record


def figure_of(spent, predicted, rng):
    intervals = {name: asdict(bootstrap_interval(m, (spent, predicted), rng, draws=DRAWS)) for name, m in METRICS.items()}  # fmt: skip
    return {**intervals, "decile_error": decile_error(spent, predicted)}


def literature(warehouse, as_of, frame, days):
    """BG/NBD and Gamma-Gamma as published: fitted to everybody who ever bought, spends of repeat purchase days only."""
    ever = build(warehouse, [as_of], population="all", columns=HISTORY)
    ever = ever[ever["orders_all"] > 0]
    repeat = ever[(ever["btyd_frequency"] > 0) & (ever["btyd_monetary"] > 0)]
    spend = fit_gamma_gamma(repeat["btyd_frequency"], repeat["btyd_monetary"])
    purchases = expected_purchases(fit_bg_nbd(*history_weeks(ever)), *history_weeks(frame), days / 7)
    return purchases * expected_mean_spend(spend, frame["btyd_frequency"], frame["btyd_monetary"])


def retail(folder, data):
    warehouse = Warehouse(folder / "retail.duckdb")
    ingest_source(warehouse, "online-retail", data / "online_retail_ii" / "online_retail_II.parquet")
    return [row for origin in ORIGINS for row in judged(warehouse, origin, (90,))]


def cdnow(folder, data):
    warehouse = Warehouse(folder / "cdnow.duckdb")
    ingest_source(warehouse, "cdnow", data / "cdnow" / "cdnow_master.parquet")
    return [*judged(warehouse, "1998-04-01", (90,)), *judged(warehouse, "1997-10-01", (273,))]


def simulated(folder, _data):
    """Three years of history; spends are the tables' own, from the third year, which training as of the origin does not see."""
    rows = []
    for seed in (1, 2):
        place = folder / f"world{seed}"
        generate(place, 5_000, 1_095, np.datetime64("2026-09-07"), seed)
        warehouse = Warehouse(place / "w.duckdb")
        ingest_tables(warehouse, place / "tables")
        rows += [row | {"seed": seed} for row in judged(warehouse, "2025-09-07", (90, 365))]
    return rows


PARTS = {"retail": retail, "cdnow": cdnow, "simulated": simulated}
TITLES = {
    "retail": "Online Retail II, 90 days",
    "cdnow": "CDNOW (all 23,570 customers): 90 days, and 39 weeks after 39 weeks",
    "simulated": "Made-up retailer, 5,000 customers, two years of history at the origin: 90 and 365 days",
}


def shown(interval):
    return f"{interval['estimate']:.4f} ± {interval['standard_error']:.4f}"


def gap(d):
    tie = abs(d["estimate"]) <= d["standard_error"]
    return f"{d['estimate']:+.4f}" + (" (tie)" if tie else f" ± {d['standard_error']:.4f}")


def bias(interval):
    return f"{interval['estimate']:+.3f} ± {interval['standard_error']:.3f}"


def table(rows):
    lines = [
        "| origin | days | n | Gini | BG/NBD | difference | to MBG/NBD | Spearman | BG/NBD | difference | to MBG/NBD | total | BG/NBD | tenths | BG/NBD |",
        "| --- |" + " ---: |" * 14,
    ]
    for row in rows:
        ours, theirs, d = row["figures"]["patron"], row["figures"]["bg_nbd"], row["difference"]
        name = row["origin"] + (f", world {row['seed']}" if "seed" in row else "")
        lines.append(
            f"| {name} | {row['days']} | {row['customers']:,} | {shown(ours['gini'])} | {theirs['gini']['estimate']:.4f} "
            f"| {gap(d['gini_bg_nbd'])} | {gap(d['gini_mbg_nbd'])} | {shown(ours['spearman'])} | {theirs['spearman']['estimate']:.4f} "
            f"| {gap(d['spearman_bg_nbd'])} | {gap(d['spearman_mbg_nbd'])} | {bias(ours['total_bias'])} | {bias(theirs['total_bias'])} "
            f"| {ours['decile_error']:.3f} | {theirs['decile_error']:.3f} |"
        )
    return "\n".join(lines)


def band_table(record):
    lines = ["| | days | below | within | above | orders: total | Spearman |", "| --- |" + " ---: |" * 6]
    for part, rows in record.items():
        for row in rows:
            if "band" in row:
                b, o = row["band"], row["orders"]
                lines.append(
                    f"| {part} {row['origin']}{', world ' + str(row['seed']) if 'seed' in row else ''} | {row['days']} | {b['below']:.3f} "
                    f"| {b['within']:.3f} | {b['above']:.3f} | {o['bias']:+.3f} | {o['spearman']:.3f} |"
                )
    return "\n".join(lines)


def means(rows):
    """Mean differences over origins; the standard error takes the origins' customers for others, which they are in part."""
    said = []
    for metric in ("gini", "spearman"):
        d = [row["difference"][f"{metric}_bg_nbd"] for row in rows]
        mean = float(np.mean([one["estimate"] for one in d]))
        error = float(np.sqrt(np.sum([one["standard_error"] ** 2 for one in d])) / len(d))
        said.append(f"{metric} {mean:+.4f} ± {error:.4f}{' (tie)' if abs(mean) <= error else ''}")
    return f"Mean difference from BG/NBD with Gamma-Gamma: {', '.join(said)}."


def page(record):
    parts = [
        f"## {TITLES[part]}\n\n{table(rows)}\n\n{means(rows)} Slowest origin, features and training: "
        f"{max(row['seconds'] for row in rows):.0f} s.\n"
        for part, rows in record.items()
    ]
    return f"""# Value: spend net of refunds

Written by `experiments/value/run.py`; do not edit. Population: an order in the 365 days before the origin. Models know
nothing at or after the origin. ± is a bootstrap standard error over customers ({DRAWS} draws), paired for differences (Patron
less the other); a difference within one is a tie. BG/NBD: with Gamma-Gamma as published (repeat purchase days only). MBG/NBD:
with Gamma-Gamma on all purchase days, net of refunds: what Patron's trees and season correct. Total: predicted / spent - 1.
Tenths: mean distance of predicted and spent over the tenths, in units of the mean spend.

{chr(10).join(parts)}
## The 10-90 % band, and orders

Who spends nothing lies within every band that begins at 0, so not 80 but up to 90 % are within; above should be .1. The band was
measured on cutoffs before the origin: where the total is off by the season, so is the share above.

{band_table(record)}

{(HERE / "NOTES.md").read_text(encoding="utf-8")}"""


def main():
    asked = [part for part in sys.argv[1:] or PARTS if part != "page"]
    data = Path(os.environ.get("PATRON_DATA", ""))
    if "PATRON_DATA" not in os.environ and set(asked) & {"retail", "cdnow"}:
        sys.exit("PATRON_DATA is not set: it names the folder that holds online_retail_ii/ and cdnow/")
    kept = HERE / "results.json"
    record = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for part in asked:
            record[part] = PARTS[part](Path(scratch), data)
            print(table(record[part]), flush=True)
    record = {part: record[part] for part in PARTS if part in record}
    kept.write_text(json.dumps(record, indent=1, default=float) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
