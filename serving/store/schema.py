"""The tables of the store. Times are microseconds since 1970, UTC."""

from typing import Any

import sqlalchemy as sa

__all__ = [
    "COPIES",
    "attributes",
    "bundle",
    "consents",
    "current",
    "customers",
    "decisions",
    "generations",
    "inbox",
    "links",
    "metadata",
]

metadata = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by themselves only in INTEGER


def _table(name: str, *columns: sa.Column[Any] | sa.UniqueConstraint | sa.Index) -> sa.Table:
    return sa.Table(name, metadata, *columns)


def _key(name: str, kind: Any = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _must(name: str, kind: Any = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _may(name: str, kind: Any = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


generations = _table(
    "generations", sa.Column("generation", _ID, primary_key=True),
    *(_must(name) for name in ("warehouse_id", "currency", "timezone", "model", "model_version", "layout", "digest")),
    _must("as_of", sa.BigInteger),
)  # fmt: skip
current = _table("current_generation", _key("only", sa.Integer), _must("generation", sa.BigInteger))
bundle = _table("bundle", _key("generation", sa.BigInteger), _key("name"), _must("content", sa.LargeBinary))
customers = _table(
    "customers", _key("generation", sa.BigInteger), _key("customer_id"), _must("history", sa.LargeBinary), _must("profile")
)  # fmt: skip
consents = _table(
    "consents", _key("generation", sa.BigInteger), _key("customer_id"), _key("channel"), _key("purpose"),
    _must("status"), _must("at", sa.BigInteger),
)  # fmt: skip
links = _table(
    "links", _key("generation", sa.BigInteger), _key("source"), _key("own_id"), _must("customer_id")
)
# kind: category of a product, zone of a store
attributes = _table(
    "attributes", _key("generation", sa.BigInteger), _key("kind"), _key("key"), _must("value")
)
COPIES = (bundle, customers, consents, links, attributes)
"""What a generation consists of."""

inbox = _table(
    "inbox", sa.Column("seq", _ID, primary_key=True), _must("table_name"), _must("source"), _must("key"),
    _may("own_id"), _may("customer_id"), _must("at", sa.BigInteger), _must("received_at", sa.BigInteger),
    _must("content"), _must("digest"), _must("is_open", sa.Boolean),
    sa.UniqueConstraint("table_name", "source", "key"), sa.Index("inbox_of_customer", "customer_id"),
)  # fmt: skip
decisions = _table(
    "decisions", _key("decision_id"), _must("customer_id"), _must("as_of", sa.BigInteger),
    _must("decided_at", sa.BigInteger), _must("action"), _may("purpose"), _may("offer_id"), _may("channel"), _must("withheld", sa.Boolean),
    _must("playbook"), _must("facts"), _must("trace"), _may("contact_key"),
    sa.Index("decisions_of_customer", "customer_id", "decided_at"),
)  # fmt: skip
