"""Purchases and items by hand; due dates of a small shop and of the made-up retailer; the labels."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from features.errors import ModelError, TooLittleHistory
from serving.cli.replenish import replenish
from tests.features.worlds import MICROSECOND, at, line, link, product, tables_of, warehouse_of
from tests.training.replenishment.needs import bought
from training.replenishment.due import DUE_COLUMNS, DUE_WITHIN_DAYS, due
from training.replenishment.fit import fit_replenishment, load_replenishment, save_replenishment
from training.replenishment.items import items_of, keys_of, repeat_shares
from training.replenishment.purchases import Gaps, gaps, read_purchases
from training.targets import bought_between, next_purchases

AS_OF = pd.Timestamp("2024-07-01")
MASK = product("mask", "skincare", category_2="mask", pack_size=2.0, replenishable=True)
BED = product("bed", "home", category_2="bedding", replenishable=False)


def days_from(start, gaps_days):
    """ISO days from a start on, so many days apart."""
    at_days = np.cumsum([0, *gaps_days])
    return [(pd.Timestamp(start) + pd.Timedelta(days=int(d))).isoformat() for d in at_days]


def shop_of(folder, rows, **more):
    return warehouse_of(folder / "w.duckdb", tables_of(rows), **more)


def read(folder, rows, level="category", as_of=AS_OF, **more):
    return read_purchases(shop_of(folder, rows, **more), as_of, level)


# --- purchases --------------------------------------------------------------------------------------------------------


def test_purchases_of_a_category_by_hand(tmp_path):
    other = product("mask-xl", "skincare", category_2="mask", pack_size=5.0)
    rows = [
        MASK, other, BED,
        line("ann", "2024-05-01T08:00", order_id="a", product_id="mask", quantity=3),
        line("ann", "2024-05-01T20:00", order_id="b", product_id="mask-xl", channel="store"),  # the same day, another channel
        line("ann", "2024-05-29", order_id="c", product_id="mask"),
        line("ann", "2024-06-10", order_id="d", product_id="unlisted"),  # no category: an order, not a purchase of one
        line("bob", "2024-06-01", order_id="e", product_id="bed"),
        line(None, "2024-06-01", order_id="f", product_id="bed"),
    ]  # fmt: skip
    found = read(tmp_path, rows)
    assert found.customers.tolist() == ["ann", "bob"]
    assert keys_of(found.items) == [("home", "bedding", None), ("skincare", "mask", None)]
    assert found.items["replenishable"].tolist() == [0.0, 1.0]
    assert [(int(c), int(i)) for c, i in zip(found.customer, found.item, strict=True)] == [
        (0, 1),
        (0, 1),
        (1, 0),
    ]
    assert found.units.tolist() == [3 * 2 + 5, 2, 1]
    assert found.bought_at[0] == np.datetime64("2024-05-01T08:00")
    assert found.tenure_days.tolist() == pytest.approx([0.0, 28 - 8 / 24, 0.0])
    assert found.orders.tolist() == [0, 1, 0]
    seen = gaps(found)
    assert seen.closed.tolist() == [True, False, False]
    assert seen.number.tolist() == [0, 1, 0]
    assert seen.days.tolist() == pytest.approx([28 - 8 / 24, 33, 30])


@pytest.mark.parametrize(
    ("zone", "purchases"),
    [("UTC", 2), ("Asia/Shanghai", 1)],  # 23:00 and 01:00 UTC are 07:00 and 09:00 of one day there
)
def test_a_day_is_one_of_the_warehouse_s_zone(tmp_path, zone, purchases):
    rows = [MASK, *bought("ann", ["2024-05-01T23:00", "2024-05-02T01:00"])]
    assert read(tmp_path, rows, zone=zone).units.size == purchases


def returned(quantity, back_at, **more):
    return line(
        "ann",
        back_at,
        order_id="r",
        product_id="mask",
        kind="return",
        original_order_id="a",
        quantity=quantity,
        **more,
    )


@pytest.mark.parametrize(
    ("back", "units"),
    [
        ([], [6.0]),
        ([returned(1, "2024-05-10")], [4.0]),  # two packs of two are left
        ([returned(3, "2024-05-10")], []),  # brought back whole: no purchase
        ([returned(3, "2024-07-01")], [6.0]),  # at the cutoff: the future
        ([returned(3, "2024-05-10", known_at=at("2024-07-02"))], [6.0]),  # not known yet
    ],
    ids=["kept", "a part", "all", "later", "unknown"],
)
def test_what_came_back_is_no_purchase(tmp_path, back, units):
    sold = line("ann", "2024-05-01", order_id="a", product_id="mask", quantity=3)
    assert read(tmp_path, [MASK, sold, *back]).units.tolist() == units


CUT = at("2024-07-01")
KNOWN = {
    "before": (line("ann", CUT - MICROSECOND, product_id="mask"), 1),
    "at the cutoff": (line("ann", CUT, product_id="mask"), 0),
    "known at the cutoff": (line("ann", "2024-06-01", product_id="mask", known_at=CUT), 1),
    "known after": (line("ann", "2024-06-01", product_id="mask", known_at=CUT + MICROSECOND), 0),
    "superseded at": (line("ann", "2024-06-01", product_id="mask", superseded_at=CUT), 0),
    "superseded after": (line("ann", "2024-06-01", product_id="mask", superseded_at=CUT + MICROSECOND), 1),
}


@pytest.mark.parametrize("case", KNOWN)
def test_only_what_was_known_before_the_cutoff_counts(tmp_path, case):
    row, purchases = KNOWN[case]
    assert read(tmp_path, [MASK, row]).units.size == purchases


def test_links_and_categories_are_those_of_the_cutoff(tmp_path):
    later = product("mask", "beauty", category_2="mask", known_at=at("2024-07-02"))
    joined = [link("ann", "one", known_at=at("2024-06-30")), link("bob", "one", known_at=at("2024-07-02"))]
    rows = [MASK, later, *joined, *bought("ann", ["2024-05-01"]), *bought("bob", ["2024-05-20"])]
    shop = shop_of(tmp_path, rows)
    then, now = (read_purchases(shop, pd.Timestamp(day), "category") for day in ("2024-07-01", "2024-07-03"))
    assert (then.customers.tolist(), keys_of(then.items)) == (["bob", "one"], [("skincare", "mask", None)])
    assert (now.customers.tolist(), keys_of(now.items)) == (["one"], [("beauty", "mask", None)])
    assert gaps(now).closed.tolist() == [True, False]  # one person's two purchases


# --- items ------------------------------------------------------------------------------------------------------------


def test_the_share_that_repeats_is_that_of_kaplan_and_meier():
    """At risk 5, 4, 2: closed at 10, 20 and 30; one is open at 20, and was at risk that day; a year later does not count."""
    days = np.array([10.0, 20.0, 20.0, 30.0, 400.0])
    closed = np.array([True, False, True, True, True])
    item = np.zeros(5, dtype=np.int64)
    assert repeat_shares(item, Gaps(days, closed, item), 2) == pytest.approx([1 - 4 / 5 * 3 / 4 * 1 / 2, 0.0])


def test_declared_items_repeat_and_where_nobody_declares_the_data_decide(tmp_path):
    rows = [
        MASK,
        BED,
        product("oil", "skincare", category_2="oil"),
        product("pan", "kitchen", category_2="pans"),
        product("cup", "kitchen", category_2="cups"),
    ]
    for number in range(40):
        rows += bought(f"c{number}", ["2024-01-01", "2024-02-01"], "oil")  # 40 gaps, nobody declares
        rows += bought(f"c{number}", ["2024-01-01", "2024-02-01"], "bed")  # declared not to be
        rows += bought(f"c{number}", ["2024-01-01", "2024-02-01"] if number < 20 else ["2024-01-01"], "pan")
    for number in range(200):
        rows += bought(f"c{number}", ["2024-01-01", "2024-02-01"] if number < 35 else ["2024-01-01"], "cup")
    rows += bought("c0", ["2024-03-01"])  # declared, bought once
    found = read(tmp_path, rows)
    repeats = {
        item.category_2: (item.repeats, item.gaps, item.median_days) for item in items_of(found, gaps(found))
    }
    assert repeats == {
        "bedding": (False, 40, 31.0), "mask": (True, 0, None), "oil": (True, 40, 31.0), "pans": (False, 20, 31.0),  # half of them, but of 20 gaps
        "cups": (False, 35, 31.0),  # enough gaps, of a sixth of them
    }  # fmt: skip


# --- due dates --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Forty customers with cycles of 20 to 40 days and some spread; and a few of whom more is known."""
    rng, rows = np.random.default_rng(1), [MASK, BED]
    for number in range(40):
        own = (20 + 20 * number / 39) * np.exp(0.1 * rng.normal(size=int(rng.integers(2, 5))))
        rows += bought(f"c{number:02}", days_from("2024-03-01", np.rint(own)))
    rows += bought("slow", days_from("2023-08-01", [60, 62, 58, 61, 60]))  # last 2024-05-28
    rows += bought("steady", days_from("2024-02-10", [28, 28, 28, 28]))  # last 2024-06-01
    rows += bought("late", days_from("2024-01-01", [28, 28, 28]))  # last 2024-03-25: 98 days ago
    rows += [*bought("once", ["2024-06-20"]), *bought("once", ["2024-06-20"], "bed")]
    return shop_of(tmp_path_factory.mktemp("small"), rows)


