"""Who is not run at a size, because one run would take too long or too much memory, judged by the sizes before."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from contenders import Measured

__all__ = ["LONGEST_S", "LeftOut", "expected", "why_not"]

LONGEST_S = 120.0
MOST_OF_MEMORY = 0.6

Size = tuple[int, int, str]
"""Facts, cutoffs, contender."""


@dataclass(frozen=True)
class LeftOut:
    """A contender that was not run at a size."""

    facts: int
    cutoffs: int
    contender: str
    why: str


def expected(measured: Mapping[Size, Measured], size: Size) -> tuple[float, float] | None:
    """Return the seconds and the peak MB that a run will probably take; None where nothing tells.

    Both grow with the facts in proportion; at the fewest facts they follow a straight line over the cutoffs.
    """
    facts, cutoffs, contender = size
    fewer = [key for key in measured if key[0] < facts and key[1:] == (cutoffs, contender)]
    if fewer:
        nearest = max(fewer)
        times = facts / nearest[0]
        return measured[nearest].seconds * times, _grown(measured[nearest], times)
    before = sorted(key for key in measured if key[0] == facts and key[1] < cutoffs and key[2] == contender)
    if len(before) < 2:
        return None
    first, last = before[-2:]
    share = (cutoffs - last[1]) / (last[1] - first[1])
    a, b = measured[first], measured[last]
    return b.seconds + share * (b.seconds - a.seconds), b.peak_mb + share * (b.peak_mb - a.peak_mb)


def _grown(one: Measured, times: float) -> float:
    return one.peak_before_mb + times * (one.peak_mb - one.peak_before_mb)


def why_not(measured: Mapping[Size, Measured], left_out: Mapping[Size, LeftOut], size: Size) -> str | None:
    """Say why a contender is not run, or None if it is."""
    found = expected(measured, size)
    if found is None:
        return _as_before(left_out, size)
    seconds, peak_mb = found
    if seconds > LONGEST_S:
        return f"about {seconds:,.0f} s"
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return f"about {peak_mb / 1024:,.0f} GB" if peak_mb > MOST_OF_MEMORY * memory_mb else None


def _as_before(left_out: Mapping[Size, LeftOut], size: Size) -> str | None:
    """What was too much at a size that is smaller in both respects is too much here."""
    for (facts, cutoffs, contender), one in left_out.items():
        if contender == size[2] and facts <= size[0] and cutoffs <= size[1]:
            return f"{one.why} at {facts:,} facts"
    return None
