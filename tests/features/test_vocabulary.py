"""Each operation of the vocabulary at its edges, by numbers derived by hand. The table is the test.

The cutoff is Wednesday 2024-06-12, 00:00 UTC, where a case names no other; ``ago(30)`` is 30 days before it, and
``ago(30, -1)`` a microsecond before that. What happened, to ``ann``, and what is then known of her.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

import pytest

from features.build import build
from features.catalogue import FEATURES
from features.context import BASE_SEASONS
from features.tables import TABLES
from tests.features.oracle import World, base_season, everybody, features_of
from tests.features.worlds import (
    MICROSECOND,
    at,
    columns_of,
    contact,
    customer,
    delivery,
    differing,
    event,
    feedback,
    line,
    link,
    memory,
    product,
    put,
    store,
    tables_of,
    ticket,
    values_of,
    warehouse_of,
)

CUTOFF = at("2024-06-12")
LONDON, SHANGHAI = "Europe/London", "Asia/Shanghai"


def ago(days, microseconds=0):
    """A time before the cutoff, and so many microseconds after that."""
    return CUTOFF - timedelta(days=days) + microseconds * MICROSECOND


BEFORE = ago(0, -1)


@dataclass(frozen=True)
class Case:
    """What happened to ``ann``, and some of her features as of the cutoff."""

    title: str
    rows: list
    expected: dict
    cutoff: object = CUTOFF
    one_id: str = "ann"
    zone: str = "UTC"


def order(when, *lines_, name="o", who="ann", **more):
    """An order of several lines, each a net amount, or what differs from that."""
    for number, values in enumerate(lines_, start=1):
        own = values if isinstance(values, dict) else {"net": values}
        yield line(who, **{"paid_at": when, "order_id": name, "line_id": f"{number}", **more, **own})


def spent(*pairs):
    """Lines of one order in which these categories cost so much; the brand is the category's in capitals."""
    for number, (category, amount) in enumerate(pairs):
        yield product(f"p{number}", category, brand=category and category.upper())
        yield line("ann", ago(3), amount, order_id="o", line_id=str(number), product_id=f"p{number}")


# fmt: off
WINDOWS = [
    Case(f"{days} days with their first microsecond and without the one before",
         [product("p", "x"), product("q", "x"), line("ann", ago(days), 10, quantity=2), line("ann", ago(days, 1), 20, product_id="q"),
          line("ann", ago(days, -1), 70, product_id="r"), line("ann", ago(days), 4, kind="return"), line("ann", ago(days, -1), 8, kind="return"),
          line("ann", CUTOFF, 1000), line("ann", CUTOFF, 1000, kind="return")],
         {f"orders_{days}d": 2, f"spend_{days}d": 30, f"units_{days}d": 3, f"refunds_{days}d": 4, f"active_days_{days}d": 1,
          f"aov_{days}d": 15, f"max_order_value_{days}d": 20, f"distinct_products_{days}d": 2, f"distinct_categories_{days}d": 1,
          "orders_all": 3, "spend_all": 100, "units_all": 4, "refunds_all": 12, "active_days_all": 2, "aov_all": 100 / 3,
          "max_order_value_all": 70, "distinct_products_all": 3, "distinct_categories_all": 1})
    for days in (7, 30, 90, 180, 365)
] + [
    Case("periods of 30 days, weekends and shops", [line("ann", ago(180)), line("ann", ago(150, -1), channel="store"), line("ann", ago(150)),
                                                    line("ann", "2024-06-08", channel="store"), ticket("ann", ago(90)), contact("ann", ago(30))],
         # 15 December and 13 and 14 January are Friday, Saturday and Sunday
         {"active_30d_periods_180d": 3, "weekend_share_365d": 3 / 4, "online_share_365d": 0.5, "days_since_first_order": 180,
          "tickets_90d": 1, "contacts_30d": 1}),
]

PURCHASES = [
    # (10 + 20 + 60) / 3 = 30; deviations -20, -10, 30: squares 400 + 100 + 900 = 1400
    Case("values 10, 20 and 60: mean 30, variance 1400 / 3", [line("ann", ago(9), 10), line("ann", ago(5), 60), line("ann", ago(1), 20)],
         {"min_order_value_365d": 10, "order_value_std_365d": math.sqrt(1400 / 3), "order_value_cv_365d": math.sqrt(1400 / 3) / 30,
          "first_order_value": 10, "last_order_value": 20, "last_order_value_ratio": 2 / 3}),
    Case("one order deviates from nothing", [line("ann", ago(9), 7)],
         {"min_order_value_365d": 7, "order_value_std_365d": None, "order_value_cv_365d": None, "last_order_value_ratio": 1}),
    Case("two of the same value do not deviate", [line("ann", ago(9), 7), line("ann", ago(8), 7)],
         {"order_value_std_365d": 0, "order_value_cv_365d": 0}),
    # cents 1000, 1001, 1003: deviations -4/3, -1/3, 5/3, variance 42 / 9 / 3 = 14 / 9
    *(Case(f"an order of long ago of {value} changes nothing",
           [line("ann", ago(900), value), *(line("ann", ago(n), net) for n, net in ((9, 10), (8, "10.01"), (7, "10.03")))],
           {"order_value_std_365d": math.sqrt(14) / 300}) for value in (100, 5_000, 100_000, 5_000_000)),
    Case("nor where all others are alike", [line("ann", ago(900), 5_000_000), *(line("ann", ago(n), 10) for n in (9, 8, 7))],
         {"order_value_std_365d": 0, "order_value_cv_365d": 0}),
    Case("three that cents divide badly do not deviate either", [line("ann", ago(n), "2.55") for n in (1, 2, 3)],
         {"order_value_std_365d": 0, "order_value_cv_365d": 0}),
    Case("the year holds its first microsecond and not the one before: one value, no deviation",
         [line("ann", ago(365), 10), line("ann", ago(365, -1), 1)],
         {"min_order_value_365d": 10, "order_value_std_365d": None, "first_order_value": 1, "last_order_value_ratio": 10 / 5.5}),
    Case("a value at the cutoff is the future's", [line("ann", CUTOFF, 1), line("ann", BEFORE, 5)],
         {"min_order_value_365d": 5, "last_order_value": 5, "first_order_value": 5}),
    Case("nothing was paid: no deviation in units of the mean, no ratio", [line("ann", ago(9), 0), line("ann", ago(8), 0)],
         {"order_value_std_365d": 0, "order_value_cv_365d": None, "last_order_value": 0, "last_order_value_ratio": None,
          "min_order_value_365d": 0}),
    Case("the smallest order, not the smallest line", [*order(ago(2), 4, 5), line("ann", ago(1), 6)], {"min_order_value_365d": 6}),
    Case("of orders at one instant the larger is the first, and the last",
         [line("ann", ago(9), 5), line("ann", ago(9), 8)],
         {"first_order_value": 8, "last_order_value": 8, "last_order_value_ratio": 8 / 6.5}),
    Case("the order of the last line need not be the last order",  # o began first, and is worth 3 + 9
         [*order(ago(5), 3, {"net": 9, "paid_at": ago(1)}), line("ann", ago(3), 4)],
         {"last_order_value": 4, "first_order_value": 12}),
    Case("net spend goes below 0; a return counts when it came back",
         [line("ann", ago(91), 100), line("ann", ago(5), 10), line("ann", ago(4), 25, kind="return")],
         {"net_spend_90d": -15, "net_spend_365d": 85, "net_spend_all": 85}),
    Case("a return a microsecond too old for 90 days, and for a year",
         [line("ann", ago(5), 10), line("ann", ago(90, -1), 3, kind="return"), line("ann", ago(365, -1), 4, kind="return")],
         {"net_spend_90d": 10, "net_spend_365d": 7, "net_spend_all": 3}),
    Case("what came back is what was spent", [line("ann", ago(5), "10.10"), line("ann", ago(4), "10.10", kind="return")],
         {"net_spend_90d": 0, "net_spend_all": 0, "refund_share_all": 1}),
    Case("of whom nothing is known nothing was spent", [customer("ann")],
         {"net_spend_90d": 0, "net_spend_365d": 0, "net_spend_all": 0, "first_order_value": None, "last_order_value": None,
          "min_order_value_365d": None, "last_order_value_ratio": None}),
]

