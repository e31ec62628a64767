"""Edge cases with numbers derived by hand. The table is the test: what happened, as of when, what is then known.

The cutoff is Wednesday 2024-06-12, 00:00 UTC, where a case names no other. Its windows begin on 2024-06-05 (7 days),
2024-05-13 (30), 2024-03-14 (90), 2023-12-15 (180) and 2023-06-13 (365, with a leap day in between).
"""

from collections import defaultdict
from dataclasses import dataclass

import pytest

from features.build import build
from features.catalogue import names
from features.tables import TABLES
from tests.features.oracle import World, active_at, everybody, features_of
from tests.features.worlds import (
    at,
    contact,
    customer,
    differing,
    event,
    line,
    link,
    product,
    store,
    tables_of,
    ticket,
    warehouse_of,
)

CUTOFF = "2024-06-12"
JUST_BEFORE_CUTOFF = "2024-06-11T23:59:59.999999"
EDGES = {7: "2024-06-05", 30: "2024-05-13", 90: "2024-03-14", 180: "2023-12-15", 365: "2023-06-13"}
JUST_OUTSIDE = {
    7: "2024-06-04T23:59:59.999999",
    30: "2024-05-12T23:59:59.999999",
    90: "2024-03-13T23:59:59.999999",
    180: "2023-12-14T23:59:59.999999",
    365: "2023-06-12T23:59:59.999999",
}
FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI = "2024-06-07T16:30"
NOBODY_YET = None

IN_WINDOWS = [*(f"_{days}d" for days in EDGES), "_all"]
COUNTED = (
    [
        f"{name}{window}"
        for name in "orders spend units refunds active_days distinct_products distinct_categories".split()
        for window in IN_WINDOWS
    ]
    + "channels_365d active_30d_periods_180d views_30d carts_30d tickets_90d complaints_90d contacts_30d".split()
)
UNDEFINED = [f"{name}{window}" for name in ("aov", "max_order_value") for window in IN_WINDOWS] + (
    "days_since_last_order days_since_first_order gap_mean_days gap_std_days gap_last_days overdue_ratio "
    "discount_share_365d top_category_share_365d online_share_365d weekend_share_365d "
    "days_since_last_event last_csat open_rate_90d click_rate_90d"
).split()


@dataclass(frozen=True)
class Case:
    """What happened to ``ann``, and some of her features as of the cutoff (``NOBODY_YET``: she is not known then)."""

    title: str
    rows: list
    expected: dict | None
    cutoff: str = CUTOFF
    one_id: str = "ann"
    zone: str = "UTC"


def consent(customer_id, when):
    values = {"channel": "email", "purpose": "marketing", "status": "SUBSCRIBED", "at": at(when)}
    return "consents", {"customer_id": customer_id} | values


TIME = [
    Case(
        "an order at the cutoff is the future, a microsecond before it is not",
        [line("ann", CUTOFF, 30), line("ann", JUST_BEFORE_CUTOFF, 20)],
        {
            "orders_all": 1,
            "spend_7d": 20,
            "max_order_value_7d": 20,
            "max_order_value_all": 20,
            "days_since_last_order": 1e-6 / 86400,
            "days_since_first_order": 1e-6 / 86400,
        },
    ),
    *(
        Case(
            f"the {days}-day window holds its first microsecond and not the one before",
            [line("ann", EDGES[days], 10), line("ann", JUST_OUTSIDE[days], 20)],
            {
                f"orders_{days}d": 1,
                f"spend_{days}d": 10,
                f"max_order_value_{days}d": 10,
                "orders_all": 2,
                "spend_all": 30,
            },
        )
        for days in EDGES
    ),
    Case(
        "each window of the family on its own",
        [
            line("ann", EDGES[30], 10, quantity=2),
            line("ann", EDGES[7], 40),
            line("ann", JUST_OUTSIDE[90], 80),
        ],
        {"orders_7d": 1, "orders_30d": 2, "orders_90d": 2, "orders_180d": 3}
        | {"spend_7d": 40, "spend_30d": 50, "aov_30d": 25, "units_30d": 3, "spend_180d": 130}
        | {"max_order_value_7d": 40, "max_order_value_90d": 40, "max_order_value_180d": 80},
    ),
    Case(
        "a leap day counts as a day: noon of 29 February is half a day before March",
        [line("ann", "2024-02-29T12:00")],
        {"days_since_last_order": 0.5, "orders_7d": 1},
        cutoff="2024-03-01",
    ),
    Case(
        "365 days before 28 February 2025 is 29 February 2024",
        [line("ann", "2024-02-29")],
        {"orders_365d": 1, "days_since_last_order": 365},
        cutoff="2025-02-28",
    ),
    Case(
        "365 days before 1 March 2025 is 1 March 2024",
        [line("ann", "2024-02-29T23:59:59.999999")],
        {"orders_365d": 0, "orders_all": 1},
        cutoff="2025-03-01",
    ),
    Case(
        "30-day periods are counted back from the cutoff",
        [
            line("ann", EDGES[30]),
            line("ann", JUST_OUTSIDE[30]),
            line("ann", EDGES[180]),
            line("ann", JUST_OUTSIDE[180]),
        ],
        {"active_30d_periods_180d": 3, "orders_180d": 3},
    ),
]

