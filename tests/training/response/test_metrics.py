"""Uplift metrics by hand, and against a slow look at every prefix of a ranking."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from training.intervals import bootstrap_interval
from training.response.metrics import calibration_of_tenths, qini_coefficient, qini_curve, trial_of, uplift_at

# outcome, treated, propensity; best score first. Weights 2, 2, 4, 4/3, 2, 4.
TRIAL = trial_of([1, 0, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0], [0.5, 0.5, 0.25, 0.75, 0.5, 0.25])
SCORE = [6, 5, 4, 3, 2, 1]


def test_a_curve_by_hand():
    curve = qini_curve(TRIAL, SCORE)
    assert curve.share == pytest.approx(np.arange(7) / 6)
    assert curve.gain == pytest.approx(
        [
            0.0,
            0.0,  # a treated customer only
            2 / 6 * (1 - 0),
            3 / 6 * (1 - 0),
            4 / 6 * (1 - (4 / 3) / (2 + 4 / 3)),  # the control's mean: .4
            5 / 6 * ((2 + 4) / 8 - 0.4),
            0.75 - (4 / 3) / (2 + 4 / 3 + 4),
        ]
    )


def test_a_coefficient_by_hand():
    gains = [0, 1 / 3, 1 / 2, 0.4, 0.35 * 5 / 6]
    last = 0.75 - 2 / 11
    assert qini_coefficient(TRIAL, SCORE) == pytest.approx((sum(gains) + last / 2) / 6 - last / 2)


def test_counts_as_radcliffe_counts():
    """Equal shares, treated and control alternating: Q = R_t - R_c N_t / N_c, per customer treated."""
    outcome, treated = [1, 0, 1, 1, 0, 0, 1, 0], [1, 0] * 4
    curve = qini_curve(trial_of(outcome, treated, [0.5] * 8), np.arange(8.0)[::-1])
    for pairs in range(1, 5):
        r_t, r_c = sum(outcome[: 2 * pairs : 2]), sum(outcome[1 : 2 * pairs : 2])
        assert curve.gain[2 * pairs] == pytest.approx((r_t - r_c * pairs / pairs) / 4)


def test_equal_scores_share_their_places():
    outcome, treated = [1, 0, 0, 1], [1, 0, 1, 0]
    curve = qini_curve(trial_of(outcome, treated, [0.5] * 4), [2, 1, 1, 1])
    assert curve.share.tolist() == [0, 0.25, 1]
    assert curve.gain.tolist() == [0, 0, 0]
    assert qini_coefficient(TRIAL, np.zeros(6)) == 0.0
    # half of four places: the first, and a third of each of the others
    assert uplift_at(trial_of(outcome, treated, [0.5] * 4), [2, 1, 1, 1], 0.5) == pytest.approx(
        1 / (1 + 1 / 3) - (1 / 3) / (2 / 3)
    )


def test_uplift_at_by_hand():
    assert uplift_at(TRIAL, SCORE, 0.5) == 1.0
    assert uplift_at(TRIAL, SCORE, 1.0) == pytest.approx(0.75 - 2 / 11)


def test_parts_by_hand():
    low, high = calibration_of_tenths(TRIAL, np.array(SCORE) / 10, parts=2)
    assert (low.predicted, high.predicted) == (pytest.approx(0.2), pytest.approx(0.5))
    assert (low.rows, high.rows) == (3, 3)
    control = (4 / 3) / (4 / 3 + 4)  # .25
    assert low.observed == pytest.approx(0 - control)
    variance = ((4 / 3 * 0.75) ** 2 + (4 * 0.25) ** 2) / (16 / 3) ** 2
    assert low.standard_error == pytest.approx(
        np.sqrt(variance)
    )  # the only treated one varies about itself by 0
    assert high.observed == 1.0
    assert high.standard_error == 0.0


ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from([0.2, 0.5, 0.9]), st.integers(0, 5)),
    min_size=2,
    max_size=25,
).filter(lambda rows: len({row[1] for row in rows}) == 2)


@given(ROWS)
@settings(deadline=None)
def test_agrees_with_a_slow_look(rows):
    outcome, treated, propensity, score = (
        np.array(column, dtype=float) for column in zip(*rows, strict=True)
    )
    points = [(0.0, 0.0)]
    for edge in sorted(set(score), reverse=True):
        means = []
        for arm in (1, 0):
            chosen = [i for i in range(len(rows)) if score[i] >= edge and treated[i] == arm]
            weight = sum(1 / propensity[i] for i in chosen)
            means.append(sum(outcome[i] / propensity[i] for i in chosen) / weight if chosen else None)
        share = np.mean(score >= edge)
        points.append((share, 0.0 if None in means else share * (means[0] - means[1])))
    trial = trial_of(outcome, treated, propensity)
    curve = qini_curve(trial, score)
    assert list(zip(curve.share, curve.gain, strict=True)) == [pytest.approx(point) for point in points]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    assert qini_coefficient(trial, score) == pytest.approx(area - points[-1][1] / 2)
    mixed = np.random.default_rng(1).permutation(len(rows))
    assert qini_coefficient(trial[mixed], score[mixed]) == pytest.approx(qini_coefficient(trial, score))


def test_finds_whom_an_offer_moves():
    rng = np.random.default_rng(3)
    moved, treated = rng.random(8_000), rng.random(8_000) < 0.3
    outcome = rng.random(8_000) < 0.2 + 0.3 * treated * moved
    trial = trial_of(outcome, treated, np.where(treated, 0.3, 0.7))
    # gain of the first s: integral of .3 (1 - v) over v < s; less s * .15, over s: .3 (1/2 - 1/6) - .075 = .025
    found = bootstrap_interval(qini_coefficient, (trial, moved), rng, draws=200)
    assert found.low < 0.025 < found.high
    assert found.low > 0
    assert bootstrap_interval(qini_coefficient, (trial, -moved), rng, draws=200).high < 0
    assert uplift_at(trial, moved, 0.1) == pytest.approx(0.3 * 0.95, abs=0.06)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: trial_of([1], [1, 0], [0.5, 0.5]), "equally long"),
        (lambda: trial_of([1, 0], [1, 1], [0.5, 0.5]), "both arms are needed"),
        (lambda: trial_of([1, 0], [1, 2], [0.5, 0.5]), "must be 1 .the arm."),
        (lambda: trial_of([1, np.nan], [1, 0], [0.5, 0.5]), "must be finite"),
        (lambda: trial_of([1, 0], [1, 0], [0.5, 0.0]), "above 0 and at most 1"),
        (lambda: qini_curve(TRIAL, [1, 2]), r"\(n, 3\) and \(n,\)"),
        (lambda: qini_curve(TRIAL, [1, 2, 3, 4, 5, np.nan]), "NaN in 1 of 6"),
        (lambda: uplift_at(TRIAL, SCORE, 0.0), "above 0 and at most 1, got 0.0"),
        (lambda: uplift_at(TRIAL, SCORE, 0.1), "the top 0.1 of 6 rows holds only one"),
        (lambda: calibration_of_tenths(TRIAL, SCORE), "from 1 to the number of rows, got 10 and 6"),
        (lambda: calibration_of_tenths(TRIAL, SCORE, parts=6), "part 1 of 6"),
    ],
)
def test_refuses(call, says):
    with pytest.raises(InputError, match=says):
        call()