_SEVENTHS = [1 / 7, 2 / 7, 3 / 7, 1 / 7]
RHYTHM = [
    # gaps 10, 20, 30, mean 20, deviations -10, 0, 10: variance 200 / 3; the open gap is 10, in all 70
    Case("gaps of 10, 20 and 30 days, silent for 10", [line("ann", ago(n)) for n in (70, 60, 40, 10)],
         {"gap_mean_days": 20, "gap_std_days": math.sqrt(200 / 3), "gap_cv": math.sqrt(200 / 3) / 20, "gap_min_days": 10,
          "gap_max_days": 30, "gap_last_days": 30, "gap_last_ratio": 1.5, "overdue_ratio": 0.5, "silence_ratio": 1 / 3,
          "gap_clumpiness": 1 + sum(x * math.log(x) for x in _SEVENTHS) / math.log(4), "gaps": 3}),
    Case("as silent as ever: no clumps", [line("ann", ago(n)) for n in (30, 20, 10)],
         {"gap_clumpiness": 0, "gap_cv": 0, "gap_min_days": 10, "gap_max_days": 10, "silence_ratio": 1, "gap_last_ratio": 1}),
    Case("gaps of 1 and 9 days, silent for 0", [line("ann", ago(10)), line("ann", ago(9)), line("ann", BEFORE)],
         {"gap_min_days": 1, "gap_max_days": 9 - 1e-6 / 86400, "silence_ratio": 1e-6 / 86400 / (9 - 1e-6 / 86400)}),
    Case("all at one instant: in one clump, and no gap to be measured by", [line("ann", ago(5)), line("ann", ago(5))],
         {"gap_clumpiness": 1, "gap_min_days": 0, "gap_max_days": 0, "gap_cv": None, "gap_last_ratio": None, "silence_ratio": None,
          "overdue_ratio": None, "gaps": 1}),
    Case("three at one instant", [line("ann", ago(5)) for _ in range(3)],
         {"gap_clumpiness": 1, "gap_std_days": 0, "gap_cv": None, "gap_mean_days": 0, "gaps": 2}),
    Case("two at once, and one 4 days later: gaps 0 and 4, silent for 4",  # shares 0, 1/2, 1/2 of 8 days, n = 3
         [line("ann", ago(8)), line("ann", ago(8)), line("ann", ago(4))],
         {"gap_clumpiness": 1 - math.log(2) / math.log(3), "gap_min_days": 0, "gap_max_days": 4, "gap_mean_days": 2,
          "gap_std_days": 2, "gap_cv": 1, "gap_last_ratio": 2}),
    Case("a microsecond is a gap", [line("ann", ago(5)), line("ann", ago(5, 1))],
         {"gap_min_days": 1e-6 / 86400, "gap_max_days": 1e-6 / 86400, "gap_last_ratio": 1}),
    Case("one order has no rhythm", [line("ann", ago(5))],
         dict.fromkeys("gap_clumpiness gap_min_days gap_max_days gap_cv gap_last_ratio silence_ratio gap_last_days".split())
         | {"gaps": 0, "days_since_last_order": 5}),
    Case("two: the gaps do not deviate yet", [line("ann", ago(9)), line("ann", ago(5))], {"gap_std_days": None, "gap_cv": None}),
    Case("an order of several lines has no gap within", [*order(ago(9), 1, {"net": 1, "paid_at": ago(2)}), line("ann", ago(5))],
         {"gaps": 1, "gap_max_days": 4, "gap_min_days": 4, "days_since_last_order": 5}),
    Case("what happens at the cutoff ends no gap", [line("ann", ago(9)), line("ann", ago(5)), line("ann", CUTOFF)],
         {"gaps": 1, "gap_max_days": 4, "gap_last_days": 4}),
]


def renewed(gap_microseconds, *, days):
    """Silent for 10 days, after a gap of so many days and microseconds."""
    return [line("ann", ago(10 + days, -gap_microseconds)), line("ann", ago(10))]


RENEWAL = [
    Case("a gap equal to the silence is no longer one", renewed(0, days=10),
         {"gaps": 1, "longer_gaps": 0, "longer_gaps_share": 0, "renewal_share_7d": None, "renewal_share_90d": None}),
    Case("a microsecond longer is", renewed(1, days=10),
         {"longer_gaps": 1, "longer_gaps_share": 1, "renewal_share_7d": 1, "renewal_share_90d": 1}),
    Case("a microsecond shorter is not", renewed(-1, days=10), {"longer_gaps": 0, "longer_gaps_share": 0, "renewal_share_7d": None}),
    *(Case(f"a gap longer by {days} days {'and a microsecond' if extra else ''}", renewed(extra, days=10 + days),
           {f"renewal_share_{days}d": 1 - extra, "longer_gaps": 1})
      for days in (7, 14, 30, 90) for extra in (0, 1)),
    # silent for 10 days; gaps of 60, 20, 12 and 5
    Case("three of four gaps were longer; they lasted 2, 10 and 50 days more", [line("ann", ago(n)) for n in (107, 47, 27, 15, 10)],
         {"gaps": 4, "longer_gaps": 3, "longer_gaps_share": 0.75, "renewal_share_7d": 1 / 3, "renewal_share_14d": 2 / 3,
          "renewal_share_30d": 2 / 3, "renewal_share_90d": 1}),
    Case("one order: there is no gap to go by", [line("ann", ago(10))],
         {"gaps": 0, "longer_gaps": 0, "longer_gaps_share": None, "renewal_share_7d": None}),
    Case("two at once are a gap of 0", [line("ann", ago(10)), line("ann", ago(10))],
         {"gaps": 1, "longer_gaps": 0, "longer_gaps_share": 0, "renewal_share_30d": None}),
    Case("nobody", [customer("ann")], {"gaps": 0, "longer_gaps": 0, "longer_gaps_share": None, "renewal_share_7d": None}),
]

NINE_DAYS_14_HOURS = 9 + 14 / 24
BTYD = [
    # days 1, 4 and 11 June: ln 3 + ln 7; 30 + 40 on two days after the first
    Case("three purchase days, two orders on the first",
         [line("ann", "2024-06-01T10:00", 10), line("ann", "2024-06-01T18:00", 20), line("ann", "2024-06-04T09:00", 30),
          line("ann", "2024-06-11", 40)],
         {"btyd_frequency": 2, "btyd_recency_days": NINE_DAYS_14_HOURS, "btyd_age_days": NINE_DAYS_14_HOURS + 1,
          "btyd_litt": math.log(21), "btyd_monetary": 35}),
    Case("two orders on one day are one purchase", [line("ann", "2024-06-01T10:00", 10), line("ann", "2024-06-01T16:00", 20)],
         {"btyd_frequency": 0, "btyd_recency_days": 0.25, "btyd_litt": 0, "btyd_monetary": None}),
    Case("two orders on a later day are one, too", [line("ann", ago(9), 10), line("ann", ago(5), 1), line("ann", ago(5), 2)],
         {"btyd_frequency": 1, "btyd_monetary": 3, "btyd_litt": math.log(4)}),
    Case("one day after the other: ln 1", [line("ann", ago(9), 10), line("ann", ago(8), 20)],
         {"btyd_frequency": 1, "btyd_litt": 0, "btyd_monetary": 20, "btyd_recency_days": 1}),
    Case("a microsecond before midnight and midnight are two days", [line("ann", ago(9, -1), 10), line("ann", ago(9), 20)],
         {"btyd_frequency": 1, "btyd_litt": 0, "btyd_monetary": 20, "btyd_recency_days": 1e-6 / 86400}),
    Case("one order", [line("ann", ago(9), 10)],
         {"btyd_frequency": 0, "btyd_recency_days": 0, "btyd_age_days": 9, "btyd_litt": 0, "btyd_monetary": None}),
    Case("no order", [customer("ann")],
         {"btyd_frequency": 0, "btyd_recency_days": None, "btyd_age_days": None, "btyd_litt": 0, "btyd_monetary": None}),
    Case("bought again for nothing", [line("ann", ago(9), 10), line("ann", ago(5), 0)], {"btyd_monetary": 0, "btyd_frequency": 1}),
    *(Case(f"from 28 February to 1 March {year} it is {days}", [line("ann", f"{year}-02-28"), line("ann", f"{year}-03-01")],
           {"btyd_litt": math.log(days), "btyd_frequency": 1}) for year, days in ((2023, 1), (2024, 2))),
    Case("an order's day is that of its first line, and its whole value of that day",
         [*order("2024-06-01T23:00", 5, {"net": 6, "paid_at": at("2024-06-02T01:00")}), line("ann", "2024-06-02T02:00", 8)],
         {"btyd_frequency": 1, "btyd_monetary": 8}),
    Case("days are counted in the warehouse's zone, not in the customer's",
         [customer("ann", timezone=SHANGHAI), line("ann", "2024-06-01T15:30"), line("ann", "2024-06-01T16:30")],
         {"btyd_frequency": 0, "btyd_monetary": None}),
    Case("a warehouse in Shanghai: midnight lies between 15:30 and 16:30 UTC",
         [customer("ann", timezone=LONDON), line("ann", "2024-06-01T15:30"), line("ann", "2024-06-01T16:30", 4)],
         {"btyd_frequency": 1, "btyd_monetary": 4, "btyd_litt": 0}, zone=SHANGHAI),
    Case("a warehouse in London on the night of summer time: 30 and 31 March and 1 April",
         [line("ann", "2024-03-30T23:30"), line("ann", "2024-03-31T22:30"), line("ann", "2024-03-31T23:30")],
         {"btyd_frequency": 2, "btyd_litt": 0}, zone=LONDON),
]

