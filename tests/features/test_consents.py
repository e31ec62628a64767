"""Consents by hand: a customer's latest word on each channel and purpose, as known at an instant."""

import pandas as pd
import pytest

from features.profile import CONSENT_CHANNELS, CONSENT_PURPOSES, consents
from tests.features.worlds import MICROSECOND, at, contact, line, link, tables_of, warehouse_of

AS_OF = "2024-06-01"
AN_ORDER = line("somebody", "2024-01-01")
LATER, EARLIER = at(AS_OF) + MICROSECOND, at(AS_OF) - MICROSECOND
YES, NO, NEVER = "SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"


def word(customer_id, when, status=YES, **more):
    values = {
        "customer_id": customer_id,
        "channel": "sms",
        "purpose": "marketing",
        "at": at(when),
        "status": status,
    }
    return "consents", values | more


def stop(when, **more):
    """A message of 1 February by which she unsubscribed."""
    return contact("ann", "2024-02-01", channel="sms", unsubscribed_at=at(when), **more)


def same_person(customer_id, **more):
    return link(customer_id, "ann", source="till", **more)


CASES = [
    ("no word", [], {}),
    ("one word", [word("ann", "2024-03-01")], {"ann": YES}),
    ("the latest word: a refusal", [word("ann", "2024-03-01"), word("ann", "2024-03-02", NO)], {"ann": NO}),
    ("the latest word: a consent", [word("ann", "2024-03-02"), word("ann", "2024-03-01", NO)], {"ann": YES}),
    ("a microsecond later", [word("ann", "2024-03-01", NO), word("ann", "2024-03-01T00:00:00.000001")], {"ann": YES}),
    ("at the instant is the future", [word("ann", AS_OF)], {}),
    ("a microsecond before it", [word("ann", EARLIER)], {"ann": YES}),
    ("a refusal at the instant does not count yet", [word("ann", EARLIER), word("ann", AS_OF, NO)], {"ann": YES}),
    ("known too late", [word("ann", "2024-03-01", known_at=LATER)], {}),
    ("known at the instant", [word("ann", "2024-03-01", known_at=at(AS_OF))], {"ann": YES}),
    (
        "a refusal known too late",
        [word("ann", "2024-03-01"), word("ann", "2024-03-02", NO, known_at=LATER)],
        {"ann": YES},
    ),
    (
        "an old word known last is still the old word",
        [word("ann", "2024-03-02"), word("ann", "2024-03-01", NO, known_at=at("2024-05-01"))],
        {"ann": YES},
    ),
    (
        "a word corrected before",
        [word("ann", "2024-03-01"), word("ann", "2024-03-01", NO, known_at=at(AS_OF))],
        {"ann": NO},
    ),
    (
        "a word corrected later",
        [word("ann", "2024-03-01"), word("ann", "2024-03-01", NO, known_at=LATER)],
        {"ann": YES},
    ),
    ("withdrawn", [word("ann", "2024-03-01", superseded_at=at(AS_OF))], {}),
    ("withdrawn later", [word("ann", "2024-03-01", superseded_at=LATER)], {"ann": YES}),
    (
        "the last word withdrawn, the one before speaks",
        [word("ann", "2024-03-01", NO), word("ann", "2024-03-02", superseded_at=at(AS_OF))],
        {"ann": NO},
    ),
    (
        "two sources of one person: the later word",
        [word("ann", "2024-03-01", NO), word("7", "2024-03-02", source="till"), same_person("7")],
        {"ann": YES},
    ),
    (
        "two at once: the refusal",
        [word("ann", "2024-03-01"), word("7", "2024-03-01", NO, source="till"), same_person("7")],
        {"ann": NO},
    ),
    (
        "two at once, the other way round",
        [word("ann", "2024-03-01", NO), word("7", "2024-03-01", source="till"), same_person("7")],
        {"ann": NO},
    ),
    (
        "two at once: never is a refusal too",
        [word("ann", "2024-03-01", NEVER), word("7", "2024-03-01", source="till"), same_person("7")],
        {"ann": NEVER},
    ),
    (
        "two refusals at once: the spoken one",
        [word("ann", "2024-03-01", NEVER), word("7", "2024-03-01", NO, source="till"), same_person("7")],
        {"ann": NO},
    ),
    (
        "two refusals at once, the other way round",
        [word("ann", "2024-03-01", NO), word("7", "2024-03-01", NEVER, source="till"), same_person("7")],
        {"ann": NO},
    ),
    (
        "a refusal at once with an older consent and an older one",
        [
            word("ann", "2024-03-01"),
            word("7", "2024-03-01", NO, source="till"),
            word("8", "2024-03-02", source="till"),
            same_person("7"),
            same_person("8"),
        ],
        {"ann": YES},
    ),
    (
        "not linked yet",
        [word("ann", "2024-03-01"), word("7", "2024-03-02", NO, source="till"), same_person("7", known_at=LATER)],
        {"ann": YES, "till:7": NO},
    ),
    (
        "linked at the instant",
        [word("ann", "2024-03-01"), word("7", "2024-03-02", NO, source="till"), same_person("7", known_at=at(AS_OF))],
        {"ann": NO},
    ),
    (
        "no longer linked",
        [word("ann", "2024-03-01"), word("7", "2024-03-02", NO, source="till"), same_person("7", superseded_at=at(AS_OF))],
        {"ann": YES, "till:7": NO},
    ),
    ("unsubscribed by a message", [stop(EARLIER)], {"ann": NO}),
    ("unsubscribed at the instant is the future", [word("ann", "2024-03-01"), stop(AS_OF)], {"ann": YES}),
    ("unsubscribed, which became known later", [word("ann", "2024-03-01"), stop(EARLIER, known_at=LATER)], {"ann": YES}),
    ("unsubscribed, and subscribed again", [stop("2024-03-01"), word("ann", "2024-03-02")], {"ann": YES}),
    ("unsubscribed after a word", [word("ann", "2024-03-01"), stop("2024-03-02")], {"ann": NO}),
    ("unsubscribed at once with a word: the refusal", [word("ann", "2024-03-01"), stop("2024-03-01")], {"ann": NO}),
    ("a message that nobody unsubscribed by", [contact("ann", "2024-02-01", channel="sms")], {}),
    ("unsubscribed by a message to another of one person", [word("ann", "2024-03-01"), same_person("7"),
     contact("7", "2024-02-01", channel="sms", unsubscribed_at=at("2024-03-02"), source="till")], {"ann": NO}),
    (
        "one id in two sources is two people",
        [word("ann", "2024-03-01"), word("ann", "2024-03-02", NO, source="till")],
        {"ann": YES, "till:ann": NO},
    ),
]  # fmt: skip


