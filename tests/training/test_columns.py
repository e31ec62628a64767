"""Columns for scikit-learn: chosen by name, filled from the rows fitted on, at home in its pipelines and checks."""

import inspect

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks

from features.catalogue import FACTS, FEATURES, GROUPS, names
from features.errors import InputError
from training.columns import NULLS, FeatureGroups

NAN = np.nan
# medians by hand: last_csat of 1, 4, 5 is 4; gap_mean_days of 10 and 20 is 15; last_nps has none
FRAME = pd.DataFrame(
    {
        "customer_id": ["ann", "bob", "cy", "dee"],
        "gap_mean_days": [10.0, NAN, 20.0, NAN],
        "orders_7d": np.array([3, 0, 1, 2], dtype=np.int64),
        "last_csat": [5.0, 1.0, NAN, 4.0],
        "last_nps": [NAN] * 4,
    },
    index=[7, 3, 9, 1],
)
ASKED = ("last_nps", "orders_7d", "last_csat", "gap_mean_days")
ORDER = ["orders_7d", "gap_mean_days", "last_csat", "last_nps"]  # purchases, rhythm, tickets, feedback


def of(nulls, *, features=ASKED):
    return FeatureGroups(features=features, nulls=nulls)


def everything(rows, seed=0):
    """A frame with each feature of the catalogue, some of it null."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, len(FEATURES)))
    values[random.random(values.shape) < 0.2] = NAN
    return pd.DataFrame(values, columns=list(names()))


# ------------------------------------------------------------------------------------------------- which columns


def test_columns_come_in_the_catalogues_order_as_numbers_with_the_index_of_the_frame():
    found = of("keep").fit_transform(FRAME)
    assert found.columns.tolist() == ORDER
    assert found.index.tolist() == [7, 3, 9, 1]
    assert set(found.dtypes) == {np.dtype("float64")}
    pd.testing.assert_frame_equal(found, FRAME[ORDER].astype("float64"))


def test_without_a_choice_it_is_the_whole_catalogue():
    found = FeatureGroups().fit_transform(everything(3))
    assert tuple(found.columns) == names()


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_its_features(group):
    found = FeatureGroups([group]).fit_transform(everything(3))
    assert found.columns.tolist() == [feature.name for feature in FEATURES if feature.group == group]


def test_features_stand_beside_those_of_the_groups_each_once():
    chosen = FeatureGroups(["rhythm", "renewal"], ["spend_365d", "gaps", "spend_365d"]).fit(everything(3))
    rhythm = [feature.name for feature in FEATURES if feature.group in ("rhythm", "renewal")]
    assert chosen.columns_ == ["spend_365d", *rhythm]


def test_a_fact_stands_after_the_features():
    frame = pd.DataFrame({"open_complaints": [1, 0], "orders_7d": [2, 3]})
    found = FeatureGroups(features=["open_complaints", "orders_7d"]).fit_transform(frame)
    assert found.columns.tolist() == ["orders_7d", "open_complaints"]


def test_what_else_stands_in_the_frame_and_in_which_order_plays_no_part():
    fitted = of("median").fit(FRAME)
    other = FRAME[FRAME.columns[::-1]].drop(columns="customer_id").assign(more="x")
    pd.testing.assert_frame_equal(fitted.transform(other), fitted.transform(FRAME))


@pytest.mark.parametrize("type_", ["Int64", "Float64", "float32", "int8", "bool"])
def test_numbers_of_any_type_become_float64(type_):
    frame = pd.DataFrame({"orders_7d": pd.array([1, 0], dtype=type_)})
    found = FeatureGroups(features=["orders_7d"]).fit_transform(frame)
    assert (found["orders_7d"].tolist(), found["orders_7d"].dtype) == ([1.0, 0.0], np.float64)


def test_a_null_of_pandas_own_is_a_null():
    frame = pd.DataFrame({"orders_7d": pd.array([1, None], dtype="Int64")})
    assert FeatureGroups(features=["orders_7d"], nulls="zero").fit_transform(frame)["orders_7d"].tolist() == [
        1,
        0,
    ]


# ------------------------------------------------------------------------------------------------- nulls


@pytest.mark.parametrize(
    ("nulls", "gap", "csat", "nps"),
    [
        ("keep", [10, NAN, 20, NAN], [5, 1, NAN, 4], [NAN] * 4),
        ("zero", [10, 0, 20, 0], [5, 1, 0, 4], [0] * 4),
        ("median", [10, 15, 20, 15], [5, 1, 4, 4], [0] * 4),
        ("flag", [10, 15, 20, 15], [5, 1, 4, 4], [0] * 4),
    ],
)
def test_what_stands_where_a_value_is_null(nulls, gap, csat, nps):
    found = of(nulls).fit_transform(FRAME)
    assert_array_equal(found[ORDER].to_numpy(), np.array([[3, 0, 1, 2], gap, csat, nps]).T)
    assert found.shape[1] == (7 if nulls == "flag" else 4)


def test_flags_stand_after_the_features_that_had_nulls():
    found = of("flag").fit_transform(FRAME)
    flags = ["gap_mean_days_is_null", "last_csat_is_null", "last_nps_is_null"]
    assert found.columns.tolist() == [*ORDER, *flags]
    assert_array_equal(found[flags].to_numpy(), np.array([[0, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]]).T)
    assert set(found.dtypes) == {np.dtype("float64")}


LATER = pd.DataFrame(
    {
        "orders_7d": [NAN, 100.0],
        "gap_mean_days": [NAN, 1000.0],
        "last_csat": [2.0, NAN],
        "last_nps": [9.0, NAN],
    }
)


def test_medians_are_those_of_the_rows_fitted_on():
    fitted = of("median").fit(FRAME)
    # orders_7d of 0, 1, 2, 3: 1.5
    assert fitted.fills_.tolist() == [1.5, 15.0, 4.0, 0.0]
    assert fitted.transform(LATER).to_numpy().tolist() == [[1.5, 15, 2, 9], [100, 1000, 4, 0]]
    assert fitted.fills_.tolist() == [1.5, 15.0, 4.0, 0.0]


def test_flags_are_those_of_the_rows_fitted_on():
    fitted = of("flag").fit(FRAME)
    assert fitted.flagged_ == ["gap_mean_days", "last_csat", "last_nps"]
    # orders_7d had no null when fitted: filled, without a flag
    assert fitted.transform(LATER).to_numpy().tolist() == [
        [1.5, 15, 2, 9, 1, 0, 0],
        [100, 1000, 4, 0, 0, 1, 1],
    ]
    assert of("flag").fit(LATER.iloc[:1]).flagged_ == ["orders_7d", "gap_mean_days"]


def test_fitting_again_forgets_the_rows_before():
    fitted = of("flag").fit(FRAME).fit(LATER.iloc[1:])
    assert fitted.fills_.tolist() == [100.0, 1000.0, 0.0, 0.0]
    assert fitted.flagged_ == ["last_csat", "last_nps"]
    assert (fitted.n_features_in_, fitted.feature_names_in_.tolist()) == (4, ORDER)


@pytest.mark.parametrize("nulls", NULLS)
def test_nothing_is_written_into_the_frame_and_nobody_is_transformed_to_nobody(nulls):
    given = FRAME.copy()
    fitted = of(nulls).fit(given)
    found = fitted.transform(given.head(0))
    pd.testing.assert_frame_equal(given, FRAME)
    assert found.shape == (0, len(fitted.get_feature_names_out()))


# ------------------------------------------------------------------------------------------------- scikit-learn


def test_names_in_and_out():
    fitted = of("flag").fit(FRAME)
    assert fitted.n_features_in_ == 5
    assert fitted.feature_names_in_.tolist() == FRAME.columns.tolist()
    out = fitted.get_feature_names_out()
    assert out.dtype == object
    assert out.tolist() == fitted.transform(FRAME).columns.tolist()
    assert_array_equal(fitted.get_feature_names_out(FRAME.columns), out)
    with pytest.raises(InputError, match="leave them out"):
        fitted.get_feature_names_out(ORDER)


def test_in_a_pipeline_the_model_sees_the_same_numbers_as_beside_it():
    frame, y = everything(80), np.arange(80) % 2
    frame["orders_7d"] = frame["orders_7d"].fillna(0) + 3 * y  # something to learn
    groups = FeatureGroups(["purchases", "rhythm"], nulls="flag")
    pipeline = make_pipeline(groups, LogisticRegression(max_iter=5_000)).fit(frame, y)
    alone = LogisticRegression(max_iter=5_000).fit(clone(groups).fit_transform(frame), y)
    assert_array_equal(pipeline.predict_proba(frame), alone.predict_proba(pipeline[:-1].transform(frame)))
    assert pipeline.score(frame, y) > 0.9
    names_out = pipeline[:-1].get_feature_names_out().tolist()
    assert alone.feature_names_in_.tolist() == names_out
    assert "gap_mean_days_is_null" in names_out


def test_a_fold_is_filled_from_its_own_training_rows_only():
    train, test = everything(40, seed=1), everything(40, seed=2)
    pipeline = make_pipeline(FeatureGroups(["tickets"], nulls="median"), LogisticRegression())
    pipeline.fit(train, np.arange(40) % 2)
    expected = train[pipeline[0].columns_].median()
    assert_array_equal(pipeline[0].fills_, expected)
    assert not np.array_equal(expected, pd.concat((train, test))[pipeline[0].columns_].median())


def test_a_search_over_groups_and_nulls():
    frame, y = everything(60), np.arange(60) % 2
    frame["last_nps"] = y.astype(float)  # of the group feedback
    pipeline = make_pipeline(FeatureGroups(nulls="zero"), LogisticRegression(max_iter=5_000))
    grid = {"featuregroups__groups": [["returns"], ["feedback"]], "featuregroups__nulls": ["zero", "flag"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(frame, y)
    assert search.best_params_["featuregroups__groups"] == ["feedback"]


def test_a_clone_has_the_parameters_and_nothing_of_the_fit():
    fitted = of("flag").fit(FRAME)
    twin = clone(fitted)
    assert twin.get_params() == {"groups": None, "features": ASKED, "nulls": "flag"}
    with pytest.raises(NotFittedError):
        twin.transform(FRAME)
    pd.testing.assert_frame_equal(twin.fit_transform(FRAME), fitted.transform(FRAME))


def test_parameters_set_later_count_from_the_next_fit():
    fitted = of("median").fit(FRAME)
    before = fitted.transform(FRAME)
    fitted.set_params(nulls="keep", features=["orders_7d"])
    pd.testing.assert_frame_equal(fitted.transform(FRAME), before)
    assert fitted.fit(FRAME).get_feature_names_out().tolist() == ["orders_7d"]


def test_what_was_fitted_is_plain_data():
    fitted = vars(of("flag").fit(FRAME))
    kinds = {name: type(value).__name__ for name, value in fitted.items() if name.endswith("_")}
    assert kinds == {
        "columns_": "list",
        "fills_": "ndarray",
        "flagged_": "list",
        "feature_names_in_": "ndarray",
        "n_features_in_": "int",
    }


# ------------------------------------------------------------------------------------------------- mistakes

MISTAKES = {
    "no such group": (
        FeatureGroups(["rhythms"]),
        r"no group of features is called 'rhythms': choose of rhythm",
    ),
    "nothing like a group": (FeatureGroups(["xyzzy"]), "choose of purchases, rhythm, renewal"),
    "no such feature": (FeatureGroups(features=["spend_31d"]), r"no feature is called 'spend_31d' \(close: spend_30d"),
    "a word instead of a list of groups": (FeatureGroups("rhythm"), r"groups is 'rhythm', one word: write a list"),
    "a word instead of a list of features": (FeatureGroups(features="gaps"), r"features is 'gaps', one word: .*\['gaps'\]"),
    "no such nulls": (of("medain"), "nulls is 'medain': choose of median"),
    "nulls is no word": (of(0), "nulls is 0: choose of keep, zero, median, flag"),
    "nothing at all": (FeatureGroups([], []), "neither a group nor a feature is asked for"),
    "a fact of words": (FeatureGroups(features=["last_channel"]), "last_channel: words, no numbers"),
    "missing columns": (
        of("keep", features=["aov_7d", "orders_7d", "gap_cv"]),
        r"of 3 columns asked for the frame \(5 columns\) lacks aov_7d, gap_cv: build them too",
    ),
    "many missing columns": (
        FeatureGroups(["rhythm"]),
        # 12 of 13: all but gap_mean_days
        r"lacks days_since_last_order, days_since_first_order, gap_std_days, .*, gap_last_ratio and 4 more: build",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_one_line_when_fitting(case):
    asked, says = MISTAKES[case]
    with pytest.raises(InputError, match=says) as told:
        asked.fit(FRAME)
    assert "\n" not in str(told.value)


def test_every_fact_of_words_is_refused():
    words = [fact.name for fact in FACTS if fact.is_text]
    with pytest.raises(InputError, match=f"{', '.join(words)}: words"):
        FeatureGroups(features=words).fit(FRAME)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (FRAME[ORDER].to_numpy(), "a pandas frame of features.build is needed, ndarray was given"),
        (FRAME.drop(columns="last_csat"), "lacks last_csat: build"),
        (FRAME.assign(last_csat="good"), "columns last_csat hold no numbers"),
        (FRAME.assign(last_csat=pd.Timestamp("2024-01-01")), "columns last_csat hold no numbers"),
        (pd.concat((FRAME, FRAME[["orders_7d"]]), axis=1), "columns orders_7d stand twice in the frame"),
    ],
    ids=["array", "missing", "words", "times", "twice"],
)
@pytest.mark.parametrize("step", ["fit", "transform"])
def test_a_frame_that_will_not_do_is_refused_by_either_step(step, given, says):
    asked = of("keep").fit(FRAME)
    with pytest.raises(InputError, match=says):
        getattr(asked, step)(given)


def test_nobody_cannot_be_fitted_on():
    with pytest.raises(InputError, match="0 rows to fit on"):
        of("median").fit(FRAME.head(0))


# ------------------------------------------------------------------------------------------------- its own checks


class OnArrays(FeatureGroups):
    """Takes the arrays of scikit-learn's checks: their columns, over and over, as a frame of the whole catalogue."""

    def fit(self, X, y=None):
        return super().fit(framed(X), y)

    def transform(self, X):
        return super().transform(framed(X))


