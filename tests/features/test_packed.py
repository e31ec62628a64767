"""Packed histories: what comes out is what went in, and the kernel makes the same of it to the last bit."""

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue import FACTS, FEATURES
from features.ingest import ingest_tables
from features.kernel import compute, compute_one
from features.packed import LAYOUT, SCHEMAS, empty, pack, unpack
from features.plan import Plan
from features.sources.simulate import simulate, write
from features.streams import read
from features.warehouse import Warehouse
from tests.features.worlds import (
    at,
    contact,
    customer,
    event,
    line,
    memory,
    microseconds,
    put,
    tables_of,
    ticket,
)

CUTOFF = microseconds([at("2024-06-01")])
WANTED = Plan.of((*FEATURES, *FACTS))


def rows_of(*rows):
    with memory() as connection:
        put(connection, tables_of(rows))
        return read(connection, CUTOFF, named=True)


def as_sets(rows):
    """Stream -> rows in an order of their own, since streams have none."""
    return {
        name: sorted(map(repr, table.select(SCHEMAS[name].names).cast(SCHEMAS[name]).to_pylist()))
        for name, table in rows.items()
    }


SOME = [
    line("ann", "2024-01-01", "9.99", product_id="顾", discount_amount=1),
    line("ann", "2024-02-01", kind="return"),
    event("ann", "2024-03-01", duration_s=3.5, session_id="s", product_id="顾"),
    ("feedback", {"customer_id": "ann", "at": at("2024-03-01"), "kind": "review", "rating": 4.5}),
    ticket("bob", "2024-03-01", kind="complaint"),
    contact("bob", "2024-03-01", opened_at=at("2024-03-02")),
    customer("cat"),
    customer("'; DROP TABLE"),
    event("e" * 200, "2024-05-31"),
]


def test_what_goes_in_comes_out():
    rows = rows_of(*SOME)
    packed = list(pack(rows))
    assert [name for name, _ in packed] == sorted(["ann", "bob", "cat", "'; DROP TABLE", "e" * 200])
    assert as_sets(unpack(packed)) == as_sets(rows)
    assert as_sets(unpack(packed[::-1])) == as_sets(rows)


def test_one_customer_alone():
    rows = rows_of(*SOME)
    bob = unpack([one for one in pack(rows) if one[0] == "bob"])
    assert {name: table.num_rows for name, table in bob.items()} == {
        "lines": 0, "events": 0, "tickets": 1, "contacts": 1, "deliveries": 0, "feedback": 0, "presence": 0,
    }  # fmt: skip
    assert bob["tickets"]["closed_at"].to_pylist() == [None]


def test_nobody():
    assert as_sets(unpack([])) == as_sets(empty()) == {name: [] for name in SCHEMAS}
    assert list(pack(empty())) == []
    assert all(table.schema == SCHEMAS[name] for name, table in unpack([]).items())


def test_small_and_none_the_larger_for_the_neighbours():
    many = [event(f"c{n:03d}", "2024-01-01", event_id=f"e{n}") for n in range(300)]
    alone = dict(pack(rows_of(many[7])))["c007"]
    among = dict(pack(rows_of(*many)))["c007"]
    assert len(among) <= len(alone) + 64 < 2_000


def test_damaged_bytes_are_an_error_and_no_rows():
    ((name, packed),) = pack(rows_of(SOME[0]))
    for broken in (packed[:20], b"\xff\xff\xff\x7f" + packed[4:], b""):
        with pytest.raises((pa.ArrowException, OSError, ValueError, EOFError)):
            unpack([(name, broken)])


def test_the_layout_is_named():
    assert len(LAYOUT) == 12


@pytest.fixture(scope="module")
def retailer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retailer")
    write(simulate(300, 400, np.datetime64("2024-06-01"), 5), folder)
    warehouse = Warehouse(folder / "w.duckdb")
    ingest_tables(warehouse, folder / "tables")
    with warehouse.connect() as connection:
        return read(connection, CUTOFF, named=True)


def test_the_kernel_makes_the_same_of_it_to_the_last_bit(retailer):
    straight = compute(retailer, CUTOFF, WANTED)
    packed = list(pack(retailer))
    through = compute(unpack(packed), CUTOFF, WANTED)
    assert through.customers.equals(straight.customers)
    for name, values in (*straight.columns.items(), *straight.texts.items()):
        np.testing.assert_array_equal((through.columns | through.texts)[name], values, err_msg=name)


def test_and_of_one_at_a_time(retailer):
    straight = compute(retailer, CUTOFF, WANTED)
    for place, (name, packed) in list(enumerate(pack(retailer)))[::10]:
        one = compute(unpack([(name, packed)]), CUTOFF, WANTED)
        assert one.customers.to_pylist() == [name]
        alone = compute_one(unpack([(name, packed)]), int(CUTOFF[0]), WANTED)
        for feature, values in (*one.columns.items(), *one.texts.items()):
            expected = (straight.columns | straight.texts)[feature][place]
            np.testing.assert_array_equal(values[0], expected, err_msg=f"{name} {feature}")
            np.testing.assert_array_equal(np.array([alone[feature]]), expected, err_msg=f"{name} {feature}")
