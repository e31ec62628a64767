"""Past scores held against what has happened since."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.build import build, order_span
from features.errors import InputError
from features.warehouse import Warehouse
from training.components import ChurnModel, churn_probability
from training.intervals import Interval, bootstrap_interval
from training.metrics import auc, ece_floor, expected_calibration_error, log_loss
from training.monitoring.expected import LEAST_OF_EACH, Expected, expected_performance, is_enough
from training.targets import CHURN_90D, labels

__all__ = ["Matured", "PastScores", "Unjudged", "days_ahead", "hold_against", "read_scores", "rescored"]

Floats = NDArray[np.float64]

STEP_DAYS = 28
"""Between the past as-ofs at which a model is asked again, from its own as-of on."""

_SILENCE = pd.Timedelta(days=7)
"""Without any order up to the end of a horizon, so long, orders have not come in rather than not been placed."""

MOST = 13
"""Past as-ofs that are asked again: the last year's."""

_NEEDED = ("customer_id", "as_of", "horizon_days", "churn_probability", "status", "model_version")


@dataclass(frozen=True, eq=False)
class PastScores:
    """What was predicted of n customers at a past as-of.

    Attributes
    ----------
    customer_id
        OneIDs as known then, each once; length n.
    churn_probability
        Within [0, 1], length n.
    source
        The file they stand in, or "recomputed".
    """

    as_of: pd.Timestamp
    horizon_days: int
    model_version: str
    customer_id: NDArray[np.object_]
    churn_probability: Floats
    source: str


@dataclass(frozen=True)
class Matured:
    """How good past scores have proved to be.

    Attributes
    ----------
    churn_share, mean_predicted
        What happened, and what was said.
    ece, ece_floor
        Calibration error, and what perfect probabilities would stay below 95 times in 100.
    expected
        The figures that the scores promised at the time (``training.monitoring.expected``).
    surprise
        Logloss minus the promised one, bootstrapped over customers: above 0, customers did what was thought unlikely.
    """

    as_of: pd.Timestamp
    horizon_days: int
    model_version: str
    source: str
    rows: int
    churn_share: float
    mean_predicted: float
    auc: Interval
    log_loss: Interval
    ece: float
    ece_floor: float
    expected: Expected
    surprise: Interval


@dataclass(frozen=True)
class Unjudged:
    """Past scores that nothing can be said of yet, and why."""

    as_of: pd.Timestamp
    source: str
    why: str


def rescored(warehouse: Warehouse, model: ChurnModel, as_of: pd.Timestamp, version: str) -> list[PastScores]:
    """Return what the model says at the past as-ofs from its own on, every 28 days, whose outcomes are known by ``as_of``.

    The model has seen nothing at or after its own as-of, so these are the scores it would have given.
    """
    card, first = model.card, pd.Timestamp(model.card.as_of)
    last = as_of - pd.Timedelta(days=card.horizon_days) - warehouse.largest_lag(as_of)
    cutoffs = pd.date_range(first, last, freq=f"{STEP_DAYS}D")[-MOST:] if first <= last else ()
    scores = []
    for cutoff in cutoffs:
        frame = build(warehouse, [cutoff], population=card.population)
        p = churn_probability(model, frame, ahead_days=days_ahead(model, cutoff))
        customers = frame["customer_id"].to_numpy(dtype=object)
        scores.append(PastScores(cutoff, card.horizon_days, version, customers, p, "recomputed"))
    return scores


def days_ahead(model: ChurnModel, cutoff: pd.Timestamp) -> float:
    """Return the days from the model's as-of to a cutoff."""
    return float((cutoff - pd.Timestamp(model.card.as_of)) / pd.Timedelta(days=1))


def read_scores(folder: Path) -> list[PastScores]:
    """Read the score files (``patron score``) of a folder, oldest first; customers whose status is not ``ok`` have no score.

    Raises
    ------
    InputError
        No folder, no Parquet file in it, or a file that holds something else than scores, each customer once an as-of.
    """
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        what = "has no Parquet file in it" if folder.is_dir() else "is no folder"
        raise InputError(f"{folder}: {what}; --scores names a folder of files that `patron score` wrote")
    return sorted((one for path in paths for one in _read(path)), key=lambda one: (one.as_of, one.source))


