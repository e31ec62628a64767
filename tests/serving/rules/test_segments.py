"""Segment schemes: every boundary by hand, and an independent slow reading of the playbook that must agree."""

from decimal import Decimal
from math import floor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.build import build
from serving.rules.evaluate import profile
from serving.rules.playbook import default_playbook
from tests.features.worlds import customer, line, tables_of, warehouse_of

JUST_UNDER = 1e-9
LIFECYCLE5 = ("new", "churned", "dormant", "high_value", "potential", "prospect")
RFM15 = ("high_value", "potential", "churned", "prospect")
DYNAMIC8 = ("loyal", "potential", "awaken", "newcomer", "at_risk", "regular", "browser", "lapsed", "prospect")

# A customer in the middle of nowhere: no boundary is near.
PLAIN = {
    "orders_all": 4,
    "days_since_first_order": 300.0,
    "days_since_last_order": 50.0,
    "orders_365d": 4,
    "spend_365d": 1000.0,
    "refunds_365d": 0.0,
    "orders_180d": 2,
    "spend_180d": 500.0,
    "active_30d_periods_180d": 2,
    "views_30d": 0,
    "carts_30d": 0,
    "last_csat": np.nan,
    "days_since_last_complaint": np.nan,
}
NEVER = PLAIN | {
    "orders_all": 0,
    "days_since_first_order": np.nan,
    "days_since_last_order": np.nan,
    "orders_365d": 0,
    "spend_365d": 0.0,
    "orders_180d": 0,
    "spend_180d": 0.0,
    "active_30d_periods_180d": 0,
}


def frame_of(*rows):
    return pd.DataFrame(list(rows)).astype({"orders_all": "int64", "orders_365d": "int64"})


SHOWN = ["lifecycle5", "rfm15", "rfm15_total", "dynamic8"]


def assign(frame):
    """The segments of customers of whom only these columns are known, and the net spend that they make."""
    playbook = default_playbook()
    frame = frame.assign(net_spend_365d=frame["spend_365d"] - frame["refunds_365d"])
    found = profile(playbook, frame.reindex(columns=list(playbook.inputs)))[SHOWN]
    return found.astype({"rfm15_total": "Int64"})


def segments_of(**changed):
    return assign(frame_of(PLAIN | changed)).iloc[0]


# ------------------------------------------------------------------------------------------------- lifecycle5


def silent(days, first=400.0, **more):
    """A customer who ordered last so many days ago, and first long before (or then)."""
    return {"days_since_last_order": days, "days_since_first_order": max(days, first), **more}


RICH = {"spend_365d": 6000.0}

LIFECYCLE = [
    # new: the first order less than 30 days ago, to the microsecond
    ("first 29.99 days ago", silent(29.99, first=29.99), "new"),
    ("first 30 days ago", silent(30.0, first=30.0), "potential"),
    ("first just under 30 days ago", silent(1.0, first=30 - JUST_UNDER), "new"),
    ("first today, the instant before", silent(JUST_UNDER, first=0.0), "new"),
    ("new before high value", silent(29.0, first=29.0, **RICH), "new"),
    ("first 29 days ago, last 1", silent(1.0, first=29.0), "new"),
    # dormant: more than 180 whole days without an order
    ("R 179", silent(179.99), "potential"),
    ("R 180", silent(180.0), "potential"),
    ("R 180, the end of that day", silent(181 - JUST_UNDER), "potential"),
    ("R 181", silent(181.0), "dormant"),
    ("dormant before high value", silent(181.0, **RICH), "dormant"),
    ("R 180 and rich", silent(180.99, **RICH), "high_value"),
    # churned: more than 365 whole days
    ("R 365", silent(365.0), "dormant"),
    ("R 365, the end of that day", silent(366 - JUST_UNDER), "dormant"),
    ("R 366", silent(366.0), "churned"),
    ("churned before high value", silent(366.0, **RICH), "churned"),
    # high value: more than 5000 net of refunds, in at least 2 orders
    ("5000", {"spend_365d": 5000.0}, "potential"),
    ("5000.01", {"spend_365d": 5000.01}, "high_value"),
    ("4999.99", {"spend_365d": 4999.99}, "potential"),
    ("5000.01 less a cent", {"spend_365d": 5000.01, "refunds_365d": 0.01}, "potential"),
    ("5000.02 less a cent", {"spend_365d": 5000.02, "refunds_365d": 0.01}, "high_value"),
    ("6000 less 1000", {"spend_365d": 6000.0, "refunds_365d": 1000.0}, "potential"),
    ("6000 less 999.99", {"spend_365d": 6000.0, "refunds_365d": 999.99}, "high_value"),
    ("refunds of earlier purchases", {"spend_365d": 5500.0, "refunds_365d": 9000.0}, "potential"),
    ("1 order", {"spend_365d": 9000.0, "orders_365d": 1}, "potential"),
    ("2 orders", {"spend_365d": 9000.0, "orders_365d": 2}, "high_value"),
    (
        "2 orders in all, 1 of the year",
        {"spend_365d": 9000.0, "orders_365d": 1, "orders_all": 2},
        "potential",
    ),
]


