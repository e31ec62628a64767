"""Drift: sizes worked out by hand, quiet where nothing changed, loud where something was planted."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import names
from features.errors import InputError
from training.monitoring.drift import (
    DRIFT_COLUMNS,
    drift,
    jensen_shannon,
    population_stability,
    standardised_difference,
)

NAN = float("nan")

# ------------------------------------------------------------------------------------------------- by hand


def test_psi_by_hand():
    # Ten bins of ten; now the lowest has twenty and the highest none. Half a row more each: 10.5 of 105 in every bin,
    # then 20.5 and 0.5 of 105 in two of them.
    reference = np.repeat(np.arange(1, 11), 10)
    now = np.concatenate([np.full(10, 1), np.repeat(np.arange(1, 10), 10)])
    expected = 10 / 105 * np.log(20.5 / 10.5) - 10 / 105 * np.log(0.5 / 10.5)
    found = population_stability(reference, now)
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.value == pytest.approx(0.3537, abs=1e-4)
    # 95 % of chi-squared with nine degrees of freedom: 16.919
    assert found.noise == pytest.approx(16.919 * (1 / 100 + 1 / 100), abs=1e-4)


def test_psi_of_nulls_by_hand():
    found = population_stability([1.0] * 8 + [NAN] * 2, [1.0] * 5 + [NAN] * 5)
    p, q = np.array([8.5, 2.5]) / 11, np.array([5.5, 5.5]) / 11
    assert found.value == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=1e-12)


@pytest.mark.parametrize(
    ("reference", "now"),
    [
        ([1.0] * 10, [2.0] * 10),  # above all that was known
        ([1.0] * 10, [0.0] * 10 + [1.0]),  # below: no edge parts them from the lowest bin
        ([NAN] * 10, [1.0] * 10),
        ([1.0] * 10, [NAN] * 10),
    ],
)
def test_psi_is_finite_whatever_moves(reference, now):
    assert np.isfinite(population_stability(reference, now).value)


def test_psi_sees_a_constant_that_becomes_another():
    p, q = np.array([10.5, 0.5]) / 11, np.array([0.5, 10.5]) / 11
    expected = float(((q - p) * np.log(q / p)).sum())
    assert population_stability([1.0] * 10, [2.0] * 10).value == pytest.approx(expected)
    assert population_stability([NAN] * 10, [2.0] * 10).value == pytest.approx(expected)


def test_rows_of_few_customers_are_noisier():
    rows = np.arange(100.0)
    many, few = population_stability(rows, rows), population_stability(rows, rows, customers=(10, 100))
    assert many.value == few.value == 0.0
    assert few.noise == pytest.approx(16.919 * (1 / 10 + 1 / 100), abs=1e-3)
    assert few.noise > many.noise


def test_jensen_shannon_by_hand():
    # p = (1/2, 1/2), q = (1, 0), middle (3/4, 1/4)
    of_p = 0.5 * np.log2(2 / 3) + 0.5 * np.log2(2)
    of_q = np.log2(4 / 3)
    assert jensen_shannon(["a", "b"], ["a", "a", "a"]).value == pytest.approx((of_p + of_q) / 2)
    assert jensen_shannon(["a", "b"], ["b", "a"]).value == 0.0
    assert jensen_shannon(["a"], ["b"]).value == 1.0
    assert jensen_shannon(["a", None], ["a", None]).value == 0.0
    assert jensen_shannon([None, None], ["a"]).value == 1.0
    # one degree of freedom: 3.841
    assert jensen_shannon(["a", "b"], ["a"] * 4).noise == pytest.approx(
        3.841 * (1 / 2 + 1 / 4) / (8 * np.log(2)), abs=1e-3
    )


def test_standardised_difference_by_hand():
    # means 1 and 4, variances 1 and 4: 3 / sqrt(2.5); two values on each side
    found = standardised_difference([0.0, 2.0], [2.0, 6.0])
    assert found.value == pytest.approx(3 / np.sqrt(2.5))
    assert found.noise == pytest.approx(1.96)
    with_nulls = standardised_difference([0.0, NAN, 2.0], [NAN, 2.0, 6.0])
    assert (with_nulls.value, with_nulls.noise) == pytest.approx((found.value, found.noise))
    # half of four customers have a value, and all of two
    few = standardised_difference([0.0, NAN], [2.0, 6.0], customers=(4, 2))
    assert few.noise == pytest.approx(1.96 * np.sqrt(1 / 2 + 1 / 2))
    assert standardised_difference([5.0], [5.0, 5.0]).value == 0.0
    assert standardised_difference([5.0], [4.0]).value == -np.inf
    assert np.isnan(standardised_difference([NAN], [4.0]).value)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40), st.lists(st.integers(0, 5), min_size=1, max_size=40)
)
def test_sizes_know_no_order_and_are_never_negative(reference, now):
    found = population_stability(reference, now)
    assert found == population_stability(reference[::-1], sorted(now))
    assert found.value >= 0.0
    words = [[str(one) for one in side] for side in (reference, now)]
    distance = jensen_shannon(*words)
    assert -1e-12 <= distance.value <= 1.0 + 1e-12
    assert distance.value == pytest.approx(jensen_shannon(words[1], words[0]).value, abs=1e-12)
    assert standardised_difference(reference, now).value == -standardised_difference(now, reference).value


# ------------------------------------------------------------------------------------------------- noise


def test_noise_is_stayed_below_95_times_in_100():
    rng = np.random.default_rng(5)
    psi = [population_stability(*rng.normal(size=(2, 400))) for _ in range(400)]
    assert np.mean([one.value <= one.noise for one in psi]) == pytest.approx(0.95, abs=0.035)
    shifts = [standardised_difference(*rng.normal(size=(2, 300))) for _ in range(400)]
    assert np.mean([abs(one.value) <= one.noise for one in shifts]) == pytest.approx(0.95, abs=0.035)
    codes = [jensen_shannon(*rng.choice(list("abcde"), size=(2, 300))) for _ in range(400)]
    assert np.mean([one.value <= one.noise for one in codes]) == pytest.approx(0.95, abs=0.035)


# ------------------------------------------------------------------------------------------------- frames


@pytest.fixture
def halves(frame):
    """Every other customer, with a word."""
    rng = np.random.default_rng(2)
    words = frame.assign(word=rng.choice(["store", "web"], len(frame)))
    return words.iloc[::2], words.iloc[1::2].copy()


def test_no_drift_is_quiet(halves):
    table = drift(*halves)
    assert list(table.columns) == list(DRIFT_COLUMNS)
    assert list(table["column"]) == [*names(), "word"]
    judged = table[table["kind"] == "number"]
    assert len(judged) > 100
    assert (judged["psi"] < np.maximum(0.1, 2 * judged["psi_noise"])).all()
    assert (judged["psi"] > judged["psi_noise"]).mean() < 0.1
    shift = judged["standardised_difference"].abs()
    assert (shift > judged["standardised_difference_noise"]).mean() < 0.1
    word = table.iloc[-1]
    assert word["kind"] == "code"
    assert word["jensen_shannon"] < word["jensen_shannon_noise"]


def test_planted_drift_is_found_and_nothing_else(halves):
    reference, now = halves
    before = drift(reference, now).set_index("column")
    now["spend_365d"] *= 2.0
    now.loc[now.index[::2], "gap_mean_days"] = np.nan
    now["word"] = np.where(np.arange(len(now)) % 10 == 0, "store", "app")
    after = drift(reference, now).set_index("column")
    assert after.loc["spend_365d", "psi"] > 0.25
    assert after.loc["spend_365d", "standardised_difference"] > 0.4
    assert after.loc["spend_365d", "mean_now"] == pytest.approx(2 * before.loc["spend_365d", "mean_now"])
    assert after.loc["gap_mean_days", "null_share_now"] >= 0.5
    assert after.loc["gap_mean_days", "psi"] > 0.25
    assert after.loc["word", "jensen_shannon"] > 0.5
    untouched = [name for name in names() if name not in ("spend_365d", "gap_mean_days")]
    pd.testing.assert_frame_equal(before.loc[untouched], after.loc[untouched])


def test_what_the_date_tells_moves_with_the_calendar(frame):
    later = frame.assign(cutoff=frame["cutoff"] + pd.Timedelta(days=90), season_sin=0.5)
    table = drift(frame, later).set_index("column")
    assert table.loc["season_sin", "kind"] == "calendar"
    assert table.loc["days_since_last_order", "kind"] == "number"
    # what nobody had and somebody has now is no calendar
    nobody, somebody = frame.assign(tickets_90d=0), frame.assign(tickets_90d=np.arange(len(frame)) % 2)
    assert drift(nobody, somebody).set_index("column").loc["tickets_90d", "kind"] == "number"
    assert drift(somebody, nobody).set_index("column").loc["tickets_90d", "kind"] == "number"


def test_a_customer_of_several_rows_counts_once():
    one = pd.DataFrame({"customer_id": ["a", "b"], "x": [1.0, 2.0]})
    thrice = pd.concat([one] * 3, ignore_index=True)
    assert drift(one, one)["psi_noise"].equals(drift(thrice, one)["psi_noise"])


@pytest.mark.parametrize(
    ("reference", "now", "why"),
    [
        ({"x": [1.0]}, {"y": [1.0]}, r"only the reference has \['x'\], only now has \['y'\]"),
        ({"x": []}, {"x": [1.0]}, "reference has none"),
        ({"x": [1.0]}, {"x": []}, "now has none"),
    ],
)
def test_what_cannot_be_compared_is_refused(reference, now, why):
    with pytest.raises(InputError, match=why):
        drift(pd.DataFrame(reference), pd.DataFrame(now))


@pytest.mark.parametrize("size", [population_stability, jensen_shannon, standardised_difference])
def test_nothing_is_no_reference(size):
    with pytest.raises(InputError, match="rows on both sides"):
        size([], [1.0])
