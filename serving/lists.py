"""The weekly at-risk list: who is likely to stay away, what that would cost, why, what to offer, and who was left out."""

import csv
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from features.build import build
from features.catalogue import FACTS, names
from features.profile import consents, profiles
from features.warehouse import Warehouse
from serving.rules.arbitration import decide
from serving.rules.evaluate import profile
from serving.rules.playbook import Playbook, default_playbook
from serving.score import score
from serving.situation import RESERVED_DAYS, situation
from serving.store import Store
from training.explain import reasons
from training.predict import Models

__all__ = ["AT_RISK_FROM", "Manifest", "WeeklyList", "week_name", "weekly", "write"]

AT_RISK_FROM = 0.5
"""Churn probability from which a customer is at risk: more likely than not to place no order within the horizon."""

# the full-width forms are formulas to spreadsheets of some languages
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class Manifest:
    """What a list was made from, and what is not in it.

    Attributes
    ----------
    playbook
        Digest of the rules.
    left_out
        Reason -> customers.
    offers
        Offer -> customers on the list; ``none`` for those whom nobody should contact now.
    segments
        Scheme -> class -> customers known.
    """

    week: str
    as_of: str
    warehouse_id: str
    currency: str
    model: str
    model_version: str
    run_id: str
    playbook: str
    horizon_days: int
    at_risk_from: float
    customers_known: int
    customers_listed: int
    value_at_risk: float
    left_out: Mapping[str, int]
    offers: Mapping[str, int]
    segments: Mapping[str, Mapping[str, int]]
    files: tuple[str, ...]


@dataclass(frozen=True)
class WeeklyList:
    """The list, one row a customer, and its manifest."""

    rows: pd.DataFrame
    manifest: Manifest


def week_name(as_of: pd.Timestamp) -> str:
    """Return the ISO week of an instant, as in 2011-W36."""
    year, week, _ = as_of.isocalendar()
    return f"{year}-W{week:02d}"


def weekly(
    warehouse: Warehouse,
    models: Models,
    as_of: pd.Timestamp,
    *,
    model_name: str,
    model_version: str,
    run_id: str,
    at_risk_from: float = AT_RISK_FROM,
    store: Store | None = None,
) -> WeeklyList:
    """Make the at-risk list as of an instant, ranked by value at risk, each customer with the next best offer.

    Value at risk is the churn probability times the spend of the last 365 days, in the warehouse's currency. Who is held out
    for measurement is not on the list.

    Parameters
    ----------
    store
        Its decisions that no contact has followed count under the caps, as they do online.
    """
    playbook, settings = default_playbook(), warehouse.settings()
    measured = (*FACTS, *playbook.measured)
    frame = build(
        warehouse,
        [as_of],
        population="all",
        columns=[*names(), *(one.name for one in measured)],
        own=playbook.measured,
    )
    scores = score(frame, models, model_version)
    reserved = [] if store is None else _reserved(store, frame["customer_id"], as_of)
    facts = situation(
        frame, scores, profiles(warehouse, as_of), consents(warehouse, as_of), reserved, as_of=as_of,
        timezone=settings.timezone,
    )  # fmt: skip
    at_risk = ((scores["status"] == "ok") & (scores["churn_probability"] >= at_risk_from)).to_numpy()
    decided = decide(playbook, facts[at_risk])
    held_out = decided["withheld_offer_id"].notna() & (decided["action"] == "none")
    listed = decided.index[~held_out]
    reasons_left_out = scores["status"].where(
        scores["status"] != "ok", f"churn_probability below {at_risk_from:g}"
    )
    left_out = reasons_left_out[~at_risk]
    segments = profile(playbook, facts)[[*(scheme.name for scheme in playbook.schemes), "rfm15_total"]]
    rows = _rows(
        facts.loc[listed], scores.loc[listed], segments.loc[listed], decided.loc[listed], models, playbook
    )
    week = week_name(as_of)
    manifest = Manifest(
        week=week,
        as_of=as_of.isoformat(),
        warehouse_id=settings.warehouse_id,
        currency=settings.currency,
        model=model_name,
        model_version=model_version,
        run_id=run_id,
        playbook=playbook.digest,
        horizon_days=models.churn.card.horizon_days,
        at_risk_from=at_risk_from,
        customers_known=len(frame),
        customers_listed=len(rows),
        value_at_risk=round(float(rows["value_at_risk"].sum()), 2),
        left_out=_counts(left_out)
        | ({"held out for measurement": int(held_out.sum())} if held_out.any() else {}),
        offers=_counts(rows["offer_id"].fillna("none")),
        segments={scheme.name: _counts(segments[scheme.name]) for scheme in playbook.schemes},
        files=(f"at_risk_{week}.csv", f"at_risk_{week}.parquet"),
    )
    return WeeklyList(rows, manifest)


