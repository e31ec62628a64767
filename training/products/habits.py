"""How often and how regularly customers buy an item, be it a product, a category or a brand; and what suits whom.

Sparse customers x items matrices, every one with the same places: those where the customer ever bought the item.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.products.affinity import Matrix
from training.products.history import History

__all__ = ["ANYBODY", "HALF_LIFE_DAYS", "Habits", "Suitability", "habits", "suitability"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HALF_LIFE_DAYS = 60.0
"""By then a purchase counts half."""

ANYBODY = "all"
"""A value of an attribute by which a product suits everybody."""


@dataclass(frozen=True, eq=False)
class Habits:
    """Matrices customers x items.

    Attributes
    ----------
    orders
        With the item.
    recent
        The same, each halved every ``HALF_LIFE_DAYS``.
    since
        Days since the last, plus 1 so that no purchase is told from one just made.
    gap
        Usual days between two of them: the mean of the customer's own gaps and, as one more, the item's mean gap; 0 where no customer
        ever bought the item twice.
    passed
        Orders of the customer since the last with the item, plus 1.
    rate
        Share of the customer's orders with the item, from the first with it on.
    repeated
        Share of its buyers that bought the item again; NaN without a buyer; length of the items.
    """

    orders: Matrix
    recent: Matrix
    since: Matrix
    gap: Matrix
    passed: Matrix
    rate: Matrix
    repeated: Floats


def habits(customer: Ints, item: Ints, order: Ints, days: Floats, shape: tuple[int, int]) -> Habits:
    """Sum purchases up to habits.

    Parameters
    ----------
    customer, item, order, days
        Of each line: from 0, -1 for none; from 0, -1 for none; numbers that run on from each of a customer's orders to the next;
        days ago. An item counts once an order.
    shape
        Customers, items.
    """
    last_order = np.full(shape[0], -1, dtype=np.int64)
    np.maximum.at(last_order, customer[customer >= 0], order[customer >= 0])
    customer, item, order, days = _once_an_order(customer, item, order, days)
    if not days.size:
        return _none(shape)
    begins = np.flatnonzero(np.append([True], (np.diff(customer) != 0) | (np.diff(item) != 0)))
    who, what = customer[begins], item[begins]
    count = np.diff(np.append(begins, days.size)).astype(np.float64)
    first, last = np.maximum.reduceat(days, begins), np.minimum.reduceat(days, begins)
    latest = np.maximum.reduceat(order, begins)
    gaps, length = np.bincount(what, count - 1, shape[1]), np.bincount(what, first - last, shape[1])
    usual = np.divide(length, gaps, out=np.zeros(shape[1]), where=gaps > 0)[what]
    values = {
        "orders": count,
        "recent": np.add.reduceat(0.5 ** (days / HALF_LIFE_DAYS), begins),
        "since": last + 1.0,
        "gap": np.where(gaps[what] > 0, np.maximum((first - last + usual) / count, 1.0), 0.0),
        "passed": last_order[who] - latest + 1.0,
        "rate": count / (last_order[who] - order[begins] + 1.0),
    }
    return Habits(
        **{name: sparse.csr_matrix((column, (who, what)), shape=shape) for name, column in values.items()},
        repeated=_shares(what, count > 1, shape[1]),
    )


def _shares(item: Ints, which: Bools, length: int) -> Floats:
    """Return the share of the pairs of each item that these are; NaN without a pair."""
    pairs = np.bincount(item, minlength=length)
    shares = np.divide(np.bincount(item, which, length), pairs, out=np.full(length, np.nan), where=pairs > 0)
    return np.asarray(shares)


def _none(shape: tuple[int, int]) -> Habits:
    none = sparse.csr_matrix(shape, dtype=np.float64)
    return Habits(none, none, none, none, none, none, np.full(shape[1], np.nan))


def _once_an_order(customer: Ints, item: Ints, order: Ints, days: Floats) -> tuple[Ints, Ints, Ints, Floats]:
    """Return the lines of known customers and items by customer, item and order, each item once an order."""
    there = np.flatnonzero((customer >= 0) & (item >= 0))
    there = there[np.lexsort((order[there], item[there], customer[there]))]
    columns = np.array([customer[there], item[there], order[there]])
    fresh = np.append([True], (np.diff(columns) != 0).any(axis=0))[: there.size]
    there = there[fresh]
    return customer[there], item[there], order[there], days[there]


@dataclass(frozen=True, eq=False)
class Suitability:
    """What both a customer and a product state of the same attribute must have a value in common.

    Attributes
    ----------
    keys
        Attributes that both sides state.
    of_customer, of_product
        For each key, of each customer or product: number of what is stated, -1 for nothing.
    agrees
        For each key, statements of customers x statements of products.
    """

    keys: tuple[str, ...]
    of_customer: tuple[Ints, ...]
    of_product: tuple[Ints, ...]
    agrees: tuple[Bools, ...]

    def suits(self, customer: Ints, product: Ints) -> Bools:
        """Tell for each pair, rows of the history, whether nothing speaks against it."""
        fine = np.ones(customer.size, dtype=bool)
        for of_customer, of_product, agrees in zip(
            self.of_customer, self.of_product, self.agrees, strict=True
        ):
            wanted, given = of_customer[customer], of_product[product]
            fine &= (wanted < 0) | (given < 0) | agrees[wanted, given]
        return fine


def suitability(history: History) -> Suitability:
    """Hold the attributes of products against those of customers.

    Notes
    -----
    A value may be a list: one in common is enough. A product with ``ANYBODY`` suits all. Text is compared without regard to case.
    """
    people, goods = _statements(history.attributes), _statements(history.goods.attributes)
    keys = tuple(sorted(set(people) & set(goods)))
    coded = [
        (_coded(people[key], len(history.customers)), _coded(goods[key], len(history.goods.product_id)))
        for key in keys
    ]
    agrees = tuple(
        np.array(
            [[bool(wanted & given) or ANYBODY in given for given in products] for wanted in customers],
            dtype=bool,
        )
        for (customers, _), (products, _) in coded
    )
    return Suitability(
        keys, tuple(codes for (_, codes), _ in coded), tuple(codes for _, (_, codes) in coded), agrees
    )


Values = frozenset[str]


def _statements(attributes: NDArray[np.object_]) -> dict[str, list[tuple[Ints, Values]]]:
    """Attribute -> rows, and the values that all of them state; the same text is read once."""
    by_text: dict[str, list[int]] = {}
    for row, text in enumerate(attributes):
        if text is not None:
            by_text.setdefault(text, []).append(row)
    found: dict[str, list[tuple[Ints, Values]]] = {}
    for text, rows in by_text.items():
        stated = json.loads(text)
        for key, value in stated.items() if isinstance(stated, dict) else ():
            values = frozenset(
                _word(one) for one in (value if isinstance(value, list) else [value]) if one is not None
            )
            if values:
                found.setdefault(key, []).append((np.array(rows), values))
    return found


def _word(value: object) -> str:
    return value.strip().casefold() if isinstance(value, str) else json.dumps(value)


def _coded(stated: Sequence[tuple[Ints, Values]], length: int) -> tuple[list[Values], Ints]:
    distinct = list(dict.fromkeys(values for _, values in stated))
    number = {values: code for code, values in enumerate(distinct)}
    codes = np.full(length, -1, dtype=np.int64)
    for rows, values in stated:
        codes[rows] = number[values]
    return distinct, codes
