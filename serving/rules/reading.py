"""The sections of a playbook's file, read one after the other: what stands later may use what stands before."""

from collections.abc import Callable, Iterable
from datetime import time
from functools import reduce
from typing import TypeVar

import polars as pl

from serving.rules.columns import CHANNELS, SCORES, Type
from serving.rules.document import Reader
from serving.rules.naming import Names
from serving.rules.parts import (
    KINDS,
    LAYERS,
    OFFER_PURPOSES,
    Holdout,
    Notice,
    Offer,
    Policy,
    QuietHours,
    Rule,
    Scheme,
    SegmentClass,
    Tag,
)
from serving.rules.words import read_words

__all__ = ["read_derived", "read_offers", "read_parameters", "read_policy", "read_schemes", "read_tags"]

Part = TypeVar("Part")


def read_parameters(reader: Reader) -> dict[str, float | str | bool]:
    """Read ``name: value``."""
    return {name: value.scalar() for name, value in reader.entries().items()}


def read_derived(reader: Reader, names: Names) -> None:
    """Read ``name: expression``; a number that is not finite is null."""
    for name, value in reader.entries().items():
        found = names.expression(value)
        finite = found.compiled.is_finite() if found.type is Type.NUMBER else None
        compiled = found.compiled if finite is None else pl.when(finite).then(found.compiled)
        names.define(value, name, found.type, compiled, found.columns)


def read_schemes(reader: Reader, names: Names) -> tuple[Scheme, ...]:
    """Read schemes; each is a text column of its name for what follows."""
    return tuple(_scheme(item, names) for item in reader.items())


def read_tags(reader: Reader, names: Names) -> tuple[Tag, ...]:
    """Read tags; each is a flag for what follows."""
    return tuple(_tag(item, names) for item in reader.items())


def read_offers(reader: Reader, names: Names) -> tuple[Offer, ...]:
    """Read offers."""
    items = reader.items()
    return _unlike(items, [_offer(item, names) for item in items], lambda offer: offer.id)


def read_policy(reader: Reader, names: Names) -> Policy:
    """Read the contact policy, the holdout and the quiet hours."""
    fields = reader.fields(
        "consent_missing consent_refused eligibility quiet_period frequency_cap channel_capacity ranking holdout quiet_hours"
    )
    policy = Policy(
        quiet_period=_rules(fields["quiet_period"], names),
        frequency_cap=_rules(fields["frequency_cap"], names),
        channel_capacity=_rules(fields["channel_capacity"], names, " channel"),
        consent_missing=_notice(fields["consent_missing"]),
        consent_refused=_notice(fields["consent_refused"]),
        eligibility=_notice(fields["eligibility"]),
        ranking=_notice(fields["ranking"]),
        holdout=_holdout(fields["holdout"]),
        quiet_hours=_hours(fields["quiet_hours"]),
    )
    _unlike([reader] * len(policy.codes), policy.codes, lambda code: code)
    return policy


def _unlike(readers: list[Reader], parts: Iterable[Part], name: Callable[[Part], str]) -> tuple[Part, ...]:
    found: dict[str, Part] = {}
    for reader, part in zip(readers, parts, strict=True):
        if name(part) in found:
            raise reader.fail(f"{name(part)!r} stands here twice: give one another name")
        found[name(part)] = part
    return tuple(found.values())


def _scheme(reader: Reader, names: Names) -> Scheme:
    fields = reader.fields("id en zh classes")
    items = fields["classes"].items()
    classes = _unlike(items, [_class(item, names) for item in items], lambda found: found.id)
    if not classes or classes[-1].when.text.lower() != "true":
        raise fields["classes"].fail("the last class's condition must be true: it takes whoever is left")
    decided = reduce(
        lambda rest, one: pl.when(one.when.compiled).then(pl.lit(one.id)).otherwise(rest),
        reversed(classes),
        pl.lit(None, dtype=pl.String),
    )
    columns = tuple(dict.fromkeys(column for one in classes for column in one.when.columns))
    scheme = Scheme(fields["id"].name(), read_words(fields), classes)
    names.define(fields["id"], scheme.name, Type.TEXT, decided, columns)
    return scheme


def _class(reader: Reader, names: Names) -> SegmentClass:
    fields = reader.fields("id en zh when")
    return SegmentClass(fields["id"].name(), read_words(fields), names.condition(fields["when"]))


def _tag(reader: Reader, names: Names) -> Tag:
    fields = reader.fields("id layer en zh when why")
    when = names.condition(fields["when"])
    why = read_words(fields["why"].fields("en zh"))
    tag = Tag(fields["id"].name(), fields["layer"].choice(LAYERS), read_words(fields), when, why)
    names.define(fields["id"], tag.id, Type.FLAG, when.holds, when.columns)
    return tag


def _offer(reader: Reader, names: Names) -> Offer:
    fields = reader.fields("id en zh purpose kind channels when worth cost value reason", "expires_days")
    items = fields["channels"].items()
    channels = _unlike(items, [item.choice(CHANNELS) for item in items], lambda channel: channel)
    cost = fields["cost"].number(0, 1e6)
    days = fields["expires_days"].number(1, 366) if "expires_days" in fields else None
    offer = Offer(
        id=fields["id"].name(),
        title=read_words(fields),
        purpose=fields["purpose"].choice(OFFER_PURPOSES),
        kind=fields["kind"].choice(KINDS),
        channels=channels,
        when=names.condition(fields["when"]),
        worth=names.expression(fields["worth"], Type.NUMBER, cost=cost),
        cost=cost,
        value={name: value.scalar() for name, value in fields["value"].entries().items()},
        expires_days=None if days is None else int(days),
        reason=names.sentences(fields["reason"]),
    )
    _no_price_by_score(fields, offer, names)
    if not channels:
        raise fields["channels"].fail("an offer needs a channel at least")
    return offer


def _no_price_by_score(fields: dict[str, Reader], offer: Offer, names: Names) -> None:
    """Scores never rank depths of discount, and never open a discount alone: prices by churn risk are unfair."""
    if offer.kind != "coupon":
        return
    if scores := sorted(names.inputs(offer.worth) & {*SCORES}):
        raise fields["worth"].fail(
            f"{', '.join(scores)} would rank discounts: a coupon's worth may not use scores"
        )
    if not names.inputs(offer.when) - {*SCORES, "status"}:
        raise fields["when"].fail("a coupon needs a fact of the customer's behaviour beside a score")


def _rules(reader: Reader, names: Names, more: str = "") -> tuple[Rule, ...]:
    return tuple(_rule(item.fields(f"code en zh allow{more}"), names) for item in reader.items())


def _rule(fields: dict[str, Reader], names: Names) -> Rule:
    channel = fields["channel"].choice(CHANNELS) if "channel" in fields else None
    return Rule(fields["code"].name(), names.condition(fields["allow"]), read_words(fields), channel)


def _notice(reader: Reader) -> Notice:
    fields = reader.fields("code en zh")
    return Notice(fields["code"].name(), read_words(fields))


def _holdout(reader: Reader) -> Holdout:
    fields = reader.fields("share salt en zh")
    return Holdout(fields["share"].number(0, 1), fields["salt"].text(), read_words(fields))


def _hours(reader: Reader) -> QuietHours:
    fields = reader.fields("start end en zh")
    return QuietHours(_time(fields["start"]), _time(fields["end"]), read_words(fields))


def _time(reader: Reader) -> time:
    try:
        return time.fromisoformat(reader.expression())
    except ValueError:
        raise reader.fail("a time of day like 22:00 is needed here") from None
