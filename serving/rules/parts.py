"""What a playbook is made of, each part checked and compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time

import polars as pl

from serving.rules.columns import Type
from serving.rules.language import Expression
from serving.rules.words import Sentence, Words

__all__ = [
    "KINDS",
    "LAYERS",
    "OFFER_PURPOSES",
    "Definition",
    "Holdout",
    "Notice",
    "Offer",
    "Policy",
    "QuietHours",
    "Rule",
    "Scheme",
    "SegmentClass",
    "Tag",
]

LAYERS = ("basic", "behaviour", "value", "preference", "service")
KINDS = ("coupon", "gift", "task", "content", "reminder")
OFFER_PURPOSES = ("marketing", "service")


@dataclass(frozen=True)
class Definition:
    """A column that the playbook adds to the profile.

    Attributes
    ----------
    columns
        Columns that it names itself, input or defined before.
    level
        0 if it needs input columns only, else one more than the highest of what it needs.
    """

    name: str
    type: Type
    columns: tuple[str, ...]
    level: int
    compiled: pl.Expr


@dataclass(frozen=True)
class SegmentClass:
    """A class of a scheme: whoever is in none before it and meets its condition."""

    id: str
    title: Words
    when: Expression


@dataclass(frozen=True)
class Scheme:
    """Classes in order: the first whose condition holds is the customer's; the last one's is ``true``."""

    name: str
    title: Words
    classes: tuple[SegmentClass, ...]


@dataclass(frozen=True)
class Tag:
    """A flag on a customer: what it is called, when it holds, and why it matters."""

    id: str
    layer: str
    title: Words
    when: Expression
    why: Words


@dataclass(frozen=True)
class Offer:
    """What may be put before a customer.

    Attributes
    ----------
    channels
        In order of preference.
    when
        Whom it is for.
    worth
        Expected gain less cost in the retailer's currency; null or not above 0: contact nobody.
    cost
        Of one contact; ``:cost`` in ``worth``.
    value
        What the CRM hands out (face value, minimum spend, ...).
    reason
        In English and Chinese.
    """

    id: str
    title: Words
    purpose: str
    kind: str
    channels: tuple[str, ...]
    when: Expression
    worth: Expression
    cost: float
    value: Mapping[str, float | str | bool]
    expires_days: int | None
    reason: tuple[Sentence, ...]

    @property
    def is_marketing(self) -> bool:
        """Service offers are exempt from quiet periods, caps and holdout, never from consent."""
        return self.purpose == "marketing"


@dataclass(frozen=True)
class Rule:
    """A row of the contact policy: the contact passes if ``allow`` holds, so what is not known stops it.

    Attributes
    ----------
    channel
        The only channel it is about; None: all.
    """

    code: str
    allow: Expression
    words: Words
    channel: str | None = None


@dataclass(frozen=True)
class Notice:
    """What is said where a stage that has no rules of its own stops everything."""

    code: str
    words: Words


@dataclass(frozen=True)
class Holdout:
    """Customers withheld from marketing: those whose hash falls under ``share``; a new salt draws anew."""

    share: float
    salt: str
    words: Words


@dataclass(frozen=True)
class QuietHours:
    """No message from ``start`` to ``end`` (exclusive) on the customer's clock; equal: never quiet."""

    start: time
    end: time
    words: Words


@dataclass(frozen=True)
class Policy:
    """Contact policy, in the order in which it is asked."""

    consent_missing: Notice
    consent_refused: Notice
    eligibility: Notice
    quiet_period: tuple[Rule, ...]
    frequency_cap: tuple[Rule, ...]
    channel_capacity: tuple[Rule, ...]
    ranking: Notice
    holdout: Holdout
    quiet_hours: QuietHours

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code of a rule or notice, in order."""
        notices = (self.consent_missing, self.consent_refused, self.eligibility, self.ranking)
        rules = (*self.quiet_period, *self.frequency_cap, *self.channel_capacity)
        return (*(notice.code for notice in notices), *(rule.code for rule in rules))

    def capacity_of(self, channel: str) -> tuple[Rule, ...]:
        """Return the rules about one channel."""
        return tuple(rule for rule in self.channel_capacity if rule.channel == channel)
