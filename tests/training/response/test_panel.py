"""Who was exposed to what, and what came of it: by hand, at the edges of the horizon and of what was known."""

import numpy as np
import pandas as pd
import pytest

from features.contract import current_contract
from features.errors import InputError, TooLittleHistory
from tests.features.worlds import MICROSECOND, at, customer, line, link, tables_of, warehouse_of
from training.response.panel import build_response_panel, control_of, offered_arms
from training.targets import RESPONSE_14D, responses

AS_OF = pd.Timestamp("2024-06-01")
SHOWN = "2024-03-01T12:00"
ENDS = "2024-03-15T12:00"  # fourteen days later
LONG_AGO = [line(name, "2023-12-01", order_id=f"before {name}") for name in ("ann", "bob", "eve")]


def exposure(customer_id, arm, when=SHOWN, experiment_id="e", propensity=0.5, **more):
    values = {"experiment_id": experiment_id, "arm": arm, "propensity": propensity, "at": at(when)}
    return "exposures", {"customer_id": customer_id} | values | more


def panel_of(path, rows, as_of=AS_OF):
    return build_response_panel(warehouse_of(path / "w.duckdb", tables_of([*LONG_AGO, *rows])), as_of)


def two(*more):
    """Ann in the control, Bob offered a coupon."""
    return [exposure("ann", "control"), exposure("bob", "coupon"), *more]


def test_a_panel_by_hand(tmp_path):
    panel = panel_of(
        tmp_path, two(line("bob", "2024-03-10", net="12.50"), line("bob", "2024-03-11", net="2"))
    )
    assert panel.frame["customer_id"].tolist() == ["ann", "bob"]
    assert panel.frame["cutoff"].tolist() == [pd.Timestamp("2024-03-01")] * 2
    assert panel.log.arms == ("control", "coupon")
    assert panel.log.arm.tolist() == [0, 1]
    assert panel.log.propensity.tolist() == [0.5, 0.5]
    assert panel.log.reward.tolist() == [0.0, 1.0]
    assert panel.responses.orders.tolist() == [0, 2]
    assert panel.responses.spend.tolist() == [0.0, 14.5]
    assert not any(panel.left_out.values())
    assert panel.x.shape == (2, 209)


@pytest.mark.parametrize(
    ("rows", "ordered"),
    [
        ([line("bob", SHOWN)], 1),
        ([line("bob", at(SHOWN) - MICROSECOND)], 0),
        ([line("bob", at(ENDS) - MICROSECOND)], 1),
        ([line("bob", ENDS)], 0),
        ([line("eve", "2024-03-10")], 0),
        ([line("bob", "2024-03-10", kind="return")], 0),
        ([line("bob", "2024-02-28", order_id="o"), line("bob", "2024-03-10", order_id="o", line_id="2")], 0),
        ([line("bob", "2024-03-10", source="till")], 0),
        ([line("x", "2024-03-10"), link("x", "bob")], 1),
        ([line("x", "2024-03-10"), link("x", "bob", known_at=at("2024-03-01") + MICROSECOND)], 0),
        ([line("bob", "2024-03-10", known_at=at("2024-06-01"))], 1),
        ([line("bob", "2024-03-10", known_at=at("2024-06-01") + MICROSECOND)], 0),
    ],
    ids=[
        "at the exposure",
        "before the exposure",
        "as the horizon ends",
        "after the horizon",
        "of somebody else",
        "a return",
        "an order that began before",
        "another source's bob",
        "by another id of his",
        "by an id linked later",
        "known at the as-of",
        "known too late",
    ],
)
def test_answers_at_the_edges(rows, ordered, tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([*LONG_AGO, *rows]))
    shown = pd.DataFrame(
        {"customer_id": ["ann", "bob"], "cutoff": pd.Timestamp("2024-03-01"), "at": pd.Timestamp(SHOWN)}
    )
    assert responses(warehouse, shown, 14, known_by=AS_OF).orders.tolist() == [0, ordered]


def test_answers_agree_with_a_slow_look(shop, retailer):
    """Every exposure of a made-up retailer against every order."""
    shown = retailer.tables["exposures"].to_pandas().astype({"at": "datetime64[us, UTC]"})
    rows = shown.assign(
        at=shown["at"].dt.tz_localize(None), cutoff=shown["at"].dt.tz_localize(None).dt.floor("D")
    )
    found = responses(shop, rows, 14)
    lines = retailer.tables["order_lines"].to_pandas()
    lines = lines[(lines["kind"] == "sale") & lines["customer_id"].notna()]
    orders = lines.groupby(["customer_id", "order_id"]).agg(at=("paid_at", "min"), net=("net_amount", "sum"))
    of_customer = dict(list(orders.reset_index("order_id").groupby(level=0)))
    some = range(0, len(rows), 7)
    for number in some:
        row, mine = shown.iloc[number], of_customer.get(shown["customer_id"].iloc[number], orders[:0])
        since = (mine["at"] - row["at"]) / pd.Timedelta(days=1)
        inside = (since >= 0) & (since < 14)
        assert found.orders[number] == inside.sum()
        assert found.spend[number] == pytest.approx(float(mine.loc[inside, "net"].sum()))
    assert 0 < found.orders[list(some)].sum() < len(some)