CHANGES = [
    *(Case(f"{days} days against the {days} before, each with its first microsecond",
           [line("ann", ago(days), 10), line("ann", ago(days, -1), 20), line("ann", ago(2 * days), 40),
            line("ann", ago(2 * days, -1), 80), line("ann", CUTOFF, 1000)],
           {f"orders_change_{days}d": 1 - 2, f"spend_change_{days}d": 10 - 60}) for days in (30, 90, 180)),
    Case("views only", [event("ann", ago(30)), event("ann", ago(30, -1)), event("ann", ago(60)), event("ann", ago(60, -1)),
                        event("ann", ago(5), "search"), event("ann", CUTOFF)], {"views_change_30d": -1}),
    Case("more than before", [event("ann", BEFORE), event("ann", ago(1)), event("ann", ago(31))], {"views_change_30d": 1}),
    Case("an order across the edge is on one side with all its lines",
         [*order(ago(30, -1), 5, {"net": 6, "paid_at": ago(29)})], {"spend_change_30d": -11, "orders_change_30d": -1}),
    Case("nothing has not changed", [customer("ann")],
         {"orders_change_30d": 0, "spend_change_180d": 0, "views_change_30d": 0, "recent_orders_share": None,
          "recent_spend_share": None, "recent_aov_ratio": None}),
    # 20 of 100, 1 order of 4, 20 against a mean of 25
    Case("the last 90 days of the year", [line("ann", ago(90), 20), line("ann", ago(90, -1), 10), line("ann", ago(200), 40),
                                          line("ann", ago(365), 30), line("ann", ago(365, -1), 99)],
         {"recent_orders_share": 0.25, "recent_spend_share": 0.2, "recent_aov_ratio": 0.8}),
    Case("nothing lately", [line("ann", ago(100), 20)],
         {"recent_orders_share": 0, "recent_spend_share": 0, "recent_aov_ratio": None}),
    Case("nothing was paid", [line("ann", ago(9), 0)],
         {"recent_orders_share": 1, "recent_spend_share": None, "recent_aov_ratio": None}),
]

# 12 weeks: x = -5.5, -4.5, ..., 5.5 about their mean, sum of squares 143; y in one week alone: slope x y / 143
SLOPES = [
    *(Case(f"one order, {title}", [customer("ann"), line("ann", when, 143)], {"orders_slope_84d": x / 143, "spend_slope_84d": x})
      for title, when, x in (
          ("a microsecond ago: the latest week", BEFORE, 5.5), ("7 days ago: the latest still", ago(7), 5.5),
          ("a microsecond more: the week before", ago(7, -1), 4.5), ("42 days ago", ago(42), 0.5), ("and a microsecond", ago(42, -1), -0.5),
          ("77 days and a microsecond: the first", ago(77, -1), -5.5), ("84 days: still the first", ago(84), -5.5),
          ("a microsecond more: none", ago(84, -1), 0), ("at the cutoff: none", CUTOFF, 0))),
    Case("one a week: no slope", [line("ann", ago(7 * n + 3), 10) for n in range(12)], {"orders_slope_84d": 0, "spend_slope_84d": 0}),
    Case("1 more each week", [line("ann", ago(7 * n + 3), 12 - n) for n in range(12)], {"spend_slope_84d": 1, "orders_slope_84d": 0}),
    Case("13 now and 26 eleven weeks ago: -13 x 5.5 / 143", [line("ann", ago(1), 13), line("ann", ago(80), 26)],
         {"spend_slope_84d": -0.5, "orders_slope_84d": 0}),
    Case("a line counts in its order's week", [*order(ago(8), 100, {"net": 43, "paid_at": ago(6)})],
         {"spend_slope_84d": 4.5, "orders_slope_84d": 4.5 / 143}),
    Case("what came back is no spend", [line("ann", ago(1), 143, kind="return")], {"spend_slope_84d": 0, "orders_slope_84d": 0}),
    Case("events of any kind", [event("ann", ago(7)), event("ann", ago(7), "search"), event("ann", ago(84)), event("ann", ago(84, -1))],
         {"events_slope_84d": (5.5 * 2 - 5.5) / 143}),
    Case("weeks are counted back from the cutoff, to the microsecond", [line("ann", "2024-06-05T15:00", 143)], {"spend_slope_84d": 5.5},
         cutoff=at("2024-06-12T15:00")),
    Case("and with the cutoff a microsecond later they move", [line("ann", "2024-06-05T15:00", 143)], {"spend_slope_84d": 4.5},
         cutoff=at("2024-06-12T15:00:00.000001")),
]

BASKET = [
    # 2 and 1 lines; quantities 2 + 3 and 0.5; 10 + 20 + 8 = 38
    Case("two orders", [*order(ago(9), {"net": 10, "quantity": 2}, {"net": 20, "quantity": 3, "product_id": "q"}),
                        line("ann", ago(8), 8, quantity="0.5")],
         {"lines_per_order_365d": 1.5, "units_per_order_365d": 2.75, "products_per_order_365d": 1, "unit_price_365d": 38 / 5.5,
          "single_line_share_365d": 0.5, "max_order_units_365d": 5, "last_order_lines": 1, "last_order_units": 0.5}),
    Case("two lines with one product", [*order(ago(9), 1, 1)],
         {"lines_per_order_365d": 2, "products_per_order_365d": 1, "single_line_share_365d": 0, "last_order_units": 2}),
    Case("of two orders at one instant the most lines of the one and the most units of the other",
         [*order(ago(9), 1, 1), line("ann", ago(9), quantity=9)], {"last_order_lines": 2, "last_order_units": 9}),
    Case("a line at the cutoff is not in the basket yet", [*order(ago(9), 1, {"net": 1, "paid_at": CUTOFF})],
         {"lines_per_order_365d": 1, "single_line_share_365d": 1, "last_order_lines": 1, "last_order_units": 1}),
    Case("an order a microsecond too old, with a line inside the year",
         [*order(ago(365, -1), 1, {"net": 1, "paid_at": ago(364), "quantity": 7})],
         {"lines_per_order_365d": None, "units_per_order_365d": None, "products_per_order_365d": None, "unit_price_365d": None,
          "single_line_share_365d": None, "max_order_units_365d": None, "last_order_lines": 2, "last_order_units": 8}),
    Case("the year's first microsecond", [*order(ago(365), 1, 1)], {"lines_per_order_365d": 2, "max_order_units_365d": 2}),
    Case("what came back was in no basket", [line("ann", ago(9), 5), line("ann", ago(8), 5, kind="return", order_id="r", quantity=9)],
         {"lines_per_order_365d": 1, "max_order_units_365d": 1, "last_order_units": 1, "unit_price_365d": 5}),
    Case("free of charge", [line("ann", ago(9), 0, quantity=4)], {"unit_price_365d": 0, "units_per_order_365d": 4}),
]

