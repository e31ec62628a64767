"""Columns of the feature frame for scikit-learn: groups or features by name, and what stands where nothing is known."""

import difflib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from features.catalogue import FACTS, FEATURES, GROUPS, select
from features.errors import InputError

__all__ = ["NULLS", "FeatureGroups"]

NULLS = ("keep", "zero", "median", "flag")
"""What may be done about nulls."""

Floats = NDArray[np.float64]

_MOST_NAMED = 8


class FeatureGroups(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Choose columns of a frame of ``features.build``, as numbers that any estimator takes.

    Takes pandas frames only: columns are found by name, whatever their order and whatever stands beside them. Gives a
    frame with the same index, float64, in the catalogue's order (facts last).

    Parameters
    ----------
    groups
        Groups of the catalogue; None: all of them, or none where ``features`` are named.
    features
        Names of features or facts beside those of ``groups``. A fact of words is refused.
    nulls
        What stands where a value is null. ``keep``: null (NaN), for trees. ``zero``: 0. ``median``: the median of the
        rows fitted on; of a column that is null in all of them, 0. ``flag``: the median likewise, and after the
        features one column more, ``<feature>_is_null`` (1 or 0), for each that had a null in the rows fitted on.

    Attributes
    ----------
    n_features_in_, feature_names_in_
        Columns of the frame fitted on, those that are not chosen too.
    columns_
        Names chosen.
    fills_
        What stands where a value is null, float64, one a name chosen; NaN for ``keep``.
    flagged_
        Names that have an ``_is_null`` column.

    Examples
    --------
    >>> frame = pd.DataFrame({"orders_7d": [1, 2, 3], "last_csat": [4.0, None, 2.0]})
    >>> FeatureGroups(features=["last_csat", "orders_7d"], nulls="flag").fit_transform(frame)
       orders_7d  last_csat  last_csat_is_null
    0        1.0        4.0                0.0
    1        2.0        3.0                1.0
    2        3.0        2.0                0.0
    """

    def __init__(
        self, groups: Sequence[str] | None = None, features: Sequence[str] | None = None, nulls: str = "keep"
    ) -> None:
        self.groups = groups
        self.features = features
        self.nulls = nulls

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002
        """Look at the rows for medians and for columns with nulls.

        Raises
        ------
        InputError
            Not a frame, no rows, a column that is missing or no number, an unknown group, feature or word for nulls.
        """
        if self.nulls not in NULLS:
            raise InputError(f"nulls is {self.nulls!r}: {_choose(str(self.nulls), NULLS)}")
        columns = _chosen(self.groups, self.features)
        values = _floats(X, columns)
        if not len(values):
            raise InputError("FeatureGroups has 0 rows to fit on: build features of somebody")
        self.columns_ = columns
        self.fills_ = _fills(values, self.nulls)
        some = np.isnan(values).any(axis=0) & (self.nulls == "flag")
        self.flagged_ = [columns[place] for place in np.flatnonzero(some)]
        self.feature_names_in_ = np.array([str(name) for name in X.columns], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the columns chosen, n rows.

        Raises
        ------
        InputError
            Not a frame, or a column that is missing or no number.
        """
        check_is_fitted(self)
        values = _floats(X, self.columns_)
        null = np.isnan(values)
        flags = null[:, [self.columns_.index(name) for name in self.flagged_]]
        filled = np.hstack((np.where(null, self.fills_, values), flags))
        return pd.DataFrame(filled, index=X.index, columns=self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return the names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features
            None, or the columns of the frame fitted on.

        Raises
        ------
        InputError
            ``input_features`` are others than those fitted on.
        """
        check_is_fitted(self)
        if input_features is not None and list(input_features) != list(self.feature_names_in_):
            raise InputError("input_features are not the columns of the frame fitted on: leave them out")
        return np.array([*self.columns_, *(f"{name}_is_null" for name in self.flagged_)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # frames only
        tags.input_tags.allow_nan = True
        return tags


def _chosen(groups: Sequence[str] | None, features: Sequence[str] | None) -> list[str]:
    """Return the names that are asked for, in the catalogue's order."""
    _require_names(groups=groups, features=features)
    for group in groups or ():
        if group not in GROUPS:
            raise InputError(f"no group of features is called {group!r}: {_choose(group, tuple(GROUPS))}")
    of_groups = set(GROUPS) if groups is None and features is None else set(groups or ())
    named = set(select(features or ()))
    chosen = [one for one in (*FEATURES, *FACTS) if one.group in of_groups or one in named]
    words = [one.name for one in chosen if one.is_text]
    if words:
        raise InputError(f"{', '.join(words)}: words, no numbers; leave them out of features")
    if not chosen:
        raise InputError("neither a group nor a feature is asked for: name some, or leave both out for all")
    return [one.name for one in chosen]


def _require_names(**given: Any) -> None:
    for what, names in given.items():
        if isinstance(names, str):
            raise InputError(f"{what} is {names!r}, one word: write a list, [{names!r}]")


def _choose(given: str, known: Sequence[str]) -> str:
    return f"choose of {', '.join(difflib.get_close_matches(given, known, n=3) or known)}"


def _floats(frame: Any, columns: Sequence[str]) -> Floats:
    """Return these columns of a frame as n x len(columns) numbers, NaN for null."""
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"a pandas frame of features.build is needed, {type(frame).__name__} was given")
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise InputError(
            f"of {len(columns)} columns asked for the frame ({frame.shape[1]} columns) lacks "
            f"{', '.join(missing[:_MOST_NAMED])}{more}: build them too, or name fewer groups or features"
        )
    chosen = frame[list(columns)]
    twice = chosen.columns[chosen.columns.duplicated()].to_list()
    words = [str(name) for name, kind in chosen.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    for what, found in (("stand twice in the frame", twice), ("hold no numbers", words)):
        if found:
            raise InputError(f"columns {', '.join(found)} {what}: build the frame anew")
    return chosen.to_numpy(dtype=np.float64, na_value=np.nan)


def _fills(values: Floats, nulls: str) -> Floats:
    """Return what stands for null in each column."""
    if nulls in ("median", "flag"):
        return pd.DataFrame(values).median().fillna(0.0).to_numpy(dtype=np.float64)
    return np.full(values.shape[1], np.nan if nulls == "keep" else 0.0)
