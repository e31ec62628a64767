"""The record of a benchmark as a page."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from contenders import CONTENDERS, PEERS
from leaving_out import LONGEST_S
from plots import PICTURES

__all__ = ["page"]

Record = Mapping[str, Any]
Size = tuple[int, int]

BUDGETS = {"featuretools": ">= 100"}
# Title -> ratio, form, budget.
AGAINST_PEERS: Mapping[str, tuple[str, str, str]] = {
    "best DuckDB form": ("best_duckdb_over_patron", "{:.2f}", ">= 3 at 12 cutoffs"),
    "the same in processor time": ("best_duckdb_over_patron_cpu", "{:.2f}", ""),
    **{CONTENDERS[peer].title: (f"{peer}_over_patron", "{:.2f}", BUDGETS.get(peer, "")) for peer in PEERS},
}
AGAINST_LIMITS: Mapping[str, tuple[str, str, str]] = {
    "26 columns / (read and sort what they look at)": ("patron_over_read_and_sort", "{:.2f}", ""),
    "whole catalogue / (read and sort what it looks at)": (
        "catalogue_over_read_and_sort_catalogue",
        "{:.2f}",
        "<= 8",
    ),
    "whole catalogue / (read and sort what the 26 look at)": ("catalogue_over_read_and_sort", "{:.2f}", ""),
    "75 columns / 26 columns": ("patron_75_over_patron", "{:.2f}", ""),
    "whole catalogue / 26 columns": ("catalogue_over_patron", "{:.2f}", ""),
}
ONE_MORE: Mapping[str, tuple[str, str, str]] = {
    "Patron, 26 columns": ("one_more_cutoff_patron", "{:.1%}", "<= 10 %"),
    "its kernel alone": ("one_more_cutoff_kernel", "{:.1%}", ""),
    "Patron, whole catalogue": ("one_more_cutoff_catalogue", "{:.1%}", ""),
    "best DuckDB form": ("one_more_cutoff_best_duckdb", "{:.1%}", ""),
}


def page(record: Record, large: Record | None) -> str:
    """Return RESULTS.md."""
    sizes = sorted({(one["facts"], one["cutoffs"]) for one in record["timings"]})
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    turns = max(len(one["turns"]) for one in record["timings"])
    return f"""# The feature engine beside its peers

Written by `experiments/feature_engine/run.py`; do not edit. From one warehouse of made-up facts (half of them
order lines, a third events; 30 facts a customer) each contender computes the same {len(record["columns"])} columns of
the customers with an order in the 365 days before the cutoff, and hands them over as Arrow or pandas. The peers leave
out what these rows do not need and Patron looks after all the same: links, corrections, rows known late. DuckDB reads
the rows for Polars and pandas, on the clock; Featuretools, which runs in one process, reads them from Parquet, with
the orders made and the population found by pandas, on the clock too.

{record["cores"]} cores; {versions}. {turns} turns; {record["processes"]}; ratios are medians of the ratios within a
turn. A column head is facts x cutoffs: 1 is 2024-12-01, 12 the months and 52 the weeks of 2024.

Equal, counts and amounts to the last bit, other numbers to 1e-9: {_equal(record["compared"])}.

## How many times Patron's time

{_ratios(record, sizes, AGAINST_PEERS)}

The best DuckDB form: {_best(record["best_duckdb"])}.

{_left_out(record["left_out"])}

## Against the limit, and what a column costs

{_ratios(record, sizes, AGAINST_LIMITS)}

## What one more cutoff costs, as a share of the first

{_ratios(record, [size for size in sizes if size[1] > 1], ONE_MORE)}

## Scaling

{_pictures()}

## One customer online

{_online(record["online"])}

## A large retailer, one cutoff, into Parquet

{_large(large)}

## Seconds, medians

{_timings(record, sizes, lambda turns: f"{median(one['seconds'] for one in turns):.2f}")}

Processor seconds, medians:

