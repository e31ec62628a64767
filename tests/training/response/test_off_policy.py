"""Off-policy estimates by hand, and in worlds whose truth is known."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import t as student

from features.errors import InputError, TooLittleHistory
from training.response.arm_log import make_log
from training.response.off_policy import (
    against_best_arm,
    always,
    chosen,
    difference,
    doubly_robust,
    ips,
    snips,
)

# three kinds of rows, forty of each: a drawn with .5 earns 1, b with .25 earns 4, a with .8 earns 0
REPEATS = 40
LOG = make_log(["a", "b", "a"] * REPEATS, [0.5, 0.25, 0.8] * REPEATS, [1.0, 4.0, 0.0] * REPEATS)
POLICY = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]] * REPEATS)
# weights .25 / .5, .5 / .25, 1 / .8
WEIGHT = np.array([0.5, 2.0, 1.25])
EXPECTED = np.array([[0.5, 3.0], [1.0, 3.5], [0.25, 2.0]] * REPEATS)


def test_ips_by_hand():
    value = ips(LOG, POLICY)
    assert value.estimate == pytest.approx((0.5 * 1 + 2 * 4 + 0) / 3)
    assert value.effective_sample_size == pytest.approx(REPEATS * 3.75**2 / (WEIGHT @ WEIGHT))
    terms = np.array([0.5, 8.0, 0.0])
    n = 3 * REPEATS
    error = np.sqrt(REPEATS * np.sum((terms - terms.mean()) ** 2) / (n * (n - 1)))
    assert value.standard_error == pytest.approx(error)
    t = student(value.effective_sample_size - 1).ppf(0.975)
    away = terms - terms.mean()
    g = np.mean(away**3) / np.mean(away**2) ** 1.5
    for end, sign in ((value.low, 1), (value.high, -1)):
        root = np.cbrt(1 + g * (sign * t / np.sqrt(n) - g / (6 * n)))
        assert end == pytest.approx(value.estimate - error * np.sqrt(n) * 3 / g * (root - 1))
    assert (
        value.high - value.estimate > value.estimate - value.low
    )  # few earn much: the truth may lie far above
    assert value.rows == n


def test_snips_by_hand():
    value = snips(LOG, POLICY)
    assert value.estimate == pytest.approx(8.5 / 3.75)
    terms = WEIGHT * (np.array([1.0, 4.0, 0.0]) - 8.5 / 3.75) / 1.25
    n = 3 * REPEATS
    assert value.standard_error == pytest.approx(np.sqrt(REPEATS * np.sum(terms**2) / (n * (n - 1))))


def test_doubly_robust_by_hand():
    terms = [
        0.25 * 0.5 + 0.75 * 3.0 + 0.5 * (1 - 0.5),
        0.5 * 1.0 + 0.5 * 3.5 + 2.0 * (4 - 3.5),
        1.0 * 0.25 + 1.25 * (0 - 0.25),
    ]
    assert doubly_robust(LOG, POLICY, EXPECTED).estimate == pytest.approx(np.mean(terms))


def test_a_constant_added_to_rewards_is_added_to_snips_and_dr():
    more = make_log(["a", "b", "a"] * REPEATS, LOG.propensity, LOG.reward + 100.0)
    assert snips(more, POLICY).estimate == pytest.approx(snips(LOG, POLICY).estimate + 100)
    higher = doubly_robust(more, POLICY, EXPECTED + 100)
    assert higher.estimate == pytest.approx(doubly_robust(LOG, POLICY, EXPECTED).estimate + 100)
    assert ips(more, POLICY).estimate == pytest.approx(ips(LOG, POLICY).estimate + 100 * WEIGHT.mean())


def test_the_policy_that_was_logged_earns_what_was_earned():
    log = make_log(["a", "b"] * 50, [0.5] * 100, np.arange(100.0))
    value = ips(log, np.full((100, 2), 0.5))
    assert value.estimate == pytest.approx(49.5)
    assert value.effective_sample_size == pytest.approx(100)


def test_rows_of_one_customer_are_one_piece_of_evidence():
    arm, reward = np.array(["a", "b"] * 200), np.random.default_rng(2).random(400)
    once = make_log(arm, np.full(400, 0.5), reward)
    twice = make_log(
        np.tile(arm, 2), np.full(800, 0.5), np.tile(reward, 2), customer=np.tile(np.arange(400), 2)
    )
    for estimator in (ips, snips):
        single, double = estimator(once, always(once, "a")), estimator(twice, always(twice, "a"))
        assert double.standard_error == pytest.approx(single.standard_error)
        assert double.effective_sample_size == pytest.approx(single.effective_sample_size)
        blind = make_log(np.tile(arm, 2), np.full(800, 0.5), np.tile(reward, 2))
        assert estimator(blind, always(blind, "a")).standard_error < 0.75 * single.standard_error


@dataclass(frozen=True)
class World:
    """Arms drawn with propensities that depend on a customer's trait, as rewards do."""

    log: object
    policy: np.ndarray
    expected: np.ndarray
    truth: float


