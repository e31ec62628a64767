"""Reasons: contributions that add up, in the right direction, and in words that hold the customer's own numbers."""

# Chinese has commas and colons of its own
# ruff: noqa: RUF001

import re
import string
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from features.build import build
from features.catalogue import FEATURES, GROUPS, names, select
from features.errors import InputError
from tests.features.worlds import event, line, tables_of, ticket, warehouse_of
from training.calibration import logit
from training.components import churn_probability
from training.explain import (
    LANGUAGES,
    REASONS,
    WORTH_MENTIONING,
    group_contributions,
    group_sentences,
    reasons,
)


def placeholders(reason):
    return [name for _, name, _, _ in string.Formatter().parse(reason.en) if name]


# ------------------------------------------------------------------------------------------------- contributions


def test_contributions_add_up_to_the_log_odds(model, frame):
    added = group_contributions(model, frame).sum(axis=1).to_numpy()
    constant = logit(churn_probability(model, frame)) - added
    card = model.card
    shap = model.trees.predict(frame.head(1)[list(card.contract.names)].to_numpy(float), pred_contrib=True)
    weight = card.tree_weight
    documented = card.calibration.slope * ((1 - weight) * card.baseline_mean + weight * shap[0, -1])
    assert_allclose(constant, documented + card.calibration.intercept, atol=1e-9)
    assert np.ptp(added) > 2.0


def test_each_group_has_its_column_and_each_row_its_own(model, frame):
    contributions = group_contributions(model, frame)
    assert list(contributions.columns) == list(GROUPS)
    assert contributions.index.equals(frame.index)
    some = frame.iloc[[7, 3]].set_index(pd.Index(["x", "y"]))
    alone = group_contributions(model, some)
    assert list(alone.index) == ["x", "y"]
    assert_allclose(alone.to_numpy(), contributions.iloc[[7, 3]].to_numpy(), atol=1e-12)


def test_the_baseline_belongs_to_rhythm(model, frame):
    # A model without trees knows rhythm alone.
    bare = replace(model, card=replace(model.card, tree_weight=0.0))
    contributions = group_contributions(bare, frame)
    assert (contributions.drop(columns="rhythm") == 0.0).all(axis=None)
    level = model.card.calibration
    expected = (
        logit(churn_probability(bare, frame)) - level.intercept - level.slope * model.card.baseline_mean
    )
    assert_allclose(contributions["rhythm"], expected, atol=1e-9)


def silent(frame, days):
    """The customers as they would be had their last order been this long ago."""
    return frame.assign(
        days_since_last_order=float(days),
        overdue_ratio=days / frame["gap_mean_days"],
        orders_7d=0,
        orders_30d=0,
    )


def test_a_longer_silence_raises_the_risk_through_rhythm(model, frame):
    regular = frame[(frame["active_days_all"] >= 4) & (frame["days_since_first_order"] > 400)]
    assert len(regular) > 100
    before, after = (group_contributions(model, silent(regular, days))["rhythm"] for days in (5, 250))
    assert (after > before).all()
    assert (after - before).median() > 1.0


def test_a_longer_silence_takes_the_place_of_other_reasons(model, frame):
    regular = frame[(frame["active_days_all"] >= 4) & (frame["days_since_first_order"] > 400)]
    before, after = (reasons(model, silent(regular, days))["reason_1"] for days in (5, 250))
    assert after.str.startswith("last order 250 days ago").mean() > 0.75
    assert before.str.startswith("last order 5 days ago").mean() < 0.2


# ------------------------------------------------------------------------------------------------- words


def candidates(record):
    """Every sentence that could be said of a customer, and its group."""
    return {
        reason.en.format(**record): reason.group
        for reason in REASONS
        if not any(pd.isna(record[name]) for name in placeholders(reason))
    }


def test_three_reasons_of_three_groups_in_the_customers_own_numbers(model, frame):
    said = reasons(model, frame)
    assert list(said.columns) == ["reason_1", "reason_2", "reason_3"]
    assert said.index.equals(frame.index)
    for record, row in zip(frame.to_dict("records"), said.itertuples(index=False), strict=True):
        own = candidates(record)
        groups = [own[text.removeprefix("but ")] for text in row if isinstance(text, str)]
        assert 1 <= len(set(groups)) == len(groups) <= 3


