"""The columns that candidates are ranked by, in a small shop, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.features.worlds import customer, event, line, product, tables_of, warehouse_of
from training.products.candidates import Candidates, block_of, read_knowledge
from training.products.features import FEATURES, feature_rows, sheets
from training.products.habits import HALF_LIFE_DAYS

CUTOFF = pd.Timestamp("2024-06-01")
ROWS = [
    product("a", "c", brand="B", list_price=4),
    product("b", "c", brand="Z", list_price=8),
    product("d", "e", list_price=16),
    line("ann", "2023-05-15", product_id="d"),  # 383 days ago: before the season's year
    line("ann", "2024-05-02", product_id="a"),  # 30 days
    line("ann", "2024-05-12", product_id="a"),  # 20 days
    line("ann", "2024-05-22", product_id="b"),  # 10 days
    line("bob", "2023-06-10", product_id="d"),  # 357 days: in the same days a year ago
    line(None, "2023-07-05", product_id="d"),  # 332 days: in the year, not in these days
    line(None, "2024-04-02", product_id="d"),  # 60 days
    line(None, "2024-05-22", product_id="d"),
    event("ann", "2024-05-25", product_id="d"),
    customer("cy"),
]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Customer and product -> name -> value."""
    known = read_knowledge(warehouse_of(tmp_path_factory.mktemp("w") / "w.duckdb", tables_of(ROWS)), CUTOFF)
    assert known.history.customers.tolist() == ["ann", "bob", "cy"]
    who, what = (axis.ravel() for axis in np.meshgrid(np.arange(3), np.arange(3), indexing="ij"))
    pairs = Candidates(who, what, np.zeros(9, dtype=np.int64))
    rows = feature_rows(known, sheets(known), block_of(known, np.arange(3)), pairs)
    assert rows.dtype == np.float32
    names = [("ann", "bob", "cy")[i] + "-" + ("a", "b", "d")[j] for i, j in zip(who, what, strict=True)]
    return {
        name: dict(zip(FEATURES, row.tolist(), strict=True)) for name, row in zip(names, rows, strict=True)
    }


def halved(*days):
    return sum(0.5 ** (one / HALF_LIFE_DAYS) for one in days)


ALL = halved(383, 30, 20, 10)


@pytest.mark.parametrize(
    ("pair", "name", "expected"),
    [
        ("ann-a", "product_orders", 2),
        ("ann-a", "product_recent_orders", halved(30, 20)),
        ("ann-a", "product_order_share", halved(30, 20) / ALL),
        ("ann-a", "days_since_product", 20),
        ("ann-a", "product_overdue_ratio", 20 / 10),  # one gap of 10 days, the item's mean too
        ("ann-a", "product_orders_passed", 1),
        ("ann-a", "product_rate", 2 / 3),
        ("ann-a", "category_recent_orders", halved(30, 20, 10)),
        ("ann-a", "days_since_category", 10),
        ("ann-a", "category_overdue_ratio", 10 / 10),
        ("ann-a", "category_orders_passed", 0),
        ("ann-a", "category_rate", 1),
        ("ann-a", "brand_order_share", halved(30, 20) / ALL),
        ("ann-a", "days_since_brand", 20),
        ("ann-d", "days_since_brand", math.nan),  # it has none
        ("ann-d", "brand_recent_orders", 0),
        ("ann-b", "product_overdue_ratio", math.nan),  # nobody bought it twice
        ("bob-a", "product_orders", 0),
        ("bob-a", "days_since_product", math.nan),
        ("bob-a", "days_since_category", math.nan),
        ("ann-d", "looked", 0.5 ** (7 / 7)),
        ("bob-d", "looked", 0),
        ("bob-b", "after", 0),  # the order of d was too long ago to tell what follows
        # ann bought at the mean of ln 16, ln 4, ln 4, ln 8
        ("ann-b", "log_price_ratio", math.log(8) - math.log(16 * 4 * 4 * 8) / 4),
        ("cy-b", "log_price_ratio", math.nan),
        ("cy-b", "log_price", math.log(8)),
        ("cy-a", "orders_share_30d", 2 / 4),
        ("cy-d", "orders_share_90d", 2 / 5),
        ("cy-a", "orders_trend", math.log((2 / 4) / (2 / 5))),
        ("cy-a", "repeated_share", 1),
        ("cy-d", "repeated_share", 0),
        ("cy-d", "days_since_sold", 10),
        ("cy-a", "days_since_launch", 30),  # first sold 353 days into the history
        ("cy-d", "days_since_launch", math.nan),
        # d: one of its four orders of the year fell into these days; c: none of three
        ("cy-d", "season_of_product", math.log((1 + 1) / (4 * 30 / 365 + 1))),
        ("cy-a", "season_of_category", math.log((0 + 1) / (3 * 30 / 365 + 1))),
        ("ann-b", "customer_orders", 4),
        ("ann-b", "customer_recent_orders", ALL),
        ("ann-b", "customer_products", 3),
        ("ann-b", "customer_repeated_share", 1 / 3),
        ("ann-b", "products_an_order", 1),
        ("ann-b", "days_since_order", 10),
        ("cy-b", "customer_orders", 0),
        ("cy-b", "product_order_share", math.nan),
        ("cy-b", "days_since_order", math.nan),
    ],
)
def test_by_hand(values, pair, name, expected):
    assert values[pair][name] == pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True)


def test_the_measures_stand_in_their_columns(tmp_path):
    rows = [
        *(
            line(who, "2024-05-01", order_id=who, line_id=name, product_id=name)
            for who in ("ann", "bob")
            for name in "ab"
        ),
        line("ann", "2024-05-09", product_id="c"),
        line("cy", "2024-05-10", product_id="a"),
    ]
    known = read_knowledge(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), CUTOFF)
    pairs = Candidates(np.array([0, 0]), np.array([1, 2]), np.zeros(2, dtype=np.int64))
    block = block_of(known, np.array([2]))
    rows = dict(zip(FEATURES, feature_rows(known, sheets(known), block, pairs).T.tolist(), strict=True))
    tied = known.affinities
    # cy bought a alone, so what a leads to is what cy is led to
    for name in ("together", "after", "owners", "content"):
        assert rows[name] == pytest.approx(getattr(tied, name).toarray()[0, [1, 2]].tolist()), name
    assert rows["together"][0] > 0 == rows["together"][1]
    assert rows["after"][1] > 0 == rows["after"][0]


def test_a_season_needs_a_year(tmp_path):
    known = read_knowledge(
        warehouse_of(
            tmp_path / "w.duckdb", tables_of([line("ann", "2023-06-03"), line("ann", "2024-05-30")])
        ),
        CUTOFF,
    )
    column = (*FEATURES,).index("season_of_product")
    pair = Candidates(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    assert np.isnan(feature_rows(known, sheets(known), block_of(known, np.array([0])), pair)[0, column])
