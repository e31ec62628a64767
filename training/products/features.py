"""What the ranker looks at: a row of numbers for each candidate, NaN where something is undefined."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.products.affinity import Matrix, values_at
from training.products.candidates import Block, Candidates, Knowledge
from training.products.habits import Habits, habits
from training.products.history import History

__all__ = ["FEATURES", "HORIZON_DAYS", "Sheets", "feature_rows", "sheets"]

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
Ints = NDArray[np.int64]

HORIZON_DAYS = 30
"""A product is bought in this time, or not; and the season is that of the same time a year ago."""

_PAIR = (
    "product_orders", "product_recent_orders", "product_order_share", "days_since_product", "product_overdue_ratio",
    "product_orders_passed", "product_rate", "category_recent_orders", "category_order_share", "days_since_category", "category_overdue_ratio",
    "category_orders_passed", "category_rate",
    "brand_recent_orders", "brand_order_share", "days_since_brand",
    "together", "after", "owners", "content", "resembles", "looked", "log_price_ratio",
)  # fmt: skip
_PRODUCT = (
    "popularity", "orders_share_30d", "orders_share_90d", "orders_trend", "repeated_share", "days_since_sold",
    "days_since_launch", "log_price", "season_of_product", "season_of_category",
)  # fmt: skip
_CUSTOMER = (
    "customer_orders", "customer_recent_orders", "customer_products", "customer_repeated_share", "products_an_order",
    "days_since_order",
)  # fmt: skip

FEATURES = (*_PAIR, *_PRODUCT, *_CUSTOMER)
"""Names of the columns: about the pair of customer and product, the product, the customer.

``recent`` orders are halved every ``HALF_LIFE_DAYS``; an overdue ratio is days since the last purchase by the usual gap; a
season is ln of orders in the coming days a year ago by what the whole year would have them.
"""


@dataclass(frozen=True, eq=False)
class Sheets:
    """What does not depend on the pair: products x ``_PRODUCT``, customers x ``_CUSTOMER``, and two prices.

    Attributes
    ----------
    usual_price
        Mean price of a unit that each customer bought, on the log scale; NaN without one.
    orders
        Of each customer, and those halved every ``HALF_LIFE_DAYS``: customers x 2.
    """

    products: Rows
    customers: Rows
    usual_price: Floats
    orders: Floats


def sheets(known: Knowledge) -> Sheets:
    """Compute what does not depend on the pair, once for all blocks."""
    history = known.history
    lines, n = history.lines, len(history.customers)
    everything = _all_orders(history)
    count, recent, since = (_row_sums(getattr(everything, name)) for name in ("orders", "recent", "since"))
    held = np.diff(known.products.orders.indptr).astype(np.float64)
    bought = _row_sums(known.products.orders)
    again = np.asarray((known.products.orders > 1).sum(axis=1)).ravel()
    price = np.log(history.goods.price)[lines.product]
    priced = (lines.customer >= 0) & ~np.isnan(price)
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = np.bincount(lines.customer[priced], price[priced], n) / np.bincount(
            lines.customer[priced], minlength=n
        )
        columns = (
            count,
            recent,
            held,
            again / held,
            bought / count,
            np.where(count > 0, since - 1.0, np.nan),
        )
    customers = np.column_stack(columns).astype(np.float32)
    return Sheets(_product_sheet(known), customers, usual, np.column_stack([count, recent]))


def feature_rows(known: Knowledge, sheet: Sheets, block: Block, pairs: Candidates) -> Rows:
    """Return the row of each candidate, pairs x ``FEATURES``, float32."""
    customer, product, goods = pairs.customer, pairs.product, known.history.goods
    row = block.customers[customer]
    total, recent = sheet.orders[row].T
    columns: list[Floats] = []
    for name, item in (
        ("products", product),
        ("categories", goods.category[product]),
        ("brands", goods.brand[product]),
    ):
        columns += _habit_columns(
            getattr(known, name), block.customers, customer, item, (total, recent), name
        )
    columns += [
        values_at(block.scores[name], customer, product)
        for name in ("together", "after", "owners", "content", "resembles")
    ]
    columns.append(values_at(known.looked[block.customers], customer, product))
    columns.append(np.log(goods.price[product]) - sheet.usual_price[row])
    rows = np.empty((row.size, len(FEATURES)), dtype=np.float32)
    rows[:, : len(_PAIR)] = np.column_stack(columns)
    rows[:, len(_PAIR) : -len(_CUSTOMER)] = sheet.products[product]
    rows[:, -len(_CUSTOMER) :] = sheet.customers[row]
    return rows


def _habit_columns(
    habit: Habits, customers: Ints, customer: Ints, item: Ints, of_all: tuple[Floats, Floats], name: str
) -> list[Floats]:
    """How much the customer is given to each item: recent orders and their share, days since, and overdue ratio."""
    count, recent, since, gap, passed, rate = (
        values_at(getattr(habit, part)[customers], customer, item)
        for part in ("orders", "recent", "since", "gap", "passed", "rate")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        days = np.where(since > 0, since - 1.0, np.nan)
        overdue = np.where(gap > 0, days / gap, np.nan)
        share = recent / of_all[1]
        since_orders = np.where(passed > 0, passed - 1.0, np.nan)
    found = {
        "products": [count, recent, share, days, overdue, since_orders, rate],
        "categories": [recent, share, days, overdue, since_orders, rate],
        "brands": [recent, share, days],
    }
    return found[name]


def _all_orders(history: History) -> Habits:
    """Habits of one item, an order of whatever."""
    lines = history.lines
    from_zero = np.zeros(lines.customer.size, dtype=np.int64)
    return habits(lines.customer, from_zero, lines.order, lines.days, (len(history.customers), 1))


def _row_sums(matrix: Matrix) -> Floats:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def _product_sheet(known: Knowledge) -> Rows:
    history = known.history
    lines, goods, p = history.lines, history.goods, len(known.popularity)
    near, quarter = (_share(lines.product[lines.days <= days], p) for days in (30.0, 90.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        trend = np.log(near / quarter)
    sold = np.full(p, np.nan)
    np.fmin.at(sold, lines.product, lines.days)
    columns = (
        known.popularity,
        near,
        quarter,
        np.where(np.isfinite(trend), trend, np.nan),
        known.products.repeated,
        sold,
        goods.launched,
        np.log(goods.price),
        _season(history, lines.product, p),
        _of_group(
            _season(history, goods.category[lines.product], goods.category.max(initial=-1) + 1),
            goods.category,
        ),
    )
    return np.column_stack(columns).astype(np.float32)


def _share(product: Ints, length: int) -> Floats:
    count = np.bincount(product, minlength=length).astype(np.float64)
    return np.asarray(count / max(count.sum(), 1.0))


def _season(history: History, item: Ints, length: int) -> Floats:
    """Ln of (orders in the coming days a year ago + 1) by (what the year's orders give for so many days + 1)."""
    if history.span_days < 365.0:
        return np.full(length, np.nan)
    days = history.lines.days
    year = (days <= 365.0) & (item >= 0)
    then = year & (days > 365.0 - HORIZON_DAYS)
    same, whole = (np.bincount(item[which], minlength=length) for which in (then, year))
    return np.asarray(np.log((same + 1.0) / (whole * HORIZON_DAYS / 365.0 + 1.0)))


def _of_group(values: Floats, group: Ints) -> Floats:
    return np.append(values, np.nan)[group]
