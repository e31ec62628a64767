"""Facts as they come in one by one, turned into the rows that the kernel sees: what ``features.streams`` asks of SQL.

A fact is one order, event, ticket, contact, consent or piece of feedback in canonical columns. It is known from the moment
it was received. A fact that the packed history holds already counts once: the history's version stands.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.packed import SCHEMAS
from features.streams import FOREVER, Rows

__all__ = ["Attributes", "Fact", "instant_of", "merged", "microseconds", "stream_rows"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fact:
    """One accepted fact.

    Attributes
    ----------
    table
        Canonical table; an order is one fact of ``order_lines`` with its lines under ``lines``.
    entity
        OneID.
    received_at
        Microseconds since 1970, UTC.
    content
        Canonical columns: ids and words as text, times as ISO 8601 with a zone, amounts as decimal text.
    """

    table: str
    entity: str
    source: str
    received_at: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Attributes:
    """What rows are seen with: the category of ``source|product_id``, the zone of ``source|store_id`` and of a OneID."""

    category: Mapping[str, str] = field(default_factory=dict)
    store_zone: Mapping[str, str] = field(default_factory=dict)
    zone: Mapping[str, str] = field(default_factory=dict)


def microseconds(text: str | None) -> int | None:
    """Return an ISO 8601 time with a zone as microseconds since 1970; None stays None."""
    if text is None:
        return None
    passed = datetime.fromisoformat(text) - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def instant_of(at: int) -> datetime:
    """Return microseconds since 1970 as a time in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def stream_rows(facts: Sequence[Fact], attributes: Attributes) -> Rows:
    """Return the rows of some facts, as ``features.streams.read`` gives them with ``named``."""
    found: dict[str, list[dict[str, object]]] = {name: [] for name in SCHEMAS}
    for fact in facts:
        stream, rows_of = _READERS.get(fact.table, ("presence", _present))
        found[stream] += rows_of(fact, attributes)
    return {name: pa.Table.from_pylist(found[name], schema=schema) for name, schema in SCHEMAS.items()}


def merged(history: Rows, newer: Rows) -> Rows:
    """Return the rows of both, a fact that is in both as the history has it."""
    rows = dict(history)
    for name, table in newer.items():
        if table.num_rows:
            key = _KEYS.get(name)
            if key is not None:
                table = table.filter(
                    pc.invert(pc.is_in(table[key], value_set=history[name][key].combine_chunks()))
                )
            rows[name] = pa.concat_tables([history[name], table])
    return rows


_KEYS = {"lines": "order_id", "events": "id", "tickets": "id", "contacts": "id"}


def _row(fact: Fact, time: str, **columns: object) -> dict[str, object]:
    at = microseconds(fact.content[time])
    return {
        "entity": fact.entity,
        "time": at,
        "usable_from": fact.received_at,
        "usable_to": FOREVER,
        **columns,
    }


def _lines(fact: Fact, attributes: Attributes) -> Iterable[dict[str, object]]:
    order, source = fact.content, fact.source
    zone = attributes.zone.get(fact.entity) or attributes.store_zone.get(f"{source}|{order.get('store_id')}")
    for line in order["lines"]:
        product = f"{source}|{line['product_id']}"
        amounts = {
            # as the warehouse rounds
            short: int((Decimal(line[name]) * scale).to_integral_value(ROUND_HALF_UP))
            for short, name, scale in (
                ("net", "net_amount", 100),
                ("gross", "gross_amount", 100),
                ("discount", "discount_amount", 100),
                ("quantity", "quantity", 1000),
            )
        }
        yield _row(
            fact, "paid_at", order_id=f"{source}|{order['order_id']}", line_id=line["line_id"], kind=order["kind"],
            product=product, category=attributes.category.get(product), channel=order["channel"], zone=zone, **amounts,
        )  # fmt: skip


def _events(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    yield _row(fact, "at", kind=fact.content["kind"], id=f"{fact.source}|{fact.content['event_id']}")


def _tickets(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    ticket = fact.content
    yield _row(
        fact, "opened_at", id=f"{fact.source}|{ticket['ticket_id']}", kind=ticket["kind"], csat=ticket.get("csat"),
        closed_at=microseconds(ticket.get("closed_at")), rated_at=microseconds(ticket.get("rated_at")),
    )  # fmt: skip


def _contacts(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    contact = fact.content
    yield _row(
        fact, "sent_at", id=f"{fact.source}|{contact['contact_id']}", channel=contact["channel"],
        purpose=contact["purpose"], status=contact["status"], opened_at=microseconds(contact.get("opened_at")),
        clicked_at=microseconds(contact.get("clicked_at")),
    )  # fmt: skip


def _present(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    yield _row(fact, "at")


# canonical table -> stream and how its rows are made; of any other fact only that it was there
_READERS: dict[str, tuple[str, Callable[[Fact, Attributes], Iterable[dict[str, object]]]]] = {
    "order_lines": ("lines", _lines),
    "events": ("events", _events),
    "tickets": ("tickets", _tickets),
    "contacts": ("contacts", _contacts),
}
