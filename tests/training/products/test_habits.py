"""Habits by hand and against a slow look at every customer; what suits whom."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.worlds import customer, product, tables_of, warehouse_of
from training.products.habits import HALF_LIFE_DAYS, habits, suitability
from training.products.history import read_history

PARTS = ("orders", "recent", "since", "gap", "passed", "rate")


def habits_of(lines, customers, items):
    """Of rows (customer, item, order, days)."""
    columns = np.array([row[:3] for row in lines], dtype=np.int64).reshape(-1, 3).T
    return habits(*columns, np.array([row[3] for row in lines], dtype=np.float64), (customers, items))


def test_habits_by_hand():
    found = habits_of(
        [
            (0, 0, 0, 100.0), (0, 0, 0, 100.0), (0, 0, 1, 70.0), (0, 1, 2, 60.0), (0, 0, 3, 40.0), (0, -1, 4, 10.0),
            (1, 0, 5, 50.0), (1, 0, 6, 30.0), (-1, 1, 7, 1.0), (2, 2, 8, 5.0),
        ],
        4, 3,
    )  # fmt: skip
    # item 0: customer 0 has gaps 30, 30, customer 1 a gap of 20: 80 / 3 on average
    mean = 80 / 3
    assert found.orders.toarray().tolist() == [[3, 1, 0], [2, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert found.since.toarray().tolist() == [[41, 61, 0], [31, 0, 0], [0, 0, 6], [0, 0, 0]]
    assert found.gap.toarray()[:, 0].tolist() == pytest.approx([(60 + mean) / 3, (20 + mean) / 2, 0, 0])
    assert not found.gap.toarray()[:, 1:].any()  # nobody ever bought them twice
    # customer 0 has five orders: item 0 in the first, second and fourth; item 1 in the third
    assert found.passed.toarray().tolist() == [[2, 3, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert found.rate.toarray().tolist() == [[3 / 5, 1 / 3, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert found.recent.toarray()[1, 0] == pytest.approx(
        0.5 ** (50 / HALF_LIFE_DAYS) + 0.5 ** (30 / HALF_LIFE_DAYS)
    )
    np.testing.assert_array_equal(found.repeated, [1.0, 0.0, 0.0])


def test_no_lines_no_habits():
    for lines in ([], [(-1, 0, 0, 1.0), (0, -1, 1, 1.0)]):
        found = habits_of(lines, 2, 1)
        assert all(getattr(found, part).shape == (2, 1) and not getattr(found, part).nnz for part in PARTS)
        assert np.isnan(found.repeated).all()


ORDERS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 200), st.sets(st.integers(0, 3), min_size=1)), max_size=12
)


@given(ORDERS)
def test_a_look_at_every_customer(orders):
    orders = sorted(orders, key=lambda order: (order[0], -order[1]))
    lines = [(who, item, n, float(days)) for n, (who, days, items) in enumerate(orders) for item in items]
    found = habits_of(lines, 3, 4)
    bought, gaps = defaultdict(list), defaultdict(list)
    for n, (who, days, items) in enumerate(orders):
        for item in items:
            bought[who, item].append((n, days))
    for (_, item), times in bought.items():
        gaps[item] += [a[1] - b[1] for a, b in pairwise(times)]
    for (who, item), times in bought.items():
        own = [n for n, order in enumerate(orders) if order[0] == who]
        usual = [a[1] - b[1] for a, b in pairwise(times)]
        if gaps[item]:
            usual.append(sum(gaps[item]) / len(gaps[item]))
        expected = {
            "orders": len(times),
            "recent": sum(0.5 ** (days / HALF_LIFE_DAYS) for _, days in times),
            "since": times[-1][1] + 1,
            "gap": max(sum(usual) / len(usual), 1.0) if gaps[item] else 0.0,
            "passed": sum(n > times[-1][0] for n in own) + 1,
            "rate": len(times) / sum(n >= times[0][0] for n in own),
        }
        for part, value in expected.items():
            assert getattr(found, part)[who, item] == pytest.approx(value), part
    for item in range(4):
        counts = [len(times) for (_, one), times in bought.items() if one == item]
        share = sum(count > 1 for count in counts) / len(counts) if counts else np.nan
        np.testing.assert_equal(found.repeated[item], share)


def test_what_suits_whom(tmp_path):
    rows = [
        customer("c0", attributes='{"skin_type": "Dry ", "hobby": "chess"}'),
        customer("c1", attributes='{"skin_type": ["oily", "dry"], "vegan": true}'),
        customer("c2", attributes='{"skin_type": null, "vegan": false}'),
        customer("c3"),
        customer("c4", attributes='["a list"]'),
        product("p0", "c", attributes='{"skin_type": "dry"}'),
        product("p1", "c", attributes='{"skin_type": ["OILY", "sensitive"], "vegan": true}'),
        product("p2", "c", attributes='{"skin_type": "all", "vegan": false}'),
        product("p3", "c", attributes='{"skin_type": "sensitive", "scent": "rose"}'),
        product("p4", "c"),
        product("p5", "c", attributes='{"skin_type": []}'),
    ]
    history = read_history(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), pd.Timestamp("2024-06-01"))
    found = suitability(history)
    assert found.keys == ("skin_type", "vegan")  # a hobby and a scent are stated by one side only
    who, what = (axis.ravel() for axis in np.meshgrid(np.arange(5), np.arange(6), indexing="ij"))
    assert found.suits(who, what).reshape(5, 6).tolist() == [
        [True, False, True, False, True, True],
        [True, True, False, False, True, True],  # vegan, and p2 is not
        [True, False, True, True, True, True],  # not vegan, and p1 is; says nothing of the skin
        [True] * 6,
        [True] * 6,
    ]


def test_without_attributes_everything_suits(tmp_path):
    rows = [customer("c0", attributes='{"skin_type": "dry"}'), product("p0", "c")]
    found = suitability(
        read_history(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), pd.Timestamp("2024-06-01"))
    )
    assert found.keys == ()
    assert found.suits(np.array([0]), np.array([0])).tolist() == [True]
