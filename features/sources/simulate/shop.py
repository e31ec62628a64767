"""What each order bought and brought back."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.sources.simulate.campaigns import COUPON_PERCENT, OFFERS, Trials, coupon_at
from features.sources.simulate.catalogue import PRODUCTS_PER_KIND, Catalogue, draw_liked, pick
from features.sources.simulate.columns import Bools, Floats, Ints, Names, decimals, numbered, take
from features.sources.simulate.kinds import KINDS
from features.sources.simulate.needs import Needs, draw_needs
from features.sources.simulate.world import (
    CHANNELS,
    STAFF_PER_STORE,
    STORES,
    Clock,
    Orders,
    People,
    last_before,
)

__all__ = ["Lines", "Sales", "draw_lines", "draw_sales", "order_lines"]

SHARE_ANONYMOUS = 0.08
SHARE_IN_SEASON, SHARE_OUT_OF_SEASON = 0.18, 0.004  # of the lines not needed at home: goods of a season


@dataclass(frozen=True)
class Sales:
    """Orders since the first day with their circumstances, by time; anonymous ones included."""

    customer: Ints
    at: Floats
    known: Bools  # the customer showed a card
    wrong: Bools
    wrongs: Ints  # of the customer's orders so far, this one included
    channel: Ints
    store: Ints
    staff: Ints
    coupon: Ints  # row of OFFERS; -1: none
    id: pa.Array


@dataclass(frozen=True)
class Lines:
    """What was bought, by sale and line."""

    sale: Ints  # row of Sales
    line: Ints
    product: Ints
    milli: Ints  # thousandths of a pack, or of a kilogram where sold by weight
    gross: Ints  # cents, like all amounts here
    discount: Ints
    cost: Ints
    returned_at: Floats  # nan: kept


def draw_sales(
    rng: np.random.Generator, clock: Clock, people: People, orders: Orders, trials: Trials, names: Names
) -> Sales:
    """Where each order since the first day took place: customers' own, those that an offer brought, anonymous ones."""
    seen, extra = np.flatnonzero(orders.at >= clock.start), np.flatnonzero(~np.isnan(trials.extra_at))
    anonymous = round(SHARE_ANONYMOUS * np.count_nonzero(orders.at[seen] < 0))
    customer = np.concatenate(
        [orders.customer[seen], trials.customer[extra], rng.integers(people.rate.size, size=anonymous)]
    )
    at = np.concatenate([orders.at[seen], trials.extra_at[extra], clock.start * (1 - rng.random(anonymous))])
    order = np.lexsort((customer, at))
    own, known = order < seen.size, order < seen.size + extra.size
    customer, at, n = customer[order], at[order], order.size
    usual, elsewhere = rng.random(n) < 0.75, rng.integers(len(CHANNELS), size=n)
    store = np.where(rng.random(n) < 0.85, people.store[customer], rng.integers(STORES, size=n))
    # The wrongs of the order before, where the order is not the customer's own.
    before = last_before(orders.customer, orders.at, customer, at)
    own_row = np.append(seen, np.full(n - seen.size, -1))[order]
    return Sales(
        customer=customer,
        at=at,
        known=known,
        wrong=own & np.append(orders.wrong, [False])[own_row],
        wrongs=np.append(orders.wrongs, [0])[np.where(own, own_row, before)],
        channel=np.where(known, np.where(usual, people.channel[customer], elsewhere), 0),
        store=store,
        staff=store * STAFF_PER_STORE + rng.integers(STAFF_PER_STORE, size=n),
        coupon=np.where(known, coupon_at(clock, trials, customer, at), -1),
        id=names.numbered("o", n),
    )


def draw_lines(
    rng: np.random.Generator, clock: Clock, people: People, sales: Sales, catalogue: Catalogue
) -> tuple[Lines, Needs]:
    """One to six lines per sale: what has run out at home first, then what is liked; and the shelves they filled."""
    size = 1 + np.minimum(rng.poisson(people.basket[sales.customer]), 5)
    sale, first = np.repeat(np.arange(size.size), size), np.cumsum(size) - size
    n, customer = sale.size, sales.customer[sale]
    product = _draw_impulses(rng, clock, people, customer, sales.at[sale])
    milli = _draw_milli(rng, product)
    needs = draw_needs(rng, clock, people, catalogue, (sales.customer, sales.at, sales.known), size)
    filled = first[needs.sale] + needs.place
    product[filled], milli[filled] = needs.product, 1000 * needs.packs
    gross = (catalogue.price[product] * milli + 500) // 1000
    returned = rng.random(n) < np.where(sales.channel[sale] == 0, 0.03, 0.07)
    # 18 operational days are at most 28 on the calendar.
    back_at = sales.at + rng.uniform(1.0, 18.0, size.size)
    drawn = Lines(
        sale=sale,
        line=np.arange(n) - first[sale] + 1,
        product=product,
        milli=milli,
        gross=gross,
        discount=gross * _draw_percent(rng, people, sales, sale) // 100,
        cost=(catalogue.cost[product] * milli + 500) // 1000,
        returned_at=np.where(returned, back_at[sale], np.nan),
    )
    return drawn, needs


