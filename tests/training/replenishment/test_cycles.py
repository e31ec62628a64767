"""The cycle model: its likelihood by the multivariate normal and by quadrature, its gradient, what it recovers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.stats import lognorm, multivariate_normal, norm

from tests.training.replenishment.needs import drawn, observations
from training.replenishment.cycle_fit import fit_cycles
from training.replenishment.cycles import COVARIATES, EFFECTS, Cycles, forecast, log_likelihood
from training.replenishment.remaining import (
    Forecast,
    days_left,
    ends_within,
    probability_back,
    probability_over,
)

WIDTH = sum(len(columns) for columns in COVARIATES.values())
MEAN, SPREAD, PAIR_SD, BACK = np.log(30.0), 0.5, 0.4, 0.8


def theta_of(items=1, *, mean=MEAN, spread=SPREAD, pair_sd=PAIR_SD, back=BACK):
    theta = np.zeros(WIDTH + items * len(EFFECTS) + 1)
    theta[0], theta[3], theta[5], theta[-1] = mean, np.log(spread), np.log(back / (1 - back)), np.log(pair_sd)
    return theta


def cycles_of(**given):
    theta = theta_of(**given)
    population = {"eta": tuple(theta[:3]), "spread": tuple(theta[3:5]), "back": tuple(theta[5:8])}
    return Cycles(population, ((0.0,) * len(EFFECTS),), float(theta[-1]), (1.0,) * len(EFFECTS), 0.0)


def test_closed_gaps_of_a_pair_are_jointly_normal_on_the_log_scale():
    days = [20.0, 45.0, 28.0]
    seen = observations([[(d, True) for d in days]])
    cov = SPREAD**2 * np.eye(3) + PAIR_SD**2
    expected = multivariate_normal([MEAN] * 3, cov).logpdf(np.log(days)) + 3 * np.log(BACK)
    assert log_likelihood(theta_of(), 1, seen)[0] == pytest.approx(expected, abs=1e-10)


def test_an_open_gap_counts_for_having_lasted_given_the_closed_ones_and_for_who_never_comes_back():
    """By integrating over the pair's effect: P(closed gaps and still open) as the definition says it."""
    closed, lasted = [20.0, 45.0], 60.0

    def of_effect(u):
        gaps = np.prod([norm.pdf(np.log(d), MEAN + u, SPREAD) for d in closed])
        left = 1 - BACK + BACK * norm.sf(np.log(lasted), MEAN + u, SPREAD)
        return norm.pdf(u, 0, PAIR_SD) * gaps * BACK**2 * left

    expected = np.log(quad(of_effect, -4, 4)[0])
    seen = observations([[(20.0, True), (45.0, True), (lasted, False)]])
    assert log_likelihood(theta_of(), 1, seen)[0] == pytest.approx(expected, abs=1e-8)


def test_pairs_are_independent_and_a_pair_of_one_open_gap_counts():
    pairs = [[(20.0, True), (9.0, False)], [(70.0, False)], [(33.0, True), (31.0, True), (2.0, False)]]
    together = log_likelihood(theta_of(), 1, observations(pairs))[0]
    assert together == pytest.approx(sum(log_likelihood(theta_of(), 1, observations([p]))[0] for p in pairs))
    alone = np.log(1 - BACK + BACK * norm.sf(np.log(70.0), MEAN, np.hypot(SPREAD, PAIR_SD)))
    assert log_likelihood(theta_of(), 1, observations([[(70.0, False)]]))[0] == pytest.approx(alone)


@given(st.integers(0, 10**6))
def test_the_gradient_is_that_of_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    pairs = [
        [*((d, True) for d in rng.uniform(2, 90, rng.integers(0, 4))), (rng.uniform(1, 400), False)]
        for _ in range(6)
    ]
    n = sum(map(len, pairs))
    seen = observations(pairs, item=[0, 1, 0, 1, 2, 2], units=rng.normal(size=n), pace=rng.normal(size=n))
    theta = rng.normal(0.0, 0.3, theta_of(3).size) + theta_of(3)
    slope = approx_fprime(theta, lambda at: log_likelihood(at, 3, seen)[0], 1e-7)
    assert log_likelihood(theta, 3, seen)[1] == pytest.approx(slope, rel=2e-4, abs=2e-4)


@pytest.fixture(scope="module")
def recovered():
    offsets = np.array([-0.5, -0.2, 0.0, 0.2, 0.5])
    seen = drawn(np.random.default_rng(4), 2_000, offsets)
    return offsets, fit_cycles(seen, len(offsets))


def test_the_parameters_are_recovered(recovered):
    offsets, cycles = recovered
    items = np.array(cycles.items)
    medians = cycles.population["eta"][0] + items[:, 0]
    assert medians == pytest.approx(np.log(30.0) + offsets, abs=0.06)
    assert cycles.population["eta"][1] == pytest.approx(0.8, abs=0.05)  # the exponent of the units
    assert np.exp(cycles.population["spread"][0]) == pytest.approx(0.4, rel=0.06)
    assert np.exp(cycles.log_pair_sd) == pytest.approx(0.3, rel=0.15)
    assert 1 / (1 + np.exp(-cycles.population["back"][0])) == pytest.approx(0.9, abs=0.02)


