"""What was known of customers and products at an instant, by hand, at the edges of time."""

import numpy as np
import pandas as pd
import pytest

from tests.features.worlds import (
    MICROSECOND,
    at,
    customer,
    event,
    line,
    link,
    product,
    tables_of,
    warehouse_of,
)
from training.products.history import BROWSED_DAYS, History, read_history

CUTOFF = pd.Timestamp("2024-06-01")
BEFORE, AFTER = at("2024-06-01") - MICROSECOND, at("2024-06-01") + MICROSECOND


def stock(product_id, store_id, when, quantity):
    return "stock", {"product_id": product_id, "store_id": store_id, "at": at(when), "quantity": quantity}


@pytest.fixture
def read(tmp_path):
    def of(*rows) -> History:
        return read_history(warehouse_of(tmp_path / "w.duckdb", tables_of(list(rows))), CUTOFF)

    return of


def lines_of(history):
    """(customer or None, order, product, days, units) of each line."""
    lines, names = history.lines, [*history.customers, None]
    columns = (lines.order, history.goods.product_id[lines.product], lines.days, lines.units)
    return [
        (names[who], *rest) for who, *rest in zip(lines.customer, *(c.tolist() for c in columns), strict=True)
    ]


def one_good(history, product_id):
    goods, row = history.goods, history.goods.product_id.tolist().index(product_id)
    return {
        name: getattr(goods, name)[row]
        for name in ("name", "category", "brand", "price", "launched", "sellable")
    }


def test_lines_by_hand(read):
    history = read(
        line("bob", "2024-05-30", 8, order_id="o2", line_id="1", product_id="q", quantity=2),
        line("bob", "2024-05-31", 3, order_id="o2", line_id="2", product_id="p"),
        line("bob", "2024-05-31", 4, order_id="o2", line_id="3", product_id="p", quantity=3),
        line("ann", "2024-05-22", 5, order_id="o3"),
        line("ann", "2024-05-12", 5, order_id="o9"),
        line(None, "2024-05-27", 6, order_id="o1"),
    )
    # an order's lines of a product are one, at the order's time; nobody's first, then by customer and time
    assert lines_of(history) == [
        (None, 0, "p", 5.0, 1.0),
        ("ann", 1, "p", 20.0, 1.0),
        ("ann", 2, "p", 10.0, 1.0),
        ("bob", 3, "p", 2.0, 4.0),
        ("bob", 3, "q", 2.0, 2.0),
    ]
    assert history.span_days == 20.0
    assert history.as_of == CUTOFF


def test_time_is_cut_at_the_instant(read):
    history = read(
        line("ann", BEFORE, product_id="a"),
        line("ann", CUTOFF, product_id="b"),
        line("bob", AFTER, product_id="c"),
        line("cy", BEFORE, product_id="d", known_at=AFTER),
        line("dan", "2024-05-01", product_id="e", known_at=at("2024-06-01")),
        event("eve", CUTOFF, product_id="f"),
        event("fay", BEFORE, product_id="g"),
        customer("gus", registered_at=at("2024-06-01")),
        customer("hal", registered_at=BEFORE),
        product("h", "c", known_at=AFTER),
        product("i", "c", known_at=at("2024-06-01")),
    )
    assert history.customers.tolist() == ["ann", "dan", "fay", "hal"]
    assert history.goods.product_id.tolist() == ["a", "e", "g", "i"]
    assert [one[2] for one in lines_of(history)] == ["a", "e"]


def test_corrections_count_from_when_they_were_known(read):
    history = read(
        line("ann", "2024-05-01", 5, order_id="o", quantity=1),
        line("ann", "2024-05-01", 5, order_id="o", quantity=4, known_at=at("2024-05-20")),
        line("ann", "2024-05-01", 5, order_id="o", quantity=9, known_at=AFTER),
        product("p", "old"),
        product("p", "new", name="P", known_at=AFTER),
    )
    assert [one[4] for one in lines_of(history)] == [4.0]
    assert one_good(history, "p")["name"] == "p"


def test_ids_of_other_sources_and_links(read):
    history = read(
        line("ann", "2024-05-01", source="shop", product_id="p"),
        line("ann", "2024-05-02", product_id="p"),
        line("bob", "2024-05-03", product_id="q"),
        line("cy", "2024-05-04", product_id="q"),
        link("bob", "one", known_at=at("2024-05-31")),
        link("cy", "one", known_at=AFTER),
    )
    assert history.customers.tolist() == ["ann", "cy", "one", "shop:ann"]
    assert history.goods.product_id.tolist() == ["p", "q", "shop|p"]
    assert [(one[0], one[2]) for one in lines_of(history)] == [
        ("ann", "p"), ("cy", "q"), ("one", "q"), ("shop:ann", "shop|p"),
    ]  # fmt: skip