def _draw_impulses(
    rng: np.random.Generator, clock: Clock, people: People, customer: Ints, at: Floats
) -> Ints:
    """Products not needed at home: liked ones, in its months one of a season; nothing that the customer has a stock of."""
    kind, month = draw_liked(rng, people, customer), clock.month(at)
    at_home = (people.uses[customer] == kind[:, None]).any(axis=1)
    without_cycle = np.flatnonzero([not (k.cycle_days or k.months) for k in KINDS])
    kind = np.where(at_home, rng.choice(without_cycle, kind.size), kind)
    for seasonal in np.flatnonzero([bool(k.months) for k in KINDS]):
        share = np.where(np.isin(month, KINDS[seasonal].months), SHARE_IN_SEASON, SHARE_OUT_OF_SEASON)
        kind = np.where(rng.random(kind.size) < share, seasonal, kind)
    return pick(rng, people, customer, kind)


def _draw_milli(rng: np.random.Generator, product: Ints) -> Ints:
    """Quantities in thousandths: 0.2 to 2.5 where sold by weight, else one to three pieces."""
    by_weight = np.array([kind.by_weight for kind in KINDS])[product // PRODUCTS_PER_KIND]
    pieces = 1 + (rng.random(product.size) < 0.2) + (rng.random(product.size) < 0.05)
    return np.where(by_weight, rng.integers(200, 2501, size=product.size), 1000 * pieces)


def _draw_percent(rng: np.random.Generator, people: People, sales: Sales, sale: Ints) -> Ints:
    """Discount in percent: more often for who minds the price, at least the coupon's with one."""
    reduced = rng.random(sale.size) < 0.1 + 0.6 * people.sensitivity[sales.customer[sale]]
    percent = np.where(reduced, rng.choice([5, 10, 20, 30], sale.size), 0)
    return np.maximum(percent, np.where(sales.coupon[sale] >= 0, COUPON_PERCENT, 0))


def order_lines(clock: Clock, sales: Sales, lines: Lines, names: Names) -> pa.Table:
    """Lines sold before ``end``, then lines returned before it."""
    sold, back = np.flatnonzero(sales.at[lines.sale] < 0), np.flatnonzero(lines.returned_at < 0)
    row, returned = np.append(sold, back), np.arange(sold.size + back.size) >= sold.size
    sale, in_store = lines.sale[row], sales.channel[lines.sale[row]] == 0
    order_id = sales.id.take(pa.array(sale))
    back_id = pc.binary_join_element_wise("R-", order_id, "")
    return pa.table(
        {
            "order_id": pc.if_else(pa.array(returned), back_id, order_id),
            "line_id": pa.array(lines.line[row]).cast("string"),
            "customer_id": names.customers(sales.customer[sale], sales.known[sale]),
            "kind": take(("sale", "return"), returned.astype(np.int64)),
            "paid_at": clock.stamp(np.where(returned, lines.returned_at[row], sales.at[sale])),
            "product_id": numbered("p", lines.product[row], 4),
            **_measures(lines, row),
            "currency": take(("CNY",), np.zeros_like(row)),
            "channel": take(CHANNELS, sales.channel[sale]),
            "store_id": take(numbered("s", np.arange(STORES), 2), sales.store[sale], in_store),
            "staff_id": take(
                numbered("a", np.arange(STORES * STAFF_PER_STORE), 3), sales.staff[sale], in_store
            ),
            "coupon_id": take([offer.id for offer in OFFERS], sales.coupon[sale], sales.coupon[sale] >= 0),
            "original_order_id": take(sales.id, sale, returned),
        }
    )


def _measures(lines: Lines, row: Ints) -> dict[str, pa.Array]:
    return {
        "quantity": decimals(lines.milli[row], 3),
        "gross_amount": decimals(lines.gross[row], 2),
        "discount_amount": decimals(lines.discount[row], 2),
        "net_amount": decimals((lines.gross - lines.discount)[row], 2),
        "cost_amount": decimals(lines.cost[row], 2),
    }
