"""Who may be written to on which channel, what was sent, and what became of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.sources.simulate.campaigns import OFFERS, TRIALS, Trials
from features.sources.simulate.columns import Bools, Floats, Ints, Names, decimals, take
from features.sources.simulate.world import Clock, Orders, People, standing

__all__ = ["MAILED", "Sent", "draw_consents", "draw_contacts", "draw_sent"]

MAILED = 2  # channels that messages are sent on, the first of CHANNELS
SHARE_DELIVERED, SHARE_LEAVING = 0.97, 0.12


@dataclass(frozen=True)
class Channel:
    """A message channel: share of customers asked, share of these who agree, newsletters a week, cost of a message."""

    name: str
    asked: float
    agreed: float
    per_week: float = 0.0
    cents: int = 0


CHANNELS = (
    Channel("email", 1.0, 0.7, per_week=0.04, cents=1),
    Channel("sms", 1.0, 0.7, per_week=0.02, cents=5),
    Channel("push", 0.25, 0.6),
    Channel("wecom", 0.25, 0.6),
    Channel("mini_program", 0.25, 0.6),
)
_NAMES = [channel.name for channel in CHANNELS]


@dataclass(frozen=True)
class Sent:
    """Marketing messages, by time."""

    customer: Ints
    at: Floats
    channel: Ints
    campaign: Ints  # week of the newsletter, or -1 - the row of TRIALS
    offer: Ints  # row of OFFERS; -1: none
    delivered: Bools
    read_by: Floats  # when an offer that worked had been read; nan: it is left to attention


def draw_consents(
    rng: np.random.Generator, clock: Clock, people: People, names: Names
) -> tuple[Floats, pa.Table]:
    """Until when each customer (row) is subscribed to each channel (column), nan: never. And the consents to it."""
    joined = np.broadcast_to(people.joined[:, None], (people.joined.size, len(CHANNELS)))
    asked = rng.random(joined.shape) < np.array([c.asked for c in CHANNELS])
    subscribed = asked & (rng.random(joined.shape) < np.array([c.agreed for c in CHANNELS]))
    leaves = subscribed & (rng.random(joined.shape) < SHARE_LEAVING)
    until = np.where(subscribed, 0.0, np.nan)
    until[leaves] = joined[leaves] * (1 - rng.random(np.count_nonzero(leaves)))
    customer, channel = np.concatenate([np.argwhere(asked), np.argwhere(leaves)]).T
    status = np.append(np.where(subscribed[asked], 0, 2), np.full(np.count_nonzero(leaves), 1))
    return until, pa.table(
        {
            "customer_id": names.customers(customer),
            "channel": take(_NAMES, channel),
            "purpose": take(("marketing",), np.zeros_like(channel)),
            "at": clock.stamp(np.append(joined[asked], until[leaves])),
            "status": take(("SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"), status),
        }
    )


def draw_sent(rng: np.random.Generator, clock: Clock, people: People, until: Floats, trials: Trials) -> Sent:
    """Newsletters to the subscribed, and the offers of the trials. `until`: see `draw_consents`."""
    since = np.maximum(people.joined, clock.start)[:, None]
    open_days = np.fmax(until - since, 0.0)
    count = rng.poisson(open_days * np.array([c.per_week for c in CHANNELS]) / 7)
    customer, channel = (np.repeat(axis.ravel(), count.ravel()) for axis in np.indices(count.shape))
    at = until[customer, channel] - open_days[customer, channel] * (1 - rng.random(customer.size))
    offered = np.flatnonzero(trials.offer >= 0)
    week = ((at - clock.start) // 7).astype(np.int64)
    none, worked = np.full(customer.size, -1), trials.extra_at[offered]
    read_by = trials.at[offered] + (worked - trials.at[offered]) * rng.random(offered.size)
    columns: tuple[NDArray[Any], ...] = (
        np.append(customer, trials.customer[offered]),
        np.append(at, trials.at[offered]),
        np.append(channel, trials.channel[offered]),
        np.append(week, -1 - trials.trial[offered]),
        np.append(none, trials.offer[offered]),
        np.append(rng.random(customer.size) < SHARE_DELIVERED, trials.delivered[offered]),
        np.append(np.full(customer.size, np.nan), read_by),
    )
    order = np.lexsort((columns[0], columns[1]))
    return Sent(*(column[order] for column in columns))


def draw_contacts(
    rng: np.random.Generator, clock: Clock, people: People, orders: Orders, sent: Sent, names: Names
) -> pa.Table:
    """The table contacts; who has left opens fewer, who took up an offer had read it."""
    customer, at = sent.customer, sent.at
    attention = people.attention[customer] * np.where(standing(people, orders, customer, at)[1], 1.0, 0.25)
    read = sent.delivered & (rng.random(at.size) < attention)
    opened = np.where(read, at + rng.exponential(0.4, at.size), np.nan)
    opened = np.where(np.isnan(sent.read_by), opened, sent.read_by)
    clicked = np.where(rng.random(at.size) < 0.25, opened + rng.exponential(0.02, at.size), np.nan)
    weeks = [f"week_{week:03}" for week in range(sent.campaign.max(initial=0) + 1)]
    campaigns = [*weeks, *(trial.id for trial in reversed(TRIALS))]  # -1 is the last: the first trial
    return pa.table(
        {
            "contact_id": names.numbered("m", at.size),
            "customer_id": names.customers(customer),
            "sent_at": clock.stamp(at),
            "channel": take(_NAMES, sent.channel),
            "purpose": take(("marketing",), np.zeros_like(customer)),
            "campaign_id": take(campaigns, sent.campaign % len(campaigns)),
            "offer_id": take([offer.id for offer in OFFERS], sent.offer, sent.offer >= 0),
            "status": take(("undelivered", "delivered"), sent.delivered.astype(np.int64)),
            "opened_at": clock.stamp(opened),
            "clicked_at": clock.stamp(clicked),
            "cost": decimals(np.array([c.cents for c in CHANNELS])[sent.channel], 2),
        }
    )
