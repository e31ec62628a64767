"""What the gates look at: forward predictions beside MBG/NBD's and the champion's."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.churn import Forward
from training.components import ChurnModel, churn_probability
from training.evaluate import SLICES, Comparison, TimingComparison
from training.gates import Evidence
from training.intervals import Difference, paired_bootstrap
from training.metrics import log_loss
from training.preparation import Prepared

__all__ = ["gather"]

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]


def gather(
    prepared: Prepared,
    forward: Forward,
    comparison: Comparison,
    timing: TimingComparison,
    champion: ChurnModel | None,
) -> Evidence:
    """Hold forward predictions against MBG/NBD, slice by slice and cutoff by cutoff, and against the champion if there is one."""
    frame = prepared.panel.frame.iloc[forward.row].reset_index(drop=True)
    slices = {name: np.asarray(frame.eval(condition), dtype=np.bool_) for name, condition in SLICES.items()}
    folds = {pd.Timestamp(at): (frame["cutoff"] == at).to_numpy() for at in frame["cutoff"].unique()}
    baseline = forward.baseline_probability
    return Evidence(
        comparison,
        timing,
        prepared,
        slices={name: _log_loss_over(forward, rows, baseline) for name, rows in slices.items() if rows.any()},
        folds={at: _log_loss_over(forward, rows, baseline) for at, rows in folds.items()},
        champion=None if champion is None else _against(champion, forward, frame),
    )


def _against(champion: ChurnModel, forward: Forward, frame: pd.DataFrame) -> Difference | None:
    """Compare at the cutoffs from the champion's as-of on: whose outcomes it has not seen."""
    trained = pd.Timestamp(champion.card.as_of)
    rows = (frame["cutoff"] >= trained).to_numpy()
    if not rows.any():
        return None
    ahead = np.asarray((frame["cutoff"] - trained) / pd.Timedelta(days=1), dtype=np.float64)
    other = np.full(len(frame), np.nan)
    other[rows] = churn_probability(champion, frame[rows], ahead_days=ahead[rows], threads=0)
    return _log_loss_over(forward, rows, other)


def _log_loss_over(forward: Forward, rows: Rows, other: Floats) -> Difference:
    return paired_bootstrap(
        log_loss, forward.y[rows], forward.probability[rows], other[rows], np.random.default_rng(1),
        groups=forward.customer_id.to_numpy()[rows], draws=100,
    )  # fmt: skip
