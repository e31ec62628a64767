"""Warehouse partitions -> kernel -> frame."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from features.catalogue import FEATURES, select, with_operands
from features.errors import InputError
from features.kernel import Computed, compute
from features.streams import partitions, read
from features.vocabulary import Feature
from features.warehouse import Warehouse

__all__ = ["POPULATIONS", "build", "instant", "order_span"]

POPULATIONS = ("active-365d", "all")

Progress = Callable[[int, int], None]


def instant(when: str | date | datetime | pd.Timestamp | np.datetime64) -> pd.Timestamp:
    """Return a cutoff as naive UTC; a date means 00:00 UTC of that day.

    Raises
    ------
    InputError
        It cannot be read as a date or a time.
    """
    message = f"{when!r} is no date: write it as 2011-09-10 or 2011-09-10T06:00:00Z"
    if isinstance(when, str) and not re.match(r"\d{4}-\d{2}-\d{2}", when):
        raise InputError(message)  # 03/04/2011 is not guessed, and the clock ("now") is never a cutoff
    try:
        stamp = pd.Timestamp(when)
    except (ValueError, TypeError) as problem:
        raise InputError(message) from problem
    if pd.isna(stamp):
        raise InputError(message)
    return (stamp if stamp.tz is None else stamp.tz_convert(UTC).tz_localize(None)).as_unit("us")


def build(
    warehouse: Warehouse,
    cutoffs: Sequence[str | date | datetime | pd.Timestamp],
    *,
    population: str = "active-365d",
    columns: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Build the features of a population as they were known at each cutoff.

    Parameters
    ----------
    cutoffs
        Each an instant; a date means 00:00 UTC. Events exactly at a cutoff are the future.
    population
        ``active-365d``: an order in the 365 days before the cutoff; ``all``: every customer with any usable row.
    columns
        Names of the features wanted, in this order; all by default.
    progress
        Called with the number of partitions done and in all.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` (OneID), ``cutoff`` (UTC, naive), then the catalogue's columns; sorted by cutoff and customer.

    Raises
    ------
    InputError
        Unknown population or feature, no cutoff, or a cutoff before the first order of the warehouse.
    """
    if population not in POPULATIONS:
        raise InputError(f"unknown population {population!r}: choose one of {', '.join(POPULATIONS)}")
    wanted = FEATURES if columns is None else select(columns)
    needed = with_operands((*wanted, *select(("orders_365d",))))
    at = _microseconds(cutoffs)
    settings = warehouse.settings()
    with warehouse.connect() as connection:
        _refuse_before_first_order(warehouse, at)
        parts = partitions(connection)
        frames = []
        for part in range(parts):
            rows = read(connection, at, part=part, parts=parts)
            computed = compute(rows, at, needed, timezone=settings.timezone)
            frames.append(_frame(computed, wanted, population))
            if progress is not None:
                progress(part + 1, parts)
    return pd.concat(frames).sort_values(["cutoff", "customer_id"], ignore_index=True)


def _microseconds(cutoffs: Sequence[str | date | datetime | pd.Timestamp]) -> NDArray[np.int64]:
    if not cutoffs:
        raise InputError("no cutoff given: features are as of an instant, pass at least one")
    return np.unique(
        np.array(
            [instant(cutoff).to_datetime64().astype("datetime64[us]").astype(np.int64) for cutoff in cutoffs],
            dtype=np.int64,
        )
    )


def order_span(
    warehouse: Warehouse, known_by: pd.Timestamp | None = None
) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    """Return the times of the first and the last sale to a known customer, or None.

    Parameters
    ----------
    known_by
        As they were known at this instant; None: of any version that was ever known.
    """
    usable = "true"
    if known_by is not None:
        at = f"TIMESTAMP '{known_by}'"
        usable = f"paid_at < {at} AND known_at <= {at} AND (superseded_at IS NULL OR superseded_at > {at})"
    with warehouse.connect() as connection:
        query = f"""SELECT min(paid_at), max(paid_at) FROM order_lines
                    WHERE kind = 'sale' AND customer_id IS NOT NULL AND {usable}"""
        first, last = connection.execute(query).fetchall()[0]
    return None if first is None else (pd.Timestamp(first), pd.Timestamp(last))


def _refuse_before_first_order(warehouse: Warehouse, cutoffs: NDArray[np.int64]) -> None:
    span = order_span(warehouse)
    earliest = pd.Timestamp(int(cutoffs[0]), unit="us")
    if span is None:
        raise InputError(f"{warehouse.path} holds no order of a known customer: ingest order_lines first")
    if earliest <= span[0]:
        raise InputError(
            f"cutoff {earliest} lies before the first order in {warehouse.path} ({span[0]}): nothing is known then, "
            f"choose a later cutoff"
        )


def _frame(computed: Computed, features: Sequence[Feature], population: str) -> pd.DataFrame:
    """Lay K x C columns out as rows (customer, cutoff), the population's only."""
    chosen = computed.known if population == "all" else computed.columns["orders_365d"] > 0
    customer, cutoff = np.nonzero(chosen)
    data: dict[str, object] = {
        "customer_id": pd.array(computed.customers.take(pa.array(customer)), dtype="str"),
        "cutoff": computed.cutoffs[cutoff].astype("datetime64[us]"),
    }
    for feature in features:
        values = computed.columns[feature.name][chosen]
        data[feature.name] = values.astype(np.int64) if feature.is_count else values
    return pd.DataFrame(data)
