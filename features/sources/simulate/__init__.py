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

(``S_k`` is ``scipy.stats.gamma(k).sf``); likewise for 7, 14, 30 and 60 days. It is exact: nothing a customer leaves
behind looks ahead of that state, except the browsing that leads to an order, in the hours before it.

Three things come on top and leave this process as it is. What runs out at home decides what an order contains, not
when there is one (`needs`). Offers made in randomised trials bring extra orders (`campaigns`), which stand in the
tables like any other but are no orders of the process above: e, v and alive count the customer's own. The last such
order lies weeks before ``end``. And an order gone wrong is often delivered late, while being late makes none go wrong.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.sources.simulate.blocks import World, make_blocks, make_world

__all__ = ["SimulatedRetailer", "generate", "simulate", "write"]


@dataclass(frozen=True)
class SimulatedRetailer:
    """Canonical tables with facts before ``end``, and what is true from ``end`` on.

    Attributes
    ----------
    tables
        Canonical table name -> rows, as in ``features.tables``.
    truth
        customer_id, p_order_7d, p_order_14d, p_order_30d, p_order_60d, p_order_90d, next_order_at (null: none within
        365 days), spend_365d (net amount of the sale lines in ``[end, end + 365 d)``); one row for each customer with
        an order in the tables.
    offers
        customer_id, offer_id, p_extra_order_14d (u of ``campaigns``, were the offer made at ``end``) and
        uplift_order_14d = u * (1 - p_order_14d), by which it raises the probability of an order within 14 days; a row
        for each of these customers and each offer.
    categories
        category_1, category_2, cycle_days (days that a unit lasts at home; null: no cycle), seasonal_months (null: none).
    needs
        customer_id, category_1, category_2, cycle_days (days that a unit lasts this customer), empties_at (when what was
        bought before ``end`` runs out; null: never bought), next_purchase_at (null: none within 365 days); a row for
        each shelf of each of these customers.
    """

    tables: Mapping[str, pa.Table]
    truth: pa.Table
    offers: pa.Table
    categories: pa.Table
    needs: pa.Table


def simulate(customers: int, days: int, end: date | np.datetime64, seed: int) -> SimulatedRetailer:
    """Make a retailer up, in memory.

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
    world = make_world(customers, days, end, seed)
    blocks = list(make_blocks(world))
    tables, truth = (_joined([getattr(block, place) for block in blocks]) for place in ("tables", "truth"))
    return SimulatedRetailer(
        {**tables, **world.tables},
        truth["customers"],
        truth["offers"],
        world.truth["categories"],
        truth["needs"],
    )


def write(retailer: SimulatedRetailer, folder: Path | str) -> None:
    """Write ``folder/tables/<table>.parquet`` and ``folder/truth/{customers,offers,categories,needs}.parquet``.

    What stood there under these names is replaced.
    """
    truth = {
        "customers": retailer.truth,
        "offers": retailer.offers,
        "categories": retailer.categories,
        "needs": retailer.needs,
    }
    for file, table in _files(retailer.tables, truth).items():
        path = Path(folder) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)


def generate(
    folder: Path | str,
    customers: int,
    days: int,
    end: date | np.datetime64,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Mapping[str, int]:
    """Write the files of `write` with the rows of `simulate`, block by block, in memory that does not grow.

    Parameters
    ----------
    folder
        What stood there under the files' names is replaced once all of them are complete.
    customers, days, end, seed
        As for `simulate`.
    progress
        Called after each block with the number of customers done and of all.

    Returns
    -------
    Mapping[str, int]
        Rows of each file, such as ``tables/order_lines.parquet``.

    Raises
    ------
    InputError
        As `simulate`.
    """
    world = make_world(customers, days, end, seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        rows = _write_blocks(world, Path(scratch), progress or _in_silence)
        for file in rows:
            path = Path(folder) / file
            path.parent.mkdir(exist_ok=True)
            (Path(scratch) / file).replace(path)
    return rows


def _write_blocks(world: World, folder: Path, progress: Callable[[int, int], None]) -> Mapping[str, int]:
    rows, done = Counter[str](), 0
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for block in make_blocks(world):
            for file, table in _files(block.tables, block.truth).items():
                if file not in writers:
                    writers[file] = stack.enter_context(_writer(folder / file, table.schema))
                writers[file].write_table(table)
                rows[file] += table.num_rows
            done += block.size
            progress(done, world.customers)
    for file, table in _files(world.tables, world.truth).items():
        pq.write_table(table, folder / file)
        rows[file] = table.num_rows
    return rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    path.parent.mkdir(exist_ok=True)
    return pq.ParquetWriter(path, schema)


def _files(tables: Mapping[str, pa.Table], truth: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables by the paths of their files."""
    places = {"tables": tables, "truth": truth}
    return {f"{place}/{name}.parquet": table for place in places for name, table in places[place].items()}


def _joined(parts: Sequence[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    return {name: pa.concat_tables([part[name] for part in parts]).combine_chunks() for name in parts[0]}


def _in_silence(done: int, total: int) -> None:
    """Progress that nobody asked for."""