EMPTY = [
    Case(
        "a customer of whom nothing is known but that she exists: counts are 0, the rest is null",
        [customer("ann")],
        dict.fromkeys(COUNTED, 0) | dict.fromkeys(UNDEFINED),
    ),
    Case(
        "who registers at the cutoff is not known yet",
        [customer("ann", registered_at=at(CUTOFF))],
        NOBODY_YET,
    ),
    Case("a consent alone makes a customer known", [consent("ann", "2024-06-01")], {"orders_all": 0}),
    Case("a consent at the cutoff does not", [consent("ann", CUTOFF)], NOBODY_YET),
    Case(
        "lines without a customer are nobody's",
        [customer("ann"), line(None, "2024-06-01", 10), line("ann", "2024-06-01", 3)],
        {"orders_all": 1, "spend_all": 3},
    ),
]

ORDERS = [
    Case(
        "two orders on one day",
        [line("ann", "2024-06-01T10:00"), line("ann", "2024-06-01T18:00")],
        {
            "orders_30d": 2,
            "active_days_30d": 1,
            "gap_mean_days": 1 / 3,
            "gap_last_days": 1 / 3,
            "gap_std_days": None,
        }
        | {"days_since_last_order": 10.25, "days_since_first_order": 10 + 14 / 24, "overdue_ratio": 30.75},
    ),
    Case(
        "two orders at one instant: a gap of 0 days, of which nothing can be overdue",
        [line("ann", "2024-06-01"), line("ann", "2024-06-01")],
        {
            "orders_all": 2,
            "gap_mean_days": 0,
            "gap_last_days": 0,
            "gap_std_days": None,
            "overdue_ratio": None,
        },
    ),
    Case(
        "gaps of 10 and 20 days: mean 15, standard deviation of the population 5",
        [line("ann", "2024-05-01"), line("ann", "2024-05-11"), line("ann", "2024-05-31")],
        {
            "gap_mean_days": 15,
            "gap_std_days": 5,
            "gap_last_days": 20,
            "days_since_last_order": 12,
            "overdue_ratio": 0.8,
        },
    ),
    Case(
        "equal gaps have no deviation",
        [line("ann", "2024-05-01"), line("ann", "2024-05-11"), line("ann", "2024-05-21")],
        {"gap_std_days": 0, "gap_mean_days": 10},
    ),
    Case(
        "one order: no gap",
        [line("ann", "2024-05-31", 7)],
        {"gap_mean_days": None, "gap_last_days": None, "overdue_ratio": None, "aov_30d": 7, "aov_7d": None},
    ),
    Case(
        "an order stands at its earliest line",
        [
            line("ann", "2024-06-01T12:00", 5, order_id="o", line_id="1"),
            line("ann", "2024-06-01T10:00", 10, order_id="o", line_id="2"),
        ],
        {"orders_all": 1, "spend_all": 15, "max_order_value_all": 15, "days_since_last_order": 10 + 14 / 24},
    ),
    Case(
        "a cutoff between the lines of an order sees the first only",
        [
            line("ann", "2024-06-01T12:00", 5, order_id="o", line_id="1"),
            line("ann", "2024-06-01T10:00", 10, order_id="o", line_id="2"),
        ],
        {"orders_all": 1, "spend_all": 10, "max_order_value_all": 10, "days_since_last_order": 1 / 24},
        cutoff="2024-06-01T11:00",
    ),
    Case(
        "a line at the cutoff is the future, though its order is not",
        [
            line("ann", "2024-06-01T10:00", 10, order_id="o", line_id="1"),
            line("ann", CUTOFF, 5, order_id="o", line_id="2"),
        ],
        {"orders_all": 1, "spend_all": 10, "spend_30d": 10, "max_order_value_30d": 10},
    ),
    Case(
        "a window's edge between the lines of an order: the order is outside, and all its lines with it",
        [
            line("ann", "2024-05-12T23:00", 5, order_id="o", line_id="1"),
            line("ann", "2024-05-13T01:00", 10, order_id="o", line_id="2", product_id="q"),
        ],
        {
            "orders_30d": 0,
            "spend_30d": 0,
            "units_30d": 0,
            "distinct_products_30d": 0,
            "max_order_value_30d": None,
        }
        | {"orders_90d": 1, "spend_90d": 15, "distinct_products_90d": 2},
    ),
    Case(
        "an order's channel is that of its first line",
        [
            line("ann", "2024-06-01T12:00", order_id="o", line_id="1", channel="web"),
            line("ann", "2024-06-01T10:00", order_id="o", line_id="2", channel="store"),
            line("ann", "2024-06-02", channel="app"),
        ],
        {"channels_365d": 2, "online_share_365d": 0.5},
    ),
    Case(
        "of lines at one instant the first by line_id",
        [
            line("ann", "2024-06-01", order_id="o", line_id="2", channel="store"),
            line("ann", "2024-06-01", order_id="o", line_id="1", channel="app"),
        ],
        {"channels_365d": 1, "online_share_365d": 1},
    ),
    Case(
        "the largest order, not the largest line",
        [
            line("ann", "2024-06-01", 10, order_id="o", line_id="1"),
            line("ann", "2024-06-01", 15, order_id="o", line_id="2"),
            line("ann", "2024-06-02", 20),
        ],
        {"max_order_value_30d": 25, "aov_30d": 22.5},
    ),
    Case(
        "quantities have three decimals and amounts two",
        [
            line("ann", "2024-06-01", "0.10", quantity="0.125"),
            line("ann", "2024-06-01", "0.20", quantity="2.5"),
        ],
        {"units_all": 2.625, "spend_all": 0.30},
    ),
    Case(
        "the discount's share of the gross amount, of a year",
        [
            line("ann", "2024-06-01", 75, gross_amount=100, discount_amount=25),
            line("ann", "2024-06-02", 20, gross_amount=20, discount_amount=0),
            line("ann", JUST_OUTSIDE[365], 1, gross_amount=10, discount_amount=9),
        ],
        {"discount_share_365d": 25 / 120},
    ),
    Case(
        "what has no price has no discount",
        [line("ann", "2024-06-01", 0)],
        {"discount_share_365d": None, "aov_30d": 0, "max_order_value_30d": 0, "orders_30d": 1},
    ),
]