def test_the_priors_are_as_wide_as_the_items_differ(recovered):
    offsets, cycles = recovered
    assert cycles.effect_sd[0] == pytest.approx(offsets.std(), rel=0.35)
    assert max(cycles.effect_sd[1:]) < 0.15  # exponents, spreads and returns do not differ here


def test_an_item_with_little_evidence_stays_near_the_population():
    rng = np.random.default_rng(9)
    many = drawn(rng, 800, np.array([0.0, 0.3, -0.3]))
    rare = observations([[(200.0, True), (300.0, False)]], item=[3])
    parts = {
        name: np.concatenate([getattr(of, name) for of in (many, rare)])
        for name in ("log_days", "closed", "first", "item")
    }
    columns = {name: np.concatenate([many.columns[name], rare.columns[name]]) for name in many.columns}
    cycles = fit_cycles(type(many)(**parts, columns=columns), 4)
    assert 0.0 < cycles.items[3][0] < 0.6 * np.log(200 / np.exp(cycles.population["eta"][0]))


def test_censored_gaps_are_not_dropped():
    """Watched for one median gap only, the closed gaps alone look far too short."""
    seen = drawn(np.random.default_rng(6), 3_000, np.zeros(1), window_days=60.0, exponent=0.0, back=1.0)
    assert np.exp(seen.log_days[seen.closed]).mean() < 24
    cycles = fit_cycles(seen, 1)
    assert np.exp(cycles.population["eta"][0] + cycles.items[0][0]) == pytest.approx(30.0, rel=0.1)


def test_a_customer_s_own_gaps_weigh_as_the_precisions_say():
    """Mean of N(MEAN, .4^2) given three gaps of 60 days with spread .5: weight .4^2 / (.4^2 + .5^2 / 3)."""
    seen = observations([[(60.0, True)] * 3 + [(5.0, False)], [(5.0, False)]])
    gap = forecast(cycles_of(), seen)
    weight = 0.16 / (0.16 + 0.25 / 3)
    assert gap.mean == pytest.approx([MEAN + weight * (np.log(60.0) - MEAN), MEAN])
    assert gap.sd == pytest.approx([np.sqrt(0.25 + 0.16 * (1 - weight)), np.sqrt(0.25 + 0.16)])
    assert gap.back == pytest.approx([BACK, BACK])


def test_a_pair_s_forecast_is_the_same_bits_among_others():
    pairs = [[(31.0, True), (29.0, True), (8.0, False)], [(55.5, True), (1.0, False)], [(12.0, False)]]
    together = forecast(cycles_of(), observations(pairs))
    for number, pair in enumerate(pairs):
        alone = forecast(cycles_of(), observations([pair]))
        assert (alone.mean[0], alone.sd[0], alone.back[0]) == (
            together.mean[number], together.sd[number], together.back[number],
        )  # fmt: skip


# --- what is left of a gap --------------------------------------------------------------------------------------------

GAP = Forecast(np.array([np.log(30.0)]), np.array([0.5]), np.array([0.8]))


@given(st.floats(0.5, 120.0), st.floats(0.05, 0.95))
def test_the_days_left_are_the_quantile_of_the_truncated_rest(elapsed, share):
    of = lognorm(0.5, scale=30.0)
    left = days_left(GAP, np.array([elapsed]), share, 180.0)[0]
    reached = (of.cdf(elapsed + left) - of.cdf(elapsed)) / (of.cdf(elapsed + 180.0) - of.cdf(elapsed))
    assert reached == pytest.approx(share, abs=1e-6)
    assert 0.0 <= left <= 180.0


@given(st.floats(0.5, 300.0), st.floats(1.0, 200.0))
def test_probabilities_are_those_of_bayes(elapsed, days):
    of = lognorm(0.5, scale=30.0)
    stays, over = 0.2 + 0.8 * of.sf(elapsed), 0.8 * (of.sf(elapsed) - of.sf(elapsed + days))
    assert probability_over(GAP, np.array([elapsed]), days)[0] == pytest.approx(over / stays, abs=1e-9)
    assert probability_back(GAP, np.array([elapsed]))[0] == pytest.approx(
        0.8 * of.sf(elapsed) / stays, abs=1e-9
    )


def test_many_horizons_at_once_are_each_of_them():
    gap, elapsed = (
        Forecast(np.log([30.0, 60.0]), np.array([0.5, 0.3]), np.array([0.8, 0.6])),
        np.array([10.0, 90.0]),
    )
    several = probability_over(gap, elapsed, np.array([7.0, 30.0]))
    assert several == pytest.approx(np.column_stack([probability_over(gap, elapsed, h) for h in (7.0, 30.0)]))


def test_a_silence_of_years_leaves_numbers():
    gap, elapsed = Forecast(np.log([20.0]), np.array([0.1]), np.array([0.999])), np.array([3_000.0])
    assert 0.0 <= probability_back(gap, elapsed)[0] < 1e-300
    assert 0.0 < ends_within(gap, elapsed, 30.0)[0] <= 1.0
    assert 0.0 < days_left(gap, elapsed, 0.5, 180.0)[0] < 180.0