def test_what_raises_comes_first_and_what_lowers_after_but(model, frame):
    contributions, said = group_contributions(model, frame), reasons(model, frame)
    kinds = set()
    for record, added, row in zip(
        frame.to_dict("records"), contributions.to_numpy(), said.itertuples(index=False), strict=True
    ):
        own = candidates(record)
        value = dict(zip(GROUPS, added, strict=True))
        texts = [text for text in row if isinstance(text, str)]
        values = [value[own[text.removeprefix("but ")]] for text in texts]
        raising = sorted((one for one in added if one >= WORTH_MENTIONING), reverse=True)[:3]
        lowering = sorted(one for one in added if one <= -WORTH_MENTIONING)[: 3 - len(raising)]
        assert values == (raising + lowering or [max(added, key=abs)])
        assert [text.startswith("but ") for text in texts] == [bool(raising) and one < 0 for one in values]
        kinds.add(len(raising))
    assert kinds >= {1, 2, 3}


def test_as_many_reasons_as_asked_for(model, frame):
    assert reasons(model, frame.head(3), most=1).shape == (3, 1)
    everything = reasons(model, frame.head(3), most=len(GROUPS))
    assert everything.shape == (3, len(GROUPS))
    assert everything.iloc[:, :3].equals(reasons(model, frame.head(3)))


def test_a_model_without_trees_has_one_reason(model, frame):
    """A small shop's: frequency and recency are all it knows, and nothing else is said of its customers."""
    bare = replace(model, trees=None, card=replace(model.card, tree_weight=0.0))
    said = reasons(bare, frame)
    assert said["reason_1"].str.match("last order|one order|several orders").all()
    assert said[["reason_2", "reason_3"]].isna().all(axis=None)


def test_nobody_needs_no_reasons(model, frame):
    assert list(reasons(model, frame.head(0)).columns) == ["reason_1", "reason_2", "reason_3"]
    assert group_contributions(model, frame.head(0)).shape == (0, len(GROUPS))


BY_HAND = [
    (
        {"days_since_last_order": 45.4, "gap_mean_days": 29.6},
        "last order 45 days ago, usually every 29.6 days",
    ),
    (
        {"days_since_last_order": 45.4, "gap_mean_days": 1.0},
        "last order 45 days ago, usually every 1.0 days",
    ),
    (
        {"days_since_last_order": 45.4, "gap_mean_days": 0.99},
        "several orders close together, the last 45 days ago",
    ),
    ({"days_since_last_order": 45.4, "gap_mean_days": None}, "one order so far, 45 days ago"),
    ({"orders_90d": 2, "orders_365d": 7}, "orders in 90 days: 2, in 365 days: 7"),
    (
        {"distinct_categories_365d": 3, "top_category_share_365d": 0.756},
        "categories bought in 365 days: 3, 76% of spend in one",
    ),
    (
        {"distinct_products_365d": 4, "top_category_share_365d": None},
        "different products bought in 365 days: 4",
    ),
    ({"discount_share_365d": 0.125}, "12% discount on purchases of 365 days"),
    ({"discount_share_365d": np.nan}, "nothing to pay for in 365 days"),
    ({"online_share_365d": np.nan, "weekend_share_365d": np.nan}, "no order in 365 days"),
    ({"refunds_365d": 1234.5}, "returned goods for 1,234.50 in 365 days"),
    ({"online_share_365d": 0.25, "weekend_share_365d": 1.0}, "25% of orders online, 100% at weekends"),
    (
        {"days_since_last_event": 9.7, "views_30d": 5},
        "last browsing or visit 10 days ago, product views in 30 days: 5",
    ),
    ({"days_since_last_event": None, "views_30d": 0}, "no browsing seen"),
    ({"open_rate_90d": 0.6}, "opens 60% of messages (90 days)"),
    ({"open_rate_90d": None, "contacts_30d": 0}, "marketing messages in 30 days: 0"),
    ({"complaints_90d": 1, "last_csat": 2.0}, "complaints in 90 days: 1, last rating 2 of 5"),
    (
        {"tickets_90d": 2, "complaints_90d": 1, "last_csat": None},
        "service tickets in 90 days: 2, complaints: 1",
    ),
    (
        {"gaps": 7, "longer_gaps": 2, "longer_gaps_share": 2 / 7},
        "of 7 gaps between orders so far, 2 lasted longer than the silence now",
    ),
    ({"longer_gaps_share": None}, "no second order so far"),
    ({"btyd_frequency": 4, "btyd_age_days": 99.6}, "days with an order after the first: 4, in 100 days"),
    ({"orders_change_90d": -2}, "orders in 90 days against the 90 before: -2"),
    (
        {"lines_per_order_365d": 2.25, "units_per_order_365d": 3.0},
        "2.2 lines and 3.0 units an order in 365 days",
    ),
    ({"lines_per_order_365d": None, "last_order_units": 3}, "last order of 3 units"),
    ({"late_delivery_share_365d": 0.25}, "25% of deliveries late in 365 days"),
    ({"late_delivery_share_365d": None}, "no deliveries in 365 days"),
    ({"review_rating_mean_365d": 4.25}, "reviews rate 4.2 on average in 365 days"),
    ({"review_rating_mean_365d": None, "feedback_365d": 0}, "pieces of feedback in 365 days: 0"),
    ({"orders_ahead_last_year": 3}, "orders in the 90 days after this date a year ago: 3"),
]