@pytest.mark.parametrize(
    ("changed", "expected"), [row[1:] for row in LIFECYCLE], ids=[row[0] for row in LIFECYCLE]
)
def test_lifecycle5(changed, expected):
    assert segments_of(**changed)["lifecycle5"] == expected


@pytest.mark.parametrize(
    ("spend", "refunds"), [(8192.04, 3192.04), (8192.12, 3192.12), (8192.2, 3192.2), (8192.29, 3192.29)]
)
def test_net_spend_of_exactly_5000_is_not_high_value(spend, refunds):
    # in binary floats 8192.04 - 3192.04 is 5000.000000000001; in money it is 5000.00
    assert Decimal(str(spend)) - Decimal(str(refunds)) == 5000
    assert segments_of(spend_365d=spend, refunds_365d=refunds)["lifecycle5"] == "potential"
    assert segments_of(spend_365d=spend + 0.01, refunds_365d=refunds)["lifecycle5"] == "high_value"


# ------------------------------------------------------------------------------------------------- rfm15


def rfm(days, orders, spend, periods):
    return {
        "days_since_last_order": days,
        "orders_180d": orders,
        "spend_180d": spend,
        "active_30d_periods_180d": periods,
    }


# Frequency 1 and money 1: the total is R + 2. An order of 0.00 a period would be F 2; none at all is F 1.
R_POINTS = [
    (0.0, 5), (7.0, 5), (7.99, 5), (8.0, 4), (30.0, 4), (30.99, 4), (31.0, 3), (90.0, 3), (90.99, 3),
    (91.0, 2), (179.0, 2), (179.99, 2), (180.0, 1), (180.99, 1), (181.0, 1), (4000.0, 1),
]  # fmt: skip


@pytest.mark.parametrize(("days", "points"), R_POINTS)
def test_points_for_recency(days, points):
    assert segments_of(**rfm(days, 0, 0.0, 0))["rfm15_total"] == points + 1 + 1


# Orders and the 30-day periods that have one. Recency 4000 days and no spend: the total is F + 2.
F_POINTS = [
    (0, 0, 1),  # no period with an order
    (1, 1, 2),
    (6, 6, 2),  # one in each of six periods: 1 on average
    (3, 2, 2),  # 1.5
    (11, 6, 2),  # 1.83
    (2, 1, 3),
    (12, 6, 3),
    (5, 2, 3),  # 2.5
    (17, 6, 3),  # 2.83
    (3, 1, 4),
    (18, 6, 4),
    (9, 2, 4),  # 4.5
    (29, 6, 4),  # 4.83
    (5, 1, 5),
    (30, 6, 5),
    (60, 6, 5),
]


@pytest.mark.parametrize(("orders", "periods", "points"), F_POINTS)
def test_points_for_frequency_on_the_average_of_periods_with_an_order(orders, periods, points):
    assert segments_of(**rfm(4000.0, orders, 0.0, periods))["rfm15_total"] == 1 + points + 1


# Spend and periods. Recency 4000 days and one order a period: the total is M + 3.
M_POINTS = [
    (0.0, 1, 1), (199.99, 1, 1), (200.0, 1, 2), (399.99, 1, 2), (400.0, 1, 3), (599.99, 1, 3), (600.0, 1, 4),
    (999.99, 1, 4), (1000.0, 1, 5), (25000.0, 1, 5),
    (599.99, 3, 1), (600.0, 3, 2), (1199.99, 3, 2), (1200.0, 3, 3), (1799.99, 3, 3), (1800.0, 3, 4),
    (2999.99, 3, 4), (3000.0, 3, 5), (6000.0, 6, 5), (5999.99, 6, 4),
]  # fmt: skip


@pytest.mark.parametrize(("spend", "periods", "points"), M_POINTS)
def test_points_for_money_on_the_average_of_periods_with_an_order(spend, periods, points):
    assert segments_of(**rfm(4000.0, periods, spend, periods))["rfm15_total"] == 1 + 2 + points


