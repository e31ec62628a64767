"""What may be offered to a customer at an instant, and for which reason.

Each reason but the last gives every customer a row of scores over products and names its ``MOST`` best. A product already bought is
a candidate for one reason only, `rebuy`, and no longer one at all where all of it was brought back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.warehouse import Warehouse
from training.products.affinity import Affinities, Matrix, affinities, top_of_rows, values_at
from training.products.habits import Habits, Suitability, habits, suitability
from training.products.history import Goods, History, read_history

__all__ = [
    "MOST",
    "REASONS",
    "Block",
    "Candidates",
    "Knowledge",
    "block_of",
    "candidates",
    "knowledge_of",
    "read_knowledge",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST: Mapping[str, int] = {
    "rebuy": 60,
    "resembles": 40,
    "complements": 60,
    "new_variant": 20,
    "upgrade": 20,
    "same_brand": 20,
    "popular": 60,
}
"""Reason -> products that it names to a customer. Of several reasons for a product the first holds."""

REASONS = tuple(MOST)

NEW_DAYS = 60.0
"""So long a product is new."""

DEARER = (1.1, 2.0)
"""An upgrade costs so many times as much."""

POPULAR_HALF_LIFE_DAYS = 15.0
BROWSED_HALF_LIFE_DAYS = 7.0
# of a customer's products, those that speak for others
_MOST_BOUGHT = 100


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What was known at an instant, in the form that candidates and their features look at.

    Attributes
    ----------
    products, categories, brands
        Habits of all customers.
    looked
        Customers x products: events, weighted by kind and halved every ``BROWSED_HALF_LIFE_DAYS``.
    brought_back
        Customers x products: whether all that was bought came back.
    popularity
        Orders with each product, halved every ``POPULAR_HALF_LIFE_DAYS``, as a share of the largest.
    links
        Name -> matrix (products, categories or brands) x products by which what was bought or seen leads to others.
    """

    history: History
    affinities: Affinities
    products: Habits
    categories: Habits
    brands: Habits
    looked: Matrix
    brought_back: Matrix
    popularity: Floats
    suitability: Suitability
    links: Mapping[str, Matrix]


