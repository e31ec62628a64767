"""Who may be contacted: consent, quiet period, caps, capacity, holdout and quiet hours by hand; then 10,000 customers
against the casebooks' words read anew, without the playbook's file."""

from datetime import UTC, datetime, time, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from features.errors import InputError
from serving.rules.arbitration import decide
from serving.rules.columns import Type
from serving.rules.holdout import is_withheld
from serving.rules.parts import Holdout, QuietHours
from serving.rules.playbook import default_playbook
from serving.rules.quiet_hours import send_after
from serving.rules.words import Words
from tests.serving.rules.rows import (
    ALL,
    AS_OF,
    CONSENTS,
    NOBODY,
    PLAIN,
    SUBSCRIBED,
    decision_of,
    frame_of,
    random_rows,
)

PLAYBOOK = default_playbook()
POLICY = PLAYBOOK.policy
NO_CONSENT = CONSENTS
COMPLAINT = {"open_complaints": 1.0, "days_since_last_complaint": 5.0}
STEP_CHANNELS = ["mini_program", "app_popup", "wecom", "sms"]

# ------------------------------------------------------------------------------------------------- consent


@pytest.mark.parametrize(
    ("status", "is_made"),
    [
        (None, False),
        ("SUBSCRIBED", True),
        ("UNSUBSCRIBED", False),
        ("NEVER_SUBSCRIBED", False),
        ("subscribed", False),
    ],
)
def test_marketing_needs_a_yes(status, is_made):
    found = decision_of(**NO_CONSENT | {"consent_sms_marketing": status})
    assert (found["offer_id"], found["channel"]) == (("step_coupon", "sms") if is_made else (None, None))


@pytest.mark.parametrize(
    ("status", "is_made"),
    [(None, True), ("SUBSCRIBED", True), ("NEVER_SUBSCRIBED", True), ("UNSUBSCRIBED", False), ("?", False)],
)
def test_service_passes_unless_refused(status, is_made):
    consents = NO_CONSENT | {"consent_assistant_service": status, "consent_phone_service": "UNSUBSCRIBED"}
    assert (decision_of(**COMPLAINT | consents)["offer_id"] == "complaint_followup") == is_made


def test_consent_is_of_a_channel_and_a_purpose():
    # a yes to service, or to marketing elsewhere, is none to marketing here
    service = {name: "SUBSCRIBED" for name in CONSENTS if name.endswith(("service", "transactional"))}
    assert decision_of(**NO_CONSENT | service)["action"] == "none"
    assert decision_of(**NO_CONSENT | {"consent_email_marketing": "SUBSCRIBED"})["action"] == "none"
    assert decision_of(**NO_CONSENT | {"consent_wecom_marketing": "SUBSCRIBED"})["channel"] == "wecom"
    # no to marketing leaves service alone
    refused = dict.fromkeys(SUBSCRIBED, "UNSUBSCRIBED")
    assert decision_of(**refused | COMPLAINT)["channel"] == "assistant"
    assert decision_of(**COMPLAINT | {"consent_assistant_service": "UNSUBSCRIBED"})["channel"] == "phone"


def test_the_reason_for_no_contact_is_the_right_one():
    assert decision_of(**NO_CONSENT)["why"] == [POLICY.consent_missing.words.en]
    refused = NO_CONSENT | {"consent_sms_marketing": "UNSUBSCRIBED"}
    assert decision_of(**refused)["why"] == [POLICY.consent_refused.words.en]
    assert decision_of(**refused)["why_zh"] == [POLICY.consent_refused.words.zh]
    assert decision_of(NOBODY, orders_all=1.0, days_since_last_order=70.0, lifecycle5=None, discount_share_365d=0.0,
                       orders_365d=3.0)["why"] == [POLICY.eligibility.words.en]  # fmt: skip
    assert decision_of(contacts_7d=2.0)["why"] == [rule_words("cap_7d")]
    full = {f"contacts_{channel}_1d": 1.0 for channel in STEP_CHANNELS}
    assert decision_of(**full)["why"] == [rule_words("capacity_sms")]


