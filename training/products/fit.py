"""The model of next products: a LightGBM ranker (lambdarank) of the candidates that customers had at earlier cutoffs.

A list is a customer at a cutoff; a candidate is good if it is bought within ``HORIZON_DAYS`` of it. Everything that candidates and
columns look at was known at the cutoff, and every label had ended by the as-of (lambdarank: Burges 2010, From RankNet to
LambdaRank to LambdaMART, Microsoft Research MSR-TR-2010-82).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import order_span
from features.errors import TooLittleHistory
from features.warehouse import Warehouse
from training.products.candidates import REASONS, Knowledge, block_of, candidates, read_knowledge
from training.products.features import FEATURES, HORIZON_DAYS, feature_rows, sheets
from training.products.metrics import hits, ndcg_at, recall_at
from training.products.predict import ProductCard, ProductModel, ranked_products
from training.targets import products_bought

__all__ = ["PARAMETERS", "train_next_products"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PARAMETERS: Mapping[str, float | int] = {
    "num_boost_round": 120,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "max_bin": 63,
    "min_data_in_leaf": 100,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "lambdarank_truncation_level": 20,
    "seed": 1,
}

STEP_DAYS, MAX_CUTOFFS, MIN_HISTORY_DAYS = 28, 6, 90
MOST_CUSTOMERS = 2_000
"""Of those who bought after a cutoff, this many tell, chosen by the hash of their id."""

MOST_NOT_BOUGHT = 50
"""Of a list's candidates that were not bought, this many, by chance."""

_MIN_LISTS = 100
_BLOCK = 500
_PLACES = 10


