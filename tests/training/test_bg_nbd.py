"""BG/NBD held against hand-worked numbers, numerical integration, published figures and made-up worlds."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from features.errors import InputError, TooLittleHistory
from training.baselines import histories_of
from training.bg_nbd import (
    BGNBD,
    _log_likelihood_and_gradient,
    expected_purchases,
    fit_bg_nbd,
    log_likelihood,
    probability_alive,
    probability_no_purchase,
)

ONES = BGNBD(r=1.0, alpha=1.0, a=1.0, b=1.0)
PUBLISHED = BGNBD(r=0.243, alpha=4.414, a=0.793, b=2.426)

# x, t_x, T: never came back; just arrived; bought on the last day; silent for long; very frequent
CASES = [(0, 0.0, 30.0), (0, 0.0, 0.0), (2, 26.0, 26.0), (3, 5.0, 39.0), (12, 30.0, 31.0)]


# ONES by hand, with E[(1-p)] = E[p] = 1/2, E[exp(-T lambda)] = 1/(1+T), E[lambda exp(-T lambda)] = 1/(1+T)^2.
#   (0, 0, 1): L = 1/2, alive for certain           none in 1: (1/3) / (1/2) = 2/3
#   (1, 1, 3): alive 1/2 1/16, gone 1/2 1/4, L = 5/32, P(alive) = 1/5    none in 4: 1 - 1/5 (1 - (4/8)^2) = 17/20
@pytest.mark.parametrize(
    ("history", "horizon", "likelihood", "alive", "none"),
    [((0, 0.0, 1.0), 1.0, 1 / 2, 1.0, 2 / 3), ((1, 1.0, 3.0), 4.0, 5 / 32, 1 / 5, 17 / 20)],
)
def test_by_hand(history, horizon, likelihood, alive, none):
    assert log_likelihood(ONES, *history) == pytest.approx(np.log(likelihood), rel=1e-14)
    assert_allclose(probability_alive(ONES, *history), alive, rtol=1e-14)
    assert_allclose(probability_no_purchase(ONES, *history, horizon), none, rtol=1e-14)


def branches(model, x, recency, age, of):
    """Both branches of the likelihood over both priors, on a grid; the living times ``of(rate, p)``."""
    node, weight = np.polynomial.legendre.leggauss(500)
    q, top = (node + 1) / 2, (60 / model.alpha) ** 0.25
    rate, p = (top * q[:, None]) ** 4, q**4  # takes the edge off densities that are steep at zero
    d_rate, d_p = 2 * top**4 * q**3 * weight, 2 * q**3 * weight
    density = stats.gamma.pdf(rate, model.r, scale=1 / model.alpha) * stats.beta.pdf(p, model.a, model.b)
    alive = d_rate @ (density * rate**x * (1 - p) ** x * np.exp(-rate * age) * of(rate, p)) @ d_p
    gone = density * rate**x * p * (1 - p) ** (x - 1) * np.exp(-rate * recency) if x else 0 * density
    return alive, d_rate @ gone @ d_p


@pytest.mark.parametrize(
    ("model", "history"),
    [
        (BGNBD(2.0, 6.0, 1.5, 3.0), (0, 0.0, 30.0)),
        (BGNBD(2.0, 6.0, 1.5, 3.0), (3, 5.0, 12.0)),
        (BGNBD(3.0, 2.0, 2.0, 2.0), (2, 4.0, 4.0)),
        (PUBLISHED, (7, 20.0, 39.0)),
    ],
)
def test_agrees_with_integration_over_rate_and_dropout(model, history):
    h = 8.0
    alive, gone = branches(model, *history, lambda *_: 1.0)
    some, _ = branches(model, *history, lambda rate, _: 1 - np.exp(-rate * h))
    expected, _ = branches(model, *history, lambda rate, p: -np.expm1(-rate * p * h) / p)
    assert log_likelihood(model, *history) == pytest.approx(np.log(alive + gone), abs=1e-6)
    assert_allclose(probability_alive(model, *history), alive / (alive + gone), rtol=1e-6)
    assert_allclose(probability_no_purchase(model, *history, h), 1 - some / (alive + gone), rtol=1e-6)
    assert_allclose(expected_purchases(model, *history, h), expected / (alive + gone), rtol=1e-6)


@pytest.mark.parametrize("point", [(0.5, 6.0, 0.9, 1.6), (3.0, 0.2, 0.05, 12.0), (0.02, 40.0, 5.0, 0.1)])
def test_gradient_agrees_with_finite_differences(point):
    histories = histories_of(*zip(*CASES, strict=True), weights=[3, 1, 2, 0.5, 1])
    at = np.log(point)
    slow = optimize.approx_fprime(at, lambda here: _log_likelihood_and_gradient(here, histories)[0], 1e-7)
    assert_allclose(_log_likelihood_and_gradient(at, histories)[1], slow, rtol=1e-4, atol=1e-5)


def test_published_figures_on_cdnow(data_dir):
    # Fader, Hardie and Lee (2005), tables 2 and 3, and their customer with x = 2, t_x = 30.43, T = 38.86: 1.226 in 39 weeks
    end, weeks = pd.Timestamp("1997-09-30"), pd.Timedelta(days=7)
    log = pd.read_parquet(data_dir / "cdnow" / "cdnow_sample.parquet")
    days = log[log["date"] <= end].groupby("customer_id")["date"].agg(["nunique", "min", "max"])
    histories = days["nunique"] - 1, (days["max"] - days["min"]) / weeks, (end - days["min"]) / weeks
    model = fit_bg_nbd(*histories)
    assert len(days) == 2_357
    assert_allclose(astuple(model), astuple(PUBLISHED), rtol=2e-3)
    assert log_likelihood(model, *histories) == pytest.approx(-9582.4, abs=0.05)
    assert expected_purchases(model, 2, 30.43, 38.86, 39.0) == pytest.approx(1.226, abs=5e-4)


def simulate(model, age, horizon, rng):
    """Customers of a BG/NBD world: frequency, recency, and the purchases in [age, age + horizon)."""
    n = len(age)
    rate, dropout = rng.gamma(model.r, 1 / model.alpha, n), rng.beta(model.a, model.b, n)
    x, recency, later, at, alive = (
        np.zeros(n, int),
        np.zeros(n),
        np.zeros(n, int),
        np.zeros(n),
        np.ones(n, bool),
    )
    while alive.any():
        at = at + rng.exponential(size=n) / rate
        alive &= at < age + horizon
        x += alive & (at < age)
        recency = np.where(alive & (at < age), at, recency)
        later += alive & (at >= age)
        alive &= rng.random(n) >= dropout
    return x, recency, later


def test_recovers_the_world_it_was_built_with():
    rng = np.random.default_rng(11)
    age = rng.uniform(10, 104, 40_000)
    x, recency, later = simulate(PUBLISHED, age, 13.0, rng)
    model = fit_bg_nbd(x, recency, age)
    assert_allclose(astuple(model), astuple(PUBLISHED), rtol=0.12)
    gain = log_likelihood(model, x, recency, age) - log_likelihood(PUBLISHED, x, recency, age)
    assert 0 < 2 * gain < 18.5  # chi-squared, four degrees of freedom, 99.9 %
    none = probability_no_purchase(PUBLISHED, x, recency, age, 13.0)
    expected = expected_purchases(PUBLISHED, x, recency, age, 13.0)
    for group in (x == 0, x == 1, (x > 1) & (x < 5), x >= 5):
        of = group.sum()
        assert abs((later[group] == 0).mean() - none[group].mean()) < 4 * np.sqrt(0.25 / of)
        assert abs(later[group].mean() - expected[group].mean()) < 4 * later[group].std() / np.sqrt(of)


@pytest.mark.parametrize("a", [1.0, 1.0 + 1e-13, 1.0 - 1e-13])
def test_expected_purchases_pass_through_the_poles(a):
    def of(near, b=1.6):
        return expected_purchases(BGNBD(0.5, 6.0, near, b), *zip(*CASES, strict=True), 13.0)

    assert_allclose(of(a), (of(0.999) + of(1.001)) / 2, rtol=1e-5)
    assert_allclose(of(0.4, 0.6), (of(0.4, 0.599) + of(0.4, 0.601)) / 2, rtol=1e-4)  # a + b + x - 1 = 0


def test_extremes_stay_finite():
    x, recency, age = np.array([(500, 499.9, 500.0), (500, 1.0, 5_000.0), (0, 0.0, 0.0), (1, 1e-9, 1e-9)]).T
    for model in (PUBLISHED, BGNBD(50.0, 1e-3, 1e-3, 50.0), BGNBD(0.01, 500.0, 60.0, 0.01)):
        assert np.isfinite(log_likelihood(model, x, recency, age))
        assert np.isfinite(expected_purchases(model, x, recency, age, 52.0)).all()
        assert (
            (probability_alive(model, x, recency, age) >= 0)
            & (probability_alive(model, x, recency, age) <= 1)
        ).all()
    assert (probability_alive(PUBLISHED, 0, 0.0, [0.0, 5_000.0]) == 1.0).all()


def test_what_it_refuses():
    with pytest.raises(InputError, match="above 0"):
        BGNBD(1.0, 0.0, 1.0, 1.0)
    with pytest.raises(InputError, match="impossible"):
        probability_alive(ONES, 1, 5.0, 2.0)
    with pytest.raises(InputError, match="horizon_weeks"):
        expected_purchases(ONES, 0, 0.0, 1.0, -1.0)
    with pytest.raises(TooLittleHistory, match="30 customers"):
        fit_bg_nbd([1] * 29, [1.0] * 29, [2.0] * 29)
