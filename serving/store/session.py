"""What may be asked of the store and told to it, within one transaction."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from features.errors import InputError
from serving.store.records import Consent, Decision, Incoming, Known, OpenFact, Publication, Verdict
from serving.store.schema import (
    COPIES,
    attributes,
    bundle,
    consents,
    current,
    customers,
    decisions,
    generations,
    inbox,
    links,
)

__all__ = ["Session"]

_CHUNK = 500
"""Values in one statement: below what any database refuses."""

_AHEAD_US = 300_000_000
"""The sender's clock may run behind the server's."""

T = TypeVar("T")
FactKey = tuple[int, str, str, str]
"""Sequence number, table, source, key."""

_GENERATION = sa.select(current.c.generation).scalar_subquery()
_FACT = [
    inbox.c[name]
    for name in ("seq", "table_name", "source", "key", "own_id", "customer_id", "at", "received_at")
]


class Session:
    """A transaction of a store, as ``Store.reading`` and ``Store.writing`` give it."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    # what was published

    def publication(self) -> Publication | None:
        """Return what was published last; None before the first time."""
        columns = [generations.c[name] for name in Publication.__dataclass_fields__]
        row = self._connection.execute(
            sa.select(*columns).where(generations.c.generation == _GENERATION)
        ).first()
        return None if row is None else Publication(*row)

    def generation(self) -> int | None:
        """Return the number of the current generation; None before the first publication."""
        return self._connection.scalar(sa.select(current.c.generation))

    def bundle(self) -> dict[str, bytes]:
        """Return the published models' files."""
        query = sa.select(bundle.c.name, bundle.c.content).where(bundle.c.generation == _GENERATION)
        return {row.name: bytes(row.content) for row in self._connection.execute(query)}

    def attributes(self, kind: str) -> dict[str, str]:
        """Return the published attributes of a kind: ``category`` of products, ``zone`` of stores."""
        query = sa.select(attributes.c.key, attributes.c.value)
        query = query.where(attributes.c.generation == _GENERATION, attributes.c.kind == kind)
        return {row.key: row.value for row in self._connection.execute(query)}

    def customers(self, ids: Iterable[str]) -> dict[str, Known]:
        """Return the published customers among these."""
        query = sa.select(customers.c.customer_id, customers.c.history, customers.c.profile)
        rows = self._of(query.where(customers.c.generation == _GENERATION), customers.c.customer_id, ids)
        return {name: Known(name, bytes(history), profile) for name, history, profile in rows}

    def customer_ids(self) -> list[str]:
        """Return all published customers in order."""
        query = sa.select(customers.c.customer_id).where(customers.c.generation == _GENERATION)
        return list(self._connection.scalars(query.order_by(customers.c.customer_id)))

    def consents(self, ids: Iterable[str]) -> list[Consent]:
        """Return the published consents of these customers."""
        columns = [consents.c[name] for name in Consent.__dataclass_fields__]
        query = sa.select(*columns).where(consents.c.generation == _GENERATION)
        return [Consent(*row) for row in self._of(query, consents.c.customer_id, ids)]

    def linked(self, own_ids: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the OneIDs of these (source, own id) that have a link."""
        wanted = set(own_ids)
        query = sa.select(links.c.source, links.c.own_id, links.c.customer_id)
        rows = self._of(
            query.where(links.c.generation == _GENERATION), links.c.own_id, {own for _, own in wanted}
        )
        return {(source, own): one for source, own, one in rows if (source, own) in wanted}

    # the inbox

    def accept(self, facts: Sequence[Incoming], received_at: int) -> list[Verdict]:
        """Take facts in; of two with one id the first stands.

        Returns
        -------
        list of Verdict
            One a fact, in their order.
        """
        names = self.linked((fact.source, fact.own_id) for fact in facts if fact.own_id is not None)
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for fact in facts:
            row = _inbox_row(fact, names, received_at)
            rows.setdefault((fact.table, fact.source, fact.key), row)
        new = self._insert_new(list(rows.values()))
        verdicts = []
        digests = {name: row["digest"] for name, row in rows.items()} | self._digests(set(rows) - new)
        for fact in facts:
            name = (fact.table, fact.source, fact.key)
            if digests[name] != _digest(fact):
                detail = f"{fact.table} {fact.key!r} of source {fact.source!r} was taken in before with other content"
                verdicts.append(
                    Verdict("conflict", f"{detail}: correct it through the source's own delivery")
                )
            elif name in new:
                new.discard(name)  # the same fact once more is a duplicate
                verdicts.append(Verdict("accepted"))
                self._settle(fact, rows[name]["customer_id"])
            else:
                verdicts.append(Verdict("duplicate"))
        return verdicts

    def open_facts(self, ids: Iterable[str]) -> list[OpenFact]:
        """Return the open facts of these customers, in the order in which they came."""
        query = sa.select(*_FACT, inbox.c.content).where(inbox.c.is_open)
        rows = self._of(query, inbox.c.customer_id, ids)
        return sorted((_open_fact(row) for row in rows), key=lambda fact: fact.seq)

    def open_after(self, seq: int, most: int) -> list[OpenFact]:
        """Return the next open facts after a sequence number."""
        query = sa.select(*_FACT, inbox.c.content).where(inbox.c.is_open, inbox.c.seq > seq)
        return [_open_fact(row) for row in self._connection.execute(query.order_by(inbox.c.seq).limit(most))]

    def open_keys(self) -> list[tuple[FactKey, int]]:
        """Return (sequence number, table, source, key) and business time of all open facts."""
        columns = (inbox.c.seq, inbox.c.table_name, inbox.c.source, inbox.c.key, inbox.c["at"])
        query = sa.select(*columns).where(inbox.c.is_open)
        return [
            ((row.seq, row.table_name, row.source, row.key), row.at)
            for row in self._connection.execute(query)
        ]

    # decisions

    def commit(self, decision: Decision) -> None:
        """Keep a decision; it holds its place until a contact is reported."""
        row = asdict(decision)
        row["facts"], row["trace"] = _json(decision.facts), _json(decision.trace)
        self._connection.execute(sa.insert(decisions), row)

    def reserved(self, ids: Iterable[str], since: int) -> list[tuple[str, str, int]]:
        """Return (customer, channel, decided at) of marketing decisions since then that no contact has followed yet."""
        query = sa.select(decisions.c.customer_id, decisions.c.channel, decisions.c.decided_at)
        query = query.where(
            decisions.c.decided_at > since,
            decisions.c.action == "offer",
            decisions.c.contact_key.is_(None),
            decisions.c.purpose == "marketing",
        )
        return [(who, channel, at) for who, channel, at in self._of(query, decisions.c.customer_id, ids)]

    def decision(self, decision_id: str) -> Decision | None:
        """Return a committed decision."""
        columns = [decisions.c[name] for name in Decision.__dataclass_fields__]
        row = self._connection.execute(
            sa.select(*columns).where(decisions.c.decision_id == decision_id)
        ).first()
        if row is None:
            return None
        return Decision(**{**row._asdict(), "facts": json.loads(row.facts), "trace": json.loads(row.trace)})

    # publishing

    def begin_generation(self, publication: Publication) -> int:
        """Return the number of a new generation, which nobody sees yet."""
        found = self._connection.execute(sa.insert(generations).values(**asdict(publication)))
        return int((found.inserted_primary_key or (0,))[0])

    def add(self, table: str, generation: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a copy of a generation: ``bundle``, ``customers``, ``consents``, ``links``, ``attributes``."""
        copy = {copy.name: copy for copy in COPIES}[table]
        if rows:
            self._connection.execute(sa.insert(copy), [{"generation": generation, **row} for row in rows])

    def make_current(self, generation: int, publication: Publication, closed: Sequence[int]) -> None:
        """Let a generation take the current one's place; close the facts that it holds, name the others' customers anew.

        Raises
        ------
        InputError
            The store holds a newer publication, one that began later, or another warehouse's.
        """
        before, served = self.publication(), self.generation()
        if served is not None and served > generation:  # which has begun to drop this one's rows
            raise InputError(
                f"a publication that began later (generation {served}) was done before this one ({generation}): "
                "nothing was replaced"
            )
        if before is not None and before.warehouse_id != publication.warehouse_id:
            raise InputError(
                f"the store holds warehouse {before.warehouse_id}, and {publication.warehouse_id} was to be published: "
                "one store serves one warehouse"
            )
        if before is not None and before.as_of > publication.as_of:
            raise InputError(
                f"the store holds a publication as of {before.as_of} us, newer than this one ({publication.as_of} us): "
                "nothing was replaced"
            )
        self._connection.execute(sa.delete(current))
        self._connection.execute(sa.insert(current).values(only=1, generation=generation))
        for chunk in _chunks(closed):
            self._connection.execute(sa.update(inbox).where(inbox.c.seq.in_(chunk)).values(is_open=False))
        self._rename_open()

    def drop_older(self, generation: int, most: int) -> int:
        """Delete up to so many customers of generations before this one, or else all that is left of these."""
        old = sa.select(customers.c.generation, customers.c.customer_id).where(
            customers.c.generation < generation
        )
        some = self._connection.execute(old.limit(most)).all()
        for number in {row.generation for row in some}:
            for chunk in _chunks([row.customer_id for row in some if row.generation == number]):
                condition = (customers.c.generation == number) & customers.c.customer_id.in_(chunk)
                self._connection.execute(sa.delete(customers).where(condition))
        if not some:
            for copy in (*COPIES, generations):
                self._connection.execute(sa.delete(copy).where(copy.c.generation < generation))
        return len(some)

    def _of(self, query: sa.Select[Any], column: sa.Column[Any], ids: Iterable[str]) -> Iterator[Any]:
        # no id has a NUL, and PostgreSQL refuses to look for one
        for chunk in _chunks(sorted({one for one in ids if "\x00" not in one})):
            yield from self._connection.execute(query.where(column.in_(chunk)))

    def _insert_new(self, rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
        """Insert the rows whose key is not there yet and return the keys of these."""
        make = sqlite.insert if self._connection.dialect.name == "sqlite" else postgresql.insert
        new = set()
        # in one order always: two requests with the same ids would wait for each other for ever
        for chunk in _chunks(sorted(rows, key=lambda row: (row["table_name"], row["source"], row["key"]))):
            insert = make(inbox).values(chunk).on_conflict_do_nothing()
            found = self._connection.execute(
                insert.returning(inbox.c.table_name, inbox.c.source, inbox.c.key)
            )
            new |= {(row.table_name, row.source, row.key) for row in found}
        return new

    def _digests(self, names: set[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
        query = sa.select(inbox.c.table_name, inbox.c.source, inbox.c.key, inbox.c.digest)
        rows = self._of(query, inbox.c.key, {key for _, _, key in names})
        return {
            (table, source, key): digest
            for table, source, key, digest in rows
            if (table, source, key) in names
        }

    def _settle(self, fact: Incoming, customer_id: str | None) -> None:
        """Let a delivered marketing contact take the place that the oldest decision before it on its channel had reserved.

        What was not delivered counts under no cap, so its decision keeps the place.
        """
        contact = fact.content
        if fact.table != "contacts" or (contact["purpose"], contact["status"]) != ("marketing", "delivered"):
            return
        waiting = sa.select(decisions.c.decision_id).where(
            decisions.c.customer_id == customer_id, decisions.c.channel == contact["channel"],
            decisions.c.contact_key.is_(None), decisions.c.action == "offer", decisions.c.purpose == "marketing",
            decisions.c.decided_at <= fact.at + _AHEAD_US,
        )  # fmt: skip
        if contact.get("offer_id"):
            waiting = waiting.where(decisions.c.offer_id == contact["offer_id"])
        # one that another contact is settling just now is left to it
        free = waiting.order_by(decisions.c.decided_at).limit(1).with_for_update(skip_locked=True)
        oldest = self._connection.scalar(free)
        if oldest is not None:
            settled = sa.update(decisions).where(decisions.c.decision_id == oldest)
            self._connection.execute(settled.values(contact_key=f"{fact.source}|{fact.key}"))

    def _rename_open(self) -> None:
        """Give open facts the OneIDs of the links now published."""
        query = sa.select(inbox.c.seq, inbox.c.source, inbox.c.own_id, inbox.c.customer_id)
        rows = self._connection.execute(query.where(inbox.c.is_open, inbox.c.own_id.is_not(None))).all()
        names = self.linked((row.source, row.own_id) for row in rows)
        for row in rows:
            name = _one_id(row.source, row.own_id, names)
            if name != row.customer_id:
                self._connection.execute(
                    sa.update(inbox).where(inbox.c.seq == row.seq).values(customer_id=name)
                )


def _one_id(source: str, own_id: str | None, names: Mapping[tuple[str, str], str]) -> str | None:
    if own_id is None:
        return None
    return names.get((source, own_id), own_id if source == "main" else f"{source}:{own_id}")


def _inbox_row(fact: Incoming, names: Mapping[tuple[str, str], str], received_at: int) -> dict[str, Any]:
    return {
        "table_name": fact.table, "source": fact.source, "key": fact.key, "own_id": fact.own_id,
        "customer_id": _one_id(fact.source, fact.own_id, names), "at": fact.at, "received_at": received_at,
        "content": _json(fact.content), "digest": _digest(fact), "is_open": True,
    }  # fmt: skip


def _open_fact(row: Any) -> OpenFact:
    seq, table, source, key, own_id, customer_id, at, received_at, content = row
    return OpenFact(seq, table, source, key, own_id, customer_id, at, received_at, json.loads(content))


def _digest(fact: Incoming) -> str:
    return hashlib.sha256(_json([fact.own_id, fact.content]).encode()).hexdigest()[:32]


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
