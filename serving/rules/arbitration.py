"""The decision: which offer, on which channel, not before when, or nobody contacted. Polars, all customers at once.

Consent, eligibility, quiet period, frequency caps and channel capacity leave candidates; the one worth most comes first
and takes the first channel that is open to it; no candidate, no contact. Last comes the holdout: who is in it is not
sent what marketing would have sent, and gets the best service offer there is, if any.
"""

from collections.abc import Collection

import pandas as pd
import polars as pl

from serving.rules.evaluate import table_of, with_definitions
from serving.rules.explanation import explained
from serving.rules.holdout import withheld
from serving.rules.parts import Holdout
from serving.rules.plan import Plan, plan
from serving.rules.playbook import Playbook
from serving.rules.quiet_hours import with_send_after

__all__ = ["decide", "planned_for", "with_verdicts"]


def decide(
    playbook: Playbook, frame: pd.DataFrame, *, channels: Collection[str] | None = None
) -> pd.DataFrame:
    """Decide what to put before each customer, if anything.

    Parameters
    ----------
    frame
        One row a customer at one as-of, n rows, with the columns of ``playbook.inputs``; others are passed over.
    channels
        The only channels to consider; None: all.

    Returns
    -------
    pandas.DataFrame
        n rows, index as in the frame: ``action`` ("offer" or "none"), ``offer_id``, ``channel``, ``send_after`` (UTC;
        the as-of itself outside quiet hours), ``worth`` (currency; of the offer, else of what was withheld),
        ``withheld_offer_id``, ``why`` and ``why_zh`` (lists of sentences, never empty).

    Raises
    ------
    InputError
        A column is missing or of another type, a time zone or a channel is not known.
    """
    planned = planned_for(playbook, channels)
    table = with_verdicts(playbook, planned, frame)
    for step in planned.steps:
        table = table.with_columns(step)
    table = _held_out(playbook.policy.holdout, planned, table)
    table = with_send_after(playbook.policy.quiet_hours, table)
    found, said = table.select(planned.result).to_pandas(), explained(playbook.policy, planned, table)
    found["why"] = pd.Series(said["en"], dtype=object)
    found["why_zh"] = pd.Series(said["zh"], dtype=object)
    return found.set_index(frame.index)


def planned_for(playbook: Playbook, channels: Collection[str] | None) -> Plan:
    """Return the plan for a playbook and the only channels to consider (None: all)."""
    return plan(playbook, None if channels is None else frozenset(channels))


def with_verdicts(playbook: Playbook, planned: Plan, frame: pd.DataFrame) -> pl.DataFrame:
    """Return the customers' columns, those that the playbook defines, and what each rule says."""
    table = with_definitions(table_of(frame, playbook.inputs), playbook.definitions)
    return table.with_columns(planned.verdicts)


def _held_out(holdout: Holdout, planned: Plan, table: pl.DataFrame) -> pl.DataFrame:
    """Add ``pick``, the offer that is made, and ``held``, the one that is not because of the holdout."""
    marketed = (table["best"] >= planned.services).fill_null(value=False).arg_true()
    drawn = pl.Series(withheld(holdout, table["customer_id"].gather(marketed)), dtype=pl.Boolean)
    held = pl.repeat(0, table.height, dtype=pl.Int8, eager=True).scatter(marketed.filter(drawn), 1) == 1
    return table.with_columns(
        pl.when(held).then("best_service").otherwise("best").alias("pick"),
        pl.when(held).then("best").alias("held"),
    )