RETURNS = [
    Case(
        "a return before its order",
        [
            line("ann", "2024-06-01", 7, kind="return", original_order_id="o"),
            line("ann", "2024-06-05", 10, order_id="o"),
        ],
        {
            "refunds_30d": 7,
            "refunds_7d": 0,
            "orders_30d": 1,
            "spend_30d": 10,
            "units_30d": 1,
            "gap_mean_days": None,
        },
    ),
    Case(
        "a return alone is no order",
        [line("ann", "2024-06-01", 7, kind="return")],
        {
            "refunds_all": 7,
            "orders_all": 0,
            "spend_all": 0,
            "aov_all": None,
            "active_days_all": 0,
            "channels_365d": 0,
        },
    ),
    Case(
        "a return at the cutoff is the future, at the window's edge it counts",
        [
            line("ann", CUTOFF, 7, kind="return"),
            line("ann", EDGES[30], 2, kind="return"),
            line("ann", JUST_OUTSIDE[30], 4, kind="return"),
        ],
        {"refunds_30d": 2, "refunds_all": 6},
    ),
    Case(
        "a return under the order's own id does not move the order",
        [
            line("ann", "2024-05-01", 7, order_id="o", line_id="r", kind="return", channel="store"),
            line("ann", "2024-06-05", 10, order_id="o", line_id="1"),
        ],
        {"days_since_first_order": 7, "online_share_365d": 1, "max_order_value_all": 10, "orders_7d": 1},
    ),
]

