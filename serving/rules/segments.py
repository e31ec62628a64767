"""Segments from features alone, where no contacts, consents or scores are at hand: the weekly list's classes.

"churned" is a class inside its scheme only, never the model's target. Whoever never ordered is in no class of buyers.
"""

import pandas as pd

from features.catalogue import FACTS
from serving.rules.columns import COLUMNS
from serving.rules.evaluate import table_of, with_definitions
from serving.rules.parts import Definition
from serving.rules.playbook import Playbook, default_playbook

__all__ = ["assign"]

_SHOWN = ("lifecycle5", "rfm15", "rfm15_total", "dynamic8")


def assign(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each customer's class in every scheme of the shipped playbook, and the RFM points.

    Parameters
    ----------
    frame
        Features of one cutoff, n rows. Facts (complaints, ...) that are not among its columns count as unknown.

    Returns
    -------
    pandas.DataFrame
        ``lifecycle5``, ``rfm15`` (text), ``rfm15_total`` (3-15, null for a prospect), ``dynamic8`` (text); index as in
        the frame.

    Raises
    ------
    InputError
        A feature that a scheme reads is missing.
    """
    needed = _needed(default_playbook())
    inputs = _inputs(needed)
    absent = [fact.name for fact in FACTS if fact.name in inputs and fact.name not in frame.columns]
    table = with_definitions(table_of(frame.assign(**dict.fromkeys(absent)), inputs), needed)
    found = table.select(_SHOWN).to_pandas().set_index(frame.index)
    return found.astype({"rfm15_total": "Int64"})


def _needed(playbook: Playbook) -> list[Definition]:
    """The definitions that the shown columns rest on, in the playbook's order."""
    wanted, found = set(_SHOWN), []
    for definition in reversed(playbook.definitions):
        if definition.name in wanted:
            wanted.update(definition.columns)
            found.append(definition)
    return found[::-1]


def _inputs(definitions: list[Definition]) -> list[str]:
    read = {column for definition in definitions for column in definition.columns}
    return [name for name in COLUMNS if name in read]
