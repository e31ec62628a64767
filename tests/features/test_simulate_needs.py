"""What runs out at home: the truth of each shelf, held against the purchases that filled it."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.sources.simulate import simulate
from features.sources.simulate.kinds import CYCLE_DAYS, KINDS

END = date(2024, 7, 1)
END_AT = datetime(2024, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def retailer():
    return simulate(3_000, 500, END, 3)


@pytest.fixture(scope="module")
def needs(retailer):
    return retailer.needs.to_pandas()


@pytest.fixture(scope="module")
def bought(retailer):
    """Sale lines of goods with a cycle, beside their products."""
    lines = retailer.tables["order_lines"].to_pandas()
    lines = lines[(lines["kind"] == "sale") & lines["customer_id"].notna()]
    products = retailer.tables["products"].to_pandas()[
        ["product_id", "category_2", "pack_size", "replenishable"]
    ]
    both = lines.merge(products, on="product_id")
    return both[both["replenishable"]].assign(units=lambda of: of["quantity"].astype(float) * of["pack_size"])


def test_shelves_are_of_customers_with_an_order_and_of_kinds_with_a_cycle(retailer, needs):
    assert set(needs["customer_id"]) <= set(retailer.truth["customer_id"].to_pylist())
    assert set(needs["category_2"]) == {kind.name for kind in KINDS if kind.cycle_days}
    assert not needs.duplicated(["customer_id", "category_2"]).any()


def test_a_unit_lasts_each_customer_its_cycle_at_the_customer_s_pace(needs):
    usual = dict(zip((kind.name for kind in KINDS), CYCLE_DAYS, strict=True))
    pace = needs["cycle_days"] / needs["category_2"].map(usual)
    assert pace.mean() == pytest.approx(1.0, abs=0.02)
    assert needs.assign(pace=pace).groupby("customer_id")["pace"].agg(np.ptp).max() < 1e-9


def test_a_shelf_filled_once_is_empty_when_what_was_bought_is_used_up(needs, bought):
    """Lasts units x cycle days, times a factor of mean 1 and spread .1."""
    once = bought.groupby(["customer_id", "category_2"]).filter(lambda of: len(of) == 1)
    both = once.merge(needs, on=["customer_id", "category_2"])
    lasts = (both["empties_at"] - both["paid_at"]) / pd.Timedelta(days=1)
    factor = np.log(lasts / (both["units"] * both["cycle_days"]))
    assert len(factor) > 300
    assert factor.mean() == pytest.approx(-0.005, abs=0.02)
    assert factor.std() == pytest.approx(0.1, abs=0.02)


def test_a_shelf_never_filled_has_no_date_and_the_history_begins_before_the_tables(needs, bought):
    filled = set(zip(bought["customer_id"], bought["category_2"], strict=True))
    never = [key not in filled for key in zip(needs["customer_id"], needs["category_2"], strict=True)]
    assert needs["empties_at"].isna()[never].all()
    assert needs["empties_at"].notna()[~np.array(never)].all()


def test_the_next_purchase_comes_from_the_end_on_and_mostly_when_little_is_left(needs):
    came = needs.dropna(subset=["next_purchase_at"])
    assert len(came) > 300
    assert (came["next_purchase_at"] >= END_AT).all()
    assert (came["next_purchase_at"] < END_AT + timedelta(days=366)).all()
    left = (came["empties_at"] - came["next_purchase_at"]) / pd.Timedelta(days=1)
    assert (left.dropna() < 0.1 * 90.0 + 1).all()  # less than a tenth of the longest cycle
    assert (left < 0.1 * came["category_2"].map({k.name: k.cycle_days for k in KINDS}) + 1e-3).mean() > 0.85
