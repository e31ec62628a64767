"""The service's work without its web: scores on read, decisions, facts taken in. Everything comes from the store.

A customer is scored from the packed history and the open facts, through the kernel and the predict code that the warehouse
goes through: what was posted a moment ago counts, and there is no second copy of the feature logic.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.contract import current_contract
from features.errors import ContractError, ModelError, StoreUnavailable
from features.incoming import Attributes, Fact, instant_of, merged, stream_rows
from features.kernel import compute, compute_one
from features.packed import LAYOUT, empty, unpack
from features.plan import Plan, whole_catalogue
from features.windows import DAY_US
from serving.api import FactKind, Rejected, Reported, read_facts
from serving.score import SCORE_COLUMNS, score_columns
from serving.store import Incoming, Known, OpenFact, Publication, Session, Store
from training.predict import Models, load_models

__all__ = ["Live", "Moment", "now_us", "plain", "written"]

_Batches = Mapping[str, pa.RecordBatch]


def now_us() -> int:
    """Return the server's time, microseconds since 1970."""
    passed = datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return passed // timedelta(microseconds=1)


@dataclass(frozen=True)
class _Served:
    """What one generation of the store is served with."""

    generation: int
    publication: Publication
    category: Mapping[str, str]
    brand: Mapping[str, str]
    store_zone: Mapping[str, str]
    seasons: Mapping[str, str]


@dataclass(frozen=True)
class Moment:
    """Some customers at one instant (microseconds): K known ones, their features and facts, K values each."""

    customer_ids: list[str]
    as_of: int
    columns: Mapping[str, NDArray[np.float64]]
    texts: Mapping[str, NDArray[np.object_]]


