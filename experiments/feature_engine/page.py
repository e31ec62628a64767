"""The record of a benchmark as a page."""

from statistics import median
from typing import Any

__all__ = ["page"]

NAMES = {
    "patron": "Patron, end to end",
    "group_by_per_cutoff": "DuckDB, a GROUP BY for each cutoff",
    "range_join": "DuckDB, range join",
    "group_by_with_next": "DuckDB, a GROUP BY for each cutoff, distinct by next",
    "kernel": "Patron's kernel alone, rows read before",
    "read_and_sort": "limit: read and sort in DuckDB",
    "catalogue": "Patron, end to end, whole catalogue",
}


def page(record: dict[str, Any]) -> str:
    machine = record["machine"]
    turns = len(record["timings"][0]["turns"])
    return f"""# The feature engine against DuckDB

Written by `experiments/feature_engine/run.py`; do not edit. {len(record["columns"])} columns of the customers with an order in the
365 days before the cutoff, from one warehouse of made-up order lines (3 in 5 rows) and events, 30 rows a customer;
results as Arrow or pandas. The SQL leaves out what these rows do not need and Patron looks after all the same: links,
corrections, rows known late. "Distinct by next" counts distinct days and products as Patron does. {machine["cores"]} cores, Python {machine["python"]}, DuckDB {machine["duckdb"]}; {turns} turns, medians of ratios within a turn.
Equal, counts and amounts to the last bit, other numbers to 1e-9: {equal(record["rows_compared"])}.

{ratios(record["ratios"])}

Seconds are medians with the fastest and slowest; memory is the process's peak and, of it, the peak before the run.

{timings(record["timings"])}
"""


def equal(compared: dict[str, int]) -> str:
    return "; ".join(f"{count:,} customers x cutoffs of {size}" for size, count in compared.items())


def ratios(found: list[dict[str, Any]]) -> str:
    lines = {
        f"best DuckDB form / Patron, {found[0]['cutoffs']} cutoffs": (
            "best_peer_over_patron",
            "{:.2f}",
            ">= 3",
        ),
        "a GROUP BY for each cutoff / Patron": ("group_by_per_cutoff_over_patron", "{:.2f}", ""),
        "range join / Patron": ("range_join_over_patron", "{:.2f}", ""),
        "best DuckDB form / Patron in processor time": ("best_peer_over_patron_cpu", "{:.2f}", ""),
        "best DuckDB form / Patron, 1 cutoff": ("best_peer_over_patron_one_cutoff", "{:.2f}", ""),
        "one more cutoff, share of the first: Patron": ("one_more_cutoff_patron", "{:.1%}", "<= 10 %"),
        "its kernel": ("one_more_cutoff_kernel", "{:.1%}", ""),
        "best DuckDB form": ("one_more_cutoff_best_peer", "{:.1%}", ""),
        f"Patron / (read and sort), {found[0]['cutoffs']} cutoffs": (
            "patron_over_read_and_sort",
            "{:.2f}",
            "",
        ),
    }
    head = ["", *(f"{one['rows']:,} rows" for one in found), "budget"]
    body = [
        [name, *(form.format(one[key]) for one in found), budget]
        for name, (key, form, budget) in lines.items()
    ]
    return table(head, body)


def timings(found: list[dict[str, Any]]) -> str:
    body = []
    for one in found:
        seconds = [measured["seconds"] for measured in one["turns"]]
        cpu = median(measured["cpu_seconds"] for measured in one["turns"])
        peak, before = (
            max(measured[key] for measured in one["turns"]) for key in ("peak_mb", "peak_before_mb")
        )
        spread = f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        name = NAMES[one["contender"]]
        body.append(
            [
                name,
                f"{one['rows']:,}",
                str(one["cutoffs"]),
                spread,
                f"{cpu:.2f}",
                f"{peak:,.0f} ({before:,.0f})",
            ]
        )
    return table(["", "rows", "cutoffs", "seconds", "processor seconds", "peak MB"], body)


def table(head: list[str], body: list[list[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