@dataclass(frozen=True, eq=False)
class Lists:
    """Candidates of one cutoff, list by list.

    Attributes
    ----------
    x, y
        n x ``FEATURES``, and whether bought.
    new
        Whether the customer had never bought the product.
    sizes
        Candidates of each list; they add up to n.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int8]
    new: Bools
    sizes: Ints


def train_next_products(
    warehouse: Warehouse, as_of: pd.Timestamp, parameters: Mapping[str, float | int] = PARAMETERS
) -> ProductModel:
    """Train on what was known before the as-of.

    Raises
    ------
    TooLittleHistory
        No cutoff with enough history before it and a whole horizon after it, or too few lists with something bought.
    """
    cutoffs, made = _mature_cutoffs(warehouse, as_of), []
    for cutoff in cutoffs:
        last = (read_knowledge(warehouse, cutoff), _labels(warehouse, cutoff, as_of))
        made.append(_lists(*last))
    lists = sum(len(one.sizes) for one in made)
    if lists < _MIN_LISTS:
        raise TooLittleHistory(
            f"training next products as of {as_of} found {lists} customers (at {len(cutoffs)} cutoffs) who bought one of their "
            f"candidates within {HORIZON_DAYS} days; it needs {_MIN_LISTS}: choose a later --as-of or ingest more history"
        )
    card = ProductCard(
        warehouse_id=warehouse.settings().warehouse_id,
        horizon_days=HORIZON_DAYS,
        as_of=as_of.isoformat(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cutoffs=tuple(at.isoformat() for at in cutoffs),
        customers=lists,
        rows=sum(len(one.y) for one in made),
        bought=int(sum(one.y.sum() for one in made)),
        features=FEATURES,
        parameters=dict(parameters),
        metrics={},
    )
    metrics = _forward(_ended(made, cutoffs), parameters, card, *last)
    return ProductModel(_fit(made, parameters), replace(card, metrics=metrics))


def _ended(made: Sequence[Lists], cutoffs: Sequence[pd.Timestamp]) -> list[Lists]:
    """Return the lists whose labels had ended when the last cutoff came."""
    horizon = pd.Timedelta(days=HORIZON_DAYS)
    return [one for one, at in zip(made, cutoffs, strict=True) if at + horizon <= cutoffs[-1]]


def _forward(
    before: Sequence[Lists],
    parameters: Mapping[str, float | int],
    card: ProductCard,
    known: Knowledge,
    bought: pd.DataFrame,
) -> dict[str, float]:
    """Judge a model of the lists before the last cutoff on those who bought after it; nothing where there are too few."""
    if sum(len(one.sizes) for one in before) < _MIN_LISTS:
        return {}
    rows = _sampled(known, bought)
    lists = ranked_products(ProductModel(_fit(before, parameters), card), known, rows, _PLACES)
    hit, relevant = hits(lists, bought[bought["customer_id"].isin(known.history.customers[rows])], _PLACES)
    return {
        "forward_customers": float(len(relevant)),
        f"forward_recall_at_{_PLACES}": float(recall_at(hit, relevant).mean()),
        f"forward_ndcg_at_{_PLACES}": float(ndcg_at(hit, relevant).mean()),
    }


def _fit(made: Sequence[Lists], parameters: Mapping[str, float | int]) -> lgb.Booster:
    """Fit the ranker to all lists, and once more to their products that were new to the customer.

    Without the second look the order among new products, which stand below the favourites, hardly counts.
    """
    x, y, sizes = (
        np.concatenate(parts) for parts in zip(*map(_parts, [*made, *map(_new, made)]), strict=True)
    )
    settings = {name: value for name, value in parameters.items() if name != "num_boost_round"} | {
        "objective": "lambdarank",
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    data = lgb.Dataset(x, y, group=sizes, feature_name=list(FEATURES))
    return lgb.train(settings, data, num_boost_round=int(parameters["num_boost_round"]))


def _parts(one: Lists) -> tuple[NDArray[np.float32], NDArray[np.int8], Ints]:
    return one.x, one.y, one.sizes


def _new(one: Lists) -> Lists:
    """Return the products new to the customer, of lists where one of them was bought."""
    number = np.repeat(np.arange(len(one.sizes)), one.sizes)
    teaches = np.bincount(number, one.new & (one.y > 0), minlength=len(one.sizes)) > 0
    kept = one.new & teaches[number]
    sizes = np.bincount(number[kept], minlength=len(one.sizes))
    return Lists(one.x[kept], one.y[kept], one.new[kept], sizes[sizes > 0])


def _labels(warehouse: Warehouse, cutoff: pd.Timestamp, as_of: pd.Timestamp) -> pd.DataFrame:
    return products_bought(warehouse, cutoff, HORIZON_DAYS, known_by=as_of)


def _sampled(known: Knowledge, bought: pd.DataFrame) -> Ints:
    """Rows of the customers, known at the cutoff, who bought something; at most ``MOST_CUSTOMERS``, by hash."""
    ids = known.history.customers
    rows = np.flatnonzero(np.isin(ids, bought["customer_id"].to_numpy(dtype=np.str_)))
    by = np.argsort(pd.util.hash_array(ids[rows].astype(object)), kind="stable")
    return np.sort(rows[by[:MOST_CUSTOMERS]])


def _lists(known: Knowledge, bought: pd.DataFrame) -> Lists:
    """Return the candidates of those who bought, beside whether they bought them; lists with nothing bought teach nothing."""
    rows, sheet = _sampled(known, bought), sheets(known)
    rng = np.random.default_rng(1)
    products = pd.Index(known.history.goods.product_id)
    p = len(products)
    who = pd.Index(known.history.customers).get_indexer(pd.Index(bought["customer_id"]))
    what = products.get_indexer(pd.Index(bought["product_id"]))
    good = np.unique((who * p + what)[(who >= 0) & (what >= 0)])
    parts = []
    for first in range(0, rows.size, _BLOCK):
        block = block_of(known, rows[first : first + _BLOCK])
        pairs = candidates(known, block)
        y = np.isin(block.customers[pairs.customer] * p + pairs.product, good)
        kept = _kept(pairs.customer, y, rng)
        chosen = replace(
            pairs, customer=pairs.customer[kept], product=pairs.product[kept], reason=pairs.reason[kept]
        )
        sizes = np.bincount(chosen.customer, minlength=block.customers.size)
        new = chosen.reason != REASONS.index("rebuy")
        parts.append(
            Lists(feature_rows(known, sheet, block, chosen), y[kept].astype(np.int8), new, sizes[sizes > 0])
        )
    return _joined(parts)


def _kept(customer: Ints, y: Bools, rng: np.random.Generator) -> Ints:
    """Places of all that was bought, and of ``MOST_NOT_BOUGHT`` others of each list in which something was."""
    by = np.lexsort((rng.random(y.size), y, customer))
    place = np.arange(by.size) - np.searchsorted(customer[by], customer[by])
    some = np.bincount(customer, y, minlength=customer.max(initial=-1) + 1) > 0
    return np.sort(by[some[customer[by]] & (y[by] | (place < MOST_NOT_BOUGHT))])


def _joined(parts: Sequence[Lists]) -> Lists:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Lists(np.zeros((0, len(FEATURES)), dtype=np.float32), none.astype(np.int8), none > 0, none)
    x, y, new, sizes = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "new", "sizes")
    )
    return Lists(x, y, new, sizes)


def _mature_cutoffs(warehouse: Warehouse, as_of: pd.Timestamp) -> list[pd.Timestamp]:
    """Return the last cutoffs that have history before them and whose horizon ended by the as-of, oldest first."""
    span, lag = order_span(warehouse, known_by=as_of), warehouse.largest_lag(as_of)
    last = as_of - pd.Timedelta(days=HORIZON_DAYS) - lag
    cutoffs = [last - pd.Timedelta(days=STEP_DAYS * step) for step in range(MAX_CUTOFFS)]
    mature = (
        [] if span is None else [at for at in cutoffs if at >= span[0] + pd.Timedelta(days=MIN_HISTORY_DAYS)]
    )
    if not mature:
        raise TooLittleHistory(
            f"training next products as of {as_of} needs {MIN_HISTORY_DAYS + HORIZON_DAYS + lag.days} days of orders before it "
            f"({MIN_HISTORY_DAYS} to look back, {HORIZON_DAYS} to look ahead{f', {lag.days} of lag' if lag else ''}); "
            f"{'there is no order' if span is None else f'the first one is at {span[0]}'}: choose a later --as-of"
        )
    return mature[::-1]
