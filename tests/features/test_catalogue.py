"""The catalogue: the names that are fixed, their units, and a fingerprint that follows meaning, not wording."""

from dataclasses import replace

import pandas as pd
import pytest

from features.catalogue import (
    FACTS,
    FEATURES,
    GROUPS,
    catalogue,
    describe,
    digest,
    names,
    select,
    with_operands,
)
from features.errors import InputError
from features.operations import OPERATIONS
from features.vocabulary import STREAMS, Feature, Measure, only

WINDOWS = ("7d", "30d", "90d", "180d", "365d", "all")
FAMILIES = "orders spend units refunds active_days aov distinct_products distinct_categories max_order_value"
SINGLE = """
    days_since_last_order days_since_first_order gap_mean_days gap_std_days gap_last_days overdue_ratio
    discount_share_365d top_category_share_365d channels_365d online_share_365d weekend_share_365d
    views_30d carts_30d days_since_last_event tickets_90d complaints_90d last_csat
    contacts_30d open_rate_90d click_rate_90d
"""
MEASURE = Measure("spend", "lines", "total", "currency", "what was paid", of="net", windows=(7, None))
WEEK, EVER = MEASURE.features("purchases")
BY_NAME = {feature.name: feature for feature in (*FEATURES, *FACTS)}
MEASURES = {feature.measure.name: feature.measure for feature in (*FEATURES, *FACTS)}


# ------------------------------------------------------------------------------------------------- names


def test_the_names_that_others_rely_on_are_there():
    fixed = [f"{family}_{window}" for family in FAMILIES.split() for window in WINDOWS] + SINGLE.split()
    assert set(fixed) <= set(names())


def test_names_are_unique_and_in_column_order():
    assert len(set(names())) == len(names()) == len(FEATURES)
    assert names() == tuple(feature.name for feature in FEATURES)
    groups = [feature.group for feature in FEATURES]
    assert sorted(groups, key=list(GROUPS).index) == groups
    assert list(dict.fromkeys(groups)) == list(GROUPS)


def test_how_many_there_are():
    assert (len(FEATURES), len(FACTS), len(GROUPS)) == (209, 13, 16)


def test_facts_are_no_features():
    assert {fact.group for fact in FACTS} == {"facts"}
    assert not {fact.name for fact in FACTS} & set(names())


@pytest.mark.parametrize("feature", [*FEATURES, *FACTS], ids=lambda feature: feature.name)
def test_a_feature_says_what_it_is(feature):
    assert feature.measure.unit
    assert feature.empty == OPERATIONS[feature.measure.operation].empty
    assert feature.description.startswith(feature.measure.meaning.format(days=feature.window_days))
    assert "{" not in feature.description
    if feature.measure.windows:
        assert (
            feature.name
            == f"{feature.measure.name}_{'all' if feature.window_days is None else f'{feature.window_days}d'}"
        )
    else:
        assert feature.name == feature.measure.name


def test_names_and_descriptions_are_built_from_the_parts():
    assert (WEEK.name, EVER.name) == ("spend_7d", "spend_all")
    assert WEEK.description == "what was paid, last 7 days"
    assert EVER.description == "what was paid, whole history"
    (single,) = replace(MEASURE, windows=()).features("purchases")
    assert (single.name, single.window_days, single.description) == ("spend", None, "what was paid")


# ------------------------------------------------------------------------------------------------- selection


def test_features_are_selected_in_the_order_asked_for():
    assert [feature.name for feature in select(["spend_30d", "last_csat", "orders_7d"])] == [
        "spend_30d",
        "last_csat",
        "orders_7d",
    ]
    assert select([]) == ()


def test_an_unknown_name_is_refused_with_those_close_to_it():
    says = rf"no feature is called 'spend_31d' \(close: .*spend_30d.*\); the catalogue has {len(FEATURES)}"
    with pytest.raises(InputError, match=says):
        select(["orders_7d", "spend_31d"])
    with pytest.raises(InputError, match="'xyzzy' \\(close: none is close\\)"):
        select(["xyzzy"])


def test_ratios_bring_what_they_divide_once_and_before_them():
    found = [feature.name for feature in with_operands(select(["aov_30d", "spend_30d", "overdue_ratio"]))]
    assert found == [
        "spend_30d",
        "orders_30d",
        "aov_30d",
        "days_since_last_order",
        "gap_mean_days",
        "overdue_ratio",
    ]


def test_operands_share_the_window():
    assert BY_NAME["aov_all"].operands == ("spend_all", "orders_all")
    assert BY_NAME["overdue_ratio"].operands == ("days_since_last_order", "gap_mean_days")
    assert BY_NAME["net_spend_90d"].operands == ("spend_90d", "refunds_90d")
    assert BY_NAME["orders_7d"].operands == ()


def test_a_change_looks_at_one_window_and_at_two_of_them():
    assert BY_NAME["orders_change_30d"].operands == ("orders_30d", "orders_60d")
    assert BY_NAME["spend_change_180d"].operands == ("spend_180d", "spend_360d")