PRODUCTS = [
    Case(
        "the largest category's share; lines without category stay in the denominator",
        [
            product("cream", "skincare"),
            product("soap", "skincare"),
            product("comb", "hair"),
            product("box", None),
            line("ann", "2024-06-01", 40, product_id="cream"),
            line("ann", "2024-06-02", 20, product_id="soap"),
            line("ann", "2024-06-03", 30, product_id="comb"),
            line("ann", "2024-06-04", 6, product_id="box"),
            line("ann", "2024-06-04", 4, product_id="unheard of"),
        ],
        {"top_category_share_365d": 0.6, "distinct_categories_30d": 2, "distinct_products_30d": 5},
    ),
    Case(
        "no category at all: no share",
        [line("ann", "2024-06-01", 40)],
        {"top_category_share_365d": None, "distinct_categories_all": 0, "distinct_products_all": 1},
    ),
    Case(
        "a category and nothing paid: no share",
        [product("cream", "skincare"), line("ann", "2024-06-01", 0, product_id="cream")],
        {"top_category_share_365d": None, "distinct_categories_all": 1},
    ),
    Case(
        "free in its category, while the money went to lines without one: 0",
        [
            product("cream", "skincare"),
            line("ann", "2024-06-01", 0, product_id="cream"),
            line("ann", "2024-06-01", 9),
        ],
        {"top_category_share_365d": 0},
    ),
    Case(
        "a product bought again is one product, in each window that holds it",
        [line("ann", JUST_OUTSIDE[30]), line("ann", EDGES[30]), line("ann", EDGES[7])],
        {"distinct_products_7d": 1, "distinct_products_30d": 1, "distinct_products_90d": 1, "units_90d": 3},
    ),
    Case(
        "a category that the business learns of at the cutoff is known",
        [product("cream", "skincare", known_at=at(CUTOFF)), line("ann", "2024-06-01", product_id="cream")],
        {"distinct_categories_all": 1},
    ),
    Case(
        "a microsecond later it is not",
        [
            product("cream", "skincare", known_at=at("2024-06-12T00:00:00.000001")),
            line("ann", "2024-06-01", product_id="cream"),
        ],
        {"distinct_categories_all": 0, "top_category_share_365d": None},
    ),
    *(
        Case(
            f"a product moved between categories on 10 June, as of {cutoff}",
            [
                product("cream", "skincare"),
                product("cream", "gifts", known_at=at("2024-06-10")),
                product("card", "gifts"),
                line("ann", "2024-06-01", 3, product_id="cream"),
                line("ann", "2024-06-02", 1, product_id="card"),
            ],
            expected,
            cutoff=cutoff,
        )
        for cutoff, expected in (
            ("2024-06-09T23:59:59.999999", {"distinct_categories_all": 2, "top_category_share_365d": 0.75}),
            ("2024-06-10", {"distinct_categories_all": 1, "top_category_share_365d": 1}),
        )
    ),
]

LONDON, SHANGHAI = "Europe/London", "Asia/Shanghai"

