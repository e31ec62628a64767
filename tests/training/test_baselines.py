"""MBG/NBD held against hand-worked numbers, numerical integration, published figures and made-up worlds."""

import subprocess
import sys
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats

from features.errors import InputError, TooLittleHistory
from training.baselines import (
    MBGNBD,
    MINIMUM_CUSTOMERS,
    _log_likelihood_and_gradient,
    expected_purchases,
    fit_mbg_nbd,
    histories_of,
    log_likelihood,
    probability_alive,
    probability_no_purchase,
)

ONES = MBGNBD(r=1.0, alpha=1.0, a=1.0, b=1.0)
CDNOW_LIKE = MBGNBD(r=0.525, alpha=6.18, a=0.89, b=1.61)

# x, t_x, T: never came back; just arrived; bought on the last day; silent for long; very frequent
CASES = [(0, 0.0, 30.0), (0, 0.0, 0.0), (2, 26.0, 26.0), (3, 5.0, 39.0), (12, 30.0, 31.0)]


def simulate(model, age, horizon, rng):
    """Customers of an MBG/NBD world: frequency, recency, and the purchases in [age, age + horizon)."""
    n = len(age)
    rate, dropout = rng.gamma(model.r, 1 / model.alpha, n), rng.beta(model.a, model.b, n)
    x, recency, later, at = np.zeros(n, int), np.zeros(n), np.zeros(n, int), np.zeros(n)
    alive = rng.random(n) >= dropout  # the first purchase is at time zero and has its coin, too
    while alive.any():
        at = at + rng.exponential(size=n) / rate
        alive &= at < age + horizon
        x += alive & (at < age)
        recency = np.where(alive & (at < age), at, recency)
        later += alive & (at >= age)
        alive &= rng.random(n) >= dropout
    return x, recency, later


# ONES by hand. E over lambda ~ Exp(1), p ~ U(0, 1), with E[(1-p)^k] = 1/(k+1), E[p(1-p)] = 1/6,
# E[exp(-T lambda)] = 1/(1+T), E[lambda exp(-T lambda)] = 1/(1+T)^2.
#   (0, 0, 1): alive 1/2 1/2, gone 1/2                      L = 3/4   P(alive) = 1/3
#   (1, 1, 3): alive 1/3 1/16, gone 1/6 1/4                 L = 1/16  P(alive) = 1/3
# none in h: (0, 0, 1), h = 1: 1 - 1/3 (1 - 2/3) = 8/9;  (1, 1, 3), h = 4: 1 - 1/3 (1 - (4/8)^2) = 3/4
@pytest.mark.parametrize(
    ("history", "horizon", "likelihood", "alive", "none"),
    [((0, 0.0, 1.0), 1.0, 3 / 4, 1 / 3, 8 / 9), ((1, 1.0, 3.0), 4.0, 1 / 16, 1 / 3, 3 / 4)],
)
def test_by_hand(history, horizon, likelihood, alive, none):
    assert log_likelihood(ONES, *history) == pytest.approx(np.log(likelihood), rel=1e-14)
    assert_allclose(probability_alive(ONES, *history), alive, rtol=1e-14)
    assert_allclose(probability_no_purchase(ONES, *history, horizon), none, rtol=1e-14)


def branches(model, x, recency, age, of):
    """Both branches of the likelihood over both priors, on a grid; the living times ``of(rate, p)``."""
    node, weight = np.polynomial.legendre.leggauss(500)
    # Fourth powers of the nodes take the edge off densities that are steep or infinite at zero.
    q, top = (node + 1) / 2, (60 / model.alpha) ** 0.25
    rate, p = (top * q[:, None]) ** 4, q**4
    d_rate, d_p = 2 * top**4 * q**3 * weight, 2 * q**3 * weight
    density = stats.gamma.pdf(rate, model.r, scale=1 / model.alpha) * stats.beta.pdf(p, model.a, model.b)
    survived = density * rate**x * (1 - p) ** x
    alive = d_rate @ (survived * (1 - p) * np.exp(-rate * age) * of(rate, p)) @ d_p
    return alive, d_rate @ (survived * p * np.exp(-rate * recency)) @ d_p


