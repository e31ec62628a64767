"""Explanations: the value is the one that was built, and the rows are those it was made of."""

import math

import pandas as pd
import pytest

from features import build, explain
from features.catalogue import FACTS, FEATURES
from features.errors import InputError
from tests.features.worlds import at, contact, customer, event, line, product, tables_of, ticket, warehouse_of

CUTOFF = "2024-06-12"
MANY = [
    line("ann", "2024-01-10T08:00", "10", order_id="a", line_id="1", product_id="p", discount_amount=1),
    line("ann", "2024-01-10T09:00", "20", order_id="a", line_id="2", product_id="q"),
    line("ann", "2024-05-20", "30", order_id="b", channel="store", product_id="p"),
    line("ann", "2024-06-12", "99", order_id="at the cutoff"),
    line("ann", "2024-05-21", "5", order_id="r", kind="return"),
    line("ann", "2024-05-22", "7", order_id="late", known_at=at("2024-06-13")),
    line("bob", "2024-05-20", "1000", order_id="c"),
    product("p", "x"),
    product("q", "y"),
    event("ann", "2024-05-30", product_id="p", duration_s=2.5),
    event("ann", "2024-05-31", kind="cart_add"),
    event("ann", "2024-05-01"),
    ticket("ann", "2024-05-01", kind="complaint", rated_at=at("2024-05-02"), csat=2),
    contact("ann", "2024-05-30", opened_at=at("2024-05-31")),
    contact("ann", "2024-05-30", purpose="service"),
    ("feedback", {"customer_id": "ann", "at": at("2024-05-30"), "kind": "review", "rating": 4.5}),
    ("deliveries", {"order_id": "a", "promised_at": at("2024-01-12"), "delivered_at": at("2024-01-13")}),
    customer("cat"),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    return warehouse_of(tmp_path_factory.mktemp("explained") / "w.duckdb", tables_of(MANY))


@pytest.fixture(scope="module")
def built(warehouse):
    columns = [one.name for one in (*FEATURES, *FACTS)]
    return build(warehouse, [CUTOFF], population="all", columns=columns).set_index("customer_id")


def test_the_value_is_the_one_that_was_built(warehouse, built):
    for who, every in (("ann", 5), ("cat", 40)):
        for one in (*FEATURES, *FACTS)[::every]:
            found, expected = explain(warehouse, who, CUTOFF, one.name).value, built.loc[who, one.name]
            if pd.isna(expected):
                assert found is None or math.isnan(found), one.name
            else:
                assert found == expected, one.name


def rows(warehouse, name, column):
    found = explain(warehouse, "ann", CUTOFF, name).rows
    return [(str(time), value) for time, value in zip(found["time"].dt.date, found[column], strict=True)]


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("spend_all", "net", [("2024-01-10", 10.0), ("2024-01-10", 20.0), ("2024-05-20", 30.0)]),
        ("orders_30d", "order_id", [("2024-05-20", "main|b")]),
        ("refunds_30d", "net", [("2024-05-21", 5.0)]),
        ("views_30d", "duration", [("2024-05-30", 2.5)]),
        (
            "days_since_last_event",
            "kind",
            [("2024-05-01", "view"), ("2024-05-30", "view"), ("2024-05-31", "cart_add")],
        ),
        ("days_since_last_store_order", "order_id", [("2024-05-20", "main|b")]),
        ("last_csat", "csat", [("2024-05-02", 2.0)]),
        ("open_rate_90d", "purpose", [("2024-05-30", "marketing")]),
        ("last_review_rating", "rating", [("2024-05-30", 4.5)]),
        ("late_delivery_share_365d", "late_at", [("2024-01-10", pd.Timestamp("2024-01-12"))]),
    ],
)
def test_the_rows_are_those_it_was_made_of(warehouse, name, column, expected):
    assert rows(warehouse, name, column) == expected


def test_a_ratio_shows_the_rows_of_its_parts(warehouse):
    found = explain(warehouse, "ann", CUTOFF, "refund_share_365d")
    assert found.value == pytest.approx(5 / 60)
    assert found.rows.groupby("feature")["net"].sum().to_dict() == {"refunds_365d": 5.0, "spend_365d": 60.0}
    assert found.meaning == "refunds / spend, last 365 days"


def test_what_the_cutoff_alone_tells_has_no_rows(warehouse):
    assert explain(warehouse, "ann", CUTOFF, "season_sin").rows.empty
    assert math.isnan(explain(warehouse, "ann", CUTOFF, "base_season_30d").value)


def test_who_and_what_is_not_there(warehouse):
    with pytest.raises(InputError, match="no feature is called 'spend_31d'"):
        explain(warehouse, "ann", CUTOFF, "spend_31d")
    with pytest.raises(InputError, match="nothing is known of customer 'dan' at 2024-06-12"):
        explain(warehouse, "dan", CUTOFF, "spend_30d")
    with pytest.raises(InputError, match="nothing is known of customer 'bob' at 2024-05-20"):
        explain(warehouse, "bob", "2024-05-20", "spend_30d")
    with pytest.raises(InputError, match="'; DROP"):
        explain(warehouse, "'; DROP TABLE order_lines", CUTOFF, "spend_30d")