_ABC = (50 / 95, 30 / 95, 15 / 95)
BREADTH = [
    # of 100 in all 95 have a category: 2500 + 900 + 225 = 3625
    Case("three categories and none", [*spent(("x", 50), ("y", 30), ("z", 15), (None, 5))],
         {"top_category_share_365d": 0.5, "top2_category_share_365d": 0.8, "category_hhi_365d": 3625 / 9025,
          "category_entropy_365d": -sum(share * math.log(share) for share in _ABC), "distinct_brands_365d": 3,
          "top_brand_share_365d": 0.5, "brand_hhi_365d": 3625 / 9025}),
    Case("one category alone is the largest two", [*spent(("x", 30), (None, 10))],
         {"top_category_share_365d": 0.75, "top2_category_share_365d": 0.75, "category_hhi_365d": 1, "category_entropy_365d": 0,
          "distinct_brands_365d": 1, "top_brand_share_365d": 0.75, "brand_hhi_365d": 1}),
    Case("two alike", [*spent(("x", 10), ("y", 10))],
         {"top_category_share_365d": 0.5, "top2_category_share_365d": 1, "category_hhi_365d": 0.5, "category_entropy_365d": math.log(2)}),
    Case("a category given away has no share", [*spent(("x", 10), ("y", 0))],
         {"top2_category_share_365d": 1, "category_hhi_365d": 1, "category_entropy_365d": 0, "distinct_categories_365d": 2,
          "distinct_brands_365d": 2, "brand_hhi_365d": 1}),
    Case("all was given away", [*spent(("x", 0), ("y", 0))],
         {"top_category_share_365d": None, "top2_category_share_365d": None, "category_hhi_365d": None, "category_entropy_365d": None,
          "top_brand_share_365d": None, "brand_hhi_365d": None, "distinct_brands_365d": 2}),
    Case("what has a category was given away, the rest was paid", [*spent(("x", 0), (None, 9))],
         {"top_category_share_365d": 0, "top2_category_share_365d": 0, "category_hhi_365d": None, "category_entropy_365d": None,
          "top_brand_share_365d": 0, "brand_hhi_365d": None}),
    Case("nothing has a category", [*spent((None, 9))],
         {"top_category_share_365d": None, "top2_category_share_365d": None, "category_hhi_365d": None, "category_entropy_365d": None,
          "distinct_brands_365d": 0, "top_brand_share_365d": None, "brand_hhi_365d": None}),
    Case("two products of one category are one group, of two brands two",
         [product("p", "x", brand="b"), product("q", "x", brand="c"), line("ann", ago(9), 3), line("ann", ago(8), 1, product_id="q")],
         {"category_hhi_365d": 1, "brand_hhi_365d": 0.625, "top_brand_share_365d": 0.75, "category_entropy_365d": 0}),
    Case("a brand has one name in every source",
         [product("p", "x", brand="b"), product("p", "x", brand="b", source="shop"), line("ann", ago(9)),
          line("c7", ago(8), source="shop"), link("c7", "ann", source="shop")],
         {"distinct_brands_365d": 1, "brand_hhi_365d": 1, "distinct_products_365d": 2, "repeat_line_share_365d": 0}),
    Case("the year's edge", [product("p", "x", brand="b"), product("q", "y", brand="c"), line("ann", ago(365), 3),
                             line("ann", ago(365, -1), 9, product_id="q")],
         {"category_hhi_365d": 1, "distinct_brands_365d": 1, "top_brand_share_365d": 1, "top2_category_share_365d": 1}),
    *(Case(f"a product changes its brand on 10 June, as of {cutoff}",
           [product("p", "x", brand="b"), product("p", "x", brand="c", known_at=at("2024-06-10")), product("q", "x", brand="c"),
            line("ann", ago(9), 3), line("ann", ago(8), 1, product_id="q")],
           expected, cutoff=at(cutoff))
      for cutoff, expected in (("2024-06-09T23:59:59.999999", {"distinct_brands_365d": 2, "top_brand_share_365d": 0.75}),
                               ("2024-06-10", {"distinct_brands_365d": 1, "top_brand_share_365d": 1}))),
]

REPEATS = [
    Case("the first line of a product is no repeat, the second is", [line("ann", ago(9)), line("ann", ago(8))], {"repeat_line_share_365d": 0.5}),
    Case("within one order nothing is", [*order(ago(9), 1, 1, 1)], {"repeat_line_share_365d": 0}),
    Case("at one instant nothing is", [line("ann", ago(9)), line("ann", ago(9))], {"repeat_line_share_365d": 0}),
    Case("a microsecond later it is", [line("ann", ago(9)), line("ann", ago(9, 1))], {"repeat_line_share_365d": 0.5}),
    Case("bought before the year and in it", [line("ann", ago(365, -1)), line("ann", ago(365))], {"repeat_line_share_365d": 1}),
    Case("each line counts, each with its own product", [line("ann", ago(9)), *order(ago(8), 1, 1, {"product_id": "q"})],
         {"repeat_line_share_365d": 0.5}),  # of p, p, p, q the second and the third
    Case("a line counts at its order's time: the other order is the earlier one",  # q first with o, at ago(9)
         [*order(ago(9), 1, {"product_id": "q", "paid_at": ago(7)}), line("ann", ago(8), product_id="q")], {"repeat_line_share_365d": 1 / 3}),
    Case("what came back was not bought", [line("ann", ago(9), kind="return"), line("ann", ago(8))], {"repeat_line_share_365d": 0}),
    Case("known too late to be the first", [line("ann", ago(9), known_at=ago(0, 1)), line("ann", ago(8))], {"repeat_line_share_365d": 0}),
    Case("withdrawn, it was not bought", [line("ann", ago(9), superseded_at=CUTOFF), line("ann", ago(8))], {"repeat_line_share_365d": 0}),
    Case("no line in the year", [line("ann", ago(365, -1))], {"repeat_line_share_365d": None}),
]

PROMOTIONS = [
    # 90 days: 25 of 100 + 20; a year: 25 + 5 of 100 + 20 + 30
    Case("discounts of 90 days and of a year",
         [line("ann", ago(90), 75, gross_amount=100, discount_amount=25), line("ann", ago(9), 20),
          line("ann", ago(90, -1), 25, gross_amount=30, discount_amount=5),
          line("ann", ago(365, -1), 1, gross_amount=10, discount_amount=9)],
         {"discount_share_90d": 25 / 120, "discount_share_365d": 0.2, "discount_365d": 30, "discounted_order_share_365d": 2 / 3}),
    Case("one discounted line, one coupon, make the order", [*order(ago(9), 5, {"net": 5, "discount_amount": "0.01", "coupon_id": "k"}),
                                                              line("ann", ago(8))],
         {"discounted_order_share_365d": 0.5, "coupon_order_share_365d": 0.5, "discount_365d": 0.01}),
    Case("coupons at the year's edge", [line("ann", ago(365), coupon_id="k"), line("ann", ago(365, -1), coupon_id="k"), line("ann", ago(9))],
         {"coupon_order_share_365d": 0.5, "discounted_order_share_365d": 0}),
    Case("a coupon on a line at the cutoff", [*order(ago(9), 1, {"coupon_id": "k", "discount_amount": 1, "paid_at": CUTOFF})],
         {"coupon_order_share_365d": 0, "discounted_order_share_365d": 0, "discount_365d": 0}),
    Case("a coupon on what came back", [line("ann", ago(9)), line("ann", ago(8), kind="return", coupon_id="k", discount_amount=1)],
         {"coupon_order_share_365d": 0, "discounted_order_share_365d": 0, "discount_365d": 0}),
    Case("no order, no share", [customer("ann")],
         {"discount_share_90d": None, "discounted_order_share_365d": None, "coupon_order_share_365d": None, "discount_365d": 0}),
]

