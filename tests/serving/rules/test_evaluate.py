"""The table that rules see: types, nulls, any number of rows, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from features.errors import InputError
from serving.rules.columns import COLUMNS, Type
from serving.rules.evaluate import profile, table_of
from serving.rules.playbook import default_playbook
from tests.serving.rules.rows import ALL, NOBODY, PLAIN, frame_of, profile_of

NUMBERS = ["orders_all", "spend_365d", "days_since_last_order"]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4])
def test_a_column_stays_a_column_whatever_the_shape(rows):
    # as many rows as columns is the case in which a block of numbers may be taken for its transpose
    frame = pd.DataFrame({name: np.arange(rows) + 10.0 * place for place, name in enumerate(NUMBERS)})
    table = table_of(frame, dict.fromkeys(NUMBERS, Type.NUMBER))
    assert table.to_dict(as_series=False) == {name: [row + 10.0 * place for row in range(rows)]
                                              for place, name in enumerate(NUMBERS)}  # fmt: skip


def test_types_of_every_kind_of_column():
    frame = pd.DataFrame(
        {
            "orders_all": pd.Series([3, None], dtype="Int64"),
            "open_complaints": pd.Series([None, None], dtype="object"),
            "spend_365d": [np.inf, -1.5],
            "gender": pd.Series(["x", None], dtype="str"),
            "status": pd.Series([None, None], dtype="object"),
            "as_of": pd.Series(pd.to_datetime(["2026-11-25 04:00", None], utc=True)),
            "birth_date": pd.Series([None, None], dtype="object"),
        }
    )
    table = table_of(frame, {name: COLUMNS[name] for name in frame.columns})
    assert table.to_dict(as_series=False) == {
        "orders_all": [3.0, None],
        "open_complaints": [None, None],
        "spend_365d": [None, -1.5],
        "gender": ["x", None],
        "status": [None, None],
        "as_of": [pd.Timestamp("2026-11-25 04:00"), None],
        "birth_date": [None, None],
    }


def test_the_frame_is_left_as_it_was():
    frame = frame_of(PLAIN | {"spend_365d": np.inf})
    before = frame.copy(deep=True)
    profile(default_playbook(), frame)
    pd.testing.assert_frame_equal(frame, before)


def test_missing_and_mistaken_columns_are_named():
    frame = frame_of(PLAIN)
    with pytest.raises(InputError, match=r"1 columns that the playbook reads are missing: gender"):
        profile(default_playbook(), frame.drop(columns="gender"))
    with pytest.raises(InputError, match="spend_365d"):
        profile(default_playbook(), frame.assign(spend_365d="much"))
    with pytest.raises(InputError, match="gender"):
        profile(default_playbook(), frame.assign(gender=[["x"]]))
    with pytest.raises(InputError, match="as_of"):
        profile(default_playbook(), frame.assign(as_of="soon"))


def test_every_definition_is_a_column_in_order_with_the_frames_index():
    playbook = default_playbook()
    frame = frame_of(PLAIN, NOBODY).set_index(pd.Index(["x", "x"]))
    found = profile(playbook, frame)
    assert list(found.columns) == [definition.name for definition in playbook.definitions]
    assert found.index.tolist() == ["x", "x"]
    assert {str(found[tag.id].dtype) for tag in playbook.tags} == {"bool"}


def test_nothing_known_at_all_is_no_error():
    empty = {name: pd.NaT if type_ is Type.TIME else None for name, type_ in ALL.items()}
    found = profile_of(empty)
    assert found["lifecycle5"] == found["rfm15"] == found["dynamic8"] == "prospect"
    held = {tag.id for tag in default_playbook().tags if found[tag.id]}
    assert held == {"profile_incomplete"}


DERIVED = [
    ("r_days", {"days_since_last_order": 50.99}, 50.0),
    ("yearly_net_spend", {"spend_365d": 8192.04, "refunds_365d": 3192.04}, 5000.0),
    ("traces_30d", {"views_30d": 2.0, "carts_30d": np.nan}, 2.0),
    ("returned_share_365d", {"orders_365d": 4.0, "return_orders_365d": 1.0, "exchanges_365d": 1.0}, 0.5),
    ("returned_share_365d", {"orders_365d": 1.0, "return_orders_365d": 1.0, "exchanges_365d": 1.0}, 1.0),
    ("typical_order", {"aov_365d": np.nan, "aov_all": 80.0}, 80.0),
    ("typical_order", {"aov_365d": np.nan, "aov_all": np.nan}, 0.0),
    ("order_rate_30d", {"status": "ok", "p_order_30d": 0.7}, 0.7),
    ("order_rate_30d", {"status": "too_little_history", "p_order_30d": np.nan}, 0.1),
    # 5 orders of the last 30 days, 1000 spent, ordered today: 5 + 5 + 5
    ("rfm15_month_total", {"days_since_last_order": 0.5, "orders_30d": 5.0, "spend_30d": 1000.0}, 15.0),
    # 31 days silent: 3 + 1 + 1
    ("rfm15_month_total", {"days_since_last_order": 31.0, "orders_30d": 0.0, "spend_30d": 0.0}, 5.0),
    ("rfm15_month_total", {"days_since_last_order": 30.0, "orders_30d": 2.0, "spend_30d": 399.99}, 4.0 + 3 + 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changed", "expected"), DERIVED)
def test_derived_columns(name, changed, expected):
    assert profile_of(**changed)[name] == expected


def test_the_literal_month_has_its_own_tiers():
    assert (
        profile_of(days_since_last_order=0.5, orders_30d=2.0, spend_30d=600.0)["rfm15_month"] == "high_value"
    )  # 5 + 3 + 4
    assert (
        profile_of(days_since_last_order=0.5, orders_30d=2.0, spend_30d=599.0)["rfm15_month"] == "potential"
    )
    assert profile_of(days_since_last_order=31.0)["rfm15_month"] == "churned"
