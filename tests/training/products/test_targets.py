"""Who buys what within the horizon, at its edges and at those of what was known."""

import pandas as pd
import pytest

from tests.features.worlds import MICROSECOND, at, line, link, tables_of, warehouse_of
from training.targets import products_bought

CUTOFF, ENDS = "2024-06-01", "2024-07-01"


@pytest.fixture
def bought(tmp_path):
    def of(*rows, known_by=None):
        warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([line("zoe", "2024-01-01"), *rows]))
        by = None if known_by is None else pd.Timestamp(known_by)
        found = products_bought(warehouse, pd.Timestamp(CUTOFF), 30, known_by=by)
        assert list(found.columns) == ["customer_id", "product_id"]
        return list(found.itertuples(index=False, name=None))

    return of


def test_the_edges_of_the_horizon(bought):
    assert bought(
        line("ann", at(CUTOFF) - MICROSECOND, product_id="before"),
        line("ann", CUTOFF, product_id="at"),
        line("ann", at(ENDS) - MICROSECOND, product_id="just inside"),
        line("ann", ENDS, product_id="after"),
    ) == [("ann", "at"), ("ann", "just inside")]


def test_a_line_counts_at_its_orders_time(bought):
    assert bought(
        line("ann", "2024-05-31", order_id="o", line_id="1", product_id="a"),
        line("ann", "2024-06-02", order_id="o", line_id="2", product_id="b"),
        line("bob", "2024-06-30", order_id="q", line_id="1", product_id="a"),
        line("bob", "2024-07-02", order_id="q", line_id="2", product_id="b"),
        # a return filed under an order does not begin it
        line("cy", "2024-05-30", order_id="r", line_id="1", product_id="c", kind="return"),
        line("cy", "2024-06-05", order_id="r", line_id="2", product_id="c"),
    ) == [("bob", "a"), ("bob", "b"), ("cy", "c")]


def test_each_pair_once_and_only_sales_of_somebody(bought):
    assert bought(
        line("ann", "2024-06-02", product_id="a"),
        line("ann", "2024-06-03", product_id="a"),
        line("ann", "2024-06-03", product_id="b", kind="return"),
        line(None, "2024-06-03", product_id="a"),
        line("ann", "2024-06-04", product_id="a", source="shop"),
    ) == [("ann", "a"), ("shop:ann", "shop|a")]


def test_customers_are_those_known_at_the_cutoff(bought):
    assert bought(
        line("ann", "2024-06-02", product_id="a"),
        line("bob", "2024-06-02", product_id="b"),
        line("cy", "2024-06-02", product_id="b"),
        link("ann", "one", known_at=at(CUTOFF)),
        link("bob", "one", known_at=at(CUTOFF) + MICROSECOND),
        link("cy", "one", known_at=at("2024-01-01")),
        link("cy", "two", known_at=at("2024-05-31")),
    ) == [("bob", "b"), ("one", "a"), ("two", "b")]


def test_only_what_was_known_by_then(bought):
    rows = [
        line("ann", "2024-06-02", product_id="a"),
        line("ann", "2024-06-10", product_id="at the instant"),
        line("ann", "2024-06-03", product_id="late", known_at=at("2024-06-10") + MICROSECOND),
        line("ann", "2024-06-04", order_id="o", product_id="wrong"),
        line("ann", "2024-06-04", order_id="o", product_id="right", known_at=at("2024-06-20")),
    ]
    assert bought(*rows, known_by="2024-06-10") == [("ann", "a"), ("ann", "wrong")]


def test_what_stands_today(bought):
    rows = [
        line("ann", "2024-06-04", order_id="o", product_id="wrong"),
        line("ann", "2024-06-04", order_id="o", product_id="right", known_at=at("2024-06-20")),
    ]
    assert bought(*rows) == [("ann", "right")]
