"""RESULTS.md from the record of ``run.py``."""

from statistics import mean

from training.replenishment.due import DUE_WITHIN_DAYS


def page(record):
    worlds, real = record["worlds"], record["online_retail_ii"]["due"]
    groups = [(f"made-up retailer {w['seed']}", w["due"]) for w in worlds] + [
        ("Online Retail II, dense products", real)
    ]
    made = [o for w in worlds for o in w["due"]]
    return "\n".join(
        [
            "# When will they need it again?", "",
            f"Written by `python experiments/replenishment/run.py`; do not edit. {len(worlds)} made-up retailers of "
            f"{record['customers']:,} customers, categories declared replenishable; Online Retail II has no categories, so "
            "products with 200 gaps or more are its items. Population: every customer x item ever bought before the origin. "
            "Each origin is predicted by a model that knew nothing at or after it. Rules: last purchase plus the item's "
            "median gap, or plus the customer's own mean gap (the item's median without one); a date that has passed is "
            "moved to the origin. Brackets: 95 % interval, bootstrap over customers; within one standard error is a tie.", "",
            "## Median absolute error of the due date, days, on the purchases that came within so many days", "",
            *errors(groups), "", *summary(made, "made-up retailers"), *summary(real, "Online Retail II"), "",
            f"The due date is the median of the purchases that come within {DUE_WITHIN_DAYS} days, so {DUE_WITHIN_DAYS} is the horizon "
            "that it is made for; at 90 days only early purchases are looked at, which favours early dates.", "",
            "## Brier score of a purchase within so many days, over all pairs", "",
            "The rules say 1 if their date lies within the days (0 where it has passed); the curve is the item's Kaplan-Meier given the silence so far.", "", *briers(groups), "",
            "## Is the confidence true?", "",
            "By fifths of the confidence: its mean, and the share whose next purchase fell in the band.", "", *confidences(groups), "",
            "## Against the truth", "",
            f"As of the end of the tables: shelves that really run out, and are filled again, within {DUE_WITHIN_DAYS} days; and next "
            "purchases within as many. Median absolute error, days.", "", *truths(worlds), "",
            "## Seasonal need, a month ahead", "", *seasons(worlds), "",
            "## Expected demand, 8 weeks by category, store and week", "", *demands(worlds), "", *speeds(record["speed"]), "",
            WHAT_DID_NOT_HELP,
        ]
    )  # fmt: skip


def errors(groups):
    lines = ["| | origin | pairs | days | purchases | Patron | item's median | Patron - it | own mean | Patron - it |",
             "| --- | --- |" + " ---: |" * 8]  # fmt: skip
    for name, origins in groups:
        lines += [
            f"| {name} | {o['origin']} | {o['pairs']:,} | {e['days']} | {e['events']:,} | {e['patron']:.1f} "
            f"| {e['category_median']:.1f} | {shown(e['against_category_median'])} "
            f"| {e['own_mean']:.1f} | {shown(e['against_own_mean'])} |"
            for o in origins
            for e in o["errors"]
        ]
    return lines


def shown(d):
    return f"{d['difference']:+.1f} [{d['low']:+.1f}, {d['high']:+.1f}]{' (tie)' if d['tie'] else ''}"


def summary(origins, name):
    lines = []
    for days in (DUE_WITHIN_DAYS, 90):
        found = [e for o in origins for e in o["errors"] if e["days"] == days]
        ours, rule, own = (mean(e[k] for e in found) for k in ("patron", "category_median", "own_mean"))
        lines.append(
            f"- {name}, {days} days, mean over {len(found)} origins: {ours:.1f} days against {rule:.1f} "
            f"({ours / rule - 1:+.0%}) and {own:.1f} ({ours / own - 1:+.0%})."
        )
    return lines


def briers(groups):
    lines = [
        "| | origin | days | happened | predicted | Patron | curve | item's median | own mean |",
        "| --- | --- |" + " ---: |" * 7,
    ]
    for name, origins in groups:
        lines += [
            f"| {name} | {o['origin']} | {b['days']} | {b['happened']:.3f} | {b['predicted']:.3f} | {b['patron']:.4f} "
            f"| {b['category_curve']:.4f} | {b['category_median']:.4f} | {b['own_mean']:.4f} |"
            for o in origins
            for b in o["brier"]
        ]
    return lines


