"""What the times say: ratios within a turn, of which the median is reported."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from contenders import DUCKDB_FORMS, PEERS, Measured

__all__ = ["BEST", "Ratio", "Timing", "best_duckdb", "ratios"]

BEST = "best_duckdb"
"""Whichever DuckDB form has the smallest median at the size."""


@dataclass(frozen=True)
class Timing:
    """One contender at one size: a measurement for each turn."""

    facts: int
    cutoffs: int
    contender: str
    turns: tuple[Measured, ...]

    @property
    def seconds(self) -> float:
        """Median by the clock."""
        return median(one.seconds for one in self.turns)


@dataclass(frozen=True)
class Ratio:
    """One ratio at one size, the median over the turns."""

    name: str
    facts: int
    cutoffs: int
    value: float


# Name -> above, below, what of them.
PAIRS: Mapping[str, tuple[str, str, str]] = {
    "best_duckdb_over_patron": (BEST, "patron", "seconds"),
    "best_duckdb_over_patron_cpu": (BEST, "patron", "cpu_seconds"),
    **{f"{peer}_over_patron": (peer, "patron", "seconds") for peer in PEERS},
    "patron_over_read_and_sort": ("patron", "read_and_sort", "seconds"),
    "patron_75_over_patron": ("patron_75", "patron", "seconds"),
    "catalogue_over_patron": ("catalogue", "patron", "seconds"),
    "catalogue_over_read_and_sort_catalogue": ("catalogue", "read_and_sort_catalogue", "seconds"),
    "catalogue_over_read_and_sort": ("catalogue", "read_and_sort", "seconds"),
}
# Name -> whose cost of one more cutoff, as a share of the first one's.
ONE_MORE: Mapping[str, str] = {
    "one_more_cutoff_patron": "patron",
    "one_more_cutoff_kernel": "kernel",
    "one_more_cutoff_catalogue": "catalogue",
    "one_more_cutoff_best_duckdb": BEST,
}

Times = Mapping[tuple[int, int, str], Timing]


def ratios(timings: Iterable[Timing]) -> list[Ratio]:
    """Return the ratios at each size, as far as both were run there."""
    at = {(one.facts, one.cutoffs, one.contender): one for one in timings}
    found = []
    for facts, cutoffs in sorted({key[:2] for key in at}):
        for name, (above, below, what) in PAIRS.items():
            a, b = (_timing(at, facts, cutoffs, contender) for contender in (above, below))
            if a and b:
                found.append(Ratio(name, facts, cutoffs, _over(_each(a, what), _each(b, what))))
        for name, contender in ONE_MORE.items():
            share = _one_more(at, facts, cutoffs, contender)
            if share is not None:
                found.append(Ratio(name, facts, cutoffs, share))
    return found


def best_duckdb(timings: Iterable[Timing]) -> Mapping[tuple[int, int], str]:
    """Return facts and cutoffs -> the DuckDB form with the smallest median."""
    best: dict[tuple[int, int], Timing] = {}
    for one in timings:
        size = one.facts, one.cutoffs
        if one.contender in DUCKDB_FORMS and (size not in best or one.seconds < best[size].seconds):
            best[size] = one
    return {size: one.contender for size, one in best.items()}


def _timing(at: Times, facts: int, cutoffs: int, contender: str) -> Timing | None:
    if contender == BEST:
        contender = best_duckdb(at.values()).get((facts, cutoffs), "")
    return at.get((facts, cutoffs, contender))


def _one_more(at: Times, facts: int, cutoffs: int, contender: str) -> float | None:
    """Return what each cutoff after the first costs, as a share of the first."""
    many = _timing(at, facts, cutoffs, contender)
    one = None if many is None else at.get((facts, 1, many.contender))
    if many is None or one is None or cutoffs == 1:
        return None
    pairs = zip(_each(one, "seconds"), _each(many, "seconds"), strict=True)
    return median((b - a) / (cutoffs - 1) / a for a, b in pairs)


def _each(timing: Timing, what: str) -> Sequence[float]:
    return [getattr(one, what) for one in timing.turns]


def _over(above: Sequence[float], below: Sequence[float]) -> float:
    return median(a / b for a, b in zip(above, below, strict=True))
