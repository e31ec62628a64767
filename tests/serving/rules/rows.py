"""Customers for the rules: one plain row with every column, and what a test changes in it."""

import numpy as np
import pandas as pd

from serving.rules.arbitration import decide
from serving.rules.columns import CHANNELS, COLUMNS, PURPOSES, Type, column_type, consent_column
from serving.rules.evaluate import profile
from serving.rules.playbook import default_playbook

# Every column of a customer's row: those that any playbook may read, and what the shipped one measures itself.
ALL = COLUMNS | {one.name: column_type(one) for one in default_playbook().measured}
AS_OF = pd.Timestamp("2026-11-25 04:00")  # noon in Shanghai
DTYPES = {Type.NUMBER: "float64", Type.TEXT: "object", Type.FLAG: "object", Type.TIME: "datetime64[us]"}
# Given only where something happened.
NULL_WHERE_NOTHING = (
    "gap_",
    "overdue",
    "aov",
    "max_order",
    "last_",
    "open_rate",
    "click_rate",
    "days_since",
    "_share_",
)
CONSENTS = {consent_column(channel, purpose): None for channel in CHANNELS for purpose in PURPOSES}
SUBSCRIBED = {consent_column(channel, "marketing"): "SUBSCRIBED" for channel in CHANNELS}


def nothing(name, type_):
    is_null = type_ is not Type.NUMBER or any(part in name for part in NULL_WHERE_NOTHING)
    return None if is_null and type_ is not Type.TIME else pd.NaT if is_null else 0.0


# Registered long ago, agrees to marketing, holds out nothing, and has done nothing at all.
NOBODY = {name: nothing(name, type_) for name, type_ in ALL.items()} | {
    "customer_id": "c1",
    "timezone": "Asia/Shanghai",
    "as_of": AS_OF,
    "status": "no_orders",
    "registered_at": pd.Timestamp("2020-01-01"),
    "days_since_registration": 2520.0,
    "age_years": 40.0,
    "gender": "female",
    "birth_date": pd.Timestamp("1986-05-01"),
    "home_store_id": "s1",
    **SUBSCRIBED,
}
# Four orders of 100 in a year, the last 50 days ago; in the middle of nowhere: no boundary is near.
PLAIN = NOBODY | {
    "orders_all": 4.0,
    "orders_365d": 4.0,
    "orders_180d": 2.0,
    "spend_365d": 400.0,
    "spend_180d": 200.0,
    "aov_365d": 100.0,
    "aov_all": 100.0,
    "active_30d_periods_180d": 2.0,
    "days_since_last_order": 50.0,
    "days_since_first_order": 300.0,
    "gap_mean_days": 83.0,
    "overdue_ratio": 0.6,
    "discount_share_365d": 0.1,
    "online_share_365d": 0.5,
    "weekend_share_365d": 0.2,
    "top_category_share_365d": 0.4,
    "channels_365d": 1.0,
    "distinct_categories_365d": 2.0,
}


def frame_of(*rows):
    """One row each; a net spend that is known is what the spend and the refunds make it."""
    frame = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=DTYPES[type_]) for name, type_ in ALL.items()}
    )
    net = frame["spend_365d"] - frame["refunds_365d"]
    return frame.assign(net_spend_365d=net.where(frame["net_spend_365d"].notna()))


def profile_of(base=PLAIN, **changed):
    return profile(default_playbook(), frame_of(base | changed)).iloc[0]


def decision_of(base=PLAIN, channels=None, playbook=None, **changed):
    found = decide(playbook or default_playbook(), frame_of(base | changed), channels=channels).iloc[0]
    return {name: None if name[:3] != "why" and pd.isna(value) else value for name, value in found.items()}


def random_rows(count, seed=0):
    """Customers with values near the thresholds, nulls, and every consent."""
    random = np.random.default_rng(seed)
    columns = {}
    for name, type_ in ALL.items():
        if name in CONSENTS:
            columns[name] = random.choice(np.array(["SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED", None], object), count,
                                          p=[0.7, 0.1, 0.1, 0.1])  # fmt: skip
        elif type_ is Type.NUMBER:
            columns[name] = random.choice(NEAR[kind_of(name)], count)
        else:
            columns[name] = random.choice(np.array([None, *WORDS.get(name, ["x"])], object), count)
    columns["customer_id"] = [f"c{number}" for number in range(count)]
    columns["as_of"] = random.choice(
        pd.date_range("2026-03-28", "2026-03-30", freq="13min").to_numpy("datetime64[us]"), count
    )
    for name in ("birth_date", "registered_at"):
        columns[name] = random.choice(np.array(["2020-01-01", "NaT"], "datetime64[us]"), count)
    return pd.DataFrame(columns)


NEAR = {
    "days": [0, 6.99, 7, 14.99, 15, 29.99, 30, 60, 89.99, 90, 91, 180, 181, 365, 366, 500, np.nan],
    "orders": [0, 1, 2, 3, 4, 5, 12, np.nan],
    "money": [0, 60, 199.99, 200, 499.99, 500, 800, 5000, 5000.01, 12000, np.nan],
    "share": [0, 0.05, 0.3, 0.5, 0.6, 0.9, 1, 1.5, 2.9, np.nan],
    "contacts": [0, 0, 0, 0, 1, 2],
    "few": [0, 0, 0, 1, 2, 3, 4, 5, np.nan],
}
KINDS = {
    "days": ("days_since", "gap_", "age"),
    "orders": ("orders_", "active_"),
    "money": ("spend", "refunds", "aov", "max_order"),
    "share": ("share", "rate", "ratio", "probability", "p_order"),
    "contacts": ("contacts_", "reserved_"),
}
WORDS = {"status": ["ok", "no_orders"], "member_level": ["gold", "silver"], "registration_channel": ["store", "web"],
         "timezone": ["Asia/Shanghai", "Europe/Zurich", "America/New_York"]}  # fmt: skip


def kind_of(name):
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "few")
