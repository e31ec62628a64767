"""Platt calibration by hand, against a general optimiser, and on worlds with a known distortion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import optimize, special

from features.errors import InputError
from training.calibration import PlattCalibration, apply, expit, fit_platt, fit_slope, logit


def slow_fit(logits, y, weights):
    def loss(beta):
        p = np.clip(special.expit(beta[0] + beta[1] * logits), 1e-300, 1 - 1e-16)
        fit = -np.sum(weights * np.where(y == 1, np.log(p), np.log(1 - p)))
        return fit + beta[0] ** 2 / 2 + (beta[1] - 1) ** 2 / (2 * 0.25)

    return optimize.minimize(
        loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    ).x


def world(n, intercept, slope, seed=4):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.5, 1.5, n)
    return logits, (rng.random(n) < special.expit(intercept + slope * logits)).astype(float)


@pytest.mark.parametrize("n", [1, 20, 3_000])
def test_agrees_with_a_general_optimiser(n):
    logits, y = world(n, -0.7, 0.6)
    weights = 0.5 + np.arange(n) % 3
    fitted = fit_platt(logits, y, weights)
    assert_allclose((fitted.intercept, fitted.slope), slow_fit(logits, y, weights), atol=1e-6)


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (-0.8, 0.6), (0.5, 1.6)])
def test_recovers_the_distortion_a_world_was_built_with(intercept, slope):
    fitted = fit_platt(*world(40_000, intercept, slope))
    assert fitted.intercept == pytest.approx(intercept, abs=0.05)
    assert fitted.slope == pytest.approx(slope, abs=0.05)


def test_one_row_by_hand():
    # One positive at logit 0 leaves the slope alone; the intercept c solves 1 - expit(c) = c.
    fitted = fit_platt([0.0], [1])
    assert fitted.slope == 1.0
    assert fitted.intercept == pytest.approx(0.401058, abs=1e-6)


def test_without_evidence_the_model_is_left_as_it_is():
    assert fit_platt([], []) == PlattCalibration(0.0, 1.0) == PlattCalibration()
    assert fit_platt([1.0, 2.0], [0, 0], [0.0, 0.0]) == PlattCalibration()
    p = np.array([0.01, 0.5, 0.9])
    assert_allclose(apply(PlattCalibration(), logit(p)), p, rtol=1e-14)


def test_more_evidence_shrinks_less():
    slopes = [
        fit_platt(*world(n, 0.0, 0.3), np.full(n, 50_000 / n) if n == 50_000 else None).slope
        for n in (10, 200, 50_000)
    ]
    assert 1.0 > slopes[0] > slopes[1] > slopes[2] > 0.25


def test_a_weight_is_a_number_of_rows():
    logits, y = world(60, 0.3, 0.8)
    times = np.arange(60) % 4
    by_weight, by_rows = fit_platt(logits, y, times), fit_platt(np.repeat(logits, times), np.repeat(y, times))
    assert_allclose((by_weight.intercept, by_weight.slope), (by_rows.intercept, by_rows.slope), rtol=1e-9)


@pytest.mark.parametrize("y", [np.zeros(500), np.ones(500)])
def test_a_single_class_stays_finite(y):
    p = apply(fit_platt(np.linspace(-3, 3, 500), y), np.linspace(-3, 3, 500))
    assert np.all((p > 0) & (p < 1))
    assert abs(p.mean() - y.mean()) < 0.05


def test_huge_logits_converge():
    logits, y = world(2_000, 0.0, 1.0)
    fitted = fit_platt(logits * 1_000, y)  # a thousand times too sure of itself
    assert fitted.slope == pytest.approx(0.001, rel=0.1)
    backwards = fit_platt(-logits * 1_000, y)
    assert backwards.slope == pytest.approx(-0.001, rel=0.1)


def test_apply_by_hand():
    # intercept log 3, slope 0: odds of 3 to 1 for everybody; intercept 0, slope 2: odds squared, 3 -> 9
    assert_allclose(apply(PlattCalibration(np.log(3), 0.0), [-5.0, 5.0]), [0.75, 0.75])
    assert_allclose(apply(PlattCalibration(0.0, 2.0), np.log(3)), 0.9)


def test_the_ends_are_safe():
    assert_allclose(logit([0.0, 1.0]), [np.log(1e-12), -np.log(1e-12)], rtol=1e-5)
    assert_allclose(expit([-1e4, -745.0, 0.0, 1e4]), [0.0, np.exp(-745.0), 0.5, 1.0])
    assert_allclose(expit([-np.inf, np.inf]), [0.0, 1.0])


@given(st.floats(1e-12, 1 - 1e-12))
def test_expit_undoes_logit(p):
    assert expit(logit(p)) == pytest.approx(p, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("p", [-0.01, 1.01, np.nan])
def test_logit_refuses_what_is_no_probability(p):
    with pytest.raises(InputError, match="within"):
        logit([0.5, p])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([0.0, np.inf], [0, 1]), "finite logits"),
        (([0.0, np.nan], [0, 1]), "finite logits"),
        (([0.0, 1.0], [0, 3]), "must be 0 or 1"),
        (([0.0, 1.0], [0]), "equally long"),
        (([], [1]), "equally long"),
        (([0.0, 1.0], [0, 1], [1.0]), r"of shape \(2,\), got shape \(1,\)"),
        (([0.0, 1.0], [0, 1], [1.0, -1.0]), "weights must be finite"),
        (([0.0, 1.0], [0, 1], [1.0, np.nan]), "weights must be finite"),
    ],
)
def test_unusable_input_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        fit_platt(*arguments)


# ------------------------------------------------------------------------------------------------- one slope, many levels


def slow_slope(logits, y, groups):
    names = sorted(set(groups))

    def loss(beta):
        p = special.expit(beta[0] * logits + np.array([beta[1 + names.index(group)] for group in groups]))
        p = np.clip(p, 1e-300, 1 - 1e-16)
        fit = -np.sum(np.where(y == 1, np.log(p), np.log(1 - p)))
        return fit + (beta[0] - 1) ** 2 / (2 * 0.25) + np.sum(beta[1:] ** 2) / 2

    return optimize.minimize(loss, [1.0] + [0.0] * len(names), method="BFGS", options={"gtol": 1e-8}).x[0]


def seasons(n, slope, levels, seed=4):
    """A world whose level differs from group to group; the slope does not."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(len(levels), size=n)
    logits = rng.normal(0.5, 1.5, n)
    y = (rng.random(n) < special.expit(np.asarray(levels)[groups] + slope * logits)).astype(float)
    return logits, y, groups


