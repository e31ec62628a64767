"""Features of what one customer bought and brought back, each straight off its definition."""

from tests.features.oracle_sums import (
    entropy,
    hhi,
    in_days,
    mean,
    ratio,
    share,
    shared_out,
    top_share,
    total,
    within,
)

__all__ = ["of_goods"]


def of_goods(past):
    """Name -> value, of every feature that looks into baskets, at prices, or at what came back."""
    return basket(past) | breadth(past) | promotions(past) | returns(past)


def basket(past):
    orders, lines = past.orders_in(365), past.lines_in(365)
    last = past.last_orders
    return {
        "lines_per_order_365d": mean([len(order.lines) for order in orders]),
        "units_per_order_365d": mean([order.quantity for order in orders]),
        "products_per_order_365d": ratio(
            len({(line["source"], line["product_id"]) for line in lines}), len(orders)
        ),
        "unit_price_365d": ratio(past.spend(365), total(line["quantity"] for line in lines)),
        "single_line_share_365d": share(orders, lambda order: len(order.lines) == 1),
        "max_order_units_365d": max((order.quantity for order in orders), default=None),
        "last_order_lines": max((len(order.lines) for order in last), default=None),
        "last_order_units": max((order.quantity for order in last), default=None),
    }


def breadth(past):
    lines, spend = past.lines_in(365), past.spend(365)
    categories = shared_out((past.attribute(line, "category_1"), line["net_amount"]) for line in lines)
    brands = shared_out((past.attribute(line, "brand"), line["net_amount"]) for line in lines)
    return {
        "top_category_share_365d": top_share(categories, spend),
        "top2_category_share_365d": top_share(categories, spend, most=2),
        "category_hhi_365d": hhi(categories),
        "category_entropy_365d": entropy(categories),
        "distinct_brands_365d": len(brands),
        "top_brand_share_365d": top_share(brands, spend),
        "brand_hhi_365d": hhi(brands),
        "repeat_line_share_365d": repeat_line_share(past),
    }


def repeat_line_share(past):
    """Share of the year's lines whose product is in an earlier order, whenever that was."""
    first = {}
    for order in past.orders:  # by time
        for line in order.lines:
            first.setdefault((line["source"], line["product_id"]), order.time)
    bought = [(order, line) for order in past.orders_in(365) for line in order.lines]
    return share(bought, lambda pair: first[pair[1]["source"], pair[1]["product_id"]] < pair[0].time)


def promotions(past):
    orders = past.orders_in(365)
    given_away = {days: total(line["discount_amount"] for line in past.lines_in(days)) for days in (90, 365)}
    listed = {days: total(line["gross_amount"] for line in past.lines_in(days)) for days in (90, 365)}
    return {
        "discount_share_90d": ratio(given_away[90], listed[90]),
        "discount_share_365d": ratio(given_away[365], listed[365]),
        "discount_365d": given_away[365],
        "discounted_order_share_365d": share(
            orders, lambda order: any(line["discount_amount"] > 0 for line in order.lines)
        ),
        "coupon_order_share_365d": share(
            orders, lambda order: any(line["coupon_id"] is not None for line in order.lines)
        ),
    }


def returns(past):
    year = within(past.returns, "paid_at", past.cutoff, 365)
    brought_back = {
        days: {
            (line["source"], line["order_id"]) for line in within(past.returns, "paid_at", past.cutoff, days)
        }
        for days in (90, 365)
    }
    return {
        "return_orders_90d": len(brought_back[90]),
        "return_orders_365d": len(brought_back[365]),
        "returned_units_365d": total(line["quantity"] for line in year),
        "refund_share_365d": ratio(past.refunds(365), past.spend(365)),
        "refund_share_all": ratio(past.refunds(None), past.spend(None)),
        "return_order_share_365d": ratio(len(brought_back[365]), len(past.orders_in(365))),
        "days_since_last_return": min(
            (in_days(past.cutoff - line["paid_at"]) for line in past.returns), default=None
        ),
    }