@dataclass(frozen=True, eq=False)
class Block:
    """Some customers, as rows of the history, and their scores customers x products by name."""

    customers: Ints
    scores: Mapping[str, Matrix]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs by customer and product; ``customer`` a row of the block, ``reason`` one of ``REASONS`` by number."""

    customer: Ints
    product: Ints
    reason: Ints


def read_knowledge(warehouse: Warehouse, as_of: pd.Timestamp) -> Knowledge:
    """Read what was known at an instant."""
    return knowledge_of(read_history(warehouse, as_of))


def knowledge_of(history: History) -> Knowledge:
    """Bring what was known into the form that candidates look at."""
    lines, goods, views = history.lines, history.goods, history.views
    n, p = len(history.customers), len(goods.product_id)
    bought = (lines.order, lines.days)
    tied = affinities(history)
    popularity = np.bincount(lines.product, 0.5 ** (lines.days / POPULAR_HALF_LIFE_DAYS), p)
    popularity = popularity / max(popularity.max(initial=0.0), 1e-300)
    by_category = habits(
        lines.customer, goods.category[lines.product], *bought, (n, goods.category.max(initial=-1) + 1)
    )
    by_brand = habits(
        lines.customer, goods.brand[lines.product], *bought, (n, goods.brand.max(initial=-1) + 1)
    )
    looked = views.weight * 0.5 ** (views.days / BROWSED_HALF_LIFE_DAYS)
    return Knowledge(
        history=history,
        affinities=tied,
        products=habits(lines.customer, lines.product, *bought, (n, p)),
        categories=by_category,
        brands=by_brand,
        looked=_summed(views.customer, views.product, looked, (n, p)),
        brought_back=_brought_back(history, (n, p)),
        popularity=popularity,
        suitability=suitability(history),
        links=_links(goods, tied, popularity),
    )


def block_of(known: Knowledge, customers: Ints) -> Block:
    """Score all products that have to do with what these customers bought or looked at."""
    bought = top_of_rows(known.products.recent[customers], _MOST_BOUGHT)
    bought, looked = _shares(bought), _shares(known.looked[customers])
    category, brand = _shares(known.categories.recent[customers]), _shares(known.brands.recent[customers])
    links = known.links
    scores = {
        "rebuy": known.products.recent[customers],
        "resembles": looked @ links["resembles"],
        "together": bought @ links["together"],
        "after": bought @ links["after"],
        "owners": bought @ links["owners"],
        "content": bought @ links["content"],
        "upgrade": bought @ links["upgrade"],
        "same_brand": brand @ links["same_brand"],
        "new_variant": category @ links["new_in_category"] + brand @ links["new_of_brand"],
    }
    return Block(customers, {name: _tidy(matrix) for name, matrix in scores.items()})


_NAMED_BY = {
    "rebuy": ("rebuy",),
    "resembles": ("resembles",),
    "complements": ("together", "after", "owners"),
    "new_variant": ("new_variant",),
    "upgrade": ("upgrade",),
    "same_brand": ("same_brand",),
}


def candidates(known: Knowledge, block: Block) -> Candidates:
    """Name the candidates of each customer: sellable and suitable, and for which reason."""
    p = max(len(known.popularity), 1)
    keys, numbers = [], []
    for number, reason in enumerate(REASONS[:-1]):
        for name in _NAMED_BY[reason]:
            named = top_of_rows(block.scores[name], MOST[reason])
            keys.append(np.repeat(np.arange(named.shape[0]), np.diff(named.indptr)) * p + named.indices)
            numbers.append(np.full(named.nnz, number))
    keys.append((np.arange(block.customers.size)[:, None] * p + _popular(known)).ravel())
    numbers.append(np.full(keys[-1].size, len(REASONS) - 1))
    # numbers of reasons rise, so the first place of a pair has its first reason
    key, first = np.unique(np.concatenate(keys), return_index=True)
    customer, product = np.divmod(key, p)
    why = np.concatenate(numbers)[first]
    kept = _may_be_offered(known, block, customer, product, again=why == REASONS.index("rebuy"))
    return Candidates(customer[kept], product[kept], why[kept])


def _may_be_offered(known: Knowledge, block: Block, customer: Ints, product: Ints, *, again: Bools) -> Bools:
    bought, back = (
        values_at(matrix[block.customers], customer, product) > 0
        for matrix in (known.products.orders, known.brought_back)
    )
    able = known.history.goods.sellable[product] & known.suitability.suits(block.customers[customer], product)
    return np.asarray(able & ~back & (~bought | again))


def _popular(known: Knowledge) -> Ints:
    """What sells best now, of what can be sold; ties by product."""
    able = np.flatnonzero(known.history.goods.sellable & (known.popularity > 0))
    return able[np.argsort(-known.popularity[able], kind="stable")][: MOST["popular"]]


def _links(goods: Goods, tied: Affinities, popularity: Floats) -> dict[str, Matrix]:
    p = popularity.size
    new = np.where(goods.launched <= NEW_DAYS, goods.sellable, False)
    # what nobody bought yet is new all the same
    freshness = np.where(new, 0.1 + popularity, 0.0)
    sells = np.where(goods.sellable, popularity, 0.0)
    return {
        "together": _ending(tied.together, goods.sellable),
        "after": _ending(tied.after, goods.sellable),
        "owners": _ending(tied.owners, goods.sellable),
        "content": _ending(tied.content, goods.sellable),
        "resembles": _ending(
            tied.content + tied.browsed + sparse.identity(p, dtype=np.float32), goods.sellable
        ),
        "upgrade": _ending(_dearer(goods), goods.sellable),
        "same_brand": _grouped(goods.brand, sells),
        "new_in_category": _grouped(goods.category, freshness),
        "new_of_brand": _grouped(goods.brand, freshness),
    }


def _ending(matrix: Matrix, wanted: Bools) -> Matrix:
    """Keep what leads to these products, so that others do not take the places of a reason."""
    return _tidy(matrix @ sparse.diags(wanted.astype(np.float32)))


def _grouped(group: Ints, weight: Floats) -> Matrix:
    """Groups x products: the weight of each product in its group; the best of each group only."""
    there = np.flatnonzero((group >= 0) & (weight > 0))
    shape = (group.max(initial=-1) + 1, group.size)
    return top_of_rows(
        sparse.csr_matrix((weight[there], (group[there], there)), shape=shape), MOST["same_brand"]
    )


def _dearer(goods: Goods) -> Matrix:
    """Products x products of the same category whose price is ``DEARER``; the nearer in price, the more it counts."""
    # the bounds themselves are in, whatever the rounding
    low, high = np.log(DEARER[0]) - 1e-9, np.log(DEARER[1]) + 1e-9
    p = goods.price.size
    priced = np.flatnonzero((goods.category >= 0) & ~np.isnan(goods.price))
    if not priced.size:
        return sparse.csr_matrix((p, p), dtype=np.float64)
    height = np.log(goods.price[priced])
    # one axis for all categories: further apart than any two prices that are compared
    place = goods.category[priced] * (np.ptp(height) + high + 1.0) + height - height.min()
    by = np.argsort(place, kind="stable")
    place, priced = place[by], priced[by]
    first, last = np.searchsorted(place, place + low), np.searchsorted(place, place + high, side="right")
    last = np.minimum(last, first + MOST["upgrade"])
    count = np.maximum(last - first, 0)
    row = np.repeat(np.arange(place.size), count)
    other = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count) + first[row]
    near = 1.0 / (1.0 + (place[other] - place[row]) / high)
    return sparse.csr_matrix((near, (priced[row], priced[other])), shape=(p, p))


def _brought_back(history: History, shape: tuple[int, int]) -> Matrix:
    """Ones where as many units came back as were bought, or more."""
    lines, (who, what, units) = history.lines, history.returns
    there = lines.customer >= 0
    sold = _summed(lines.customer[there], lines.product[there], lines.units[there], shape)
    back = _summed(who.astype(np.int64), what.astype(np.int64), units, shape).tocoo()
    whole = back.data >= values_at(sold, back.row.astype(np.int64), back.col.astype(np.int64)) - 1e-9
    return _summed(back.row[whole], back.col[whole], np.ones(int(whole.sum())), shape)


def _summed(row: Ints, column: Ints, values: Floats, shape: tuple[int, int]) -> Matrix:
    return _tidy(sparse.csr_matrix((values, (row, column)), shape=shape))


def _shares(matrix: Matrix) -> Matrix:
    """Divide each row by its sum."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return (sparse.diags(1.0 / np.where(total > 0, total, 1.0)) @ matrix).tocsr()


def _tidy(matrix: Matrix) -> Matrix:
    tidy = matrix.tocsr()
    tidy.eliminate_zeros()
    tidy.sort_indices()
    return tidy
