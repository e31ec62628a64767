"""The page that ``run.py`` writes: figures at each origin, slices, timing, and what each idea brought."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from training.predict import HORIZONS_DAYS

__all__ = ["page"]

Record = Mapping[str, Any]


def page(record: Mapping[str, Record]) -> str:
    """Return the whole page."""
    parts = "\n\n".join(_data_set(one) for one in record.values())
    return f"""# Churn and timing, backtested

Written by `experiments/churn/run.py`; do not edit. Population `active-365d`: an order in the 365 days before the origin. Churn: no
order in the 90 days after it. Models and baselines know nothing at or after the origin. Brackets: 95 % bootstrap interval over customers.
Differences are on the same customers, with their bootstrap standard error; within one of those it is a tie.

{parts}
"""


def _data_set(of: Record) -> str:
    origins = of["origins"]
    return f"""## {of["title"]}

{_comparisons([(one["origin"], one["everybody"]) for one in origins])}

Mean over the origins: {_means(origins)}.

Slices at {origins[-1]["origin"]}:

{_comparisons(list(origins[-1]["slices"].items()))}

### The time of the next order

Integrated Brier score over 7 to 90 days (0 is perfect), and the mean predicted share with an order within so many days minus the
observed one. Kaplan-Meier gives everybody the curve of the training rows.

{_timing(origins)}

### What each idea brought

Logloss (AUC) at each origin, then means; ECE in brackets is the largest of the origins. Better or worse than Patron by so many standard
errors of the logloss's difference, origin by origin.

{_variants(origins)}

Clock: {"; ".join(f"{one['origin']} shift {one['clock']['shift']:+.2f}, evidence {one['clock']['evidence']:.2f}" for one in origins)}.
Loading {of["load_seconds"]} s, training and judging {mean(one["train_seconds"] for one in origins):.0f} s an origin, everything
{of["seconds"]:.0f} s on 2 cores; peak {of["peak_mb"]:,} MB."""


def _means(origins: Sequence[Record]) -> str:
    model, baseline = (
        mean(one["everybody"][which]["log_loss"]["estimate"] for one in origins)
        for which in ("model", "baseline")
    )
    auc = mean(one["everybody"]["auc_difference"]["estimate"] for one in origins)
    return f"logloss {model:.4f}, MBG/NBD {baseline:.4f} ({model / baseline - 1:+.1%}); AUC {auc:+.4f}"


def _comparisons(rows: Sequence[tuple[str, Record]]) -> str:
    head = "| | n | churn | AUC | MBG/NBD | difference | logloss | MBG/NBD | difference | ECE | MBG/NBD | floor |"
    lines = [head, "| --- |" + " ---: |" * 11]
    for name, c in rows:
        auc, loss = c["model"]["auc"], c["model"]["log_loss"]
        lines.append(
            f"| {name} | {c['rows']:,} | {c['churn_share']:.3f} | {auc['estimate']:.4f} [{auc['low']:.3f}, {auc['high']:.3f}] "
            f"| {c['baseline']['auc']['estimate']:.4f} | {_difference(c['auc_difference'])} "
            f"| {loss['estimate']:.4f} [{loss['low']:.3f}, {loss['high']:.3f}] | {c['baseline']['log_loss']['estimate']:.4f} "
            f"| {_difference(c['log_loss_difference'])} | {c['model']['ece']:.3f} | {c['baseline']['ece']:.3f} "
            f"| {c['model']['ece_floor']:.3f} |"
        )
    return "\n".join(lines)


def _timing(origins: Sequence[Record]) -> str:
    errors = " | ".join(f"error at {days} d" for days in HORIZONS_DAYS)
    lines = [f"| | Patron | MBG/NBD | difference | Kaplan-Meier | {errors} |", "| --- |" + " ---: |" * 9]
    for one in origins:
        c = one["timing"]
        brier = c["model"]["integrated_brier"]
        off = " | ".join(f"{p - y:+.3f}" for p, y in zip(c["model"]["predicted"], c["observed"], strict=True))
        lines.append(
            f"| {one['origin']} | {brier['estimate']:.4f} [{brier['low']:.3f}, {brier['high']:.3f}] "
            f"| {c['baseline']['integrated_brier']['estimate']:.4f} | {_difference(c['difference_from_baseline'])} "
            f"| {c['kaplan_meier']['integrated_brier']['estimate']:.4f} | {off} |"
        )
    return "\n".join(lines)


def _variants(origins: Sequence[Record]) -> str:
    heads = " | ".join(one["origin"] for one in origins)
    lines = [
        f"| | {heads} | mean logloss | mean AUC | ECE | against Patron |",
        "| --- |" + " ---: |" * (len(origins) + 4),
    ]
    for name in origins[0]["variants"]:
        found = [one["variants"][name] for one in origins]
        cells = " | ".join(f"{one['log_loss']:.4f} ({one['auc']:.4f})" for one in found)
        against = ", ".join(_in_errors(one) for one in found) if name != "Patron" else ""
        lines.append(
            f"| {name} | {cells} | {mean(one['log_loss'] for one in found):.4f} | {mean(one['auc'] for one in found):.4f} "
            f"| {max(one['ece'] for one in found):.3f} | {against} |"
        )
    return "\n".join(lines)


def _in_errors(of: Record) -> str:
    errors = of["log_loss_difference"] / max(of["log_loss_standard_error"], 1e-12)
    return "tie" if abs(errors) <= 1 else f"{'worse' if errors > 0 else 'better'} {abs(errors):.0f}"


def _difference(d: Record) -> str:
    tie = abs(d["estimate"]) <= d["standard_error"]
    return f"{d['estimate']:+.4f}" + (" (tie)" if tie else f" ± {d['standard_error']:.4f}")
