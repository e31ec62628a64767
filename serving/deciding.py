"""Decisions and the customer view: the rule layer over what the store knows of one customer."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import FACTS, FEATURES
from features.incoming import instant_of, microseconds
from features.plan import Plan
from features.profile import PROFILE_COLUMNS
from serving.api import DecideRequest
from serving.live import Live, Moment, now_us, plain, written
from serving.problems import Problem
from serving.rules.arbitration import decide
from serving.rules.evaluate import profile
from serving.rules.playbook import Playbook, default_playbook
from serving.rules.trace import trace
from serving.score import score_columns
from serving.situation import RESERVED_DAYS, situation
from serving.store import Consent, Decision, OpenFact, Session
from training.explain import reasons

__all__ = ["Deciding"]

_DAY_US = 86_400_000_000


class Deciding:
    """Decides for, and shows, one customer at a time.

    Parameters
    ----------
    live
        What scores are made with.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._playbook: Playbook = default_playbook()
        self._plan = Plan.of((*FEATURES, *FACTS, *self._playbook.measured))

    @property
    def playbook(self) -> Playbook:
        """The rules decided by."""
        return self._playbook

    def decide(self, asked: DecideRequest) -> dict[str, Any]:
        """Return the decision for a customer and how it came about; keep it if asked to commit.

        Raises
        ------
        Problem
            404: the customer is not known.
        """
        store = self._live.store
        with store.writing(asked.customer_id) if asked.commit else store.reading() as session:
            at = now_us()  # not before the place in the queue is had: what others did meanwhile counts
            moment, frame = self._frame(session, asked.customer_id, at)
            chosen = decide(self._playbook, frame, channels=asked.channels).iloc[0]
            steps = trace(self._playbook, frame, channels=asked.channels)
            decision = {
                "decision_id": str(uuid.uuid4()),
                "customer_id": moment.customer_ids[0],
                "as_of": written(instant_of(moment.as_of)),
                "action": str(chosen["action"]),
                "offer_id": _text(chosen["offer_id"]),
                "channel": _text(chosen["channel"]),
                "send_after": None
                if pd.isna(chosen["send_after"])
                else written(chosen["send_after"].tz_localize("UTC")),
                "withheld_offer_id": _text(chosen["withheld_offer_id"]),
                "placement": asked.placement,
                "committed": asked.commit,
                "playbook": self._playbook.digest,
                "model_version": self._live.model_version,
                "why": list(chosen["why"]),
                "why_zh": list(chosen["why_zh"]),
                "trace": steps,
            }
            if asked.commit:
                session.commit(self._record(decision, asked, frame, moment, at))
        return decision

    def view(self, customer_id: str) -> dict[str, Any]:
        """Return who a customer is, their tags and segments, scores, reasons and features.

        Raises
        ------
        Problem
            404: the customer is not known.
        """
        with self._live.store.reading() as session:
            moment, frame = self._frame(session, customer_id, now_us())
        found = profile(self._playbook, frame).iloc[0]
        score = self._live.rows_of(moment)[0]
        why = []
        if score["status"] == "ok":
            why = [str(text) for text in reasons(self._live.models.churn, frame).iloc[0]]
        values = {name: plain(values)[0] for name, values in (*moment.columns.items(), *moment.texts.items())}
        return {
            "customer_id": moment.customer_ids[0],
            "profile": {
                name: _json_ready(frame.iloc[0][name]) for name in (*PROFILE_COLUMNS[:-1], "age_years")
            },
            "tags": [tag.id for tag in self._playbook.tags if bool(found[tag.id])],
            "segments": {scheme.name: str(found[scheme.name]) for scheme in self._playbook.schemes},
            "scores": score,
            "reasons": why,
            "features": {name: value for name, value in values.items() if value is not None},
        }

    def _frame(self, session: Session, customer_id: str, at: int) -> tuple[Moment, pd.DataFrame]:
        moments = [
            one for one in self._live.moments(session, [customer_id], at, self._plan) if one.customer_ids
        ]
        if not moments:
            raise Problem(
                404, f"customer {customer_id!r} is not known: report an event or an order of theirs first"
            )
        moment = moments[0]
        known = session.customers([customer_id])
        words = [*session.consents([customer_id]), *_newer_words(session.open_facts([customer_id]))]
        as_of = pd.Timestamp(np.datetime64(moment.as_of, "us"))
        columns = pd.DataFrame(
            {"customer_id": pd.array(moment.customer_ids, dtype="str"), **moment.columns, **moment.texts}
        )
        scores = pd.DataFrame(
            dict(score_columns(moment.columns, self._live.models, self._live.model_version,
                               as_of=np.datetime64(moment.as_of, "us"), scored_at=np.datetime64(at, "us")))
        )  # fmt: skip
        people = pd.DataFrame(
            [json.loads(one.profile) | {"customer_id": one.customer_id} for one in known.values()]
        )
        frame = situation(
            columns, scores, people.reindex(columns=["customer_id", *PROFILE_COLUMNS]), _latest(words, moment.as_of),
            session.reserved([customer_id], moment.as_of - RESERVED_DAYS * _DAY_US), as_of=as_of,
            timezone=self._live.publication.timezone,
        )  # fmt: skip
        return moment, frame

    def _record(
        self, decision: Mapping[str, Any], asked: DecideRequest, frame: pd.DataFrame, moment: Moment, at: int
    ) -> Decision:
        facts = {name: _json_ready(frame.iloc[0][name]) for name in self._playbook.inputs}
        facts["request"] = {
            "channels": asked.channels,
            "placement": asked.placement,
            "context": asked.context,
        }
        offers = {offer.id: offer for offer in self._playbook.offers}
        chosen = decision["offer_id"] or decision["withheld_offer_id"]
        return Decision(
            decision_id=decision["decision_id"], customer_id=decision["customer_id"], as_of=moment.as_of, decided_at=at,
            action=decision["action"], purpose=offers[chosen].purpose if chosen else None, offer_id=chosen,
            channel=decision["channel"], withheld=decision["withheld_offer_id"] is not None,
            playbook=self._playbook.digest, facts=facts, trace=decision["trace"],
        )  # fmt: skip


def _newer_words(facts: list[OpenFact]) -> list[Consent]:
    """Return what the inbox says of consents and the publication does not; whoever unsubscribes by a message refuses."""
    words = []
    for fact in facts:
        content, who = fact.content, str(fact.customer_id)
        if fact.table == "consents":
            words.append(Consent(who, content["channel"], content["purpose"], content["status"], fact.at))
        left_at = microseconds(content.get("unsubscribed_at")) if fact.table == "contacts" else None
        if left_at is not None:
            words.append(
                Consent(who, content["channel"], "marketing", "UNSUBSCRIBED", min(left_at, fact.received_at))
            )
    return words


def _latest(words: list[Consent], as_of: int) -> pd.DataFrame:
    """Return the last word before ``as_of`` of each channel and purpose; of two at once the refusal."""
    before = [word for word in words if word.at < as_of]
    before.sort(key=lambda word: (word.at, word.status != "SUBSCRIBED"))
    latest = {(word.channel, word.purpose): word for word in before}
    columns = ("customer_id", "channel", "purpose", "status", "at")
    return pd.DataFrame(
        [[getattr(word, name) for name in columns] for word in latest.values()], columns=list(columns)
    )


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _json_ready(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