def hold_against(
    warehouse: Warehouse, scores: Sequence[PastScores], as_of: pd.Timestamp, *, seed: int = 1
) -> tuple[list[Matured], list[Unjudged]]:
    """Judge past scores by what is known at ``as_of``, and say of which nothing can be known yet.

    A horizon is over once it ended the warehouse's largest declared lag ago.
    """
    matured, unjudged = [], []
    span = order_span(warehouse, known_by=as_of)
    for one in scores:
        ends = one.as_of + pd.Timedelta(days=one.horizon_days)
        if span is None or span[1] < ends - _SILENCE:
            seen = "there are no orders" if span is None else f"orders end at {span[1]}"
            unjudged.append(Unjudged(one.as_of, one.source, f"{seen}, before its horizon does at {ends}"))
            continue
        over = one.as_of + pd.Timedelta(days=one.horizon_days) + warehouse.largest_lag(as_of)
        if over > as_of:
            unjudged.append(Unjudged(one.as_of, one.source, f"outcomes are known from {over} on"))
            continue
        rows = pd.DataFrame({"customer_id": one.customer_id, "cutoff": one.as_of})
        target = replace(CHURN_90D, horizon_days=one.horizon_days)
        y = labels(warehouse, rows, target, known_by=as_of)
        if is_enough(y) and is_enough(one.churn_probability):
            matured.append(_judged(one, y, np.random.default_rng(seed)))
        else:
            unjudged.append(Unjudged(one.as_of, one.source, _too_few(y)))
    return matured, unjudged


def _judged(scores: PastScores, y: NDArray[np.int8], rng: np.random.Generator) -> Matured:
    p = scores.churn_probability
    interval: Callable[..., Interval] = bootstrap_interval
    likely = np.clip(p, np.finfo(np.float64).eps, 1.0 - np.finfo(np.float64).eps)
    promised = -(likely * np.log(likely) + (1.0 - likely) * np.log1p(-likely))
    loss = -np.where(y == 1, np.log(likely), np.log1p(-likely))
    return Matured(
        as_of=scores.as_of,
        horizon_days=scores.horizon_days,
        model_version=scores.model_version,
        source=scores.source,
        rows=len(y),
        churn_share=float(y.mean()),
        mean_predicted=float(p.mean()),
        auc=interval(auc, (y, p), rng, draws=200),
        log_loss=interval(log_loss, (y, p), rng, draws=200),
        ece=expected_calibration_error(y, p),
        ece_floor=ece_floor(p, rng),
        expected=expected_performance(p, rng),
        surprise=interval(np.mean, (loss - promised,), rng, draws=200),
    )


def _too_few(y: NDArray[np.int8]) -> str:
    return (
        f"of {len(y)} customers {int(y.sum())} placed no order and {int(len(y) - y.sum())} did; figures need "
        f"{LEAST_OF_EACH:g} of each, in fact and as predicted"
    )


def _read(path: Path) -> Iterator[PastScores]:
    try:
        frame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowInvalid) as problem:
        raise InputError(f"{path}: is no Parquet file that can be read ({problem})") from problem
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise InputError(
            f"{path}: holds no scores, columns {', '.join(missing)} are missing; --scores names a folder of files that "
            "`patron score` wrote, and nothing else"
        )
    _check_columns(path, frame)
    scored = frame[frame["status"] == "ok"]
    for (as_of, horizon, version), rows in scored.groupby(["as_of", "horizon_days", "model_version"]):
        p = rows["churn_probability"].to_numpy(dtype=np.float64)
        if not np.all((p >= 0.0) & (p <= 1.0)):
            raise InputError(f"{path}: churn_probability of as-of {as_of} is not within [0, 1] in every row")
        if rows["customer_id"].duplicated().any():
            twice = rows.loc[rows["customer_id"].duplicated(), "customer_id"].iloc[0]
            raise InputError(
                f"{path}: customer {twice!r} has two scores as of {as_of}; keep one file an as-of"
            )
        customers = rows["customer_id"].to_numpy(dtype=object)
        yield PastScores(pd.Timestamp(as_of), int(horizon), str(version), customers, p, path.name)


def _check_columns(path: Path, frame: pd.DataFrame) -> None:
    """Refuse columns of other types than `patron score` writes, and nulls where a score has none."""
    types = pd.api.types
    kinds = {
        "as_of": ("a time without zone", types.is_datetime64_dtype),
        "horizon_days": ("whole days above 0", types.is_integer_dtype),
        "churn_probability": ("a number", types.is_float_dtype),
    }
    for name, (kind, fits) in kinds.items():
        if frame.columns.tolist().count(name) != 1 or not fits(frame[name]):
            raise InputError(
                f"{path}: column {name} must be there once and hold {kind}, as `patron score` writes it"
            )
    if len(frame) and frame["horizon_days"].min() <= 0:
        raise InputError(f"{path}: horizon_days must be above 0, got {frame['horizon_days'].min()}")
    ok = frame[frame["status"] == "ok"]
    for name in _NEEDED:
        if ok[name].isna().any():
            raise InputError(
                f"{path}: {name} is null in {int(ok[name].isna().sum())} of {len(ok)} scored rows"
            )