TIERS = [
    (rfm(4000.0, 0, 0.0, 0), 3, "churned"),  # 1 + 1 + 1
    (rfm(50.0, 1, 250.0, 1), 7, "churned"),  # 3 + 2 + 2
    (rfm(50.0, 1, 450.0, 1), 8, "potential"),  # 3 + 2 + 3
    (rfm(8.0, 2, 600.0, 1), 11, "potential"),  # 4 + 3 + 4
    (rfm(7.99, 2, 600.0, 1), 12, "high_value"),  # 5 + 3 + 4
    (rfm(0.5, 5, 1000.0, 1), 15, "high_value"),  # 5 + 5 + 5
]


@pytest.mark.parametrize(("changed", "total", "tier"), TIERS)
def test_tiers(changed, total, tier):
    found = segments_of(**changed)
    assert (found["rfm15_total"], found["rfm15"]) == (total, tier)


def test_refunds_do_not_touch_the_points():
    plain, returned = segments_of(), segments_of(refunds_365d=900.0)
    assert plain["rfm15_total"] == returned["rfm15_total"] == 3 + 2 + 2  # 50 days; 1 and 250 a period


# ------------------------------------------------------------------------------------------------- dynamic8


def dynamic(days, orders, spend=100.0, traces=(0, 0), csat=np.nan, complaint=np.nan, first=400.0):
    return {"days_since_last_order": days, "orders_365d": orders, "spend_365d": spend, "views_30d": traces[0],
            "carts_30d": traces[1], "last_csat": csat, "days_since_last_complaint": complaint,
            "days_since_first_order": max(days, first)}  # fmt: skip


AWAKEN = dynamic(91.0, 1, complaint=200.0)
DYNAMIC = [
    ("loyal", dynamic(14.99, 4, 500.0), "loyal"),
    ("R 15", dynamic(15.0, 4, 500.0), "regular"),
    ("F 3", dynamic(14.99, 3, 500.0), "regular"),
    ("M 499.99", dynamic(14.99, 4, 499.99), "regular"),
    ("loyal before newcomer", dynamic(1.0, 4, 500.0, first=20.0), "loyal"),
    ("potential", dynamic(29.99, 3, traces=(2, 1)), "potential"),
    ("potential, F 2", dynamic(29.99, 2, traces=(0, 3)), "potential"),
    ("2 traces", dynamic(29.99, 3, traces=(1, 1)), "regular"),
    ("F 4, too many", dynamic(29.99, 4, traces=(2, 1)), "regular"),
    ("F 1, too few", dynamic(29.99, 1, traces=(2, 1)), "newcomer"),
    ("R 30", dynamic(30.0, 3, traces=(2, 1)), "regular"),
    ("awaken, R 91", dynamic(91.0, 1, complaint=0.5), "awaken"),
    ("R 90", dynamic(90.99, 1, complaint=0.5), "lapsed"),
    ("R 90, views", dynamic(90.99, 1, complaint=0.5, traces=(1, 0)), "browser"),
    ("no complaint", dynamic(91.0, 1), "lapsed"),
    ("F 2 with a complaint", dynamic(91.0, 2, complaint=0.5), "at_risk"),
    ("newcomer", dynamic(89.99, 1), "newcomer"),
    ("first order 29.99 days ago", dynamic(5.0, 4, first=29.99), "newcomer"),
    ("first order 30 days ago", dynamic(5.0, 4, first=30.0), "regular"),
    ("newcomer before unhappy", dynamic(89.99, 1, csat=1.0), "newcomer"),
    ("at risk, R 90", dynamic(90.0, 2), "at_risk"),
    ("R 89", dynamic(89.99, 2), "regular"),
    ("at risk, R 180", dynamic(180.99, 2), "at_risk"),
    ("R 181", dynamic(181.0, 2), "lapsed"),
    ("unhappy", dynamic(89.99, 2, csat=2.0), "at_risk"),
    ("3 is not unhappy", dynamic(89.99, 2, csat=3.0), "regular"),
    ("unhappy, R 181", dynamic(181.0, 2, csat=1.0), "lapsed"),
    ("browser", dynamic(181.0, 2, traces=(0, 1)), "browser"),
]


@pytest.mark.parametrize(
    ("changed", "expected"), [row[1:] for row in DYNAMIC], ids=[row[0] for row in DYNAMIC]
)
def test_dynamic8(changed, expected):
    assert segments_of(**changed)["dynamic8"] == expected


