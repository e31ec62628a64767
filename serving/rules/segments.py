"""Segment schemes: each customer is in exactly one class of each. Conditions are SQL over the feature columns.

``lifecycle5`` and ``rfm15`` follow the retail playbook. "churned" is a class inside its scheme only, never the model's
target. Whoever never ordered is ``prospect``, outside the classes. Amounts are in the retailer's currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import polars as pl

__all__ = ["SCHEMES", "Scheme", "assign"]

PROSPECT = "prospect"


@dataclass(frozen=True)
class Scheme:
    """Classes in order: the first whose condition holds is the customer's.

    Attributes
    ----------
    derived
        Columns derived before the classes are decided, name -> SQL expression; later ones may use earlier ones.
    classes
        Class -> condition. The last one's is ``true``.
    """

    name: str
    classes: Mapping[str, str]
    derived: Mapping[str, str] = field(default_factory=dict)


# R everywhere: whole days since the last order
_RECENCY = {"r_days": "floor(days_since_last_order)"}

SCHEMES = (
    Scheme(
        "lifecycle5",
        derived=_RECENCY,
        classes={
            "new": "days_since_first_order < 30",
            "churned": "r_days > 365",
            "dormant": "r_days > 180",
            "high_value": "round(spend_365d - refunds_365d, 2) > 5000 AND orders_365d >= 2",
            "potential": "true",
        },
    ),
    Scheme(
        "rfm15",
        derived={
            **_RECENCY,
            "rfm15_r": "CASE WHEN r_days <= 7 THEN 5 WHEN r_days <= 30 THEN 4 WHEN r_days <= 90 THEN 3 "
            "WHEN r_days < 180 THEN 2 ELSE 1 END",
            # frequency and money per 30-day period that has an order: empty months would punish the new
            "orders_a_period": "CASE WHEN active_30d_periods_180d > 0 "
            "THEN CAST(orders_180d AS DOUBLE) / active_30d_periods_180d ELSE 0 END",
            "spend_a_period": "CASE WHEN active_30d_periods_180d > 0 "
            "THEN spend_180d / active_30d_periods_180d ELSE 0 END",
            "rfm15_f": "CASE WHEN orders_a_period >= 5 THEN 5 WHEN orders_a_period >= 3 THEN 4 "
            "WHEN orders_a_period >= 2 THEN 3 WHEN orders_a_period >= 1 THEN 2 ELSE 1 END",
            "rfm15_m": "CASE WHEN spend_a_period >= 1000 THEN 5 WHEN spend_a_period >= 600 THEN 4 "
            "WHEN spend_a_period >= 400 THEN 3 WHEN spend_a_period >= 200 THEN 2 ELSE 1 END",
            "rfm15_total": "rfm15_r + rfm15_f + rfm15_m",
        },
        classes={
            "high_value": "rfm15_total >= 12",
            "potential": "rfm15_total >= 8",
            "churned": "true",
        },
    ),
)


def assign(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each customer's class in every scheme, and the RFM points.

    Parameters
    ----------
    frame
        Features of one cutoff, n rows.

    Returns
    -------
    pandas.DataFrame
        ``lifecycle5``, ``rfm15`` (text) and ``rfm15_total`` (3-15, null for a prospect); index as in the frame.
    """
    table = pl.from_pandas(frame)
    for scheme in SCHEMES:
        for name, expression in scheme.derived.items():
            table = table.with_columns(pl.sql_expr(expression).alias(name))
        table = table.with_columns(_classes(scheme).alias(scheme.name))
    points = pl.when(pl.sql_expr("orders_all > 0")).then(pl.col("rfm15_total")).alias("rfm15_total")
    result = table.select(*(scheme.name for scheme in SCHEMES), points.cast(pl.Int64)).to_pandas()
    return result.set_index(frame.index).astype({"rfm15_total": "Int64"})


def _classes(scheme: Scheme) -> pl.Expr:
    decided: pl.Expr = pl.lit(None, dtype=pl.String)
    for name, condition in reversed(tuple(scheme.classes.items())):
        decided = pl.when(pl.sql_expr(condition)).then(pl.lit(name)).otherwise(decided)
    return pl.when(pl.sql_expr("orders_all = 0")).then(pl.lit(PROSPECT)).otherwise(decided)