@pytest.mark.parametrize(
    ("model", "history"),
    [
        (MBGNBD(2.0, 6.0, 1.5, 3.0), (0, 0.0, 30.0)),
        (MBGNBD(2.0, 6.0, 1.5, 3.0), (3, 5.0, 12.0)),
        (MBGNBD(3.0, 2.0, 2.0, 2.0), (2, 4.0, 4.0)),
        (CDNOW_LIKE, (0, 0.0, 0.0)),
        (CDNOW_LIKE, (7, 20.0, 39.0)),
    ],
)
def test_agrees_with_integration_over_rate_and_dropout(model, history):
    h = 8.0
    alive, gone = branches(model, *history, lambda *_: 1.0)
    some, _ = branches(model, *history, lambda rate, _: 1 - np.exp(-rate * h))
    expected, _ = branches(model, *history, lambda rate, p: -np.expm1(-rate * p * h) / p)
    assert log_likelihood(model, *history) == pytest.approx(np.log(alive + gone), abs=1e-7)
    assert_allclose(probability_alive(model, *history), alive / (alive + gone), rtol=1e-7)
    assert_allclose(probability_no_purchase(model, *history, h), 1 - some / (alive + gone), rtol=1e-7)
    assert_allclose(expected_purchases(model, *history, h), expected / (alive + gone), rtol=1e-7)


@pytest.mark.parametrize("point", [(0.5, 6.0, 0.9, 1.6), (3.0, 0.2, 0.05, 12.0), (0.02, 40.0, 5.0, 0.1)])
def test_gradient_agrees_with_finite_differences(point):
    histories = histories_of(*zip(*CASES, strict=True), weights=[3, 1, 2, 0.5, 1])
    log_point = np.log(point)
    slow = optimize.approx_fprime(log_point, lambda at: _log_likelihood_and_gradient(at, histories)[0], 1e-7)
    assert_allclose(_log_likelihood_and_gradient(log_point, histories)[1], slow, rtol=1e-4, atol=1e-5)


def cdnow_histories(data_dir):
    """Frequency, recency and age in weeks of the 2,357 sampled customers, 39 weeks to 1997-09-30."""
    end = pd.Timestamp("1997-09-30")
    log = pd.read_parquet(data_dir / "cdnow" / "cdnow_sample.parquet")
    days = log[log["date"] <= end].groupby("customer_id")["date"].agg(["nunique", "min", "max"])
    weeks = pd.Timedelta(days=7)
    return days["nunique"] - 1, (days["max"] - days["min"]) / weeks, (end - days["min"]) / weeks


def test_published_figures_on_cdnow(data_dir):
    # r, alpha, a, b and LL as published for this sample (Hoppe and Wagner 2007; R package BTYDplus)
    histories = cdnow_histories(data_dir)
    model = fit_mbg_nbd(*histories)
    assert len(histories[0]) == 2_357
    assert_allclose(astuple(model), (0.525, 6.183, 0.891, 1.614), rtol=2e-3)
    assert log_likelihood(model, *histories) == pytest.approx(-9582.1, abs=0.1)


@pytest.mark.parametrize("truth", [CDNOW_LIKE, MBGNBD(r=1.2, alpha=8.0, a=0.3, b=2.5)])
def test_recovers_the_world_it_was_built_with(truth):
    rng = np.random.default_rng(11)
    age = rng.uniform(10, 104, 40_000)
    x, recency, later = simulate(truth, age, 13.0, rng)
    model = fit_mbg_nbd(x, recency, age)
    assert_allclose(astuple(model), astuple(truth), rtol=0.08)
    # Twice the gain over the truth is chi-squared with four degrees of freedom: 18.5 is its 99.9 % point.
    gain = log_likelihood(model, x, recency, age) - log_likelihood(truth, x, recency, age)
    assert 0 < 2 * gain < 18.5
    none = probability_no_purchase(truth, x, recency, age, 13.0)
    expected = expected_purchases(truth, x, recency, age, 13.0)
    for group in (x == 0, x == 1, (x > 1) & (x < 5), x >= 5):
        of = group.sum()
        assert abs((later[group] == 0).mean() - none[group].mean()) < 4 * np.sqrt(0.25 / of)
        assert abs(later[group].mean() - expected[group].mean()) < 4 * later[group].std() / np.sqrt(of)