RETURNS = [
    # 12 of 60 in a year; 13 of 100 in all; two orders brought back, of three placed in the year
    Case("three came back, one of them long ago",
         [line("ann", ago(9), 10), line("ann", ago(8), 20), line("ann", ago(300), 30), line("ann", ago(400), 40),
          line("ann", ago(5), 4, kind="return", order_id="r", line_id="1", quantity=2),
          line("ann", ago(4.5), 2, kind="return", order_id="r", line_id="2", quantity="0.5"),
          line("ann", ago(100), 6, kind="return"), line("ann", ago(365, -1), 1, kind="return", quantity=9)],
         {"return_orders_90d": 1, "return_orders_365d": 2, "returned_units_365d": 3.5, "refund_share_365d": 0.2, "refund_share_all": 0.13,
          "return_order_share_365d": 2 / 3, "days_since_last_return": 4.5}),
    Case("at the edge of 90 days", [line("ann", ago(90), kind="return"), line("ann", ago(90, -1), kind="return")],
         {"return_orders_90d": 1, "return_orders_365d": 2, "days_since_last_return": 90}),
    Case("at the cutoff nothing has come back", [line("ann", ago(9)), line("ann", CUTOFF, kind="return")],
         {"return_orders_365d": 0, "returned_units_365d": 0, "refund_share_365d": 0, "return_order_share_365d": 0,
          "days_since_last_return": None}),
    Case("no spend, no share of it", [line("ann", ago(9), 5, kind="return")],
         {"refund_share_365d": None, "refund_share_all": None, "return_order_share_365d": None, "days_since_last_return": 9,
          "returned_units_365d": 1}),
    Case("one number in two sources is two orders",
         [line("ann", ago(9), kind="return", order_id="r"), line("c7", ago(8), kind="return", order_id="r", source="shop"),
          link("c7", "ann", source="shop")], {"return_orders_90d": 2, "days_since_last_return": 8}),
]

CHANNELS = [
    Case("web 30, app 10: (900 + 100) / 1600", [line("ann", ago(9), 30), line("ann", ago(8), 10, channel="app")],
         {"channel_hhi_365d": 0.625, "channels_365d": 2, "last_order_online": 1, "stores_365d": 0, "days_since_last_store_order": None,
          "days_since_last_online_order": 8}),
    Case("one channel", [line("ann", ago(9), 30)], {"channel_hhi_365d": 1}),
    Case("all for nothing", [line("ann", ago(9), 0), line("ann", ago(8), 0, channel="app")], {"channel_hhi_365d": None}),
    Case("a whole order is its first line's channel's, and its store's",
         [*order(ago(9), {"net": 5, "channel": "store", "store_id": "s"}, {"net": 5, "channel": "web", "store_id": "t", "paid_at": ago(7)}),
          line("ann", ago(8), 30)],
         {"channel_hhi_365d": 0.625, "stores_365d": 1, "days_since_last_store_order": 9, "days_since_last_online_order": 8}),
    Case("stores: one twice, one in two sources, and none",
         [line("ann", ago(9), store_id="s"), line("ann", ago(8), store_id="s"), line("c7", ago(7), store_id="s", source="shop"),
          line("ann", ago(6)), link("c7", "ann", source="shop")], {"stores_365d": 2}),
    Case("stores at the year's edge", [line("ann", ago(365), store_id="s"), line("ann", ago(365, -1), store_id="t")], {"stores_365d": 1}),
    Case("of two orders at one instant one was online", [line("ann", ago(9), channel="store"), line("ann", ago(9), channel="phone")],
         {"last_order_online": 1, "days_since_last_store_order": 9, "days_since_last_online_order": 9}),
    Case("the last order was in a store", [line("ann", ago(9)), line("ann", BEFORE, channel="store"), line("ann", CUTOFF)],
         {"last_order_online": 0, "days_since_last_store_order": 1e-6 / 86400, "days_since_last_online_order": 9}),
    Case("no order", [customer("ann")],
         {"last_order_online": None, "channel_hhi_365d": None, "stores_365d": 0, "night_share_365d": None, "fourth_quarter_share_all": None,
          "days_since_last_online_order": None, "first_order_month": None}),
]

PARTS = ("night", "morning", "afternoon", "evening")
CALENDAR = [
    *(Case(f"at {time} it is {part}", [line("ann", f"2024-06-01T{time}")], {f"{name}_share_365d": name == part for name in PARTS})
      for time, part in (("05:59:59.999999", "night"), ("06:00", "morning"), ("11:59:59.999999", "morning"), ("12:00", "afternoon"),
                         ("17:59:59.999999", "afternoon"), ("18:00", "evening"), ("21:59:59.999999", "evening"), ("22:00", "night"),
                         ("00:00", "night"))),
    Case("summer time: 05:30 UTC is 05:30 in London on 30 March and 06:30 on the 31st",
         [customer("ann", timezone=LONDON), line("ann", "2024-03-30T05:30"), line("ann", "2024-03-31T05:30")],
         {"night_share_365d": 0.5, "morning_share_365d": 0.5}),
    Case("winter time: 21:30 UTC is 22:30 in London on 28 October 2023 and 21:30 on the 29th",
         [customer("ann", timezone=LONDON), line("ann", "2023-10-28T21:30"), line("ann", "2023-10-29T21:30")],
         {"night_share_365d": 0.5, "evening_share_365d": 0.5}),
    *(Case(f"a move from Shanghai to London, known on 10 June, as of {cutoff}",  # noon in Shanghai is 5 in London
           [customer("ann", timezone=SHANGHAI), customer("ann", timezone=LONDON, known_at=at("2024-06-10")), line("ann", "2024-06-01T04:00")],
           {"afternoon_share_365d": afternoon, "night_share_365d": 1 - afternoon}, cutoff=at(cutoff))
      for cutoff, afternoon in (("2024-06-09T23:59:59.999999", 1), ("2024-06-10", 0))),
    Case("the store's clock where the customer has none", [store("s", SHANGHAI), line("ann", "2024-06-01T04:00", store_id="s")],
         {"afternoon_share_365d": 1, "night_share_365d": 0}),
    Case("else the warehouse's", [line("ann", "2024-06-01T04:00")], {"afternoon_share_365d": 1}, zone=SHANGHAI),
    Case("the last quarter begins and ends with October and December in Shanghai",
         [customer("ann", timezone=SHANGHAI), *(line("ann", when) for when in ("2022-09-30T15:59:59.999999", "2022-09-30T16:00",
                                                "2022-12-31T15:59:59.999999", "2022-12-31T16:00"))],
         {"fourth_quarter_share_all": 0.5, "first_order_month": 9}),
    Case("the month of the first order, by its own clock", [customer("ann", timezone=SHANGHAI), line("ann", "2024-04-30T16:30"),
                                                          line("ann", "2024-06-01")], {"first_order_month": 5}),
    Case("of two first orders at one instant the larger month, December before January",
         [line("ann", "2023-12-31T16:30"), line("c7", "2023-12-31T16:30", source="shop"), customer("c7", timezone=SHANGHAI, source="shop"),
          link("c7", "ann", source="shop")], {"first_order_month": 12}),
]

CONTEXT = [
    *(Case(f"the season at {cutoff}", [line("ann", "2020-01-01")], {"season_sin": sine, "season_cos": cosine}, cutoff=at(cutoff))
      for cutoff, sine, cosine in (
          ("2024-01-01", 0, 1), ("2024-07-02", 0, -1), ("2023-07-02T12:00", 0, -1),  # half of 366 days, and of 365
          ("2024-04-01T12:00", 1, 0), ("2024-10-01T12:00", -1, 0),  # 91.5 and 274.5 days of 366
          ("2024-01-31T12:00", 0.5, math.sqrt(3) / 2))),  # 30.5 days: a twelfth of the year, 30 degrees
    Case("the 90 days after this date a year ago, with their first microsecond and without what follows",
         [line("ann", ago(365), 1), line("ann", ago(365, -1), 2), line("ann", ago(275, -1), 4), line("ann", ago(275), 8)],
         {"orders_ahead_last_year": 2, "spend_ahead_last_year": 5}),
    Case("nothing a year ago", [line("ann", ago(9))], {"orders_ahead_last_year": 0, "spend_ahead_last_year": 0}),
    Case("a year ago is 365 days, across a leap day too", [line("ann", "2023-03-02"), line("ann", "2023-03-01")],
         {"orders_ahead_last_year": 1}, cutoff=at("2024-03-01")),  # from 1 March to 1 March it was 366
]