@pytest.fixture(scope="module")
def fitted(small):
    return fit_replenishment(small, AS_OF)


@pytest.fixture(scope="module")
def needs(small, fitted):
    return due(fitted, small, AS_OF)


def of(needs, customer, category="mask"):
    return needs[(needs["customer_id"] == customer) & (needs["category_2"] == category)].iloc[0]


def test_columns_order_and_one_row_a_pair(needs):
    assert list(needs.columns) == list(DUE_COLUMNS)
    assert not needs.duplicated(["customer_id", "level", "category_1", "category_2", "product_id"]).any()
    assert needs["customer_id"].is_monotonic_increasing
    assert set(needs["level"]) == {"category"}  # fewer gaps than a product of its own needs


def test_due_dates_are_ordered_and_never_before_the_cutoff(needs):
    dated = needs[needs["status"] != "no_cycle"]
    assert (dated["due_from"] >= AS_OF).all()
    assert (dated["due_from"] < dated["due_at"]).all()
    assert (dated["due_at"] < dated["due_to"]).all()
    assert (dated["due_to"] <= AS_OF + pd.Timedelta(days=DUE_WITHIN_DAYS)).all()
    assert (
        dated[["p_due_30d", "p_due_60d", "p_due_90d"]]
        .apply(lambda p: p.is_monotonic_increasing, axis=1)
        .all()
    )


