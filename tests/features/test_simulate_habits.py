"""What the made-up retailer's customers buy and say, held against what it was made of."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.sources.simulate import SimulatedRetailer, simulate
from features.sources.simulate.blocks import generator
from features.sources.simulate.catalogue import PRODUCTS_PER_KIND, Catalogue
from features.sources.simulate.kinds import CATEGORIES, KINDS
from features.sources.simulate.needs import draw_needs
from features.sources.simulate.world import draw_people, make_clock

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


def numbers(customer_id: pd.Series) -> np.ndarray:
    return customer_id.str[1:].astype(int).to_numpy()


# --- what they buy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cycle"), [("mask", 28.0), ("shampoo", 60.0)])
def test_a_cycle_is_recovered_from_who_comes_often(name, cycle):
    """Every other day in the shop: a shelf is filled within the last tenth of a cycle, so nothing waits for a visit."""
    n, visits = 200, 330
    kind = KIND_NAMES.index(name)
    people = draw_people(np.random.default_rng(1), CLOCK, n)
    people = replace(people, uses=np.tile([-1, kind, -1, -1], (n, 1)), pace=np.ones(n))
    catalogue = Catalogue(*np.ones((2, 200), dtype=int), np.tile([1.0, 2.0], 100))
    day, customer = np.repeat(np.arange(visits) * 2.0 - 700, n), np.tile(np.arange(n), visits)
    sales = (customer, CLOCK.operational(day), np.ones(n * visits, dtype=bool))
    size = np.full(n * visits, 3)
    needs = draw_needs(np.random.default_rng(2), CLOCK, people, catalogue, sales, size)
    assert (needs.product // PRODUCTS_PER_KIND == kind).all()
    assert (needs.place == 0).all()
    bought = pd.DataFrame({"customer": customer[needs.sale], "day": day[needs.sale]})
    bought["units"] = needs.packs * catalogue.pack[needs.product]
    bought = bought.sort_values(["customer", "day"])
    bought["gap"] = bought.groupby("customer").day.diff().shift(-1)
    bought = bought.dropna()
    assert bought.gap.sum() / bought.units.sum() == pytest.approx(cycle, rel=0.02)
    per_units = bought.groupby("units").gap.mean()
    assert per_units[[1.0, 2.0, 4.0]].to_list() == pytest.approx([cycle, 2 * cycle, 4 * cycle], rel=0.05)


def test_a_line_of_an_order_is_filled_once_and_no_more_than_there_are():
    """Three shelves, two lines: the first two; the third with the next order; a shop without cards fills none."""
    n = 2_000
    people = draw_people(np.random.default_rng(1), CLOCK, n)
    people = replace(people, uses=np.tile([0, 1, 2, -1], (n, 1)))
    catalogue = Catalogue(*np.ones((2, 200), dtype=int), np.ones(200))
    sales = (
        np.tile(np.arange(n), 3),
        CLOCK.operational(np.repeat([-9.0, -8.0, -7.0], n)),
        np.repeat([False, True, True], n),
    )
    needs = draw_needs(np.random.default_rng(2), CLOCK, people, catalogue, sales, np.full(3 * n, 2))
    visit, kind = needs.sale // n, needs.product // PRODUCTS_PER_KIND
    assert not (visit == 0).any()
    assert np.bincount(needs.sale).max() == 2
    shares = [np.mean(np.bincount(sales[0][needs.sale][kind == k], minlength=n) >= 1) for k in range(3)]
    # Two visits, 85 % remembered: 1 - .15^2. The third shelf gets a line on the first visit with .85 (1 - .85^2) = .236;
    # on the second with .85 if crowded out (.85^3 = .614), with .85 (1 - .15^2 .85^2) = .836 if forgotten (.15).
    assert shares == pytest.approx([0.9775, 0.9775, 0.883], abs=0.02)
    assert np.mean((visit == 1)[kind == 2]) == pytest.approx(0.236 / 0.883, abs=0.03)
    twice = pd.DataFrame({"customer": sales[0][needs.sale], "kind": kind})
    assert not twice.duplicated().any()  # packs of 28 days and more are not empty a day later


def test_nobody_buys_what_is_still_there(lines, people):
    """The retailer's own tables: of goods that a customer keeps at home the next pack waits for the last to run out."""
    kind = lines.category_2.map({name: number for number, name in enumerate(KIND_NAMES)}).to_numpy()
    kept = (lines.number >= 0).to_numpy() & (people.uses[lines.number] == kind[:, None]).any(axis=1)
    mine = lines[kept].assign(cycle=[kind.cycle_days for kind in np.array(KINDS, dtype=object)[kind[kept]]])
    mine = mine.sort_values(["number", "category_2", "paid_at"])
    mine["lasts"] = mine.quantity.astype(float) * mine.pack_size * mine.cycle * people.pace[mine.number]
    pairs = mine.groupby(["number", "category_2"])
    filled = (pairs.paid_at.diff().shift(-1) / DAY / mine.lasts).dropna()
    assert len(filled) > 8_000
    assert filled.min() > 0.5  # the spread is 10 %, and a tenth of a cycle may be left
    assert 0.05 < (filled < 1.0).mean() < 0.5
    soon = filled[filled < 2]  # who comes often enough for the cycle to show
    assert 1.0 < soon.median() < 1.4