def test_prices_names_and_places(read):
    history = read(
        product("a", "c1", category_2="x", brand="B", list_price=9, name="Lamp"),
        product("b", "c1", brand="A"),
        product("c", None, brand=None, list_price=0),
        line("ann", "2024-05-01", 12, product_id="b", quantity=3),
        line("ann", "2022-05-01", 90, product_id="b", quantity=1),
        line("ann", "2022-05-01", 14, product_id="d", quantity=2),
        line("ann", "2024-05-01", 5, product_id="a"),
    )
    a, b, c, d = (one_good(history, name) for name in "abcd")
    assert (a["name"], a["price"], b["name"], b["price"], d["price"]) == ("Lamp", 9.0, "b", 4.0, 7.0)
    assert np.isnan(c["price"])  # a price of nothing says nothing
    assert a["category"] != b["category"]  # another category_2 is another category
    assert (c["category"], c["brand"], d["category"]) == (-1, -1, -1)
    assert [history.goods.brand_names[one["brand"]] for one in (a, b)] == ["B", "A"]
    assert history.goods.words.tolist()[0].split() == ["lamp", "c1", "x", "b"]


def test_when_products_were_launched(read):
    history = read(
        product("stated", "c", launched_at=at("2024-05-22")),
        product("tomorrow", "c", launched_at=at("2024-06-02")),
        product("now", "c", launched_at=at("2024-06-01")),
        product("silent", "c"),
        line("ann", "2024-01-01", product_id="first"),
        line("ann", "2024-03-30", product_id="too early to tell"),  # 89 days in
        line("ann", "2024-03-31", product_id="later"),
        line("ann", "2024-05-01", product_id="stated"),
    )
    assert one_good(history, "stated")["launched"] == 10.0
    assert one_good(history, "later")["launched"] == 62.0
    assert np.isnan(
        [one_good(history, name)["launched"] for name in ("silent", "first", "too early to tell")]
    ).all()
    sellable = {name for name in history.goods.product_id.tolist() if one_good(history, name)["sellable"]}
    assert sellable == {"stated", "silent", "first", "too early to tell", "later"}


def test_stock_as_last_counted(read):
    history = read(
        *(
            product(name, "c")
            for name in ("gone", "here", "elsewhere", "uncounted", "soon", "sold out later")
        ),
        stock("gone", "s1", "2024-05-01", 5),
        stock("gone", "s1", "2024-05-30", 0),
        stock("here", "s1", "2024-05-01", 0),
        stock("here", "s1", BEFORE, 2),
        stock("elsewhere", "s1", "2024-05-30", 0),
        stock("elsewhere", "s2", "2024-03-01", 1),
        stock("soon", "s1", "2024-05-30", 0),
        stock("soon", "s1", CUTOFF, 9),
        stock("sold out later", "s1", "2024-05-30", 1),
        stock("sold out later", "s1", AFTER, 0),
    )
    sellable = {name for name in history.goods.product_id.tolist() if one_good(history, name)["sellable"]}
    assert sellable == {"here", "elsewhere", "uncounted", "sold out later"}


def test_views_and_returns(read):
    history = read(
        event("ann", "2024-05-30", product_id="p"),
        event("ann", "2024-05-31", product_id="p", kind="cart_add"),
        event("ann", "2024-05-31", product_id="q", kind="favourite"),
        event("ann", "2024-05-31", product_id="q", kind="cart_remove"),
        event("ann", "2024-05-31", kind="view"),
        event("ann", pd.Timestamp(CUTOFF) - pd.Timedelta(days=BROWSED_DAYS + 1), product_id="q"),
        line("ann", "2024-05-01", product_id="q", quantity=3),
        line("ann", "2024-05-02", product_id="q", kind="return", quantity=2),
        line("ann", "2024-05-03", product_id="q", kind="return", quantity="0.5"),
        line("ann", CUTOFF, product_id="q", kind="return"),
    )
    views = history.views
    assert sorted(zip(views.product.tolist(), views.days.tolist(), views.weight.tolist(), strict=True)) == [
        (0, 1.0, 3.0), (0, 2.0, 1.0), (1, 1.0, 2.0),
    ]  # fmt: skip
    assert history.returns.tolist() == [[0.0], [1.0], [2.5]]


def test_attributes_stand_as_they_are(read):
    history = read(
        customer("ann", attributes='{"skin_type": "dry"}'),
        customer("bob"),
        customer("cy", attributes='{"a": 1}', known_at=at("2024-01-01")),
        customer("dan", attributes='{"a": 2}', known_at=at("2024-02-01")),
        link("cy", "one"),
        link("dan", "one"),
        product("p", "c", attributes='{"skin_type": ["dry", "oily"]}'),
        product("q", "c"),
    )
    assert history.customers.tolist() == ["ann", "bob", "one"]
    assert history.attributes.tolist() == ['{"skin_type": "dry"}', None, '{"a": 2}']  # what was known last
    assert history.goods.attributes.tolist() == ['{"skin_type": ["dry", "oily"]}', None]


def test_an_empty_shop(read):
    history = read(customer("ann"))
    assert history.customers.tolist() == ["ann"]
    assert (history.goods.product_id.size, history.lines.order.size, history.span_days) == (0, 0, 0.0)
