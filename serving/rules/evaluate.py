"""The profile of customers: derived columns, segments and tags beside what they rest on. Polars, all customers at once."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import polars as pl
from pandas.api.types import is_numeric_dtype

from features.errors import InputError
from serving.rules.columns import Type
from serving.rules.parts import Definition
from serving.rules.playbook import Playbook

__all__ = ["profile", "table_of", "with_definitions"]

_DTYPES: dict[Type, type[pl.DataType] | pl.DataType] = {
    Type.NUMBER: pl.Float64(),
    Type.TEXT: pl.String(),
    Type.FLAG: pl.Boolean(),
    Type.TIME: pl.Datetime("us"),
}


def profile(playbook: Playbook, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the playbook derives about each customer.

    Parameters
    ----------
    frame
        One row a customer at one as-of, n rows, with the columns of ``playbook.inputs``; others are passed over.

    Returns
    -------
    pandas.DataFrame
        Derived columns (float, or what they are), segments (text) and tags (bool, never null), in the playbook's order;
        index as in the frame.

    Raises
    ------
    InputError
        A column is missing or holds something of another type.
    """
    table = with_definitions(table_of(frame, playbook.inputs), playbook.definitions)
    found = table.select(definition.name for definition in playbook.definitions).to_pandas()
    return found.set_index(frame.index)


def table_of(frame: pd.DataFrame, inputs: Mapping[str, Type]) -> pl.DataFrame:
    """Return the columns of these names in their types; a number that is not finite is null."""
    if missing := [name for name in inputs if name not in frame.columns]:
        raise InputError(
            f"{len(missing)} columns that the playbook reads are missing: {', '.join(missing[:10])}"
        )
    numbers = [name for name, type_ in inputs.items() if type_ is Type.NUMBER]
    others = [_series(frame[name], name, type_) for name, type_ in inputs.items() if type_ is not Type.NUMBER]
    return _numbers(frame, numbers).with_columns(others)


def _numbers(frame: pd.DataFrame, names: list[str]) -> pl.DataFrame:
    try:
        block = frame[names].to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        kinds = {name: str(frame[name].dtype) for name in names if not is_numeric_dtype(frame[name])}
        raise InputError(
            f"numbers are needed, but these columns hold something else: {kinds}: {error}"
        ) from None
    block = np.where(np.isfinite(block), block, np.nan)
    # a block with as many rows as columns would be taken for its transpose
    return pl.from_numpy(block, schema=names, orient="row").with_columns(pl.all().fill_nan(None))


def with_definitions(table: pl.DataFrame, definitions: Iterable[Definition]) -> pl.DataFrame:
    """Return the table with the columns that a playbook defines."""
    for layer in _layers(definitions):
        table = table.with_columns(layer)
    return table


def _layers(definitions: Iterable[Definition]) -> list[list[pl.Expr]]:
    """Definitions in groups; each needs input columns and earlier groups only."""
    grouped: dict[int, list[pl.Expr]] = {}
    for definition in definitions:
        grouped.setdefault(definition.level, []).append(definition.compiled)
    return [grouped[level] for level in sorted(grouped)]


def _series(column: pd.Series, name: str, type_: Type) -> pl.Series:
    dtype = _DTYPES[type_]
    try:
        if type_ is Type.TIME:
            return pl.Series(
                name, pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")
            )
        return pl.from_pandas(column).cast(dtype).alias(name)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        found = column.dtype
        raise InputError(f"column {name} is {found}, {type_} is needed: {error}") from None
