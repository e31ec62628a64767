"""The shipped playbook: every tag and offer holds for one customer and not for the neighbour, and the casebooks' don'ts."""

import numpy as np
import pytest

from serving.rules.columns import SCORES
from serving.rules.playbook import default_playbook
from tests.serving.rules.rows import NOBODY, decision_of, profile_of

PLAYBOOK = default_playbook()
REGULAR = {"days_since_last_order": 50.0}

# tag -> what makes it hold, and the nearest thing that does not
TAGS = {
    "registered_no_order": ({"orders_all": 0.0}, {"orders_all": 1.0}),
    "new_member": ({"days_since_registration": 29.99}, {"days_since_registration": 30.0}),
    "registered_in_store": ({"registration_channel": "store"}, {"registration_channel": "web"}),
    "gold_member": ({"member_level": "gold"}, {"member_level": "silver"}),
    "has_adviser": ({"owner_id": "a1"}, {"owner_id": None}),
    "young_adult": ({"age_years": 29.99}, {"age_years": 30.0}),
    "senior": ({"age_years": 60.0}, {"age_years": 59.99}),
    "profile_incomplete": ({"gender": None}, {}),
    "store_shopper": ({"online_share_365d": 0.4}, {"online_share_365d": 0.41}),
    "online_shopper": ({"online_share_365d": 0.6}, {"online_share_365d": 0.59}),
    "omnichannel": ({"channels_365d": 2.0}, {"channels_365d": 1.0}),
    "weekend_shopper": ({"weekend_share_365d": 0.6, "orders_365d": 3.0}, {"weekend_share_365d": 0.6, "orders_365d": 2.0}),
    "frequent_visitor": ({"visits_30d": 4.0}, {"visits_30d": 3.0}),
    "active_browser": ({"views_30d": 10.0}, {"views_30d": 9.0}),
    "cart_without_order": ({"carts_30d": 1.0}, {"carts_30d": 1.0, "orders_30d": 1.0}),
    "collector": ({"favourites_30d": 3.0}, {"favourites_30d": 2.0}),
    "searcher": ({"searches_30d": 5.0}, {"searches_30d": 4.0}),
    "vip": ({"spend_365d": 5000.01}, {"spend_365d": 5000.0}),
    "top_spender": ({"spend_365d": 10000.0}, {"spend_365d": 9999.99}),
    "daily_shopper": ({"orders_365d": 12.0, "aov_365d": 99.99}, {"orders_365d": 12.0, "aov_365d": 100.0}),
    "quality_seeker": ({"orders_365d": 3.0, "aov_365d": 500.0}, {"orders_365d": 4.0, "aov_365d": 500.0}),
    "promotion_sensitive": ({"discount_share_365d": 0.3}, {"discount_share_365d": 0.29}),
    "full_price_buyer": ({"discount_share_365d": 0.05}, {"discount_share_365d": 0.06}),
    "one_category": ({"top_category_share_365d": 0.7}, {"top_category_share_365d": 0.69}),
    "explorer": ({"distinct_categories_365d": 5.0}, {"distinct_categories_365d": 4.0}),
    "message_reader": ({"open_rate_90d": 0.5}, {"open_rate_90d": 0.49}),
    "complaint_open": ({"open_complaints": 1.0}, {"open_complaints": 0.0}),
    "problem_customer": ({"last_csat": 2.0}, {"last_csat": 3.0}),
    # 30 % of 10 orders; of 2 orders never
    "frequent_returner": ({"orders_365d": 10.0, "return_orders_365d": 2.0, "exchanges_365d": 1.0},
                          {"orders_365d": 10.0, "return_orders_365d": 2.0}),
    "satisfied": ({"last_csat": 4.0}, {"last_csat": 3.0}),
    "logistics_sensitive": ({"late_deliveries_180d": 2.0}, {"late_deliveries_180d": 1.0}),
    "asks_first": ({"enquiries_30d": 2.0}, {"enquiries_30d": 1.0}),
}  # fmt: skip


def test_no_tag_and_no_offer_is_without_a_case():
    assert TAGS.keys() == {tag.id for tag in PLAYBOOK.tags}
    assert OFFERS.keys() == {offer.id for offer in PLAYBOOK.offers}
    assert len(PLAYBOOK.tags) >= 20
    assert {tag.layer for tag in PLAYBOOK.tags} == {"basic", "behaviour", "value", "preference", "service"}


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_holds_for_one_and_not_for_the_neighbour(tag):
    there, beside = TAGS[tag]
    assert profile_of(**there)[tag]
    assert not profile_of(**beside)[tag]


