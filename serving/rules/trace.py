"""The trace of one decision: every offer on every channel, each rule it reached, and the facts that decided."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import pandas as pd

from features.errors import InputError
from serving.rules.arbitration import planned_for, with_verdicts
from serving.rules.columns import consent_column
from serving.rules.holdout import is_withheld
from serving.rules.parts import Rule
from serving.rules.playbook import Playbook
from serving.rules.policy import Candidate, consent_flag, offer_flag, rule_flag, worth_column
from serving.rules.quiet_hours import send_after

__all__ = ["trace"]

Step: TypeAlias = dict[str, Any]
Row: TypeAlias = Mapping[str, Any]


def trace(playbook: Playbook, frame: pd.DataFrame, *, channels: Collection[str] | None = None) -> list[Step]:
    """Return how the decision about one customer came about, ready for JSON.

    Parameters
    ----------
    frame
        One row, with the columns of ``playbook.inputs``.
    channels
        The only channels to consider; None: all.

    Returns
    -------
    list of dict
        One for each offer and channel, in the playbook's order: ``offer_id``, ``channel``, ``purpose`` and ``steps``
        (``stage``, ``code``, ``passed``, ``facts``) up to the first that did not pass. The last is the ranking: ``ranked``
        (best first), ``holdout``, and the outcome under the names of ``decide``. The same row and playbook give the same
        bytes of JSON.

    Raises
    ------
    InputError
        Not one row; or as ``decide``.
    """
    if len(frame) != 1:
        raise InputError(f"a trace is of one customer, not of {len(frame)} rows: hand in one row")
    planned = planned_for(playbook, channels)
    row = with_verdicts(playbook, planned, frame).row(0, named=True)
    traced = [_candidate(playbook, row, one) for one in planned.asked]
    return [*traced, _ranking(playbook, row, planned.asked, traced)]


def _candidate(playbook: Playbook, row: Row, one: Candidate) -> Step:
    steps = []
    for step in _steps(playbook, row, one):
        steps.append(step)
        if not step["passed"]:
            break
    named = {"offer_id": one.offer.id, "channel": one.channel, "purpose": one.offer.purpose}
    return {**named, "steps": steps, "passed": steps[-1]["passed"]}


def _steps(playbook: Playbook, row: Row, one: Candidate) -> Iterator[Step]:
    policy, offer = playbook.policy, one.offer
    column = consent_column(one.channel, offer.purpose)
    passed = row[consent_flag(one.channel, offer.purpose)]
    yield _step("consent", _consent_code(playbook, row[column], passed), passed, _facts(row, [column]))
    yield _step("eligibility", offer.id, row[offer_flag(offer)], _facts(row, offer.when.columns))
    for stage, rules in (("quiet_period", policy.quiet_period), ("frequency_cap", policy.frequency_cap)):
        if offer.is_marketing:
            yield from _rules(row, stage, rules)
        else:
            yield _step(stage, "service_exempt", True, {})
    yield from _rules(row, "channel_capacity", policy.capacity_of(one.channel))
    worth = row[worth_column(offer)]
    yield _step("ranking", policy.ranking.code if worth is None else "worth_above_0", worth is not None,
                _facts(row, offer.worth.columns) | {"worth": worth})  # fmt: skip


def _consent_code(playbook: Playbook, status: str | None, passed: bool) -> str:
    if passed:
        return "consent_given" if status == "SUBSCRIBED" else "consent_not_refused"
    policy = playbook.policy
    return (policy.consent_refused if status == "UNSUBSCRIBED" else policy.consent_missing).code


def _rules(row: Row, stage: str, rules: Sequence[Rule]) -> Iterator[Step]:
    for rule in rules:
        yield _step(stage, rule.code, row[rule_flag(rule)], _facts(row, rule.allow.columns))


def _step(stage: str, code: str, passed: bool, facts: Step) -> Step:
    return {"stage": stage, "code": code, "passed": passed, "facts": facts}


def _facts(row: Row, columns: Sequence[str]) -> Step:
    return {name: _plain(row[name]) for name in columns}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _ranking(playbook: Playbook, row: Row, asked: Sequence[Candidate], traced: Sequence[Step]) -> Step:
    """Rank what passed: by worth, then service first, then the playbook's order; each offer on its first channel."""
    passed: dict[str, Candidate] = {}
    for one, step in zip(asked, traced, strict=True):
        if step["passed"]:
            passed.setdefault(one.offer.id, one)
    ranked = sorted(passed.values(), key=lambda one: (-row[worth_column(one.offer)], one.offer.is_marketing))
    chosen = ranked[0] if ranked else None
    held = chosen if chosen and chosen.offer.is_marketing and _is_held(playbook, row) else None
    if held:
        chosen = next((one for one in ranked if not one.offer.is_marketing), None)
    return {
        "stage": "ranking",
        "as_of": _plain(row["as_of"]),
        "ranked": [_place(row, one) for one in ranked],
        "holdout": {
            "salt": playbook.policy.holdout.salt,
            "share": playbook.policy.holdout.share,
            "withheld": bool(held),
        },
        **_outcome(playbook, row, chosen, held),
    }


def _is_held(playbook: Playbook, row: Row) -> bool:
    return is_withheld(playbook.policy.holdout, row["customer_id"])


def _place(row: Row, one: Candidate) -> Step:
    return {"offer_id": one.offer.id, "channel": one.channel, "worth": row[worth_column(one.offer)]}


def _outcome(playbook: Playbook, row: Row, chosen: Candidate | None, held: Candidate | None) -> Step:
    after = None
    if chosen and row["as_of"]:
        after = send_after(playbook.policy.quiet_hours, row["as_of"], row["timezone"])
    about = chosen or held
    return {
        "action": "offer" if chosen else "none",
        "offer_id": chosen.offer.id if chosen else None,
        "channel": chosen.channel if chosen else None,
        "send_after": _plain(after),
        "worth": row[worth_column(about.offer)] if about else None,
        "withheld_offer_id": held.offer.id if held else None,
    }
