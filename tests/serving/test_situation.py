"""What rules look at, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from features.profile import CONSENT_CHANNELS, CONSENT_PURPOSES, PROFILE_COLUMNS
from serving.situation import situation

DAY_US = 86_400_000_000


def at(when):
    return pd.Timestamp(when).as_unit("us")


def people_of(**profiles):
    """Profiles by customer; what is not given is empty."""
    rows = [
        {"customer_id": name, **dict.fromkeys(PROFILE_COLUMNS), **profile}
        for name, profile in profiles.items()
    ]
    return pd.DataFrame(rows, columns=["customer_id", *PROFILE_COLUMNS])


def words_of(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "channel", "purpose", "status", "at"])


def seen(
    ids=("ann", "bob"), as_of="2026-11-25", *, people=None, words=(), reserved=(), timezone="UTC", index=None
):
    columns = pd.DataFrame(
        {"customer_id": list(ids), "cutoff": at(as_of), "orders_30d": range(len(ids))}, index=index
    )
    scores = pd.DataFrame(
        {
            "customer_id": list(ids),
            "as_of": at(as_of),
            "scored_at": at(as_of),
            "orders_30d": -1,
            "p_churn": 0.5,
        },
        index=index,
    )
    people = people_of() if people is None else people
    return situation(columns, scores, people, words_of(*words), reserved, as_of=at(as_of), timezone=timezone)


@pytest.mark.parametrize(
    ("born", "as_of", "years"),
    [
        ("1990-11-25", "2026-11-24 23:59:59.999999", 35), ("1990-11-25", "2026-11-25", 36), ("1990-11-25", "2026-11-26", 36),
        ("1990-12-01", "2026-11-30", 35), ("1990-10-31", "2026-11-01", 36), ("1990-12-31", "2027-01-01", 36),
        ("2000-02-29", "2023-02-27", 22), ("2000-02-29", "2023-02-28", 23), ("2000-02-29", "2023-03-01", 23),
        ("2000-02-29", "2024-02-28", 23), ("2000-02-29", "2024-02-29", 24), ("2000-02-29", "2100-02-28", 100),
        ("2000-02-28", "2023-02-28", 23), ("2001-03-29", "2023-02-28", 21), ("2026-11-25", "2026-11-25", 0),
    ],
)  # fmt: skip
def test_ages_on_birthdays(born, as_of, years):
    table = seen(as_of=as_of, people=people_of(ann={"birth_date": pd.Timestamp(born).date()}))
    assert table["age_years"].tolist()[0] == years
    assert np.isnan(table["age_years"].tolist()[1])


def test_days_since_registration():
    table = seen(people=people_of(bob={"registered_at": at("2026-11-22 12:00")}))
    assert table["days_since_registration"].tolist()[1] == 2.5
    assert np.isnan(table["days_since_registration"].tolist()[0])


@pytest.mark.parametrize(
    ("own", "stores", "zone"),
    [("Asia/Tokyo", "Asia/Seoul", "Asia/Tokyo"), ("Asia/Tokyo", None, "Asia/Tokyo"), (None, "Asia/Seoul", "Asia/Seoul"), (None, None, "Asia/Shanghai")],
)  # fmt: skip
def test_zones_fall_back(own, stores, zone):
    table = seen(people=people_of(ann={"timezone": own, "store_timezone": stores}), timezone="Asia/Shanghai")
    assert table["timezone"].tolist() == [zone, "Asia/Shanghai"]
    assert "store_timezone" not in table


def test_who_has_no_profile_has_a_row_of_blanks():
    table = seen(people=people_of(bob={"display_name": "Bob", "member_level": "gold"}))
    assert table["display_name"].isna().tolist() == [True, False]
    assert table["member_level"].tolist()[1] == "gold"
    nobody = seen()
    blank = [name for name in PROFILE_COLUMNS if not name.endswith("timezone")]
    assert nobody[blank].isna().all(axis=None)
    assert nobody["timezone"].tolist() == ["UTC", "UTC"]


def test_the_types_do_not_depend_on_who_is_known():
    full = seen(
        people=people_of(
            ann=dict.fromkeys(PROFILE_COLUMNS, "UTC") | {"birth_date": pd.Timestamp("1990-01-01").date(), "registered_at": at("2020-01-01")}
        ),
        words=[("ann", "sms", "marketing", "SUBSCRIBED", at("2026-01-01"))],
        reserved=[("ann", "sms", at("2026-11-24").value // 1000)],
    )  # fmt: skip
    assert seen().dtypes.to_dict() == full.dtypes.to_dict()


def test_a_birthday_begins_in_the_customers_zone():
    born = {"birth_date": "2000-03-01"}
    people = people_of(ann=born | {"timezone": "Asia/Shanghai"}, bob=born | {"timezone": "UTC"})
    table = seen(people=people, as_of="2026-02-28T20:00")
    assert table["age_years"].tolist()[:2] == [26, 25]


def test_consents_stand_side_by_side():
    told = [
        ("bob", "sms", "marketing", "UNSUBSCRIBED", at("2026-01-01")), ("bob", "email", "service", "SUBSCRIBED", at("2026-01-01")),
        ("eve", "sms", "marketing", "SUBSCRIBED", at("2026-01-01")),
    ]  # fmt: skip
    table = seen(words=told)
    wide = [f"consent_{channel}_{purpose}" for channel in CONSENT_CHANNELS for purpose in CONSENT_PURPOSES]
    said = {
        (row, name): table[name].tolist()[row]
        for row in (0, 1)
        for name in wide
        if pd.notna(table[name].tolist()[row])
    }
    assert said == {(1, "consent_sms_marketing"): "UNSUBSCRIBED", (1, "consent_email_service"): "SUBSCRIBED"}


@pytest.mark.parametrize(
    ("channel", "age_us", "held"),
    [
        ("sms", 0, {"7d", "30d", "sms_1d"}), ("sms", DAY_US - 1, {"7d", "30d", "sms_1d"}), ("sms", DAY_US, {"7d", "30d"}),
        ("sms", 7 * DAY_US - 1, {"7d", "30d"}), ("sms", 7 * DAY_US, {"30d"}), ("sms", 30 * DAY_US - 1, {"30d"}), ("sms", 30 * DAY_US, set()),
        ("email", 1, {"7d", "30d", "email_1d"}), ("phone", 1, {"7d", "30d"}),
        ("official_account", 1, {"7d", "30d", "official_account_30d"}), ("official_account", 30 * DAY_US - 1, {"30d", "official_account_30d"}),
        ("sms", -1, {"7d", "30d", "sms_1d"}),
    ],
)  # fmt: skip
def test_which_reservations_count_where(channel, age_us, held):
    now = at("2026-11-25").value // 1_000
    table = seen(reserved=[("bob", channel, now - age_us), ("eve", channel, now)])
    names = [name for name in table.columns if name.startswith("reserved_")]
    assert len(names) == 10
    assert {name.removeprefix("reserved_") for name in names if table[name].tolist() == [0, 1]} == held
    assert {name.removeprefix("reserved_") for name in names if table[name].tolist() == [0, 0]} == {
        name.removeprefix("reserved_") for name in names
    } - held


def test_reservations_add_up():
    now = at("2026-11-25").value // 1_000
    table = seen(
        reserved=[
            ("ann", "sms", now - 1),
            ("ann", "sms", now - 2 * DAY_US),
            ("ann", "email", now - 8 * DAY_US),
        ]
    )
    assert table[["reserved_sms_1d", "reserved_email_1d", "reserved_7d", "reserved_30d"]].to_numpy().tolist()[
        0
    ] == [1, 0, 2, 3]


def test_rows_follow_the_question_whatever_the_order_of_the_rest():
    people = people_of(ann={"display_name": "Ann"}, bob={"display_name": "Bob"}, eve={"display_name": "Eve"})
    told = [("eve", "sms", "marketing", "SUBSCRIBED", at("2026-01-01"))]
    table = seen(("eve", "ann", "eve"), people=people, words=told, index=[7, 3, 9])
    assert table.index.tolist() == [7, 3, 9]
    assert table["display_name"].tolist() == ["Eve", "Ann", "Eve"]
    assert table["consent_sms_marketing"].eq("SUBSCRIBED").tolist() == [True, False, True]
    assert table["orders_30d"].tolist() == [0, 1, 2]  # the feature, not a score's copy of it
    assert table.columns.is_unique
    assert "cutoff" not in table
    assert (table["as_of"] == at("2026-11-25")).all()
