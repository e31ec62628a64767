"""The model cards: nothing lost on the way through JSON, and one page that people can read."""

import json
from dataclasses import replace

import pytest

from features.contract import Contract
from features.errors import ContractError
from training.baselines import MBGNBD
from training.calibration import PlattCalibration
from training.card import ChurnCard, TimingCard, page
from training.clock import Clock

CARD = ChurnCard(
    target="churn_90d",
    asks="places no order in [cutoff, cutoff + 90 days)",
    horizon_days=90,
    population="active-365d",
    warehouse_id="shop-0a1b2c",
    as_of="2024-07-01T00:00:00",
    trained_at="2024-07-02T03:04:05+00:00",
    cutoffs=("2024-03-06T00:00:00", "2024-04-02T00:00:00"),
    rows=12_345,
    churn_share=0.5371,
    contract=Contract(
        ("orders_7d", "last_csat"), ("int64", "float64"), ("0a1b2c3d", "4e5f6a7b"), "0123456789abcdef"
    ),
    baseline=MBGNBD(r=0.1 + 0.2, alpha=10.7, a=1.0, b=15.3),
    baseline_mean=1 / 3,
    clock=Clock(-0.1, (0.25,) * 13, 0.5),
    tree_weight=0.5,
    calibration=PlattCalibration(0.0, 1.2054),
    parameters={"num_leaves": 8, "learning_rate": 0.03},
    metrics={"auc": 0.80162, "rows": 5741.0},
)
TIMING = TimingCard(
    population="active-365d",
    warehouse_id="shop-0a1b2c",
    as_of="2024-07-01T00:00:00",
    trained_at="2024-07-02T03:04:06+00:00",
    bin_ends=(7.0, 14.0, 365.0),
    cutoffs=("2024-03-06T00:00:00", "2024-06-24T00:00:00"),
    rows=23_456,
    periods=98_765,
    orders=4_321,
    contract=CARD.contract,
    baseline=CARD.baseline,
    tree_weight=1.0,
    parameters={"num_leaves": 12},
    metrics={"integrated_brier": 0.143219},
)


@pytest.mark.parametrize("card", [CARD, TIMING])
def test_nothing_is_lost_through_json(card):
    again = type(card).from_json(card.to_json())
    assert again == card
    assert isinstance(again.cutoffs, tuple)
    assert [type(part) for part in vars(again.contract).values()] == [tuple, tuple, tuple, str]
    assert again.to_json() == card.to_json()


def test_the_json_is_for_other_programs_too():
    data = json.loads(CARD.to_json())
    assert data["contract"] == {
        "names": ["orders_7d", "last_csat"],
        "types": ["int64", "float64"],
        "definitions": ["0a1b2c3d", "4e5f6a7b"],
        "digest": "0123456789abcdef",
    }
    assert data["calibration"] == {"intercept": 0.0, "slope": 1.2054}


@pytest.mark.parametrize("card", [CARD, TIMING])
def test_the_card_of_an_older_patron_is_read_and_its_contract_refused(card):
    data = json.loads(card.to_json())
    del data["contract"]["types"], data["contract"]["definitions"]
    older = type(card).from_json(json.dumps(data))
    assert replace(older, contract=card.contract) == card
    with pytest.raises(
        ContractError, match="2 names, 0 types and 0 definitions of features: an older Patron wrote it"
    ):
        older.contract.require_same(card.contract)


def test_the_page_says_what_one_has_to_know():
    lines = page(CARD, TIMING).splitlines()
    for line in (
        "# Model card: churn_90d and the time of the next order",
        "| predicts | probability that a customer places no order in [cutoff, cutoff + 90 days) |",
        "| about | population `active-365d`; nobody else |",
        "| uses nothing at or after | 2024-07-01T00:00:00 |",
        "| trained | 2024-07-02T03:04:05+00:00 |",
        "| rows | 12,345 (customer, cutoff) at 2 cutoffs from 2024-03-06T00:00:00 to 2024-04-02T00:00:00, "
        "share of churn 0.537 |",
        "| predicts | hazard of the next order in bins ending 7, 14, 365 days after the cutoff |",
        "| rows | 98,765 (customer, cutoff, bin), 4,321 of them with the order, made of 23,456 (customer, cutoff) at 2 "
        "cutoffs from 2024-03-06T00:00:00 to 2024-06-24T00:00:00; a bin that was not over is left out |",
        "| features | 2, definitions 0123456789abcdef |",
        "| calibration | slope 1.205, intercept 0.000 on forward out-of-fold log odds; the intercept gives the as-of's population "
        "the mean of MBG/NBD by the clock |",
        "| seasonal clock | level -0.100 (log speed of the last 8 weeks), next four weeks +0.250 against them a year ago, "
        "believed by 50% |",
        "| parameters | num_leaves 8, learning_rate 0.03 |",
        "| auc | 0.8016 |",
        "| rows | 5741 |",
        "| parameters | num_leaves 12 |",
        "| weight of the trees | 0.5 of the log odds, MBG/NBD by the clock has the rest |",
        "| weight of the trees | 1 |",
        "| integrated_brier | 0.1432 |",
    ):
        assert line in lines
    assert "(r 0.3, alpha 10.7, a 1, b 15.3; weeks)" in page(CARD, TIMING)
    assert "Not for: price or depth of discount by person" in page(CARD, TIMING)


def test_models_without_forward_figures_have_a_page_too():
    written = page(replace(CARD, metrics={}), replace(TIMING, metrics={}))
    assert "| auc |" not in written
    assert "| integrated_brier |" not in written
    assert ChurnCard.from_json(replace(CARD, metrics={}).to_json()).metrics == {}
