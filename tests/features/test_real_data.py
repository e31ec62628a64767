"""Online Retail II: the features of real customers, against the oracle and against the future."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features.build import build
from features.load import Arrival
from features.sources.online_retail import read as read_online_retail
from features.warehouse import Warehouse
from tests.features.oracle import World, features_of
from tests.features.worlds import (
    at,
    contact,
    differing,
    event,
    line,
    tables_of,
    ticket,
    versions_in,
    warehouse_of,
)

pytestmark = pytest.mark.slow  # a million rows are loaded

CUTOFFS = [at(day) for day in ("2010-12-09", "2011-06-12", "2011-09-10")]
SAMPLE = 500
FILE = Path("online_retail_ii") / "online_retail_II.parquet"


@pytest.fixture(scope="module")
def loaded(data_dir, tmp_path_factory):
    """A warehouse with the invoices of both years."""
    warehouse = Warehouse(tmp_path_factory.mktemp("real") / "online_retail.duckdb")
    delivery = read_online_retail(data_dir / FILE)
    arrival = Arrival("online retail", "both years", datetime(2012, 1, 1))
    warehouse.load(delivery.tables, arrival, quarantined=delivery.quarantined)
    return warehouse


@pytest.fixture(scope="module")
def built(loaded):
    return build(loaded, CUTOFFS, population="all")


@pytest.fixture(scope="module")
def sampled(built):
    """Customers with an order before the last cutoff, a fixed sample."""
    known = built.loc[built["orders_all"] > 0, "customer_id"].unique()
    return set(np.random.default_rng(7).choice(np.sort(known), SAMPLE, replace=False))


@pytest.fixture(scope="module")
def tables(loaded, sampled):
    """All row versions of the sampled customers, and all products."""
    listed = ", ".join(f"'{one_id}'" for one_id in sorted(sampled))
    own = {
        name: versions_in(loaded, name, f"customer_id IN ({listed})") for name in ("order_lines", "customers")
    }
    return own | {"products": versions_in(loaded, "products")}


def rows_of(frame):
    values = frame.astype(object).where(frame.notna(), None)
    return {(row["customer_id"], at(row["cutoff"].to_pydatetime())): row for row in values.to_dict("records")}


def test_the_features_are_those_of_the_oracle(built, sampled, tables):
    world, checked = World(tables), 0
    for (one_id, cutoff), row in rows_of(built[built["customer_id"].isin(sampled)]).items():
        assert differing(row, features_of(world, one_id, cutoff)) == {}, (one_id, cutoff)
        checked += 1
    assert checked > 2 * SAMPLE


def test_what_happens_after_the_cutoff_changes_nothing(built, sampled, tables, tmp_path):
    cutoff = CUTOFFS[-1]
    before = built[(built["cutoff"] == cutoff.replace(tzinfo=None)) & built["customer_id"].isin(sampled)]
    later = [
        (make(one_id, cutoff + timedelta(days=number % 3)))
        for number, one_id in enumerate(sorted(sampled))
        for make in (line, event, ticket, contact)
    ]
    poison = tables_of(later)
    poisoned = tables | poison | {"order_lines": tables["order_lines"] + poison["order_lines"]}
    for row in poisoned["order_lines"]:
        row["currency"] = "EUR"
    after = build(warehouse_of(tmp_path / "poisoned.duckdb", poisoned), [cutoff], population="all")
    # what the whole base bought is another thing of the sample
    of_the_base = [name for name in after.columns if name.startswith("base_season")]
    assert after.drop(columns=of_the_base).equals(before.drop(columns=of_the_base).reset_index(drop=True))
