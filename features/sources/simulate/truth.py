"""What is true of each customer from ``end`` on; the formula stands at the head of the package."""

import numpy as np
import pyarrow as pa

from features.sources.simulate.columns import Floats, Ints, decimals
from features.sources.simulate.shop import Lines, Sales
from features.sources.simulate.world import COMPLAINT_SPEED, STAGES, Clock, Orders, People, last_before

__all__ = ["order_probability", "what_is_true"]


def what_is_true(
    clock: Clock, people: People, orders: Orders, sales: Sales, lines: Lines, ids: pa.Array
) -> pa.Table:
    """``SimulatedRetailer.truth``: a row per customer with an order in the tables; ``ids``: theirs."""
    last = last_before(orders, np.arange(people.rate.size), np.zeros(people.rate.size))
    last = last[(last >= 0) & (orders.at[last] >= clock.start)]
    who = orders.customer[last]
    follows = np.append(orders.customer[1:] == orders.customer[:-1], [False])[last]
    future = (sales.known & (sales.at >= 0))[lines.sale]
    spender, net = sales.customer[lines.sale[future]], (lines.gross - lines.discount)[future]
    spend = np.bincount(spender, net, people.rate.size).astype(np.int64)  # cents are exact in float64
    following = np.where(follows, np.append(orders.at, [np.nan])[last + 1], np.nan)
    return pa.table(
        {
            "customer_id": ids.take(pa.array(who)),
            "p_order_90d": order_probability(people, orders, last, float(clock.operational(90.0))),
            "next_order_at": clock.stamp(following, before=np.inf),
            "spend_365d": decimals(spend[who], 2),
        }
    )


def order_probability(people: People, orders: Orders, last: Ints, ahead: float) -> Floats:
    """P(next order within ``ahead`` operational days of ``end``), given all that is true at ``end``.

    Parameters
    ----------
    people, orders
        The world.
    last
        Rows of ``orders``: the last order before ``end`` of each customer asked about.
    ahead
        Operational days.

    Returns
    -------
    Floats
        One probability per row of ``last``; 0 for who has left.

    Notes
    -----
    The formula of the package: MBG/CNBD-k (Reutterer, Platzer and Schroeder 2021), parameters known.
    """
    who = orders.customer[last]
    stages = people.stages[who]
    pace = stages * people.rate[who] * COMPLAINT_SPEED ** orders.wrongs[last]
    waited, later = -orders.at[last] * pace, (ahead - orders.at[last]) * pace
    # The factor exp(-x) is taken out of the ratio: both survival functions may underflow, the ratio does not.
    none = np.exp(waited - later) * _stage_sum(later, stages) / _stage_sum(waited, stages)
    return np.asarray(np.where(orders.number[last] + 1 < people.lifetime[who], 1 - none, 0.0))


def _stage_sum(x: Floats, stages: Ints) -> Floats:
    """``sum_{j < stages} x^j / j!``."""
    term, total = np.ones_like(x), np.zeros_like(x)
    for j in range(len(STAGES)):
        total += np.where(j < stages, term, 0.0)
        term = term * x / (j + 1)
    return total
