"""When a message may leave: not in the quiet hours on the customer's clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from features.errors import InputError
from serving.rules.parts import QuietHours

__all__ = ["send_after", "with_send_after"]


def send_after(hours: QuietHours, as_of: datetime, zone: str | None) -> datetime:
    """Return ``as_of`` itself outside the quiet hours, else the instant at which they end.

    Parameters
    ----------
    as_of
        UTC without a zone.
    zone
        IANA name of the customer's time zone; None: UTC.

    Returns
    -------
    datetime
        UTC without a zone. An end that the clock jumps over counts an hour later, one that it shows twice the first
        time that is not past.

    Raises
    ------
    InputError
        No time zone has that name.
    """
    try:
        clock = ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"{zone!r} is no time zone ({error}): correct the customer's or the store's"
        ) from None
    now = as_of.replace(tzinfo=UTC)
    local = now.astimezone(clock)
    if not _is_quiet(hours, local):
        return as_of
    day = local.date() + timedelta(days=int(local.time() >= hours.end))
    ends = [datetime.combine(day, hours.end, clock).replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    return min(end for end in ends if end > now).replace(tzinfo=None)


def with_send_after(hours: QuietHours, table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with ``send_after``; each pair of as-of and zone is worked out once."""
    pairs = table.select("as_of", "timezone").unique(maintain_order=True)
    found = [None if as_of is None else send_after(hours, as_of, zone) for as_of, zone in pairs.iter_rows()]
    times = pairs.with_columns(pl.Series("send_after", found, dtype=pl.Datetime("us")))
    if times.height == 1:
        return table.with_columns(pl.lit(found[0], dtype=pl.Datetime("us")).alias("send_after"))
    return table.join(times, on=["as_of", "timezone"], how="left", nulls_equal=True, maintain_order="left")


def _is_quiet(hours: QuietHours, local: datetime) -> bool:
    now = local.time()
    if hours.start <= hours.end:
        return hours.start <= now < hours.end
    return now >= hours.start or now < hours.end