def rule_words(code):
    rules = (*POLICY.quiet_period, *POLICY.frequency_cap, *POLICY.channel_capacity)
    return next(rule.words.en for rule in rules if rule.code == code)


# ------------------------------------------------------------------------------------------------- quiet period (decision 5)

QUIET = [
    # open complaints, days since the last, its rating
    ("never complained", 0, None, None, True),
    ("open", 1, 3.0, None, False),
    ("open for 40 days", 1, 40.0, None, False),
    ("another one open, the last rated 5", 1, 3.0, 5.0, False),
    ("closed, not rated, 29.99 days", 0, 29.99, None, False),
    ("closed, not rated, 30 days", 0, 30.0, None, True),
    ("closed, rated 3", 0, 3.0, 3.0, False),
    ("closed, rated 4", 0, 3.0, 4.0, True),
    ("closed, rated 5 on the first day", 0, 0.5, 5.0, True),
    ("closed, rated 1, 30 days", 0, 30.0, 1.0, True),
]


@pytest.mark.parametrize(
    ("opened", "days", "csat", "is_made"), [row[1:] for row in QUIET], ids=[row[0] for row in QUIET]
)
def test_quiet_period(opened, days, csat, is_made):
    found = decision_of(open_complaints=opened, days_since_last_complaint=days, last_complaint_csat=csat)
    assert (found["offer_id"] == "step_coupon") == is_made
    assert (found["offer_id"] == "complaint_followup") == (opened > 0)


def test_complaints_that_are_not_known_stop_marketing():
    assert decision_of(open_complaints=None)["why"] == [rule_words("complaint_open_quiet")]


# ------------------------------------------------------------------------------------------------- caps and capacity

RETURNER = {"orders_365d": 4.0, "return_orders_365d": 2.0}


@pytest.mark.parametrize(
    ("changed", "is_made"),
    [
        ({"contacts_30d": 3.0}, True),
        ({"contacts_30d": 4.0}, False),
        ({"contacts_30d": 3.0, "reserved_30d": 1.0}, False),
        ({"contacts_30d": 1.0, "reserved_30d": 2.0}, True),
        ({"contacts_30d": None}, False),
        ({"reserved_30d": None}, False),
        ({"contacts_7d": 1.0}, True),
        ({"contacts_7d": 2.0}, False),
        ({"contacts_7d": 1.0, "reserved_7d": 1.0}, False),
        (RETURNER | {"contacts_30d": 1.0}, True),
        (RETURNER | {"contacts_30d": 2.0}, False),
        (RETURNER | {"contacts_30d": 1.0, "reserved_30d": 1.0}, False),
    ],
)
def test_caps(changed, is_made):
    assert (decision_of(**changed)["action"] == "offer") == is_made


def test_service_is_exempt_from_quiet_period_and_caps_not_from_the_channels_capacity():
    busy = COMPLAINT | {"contacts_30d": 9.0, "contacts_7d": 9.0, "reserved_30d": 9.0}
    assert decision_of(**busy)["channel"] == "assistant"
    assert decision_of(**busy | {"reserved_assistant_1d": 1.0})["channel"] == "phone"


@pytest.mark.parametrize(("column", "channel"), [(f"{kind}_{channel}_1d", channel) for kind in ("contacts", "reserved")
                                                 for channel in STEP_CHANNELS])  # fmt: skip
def test_a_full_channel_gives_way_to_the_next_of_the_offer(column, channel):
    order = STEP_CHANNELS[STEP_CHANNELS.index(channel) :]
    found = decision_of(channels=order, **{column: 1.0})
    assert found["channel"] == (order[1] if len(order) > 1 else None)
    assert decision_of(channels=order, **{column: 0.0})["channel"] == channel


@pytest.mark.parametrize(
    ("sent", "reserved", "channel"), [(3, 0, "official_account"), (4, 0, "email"), (3, 1, "email")]
)
def test_the_official_account_has_four_messages_a_month(sent, reserved, channel):
    churned = {"days_since_last_order": 400.0, "days_since_first_order": 900.0, "aov_365d": 300.0}
    counted = {"contacts_official_account_30d": sent, "reserved_official_account_30d": reserved}
    found = decision_of(channels=["official_account", "email"], **churned | counted)
    assert (found["offer_id"], found["channel"]) == ("brand_invitation", channel)


