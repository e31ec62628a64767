"""Gamma-Gamma held against hand-worked numbers, integration, published figures and a made-up world."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, optimize, stats

from features.errors import InputError, TooLittleHistory
from training.gamma_gamma import (
    GammaGamma,
    _log_likelihood_and_gradient,
    expected_mean_spend,
    fit_gamma_gamma,
    frequency_spend_correlation,
    log_likelihood,
)

PUBLISHED = GammaGamma(p=6.25, q=3.74, gamma=15.44)


def test_expected_spend_by_hand():
    # p = 2, q = 3, gamma = 10: everybody's mean 2 * 10 / 2 = 10; one day of 30: 2 (10 + 30) / (2 + 2) = 20;
    # four days of 30: 2 (10 + 120) / (8 + 2) = 26
    model = GammaGamma(2.0, 3.0, 10.0)
    assert model.population_mean == 10.0
    assert_allclose(
        expected_mean_spend(model, [0, 1, 4], [np.nan, 30.0, 30.0]), [10.0, 20.0, 26.0], rtol=1e-15
    )


@pytest.mark.parametrize(("x", "mean"), [(1, 3.0), (4, 40.0), (9, 21.0)])
def test_agrees_with_integration_over_the_rate(x, mean):
    """The mean of x gammas is gamma with shape p x and rate nu x; nu ~ gamma(q, rate gamma)."""
    p, q, gamma = astuple(PUBLISHED)

    def density(nu):
        return stats.gamma.pdf(mean, p * x, scale=1 / (nu * x)) * stats.gamma.pdf(nu, q, scale=1 / gamma)

    likelihood = integrate.quad(density, 0, 5, limit=200)[0]
    expected = integrate.quad(lambda nu: density(nu) * p / nu, 0, 5, limit=200)[0] / likelihood
    assert log_likelihood(PUBLISHED, [x], [mean]) == pytest.approx(np.log(likelihood), abs=1e-7)
    assert_allclose(expected_mean_spend(PUBLISHED, x, mean), expected, rtol=1e-6)


def test_gradient_agrees_with_finite_differences():
    x, mean = np.array([1.0, 3.0, 20.0]), np.array([5.0, 80.0, 30.0])
    for point in ([6.0, 3.0, 15.0], [0.4, 1.2, 90.0]):
        slow = optimize.approx_fprime(point, lambda at: _log_likelihood_and_gradient(at, x, mean)[0], 1e-6)
        assert_allclose(_log_likelihood_and_gradient(np.array(point), x, mean)[1], slow, rtol=1e-4, atol=1e-4)


def test_published_figures_on_cdnow(data_dir):
    # Fader and Hardie (2013): p = 6.25, q = 3.74, gamma = 15.44 for the 946 customers who came again. The likelihood is flat
    # along a ridge: what was printed there is within a thousandth of ours
    log = pd.read_parquet(data_dir / "cdnow" / "cdnow_sample.parquet")
    days = (
        log[log["date"] <= "1997-09-30"].groupby(["customer_id", "date"])["dollar_value"].sum().reset_index()
    )
    later = days[days["date"] > days.groupby("customer_id")["date"].transform("min")]
    seen = later.groupby("customer_id")["dollar_value"].agg(["size", "mean"])
    model = fit_gamma_gamma(seen["size"], seen["mean"])
    assert len(seen) == 946
    assert_allclose(astuple(model), astuple(PUBLISHED), rtol=0.015)
    ours, theirs = (log_likelihood(m, seen["size"], seen["mean"]) for m in (model, PUBLISHED))
    assert abs(ours - theirs) < 1e-3
    assert frequency_spend_correlation(seen["size"], seen["mean"]) == pytest.approx(0.11, abs=0.01)


def world(n, rng):
    x = rng.geometric(0.3, n)
    rate = rng.gamma(PUBLISHED.q, 1 / PUBLISHED.gamma, n)
    return x, rng.gamma(PUBLISHED.p * x) / (rate * x), PUBLISHED.p / rate


def test_recovers_the_world_it_was_built_with():
    x, mean, true = world(40_000, np.random.default_rng(5))
    model = fit_gamma_gamma(x, mean)
    assert_allclose(astuple(model), astuple(PUBLISHED), rtol=0.05)
    expected = expected_mean_spend(model, x, mean)
    for group in (x == 1, x == 3, x > 6, mean > 60):
        assert abs((expected - true)[group].mean()) < 4 * (expected - true)[group].std() / np.sqrt(
            group.sum()
        )
    assert abs(frequency_spend_correlation(x, mean)) < 4 / np.sqrt(40_000)


def test_the_currency_is_only_a_unit():
    x, mean, _ = world(500, np.random.default_rng(2))
    pence, pounds = fit_gamma_gamma(x, mean * 100), fit_gamma_gamma(x, mean)
    assert_allclose(astuple(pence), (pounds.p, pounds.q, pounds.gamma * 100), rtol=1e-4)


def test_correlation_by_hand():
    # deviations -1, 0, 1 and -1, 1, 0: 1 over sqrt(2) sqrt(2)
    assert frequency_spend_correlation([1, 2, 3], [1.0, 3.0, 2.0]) == pytest.approx(0.5)


def test_what_it_refuses():
    with pytest.raises(InputError, match="q above 1"):
        GammaGamma(1.0, 1.0, 1.0)
    with pytest.raises(InputError, match="2 others of 3"):
        fit_gamma_gamma([0, 1, 1], [1.0, 0.0, 2.0])
    with pytest.raises(InputError, match="one entry a customer"):
        fit_gamma_gamma([1, 2], [1.0])
    with pytest.raises(InputError, match="customer 1 is impossible"):
        expected_mean_spend(PUBLISHED, [1, 1], [1.0, -2.0])
    with pytest.raises(TooLittleHistory, match="got 29"):
        fit_gamma_gamma([1] * 29, np.arange(1.0, 30.0))
    with pytest.raises(TooLittleHistory, match="all alike"):
        fit_gamma_gamma([1] * 40, [7.0] * 40)
    with pytest.raises(InputError, match="differ"):
        frequency_spend_correlation([2, 2], [1.0, 3.0])
