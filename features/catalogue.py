"""All feature groups in column order, their names, units and digest."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import pandas as pd

from features import (
    basket,
    browsing,
    btyd,
    campaigns,
    channels,
    context,
    deliveries,
    facts,
    feedback,
    products,
    promotions,
    purchases,
    renewal,
    returns,
    rhythm,
    tickets,
    trends,
)
from features.errors import InputError
from features.vocabulary import Feature

__all__ = [
    "FACTS",
    "FEATURES",
    "GROUPS",
    "catalogue",
    "describe",
    "digest",
    "names",
    "select",
    "with_operands",
]

GROUPS = {
    "purchases": purchases.MEASURES,
    "rhythm": rhythm.MEASURES,
    "renewal": renewal.MEASURES,
    "btyd": btyd.MEASURES,
    "trends": trends.MEASURES,
    "basket": basket.MEASURES,
    "products": products.MEASURES,
    "promotions": promotions.MEASURES,
    "returns": returns.MEASURES,
    "channels": channels.MEASURES,
    "browsing": browsing.MEASURES,
    "campaigns": campaigns.MEASURES,
    "tickets": tickets.MEASURES,
    "deliveries": deliveries.MEASURES,
    "feedback": feedback.MEASURES,
    "context": context.MEASURES,
}
"""Group -> its measures, in column order."""

FEATURES: tuple[Feature, ...] = tuple(
    feature
    for group, measures in GROUPS.items()
    for measure in measures
    for feature in measure.features(group)
)
"""Every feature, in column order."""


FACTS: tuple[Feature, ...] = tuple(fact for measure in facts.MEASURES for fact in measure.features("facts"))
"""What only rules look at; given where asked for by name."""


def _require() -> None:
    """Refuse a catalogue that says one thing twice, or what the vocabulary has no place for."""
    families = [measure for measures in (*GROUPS.values(), facts.MEASURES) for measure in measures]
    for measure in families:
        measure.require()
    every = [feature.name for feature in (*FEATURES, *FACTS)]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise InputError(f"two measures make {', '.join(twice)}: give one of them another name")
    stems = {measure.name for measure in families}
    for measure in families:
        lost = [name for name in measure.over if not {name, name.rpartition("_")[0]} & stems]
        if lost:
            raise InputError(
                f"measure {measure.name}: over names {', '.join(lost)}, which no measure is called"
            )


_require()
_BY_NAME = {feature.name: feature for feature in (*FEATURES, *FACTS)}
_FAMILIES = {measure.name: (group, measure) for group, measures in GROUPS.items() for measure in measures}


def select(wanted: Iterable[str], own: Sequence[Feature] = ()) -> tuple[Feature, ...]:
    """Return the features and facts of these names, in this order.

    Parameters
    ----------
    own
        Features beside the catalogue's, such as a playbook's.

    Raises
    ------
    InputError
        A name that is not in the catalogue; close ones are suggested.
    """
    by_name = _BY_NAME | {feature.name: feature for feature in own}
    chosen = []
    for name in wanted:
        if name not in by_name:
            close = ", ".join(difflib.get_close_matches(name, by_name, n=3)) or "none is close"
            raise InputError(
                f"no feature is called {name!r} (close: {close}); the catalogue has {len(FEATURES)}"
            )
        chosen.append(by_name[name])
    return tuple(chosen)


def with_operands(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Return the features and what their ratios and differences look at, operands first, each once."""
    chosen: dict[str, Feature] = {}

    def add(feature: Feature) -> None:
        for name in feature.operands:
            add(_operand(name))
        chosen.setdefault(feature.name, feature)

    for feature in features:
        add(feature)
    return tuple(chosen.values())


def _operand(name: str) -> Feature:
    """Return a feature of the catalogue, or one of its families in a window that the catalogue does not list."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    stem, _, window = name.rpartition("_")
    group, measure = _FAMILIES[stem]
    return measure.feature(group, int(window.removesuffix("d")))


def catalogue() -> pd.DataFrame:
    """Return the catalogue as a table, one row a feature, in column order.

    Returns
    -------
    pandas.DataFrame
        Index ``feature``; ``group``, ``unit``, ``type``, ``window_days`` (null: the whole history), ``empty`` (when the
        value is 0 or null), ``stream``, ``description``.
    """
    rows = [
        (
            one.name, one.group, one.measure.unit, one.type, one.window_days, one.empty, one.measure.stream,
            one.description,
        )
        for one in FEATURES
    ]  # fmt: skip
    columns = ["feature", "group", "unit", "type", "window_days", "empty", "stream", "description"]
    table = pd.DataFrame(rows, columns=columns).set_index("feature")
    return table.astype({"window_days": "Int64"})


def describe(name: str) -> str:
    """Return what a feature or fact means, in a few lines of words.

    Raises
    ------
    InputError
        There is none of this name; close ones are suggested.
    """
    (feature,) = select([name])
    measure = feature.measure
    lines = {
        "": f"{feature.name}: {feature.description}",
        "group": feature.group,
        "unit": f"{measure.unit}, {feature.type}",
        "empty": feature.empty,
        "rows": measure.stream,
        "operation": " ".join(part for part in (measure.operation, measure.of, measure.by) if part),
        "where": ", ".join(f"{column} is {' or '.join(values)}" for column, values in measure.where),
        "of": ", ".join(feature.operands),
    }
    return "\n".join(f"  {key:<10}{text}" if key else text for key, text in lines.items() if text)


def names() -> tuple[str, ...]:
    """Return the feature names in column order."""
    return tuple(feature.name for feature in FEATURES)


def digest(features: tuple[Feature, ...] = FEATURES) -> str:
    """Return a fingerprint of names, order and definitions: it changes when a column's meaning may have changed."""
    definitions = [
        {**asdict(feature.measure), "name": feature.name, "window": feature.window_days}
        for feature in features
    ]
    for definition in definitions:
        del definition["meaning"]  # wording is not meaning
    return hashlib.sha256(json.dumps(definitions, sort_keys=True).encode()).hexdigest()[:16]
