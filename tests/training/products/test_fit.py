"""Next products in the made-up shop: better than what is simple, blind to the future, the same from file and in any company."""

import json
import re
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from features.errors import ContractError, InputError, ModelError, TooLittleHistory
from features.load import Arrival
from tests.features.worlds import at, customer, event, line, product, tables_of, warehouse_of
from tests.training.test_panel import loaded, poison, rows_before
from training.products.candidates import REASONS, read_knowledge
from training.products.features import FEATURES
from training.products.fit import PARAMETERS, train_next_products
from training.products.metrics import hits, ndcg_at
from training.products.predict import (
    COLUMNS,
    ProductModel,
    load_product_model,
    next_products,
    ranked_products,
    save_product_model,
)
from training.targets import products_bought

DAY = pd.Timedelta(days=1)
FEW = {**PARAMETERS, "num_boost_round": 25}  # enough to rank by


@pytest.fixture(scope="module")
def as_of(end):
    """There are thirty days after it to look at."""
    return end - 30 * DAY


@pytest.fixture(scope="module")
def model(shop, as_of):
    return train_next_products(shop, as_of, FEW)


@pytest.fixture(scope="module")
def lists(model, shop, as_of):
    return next_products(model, shop, as_of)


def popular_lists(known, customers, most=10):
    days = known.history.lines.days <= 30
    count = np.bincount(known.history.lines.product[days], minlength=len(known.popularity))
    best = np.argsort(-count, kind="stable")[:most]
    return pd.DataFrame(
        {
            "customer_id": np.repeat(customers, most),
            "rank": np.tile(np.arange(1, most + 1), len(customers)),
            "product_id": np.tile(known.history.goods.product_id[best], len(customers)),
        }
    )


def test_better_than_what_is_popular(lists, shop, as_of):
    known = read_knowledge(shop, as_of)
    bought = products_bought(shop, as_of, 30)
    bought = bought[bought["customer_id"].isin(known.history.customers)]
    popular = popular_lists(known, bought["customer_id"].unique())
    ours, theirs = (ndcg_at(*hits(one, bought, 10)) for one in (lists, popular))
    gain = ours - theirs
    assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5
    assert ours.mean() > 1.5 * theirs.mean()


def test_the_form_of_the_lists(lists, shop, as_of):
    assert tuple(lists.columns) == COLUMNS
    known = read_knowledge(shop, as_of)
    assert lists["customer_id"].unique().tolist() == known.history.customers.tolist()
    assert (lists.groupby("customer_id")["rank"].apply(list) == lists.groupby("customer_id").size().map(
        lambda size: list(range(1, size + 1)))).all()  # fmt: skip
    assert not lists.duplicated(["customer_id", "product_id"]).any()
    assert (lists.groupby("customer_id")["score"].diff().dropna() <= 0).all()
    assert set(lists["reason"]) <= set(REASONS)
    ordered = known.history.customers[
        np.unique(known.history.lines.customer[known.history.lines.customer >= 0])
    ]
    assert set(lists.loc[lists["status"] == "ok", "customer_id"]) == set(ordered.tolist())
    assert set(lists["status"]) == {"ok", "no_orders"}


def test_what_was_bought_is_bought_again_and_nothing_else_is(lists, shop, as_of):
    history = read_knowledge(shop, as_of).history
    mine = history.lines.customer >= 0
    bought = set(
        zip(
            history.customers[history.lines.customer[mine]],
            history.goods.product_id[history.lines.product[mine]],
            strict=True,
        )
    )
    pairs = list(zip(lists["customer_id"], lists["product_id"], strict=True))
    assert [pair in bought for pair in pairs] == (lists["reason"] == "rebuy").tolist()


def test_the_future_changes_nothing(model, lists, retailer, as_of, tmp_path):
    """A shop whose every line was corrected, and everybody linked, after the as-of teaches the same model and lists."""
    other = loaded(tmp_path / "shop.duckdb", rows_before(retailer.tables, as_of))
    other.load(poison(retailer, as_of), Arrival("poison", "poison", datetime(2031, 1, 1)))
    again = train_next_products(other, as_of, FEW)
    assert again.trees.model_to_string() == model.trees.model_to_string()
    assert_frame_equal(next_products(again, other, as_of), lists)


def test_alone_or_among_others_from_memory_or_file(model, lists, shop, as_of, tmp_path):
    save_product_model(model, tmp_path / "model")
    read = load_product_model(tmp_path / "model")
    assert read.card == model.card
    some = lists["customer_id"].unique()[[900, 3, 17]].tolist()
    few = next_products(read, shop, as_of, some, most=4)
    assert few["customer_id"].unique().tolist() == some
    for one in some:
        mine, all_of = (
            few[few["customer_id"] == one],
            lists[(lists["customer_id"] == one) & (lists["rank"] <= 4)],
        )
        assert_frame_equal(mine.reset_index(drop=True), all_of.reset_index(drop=True))


def test_the_card(model, as_of, shop):
    card = model.card
    assert card.features == FEATURES == tuple(model.trees.feature_name())
    assert pd.Timestamp(card.cutoffs[-1]) + 30 * DAY == as_of
    assert (card.as_of, card.warehouse_id) == (as_of.isoformat(), shop.settings().warehouse_id)
    assert 0 < card.bought < card.rows
    assert set(card.metrics) == {"forward_customers", "forward_recall_at_10", "forward_ndcg_at_10"}
    assert 0.1 < card.metrics["forward_recall_at_10"] < 1


