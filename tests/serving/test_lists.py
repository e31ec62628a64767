"""The weekly at-risk list: who is on it, in which order, who is not, and what the files look like."""

import csv
import dataclasses
import io
import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.build import build
from features.ingest import ingest_tables, read_tables
from features.profile import consents
from features.warehouse import Warehouse
from serving.lists import AT_RISK_FROM, week_name, weekly, write
from serving.rules.holdout import is_withheld
from serving.rules.playbook import default_playbook
from serving.score import score
from serving.store import Decision
from tests.features.worlds import at, customer, line, link, tables_of, warehouse_of
from tests.serving.shops import fresh_store

AS_OF = pd.Timestamp("2024-06-01").as_unit("us")
COLUMNS = [
    "rank", "customer_id", "display_name", "region_id", "owner", "value_at_risk", "churn_probability",
    "expected_date_of_next_order", "reason_1", "reason_2", "reason_3", "offer_id", "offer", "channel", "send_after",
    "no_offer_because", "lifecycle5", "rfm15", "rfm15_total", "dynamic8", "spend_365d", "orders_365d",
    "days_since_last_order", "home_store_id", "owner_id", "member_level", "horizon_days", "as_of", "model_version",
]  # fmt: skip
HELD_OUT = "held out for measurement"


def bought(name, net, day="2024-01-15"):
    return line(name, day, net)


def moved(name, region_id, known_at, **more):
    return customer(name, region_id=region_id, known_at=at(known_at), **more)


def listed(shop, warehouse, as_of=AS_OF, **more):
    named = {"model_name": "patron-test", "model_version": "3", "run_id": "r1"}
    return weekly(warehouse, shop.registered.models, as_of, **named, **more)


@pytest.fixture
def list_of(shop, tmp_path):
    """The list of a small world, everybody with a score on it unless told otherwise."""

    def make(*rows, as_of=AS_OF, at_risk_from=0.0):
        warehouse = warehouse_of(tmp_path / f"{len(list(tmp_path.iterdir()))}.duckdb", tables_of(rows))
        return listed(shop, warehouse, as_of, at_risk_from=at_risk_from)

    return make


@pytest.fixture(scope="module")
def retail(shop):
    """The list of the made-up retailer, as the command makes it."""
    return listed(shop, shop.warehouse, shop.as_of)


@pytest.fixture(scope="module")
def expected(shop):
    """What the list is made from, by the doors beneath it."""
    frame = build(shop.warehouse, [shop.as_of], population="all")
    scores = score(frame, shop.registered.models, "3")
    both = scores.assign(spend_365d=frame["spend_365d"]).set_index("customer_id")
    return both.assign(value_at_risk=both["churn_probability"] * both["spend_365d"])


def rows_of_csv(path):
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


# ------------------------------------------------------------------------------------------------- who, in which order


def test_the_listed_are_those_more_likely_than_not_to_stay_away(retail, expected):
    assert AT_RISK_FROM == 0.5
    at_risk = expected[expected["churn_probability"] >= 0.5]
    held_out = set(at_risk.index) - set(retail.rows["customer_id"])
    assert set(retail.rows["customer_id"]) <= set(at_risk.index)
    assert len(held_out) == retail.manifest.left_out[HELD_OUT]
    assert all(is_withheld(default_playbook().policy.holdout, name) for name in held_out)
    assert 0 < len(at_risk) < (expected["status"] == "ok").sum()


def test_ranked_by_value_at_risk(retail, expected):
    rows = retail.rows
    assert list(rows.columns) == COLUMNS
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    value = expected.loc[rows["customer_id"], "value_at_risk"].to_numpy()
    np.testing.assert_allclose(rows["value_at_risk"], value, rtol=1e-12)
    assert (np.diff(rows["value_at_risk"]) <= 0).all()


def test_value_at_risk_is_probability_times_a_years_spend(list_of):
    rows = list_of(bought("ann", 300), bought("ann", 100, "2024-02-15"), bought("ann", 99, "2023-05-01")).rows
    # of 365 days: 300 + 100; the order of May 2023 is older
    assert rows["spend_365d"].tolist() == [400.0]
    assert rows["value_at_risk"].tolist() == [pytest.approx(400 * rows["churn_probability"].iloc[0])]