@pytest.mark.parametrize(
    ("changed", "is_vip"),
    [
        ({"member_level": "gold"}, True),
        ({"spend_365d": 5000.01}, True),  # lifecycle5 high value
        ({"days_since_last_order": 14.0, "spend_365d": 500.0}, True),  # dynamic8 loyal
        ({"days_since_last_order": 15.0, "spend_365d": 500.0}, False),
        ({"member_level": "silver"}, False),
    ],
)
def test_vip_is_gold_or_high_value_or_loyal(changed, is_vip):
    assert profile_of(**changed)["vip"] == is_vip


@pytest.mark.parametrize(
    ("orders", "returns", "exchanges", "often"),
    [(2, 2, 0, False), (3, 1, 0, True), (4, 1, 0, False), (10, 3, 0, True), (10, 0, 3, True), (10, 1, 1, False), (0, 1, 0, False)],
)  # fmt: skip
def test_a_frequent_returner_brings_back_30_percent_of_3_orders_at_least(orders, returns, exchanges, often):
    found = profile_of(orders_365d=orders, return_orders_365d=returns, exchanges_365d=exchanges)
    assert found["frequent_returner"] == often


# offer -> who gets it, and the neighbour who does not
DORMANT = {
    "days_since_last_order": 200.0,
    "orders_365d": 2.0,
    "aov_365d": 200.0,
    "days_since_first_order": 600.0,
}
OVERDUE = {"overdue_ratio": 1.5, "churn_probability": 0.7, "spend_365d": 4000.0, "aov_365d": 1000.0, "status": "ok",
           "p_order_30d": 0.2, "discount_share_365d": 0.0}  # fmt: skip
OFFERS = {
    "complaint_followup": ({"open_complaints": 1.0, "days_since_last_complaint": 2.0}, {}),
    "vip_adviser": ({"spend_365d": 6000.0}, {"spend_365d": 5000.0}),
    "vip_first_access": ({"member_level": "gold", "aov_365d": 200.0}, {"member_level": "silver", "aov_365d": 200.0}),
    "replenish_reminder": ({"overdue_ratio": 0.9, "discount_share_365d": 0.0}, {"overdue_ratio": 0.89, "discount_share_365d": 0.0}),
    "step_coupon": (REGULAR, {"days_since_last_order": 6.99}),
    "winback_coupon": (DORMANT | {"days_since_last_order": 181.0}, DORMANT | {"days_since_last_order": 180.99}),
    "churn_rescue": (OVERDUE, OVERDUE | {"churn_probability": 0.69}),
    "first_order_coupon": ({"orders_all": 0.0, "days_since_registration": 180.0}, {"orders_all": 0.0, "days_since_registration": 181.0}),
    "welcome_gift": ({"days_since_first_order": 29.99, "days_since_last_order": 20.0},
                     {"days_since_first_order": 30.0, "days_since_last_order": 20.0}),
    "brand_invitation": (DORMANT | {"days_since_last_order": 366.0}, DORMANT | {"days_since_last_order": 365.99}),
    "similar_items": ({"days_since_last_order": 5.0, "orders_365d": 3.0, "views_30d": 3.0},
                      {"days_since_last_order": 5.0, "orders_365d": 3.0, "views_30d": 2.0}),
    "size_guide": ({"orders_365d": 3.0, "return_orders_365d": 1.0, "days_since_last_order": 5.0},
                   {"orders_365d": 4.0, "return_orders_365d": 1.0, "days_since_last_order": 5.0}),
}  # fmt: skip


@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_is_made_to_one_and_not_to_the_neighbour(offer):
    there, beside = OFFERS[offer]
    found = decision_of(**there)
    assert (found["action"], found["offer_id"]) == ("offer", offer)
    assert found["worth"] > 0
    assert decision_of(**beside)["offer_id"] != offer


def test_sentences_hold_the_customers_numbers():
    found = decision_of(**OFFERS["winback_coupon"][0])
    assert found["why"] == ["No order for 181 days, more than 180: a low step back into the store."]
    assert found["why_zh"][0].startswith("已181天未消费")
    assert "超过180天" in found["why_zh"][0]
    returner = decision_of(**OFFERS["size_guide"][0])
    assert returner["why"] == ["33 % of 3 orders came back in 365 days: help to choose."]


