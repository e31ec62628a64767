"""The catalogue: the names that are fixed, their units, and a fingerprint that follows meaning, not wording."""

from dataclasses import replace

import pytest

from features.catalogue import FEATURES, GROUPS, digest, names, select, with_operands
from features.errors import InputError
from features.operations import OPERATIONS
from features.vocabulary import Feature, Measure

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


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_says_what_it_is(feature):
    assert feature.measure.operation in {*OPERATIONS, "ratio"}
    assert feature.measure.unit
    assert feature.description.startswith(feature.measure.meaning)
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
    by_name = {feature.name: feature for feature in FEATURES}
    assert by_name["aov_all"].operands == ("spend_all", "orders_all")
    assert by_name["overdue_ratio"].operands == ("days_since_last_order", "gap_mean_days")
    assert by_name["orders_7d"].operands == ()


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
        changed(where=("kind", ("sale",))),
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


def test_types_of_columns():
    by_name = {feature.name: feature for feature in FEATURES}
    assert by_name["orders_7d"].is_count
    assert by_name["active_days_all"].is_count
    assert not by_name["spend_7d"].is_count  # money
    assert by_name["spend_7d"].zero_when_empty
    assert not by_name["aov_7d"].zero_when_empty
    assert not by_name["last_csat"].zero_when_empty
