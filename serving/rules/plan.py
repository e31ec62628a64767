"""The expressions of a decision, built once for a playbook and the channels asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from serving.rules.columns import consent_column
from serving.rules.parts import Offer, Policy
from serving.rules.playbook import Playbook
from serving.rules.policy import (
    Candidate,
    candidates,
    consent_flag,
    offer_flag,
    open_channel,
    open_worth,
    rule_flag,
    verdicts,
    worth_column,
)
from serving.rules.words import Words

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is computed, step by step; each step needs the columns of those before.

    Attributes
    ----------
    asked
        Every offer on every channel asked for, in the playbook's order.
    offers
        In the order that decides between equals: service first, then the playbook's. An offer's number is its place.
    services
        How many of them are service offers.
    steps
        Verdicts; the first open channel of each offer; its worth there; the numbers ``best`` and ``best_service``.
    result
        The columns of the answer, once ``pick``, ``held`` (numbers of offers) and ``send_after`` are there.
    stop_parts, stop
        Columns that ``stop`` needs; for somebody who gets no offer, the number (in ``stop_words``) of what stopped all.
    """

    asked: tuple[Candidate, ...]
    offers: tuple[Offer, ...]
    services: int
    verdicts: list[pl.Expr]
    steps: tuple[list[pl.Expr], ...]
    result: list[pl.Expr]
    stop_parts: list[pl.Expr]
    stop: pl.Expr
    stop_words: tuple[Words, ...]


@lru_cache(maxsize=32)
def plan(playbook: Playbook, channels: frozenset[str] | None) -> Plan:
    """Return the plan for a playbook and the only channels to consider (None: all).

    Raises
    ------
    InputError
        A channel that there is not.
    """
    asked = candidates(playbook, channels)
    offers = tuple(
        sorted({one.offer.id: one.offer for one in asked}.values(), key=lambda offer: offer.is_marketing)
    )
    services = [offer for offer in offers if not offer.is_marketing]
    flags, words = zip(*_stops(playbook.policy, asked), strict=True)
    return Plan(
        asked=asked,
        offers=offers,
        services=len(services),
        verdicts=verdicts(playbook, asked),
        steps=(
            [_first_channel(playbook.policy, asked, offer) for offer in offers],
            [_worth_there(offer) for offer in offers],
            [_best(offers).alias("best"), _best(services).alias("best_service")],
        ),
        result=_result(offers),
        stop_parts=_stop_parts(asked),
        stop=_first_of(flags),
        stop_words=words,
    )


def _first_channel(policy: Policy, asked: Sequence[Candidate], offer: Offer) -> pl.Expr:
    open_ones = [
        pl.when(_open(policy, one)).then(pl.lit(one.channel)) for one in asked if one.offer.id == offer.id
    ]
    return pl.coalesce(open_ones).alias(open_channel(offer))


def _open(policy: Policy, one: Candidate) -> pl.Expr:
    """Whether all stages before the ranking let a candidate pass."""
    rules = policy.capacity_of(one.channel)
    if one.offer.is_marketing:
        rules = (*policy.quiet_period, *policy.frequency_cap, *rules)
    names = [consent_flag(one.channel, one.offer.purpose), offer_flag(one.offer), *map(rule_flag, rules)]
    return pl.all_horizontal(names)


def _worth_there(offer: Offer) -> pl.Expr:
    there = pl.col(open_channel(offer)).is_not_null()
    return pl.when(there).then(pl.col(worth_column(offer))).alias(open_worth(offer))


def _best(offers: Sequence[Offer]) -> pl.Expr:
    """The number of the offer that is worth most; between equals the first. Service offers come first in both lists."""
    worths = [pl.col(open_worth(offer)) for offer in offers]
    return _first_of([worth == pl.max_horizontal(worths) for worth in worths])


def _first_of(flags: Iterable[pl.Expr]) -> pl.Expr:
    """The number of the first flag that holds; null if none does."""
    numbers = [pl.when(flag).then(pl.lit(number, dtype=pl.Int16)) for number, flag in enumerate(flags)]
    return pl.coalesce(*numbers, pl.lit(None, dtype=pl.Int16))


def _result(offers: Sequence[Offer]) -> list[pl.Expr]:
    is_offer = pl.col("pick").is_not_null()
    worth = pl.coalesce(_of(open_worth, offers, "pick"), _of(open_worth, offers, "held"))
    return [
        pl.when(is_offer).then(pl.lit("offer")).otherwise(pl.lit("none")).alias("action"),
        _ids(offers, "pick").alias("offer_id"),
        _of(open_channel, offers, "pick").cast(pl.String).alias("channel"),
        pl.when(is_offer).then("send_after").alias("send_after"),
        worth.cast(pl.Float64).alias("worth"),
        _ids(offers, "held").alias("withheld_offer_id"),
    ]


def _of(column: Callable[[Offer], str], offers: Sequence[Offer], number: str) -> pl.Expr:
    """The value, in a column of each offer, of the offer of that number."""
    values = [pl.when(pl.col(number) == place).then(pl.col(column(one))) for place, one in enumerate(offers)]
    return pl.coalesce(*values, pl.lit(None))


def _ids(offers: Sequence[Offer], number: str) -> pl.Expr:
    names = [pl.when(pl.col(number) == place).then(pl.lit(one.id)) for place, one in enumerate(offers)]
    return pl.coalesce(*names, pl.lit(None, dtype=pl.String))


def _stop_parts(asked: Sequence[Candidate]) -> list[pl.Expr]:
    """What ``_stops`` asks again and again: whether an offer is meant for the customer, and consent to it given."""
    agreed = {
        f"?agreed {channel}": [_agreed(one) for one in asked if one.channel == channel]
        for channel in dict.fromkeys(one.channel for one in asked)
    }
    parts = {
        "?meant": [pl.col(offer_flag(one.offer)) for one in asked],
        "?agreed": [_agreed(one) for one in asked],
        "?refused": [pl.col(offer_flag(one.offer)) & _refused(one) for one in asked],
        "?agreed marketing": [_agreed(one) for one in asked if one.offer.is_marketing],
        "?open": [pl.col(open_channel(one.offer)).is_not_null() for one in asked],
        **agreed,
    }
    return [pl.any_horizontal(pl.lit(value=False), *flags).alias(name) for name, flags in parts.items()]


def _stops(policy: Policy, asked: Sequence[Candidate]) -> Iterator[tuple[pl.Expr, Words]]:
    """What may have stopped everything, first to last. Consent is asked about offers meant for the customer."""
    yield ~pl.col("?meant"), policy.eligibility.words
    yield ~pl.col("?agreed") & pl.col("?refused"), policy.consent_refused.words
    yield ~pl.col("?agreed"), policy.consent_missing.words
    for rule in (*policy.quiet_period, *policy.frequency_cap):
        yield pl.col("?agreed marketing") & ~pl.col(rule_flag(rule)), rule.words
    channels = {one.channel for one in asked}
    for rule in (rule for rule in policy.channel_capacity if rule.channel in channels):
        full = pl.col(f"?agreed {rule.channel}") & ~pl.col(rule_flag(rule))
        yield ~pl.col("?open") & full, rule.words
    yield pl.lit(value=True), policy.ranking.words


def _agreed(one: Candidate) -> pl.Expr:
    return pl.col(offer_flag(one.offer)) & pl.col(consent_flag(one.channel, one.offer.purpose))


def _refused(one: Candidate) -> pl.Expr:
    return (pl.col(consent_column(one.channel, one.offer.purpose)) == "UNSUBSCRIBED").fill_null(value=False)
