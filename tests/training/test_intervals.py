"""Bootstrap intervals: textbook standard errors, coverage, customers kept together, pairs."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from features.errors import InputError
from training.intervals import Difference, Interval, _resamples, bootstrap_interval, paired_bootstrap
from training.metrics import auc, brier, log_loss


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_standard_error_of_a_mean_is_the_textbooks():
    values = rng(1).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(np.mean, [values], rng(), draws=4_000)
    error = values.std() / 20  # sd / sqrt(n)
    assert interval.estimate == values.mean()
    assert interval.standard_error == pytest.approx(error, rel=0.05)
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_level_is_the_share_of_draws_inside():
    values = rng(1).normal(size=400)
    wide, narrow = (
        bootstrap_interval(np.mean, [values], rng(), draws=2_000, level=level) for level in (0.95, 0.5)
    )
    # Half-widths of a normal distribution: 1.960 and 0.674 standard errors
    assert (wide.high - wide.low) / 2 == pytest.approx(1.960 * wide.standard_error, rel=0.06)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(0.674 * narrow.standard_error, rel=0.06)


def test_it_covers_the_truth_as_often_as_it_says():
    worlds = rng(2)
    covered = [
        interval.low <= 0.3 <= interval.high
        for interval in (
            bootstrap_interval(np.mean, [worlds.random(150) < 0.3], worlds, draws=200) for _ in range(300)
        )
    ]
    assert 0.90 <= np.mean(covered) <= 0.985  # 0.95 less a little for small n, within three standard errors


def test_grouped_draws_keep_a_customers_rows_together():
    groups = np.array(["b", "a", "c", "a", "b", "a"])  # a: rows 1 3 5, b: rows 0 4, c: row 2
    rows_of = {"a": (1, 3, 5), "b": (0, 4), "c": (2,)}
    seen = set()
    for rows in _resamples(6, groups, rng(), draws=300):
        drawn, at = [], 0
        while at < len(rows):
            customer = groups[rows[at]]
            assert tuple(rows[at : at + len(rows_of[customer])]) == rows_of[customer]
            at += len(rows_of[customer])
            drawn.append(str(customer))
        assert len(drawn) == 3
        seen.add(tuple(drawn))
    assert len(seen) == 27  # every one of the 3^3 ordered samples


def test_repeating_a_customers_rows_adds_no_evidence():
    values = rng(3).normal(size=200)
    customer = np.arange(200)
    single = bootstrap_interval(np.mean, [values], rng(), draws=2_000)
    copied = bootstrap_interval(
        np.mean, [np.tile(values, 4)], rng(), draws=2_000, groups=np.tile(customer, 4)
    )
    assert copied.standard_error == pytest.approx(single.standard_error, rel=0.06)
    blind = bootstrap_interval(np.mean, [np.tile(values, 4)], rng(), draws=2_000)
    assert blind.standard_error == pytest.approx(single.standard_error / 2, rel=0.06)


def test_groups_of_one_are_no_groups():
    values = rng(3).normal(size=50)
    assert bootstrap_interval(np.mean, [values], rng(), groups=np.arange(50)) == bootstrap_interval(
        np.mean, [values], rng()
    )


def two_models(n=2_000):
    draw = rng(6)
    truth = draw.beta(2, 2, n)
    y = draw.random(n) < truth
    return y, truth, np.clip(truth + draw.normal(0, 0.1, n), 0.01, 0.99)


def test_a_pair_is_told_apart_where_the_single_intervals_overlap():
    y, good, noisy = two_models()
    difference = paired_bootstrap(log_loss, y, good, noisy, rng())
    alone = [bootstrap_interval(log_loss, (y, p), rng()) for p in (good, noisy)]
    assert difference.estimate == pytest.approx(log_loss(y, good) - log_loss(y, noisy))
    assert difference.high < 0
    assert not difference.is_tie
    assert alone[0].high > alone[1].low
    # brier is a mean over rows, so the difference's standard error is that of a mean of row differences
    rows = (y - good) ** 2 - (y - noisy) ** 2
    textbook = rows.std() / np.sqrt(len(y))
    assert paired_bootstrap(brier, y, good, noisy, rng(), draws=2_000).standard_error == pytest.approx(
        textbook, rel=0.06
    )


def test_a_model_ties_with_itself():
    y, p, other = two_models(200)
    assert paired_bootstrap(auc, y, p, p, rng()) == Difference(0.0, 0.0, 0.0, 0.0)
    there, back = paired_bootstrap(auc, y, p, other, rng()), paired_bootstrap(auc, y, other, p, rng())
    assert (there.estimate, there.low) == pytest.approx((-back.estimate, -back.high))


@pytest.mark.parametrize(
    ("estimate", "tie"), [(0.01, True), (-0.01, True), (0.0101, False), (-0.0101, False), (0.0, True)]
)
def test_a_tie_is_within_one_standard_error(estimate, tie):
    assert Difference(estimate, -1.0, 1.0, 0.01).is_tie is tie


def test_the_same_generator_gives_the_same_interval():
    values = rng(3).normal(size=50)
    assert bootstrap_interval(np.mean, [values], rng(9)) == bootstrap_interval(np.mean, [values], rng(9))
    assert bootstrap_interval(np.mean, [values], rng(9)) != bootstrap_interval(np.mean, [values], rng(10))
    with pytest.raises(FrozenInstanceError):
        Interval(0.0, 0.0, 0.0, 0.0).estimate = 1.0


def test_a_few_undefined_draws_are_left_out_and_many_are_refused():
    # k of 40 positive: a draw has none with probability (1 - k/40)^40, 0.5 % for k = 5 and 13 % for k = 2
    p = np.linspace(0.0, 1.0, 40)
    few = bootstrap_interval(auc, (np.arange(40) % 8 == 0, p), rng())
    assert few.low < few.estimate < few.high
    with pytest.raises(
        InputError, match=r"undefined on \d+ of 500 draws of 40 rows \(AUC needs both classes"
    ):
        bootstrap_interval(auc, (np.arange(40) % 20 == 0, p), rng())
    with pytest.raises(InputError, match="AUC needs both classes"):
        bootstrap_interval(auc, (np.zeros(40), p), rng())
    with pytest.raises(InputError, match="it is NaN"):
        bootstrap_interval(np.mean, [np.array([1.0, np.nan])], rng())


@pytest.mark.parametrize(
    ("arrays", "settings", "says"),
    [
        ([], {}, "equally long"),
        ([[]], {}, "one row or more"),
        ([3.0], {}, "equally long"),
        ([[1.0, 2.0], [1.0]], {}, r"\(2,\), \(1,\)"),
        ([[1.0, 2.0]], {"groups": [1]}, "arrays and groups"),
        ([[1.0, 2.0]], {"draws": 1}, "draws must be at least 2"),
        ([[1.0, 2.0]], {"level": 1.0}, "level in"),
        ([[1.0, 2.0]], {"level": 0.0}, "level in"),
    ],
)
def test_unusable_input_is_refused(arrays, settings, says):
    with pytest.raises(InputError, match=says):
        bootstrap_interval(lambda *columns: float(np.mean(columns[0])), arrays, rng(), **settings)
