"""The world before anybody looks at it: its parameters, its clock, its people and when they order."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.sources.simulate.columns import Bools, Floats, Ints
from features.sources.simulate.kinds import CATEGORIES, CYCLE_DAYS, EVERYDAY

__all__ = [
    "BRANDS_PER_CATEGORY",
    "CHANNELS",
    "COMPLAINT_SPEED",
    "RATE_PER_WEEK",
    "REGIONS",
    "STAFF_PER_STORE",
    "STAGES",
    "STORES",
    "Clock",
    "Orders",
    "People",
    "draw_orders",
    "draw_people",
    "last_before",
    "make_clock",
    "standing",
]

HORIZON_DAYS, BURN_IN_DAYS = 365, 365  # the world runs on after `end`, and ran before the first day
SHARE_JOINED_BEFORE, SHARE_NEVER_ORDERING = 0.3, 0.04
RATE_SHAPE, RATE_PER_WEEK = 1.0, 0.12  # Gamma: shape and mean, orders per operational week
DROPOUT = (1.0, 8.0)  # Beta: probability of leaving after an order
STAGES = (0.35, 0.3, 0.2, 0.15)  # shares of customers whose gaps have 1, 2, 3, 4 stages
SHARE_GONE_WRONG, COMPLAINT_SPEED = 0.03, 0.5
LOCAL_HOURS_AHEAD = 8  # of UTC
# Intensity by local hour, from midnight.
LOCAL_HOURS = tuple(map(int, "1 1 1 1 1 1 1 6 12 20 28 32 32 26 24 26 30 36 42 44 40 30 16 4".split()))
CHANNELS, CHANNEL_SHARES = ("store", "web", "app", "mini_program"), (0.4, 0.15, 0.2, 0.25)
REGIONS = (("north", "Asia/Shanghai"), ("south", "Asia/Hong_Kong"), ("west", "Asia/Urumqi"))
STORES = 12
STAFF_PER_STORE, BRANDS_PER_CATEGORY = 4, 4
SHARE_KEPT = 0.8  # of the kinds with a cycle: three of the first favourite category, one of the second


@dataclass(frozen=True)
class Clock:
    """Calendar and operational time, both in days and 0 at ``end``."""

    end: np.datetime64
    start: float  # first day of the facts, operational
    day: Floats  # hourly, calendar
    turned: Floats  # operational days at `day`

    def operational(self, day: Floats | float) -> Floats:
        """Operational time at a calendar time."""
        return np.asarray(np.interp(day, self.day, self.turned))

    def calendar(self, turned: Floats) -> Floats:
        """Calendar time at an operational time."""
        return np.asarray(np.interp(turned, self.turned, self.day))

    def later(self, turned: Floats, days: Floats | float) -> Floats:
        """Operational time ``days`` on the calendar after an operational time."""
        return self.operational(self.calendar(turned) + days)

    def month(self, turned: Floats) -> Ints:
        """Month of the local day, 1-12."""
        day = np.floor(self.calendar(turned) + LOCAL_HOURS_AHEAD / 24).astype("m8[D]")
        return np.asarray((self.end.astype("M8[D]") + day).astype("M8[M]").astype(np.int64) % 12 + 1)

    def stamp(self, turned: Floats, before: float = 0.0) -> pa.Array:
        """Whole seconds in UTC; null where the time is unknown or not before ``before``."""
        known = turned < before
        seconds = np.floor(self.calendar(np.where(known, turned, 0.0)) * 86_400).astype("m8[s]")
        return pa.array(self.end + seconds, pa.timestamp("us"), mask=~known).cast(pa.timestamp("us", "UTC"))


@dataclass(frozen=True)
class People:
    """One row per customer; times and rates on the operational clock."""

    joined: Floats
    first: Floats
    rate: Floats  # orders per day
    stages: Ints
    lifetime: Ints  # orders until the customer leaves; 0: never orders
    basket: Floats  # mean lines beyond the first
    favourites: Ints  # two categories
    brand: Ints  # favourite of the first category's; -1: none
    uses: Ints  # kinds of goods kept at home, by shelf; -1: an empty shelf
    pace: Floats  # factor on how long goods last
    satisfaction: Floats  # usual rating, 1-5 and beyond
    sensitivity: Floats  # to prices, 0-1
    browsing: Floats  # events per day at full interest
    attention: Floats  # share of messages opened
    channel: Ints
    store: Ints


@dataclass(frozen=True)
class Orders:
    """Orders on the operational clock up to 365 days after ``end``, by customer and time."""

    customer: Ints
    at: Floats
    number: Ints  # 0 for the first
    wrong: Bools
    wrongs: Ints  # orders gone wrong so far, this one included


def make_clock(days: int, end: np.datetime64) -> Clock:
    """The clock of ``days`` calendar days of history before ``end``, a midnight in microseconds of UTC."""
    hours = np.arange(-(days + BURN_IN_DAYS) * 24, HORIZON_DAYS * 24 + 1)
    at = end.astype("M8[h]") + hours.astype("m8[h]")
    local_hour = (at.astype(np.int64) + LOCAL_HOURS_AHEAD) % 24
    year_day = (at - at.astype("M8[Y]")) / np.timedelta64(1, "D")
    intensity = _season(year_day) * np.array(LOCAL_HOURS)[local_hour] / np.mean(LOCAL_HOURS)
    turned = np.concatenate([[0.0], np.cumsum(intensity[:-1])]) / 24
    turned -= turned[hours == 0]
    day = hours / 24
    return Clock(end, float(np.interp(-days, day, turned)), day, turned)


def _season(year_day: Floats) -> Floats:
    """Intensity by day of the year: a peak about 1 December, a dip in late July; mean 1."""

    def raw(day: Floats) -> Floats:
        peak, dip = ((day - centre + 182.5) % 365 - 182.5 for centre in (334, 205))
        return np.asarray(1 + 0.8 * np.exp(-0.5 * (peak / 18) ** 2) - 0.3 * np.exp(-0.5 * (dip / 25) ** 2))

    return np.asarray(raw(year_day) / raw(np.arange(365.0)).mean())


def draw_people(rng: np.random.Generator, clock: Clock, n: int) -> People:
    """``n`` customers who joined before ``end``, some of them before the first day."""
    favourites = _draw_favourites(rng, n)
    before = rng.random(n) < SHARE_JOINED_BEFORE
    low, high = np.where(before, clock.turned[0], clock.start), np.where(before, clock.start, 0.0)
    joined = high - (high - low) * (1 - rng.random(n))
    at_once = rng.random(n) < 0.6
    leaves = np.maximum(rng.beta(*DROPOUT, n), 1e-9)
    return People(
        joined=joined,
        first=joined + np.where(at_once, 0.01, rng.exponential(15.0, n)),
        rate=rng.gamma(RATE_SHAPE, RATE_PER_WEEK / 7 / RATE_SHAPE, n),
        stages=1 + rng.choice(len(STAGES), n, p=STAGES),
        lifetime=np.where(rng.random(n) < SHARE_NEVER_ORDERING, 0, rng.geometric(leaves)),
        basket=rng.gamma(2.0, 0.6, n),
        favourites=favourites,
        brand=rng.integers(-BRANDS_PER_CATEGORY, BRANDS_PER_CATEGORY, size=n).clip(-1),
        uses=_draw_uses(rng, favourites),
        pace=rng.lognormal(-0.01, 0.15, n),
        satisfaction=rng.normal(4.4, 0.5, n),
        sensitivity=rng.beta(1.5, 3.0, n),
        browsing=rng.gamma(4.0, 0.014, n),
        attention=rng.beta(2.0, 4.0, n),
        channel=rng.choice(len(CHANNELS), n, p=CHANNEL_SHARES),
        store=rng.integers(STORES, size=n),
    )


def _draw_favourites(rng: np.random.Generator, n: int) -> Ints:
    """Two categories each."""
    first, step = rng.integers(len(CATEGORIES), size=n), rng.integers(1, len(CATEGORIES), size=n)
    return np.stack([first, (first + step) % len(CATEGORIES)], axis=1)


def _draw_uses(rng: np.random.Generator, favourites: Ints) -> Ints:
    """Kinds with a cycle that each customer keeps at home, by shelf; -1: nothing on it."""
    other = rng.integers(EVERYDAY.shape[1], size=len(favourites))
    kinds = np.column_stack([EVERYDAY[favourites[:, 0]], EVERYDAY[favourites[:, 1], other]])
    kept = (CYCLE_DAYS[kinds] > 0) & (rng.random(kinds.shape) < SHARE_KEPT)
    return np.where(kept, kinds, -1)


def draw_orders(rng: np.random.Generator, clock: Clock, people: People) -> Orders:
    """All orders of all customers, in rounds of eight for those whose story goes on."""
    who = np.flatnonzero(people.lifetime > 0)
    at, number, wrongs = people.first[who], np.zeros_like(who), np.zeros_like(who)
    horizon, parts = clock.turned[-1], []
    while who.size:
        wrong = rng.random((who.size, 8)) < SHARE_GONE_WRONG
        wrongs_by = wrongs[:, None] + np.cumsum(wrong, axis=1)
        stages = people.stages[who, None]
        gaps = rng.standard_gamma(stages, wrong.shape) / (stages * people.rate[who, None])
        after = at[:, None] + np.cumsum(gaps / COMPLAINT_SPEED**wrongs_by, axis=1)
        times = np.concatenate([at[:, None], after[:, :-1]], axis=1)
        numbers = number[:, None] + np.arange(8)
        real = (times < horizon) & (numbers < people.lifetime[who, None])
        owner = np.broadcast_to(who[:, None], real.shape)
        parts.append([column[real] for column in (owner, times, numbers, wrong, wrongs_by)])
        on = (after[:, -1] < horizon) & (numbers[:, -1] + 1 < people.lifetime[who])
        who, at, number, wrongs = who[on], after[on, -1], numbers[on, -1] + 1, wrongs_by[on, -1]
    if not parts:
        return Orders(who, at, number, np.zeros(0, dtype=bool), wrongs)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Orders(*(column[order] for column in columns))


def last_before(owner: Ints, time: Floats, customer: Ints, at: Floats) -> Ints:
    """Row of each customer's last time before ``at``; -1 where there is none. ``time`` is sorted by owner and time."""
    if not time.size:
        return np.full(customer.size, -1)
    low, high = min(time.min(), at.min(initial=0.0)), max(time.max(), at.max(initial=0.0))
    span = high - low + 1
    row = np.searchsorted(owner * span + (time - low), customer * span + (at - low)) - 1
    return np.where((row >= 0) & (owner[row] == customer), row, -1)


def standing(people: People, orders: Orders, customer: Ints, at: Floats) -> tuple[Ints, Bools]:
    """Row of the last order before ``at`` (-1: none yet), and whether there are more to come."""
    last = last_before(orders.customer, orders.at, customer, at)
    done = np.where(last >= 0, np.append(orders.number, [-1])[last] + 1, 0)
    return last, np.asarray(done < people.lifetime[customer])