def test_the_customer_s_own_cycle_is_told_from_the_others(needs):
    steady, slow = of(needs, "steady"), of(needs, "slow")
    assert steady["usual_days"] == pytest.approx(28, abs=3)
    assert slow["usual_days"] == pytest.approx(60, abs=12)
    assert (steady["purchases"], steady["own_gaps"], steady["status"]) == (5, 4, "overdue")
    assert slow["status"] == "ok"
    assert abs(slow["due_at"] - pd.Timestamp("2024-07-27")) < timedelta(days=10)


def test_who_bought_once_is_pooled_and_what_does_not_repeat_has_no_date(needs):
    once, bed = of(needs, "once"), of(needs, "once", "bedding")
    assert (once["status"], once["own_gaps"]) == ("pooled", 0)
    assert abs(once["due_at"] - pd.Timestamp("2024-07-18")) < timedelta(days=6)
    assert bed["status"] == "no_cycle"
    assert bed[["due_at", "due_from", "due_to", "confidence", "usual_days", "p_due_30d"]].isna().all()
    assert bed["last_purchase_at"] == pd.Timestamp("2024-06-20")


def test_a_long_silence_is_overdue_and_lowers_the_confidence(needs):
    late = of(needs, "late")
    assert late["status"] == "overdue"
    assert late["due_at"] > AS_OF
    assert late["confidence"] < 0.5 * of(needs, "steady")["confidence"]


def test_a_purchase_in_any_channel_and_of_any_product_ends_the_wait(tmp_path, fitted):
    rows = [
        MASK,
        product("mask-b", "skincare", category_2="mask"),
        *bought("late", days_from("2024-01-01", [28, 28, 28])),
    ]
    rows += bought("late", ["2024-06-30"], "mask-b", channel="marketplace")
    shop = shop_of(tmp_path, rows)
    model = replace(fitted, warehouse_id=shop.settings().warehouse_id)
    row = of(due(model, shop, AS_OF), "late")
    assert (row["status"], row["last_purchase_at"]) == ("ok", pd.Timestamp("2024-06-30"))


def test_two_packs_last_longer(tmp_path):
    rng, rows = np.random.default_rng(3), [MASK]
    for number in range(150):
        size, day, spread = 1 + number % 3, pd.Timestamp("2023-01-01"), rng.normal(0.0, 0.1, 40)
        while day < AS_OF:
            rows += bought(f"c{number:03}", [day.isoformat()], quantity=size)
            day += pd.Timedelta(days=round(20 * size**0.7 * np.exp(spread[len(rows) % 40])))
            size = 1 + (size + len(rows)) % 3
    shop = shop_of(tmp_path, rows)
    model = fit_replenishment(shop, AS_OF)
    cycles = model.levels["category"].cycles
    assert cycles.population["eta"][1] + cycles.items[0][1] == pytest.approx(0.7, abs=0.05)


