"""What the store keeps and gives, as plain records. Times are microseconds since 1970, UTC."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Consent", "Decision", "Incoming", "Known", "OpenFact", "Publication", "Verdict"]


@dataclass(frozen=True)
class Publication:
    """What was published last.

    Attributes
    ----------
    as_of
        The warehouse as it was known at this instant.
    layout, digest
        Fingerprints of the packed histories and of the features' definitions.
    """

    warehouse_id: str
    currency: str
    timezone: str
    as_of: int
    model: str
    model_version: str
    layout: str
    digest: str


@dataclass(frozen=True)
class Known:
    """A published customer: packed history (see ``features.packed``) and profile (JSON)."""

    customer_id: str
    history: bytes
    profile: str


@dataclass(frozen=True)
class Consent:
    """The latest word of a customer on a channel and purpose."""

    customer_id: str
    channel: str
    purpose: str
    status: str
    at: int


@dataclass(frozen=True)
class Incoming:
    """A valid fact on its way into the inbox.

    Attributes
    ----------
    key
        The fact's id within table and source.
    own_id
        The source's id of the customer; None for an anonymous sale.
    at
        Business time.
    content
        Canonical columns, JSON-ready.
    """

    table: str
    source: str
    key: str
    own_id: str | None
    at: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class OpenFact:
    """A fact of the inbox that the publication does not hold."""

    seq: int
    table: str
    source: str
    key: str
    own_id: str | None
    customer_id: str | None
    at: int
    received_at: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """A committed decision: it holds a place under the caps until a contact is reported.

    Attributes
    ----------
    withheld
        Left alone for measurement: the offer that ranking chose is not to be made.
    playbook
        Digest of the rules it was decided by.
    facts, trace
        What it depended on, and each step: enough to decide again and get the same.
    """

    decision_id: str
    customer_id: str
    as_of: int
    decided_at: int
    action: str
    purpose: str | None
    offer_id: str | None
    channel: str | None
    withheld: bool
    playbook: str
    facts: Mapping[str, Any]
    trace: list[dict[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What became of an incoming fact: ``accepted``, ``duplicate``, or ``conflict`` (same id, other content)."""

    outcome: str
    detail: str = ""