def _reserved(store: Store, customer_ids: pd.Series, as_of: pd.Timestamp) -> list[tuple[str, str, int]]:
    since = as_of - pd.Timedelta(days=RESERVED_DAYS)
    with store.reading() as session:
        return session.reserved(customer_ids, since.value // 1_000)


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().items()}


def _rows(
    facts: pd.DataFrame,
    scores: pd.DataFrame,
    segments: pd.DataFrame,
    decided: pd.DataFrame,
    models: Models,
    playbook: Playbook,
) -> pd.DataFrame:
    # one block of memory, whatever the parts were made of: columns are added one by one
    rows = pd.concat([facts, segments, decided[["offer_id", "channel", "send_after"]]], axis=1)
    rows["as_of"], rows["horizon_days"] = scores["as_of"], scores["horizon_days"]
    rows["value_at_risk"] = rows["churn_probability"] * rows["spend_365d"]
    rows["offer"] = rows["offer_id"].map({offer.id: offer.title.en for offer in playbook.offers})
    rows["no_offer_because"] = decided["why"].str[0].where(decided["action"] == "none")
    rows["owner"] = (
        rows["owner_id"].fillna("store " + rows["home_store_id"]).fillna("region " + rows["region_id"])
    )
    # ties by id, so that the same data give the same list
    rows = rows.sort_values(["value_at_risk", "customer_id"], ascending=[False, True])
    rows = pd.concat([rows, reasons(models.churn, rows)], axis=1)
    rows.insert(0, "rank", range(1, len(rows) + 1))
    return rows[list(_COLUMNS)].reset_index(drop=True)


_COLUMNS = (
    "rank", "customer_id", "display_name", "region_id", "owner", "value_at_risk", "churn_probability",
    "expected_date_of_next_order", "reason_1", "reason_2", "reason_3", "offer_id", "offer", "channel", "send_after",
    "no_offer_because", "lifecycle5", "rfm15", "rfm15_total", "dynamic8", "spend_365d", "orders_365d",
    "days_since_last_order", "home_store_id", "owner_id", "member_level", "horizon_days", "as_of", "model_version",
)  # fmt: skip


def write(weekly_list: WeeklyList, folder: Path) -> list[Path]:
    """Write CSV, Parquet and ``manifest.json``; each file appears whole or not at all.

    The CSV is for people: UTF-8 with BOM, rounded, and text that a spreadsheet would run as a formula begins with an
    apostrophe. The Parquet file is for programs: exact and unescaped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    csv_name, parquet_name = weekly_list.manifest.files
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = [Path(scratch) / name for name in (csv_name, parquet_name, "manifest.json")]
        _write_csv(weekly_list.rows, made[0])
        weekly_list.rows.to_parquet(made[1], index=False)
        made[2].write_text(
            json.dumps(asdict(weekly_list.manifest), indent=1, ensure_ascii=False), encoding="utf-8"
        )
        return [path.replace(folder / path.name) for path in made]


def _write_csv(rows: pd.DataFrame, path: Path) -> None:
    shown = rows.round(
        {"churn_probability": 4, "value_at_risk": 2, "spend_365d": 2, "days_since_last_order": 1}
    )
    for name in shown.columns:
        if not pd.api.types.is_numeric_dtype(shown[name]):
            shown[name] = shown[name].map(_harmless, na_action="ignore")
    shown.to_csv(path, index=False, encoding="utf-8-sig", quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
