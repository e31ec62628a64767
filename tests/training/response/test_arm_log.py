"""Logs of arms that were drawn: what is taken as it stands, and what is refused."""

import numpy as np
import pytest

from features.errors import InputError
from training.response.arm_log import make_log

ARMS = ["b", "a", "a", "b"]


def test_arms_are_those_that_occur_in_the_order_of_the_alphabet():
    log = make_log(ARMS, [0.5] * 4, [1, 0, 2.5, 0])
    assert log.arms == ("a", "b")
    assert log.arm.tolist() == [1, 0, 0, 1]
    assert log.offered.all()
    assert log.customer.tolist() == [0, 1, 2, 3]


def test_an_arm_that_never_occurs_was_not_on_offer():
    log = make_log(ARMS, [0.5] * 4, [0] * 4, arms=("b", "c", "a"), customer=["x", "y", "x", "z"])
    assert log.arm.tolist() == [0, 2, 2, 0]
    assert log.offered.tolist() == [[True, False, True]] * 4
    assert log.customer.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_true_propensities_are_taken(share):
    rng = np.random.default_rng(5)
    for _ in range(50):
        given = rng.random(2_000) < share
        make_log(np.where(given, "a", "b"), np.where(given, share, 1 - share), np.zeros(2_000))


def test_propensities_of_each_customer_are_taken():
    rng = np.random.default_rng(6)
    share = rng.uniform(0.05, 0.95, 5_000)
    given = rng.random(5_000) < share
    make_log(np.where(given, "a", "b"), np.where(given, share, 1 - share), np.zeros(5_000))


def test_propensities_that_contradict_the_arms_are_refused():
    """Said to be drawn half and half, but 60 of 100 were given a: with 2,000 rows that is 200 / 22 = 9 standard errors off."""
    arm = np.array(["a"] * 1_200 + ["b"] * 800)
    with pytest.raises(InputError, match=r"'a' was given to 1200 of the 2000 .* 1000 were to be expected"):
        make_log(arm, np.full(2_000, 0.5), np.zeros(2_000))
    make_log(arm, np.where(arm == "a", 0.6, 0.4), np.zeros(2_000))


def test_an_arm_given_for_certain_is_given_to_all():
    make_log(["a"] * 100, [1.0] * 100, np.zeros(100))
    with pytest.raises(InputError, match="'a' was given to 50 of the 100"):
        make_log(["a", "b"] * 50, [1.0, 0.5] * 50, np.zeros(100))


def test_what_was_not_on_offer_does_not_count_against_an_arm():
    """Experiment 1 has a and b, experiment 2 has a and c, each half and half."""
    arm = np.array(["a", "b"] * 500 + ["a", "c"] * 500)
    offered = np.array([[True, True, False]] * 1_000 + [[True, False, True]] * 1_000)
    log = make_log(arm, np.full(2_000, 0.5), np.zeros(2_000), offered=offered)
    assert log.offered.sum() == 4_000
    with pytest.raises(InputError, match="'b' was given to 500 of the 2000"):
        make_log(arm, np.full(2_000, 0.5), np.zeros(2_000))


@pytest.mark.parametrize(
    ("arm", "propensity", "reward", "more", "says"),
    [
        ([], [], [], {}, "one row or more"),
        (ARMS, [0.5] * 3, [0] * 4, {}, r"got shapes \(4,\), \(3,\) and \(4,\)"),
        (ARMS, [0.5, 0.5, 0.5, 0.0], [0] * 4, {}, "1 and 0 of 4 rows"),
        (ARMS, [0.5, 0.5, np.nan, 1.5], [0] * 4, {}, "2 and 0 of 4 rows"),
        (ARMS, [0.5] * 4, [0, 0, np.inf, 0], {}, "0 and 1 of 4 rows"),
        (ARMS, [0.5] * 4, [0] * 4, {"arms": ("a", "c")}, r"arms \['b'\] that are not among"),
        (ARMS, [0.5] * 4, [0] * 4, {"offered": [[True, True]]}, r"need shapes \(4, 2\)"),
        (ARMS, [0.5] * 4, [0] * 4, {"offered": [[True, False]] * 4}, "2 rows were given an arm that was not"),
        (ARMS, [0.5] * 4, [0] * 4, {"customer": [1, 2]}, r"got \(4, 2\) and \(2,\)"),
    ],
)
def test_refuses(arm, propensity, reward, more, says):
    with pytest.raises(InputError, match=says):
        make_log(arm, propensity, reward, **more)
