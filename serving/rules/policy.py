"""What the playbook says about each customer, rule by rule: one flag a rule. Deciding and tracing both read these."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from features.errors import InputError
from serving.rules.columns import CHANNELS, consent_column
from serving.rules.parts import Offer, Rule
from serving.rules.playbook import Playbook

__all__ = [
    "STAGES",
    "Candidate",
    "candidates",
    "consent_flag",
    "consented",
    "offer_flag",
    "open_channel",
    "open_worth",
    "rule_flag",
    "verdicts",
    "worth_column",
]

STAGES = ("consent", "eligibility", "quiet_period", "frequency_cap", "channel_capacity", "ranking")
"""Always asked in this order."""


@dataclass(frozen=True)
class Candidate:
    """An offer on one of its channels."""

    offer: Offer
    channel: str


def candidates(playbook: Playbook, channels: Collection[str] | None) -> tuple[Candidate, ...]:
    """Return every offer on every channel asked for (None: all), in the playbook's order.

    Raises
    ------
    InputError
        A channel that there is not.
    """
    if unknown := sorted({*(channels or ())} - {*CHANNELS}):
        raise InputError(f"no channel is called {', '.join(unknown)}; there are {', '.join(CHANNELS)}")
    return tuple(
        Candidate(offer, channel)
        for offer in playbook.offers
        for channel in offer.channels
        if channels is None or channel in channels
    )


def consent_flag(channel: str, purpose: str) -> str:
    """Return the column that says whether consent allows a purpose on a channel."""
    return f"?{consent_column(channel, purpose)}"


def offer_flag(offer: Offer) -> str:
    """Return the column that says whether an offer is meant for the customer."""
    return f"?offer {offer.id}"


def worth_column(offer: Offer) -> str:
    """Return the column of what an offer is worth; null where it is worth nothing."""
    return f"?worth {offer.id}"


def open_channel(offer: Offer) -> str:
    """Return the column of the first channel that is open to an offer; null: none is."""
    return f"?channel {offer.id}"


def open_worth(offer: Offer) -> str:
    """Return the column of an offer's worth where a channel is open to it."""
    return f"?open worth {offer.id}"


def rule_flag(rule: Rule) -> str:
    """Return the column that says whether a rule lets a contact pass."""
    return f"?rule {rule.code}"


def consented(column: str, purpose: str) -> pl.Expr:
    """Marketing needs a yes; service and transactional messages pass without a row, unless refused."""
    status = pl.col(column)
    if purpose == "marketing":
        return (status == "SUBSCRIBED").fill_null(value=False)
    return status.is_null() | status.is_in(["SUBSCRIBED", "NEVER_SUBSCRIBED"])


def verdicts(playbook: Playbook, asked: Iterable[Candidate]) -> list[pl.Expr]:
    """Return a flag for each consent, offer and rule, and the worth of each offer."""
    pairs = {(candidate.channel, candidate.offer.purpose): None for candidate in asked}
    return [
        *(
            consented(consent_column(channel, purpose), purpose).alias(consent_flag(channel, purpose))
            for channel, purpose in pairs
        ),
        *(offer.when.holds.alias(offer_flag(offer)) for offer in playbook.offers),
        *(rule.allow.holds.alias(rule_flag(rule)) for rule in _rules(playbook)),
        *(_worth(offer).alias(worth_column(offer)) for offer in playbook.offers),
    ]


def _rules(playbook: Playbook) -> Iterator[Rule]:
    policy = playbook.policy
    yield from (*policy.quiet_period, *policy.frequency_cap, *policy.channel_capacity)


def _worth(offer: Offer) -> pl.Expr:
    worth = offer.worth.compiled
    return pl.when(worth.is_finite() & (worth > 0)).then(worth)