@pytest.mark.parametrize("offer", OFFERS)
def test_no_number_of_a_sentence_is_unknown_to_whom_it_is_said(offer):
    found = decision_of(**OFFERS[offer][0])
    assert not [
        said
        for said in (*found["why"], *found["why_zh"])
        if "unknown" in said or "未知" in said or "{" in said
    ]


def test_worth_by_hand():
    # 0.06 x (0.4 x 300 - 50) - 0.1: an order of 100 has to grow to 300
    assert decision_of(**REGULAR)["worth"] == pytest.approx(0.06 * 70 - 0.1)
    # 0.05 x (0.4 - 0.2) x 200 - 0.1
    assert decision_of(**OFFERS["winback_coupon"][0])["worth"] == pytest.approx(1.9)
    # 0.03 x 0.4 x 6000 - 5
    assert decision_of(spend_365d=6000.0)["worth"] == pytest.approx(67.0)


def test_nobody_is_contacted_at_a_loss():
    dormant = OFFERS["winback_coupon"][0]
    # 0.05 x 0.2 x 9.99 is less than 0.1, the cost
    assert decision_of(**dormant | {"aov_365d": 9.99})["action"] == "none"
    assert decision_of(**dormant | {"aov_365d": 10.01})["action"] == "offer"
    assert decision_of(**dormant | {"aov_365d": 9.99})["why"] == [
        "No offer is worth more than it costs: contact nobody."
    ]


# ------------------------------------------------------------------------------------------------- decision 13


def test_the_rescue_needs_a_fact_beside_the_score_and_a_score():
    assert decision_of(**OVERDUE | {"overdue_ratio": 1.49})["offer_id"] != "churn_rescue"
    assert decision_of(**OVERDUE | {"churn_probability": np.nan})["offer_id"] != "churn_rescue"


@pytest.mark.parametrize("score", [0.7, 0.8, 0.99, 1.0])
def test_beyond_the_door_a_higher_risk_changes_neither_worth_nor_value(score):
    found = decision_of(**OVERDUE | {"churn_probability": score})
    assert (found["offer_id"], found["worth"]) == (
        "churn_rescue",
        pytest.approx(0.06 * (0.4 * 1000 - 50) - 0.1),
    )


def test_no_score_ranks_discounts():
    inputs = {definition.name: definition.columns for definition in PLAYBOOK.definitions}

    def rests_on(columns):
        found = set(columns)
        for column in columns:
            found |= rests_on(inputs.get(column, ()))
        return found

    coupons = [offer for offer in PLAYBOOK.offers if offer.kind == "coupon"]
    assert {offer.id for offer in coupons} == {
        "step_coupon",
        "winback_coupon",
        "churn_rescue",
        "first_order_coupon",
    }
    assert not [offer.id for offer in coupons if rests_on(offer.worth.columns) & {*SCORES}]
    assert all(isinstance(value, float | str | bool) for offer in coupons for value in offer.value.values())


# ------------------------------------------------------------------------------------------------- decisions 15, 18, anti-examples


def test_high_value_gets_bonds_and_dormant_a_low_threshold():
    offers = {offer.id: offer for offer in PLAYBOOK.offers}
    assert offers["vip_adviser"].kind == "task"
    assert offers["vip_first_access"].value == {"entitlement": "first_access"}
    assert offers["winback_coupon"].value["minimum_spend"] == 0
    vip = decision_of(member_level="gold", spend_365d=3000.0, overdue_ratio=1.6, churn_probability=0.9)
    assert vip["offer_id"] == "vip_adviser"


@pytest.mark.parametrize("changed", [there for there, _ in OFFERS.values()], ids=OFFERS)
def test_no_promotion_to_an_open_complaint(changed):
    found = decision_of(**changed | {"open_complaints": 1.0, "days_since_last_complaint": 40.0})
    assert found["offer_id"] == "complaint_followup"


def test_no_coupon_for_everybody():
    assert decision_of(NOBODY, orders_all=1.0)["action"] == "none"  # ordered once, and nothing else is known
    assert decision_of(discount_share_365d=0.0)["action"] == "none"  # buys at full price, nothing due