def framed(x):
    x = np.asarray(x, dtype=float)
    return pd.DataFrame(x[:, np.arange(len(FEATURES)) % x.shape[1]], columns=list(names()))


# without those about arrays as such: their number of columns, sparse and complex ones, their messages
NEED_NO_DATA = """
    estimator_cloneable estimator_tags_renamed valid_tag_types estimator_repr no_attributes_set_in_init
    do_not_raise_errors_in_init_or_set_params mixin_order parameters_default_constructible get_params_invariance set_params
    estimators_unfitted transformers_unfitted
"""
NEED_DATA = """
    fit_score_takes_y estimators_overwrite_params dont_overwrite_parameters estimators_fit_returns_self
    readonly_memmap_input positive_only_tag_during_fit estimators_dtypes pipeline_consistency
    f_contiguous_array_estimator methods_sample_order_invariance
    methods_subset_invariance dict_unchanged fit_idempotent fit_check_is_fitted
"""


@pytest.mark.parametrize("name", NEED_NO_DATA.split())
def test_scikit_learn_finds_no_fault_with_the_class(name):
    run(name, FeatureGroups())


@pytest.mark.parametrize("nulls", NULLS)
@pytest.mark.parametrize("name", NEED_DATA.split())
def test_scikit_learn_finds_no_fault_with_what_it_does(name, nulls):
    run(name, OnArrays(nulls=nulls))


def run(name, estimator):
    """Some checks take a class, others an instance."""
    check = getattr(checks, f"check_{name}")
    (_, first, *_) = inspect.signature(check).parameters
    check("FeatureGroups", type(estimator) if first == "Estimator" else estimator)
