"""Next products: model files and what is known at an instant -> a ranked list for each customer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ContractError, InputError, ModelError
from features.warehouse import Warehouse
from training.products.affinity import Matrix
from training.products.candidates import (
    REASONS,
    Block,
    Candidates,
    Knowledge,
    block_of,
    candidates,
    read_knowledge,
)
from training.products.features import FEATURES, Sheets, feature_rows, sheets
from training.products.words import because, leads_to, sentences

__all__ = [
    "COLUMNS",
    "ProductCard",
    "ProductModel",
    "load_product_model",
    "next_products",
    "ranked_products",
    "save_product_model",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = ("customer_id", "rank", "product_id", "reason", "because_of", "why", "score", "status")
"""Of the lists; ``reason`` is one of ``REASONS``, ``because_of`` the product that led to it (null: none), ``why`` a sentence.

The score orders one customer's list and is no probability. The status is ``ok``, or ``no_orders`` where a list rests on what is popular,
and on what was looked at, alone.
"""

_BLOCK = 500
_SHOWN = 5
_TREES, _CARD = "products_trees.txt", "products_card.json"


@dataclass(frozen=True)
class ProductCard:
    """What is needed to use a model of next products, and what should be known before doing so.

    Attributes
    ----------
    horizon_days
        Days in which a product counted as bought.
    as_of
        Nothing at or after this instant (ISO 8601, UTC) was used; the model may rank from then on.
    cutoffs
        At which customers were looked at.
    customers, rows, bought
        Lists (customer, cutoff); candidates in them, after sampling; those bought.
    features
        Names of the columns, in the trees' order.
    metrics
        Of the last cutoff, by a model that knew only what was bought before it: name -> value.
    """

    warehouse_id: str
    horizon_days: int
    as_of: str
    trained_at: str
    cutoffs: tuple[str, ...]
    customers: int
    rows: int
    bought: int
    features: tuple[str, ...]
    parameters: Mapping[str, float | int]
    metrics: Mapping[str, float]

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ProductCard":
        """Read what ``to_json`` wrote."""
        data = json.loads(text)
        return cls(**{**data, "cutoffs": tuple(data["cutoffs"]), "features": tuple(data["features"])})


@dataclass(frozen=True)
class ProductModel:
    """Trees that rank candidates, and their card."""

    trees: lgb.Booster
    card: ProductCard


def save_product_model(model: ProductModel, folder: Path) -> None:
    """Write trees (LightGBM's text format) and card."""
    folder.mkdir(parents=True, exist_ok=True)
    model.trees.save_model(folder / _TREES)
    (folder / _CARD).write_text(model.card.to_json(), encoding="utf-8")


def load_product_model(folder: Path) -> ProductModel:
    """Read what ``save_product_model`` wrote.

    Raises
    ------
    ModelError
        A file is missing or damaged.
    ContractError
        The columns that candidates are ranked by have changed since.
    """
    for name in (_TREES, _CARD):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} holds no model of next products: {name} is missing")
    try:
        card = ProductCard.from_json((folder / _CARD).read_text(encoding="utf-8"))
        trees = lgb.Booster(model_file=folder / _TREES)
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as problem:
        raise ModelError(
            f"{folder} holds a damaged model of next products ({problem}): train again"
        ) from problem
    if card.features != FEATURES or tuple(trees.feature_name()) != FEATURES:
        differing = sorted(set(card.features) ^ set(FEATURES)) or ["their order"]
        raise ContractError(
            f"{folder}: the model ranks by {len(card.features)} columns, this Patron computes {len(FEATURES)}; different: "
            f"{', '.join(differing[:8])}. Train again, or rank with the Patron that the model was trained with."
        )
    return ProductModel(trees, card)