ZONES = [
    *(
        Case(
            f"Friday evening in London is Saturday in Shanghai: {title}",
            [line("ann", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI, channel="store", store_id="s"), *rows],
            {"weekend_share_365d": share},
        )
        for title, rows, share in (
            ("the customer lives in Shanghai", [customer("ann", timezone=SHANGHAI)], 1),
            ("the customer lives in London", [customer("ann", timezone=LONDON)], 0),
            ("the store stands in Shanghai", [customer("ann"), store("s", SHANGHAI)], 1),
            ("the customer before the store", [customer("ann", timezone=LONDON), store("s", SHANGHAI)], 0),
            ("the warehouse keeps UTC", [customer("ann"), store("s", None)], 0),
            ("the zone became known too late", [store("s", SHANGHAI, known_at=at("2024-06-13"))], 0),
            (
                "she registers at the cutoff",
                [customer("ann", timezone=SHANGHAI, registered_at=at(CUTOFF))],
                0,
            ),
        )
    ),
    Case(
        "a registration ahead of its time, withdrawn before it came: no zone, and the order counts once",
        [
            customer(
                "ann",
                timezone=SHANGHAI,
                known_at=at("2024-06-01"),
                registered_at=at("2024-06-20"),
                superseded_at=at("2024-06-10"),
            ),
            line("ann", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI, 10),
        ],
        {"weekend_share_365d": 0, "spend_all": 10, "units_all": 1, "orders_all": 1},
    ),
    Case(
        "a registration ahead of its time, corrected before it came, and a later move: the order counts once",
        [
            customer("ann", known_at=at("2024-06-01"), registered_at=at("2024-06-11")),
            customer(
                "ann", timezone=SHANGHAI, known_at=at("2024-06-10"), registered_at=at("2024-06-10T12:00")
            ),
            customer("ann", timezone=LONDON, known_at=at("2024-06-15")),
            line("ann", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI, 10),
        ],
        {"weekend_share_365d": 1, "spend_all": 10, "units_all": 1, "orders_all": 1},
    ),
    Case(
        "summer time: Friday 23:30 UTC is Saturday in London in June and not in January",
        [customer("ann", timezone=LONDON), line("ann", "2024-06-07T23:30"), line("ann", "2024-01-05T23:30")],
        {"weekend_share_365d": 0.5},
    ),
    Case(
        "summer time: Sunday 23:30 UTC is Monday in London in June and not in January",
        [customer("ann", timezone=LONDON), line("ann", "2024-06-09T23:30"), line("ann", "2024-01-07T23:30")],
        {"weekend_share_365d": 0.5},
    ),
    *(
        Case(
            f"a move from Shanghai to London, known on 10 June, as of {cutoff}",
            [
                customer("ann", timezone=SHANGHAI),
                customer("ann", timezone=LONDON, known_at=at("2024-06-10")),
                line("ann", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI),
            ],
            {"weekend_share_365d": share},
            cutoff=cutoff,
        )
        for cutoff, share in (("2024-06-09", 1), ("2024-06-10", 0))
    ),
    Case(
        "days with an order are counted in the warehouse's zone, not in the customer's",
        [
            customer("ann", timezone=SHANGHAI),
            line("ann", "2024-06-01T15:30"),
            line("ann", "2024-06-01T16:30"),
        ],
        {"active_days_30d": 1},
    ),
    Case(
        "a warehouse in Shanghai: midnight lies between 15:30 and 16:30 UTC",
        [customer("ann", timezone=LONDON), line("ann", "2024-06-01T15:30"), line("ann", "2024-06-01T16:30")],
        {"active_days_30d": 2},
        zone=SHANGHAI,
    ),
    Case(
        "a warehouse in Shanghai: whoever has no zone lives there",
        [line("ann", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI)],
        {"weekend_share_365d": 1},
        zone=SHANGHAI,
    ),
]