def small_world(n=300):
    rng = np.random.default_rng(5)
    age = np.ceil(rng.uniform(1, 20, n))
    x, recency, _ = simulate(CDNOW_LIKE, age, 0.0, rng)
    return x, np.where(x > 0, np.ceil(recency), 0.0), age


def test_row_order_does_not_matter_and_a_weight_is_a_number_of_rows():
    x, recency, age = small_world()
    times = np.arange(len(x)) % 3  # weight 0: as if the row were not there
    shuffled = np.random.default_rng(0).permutation(np.repeat(np.arange(len(x)), times))
    weighted = fit_mbg_nbd(x, recency, age, weights=times)
    assert fit_mbg_nbd(x[shuffled], recency[shuffled], age[shuffled]) == weighted
    assert len(histories_of(x, recency, age, None).age) == len(set(zip(x, recency, age, strict=True)))
    assert weighted != fit_mbg_nbd(x, recency, age)


def test_the_time_unit_is_only_a_unit():
    x, recency, age = small_world()
    weeks, days = fit_mbg_nbd(x, recency, age), fit_mbg_nbd(x, recency * 7, age * 7)
    assert_allclose(astuple(days), (weeks.r, weeks.alpha * 7, weeks.a, weeks.b), rtol=1e-5)


def test_the_optimum_is_one():
    x, recency, age = small_world(2_000)
    model = fit_mbg_nbd(x, recency, age)
    best = log_likelihood(model, x, recency, age)
    for name, value in asdict(model).items():
        for factor in (0.9, 1.1):
            assert log_likelihood(MBGNBD(**(asdict(model) | {name: value * factor})), x, recency, age) < best


@pytest.mark.parametrize(
    ("x", "recency", "age"),
    [
        ([10] * 40, [30.0] * 40, [30.0] * 40),  # nobody has ever stopped, all alike
        ([1] * 40, [0.2] * 40, [50.0] * 40),  # everybody stopped after the second purchase
        ([0] * 39 + [1], [0.0] * 39 + [1.0], [50.0] * 40),  # a single repeat purchase
        ([0] * 39 + [500], [0.0] * 39 + [80.0], [80.0] * 40),  # one customer unlike all others
    ],
)
def test_degenerate_worlds_still_give_a_usable_model(x, recency, age):
    model = fit_mbg_nbd(x, recency, age)
    assert all(1e-4 < value < 1e5 for value in astuple(model))
    none = probability_no_purchase(model, x, recency, age, 13.0)
    assert np.all((none >= 0) & (none <= 1))


def test_extremes_stay_finite():
    x, recency, age = np.array([(500, 499.9, 500.0), (500, 1.0, 5_000.0), (0, 0.0, 0.0), (1, 1e-9, 1e-9)]).T
    for model in (CDNOW_LIKE, MBGNBD(50.0, 1e-3, 1e-3, 50.0), MBGNBD(0.01, 500.0, 60.0, 0.01)):
        assert np.isfinite(log_likelihood(model, x, recency, age))
        alive = probability_alive(model, x, recency, age)
        assert np.all((alive >= 0) & (alive <= 1))
        assert np.isfinite(expected_purchases(model, x, recency, age, 52.0)).all()
    assert probability_alive(CDNOW_LIKE, 500, 1.0, 5_000.0) < 1e-100
    # At T = t_x the odds are the coin's own: (b + x) to a.
    assert_allclose(probability_alive(CDNOW_LIKE, 4, 9.0, 9.0), 5.61 / (5.61 + 0.89), rtol=1e-13)


