"""A made-up retailer whose truth is known: for the demo, for tests, and to see whether a model recovers what is there.

The world runs on an operational clock: ``operational(t)`` is the integral of a seasonal intensity with mean 1 (more in
November and December, less in July and August, little at night), so that a constant rate on that clock is a
seasonal one on the calendar. Both clocks read 0 at ``end`` and count in days.

A customer i joins, orders for the first time, and after each order leaves for good with probability ``p_i`` (Beta).
Otherwise the next order follows after an Erlang gap of ``k_i`` stages (1-4) with mean ``1 / (r_i v)`` operational
days: ``r_i`` is a Gamma rate, ``v = COMPLAINT_SPEED ** c`` and ``c`` the number of the customer's orders so far that
went wrong. Such an order slows the customer's clock from then on; its complaint follows about a day later. This is
MBG/NBD (Batislam, Denizel and Filiztekin 2007) with regular gaps (MBG/CNBD-k, Reutterer, Platzer and Schroeder 2021).

With ``e`` operational days since the last order at ``end`` and ``d = operational(90)``, the truth is

    p_order_90d = alive * (1 - S_k(k r v (e + d)) / S_k(k r v e)),    S_k(x) = exp(-x) * sum_{j < k} x^j / j!

(``S_k`` is ``scipy.stats.gamma(k).sf``). It is exact: nothing a customer leaves behind looks ahead of that state,
except the browsing that leads to an order, in the hours before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import InputError

__all__ = ["SimulatedRetailer", "simulate", "write"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HORIZON_DAYS, BURN_IN_DAYS = 365, 365  # the world runs on after `end`, and ran before the first day
SHARE_JOINED_BEFORE, SHARE_NEVER_ORDERING, SHARE_ANONYMOUS = 0.3, 0.04, 0.08
RATE_SHAPE, RATE_PER_WEEK = 1.0, 0.12  # Gamma: shape and mean, orders per operational week
DROPOUT = (1.0, 8.0)  # Beta: probability of leaving after an order
STAGES = (0.35, 0.3, 0.2, 0.15)  # shares of customers whose gaps have 1, 2, 3, 4 stages
SHARE_GONE_WRONG, COMPLAINT_SPEED = 0.03, 0.5
# Intensity by local hour (UTC+8), from midnight.
LOCAL_HOURS = tuple(map(int, "1 1 1 1 1 1 1 6 12 20 28 32 32 26 24 26 30 36 42 44 40 30 16 4".split()))
CHANNELS, CHANNEL_SHARES = ("store", "web", "app", "mini_program"), (0.4, 0.15, 0.2, 0.25)
REASONS = ("quality", "damaged", "late", "usage", "stock", "delivery")  # of complaints, then of enquiries
MESSAGES, MESSAGES_PER_WEEK = ("email", "sms"), 0.2
EVENTS, EVENT_SHARES = ("view", "favourite", "cart_add", "visit"), (0.7, 0.08, 0.1, 0.12)
REGIONS = (("north", "Asia/Shanghai"), ("south", "Asia/Hong_Kong"), ("west", "Asia/Urumqi"))
STORES, STAFF_PER_STORE, PRODUCTS_PER_CATEGORY, BRANDS = 12, 4, 25, 20
CATEGORIES = (  # category_1, three of category_2, median list price, replenishable, sold by weight
    ("skincare", "cleanser serum mask", 120.0, True, False),
    ("make_up", "lips eyes face", 90.0, False, False),
    ("hair", "shampoo treatment styling", 60.0, True, False),
    ("fresh_food", "fruit vegetables fish", 25.0, True, True),
    ("pantry", "tea rice snacks", 35.0, True, False),
    ("home", "bedding lighting storage", 180.0, False, False),
    ("kitchen", "pans knives tableware", 130.0, False, False),
    ("baby", "nappies milk clothes", 110.0, True, False),
)


@dataclass(frozen=True)
class SimulatedRetailer:
    """Canonical tables with facts before ``end``, and what is true of each customer from ``end`` on.

    Attributes
    ----------
    tables
        Canonical table name -> rows, as in ``features.tables``.
    truth
        customer_id, p_order_90d, next_order_at (null: none within 365 days), spend_365d (net amount of the sale lines
        in ``[end, end + 365 d)``); one row for each customer with an order in the tables.
    """

    tables: Mapping[str, pa.Table]
    truth: pa.Table


@dataclass(frozen=True)
class _Clock:
    end: np.datetime64
    start: float  # first day of the facts, operational
    day: Floats  # hourly, calendar
    turned: Floats  # operational days at `day`

    def operational(self, day: Floats | float) -> Floats:
        return np.asarray(np.interp(day, self.day, self.turned))

    def calendar(self, turned: Floats) -> Floats:
        return np.asarray(np.interp(turned, self.turned, self.day))

    def stamp(self, turned: Floats, before: float = 0.0) -> pa.Array:
        """Whole seconds in UTC; null where the time is unknown or not before ``before``."""
        known = turned < before
        seconds = np.floor(self.calendar(np.where(known, turned, 0.0)) * 86_400).astype("m8[s]")
        return pa.array(self.end + seconds, pa.timestamp("us"), mask=~known).cast(pa.timestamp("us", "UTC"))


@dataclass(frozen=True)
class _People:
    """One row per customer; times and rates on the operational clock."""

    joined: Floats
    first: Floats
    rate: Floats  # orders per day
    stages: Ints
    lifetime: Ints  # orders until the customer leaves; 0: never orders
    basket: Floats  # mean lines beyond the first
    favourites: Ints  # two categories
    sensitivity: Floats  # to prices, 0-1
    browsing: Floats  # events per day at full interest
    attention: Floats  # share of messages opened
    channel: Ints
    store: Ints


@dataclass(frozen=True)
class _Orders:
    """Orders on the operational clock up to 365 days after ``end``, by customer and time."""

    customer: Ints
    at: Floats
    number: Ints  # 0 for the first
    wrong: Bools
    wrongs: Ints  # orders gone wrong so far, this one included


@dataclass(frozen=True)
class _Sales:
    """Orders since the first day with their circumstances, by time; anonymous ones included."""

    customer: Ints
    at: Floats
    known: Bools  # the customer showed a card
    wrong: Bools
    channel: Ints
    store: Ints
    staff: Ints
    id: pa.Array


@dataclass(frozen=True)
class _Catalogue:
    price: Ints  # cents
    cost: Ints  # cents


@dataclass(frozen=True)
class _Traces:
    """Events, in any order."""

    customer: Ints
    at: Floats
    kind: Ints
    product: Ints
    channel: Ints


@dataclass(frozen=True)
class _Lines:
    sale: Ints  # row of _Sales
    line: Ints
    product: Ints
    milli: Ints  # thousandths of a unit
    gross: Ints  # cents, like all amounts here
    discount: Ints
    cost: Ints
    returned_at: Floats  # nan: kept


def simulate(customers: int, days: int, end: date | np.datetime64, seed: int) -> SimulatedRetailer:
    """Make a retailer up.

    Parameters
    ----------
    customers
        Number of customers registered before ``end``; some have not ordered yet, a few never will.
    days
        Length of the history: orders, events and messages lie in ``[end - days, end)``. Customers may have registered
        up to a year earlier.
    end
        00:00 UTC of this day is the first instant that the tables do not know.
    seed
        Same arguments, same tables, byte for byte.

    Raises
    ------
    InputError
        ``customers`` or ``days`` is below 1, or ``end`` is not a whole day.

    Notes
    -----
    The formula of ``p_order_90d`` stands at the head of this module.
    """
    rng = np.random.default_rng(seed)
    clock = _clock(customers, days, end)
    people = _draw_people(rng, clock, customers)
    orders = _draw_orders(rng, clock, people)
    catalogue, products = _draw_products(rng)
    sales = _draw_sales(rng, clock, people, orders)
    lines = _draw_lines(rng, people, sales, catalogue)
    traces = (_draw_browsing(rng, clock, people, orders), _draw_sessions(rng, sales, lines))
    ids = _ids("c", np.arange(customers), 6)
    subscribed_until, consents = _draw_consents(rng, clock, people, ids)
    tables = {
        "customers": _draw_profiles(rng, clock, people, ids),
        "order_lines": _order_lines(clock, sales, lines, ids),
        "events": _events(clock, people, traces, ids),
        "tickets": _draw_tickets(rng, clock, sales, ids),
        "contacts": _draw_contacts(rng, clock, people, orders, subscribed_until, ids),
        "consents": consents,
        "products": products,
        **_places(),
    }
    return SimulatedRetailer(tables, _truth(clock, people, orders, sales, lines, ids))


def write(retailer: SimulatedRetailer, folder: Path | str) -> None:
    """Write ``folder/tables/<table>.parquet`` and ``folder/truth/customers.parquet``, over what stood there."""
    for place, files in (("tables", retailer.tables), ("truth", {"customers": retailer.truth})):
        below = Path(folder) / place
        below.mkdir(parents=True, exist_ok=True)
        for name, table in files.items():
            pq.write_table(table, below / f"{name}.parquet")


def _clock(customers: int, days: int, end: date | np.datetime64) -> _Clock:
    if customers < 1 or days < 1:
        raise InputError(f"simulate needs at least 1 customer and 1 day, got {customers} and {days}")
    midnight = np.datetime64(end).astype("M8[us]")
    if not midnight == midnight.astype("M8[D]"):
        raise InputError(f"simulate ends at 00:00 UTC of a day, got end={end}: pass a date")
    hours = np.arange(-(days + BURN_IN_DAYS) * 24, HORIZON_DAYS * 24 + 1)
    at = midnight.astype("M8[h]") + hours.astype("m8[h]")
    local_hour = (at.astype(np.int64) + 8) % 24
    year_day = (at - at.astype("M8[Y]")) / np.timedelta64(1, "D")
    intensity = _season(year_day) * np.array(LOCAL_HOURS)[local_hour] / np.mean(LOCAL_HOURS)
    turned = np.concatenate([[0.0], np.cumsum(intensity[:-1])]) / 24
    turned -= turned[hours == 0]
    day = hours / 24
    return _Clock(midnight, float(np.interp(-days, day, turned)), day, turned)


def _season(year_day: Floats) -> Floats:
    """Intensity by day of the year: a peak about 1 December, a dip in late July; mean 1."""

    def raw(day: Floats) -> Floats:
        peak, dip = ((day - centre + 182.5) % 365 - 182.5 for centre in (334, 205))
        return np.asarray(1 + 0.8 * np.exp(-0.5 * (peak / 18) ** 2) - 0.3 * np.exp(-0.5 * (dip / 25) ** 2))

    return np.asarray(raw(year_day) / raw(np.arange(365.0)).mean())


def _draw_people(rng: np.random.Generator, clock: _Clock, n: int) -> _People:
    before = rng.random(n) < SHARE_JOINED_BEFORE
    low, high = np.where(before, clock.turned[0], clock.start), np.where(before, clock.start, 0.0)
    joined = high - (high - low) * (1 - rng.random(n))
    at_once = rng.random(n) < 0.6
    leaves = np.maximum(rng.beta(*DROPOUT, n), 1e-9)
    return _People(
        joined=joined,
        first=joined + np.where(at_once, 0.01, rng.exponential(15.0, n)),
        rate=rng.gamma(RATE_SHAPE, RATE_PER_WEEK / 7 / RATE_SHAPE, n),
        stages=1 + rng.choice(len(STAGES), n, p=STAGES),
        lifetime=np.where(rng.random(n) < SHARE_NEVER_ORDERING, 0, rng.geometric(leaves)),
        basket=rng.gamma(2.0, 0.6, n),
        favourites=rng.integers(len(CATEGORIES), size=(n, 2)),
        sensitivity=rng.beta(1.5, 3.0, n),
        browsing=rng.gamma(1.0, 0.12, n),
        attention=rng.beta(2.0, 4.0, n),
        channel=rng.choice(len(CHANNELS), n, p=CHANNEL_SHARES),
        store=rng.integers(STORES, size=n),
    )


def _draw_orders(rng: np.random.Generator, clock: _Clock, people: _People) -> _Orders:
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
        return _Orders(who, at, number, np.zeros(0, dtype=bool), wrongs)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return _Orders(*(column[order] for column in columns))


def _truth(
    clock: _Clock, people: _People, orders: _Orders, sales: _Sales, lines: _Lines, ids: pa.Array
) -> pa.Table:
    last = _last_before(orders, np.arange(people.rate.size), np.zeros(people.rate.size))
    last = last[(last >= 0) & (orders.at[last] >= clock.start)]
    who = orders.customer[last]
    follows = np.append(orders.customer[1:] == orders.customer[:-1], [False])[last]
    future = (sales.known & (sales.at >= 0))[lines.sale]
    spender, net = sales.customer[lines.sale[future]], (lines.gross - lines.discount)[future]
    spend = np.bincount(spender, net, people.rate.size).astype(np.int64)  # cents are exact in float64
    return pa.table(
        {
            "customer_id": ids.take(pa.array(who)),
            "p_order_90d": _p_order(people, orders, last, float(clock.operational(90.0))),
            "next_order_at": clock.stamp(
                np.where(follows, np.append(orders.at, [np.nan])[last + 1], np.nan), before=np.inf
            ),
            "spend_365d": _decimal(spend[who], 2),
        }
    )


def _p_order(people: _People, orders: _Orders, last: Ints, ahead: float) -> Floats:
    """P(next order within ``ahead`` operational days of `end`), given all that is true at `end`: see the module."""
    who = orders.customer[last]
    stages = people.stages[who]
    pace = stages * people.rate[who] * COMPLAINT_SPEED ** orders.wrongs[last]
    waited, later = -orders.at[last] * pace, (ahead - orders.at[last]) * pace
    # The factor exp(-x) is taken out of the ratio: both survival functions may underflow, their ratio does not.
    none = np.exp(waited - later) * _stage_sum(later, stages) / _stage_sum(waited, stages)
    return np.asarray(np.where(orders.number[last] + 1 < people.lifetime[who], 1 - none, 0.0))


def _stage_sum(x: Floats, stages: Ints) -> Floats:
    """``sum_{j < stages} x^j / j!``."""
    term, total = np.ones_like(x), np.zeros_like(x)
    for j in range(len(STAGES)):
        total += np.where(j < stages, term, 0.0)
        term = term * x / (j + 1)
    return total


def _last_before(orders: _Orders, customer: Ints, at: Floats) -> Ints:
    """Row of each customer's last order before ``at``; -1 where there is none."""
    if not orders.at.size:
        return np.full(customer.size, -1)
    low, high = min(orders.at.min(), at.min(initial=0.0)), max(orders.at.max(), at.max(initial=0.0))
    span = high - low + 1
    row = np.searchsorted(orders.customer * span + (orders.at - low), customer * span + (at - low)) - 1
    return np.where((row >= 0) & (orders.customer[row] == customer), row, -1)


