"""Profiles by hand: who a customer is, as known at an instant."""

import pandas as pd
import pytest

from features.profile import PROFILE_COLUMNS, profiles
from tests.features.worlds import MICROSECOND, at, customer, line, link, tables_of, warehouse_of

AS_OF = "2024-06-01"
AN_ORDER = line("somebody", "2024-01-01")
LATER = at(AS_OF) + MICROSECOND
EARLIER = at(AS_OF) - MICROSECOND

CASES = [
    (
        "one row, all of it",
        [
            customer(
                "ann",
                display_name="Ann",
                region_id="r1",
                home_store_id="s1",
                owner_id="a1",
                member_level="gold",
            )
        ],
        {"ann": ("Ann", "r1", "s1", "a1", "gold")},
    ),
    ("nothing known but the id", [customer("ann")], {"ann": (None,) * 5}),
    ("no customers row, no profile", [], {}),
    (
        "a level as known then, not as known since",
        [customer("ann", member_level="basic"), customer("ann", member_level="gold", known_at=LATER)],
        {"ann": (None, None, None, None, "basic")},
    ),
    (
        "a version known at the instant counts, and the one it replaced does not",
        [
            customer("ann", member_level="basic", region_id="r1"),
            customer("ann", member_level="gold", known_at=at(AS_OF)),
        ],
        {"ann": (None, None, None, None, "gold")},
    ),
    ("known too late", [customer("ann", known_at=LATER)], {}),
    ("registered at the instant is the future", [customer("ann", registered_at=at(AS_OF))], {}),
    (
        "registered a microsecond before",
        [customer("ann", registered_at=EARLIER, region_id="r1")],
        {"ann": (None, "r1", None, None, None)},
    ),
    ("ended", [customer("ann", superseded_at=at(AS_OF))], {}),
    ("ends later", [customer("ann", superseded_at=LATER)], {"ann": (None,) * 5}),
    (
        "of two behind one OneID the one known last speaks, and an earlier one fills what it leaves empty",
        [
            customer("ann", region_id="r1", member_level="gold", known_at=at("2024-01-01")),
            customer("ann2", region_id="r2", owner_id="a2", known_at=at("2024-02-01")),
            link("ann2", "ann"),
        ],
        {"ann": (None, "r2", None, "a2", "gold")},
    ),
    (
        "the other way round",
        [
            customer("ann", region_id="r1", member_level="gold", known_at=at("2024-03-01")),
            customer("ann2", region_id="r2", owner_id="a2", known_at=at("2024-02-01")),
            link("ann2", "ann"),
        ],
        {"ann": (None, "r1", None, "a2", "gold")},
    ),
    (
        "known last counts before the name of the source",
        [
            customer("ann", region_id="r1", known_at=at("2024-03-01")),
            customer("bob", region_id="r2", owner_id="a2", known_at=at("2024-02-01"), source="till"),
            link("bob", "ann", source="till"),
        ],
        {"ann": (None, "r1", None, "a2", None)},
    ),
    (
        "a link known too late joins nobody yet",
        [
            customer("ann", region_id="r1"),
            customer("ann2", region_id="r2"),
            link("ann2", "ann", known_at=LATER),
        ],
        {"ann": (None, "r1", None, None, None), "ann2": (None, "r2", None, None, None)},
    ),
    (
        "a link known at the instant",
        [customer("ann2", region_id="r2"), link("ann2", "ann", known_at=at(AS_OF))],
        {"ann": (None, "r2", None, None, None)},
    ),
    (
        "a link that ended",
        [customer("ann2", region_id="r2"), link("ann2", "ann", superseded_at=at(AS_OF))],
        {"ann2": (None, "r2", None, None, None)},
    ),
    (
        "the same id in two sources is two customers",
        [customer("ann", region_id="r1"), customer("ann", region_id="r2", source="till")],
        {"ann": (None, "r1", None, None, None), "till:ann": (None, "r2", None, None, None)},
    ),
    (
        "a link of one source says nothing about another",
        [customer("ann", region_id="r1"), link("ann", "one", source="till")],
        {"ann": (None, "r1", None, None, None)},
    ),
]


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_by_hand(rows, expected, tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([AN_ORDER, *rows]))
    found = profiles(warehouse, pd.Timestamp(AS_OF))
    assert list(found.columns) == ["customer_id", *PROFILE_COLUMNS]
    assert {
        row[0]: tuple(None if pd.isna(value) else value for value in row[1:6])
        for row in found.itertuples(index=False)
    } == expected


def test_one_row_each_in_order_of_the_id(tmp_path):
    rows = [customer(name, known_at=at("2024-01-01")) for name in ("eve", "ann", "bob")]
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([AN_ORDER, *rows, link("bob", "ann")]))
    assert profiles(warehouse, pd.Timestamp(AS_OF))["customer_id"].tolist() == ["ann", "eve"]


def test_of_two_known_at_once_the_answer_does_not_depend_on_the_order_of_rows(tmp_path):
    rows = [
        customer("ann", region_id="r1"),
        customer("bob", region_id="r2", source="till"),
        link("bob", "ann", source="till"),
    ]
    answers = [
        profiles(
            warehouse_of(tmp_path / f"{name}.duckdb", tables_of([AN_ORDER, *world])), pd.Timestamp(AS_OF)
        )["region_id"].tolist()
        for name, world in (("one", rows), ("two", rows[::-1]))
    ]
    assert answers == [["r2"], ["r2"]]  # the source later in the alphabet
