"""Features of one customer's events, messages, tickets, deliveries and feedback, each straight off its definition."""

from decimal import Decimal
from fractions import Fraction

from tests.features.oracle_orders import weekly_slope
from tests.features.oracle_sums import in_days, inside, mean, ratio, shared_out, total, within

__all__ = ["of_traces", "rules_facts"]

MESSAGE_CHANNELS = ("sms", "email", "push", "app_popup", "mini_program", "wecom", "assistant")
EVENTS = (
    [(f"views_{days}d", "view", days) for days in (7, 30, 90)]
    + [(f"carts_{days}d", "cart_add", days) for days in (7, 30, 90)]
    + [("cart_removals_30d", "cart_remove", 30), ("checkouts_30d", "checkout", 30)]
    + [("favourites_30d", "favourite", 30), ("searches_30d", "search", 30), ("visits_30d", "visit", 30)]
)


def of_traces(past):
    """Name -> value, of every feature that looks at what a customer did beside buying, and what was done for it."""
    values = {}
    for part in (browsing, viewing, campaigns, tickets, ratings, deliveries, feedback):
        values |= part(past)
    return values


def since(past, times):
    """Days since the latest of the times."""
    return in_days(past.cutoff - max(times)) if times else None


def has_followed(past, row, name):
    return row.get(name) is not None and row[name] < past.cutoff


def followed(past, rows, name):
    """Those whose later field has come."""
    return [row for row in rows if has_followed(past, row, name)]


def mean_delay(past, rows, time, name):
    return mean([in_days(max(row[name], row[time]) - row[time]) for row in followed(past, rows, name)])


# ------------------------------------------------------------------------------------------------- browsing


def browsing(past):
    def of_kind(kind, days):
        return [row for row in within(past.events, "at", past.cutoff, days) if row["kind"] == kind]

    values = {name: len(of_kind(kind, days)) for name, kind, days in EVENTS}
    return values | {
        "views_change_30d": 2 * len(of_kind("view", 30)) - len(of_kind("view", 60)),
        "carts_per_view_30d": ratio(len(of_kind("cart_add", 30)), len(of_kind("view", 30))),
        "events_slope_84d": weekly_slope(past, [(row["at"], 1) for row in past.events]),
        "days_since_last_event": since(past, [row["at"] for row in past.events]),
        "days_since_last_view": since(past, [row["at"] for row in of_kind("view", None)]),
        "days_since_last_cart": since(past, [row["at"] for row in of_kind("cart_add", None)]),
    }


def viewing(past):
    month = within(past.events, "at", past.cutoff, 30)
    viewed = [row for row in month if row["kind"] == "view"]
    return {
        "browsing_days_30d": len({row["at"].astimezone(past.zone).date() for row in month}),
        "sessions_30d": len(
            {(row["source"], row["session_id"]) for row in month if row["session_id"] is not None}
        ),
        "viewed_products_30d": len(
            {(row["source"], row["product_id"]) for row in viewed if row["product_id"] is not None}
        ),
        "viewed_categories_30d": len({past.attribute(row, "category_1") for row in viewed} - {None}),
        "browsing_seconds_30d": sum(rounded(row["duration_s"] or 0) for row in month),
    }


def rounded(value):
    """To three decimals."""
    return Decimal(str(value)).quantize(Decimal("0.001"))


# ------------------------------------------------------------------------------------------------- messages


def campaigns(past):
    sent = {days: within(past.contacts, "sent_at", past.cutoff, days) for days in (7, 30, 90, 365)}

    def rate(name, days):
        return ratio(len(followed(past, sent[days], name)), len(sent[days]))

    def last(name):
        return since(past, [max(row[name], row["sent_at"]) for row in followed(past, past.contacts, name)])

    return {
        **{f"contacts_{days}d": len(sent[days]) for days in (7, 30, 90)},
        **{f"open_rate_{days}d": rate("opened_at", days) for days in (90, 365)},
        **{f"click_rate_{days}d": rate("clicked_at", days) for days in (90, 365)},
        "rejections_365d": len(followed(past, sent[365], "rejected_at")),
        "unsubscribes_365d": len(followed(past, sent[365], "unsubscribed_at")),
        "contact_channels_90d": len({row["channel"] for row in sent[90]}),
        "days_since_last_contact": since(past, [row["sent_at"] for row in past.contacts]),
        "days_since_last_open": last("opened_at"),
        "days_since_last_click": last("clicked_at"),
    }


# ------------------------------------------------------------------------------------------------- tickets