def _draw_products(rng: np.random.Generator) -> tuple[_Catalogue, pa.Table]:
    n = len(CATEGORIES) * PRODUCTS_PER_CATEGORY
    category = np.repeat(np.arange(len(CATEGORIES)), PRODUCTS_PER_CATEGORY)
    names, kinds, medians, replenishable, _ = zip(*CATEGORIES, strict=True)
    price = 10 * np.rint(10 * np.array(medians)[category] * rng.lognormal(0.0, 0.45, n)).astype(np.int64)
    cost = np.rint(price * rng.uniform(0.4, 0.65, n)).astype(np.int64)
    kind = 3 * category + rng.integers(3, size=n)
    number = _ids("", np.tile(np.arange(PRODUCTS_PER_CATEGORY), len(CATEGORIES)) + 1, 2)
    return _Catalogue(price, cost), pa.table(
        {
            "product_id": _ids("p", np.arange(n), 4),
            "name": pc.binary_join_element_wise(_take(names, category), number, " "),
            "category_1": _take(names, category),
            "category_2": _take(" ".join(kinds).split(), kind),
            "brand": _ids("brand_", rng.integers(BRANDS, size=n), 2),
            "list_price": _decimal(price, 2),
            "unit_cost": _decimal(cost, 2),
            "pack_size": rng.choice([1.0, 2.0, 3.0, 6.0], n, p=[0.6, 0.2, 0.1, 0.1]),
            "replenishable": _take(replenishable, category),
        }
    )


