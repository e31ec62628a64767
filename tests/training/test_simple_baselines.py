"""Rules of thumb, worked by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from features.errors import InputError, TooLittleHistory
from training.metrics import auc
from training.simple_baselines import BASELINES, last_period_rule, recency_rule, rfm_regression


def frame(days, orders_90d=0, orders_365d=1, spend=10.0):
    return pd.DataFrame(
        {
            "days_since_last_order": days,
            "orders_90d": orders_90d,
            "orders_365d": orders_365d,
            "spend_365d": spend,
        }
    )


def test_recency_by_hand():
    # with a loyal row at day 10 and a churned one at day 40: day 10: 0 of 2, day 20: 1 of 1, day 30: 0 of 1, day 40: 2 of 2;
    # 20 and 30 break the order and are pooled: 1/2. Never nearer to 0 or 1 than 1/(4 + 2)
    train = frame([10.0, 20.0, 30.0, 40.0])
    found = recency_rule(train, np.array([0, 1, 0, 1], dtype=np.int8), frame([5.0, 10.0, 25.0, 40.0, 400.0]))
    assert_allclose(found, [1 / 6, 1 / 6, 1 / 2, 5 / 6, 5 / 6])


def test_last_period_by_hand():
    # of three with an order one churned: (1 + 1) / (3 + 2); of one without, one: 2/3
    train = frame([1.0] * 4, orders_90d=[1, 2, 1, 0])
    found = last_period_rule(
        train, np.array([1, 0, 0, 1], dtype=np.int8), frame([1.0, 1.0], orders_90d=[5, 0])
    )
    assert_allclose(found, [2 / 5, 2 / 3])


def test_the_regression_finds_what_it_was_built_with():
    rng = np.random.default_rng(4)
    x = frame(
        rng.uniform(0, 365, 4_000), orders_365d=rng.geometric(0.3, 4_000), spend=rng.gamma(2, 50, 4_000)
    )
    true = 1 / (1 + np.exp(-(np.log1p(x["days_since_last_order"]) - 1.5 * np.log1p(x["orders_365d"]) - 2)))
    y = (rng.random(4_000) < true).to_numpy().astype(np.int8)
    found = rfm_regression(x[:3_000], y[:3_000], x[3_000:])
    assert np.abs(found - true[3_000:]).mean() < 0.02


def test_on_a_real_panel(prepared):
    """A made-up retailer: fitted on cutoffs whose labels were over, each is better than chance; nothing outside (0, 1)."""
    panel = prepared.panel
    last = panel.cutoffs[-1]
    train = (panel.frame["cutoff"] + pd.Timedelta(days=90) <= last).to_numpy()
    now = (panel.frame["cutoff"] == last).to_numpy()
    for rule in BASELINES.values():
        p = rule(panel.frame[train], panel.y[train], panel.frame[now])
        assert p.shape == (now.sum(),)
        assert ((p > 0) & (p < 1)).all()
        assert auc(panel.y[now], p) > 0.6
        assert abs(p.mean() - panel.y[now].mean()) < 0.15


@pytest.mark.parametrize("rule", BASELINES.values())
def test_what_they_refuse(rule):
    both = np.array([0, 1], dtype=np.int8)
    with pytest.raises(InputError, match="missing: "):
        rule(frame([1.0, 2.0]), both, pd.DataFrame({"customer_id": ["a"]}))
    with pytest.raises(InputError, match="3 rows and 2 outcomes"):
        rule(frame([1.0, 2.0, 3.0]), both, frame([1.0]))
    with pytest.raises(TooLittleHistory, match="2 churned of 2"):
        rule(frame([1.0, 2.0]), np.array([1, 1], dtype=np.int8), frame([1.0]))