def next_products(
    model: ProductModel,
    warehouse: Warehouse,
    as_of: pd.Timestamp,
    customers: Sequence[str] | None = None,
    most: int = 10,
) -> pd.DataFrame:
    """Return the products that each customer most likely buys next, best first.

    Parameters
    ----------
    customers
        OneIDs; all customers known at ``as_of`` by default.
    most
        Places of a list; fewer are filled where fewer products can be offered.

    Returns
    -------
    pandas.DataFrame
        ``COLUMNS``, by customer (in the given order, else ascending) and rank.

    Raises
    ------
    ModelError
        The model was trained on another warehouse, or as of a later instant.
    InputError
        ``most`` below 1; a customer twice, or not known at ``as_of``.
    """
    if most < 1:
        raise InputError(f"a list has one place or more, not {most}")
    card, here = model.card, warehouse.settings().warehouse_id
    if card.warehouse_id != here:
        raise ModelError(
            f"the model was trained on warehouse {card.warehouse_id}, this is {here}: train one for it"
        )
    if pd.Timestamp(card.as_of) > as_of:
        raise ModelError(
            f"the model was trained as of {card.as_of}, later than the as-of {as_of}: it has seen what it would predict. "
            "Train as of an earlier date, or choose a later as-of."
        )
    known = read_knowledge(warehouse, as_of)
    return ranked_products(model, known, _rows(known, customers), most)


def ranked_products(model: ProductModel, known: Knowledge, rows: Ints, most: int) -> pd.DataFrame:
    """Return the lists of these customers, rows of the history; as of ``next_products``."""
    sheet, leads = sheets(known), leads_to(known)
    parts = [
        _lists(model, known, sheet, leads, block_of(known, rows[first : first + _BLOCK]), most)
        for first in range(0, rows.size, _BLOCK)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def _lists(
    model: ProductModel, known: Knowledge, sheet: Sheets, leads: Mapping[str, Matrix], block: Block, most: int
) -> pd.DataFrame:
    pairs = candidates(known, block)
    x = feature_rows(known, sheet, block, pairs)
    score = np.asarray(model.trees.predict(x, num_threads=1)) if len(x) else np.empty(0)
    # equal scores: by product, so that a list is the same whoever is listed beside it
    by = np.lexsort((pairs.product, -score, pairs.customer))
    rank = np.arange(by.size) - np.searchsorted(pairs.customer[by], pairs.customer[by]) + 1
    by, rank = by[rank <= most], rank[rank <= most]
    top = Candidates(pairs.customer[by], pairs.product[by], pairs.reason[by])
    found = because(known, block, top, leads)
    product_id = known.history.goods.product_id
    row = block.customers[top.customer]
    ordered = np.asarray(known.products.orders.getnnz(axis=1))[row] > 0
    return pd.DataFrame(
        {
            "customer_id": known.history.customers[row],
            "rank": rank,
            "product_id": product_id[top.product],
            "reason": np.array(REASONS, dtype=object)[top.reason],
            "because_of": pd.Series(product_id[found.product], dtype=object).where(found.product >= 0, None),
            "why": sentences(known, block, top, found),
            "score": score[by],
            "status": np.where(ordered, "ok", "no_orders"),
        }
    )


def _rows(known: Knowledge, customers: Sequence[str] | None) -> Ints:
    everybody = pd.Index(known.history.customers)
    if customers is None:
        return np.arange(len(everybody))
    wanted = pd.Index(customers)
    if wanted.has_duplicates:
        twice = wanted[wanted.duplicated()].unique()
        raise InputError(f"{len(twice)} customers stand twice: {_some(twice)}; name each once")
    rows = everybody.get_indexer(wanted)
    if (rows < 0).any():
        raise InputError(
            f"{int((rows < 0).sum())} of {len(wanted)} customers are not known at {known.history.as_of}: "
            f"{_some(wanted[rows < 0])}; {len(everybody):,} are"
        )
    return np.asarray(rows, dtype=np.int64)


def _some(ids: pd.Index) -> str:
    return ", ".join(str(one) for one in ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
