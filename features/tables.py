"""The canonical tables: columns, types, units, keys, business time. Every source is mapped into these.

Types: ``id`` and ``text`` (strings), ``zone`` (IANA time zone), ``time`` (UTC microseconds), ``date``, ``amount`` (major currency units, two
decimals), ``quantity`` (three decimals), ``real``, ``integer``, ``flag``, ``json`` (text holding JSON).

Besides the columns listed here each row carries ``source`` (part of every key), ``known_at`` (when the business could
have known it) and ``superseded_at`` (when a newer version took its place; null while it stands).
"""

from dataclasses import dataclass
from zoneinfo import available_timezones

__all__ = ["CURRENCIES", "TABLES", "ZONES", "Column", "Table"]

ZONES = frozenset(available_timezones() - {"Factory"})
"""IANA time zones; that of a clock nobody has set is none."""


@dataclass(frozen=True)
class Column:
    """One column of a canonical table and what a value must satisfy.

    Attributes
    ----------
    minimum
        Smallest value allowed (inclusive).
    above
        Bound that a value must exceed (exclusive).
    choices
        The only values allowed; empty means any.
    """

    name: str
    type: str
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A canonical table.

    Attributes
    ----------
    key
        Columns that identify a row within a source.
    time
        The column that holds the business time; null for a table whose rows are facts without a time of their own.
    """

    name: str
    key: tuple[str, ...]
    time: str | None
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


def _must(type_: str, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name in names)


def _may(type_: str, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_, required=False) for name in names)


def _one_of(name: str, choices: str, *, required: bool = True) -> tuple[Column, ...]:
    return (Column(name, "text", required=required, choices=tuple(choices.split())),)


def _amount(*names: str, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, "amount", required=required, minimum=0, maximum=LARGEST) for name in names)


LARGEST = 1e9
"""Of an amount or a quantity in one row: beyond it something else was typed in, such as a barcode."""

_SALES_CHANNELS = "store web app mini_program marketplace phone"
_MESSAGE_CHANNELS = "sms email push app_popup official_account mini_program wecom assistant phone"
_PURPOSES = "marketing service transactional"
_EVENTS = (
    "view favourite cart_add cart_remove checkout search follow visit "
    "points_earn points_redeem referral community activity"
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "customers",
            ("customer_id",),
            "registered_at",
            (
                *_must("id", "customer_id"),
                *_may("time", "registered_at"),
                *_may("text", "registration_channel", "display_name"),
                *_may("date", "birth_date"),
                *_may("text", "gender"),
                *_may("id", "region_id", "home_store_id", "owner_id"),
                *_may("text", "member_level"),
                *_may("real", "points"),
                *_may("zone", "timezone"),
                *_may("json", "attributes"),
            ),
        ),
        Table(
            "identifiers",
            ("customer_id", "type", "value_hash"),
            "first_seen_at",
            (
                *_must("id", "customer_id"),
                *_one_of("type", "phone email union_id open_id loyalty_card external"),
                *_must("text", "value_hash"),
                *_must("flag", "verified"),
                *_must("time", "first_seen_at"),
            ),
        ),
        Table(
            "links",
            ("customer_id",),
            None,
            (*_must("id", "customer_id", "one_id"), *_must("text", "rule")),
        ),
        Table(
            "order_lines",
            ("order_id", "line_id"),
            "paid_at",
            (
                *_must("id", "order_id", "line_id"),
                *_may("id", "customer_id"),
                *_one_of("kind", "sale return"),
                *_must("time", "paid_at"),
                *_must("id", "product_id"),
                Column("quantity", "quantity", above=0, maximum=LARGEST),
                *_amount("gross_amount", "discount_amount", "net_amount"),
                *_amount("cost_amount", required=False),
                *_must("text", "currency"),
                *_one_of("channel", _SALES_CHANNELS),
                *_may("id", "store_id", "staff_id", "coupon_id", "original_order_id"),
            ),
        ),
        Table(
            "events",
            ("event_id",),
            "at",
            (
                *_must("id", "event_id", "customer_id"),
                *_must("time", "at"),
                *_one_of("kind", _EVENTS),
                *_may("id", "product_id"),
                *_must("text", "channel"),
                *_may("id", "session_id"),
                Column("duration_s", "real", required=False, minimum=0, maximum=LARGEST),
                *_may("real", "value"),
            ),
        ),
        Table(
            "tickets",
            ("ticket_id",),
            "opened_at",
            (
                *_must("id", "ticket_id", "customer_id"),
                *_must("time", "opened_at"),
                *_may("time", "first_response_at", "closed_at", "rated_at"),
                Column("csat", "integer", required=False, minimum=1, maximum=5),
                *_one_of("kind", "complaint return exchange enquiry"),
                *_may("text", "reason"),
                *_may("id", "order_id", "product_id"),
                Column("contacts_count", "integer", required=False, minimum=0),
                Column("waiting_s", "real", required=False, minimum=0),
            ),
        ),
        Table(
            "feedback",
            ("feedback_id",),
            "at",
            (
                *_must("id", "feedback_id", "customer_id"),
                *_must("time", "at"),
                *_one_of("kind", "review chat survey nps note"),
                Column("rating", "real", required=False, minimum=-LARGEST, maximum=LARGEST),
                *_may("text", "topic"),
                *_may("id", "product_id", "staff_id", "decision_id"),
                *_may("text", "text"),
            ),
        ),
        Table(
            "deliveries",
            ("delivery_id",),
            None,
            (*_must("id", "delivery_id", "order_id"), *_may("time", "promised_at", "delivered_at")),
        ),
        Table(
            "contacts",
            ("contact_id",),
            "sent_at",
            (
                *_must("id", "contact_id", "customer_id"),
                *_must("time", "sent_at"),
                *_one_of("channel", _MESSAGE_CHANNELS),
                *_one_of("purpose", _PURPOSES),
                *_may("id", "campaign_id", "offer_id"),
                *_one_of("status", "delivered undelivered"),
                *_may("time", "opened_at", "clicked_at", "rejected_at", "unsubscribed_at"),
                *_may("id", "converted_order_id"),
                *_amount("cost", required=False),
            ),
        ),
        Table(
            "exposures",
            ("experiment_id", "customer_id"),
            "at",
            (
                *_must("id", "experiment_id", "customer_id"),
                *_must("text", "arm"),
                Column("propensity", "real", above=0, maximum=1),
                *_must("time", "at"),
            ),
        ),
        Table(
            "consents",
            ("customer_id", "channel", "purpose", "at"),
            "at",
            (
                *_must("id", "customer_id"),
                *_one_of("channel", _MESSAGE_CHANNELS),
                *_one_of("purpose", _PURPOSES),
                *_must("time", "at"),
                *_one_of("status", "SUBSCRIBED UNSUBSCRIBED NEVER_SUBSCRIBED"),
                *_may("text", "method", "proof"),
            ),
        ),
        Table(
            "products",
            ("product_id",),
            None,
            (
                *_must("id", "product_id"),
                *_may("text", "name", "category_1", "category_2", "brand"),
                *_amount("list_price", "unit_cost", required=False),
                Column("pack_size", "real", required=False, above=0),
                *_may("flag", "replenishable"),
                *_may("time", "launched_at"),
                *_may("json", "attributes"),
            ),
        ),
        Table(
            "stores",
            ("store_id",),
            None,
            (*_must("id", "store_id", "region_id"), *_may("zone", "timezone")),
        ),
        Table(
            "staff",
            ("staff_id",),
            None,
            (*_must("id", "staff_id", "store_id", "region_id"), *_may("text", "name")),
        ),
        Table(
            "stock",
            ("product_id", "store_id", "at"),
            "at",
            (*_must("id", "product_id", "store_id"), *_must("time", "at"), *_must("quantity", "quantity")),
        ),
    )
}
"""Canonical table name -> table, in the order in which they are loaded."""

# ISO 4217, active codes (list one of the standard's maintenance agency, without funds and metals).
CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP "
    "CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD "
    "MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB "
    "RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD "
    "UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG".split()
)
