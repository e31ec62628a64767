"""Why a customer's churn probability is what it is: reasons in English or Chinese, with the customer's own numbers.

Contributions are on the log-odds scale and add up to the model's log odds: SHAP values of the trees (LightGBM's
``pred_contrib``; Lundberg et al. 2020), summed by feature group, and the baseline's distance from its mean over the
as-of's population, which belongs to the group ``rhythm`` since frequency and recency are all it knows.
"""

# Chinese has commas and colons of its own
# ruff: noqa: RUF001

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import FEATURES, GROUPS
from features.errors import InputError
from training.components import ChurnModel, baseline_logit, matrix

__all__ = ["LANGUAGES", "REASONS", "Reason", "group_contributions", "group_sentences", "reasons"]

Floats = NDArray[np.float64]


WORTH_MENTIONING = 0.02
"""Log odds: half a percentage point of probability, at most."""

LANGUAGES: Mapping[str, str] = {"en": "but ", "zh": "不过"}
"""Language of the sentences -> what stands before one that speaks against churn."""


@dataclass(frozen=True)
class Reason:
    """How a feature group is put into words.

    Attributes
    ----------
    needs
        Features that must not be null for the sentence to make sense.
    en, zh
        Format strings over the feature names, in English and Chinese: the same numbers in the same formats.
    at_least
        A feature and the least value with which the sentence makes sense.
    """

    group: str
    needs: tuple[str, ...]
    en: str
    zh: str
    at_least: tuple[str, float] | None = None


