"""Hillstrom's e-mail trial as a log: two e-mails and a control, a third each; outcomes of two weeks."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from training.intervals import bootstrap_interval, paired_bootstrap
from training.response.arm_log import make_log
from training.response.metrics import calibration_of_tenths, qini_coefficient, uplift_at
from training.response.off_policy import against_best_arm, chosen, doubly_robust, ips, snips

__all__ = ["ARMS", "features", "figures", "policy_figures", "read", "trial_log"]

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
DRAWS = 500


def read():
    if "PATRON_DATA" not in os.environ:
        sys.exit("PATRON_DATA is not set: it names the folder that holds hillstrom/")
    return pd.read_parquet(Path(os.environ["PATRON_DATA"]) / "hillstrom" / "hillstrom.parquet")


def features(frame):
    """What was known before the e-mails: names and values."""
    columns = {
        name: frame[name].to_numpy(float) for name in ("recency", "history", "mens", "womens", "newbie")
    }
    for name in ("zip_code", "channel"):
        columns |= {
            f"{name} {word}": (frame[name] == word).to_numpy(float) for word in sorted(frame[name].unique())
        }
    return tuple(columns), np.column_stack(list(columns.values()))


def trial_log(frame, outcome):
    return make_log(frame["segment"].to_numpy(object), np.full(len(frame), 1 / 3), frame[outcome], arms=ARMS)


def figures(log, place, trial, uplift, others):
    """Qini coefficient with its interval, uplift of the top tenth, fifths, and differences from other rankings of the same rows."""
    rng = np.random.default_rng(1)
    rows = np.flatnonzero((log.arm == place) | (log.arm == 0))
    score = uplift[rows]
    return {
        "qini": vars(bootstrap_interval(qini_coefficient, (trial, score), rng, draws=DRAWS)),
        "top_tenth": vars(bootstrap_interval(uplift_at_tenth, (trial, score), rng, draws=DRAWS)) if np.ptp(score) else None,
        "everybody": uplift_at(trial, score, 1.0),
        "fifths": [vars(part) for part in calibration_of_tenths(trial, score, parts=5)],
        "less": {name: less(trial, score, other[rows]) for name, other in others.items()},
    }  # fmt: skip


def uplift_at_tenth(trial, score):
    return uplift_at(trial, score, 0.1)


def less(trial, score, other):
    found = paired_bootstrap(qini_coefficient, trial, score, other, np.random.default_rng(1), draws=DRAWS)
    return {
        "other": qini_coefficient(trial, other),
        "estimate": found.estimate,
        "standard_error": found.standard_error,
        "is_tie": found.is_tie,
    }


def policy_figures(log, uplift, expected):
    """Values of the policy that gives the arm of the largest uplift above 0, less those of the best single arm."""
    policy = chosen(log, np.column_stack([np.zeros(len(log.arm)), uplift]).argmax(axis=1))
    found = {}
    for name, value, q in (
        ("IPS", ips(log, policy), None),
        ("SNIPS", snips(log, policy), None),
        ("DR", doubly_robust(log, policy, expected), expected),
    ):
        gain = against_best_arm(log, value, q)
        found[name] = {
            **{key: getattr(value, key) for key in ("estimate", "low", "high", "effective_sample_size")},
            "gain": gain.estimate,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "gain_standard_error": gain.standard_error,
            "is_tie": gain.is_tie,
            "best_arm": gain.best_arm,
        }
    shares = dict(zip(log.arms, policy.mean(axis=0).tolist(), strict=True))
    return {"shares": shares, "values": found}
