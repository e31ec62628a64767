"""A made-up retailer whose truth is known: for the demo, for tests, and to see whether a model recovers what is there.

The world runs on an operational clock: ``operational(t)`` is the integral of a seasonal intensity with mean 1 (more in
November and December, less in July and August, little at night), so that a constant rate on that clock is a
seasonal one on the calendar. Both clocks read 0 at ``end`` and count in days.

A customer i joins, orders for the first time, and after each order leaves for good with probability ``p_i`` (Beta).
Otherwise the next order follows after an Erlang gap of ``k_i`` stages (1-4) with mean ``1 / (r_i v)`` operational
days: ``r_i`` is a Gamma rate, ``v = COMPLAINT_SPEED ** c`` and ``c`` the number of the customer's orders so far that
went wrong. Such an order slows the customer's clock from then on; its complaint follows about a day later. This is
MBG/NBD (Batislam, Denizel and Filiztekin 2007) with regular gaps (MBG/CNBD-k, Reutterer, Platzer and Schroeder 2021).

With ``e`` operational days since the last order at ``end`` and ``d = operational(90)``, the truth is

    p_order_90d = alive * (1 - S_k(k r v (e + d)) / S_k(k r v e)),    S_k(x) = exp(-x) * sum_{j < k} x^j / j!

(``S_k`` is ``scipy.stats.gamma(k).sf``). It is exact: nothing a customer leaves behind looks ahead of that state,
except the browsing that leads to an order, in the hours before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InputError
from features.sources.simulate.columns import numbered
from features.sources.simulate.shop import draw_lines, draw_products, draw_sales, order_lines, places
from features.sources.simulate.traces import (
    draw_browsing,
    draw_consents,
    draw_contacts,
    draw_profiles,
    draw_sessions,
    draw_tickets,
    events,
)
from features.sources.simulate.truth import what_is_true
from features.sources.simulate.world import draw_orders, draw_people, make_clock

__all__ = ["SimulatedRetailer", "simulate", "write"]


@dataclass(frozen=True)
class SimulatedRetailer:
    """Canonical tables with facts before ``end``, and what is true of each customer from ``end`` on.

    Attributes
    ----------
    tables
        Canonical table name -> rows, as in ``features.tables``.
    truth
        customer_id, p_order_90d, next_order_at (null: none within 365 days), spend_365d (net amount of the sale lines
        in ``[end, end + 365 d)``); one row for each customer with an order in the tables.
    """

    tables: Mapping[str, pa.Table]
    truth: pa.Table


def simulate(customers: int, days: int, end: date | np.datetime64, seed: int) -> SimulatedRetailer:
    """Make a retailer up.

    Parameters
    ----------
    customers
        Number of customers registered before ``end``; some have not ordered yet, a few never will.
    days
        Length of the history: orders, events and messages lie in ``[end - days, end)``. Customers may have registered
        up to a year earlier.
    end
        00:00 UTC of this day is the first instant that the tables do not know.
    seed
        Same arguments, same tables, byte for byte.

    Raises
    ------
    InputError
        ``customers`` or ``days`` is below 1, or ``end`` is not a whole day.

    Notes
    -----
    The formula of ``p_order_90d`` stands at the head of this package.
    """
    rng = np.random.default_rng(seed)
    clock = make_clock(days, _midnight(customers, days, end))
    people = draw_people(rng, clock, customers)
    orders = draw_orders(rng, clock, people)
    catalogue, products = draw_products(rng)
    sales = draw_sales(rng, clock, people, orders)
    lines = draw_lines(rng, people, sales, catalogue)
    browsing = (draw_browsing(rng, clock, people, orders), draw_sessions(rng, sales, lines))
    ids = numbered("c", np.arange(customers), 6)
    subscribed_until, consents = draw_consents(rng, clock, people, ids)
    tables = {
        "customers": draw_profiles(rng, clock, people, ids),
        "order_lines": order_lines(clock, sales, lines, ids),
        "events": events(clock, people, browsing, ids),
        "tickets": draw_tickets(rng, clock, sales, ids),
        "contacts": draw_contacts(rng, clock, people, orders, subscribed_until, ids),
        "consents": consents,
        "products": products,
        **places(),
    }
    return SimulatedRetailer(tables, what_is_true(clock, people, orders, sales, lines, ids))


def write(retailer: SimulatedRetailer, folder: Path | str) -> None:
    """Write ``folder/tables/<table>.parquet`` and ``folder/truth/customers.parquet``, over what stood there."""
    for place, files in (("tables", retailer.tables), ("truth", {"customers": retailer.truth})):
        below = Path(folder) / place
        below.mkdir(parents=True, exist_ok=True)
        for name, table in files.items():
            pq.write_table(table, below / f"{name}.parquet")


def _midnight(customers: int, days: int, end: date | np.datetime64) -> np.datetime64:
    """``end`` in microseconds, once all three are found fit."""
    if customers < 1 or days < 1:
        raise InputError(f"simulate needs at least 1 customer and 1 day, got {customers} and {days}")
    midnight: np.datetime64 = np.datetime64(end).astype("M8[us]")
    if not midnight == midnight.astype("M8[D]"):
        raise InputError(f"simulate ends at 00:00 UTC of a day, got end={end}: pass a date")
    return midnight