# The first sentence of a group whose needs are met is said.
REASONS = (
    Reason("rhythm", ("gap_mean_days",),
           "last order {days_since_last_order:.0f} days ago, usually every {gap_mean_days:.1f} days",
           "上次下单在 {days_since_last_order:.0f} 天前，平时平均每 {gap_mean_days:.1f} 天下一单", ("gap_mean_days", 1.0)),
    # several orders within hours say nothing of a rhythm
    Reason("rhythm", ("gap_mean_days",),
           "several orders close together, the last {days_since_last_order:.0f} days ago",
           "几单挨得很近，最近一单在 {days_since_last_order:.0f} 天前"),
    Reason("rhythm", (), "one order so far, {days_since_last_order:.0f} days ago",
           "至今只下过一单，在 {days_since_last_order:.0f} 天前"),
    Reason("renewal", ("longer_gaps_share",),
           "of {gaps:.0f} gaps between orders so far, {longer_gaps:.0f} lasted longer than the silence now",
           "以往 {gaps:.0f} 次下单间隔中，有 {longer_gaps:.0f} 次比目前未下单的时间更长"),
    Reason("renewal", (), "no second order so far", "至今没有再次下单"),
    Reason("btyd", (), "days with an order after the first: {btyd_frequency:.0f}, in {btyd_age_days:.0f} days",
           "首单之后有下单的天数：{btyd_frequency:.0f}，距首单 {btyd_age_days:.0f} 天"),
    Reason("trends", (), "orders in 90 days against the 90 before: {orders_change_90d:+.0f}",
           "近 90 天与此前 90 天相比，订单数变化：{orders_change_90d:+.0f}"),
    Reason("basket", ("lines_per_order_365d",),
           "{lines_per_order_365d:.1f} lines and {units_per_order_365d:.1f} units an order in 365 days",
           "平均每单 {lines_per_order_365d:.1f} 行、{units_per_order_365d:.1f} 件商品（近 365 天）"),
    Reason("basket", (), "last order of {last_order_units:.0f} units", "上一单共 {last_order_units:.0f} 件商品"),
    Reason("purchases", (), "orders in 90 days: {orders_90d:.0f}, in 365 days: {orders_365d:.0f}",
           "近 90 天订单数：{orders_90d:.0f}，近 365 天：{orders_365d:.0f}"),
    Reason("products", ("top_category_share_365d",),
           "categories bought in 365 days: {distinct_categories_365d:.0f}, {top_category_share_365d:.0%} of spend in one",
           "近 365 天购买的品类数：{distinct_categories_365d:.0f}，其中一个品类占消费额的 {top_category_share_365d:.0%}"),
    Reason("products", (), "different products bought in 365 days: {distinct_products_365d:.0f}",
           "近 365 天购买的商品种数：{distinct_products_365d:.0f}"),
    Reason("promotions", ("discount_share_365d",), "{discount_share_365d:.0%} discount on purchases of 365 days",
           "近 365 天所购商品的优惠幅度为 {discount_share_365d:.0%}"),
    Reason("promotions", (), "nothing to pay for in 365 days", "近 365 天没有需要付款的消费"),
    Reason("returns", (), "returned goods for {refunds_365d:,.2f} in 365 days",
           "近 365 天退货金额 {refunds_365d:,.2f}"),
    Reason("channels", ("online_share_365d",),
           "{online_share_365d:.0%} of orders online, {weekend_share_365d:.0%} at weekends",
           "{online_share_365d:.0%} 的订单在线上，{weekend_share_365d:.0%} 在周末"),
    Reason("channels", (), "no order in 365 days", "近 365 天没有下单"),
    Reason("browsing", ("days_since_last_event",),
           "last browsing or visit {days_since_last_event:.0f} days ago, product views in 30 days: {views_30d:.0f}",
           "上次浏览或到店在 {days_since_last_event:.0f} 天前，近 30 天浏览商品次数：{views_30d:.0f}"),
    Reason("browsing", (), "no browsing seen", "没有浏览记录"),
    Reason("campaigns", ("open_rate_90d",), "opens {open_rate_90d:.0%} of messages (90 days)",
           "营销消息打开率 {open_rate_90d:.0%}（近 90 天）"),
    Reason("campaigns", (), "marketing messages in 30 days: {contacts_30d:.0f}",
           "近 30 天收到的营销消息数：{contacts_30d:.0f}"),
    Reason("tickets", ("last_csat",),
           "complaints in 90 days: {complaints_90d:.0f}, last rating {last_csat:.0f} of 5",
           "近 90 天投诉次数：{complaints_90d:.0f}，最近一次服务评分 {last_csat:.0f}（满分 5）"),
    Reason("tickets", (), "service tickets in 90 days: {tickets_90d:.0f}, complaints: {complaints_90d:.0f}",
           "近 90 天服务工单数：{tickets_90d:.0f}，其中投诉：{complaints_90d:.0f}"),
    Reason("deliveries", ("late_delivery_share_365d",), "{late_delivery_share_365d:.0%} of deliveries late in 365 days",
           "近 365 天有 {late_delivery_share_365d:.0%} 的配送晚于承诺时间"),
    Reason("deliveries", (), "no deliveries in 365 days", "近 365 天没有配送"),
    Reason("feedback", ("review_rating_mean_365d",), "reviews rate {review_rating_mean_365d:.1f} on average in 365 days",
           "近 365 天评价平均 {review_rating_mean_365d:.1f} 分"),
    Reason("feedback", (), "pieces of feedback in 365 days: {feedback_365d:.0f}",
           "近 365 天反馈条数：{feedback_365d:.0f}"),
    Reason("context", (), "orders in the 90 days after this date a year ago: {orders_ahead_last_year:.0f}",
           "去年同日起 90 天内的订单数：{orders_ahead_last_year:.0f}"),
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


def reasons(model: ChurnModel, frame: pd.DataFrame, *, most: int = 3, language: str = "en") -> pd.DataFrame:
    """Return the reasons for each row's risk, what raises it most first.

    Where fewer than ``most`` groups raise the risk worth mentioning, what lowers it most follows, after the word "but"; where none
    does, what lowers it stands alone, without that word. What is not worth mentioning is left out, but for one reason.

    Parameters
    ----------
    language
        ``en`` or ``zh``: the same reasons in the same order with the same numbers.

    Returns
    -------
    pandas.DataFrame
        Columns ``reason_1`` ... ``reason_<most>``, null where there are fewer; index as the frame's.

    Raises
    ------
    InputError
        Another language.
    """
    if language not in LANGUAGES:
        raise InputError(f"reasons are given in {' or '.join(LANGUAGES)}, not in {language!r}")
    values = group_contributions(model, frame).to_numpy()
    # raising groups first, by size; then the others, what lowers most first
    order = np.argsort(np.where(values >= WORTH_MENTIONING, -values, 1e6 + values), axis=1, kind="stable")[
        :, :most
    ]
    sentences = [group_sentences(group, frame, language) for group in GROUPS]
    said = []
    for row, groups in enumerate(order):
        raised = values[row, groups[0]] >= WORTH_MENTIONING
        worth = [group for group in groups if abs(values[row, group]) >= WORTH_MENTIONING]
        worth = worth or [int(np.abs(values[row]).argmax())]
        but = LANGUAGES[language] if raised else ""
        told = [f"{but if values[row, group] < 0 else ''}{sentences[group][row]}" for group in worth]
        said.append(told + [None] * (most - len(told)))
    return pd.DataFrame(
        said, dtype="str", columns=[f"reason_{n}" for n in range(1, most + 1)], index=frame.index
    )


def group_sentences(group: str, frame: pd.DataFrame, language: str = "en") -> list[str]:
    """Return each row's sentence of a feature group."""
    candidates = [(reason, getattr(reason, language)) for reason in REASONS if reason.group == group]
    records = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    return [
        next(text.format(**record) for reason, text in candidates if _fits(reason, record))
        for record in records
    ]


def _fits(reason: Reason, record: Mapping[str, float]) -> bool:
    if any(pd.isna(record[name]) for name in reason.needs):
        return False
    return reason.at_least is None or record[reason.at_least[0]] >= reason.at_least[1]