def draw(rng, n=500):
    trait = rng.random(n)
    p = np.column_stack([0.2 + 0.5 * trait, np.full(n, 0.15), 0.65 - 0.5 * trait])
    arm = (rng.random(n)[:, None] > np.cumsum(p, axis=1)[:, :2]).sum(axis=1)
    mean = np.column_stack([0.2 + 0.2 * trait, 0.3 + 0.3 * trait, 0.5 - 0.4 * trait])
    reward = rng.random(n) < mean[np.arange(n), arm]
    log = make_log(np.array(["a", "b", "c"])[arm], p[np.arange(n), arm], reward)
    policy = np.where(trait[:, None] > 0.4, [0.1, 0.9, 0.0], [0.0, 0.3, 0.7])
    # the expectation over traits: .4 of them below .4 (mean .2), .6 above (mean .7)
    low = 0.3 * (0.3 + 0.3 * 0.2) + 0.7 * (0.5 - 0.4 * 0.2)
    high = 0.1 * (0.2 + 0.2 * 0.7) + 0.9 * (0.3 + 0.3 * 0.7)
    return World(log, policy, mean * 0.8 + 0.05, 0.4 * low + 0.6 * high)


@pytest.fixture(scope="module")
def worlds():
    rng = np.random.default_rng(8)
    return [draw(rng) for _ in range(300)]


@pytest.mark.parametrize(
    "estimate",
    [
        lambda w: ips(w.log, w.policy),
        lambda w: snips(w.log, w.policy),
        lambda w: doubly_robust(w.log, w.policy, w.expected),
    ],
    ids=["ips", "snips", "dr"],
)
def test_intervals_cover_the_truth_nineteen_times_of_twenty(worlds, estimate):
    """300 worlds: the share covered has a standard error of .0126 where the truth is .95."""
    values = [(estimate(world), world.truth) for world in worlds]
    covered = np.mean([value.low <= truth <= value.high for value, truth in values])
    assert 0.95 - 3.2 * 0.0126 < covered < 0.95 + 3.2 * 0.0126
    off = np.array([value.estimate - truth for value, truth in values])
    assert abs(off.mean()) < 3.5 * off.std() / np.sqrt(len(off))
    errors = np.array([value.standard_error for value, _ in values])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(off.std(), rel=0.15)


def test_differences_cover_the_truth_and_are_surer_than_their_parts(worlds):
    covered, narrower = [], []
    for world in worlds:
        a, b = (doubly_robust(world.log, p, world.expected) for p in (world.policy, always(world.log, "b")))
        found = difference(world.log, a, b)
        covered.append(found.low <= world.truth - 0.45 <= found.high)  # always b: .3 + .3 / 2
        narrower.append(found.standard_error < np.hypot(a.standard_error, b.standard_error))
    assert 0.95 - 3.2 * 0.0126 < np.mean(covered) < 0.95 + 3.2 * 0.0126
    assert np.mean(narrower) > 0.95


def test_a_difference_by_hand():
    """Of always a and always b where a earns 1 and b 0 or 3 by turns: symmetric, by Student's t."""
    log = make_log(["a", "b"] * 100, [0.5] * 200, [1.0, 0.0, 1.0, 3.0] * 50)
    a, b = ips(log, always(log, "a")), ips(log, always(log, "b"))
    found = difference(log, a, b)
    terms = np.array([2.0, 0.0, 2.0, -6.0])
    error = np.sqrt(50 * np.sum((terms - terms.mean()) ** 2) / (200 * 199))
    half = student(99).ppf(0.975) * error
    assert (found.estimate, found.standard_error) == pytest.approx((-0.5, error))
    assert (found.low, found.high) == pytest.approx((-0.5 - half, -0.5 + half))