@given(
    x=st.integers(1, 60),
    share=st.floats(0.01, 1.0),
    age=st.floats(0.5, 200.0),
    horizons=st.tuples(st.floats(0, 60), st.floats(0, 60)),
)
def test_longer_waits_find_more_purchases_and_longer_silence_fewer(x, share, age, horizons):
    near, far = sorted(horizons)
    history = (x, share * age, age)
    none = probability_no_purchase(CDNOW_LIKE, *history, horizons)
    assert probability_no_purchase(CDNOW_LIKE, *history, far) <= probability_no_purchase(
        CDNOW_LIKE, *history, near
    )
    assert np.all(none >= 1 - probability_alive(CDNOW_LIKE, *history) - 1e-15)
    assert probability_no_purchase(CDNOW_LIKE, *history, 0.0) == 1.0
    silent = probability_alive(CDNOW_LIKE, x, share * age, age + 1.0)
    assert silent < probability_alive(CDNOW_LIKE, *history)
    assert np.all(expected_purchases(CDNOW_LIKE, *history, horizons) >= 1 - none - 1e-12)


@pytest.mark.parametrize("a", [1.0, 1.0 + 1e-13, 1.0 - 1e-13])
def test_expected_purchases_pass_through_the_pole(a):
    of = [
        expected_purchases(MBGNBD(0.5, 6.0, near, 1.6), *zip(*CASES, strict=True), 13)
        for near in (0.999, a, 1.001)
    ]
    assert_allclose(of[1], (of[0] + of[2]) / 2, rtol=1e-5)


def test_arguments_broadcast():
    x, recency, age = np.array(CASES).T
    table = probability_no_purchase(CDNOW_LIKE, x[:, None], recency[:, None], age[:, None], [1.0, 13.0])
    assert table.shape == (5, 2)
    assert_array_equal(table[:, 1], probability_no_purchase(CDNOW_LIKE, x, recency, age, 13.0))


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (([0, 2], [0.0, 5.0], [9.0, 3.0]), r"history 1 is impossible: .*\[2.0, 5.0, 3.0\]"),
        (([0.5], [1.0], [2.0]), "frequency must be whole"),
        (([-1], [0.0], [2.0]), "impossible"),
        (([0], [1.0], [2.0]), "recency > 0 exactly when"),
        (([1], [0.0], [2.0]), "Merge purchases by day"),
        (([1], [-1.0], [2.0]), "impossible"),
        (([np.nan], [1.0], [2.0]), "impossible"),
        (([1], [np.nan], [2.0]), "impossible"),
        (([1], [1.0], [np.inf]), "impossible"),
        (([1, 2], [1.0, 1.0, 1.0], [2.0]), r"shapes \(2,\), \(3,\) and \(1,\)"),
    ],
)
def test_impossible_histories_are_refused(history, says):
    for use in (lambda: probability_alive(ONES, *history), lambda: fit_mbg_nbd(*history)):
        with pytest.raises(InputError, match=says):
            use()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_impossible_parameters_weights_and_horizons_are_refused(wrong):
    for value in (wrong, 0.0):
        with pytest.raises(InputError, match="above 0"):
            MBGNBD(1.0, value, 1.0, 1.0)
    for weights in ([1.0], [1.0, wrong]):
        with pytest.raises(InputError, match="weights must be finite and >= 0"):
            fit_mbg_nbd([0, 1], [0.0, 1.0], [2.0, 2.0], weights=weights)
    for predict in (probability_no_purchase, expected_purchases):
        with pytest.raises(InputError, match="horizon_weeks"):
            predict(ONES, 0, 0.0, 1.0, wrong)


def test_too_little_history():
    few = MINIMUM_CUSTOMERS - 1
    with pytest.raises(
        TooLittleHistory, match=f"needs {few + 1} customers .* got {few} customers, {few} of them"
    ):
        fit_mbg_nbd([1] * few, [1.0] * few, [2.0] * few)
    with pytest.raises(TooLittleHistory, match="0 of them"):
        fit_mbg_nbd([0] * 100, [0.0] * 100, [2.0] * 100)
    with pytest.raises(TooLittleHistory, match="got 0 customers"):
        fit_mbg_nbd([], [], [])
    assert fit_mbg_nbd([1] * (few + 1), [1.0] * (few + 1), [2.0] * (few + 1)).r > 0


def test_a_process_that_predicts_loads_no_optimiser():
    program = """
import sys
from training import baselines, calibration, intervals, metrics
model = baselines.MBGNBD(1.0, 1.0, 1.0, 1.0)
baselines.probability_no_purchase(model, 1, 1.0, 3.0, 4.0)
print(sorted({"scipy.optimize", "scipy.special", "sklearn"} & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
