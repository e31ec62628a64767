"""Ranked lists by hand, and against a slow walk down every list."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from training.products.metrics import hits, ndcg_at, recall_at


def lists_of(**named):
    rows = [
        (who, place, product) for who, products in named.items() for place, product in enumerate(products, 1)
    ]
    return pd.DataFrame(rows, columns=["customer_id", "rank", "product_id"])


def bought_of(**named):
    rows = [(who, product) for who, products in named.items() for product in products]
    return pd.DataFrame(rows, columns=["customer_id", "product_id"])


def test_hits_by_hand():
    lists = lists_of(ann="abcd", bob="xy", cy="abc")
    hit, relevant = hits(lists, bought_of(bob="yz", ann="bdz", dan="a"), 3)
    # ann: b at 2; d stands at 4, beyond the third place. bob: y at 2, and no third place. cy bought nothing. dan has no list.
    assert hit.tolist() == [[False, True, False], [False, True, False], [False, False, False]]
    assert relevant.tolist() == [3, 2, 1]


def test_the_order_of_rows_does_not_matter():
    lists, bought = lists_of(ann="abcd", bob="xy"), bought_of(bob="yz", ann="bdz")
    for found, expected in zip(
        hits(lists[::-1], bought.sample(frac=1.0, random_state=3), 3), hits(lists, bought, 3), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("hit", "relevant", "recall", "ndcg"),
    [
        ([True, True, True], 3, 1.0, 1.0),
        ([False, False, False], 2, 0.0, 0.0),
        # one of four; 1/log2(3) of the best three places, 1 + 1/log2(3) + 1/2
        ([False, True, False], 4, 0.25, (1 / math.log2(3)) / (1 + 1 / math.log2(3) + 0.5)),
        # both of two, at 1 and 3; the best places are 1 and 2
        ([True, False, True], 2, 1.0, 1.5 / (1 + 1 / math.log2(3))),
        # five bought, three places: recall stops at 3/5, NDCG is perfect
        ([True, True, True], 5, 0.6, 1.0),
    ],
)
def test_figures_by_hand(hit, relevant, recall, ndcg):
    assert recall_at([hit], [relevant])[0] == pytest.approx(recall, abs=1e-15)
    assert ndcg_at([hit], [relevant])[0] == pytest.approx(ndcg, abs=1e-15)


IDS = st.sampled_from("abcdefgh")


@given(
    st.dictionaries(st.sampled_from(["u", "v", "w"]), st.lists(IDS, unique=True)),
    st.dictionaries(st.sampled_from(["u", "v", "w"]), st.sets(IDS, min_size=1), min_size=1),
    st.integers(1, 5),
)
def test_a_walk_down_each_list(lists, bought, k):
    hit, relevant = hits(lists_of(**lists), bought_of(**bought), k)
    recall, ndcg = recall_at(hit, relevant), ndcg_at(hit, relevant)
    for row, who in enumerate(sorted(bought)):
        gain = ideal = found = 0.0
        for place in range(1, k + 1):
            listed = lists.get(who, [])
            if place <= len(listed) and listed[place - 1] in bought[who]:
                gain, found = gain + 1 / math.log2(place + 1), found + 1
            ideal += 1 / math.log2(place + 1) if place <= len(bought[who]) else 0
        assert recall[row] == pytest.approx(found / len(bought[who]))
        assert ndcg[row] == pytest.approx(gain / ideal)


@pytest.mark.parametrize(
    ("lists", "bought", "k", "says"),
    [
        (lists_of(ann="a"), bought_of(ann="a"), 0, "k >= 1"),
        (lists_of(ann="a"), bought_of(), 3, "one relevant product or more, got 3 and 0"),
        (
            lists_of(ann="aba"),
            bought_of(ann="a"),
            3,
            "lists: 1 of 3 rows repeat a customer_id and product_id",
        ),
        (
            lists_of(ann="ab").assign(rank=1),
            bought_of(ann="a"),
            3,
            "lists: 1 of 2 rows repeat a customer_id and rank",
        ),
        (
            lists_of(ann="ab"),
            bought_of(ann="aa"),
            3,
            "relevant: 1 of 2 rows repeat a customer_id and product_id",
        ),
    ],
)
def test_what_is_no_list_is_refused(lists, bought, k, says):
    with pytest.raises(InputError, match=says):
        hits(lists, bought, k)


@pytest.mark.parametrize("figure", [recall_at, ndcg_at])
@pytest.mark.parametrize(
    ("hit", "relevant", "says"),
    [
        ([[1, 0]], [1], "flags of shape"),
        ([True, False], [1, 1], "flags of shape"),
        ([[True, False]], [1, 1], "flags of shape"),
        (np.zeros((0, 3), dtype=bool), [], "flags of shape"),
        ([[True, True]], [1], "1 of 1 customers have fewer relevant products than hits"),
        ([[False, False]], [0], "or none"),
    ],
)
def test_figures_refuse(figure, hit, relevant, says):
    with pytest.raises(InputError, match=says):
        figure(hit, relevant)
