"""Small sums of the oracle: exact, and null where there is nothing to be said."""

import math
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

__all__ = [
    "DAY",
    "entropy",
    "hhi",
    "in_days",
    "inside",
    "mean",
    "ratio",
    "share",
    "shared_out",
    "std",
    "top_share",
    "total",
    "within",
]

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def inside(time, cutoff, days):
    """Whether the time lies in [cutoff - days, cutoff)."""
    return time < cutoff and (days is None or time >= cutoff - days * DAY)


def within(rows, time, cutoff, days):
    return [row for row in rows if inside(row[time], cutoff, days)]


def in_days(duration):
    return Fraction(duration // MICROSECOND, DAY // MICROSECOND)


def total(values):
    return sum(values, Decimal(0))


def ratio(part, whole):
    """Null where the whole is nothing, or either is not known."""
    return None if part is None or not whole else float(part) / float(whole)


def share(rows, holds):
    return ratio(sum(bool(holds(row)) for row in rows), len(rows))


def mean(values):
    return sum(map(Fraction, values)) / len(values) if values else None


def std(values):
    """Population standard deviation, of two values or more."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(mean([(Fraction(value) - middle) ** 2 for value in values]))


def shared_out(pairs):
    """Group -> sum, of (group or None, amount); what has no group is left out."""
    groups = defaultdict(Decimal)
    for group, amount in pairs:
        if group is not None:
            groups[group] += amount
    return groups


def top_share(groups, whole, most=1):
    return ratio(sum(sorted(groups.values())[-most:]), whole) if groups else None


def hhi(groups):
    whole = sum(groups.values())
    return sum((Fraction(amount) / Fraction(whole)) ** 2 for amount in groups.values()) if whole else None


def entropy(groups):
    whole = sum(groups.values())
    parts = [float(Fraction(amount) / Fraction(whole)) for amount in groups.values() if amount]
    return -sum(part * math.log(part) for part in parts) if whole else None