@pytest.mark.parametrize(
    ("views", "carts", "expected"), [(0, 0, "prospect"), (1, 0, "browser"), (0, 1, "browser")]
)
def test_who_never_ordered_browses_or_is_a_prospect(views, carts, expected):
    assert segments_of(**(NEVER | {"views_30d": views, "carts_30d": carts}))["dynamic8"] == expected


# ------------------------------------------------------------------------------------------------- everybody


def test_who_never_ordered_is_a_prospect_outside_the_classes():
    found = assign(frame_of(NEVER, PLAIN))
    assert list(found["lifecycle5"]) == ["prospect", "potential"]
    assert list(found["rfm15"]) == ["prospect", "churned"]
    assert found["rfm15_total"].isna().tolist() == [True, False]
    assert found["rfm15_total"].dtype == "Int64"


def test_the_index_is_the_frames():
    frame = frame_of(PLAIN, NEVER, PLAIN).set_index(pd.Index([7, 3, 11]))
    found = assign(frame)
    assert found.index.tolist() == [7, 3, 11]
    assert found["lifecycle5"].tolist() == ["potential", "prospect", "potential"]


def test_nobody_at_all():
    found = assign(frame_of(PLAIN).iloc[:0])
    assert found.shape == (0, 4)


def test_the_last_class_of_a_scheme_takes_whoever_is_left():
    schemes = default_playbook().schemes
    assert [scheme.name for scheme in schemes] == ["lifecycle5", "rfm15", "rfm15_month", "dynamic8"]
    assert {scheme.classes[-1].when.text for scheme in schemes} == {"true"}


def test_complaints_that_are_not_known_are_none():
    silent_one = frame_of(PLAIN | AWAKEN)
    assert assign(silent_one)["dynamic8"][0] == "awaken"
    assert assign(silent_one.drop(columns="days_since_last_complaint"))["dynamic8"][0] == "lapsed"


# ------------------------------------------------------------------------------------------------- a slow reading


def slow_lifecycle5(row):
    """PLAYBOOK, decision 2, one sentence after the other; money in decimals."""
    if row["orders_all"] == 0:
        return "prospect"
    r_days = floor(row["days_since_last_order"])
    net = Decimal(str(row["spend_365d"])) - Decimal(str(row["refunds_365d"]))
    if row["days_since_first_order"] < 30:
        return "new"
    if r_days > 365:
        return "churned"
    if r_days > 180:
        return "dormant"
    return "high_value" if net > 5000 and row["orders_365d"] >= 2 else "potential"


def slow_points(row):
    """PLAYBOOK, decision 3: points by looking for the first band that holds."""
    r_days, periods = floor(row["days_since_last_order"]), row["active_30d_periods_180d"]
    r = next((points for points, most in ((5, 7), (4, 30), (3, 90), (2, 179)) if r_days <= most), 1)
    if periods == 0:
        return r + 1 + 1
    orders, spend = row["orders_180d"], Decimal(str(row["spend_180d"]))
    f = next((points for points, least in ((5, 5), (4, 3), (3, 2), (2, 1)) if orders >= least * periods), 1)
    bands = ((5, 1000), (4, 600), (3, 400), (2, 200))
    return r + f + next((points for points, least in bands if spend >= least * periods), 1)


def slow_rfm15(row):
    if row["orders_all"] == 0:
        return "prospect", None
    total = slow_points(row)
    return "high_value" if total >= 12 else "potential" if total >= 8 else "churned", total


def slow_dynamic8(row):
    """PLAYBOOK, decision 4."""
    traces = row["views_30d"] + row["carts_30d"]
    if row["orders_all"] == 0:
        return "browser" if traces else "prospect"
    r, f, m = floor(row["days_since_last_order"]), row["orders_365d"], Decimal(str(row["spend_365d"]))
    if r < 15 and f >= 4 and m >= 500:
        return "loyal"
    if r < 30 and f in (2, 3) and traces >= 3:
        return "potential"
    if r > 90 and f == 1 and not np.isnan(row["days_since_last_complaint"]):
        return "awaken"
    if (r < 90 and f == 1) or row["days_since_first_order"] < 30:
        return "newcomer"
    if (f >= 2 and 90 <= r <= 180) or (r < 90 and row["last_csat"] <= 2):
        return "at_risk"
    return "regular" if r < 90 else "browser" if traces else "lapsed"


EDGES = [0, 7, 8, 14, 15, 29, 30, 31, 90, 91, 179, 180, 181, 365, 366, 1000]
DAYS = st.one_of(
    st.sampled_from(EDGES).map(float),
    st.sampled_from(EDGES[1:]).map(lambda days: days - JUST_UNDER),
    st.floats(0, 1000, allow_nan=False),
)
BANDS = [200, 400, 600, 1000, 5000]


