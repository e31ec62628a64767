"""Measures between products by hand, and against slow loops over every pair."""

import math
from collections import defaultdict
from itertools import product as product_of

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tests.features.worlds import event, line, product, tables_of, warehouse_of
from training.products.affinity import SHRINKAGE, affinities, alike, cosine_neighbours, top_of_rows, values_at
from training.products.history import read_history

CUTOFF = "2024-06-01"


def rows_of(*baskets, width):
    matrix = np.zeros((len(baskets), width), dtype=np.float32)
    for row, basket in enumerate(baskets):
        matrix[row, list(basket)] = 1.0
    return sparse.csr_matrix(matrix)


def test_the_cosine_by_hand():
    # baskets {0, 1}, {0, 1, 2}, {0}: weights 1/2, 1/3, 1
    found = cosine_neighbours(*[rows_of([0, 1], [0, 1, 2], [0], width=3)] * 2).toarray()
    n = [1 / 2 + 1 / 3 + 1, 1 / 2 + 1 / 3, 1 / 3]
    together = (1 / 2 + 1 / 3) / math.sqrt(n[0] * n[1]) * 2 / (2 + SHRINKAGE)
    assert found[0, 1] == pytest.approx(together)
    assert found[1, 0] == pytest.approx(together)
    assert found[0, 2] == pytest.approx((1 / 3) / math.sqrt(n[0] * n[2]) / (1 + SHRINKAGE))
    assert found.diagonal().tolist() == [0.0, 0.0, 0.0]


def test_what_follows_is_directed():
    # 0 then 1, twice; 1 then 2
    found = cosine_neighbours(rows_of([0], [0], [1], width=3), rows_of([1], [1], [2], width=3)).toarray()
    assert found[0, 1] == pytest.approx(2 / math.sqrt(2 * 2) * 2 / (2 + SHRINKAGE))
    assert found[1, 2] == pytest.approx(1 / math.sqrt(1 * 1) / (1 + SHRINKAGE))
    assert np.count_nonzero(found) == 2


BASKETS = st.lists(st.tuples(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5))), min_size=1, max_size=12)


def slowly(pairs):
    """All measures by a loop over the rows that have something on both sides."""
    sums, rows, n, m = (defaultdict(float) for _ in range(4))
    for before, after in ((before, after) for before, after in pairs if before and after):
        weight = 1 / math.sqrt(len(before) * len(after))
        for i, j in product_of(before, after):
            sums[i, j] += weight
            rows[i, j] += 1
            n[i] += weight / len(after)
            m[j] += weight / len(before)
    expected = np.zeros((6, 6))
    for i, j in ((i, j) for i, j in sums if i != j):
        expected[i, j] = sums[i, j] / math.sqrt(n[i] * m[j]) * rows[i, j] / (rows[i, j] + SHRINKAGE)
    return expected


@given(BASKETS, st.integers(1, 6))
def test_a_loop_over_all_pairs(pairs, most):
    found = cosine_neighbours(*(rows_of(*side, width=6) for side in zip(*pairs, strict=True)), most).toarray()
    expected = slowly(pairs)
    for row in range(6):
        kept = np.sort(expected[row])[::-1][:most]
        np.testing.assert_allclose(np.sort(found[row])[::-1][:most], kept, rtol=1e-5, atol=1e-7)
        there = found[row] > 0
        assert there.sum() == (kept > 0).sum()
        np.testing.assert_allclose(found[row][there], expected[row][there], rtol=1e-5)


def test_likeness_by_hand():
    found = alike(np.array(["red lamp", "blue lamp", "red chair", "", "lamp lamp"], dtype=object)).toarray()
    red, lamp, blue = math.log(5 / 2), math.log(5 / 3), math.log(5)
    chair = blue
    length = [math.hypot(red, lamp), math.hypot(blue, lamp), math.hypot(red, chair), 0, lamp]
    assert found[0, 1] == pytest.approx(lamp**2 / (length[0] * length[1]), rel=1e-6)
    assert found[0, 2] == pytest.approx(red**2 / (length[0] * length[2]), rel=1e-6)
    assert found[0, 4] == pytest.approx(lamp / length[0], rel=1e-6)
    assert found[1, 2] == 0.0
    assert not found[3].any()
    assert not found.diagonal().any()
    np.testing.assert_allclose(found, found.T)


def test_nothing_is_alike_where_there_are_no_words():
    assert alike(np.array(["", ""], dtype=object)).nnz == 0
    assert alike(np.array([], dtype=object)).shape == (0, 0)


def test_the_largest_of_each_row():
    matrix = sparse.csr_matrix(np.array([[3.0, 1.0, 3.0, 3.0], [0.0, -5.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    # of three equal ones the first two columns stay; what is below 0 never does
    assert top_of_rows(matrix, 2).toarray().tolist() == [[3, 0, 3, 0], [0, 0, 0, 2], [0, 0, 0, 0]]
    assert top_of_rows(matrix, 9).toarray().tolist() == [[3, 1, 3, 3], [0, 0, 0, 2], [0, 0, 0, 0]]


def test_values_at_places():
    matrix = sparse.csr_matrix(np.array([[0.0, 7.0], [5.0, 0.0]]))
    rows, columns = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 1, 0, 1, -1, -1])
    # column -1 of row 1 is no neighbour's last column
    assert values_at(matrix, rows, columns).tolist() == [0, 7, 5, 0, 0, 0]
    assert values_at(sparse.csr_matrix((2, 2)), rows, columns).tolist() == [0] * 6


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two lines of one order, a next order, an anonymous order, another customer, one order too old."""
    goods = [product(name, "c") for name in "abcde"]
    rows = [
        line("ann", "2024-01-01", order_id="1", line_id="1", product_id="a"),
        line("ann", "2024-01-01", order_id="1", line_id="2", product_id="b"),
        line("ann", "2024-02-01", product_id="c"),
        line(None, "2024-02-02", order_id="2", line_id="1", product_id="c"),
        line(None, "2024-02-02", order_id="2", line_id="2", product_id="d"),
        line(None, "2024-02-03", product_id="e"),
        line("bob", "2023-05-01", order_id="3", line_id="1", product_id="d"),
        line("bob", "2023-05-01", order_id="3", line_id="2", product_id="e"),
        line("bob", "2024-02-01", product_id="e"),
        event("ann", "2024-05-20", product_id="d"),
        event("ann", "2024-05-21", product_id="e", kind="cart_add"),
        event("ann", "2024-05-22", product_id="a", kind="search"),
        event("bob", "2024-01-22", product_id="a"),
        event("bob", "2024-05-22", product_id="b"),
    ]
    warehouse = warehouse_of(tmp_path_factory.mktemp("w") / "w.duckdb", tables_of([*goods, *rows]))
    return affinities(read_history(warehouse, pd.Timestamp(CUTOFF)))


def pairs_of(matrix):
    rows, columns = matrix.nonzero()
    return {"abcde"[i] + "abcde"[j] for i, j in zip(rows, columns, strict=True)}


def test_which_pairs_are_tied(measured):
    # anonymous orders tell what goes together; what is older than a year, not
    assert pairs_of(measured.together) == {"ab", "ba", "cd", "dc"}
    # only known customers have a next order; that of a year before is no order before
    assert pairs_of(measured.after) == {"ac", "bc"}
    assert pairs_of(measured.owners) == {"ab", "ba", "ac", "ca", "bc", "cb"}
    # a search is no interest in a product; a view of 131 days ago is too old
    assert pairs_of(measured.browsed) == {"de", "ed"}
    assert measured.content.nnz == 0  # one word, the category, that all share
