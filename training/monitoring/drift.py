"""Whether what is scored now is like what the model was made for: effect sizes, never p-values.

With enough customers the smallest difference is "significant"; what matters is how large it is. So each size stands
beside its noise: what it would stay below 95 times in 100 if nothing had changed and the rows were this few.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from features.errors import InputError

__all__ = [
    "DRIFT_COLUMNS",
    "Divergence",
    "drift",
    "jensen_shannon",
    "population_stability",
    "standardised_difference",
]

Floats = NDArray[np.float64]

BINS = 10
"""Bins of equal mass in the reference, as Siddiqi (2006) has them; nulls have one of their own."""

_PSEUDO = 0.5
_NOISE_QUANTILE = 0.95
_NORMAL_975 = 1.96

DRIFT_COLUMNS = (
    "column", "kind", "rows_reference", "rows_now", "null_share_reference", "null_share_now", "mean_reference", "mean_now",
    "standardised_difference", "standardised_difference_noise", "psi", "psi_noise", "jensen_shannon", "jensen_shannon_noise",
)  # fmt: skip
"""Columns of a drift table; ``kind`` is number, code (words), or calendar (one value for everybody at each cutoff)."""


@dataclass(frozen=True)
class Divergence:
    """How far two distributions are apart, and what would be noise: 95 % of it with no change and as few rows."""

    value: float
    noise: float


def population_stability(
    reference: ArrayLike, now: ArrayLike, *, bins: int = BINS, customers: tuple[int, int] | None = None
) -> Divergence:
    """Return the population stability index, sum of (q - p) ln(q / p) over the bins; 0 if nothing changed.

    Bins hold equal shares of the reference; equal values are never parted, so a count that is mostly 0 has few bins.
    NaN has a bin of its own where there is one. To each count half a row is added (Jeffreys), so an empty bin is no infinity.

    Parameters
    ----------
    reference, now
        Numbers, lengths n and m, NaN where undefined.
    customers
        How many customers the rows are of, where a customer has several: what the noise is reckoned from.

    Raises
    ------
    InputError
        No rows on a side, or no bin.

    Notes
    -----
    Siddiqi (2006), Credit Risk Scorecards, with the rule of thumb that below 0.1 is no and above 0.25 a large change.
    Without change PSI / (1/n + 1/m) is chi-squared with bins - 1 degrees of freedom (Yurdakul 2018), hence the noise.
    """
    before, after = _numbers("reference", reference), _numbers("now", now)
    if bins < 1:
        raise InputError(f"bins must be at least 1, got {bins}")
    known = before[~np.isnan(before)]
    # of nothing known there is one bin
    inner: Floats = np.empty(0)
    if known.size:
        inner = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="lower"))
    p, q = _shares(_places(before, inner), _places(after, inner))
    value = float(((q - p) * np.log(q / p)).sum())
    return Divergence(value, _noise(len(p), customers or (before.size, after.size)))


def jensen_shannon(
    reference: ArrayLike, now: ArrayLike, *, customers: tuple[int, int] | None = None
) -> Divergence:
    """Return the Jensen-Shannon divergence of two sets of words in bits: 0 the same, 1 nothing in common (Lin 1991).

    A null is a word of its own.

    Parameters
    ----------
    reference, now
        Words, lengths n and m.
    customers
        As of ``population_stability``.

    Raises
    ------
    InputError
        No rows on a side.
    """
    words = [pd.Series(np.asarray(side, dtype=object)) for side in (reference, now)]
    for name, side in zip(("reference", "now"), words, strict=True):
        _require_rows(name, len(side))
    codes = pd.factorize(pd.concat(words, ignore_index=True), use_na_sentinel=False)[0]
    counts = [np.bincount(part, minlength=codes.max() + 1) for part in np.split(codes, [len(words[0])])]
    p, q = (count / count.sum() for count in counts)
    middle = (p + q) / 2.0
    value = float((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2.0)
    # near equality it is the chi-squared distance / (8 ln 2)
    noise = _noise(len(p), customers or (len(words[0]), len(words[1]))) / (8.0 * np.log(2.0))
    return Divergence(value, noise)


def standardised_difference(
    reference: ArrayLike, now: ArrayLike, *, customers: tuple[int, int] | None = None
) -> Divergence:
    """Return (mean now - mean of the reference) / sqrt of the mean of both variances, nulls left out.

    0 where both hold one and the same value, infinite where each holds one and these differ, NaN where a side holds none.
    The noise is of its size, either way.

    Parameters
    ----------
    reference, now, customers
        As of ``population_stability``.

    Raises
    ------
    InputError
        No rows on a side.

    Notes
    -----
    Cohen's d for samples of any size (Austin 2009, Communications in Statistics 38, 1228-1234); 0.1 is small. Its variance
    without change is 1/n + 1/m, of the customers with a value.
    """
    sides = [_numbers(name, side) for name, side in (("reference", reference), ("now", now))]
    before, after = (side[~np.isnan(side)] for side in sides)
    if not before.size or not after.size:
        return Divergence(float("nan"), float("nan"))
    counted = customers or (sides[0].size, sides[1].size)
    known = (
        count * part.size / side.size
        for count, part, side in zip(counted, (before, after), sides, strict=True)
    )
    noise = _NORMAL_975 * float(np.sqrt(sum(1.0 / one for one in known)))
    difference = float(after.mean() - before.mean())
    spread = float(np.sqrt((before.var() + after.var()) / 2.0))
    if spread > 0.0:
        return Divergence(difference / spread, noise)
    return Divergence(float(np.copysign(np.inf, difference)) if difference else 0.0, noise)


def drift(reference: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return how far each column of two frames of the same columns has moved, in the columns' order.

    Parameters
    ----------
    reference, now
        Numbers or words; ``customer_id`` and ``cutoff`` are not held against each other, but the former says how many
        customers the rows are of.

    Returns
    -------
    pandas.DataFrame
        ``DRIFT_COLUMNS``; what has no meaning for a kind is NaN.

    Raises
    ------
    InputError
        No rows on a side, or columns that only one has.
    """
    ours, theirs = ([name for name in side if name not in _KEYS] for side in (reference, now))
    if set(ours) != set(theirs):
        only = [sorted(map(str, set(a) - set(b))) for a, b in ((ours, theirs), (theirs, ours))]
        raise InputError(
            f"drift needs the same columns on both sides: only the reference has {only[0]}, only now has {only[1]}. "
            "Build both with the same Patron."
        )
    for name, side in (("reference", reference), ("now", now)):
        _require_rows(name, len(side))
    customers = (_customers(reference), _customers(now))
    found = [{"column": str(name)} | _moved(reference[name], now[name], customers) for name in ours]
    table = pd.DataFrame(found, columns=list(DRIFT_COLUMNS))
    calendar = table["column"].isin(_calendar(reference) & _calendar(now)) & (table["kind"] == "number")
    return table.assign(kind=table["kind"].mask(calendar, "calendar"))