def words_of(path, rows):
    found = consents(warehouse_of(path, tables_of([AN_ORDER, *rows])), pd.Timestamp(AS_OF))
    assert list(found.columns) == ["customer_id", "channel", "purpose", "status", "at"]
    return found


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_by_hand(rows, expected, tmp_path):
    found = words_of(tmp_path / "w.duckdb", rows)
    assert dict(zip(found["customer_id"], found["status"], strict=True)) == expected
    assert len(found) == len(expected)


def test_each_channel_and_purpose_for_itself_in_order_and_with_its_time(tmp_path):
    rows = [
        word("bob", "2024-03-05"),
        word("ann", "2024-03-01", channel="sms", purpose="service"),
        word("ann", "2024-03-02", NO, channel="sms"),
        word("ann", "2024-03-04", NEVER, channel="email"),
        word("ann", "2024-03-03", channel="email"),
    ]
    found = words_of(tmp_path / "w.duckdb", rows)
    assert [tuple(row) for row in found.itertuples(index=False)] == [
        ("ann", "email", "marketing", NEVER, pd.Timestamp("2024-03-04")),
        ("ann", "sms", "marketing", NO, pd.Timestamp("2024-03-02")),
        ("ann", "sms", "service", YES, pd.Timestamp("2024-03-01")),
        ("bob", "sms", "marketing", YES, pd.Timestamp("2024-03-05")),
    ]


def test_every_channel_and_purpose_that_the_contract_allows(tmp_path):
    pairs = [(channel, purpose) for channel in CONSENT_CHANNELS for purpose in CONSENT_PURPOSES]
    assert len(pairs) == 9 * 3
    rows = [word("ann", "2024-03-01", channel=channel, purpose=purpose) for channel, purpose in pairs]
    found = words_of(tmp_path / "w.duckdb", rows)
    assert sorted(zip(found["channel"], found["purpose"], strict=True)) == sorted(pairs)