TRACES = [
    Case(
        "views and carts of 30 days; the last event is of any kind and any age",
        [
            event("ann", EDGES[30]),
            event("ann", JUST_OUTSIDE[30]),
            event("ann", "2024-06-01", "cart_add"),
            event("ann", "2024-06-02", "cart_remove"),
            event("ann", CUTOFF, "cart_add"),
        ],
        {"views_30d": 1, "carts_30d": 1, "days_since_last_event": 10, "orders_all": 0},
    ),
    Case("only old events", [event("ann", "2022-06-12")], {"views_30d": 0, "days_since_last_event": 731}),
    Case(
        "tickets by the time they were opened",
        [
            ticket("ann", EDGES[90], "complaint"),
            ticket("ann", JUST_OUTSIDE[90], "complaint"),
            ticket("ann", "2024-06-01"),
            ticket("ann", CUTOFF),
        ],
        {"tickets_90d": 2, "complaints_90d": 1, "last_csat": None},
    ),
    Case(
        "a rating at the cutoff is the future, its ticket is not",
        [
            ticket("ann", "2024-06-01", rated_at=at(CUTOFF), csat=1),
            ticket("ann", "2024-05-01", rated_at=at(JUST_BEFORE_CUTOFF), csat=4),
        ],
        {"last_csat": 4, "tickets_90d": 2},
    ),
    Case(
        "the last rating, not that of the last ticket; however old",
        [
            ticket("ann", "2023-01-01", rated_at=at("2023-03-01"), csat=2),
            ticket("ann", "2023-02-01", rated_at=at("2023-02-02"), csat=5),
        ],
        {"last_csat": 2, "tickets_90d": 0},
    ),
    Case(
        "ratings at one instant: the larger ticket_id",
        [
            ticket("ann", "2024-06-01", ticket_id="t2", rated_at=at("2024-06-02"), csat=3),
            ticket("ann", "2024-06-01", ticket_id="t1", rated_at=at("2024-06-02"), csat=5),
        ],
        {"last_csat": 3},
    ),
    Case(
        "a rating dated before its ticket: the last is the one dated last",
        [
            ticket("ann", "2024-06-05", rated_at=at("2024-06-01"), csat=1),
            ticket("ann", "2024-05-01", rated_at=at("2024-06-03"), csat=5),
        ],
        {"last_csat": 5},
    ),
    Case(
        "a rating that says when and not what, and one that says what and not when",
        [
            ticket("ann", "2024-06-01", rated_at=at("2024-06-03")),
            ticket("ann", "2024-06-01", csat=5),
            ticket("ann", "2024-06-01", rated_at=at("2024-06-02"), csat=1),
        ],
        {"last_csat": 1},
    ),
    Case(
        "contacts opened before, at and after the cutoff, and never",
        [
            contact("ann", "2024-06-01", opened_at=at(JUST_BEFORE_CUTOFF)),
            contact("ann", "2024-06-01", opened_at=at(CUTOFF)),
            contact("ann", "2024-06-01", opened_at=at("2024-06-13"), clicked_at=at("2024-06-13")),
            contact("ann", "2024-06-01", clicked_at=at("2024-06-02")),
        ],
        {"contacts_30d": 4, "open_rate_90d": 0.25, "click_rate_90d": 0.25},
    ),
    Case(
        "sent before the window and opened inside it: neither sent nor opened",
        [
            contact("ann", JUST_OUTSIDE[90], opened_at=at("2024-06-01")),
            contact("ann", EDGES[90], opened_at=at("2024-06-01")),
            contact("ann", "2024-06-01"),
        ],
        {"contacts_30d": 1, "open_rate_90d": 0.5},
    ),
    Case(
        "only that one",
        [contact("ann", JUST_OUTSIDE[90], opened_at=at("2024-06-01"))],
        {"contacts_30d": 0, "open_rate_90d": None, "click_rate_90d": None},
    ),
    Case(
        "what was not delivered, or is no marketing, does not count",
        [
            contact("ann", "2024-06-01", status="undelivered", opened_at=at("2024-06-02")),
            contact("ann", "2024-06-01", purpose="service", opened_at=at("2024-06-02")),
            contact("ann", "2024-06-01", purpose="transactional", clicked_at=at("2024-06-02")),
            contact("ann", "2024-06-01", channel="sms"),
            contact("ann", CUTOFF),
        ],
        {"contacts_30d": 1, "open_rate_90d": 0, "click_rate_90d": 0},
    ),
]

CORRECTED = [
    line("ann", "2024-06-01", 10, order_id="o"),
    line("ann", "2024-06-01", 99, order_id="o", known_at=at("2024-06-10")),
]
MOVED = [
    line("ann", "2024-06-01", 10, order_id="o", known_at=at("2024-06-05")),
    line("bob", "2024-05-01", 10, order_id="o", known_at=at("2024-06-10")),
]
WITHDRAWN = [customer("ann"), line("ann", "2024-06-01", 10, superseded_at=at("2024-06-10"))]