class Live:
    """What the endpoints do.

    Parameters
    ----------
    store
        Its current generation must have been published by this Patron's features.

    Raises
    ------
    StoreUnavailable
        Nothing has been published yet.
    ContractError, ModelError
        What was published belongs to other features, or its model is damaged.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.reading() as session:
            self._served = _serve(session)
            self._models = _models(session.bundle())
        # of what is loaded, whatever is published later
        self._version = self._served.publication.model_version
        compute_one(empty(), now_us())  # what is compiled is compiled before the first request
        trained = pd.Timestamp(self._models.churn.card.as_of)
        if trained.value // 1_000 > now_us():
            raise ModelError(
                f"the published model was trained as of {trained}, which is in the future: set the clock right"
            )

    @property
    def store(self) -> Store:
        """Where everything comes from."""
        return self._store

    @property
    def publication(self) -> Publication:
        """What is served now."""
        return self._served.publication

    @property
    def model_version(self) -> str:
        """Version of the models loaded at the start."""
        return self._version

    @property
    def models(self) -> Models:
        """The models loaded at the start."""
        return self._models

    def is_ready(self) -> bool:
        """Tell whether the store answers and holds what this Patron can serve."""
        try:
            with self._store.reading() as session:
                self._renew(session)
        except (StoreUnavailable, ContractError):
            return False
        return True

    def score(self, customer_ids: Sequence[str], at: int | None = None) -> list[dict[str, Any]]:
        """Return a score row for each customer, in their order; who is not known has the status ``unknown_customer``.

        Parameters
        ----------
        at
            Instant, microseconds; now by default, and later where a customer's newest fact is.
        """
        at = now_us() if at is None else at
        with self._store.reading() as session:
            moments = self.moments(session, customer_ids, at, whole_catalogue())
        return self._score_rows(moments, customer_ids, at)

    def score_inline(
        self, given: Mapping[str, Sequence[Incoming]], at: int | None = None
    ) -> list[dict[str, Any]]:
        """Return a score row for each customer given with facts; the store is not asked about them."""
        at = now_us() if at is None else at
        facts = [
            OpenFact(seq, fact.table, fact.source, fact.key, fact.own_id, customer, fact.at, at, fact.content)
            for customer, theirs in given.items()
            for seq, fact in enumerate(theirs)
        ]
        return self._score_rows(self._computed({}, facts, at, whole_catalogue()), list(given), at)

    def report(self, kind: FactKind, items: Sequence[Any]) -> tuple[Reported, bool]:
        """Take facts in, the good ones in one transaction; and tell whether all that failed are conflicts."""
        received = now_us()
        good, rejected = read_facts(kind, items, instant_of(received), self.publication.currency)
        with self._store.writing() as session:
            verdicts = session.accept([fact for _, fact in good], received)
        conflicts = [
            Rejected(index=index, detail=verdict.detail)
            for (index, _), verdict in zip(good, verdicts, strict=True)
            if verdict.outcome == "conflict"
        ]
        counts = [verdict.outcome for verdict in verdicts]
        every = sorted((*rejected, *conflicts), key=lambda one: one.index)
        reported = Reported(
            accepted=counts.count("accepted"), duplicates=counts.count("duplicate"), rejected=every
        )
        return reported, not rejected

    def rows_of(self, moment: Moment) -> list[dict[str, Any]]:
        """Return the score rows of a moment's customers."""
        at, scored_at = np.datetime64(moment.as_of, "us"), np.datetime64(now_us(), "us")
        rows = score_columns(moment.columns, self._models, self._version, as_of=at, scored_at=scored_at)
        lists = {name: plain(values) for name, values in rows.items()}
        return [
            {"customer_id": name, **{key: values[place] for key, values in lists.items()}}
            for place, name in enumerate(moment.customer_ids)
        ]

    def _score_rows(self, moments: Iterable[Moment], ids: Sequence[str], at: int) -> list[dict[str, Any]]:
        found = {row["customer_id"]: row for moment in moments for row in self.rows_of(moment)}
        return [found.get(name) or self._unknown(name, at) for name in ids]

    def _unknown(self, customer_id: str, at: int) -> dict[str, Any]:
        """Return a score row of the same shape that says so."""
        row = dict.fromkeys(["customer_id", *SCORE_COLUMNS])
        return row | {
            "customer_id": customer_id, "as_of": written(instant_of(at)), "scored_at": written(instant_of(now_us())),
            "horizon_days": self._models.churn.card.horizon_days, "status": "unknown_customer",
            "model_version": self._version,
        }  # fmt: skip

    def moments(self, session: Session, ids: Iterable[str], at: int, wanted: Plan) -> list[Moment]:
        """Return the known customers among these, as of ``at`` or their own newest fact."""
        self._renew(session)
        names, at = set(ids), max(at, self.publication.as_of)
        return self._computed(session.customers(names), session.open_facts(names), at, wanted)

    def _renew(self, session: Session) -> None:
        """Serve a generation that was published since; its model is loaded by the next start."""
        if session.generation() != self._served.generation:
            self._served = _serve(session)

    def _computed(
        self, known: Mapping[str, Known], facts: Sequence[OpenFact], at: int, wanted: Plan
    ) -> list[Moment]:
        """Compute the features of customers from their histories and open facts, each as of its own instant."""
        rows = unpack([(name, customer.history) for name, customer in known.items()])
        if facts:
            rows = merged(rows, stream_rows([_fact(fact) for fact in facts], self._attributes(known)))
        newest: dict[str, int] = {}
        for fact in facts:  # what was taken in counts, whichever clock runs ahead
            counts_from = max(fact.at + 1, fact.received_at)
            if counts_from > at:
                newest[str(fact.customer_id)] = max(newest.get(str(fact.customer_id), 0), counts_from)
        ahead = set(newest)
        moments = [self._moment(_of(rows, ahead, without=True) if ahead else rows, at, wanted)]
        moments += [self._moment(_of(rows, {name}), newest[name], wanted) for name in sorted(ahead)]
        return moments

    def _moment(self, rows: _Batches, as_of: int, wanted: Plan) -> Moment:
        served = self._served
        given = json.loads(served.seasons.get(str(as_of // DAY_US), "{}"))
        computed = compute(
            rows, np.array([as_of]), wanted, timezone=served.publication.timezone,
            given={name: np.array([value], dtype=np.float64) for name, value in given.items()},
        )  # fmt: skip
        columns = {name: values[:, 0] for name, values in computed.columns.items()}
        texts = {name: values[:, 0] for name, values in computed.texts.items()}
        return Moment(computed.customers.to_pylist(), as_of, columns, texts)

    def _attributes(self, known: Mapping[str, Known]) -> Attributes:
        zones = {name: json.loads(customer.profile).get("timezone") for name, customer in known.items()}
        own = {name: zone for name, zone in zones.items() if zone}
        return Attributes(self._served.category, self._served.brand, self._served.store_zone, own)


def _serve(session: Session) -> _Served:
    """Return the current generation, once it is found to fit.

    Raises
    ------
    StoreUnavailable, ContractError
    """
    generation, publication = session.generation(), session.publication()
    if generation is None or publication is None:
        raise StoreUnavailable("the store is empty: fill it with `patron publish`")
    if (publication.layout, publication.digest) != (LAYOUT, current_contract().digest):
        raise ContractError(
            f"the store was published by another Patron (features {publication.digest}, layout {publication.layout}; here "
            f"{current_contract().digest}, {LAYOUT}): serve with that one, or train and publish with this one"
        )
    kinds = ("category", "brand", "zone", "season")
    return _Served(generation, publication, *(session.attributes(kind) for kind in kinds))


def _models(files: Mapping[str, bytes]) -> Models:
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in files.items():
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return load_models(Path(scratch))


def _fact(fact: OpenFact) -> Fact:
    return Fact(fact.table, str(fact.customer_id), fact.source, fact.received_at, fact.content)


def _of(rows: _Batches, names: set[str], *, without: bool = False) -> _Batches:
    """Return the rows of these customers, or of all others."""
    wanted = pa.array(sorted(names), pa.string())
    masks = {name: pc.is_in(table.column("entity"), value_set=wanted) for name, table in rows.items()}
    return {
        name: table.filter(pc.invert(masks[name]) if without else masks[name]) for name, table in rows.items()
    }


def plain(values: NDArray[Any]) -> list[Any]:
    """Return values as JSON has them: null for what is missing, times as text."""
    if values.dtype.kind == "M":
        return [
            None if np.isnat(value) else f"{np.datetime_as_string(value, unit='us')}Z" for value in values
        ]
    if values.dtype.kind == "f":
        return [value if value == value else None for value in values.tolist()]
    return list(values.tolist())


def written(at: datetime) -> str:
    """Return a time as answers have it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
