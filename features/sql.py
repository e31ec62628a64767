"""SQL that every question to the warehouse shares: which version of a line counts, whose it is, which product."""

import pandas as pd

__all__ = ["LATEST", "link", "one_id", "product_key", "usable", "usable_at"]

LATEST = "superseded_at IS NULL"
"""The version of an order line that stands today."""


def usable_at(at: pd.Timestamp) -> str:
    """Return the condition that a row version was what the business knew at an instant."""
    return f"known_at <= TIMESTAMP '{at}' AND (superseded_at IS NULL OR superseded_at > TIMESTAMP '{at}')"


def usable(known_by: pd.Timestamp | None) -> str:
    """Return the condition that a version of an order line of the past is what was known of it at an instant; None: today."""
    return LATEST if known_by is None else f"paid_at < TIMESTAMP '{known_by}' AND {usable_at(known_by)}"


def one_id(alias: str) -> str:
    """Return the OneID of a row that ``link`` has joined."""
    own = f"CASE WHEN {alias}.source = 'main' THEN {alias}.customer_id ELSE {alias}.source || ':' || {alias}.customer_id END"
    return f"coalesce(l.one_id, {own})"


def link(alias: str, at: str) -> str:
    """Return the join of a row's link as known at an instant, an SQL expression, under the name ``l``."""
    return (
        f"LEFT JOIN links l ON l.source = {alias}.source AND l.customer_id = {alias}.customer_id AND l.known_at <= {at} "
        f"AND (l.superseded_at IS NULL OR l.superseded_at > {at})"
    )


def product_key(alias: str) -> str:
    """Return the name of a row's product: its id, with the source before it beyond ``main``."""
    return f"CASE WHEN {alias}.source = 'main' THEN {alias}.product_id ELSE {alias}.source || '|' || {alias}.product_id END"