def test_a_value_that_does_not_vary_is_certain():
    log = make_log(["a"] * 60, [1.0] * 60, [2.0] * 60)
    value = ips(log, always(log, "a"))
    assert (value.low, value.estimate, value.high, value.standard_error) == (2.0, 2.0, 2.0, 0.0)


def test_another_level_is_another_width():
    half, most = (snips(LOG, POLICY, level=level) for level in (0.5, 0.99))
    assert most.high - most.low > 3 * (half.high - half.low)


def test_against_the_best_single_arm_by_hand():
    """a earns .5, b 2; the policy b to every other customer of each kind, a to the others."""
    arm = np.array(["a", "b"] * 100)
    log = make_log(arm, np.full(200, 0.5), np.where(arm == "b", 2.0, 0.5))
    value = snips(log, chosen(log, np.repeat([0, 1], 100)))
    found = against_best_arm(log, value)
    assert found.best_arm == "b"
    assert found.estimate == pytest.approx(1.25 - 2)
    assert not found.is_tie
    same = against_best_arm(log, snips(log, always(log, "b")))
    assert (same.estimate, same.is_tie) == (0.0, True)
    by_dr = doubly_robust(log, always(log, "b"), np.tile([0.5, 2.0], (200, 1)))
    assert against_best_arm(log, by_dr, np.tile([0.5, 2.0], (200, 1))).estimate == 0.0


OFFERED = np.array([[True, True, False]] * 1_000 + [[True, False, True]] * 1_000)
TWO = make_log(["a", "b"] * 500 + ["a", "c"] * 500, np.full(2_000, 0.5), np.zeros(2_000), offered=OFFERED)


def test_what_could_not_have_been_given_is_not_evaluated():
    with pytest.raises(InputError, match=r"in 1000 of 2000 rows \(share of its choices: c 50.0%\)"):
        ips(TWO, always(TWO, "c"))
    assert ips(TWO, chosen(TWO, np.repeat([1, 2], 1_000))).estimate == 0.0
    unknown = np.where(OFFERED, 0.1, np.nan)  # of what was not on offer nothing need be known
    # (.1 for everybody, less .1 / .5 for every other one)
    assert doubly_robust(TWO, always(TWO, "a"), unknown).estimate == pytest.approx(0.0)
    assert against_best_arm(TWO, ips(TWO, always(TWO, "a"))).best_arm == "a"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: ips(LOG, POLICY[:-1]), InputError, r"of shape \(120, 2\) \(rows, arms\), got \(119, 2\)"),
        (lambda: ips(LOG, POLICY * 0.9), InputError, "sum to 1"),
        (lambda: ips(LOG, np.where(POLICY == 1.0, np.nan, POLICY)), InputError, "sum to 1"),
        (lambda: ips(LOG, np.tile([1.5, -0.5], (120, 1))), InputError, "sum to 1"),
        (lambda: ips(LOG, POLICY, level=1.0), InputError, "level must be in"),
        (lambda: always(LOG, "z"), InputError, "unknown arm 'z': choose one of"),
        (lambda: doubly_robust(LOG, POLICY, EXPECTED[:, :1]), InputError, "expected rewards must be finite"),
        (lambda: doubly_robust(LOG, POLICY, EXPECTED * np.nan), InputError, "240 that are not"),
        (lambda: difference(TWO, ips(LOG, POLICY), ips(LOG, POLICY)), InputError, "on this log"),
        (
            lambda: snips(LOG, chosen(LOG, np.where(np.arange(120) < 15, LOG.arm, 1 - LOG.arm))),
            TooLittleHistory,
            "the log of 120 rows holds 12.2 rows' worth",
        ),
        (lambda: snips(LOG, chosen(LOG, 1 - LOG.arm)), TooLittleHistory, "holds 0.0 rows' worth"),
    ],
)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_a_best_arm_must_have_been_on_offer_to_all():
    arm = ["a", "b"] * 100 + ["c", "d"] * 100
    offered = np.repeat([[True, True, False, False], [False, False, True, True]], 200, axis=0)
    log = make_log(arm, np.full(400, 0.5), np.zeros(400), offered=offered)
    with pytest.raises(InputError, match="one experiment at a time"):
        against_best_arm(log, ips(log, chosen(log, np.repeat([0, 2], 200))))
