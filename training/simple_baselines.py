"""Rules and a regression that anybody would try first: probabilities of churn of one panel's rows, fitted on another's.

Each takes the frame and outcomes to learn from and the frame to predict (as ``features.build`` gives them), and returns one
probability of churn a row of the latter. Training rows must have been mature when the others' cutoff came; that is the
caller's matter. Kaplan and Meier's curve, everybody's alike, is in training/timing.py.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.errors import InputError, TooLittleHistory

__all__ = ["BASELINES", "last_period_rule", "recency_rule", "rfm_regression"]

Floats = NDArray[np.float64]
Baseline = Callable[[pd.DataFrame, NDArray[np.int8], pd.DataFrame], Floats]

_RFM = ("days_since_last_order", "orders_365d", "spend_365d")


def recency_rule(train: pd.DataFrame, y: NDArray[np.int8], frame: pd.DataFrame) -> Floats:
    """The longer silent, the likelier gone: the share of churn by days since the last order, never falling.

    Isotonic regression (Barlow, Bartholomew, Bremner and Brunk 1972) on ``days_since_last_order``; beyond the days that were
    seen, the nearest share. One loyal row is added at the shortest silence and one churned row at the longest.

    Raises
    ------
    InputError
        A column is missing, or frame and outcomes differ in length.
    TooLittleHistory
        No rows, or all of one kind.
    """
    learnt, asked = _columns(train, y, frame, _RFM[:1])
    days = np.concatenate([learnt[:, 0], [learnt[:, 0].min(), learnt[:, 0].max()]])
    outcome = np.concatenate([y.astype(np.float64), [0.0, 1.0]])
    rule = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(days, outcome)
    least = 1.0 / (len(y) + 2)
    share: Floats = np.asarray(rule.predict(asked[:, 0]), dtype=np.float64)
    return np.clip(share, least, 1.0 - least)


def last_period_rule(train: pd.DataFrame, y: NDArray[np.int8], frame: pd.DataFrame) -> Floats:
    """Who ordered in the last 90 days will in the next: the share of churn of those who did, and of those who did not.

    Laplace's rule of succession: each share is held by one churned and one loyal row. Errors as of ``recency_rule``.
    """
    learnt, asked = _columns(train, y, frame, ("orders_90d",))
    did, will = learnt[:, 0] > 0, asked[:, 0] > 0
    share = [(y[rows].sum() + 1.0) / (rows.sum() + 2.0) for rows in (did, ~did)]
    return np.asarray(np.where(will, share[0], share[1]), dtype=np.float64)


def rfm_regression(train: pd.DataFrame, y: NDArray[np.int8], frame: pd.DataFrame) -> Floats:
    """Logistic regression on the logarithms of recency, frequency and monetary value of the last 365 days.

    Standardised, with scikit-learn's default ridge penalty (C = 1). Errors as of ``recency_rule``.
    """
    learnt, asked = _columns(train, y, frame, _RFM)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    model.fit(np.log1p(learnt), y)
    return np.asarray(model.predict_proba(np.log1p(asked))[:, 1], dtype=np.float64)


BASELINES: Mapping[str, Baseline] = {
    "recency rule": recency_rule,
    "last-period rule": last_period_rule,
    "RFM regression": rfm_regression,
}
"""Name in tables -> function."""


def _columns(
    train: pd.DataFrame, y: NDArray[np.int8], frame: pd.DataFrame, names: tuple[str, ...]
) -> tuple[Floats, Floats]:
    missing = [name for name in names if name not in train.columns or name not in frame.columns]
    if missing or len(train) != len(y):
        raise InputError(
            f"a baseline needs the columns {', '.join(names)} (missing: {', '.join(missing) or 'none'}) and one outcome a "
            f"row, got {len(train)} rows and {len(y)} outcomes: hand in frames of features.build."
        )
    if len(np.unique(y)) != 2:
        raise TooLittleHistory(
            f"a baseline needs customers who churned and who did not, got {int(np.sum(y))} churned of {len(y)}: "
            "choose a later --as-of."
        )
    learnt, asked = (part[list(names)].to_numpy(dtype=np.float64) for part in (train, frame))
    return learnt, asked
