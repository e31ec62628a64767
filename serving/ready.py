"""Predictions from ready feature rows, for data science and other services."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.live import Live, now_us, plain
from serving.score import score_columns

__all__ = ["predict_rows"]


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
    scored = score_columns(columns, live.models, live.publication.model_version, as_of=at, scored_at=at)
    lists = {name: plain(values) for name, values in scored.items() if name not in ("as_of", "scored_at")}
    answers = iter([{name: values[place] for name, values in lists.items()} for place in range(len(good))])
    return [next(answers) if error is None else {"error": error} for error in errors]


def _error(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    missing = [name for name in names if name not in row]
    if missing:
        return f"lacks {len(missing)} of {len(names)} features: {', '.join(missing[:5])}"
    for name in names:
        value = row[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"{name} is no number: {value!r}"[:200]
    if row["orders_all"] is None or row["orders_365d"] is None:
        return "orders_all and orders_365d are counts, never null"
    return None
