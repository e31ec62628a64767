"""Candidates and their reasons, in small shops where one can say by hand who may be offered what."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.worlds import at, customer, event, line, product, tables_of, warehouse_of
from training.products.candidates import (
    DEARER,
    MOST,
    NEW_DAYS,
    POPULAR_HALF_LIFE_DAYS,
    REASONS,
    block_of,
    candidates,
    read_knowledge,
)

CUTOFF = pd.Timestamp("2024-06-01")


@pytest.fixture
def offered(tmp_path):
    """Customer -> product -> reason, for everybody in a small shop."""

    def of(*rows):
        known = read_knowledge(warehouse_of(tmp_path / "w.duckdb", tables_of(list(rows))), CUTOFF)
        pairs = candidates(known, block_of(known, np.arange(len(known.history.customers))))
        found = {name: {} for name in known.history.customers.tolist()}
        for who, what, why in zip(pairs.customer, pairs.product, pairs.reason, strict=True):
            found[str(known.history.customers[who])][str(known.history.goods.product_id[what])] = REASONS[why]
        return found

    return of


def basket(who, when, *products, order_id):
    return [line(who, when, order_id=order_id, line_id=name, product_id=name) for name in products]


def goods(**categories):
    return [product(name, category) for name, category in categories.items()]


def test_what_goes_with_it(offered):
    found = offered(
        *basket("ann", "2024-02-01", "tea", "cup", order_id="1"),
        *basket("bob", "2024-02-01", "tea", order_id="2"),
        *basket("bob", "2024-03-01", "pot", order_id="3"),
        *basket("cy", "2024-04-01", "cup", order_id="4"),
        *basket("dan", "2024-04-01", "tea", order_id="5"),
    )
    # a cup goes with tea, a pot follows tea; who has the cup is led to tea
    assert found["dan"] == {"tea": "rebuy", "cup": "complements", "pot": "complements"}
    assert found["cy"]["tea"] == "complements"
    assert found["ann"]["pot"] == "complements"


def test_a_bought_product_is_only_ever_bought_again(offered):
    found = offered(
        *basket("ann", "2024-05-01", "a", "b", order_id="1"),
        *basket("ann", "2024-05-02", "c", order_id="2"),
        event("ann", "2024-05-31", product_id="a"),
        *basket("bob", "2024-05-01", "a", "b", "c", order_id="3"),
    )
    assert found["ann"] == dict.fromkeys("abc", "rebuy")


def test_what_was_bought_long_ago_is_not_offered_as_something_else(offered):
    often = [line("ann", "2024-05-30", product_id=f"p{n:02}") for n in range(MOST["rebuy"])]
    found = offered(
        *often, line("ann", "2023-01-01", product_id="old"), line("bob", "2024-05-30", product_id="old")
    )
    assert "old" not in found["ann"]
    assert set(found["ann"].values()) == {"rebuy"}


def test_what_was_brought_back_is_not_offered(offered):
    found = offered(
        *(line("ann", "2024-05-01", product_id=name, quantity=2) for name in "abc"),
        line("ann", "2024-05-03", product_id="a", kind="return", quantity=2),
        line("ann", "2024-05-03", product_id="b", kind="return", quantity=1),
        line("bob", "2024-05-01", product_id="a"),
        line("cy", "2024-05-04", product_id="d", kind="return"),
        line("dan", "2024-05-04", product_id="d"),
    )
    # all of a came back and one of two b; others' returns, and returns without a sale, are their own
    assert found["ann"] == {"b": "rebuy", "c": "rebuy", "d": "popular"}
    assert found["bob"]["a"] == "rebuy"
    assert "d" not in found["cy"]


def test_what_is_like_what_was_looked_at(offered):
    rows = [
        product("lamp", "home", name="red lamp"),
        product("light", "home", name="blue lamp"),
        product("chair", "garden", name="chair"),
        product("ball", "sport", name="ball"),
    ]
    found = offered(*rows, event("ann", "2024-05-30", product_id="lamp", kind="cart_add"), customer("bob"))
    assert found == {"ann": {"lamp": "resembles", "light": "resembles"}, "bob": {}}


def test_what_others_looked_at_too(offered):
    rows = goods(a="x", b="y", c="z")
    views = [
        event("ann", "2024-05-30", product_id="a"),
        *(event("bob", "2024-05-20", product_id=n) for n in "ab"),
    ]
    assert offered(*rows, *views)["ann"] == {"a": "resembles", "b": "resembles"}


def test_a_step_up(offered):
    prices = {"own": 100, "same": 105, "edge": 110, "dearer": 150, "twice": 200, "too dear": 201, "cheap": 50}
    rows = [product(name, "c", category_2="x", list_price=price) for name, price in prices.items()]
    other = [
        product("elsewhere", "c", category_2="y", list_price=150),
        product("unpriced", "c", category_2="x"),
    ]
    found = offered(*rows, *other, line("ann", "2024-05-01", product_id="own"))["ann"]
    assert DEARER == (1.1, 2.0)
    assert {name for name, reason in found.items() if reason == "upgrade"} == {"edge", "dearer", "twice"}
    assert "too dear" not in found


def test_of_the_same_brand_and_new(offered):
    rows = [
        product("own", "c", brand="B"),
        product("other", "d", brand="B"),
        product("unsold", "d", brand="B"),
        product("new", "d", brand="B", launched_at=at("2024-05-20")),
        product("new here", "c", brand="Z", launched_at=at("2024-05-20")),
        product("new elsewhere", "d", brand="Z", launched_at=at("2024-05-20")),
        product("not so new", "c", brand="Z", launched_at=at("2024-04-01")),
        product("not yet", "c", brand="B", launched_at=at("2024-06-02")),
    ]
    found = offered(
        *rows, line("ann", "2024-05-01", product_id="own"), line("bob", "2024-02-01", product_id="other")
    )["ann"]
    assert NEW_DAYS == 60  # 1 April is 61 days ago
    # nobody bought it, and it is not new either
    assert found == {"own": "rebuy", "other": "same_brand", "new": "new_variant", "new here": "new_variant"}


def test_who_is_not_known_gets_what_is_popular(offered):
    rows = [
        line("ann", "2024-05-31", product_id="p"),
        line(None, "2024-05-31", product_id="q"),
        customer("bob"),
    ]
    assert offered(*rows)["bob"] == {"p": "popular", "q": "popular"}


def test_out_of_stock_and_unsuitable_products_are_not_offered(offered):
    found = offered(
        customer("ann", attributes='{"skin_type": "dry"}'),
        customer("bob", attributes='{"skin_type": "oily"}'),
        customer("cy"),
        product("gone", "c"),
        product("for dry skin", "c", attributes='{"skin_type": ["dry"]}'),
        ("stock", {"product_id": "gone", "store_id": "s", "at": at("2024-05-30"), "quantity": 0}),
        *(line("dan", "2024-05-01", product_id=name) for name in ("gone", "for dry skin", "soap")),
        *(line("bob", "2024-05-01", product_id=name) for name in ("gone", "for dry skin")),
    )
    both = {"for dry skin": "popular", "soap": "popular"}
    assert found["ann"] == found["cy"] == both
    # not even again
    assert found["bob"] == {"soap": "complements"}  # dan has both
    assert found["dan"] == dict.fromkeys(both, "rebuy")


def test_what_sells_now_is_popular(tmp_path):
    rows = [line(None, "2024-05-02", product_id="p") for _ in range(3)] + [
        line(None, "2024-05-31", product_id="q") for _ in range(2)
    ]
    known = read_knowledge(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), CUTOFF)
    p, q = 3 * 0.5 ** (30 / POPULAR_HALF_LIFE_DAYS), 2 * 0.5 ** (1 / POPULAR_HALF_LIFE_DAYS)
    assert known.popularity.tolist() == pytest.approx([p / q, 1.0])


def test_a_reason_names_its_best_only(offered):
    rows = [line(None, "2024-05-31", product_id=f"p{n:03}") for n in range(MOST["popular"] + 5)]
    found = offered(*rows, customer("ann"))["ann"]
    assert set(found) == {f"p{n:03}" for n in range(MOST["popular"])}  # all sell alike: by id


@given(st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True), st.integers(1, 30))
def test_a_customers_candidates_do_not_depend_on_the_others(small, rows, cut):
    together = candidates(small, block_of(small, np.array(rows)))
    parts = [candidates(small, block_of(small, np.array(part))) for part in (rows[:cut], rows[cut:]) if part]
    offset = [0, cut]
    for name in ("product", "reason"):
        np.testing.assert_array_equal(
            getattr(together, name), np.concatenate([getattr(p, name) for p in parts])
        )
    customers = np.concatenate([part.customer + shift for part, shift in zip(parts, offset, strict=False)])
    np.testing.assert_array_equal(together.customer, customers)


@pytest.fixture(scope="module")
def small(shop, end):
    """A real-sized shop; its first customers are looked at."""
    return read_knowledge(shop, end - pd.Timedelta(days=60))