def test_a_big_spender_at_little_risk_can_stand_before_a_lost_small_one(list_of):
    rows = list_of(bought("big", 9000, "2024-05-20"), bought("small", 10, "2023-08-01")).rows
    assert rows["customer_id"].tolist() == ["big", "small"]
    assert rows["churn_probability"].is_monotonic_increasing


def test_ties_go_by_id(list_of):
    # the same history: the same value to the last bit; code points, so that capitals come first
    names = ["c10", "c9", "c1", "C2", "顾客", "b", "é"]
    rows = list_of(*(bought(name, 50) for name in names)).rows
    assert len(set(rows["value_at_risk"])) == 1
    assert rows["customer_id"].tolist() == ["C2", "b", "c1", "c10", "c9", "é", "顾客"]


def test_the_threshold_itself_is_on_the_list(shop, expected):
    exactly = sorted(expected["churn_probability"].dropna())[500]
    made = listed(shop, shop.warehouse, shop.as_of, at_risk_from=exactly)
    at_least = (expected["churn_probability"] >= exactly).sum()
    assert len(made.rows) + made.manifest.left_out[HELD_OUT] == at_least
    above = np.nextafter(exactly, 1)
    fewer = listed(shop, shop.warehouse, shop.as_of, at_risk_from=float(above))
    assert (
        len(fewer.rows) + fewer.manifest.left_out[HELD_OUT]
        == (expected["churn_probability"] > exactly).sum()
        < at_least
    )


def test_nobody_at_risk_is_an_empty_list_not_an_error(list_of, tmp_path):
    made = list_of(bought("ann", 50), at_risk_from=1.0)
    assert list(made.rows.columns) == COLUMNS
    assert (len(made.rows), made.manifest.customers_listed, made.manifest.value_at_risk) == (0, 0, 0.0)
    paths = write(made, tmp_path / "out")
    assert rows_of_csv(paths[0]) == []
    assert pq.read_table(paths[1]).num_rows == 0


def test_nobody_has_bought_within_the_year(list_of):
    made = list_of(bought("ann", 50, "2022-01-01"), customer("bob"))
    assert made.manifest.left_out == {"outside_population": 1, "no_orders": 1}
    assert made.rows.empty


def test_one_person_behind_two_ids_is_listed_once(list_of):
    both = [
        bought("ann", 50),
        line("a-7", "2024-03-01", 70, source="shop"),
        link("ann", "ann"),
        link("a-7", "ann", source="shop"),
    ]
    rows = list_of(*both, bought("bob", 10)).rows
    assert rows["customer_id"].tolist() == ["ann", "bob"]
    assert rows["spend_365d"].tolist() == [120.0, 10.0]


# ------------------------------------------------------------------------------------------------- who they are


def test_each_has_three_reasons_and_a_class_of_each_scheme(retail):
    said = retail.rows[["reason_1", "reason_2", "reason_3"]]
    assert said.notna().all(axis=None)
    assert (said.nunique(axis=1) == 3).all()
    assert set(retail.rows["lifecycle5"]) <= {"new", "churned", "dormant", "high_value", "potential"}
    assert set(retail.rows["rfm15"]) <= {"high_value", "potential", "churned"}
    assert retail.rows["rfm15_total"].between(3, 15).all()


def test_the_region_is_the_one_known_at_the_as_of(list_of):
    rows = [
        bought("ann", 50),
        moved("ann", "north", "2023-12-01"),
        moved("ann", "south", "2024-06-02"),
        bought("bob", 40),
        moved("bob", "north", "2023-12-01"),
        moved("bob", "south", "2024-06-01"),  # known at the very instant
        bought("cat", 30),
        moved("cat", "north", "2024-06-02"),  # nothing was known yet
        bought("dan", 20),
    ]
    regions = list_of(*rows).rows.set_index("customer_id")["region_id"]
    assert regions.dropna().to_dict() == {"ann": "north", "bob": "south"}
    assert sorted(regions.index[regions.isna()]) == ["cat", "dan"]
    later = list_of(*rows, as_of=AS_OF + timedelta(days=2)).rows.set_index("customer_id")["region_id"]
    assert later.dropna().to_dict() == {"ann": "south", "bob": "south", "cat": "north"}