def tickets(past):
    def opened(days, *kinds):
        rows = within(past.tickets, "opened_at", past.cutoff, days)
        return [row for row in rows if not kinds or row["kind"] in kinds]

    return {
        **{f"tickets_{days}d": len(opened(days)) for days in (90, 365)},
        **{f"complaints_{days}d": len(opened(days, "complaint")) for days in (90, 365)},
        "enquiries_30d": len(opened(30, "enquiry")),
        "exchanges_365d": len(opened(365, "exchange")),
        "open_tickets": len(past.tickets) - len(followed(past, past.tickets, "closed_at")),
        "first_response_days_365d": mean_delay(past, opened(365), "opened_at", "first_response_at"),
        "resolution_days_365d": mean_delay(past, opened(365), "opened_at", "closed_at"),
        "days_since_last_ticket": since(past, [row["opened_at"] for row in past.tickets]),
        "days_since_last_complaint": since(past, [row["opened_at"] for row in opened(None, "complaint")]),
    }


def ratings(past):
    """A rating stands at its own time, or at its ticket's opening if it is dated before that."""
    rated = [row for row in followed(past, past.tickets, "rated_at") if row["csat"] is not None]
    latest = max(rated, key=lambda row: (row["rated_at"], row["source"], row["ticket_id"]), default=None)
    year = [row["csat"] for row in rated if inside(max(row["rated_at"], row["opened_at"]), past.cutoff, 365)]
    return {
        "last_csat": latest["csat"] if latest else None,
        "csat_mean_365d": mean(year),
        "csat_min_365d": min(year, default=None),
    }


# ------------------------------------------------------------------------------------------------- deliveries, feedback


def deliveries(past):
    def of(days):
        return [vars(row) for row in past.deliveries if inside(row.time, past.cutoff, days)]

    year, quarter = of(365), of(90)
    late = followed(past, of(None), "late_at")
    return {
        "deliveries_365d": len(year),
        "delivery_days_365d": mean_delay(past, year, "time", "delivered_at"),
        "late_delivery_share_365d": ratio(len(followed(past, year, "late_at")), len(year)),
        "undelivered_90d": len(quarter) - len(followed(past, quarter, "delivered_at")),
        "days_since_last_late_delivery": since(past, [max(row["late_at"], row["time"]) for row in late]),
    }


def feedback(past):
    def given(kind, days):
        rows = within(past.feedback, "at", past.cutoff, days)
        return [row for row in rows if row["kind"] == kind]

    def last_rating(kind):
        rated = [row for row in given(kind, None) if row["rating"] is not None]
        return max(rated, key=lambda row: (row["at"], row["rating"]))["rating"] if rated else None

    reviews = [rounded(row["rating"]) for row in given("review", 365) if row["rating"] is not None]
    return {
        "feedback_365d": len(within(past.feedback, "at", past.cutoff, 365)),
        "reviews_365d": len(given("review", 365)),
        "chats_90d": len(given("chat", 90)),
        "review_rating_mean_365d": mean(reviews),
        "review_rating_min_365d": min(reviews, default=None),
        "last_review_rating": None if (last := last_rating("review")) is None else rounded(last),
        "last_nps": None if (last := last_rating("nps")) is None else rounded(last),
        "days_since_last_feedback": since(past, [row["at"] for row in past.feedback]),
    }


# ------------------------------------------------------------------------------------------------- facts


def rules_facts(past):
    """Name -> value, of what only rules look at; texts among them."""
    complaints = [row for row in past.tickets if row["kind"] == "complaint"]
    lines = past.lines_in(365)
    values = {
        "open_complaints": len(complaints) - len(followed(past, complaints, "closed_at")),
        "last_complaint_csat": last_complaint_csat(past, complaints),
        "top_category_365d": top_word(past, lines, "category_1"),
        "top_brand_365d": top_word(past, lines, "brand"),
        "last_channel": min(
            (order.channel for order in past.orders if order.time == past.orders[-1].time), default=None
        ),
    }
    for channel, days in (*((channel, 1) for channel in MESSAGE_CHANNELS), ("official_account", 30)):
        sent = within(past.contacts, "sent_at", past.cutoff, days)
        values[f"contacts_{channel}_{days}d"] = sum(row["channel"] == channel for row in sent)
    return values


def last_complaint_csat(past, complaints):
    """Of several opened at one instant the worst, and null if one of them has no rating."""
    opened = max((row["opened_at"] for row in complaints), default=None)
    last = [row for row in complaints if row["opened_at"] == opened]
    given = [row["csat"] if has_followed(past, row, "rated_at") else None for row in last]
    return Fraction(min(given)) if given and None not in given else None


def top_word(past, lines, column):
    """The group with the largest sum, of equals the alphabetically first; null where nothing was paid for any."""
    groups = shared_out((past.attribute(line, column), line["net_amount"]) for line in lines)
    if not total(groups.values()):
        return None
    return min(word for word, amount in groups.items() if amount == max(groups.values()))