@pytest.mark.parametrize(("numbers", "sentence"), BY_HAND, ids=[sentence for _, sentence in BY_HAND])
def test_sentences_by_hand(frame, numbers, sentence):
    one = frame.head(1).astype(dict.fromkeys(numbers, float)).assign(**numbers)
    assert sentence in {group_sentences(group, one)[0] for group in GROUPS}


def test_every_sentence_is_tried_above():
    assert len(BY_HAND) >= len(REASONS)


# ------------------------------------------------------------------------------------------------- two languages


def numbers(text):
    """The numbers of a sentence, signs and percents included, in no order."""
    return sorted(re.findall(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?%?", text))


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.en)
def test_both_languages_have_the_same_places_and_the_same_numbers(reason):
    in_en, in_zh = (
        sorted((name, form) for _, name, form, _ in string.Formatter().parse(text) if name)
        for text in (reason.en, reason.zh)
    )
    assert in_en == in_zh
    bare_en, bare_zh = (re.sub(r"\{[^}]*\}", "", text) for text in (reason.en, reason.zh))
    assert numbers(bare_en) == numbers(bare_zh)
    assert not re.search(r"[A-Za-z,:;()]", bare_zh)
    assert re.search(r"[\u4e00-\u9fff]", bare_zh)
    assert not re.search(r"[^\x00-\x7f]", reason.en)


def test_no_two_sentences_of_a_language_are_the_same():
    for language in LANGUAGES:
        assert len({getattr(reason, language) for reason in REASONS}) == len(REASONS)


def test_the_same_reasons_in_the_same_order_with_the_same_numbers(model, frame):
    few = frame.head(150)
    english, chinese = (reasons(model, few, language=language) for language in LANGUAGES)
    assert english.equals(reasons(model, few))
    assert chinese.columns.equals(english.columns)
    records = few.to_dict("records")
    for record, en, zh in zip(records, english.to_numpy(), chinese.to_numpy(), strict=True):
        said = {reason.en.format(**record): reason.zh.format(**record) for reason in _sayable(record)}
        for one, other in zip(en, zh, strict=True):
            assert numbers(one) == numbers(other)
            assert one.startswith("but ") == other.startswith("不过")
            assert other.removeprefix("不过") == said[one.removeprefix("but ")]


def _sayable(record):
    return [reason for reason in REASONS if not any(pd.isna(record[name]) for name in placeholders(reason))]


CHINESE_BY_HAND = [
    (
        {"days_since_last_order": 45.4, "gap_mean_days": 29.6},
        "上次下单在 45 天前，平时平均每 29.6 天下一单",
    ),
    ({"refunds_365d": 1234.5}, "近 365 天退货金额 1,234.50"),
    ({"complaints_90d": 1, "last_csat": 2.0}, "近 90 天投诉次数：1，最近一次服务评分 2（满分 5）"),
    ({"orders_change_90d": -2}, "近 90 天与此前 90 天相比，订单数变化：-2"),
    (
        {"gaps": 7, "longer_gaps": 2, "longer_gaps_share": 2 / 7},
        "以往 7 次下单间隔中，有 2 次比目前未下单的时间更长",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), CHINESE_BY_HAND, ids=[one for _, one in CHINESE_BY_HAND])
def test_chinese_sentences_by_hand(frame, given, sentence):
    one = frame.head(1).astype(dict.fromkeys(given, float)).assign(**given)
    assert sentence in {group_sentences(group, one, "zh")[0] for group in GROUPS}


def test_another_language_is_refused(model, frame):
    with pytest.raises(InputError, match="en or zh, not in 'de'"):
        reasons(model, frame.head(1), language="de")


# ------------------------------------------------------------------------------------------------- true to the model


def _log_odds(model, rows):
    return logit(churn_probability(model, rows))


def test_taking_a_reason_away_moves_the_probability_as_said(model, frame):
    """A customer with another's values in the group that a reason names: the mean change is what was said."""
    contributions = group_contributions(model, frame)
    rng = np.random.default_rng(3)
    said, found = [], []
    members = {group: [one.name for one in FEATURES if one.group == group] for group in GROUPS}
    # days with orders are counted among purchases; MBG/NBD, whose part is rhythm's, looks at them
    members["rhythm"] = [*members["rhythm"], "active_days_all"]
    top = contributions.abs().idxmax(axis=1)
    for place in rng.choice(len(frame), 60, replace=False):
        group = top.iloc[place]
        others = frame.iloc[rng.choice(len(frame), 80, replace=False)].reset_index(drop=True)
        changed = pd.concat([frame.iloc[[place]]] * len(others), ignore_index=True)
        changed[members[group]] = others[members[group]]
        now = _log_odds(model, frame.iloc[[place]])[0]
        said.append(contributions[group].iloc[place])
        found.append(now - _log_odds(model, changed).mean())
    said, found = np.array(said), np.array(found)
    assert np.mean(np.sign(said) == np.sign(found)) > 0.9
    assert np.corrcoef(said, found)[0, 1] > 0.95
    assert np.polyfit(said, found, 1)[0] == pytest.approx(1.0, abs=0.15)


def _chosen(group, record):
    """The features that are named of a customer."""
    fits = (
        reason
        for reason in _sayable(record)
        if reason.group == group
        and (reason.at_least is None or record[reason.at_least[0]] >= reason.at_least[1])
    )
    return placeholders(next(fits))


def test_the_features_that_are_named_move_the_probability_as_said(model, frame):
    """Of what is said to weigh a tenth of log odds or more, the numbers in the sentence alone move it that way."""
    contributions = group_contributions(model, frame)
    rng = np.random.default_rng(3)
    agree = []
    for place in rng.choice(len(frame), 120, replace=False):
        group = contributions.iloc[place].idxmax()
        said = contributions[group].iloc[place]
        named = _chosen(group, frame.iloc[place].to_dict())
        if said < 0.1 or not named:
            continue
        changed = pd.concat([frame.iloc[[place]]] * 60, ignore_index=True)
        changed[named] = frame.iloc[rng.choice(len(frame), 60, replace=False)][named].to_numpy()
        # nobody ordered last before the first time
        possible = changed[changed["days_since_last_order"] <= changed["days_since_first_order"]]
        agree.append(_log_odds(model, frame.iloc[[place]])[0] > _log_odds(model, possible).mean())
    assert len(agree) > 40
    assert np.mean(agree) > 0.9


# ------------------------------------------------------------------------------------------------- nothing undefined


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.en)
def test_a_sentence_speaks_of_features_of_its_group(reason):
    assert set(reason.needs) | set(placeholders(reason)) <= set(names())
    assert {feature.group for feature in select(placeholders(reason))} <= {reason.group}