_KEYS = ("customer_id", "cutoff")


def _moved(reference: pd.Series, now: pd.Series, customers: tuple[int, int]) -> dict[str, object]:
    shared = {
        "rows_reference": len(reference),
        "rows_now": len(now),
        "null_share_reference": float(reference.isna().mean()),
        "null_share_now": float(now.isna().mean()),
    }
    if not pd.api.types.is_numeric_dtype(reference):
        distance = jensen_shannon(reference, now, customers=customers)
        return shared | {
            "kind": "code", "jensen_shannon": distance.value, "jensen_shannon_noise": distance.noise,
        }  # fmt: skip
    before, after = (side.to_numpy(dtype=np.float64, na_value=np.nan) for side in (reference, now))
    stability = population_stability(before, after, customers=customers)
    shift = standardised_difference(before, after, customers=customers)
    return shared | {
        "kind": "number",
        "mean_reference": float(reference.mean()),
        "mean_now": float(now.mean()),
        "standardised_difference": shift.value,
        "standardised_difference_noise": shift.noise,
        "psi": stability.value,
        "psi_noise": stability.noise,
    }


def _calendar(frame: pd.DataFrame) -> set[str]:
    """Return the columns that hold one value at each cutoff: what the date tells, and what nobody has."""
    values = frame[[name for name in frame if name not in _KEYS]]
    cutoffs = frame["cutoff"].to_numpy() if "cutoff" in frame else np.zeros(len(frame))
    most = values.groupby(cutoffs).nunique(dropna=False).max()
    return {str(name) for name in most.index[most == 1]}


def _customers(frame: pd.DataFrame) -> int:
    return int(frame["customer_id"].nunique()) if "customer_id" in frame else len(frame)


def _numbers(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64).ravel()
    _require_rows(name, found.size)
    return found


def _require_rows(name: str, rows: int) -> None:
    if not rows:
        raise InputError(f"drift needs rows on both sides, {name} has none: choose another as-of")


def _places(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Return each value's bin, ``(edge, next edge]``; NaN's is the one after the last."""
    places = np.searchsorted(edges, values, side="left").astype(np.int64)
    places[np.isnan(values)] = len(edges) + 1
    return places


def _shares(before: NDArray[np.int64], after: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the shares of each place that either has, half a row added to each count."""
    size = int(max(before.max(), after.max())) + 1
    counts = np.stack([np.bincount(side, minlength=size) for side in (before, after)])
    smoothed = counts[:, counts.any(axis=0)] + _PSEUDO
    p, q = smoothed / smoothed.sum(axis=1, keepdims=True)
    return p, q


def _relative_entropy(p: Floats, q: Floats) -> float:
    """Return the sum of p log2(p / q), where p is 0 nothing."""
    held = p > 0
    return float((p[held] * np.log2(p[held] / q[held])).sum())


def _noise(cells: int, customers: tuple[int, int]) -> float:
    if cells < 2:
        return 0.0
    return float(chi2.ppf(_NOISE_QUANTILE, cells - 1) * (1.0 / customers[0] + 1.0 / customers[1]))
