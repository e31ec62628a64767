"""What rules look at: features, facts, scores, profile, consents and reservations of some customers at one instant.

The weekly list and the service make the same table, the one from the warehouse, the other from the store.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from features.profile import CONSENT_CHANNELS, CONSENT_PURPOSES, PROFILE_COLUMNS

__all__ = ["RESERVED_DAYS", "situation"]

RESERVED_DAYS = 30
"""A decision that no contact follows gives its place back after so many days."""

# column -> channel (None: any), days
_RESERVATIONS: dict[str, tuple[str | None, int]] = {
    "reserved_7d": (None, 7),
    "reserved_30d": (None, 30),
    **{
        f"reserved_{channel}_1d": (channel, 1)
        for channel in ("sms", "email", "push", "app_popup", "mini_program", "wecom", "assistant")
    },
    "reserved_official_account_30d": ("official_account", 30),
}
_CONSENTS = [f"consent_{channel}_{purpose}" for channel in CONSENT_CHANNELS for purpose in CONSENT_PURPOSES]


def situation(
    columns: pd.DataFrame,
    scores: pd.DataFrame,
    people: pd.DataFrame,
    words: pd.DataFrame,
    reserved: Sequence[tuple[str, str, int]],
    *,
    as_of: pd.Timestamp,
    timezone: str,
) -> pd.DataFrame:
    """Return one row a customer with every column that a playbook may use (``serving.rules.columns``).

    Parameters
    ----------
    columns
        ``customer_id``, features and facts, n rows.
    scores
        Score rows of the same customers in the same order.
    people, words
        ``features.profile.profiles`` and ``consents``.
    reserved
        (customer, channel, decided at in microseconds) of decisions whose contact has not been reported.
    timezone
        The warehouse's, where neither customer nor home store has one.
    """
    ids = columns["customer_id"]
    table = columns.drop(columns=["cutoff"], errors="ignore").reset_index(drop=True)
    own = [
        name for name in scores.columns if name not in table.columns and name not in ("as_of", "scored_at")
    ]
    profile = people.set_index("customer_id").reindex(ids).reset_index(drop=True)
    return pd.concat(
        [
            table,
            scores[own].reset_index(drop=True),
            _profile(profile, as_of, timezone),
            _consents(words, ids),
            _reservations(reserved, ids, as_of),
        ],
        axis=1,
    ).set_index(columns.index)


def _profile(profile: pd.DataFrame, as_of: pd.Timestamp, timezone: str) -> pd.DataFrame:
    born = pd.to_datetime(profile["birth_date"], format="ISO8601")
    registered = pd.to_datetime(profile["registered_at"], format="ISO8601")
    zones = profile[["timezone", "store_timezone"]].astype("str")  # a frame without people has no types
    zone = zones["timezone"].fillna(zones["store_timezone"]).fillna(timezone)
    today = _local(zone, as_of)
    had_birthday = (born.dt.month < today.dt.month) | (
        (born.dt.month == today.dt.month) & (born.dt.day <= today.dt.day)
    )
    # born on 29 February: a year older on 28 February of a common year
    last_of_february = (today.dt.month == 2) & (today.dt.day == 28) & ~today.dt.is_leap_year
    leapling = (born.dt.month == 2) & (born.dt.day == 29) & last_of_february
    words = [
        name for name in PROFILE_COLUMNS if not name.endswith(("timezone", "birth_date", "registered_at"))
    ]
    return (
        profile[words]
        .astype("str")
        .assign(
            birth_date=born.astype("datetime64[us]"),
            registered_at=registered.astype("datetime64[us]"),
            age_years=today.dt.year - born.dt.year - (~(had_birthday | leapling)).astype(np.int64),
            days_since_registration=(as_of - registered) / timedelta(days=1),
            timezone=zone,
            as_of=as_of,
        )
    )


def _local(zone: pd.Series, as_of: pd.Timestamp) -> pd.Series:
    """Return the wall clock in each customer's zone."""
    clocks = {name: as_of.tz_localize("UTC").tz_convert(name).tz_localize(None) for name in zone.unique()}
    return zone.map(clocks).astype("datetime64[us]")


def _consents(words: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    named = words.assign(column="consent_" + words["channel"] + "_" + words["purpose"])
    wide = named.pivot_table(index="customer_id", columns="column", values="status", aggfunc="last")
    return wide.reindex(index=ids, columns=_CONSENTS).astype("str").reset_index(drop=True)


def _reservations(
    reserved: Sequence[tuple[str, str, int]], ids: pd.Series, as_of: pd.Timestamp
) -> pd.DataFrame:
    places = pd.DataFrame(reserved, columns=["customer_id", "channel", "at"])
    age = as_of.value // 1_000 - places["at"]
    counts = {}
    for column, (channel, days) in _RESERVATIONS.items():
        held = (age < days * 86_400_000_000) & ((places["channel"] == channel) if channel else True)
        counts[column] = places.loc[held, "customer_id"].value_counts().reindex(ids, fill_value=0).to_numpy()
    return pd.DataFrame(counts)