def test_store_owner_and_level_are_shown(list_of):
    known = {"home_store_id": "s1", "owner_id": "e4", "member_level": "gold", "display_name": "Ann"}
    shown = list_of(bought("ann", 50), moved("ann", "north", "2023-12-01", **known)).rows.iloc[0]
    assert shown[list(known)].to_dict() == known
    assert shown["owner"] == "e4"


def test_who_has_no_assistant_belongs_to_the_store_and_then_to_the_region(list_of):
    known = [("ann", {"home_store_id": "s1"}), ("bob", {}), ("cat", {"owner_id": "e4"})]
    rows = [moved(name, "north", "2023-12-01", **more) for name, more in known]
    made = list_of(*(bought(name, 50) for name, _ in known), *rows, bought("dan", 50)).rows.set_index(
        "customer_id"
    )
    owners = made["owner"]
    assert owners.dropna().to_dict() == {"ann": "store s1", "bob": "region north", "cat": "e4"}


# ------------------------------------------------------------------------------------------------- what to do


def test_no_marketing_without_consent(list_of):
    rows = list_of(*(bought(f"c{n}", 50) for n in range(20))).rows
    assert rows["offer_id"].isna().all()
    assert rows["no_offer_because"].notna().all()


def test_offers_only_where_a_marketing_consent_stands(retail, shop):
    rows = retail.rows[retail.rows["offer_id"].notna()]
    assert len(rows) > 50
    purpose = {offer.id: offer.purpose for offer in default_playbook().offers}
    words = consents(shop.warehouse, shop.as_of)
    allowed = set(
        words.loc[words["status"] == "SUBSCRIBED", ["customer_id", "channel", "purpose"]].itertuples(
            index=False, name=None
        )
    )
    for row in rows.to_dict("records"):
        if purpose[row["offer_id"]] == "marketing":
            assert (row["customer_id"], row["channel"], "marketing") in allowed
    assert rows["send_after"].ge(shop.as_of).all()
    assert rows["no_offer_because"].isna().all()