def _draw_sales(rng: np.random.Generator, clock: _Clock, people: _People, orders: _Orders) -> _Sales:
    seen = np.flatnonzero(orders.at >= clock.start)
    anonymous = round(SHARE_ANONYMOUS * np.count_nonzero(orders.at[seen] < 0))
    customer = np.append(orders.customer[seen], rng.integers(people.rate.size, size=anonymous))
    at = np.append(orders.at[seen], clock.start * (1 - rng.random(anonymous)))
    order = np.lexsort((customer, at))
    customer, n = customer[order], order.size
    known = order < seen.size
    usual, elsewhere = rng.random(n) < 0.75, rng.integers(len(CHANNELS), size=n)
    store = np.where(rng.random(n) < 0.85, people.store[customer], rng.integers(STORES, size=n))
    return _Sales(
        customer=customer,
        at=at[order],
        known=known,
        wrong=np.append(orders.wrong[seen], np.zeros(anonymous, dtype=bool))[order],
        channel=np.where(known, np.where(usual, people.channel[customer], elsewhere), 0),
        store=store,
        staff=store * STAFF_PER_STORE + rng.integers(STAFF_PER_STORE, size=n),
        id=_ids("o", np.arange(n), 7),
    )


def _draw_lines(rng: np.random.Generator, people: _People, sales: _Sales, catalogue: _Catalogue) -> _Lines:
    size = 1 + np.minimum(rng.poisson(people.basket[sales.customer]), 5)
    sale = np.repeat(np.arange(size.size), size)
    n, customer = sale.size, sales.customer[sale]
    product = _draw_liked(rng, people, customer)
    by_weight = np.array([category[-1] for category in CATEGORIES])[product // PRODUCTS_PER_CATEGORY]
    pieces = 1 + (rng.random(n) < 0.2) + (rng.random(n) < 0.05)
    milli = np.where(by_weight, rng.integers(200, 2501, size=n), 1000 * pieces)
    gross = (catalogue.price[product] * milli + 500) // 1000
    reduced = rng.random(n) < 0.1 + 0.6 * people.sensitivity[customer]
    percent = np.where(reduced, rng.choice([5, 10, 20, 30], n), 0)
    returned = rng.random(n) < np.where(sales.channel[sale] == 0, 0.03, 0.07)
    # 18 operational days are at most 28 on the calendar.
    back_at = sales.at + rng.uniform(1.0, 18.0, size.size)
    return _Lines(
        sale=sale,
        line=np.arange(n) - np.repeat(np.cumsum(size) - size, size) + 1,
        product=product,
        milli=milli,
        gross=gross,
        discount=gross * percent // 100,
        cost=(catalogue.cost[product] * milli + 500) // 1000,
        returned_at=np.where(returned, back_at[sale], np.nan),
    )


def _draw_liked(rng: np.random.Generator, people: _People, customer: Ints) -> Ints:
    """Products: 45 % of the first favourite category, 25 % of the second, else any; the first of a category sell best."""
    u, any_category = rng.random(customer.size), rng.integers(len(CATEGORIES), size=customer.size)
    first, second = people.favourites[customer].T
    category = np.where(u < 0.45, first, np.where(u < 0.7, second, any_category))
    place = (PRODUCTS_PER_CATEGORY * rng.random(customer.size) ** 1.6).astype(np.int64)
    return category * PRODUCTS_PER_CATEGORY + place


def _order_lines(clock: _Clock, sales: _Sales, lines: _Lines, ids: pa.Array) -> pa.Table:
    sold, back = np.flatnonzero(sales.at[lines.sale] < 0), np.flatnonzero(lines.returned_at < 0)
    row, returned = np.append(sold, back), np.arange(sold.size + back.size) >= sold.size
    sale, in_store = lines.sale[row], sales.channel[lines.sale[row]] == 0
    order_id = sales.id.take(pa.array(sale))
    back_id = pc.binary_join_element_wise("R-", order_id, "")
    return pa.table(
        {
            "order_id": pc.if_else(pa.array(returned), back_id, order_id),
            "line_id": pa.array(lines.line[row]).cast("string"),
            "customer_id": _take(ids, sales.customer[sale], sales.known[sale]),
            "kind": _take(("sale", "return"), returned.astype(np.int64)),
            "paid_at": clock.stamp(np.where(returned, lines.returned_at[row], sales.at[sale])),
            "product_id": _ids("p", lines.product[row], 4),
            "quantity": _decimal(lines.milli[row], 3),
            "gross_amount": _decimal(lines.gross[row], 2),
            "discount_amount": _decimal(lines.discount[row], 2),
            "net_amount": _decimal((lines.gross - lines.discount)[row], 2),
            "cost_amount": _decimal(lines.cost[row], 2),
            "currency": _take(("CNY",), np.zeros_like(row)),
            "channel": _take(CHANNELS, sales.channel[sale]),
            "store_id": _take(_ids("s", np.arange(STORES), 2), sales.store[sale], in_store),
            "staff_id": _take(_ids("a", np.arange(STORES * STAFF_PER_STORE), 3), sales.staff[sale], in_store),
            "original_order_id": _take(sales.id, sale, returned),
        }
    )


def _events(clock: _Clock, people: _People, traces: Sequence[_Traces], ids: pa.Array) -> pa.Table:
    columns = zip(*((t.customer, t.at, t.kind, t.product, t.channel) for t in traces), strict=True)
    customer, at, kind, product, channel = (np.concatenate(column) for column in columns)
    row = np.flatnonzero((at >= np.maximum(people.joined[customer], clock.start)) & (at < 0))
    row = row[np.lexsort((customer[row], at[row]))]
    return pa.table(
        {
            "event_id": _ids("e", np.arange(row.size), 8),
            "customer_id": ids.take(pa.array(customer[row])),
            "at": clock.stamp(at[row]),
            "kind": _take(EVENTS, kind[row]),
            "product_id": _ids("p", product[row], 4, kind[row] != EVENTS.index("visit")),
            "channel": _take(CHANNELS, channel[row]),
        }
    )


def _draw_sessions(rng: np.random.Generator, sales: _Sales, lines: _Lines) -> _Traces:
    """Views and carts of the lines of each online order, in the hours before it is paid."""
    viewed = np.flatnonzero((sales.channel > 0)[lines.sale])
    carted = viewed[rng.random(viewed.size) < 0.7]
    ahead = np.append(rng.uniform(0.02, 0.1, viewed.size), rng.uniform(0.0, 0.02, carted.size))
    line = np.append(viewed, carted)
    sale = lines.sale[line]
    kind = np.where(np.arange(line.size) < viewed.size, EVENTS.index("view"), EVENTS.index("cart_add"))
    return _Traces(
        sales.customer[sale], sales.at[sale] - ahead, kind, lines.product[line], sales.channel[sale]
    )


def _draw_browsing(rng: np.random.Generator, clock: _Clock, people: _People, orders: _Orders) -> _Traces:
    """Browsing between orders: interest grows with the time since the last, and fades once the customer has left."""
    since = np.maximum(people.joined, clock.start)
    who = np.repeat(np.arange(since.size), rng.poisson(-since * people.browsing))
    at = since[who] * (1 - rng.random(who.size))
    last, alive = _standing(people, orders, who, at)
    gap = np.where(last >= 0, at - np.append(orders.at, [0.0])[last], 0.0)
    pace = people.rate[who] * COMPLAINT_SPEED ** np.append(orders.wrongs, [0])[last]
    interest = np.where(alive, 0.2 + 0.8 * np.minimum(1.0, gap * pace), 0.2 * np.exp(-gap / 45))
    kept = rng.random(who.size) < interest
    who, at = who[kept], at[kept]
    kind = rng.choice(len(EVENTS), who.size, p=EVENT_SHARES)
    online = np.where(people.channel[who] > 0, people.channel[who], CHANNELS.index("mini_program"))
    channel = np.where(kind == EVENTS.index("visit"), 0, online)
    return _Traces(who, at, kind, _draw_liked(rng, people, who), channel)


def _standing(people: _People, orders: _Orders, customer: Ints, at: Floats) -> tuple[Ints, Bools]:
    """Row of the last order before ``at`` (-1: none yet), and whether there are more to come."""
    last = _last_before(orders, customer, at)
    done = np.where(last >= 0, np.append(orders.number, [-1])[last] + 1, 0)
    return last, np.asarray(done < people.lifetime[customer])


def _draw_tickets(rng: np.random.Generator, clock: _Clock, sales: _Sales, ids: pa.Array) -> pa.Table:
    asks = sales.known & (rng.random(sales.at.size) < 0.04)
    sale = np.append(np.flatnonzero(sales.wrong), np.flatnonzero(asks))
    complaint = np.arange(sale.size) < np.count_nonzero(sales.wrong)
    opened = sales.at[sale] + rng.exponential(1.0, sale.size)
    handling = rng.exponential(np.where(complaint, 3.0, 1.0))
    rated = np.where(rng.random(sale.size) < 0.5, opened + handling + rng.exponential(1.0, sale.size), np.nan)
    mood = np.where(complaint, 3.2, 4.6) - 0.2 * handling + rng.normal(0.0, 0.9, sale.size)
    reason = rng.integers(3, size=sale.size) + np.where(complaint, 0, 3)
    row = np.flatnonzero(opened < 0)
    row = row[np.lexsort((sale[row], opened[row]))]
    csat = np.clip(np.rint(mood[row]), 1, 5).astype(np.int64)
    return pa.table(
        {
            "ticket_id": _ids("t", np.arange(row.size), 6),
            "customer_id": ids.take(pa.array(sales.customer[sale[row]])),
            "opened_at": clock.stamp(opened[row]),
            "closed_at": clock.stamp((opened + handling)[row]),
            "rated_at": clock.stamp(rated[row]),
            "csat": pa.array(csat, mask=~(rated[row] < 0)),
            "kind": _take(("enquiry", "complaint"), complaint[row].astype(np.int64)),
            "reason": _take(REASONS, reason[row]),
            "order_id": sales.id.take(pa.array(sale[row])),
        }
    )


def _draw_consents(
    rng: np.random.Generator, clock: _Clock, people: _People, ids: pa.Array
) -> tuple[Floats, pa.Table]:
    """Until when each (customer, message channel) is subscribed, flat; nan: never. And the consents that say so."""
    joined = np.repeat(people.joined, len(MESSAGES))
    subscribed = rng.random(joined.size) < 0.7
    leaves = np.flatnonzero(subscribed & (rng.random(joined.size) < 0.12))
    until = np.where(subscribed, 0.0, np.nan)
    until[leaves] = joined[leaves] * (1 - rng.random(leaves.size))
    customer, channel = np.divmod(np.append(np.arange(joined.size), leaves), len(MESSAGES))
    status = np.append(np.where(subscribed, 0, 2), np.full(leaves.size, 1))
    return until, pa.table(
        {
            "customer_id": ids.take(pa.array(customer)),
            "channel": _take(MESSAGES, channel),
            "purpose": _take(("marketing",), np.zeros_like(channel)),
            "at": clock.stamp(np.append(joined, until[leaves])),
            "status": _take(("SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"), status),
        }
    )


def _draw_contacts(
    rng: np.random.Generator, clock: _Clock, people: _People, orders: _Orders, until: Floats, ids: pa.Array
) -> pa.Table:
    """Marketing messages to the subscribed; who has left opens fewer of them."""
    since = np.repeat(np.maximum(people.joined, clock.start), len(MESSAGES))
    open_days = np.fmax(until - since, 0.0)
    sent = np.repeat(np.arange(since.size), rng.poisson(open_days * MESSAGES_PER_WEEK / 7))
    at = until[sent] - open_days[sent] * (1 - rng.random(sent.size))
    order = np.lexsort((sent, at))
    at, (customer, channel) = at[order], np.divmod(sent[order], len(MESSAGES))
    delivered = rng.random(at.size) < 0.97
    attention = people.attention[customer] * np.where(_standing(people, orders, customer, at)[1], 1.0, 0.4)
    read = delivered & (rng.random(at.size) < attention)
    opened = np.where(read, at + rng.exponential(0.4, at.size), np.nan)
    clicked = np.where(rng.random(at.size) < 0.25, opened + rng.exponential(0.02, at.size), np.nan)
    return pa.table(
        {
            "contact_id": _ids("m", np.arange(at.size), 8),
            "customer_id": ids.take(pa.array(customer)),
            "sent_at": clock.stamp(at),
            "channel": _take(MESSAGES, channel),
            "purpose": _take(("marketing",), np.zeros_like(channel)),
            "campaign_id": _ids("week_", ((at - clock.start) // 7).astype(np.int64), 3),
            "status": _take(("undelivered", "delivered"), delivered.astype(np.int64)),
            "opened_at": clock.stamp(opened),
            "clicked_at": clock.stamp(clicked),
        }
    )


def _draw_profiles(rng: np.random.Generator, clock: _Clock, people: _People, ids: pa.Array) -> pa.Table:
    n = people.rate.size
    region = people.store % len(REGIONS)
    born = clock.end.astype("M8[D]") - rng.integers(20 * 365, 70 * 365, size=n).astype("m8[D]")
    warmth = np.log(people.rate * 7 / RATE_PER_WEEK) + rng.normal(
        0.0, 1.0, n
    )  # from the rate, not from orders to come
    return pa.table(
        {
            "customer_id": ids,
            "registered_at": clock.stamp(people.joined),
            "registration_channel": _take(CHANNELS, people.channel),
            "display_name": pa.nulls(n, pa.string()),
            "birth_date": pa.array(born, pa.date32(), mask=rng.random(n) < 0.12),
            "gender": _take(
                ("female", "male"), (rng.random(n) < 0.35).astype(np.int64), rng.random(n) < 0.95
            ),
            "region_id": _take([name for name, _ in REGIONS], region),
            "home_store_id": _ids("s", people.store, 2),
            "member_level": _take(("basic", "silver", "gold"), np.searchsorted([0.3, 1.2], warmth)),
            "timezone": _take([zone for _, zone in REGIONS], region),
        }
    )


def _places() -> dict[str, pa.Table]:
    store = np.arange(STORES)
    of_staff = np.repeat(store, STAFF_PER_STORE)
    regions, zones = zip(*REGIONS, strict=True)
    return {
        "stores": pa.table(
            {
                "store_id": _ids("s", store, 2),
                "region_id": _take(regions, store % len(REGIONS)),
                "timezone": _take(zones, store % len(REGIONS)),
            }
        ),
        "staff": pa.table(
            {
                "staff_id": _ids("a", np.arange(of_staff.size), 3),
                "store_id": _ids("s", of_staff, 2),
                "region_id": _take(regions, of_staff % len(REGIONS)),
            }
        ),
    }


def _ids(prefix: str, number: Ints, width: int, known: Bools | None = None) -> pa.Array:
    """``prefix`` and the zero-padded number; null where not ``known``."""
    digits = pc.utf8_lpad(
        pa.array(number, mask=None if known is None else ~known).cast(pa.string()), width, "0"
    )
    return pc.binary_join_element_wise(prefix, digits, "")


def _take(values: Sequence[object] | pa.Array, index: Ints, known: Bools | None = None) -> pa.Array:
    """``values[index]``; null where not ``known``."""
    return pa.array(values).take(pa.array(index, mask=None if known is None else ~known))


def _decimal(units: Ints, scale: int) -> pa.Array:
    """Whole units of ``10 ** -scale`` as DECIMAL(18, scale), without a detour over float."""
    words = np.stack([units, units >> 63], axis=1)  # a decimal is one 128-bit integer: low word, sign
    return pa.Array.from_buffers(pa.decimal128(18, scale), units.size, [None, pa.py_buffer(words)])