def test_the_future_changes_nothing(tmp_path, small, needs):
    with small.connect() as connection:
        held = connection.sql("SELECT customer_id, paid_at, order_id, product_id FROM order_lines").fetchall()
    rows = [MASK, BED, *(line(c, when, order_id=o, product_id=p) for c, when, o, p in held)]
    poisoned = [
        *bought("steady", ["2024-07-01", "2024-07-02"]),
        line("late", "2024-06-01", product_id="mask", known_at=at("2024-07-02")),
    ]
    shop = shop_of(tmp_path, [*rows, *poisoned])
    again = due(fit_replenishment(shop, AS_OF), shop, AS_OF)
    pd.testing.assert_frame_equal(again, needs, check_exact=True)


def test_a_customer_s_rows_are_the_same_alone(small, fitted, needs):
    for who in (["steady"], ["once", "c07"]):
        alone = due(fitted, small, AS_OF, who)
        among = needs[needs["customer_id"].isin(who)].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, among, check_exact=True)
    assert due(fitted, small, AS_OF, ["nobody"]).empty


def test_a_model_is_a_json_file_and_comes_back_equal(tmp_path, fitted):
    save_replenishment(fitted, tmp_path / "model.json")
    assert load_replenishment(tmp_path / "model.json") == fitted
    with pytest.raises(ModelError, match="is no replenishment model"):
        load_replenishment(tmp_path / "absent.json")
    (tmp_path / "other.json").write_text('{"levels": {}, "what": 1}')
    with pytest.raises(ModelError, match=r"other\.json is no replenishment model"):
        load_replenishment(tmp_path / "other.json")


def test_a_model_of_a_later_instant_or_of_another_warehouse_is_refused(small, fitted):
    with pytest.raises(ModelError, match="may not be used as of 2024-06-30"):
        due(fitted, small, pd.Timestamp("2024-06-30"))
    with pytest.raises(ModelError, match="was fitted on warehouse other-1, "):
        due(replace(fitted, warehouse_id="other-1"), small, AS_OF)


@pytest.mark.parametrize("as_of", ["2023-01-01", "2023-08-02"], ids=["nothing", "one purchase"])
def test_without_a_gap_there_is_no_model(small, as_of):
    with pytest.raises(
        TooLittleHistory, match=f"before {as_of} 00:00:00 nothing was bought again that repeats"
    ):
        fit_replenishment(small, pd.Timestamp(as_of))


def test_a_category_that_is_new_since_the_fit_is_like_the_population_where_it_is_declared(tmp_path, fitted):
    rows = [product("a", "new", category_2="a", replenishable=True), product("b", "new", category_2="b")]
    shop = shop_of(
        tmp_path, [*rows, *bought("ann", ["2024-06-20"], "a"), *bought("ann", ["2024-06-20"], "b")]
    )
    found = due(replace(fitted, warehouse_id=shop.settings().warehouse_id), shop, AS_OF)
    assert found["status"].tolist() == ["pooled", "no_cycle"]


# --- labels -----------------------------------------------------------------------------------------------------------


def test_next_purchases_by_hand(tmp_path):
    rows = [
        MASK, BED,
        *bought("ann", ["2024-06-01", "2024-07-01"]),  # at the cutoff: the future
        *bought("bob", ["2024-06-01"]), line("bob", "2024-07-11", order_id="b2", product_id="bed"),
        line("cat", "2024-06-30", order_id="c", line_id="1", product_id="bed"),
        line("cat", "2024-07-05", order_id="c", line_id="2", product_id="bed"),  # of an order begun before
        line("dan", "2024-07-31", order_id="d", product_id="bed"),  # the 30th day is over
    ]  # fmt: skip
    asked = pd.DataFrame(
        [("ann", "category", "skincare", "mask", None), ("bob", "category", "skincare", "mask", None),
         ("bob", "category", "home", "bedding", None), ("bob", "product", "home", "bedding", "bed"),
         ("cat", "category", "home", "bedding", None), ("dan", "category", "home", "bedding", None)],
        columns=["customer_id", "level", "category_1", "category_2", "product_id"],
    ).assign(cutoff=AS_OF)  # fmt: skip
    shop = shop_of(tmp_path, rows)
    found = next_purchases(shop, asked, 30, known_by=pd.Timestamp("2024-07-20"))
    assert found.days == pytest.approx([0, np.nan, 10, 10, np.nan, np.nan], nan_ok=True)
    assert found.exposure_days.tolist() == [19.0] * 6
    assert next_purchases(shop, asked, 31).days[-1] == 30
    assert bought_between(shop, asked, (10, 30)).tolist() == [False, False, True, True, False, False]
    assert bought_between(shop, asked, (0, 10)).tolist() == [True] + [False] * 5


