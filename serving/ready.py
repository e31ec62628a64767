"""Predictions from ready feature rows, for data science and other services."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic_core import from_json

from serving.live import Live, now_us, plain
from serving.score import score_columns

__all__ = ["check_rows", "predict_rows"]

_LARGEST = 1e300


def check_rows(body: bytes) -> str | None:
    """Tell what is wrong with the body of a request for predictions, as far as its shape goes; nothing of it is repeated."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError:
        return "the body is no JSON"
    if not isinstance(given, dict) or set(given) != {"rows"} or not isinstance(given["rows"], list):
        return 'the body must be {"rows": [{feature: number or null, ...}, ...]}'
    if not all(isinstance(row, dict) for row in given["rows"]):
        return "each row must map features to numbers or null"
    return None


def predict_rows(rows: Sequence[Mapping[str, Any]], live: Live) -> list[dict[str, Any]]:
    """Return a score for each feature row; a row that breaks the contract gets an ``error``, and the others their scores.

    Parameters
    ----------
    rows
        Feature name -> number or null, every feature of the model's contract; further names are ignored.
    """
    names = live.models.churn.card.contract.names
    errors = [_error(row, names) for row in rows]
    good = [row for row, error in zip(rows, errors, strict=True) if error is None]
    columns = {name: np.array([row[name] for row in good], dtype=np.float64) for name in names}
    at = np.datetime64(now_us(), "us")
    scored = score_columns(columns, live.models, live.model_version, as_of=at, scored_at=at)
    lists = {name: plain(values) for name, values in scored.items() if name not in ("as_of", "scored_at")}
    answers = iter([{name: values[place] for name, values in lists.items()} for place in range(len(good))])
    return [next(answers) if error is None else {"error": error} for error in errors]


def _error(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    missing = [name for name in names if name not in row]
    if missing:
        return f"lacks {len(missing)} of {len(names)} features: {', '.join(missing[:5])}"
    for name in names:
        value = row[name]
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST
        ):
            return f"{name} is no number that a feature can be"
    if row["orders_all"] is None or row["orders_365d"] is None:
        return "orders_all and orders_365d are counts, never null"
    return None
