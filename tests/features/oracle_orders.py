"""Features of one customer's orders: how much, when, where; each straight off its definition."""

import math
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

from tests.features.oracle_sums import DAY, hhi, in_days, inside, mean, ratio, share, shared_out, std, total

__all__ = ["of_orders", "weekly_slope"]

WINDOWS = {"7d": 7, "30d": 30, "90d": 90, "180d": 180, "365d": 365, "all": None}


def of_orders(past):
    """Name -> value, of every feature of orders, or of the cutoff alone, and of the sums of their lines."""
    values = {}
    for window, days in WINDOWS.items():
        values |= {f"{name}_{window}": value for name, value in purchases(past, days).items()}
    for part in (values_of_orders, rhythm, renewal, btyd, trends, channels, context):
        values |= part(past)
    return values


# ------------------------------------------------------------------------------------------------- purchases


def purchases(past, days):
    orders, lines = past.orders_in(days), past.lines_in(days)
    spend = total(line["net_amount"] for line in lines)
    return {
        "orders": len(orders),
        "spend": spend,
        "units": total(line["quantity"] for line in lines),
        "refunds": past.refunds(days),
        "active_days": len({order.time.astimezone(past.zone).date() for order in orders}),
        "aov": ratio(spend, len(orders)),
        "distinct_products": len({(line["source"], line["product_id"]) for line in lines}),
        "distinct_categories": len({past.attribute(line, "category_1") for line in lines} - {None}),
        "max_order_value": max((order.value for order in orders), default=None),
    }


def values_of_orders(past):
    values = [order.value for order in past.orders_in(365)]
    last = max((order.value for order in past.last_orders), default=None)
    return {
        "min_order_value_365d": min(values, default=None),
        "order_value_std_365d": std(values),
        "order_value_cv_365d": ratio(std(values), mean(values)),
        "net_spend_90d": past.spend(90) - past.refunds(90),
        "net_spend_365d": past.spend(365) - past.refunds(365),
        "net_spend_all": past.spend(None) - past.refunds(None),
        "first_order_value": max((order.value for order in past.first_orders), default=None),
        "last_order_value": last,
        "last_order_value_ratio": ratio(last, mean([order.value for order in past.orders])),
    }


# ------------------------------------------------------------------------------------------------- rhythm and renewal


def gaps_of(past):
    return [after.time - before.time for before, after in pairwise(past.orders)]


def rhythm(past):
    gaps = [in_days(gap) for gap in gaps_of(past)]
    silence = in_days(past.cutoff - past.orders[-1].time) if past.orders else None
    deviation = std(gaps)
    return {
        "days_since_last_order": silence,
        "days_since_first_order": in_days(past.cutoff - past.orders[0].time) if past.orders else None,
        "gap_mean_days": mean(gaps),
        "gap_std_days": deviation,
        "gap_min_days": min(gaps, default=None),
        "gap_max_days": max(gaps, default=None),
        "gap_last_days": gaps[-1] if gaps else None,
        "gap_cv": ratio(deviation, mean(gaps)),
        "gap_last_ratio": ratio(gaps[-1] if gaps else None, mean(gaps)),
        "overdue_ratio": ratio(silence, mean(gaps)),
        "silence_ratio": ratio(silence, max(gaps, default=None)),
        "gap_clumpiness": clumpiness([*gaps, silence]) if gaps else None,
        "active_30d_periods_180d": sum(bool(past.orders_in(days + 30, days)) for days in range(0, 180, 30)),
    }


def clumpiness(gaps):
    """1 + sum of x ln x / ln n over the shares x of n gaps, the one that is still open included."""
    shares_ = [float(gap / sum(gaps)) for gap in gaps]
    return 1 + sum(x * math.log(x) for x in shares_ if x > 0) / math.log(len(gaps))


def renewal(past):
    gaps = gaps_of(past)
    silence = past.cutoff - past.orders[-1].time if past.orders else None
    longer = [gap for gap in gaps if gap > silence]
    values = {
        "gaps": len(gaps),
        "longer_gaps": len(longer),
        "longer_gaps_share": ratio(len(longer), len(gaps)),
    }
    for days in (7, 14, 30, 90):
        values[f"renewal_share_{days}d"] = share(longer, lambda gap, days=days: gap <= silence + days * DAY)
    return values


