"""The rows that made a value: for a notebook, when a number surprises."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from features.catalogue import select, with_operands
from features.cutoffs import Moment, instant, microseconds
from features.errors import InputError
from features.kernel import compute_one
from features.plan import Plan
from features.seasons import base_seasons
from features.streams import CHOICES, read
from features.vocabulary import STREAMS, Feature
from features.warehouse import Warehouse
from features.windows import DAY_US

__all__ = ["Explanation", "explain"]

Rows = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Explanation:
    """A value and what it was made of.

    Attributes
    ----------
    value
        As ``features.build`` gives it; NaN (None of a word) where undefined.
    meaning
        What the feature means, in one sentence.
    rows
        The rows looked at, oldest first: ``feature`` (the one that looks at them: of a ratio its parts), ``stream``,
        ``time`` (UTC), then the streams' columns. What the cutoff alone tells has none.
    """

    feature: str
    customer_id: str
    cutoff: pd.Timestamp
    value: float | str | None
    meaning: str
    rows: pd.DataFrame


def explain(
    warehouse: Warehouse, customer_id: str, cutoff: Moment, name: str, *, own: Sequence[Feature] = ()
) -> Explanation:
    """Return a feature's value for a customer at a cutoff, and the rows it was made of.

    Parameters
    ----------
    customer_id
        OneID.
    name
        Of a feature or fact.
    own
        Features beside the catalogue's, such as a playbook's.

    Raises
    ------
    InputError
        No such feature, or nothing is known of the customer at the cutoff.
    """
    (feature,), at, cutoffs = select([name], own), instant(cutoff), microseconds(cutoff)
    with warehouse.connect() as connection:
        rows = read(connection, cutoffs, customer=str(customer_id), named=True)
        seasons = base_seasons(connection, cutoffs) if feature.measure.operation == "given" else {}
    usable = {stream: _usable(stream, table, int(cutoffs[0])) for stream, table in rows.items()}
    if not any(len(table) for table in usable.values()):
        raise InputError(
            f"nothing is known of customer {customer_id!r} at {at} in {warehouse.path}: check id and cutoff"
        )
    values = compute_one(
        rows, int(cutoffs[0]), Plan.of([feature]), timezone=warehouse.settings().timezone, given=seasons
    )
    made_of = [one for one in with_operands([feature]) if not one.operands and one.measure.stream in _SHOWN]
    found = [_shown(one, usable, int(cutoffs[0])) for one in made_of]
    together = (
        pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["feature", "stream", "time"])
    )
    return Explanation(name, customer_id, at, values[name], feature.description, together)


def _usable(stream: str, table: pa.Table, cutoff: int) -> pd.DataFrame:
    """Return the rows known at the cutoff, words for codes."""
    frame: pd.DataFrame = table.to_pandas()
    frame = frame[(frame["time"] < cutoff) & (frame["usable_from"] <= cutoff) & (cutoff < frame["usable_to"])]
    for column in [
        str(name) for name in frame if str(name).endswith("_at")
    ]:  # what came later is not known yet
        frame[column] = frame[column].where(frame[column] < cutoff)
    if "csat" in frame:
        frame["csat"] = frame["csat"].where(frame["rated_at"].notna())
    for column, words in CHOICES.get(stream, {}).items():
        frame[column] = [words[int(code)] for code in frame[column]]
    return frame.sort_values("time")


def _orders_lines(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the sale lines, each at its order's time."""
    lines = rows["lines"][rows["lines"]["kind"] == "sale"]
    return lines.assign(time=lines.groupby("order_id")["time"].transform("min")).sort_values("time")


def _rated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(rated_kind=frame["kind"].where(frame["rating"].notna()))


# stream -> its rows among those that were read
_SHOWN: Mapping[str, Callable[[Mapping[str, pd.DataFrame]], pd.DataFrame]] = {
    "orders": _orders_lines,
    "lines": _orders_lines,
    "returns": lambda rows: rows["lines"][rows["lines"]["kind"] == "return"],
    "events": lambda rows: rows["events"],
    "tickets": lambda rows: rows["tickets"],
    "ratings": lambda rows: _ratings(rows["tickets"]),
    "contacts": lambda rows: rows["contacts"][
        (rows["contacts"]["purpose"] == "marketing") & (rows["contacts"]["status"] == "delivered")
    ],
    "deliveries": lambda rows: _deliveries(rows),
    "feedback": lambda rows: _rated(rows["feedback"]),
}


def _deliveries(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the deliveries of known orders, each at its order's time."""
    ordered = _orders_lines(rows).drop_duplicates("order_id").set_index("order_id")["time"]
    found = rows["deliveries"][rows["deliveries"]["order_id"].isin(ordered.index)].drop_duplicates("id")
    return found.assign(time=found["order_id"].map(ordered)).sort_values("time")


def _ratings(tickets: pd.DataFrame) -> pd.DataFrame:
    """Return the rated tickets, each at the time of its rating."""
    rated = tickets[tickets["rated_at"].notna() & tickets["csat"].notna()]
    return rated.assign(time=rated[["rated_at", "time"]].max(axis=1)).sort_values("time")


def _shown(feature: Feature, rows: Mapping[str, pd.DataFrame], cutoff: int) -> pd.DataFrame:
    """Return the rows that a feature looks at: in its window, and those its filter selects."""
    measure, found = feature.measure, _SHOWN[feature.measure.stream](rows)
    found = found[found["time"] < cutoff]
    if feature.window_days and measure.operation != "renewal_share":
        found = found[found["time"] >= cutoff - feature.window_days * DAY_US]
    for column, values in measure.where:
        found = found[found[column].isin(values)]
    shown = found.drop(columns=["entity", "usable_from", "usable_to"])
    shown.insert(0, "feature", feature.name)
    shown.insert(1, "stream", measure.stream)
    for name, scale in {**STREAMS["lines"].numbers, **STREAMS[measure.stream].numbers}.items():
        if name in shown and scale != 1.0:
            shown[name] = shown[name] / scale
    times = [str(name) for name in shown if name == "time" or str(name).endswith("_at")]
    return shown.assign(
        **{name: pd.to_datetime(shown[name], unit="us").astype("datetime64[us]") for name in times}
    )
