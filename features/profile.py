"""Who a customer is, as known at an instant: region, store, assistant, level. Not features: attributes for lists."""

import pandas as pd

from features.warehouse import Warehouse

__all__ = ["PROFILE_COLUMNS", "profiles"]

PROFILE_COLUMNS = ("display_name", "region_id", "home_store_id", "owner_id", "member_level")


def profiles(warehouse: Warehouse, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return one row per OneID with a customers row usable at ``as_of``.

    Of several source customers behind one OneID, the row known last speaks; what it leaves empty, an earlier one fills.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` (OneID) and ``PROFILE_COLUMNS``.
    """
    at = f"TIMESTAMP '{as_of}'"
    usable = f"known_at <= {at} AND (superseded_at IS NULL OR superseded_at > {at})"
    values = ", ".join(
        f"arg_max({name}, (known_at, source, own_id)) FILTER ({name} IS NOT NULL) AS {name}"
        for name in PROFILE_COLUMNS
    )
    with warehouse.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"""
            WITH links_at AS (SELECT source, customer_id, one_id FROM links WHERE {usable}),
            people AS (
                SELECT c.* EXCLUDE (customer_id), c.customer_id AS own_id,
                       coalesce(l.one_id, CASE WHEN c.source = 'main' THEN c.customer_id
                                          ELSE c.source || ':' || c.customer_id END) AS customer_id
                FROM (SELECT * FROM customers WHERE {usable}
                      AND (registered_at IS NULL OR registered_at < {at})) c
                LEFT JOIN links_at l ON l.source = c.source AND l.customer_id = c.customer_id)
            SELECT customer_id, {values} FROM people GROUP BY customer_id ORDER BY customer_id
        """).df()
    return frame