KINDS = {"cart_removals": "cart_remove", "checkouts": "checkout", "favourites": "favourite", "searches": "search", "visits": "visit"}
BROWSING = [
    *(Case(f"{kind} in {days} days", [event("ann", ago(days), kind), event("ann", ago(days, -1), kind), event("ann", CUTOFF, kind),
                                      event("ann", BEFORE, "follow")], {f"{name}_{days}d": 1})
      for name, kind, days in (*((name, kind, days) for name, kind in (("views", "view"), ("carts", "cart_add")) for days in (7, 30, 90)),
                               *((name, kind, 30) for name, kind in KINDS.items()))),
    Case("days with an event of any kind, in the warehouse's zone",
         [event("ann", "2024-06-01T00:00"), event("ann", "2024-06-01T23:59:59.999999", "visit"), event("ann", "2024-06-02", "follow")],
         {"browsing_days_30d": 2}),
    Case("days in a warehouse in Shanghai", [event("ann", "2024-06-01T15:59:59.999999"), event("ann", "2024-06-01T16:00")],
         {"browsing_days_30d": 2}, zone=SHANGHAI),
    Case("a day of which the window holds the end", [event("ann", "2024-05-13T10:00"), event("ann", "2024-05-13T16:00")],
         {"browsing_days_30d": 1}, cutoff=at("2024-06-12T12:00")),
    Case("sessions: one twice, one in two sources, and none",
         [event("ann", ago(9), session_id="u"), event("ann", ago(8), "search", session_id="u"), event("ann", ago(7)),
          event("c7", ago(7), session_id="u", source="shop"), link("c7", "ann", source="shop")], {"sessions_30d": 2}),
    Case("a session that began before the window and went on in it", [event("ann", ago(30, -1), session_id="u"),
                                                                    event("ann", ago(30), session_id="u")], {"sessions_30d": 1}),
    Case("a session before the window", [event("ann", ago(30, -1), session_id="u")], {"sessions_30d": 0}),
    Case("products viewed: not what was only put into the cart, nor pages without product",
         [product("p", "x"), product("q", "x"), product("r", "y"), event("ann", ago(9), product_id="p"), event("ann", ago(8), product_id="p"),
          event("ann", ago(7), product_id="q"), event("ann", ago(6), "cart_add", product_id="r"), event("ann", ago(5)),
          event("ann", ago(30, -1), product_id="r"), event("ann", ago(4), product_id="unheard of")],
         {"viewed_products_30d": 3, "viewed_categories_30d": 1, "carts_per_view_30d": 0.2}),
    *(Case(f"a viewed product changes its category on 10 June, as of {cutoff}",
           [product("p", "x"), product("p", "y", known_at=at("2024-06-10")), product("q", "y"), event("ann", ago(9), product_id="p"),
            event("ann", ago(8), product_id="q")], {"viewed_categories_30d": categories, "viewed_products_30d": 2}, cutoff=at(cutoff))
      for cutoff, categories in (("2024-06-09T23:59:59.999999", 2), ("2024-06-10", 1))),
    Case("seconds, to the millisecond", [event("ann", ago(30), duration_s=1.2344), event("ann", ago(9), "search", duration_s=0.0006),
                                         event("ann", ago(8)), event("ann", ago(30, -1), duration_s=99)], {"browsing_seconds_30d": 1.235}),
    Case("carts without a view", [event("ann", ago(9), "cart_add")],
         {"carts_per_view_30d": None, "days_since_last_view": None, "days_since_last_cart": 9, "days_since_last_event": 9}),
    Case("the last of each kind, however old", [event("ann", ago(900)), event("ann", ago(500), "cart_add"), event("ann", ago(99), "search"),
                                               event("ann", CUTOFF)],
         {"days_since_last_view": 900, "days_since_last_cart": 500, "days_since_last_event": 99, "browsing_seconds_30d": 0,
          "sessions_30d": 0, "viewed_products_30d": 0, "browsing_days_30d": 0}),
]

CAMPAIGNS = [
    *(Case(f"{field} at the cutoff is the future, a microsecond before it is not",
           [contact("ann", ago(9), **{field: CUTOFF}), contact("ann", ago(8), **{field: BEFORE}), contact("ann", ago(7))], expected)
      for field, expected in (
          ("opened_at", {"open_rate_90d": 1 / 3, "open_rate_365d": 1 / 3, "days_since_last_open": 1e-6 / 86400}),
          ("clicked_at", {"click_rate_90d": 1 / 3, "click_rate_365d": 1 / 3, "days_since_last_click": 1e-6 / 86400}),
          ("rejected_at", {"rejections_365d": 1, "open_rate_90d": 0}), ("unsubscribed_at", {"unsubscribes_365d": 1, "click_rate_90d": 0}))),
    Case("a year is by when it was sent", [contact("ann", ago(365), **dict.fromkeys(("opened_at", "clicked_at", "rejected_at",
                                                                                   "unsubscribed_at"), ago(1))),
                                           contact("ann", ago(365, -1), **dict.fromkeys(("opened_at", "clicked_at", "rejected_at",
                                                                                       "unsubscribed_at"), ago(2)))],
         {"open_rate_365d": 1, "click_rate_365d": 1, "rejections_365d": 1, "unsubscribes_365d": 1, "open_rate_90d": None,
          "days_since_last_open": 1, "days_since_last_contact": 365, "contact_channels_90d": 0}),
    Case("the last opening is not that of the last message", [contact("ann", ago(40), opened_at=ago(1)), contact("ann", ago(20), opened_at=ago(5))],
         {"days_since_last_open": 1, "days_since_last_contact": 20, "days_since_last_click": None}),
    Case("opened before it was sent: opened when it was sent", [contact("ann", ago(20), opened_at=ago(30), clicked_at=ago(900))],
         {"days_since_last_open": 20, "days_since_last_click": 20, "open_rate_90d": 1}),
    Case("an opening known too late", [contact("ann", ago(9), contact_id="m", known_at=ago(9)),
                                       contact("ann", ago(9), contact_id="m", opened_at=ago(8), known_at=ago(0, 1))],
         {"open_rate_90d": 0, "days_since_last_open": None}),
    Case("channels of 90 days", [contact("ann", ago(90), channel="sms"), contact("ann", ago(89), channel="sms"), contact("ann", ago(9)),
                                 contact("ann", ago(90, -1), channel="push"), contact("ann", ago(1), channel="wecom", status="undelivered")],
         {"contact_channels_90d": 2, "contacts_90d": 3, "contacts_7d": 0}),
    Case("what is no marketing, or did not arrive, was no contact",
         [contact("ann", ago(9), purpose="service", opened_at=ago(8)), contact("ann", ago(9), status="undelivered", clicked_at=ago(8))],
         {"days_since_last_contact": None, "days_since_last_open": None, "days_since_last_click": None, "open_rate_365d": None}),
]