{_timings(record, sizes, lambda turns: f"{median(one['cpu_seconds'] for one in turns):.2f}")}

Largest peak of the process, MB; of it about {_before(record["timings"]):,.0f} MB before the run:

{_timings(record, sizes, lambda turns: f"{max(one['peak_mb'] for one in turns):,.0f}")}

Every turn of every run is in `results.json`.
"""


def _equal(compared: Iterable[Record]) -> str:
    return "; ".join(
        f"{one['rows']:,} rows at {_head(one['facts'], one['cutoffs'])} ({len(one['contenders'])} contenders)"
        for one in compared
    )


def _best(found: Iterable[Record]) -> str:
    return "; ".join(
        f"{CONTENDERS[one['contender']].short} at {_head(one['facts'], one['cutoffs'])}" for one in found
    )


def _left_out(found: Sequence[Record]) -> str:
    if not found:
        return "Everybody was run at every size."
    named = "; ".join(
        f"{CONTENDERS[one['contender']].short} at {_head(one['facts'], one['cutoffs'])}, {one['why']}"
        for one in found
    )
    reason = f"one run would take more than {LONGEST_S:.0f} s or too much memory, judged by the sizes before"
    return f"Not run ({reason}): {named}."


def _ratios(record: Record, sizes: Sequence[Size], rows: Mapping[str, tuple[str, str, str]]) -> str:
    found = {(one["name"], one["facts"], one["cutoffs"]): one["value"] for one in record["ratios"]}
    body = []
    for title, (name, form, budget) in rows.items():
        cells = [form.format(found[name, *size]) if (name, *size) in found else "-" for size in sizes]
        if set(cells) != {"-"}:
            body.append([title, *cells, budget])
    return _table(["", *(_head(*size) for size in sizes), "budget"], body)


def _timings(record: Record, sizes: Sequence[Size], cell: Any) -> str:
    found = {(one["contender"], one["facts"], one["cutoffs"]): one["turns"] for one in record["timings"]}
    body = [
        [contender.title, *(cell(found[name, *size]) if (name, *size) in found else "-" for size in sizes)]
        for name, contender in CONTENDERS.items()
        if any((name, *size) in found for size in sizes)
    ]
    return _table(["", *(_head(*size) for size in sizes)], body)


def _before(timings: Iterable[Record]) -> float:
    return median(float(turn["peak_before_mb"]) for one in timings for turn in one["turns"])


def _pictures() -> str:
    return "\n".join(f"![seconds against {name.removesuffix('.png')}]({name})" for name in PICTURES)


def _online(found: Sequence[Record]) -> str:
    body = [[one["source"], f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}"] for one in found]
    first = found[0]
    return (
        f"All {first['features']} features of a customer with {first['orders']} orders and {first['events']} events, "
        f"by `features.compute_one`; {first['calls']:,} calls.\n\n{_table(['', 'p50 ms', 'p99 ms'], body)}"
    )


def _large(large: Record | None) -> str:
    if large is None:
        return "Not measured yet: `large.py` measures it."
    body = [
        ["Patron, whole catalogue into Parquet", f"{large['seconds']:,.0f}", f"{large['peak_mb']:,.0f}"],
        [
            "limit: read and sort what it looks at",
            f"{large['limit_seconds']:,.0f}",
            f"{large['limit_peak_mb']:,.0f}",
        ],
        ["ratio", f"{large['seconds'] / large['limit_seconds']:.2f}", ""],
        ["budget", "", "<= 4,096"],
    ]
    return (
        f"{large['facts']:,} facts of {large['customers']:,} customers, population `all`, "
        f"{large['features']} features, by `features.build_file`; one run each, in processes of their own, {large['cores']} cores; the file has "
        f"{large['file_mb']:,.0f} MB.\n\n{_table(['', 'seconds', 'peak MB'], body)}"
    )


def _head(facts: int, cutoffs: int) -> str:
    return f"{facts / 1e6:g} M x {cutoffs}"


def _table(head: list[str], body: list[list[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
