"""Cutoffs as people write them: dates and times, and what they are to the kernel."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import InputError

__all__ = ["Moment", "instant", "microseconds"]

Moment = str | date | datetime | pd.Timestamp | np.datetime64
"""A cutoff; a date means 00:00 UTC of that day."""


def instant(when: Moment) -> pd.Timestamp:
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


def microseconds(cutoffs: Sequence[Moment] | Moment) -> NDArray[np.int64]:
    """Return cutoffs, one or several, as microseconds since 1970, UTC, ascending and distinct.

    Raises
    ------
    InputError
        There is none, or one cannot be read.
    """
    several = [cutoffs] if isinstance(cutoffs, str | date | np.datetime64) else list(cutoffs)
    if not several:
        raise InputError("no cutoff given: features are as of an instant, pass at least one")
    found = [instant(one).to_datetime64().astype("datetime64[us]").astype(np.int64) for one in several]
    return np.unique(np.array(found, dtype=np.int64))