@pytest.mark.parametrize(
    ("customers", "most", "says"),
    [
        (None, 0, "one place or more, not 0"),
        (["c000001", "nobody", "c000001"], 3, "1 customers stand twice: c000001"),
        (["c000001", "nobody"], 3, "1 of 2 customers are not known at 2024-06-01 00:00:00: nobody; 1,4"),
    ],
)
def test_lists_that_cannot_be_made(model, shop, as_of, customers, most, says):
    with pytest.raises(InputError, match=re.escape(says)):
        next_products(model, shop, as_of, customers, most)


def test_a_model_that_may_not_be_used(model, shop, as_of):
    with pytest.raises(ModelError, match="later than the as-of"):
        next_products(model, shop, as_of - pd.Timedelta(microseconds=1))
    other = ProductModel(model.trees, replace(model.card, warehouse_id="another-1"))
    with pytest.raises(ModelError, match="trained on warehouse another-1, this is"):
        next_products(other, shop, as_of)


def test_files_that_hold_no_model(model, tmp_path):
    with pytest.raises(ModelError, match="holds no model of next products"):
        load_product_model(tmp_path)
    save_product_model(model, tmp_path)
    card = tmp_path / "products_card.json"
    text = card.read_text(encoding="utf-8")
    for broken in ("{", "[]", json.dumps({"horizon_days": 30})):
        card.write_text(broken, encoding="utf-8")
        with pytest.raises(ModelError, match="damaged"):
            load_product_model(tmp_path)
    card.write_text(text.replace('"product_rate"', '"another"'), encoding="utf-8")
    with pytest.raises(ContractError, match="different: another, product_rate"):
        load_product_model(tmp_path)
    card.write_text(text, encoding="utf-8")
    (tmp_path / "products_trees.txt").write_text("no trees", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load_product_model(tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([customer("ann")], "needs 120 days of orders before it .* there is no order"),
        ([line("ann", "2024-02-03"), line("ann", "2024-05-20")], "the first one is at 2024-02-03"),
        ([line("ann", "2024-02-02"), line("ann", "2024-05-20")], r"found 1 customers \(at 1 cutoffs\)"),
    ],
)
def test_too_little_history(tmp_path, rows, says):
    with pytest.raises(TooLittleHistory, match=says):
        train_next_products(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), pd.Timestamp("2024-06-01"))


def test_reasons_in_words(model, tmp_path):
    rows = [
        product("tea", "drinks", name="Green tea", brand="Leaf", list_price=10),
        product("best", "drinks", name="Best tea", brand="Leaf", list_price=15),
        product("oats", "food", name="Oats", brand="Leaf"),
        product("jam", "food", name="Jam", brand="Leaf", launched_at=at("2024-05-20")),
        product("juice", "drinks", name="Juice", brand="Sun", launched_at=at("2024-05-20")),
        product("chair", "garden", name="Chair"),
        product("table", "garden", name="Table"),
        *(line("ann", when, product_id="tea") for when in ("2024-05-01", "2024-05-25")),
        line("ann", "2024-05-31", product_id="spoon"),
        *(line(None, "2024-05-20", order_id="x", line_id=name, product_id=name) for name in ("tea", "cup")),
        *(
            line("bob", when, product_id=name)
            for when, name in (("2024-04-01", "spoon"), ("2024-05-01", "fork"))
        ),
        line(None, "2024-05-20", product_id="oats"),
        line(None, "2024-05-20", product_id="jam"),
        event("ann", "2024-05-30", product_id="chair"),
    ]
    as_of = pd.Timestamp("2024-06-01")
    known = read_knowledge(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), as_of)
    found = ranked_products(model, known, np.array([0]), 50).set_index("product_id")
    assert found["why"].to_dict() == {
        "tea": "bought twice, last 7 days ago",
        "spoon": "bought once, last yesterday",
        "cup": "often bought together with Green tea, bought 7 days ago",
        "fork": "often bought after spoon, bought yesterday",
        "best": "a step up from Green tea, bought 7 days ago",
        "oats": "from Leaf, a brand bought before",
        "jam": "new from Leaf, a brand bought before",
        "juice": "new in a category bought before",
        "chair": "looked at lately, not bought yet",
        "table": "like Chair, looked at lately",
    }
    assert found["because_of"].dropna().to_dict() == {
        "cup": "tea", "fork": "spoon", "best": "tea", "chair": "chair", "table": "chair",
    }  # fmt: skip


def test_who_has_no_history_gets_what_is_popular(model, tmp_path):
    rows = [
        *(line(None, "2024-05-20", product_id=name) for name in ("p", "q")),
        customer("ann"),
        customer("bob"),
    ]
    known = read_knowledge(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), pd.Timestamp("2024-06-01"))
    found = ranked_products(model, known, np.array([1]), 10)
    assert found["customer_id"].tolist() == ["bob", "bob"]
    assert set(found["product_id"]) == {"p", "q"}
    assert set(zip(found["reason"], found["why"], found["status"], strict=True)) == {
        ("popular", "popular now", "no_orders")
    }


def test_nobody_and_nothing(model, tmp_path):
    known = read_knowledge(
        warehouse_of(tmp_path / "w.duckdb", tables_of([customer("ann")])), pd.Timestamp("2024-06-01")
    )
    for rows in (np.array([0]), np.array([], dtype=np.int64)):
        found = ranked_products(model, known, rows, 10)
        assert len(found) == 0
        assert tuple(found.columns) == COLUMNS