def test_who_is_left_out_is_counted(tmp_path):
    rows = two(
        exposure(
            "eve", "coupon", "2024-05-18T00:00:01"
        ),  # fourteen days before the as-of, and a second short of it
        exposure("ann", "none", "2024-04-01", "f"),
        exposure("bob", "coupon", "2024-05-18", "f"),  # just long enough
        exposure("ann", "a", experiment_id="no control"),
        exposure("bob", "b", experiment_id="no control"),
        exposure("eve", "coupon", experiment_id="twice"),
        exposure("EVE", "control", experiment_id="twice"),
        link("EVE", "eve"),
        exposure("eve", "control", "2023-12-01T00:00", "early"),
        exposure("new", "coupon", "2024-04-01", "f"),
    )
    panel = panel_of(tmp_path, rows)
    assert dict(panel.left_out) == {
        "the horizon is not over": 1,
        "the experiment has no control": 2,
        "the customer is in the experiment more than once": 2,
        "before the first order of all": 1,
        "nothing was known of the customer": 1,
    }
    assert panel.frame[["customer_id", "experiment_id", "arm"]].to_numpy().tolist() == [
        ["ann", "e", "control"],
        ["bob", "e", "coupon"],
        ["ann", "f", "control"],
        ["bob", "f", "coupon"],
    ]
    assert panel.log.customer.tolist() == [0, 1, 0, 1]


def test_only_what_was_known_at_the_as_of_is_read(tmp_path):
    late = exposure("eve", "coupon", known_at=at("2024-06-01") + MICROSECOND)
    corrected = exposure("bob", "coupon", propensity=0.25, known_at=at("2024-05-01"))
    panel = panel_of(tmp_path, two(late, corrected))
    assert panel.frame["customer_id"].tolist() == ["ann", "bob"]
    assert panel.log.propensity.tolist() == [0.5, 0.25]


def test_a_customer_is_the_one_known_at_the_days_start(tmp_path):
    linked = link("ann", "one", known_at=at("2024-03-01"))
    assert panel_of(tmp_path, two(linked)).frame["customer_id"].tolist() == ["bob", "one"]


def test_one_experiment_in_two_sources_is_two(tmp_path):
    rows = two(
        exposure("ann", "none", source="till"),
        exposure("x", "coupon", source="till"),
        customer("x", source="till"),
    )
    rows.append(line("ann", "2023-12-01", source="till", order_id="till"))
    panel = panel_of(tmp_path, rows)
    assert sorted(zip(panel.frame["experiment_id"], panel.frame["customer_id"], strict=True)) == [
        ("e", "ann"),
        ("e", "bob"),
        ("till:e", "till:ann"),
        ("till:e", "till:x"),
    ]


def test_features_are_those_of_the_days_start(tmp_path):
    """An order of the same day, before the exposure, is neither a feature nor an answer."""
    rows = two(line("bob", "2024-03-01T11:00"), line("bob", "2024-02-29T23:00"))
    panel = panel_of(tmp_path, rows)
    assert panel.log.reward.tolist() == [0.0, 0.0]
    assert column_of(panel, "orders_all").tolist() == [1.0, 2.0]


def column_of(panel, name):
    return panel.x[:, current_contract().names.index(name)]


def test_many_days_are_read_in_parts(tmp_path):
    days = [f"2024-03-{day:02}T08:00" for day in range(1, 21)]
    names = [f"c{number}" for number in range(20)]
    rows = [line(name, "2023-12-01", order_id=name) for name in names]
    rows += [
        exposure(name, "control" if number % 2 else "coupon", day)
        for number, (name, day) in enumerate(zip(names, days, strict=True))
    ]
    panel = panel_of(tmp_path, rows)
    assert panel.frame["customer_id"].tolist() == names
    since = column_of(panel, "days_since_last_order")
    assert since.tolist() == [91.0 + day for day in range(20)]  # 2024-03-01 is day 91 from 2023-12-01
    assert panel.log.arm.tolist() == [1, 0] * 10


def test_refuses_where_there_is_nothing_to_learn_from(tmp_path):
    empty = warehouse_of(tmp_path / "empty.duckdb", tables_of(LONG_AGO))
    with pytest.raises(
        TooLittleHistory, match=r"0 are known \(none was left out\). Load the table exposures"
    ):
        build_response_panel(empty, AS_OF)
    young = warehouse_of(tmp_path / "young.duckdb", tables_of([*LONG_AGO, *two()]))
    with pytest.raises(TooLittleHistory, match=r"2 are known \(the horizon is not over: 2\)"):
        build_response_panel(young, pd.Timestamp("2024-03-10"))
    without = [exposure("ann", "a"), exposure("bob", "b")]
    with pytest.raises(
        InputError, match=r"none of the experiments \['e'\] has a control: an arm called control or none"
    ):
        panel_of(tmp_path, without)


def test_propensities_that_contradict_the_arms_are_refused(tmp_path):
    names = [f"c{number}" for number in range(300)]
    rows = [line(name, "2023-12-01", order_id=name) for name in names]
    rows += [exposure(name, "coupon" if number % 10 else "control") for number, name in enumerate(names)]
    with pytest.raises(InputError, match="'control' was given to 30 of the 300"):
        panel_of(tmp_path, rows)


def test_which_arm_is_the_control():
    assert control_of(["coupon", " None "]) == " None "
    assert control_of(["coupon", "controlled"]) is None
    with pytest.raises(InputError, match=r"one control, got \['control', 'none'\]"):
        control_of(["none", "control", "coupon"])


def test_an_experiment_offers_the_arms_that_it_gave():
    offered = offered_arms(["e", "e", "f", "f"], ["control", "b", "c", "control"], ("control", "b", "c"))
    assert offered.tolist() == [[True, True, False]] * 2 + [[True, False, True]] * 2


def test_the_target_says_what_is_asked():
    assert RESPONSE_14D.horizon_days == 14
    assert np.timedelta64(14, "D") == pd.Timestamp(ENDS) - pd.Timestamp(SHOWN)