def test_channels_asked_for_are_the_only_ones():
    assert decision_of(channels=["sms"])["channel"] == "sms"
    assert decision_of(channels=["phone"])["action"] == "none"
    assert decision_of(channels=[])["action"] == "none"
    with pytest.raises(InputError, match="no channel is called fax; there are sms, email"):
        decision_of(channels=["fax"])


# ------------------------------------------------------------------------------------------------- holdout

HELD = next(f"c{number}" for number in range(100) if is_withheld(POLICY.holdout, f"c{number}"))


def test_the_holdout_is_withheld_after_the_ranking():
    found, open_one = decision_of(customer_id=HELD), decision_of()
    assert (found["action"], found["offer_id"], found["channel"], found["send_after"]) == (
        "none",
        None,
        None,
        None,
    )
    assert found["withheld_offer_id"] == open_one["offer_id"] == "step_coupon"
    assert found["worth"] == open_one["worth"]
    assert found["why"] == [*open_one["why"], POLICY.holdout.words.en]
    assert open_one["withheld_offer_id"] is None


def test_nothing_is_withheld_from_whom_nothing_would_be_sent():
    assert decision_of(customer_id=HELD, contacts_7d=2.0)["withheld_offer_id"] is None


def test_service_is_never_withheld():
    assert decision_of(customer_id=HELD, **COMPLAINT)["offer_id"] == "complaint_followup"


def test_the_hash_is_the_documented_one_and_takes_its_share():
    holdout = Holdout(0.1, "s", Words("", ""))
    ids = [f"customer-{number}" for number in range(20_000)]
    drawn = [
        int.from_bytes(blake2b(f"s\n{one}".encode(), digest_size=8).digest(), "big") / 2**64 < 0.1
        for one in ids
    ]
    assert [is_withheld(holdout, one) for one in ids] == drawn
    assert abs(sum(drawn) / len(ids) - 0.1) < 0.01  # 4.7 standard deviations
    other = Holdout(0.1, "t", Words("", ""))
    assert (
        abs(
            sum(is_withheld(other, one) for one, held in zip(ids, drawn, strict=True) if held) / sum(drawn)
            - 0.1
        )
        < 0.03
    )
    assert not any(is_withheld(Holdout(0.0, "s", Words("", "")), one) for one in ids)
    assert all(is_withheld(Holdout(1.0, "s", Words("", "")), one) for one in ids)
    assert is_withheld(holdout, None)


# ------------------------------------------------------------------------------------------------- quiet hours

NIGHT = QuietHours(time(22), time(8), Words("", ""))
HOURS = [
    # as of (UTC), zone, send after (UTC)
    ("2026-11-25 13:59:59.999999", "Asia/Shanghai", "2026-11-25 13:59:59.999999"),  # 21:59:59.999999
    ("2026-11-25 14:00", "Asia/Shanghai", "2026-11-26 00:00"),  # 22:00
    ("2026-11-25 15:59", "Asia/Shanghai", "2026-11-26 00:00"),  # 23:59
    ("2026-11-25 16:00", "Asia/Shanghai", "2026-11-26 00:00"),  # midnight: the same morning
    ("2026-11-25 23:59:59.999999", "Asia/Shanghai", "2026-11-26 00:00"),
    ("2026-11-26 00:00", "Asia/Shanghai", "2026-11-26 00:00"),  # 08:00: allowed
    ("2026-11-25 23:00", "UTC", "2026-11-26 08:00"),
    ("2026-11-25 23:00", None, "2026-11-26 08:00"),
    # summer time begins on 2026-03-29 at 02:00 in Zurich: 08:00 is 06:00 UTC, no longer 07:00
    ("2026-03-28 21:30", "Europe/Zurich", "2026-03-29 06:00"),
    ("2026-03-28 06:30", "Europe/Zurich", "2026-03-28 07:00"),
    ("2026-03-29 06:00", "Europe/Zurich", "2026-03-29 06:00"),
    # and ends on 2026-10-25 at 03:00
    ("2026-10-24 20:00", "Europe/Zurich", "2026-10-25 07:00"),
    ("2026-10-25 06:59", "Europe/Zurich", "2026-10-25 07:00"),
    ("2026-10-25 20:59", "Europe/Zurich", "2026-10-25 20:59"),  # 21:59
    # half an hour off
    ("2026-11-25 16:30", "Asia/Kolkata", "2026-11-26 02:30"),  # 22:00
]


