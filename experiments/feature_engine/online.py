"""One customer online: how long all features of one customer take, from rows in memory and from a packed history."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from features import Warehouse, compute_one, instant
from features.packed import pack, unpack
from features.streams import Rows, read

__all__ = ["Online", "measure_online"]

CUTOFF = "2025-01-01"
"""After all that the made-up customer ever did."""
WARM_UP_CALLS = 20


@dataclass(frozen=True)
class Online:
    """Times of one call, milliseconds, and whom it was about."""

    source: str
    features: int
    orders: int
    events: int
    calls: int
    p50_ms: float
    p99_ms: float


def measure_online(path: str, calls: int) -> list[Online]:
    """Compute the whole catalogue for the one customer of a warehouse, again and again."""
    cutoff = int(instant(CUTOFF).value) // 1_000
    with Warehouse(path).connect() as connection:
        rows = read(connection, np.array([cutoff]), named=True)
    histories = list(pack(rows))
    sources: dict[str, Callable[[], Rows]] = {
        "rows in memory": lambda: rows,
        "packed history, unpacked each time": lambda: unpack(histories),
    }
    return [_measured(name, source, cutoff, calls) for name, source in sources.items()]


def _measured(name: str, source: Callable[[], Rows], cutoff: int, calls: int) -> Online:
    values = compute_one(source(), cutoff)
    took = []
    for _ in range(WARM_UP_CALLS + calls):
        started = time.perf_counter()
        compute_one(source(), cutoff)
        took.append(1_000 * (time.perf_counter() - started))
    p50, p99 = np.quantile(took[WARM_UP_CALLS:], (0.5, 0.99))
    orders, events = int(values["orders_all"] or 0), source()["events"].num_rows
    return Online(name, len(values), orders, events, calls, float(p50), float(p99))
