"""Offers whose effect is known, and the trials in the history that show it.

An offer made to a customer at t brings, with probability ``u``, one extra order within the 14 days after, at a time
uniform on the operational clock. The extra order stands beside the customer's own: their rhythm, the state
behind ``p_order_90d``, does not see it, and nothing goes wrong with it. ``u`` is

    u = min(LARGEST_EFFECT, (base + by_price * sensitivity) * (0.4 + 1.8 * attention) * f),

``f`` being ``there`` for a customer who will order again, ``gone`` for one who has left for good; 0 before the first order.
With ``p`` the probability of an own order in these days, the offer raises that of any order by ``u * (1 - p)``.

In a trial, the customers who have ordered and are subscribed to SMS or e-mail are given one of its arms at random.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.sources.simulate.columns import Bools, Floats, Ints, Names, take
from features.sources.simulate.world import Clock, Orders, People, last_before, standing

__all__ = [
    "COUPON_PERCENT",
    "EFFECT_DAYS",
    "OFFERS",
    "TRIALS",
    "Trials",
    "coupon_at",
    "draw_trials",
    "exposures",
    "extra_order_probability",
]

EFFECT_DAYS, LARGEST_EFFECT = 14, 0.6
SHARE_DELIVERED, SHARE_IN_TRIAL = 0.97, 0.6
COUPON_PERCENT = 15
CONTROL = "control"


@dataclass(frozen=True)
class Offer:
    """An offer and what its effect depends on."""

    id: str
    base: float
    by_price: float  # times the customer's sensitivity to prices
    there: float
    gone: float
    coupon: bool = True


@dataclass(frozen=True)
class Trial:
    """An experiment on the day that begins ``days_before`` the end, with its arms and their probabilities."""

    id: str
    days_before: int
    arms: tuple[tuple[str, float], ...]


OFFERS = (
    Offer("replenish_reminder", base=0.08, by_price=0.0, there=1.0, gone=0.1, coupon=False),
    Offer("step_coupon", base=0.02, by_price=0.24, there=1.0, gone=0.2),
    Offer("winback_coupon", base=0.02, by_price=0.18, there=0.6, gone=1.0),
)
TRIALS = (
    Trial("trial_1", 300, ((CONTROL, 0.5), ("replenish_reminder", 0.25), ("step_coupon", 0.25))),
    Trial("trial_2", 170, ((CONTROL, 0.4), ("step_coupon", 0.3), ("winback_coupon", 0.3))),
    Trial("trial_3", 45, ((CONTROL, 0.25), *((offer.id, 0.25) for offer in OFFERS))),
)
_OFFER_IDS = tuple(offer.id for offer in OFFERS)


@dataclass(frozen=True)
class Trials:
    """Who was given which arm of which trial, by customer and time."""

    customer: Ints
    at: Floats
    trial: Ints  # row of TRIALS
    offer: Ints  # row of OFFERS; -1: control
    propensity: Floats
    channel: Ints  # of the message: 0 e-mail, 1 SMS
    delivered: Bools  # false: undelivered, or control
    extra_at: Floats  # the extra order; nan: none


def extra_order_probability(
    people: People, customer: Ints, offer: Ints, ordered: Bools, alive: Bools
) -> Floats:
    """``u`` of the head of this module, a probability per customer and row of `OFFERS`.

    Parameters
    ----------
    ordered, alive
        Whether the customer has ordered yet, and will again, as of the offer.
    """
    base, by_price, there, gone = (
        np.array([getattr(o, name) for o in OFFERS])[offer] for name in ("base", "by_price", "there", "gone")
    )
    effect = (base + by_price * people.sensitivity[customer]) * (0.4 + 1.8 * people.attention[customer])
    return np.where(ordered, np.minimum(LARGEST_EFFECT, effect * np.where(alive, there, gone)), 0.0)


def draw_trials(
    rng: np.random.Generator, clock: Clock, people: People, orders: Orders, until: Floats
) -> Trials:
    """The trials that fit into the history.

    Parameters
    ----------
    until
        End of each customer's subscriptions to e-mail and SMS, operational, by row; nan: never. They begin on joining.
    """
    parts = [_draw_trial(rng, clock, people, orders, until, number) for number in range(len(TRIALS))]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Trials(*(column[order] for column in columns))


def _draw_trial(
    rng: np.random.Generator, clock: Clock, people: People, orders: Orders, until: Floats, number: int
) -> tuple[NDArray[np.generic], ...]:
    """The columns of `Trials` for one of them; no rows where the history begins after it."""
    arms, p = zip(*TRIALS[number].arms, strict=True)
    days = float(TRIALS[number].days_before)
    opens, closes = float(clock.operational(-days)), float(clock.operational(1 - days))
    customer = np.arange(people.rate.size)
    at = rng.uniform(opens, closes, customer.size)
    last, alive = standing(people, orders, customer, at)
    open_to = (people.joined <= at)[:, None] & (at[:, None] < until)
    arm = rng.choice(len(arms), customer.size, p=p)
    offer = np.array([_OFFER_IDS.index(name) if name != CONTROL else -1 for name in arms])[arm]
    delivered = (offer >= 0) & (rng.random(customer.size) < SHARE_DELIVERED)
    u = extra_order_probability(people, customer, offer, last >= 0, alive)
    extra = delivered & (rng.random(customer.size) < u / SHARE_DELIVERED)
    wait = (clock.later(at, EFFECT_DAYS) - at) * (1 - rng.random(customer.size))
    chosen = open_to.any(axis=1) & (last >= 0) & (rng.random(customer.size) < SHARE_IN_TRIAL)
    row = np.flatnonzero(chosen & (opens >= clock.start))
    columns = (
        customer,
        at,
        np.full_like(customer, number),
        offer,
        np.array(p)[arm],
        np.where(open_to[:, 1], 1, 0),
        delivered,
        np.where(extra, at + wait, np.nan),
    )
    return tuple(column[row] for column in columns)


def coupon_at(clock: Clock, trials: Trials, customer: Ints, at: Floats) -> Ints:
    """The coupon that each customer has in hand at a time, a row of `OFFERS`; -1: none."""
    given = np.flatnonzero(
        np.array([*(offer.coupon for offer in OFFERS), False])[trials.offer] & trials.delivered
    )
    row = last_before(trials.customer[given], trials.at[given], customer, at)
    since = clock.calendar(at) - clock.calendar(np.append(trials.at[given], [0.0])[row])
    return np.where((row >= 0) & (since <= EFFECT_DAYS), np.append(trials.offer[given], [-1])[row], -1)


def exposures(clock: Clock, trials: Trials, names: Names) -> pa.Table:
    """The table exposures."""
    return pa.table(
        {
            "experiment_id": take([trial.id for trial in TRIALS], trials.trial),
            "customer_id": names.customers(trials.customer),
            "arm": take((*_OFFER_IDS, CONTROL), np.where(trials.offer >= 0, trials.offer, len(OFFERS))),
            "propensity": trials.propensity,
            "at": clock.stamp(trials.at),
        }
    )
