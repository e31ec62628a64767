"""What the times say: ratios within a turn, of which the median is reported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from contenders import PEERS, Measured

__all__ = ["Ratios", "Timing", "ratios"]


@dataclass(frozen=True)
class Timing:
    """One contender at one size: a measurement for each turn."""

    rows: int
    cutoffs: int
    contender: str
    turns: tuple[Measured, ...]

    @property
    def seconds(self) -> float:
        """Median by the clock."""
        return median(one.seconds for one in self.turns)

    @property
    def cpu_seconds(self) -> float:
        """Median of processor time."""
        return median(one.cpu_seconds for one in self.turns)


@dataclass(frozen=True)
class Ratios:
    """One number of rows; each ratio the median over the turns, the shares of the first cutoff's time."""

    rows: int
    cutoffs: int
    best_peer: str
    best_peer_over_patron: float
    group_by_per_cutoff_over_patron: float
    range_join_over_patron: float
    best_peer_over_patron_cpu: float
    best_peer_over_patron_one_cutoff: float
    patron_over_read_and_sort: float
    one_more_cutoff_patron: float
    one_more_cutoff_kernel: float
    one_more_cutoff_best_peer: float


def ratios(timings: Iterable[Timing]) -> list[Ratios]:
    """Return the ratios for each number of rows, at the largest number of cutoffs."""
    at = {(one.rows, one.cutoffs, one.contender): one for one in timings}
    few, many = min(cutoffs for _, cutoffs, _ in at), max(cutoffs for _, cutoffs, _ in at)
    return [_ratios(at, rows, few, many) for rows in sorted({rows for rows, _, _ in at})]


def _ratios(at: dict[tuple[int, int, str], Timing], rows: int, few: int, many: int) -> Ratios:
    best, best_of_few = (
        min((at[rows, n, peer] for peer in PEERS), key=lambda one: one.seconds) for n in (many, few)
    )
    patron, kernel = at[rows, many, "patron"], at[rows, many, "kernel"]

    def one_more(timing: Timing) -> float:
        first = _seconds(at[rows, few, timing.contender])
        return median((b - a) / (many - few) / a for a, b in zip(first, _seconds(timing), strict=True))

    return Ratios(
        rows=rows,
        cutoffs=many,
        best_peer=best.contender,
        best_peer_over_patron=_over(_seconds(best), _seconds(patron)),
        group_by_per_cutoff_over_patron=_over(
            _seconds(at[rows, many, "group_by_per_cutoff"]), _seconds(patron)
        ),
        range_join_over_patron=_over(_seconds(at[rows, many, "range_join"]), _seconds(patron)),
        best_peer_over_patron_cpu=best.cpu_seconds / patron.cpu_seconds,
        best_peer_over_patron_one_cutoff=_over(_seconds(best_of_few), _seconds(at[rows, few, "patron"])),
        patron_over_read_and_sort=_over(_seconds(patron), _seconds(at[rows, many, "read_and_sort"])),
        one_more_cutoff_patron=one_more(patron),
        one_more_cutoff_kernel=one_more(kernel),
        one_more_cutoff_best_peer=one_more(best),
    )


def _seconds(timing: Timing) -> Sequence[float]:
    return [one.seconds for one in timing.turns]


def _over(above: Sequence[float], below: Sequence[float]) -> float:
    return median(a / b for a, b in zip(above, below, strict=True))
