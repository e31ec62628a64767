"""Purchases by hand, and gaps drawn from the cycle model, for the tests of replenishment."""

import numpy as np

from tests.features.worlds import line
from training.replenishment.cycles import Observations

__all__ = ["bought", "drawn", "observations"]


def bought(who, days, product_id="mask", **columns):
    """Sale lines of one customer, one order a day."""
    return [
        line(who, day, order_id=f"{who}-{product_id}-{day}", product_id=product_id, **columns) for day in days
    ]


def observations(pairs, item=None, **columns):
    """Gaps of pairs: each a list of (days, closed), the last one open."""
    rows = [
        (np.log(days), closed, n == 0, n, p)
        for p, pair in enumerate(pairs)
        for n, (days, closed) in enumerate(pair)
    ]
    log_days, closed, first, number, pair = (np.array(column) for column in zip(*rows, strict=True))
    size = log_days.size
    given = {
        "one": np.ones(size),
        "units": np.zeros(size),
        "pace": np.zeros(size),
        "number": np.log1p(number),
    }
    items = np.zeros(len(pairs), dtype=np.int64) if item is None else np.array(item)
    return Observations(log_days, closed, first, items[pair], given | columns)


def drawn(
    rng, pairs, offsets, *, window_days=700.0, median=30.0, exponent=0.8, spread=0.4, pair_sd=0.3, back=0.9
):
    """Gaps as the model draws them, each pair watched for a while; one item for each offset, one to three units."""
    rows = []
    for pair in range(pairs):
        item, u, left, number = (
            pair % len(offsets),
            rng.normal(0.0, pair_sd),
            rng.uniform(1.0, window_days),
            0,
        )
        closed = True
        while closed:
            units = np.log(rng.choice([1.0, 2.0, 3.0]))
            days = median * np.exp(offsets[item] + exponent * units + u + spread * rng.normal())
            closed = bool(rng.random() < back and days < left)
            rows.append((max(days if closed else left, 1e-3), closed, number == 0, item, units))
            left, number = left - days, number + 1
    days, closed, first, item, units = (np.array(column) for column in zip(*rows, strict=True))
    zeros = np.zeros(days.size)
    columns = {"one": zeros + 1.0, "units": units, "pace": zeros, "number": zeros}
    return Observations(np.log(days), closed, first, item.astype(np.int64), columns)
