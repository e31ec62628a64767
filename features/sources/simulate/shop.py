"""What the shop keeps: its products, its places, and what each order bought and brought back."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.sources.simulate.columns import Bools, Floats, Ints, decimals, numbered, take
from features.sources.simulate.world import CATEGORIES, CHANNELS, REGIONS, STORES, Clock, Orders, People

__all__ = [
    "Catalogue",
    "Lines",
    "Sales",
    "draw_liked",
    "draw_lines",
    "draw_products",
    "draw_sales",
    "order_lines",
    "places",
]

SHARE_ANONYMOUS = 0.08
STAFF_PER_STORE, PRODUCTS_PER_CATEGORY, BRANDS = 4, 25, 20


@dataclass(frozen=True)
class Catalogue:
    """One row per product."""

    price: Ints  # cents
    cost: Ints  # cents


@dataclass(frozen=True)
class Sales:
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
class Lines:
    """What was bought, by sale and line."""

    sale: Ints  # row of Sales
    line: Ints
    product: Ints
    milli: Ints  # thousandths of a unit
    gross: Ints  # cents, like all amounts here
    discount: Ints
    cost: Ints
    returned_at: Floats  # nan: kept


def draw_products(rng: np.random.Generator) -> tuple[Catalogue, pa.Table]:
    """The products as the simulation needs them, and as a canonical table."""
    n = len(CATEGORIES) * PRODUCTS_PER_CATEGORY
    category = np.repeat(np.arange(len(CATEGORIES)), PRODUCTS_PER_CATEGORY)
    names, kinds, medians, replenishable, _ = zip(*CATEGORIES, strict=True)
    price = 10 * np.rint(10 * np.array(medians)[category] * rng.lognormal(0.0, 0.45, n)).astype(np.int64)
    cost = np.rint(price * rng.uniform(0.4, 0.65, n)).astype(np.int64)
    kind = 3 * category + rng.integers(3, size=n)
    number = numbered("", np.tile(np.arange(PRODUCTS_PER_CATEGORY), len(CATEGORIES)) + 1, 2)
    return Catalogue(price, cost), pa.table(
        {
            "product_id": numbered("p", np.arange(n), 4),
            "name": pc.binary_join_element_wise(take(names, category), number, " "),
            "category_1": take(names, category),
            "category_2": take(" ".join(kinds).split(), kind),
            "brand": numbered("brand_", rng.integers(BRANDS, size=n), 2),
            "list_price": decimals(price, 2),
            "unit_cost": decimals(cost, 2),
            "pack_size": rng.choice([1.0, 2.0, 3.0, 6.0], n, p=[0.6, 0.2, 0.1, 0.1]),
            "replenishable": take(replenishable, category),
        }
    )


def draw_sales(rng: np.random.Generator, clock: Clock, people: People, orders: Orders) -> Sales:
    """Where each order since the first day took place; anonymous sales in stores are added to them."""
    seen = np.flatnonzero(orders.at >= clock.start)
    anonymous = round(SHARE_ANONYMOUS * np.count_nonzero(orders.at[seen] < 0))
    customer = np.append(orders.customer[seen], rng.integers(people.rate.size, size=anonymous))
    at = np.append(orders.at[seen], clock.start * (1 - rng.random(anonymous)))
    order = np.lexsort((customer, at))
    customer, n = customer[order], order.size
    known = order < seen.size
    usual, elsewhere = rng.random(n) < 0.75, rng.integers(len(CHANNELS), size=n)
    store = np.where(rng.random(n) < 0.85, people.store[customer], rng.integers(STORES, size=n))
    return Sales(
        customer=customer,
        at=at[order],
        known=known,
        wrong=np.append(orders.wrong[seen], np.zeros(anonymous, dtype=bool))[order],
        channel=np.where(known, np.where(usual, people.channel[customer], elsewhere), 0),
        store=store,
        staff=store * STAFF_PER_STORE + rng.integers(STAFF_PER_STORE, size=n),
        id=numbered("o", np.arange(n), 7),
    )


def draw_lines(rng: np.random.Generator, people: People, sales: Sales, catalogue: Catalogue) -> Lines:
    """One to six lines per sale."""
    size = 1 + np.minimum(rng.poisson(people.basket[sales.customer]), 5)
    sale = np.repeat(np.arange(size.size), size)
    n, customer = sale.size, sales.customer[sale]
    product = draw_liked(rng, people, customer)
    milli = _draw_milli(rng, product)
    gross = (catalogue.price[product] * milli + 500) // 1000
    reduced = rng.random(n) < 0.1 + 0.6 * people.sensitivity[customer]
    percent = np.where(reduced, rng.choice([5, 10, 20, 30], n), 0)
    returned = rng.random(n) < np.where(sales.channel[sale] == 0, 0.03, 0.07)
    # 18 operational days are at most 28 on the calendar.
    back_at = sales.at + rng.uniform(1.0, 18.0, size.size)
    return Lines(
        sale=sale,
        line=np.arange(n) - np.repeat(np.cumsum(size) - size, size) + 1,
        product=product,
        milli=milli,
        gross=gross,
        discount=gross * percent // 100,
        cost=(catalogue.cost[product] * milli + 500) // 1000,
        returned_at=np.where(returned, back_at[sale], np.nan),
    )


def draw_liked(rng: np.random.Generator, people: People, customer: Ints) -> Ints:
    """Products: 45 % of the first favourite category, 25 % of the second, else any; low numbers sell best."""
    u, any_category = rng.random(customer.size), rng.integers(len(CATEGORIES), size=customer.size)
    first, second = people.favourites[customer].T
    category = np.where(u < 0.45, first, np.where(u < 0.7, second, any_category))
    place = (PRODUCTS_PER_CATEGORY * rng.random(customer.size) ** 1.6).astype(np.int64)
    return category * PRODUCTS_PER_CATEGORY + place


def _draw_milli(rng: np.random.Generator, product: Ints) -> Ints:
    """Quantities in thousandths: 0.2 to 2.5 where sold by weight, else one to three pieces."""
    by_weight = np.array([category[-1] for category in CATEGORIES])[product // PRODUCTS_PER_CATEGORY]
    pieces = 1 + (rng.random(product.size) < 0.2) + (rng.random(product.size) < 0.05)
    return np.where(by_weight, rng.integers(200, 2501, size=product.size), 1000 * pieces)


def order_lines(clock: Clock, sales: Sales, lines: Lines, ids: pa.Array) -> pa.Table:
    """Lines sold before ``end``, then lines returned before it; ``ids`` are the customers'."""
    sold, back = np.flatnonzero(sales.at[lines.sale] < 0), np.flatnonzero(lines.returned_at < 0)
    row, returned = np.append(sold, back), np.arange(sold.size + back.size) >= sold.size
    sale, in_store = lines.sale[row], sales.channel[lines.sale[row]] == 0
    order_id = sales.id.take(pa.array(sale))
    back_id = pc.binary_join_element_wise("R-", order_id, "")
    return pa.table(
        {
            "order_id": pc.if_else(pa.array(returned), back_id, order_id),
            "line_id": pa.array(lines.line[row]).cast("string"),
            "customer_id": take(ids, sales.customer[sale], sales.known[sale]),
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


def places() -> dict[str, pa.Table]:
    """The tables stores and staff."""
    store = np.arange(STORES)
    of_staff = np.repeat(store, STAFF_PER_STORE)
    regions, zones = zip(*REGIONS, strict=True)
    return {
        "stores": pa.table(
            {
                "store_id": numbered("s", store, 2),
                "region_id": take(regions, store % len(REGIONS)),
                "timezone": take(zones, store % len(REGIONS)),
            }
        ),
        "staff": pa.table(
            {
                "staff_id": numbered("a", np.arange(of_staff.size), 3),
                "store_id": numbered("s", of_staff, 2),
                "region_id": take(regions, of_staff % len(REGIONS)),
            }
        ),
    }
