"""How good ranked lists are: hits among the first k places. Small pure functions that refuse rather than guess. NumPy only.

A list is good where what the customer bought stands on it, and high. Customers who bought nothing have no recall: who is
judged is said beside each figure.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError

__all__ = ["hits", "ndcg_at", "recall_at"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def hits(lists: pd.DataFrame, relevant: pd.DataFrame, k: int) -> tuple[Bools, Ints]:
    """Say which of the first k places of each customer's list are hits.

    Parameters
    ----------
    lists
        ``customer_id``, ``rank`` (from 1, each once a customer), ``product_id``; a list may be shorter than k, or missing.
    relevant
        ``customer_id``, ``product_id``, each pair once: what the customers bought. They alone are judged.

    Returns
    -------
    hit : ndarray of bool, shape (n, k)
        By customer in ascending order of ``customer_id``, and place.
    relevant : ndarray of int, shape (n,)
        Products that each of them bought, 1 or more.

    Raises
    ------
    InputError
        k below 1; nobody to judge; a pair, a place or a product of a list twice.
    """
    pair = ["customer_id", "product_id"]
    if k < 1 or relevant.empty:
        raise InputError(f"hits need k >= 1 and one relevant product or more, got {k} and {len(relevant)}.")
    for name, frame, key in (
        ("relevant", relevant, pair),
        ("lists", lists, pair),
        ("lists", lists, ["customer_id", "rank"]),
    ):
        if twice := int(frame.duplicated(key).sum()):
            raise InputError(
                f"{name}: {twice} of {len(frame)} rows repeat a {' and '.join(key)}; each may stand once."
            )
    bought = relevant.groupby("customer_id").size().sort_index()
    top = lists.loc[(lists["rank"] >= 1) & (lists["rank"] <= k), [*pair, "rank"]].merge(
        relevant[pair], on=pair
    )
    hit = np.zeros((len(bought), k), dtype=bool)
    hit[bought.index.get_indexer(pd.Index(top["customer_id"])), top["rank"].to_numpy(dtype=np.int64) - 1] = (
        True
    )
    return hit, np.asarray(bought, dtype=np.int64)


def recall_at(hit: ArrayLike, relevant: ArrayLike) -> Floats:
    """Share of what each customer bought that stands on the first k places, shape (n,).

    Not divided by min(k, relevant): who buys more than k products cannot reach 1.

    Parameters
    ----------
    hit, relevant
        As ``hits`` returns them.

    Examples
    --------
    >>> recall_at([[True, False, True]], [4])
    array([0.5])
    """
    found, bought = _checked(hit, relevant)
    return np.asarray(found.sum(axis=1) / bought)


def ndcg_at(hit: ArrayLike, relevant: ArrayLike) -> Floats:
    """Normalised discounted cumulative gain of the first k places, shape (n,), from 0 to 1 (all that fits, at the top).

    A hit at place i counts 1 / log2(i + 1); the sum is divided by that of min(k, relevant) hits on the first places
    (Järvelin and Kekäläinen 2002, ACM Transactions on Information Systems 20, 422-446, binary gains).

    Parameters
    ----------
    hit, relevant
        As ``hits`` returns them.

    Examples
    --------
    >>> ndcg_at([[True, False, False]], [1])
    array([1.])
    >>> ndcg_at([[False, False, True]], [1])
    array([0.5])
    """
    found, bought = _checked(hit, relevant)
    places = found.shape[1]
    discount = 1.0 / np.log2(np.arange(2, places + 2))
    ideal = np.cumsum(discount)[np.minimum(bought, places) - 1]
    return np.asarray(found @ discount / ideal)


def _checked(hit: ArrayLike, relevant: ArrayLike) -> tuple[Bools, Ints]:
    found, bought = np.asarray(hit), np.asarray(relevant)
    if found.ndim != 2 or not found.size or found.dtype != bool or bought.shape != found.shape[:1]:
        raise InputError(
            f"hits must be flags of shape (n, k), relevant of shape (n,); got {found.dtype} {found.shape} and "
            f"{bought.shape}."
        )
    short = int((bought < np.maximum(found.sum(axis=1), 1)).sum())
    if short:
        raise InputError(
            f"{short} of {len(bought)} customers have fewer relevant products than hits, or none."
        )
    return found, bought.astype(np.int64)