def confidences(groups):
    lines = ["| | origin | 1 | 2 | 3 | 4 | 5 |", "| --- | --- |" + " ---: |" * 5]
    for name, origins in groups:
        for o in origins:
            if o["confidence"]:
                cells = " | ".join(f"{c['confidence']:.2f}: {c['inside']:.2f}" for c in o["confidence"])
                lines.append(f"| {name} | {o['origin']} | {cells} |")
    return lines


def truths(worlds):
    lines = [
        "| retailer | against | n | due_at | due_from | item's median | own mean |",
        "| --- | --- |" + " ---: |" * 5,
    ]
    for w in worlds:
        for name, key in (("runs out", "runs_out"), ("next purchase", "bought")):
            t = w["truth"][key]
            lines.append(
                f"| {w['seed']} | {name} | {t['n']:,} | {t['patron']:.1f} | {t['patron_due_from']:.1f} "
                f"| {t['category_median']:.1f} | {t['own_mean']:.1f} |"
            )
    return lines


def seasons(worlds):
    lines = ["Brier score over the customers with an order in the year before; beside it that of the mean of what happened, and of "
             "the two means of who bought in an earlier season and who did not, which no forecast knows.", "",
             "| retailer | origin | categories | rows | happened | predicted | Brier | mean | two means | lift of the best tenth |",
             "| --- | --- | --- |" + " ---: |" * 7]  # fmt: skip
    lines += [
        f"| {w['seed']} | {s['origin']} | {', '.join(s['categories'])} | {s['rows']:,} | {s['happened']:.3f} | {s['predicted']:.3f} "
        f"| {s['brier']:.4f} | {s['brier_of_the_mean']:.4f} | {s['brier_of_last_season']:.4f} | {s['lift_of_the_best_tenth']:.2f} |"
        for w in worlds
        for s in w["seasonal"]
    ]
    return lines


def demands(worlds):
    lines = ["Beside it: the same counts of the 8 weeks before. 80 % intervals of small whole numbers hold more than 80 %.", "",
             "| retailer | origin | expected | happened | other share | inside the interval | RMSE of a cell | weeks before "
             "| RMSE by category and week | weeks before |", "| --- | --- |" + " ---: |" * 8]  # fmt: skip
    lines += [
        f"| {w['seed']} | {d['origin']} | {d['expected']:,.0f} | {d['happened']:,.0f} | {d['other_share']:.2f} | {d['inside']:.3f} "
        f"| {d['rmse']:.3f} | {d['rmse_of_the_weeks_before']:.3f} | {d['rmse_by_category_and_week']:.2f} "
        f"| {d['rmse_before_by_category_and_week']:.2f} |"
        for w in worlds
        for d in w["demand"]
    ]
    return lines


def speeds(s):
    return ["## Speed", "",
            f"A retailer of {s['customers']:,} customers: {s['pairs']:,} customers x categories, fitted in {s['fit_s']:.1f} s and dated, "
            f"from the warehouse, in {s['due_s']:.1f} s; dating a million gaps that are read takes {s['million_dates_s']:.2f} s. "
            "One thread of NumPy, DuckDB on 2 cores."]  # fmt: skip


WHAT_DID_NOT_HELP = """## What was tried and left out

- A Weibull gap with a gamma frailty of the pair (Vaupel, Manton and Stallard 1979), as closed as the log-normal: likelier and a
  little nearer on the made-up retailers, less likely and no nearer on Online Retail II. Real purchases decided.
- Need and visit as a sum (a gap is what was bought, used up, plus the wait for the next order) in place of a product: no likelier.
- The days since the last order of whatever, as a second thought about who is gone: the Brier score moved in its third place.
- All gaps of Online Retail II in place of 60,000: no figure changed in its third place, three times the time.
- A due date without a horizon (median of whoever ever comes back): later than what came in the time that was looked at, since
  the slow ones are still to come.
- The cycles know no season: probabilities are too low before the peak and too high after it. Demand takes the season from last year."""
