"""A made-up retailer of any size: order lines and events drawn as whole columns, from a seed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import Arrival, Warehouse

__all__ = ["CUTOFFS", "load", "tables"]

DAY_US = 86_400_000_000
CUTOFFS = tuple(f"2024-{month:02d}-01" for month in range(1, 13))
BEGIN = np.datetime64("2022-01-01", "us").astype(np.int64)
END = np.datetime64("2025-01-01", "us").astype(np.int64)
ROWS_A_CUSTOMER = 30
LINES_AN_ORDER = 2.5
PRODUCTS = 5_000

Ints = NDArray[np.int64]


def load(path: str, rows: int, seed: int) -> None:
    """Make a warehouse of ``rows`` rows, three fifths order lines and two fifths events, by the ordinary road."""
    label = f"made-up retailer, {rows} rows, seed {seed}"
    arrival = Arrival(label=label, digest=label, received_at=datetime.now(UTC).replace(tzinfo=None))
    Warehouse(Path(path)).load(tables(rows, seed), arrival, currency="EUR")


def tables(rows: int, seed: int) -> dict[str, pa.Table]:
    """Return the canonical tables ``order_lines`` and ``events``."""
    rng = np.random.default_rng(seed)
    customers = max(1, rows // ROWS_A_CUSTOMER)
    # few buy much and many buy little; each has a span of life of its own
    weight = np.cumsum(rng.gamma(1.5, size=customers))
    first = rng.integers(BEGIN, END - 60 * DAY_US, customers)
    last = np.minimum(END, first + rng.exponential(600 * DAY_US, customers).astype(np.int64) + DAY_US)
    life = (weight / weight[-1], first, last)
    return {"order_lines": _lines(rows * 3 // 5, life, rng), "events": _events(rows * 2 // 5, life, rng)}


def _lines(size: int, life: tuple[NDArray[np.float64], Ints, Ints], rng: np.random.Generator) -> pa.Table:
    orders = max(1, round(size / LINES_AN_ORDER))
    buyer, paid_at = _who_and_when(orders, life, rng)
    order = np.sort(np.append(np.arange(orders), rng.integers(0, orders, size - orders)))
    returned = rng.random(size) < 0.05
    quantity = rng.integers(1, 5, size)
    gross = quantity * rng.integers(199, 9_999, size)
    discount = np.where(rng.random(size) < 0.3, gross // 5, 0)
    time = paid_at[order] + np.where(returned, rng.integers(0, 30 * DAY_US, size), 0)
    shuffled = rng.permutation(size)  # a delivery is in no order
    return pa.table(
        {
            "order_id": _ids("o", order, orders),
            "line_id": _ids("l", np.arange(size), size),
            "customer_id": _ids("c", buyer[order], len(life[0])),
            "kind": _choice(("sale", "return"), returned.astype(np.int64)),
            "paid_at": pa.array(time, pa.timestamp("us")),
            "product_id": _ids("p", (PRODUCTS * rng.random(size) ** 2).astype(np.int64), PRODUCTS),
            "quantity": quantity,
            "gross_amount": gross / 100,
            "discount_amount": discount / 100,
            "net_amount": (gross - discount) / 100,
            "currency": _choice(("EUR",), np.zeros(size, dtype=np.int64)),
            "channel": _choice(("store", "web", "app"), rng.integers(0, 3, orders)[order]),
        }
    ).take(shuffled)


def _events(size: int, life: tuple[NDArray[np.float64], Ints, Ints], rng: np.random.Generator) -> pa.Table:
    who, at = _who_and_when(size, life, rng)
    kind = np.searchsorted(np.array([0.6, 0.8]), rng.random(size))
    return pa.table(
        {
            "event_id": _ids("e", np.arange(size), size),
            "customer_id": _ids("c", who, len(life[0])),
            "at": pa.array(at, pa.timestamp("us")),
            "kind": _choice(("view", "cart_add", "search"), kind),
            "channel": _choice(("web", "app"), rng.integers(0, 2, size)),
        }
    )


def _who_and_when(
    size: int, life: tuple[NDArray[np.float64], Ints, Ints], rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Draw customers and times; one time in fifty lies on the edge of a window, or a microsecond beside it."""
    weight, first, last = life
    who = np.searchsorted(weight, rng.random(size), side="right").astype(np.int64)
    time = first[who] + (rng.random(size) * (last - first)[who]).astype(np.int64)
    cutoff = np.array(CUTOFFS, dtype="datetime64[us]").astype(np.int64)[rng.integers(0, len(CUTOFFS), size)]
    edge = cutoff - np.array([0, 30, 90, 365])[rng.integers(0, 4, size)] * DAY_US + rng.integers(-1, 2, size)
    return who, np.where(rng.random(size) < 0.02, edge, time)


def _ids(letter: str, number: Ints, count: int) -> pa.Array:
    names = np.char.add(letter, np.char.zfill(np.arange(count).astype(str), 8))
    return _choice(names, number)


def _choice(values: Sequence[str] | NDArray[np.str_], index: Ints) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(index))
