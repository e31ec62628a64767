"""What a rule may read: the columns of a customer's row at one as-of, with their types."""

from enum import StrEnum

from features.catalogue import FACTS, FEATURES, with_operands
from features.tables import TABLES
from features.vocabulary import Feature

__all__ = ["CHANNELS", "COLUMNS", "PURPOSES", "SCORES", "TAKEN", "Type", "column_type", "consent_column"]


class Type(StrEnum):
    """Type of a column or of an expression; ``NULL`` is the literal alone."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    TIME = "time"
    NULL = "null"


def _choices(table: str, column: str) -> tuple[str, ...]:
    return next(found.choices for found in TABLES[table].columns if found.name == column)


CHANNELS = _choices("contacts", "channel")
PURPOSES = _choices("contacts", "purpose")

SCORES = (
    "churn_probability",
    *(f"p_order_{days}d" for days in (7, 14, 30, 60, 90)),
    *(f"predicted_clv{part}" for part in ("_90d", "", "_low", "_high")),
    *("predicted_number_of_orders", "total_clv"),
)
"""Predictions; null unless ``status`` is 'ok'."""

# Decided and committed but not sent yet: caps count them with what was sent.
_RESERVATIONS = (
    *("reserved_7d", "reserved_30d"),
    *(f"reserved_{name}_1d" for name in "sms email push app_popup mini_program wecom assistant".split()),
    "reserved_official_account_30d",
)

_PROFILE = {
    Type.TEXT: "customer_id display_name region_id home_store_id owner_id member_level gender registration_channel "
    "timezone status",
    Type.NUMBER: "days_since_registration age_years",
    Type.TIME: "birth_date registered_at as_of",
}


def consent_column(channel: str, purpose: str) -> str:
    """Return the column of the consent given for a purpose on a channel; null there: no row."""
    return f"consent_{channel}_{purpose}"


def column_type(feature: Feature) -> Type:
    """Return the type of a feature's column."""
    return Type.TEXT if feature.is_text else Type.NUMBER


COLUMNS: dict[str, Type] = {
    **{feature.name: column_type(feature) for feature in (*FEATURES, *FACTS)},
    **dict.fromkeys((*_RESERVATIONS, *SCORES), Type.NUMBER),
    **{name: type_ for type_, names in _PROFILE.items() for name in names.split()},
    **{consent_column(channel, purpose): Type.TEXT for channel in CHANNELS for purpose in PURPOSES},
}
"""Column -> type, in a fixed order."""

TAKEN = frozenset(
    (
        # families, and the features that others are made of
        *(one.measure.name for one in (*FEATURES, *FACTS)),
        *(one.name for one in with_operands((*FEATURES, *FACTS))),
        # what stands beside the columns in a customer's row, a score or a list
        *"cutoff store_timezone scored_at horizon_days model_version average_days_between_orders average_order_value".split(),
        *"historic_clv action rank owner offer offer_id channel send_after value_at_risk no_offer_because".split(),
        *(f"{end}_date_of_next_order" for end in ("expected", "earliest", "latest")),
        *(f"reason_{number}" for number in (1, 2, 3)),
    )
)
"""Names that a measure of a playbook may not have, beside those of ``COLUMNS``: it would be mistaken for another thing."""
