"""What the made-up retailer's customers are offered, and what comes of it, held against what it was made of."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.sources.simulate import SimulatedRetailer, simulate
from features.sources.simulate.blocks import generator
from features.sources.simulate.campaigns import OFFERS, TRIALS, extra_order_probability
from features.sources.simulate.kinds import KINDS
from features.sources.simulate.truth import order_probability
from features.sources.simulate.world import draw_orders, draw_people, make_clock, standing

CUSTOMERS, DAYS, END, SEED = 25_000, 730, date(2024, 7, 1), 12
END_AT = datetime(2024, 7, 1, tzinfo=UTC)
CLOCK = make_clock(DAYS, np.datetime64(END, "us"))
DAY = pd.Timedelta(days=1)
KIND_NAMES = [kind.name for kind in KINDS]


@pytest.fixture(scope="module")
def retailer() -> SimulatedRetailer:
    return simulate(CUSTOMERS, DAYS, END, SEED)


@pytest.fixture(scope="module")
def people():
    """What the retailer above was made of: the first draw of its one block."""
    return draw_people(generator(SEED, 1), CLOCK, CUSTOMERS)


@pytest.fixture(scope="module")
def own_orders():
    """The second draw: orders that no offer brought."""
    rng = generator(SEED, 1)
    return draw_orders(rng, CLOCK, draw_people(rng, CLOCK, CUSTOMERS))


@pytest.fixture(scope="module")
def lines(retailer):
    """Sale lines with their product, by customer and time; ``number`` is the customer's."""
    lines = retailer.tables["order_lines"].to_pandas()
    lines = lines[lines.kind == "sale"].merge(retailer.tables["products"].to_pandas(), on="product_id")
    lines["number"] = numbers(lines.customer_id.fillna("c-1"))
    return lines.sort_values(["number", "paid_at", "line_id"], ignore_index=True)


@pytest.fixture(scope="module")
def orders(lines):
    """One row per order of a known customer."""
    known = lines[lines.number >= 0]
    return known.groupby("order_id", as_index=False).agg(
        number=("number", "first"), at=("paid_at", "first"), channel=("channel", "first")
    )


@pytest.fixture(scope="module")
def exposed(retailer, orders):
    """Exposures with ``number`` and ``ordered``: whether the tables have an order within 14 days."""
    exposed = retailer.tables["exposures"].to_pandas()
    exposed["number"], exposed["row"] = numbers(exposed.customer_id), np.arange(len(exposed))
    both = exposed.merge(orders[["number", "at"]], on="number", suffixes=("", "_order"))
    since = (both.at_order - both["at"]) / DAY
    exposed["ordered"] = exposed.row.isin(both.row[(since >= 0) & (since < 14)])
    return exposed


def numbers(customer_id: pd.Series) -> np.ndarray:
    return customer_id.str[1:].astype(int).to_numpy()


def operational(at: pd.Series) -> np.ndarray:
    return CLOCK.operational(((at - END_AT) / DAY).to_numpy())


def test_consents_are_given_on_five_channels(retailer):
    consents = retailer.tables["consents"].to_pandas()
    assert set(consents.channel) == {"email", "sms", "push", "wecom", "mini_program"}
    assert set(consents.purpose) == {"marketing"}
    asked = consents[consents.status != "UNSUBSCRIBED"]
    assert not asked.duplicated(["customer_id", "channel"]).any()
    share = asked.channel.value_counts() / CUSTOMERS
    assert share[["email", "sms", "wecom"]].to_list() == pytest.approx([1, 1, 0.25], abs=0.02)
    assert set(retailer.tables["contacts"].to_pandas().channel) == {"email", "sms"}


def test_trials_are_randomised_as_they_say(retailer, exposed):
    for trial in TRIALS:
        mine = exposed[exposed.experiment_id == trial.id]
        share = mine.arm.value_counts(normalize=True)
        assert set(share.index) == {arm for arm, _ in trial.arms}
        for arm, propensity in trial.arms:
            assert set(mine.propensity[mine.arm == arm]) == {propensity}
            assert share[arm] == pytest.approx(propensity, abs=3 * np.sqrt(0.25 / len(mine)))
        begins = END_AT - timedelta(days=trial.days_before)
        assert begins <= mine["at"].min() < mine["at"].max() < begins + timedelta(days=1)
    assert exposed["at"].max() + timedelta(days=14) < END_AT
    sent = retailer.tables["contacts"].to_pandas().dropna(subset="offer_id")
    treated = exposed[exposed.arm != "control"]
    keys = sent.rename(columns={"campaign_id": "experiment_id", "offer_id": "arm", "sent_at": "at"})
    key = ["experiment_id", "customer_id", "arm", "at"]
    assert len(keys[key].merge(treated[key])) == len(sent) == len(treated)
    assert set(sent.cost.astype(float)) == {0.01, 0.05}