def test_operands_that_the_catalogue_does_not_list_are_made_of_their_family():
    now, before, change = with_operands(select(["orders_change_30d"]))
    assert (now, before.name, change.name) == (BY_NAME["orders_30d"], "orders_60d", "orders_change_30d")
    assert (before.measure, before.group, before.window_days) == (now.measure, "purchases", 60)
    assert "orders_60d" not in names()
    ahead = with_operands(select(["spend_ahead_last_year"]))
    assert [(one.name, one.window_days) for one in ahead] == [
        ("spend_365d", 365),
        ("spend_275d", 275),
        ("spend_ahead_last_year", None),
    ]


def test_operands_of_operands_come_before_them():
    found = [feature.name for feature in with_operands(select(["order_value_cv_365d", "recent_aov_ratio"]))]
    assert found == [
        "order_value_std_365d",
        "spend_365d",
        "orders_365d",
        "aov_365d",
        "order_value_cv_365d",
        "spend_90d",
        "orders_90d",
        "aov_90d",
        "recent_aov_ratio",
    ]


def test_everything_of_the_catalogue_has_its_operands():
    found = [feature.name for feature in with_operands((*FEATURES, *FACTS))]
    assert len(set(found)) == len(found)
    # change: 30, 90 and 180 days before those of orders and of spend, of views; ahead_last_year: 275 days of either
    hidden = {
        "orders_60d",
        "spend_60d",
        "views_60d",
        "orders_360d",
        "spend_360d",
        "orders_275d",
        "spend_275d",
    }
    assert set(found) - set(BY_NAME) == hidden


# ------------------------------------------------------------------------------------------------- the vocabulary


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_every_measure_has_its_place_in_the_vocabulary(measure):
    assert measure.require() is None


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_used(operation):
    assert operation in {measure.operation for measure in MEASURES.values()}


@pytest.mark.parametrize("name", STREAMS)
def test_a_column_of_a_stream_is_of_one_kind(name):
    columns = STREAMS[name]
    every = [*columns.numbers, *columns.flags, *columns.words, *columns.times]
    assert len(set(every)) == len(every)
    assert all(scale >= 1 for scale in columns.numbers.values())


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            {"stream": "xyzzy"},
            "measure spend: stream 'xyzzy' is not known, choose of: orders, lines, returns",
        ),
        ({"stream": "line"}, "stream 'line' is not known, choose of: lines"),
        ({"operation": "totl"}, "operation 'totl' is not known, choose of: total"),
        ({"of": "nett"}, "of 'nett' is not known, choose of: net"),
        ({"of": ""}, "of '' is not known, choose of: net, gross, discount, quantity, lines"),
        ({"of": "brand"}, "of 'brand' is not known"),  # a word is no number
        ({"by": "gross"}, "measure spend: total looks at no column, by is 'gross'"),
        ({"operation": "count"}, "count looks at no column, of is 'net'"),
        ({"operation": "hhi", "by": "gross"}, "by 'gross' is not known, choose of:"),  # a number is no word
        ({"operation": "share"}, "of 'net' is not known, choose of: repeat"),
        ({"where": only(brnd="x")}, "where 'brnd' is not known, choose of: brand"),
        ({"where": only(brand=())}, "measure spend: where brand lists no value: nothing would count"),
        ({"windows": (7, 0)}, r"windows are whole days from 1 to 36,600, not \[7, 0\]"),
        ({"windows": (-7,)}, r"windows are whole days from 1 to 36,600, not \[-7\]"),
        ({"windows": (7.0,)}, "windows are whole days"),
        ({"windows": (True,)}, "windows are whole days"),
        ({"windows": (10**9,)}, "windows are whole days"),
        ({"operation": "slope_of", "windows": (7,)}, "whole days from 14 to 36,600, multiples of 7"),
        ({"operation": "periods", "of": "", "windows": (45,)}, "multiples of 30"),
        (
            {"stream": "tickets", "of": "csat"},
            "csat of tickets is not there for every row: take the stream ratings",
        ),
        (
            {"stream": "feedback", "of": "rating"},
            "rating of feedback is not there for every row: filter by rated_kind",
        ),
        ({"operation": "ratio", "of": ""}, "ratio is over 2 features"),
        ({"over": ("orders", "spend")}, "total is over 0 features"),
        ({"operation": "top_share", "by": "category", "most": 0}, "most is 1 or more"),
        ({"stream": "orders", "of": "value", "where": only(day="1")}, "where 'day' is not known"),
        ({"stream": "cutoffs"}, "total is of stream any other, not cutoffs"),
        ({"operation": "season_sin", "of": ""}, "season_sin is of stream cutoffs, not lines"),
        (
            {"operation": "top_share", "stream": "orders", "of": "value", "by": "day"},
            "days are counted distinctly",
        ),
        ({"operation": "last"}, "last looks at the whole history: leave out windows"),
        ({"operation": "slope_of"}, "slope_of needs windows in days"),
        ({"operation": "slope_of", "windows": ()}, "slope_of needs windows in days"),
    ],
    ids=str,
)
def test_a_measure_that_has_no_place_in_the_vocabulary_is_refused(parts, says):
    with pytest.raises(InputError, match=says):
        replace(MEASURE, **parts).require()


