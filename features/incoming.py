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
from features.streams import CHOICES, FOREVER

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
    """What rows are seen with: category and brand of ``source|product_id``, the zone of ``source|store_id`` and of a OneID."""

    category: Mapping[str, str] = field(default_factory=dict)
    brand: Mapping[str, str] = field(default_factory=dict)
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


def stream_rows(facts: Sequence[Fact], attributes: Attributes) -> dict[str, pa.RecordBatch]:
    """Return the rows of some facts, as ``features.streams.read`` gives them with ``named``."""
    found: dict[str, list[dict[str, object]]] = {name: [] for name in SCHEMAS}
    for fact in facts:
        stream, rows_of = _READERS.get(fact.table, ("presence", _present))
        found[stream] += rows_of(fact, attributes)
    return {name: pa.RecordBatch.from_pylist(found[name], schema=schema) for name, schema in SCHEMAS.items()}


def merged(
    history: Mapping[str, pa.RecordBatch], newer: Mapping[str, pa.RecordBatch]
) -> dict[str, pa.RecordBatch]:
    """Return the rows of both, a fact that is in both as the history has it."""
    rows = dict(history)
    for name, batch in newer.items():
        if batch.num_rows:
            key = _KEYS.get(name)
            if key is not None:
                batch = batch.filter(
                    pc.invert(pc.is_in(batch.column(key), value_set=history[name].column(key)))
                )
            rows[name] = pa.concat_batches([history[name], batch])
    return rows


_KEYS = {"lines": "order_id", "events": "id", "tickets": "id", "contacts": "id", "feedback": "id"}


def _row(fact: Fact, time: str, **columns: object) -> dict[str, object]:
    at = microseconds(fact.content[time])
    return {
        "entity": fact.entity,
        "time": at,
        "usable_from": fact.received_at,
        "usable_to": FOREVER,
        **columns,
    }


def _code(stream: str, column: str, word: str) -> int:
    return CHOICES[stream][column].index(word)


def _scaled(value: object, scale: int) -> int:
    """Return a decimal number in whole units, rounded as the warehouse rounds."""
    return int((Decimal(str(value)) * scale).to_integral_value(ROUND_HALF_UP))


def _times(content: Mapping[str, Any], *names: str) -> dict[str, int | None]:
    return {name: microseconds(content.get(name)) for name in names}


def _lines(fact: Fact, attributes: Attributes) -> Iterable[dict[str, object]]:
    order, source = fact.content, fact.source
    store = f"{source}|{order['store_id']}" if order.get("store_id") else None
    zone = attributes.zone.get(fact.entity) or attributes.store_zone.get(store or "")
    for line in order["lines"]:
        product = f"{source}|{line['product_id']}"
        amounts = {name: _scaled(line[f"{name}_amount"], 100) for name in ("net", "gross", "discount")}
        yield _row(
            fact, "paid_at", order_id=f"{source}|{order['order_id']}", line_id=line["line_id"],
            kind=_code("lines", "kind", order["kind"]), product=product, category=attributes.category.get(product),
            brand=attributes.brand.get(product), channel=_code("lines", "channel", order["channel"]), store=store, zone=zone,
            coupon=int(line.get("coupon_id") is not None), quantity=_scaled(line["quantity"], 1000), **amounts,
        )  # fmt: skip


def _events(fact: Fact, attributes: Attributes) -> Iterable[dict[str, object]]:
    event, source = fact.content, fact.source
    product, session = (
        f"{source}|{event[name]}" if event.get(name) else None for name in ("product_id", "session_id")
    )
    yield _row(
        fact, "at", kind=_code("events", "kind", event["kind"]), id=f"{source}|{event['event_id']}", product=product,
        category=attributes.category.get(product or ""), channel=event["channel"], session=session,
        duration=_scaled(event.get("duration_s") or 0, 1000),
    )  # fmt: skip


def _tickets(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    ticket = fact.content
    yield _row(
        fact, "opened_at", id=f"{fact.source}|{ticket['ticket_id']}", kind=_code("tickets", "kind", ticket["kind"]),
        csat=ticket.get("csat"), **_times(ticket, "first_response_at", "closed_at", "rated_at"),
    )  # fmt: skip


def _contacts(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    contact = fact.content
    codes = {name: _code("contacts", name, contact[name]) for name in ("channel", "purpose", "status")}
    times = _times(contact, "opened_at", "clicked_at", "rejected_at", "unsubscribed_at")
    yield _row(fact, "sent_at", id=f"{fact.source}|{contact['contact_id']}", **codes, **times)


def _feedback(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    said, rating = fact.content, fact.content.get("rating")
    yield _row(
        fact, "at", id=f"{fact.source}|{said['feedback_id']}", kind=_code("feedback", "kind", said["kind"]),
        rating=None if rating is None else _scaled(rating, 1000),
    )  # fmt: skip


def _present(fact: Fact, _: Attributes) -> Iterable[dict[str, object]]:
    yield _row(fact, "at")


# canonical table -> stream and how its rows are made; of any other fact only that it was there
_READERS: dict[str, tuple[str, Callable[[Fact, Attributes], Iterable[dict[str, object]]]]] = {
    "order_lines": ("lines", _lines),
    "events": ("events", _events),
    "tickets": ("tickets", _tickets),
    "contacts": ("contacts", _contacts),
    "feedback": ("feedback", _feedback),
}
