"""Which products belong together: sparse product x product measures of what was known at an instant. NumPy and SciPy only.

Bought together, bought after and bought by the same customers are cosines between columns of order (or customer) x product
matrices: for rows r with weight w_r,

    c_ij = sum_r w_r before_ri after_rj,      s_ij = c_ij / sqrt(n_i m_j) * k_ij / (k_ij + SHRINKAGE),

n_i and m_j the weighted numbers of rows with i and j, k_ij the number of rows with both (Sarwar, Karypis, Konstan and Riedl 2001, Item-based
collaborative filtering, WWW 10, 285-295; Deshpande and Karypis 2004, ACM Transactions on Information Systems 22, 143-177;
shrinkage: Bell and Koren 2007, ICDM 7, 43-52). A row weighs 1 / size: a basket of a hundred products says little about
each pair. What is alike is a cosine between the words of names, categories and brands, weighted by their rarity
(Salton and Buckley 1988, Information Processing and Management 24, 513-523).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from training.products.history import History, Lines

__all__ = ["Affinities", "Matrix", "affinities", "alike", "cosine_neighbours", "top_of_rows", "values_at"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Matrix: TypeAlias = sparse.csr_matrix
"""Columns ascending within each row."""

MEMORY_DAYS = 365
"""What was bought longer ago says nothing about what belongs together."""

SHRINKAGE = 3.0
"""Rows with both products that halve the measure."""

NEIGHBOURS = 50
"""Kept of each product."""

_BLOCK_CELLS = 20_000_000
# a row with more products than this pairs too many: a wholesaler's stock is no basket
_MOST_IN_ROW = 500


@dataclass(frozen=True, eq=False)
class Affinities:
    """Product x product, each row with its ``NEIGHBOURS`` strongest; row i says what goes with, or follows, product i.

    Attributes
    ----------
    together
        Bought in the same order.
    after
        Bought in the customer's next order.
    owners
        Bought by the same customers.
    browsed
        Looked at by the same customers.
    content
        Alike in name, category and brand.
    """

    together: Matrix
    after: Matrix
    owners: Matrix
    browsed: Matrix
    content: Matrix


def affinities(history: History) -> Affinities:
    """Compute all measures from what was known at the history's instant."""
    p = len(history.goods.product_id)
    customer, order, product = _recent(history.lines)
    orders, follows = _incidence(order, product, p), _following(customer, order)
    owned = _incidence(customer[customer >= 0], product[customer >= 0], p)
    looked = _incidence(history.views.customer, history.views.product, p)
    return Affinities(
        together=cosine_neighbours(orders, orders),
        after=cosine_neighbours(orders[follows - 1], orders[follows]),
        owners=cosine_neighbours(owned, owned),
        browsed=cosine_neighbours(looked, looked),
        content=alike(history.goods.words),
    )


