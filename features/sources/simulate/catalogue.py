"""What the shop sells: kinds of goods with their cycles and seasons, products, and its places with what they stock."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.sources.simulate.columns import Floats, Ints, decimals, numbered, take
from features.sources.simulate.kinds import CATEGORIES, CATEGORY, EVERYDAY, KINDS
from features.sources.simulate.world import (
    BRANDS_PER_CATEGORY,
    REGIONS,
    STAFF_PER_STORE,
    STORES,
    Clock,
    People,
)

__all__ = [
    "PRODUCTS_PER_KIND",
    "Catalogue",
    "categories",
    "draw_liked",
    "draw_products",
    "draw_stock",
    "pick",
    "places",
]

PRODUCTS_PER_KIND = 2 * BRANDS_PER_CATEGORY  # two sizes of each brand
SHARE_TRUE_TO_BRAND = 0.7
STOCK_WEEKS = 13  # of the best seller of each kind


@dataclass(frozen=True)
class Catalogue:
    """One row per product."""

    price: Ints  # cents
    cost: Ints  # cents
    pack: Floats  # units in a pack


def draw_products(rng: np.random.Generator) -> tuple[Catalogue, pa.Table]:
    """The products as the simulation needs them, and as a canonical table."""
    kind = np.repeat(np.arange(len(KINDS)), PRODUCTS_PER_KIND)
    n, place = kind.size, np.tile(np.arange(PRODUCTS_PER_KIND), len(KINDS))
    weighed, medians = (np.array([getattr(k, name) for k in KINDS])[kind] for name in ("by_weight", "price"))
    large = (place % 2 == 1) & ~weighed
    pack = np.where(large, rng.choice([1.0, 2.0, 3.0], n, p=[0.4, 0.4, 0.2]), 1.0)
    # Larger packs are cheaper by the unit.
    price = 10 * np.rint(10 * medians * pack**0.85 * rng.lognormal(0.0, 0.35, n)).astype(np.int64)
    cost = np.rint(price * rng.uniform(0.4, 0.65, n)).astype(np.int64)
    names, number = [k.name for k in KINDS], numbered("", place + 1, 2)
    return Catalogue(price, cost, pack), pa.table(
        {
            "product_id": numbered("p", np.arange(n), 4),
            "name": pc.binary_join_element_wise(take(names, kind), number, " "),
            "category_1": take(CATEGORIES, CATEGORY[kind]),
            "category_2": take(names, kind),
            "brand": numbered("brand_", CATEGORY[kind] * BRANDS_PER_CATEGORY + place // 2, 2),
            "list_price": decimals(price, 2),
            "unit_cost": decimals(cost, 2),
            "pack_size": pack,
            "replenishable": take([k.cycle_days > 0 for k in KINDS], kind),
        }
    )


def categories() -> pa.Table:
    """What is true of each category_2: days that a unit lasts (null: no cycle), months of its season (null: none)."""
    return pa.table(
        {
            "category_1": [kind.category for kind in KINDS],
            "category_2": [kind.name for kind in KINDS],
            "cycle_days": pa.array([kind.cycle_days or None for kind in KINDS], pa.float64()),
            "seasonal_months": pa.array([kind.months or None for kind in KINDS], pa.list_(pa.int64())),
        }
    )


def draw_liked(rng: np.random.Generator, people: People, customer: Ints) -> Ints:
    """Kinds: 45 % of the first favourite category, 25 % of the second, else any; none that has a season."""
    u, any_category = rng.random(customer.size), rng.integers(len(CATEGORIES), size=customer.size)
    first, second = people.favourites[customer].T
    category = np.where(u < 0.45, first, np.where(u < 0.7, second, any_category))
    return EVERYDAY[category, rng.integers(EVERYDAY.shape[1], size=customer.size)]


def pick(rng: np.random.Generator, people: People, customer: Ints, kind: Ints) -> Ints:
    """A product of each kind: low numbers sell best, but to who has a brand in the favourite category."""
    place = (PRODUCTS_PER_KIND * rng.random(customer.size) ** 1.6).astype(np.int64)
    brand = people.brand[customer]
    loyal = (brand >= 0) & (CATEGORY[kind] == people.favourites[customer, 0])
    loyal &= rng.random(customer.size) < SHARE_TRUE_TO_BRAND
    return kind * PRODUCTS_PER_KIND + np.where(loyal, 2 * brand + place % 2, place)


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


def draw_stock(rng: np.random.Generator, clock: Clock, days: int) -> pa.Table:
    """What each store has of the best sellers, once a week in the last quarter of the history; some shelves are empty."""
    weeks = min(STOCK_WEEKS, 1 + (days - 1) // 7)
    week, store, kind = np.unravel_index(np.arange(weeks * STORES * len(KINDS)), (weeks, STORES, len(KINDS)))
    pieces = rng.poisson(20.0, week.size) * (rng.random(week.size) > 0.06)
    return pa.table(
        {
            "product_id": numbered("p", kind * PRODUCTS_PER_KIND, 4),
            "store_id": numbered("s", store, 2),
            "at": clock.stamp(clock.operational((7 * (week - weeks) + 6).astype(np.float64))),
            "quantity": decimals(1000 * pieces, 3),
        }
    )
