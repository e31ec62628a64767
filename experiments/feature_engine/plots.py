"""The times as pictures: against facts, cutoffs and columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from columns import COLUMNS, WIDTHS
from contenders import CONTENDERS, PEERS
from matplotlib.figure import Figure
from ratios import Timing

__all__ = ["PICTURES", "draw"]

PICTURES = ("facts.png", "cutoffs.png", "columns.png")
CUTOFFS = 12
"""At which facts and columns are drawn."""
RACE = ("patron", *PEERS, "read_and_sort")
WIDTH_OF: Mapping[str, int] = dict(zip(("patron", "patron_75", "catalogue"), sorted(WIDTHS), strict=True))
STYLES: Mapping[str, Mapping[str, Any]] = {
    CONTENDERS["patron"].short: {"color": "black", "linewidth": 2.5},
    CONTENDERS["read_and_sort"].short: {"color": "grey", "linestyle": "--"},
}

Lines = Mapping[str, list[tuple[int, float]]]


def draw(timings: Sequence[Timing], folder: Path) -> None:
    """Write the pictures; the one of the cutoffs is of the middle number of facts."""
    facts = sorted({one.facts for one in timings})
    middle = facts[len(facts) // 2]
    at_cutoffs = [one for one in timings if one.cutoffs == CUTOFFS]
    race = {name: CONTENDERS[name].short for name in RACE}
    by_facts = {
        short: [(one.facts, one.seconds) for one in at_cutoffs if one.contender == name]
        for name, short in race.items()
    }
    by_cutoffs = {
        short: [(one.cutoffs, one.seconds) for one in timings if (one.facts, one.contender) == (middle, name)]
        for name, short in race.items()
    }
    by_columns = {
        f"{count:,} facts": [
            (WIDTH_OF[one.contender], one.seconds)
            for one in at_cutoffs
            if one.facts == count and one.contender in WIDTH_OF
        ]
        for count in facts
    }
    _draw(folder / "facts.png", by_facts, f"{len(COLUMNS)} columns, {CUTOFFS} cutoffs", "facts", "log")
    _draw(folder / "cutoffs.png", by_cutoffs, f"{len(COLUMNS)} columns, {middle:,} facts", "cutoffs", "log")
    _draw(folder / "columns.png", by_columns, f"Patron, {CUTOFFS} cutoffs", "columns", "linear")


def _draw(path: Path, lines: Lines, title: str, axis: str, scale: str) -> None:
    figure = Figure(figsize=(6.4, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        if points:
            axes.plot(
                *zip(*sorted(points), strict=True),
                marker="o",
                markersize=4,
                label=name,
                **STYLES.get(name, {}),
            )
    axes.set(title=title, xlabel=axis, ylabel="seconds", xscale=scale, yscale="log")
    axes.grid(visible=True, which="both", alpha=0.25)
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axes.set_xticks(ticks, labels=[f"{x:,}" for x in ticks], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(fontsize="small")
    figure.savefig(path)