def test_only_who_is_known_fills_shelves(lines):
    replenishes = lines.replenishable.groupby(lines.number >= 0).mean()
    assert replenishes[True] > 1.5 * replenishes[False]


def test_sunscreen_is_bought_in_summer(lines, retailer):
    month = lines.paid_at.dt.tz_convert("Asia/Shanghai").dt.month
    sunscreen = lines.category_2 == "sunscreen"
    summer = month.isin([5, 6, 7, 8])
    assert sunscreen[summer].mean() == pytest.approx(0.18 * 0.85, abs=0.04)  # of what is not needed at home
    assert sunscreen[~summer].mean() < 0.006
    assert summer[sunscreen].mean() > 0.9
    truth = retailer.categories.to_pandas().set_index("category_2")
    assert truth.seasonal_months.dropna().map(list).to_dict() == {"sunscreen": [5, 6, 7, 8]}
    assert truth.cycle_days["mask"] == 28
    products = retailer.tables["products"].to_pandas()
    assert (products.replenishable == products.category_2.map(truth.cycle_days.notna())).all()


def test_some_are_true_to_a_brand(lines, people):
    mine = lines[lines.number >= 0]
    first = np.array(CATEGORIES)[people.favourites[:, 0]]
    mine = mine[mine.category_1 == first[mine.number]]
    slot = mine.brand.str[-2:].astype(int) % 4
    brand = people.brand[mine.number]
    assert np.mean(people.brand >= 0) == pytest.approx(0.5, abs=0.01)
    assert (slot == brand)[brand >= 0].mean() > 0.7
    assert slot[brand < 0].value_counts(normalize=True).max() < 0.5


# --- what they say ----------------------------------------------------------------------------------------------------


def test_profiles_name_an_assistant_of_the_home_store(retailer):
    customers = retailer.tables["customers"].to_pandas()
    staff = retailer.tables["staff"].to_pandas().set_index("staff_id").store_id
    owned = customers[customers.owner_id.notna()]
    assert len(owned) / len(customers) == pytest.approx(0.6, abs=0.02)
    assert (owned.owner_id.map(staff) == owned.home_store_id).all()
    skins = customers.attributes.dropna().map(json.loads)
    assert {skin["skin_type"] for skin in skins} == {"dry", "oily", "combination", "sensitive"}
    assert len(skins) / len(customers) == pytest.approx(0.4, abs=0.02)
    assert (customers.points >= 0).all()


def test_online_orders_arrive_and_a_late_one_is_no_cause(retailer, orders):
    parcels = retailer.tables["deliveries"].to_pandas().merge(orders, on="order_id", how="left")
    online = orders[orders.channel != "store"]
    assert sorted(parcels.order_id) == sorted(online.order_id)
    assert (parcels.known_at == parcels["at"]).all()
    assert (parcels.promised_at.isna() | (parcels.promised_at > parcels["at"])).all()
    done = parcels.dropna(subset=["promised_at", "delivered_at"])
    assert (done.delivered_at > done["at"]).all()
    late = (done.delivered_at > done.promised_at).groupby(done.order_id).any()
    tickets = retailer.tables["tickets"].to_pandas()
    complaints = tickets[tickets.kind == "complaint"]
    of_wrong = late.index.isin(complaints.order_id)
    assert late[of_wrong].mean() == pytest.approx(
        0.6, abs=0.05
    )  # 1,700 orders: three standard errors are .035
    assert late[~of_wrong].mean() == pytest.approx(0.06, abs=0.005)
    about_delay = complaints[complaints.reason == "late"].merge(done, on="order_id")
    assert (about_delay.opened_at >= about_delay.promised_at).all()
    assert about_delay.order_id.map(late).all()
    assert set(complaints.reason) == {"late", "quality", "damaged"}


def test_ratings_follow_satisfaction(retailer, people):
    feedback = retailer.tables["feedback"].to_pandas()
    review, nps = (feedback[feedback.kind == kind] for kind in ("review", "nps"))
    assert set(feedback.kind) == {"review", "nps"}
    assert set(review.rating) == {1, 2, 3, 4, 5}
    assert set(nps.rating) <= set(range(11))
    assert np.corrcoef(review.rating, people.satisfaction[numbers(review.customer_id)])[0, 1] > 0.4
    tickets = retailer.tables["tickets"].to_pandas()
    unhappy = set(tickets.customer_id[tickets.kind == "complaint"])
    by_mood = review.rating.groupby(review.customer_id.isin(unhappy)).mean()
    assert by_mood[False] - by_mood[True] > 0.3
    assert (feedback.topic.isna() == (feedback.kind == "nps")).all()


def test_stock_is_counted_every_week(retailer):
    stock = retailer.tables["stock"].to_pandas()
    assert set(stock["at"].dt.day_of_week) == {6}
    assert stock["at"].nunique() == 13
    assert stock["at"].max() == END_AT - timedelta(days=1)
    assert len(stock) == 13 * 12 * len(KINDS)
    assert 0.03 < (stock.quantity == 0).mean() < 0.1
