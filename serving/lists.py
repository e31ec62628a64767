"""The weekly at-risk list: who is likely to stay away, what that would cost, why, and who was left out."""

import csv
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from features.build import build
from features.profile import profiles
from features.warehouse import Warehouse
from serving.rules.segments import assign
from serving.score import score
from training.explain import reasons
from training.predict import ChurnModel

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
    left_out
        Reason -> customers.
    """

    week: str
    as_of: str
    warehouse_id: str
    currency: str
    model: str
    model_version: str
    run_id: str
    horizon_days: int
    at_risk_from: float
    customers_known: int
    customers_listed: int
    value_at_risk: float
    left_out: Mapping[str, int]
    lifecycle5: Mapping[str, int]
    rfm15: Mapping[str, int]
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
    model: ChurnModel,
    as_of: pd.Timestamp,
    *,
    model_name: str,
    model_version: str,
    run_id: str,
    at_risk_from: float = AT_RISK_FROM,
) -> WeeklyList:
    """Make the at-risk list as of an instant, ranked by value at risk.

    Value at risk is the churn probability times the spend of the last 365 days, in the warehouse's currency.
    """
    frame = build(warehouse, [as_of], population="all")
    scores = score(frame, model, model_version)
    listed = (scores["status"] == "ok") & (scores["churn_probability"] >= at_risk_from)
    left_out = scores["status"].where(scores["status"] != "ok", f"churn_probability below {at_risk_from:g}")[
        ~listed
    ]
    segments = assign(frame)
    settings = warehouse.settings()
    week = week_name(as_of)
    rows = _rows(warehouse, frame[listed], scores[listed], segments[listed], model, as_of)
    manifest = Manifest(
        week=week,
        as_of=as_of.isoformat(),
        warehouse_id=settings.warehouse_id,
        currency=settings.currency,
        model=model_name,
        model_version=model_version,
        run_id=run_id,
        horizon_days=model.card.horizon_days,
        at_risk_from=at_risk_from,
        customers_known=len(frame),
        customers_listed=len(rows),
        value_at_risk=round(float(rows["value_at_risk"].sum()), 2),
        left_out=_counts(left_out),
        lifecycle5=_counts(segments["lifecycle5"]),
        rfm15=_counts(segments["rfm15"]),
        files=(f"at_risk_{week}.csv", f"at_risk_{week}.parquet"),
    )
    return WeeklyList(rows, manifest)


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().items()}


def _rows(
    warehouse: Warehouse,
    frame: pd.DataFrame,
    scores: pd.DataFrame,
    segments: pd.DataFrame,
    model: ChurnModel,
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    features = ["spend_365d", "orders_365d", "days_since_last_order"]
    kept = ["customer_id", "churn_probability", "as_of", "horizon_days", "model_version"]
    rows = pd.concat([scores[kept], frame[features], segments], axis=1)
    rows["value_at_risk"] = rows["churn_probability"] * rows["spend_365d"]
    # ties by id, so that the same data give the same list
    rows = rows.sort_values(["value_at_risk", "customer_id"], ascending=[False, True])
    rows = pd.concat([rows, reasons(model, frame.loc[rows.index])], axis=1)
    rows = rows.merge(profiles(warehouse, as_of), on="customer_id", how="left")
    rows.insert(0, "rank", range(1, len(rows) + 1))
    first = ["rank", "customer_id", "display_name", "region_id", "value_at_risk", "churn_probability"]
    why = ["reason_1", "reason_2", "reason_3", "lifecycle5", "rfm15", "rfm15_total"]
    last = ["home_store_id", "owner_id", "member_level", "horizon_days", "as_of", "model_version"]
    return rows[[*first, *why, *features, *last]]


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