KNOWLEDGE = [
    Case(
        "a row that became known at the cutoff counts",
        [line("ann", "2024-06-01", 10, known_at=at(CUTOFF))],
        {"orders_all": 1},
    ),
    Case(
        "a microsecond later it does not",
        [customer("ann"), line("ann", "2024-06-01", 10, known_at=at("2024-06-12T00:00:00.000001"))],
        {"orders_all": 0, "spend_all": 0, "days_since_last_order": None},
    ),
    Case(
        "it counts at the next cutoff, at its business time",
        [line("ann", "2024-06-01", 10, known_at=at("2024-06-12T00:00:00.000001"))],
        {"orders_all": 1, "days_since_last_order": 12},
        cutoff="2024-06-13",
    ),
    Case(
        "a late line of an order: until it is known the order is worth less",
        [
            line("ann", "2024-06-01T10:00", 10, order_id="o", line_id="1", known_at=at("2024-06-13")),
            line("ann", "2024-06-01T12:00", 5, order_id="o", line_id="2"),
        ],
        {"orders_all": 1, "spend_all": 5, "days_since_last_order": 10.5},
    ),
    *(
        Case(
            f"an amount corrected on 10 June, as of {cutoff}",
            CORRECTED,
            {"spend_all": spend, "orders_all": 1},
            cutoff,
        )
        for cutoff, spend in (("2024-06-09T23:59:59.999999", 10), ("2024-06-10", 99), (CUTOFF, 99))
    ),
    Case("an order not yet known to be anybody's", MOVED, NOBODY_YET, cutoff="2024-06-04"),
    Case(
        "an order thought to be ann's",
        MOVED,
        {"orders_all": 1, "days_since_last_order": 8},
        cutoff="2024-06-09",
    ),
    Case("an order that turned out to be bob's: not ann's", MOVED, NOBODY_YET),
    Case("but bob's", MOVED, {"orders_all": 1, "days_since_last_order": 42}, one_id="bob"),
    Case(
        "a row withdrawn on 10 June, before",
        WITHDRAWN,
        {"orders_all": 1},
        cutoff="2024-06-09T23:59:59.999999",
    ),
    Case("a row withdrawn on 10 June, from then on", WITHDRAWN, {"orders_all": 0}, cutoff="2024-06-10"),
]

TWO_SOURCES = [
    line("ann", "2024-06-01", 10, order_id="o", product_id="p"),
    line("c7", "2024-06-05", 5, order_id="o", product_id="p", source="shop"),
    event("c7", "2024-06-06", source="shop"),
    ticket("c7", "2024-06-06", "complaint", source="shop"),
    contact("c7", "2024-06-06", source="shop", opened_at=at("2024-06-07")),
]
MERGED = [*TWO_SOURCES, link("c7", "ann", source="shop", known_at=at("2024-06-08"))]
SPLIT = [
    *TWO_SOURCES,
    link("c7", "ann", source="shop", known_at=at("2024-06-08"), superseded_at=at("2024-06-10")),
]
THIRD_ID = [*TWO_SOURCES, link("ann", "x1"), link("c7", "x1", source="shop")]
ALONE, SHOP = (
    {"orders_all": 1, "spend_all": 10, "views_30d": 0},
    {"orders_all": 1, "spend_all": 5, "views_30d": 1},
)
TOGETHER = {
    "orders_all": 2,
    "spend_all": 15,
    "gap_mean_days": 4,
    "distinct_products_all": 2,
    "max_order_value_all": 10,
}
TOGETHER |= {"views_30d": 1, "complaints_90d": 1, "open_rate_90d": 1}

LINKS = [
    Case("two sources, not linked yet: ann", MERGED, ALONE, cutoff="2024-06-07T23:59:59.999999"),
    Case("two sources, not linked yet: the other", MERGED, SHOP, "2024-06-07T23:59:59.999999", "shop:c7"),
    Case(
        "linked: one customer; the same ids in two sources are two orders, two products",
        MERGED,
        TOGETHER,
        "2024-06-08",
    ),
    Case("linked: the other is no more", MERGED, NOBODY_YET, one_id="shop:c7"),
    Case("linked for two days, then", SPLIT, TOGETHER, cutoff="2024-06-09T23:59:59.999999"),
    Case("unlinked: ann", SPLIT, ALONE, cutoff="2024-06-10"),
    Case("unlinked: the other", SPLIT, SHOP, cutoff="2024-06-10", one_id="shop:c7"),
    Case("a OneID of its own", THIRD_ID, TOGETHER, one_id="x1"),
    Case("whose members are no customers under their own ids", THIRD_ID, NOBODY_YET),
    Case(
        "each of two merged customers keeps the zone its source knows",
        [
            customer("ann", timezone=LONDON),
            customer("c7", timezone=SHANGHAI, source="shop"),
            line("ann", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI),
            line("c7", FRIDAY_IN_LONDON_SATURDAY_IN_SHANGHAI, source="shop"),
            link("c7", "ann", source="shop"),
        ],
        {"weekend_share_365d": 0.5, "gap_mean_days": 0},
    ),
]