def btyd(past):
    day_of = {id(order): order.time.astimezone(past.zone).date() for order in past.orders}
    days = sorted(set(day_of.values()))
    frequency = max(len(days) - 1, 0)
    repeat = total(order.value for order in past.orders if day_of[id(order)] != days[0])
    times = [order.time for order in past.orders]
    return {
        "btyd_frequency": frequency,
        "btyd_recency_days": in_days(times[-1] - times[0]) if times else None,
        "btyd_age_days": in_days(past.cutoff - times[0]) if times else None,
        "btyd_litt": sum(math.log((after - before).days) for before, after in pairwise(days)),
        "btyd_monetary": ratio(repeat, frequency),
    }


# ------------------------------------------------------------------------------------------------- trends


def weekly_slope(past, rows):
    """Slope of the least-squares line through what the last 12 weeks add up to; ``rows`` are times and amounts."""
    y = [Fraction(0)] * 12
    for time, amount in rows:
        if inside(time, past.cutoff, 84):
            back = past.cutoff - time  # at most 7 days: the latest week
            y[-(-back // (7 * DAY)) - 1] += Fraction(amount)
    x = [Fraction(-week) for week in range(12)]
    deviations = [(a - mean(x)) for a in x]
    return sum(a * (b - mean(y)) for a, b in zip(deviations, y, strict=True)) / sum(a * a for a in deviations)


def trends(past):
    values = {
        "recent_orders_share": ratio(len(past.orders_in(90)), len(past.orders_in(365))),
        "recent_spend_share": ratio(past.spend(90), past.spend(365)),
        "recent_aov_ratio": ratio(
            mean([order.value for order in past.orders_in(90)]),
            mean([order.value for order in past.orders_in(365)]),
        ),
        "orders_slope_84d": weekly_slope(past, [(order.time, 1) for order in past.orders]),
        "spend_slope_84d": weekly_slope(past, [(order.time, order.value) for order in past.orders]),
    }
    for days in (30, 90, 180):
        values[f"orders_change_{days}d"] = len(past.orders_in(days)) - len(past.orders_in(2 * days, days))
        values[f"spend_change_{days}d"] = past.spend(days) - past.spend(2 * days, days)
    return values


# ------------------------------------------------------------------------------------------------- where and when

CALENDAR = {
    "online": lambda order: order.channel != "store",
    "weekend": lambda order: order.local.weekday() in (5, 6),
    "morning": lambda order: 6 <= order.local.hour < 12,
    "afternoon": lambda order: 12 <= order.local.hour < 18,
    "evening": lambda order: 18 <= order.local.hour < 22,
    "night": lambda order: order.local.hour >= 22 or order.local.hour < 6,
}


def channels(past):
    orders, last = past.orders_in(365), past.last_orders
    in_store = [order.time for order in past.orders if order.channel == "store"]
    online = [order.time for order in past.orders if order.channel != "store"]
    visited = {
        (order.first["source"], order.first["store_id"])
        for order in orders
        if order.first["store_id"] is not None
    }
    values = {f"{name}_share_365d": share(orders, holds) for name, holds in CALENDAR.items()}
    return values | {
        "channels_365d": len({order.channel for order in orders}),
        "stores_365d": len(visited),
        "channel_hhi_365d": hhi(shared_out((order.channel, order.value) for order in orders)),
        "fourth_quarter_share_all": share(past.orders, lambda order: order.local.month >= 10),
        "last_order_online": max((order.channel != "store" for order in last), default=None),
        "days_since_last_store_order": in_days(past.cutoff - in_store[-1]) if in_store else None,
        "days_since_last_online_order": in_days(past.cutoff - online[-1]) if online else None,
    }


def context(past):
    cutoff = past.cutoff.astimezone(UTC)
    begins, ends = datetime(cutoff.year, 1, 1, tzinfo=UTC), datetime(cutoff.year + 1, 1, 1, tzinfo=UTC)
    angle = 2 * math.pi * ((cutoff - begins) / (ends - begins))
    return {
        "season_sin": math.sin(angle),
        "season_cos": math.cos(angle),
        "first_order_month": max((order.local.month for order in past.first_orders), default=None),
        "orders_ahead_last_year": len(past.orders_in(365, 275)),
        "spend_ahead_last_year": past.spend(365, 275),
    }
