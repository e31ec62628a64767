"""The file: what it must hold, and errors that name file, line and column."""

from importlib.resources import files

import pytest

from features.errors import PlaybookError
from serving.rules.columns import COLUMNS, consent_column
from serving.rules.playbook import default_playbook, load_playbook, parse_playbook

RETAIL = (files("serving.rules") / "playbooks" / "retail.yaml").read_text(encoding="utf-8")

SMALL = """\
playbook: small
en: Small
zh: 小
parameters:
  days: 30
derived:
  r_days: floor(days_since_last_order)
  twice: >-
    r_days
    * 2
schemes:
  - id: age
    en: Age
    zh: 年龄
    classes:
      - {id: fresh, en: Fresh, zh: 新, when: "r_days < :days"}
      - {id: old, en: Old, zh: 旧, when: "true"}
tags:
  - id: gone
    layer: value
    en: Gone
    zh: 离开
    when: age = 'old'
    why: {en: Why, zh: 为何}
offers:
  - id: hello
    en: Hello
    zh: 你好
    purpose: marketing
    kind: coupon
    channels: [sms, email]
    when: gone
    cost: 1
    worth: "twice - :cost"
    value: {face: 5}
    reason: {en: "{r_days} days, {age}, {days}", zh: "{r_days}天"}
policy:
  consent_missing: {code: missing, en: a, zh: a}
  consent_refused: {code: refused, en: a, zh: a}
  eligibility: {code: eligible, en: a, zh: a}
  quiet_period: []
  frequency_cap:
    - {code: cap, allow: contacts_7d < 2, en: a, zh: a}
  channel_capacity:
    - {code: full, channel: sms, allow: contacts_sms_1d < 1, en: a, zh: a}
  ranking: {code: worthless, en: a, zh: a}
  holdout: {share: 0, salt: s, en: a, zh: a}
  quiet_hours: {start: 22:00, end: "08:00", en: a, zh: a}
"""


def test_a_small_playbook_is_what_it_says():
    playbook = parse_playbook(SMALL)
    assert (playbook.name, playbook.title.zh, dict(playbook.parameters)) == ("small", "小", {"days": 30.0})
    assert [definition.name for definition in playbook.definitions] == ["r_days", "twice", "age", "gone"]
    assert [definition.level for definition in playbook.definitions] == [0, 1, 1, 2]
    offer = playbook.offers[0]
    assert (offer.channels, offer.value, offer.expires_days) == (("sms", "email"), {"face": 5.0}, None)
    hours = playbook.policy.quiet_hours
    assert (hours.start.hour, hours.end.hour) == (22, 8)
    # what it reads, and what a decision needs, in the order of the columns
    assert tuple(playbook.inputs) == tuple(
        name
        for name in COLUMNS
        if name in {"days_since_last_order", "contacts_7d", "contacts_sms_1d", "customer_id", "timezone", "as_of",
                    consent_column("sms", "marketing"), consent_column("email", "marketing")}
    )  # fmt: skip


def position(text, part, nth=0):
    start = -1
    for _ in range(nth + 1):
        start = text.index(part, start + 1)
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