def test_a_label_sees_customers_and_categories_of_the_cutoff(tmp_path):
    later = product("mask", "beauty", category_2="mask", known_at=at("2024-07-02"))
    rows = [
        MASK,
        later,
        link("ann", "one", known_at=at("2024-07-02")),
        *bought("ann", ["2024-06-01", "2024-07-05"]),
    ]
    asked = pd.DataFrame(
        [
            ("ann", "category", "skincare", "mask", None, AS_OF),
            ("one", "category", "beauty", "mask", None, AS_OF),
        ],
        columns=["customer_id", "level", "category_1", "category_2", "product_id", "cutoff"],
    )
    assert next_purchases(shop_of(tmp_path, rows), asked, 30).days == pytest.approx([4, np.nan], nan_ok=True)


# --- the made-up retailer ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def origin(end):
    return end - pd.Timedelta(days=150)


@pytest.fixture(scope="module")
def judged(shop, origin):
    found = due(fit_replenishment(shop, origin), shop, origin)
    dated = found[found["due_at"].notna()].reset_index(drop=True)
    days = next_purchases(shop, dated.assign(cutoff=origin), 150).days
    return dated.assign(days=days, said=(dated["due_at"] - origin) / pd.Timedelta(days=1))


def test_due_dates_are_nearer_than_the_category_s_median_gap(shop, origin, judged):
    purchases = read_purchases(shop, origin, "category")
    seen = gaps(purchases)
    median = {key: item.median_days for item in items_of(purchases, seen) for key in [item.category_2]}
    elapsed = (origin - judged["last_purchase_at"]) / pd.Timedelta(days=1)
    rule = np.maximum(judged["category_2"].map(median) - elapsed, 0.0)
    came = judged["days"].notna()
    assert came.sum() > 200
    ours, its = ((at[came] - judged.loc[came, "days"]).abs().median() for at in (judged["said"], rule))
    assert ours < its


def test_the_probabilities_are_those_of_what_happened(judged):
    for days in (30, 60, 90):
        p, y = judged[f"p_due_{days}d"], judged["days"] < days
        assert p.mean() == pytest.approx(
            y.mean(), abs=0.06
        )  # the cycles know no season, and the peak has just passed
        assert ((p - y) ** 2).mean() < y.mean() * (1 - y.mean())


def test_the_confidence_is_the_share_that_falls_in_the_band(judged, origin):
    low, high = ((judged[name] - origin) / pd.Timedelta(days=1) for name in ("due_from", "due_to"))
    inside = (judged["days"] >= low) & (judged["days"] < high)
    sure = judged["confidence"] > judged["confidence"].median()
    assert inside.mean() == pytest.approx(judged["confidence"].mean(), abs=0.06)
    assert inside[sure].mean() > 2 * inside[~sure].mean()


def test_the_band_begins_about_when_the_shelf_is_empty(shop, end, retailer):
    truth = retailer.needs.to_pandas()
    found = due(fit_replenishment(shop, end), shop, end)
    both = found.merge(truth, on=["customer_id", "category_1", "category_2"]).dropna(
        subset=["empties_at", "due_at"]
    )
    left = (both["empties_at"].dt.tz_localize(None) - end) / pd.Timedelta(days=1)
    soon = left.between(0, 120)
    said = (both["due_from"] - end) / pd.Timedelta(days=1)
    assert soon.sum() > 100
    assert (said - left)[soon].abs().median() < 25
    assert said[soon].corr(left[soon], method="spearman") > 0.25


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_needs(small, needs, tmp_path):
    app = typer.Typer()
    app.command()(replenish)
    out = tmp_path / "needs.parquet"
    done = CliRunner().invoke(
        app, ["--warehouse", str(small.path), "--as-of", "2024-07-01", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert f"{len(needs):,} needs of 44 customers" in done.output
    assert pq.read_table(out).num_rows == len(needs)