def test_what_the_store_has_promised_counts_under_the_caps(shop, tmp_path):
    store, _ = fresh_store(shop, tmp_path)
    before = listed(shop, shop.warehouse, shop.as_of).rows
    marketed = before[before["offer_id"].isin([o.id for o in default_playbook().offers if o.is_marketing])]
    who = marketed["customer_id"].iloc[0]
    decided_at = int(shop.as_of.value // 1_000) - 3_600_000_000
    with store.writing() as session:
        for number in range(4):
            session.commit(
                Decision(f"d{number}", who, decided_at, decided_at, "offer", "marketing", "step_coupon", "sms",
                         False, "p", {}, [])
            )  # fmt: skip
    after = listed(shop, shop.warehouse, shop.as_of, store=store).rows.set_index("customer_id")
    store.close()
    assert pd.isna(after.loc[who, "offer_id"])
    others = before.set_index("customer_id")["offer_id"].drop(who)
    pd.testing.assert_series_equal(after["offer_id"].drop(who), others, check_dtype=False)


# ------------------------------------------------------------------------------------------------- the manifest


def test_the_manifest_accounts_for_everybody(retail, expected):
    manifest = retail.manifest
    assert manifest.customers_known == len(expected) == 1500
    assert manifest.customers_listed == len(retail.rows)
    assert manifest.customers_listed + sum(manifest.left_out.values()) == 1500
    assert set(manifest.segments) >= {"lifecycle5", "rfm15", "dynamic8"}
    assert all(sum(classes.values()) == 1500 for classes in manifest.segments.values())
    assert sum(manifest.offers.values()) == len(retail.rows)
    statuses = expected["status"].value_counts()
    assert manifest.left_out == {
        "no_orders": statuses["no_orders"],
        "outside_population": statuses["outside_population"],
        "churn_probability below 0.5": (expected["churn_probability"] < 0.5).sum(),
        HELD_OUT: (expected["churn_probability"] >= 0.5).sum() - len(retail.rows),
    }
    assert manifest.value_at_risk == round(retail.rows["value_at_risk"].sum(), 2)


def test_the_manifest_says_what_the_list_was_made_from(retail, shop):
    manifest, settings = retail.manifest, shop.warehouse.settings()
    assert (manifest.week, manifest.as_of) == ("2026-W37", "2026-09-07T00:00:00")
    assert (manifest.warehouse_id, manifest.currency) == (settings.warehouse_id, "CNY")
    assert (manifest.model, manifest.model_version, manifest.run_id) == ("patron-test", "3", "r1")
    assert (manifest.horizon_days, manifest.at_risk_from) == (90, 0.5)
    assert manifest.playbook == default_playbook().digest
    assert manifest.files == ("at_risk_2026-W37.csv", "at_risk_2026-W37.parquet")


def test_left_out_with_a_reason_each(list_of):
    rows = [
        bought("lately", 50, "2024-05-31"),
        bought("gone", 50, "2023-06-10"),
        bought("long gone", 50, "2023-05-01"),
        customer("never"),
    ]
    probability = list_of(*rows).rows.set_index("customer_id")["churn_probability"]
    between = probability.mean()
    assert probability["lately"] < between < probability["gone"]
    made = list_of(*rows, at_risk_from=between)
    assert made.rows["customer_id"].tolist() == ["gone"]
    assert made.manifest.left_out == {
        f"churn_probability below {between:g}": 1,
        "outside_population": 1,
        "no_orders": 1,
    }
    # first orders 1, 357 and 397 days ago; the third is outside the population, and churned in its scheme only
    assert made.manifest.segments["lifecycle5"] == {"new": 1, "dormant": 1, "churned": 1, "prospect": 1}


# ------------------------------------------------------------------------------------------------- weeks

WEEKS = [
    ("2011-09-10", "2011-W36"),
    ("2011-01-01", "2010-W52"),  # a Saturday
    ("2011-01-02", "2010-W52"),
    ("2011-01-03", "2011-W01"),
    ("2024-12-29", "2024-W52"),
    ("2024-12-30", "2025-W01"),  # a Monday
    ("2020-12-31", "2020-W53"),
    ("2021-01-03", "2020-W53"),
    ("2021-01-04", "2021-W01"),
    ("2026-09-07T23:59:59.999999", "2026-W37"),
]


@pytest.mark.parametrize(("day", "week"), WEEKS)
def test_weeks_are_iso_weeks(day, week):
    assert week_name(pd.Timestamp(day)) == week


def test_the_files_bear_the_iso_week(list_of, tmp_path):
    made = list_of(bought("ann", 50, "2024-12-01"), as_of=pd.Timestamp("2024-12-30").as_unit("us"))
    paths = write(made, tmp_path / "out")
    assert [path.name for path in paths] == [
        "at_risk_2025-W01.csv",
        "at_risk_2025-W01.parquet",
        "manifest.json",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)


# ------------------------------------------------------------------------------------------------- the files

DANGEROUS = ("=1+1", "+8613800138000", "-5", "@sum", "\tx", "\rx", '=HYPERLINK("http://x","y")')
HARMLESS = (
    "a=b",
    "x+1",
    "c-1",
    "mail@home",
    "00123",
    "'quoted",
    "李雷",
    "韩梅梅 上海",
    'say "hi"',
    "a,b",
    "a\nb",
    "Zoë",
)


@pytest.fixture
def odd(list_of, tmp_path):
    """A list of people with odd ids and names, written to files."""
    rows = []
    for number, text in enumerate((*DANGEROUS, *HARMLESS)):
        rows += [
            bought(f"id-{number:02d}", 1000 - number),
            moved(f"id-{number:02d}", text, "2023-12-01", display_name=text, home_store_id=text),
            bought(text, 500 - number),
        ]
    made = list_of(*rows)
    return made, write(made, tmp_path / "out")


def test_the_csv_is_utf8_with_bom_and_crlf(odd):
    content = odd[1][0].read_bytes()
    assert content.startswith(b"\xef\xbb\xbfrank,customer_id,")
    assert content.count(b"\xef\xbb\xbf") == 1
    records = len(odd[0].rows) + 1
    assert content.count(b"\r\n") == records
    assert content.endswith(b"\r\n")


def test_text_that_a_spreadsheet_would_run_is_made_harmless(odd):
    made, (csv_path, _, _) = odd
    shown = rows_of_csv(csv_path)
    assert len(shown) == len(made.rows)
    cells = [
        row[name] for row in shown for name in ("customer_id", "display_name", "region_id", "home_store_id")
    ]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    for text in DANGEROUS:
        assert cells.count(f"'{text}") == 4  # one id, one name, one region, one store
    for text in HARMLESS:
        assert cells.count(text) == 4


def test_numbers_are_left_alone_and_rounded_for_people(odd):
    made, (csv_path, _, _) = odd
    for shown, row in zip(rows_of_csv(csv_path), made.rows.to_dict("records"), strict=True):
        assert shown["churn_probability"] == repr(round(row["churn_probability"], 4))
        assert float(shown["value_at_risk"]) == round(row["value_at_risk"], 2)
        assert float(shown["spend_365d"]) == row["spend_365d"]
        assert shown["rank"] == str(row["rank"])
        assert float(shown["days_since_last_order"]) == round(row["days_since_last_order"], 1)


def test_the_parquet_file_is_exact_and_unescaped(odd):
    made, (_, parquet_path, _) = odd
    found = pd.read_parquet(parquet_path)
    assert list(found.columns) == COLUMNS
    for name in ("customer_id", "display_name", "region_id"):
        assert found[name].dropna().tolist() == made.rows[name].dropna().tolist()
        assert set(DANGEROUS) | set(HARMLESS) <= set(found[name].dropna())
    for name in ("value_at_risk", "churn_probability", "spend_365d"):
        assert (found[name].to_numpy() == made.rows[name].to_numpy()).all()


def test_both_files_hold_the_same_rows(retail, tmp_path):
    csv_path, parquet_path, _ = write(retail, tmp_path)
    shown, exact = rows_of_csv(csv_path), pd.read_parquet(parquet_path)
    assert [row["customer_id"] for row in shown] == exact["customer_id"].tolist()
    assert list(shown[0]) == list(exact.columns) == COLUMNS
    assert [row["reason_1"] for row in shown] == exact["reason_1"].tolist()
    assert [row["as_of"] for row in shown[:1]] == ["2026-09-07"]


def test_what_is_unknown_is_an_empty_cell(list_of, tmp_path):
    made = list_of(bought("ann", 50))
    (shown,) = rows_of_csv(write(made, tmp_path / "out")[0])
    unknown = ("display_name", "region_id", "home_store_id", "owner_id", "member_level")
    assert [shown[name] for name in unknown] == [""] * 5


def test_manifest_json_is_the_manifest(retail, tmp_path):
    manifest = json.loads(write(retail, tmp_path)[2].read_text(encoding="utf-8"))
    assert manifest == json.loads(json.dumps(dataclasses.asdict(retail.manifest)))
    assert manifest["customers_known"] == manifest["customers_listed"] + sum(manifest["left_out"].values())


def test_a_file_appears_whole_or_not_at_all(retail, tmp_path):
    paths = write(retail, tmp_path)
    before = {path.name: path.read_bytes() for path in paths}
    broken = retail.rows.assign(owner_id=[object()] * len(retail.rows))  # nothing that Parquet can hold
    with pytest.raises(pa.ArrowInvalid, match="object"):
        write(dataclasses.replace(retail, rows=broken), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_earlier_list_of_the_week_is_replaced(retail, tmp_path):
    write(retail, tmp_path)
    fewer = dataclasses.replace(retail, rows=retail.rows.head(3))
    paths = write(fewer, tmp_path)
    assert len(rows_of_csv(paths[0])) == len(pd.read_parquet(paths[1])) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_the_same_inputs_twice_give_the_same_bytes(shop, retail, tmp_path):
    # loaded again into a warehouse of its own, with the rows of every file in another order
    again, turned = Warehouse(tmp_path / "again.duckdb"), tmp_path / "turned"
    turned.mkdir()
    rng = np.random.default_rng(3)
    for name, table in read_tables(shop.tables).items():
        pq.write_table(table.take(rng.permutation(table.num_rows)), turned / f"{name}.parquet")
    ingest_tables(again, turned)
    first = write(retail, tmp_path / "first")
    second = write(listed(shop, again, shop.as_of), tmp_path / "second")
    assert first[0].read_bytes() == second[0].read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(first[1]), pd.read_parquet(second[1]), check_exact=True)