@st.composite
def cents(draw):
    """An amount near a threshold for 1 to 6 periods, or anywhere."""
    near = draw(st.sampled_from(BANDS)) * draw(st.integers(1, 6)) * 100 + draw(st.integers(-1, 1))
    return draw(st.one_of(st.just(near), st.integers(0, 2_000_000)))


@st.composite
def buyers(draw):
    last = draw(DAYS)
    periods = draw(st.integers(1, 6)) if last <= 180 else 0
    orders = periods and draw(
        st.one_of(st.integers(1, 5).map(lambda n: n * periods), st.integers(periods, 40))
    )
    refunds = draw(st.one_of(st.just(0), st.integers(0, 1_000_000)))
    spend = draw(st.one_of(cents(), st.integers(-1, 1).map(lambda cent: 500_000 + refunds + cent)))
    return {
        "orders_all": draw(st.integers(max(orders, 1), 60)),
        "days_since_first_order": max(last, draw(DAYS)),
        "days_since_last_order": last,
        "orders_365d": draw(st.integers(max(orders, 1), 60)) if last <= 365 else 0,
        "spend_365d": spend / 100,
        "refunds_365d": refunds / 100,
        "orders_180d": orders,
        "spend_180d": draw(cents()) / 100 if periods else 0.0,
        "active_30d_periods_180d": periods,
        "views_30d": draw(st.integers(0, 4)),
        "carts_30d": draw(st.integers(0, 2)),
        "last_csat": draw(st.sampled_from([np.nan, 1.0, 2.0, 3.0])),
        "days_since_last_complaint": draw(st.sampled_from([np.nan, 5.0])),
    }


@given(st.lists(st.one_of(buyers(), st.just(NEVER)), min_size=1, max_size=60))
def test_everybody_is_in_one_class_of_each_scheme_and_the_slow_reading_agrees(rows):
    found = assign(frame_of(*rows))
    assert len(found) == len(rows)
    assert set(found["lifecycle5"]) <= set(LIFECYCLE5)
    assert set(found["rfm15"]) <= set(RFM15)
    assert set(found["dynamic8"]) <= set(DYNAMIC8)
    for row, given_ in zip(rows, found.to_dict("records"), strict=True):
        tier, total = slow_rfm15(row)
        assert given_["lifecycle5"] == slow_lifecycle5(row), row
        assert given_["rfm15"] == tier, row
        assert given_["dynamic8"] == slow_dynamic8(row), row
        assert (None if pd.isna(given_["rfm15_total"]) else given_["rfm15_total"]) == total, row


@given(st.lists(st.one_of(buyers(), st.just(NEVER)), min_size=2, max_size=20), st.randoms())
def test_the_neighbours_change_nobodys_class(rows, random):
    together = assign(frame_of(*rows)).to_dict("records")
    order = random.sample(range(len(rows)), len(rows))
    shuffled = assign(frame_of(*(rows[position] for position in order))).to_dict("records")
    assert [str(together[position]) for position in order] == [str(row) for row in shuffled]


# ------------------------------------------------------------------------------------------------- from orders


def test_from_orders_to_classes(tmp_path):
    # ann: 10 orders in two of the six periods (5 a period, 600 each), the last 5 days ago: 5 + 5 + 4
    ann = [line("ann", f"2024-05-{day:02d}", 120) for day in (22, 23, 24, 26, 27)]
    ann += [line("ann", f"2024-02-{day:02d}", 120) for day in (5, 6, 7, 8, 9)]
    # bob: one order 40 days ago (3), one a period (2), 250 (2); cat: 366 days ago, nothing since: 1 + 1 + 1
    bob, cat = [line("bob", "2024-04-22", 250)], [line("cat", "2023-06-01", 9000)]
    rows = [*ann, *bob, *cat, customer("dan")]
    frame = build(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), ["2024-06-01"], population="all")
    found = assign(frame).set_index(frame["customer_id"])
    assert found["rfm15_total"].to_dict() | {"dan": None} == {"ann": 14, "bob": 7, "cat": 3, "dan": None}
    assert found["rfm15"].to_dict() == {
        "ann": "high_value",
        "bob": "churned",
        "cat": "churned",
        "dan": "prospect",
    }
    assert found["lifecycle5"].to_dict() == {
        "ann": "potential",
        "bob": "potential",
        "cat": "churned",
        "dan": "prospect",
    }
