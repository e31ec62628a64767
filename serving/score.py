"""Scores: one row per known customer, with a status where no score can be given."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from training.predict import ChurnModel, churn_probability

__all__ = ["STATUSES", "score"]

STATUSES = ("ok", "no_orders", "outside_population", "too_little_history")


def score(frame: pd.DataFrame, model: ChurnModel, model_version: str) -> pd.DataFrame:
    """Score every customer of a feature frame at one cutoff.

    Parameters
    ----------
    frame
        Features of population ``all`` at one cutoff, as ``features.build`` gives them.

    Returns
    -------
    pandas.DataFrame
        ``customer_id, as_of, scored_at, horizon_days, churn_probability, status, model_version``; the probability is
        null unless the status is ``ok``. Rows and index as in the frame.
    """
    status = np.select(
        [frame["orders_all"] == 0, frame["orders_365d"] == 0],
        ["no_orders", "outside_population"],
        default="ok",
    )
    ok = status == "ok"
    probability = np.full(len(frame), np.nan)
    probability[ok] = churn_probability(model, frame[ok], threads=0)
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"],
            "as_of": frame["cutoff"],
            "scored_at": pd.Timestamp(datetime.now(UTC)).tz_localize(None).as_unit("us"),
            "horizon_days": model.card.horizon_days,
            "churn_probability": probability,
            "status": pd.array(status, dtype="str"),
            "model_version": model_version,
        },
        index=frame.index,
    )