# old, new, where the error points (a piece of the new text), words
BROKEN = [
    ("en: Small", "en: Small\nzz: 1", "zz", "unknown key 'zz'; allowed: playbook, en, zh, parameters"),
    ("zh: 小\n", "", "playbook", "zh missing; given: playbook, en, parameters"),
    ("    zh: 离开\n", "", "id: gone", "zh missing"),
    ("{en: Why, zh: 为何}", "{en: Why}", "{en: Why}", "zh missing"),
    ("zh: 离开", 'zh: " "', '"\n    when', "a text is needed here"),
    ("  days: 30", "  days: 30\n  days: 31", "days: 31", "'days' stands here twice"),
    ("  days: 30", "  Days: 30", "Days", "'Days' is no name"),
    ("  days: 30", "  days: [30]", "[30]", "a number, text or flag is needed here, not a seq"),
    ("  days: 30", "  days:", "\nderived", "a number, text or flag is needed here"),
    ("  days: 30", "  days: &a 30\n  other: *a", "*a", "an alias"),
    ("  r_days: floor(days_since_last_order)", "  r_days: floor(days_since_last_orders)", "days_since_last_orders",
     "no column is called 'days_since_last_orders'; close: days_since_last_order"),
    ("    r_days\n    * 2", "    r_days\n    * r_day", "r_day\n", "no column is called 'r_day'; close: r_days"),
    ("    r_days\n    * 2", "    twice\n    * 2", "twice\n", "no column is called 'twice'"),
    ("  twice: >-", "  gender: >-", "r_days\n    * 2", "'gender' is a column already"),
    ("r_days < :days", "r_days < :dayz", ":dayz", "no parameter is called :dayz; close: days"),
    ('when: "r_days < :days"', 'when: "r_days + :days"', "r_days + :days", "is number, wanted flag"),
    ('when: "true"', "when: r_days >= :days", "- {id: fresh", "the last class's condition must be true"),
    ("id: old", "id: fresh", "{id: fresh, en: Old", "'fresh' stands here twice"),
    ("layer: value", "layer: values", "values", "'values' is none of basic, behaviour, value"),
    ("  - id: gone", "  - id: age", "age\n    layer", "'age' is a column already"),
    ("age = 'old'", "age = 3", "3\n    why", "age is text but 3 is number"),
    ("purpose: marketing", "purpose: transactional", "transactional", "none of marketing, service"),
    ("kind: coupon", "kind: spam", "spam", "none of coupon, gift"),
    ("[sms, email]", "[sms, fax]", "fax", "'fax' is none of sms, email"),
    ("[sms, email]", "[sms, sms]", "sms]", "'sms' stands here twice"),
    ("[sms, email]", "[]", "[]", "an offer needs a channel"),
    ("[sms, email]", "sms", "sms\n", "a list is needed here, not 'sms'"),
    ("cost: 1", "cost: -1", "-1", "a number from 0 to 1e+06 is needed here"),
    ("cost: 1", "cost: true", "true\n    worth", "a number from 0 to 1e+06 is needed here"),
    ("twice - :cost", "gone", 'gone"', "'gone' is flag, wanted number"),
    ("twice - :cost", "churn_probability - :cost", "churn_probability",
     "churn_probability would rank discounts: a coupon's worth may not use scores"),
    ("when: gone", "when: churn_probability > 0.5 AND status = 'ok'", "churn_probability", "a coupon needs a fact of the customer's behaviour"),
    ("when: gone", "when: [gone]", "[gone]", "an expression is needed here, not a seq"),
    ("{r_days} days", "{r_day} days", '{r_day}', "no column or parameter is called 'r_day'; close: r_days"),
    ("{r_days} days", "{age:percent} days", '{age:', "age is text, no number"),
    ("{r_days} days", "{r_days:money} days", '{r_days:', "has a form that is not known"),
    ("{r_days} days", "{r_days days", '{r_days d', "unexpected '{' in field name"),
    ("value: {face: 5}", "value: {face: {a: 1}}", "{a: 1}", "a number, text or flag is needed here, not a map"),
    ("value: {face: 5}", "value: 5", "5\n", "keys with values are needed here, not '5'"),
    ("    value: {face: 5}", "    value: {face: 5}\n    expires_days: 0", "0\n    reason", "a number from 1 to 366"),
    ("{code: cap,", "{code: full,", "consent_missing", "'full' stands here twice"),
    ("{code: cap,", "{code: cap, channel: sms,", "channel: sms, allow: contacts_7d", "unknown key 'channel'"),
    ("code: full, channel: sms,", "code: full,", "{code: full", "channel missing"),
    ("allow: contacts_7d < 2", "allow: contacts_7d", "contacts_7d", "is number, wanted flag"),
    ("share: 0,", "share: 1.01,", "1.01", "a number from 0 to 1 is needed here"),
    ("start: 22:00", "start: 25:00", "25:00", "a time of day like 22:00"),
    ("schemes:\n", "schemes: [\n", "tags", "this is no YAML"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "at", "words"), BROKEN, ids=[f"{new.strip()[:40]}" for _, new, _, _ in BROKEN]
)
def test_a_broken_playbook_is_refused_with_file_line_and_column(old, new, at, words):
    assert SMALL.count(old) == 1, "the case changes one place"
    text = SMALL.replace(old, new)
    with pytest.raises(PlaybookError) as error:
        parse_playbook(text, "small.yaml")
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    line, column = position(text, at)
    if at not in ("tags", "\nderived"):
        assert message.startswith(f"small.yaml:{line}:{column}: "), (message, line, column)
    assert message.startswith("small.yaml:")