def test_every_group_has_a_sentence_for_everybody():
    assert {reason.group for reason in REASONS} == set(GROUPS)
    without = [
        group for group in GROUPS if not any(reason.group == group and not reason.needs for reason in REASONS)
    ]
    assert without == []


def test_the_last_sentence_of_a_group_is_the_one_without_needs():
    for group in GROUPS:
        needs = [bool(reason.needs) for reason in REASONS if reason.group == group]
        assert all(needs[:-1])


def test_gifts_only_are_explained_too(tmp_path):
    """Nothing was to pay, so there is no share of discount."""
    rows = [line("ann", "2024-06-01", 0), line("bob", "2024-06-01", 10), line("bob", "2024-06-20", 10)]
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of(rows))
    two = build(warehouse, ["2024-07-01"])
    assert two["discount_share_365d"].isna().tolist() == [True, False]
    said = [text for group in GROUPS for text in group_sentences(group, two)]
    assert len(said) == 2 * len(GROUPS)
    assert not any("nan" in text for text in said)


def test_no_customer_is_told_nan(frame, tmp_path):
    rows = [
        line("ann", "2024-06-01", 5),
        event("ann", "2024-06-02", "visit"),
        line("bob", "2023-08-01", 5, channel="store"),
        ticket("bob", "2024-06-01", "complaint"),
    ]
    bare = build(warehouse_of(tmp_path / "w.duckdb", tables_of(rows)), ["2024-07-01"])
    for people in (frame, bare):
        assert not any("nan" in text for group in GROUPS for text in group_sentences(group, people))