@pytest.mark.parametrize(("as_of", "zone", "expected"), HOURS)
def test_quiet_hours_at_the_edges(as_of, zone, expected):
    assert send_after(NIGHT, datetime.fromisoformat(as_of), zone) == datetime.fromisoformat(expected)
    found = decision_of(as_of=pd.Timestamp(as_of), timezone=zone)
    assert found["send_after"] == pd.Timestamp(expected)
    waits = POLICY.quiet_hours.words.en in found["why"]
    assert waits == (as_of != expected)


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        # 02:30 does not exist on the morning of the 29th in Zurich: the clock jumps from 02:00 to 03:00 at 01:00 UTC
        ("2026-03-29 00:30", "2026-03-29 01:30"),
        # 02:30 is shown twice on 2026-10-25, at 00:30 and 01:30 UTC
        ("2026-10-25 00:00", "2026-10-25 00:30"),
        ("2026-10-25 01:10", "2026-10-25 01:30"),
    ],
)
def test_an_end_that_the_clock_jumps_over_or_shows_twice(as_of, expected):
    hours = QuietHours(time(22), time(2, 30), Words("", ""))
    assert send_after(hours, datetime.fromisoformat(as_of), "Europe/Zurich") == datetime.fromisoformat(
        expected
    )


@pytest.mark.parametrize(
    ("start", "end", "hour", "expected"), [(9, 9, 9, 9), (0, 8, 7, 8), (0, 8, 8, 8), (0, 8, 23, 23)]
)
def test_quiet_hours_within_a_day_or_none(start, end, hour, expected):
    hours = QuietHours(time(start), time(end), Words("", ""))
    assert send_after(hours, datetime(2026, 11, 25, hour), "UTC").hour == expected


def test_tasks_and_service_wait_too_and_the_choice_is_the_same():
    night = {"as_of": AS_OF + pd.Timedelta(hours=12)}
    found = decision_of(**COMPLAINT | night)
    assert (found["offer_id"], found["send_after"]) == (
        "complaint_followup",
        pd.Timestamp("2026-11-26 00:00"),
    )
    assert decision_of(**night)["offer_id"] == decision_of()["offer_id"]


def test_a_time_zone_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="'Mars/Phobos' is no time zone"):
        decision_of(timezone="Mars/Phobos")


# ------------------------------------------------------------------------------------------------- everybody


def slow_bans(row):
    """Why no marketing may be sent, from the casebooks' words alone."""
    days, csat = row["days_since_last_complaint"], row["last_complaint_csat"]
    if row["open_complaints"] != 0:
        yield "a complaint is open, or it is not known"
    if days < 30 and not csat >= 4:
        yield "complained less than 30 days ago"
    brought_back = zero(row["return_orders_365d"]) + zero(row["exchanges_365d"])
    often = row["orders_365d"] >= 3 and brought_back / row["orders_365d"] >= 0.3
    if row["contacts_30d"] + row["reserved_30d"] >= (2 if often else 4):
        yield "contacted often enough this month"
    if row["contacts_7d"] + row["reserved_7d"] >= 2:
        yield "contacted often enough this week"


def zero(value):
    return 0 if pd.isna(value) else value


def slow_capacity(row, channel):
    if channel == "phone":
        return True
    days, most = (30, 4) if channel == "official_account" else (1, 1)
    return row[f"contacts_{channel}_{days}d"] + row[f"reserved_{channel}_{days}d"] < most