TICKETS = [
    # answered after 1 and 2 days, closed after 4
    Case("times from opening on", [ticket("ann", ago(9), first_response_at=ago(8), closed_at=ago(5)), ticket("ann", ago(4), first_response_at=ago(2)),
                                   ticket("ann", ago(1))],
         {"first_response_days_365d": 1.5, "resolution_days_365d": 4, "open_tickets": 2, "days_since_last_ticket": 1, "tickets_365d": 3}),
    Case("answered and closed at the cutoff: not yet", [ticket("ann", ago(9), first_response_at=CUTOFF, closed_at=CUTOFF)],
         {"first_response_days_365d": None, "resolution_days_365d": None, "open_tickets": 1}),
    Case("a microsecond before", [ticket("ann", ago(9), first_response_at=BEFORE, closed_at=BEFORE)],
         {"first_response_days_365d": 9 - 1e-6 / 86400, "resolution_days_365d": 9 - 1e-6 / 86400, "open_tickets": 0}),
    Case("answered before it was opened: at once", [ticket("ann", ago(9), first_response_at=ago(20), closed_at=ago(9))],
         {"first_response_days_365d": 0, "resolution_days_365d": 0, "open_tickets": 0}),
    Case("the year is by the opening, and an open ticket has no age",
         [ticket("ann", ago(365), closed_at=ago(363)), ticket("ann", ago(365, -1), closed_at=ago(1)), ticket("ann", ago(2000))],
         {"resolution_days_365d": 2, "tickets_365d": 1, "open_tickets": 1}),
    Case("complaints, enquiries, exchanges, each in its window",
         [*(ticket("ann", ago(days, shift), kind) for kind, days in (("complaint", 365), ("enquiry", 30), ("exchange", 365)) for shift in (0, -1))],
         {"complaints_365d": 1, "complaints_90d": 0, "enquiries_30d": 1, "exchanges_365d": 1, "days_since_last_complaint": 365,
          "days_since_last_ticket": 30}),
    Case("ratings of a year, by when they were given", [ticket("ann", ago(500), rated_at=ago(365), csat=2), ticket("ann", ago(500), rated_at=ago(365, -1), csat=1),
                                                        ticket("ann", ago(9), rated_at=BEFORE, csat=5), ticket("ann", ago(9), rated_at=CUTOFF, csat=1)],
         {"csat_mean_365d": 3.5, "csat_min_365d": 2, "last_csat": 5}),
    Case("a rating dated before its ticket was given with it", [ticket("ann", ago(10), rated_at=ago(400), csat=2)],
         {"csat_mean_365d": 2, "csat_min_365d": 2, "last_csat": 2}),
    Case("no rating", [ticket("ann", ago(9)), ticket("ann", ago(9), csat=1), ticket("ann", ago(9), rated_at=ago(8))],
         {"csat_mean_365d": None, "csat_min_365d": None, "last_csat": None}),
]


def sent(paid_at, **times):
    """An order and its delivery."""
    return [line("ann", paid_at, order_id="o"), delivery("o", **times)]


DELIVERIES = [
    Case("delivered at the cutoff: not there yet", sent(ago(9), delivered_at=CUTOFF),
         {"deliveries_365d": 1, "undelivered_90d": 1, "delivery_days_365d": None, "late_delivery_share_365d": 0}),
    Case("a microsecond before it is there", sent(ago(9), delivered_at=BEFORE), {"undelivered_90d": 0, "delivery_days_365d": 9 - 1e-6 / 86400}),
    Case("two days after the promise: late since the promise", sent(ago(9), promised_at=ago(5), delivered_at=ago(3)),
         {"late_delivery_share_365d": 1, "days_since_last_late_delivery": 5, "delivery_days_365d": 6}),
    Case("at the promised instant is in time", sent(ago(9), promised_at=ago(5), delivered_at=ago(5)),
         {"late_delivery_share_365d": 0, "days_since_last_late_delivery": None}),
    Case("a microsecond after is late", sent(ago(9), promised_at=ago(5), delivered_at=ago(5, 1)), {"late_delivery_share_365d": 1}),
    Case("not there, and promised a microsecond ago", sent(ago(9), promised_at=BEFORE),
         {"late_delivery_share_365d": 1, "undelivered_90d": 1, "days_since_last_late_delivery": 1e-6 / 86400}),
    Case("not there, and promised for now: not late yet", sent(ago(9), promised_at=CUTOFF),
         {"late_delivery_share_365d": 0, "undelivered_90d": 1, "days_since_last_late_delivery": None}),
    Case("delivered after the cutoff and promised before it: late", sent(ago(9), promised_at=ago(5), delivered_at=ago(-3)),
         {"late_delivery_share_365d": 1, "undelivered_90d": 1, "delivery_days_365d": None}),
    Case("without a promise nothing is late", sent(ago(300)), {"late_delivery_share_365d": 0, "undelivered_90d": 0, "deliveries_365d": 1}),
    Case("promised before it was ordered: late from the order on", sent(ago(9), promised_at=ago(20), delivered_at=ago(8)),
         {"days_since_last_late_delivery": 9, "late_delivery_share_365d": 1}),
    Case("delivered before it was ordered: at once", sent(ago(9), delivered_at=ago(20)), {"delivery_days_365d": 0, "undelivered_90d": 0}),
    Case("one order in two deliveries", [*sent(ago(9), delivered_at=ago(8)), delivery("o", delivered_at=ago(6))],
         {"deliveries_365d": 2, "delivery_days_365d": 2}),
    *(Case(f"{days} days are by the order", [*sent(ago(days)), line("ann", ago(days, -1), order_id="q"), delivery("q")], expected)
      for days, expected in ((90, {"undelivered_90d": 1, "deliveries_365d": 2}), (365, {"deliveries_365d": 1}))),
    Case("the last late one, however old", [*sent(ago(900), promised_at=ago(800)), line("ann", ago(9), order_id="q"),
                                            delivery("q", delivered_at=ago(8))],
         {"days_since_last_late_delivery": 800, "late_delivery_share_365d": 0, "deliveries_365d": 1}),
    Case("ordered at the cutoff", [customer("ann"), *sent(CUTOFF, delivered_at=CUTOFF)], {"deliveries_365d": 0, "late_delivery_share_365d": None}),
    Case("a delivery of what nobody ordered, and of what came back", [line("ann", ago(9), order_id="r", kind="return"), delivery("r"), delivery("none")],
         {"deliveries_365d": 0, "undelivered_90d": 0, "delivery_days_365d": None, "days_since_last_late_delivery": None}),
    Case("the same number in another source is another order", [line("ann", ago(9), order_id="o"), delivery("o", source="shop")], {"deliveries_365d": 0}),
    Case("an order of several lines is delivered once", [*order(ago(9), 1, 1, 1), delivery("o", delivered_at=ago(5))],
         {"deliveries_365d": 1, "delivery_days_365d": 4}),
    Case("of lines at several times the earliest tells when it was ordered",
         [*order(ago(9), {"line_id": "2"}, {"line_id": "1", "paid_at": ago(8)}), delivery("o", delivered_at=ago(5))],
         {"deliveries_365d": 1, "delivery_days_365d": 4}),
    Case("of two customers who turned out to be one, once",
         [line("ann", ago(9), order_id="o"), line("bob", ago(9), order_id="o", line_id="2"), delivery("o"),
          link("bob", "ann", known_at=ago(9))], {"deliveries_365d": 1, "orders_all": 1}),
    Case("known at the cutoff", [line("ann", ago(9), order_id="o"), delivery("o", known_at=CUTOFF, delivered_at=ago(8))],
         {"deliveries_365d": 1, "delivery_days_365d": 1}),
    Case("known a microsecond later", [line("ann", ago(9), order_id="o"), delivery("o", known_at=ago(0, 1), delivered_at=ago(8))], {"deliveries_365d": 0}),
    *(Case(f"on its way until 10 June, as of {cutoff}", [line("ann", ago(9), order_id="o"), delivery("o", delivery_id="d", known_at=ago(9)),
                                                        delivery("o", delivery_id="d", known_at=at("2024-06-10"), delivered_at=ago(5))],
           {"undelivered_90d": undelivered, "deliveries_365d": 1}, cutoff=at(cutoff))
      for cutoff, undelivered in (("2024-06-09T23:59:59.999999", 1), ("2024-06-10", 0))),
    *(Case(f"an order that turns out to be bob's on 10 June, as of {cutoff}: {one_id}",
           [customer("ann"), customer("bob"), line("ann", ago(9), order_id="o", known_at=ago(9)),
            line("bob", ago(9), order_id="o", known_at=at("2024-06-10")), delivery("o")],
           {"deliveries_365d": deliveries}, cutoff=at(cutoff), one_id=one_id)
      for cutoff, one_id, deliveries in (("2024-06-09T23:59:59.999999", "ann", 1), ("2024-06-10", "ann", 0), ("2024-06-10", "bob", 1))),
    Case("a merged customer's deliveries are one customer's", [*sent(ago(9)), line("c7", ago(8), order_id="o", source="shop"),
                                                              delivery("o", source="shop"), link("c7", "ann", source="shop")], {"deliveries_365d": 2}),
]

