"""What is true of each customer from ``end`` on; the formula stands at the head of the package."""

import numpy as np
import pyarrow as pa

from features.sources.simulate.campaigns import EFFECT_DAYS, OFFERS, extra_order_probability
from features.sources.simulate.catalogue import PRODUCTS_PER_KIND
from features.sources.simulate.columns import Bools, Floats, Ints, Names, decimals, take
from features.sources.simulate.kinds import CYCLE_DAYS, KINDS
from features.sources.simulate.needs import Needs
from features.sources.simulate.shop import Lines, Sales
from features.sources.simulate.world import COMPLAINT_SPEED, STAGES, Clock, Orders, People, standing

__all__ = ["HORIZONS_DAYS", "order_probability", "what_is_true", "what_runs_out"]

HORIZONS_DAYS = (7, 14, 30, 60, 90)


def what_is_true(
    clock: Clock, people: People, orders: Orders, sales: Sales, lines: Lines, names: Names
) -> tuple[pa.Table, pa.Table]:
    """``truth`` and ``offers`` of `SimulatedRetailer`: of each customer with an order in the tables."""
    everybody = np.arange(people.rate.size)
    seen = np.bincount(sales.customer[sales.known & (sales.at < 0)], minlength=everybody.size) > 0
    last, alive = standing(people, orders, everybody, np.zeros(everybody.size))
    who = np.flatnonzero(seen)
    last, alive = last[who], alive[who]
    p_order = {
        days: order_probability(people, orders, last, float(clock.operational(days)))
        for days in HORIZONS_DAYS
    }
    follows = np.append(orders.customer[1:] == orders.customer[:-1], [False])[last]
    following = np.where(follows, np.append(orders.at, [np.nan])[last + 1], np.nan)
    truth = pa.table(
        {
            "customer_id": names.customers(who),
            **{f"p_order_{days}d": p for days, p in p_order.items()},
            "next_order_at": clock.stamp(following, before=np.inf),
            "spend_365d": decimals(_spend_to_come(sales, lines, everybody.size)[who], 2),
        }
    )
    return truth, _offers(people, who, alive, p_order[EFFECT_DAYS], names)


def what_runs_out(
    clock: Clock, people: People, sales: Sales, lines: Lines, needs: Needs, names: Names
) -> pa.Table:
    """``needs`` of `SimulatedRetailer`: of each shelf of each customer with an order in the tables."""
    seen = np.bincount(sales.customer[sales.known & (sales.at < 0)], minlength=people.rate.size) > 0
    customer, slot = np.nonzero((people.uses >= 0) & seen[:, None])
    kind, empties = people.uses[customer, slot], needs.empties_at[customer, slot]
    return pa.table(
        {
            "customer_id": names.customers(customer),
            "category_1": take([k.category for k in KINDS], kind),
            "category_2": take([k.name for k in KINDS], kind),
            "cycle_days": CYCLE_DAYS[kind] * people.pace[customer],
            "empties_at": _on_the_calendar(clock, empties),
            "next_purchase_at": clock.stamp(_next_purchases(sales, lines, customer, kind), np.inf),
        }
    )


def _on_the_calendar(clock: Clock, day: Floats) -> pa.Array:
    """Whole seconds in UTC of days from ``end``, which the clock may not reach; null where not finite."""
    known = np.isfinite(day)
    seconds = np.floor(np.where(known, day, 0.0) * 86_400).astype("m8[s]")
    return pa.array(clock.end + seconds, pa.timestamp("us"), mask=~known).cast(pa.timestamp("us", "UTC"))


def _next_purchases(sales: Sales, lines: Lines, customer: Ints, kind: Ints) -> Floats:
    """Operational time of each customer's first line of the kind from ``end`` on; nan: none in the year to come."""
    line = np.flatnonzero((sales.known & (sales.at >= 0))[lines.sale])
    sale = lines.sale[line]
    bought = sales.customer[sale] * len(KINDS) + lines.product[line] // PRODUCTS_PER_KIND
    # sales run in time, so that a key's first row is its first purchase
    keys, first = np.unique(bought, return_index=True)
    place = np.searchsorted(keys, wanted := customer * len(KINDS) + kind)
    found = np.append(keys, [-1])[place] == wanted
    return np.where(found, np.append(sales.at[sale][first], [np.nan])[np.where(found, place, -1)], np.nan)


def _spend_to_come(sales: Sales, lines: Lines, customers: int) -> Ints:
    """Net amount of each customer's sale lines from ``end`` on, cents."""
    future = (sales.known & (sales.at >= 0))[lines.sale]
    spender, net = sales.customer[lines.sale[future]], (lines.gross - lines.discount)[future]
    return np.bincount(spender, net, customers).astype(np.int64)  # cents are exact in float64


def _offers(people: People, who: Ints, alive: Bools, p_order: Floats, names: Names) -> pa.Table:
    customer, offer = np.repeat(who, len(OFFERS)), np.tile(np.arange(len(OFFERS)), who.size)
    u = extra_order_probability(
        people, customer, offer, np.ones(customer.size, dtype=bool), np.repeat(alive, len(OFFERS))
    )
    return pa.table(
        {
            "customer_id": names.customers(customer),
            "offer_id": take([o.id for o in OFFERS], offer),
            f"p_extra_order_{EFFECT_DAYS}d": u,
            f"uplift_order_{EFFECT_DAYS}d": u * (1 - np.repeat(p_order, len(OFFERS))),
        }
    )


def order_probability(
    people: People, orders: Orders, last: Ints, ahead: Floats | float, now: Floats | float = 0.0
) -> Floats:
    """P(next order of the customer's own in ``[now, ahead)``), given all that is true at ``now``.

    Parameters
    ----------
    people, orders
        The world.
    last
        Rows of ``orders``: the last order before ``now`` of each customer asked about.
    ahead, now
        Operational times, days from ``end``.

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
    waited, later = (now - orders.at[last]) * pace, (ahead - orders.at[last]) * pace
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