def is_night(row):
    local = (
        row["send_after"]
        .to_pydatetime()
        .replace(tzinfo=UTC)
        .astimezone(ZoneInfo("UTC" if pd.isna(row["timezone"]) else row["timezone"]))
    )
    return local.hour >= 22 or local.hour < 8


def test_ten_thousand_customers_and_no_banned_contact():
    frame = random_rows(10_000)
    found = decide(PLAYBOOK, frame)
    purposes = {offer.id: offer.purpose for offer in PLAYBOOK.offers}
    made = pd.concat([frame, found], axis=1)[found["action"] == "offer"].to_dict("records")
    assert len({row["offer_id"] for row in made}) >= 10
    assert len(made) > 1000
    for row in made:
        purpose = purposes[row["offer_id"]]
        consent = row[f"consent_{row['channel']}_{purpose}"]
        assert slow_capacity(row, row["channel"])
        assert not is_night(row)
        assert timedelta(0) <= row["send_after"] - row["as_of"] <= timedelta(hours=10)
        assert row["worth"] > 0
        if purpose == "marketing":
            assert consent == "SUBSCRIBED"
            assert not list(slow_bans(row))
            assert not is_withheld(POLICY.holdout, row["customer_id"])
        else:
            assert pd.isna(consent) or consent in ("SUBSCRIBED", "NEVER_SUBSCRIBED")
    withheld = found["withheld_offer_id"].notna()
    assert withheld.any()
    assert frame["customer_id"][withheld].map(lambda one: is_withheld(POLICY.holdout, one)).all()
    assert found["why"].map(len).ge(1).all()


def test_whoever_gets_nothing_could_not_have_been_sent_a_plain_offer():
    # the other side: nobody who may be contacted, and has a step coupon coming, is left out
    frame = frame_of(*[PLAIN | {"customer_id": f"c{number}"} for number in range(200)])
    changed = random_rows(200, seed=1)
    policy = [name for name in ALL if name.startswith(("contacts_", "reserved_", "consent_"))]
    complaints = ["open_complaints", "days_since_last_complaint", "last_complaint_csat"]
    frame[[*policy, *complaints]] = changed[[*policy, *complaints]]
    found = decide(PLAYBOOK, frame)
    for row, action, offer in zip(frame.to_dict("records"), found["action"], found["offer_id"], strict=True):
        channels = [
            one
            for one in STEP_CHANNELS
            if row[f"consent_{one}_marketing"] == "SUBSCRIBED" and slow_capacity(row, one)
        ]
        may = channels and not list(slow_bans(row)) and not is_withheld(POLICY.holdout, row["customer_id"])
        assert (action == "offer" and offer == "step_coupon") == bool(may), row


def test_nothing_known_at_all_never_fails_and_contacts_nobody():
    names = [name for name in ALL if name not in ("customer_id",)]
    blank = frame_of(PLAIN)
    blank[names] = pd.DataFrame({name: [pd.NaT if ALL[name] is Type.TIME else None] for name in names})
    assert decide(PLAYBOOK, blank).iloc[0]["action"] == "none"


def test_any_one_column_may_be_null():
    nulls = [{name: pd.NaT if ALL[name] is Type.TIME else None} for name in PLAYBOOK.inputs]
    frame = frame_of(*(PLAIN | more | null for null in nulls for more in ({}, COMPLAINT)))
    found = decide(PLAYBOOK, frame)
    assert set(found["action"]) == {"offer", "none"}
    assert found["why"].map(len).ge(1).all()


def test_the_neighbours_change_nothing():
    frame = random_rows(300, seed=2)
    together = decide(PLAYBOOK, frame)
    shuffled = decide(PLAYBOOK, frame.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled.sort_index(), together)
    alone = pd.concat([decide(PLAYBOOK, frame.iloc[[place]]) for place in range(20)])
    for name in ("offer_id", "channel", "worth", "send_after", "why", "withheld_offer_id"):
        assert alone[name].astype(str).tolist() == together[name].head(20).astype(str).tolist()


def test_nobody_at_all():
    found = decide(PLAYBOOK, frame_of(PLAIN).iloc[:0])
    assert found.shape == (0, 8)