def test_an_offer_that_stands_twice_is_named_where_it_stands_again():
    start, end = SMALL.index("  - id: hello"), SMALL.index("policy:")
    text = SMALL[:end] + SMALL[start:end] + SMALL[end:]
    line, column = position(text, "id: hello", 1)
    with pytest.raises(PlaybookError, match=rf"^p:{line}:{column}: 'hello' stands here twice"):
        parse_playbook(text, "p")


@pytest.mark.parametrize(("text", "words"), [("", "the file is empty"), ("- a", "keys with values"), ("a: b\n---\nc: d", "no YAML"),
                                             ("\x00", "no YAML")])  # fmt: skip
def test_what_is_no_playbook_at_all(text, words):
    with pytest.raises(PlaybookError, match=rf"^p.*{words}"):
        parse_playbook(text, "p")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(PlaybookError, match=r"mine\.yaml: the playbook cannot be read"):
        load_playbook(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PlaybookError, match=r"mine\.yaml: the playbook cannot be read"):
        load_playbook(path)
    path.write_text(SMALL, encoding="utf-8")
    assert load_playbook(path).digest == parse_playbook(SMALL).digest


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("# (none)", "# (none)", True),
        ("playbook: small", "# a comment\n\nplaybook:   small", True),
        ("when: age = 'old'", "when: \"age = 'old'\"", True),
        ("days: 30", "days: 31", False),
        ("days: 30", 'days: "30"', False),
        ("[sms, email]", "[email, sms]", False),
        ("en: Gone", "en: Went", False),
    ],
)
def test_the_digest_is_of_the_content(old, new, is_same):
    changed = SMALL.replace(old, new)
    if new == 'days: "30"':
        changed = changed.replace("r_days < :days", "r_days < 30")
        assert (
            parse_playbook(changed).digest
            != parse_playbook(SMALL.replace("r_days < :days", "r_days < 30")).digest
        )
        return
    assert (parse_playbook(changed).digest == parse_playbook(SMALL).digest) == is_same
    assert len(parse_playbook(changed).digest) == 64


def test_the_shipped_playbook_is_loaded_once_and_says_everything_twice():
    playbook = default_playbook()
    assert default_playbook() is playbook
    assert set(playbook.inputs) <= {*COLUMNS, *(one.name for one in playbook.measured)}
    assert len(playbook.offers) >= 8
    titles = [part.title for part in (*playbook.tags, *playbook.offers, *playbook.schemes)]
    titles += [one.title for scheme in playbook.schemes for one in scheme.classes] + [
        tag.why for tag in playbook.tags
    ]
    assert all(title.en.isascii() and not title.zh.isascii() for title in titles if title.zh != "VIP")
    assert all(offer.value.keys() for offer in playbook.offers)


@pytest.mark.parametrize("name", default_playbook().parameters)
def test_every_parameter_of_the_shipped_playbook_is_used(name):
    assert f":{name}" in RETAIL or f"{{{name}}}" in RETAIL


def test_faces_in_the_data_are_the_parameters():
    playbook = default_playbook()
    offers, numbers = {offer.id: offer.value for offer in playbook.offers}, playbook.parameters
    assert offers["step_coupon"] == {"face": numbers["step_face"], "minimum_spend": numbers["step_minimum"]}
    assert offers["first_order_coupon"] == {
        "face": numbers["first_face"],
        "minimum_spend": numbers["first_minimum"],
    }
    assert offers["churn_rescue"]["face"] == numbers["rescue_face"]
    assert offers["winback_coupon"]["share"] == numbers["winback_share"]
    assert offers["welcome_gift"]["face"] == numbers["gift_cost"]