def cosine_neighbours(before: Matrix, after: Matrix, most: int = NEIGHBOURS) -> Matrix:
    """Return the shrunk cosine between products of two binary matrices of equal shape, rows x products.

    Parameters
    ----------
    before, after
        What each row (order, customer) has; the same matrix twice for what stands together.
    most
        Strongest neighbours kept of each product, ties by product.

    Returns
    -------
    csr_matrix, products x products
        Without the diagonal; columns ascending.
    """
    sizes = np.sqrt(np.asarray(before.sum(axis=1)).ravel() * np.asarray(after.sum(axis=1)).ravel())
    kept = np.flatnonzero((sizes > 0) & (sizes <= _MOST_IN_ROW))
    before, after, weight = before[kept], after[kept], 1.0 / sizes[kept]
    n, m = (np.sqrt(np.asarray(side.T @ weight).ravel()) for side in (before, after))
    # one product of matrices adds up weights (real) and counts rows (imaginary)
    both, of_product = (sparse.diags(weight + 1j) @ after).astype(np.complex64), before.T.tocsr()
    parts, step = [], max(1, _BLOCK_CELLS // max(before.shape[1], 1))
    for first in range(0, before.shape[1], step):
        sums = (of_product[first : first + step] @ both).tocsr()
        row = np.repeat(np.arange(first, first + sums.shape[0]), np.diff(sums.indptr))
        cosine = sums.data.real / (n[row] * m[sums.indices])
        cosine *= sums.data.imag / (sums.data.imag + SHRINKAGE)
        cosine[row == sums.indices] = 0.0
        scored = (cosine.astype(np.float32), sums.indices, sums.indptr)
        parts.append(top_of_rows(sparse.csr_matrix(scored, shape=sums.shape), most))
    return _stacked(parts)


def alike(words: NDArray[np.object_], most: int = NEIGHBOURS) -> Matrix:
    """Return the cosine between products by their words, weighted by ln(products / products with the word).

    Parameters
    ----------
    words
        Of each product, lower case, apart by spaces; a word counts once.
    most
        As of ``cosine_neighbours``, whose form the result has.
    """
    listed = [sorted(set(text.split())) for text in words]
    row = np.repeat(np.arange(len(listed)), [len(one) for one in listed])
    column, names = pd.factorize(np.array([word for one in listed for word in one], dtype=object))
    rarity = np.log(len(listed) / np.bincount(column, minlength=len(names)))[column]
    length = np.sqrt(np.bincount(row, rarity**2, len(listed)))[row]
    weight = np.divide(rarity, length, out=np.zeros(row.size), where=length > 0).astype(np.float32)
    told = sparse.csr_matrix((weight, (row, column)), shape=(len(listed), len(names)))
    parts, step = [], max(1, _BLOCK_CELLS // max(len(listed), 1))
    for first in range(0, len(listed), step):
        likeness = (told[first : first + step] @ told.T).tocsr()
        owner = np.repeat(np.arange(first, first + likeness.shape[0]), np.diff(likeness.indptr))
        likeness.data[owner == likeness.indices] = 0.0
        parts.append(top_of_rows(likeness, most))
    return _stacked(parts)


def top_of_rows(matrix: Matrix, most: int) -> Matrix:
    """Keep the ``most`` largest entries above 0 of each row, ties by column; columns ascending."""
    large = matrix.data > 0
    for row in np.flatnonzero(np.diff(matrix.indptr) > most):
        # what cannot be among the largest need not be sorted
        places = slice(matrix.indptr[row], matrix.indptr[row + 1])
        large[places] &= matrix.data[places] >= np.partition(matrix.data[places], -most)[-most]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[large]
    columns, values = matrix.indices[large], matrix.data[large]
    by = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[by], columns[by], values[by]
    first = np.searchsorted(rows, np.arange(matrix.shape[0]))
    kept = np.arange(rows.size) - first[rows] < most
    top = sparse.csr_matrix((values[kept], (rows[kept], columns[kept])), shape=matrix.shape)
    top.sort_indices()
    return top


def values_at(matrix: Matrix, row: Ints, column: Ints) -> Floats:
    """Return the entries at these places, 0 where none is stored; a column of -1 has none.

    Parameters
    ----------
    matrix
        Columns ascending within each row.
    """
    if not matrix.nnz:
        return np.zeros(row.size)
    width = matrix.shape[1]
    owner = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    key = owner * width + matrix.indices
    wanted = np.where(column >= 0, row * width + column, -1)
    place = np.minimum(np.searchsorted(key, wanted), key.size - 1)
    return np.where(key[place] == wanted, matrix.data[place], 0.0).astype(np.float64)


def _recent(lines: Lines) -> tuple[Ints, Ints, Ints]:
    """Return customer, order (renumbered without gaps) and product of the lines of the last ``MEMORY_DAYS``."""
    near = lines.days <= MEMORY_DAYS
    _, order = np.unique(lines.order[near], return_inverse=True)
    return lines.customer[near], order, lines.product[near]


def _following(customer: Ints, order: Ints) -> Ints:
    """Number of each order that a known customer had placed another before; that is the order numbered one less."""
    buyer = customer[np.unique(order, return_index=True)[1]]
    return np.flatnonzero((buyer[1:] == buyer[:-1]) & (buyer[1:] >= 0)) + 1


def _incidence(row: Ints, column: Ints, width: int) -> Matrix:
    """Return the binary matrix with ones at these places."""
    height = int(row.max(initial=-1)) + 1
    matrix = sparse.csr_matrix((np.ones(row.size, dtype=np.float32), (row, column)), shape=(height, width))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _stacked(parts: list[Matrix]) -> Matrix:
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, 0), dtype=np.float32)
