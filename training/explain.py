"""Why a customer's churn probability is what it is: three reasons in words, with the customer's own numbers.

Contributions are on the log-odds scale and add up to the model's log odds: SHAP values of the trees (LightGBM's
``pred_contrib``; Lundberg et al. 2020), summed by feature group, and the baseline's distance from its mean over the
as-of's population, which belongs to the group ``rhythm`` since frequency and recency are all it knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import FEATURES, GROUPS
from training.predict import ChurnModel, baseline_logit, matrix

__all__ = ["REASONS", "Reason", "group_contributions", "reasons"]

Floats = NDArray[np.float64]


WORTH_MENTIONING = 0.02
"""Log odds: half a percentage point of probability, at most."""


@dataclass(frozen=True)
class Reason:
    """How a feature group is put into words.

    Attributes
    ----------
    needs
        Features that must not be null for the sentence to make sense.
    text
        Format string over the feature names.
    at_least
        A feature and the least value with which the sentence makes sense.
    """

    group: str
    needs: tuple[str, ...]
    text: str
    at_least: tuple[str, float] | None = None


# The first sentence of a group whose needs are met is said.
REASONS = (
    Reason(
        "rhythm",
        ("gap_mean_days",),
        "last order {days_since_last_order:.0f} days ago, usually every {gap_mean_days:.1f} days", ("gap_mean_days", 1.0)),
    # several orders within hours say nothing of a rhythm
    Reason("rhythm", ("gap_mean_days",), "several orders close together, the last {days_since_last_order:.0f} days ago"),
    Reason("rhythm", (), "one order so far, {days_since_last_order:.0f} days ago"),
    Reason("renewal", ("longer_gaps_share",),
           "of {gaps:.0f} gaps between orders so far, {longer_gaps:.0f} lasted longer than the silence now"),
    Reason("renewal", (), "no second order so far"),
    Reason("btyd", (), "days with an order after the first: {btyd_frequency:.0f}, in {btyd_age_days:.0f} days"),
    Reason("trends", (), "orders in 90 days against the 90 before: {orders_change_90d:+.0f}"),
    Reason("basket", ("lines_per_order_365d",),
           "{lines_per_order_365d:.1f} lines and {units_per_order_365d:.1f} units an order in 365 days"),
    Reason("basket", (), "last order of {last_order_units:.0f} units"),
    Reason("purchases", (), "orders in 90 days: {orders_90d:.0f}, in 365 days: {orders_365d:.0f}"),
    Reason("products", ("top_category_share_365d",),
           "categories bought in 365 days: {distinct_categories_365d:.0f}, {top_category_share_365d:.0%} of spend in one"),
    Reason("products", (), "different products bought in 365 days: {distinct_products_365d:.0f}"),
    Reason("promotions", ("discount_share_365d",), "{discount_share_365d:.0%} discount on purchases of 365 days"),
    Reason("promotions", (), "nothing to pay for in 365 days"),
    Reason("returns", (), "returned goods for {refunds_365d:,.2f} in 365 days"),
    Reason("channels", ("online_share_365d",),
           "{online_share_365d:.0%} of orders online, {weekend_share_365d:.0%} at weekends"),
    Reason("channels", (), "no order in 365 days"),
    Reason("browsing", ("days_since_last_event",),
           "last browsing or visit {days_since_last_event:.0f} days ago, product views in 30 days: {views_30d:.0f}"),
    Reason("browsing", (), "no browsing seen"),
    Reason("campaigns", ("open_rate_90d",), "opens {open_rate_90d:.0%} of messages (90 days)"),
    Reason("campaigns", (), "marketing messages in 30 days: {contacts_30d:.0f}"),
    Reason("tickets", ("last_csat",),
           "complaints in 90 days: {complaints_90d:.0f}, last rating {last_csat:.0f} of 5"),
    Reason("tickets", (), "service tickets in 90 days: {tickets_90d:.0f}, complaints: {complaints_90d:.0f}"),
    Reason("deliveries", ("late_delivery_share_365d",), "{late_delivery_share_365d:.0%} of deliveries late in 365 days"),
    Reason("deliveries", (), "no deliveries in 365 days"),
    Reason("feedback", ("review_rating_mean_365d",), "reviews rate {review_rating_mean_365d:.1f} on average in 365 days"),
    Reason("feedback", (), "pieces of feedback in 365 days: {feedback_365d:.0f}"),
    Reason("context", (), "orders in the 90 days after this date a year ago: {orders_ahead_last_year:.0f}"),
)  # fmt: skip


def group_contributions(model: ChurnModel, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what each feature group adds to the log odds of churn, n x groups; positive raises churn."""
    card = model.card
    if frame.empty:
        return pd.DataFrame(columns=list(GROUPS), index=frame.index, dtype=np.float64)
    shap = np.zeros((len(frame), len(card.contract.names) + 1))
    if model.trees is not None:
        shap = np.asarray(
            model.trees.predict(matrix(frame, card.contract.names), pred_contrib=True), dtype=np.float64
        )
    slope, weight = card.calibration.slope, card.tree_weight
    group_of = {feature.name: feature.group for feature in FEATURES}
    owner = np.array([list(GROUPS).index(group_of[name]) for name in card.contract.names])
    total = np.zeros((len(frame), len(GROUPS)))
    for index in range(len(GROUPS)):
        total[:, index] = slope * weight * shap[:, :-1][:, owner == index].sum(axis=1)
    start = baseline_logit(card.baseline, frame, card.horizon_days, card.clock.shift(card.horizon_days))
    total[:, list(GROUPS).index("rhythm")] += slope * (1.0 - weight) * (start - card.baseline_mean)
    return pd.DataFrame(total, columns=list(GROUPS), index=frame.index)


def reasons(model: ChurnModel, frame: pd.DataFrame, *, most: int = 3) -> pd.DataFrame:
    """Return the reasons for each row's risk, what raises it most first.

    Where fewer than ``most`` groups raise the risk worth mentioning, what lowers it most follows, after the word "but".

    Returns
    -------
    pandas.DataFrame
        Columns ``reason_1`` ... ``reason_<most>``, index as the frame's.
    """
    values = group_contributions(model, frame).to_numpy()
    # raising groups first, by size; then the others, what lowers most first
    order = np.argsort(np.where(values >= WORTH_MENTIONING, -values, 1e6 + values), axis=1, kind="stable")[
        :, :most
    ]
    sentences = [_sentences(group, frame) for group in GROUPS]
    said = [
        [f"{'' if values[row, group] > 0 else 'but '}{sentences[group][row]}" for group in groups]
        for row, groups in enumerate(order)
    ]
    return pd.DataFrame(
        said, dtype="str", columns=[f"reason_{n}" for n in range(1, most + 1)], index=frame.index
    )


def _sentences(group: str, frame: pd.DataFrame) -> list[str]:
    """Return each row's sentence of a group."""
    candidates = [reason for reason in REASONS if reason.group == group]
    records = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    return [
        next(reason.text.format(**record) for reason in candidates if _fits(reason, record))
        for record in records
    ]


def _fits(reason: Reason, record: Mapping[str, float]) -> bool:
    if any(pd.isna(record[name]) for name in reason.needs):
        return False
    return reason.at_least is None or record[reason.at_least[0]] >= reason.at_least[1]
