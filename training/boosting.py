"""LightGBM as every model of Patron grows it: on top of a start, repeatable, on as many cores as the rows are worth."""

from collections.abc import Mapping, Sequence

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_boosted"]

Floats = NDArray[np.float64]

_MANY_VALUES = 20_000_000


def fit_boosted(
    x: Floats,
    y: NDArray[np.generic],
    start: Floats,
    parameters: Mapping[str, float | int],
    names: Sequence[str],
    monotone: Mapping[str, int] | None = None,
    *,
    objective: str = "binary",
) -> lgb.Booster:
    """Fit trees on top of given raw scores.

    Parameters
    ----------
    start
        Raw scores: log odds, for an objective with a log link logarithms.
    parameters
        LightGBM's, but for ``min_share_in_leaf``: ``min_data_in_leaf`` as a share of the rows.
    names
        Of the columns of x.
    monotone
        Name of a column -> 1 where what is predicted may only rise with it, -1 where it may only fall.
    """
    own = {
        name: value
        for name, value in parameters.items()
        if name not in ("num_boost_round", "min_share_in_leaf")
    }
    rows = max(20, round(float(parameters["min_share_in_leaf"]) * len(y)))
    settings: dict[str, object] = {
        "objective": objective,
        "min_data_in_leaf": rows,
        "bagging_freq": 1,
        "deterministic": True,
        "force_row_wise": True,
        # threads that wait for each other cost more than they bring on little data or a busy machine
        "num_threads": 1 if x.size < _MANY_VALUES else 0,
        "verbose": -1,
        **own,
    }
    if monotone:
        settings["monotone_constraints"] = [monotone.get(name, 0) for name in names]
    data = lgb.Dataset(x, y, init_score=start, feature_name=list(names))
    return lgb.train(settings, data, num_boost_round=int(parameters["num_boost_round"]))
