"""Who was given which arm of which randomised experiment, what was known of them then, and whether they ordered.

A row is a customer in an experiment. Features are those of the day's start (00:00 UTC) before the exposure; the label looks at
the days after it. The control is the arm that the data call ``control`` or ``none``, in any case of letters; an experiment
without one says nothing of uplift. Who is left out is counted, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import build, order_span
from features.contract import current_contract
from features.errors import InputError, TooLittleHistory
from features.sql import link, one_id, usable_at
from features.warehouse import Warehouse
from training.components import matrix
from training.response.arm_log import Log, make_log
from training.targets import RESPONSE_14D, Responses, Target, responses

__all__ = ["CONTROL", "CONTROL_NAMES", "ResponsePanel", "build_response_panel", "control_of", "offered_arms"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CONTROL_NAMES = ("control", "none")
"""What an arm that offers nothing may be called, in any case of letters."""

CONTROL = "control"
"""What it is called in models."""

_BATCH = 8  # cutoffs of whose whole base features are held at a time


@dataclass(frozen=True, eq=False)
class ResponsePanel:
    """Exposures whose outcome is known, n rows; the log's first arm is the control.

    Attributes
    ----------
    frame
        ``customer_id`` (OneID as known at the cutoff), ``experiment_id``, ``arm``, ``propensity``, ``at``, ``cutoff``.
    x
        Features, n x features, in the contract's order.
    log
        Arms, propensities, and as reward 1 for an order within the horizon, 0 for none.
    responses
        Orders and spend.
    left_out
        Reason -> exposures that could not be used.
    """

    frame: pd.DataFrame
    x: Floats
    log: Log
    responses: Responses
    target: Target
    as_of: pd.Timestamp
    left_out: Mapping[str, int]


def control_of(arms: Sequence[str]) -> str | None:
    """Return which of an experiment's arms is its control, None without one.

    Raises
    ------
    InputError
        More than one of them is called so.

    Examples
    --------
    >>> control_of(["coupon", "Control"])
    'Control'
    >>> control_of(["coupon", "reminder"]) is None
    True
    """
    found = sorted({arm for arm in arms if arm.strip().casefold() in CONTROL_NAMES})
    if len(found) > 1:
        raise InputError(
            f"an experiment has one control, got {found}: call the other arms by what they offer."
        )
    return found[0] if found else None


def offered_arms(
    experiment: Sequence[str] | pd.Series, arm: Sequence[str] | pd.Series, arms: tuple[str, ...]
) -> Bools:
    """Return which arms each row's experiment has, shape (n, arms): those that it gave to anybody."""
    pairs = pd.DataFrame({"experiment": np.asarray(experiment), "arm": np.asarray(arm)})
    seen = pd.crosstab(pairs["experiment"], pairs["arm"]).reindex(columns=list(arms), fill_value=0) > 0
    return np.asarray(seen.loc[pairs["experiment"]].to_numpy(dtype=bool))


def build_response_panel(
    warehouse: Warehouse, as_of: pd.Timestamp, target: Target = RESPONSE_14D
) -> ResponsePanel:
    """Build the rows that a training as of this instant may use: their horizon ends at it minus the largest declared lag.

    Raises
    ------
    TooLittleHistory
        No exposure can be used; with the number of those left out, by reason.
    InputError
        No experiment has a control, or logged propensities contradict the arms that were given.
    """
    read = _read(warehouse, as_of)
    kept, left_out = _usable(warehouse, read, as_of, target)
    kept, x = _with_features(warehouse, kept, left_out)
    if kept.empty:
        raise TooLittleHistory(
            f"response as of {as_of} needs exposures to arms of a randomised experiment, {target.horizon_days} days old or older: "
            f"{len(read)} are known ({_listed(left_out)}). Load the table exposures, or choose a later --as-of"
        )
    answers = responses(warehouse, kept, target.horizon_days, known_by=as_of)
    arms = (CONTROL, *sorted(set(kept["arm"]) - {CONTROL}))
    log = make_log(
        kept["arm"].to_numpy(dtype=object),
        kept["propensity"].to_numpy(),
        answers.orders > 0,
        arms=arms,
        offered=offered_arms(kept["experiment_id"], kept["arm"], arms),
        customer=kept["customer_id"].to_numpy(dtype=object),
    )
    return ResponsePanel(kept, x, log, answers, target, as_of, left_out)