def test_offers_bring_extra_orders_beside_the_customers_own(exposed, orders, own_orders):
    time = own_orders.at
    row = np.flatnonzero((time >= CLOCK.start) & (time < 0))
    mine = pd.DataFrame({"number": own_orders.customer[row], "at": CLOCK.stamp(time[row]).to_pandas()})
    both = orders.merge(mine, on=["number", "at"], how="outer", indicator=True)
    assert not (both._merge == "right_only").any()  # each of the customer's own orders stands in the tables
    extra = both[both._merge == "left_only"]
    treated = exposed[exposed.arm != "control"]
    pairs = extra.merge(treated, on="number", suffixes=("", "_exposed"))
    since = (pairs["at"] - pairs.at_exposed) / DAY
    assert set(pairs.order_id[since.between(0, 14)]) == set(extra.order_id)
    assert 0.03 < len(extra) / len(treated) < 0.12


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.id)
def test_the_uplift_is_recovered_from_the_trials(exposed, people, own_orders, trial):
    """The difference of shares against its expectation: u (1 - p) at the time of each offer."""
    mine = exposed[exposed.experiment_id == trial.id]
    control = mine[mine.arm == "control"].ordered
    for number, offer in enumerate(OFFERS):
        treated = mine[mine.arm == offer.id]
        if treated.empty:
            continue
        who, at = treated.number.to_numpy(), operational(treated["at"])
        last, alive = standing(people, own_orders, who, at)
        p = order_probability(people, own_orders, last, CLOCK.later(at, 14.0), now=at)
        u = extra_order_probability(people, who, np.full(who.size, number), last >= 0, alive)
        found = treated.ordered.mean() - control.mean()
        error = np.sqrt(treated.ordered.var() / len(treated) + control.var() / len(control))
        assert (u * (1 - p)).mean() > 3 * error  # there is something to find
        assert abs(found - (u * (1 - p)).mean()) < 3 * error
        outcome = p + u * (1 - p)
        assert abs(treated.ordered.mean() - outcome.mean()) < 3 * np.sqrt(
            (outcome * (1 - outcome)).mean() / len(treated)
        )


def test_an_effect_by_hand():
    people = draw_people(np.random.default_rng(1), CLOCK, 4)
    people = replace(
        people, sensitivity=np.array([0.5, 0.5, 0.5, 1.0]), attention=np.array([0.25, 0.25, 0.25, 1.0])
    )
    offer = np.array([1, 2, 0, 1])  # step, winback, reminder, step
    ordered, alive = np.array([True, True, False, True]), np.array([True, False, True, True])
    u = extra_order_probability(people, np.arange(4), offer, ordered, alive)
    expected = [
        (0.02 + 0.24 * 0.5) * 0.85,  # 0.4 + 1.8 / 4 = 0.85
        (0.02 + 0.18 * 0.5) * 0.85 * 1.0,  # who has left listens to this one
        0.0,  # has not ordered yet
        (0.02 + 0.24) * 2.2,  # .572, below the largest
    ]
    assert u == pytest.approx(expected)
    assert extra_order_probability(people, np.array([3]), np.array([1]), *np.ones((2, 1), dtype=bool)) <= 0.6


def test_the_truth_of_offers_fits_that_of_customers(retailer, people):
    offers, truth = retailer.offers.to_pandas(), retailer.truth.to_pandas()
    assert list(offers.columns) == ["customer_id", "offer_id", "p_extra_order_14d", "uplift_order_14d"]
    assert len(offers) == 3 * len(truth)
    both = offers.merge(truth, on="customer_id")
    u = both.p_extra_order_14d
    np.testing.assert_allclose(both.uplift_order_14d, u * (1 - both.p_order_14d), rtol=1e-12)
    assert ((u > 0) & (u <= 0.6)).all()
    coupon = both[(both.offer_id == "step_coupon") & (both.p_order_90d > 0)]
    assert np.corrcoef(coupon.p_extra_order_14d, people.sensitivity[numbers(coupon.customer_id)])[0, 1] > 0.5
    mean = u.groupby([both.offer_id, both.p_order_90d == 0]).mean()
    assert mean["step_coupon", True] < 0.5 * mean["step_coupon", False]
    assert mean["winback_coupon", True] > mean["winback_coupon", False]


def test_coupons_are_used_while_they_last(lines, exposed):
    used = lines.dropna(subset="coupon_id")
    assert set(used.coupon_id) == {"step_coupon", "winback_coupon"}
    given = exposed.rename(columns={"arm": "coupon_id"})[["number", "coupon_id", "at"]]
    pairs = used.merge(given, on=["number", "coupon_id"])
    since = (pairs.paid_at - pairs["at"]) / DAY
    assert set(pairs.order_id[since.between(0, 14)]) == set(used.order_id)
    assert (used.discount_amount.astype(float) >= used.gross_amount.astype(float) * 0.15 - 0.01).all()