CASES = [*TIME, *EMPTY, *ORDERS, *RETURNS, *PRODUCTS, *ZONES, *TRACES, *KNOWLEDGE, *LINKS]
SOMEBODY_ELSE = line("somebody else", "2019-01-01")  # so that no cutoff lies before the first order


def own(number, one_id):
    """The OneID within the case: all cases live in one world, each with ids of its own."""
    source, _, plain = one_id.rpartition(":")
    return f"{source}:{number}/{plain}" if source else f"{number}/{plain}"


def rows_of_its_own(number, case):
    for table, values in case.rows:
        ids = {column.name for column in TABLES[table].columns if column.type == "id"}
        yield (
            table,
            {name: f"{number}/{value}" if name in ids and value else value for name, value in values.items()},
        )


@pytest.fixture(scope="module")
def worlds():
    """Zone -> tables with the rows of all its cases."""
    rows = defaultdict(lambda: [SOMEBODY_ELSE])
    for number, case in enumerate(CASES):
        rows[case.zone] += rows_of_its_own(number, case)
    return {zone: tables_of(found) for zone, found in rows.items()}


@pytest.fixture(scope="module")
def oracles(worlds):
    return {zone: World(tables, zone=zone) for zone, tables in worlds.items()}


@pytest.fixture(scope="module")
def warehouses(worlds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edges")
    return {
        zone: warehouse_of(folder / f"{number}.duckdb", tables, zone=zone)
        for number, (zone, tables) in enumerate(worlds.items())
    }


def found_in(frame):
    values = frame.astype(object).where(frame.notna(), None)
    return {(row["customer_id"], row["cutoff"]): row for row in values.to_dict("records")}


@pytest.fixture(scope="module")
def built(warehouses):
    """(zone, cutoff or None) -> what was built: all cutoffs in one call under None, and each in a call of its own."""
    cutoffs = defaultdict(set)
    for case in CASES:
        cutoffs[case.zone].add(at(case.cutoff))
    found = {}
    for zone, warehouse in warehouses.items():
        found[zone, None] = found_in(build(warehouse, sorted(cutoffs[zone]), population="all"))
        for cutoff in cutoffs[zone]:
            found[zone, cutoff] = found_in(build(warehouse, [cutoff], population="all"))
    return found


def check(found, case):
    if case.expected is NOBODY_YET:
        assert found is None
    else:
        assert found is not None, "she is not known then"
        assert differing(found, case.expected) == {}


numbered = pytest.mark.parametrize(
    ("number", "case"),
    list(enumerate(CASES)),
    ids=[f"{number}: {case.title}" for number, case in enumerate(CASES)],
)


@numbered
@pytest.mark.parametrize("together", [True, False], ids=["with all cutoffs", "alone"])
def test_what_is_known_of_ann(built, number, case, together):
    cutoff = at(case.cutoff)
    frame = built[case.zone, None if together else cutoff]
    check(frame.get((own(number, case.one_id), cutoff.replace(tzinfo=None))), case)


@numbered
def test_the_oracle_knows_the_same(oracles, number, case):
    world, cutoff, one_id = oracles[case.zone], at(case.cutoff), own(number, case.one_id)
    known = one_id in everybody(world, cutoff)
    check(features_of(world, one_id, cutoff) if known else None, case)


def test_the_names_that_are_fixed_are_there():
    assert set(COUNTED + UNDEFINED) <= set(names())


def test_the_empty_customer_has_nothing_else(built):
    number = CASES.index(EMPTY[0])
    row = built["UTC", at(CUTOFF)][own(number, "ann"), at(CUTOFF).replace(tzinfo=None)]
    assert row.keys() == {"customer_id", "cutoff", *names()}


def test_the_default_population_ordered_in_the_last_365_days(warehouses, oracles):
    frame = build(warehouses["UTC"], [CUTOFF])
    assert frame["customer_id"].tolist() == active_at(oracles["UTC"], at(CUTOFF))
    assert frame["orders_365d"].min() == 1


def test_columns_chosen_are_those_of_the_whole(warehouses):
    chosen = ["overdue_ratio", "spend_30d"]
    frame = build(warehouses["UTC"], [CUTOFF], columns=chosen)
    assert frame.equals(build(warehouses["UTC"], [CUTOFF])[["customer_id", "cutoff", *chosen]])
