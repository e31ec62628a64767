"""Who a customer is, as known at an instant: region, store, assistant, level. Not features: attributes for lists."""

import pandas as pd

from features.sql import one_id, usable_at
from features.tables import TABLES
from features.warehouse import Warehouse

__all__ = ["CONSENT_CHANNELS", "CONSENT_PURPOSES", "PROFILE_COLUMNS", "consents", "profiles"]

PROFILE_COLUMNS = (
    "display_name",
    "region_id",
    "home_store_id",
    "owner_id",
    "member_level",
    "gender",
    "birth_date",
    "registered_at",
    "registration_channel",
    "timezone",
    "store_timezone",
)

_CHOICES = {column.name: column.choices for column in TABLES["consents"].columns}
CONSENT_CHANNELS, CONSENT_PURPOSES = _CHOICES["channel"], _CHOICES["purpose"]


def profiles(warehouse: Warehouse, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return one row per OneID with a customers row usable at ``as_of``.

    Of several source customers behind one OneID, the row known last speaks; what it leaves empty, an earlier one fills.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` (OneID) and ``PROFILE_COLUMNS``; ``store_timezone`` is the home store's.
    """
    at = f"TIMESTAMP '{as_of}'"
    values = ", ".join(
        f"arg_max({name}, (known_at, source, own_id)) FILTER ({name} IS NOT NULL) AS {name}"
        for name in PROFILE_COLUMNS
    )
    with warehouse.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"""
            WITH links_at AS (SELECT source, customer_id, one_id FROM links WHERE {usable_at(as_of)}),
            stores_at AS (SELECT source, store_id, timezone FROM stores WHERE {usable_at(as_of)}),
            people AS (
                SELECT c.* EXCLUDE (customer_id), c.customer_id AS own_id, s.timezone AS store_timezone,
                       {one_id("c")} AS customer_id
                FROM (SELECT * FROM customers WHERE {usable_at(as_of)}
                      AND (registered_at IS NULL OR registered_at < {at})) c
                LEFT JOIN links_at l ON l.source = c.source AND l.customer_id = c.customer_id
                LEFT JOIN stores_at s ON s.source = c.source AND s.store_id = c.home_store_id)
            SELECT customer_id, {values} FROM people GROUP BY customer_id ORDER BY customer_id
        """).df()
    return frame


def consents(warehouse: Warehouse, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return the latest word of each OneID on each channel and purpose before ``as_of``; of two at once the refusal.

    Whoever unsubscribes by a message refuses marketing on its channel.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` (OneID), ``channel``, ``purpose``, ``status``, ``at``.
    """
    at = f"TIMESTAMP '{as_of}'"
    with warehouse.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"""
            WITH links_at AS (SELECT source, customer_id, one_id FROM links WHERE {usable_at(as_of)}),
            words AS (
                SELECT {one_id("c")} AS customer_id, c.channel, c.purpose, c.status, c."at"
                FROM (SELECT source, customer_id, channel, purpose, status, "at" FROM consents
                      WHERE {usable_at(as_of)} AND "at" < {at}
                      UNION ALL SELECT source, customer_id, channel, 'marketing', 'UNSUBSCRIBED', unsubscribed_at
                      FROM contacts WHERE {usable_at(as_of)} AND sent_at < {at} AND unsubscribed_at < {at}) c
                LEFT JOIN links_at l ON l.source = c.source AND l.customer_id = c.customer_id)
            SELECT customer_id, channel, purpose, arg_max(status, ("at", status <> 'SUBSCRIBED', status)) AS status,
                   max("at") AS "at"
            FROM words GROUP BY customer_id, channel, purpose ORDER BY customer_id, channel, purpose
        """).df()
    return frame
