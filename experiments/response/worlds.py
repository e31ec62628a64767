"""Quick simulated worlds of which every policy's value is known, and how often intervals hold it."""

import numpy as np

from features.errors import TooLittleHistory
from training.response.arm_log import make_log
from training.response.off_policy import always, difference, doubly_robust, ips, snips

__all__ = ["KINDS", "coverage"]

WORLDS = 200
# name -> rows, how unlike the propensities of the arms are, and share of rewards that are large amounts
KINDS = {
    "2,000 rows, equal propensities, orders": (2_000, 0.0, False),
    "2,000 rows, propensities from .04 to .8, orders": (2_000, 3.0, False),
    "2,000 rows, propensities from .04 to .8, spend": (2_000, 3.0, True),
    "300 rows, equal propensities, orders": (300, 0.0, False),
    "300 rows, propensities from .04 to .8, spend": (300, 3.0, True),
}
_TRAITS = np.random.default_rng(0).normal(size=(400_000, 2))


def propensities(trait, skew):
    logits = skew * np.column_stack(
        [0.5 * np.tanh(trait[:, 0]), -0.5 * np.tanh(trait[:, 0]), np.zeros(len(trait))]
    )
    share = np.exp(logits)
    return share / share.sum(axis=1, keepdims=True)


def probability(trait):
    logits = np.column_stack(
        [trait[:, 1] - 1.5, 0.7 * trait[:, 0] - 1.2, 0.5 * trait[:, 1] - 0.9 - 0.8 * (trait[:, 0] > 1)]
    )
    return 1 / (1 + np.exp(-logits))


def table(trait):
    """A rule table: three classes of customers, an arm for each."""
    arm = np.where(trait[:, 0] > 0.3, 1, np.where(trait[:, 1] > 0, 2, 0))
    return np.eye(3)[arm]


def mean_amount(trait, spend):
    """Of an order: lognormal with log sd 1 about 20 to 80, or 1."""
    return np.exp(3.5 + 0.4 * np.clip(trait[:, 1], -2, 2)) if spend else np.ones(len(trait))


def drawn(rng, rows, skew, spend):
    trait = rng.normal(size=(rows, 2))
    share = propensities(trait, skew)
    arm = (rng.random(rows)[:, None] > np.cumsum(share, axis=1)[:, :2]).sum(axis=1)
    reward = (rng.random(rows) < probability(trait)[np.arange(rows), arm]) * mean_amount(trait, spend)
    if spend:
        reward = reward * np.exp(rng.normal(size=rows) - 0.5)
    return trait, make_log(np.array(["a", "b", "c"])[arm], share[np.arange(rows), arm], reward)


def coverage(seed=1):
    """Kind of world -> estimator -> share of intervals that hold the truth, bias, root mean square error, mean effective size."""
    found = {}
    for name, (rows, skew, spend) in KINDS.items():
        worth = probability(_TRAITS) * mean_amount(_TRAITS, spend)[:, None]
        truth = float((table(_TRAITS) * worth).sum(axis=1).mean())
        over_c = truth - float(worth[:, 2].mean())
        rng, results = np.random.default_rng(seed), {}
        refused = 0
        for _ in range(WORLDS):
            trait, log = drawn(rng, rows, skew, spend)
            # expected rewards as an outside model might know them: right in kind, wrong in size
            q = (0.7 * probability(trait) + 0.1) * mean_amount(trait, spend)[:, None]
            try:
                values = {
                    "IPS": ips(log, table(trait)),
                    "SNIPS": snips(log, table(trait)),
                    "DR": doubly_robust(log, table(trait), q),
                }
                values["DR, less always c"] = difference(
                    log, values["DR"], doubly_robust(log, always(log, "c"), q)
                )
            except TooLittleHistory:
                refused += 1
                continue
            for estimator, value in values.items():
                target = over_c if estimator.startswith("DR,") else truth
                size = getattr(value, "effective_sample_size", values["DR"].effective_sample_size)
                results.setdefault(estimator, []).append(
                    (value.low <= target <= value.high, value.estimate - target, value.standard_error, size)
                )
        found[name] = {"truth": truth, "refused": refused} | {
            one: summed(rows) for one, rows in results.items()
        }
    return found


def summed(rows):
    held, off, errors, size = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return {
        "covered": held.mean(),
        "bias": off.mean(),
        "rmse": np.sqrt(np.mean(off**2)),
        "mean_standard_error": errors.mean(),
        "effective_sample_size": size.mean(),
        "worlds": len(rows),
    }
