"""The trace: the same outcome as the decision, every rule on the way, and the same bytes whenever it is replayed."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from serving.rules.arbitration import decide
from serving.rules.columns import Type
from serving.rules.holdout import is_withheld
from serving.rules.playbook import default_playbook, parse_playbook
from serving.rules.policy import STAGES
from serving.rules.trace import trace
from tests.serving.rules.rows import PLAIN, frame_of, random_rows
from tests.serving.rules.test_playbook import RETAIL

PLAYBOOK = default_playbook()
READ_AGAIN = parse_playbook(RETAIL)
OUTCOME = ("action", "offer_id", "channel", "send_after", "worth", "withheld_offer_id")


def traced(base=PLAIN, channels=None, **changed):
    return trace(PLAYBOOK, frame_of(base | changed), channels=channels)


def step_of(steps, stage):
    return [step for step in steps["steps"] if step["stage"] == stage]


def candidate(found, offer, channel):
    return next(one for one in found[:-1] if (one["offer_id"], one["channel"]) == (offer, channel))


def test_every_offer_on_every_channel_in_order_and_the_ranking_last():
    found = traced()
    asked = [(offer.id, channel) for offer in PLAYBOOK.offers for channel in offer.channels]
    assert [(one["offer_id"], one["channel"]) for one in found[:-1]] == asked
    assert found[-1]["stage"] == "ranking"
    assert [(one["offer_id"], one["channel"]) for one in traced(channels=["phone"])[:-1]] == [
        ("complaint_followup", "phone"),
        ("vip_adviser", "phone"),
    ]


def test_a_candidate_that_passes_shows_each_stage_in_order_with_its_facts():
    made = candidate(traced(), "step_coupon", "wecom")
    assert made["passed"]
    assert list(dict.fromkeys(step["stage"] for step in made["steps"])) == list(STAGES)
    assert all(step["passed"] for step in made["steps"])
    assert [(step["code"], step["facts"]) for step in made["steps"]] == [
        ("consent_given", {"consent_wecom_marketing": "SUBSCRIBED"}),
        ("step_coupon", {"lifecycle5": "potential", "vip": False, "full_price_buyer": False, "r_days": 50.0}),
        ("complaint_open_quiet", {"open_complaints": 0.0}),
        ("complaint_recent_quiet", {"days_since_last_complaint": None, "last_complaint_csat": None}),
        ("cap_30d", {"contacts_30d": 0.0, "reserved_30d": 0.0, "frequent_returner": False}),
        ("cap_7d", {"contacts_7d": 0.0, "reserved_7d": 0.0}),
        ("capacity_wecom", {"contacts_wecom_1d": 0.0, "reserved_wecom_1d": 0.0}),
        ("worth_above_0", {"typical_order": 100.0, "worth": pytest.approx(4.1)}),
    ]


STOPPED = [
    ({"consent_sms_marketing": None}, "consent", "consent_missing", {"consent_sms_marketing": None}),
    ({"consent_sms_marketing": "UNSUBSCRIBED"}, "consent", "consent_refused", {"consent_sms_marketing": "UNSUBSCRIBED"}),
    ({"days_since_last_order": 3.0}, "eligibility", "step_coupon",
     {"lifecycle5": "potential", "vip": False, "full_price_buyer": False, "r_days": 3.0}),
    ({"open_complaints": 2.0}, "quiet_period", "complaint_open_quiet", {"open_complaints": 2.0}),
    ({"days_since_last_complaint": 4.5, "last_complaint_csat": 3.0}, "quiet_period", "complaint_recent_quiet",
     {"days_since_last_complaint": 4.5, "last_complaint_csat": 3.0}),
    ({"contacts_30d": 4.0}, "frequency_cap", "cap_30d", {"contacts_30d": 4.0, "reserved_30d": 0.0, "frequent_returner": False}),
    ({"reserved_7d": 2.0}, "frequency_cap", "cap_7d", {"contacts_7d": 0.0, "reserved_7d": 2.0}),
    ({"contacts_sms_1d": 1.0}, "channel_capacity", "capacity_sms", {"contacts_sms_1d": 1.0, "reserved_sms_1d": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "stage", "code", "facts"), STOPPED, ids=[row[2] for row in STOPPED])
def test_a_candidate_ends_with_the_rule_that_stopped_it(changed, stage, code, facts):
    stopped = candidate(traced(**changed), "step_coupon", "sms")
    assert stopped["steps"][-1] == {"stage": stage, "code": code, "passed": False, "facts": facts}
    assert not stopped["passed"]
    assert all(step["passed"] for step in stopped["steps"][:-1])


def test_what_is_not_worth_its_cost_is_stopped_by_the_ranking():
    dormant = {"days_since_last_order": 200.0, "aov_365d": 9.0}
    last = candidate(traced(**dormant), "winback_coupon", "sms")["steps"][-1]
    assert last == {
        "stage": "ranking",
        "code": "not_worth",
        "passed": False,
        "facts": {"typical_order": 9.0, "worth": None},
    }


def test_service_is_marked_exempt():
    call = candidate(traced(open_complaints=1.0, contacts_30d=9.0), "complaint_followup", "phone")
    assert [(step["stage"], step["code"]) for step in call["steps"]] == [
        ("consent", "consent_not_refused"),
        ("eligibility", "complaint_followup"),
        ("quiet_period", "service_exempt"),
        ("frequency_cap", "service_exempt"),
        ("ranking", "worth_above_0"),
    ]


def test_the_ranking_names_the_first_channel_of_each_offer_best_first():
    last = traced(member_level="gold", spend_365d=3000.0, contacts_assistant_1d=1.0)[-1]
    assert [(one["offer_id"], one["channel"]) for one in last["ranked"]] == [
        ("vip_adviser", "wecom"),
        ("vip_first_access", "wecom"),
    ]
    worths = [one["worth"] for one in last["ranked"]]
    assert worths == [pytest.approx(0.03 * 0.4 * 3000 - 5), pytest.approx(0.01 * 0.4 * 3000 - 0.2)]
    assert (last["action"], last["offer_id"], last["channel"], last["as_of"]) == (
        "offer",
        "vip_adviser",
        "wecom",
        "2026-11-25T04:00:00",
    )


TWINS = """
  - {id: ITS_ID, en: x, zh: x, purpose: PURPOSE, kind: content, channels: [email], when: "true", cost: 0, worth: "100",
     value: {}, reason: {en: x, zh: x}}"""


def with_twins(*offers, share):
    """The shipped playbook with further offers of equal worth."""
    more = "".join(TWINS.replace("ITS_ID", name).replace("PURPOSE", purpose) for name, purpose in offers)
    text = RETAIL.replace("\n# A row lets", f"{more}\n\n# A row lets").replace(
        "share: 0.1\n", f"share: {share}\n"
    )
    assert text.count('worth: "100"') == len(offers)
    return parse_playbook(text)


def outcome(playbook, frame, channels=None):
    """Decision and trace, which must agree; the outcome."""
    decided = decide(playbook, frame, channels=channels).iloc[0]
    last = trace(playbook, frame, channels=channels)[-1]
    for name in OUTCOME:
        value = None if pd.isna(decided[name]) else decided[name]
        assert last[name] == (value.isoformat() if isinstance(value, pd.Timestamp) else value), name
    return last


def test_between_equals_service_goes_first_then_the_playbooks_order():
    first = with_twins(("twin_a", "marketing"), ("twin_b", "service"), ("twin_c", "service"), share=0)
    assert outcome(first, frame_of(PLAIN))["offer_id"] == "twin_b"
    second = with_twins(("twin_a", "marketing"), ("twin_b", "marketing"), share=0)
    assert outcome(second, frame_of(PLAIN))["offer_id"] == "twin_a"


@pytest.mark.parametrize(
    ("worth", "action"), [("0", "none"), ("0.001", "offer"), ("1 / 0", "none"), ("-1", "none")]
)
def test_an_offer_must_beat_contacting_nobody(worth, action):
    text = RETAIL.replace("\n# A row lets", f"{TWINS}\n\n# A row lets").replace("ITS_ID", "twin")
    playbook = parse_playbook(
        text.replace("PURPOSE", "marketing").replace('worth: "100"', f'worth: "{worth}"')
    )
    nothing_due = frame_of(PLAIN | {"discount_share_365d": 0.0})
    assert outcome(playbook, nothing_due)["action"] == action


def test_who_is_withheld_from_marketing_gets_the_best_service_offer():
    playbook = with_twins(("guide", "service"), share=1)
    gold = frame_of(PLAIN | {"member_level": "gold", "spend_365d": 90_000.0})
    found = outcome(playbook, gold)
    assert (found["offer_id"], found["withheld_offer_id"], found["worth"]) == ("guide", "vip_adviser", 100.0)
    # of equal or greater worth: nothing is withheld
    assert outcome(playbook, frame_of(PLAIN))["withheld_offer_id"] is None
    assert outcome(with_twins(share=1), gold)["action"] == "none"


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, ["sms"], ["wecom", "email", "assistant"], []]))
def test_the_trace_comes_to_the_decision(seed, channels):
    frame = random_rows(3, seed)
    for place in range(len(frame)):
        outcome(PLAYBOOK, frame.iloc[[place]], channels)


def test_many_traces_come_to_the_decisions_made_together():
    held, free = (
        next(one for one in map(str, range(99)) if is_withheld(PLAYBOOK.policy.holdout, one) == yes)
        for yes in (True, False)
    )
    frame = random_rows(200, seed=5).assign(customer_id=[held, free] * 100)
    together = decide(PLAYBOOK, frame)
    for place in range(len(frame)):
        last = trace(PLAYBOOK, frame.iloc[[place]])[-1]
        expected = together.iloc[place]
        assert last["offer_id"] == (None if pd.isna(expected["offer_id"]) else expected["offer_id"])
        assert last["withheld_offer_id"] == (
            None if pd.isna(expected["withheld_offer_id"]) else expected["withheld_offer_id"]
        )
    assert together["offer_id"].nunique() >= 4
    assert together["withheld_offer_id"].notna().any()


@given(st.integers(0, 2**32 - 1))
def test_the_same_row_gives_the_same_bytes_from_its_inputs_alone(seed):
    frame = random_rows(1, seed)
    text = json.dumps(trace(PLAYBOOK, frame), allow_nan=False)
    kept = frame[list(PLAYBOOK.inputs)]
    assert json.dumps(trace(READ_AGAIN, kept), allow_nan=False) == text
    # through JSON and back, as a record of a decision keeps it
    record = json.loads(
        kept.to_json(orient="records", date_format="iso", date_unit="us", double_precision=15)
    )[0]
    types = {Type.NUMBER: "float64", Type.TEXT: "object", Type.TIME: "datetime64[us]"}
    columns = {name: pd.Series([record[name]]) for name in kept}
    for name, column in columns.items():
        if PLAYBOOK.inputs[name] is Type.TIME:
            columns[name] = pd.to_datetime(column, utc=True).dt.tz_localize(None)
        columns[name] = columns[name].astype(types[PLAYBOOK.inputs[name]])
    assert json.dumps(trace(PLAYBOOK, pd.DataFrame(columns)), allow_nan=False) == text


def test_the_same_file_read_again_is_the_same_playbook():
    assert READ_AGAIN is not PLAYBOOK
    assert READ_AGAIN.digest == PLAYBOOK.digest


def test_one_customer_at_a_time():
    with pytest.raises(InputError, match="of one customer, not of 2 rows"):
        trace(PLAYBOOK, frame_of(PLAIN, PLAIN))