@pytest.mark.parametrize("n", [1, 30, 600])
def test_the_slope_agrees_with_a_general_optimiser(n):
    logits, y, groups = seasons(n, 0.6, [-1.0, 0.2, 0.7])
    assert fit_slope(logits, y, groups).slope == pytest.approx(slow_slope(logits, y, groups), abs=1e-5)


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.4])
def test_the_slope_is_recovered_whatever_the_levels(slope):
    world = seasons(40_000, slope, [-1.5, 0.0, 1.5])
    assert fit_slope(*world) == PlattCalibration(0.0, pytest.approx(slope, abs=0.05))
    # One level for all would mistake the seasons for noise.
    if slope >= 1.0:
        assert fit_platt(*world[:2]).slope < slope - 0.05


def test_a_level_of_a_group_is_no_evidence_about_the_slope():
    # By hand: at logit 0 the slope has no say, whatever the outcomes; it stays at its prior mean of 1.
    assert fit_slope([0.0, 0.0, 0.0], [1, 0, 1], ["a", "a", "b"]) == PlattCalibration(0.0, 1.0)


def test_the_names_and_the_order_of_groups_do_not_matter():
    logits, y, groups = seasons(500, 0.8, [-1.0, 1.0])
    renamed = np.array(["spring", "autumn"])[groups]
    backwards = fit_slope(logits[::-1], y[::-1], groups[::-1])
    assert fit_slope(logits, y, renamed).slope == pytest.approx(fit_slope(logits, y, groups).slope, abs=1e-9)
    assert backwards.slope == pytest.approx(fit_slope(logits, y, groups).slope, abs=1e-9)


def test_without_rows_the_slope_is_left_as_it_is():
    assert fit_slope([], [], []) == PlattCalibration()


@pytest.mark.parametrize("y", [np.zeros(300), np.ones(300)])
def test_a_slope_of_a_single_class_stays_finite(y):
    fitted = fit_slope(np.linspace(-3, 3, 300), y, np.arange(300) % 3)
    assert 0.0 < fitted.slope < 3.0


def test_a_slope_needs_outcomes():
    with pytest.raises(InputError, match="must be 0 or 1"):
        fit_slope([0.0, 1.0], [0, 2], [0, 0])
    with pytest.raises(InputError, match="equally long"):
        fit_slope([0.0, 1.0], [0], [0, 0])