def test_a_filter_is_columns_and_the_values_that_count():
    assert only(kind="view") == (("kind", ("view",)),)
    assert only(kind="view", channel=("web", "app")) == (("kind", ("view",)), ("channel", ("web", "app")))
    assert only() == ()
    assert replace(MEASURE, where=only(category=("tea", "coffee"), channel="web")).require() is None


# ------------------------------------------------------------------------------------------------- digest


def changed(**parts):
    return Feature(WEEK.name, WEEK.group, replace(MEASURE, **parts), 7)


@pytest.mark.parametrize(
    "other",
    [
        changed(of="gross"),
        changed(stream="returns"),
        changed(operation="maximum"),
        changed(unit="units"),
        changed(by="category"),
        changed(where=only(channel="web")),
        changed(where=only(channel=("web", "app"))),
        changed(most=2),
        changed(over=("spend", "orders")),
        replace(WEEK, window_days=30),
        replace(WEEK, name="spend_1w"),
    ],
    ids=lambda other: str(other.measure) + other.name + str(other.window_days),
)
def test_the_digest_changes_with_the_meaning(other):
    assert digest((other, EVER)) != digest((WEEK, EVER))


def test_the_digest_changes_with_order_and_number():
    assert len({digest((WEEK, EVER)), digest((EVER, WEEK)), digest((WEEK,)), digest(())}) == 4


def test_the_digest_does_not_change_with_the_wording():
    assert digest((changed(meaning="money spent"), EVER)) == digest((WEEK, EVER))


def test_the_digest_is_sixteen_hexadecimal_digits_of_the_whole_catalogue():
    assert digest() == digest(FEATURES) == digest(tuple(FEATURES))
    assert len(digest()) == 16
    assert int(digest(), 16) > 0


# ------------------------------------------------------------------------------------------------- what is said of them


def test_types_of_columns():
    assert BY_NAME["orders_7d"].is_count
    assert BY_NAME["active_days_all"].is_count
    assert not BY_NAME["spend_7d"].is_count  # money
    assert BY_NAME["spend_7d"].zero_when_empty
    assert not BY_NAME["aov_7d"].zero_when_empty
    assert not BY_NAME["last_csat"].zero_when_empty
    types = {
        "orders_7d": "int64",
        "spend_7d": "float64",
        "last_order_lines": "float64",  # a count, but null without an order
        "top_category_365d": "string",
        "last_channel": "string",
    }
    assert {name: BY_NAME[name].type for name in types} == types


def test_no_feature_is_a_word_and_three_facts_are():
    assert not [feature.name for feature in FEATURES if feature.is_text]
    words = [fact.name for fact in FACTS if fact.is_text]
    assert words == ["top_category_365d", "top_brand_365d", "last_channel"]


def test_the_catalogue_as_a_table():
    table = catalogue()
    assert tuple(table.index) == names()
    assert table.index.name == "feature"
    assert table.columns.tolist() == [
        "group", "unit", "type", "window_days", "empty", "stream", "description",
    ]  # fmt: skip
    assert table["window_days"].dtype == "Int64"
    assert table.loc["spend_30d"].tolist() == [
        "purchases", "currency", "float64", 30, "0", "lines", "sum of net_amount of sale lines, last 30 days",
    ]  # fmt: skip
    assert table.loc["last_csat"].drop("window_days").tolist() == [
        "tickets", "score 1-5", "float64", "null without a rating", "ratings", "latest satisfaction rating of a ticket",
    ]  # fmt: skip
    assert table.loc["last_csat", "window_days"] is pd.NA
    assert table["group"].drop_duplicates().tolist() == list(GROUPS)


DESCRIBED = {
    "views_30d": """
views_30d: product views, last 30 days
  group     browsing
  unit      count, int64
  empty     0
  rows      events
  operation count
  where     kind is view""",
    "days_since_last_online_order": """
days_since_last_online_order: days since the last order not in a store
  group     channels
  unit      days, float64
  empty     null without rows
  rows      orders
  operation since_last
  where     channel is web or app or mini_program or marketplace or phone""",
    "spend_change_30d": """
spend_change_30d: spend in the last 30 days less that in the 30 days before
  group     trends
  unit      currency, float64
  empty     0
  rows      lines
  operation change
  of        spend_30d, spend_60d""",
    "top_brand_365d": """
top_brand_365d: brand with the largest spend, last 365 days
  group     facts
  unit      text, string
  empty     null where nothing has a group, or its whole is 0
  rows      lines
  operation top_word net brand""",
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_feature_or_fact_is_described_in_a_few_lines(name):
    assert describe(name) == DESCRIBED[name].strip()


def test_what_is_not_there_cannot_be_described():
    with pytest.raises(InputError, match=r"no feature is called 'view_30d' \(close: views_30d"):
        describe("view_30d")