FEEDBACK = [
    Case("a year of feedback of any kind, 90 days of chats",
         [feedback("ann", ago(365), "survey"), feedback("ann", ago(365, -1), "survey"), feedback("ann", ago(90), "chat"),
          feedback("ann", ago(90, -1), "chat"), feedback("ann", ago(9), "review"), feedback("ann", CUTOFF, "review", rating=1)],
         {"feedback_365d": 4, "chats_90d": 1, "reviews_365d": 1, "days_since_last_feedback": 9, "review_rating_mean_365d": None,
          "last_review_rating": None, "last_nps": None}),
    Case("ratings of reviews only, to three decimals",
         [feedback("ann", ago(9), rating=4.5), feedback("ann", ago(8), rating=2.0004), feedback("ann", ago(7)), feedback("ann", ago(6), "nps", rating=9),
          feedback("ann", ago(5), "survey", rating=1), feedback("ann", ago(365, -1), rating=1)],
         {"review_rating_mean_365d": 3.25, "review_rating_min_365d": 2, "last_review_rating": 2, "last_nps": 9, "reviews_365d": 3}),
    Case("the last rating is not that of the last review without one", [feedback("ann", ago(900), rating=3), feedback("ann", ago(9))],
         {"last_review_rating": 3, "review_rating_min_365d": None, "reviews_365d": 1}),
    Case("of two at one instant the larger", [feedback("ann", ago(9), "nps", rating=2), feedback("ann", ago(9), "nps", rating=10),
                                              feedback("ann", ago(10), "nps", rating=11)], {"last_nps": 10}),
    Case("a rating of 0 is a rating", [feedback("ann", ago(9), "nps", rating=0), feedback("ann", ago(9), rating=0)],
         {"last_nps": 0, "last_review_rating": 0, "review_rating_mean_365d": 0}),
    Case("a rating corrected later", [feedback("ann", ago(9), feedback_id="f", rating=1), feedback("ann", ago(9), feedback_id="f", rating=5, known_at=ago(0, 1))],
         {"last_review_rating": 1}),
    Case("nobody asked", [customer("ann")], {"feedback_365d": 0, "chats_90d": 0, "reviews_365d": 0, "days_since_last_feedback": None}),
]
# fmt: on

CASES = [
    *WINDOWS, *PURCHASES, *RHYTHM, *RENEWAL, *BTYD, *CHANGES, *SLOPES, *BASKET, *BREADTH, *REPEATS, *PROMOTIONS, *RETURNS, *CHANNELS,
    *CALENDAR, *CONTEXT, *BROWSING, *CAMPAIGNS, *TICKETS, *DELIVERIES, *FEEDBACK,
]  # fmt: skip


def own(number, one_id):
    """The OneID within the case: all cases live in one world, each with ids of its own."""
    return f"{number}/{one_id}"


def rows_of_its_own(number, case):
    for table, values in case.rows:
        ids = {column.name for column in TABLES[table].columns if column.type == "id"}
        yield (
            table,
            {name: own(number, value) if name in ids and value else value for name, value in values.items()},
        )


@pytest.fixture(scope="module")
def worlds():
    """Zone -> tables with the rows of all its cases."""
    rows = defaultdict(list)
    for number, case in enumerate(CASES):
        rows[case.zone] += rows_of_its_own(number, case)
    return {zone: tables_of(found) for zone, found in rows.items()}


@pytest.fixture(scope="module")
def oracles(worlds):
    return {zone: World(tables, zone=zone) for zone, tables in worlds.items()}


@pytest.fixture(scope="module")
def computed(worlds):
    """What was computed, of each zone: all cutoffs in one call, and each alone, in a call of its own."""
    found = {}
    with memory() as connection:
        for zone, tables in worlds.items():
            put(connection, tables)
            cutoffs = sorted({case.cutoff for case in CASES if case.zone == zone})
            for alone, asked in ((False, cutoffs), *((True, [cutoff]) for cutoff in cutoffs)):
                for (one_id, index), row in values_of(columns_of(connection, asked, zone=zone)).items():
                    found[zone, alone, asked[index], one_id] = row
    return found


numbered = pytest.mark.parametrize(
    ("number", "case"),
    list(enumerate(CASES)),
    ids=[f"{number}: {case.title}" for number, case in enumerate(CASES)],
)


@numbered
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with all cutoffs"])
def test_what_is_known_of_ann(computed, number, case, alone):
    found = computed[case.zone, alone, case.cutoff, own(number, case.one_id)]
    assert differing(found, case.expected) == {}


@numbered
def test_the_oracle_knows_the_same(oracles, number, case):
    one_id, world = own(number, case.one_id), oracles[case.zone]
    assert one_id in everybody(world, case.cutoff)
    assert differing(features_of(world, one_id, case.cutoff), case.expected) == {}


def test_cases_by_hand_name_every_feature_of_a_customer():
    named = {name for case in CASES for name in case.expected}
    assert named == {feature.name for feature in FEATURES} - BASE_SEASONS.keys()


# ------------------------------------------------------------------------------------------------- the whole base

# as of 12 June 2024: a year ago is 13 June 2023; 30 days after it is 13 July, 90 days 11 September; before it, 14 May and 15 March
BASE = [
    line("a", "2023-06-13"), line("b", "2023-06-12T23:59:59.999999"),
    line("a", "2023-07-12T23:59:59.999999"), line("c", "2023-07-13"),
    line("a", "2023-05-14"), line("b", "2023-05-13T23:59:59.999999"),
    line("d", "2023-09-10T23:59:59.999999"), line("d", "2023-09-11"),
    line("d", "2023-03-15"), line("d", "2023-03-14T23:59:59.999999"),
    *order("2023-07-01", 1, 2, 3, name="of three lines", who="a"),
    *order("2023-06-12T10:00", 1, {"paid_at": at("2023-06-14")}, name="at its first line", who="b"),
    line("a", "2023-06-20", kind="return"), line(None, "2023-06-20"), line("a", "2023-06-20", known_at=at("2024-06-13")),
    line("b", "2023-06-20", order_id="twice"), line("c7", "2023-06-20", order_id="twice", source="shop"),
    line("a", "2024-06-01"), line("a", "2023-03-01"),
]  # fmt: skip
# as of 12 June, 30 days before: one of b, one of a, the first line of "at its first line": 3; 90 days: two more of b and d
# 30 days after: two of a, three lines, the second of "at its first line", the anonymous one, two "twice": 9; two more of c, d
# as of 13 June, after: the first of a gone, that of c and the late one come; before: that of 14 May gone, that of 13 June come
BASE_CASES = [
    ("2024-06-12", 9 / 3, 11 / 5),
    ("2024-06-12T23:59:59.999999", 9 / 3, 11 / 5),
    ("2024-06-13", 10 / 3, 12 / 5),
    ("2024-05-28", 7 / 2, None),
    ("2024-03-01", None, None),
]


@pytest.mark.parametrize(("cutoff", "in_30_days", "in_90_days"), BASE_CASES)
def test_the_season_of_the_whole_base(tmp_path, cutoff, in_30_days, in_90_days):
    tables = tables_of(BASE)
    frame = build(
        warehouse_of(tmp_path / "w.duckdb", tables), [cutoff], population="all", columns=list(BASE_SEASONS)
    )
    for name, expected in (("base_season_30d", in_30_days), ("base_season_90d", in_90_days)):
        assert set(frame[name].astype(object).where(frame[name].notna(), None)) == {expected}
        assert base_season(World(tables), at(cutoff), BASE_SEASONS[name]) == expected