def _read(warehouse: Warehouse, as_of: pd.Timestamp) -> pd.DataFrame:
    """Exposures before the as-of, as they were known at it; customers by their OneID at the start of the day."""
    with warehouse.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"""
            SELECT {one_id("e")} AS customer_id,
                   CASE WHEN e.source = 'main' THEN e.experiment_id ELSE e.source || ':' || e.experiment_id END
                       AS experiment_id,
                   e.arm, e.propensity, e."at", e.cutoff
            FROM (SELECT *, date_trunc('day', "at") AS cutoff FROM exposures
                  WHERE "at" < TIMESTAMP '{as_of}' AND {usable_at(as_of)}) e
            {link("e", "e.cutoff")}
            ORDER BY e."at", customer_id, experiment_id, e.arm
        """).df()
    return frame.astype({"at": "datetime64[us]", "cutoff": "datetime64[us]", "arm": object})


def _usable(
    warehouse: Warehouse, read: pd.DataFrame, as_of: pd.Timestamp, target: Target
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows that can be learnt from, the control under its one name, and counts of the others by reason."""
    controls = {str(name): control_of(list(arms)) for name, arms in read.groupby("experiment_id")["arm"]}
    if len(read) and not any(controls.values()):
        raise InputError(
            f"none of the experiments {sorted(controls)} has a control: an arm called {' or '.join(CONTROL_NAMES)}. Uplift is a "
            f"difference from it; log those who were given nothing, too"
        )
    span = order_span(warehouse, known_by=as_of)
    control = read["experiment_id"].map(controls).astype(object)
    horizon = pd.Timedelta(days=target.horizon_days) + warehouse.largest_lag()
    reasons = {
        "the horizon is not over": read["at"] + horizon > as_of,
        "the experiment has no control": control.isna(),
        "the customer is in the experiment more than once": read.duplicated(
            ["customer_id", "experiment_id"], keep=False
        ),
        "before the first order of all": (read["cutoff"] <= span[0]) if span else pd.Series(True, read.index),
    }
    kept, left_out = pd.Series(True, read.index), {}
    for reason, applies in reasons.items():
        left_out[reason] = int((kept & applies).sum())
        kept &= ~applies
    named = read.assign(arm=read["arm"].where(read["arm"] != control, CONTROL))
    return named[kept].reset_index(drop=True), left_out


def _with_features(
    warehouse: Warehouse, rows: pd.DataFrame, left_out: dict[str, int]
) -> tuple[pd.DataFrame, Floats]:
    """Lay features beside the exposures; who had no usable row at the day's start is left out and counted."""
    names = current_contract().names
    cutoffs = [pd.Timestamp(at) for at in np.unique(rows["cutoff"].to_numpy())]
    kept, parts = [], []
    for first in range(0, len(cutoffs), _BATCH):
        some = cutoffs[first : first + _BATCH]
        known = build(warehouse, some, population="all")
        here = rows[rows["cutoff"].isin(some)]
        keys = pd.MultiIndex.from_frame(here[["customer_id", "cutoff"]].astype({"customer_id": "str"}))
        place = pd.MultiIndex.from_frame(known[["customer_id", "cutoff"]]).get_indexer(keys)
        kept.append(here[place >= 0])
        parts.append(matrix(known.iloc[place[place >= 0]], names))
    if not kept:
        return rows, np.empty((0, len(names)))
    together = pd.concat(kept, ignore_index=True)
    left_out["nothing was known of the customer"] = len(rows) - len(together)
    return together, np.concatenate(parts)


def _listed(left_out: Mapping[str, int]) -> str:
    return (
        "; ".join(f"{reason}: {count}" for reason, count in left_out.items() if count) or "none was left out"
    )
